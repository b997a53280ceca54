"""What the feeder tells about a venue, for screens and summaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from outcrier.feeder.transport import TransportError


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueStatus:
    """A venue at one moment; counts are since the start."""

    venue: str
    test: bool
    """Its endpoint is not one of the venue's own hosts: published with the flag TEST."""
    listed: bool
    """Its instrument list has come, and a session has begun."""
    instruments: int
    books: int
    live: int
    stale: int
    """Books that are not live, whatever the reason."""
    closed: int
    """Of those, books of instruments that do not trade any more: nothing of them can be live."""
    connections: int
    connected: int
    subscribed: int
    reconnects: int
    messages: int
    bytes: int
    gaps: int
    faults: int
    unknown: Mapping[str, int]
    """Messages that neither a shape nor the venue knows, by name."""
    drift: Mapping[str, int]
    """Fields that the declaration does not know, and such that are gone, by name: how often each was seen in
    the messages that were looked at (`_core.Feed.drift`).
    """
    snapshots_waiting: int
    refused: int
    """Streams that the venue refused."""
    asked_again: int
    """Books that were subscribed anew on an open connection."""
    silent: int
    """Streams found silent beyond what their own rate explains."""
    take_overs: int
    """Connections that another one replaced before the venue cut them."""
    take_overs_failed: int
    """Tries to do so that failed."""
    last_error: str
    """One line; empty = none yet."""
    error: TransportError | None
    """Why nothing of the venue is reached now; None = something is, or nothing was tried yet."""

    @property
    def is_live(self) -> bool:
        """Every connection carries all that it was asked for, and every book that trades is live."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """Why the venue is not live, one line; empty = it is."""
        error = f": {self.error}" if self.error else ""
        if not self.listed:
            return f"no instrument list yet{error}"
        if not self.connections:
            return "nothing of it is asked for"
        reasons = []
        if self.subscribed < self.connections:
            reasons.append(f"{self.subscribed} of {self.connections} connections subscribed{error}")
        if recovering := self.stale - self.closed:
            reasons.append(f"{recovering} of {self.books - self.closed} books not live")
        return ", ".join(reasons)
