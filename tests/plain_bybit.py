"""What Bybit's messages say, by `json` and `Decimal` alone; see plain_venues."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from plain_events import (
    BLOCK,
    LIQUIDATION,
    Book,
    Candle,
    Deriv,
    Event,
    Ticker,
    Trade,
    decimals,
    given,
    ms,
    number,
    pairs,
    prices,
    real,
    words,
)

BYBIT_INTERVALS = {"1": 60, "5": 300, "D": 86_400}


def bybit(message: Any) -> list[Event] | None:
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
            return bybit_ticker(data, ms(message["ts"]))
        case "kline":
            return [
                Candle(
                    *(topic.split(".")[2], ms(row["timestamp"]), row["start"] * 1_000_000),
                    *(BYBIT_INTERVALS[row["interval"]], row["confirm"]),
                    tuple(Decimal(row[name]) for name in ("open", "high", "low", "close")),
                    *(real(row["volume"]), real(row["turnover"])),
                )
                for row in data
            ]
    return None


def bybit_ticker(data: Any, time: int | None) -> list[Event]:
    symbol = data["symbol"]
    found: list[Event] = []
    ticker = Ticker(
        *(symbol, time, prices(data, "lastPrice", "prevPrice24h", "highPrice24h", "lowPrice24h")),
        *(real(data.get("volume24h")), real(data.get("turnover24h"))),
    )
    if any(value is not None for value in (*ticker.prices, ticker.volume, ticker.turnover)):
        found.append(ticker)
    hours = number(data.get("fundingIntervalHour"))
    fields = given(
        mark=number(data.get("markPrice")),
        index=number(data.get("indexPrice")),
        funding_rate=number(data.get("fundingRate")),
        next_funding=ms(data.get("nextFundingTime")),
        funding_interval_s=None if hours is None else int(hours) * 3600,
        open_interest=real(data.get("openInterest")),
        oi_value=real(data.get("openInterestValue")),
    )
    return [*found, Deriv(symbol, time, fields)] if fields else found


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
    sides = {
        side: [
            (
                (Decimal(row["price"]), Decimal(row.get("size", 0))),
                (int(row["id"]), decimals(row["price"]), decimals(row.get("size"))),
            )
            for row in rows
            if row["side"] == side
        ]
        for side in ("Buy", "Sell")
    }
    both = sides["Buy"] + sides["Sell"]
    bids, asks = ([level for level, _ in sides[side]] for side in ("Buy", "Sell"))
    time = int(message["timestamp_e6"]) * 1000
    last = int(message["cross_seq"])
    return [Book(symbol, time, snapshot, bids, asks, last, marks=tuple(mark for _, mark in both))]
