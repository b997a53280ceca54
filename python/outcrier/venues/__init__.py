"""The venues that this build connects to: the values `VENUES` of the modules here. A module that is put here
is found; nothing lists it.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Final

from outcrier.errors import ConfigurationError
from outcrier.venue_numbers import venue_number
from outcrier.venues.base import Venue

__all__ = ["VENUES", "Venue", "venue_by_name"]


def _found() -> dict[str, Venue]:
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    venues: list[Venue] = [venue for module in modules for venue in getattr(module, "VENUES", ())]
    return {venue.name: venue for venue in sorted(venues, key=lambda venue: venue.number)}


VENUES: Final[dict[str, Venue]] = _found()
"""Every venue by name, in the order of their numbers."""


def venue_by_name(name: str) -> Venue:
    """The venue `name`. Raises ConfigurationError, with the names that exist, for any other."""
    venue_number(name)
    venue = VENUES.get(name)
    if venue is None:
        raise ConfigurationError(f"{name} has a number but no connector yet: venues are {', '.join(VENUES)}")
    return venue
