"""The feeder as a service: every enabled venue, one event loop, one publisher.

    async with FeederService(config) as service:
        await service.run(stop)            # an asyncio.Event; `service.status()` at any time

`serve` is the whole program of `outcrier run`: loop, signals, what systemd and /health are told, summary.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from outcrier import _core
from outcrier.clock import mono_ns, wall_ns
from outcrier.config import Config, MulticastConfig, VenueConfig
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.feeder.allowance import Allowances
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.busy_poll import BusyPoll
from outcrier.feeder.control import ControlServer, control_dir
from outcrier.feeder.http import HttpClient
from outcrier.feeder.http_server import HttpServer
from outcrier.feeder.logs import LimitedLog
from outcrier.feeder.loops import loop_factory
from outcrier.feeder.notify import Notifier
from outcrier.feeder.occupied import check_superseded, hear
from outcrier.feeder.operator_log import OperatorLog
from outcrier.feeder.readiness import Start
from outcrier.feeder.report import Report
from outcrier.feeder.state import VenueState, default_state_dir
from outcrier.feeder.status import VenueStatus
from outcrier.feeder.tap import Tap
from outcrier.feeder.text_lines import AT_ONCE_NS, TextLines
from outcrier.feeder.transport import Connector, TransportError, connector_for
from outcrier.feeder.venue_feeder import Surroundings, VenueFeeder
from outcrier.feeder.watch import Watch
from outcrier.key_file import key_path, read_key_file
from outcrier.venues import VENUES, venue_by_name


@dataclass(slots=True)
class _Running:
    """A venue with what it has taken."""

    feeder: VenueFeeder
    config: VenueConfig
    stack: AsyncExitStack
    history_bytes: int
    is_later: bool = False
    """It came while the others ran: what ends it ends nobody else."""
    task: asyncio.Task[None] | None = None
    ending: asyncio.Future[None] | None = None


class FeederService:
    """Publishes the enabled venues of a configuration. Use as an async context manager, then `run`."""

    def __init__(
        self,
        config: Config,
        *,
        publisher: _core.Publisher | None = None,
        connectors: Callable[[str], Connector] = connector_for,
        environ: Mapping[str, str] | None = None,
        tap: Tap | None = None,
        read_again: Callable[[], Config] | None = None,
    ) -> None:
        """`publisher` None = UDP multicast as configured; `tap` listens in on the connections; `read_again`
        gives the configuration as it is by then. Raises ConfigurationError: no venue is enabled.
        """
        self._config = config
        self._read_again = read_again
        self._publisher = publisher
        self._lines = TextLines()
        self._log = LimitedLog(logging.getLogger("outcrier.feeder"))
        self._connectors = connectors
        self._tap = tap
        self._environ = os.environ if environ is None else environ
        self._running: dict[str, _Running] = {}
        self._around: Surroundings | None = None
        self._failed: asyncio.Future[None] | None = None
        """Of a run: gets what ends it, which a venue raised."""
        self._stopping: asyncio.Future[None] | None = None
        """A venue that ended by itself and is put away."""
        self._changing = asyncio.Lock()
        """One venue starts or stops at a time."""
        self._is_ending = False
        if not config.enabled_venues():
            raise ConfigurationError("no venue is enabled: set venues.<name>.enabled")

    async def __aenter__(self) -> Self:
        """Opens the publisher, takes the state of each venue. Raises NetworkError, also where another process
        publishes one of the channels, and ConfigurationError.
        """
        try:
            publisher = self._publisher
            if publisher is None:
                channels = {
                    VENUES[name].number: not _is_published(name, venue)
                    for name, venue in self._config.enabled_venues().items()
                }
                publisher = await asyncio.to_thread(open_publisher, self._config, channels)
                self._publisher = publisher
            self._around = Surroundings(
                publisher=publisher,
                publisher_id=secrets.randbits(63) + 1,
                connector_for=self._connectors,
                pools={},
                allowances=Allowances(),
                limited=self._config.feeder.limited_mode,
                refresh_ns=self._config.feeder.instruments_refresh_s * SECOND_NS,
                random=random.Random(secrets.randbits(64)),  # noqa: S311 - spreads retries, guards nothing
                where=_where(self._config.multicast.crypto),
                take_over=self._config.feeder.take_over,
                tap=self._tap,
            )
            for name, venue_config in self._config.enabled_venues().items():
                await self._open_venue(name, venue_config)
        except BaseException:
            await self._close_venues()
            raise
        return self

    @property
    def _venues(self) -> list[VenueFeeder]:
        return [running.feeder for running in self._running.values()]

    async def _open_venue(self, name: str, config: VenueConfig) -> None:
        """Takes what the venue needs for itself. Raises ConfigurationError, NetworkError."""
        around = self._around
        if around is None:
            raise RuntimeError("a service is entered before it has venues")
        venue = venue_by_name(name)
        published = _is_published(name, config)
        state_dir = Path(self._config.feeder.state_dir or default_state_dir(self._environ))
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(HttpClient())
            state = stack.enter_context(
                VenueState(state_dir, "live" if published else "test", name, venue.number)
            )
            history = self._history_share()
            feeder = VenueFeeder(venue, config, state, http, around, history)
            self._running[name] = _Running(feeder, config, stack.pop_all(), history)

    def _history_share(self) -> int:
        """Bytes for the history of one more venue: an equal part for each that is configured, and what is
        left for those that start later.
        """
        total = self._config.feeder.history_bytes_max
        left = total - sum(running.history_bytes for running in self._running.values())
        return min(total // max(1, len(self._config.enabled_venues())), left)

    async def _close_venues(self) -> None:
        """Gives back what the venues have taken; their sessions have ended."""
        for running in self._running.values():
            await running.stack.aclose()
        self._running.clear()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_venues()

    async def run(self, stop: asyncio.Event) -> None:
        """Publishes until `stop` is set, then ends every session, within a second.

        Venues that cannot be reached are tried again for ever. Raises ConfigurationError (unknown symbol)
        when a venue's instrument list shows it, SupersededError when another publisher has taken over.
        """
        tasks: list[asyncio.Future[Any]] = [
            asyncio.create_task(stop.wait()),
            asyncio.create_task(self._look_around()),
        ]
        failed = self._failed = asyncio.get_running_loop().create_future()
        for running in self._running.values():
            self._begin(running)
        try:
            with self._doorbell(), BusyPoll() if self._config.feeder.busy_poll else nullcontext():
                done, _ = await asyncio.wait({*tasks, failed}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._is_ending = True
            failed.cancel()
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # All of them, whatever one of them raises.
            ends = [self._end(running) for running in self._running.values()]
            closed = await asyncio.gather(*ends, return_exceptions=True)
        for outcome in closed:
            if isinstance(outcome, BaseException):
                raise outcome

    def _begin(self, running: _Running) -> None:
        running.task = asyncio.create_task(running.feeder.run())
        running.task.add_done_callback(lambda task: self._venue_ended(running, task))

    def _venue_ended(self, running: _Running, task: asyncio.Task[None]) -> None:
        failed = self._failed
        if failed is None or failed.done() or running.ending is not None or task.cancelled():
            return
        error = task.exception()
        if running.is_later and isinstance(error, ConfigurationError):
            self._note(logging.ERROR, f"{running.feeder.venue.name} ends", str(error))
            self._stopping = asyncio.ensure_future(self._stop(running))
        elif error is not None:
            failed.set_exception(error)

    async def _end(self, running: _Running) -> None:
        """Ends the session of a venue, once, whoever asks."""
        if running.ending is None:
            running.ending = asyncio.ensure_future(self._end_once(running))
        await asyncio.shield(running.ending)

    @staticmethod
    async def _end_once(running: _Running) -> None:
        if running.task is not None:
            running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)
        await running.feeder.close()

    # Venues that come and go.

    async def start_venue(self, name: str, config: VenueConfig | None = None) -> None:
        """Publishes a further venue, as configured or as `config` says. Raises ConfigurationError, also for
        one that runs, and NetworkError.
        """
        async with self._changing:
            if name in self._running:
                raise ConfigurationError(f"{name} runs already")
            given = config or self._config.venues.get(name, VenueConfig())
            await self._open_venue(name, msgspec.structs.replace(given, enabled=True))
            if self._is_ending:
                await self._running.pop(name).stack.aclose()
                raise ConfigurationError("the feeder ends")
            self._running[name].is_later = True
            self._begin(self._running[name])
            self._note(logging.INFO, "venue started", name)

    async def stop_venue(self, name: str) -> None:
        """Ends the session of a venue; the others go on. Raises ConfigurationError for one that does not
        run.
        """
        async with self._changing:
            await self._stop(self._found(name))
            self._note(logging.INFO, "venue stopped", name)

    async def _stop(self, running: _Running) -> None:
        try:
            await self._end(running)
        finally:
            if self._running.pop(running.feeder.venue.name, None) is not None:
                await running.stack.aclose()

    def venue(self, name: str) -> VenueFeeder:
        """A venue that runs. Raises ConfigurationError for another."""
        return self._found(name).feeder

    def _found(self, name: str) -> _Running:
        running = self._running.get(name)
        if running is None:
            raise ConfigurationError(f"{name} does not run; running are {', '.join(self._running) or 'none'}")
        return running

    @contextmanager
    def _doorbell(self) -> Iterator[None]:
        """What consumers ask of the feeds is looked at as soon as it comes."""
        bell = -1 if self._publisher is None else self._publisher.wakeup_fileno()
        loop = asyncio.get_running_loop()
        if bell >= 0:
            loop.add_reader(bell, self._serve_wishes)
        try:
            yield
        finally:
            if bell >= 0:
                loop.remove_reader(bell)

    def _serve_wishes(self) -> None:
        for venue in self._venues:
            venue.serve_wishes()

    async def reload(self) -> None:
        """Reads the configuration again: venues start, stop and have their symbols as it says, whatever the
        operator asked for meanwhile; keys are those that their file holds by now; a venue of which anything
        else changed starts anew. What needs a new process is named. A configuration that cannot be used is
        logged, and the one in force stays.
        """
        if self._read_again is not None:
            try:
                config = self._read_again()
            except ConfigurationError as error:
                self._note(logging.ERROR, "the configuration stays as it was", str(error))
                return
            self._name_what_stays(config)
            if not config.enabled_venues():
                self._note(logging.ERROR, "the configuration stays as it was", "no venue is enabled")
                return
            self._config = msgspec.structs.replace(self._config, venues=config.venues)
            await self._change_venues(config.enabled_venues())
        self._reload_keys()

    def _name_what_stays(self, config: Config) -> None:
        """Keys outside of `venues` are those of the process."""
        for section in ("feeder", "multicast", "subscriber"):
            if getattr(config, section) != getattr(self._config, section):
                self._note(logging.WARNING, "needs a restart", f"[{section}] has changed")

    async def _change_venues(self, wanted: Mapping[str, VenueConfig]) -> None:
        for name in list(dict.fromkeys((*self._running, *wanted))):
            running, config = self._running.get(name), wanted.get(name)
            try:
                if config is None:
                    await self.stop_venue(name)
                elif running is None:
                    await self.start_venue(name, config)
                else:
                    await self._reconfigure(running, config)
            except (ConfigurationError, NetworkError) as error:
                self._note(logging.ERROR, f"venues.{name} stays as it was", str(error))

    async def _reconfigure(self, running: _Running, config: VenueConfig) -> None:
        if msgspec.structs.replace(config, symbols=running.config.symbols) == running.config:
            running.feeder.reconfigure(config.symbols)
            running.config = config
            return
        await self.stop_venue(running.feeder.venue.name)
        await self.start_venue(running.feeder.venue.name, config)

    def _reload_keys(self) -> None:
        path = self._config.feeder.key_file
        if not path or self._publisher is None:
            return  # It is opened with what the file holds by then.
        try:
            self._publisher.change_keys(_key(path))
        except (ConfigurationError, ValueError) as error:
            self._note(logging.ERROR, "the keys stay as they were", f"feeder.key_file: {error}")
            return
        for venue in self._venues:
            venue.change_key()
        self._note(logging.WARNING, "keys changed", f"signing with the first key of {path} from now on")

    def _note(self, level: int, cause: str, text: str) -> None:
        self._log.log(mono_ns(), level, cause, text)

    async def _look_around(self) -> None:
        """Ten times a second: ends the process if another publisher has taken over, and says what is due on
        the text lines.
        """
        publisher = self._publisher
        while publisher is not None:
            check_superseded(publisher)
            counts = [counts for venue in self._venues if (counts := venue.counts()) is not None]
            troubles = [trouble for venue in self._venues if (trouble := venue.trouble()) is not None]
            for line in self._lines.due(mono_ns(), wall_ns() // 1_000_000, counts, troubles):
                publisher.send_text(line)
            await asyncio.sleep(AT_ONCE_NS / SECOND_NS)

    async def outcomes(self, timeout_s: float) -> dict[str, TransportError | None]:
        """What came of the first try of each venue, after at most `timeout_s`; call while `run` runs.

        None = every stream of a connection is subscribed; otherwise why not. A venue without an outcome yet
        is missing.
        """
        waits = {venue.venue.name: asyncio.create_task(venue.reach.tried.wait()) for venue in self._venues}
        await asyncio.wait(waits.values(), timeout=timeout_s)
        for wait in waits.values():
            wait.cancel()
        return {
            venue.venue.name: venue.status().error for venue in self._venues if venue.reach.tried.is_set()
        }

    def status(self) -> list[VenueStatus]:
        """Every venue now."""
        return [venue.status() for venue in self._venues]

    def starts(self) -> list[Start]:
        """How far the start of every venue is."""
        return [venue.start() for venue in self._venues]

    def ticks(self) -> dict[str, int]:
        """By venue that has a session: how often its core did what was due."""
        return {venue.venue.name: ticks for venue in self._venues if (ticks := venue.ticks()) is not None}

    def feeds(self) -> dict[str, _core.Feed]:
        """By venue that has a session: what counts."""
        return {venue.venue.name: feed for venue in self._venues if (feed := venue.feed()) is not None}

    @property
    def publisher(self) -> _core.Publisher | None:
        """None before the start."""
        return self._publisher


def open_publisher(config: Config, channels: Mapping[int, bool], *, logged: bool = True) -> _core.Publisher:
    """The UDP publisher of the crypto `channels`, once it is heard that nobody else publishes them, or with
    `feeder.take_over` whoever does.

    `channels`: whether a channel will carry a replay or test; `logged`: into `feeder.log_dir`, if there is
    one. Takes `occupied.LISTEN_NS`. Raises NetworkError that names group, interface and port, and
    ConfigurationError for a key file or the log.
    """
    crypto, feeder = config.multicast.crypto, config.feeder
    log_dir = feeder.log_dir if logged else ""
    if feeder.manifest_key_file and not feeder.log_dir:
        raise ConfigurationError(
            "feeder.manifest_key_file: manifests are made of the log: set feeder.log_dir"
        )
    try:
        publisher = _core.Publisher.udp(
            interface=crypto.interface,
            group=crypto.group_a,
            interface_b=crypto.interface_b,
            group_b=crypto.group_b,
            snapshot_group=crypto.group_snapshot,
            text_group=crypto.group_text,
            repair_group=crypto.group_repair,
            port=crypto.port,
            reuse_port=crypto.reuse_port,
            ttl=crypto.ttl,
            keys=_key(feeder.key_file),
            retransmit=feeder.retransmit,
            retransmit_port=crypto.retransmit_port,
            replay_port=crypto.replay_port,
            line_bytes_per_s=crypto.line_mbit_per_s * 1_000_000 // 8,
            log_dir=log_dir,
            log_segment_bytes=feeder.log_segment_mb << 20,
            log_retain_bytes=feeder.log_retain_gb << 30,
            log_retain_age_s=feeder.log_retain_hours * 3_600,
            log_sync_ms=feeder.log_sync_ms,
            manifest_key=_key(feeder.manifest_key_file) if log_dir else "",
        )
        hear(publisher, channels, where=_where(crypto), take_over=feeder.take_over)
    except OSError as error:
        raise NetworkError(str(error)) from error
    except ValueError as error:
        # Addresses were checked with the configuration: it is one of the keys.
        raise ConfigurationError(f"feeder.key_file or feeder.manifest_key_file: {error}") from None
    return publisher


def _key(path: str) -> str:
    return read_key_file(key_path(path, os.environ)) if path else ""


def _is_published(name: str, config: VenueConfig) -> bool:
    return VENUES[name].is_published(ws_url=config.ws_url or None, rest_url=config.rest_url or None)


def _where(multicast: MulticastConfig) -> str:
    return f"{multicast.group_a}:{multicast.port}"


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGINT and SIGTERM set `stop`, from the running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


def serve(
    config: Config, log: OperatorLog | None = None, read_again: Callable[[], Config] | None = None
) -> list[VenueStatus]:
    """Runs the feeder until SIGINT or SIGTERM and returns how the venues were at the end; `log` is for its
    counters, `read_again` for SIGHUP.
    """

    async def run(notifier: Notifier) -> list[VenueStatus]:
        stop = asyncio.Event()
        stop_on_signals(stop)
        # Modules stay: no collection goes through them again, neither while messages wait (25 ms) nor at the
        # end, which shall come within a second (70 ms of processor time).
        gc.collect()
        gc.freeze()
        service = FeederService(config, read_again=read_again)
        watch = Watch(service, notifier)
        report = Report(service, watch, log)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, watch.reload)
        control = ControlServer(service, control_dir(config.feeder, os.environ))
        report.control = control
        async with service, control, _watched(watch, report, config.feeder.health_port, stop):
            await service.run(stop)
            return service.status()

    with (
        closing(Notifier(os.environ)) as notifier,
        asyncio.Runner(loop_factory=loop_factory(config.feeder.event_loop)) as runner,
    ):
        return runner.run(run(notifier))


@asynccontextmanager
async def _watched(
    watch: Watch, report: Report, health_port: int, stop: asyncio.Event
) -> AsyncIterator[None]:
    """Watches over a service meanwhile, and answers those who ask for its health."""
    pages = {"/health": report.health, "/metrics": report.metrics}
    async with AsyncExitStack() as stack:
        if health_port:
            report.server = await stack.enter_async_context(HttpServer(health_port, pages))
        task = asyncio.create_task(watch.run(stop))
        # Unwatched it must not go on: systemd starts it again.
        task.add_done_callback(lambda _: stop.set())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
