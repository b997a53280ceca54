"""What a venue publishes and over which connections: instruments chosen by the configuration, then the
venue's plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from outcrier.config import VenueConfig
from outcrier.errors import ConfigurationError
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.connection import ConnectionSpec
from outcrier.instruments import Catalogue, Instrument, Trading
from outcrier.venues.base import Channel, ConnectionPlan, Limits, Venue

LIMITED_PER_CATEGORY: Final = 10
"""Instruments of one venue, kind and quote in LIMITED_MODE."""

FIRST_BASES: Final = ("BTC", "ETH")
"""What LIMITED_MODE takes first in a category. After these it keeps the order of the venue's own list."""

ALL: Final = "*"
"""The symbol that stands for all instruments that trade."""

_TRADING: Final = frozenset({Trading.OPEN, Trading.PRE_OPEN, Trading.AUCTION})
"""States in which "*" takes an instrument: the others have no book, some for years (Binance spot: BREAK)."""


_Part: TypeAlias = tuple[Instrument | None, list[str]]
"""Streams of one instrument, or of the whole venue (None)."""


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
    connections = plan_connections(venue, instruments, channels, speeds, config.ws_url)
    return VenuePlan(tuple(instruments), tuple(connections), tuple(channels))


def plan_connections(
    venue: Venue,
    instruments: Sequence[Instrument],
    channels: Sequence[str],
    speeds: Mapping[str, str],
    ws_url: str = "",
) -> list[ConnectionPlan]:
    """Connections that carry `channels` of `instruments`, filled one after the other up to the venue's
    limits; `ws_url` replaces the venue's base unless it is empty.
    """
    routes: dict[str, list[_Part]] = {}
    for instrument in instruments:
        own: dict[str, list[str]] = {}
        for stream in venue.streams(instrument, channels, speeds):
            own.setdefault(venue.route(stream), []).append(stream)
        for route, streams in own.items():
            routes.setdefault(route, []).append((instrument, streams))
    for name in channels if instruments else ():
        if venue.channels[name].whole_venue:
            stream = venue.whole_venue_stream(venue.channels[name])
            routes.setdefault(venue.route(stream), []).append((None, [stream]))
    base = (ws_url or venue.ws_url).rstrip("/")
    return [
        _connection(venue, base + route, filled)
        for route, parts in sorted(routes.items())
        for filled in _fill(venue.limits, parts)
    ]


def _fill(limits: Limits, parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """Fills connections; the streams of an instrument stay together, so that a loss hits the fewest."""
    filled: list[_Part] = []
    streams = chars = 0
    for part in parts:
        more = sum(map(len, part[1]))
        is_full = (
            0 < limits.streams_per_connection < streams + len(part[1])
            or 0 < limits.symbols_per_connection <= len(filled)
            or 0 < limits.chars_per_connection < chars + more
        )
        if filled and is_full:
            yield filled
            filled, streams, chars = [], 0, 0
        filled.append(part)
        streams += len(part[1])
        chars += more
    if filled:
        yield filled


def _connection(venue: Venue, url: str, parts: Sequence[_Part]) -> ConnectionPlan:
    streams = tuple(stream for _, own in parts for stream in own)
    fed = [(instrument, own) for instrument, own in parts if instrument is not None]
    return ConnectionPlan(
        url=url,
        streams=streams,
        instruments=tuple(instrument for instrument, _ in fed),
        books=tuple(
            instrument for instrument, own in fed if any(channel.book for channel in _channels_of(venue, own))
        ),
        # The shortest one that a stream promises.
        cadence_s=min(
            (channel.cadence_s for channel in _channels_of(venue, streams) if channel.cadence_s), default=0.0
        ),
    )


def _channels_of(venue: Venue, streams: Iterable[str]) -> list[Channel]:
    named = (venue.channel_of(stream) for stream in streams)
    return [venue.channels[each[0]] for each in named if each is not None]


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
        subscribe=(*venue.greeting(), *venue.subscribe(plan.streams)),
        messages_per_second=venue.limits.messages_per_s,
        expected_silence_ns=int(venue.keepalive.expected_silence_s * SECOND_NS),
        lifetime_ns=int(venue.keepalive.lifetime_s * SECOND_NS),
        cadence_ns=int(plan.cadence_s * SECOND_NS),
    )


def _base_rank(base: str) -> int:
    return FIRST_BASES.index(base) if base in FIRST_BASES else len(FIRST_BASES)
