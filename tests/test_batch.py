"""Batches and typed events say what the venue said: samples and a capture, through feed and receiver."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from feed_bench import lines
from outcrier import Batch, State
from outcrier import events as ev
from outcrier.directory import Directory
from outcrier.layout import BOOK_DELTA, DTYPES, KIND_ROWS_LOST, MESSAGE_TYPES, TRADE
from outcrier.prices import bulk, converter, half, to_decimal, to_float
from outcrier.views import BookView, Level
from wire_bench import Wire, follow

CaptureFinder = Callable[[str], Path]


def sample(data_dir: Path, name: str, end: str = "stream") -> dict[str, Any]:
    path = data_dir / "samples" / "binance" / f"futures_market_data_json_{name}_{end}.json"
    if not path.is_file():
        pytest.skip(f"sample is missing: {path}")
    message: dict[str, Any] = json.loads(path.read_text())
    return message


@pytest.fixture
def usdm() -> Wire:
    """One instrument, its definition heard; exponents hold every sample."""
    wire = Wire("binance_usdm")
    wire.bench.add("BTCUSDT", price_exp=-8, qty_exp=-8, base="BTC", quote="USDT")
    events = list(wire.batch())
    assert [type(event) for event in events].count(ev.Definition) == 1
    return wire


def only(events: list[ev.Event], kind: type[Any]) -> Any:
    found = [event for event in events if type(event) is kind]
    assert len(found) == 1, events
    return found[0]


def test_every_type_that_can_be_asked_for_has_rows() -> None:
    assert DTYPES["events"].itemsize == 104
    assert {name: dtype.itemsize for name, dtype in DTYPES.items() if name != "events"} == {
        "levels": 16, "trades": 40, "bbos": 40, "tickers": 64, "candles": 72,
        "derivs": 72, "defs": 224, "statuses": 56, "conns": 48, "ops": 48, "orders": 48,
    }  # fmt: skip
    numbers = [number for group in MESSAGE_TYPES.values() for number in group]
    books = [0x10, 0x11, 0x18, 0x19]
    assert sorted(numbers) == sorted([*books, 0x04, 0x05, 0x12, 0x13, 0x14, 0x20, 0x28, 0x29, 0x2A])


def test_definition(usdm: Wire) -> None:
    instrument = usdm.directory.instrument(2, 1000)
    assert instrument is not None
    assert instrument.symbol == "BTCUSDT@binance_usdm"
    assert (instrument.kind, instrument.status, instrument.unit) == ("perpetual", "recovering", "base")
    assert (instrument.tick, instrument.lot, instrument.contract_size) == (None, None, Decimal(1))


def test_trade(usdm: Wire, data_dir: Path) -> None:
    trade = only(usdm.send(sample(data_dir, "agg_trade")), ev.Trade)
    assert (trade.price, trade.qty) == (Decimal("0.001"), Decimal(100))
    assert trade.trade_id == 5933014
    assert trade.trade_ts == 123456785_000_000
    assert trade.aggressor == "sell"  # m: the buyer is the maker.
    assert trade.n_fills == 6  # f 100 to l 105
    assert (trade.symbol, trade.venue) == ("BTCUSDT@binance_usdm", "binance_usdm")
    assert trade.replay
    assert not trade.test


def test_liquidation(usdm: Wire, data_dir: Path) -> None:
    forced = only(usdm.send(sample(data_dir, "liquidation")), ev.Liquidation)
    assert forced.aggressor == "sell"
    assert forced.qty == Decimal("0.014")
    assert forced.price in {Decimal(9910), Decimal("9910.12345678")}


def test_mark_price_and_funding(usdm: Wire, data_dir: Path) -> None:
    deriv = only(usdm.send(sample(data_dir, "mark_price")), ev.DerivState)
    assert deriv.mark == Decimal("11794.15")
    assert deriv.index == Decimal("11784.62659091")
    assert deriv.settle == Decimal("11784.25641265")
    assert deriv.funding_rate == Decimal("0.00038167")
    assert deriv.next_funding_ts == 1562306400000_000_000
    assert (deriv.next_rate, deriv.open_interest, deriv.funding_interval_s) == (None, None, None)


def test_ticker(usdm: Wire, data_dir: Path) -> None:
    ticker = only(usdm.send(sample(data_dir, "ticker")), ev.Ticker)
    assert (ticker.last, ticker.open) == (Decimal("16584.60"), Decimal("16716.00"))
    assert (ticker.high, ticker.low) == (Decimal("16764.89"), Decimal("16456.51"))
    assert (ticker.volume, ticker.turnover, ticker.trade_count) == (122474.816, 2036102085.697464, 142853)


def test_candle(usdm: Wire, data_dir: Path) -> None:
    candle = only(usdm.send(sample(data_dir, "kline", "stream_closed")), ev.Candle)
    assert candle.closed
    assert (candle.open_ts, candle.interval_s) == (1638747660000_000_000, 60)
    assert (candle.open, candle.high, candle.low, candle.close) == tuple(
        map(Decimal, ("0.0010", "0.0025", "0.0010", "0.0020"))
    )
    assert (candle.volume, candle.turnover, candle.trade_count) == (1000.0, 1.0, 100)


def test_best_bid_and_ask(usdm: Wire, data_dir: Path) -> None:
    usdm.bench.add("BNBUSDT", price_exp=-8, qty_exp=-8)
    bbo = only(usdm.send(sample(data_dir, "book_ticker")), ev.Bbo)
    assert bbo.symbol == "BNBUSDT@binance_usdm"
    assert bbo.bid == Level(Decimal("25.3519"), Decimal("31.21"))
    assert bbo.ask == Level(Decimal("25.3652"), Decimal("40.66"))
    assert bbo.source_seq == 400900217


def test_json_keeps_prices_exact(usdm: Wire, data_dir: Path) -> None:
    trade = only(usdm.send(sample(data_dir, "agg_trade")), ev.Trade)
    raw = msgspec.json.decode(msgspec.json.encode(trade))
    assert raw["type"] == "trade"
    assert raw["price"] == "0.00100000"
    assert raw["flags"] == ["no_source_seq", "replay"]
    assert raw["state"] == trade.state.value


def test_rows_and_events_tell_the_same_of_a_capture(capture: CaptureFinder) -> None:
    """Levels and trades of the raw messages, exactly; the book of the events is the book of the core."""
    wire = Wire("binance_usdm")
    path = capture("binance_usdm/usdm_btcusdt_2022-08-11")
    batches = follow(wire, path, 4000)
    trades = [event for batch in batches for event in batch if isinstance(event, ev.Trade)]
    raw = [line.message["data"] for line in lines(path, most=4000) if line.kind == "recv"]
    printed = [message for message in raw if message["e"] in ("trade", "aggTrade")]
    assert len(trades) == len(printed) > 100
    for trade, message in zip(trades, printed, strict=True):
        assert (trade.price, trade.qty) == (Decimal(message["p"]), Decimal(message["q"]))
        assert trade.aggressor == ("sell" if message["m"] else "buy")
        assert trade.trade_ts == message["T"] * 1_000_000
    sides: tuple[dict[Any, Any], dict[Any, Any]] = ({}, {})
    changed = 0
    for event in (event for batch in batches for event in batch):
        if isinstance(event, ev.BookDelta | ev.BookSnapshot):
            if "reset" in event.flags:
                sides = ({}, {})
            for side, told in zip(sides, (event.bids, event.asks), strict=True):
                side.update({level.price: level.qty for level in told})
            changed += isinstance(event, ev.BookDelta) and event.state is State.LIVE
    assert changed > 100
    view = BookView(wire.receiver, "any", "BTCUSDT@2", to_decimal)
    assert view.state is State.LIVE
    for side, levels in zip(sides, (view.bids(), view.asks()), strict=True):
        assert {price: qty for price, qty in side.items() if qty} == {
            level.price: level.qty for level in levels
        }


def test_arrays_are_views_that_share_memory(capture: CaptureFinder) -> None:
    wire = Wire("binance_usdm")
    for line in lines(capture("binance_usdm/usdm_btcusdt_2022-08-11"), most=2000):
        wire.bench.take(line)
    wire.carry()
    rows = wire.receiver.take()
    batch = Batch(rows, wire.directory)
    assert all(np.shares_memory(getattr(batch, name), rows[name]) for name in rows if len(rows[name]))
    deltas = np.flatnonzero(batch.events["kind"] == BOOK_DELTA)
    bids, asks = batch.levels_of(int(deltas[-1]))
    assert len(bids) + len(asks) == batch.events[deltas[-1]]["count"]
    assert np.shares_memory(bids, batch.levels)
    trades = np.flatnonzero(batch.events["kind"] == TRADE)
    assert batch.trades_of(int(trades[0]))["price"][0] == batch.trades["price"][0]
    assert len(batch.trades_of(int(deltas[-1]))) == 0
    assert [len(side) for side in batch.levels_of(int(trades[0]))] == [0, 0]
    assert batch.symbol_of(int(trades[0])) == "BTCUSDT@binance_usdm"


def test_only_the_types_asked_for(capture: CaptureFinder) -> None:
    wire = Wire("binance_usdm", types=[TRADE])
    kinds: set[int] = set()
    for batch in follow(wire, capture("binance_usdm/usdm_btcusdt_2022-08-11"), 2000):
        kinds.update(batch.events["kind"].tolist())
    assert kinds == {TRADE, 0}  # 0: changes of state come whatever is asked
    view = BookView(wire.receiver, "any", "BTCUSDT@2", to_float)
    assert view.state is State.LIVE
    assert len(view.bids()) > 500


def test_rows_that_nobody_takes_are_counted_and_told(capture: CaptureFinder) -> None:
    wire = Wire("binance_usdm", rows_max=2000)
    for line in lines(capture("binance_usdm/usdm_btcusdt_2022-08-11"), most=3000):
        wire.bench.take(line)
        wire.carry()
    batch = wire.batch()
    assert batch.events["kind"][0] == KIND_ROWS_LOST
    lost = next(iter(batch))
    assert isinstance(lost, ev.Lost)
    assert lost.symbol == ""
    assert lost.count == wire.receiver.counters()["events_lost"] > 0


def test_a_change_of_state_says_replay_too(capture: CaptureFinder) -> None:
    wire = Wire("binance_usdm")
    batches = follow(wire, capture("binance_usdm/usdm_btcusdt_2022-08-11"), 500)
    changes = [event for batch in batches for event in batch if isinstance(event, ev.StateChange)]
    assert changes[-1].state is State.LIVE
    assert changes[-1].reason == "none"
    assert all(change.replay for change in changes)


def test_views_of_a_book_in_decimal_and_float(capture: CaptureFinder) -> None:
    wire = Wire("binance_usdm")
    follow(wire, capture("binance_usdm/usdm_btcusdt_2022-08-11"), 500)
    exact = BookView(wire.receiver, "X@binance_usdm", "BTCUSDT@2", to_decimal)
    near = BookView(wire.receiver, "X@binance_usdm", "BTCUSDT@2", to_float)
    bid, ask = exact.best
    assert isinstance(bid, Level)
    assert isinstance(ask, Level)
    naive_bids, naive_asks = wire.bench.sides("BTCUSDT")
    assert (tuple(bid), tuple(ask)) == (naive_bids[0], naive_asks[0])
    assert exact.top(5) == ([Level(*x) for x in naive_bids[:5]], [Level(*x) for x in naive_asks[:5]])
    assert exact.spread == naive_asks[0][0] - naive_bids[0][0]
    assert exact.mid == (naive_asks[0][0] + naive_bids[0][0]) / 2
    assert near.mid == pytest.approx(float(exact.mid or 0))
    assert near.best[0] == Level(float(bid.price), float(bid.qty))
    assert exact.hash == wire.bench.feed.book_hash(0)
    assert repr(exact).startswith("<BookView X@binance_usdm LIVE ")
    empty = BookView(wire.receiver, "Y@binance", "Y@1", to_decimal)
    assert (empty.state, empty.best, empty.spread, empty.mid) == (State.UNKNOWN, (None, None), None, None)
    assert (empty.bids(), empty.hash, empty.instr_seq) == ([], 0, 0)


@pytest.mark.parametrize(
    ("mantissa", "exp", "text"),
    [(6183760, -2, "61837.60"), (-1, -8, "-1E-8"), (5, 3, "5E+3"), (2**63 - 1, -4, "922337203685477.5807")],
)
def test_decimals_are_exact_whatever_the_context(mantissa: int, exp: int, text: str) -> None:
    import decimal  # noqa: PLC0415  # the context is what is tested

    with decimal.localcontext() as context:
        context.prec = 4
        assert str(to_decimal(mantissa, exp)) == text
    assert to_float(mantissa, exp) == float(Decimal(text))
    assert half(Decimal("0.3")) == Decimal("0.15")


def test_a_book_view_is_the_same_however_it_is_read(capture: CaptureFinder) -> None:
    wire = Wire("binance_usdm")
    view = BookView(wire.receiver, "BTCUSDT@binance_usdm", "BTCUSDT@2", to_decimal)
    assert (view.best, view.top(3), view.instr_seq, view.recv_ts) == ((None, None), ([], []), 0, 0)
    whole = 0
    for line in lines(capture("binance_usdm/usdm_btcusdt_2022-08-11"), most=400):
        wire.bench.take(line)
        wire.carry()
        info = view.info()
        if not info:
            continue
        arrays, scale = view.mantissas(7), (info["price_exp"], info["qty_exp"])
        expected = tuple(
            [Level(to_decimal(price, scale[0]), to_decimal(qty, scale[1])) for price, qty in side.tolist()]
            for side in arrays
        )
        assert view.top(7) == expected
        assert view.best == tuple(side[0] if side else None for side in expected)
        numbers = (view.instr_seq, view.source_seq, view.exchange_ts, view.recv_ts)
        assert numbers == tuple(info[key] for key in ("instr_seq", "source_seq", "exchange_ts", "recv_ts"))
        whole += len(expected[0]) == 7
    assert whole > 200


def test_numbers_are_exact_also_when_more_were_printed_than_are_kept() -> None:
    for exp in (-12, -2, 0, 3):
        mantissas = [*range(-9_000, 9_000, 2), 2**63 - 1, -(2**63), 7]
        expected = [Decimal(mantissa).scaleb(exp, Context(prec=40)) for mantissa in mantissas]
        for _ in range(2):
            assert [str(to_decimal(mantissa, exp)) for mantissa in mantissas] == list(map(str, expected))
            assert list(bulk(to_decimal)(mantissas, exp)) == expected
        assert list(bulk(to_float)(mantissas, exp)) == [to_float(mantissa, exp) for mantissa in mantissas]


def test_a_definition_that_no_batch_holds_still_gives_the_name() -> None:
    """`types` may leave definitions out: the name is looked for again with the next batch."""
    listed: list[dict[str, Any]] = []
    asked: list[int] = []

    def fetch() -> list[dict[str, Any]]:
        asked.append(len(listed))
        return listed

    directory = Directory(fetch, list, converter("decimal"))
    empty = {"events": np.zeros(0, np.uint8), "defs": np.zeros(0, np.uint8)}
    Batch(empty, directory)
    assert [directory.symbol(1, 7) for _ in range(3)] == ["#7@binance"] * 3
    assert len(asked) == 1, "once a batch"
    listed.append({"venue": 1, "instrument": 7, "symbol": "BTC/USDT"})
    Batch(empty, directory)
    assert directory.symbol(1, 7) == "BTC/USDT@binance"
    Batch(empty, directory)
    assert directory.symbol(1, 7) == "BTC/USDT@binance"
    assert len(asked) == 2
