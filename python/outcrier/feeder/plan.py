"""Over which connections a venue's streams come: within its limits, at the start and while they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from outcrier.config import VenueConfig
from outcrier.errors import ConfigurationError
from outcrier.feeder.allowance import ARRIVAL_NS
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.connection import ConnectionSpec
from outcrier.feeder.selection import select
from outcrier.instruments import Catalogue, Instrument
from outcrier.venues.base import Channel, Limits, Venue


@dataclass(frozen=True, slots=True)
class Part:
    """Streams of one instrument, or of the whole venue (None), on one connection."""

    instrument: Instrument | None
    streams: tuple[str, ...]
    book: tuple[str, ...] = ()
    """Those of the streams that feed the book."""
    orders: tuple[str, ...] = ()
    """Those that feed the orders."""


@dataclass(slots=True)
class PlannedConnection:
    """A connection and what it carries now."""

    number: int
    """From 1, never given again."""
    url: str
    route: str
    parts: dict[str, Part] = field(default_factory=dict)
    """By native symbol; those of the whole venue by the name of the stream."""
    n_streams: int = 0
    chars: int = 0
    """Characters of the names of all streams."""

    def put(self, key: str, part: Part) -> None:
        """Takes a part that is not here yet."""
        self.parts[key] = part
        self.n_streams += len(part.streams)
        self.chars += sum(map(len, part.streams))

    def pop(self, key: str) -> tuple[str, ...]:
        """Takes a part out, if it is here; its streams."""
        part = self.parts.pop(key, None)
        if part is None:
            return ()
        self.n_streams -= len(part.streams)
        self.chars -= sum(map(len, part.streams))
        return part.streams

    @property
    def streams(self) -> tuple[str, ...]:
        """Every stream, those of an instrument together."""
        return tuple(stream for part in self.parts.values() for stream in part.streams)

    @property
    def books(self) -> list[str]:
        """Native symbols whose book it feeds: stale when it is lost."""
        return [native for native, part in self.parts.items() if part.book]

    @property
    def orders(self) -> list[str]:
        """Native symbols whose orders it feeds."""
        return [native for native, part in self.parts.items() if part.orders]

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Instruments with at least one stream here."""
        return tuple(part.instrument for part in self.parts.values() if part.instrument is not None)


@dataclass(frozen=True, slots=True)
class Change:
    """What a connection has to do for a new plan; it is opened if new, and closed if nothing is left."""

    connection: PlannedConnection
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    is_new: bool = False


class Planner:
    """Spreads the streams of a venue over connections within its limits, also while they run: a change
    touches no stream of another instrument.
    """

    def __init__(
        self, venue: Venue, channels: Sequence[str], speeds: Mapping[str, str], ws_url: str = ""
    ) -> None:
        """`ws_url` replaces the venue's base unless it is empty."""
        self.venue = venue
        self.channels = tuple(channels)
        self.instruments: dict[str, Instrument] = {}
        """By native symbol, in the order added."""
        self._speeds = dict(speeds)
        self._ws_url = ws_url.rstrip("/")
        self._connections: dict[int, PlannedConnection] = {}
        self._last = 0

    @property
    def connections(self) -> list[PlannedConnection]:
        """Those in use, by number."""
        return list(self._connections.values())

    def add(self, instruments: Iterable[Instrument]) -> list[Change]:
        """Plans the streams of instruments that are not planned yet; connections are filled one after the
        other. Raises ConfigurationError, with nothing changed, where the venue allows no further connection.
        """
        named = {each.native_symbol: each for each in instruments}
        fresh = [each for native, each in named.items() if native not in self.instruments]
        if not fresh:
            return []
        before = set(self._connections)
        added: dict[int, list[str]] = {}
        for route, key, part in self._parts(fresh):
            connection = self._with_room(route, part)
            connection.put(key, part)
            added.setdefault(connection.number, []).extend(part.streams)
        self.instruments |= {each.native_symbol: each for each in fresh}
        wanted, most = len(self._connections), self.venue.limits.connections
        if 0 < most < wanted:
            self.remove(each.native_symbol for each in fresh)
            raise ConfigurationError(
                f"venues.{self.venue.name}: {wanted} connections are needed, {most} are allowed"
            )
        return [
            Change(self._connections[number], tuple(streams), is_new=number not in before)
            for number, streams in sorted(added.items())
        ]

    def remove(self, natives: Iterable[str]) -> list[Change]:
        """Takes instruments out of the plan; the streams of the whole venue go with the last one."""
        gone = [native for native in natives if self.instruments.pop(native, None) is not None]
        if gone and not self.instruments:
            gone += [key for each in self.connections for key in each.parts]
        changes: list[Change] = []
        for connection in self.connections:
            streams = tuple(stream for key in gone for stream in connection.pop(key))
            if streams:
                changes.append(Change(connection, removed=streams))
            if not connection.parts:
                del self._connections[connection.number]
        return changes

    def with_book(self) -> set[str]:
        """Native symbols whose book a stream feeds."""
        return {native for each in self.connections for native in each.books}

    def with_orders(self) -> set[str]:
        """Native symbols whose orders a stream feeds."""
        return {native for each in self.connections for native in each.orders}

    def bookless(self) -> dict[int, list[str]]:
        """Native symbols of the instruments without a book that live and die with each connection, by its
        number.

        Those with a stream there, and those without a stream of their own, told of by streams of all
        instruments.
        """
        with_book = self.with_book()
        streamed = {native for each in self.connections for native in each.parts}
        anywhere = [n for n in self.instruments if n not in streamed]
        return {
            each.number: [n for n, part in each.parts.items() if part.instrument and n not in with_book]
            + anywhere
            for each in self.connections
        }

    def _parts(self, instruments: Iterable[Instrument]) -> list[tuple[str, str, Part]]:
        """(route, key, part) of what is to be added, by route."""
        parts: list[tuple[str, str, Part]] = []
        for instrument in instruments:
            own: dict[str, list[str]] = {}
            for stream in self.venue.streams(instrument, self.channels, self._speeds):
                own.setdefault(self.venue.route(stream), []).append(stream)
            parts += [
                (route, instrument.native_symbol, self._part(instrument, streams))
                for route, streams in own.items()
            ]
        if not self.instruments:
            for channel in map(self.venue.channels.__getitem__, self.channels):
                if channel.whole_venue:
                    stream = self.venue.whole_venue_stream(channel)
                    parts.append((self.venue.route(stream), stream, Part(None, (stream,))))
        return sorted(parts, key=lambda part: part[0])

    def _part(self, instrument: Instrument, streams: Sequence[str]) -> Part:
        channels = [(stream, each) for stream in streams for each in channels_of(self.venue, [stream])]
        book = tuple(stream for stream, channel in channels if channel.book)
        orders = tuple(stream for stream, channel in channels if channel.orders)
        return Part(instrument, tuple(streams), book, orders)

    def _url(self, route: str) -> str:
        """Where a route is. With a base of ours, one at another host of the venue is a path below it."""
        if route.startswith("//"):
            scheme = self.venue.ws_url.partition(":")[0]
            return self._ws_url + route[1:] if self._ws_url else f"{scheme}:{route}"
        return (self._ws_url or self.venue.ws_url.rstrip("/")) + route

    def _with_room(self, route: str, part: Part) -> PlannedConnection:
        """The first connection of the route that takes the part; an instrument's streams stay together, so
        that a loss hits the fewest.
        """
        for connection in self._connections.values():
            if connection.route == route and not _is_full(self.venue.limits_of(route), connection, part):
                return connection
        self._last += 1
        connection = PlannedConnection(self._last, self._url(route), route)
        self._connections[connection.number] = connection
        return connection


def _is_full(limits: Limits, connection: PlannedConnection, part: Part) -> bool:
    return bool(connection.parts) and (
        0 < limits.streams_per_connection < connection.n_streams + len(part.streams)
        or 0 < limits.symbols_per_connection <= len(connection.parts)
        or 0 < limits.chars_per_connection < connection.chars + sum(map(len, part.streams))
    )


def channels_of(venue: Venue, streams: Iterable[str]) -> list[Channel]:
    """The channels of streams, as far as they are subscribed here."""
    named = (venue.channel_of(stream) for stream in streams)
    return [venue.channels[each[0]] for each in named if each is not None]


def plan_venue(venue: Venue, catalogue: Catalogue, config: VenueConfig, *, limited: bool) -> Planner:
    """The plan of one venue. Raises ConfigurationError: unknown symbol, channel or speed, or nothing left to
    publish.
    """
    channels = config.channels or venue.default_channels
    instruments = select(catalogue, config.symbols, limited=limited)
    if not instruments:
        raise ConfigurationError(f"venues.{venue.name}.symbols: none of {len(catalogue)} instruments is left")
    planner = Planner(venue, channels, speeds_of(venue, channels, config), config.ws_url)
    planner.add(instruments)
    return planner


def check_venue(venue: Venue, config: VenueConfig) -> None:
    """Raises ConfigurationError for what can be refused before anything is connected: a venue without an
    address, channels, those that need an account too, and speeds.
    """
    for key, own in (("ws_url", venue.ws_url), ("rest_url", venue.rest_url)):
        if not (own or getattr(config, key)):
            raise ConfigurationError(
                f"venues.{venue.name}.{key}: {venue.name} has no address of its own; name your server's"
            )
    channels = config.channels or venue.default_channels
    speeds_of(venue, channels, config)
    closed = next((name for name in channels if venue.channels[name].needs_account), None)
    if closed is not None and not config.key_file:
        raise ConfigurationError(
            f"venues.{venue.name}.channels: {closed} needs an account of the venue: "
            f"venues.{venue.name}.key_file names a file with its API key"
        )


def speeds_of(venue: Venue, channels: Sequence[str], config: VenueConfig) -> dict[str, str]:
    """The speed of each channel as configured, checked: that of the books, and of what comes at the same
    speeds (Deribit).
    """
    speeds: dict[str, str] = {}
    if config.depth_speed:
        known = [venue.channels[name] for name in channels if name in venue.channels]
        books = [each for each in known if each.book] or [c for c in venue.channels.values() if c.book]
        same = {each.speeds for each in books if each.speeds}
        speeds = {
            each.name: config.depth_speed for each in (*books, *known) if each.book or each.speeds in same
        }
    try:
        venue.check_channels(channels, speeds)
    except ConfigurationError as error:
        raise ConfigurationError(f"venues.{venue.name}: {error}") from error
    return speeds


def spec_of(connection: PlannedConnection, venue: Venue) -> ConnectionSpec:
    """What the connection machine must know of a planned connection."""
    keepalive, limits = venue.keepalive, venue.limits_of(connection.route)
    # The shortest one that a stream promises.
    cadences = [each.cadence_s for each in channels_of(venue, connection.streams) if each.cadence_s]
    greeting = venue.greeting()
    return ConnectionSpec(
        url=connection.url,
        subscribe=(*greeting, *venue.subscribe(connection.streams, number=len(greeting) + 1)),
        messages_per_second=limits.messages_per_s,
        messages_max=limits.messages,
        messages_window_ns=int(limits.messages_window_s * SECOND_NS) + ARRIVAL_NS,
        expected_silence_ns=int(keepalive.expected_silence_s * SECOND_NS),
        lifetime_ns=int(keepalive.lifetime_s * SECOND_NS),
        cadence_ns=int(min(cadences, default=0.0) * SECOND_NS),
        client_ping=keepalive.client_ping,
        client_ping_every_ns=int(keepalive.client_ping_every_s * SECOND_NS),
    )
