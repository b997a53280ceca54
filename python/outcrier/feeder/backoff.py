"""How long to wait before another try, and how many tries a venue allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

SECOND_NS: Final = 1_000_000_000

NEVER_NS: Final = 2**63 - 1
"""Later than any time."""

_DOUBLINGS_MAX: Final = 16
"""The bound has met any cap long before; a shift by the number of failures would grow without end."""


def full_jitter_ns(failures: int, base_ns: int, cap_ns: int, random: Callable[[], float]) -> int:
    """A random wait below a bound that doubles with each failure up to `cap_ns`; `random` gives numbers in
    [0, 1).

    Full jitter: sleep = random_between(0, min(cap, base * 2 ** attempt)), from "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015: of the variants compared there it needs the fewest calls to bring
    everyone back.
    """
    return int(random() * min(cap_ns, base_ns << min(failures, _DOUBLINGS_MAX)))


class Pace:
    """Messages at a steady rate: those of one connection, or of all to one address."""

    def __init__(self, per_second: float) -> None:
        self._every_ns = int(SECOND_NS / per_second)
        self.at_ns = 0
        """The next message may be sent then."""
        self.mute = 0
        """Links that have said nothing yet: they go first, for some venues cut who says nothing for 5 s."""

    def sent(self, now_ns: int) -> None:
        """A message left, in its turn or not."""
        self.at_ns = max(self.at_ns, now_ns) + self._every_ns


class AttemptBudget:
    """Connection attempts of a venue: never more than `limit` in any `window_ns`, over all its connections.

    A log of times, not a refilled bucket: a bucket of 300 lets up to 600 through in one window.
    """

    def __init__(self, limit: int, window_ns: int) -> None:
        self._times: deque[int] = deque(maxlen=limit)
        self._limit = limit
        self._window_ns = window_ns
        self._blocked_until_ns = 0

    def take(self, now_ns: int) -> int:
        """Takes one attempt and returns 0, or returns the time to ask again at."""
        if now_ns < self._blocked_until_ns:
            return self._blocked_until_ns
        if len(self._times) == self._limit and now_ns < self._times[0] + self._window_ns:
            return self._times[0] + self._window_ns
        self._times.append(now_ns)
        return 0

    def block(self, until_ns: int) -> None:
        """The venue refused this address until then (429, 418): no connection may try."""
        self._blocked_until_ns = max(self._blocked_until_ns, until_ns)
