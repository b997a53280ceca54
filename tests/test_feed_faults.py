"""What may not leave a book live and wrong: frames that cannot be read, stuck ids, absurd numbers, odd
declarations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feed_bench import Bench, Line, lines
from outcrier import _core
from outcrier.shape_json import to_json
from outcrier.shapes import Chain, Shape

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
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
    frames = [_core.decode_frame(frame) for plane, frame in bench.publisher.take() if plane == 0]
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
