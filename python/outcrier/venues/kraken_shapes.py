"""Kraken v2's hot messages as declarations; `outcrier.venues.kraken` has the rules."""

from __future__ import annotations

from typing import Final

from outcrier.shapes import (
    Aggressor,
    AnyShape,
    BboShape,
    CandleShape,
    Checksum,
    IntervalWords,
    NoSequence,
    Shape,
    SideWords,
    TickerShape,
    TradeShape,
    payload,
)

DEPTH: Final = 10
"""Levels a side, of 10, 25, 100, 500, 1,000. Levels pushed out of it are not removed by a message. Frames do
not tell it, so all connections have one; the recordings have this.
"""

_TIME: Final = ("timestamp", "rfc3339")

_BOOK: Final = Shape(
    name="book",
    when={"channel": "book"},
    each="data",
    instrument="symbol",
    exchange_time=_TIME,
    sequence=NoSequence(splice="in_stream"),
    bids="bids",
    asks="asks",
    level={"price": "price", "qty": "qty"},
    snapshot={payload("type"): "snapshot"},
    depth=DEPTH,
    checksum=Checksum("checksum", "kraken"),
)

# side is the taker's; a snapshot repeats recent trades.
_TRADE: Final = TradeShape(
    name="trade",
    when={"channel": "trade"},
    each="data",
    instrument="symbol",
    price="price",
    qty="qty",
    time=_TIME,
    id="trade_id",
    aggressor=Aggressor("side", SideWords(bid=("buy",), ask=("sell",))),
    known=(payload("type"), "ord_type"),
)

# Pairs that are halted send zeros and the year 1970.
_TICKER: Final = TickerShape(
    name="ticker",
    when={"channel": "ticker"},
    each="data",
    instrument="symbol",
    exchange_time=_TIME,
    last="last",
    high="high",
    low="low",
    volume="volume",
    known=(payload("type"), "vwap", "change", "change_pct"),
)

_TICKER_BBO: Final = BboShape(
    name="ticker_bbo",
    also=True,
    when={"channel": "ticker"},
    each="data",
    instrument="symbol",
    exchange_time=_TIME,
    bid_price="bid",
    bid_qty="bid_qty",
    ask_price="ask",
    ask_qty="ask_qty",
)

# Minutes. Nothing says that one is over, and an interval without a trade has none.
_OHLC: Final = CandleShape(
    name="ohlc",
    when={"channel": "ohlc"},
    each="data",
    instrument="symbol",
    exchange_time=_TIME,
    open_time=("interval_begin", "rfc3339"),
    interval=IntervalWords(
        "interval", {str(minutes): minutes * 60 for minutes in (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)}
    ),
    open="open",
    high="high",
    low="low",
    close="close",
    volume="volume",
    trade_count="trades",
    known=(payload("type"), payload("timestamp"), "vwap"),
)

SHAPES: Final[tuple[AnyShape, ...]] = (_BOOK, _TRADE, _TICKER, _TICKER_BBO, _OHLC)
