"""Bitfinex v2's hot messages as declarations.

Rules are those of the documentation as of 2026-08. There is no connector yet: this module declares, and the
decoder reads. What no shape takes is for Python: events, heartbeats, checksums (`cs`), and `tu`, which
repeats `te`.

A frame is an array that begins with a number (`chanId`) and does not say what it is: trades, books and
tickers are arrays of numbers. Whoever subscribes binds the number to an instrument and to the channel of the
acknowledgement: `book` (precisions P0 to P4), `trades`, `ticker` or `status` of instruments, whose symbols
begin with `t`. Funding (`f`), raw books (R0) and candles have other layouts: their numbers stay unbound.

The numbers at the end of frames depend on the flags of `conf`. They run over the connection, heartbeats
included, and are counted from the end, as frames differ in length. With BULK_UPDATES, which is not asked
for, an array of levels would be no snapshot.
"""

from __future__ import annotations

from typing import Final

from outcrier.shape_json import to_json
from outcrier.shapes import (
    ABSENT,
    BY_SIGN,
    IS_ARRAY,
    IS_ARRAY_OF_ARRAYS,
    IS_NUMBER,
    AnyShape,
    Bound,
    ConnectionPlusOne,
    DerivShape,
    Shape,
    Tests,
    TickerShape,
    TimeAt,
    TradeShape,
    payload,
)

FLAG_TIMESTAMP: Final = 32_768
"""`conf`: milliseconds at the end of every array."""

FLAG_SEQ_ALL: Final = 65_536
"""`conf`: the number of the frame on its connection at the end of every array, before the time."""

_LEVEL: Final = ("price", "count", "qty")
"""P0 to P4: count 0 removes, and the sign of the amount tells the side."""


def _book(name: str, when: Tests, sent: TimeAt | None, *, snapshot: bool) -> Shape:
    return Shape(
        name=name,
        when=when,
        instrument=Bound(0, "book"),
        exchange_time=sent,
        sequence=ConnectionPlusOne(),
        levels=1,
        one=not snapshot,
        level=_LEVEL,
        side=BY_SIGN,
        snapshot=snapshot,
    )


def _shapes(sent: TimeAt | None) -> tuple[AnyShape, ...]:
    end = () if sent is None else (payload(-1),)
    return (
        _book("book", {(1, 0): IS_NUMBER}, sent, snapshot=False),
        _book("book_snapshot", {1: IS_ARRAY_OF_ARRAYS}, sent, snapshot=True),
        _book("book_snapshot_empty", {1: IS_ARRAY, (1, 0): ABSENT}, sent, snapshot=True),
        # [ID, MTS, AMOUNT, PRICE]; positive: the taker bought.
        TradeShape(
            name="trade",
            when={1: "te"},
            instrument=Bound(0, "trades"),
            price=(2, 3),
            qty=(2, 2),
            time=((2, 1), "ms"),
            id=(2, 0),
            aggressor=BY_SIGN,
            known=end,
        ),
        # Recent trades, newest first.
        TradeShape(
            name="trades_snapshot",
            each=1,
            instrument=Bound(payload(0), "trades"),
            price=3,
            qty=2,
            time=(1, "ms"),
            id=0,
            aggressor=BY_SIGN,
            known=end,
        ),
        # [BID, BID_SIZE, ASK, ASK_SIZE, DAILY_CHANGE, DAILY_CHANGE_REL, LAST, VOLUME, HIGH, LOW]. The sizes
        # are sums of 25 levels: no best bid and ask.
        TickerShape(
            name="ticker",
            when={(1, 0): IS_NUMBER},
            instrument=Bound(0, "ticker"),
            exchange_time=sent,
            last=(1, 6),
            volume=(1, 7),
            high=(1, 8),
            low=(1, 9),
            known=tuple((1, at) for at in (0, 1, 2, 3, 4, 5, 10)),
        ),
        # `deriv:`: 0 time, 3 spot price, 7 next funding, 11 current rate, 14 mark price, 17 open interest.
        DerivShape(
            name="status",
            when={(1, 0): IS_NUMBER},
            instrument=Bound(0, "status"),
            exchange_time=((1, 0), "ms"),
            index=(1, 3),
            next_funding=((1, 7), "ms"),
            funding_rate=(1, 11),
            mark=(1, 14),
            open_interest=(1, 17),
            known=tuple((1, at) for at in range(23) if at not in {0, 3, 7, 11, 14, 17}),
        ),
    )


SHAPES: Final = _shapes((-1, "ms"))
"""With FLAG_SEQ_ALL and FLAG_TIMESTAMP."""
SHAPES_JSON: Final = to_json(SHAPES, connection_sequence=-2)

UNTIMED_SHAPES: Final = _shapes(None)
"""With FLAG_SEQ_ALL alone, as recorded."""
UNTIMED_SHAPES_JSON: Final = to_json(UNTIMED_SHAPES, connection_sequence=-1)
