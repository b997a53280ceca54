"""What the feeder tells about a venue, for screens and summaries."""

from __future__ import annotations

from dataclasses import dataclass

from outcrier.feeder.transport import TransportError


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueStatus:
    """A venue at one moment; counts are since the start."""

    venue: str
    test: bool
    """Its endpoint is not one of the venue's own hosts: published with the flag TEST."""
    instruments: int
    books: int
    live: int
    stale: int
    """Books that are not live, whatever the reason."""
    connections: int
    connected: int
    subscribed: int
    reconnects: int
    messages: int
    bytes: int
    gaps: int
    faults: int
    unknown: int
    """Frames that neither a shape nor the venue knows."""
    snapshots_waiting: int
    last_error: str
    """One line; empty = none yet."""
    error: TransportError | None
    """Why nothing of the venue is reached now; None = something is, or nothing was tried yet."""
