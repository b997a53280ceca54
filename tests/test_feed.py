"""The feed on real captures: continuity, books, what a fault looks like on the wire."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import wire_reference
from feed_bench import Bench, Line, lines
from naive import NaiveBook
from outcrier import _core

CaptureFinder = Callable[[str], Path]

# File, venue, diffs, and the symbols whose books must end live: what the manifest says of each.
CAPTURES: list[tuple[tuple[str, ...], str, int, int]] = [
    (("binance/spot_2021-10-12",), "binance", 177, 4),
    (("binance/spot_btcusdt_2024-08-08",), "binance", 3_451, 1),
    (("binance/spot_ethusdt_2024-08-08",), "binance", 3_434, 1),
    (("binance/spot_nexousdt_2024-07-23", "binance/spot_nexousdt_2024-07-24"), "binance", -1, 1),
    (("binance_us/spot_2021-10-12",), "binance_us", 336, 4),
    (("binance_tr/spot_2023-04-10",), "binance_tr", 84, 3),
    (("binance_usdm/usdm_2021-07-22",), "binance_usdm", 450, 4),
    (("binance_usdm/usdm_btcusdt_2022-08-11",), "binance_usdm", 206, 1),
    (("binance_usdm/usdm_btcusdt_2024-08-08",), "binance_usdm", 6_551, 1),
    (("binance_coinm/coinm_2021-07-22",), "binance_coinm", 2_047, 10),
    (("binance_coinm/coinm_btcusd_perp_2024-08-08",), "binance_coinm", 26_847, 1),
]


@pytest.mark.parametrize(("files", "venue", "diffs", "books"), CAPTURES, ids=lambda value: str(value)[:40])
def test_every_capture_replays_without_a_gap_to_the_naive_books(
    files: tuple[str, ...], venue: str, diffs: int, books: int, capture: CaptureFinder
) -> None:
    bench = Bench(venue)
    seen = 0
    agreed = 0
    for line in lines(*(capture(file) for file in files)):
        bench.take(line)
        seen += line.is_diff
        agreed += _top_agrees(bench, line)
    counters = bench.feed.counters()
    assert diffs in (-1, seen)
    assert counters["gaps"] == 0
    assert counters["faults"] == 0, bench.feed.faults()
    assert bench.for_python == []
    assert counters["went_stale"] == 0
    assert counters["went_live"] == books
    live = [symbol for symbol, index in bench.indices.items() if bench.feed.state(index) == "LIVE"]
    assert len(live) == books
    for symbol in live:
        assert bench.sides(symbol) == bench.naive[symbol].sides(), symbol
        assert bench.naive[symbol].gaps == 0
        assert bench.feed.source_seq(bench.indices[symbol]) == bench.naive[symbol].last
    if files == ("binance_usdm/usdm_btcusdt_2024-08-08",):
        assert agreed == 126  # The manifest's count of best quotes that carry the id of a diff.


def _top_agrees(bench: Bench, line: Line) -> int:
    """A best quote that describes the update id of the book must equal its top; 1 if there was one to
    compare."""
    if line.kind != "recv" or "@bookTicker" not in line.message["stream"]:
        return 0
    quote = line.message["data"]
    book = bench.naive[quote["s"]]
    if not book.spliced or quote["u"] != book.last:
        return 0
    index = bench.indices[quote["s"]]
    price_exp, qty_exp = bench.feed.scale(index)
    bids, asks = bench.feed.book(index, 1)
    for (price, qty), key, size in ((bids[0], "b", "B"), (asks[0], "a", "A")):
        assert (Decimal(price).scaleb(price_exp), Decimal(qty).scaleb(qty_exp)) == (
            Decimal(quote[key]),
            Decimal(quote[size]),
        )
    return 1


def _frames(bench: Bench) -> list[tuple[int, dict[str, Any]]]:
    return [(plane, _core.decode_frame(frame)) for plane, frame in bench.publisher.take()]


def test_frames_are_numbered_without_a_hole_per_channel_and_instrument(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    for line in lines(capture("binance_usdm/usdm_2021-07-22")):
        bench.take(line)
        bench.feed.tick()
    channel = {0: 0, 1: 0}
    instruments: dict[int, int] = {}
    for plane, frame in _frames(bench):
        if frame["msg_type"] in (0x01, 0x03):
            assert frame["channel_seq"] == channel[plane] + 1
            continue
        channel[plane] += 1
        assert frame["channel_seq"] == channel[plane]
        assert frame["flags"] & 128, "a replay says so in every frame"
        if plane == 0 and frame["instrument"]:
            if frame["instrument"] not in instruments:
                assert frame["msg"] == "INSTRUMENT_DEF"
            instruments[frame["instrument"]] = instruments.get(frame["instrument"], 0) + 1
            assert frame["instr_seq"] == instruments[frame["instrument"]]
    assert len(instruments) == 4
    assert channel[0] == bench.feed.counters()["frames"]


def test_the_independent_decoder_reads_every_frame_alike(capture: CaptureFinder) -> None:
    for venue, file in (
        ("binance_coinm", "binance_coinm/coinm_2021-07-22"),
        ("binance", "binance/spot_2021-10-12"),
    ):
        bench = Bench(venue)
        for line in lines(capture(file)):
            bench.take(line)
            bench.feed.tick()
        bench.feed.publish_connection(
            conn_id=3,
            connected=1,
            disconnected=2,
            reconnects=3,
            messages=4,
            bytes=5,
            subscriptions=6,
            silence_ms=7,
            expected_ms=8,
        )
        bench.feed.close()
        kinds = set()
        for _, frame in bench.publisher.take():
            decoded = _core.decode_frame(frame)
            wire_reference.assert_same(decoded, wire_reference.decode(frame))
            kinds.add(decoded["msg"])
        assert {
            "SESSION_START",
            "SESSION_END",
            "HEARTBEAT",
            "INSTRUMENT_DEF",
            "BOOK_SNAPSHOT",
            "BOOK_DELTA",
        } <= kinds
        assert {"BBO", "TRADE", "CANDLE", "STATUS", "CONN", "CYCLE_END"} <= kinds


def test_deltas_and_in_band_books_alone_rebuild_the_naive_book(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    for line in lines(capture("binance_usdm/usdm_btcusdt_2022-08-11")):
        bench.take(line)
    bids: dict[Decimal, Decimal] = {}
    asks: dict[Decimal, Decimal] = {}
    for plane, frame in _frames(bench):
        if plane or frame["msg"] not in ("BOOK_DELTA", "BOOK_SNAPSHOT"):
            continue
        if frame["flags"] & 32:
            bids.clear()
            asks.clear()
        for number, level in enumerate(frame["records"]):
            side = bids if number < frame["root"]["n_bids"] else asks
            price = Decimal(level["price"]).scaleb(frame["price_exp"])
            side.pop(price, None)
            if level["qty"]:
                side[price] = Decimal(level["qty"]).scaleb(frame["qty_exp"])
    assert (sorted(bids.items(), reverse=True), sorted(asks.items())) == bench.naive["BTCUSDT"].sides()


def _without_diff(source: list[Line], nth: int) -> tuple[list[Line], Line]:
    diffs = [number for number, line in enumerate(source) if line.is_diff]
    dropped = diffs[nth]
    return source[:dropped] + source[dropped + 1 :], source[dropped]


@pytest.mark.parametrize(
    ("file", "venue"),
    [
        ("binance_usdm/usdm_btcusdt_2022-08-11", "binance_usdm"),
        ("binance/spot_btcusdt_2024-08-08", "binance"),
    ],
)
def test_a_lost_diff_is_stale_on_the_wire_before_anything_else_of_the_book(
    file: str, venue: str, capture: CaptureFinder
) -> None:
    source = list(lines(capture(file), most=2_000))
    damaged, lost = _without_diff(source, 60)
    bench = Bench(venue)
    whole = NaiveBook(bench.chain)
    for line in source:
        if line.kind == "http":
            whole.snapshot(line.text)
        elif line.is_diff and line.message["data"]["u"] <= lost.message["data"]["u"]:
            whole.diff(line.message["data"])
    for line in damaged:
        bench.take(line)
    assert bench.feed.state(0) == "STALE"
    assert {"GAP", "NEED_SNAPSHOT"} <= set(bench.kinds())
    gap = next(notice for notice in bench.notices if notice[0] == "GAP")
    data = lost.message["data"]
    assert gap[2] == (bench_expected := data["pu"] if bench.chain else data["U"])
    frames = [frame for plane, frame in _frames(bench) if plane == 0]
    stale = next(
        number
        for number, frame in enumerate(frames)
        if frame["msg"] == "STATUS" and frame["root"]["state"] == 2
    )
    assert frames[stale]["root"]["reason"] == 1
    assert frames[stale]["root"]["expected"] == bench_expected
    assert max(frame["source_seq"] for frame in frames[:stale] if frame["msg"] == "BOOK_DELTA") < data["u"]
    assert not [frame for frame in frames[stale:] if frame["msg"] in ("BOOK_DELTA", "BOOK_SNAPSHOT")]

    # A snapshot that is too old is refused and asked for again; a fresh one brings the book back.
    body = {
        "lastUpdateId": whole.last - 1,
        "bids": [[str(price), str(qty)] for price, qty in whole.sides()[0]],
        "asks": [[str(price), str(qty)] for price, qty in whole.sides()[1]],
    }
    too_old = copy.deepcopy(body)
    too_old["lastUpdateId"] = data["U"] - 10_000
    bench.feed.on_snapshot(0, json.dumps(too_old).encode(), 5)
    assert "SNAPSHOT_OLD" in [kind for kind, *_ in bench.feed.notices()]
    assert bench.feed.state(0) == "STALE"
    body["lastUpdateId"] = whole.last
    bench.feed.on_snapshot(0, json.dumps(body).encode(), 6)
    assert bench.feed.state(0) == "LIVE"
    after = [frame for plane, frame in _frames(bench) if plane == 0]
    assert [frame["msg"] for frame in after if frame["msg"] != "HEARTBEAT"][-1] == "STATUS"
    assert after[0]["msg"] == "BOOK_SNAPSHOT"
    assert after[0]["flags"] & (32 | 16) == 32 | 16, "RESET and SRC_GAP"
    assert after[-1]["root"]["state"] == 1
    undamaged = NaiveBook(bench.chain)
    for line in source:
        if line.kind == "http":
            undamaged.snapshot(line.text)
        elif line.is_diff:
            undamaged.diff(line.message["data"])
    assert bench.sides(next(iter(bench.indices))) == undamaged.sides()


def test_finer_numbers_make_a_new_definition_then_the_whole_book_then_the_event(
    capture: CaptureFinder,
) -> None:
    bench = Bench("binance_usdm", digits=(1, 3))
    source = list(lines(capture("binance_usdm/usdm_btcusdt_2022-08-11")))
    for line in source:
        bench.take(line)
    assert bench.feed.state(0) == "LIVE"
    _frames(bench)
    version, (price_exp, _) = bench.feed.def_version(0), bench.feed.scale(0)
    last = bench.naive["BTCUSDT"].last
    finer = copy.deepcopy(source[-1].message)
    finer = {
        "stream": "btcusdt@depth@0ms",
        "data": {
            "e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", "U": last + 1, "u": last + 2, "pu": last,
            "b": [["24000.00001", "1.5"]], "a": [],
        },
    }  # fmt: skip
    text = json.dumps(finer)
    bench.take(Line(9, "recv", None, text, finer))
    assert bench.feed.scale(0)[0] == -5 < price_exp
    assert bench.feed.def_version(0) == version + 1
    messages = [frame for plane, frame in _frames(bench) if plane == 0]
    assert messages[0]["msg"] == "INSTRUMENT_DEF"
    assert messages[0]["root"]["def_version"] == version + 1
    assert messages[0]["root"]["price_exp"] == messages[0]["price_exp"] == -5
    books = [frame["msg"] for frame in messages[1:]]
    assert set(books[:-1]) == {"BOOK_SNAPSHOT"}
    assert books[-1] == "BOOK_DELTA"
    assert messages[1]["flags"] & 32
    assert messages[-1]["records"] == [{"price": 2_400_000_001, "qty": 1500}]
    assert bench.sides("BTCUSDT") == bench.naive["BTCUSDT"].sides()


def test_what_a_venue_sends_never_raises_and_is_kept(capture: CaptureFinder) -> None:
    bench = Bench("binance")
    source = list(lines(capture("binance/spot_2021-10-12")))
    for line in source:
        bench.take(line)
    before = bench.feed.counters()
    diff = next(line.text for line in source if line.is_diff)
    junk = [
        b"",
        b"{",
        b"\xff\xfe",
        diff[:-9].encode(),
        diff.replace('"b"', '"b":1,"x"', 1).encode(),
        b"[" * 100_000,
    ]
    negative = diff.replace('"6195.00000000"', '"-1"').replace("499869750", "0")
    for data in [*junk, negative.encode()]:
        bench.feed.on_frame(1, data, 7)
    counters = bench.feed.counters()
    refused = counters["faults"] - before["faults"] + counters["for_python"] - before["for_python"]
    assert refused >= len(junk)
    reasons = {frame: reason for reason, _, _, frame in bench.feed.faults()}
    assert diff[:-9].encode() in reasons
    assert bench.feed.faults()[0][1] == 7


def test_an_unknown_instrument_is_named_once_and_counted(capture: CaptureFinder) -> None:
    bench = Bench("binance")
    line = next(line for line in lines(capture("binance/spot_btcusdt_2024-08-08")) if line.is_diff)
    for _ in range(3):
        bench.feed.on_frame(1, line.text.encode(), 5)
    assert bench.feed.notices() == [("UNKNOWN_INSTRUMENT", -1, 0, 0, "BTCUSDT")]
    assert bench.feed.counters()["unknown_instrument"] == 3


def test_a_disconnect_is_stale_and_trading_status_waits_for_the_book(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    source = list(lines(capture("binance_usdm/usdm_btcusdt_2022-08-11")))
    for line in source:
        bench.take(line)
    _frames(bench)
    bench.feed.set_trading_status(0, 4, 5)
    bench.feed.disconnected([0], 6)
    bench.feed.set_trading_status(0, 7, 7)
    messages = [frame for _, frame in _frames(bench)]
    assert [(frame["msg"], frame["root"]["state"], frame["root"]["reason"]) for frame in messages] == [
        ("STATUS", 4, 0),
        ("STATUS", 2, 3),
    ]
    book = bench.naive["BTCUSDT"]
    body = {"lastUpdateId": book.last, "bids": [[str(p), str(q)] for p, q in book.bids.items()], "asks": []}
    bench.feed.on_snapshot(0, json.dumps(body).encode(), 8)
    states = [frame["root"]["state"] for _, frame in _frames(bench) if frame["msg"] == "STATUS"]
    assert states == [1, 7]


def test_the_snapshot_plane_carries_every_book_whole(capture: CaptureFinder) -> None:
    bench = Bench("binance_coinm")
    for line in lines(capture("binance_coinm/coinm_2021-07-22")):
        bench.take(line)
    bench.publisher.take()
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["msg"] != "CYCLE_END":
        bench.feed.tick()
        frames.extend(frame for plane, frame in _frames(bench) if plane == 1)
    end = frames[-1]["root"]
    assert end["n_instruments"] == 10
    assert {frame["recv_ts"] for frame in frames} == {line.t}, "a replay stands at its last message"
    assert end["first_snap_seq"] == frames[0]["channel_seq"]
    assert all(b["channel_seq"] == a["channel_seq"] + 1 for a, b in pairwise(frames))
    books: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
    for frame in frames[:-1]:
        index = frame["instrument"] - 1_000
        assert frame["instr_seq"] == bench.feed.instr_seq(index)
        if "last_channel_seq" in frame["root"]:
            assert frame["root"]["last_channel_seq"] == bench.feed.counters()["frames"]
        if frame["msg"] == "BOOK_SNAPSHOT":
            bids, asks = books.setdefault(index, ({}, {}))
            for number, level in enumerate(frame["records"]):
                (bids if number < frame["root"]["n_bids"] else asks)[level["price"]] = level["qty"]
            assert frame["root"]["checksum_kind"] == 3
    for index, (bids, asks) in books.items():
        assert (list(bids.items()), list(asks.items())) == bench.feed.book(index)
    assert len(books) == 10
    ends = [frame for frame in frames[:-1] if frame["flags"] & 1]
    assert [frame["instrument"] for frame in ends] == [1_000 + index for index in range(10)]
