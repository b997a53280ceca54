"""A change of an order in a book of orders (L3), of real files, from memory.

The bar of ten million changes a second and core is 100 ns.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from benchmarks.frame import OURS, AtLeast, Limit, Measure, Row
from outcrier.bench.sets import SETS
from outcrier.order_files import OrderFile
from outcrier.orders import Op, OrderBook, Side

PEER = "nautilus L3 book"

ROW = Row(
    "change of an order",
    "ns/change",
    (Limit(100), AtLeast(2, PEER)),
    "all changes of the file, which are in memory. Ours: `OrderBook.apply`, one call; nautilus pyo3:"
    " `apply_deltas`, one call of delta objects that were made before. The answer: price, quantity and orders"
    " of the best 20 levels a side.",
)

MEMORY = Row("memory of an order", "B/order", (), "of the book after all changes of the file: `memory_bytes`")

DEPTH = 20


@lru_cache(maxsize=1)
def order_set(data_dir: Path, name: str) -> OrderFile:
    """A recording; skips where they are missing."""
    folder = data_dir / "l3"
    if not folder.is_dir():
        pytest.skip(f"recordings are missing: {folder}")
    return SETS[name].read(folder)


pytestmark = pytest.mark.parametrize("on", list(SETS))


def expected(file: OrderFile) -> list[list[tuple[int, int, int]]]:
    """The best levels by what is left of each order in the end."""
    left: dict[int, tuple[int, int, int]] = {}
    for op in file.ops[["op", "order_id", "price", "qty", "side"]].tolist():
        kind, number, price, qty, side = op
        if kind == Op.CLEAR:
            left.clear()
        elif kind == Op.DELETE:
            del left[number]
        elif kind == Op.EXECUTE:
            of, at, before = left.pop(number)
            if before > qty:
                left[number] = (of, at, before - qty)
        else:
            left[number] = (side, price, qty)
    sides = []
    for side in Side:
        sums: dict[int, list[int]] = {}
        for of, price, qty in left.values():
            if of == side:
                level = sums.setdefault(price, [0, 0])
                level[0] += qty
                level[1] += 1
        order = sorted(sums.items(), reverse=side is Side.BID)[:DEPTH]
        sides.append([(price, qty, orders) for price, (qty, orders) in order])
    return sides


def test_ours(measure: Measure, data_dir: Path, on: str) -> None:
    file = order_set(data_dir, on)

    def answer(book: OrderBook) -> list[list[tuple[int, ...]]]:
        return [[tuple(row) for row in book.levels(side, DEPTH).tolist()] for side in Side]

    measure.time(
        ROW,
        OURS,
        on=on,
        setup=lambda: OrderBook(file.tick),
        run=lambda book: book.apply(file.ops, file.ts),
        answer=answer,
        expected=expected(file),
        per=len(file.ops),
        about=f"{len(file.ops):,} changes",
    )


@pytest.mark.once
def test_memory(measure: Measure, data_dir: Path, on: str) -> None:
    file = order_set(data_dir, on)
    book = OrderBook(file.tick)
    assert book.apply(file.ops, file.ts) == []
    measure.value(MEMORY, OURS, book.memory_bytes / max(len(book), 1), on=on, orders=len(book))


@pytest.mark.peer
def test_nautilus(measure: Measure, data_dir: Path, on: str) -> None:
    file = order_set(data_dir, on)
    handler: Any = import_module("benchmarks.compare.nautilus_orders").OrderHandler
    measure.time(
        ROW,
        PEER,
        on=on,
        setup=lambda: handler(file),
        run=lambda state: state.run(),
        answer=lambda state: [state.levels(side, DEPTH) for side in Side],
        expected=expected(file),
        per=len(file.ops),
    )
