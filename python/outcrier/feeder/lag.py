"""How late the event loop comes: the delay of a timer that fires often. Pure."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from outcrier.feeder.backoff import SECOND_NS

BOUNDS_NS: Final = tuple(ms * SECOND_NS // 1_000 for ms in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000))
"""Upper bounds of the buckets. A message waits for the loop that long."""

WINDOW_NS: Final = 60 * SECOND_NS
"""The largest delay is told of at least this long, and of at most twice: scrapers come every 15 to 60 s."""


class LoopLag:
    """A histogram, and the largest delay of late."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_NS) + 1)
        """Delays up to each bound but above the one before; the last one has no bound."""
        self.sum_ns = 0
        self._max_ns = (0, 0)
        """Of the window before and of this one."""
        self._window_ends_ns = 0

    def late(self, now_ns: int, late_ns: int) -> None:
        """A timer fired so late."""
        late_ns = max(late_ns, 0)
        self.buckets[bisect_left(BOUNDS_NS, late_ns)] += 1
        self.sum_ns += late_ns
        before, this = self._max_ns
        if now_ns >= self._window_ends_ns:
            before, this = this, 0
            self._window_ends_ns = now_ns + WINDOW_NS
        self._max_ns = (before, max(this, late_ns))

    @property
    def max_ns(self) -> int:
        """The largest delay of the last one to two windows."""
        return max(self._max_ns)
