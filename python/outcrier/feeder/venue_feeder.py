"""One venue of the feeder: its instrument list, asked for until it comes, then its session."""

from __future__ import annotations

import asyncio
import copy
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from outcrier import _core
from outcrier.clock import mono_ns, wall_ns
from outcrier.config import VenueConfig
from outcrier.errors import ConfigurationError
from outcrier.feeder.account import account_of
from outcrier.feeder.allowance import Allowances
from outcrier.feeder.backoff import SECOND_NS, full_jitter_ns
from outcrier.feeder.choice import Choice
from outcrier.feeder.connection import BACKOFF_BASE_NS, BACKOFF_CAP_NS, REGION_WAIT_NS
from outcrier.feeder.ending import end_session
from outcrier.feeder.http import HttpClient
from outcrier.feeder.links import Sums
from outcrier.feeder.logs import LimitedLog
from outcrier.feeder.occupied import RECONFIGURATION, Succession, hear, succeed
from outcrier.feeder.plan import Planner, check_venue, plan_venue
from outcrier.feeder.reach import Reach
from outcrier.feeder.readiness import Start
from outcrier.feeder.rest import InstrumentList, VenueRest
from outcrier.feeder.selection import matching
from outcrier.feeder.session import SessionFull, VenueSession
from outcrier.feeder.snapshots import WeightPool
from outcrier.feeder.state import VenueState
from outcrier.feeder.status import VenueStatus
from outcrier.feeder.tap import Tap
from outcrier.feeder.text_lines import VenueCounts, VenueTrouble
from outcrier.feeder.transport import Connector, Reason, TransportError
from outcrier.instruments import Catalogue, Trading
from outcrier.venue_numbers import TABLE
from outcrier.venues.base import Venue


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a venue shares with the others of the process."""

    publisher: _core.Publisher
    publisher_id: int
    connector_for: Callable[[str], Connector]
    pools: dict[str, WeightPool]
    """By the name that the venue gives: products may share one."""
    allowances: Allowances
    limited: bool
    refresh_ns: int
    random: random.Random
    where: str
    """Group and port, for messages."""
    take_over: bool
    """Start beside a live session of another publisher, and above it."""
    tap: Tap | None = None
    """A recorder that listens in."""


class VenueFeeder:
    """Publishes one venue, from the instrument list to the last SESSION_END."""

    def __init__(  # noqa: PLR0917 - what a venue has, then what it shares
        self,
        venue: Venue,
        config: VenueConfig,
        state: VenueState,
        http: HttpClient,
        around: Surroundings,
        history_bytes: int,
    ) -> None:
        """`history_bytes`: for the last messages of its instruments. Raises ConfigurationError for channels
        and speeds that the venue does not offer, and for a key file that cannot be used.
        """
        check_venue(venue, config)
        self.venue = venue
        self.test = not venue.is_published(ws_url=config.ws_url or None, rest_url=config.rest_url or None)
        self._config = config
        self._state = state
        self._around = around
        self._log = LimitedLog(logging.getLogger("outcrier.feeder"), venue.name)
        self.reach = Reach(self._log)
        limits = venue.limits
        self._pool = around.pools.setdefault(limits.weight_pool, WeightPool(limits.weight_per_minute))
        account = account_of(venue, config, http)
        self._connector_for = around.connector_for
        if account is not None:
            self._connector_for = account.connectors(around.connector_for)
        self._rest = VenueRest(venue, config.rest_url, http, self._pool, around.tap)
        self._history_bytes = history_bytes
        self._session: VenueSession | None = None
        self._choice = Choice(config.symbols, limited=around.limited)
        self._catalogue: Catalogue | None = None
        """The newest list."""

    async def run(self) -> None:
        """Publishes until cancelled. Retries whatever a venue or network does; raises ConfigurationError.

        What a callback of ours raises is raised here too.
        """
        listed = await self._first_instruments()
        self._catalogue = listed.catalogue
        plan = plan_venue(self.venue, listed.catalogue, self._config, limited=self._around.limited)
        session = await self._open_session(plan, await self._succession())
        while True:
            self._session = session
            session.start()
            self._follow_or_tell()  # What was asked for meanwhile.
            refresh = asyncio.create_task(self._refresh_for_ever(session))
            try:
                done, _ = await asyncio.wait({refresh, session.failure}, return_when=asyncio.FIRST_COMPLETED)
                for ended in done:
                    ended.result()
            except SessionFull:
                session = await self._renew(session, plan)
            finally:
                refresh.cancel()

    async def _succession(self) -> Succession:
        """Listens once more, now that the first frame is near, and says what our session follows."""
        around, state = self._around, self._state
        channels = {self.venue.number: self.test}
        heard = await asyncio.to_thread(
            hear, around.publisher, channels, where=around.where, take_over=around.take_over
        )
        found = heard.get(self.venue.number)
        return succeed(found, last_session=state.last_session, last_seq=state.last_seq)

    async def _renew(self, session: VenueSession, plan: Planner) -> VenueSession:
        """A new session in place of one whose numbers run out; the old one names it."""
        before = self._state.last_session
        number = self._state.next_session(wall_ns())
        await session.close(RECONFIGURATION, number)
        last_seq = session.feed.last_seq()
        return await self._open_session(plan, Succession(RECONFIGURATION, before, last_seq), number)

    async def close(self) -> None:
        """Ends the session, if there is one, and keeps its last number for the next one."""
        if self._session is not None:
            await self._session.close()
            self._state.ended(self._session.feed.last_seq())

    async def _open_session(
        self, plan: Planner, after: Succession, number: int | None = None
    ) -> VenueSession:
        """`number` None = the next free one."""
        venue, around = self.venue, self._around
        ids = self._state.ids(plan.instruments)
        listed = [each for each in plan.instruments.values() if each.status != Trading.DELISTED]
        feed = _core.Feed(
            around.publisher,
            venue=venue.number,
            channel=venue.number,
            session=self._state.next_session(wall_ns(), after.above) if number is None else number,
            publisher_id=around.publisher_id,
            shapes=venue.shapes_json,
            build=f"outcrier {_core.__version__}",
            prev_session=after.prev_session,
            prev_last_seq=after.prev_last_seq,
            reason=after.reason,
            instruments=[ids[each.native_symbol] for each in listed],
            test=self.test,
            history_bytes_max=self._history_bytes,
            infer_orders=self._config.infer_orders,
        )
        text = f"{len(plan.instruments)} instruments, {len(plan.connections)} connections"
        self._log.log(mono_ns(), logging.INFO, "session", text + (", TEST" if self.test else ""))
        try:
            return VenueSession(
                planner=plan,
                ids_of=self._state.ids,
                feed=feed,
                rest=self._rest,
                pool=self._pool,
                connector_for=self._connector_for,
                allowance_of=lambda planned: around.allowances.of(
                    planned.url, venue.limits_of(planned.route)
                ),
                tap=around.tap,
                random=around.random,
                log=self._log,
                reach=self.reach,
                faults_path=self._state.faults_path,
            )
        except BaseException:
            # Its start is on the wire: without an end consumers would take it for dead.
            await end_session(feed)
            raise

    # The instrument list.

    async def _first_instruments(self) -> InstrumentList:
        failures = 0
        while True:
            try:
                return await self._read_instruments()
            except TransportError as error:
                pick = self._around.random.random
                wait_ns = full_jitter_ns(failures, BACKOFF_BASE_NS, BACKOFF_CAP_NS, pick)
                wait_ns += int(error.retry_after_s * SECOND_NS)
                wait_ns += REGION_WAIT_NS if error.reason is Reason.REGION else 0
                failures += 1
                self.reach.failed("instruments", error, wait_ns)
                await asyncio.sleep(wait_ns / SECOND_NS)

    async def _read_instruments(self) -> InstrumentList:
        listed = await self._rest.instruments()
        for fault in listed.faults:
            self._log.log(
                mono_ns(), logging.WARNING, "instrument list", f"{fault.reason}: {fault.text[:100]}"
            )
        return listed

    async def _refresh_for_ever(self, session: VenueSession) -> None:
        """Reads the list again and again and publishes its changes."""
        while True:
            await asyncio.sleep(self._around.refresh_ns / SECOND_NS)
            try:
                listed = await self._read_instruments()
            except TransportError as error:
                self.reach.note("instruments", str(error))
            else:
                self._catalogue = listed.catalogue
                session.take_list(listed)
                self._follow_or_tell()

    # What the operator wants.

    def add(self, symbols: Sequence[str]) -> list[str]:
        """Publishes further symbols, or what further rules name; canonical symbols that are new. Raises
        ConfigurationError, with everything as it was, also where the venue's limits forbid it.
        """
        with self._kept_on_refusal():
            self._choice.add(self._known(), symbols)
            return self._follow()

    def remove(self, symbols: Sequence[str]) -> list[str]:
        """Publishes these no longer; canonical symbols that are gone. Raises ConfigurationError."""
        with self._kept_on_refusal():
            self._choice.remove(self._known(), symbols)
            return self._follow()

    def reconfigure(self, symbols: Sequence[str]) -> None:
        """The configuration names these symbols now; what the operator asked for is forgotten. Raises
        ConfigurationError, with everything as it was, for one that the venue does not list, and where its
        limits forbid it.
        """
        with self._kept_on_refusal():
            fresh = [symbol for symbol in symbols if symbol not in self._choice.symbols]
            self._choice.replace(symbols)
            if self._catalogue is not None:
                for symbol in fresh:
                    matching(self._catalogue, symbol)
                self._follow()

    @contextmanager
    def _kept_on_refusal(self) -> Iterator[None]:
        before = copy.deepcopy(self._choice)
        try:
            yield
        except ConfigurationError:
            self._choice = before
            raise

    def _known(self) -> Catalogue:
        if self._catalogue is None:
            why = self.reach.last_error or "it was just asked for"
            raise ConfigurationError(f"{self.venue.name} has sent no instrument list yet: {why}")
        return self._catalogue

    def _follow_or_tell(self) -> None:
        """Follows a list; what the venue's limits forbid is logged, and what there is goes on."""
        try:
            self._follow()
        except ConfigurationError as error:
            self.reach.note("instruments", str(error))

    def _follow(self) -> list[str]:
        """Publishes what is wanted by now; canonical symbols that came or went. Raises ConfigurationError
        where the venue's limits forbid what is new; what is gone is gone then.
        """
        session, catalogue = self._session, self._catalogue
        if session is None or catalogue is None:
            return []
        step = self._choice.step(catalogue, session.published)
        if not step.added and not step.removed:
            return []
        gone = [session.published[native].symbol for native in step.removed]
        session.remove(step.removed)
        session.add(step.added)
        came = [instrument.symbol for instrument in step.added]
        text = f"{len(came)} more, {len(gone)} fewer: {' '.join([*came, *gone])[:200]}"
        self._log.log(mono_ns(), logging.INFO, "instruments", text)
        return [*came, *gone]

    def history(self, symbol: str, last: int) -> list[tuple[int, int, bytes]]:
        """The last messages of an instrument: (receive time in ns since the epoch, connection, message).
        Raises ConfigurationError for one that is not published.
        """
        session = self._session
        instrument = self._known().find(symbol)
        index = None if session is None else session.roster.index(instrument.native_symbol)
        if session is None or index is None:
            raise ConfigurationError(f"{instrument.full_symbol} is not published")
        return session.feed.history(index, last)

    # What others see.

    def status(self) -> VenueStatus:
        """How the venue is now."""
        session = self._session
        mains = session.mains if session is not None else []
        subscribed = sum(driver.machine.subscribed for driver in mains)
        sums = session.links.sums if session is not None else Sums()
        return VenueStatus(
            venue=self.venue.name,
            test=self.test,
            listed=session is not None,
            instruments=len(session.roster) if session is not None else 0,
            books=len(session.books) if session is not None else 0,
            live=len(session.books.live) if session is not None else 0,
            stale=len(session.books) - len(session.books.live) if session is not None else 0,
            closed=len(session.books.closed()) if session is not None else 0,
            connections=len(mains),
            connected=sum(driver.is_connected for driver in mains),
            subscribed=subscribed,
            reconnects=sums.reconnects,
            messages=sums.messages,
            bytes=sums.bytes,
            gaps=session.counts.gaps if session is not None else 0,
            faults=session.counts.faults if session is not None else 0,
            unknown=dict(session.drift.messages) if session is not None else {},
            drift=dict(session.drift.fields) if session is not None else {},
            snapshots_waiting=session.books.scheduler.backlog if session is not None else 0,
            refused=session.refused if session is not None else 0,
            asked_again=session.books.asked_again if session is not None else 0,
            silent=session.counts.silent if session is not None else 0,
            take_overs=session.links.take_overs if session is not None else 0,
            take_overs_failed=session.links.take_overs_failed if session is not None else 0,
            last_error=self.reach.last_error,
            error=None if subscribed else self.reach.error,
        )

    def start(self) -> Start:
        """How far the start is."""
        session = self._session
        if session is None:
            return Start(venue=self.venue.name, listed=False)
        sums, closed = session.feed.counters(), session.books.closed()
        return Start(
            venue=self.venue.name,
            listed=True,
            connections=len(session.mains),
            subscribed=sum(driver.machine.subscribed for driver in session.mains),
            books=len(session.books) - len(closed),
            been_live=len(session.books.been_live - closed),
            cycles_begun=sums["cycles_begun"],
            cycles=sums["cycles"],
        )

    def ticks(self) -> int | None:
        """Times that the core of the session did what was due; None before it."""
        return None if self._session is None else self._session.ticks

    def change_key(self) -> None:
        """Signs with the publisher's key of now; a later session does so anyway."""
        if self._session is not None:
            self._session.feed.change_key()

    def serve_wishes(self) -> None:
        """Consumers ask something of the feed."""
        if self._session is not None:
            self._session.serve_wishes()

    def feed(self) -> _core.Feed | None:
        """What counts; None before the session."""
        return None if self._session is None else self._session.feed

    def trouble(self) -> VenueTrouble | None:
        """What went wrong last, for the text lines; None = nothing yet."""
        if not self.reach.last_error:
            return None
        _, exchange, product = TABLE[self.venue.name]
        return VenueTrouble(exchange, product, self.reach.last_error_ms, self.reach.last_error)

    def counts(self) -> VenueCounts | None:
        """What the text lines tell of the venue; None before its session."""
        session = self._session
        if session is None:
            return None
        sums = session.feed.counters()
        whole = (sums["frames_in"], sums["frames"], sums["faults"], sums["gaps"])
        kinds = {
            kind: counts for kind, counts in session.feed.kinds().items() if kind == "book" or any(counts)
        }
        _, exchange, product = TABLE[self.venue.name]
        return VenueCounts(
            exchange=exchange,
            product=product,
            kinds={**kinds, "all": whole},
            stale=session.feed.books_not_live(),
            reconnects=session.links.sums.reconnects,
            connected=sum(driver.is_connected for driver in session.mains),
            connections=len(session.mains),
        )
