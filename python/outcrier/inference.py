"""Orders that a venue does not tell of, inferred from its levels and trades.

    from outcrier.inference import Inference, Print
    from outcrier.orders import Side

    inferred = Inference(tick=1)
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
from outcrier.orders import ORDER_OP, Queues, Side


class Rule(enum.StrEnum):
    """Which order a quantity was that is gone without a trade."""

    NEWEST = "newest"
    OLDEST = "oldest"
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


class Inference(Queues):
    """The inferred orders of one instrument. A level is the venue's quantity after every event. Not
    thread-safe.
    """

    def __init__(self, tick: int = 1, rule: Rule = Rule.LIKELIEST, weights: Weights = WEIGHTS) -> None:
        """`tick`: least distance of prices, 0 = unknown. Raises ValueError below 0, for unknown rules and for
        weights outside 0 to 4.
        """
        self._inference = _core.Inference(tick, rule, *weights)
        super().__init__(self._inference)

    def event(
        self,
        trades: Sequence[Print],
        levels: Sequence[tuple[Side, int, int]],
        ts: int,
        bests: Sequence[Best] = (),
    ) -> NDArray[np.void]:
        """Takes what one message of the venue says: its trades, and the levels (side, price, quantity; 0 =
        gone) that changed, at a time (ns since the epoch). A trade may also come before or after the change
        of its level, by half a second at most. `bests`: what a venue that tells changes of levels together
        told of its best levels in between, in their order; each goes before the message of levels that is not
        older.

        Returns the changes of orders (`outcrier.orders.ORDER_OP`) with numbers of our own, the flag INFERRED
        and a confidence.
        """
        return self._inference.event(list(trades), list(levels), ts, list(bests)).view(ORDER_OP)

    def begin(self, levels: Sequence[tuple[Side, int, int]], ts: int) -> NDArray[np.void]:
        """Takes a whole book, as levels (side, price, quantity), in place of what was known. Of its levels
        only the sums are known: each is one order, without any confidence.

        Returns the changes of orders: `Op.CLEAR` and the new ones.
        """
        return self._inference.begin(list(levels), ts).view(ORDER_OP)

    @property
    def counters(self) -> dict[str, int]:
        """Trades that no change of a level showed (unshown), that came after it (late) or were forgotten
        because too many waited (forgotten); changes that did not fit (refused).
        """
        return self._inference.counters()
