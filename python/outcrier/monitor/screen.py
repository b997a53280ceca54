"""A report for people: a table on a terminal, plain lines elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from outcrier.monitor.report import PlaneReport, Report, StreamReport

SILENT_S = 0.35
"""A publisher is heard at least every 100 ms; after 350 ms of silence it is dead (docs/wire-format.md)."""


def screen(report: Report) -> RenderableType:
    """The table, a row for each message type below a row of sums for each plane of a channel."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    table.add_column("channel, plane, type")
    for name in ("packets/s", "bytes/s", "packets", "missing", "gaps", "last seen"):
        table.add_column(name, justify="right", no_wrap=True)
    for stream in report.channels:
        table.add_row(*_stream_cells(stream))
        for each in stream.types:
            table.add_row(
                f"  {_type_name(each.type, each.number)}"
                + (f" +{_rate(each.packed_per_s)} packed/s" if each.packed else ""),
                _rate(each.packets_per_s),
                _rate(each.bytes_per_s),
                f"{each.packets:,}",
                "",
                "",
                _age(each.age_s),
                style="" if each.packets_per_s or each.packed_per_s else "dim",
            )
    if not report.channels:
        table.add_row("no frame yet")
    head = Text.assemble(("udp_monitor", "bold"), f"  {where(report)}")
    return Group(head, *[_plane_text(plane) for plane in report.planes], Text(""), table)


def lines(report: Report) -> Iterator[str]:
    """The same in plain lines that can be grepped: one for each plane of a channel, one for each socket."""
    for stream in report.channels:
        words = " ".join(_words(stream))
        types = " ".join(
            f"{_type_name(each.type, each.number)}={each.packets_per_s:.0f}"
            + (f"+{each.packed_per_s:.0f}" if each.packed else "")
            for each in stream.types
        )
        yield (
            f"{stream.venue} ch={stream.channel} {stream.plane}{f' {words}' if words else ''}"
            f" packets/s={stream.packets_per_s:.0f} bytes/s={stream.bytes_per_s:.0f}"
            f" missing={stream.missing} gaps={stream.gaps} duplicates={stream.duplicates} late={stream.late}"
            f" last={stream.age_s:.3f}s {types}"
        )
    for plane in report.planes:
        yield _plane_text(plane).plain.strip()


def where(report: Report) -> str:
    """The address, for a person."""
    at = report.address
    return f"{at.feed} {at.group} and {at.snapshot_group}, port {at.port}, interface {at.interface}"


def _stream_cells(stream: StreamReport) -> list[RenderableType]:
    name = Text.assemble((f"{stream.channel} {stream.venue}", "bold"), f" {stream.plane}")
    for word in _words(stream):
        name.append(f" {word}", "bold red" if word == "SILENT" else "bold yellow")
    missing = Text(f"{stream.missing:,}", "bold red" if stream.missing else "")
    return [
        name,
        _rate(stream.packets_per_s),
        _rate(stream.bytes_per_s),
        f"{stream.packets:,}",
        missing,
        f"{stream.gaps:,}",
        _age(stream.age_s),
    ]


def _words(stream: StreamReport) -> list[str]:
    """What nobody shall overlook."""
    words = [word for word, holds in (("REPLAY", stream.replay), ("TEST", stream.test)) if holds]
    if stream.ended:
        words.append("ENDED")
    elif stream.plane == "incremental" and stream.age_s > SILENT_S:
        words.append("SILENT")
    return words


def _plane_text(plane: PlaneReport) -> Text:
    text = Text(
        f"{plane.plane}: {plane.datagrams_per_s:,.0f} datagrams/s {plane.bytes_per_s:,.0f} bytes/s,"
        f" {plane.datagrams:,} datagrams, {plane.padding_bytes:,} bytes of padding, "
    )
    text.append(f"{plane.kernel_drops:,} dropped by the kernel", "bold red" if plane.kernel_drops else "")
    wrong = dict(plane.refused)
    if plane.wrong_plane:
        wrong["wrong_plane"] = plane.wrong_plane
    for name, count in wrong.items():
        text.append(f", {count:,} refused: {name.replace('_', ' ')}", "bold red")
    if plane.unknown_type:
        text.append(f", {plane.unknown_type:,} of unknown type", "yellow")
    return text


def _type_name(name: str, number: int) -> str:
    return f"0x{number:02x}" if name == "UNKNOWN" else name


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}"


def _age(seconds: float) -> str:
    """`0.05 s`, `12 s`, `3 min`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
