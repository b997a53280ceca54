"""Rows of the record and the bars they are held to: values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

OURS = "ours"
"""Name of our own case in every row."""


@dataclass(frozen=True)
class AtMost:
    """Ours costs at most `limit` times what `peer` costs."""

    limit: float
    peer: str

    def text(self) -> str:
        return f"≤ {self.limit:g} of {self.peer}"

    def ratios(self, ours: Sequence[float], peer: Sequence[float]) -> list[float]:
        """Ours over peer, round by round."""
        return [mine / theirs for mine, theirs in zip(ours, peer, strict=True)]

    def misses(self, ratio: float) -> float:
        """By which part of the bar it is missed; 0 or less: met."""
        return ratio / self.limit - 1


@dataclass(frozen=True)
class AtLeast:
    """`peer` costs at least `limit` times what ours costs."""

    limit: float
    peer: str

    def text(self) -> str:
        return f"{self.peer} ≥ {self.limit:g} of ours"

    def ratios(self, ours: Sequence[float], peer: Sequence[float]) -> list[float]:
        """Peer over ours, round by round."""
        return [theirs / mine for mine, theirs in zip(ours, peer, strict=True)]

    def misses(self, ratio: float) -> float:
        """By which part of the bar it is missed; 0 or less: met."""
        return 1 - ratio / self.limit


@dataclass(frozen=True)
class Limit:
    """Ours is at most `limit`, in the unit of the row: for sizes, which no machine changes."""

    limit: float

    def text(self) -> str:
        return f"≤ {self.limit:g}"

    def misses(self, value: float) -> float:
        """By which part of the limit it is missed; 0 or less: met."""
        if self.limit == 0:
            return value
        return value / self.limit - 1


Bar = AtMost | AtLeast | Limit


@dataclass(frozen=True)
class Row:
    """One line of the record: what is measured, its unit (less is better), and its bars.

    Without bars it is recorded for what it tells.
    """

    name: str
    unit: str
    bars: tuple[Bar, ...] = ()
    note: str = ""
    """What a reader has to know of how it is measured."""


@dataclass(frozen=True)
class Verdict:
    """A bar and what came out."""

    bar: str
    peer: str | None
    ratio: float
    low: float
    high: float
    missed_by: float

    @property
    def is_met(self) -> bool:
        return self.missed_by <= 0


def judge(row: Row, values: Mapping[str, Sequence[float]]) -> list[Verdict]:
    """Holds a row to those of its bars whose peer was measured; `values`: per case one a round."""
    ours = values.get(OURS)
    if ours is None:
        return []
    verdicts = []
    for bar in row.bars:
        if isinstance(bar, Limit):
            value = median(ours)
            verdicts.append(Verdict(bar.text(), None, value, min(ours), max(ours), bar.misses(value)))
            continue
        peer = values.get(bar.peer)
        if peer is None or len(peer) != len(ours):
            continue  # not measured, or failed in a round: the record says so elsewhere
        # Round by round, because the load of a shared machine drifts and both cases of a round meet the same.
        ratios = bar.ratios(ours, peer)
        ratio = median(ratios)
        verdicts.append(Verdict(bar.text(), bar.peer, ratio, min(ratios), max(ratios), bar.misses(ratio)))
    return verdicts
