"""What venues do to the second of two connections, or before they cut the first: over sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from feeder_scene import CaptureFinder, config_of, is_live, play, until
from outcrier.capture.faults import Fault
from outcrier.capture.stand_in import StandIn
from outcrier.feeder import connection, links
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.driver import ConnectionDriver
from outcrier.feeder.service import FeederService
from rotations import CASES, Heard, Truth, brief, staged

SECONDS = 5.0

REFUSALS = {
    "429": Fault(kind="refuse_connects", at_s=1.0, status=429, count=0),
    "403": Fault(kind="refuse_connects", at_s=1.0, status=403, count=0),
    "503": Fault(kind="refuse_connects", at_s=1.0, status=503, count=0),
    "closed": Fault(kind="close_connects", at_s=1.0, code=1013, count=0),
    "cut": Fault(kind="close_connects", at_s=1.0, count=0),
    "mute": Fault(kind="mute_connects", at_s=1.0, count=0),
}

TRIES_MAX = 12
"""Of a second connection in SECONDS: the wait is drawn below half a second, then one, two, four."""

Scene = Callable[[FeederService, Heard], Coroutine[Any, Any, None]]


@pytest.fixture
def renewing(
    capture: CaptureFinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[StandIn], dict[str, Truth]]:
    """Venues whose connections live for two seconds at most. Upbit acknowledges nothing."""
    names = ("binance", "okx_swap", "upbit")
    for name in names:
        brief(monkeypatch, name, 1.5)
    return staged(names, capture, tmp_path, SECONDS)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else takes a minute."""
    monkeypatch.setattr(links, "TAKE_OVER_NS", SECOND_NS)
    monkeypatch.setattr(links, "HEARD_WITHIN_NS", SECOND_NS // 2)
    monkeypatch.setattr(links, "RENEW_AGAIN_NS", SECOND_NS)
    monkeypatch.setattr(connection, "ACKNOWLEDGE_TIMEOUT_NS", SECOND_NS)


async def perform(stand_ins: list[StandIn], folder: Path, scene: Scene) -> Heard:
    """The feeder beside these while `scene` plays; what left it."""
    heard = Heard()
    async with AsyncExitStack() as stack:
        for stand_in in stand_ins:
            await stack.enter_async_context(stand_in)
        await play(config_of(stand_ins, folder), heard.wire, lambda service: scene(service, heard))
    heard.hear()
    return heard


def check(truths: dict[str, Truth], heard: Heard, new_links: int) -> None:
    """Nothing is missing, nothing comes twice, nothing was ever not live."""
    for name, truth in truths.items():
        consumer = heard.of(name)
        assert consumer.not_live() == {}, name
        if CASES[name].numbered:
            truth.check_numbered(consumer, new_links)
        else:
            truth.check_books(consumer)
        assert truth.check_trades(consumer) > 0, name


@pytest.mark.parametrize("way", REFUSALS)
@pytest.mark.usefixtures("quick")
def test_a_second_link_that_is_refused_leaves_the_first_as_it_is(
    way: str, renewing: tuple[list[StandIn], dict[str, Truth]], tmp_path: Path, runner: asyncio.Runner
) -> None:
    """Where nothing is acknowledged, a link that says nothing is found out by the books of the first."""
    stand_ins, truths = renewing

    async def scene(service: FeederService, heard: Heard) -> None:
        for stand_in in stand_ins:
            stand_in.inject(REFUSALS[way])
        await until(
            lambda: all(each.take_overs_failed > 0 for each in service.status()), "a second link has failed"
        )
        await until(lambda: heard.hear_all(truths), "every book is the last one")
        for status in service.status():
            assert (status.connections, status.subscribed, status.live) == (1, 1, status.books)
            assert (status.take_overs, status.reconnects, status.gaps, status.faults) == (0, 0, 0, 0)
            assert "conn=" in status.last_error, "which says why"
            assert status.is_live, status.why_not

    heard = runner.run(perform(stand_ins, tmp_path, scene))
    check(truths, heard, new_links=0)
    for stand_in in stand_ins:
        tries = stand_in.counters.injected[REFUSALS[way].kind]
        assert 1 <= tries <= (1 if way == "403" else TRIES_MAX), stand_in.venue.name


@pytest.mark.usefixtures("quick")
def test_a_link_that_is_lost_while_its_second_is_shut_out_comes_back_by_itself(
    renewing: tuple[list[StandIn], dict[str, Truth]], tmp_path: Path, runner: asyncio.Runner
) -> None:
    """The second one would wait for ten minutes after a 403."""
    stand_ins, truths = renewing

    async def scene(service: FeederService, heard: Heard) -> None:
        for stand_in in stand_ins:
            stand_in.inject(Fault(kind="refuse_connects", at_s=1.0, status=403))
        await until(lambda: all(each.take_overs_failed > 0 for each in service.status()), "refused")
        for stand_in in stand_ins:
            stand_in.inject(Fault(kind="close", one=True))
        await until(lambda: all(each.reconnects > 0 for each in service.status()), "another link")
        await until(lambda: is_live(service), "and live")
        heard.hear()

    heard = runner.run(perform(stand_ins, tmp_path, scene))
    assert all(heard.of(name).not_live() for name in truths), "nobody carried them meanwhile"


def test_an_announced_end_is_met_by_another_link_without_a_gap(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    """Binance's serverShutdown, OKX's notice: to links that are seconds old."""
    stand_ins, truths = staged(("binance", "okx_swap"), capture, tmp_path, SECONDS)

    async def scene(service: FeederService, heard: Heard) -> None:
        await until(lambda: is_live(service), "live")
        for stand_in in stand_ins:
            stand_in.inject(Fault(kind="announce", one=True, seconds=2.0))
        await until(lambda: all(each.take_overs == 1 for each in service.status()), "replaced")
        await until(lambda: heard.hear_all(truths), "every book is the last one")
        for status in service.status():
            assert (status.connections, status.reconnects, status.gaps) == (1, 0, 0), "it was not cut"

    check(truths, runner.run(perform(stand_ins, tmp_path, scene)), new_links=1)
    for stand_in in stand_ins:
        assert stand_in.counters.injected["announce"] == 1
        assert stand_in.counters.connections == 2


def test_a_first_link_is_kept_until_a_ping_tells_that_nothing_is_left_on_it(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or, as here, until no answer is to be expected any more."""
    monkeypatch.setattr(ConnectionDriver, "ponged", lambda *_: None)
    monkeypatch.setattr(links, "DRAIN_NS", 2 * SECOND_NS)
    (stand_in,), truths = staged(("binance",), capture, tmp_path, SECONDS)

    async def scene(service: FeederService, heard: Heard) -> None:
        await until(lambda: is_live(service), "live")
        stand_in.inject(Fault(kind="announce", one=True, seconds=60.0))
        session = service.venue("binance")._session
        assert session is not None
        (place,) = session.links._places.values()
        await until(lambda: place.until_ns is not None and not place.waiting, "the book has moved")
        await asyncio.sleep(0.5)
        assert (service.status()[0].take_overs, len(session.drivers)) == (0, 2)
        await until(lambda: service.status()[0].take_overs == 1, "replaced")
        await until(lambda: heard.hear_all(truths), "every book is the last one")

    check(truths, runner.run(perform([stand_in], tmp_path, scene)), new_links=1)


def test_an_end_announced_to_every_link_is_not_met_by_more_and_more_of_them(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    stand_ins, truths = staged(("binance", "okx_swap"), capture, tmp_path, SECONDS)

    async def scene(service: FeederService, heard: Heard) -> None:
        await until(lambda: is_live(service), "live")
        for _ in range(int(SECONDS / 0.2)):
            for stand_in in stand_ins:
                stand_in.inject(Fault(kind="announce", seconds=60.0))
            await asyncio.sleep(0.2)
        await until(lambda: heard.hear_all(truths), "every book is the last one")

    check(truths, runner.run(perform(stand_ins, tmp_path, scene)), new_links=1)
    for stand_in in stand_ins:
        assert stand_in.counters.injected["announce"] > 5
        assert stand_in.counters.connections == 2
