"""Looking at the machine and the wire: facts for the findings. Nothing is changed."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil  # type: ignore[import-untyped]

from outcrier import _core
from outcrier.clock import mono_ns
from outcrier.config import MulticastConfig, SubscriberConfig
from outcrier.doctor import network
from outcrier.doctor.machine import number_in
from outcrier.doctor.publishers import Probe
from outcrier.monitor.report import Report, StreamReport
from outcrier.monitor.source import Source
from outcrier.reception import Address
from outcrier.silence import RCVBUF_BYTES_MIN

LISTEN_NS: Final = 400_000_000
"""A publisher is heard at least every 100 ms; after 350 ms of silence there is none (docs/wire-format.md)."""

PROBE_S: Final = 0.3
"""A server on the same network answers within a millisecond; three tries of it."""

PROBE_TRIES: Final = 3
"""One for a cookie, one with it, and one more where a datagram is lost."""

_PUBLISHERS: Final = {"run", "replay", "outcrier.demo.feed"}
"""Words in the command line of programs that publish: verbs of `outcrier`, and the feed of its demo."""

_NET: Final = Path("/proc/net")
_CONF: Final = Path("/proc/sys/net/ipv4/conf")
_CLASS: Final = Path("/sys/class/net")
_REPLY: Final = 0x41
_NEED_COOKIE: Final = 6
"""RETX_REPLY.code: ask again with the cookie that came."""


def routes() -> list[network.Route]:
    """The routes of the main table."""
    return network.routes(_text(_NET / "route"))


def multicast(device: str) -> network.Multicast:
    """How the interface takes part."""
    filters = [number_in(_CONF / name / "rp_filter") or 0 for name in ("all", device)]
    return network.Multicast(
        device, network.igmp_version(_text(_NET / "igmp"), device), max(filters), _deaf_bridge(device)
    )


def _deaf_bridge(device: str) -> str:
    """The bridge of the interface, or itself, if it snoops and nobody queries."""
    bridge = _CLASS / device / "bridge"
    master = _CLASS / device / "master" / "bridge"
    found = bridge if bridge.is_dir() else master
    snoops = number_in(found / "multicast_snooping") == 1 and number_in(found / "multicast_querier") == 0
    return found.parent.resolve().name if snoops else ""


def udp_sockets(port: int) -> list[network.UdpSocket]:
    """The IPv4 sockets of a port, with the programs as far as this user may see them."""
    found = [each for each in network.udp_sockets(_text(_NET / "udp")) if each.port == port]
    owners = _owners({each.inode for each in found}) if found else {}
    named = []
    for each in found:
        pid, program, publishes = owners.get(each.inode, (0, "", False))
        named.append(msgspec.structs.replace(each, pid=pid, program=program, publishes=publishes))
    return named


def _owners(inodes: set[int]) -> dict[int, tuple[int, str, bool]]:
    """Process, program and whether it publishes, by the inode of its socket."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, tuple[int, str, bool]] = {}
    for process in psutil.process_iter(["pid", "name", "cmdline"]):
        try:
            descriptors = list(Path(f"/proc/{process.info['pid']}/fd").iterdir())
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                inode = links.get(str(descriptor.readlink()))
            except OSError:
                continue
            if inode is not None:
                publishes = not _PUBLISHERS.isdisjoint(process.info["cmdline"] or ())
                owners[inode] = process.info["pid"], process.info["name"], publishes
    return owners


def listen(family: str, at: MulticastConfig) -> Report:
    """What is heard on the groups in 400 ms. Raises NetworkError where they cannot be joined."""
    source = Source(Address.of(family, at), SubscriberConfig(rcvbuf_bytes=RCVBUF_BYTES_MIN))
    try:
        end_ns = mono_ns() + LISTEN_NS
        while (left_ns := end_ns - mono_ns()) > 0:
            source.listen(left_ns)
        return source.take()
    finally:
        source.close()


def probes(report: Report, keys: str = "") -> list[Probe]:
    """Asks every retransmit server that is told of whether it is there; `keys`: the text of a key file."""
    streams = [stream for stream in report.channels if stream.plane == "incremental" and not stream.ended]
    return [
        _probe(stream, stream.heartbeat, keys)
        for stream in streams
        if stream.heartbeat and stream.heartbeat["retx_ipv4"]
    ]


def _probe(stream: StreamReport, heartbeat: dict[str, int], keys: str) -> Probe:
    address = str(ipaddress.IPv4Address(heartbeat["retx_ipv4"]))
    port, cookie = heartbeat["retx_udp_port"], 0
    last = Probe(stream.channel, address, port, None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(PROBE_S)
        for _ in range(PROBE_TRIES):
            correlation = secrets.randbits(63)
            request = _core.health_probe(
                channel=stream.channel,
                session=stream.session,
                venue=stream.venue_number,
                correlation=correlation,
                consumer_id=secrets.randbits(63),
                cookie=cookie,
                keys=keys,
            )
            begin_ns = mono_ns()
            try:
                probe.connect((address, port))
                probe.send(request)
                answer = _answer(probe.recv(os.sysconf("SC_PAGESIZE")), correlation)
            except OSError:
                # No answer in time, or the host says that nobody is there.
                continue
            if answer is None:
                continue
            root, after_ns = answer["root"], mono_ns() - begin_ns
            last = Probe(
                stream.channel, address, port, after_ns, root["code"], root["oldest_seq"], root["newest_seq"]
            )
            cookie = root["cookie"]
            if root["code"] != _NEED_COOKIE:
                break
    return last


def _answer(datagram: bytes, correlation: int) -> dict[str, Any] | None:
    """The reply to the request; None for anything else."""
    try:
        frame = _core.decode_frame(datagram)
    except ValueError:
        return None
    return frame if (frame["msg_type"], frame["channel_seq"]) == (_REPLY, correlation) else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
