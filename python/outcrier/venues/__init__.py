"""The venues that this build knows."""

from __future__ import annotations

from typing import Final

from outcrier.venue_numbers import venue_number
from outcrier.venues.base import Venue
from outcrier.venues.binance import BINANCE, BINANCE_COINM, BINANCE_TR, BINANCE_US, BINANCE_USDM

__all__ = ["VENUES", "Venue", "venue_by_name"]

VENUES: Final[dict[str, Venue]] = {
    venue.name: venue for venue in (BINANCE, BINANCE_USDM, BINANCE_COINM, BINANCE_US, BINANCE_TR)
}
"""Every venue by name."""


def venue_by_name(name: str) -> Venue:
    """The venue `name`. Raises ConfigurationError, with the names that exist, for any other."""
    venue_number(name)
    return VENUES[name]
