"""What the messages of both feeds of Coinbase say, by `json` and `Decimal` alone, from the documentation."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from conformance.reference import Means, Reference
from plain_events import (
    Bbo,
    Book,
    Candle,
    Event,
    Order,
    Orders,
    Ticker,
    Trade,
    best,
    pairs,
    prices,
    real,
    rfc3339,
    uuid_key,
    words,
)


def base_units(row: Any, field: str) -> float | None:
    return None if row["product_id"].endswith("-CDE") else real(row[field])


def coinbase(message: Any) -> list[Event] | None:
    """Advanced Trade. The side of a trade is the maker's. Volumes of futures count contracts."""
    if "events" not in message:
        return None
    time = rfc3339(message.get("timestamp"))
    found: list[Event] = []
    for event in message["events"]:
        match message["channel"]:
            case "l2_data":
                bids, asks = (
                    [
                        (Decimal(row["price_level"]), Decimal(row["new_quantity"]))
                        for row in event["updates"]
                        if row["side"] == side
                    ]
                    for side in ("bid", "offer")
                )
                assert len(bids) + len(asks) == len(event["updates"])
                found.append(Book(event["product_id"], time, event["type"] == "snapshot", bids, asks))
            case "market_trades":
                found += [
                    Trade(
                        *(row["product_id"], rfc3339(row["time"])),
                        *(Decimal(row["price"]), Decimal(row["size"])),
                        *(words(row["side"], "SELL", "BUY"), row["trade_id"]),
                    )
                    for row in event["trades"]
                ]
            case "ticker":
                found += [
                    Ticker(
                        *(row["product_id"], time, prices(row, "price", None, "high_24_h", "low_24_h")),
                        *(base_units(row, "volume_24_h"), None),
                    )
                    for row in event["tickers"]
                ]
            case "candles":
                found += [
                    Candle(
                        *(row["product_id"], time, int(row["start"]) * 1_000_000_000, 300, False),
                        tuple(Decimal(row[name]) for name in ("open", "high", "low", "close")),
                        base_units(row, "volume"),
                    )
                    for row in event["candles"]
                ]
            case _:
                return None
    if message["channel"] == "ticker":
        found += [
            Bbo(
                *(row["product_id"], time),
                best(row["best_bid"], row["best_bid_quantity"]),
                best(row["best_ask"], row["best_ask_quantity"]),
            )
            for event in message["events"]
            for row in event["tickers"]
        ]
    return found


def coinbase_exchange(message: Any) -> list[Event] | None:
    symbol, time = message.get("product_id", ""), rfc3339(message.get("time"))
    match message["type"]:
        case "snapshot":
            return [
                Book(symbol, time, snapshot=True, bids=pairs(message["bids"]), asks=pairs(message["asks"]))
            ]
        case "l2update":
            bids, asks = (
                [(Decimal(price), Decimal(qty)) for word, price, qty in message["changes"] if word == side]
                for side in ("buy", "sell")
            )
            return [Book(symbol, time, snapshot=False, bids=bids, asks=asks)]
        case "match" | "last_match":
            trade = Trade(
                *(symbol, time, Decimal(message["price"]), Decimal(message["size"])),
                *(words(message["side"], "sell", "buy"), str(message["trade_id"]), 0, 1),
                message["sequence"],
            )
            return [trade, *_orders(message)] if message["type"] == "match" else [trade]
        case "received" | "open" | "done" | "change":
            return _orders(message)
        case "ticker":
            figures = prices(message, "price", "open_24h", "high_24h", "low_24h")
            found: list[Event] = [
                Ticker(symbol, time, figures, real(message["volume_24h"]), None, message["sequence"])
            ]
            if "best_bid_size" in message:
                bid = best(message["best_bid"], message["best_bid_size"])
                ask = best(message["best_ask"], message["best_ask_size"])
                found.append(Bbo(symbol, time, bid, ask, message["sequence"]))
            return found
    return None


def _orders(message: Any) -> list[Event]:
    """A message of the channel `full`, by "Full Channel" of the documentation."""
    rows: tuple[Order, ...] = ()
    if message["type"] != "received" and not (message["type"] == "change" and "new_size" not in message):
        verb, id_name, size = {
            "open": ("add", "order_id", "remaining_size"),
            "done": ("delete", "order_id", ""),
            "change": ("modify", "order_id", "new_size"),
            "match": ("execute", "maker_order_id", "size"),
        }[message["type"]]
        price = message.get("new_price") if verb == "modify" else message["price"] if verb == "add" else None
        trade = message["trade_id"] if verb == "execute" else 0
        is_bid = {"buy": True, "sell": False}[message["side"]]
        order = Order(
            *(verb, uuid_key(message[id_name]), is_bid, None if price is None else Decimal(price)),
            *(Decimal(message[size]) if size else None, None, trade),
        )
        rows = (order,)
    time = rfc3339(message.get("time"))
    return [Orders(message["product_id"], time, snapshot=False, rows=rows, last=message["sequence"])]


REFERENCES = {
    "coinbase": Reference(
        lambda: coinbase,
        frozenset({Means.CONNECTION}),
        connection_number=lambda message: message.get("sequence_num"),
        samples=("coinbase/ws_*.json",),
        lists=("coinbase/http_products*.json",),
    ),
    "coinbase_exchange": Reference(lambda: coinbase_exchange, frozenset()),
}
