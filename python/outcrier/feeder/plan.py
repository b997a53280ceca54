"""What a venue publishes and over which connections: instruments chosen by the configuration, then the
venue's plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from outcrier.config import VenueConfig
from outcrier.errors import ConfigurationError
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.connection import ConnectionSpec
from outcrier.instruments import Catalogue, Instrument, Trading
from outcrier.venues.base import ConnectionPlan, Venue

LIMITED_PER_CATEGORY: Final = 10
"""Instruments of one venue, kind and quote in LIMITED_MODE."""

FIRST_BASES: Final = ("BTC", "ETH")
"""What LIMITED_MODE takes first in a category. After these it keeps the order of the venue's own list."""

ALL: Final = "*"
"""The symbol that stands for all instruments that trade."""

_TRADING: Final = frozenset({Trading.OPEN, Trading.PRE_OPEN, Trading.AUCTION})
"""States in which "*" takes an instrument: the others have no book, some for years (Binance spot: BREAK)."""


@dataclass(frozen=True, slots=True)
class VenuePlan:
    """What to publish and how to get it."""

    instruments: tuple[Instrument, ...]
    connections: tuple[ConnectionPlan, ...]
    channels: tuple[str, ...]

    def bookless(self, connection: ConnectionPlan) -> list[str]:
        """Native symbols of the instruments without a book that live and die with `connection`.

        Those with a stream there, and those without a stream of their own, told of by streams of all
        instruments.
        """
        with_book = {book.native_symbol for each in self.connections for book in each.books}
        streamed = {other.native_symbol for each in self.connections for other in each.instruments}
        here = {instrument.native_symbol for instrument in connection.instruments}
        natives = [instrument.native_symbol for instrument in self.instruments]
        return [n for n in natives if n not in with_book and (n in here or n not in streamed)]


def plan_venue(venue: Venue, catalogue: Catalogue, config: VenueConfig, *, limited: bool) -> VenuePlan:
    """The plan of one venue. Raises ConfigurationError: unknown symbol, channel or speed, or nothing left to
    publish.
    """
    channels = config.channels or venue.default_channels
    speeds = speeds_of(venue, channels, config)
    instruments = select(catalogue, config.symbols, limited=limited)
    if not instruments:
        raise ConfigurationError(f"venues.{venue.name}.symbols: none of {len(catalogue)} instruments is left")
    connections = venue.plan(instruments, channels, speeds, config.ws_url or None)
    return VenuePlan(tuple(instruments), tuple(connections), tuple(channels))


def check_venue(venue: Venue, config: VenueConfig) -> None:
    """Raises ConfigurationError for what can be refused before anything is connected: channels and speeds."""
    speeds_of(venue, config.channels or venue.default_channels, config)


def speeds_of(venue: Venue, channels: Sequence[str], config: VenueConfig) -> dict[str, str]:
    """The speed of each channel as configured, checked."""
    speeds: dict[str, str] = {}
    if config.depth_speed:
        speeds["depth"] = config.depth_speed
    try:
        venue.check_channels(channels, speeds)
    except ConfigurationError as error:
        raise ConfigurationError(f"venues.{venue.name}: {error}") from error
    return speeds


def select(catalogue: Catalogue, symbols: Iterable[str], *, limited: bool) -> list[Instrument]:
    """The instruments that `symbols` name, each once, in the order of the symbols, then of the venue's list.

    With `limited` at most LIMITED_PER_CATEGORY of each kind and quote: the bases of FIRST_BASES, then the
    first of the order above. Symbols named one by one are taken whatever their status, "*" takes those that
    trade.
    """
    chosen: dict[str, Instrument] = {}
    for symbol in symbols:
        if symbol == ALL:
            found = [instrument for instrument in catalogue if instrument.status in _TRADING]
        else:
            found = [catalogue.find(symbol)]
        for instrument in found:
            chosen.setdefault(instrument.native_symbol, instrument)
    instruments = list(chosen.values())
    if not limited:
        return instruments
    instruments.sort(key=lambda instrument: _base_rank(instrument.base))
    counts: dict[str, int] = {}
    kept: list[Instrument] = []
    for instrument in instruments:
        count = counts.get(instrument.category, 0)
        if count < LIMITED_PER_CATEGORY:
            counts[instrument.category] = count + 1
            kept.append(instrument)
    return kept


def spec_of(plan: ConnectionPlan, venue: Venue) -> ConnectionSpec:
    """What the connection machine must know of a planned connection."""
    return ConnectionSpec(
        url=plan.url,
        subscribe=plan.subscribe,
        messages_per_second=venue.limits.messages_per_s,
        expected_silence_ns=int(venue.keepalive.expected_silence_s * SECOND_NS),
        lifetime_ns=int(venue.keepalive.lifetime_s * SECOND_NS),
        cadence_ns=int(plan.cadence_s * SECOND_NS),
    )


def _base_rank(base: str) -> int:
    return FIRST_BASES.index(base) if base in FIRST_BASES else len(FIRST_BASES)
