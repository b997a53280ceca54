"""The pages of `websocket_monitor`: from a report to tables. Pure."""

from __future__ import annotations

from typing import Final

from outcrier.monitor.health import ConnectionHealth, HealthReport, NotLive, VenueHealth
from outcrier.monitor.screen import age, rate
from outcrier.monitor.styles import BAD, DIM, GOOD, LOUD, WARN, bad, clock, state_part
from outcrier.monitor.table import Column, Line, Part, Row, Table, size

STATE_STYLES: Final = {
    "live": GOOD,
    "degraded": WARN,
    "down": BAD,
    "not heard": DIM,
    "open": GOOD,
    "lost": BAD,
}

_BAR_CHARACTERS: Final = 5
"""Length of the bar of silence: full at what is expected."""

_VENUE_COLUMNS: Final = (
    Column("venue", 13, right=False),
    Column("state", 9, right=False),
    Column("conns", 5),
    Column("msgs/s", 7),
    Column("bytes/s", 7, rank=2),
    Column("silence/s", 9),
    Column("", _BAR_CHARACTERS, right=False, rank=2),
    Column("live", 9),
    Column("reconnects", 10, rank=2),
    Column("streams", 7, rank=3),
    Column("session", 7, rank=3),
    Column("flags", 6, right=False, rank=2),
    Column("why, last error", 22, right=False, fills=True),
)


def venues(report: HealthReport) -> Table:
    """A row for each venue and channel."""
    rows = [_venue_row(venue) for venue in report.venues]
    return Table((), _VENUE_COLUMNS, rows, "no venue heard yet")


def _venue_row(venue: VenueHealth) -> Row:
    style = DIM if venue.state == "not heard" else ""
    planned = "-" if venue.planned is None else str(venue.planned)
    any_quiet = any(each.is_quiet for each in venue.connections)
    all_open = venue.planned is None or venue.open == venue.planned
    cells: list[str | Part] = [
        venue.venue,
        (venue.state, STATE_STYLES[venue.state]),
        (f"{venue.open}/{planned}", "" if all_open else BAD),
        per_s(venue.messages_per_s),
        "-" if venue.bytes_per_s is None else size(venue.bytes_per_s),
        *(silence(venue.silence_ms, venue.expected_ms, is_bad=any_quiet) if planned != "-" else ("-", "")),
        (f"{venue.live}/{venue.total}", "" if venue.live == venue.total else WARN),
        f"{venue.reconnects:,}",
        f"{venue.subscriptions:,}",
        "-" if venue.session_s is None else age(venue.session_s),
        (" ".join(words(venue)), LOUD) if words(venue) else "",
        _trouble(venue),
    ]
    return Row(cells, ("channel", venue.channel, venue.venue), style)


def _trouble(venue: VenueHealth) -> str | Part:
    """What is wrong now; else what was wrong last, and when."""
    last = f"{clock(venue.last_error_ns)[:8]} {venue.last_error}" if venue.last_error else ""
    if not venue.why:
        return last, DIM
    return " | ".join(filter(None, (venue.why, last))), STATE_STYLES[venue.state]


def words(venue: VenueHealth) -> list[str]:
    """What nobody shall overlook."""
    return [word for word, holds in (("REPLAY", venue.replay), ("TEST", venue.test)) if holds]


def per_s(value: float | None) -> str:
    """A rate, or `-` where none is known."""
    return "-" if value is None else rate(value)


def silence(silence_ms: int | None, expected_ms: int, *, is_bad: bool) -> tuple[str | Part, str | Part]:
    """Seconds of silence and of what is expected, and a bar that is full at what is expected."""
    if silence_ms is None:
        return "never", ""
    if not expected_ms:
        return _seconds(silence_ms), ""
    filled = min(_BAR_CHARACTERS * silence_ms // expected_ms, _BAR_CHARACTERS)
    bar = "\u2587" * filled + "\u00b7" * (_BAR_CHARACTERS - filled)
    style = BAD if is_bad else ""
    return (f"{_seconds(silence_ms)}/{_seconds(expected_ms)}", style), (bar, style)


def _seconds(milliseconds: int) -> str:
    """At most three characters below 1,000 s."""
    return f"{milliseconds / 1_000:.1f}" if milliseconds < 9_950 else f"{milliseconds / 1_000:.0f}"


# One venue.

_PART_COLUMNS: Final = (
    Column("connection, book", 22, right=False),
    Column("state", 10, right=False),
    Column("for", 8),
    Column("msgs/s", 7),
    Column("bytes/s", 7, rank=1),
    Column("silence/s", 9),
    Column("", _BAR_CHARACTERS, right=False, rank=1),
    Column("reconnects", 10, rank=2),
    Column("streams", 7, rank=2),
    Column("last status, reason", 12, right=False, fills=True),
)


def venue(report: HealthReport, channel: int, name: str) -> Table:
    """Its connections, then its instruments that are not live."""
    for each in report.venues:
        if (each.channel, each.venue) == (channel, name):
            rows = [_connection_row(connection, report.time_ns) for connection in each.connections]
            rows += [_book_row(book, report.time_ns) for book in each.not_live]
            return Table(
                _venue_notes(each), _PART_COLUMNS, rows, "no connection told, no book to worry about"
            )
    return Table((), _PART_COLUMNS, (), f"{name} is not heard any more")


def _venue_notes(each: VenueHealth) -> list[Line]:
    planned = "-" if each.planned is None else f"{each.planned:,}"
    notes: list[Line] = [
        (
            (f"{each.venue} ", "bold"),
            (each.state, STATE_STYLES[each.state]),
            (f": {each.why}" if each.why else "", STATE_STYLES[each.state]),
            *((f" {word} ", LOUD) for word in words(each)),
        )
    ]
    if each.channel:
        session = "-" if each.session_s is None else age(each.session_s)
        heard = "-" if each.heard_s is None else age(each.heard_s)
        text = f"channel {each.channel}, session {each.session} for {session}, heard {heard} ago"
        notes.append(((text, ""),))
        text = (
            f"{each.open} of {planned} connections, {each.reconnects:,} reconnects,"
            f" {each.subscriptions:,} streams, {each.messages:,} messages"
        )
        notes.append(((text, ""),))
        told = "  ".join(
            f"{count.count:,} {count.state}" + (f" ({count.reason})" if count.reason else "")
            for count in each.states
        )
        notes.append(((f"books: {told or 'none'}", ""),))
    if each.unlisted:
        notes.append(((f"{each.unlisted:,} messages about connections beyond those followed", WARN),))
    if each.last_error:
        notes.append(((f"last error {clock(each.last_error_ns)} {each.last_error}", ""),))
    return notes


def _connection_row(each: ConnectionHealth, now_ns: int) -> Row:
    status = f"{clock(each.last_status_ns)[:8]} {each.last_status}" if each.last_status else "-"
    cells: list[str | Part] = [
        f"conn {each.conn_id}",
        (each.state, STATE_STYLES[each.state]),
        ("" if each.since_known else ">") + _age(each.since_ns, now_ns),
        per_s(each.messages_per_s),
        "-" if each.bytes_per_s is None else size(each.bytes_per_s),
        *silence(each.silence_ms, each.expected_ms, is_bad=each.is_quiet),
        f"{each.reconnects:,}",
        f"{each.subscriptions:,}",
        status,
    ]
    return Row(cells)


def _book_row(each: NotLive, now_ns: int) -> Row:
    numbers = f" expected {each.expected} got {each.got}" if each.expected or each.got else ""
    cells: list[str | Part] = [
        each.symbol,
        state_part(each.state),
        _age(each.since_ns, now_ns),
        *[""] * 6,
        f"{each.reason or '-'}{numbers}",
    ]
    return Row(cells)


def _age(since_ns: int, now_ns: int) -> str:
    return age(max(now_ns - since_ns, 0) / 1e9) if since_ns else "-"


# Events.

_EVENT_COLUMNS: Final = (
    Column("at (UTC)", 12, right=False),
    Column("venue", 16, right=False),
    Column("what", 20, right=False, fills=True),
)


def events(report: HealthReport) -> Table:
    """What has changed, the last first."""
    rows = [
        Row(
            (clock(each.at_ns), each.venue, (each.text, bad(each.is_bad)[1])),
            ("channel", each.channel, each.venue),
        )
        for each in reversed(report.events)
    ]
    return Table((), _EVENT_COLUMNS, rows, "nothing has changed yet")
