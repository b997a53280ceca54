"""The feeder as a whole: a stand-in venue on 127.0.0.1, a real WebSocket, the core, and what a consumer makes
of the frames.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feeder_scene import (
    COINM,
    CONN,
    DEFINITION,
    DELTA,
    FLAG_RESET,
    FLAG_TEST,
    LISTS,
    LIVE,
    SESSION_END,
    SESSION_START,
    SNAPSHOT,
    SPOT,
    STALE,
    STATUS,
    USDM,
    CaptureFinder,
    Wire,
    config_of,
    cut,
    is_live,
    listed,
    naive_at,
    play,
    set_list,
    stand_in_of,
    until,
)
from outcrier import _core
from outcrier.capture.faults import Fault
from outcrier.capture.stand_in import StandIn
from outcrier.config import Config, FeederConfig, MulticastConfig, MulticastSections, VenueConfig, render
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.feeder.busy_poll import BusyPoll
from outcrier.feeder.control import ControlServer, Request, ask
from outcrier.feeder.logs import WAIT_MS, LimitedLog, Told, told_of
from outcrier.feeder.loops import loop_factory
from outcrier.feeder.service import FeederService, open_publisher
from outcrier.feeder.status import VenueStatus
from outcrier.feeder.transport import Reason, TransportError
from outcrier.venue_numbers import VENUE_NUMBERS
from outcrier.venues import VENUES
from outcrier.venues.base import HttpRequest
from workers import free_port


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=loop_factory(request.param)) as runner:
        yield runner


@pytest.mark.parametrize(
    "case",
    [("binance_usdm", USDM, 6_000), ("binance", SPOT, 4_000), ("binance_coinm", COINM, 4_000)],
    ids=lambda case: case[0],
)
def test_a_consumers_book_is_the_naive_book_level_for_level(
    case: tuple[str, str, int], capture: CaptureFinder, tmp_path: Path, loop: asyncio.Runner
) -> None:
    venue, file, lines = case
    path = cut(capture(file), tmp_path, lines)
    wire = Wire()

    async def run() -> None:
        async with stand_in_of(venue, path, capture, speed=20) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "the book is live")
                await until(lambda: service.status()[0].messages > lines // 2, "half the recording is heard")
                wire.hear()
                info = wire.receiver.book_info(VENUE_NUMBERS[venue], 1)
                assert info["state"] == "LIVE"
                assert wire.sides(venue, 1) == naive_at(path, wire.book_id(venue)).sides()
                assert info["bids"] > 100
                assert info["asks"] > 100
                status = service.status()[0]
                assert (status.gaps, status.faults, status.unknown, status.error) == (0, 0, {}, None)
                assert status.drift == {}
                assert status.instruments == status.books == 1

            await play(config_of([stand_in], tmp_path), wire, scene)

    loop.run(run())
    frames = wire.incremental()
    assert frames[0]["msg_type"] == SESSION_START
    assert frames[1]["msg_type"] == DEFINITION
    ends = [message for message in frames if message["msg_type"] == SESSION_END]
    assert len(ends) > 3
    assert frames[-1] == ends[-1]
    assert all(message["flags"] & FLAG_TEST for _, message in wire.frames), "a stand-in is no venue"
    assert (tmp_path / "state/test" / f"registry_{venue}.json").is_file(), "nor does it touch the live ids"
    assert not (tmp_path / "state/live").exists()


def test_busy_polling_never_sleeps_and_ends_with_the_service(
    capture: CaptureFinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float | None] = []
    path = cut(capture(USDM), tmp_path, 2_000)
    wire = Wire()

    def watch() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        selector = loop._selector  # type: ignore[attr-defined]
        select = selector.select

        def watched(timeout: float | None = None) -> Any:
            waits.append(timeout)
            return select(timeout)

        monkeypatch.setattr(selector, "select", watched)
        return loop

    async def run(*, busy_poll: bool) -> list[float | None]:
        async with stand_in_of("binance_usdm", path, capture) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                waits.clear()
                messages = service.status()[0].messages
                await until(lambda: service.status()[0].messages > messages + 20, "it goes on")
                during.extend(waits)

            during: list[float | None] = []
            config = config_of([stand_in], tmp_path, busy_poll=busy_poll)
            await play(config, wire, scene)
            waits.clear()
            await asyncio.sleep(0.01)
            assert any(wait != 0 for wait in waits), "it is over with the service"
            return during

    with asyncio.Runner(loop_factory=watch) as runner:
        assert any(wait != 0 for wait in runner.run(run(busy_poll=False)))
        polled = runner.run(run(busy_poll=True))
    assert len(polled) > 20
    assert set(polled) == {0}


def test_busy_polling_turns_uvloop_too() -> None:
    async def run() -> None:
        with BusyPoll() as poll:
            # Nobody else gives the loop anything to do but once in 10 ms.
            await until(lambda: poll.turns > 10_000, "it turns")
        ended = poll.turns
        await asyncio.sleep(0.01)
        assert poll.turns == ended, "it is over with the block"

    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        runner.run(run())


def test_after_a_dropped_diff_no_delta_until_the_book_is_whole_again(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    path = cut(capture(USDM), tmp_path, 8_000)
    wire = Wire()

    async def run() -> None:
        async with StandIn(
            VENUES["binance_usdm"], [path], speed=10, faults=[Fault(kind="drop", at=250, streams="*@depth*")]
        ) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: service.status()[0].gaps == 1, "the gap is seen")
                await until(lambda: is_live(service), "the book is live again")
                messages = service.status()[0].messages
                await until(lambda: service.status()[0].messages > messages + 200, "it goes on")
                wire.hear()
                info = wire.receiver.book_info(VENUE_NUMBERS["binance_usdm"], 1)
                assert info["state"] == "LIVE"
                assert wire.sides("binance_usdm", 1) == naive_at(path, wire.book_id("binance_usdm")).sides()

            await play(config_of([stand_in], tmp_path), wire, scene)
            assert stand_in.counters.injected["drop"] == 1

    runner.run(run())
    ours = [
        m for m in wire.incremental() if m["instrument"] == 1 and m["msg_type"] in {DELTA, SNAPSHOT, STATUS}
    ]
    gap = next(n for n, m in enumerate(ours) if m["msg_type"] == STATUS and m["root"]["state"] == STALE)
    status = ours[gap]["root"]
    assert (status["scope"], status["reason"]) == (3, 1)
    assert status["expected"] == ours[gap - 1]["source_seq"], (
        "the last delta before it is what the dropped one follows"
    )
    healed = next(
        n for n, m in enumerate(ours[gap:], gap) if m["msg_type"] == STATUS and m["root"]["state"] == LIVE
    )
    between = ours[gap + 1 : healed]
    assert between, "the book came in-band"
    assert all(m["msg_type"] == SNAPSHOT for m in between)
    assert [bool(m["flags"] & FLAG_RESET) for m in between] == [True] + [False] * (len(between) - 1)
    assert ours[healed + 1]["msg_type"] == DELTA
    assert between[0]["source_seq"] >= status["got"] - 1
    # Nothing that was published before the gap covers the dropped diff.
    assert all(m["source_seq"] <= status["expected"] for m in ours[:gap] if m["msg_type"] == DELTA)


def test_what_the_venue_changes_is_told_by_name(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner, caplog: pytest.LogCaptureFixture
) -> None:
    path = cut(capture(USDM), tmp_path, 4_000)
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    trades = [line for line in lines if line["k"] == "recv" and '"e":"trade"' in line["d"]]
    assert len(trades) > 100
    for line in trades[20:]:
        line["d"] = line["d"].replace('"e":"trade"', '"e":"trade","rpi":true')
    for line in trades[30:33]:
        line["d"] = line["d"].replace('"e":"trade"', '"e":"matched"')
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    wire = Wire()

    async def run() -> None:
        async with stand_in_of("binance_usdm", path, capture, speed=20) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(
                    lambda: bool(service.status()[0].drift) and bool(service.status()[0].unknown), "noticed"
                )
                async with ControlServer(service, tmp_path) as control:
                    (told,) = (await asyncio.to_thread(ask, control.path, Request("status"))).venues
                assert set(told["drift"]) == {"trade.rpi"}
                assert set(told["unknown"]) == {"matched"}
                assert told["faults"] == 0

            await play(config_of([stand_in], tmp_path), wire, scene)

    runner.run(run())
    lines_of = [record.getMessage() for record in caplog.records]
    for said in ("schema drift: trade.rpi", "unknown messages: matched"):
        assert sum(f"venue=binance_usdm {said}" in text for text in lines_of) == 1


def test_a_cut_connection_makes_its_books_stale_and_comes_back(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    path = cut(capture(USDM), tmp_path, 8_000)
    wire = Wire()

    async def run() -> None:
        async with StandIn(
            VENUES["binance_usdm"], [path], speed=10, faults=[Fault(kind="close", at=3_000)]
        ) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                await until(lambda: service.status()[0].reconnects == 1, "reconnected")
                await until(lambda: is_live(service), "live again")
                assert "lost: closed 1006" in service.status()[0].last_error
                wire.hear()
                assert wire.receiver.state(VENUE_NUMBERS["binance_usdm"], 1) == "LIVE"
                assert wire.sides("binance_usdm", 1) == naive_at(path, wire.book_id("binance_usdm")).sides()

            await play(config_of([stand_in], tmp_path), wire, scene)

    runner.run(run())
    frames = wire.incremental()
    lost = next(
        n
        for n, m in enumerate(frames)
        if m["msg_type"] == STATUS and m["root"]["scope"] == 4 and m["root"]["state"] == STALE
    )
    before = frames[lost - 1]
    assert (before["msg_type"], before["instrument"]) == (STATUS, 1), (
        "first the instrument's own, then the monitors'"
    )
    assert (before["root"]["state"], before["root"]["reason"]) == (STALE, 3)
    conns = [m["root"] for m in frames[lost:] if m["msg_type"] == CONN]
    assert (conns[0]["conn_id"], conns[0]["connected"], conns[0]["disconnected"]) == (1, 0, 1)
    back = next(conn for conn in conns if conn["connected"] == 1)
    assert (back["reconnects"], back["subscriptions"], back["total"]) == (1, 3, 1)


@pytest.mark.parametrize("status", [503, 429])
def test_refused_books_are_asked_again(
    status: int,
    capture: CaptureFinder,
    tmp_path: Path,
    runner: asyncio.Runner,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = cut(capture(SPOT), tmp_path, 6_000)
    wire = Wire()

    async def run() -> None:
        faults = [Fault(kind="refuse_rest", streams="*/depth*", status=status)]
        async with stand_in_of("binance", path, capture, speed=5, faults=faults) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: f"HTTP {status}" in service.status()[0].last_error, "refused")
                assert service.status()[0].live == 0
                await until(lambda: is_live(service), "live in the end")

            await play(config_of([stand_in], tmp_path), wire, scene)
            assert stand_in.counters.injected["refuse_rest"] == 1

    runner.run(run())
    told = [told_of(record) for record in caplog.records]
    (wait,) = [each for each in told if WAIT_MS in each.counts]
    assert (wait.venue, wait.cause, wait.symbol) == ("binance", "snapshot", "BTC/USDT")
    assert f"HTTP {status}" in wait.message
    assert (wait.counts[WAIT_MS] >= 1000) == (status == 429), "as long as the venue says, or a draw below 1 s"


def test_books_that_wait_for_the_weight_of_a_venue_say_how_long(
    capture: CaptureFinder,
    tmp_path: Path,
    runner: asyncio.Runner,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = cut(capture(SPOT), tmp_path, 6_000)
    venue = VENUES["binance"]
    caplog.set_level(logging.INFO, "outcrier")
    # Of which four fifths are used: the list (20) and one book (50) in a minute.
    brief = msgspec.structs.replace(venue.limits, weight_per_minute=100)

    def told() -> list[Told]:
        return [each for each in map(told_of, caplog.records) if WAIT_MS in each.counts]

    async def run() -> None:
        async with StandIn(venue, [path], instruments=capture(LISTS["binance"]), copies=1) as stand_in:
            monkeypatch.setattr(venue, "limits", brief)

            async def scene(service: FeederService) -> None:
                await until(lambda: service.status()[0].live == 1, "one is live")
                await until(lambda: len(told()) == 1, "the other waits")

            await play(config_of([stand_in], tmp_path), Wire(), scene)

    runner.run(run())
    (wait,) = told()
    assert (wait.venue, wait.cause, wait.symbol) == ("binance", "books", "")
    assert wait.message.startswith("1 books wait for the venue's weight; next try in ")
    assert 50_000 < wait.counts[WAIT_MS] <= 60_000


def test_three_venues_of_one_process_keep_apart(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    paths = {
        "binance": cut(capture(SPOT), tmp_path, 4_000),
        "binance_usdm": cut(capture(USDM), tmp_path, 4_000),
        "binance_coinm": cut(capture(COINM), tmp_path, 4_000),
    }
    wire = Wire()

    async def run() -> None:
        one, two, three = (stand_in_of(name, path, capture, speed=5) for name, path in paths.items())
        async with one, two, three:

            async def scene(service: FeederService) -> None:
                assert await service.outcomes(10) == dict.fromkeys(paths)
                await until(lambda: is_live(service), "all live")
                wire.hear()
                for name, path in paths.items():
                    assert wire.receiver.state(VENUE_NUMBERS[name], 1) == "LIVE"
                    assert wire.sides(name, 1) == naive_at(path, wire.book_id(name)).sides(), name
                symbols = {(d["venue"], d["symbol"]) for d in wire.receiver.instruments()}
                assert symbols == {(1, "BTC/USDT"), (2, "BTC/USDT:PERP"), (3, "BTC/USD:BTC:PERP")}

            await play(config_of([one, two, three], tmp_path), wire, scene)

    runner.run(run())
    starts = {m["channel"]: m["root"] for m in wire.incremental() if m["msg_type"] == SESSION_START}
    assert set(starts) == {1, 2, 3}
    assert len({start["publisher_id"] for start in starts.values()}) == 1


def test_each_venue_has_its_own_sockets(tmp_path: Path, runner: asyncio.Runner) -> None:
    """Nine requests that one venue never answers must not hold up another venue's."""

    async def run() -> None:
        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 451 Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        servers = [await asyncio.start_server(answer, "127.0.0.1", 0) for answer in (never, refuse)]
        slow, quick = (f"http://127.0.0.1:{each.sockets[0].getsockname()[1]}" for each in servers)
        config = nowhere(tmp_path, rest_url=slow)
        config.venues["binance_us"] = msgspec.structs.replace(config.venues["binance"], rest_url=quick)
        async with FeederService(config, publisher=_core.Publisher.memory()) as service, asyncio.timeout(5):
            first, second = (venue._rest for venue in service._venues)
            waiting = [asyncio.create_task(first.get(HttpRequest("/"))) for _ in range(9)]
            await asyncio.sleep(0.1)
            with pytest.raises(TransportError, match="HTTP 451"):
                await second.get(HttpRequest("/"))
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        for each in servers:
            each.close()

    runner.run(run())


def test_a_restart_keeps_ids_and_raises_the_session(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    path = cut(capture(SPOT), tmp_path, 4_000)
    wires = [Wire(), Wire()]

    async def run() -> None:
        async with stand_in_of("binance", path, capture, speed=2) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: service.status()[0].instruments == 1, "defined")

            for wire in wires:
                await play(config_of([stand_in], tmp_path), wire, scene)

    runner.run(run())
    first, second = (wire.incremental() for wire in wires)
    assert second[0]["session"] > first[0]["session"]
    assert second[0]["root"]["prev_session"] == first[0]["session"]
    assert (first[0]["root"]["reason"], second[0]["root"]["reason"]) == (1, 2)
    assert first[1]["instrument"] == second[1]["instrument"] == 1


def test_a_later_list_changes_status_and_sizes_on_the_wire(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    path = cut(capture(SPOT), tmp_path, 6_000)
    wire = Wire()

    async def run() -> None:
        async with stand_in_of("binance", path, capture, speed=2) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                body = json.loads(listed(stand_in))
                entry = next(each for each in body["symbols"] if each["symbol"] == "BTCUSDT")
                entry["status"] = "BREAK"
                next(f for f in entry["filters"] if f["filterType"] == "PRICE_FILTER")["tickSize"] = (
                    "0.05000000"
                )
                set_list(stand_in, body)

                def heard() -> dict[str, Any]:
                    wire.hear()
                    return wire.receiver.instruments()[0]

                tick = heard()["tick_size"]
                await until(lambda: heard()["status"] == 4, "halted")
                assert heard()["tick_size"] == 5 * tick
                assert heard()["def_version"] == 2
                body["symbols"].remove(entry)
                set_list(stand_in, body)
                await until(lambda: heard()["status"] == 9, "delisted")

            await play(config_of([stand_in], tmp_path, instruments_refresh_s=1), wire, scene)

    runner.run(run())


def with_list(stand_in: StandIn, **changes: Any) -> None:
    """Changes the entry of BTCUSDT in the list that the stand-in answers with; None for all = it is gone."""
    body = json.loads(listed(stand_in))
    entry = next(each for each in body["symbols"] if each["symbol"] == "BTCUSDT")
    if not changes:
        body["symbols"].remove(entry)
    next(f for f in entry["filters"] if f["filterType"] == "LOT_SIZE").update(changes)
    set_list(stand_in, body)


def test_sizes_that_the_wire_cannot_hold_are_a_fault_and_the_old_ones_stay(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    path = cut(capture(SPOT), tmp_path, 6_000)
    wire = Wire()

    async def run() -> None:
        async with stand_in_of("binance", path, capture, speed=2) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")

                def sizes() -> list[Any]:
                    wire.hear()
                    now = wire.receiver.instruments()[0]
                    names = ("price_exp", "qty_exp", "tick_size", "lot_size", "min_qty", "def_version")
                    return [now[name] for name in names]

                before = sizes()
                # At its own exponent it fits; at the one in force, which the wire keeps, it does not.
                with_list(stand_in, stepSize="1", minQty="1000000000000000000")
                await until(lambda: service.status()[0].faults > 0, "refused")
                assert sizes() == before
                with_list(stand_in, stepSize="1", minQty="7")

                least = 7 * 10 ** -before[1]
                await until(lambda: sizes()[3:5] == [least // 7, least], "later sizes are taken")

            await play(config_of([stand_in], tmp_path, instruments_refresh_s=1), wire, scene)

    runner.run(run())


def test_the_book_of_a_delisted_instrument_is_no_longer_asked_for(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    path = cut(capture(SPOT), tmp_path, 6_000)
    wire = Wire()

    async def run() -> None:
        faults = [Fault(kind="refuse_rest", streams="*/depth*", count=0)]
        async with stand_in_of("binance", path, capture, speed=1, faults=faults) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: "HTTP 503" in service.status()[0].last_error, "refused")
                assert service.status()[0].snapshots_waiting == 1
                with_list(stand_in)
                await until(lambda: service.status()[0].snapshots_waiting == 0, "forgotten")
                asked = stand_in.counters.injected["refuse_rest"]
                await asyncio.sleep(2.5)
                assert stand_in.counters.injected["refuse_rest"] == asked

            await play(config_of([stand_in], tmp_path, instruments_refresh_s=1), wire, scene)

    runner.run(run())


def test_a_connection_with_many_faulty_messages_is_given_up_and_samples_are_kept(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    path = cut(capture(SPOT), tmp_path, 4_000)
    bad = {"e": "trade", "E": 1, "s": "BTCUSDT", "t": 1, "p": "junk", "q": "1", "T": 1, "m": True}
    text = json.dumps({"stream": "btcusdt@trade", "data": bad})
    spoiled = []
    for number, line in enumerate(path.read_text().splitlines(keepends=True)):
        spoiled.append(line)
        if number >= 1_500 and number % 10 == 0:
            spoiled.append(json.dumps({**json.loads(line), "k": "recv", "d": text}) + "\n")
    path.write_text("".join(spoiled))
    wire = Wire()

    async def run() -> None:
        async with stand_in_of("binance", path, capture, speed=20) as stand_in:
            config = config_of([stand_in], tmp_path)
            channels = tuple(dict.fromkeys([*config.venues["binance"].channels, "trade"]))
            channels = tuple(name for name in channels if name != "aggTrade")
            venue = msgspec.structs.replace(config.venues["binance"], channels=channels)
            config.venues["binance"] = venue

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                await until(lambda: service.status()[0].reconnects > 0, "given up and opened anew")
                assert "messages faulty" in service.status()[0].last_error
                assert service.status()[0].faults > 10
                await until((tmp_path / "state/test/faults_binance.jsonl").is_file, "kept at once")

            await play(config, wire, scene)

    runner.run(run())
    lost = [m["root"] for m in wire.incremental() if m["msg_type"] == STATUS and m["root"]["state"] == STALE]
    assert {status["scope"] for status in lost} >= {3, 4}
    kept = (tmp_path / "state/test/faults_binance.jsonl").read_text().splitlines()
    assert len(kept) > 10
    sample = json.loads(kept[0])
    assert (sample["conn"], sample["d"]) == (1, text)
    assert sample["reason"]
    assert sample["t"] > 1_700_000_000_000_000_000


def test_instruments_without_a_book_are_stale_with_their_connection_and_live_again(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    path = cut(capture(SPOT), tmp_path, 6_000)
    wire = Wire()

    async def run() -> None:
        faults = [Fault(kind="close", at=300)]
        async with stand_in_of("binance", path, capture, speed=5, faults=faults) as stand_in:
            config = config_of([stand_in], tmp_path)
            venue = msgspec.structs.replace(config.venues["binance"], channels=("bookTicker",))
            config.venues["binance"] = venue

            async def scene(service: FeederService) -> None:
                await until(lambda: service.status()[0].reconnects == 1, "reconnected")
                await until(lambda: service.status()[0].subscribed == 1, "subscribed again")
                status = service.status()[0]
                assert (status.books, status.live, status.stale, status.snapshots_waiting) == (0, 0, 0, 0)
                assert stand_in.counters.requests == 1, "the list; no book is asked for"

            await play(config, wire, scene)

    runner.run(run())
    states = [
        m["root"]["state"]
        for m in wire.incremental()
        if m["msg_type"] == STATUS and m["root"]["scope"] == 3 and m["instrument"] == 1
    ]
    assert states == [LIVE, STALE, LIVE]


def test_a_session_that_cannot_be_built_is_ended(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cut(capture(SPOT), tmp_path, 500)
    wire = Wire()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("outcrier.feeder.session.SnapshotScheduler", broken)

    async def run() -> None:
        async with (
            stand_in_of("binance", path, capture) as stand_in,
            FeederService(config_of([stand_in], tmp_path), publisher=wire.publisher) as service,
        ):
            with pytest.raises(RuntimeError, match="broken"):
                await service.run(asyncio.Event())

    runner.run(run())
    wire.hear()
    kinds = [message["msg_type"] for message in wire.incremental()]
    assert kinds[0] == SESSION_START
    assert kinds.count(SESSION_END) >= 5
    assert kinds[-1] == SESSION_END


def nowhere(directory: Path, **venue: Any) -> Config:
    port = free_port(socket.SOCK_STREAM)
    urls = {"ws_url": f"ws://127.0.0.1:{port}", "rest_url": f"http://127.0.0.1:{port}"}
    return Config(
        feeder=FeederConfig(state_dir=str(directory / "state")),
        venues={"binance": VenueConfig(enabled=True, **{**urls, **venue})},
    )


def test_an_unreachable_venue_is_told_with_its_reason_and_tried_again(
    tmp_path: Path, runner: asyncio.Runner
) -> None:
    wire = Wire()
    errors: list[str] = []

    async def scene(service: FeederService) -> None:
        outcomes = await service.outcomes(10)
        error = outcomes["binance"]
        assert error is not None
        assert error.reason is Reason.REFUSED
        for _ in range(3):
            last: VenueStatus = service.status()[0]
            errors.append(last.last_error)
            await until(lambda last=last: service.status()[0].last_error != last.last_error, "another try")  # type: ignore[misc]

    runner.run(play(nowhere(tmp_path), wire, scene))
    assert wire.frames == [], "no session without instruments"
    assert all(": refused; next try in " in error for error in errors)
    assert all(earlier != later for earlier, later in itertools.pairwise(errors)), (
        "each try tells its own wait"
    )


def test_a_region_that_is_not_served_is_one_line(tmp_path: Path, runner: asyncio.Runner) -> None:
    async def run() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 451 Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

            async def scene(service: FeederService) -> None:
                error = (await service.outcomes(10))["binance"]
                assert error is not None
                assert (error.reason, error.status) == (Reason.REGION, 451)
                assert str(error) == f"{url.removeprefix('http://')}: refused for this region (HTTP 451)"

            await play(nowhere(tmp_path, rest_url=url), Wire(), scene)

    runner.run(run())


def test_an_unknown_symbol_ends_the_service_with_the_nearest_names(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    path = cut(capture(SPOT), tmp_path, 500)

    async def run() -> None:
        async with stand_in_of("binance", path, capture) as stand_in:
            config = config_of([stand_in], tmp_path)
            venue = msgspec.structs.replace(config.venues["binance"], symbols=("BTC/USTD",))
            config.venues["binance"] = venue
            async with FeederService(config, publisher=_core.Publisher.memory()) as service:
                with pytest.raises(
                    ConfigurationError, match=r"unknown symbol 'BTC/USTD' on binance .*BTC/USDT"
                ):
                    await service.run(asyncio.Event())

    runner.run(run())


def test_what_is_wrong_before_the_start_is_refused_and_leaves_nothing_locked(
    tmp_path: Path, runner: asyncio.Runner
) -> None:
    memory = _core.Publisher.memory()
    with pytest.raises(ConfigurationError, match="no venue is enabled"):
        FeederService(Config(venues={}), publisher=memory)

    async def run() -> None:
        config = nowhere(tmp_path)
        async with FeederService(config, publisher=memory):
            with pytest.raises(
                ConfigurationError, match=r"binance\.lock: another feeder \(pid \d+\) publishes"
            ):
                await FeederService(config, publisher=memory).__aenter__()
        bad = msgspec.structs.replace(config.venues["binance"], channels=("depht",))
        with pytest.raises(ConfigurationError, match=r"venues\.binance: binance has no channel 'depht'"):
            await FeederService(
                msgspec.structs.replace(config, venues={"binance": bad}), publisher=memory
            ).__aenter__()
        async with FeederService(config, publisher=memory):
            pass

    runner.run(run())


PROGRAM = """
import sys
from pathlib import Path
from outcrier.config import load
from outcrier.feeder.service import serve
print([venue.venue for venue in serve(load(Path(sys.argv[1]), {}))])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program(number: signal.Signals, tmp_path: Path) -> None:
    config = nowhere(tmp_path)
    crypto = MulticastConfig(group_a="239.192.90.251", group_snapshot="239.192.90.253", port=free_port())
    path = tmp_path / "outcrier.toml"
    path.write_text(render(msgspec.structs.replace(config, multicast=MulticastSections(crypto=crypto))))
    program = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        lock = tmp_path / "state/test/binance.lock"
        for _ in range(1_000):
            if lock.is_file() and lock.read_text():
                break
            time.sleep(0.01)
        time.sleep(0.1)  # The handlers were set before the lock, the first try comes after it.
        program.send_signal(number)
        out, err = program.communicate(timeout=40)
    finally:
        program.kill()
    assert (program.returncode, out.decode().strip()) == (0, "['binance']"), err.decode()


def test_no_interface_of_that_address_is_a_network_error() -> None:
    crypto = MulticastConfig(interface="192.0.2.1")
    with pytest.raises(NetworkError) as caught:
        open_publisher(Config(multicast=MulticastSections(crypto=crypto)), {1: False})
    for part in ("239.192.90.1", "192.0.2.1", "9001"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cause_is_logged_once_a_second_with_its_count(caplog: pytest.LogCaptureFixture) -> None:
    log = LimitedLog(logging.getLogger("outcrier.test"), "x")
    second = 1_000_000_000
    with caplog.at_level(logging.INFO):
        for step in range(25):
            log.log(step * second // 10, logging.WARNING, "gap", f"number\n{step}")
        log.log(0, logging.WARNING, "fault", "other causes are their own")
    assert caplog.messages == [
        "venue=x gap: number 0",
        "venue=x gap: number 10 (9 more in between)",
        "venue=x gap: number 20 (9 more in between)",
        "venue=x fault: other causes are their own",
    ]
    caplog.clear()
    for number in range(1_000):
        log.log(0, logging.WARNING, f"cause {number}", "")
    assert len(caplog.messages) < 300, "what a venue sends does not make the log grow without end"
