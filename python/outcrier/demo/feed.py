"""The child of the demo: the real feeder on the exchanges; if none can be reached, on captures through stand-
in venues; without captures, on the simulated venue.

It reads its configuration from stdin, tells what it does on stdout (`outcrier.demo.messages`) and ends when
stdin is closed, so that it never outlives the process with the screen.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from outcrier.capture.library import data_folder, demo_groups
from outcrier.capture.server import StandInServer, stand_in_config
from outcrier.capture.simulation import SimulatedExchange, Simulation
from outcrier.capture.stand_in import StandIn
from outcrier.config import Config
from outcrier.demo.messages import ENCODER, Failed, Message, Notice, Playing, Venue, Venues
from outcrier.errors import OutcrierError
from outcrier.feeder.loops import loop_factory
from outcrier.feeder.service import FeederService
from outcrier.feeder.status import VenueStatus
from outcrier.feeder.transport import Reason, TransportError
from outcrier.venues import VENUES

LIVE_VENUES: Final = ("binance", "binance_usdm", "binance_coinm")
"""Exchanges tried first."""

REGION_VENUES: Final = ("binance_us",)
"""Tried where the first ones refuse the region."""

REACH_S: Final = 4.0
"""How long the exchanges have to answer: a handshake across the world takes 1 s, and books shall move within
10 s.
"""

SEED: Final = 1
INSTRUMENTS: Final = 8
"""Of the simulation: a screen of moving books, the same ones each time."""

STATUS_S: Final = 1.0
"""How often venues are told of."""


def main() -> None:
    """Runs until stdin is closed."""
    logging.basicConfig(
        level=logging.CRITICAL
    )  # The screen belongs to the parent; errors are in the messages.
    config = msgspec.json.decode(sys.stdin.buffer.readline(), type=Config)
    try:
        with asyncio.Runner(loop_factory=loop_factory(config.feeder.event_loop)) as runner:
            runner.run(_Feed(config).run())
    except OutcrierError as error:
        tell(Failed(text=str(error), exit_code=error.exit_code))


def tell(message: Message) -> None:
    """One line on stdout."""
    sys.stdout.buffer.write(ENCODER.encode(message) + b"\n")
    sys.stdout.buffer.flush()


class _Feed:
    """Chooses what to publish, publishes it, tells of it."""

    def __init__(self, config: Config) -> None:
        self._config = msgspec.structs.replace(
            config, feeder=msgspec.structs.replace(config.feeder, limited_mode=True)
        )
        self._stop = asyncio.Event()

    async def run(self) -> None:
        closed = asyncio.create_task(self._wait_for_end())
        try:
            errors = await self._live(LIVE_VENUES)
            if errors is None:
                return
            if any(error.reason is Reason.REGION for error in errors):
                errors_us = await self._live(REGION_VENUES, f"{reasons(errors)}; Binance US instead")
                if errors_us is None:
                    return
                errors += errors_us
            if not self._stop.is_set():
                await self._instead(f"no exchange can be reached: {reasons(errors)}")
        finally:
            closed.cancel()

    async def _wait_for_end(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await reader.read()
        self._stop.set()

    async def _live(self, names: Sequence[str], notice: str = "") -> list[TransportError] | None:
        """Publishes the exchanges until the end, `notice` told before; or gives why none can be reached."""
        venues = {
            name: msgspec.structs.replace(venue, enabled=name in names)
            for name, venue in self._config.venues.items()
        }
        config = _with_orders(msgspec.structs.replace(self._config, venues=venues))
        async with FeederService(config) as service:
            stop = asyncio.Event()
            running = asyncio.create_task(service.run(stop))
            try:
                reached = asyncio.create_task(_first_reached(service, names))
                stopped = asyncio.create_task(self._stop.wait())
                await asyncio.wait({reached, stopped, running}, return_when=asyncio.FIRST_COMPLETED)
                stopped.cancel()
                if running.done():
                    reached.cancel()
                    running.result()
                    return None
                if not reached.done():
                    reached.cancel()
                    return None
                errors = reached.result()
                if errors is not None:
                    return errors
                if notice:
                    tell(Notice(text=notice))
                test = any(venue.test for venue in service.status() if venue.error is None)
                tell(Playing(test=test, sources=tuple(names)))
                await self._tell_until_end(service, running)
                return None
            finally:
                stop.set()
                await running

    async def _instead(self, why: str) -> None:
        """Publishes what is here until the end: captures, else the simulation."""
        folder = data_folder()
        groups = [] if folder is None else demo_groups(folder)
        async with AsyncExitStack() as stack:
            servers: list[StandInServer] = []
            if groups:
                tell(Notice(text=why))
                for group in groups:
                    stand_in = await asyncio.to_thread(StandIn, VENUES[group.venue], group.paths, loop=True)
                    servers.append(await stack.enter_async_context(stand_in))
                playing = Playing(
                    test=True, sources=tuple(name for group in groups for name in _names(group.paths))
                )
            else:
                tell(Notice(text=f"{why}; {NO_CAPTURES}", simulation=True))
                exchange = SimulatedExchange(seed=SEED, instruments=INSTRUMENTS)
                servers.append(await stack.enter_async_context(Simulation(exchange)))
                playing = Playing(test=True, sources=exchange.symbols)
            await self._publish(stack, servers, playing)

    async def _publish(
        self, stack: AsyncExitStack, servers: Sequence[StandInServer], playing: Playing
    ) -> None:
        config = _with_orders(stand_in_config(servers))
        # Sessions and instrument ids of a demo need not outlive it.
        state_dir = stack.enter_context(TemporaryDirectory(prefix="outcrier-demo-"))
        config = msgspec.structs.replace(
            config,
            feeder=msgspec.structs.replace(self._config.feeder, state_dir=state_dir),
            multicast=self._config.multicast,
        )
        service = await stack.enter_async_context(FeederService(config))
        tell(playing)
        running = asyncio.create_task(service.run(self._stop))
        await self._tell_until_end(service, running)
        await running

    async def _tell_until_end(self, service: FeederService, running: asyncio.Task[None]) -> None:
        stopped = asyncio.create_task(self._stop.wait())
        try:
            while not (stopped.done() or running.done()):
                tell(Venues(venues=tuple(map(_venue, service.status()))))
                await asyncio.wait({stopped, running}, timeout=STATUS_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()


NO_CAPTURES: Final = (
    "no captures either: captures/VENUE/*.jsonl.gz and their MANIFEST.json in the folder of OUTCRIER_DATA"
)
"""How to get some."""


def _with_orders(config: Config) -> Config:
    """The same with orders of every book: for `outcrier book --orders` beside the demo."""
    venues = {
        name: msgspec.structs.replace(venue, infer_orders=True) for name, venue in config.venues.items()
    }
    return msgspec.structs.replace(config, venues=venues)


def _names(paths: Sequence[Path]) -> list[str]:
    return [f"{path.parent.name}/{path.name}" for path in paths]


async def _first_reached(service: FeederService, names: Sequence[str]) -> list[TransportError] | None:
    """None as soon as one venue is reached; otherwise why not, once all have tried or the time is over."""
    loop = asyncio.get_running_loop()
    end = loop.time() + REACH_S
    while True:
        outcomes = await service.outcomes(0.05)
        if any(error is None for error in outcomes.values()):
            return None
        if len(outcomes) == len(names) or loop.time() >= end:
            late = [TransportError(VENUES[n].rest_url, Reason.TIMEOUT) for n in names if n not in outcomes]
            return [error for error in outcomes.values() if error is not None] + late


def reasons(errors: Sequence[TransportError]) -> str:
    """Why nothing is reached: hosts with the same reason together, in one line."""
    hosts: dict[str, list[str]] = {}
    for error in errors:
        host, _, why = str(error).partition(": ")
        hosts.setdefault(why, []).append(host)
    return "; ".join(f"{', '.join(dict.fromkeys(names))}: {why}" for why, names in hosts.items())


def _venue(status: VenueStatus) -> Venue:
    return Venue(
        name=status.venue,
        connected=status.connected,
        connections=status.connections,
        live=status.live,
        books=status.books,
        messages=status.messages,
        gaps=status.gaps,
        faults=status.faults,
        reconnects=status.reconnects,
        error=str(status.error) if status.error else "",
    )


if __name__ == "__main__":
    main()
