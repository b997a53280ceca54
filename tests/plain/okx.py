"""What OKX's messages say, by `json` and `Decimal` alone: see plain_venues."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from conformance.reference import Borrowed, Edit, Means, Reference
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
    decimals,
    given,
    ms,
    number,
    pairs,
    prices,
    real,
    words,
)

INTERVALS = {"candle1m": 60, "candle1D": 86_400, "candle1Dutc": 86_400}


@dataclass(frozen=True)
class Okx:
    """One dialect of one product. `spot`: quantities are coins; None = as the message says."""

    spot: bool | None
    channels: frozenset[str]
    numbered: bool = True

    def __call__(self, message: Any) -> list[Event] | None:
        arg = message.get("arg", {}) if isinstance(message, dict) else {}
        if arg.get("channel") not in self.channels or "data" not in message:
            return None
        return [event for row in message["data"] for event in self.row(arg, message.get("action"), row)]

    def row(self, arg: Any, action: str | None, row: Any) -> Iterator[Event]:
        channel = arg["channel"]
        if channel.startswith("candle"):
            opened, *ohlc, lots, coins, turnover, confirm = row
            figures, closed = tuple(map(Decimal, ohlc)), confirm == "1"
            volume = real(lots if self.spot else coins)
            open_time, seconds = ms(opened) or 0, INTERVALS[channel]
            yield Candle(arg["instId"], None, open_time, seconds, closed, figures, volume, real(turnover))
            return
        time = ms(row.get("ts"))
        match channel:
            case "books" | "books-l2-tbt" | "books5":
                yield self.book(arg["instId"], time, action in {None, "snapshot"}, row)
            case "bbo-tbt":
                bid, ask = (best(side[0][0], side[0][1], side[0][3]) for side in (row["bids"], row["asks"]))
                yield Bbo(arg["instId"], time, bid, ask, row.get("seqId"))
            case "trades" | "trades-all":
                yield Trade(
                    *(row["instId"], time, Decimal(row["px"]), Decimal(row["sz"])),
                    *(words(row["side"], "buy", "sell"), row["tradeId"], 0, int(row.get("count", 1))),
                    row.get("seqId"),
                )
            case "liquidation-orders":
                for each in row["details"]:
                    yield Trade(
                        *(row["instId"], ms(each["ts"]), Decimal(each["bkPx"]), Decimal(each["sz"])),
                        *(words(each["side"], "buy", "sell"), "", LIQUIDATION),
                    )
            case "tickers":
                yield from self.ticker(time, row)
            case _:
                yield Deriv(row["instId"], time, state(channel, row))

    def book(self, symbol: str, time: int | None, snapshot: bool, row: Any) -> Book:
        """`prevSeqId` of -1 is none. Checksums are over the text, so that its digits count."""
        bids, asks = pairs(row["bids"]), pairs(row["asks"])
        marks = tuple((0, decimals(each[0]), decimals(each[1])) for each in row["bids"] + row["asks"])
        prev = row.get("prevSeqId", -1)
        last, prev = (row.get("seqId"), None if prev == -1 else prev) if self.numbered else (None, None)
        return Book(symbol, time, snapshot, bids, asks, last, prev, row.get("checksum"), marks)

    def ticker(self, time: int | None, row: Any) -> Iterator[Event]:
        spot = row["instType"] == "SPOT" if self.spot is None else self.spot
        volume, turnover = (row["vol24h"], row["volCcy24h"]) if spot else (row["volCcy24h"], None)
        figures = prices(row, "last", "open24h", "high24h", "low24h")
        yield Ticker(row["instId"], time, figures, real(volume), real(turnover))
        if not self.numbered:
            yield Bbo(row["instId"], time, best(row["bidPx"], row["bidSz"]), best(row["askPx"], row["askSz"]))


def state(channel: str, row: Any) -> dict[str, Any]:
    """What a message of a contract or an index says of it."""
    if channel == "mark-price":
        return {"mark": Decimal(row["markPx"])}
    if channel == "index-tickers":
        return {"index": Decimal(row["idxPx"])}
    if channel == "open-interest":
        return {"open_interest": float(row["oi"])}
    assert channel == "funding-rate"
    return given(
        funding_rate=number(row["fundingRate"]),
        next_rate=number(row["nextFundingRate"]),
        next_funding=ms(row["fundingTime"]),
    )


COMMON = frozenset({"books", "books5", "bbo-tbt", "trades", "trades-all", "tickers", *INTERVALS})
SPOT = Okx(spot=True, channels=COMMON)
CONTRACT = Okx(
    spot=False,
    channels=COMMON | {"mark-price", "index-tickers", "open-interest", "funding-rate", "liquidation-orders"},
)
IN_2022 = Okx(spot=None, channels=frozenset({"books", "books-l2-tbt", "trades", "tickers"}), numbered=False)
OKCOIN = Okx(spot=True, channels=frozenset({"books", "trades", "tickers", *INTERVALS}), numbered=False)


def numbered(product: str) -> Callable[[], Edit]:
    """Books of 2022 as they are today: numbered, and with checksum 0. Their ends are those of one product."""

    def start() -> Edit:
        last: dict[str, int] = {}

        def edit(frame: bytes) -> bytes:
            message = json.loads(frame)
            arg = message.get("arg", {})
            if "data" not in message or arg.get("channel") not in {"books", "books-l2-tbt"}:
                return frame
            native = arg["instId"] = f"{'-'.join(arg['instId'].split('-')[:2])}{product}"
            arg["channel"] = "books"
            for row in message["data"]:
                before = last.get(native, 0)
                row["prevSeqId"] = -1 if message["action"] == "snapshot" else before
                row["seqId"] = last[native] = before + 3
                row["checksum"] = 0
            return json.dumps(message, separators=(",", ":")).encode()

        return edit

    return start


CHAINED = frozenset({Means.CHAIN})
WHY = "books of 2022, numbered as the documentation says of today, with checksum 0"
REFERENCES = {
    name: Reference(
        lambda plain=plain: plain,  # type: ignore[misc]
        CHAINED,
        samples=("okx/ws_*.json",),
        lists=(f"okx/http_get_instruments_{kind}.json",),
        borrowed=Borrowed("okx_2022", WHY, numbered(ending)),
    )
    for name, plain, kind, ending in (
        ("okx", SPOT, "spot", ""),
        ("okx_swap", CONTRACT, "swap", "-SWAP"),
        ("okx_futures", CONTRACT, "futures", "-261225"),
        ("okx_option", CONTRACT, "option", "-261225-92000-C"),
    )
} | {
    "okx_2022": Reference(
        lambda: IN_2022,
        frozenset({Means.CHECKSUM}),
        resized={"okx/v5_tbt_2022-02-27": frozenset({"PROPS-ETH"})},
    ),
    "okcoin": Reference(lambda: OKCOIN, frozenset({Means.CHECKSUM})),
}
