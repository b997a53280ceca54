"""What is lost of a level while it is outside of the best so many that a venue tells, with its orders kept
aside and without.

    OUTCRIER_DATA=... python -m benchmarks.l3.window

Derives the best 10 or 20 levels of each recording, with each event and every 100 ms, and takes them twice:
told how many they are, and as if all were told, so that what is pushed out is cancelled. Test orders join
the back of the told levels, each in its turn, every second, and rest for a minute; those whose level was
outside meanwhile are looked at whenever it is told again. Prints the tables of docs/l3.md; takes two minutes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from outcrier.bench.found import HORIZON_NS, SECOND_NS
from outcrier.bench.levels import Batch, Window, batches
from outcrier.bench.sets import SETS
from outcrier.capture.library import data_folder
from outcrier.inference import Inference, InferredPlace
from outcrier.order_files import OrderFile
from outcrier.orders import OrderBook, Place, Side

RECORDINGS = ("ES", "AAPL-50", "Bitstamp")
"""The others know nothing of what is outside of the best ten."""
DEPTHS = (20, 10)
EVERY_MS = (0, 100)
AGES_S = (10, 60, 300, 1_800, 3_600)

Level = tuple[Side, int]


@dataclass
class TestOrder:
    """One that joined a level of each."""

    end: int
    places: tuple[Place, InferredPlace, InferredPlace]
    """The true place, that of the levels kept aside, and that without."""
    was_outside: bool = False

    def close(self) -> None:
        for place in self.places:
            place.close()


@dataclass
class Found:
    """Sums."""

    left: int = 0
    same: int = 0
    smaller: int = 0
    larger: int = 0
    passed: int = 0
    most_levels: int = 0
    most_orders: int = 0
    orders: int = 0
    """Test orders whose level was outside."""
    looks: int = 0
    off: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Of the place that is kept and its median, then of the one that is not and its median."""
    held: int = 0
    """80 % intervals of the place that is kept."""
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])
    """True orders of the levels that were outside, each second, and how far off both are."""
    still: dict[tuple[int, bool], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Part of the quantity that was kept which is of orders that were there, by age and whether all is."""


class Run:
    """One recording by one kind of message."""

    def __init__(self, file: OrderFile, depth: int) -> None:
        self._book = OrderBook(file.tick)
        self._window = Window(depth)
        self._kept, self._lost = Inference(), Inference()
        self._outside: dict[Level, tuple[int, int, dict[int, int]]] = {}
        """When it left, with what quantity, and its true orders."""
        self._back: set[Level] = set()
        self._orders: dict[Level, list[TestOrder]] = defaultdict(list)
        self._next = int(file.times[0]) + SECOND_NS
        self._turn = 0
        self.found = Found()

    def take(self, batch: Batch) -> None:
        """One message."""
        for event in batch.events:
            if len(event.ops):
                self._book.apply(event.ops, event.ts)
        changes = self._window.changes(self._book, batch.touched)
        before = {(side, price): self._kept.level(side, price).qty for side, price, qty in changes if not qty}
        self._kept.event(batch.trades, changes, batch.time, depth=self._window.depth)
        self._lost.event(batch.trades, changes, batch.time)
        known = self._window.known(changes)
        for side, price, _ in changes:
            if (side, price) not in known:
                self._leave((side, price), before[side, price], batch.time)
        for level, qty in known.items():
            self._tell(level, qty, batch.time)
        levels, orders = self._kept.outside
        self.found.most_levels = max(self.found.most_levels, levels)
        self.found.most_orders = max(self.found.most_orders, orders)
        if batch.time >= self._next:
            self._next += SECOND_NS
            self._each_second(batch.time)

    def _queue(self, level: Level) -> dict[int, int]:
        queue = self._book.queue(*level)
        return dict(zip(queue["order_id"].tolist(), queue["qty"].tolist(), strict=True))

    def _leave(self, level: Level, qty: int, time: int) -> None:
        self.found.left += 1
        self._outside[level] = (time, qty, self._queue(level))
        self._back.discard(level)
        for order in self._orders.get(level, ()):
            self.found.orders += not order.was_outside
            order.was_outside = True

    def _tell(self, level: Level, qty: int, time: int) -> None:
        found = self.found
        if level in self._outside:
            since, was, orders = self._outside.pop(level)
            found.passed += qty == 0
            found.same += qty == was
            found.smaller += 0 < qty < was
            found.larger += qty > was
            if qty:
                self._back.add(level)
                now = self._queue(level)
                still = sum(min(left, now.get(number, 0)) for number, left in orders.items())
                kept = min(qty, was)
                age = next((at for at in AGES_S if time - since < at * SECOND_NS), AGES_S[-1])
                found.still[age, qty == was].append(min(still, kept) / kept)
        if not qty:
            self._back.discard(level)
            return
        for order in self._orders.get(level, ()):
            if order.was_outside:
                self._look(order)

    def _look(self, order: TestOrder) -> None:
        truth, kept, lost = order.places
        if truth.ahead is None or kept.ahead is None or lost.ahead is None:
            return
        true, found = truth.ahead.qty, self.found
        found.looks += 1
        said = (kept.ahead.qty, kept.quantile(0.5), lost.ahead.qty, lost.quantile(0.5))
        for column, qty in enumerate(said):
            found.off[column] += abs(qty - true)
        low, high, _ = kept.interval(0.8)
        found.held += low <= true <= high

    def _each_second(self, time: int) -> None:
        for level in self._back:
            true, kept, lost = (each.level(*level)[1] for each in (self._book, self._kept, self._lost))
            if true:
                for column, count in enumerate((true, abs(kept - true), abs(lost - true))):
                    self.found.counts[column] += count
        for level, orders in list(self._orders.items()):
            for order in [order for order in orders if order.end <= time]:
                orders.remove(order)
                order.close()
            if not orders:
                del self._orders[level]
        self._turn += 1
        for side in Side:
            rows = self._kept.levels(side)[:, 0].tolist()
            if rows:
                level = (side, rows[self._turn % len(rows)])
                places = (
                    self._book.watch_back(*level),
                    self._kept.watch_back(*level),
                    self._lost.watch_back(*level),
                )
                self._orders[level].append(TestOrder(time + HORIZON_NS, places))


def _runs() -> Iterator[tuple[str, str, int, Found]]:
    folder = data_folder()
    assert folder is not None, "OUTCRIER_DATA names no folder"
    for name in RECORDINGS:
        file = SETS[name].read(folder / "l3")
        for depth in DEPTHS:
            for every in EVERY_MS:
                run = Run(file, depth)
                for batch in batches(file, every * 1_000_000):
                    run.take(batch)
                yield (
                    name,
                    f"best {depth}, {f'{every} ms' if every else 'each event'}",
                    SETS[name].lot,
                    run.found,
                )


def main() -> None:
    """Prints both tables."""
    still: dict[tuple[str, int, bool], list[float]] = defaultdict(list)
    print(
        "| recording | levels | left | back with the same | less | more | cancelled outside | most outside"
        " | test orders | off, lots: kept | median | not kept | 80 % held"
        " | orders a level off: kept | not kept |"
    )
    print("| --- " * 15 + "|")
    for name, levels, lot, found in _runs():
        looks, (true, kept, lost) = max(found.looks, 1), found.counts
        off = [each / looks / lot for each in found.off]
        print(
            f"| {name} | {levels} | {found.left:,} | {found.same:,} | {found.smaller:,} | {found.larger:,}"
            f" | {found.passed:,} | {found.most_levels} ({found.most_orders:,}) | {found.orders:,}"
            f" | {off[0]:.3f} | {off[1]:.3f} | {off[2]:.2f} | {100 * found.held / looks:.0f} %"
            f" | {100 * kept / max(true, 1):.1f} % | {100 * lost / max(true, 1):.1f} % |",
            flush=True,
        )
        for (age, is_same), parts in found.still.items():
            still[name, age, is_same] += parts
    print(f"\n| outside for less than, s | {' | '.join(f'{name}: same | other' for name in RECORDINGS)} |")
    print("| --- " * (1 + 2 * len(RECORDINGS)) + "|")
    for age in AGES_S:
        cells = [still[name, age, is_same] for name in RECORDINGS for is_same in (True, False)]
        shown = [f"{np.mean(cell):.3f} of {len(cell):,}" if cell else "" for cell in cells]
        print(f"| {age:,} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
