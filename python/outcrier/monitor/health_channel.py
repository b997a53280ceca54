"""One channel as its publisher tells it: what holds of each connection, and what has changed."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from outcrier.clock import SESSION_EPOCH_NS
from outcrier.monitor.health import HealthEvent, VenueHealth, VenueState
from outcrier.monitor.health_rules import GONE, NOT_LIVE, SILENT_NS, UNTOLD_NS, Signs, judge
from outcrier.monitor.health_told import (
    Rates,
    Told,
    describe,
    not_live,
    reason,
    silence_ms,
    state_counts,
    status_name,
    text,
)
from outcrier.venue_numbers import venue_name

CONNECTIONS_MAX: Final = 1_000
"""Connections of a channel that are followed: far more than any venue grants one address."""

_WHOLE_CYCLES: Final = 2
"""Between the ends of two snapshot cycles lies a whole one; the first end that is heard may be of a part."""

_SAME_LOSS_NS: Final = 2_000_000_000
"""The text line about a loss follows its STATUS within this time: it comes at most ten times a second, and is
repeated every second.
"""

_LOST: Final = re.compile(r"conn=(\d+) lost: (.*)")
_CONNECTION: Final = 4
_LIVE: Final = 1
_STALE: Final = 2
_CLOSED: Final = 5


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
        self._gone: deque[int] = deque(maxlen=CONNECTIONS_MAX)
        """Numbers of connections that are closed for good: what is told of them late counts no more."""
        self._unlisted = 0
        self._was: tuple[str, bool, bool] = ("", False, False)
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
        self._follow_session(told["session"], told["rx_ns"])
        if told["msg"] == "SESSION_START":
            self._start_ns = told["start_ts"]
        elif told["msg"] == "CONN":
            self._conn(told)
        elif told["scope"] == _CONNECTION:
            self._status(told)
        else:
            whole = " ".join(filter(None, (status_name(told), reason(told["reason"]), text(told))))
            self._event(told["rx_ns"], whole, is_bad=told["state"] != _LIVE)

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
        self._gone.clear()

    def _conn(self, told: Mapping[str, Any]) -> None:
        conn_id, rx_ns = told["conn_id"], told["rx_ns"]
        if conn_id == 0 and self._all is None:
            self._all = self._fresh(told)
        known = self._connection(conn_id, told) if conn_id else self._all
        if known is None or (known.root and told["seq"] <= known.seq):
            return
        if conn_id and known.root:
            self._turn(known, "open" if told["connected"] else "lost", rx_ns, told)
        elif conn_id and not known.status:
            known.state = "open" if told["connected"] else "lost"
        known.root, known.seq, known.rx_ns = told, told["seq"], rx_ns
        known.rates.add(rx_ns, told["messages"], told["bytes"])
        if conn_id == 0:
            self._forget(rx_ns)

    def _status(self, told: Mapping[str, Any]) -> None:
        if told["state"] == _CLOSED:
            self._retired(told["conn_id"], told["rx_ns"])
            return
        known = self._connection(told["conn_id"], told)
        if known is None or told["since_ts"] < known.status_ns:
            return
        why = text(told) or reason(told["reason"])
        is_lost = told["state"] == _STALE
        is_back = told["state"] == _LIVE
        known.status = f"lost: {why}" if is_lost else "subscribed" if is_back else status_name(told)
        known.status_ns = told["since_ts"]
        if is_lost:
            self._error(told["rx_ns"], f"conn={told['conn_id']} {known.status}")
        if known.root and told["seq"] < known.seq:
            return
        known.seq = told["seq"]
        if is_lost:
            self._turn(known, "lost", told["since_ts"], told, f"lost: {why}")
        elif is_back:
            self._turn(known, "open", told["since_ts"], told, "subscribed", is_news=True)

    def _retired(self, conn_id: int, at_ns: int) -> None:
        """The publisher has closed a connection for good; its number is never given again in a session."""
        self._gone.append(conn_id)
        if self._connections.pop(conn_id, None) is not None:
            self._event(at_ns, f"conn {conn_id} gone")

    def _turn(
        self,
        known: Told,
        state: Literal["open", "lost"],
        since_ns: int,
        told: Mapping[str, Any],
        text: str = "",
        *,
        is_news: bool = False,
    ) -> None:
        """`told` tells another state, or `is_news` whatever it was: an event."""
        if known.state == state and not is_news and known.root:
            return
        if known.state != state or not known.since_known:
            known.state, known.since_ns, known.since_known = state, since_ns, True
        self._event(told["rx_ns"], f"conn {told['conn_id']} {text or state}", is_bad=state == "lost")

    def _connection(self, conn_id: int, told: Mapping[str, Any]) -> Told | None:
        known = self._connections.get(conn_id)
        if known is None:
            if conn_id in self._gone:
                return None
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

    def take_error(self, at_ns: int, said: str) -> None:
        """A text line about the last error, which happened at `at_ns`. It has the whole text of a loss, of
        which STATUS has the beginning.
        """
        if (at_ns, said) == self._line or at_ns < self.last_error_ns - _SAME_LOSS_NS:
            return
        self._line = at_ns, said
        self._error(at_ns, said)
        found = _LOST.fullmatch(said)
        if found is None:
            self._event(at_ns, said, is_bad=True)
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
        unsure: Iterable[Mapping[str, Any]],
        cycles: int,
        wall_ns: int,
    ) -> VenueHealth:
        """`stream`: the incremental plane; `states`: state, reason and count; `unsure`: instruments to list;
        `cycles`: snapshot cycles whose end was heard.
        """
        self.venue = stream["venue"] or self.venue
        self._follow_session(stream["session"], stream["last_ns"])
        if self._cycles is None:
            self._cycles = cycles
        counts = state_counts(states)
        told = self._all
        quiet_ns = max(wall_ns - stream["last_ns"], 0)
        lives = not stream["ended"] and quiet_ns < SILENT_NS
        is_fresh = lives and told is not None and wall_ns - told.rx_ns < UNTOLD_NS
        connections = sorted(self._connections.items())
        listed = tuple(describe(*each, wall_ns, lives=lives) for each in connections)
        planned = told.value("total") if told is not None else None
        n_open = sum(each.state == "open" for each in listed)
        if told is not None and len(listed) != planned:
            n_open = told.value("connected")
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
        self._change(state, why, signs, wall_ns)
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
            silence_ms=silence_ms(told, wall_ns),
            expected_ms=told.value("expected_ms") if told is not None else 0,
            live=total - sum(each.count for each in counts if each.state in NOT_LIVE),
            total=total,
            states=counts,
            is_whole=bool(self._start_ns) or cycles - self._cycles >= _WHOLE_CYCLES,
            last_error=self.last_error,
            last_error_ns=self.last_error_ns,
            connections=listed,
            unlisted=self._unlisted,
            not_live=tuple(map(not_live, unsure)),
        )

    def _change(self, state: VenueState, why: str, signs: Signs, at_ns: int) -> None:
        """An event where the state is another, or the feeder itself is gone or back; not where it is only
        what was to be expected after the first frame.
        """
        before, now = self._was, (state, signs.ended, signs.is_silent)
        self._was = now
        is_bad = state in {"degraded", "down"}
        if now != before and (is_bad or before[0] not in {"", "not heard"}):
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
