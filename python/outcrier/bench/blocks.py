"""Block bootstrap: values only.

Test orders that join within the same two minutes see the same market, so whole blocks of that length are
drawn again, with replacement (Kunsch, "The Jackknife and the Bootstrap for General Stationary Observations",
1989). Rules are compared order by order: both sides of a ratio come from the same draw.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from outcrier.bench.found import HORIZON_NS
from outcrier.bench.models import Floats

BLOCK_NS: Final = 2 * HORIZON_NS
DRAWS: Final = 2_000
_SEED: Final = 2026
_TAILS: Final = (2.5, 97.5)
"""Percentiles of an interval of 95 %."""


class Figure(msgspec.Struct, frozen=True):
    """A value and its interval of 95 %."""

    value: float
    low: float
    high: float


class Blocks:
    """Blocks of test orders by the time at which they joined, and how often each is in each draw."""

    def __init__(self, placed: NDArray[np.int64]) -> None:
        numbers = (placed - placed.min()) // BLOCK_NS
        _, self._of = np.unique(numbers, return_inverse=True)
        self._count = int(self._of.max()) + 1
        picks = np.random.default_rng(_SEED).integers(self._count, size=(DRAWS, self._count))
        self._weights = np.stack([np.bincount(row, minlength=self._count) for row in picks]).astype(float)

    def sums(self, values: Floats) -> Floats:
        """Sums by block; the last axis of `values` is by test order."""
        found = np.zeros((*values.shape[:-1], self._count))
        np.add.at(found.T, self._of, values.T)
        return found

    def draws(self, above: Floats, below: Floats) -> Floats:
        """The ratio of two sums, and that of each draw."""
        whole = np.vstack([np.ones(self._count), self._weights])
        sums = whole @ below
        return np.divide(whole @ above, sums, out=np.zeros_like(sums), where=sums > 0)


def figure(draws: Floats) -> Figure:
    """The first value, and the interval of the others."""
    low, high = np.percentile(draws[1:], _TAILS)
    return Figure(float(draws[0]), float(low), float(high))
