"""A report on connections as plain lines that can be grepped. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from outcrier.monitor.health import ConnectionHealth, HealthEvent, HealthReport, VenueHealth
from outcrier.monitor.health_views import words
from outcrier.monitor.screen import group_text
from outcrier.monitor.styles import clock


def lines(report: HealthReport, events: Sequence[HealthEvent]) -> Iterator[str]:
    """One for each venue, connection and group, and for each of the `events`."""
    for venue in report.venues:
        yield _venue(venue)
        for connection in venue.connections:
            yield _connection(venue, connection)
    for group in report.groups:
        yield group_text(group).plain.strip()
    if report.overrun:
        yield f"own: {report.overrun:,} messages not taken in time"
    for event in events:
        yield f"event: {clock(event.at_ns)} {event.venue} {event.text}"


def _venue(each: VenueHealth) -> str:
    planned = "-" if each.planned is None else each.planned
    parts = [
        f"{each.venue} ch={each.channel} state={each.state.replace(' ', '-')}",
        *words(each),
        f"connections={each.open}/{planned} reconnects={each.reconnects} streams={each.subscriptions}",
        f"messages/s={_number(each.messages_per_s)} bytes/s={_number(each.bytes_per_s)}",
        f"silence_ms={_number(each.silence_ms)}/{each.expected_ms} live={each.live}/{each.total}",
        f"session_s={_number(each.session_s)}",
    ]
    parts += [
        f"{count.state}={count.count}" + (f"({count.reason})" if count.reason else "")
        for count in each.states
    ]
    if each.why:
        parts.append(f"why: {each.why}")
    if each.last_error:
        parts.append(f"last error: {clock(each.last_error_ns)} {each.last_error}")
    return " ".join(parts)


def _connection(venue: VenueHealth, each: ConnectionHealth) -> str:
    status = f" status: {each.last_status}" if each.last_status else ""
    return (
        f"{venue.venue} ch={venue.channel} conn={each.conn_id} state={each.state}"
        f" since={'' if each.since_known else '>'}{clock(each.since_ns)} reconnects={each.reconnects}"
        f" streams={each.subscriptions} messages/s={_number(each.messages_per_s)}"
        f" bytes/s={_number(each.bytes_per_s)}"
        f" silence_ms={_number(each.silence_ms)}/{each.expected_ms}{status}"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
