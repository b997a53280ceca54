"""Hundreds of instruments of a venue connect, subscribe and subscribe anew, and the stand-in counts every
limit that is not kept.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feeder_scene import CaptureFinder, Wire, config_of, play, until
from outcrier.capture.faults import Fault
from outcrier.capture.library import list_of
from outcrier.capture.requests import Requests
from outcrier.capture.stand_in import StandIn
from outcrier.feeder.links import Which
from outcrier.feeder.service import FeederService
from outcrier.venues import VENUES

CASES = {
    "binance_usdm": ("binance_usdm/usdm_btcusdt_2024-08-08", 320),
    "bybit_linear": ("bybit/v5_linear_2026-08-09", 80),
    "okx_2022": ("okx/v5_public_2022-05-13", 110),
    "coinbase": ("coinbase/advanced_2026-08-09", 160),
    "coinbase_exchange": ("coinbase/exchange_2021-04-17", 100),
    "upbit": ("upbit/spot_2021-04-17", 80),
    "kraken_futures": ("kraken_futures/v1_2021-07-22", 30),
    "deribit": ("deribit/v2_2021-07-22", 0),
}
"""Capture, and copies of each of its instruments; of Deribit all that were listed are asked for."""

SPEED = 0.02
"""Messages are not what this is about."""


@pytest.mark.parametrize("name", CASES)
def test_no_limit_is_broken_by_hundreds_of_instruments(
    name: str,
    capture: CaptureFinder,
    tmp_path: Path,
    runner: asyncio.Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, copies = CASES[name]
    venue, path = VENUES[name], capture(file)
    connects: list[float] = []
    answer = Requests.answer

    def seen(self: Requests, request: Any, connections: int) -> Any:
        if request.headers.get("Upgrade"):
            connects.append(time.monotonic())
        return answer(self, request, connections)

    monkeypatch.setattr(Requests, "answer", seen)

    async def run() -> None:
        async with StandIn(
            venue, [path], speed=SPEED, copies=copies, instruments=list_of(venue, [path])
        ) as stand_in:

            async def scene(service: FeederService) -> None:
                def all_subscribed() -> bool:
                    (status,) = service.status()
                    return 0 < status.connections == status.subscribed

                await until(all_subscribed, "all subscribed", 60)
                (status,) = service.status()
                assert status.instruments >= 300
                assert status.refused == 0, status.last_error
                session = service.venue(name)._session
                assert session is not None
                # Some books anew, one after the other, as each of them would ask for itself.
                for index in sorted(session.roster.with_book)[::30]:
                    session.links.resubscribe({index: Which.BOOK})
                machines = [driver.machine for driver in session.drivers]
                await until(lambda: all(each.is_settled for each in machines), "all answered", 60)
                assert [each.unanswered for each in machines] == [0] * len(machines)
                assert service.status()[0].reconnects == 0, service.status()[0].last_error

            config = config_of([stand_in], tmp_path)
            if not copies:
                everything = msgspec.structs.replace(config.venues[name], symbols=("*",))
                config.venues[name] = everything
            await play(config, Wire(), scene)
            assert stand_in.counters.breaches == {}
            assert stand_in.counters.connections == len(connects)

    runner.run(run())
    if len(connects) > 3:
        waits = [later - earlier for earlier, later in itertools.pairwise(connects)]
        assert max(waits) - min(waits) > 0.01, "not all in the same instant"


HELD_S = 3.0
"""Longer than the five messages that Kraken takes in a second need at our pace."""


@pytest.mark.parametrize("name", ["kraken_v1", "coinbase"])
def test_what_is_held_up_on_its_way_and_arrives_at_once_is_no_more_than_the_venue_takes(
    name: str, capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    """A link takes nothing for three seconds while instruments are asked for anew, one after the other."""
    file = {"kraken_v1": "kraken/v1_book_2021-04-17", "coinbase": CASES["coinbase"][0]}[name]
    venue, path = VENUES[name], capture(file)

    async def run() -> None:
        async with StandIn(
            venue, [path], speed=0.2, copies=1, instruments=list_of(venue, [path])
        ) as stand_in:

            async def scene(service: FeederService) -> None:
                def all_settled() -> bool:
                    session = service.venue(name)._session
                    return session is not None and all(each.machine.is_settled for each in session.drivers)

                await until(all_settled, "all subscribed")
                session = service.venue(name)._session
                assert session is not None
                stand_in.inject(Fault(kind="half_open", seconds=HELD_S))
                await until(lambda: stand_in.counters.injected.get("half_open") == 1, "it takes nothing")
                for index in sorted(session.roster.with_book)[:4]:
                    session.links.resubscribe({index: Which.ALL})
                await until(all_settled, "all answered", 60)
                status = service.status()[0]
                assert (status.reconnects, status.refused) == (0, 0), status.last_error

            await play(config_of([stand_in], tmp_path), Wire(), scene)
            assert stand_in.counters.breaches == {}

    runner.run(run())
