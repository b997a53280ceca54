"""What may not leave a book live and wrong: frames that cannot be read, stuck ids, absurd numbers, odd
declarations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feed_bench import Bench, Line, lines
from outcrier import _core
from outcrier.shape_json import to_json
from outcrier.shapes import Chain, Shape
from overlaps import received

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
LEGACY = "bithumb/spot_full_2021-06-01"
SECOND = 1_000_000_000


@pytest.fixture
def live(capture: CaptureFinder) -> Bench:
    """A USD-M book that is live at the end of its capture."""
    bench = Bench("binance_usdm")
    for line in lines(capture(USDM)):
        bench.take(line)
    assert bench.feed.state(0) == "LIVE"
    bench.publisher.take()
    bench.notices.clear()
    return bench


def diff(bench: Bench, bids: list[list[str]], *, first: int | None = None) -> Line:
    """The diff that continues the book, or one with ids of its own."""
    last = bench.naive["BTCUSDT"].last
    start = last + 1 if first is None else first
    data = {
        "e": "depthUpdate",
        "E": 1,
        "T": 1,
        "s": "BTCUSDT",
        "U": start,
        "u": start,
        "pu": last,
        "b": bids,
        "a": [],
    }
    message = {"stream": "btcusdt@depth@0ms", "data": data}
    return Line(SECOND, "recv", None, json.dumps(message), message)


def states(bench: Bench) -> list[tuple[int, int]]:
    """(state, reason) of the STATUS frames sent."""
    sent = [_core.decode_frame(frame) for plane, frame in bench.publisher.take() if plane == 0]
    frames = [frame for whole in sent for frame in whole.get("messages") or [whole]]
    return [(f["root"]["state"], f["root"]["reason"]) for f in frames if f["msg"] == "STATUS"]


@pytest.mark.parametrize("level", [["1e30", "1"], ["24000.1", "-1"], ["24000.1", "x"], [1, None]])
def test_a_diff_that_cannot_be_read_ends_the_live_book_at_once(live: Bench, level: list[Any]) -> None:
    live.feed.on_frame(1, diff(live, [level]).text.encode(), SECOND)
    assert live.feed.state(0) == "STALE"
    assert states(live) == [(2, 4)], "stale, parse error"
    kinds = [kind for kind, *_ in live.feed.notices()]
    assert kinds == ["FAULT", "STALE", "NEED_SNAPSHOT"]


@pytest.mark.parametrize("side", ["b", "a"])
def test_a_diff_whose_side_has_another_name_ends_the_live_book_at_once(live: Bench, side: str) -> None:
    text = diff(live, [["24000.1", "1"]]).text.replace(f'"{side}":', f'"{side}s":')
    live.feed.on_frame(1, text.encode(), SECOND)
    assert live.feed.state(0) == "STALE"
    assert states(live) == [(2, 4)], "stale, parse error"
    assert [kind for kind, *_ in live.feed.notices()] == ["FAULT", "STALE", "NEED_SNAPSHOT"]
    reason, _, _, frame = live.feed.faults()[-1]
    assert (reason, frame) == (f"missing field {side}", text.encode())
    # So does the answer that is to mend it, which gives no book either.
    whole = '{"lastUpdateId":1,"E":1,"T":1,"bids":[["1","1"]],"asks":[["2","1"]]}'
    for name in ("bids", "asks"):
        live.feed.on_snapshot(0, whole.replace(name, "levels").encode(), SECOND)
        assert live.feed.faults()[-1][0] == f"missing field {name}"
        assert live.feed.state(0) == "STALE"


@pytest.fixture
def legacy(capture: CaptureFinder) -> tuple[Bench, dict[str, str]]:
    """Three live books of Bithumb's older feed, and a recorded change of each. The whole books, of which none
    was recorded, are of one level a side."""
    bench, changes = Bench("bithumb_legacy", (8, 8)), dict[str, str]()
    for text in received(capture(LEGACY)):
        if '"content"' in text and '"orderbookdepth"' in text:
            changes.setdefault(json.loads(text)["content"]["list"][0]["symbol"], text)
    symbols = list(changes)[:3]
    for symbol in symbols:
        bench.add(symbol, book_proof=0)
        sides = {"asks": [["1000", "1"]], "bids": [["0.0000001", "1"]]}
        content = {"symbol": symbol, "datetime": "1622591000000000", **sides}
        whole = json.dumps({"type": "orderbooksnapshot", "content": content})
        bench.feed.on_frame(1, whole.encode(), SECOND)
    assert all_states(bench) == ["LIVE"] * 3
    bench.feed.notices()
    bench.publisher.take()
    return bench, {symbol: changes[symbol] for symbol in symbols}


def all_states(bench: Bench) -> list[str]:
    return [bench.feed.state(index) for index in bench.indices.values()]


def in_one(texts: list[str]) -> str:
    """The entries of recorded messages as those of one: none was recorded, and nothing forbids it."""
    entries = [entry for text in texts for entry in json.loads(text)["content"]["list"]]
    message = json.loads(texts[0])
    message["content"]["list"] = entries
    return json.dumps(message, separators=(",", ":"))


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("bad", [0, 1])
def test_an_entry_that_cannot_be_read_ends_all_books_of_its_message(
    legacy: tuple[Bench, dict[str, str]], bad: int, *, tracked: bool
) -> None:
    bench, changes = legacy
    first, second, _ = changes.values()
    for _ in range(10 * tracked):
        bench.feed.on_frame(1, in_one([first, second]).encode(), SECOND)
    bench.publisher.take()
    damaged = [first, second]
    damaged[bad] = damaged[bad].replace('"price":"', '"price":"x', 1)
    frame = in_one(damaged).encode()
    bench.feed.on_frame(1, frame, SECOND)
    assert all_states(bench) == ["STALE", "STALE", "LIVE"]
    assert states(bench) == [(2, 4)] * 2, "stale, parse error"
    notices = [(kind, index) for kind, index, *_ in bench.feed.notices()]
    lost = [(kind, index) for index in (bad, 1 - bad) for kind in ("STALE", "NEED_SNAPSHOT")]
    assert notices == [("FAULT", bad), *lost]
    assert bench.feed.faults()[-1][0] == "bad number"
    assert bench.feed.kinds()["book"][2] == 1, "one message"


def test_digits_beyond_all_bounds_end_all_books_of_their_message(
    legacy: tuple[Bench, dict[str, str]],
) -> None:
    bench, changes = legacy
    first, second, third = changes.values()
    absurd = re.sub('"price":"[^"]*"', '"price":"0.000000000000000001"', second, count=1)
    bench.feed.on_frame(1, in_one([first, absurd, third]).encode(), SECOND)
    assert all_states(bench) == ["STALE"] * 3
    assert bench.feed.faults()[-1][0] == "more digits than 64 bits hold"


def test_finer_digits_that_are_taken_lose_nothing(legacy: tuple[Bench, dict[str, str]]) -> None:
    bench, changes = legacy
    first, second, _ = changes.values()
    finer = re.sub('"quantity":"[^"]*"', '"quantity":"0.0000000001"', second, count=1)
    bench.feed.on_frame(1, in_one([first, finer]).encode(), SECOND)
    assert all_states(bench) == ["LIVE"] * 3
    assert bench.feed.counters()["refined"] == 1
    assert bench.feed.counters()["book_events"] == len(json.loads(in_one([first, finer]))["content"]["list"])


EXCHANGE = "coinbase/exchange_2021-04-17"


def exchange(capture: CaptureFinder, *, proof: int = 0) -> tuple[Bench, str]:
    """All books of a recorded session of Coinbase Exchange live on connection 1, but the last on connection
    2; and a change of the first."""
    bench = Bench("coinbase_exchange", (8, 8))
    texts = received(capture(EXCHANGE))
    wholes = [text for text in texts if '"snapshot"' in text]
    for text in wholes:
        bench.add(json.loads(text)["product_id"], book_proof=proof)
    for text in wholes:
        bench.feed.on_frame(2 if text is wholes[-1] else 1, text.encode(), SECOND)
    assert len(wholes) >= 3
    assert set(all_states(bench)) == {"LIVE"}
    bench.feed.notices()
    bench.publisher.take()
    first = json.loads(wholes[0])["product_id"]
    return bench, next(text for text in texts if '"l2update"' in text and f'"{first}"' in text)


UNREADABLE: dict[str, Callable[[str], str]] = {
    "truncated": lambda text: text[:-7],
    "trailing": lambda text: text + "]",
    "too deep": lambda text: text.replace('"changes":', '"changes":' + "[" * 70 + "]" * 70 + ',"x":'),
    "too long": lambda text: text + " " * (16 << 20),
    "a key twice": lambda text: text.replace('"changes":', '"changes":[],"changes":'),
    "no instrument": lambda text: text.replace('"product_id"', '"product"'),
    "instrument of another type": lambda text: text.replace('"product_id":', '"product_id":[],"x":'),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_message_that_names_no_book_ends_those_of_its_connection_that_nothing_proves(
    what: str, capture: CaptureFinder
) -> None:
    bench, change = exchange(capture)
    damaged = UNREADABLE[what](change)
    assert damaged != change
    bench.feed.on_frame(1, damaged.encode(), SECOND)
    mine = len(bench.indices) - 1
    assert all_states(bench) == ["STALE"] * mine + ["LIVE"]
    assert states(bench) == [(2, 4)] * mine, "stale, parse error"
    kinds = [(kind, index) for kind, index, *_ in bench.feed.notices()]
    assert [index for kind, index in kinds if kind == "NEED_SNAPSHOT"] == list(range(mine))
    assert kinds[0] == ("FAULT", -1)
    # The whole books that are sent then are the way back.
    for text in received(capture(EXCHANGE)):
        if '"snapshot"' in text:
            bench.feed.on_frame(1, text.encode(), SECOND)
    assert set(all_states(bench)) == {"LIVE"}


def test_no_flood_of_them_asks_twice_for_a_book(capture: CaptureFinder) -> None:
    bench, change = exchange(capture)
    for number in range(1_000):
        bench.feed.on_frame(1, change[: -1 - number % 50].encode(), SECOND)
    mine = len(bench.indices) - 1
    assert bench.feed.counters()["faults"] == 1_000
    assert bench.feed.counters()["went_stale"] == mine
    assert [kind for kind, *_ in bench.feed.notices()].count("NEED_SNAPSHOT") == mine


@pytest.mark.parametrize("proof", [1, 2, 3])
def test_books_that_something_proves_find_out_by_themselves(proof: int, capture: CaptureFinder) -> None:
    bench, change = exchange(capture, proof=proof)
    bench.feed.on_frame(1, change[:-7].encode(), SECOND)
    assert set(all_states(bench)) == {"LIVE"}
    assert bench.feed.counters()["faults"] == 1


def test_what_is_no_message_about_a_book_ends_none(capture: CaptureFinder) -> None:
    bench, change = exchange(capture)
    match = next(text for text in received(capture(EXCHANGE)) if '"match"' in text)
    faults = [match.replace('"price":"', '"price":"x'), match.replace('"product_id"', '"product"')]
    for text in [*faults, "pong", change.replace("l2update", "l2updates"), '{"type":"error"}']:
        bench.feed.on_frame(1, text.encode(), SECOND)
    assert bench.feed.counters()["faults"] == len(faults)
    assert set(all_states(bench)) == {"LIVE"}


def test_books_that_come_whole_with_each_message_stay(capture: CaptureFinder) -> None:
    bench = Bench("upbit", (8, 8))
    text = next(text for text in received(capture("upbit/spot_2021-04-17")) if '"orderbook"' in text)
    bench.add(json.loads(text)["cd"], book_proof=0)
    for data in (text, text[:-7]):
        bench.feed.on_frame(1, data.encode(), SECOND)
    assert bench.feed.counters()["faults"] == 1
    assert all_states(bench) == ["LIVE"]


def test_a_trade_that_cannot_be_read_leaves_the_book(live: Bench) -> None:
    trade = {
        "e": "trade",
        "E": 1,
        "T": 1,
        "s": "BTCUSDT",
        "t": 1,
        "p": "1e30",
        "q": "1",
        "X": "MARKET",
        "m": True,
    }
    live.feed.on_frame(1, json.dumps({"stream": "btcusdt@trade", "data": trade}).encode(), SECOND)
    assert live.feed.state(0) == "LIVE"
    assert live.feed.faults()[-1][0] == "number overflow"


def test_events_that_are_old_for_seconds_are_a_gap(live: Bench) -> None:
    old = diff(live, [["24000.0", "1"]], first=5)
    for half_second in range(10):
        live.feed.on_frame(
            1, old.text.encode().replace(b'"pu": ', b'"pu": 1'), SECOND + half_second * SECOND // 2
        )
        assert live.feed.state(0) == "LIVE", half_second
    live.feed.on_frame(1, old.text.encode().replace(b'"pu": ', b'"pu": 1'), 6 * SECOND)
    assert live.feed.state(0) == "STALE"
    assert states(live) == [(2, 1)], "stale, source gap"


def test_an_old_event_before_a_whole_book_says_nothing_about_those_after_it(live: Bench) -> None:
    old = diff(live, [["24000.0", "1"]], first=5).text.encode().replace(b'"pu": ', b'"pu": 1')
    live.feed.on_frame(1, old, SECOND)
    live.feed.disconnected([0], SECOND)
    live.feed.on_frame(1, diff(live, [["24000.0", "1"]]).text.encode(), 2 * SECOND)
    last = live.naive["BTCUSDT"].last
    whole = {"lastUpdateId": last, "E": 1, "T": 1, "bids": [["24000.0", "1"]], "asks": [["24001.0", "1"]]}
    live.feed.on_snapshot(0, json.dumps(whole).encode(), 3 * SECOND)
    assert live.feed.state(0) == "LIVE"
    live.feed.on_frame(1, old, 7 * SECOND)
    assert live.feed.state(0) == "LIVE", "the first that is old for this book"
    live.feed.on_frame(1, old, 12 * SECOND)
    assert live.feed.state(0) == "STALE"


def test_a_snapshot_of_the_far_future_is_not_waited_for_for_ever(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    source = list(lines(capture(USDM)))
    bench.add("BTCUSDT")
    bench.feed.on_snapshot(
        0, b'{"lastUpdateId":1000000000000000,"E":1,"T":1,"bids":[["1","1"]],"asks":[]}', source[0].t
    )
    assert bench.feed.state(0) == "LIVE"
    for line in source:
        if line.is_diff:
            bench.feed.on_frame(1, line.text.encode(), line.t)
    assert bench.feed.state(0) == "STALE"


def test_one_absurd_number_does_not_poison_an_instrument(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm", digits=(1, 3))
    bench.add("BTCUSDT", tick_size=1, lot_size=1)
    absurd = {
        "e": "trade",
        "E": 1,
        "T": 1,
        "s": "BTCUSDT",
        "t": 1,
        "p": "0.000000000000000001",
        "q": "1",
        "X": "MARKET",
    }
    bench.feed.on_frame(1, json.dumps({"stream": "btcusdt@trade", "data": {**absurd, "m": True}}).encode(), 5)
    assert bench.feed.scale(0) == (-1, -3)
    assert bench.feed.counters()["faults"] == 1
    for line in lines(capture(USDM)):
        bench.take(line)
    assert bench.feed.state(0) == "LIVE"
    finer = diff(bench, [["24000.1", "0.000000000001"]])
    bench.feed.on_frame(1, finer.text.encode(), SECOND)
    assert bench.feed.state(0) == "STALE"
    assert bench.feed.scale(0) == (-1, -3)


def test_sizes_of_a_list_that_do_not_fit_change_nothing(live: Bench) -> None:
    before = (live.feed.scale(0), live.feed.def_version(0))
    with pytest.raises(ValueError, match="do not fit 64 bits"):
        live.feed.update_sizes(0, price_exp=-12, qty_exp=0, tick_size=1, lot_size=1, min_qty=10**17)
    assert (live.feed.scale(0), live.feed.def_version(0)) == before
    assert live.publisher.take() == []
    live.feed.update_sizes(0, price_exp=-2, qty_exp=-3, tick_size=50, lot_size=1, min_qty=1)
    sent = [_core.decode_frame(frame) for _, frame in live.publisher.take()]
    assert sent[-1]["msg"] == "INSTRUMENT_DEF"
    assert (sent[-1]["root"]["tick_size"], sent[-1]["root"]["def_version"]) == (
        50 * 10 ** (-2 - live.feed.scale(0)[0]),
        live.feed.def_version(0),
    )


def test_an_instrument_without_a_book_is_live_by_its_connection(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    index = bench.add("BTCUSDT", has_book=False)
    assert bench.feed.state(index) == "RECOVERING"
    bench.feed.connected([index], 5)
    assert states(bench) == [(1, 0)]
    for line in lines(capture(USDM), most=50):
        bench.take(line)
    bench.feed.disconnected([index], 6)
    assert (bench.feed.state(index), states(bench)) == ("STALE", [(2, 3)])
    assert "NEED_SNAPSHOT" not in [kind for kind, *_ in bench.feed.notices()]
    bench.feed.connected([index], 7)
    assert states(bench) == [(1, 0)]


def test_a_delisted_instrument_is_told_at_once_and_leaves_the_cycle(live: Bench) -> None:
    live.feed.disconnected([0], 5)
    assert states(live) == [(2, 3)]
    live.feed.set_trading_status(0, 9, 6)
    assert states(live) == [(9, 3)]
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["msg"] != "CYCLE_END":
        live.feed.tick()
        frames.extend(_core.decode_frame(frame) for plane, frame in live.publisher.take() if plane == 1)
    assert [frame["msg"] for frame in frames] == ["CYCLE_END"]
    assert (frames[0]["root"]["n_instruments"], frames[0]["root"]["registry_crc"]) == (0, 0)


def test_held_diffs_that_a_disconnect_forgets_are_counted(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    held = [line for line in lines(capture(USDM)) if line.is_diff][:5]
    for line in held:
        bench.take(line)
    bench.feed.disconnected([0], 5)
    assert (bench.feed.counters()["held"], bench.feed.counters()["held_dropped"]) == (5, 5)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"snapshot": "first_after_bind"}, "first_after_bind"),
        ({"level": ("id", "price", "qty")}, "level: id"),
    ],
)
def test_a_declaration_that_the_feed_cannot_carry_out_is_refused(changes: dict[str, Any], field: str) -> None:
    declared: dict[str, Any] = {
        "name": "book",
        "when": {"e": "depthUpdate"},
        "instrument": "s",
        "sequence": Chain(first="U", last="u", prev="pu"),
        "bids": "b",
        "asks": "a",
        **changes,
    }
    shapes = to_json([Shape(**declared)])
    with pytest.raises(ValueError, match=rf'shape "book": .*{field}.* not yet published'):
        _core.Feed(
            _core.Publisher.memory(),
            venue=2,
            channel=2,
            session=1,
            publisher_id=1,
            shapes=shapes,
            build="test",
        )


def test_diffs_held_for_too_long_are_dropped_counted_and_told_once(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    source = [line for line in lines(capture("binance_usdm/usdm_btcusdt_2024-08-08")) if line.is_diff]
    bench.add("BTCUSDT")
    for line in [*source, *source]:
        bench.feed.on_frame(1, line.text.encode(), line.t)
    counters = bench.feed.counters()
    assert counters["held"] == 2 * len(source) == 13_102
    assert counters["held_dropped"] == 2 * len(source) - 10_000
    assert [kind for kind, *_ in bench.feed.notices()].count("HELD_OVERFLOW") == 1
