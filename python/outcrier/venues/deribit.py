"""Deribit v2: futures, perpetuals, options and spot, one venue with one connection protocol (JSON-RPC).

Rules are those of the documentation as of 2026-02. Books come whole in the stream and again after a new
subscription; a change names the one before (`prev_change_id`). Streams are those at 100 ms: `raw` needs
authentication, without which it is silently left out of the answer.

Amounts of inverse perpetuals and futures are US dollars, all others coins; prices of inverse options are in
the coin. Trades of a combo are printed on the combo and on each leg: combos are passed over, and a leg's
trade carries the flag 64, off the book. Block trades carry the flag 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

import msgspec

from outcrier.instruments import Instrument
from outcrier.venues import deribit_messages as messages
from outcrier.venues import frames
from outcrier.venues.base import (
    BAD_JSON,
    Channel,
    Control,
    Fault,
    HttpRequest,
    Keepalive,
    Limits,
    Printed,
    Request,
    Venue,
    fault,
    read_instruments,
)
from outcrier.venues.deribit_exchange import DeribitExchange
from outcrier.venues.deribit_shapes import SHAPES

CHANNELS_MAX: Final = 500
"""Channels of one request."""

HEARTBEAT_S: Final = 30
"""Asked for by `set_heartbeat`; the venue takes 10 or more."""

_PATH: Final = "/ws/api/v2"
_INSTRUMENTS: Final = "/api/v2/public/get_instruments"
_KINDS: Final = ("future", "option", "spot")

_SPEEDS: Final = ("100ms", "agg2", "raw")

_STATES: Final = tuple(f"instrument.state.{kind}" for kind in _KINDS)

_CHANNELS: Final = (
    Channel(name="book", book=True, speeds=_SPEEDS),
    Channel(name="trades", speeds=_SPEEDS),
    Channel(name="quote"),
    Channel(name="ticker", speeds=_SPEEDS),
    Channel(name="chart.trades.1"),
    *(Channel(name=name, whole_venue=True) for name in _STATES),
)

_CHART: Final = "chart.trades."
_ANY: Final = ".any"


class Deribit(Venue):
    """All kinds of instruments."""

    name = "deribit"
    ws_url = "wss://www.deribit.com"
    rest_url = "https://www.deribit.com"
    ws_hosts = frozenset({"www.deribit.com", "streams.deribit.com"})
    rest_hosts = frozenset({"www.deribit.com"})
    shapes = SHAPES
    limits = Limits(
        streams_per_connection=CHANNELS_MAX,
        messages_per_s=3.0,  # About 3.3 subscribe messages a second.
        connections=32,
        connects=32,  # Open at a time; nothing else is documented.
        connects_window_s=60.0,
        weight_per_minute=60,  # get_instruments: one a second.
        weight_pool="deribit",
    )
    keepalive = Keepalive(
        ping_every_s=0.0,
        pong_within_s=10.0,
        client_ping=messages.TEST,
        expected_silence_s=10.0,
        lifetime_s=0.0,
    )
    channels: Mapping[str, Channel] = {channel.name: channel for channel in _CHANNELS}
    default_channels = tuple(channel.name for channel in _CHANNELS)
    samples: Mapping[str, tuple[str, ...]] = {
        "book": ("deribit/ws_book_delta.json", "deribit/ws_book_snapshot.json"),
        "trades": ("deribit/ws_trades*.json",),
        "quote": ("deribit/ws_quote.json",),
        "ticker": ("deribit/ws_ticker.json",),
        "chart.trades.1": ("deribit/ws_chart.json",),
        "": tuple(f"deribit/ws_{name}.json" for name in ("error", "subscribe_response", "test_request")),
    }
    # ssc2ce_dump_* was trimmed by hand: its last messages do not follow each other.
    captures = ("deribit/v2_2*",)
    instrument_lists = ("deribit/v2_instruments",)
    documentation = "2026-02"
    exchange = DeribitExchange(frozenset(channels))
    list_path: ClassVar[tuple[str, ...]] = ("result",)

    # Instruments.

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        """By kind, so that combos are not asked for; `any` currency, for each costs a second."""
        return tuple(
            HttpRequest(_INSTRUMENTS, (("currency", "any"), ("kind", kind), ("expired", "false")))
            for kind in _KINDS
        )

    def parse_instruments(self, *bodies: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        entries: list[bytes] = []
        faults: list[Fault] = []
        for body in bodies:
            try:
                entries += frames.raw_entries(body, *self.list_path)
            except BAD_JSON as error:
                faults.append(fault(f"instrument list: {error}", body))
        instruments, more = read_instruments(
            entries, lambda entry: messages.instrument(messages.listed(entry), self.name)
        )
        return instruments, faults + more

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        """The name tells kind, pair, expiry and strike."""
        pieces = native_symbol.split("-")
        kind = "spot" if len(pieces) == 1 else "option" if len(pieces) > 2 else "future"
        entry = {
            "kind": kind,
            "instrument_name": native_symbol,
            "tick_size": msgspec.Raw(f"{tick:f}".encode()),
            "min_trade_amount": msgspec.Raw(f"{step:f}".encode()),
            "is_active": True,
        }
        return msgspec.json.encode(entry).decode()

    def with_entries(self, body: str | None, entries: Sequence[str]) -> str:
        listed = [] if body is None else frames.raw_entries(body, *self.list_path)
        whole = [msgspec.Raw(entry) for entry in (*listed, *(entry.encode() for entry in entries))]
        return msgspec.json.encode({"jsonrpc": "2.0", "result": whole}).decode()

    # Streams and connections.

    def streams(
        self, instrument: Instrument, channels: Sequence[str], speeds: Mapping[str, str]
    ) -> list[str]:
        found: list[str] = []
        for name in channels:
            channel = self.channels[name]
            if channel.whole_venue:
                continue
            if name.startswith(_CHART):
                resolution = name.removeprefix(_CHART)
                found.append(f"{_CHART}{instrument.native_symbol}.{resolution}")
                continue
            speed = f".{speeds.get(name, channel.speeds[0])}" if channel.speeds else ""
            found.append(f"{name}.{instrument.native_symbol}{speed}")
        return found

    def whole_venue_stream(self, channel: Channel) -> str:
        return f"{channel.name}{_ANY}"

    def route(self, stream: str) -> str:
        del stream
        return _PATH

    def greeting(self) -> tuple[Request, ...]:
        """Without a heartbeat a dead connection stays open. Its number is none of a subscription."""
        return (_request("public/set_heartbeat", {"interval": HEARTBEAT_S}, -1),)

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return _requests("public/subscribe", streams, number)

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return _requests("public/unsubscribe", streams, number)

    # Frames that no shape takes, and what a recording tells.

    def control(self, text: bytes | str) -> Control:
        return messages.control(text)

    def stream_of(self, text: bytes | str) -> str | None:
        return messages.stream_of(text)

    def native_symbol_of(self, stream: str) -> str | None:
        named = self._named(stream)
        return None if named is None else named[2] or None

    def channel_of(self, stream: str) -> tuple[str, str] | None:
        named = self._named(stream)
        return None if named is None else named[:2]

    def _named(self, stream: str) -> tuple[str, str, str] | None:
        """Channel, speed and instrument of a stream."""
        if stream.removesuffix(_ANY) in _STATES and stream.endswith(_ANY):
            return stream.removesuffix(_ANY), "", ""
        if stream.startswith(_CHART):
            symbol, _, resolution = stream.removeprefix(_CHART).rpartition(".")
            name, speed = f"{_CHART}{resolution}", ""
        else:
            name, _, rest = stream.partition(".")
            symbol, _, speed = rest.partition(".")
        channel = self.channels.get(name)
        if channel is None or not symbol or (speed not in channel.speeds if channel.speeds else speed):
            return None
        return name, speed, symbol

    def printed(self, text: bytes | str) -> Printed:
        return messages.printed(text)

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        return messages.exchange_time_ns(text)


def _requests(method: str, streams: Sequence[str], number: int) -> list[Request]:
    return [
        _request(method, {"channels": batch}, number + index)
        for index, batch in enumerate(frames.batches(streams, CHANNELS_MAX))
    ]


def _request(method: str, params: dict[str, Any], number: int) -> Request:
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return Request(msgspec.json.encode(message).decode())


DERIBIT: Final = Deribit()

VENUES: Final = (DERIBIT,)
