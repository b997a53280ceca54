"""How like the hour of ES the simulated market is that was made after it: the same figures of both.

    OUTCRIER_DATA=... python -m benchmarks.market_likeness [HOURS]

Prints the table of `docs/sim.md`. The figures say what the simulation is; no claim rests on them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from benchmarks.market_rates import OPENING_NS, SET, WINDOW
from outcrier._core import Market
from outcrier.bench.found import SECOND_NS
from outcrier.bench.sets import SETS
from outcrier.capture.library import data_folder
from outcrier.layout import DTYPES
from outcrier.order_files.common import BUY, OrderEvent
from outcrier.orders import ORDER_OP, TOLD, Op, OrderBook, Side

SEED: Final = 1
HOUR_S: Final = 3_600
LEVELS: Final = (1, 2, 5, 10, 20, 40)
"""Distances whose orders are told."""

EVENTS_AT_ONCE: Final = 10_000


def simulated(hours: int) -> Iterator[OrderEvent]:
    """The events of one instrument, the opening orders first."""
    market = Market(SEED, 1, 0)
    rows: list[tuple[int, ...]] = [
        (order_id, price, qty, 0, 0, Op.ADD, side, TOLD, 0)
        for side, orders in zip(Side, market.orders(0), strict=True)
        for order_id, price, qty in orders
    ]
    yield _event(0, rows, [])
    until = hours * HOUR_S * SECOND_NS
    while events := market.advance(until, EVENTS_AT_ONCE):
        for _, _, ts, ops, trades, _ in events:
            rows = [
                (order_id, price, qty, ref, 0, op, side, TOLD, 0)
                for op, order_id, side, price, qty, ref in ops
            ]
            yield _event(ts, rows, [(price, qty, n, ts, side, 0, 1, 0) for price, qty, n, side in trades])


def _event(ts: int, ops: list[tuple[int, ...]], trades: list[tuple[int, ...]]) -> OrderEvent:
    times = np.full(len(ops), ts, np.int64)
    return OrderEvent(ts, np.array(ops, ORDER_OP), times, np.array(trades, DTYPES["trades"]))


class Figures:
    """What the table tells of one market."""

    def __init__(self, tick: int) -> None:
        self._book = OrderBook(tick)
        self._tick = tick
        self.counts: Counter[str] = Counter()
        self._samples: list[tuple[float, ...]] = []
        self._in_second: Counter[int] = Counter()
        self._aggressors: list[int] = []
        self._mids: list[float] = []

    def run(self, events: Iterable[OrderEvent], begins_ns: int) -> dict[str, float]:
        """All of it, from a time on."""
        due = begins_ns
        last = begins_ns
        for event in events:
            if event.time >= begins_ns:
                while due <= event.time:
                    self._sample()
                    due += SECOND_NS
                self._count(event, (event.time - begins_ns) // SECOND_NS)
                last = event.time
            assert not self._book.apply(event.ops, event.ts)
        return self._told((last - begins_ns) / SECOND_NS)

    def _best(self) -> tuple[int, int]:
        bid, ask = self._book.best(Side.BID), self._book.best(Side.ASK)
        assert bid is not None, "no bid"
        assert ask is not None, "no ask"
        return bid.price, ask.price

    def _count(self, event: OrderEvent, second: int) -> None:
        bid, ask = self._best()
        near = 0
        for op in event.ops:
            old = self._book.get(int(op["order_id"]))
            side, price = (old.side, old.price) if old else (op["side"], int(op["price"]))
            distance = (ask - price if side == Side.BID else price - bid) // self._tick
            if distance <= WINDOW:
                near += 1
                self.counts[Op(int(op["op"])).name] += 1
        if len(event.trades):
            qty = int(event.trades["qty"].sum())
            is_buy = bool(event.trades["aggressor"][0] == BUY)
            level = self._book.best(Side.ASK if is_buy else Side.BID)
            self.counts["takers"] += 1
            self.counts["traded"] += qty
            self.counts["emptied"] += level is not None and qty >= level.qty
            self._aggressors.append(1 if is_buy else -1)
        self._in_second[second] += near > 0

    def _sample(self) -> None:
        bid, ask = self._best()
        best = [self._book.level(Side.BID, bid), self._book.level(Side.ASK, ask)]
        lots, orders = (sum(each[at] for each in best) / 2 for at in (0, 1))
        away = [
            self._book.level(Side.BID, ask - distance * self._tick).orders
            + self._book.level(Side.ASK, bid + distance * self._tick).orders
            for distance in LEVELS
        ]
        self._samples.append(((ask - bid) / self._tick, lots, orders, *(each / 2 for each in away)))
        self._mids.append((bid + ask) / 2 / self._tick)

    def _told(self, seconds: float) -> dict[str, float]:
        counts = self.counts
        means = np.mean(self._samples, axis=0).tolist()
        per_second = np.array([self._in_second[each] for each in range(int(seconds))])
        signs = np.array(self._aggressors)
        mids = np.array(self._mids)
        moved = np.diff(mids[::15])
        return {
            "events a second, within 40 ticks": sum(self._in_second.values()) / seconds,
            "spread, ticks": means[0],
            "seconds with a spread of one tick, %": 100
            * float(np.mean([each[0] == 1 for each in self._samples])),
            "lots at the best price": means[1],
            "orders at the best price": means[2],
            **{
                f"orders {distance} ticks from the other side": mean
                for distance, mean in zip(LEVELS, means[3:], strict=True)
            },
            "orders that trade, an hour": counts["takers"] * HOUR_S / seconds,
            "lots traded, an hour": counts["traded"] * HOUR_S / seconds,
            "of them, who empty the best price, %": 100 * counts["emptied"] / counts["takers"],
            "cancels for each order that arrives": counts["DELETE"] / counts["ADD"],
            "moves for each order that arrives": counts["MODIFY_LOSE"] / counts["ADD"],
            "mid moved within 15 s, % of the time": 100 * float(np.mean(moved != 0)),
            "mean square of that move, ticks²": float(np.mean(moved**2)),
            "variance over mean of events in a second": float(per_second.var() / per_second.mean()),
            "sign of a taker like that of the one before, %": 100 * float(np.mean(signs[1:] == signs[:-1])),
        }


def main() -> None:
    """Prints the table."""
    hours = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    folder = data_folder()
    assert folder is not None, "OUTCRIER_DATA names no folder"
    file = SETS[SET].read(folder / "l3")
    real = Figures(file.tick).run(file.events(), SETS[SET].begins_ns + OPENING_NS)
    ours = Figures(Market.TICK).run(simulated(hours), 1)
    print(f"| | {SET} | simulated, {hours} h |\n|---|---|---|")
    for name, value in real.items():
        print(f"| {name} | {value:,.2f} | {ours[name]:,.2f} |")


if __name__ == "__main__":
    main()
