"""What `websocket_monitor` shows, as data: the document of `--json`.

Times ending in `_ns` are nanoseconds since the epoch, 0 = never; counters are since the publisher started, as
CONN has them.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from outcrier.monitor.report import GroupReport
from outcrier.reception import Address

VenueState = Literal["live", "degraded", "down", "not heard"]
"""The rule is `outcrier.monitor.health_rules.judge`."""

_ORDER: Final[tuple[VenueState, ...]] = ("down", "degraded", "not heard", "live")

NOT_LIVE_SHOWN: Final = 500
"""Instruments of one channel that are listed, the longest not live first."""


class ConnectionHealth(msgspec.Struct, frozen=True):
    """One connection of a venue, as CONN and STATUS tell it."""

    conn_id: int
    """From 1."""
    state: Literal["open", "lost"]
    since_ns: int
    since_known: bool
    """False: it was so already when it was heard of first, at `since_ns`."""
    reconnects: int
    subscriptions: int
    messages: int
    bytes: int
    messages_per_s: float | None
    """Of the last three seconds; None = not known, or not any more."""
    bytes_per_s: float | None
    silence_ms: int | None
    """Since its last message; None = it never brought one."""
    expected_ms: int
    """Silence that is still normal."""
    is_quiet: bool
    """Open, and silent for longer than expected."""
    told_ns: int
    """Receive stamp of its last CONN."""
    last_status: str
    """What its last STATUS said; empty = none was heard."""
    last_status_ns: int


class StateCount(msgspec.Struct, frozen=True):
    """Instruments of one state and reason."""

    state: str
    """As docs/wire-format.md has STATUS.state; unknown = nobody told yet."""
    reason: str
    count: int


class NotLive(msgspec.Struct, frozen=True):
    """An instrument whose book the publisher does not vouch for now."""

    instrument: int
    symbol: str
    """Canonical, with venue; the number where no definition was heard yet."""
    state: str
    reason: str
    since_ns: int
    expected: int
    """STATUS.expected and STATUS.got: numbers of the exchange around a gap; 0 = none."""
    got: int


class VenueHealth(msgspec.Struct, frozen=True):
    """One venue on one channel."""

    venue: str
    channel: int
    """0 = no frame of the venue was heard."""
    state: VenueState
    why: str
    """What keeps it from being live; empty if it is."""
    replay: bool
    test: bool
    session: int
    """0 = none was heard."""
    session_s: float | None
    """Age of the session, seconds."""
    heard_s: float | None
    """Seconds since anything of the channel was heard."""
    open: int
    """Connections that are open, of so many planned."""
    planned: int | None
    """None = not told yet."""
    reconnects: int
    subscriptions: int
    messages: int
    bytes: int
    messages_per_s: float | None
    """Of the last three seconds; None = not known, or not any more."""
    bytes_per_s: float | None
    silence_ms: int | None
    """Since the last message of any connection."""
    expected_ms: int
    live: int
    """Instruments that the publisher vouches for, of so many that are not closed."""
    total: int
    states: tuple[StateCount, ...]
    is_whole: bool
    """Every instrument was heard of: a whole snapshot cycle, or the session from its start."""
    last_error: str
    """By the text lines, which nobody signs, or by STATUS; empty = none was heard."""
    last_error_ns: int
    connections: tuple[ConnectionHealth, ...]
    unlisted: int
    """Messages about connections beyond the 1,000 that are followed."""
    not_live: tuple[NotLive, ...]
    """At most 500."""

    @property
    def is_dead(self) -> bool:
        """Down because of its feeder: it will tell no more."""
        return self.state == "down" and (self.planned is None or self.open > 0)


class HealthEvent(msgspec.Struct, frozen=True):
    """Something changed."""

    at_ns: int
    venue: str
    channel: int
    text: str
    is_bad: bool


class HealthReport(msgspec.Struct, frozen=True):
    """One look."""

    time_ns: int
    address: Address
    rcvbuf_bytes: int
    """Receive buffer in effect, as the kernel accounts it."""
    truncated: int
    overrun: int
    """CONN, STATUS and text lines that this monitor did not take in time."""
    groups: tuple[GroupReport, ...]
    """Those that are listened to, with what the kernel dropped for this monitor."""
    venues: tuple[VenueHealth, ...]
    """By name and channel."""
    events: tuple[HealthEvent, ...]
    """The last 500 of the venues shown, the oldest first."""
    events_ever: int
    """How many there were since the monitor started."""

    @property
    def is_complete(self) -> bool:
        """Whether waiting brings no more: each venue's connections and rates are known, and its instruments;
        or it is dead.
        """
        return bool(self.venues) and all(map(_is_complete, self.venues))

    @property
    def own_drops(self) -> int:
        """What this monitor did not hear although it came."""
        return self.overrun + self.truncated + sum(group.kernel_drops for group in self.groups)

    @property
    def refused(self) -> int:
        """Datagrams that are no frame or no text line of ours."""
        return sum(sum(group.refused.values()) + group.wrong_plane for group in self.groups)

    @property
    def venue_states(self) -> dict[VenueState, int]:
        """How many venues are in which state, of those states that there are."""
        states = [venue.state for venue in self.venues]
        return {state: states.count(state) for state in sorted(set(states), key=_ORDER.index)}


def _is_complete(venue: VenueHealth) -> bool:
    told = venue.replay or (venue.planned is not None and venue.messages_per_s is not None)
    return venue.channel != 0 and ((told and venue.is_whole) or venue.is_dead)
