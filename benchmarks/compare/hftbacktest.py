"""hftbacktest's HashMap market depth, driven by its own feed loop to the end of the data.

The events are local ones only: with the exchange's side it would keep two books, and its time is per
book.
Ten books are ten backtests one after the other, because more assets in one make its loop slower.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.binding import event_dtype

from benchmarks.messages import Books, MessageSet, scaled_book

START_NS = 1_000_000
"""Time of the snapshot; each message comes a microsecond after the one before."""
STEP_NS = 1_000

Levels = Sequence[Sequence[str]]


def events(messages: MessageSet, symbol: str) -> Any:
    """The snapshot and the depth updates of a symbol as its feed data."""
    snapshot = json.loads(messages.snapshots[symbol])
    rows: list[tuple[Any, ...]] = []

    def add(at: int, bids: Levels, asks: Levels) -> None:
        for side, levels in ((BUY_EVENT, bids), (SELL_EVENT, asks)):
            flags = DEPTH_EVENT | LOCAL_EVENT | side
            rows.extend((flags, at, at, float(price), float(qty), 0, 0, 0.0) for price, qty in levels)

    add(START_NS, snapshot["bids"], snapshot["asks"])
    diffs = [diff for diff in messages.diffs if diff["s"] == symbol]
    for number, diff in enumerate(diffs, 1):
        add(START_NS + number * STEP_NS, diff["b"], diff["a"])
    return np.array(rows, dtype=event_dtype)


def tick_size(messages: MessageSet, symbol: str) -> float:
    """A step that all prices of the symbol are whole at."""
    prices = [level[0] for diff in messages.diffs if diff["s"] == symbol for level in diff["b"] + diff["a"]]
    digits = max(len(price.partition(".")[2].rstrip("0")) for price in prices)
    return float(f"1e-{digits}")


FEEDS: dict[str, dict[str, tuple[Any, float]]] = {}
"""Of each set, events and tick of its symbols: to make them is no part of a pass."""


class Handler:
    """The books of a message set."""

    def __init__(self, messages: MessageSet) -> None:
        made = FEEDS.setdefault(messages.name, {})
        for symbol in messages.snapshots.keys() - made.keys():
            made[symbol] = (events(messages, symbol), tick_size(messages, symbol))
        self.tests = {symbol: backtest(*made[symbol]) for symbol in messages.snapshots}

    def run(self) -> None:
        for test in self.tests.values():
            test._goto_end()

    def books(self) -> Books:
        books = {}
        for symbol, test in self.tests.items():
            depth = test.depth(0).snapshot()
            sides = [
                sorted(((row["px"], row["qty"]) for row in depth if row["ev"] & side == side), reverse=best)
                for side, best in ((BUY_EVENT, True), (SELL_EVENT, False))
            ]
            books[symbol] = scaled_book(*sides)
        return books

    def __del__(self) -> None:
        for test in self.tests.values():
            test.close()


def backtest(feed: Any, tick: float) -> Any:
    """A backtest that has taken the snapshot."""
    asset = (
        BacktestAsset()
        .data(feed)
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0, 0)
        .tick_size(tick)
        .lot_size(1e-8)
        .last_trades_capacity(0)
    )
    test = HashMapMarketDepthBacktest([asset])
    test.elapse(STEP_NS // 2)
    return test
