"""Which REST snapshot to fetch when: a queue under a weight budget. Sans-I/O; times are nanoseconds of the
monotonic clock.

A venue counts the weight of requests per minute and address and bans who exceeds it, so a reconnection of 200
books is spread over the minutes it needs. Products of one venue may share one count: they share one
`WeightPool`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from typing import Final

from outcrier.feeder.backoff import SECOND_NS, full_jitter_ns

WINDOW_NS: Final = 60 * SECOND_NS
"""Binance counts weight per minute (`X-MBX-USED-WEIGHT-1M`)."""

POOL_SHARE: Final = 0.8
"""Part of the venue's weight that we use: the instrument list and the operator's other programs need some
too.
"""

RETRY_BASE_NS: Final = SECOND_NS
RETRY_CAP_NS: Final = 60 * SECOND_NS
"""Full jitter between these bounds after a failed fetch."""

TOO_OLD_WAIT_NS: Final = SECOND_NS // 4
"""A snapshot older than the held diffs comes from a cache that lags: asked at once it would be as old again.
"""


class WeightPool:
    """Request weight per minute of one address at one venue; never more than its share in any 60 s that we
    know of.
    """

    def __init__(self, limit: int) -> None:
        """`limit` is what the venue documents per minute."""
        self._limit = int(limit * POOL_SHARE)
        self._spent: deque[tuple[int, int]] = deque()
        self._total = 0
        self._blocked_until_ns = 0

    def take(self, now_ns: int, weight: int) -> int:
        """Takes `weight` and returns 0, or returns the time to ask again at. A weight above the whole share
        passes alone.
        """
        self._forget(now_ns)
        if now_ns < self._blocked_until_ns:
            return self._blocked_until_ns
        excess = self._total + weight - self._limit
        if excess > 0 and self._spent:
            for time_ns, spent in self._spent:
                excess -= spent
                if excess <= 0:
                    return time_ns + WINDOW_NS
            return self._spent[-1][0] + WINDOW_NS
        self._add(now_ns, weight)
        return 0

    def observed(self, now_ns: int, used: int) -> None:
        """The venue says how much was used in its minute: what is not ours was spent by others on this
        address.
        """
        self._forget(now_ns)
        if used > self._total:
            self._add(now_ns, used - self._total)

    def block(self, until_ns: int) -> None:
        """The venue refuses requests until then (429, 418)."""
        self._blocked_until_ns = max(self._blocked_until_ns, until_ns)

    def _add(self, now_ns: int, weight: int) -> None:
        self._spent.append((now_ns, weight))
        self._total += weight

    def _forget(self, now_ns: int) -> None:
        while self._spent and self._spent[0][0] + WINDOW_NS <= now_ns:
            self._total -= self._spent.popleft()[1]


@dataclass(slots=True)
class _Wish:
    not_before_ns: int
    failures: int = 0


@dataclass(frozen=True, slots=True)
class _Answered:
    """A book came, after so many failures, then."""

    failures: int
    at_ns: int


class SnapshotScheduler:
    """The books of one venue that wait for a snapshot, first come first served.

    A book is waiting, under way, or unknown here. `want` begins, `done` ends; `forget` ends it when the
    connection is lost.
    """

    def __init__(
        self, pool: WeightPool, at_once: int, random: Callable[[], float], *, weight: int = 1
    ) -> None:
        """`at_once`: how many may be under way; `random` gives uniform numbers in [0, 1)."""
        self._pool = pool
        self.weight = weight
        """What one snapshot costs."""
        self.held: Callable[[], Set[int]] = frozenset
        """Books whose turn does not come now, whatever the time is."""
        self._at_once = at_once
        self._random = random
        self._waiting: OrderedDict[int, _Wish] = OrderedDict()
        self._under_way: dict[int, _Wish] = {}
        self._answered: dict[int, _Answered] = {}
        self.pool_at_ns = 0
        """Before this the pool has nothing left."""

    def want(self, now_ns: int, index: int) -> int:
        """The book `index` needs a snapshot; asked again while it waits or is under way, nothing changes.

        Once more within RETRY_CAP_NS of the last one is as good as a failure: a book that never lasts (the
        checksum is always wrong) must not be asked for in a loop. Returns the wait drawn for that.
        """
        if index in self._waiting or index in self._under_way:
            return 0
        last = self._answered.pop(index, None)
        wish = self._waiting[index] = _Wish(now_ns)
        if last is not None and now_ns < last.at_ns + RETRY_CAP_NS:
            wish.failures = last.failures + 1
            jitter_ns = full_jitter_ns(last.failures, RETRY_BASE_NS, RETRY_CAP_NS, self._random)
            wish.not_before_ns += jitter_ns if last.failures else 0
        return wish.not_before_ns - now_ns

    def due(self, now_ns: int) -> list[int]:
        """The books whose snapshot to fetch now; each must be answered by `done`, `too_old` or `failed`."""
        if now_ns < self.pool_at_ns:
            return []
        starting: list[int] = []
        held = self.held()
        for index, wish in list(self._waiting.items()):
            if len(self._under_way) >= self._at_once:
                break
            if now_ns < wish.not_before_ns or index in held:
                continue
            self.pool_at_ns = self._pool.take(now_ns, self.weight)
            if self.pool_at_ns:
                break
            del self._waiting[index]
            self._under_way[index] = wish
            starting.append(index)
        return starting

    def done(self, now_ns: int, index: int) -> None:
        """The whole book is there."""
        wish = self._under_way.pop(index, None) or self._waiting.pop(index, None)
        if wish is not None:
            self._answered[index] = _Answered(wish.failures, now_ns)

    def too_old(self, now_ns: int, index: int) -> None:
        """The snapshot was older than the held diffs: once more, a little later."""
        wish = self._under_way.pop(index, None) or _Wish(now_ns)
        self._again(index, wish, now_ns + TOO_OLD_WAIT_NS)

    def failed(self, now_ns: int, index: int, retry_after_ns: int = 0) -> int:
        """The fetch failed: again after a back-off with full jitter, and not before `retry_after_ns` have
        passed. Returns the wait.
        """
        wish = self._under_way.pop(index, None)
        if wish is None:
            return 0
        jitter_ns = full_jitter_ns(wish.failures, RETRY_BASE_NS, RETRY_CAP_NS, self._random)
        wish.failures += 1
        wait_ns = max(jitter_ns, retry_after_ns)
        self._again(index, wish, now_ns + wait_ns)
        return wait_ns

    def forget(self, indices: Iterable[int]) -> None:
        """The connection of these books is lost: their diffs are gone, a snapshot under way would join
        nothing.
        """
        for index in indices:
            self._waiting.pop(index, None)
            self._under_way.pop(index, None)
            self._answered.pop(index, None)

    def forgive(self, indices: Iterable[int]) -> None:
        """What becomes of these books now is no fault of theirs."""
        for index in indices:
            self._answered.pop(index, None)

    def is_under_way(self, index: int) -> bool:
        """Whether the answer of a fetch is still wanted."""
        return index in self._under_way

    @property
    def deadline_ns(self) -> int | None:
        """When `due` may next give something; None = not before another input."""
        held = self.held()
        times = [wish.not_before_ns for index, wish in self._waiting.items() if index not in held]
        if not times or len(self._under_way) >= self._at_once:
            return None
        return max(self.pool_at_ns, min(times))

    @property
    def waiting(self) -> int:
        """Books whose turn has not come."""
        return len(self._waiting)

    @property
    def backlog(self) -> int:
        """Books waiting or under way."""
        return len(self._waiting) + len(self._under_way)

    def _again(self, index: int, wish: _Wish, not_before_ns: int) -> None:
        wish.not_before_ns = not_before_ns
        self._waiting[index] = wish
