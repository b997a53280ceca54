"""The feeder as a service: every enabled venue, one event loop, one publisher.

    async with FeederService(config) as service:
        await service.run(stop)            # an asyncio.Event; `service.status()` at any time

`serve` is the whole program of `outcrier run`: loop, signals, summary.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
import signal
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

from outcrier import _core
from outcrier.config import Config, VenueConfig
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.busy_poll import BusyPoll
from outcrier.feeder.http import HttpClient
from outcrier.feeder.occupied import refuse_if_occupied
from outcrier.feeder.state import VenueState, default_state_dir
from outcrier.feeder.status import VenueStatus
from outcrier.feeder.tap import Tap
from outcrier.feeder.transport import Connector, TransportError, connector_for
from outcrier.feeder.venue_feeder import Surroundings, VenueFeeder
from outcrier.venues import VENUES

_log = logging.getLogger("outcrier.feeder")


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
    ) -> None:
        """`publisher` None = UDP multicast as configured; `tap` listens in on the connections. Raises
        ConfigurationError: no venue is enabled.
        """
        self._config = config
        self._publisher = publisher
        self._connectors = connectors
        self._tap = tap
        self._environ = os.environ if environ is None else environ
        self._venues: list[VenueFeeder] = []
        self._stack = AsyncExitStack()
        if not config.enabled_venues():
            raise ConfigurationError("no venue is enabled: set venues.<name>.enabled")

    async def __aenter__(self) -> Self:
        """Opens the publisher, takes the state of each venue. Raises NetworkError, also where another process
        publishes one of the channels, and ConfigurationError.
        """
        try:
            publisher = self._publisher
            if publisher is None:
                channels = [VENUES[name].number for name in self._config.enabled_venues()]
                publisher = await asyncio.to_thread(open_publisher, self._config, channels)
            around = Surroundings(
                publisher=publisher,
                publisher_id=secrets.randbits(63) + 1,
                connector_for=self._connectors,
                pools={},
                limited=self._config.feeder.limited_mode,
                refresh_ns=self._config.feeder.instruments_refresh_s * SECOND_NS,
                random=random.Random(secrets.randbits(64)),  # noqa: S311 - spreads retries, guards nothing
                tap=self._tap,
            )
            for name, venue_config in self._config.enabled_venues().items():
                http = await self._stack.enter_async_context(HttpClient())
                self._venues.append(self._open_venue(name, venue_config, http, around))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    def _open_venue(
        self, name: str, config: VenueConfig, http: HttpClient, around: Surroundings
    ) -> VenueFeeder:
        venue = VENUES[name]
        published = venue.is_published(ws_url=config.ws_url or None, rest_url=config.rest_url or None)
        state_dir = Path(self._config.feeder.state_dir or default_state_dir(self._environ))
        state = VenueState(state_dir, "live" if published else "test", name, venue.number)
        self._stack.enter_context(state)
        return VenueFeeder(venue, config, state, http, around)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def run(self, stop: asyncio.Event) -> None:
        """Publishes until `stop` is set, then ends every session, within a second.

        Venues that cannot be reached are tried again for ever. Raises ConfigurationError (unknown symbol)
        when a venue's instrument list shows it.
        """
        stopping = asyncio.create_task(stop.wait())
        running = {asyncio.create_task(venue.run()): venue for venue in self._venues}
        try:
            with BusyPoll() if self._config.feeder.busy_poll else nullcontext():
                done, _ = await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (stopping, *running):
                task.cancel()
            await asyncio.gather(stopping, *running, return_exceptions=True)
            # All of them, whatever one of them raises.
            closed = await asyncio.gather(*(venue.close() for venue in self._venues), return_exceptions=True)
        for outcome in closed:
            if isinstance(outcome, BaseException):
                raise outcome

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


def open_publisher(config: Config, channels: Collection[int]) -> _core.Publisher:
    """The UDP publisher of the crypto `channels`, once it is heard that nobody else publishes them.

    Takes `occupied.LISTEN_NS`. Raises NetworkError that names group, interface and port.
    """
    crypto = config.multicast.crypto
    refuse_if_occupied(crypto, channels)
    try:
        return _core.Publisher.udp(
            interface=crypto.interface,
            group=crypto.group_a,
            snapshot_group=crypto.group_snapshot,
            port=crypto.port,
            ttl=crypto.ttl,
        )
    except OSError as error:
        raise NetworkError(str(error)) from error


def loop_factory(event_loop: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The factory for `asyncio.Runner` that `feeder.event_loop` asks for. Raises ConfigurationError: uvloop
    is missing.
    """
    if event_loop == "asyncio":
        return None
    try:
        import uvloop  # noqa: PLC0415 - it is optional, and only wanted here
    except ImportError as error:
        if event_loop == "uvloop":
            raise ConfigurationError("feeder.event_loop: uvloop is not installed; use auto") from error
        return None
    return uvloop.new_event_loop


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGINT and SIGTERM set `stop`, from the running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)


def serve(config: Config) -> list[VenueStatus]:
    """Runs the feeder until SIGINT or SIGTERM and returns how the venues were at the end."""

    async def run() -> list[VenueStatus]:
        stop = asyncio.Event()
        stop_on_signals(stop)
        async with FeederService(config) as service:
            await service.run(stop)
            return service.status()

    with asyncio.Runner(loop_factory=loop_factory(config.feeder.event_loop)) as runner:
        return runner.run(run())
