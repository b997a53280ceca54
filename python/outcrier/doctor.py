"""Whether this machine can run Outcrier, and what to do where it cannot: one finding a thing looked at.

Looking changes nothing: sockets are opened and closed, a probe goes to another port of the configured groups.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import psutil  # type: ignore[import-untyped]

from outcrier import _core
from outcrier.config import FAMILIES, Config, MulticastConfig
from outcrier.silence import RCVBUF_BYTES_MIN, interface_name
from outcrier.venue_numbers import venue_name

LISTEN_NS: Final = 350_000_000
"""A publisher is heard at least every 100 ms; after 350 ms of silence there is none (docs/wire-format.md)."""

PROBE_S: Final = 1.0
"""A probe that goes nowhere but to this host takes some microseconds."""

CLOCK_ERROR_NS_MAX: Final = 1_000_000
"""Above this frames carry CLOCK_BAD (docs/wire-format.md)."""

PYTHON_MIN: Final = (3, 11)
KERNEL_MIN: Final = (5, 0)
"""UDP_GRO came with Linux 5.0, UDP_SEGMENT with 4.18."""

TIME_DAEMONS: Final = frozenset(
    {"chronyd", "ntpd", "ntpsec", "openntpd", "systemd-timesyncd", "systemd-timesyn", "phc2sys", "ptp4l"}
)
"""Programs that keep the clock; the kernel cuts names to 15 characters."""

_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_IP_MULTICAST_ALL: Final = 49
_SO_RCVBUFFORCE: Final = 33
_CAP_NET_ADMIN: Final = 12
_RMEM_MAX: Final = Path("/proc/sys/net/core/rmem_max")
_STATUS: Final = Path("/proc/self/status")

Level = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    level: Level
    text: str
    """What was found."""
    do: str = ""
    """What mends it; empty where nothing is to be done."""


def examine(config: Config, config_error: str | None) -> Iterator[Finding]:
    """Every finding, in order. `config_error`: why the configuration cannot be used; then `config` is what
    stands in for it.
    """
    yield from _versions()
    yield _configuration(config_error)
    if sys.platform != "linux":
        yield Finding("system", "fail", f"sockets need Linux, this is {platform.system()}", "run it on Linux")
        return
    yield _kernel()
    at = config.multicast.crypto
    name = interface_name(at.interface)
    yield _interface(at, name)
    if name is not None:
        for plane, group in (("A", at.group_a), ("snapshot", at.group_snapshot)):
            yield _multicast(at, name, plane, group)
        for family in FAMILIES:
            yield from _port(family, getattr(config.multicast, family))
    yield _buffer(config.subscriber.rcvbuf_bytes)
    yield _option("UDP_SEGMENT", _UDP_SEGMENT, 1400, "batches leave frame by frame")
    yield _option("UDP_GRO", _UDP_GRO, 1, "every datagram is read alone")
    yield _clock(_core.system_clock(), _daemons())


# Versions and configuration.


def _versions() -> Iterator[Finding]:
    python = platform.python_version()
    if sys.version_info < PYTHON_MIN:
        yield Finding("python", "fail", python, "install Python 3.11 or newer")
    else:
        yield Finding("python", "ok", f"{python}, {platform.machine()}")
    try:
        installed = version("outcrier")
    except PackageNotFoundError:
        yield Finding(
            "outcrier",
            "warn",
            f"native core {_core.__version__}, not installed as a package",
            "run make setup",
        )
        return
    if installed != _core.__version__:
        text = f"package {installed}, native core {_core.__version__}"
        yield Finding("outcrier", "fail", text, "parts of two versions are installed: run make setup")
    else:
        yield Finding("outcrier", "ok", f"{installed}, native core of the same version")


def _configuration(error: str | None) -> Finding:
    if error is not None:
        return Finding("configuration", "fail", error, "mend it; what follows looks at the defaults")
    return Finding("configuration", "ok", "it can be used")


def _kernel() -> Finding:
    release = platform.release()
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    if numbers < KERNEL_MIN:
        return Finding(
            "kernel", "warn", f"Linux {release} has no UDP_GRO", "Linux 5.0 or newer receives faster"
        )
    return Finding("kernel", "ok", f"Linux {release}")


# Interface and multicast.


def _interface(at: MulticastConfig, name: str | None) -> Finding:
    if name is None:
        known = sorted(
            entry.address
            for addresses in psutil.net_if_addrs().values()
            for entry in addresses
            if entry.family == socket.AF_INET
        )
        text = f"no interface has the address {at.interface}; there are {', '.join(known) or 'none'}"
        return Finding("interface", "fail", text, "set multicast.crypto.interface to one of them")
    stats = psutil.net_if_stats().get(name)
    if stats is not None and not stats.isup:
        return Finding("interface", "fail", f"{name} is down", f"sudo ip link set {name} up")
    if stats is not None and name != "lo" and "multicast" not in stats.flags.split(","):
        do = f"sudo ip link set {name} multicast on"
        return Finding("interface", "fail", f"{name} carries no multicast", do)
    return Finding("interface", "ok", f"{name} has {at.interface} and is up")


def _multicast(at: MulticastConfig, name: str, plane: str, group: str) -> Finding:
    """Sends a probe to the group, on a port of its own, with TTL 0, and hears it."""
    check = f"multicast {plane}"
    probe = b"outcrier doctor " + os.urandom(8)
    try:
        with (
            _joined(group, at.interface, 0) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.settimeout(PROBE_S)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(at.interface))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            sender.sendto(probe, (group, receiver.getsockname()[1]))
            while receiver.recv(2_048) != probe:
                pass
    except TimeoutError:
        text = f"a probe sent to {group} by {name} was not heard on this host"
        return Finding(
            check, "fail", text, "look at the firewall: sudo nft list ruleset; sudo iptables -L -v"
        )
    except OSError as error:
        do = f"sudo ip route add 224.0.0.0/4 dev {name}" if error.errno == errno.ENETUNREACH else ""
        do = do or "look at the firewall and the interface"
        return Finding(check, "fail", f"{group} by {name}: {error.strerror or error}", do)
    return Finding(check, "ok", f"a probe to {group} by {name} was heard")


def _joined(group: str, interface: str, port: int) -> socket.socket:
    joined = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        joined.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        joined.bind((group, port))
        member = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton(interface))
        joined.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except BaseException:
        joined.close()
        raise
    return joined


def _port(family: str, at: MulticastConfig) -> Iterator[Finding]:
    """Whether consumers can share the port, and who publishes there."""
    check = f"port {family}"
    where = f"{at.group_a}:{at.port}"
    try:
        heard = _listen(at)
    except OSError as error:
        text = error.strerror or str(error)
        do = f"find the program by: ss -ulnp 'sport = :{at.port}'" if error.errno == errno.EADDRINUSE else ""
        yield Finding(check, "fail", text, do or f"mend multicast.{family}")
        return
    if not heard:
        yield Finding(check, "ok", f"{where} can be shared; nobody publishes there")
    for channel in heard:
        words = [word for word, holds in (("REPLAY", channel["replay"]), ("TEST", channel["test"])) if holds]
        name = f"{venue_name(channel['venue'])} on channel {channel['channel']}"
        text = " ".join([f"{where}: {name} is published, session {channel['session']}", *words])
        if channel["split"]:
            yield Finding(check, "fail", f"{text}, by two processes", "stop one of them")
        else:
            yield Finding(check, "ok", f"{text}; another publisher of it will refuse to start")


def _listen(at: MulticastConfig) -> list[dict[str, Any]]:
    """The channels that are published."""
    receiver = _core.Receiver(symbols=[], accept_replay=True, accept_test=True)
    receiver.open(
        interface=at.interface,
        group=at.group_a,
        snapshot_group=at.group_snapshot,
        port=at.port,
        rcvbuf_bytes=RCVBUF_BYTES_MIN,
    )
    try:
        end_ns = _core.mono_ns() + LISTEN_NS
        while (left_ns := end_ns - _core.mono_ns()) > 0:
            receiver.wait(left_ns)
            receiver.take()
        return [channel for channel in receiver.channels() if not channel["ended"]]
    finally:
        receiver.close()


# Sockets.


def _buffer(wanted: int) -> Finding:
    """The receive buffer that a subscriber gets, and what others get who lack the privilege."""
    most = _number(_RMEM_MAX)
    sysctl = f"sudo sysctl -w net.core.rmem_max={wanted}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, wanted)
        except PermissionError:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
        effective = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    admin = "with" if _has_net_admin() else "without"
    limit = "net.core.rmem_max cannot be read here" if most is None else f"net.core.rmem_max is {most:,}"
    text = f"{effective:,} bytes in effect of {2 * wanted:,} wanted, {admin} CAP_NET_ADMIN; {limit}"
    if effective < RCVBUF_BYTES_MIN:
        return Finding("receive buffer", "warn", f"{text}: bursts will be lost", sysctl)
    if effective < 2 * wanted:
        return Finding("receive buffer", "warn", f"{text}: large bursts may be lost", sysctl)
    if most is not None and most < wanted:
        return Finding("receive buffer", "ok", f"{text}: programs without it get {2 * most:,}", sysctl)
    return Finding("receive buffer", "ok", text)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _has_net_admin() -> bool:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return False
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_NET_ADMIN & 1)


def _option(name: str, option: int, value: int, without: str) -> Finding:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_UDP, option, value)
        except OSError as error:
            text = f"the kernel does not have it ({error.strerror}): {without}"
            return Finding(name, "warn", text, "a newer kernel is faster")
    return Finding(name, "ok", "the kernel has it")


# The clock.


def _daemons() -> list[str]:

    return sorted({each.info["name"] for each in psutil.process_iter(["name"])} & TIME_DAEMONS)


def _clock(system: dict[str, Any], daemons: list[str]) -> Finding:
    keeper = f"kept by {', '.join(daemons)}" if daemons else "no time daemon runs here"
    if not system["synchronised"]:
        # In a container the clock is the host's, and the host's daemon is not seen.
        do = (
            "sudo systemctl restart " + daemons[0]
            if daemons
            else "install chrony, on the host if this is a container"
        )
        return Finding("clock", "warn", f"not synchronised, error unknown; {keeper}", do)
    error_ns = system["error_ns"]
    shown = "unknown" if error_ns is None else f"{error_ns / 1e6:.3f} ms"
    offset = f"correction under way {system['offset_ns'] / 1e6:.3f} ms"
    text = f"synchronised, error at most {shown}, {offset}; {keeper}"
    if error_ns is None or error_ns > CLOCK_ERROR_NS_MAX:
        return Finding(
            "clock",
            "warn",
            f"{text}: above 1 ms, frames carry CLOCK_BAD",
            "chronyc tracking; a nearer time server",
        )
    return Finding("clock", "ok", text)
