"""Bybit v5: spot, linear, inverse and options, each a category with an endpoint of its own.

Rules are those of the documentation as of 2026-07. Books come whole in the stream; the first message, and any
after a restart of the service (`u` 1), is one. That `u` grows by one is observed and not promised: another
number means to subscribe anew. Instrument status comes with the instrument list only: there is no stream.

The default depth is 200, at 100 ms; 50 comes every 20 ms. `orderbook.1` is a book of one level, so that it
cannot be had beside another one. Best prices of an own message come for options only: tickers of other
derivatives tell one side without the other, spot's none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from outcrier.instruments import Instrument
from outcrier.shapes import AnyShape
from outcrier.venues import bybit_messages as messages
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
from outcrier.venues.bybit_exchange import SPOT_ARGS_MAX, BybitExchange
from outcrier.venues.bybit_shapes import (
    DEPTHS,
    INVERSE_SHAPES,
    LINEAR_SHAPES,
    OPTION_DEPTHS,
    OPTION_SHAPES,
    SPOT_SHAPES,
)
from outcrier.venues.frames import batches

ARGS_MAX: Final = 200
"""Topics of one request where Bybit names no limit: one refused topic refuses all of them."""

OPTION_COINS: Final = ("BTC", "ETH", "SOL", "XRP", "DOGE", "MNT")
"""Coins with options. The instrument list and the trades of options are asked for by coin, and no request
tells which there are.
"""

_INSTRUMENTS: Final = "/v5/market/instruments-info"

# 21,000 characters of `args` on a connection, in which quotes and comma are three of a topic: topics of 14
# characters or more leave room for them.
_CHARS_MAX: Final = 17_200

LIMITS: Final = Limits(
    chars_per_connection=_CHARS_MAX,
    messages_per_s=10.0,  # Undocumented.
    connects=500,
    connects_window_s=300.0,
    connections=1000,
    weight_per_minute=7200,  # 600 in 5 s.
    weight_pool="bybit",
)

KEEPALIVE: Final = Keepalive(
    ping_every_s=0.0,
    pong_within_s=10.0,
    client_ping=messages.PING,
    client_ping_every_s=20.0,
    expected_silence_s=10.0,
    lifetime_s=0.0,
)

_COMMON: Final = (
    *(Channel(name=f"orderbook.{depth}", group="book", book=True) for depth in DEPTHS),
    Channel(name="publicTrade"),
    Channel(name="tickers"),
    Channel(name="kline.1"),
)

_OPTION: Final = (
    *(Channel(name=f"orderbook.{depth}", group="book", book=True) for depth in OPTION_DEPTHS),
    *(Channel(name=f"publicTrade.{coin}", whole_venue=True) for coin in OPTION_COINS),
    Channel(name="tickers"),
)


_SAMPLES: Final = {
    "orderbook.1": ("bybit/ws_orderbook_*.json",),
    "kline.1": ("bybit/ws_kline.json",),
    "": ("bybit/ws_subscription_*.json",),
}
"""Of BTCUSDT, which is a name of both categories."""


class Bybit(Venue):
    """One category."""

    ws_url = "wss://stream.bybit.com"
    rest_url = "https://api.bybit.com"
    ws_hosts = frozenset({"stream.bybit.com"})
    rest_hosts = frozenset({"api.bybit.com", "api.bytick.com"})
    keepalive = KEEPALIVE
    documentation = "2026-07"

    def __init__(
        self,
        category: str,
        shapes: tuple[AnyShape, ...],
        channels: tuple[Channel, ...],
        *,
        limits: Limits = LIMITS,
        captures: tuple[str, ...] = (),
        samples: Mapping[str, tuple[str, ...]] | None = None,
        args_max: int = ARGS_MAX,
    ) -> None:
        """`args_max`: topics of one request."""
        self.name = "bybit" if category == "spot" else f"bybit_{category}"
        self.category = category
        self.shapes = shapes
        self.channels: Mapping[str, Channel] = {channel.name: channel for channel in channels}
        default = (channels[0].name, *(each.name for each in channels if not each.book))
        self.default_channels = default
        self.limits = limits
        self.captures = captures
        self.samples = samples or {}
        self.instrument_lists = ("bybit/v5_2026-08-09_instruments",) if captures else ()
        self.args_max = args_max
        self.exchange: BybitExchange = BybitExchange(category, frozenset(self.channels))

    # Instruments.

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        category = ("category", self.category)
        if self.category == "spot":
            return (HttpRequest(_INSTRUMENTS, (category,)),)  # It has no pages.
        paged = (category, ("limit", "1000"))
        if self.category == "option":
            return tuple(HttpRequest(_INSTRUMENTS, (*paged, ("baseCoin", coin))) for coin in OPTION_COINS)
        # What is about to be listed is told only when asked for.
        return (
            HttpRequest(_INSTRUMENTS, paged),
            HttpRequest(_INSTRUMENTS, (*paged, ("status", "PreLaunch"))),
        )

    def next_page(self, request: HttpRequest, body: bytes | str) -> HttpRequest | None:
        cursor = messages.cursor(body)
        query = tuple(each for each in request.query if each[0] != "cursor")
        return HttpRequest(request.path, (*query, ("cursor", cursor))) if cursor else None

    def parse_instruments(self, *bodies: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        entries: list[bytes] = []
        faults: list[Fault] = []
        for body in bodies:
            try:
                entries += messages.entries(body)
            except BAD_JSON as error:
                faults.append(fault(f"instrument list: {error}", body))
        instruments, more = read_instruments(
            entries, lambda entry: messages.instrument(messages.listed(entry), self.name, self.category)
        )
        return instruments, faults + more

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        kinds = {
            "linear": {"contractType": "LinearPerpetual"},
            "inverse": {"contractType": "InversePerpetual"},
        }
        entry = {
            "symbol": native_symbol,
            "status": "Trading",
            **kinds.get(self.category, {"optionsType": "Call"} if self.category == "option" else {}),
            "priceFilter": {"tickSize": f"{tick:f}"},
            "lotSizeFilter": {"qtyStep": f"{step:f}", "minOrderQty": f"{step:f}"},
        }
        return msgspec.json.encode(entry).decode()

    def with_entries(self, body: str | None, entries: Sequence[str]) -> str:
        return messages.with_entries(body, [msgspec.Raw(entry.encode()) for entry in entries], self.category)

    # Streams and connections.

    def streams(
        self, instrument: Instrument, channels: Sequence[str], speeds: Mapping[str, str]
    ) -> list[str]:
        del speeds
        symbol = instrument.native_symbol
        return [f"{name}.{symbol}" for name in channels if not self.channels[name].whole_venue]

    def whole_venue_stream(self, channel: Channel) -> str:
        """Trades of all options of a coin."""
        return channel.name

    def route(self, stream: str) -> str:
        del stream
        return f"/v5/public/{self.category}"

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return self._requests("subscribe", streams, number)

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return self._requests("unsubscribe", streams, number)

    def _requests(self, op: str, streams: Sequence[str], number: int) -> list[Request]:
        return [
            Request(msgspec.json.encode({"req_id": str(number + index), "op": op, "args": batch}).decode())
            for index, batch in enumerate(batches(streams, self.args_max))
        ]

    # Frames that no shape takes, and what a recording tells.

    def control(self, text: bytes | str) -> Control:
        return messages.control(text)

    def stream_of(self, text: bytes | str) -> str | None:
        return messages.stream_of(text)

    def native_symbol_of(self, stream: str) -> str | None:
        channel, _, symbol = stream.rpartition(".")
        return symbol if channel and stream not in self.channels else None

    def channel_of(self, stream: str) -> tuple[str, str] | None:
        if stream in self.channels and self.channels[stream].whole_venue:
            return stream, ""
        channel, _, symbol = stream.rpartition(".")
        return (channel, "") if symbol and channel in self.channels else None

    def printed(self, text: bytes | str) -> Printed:
        return messages.printed(text)

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        return messages.exchange_time_ns(text)


BYBIT: Final = Bybit(
    "spot",
    SPOT_SHAPES,
    _COMMON,
    captures=("bybit/v5_spot_*",),
    samples=_SAMPLES,
    args_max=SPOT_ARGS_MAX,
)

BYBIT_LINEAR: Final = Bybit(
    "linear",
    LINEAR_SHAPES,
    (*_COMMON, Channel(name="allLiquidation")),
    captures=("bybit/v5_linear_*",),
    samples=_SAMPLES | {"tickers": ("bybit/ws_ticker_linear.json",)},
)

BYBIT_INVERSE: Final = Bybit("inverse", INVERSE_SHAPES, (*_COMMON, Channel(name="allLiquidation")))

BYBIT_OPTION: Final = Bybit(
    "option",
    OPTION_SHAPES,
    _OPTION,
    samples={"tickers": ("bybit/ws_ticker_option.json",)},
    limits=msgspec.structs.replace(LIMITS, streams_per_connection=2000),
)

VENUES: Final = (BYBIT, BYBIT_LINEAR, BYBIT_INVERSE, BYBIT_OPTION)
