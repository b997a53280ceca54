"""What a consumer says when nothing arrives: who is silent, where it listens, and what is wrong there.

`Watch` is sans-I/O: times are arguments. Only `diagnose` looks at the machine, and only once there is
something to explain.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

SILENCE_NS: Final = 3_000_000_000
"""Heartbeats come every 100 ms; after thirty missing ones a person wants to know."""

RCVBUF_BYTES_MIN: Final = 8 * 1024 * 1024
"""Least effective receive buffer of any consumer (docs/wire-format.md, sockets, rule 6); one that
also runs Python asks for more by default.
"""

_IGMP: Final = Path("/proc/net/igmp")


class Watch:
    """Notices silence and lack of events; says each of them once until something arrives again."""

    def __init__(self, now_ns: int, timeout_ns: int | None) -> None:
        """`timeout_ns`: longest time without an event; None = for ever."""
        self._timeout_ns = timeout_ns
        self._heard = 0
        self._heard_ns = now_ns
        self._events_ns = now_ns
        self._said = False

    def events(self, now_ns: int) -> None:
        """Events arrived, or the caller was busy with those that had."""
        self._events_ns = now_ns

    def silent(self, now_ns: int, datagrams: int) -> bool:
        """True once per silence: no datagram for `SILENCE_NS`. `datagrams` is the running count of those
        accepted.
        """
        if datagrams != self._heard:
            self._heard, self._heard_ns, self._said = datagrams, now_ns, False
            return False
        if self._said or now_ns - self._heard_ns < SILENCE_NS:
            return False
        self._said = True
        return True

    def expired(self, now_ns: int) -> bool:
        """Whether `timeout_ns` went by without an event."""
        return self._timeout_ns is not None and now_ns - self._events_ns >= self._timeout_ns


def accepted(counters: Mapping[str, int]) -> int:
    """Datagrams that were frames for us: neither refused nor dropped for a flag that nobody asked for."""
    refused = sum(value for name, value in counters.items() if _is_refusal(name))
    return counters["datagrams"] - refused - counters["dropped_replay"] - counters["dropped_test"]


def diagnose(interface: str, group: str, port: int, counters: Mapping[str, int]) -> str:
    """One line: where was listened, and the likeliest reason why nothing is heard there."""
    reason = _reason_in_frames(counters) or _reason_on_machine(interface, group)
    return f"nothing heard on group {group}, interface {interface}, port {port}: {reason}"


def _reason_in_frames(counters: Mapping[str, int]) -> str | None:
    for flag in ("replay", "test"):
        dropped = counters[f"dropped_{flag}"]
        if dropped:
            return f'{dropped:,} frames are flagged {flag.upper()}; accept={{"{flag}"}} would take them'
    refused = [
        f"{n:,} {name[8:].replace('_', ' ')}" for name, n in counters.items() if n and _is_refusal(name)
    ]
    if refused:
        return f"every datagram was refused ({', '.join(refused)}); another program may use this address"
    return None


def _is_refusal(name: str) -> bool:
    return name.startswith("refused_")


def _reason_on_machine(interface: str, group: str) -> str:
    name = interface_name(interface)
    if name is None:
        return f"no interface has the address {interface}"
    stats = psutil.net_if_stats().get(name)
    if stats is not None and not stats.isup:
        return f"interface {name} is down (ip link set {name} up)"
    if not _joined(name, group):
        return f"the kernel does not list the group on {name} ({_IGMP})"
    if stats is not None and name != "lo" and "multicast" not in stats.flags.split(","):
        return f"interface {name} carries no multicast (ip link set {name} multicast on)"
    return f"{name} is up and the group joined, but no datagram arrives; does a feed run with these settings?"


def interface_name(address: str) -> str | None:
    """Name of the interface that has the IPv4 `address`, such as `lo`."""
    name: str
    for name, addresses in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in addresses):
            return name
    return None


def _joined(name: str, group: str) -> bool:
    """Whether /proc/net/igmp lists `group` below interface `name`; True where the file cannot be read."""
    try:
        lines = _IGMP.read_text().splitlines()
    except OSError:
        return True
    # Groups stand as the u32 of the network bytes in host order, indented below their interface's line.
    wanted = f"{int.from_bytes(ipaddress.IPv4Address(group).packed, sys.byteorder):08X}"
    current = ""
    for line in lines[1:]:
        words = line.split()
        if line[:1].isdigit():
            current = words[1].rstrip(":") if len(words) > 1 else ""
        elif current == name and words and words[0] == wanted:
            return True
    return False


def small_buffer(effective_bytes: int, asked_bytes: int) -> str | None:
    """The warning about a receive buffer that loses bursts, with what mends it; None if the kernel gave what
    was asked and that is enough.

    `asked_bytes` is the configured rcvbuf_bytes, which the kernel doubles where nothing limits it.
    """
    wanted_bytes = max(2 * asked_bytes, RCVBUF_BYTES_MIN)
    if effective_bytes >= wanted_bytes:
        return None
    told = f"receive buffer is {effective_bytes:,} bytes of {wanted_bytes:,} wanted, bursts may be lost:"
    if 2 * asked_bytes < RCVBUF_BYTES_MIN:
        return f"{told} rcvbuf_bytes is {asked_bytes:,}, set it to {RCVBUF_BYTES_MIN // 2:,} or more"
    return f"{told} sudo sysctl -w net.core.rmem_max={asked_bytes}, or run with CAP_NET_ADMIN"
