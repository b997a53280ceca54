"""What the messages of Kraken's three protocols say, by `json` and `Decimal` alone, from documentation."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from conformance.reference import Means, Reference
from plain_events import (
    BLOCK,
    LIQUIDATION,
    Bbo,
    Book,
    Candle,
    Deriv,
    Event,
    Order,
    Orders,
    Ticker,
    Trade,
    Trading,
    best,
    decimals,
    given,
    ms,
    number,
    pairs,
    prices,
    real,
    rfc3339,
    text_key,
    words,
)

OFF_BOOK = 64


def _order(row: Any, *, is_bid: bool) -> Order:
    """An order of `level3`; what a deletion says of its quantity means nothing."""
    verb = row.get("event", "add")
    return Order(
        *(verb, text_key(row["order_id"]), is_bid, Decimal(row["limit_price"])),
        None if verb == "delete" else Decimal(row["order_qty"]),
        *(rfc3339(row["timestamp"]), 0, (decimals(row["limit_price"]), decimals(row["order_qty"]))),
    )


def kraken(message: Any) -> list[Event] | None:
    """v2."""
    found: list[Event] = []
    also: list[Event] = []
    if not isinstance(message.get("data", []), list):
        return None
    for row in message.get("data", []):
        symbol, time = row.get("symbol", ""), rfc3339(row.get("timestamp"))
        match message["channel"]:
            case "book":
                bids, asks = (
                    [(Decimal(each["price"]), Decimal(each["qty"])) for each in row[side]]
                    for side in ("bids", "asks")
                )
                marks = tuple(
                    (0, decimals(each["price"]), decimals(each["qty"])) for each in row["bids"] + row["asks"]
                )
                snapshot = message["type"] == "snapshot"
                found.append(Book(symbol, time, snapshot, bids, asks, checksum=row["checksum"], marks=marks))
            case "level3":
                rows = tuple(
                    _order(each, is_bid=side == "bids") for side in ("bids", "asks") for each in row[side]
                )
                is_whole = message["type"] == "snapshot"
                found.append(Orders(symbol, time, is_whole, rows, checksum=row["checksum"]))
            case "trade":
                found.append(
                    Trade(
                        *(symbol, time, Decimal(row["price"]), Decimal(row["qty"])),
                        *(words(row["side"], "buy", "sell"), str(row["trade_id"])),
                    )
                )
            case "ticker":
                figures = prices(row, "last", None, "high", "low")
                if any(value is not None for value in (*figures, row.get("volume"))):
                    found.append(Ticker(symbol, time, figures, real(row.get("volume")), None))
                also.append(
                    Bbo(symbol, time, best(row["bid"], row["bid_qty"]), best(row["ask"], row["ask_qty"]))
                )
            case "ohlc":
                found.append(
                    Candle(
                        *(symbol, time, rfc3339(row["interval_begin"]) or 0, row["interval"] * 60, False),
                        tuple(Decimal(row[name]) for name in ("open", "high", "low", "close")),
                        *(real(row["volume"]), None, row["trades"]),
                    )
                )
            case _:
                return None
    return found + also if "data" in message else None


def kraken_v1(message: Any) -> list[Event] | None:
    """Asks and bids of one frame may stand in two objects."""
    if not isinstance(message, list):
        return None
    _, *parts, channel, symbol = message
    if channel == "trade":
        (rows,) = parts
        return [
            Trade(
                *(symbol, seconds(row[2]), Decimal(row[0]), Decimal(row[1])),
                *(words(row[3], "b", "s"), ""),
            )
            for row in rows
        ]
    if channel == "ticker":
        (row,) = parts
        figures = tuple(Decimal(text) for text in (row["c"][0], row["o"][1], row["h"][1], row["l"][1]))
        bid, ask = (best(row[side][0], row[side][2]) for side in ("b", "a"))
        return [Ticker(symbol, None, figures, real(row["v"][1]), None), Bbo(symbol, None, bid, ask)]
    assert channel.startswith("book-")
    whole = {name: value for part in parts for name, value in part.items()}
    assert len(whole) == sum(map(len, parts))
    snapshot = "as" in whole
    bids, asks = (whole.get(name, []) for name in (("bs", "as") if snapshot else ("b", "a")))
    marks = tuple((0, decimals(row[0]), decimals(row[1])) for row in bids + asks)
    checksum = None if snapshot else int(whole["c"])
    return [Book(symbol, None, snapshot, pairs(bids), pairs(asks), checksum=checksum, marks=marks)]


def seconds(text: str) -> int:
    return int(Decimal(text) * 10**9)


FUTURES_FLAGS = {
    "fill": 0,
    "liquidation": LIQUIDATION,
    "block": BLOCK,
    "assignment": OFF_BOOK,
    "termination": OFF_BOOK,
}


def kraken_futures(message: Any) -> list[Event] | None:
    """Sizes of inverse products are dollars; the rate of funding is the relative one."""
    if "event" in message:
        return None
    symbol, sent = message.get("product_id", ""), ms(message.get("timestamp"))
    match message.get("feed"):
        case "book_snapshot":
            bids, asks = (
                [(Decimal(row["price"]), Decimal(row["qty"])) for row in message[side]]
                for side in ("bids", "asks")
            )
            return [Book(symbol, sent, snapshot=True, bids=bids, asks=asks, last=message["seq"])]
        case "book":
            level = [(Decimal(message["price"]), Decimal(message["qty"]))]
            bids, asks = (level, []) if message["side"] == "buy" else ([], level)
            return [Book(symbol, sent, snapshot=False, bids=bids, asks=asks, last=message["seq"])]
        case "trade" | "trade_snapshot":
            return [futures_trade(row) for row in message.get("trades", [message])]
        case "ticker":
            return futures_ticker(symbol, message)
    return None


def futures_trade(row: Any) -> Trade:
    return Trade(
        *(row["product_id"], ms(row["time"]), Decimal(row["price"]), Decimal(row["qty"])),
        words(row["side"], "buy", "sell"),
        *(row["uid"], FUTURES_FLAGS[row["type"]], 1, row["seq"]),
    )


def rate(value: Any) -> Decimal | None:
    """As the wire has it: twelve decimals, half away from zero."""
    exact = number(value)
    return None if exact is None else exact.quantize(Decimal("1e-12"), rounding="ROUND_HALF_UP")


def futures_ticker(symbol: str, row: Any) -> list[Event]:
    time = ms(row["time"])
    linear = symbol[1] == "F"
    figures = prices(row, "last", "open", "high", "low")
    volume = real(row.get("volume")) if linear else None
    found: list[Event] = [Ticker(symbol, time, figures, volume, real(row.get("volumeQuote")))]
    found.append(Bbo(symbol, time, best(row["bid"], row["bid_size"]), best(row["ask"], row["ask_size"])))
    fields = given(
        mark=number(row.get("markPrice")),
        index=number(row.get("index")),
        funding_rate=rate(row.get("relative_funding_rate")),
        next_rate=rate(row.get("relative_funding_rate_prediction")),
        next_funding=ms(row.get("next_funding_rate_time")),
        open_interest=real(row.get("openInterest")),
    )
    found.append(Deriv(symbol, time, fields))
    state = 4 if row["suspended"] else 6 if row.get("post_only") else 1
    return [*found, Trading(symbol, None, state)]


REFERENCES = {
    "kraken": Reference(
        lambda: kraken,
        frozenset({Means.CHECKSUM}),
        depth=10,
        samples=("kraken/ws_[!f]*.json",),
        lists=("kraken/http_asset_pairs*.json",),
        unnamed="dark pool",
    ),
    "kraken_v1": Reference(lambda: kraken_v1, frozenset({Means.CHECKSUM}), depth=1000, unnamed="dark pool"),
    "kraken_futures": Reference(
        lambda: kraken_futures,
        frozenset({Means.PLUS_ONE}),
        samples=("kraken/ws_futures_*.json",),
        lists=("kraken/http_futures_instruments.json",),
    ),
}
