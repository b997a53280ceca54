"""What a score says of each rule, with intervals: values only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np

from outcrier.bench.blocks import Blocks, Figure, figure
from outcrier.bench.cancels import Cancels
from outcrier.bench.found import AWAY, BEHIND, NEWEST, RULES, TRUTH, Counts, Parts, Scores
from outcrier.bench.likely import FillScore, IntervalScore, fill_scores, interval_scores
from outcrier.inference import Rule

_POINTS: Final = 100.0
_BINS: Final = 10
"""Of confidence."""


class RuleScore(msgspec.Struct, frozen=True, kw_only=True):
    """One rule."""

    rule: str
    error: Figure
    """Mean absolute difference to the true quantity before a test order, in lots."""
    error_of_queue: Figure
    """The same as a part of the level."""
    error_by_age: list[float]
    """The same in lots, of test orders that joined less than 1, 10 and 60 s before."""
    error_by_place: list[float]
    """The same by the true place: in the first, second and last third of the level."""
    error_by_away: list[float]
    """The same by the level that they joined (`found.AWAY`). All other figures are of the best one's."""
    error_of_newest: Figure
    """The same as a part of what newest-first has."""
    bias: float
    """Mean difference, in lots: above 0 the rule has too much before an order."""
    fill_bias: Figure
    """Part of the test orders that the rule has filled, less the part that was, in points."""
    fill_bias_beyond_truth: Figure
    """The same less what the true place has under the same rule of fills: that much is not the rule's."""
    fill_bias_to_newest: Figure
    """The size of the fill bias less that of newest-first, in points: below 0 the rule is nearer."""
    fill_time_error_s: float | None
    """Mean absolute difference of the times at which an order was filled and at which the rule has it filled,
    of those that both have; None: there is none.
    """


class Bin(msgspec.Struct, frozen=True):
    """Picked orders of about the same confidence."""

    confidence: float
    """Mean."""
    right: float
    """Part of them that was right."""
    picks: int


class CancelScore(msgspec.Struct, frozen=True, kw_only=True):
    """The orders that one rule picks for those that were cancelled."""

    rule: str
    error: float
    """Mean absolute difference of the place of the picked order to that of the cancelled one, in lots."""
    error_of_queue: float
    """The same as a part of the level."""
    right: float
    """Part of the events in which both begin at the same place."""
    order_count_error: float
    """Mean absolute difference of the number of orders of the level before, as a part of the true number."""
    calibration: list[Bin]
    """By tenths of confidence; those without a pick are left out."""


class CountScore(msgspec.Struct, frozen=True, kw_only=True):
    """The number of orders of the best levels, each second, as one rule has it."""

    rule: str
    error: float
    """Mean absolute difference as a part of the mean true number, of the eleven best levels."""
    by_away: list[float]
    """By level (`found.AWAY`)."""
    by_time: list[float]
    """By tenths of the recording: whether it grows."""


class SetScore(msgspec.Struct, frozen=True, kw_only=True):
    """All rules on one recording with one batching."""

    recording: str
    about: str
    every_ms: float
    """Messages of levels: all changes of so long together; 0 = each event."""
    depth: int
    """Levels a side that are told; 0 = all."""
    bests: bool
    """Rules of inferred orders were told of every change of the best prices, too. The formulas never are, and
    newest-first, which others are a part of, is then the formula `always behind`.
    """
    from_s: float
    """Test orders joined from so many seconds after the market opened on."""
    orders: int
    mean_queue: float
    """Lots before a test order when it joined."""
    filled: float
    """Part of them that was filled."""
    rules: list[RuleScore]
    cancels: int
    """Events in which one order of a level was cancelled or reduced, and nothing else happened there;
    messages of several events have none.
    """
    cancel_rules: list[CancelScore]
    count_rules: list[CountScore]
    intervals: list[IntervalScore]
    """Of the distribution of what is before a test order."""
    fills: list[FillScore]
    """Empty where trades do not say who took."""


def score(
    recording: str,
    about: str,
    every_ms: float,
    lot: int,
    *,
    scores: Scores,
    cancels: Cancels,
    depth: int = 0,
    bests: bool = False,
    from_s: float = 0,
) -> SetScore:
    """The figures of a recording. `lot`: mantissa that counts as one; `depth`: levels a side that were told,
    0 = all; `bests`: every change of the best prices was told, too; `from_s`: when test orders began to join.
    """
    by_away = Parts.of(len(AWAY))
    np.add.at(by_away.looks, scores.away, scores.looks)
    np.add.at(by_away.sums, scores.away, scores.off.T)
    intervals = interval_scores(scores, lot)
    fills = fill_scores(scores)
    counts = scores.counts
    scores = scores.select(scores.away == 0)
    blocks = Blocks(scores.placed)
    looks = blocks.sums(scores.looks)
    off = blocks.sums(scores.off / lot)
    share = blocks.sums(scores.share)
    gap = blocks.sums(_POINTS * (scores.filled - scores.was_filled))
    orders = blocks.sums(np.ones(len(scores.placed)))
    newest, truth = RULES.index(BEHIND if bests else NEWEST), RULES.index(TRUTH)
    missed = np.abs(blocks.draws(gap[newest], orders))
    rules = [
        RuleScore(
            rule=name,
            error=figure(blocks.draws(off[rule], looks)),
            error_of_queue=figure(blocks.draws(share[rule], looks)),
            error_by_age=_by_part(scores.by_age, rule, lot),
            error_by_place=_by_part(scores.by_place, rule, lot),
            error_by_away=_by_part(by_away, rule, lot),
            error_of_newest=figure(blocks.draws(off[rule], off[newest])),
            bias=float(scores.bias[rule].sum() / lot / scores.looks.sum()),
            fill_bias=figure(blocks.draws(gap[rule], orders)),
            fill_bias_beyond_truth=figure(blocks.draws(gap[rule] - gap[truth], orders)),
            fill_bias_to_newest=figure(np.abs(blocks.draws(gap[rule], orders)) - missed),
            fill_time_error_s=_fill_time_error(scores, rule),
        )
        for rule, name in enumerate(RULES)
    ]
    return SetScore(
        recording=recording,
        about=about,
        every_ms=every_ms,
        depth=depth,
        bests=bests,
        from_s=from_s,
        orders=len(scores.placed),
        mean_queue=float(scores.qty.mean() / lot),
        filled=float(scores.was_filled.mean()),
        rules=rules,
        cancels=len(cancels.place),
        cancel_rules=list(_cancel_rules(cancels, lot)),
        count_rules=list(_count_rules(counts)),
        intervals=intervals,
        fills=fills,
    )


def _cancel_rules(cancels: Cancels, lot: int) -> Iterator[CancelScore]:
    if not cancels.place:
        return
    place, queue, orders = (np.array(each, float) for each in (cancels.place, cancels.queue, cancels.orders))
    for rule, name in enumerate(Rule):
        picked, confidence, inferred = (
            np.array(each, float)[:, rule] for each in (cancels.picked, cancels.confidence, cancels.inferred)
        )
        off, right = np.abs(picked - place), picked == place
        bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
        yield CancelScore(
            rule=name,
            error=float(off.mean() / lot),
            error_of_queue=float((off / queue).mean()),
            right=float(right.mean()),
            order_count_error=float((np.abs(inferred - orders) / orders).mean()),
            calibration=[
                Bin(float(confidence[here].mean()), float(right[here].mean()), int(here.sum()))
                for here in (bins == number for number in range(_BINS))
                if here.any()
            ],
        )


def _by_part(parts: Parts, rule: int, lot: int) -> list[float]:
    errors: list[float] = (parts.means()[:, rule] / lot).tolist()
    return errors


def _count_rules(counts: Counts) -> Iterator[CountScore]:
    for rule, name in enumerate(Rule, 1):
        whole, away, time = (
            (sums[..., rule] / np.maximum(sums[..., 0], 1)).tolist()
            for sums in (counts.by_away.sums.sum(axis=0), counts.by_away.sums, counts.by_time.sums)
        )
        yield CountScore(rule=name, error=whole, by_away=away, by_time=time)


def _fill_time_error(scores: Scores, rule: int) -> float | None:
    both = scores.was_filled & (scores.filled_at[rule] > 0)
    if not both.any():
        return None
    late = np.abs(scores.filled_at[rule][both] - scores.was_filled_at[both])
    return float(late.mean() / 1e9)
