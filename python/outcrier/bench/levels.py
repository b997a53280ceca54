"""What a venue that publishes levels would have said of a file of orders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from outcrier.inference import Print
from outcrier.order_files import OrderEvent, OrderFile
from outcrier.order_files.common import BUY
from outcrier.orders import Op, OrderBook, Side


class Batch(NamedTuple):
    """One message of levels, with the trades since the one before."""

    time: int
    """ns since the epoch; of the last event in it."""
    events: list[OrderEvent]
    """The events that it is about: the truth."""
    trades: list[Print]
    touched: set[tuple[Side, int]]
    """Levels at which an order changed: their quantities are told."""


def batches(file: OrderFile, every_ns: int = 0) -> Iterator[Batch]:
    """The events of a file by message: each on its own, or all of `every_ns` from the first one on."""
    where: dict[int, tuple[Side, int]] = {}
    events: list[OrderEvent] = []
    trades: list[Print] = []
    touched: set[tuple[Side, int]] = set()
    end = 0
    for event in file.events():
        if events and event.time >= end:
            yield Batch(events[-1].time, events, trades, touched)
            events, trades, touched = [], [], set()
        if not events:
            end = event.time + every_ns
        events.append(event)
        trades += prints(event)
        if len(event.ops):
            touch(event, where, touched)
    if events:
        yield Batch(events[-1].time, events, trades, touched)


def prints(event: OrderEvent) -> list[Print]:
    """The trades of an event by the side of the resting order; none of those without an aggressor."""
    return [
        Print(Side.ASK if aggressor == BUY else Side.BID, price, qty, trade_id, ts)
        for price, qty, trade_id, ts, aggressor, *_ in event.trades.tolist()
        if aggressor
    ]


def touch(event: OrderEvent, where: dict[int, tuple[Side, int]], touched: set[tuple[Side, int]]) -> None:
    """Adds the levels that an event changes; `where` follows the orders."""
    for number, price, _, _, _, op, side, *_ in event.ops.tolist():
        if op == Op.CLEAR:
            touched.update(where.values())
            where.clear()
            continue
        level = (Side(side), price)
        if op != Op.ADD:
            touched.add(where.get(number, level))
        touched.add(level)
        where[number] = level


class Window:
    """The best levels of a book, as a venue that publishes no others tells them: a level that comes in is
    told with its quantity, one that goes out is not told any more, and one that is gone meanwhile is told to
    be gone when its price is within the window again.
    """

    def __init__(self, depth: int) -> None:
        """`depth`: levels a side; 0 = all."""
        self._depth = depth
        self._shown: dict[Side, set[int]] = {side: set() for side in Side}
        self._told: dict[Side, set[int]] = {side: set() for side in Side}
        """Prices whose last quantity that was told is above 0."""

    def changes(self, book: OrderBook, touched: set[tuple[Side, int]]) -> list[tuple[Side, int, int]]:
        """Levels that a message tells after a change of `touched`: side, price, quantity."""
        if not self._depth:
            return [(side, price, book.level(side, price).qty) for side, price in touched]
        return [change for side in Side for change in self._of(side, book, touched)]

    def _of(
        self, side: Side, book: OrderBook, touched: set[tuple[Side, int]]
    ) -> Iterator[tuple[Side, int, int]]:
        rows = book.levels(side, self._depth)[:, :2].tolist()
        now = dict(rows)
        worst = rows[-1][0] if len(rows) == self._depth else None
        told = self._told[side]
        for price in [price for price in told if price not in now]:
            if worst is None or (price > worst if side is Side.BID else price < worst):
                told.discard(price)
                yield side, price, 0
        for price, qty in rows:
            if (side, price) in touched or price not in self._shown[side]:
                told.add(price)
                yield side, price, qty
        self._shown[side] = set(now)
