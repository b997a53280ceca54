"""Sockets are replaced by plan, again and again, on all venues at once, and the stand-ins cut one of the two
meanwhile: nothing of it shows on the wire where the venue numbers its books, and elsewhere no more than what
a venue of that kind cannot hide. OUTCRIER_ROTATION_S is how long that goes on.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from feeder_scene import CONN, STATUS, CaptureFinder, Wire, config_of, is_live, play, until
from outcrier.capture.connection import Connection
from outcrier.capture.library import list_of
from outcrier.capture.stand_in import StandIn
from outcrier.feeder import links
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.service import FeederService
from outcrier.feeder.status import VenueStatus
from outcrier.venue_numbers import VENUE_NUMBERS
from outcrier.venues import VENUES
from overlaps import Consumer
from rotations import CASES, Heard, Truth, brief, staged

ROTATION_S: Final = float(os.environ.get("OUTCRIER_ROTATION_S", "16"))
SEED: Final = os.environ.get("OUTCRIER_SOAK_SEED", "7")
QUIET_S: Final = 8.0
"""While nobody cuts anything."""

LIFETIME_S: Final = 3.0
CLOSED = 5

pytestmark = pytest.mark.timeout(ROTATION_S + 120)

LOOK_S: Final = 0.05
STILL_S: Final = 0.25
"""Of the process. Longer than that, a link may be cut before what it and the other one brought was read: then
even numbered books are asked for anew.
"""


class Killer:
    """Cuts one of two sockets that carry the same: the old or the new one or none, by a seeded draw."""

    def __init__(self, stand_in: StandIn, draw: tuple[str, ...]) -> None:
        self.stand_in = stand_in
        self.killed: Counter[str] = Counter()
        self._draw = draw
        self._random = random.Random(f"{SEED} {stand_in.venue.name}")  # noqa: S311 - repeats what it did
        self._done: set[int] = set()

    def pairs(self) -> list[list[Connection]]:
        by_target: dict[str, list[Connection]] = {}
        for each in self.stand_in._connections:
            by_target.setdefault(each.client.target, []).append(each)
        return [pair for pair in by_target.values() if len(pair) == 2]

    def look(self, service: FeederService) -> None:
        session = service.venue(self.stand_in.venue.name)._session
        if session is None or not all(place.until_ns for place in session.links._places.values()):
            return  # What only the first one carries is lost with it.
        for old, new in self.pairs():
            if id(new) in self._done or new.client.sent < 3:
                continue
            self._done.add(id(new))
            which = self._random.choice(self._draw)
            self.killed[which] += 1
            if which != "none":
                (old if which == "old" else new).abort()

    async def run(self, service: FeederService) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.look(service)


@dataclass(frozen=True)
class Ended:
    """How it was with a venue at the end."""

    status: VenueStatus
    counters: dict[str, int]
    killed: Counter[str]
    conn_ids: list[int]


@pytest.mark.parametrize("draw", [("none",), ("old", "new", "none")], ids=["nobody cuts", "one is cut"])
def test_sockets_change_again_and_again(
    draw: tuple[str, ...],
    capture: CaptureFinder,
    tmp_path: Path,
    runner: asyncio.Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_cut = len(draw) > 1
    seconds = ROTATION_S if is_cut else QUIET_S
    monkeypatch.setattr(links, "TAKE_OVER_NS", SECOND_NS)
    monkeypatch.setattr(links, "RENEW_AGAIN_NS", SECOND_NS // 2)
    if is_cut:  # Both are there for so long, or there is nothing to kill.
        monkeypatch.setattr(links.Links, "_is_done", lambda *_: False)
    heard, ended = Heard(), dict[str, Ended]()
    for name in CASES:
        brief(monkeypatch, name, LIFETIME_S)
    stand_ins, truths = staged(CASES, capture, tmp_path, seconds)

    async def run() -> None:
        async with AsyncExitStack() as stack:
            for stand_in in stand_ins:
                await stack.enter_async_context(stand_in)
            killers = [Killer(stand_in, draw) for stand_in in stand_ins]

            async def scene(service: FeederService) -> None:
                loop = asyncio.get_running_loop()
                end = loop.time() + seconds
                killing = [asyncio.create_task(killer.run(service)) for killer in killers]
                while (before := loop.time()) < end:
                    await asyncio.sleep(LOOK_S)
                    heard.lag_s = max(heard.lag_s, loop.time() - before - LOOK_S)
                    heard.hear()
                for task in killing:
                    task.cancel()

                await until(
                    lambda: heard.hear_all(truths) and is_live(service), "every book is the last one", 60
                )
                for killer in killers:
                    name = killer.stand_in.venue.name
                    session = service.venue(name)._session
                    assert session is not None
                    ids = [driver.conn_id for driver in session.drivers]
                    status = next(each for each in service.status() if each.venue == name)
                    ended[name] = Ended(status, session.feed.counters(), killer.killed, ids)

            await play(config_of(stand_ins, tmp_path), heard.wire, scene)
            for stand_in in stand_ins:
                # Messages a second are counted when they are read, which a busy machine delays.
                assert set(stand_in.counters.breaches) <= {"messages"}, stand_in.venue.name

    runner.run(run())
    heard.hear()
    sys.stdout.write(f"lag {heard.lag_s:.3f} s\n")
    for name, truth in truths.items():
        consumer = heard.of(name)
        tell(name, consumer, ended[name])
        check(name, truth, consumer, ended[name], is_cut=is_cut, stood_still=heard.lag_s > STILL_S)
        check_connections(heard.connections[VENUE_NUMBERS[name]], ended[name].conn_ids)
    drawn = {which for each in ended.values() for which in each.killed}
    assert drawn == set(draw)


def tell(name: str, consumer: Consumer, ended: Ended) -> None:
    repeats = ("overlap_repeats", "overlap_dropped", "trade_repeats")
    figures = {
        "cut": f"{ended.killed['old']} old {ended.killed['new']} new",
        "take-overs": ended.status.take_overs,
        "failed": ended.status.take_overs_failed,
        "books": sum(map(len, consumer.seen.values())),
        "trades": len(consumer.trades),
        "not twice": sum(ended.counters[each] for each in repeats),
        "gaps": ended.status.gaps,
        "stale": ended.counters["went_stale"],
    }
    sys.stdout.write(f"{name:18}" + ", ".join(f"{key} {value}" for key, value in figures.items()) + "\n")


def check(
    name: str, truth: Truth, consumer: Consumer, ended: Ended, *, is_cut: bool, stood_still: bool
) -> None:
    status, killed = ended.status, ended.killed
    assert (status.gaps, status.faults) == (0, 0), status
    assert status.take_overs >= killed["old"] + (not is_cut), status
    # A new link that is cut may have taken over in that moment.
    assert status.take_overs + status.take_overs_failed >= killed["old"] + killed["new"], status
    if not is_cut or (CASES[name].numbered and not stood_still):
        assert consumer.not_live() == {}
        assert ended.counters["went_stale"] == 0
    if CASES[name].numbered:
        truth.check_numbered(consumer, status.take_overs + status.take_overs_failed)
    else:
        truth.check_books(consumer)
    assert truth.check_trades(consumer) > 0 or not any(truth.trades.values()), name


def check_connections(frames: list[dict[str, Any]], conn_ids: list[int]) -> None:
    """Numbers are never given again, and a connection that is closed for good is told of no more."""
    closed: set[int] = set()
    told: set[int] = set()
    for frame in frames:
        root = frame["root"]
        if frame["msg_type"] == CONN and root["conn_id"]:
            told.add(root["conn_id"])
            assert root["conn_id"] not in closed
        if frame["msg_type"] == STATUS:
            assert root["conn_id"] not in closed
            if root["state"] == CLOSED:
                closed.add(root["conn_id"])
    assert told - closed <= set(conn_ids) | {max(told)}, "the others are gone"
    assert closed
    sums = [
        frame["root"]["messages"]
        for frame in frames
        if frame["msg_type"] == CONN and frame["root"]["conn_id"] == 0
    ]
    assert sums == sorted(sums)


def test_books_that_moved_to_a_link_that_dies_are_asked_for_on_the_one_that_is_left(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not when the next link takes over, a minute later."""
    name = "coinbase_exchange"
    venue, path = VENUES[name], capture(CASES[name].capture)
    brief(monkeypatch, name, LIFETIME_S)
    monkeypatch.setattr(links.Links, "_is_done", lambda *_: False)

    async def run() -> None:
        async with StandIn(venue, [path], instruments=list_of(venue, [path])) as stand_in:
            killer = Killer(stand_in, ("new",))

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                killing = asyncio.create_task(killer.run(service))
                await until(lambda: killer.killed["new"] > 0, "the new link is cut")
                await until(lambda: not is_live(service), "its books are lost")
                await until(lambda: is_live(service), "and come again", 8)
                killing.cancel()
                status = service.status()[0]
                assert (killer.killed["new"], status.connections, status.take_overs) == (1, 1, 0)
                assert status.asked_again >= status.books, "by the old link"

            await play(config_of([stand_in], tmp_path), Wire(), scene)

    runner.run(run())
