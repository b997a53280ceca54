"""Coinbase's hot messages as declarations: Advanced Trade, and the Exchange feed, which are two protocols.

Rules are those of the documentation as of 2026-08. There is no connector yet: this module declares, and the
decoder reads. What no shape takes (subscriptions, heartbeats, status, errors) is for Python; on Advanced
Trade those frames are numbered with the others.

Both name the maker's side of a trade: BUY means that the aggressor sold.
"""

from __future__ import annotations

from typing import Final

from outcrier.shape_json import to_json
from outcrier.shapes import (
    ANY,
    PRESENT,
    Aggressor,
    AnyShape,
    BboShape,
    CandleShape,
    ConnectionPlusOne,
    NoSequence,
    OneOf,
    Shape,
    SideWords,
    SnapshotId,
    TickerShape,
    Time,
    TradeShape,
    element,
    payload,
)

# Advanced Trade. sequence_num runs over the connection from 0, acknowledgements and heartbeats included. A
# jump means loss: subscribe to the books anew.

CONNECTION_SEQUENCE: Final = "sequence_num"

_SENT: Final = Time(payload("timestamp"), "rfc3339")
"""Rows of a book have times of their own, several in a message; this is the one of sending."""

_FRAME: Final = (payload("client_id"),)
"""What all messages carry beside their events."""

# Full depth. Updates may have an empty list, and may remove levels that were never sent.
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
    known=(*_FRAME, ("updates", ANY, "event_time")),
)

# The first message repeats recent trades, newest first.
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
    known=(*_FRAME, payload("timestamp"), element("type")),
)

_TICKER: Final = TickerShape(
    name="ticker",
    when={"channel": "ticker"},
    each="events",
    inner="tickers",
    instrument="product_id",
    exchange_time=_SENT,
    last="price",
    high="high_24_h",
    low="low_24_h",
    volume="volume_24_h",
    known=(
        *(*_FRAME, element("type"), "type"),
        *("low_52_w", "high_52_w", "price_percent_chg_24_h"),
    ),
)

_TICKER_BBO: Final = BboShape(
    name="ticker_bbo",
    also=True,
    when={"channel": "ticker"},
    each="events",
    inner="tickers",
    instrument="product_id",
    exchange_time=_SENT,
    bid_price="best_bid",
    bid_qty="best_bid_quantity",
    ask_price="best_ask",
    ask_qty="best_ask_quantity",
)

# Five minutes, the only length there is; nothing says that one is over.
_CANDLES: Final = CandleShape(
    name="candles",
    when={"channel": "candles"},
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
    volume="volume",
    known=(*_FRAME, element("type")),
)

SHAPES: Final[tuple[AnyShape, ...]] = (_LEVEL2, _MARKET_TRADES, _TICKER, _TICKER_BBO, _CANDLES)
SHAPES_JSON: Final = to_json(SHAPES, connection_sequence=CONNECTION_SEQUENCE)

# Exchange. Books have no numbers; `sequence` of the other messages is that of the product's full channel,
# which grows with holes. l2update.time of year 1 means none.

_BUY_SELL: Final = SideWords(bid=("buy",), ask=("sell",))

_EXCHANGE_SNAPSHOT: Final = Shape(
    name="snapshot",
    when={"type": "snapshot"},
    instrument="product_id",
    exchange_time=("time", "rfc3339"),
    sequence=NoSequence(splice="in_stream"),
    bids="bids",
    asks="asks",
    snapshot=True,
)

_EXCHANGE_UPDATE: Final = Shape(
    name="l2update",
    when={"type": "l2update"},
    instrument="product_id",
    exchange_time=("time", "rfc3339"),
    sequence=NoSequence(splice="in_stream"),
    levels="changes",
    level=("side", "price", "qty"),
    side=_BUY_SELL,
)

# last_match is the trade before the subscription.
_EXCHANGE_MATCH: Final = TradeShape(
    name="match",
    when={"type": OneOf(("match", "last_match"))},
    instrument="product_id",
    sequence=SnapshotId("sequence"),
    price="price",
    qty="size",
    time=("time", "rfc3339"),
    id="trade_id",
    aggressor=Aggressor("side", _BUY_SELL, maker=True),
    known=("maker_order_id", "taker_order_id"),
)

_EXCHANGE_TICKER: Final = TickerShape(
    name="ticker",
    when={"type": "ticker"},
    instrument="product_id",
    exchange_time=("time", "rfc3339"),
    sequence=SnapshotId("sequence"),
    last="price",
    open="open_24h",
    high="high_24h",
    low="low_24h",
    volume="volume_24h",
    known=("volume_30d", "side", "last_size", "trade_id"),
)

# Sizes are sent since 2022.
_EXCHANGE_BBO: Final = BboShape(
    name="ticker_bbo",
    also=True,
    when={"type": "ticker", "best_bid_size": PRESENT, "best_ask_size": PRESENT},
    instrument="product_id",
    exchange_time=("time", "rfc3339"),
    sequence=SnapshotId("sequence"),
    bid_price="best_bid",
    bid_qty="best_bid_size",
    ask_price="best_ask",
    ask_qty="best_ask_size",
)

EXCHANGE_SHAPES: Final[tuple[AnyShape, ...]] = (
    _EXCHANGE_UPDATE,
    _EXCHANGE_MATCH,
    _EXCHANGE_TICKER,
    _EXCHANGE_BBO,
    _EXCHANGE_SNAPSHOT,
)
EXCHANGE_SHAPES_JSON: Final = to_json(EXCHANGE_SHAPES)
