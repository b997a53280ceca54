"""Sockets are replaced by plan, again and again, and the stand-in cuts one of the two meanwhile: nothing of it
shows on the wire where the venue numbers its books, and elsewhere no more than what a venue of that kind
cannot hide.
"""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feeder_scene import (
    CONN,
    DELTA,
    SNAPSHOT,
    STALE,
    STATUS,
    CaptureFinder,
    Wire,
    config_of,
    is_live,
    naive_at,
    play,
    until,
)
from outcrier import _core
from outcrier.capture.connection import Connection
from outcrier.capture.library import CaptureGroup, list_of
from outcrier.capture.replay import replay_into
from outcrier.capture.stand_in import StandIn
from outcrier.feeder import links
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.loops import loop_factory
from outcrier.feeder.service import FeederService
from outcrier.venues import VENUES

TRADE = 0x12
CLOSED = 5

NUMBERED = {
    "binance_usdm": ("binance_usdm/usdm_btcusdt_2024-08-08", ("nobody", "old", "new", "either")),
    "bybit_linear": ("bybit/v5_linear_2026-08-09", ("nobody", "either")),
    "kraken_futures": ("kraken_futures/v1_2021-07-22", ("either",)),
    "deribit": ("deribit/v2_2021-07-22", ("nobody",)),
}
OTHERS = {
    "upbit": ("upbit/spot_2021-04-17", ("nobody", "old")),
    "coinbase_exchange": ("coinbase/exchange_2021-04-17", ("nobody", "old", "new")),
    "kraken_v1": ("kraken/v1_book_2021-04-17", ("nobody", "new")),
}
"""Recording, and which of two sockets is cut."""

SECONDS = 10.0
"""Of a recording that lasts 19 s."""

LIFETIME_S = 1.5


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=loop_factory("auto")) as auto:
        yield auto


def trades_of(frames: list[tuple[int, dict[str, Any]]]) -> dict[int, list[tuple[Any, ...]]]:
    """Trades by instrument, in the order of the wire."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for plane, frame in frames:
        if plane == 0 and frame["msg"] == "TRADE":
            mine = found.setdefault(frame["instrument"], [])
            scale = frame["price_exp"], frame["qty_exp"]
            mine += [
                (each["trade_id"], each["trade_ts"], each["price"], each["qty"], *scale)
                for each in frame["records"]
            ]
    return found


def recorded_trades(name: str, path: Path, instruments: Path | None, natives: list[str]) -> list[Any]:
    """What the recording says, by instrument, through a feed that nothing disturbs."""
    publisher = _core.Publisher.memory()
    replay_into(
        publisher,
        CaptureGroup(name, (path,)),
        instruments=instruments,
        wire_ids={native: number for number, native in enumerate(natives, 1)},
    )
    frames = [(plane, _core.decode_frame(frame)) for plane, frame in publisher.take()]
    found = trades_of(frames)
    return [found.get(number, []) for number in range(1, len(natives) + 1)]


def check_once(heard: list[Any], recorded: list[Any], what: str) -> int:
    """`heard` is a run of `recorded`: each once and none missing in between."""
    if not heard:
        return 0
    ids = [each[0] for each in heard]
    assert len(set(ids)) == len(ids), f"{what}: twice"
    known = [each[0] for each in recorded]
    first, last = known.index(ids[0]), known.index(ids[-1])
    between = set(known[min(first, last) : max(first, last) + 1])
    assert between <= set(ids), f"{what}: missing"
    return len(ids)


class Killer:
    """Cuts one of two sockets that carry the same."""

    def __init__(self, stand_in: StandIn, which: str) -> None:
        self._stand_in = stand_in
        self._which = which
        self._random = random.Random(7)  # noqa: S311 - repeats what it did
        self._done: set[int] = set()
        self.killed = 0

    def pairs(self) -> list[list[Connection]]:
        by_target: dict[str, list[Connection]] = {}
        for each in self._stand_in._connections:
            by_target.setdefault(each.client.target, []).append(each)
        return [pair for pair in by_target.values() if len(pair) == 2]

    async def run(self, service: FeederService, name: str) -> None:
        while self._which != "nobody":
            await asyncio.sleep(0.01)
            session = service.venue(name)._session
            if session is None or not all(place.until_ns for place in session.links._places.values()):
                continue
            for pair in self.pairs():
                if id(pair[1]) in self._done or pair[1].client.sent < 3:
                    continue
                self._done.add(id(pair[1]))
                which = self._which if self._which != "either" else self._random.choice(["old", "new"])
                pair[0 if which == "old" else 1].abort()
                self.killed += 1


CASES = [
    pytest.param(name, file, kill, id=f"{name}-{kill}")
    for name, (file, kills) in (NUMBERED | OTHERS).items()
    for kill in kills
]


@pytest.mark.parametrize(("name", "file", "kill"), CASES)
def test_sockets_change_again_and_again(  # noqa: PLR0917 - the case, then fixtures
    name: str,
    file: str,
    kill: str,
    capture: CaptureFinder,
    tmp_path: Path,
    runner: asyncio.Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue, path = VENUES[name], capture(file)
    brief = msgspec.structs.replace(venue.keepalive, lifetime_s=LIFETIME_S)
    monkeypatch.setattr(venue, "keepalive", brief)
    monkeypatch.setattr(links, "TAKE_OVER_NS", SECOND_NS)
    monkeypatch.setattr(links, "RENEW_AGAIN_NS", SECOND_NS // 2)
    if kill != "nobody":  # Both are there for so long, or there is nothing to kill.
        monkeypatch.setattr(links.Links, "_let_go_if_done", lambda *_: None)
    wire = Wire()
    instruments = list_of(venue, [path])
    kept: dict[str, Any] = {}

    async def run() -> None:
        async with StandIn(venue, [path], instruments=instruments) as stand_in:
            killer = Killer(stand_in, kill)

            async def scene(service: FeederService) -> None:
                await until(lambda: service.status()[0].live > 0, "live")
                killing = asyncio.create_task(killer.run(service, name))
                for _ in range(int(SECONDS / 0.1)):
                    await asyncio.sleep(0.1)
                    wire.hear()
                killing.cancel()
                session = service.venue(name)._session
                assert session is not None
                kept.update(
                    status=service.status()[0],
                    counters=session.feed.counters(),
                    natives=[each.native_symbol for _, each in session.roster],
                    conn_ids=[driver.conn_id for driver in session.drivers],
                )
                await until(lambda: is_live(service), "all live once nobody cuts any more", 5)

            await play(config_of([stand_in], tmp_path), wire, scene)
            kept.update(killed=killer.killed, opened=stand_in.counters.connections)
            assert stand_in.counters.breaches == {}

    runner.run(run())
    status = kept["status"]
    assert status.take_overs >= (0 if kill == "new" else 4), status
    assert (status.gaps, status.faults) == (0, 0), status
    assert kept["killed"] >= (0 if kill == "nobody" else 2)
    states = [
        (frame["instrument"], frame["root"]["reason"])
        for plane, frame in wire.frames
        if plane == 0
        and frame["msg_type"] == STATUS
        and (frame["root"]["scope"], frame["root"]["state"]) == (3, STALE)
    ]
    if name in NUMBERED or kill == "nobody":
        assert states == []
        check_books(wire)
    ids = {each["native_symbol"]: each["instrument"] for each in wire.receiver.instruments()}
    assert [ids[native] for native in kept["natives"]] == list(range(1, len(ids) + 1))
    recorded = recorded_trades(name, path, instruments, kept["natives"])
    heard = trades_of(wire.frames)
    total = sum(
        check_once(heard.get(number, []), recorded[number - 1], f"{name} {number}") for number in ids.values()
    )
    assert total > 0 or name == "deribit", "whose recording has few trades"
    check_connections(wire, kept)
    if name == "binance_usdm":
        book_id = wire.book_id(name)
        assert wire.sides(name, 1) == naive_at(unpacked(path, tmp_path), book_id).sides()


def unpacked(path: Path, folder: Path) -> Path:
    target = folder / path.parent.name / path.name.removesuffix(".gz")
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(gzip.decompress(path.read_bytes()))
    return target


def check_books(wire: Wire) -> None:
    """One whole book each, and then changes whose numbers only grow."""
    begun: dict[int, bool] = {}
    last: dict[int, int] = {}
    for plane, frame in wire.frames:
        if plane or frame["msg_type"] not in {DELTA, SNAPSHOT}:
            continue
        number = frame["instrument"]
        if frame["msg_type"] == DELTA:
            begun[number] = True
            assert frame["source_seq"] >= last.get(number, 0)
            last[number] = frame["source_seq"]
        else:
            assert number not in begun, f"a book anew: {frame}"


def check_connections(wire: Wire, kept: dict[str, Any]) -> None:
    """Numbers are never given again, and a connection that is closed for good is told of no more."""
    closed: set[int] = set()
    told: set[int] = set()
    for plane, frame in wire.frames:
        if plane:
            continue
        root = frame["root"]
        if frame["msg_type"] == CONN and root["conn_id"]:
            told.add(root["conn_id"])
            assert root["conn_id"] not in closed
        if frame["msg_type"] == STATUS and root["scope"] == 4:
            assert root["conn_id"] not in closed
            if root["state"] == CLOSED:
                closed.add(root["conn_id"])
    assert told - closed <= set(kept["conn_ids"]) | {max(told)}, "the others are gone"
    assert len(closed) >= 3
    sums = [
        frame["root"]["messages"]
        for plane, frame in wire.frames
        if plane == 0 and frame["msg_type"] == CONN and frame["root"]["conn_id"] == 0
    ]
    assert sums == sorted(sums)
