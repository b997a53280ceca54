"""From a stand-in exchange through the feeder to the consumer: WebSocket and REST in, multicast out."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from naive import NaiveBook
from sockets import Child, Net, Sides, Witness, cut, diffs, levels, stand_in, until

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
LIST = "binance_usdm/usdm_instruments"
SYMBOL = "BTC/USDT:PERP@binance_usdm"
RESET, REPLAY, TEST = 1 << 5, 1 << 7, 1 << 8
INSTRUMENT, LIVE, STALE, SOURCE_GAP = 3, 1, 2, 1
"""STATUS: the scope, two states and a reason, as docs/wire-format.md numbers them."""

pytestmark = pytest.mark.timeout(100)


@pytest.fixture
def net() -> Net:
    return Net.pick()


def naive_at(path: Path, last_id: int, snapshot: str) -> NaiveBook:
    """The recording's book when the update `last_id` was applied."""
    book = NaiveBook(chain=True)
    for diff in diffs(path):
        if diff["u"] <= last_id:
            book.diff(dict(diff))
    book.snapshot(snapshot)
    return book


def recorded_book(path: Path) -> str:
    """The REST book of an unpacked capture."""
    raw = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return next(str(line["d"]) for line in raw if line["k"] == "http")


def test_a_stand_in_exchange_reaches_the_consumer_through_the_feeder(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    path = cut(capture(USDM), tmp_path, 9_000)
    exchange, config = stand_in(tmp_path, path, "--speed", "2", "--instruments", capture(LIST))
    with exchange, Witness(net) as witness, net.subscriber(symbols=[SYMBOL]) as sub:
        url = re.search(r"http://[\d.]+:\d+", exchange.out)
        assert url is not None
        with Child(tmp_path, "run", "--config", config, **net.environment()) as feeder:
            view = sub.book(SYMBOL)
            books: dict[int, Sides] = {}
            asked: dict[str, Any] = {}
            for _ in sub.iter_batches():
                if view.state == "LIVE":
                    books[view.source_seq] = levels(sub, SYMBOL)
                    if len(books) >= 20 and not asked:
                        answer = httpx.get(f"{url[0]}/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
                        asked = answer.raise_for_status().json()
                    if asked and max(books) > asked["lastUpdateId"]:
                        # A batch may hold several updates: ask again until its id was seen alone.
                        if asked["lastUpdateId"] in books:
                            break
                        asked = {}
            feeder.signal(signal.SIGTERM)
            assert feeder.end() == 0, feeder.err
            until(witness.ended, "SESSION_END")
        exchange.signal(signal.SIGTERM)
        assert exchange.end() == 0
    shown = books[asked["lastUpdateId"]]
    for side, name in zip(shown, ("bids", "asks"), strict=True):
        assert side == [(Decimal(price), Decimal(qty)) for price, qty in asked[name]], "the stand-in's own"
    body = recorded_book(path)
    for last_id in [min(books), max(books)]:
        assert books[last_id] == naive_at(path, last_id, body).sides()
    for frame in [*witness.frames(0), *witness.frames(1)]:
        assert frame.header["flags"] & (TEST | REPLAY) == TEST, frame.msg
    assert {"SESSION_START", "HEARTBEAT", "SESSION_END", "BOOK_DELTA"} <= {f.msg for f in witness.frames(0)}
    assert {"INSTRUMENT_DEF", "BOOK_SNAPSHOT", "CYCLE_END"} <= {f.msg for f in witness.frames(1)}
    assert "binance_usdm TEST: " in feeder.out
    assert "1 of 1 books live, 0 gaps, 0 faults" in feeder.out


def test_a_dropped_diff_is_seen_on_the_wire_before_any_later_one(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    path = cut(capture(USDM), tmp_path, 12_000)
    # A quarter of a minute into the recording: the book is live long before.
    number = 300
    recorded = list(diffs(path))
    before, dropped = recorded[number - 2], recorded[number - 1]
    options: list[str | Path] = [
        "--speed",
        "2",
        "--fault",
        f"drop:at={number},streams=*@depth*",
        "--instruments",
        capture(LIST),
    ]
    exchange, config = stand_in(tmp_path, path, *options)
    with (
        exchange,
        Witness(net) as witness,
        net.subscriber(symbols=[SYMBOL]) as sub,
        Child(tmp_path, "run", "--config", config, **net.environment()) as feeder,
    ):
        view = sub.book(SYMBOL)
        for _ in sub.iter_batches():
            if view.state == "LIVE" and view.source_seq > dropped["u"]:
                break
        last_id, shown = view.source_seq, levels(sub, SYMBOL)
        feeder.signal(signal.SIGTERM)
        assert feeder.end() == 0, feeder.err
        until(witness.ended, "SESSION_END")
    assert "1 gaps" in feeder.out
    assert shown == naive_at(path, last_id, recorded_book(path)).sides()
    frames = [frame for frame in witness.frames() if frame.header["instrument"]]
    kinds = {"BOOK_DELTA", "BOOK_SNAPSHOT", "STATUS"}
    story = [frame for frame in frames if frame.msg in kinds]
    states = [f.root["state"] if f.msg == "STATUS" and f.root["scope"] == INSTRUMENT else 0 for f in story]
    stale = states.index(STALE)
    assert story[stale].root["reason"] == SOURCE_GAP
    assert story[stale].root["expected"] == before["u"]
    assert story[stale].root["got"] == dropped["u"]
    assert max(f.header["source_seq"] for f in story[:stale]) == before["u"], "the last one before the hole"
    assert story[stale - 1].msg == "BOOK_DELTA"
    live = next(n for n, f in enumerate(story) if n > stale and f.msg == "STATUS")
    assert story[live].root["state"] == LIVE
    rebuilt = story[stale + 1 : live]
    assert {f.msg for f in rebuilt} == {"BOOK_SNAPSHOT"}, "no BOOK_DELTA while the book is stale"
    assert [bool(f.header["flags"] & RESET) for f in rebuilt] == [True] + [False] * (len(rebuilt) - 1)
    assert [f.root["frag_index"] for f in rebuilt] == list(range(rebuilt[0].root["frag_count"]))
    assert rebuilt[0].header["source_seq"] >= dropped["u"], "a book that has the dropped update"
    assert all(a.header["instr_seq"] + 1 == b.header["instr_seq"] for a, b in pairwise(frames))
