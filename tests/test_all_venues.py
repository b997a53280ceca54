"""One feeder of all captured venues at once, against stand-ins: every book becomes live, and what cannot
be live says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from outcrier import _core
from outcrier.capture.library import sessions_of_all
from outcrier.capture.server import stand_in_config
from outcrier.capture.stand_in import StandIn
from outcrier.config import Config, FeederConfig
from outcrier.feeder.service import FeederService
from outcrier.venue_numbers import VENUE_NUMBERS
from outcrier.venues import VENUES

NEVER_LIVE = {"bithumb_legacy": "its recording has no whole book"}
LIVE_WITHIN_S = 90


@asynccontextmanager
async def stand_ins(folder: Path) -> AsyncIterator[dict[str, StandIn]]:
    groups = sessions_of_all(folder)
    made = await asyncio.gather(
        *(asyncio.to_thread(StandIn, VENUES[each.venue], each.paths, loop=True) for each in groups)
    )
    async with AsyncExitStack() as stack:
        yield {each.venue.name: await stack.enter_async_context(each) for each in made}


class Wire:
    """What a consumer of everything knows."""

    def __init__(self, publisher: _core.Publisher) -> None:
        self.publisher = publisher
        self.receiver = _core.Receiver(accept_test=True)
        self._now = 0

    def hear(self) -> None:
        for plane, datagram in self.publisher.take():
            self._now += 1_000
            self.receiver.datagram(plane, datagram, 0, self._now)

    def states(self, venue: str, ids: range) -> list[str]:
        return [self.receiver.state(VENUE_NUMBERS[venue], wire_id) for wire_id in ids]


def test_every_captured_venue_is_live_at_once(data_dir: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with stand_ins(data_dir) as venues:
            publisher = _core.Publisher.memory()
            wire = Wire(publisher)
            feeder = FeederConfig(state_dir=str(tmp_path), limited_mode=True)
            config: Config = msgspec.structs.replace(stand_in_config(list(venues.values())), feeder=feeder)
            stop = asyncio.Event()
            seen: set[str] = set()
            async with FeederService(config, publisher=publisher) as service:
                running = asyncio.create_task(service.run(stop))
                async with asyncio.timeout(LIVE_WITHIN_S):
                    while seen < set(venues) - set(NEVER_LIVE):
                        assert not running.done(), running.exception()
                        await asyncio.sleep(0.1)
                        wire.hear()
                        for status in service.status():
                            heard = wire.states(status.venue, range(1, status.instruments + 1))
                            if status.instruments and status.is_live and set(heard) == {"LIVE"}:
                                seen.add(status.venue)
                assert seen == set(venues) - set(NEVER_LIVE), "live on the wire, each at its time"
                (legacy,) = [each for each in service.status() if each.venue == "bithumb_legacy"]
                states = wire.states("bithumb_legacy", range(1, legacy.instruments + 1))
                assert set(states) == {"RECOVERING"}
                assert f"{legacy.books} of {legacy.books} books not live" in legacy.why_not
                stop.set()
                await running
            breaches = {
                name: each.counters.breaches for name, each in venues.items() if each.counters.breaches
            }
            assert breaches == {}

    asyncio.run(run())
