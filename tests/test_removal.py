"""Instruments that leave and come while others go on; history that is not told twice; books given up on
request: as a receiver sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feed_bench import Bench, Line, decoded, lines
from outcrier import _core
from outcrier.venues import coinbase, kraken
from overlaps import received

CaptureFinder = Callable[[str], Path]
COINM = "binance_coinm/coinm_2021-07-22"
VENUE = 3
DELISTED, REMOVED = 9, 8


class Wire:
    """Carries the frames of a bench to receivers."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.now_ns = 1_000_000_000
        self.frames: list[dict[str, Any]] = []

    def carry(self, *receivers: _core.Receiver, lose: Callable[[dict[str, Any]], bool] | None = None) -> None:
        for plane, datagram in self.bench.publisher.take():
            self.now_ns += 200_000
            frame = _core.decode_frame(datagram)
            self.frames.append(frame)
            for receiver in receivers:
                if lose is None or not lose(frame):
                    receiver.datagram(plane, datagram, 0, self.now_ns)
                receiver.timer(self.now_ns)

    def cycle(self, *receivers: _core.Receiver, times: int = 2, **how: Any) -> dict[str, Any]:
        """Whole cycles of the snapshot plane; the last CYCLE_END."""
        ends: list[dict[str, Any]] = []
        while len(ends) < times:
            del self.frames[:]
            self.bench.feed.tick()
            self.carry(*receivers, **how)
            ends.extend(frame["root"] for frame in self.frames if frame["msg"] == "CYCLE_END")
        return ends[-1]


def hashes_agree(bench: Bench, receiver: _core.Receiver, index: int) -> bool:
    info = receiver.book_info(VENUE, 1_000 + index)
    return bool(
        info["hash"] == bench.feed.book_hash(index) and info["instr_seq"] == bench.feed.instr_seq(index)
    )


@pytest.fixture
def source(capture: CaptureFinder) -> list[Line]:
    return list(lines(capture(COINM)))


def test_a_removed_instrument_leaves_and_comes_back_while_others_go_on(source: list[Line]) -> None:
    bench = Bench("binance_coinm")
    wire = Wire(bench)
    receiver = _core.Receiver(accept_replay=True)
    for line in source[:1_500]:
        bench.take(line)
        wire.carry(receiver)
    wire.cycle(receiver)
    assert receiver.whole_cycles() == {VENUE: True}
    gone, symbol = next((i, s) for s, i in bench.indices.items() if bench.feed.state(i) == "LIVE")
    others = [i for i in bench.indices.values() if i != gone and bench.feed.state(i) == "LIVE"]
    last_seq = bench.feed.instr_seq(gone)
    del wire.frames[:]
    bench.feed.remove_instrument(gone, 5)
    wire.carry(receiver)
    (status,) = wire.frames
    assert (status["msg"], status["instrument"], status["instr_seq"]) == (
        "STATUS",
        1_000 + gone,
        last_seq + 1,
    )
    assert (status["root"]["state"], status["root"]["reason"]) == (DELISTED, REMOVED)
    assert receiver.state(VENUE, 1_000 + gone) == "CLOSED"
    assert all(len(side) == 0 for side in receiver.book(VENUE, 1_000 + gone))
    assert {receiver.state(VENUE, 1_000 + i) for i in others} == {"LIVE"}
    told = {row["instrument"]: row["status"] for row in receiver.instruments()}
    assert (told[1_000 + gone], DELISTED in {told[1_000 + i] for i in others}) == (DELISTED, False)

    # Frames and an answer that were under way are counted, and are neither faults nor unknown.
    stray = [line for line in source[1_500:] if line.symbol == symbol and line.kind == "recv"][:20]
    for line in stray:
        bench.feed.on_frame(1, line.text.encode(), line.t)
    bench.feed.on_snapshot(gone, b"{}", 5)
    counters = bench.feed.counters()
    assert (counters["after_removal"], counters["removed"]) == (len(stray) + 1, 1)
    assert (counters["unknown_instrument"], counters["faults"], len(bench.feed.notices())) == (0, 0, 0)
    assert decoded(bench.publisher) == []
    with pytest.raises(IndexError):
        bench.feed.state(gone)
    end = wire.cycle(receiver)
    assert end["n_instruments"] == len(bench.indices) - 1
    assert [frame for frame in wire.frames if frame["instrument"] == 1_000 + gone] == []
    assert receiver.counters()["cycles_not_known"] == 0
    assert {row["instrument"] for row in receiver.instruments() if row["state"] == "LIVE"} >= {
        1_000 + i for i in others
    }

    # It comes back under its stable id, and goes on from its numbers.
    del wire.frames[:]
    again = bench.feed.add_instrument(**Bench.instrument(symbol, 1_000 + gone, (8, 8)))
    wire.carry(receiver)
    (definition,) = wire.frames
    assert (definition["msg"], definition["instr_seq"]) == ("INSTRUMENT_DEF", last_seq + 2)
    assert definition["root"]["def_version"] > 1
    assert again not in bench.indices.values(), "an index rests before it is another's"
    assert receiver.state(VENUE, 1_000 + gone) == "RECOVERING"
    book = bench.naive[symbol]
    body = {"lastUpdateId": book.last, "E": 1, "T": 1, "symbol": symbol, "pair": symbol}
    bids, asks = ([[str(price), str(qty)] for price, qty in side] for side in book.sides())
    bench.feed.on_snapshot(again, json.dumps({**body, "bids": bids, "asks": asks}).encode(), 6)
    bench.indices[symbol] = again
    for line in source[1_500:]:
        bench.take(line)
        wire.carry(receiver)
    assert receiver.state(VENUE, 1_000 + gone) == "LIVE"
    assert receiver.book_info(VENUE, 1_000 + gone)["hash"] == bench.feed.book_hash(again)
    assert bench.sides(symbol) == bench.naive[symbol].sides()
    assert all(hashes_agree(bench, receiver, i) for i in others)
    end = wire.cycle(receiver)
    assert end["n_instruments"] == len(bench.indices)
    assert receiver.counters()["cycles_not_known"] == 0
    assert receiver.counters()["checksum_mismatch"] == 0
    assert receiver.counters()["lost_events"] == 0


def test_an_instrument_that_is_added_later_reaches_every_receiver(source: list[Line]) -> None:
    bench = Bench("binance_coinm")
    wire = Wire(bench)
    early = _core.Receiver(accept_replay=True)
    for line in source[:900]:
        bench.take(line)
        wire.carry(early)
    wire.cycle(early)
    assert early.whole_cycles() == {VENUE: True}
    added = bench.add("NEW_PERP")
    wire.carry(early)
    assert early.state(VENUE, 1_000 + added) == "RECOVERING"
    bench.feed.on_snapshot(
        added, b'{"lastUpdateId":5,"E":1,"T":1,"bids":[["1.5","2"]],"asks":[["1.75","3"]]}', 6
    )
    wire.carry(early)
    late = _core.Receiver(accept_replay=True)
    wire.cycle(early, late, times=3)
    for receiver in (early, late):
        assert receiver.whole_cycles() == {VENUE: True}
        assert receiver.state(VENUE, 1_000 + added) == "LIVE"
        assert hashes_agree(bench, receiver, added)
    assert late.counters()["cycles_not_known"] == 0
    for line in source[900:1_400]:
        bench.take(line)
        wire.carry(early, late)
    for index in bench.indices.values():
        if bench.feed.state(index) == "LIVE":
            assert hashes_agree(bench, early, index)
            assert hashes_agree(bench, late, index)


def test_the_end_of_an_instrument_that_was_lost_on_the_way_shows_in_the_next_cycle(
    source: list[Line],
) -> None:
    bench = Bench("binance_coinm")
    wire = Wire(bench)
    receiver = _core.Receiver(accept_replay=True)
    for line in source[:900]:
        bench.take(line)
        wire.carry(receiver)
    wire.cycle(receiver)
    gone = next(i for i in bench.indices.values() if bench.feed.state(i) == "LIVE")
    bench.feed.remove_instrument(gone, 5)
    wire.carry(receiver, lose=lambda frame: frame["msg"] == "STATUS")
    assert receiver.state(VENUE, 1_000 + gone) == "LIVE", "it cannot know yet"
    for line in source[900:950]:
        if line.symbol != next(symbol for symbol, index in bench.indices.items() if index == gone):
            bench.take(line)
            wire.carry(receiver)
    wire.cycle(receiver, times=4)
    assert receiver.state(VENUE, 1_000 + gone) == "CLOSED"
    for index in bench.indices.values():
        if index != gone and bench.feed.state(index) == "LIVE":
            assert receiver.state(VENUE, 1_000 + index) == "LIVE"


def test_listings_and_expiries_of_years_take_no_more_room() -> None:
    bench = Bench("binance")
    highest = 0
    for number in range(3_000):
        index = bench.feed.add_instrument(**Bench.instrument(f"S{number}", 1 + number))
        highest = max(highest, index)
        bench.feed.remove_instrument(index)
    assert highest == 1_024
    index = bench.feed.add_instrument(**Bench.instrument("S5", 6))
    assert (bench.feed.def_version(index), bench.feed.instr_seq(index)) == (2, 3)
    with pytest.raises(ValueError, match="added before"):
        bench.feed.add_instrument(**Bench.instrument("S5", 7))
    assert bench.feed.counters()["removed"] == 3_000


def test_a_resync_is_stale_with_its_reason_and_the_usual_way_back(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    for line in lines(capture("binance_usdm/usdm_btcusdt_2022-08-11")):
        bench.take(line)
    bench.feed.notices()
    bench.publisher.take()
    assert bench.feed.resync(0, 7, 5)
    (status,) = decoded(bench.publisher)
    assert (status["msg"], status["root"]["state"], status["root"]["reason"]) == ("STATUS", 2, 7)
    assert [kind for kind, *_ in bench.feed.notices()] == ["STALE", "NEED_SNAPSHOT"]
    assert not bench.feed.resync(0, 7, 6), "it is not live"
    assert decoded(bench.publisher) == []
    book = bench.naive["BTCUSDT"]
    bids, asks = ([[str(price), str(qty)] for price, qty in side] for side in book.sides())
    body = {"lastUpdateId": book.last, "E": 1, "T": 1, "bids": bids, "asks": asks}
    bench.feed.on_snapshot(0, json.dumps(body).encode(), 8)
    assert bench.feed.state(0) == "LIVE"
    assert bench.sides("BTCUSDT") == book.sides()
    assert bench.feed.counters()["resyncs"] == 1
    without = bench.add("ETHUSDT", has_book=False)
    bench.feed.connected([without])
    assert not bench.feed.resync(without, 7)


def history_bench(shapes: str, symbol: str) -> tuple[_core.Publisher, _core.Feed]:
    publisher = _core.Publisher.memory()
    feed = _core.Feed(
        publisher, venue=2, channel=2, session=1, publisher_id=1, shapes=shapes, build="test", start_ns=1
    )
    feed.add_instrument(**Bench.instrument(symbol, 1_000))
    publisher.take()
    return publisher, feed


def test_history_after_a_reconnect_is_told_once(capture: CaptureFinder) -> None:
    """Coinbase repeats its last 100 trades at each subscription, Kraken its last 50."""
    texts = [
        text for text in received(capture("coinbase/advanced_2026-08-09")) if "market_trades" in text[:80]
    ]
    history = next(text for text in texts if json.loads(text)["events"][0]["type"] == "snapshot")
    symbol = json.loads(history)["events"][0]["trades"][0]["product_id"]
    later = [
        text
        for text in texts
        if (event := json.loads(text)["events"][0])["type"] == "update"
        and {trade["product_id"] for trade in event["trades"]} == {symbol}
    ]
    trades_only = coinbase.SHAPES_JSON.replace('"connection_plus_one"', '"none"')
    publisher, feed = history_bench(trades_only, symbol)
    for text in [history, *later]:
        feed.on_frame(1, text.encode(), 5)
    frames = decoded(publisher)
    ids = [trade["trade_id"] for frame in frames if frame["msg"] == "TRADE" for trade in frame["records"]]
    assert len(ids) == len(set(ids)) > 100
    assert feed.counters()["trade_repeats"] == 0
    # The history of the next connection has what happened while nobody listened. The rest comes again.
    message = json.loads(history)
    rows = message["events"][0]["trades"]
    message["events"][0]["trades"] = [{**rows[0], "trade_id": str(2**62 + n)} for n in range(3)] + rows[:97]
    feed.disconnected([0])
    feed.on_frame(1, json.dumps(message).encode(), 6)
    news = [
        trade["trade_id"]
        for frame in decoded(publisher)
        if frame["msg"] == "TRADE"
        for trade in frame["records"]
    ]
    assert news == [2**62, 2**62 + 1, 2**62 + 2]
    assert feed.counters()["trade_repeats"] == 97
    assert feed.counters()["trades"] == len(ids) + 3
    assert feed.kinds()["trade"][:2] == (len(ids) + 100, len(ids) + 3)


def test_a_message_that_holds_nothing_new_leaves_no_frame() -> None:
    publisher, feed = history_bench(
        json.dumps({**json.loads(kraken.SHAPES_JSON), "shapes": _trades_of(kraken.SHAPES_JSON)}), "BTC/USD"
    )
    row = {"symbol": "BTC/USD", "side": "buy", "price": 1.5, "qty": 2.0, "ord_type": "limit", "trade_id": 7}
    row["timestamp"] = "2023-09-25T07:49:37.708706Z"
    text = json.dumps({"channel": "trade", "type": "snapshot", "data": [row, {**row, "trade_id": 8}]})
    feed.on_frame(1, text.encode(), 5)
    assert sum(frame["msg"] == "TRADE" for frame in decoded(publisher)) == 1
    before = feed.instr_seq(0)
    feed.on_frame(2, text.encode(), 6)
    assert decoded(publisher) == []
    assert feed.instr_seq(0) == before
    assert feed.counters()["trade_repeats"] == 2


def _trades_of(shapes: str) -> list[Any]:
    return [shape for shape in json.loads(shapes)["shapes"] if shape["body"]["type"] == "trades"]


def test_fills_and_what_was_folded_of_them_have_ids_of_their_own() -> None:
    """Binance counts `aggTrade` and `trade` apart: the same number is another trade."""
    bench = Bench("binance")
    bench.add("AB")
    bench.publisher.take()
    fill = '{"stream":"ab@trade","data":{"e":"trade","E":1,"s":"AB","t":7,"p":"1","q":"2","T":1,"m":true}}'
    data = '{"e":"aggTrade","E":1,"s":"AB","a":7,"p":"1","q":"2","f":7,"l":9,"T":1,"m":true}'
    for text in (fill, f'{{"stream":"ab@aggTrade","data":{data}}}'):
        bench.feed.on_frame(1, text.encode(), 5)
    assert sum(frame["msg"] == "TRADE" for frame in decoded(bench.publisher)) == 2
    assert bench.feed.counters()["trade_repeats"] == 0
