"""One channel as its publisher tells it: what holds of each connection, and what has changed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from outcrier.clock import SESSION_EPOCH_NS
from outcrier.layout import REASONS
from outcrier.monitor.health import (
    ConnectionHealth,
    HealthEvent,
    NotLive,
    StateCount,
    VenueHealth,
    VenueState,
)
from outcrier.monitor.health_rules import GONE, NOT_LIVE, UNTOLD_NS, Signs, judge
from outcrier.venue_numbers import venue_name
from outcrier.views import STATUSES, named

CONNECTIONS_MAX: Final = 1_000
"""Connections of a channel that are followed: far more than any venue grants one address."""

RATE_WINDOW_NS: Final = 3_000_000_000
"""Rates are of so long, at least of two CONN messages: what is lost or late in one second does not show as a
burst in the next.
"""

RATE_LEAST_NS: Final = 500_000_000
"""Two messages that are closer, because something changed, tell no rate."""

_WHOLE_CYCLES: Final = 2
"""Between the ends of two snapshot cycles lies a whole one; the first end that is heard may be of a part."""

_TOLD_MAX: Final = 64
"""Sums kept for a rate: a connection that flutters tells more of them than one a second."""

_NEVER_MS: Final = 2**32 - 1
"""CONN.silence_ms of a connection that never brought a message."""

_SAME_LOSS_NS: Final = 2_000_000_000
"""The text line about a loss follows its STATUS within this time: it comes at most ten times a second, and is
repeated every second.
"""

_LOST: Final = re.compile(r"conn=(\d+) lost: (.*)")
_CONNECTION: Final = 4
_LIVE: Final = 1
_STALE: Final = 2


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
        while len(told) > 2 and told[1][0] <= at_ns - RATE_WINDOW_NS:
            told.popleft()

    def per_s(self) -> tuple[float | None, float | None]:
        """None = too little is known."""
        if not self._told or self._told[-1][0] - self._told[0][0] < RATE_LEAST_NS:
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


class Channel:
    """What is known of one channel; times are arguments."""

    def __init__(self, number: int, keep: Callable[[HealthEvent], None], events: deque[HealthEvent]) -> None:
        """`keep` takes what has changed, into `events`."""
        self.number = number
        self.venue = 0
        self.last_error = ""
        self.last_error_ns = 0
        self._keep = keep
        self._events = events
        self._session = 0
        self._start_ns = 0
        self._known_ns = 0
        self._cycles: int | None = None
        """Those whose end was heard when the session was first looked at."""
        self._all: Told | None = None
        self._connections: dict[int, Told] = {}
        self._unlisted = 0
        self._state = ""
        self._line = (0, "")
        """The text line taken last, which is said again every second."""

    @property
    def name(self) -> str:
        """The venue's."""
        return venue_name(self.venue)

    # What comes.

    def take(self, told: Mapping[str, Any]) -> None:
        """One message of `_core.Monitor.take_told`."""
        self.venue = told["venue"] or self.venue
        if told["session"] < self._session:
            return
        self._follow_session(told["session"], told["rx_ns"])
        if told["msg"] == "SESSION_START":
            self._start_ns = told["start_ts"]
        elif told["msg"] == "CONN":
            self._conn(told)
        elif told["scope"] == _CONNECTION:
            self._status(told)
        else:
            text = " ".join(filter(None, (_status_name(told), _reason(told["reason"]), _text(told))))
            self._event(told["rx_ns"], text, is_bad=told["state"] != _LIVE)

    def _follow_session(self, session: int, at_ns: int) -> None:
        if session == self._session:
            return
        if self._session:
            self._event(at_ns, f"session {session} begins, after {self._session}")
        else:
            self._event(at_ns, f"heard, session {session}")
            self._known_ns = at_ns
        self._session, self._start_ns, self._cycles = session, 0, None
        self._all, self._connections = None, {}

    def _conn(self, told: Mapping[str, Any]) -> None:
        conn_id, rx_ns = told["conn_id"], told["rx_ns"]
        if conn_id == 0 and self._all is None:
            self._all = self._fresh(told)
        known = self._connection(conn_id, told) if conn_id else self._all
        if known is None or (known.root and told["seq"] <= known.seq):
            return
        if conn_id and known.root:
            self._turn(conn_id, known, "open" if told["connected"] else "lost", rx_ns)
        elif conn_id and not known.status:
            known.state = "open" if told["connected"] else "lost"
        known.root, known.seq, known.rx_ns = told, told["seq"], rx_ns
        known.rates.add(rx_ns, told["messages"], told["bytes"])
        if conn_id == 0:
            self._forget(rx_ns)

    def _status(self, told: Mapping[str, Any]) -> None:
        known = self._connection(told["conn_id"], told)
        if known is None or told["since_ts"] < known.status_ns:
            return
        text = _text(told) or _reason(told["reason"])
        lost = told["state"] == _STALE
        known.status, known.status_ns = (f"lost: {text}" if lost else _status_name(told)), told["since_ts"]
        if lost:
            self._error(told["rx_ns"], f"conn={told['conn_id']} {known.status}")
            self._turn(told["conn_id"], known, "lost", told["since_ts"], f"lost: {text}")
        elif told["state"] == _LIVE:
            known.status = "subscribed"
            self._turn(told["conn_id"], known, "open", told["since_ts"], "subscribed", is_news=True)

    def _turn(
        self,
        conn_id: int,
        known: Told,
        state: Literal["open", "lost"],
        at_ns: int,
        text: str = "",
        *,
        is_news: bool = False,
    ) -> None:
        """Another state, or `is_news` whatever it was: an event."""
        if known.state == state and not is_news and known.root:
            return
        if known.state != state or not known.since_known:
            known.state, known.since_ns, known.since_known = state, at_ns, True
        self._event(at_ns, f"conn {conn_id} {text or state}", is_bad=state == "lost")

    def _connection(self, conn_id: int, told: Mapping[str, Any]) -> Told | None:
        known = self._connections.get(conn_id)
        if known is None:
            if len(self._connections) >= CONNECTIONS_MAX:
                self._unlisted += 1
                return None
            known = self._connections[conn_id] = self._fresh(told)
        return known

    @staticmethod
    def _fresh(told: Mapping[str, Any]) -> Told:
        return Told({}, told["seq"], told["rx_ns"], Rates(), "open", told["rx_ns"], since_known=False)

    def _forget(self, now_ns: int) -> None:
        """Connections that are told no more, while the others are, are no part of the plan."""
        gone = [number for number, told in self._connections.items() if now_ns - told.rx_ns >= UNTOLD_NS]
        for number in gone:
            del self._connections[number]
            self._event(now_ns, f"conn {number} gone")

    def take_error(self, at_ns: int, text: str) -> None:
        """A text line about the last error, which happened at `at_ns`. It has the whole text of a loss, of
        which STATUS has the beginning.
        """
        if (at_ns, text) == (
            self.last_error_ns,
            self.last_error,
        ) or at_ns < self.last_error_ns - _SAME_LOSS_NS:
            return
        self._error(at_ns, text)
        found = _LOST.fullmatch(text)
        if found is None:
            self._event(at_ns, text, is_bad=True)
            return
        whole = f"conn {found[1]} lost: {found[2]}"
        for index in range(len(self._events) - 1, -1, -1):
            each = self._events[index]
            if each.at_ns < at_ns - _SAME_LOSS_NS:
                break
            if each.channel == self.number and whole.startswith(each.text) and each.is_bad:
                self._events[index] = msgspec.structs.replace(each, text=whole)
                break
        known = self._connections.get(int(found[1]))
        if known is not None and f"lost: {found[2]}".startswith(known.status or "-"):
            known.status = f"lost: {found[2]}"

    def adopt(self, other: Channel) -> None:
        """What was heard of the venue before its first frame."""
        self.last_error, self.last_error_ns, self._line = other.last_error, other.last_error_ns, other._line

    def _error(self, at_ns: int, text: str) -> None:
        self.last_error_ns, self.last_error = at_ns, text

    def _event(self, at_ns: int, text: str, *, is_bad: bool = False) -> None:
        self._keep(HealthEvent(at_ns, self.name, self.number, text, is_bad))

    # What it comes to.

    def look(
        self,
        stream: Mapping[str, Any],
        states: Iterable[tuple[int, int, int]],
        not_live: Iterable[Mapping[str, Any]],
        cycles: int,
        wall_ns: int,
    ) -> VenueHealth:
        """`stream`: the incremental plane; `states`: state, reason and count; `not_live`: those to list;
        `cycles`: snapshot cycles whose end was heard.
        """
        self.venue = stream["venue"] or self.venue
        self._follow_session(stream["session"], stream["last_ns"])
        if self._cycles is None:
            self._cycles = cycles
        counts = _state_counts(states)
        told = self._all
        is_fresh = told is not None and wall_ns - told.rx_ns < UNTOLD_NS
        listed = tuple(self._describe(*each, wall_ns) for each in sorted(self._connections.items()))
        planned = told.value("total") if told is not None else None
        n_open = sum(each.state == "open" for each in listed)
        if told is not None and len(listed) != planned:
            n_open = told.value("connected")
        quiet_ns = max(wall_ns - stream["last_ns"], 0)
        signs = Signs(
            ended=stream["ended"],
            split=stream["split"] or bool(stream["differing"]),
            replay=stream["replay"],
            quiet_ns=quiet_ns,
            told_ns=None if told is None else wall_ns - told.rx_ns,
            open=n_open,
            planned=planned or 0,
            connections=listed,
            states=counts,
        )
        state, why = judge(signs, wall_ns - self._known_ns)
        self._change(state, why, wall_ns)
        total = sum(each.count for each in counts if each.state not in GONE)
        rates = told.rates.per_s() if told is not None and is_fresh else (None, None)
        start_ns = self._start_ns or SESSION_EPOCH_NS + 1_000_000_000 * self._session
        return VenueHealth(
            venue=self.name,
            channel=self.number,
            state=state,
            why=why,
            replay=stream["replay"],
            test=stream["test"],
            session=self._session,
            session_s=max(wall_ns - start_ns, 0) / 1e9,
            heard_s=quiet_ns / 1e9,
            open=n_open,
            planned=planned,
            reconnects=told.value("reconnects") if told is not None else 0,
            subscriptions=told.value("subscriptions") if told is not None else 0,
            messages=told.value("messages") if told is not None else 0,
            bytes=told.value("bytes") if told is not None else 0,
            messages_per_s=rates[0],
            bytes_per_s=rates[1],
            silence_ms=_silence_ms(told, wall_ns),
            expected_ms=told.value("expected_ms") if told is not None else 0,
            live=total - sum(each.count for each in counts if each.state in NOT_LIVE),
            total=total,
            states=counts,
            is_whole=bool(self._start_ns) or cycles - self._cycles >= _WHOLE_CYCLES,
            last_error=self.last_error,
            last_error_ns=self.last_error_ns,
            connections=listed,
            unlisted=self._unlisted,
            not_live=tuple(map(_not_live, not_live)),
        )

    def _change(self, state: VenueState, why: str, at_ns: int) -> None:
        """An event, unless it is only what was to be expected after the first frame."""
        before, self._state = self._state, state
        is_bad = state in {"degraded", "down"}
        if state != before and (is_bad or before not in {"", "not heard"}):
            self._event(at_ns, f"{state}: {why}" if why else state, is_bad=is_bad)

    def not_heard(self) -> VenueHealth:
        """A venue of which no frame came, but perhaps a text line."""
        return VenueHealth(
            venue=self.name,
            channel=0,
            state="not heard",
            why="no frame heard",
            replay=False,
            test=False,
            session=0,
            session_s=None,
            heard_s=None,
            open=0,
            planned=None,
            reconnects=0,
            subscriptions=0,
            messages=0,
            bytes=0,
            messages_per_s=None,
            bytes_per_s=None,
            silence_ms=None,
            expected_ms=0,
            live=0,
            total=0,
            states=(),
            is_whole=False,
            last_error=self.last_error,
            last_error_ns=self.last_error_ns,
            connections=(),
            unlisted=0,
            not_live=(),
        )

    @staticmethod
    def _describe(conn_id: int, told: Told, wall_ns: int) -> ConnectionHealth:
        is_fresh = wall_ns - told.rx_ns < UNTOLD_NS
        rates = told.rates.per_s() if is_fresh else (None, None)
        silence_ms, expected_ms = _silence_ms(told, wall_ns), told.value("expected_ms")
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
            silence_ms=silence_ms,
            expected_ms=expected_ms,
            is_quiet=told.state == "open" and 0 < expected_ms < (silence_ms or 0),
            told_ns=told.rx_ns,
            last_status=told.status,
            last_status_ns=told.status_ns,
        )


def _silence_ms(told: Told | None, wall_ns: int) -> int | None:
    """As it was told; once CONN is overdue, what has passed since then is silence too."""
    if told is None or not told.root or told.value("silence_ms") == _NEVER_MS:
        return None
    overdue_ns = wall_ns - told.rx_ns
    return told.value("silence_ms") + (overdue_ns // 1_000_000 if overdue_ns >= UNTOLD_NS else 0)


def _state_counts(states: Iterable[tuple[int, int, int]]) -> tuple[StateCount, ...]:
    found = [StateCount(named(STATUSES, state), _reason(reason), count) for state, reason, count in states]
    # Those of no consequence behind, the many before the few.
    return tuple(sorted(found, key=lambda each: (each.state not in NOT_LIVE, -each.count, each.state)))


def _not_live(row: Mapping[str, Any]) -> NotLive:
    return NotLive(
        row["instrument"],
        f"{row['symbol'] or row['instrument']}@{venue_name(row['venue'])}",
        named(STATUSES, row["state"]),
        _reason(row["reason"]),
        row["since_ns"],
        row["expected"],
        row["got"],
    )


def _status_name(told: Mapping[str, Any]) -> str:
    return named(STATUSES, told["state"])


def _reason(number: int) -> str:
    return REASONS.get(number, str(number)) if number else ""


def _text(told: Mapping[str, Any]) -> str:
    """Of what anybody may have sent, without what could steer a terminal."""
    text: str = told["text"].split(b"\0")[0].decode(errors="replace")
    return "".join(char if char.isprintable() else "?" for char in text)
