"""Bybit v5's hot messages as declarations, by category.

Rules are those of the documentation as of 2026-07. What no shape takes (acknowledgements, pongs) is for
Python. Not declared: `orderbook.rpi.*`, whose rows carry two quantities, and `orderbook.full.*`, which needs
REST.
"""

from __future__ import annotations

from typing import Final

from outcrier.shapes import (
    TRADE_BLOCK,
    Aggressor,
    AnyShape,
    BboShape,
    CandleShape,
    DerivShape,
    Differs,
    IntervalWords,
    LiquidationShape,
    PlusOne,
    Prefix,
    Shape,
    SideWords,
    Symbol,
    TickerShape,
    TradeShape,
    payload,
)

DEPTHS: Final = (200, 50, 1000, 1)
"""Depths of `orderbook.{depth}.{symbol}` of all categories but options; the first is the default."""

OPTION_DEPTHS: Final = (100, 25)

_BUY_SELL: Final = SideWords(bid=("Buy",), ask=("Sell",))

_MINUTE: Final = 60

_SENT: Final = (payload("type"), payload("ts"))
"""What all messages carry beside their data."""

_TICKER_UNUSED: Final = (
    *("tickDirection", "price24hPcnt", "prevPrice1h", "usdIndexPrice"),
    *("fundingCap", "basis", "basisRate", "predictedDeliveryPrice", "deliveryFeeRate", "deliveryTime"),
    *("bid1Price", "bid1Size", "ask1Price", "ask1Size"),
    *("preOpenPrice", "preQty", "curPreListingPhase"),
    # Options.
    *("bidIv", "askIv", "markPriceIv", "underlyingPrice", "totalVolume", "totalTurnover"),
    *("delta", "gamma", "vega", "theta", "change24h"),
    # Of one side of the market, since 2026.
    *("singleOpenInterest", "singleOpenInterestValue", "openInterestValue"),
)
"""Of tickers: changes as a share, estimates, one side of the best prices without the other."""

_INTERVALS: Final = IntervalWords(
    "interval",
    {
        **{str(minutes): minutes * _MINUTE for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)},
        "D": 1440 * _MINUTE,
        "W": 7 * 1440 * _MINUTE,
    },
)
"""Without the month "M", which has no length in seconds."""


def _book(depth: int) -> Shape:
    """`cts` is the time of matching, comparable to that of trades; `ts` that of sending.

    The first message, and any after a restart of the service (u = 1), is a snapshot. That `u` grows by one is
    observed and not promised: other numbers mean to subscribe anew. A level that leaves the depth is deleted
    by the message that pushes it out: every book of the recordings has just as many levels after each.
    """
    return Shape(
        name=f"orderbook_{depth}",
        when={"topic": Prefix(f"orderbook.{depth}.")},
        instrument=("data", "s"),
        exchange_time=("cts", "ms"),
        sequence=PlusOne(("data", "u")),
        bids=("data", "b"),
        asks=("data", "a"),
        snapshot={"type": "snapshot"},
        depth=depth,
        known=("ts", ("data", "seq")),
    )


# S is the taker's side. i is a UUID on derivatives and a number on spot.
_TRADES: Final = TradeShape(
    name="trades",
    when={"topic": Prefix("publicTrade.")},
    each="data",
    instrument="s",
    price="p",
    qty="v",
    time=("T", "ms"),
    id="i",
    aggressor=Aggressor("S", _BUY_SELL),
    flags=((TRADE_BLOCK, {"BT": True}),),
    known=(*_SENT, "L", "RPI", "seq", "mP", "iP", "mIv", "iv"),
)


def _ticker(volume: str, turnover: str, opened: str | None = "prevPrice24h") -> TickerShape:
    """Derivatives send changes: what is absent, or an empty text, stays what it was."""
    return TickerShape(
        name="ticker",
        when={"topic": Prefix("tickers.")},
        instrument=("data", "symbol"),
        exchange_time=("ts", "ms"),
        last=("data", "lastPrice"),
        open=None if opened is None else ("data", opened),
        high=("data", "highPrice24h"),
        low=("data", "lowPrice24h"),
        volume=("data", volume),
        turnover=("data", turnover),
        known=("type", "cs", "id", *(("data", key) for key in _TICKER_UNUSED)),
    )


def _deriv(value: str | None) -> DerivShape:
    """openInterest counts both sides, in the unit of quantities; dated contracts have an empty rate."""
    return DerivShape(
        name="ticker_deriv",
        also=True,
        when={"topic": Prefix("tickers.")},
        instrument=("data", "symbol"),
        exchange_time=("ts", "ms"),
        mark=("data", "markPrice"),
        index=("data", "indexPrice"),
        funding_rate=("data", "fundingRate"),
        next_funding=(("data", "nextFundingTime"), "ms"),
        funding_interval=(("data", "fundingIntervalHour"), 3600),
        open_interest=("data", "openInterest"),
        oi_value=None if value is None else ("data", value),
    )


# Options send whole tickers; those of other derivatives tell one side without the other, and spot none.
_OPTION_BBO: Final = BboShape(
    name="ticker_bbo",
    also=True,
    when={"topic": Prefix("tickers.")},
    instrument=("data", "symbol"),
    exchange_time=("ts", "ms"),
    bid_price=("data", "bidPrice"),
    bid_qty=("data", "bidSize"),
    ask_price=("data", "askPrice"),
    ask_qty=("data", "askSize"),
)


def _kline(volume: str, turnover: str) -> CandleShape:
    return CandleShape(
        name="kline",
        when={"topic": Prefix("kline."), ("data", 0, "interval"): Differs(("M",))},
        each="data",
        instrument=Symbol(payload("topic"), split=".", part=-1),
        exchange_time=("timestamp", "ms"),
        open_time=("start", "ms"),
        interval=_INTERVALS,
        open="open",
        high="high",
        low="low",
        close="close",
        volume=volume,
        turnover=turnover,
        closed={"confirm": True},
        known=(*_SENT, "end"),
    )


# S is the side of the position: Buy, a long was liquidated, so that the forced order sold. p is the price of
# bankruptcy.
_LIQUIDATIONS: Final = LiquidationShape(
    name="liquidations",
    when={"topic": Prefix("allLiquidation.")},
    each="data",
    instrument="s",
    price="p",
    qty="v",
    time=("T", "ms"),
    aggressor=Aggressor("S", SideWords(bid=("Sell",), ask=("Buy",))),
    known=_SENT,
)

# Quantities count coins, but on inverse contracts US dollars: there "volume" is in dollars and "turnover", as
# the value of the open interest, in coins.
SPOT_SHAPES: Final[tuple[AnyShape, ...]] = (
    *map(_book, DEPTHS),
    _TRADES,
    _ticker("volume24h", "turnover24h"),
    _kline("volume", "turnover"),
)

LINEAR_SHAPES: Final[tuple[AnyShape, ...]] = (
    *map(_book, DEPTHS),
    _TRADES,
    _ticker("volume24h", "turnover24h"),
    _deriv("openInterestValue"),
    _kline("volume", "turnover"),
    _LIQUIDATIONS,
)

INVERSE_SHAPES: Final[tuple[AnyShape, ...]] = (
    *map(_book, DEPTHS),
    _TRADES,
    _ticker("turnover24h", "volume24h"),
    _deriv(None),
    _kline("turnover", "volume"),
    _LIQUIDATIONS,
)

OPTION_SHAPES: Final[tuple[AnyShape, ...]] = (
    *map(_book, OPTION_DEPTHS),
    _TRADES,
    _ticker("volume24h", "turnover24h", None),
    _deriv(None),
    _OPTION_BBO,
)
