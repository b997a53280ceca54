"""What Deribit's messages say, by `json` and `Decimal` alone: see plain_venues."""

from __future__ import annotations

from collections.abc import Iterator
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
    Level,
    Ticker,
    Trade,
    best,
    given,
    ms,
    number,
    prices,
    real,
    words,
)

OFF_BOOK = 64


def deribit(message: Any) -> list[Event] | None:
    """Channels of grouped books, and those that nobody subscribes, are left alone."""
    params = message.get("params", {})
    channel, data = params.get("channel", ""), params.get("data")
    match channel.split("."):
        case ["book", symbol, _]:
            return [book(symbol, data)]
        case ["trades", _, _]:
            return [trade(row) for row in data]
        case ["quote", symbol]:
            bid, ask = (
                best(data[f"best_{side}_price"], data[f"best_{side}_amount"]) for side in ("bid", "ask")
            )
            return [Bbo(symbol, ms(data["timestamp"]), bid, ask)]
        case ["ticker", symbol, _]:
            return list(ticker(symbol, data))
        case ["chart", "trades", symbol, resolution]:
            figures = tuple(Decimal(data[name]) for name in ("open", "high", "low", "close"))
            seconds = 86_400 if resolution == "1D" else int(resolution) * 60
            opened, volume, turnover = ms(data["tick"]) or 0, real(data["volume"]), real(data["cost"])
            candle = Candle(symbol, None, opened, seconds, closed=False, prices=figures, volume=volume)
            return [candle._replace(turnover=turnover)]
    return None


def book(symbol: str, data: Any) -> Book:
    """A whole book says so by its type, in old ones by having no previous id."""
    assert data["instrument_name"] == symbol
    prev = data.get("prev_change_id")
    snapshot = data.get("type") == "snapshot" or not prev
    bids, asks = (levels(data[side]) for side in ("bids", "asks"))
    return Book(symbol, ms(data["timestamp"]), snapshot, bids, asks, data["change_id"], prev)


def levels(rows: Any) -> list[Level]:
    for action, _, amount in rows:
        assert (action == "delete") is (Decimal(amount) == 0)
    return [(Decimal(price), Decimal(amount)) for _, price, amount in rows]


def trade(row: Any) -> Trade:
    flags = (
        (LIQUIDATION if "liquidation" in row else 0)
        | (BLOCK if "block_trade_id" in row else 0)
        | (OFF_BOOK if "combo_trade_id" in row else 0)
    )
    return Trade(
        *(row["instrument_name"], ms(row["timestamp"]), Decimal(row["price"]), Decimal(row["amount"])),
        words(row["direction"], "buy", "sell"),
        *(row["trade_id"], flags, 1, row["trade_seq"]),
    )


def ticker(symbol: str, data: Any) -> Iterator[Event]:
    time, stats = ms(data["timestamp"]), data["stats"]
    figures = number(data.get("last_price")), None, *prices(stats, "high", "low")
    volumes = real(stats.get("volume")), real(stats.get("volume_notional"))
    if any(value is not None for value in (*figures, *volumes)):
        yield Ticker(symbol, time, figures, *volumes)
    fields = given(
        mark=number(data.get("mark_price")),
        index=number(data.get("index_price")),
        settle=number(data.get("estimated_delivery_price")),
        funding_rate=number(data.get("current_funding")),
        open_interest=real(data.get("open_interest")),
    )
    yield Deriv(symbol, time, fields)


REFERENCES = {
    "deribit": Reference(
        lambda: deribit,
        frozenset({Means.CHAIN}),
        samples=("deribit/ws_*.json",),
        lists=("deribit/http_get_instruments.json",),
        gaps={"deribit/ssc2ce_dump_2020-06": 1},
    ),
}
