"""How many of its messages may be faulty before a connection is given up.

A message that is not what the venue documents is dropped and counted. A few are the venue's bad day; many
mean that what the connection brings cannot be trusted.
"""

from __future__ import annotations

from typing import Final

from outcrier.feeder.backoff import SECOND_NS

SHARE_MAX_PERCENT: Final = 1
"""Part of its messages that may be faulty before a connection is given up."""

MESSAGES_MIN: Final = 1_000
"""Fewer messages count as so many: ten bad ones among the first do not tell a share."""

HALF_WINDOW_NS: Final = 30 * SECOND_NS
"""The share is that of the last half to whole minute: an hour without fault must not hide a bad minute."""


class FaultWindow:
    """The share of faulty messages of one connection. Sans-I/O; times are of the monotonic clock."""

    def __init__(self) -> None:
        self._since_ns = 0
        self._messages_before = 0
        self._faults = 0
        self._last_half = (0, 0)

    def restart(self, now_ns: int, messages: int) -> None:
        """A new link; `messages` is the count so far of the connection's messages."""
        self._since_ns = now_ns
        self._messages_before = messages
        self._faults = 0
        self._last_half = (0, 0)

    def add(self, now_ns: int, messages: int) -> tuple[int, int] | None:
        """The last of `messages` is faulty. Returns (faults, messages) of the window if too many."""
        elapsed_ns = now_ns - self._since_ns
        if elapsed_ns >= HALF_WINDOW_NS:
            # What came in a longer time counts as its part in half a window.
            came = messages - 1 - self._messages_before
            self._last_half = (
                self._faults * HALF_WINDOW_NS // elapsed_ns,
                came * HALF_WINDOW_NS // elapsed_ns,
            )
            self._since_ns, self._messages_before, self._faults = now_ns, messages - 1, 0
        self._faults += 1
        faults = self._faults + self._last_half[0]
        total = messages - self._messages_before + self._last_half[1]
        return (faults, total) if 100 * faults > SHARE_MAX_PERCENT * max(total, MESSAGES_MIN) else None
