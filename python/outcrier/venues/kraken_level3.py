"""Orders of Kraken spot, the channel `level3`: its limits, its account, and the exchange's side of its book.
`outcrier.venues.kraken_shapes` has the messages.

An account asks for a token (REST, GetWebSocketsToken), which must be used within 15 minutes and holds as long
as the connection that it was used on (docs.kraken.com/api-reference/trading/get-websockets-token, read
2026-11). Requests are signed as "Spot REST Authentication" says (docs.kraken.com/api/docs/guides/
spot-rest-auth): API-Sign = HMAC-SHA512 of (path + SHA256(nonce + body)) under the decoded secret, base64.
A token that was good may be refused to a later subscription all the same, which then takes a new one
(github.com/knowm/XChange/pull/3697 has the venue's word).
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from outcrier.venues import frames
from outcrier.venues.account import Account, ApiKey, SignedRequest
from outcrier.venues.base import BAD_JSON, Limits
from outcrier.venues.kraken_shapes import LEVEL3_DEPTH

CHANNEL: Final = "level3"

HOST: Final = "ws-l3.kraken.com"
"""Since 2025-12; level3 was at ws-auth.kraken.com before (change log)."""

ROUTE: Final = f"//{HOST}/v2"

_COUNT_PER_S: Final = 200
"""What a client of the standard tier may subscribe in a second (500 of the pro tier), in counts."""

_COUNTS: Final[Mapping[int, int]] = {10: 5, 100: 25, 1_000: 100}
"""What a symbol counts by the depth that is asked for ("Orders (Level 3)", Subscription limits)."""

SESSION_OVER: Final = "ESession:"
"""Begins the errors about a token that is not taken (any more)."""

SYMBOLS_AT_ONCE: Final = _COUNT_PER_S // _COUNTS[LEVEL3_DEPTH]
"""Symbols of a message, of which one leaves in a second."""


def limits(of_venue: Limits) -> Limits:
    """Those of the connections of `level3`: 200 symbols each, and one message a second, whoever sends it."""
    return msgspec.structs.replace(
        of_venue, symbols_per_connection=200, messages_per_s=1.0, messages_per_address=True
    )


def _is_ours(url: str) -> bool:
    parts = urlsplit(url)
    return parts.hostname == HOST or parts.path.startswith(f"/{HOST}/")


class KrakenAccount(Account):
    """Signs the request for a token, and gives that to each subscription of `level3`."""

    path: Final = "/0/private/GetWebSocketsToken"

    def token_request(self, url: str, key: ApiKey, nonce: int) -> SignedRequest | None:
        if not _is_ours(url):
            return None
        body = urlencode({"nonce": nonce})
        headers = {"API-Key": key.key, "API-Sign": sign(key, self.path, nonce, body)}
        return SignedRequest(self.path, headers, body)

    def token(self, body: bytes) -> str:
        answer = frames.record(body)
        token = frames.word(frames.at(answer, "result", "token"))
        if not token:
            errors = ", ".join(map(frames.word, frames.rows(answer.get("error"))))
            raise ValueError(errors[: frames.MESSAGE_MAX] or "the answer has none")
        return token

    def signed(self, text: str, key: ApiKey, now_s: int, token: str) -> str:
        del key, now_s
        message = frames.record(text)
        params = message.get("params")
        if not token or not isinstance(params, dict) or params.get("channel") != CHANNEL:
            return text
        return msgspec.json.encode({**message, "params": {**params, "token": token}}).decode()


def sign(key: ApiKey, path: str, nonce: int, body: str) -> str:
    """API-Sign of a POST."""
    return key.sha512(path.encode() + hashlib.sha256(f"{nonce}{body}".encode()).digest())


# The exchange's side: what a client that subscribes now is sent first.


class _Order(msgspec.Struct, frozen=True):
    """As printed."""

    order_id: str
    limit_price: msgspec.Raw
    order_qty: msgspec.Raw
    timestamp: str
    event: str = "add"


class _Book(msgspec.Struct):
    symbol: str
    bids: list[_Order]
    asks: list[_Order]
    checksum: int = 0
    timestamp: str = ""


class _Message(msgspec.Struct):
    type: str
    data: list[_Book]


def book_after(before: str | None, text: str) -> str | None:
    """The snapshot of the book that a message leaves; `before` is the one before it. None as long as there
    was no whole book, and for what is no such message.
    """
    try:
        message = msgspec.json.decode(text, type=_Message)
        (said,) = message.data
        known = None if before is None else msgspec.json.decode(before, type=_Message).data[0]
        if message.type == "snapshot":
            known = _Book(said.symbol, [], [])
        if known is None:
            return None
        sides = {
            name: _side(getattr(known, name), getattr(said, name), is_bid=name == "bids")
            for name in ("bids", "asks")
        }
    except (*BAD_JSON, ArithmeticError):
        return before
    ordered = [*sides["asks"], *sides["bids"]]
    digits = [
        _text(number).replace(".", "").lstrip("0")
        for order in ordered
        for number in (order.limit_price, order.order_qty)
    ]
    checksum = zlib.crc32("".join(digits).encode())
    data = {name: [_row(order) for order in side] for name, side in sides.items()}
    whole = {"symbol": said.symbol, **data, "checksum": checksum}
    if said.timestamp:
        whole["timestamp"] = said.timestamp
    return msgspec.json.encode({"channel": CHANNEL, "type": "snapshot", "data": [whole]}).decode()


def _side(resting: list[_Order], said: list[_Order], *, is_bid: bool) -> list[_Order]:
    orders = {order.order_id: order for order in resting}
    for order in said:
        orders.pop(order.order_id, None)
        if order.event != "delete":
            orders[order.order_id] = order
    by_price: dict[Decimal, list[_Order]] = {}
    for order in sorted(orders.values(), key=lambda order: order.timestamp):
        by_price.setdefault(Decimal(_text(order.limit_price)), []).append(order)
    prices = sorted(by_price, reverse=is_bid)[:LEVEL3_DEPTH]
    return [order for price in prices for order in by_price[price]]


def _row(order: _Order) -> dict[str, Any]:
    row = msgspec.structs.asdict(order)
    del row["event"]
    return row


def _text(number: msgspec.Raw) -> str:
    return bytes(number).decode().strip('"')
