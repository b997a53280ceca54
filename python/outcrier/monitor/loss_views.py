"""The pages of what was lost, refused, late and said: gaps, drops, latency, text lines. Pure."""

from __future__ import annotations

from typing import Final

from outcrier.monitor.groups import Sockets
from outcrier.monitor.hops import HopReport
from outcrier.monitor.report import Report
from outcrier.monitor.screen import rate, refusals
from outcrier.monitor.styles import BAD, DIM, WARN, bad, clock
from outcrier.monitor.table import Column, Line, Part, Row, Table, duration, size

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_HOP_NAMES: Final = {
    "exchange_to_recv": "exchange > recv",
    "recv_to_send": "recv > send",
    "send_to_kernel": "send > kernel",
}

# Gaps and drops.

_GAP_COLUMNS: Final = (
    Column("seen (UTC)", 12, right=False),
    Column("ch", 3),
    Column("plane", 5, right=False),
    Column("first", 13),
    Column("count", 8),
    Column("left", 8),
    Column("filled by", 28, right=False),
    Column("after", 9),
    Column("session", 10, rank=1),
)


def gaps(report: Report) -> Table:
    """Numbers that were missing, the last first; above, the sums of each channel."""
    notes: list[Line] = []
    for stream in report.channels:
        if not stream.gaps:
            continue
        lines = [line for line in stream.lines if line.group != "repair"]
        filled = "  ".join(f"by {line.group} {line.filled:,}" for line in stream.lines if line.filled)
        lost = "  ".join(f"lost on {line.group} {line.missing:,}" for line in lines)
        name = f"{stream.channel} {stream.venue} {'incr' if stream.plane == 'incremental' else 'snap'}"
        parts: list[Part] = [(f"{name:<24}", "bold"), (f"{lost}  ", "")]
        parts += [
            (f"lost on all {stream.missing:,}", BAD if stream.missing else ""),
            (f"  filled {filled or 0}", ""),
        ]
        notes.append(tuple(parts))
    rows = []
    for gap in reversed(report.gaps):
        filled = ", ".join(f"{group} {count:,}" for group, count in gap.filled.items())
        cells: list[str | Part] = [
            clock(gap.opened_ns),
            str(gap.channel),
            "incr" if gap.plane == "incremental" else "snap",
            f"{gap.first:,}",
            f"{gap.count:,}",
            bad(gap.left),
            filled or "-",
            # At or below 0 the other line's copy was here first, in another socket.
            "at once" if gap.after_ns is not None and gap.after_ns <= 0 else duration(gap.after_ns),
            str(gap.session),
        ]
        rows.append(Row(cells, ("channel", gap.channel)))
    return Table(notes, _GAP_COLUMNS, rows, "no number was missing")


_DROP_COLUMNS: Final = (
    Column("group", 9, right=False),
    Column("address", 16, right=False),
    Column("datagrams/s", 11),
    Column("bytes/s", 8),
    Column("datagrams", 13),
    Column("own drops", 10),
    Column("now", 7),
    Column("refused, by cause", 20, right=False, fills=True),
)


def drops(report: Sockets) -> Table:
    """What the sockets took and did not take."""
    at = report.address
    addresses = {
        "A": at.group,
        "B": at.group_b,
        "snapshot": at.snapshot_group,
        "repair": at.repair_group,
        "text": at.text_group,
    }
    rows = []
    for group in report.groups:
        wrong = [f"{count:,} {name}" for name, count in refusals(group).items()]
        if group.unknown_type:
            wrong.append(f"{group.unknown_type:,} of unknown type")
        cells: list[str | Part] = [
            group.group,
            addresses[group.group],
            rate(group.datagrams_per_s),
            size(group.bytes_per_s),
            f"{group.datagrams:,}",
            bad(group.kernel_drops),
            bad(group.kernel_drops_now),
            (", ".join(wrong) or "-", BAD if wrong else ""),
        ]
        rows.append(Row(cells))
    text = (
        f"own drops are of this monitor alone; its receive buffer has {report.rcvbuf_bytes:,} bytes;"
        f" {report.truncated:,} truncated"
    )
    return Table((((text, DIM),),), _DROP_COLUMNS, rows, "no group is listened to")


# Latency.

_HOP_COLUMNS: Final = (
    Column("ch", 3),
    Column("venue", 13, right=False),
    Column("hop", 15, right=False),
    Column("last 10 s", 9),
    Column("p50", 7),
    Column("p90", 7, rank=2),
    Column("p99", 7),
    Column("p99.9", 7),
    Column("max", 7),
    Column("1us > 17s", 14, right=False),
    Column("p99 ever", 8, rank=1),
    Column("below 0", 9, rank=1),
)


def latency(report: Report) -> Table:
    """Times from hop to hop."""
    rows = [_hop_row(hop) for hop in report.hops]
    text = "exchange > recv compares two clocks; send > kernel ends at this host's stamp; REPLAY has none"
    return Table((((text, DIM),),), _HOP_COLUMNS, rows, "nothing measured yet")


def _hop_row(hop: HopReport) -> Row:
    lately = hop.lately
    most = max(hop.bars, default=0)
    blocks = "".join(_BLOCKS[-(-8 * count // most)] if most else " " for count in hop.bars)
    cells: list[str | Part] = [
        str(hop.channel),
        hop.venue,
        _HOP_NAMES[hop.hop],
        f"{lately.count:,}",
        *(
            duration(ns)
            for ns in (lately.p50_ns, lately.p90_ns, lately.p99_ns, lately.p999_ns, lately.max_ns)
        ),
        (blocks, "cyan"),
        duration(hop.total.p99_ns),
        bad(hop.negative, WARN),
    ]
    return Row(cells, ("channel", hop.channel), "" if lately.count else DIM)


_TEXT_COLUMNS: Final = (Column("at (UTC)", 12, right=False), Column("line", 20, right=False, fills=True))


def texts(report: Report) -> Table:
    """Lines of the text group, the last first. Nothing may act on them."""
    rows = [Row((clock(at_ns), line)) for at_ns, line in reversed(report.texts)]
    return Table((), _TEXT_COLUMNS, rows, "no line yet; they come once a second on the text group")
