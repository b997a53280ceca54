"""What is written down of test orders while the messages pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outcrier.bench.models import MODELS, Floats
from outcrier.inference import Rule

SECOND_NS: Final = 1_000_000_000
HORIZON_NS: Final = 60 * SECOND_NS
"""How long a test order rests."""

TRUTH: Final = "true place"
NEWEST: Final = f"inferred, {Rule.NEWEST}"
BEHIND: Final = "always behind"
"""Newest-first by its formula, which best prices are not told."""
EXPECTED: Final = "distribution, mean"
MEDIAN: Final = "distribution, median"
RULES: Final[tuple[str, ...]] = (
    TRUTH,
    *MODELS,
    *(f"inferred, {rule}" for rule in Rule),
    EXPECTED,
    MEDIAN,
)
"""Names of everything that is compared. The distribution is that of the likeliest order's places."""

AWAY: Final[Mapping[str, Sequence[int]]] = {
    "the best": (0,),
    "1 away": (1,),
    "2 away": (2,),
    "3 to 5": (3, 4, 5),
    "6 to 10": (6, 7, 8, 9, 10),
}
"""Levels that test orders join, counted from the best one, by the name of the part; they take turns."""

AGES_S: Final = (1, 10, HORIZON_NS // SECOND_NS)
"""Ends of the parts by the age of a test order, in seconds."""
THIRDS: Final = 3
"""Parts by its true place: as much of the level before it."""
TENTHS: Final = 10
"""Parts by time."""
WITHIN: Final = (0.5, 0.8, 0.95)
"""Intervals that are asked for."""


@dataclass
class Parts:
    """Sums by a part that a look belongs to: looks, and a value by column."""

    looks: Floats
    sums: Floats

    @classmethod
    def of(cls, count: int, columns: int = len(RULES)) -> Parts:
        """So many parts."""
        return cls(np.zeros(count), np.zeros((count, columns)))

    def add(self, part: NDArray[np.int64], values: Floats) -> None:
        """Looks (columns of `values`), each of a part."""
        np.add.at(self.looks, part, 1)
        np.add.at(self.sums, part, values.T)

    def means(self) -> Floats:
        """By part and column."""
        return self.sums / np.maximum(self.looks, 1)[:, None]


@dataclass
class Intervals:
    """How intervals fared, summed over the looks at a test order: rows by `WITHIN`, columns by test order."""

    said: Floats
    """What the distribution says is within."""
    held: Floats
    """Whether the truth was."""
    width: Floats
    by_age: Parts
    by_place: Parts
    by_away: Parts
    """Columns: said, held and width, each by `WITHIN`."""

    @classmethod
    def of(cls, orders: int) -> Intervals:
        """For so many test orders."""
        rows, columns = (len(WITHIN), orders), 3 * len(WITHIN)
        return cls(
            said=np.zeros(rows),
            held=np.zeros(rows),
            width=np.zeros(rows),
            by_age=Parts.of(len(AGES_S), columns),
            by_place=Parts.of(THIRDS, columns),
            by_away=Parts.of(len(AWAY), columns),
        )


@dataclass
class Asks:
    """Probabilities of a fill that were asked for, a row each."""

    order: list[int] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    """ns since the epoch."""
    seconds: list[int] = field(default_factory=list)
    probability: list[float] = field(default_factory=list)
    unknown: int = 0
    """Asks that had no answer yet."""

    def select(self, wanted: NDArray[np.bool_]) -> Asks:
        """Of these test orders alone, numbered anew."""
        number = np.cumsum(wanted) - 1
        kept = [at for at, order in enumerate(self.order) if wanted[order]]
        return Asks(
            order=[int(number[self.order[at]]) for at in kept],
            time=[self.time[at] for at in kept],
            seconds=[self.seconds[at] for at in kept],
            probability=[self.probability[at] for at in kept],
            unknown=self.unknown,
        )


@dataclass
class Counts:
    """Orders of the best levels, each second."""

    by_away: Parts
    by_time: Parts
    """By tenths of the seconds. Columns: the true number, then the absolute difference by rule."""

    @classmethod
    def new(cls) -> Counts:
        """None yet."""
        columns = 1 + len(Rule)
        return cls(Parts.of(len(AWAY), columns), Parts.of(TENTHS, columns))


@dataclass
class Scores:
    """What came out, by test order (columns) and rule (rows of `RULES`)."""

    placed: NDArray[np.int64]
    """When each joined, ns since the epoch."""
    away: NDArray[np.int64]
    """Part of `AWAY`."""
    qty: Floats
    """What stood before it then."""
    looks: Floats
    """How often it was compared."""
    off: Floats
    """Sum of the absolute differences to the true quantity before it."""
    bias: Floats
    """The same with their signs."""
    share: Floats
    """Sum of the absolute differences as parts of the level."""
    filled: Floats
    """Part of each that is filled by each rule; by the first, the true place under the same rule of fills."""
    filled_at: NDArray[np.int64]
    """When it was filled whole; 0: it was not."""
    was_filled: NDArray[np.bool_]
    """In truth."""
    was_filled_at: NDArray[np.int64]
    by_age: Parts
    by_place: Parts
    """Absolute differences; these two of test orders at the best level alone."""
    intervals: Intervals
    asks: Asks
    counts: Counts

    @classmethod
    def of(cls, orders: int) -> Scores:
        """For at most so many test orders."""
        by_rule = (len(RULES), orders)
        return cls(
            placed=np.zeros(orders, np.int64),
            away=np.zeros(orders, np.int64),
            qty=np.zeros(orders),
            looks=np.zeros(orders),
            off=np.zeros(by_rule),
            bias=np.zeros(by_rule),
            share=np.zeros(by_rule),
            filled=np.zeros(by_rule),
            filled_at=np.zeros(by_rule, np.int64),
            was_filled=np.zeros(orders, bool),
            was_filled_at=np.zeros(orders, np.int64),
            by_age=Parts.of(len(AGES_S)),
            by_place=Parts.of(THIRDS),
            intervals=Intervals.of(orders),
            asks=Asks(),
            counts=Counts.new(),
        )

    def select(self, wanted: NDArray[np.bool_]) -> Scores:
        """Of these test orders alone; sums by part stay as they are."""
        found, intervals = replace(self), replace(self.intervals)
        found.intervals, found.asks = intervals, self.asks.select(wanted)
        for each in (found, intervals):
            for name, values in list(vars(each).items()):
                if isinstance(values, np.ndarray):
                    setattr(each, name, values[..., wanted])
        return found
