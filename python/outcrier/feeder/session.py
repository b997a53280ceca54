"""One session of one venue's channel: frames to the core, snapshots, connections, timers, until its end."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outcrier import _core
from outcrier.clock import mono_ns
from outcrier.feeder.allowance import Allowance
from outcrier.feeder.books import Books
from outcrier.feeder.connection import Drained, Extended, Failed, Held, Lost, Renew, Subscribed
from outcrier.feeder.drift import SchemaDrift
from outcrier.feeder.driver import Changed, ConnectionDriver
from outcrier.feeder.ending import end_session
from outcrier.feeder.faults import FaultKeeper
from outcrier.feeder.health import CONN_EVERY_NS, publish_connection, publish_connections
from outcrier.feeder.links import Links, Which
from outcrier.feeder.logs import LimitedLog
from outcrier.feeder.order_books import PREFIX, OrderBooks
from outcrier.feeder.plan import Change, PlannedConnection, Planner
from outcrier.feeder.reach import Reach
from outcrier.feeder.rest import InstrumentList, VenueRest
from outcrier.feeder.roster import Roster
from outcrier.feeder.snapshots import SnapshotScheduler, WeightPool
from outcrier.feeder.stream_silence import StreamSilence
from outcrier.feeder.talk import Talk
from outcrier.feeder.tap import Tap
from outcrier.feeder.timer import LoopTimer
from outcrier.feeder.transport import Connector
from outcrier.instruments import Instrument
from outcrier.venues.base import Venue

RESYNC_POOL: Final = 1_000_000
"""Weight a minute of subscriptions anew: the limit of messages of each connection paces them."""

RESYNC_AT_ONCE: Final = 1_000
"""Books in the stream that are waited for: as many as come after a connection was opened."""

# STATUS numbers of docs/wire-format.md.
SCOPE_CONNECTION: Final = 4
STATE_LIVE: Final = 1
STATE_STALE: Final = 2
REASON_NONE: Final = 0
REASON_DISCONNECT: Final = 3


_OF_BOOKS: Final = frozenset({"LIVE", "STALE", "SWITCHED", "NEED_SNAPSHOT"})
"""Notices that come with every recovery and need no line in a log."""

_ALSO_OF_BOOKS: Final = frozenset({"HELD_OVERFLOW", "SNAPSHOT_OLD"})
"""Those that do."""


class SessionFull(Exception):  # noqa: N818 - no error: the numbers of a session are used up, and a new one is due
    """The frame numbers of the session run out."""


@dataclass(slots=True)
class Counts:
    """Since the session's start."""

    gaps: int = 0
    faults: int = 0
    refused_sizes: int = 0
    """Of the faults, sizes of later instrument lists."""
    silent: int = 0
    """Streams found silent beyond what their rate explains."""


class VenueSession:
    """Drives the connections of a plan and one `_core.Feed`. Not before the instruments are known."""

    def __init__(
        self,
        *,
        planner: Planner,
        ids_of: Callable[[Iterable[str]], Mapping[str, int]],
        feed: _core.Feed,
        rest: VenueRest,
        pool: WeightPool,
        connector_for: Callable[[str], Connector],
        random: random.Random,
        log: LimitedLog,
        reach: Reach,
        faults_path: Path,
        allowance_of: Callable[[PlannedConnection], Allowance],
        tap: Tap | None = None,
    ) -> None:
        """Defines the instruments on the wire under their stable ids, which `ids_of` gives."""
        self.feed = feed
        self.drift = SchemaDrift(feed, log)
        self._talk = Talk(reach, self.drift, self.set_status)
        self._keeper = FaultKeeper(feed, faults_path, lambda text: reach.note("samples", text))
        self.counts = Counts()
        self.ticks = 0
        """Times that the core did what was due."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the first exception of a callback: a bug of ours that nobody else would see."""
        self._planner = planner
        self._venue = venue = planner.venue
        self._ids_of = ids_of
        self._log = log
        self._reach = reach
        self.roster = Roster(feed, log)
        in_stream = type(venue).snapshot_request is Venue.snapshot_request
        orders_in_stream = type(venue).orders_request is Venue.orders_request

        def scheduler(*, in_stream: bool) -> SnapshotScheduler:
            return SnapshotScheduler(
                WeightPool(RESYNC_POOL) if in_stream else pool,
                RESYNC_AT_ONCE if in_stream else venue.limits.snapshots_at_once,
                random.random,
            )

        self._scheduler = scheduler(in_stream=in_stream)
        self._orders_scheduler = scheduler(in_stream=orders_in_stream)
        self._define(planner.instruments.values())
        self.links = Links(
            owner=self,
            planner=planner,
            roster=self.roster,
            feed=feed,
            connector_for=connector_for,
            random=random,
            log=log,
            allowance_of=allowance_of,
            tap=tap,
        )
        self.books, self.orders = (
            kind(
                venue=venue,
                feed=feed,
                roster=self.roster,
                links=self.links,
                rest=rest,
                scheduler=each,
                in_stream=comes_in_stream,
                log=log,
                reach=reach,
                take_notices=self._take_notices,
                moved=self.reschedule,
                fail=self.fail,
            )
            for kind, each, comes_in_stream in (
                (Books, self._scheduler, in_stream),
                (OrderBooks, self._orders_scheduler, orders_in_stream),
            )
        )
        self._silence = StreamSilence()
        loop = asyncio.get_running_loop()
        self._feed_timer = LoopTimer(loop, self._tick_feed, self.fail)
        self._house_timer = LoopTimer(loop, self._tick_house, self.fail)
        self._conn_at_ns = 0
        self._started = False

    def start(self) -> None:
        """Begins to connect and to send heartbeats."""
        now_ns = mono_ns()
        self._started = True
        self._conn_at_ns = now_ns + CONN_EVERY_NS
        self.links.apply(Change(each, is_new=True) for each in self._planner.connections)
        self._feed_timer.at(self.feed.deadline_ns(), now_ns)
        self.reschedule()

    # Instruments.

    def add(self, instruments: Iterable[Instrument]) -> None:
        """Publishes further instruments. Raises ConfigurationError where the venue's limits forbid it."""
        fresh = [each for each in instruments if each.native_symbol not in self._planner.instruments]
        changes = self._planner.add(fresh)
        self._define(fresh)
        if self._started:
            self.links.apply(changes)
            # Those whose streams were all there already; the others are when their connection has them.
            self._revive(self.links.drivers)
            self.reschedule()

    def remove(self, natives: Iterable[str]) -> None:
        """Publishes these no longer; the others are not touched."""
        gone = [native for native in natives if native in self._planner.instruments]
        changes = self._planner.remove(gone)
        indices = [index for native in gone if (index := self.roster.index(native)) is not None]
        self.books.remove(indices)
        self.orders.remove(indices)
        for native in gone:
            self.roster.remove(native)
        if self._started:
            self.links.apply(changes)

    def _define(self, instruments: Iterable[Instrument]) -> None:
        instruments = list(instruments)
        ids = self._ids_of(each.native_symbol for each in instruments)
        with_book, with_orders = self._planner.with_book(), self._planner.with_orders()
        for each in instruments:
            native = each.native_symbol
            self.roster.add(each, ids[native], has_book=native in with_book, has_orders=native in with_orders)
            for request, scheduler in (
                (self._venue.snapshot_request(each), self._scheduler),
                (self._venue.orders_request(each), self._orders_scheduler),
            ):
                if request is not None:
                    scheduler.weight = max(scheduler.weight, request.weight)

    @property
    def published(self) -> Mapping[str, Instrument]:
        """The instruments, by native symbol."""
        return self._planner.instruments

    @property
    def refused(self) -> int:
        """Streams that the venue refused."""
        return self._talk.refused

    @property
    def drivers(self) -> list[ConnectionDriver]:
        """The connections, by number on the wire, those too that are to take over."""
        return self.links.drivers

    @property
    def mains(self) -> list[ConnectionDriver]:
        """One connection for each that is planned."""
        return self.links.mains

    async def close(self, reason: int = 0, next_session: int = 0) -> None:
        """Closes the connections, ends the session and repeats its end; takes `ending.END_REPEATS_NS`.

        `next_session` is the one that follows at once, 0 = unknown.
        """
        self.links.stop()
        self.books.stop()
        self.orders.stop()
        self._feed_timer.cancel()
        self._house_timer.cancel()
        self._keeper.sample()
        self.drift.look()
        await end_session(self.feed, reason, next_session)
        if not self.failure.done():
            self.failure.cancel()

    def fail(self, error: Exception) -> None:
        """A callback of ours raised: whoever runs the session is told."""
        if not self.failure.done():
            self.failure.set_exception(error)

    # Frames.

    def take_rest(self, driver: ConnectionDriver, data: bytes, bits: int) -> None:
        """Does what the core leaves to Python of a message."""
        if bits & _core.FOR_PYTHON:
            self._talk.take(driver, self._venue.control(data))
        if bits & _core.NOTICES:
            if "FAULT" in self._take_notices():
                driver.apply(driver.machine.faulty(mono_ns()))
            self.reschedule()

    def read_over(self) -> None:
        """The core sends what it has of the read, which moves its next heartbeat nearer."""
        deadline_ns = self.feed.deadline_ns()
        if deadline_ns < self._feed_timer.at_ns:
            self._feed_timer.at(deadline_ns, mono_ns())

    def _take_notices(self) -> list[str]:
        """Acts on what the core noticed; returns the kinds."""
        now_ns = mono_ns()
        kinds: list[str] = []
        for kind, index, expected, got, text in self.feed.notices():
            kinds.append(kind)
            books = self.orders if kind.startswith(PREFIX) else self.books
            about = kind.removeprefix(PREFIX)
            if about in _OF_BOOKS | _ALSO_OF_BOOKS:
                books.noticed(now_ns, about, index)
            if about in _OF_BOOKS:
                continue
            match kind:
                case "SESSION_FULL":
                    self.fail(SessionFull(text))
                    continue
                case "TRADING":
                    self.roster.told_status(index, got)
                case "GAP":
                    self.counts.gaps += 1
                case "FAULT":
                    self.counts.faults += 1
            symbol = self.roster.symbol(index)
            level = logging.INFO if kind in {"REFINED", "TRADING"} else logging.WARNING
            self._log.log(now_ns, level, kind.lower(), f"{symbol} expected {expected} got {got} {text}")
        return kinds

    def set_status(self, native_symbol: str, status: int) -> None:
        """Publishes the trading status of an instrument if it is ours and changed."""
        index = self.roster.set_status(native_symbol, status)
        if index is not None:
            self._status_changed(index)

    def _status_changed(self, index: int) -> None:
        for books in (self.books, self.orders):
            if self.roster.has_ended(index):
                books.forget([index])
            elif index in books.members and index not in books.live:
                books.want(mono_ns(), index)

    def take_list(self, listed: InstrumentList) -> None:
        """Publishes what a later instrument list changes."""
        for index in self.roster.take_list(listed):
            self._status_changed(index)
        self.counts.faults += self.roster.refused_sizes - self.counts.refused_sizes
        self.counts.refused_sizes = self.roster.refused_sizes

    # Connections.

    def connection_changed(self, driver: ConnectionDriver, what: Changed) -> None:
        """The connection carries everything asked for, or more, or has nothing older under way, or is gone,
        or did not come about, or has to wait, or will be cut.
        """
        name = f"conn={driver.conn_id}"
        match what:
            case Subscribed():
                self._reach.succeeded()
                self._talk.note_refused(driver)
                self.links.subscribed(driver)
                self._take_notices()
                self._carries(driver)
                self._log.log(mono_ns(), logging.INFO, name, f"{driver.subscriptions} streams subscribed")
                self.feed.publish_status(
                    scope=SCOPE_CONNECTION, state=STATE_LIVE, reason=REASON_NONE, conn_id=driver.conn_id
                )
            case Extended():
                self._talk.note_refused(driver)
                self._carries(driver)
            case Drained():
                self.links.drained(driver)
            case Lost(reason=reason, wait_ns=wait_ns):
                self._reach.waits(name, f"lost: {reason}", wait_ns)
                self._lose(driver, self.links.lost(driver))
                self.feed.publish_status(
                    scope=SCOPE_CONNECTION,
                    state=STATE_STALE,
                    reason=REASON_DISCONNECT,
                    conn_id=driver.conn_id,
                    text=reason[:16],
                )
            case Failed(error=error, wait_ns=wait_ns):
                self._reach.failed(name, error, wait_ns)
                self.links.failed(driver)
            case Held(wait_ns=wait_ns):
                self._log.wait(logging.INFO, name, "the venue's limits allow no link before", wait_ns)
            case Renew(reason=reason):
                self.links.renew(driver, reason)
        if isinstance(what, Lost | Failed):
            driver.granted.clear()
            driver.missing.clear()
            self.feed.restart_connection(driver.conn_id)
        publish_connection(self.feed, driver, mono_ns())
        if isinstance(what, Lost):
            self.links.retire(driver)

    def _carries(self, driver: ConnectionDriver) -> None:
        """Whatever the connection was asked for is subscribed."""
        self.books.subscribed(mono_ns(), driver.books)
        self.orders.subscribed(mono_ns(), driver.orders)
        self._revive([driver])

    def _revive(self, drivers: Iterable[ConnectionDriver]) -> None:
        """Instruments without a book are live once all their streams are subscribed."""
        indices = {index for driver in drivers for index in driver.bookless}
        whole = sorted(index for index in indices if self.links.is_carried(index))
        if whole:
            self.feed.connected(whole)
            self._take_notices()

    def _lose(self, driver: ConnectionDriver, indices: Sequence[int]) -> None:
        """The connection of these instruments is gone; those that come by another one stay live."""
        self.books.scheduler.forgive(indices)
        self.orders.scheduler.forgive(driver.orders)
        self.feed.disconnected(indices, connection=driver.conn_id)
        self._take_notices()
        self.books.lost(indices)
        self.orders.lost(driver.orders)

    # Timers.

    def reschedule(self) -> None:
        """Sets the timer of everything but the core to the nearest deadline."""
        deadlines = [driver.machine.deadline_ns for driver in self.drivers]
        times = (
            *deadlines,
            self.links.deadline_ns,
            self.books.deadline_ns,
            self.orders.deadline_ns,
            self._conn_at_ns,
        )
        self._house_timer.at(min(time_ns for time_ns in times if time_ns is not None), mono_ns())

    def serve_wishes(self) -> None:
        """Consumers ask for images, or for books to be sent sooner: the core answers in its tick."""
        try:
            self._tick_core()
        except Exception as error:  # noqa: BLE001 - the loop would only log it
            self.fail(error)

    def _tick_feed(self) -> None:
        due_ns, now_ns = self.feed.deadline_ns(), mono_ns()
        if now_ns < due_ns:  # What was sent since then has moved the heartbeat.
            self._feed_timer.at(due_ns, now_ns)
            return
        self._tick_core()

    def _tick_core(self) -> None:
        next_ns = self.feed.tick()
        self.ticks += 1
        # The core gives notices from here too: held diffs have a time limit.
        if self._take_notices():
            self.reschedule()
        self._feed_timer.at(next_ns, mono_ns())

    def _tick_house(self) -> None:
        now_ns = mono_ns()
        self.links.tick(now_ns)
        self.books.due(now_ns)
        self.orders.due(now_ns)
        if now_ns >= self._conn_at_ns:
            self._conn_at_ns = now_ns + CONN_EVERY_NS
            publish_connections(self.feed, self.drivers, self.links.sums, now_ns)
            self._keeper.sample()
            self.drift.look()
            self._look_for_silence(now_ns)
        self.reschedule()

    def _look_for_silence(self, now_ns: int) -> None:
        """Streams that are silent far beyond their own rate are subscribed anew; a book that stays silent
        even so is no longer believed.
        """
        counts, last_ns = self.feed.activity()
        again: dict[int, Which] = {}
        for silent in self._silence.look(now_ns, counts, last_ns, self.links.cut_off()):
            index = silent.index
            if not self.roster.is_trading(index):
                continue
            self.counts.silent += 1
            self._log.log(now_ns, logging.WARNING, "silent", f"{self.roster.symbol(index)} {silent}")
            if silent.again and silent.is_book:
                self.feed.resync(index, REASON_DISCONNECT)
            which = Which.BOOK if silent.is_book else Which.ALL
            again[index] = which if again.get(index, which) is which else Which.ALL
        if again:
            self.links.resubscribe(again)
            self._take_notices()
