"""What the messages of Bithumb's legacy feed say, by `json` and `Decimal` alone, from the documentation.

Those of the socket of 2024 are read by the decoder of Upbit.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from conformance.reference import Borrowed, Edit, Means, Reference
from plain.upbit import LONG, upbit
from plain_events import Book, Event, Ticker, Trade, pairs, real, words


def korean_time(text: str) -> int:
    """Nine hours ahead of UTC."""
    when = datetime.fromisoformat(text).replace(tzinfo=UTC) - timedelta(hours=9)
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def bithumb_legacy(message: Any) -> list[Event] | None:
    content = message.get("content", {})
    match message.get("type"):
        case "transaction":
            return [
                Trade(
                    *(row["symbol"], korean_time(row["contDtm"]), Decimal(row["contPrice"])),
                    *(Decimal(row["contQty"]), words(row["buySellGb"], "2", "1"), ""),
                )
                for row in content["list"]
            ]
        case "orderbookdepth":
            sent = int(content["datetime"]) * 1000
            return [change(row, sent) for row in content["list"]]
        case "orderbooksnapshot":
            sent = int(content["datetime"]) * 1000
            bids, asks = pairs(content["bids"]), pairs(content["asks"])
            return [Book(content["symbol"], sent, snapshot=True, bids=bids, asks=asks)]
        case "ticker" if content["tickType"] == "24H":
            names = ("closePrice", "openPrice", "highPrice", "lowPrice")
            figures = tuple(Decimal(content[name]) for name in names)
            return [Ticker(content["symbol"], None, figures, real(content["volume"]), real(content["value"]))]
    return None


def change(row: Any, sent: int) -> Book:
    level = [(Decimal(row["price"]), Decimal(row["quantity"]))]
    bids, asks = (level, []) if row["orderType"] == "bid" else ([], level)
    return Book(row["symbol"], sent, snapshot=False, bids=bids, asks=asks)


def as_long() -> Edit:
    """Bithumb is asked for long names, Upbit was for short ones."""
    names = {short: name for name, short in LONG.items()}

    def edit(frame: bytes) -> bytes:
        message = json.loads(frame)
        row = {names.get(key, key): value for key, value in message.items()}
        if "orderbook_units" in row:
            units = row["orderbook_units"]
            row["orderbook_units"] = [{names[key]: value for key, value in unit.items()} for unit in units]
        return json.dumps(row, separators=(",", ":")).encode()

    return edit


REFERENCES = {
    "bithumb": Reference(
        lambda: upbit,
        frozenset({Means.WHOLE}),
        borrowed=Borrowed("upbit", "books of Upbit, which have the same form, under the long names", as_long),
        back_ns=1_000_000_000,
    ),
    "bithumb_legacy": Reference(
        lambda: bithumb_legacy, frozenset(), resized={"bithumb/spot_full_2021-06-01": frozenset({"ETH_BTC"})}
    ),
}
