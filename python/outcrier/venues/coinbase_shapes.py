"""Coinbase Advanced Trade's hot messages as declarations; `outcrier.venues.coinbase` has the rules."""

from __future__ import annotations

from typing import Final

from outcrier.shapes import (
    ANY,
    Aggressor,
    AnyShape,
    BboShape,
    CandleShape,
    ConnectionPlusOne,
    Shape,
    SideWords,
    Suffix,
    Tests,
    TickerShape,
    Time,
    TradeShape,
    Where,
    element,
    payload,
)

_FUTURES: Final = Suffix("-CDE")
"""Ends the names of futures, whose quantities and volumes are contracts."""

_SENT: Final = Time(payload("timestamp"), "rfc3339")
"""Rows of a book have times of their own, several in a message; this is the one of sending."""

# Full depth. Updates may have an empty list, and may remove levels that were never sent.
_TICKER_KNOWN: Final = ("type", "high_52_w", "low_52_w", "price_percent_chg_24_h")


_LEVEL2: Final = Shape(
    name="l2_data",
    when={"channel": "l2_data"},
    each="events",
    instrument="product_id",
    exchange_time=_SENT,
    sequence=ConnectionPlusOne(),
    levels="updates",
    level={"side": "side", "price": "price_level", "qty": "new_quantity"},
    side=SideWords(bid=("bid",), ask=("offer",)),
    snapshot={"type": "snapshot"},
    known=(payload("client_id"), ("updates", ANY, "event_time")),
)

# `side` is the maker's: BUY means that the aggressor sold. The first message repeats recent trades, newest
# first.
_MARKET_TRADES: Final = TradeShape(
    name="market_trades",
    when={"channel": "market_trades"},
    each="events",
    inner="trades",
    instrument="product_id",
    price="price",
    qty="size",
    time=("time", "rfc3339"),
    id="trade_id",
    aggressor=Aggressor("side", SideWords(bid=("BUY",), ask=("SELL",)), maker=True),
    known=(payload("client_id"), payload("timestamp"), element("type")),
)


def _ticker(name: str, when: Tests, volume: Where | None) -> TickerShape:
    return TickerShape(
        name=name,
        when=when,
        each="events",
        inner="tickers",
        instrument="product_id",
        exchange_time=_SENT,
        last="price",
        high="high_24_h",
        low="low_24_h",
        volume=volume,
        known=(payload("client_id"), element("type"), *_TICKER_KNOWN),
    )


def _best(name: str, when: Tests) -> BboShape:
    return BboShape(
        name=name,
        also=True,
        when=when,
        each="events",
        inner="tickers",
        instrument="product_id",
        exchange_time=_SENT,
        bid_price="best_bid",
        bid_qty="best_bid_quantity",
        ask_price="best_ask",
        ask_qty="best_ask_quantity",
    )


def _candles(name: str, when: Tests, volume: Where | None) -> CandleShape:
    # Five minutes, the only length there is; nothing says that one is over.
    return CandleShape(
        name=name,
        when=when,
        each="events",
        inner="candles",
        instrument="product_id",
        exchange_time=_SENT,
        open_time=("start", "s"),
        interval=300,
        open="open",
        high="high",
        low="low",
        close="close",
        volume=volume,
        known=(payload("client_id"), element("type")),
    )


# Volumes of futures count contracts (volume_24h x contract_size x price is the volume in dollars of the list
# of products) and events give base units: they are left out.
_FUTURE_TICKER: Final[Tests] = {"channel": "ticker", ("events", 0, "tickers", 0, "product_id"): _FUTURES}
_FUTURE_CANDLES: Final[Tests] = {"channel": "candles", ("events", 0, "candles", 0, "product_id"): _FUTURES}

SHAPES: Final[tuple[AnyShape, ...]] = (
    _LEVEL2,
    _MARKET_TRADES,
    _ticker("ticker_future", _FUTURE_TICKER, None),
    _best("ticker_future_bbo", _FUTURE_TICKER),
    _ticker("ticker", {"channel": "ticker"}, "volume_24_h"),
    _best("ticker_bbo", {"channel": "ticker"}),
    _candles("candles_future", _FUTURE_CANDLES, None),
    _candles("candles", {"channel": "candles"}, "volume"),
)
