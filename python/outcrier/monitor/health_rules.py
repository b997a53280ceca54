"""When a venue is live, degraded, down or not heard. Pure.

The numbers follow from what publishers promise (docs/wire-format.md): a heartbeat every 100 ms, CONN once a
second and at once when a connection is lost or back, STATUS with every change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from outcrier.monitor.health import ConnectionHealth, StateCount, VenueState

SILENT_NS: Final = 350_000_000
"""Without a number or a newer heartbeat for so long, a publisher is dead (docs/wire-format.md, timing)."""

UNTOLD_NS: Final = 2_500_000_000
"""CONN comes once a second; two missing ones, each of which may be lost, and some room."""

NOT_LIVE: Final = ("stale", "recovering", "unknown")
"""States of an instrument that make a venue degraded; the others are of trading."""

GONE: Final = ("closed", "delisted")
"""States of instruments that do not count."""


class Signs(msgspec.Struct, frozen=True):
    """What is known of a venue."""

    ended: bool
    split: bool
    replay: bool
    """A replay has no connections."""
    quiet_ns: int
    """Time since anything of its channel was heard."""
    told_ns: int | None
    """Time since the last CONN of the venue, or since the venue was heard first; None = none came yet."""
    open: int
    planned: int
    connections: Sequence[ConnectionHealth]
    states: Sequence[StateCount]

    @property
    def is_silent(self) -> bool:
        """Whether the feeder is dead, as far as one hears."""
        return not self.ended and self.quiet_ns >= SILENT_NS


def judge(signs: Signs, known_ns: int) -> tuple[VenueState, str]:
    """The state of a venue that was heard `known_ns` ago for the first time, and what keeps it from live.

    - down: the session has ended; or nothing was heard for `SILENT_NS`; or no connection is open.
    - not heard: its connections were not told yet, for at most `UNTOLD_NS` after it was heard first.
    - degraded: CONN is overdue; a connection is not open or silent for longer than expected; an instrument is
      stale, recovering or not told of; two publishers speak in one session.
    - live: nothing of that.
    """
    if signs.ended:
        return "down", "session ended"
    if signs.is_silent:
        return "down", f"feeder silent for {seconds(signs.quiet_ns)}"
    found = [] if signs.replay else _connections(signs)
    if not signs.replay and signs.told_ns is None and known_ns < UNTOLD_NS:
        return "not heard", "connections not told yet"
    if signs.planned and not signs.open:
        return "down", found[0]
    if signs.split:
        found.insert(0, "two publishers")
    found += [_count(each) for each in signs.states if each.state in NOT_LIVE]
    if not any(each.count for each in signs.states):
        found.append("no instrument heard")
    return ("degraded", "; ".join(found)) if found else ("live", "")


def _connections(signs: Signs) -> list[str]:
    found = []
    if signs.open < signs.planned:
        found.append(f"{signs.open} of {signs.planned} connections")
    if signs.told_ns is None:
        found.append("connections not told")
    elif signs.told_ns >= UNTOLD_NS:
        found.append(f"connections not told for {seconds(signs.told_ns)}")
    quiet = [each for each in signs.connections if each.is_quiet]
    if len(quiet) == 1:
        silence_ms = quiet[0].silence_ms or 0
        found.append(f"conn {quiet[0].conn_id} silent for {seconds(silence_ms * 1_000_000)}")
    elif quiet:
        found.append(f"{len(quiet)} connections silent")
    return found


def _count(each: StateCount) -> str:
    why = f" ({each.reason})" if each.reason else ""
    return f"{each.count} {'not told of' if each.state == 'unknown' else each.state}{why}"


def seconds(ns: int) -> str:
    """`0.4 s`, `12 s`."""
    value = ns / 1_000_000_000
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
