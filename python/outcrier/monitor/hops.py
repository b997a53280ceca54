"""How long frames take from hop to hop: from running histograms to quantiles, since the start and lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

LATELY_NS: Final = 10_000_000_000
"""What "lately" means: long enough for a p99 of a few hundred messages a second."""

BARS: Final = tuple(4**power for power in range(5, 18))
"""Bounds of the bars in nanoseconds: 1 µs, 4 µs ... 17 s; the outer bars are what is below and above."""

Buckets = Iterable[tuple[int, int, int]]
"""Lower bound, upper bound and count."""

Sampled = list[tuple[str, int, list[tuple[int, int, int]]]]
"""Name of a hop, durations below zero, buckets."""


class Quantiles(msgspec.Struct, frozen=True):
    """Durations in nanoseconds: upper bounds of buckets, at most an eighth too high; None without any."""

    count: int
    p50_ns: int | None
    p90_ns: int | None
    p99_ns: int | None
    p999_ns: int | None
    max_ns: int | None


class HopReport(msgspec.Struct, frozen=True):
    """One hop of one channel."""

    channel: int
    venue: str
    hop: str
    """exchange_to_recv, recv_to_send or send_to_kernel."""
    total: Quantiles
    """Since the monitor started."""
    lately: Quantiles
    """Of the last ten seconds."""
    bars: tuple[int, ...]
    """Counts of the last ten seconds between `BARS`."""
    negative: int
    """Durations below zero, since the start: the clocks of two machines disagree by more."""


class Hops:
    """Remembers the histograms of the last seconds."""

    def __init__(self, mono_ns: int) -> None:
        self.reports: tuple[HopReport, ...] = ()
        self._history: deque[tuple[int, dict[tuple[int, str], dict[int, int]]]] = deque([(mono_ns, {})])

    def take(self, hops: Mapping[tuple[int, str], Sampled], mono_ns: int) -> None:
        """`hops`: of each channel and venue, as `_core.Monitor` counts them."""
        while len(self._history) > 1 and self._history[1][0] <= mono_ns - LATELY_NS:
            self._history.popleft()
        now: dict[tuple[int, str], dict[int, int]] = {}
        before = self._history[0][1]
        reports = []
        for (channel, venue), sampled in hops.items():
            for hop, negative, buckets in sampled:
                old = before.get((channel, hop), {})
                lately = [(low, high, count - old.get(low, 0)) for low, high, count in buckets]
                now[channel, hop] = {low: count for low, _, count in buckets}
                reports.append(
                    HopReport(
                        channel, venue, hop, quantiles(buckets), quantiles(lately), bars(lately), negative
                    )
                )
        self.reports = tuple(reports)
        self._history.append((mono_ns, now))


def quantiles(buckets: Buckets) -> Quantiles:
    """Of ascending buckets. The k-th of n durations is the p-quantile where k/n reaches p."""
    filled = [(high, count) for _, high, count in buckets if count]
    total = sum(count for _, count in filled)
    # In thousandths, so that no rounding decides which duration it is.
    found: list[int | None] = []
    for part in (500, 900, 990, 999, 1000):
        rank, passed, value = -(-total * part // 1000), 0, None
        for high, count in filled:
            passed += count
            if passed >= rank:
                value = high
                break
        found.append(value)
    return Quantiles(total, *found)


def bars(buckets: Buckets) -> tuple[int, ...]:
    """Counts between the bounds of `BARS`."""
    counts = [0] * (len(BARS) + 1)
    for low, _, count in buckets:
        counts[sum(low >= bound for bound in BARS)] += count
    return tuple(counts)
