"""How long to wait before another try, and how many tries a venue allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SECOND_NS: Final = 1_000_000_000

NEVER_NS: Final = 2**63 - 1
"""Later than any time."""

ARRIVAL_FACTOR: Final = 1.25
"""Intervals between messages are so much longer than allowed: the venue counts when they arrive."""

PONG_NS: Final = 10 * SECOND_NS
"""A ping has arrived by then, answered or not: it holds no message back for ever where a venue's pong is not
known as one.
"""

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


@dataclass(slots=True)
class _Sent:
    """A message and when it has arrived at the latest."""

    link: object
    answers: int
    """Those that have not come."""
    is_ping: bool
    by_ns: int
    """NEVER_NS = it may still be on its way."""


class Pace:
    """Messages at a steady rate: those of one connection, or of all to one address.

    Venues count when messages arrive, and what was held up on the way arrives all at once. So of as many
    messages as the venue takes in a second, the next one leaves only when the first has arrived a second ago
    for certain, which its answer tells; and one less is on its way, so that a ping need not wait for answers.
    TCP keeps the order: an answer says that what was sent before its message has arrived too.
    """

    def __init__(self, per_second: float) -> None:
        """`per_second`: messages that the venue takes in any second."""
        self._every_ns = int(SECOND_NS * ARRIVAL_FACTOR / per_second)
        self._burst = max(1, int(per_second))
        self._sent: deque[_Sent] = deque()
        self._next_ns = 0
        self.mute = 0
        """Links that have said nothing yet: they go first, for some venues cut who says nothing for 5 s."""

    @property
    def at_ns(self) -> int:
        """The next message may be sent then; NEVER_NS = not before something is answered or its link lost."""
        on_way = sum(each.by_ns == NEVER_NS for each in self._sent)
        if on_way >= max(1, self._burst - 1):
            return NEVER_NS
        return max(self._next_ns, self.ping_at_ns)

    @property
    def ping_at_ns(self) -> int:
        """The same of a ping, which asks nobody whether it is its turn, but is one of those of its second."""
        times = sorted(each.by_ns for each in self._sent)
        first_ns = times[-self._burst] if len(times) >= self._burst else -SECOND_NS
        return min(first_ns, NEVER_NS - SECOND_NS) + SECOND_NS

    def sent(self, now_ns: int, link: object, answers: int = 0, *, is_ping: bool = False) -> None:
        """A message left on `link`, in its turn or not; the venue will give so many answers, or a pong. One
        that is not answered has arrived, as far as anybody knows.
        """
        self._next_ns = max(self._next_ns, now_ns) + self._every_ns
        by_ns = NEVER_NS if answers else now_ns + PONG_NS if is_ping else now_ns
        self._sent.append(_Sent(link, answers, is_ping, by_ns))
        while self._sent[0].by_ns + SECOND_NS <= now_ns and not self._sent[0].answers:
            self._sent.popleft()

    def answered(self, now_ns: int, link: object, count: int) -> None:
        """So many answers came: those to the oldest messages."""
        for each in self._sent:
            if each.link is link and each.answers:
                self._arrived(now_ns, each)
                taken = min(count, each.answers)
                each.answers -= taken
                count -= taken
                if not count:
                    return

    def ponged(self, now_ns: int, link: object) -> None:
        """The oldest ping was answered."""
        ping = next((each for each in self._sent if each.link is link and each.is_ping), None)
        if ping is not None:
            self._arrived(now_ns, ping)
            ping.is_ping = False

    def forget(self, now_ns: int, link: object) -> None:
        """No answer will come any more: the link is gone, or the venue does not give one."""
        for each in self._sent:
            if each.link is link:
                each.by_ns = min(each.by_ns, now_ns)
                each.answers, each.is_ping = 0, False

    def _arrived(self, now_ns: int, last: _Sent) -> None:
        for each in self._sent:
            if each.link is last.link:
                each.by_ns = min(each.by_ns, now_ns)
            if each is last:
                return


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
