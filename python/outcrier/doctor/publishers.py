"""Who publishes on the groups, and how well it is heard. Facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from outcrier.config import MulticastConfig
from outcrier.doctor.finding import Finding
from outcrier.layout import RETX_CODES
from outcrier.monitor.report import GroupReport, LineReport, Report, StreamReport

CLOCK_ERROR_NS_MAX = 1_000_000
"""Above this frames carry CLOCK_BAD (docs/wire-format.md)."""

_CLOCK_ERROR_UNKNOWN = 0xFFFF_FFFF


class Probe(msgspec.Struct, frozen=True):
    """What a retransmit server answered to a request for nothing."""

    channel: int
    address: str
    port: int
    after_ns: int | None
    """None: nothing came."""
    code: int = 0
    oldest: int = 0
    newest: int = 0


def closed_finding(family: str, at: MulticastConfig, error: str) -> Finding:
    """The groups cannot be joined."""
    do = f"find the program by: ss -ulnp 'sport = :{at.port}'; or mend multicast.{family}"
    return Finding(f"port {family}", "fail", error, do)


def port_findings(family: str, at: MulticastConfig, report: Report) -> Iterator[Finding]:
    """Who is heard, and whether two are."""
    check, where = f"port {family}", f"{at.group_a}:{at.port}"
    live = [stream for stream in report.channels if stream.plane == "incremental" and not stream.ended]
    if not live:
        yield Finding(check, "ok", f"{where} can be shared; nobody publishes there")
    for stream in live:
        yield _published(check, where, stream)
    for group in report.groups:
        yield from _foreign(check, at.port, group)


def _published(check: str, where: str, stream: StreamReport) -> Finding:
    words = [word for word, holds in (("REPLAY", stream.replay), ("TEST", stream.test)) if holds]
    name = f"{stream.venue} on channel {stream.channel}"
    text = " ".join([f"{where}: {name} is published, session {stream.session}", *words])
    if stream.split or stream.differing:
        return Finding(
            check, "fail", f"{text}, by two processes in one session", "stop one of them: pgrep -af outcrier"
        )
    if stream.old_session:
        text += f", and {stream.old_session:,} frames of an older session beside it: two publishers"
        return Finding(check, "fail", text, "stop the older one: pgrep -af outcrier")
    told = f" by {stream.heartbeat['publisher_id']:016x}" if stream.heartbeat else ""
    return Finding(check, "ok", f"{text}{told}; another publisher of it will refuse to start")


def _foreign(check: str, port: int, group: GroupReport) -> Iterator[Finding]:
    foreign = sum(group.refused.values()) + group.wrong_plane
    if not foreign:
        return
    causes = [f"{count:,} {name.replace('_', ' ')}" for name, count in group.refused.items()]
    if group.wrong_plane:
        causes.append(f"{group.wrong_plane:,} of the other plane")
    text = f"{foreign:,} of {group.datagrams:,} datagrams of group {group.group} are none of ours"
    text += f" ({', '.join(causes)})"
    yield Finding(
        check,
        "warn",
        text,
        f"give Outcrier groups of its own; who sends: sudo tcpdump -ni any udp port {port}",
    )


def line_findings(family: str, at: MulticastConfig, report: Report) -> Iterator[Finding]:
    """Whether both lines are heard, and whole."""
    check = f"lines {family}"
    for stream in report.channels:
        if stream.plane != "incremental" or stream.ended:
            continue
        lines = {line.group: line for line in stream.lines if line.group in ("A", "B")}
        name = f"channel {stream.channel}"
        if at.group_b and len(lines) < 2:
            silent = "B" if "A" in lines else "A"
            group, interface = _line_address(at, silent)
            text = f"{name} is not heard on line {silent}: what the other line loses must be repaired"
            do = f"does its publisher send {group}, and reach {interface}? sudo tcpdump -ni any host {group}"
            yield Finding(check, "warn", text, do)
            continue
        lost = {group: line.missing for group, line in lines.items() if line.missing}
        if lost:
            told = ", ".join(
                f"{count:,} of {_heard(lines[group])} on {group}" for group, count in lost.items()
            )
            text = f"{name} lost {told}; {stream.missing:,} on all lines"
            yield Finding(
                check, "warn", text, "udp_monitor, page 5; is it this host? page 6 and the receive buffer"
            )
        else:
            yield Finding(check, "ok", f"{name} is whole on {' and '.join(sorted(lines))}")


def _heard(line: LineReport) -> str:
    return f"{line.packets + line.missing:,}"


def _line_address(at: MulticastConfig, line: str) -> tuple[str, str]:
    return (at.group_a, at.interface) if line == "A" else (at.group_b, at.interface_b or at.interface)


def retransmit_findings(family: str, report: Report, probes: Sequence[Probe]) -> Iterator[Finding]:
    """Whether what is lost on every line can be asked for."""
    check = f"retransmit {family}"
    answered = {probe.channel: probe for probe in probes}
    for stream in report.channels:
        if stream.plane != "incremental" or stream.ended or stream.heartbeat is None:
            continue
        name = f"channel {stream.channel}"
        probe = answered.get(stream.channel)
        if probe is None:
            text = f"{name} tells of no retransmit server: what no line brings is repaired by snapshots alone"
            yield Finding(check, "ok", text)
        elif probe.after_ns is None:
            where = f"{probe.address}:{probe.port}"
            do = f"is it reachable? ip route get {probe.address}; sudo nft list ruleset"
            yield Finding(check, "fail", f"{name}: the server at {where} does not answer", do)
        else:
            yield _answered(check, name, probe)


def _answered(check: str, name: str, probe: Probe) -> Finding:
    code = RETX_CODES[probe.code] if probe.code < len(RETX_CODES) else str(probe.code)
    after = f"{(probe.after_ns or 0) / 1e6:.1f} ms"
    text = f"{name}: the server at {probe.address}:{probe.port} answered {code!r} after {after}"
    if code == "bad MAC":
        return Finding(check, "warn", text, "it takes signed requests alone: set subscriber.key_file")
    if code in ("rate limited", "malformed", "bad session"):
        return Finding(check, "warn", text, "look at the log of the feed")
    if code == "ok":
        text += f"; it keeps {probe.oldest:,} to {probe.newest:,}"
    return Finding(check, "ok", text)


def clock_findings(family: str, report: Report) -> Iterator[Finding]:
    """What publishers say of their clocks: latencies are no better than that."""
    check = f"clock {family}"
    for stream in report.channels:
        if stream.plane != "incremental" or stream.ended or stream.heartbeat is None:
            continue
        error_ns = stream.heartbeat["clock_err_ns"]
        name = f"the publisher of channel {stream.channel}"
        if error_ns == _CLOCK_ERROR_UNKNOWN:
            text = f"{name} does not know the error of its clock"
            yield Finding(check, "warn", text, "on its host: chronyc tracking, or install chrony")
        elif error_ns > CLOCK_ERROR_NS_MAX:
            shown = f"{error_ns / 1e6:.3f} ms"
            text = f"{name} has a clock error of up to {shown}: above 1 ms, frames carry CLOCK_BAD"
            yield Finding(check, "warn", text, "on its host: chronyc sources -v; a nearer time server")
        else:
            yield Finding(check, "ok", f"{name} has a clock error of at most {error_ns / 1e6:.3f} ms")
