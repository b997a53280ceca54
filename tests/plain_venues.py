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
    words,
)

# Bybit.

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


# OKX.

OKX_CHANNELS = {
    *("books", "books-l2-tbt", "books5", "bbo-tbt", "trades", "trades-all", "tickers"),
    *("mark-price", "funding-rate", "open-interest"),
}
OKX_INTERVALS = {"candle1m": 60, "candle1D": 86_400, "candle1Dutc": 86_400}


def okx(message: Any) -> list[Event] | None:
    """`prev` of -1 is none."""
    arg = message.get("arg", {}) if isinstance(message, dict) else {}
    channel = arg.get("channel")
    if channel not in OKX_CHANNELS | OKX_INTERVALS.keys() or "data" not in message:
        return None
    return [event for row in message["data"] for event in okx_row(arg, channel, message.get("action"), row)]


def okx_row(arg: Any, channel: str, action: str | None, row: Any) -> Iterator[Event]:
    symbol = arg["instId"]
    if channel.startswith("candle"):
        opened, *ohlc, _, _, turnover, confirm = row
        figures = tuple(map(Decimal, ohlc))
        closed = confirm == "1"
        yield Candle(
            symbol, None, ms(opened) or 0, OKX_INTERVALS[channel], closed, figures, None, real(turnover)
        )
        return
    time = ms(row.get("ts"))
    match channel:
        case "books" | "books-l2-tbt" | "books5":
            prev = row.get("prevSeqId", -1)
            snapshot = action in {None, "snapshot"}
            marks = tuple((0, decimals(each[0]), decimals(each[1])) for each in row["bids"] + row["asks"])
            ids = row.get("seqId"), None if prev == -1 else prev
            proof = None if channel == "books5" else row.get("checksum"), marks
            yield Book(symbol, time, snapshot, pairs(row["bids"]), pairs(row["asks"]), *ids, *proof)
        case "bbo-tbt":
            bid, ask = (best(side[0][0], side[0][1], side[0][3]) for side in (row["bids"], row["asks"]))
            yield Bbo(symbol, time, bid, ask, row["seqId"])
        case "trades" | "trades-all":
            yield Trade(
                *(row["instId"], time, Decimal(row["px"]), Decimal(row["sz"])),
                *(words(row["side"], "buy", "sell"), row["tradeId"], 0, int(row.get("count", 1))),
            )
        case "tickers":
            spot = row["instType"] == "SPOT"
            volume, turnover = (row["vol24h"], row["volCcy24h"]) if spot else (row["volCcy24h"], None)
            figures_24h = prices(row, "last", "open24h", "high24h", "low24h")
            yield Ticker(symbol, time, figures_24h, real(volume), real(turnover))
            yield Bbo(symbol, time, best(row["bidPx"], row["bidSz"]), best(row["askPx"], row["askSz"]))
        case "mark-price":
            yield Deriv(symbol, time, {"mark": Decimal(row["markPx"])})
        case "funding-rate":
            rates = number(row["fundingRate"]), number(row["nextFundingRate"])
            fields = given(funding_rate=rates[0], next_rate=rates[1], next_funding=ms(row["fundingTime"]))
            yield Deriv(symbol, time, fields)
        case "open-interest":
            yield Deriv(symbol, time, {"open_interest": float(row["oi"])})


def okx_2022(message: Any) -> list[Event] | None:
    """Recordings of 2022: no numbers."""
    events = okx(message)
    if events is not None:
        return [
            event._replace(last=None, prev=None) if isinstance(event, Book) else event for event in events
        ]
    return None


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
