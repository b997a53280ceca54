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

An account signs its subscription as it would sign `GET /users/self/verify` (exchange/websocket-feed/
authentication): HMAC-SHA256 of time, method and path under the decoded secret, base64.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final

import msgspec

from outcrier.shapes import PRESENT, OrdersShape, PlusOne, SideWords
from outcrier.venues import frames
from outcrier.venues.account import SIGNS, Account, ApiKey

CHANNEL: Final = "full"

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


class CoinbaseAccount(Account):
    """Signs subscriptions of `full`."""

    fields: ClassVar[tuple[str, ...]] = ("key", SIGNS, "passphrase")

    def signed(self, text: str, key: ApiKey, now_s: int, token: str) -> str:
        del token
        message = frames.record(text)
        names = [frames.at(each, "name") for each in frames.rows(message.get("channels"))]
        if message.get("type") != "subscribe" or CHANNEL not in names:
            return text
        proof = {
            "signature": key.sha256(f"{now_s}GET/users/self/verify"),
            "key": key.key,
            "passphrase": key.passphrase,
            "timestamp": str(now_s),
        }
        return msgspec.json.encode(message | proof).decode()


# The exchange's side.


class _Book(msgspec.Struct):
    """The answer of REST: price, size, id."""

    sequence: int
    bids: list[tuple[str, str, str]] = []
    asks: list[tuple[str, str, str]] = []


def book_after(before: str | None, text: str) -> str | None:
    """The answer of REST after a message; `before` is the one before it, and without one no order rests."""
    message = frames.record(text)
    sequence, verb = message.get("sequence"), frames.word(message.get("type"))
    if type(sequence) is not int or verb not in {"received", "open", "done", "match", "change"}:
        return before
    book = _Book(0) if before is None else msgspec.json.decode(before, type=_Book)
    book.sequence = sequence
    rows = book.bids if message.get("side") == "buy" else book.asks
    named = frames.word(message.get("maker_order_id" if verb == "match" else "order_id"))
    found = next((at for at, row in enumerate(rows) if row[2] == named), None)
    try:
        if verb == "open":
            price, size = (frames.word(message.get(key)) for key in ("price", "remaining_size"))
            rows.append((price, size, named))
        elif found is not None and verb != "received":
            row = rows.pop(found)
            left = _left_of(row, message)
            if left is not None:
                keeps = left[0] == row[0] and Decimal(left[1]) <= Decimal(row[1])
                rows.insert(found if keeps else len(rows), left)
        return msgspec.json.encode(book).decode()
    except ArithmeticError:
        return before


def _left_of(row: tuple[str, str, str], message: Mapping[str, Any]) -> tuple[str, str, str] | None:
    price, size, named = row
    match message["type"]:
        case "match":
            left = Decimal(size) - Decimal(frames.word(message.get("size")) or 0)
            return (price, f"{left:f}", named) if left > 0 else None
        case "change":
            changed = [frames.word(message.get(key)) for key in ("new_price", "new_size")]
            return (changed[0] or price, changed[1] or size, named)
        case _:
            return None
