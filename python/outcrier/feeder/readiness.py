"""When the start of a feeder is over. Pure: counts and times in, an answer out.

A venue has *started* when every one of its books that trades has been live, and then a whole cycle of the
snapshot plane has left: whoever joins now gets every book within a cycle. A venue without books has started
when its connections are subscribed and a cycle has left.

The start of the feeder is over when every venue has started, or has stood still for `STANDSTILL_NS`: one that
cannot be reached, or that refuses its books, is not waited for. It goes on to be tried, and `/health` tells
of it. Progress is an instrument list, or more connections subscribed or more books live than ever before, so
that the start ends whatever happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from outcrier.feeder.backoff import SECOND_NS

STANDSTILL_NS: Final = 30 * SECOND_NS
"""Longer than a try to connect (10 s) and its acknowledgement (10 s) take; then a venue is not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How far a venue is; counts are of its session."""

    venue: str
    listed: bool
    """Its instrument list has come, and its session has begun."""
    connections: int = 0
    subscribed: int = 0
    books: int = 0
    """Of instruments that trade."""
    been_live: int = 0
    """Of those, how many are live or have been."""
    cycles_begun: int = 0
    cycles: int = 0
    """Snapshot cycles sent whole."""


class _Venue:
    def __init__(self, now_ns: int) -> None:
        self.started = False
        self.moved_ns = now_ns
        self._furthest = (False, 0, 0)
        """What only ever grows, so that a connection that comes and goes is no progress for ever."""
        self._whole_at: int | None = None
        """Cycles begun when all its books had been live; None = they have not."""

    def take(self, now_ns: int, start: Start) -> bool:
        """Returns whether there was progress."""
        if (
            self._whole_at is None
            and start.listed
            and start.subscribed == start.connections
            and start.been_live >= start.books
        ):
            self._whole_at = start.cycles_begun
        # A cycle that was under way may have passed a book before it was live.
        self.started = self.started or (self._whole_at is not None and start.cycles > self._whole_at)
        listed, subscribed, been_live = self._furthest
        now = (
            listed or start.listed,
            max(subscribed, start.subscribed),
            max(been_live, start.been_live),
        )
        moved = now != self._furthest
        if moved:
            self._furthest, self.moved_ns = now, now_ns
        return moved


class Readiness:
    """Remembers how far each venue was."""

    def __init__(self) -> None:
        self._venues: dict[str, _Venue] = {}
        self.is_over = False
        """Stays true."""

    def take(self, now_ns: int, starts: list[Start]) -> bool:
        """How far the venues are now. Returns whether one of them made progress and the start is not over."""
        if self.is_over:
            return False
        moved = [self._venues.setdefault(start.venue, _Venue(now_ns)).take(now_ns, start) for start in starts]
        self.is_over = all(
            venue.started or now_ns - venue.moved_ns >= STANDSTILL_NS for venue in self._venues.values()
        )
        return any(moved) and not self.is_over

    def waiting(self) -> list[str]:
        """Venues that have not started."""
        return [name for name, venue in self._venues.items() if not venue.started]
