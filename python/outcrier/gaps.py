"""What was missing on the way here or at the exchange, why, and how it was made whole: one `Gap` a hole.

    for gap in sub.gaps():
        print(gap.venue, gap.first, gap.count, gap.cause, gap.repair, gap.after_ns)

A gap is told once it is over; those of the network by the numbers of the channel, those of the exchange by
the numbers of the venue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from outcrier.venue_numbers import venue_name

CAUSES: Final = ("network", "kernel drops", "exchange")
"""Why something was missing: lost on the way, dropped by the own kernel because this process or its receive
buffer was too slow, or never sent by the exchange.
"""

REPAIRS: Final = (
    "other line",
    "late",
    "retransmit",
    "repair group",
    "snapshot",
    "session",
    "exchange",
    "open",
)
"""How it was made whole: by line B or A, by a frame that came late, by the retransmit server, by an answer to
several consumers, by a snapshot or an image (books are whole, events in between are lost), by a new session,
by the publisher with a whole book from the exchange; or not yet.
"""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """One hole: numbers that were not there when the next ones were."""

    venue: str
    """Name of the venue; empty until a frame of the channel said it."""
    channel: int
    session: int
    plane: str
    """`incremental` or `snapshot`."""
    symbol: str
    """Instrument of a gap of the exchange; empty otherwise, and while its definition was not heard."""
    first: int
    """First number missing, of the channel's plane; of a gap of the exchange the number of the frame that
    told of it.
    """
    count: int
    """Numbers missing; 0 of a gap of the exchange."""
    expected: int
    """Of a gap of the exchange its own number that was expected; 0 otherwise, and where it has none."""
    got: int
    """And the one that came instead."""
    opened_ts: int
    """When it was noticed: wall time of the frame that showed it, ns since the epoch; 0 unknown."""
    cause: str
    """One of `CAUSES`."""
    repair: str
    """One of `REPAIRS`."""
    after_ns: int
    """Nanoseconds from noticed to whole; so far while it is open."""


def gap_of(row: dict[str, Any], symbol: Callable[[int, int], str]) -> Gap:
    """The `Gap` of one entry of `Receiver.gaps()`; `symbol` names an instrument by venue and number."""
    return Gap(
        venue=venue_name(row["venue"]) if row["venue"] else "",
        channel=row["channel"],
        session=row["session"],
        plane=row["plane"],
        symbol=symbol(row["venue"], row["instrument"]),
        first=row["first"],
        count=row["count"],
        expected=row["expected"],
        got=row["got"],
        opened_ts=row["opened_ts"],
        cause=row["cause"],
        repair=row["repair"],
        after_ns=row["after_ns"],
    )
