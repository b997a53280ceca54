"""What the messages of six venues say, by `json` and `Decimal` alone: what the declarations are held to.

A decoder takes a message of a venue and gives its events in the order of the message, or None for a message
that is left to Python. Written from the venues' documentation, not from the declarations.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from plain_events import (
    BLOCK,
    BUY,
    LIQUIDATION,
    SELL,
    Bbo,
    Book,
    Candle,
    Deriv,
    Event,
    Level,
    Ticker,
    Trade,
    best,
    decimals,
    given,
    ms,
    number,
    pairs,
    prices,
    real,
    rfc3339,
    words,
)

# Kraken v2.


def kraken(message: Any) -> list[Event] | None:
    found: list[Event] = []
    also: list[Event] = []
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


# Kraken v1.


def kraken_v1(message: Any) -> list[Event] | None:
    """Books only. Asks and bids of one frame may stand in two objects."""
    if not isinstance(message, list):
        return None
    _, *parts, channel, symbol = message
    assert channel.startswith("book-")
    whole = {name: value for part in parts for name, value in part.items()}
    assert len(whole) == sum(map(len, parts))
    snapshot = "as" in whole
    bids, asks = (whole.get(name, []) for name in (("bs", "as") if snapshot else ("b", "a")))
    marks = tuple((0, decimals(row[0]), decimals(row[1])) for row in bids + asks)
    checksum = None if snapshot else int(whole["c"])
    return [Book(symbol, None, snapshot, pairs(bids), pairs(asks), checksum=checksum, marks=marks)]


# Bitfinex.


class Bitfinex:
    """One connection: what its numbers stand for comes with the acknowledgements. `timed`: times are sent."""

    def __init__(self, *, timed: bool = False) -> None:
        self.timed = timed
        self.bound: dict[int, tuple[str, str]] = {}

    def __call__(self, message: Any) -> list[Event] | None:
        if isinstance(message, dict):
            if message["event"] == "subscribed":
                self.bound[message["chanId"]] = (message["channel"], message["symbol"])
            return None
        number_, body, *more = message
        if body in ("hb", "cs", "tu"):
            return None
        channel, symbol = self.bound[number_]
        if body == "te":
            return [self.trade(symbol, more[0])]
        time = ms(more[-1]) if self.timed else None
        return (
            [self.trade(symbol, row) for row in body]
            if channel == "trades"
            else [self.other(channel, symbol, body, time)]
        )

    def other(self, channel: str, symbol: str, body: Any, time: int | None) -> Event:
        match channel:
            case "book":
                rows = body if not body or isinstance(body[0], list) else [body]
                sides: dict[bool, list[Level]] = {True: [], False: []}
                for price, count, amount in rows:
                    qty = abs(Decimal(amount)) if count else Decimal(0)
                    sides[Decimal(amount) > 0].append((Decimal(price), qty))
                return Book(symbol, time, rows is body, sides[True], sides[False])
            case "ticker":
                last, volume, high, low = body[6:10]
                figures = Decimal(last), None, Decimal(high), Decimal(low)
                return Ticker(symbol, time, figures, real(volume), None)
            case "status":
                fields = given(
                    index=number(body[3]),
                    next_funding=ms(body[7]),
                    funding_rate=number(body[11]),
                    mark=number(body[14]),
                    open_interest=real(body[17]),
                )
                return Deriv(symbol, ms(body[0]), fields)
        raise AssertionError(f"nobody subscribed to {channel}")

    @staticmethod
    def trade(symbol: str, row: Any) -> Trade:
        number_, time, amount, price = row
        qty = Decimal(amount)
        side = BUY if qty > 0 else SELL
        return Trade(symbol, ms(time), Decimal(price), abs(qty), side, str(number_))
