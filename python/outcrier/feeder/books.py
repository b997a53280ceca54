"""The books of a session: which are live, and how the others get there: by a REST snapshot, or by a new
subscription where the venue sends the whole book in the stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Set
from typing import Final

from outcrier import _core
from outcrier.clock import mono_ns
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.driver import ConnectionDriver
from outcrier.feeder.links import Links, Which
from outcrier.feeder.logs import LimitedLog
from outcrier.feeder.reach import Reach
from outcrier.feeder.rest import VenueRest
from outcrier.feeder.roster import Roster
from outcrier.feeder.snapshots import SnapshotScheduler
from outcrier.feeder.transport import TransportError
from outcrier.instruments import Instrument
from outcrier.venues.base import HttpRequest, Venue

SETTLE_NS: Final = SECOND_NS // 2
"""Between a subscription and the first snapshot: some diffs are held by then, so that a snapshot out of a
cache that lags is seen to be too old before the book goes live with it."""

BOOK_WAIT_NS: Final = 10 * SECOND_NS
"""From a subscription to the whole book in the stream; then it is asked for once more."""


class Books:
    """Asks for whole books as the core and the connections have it; `due` does what is due."""

    def __init__(
        self,
        *,
        venue: Venue,
        feed: _core.Feed,
        roster: Roster,
        links: Links,
        rest: VenueRest,
        scheduler: SnapshotScheduler,
        in_stream: bool,
        log: LimitedLog,
        reach: Reach,
        take_notices: Callable[[], list[str]],
        moved: Callable[[], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """`in_stream`: whole books come after a subscription. `take_notices` acts on what the core noticed
        and returns the kinds, `moved` is told that a deadline may have moved, `fail` of a bug of ours.
        """
        self.live: set[int] = set()
        """Books that are live."""
        self.been_live: set[int] = set()
        """Books that are or were live."""
        self.asked_again = 0
        """Books subscribed anew on an open link."""
        self.scheduler = scheduler
        self._venue = venue
        self._feed = feed
        self._roster = roster
        self._links = links
        self._rest = rest
        self._in_stream = in_stream
        if in_stream:
            # Those that are lost together, or while their connection has something left to say, go in one
            # message: one after the other, each would take as long as the venue's limits make it.
            scheduler.held = self._asking
        self._log = log
        self._reach = reach
        self._take_notices = take_notices
        self._moved = moved
        self._fail = fail
        self._fetches: dict[int, asyncio.Task[None]] = {}
        self._awaited: dict[int, int] = {}
        """Until when a whole book in the stream is waited for, by index."""

    def __len__(self) -> int:
        """Instruments with a book."""
        return len(self.members)

    # What a book of orders has otherwise.

    what = "book"
    """In logs."""

    @property
    def members(self) -> Set[int]:
        """The instruments that have one."""
        return self._roster.with_book

    @staticmethod
    def _carried_by(driver: ConnectionDriver) -> tuple[int, ...]:
        return driver.books

    def _carrier(self, index: int) -> ConnectionDriver | None:
        return self._links.carrier(index)

    def _resubscribe(self, indices: Iterable[int]) -> set[int]:
        return self._links.resubscribe(dict.fromkeys(indices, Which.BOOK))

    def _request(self, instrument: Instrument) -> HttpRequest | None:
        return self._venue.snapshot_request(instrument)

    def _take(self, index: int, body: bytes) -> None:
        self._feed.on_snapshot(index, body)

    def _asking(self) -> set[int]:
        return {index for driver in self._links.asking() for index in self._carried_by(driver)}

    # What is told.

    def noticed(self, now_ns: int, kind: str, index: int) -> None:
        """A notice of the core about a book."""
        match kind:
            case "LIVE":
                if index in self.members:
                    self.live.add(index)
                    self.been_live.add(index)
                if self._in_stream:
                    self._awaited.pop(index, None)
                    self.scheduler.done(now_ns, index)
            case "STALE":
                self.live.discard(index)
            case "SNAPSHOT_OLD":
                self.scheduler.too_old(now_ns, index)
            case "SWITCHED":
                self._links.switched(index)
            case "NEED_SNAPSHOT" | "HELD_OVERFLOW":
                self.want(now_ns, index)

    def want(self, not_before_ns: int, index: int) -> None:
        """Asks for the whole book, unless trading has ended or diffs do not flow: a subscription will ask."""
        if self._is_carried(index) and not self._roster.has_ended(index):
            wait_ns = self.scheduler.want(not_before_ns, index)
            if wait_ns:
                symbol = self._roster.symbol(index)
                wait_ns += not_before_ns - mono_ns()
                self._log.wait(logging.INFO, self.what, f"{symbol}: wanted again", wait_ns, symbol)

    def subscribed(self, now_ns: int, indices: Iterable[int]) -> None:
        """The streams of these are subscribed: those that are not live need the whole book, which comes by
        itself where it comes in the stream.
        """
        wait_ns = BOOK_WAIT_NS if self._in_stream else SETTLE_NS
        for index in indices:
            if index not in self.live:
                self.want(now_ns + wait_ns, index)

    def lost(self, indices: Iterable[int]) -> None:
        """A connection of these is gone: what is on its way joins nothing, unless another one carries the
        book.
        """
        self.forget(index for index in indices if index not in self.live and not self._is_carried(index))

    def remove(self, indices: Iterable[int]) -> None:
        """These are published no longer."""
        indices = list(indices)
        self.forget(indices)
        self.live.difference_update(indices)
        self.been_live.difference_update(indices)

    def forget(self, indices: Iterable[int]) -> None:
        """Nobody wants these books any more, neither those waiting nor those under way."""
        indices = list(indices)
        for index in indices:
            self._awaited.pop(index, None)
            fetch = self._fetches.pop(index, None)
            if fetch is not None:
                fetch.cancel()
        self.scheduler.forget(indices)

    def closed(self) -> set[int]:
        """Books that are not live and cannot be: trading has ended."""
        ended = (index for index in self.members if self._roster.has_ended(index))
        return {index for index in ended if index not in self.live}

    def _is_carried(self, index: int) -> bool:
        carrier = self._carrier(index)
        return carrier is not None and carrier.machine.subscribed

    # What is done.

    @property
    def deadline_ns(self) -> int | None:
        """When `due` is next needed."""
        times = [*self._awaited.values()]
        if self.scheduler.deadline_ns is not None:
            times.append(self.scheduler.deadline_ns)
        return min(times, default=None)

    def due(self, now_ns: int) -> None:
        """Asks for the books whose turn it is."""
        for index in [index for index, until_ns in self._awaited.items() if now_ns >= until_ns]:
            del self._awaited[index]
            self._failed(now_ns, index, "no whole book came in the stream")
        pool_at_ns = self.scheduler.pool_at_ns
        indices = self.scheduler.due(now_ns)
        if self.scheduler.pool_at_ns > max(now_ns, pool_at_ns):
            text = f"{self.scheduler.waiting} {self.what}s wait for the venue's weight"
            self._log.wait(logging.INFO, f"{self.what}s", text, self.scheduler.pool_at_ns - now_ns)
        if self._in_stream:
            self._ask_again(now_ns, indices)
            return
        for index in indices:
            self._fetches[index] = asyncio.create_task(self._guarded(self._fetch(index)))

    def stop(self) -> None:
        """Asks for nothing any more."""
        for fetch in self._fetches.values():
            fetch.cancel()

    def _ask_again(self, now_ns: int, indices: Iterable[int]) -> None:
        """Subscribes books anew: the venue then sends the whole ones."""
        wanted = list(indices)
        asked = self._resubscribe(wanted) if wanted else set()
        for index in wanted:
            if index in asked:
                self.asked_again += 1
                self._awaited[index] = now_ns + BOOK_WAIT_NS
                about = f"{self.what} asked for again"
                self._log.log(now_ns, logging.INFO, about, self._roster.symbol(index))
            else:
                self._failed(now_ns, index, "its connection is not subscribed")

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - nobody awaits the task
            self._fail(error)

    async def _fetch(self, index: int) -> None:
        """One snapshot; a cancelled one (connection lost) leaves nothing behind."""
        instrument = self._roster[index]
        request = self._request(instrument)
        if request is None:
            return
        try:
            body = await self._rest.get(request)
        except TransportError as error:
            self._failed(mono_ns(), index, str(error), int(error.retry_after_s * SECOND_NS))
        else:
            self._take(index, body)
            kinds = self._take_notices()
            if not self.scheduler.is_under_way(index):
                pass  # Too old: its notice has queued it again.
            elif "FAULT" in kinds:
                self._failed(mono_ns(), index, "it is not what the venue documents")
            elif index in self.live:
                self.scheduler.done(mono_ns(), index)
            else:
                # The held diffs have a hole: a snapshot from after it.
                self.scheduler.too_old(mono_ns(), index)
        finally:
            if self._fetches.get(index) is asyncio.current_task():
                del self._fetches[index]
        self._moved()

    def _failed(self, now_ns: int, index: int, why: str, retry_after_ns: int = 0) -> None:
        """A book did not come; it is asked for once more."""
        symbol = self._roster.symbol(index)
        wait_ns = self.scheduler.failed(now_ns, index, retry_after_ns)
        self._reach.waits("snapshot", f"{symbol}: {why}", wait_ns, symbol)
