"""Upbit's hot messages as declarations, in the formats SIMPLE and DEFAULT.

Rules are those of the documentation as of 2026-10. There is no connector yet: this module declares, and the
decoder reads. Frames are binary and hold JSON. Errors and the answer to PING are for Python; subscriptions
are not answered.

Nothing is numbered: each book is whole, so a lost one is replaced by the next.
"""

from __future__ import annotations

from typing import Final

from outcrier.shape_json import to_json
from outcrier.shapes import Aggressor, AnyShape, NoSequence, Shape, SideWords, TradeShape

# A unit pairs the i-th ask with the i-th bid; a side with fewer levels has price 0 there. Times were
# microseconds in some books of 2023.


def _orderbook(
    kind: str, code: str, timestamp: str, units: str, level: tuple[str, str, str, str], *known: str
) -> Shape:
    bid_price, bid_qty, ask_price, ask_qty = level
    return Shape(
        name=f"orderbook_by_{kind}",
        when={kind: "orderbook"},
        instrument=code,
        exchange_time=(timestamp, "magnitude"),
        sequence=NoSequence(splice="in_stream"),
        levels=units,
        level={"bid_price": bid_price, "bid_qty": bid_qty, "ask_price": ask_price, "ask_qty": ask_qty},
        snapshot=True,
        ignore_zero_price=True,
        known=known,
    )


# BID: the taker bought. The id is unique in a market, grows and has holes.
def _trade(
    kind: str, code: str, fields: tuple[str, str, str, str, str], known: tuple[str, ...]
) -> TradeShape:
    price, qty, time, number, side = fields
    return TradeShape(
        name=f"trade_by_{kind}",
        when={kind: "trade"},
        instrument=code,
        price=price,
        qty=qty,
        time=(time, "magnitude"),
        id=number,
        aggressor=Aggressor(side, SideWords(bid=("BID",), ask=("ASK",))),
        known=known,
    )


# Known: total sizes, the times of sending and as text, the day before and the change from it, the type of the
# stream.
SHAPES: Final[tuple[AnyShape, ...]] = (
    _orderbook("ty", "cd", "tms", "obu", ("bp", "bs", "ap", "as"), "tas", "tbs", "st"),
    _trade("ty", "cd", ("tp", "tv", "ttms", "sid", "ab"), ("tms", "td", "ttm", "pcp", "c", "cp", "st")),
    _orderbook(
        "type",
        "code",
        "timestamp",
        "orderbook_units",
        ("bid_price", "bid_size", "ask_price", "ask_size"),
        "total_ask_size",
        "total_bid_size",
        "stream_type",
    ),
    _trade(
        "type",
        "code",
        ("trade_price", "trade_volume", "trade_timestamp", "sequential_id", "ask_bid"),
        (
            *("timestamp", "trade_date", "trade_time", "stream_type"),
            *("prev_closing_price", "change", "change_price"),
            *("best_ask_price", "best_ask_size", "best_bid_price", "best_bid_size"),
        ),
    ),
)
SHAPES_JSON: Final = to_json(SHAPES)
