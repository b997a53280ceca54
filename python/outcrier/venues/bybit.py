"""Bybit's hot messages as declarations: v5 of all categories, and the v2 dialect that old recordings speak.

Rules are those of the v5 documentation as of 2026-07. There is no connector yet: this module declares, and
the decoder reads. What no shape takes (acknowledgements, pongs) is for Python.

Not declared: `orderbook.rpi.*`, whose rows carry two quantities, and `orderbook.full.*`, which needs REST.
Best bid and ask of `tickers.*` come as changes, one side without the other; `orderbook.1.*` has them whole.
"""

from __future__ import annotations

from typing import Final

from outcrier.shape_json import to_json
from outcrier.shapes import (
    ANY,
    TRADE_BLOCK,
    Aggressor,
    AnyShape,
    CandleShape,
    DerivShape,
    Differs,
    IntervalWords,
    LiquidationShape,
    NoSequence,
    PlusOne,
    Prefix,
    Shape,
    SideWords,
    Symbol,
    TickerShape,
    Time,
    TradeShape,
    payload,
)

DEPTHS: Final = (50, 200, 1, 1000, 25, 100)
"""Depths of `orderbook.{depth}.{symbol}`; 25 and 100 are the options'."""

_BUY_SELL: Final = SideWords(bid=("Buy",), ask=("Sell",))

_MINUTE: Final = 60

_SENT: Final = (payload("type"), payload("ts"))
"""What all messages carry beside their data."""

_TICKER_UNUSED: Final = (
    *("tickDirection", "price24hPcnt", "prevPrice1h", "usdIndexPrice", "fundingCap"),
    *("bid1Price", "bid1Size", "ask1Price", "ask1Size"),
    *("preOpenPrice", "preQty", "curPreListingPhase"),
    # Options.
    *("bidPrice", "bidSize", "bidIv", "askPrice", "askSize", "askIv", "markPriceIv", "underlyingPrice"),
    *(
        "totalVolume",
        "totalTurnover",
        "delta",
        "gamma",
        "vega",
        "theta",
        "predictedDeliveryPrice",
        "change24h",
    ),
    # Of one side of the market, since 2026.
    *("singleOpenInterest", "singleOpenInterestValue"),
)

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
    observed and not promised: other numbers mean to subscribe anew.
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
    known=(*_SENT, "L", "RPI", "seq"),
)

# Derivatives send changes: what is absent, or an empty text, stays what it was.
_TICKER: Final = TickerShape(
    name="ticker",
    when={"topic": Prefix("tickers.")},
    instrument=("data", "symbol"),
    exchange_time=("ts", "ms"),
    last=("data", "lastPrice"),
    open=("data", "prevPrice24h"),
    high=("data", "highPrice24h"),
    low=("data", "lowPrice24h"),
    volume=("data", "volume24h"),
    turnover=("data", "turnover24h"),
    known=("type", "cs", "id", *(("data", key) for key in _TICKER_UNUSED)),
)

_DERIV: Final = DerivShape(
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
    oi_value=("data", "openInterestValue"),
)

_KLINE: Final = CandleShape(
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
    volume="volume",
    turnover="turnover",
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

SHAPES: Final[tuple[AnyShape, ...]] = (
    *map(_book, DEPTHS),
    _TRADES,
    _TICKER,
    _DERIV,
    _KLINE,
    _LIQUIDATIONS,
)
SHAPES_JSON: Final = to_json(SHAPES)

# v2, until 2023. Linear perpetuals: sizes are numbers, prices text. Rows name their level by id, removals
# have no size. cross_seq grows and has holes.
_V2_LEVEL: Final = {"price": "price", "qty": "size", "side": "side", "id": "id"}
_V2_INSTRUMENT: Final = Symbol("topic", split=".", part=1)

_V2_SNAPSHOT: Final = Shape(
    name="book_snapshot",
    when={"topic": Prefix("orderBookL2_25."), "type": "snapshot"},
    instrument=_V2_INSTRUMENT,
    exchange_time=("timestamp_e6", "us"),
    sequence=NoSequence("cross_seq"),
    levels=("data", "order_book"),
    level=_V2_LEVEL,
    side=_BUY_SELL,
    snapshot=True,
    known=(("data", "order_book", ANY, "symbol"),),
)

_V2_DELTA: Final = Shape(
    name="book_delta",
    when={"topic": Prefix("orderBookL2_25."), "type": "delta"},
    instrument=_V2_INSTRUMENT,
    exchange_time=("timestamp_e6", "us"),
    sequence=NoSequence("cross_seq"),
    levels={("data", "delete"): "remove", ("data", "update"): "set", ("data", "insert"): "set"},
    level=_V2_LEVEL,
    side=_BUY_SELL,
    known=tuple(("data", verb, ANY, "symbol") for verb in ("delete", "update", "insert")),
)

_V2_TRADES: Final = TradeShape(
    name="trades",
    when={"topic": Prefix("trade.")},
    each="data",
    instrument="symbol",
    price="price",
    qty="size",
    time=Time("trade_time_ms", "ms"),
    id="trade_id",
    aggressor=Aggressor("side", _BUY_SELL),
    known=("timestamp", "tick_direction"),
)

V2_SHAPES: Final[tuple[AnyShape, ...]] = (_V2_SNAPSHOT, _V2_DELTA, _V2_TRADES)
V2_SHAPES_JSON: Final = to_json(V2_SHAPES)
