"""Plans for tests that need no feeder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from outcrier.feeder.plan import PlannedConnection, Planner
from outcrier.instruments import Instrument
from outcrier.venues import Venue


def plan_connections(
    venue: Venue,
    instruments: Sequence[Instrument],
    channels: Sequence[str],
    speeds: Mapping[str, str],
    ws_url: str = "",
) -> list[PlannedConnection]:
    """The connections of a venue that publishes `instruments`."""
    planner = Planner(venue, channels, speeds, ws_url)
    planner.add(instruments)
    return planner.connections


def planned_books(venue: Venue, connection: PlannedConnection) -> list[str]:
    """Native symbols whose book a planned connection feeds."""
    return connection.books
