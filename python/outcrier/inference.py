"""Orders that a venue does not tell of, inferred from its levels and trades.

    from outcrier.inference import Inference, Print
    from outcrier.orders import Side

    inferred = Inference()
    ops = inferred.event([Print(Side.ASK, 101, 3, 7, ts)], [(Side.ASK, 101, 5), (Side.BID, 100, 9)], ts)
    inferred.queue(Side.ASK, 101)["qty"]

A level that grows has a new order at its back, a trade takes from the front, and what is gone without a trade
was an order that a rule picks (`Rule`). docs/l3.md says how far that is from the truth.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outcrier import _core
from outcrier.orders import ORDER_OP, Place, Queues, Side


class Rule(enum.StrEnum):
    """Which order a quantity was that is gone without a trade."""

    NEWEST = "newest"
    OLDEST = "oldest"
    PROPORTIONAL = "proportional"
    """One that is drawn (by a seed, always the same): each lot of the level is as likely to be gone."""
    LOGARITHMIC = "logarithmic"
    """One that is drawn: what is gone stood within the first f of t with probability ln(1 + f) / (ln(1 + f) +
    ln(1 + t - f)).
    """
    EXACT = "exact"
    """The newest of just that quantity, otherwise the newest."""
    LIKELIEST = "likeliest"
    """By quantity and age: `Weights`."""


class Weights(NamedTuple):
    """What makes an order of a level the likelier one to be gone: (age + 1 s)^-exponent, times 1 if it is of
    just that quantity, else `larger` or `smaller`.
    """

    exponent: float = 0.5
    larger: float = 0.05
    """It was more: it was reduced."""
    smaller: float = 0.001
    """It was less: others went with it."""


WEIGHTS: Final = Weights()
"""docs/l3.md says how little other ones change."""


class Print(NamedTuple):
    """A trade."""

    side: Side
    """Of the resting order."""
    price: int
    qty: int
    trade_id: int
    ts: int
    """ns since the epoch."""


class Best(NamedTuple):
    """The best level of a side at a time."""

    side: Side
    price: int
    qty: int
    ts: int
    """ns since the epoch."""


class Interval(NamedTuple):
    """Quantities from `low` to `high`."""

    low: int
    high: int
    probability: float
    """That it is one of them: at least what was asked for, since quantities are whole."""


class Likely(NamedTuple):
    """A quantity that may stand before a place."""

    qty: int
    probability: float


class InferredPlace(Place):
    """A watched place of an inferred queue. `ahead` is what the rule has before it, one guess; beside it a
    distribution of at most 16 quantities is kept, which is exact when the place joins and widens with
    everything that is gone without a trade. All raise KeyError once closed, and where `ahead` is None: the
    orders began anew.
    """

    def __init__(self, inference: _core.Inference, watch: int) -> None:
        super().__init__(inference, watch)
        self._inference = inference

    @property
    def expected(self) -> float:
        """The mean quantity before it."""
        return self._inference.expected(self.watch)

    def quantile(self, probability: float) -> int:
        """The least quantity that is not exceeded with a probability; 0.5: the median. Raises ValueError
        outside 0 to 1.
        """
        return self._inference.quantile(self.watch, probability)

    def interval(self, probability: float = 0.8) -> Interval:
        """Quantities that leave at most (1 - probability) / 2 outside on either side. Raises ValueError
        outside 0 to 1.
        """
        return Interval(*self._inference.interval(self.watch, probability))

    @property
    def distribution(self) -> list[Likely]:
        """What may stand before it, the least quantity first; the probabilities sum to 1."""
        return [Likely(*each) for each in self._inference.believed(self.watch)]

    def fill_probability(self, seconds: float, now: int) -> float | None:
        """That it is reached within so many seconds (at most 256) from `now` (ns since the epoch) on: that
        what may stand before it trades, and more, or anything at a worse price. It is the part of the last
        256 seconds' best prices, of both sides, after which a place as far from the best price, with as much
        before it, was reached by the trades that followed.

        None: fewer than 16 such times are over since the first place was watched, or they began within less
        than so many seconds, or its side is empty. Looks for each of those seconds through the tenths of a
        second in which something traded. Raises ValueError for other times.
        """
        return self._inference.fill_probability(self.watch, now, round(seconds * 1e9))


class Inference(Queues):
    """The inferred orders of one instrument. A level is the venue's quantity after every event. Not
    thread-safe.
    """

    def __init__(self, rule: Rule = Rule.LIKELIEST, weights: Weights = WEIGHTS) -> None:
        """Raises ValueError for unknown rules, and for weights outside 0 to 4."""
        self._inference = _core.Inference(rule, *weights)
        super().__init__(self._inference)

    def event(
        self,
        trades: Sequence[Print],
        levels: Sequence[tuple[Side, int, int]] | None,
        ts: int,
        bests: Sequence[Best] = (),
        depth: int = 0,
    ) -> NDArray[np.void]:
        """Takes what one message of the venue says: its trades, and the levels (side, price, quantity; 0 =
        gone) that changed (None: it is none of levels), at a time (ns since the epoch). A trade may also come
        before or after the change of its level, by half a second at most. `bests`: what a venue that tells
        changes of levels together told of its best levels in between, in their order; each goes before the
        message of levels that is not older. `depth`: levels a side that the venue tells; 0 = all. Of a level
        that others push out of them (its quantity is 0, and as many are better) the orders are kept, and are
        back with their numbers, times and places when it is told again.

        Returns the changes of orders (`outcrier.orders.ORDER_OP`) with numbers of our own, the flag INFERRED
        and a confidence. An order whose level is pushed out is deleted with the confidence 0.
        """
        told: list[tuple[int, int, int]] | None = None if levels is None else list(levels)
        return self._inference.event(list(trades), told, ts, list(bests), depth).view(ORDER_OP)

    def begin(self, levels: Sequence[tuple[Side, int, int]], ts: int, depth: int = 0) -> NDArray[np.void]:
        """Takes a whole book, as levels (side, price, quantity), in place of what was known. Of its levels
        only the sums are known: each is one order, without any confidence. `depth`: as in `event`.

        Returns the changes of orders: `Op.CLEAR` and the new ones.
        """
        return self._inference.begin(list(levels), ts, depth).view(ORDER_OP)

    def refine(self, price_factor: int, qty_factor: int) -> bool:
        """Multiplies all prices and quantities: the mantissas are of finer exponents now. Orders keep their
        numbers, and watched places what is before them. False: a number would not fit 64 bits, and nothing
        changed. Raises ValueError for factors below 1.
        """
        return self._inference.refine(price_factor, qty_factor)

    @property
    def outside(self) -> tuple[int, int]:
        """Levels that were pushed out of those that the venue tells and whose orders are kept, and how many
        orders they have.
        """
        return self._inference.outside()

    def watch_back(self, side: Side, price: int) -> InferredPlace:
        """As `Queues.watch_back`."""
        return InferredPlace(self._inference, self._inference.watch_back(side, price))

    def outlook(self, places: Sequence[InferredPlace], within: Sequence[float]) -> NDArray[np.float64]:
        """Shape (places, 2 + 3 x within): the mean and the median of what is before each place, then low,
        high and probability of its interval for each of `within`. In one call, for who watches many;
        quantities beyond 2^53 are rounded. Raises as they do.
        """
        return self._inference.outlook([place.watch for place in places], list(within))

    @property
    def counters(self) -> dict[str, int]:
        """Trades that no change of a level showed (unshown), that came after it (late) or were forgotten
        because too many waited, and levels outside of those that are told, too many or for too long
        (forgotten); changes that did not fit (refused).
        """
        return self._inference.counters()
