"""What the simulated venue's messages say, by `json` and `Decimal` alone, from docs/sim.md."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from conformance.reference import Means, Reference
from plain_events import Bbo, Book, Event, Level, Order, Orders, Trade, words


def sim(message: Any) -> list[Event] | None:
    if not isinstance(message, dict):
        return None
    symbol, time, seq = message.get("symbol", ""), message.get("time"), message.get("seq")
    match message.get("channel"):
        case "book":
            bids, asks = (levels(message[side]) for side in ("bids", "asks"))
            snapshot = message["type"] == "snapshot"
            return [Book(symbol, time, snapshot, bids, asks, last=seq, prev=message.get("prev"))]
        case "trades":
            return [
                Trade(
                    *(symbol, time, Decimal(row["price"]), Decimal(row["qty"])),
                    *(words(row["taker"], "buy", "sell"), str(row["id"])),
                )
                for row in message["trades"]
            ]
        case "best":
            return [Bbo(symbol, time, side(message, "bid"), side(message, "ask"))]
        case "orders":
            rows = tuple(
                order(row, is_bid=side == "bids") for side in ("bids", "asks") for row in message[side]
            )
            return [Orders(symbol, time, message["type"] == "snapshot", rows, last=seq)]
    return None


def order(row: Any, *, is_bid: bool) -> Order:
    verb = {"reduce": "modify", "move": "modify"}.get(row.get("op", "add"), row.get("op", "add"))
    qty = None if verb == "delete" else Decimal(row["qty"])
    return Order(verb, row["id"], is_bid, Decimal(row["price"]), qty, trade_id=row.get("trade", 0))


def levels(rows: list[list[str]]) -> list[Level]:
    return [(Decimal(price), Decimal(qty)) for price, qty in rows]


def side(message: Any, name: str) -> tuple[Decimal, Decimal, int] | None:
    if message[name] is None:
        return None
    return Decimal(message[name]), Decimal(message[f"{name}_qty"]), message[f"{name}_orders"]


REFERENCES = {"sim": Reference(lambda: sim, frozenset({Means.CHAIN}))}
