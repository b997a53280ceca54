"""Orders of Coinbase Exchange, the channel `full`, as declarations; the rest of the feed is
`outcrier.venues.coinbase_exchange`.

Rules are those of the documentation as of 2026-08 (exchange/websocket-feed/channels, "Full Channel"). Every
message of a product takes the next `sequence`. An order is `received`; what is left of it after it has
matched is `open`, and rests from then on; each `match` takes `size` from the order `maker_order_id`; `change`
tells another size (self-trade prevention) or another price and size (a modified order); `done` is its end.
"All done messages for orders which are not on the book should be ignored", and so should changes: an order
that is filled at once, or a market order, is never open. One that was filled while it rested is gone with its
last match, before its `done`.

The whole book is an answer of REST (`level=3`), which the messages after its `sequence` continue.
"""

from __future__ import annotations

from typing import Final

from outcrier.shapes import PRESENT, OrdersShape, PlusOne, SideWords

_SIDE: Final = SideWords(bid=("buy",), ask=("sell",))
_TIME: Final = ("time", "rfc3339")
_SEQUENCE: Final = PlusOne("sequence", splice="range")

_OWN: Final = ("user_id", "profile_id", "client_oid", "client-oid")
"""What messages about the account's own orders say besides."""

RECEIVED: Final = OrdersShape(
    name="received",
    when={"type": "received"},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=_SEQUENCE,
    order={},
    verb="pass",
    known=("order_id", "order_type", "size", "funds", "price", "side", *_OWN),
)

OPEN: Final = OrdersShape(
    name="open",
    when={"type": "open"},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=_SEQUENCE,
    order={"id": "order_id", "price": "price", "qty": "remaining_size", "side": "side"},
    id="uuid",
    side=_SIDE,
    verb="add",
    known=_OWN,
)

DONE: Final = OrdersShape(
    name="done",
    when={"type": "done"},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=_SEQUENCE,
    order={"id": "order_id", "side": "side"},
    id="uuid",
    side=_SIDE,
    verb="delete",
    absent=("delete",),
    known=("price", "reason", "cancel_reason", "remaining_size", *_OWN),
)

# A price is told where it is another one; a market order has none and no size.
CHANGE_PRICE: Final = OrdersShape(
    name="change_price",
    when={"type": "change", "new_size": PRESENT, "new_price": PRESENT},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=_SEQUENCE,
    order={"id": "order_id", "price": "new_price", "qty": "new_size", "side": "side"},
    id="uuid",
    side=_SIDE,
    verb="modify",
    absent=("modify",),
    known=("reason", "price", "old_price", "old_size", *_OWN),
)

CHANGE_SIZE: Final = OrdersShape(
    name="change_size",
    when={"type": "change", "new_size": PRESENT},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=_SEQUENCE,
    order={"id": "order_id", "qty": "new_size", "side": "side"},
    id="uuid",
    side=_SIDE,
    verb="modify",
    absent=("modify",),
    known=("reason", "price", "old_size", *_OWN),
)

CHANGE_FUNDS: Final = OrdersShape(
    name="change_funds",
    when={"type": "change"},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=_SEQUENCE,
    order={},
    verb="pass",
    known=("order_id", "reason", "price", "side", "old_funds", "new_funds", *_OWN),
)

# The trade is told by the shape before it.
MATCH: Final = OrdersShape(
    name="match_order",
    also=True,
    when={"type": "match"},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=_SEQUENCE,
    order={"id": "maker_order_id", "qty": "size", "side": "side", "trade_id": "trade_id"},
    id="uuid",
    side=_SIDE,
    verb="execute",
    known=(
        "taker_user_id",
        "taker_profile_id",
        "taker_fee_rate",
        "maker_user_id",
        "maker_profile_id",
        "maker_fee_rate",
        *_OWN,
    ),
)

BOOK: Final = OrdersShape(
    name="book_level3",
    rest=True,
    when={"bids": PRESENT, "asks": PRESENT},
    exchange_time=_TIME,
    sequence=PlusOne("sequence", splice="range"),
    bids="bids",
    asks="asks",
    order={"price": 0, "qty": 1, "id": 2},
    id="uuid",
    verb="add",
    snapshot=True,
    known=("auction_mode", "auction"),
)
