"""One session of one venue's channel: frames to the core, snapshots, connections, timers, until its end."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from outcrier import _core
from outcrier.clock import mono_ns
from outcrier.feeder.backoff import SECOND_NS, AttemptBudget
from outcrier.feeder.connection import Connection, Failed, Lost, Send, Subscribed
from outcrier.feeder.driver import ConnectionDriver
from outcrier.feeder.ending import end_session
from outcrier.feeder.faults import FaultKeeper
from outcrier.feeder.health import CONN_EVERY_NS, publish_connection, publish_connections
from outcrier.feeder.logs import LimitedLog
from outcrier.feeder.plan import VenuePlan, spec_of
from outcrier.feeder.reach import Reach
from outcrier.feeder.rest import InstrumentList, VenueRest
from outcrier.feeder.snapshots import SnapshotScheduler, WeightPool
from outcrier.feeder.tap import Tap
from outcrier.feeder.timer import LoopTimer
from outcrier.feeder.transport import Connector, TransportError
from outcrier.instruments import Instrument, Trading, to_core_kwargs
from outcrier.venues.base import (
    Ack,
    Control,
    Error,
    InstrumentStatus,
    Pong,
    Reply,
    Several,
    Shutdown,
    Unknown,
    Venue,
)

UNKNOWN_NAMES_MAX: Final = 100
"""Kinds of unknown messages counted by name; further ones count as one."""

SETTLE_NS: Final = SECOND_NS // 2
"""Between a subscription and the first snapshot: some diffs are held by then, so that a snapshot out of a
cache that lags is seen to be too old before the book goes live with it."""

_SIZES: Final = ("price_exp", "qty_exp", "tick_size", "lot_size", "min_qty")
"""Arguments of `_core.Feed.update_sizes`."""

_ENDED: Final = frozenset({Trading.CLOSED, Trading.DELISTED})
"""States in which a venue answers no request for a book: asked again and again it would ban the address."""

# STATUS numbers of docs/wire-format.md.
SCOPE_CONNECTION: Final = 4
STATE_LIVE: Final = 1
STATE_STALE: Final = 2
REASON_NONE: Final = 0
REASON_DISCONNECT: Final = 3


class SessionFull(Exception):  # noqa: N818 - no error: the numbers of a session are used up, and a new one is due
    """The frame numbers of the session run out."""


@dataclass(slots=True)
class Counts:
    """Since the session's start."""

    gaps: int = 0
    faults: int = 0
    unknown: Counter[str] = field(default_factory=Counter)


class VenueSession:
    """Drives the connections of a plan and one `_core.Feed`. Not before the instruments are known."""

    def __init__(
        self,
        *,
        venue: Venue,
        plan: VenuePlan,
        ids: Mapping[str, int],
        feed: _core.Feed,
        rest: VenueRest,
        pool: WeightPool,
        connector_for: Callable[[str], Connector],
        random: random.Random,
        log: LimitedLog,
        reach: Reach,
        faults_path: Path,
        tap: Tap | None = None,
    ) -> None:
        """Defines the instruments on the wire under their stable `ids`."""
        self.feed = feed
        self._keeper = FaultKeeper(feed, faults_path, lambda text: reach.note("samples", text))
        self.instruments = plan.instruments
        self.counts = Counts()
        self.live: set[int] = set()
        """Books that are live."""
        self.been_live: set[int] = set()
        """Books that are or were live."""
        self.ticks = 0
        """Times that the core did what was due."""
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the first exception of a callback: a bug of ours that nobody else would see."""
        self._venue = venue
        self._rest = rest
        self._log = log
        self._reach = reach
        self._indices: dict[str, int] = {}
        self._statuses: list[int] = []
        self._listed: list[Instrument] = list(plan.instruments)
        with_book = {book.native_symbol for connection in plan.connections for book in connection.books}
        for instrument in plan.instruments:
            native = instrument.native_symbol
            arguments = to_core_kwargs(instrument, ids[native])
            self._indices[native] = feed.add_instrument(**arguments, has_book=native in with_book)
            self._statuses.append(instrument.status)
        self.books = len(with_book)
        snapshot = venue.snapshot_request(plan.instruments[0])
        weight = 1 if snapshot is None else snapshot.weight
        at_once = venue.limits.snapshots_at_once
        self.scheduler = SnapshotScheduler(pool, weight, at_once, random.random)
        self._fetches: dict[int, asyncio.Task[None]] = {}
        budget = AttemptBudget(venue.limits.connects, int(venue.limits.connects_window_s * SECOND_NS))
        self.drivers = [
            ConnectionDriver(
                conn_id=number,
                machine=Connection(spec_of(connection, venue), budget, random.random),
                books=tuple(self._indices[book.native_symbol] for book in connection.books),
                bookless=tuple(self._indices[native] for native in plan.bookless(connection)),
                subscriptions=len(connection.streams),
                owner=self,
                take=feed.on_frame,
                connector_for=connector_for
                if tap is None
                else tap.connectors(
                    venue, number, [book.native_symbol for book in connection.books], connector_for
                ),
            )
            for number, connection in enumerate(plan.connections, start=1)
        ]
        self._carriers = {index: driver for driver in self.drivers for index in driver.books}
        self._bookless = {
            index: [driver for driver in self.drivers if index in driver.bookless]
            for index in {index for driver in self.drivers for index in driver.bookless}
        }
        loop = asyncio.get_running_loop()
        self._feed_timer = LoopTimer(loop, self._tick_feed, self.fail)
        self._house_timer = LoopTimer(loop, self._tick_house, self.fail)
        self._conn_at_ns = 0

    def start(self) -> None:
        """Begins to connect and to send heartbeats."""
        now_ns = mono_ns()
        self._conn_at_ns = now_ns + CONN_EVERY_NS
        for driver in self.drivers:
            driver.start()
        self._feed_timer.at(self.feed.deadline_ns(), now_ns)
        self.reschedule()

    async def close(self, reason: int = 0, next_session: int = 0) -> None:
        """Closes the connections, ends the session and repeats its end; takes `ending.END_REPEATS_NS`.

        `next_session` is the one that follows at once, 0 = unknown.
        """
        for driver in self.drivers:
            driver.stop()
        for fetch in self._fetches.values():
            fetch.cancel()
        self._feed_timer.cancel()
        self._house_timer.cancel()
        self._keeper.sample()
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
            self._control(driver, data)
        if bits & _core.NOTICES:
            if "FAULT" in self._take_notices():
                driver.apply(driver.machine.faulty(mono_ns()))
            self.reschedule()

    def read_over(self) -> None:
        """The core sends what it has of the read, which moves its next heartbeat nearer."""
        deadline_ns = self.feed.deadline_ns()
        if deadline_ns < self._feed_timer.at_ns:
            self._feed_timer.at(deadline_ns, mono_ns())

    def _control(self, driver: ConnectionDriver, data: bytes) -> None:
        self._take_control(driver, self._venue.control(data))

    def _take_control(self, driver: ConnectionDriver, control: Control) -> None:
        now_ns = mono_ns()
        match control:
            case Several(controls=controls):
                for each in controls:
                    self._take_control(driver, each)
            case Ack(count=count):
                driver.apply(driver.machine.acknowledged(now_ns, count))
            case Pong():
                driver.machine.pong(now_ns)
            case Reply(text=text):
                driver.apply([Send(text)])
            case Error(code=code, message=message):
                self._reach.note(f"conn={driver.conn_id} error", f"{code}: {message}")
                driver.apply(driver.machine.rejected(now_ns, f"{code}: {message}"))
            case Shutdown():
                driver.apply(driver.machine.shutdown_announced(now_ns))
            case InstrumentStatus(native_symbol=native, status=status):
                self.set_status(native, status)
            case Unknown(name=name):
                unknown = self.counts.unknown
                unknown[name if name in unknown or len(unknown) < UNKNOWN_NAMES_MAX else "other"] += 1
                self._log.log(now_ns, logging.WARNING, "unknown", name)

    def _take_notices(self) -> list[str]:
        """Acts on what the core noticed; returns the kinds."""
        now_ns = mono_ns()
        kinds: list[str] = []
        for kind, index, expected, got, text in self.feed.notices():
            kinds.append(kind)
            match kind:
                case "LIVE":
                    if index in self._carriers:
                        self.live.add(index)
                        self.been_live.add(index)
                    continue
                case "STALE":
                    self.live.discard(index)
                    continue
                case "NEED_SNAPSHOT":
                    self._want(now_ns, index)
                    continue
                case "SESSION_FULL":
                    self.fail(SessionFull(text))
                    continue
                case "HELD_OVERFLOW":
                    self._want(now_ns, index)
                case "SNAPSHOT_OLD":
                    self.scheduler.too_old(now_ns, index)
                case "GAP":
                    self.counts.gaps += 1
                case "FAULT":
                    self.counts.faults += 1
            symbol = self.instruments[index].symbol if index >= 0 else "-"
            level = logging.INFO if kind == "REFINED" else logging.WARNING
            self._log.log(now_ns, level, kind.lower(), f"{symbol} expected {expected} got {got} {text}")
        return kinds

    def _want(self, not_before_ns: int, index: int) -> None:
        """Asks for a snapshot, unless trading has ended or diffs do not flow: the subscription will ask."""
        if self._carriers[index].machine.subscribed and self._statuses[index] not in _ENDED:
            self.scheduler.want(not_before_ns, index)

    def set_status(self, native_symbol: str, status: int) -> None:
        """Publishes the trading status of an instrument if it is ours and changed."""
        index = self._indices.get(native_symbol)
        if index is None or self._statuses[index] == status:
            return
        self._statuses[index] = status
        self.feed.set_trading_status(index, status)
        if status in _ENDED:
            self._drop_fetches([index])
        elif index in self._carriers and index not in self.live:
            self._want(mono_ns(), index)
        self._log.log(mono_ns(), logging.INFO, f"trading status {status}", native_symbol)

    def take_list(self, listed: InstrumentList) -> None:
        """Publishes what a later instrument list changes: trading status, tick, lot, least quantity."""
        for index, known in enumerate(self._listed):
            native = known.native_symbol
            now = listed.catalogue.by_native(native)
            if now is None:
                if listed.is_gone(native):
                    self.set_status(native, Trading.DELISTED)
                continue
            self.set_status(native, now.status)
            if _sizes(now) == _sizes(known) or self._update_sizes(index, now):
                self._listed[index] = now

    def _update_sizes(self, index: int, now: Instrument) -> bool:
        """Publishes new sizes. Those that the wire cannot hold at the exponents in force are a fault: the old
        ones stay.
        """
        sizes = to_core_kwargs(now, 0)
        text = f"{now.native_symbol} tick {now.tick_size} lot {now.lot_size} least {now.min_qty}"
        try:
            self.feed.update_sizes(index, **{key: sizes[key] for key in _SIZES})
        except ValueError as error:
            self.counts.faults += 1
            self._log.log(mono_ns(), logging.WARNING, "new sizes refused", f"{text}: {error}")
            return False
        self._log.log(mono_ns(), logging.INFO, "new sizes", text)
        return True

    # Connections.

    def connection_changed(self, driver: ConnectionDriver, what: Subscribed | Lost | Failed) -> None:
        """The connection carries everything asked for, or is gone, or did not come about."""
        name = f"conn={driver.conn_id}"
        match what:
            case Subscribed():
                self._reach.succeeded()
                for index in driver.books:
                    if index not in self.live:
                        self._want(mono_ns() + SETTLE_NS, index)
                self._revive(driver)
                self._log.log(mono_ns(), logging.INFO, name, f"{driver.subscriptions} streams subscribed")
                self.feed.publish_status(
                    scope=SCOPE_CONNECTION, state=STATE_LIVE, reason=REASON_NONE, conn_id=driver.conn_id
                )
            case Lost(reason=reason):
                self._reach.note(name, f"lost: {reason}")
                self._forget((*driver.books, *driver.bookless))
                self.feed.publish_status(
                    scope=SCOPE_CONNECTION,
                    state=STATE_STALE,
                    reason=REASON_DISCONNECT,
                    conn_id=driver.conn_id,
                    text=reason[:16],
                )
            case Failed(error=error, wait_ns=wait_ns):
                self._reach.failed(name, error, wait_ns)
        publish_connection(self.feed, driver, mono_ns())

    def _revive(self, driver: ConnectionDriver) -> None:
        """Instruments without a book are live once all their streams are subscribed."""
        whole = [
            index
            for index in driver.bookless
            if all(carrier.machine.subscribed for carrier in self._bookless[index])
        ]
        if whole:
            self.feed.connected(whole)
            self._take_notices()

    def _forget(self, indices: Sequence[int]) -> None:
        """The connection of these instruments is gone."""
        self._drop_fetches(indices)
        self.feed.disconnected(indices)
        self._take_notices()
        self.live.difference_update(indices)

    def _drop_fetches(self, indices: Iterable[int]) -> None:
        """Nobody wants these books any more, neither those waiting nor those under way."""
        for index in indices:
            fetch = self._fetches.pop(index, None)
            if fetch is not None:
                fetch.cancel()
        self.scheduler.forget(indices)

    # Timers.

    def reschedule(self) -> None:
        """Sets the timer of everything but the core to the nearest deadline."""
        deadlines = [driver.machine.deadline_ns for driver in self.drivers]
        times = (*deadlines, self.scheduler.deadline_ns, self._conn_at_ns)
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
        for driver in self.drivers:
            driver.tick(now_ns)
        for index in self.scheduler.due(now_ns):
            self._fetches[index] = asyncio.create_task(self._guarded(self._fetch(index)))
        if now_ns >= self._conn_at_ns:
            self._conn_at_ns = now_ns + CONN_EVERY_NS
            publish_connections(self.feed, self.drivers, now_ns)
            self._keeper.sample()
        self.reschedule()

    def closed(self) -> set[int]:
        """Books that are not live and cannot be: trading has ended."""
        ended = (index for index in self._carriers if self._statuses[index] in _ENDED)
        return {index for index in ended if index not in self.live}

    # Snapshots.

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - nobody awaits the task
            self.fail(error)

    async def _fetch(self, index: int) -> None:
        """One snapshot; a cancelled one (connection lost) leaves nothing behind."""
        instrument = self.instruments[index]
        request = self._venue.snapshot_request(instrument)
        if request is None:
            return
        try:
            body = await self._rest.get(request)
        except TransportError as error:
            self._reach.note("snapshot", f"{instrument.symbol}: {error}")
            self.scheduler.failed(mono_ns(), index, int(error.retry_after_s * SECOND_NS))
        else:
            self.feed.on_snapshot(index, body)
            kinds = self._take_notices()
            if not self.scheduler.is_under_way(index):
                pass  # Too old: its notice has queued it again.
            elif "FAULT" in kinds:
                self.scheduler.failed(mono_ns(), index)
            elif index in self.live:
                self.scheduler.done(index)
            else:
                # The held diffs have a hole: a snapshot from after it.
                self.scheduler.too_old(mono_ns(), index)
        finally:
            if self._fetches.get(index) is asyncio.current_task():
                del self._fetches[index]
        self.reschedule()


def _sizes(instrument: Instrument) -> tuple[Decimal, Decimal, Decimal]:
    return instrument.tick_size, instrument.lot_size, instrument.min_qty
