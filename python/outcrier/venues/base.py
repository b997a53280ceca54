"""What a venue is: values and pure functions. No socket, no clock, no randomness; a feeder, a replay and a
stand-in drive it alike.

The hot messages are declared as shapes and never reach Python. Left for Python: which connections to open,
what to send on them, the rare control messages, the instrument list, and the request for a book.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar, Final, TypeAlias
from urllib.parse import urlencode, urlsplit

import msgspec

from outcrier.errors import ConfigurationError
from outcrier.instruments import Instrument
from outcrier.shape_json import to_json
from outcrier.shapes import AnyShape, Envelope
from outcrier.venue_numbers import venue_number

FAULT_TEXT_MAX: Final = 4096
"""Characters of a venue's text that a fault keeps: whole for any instrument, bounded for junk."""

FAULT_REASON_MAX: Final = 256
"""Characters of a fault's reason: it may quote the venue."""


class HttpRequest(msgspec.Struct, frozen=True):
    """A GET to run against the REST base of the venue: an effect, the venue never does it itself."""

    path: str
    query: tuple[tuple[str, str], ...] = ()
    weight: int = 1
    """What it costs of `Limits.weight_per_minute`."""

    @property
    def target(self) -> str:
        """Path and query as they stand in the request line."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue allows one address."""

    streams_per_connection: int
    messages_per_s: float
    """Messages from a client, protocol pings included."""
    connects: int
    """Connection attempts in `connects_window_s`."""
    connects_window_s: float
    weight_per_minute: int
    weight_header: str
    """Header of an answer that tells the weight used in this minute."""
    weight_pool: str
    """Venues with the same pool share `weight_per_minute`."""
    snapshots_at_once: int = 4
    """Book requests under way: enough to hide the round trip, few enough that a 429 wastes little."""


class Keepalive(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection of the venue is kept and watched."""

    ping_every_s: float
    """How often the venue pings; answering is the transport's duty. For stand-ins, as the next one is."""
    pong_within_s: float
    """How long the venue waits for the answer."""
    expected_silence_s: float
    """Longest silence expected of a connection with live streams; then the client asks with a ping."""
    lifetime_s: float
    """The venue cuts a connection after this; reconnect somewhat earlier."""


class ConnectionPlan(msgspec.Struct, frozen=True):
    """One connection to open."""

    url: str
    subscribe: tuple[str, ...]
    """Text messages to send after opening, each acknowledged once."""
    streams: tuple[str, ...]
    instruments: tuple[Instrument, ...]
    """Instruments with at least one stream here."""
    books: tuple[Instrument, ...]
    """Instruments whose book is fed by this connection: stale when it is lost."""
    cadence_s: float = 0.0
    """A message comes at least this often whatever the market does; 0 = no stream here promises that."""


class Fault(msgspec.Struct, frozen=True):
    """Something a venue sent that could not be used. Counted and kept, never raised."""

    reason: str
    text: str
    """What the venue sent, cut to FAULT_TEXT_MAX characters."""


class Ack(msgspec.Struct, frozen=True):
    """A subscribe message was taken."""

    id: int | str | None


class Error(msgspec.Struct, frozen=True):
    """The venue refused a message of ours."""

    code: int | None
    message: str
    id: int | str | None = None


class Shutdown(msgspec.Struct, frozen=True):
    """The server will end this connection: open another one at once."""


class InstrumentStatus(msgspec.Struct, frozen=True):
    """An instrument's trading status changed."""

    native_symbol: str
    status: int
    """One of `outcrier.instruments.Trading`."""
    text: str
    """The venue's word for it."""


class Ignored(msgspec.Struct, frozen=True):
    """A frame that is right and not for us."""

    reason: str


class Unknown(msgspec.Struct, frozen=True):
    """A frame that this version does not know; `name` is what to count it under."""

    name: str


Control: TypeAlias = Ack | Error | Shutdown | InstrumentStatus | Ignored | Unknown


class Printed(msgspec.Struct, frozen=True):
    """Numbers of a frame as printed, to learn digits from where no instrument list tells them."""

    prices: tuple[str, ...] = ()
    quantities: tuple[str, ...] = ()


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of stream that may be subscribed, by the name the configuration uses."""

    name: str
    speeds: tuple[str, ...] = ()
    """Speeds to choose from; the first is the default. Empty: the venue offers no choice."""
    bare_speed: str = ""
    """The speed that the venue gives when the stream's name has none."""
    group: str = ""
    """Channels of one group carry the same events in other forms: only one of them may be subscribed."""
    whole_venue: bool = False
    """One stream for all instruments."""
    cadence_s: float = 0.0
    """The venue pushes such a stream at least this often whatever the market does; 0 = only when something
    happens.
    """


class Venue(ABC):
    """One venue and product. Subclasses are a protocol; their instances (values) are the venues."""

    name: str
    ws_url: str
    """Base of the WebSocket URLs, without path."""
    rest_url: str
    ws_hosts: frozenset[str]
    """Published host names; anything else is a test and is published with the flag TEST."""
    rest_hosts: frozenset[str]
    shapes: tuple[AnyShape, ...]
    limits: Limits
    keepalive: Keepalive
    channels: Mapping[str, Channel]
    default_channels: tuple[str, ...]
    envelope: ClassVar[Envelope | None] = None

    @property
    def number(self) -> int:
        """Wire number of the venue and its default channel."""
        return venue_number(self.name)

    @property
    def shapes_json(self) -> str:
        """The `shapes` argument of `_core.Feed`."""
        return to_json(self.shapes, envelope=self.envelope)

    def is_published(self, *, ws_url: str | None = None, rest_url: str | None = None) -> bool:
        """Whether the endpoints are the venue's own: published hosts, encrypted. None = the default, which
        is.
        """
        return (ws_url is None or _is_own(ws_url, "wss", self.ws_hosts)) and (
            rest_url is None or _is_own(rest_url, "https", self.rest_hosts)
        )

    def check_channels(self, channels: Iterable[str], speeds: Mapping[str, str] | None = None) -> None:
        """Raises ConfigurationError, with what is allowed, for an unknown channel or speed or two forms of
        one thing.
        """
        groups: dict[str, str] = {}
        for name in channels:
            channel = self.channels.get(name)
            if channel is None:
                raise ConfigurationError(f"{self.name} has no channel {name!r}: {', '.join(self.channels)}")
            if channel.group:
                other = groups.setdefault(channel.group, name)
                if other != name:
                    raise ConfigurationError(
                        f"channels {other} and {name} of {self.name} carry the same {channel.group}: take one"
                    )
        for name, speed in (speeds or {}).items():
            channel = self.channels.get(name)
            if channel is None or speed not in channel.speeds:
                allowed = ", ".join(channel.speeds) if channel is not None and channel.speeds else "none"
                raise ConfigurationError(
                    f"speed {speed!r} of channel {name} of {self.name} is not offered: {allowed}"
                )

    @abstractmethod
    def instruments_request(self) -> HttpRequest:
        """Asks for the instrument list."""

    @abstractmethod
    def parse_instruments(self, body: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        """Instruments of the answer; names are one to one, whatever cannot be used is listed as a fault."""

    @abstractmethod
    def streams(
        self, instrument: Instrument, channels: Sequence[str], speeds: Mapping[str, str]
    ) -> list[str]:
        """Names of the streams of one instrument."""

    @abstractmethod
    def plan(
        self,
        instruments: Sequence[Instrument],
        channels: Sequence[str],
        speeds: Mapping[str, str],
        ws_url: str | None = None,
    ) -> list[ConnectionPlan]:
        """Connections that carry `channels` of `instruments`; `ws_url` replaces the venue's base."""

    @abstractmethod
    def snapshot_request(self, instrument: Instrument) -> HttpRequest:
        """Asks for the whole book of an instrument."""

    @abstractmethod
    def control(self, text: bytes | str) -> Control:
        """What a frame says that no shape takes. Never raises, whatever the text."""

    # What a recording tells about itself.

    @abstractmethod
    def stream_of(self, text: bytes | str) -> str | None:
        """Name of the stream a frame came on, where the frame tells it."""

    @abstractmethod
    def native_symbol_of(self, stream: str) -> str | None:
        """Native symbol of a stream's name; None for a stream of the whole venue."""

    @abstractmethod
    def channel_of(self, stream: str) -> tuple[str, str] | None:
        """Name and speed ("" where there is no choice) of a stream's channel; None for one that is not
        subscribed here.
        """

    @abstractmethod
    def snapshot_symbol(self, url: str | None, body: bytes | str) -> str | None:
        """Native symbol of a recorded book answer: from the URL, else from the body; None where neither
        tells.
        """

    @abstractmethod
    def is_snapshot(self, url: str | None, body: bytes | str) -> bool:
        """Whether a recorded REST answer is a book."""

    @abstractmethod
    def printed(self, text: bytes | str) -> Printed:
        """Prices and quantities printed in a frame or a REST book. Empty for anything else; never raises."""

    @abstractmethod
    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        """An entry of the venue's instrument list (JSON) for an instrument known only from its frames: its
        name stays one word.
        """

    @abstractmethod
    def with_entries(self, body: str | None, entries: Sequence[str]) -> str:
        """The instrument list `body` (None: an empty one) with more entries, as the venue would answer."""

    @abstractmethod
    def exchange_time_ns(self, text: bytes | str) -> int | None:
        """The exchange's own time in a frame, where it has one."""


def _is_own(url: str, scheme: str, hosts: frozenset[str]) -> bool:
    parts = urlsplit(url)
    return parts.scheme == scheme and parts.hostname in hosts


def fault(reason: str, text: bytes | str) -> Fault:
    """A fault that keeps the start of what was sent."""
    if isinstance(text, bytes):
        text = text[: 4 * FAULT_TEXT_MAX].decode("utf-8", errors="replace")
    return Fault(reason[:FAULT_REASON_MAX], text[:FAULT_TEXT_MAX])
