"""Rules that follow a place in a queue by the quantity of its level alone, without orders.

What is gone of a level without a trade is shared between those before the place and those behind it. They are
the queue models of hftbacktest (`RiskAdverseQueueModel`, `ProbQueueModel` with `PowerProbQueueFunc` and
`LogProbQueueFunc`; docs of 2.4, "Queue Models"), as `mbo-queue` 0.7 (SPEC.md, section 5) has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

Share: TypeAlias = Callable[[Floats, Floats], Floats]
"""Part of what is gone that stood before the place, by the quantities before and behind it."""


def _by(weight: Callable[[Floats], Floats]) -> Share:
    def share(front: Floats, back: Floats) -> Floats:
        before, behind = weight(front), weight(back)
        both = before + behind
        return np.divide(before, both, out=np.zeros_like(both), where=both > 0)

    return share


MODELS: Final[Mapping[str, Share]] = {
    "always behind": lambda front, _: np.zeros_like(front),
    "proportional": _by(lambda qty: qty),
    "power 2": _by(lambda qty: qty**2),
    "power 3": _by(lambda qty: qty**3),
    "logarithmic": _by(np.log1p),
    "always before": lambda front, _: np.ones_like(front),
}


def moved(share: Share, ahead: Floats, traded: float, before: float, after: float) -> Floats:
    """Quantity before each place of a level that had `before`, of which `traded` traded, and has `after`."""
    left = max(before - traded, 0.0)
    gone = max(left - after, 0.0)
    ahead = np.maximum(ahead - traded, 0.0)
    if gone:
        ahead = ahead - share(ahead, np.maximum(left - ahead, 0.0)) * gone
    return np.clip(ahead, 0.0, after)
