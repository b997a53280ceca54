"""Deribit v2's hot messages as declarations.

Rules are those of the documentation as of 2026-02. What no shape takes is for Python: answers, heartbeats,
`instrument.state` and channels that nobody subscribes. Best prices are `quote`'s: the ticker's would lag.
"""

from __future__ import annotations

from typing import Any, Final

from outcrier.shapes import (
    ABSENT,
    IS_TEXT,
    PRESENT,
    TRADE_BLOCK,
    TRADE_LIQUIDATION,
    TRADE_OFF_BOOK,
    Aggressor,
    AnyShape,
    BboShape,
    CandleShape,
    Chain,
    DerivShape,
    IntervalWords,
    Prefix,
    Shape,
    SideWords,
    SnapshotId,
    Symbol,
    Tests,
    TickerShape,
    TradeShape,
    payload,
)

_CHANNEL: Final = ("params", "channel")
_DATA: Final = ("params", "data")

_MINUTE: Final = 60

_RESOLUTIONS: Final = {
    **{str(minutes): minutes * _MINUTE for minutes in (1, 3, 5, 10, 15, 30, 60, 120, 180, 360, 720)},
    "1D": 1440 * _MINUTE,
}


_JSON_RPC: Final = ("jsonrpc", "method")

_TRADE_KNOWN: Final = (
    *("tick_direction", "mark_price", "index_price", "iv", "contracts", "combo_id"),
    *("block_trade_leg_count", "block_rfq_id", "legs"),
)
_TICKER_KNOWN: Final = (
    *("state", "settlement_price", "min_price", "max_price", "delivery_price"),
    *("best_bid_price", "best_bid_amount", "best_ask_price", "best_ask_amount"),
    *("ask_iv", "bid_iv", "mark_iv", "greeks", "interest_rate", "underlying_price", "underlying_index"),
    *("funding_8h", "interest_value"),
)


def _at(*keys: str | int) -> tuple[str | int, ...]:
    return (*_DATA, *keys)


def _book(name: str, when: Tests, snapshot: Any) -> Shape:
    """Rows are [action, price, amount]; amounts are absolute, a deleted level has 0."""
    return Shape(
        name=name,
        when={_CHANNEL: Prefix("book."), **when},
        instrument=_at("instrument_name"),
        exchange_time=(_at("timestamp"), "ms"),
        sequence=Chain(last=_at("change_id"), prev=_at("prev_change_id"), splice="in_stream"),
        bids=_at("bids"),
        asks=_at("asks"),
        level=("verb", "price", "qty"),
        remove=("delete",),
        snapshot=snapshot,
        known=(*_JSON_RPC, _at("type")),
    )


_ROWS: Final[Tests] = {_at("asks", 0, 0): IS_TEXT}
"""Told from grouped books, whose rows have no action."""

_BOOKS: Final = (
    _book("book_snapshot", {_at("type"): "snapshot"}, snapshot=True),
    # Before 2021 a whole book had no type, and no previous id or one of 0.
    _book("book_whole_from_0", {_at("prev_change_id"): 0}, snapshot=True),
    _book("book_change", {_at("prev_change_id"): PRESENT}, snapshot=False),
    _book("book_whole", {_at("type"): ABSENT, **_ROWS}, snapshot=True),
)

# direction is the taker's. A trade on a combo is printed on each of its legs too, at a price that never stood
# in the leg's book; combos are no instruments here, so that nothing counts twice.
_TRADES: Final = TradeShape(
    name="trades",
    when={_CHANNEL: Prefix("trades.")},
    each=_DATA,
    instrument="instrument_name",
    sequence=SnapshotId("trade_seq"),
    price="price",
    qty="amount",
    time=("timestamp", "ms"),
    id="trade_id",
    aggressor=Aggressor("direction", SideWords(bid=("buy",), ask=("sell",))),
    flags=(
        (TRADE_LIQUIDATION, {"liquidation": PRESENT}),
        (TRADE_BLOCK, {"block_trade_id": PRESENT}),
        (TRADE_OFF_BOOK, {"combo_trade_id": PRESENT}),
    ),
    known=(*(payload(key) for key in _JSON_RPC), *_TRADE_KNOWN),
)

# Without a quote both price and amount are 0.0.
_QUOTE: Final = BboShape(
    name="quote",
    when={_CHANNEL: Prefix("quote.")},
    instrument=_at("instrument_name"),
    exchange_time=(_at("timestamp"), "ms"),
    bid_price=_at("best_bid_price"),
    bid_qty=_at("best_bid_amount"),
    ask_price=_at("best_ask_price"),
    ask_qty=_at("best_ask_amount"),
    known=_JSON_RPC,
)

_TICKER: Final = TickerShape(
    name="ticker",
    when={_CHANNEL: Prefix("ticker.")},
    instrument=_at("instrument_name"),
    exchange_time=(_at("timestamp"), "ms"),
    last=_at("last_price"),
    high=_at("stats", "high"),
    low=_at("stats", "low"),
    volume=_at("stats", "volume"),
    turnover=_at("stats", "volume_notional"),
    known=(
        *_JSON_RPC,
        *map(_at, _TICKER_KNOWN),
        *(_at("stats", key) for key in ("price_change", "volume_usd")),
    ),
)

# Funding accrues every millisecond: current_funding is the rate of eight hours in force now.
_DERIV: Final = DerivShape(
    name="ticker_deriv",
    also=True,
    when={_CHANNEL: Prefix("ticker.")},
    instrument=_at("instrument_name"),
    exchange_time=(_at("timestamp"), "ms"),
    mark=_at("mark_price"),
    index=_at("index_price"),
    settle=_at("estimated_delivery_price"),
    funding_rate=_at("current_funding"),
    open_interest=_at("open_interest"),
)

# chart.trades.BTC-PERPETUAL.1; nothing tells that a candle is over.
_CHART: Final = CandleShape(
    name="chart",
    when={_CHANNEL: Prefix("chart.trades.")},
    instrument=Symbol(_CHANNEL, split=".", part=2),
    open_time=(_at("tick"), "ms"),
    interval=IntervalWords(_CHANNEL, _RESOLUTIONS, split=".", part=3),
    open=_at("open"),
    high=_at("high"),
    low=_at("low"),
    close=_at("close"),
    volume=_at("volume"),
    turnover=_at("cost"),
    known=(*_JSON_RPC, _at("status")),
)

SHAPES: Final[tuple[AnyShape, ...]] = (*_BOOKS, _TRADES, _QUOTE, _TICKER, _DERIV, _CHART)
