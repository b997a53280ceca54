"""What a venue that publishes levels would have said of a file of orders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

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
    told with its quantity, and one that is cancelled or pushed out is told to be gone.
    """

    def __init__(self, depth: int) -> None:
        """`depth`: levels a side; 0 = all."""
        self.depth: Final = depth
        self._shown: dict[Side, set[int]] = {side: set() for side in Side}
        self._outside: dict[Side, set[int]] = {side: set() for side in Side}
        """Prices that were pushed out and were neither told nor passed since."""
        self._worst: dict[Side, int | None] = dict.fromkeys(Side)
        """The last price of a side that has as many levels as are told."""

    def changes(self, book: OrderBook, touched: set[tuple[Side, int]]) -> list[tuple[Side, int, int]]:
        """Levels that a message tells after a change of `touched`: side, price, quantity."""
        if not self.depth:
            return [(side, price, book.level(side, price).qty) for side, price in touched]
        return [change for side in Side for change in self._of(side, book, touched)]

    def known(self, changes: Sequence[tuple[Side, int, int]]) -> dict[tuple[Side, int], int]:
        """Quantities of the levels of which changes that were just told say what stands there: not of those
        that were pushed out, and of those that were passed, and so cancelled outside, too.
        """
        return {
            (side, price): qty
            for side, price, qty in [*changes, *self._passed()]
            if price not in self._outside[side]
        }

    def _passed(self) -> Iterator[tuple[Side, int, int]]:
        for side, outside in self._outside.items():
            for price in [price for price in outside if not self._is_behind(side, price)]:
                outside.discard(price)
                yield side, price, 0

    def _is_behind(self, side: Side, price: int) -> bool:
        worst = self._worst[side]
        return worst is not None and (price < worst if side is Side.BID else price > worst)

    def _of(
        self, side: Side, book: OrderBook, touched: set[tuple[Side, int]]
    ) -> Iterator[tuple[Side, int, int]]:
        rows = book.levels(side, self.depth)[:, :2].tolist()
        now = dict(rows)
        self._worst[side] = rows[-1][0] if len(rows) == self.depth else None
        shown, outside = self._shown[side], self._outside[side]
        for price in [price for price in shown if price not in now]:
            if self._is_behind(side, price):
                outside.add(price)
            yield side, price, 0
        for price, qty in rows:
            if (side, price) in touched or price not in shown:
                outside.discard(price)
                yield side, price, qty
        self._shown[side] = set(now)
