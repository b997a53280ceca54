"""What Upbit's messages say, and those of Bithumb's socket of 2024, which has the same forms: by `json` and
`Decimal` alone, from the documentation.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from conformance.reference import Means, Reference
from plain_events import Bbo, Book, Candle, Event, Ticker, Trade, Trading, best, real, words

LONG = {
    "type": "ty",
    "code": "cd",
    "timestamp": "tms",
    "orderbook_units": "obu",
    "bid_price": "bp",
    "bid_size": "bs",
    "ask_price": "ap",
    "ask_size": "as",
    "trade_price": "tp",
    "trade_volume": "tv",
    "trade_timestamp": "ttms",
    "sequential_id": "sid",
    "ask_bid": "ab",
    "best_bid_price": "bbp",
    "best_bid_size": "bbs",
    "best_ask_price": "bap",
    "best_ask_size": "bas",
    "acc_trade_volume_24h": "atv24h",
    "acc_trade_price_24h": "atp24h",
    "market_state": "ms",
    "is_trading_suspended": "its",
    "candle_date_time_utc": "cdttmu",
    "opening_price": "op",
    "high_price": "hp",
    "low_price": "lp",
    "candle_acc_trade_volume": "catv",
    "candle_acc_trade_price": "catp",
}
STATES = {"ACTIVE": 1, "PREVIEW": 6, "DELISTED": 9}
SECONDS = {"s": 1, "m": 60}


def time_of(value: int) -> int:
    return value * (1_000 if value > 10**14 else 1_000_000)


def upbit(message: Any) -> list[Event] | None:
    if not isinstance(message, dict):
        return None
    row = {LONG.get(name, name): value for name, value in message.items()}
    kind = row.get("ty", "")
    if kind not in {"trade", "orderbook", "ticker"} and not kind.startswith("candle."):
        return None
    symbol, pushed = row["cd"].split(".")[0], time_of(row["tms"])
    if kind == "trade":
        return trade(symbol, pushed, row)
    if kind == "orderbook":
        units = [{LONG.get(name, name): value for name, value in unit.items()} for unit in row["obu"]]
        bids, asks = (
            [(Decimal(unit[price]), Decimal(unit[qty])) for unit in units if unit[price]]
            for price, qty in (("bp", "bs"), ("ap", "as"))
        )
        return [Book(symbol, pushed, snapshot=True, bids=bids, asks=asks)]
    if kind == "ticker":
        figures = (Decimal(row["tp"]), None, None, None)
        found: list[Event] = [
            Ticker(symbol, pushed, figures, real(row.get("atv24h")), real(row.get("atp24h")))
        ]
        state = 4 if row.get("its") is True else STATES.get(row.get("ms", ""))
        return found if state is None else [*found, Trading(symbol, None, state)]
    opened = datetime.fromisoformat(row["cdttmu"]).replace(tzinfo=UTC)
    length = kind.removeprefix("candle.")
    return [
        Candle(
            *(symbol, pushed, int(opened.timestamp()) * 10**9, int(length[:-1]) * SECONDS[length[-1]], False),
            tuple(Decimal(row[name]) for name in ("op", "hp", "lp", "tp")),
            *(real(row["catv"]), real(row["catp"])),
        )
    ]


def trade(symbol: str, pushed: int, row: Any) -> list[Event]:
    found: list[Event] = [
        Trade(
            *(symbol, time_of(row["ttms"]), Decimal(row["tp"]), Decimal(row["tv"])),
            *(words(row["ab"], "BID", "ASK"), str(row["sid"])),
        )
    ]
    if "bbp" in row and "bap" in row:
        found.append(Bbo(symbol, pushed, best(row["bbp"], row["bbs"]), best(row["bap"], row["bas"])))
    return found


REFERENCES = {
    "upbit": Reference(
        lambda: upbit,
        frozenset({Means.WHOLE}),
        back_ns=1_000_000_000,
        resized={"upbit/spot_2021-04-17": frozenset({"BTC-XTZ", "BTC-ITAM"})},
    )
}
