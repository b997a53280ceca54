"""Upbit (Korea), spot, and the protocol that Bithumb's socket of 2024 shares with it.

Rules are those of the documentation v1.6.4 (2026-10). Frames are binary and hold JSON, asked for in the form
SIMPLE. Subscriptions are not acknowledged and each request replaces the one before, so one request names all.
Nothing is numbered and nothing can be checked: each book is whole, so a lost one is replaced by the next.

No request may carry an `Origin` header (REST and WebSocket): with one the venue takes a request in ten
seconds. The transports send none.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec
from msgspec.structs import replace

from outcrier.instruments import Instrument
from outcrier.shapes import (
    PRESENT,
    AnyShape,
    CandleShape,
    IntervalWords,
    Symbol,
    Time,
)
from outcrier.venues import frames
from outcrier.venues.base import (
    BAD_JSON,
    Channel,
    Fault,
    HttpRequest,
    Keepalive,
    Limits,
    check_instrument,
    fault,
)
from outcrier.venues.codes import LONG_NAMES, CodesExchange, CodesVenue, shapes_of

DEPTH: Final = 30
"""Pairs of levels, of 1, 5, 15, 30. 30 is the default too, since 2025-07; before it was 15."""

POLICIES_AT_ONCE: Final = 100
"""Markets that one request asks the ticks of: their names then take a kilobyte of the URL."""

_CANDLES: Final = {
    **{f"candle.{minutes}m": minutes * 60 for minutes in (1, 3, 5, 10, 15, 30, 60, 240)},
    "candle.1s": 1,
}


def candle_of(form: str, names: Mapping[str, str]) -> CandleShape:
    """Candles in one form: sent each second in which somebody traded, the last one of an interval holds;
    nothing says that one is over, and an interval without a trade has none.
    """
    field = {name: names.get(name, name) for name in LONG_NAMES}
    return CandleShape(
        name=f"candle_{form}",
        when={field["cdttmu"]: PRESENT},
        instrument=Symbol(field["cd"], split="."),
        exchange_time=Time(field["tms"], "magnitude"),
        open_time=Time(field["cdttmu"], "text"),
        interval=IntervalWords(field["ty"], _CANDLES),
        open=field["op"],
        high=field["hp"],
        low=field["lp"],
        close=field["tp"],
        volume=field["catv"],
        turnover=field["catp"],
        known=(field["cdttmk"], field["st"]),
    )


_SHAPES: Final[tuple[AnyShape, ...]] = (
    *shapes_of("simple", {}, DEPTH),
    candle_of("simple", {}),
    *shapes_of("default", LONG_NAMES, DEPTH),
    candle_of("default", LONG_NAMES),
)


class _Policy(msgspec.Struct):
    market: str
    tick_size: Decimal


def _is_about_ticks(body: bytes | str) -> bool:
    return '"tick_size"' in body if isinstance(body, str) else b'"tick_size"' in body


class Upbit(CodesVenue):
    """Upbit's own part: depth in the code, ticks by a request of their own, candles."""

    name = "upbit"
    ws_url = "wss://api.upbit.com"
    rest_url = "https://api.upbit.com"
    ws_hosts = rest_hosts = frozenset({"api.upbit.com"})
    shapes = _SHAPES
    limits = Limits(
        messages_per_s=5.0,
        messages=100,
        messages_window_s=60.0,
        connects=5,
        connects_window_s=1.0,
        weight_per_minute=600,  # Ten a second and group; requests go one after the other.
        weight_pool="upbit",
    )
    keepalive = Keepalive(
        ping_every_s=0.0,
        pong_within_s=0.0,
        client_ping="PING",
        client_ping_every_s=60.0,  # Cut after 120 s without traffic.
        expected_silence_s=15.0,
        lifetime_s=0.0,
    )
    channels: Mapping[str, Channel] = {
        channel.name: channel
        for channel in (
            Channel(name="orderbook", book=True),
            Channel(name="trade"),
            Channel(name="ticker"),
            *(Channel(name=name) for name in _CANDLES),
        )
    }
    default_channels = ("orderbook", "trade", "ticker", "candle.1m")
    captures = ("upbit/spot_2*",)
    instrument_lists = ("upbit/spot_instruments",)
    documentation = "2026-10"
    only_realtime = "is_only_realtime"
    list_request = HttpRequest("/v1/market/all", (("is_details", "true"),))

    def __init__(self) -> None:
        self.exchange = CodesExchange(self)

    def detail_requests(self, *bodies: bytes | str) -> tuple[HttpRequest, ...]:
        """Ticks, which follow the price: asked for again with each list."""
        markets = [instrument.native_symbol for instrument in self.parse_instruments(*bodies)[0]]
        return tuple(
            HttpRequest("/v1/orderbook/instruments", (("markets", ",".join(batch)),))
            for batch in frames.batches(markets, POLICIES_AT_ONCE)
        )

    def parse_instruments(self, *bodies: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        # The answers about ticks have `tick_size` in each entry, the list has none.
        lists = [body for body in bodies if not _is_about_ticks(body)]
        instruments, faults = super().parse_instruments(*lists)
        ticks: dict[str, Decimal] = {}
        for body in bodies:
            try:
                policies = msgspec.json.decode(body, type=list[_Policy]) if _is_about_ticks(body) else []
                ticks |= {policy.market: policy.tick_size for policy in policies}
            except BAD_JSON as error:
                faults.append(fault(f"ticks: {error}", body))
        for index, each in enumerate(instruments):
            try:
                stepped = replace(each, tick_size=ticks.get(each.native_symbol, Decimal(0)))
                check_instrument(stepped)
                instruments[index] = stepped
            except ValueError as error:
                faults.append(fault(f"tick of {each.native_symbol}: {error}", each.native_symbol))
        return instruments, faults

    def code(self, name: str, code: str) -> str:
        return f"{code}.{DEPTH}" if name == "orderbook" else code


UPBIT: Final = Upbit()

VENUES: Final = (UPBIT,)
