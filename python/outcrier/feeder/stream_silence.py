"""Which streams are silent beyond what their own rate explains. Pure: counts and times in, findings out.

TCP tells nothing of a subscription that a venue has lost: the link answers pings, other streams go on, and
one book stands still and looks live. How long a stream may be silent is learned from itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outcrier.feeder.backoff import SECOND_NS

BOOK: Final = 0
"""Column of the books in `_core.Feed.activity`."""

MEMORY_S: Final = 600.0
"""The rate is an exponential average over so long: longer than a lull, shorter than a session of Asia."""

MESSAGES_MIN: Final = 100
"""Below this a stream has not shown a rate."""

GAPS_MAX: Final = 50.0
"""A stream may be silent for so many mean intervals. Messages that come independently are silent for n of
them with probability e^-n; markets come in bursts, so a large n.
"""

SILENCE_MIN_NS: Final = 10 * SECOND_NS
"""No stream is called silent before: a venue's pause of some seconds is its own affair."""

AWAY_NS: Final = SILENCE_MIN_NS // 2
"""Between two looks: we were stopped, and what has come meanwhile waits in the sockets unread."""

SILENCE_MAX_NS: Final = 3600 * SECOND_NS
"""After an hour every stream that had shown a rate is asked for anew."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A stream that is silent too long."""

    index: int
    kind: int
    """Column of `_core.Feed.activity`."""
    for_ns: int
    expected_ns: int
    """Longest silence that its rate explains."""
    again: bool
    """It was found silent before, and is so still."""

    @property
    def is_book(self) -> bool:
        """Whether it is the book."""
        return self.kind == BOOK

    def __str__(self) -> str:
        return f"for {self.for_ns / SECOND_NS:.0f} s, expected {self.expected_ns / SECOND_NS:.0f} s"


class StreamSilence:
    """Learns the rates of all streams of a session; `look` about once a second."""

    def __init__(self) -> None:
        self._at_ns = 0
        self._counts: NDArray[np.uint64] = np.zeros((0, 0), np.uint64)
        self._rates: NDArray[np.float64] = np.zeros((0, 0))
        self._seen_ns: NDArray[np.int64] = np.zeros((0, 0), np.int64)
        """How long each stream was watched, up to the memory: a young average is a plain one."""
        self._since_ns: NDArray[np.int64] = np.zeros(0, np.int64)
        """Since when the connection of an instrument stands, if it was down."""
        self._told: dict[tuple[int, int], int] = {}
        """Times a stream was found silent since its last message."""

    def look(
        self,
        now_ns: int,
        counts: NDArray[np.uint64],
        last_ns: NDArray[np.uint64],
        cut_off: Sequence[int] = (),
    ) -> list[Silent]:
        """Streams newly silent, or silent for twice as long as when they were found last.

        `counts` and `last_ns` are messages so far and the time of the last one (0 = none), by instrument and
        kind (`_core.Feed.activity`); an instrument that is new, or gone, has counts that do not grow on.
        `cut_off` are instruments whose connection is down: their silence begins when it stands again.
        """
        elapsed_ns = now_ns - self._at_ns
        first, self._at_ns = self._at_ns == 0, now_ns
        self._fit(counts)
        came = counts.astype(np.int64) - self._counts.astype(np.int64)
        fresh = came < 0  # The slot has a new owner.
        self._rates[fresh], self._seen_ns[fresh] = 0.0, 0
        self._counts = counts.copy()
        if first or elapsed_ns <= 0:
            return []
        self._seen_ns = np.minimum(self._seen_ns + elapsed_ns, int(MEMORY_S * SECOND_NS))
        share = np.minimum(1.0, elapsed_ns / np.maximum(self._seen_ns, 1))
        if elapsed_ns >= AWAY_NS:
            self._since_ns[:] = now_ns
        self._since_ns[list(cut_off)] = now_ns
        silent_ns = now_ns - np.maximum(last_ns.astype(np.int64), self._since_ns[:, np.newaxis])
        # A stream that is found silent keeps the rate it had: silence must not teach that silence is usual.
        learns = (came > 0) | (silent_ns < SILENCE_MIN_NS)
        rate = np.where(fresh, 0.0, came / (elapsed_ns / SECOND_NS))
        self._rates = np.where(learns, self._rates + share * (rate - self._rates), self._rates)
        with np.errstate(divide="ignore"):
            gaps_ns = np.where(self._rates > 0, GAPS_MAX * SECOND_NS / self._rates, np.inf)
        expected_ns = np.clip(gaps_ns, SILENCE_MIN_NS, SILENCE_MAX_NS)
        known = (counts >= MESSAGES_MIN) & (last_ns > 0)
        found: list[Silent] = []
        for index, kind in np.argwhere(known & (silent_ns >= expected_ns)).tolist():
            times = self._told.get((index, kind), 0)
            expected = int(expected_ns[index, kind])
            if silent_ns[index, kind] >= expected << times:
                self._told[index, kind] = times + 1
                found.append(Silent(index, kind, int(silent_ns[index, kind]), expected, times > 0))
        for key in [key for key in self._told if came[key] != 0]:
            del self._told[key]
        return found

    def _fit(self, counts: NDArray[np.uint64]) -> None:
        """Room for instruments that came since."""
        if counts.shape == self._counts.shape:
            return
        rows = self._counts.shape[0]
        for name in ("_counts", "_rates", "_seen_ns", "_since_ns"):
            old = getattr(self, name)
            new = np.zeros(counts.shape[: old.ndim], old.dtype)
            if old.size:
                new[:rows] = old[: counts.shape[0]]
            setattr(self, name, new)
