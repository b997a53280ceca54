"""The pages of channels, venues, instruments and states: from a report to tables. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from outcrier.monitor.loss_views import drops, gaps, latency, texts
from outcrier.monitor.report import InstrumentReport, Report, StreamReport
from outcrier.monitor.screen import age, rate, type_name, words
from outcrier.monitor.styles import BAD, DIM, WARN, bad, clock, proof_part, state_part, word_part
from outcrier.monitor.table import Column, Line, Part, Row, Table, duration, size

# Channels.

_CHANNEL_COLUMNS: Final = (
    Column("ch", 3),
    Column("venue", 13, right=False),
    Column("plane", 5, right=False),
    Column("state", 14, right=False),
    Column("packets/s", 9),
    Column("bytes/s", 7),
    Column("missing", 8),
    Column("gaps", 6, rank=1),
    Column("A lost", 7, rank=1),
    Column("B lost", 7, rank=1),
    Column("repaired", 8, rank=1),
    Column("first", 7, rank=2),
    Column("seq", 10, rank=3),
    Column("seen", 6),
)


def channels(report: Report, venue: str | None) -> Table:
    """A row for each plane of a channel."""
    rows = [_channel_row(stream) for stream in report.channels if venue is None or stream.venue == venue]
    return Table((), _CHANNEL_COLUMNS, rows, "no frame yet")


def _channel_row(stream: StreamReport) -> Row:
    lines = {line.group: line for line in stream.lines}
    lost = [bad(lines[name].missing, WARN) if name in lines else "-" for name in ("A", "B")]
    repaired = lines["repair"].filled if "repair" in lines else 0
    style = "" if stream.packets_per_s else DIM
    cells: list[str | Part] = [
        str(stream.channel),
        stream.venue,
        "incr" if stream.plane == "incremental" else "snap",
        word_part(stream),
        rate(stream.packets_per_s),
        size(stream.bytes_per_s),
        bad(stream.missing),
        f"{stream.gaps:,}",
        *(lost if stream.plane == "incremental" else ("", "")),
        f"{repaired:,}",
        first(stream),
        f"{stream.seq:,}",
        age(stream.age_s),
    ]
    return Row(cells, ("channel", stream.channel), style)


def first(stream: StreamReport) -> str:
    """The line that brings most numbers first, and how often it does."""
    lines = [line for line in stream.lines if line.group in ("A", "B")]
    total = sum(line.earlier for line in lines)
    if len(lines) < 2 or not total:
        return "-"
    best = max(lines, key=lambda line: line.earlier)
    return f"{best.group} {100 * best.earlier // total} %"


def channel(report: Report, number: int) -> Table:
    """One channel: its lines, what its publisher says, its types, and a row for each of its instruments."""
    notes: list[Line] = []
    for stream in report.channels:
        if stream.channel == number:
            notes += _channel_notes(stream)
    rows = [instrument_row(each) for each in report.instruments if each.channel == number]
    return Table(notes, INSTRUMENT_COLUMNS, rows, "no instrument heard")


def _channel_notes(stream: StreamReport) -> list[Line]:
    notes: list[Line] = [
        (
            (f"{stream.plane:<12}", "bold"),
            word_part(stream),
            (f"  session {stream.session}, {stream.sessions:,} heard", ""),
            (f"  seq {stream.seq:,}  missing {stream.missing:,} in {stream.gaps:,} gaps", ""),
            (f"  {stream.old_session:,} of older sessions" if stream.old_session else "", WARN),
            (f"  {stream.differing:,} COPIES DIFFER" if stream.differing else "", BAD),
        )
    ]
    if stream.heartbeat is not None:
        notes.append(((f"  {publisher(stream.heartbeat)}", DIM),))
    if stream.plane == "incremental":
        for line in stream.lines:
            text = (
                f"  {line.group:<8}{rate(line.packets_per_s):>9}/s {line.packets:>13,} packets"
                f"  lost {line.missing:,}  twice {line.duplicates:,}  first {line.earlier:,}"
                f"  alone {line.filled:,}  seen {age(line.age_s)}"
            )
            notes.append(((text, ""),))
    told = "  ".join(
        f"{type_name(each.type, each.number)} {rate(each.packets_per_s + each.packed_per_s)}/s"
        for each in stream.types
        if each.packets_per_s or each.packed_per_s
    )
    notes.append(((f"  {told}", DIM),))
    return notes


def publisher(heartbeat: Mapping[str, int]) -> str:
    """What the publisher says of itself."""
    error = heartbeat["clock_err_ns"]
    parts = [
        f"publisher {heartbeat['publisher_id']:016x}",
        f"clock error {'unknown' if error == 0xFFFFFFFF else duration(error)}",
        f"snapshot cycle {heartbeat['snapshot_cycle_ms']:,} ms",
    ]
    if heartbeat["retx_ipv4"]:
        address = ".".join(str(part) for part in heartbeat["retx_ipv4"].to_bytes(4, "big"))
        ports = f"{heartbeat['retx_udp_port']} tcp {heartbeat['replay_tcp_port']}"
        parts.append(f"retransmit {address}:{ports} from {heartbeat['oldest_retx_seq']:,}")
    else:
        parts.append("no retransmit server")
    if heartbeat["key_id"]:
        parts.append(f"key {heartbeat['key_id']}")
    return ", ".join(parts)


# Venues.

_VENUE_COLUMNS: Final = (
    Column("venue", 14, right=False),
    Column("channels", 10, right=False),
    Column("state", 14, right=False),
    Column("packets/s", 10),
    Column("bytes/s", 8),
    Column("messages/s", 10),
    Column("missing", 8),
    Column("live", 6),
    Column("stale", 6),
    Column("recovering", 10),
    Column("other", 6),
    Column("suspect", 7, rank=1),
)


def venues(report: Report) -> Table:
    """A row for each venue; states are those of the instruments sampled."""
    rows = []
    for name in sorted({stream.venue for stream in report.channels}):
        streams = [stream for stream in report.channels if stream.venue == name]
        listed = [each for each in report.instruments if each.venue == name]
        states = [each.state for each in listed]
        told = [states.count(state) for state in ("live", "stale", "recovering")]
        worst = max(streams, key=lambda stream: (len(words(stream)), stream.plane == "incremental"))
        cells: list[str | Part] = [
            name,
            " ".join(sorted({str(stream.channel) for stream in streams})),
            word_part(worst),
            rate(sum(stream.packets_per_s for stream in streams)),
            size(sum(stream.bytes_per_s for stream in streams)),
            rate(sum(each.messages_per_s for each in listed)),
            bad(sum(stream.missing for stream in streams)),
            str(told[0]),
            bad(told[1]),
            bad(told[2], WARN),
            str(len(states) - sum(told)),
            bad(sum(each.suspect for each in listed), WARN),
        ]
        rows.append(Row(cells, ("venue", name)))
    return Table((), _VENUE_COLUMNS, rows, "no frame yet")


# Instruments and their states.

INSTRUMENT_COLUMNS: Final = (
    Column("instrument", 32, right=False),
    Column("ch", 3),
    Column("state", 11, right=False),
    Column("proof", 12, right=False),
    Column("msgs/s", 7),
    Column("messages", 11, rank=1),
    Column("books", 10, rank=1),
    Column("trades", 9, rank=1),
    Column("bbos", 10, rank=1),
    Column("suspect", 8, rank=2),
    Column("seq", 10, rank=3),
    Column("seen", 6),
)


def instrument_row(each: InstrumentReport) -> Row:
    """One instrument."""
    cells: list[str | Part] = [
        each.symbol,
        str(each.channel),
        state_part(each.state),
        proof_part(each),
        rate(each.messages_per_s),
        f"{each.messages:,}",
        f"{each.books:,}",
        f"{each.trades:,}",
        f"{each.bbos:,}",
        bad(each.suspect, WARN),
        f"{each.instr_seq:,}",
        age(each.age_s) if each.last_ns else "-",
    ]
    return Row(cells, ("instrument", each.symbol), "" if each.messages_per_s else DIM)


def instruments(report: Report) -> Table:
    """The busiest instruments."""
    notes: list[Line] = []
    if report.untracked:
        text = f"{report.untracked:,} messages of instruments beyond the {report.instruments_known:,} counted"
        notes.append(((text, WARN),))
    rows = [instrument_row(each) for each in report.instruments]
    return Table(notes, INSTRUMENT_COLUMNS, rows, "no instrument heard")


_STATE_COLUMNS: Final = (
    Column("at (UTC)", 12, right=False),
    Column("instrument", 36, right=False),
    Column("before", 12, right=False),
    Column("since", 12, right=False),
    Column("reason", 12, right=False, fills=True),
)


def states(report: Report) -> Table:
    """What publishers say of their books, the last change first."""
    symbols = {(each.venue, each.instrument): each.symbol for each in report.instruments}
    counts: dict[str, int] = {}
    for each in report.instruments:
        counts[each.state] = counts.get(each.state, 0) + 1
    told = "  ".join(f"{state} {count:,}" for state, count in sorted(counts.items()))
    rows = []
    for change in reversed(report.changes):
        symbol = symbols.get((change.venue, change.instrument), f"{change.instrument}@{change.venue}")
        cells: list[str | Part] = [
            clock(change.at_ns),
            symbol,
            state_part(change.before),
            state_part(change.state),
            change.reason,
        ]
        rows.append(Row(cells, ("instrument", symbol)))
    notes: list[Line] = [((f"now: {told or 'no instrument'}", ""),)]
    return Table(notes, _STATE_COLUMNS, rows, "no state told yet")


PAGES: Final[dict[str, Callable[[Report], Table]]] = {
    "channels": lambda report: channels(report, None),
    "venues": venues,
    "instruments": instruments,
    "states": states,
    "gaps": gaps,
    "drops": drops,
    "latency": latency,
    "text": texts,
}
"""Pages by the name of their tab."""
