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
    OrdersShape,
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

LEVEL3_DEPTH: Final = 10
"""Levels a side of `level3`, of 10, 100, 1,000. The checksum is over ten: with more of them nothing would
prove the rest, which costs five and twenty times as much of what an account may subscribe.
"""

# Changes of orders behind the ten levels may come, and are of orders that were cut here. The checksum is over
# every order that is kept: it tells if one is missing. Prices and quantities are sent with all their digits
# (guide spot-ws-l3-v2), because it is over their text. A level's orders stand by `timestamp`, "the time the
# order was inserted or amended", as in Kraken's own client (krakenfx/api-go, pkg/book).
_LEVEL3_ORDER: Final[dict[str, str]] = {
    "id": "order_id",
    "price": "limit_price",
    "qty": "order_qty",
    "time": "timestamp",
}

_LEVEL3_SNAPSHOT: Final = OrdersShape(
    name="level3_snapshot",
    when={"channel": "level3", "type": "snapshot"},
    each="data",
    instrument="symbol",
    exchange_time=_TIME,
    sequence=NoSequence(splice="in_stream"),
    bids="bids",
    asks="asks",
    order=_LEVEL3_ORDER,
    id="text",
    verb="add",
    snapshot=True,
    by_time=True,
    depth=LEVEL3_DEPTH,
    checksum=Checksum("checksum", "kraken"),
)

_LEVEL3: Final = OrdersShape(
    name="level3",
    when={"channel": "level3", "type": "update"},
    each="data",
    instrument="symbol",
    exchange_time=_TIME,
    sequence=NoSequence(splice="in_stream"),
    bids="bids",
    asks="asks",
    order={**_LEVEL3_ORDER, "verb": "event"},
    id="text",
    verb={"add": "add", "modify": "modify", "delete": "delete"},
    by_time=True,
    absent=("modify", "delete"),
    depth=LEVEL3_DEPTH,
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
    known=(payload("type"), "vwap"),
)

SHAPES: Final[tuple[AnyShape, ...]] = (
    _BOOK,
    _TRADE,
    _TICKER,
    _TICKER_BBO,
    _OHLC,
    _LEVEL3_SNAPSHOT,
    _LEVEL3,
)
