"""The venues by name and by the number they carry on the wire.

Feeders write the number into every frame and consumers read it back; neither imports the other, so the table
lives here. A number is for life: it is never given to another venue.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from outcrier.errors import ConfigurationError

VENUE_NUMBERS: Final[dict[str, int]] = {
    "binance": 1,
    "binance_usdm": 2,
    "binance_coinm": 3,
    "binance_us": 4,
    "binance_tr": 5,
}
"""Wire `venue` by venue name; also the default channel of a venue published by its own process."""

EXCHANGE_PRODUCTS: Final[dict[str, tuple[str, str]]] = {
    "binance": ("BINANCE", "spot"),
    "binance_usdm": ("BINANCE", "usdm"),
    "binance_coinm": ("BINANCE", "coinm"),
    "binance_us": ("BINANCE_US", "spot"),
    "binance_tr": ("BINANCE_TR", "spot"),
}
"""Exchange and product by venue name, as the text lines name them."""

VENUE_NAMES: Final[dict[int, str]] = {number: name for name, number in VENUE_NUMBERS.items()}
"""Venue name by wire `venue`."""


def venue_number(name: str) -> int:
    """Wire number of the venue `name`. Raises ConfigurationError, with the names there are, for others."""
    number = VENUE_NUMBERS.get(name)
    if number is None:
        near = get_close_matches(name, VENUE_NUMBERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(f"unknown venue {name!r}: venues are {', '.join(VENUE_NUMBERS)}{hint}")
    return number


def venue_name(number: int) -> str:
    """Name of the venue with wire number `number`; a number this build does not know comes back as its
    decimal text.
    """
    return VENUE_NAMES.get(number, str(number))
