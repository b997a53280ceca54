"""Books whose snapshots come in the stream: the same feed, a declaration for a recorded Bybit session."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from feed_bench import Bench, decoded
from outcrier import _core
from outcrier.shape_json import to_json
from outcrier.shapes import PlusOne, Prefix, Shape, payload

CaptureFinder = Callable[[str], Path]
Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]

BYBIT = to_json(
    [
        Shape(
            name="orderbook",
            when={"topic": Prefix("orderbook.")},
            instrument=("data", "s"),
            exchange_time=("cts", "ms"),
            sequence=PlusOne(("data", "u")),
            bids=("data", "b"),
            asks=("data", "a"),
            snapshot={payload("type"): "snapshot"},
        )
    ]
)


class StreamBench:
    """A feed of recorded Bybit books and the naive ones beside it."""

    def __init__(self, path: Path) -> None:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            recorded = [json.loads(line) for line in file]
        self.messages = [
            line["d"] for line in recorded if line["k"] == "recv" and '"orderbook.' in line["d"][:40]
        ]
        self.publisher = _core.Publisher.memory()
        self.feed = _core.Feed(
            self.publisher,
            venue=6,
            channel=6,
            session=1,
            publisher_id=1,
            shapes=BYBIT,
            build="test",
            start_ns=1,
        )
        self.indices: dict[str, int] = {}
        self.naive: dict[str, Sides] = {}
        for text in self.messages:
            symbol = json.loads(text)["data"]["s"]
            if symbol not in self.indices:
                values = Bench.instrument(symbol, 1_000 + len(self.indices))
                self.indices[symbol] = self.feed.add_instrument(**values)
        self.publisher.take()

    def take(self, text: str) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(text)
        data = message["data"]
        sides = self.naive.setdefault(data["s"], ({}, {}))
        for side, levels in zip(sides, (data["b"], data["a"]), strict=True):
            if message["type"] == "snapshot":
                side.clear()
            for price, qty in levels:
                side.pop(Decimal(price), None)
                if Decimal(qty):
                    side[Decimal(price)] = Decimal(qty)
        self.feed.on_frame(1, text.encode(), message["ts"] * 1_000_000)
        return message

    def check(self, symbol: str) -> None:
        index = self.indices[symbol]
        price_exp, qty_exp = self.feed.scale(index)
        ours = [
            [(Decimal(price).scaleb(price_exp), Decimal(qty).scaleb(qty_exp)) for price, qty in side]
            for side in self.feed.book(index)
        ]
        bids, asks = self.naive[symbol]
        assert ours == [sorted(bids.items(), reverse=True), sorted(asks.items())]


def test_a_recorded_session_gives_the_naive_books(capture: CaptureFinder) -> None:
    bench = StreamBench(capture("bybit/v5_spot_2026-08-09"))
    for text in bench.messages:
        bench.take(text)
    assert bench.feed.counters()["gaps"] == 0
    assert bench.feed.counters()["faults"] == 0
    assert set(bench.indices) == {"BTCUSDT", "ETHUSDT"}
    for symbol in bench.indices:
        bench.check(symbol)


def test_a_whole_book_while_live_goes_out_as_the_difference(capture: CaptureFinder) -> None:
    bench = StreamBench(capture("bybit/v5_spot_2026-08-09"))
    last: dict[str, Any] = {}
    for text in bench.messages[:400]:
        last = bench.take(text)
    symbol = last["data"]["s"]
    bids, asks = bench.naive[symbol]
    bench.publisher.take()
    whole = {**last, "type": "snapshot"}
    gone, kept = max(bids), [(price, qty) for price, qty in bids.items() if price != max(bids)]
    whole["data"] = {
        **last["data"],
        "u": last["data"]["u"] + 7,
        "b": [[str(price), str(qty)] for price, qty in kept],
        "a": [[str(price), str(qty)] for price, qty in asks.items()],
    }
    bench.take(json.dumps(whole))
    bench.check(symbol)
    (frame,) = decoded(bench.publisher)
    assert frame["msg"] == "BOOK_DELTA"
    assert [Decimal(level["price"]).scaleb(frame["price_exp"]) for level in frame["records"]] == [gone]
    assert [level["qty"] for level in frame["records"]] == [0]
    assert frame["source_seq"] == whole["data"]["u"]


def test_after_a_lost_delta_only_a_whole_book_brings_it_back(capture: CaptureFinder) -> None:
    bench = StreamBench(capture("bybit/v5_spot_2026-08-09"))
    symbol = json.loads(bench.messages[0])["data"]["s"]
    of_symbol = [text for text in bench.messages if json.loads(text)["data"]["s"] == symbol]
    for number, text in enumerate(of_symbol[:60]):
        if number != 30:
            bench.take(text)
    index = bench.indices[symbol]
    assert bench.feed.state(index) == "STALE"
    bench.publisher.take()
    bids, asks = bench.naive[symbol]
    last = json.loads(of_symbol[59])
    last["type"] = "snapshot"
    last["data"]["b"] = [[str(price), str(qty)] for price, qty in bids.items()]
    last["data"]["a"] = [[str(price), str(qty)] for price, qty in asks.items()]
    bench.take(json.dumps(last))
    assert bench.feed.state(index) == "LIVE"
    frames = decoded(bench.publisher)
    assert [frame["msg"] for frame in frames][-1] == "STATUS"
    assert frames[0]["msg"] == "BOOK_SNAPSHOT"
    assert frames[0]["flags"] & 32
    for text in of_symbol[60:90]:
        bench.take(text)
    bench.check(symbol)
    assert bench.feed.state(index) == "LIVE"


def test_a_whole_book_ends_a_run_of_old_deltas(capture: CaptureFinder) -> None:
    bench = StreamBench(capture("bybit/v5_spot_2026-08-09"))
    symbol = json.loads(bench.messages[0])["data"]["s"]
    whole, first, *_ = [text for text in bench.messages if json.loads(text)["data"]["s"] == symbol]
    later = json.loads(whole)
    later["data"]["u"] += 5
    for number, text in enumerate([whole, first, first, json.dumps(later), first]):
        bench.feed.on_frame(1, text.encode(), 1 + number * 3_000_000_000)
    assert bench.feed.state(bench.indices[symbol]) == "LIVE"
    bench.feed.on_frame(1, first.encode(), 1 + 18_000_000_000)
    assert bench.feed.state(bench.indices[symbol]) == "STALE"
