"""What the messages of six venues say, by `json` and `Decimal` alone: what the declarations are held to.

A decoder takes a message of a venue and gives its events in the order of the message, or None for a message
that is left to Python. Written from the venues' documentation, not from the declarations.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from plain_events import (
    BUY,
    SELL,
    Book,
    Deriv,
    Event,
    Level,
    Ticker,
    Trade,
    given,
    ms,
    number,
    real,
)

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
