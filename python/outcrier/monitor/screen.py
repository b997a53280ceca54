"""A report for people: a table on a terminal, plain lines elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from outcrier.monitor.report import GroupReport, Report, StreamReport

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
                f"  {type_name(each.type, each.number)}"
                + (f" +{rate(each.packed_per_s)} packed/s" if each.packed else ""),
                rate(each.packets_per_s),
                rate(each.bytes_per_s),
                f"{each.packets:,}",
                "",
                "",
                age(each.age_s),
                style="" if each.packets_per_s or each.packed_per_s else "dim",
            )
    if not report.channels:
        table.add_row("no frame yet")
    head = Text.assemble(("udp_monitor", "bold"), f"  {where(report)}")
    return Group(head, *[group_text(group) for group in report.groups], Text(""), table)


def lines(report: Report) -> Iterator[str]:
    """The same in plain lines that can be grepped: one for each plane of a channel, one for each socket."""
    for stream in report.channels:
        told = " ".join(words(stream))
        types = " ".join(
            f"{type_name(each.type, each.number)}={each.packets_per_s:.0f}"
            + (f"+{each.packed_per_s:.0f}" if each.packed else "")
            for each in stream.types
        )
        yield (
            f"{stream.venue} ch={stream.channel} {stream.plane}{f' {told}' if told else ''}"
            f" packets/s={stream.packets_per_s:.0f} bytes/s={stream.bytes_per_s:.0f}"
            f" missing={stream.missing} gaps={stream.gaps} duplicates={stream.duplicates} late={stream.late}"
            f" last={stream.age_s:.3f}s {line_words(stream)}{types}"
        )
    for group in report.groups:
        yield group_text(group).plain.strip()
    for _, text in report.texts:
        yield f"text: {text}"


def where(report: Report) -> str:
    """The address, for a person."""
    at = report.address
    groups = ", ".join(
        filter(None, (at.group, at.group_b, at.snapshot_group, at.repair_group, at.text_group))
    )
    return f"{at.feed} {groups}, port {at.port}, interface {at.interface}"


def _stream_cells(stream: StreamReport) -> list[RenderableType]:
    name = Text.assemble((f"{stream.channel} {stream.venue}", "bold"), f" {stream.plane}")
    for word in words(stream):
        name.append(f" {word}", "bold red" if word == "SILENT" else "bold yellow")
    missing = Text(f"{stream.missing:,}", "bold red" if stream.missing else "")
    return [
        name,
        rate(stream.packets_per_s),
        rate(stream.bytes_per_s),
        f"{stream.packets:,}",
        missing,
        f"{stream.gaps:,}",
        age(stream.age_s),
    ]


def words(stream: StreamReport) -> list[str]:
    """What nobody shall overlook."""
    found = [word for word, holds in (("REPLAY", stream.replay), ("TEST", stream.test)) if holds]
    if stream.ended:
        found.append("ENDED")
    elif stream.plane == "incremental" and stream.age_s > SILENT_S:
        found.append("SILENT")
    if stream.split or stream.differing:
        found.append("SPLIT")
    return found


def group_text(group: GroupReport) -> Text:
    """What came by one group, for a person."""
    text = Text(f"{group.group}: {group.datagrams_per_s:,.0f} datagrams/s")
    if group.group != "text":
        text.append(
            f" {group.bytes_per_s:,.0f} bytes/s, {group.datagrams:,} datagrams,"
            f" {group.padding_bytes:,} bytes of padding"
        )
    text.append(f", {group.kernel_drops:,} dropped by the kernel", "bold red" if group.kernel_drops else "")
    for name, count in refusals(group).items():
        text.append(f", {count:,} refused: {name}", "bold red")
    if group.unknown_type:
        text.append(f", {group.unknown_type:,} of unknown type", "yellow")
    return text


def refusals(group: GroupReport) -> dict[str, int]:
    """Datagrams that were counted and nothing else, by cause in words."""
    wrong = dict(group.refused)
    if group.wrong_plane:
        wrong["wrong_plane"] = group.wrong_plane
    return {name.replace("_", " "): count for name, count in wrong.items()}


def line_words(stream: StreamReport) -> str:
    """Each line alone, where there are several: numbers it missed, brought first, brought alone."""
    if len(stream.lines) < 2:
        return ""
    return "".join(
        f"{line.group}.{name}={getattr(line, name)} "
        for line in stream.lines
        for name in ("missing", "earlier", "filled")
    )


def type_name(name: str, number: int) -> str:
    """The name, or the number of a type of a later version."""
    return f"0x{number:02x}" if name == "UNKNOWN" else name


def rate(value: float) -> str:
    """With a decimal where it is small."""
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}"


def age(seconds: float) -> str:
    """`0.05 s`, `12 s`, `3 min`."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
