"""What Bybit's messages say, by `json` and `Decimal` alone; see plain_venues."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from conformance.reference import Borrowed, Edit, Means, Reference
from plain_events import (
    BLOCK,
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

BYBIT_INTERVALS = {"1": 60, "5": 300, "D": 86_400}


@dataclass(frozen=True)
class Bybit:
    """v5, one category."""

    category: str

    def __call__(self, message: Any) -> list[Event] | None:
        return bybit(message, self.category)


def bybit(message: Any, category: str) -> list[Event] | None:
    topic = message.get("topic", "")
    data = message.get("data")
    match topic.split(".")[0]:
        case "orderbook":
            assert topic.split(".")[2] == data["s"]
            snapshot = message["type"] == "snapshot"
            time = ms(message.get("cts"))
            return [Book(data["s"], time, snapshot, pairs(data["b"]), pairs(data["a"]), data["u"])]
        case "publicTrade":
            return [
                Trade(
                    *(row["s"], ms(row["T"]), Decimal(row["p"]), Decimal(row["v"])),
                    *(words(row["S"], "Buy", "Sell"), row["i"], BLOCK if row["BT"] else 0),
                )
                for row in data
            ]
        case "allLiquidation":
            # S is the side of the position that was closed.
            return [
                Trade(
                    *(row["s"], ms(row["T"]), Decimal(row["p"]), Decimal(row["v"])),
                    *(words(row["S"], "Sell", "Buy"), "", LIQUIDATION),
                )
                for row in data
            ]
        case "tickers":
            return bybit_ticker(data, ms(message["ts"]), category)
        case "kline":
            return [
                Candle(
                    *(topic.split(".")[2], ms(row["timestamp"]), row["start"] * 1_000_000),
                    *(BYBIT_INTERVALS[row["interval"]], row["confirm"]),
                    tuple(Decimal(row[name]) for name in ("open", "high", "low", "close")),
                    *volumes(row, category),
                )
                for row in data
            ]
    return None


def volumes(row: Any, category: str) -> tuple[float | None, float | None]:
    """In base and quote; of inverse contracts the volume is in dollars and the turnover in coins."""
    volume, turnover = real(row["volume"]), real(row["turnover"])
    return (turnover, volume) if category == "inverse" else (volume, turnover)


def bybit_ticker(data: Any, time: int | None, category: str) -> list[Event]:
    """Of inverse contracts the volume is in dollars and the turnover in coins."""
    symbol = data["symbol"]
    found: list[Event] = []
    volumes = real(data.get("volume24h")), real(data.get("turnover24h"))
    figures = prices(data, "lastPrice", "prevPrice24h", "highPrice24h", "lowPrice24h")
    ticker = Ticker(symbol, time, figures, *(volumes[::-1] if category == "inverse" else volumes))
    if any(value is not None for value in (*ticker.prices, ticker.volume, ticker.turnover)):
        found.append(ticker)
    if category == "spot":
        return found
    hours = number(data.get("fundingIntervalHour"))
    fields = given(
        mark=number(data.get("markPrice")),
        index=number(data.get("indexPrice")),
        funding_rate=number(data.get("fundingRate")),
        next_funding=ms(data.get("nextFundingTime")),
        funding_interval_s=None if hours is None else int(hours) * 3600,
        open_interest=real(data.get("openInterest")),
        oi_value=real(data.get("openInterestValue")) if category == "linear" else None,
    )
    if fields:
        found.append(Deriv(symbol, time, fields))
    if category == "option":
        bid, ask = (best(data[f"{side}Price"], data[f"{side}Size"]) for side in ("bid", "ask"))
        found.append(Bbo(symbol, time, bid, ask))
    return found


def bybit_v2(message: Any) -> list[Event] | None:
    topic, _, symbol = message.get("topic", "").partition(".")
    data = message.get("data")
    if topic == "trade":
        return [
            Trade(
                *(row["symbol"], ms(row["trade_time_ms"]), Decimal(row["price"]), Decimal(row["size"])),
                *(words(row["side"], "Buy", "Sell"), row["trade_id"]),
            )
            for row in data
        ]
    if topic != "orderBookL2_25":
        return None
    snapshot = message["type"] == "snapshot"
    rows = data["order_book"] if snapshot else [*data["delete"], *data["update"], *data["insert"]]
    bids, asks = (
        [(Decimal(row["price"]), Decimal(row.get("size", 0))) for row in rows if row["side"] == side]
        for side in ("Buy", "Sell")
    )
    time = int(message["timestamp_e6"]) * 1000
    return [Book(symbol, time, snapshot, bids, asks, int(message["cross_seq"]))]


def as_option() -> Edit:
    """Books of options have the form of the others, and another depth."""
    names = {b"BTCUSDT": b"BTC-25SEP26-100000-C", b"ETHUSDT": b"ETH-25SEP26-4000-P"}

    def edit(frame: bytes) -> bytes:
        frame = frame.replace(b"orderbook.200.", b"orderbook.100.")
        for old, new in names.items():
            frame = frame.replace(b'"s":"%s"' % old, b'"s":"%s"' % new).replace(b'.%s"' % old, b'.%s"' % new)
        return frame

    return edit


NUMBERED = frozenset({Means.PLUS_ONE})
COMMON = ("bybit/ws_orderbook_*.json", "bybit/ws_public_trade.json", "bybit/ws_kline.json")
REFERENCES = {
    "bybit": Reference(
        lambda: Bybit("spot"),
        NUMBERED,
        samples=COMMON,
        lists=("bybit/http_get_instruments_spot*.json",),
    ),
    "bybit_linear": Reference(
        lambda: Bybit("linear"),
        NUMBERED,
        samples=(*COMMON, "bybit/ws_ticker_linear.json"),
        lists=("bybit/http_get_instruments_linear*.json",),
    ),
    "bybit_inverse": Reference(
        lambda: Bybit("inverse"),
        NUMBERED,
        samples=COMMON,
        lists=("bybit/http_get_instruments_inverse*.json",),
        borrowed=Borrowed("bybit_linear", "books of the linear contracts, which have the same form"),
    ),
    "bybit_option": Reference(
        lambda: Bybit("option"),
        NUMBERED,
        samples=("bybit/ws_ticker_option.json",),
        lists=("bybit/http_get_instruments_option*.json",),
        borrowed=Borrowed("bybit_linear", "books of the linear contracts under names of options", as_option),
    ),
    "bybit_v2": Reference(lambda: bybit_v2, frozenset()),
}
