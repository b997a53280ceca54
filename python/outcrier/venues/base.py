"""What a venue is: values and pure functions. No socket, no clock, no randomness; a feeder, a replay and a
stand-in drive it alike.

The hot messages are declared as shapes and never reach Python. Left for Python: which streams there are and
how they are asked for, the rare control messages, the instrument list, and the way to a whole book.

A stream is the least thing that can be subscribed: one channel of one instrument, or of the whole venue. Its
name is the venue's own where it has one (`btcusdt@depth`, `orderbook.50.BTCUSDT`), else made here
(`books:BTC-USDT`). Everything else follows from names: the planner spreads them over connections, a message
names the one it came on, a stand-in pushes those that were asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar, Final, TypeAlias
from urllib.parse import urlencode, urlsplit

import msgspec

from outcrier.errors import ConfigurationError
from outcrier.instruments import Instrument, to_core_kwargs
from outcrier.shape_json import to_json
from outcrier.shapes import AnyShape, Envelope, Where
from outcrier.symbols import SYMBOL_BYTES_MAX
from outcrier.venue_numbers import venue_number
from outcrier.venues.account import Account
from outcrier.venues.exchange_side import ExchangeSide

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
    """What the venue allows one address. 0 = no limit is documented."""

    streams_per_connection: int = 0
    symbols_per_connection: int = 0
    """Instruments with a stream on one connection; also where the venue only advises it."""
    chars_per_connection: int = 0
    """Characters of all names of streams on one connection (Bybit: 21,000)."""
    connections: int = 0
    """Connections open at a time."""
    messages_per_s: float
    """Messages from a client, pings included."""
    messages_per_address: bool = False
    """The venue counts `messages_per_s` over all connections of an address."""
    messages: int = 0
    """Messages from one connection in `messages_window_s`, pings not counted."""
    messages_window_s: float = 3600.0
    connects: int
    """Connection attempts in `connects_window_s`."""
    connects_window_s: float
    weight_per_minute: int
    """Of REST requests; a venue that counts requests has weight 1 each."""
    weight_header: str = ""
    """Header of an answer that tells the weight used in this minute; empty = the venue does not tell."""
    weight_pool: str
    """Venues with the same pool share `weight_per_minute`."""
    snapshots_at_once: int = 4
    """Book requests under way: enough to hide the round trip, few enough that a 429 wastes little."""


class Keepalive(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection of the venue is kept and watched."""

    ping_every_s: float
    """How often the venue pings by protocol; answering is the transport's duty. 0 = never. For stand-ins, as
    the next one is.
    """
    pong_within_s: float
    """How long the venue waits for the answer."""
    client_ping: str = ""
    """Text that asks the venue for a sign of life, answered by a `Pong`; empty = a protocol ping does."""
    client_ping_every_s: float = 0.0
    """The venue cuts a client that says nothing for somewhat longer; 0 = a client need not speak."""
    expected_silence_s: float
    """Longest silence expected of a connection with live streams; then the client asks for a sign of life."""
    lifetime_s: float
    """The venue cuts a connection after this; a new one takes over somewhat earlier. 0 = it does not."""


class Request(msgspec.Struct, frozen=True):
    """A text message to a venue."""

    text: str
    acks: int = 1
    """Acknowledgements (`Ack.count`) that it takes; 0 = the venue answers nothing."""


class Fault(msgspec.Struct, frozen=True):
    """Something a venue sent that could not be used. Counted and kept, never raised."""

    reason: str
    text: str
    """What the venue sent, cut to FAULT_TEXT_MAX characters."""


class Ack(msgspec.Struct, frozen=True):
    """Something asked for was granted."""

    id: int | str | None = None
    count: int = 1
    """How many of `Request.acks` this is."""
    streams: tuple[str, ...] | None = None
    """What was granted, where the venue lists it: the others of the request are refused (`refused`)."""


class Error(msgspec.Struct, frozen=True):
    """The venue refused a message of ours."""

    code: int | str | None
    message: str
    id: int | str | None = None
    stream: str | None = None
    """The one stream that was refused, where the venue tells it: the others are not concerned."""
    is_over: bool = False
    """What proved the account on this connection does so no longer: it takes a new connection."""


def refused(asked: Sequence[str], granted: Ack) -> tuple[Error, ...]:
    """An error for each stream of a request that its answer leaves out, where the venue says so by silence
    (Deribit).
    """
    if granted.streams is None:
        return ()
    missing = dict.fromkeys(asked)
    for stream in granted.streams:
        missing.pop(stream, None)
    return tuple(Error(None, "not granted", granted.id, stream) for stream in missing)


class Pong(msgspec.Struct, frozen=True):
    """The answer to `Keepalive.client_ping`."""


class Reply(msgspec.Struct, frozen=True):
    """The venue wants this said, or it cuts the connection (Deribit `test_request`)."""

    text: str


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


class Several(msgspec.Struct, frozen=True):
    """One frame that says several things."""

    controls: tuple[Ack | Error | InstrumentStatus | Ignored | Unknown, ...]


Control: TypeAlias = Ack | Error | Pong | Reply | Shutdown | InstrumentStatus | Ignored | Unknown | Several


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
    book: bool = False
    """Its streams feed the book."""
    orders: bool = False
    """Its streams feed the orders of the instruments, which have a book by another channel."""
    needs_account: bool = False
    """It is subscribed with an account's key (`Venue.account`), and not offered without one."""
    cadence_s: float = 0.0
    """The venue pushes such a stream at least this often whatever the market does; 0 = only when something
    happens.
    """


class Venue(ABC):
    """One venue and product. Subclasses are a protocol; their instances (values) are the venues."""

    name: str
    ws_url: str
    """Base of the WebSocket URLs, without path; empty = none of its own: the configuration names one."""
    rest_url: str
    """Base of the REST URLs; empty as `ws_url`."""
    simulation: bool = False
    """It is no exchange: its orders are drawn. It has no URL of its own, so all of it is TEST."""
    ws_hosts: frozenset[str]
    """Published host names; anything else is a test and is published with the flag TEST."""
    rest_hosts: frozenset[str]
    shapes: tuple[AnyShape, ...]
    limits: Limits
    keepalive: Keepalive
    channels: Mapping[str, Channel]
    default_channels: tuple[str, ...]
    envelope: ClassVar[Envelope | None] = None
    connection_sequence: ClassVar[Where | None] = None
    """Where the number stands that runs over every frame of a connection; None = the venue has none."""
    captures: tuple[str, ...]
    """Recordings that it is held to, as patterns of paths below `captures/` without ending:
    `bybit/v5_linear_*`. A capture with several products belongs to several venues.
    """
    samples: Mapping[str, tuple[str, ...]] = {}
    """Messages of its documentation by channel, "" for what belongs to none: as patterns of paths below
    `samples/`, such as `bybit/ws_orderbook_*.json`.
    """
    instrument_lists: tuple[str, ...]
    """Recorded answers with its instruments, as `captures`; the first that exists is the best one."""
    documentation: str
    """Edition of the documentation that the declarations follow, such as `2026-07`."""
    old_dialect: str = ""
    """Why an old protocol is kept: the recording that speaks it. Empty = the protocol of today."""
    exchange: ExchangeSide
    """How the exchange answers: for stand-ins."""
    account: Account | None = None
    """How an account proves itself; None = no channel needs one."""

    @property
    def number(self) -> int:
        """Wire number of the venue and its default channel."""
        return venue_number(self.name)

    @property
    def shapes_json(self) -> str:
        """The `shapes` argument of `_core.Feed`."""
        return to_json(self.shapes, envelope=self.envelope, connection_sequence=self.connection_sequence)

    def is_published(self, *, ws_url: str | None = None, rest_url: str | None = None) -> bool:
        """Whether the endpoints are the venue's own: published hosts, encrypted. None = the default, which
        is. A simulation has none.
        """
        ws, rest = (
            own if url is None else url for own, url in ((self.ws_url, ws_url), (self.rest_url, rest_url))
        )
        are_own = _is_own(ws, "wss", self.ws_hosts) and _is_own(rest, "https", self.rest_hosts)
        return are_own and not self.simulation

    def check_channels(self, channels: Iterable[str], speeds: Mapping[str, str] | None = None) -> None:
        """Raises ConfigurationError, with what is allowed, for an unknown channel or speed, two forms of one
        thing, or orders without a book.
        """
        channels = tuple(channels)
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
        known = [self.channels[name] for name in channels]
        with_orders = next((each.name for each in known if each.orders), None)
        if with_orders is not None and not any(each.book for each in known):
            books = " or ".join(each.name for each in self.channels.values() if each.book)
            raise ConfigurationError(f"channel {with_orders} of {self.name} needs {books} beside it")
        for name, speed in (speeds or {}).items():
            channel = self.channels.get(name)
            if channel is None or speed not in channel.speeds:
                allowed = ", ".join(channel.speeds) if channel is not None and channel.speeds else "none"
                raise ConfigurationError(
                    f"speed {speed!r} of channel {name} of {self.name} is not offered: {allowed}"
                )

    # Instruments.

    @abstractmethod
    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        """Ask for the whole instrument list, one after the other."""

    def next_page(self, request: HttpRequest, body: bytes | str) -> HttpRequest | None:
        """Asks for what the answer `body` to `request` left out; None where it is whole."""
        del request, body
        return None

    def detail_requests(self, *bodies: bytes | str) -> tuple[HttpRequest, ...]:
        """What must still be asked once the answers to `instruments_requests` are there (Upbit: ticks, by
        names of markets). The answers go to `parse_instruments` behind the others.
        """
        del bodies
        return ()

    @abstractmethod
    def parse_instruments(self, *bodies: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        """Instruments of the answers; names are one to one, whatever cannot be used is listed as a fault.
        Instruments of the exchange's other products are passed over. Never raises.
        """

    # Streams and connections.

    @abstractmethod
    def streams(
        self, instrument: Instrument, channels: Sequence[str], speeds: Mapping[str, str]
    ) -> list[str]:
        """Names of the streams of one instrument, those of the whole venue left out."""

    def route(self, stream: str) -> str:
        """Path of the connections that push `stream`, behind the base URL, or `//host/path` where they are at
        another host; streams of one route share connections.
        """
        del stream
        return ""

    def limits_of(self, route: str) -> Limits:
        """The limits of the connections of a route, where they have their own."""
        del route
        return self.limits

    def whole_venue_stream(self, channel: Channel) -> str:
        """Name of the one stream of a channel of the whole venue."""
        return f"!{channel.name}"

    @abstractmethod
    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        """Asks for `streams` on a connection that has `held` already. Messages are numbered from `number`,
        each is no longer than the venue takes.
        """

    @abstractmethod
    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        """Gives `streams` up on a connection that keeps `held`."""

    def greeting(self) -> tuple[Request, ...]:
        """What a new connection is told before anything else (Deribit `set_heartbeat`)."""
        return ()

    def snapshot_request(self, instrument: Instrument) -> HttpRequest | None:
        """Asks for the whole book of an instrument; None where it comes in the stream, after a new
        subscription.
        """
        del instrument
        return None

    def orders_request(self, instrument: Instrument) -> HttpRequest | None:
        """Asks for all orders of an instrument; None where they come in the stream, after a new
        subscription.
        """
        del instrument
        return None

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

    def snapshot_symbol(self, url: str | None, body: bytes | str) -> str | None:
        """Native symbol of a recorded book answer: from the URL, else from the body; None where neither
        tells.
        """
        del url, body
        return None

    def is_snapshot(self, url: str | None, body: bytes | str) -> bool:
        """Whether a recorded REST answer is a book."""
        del url, body
        return False

    def printed(self, text: bytes | str) -> Printed:
        """Prices and quantities printed in a frame or a REST book. Empty for anything else; never raises."""
        del text
        return Printed()

    @abstractmethod
    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        """An entry of the venue's instrument list (JSON) for an instrument known only from its frames, with
        the tick and step seen: what the frames do not tell is left out or said as the venue would.
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


BAD_JSON: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What msgspec raises for a text that is not what was asked: syntax, type, UTF-8, nesting, a number too
large.
"""


def read_instruments(
    entries: Iterable[bytes], read: Callable[[bytes], Instrument | None]
) -> tuple[list[Instrument], list[Fault]]:
    """Instruments of the entries of a list, each by `read`, which raises BAD_JSON for one that cannot be used
    and gives None for one of another product. An entry that takes a name again is a fault.
    """
    instruments: list[Instrument] = []
    faults: list[Fault] = []
    natives: set[str] = set()
    symbols: set[str] = set()
    for entry in entries:
        try:
            instrument = read(entry)
            if instrument is None:
                continue
            check_instrument(instrument)
            if instrument.native_symbol in natives or instrument.symbol in symbols:
                raise ValueError(f"{instrument.native_symbol} ({instrument.symbol}) is listed twice")
        except BAD_JSON as error:
            faults.append(fault(f"instrument: {error}", entry))
            continue
        natives.add(instrument.native_symbol)
        symbols.add(instrument.symbol)
        instruments.append(instrument)
    return instruments, faults


def check_instrument(instrument: Instrument) -> None:
    """Raises ValueError for one that the wire cannot carry."""
    if len(instrument.symbol.encode()) > SYMBOL_BYTES_MAX:
        raise ValueError(f"{instrument.symbol} is longer than {SYMBOL_BYTES_MAX} bytes")
    sizes = (instrument.tick_size, instrument.lot_size, instrument.min_qty, instrument.contract_size)
    for size in sizes:
        if not size.is_finite() or size < 0:
            raise ValueError(f"{size} is no size")
    to_core_kwargs(instrument, 1)
