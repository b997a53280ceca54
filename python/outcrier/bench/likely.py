"""What a score says of the distribution of what is before a test order, and of a fill's probability."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from outcrier.bench.blocks import Blocks, Figure, figure
from outcrier.bench.found import WITHIN, Parts, Scores
from outcrier.bench.models import Floats

_BINS: Final = 10
"""Of the probability of a fill."""


class Held(msgspec.Struct, frozen=True):
    """Intervals of a part of the looks, in means."""

    said: float
    """What the distribution says is within: at least what was asked for, since quantities are whole."""
    held: float
    """Part of the looks at which the truth was within."""
    width: float
    """In lots."""


class IntervalScore(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals of one probability, of test orders at the best level."""

    within: float
    said: float
    held: Figure
    width: float
    by_age: list[Held]
    """Test orders that joined less than 1, 10 and 60 s before."""
    by_place: list[Held]
    """By the true place: in the first, second and last third of the level."""
    by_away: list[Held]
    """By the level that they joined (`found.AWAY`)."""


class FillBin(msgspec.Struct, frozen=True):
    """Asks with about the same answer."""

    said: float
    """Mean probability."""
    filled: float
    """Part that was filled in time."""
    asks: int


class FillScore(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities of a fill within a time, of test orders of all levels."""

    seconds: int
    best: bool
    """Of the best level's alone."""
    asks: int
    said: float
    """Mean probability."""
    filled: float
    """Part that was filled in time: the base rate."""
    brier: float
    """Mean squared difference of probability and outcome (Brier, "Verification of forecasts expressed in
    terms of probability", 1950).
    """
    brier_of_base: Figure
    """The same as a part of what the base rate has, which nobody knows beforehand."""
    bins: list[FillBin]
    """By tenths of the probability; those without an ask are left out."""


def interval_scores(scores: Scores, lot: int) -> list[IntervalScore]:
    """By probability that was asked for."""
    best = scores.select(scores.away == 0)
    blocks = Blocks(best.placed)
    looks = blocks.sums(best.looks)
    all_looks = max(float(best.looks.sum()), 1.0)
    found, every = best.intervals, scores.intervals
    return [
        IntervalScore(
            within=within,
            said=float(found.said[row].sum() / all_looks),
            held=figure(blocks.draws(blocks.sums(found.held[row]), looks)),
            width=float(found.width[row].sum() / all_looks / lot),
            by_age=_held(every.by_age, row, lot),
            by_place=_held(every.by_place, row, lot),
            by_away=_held(every.by_away, row, lot),
        )
        for row, within in enumerate(WITHIN)
    ]


def _held(parts: Parts, row: int, lot: int) -> list[Held]:
    said, held, width = parts.means().reshape(-1, 3, len(WITHIN))[:, :, row].T
    return [Held(*each) for each in zip(said.tolist(), held.tolist(), (width / lot).tolist(), strict=True)]


def fill_scores(scores: Scores) -> list[FillScore]:
    """By time within which a fill was asked for: of all test orders, and of those of the best level."""
    asks = scores.asks
    order, seconds = np.array(asks.order, np.int64), np.array(asks.seconds, np.int64)
    time, said = np.array(asks.time, np.int64), np.array(asks.probability, float)
    late = scores.was_filled_at[order] - time
    filled = scores.was_filled[order] & (late <= seconds * 1_000_000_000)
    return [
        _fill_score(within, best, scores.placed[order[here]], said[here], filled[here])
        for within in np.unique(seconds).tolist()
        for best in (False, True)
        for here in ((seconds == within) & (~np.bool_(best) | (scores.away[order] == 0)),)
        if here.any()
    ]


def _fill_score(
    seconds: int, best: bool, placed: NDArray[np.int64], said: Floats, filled: NDArray[np.bool_]
) -> FillScore:
    blocks, base = Blocks(placed), float(filled.mean())
    outcome = filled.astype(np.float64)
    off, by_base = (said - outcome) ** 2, (base - outcome) ** 2
    bins = np.minimum((said * _BINS).astype(int), _BINS - 1)
    return FillScore(
        seconds=seconds,
        best=best,
        asks=len(said),
        said=float(said.mean()),
        filled=base,
        brier=float(off.mean()),
        brier_of_base=figure(blocks.draws(blocks.sums(off), blocks.sums(by_base))),
        bins=[
            FillBin(float(said[here].mean()), float(filled[here].mean()), int(here.sum()))
            for here in (bins == number for number in range(_BINS))
            if here.any()
        ],
    )
