"""hftbacktest's own queue models on the events of a recording, beside our rows of their formulas.

    OUTCRIER_DATA=... PYTHONPATH=python .venv-bench/bin/python -m benchmarks.l3.hftbacktest_models [RECORDING]

hftbacktest does not tell where an order stands, so fills are compared: of the same test orders of one lot, at
the best levels, that rest for a minute, without latency. Prints for each model the part that each has filled,
how many test orders both judge alike, how far the times of fills are apart, and the fill bias of both.
hftbacktest fills an order also when the other side's best price comes to its price, which is no fill in the
recording ("NoPartialFillExchange", docs of 2.4), and when half a lot more than was before it traded. Takes
half a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    FILLED,
    GTC,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.binding import event_dtype
from numba import njit

from outcrier.bench.blocks import BLOCK_NS
from outcrier.bench.found import HORIZON_NS, RULES, Scores
from outcrier.bench.levels import batches
from outcrier.bench.places import Bench
from outcrier.bench.sets import SETS, OrderSet, order_set, starts
from outcrier.capture.library import data_folder
from outcrier.order_files import OrderFile
from outcrier.orders import OrderBook, Side

MODELS = {
    "always behind": lambda asset: asset.risk_adverse_queue_model(),
    "proportional": lambda asset: asset.power_prob_queue_model(1.0),
    "power 2": lambda asset: asset.power_prob_queue_model(2.0),
    "power 3": lambda asset: asset.power_prob_queue_model(3.0),
    "logarithmic": lambda asset: asset.log_prob_queue_model(),
}
"""By the names of our rows."""

JOIN, LEAVE = 0, 1

WAIT = False
"""For the answer to an order: there is no latency."""


def market(file: OrderFile, when: range) -> tuple[Any, Any]:
    """The messages of levels and trades as its feed data, and what the test orders do: time, JOIN or LEAVE,
    number, and price (below 0: an ask).
    """
    book = OrderBook(file.tick)
    price_unit, qty_unit = 10.0**file.price_exp, 10.0**file.qty_exp
    both = EXCH_EVENT | LOCAL_EVENT
    rows: list[tuple[Any, ...]] = []
    steps: list[tuple[int, int, int, int]] = []
    begun = number = 0
    for batch in batches(file):
        for trade in batch.trades:
            flags = TRADE_EVENT | both | (BUY_EVENT if trade.side is Side.ASK else SELL_EVENT)
            rows.append(
                (flags, batch.time, batch.time, trade.price * price_unit, trade.qty * qty_unit, 0, 0, 0.0)
            )
        for event in batch.events:
            if len(event.ops):
                book.apply(event.ops, event.ts)
        for side, price in batch.touched:
            flags = DEPTH_EVENT | both | (BUY_EVENT if side is Side.BID else SELL_EVENT)
            qty = book.level(side, price).qty * qty_unit
            rows.append((flags, batch.time, batch.time, price * price_unit, qty, 0, 0, 0.0))
        while begun < len(when) and when[begun] <= batch.time:
            for side in Side:
                best = book.best(side)
                if best is not None:
                    price = best.price if side is Side.BID else -best.price
                    steps.append((batch.time, JOIN, number, price))
                    steps.append((batch.time + HORIZON_NS, LEAVE, number, price))
                    number += 1
            begun += 1
    return np.array(rows, dtype=event_dtype), np.array(sorted(steps), np.int64)


@njit  # type: ignore[untyped-decorator]
def follow(backtest: Any, steps: Any, price_unit: float, lot: float, filled_at: Any) -> None:
    """Does what the test orders do; when each was filled, 0 = it was not."""
    backtest.elapse(0)  # Its time begins with the first event.
    for at in range(len(steps)):
        time, action, number, price = steps[at]
        if time > backtest.current_timestamp and backtest.elapse(time - backtest.current_timestamp) != 0:
            return
        if action == JOIN and price > 0:
            backtest.submit_buy_order(0, number, price * price_unit, lot, GTC, LIMIT, WAIT)
        elif action == JOIN:
            backtest.submit_sell_order(0, number, -price * price_unit, lot, GTC, LIMIT, WAIT)
        else:
            order = backtest.orders(0).get(number)
            if order is not None and order.status == FILLED:
                filled_at[number] = order.exch_timestamp
            elif order is not None and order.cancellable:
                backtest.cancel(0, number, WAIT)


def fills(model: str, file: OrderFile, chosen: OrderSet, data: Any, steps: Any) -> Any:
    """When hftbacktest has each test order filled."""
    price_unit, lot = 10.0**file.price_exp, chosen.lot * 10.0**file.qty_exp
    asset = MODELS[model](
        BacktestAsset()
        .data([data])
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(max(file.tick, 1) * price_unit)
        .lot_size(lot)
    )
    backtest = HashMapMarketDepthBacktest([asset])
    filled_at = np.zeros(steps[:, 2].max() + 1, np.int64)
    follow(backtest, steps, price_unit, lot, filled_at)
    backtest.close()
    return filled_at


def compare(model: str, scores: Scores, theirs: Any) -> str:
    """One row."""
    ours = scores.filled_at[RULES.index(model)]
    # Our rule of fills goes on after the horizon for as long as the level is looked at; theirs ends with it.
    ours = np.where(ours <= scores.placed + HORIZON_NS, ours, 0)
    both = (ours > 0) & (theirs > 0)
    alike = ((ours > 0) == (theirs > 0)).mean()
    apart = np.abs(ours[both] - theirs[both]) / 1e9
    truth = scores.was_filled.mean()
    bias = [100 * ((each > 0).mean() - truth) for each in (ours, theirs)]
    return (
        f"{model:14s} filled: ours {(ours > 0).mean():.4f}, hftbacktest {(theirs > 0).mean():.4f};"
        f" alike {100 * alike:.2f} %; same time {100 * (apart == 0).mean():.1f} %,"
        f" mean {apart.mean():.3f} s apart; fill bias {bias[0]:+.2f}, {bias[1]:+.2f} points"
    )


def main() -> None:
    """All models on one recording."""
    name = sys.argv[1] if len(sys.argv) > 1 else "ES"
    folder: Path | None = data_folder()
    assert folder is not None, "OUTCRIER_DATA names no folder"
    chosen = order_set(name)
    file = SETS[name].read(folder / "l3")
    when = starts(chosen, file, BLOCK_NS)
    scores = Bench(file.tick, when, asks=False).run(batches(file))
    scores = scores.select(scores.away == 0)
    data, steps = market(file, when)
    filled = scores.was_filled.mean()
    print(f"{name}: {len(data):,} events, {len(scores.placed):,} test orders, {filled:.4f} filled")
    for model in MODELS:
        theirs = fills(model, file, chosen, data, steps)
        print(compare(model, scores, theirs))


if __name__ == "__main__":
    main()
