"""What was told of connections and books, and what it comes to. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from outcrier.layout import REASONS
from outcrier.monitor.health import ConnectionHealth, NotLive, StateCount
from outcrier.monitor.health_rules import NOT_LIVE, UNTOLD_NS
from outcrier.venue_numbers import venue_name
from outcrier.views import STATUSES, named

_RATE_WINDOW_NS: Final = 3_000_000_000
"""Rates are of so long, at least of two CONN messages: what is lost or late in one second does not show as a
burst in the next.
"""

_RATE_LEAST_NS: Final = 500_000_000
"""Two messages that are closer, because something changed, tell no rate."""

_TOLD_MAX: Final = 64
"""Sums kept for a rate: a connection that flutters tells more of them than one a second."""

_NEVER_MS: Final = 2**32 - 1
"""CONN.silence_ms of a connection that never brought a message."""


class Rates:
    """Messages and bytes a second, from sums that are told now and then."""

    def __init__(self) -> None:
        self._told: deque[tuple[int, int, int]] = deque(maxlen=_TOLD_MAX)

    def add(self, at_ns: int, messages: int, n_bytes: int) -> None:
        """The sums of one moment. Where they fall, somebody has begun to count anew."""
        told = self._told
        if told and (at_ns < told[-1][0] or messages < told[-1][1] or n_bytes < told[-1][2]):
            told.clear()
        told.append((at_ns, messages, n_bytes))
        while len(told) > 2 and told[1][0] <= at_ns - _RATE_WINDOW_NS:
            told.popleft()

    def per_s(self) -> tuple[float | None, float | None]:
        """None = too little is known."""
        if not self._told or self._told[-1][0] - self._told[0][0] < _RATE_LEAST_NS:
            return None, None
        (from_ns, messages, n_bytes), (to_ns, more, more_bytes) = self._told[0], self._told[-1]
        span_s = (to_ns - from_ns) / 1_000_000_000
        return (more - messages) / span_s, (more_bytes - n_bytes) / span_s


class Told(msgspec.Struct):
    """What was said last of a connection, or of all of them."""

    root: Mapping[str, Any]
    """Fields of CONN; empty = none came yet."""
    seq: int
    """Number of the frame: what came late is older than what is known."""
    rx_ns: int
    rates: Rates
    state: Literal["open", "lost"]
    since_ns: int
    since_known: bool
    status: str = ""
    status_ns: int = 0

    def value(self, field: str) -> int:
        """A field of the last CONN; 0 before one came."""
        found: int = self.root.get(field, 0)
        return found


def describe(conn_id: int, told: Told, wall_ns: int, *, lives: bool) -> ConnectionHealth:
    """One connection now; `lives`: so does its feeder."""
    is_fresh = lives and wall_ns - told.rx_ns < UNTOLD_NS
    rates = told.rates.per_s() if is_fresh else (None, None)
    quiet_ms, expected_ms = silence_ms(told, wall_ns), told.value("expected_ms")
    return ConnectionHealth(
        conn_id=conn_id,
        state=told.state,
        since_ns=told.since_ns,
        since_known=told.since_known,
        reconnects=told.value("reconnects"),
        subscriptions=told.value("subscriptions"),
        messages=told.value("messages"),
        bytes=told.value("bytes"),
        messages_per_s=rates[0],
        bytes_per_s=rates[1],
        silence_ms=quiet_ms,
        expected_ms=expected_ms,
        is_quiet=told.state == "open" and 0 < expected_ms < (quiet_ms or 0),
        told_ns=told.rx_ns,
        last_status=told.status,
        last_status_ns=told.status_ns,
    )


def silence_ms(told: Told | None, wall_ns: int) -> int | None:
    """As it was told; once CONN is overdue, what has passed since then is silence too."""
    if told is None or not told.root or told.value("silence_ms") == _NEVER_MS:
        return None
    overdue_ns = wall_ns - told.rx_ns
    return told.value("silence_ms") + (overdue_ns // 1_000_000 if overdue_ns >= UNTOLD_NS else 0)


def state_counts(states: Iterable[tuple[int, int, int]]) -> tuple[StateCount, ...]:
    """State, reason and count by their names: those that matter first, the many before the few."""
    found = [StateCount(named(STATUSES, state), reason(why), count) for state, why, count in states]
    return tuple(sorted(found, key=lambda each: (each.state not in NOT_LIVE, -each.count, each.state)))


def not_live(row: Mapping[str, Any]) -> NotLive:
    """A row of `_core.Monitor.not_live`."""
    return NotLive(
        row["instrument"],
        f"{row['symbol'] or row['instrument']}@{venue_name(row['venue'])}",
        named(STATUSES, row["state"]),
        reason(row["reason"]),
        row["since_ns"],
        row["expected"],
        row["got"],
    )


def status_name(told: Mapping[str, Any]) -> str:
    """The state of a STATUS."""
    return named(STATUSES, told["state"])


def reason(number: int) -> str:
    """The reason of a STATUS; empty = none."""
    return REASONS.get(number, str(number)) if number else ""


def text(told: Mapping[str, Any]) -> str:
    """Of what anybody may have sent, without what could steer a terminal."""
    text: str = told["text"].split(b"\0")[0].decode(errors="replace")
    return "".join(char if char.isprintable() else "?" for char in text)
