"""Kraken Futures' hot messages as declarations; `outcrier.venues.kraken_futures` has the rules."""

from __future__ import annotations

from typing import Final

from outcrier.instruments import Trading
from outcrier.shapes import (
    ABSENT,
    TRADE_BLOCK,
    TRADE_LIQUIDATION,
    TRADE_OFF_BOOK,
    Aggressor,
    AnyShape,
    BboShape,
    DerivShape,
    OneOf,
    PlusOne,
    Prefix,
    Shape,
    SideWords,
    SnapshotId,
    Tests,
    TickerShape,
    TradeShape,
    TradingShape,
    Where,
    payload,
)

_PUSHED: Final[Tests] = {"event": ABSENT}
"""Acknowledgements name their feed too."""

_BUY_SELL: Final = SideWords(bid=("buy",), ask=("sell",))
_SENT: Final = ("timestamp", "ms")

_TICKER_KNOWN: Final = (
    *("funding_rate", "funding_rate_prediction", "dtm", "leverage", "premium", "change", "tag", "pair"),
    *("maturityTime", "volume", "greeks"),
)


_SNAPSHOT: Final = Shape(
    name="book_snapshot",
    when={"feed": "book_snapshot", **_PUSHED},
    instrument="product_id",
    exchange_time=_SENT,
    sequence=PlusOne("seq"),
    bids="bids",
    asks="asks",
    level={"price": "price", "qty": "qty"},
    snapshot=True,
    known=("tickSize",),
)

_BOOK: Final = Shape(
    name="book",
    when={"feed": "book", **_PUSHED},
    instrument="product_id",
    exchange_time=_SENT,
    sequence=PlusOne("seq"),
    levels=(),
    one=True,
    level={"price": "price", "qty": "qty", "side": "side"},
    side=_BUY_SELL,
)

# `side` is the taker's. An assignment or a termination hands over a position, which no book saw.
_TRADE_FLAGS: Final[tuple[tuple[int, Tests], ...]] = (
    (TRADE_LIQUIDATION, {"type": "liquidation"}),
    (TRADE_BLOCK, {"type": "block"}),
    (TRADE_OFF_BOOK, {"type": OneOf(("assignment", "termination"))}),
)


def _trades(name: str, each: Where | None) -> TradeShape:
    return TradeShape(
        name=name,
        when={"feed": name, **_PUSHED},
        each=each,
        instrument="product_id",
        sequence=SnapshotId("seq"),
        price="price",
        qty="qty",
        time=("time", "ms"),
        id="uid",
        aggressor=Aggressor("side", _BUY_SELL),
        flags=_TRADE_FLAGS,
        known=(payload("product_id"), "feed") if each else (),
    )


def _ticker(name: str, when: Tests, volume: Where | None) -> TickerShape:
    return TickerShape(
        name=name,
        when=when,
        instrument="product_id",
        exchange_time=("time", "ms"),
        last="last",
        open="open",
        high="high",
        low="low",
        volume=volume,
        turnover="volumeQuote",
        known=_TICKER_KNOWN,
    )


def _with_ticker(name: str, when: Tests) -> tuple[AnyShape, ...]:
    """What a ticker says beside its statistics."""
    best = BboShape(
        name=f"{name}_bbo",
        also=True,
        when=when,
        instrument="product_id",
        exchange_time=("time", "ms"),
        bid_price="bid",
        bid_qty="bid_size",
        ask_price="ask",
        ask_qty="ask_size",
    )
    # `funding_rate` is absolute, in currency; a rate is what is relative.
    state = DerivShape(
        name=f"{name}_state",
        also=True,
        when=when,
        instrument="product_id",
        exchange_time=("time", "ms"),
        mark="markPrice",
        index="index",
        funding_rate="relative_funding_rate",
        next_rate="relative_funding_rate_prediction",
        next_funding=("next_funding_rate_time", "ms"),
        open_interest="openInterest",
    )
    status = TradingShape(
        name=f"{name}_status",
        also=True,
        when=when,
        instrument="product_id",
        states=(
            (Trading.HALTED, {"suspended": True}),
            (Trading.PRE_OPEN, {"post_only": True}),
            (Trading.OPEN, {"suspended": False}),
        ),
    )
    return best, state, status


# The volume of inverse products counts contracts, not base units.
_LINEAR_TICKER: Final[Tests] = {"feed": "ticker", **_PUSHED, "product_id": Prefix("PF_")}
_LINEAR_DATED_TICKER: Final[Tests] = {"feed": "ticker", **_PUSHED, "product_id": Prefix("FF_")}
_INVERSE_TICKER: Final[Tests] = {"feed": "ticker", **_PUSHED}

SHAPES: Final[tuple[AnyShape, ...]] = (
    _BOOK,
    _trades("trade", None),
    _ticker("ticker_linear", _LINEAR_TICKER, "volume"),
    *_with_ticker("ticker_linear", _LINEAR_TICKER),
    _ticker("ticker_linear_dated", _LINEAR_DATED_TICKER, "volume"),
    *_with_ticker("ticker_linear_dated", _LINEAR_DATED_TICKER),
    _ticker("ticker_inverse", _INVERSE_TICKER, None),
    *_with_ticker("ticker_inverse", _INVERSE_TICKER),
    _SNAPSHOT,
    _trades("trade_snapshot", "trades"),
)
