"""The connections of a session: one for each that is planned, and for a while a second one that takes over
before the venue cuts the first.
"""

from __future__ import annotations

import dataclasses
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from outcrier import _core
from outcrier.clock import mono_ns
from outcrier.feeder.allowance import Allowance
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.connection import Connection, State
from outcrier.feeder.driver import ConnectionDriver, Owner
from outcrier.feeder.logs import LimitedLog
from outcrier.feeder.plan import Change, Part, PlannedConnection, Planner, spec_of
from outcrier.feeder.roster import Roster
from outcrier.feeder.stream_silence import BOOK
from outcrier.feeder.tap import Tap
from outcrier.feeder.transport import Connector

START_SPREAD_NS: Final = SECOND_NS // 10
"""Connections that begin together begin within so much for each of them: a thousand streams must not be
asked for in the same instant.
"""

TAKE_OVER_NS: Final = 10 * SECOND_NS
"""After the subscription of the second connection: what has not moved over by then is quiet."""

DRAIN_NS: Final = 10 * SECOND_NS
"""A first connection that does not answer a ping for so long is let go unread."""

HEARD_WITHIN_NS: Final = SECOND_NS
"""A link may lag behind the other by so much: what the first one brought before, the second one has brought
after this, or does not carry.
"""

RENEW_AGAIN_NS: Final = 60 * SECOND_NS
"""Between two second connections of a place: one may be lost before it takes over, and a venue that announces
its end to every new connection must not be asked in a loop.
"""

# STATUS numbers of docs/wire-format.md.
_SCOPE_CONNECTION: Final = 4
_STATE_CLOSED: Final = 5


class Which(Enum):
    """Streams of an instrument."""

    ALL = "all"
    BOOK = "book"
    ORDERS = "orders"

    def of(self, part: Part) -> tuple[str, ...]:
        """Those of them that a part has."""
        return part.streams if self is Which.ALL else part.book if self is Which.BOOK else part.orders


@dataclass(slots=True)
class _Place:
    """A planned connection with the drivers that carry it."""

    planned: PlannedConnection
    main: ConnectionDriver
    second: ConnectionDriver | None = None
    """Takes over."""
    waiting: set[int] = field(default_factory=set)
    """Instruments that have not moved over."""
    until_ns: int | None = None
    """The first one is let go by then; None = the second one is not subscribed."""
    undrained_until_ns: int | None = None
    """Until then something of before the second one's subscription may be under way on the first one; None =
    nothing is.
    """
    counts: dict[int, int] = field(default_factory=dict)
    """Messages of the books of `waiting` when the second one was subscribed."""
    unheard: set[int] = field(default_factory=set)
    """Of `waiting`, those that only the first one has brought since."""
    begun_ns: int | None = None
    """When the last second one began."""


@dataclass(slots=True)
class Sums:
    """What the connections of a session did so far."""

    reconnects: int = 0
    messages: int = 0
    bytes: int = 0

    def add(self, machine: Connection) -> None:
        """What one of them did."""
        self.reconnects += machine.reconnects
        self.messages += machine.messages
        self.bytes += machine.bytes


class Links:
    """Opens, feeds, replaces and closes the connections of a plan."""

    def __init__(
        self,
        *,
        owner: Owner,
        planner: Planner,
        roster: Roster,
        feed: _core.Feed,
        connector_for: Callable[[str], Connector],
        random: random.Random,
        log: LimitedLog,
        allowance_of: Callable[[PlannedConnection], Allowance],
        tap: Tap | None,
    ) -> None:
        self._owner = owner
        self._planner = planner
        self._venue = planner.venue
        self._roster = roster
        self._feed = feed
        self._connector_for = connector_for
        self._random = random
        self._log = log
        self._tap = tap
        self._allowance_of = allowance_of
        self._places: dict[int, _Place] = {}
        self._last_id = 0
        self.take_overs = 0
        """Connections that another one has replaced before the venue cut them."""
        self.take_overs_failed = 0
        """Tries to do so that failed: no link came about, or it was lost or of no use."""
        self._gone = Sums()
        """Of connections that are no longer there."""

    @property
    def drivers(self) -> list[ConnectionDriver]:
        """All of them, by number on the wire."""
        places = self._places.values()
        drivers = [place.main for place in places] + [place.second for place in places if place.second]
        return sorted(drivers, key=lambda driver: driver.conn_id)

    @property
    def mains(self) -> list[ConnectionDriver]:
        """Those that have a place: one for each that is planned."""
        return [place.main for place in self._places.values()]

    @property
    def sums(self) -> Sums:
        """Of all connections, those that are gone too: counts only grow."""
        sums = dataclasses.replace(self._gone)
        for driver in self.drivers:
            sums.add(driver.machine)
        return sums

    def apply(self, changes: Iterable[Change]) -> None:
        """Carries out what the planner has changed; indices are known to the roster."""
        now_ns = mono_ns()
        fresh: list[ConnectionDriver] = []
        for change in changes:
            planned = change.connection
            place = self._places.get(planned.number)
            if place is None:
                place = self._places[planned.number] = _Place(planned, self._driver(planned))
                fresh.append(place.main)
            elif not planned.parts:
                self._close(place)
            else:
                self._ask(place, change, now_ns)
        self._renew_members()
        for driver in fresh:
            wait_ns = int(self._random.random() * START_SPREAD_NS * len(fresh))
            driver.apply(driver.machine.start(now_ns, wait_ns))
        self._owner.reschedule()

    def stop(self) -> None:
        """Closes all."""
        for driver in self.drivers:
            driver.stop()

    def carrier(self, index: int) -> ConnectionDriver | None:
        """The connection that feeds the book of an instrument."""
        return next((place.main for place in self._places.values() if index in place.main.books), None)

    def orders_carrier(self, index: int) -> ConnectionDriver | None:
        """The connection that feeds the orders of an instrument."""
        return next((place.main for place in self._places.values() if index in place.main.orders), None)

    def asking(self) -> list[ConnectionDriver]:
        """Connections that have something left to send."""
        return [place.main for place in self._places.values() if place.main.machine.is_asking]

    def is_carried(self, index: int) -> bool:
        """Whether every stream of an instrument without a book is subscribed."""
        mine = [place.main for place in self._places.values() if index in place.main.bookless]
        return bool(mine) and all(driver.machine.is_settled for driver in mine)

    def cut_off(self) -> list[int]:
        """Instruments with a stream on a connection that is not subscribed."""
        down = [place.main for place in self._places.values() if not place.main.machine.subscribed]
        return sorted({index for driver in down for index in (*driver.books, *driver.bookless)})

    def resubscribe(self, indices: Mapping[int, Which]) -> set[int]:
        """Gives streams of instruments up and asks for them anew, in as few messages as the venue takes;
        those that somebody could be asked for.
        """
        asked: set[int] = set()
        natives = {self._roster[index].native_symbol: index for index in indices}
        for place in self._places.values():
            if not place.main.machine.subscribed:
                continue
            streams: list[str] = []
            for native in natives.keys() & place.planned.parts.keys():
                part, index = place.planned.parts[native], natives[native]
                mine = indices[index].of(part)
                if mine:
                    streams += mine
                    asked.add(index)
            if streams:
                change = Change(place.planned, added=tuple(streams), removed=tuple(streams))
                self._ask(place, change, mono_ns())
        return asked

    # Taking over.

    def renew(self, driver: ConnectionDriver, reason: str) -> None:
        """The venue will cut this connection: a second one begins beside it."""
        place = self._place_of(driver)
        if place is None:
            return
        now_ns, most = mono_ns(), self._venue.limits.connections
        if place.main is not driver or 0 < most <= len(self.drivers):
            # It takes over itself, or the venue allows no further connection: somewhat later.
            driver.machine.renew_later(now_ns, RENEW_AGAIN_NS)
            return
        if place.second is not None:
            return
        if place.begun_ns is not None and now_ns < place.begun_ns + RENEW_AGAIN_NS:
            driver.machine.renew_later(now_ns, place.begun_ns + RENEW_AGAIN_NS - now_ns)
            return
        place.begun_ns = now_ns
        second = place.second = self._driver(place.planned)
        second.books, second.bookless, second.orders = driver.books, driver.bookless, driver.orders
        place.waiting = {*driver.books, *driver.bookless}
        place.until_ns = None
        self._feed.overlap(driver.conn_id, second.conn_id, sorted(place.waiting))
        self._log.log(
            now_ns, logging.INFO, f"conn={driver.conn_id}", f"{reason}: conn={second.conn_id} takes over"
        )
        second.apply(second.machine.start(now_ns))

    def subscribed(self, driver: ConnectionDriver) -> None:
        """A connection carries everything asked for."""
        place = self._place_of(driver)
        if place is not None and place.second is driver:
            now_ns = mono_ns()
            place.until_ns, place.undrained_until_ns = now_ns + TAKE_OVER_NS, now_ns + DRAIN_NS
            place.main.apply(place.main.machine.drain(now_ns))
            place.counts, place.unheard = self._book_counts(place), set()
            # Notices of those that have moved over by that come before any other.
            self._feed.connected(sorted(place.waiting), connection=driver.conn_id)

    def drained(self, driver: ConnectionDriver) -> None:
        """All that was under way on a connection when the second one was subscribed has been read. It is let
        go by `tick`, for it is in the middle of what it reads.
        """
        place = self._place_of(driver)
        if place is not None and place.main is driver:
            place.undrained_until_ns = None

    def switched(self, index: int) -> None:
        """An instrument comes by the second connection now."""
        for place in self._places.values():
            if index in place.waiting:
                place.waiting.discard(index)
                self._owner.reschedule()

    def lost(self, driver: ConnectionDriver) -> list[int]:
        """A link is gone; the indices that were lost with it, as far as the core does not take them from the
        other one. If that carries on alone, the place is its own, and `retire` closes this one for good.
        """
        place = self._place_of(driver)
        indices = [*driver.books, *driver.bookless]
        if place is None:
            return []
        second = place.second
        if driver is second:
            place.second, place.until_ns = None, None
            place.main.machine.renew_later(mono_ns(), RENEW_AGAIN_NS)
            self.take_overs_failed += 1
        elif second is not None and second.machine.state is State.RECONNECTING:
            # Refused, it may wait for minutes; the one that was lost is back before that.
            place.second, place.until_ns = None, None
            self._feed.disconnected(indices, connection=second.conn_id)
            self._drop(second)
        elif second is not None:
            place.main, place.second, place.until_ns = second, None, None
            self.take_overs += 1
        return indices

    def failed(self, driver: ConnectionDriver) -> None:
        """No link came about."""
        place = self._place_of(driver)
        self.take_overs_failed += place is not None and place.second is driver

    def retire(self, driver: ConnectionDriver) -> None:
        """A connection that was lost is closed for good if another one has its place."""
        if driver not in self.drivers:
            self._drop(driver)

    @property
    def deadline_ns(self) -> int | None:
        """When `tick` is next needed."""
        places = self._places.values()
        if any(self._is_done(place) for place in places):
            return 0
        return min((place.until_ns for place in places if place.until_ns is not None), default=None)

    def tick(self, now_ns: int) -> None:
        """Does what is due on every connection."""
        for place in list(self._places.values()):
            for driver in (place.main, place.second):
                if driver is not None:
                    driver.tick(now_ns)
            if self._is_done(place):
                self._let_go(place)
            elif place.until_ns is not None and now_ns >= place.until_ns:
                self._decide(place, now_ns)

    def _decide(self, place: _Place, now_ns: int) -> None:
        """The time of two links is over: the first one is let go, unless it alone brings something."""
        if place.undrained_until_ns is not None and now_ns < place.undrained_until_ns:
            place.until_ns = now_ns + HEARD_WITHIN_NS
            return
        second, counts = place.second, self._book_counts(place)
        unheard = {index for index, count in counts.items() if count > place.counts.get(index, count)}
        if second is None or not unheard:
            self._let_go(place)
        elif not place.unheard:
            place.unheard, place.until_ns = unheard, now_ns + HEARD_WITHIN_NS
        elif unheard := unheard & place.unheard:
            reason = f"{len(unheard)} books come by conn={place.main.conn_id} alone"
            second.apply(second.machine.useless(now_ns, reason))
        else:
            self._let_go(place)

    def _book_counts(self, place: _Place) -> dict[int, int]:
        """Messages so far of the books that have not moved over, by whichever link."""
        counts = self._feed.activity()[0]
        return {index: int(counts[index, BOOK]) for index in place.waiting & {*place.main.books}}

    @staticmethod
    def _is_done(place: _Place) -> bool:
        """Whether all comes by the second connection and nothing is left on the first one."""
        return place.until_ns is not None and place.undrained_until_ns is None and not place.waiting

    def _let_go(self, place: _Place) -> None:
        """The second connection has taken over: the first one is closed."""
        first, second = place.main, place.second
        if second is None:  # It was lost.
            place.until_ns = None
            return
        self._feed.end_overlap(first.conn_id, second.conn_id)
        place.main, place.second, place.until_ns = second, None, None
        place.waiting = set()
        self.take_overs += 1
        self._drop(first)
        self._feed.disconnected([*first.books, *first.bookless], connection=first.conn_id)

    # What happens inside.

    def _driver(self, planned: PlannedConnection) -> ConnectionDriver:
        self._last_id += 1
        number, connector_for = self._last_id, self._connector_for
        allowance = self._allowance_of(planned)
        if self._tap is not None:
            books = planned.books
            connector_for = self._tap.connectors(self._venue, number, books, connector_for)
        return ConnectionDriver(
            conn_id=number,
            machine=Connection(
                spec_of(planned, self._venue),
                allowance.connects,
                self._random.random,
                allowance.messages,
            ),
            planned=planned,
            owner=self._owner,
            take=self._feed.on_frame,
            connector_for=connector_for,
        )

    def _ask(self, place: _Place, change: Change, now_ns: int) -> None:
        """Tells the open links what changed, and the next ones by their spec."""
        again = set(change.added) & set(change.removed)
        kept = [stream for stream in place.planned.streams if stream not in change.added]
        spec = spec_of(place.planned, self._venue)
        for driver in (place.main, place.second):
            if driver is None:
                continue
            driver.machine.respec(spec)
            requests = []
            if change.removed:
                held = [stream for stream in place.planned.streams if stream not in again]
                requests += self._venue.unsubscribe(change.removed, held, driver.next_number())
            if change.added:
                requests += self._venue.subscribe(change.added, kept, driver.next_number() + len(requests))
            driver.request(now_ns, requests)

    def _renew_members(self) -> None:
        """Who carries what, after a change of plan."""
        all_bookless = self._planner.bookless()
        for place in self._places.values():
            books = self._indices(place.planned.books)
            bookless = self._indices(all_bookless[place.planned.number])
            orders = self._indices(place.planned.orders)
            joined = {*books, *bookless} - {*place.main.books, *place.main.bookless}
            for driver in (place.main, place.second):
                if driver is not None:
                    driver.books, driver.bookless, driver.orders = books, bookless, orders
            if place.second is not None and joined:
                place.waiting |= joined
                self._feed.overlap(place.main.conn_id, place.second.conn_id, sorted(joined))
            place.waiting &= {*books, *bookless}

    def _indices(self, natives: Iterable[str]) -> tuple[int, ...]:
        found = (self._roster.index(native) for native in natives)
        return tuple(index for index in found if index is not None)

    def _place_of(self, driver: ConnectionDriver) -> _Place | None:
        return self._places.get(driver.planned.number)

    def _close(self, place: _Place) -> None:
        del self._places[place.planned.number]
        for driver in (place.main, place.second):
            if driver is not None:
                self._drop(driver)

    def _drop(self, driver: ConnectionDriver) -> None:
        """Closes a connection for good; monitors are told that its number is gone."""
        driver.stop()
        self._gone.add(driver.machine)
        self._feed.publish_status(
            scope=_SCOPE_CONNECTION, state=_STATE_CLOSED, reason=0, conn_id=driver.conn_id
        )
