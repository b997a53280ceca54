"""What Binance's messages say, by `json` and `Decimal` alone, from the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from conformance.reference import Means, Reference
from plain_events import (
    LIQUIDATION,
    Bbo,
    Book,
    Candle,
    Deriv,
    Event,
    Ticker,
    Trade,
    best,
    given,
    ms,
    number,
    pairs,
    prices,
    real,
    words,
)

OFF_BOOK = 64
SECONDS = {"1m": 60, "1h": 3_600, "1d": 86_400}


@dataclass(frozen=True)
class Binance:
    """`futures`: times of the matching engine, chained books. `inverse`: volumes count contracts."""

    futures: bool = False
    inverse: bool = False

    def __call__(self, message: Any) -> list[Event] | None:  # noqa: PLR0911 - one for each event
        if not isinstance(message, dict):
            return None
        data = message.get("data", message)
        match data.get("e"):
            case "depthUpdate":
                return [self.book(data)]
            case "trade":
                off = OFF_BOOK if data.get("X", "MARKET") != "MARKET" else 0
                return [self.trade(data, "t", off)]
            case "aggTrade":
                return [self.trade(data, "a", 0, data["l"] - data["f"] + 1)]
            case "24hrTicker":
                figures = prices(data, "c", "o", "h", "l")
                return [Ticker(data["s"], ms(data["E"]), figures, *self.volumes(data))]
            case "kline":
                return self.candle(data, data["k"])
            case "markPriceUpdate":
                return [self.mark(data)]
            case "forceOrder":
                row = data["o"]
                side = words(row["S"], "BUY", "SELL")
                price, qty = Decimal(row["ap"]), Decimal(row["z"])
                return [Trade(row["s"], ms(row["T"]), price, qty, side, "", LIQUIDATION)]
            case None | "bookTicker" if {"u", "b", "B", "a", "A"} <= data.keys():
                bid, ask = best(data["b"], data["B"]), best(data["a"], data["A"])
                return [Bbo(data["s"], ms(data.get("T")), bid, ask, data["u"])]
        return None

    def book(self, data: Any) -> Book:
        time, prev = (ms(data["T"]), data["pu"]) if self.futures else (ms(data["E"]), None)
        first = data["U"] if data["U"] != data["u"] else None
        bids, asks = pairs(data["b"]), pairs(data["a"])
        return Book(data["s"], time, *(False, bids, asks), data["u"], prev, first=first)

    @staticmethod
    def trade(data: Any, name: str, flags: int, fills: int = 1) -> Trade:
        """`m`: the buyer was the maker, so that the seller took."""
        side = 2 if data["m"] else 1
        price, qty = Decimal(data["p"]), Decimal(data["q"])
        return Trade(data["s"], ms(data["T"]), price, qty, side, str(data[name]), flags, fills)

    def volumes(self, data: Any) -> tuple[float | None, float | None]:
        return (real(data["q"]), None) if self.inverse else (real(data["v"]), real(data["q"]))

    def candle(self, data: Any, row: Any) -> list[Event] | None:
        if row["i"] == "1M":
            return None
        figures = tuple(Decimal(row[name]) for name in "ohlc")
        opened = ms(row["t"]) or 0
        times = data["s"], ms(data["E"]), opened, SECONDS[row["i"]]
        return [Candle(*times, row["x"], figures, *self.volumes(row), row["n"])]

    @staticmethod
    def mark(data: Any) -> Deriv:
        """A dated contract has no funding: T is 0."""
        fields = given(mark=number(data["p"]), index=number(data.get("i")), settle=number(data.get("P")))
        if data["T"]:
            fields |= given(funding_rate=number(data["r"]), next_funding=ms(data["T"]))
        return Deriv(data["s"], ms(data["E"]), fields)


def rest(body: Any, symbol: str) -> Book:
    bids, asks = pairs(body["bids"]), pairs(body["asks"])
    return Book(symbol, ms(body.get("T")), *(True, bids, asks), body["lastUpdateId"])


SPOT = Reference(
    Binance,
    frozenset({Means.RANGE}),
    rest=rest,
)
STREAMS = "binance/futures_market_data_json_*_stream*.json"
REFERENCES = {
    "binance": SPOT,
    "binance_us": SPOT,
    "binance_tr": SPOT,
    "binance_usdm": Reference(
        lambda: Binance(futures=True), frozenset({Means.CHAIN}), rest=rest, samples=(STREAMS,)
    ),
    "binance_coinm": Reference(
        lambda: Binance(futures=True, inverse=True),
        frozenset({Means.CHAIN}),
        rest=rest,
    ),
}
