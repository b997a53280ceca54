"""OKX v5: spot, swaps, futures, options; and the dialect without numbers that recordings of 2022 speak.

Rules are those of the documentation as of 2026-06. One instrument type is one venue. Books come whole in the
stream and again after a new subscription: OKX forbids to join REST books.

Quantities of contracts are contracts; `contract_size` is ctVal x ctMult, in coins or, for inverse ones, in
quote currency. Prices of options on coins are in the coin. The index of a contract is an instrument of its
own (`BTC-USDT:INDEX`), because one index serves many contracts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from outcrier.instruments import BOOK_PROOF_SEQUENCE, Instrument
from outcrier.shapes import AnyShape, book_proof
from outcrier.symbols import Kind
from outcrier.venues import okx_messages as messages
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
from outcrier.venues.frames import batches
from outcrier.venues.okx_exchange import OkxExchange
from outcrier.venues.okx_shapes import CONTRACT_SHAPES, SHAPES_2022, SPOT_SHAPES

SUBSCRIBE_BYTES_MAX: Final = 16_384
"""Bytes of one subscribe message; OKX takes 64 KiB. A quarter keeps what one error refuses small."""

PUBLIC: Final = "/ws/v5/public"
BUSINESS: Final = "/ws/v5/business"

_INSTRUMENTS: Final = "/api/v5/public/instruments"
_UNDERLYING: Final = "/api/v5/public/underlying"

LIMITS: Final = Limits(
    symbols_per_connection=29,  # "Fewer than 30 deep books" are advised.
    messages_per_s=2.0,  # Undocumented; the hour's allowance is what counts.
    messages=480,
    messages_window_s=3600.0,
    connects=3,
    connects_window_s=1.0,
    weight_per_minute=600,  # public/instruments: 20 in 2 s.
    weight_pool="okx",
)

KEEPALIVE: Final = Keepalive(
    ping_every_s=0.0,
    pong_within_s=30.0,
    client_ping=messages.PING,
    client_ping_every_s=20.0,  # Cut after 30 s without a push.
    expected_silence_s=10.0,
    lifetime_s=0.0,
)

_COMMON: Final = (
    # A book that is idle is sent empty after about a minute: too rare to watch by.
    Channel(name="books", group="book", book=True),
    Channel(name="books5", group="book", book=True),
    Channel(name="trades", group="trades"),
    Channel(name="trades-all", group="trades"),
    Channel(name="bbo-tbt"),
    Channel(name="tickers"),
    Channel(name="candle1m"),
    Channel(name="instruments", whole_venue=True),
)
_CONTRACT: Final = (
    Channel(name="mark-price"),
    Channel(name="open-interest"),
    Channel(name="index-tickers"),
    Channel(name="liquidation-orders", whole_venue=True),
)
_SWAP: Final = (*_CONTRACT, Channel(name="funding-rate"))

_ALTERNATIVES: Final = frozenset({"books5", "trades-all"})
"""Not subscribed unless asked for: `books` is deeper, `trades` comes in the order of the books."""


class Okx(Venue):
    """One type of instruments; also of exchanges that run OKX's software, and of old dialects of it."""

    def __init__(
        self,
        name: str,
        inst_types: tuple[str, ...],
        shapes: tuple[AnyShape, ...],
        channels: tuple[Channel, ...],
        *,
        hosts: tuple[str, str] = ("ws.okx.com", "www.okx.com"),
        limits: Limits = LIMITS,
        captures: tuple[str, ...] = (),
        samples: Mapping[str, tuple[str, ...]] | None = None,
        instrument_lists: tuple[str, ...] = (),
        documentation: str = "2026-06",
        old_dialect: str = "",
        business: frozenset[str] = frozenset({"candle1m", "trades-all"}),
    ) -> None:
        """`inst_types`: OKX's names of the types, `hosts`: WebSocket and REST, `business`: channels that have
        their own endpoint.
        """
        self.name = name
        self.inst_types = inst_types
        self.shapes = shapes
        self.channels: Mapping[str, Channel] = {channel.name: channel for channel in channels}
        self.default_channels = tuple(name for name in self.channels if name not in _ALTERNATIVES)
        self.ws_url = f"wss://{hosts[0]}:8443"
        self.rest_url = f"https://{hosts[1]}"
        self.ws_hosts, self.rest_hosts = frozenset(hosts[:1]), frozenset(hosts[1:])
        self.limits = limits
        self.keepalive = KEEPALIVE
        self.captures = captures
        self.samples = samples or {}
        self.instrument_lists = instrument_lists
        self.documentation = documentation
        self.old_dialect = old_dialect
        self.business = business
        self.exchange = OkxExchange(
            {name: self.route(f"{name}:") for name in self.channels}, numbered=not old_dialect
        )

    # Instruments.

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        """An option's list is asked for by family, and the families first."""
        return tuple(
            HttpRequest(_UNDERLYING if each == "OPTION" else _INSTRUMENTS, (("instType", each),))
            for each in self.inst_types
        )

    def detail_requests(self, *bodies: bytes | str) -> tuple[HttpRequest, ...]:
        if "OPTION" not in self.inst_types:
            return ()
        return tuple(
            HttpRequest(_INSTRUMENTS, (("instType", "OPTION"), ("instFamily", family)))
            for body in bodies
            for family in messages.families(body)
        )

    def parse_instruments(self, *bodies: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        entries: list[bytes] = []
        faults: list[Fault] = []
        for body in bodies:
            try:
                entries += messages.entries(body)
            except BAD_JSON as error:
                faults.append(fault(f"instrument list: {error}", body))
        if "index-tickers" in self.channels:
            entries += messages.indices([each for each in entries if self._is_ours(each)])
        instruments, more = read_instruments(entries, self._instrument)
        return instruments, faults + more

    def _is_ours(self, entry: bytes) -> bool:
        try:
            return messages.listed(entry).inst_type in self.inst_types
        except BAD_JSON:
            return False

    def _instrument(self, entry: bytes) -> Instrument | None:
        listed = messages.listed(entry)
        is_index = listed.inst_type == "INDEX" and "index-tickers" in self.channels
        is_known = listed.inst_type in messages.KINDS or listed.inst_type == "MARGIN"
        if is_known and not is_index and listed.inst_type not in self.inst_types:
            return None
        # Today's checksums are 0: compared where there is one, and no proof to tell of.
        proof = book_proof(self.shapes)
        return messages.instrument(listed, self.name, proof & BOOK_PROOF_SEQUENCE or proof)

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        """The name tells pair, expiry and strike; not what a contract is worth."""
        entry = {
            "instId": native_symbol,
            "instType": _type_of(native_symbol) if len(self.inst_types) > 1 else self.inst_types[0],
            "tickSz": f"{tick:f}",
            "lotSz": f"{step:f}",
            "minSz": f"{step:f}",
            "state": "live",
        }
        return msgspec.json.encode(entry).decode()

    def with_entries(self, body: str | None, entries: Sequence[str]) -> str:
        return messages.with_entries(body, [msgspec.Raw(entry.encode()) for entry in entries])

    # Streams and connections.

    def streams(
        self, instrument: Instrument, channels: Sequence[str], speeds: Mapping[str, str]
    ) -> list[str]:
        del speeds
        is_index = instrument.kind is Kind.INDEX
        return [
            f"{name}:{instrument.native_symbol}"
            for name in channels
            if not self.channels[name].whole_venue and (name == "index-tickers") is is_index
        ]

    def whole_venue_stream(self, channel: Channel) -> str:
        return f"{channel.name}:{self.inst_types[0]}"

    def route(self, stream: str) -> str:
        """Candles and `trades-all` moved to an endpoint of their own in 2023: asked for on the other one they
        are refused.
        """
        return BUSINESS if stream.partition(":")[0] in self.business else PUBLIC

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return _requests("subscribe", streams, number)

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return _requests("unsubscribe", streams, number)

    # Frames that no shape takes, and what a recording tells.

    def control(self, text: bytes | str) -> Control:
        return messages.control(text)

    def stream_of(self, text: bytes | str) -> str | None:
        return messages.stream_of(text)

    def native_symbol_of(self, stream: str) -> str | None:
        channel, _, name = stream.partition(":")
        return name if name and channel not in messages.BY_TYPE else None

    def channel_of(self, stream: str) -> tuple[str, str] | None:
        channel, _, name = stream.partition(":")
        return (channel, "") if name and channel in self.channels else None

    def printed(self, text: bytes | str) -> Printed:
        return messages.printed(text)

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        return messages.exchange_time_ns(text)


def _type_of(native_symbol: str) -> str:
    """The type that a name shows: BTC-USDT, BTC-USDT-SWAP, BTC-USD-241220, BTC-USD-241217-92000-C."""
    parts = native_symbol.split("-")
    by_length = {3: "SWAP" if parts[-1] == "SWAP" else "FUTURES", 5: "OPTION"}
    return by_length.get(len(parts), "SPOT")


def _requests(op: str, streams: Sequence[str], number: int) -> list[Request]:
    """Each stream is answered by itself."""

    def size(stream: str) -> int:
        return len(msgspec.json.encode(messages.arg_of(stream))) + 1

    room = SUBSCRIBE_BYTES_MAX - len(f'{{"id":"1000000","op":"{op}","args":[]}}')
    return [
        Request(
            msgspec.json.encode(
                {"id": str(number + index), "op": op, "args": list(map(messages.arg_of, batch))}
            ).decode(),
            len(batch),
        )
        for index, batch in enumerate(batches(streams, size=size, size_max=room))
    ]


OKX: Final = Okx(
    "okx",
    ("SPOT",),
    SPOT_SHAPES,
    _COMMON,
    samples={
        "books": ("okx/ws_books_*.json",),
        "bbo-tbt": ("okx/ws_bbo_tbt.json",),
        "trades": ("okx/ws_trades.json",),
        "tickers": ("okx/ws_tickers.json",),
        "candle1m": ("okx/ws_candle.json",),
    },
)

OKX_SWAP: Final = Okx(
    "okx_swap",
    ("SWAP",),
    CONTRACT_SHAPES,
    (*_COMMON, *_SWAP),
    samples={"funding-rate": ("okx/ws_funding_rate.json",), "instruments": ("okx/ws_instruments.json",)},
)

OKX_FUTURES: Final = Okx("okx_futures", ("FUTURES",), CONTRACT_SHAPES, (*_COMMON, *_CONTRACT))

OKX_OPTION: Final = Okx("okx_option", ("OPTION",), CONTRACT_SHAPES, (*_COMMON, *_CONTRACT))

OKX_2022: Final = Okx(
    "okx_2022",
    ("SPOT", "SWAP", "FUTURES", "OPTION"),
    SHAPES_2022,
    (
        Channel(name="books", group="book", book=True),
        Channel(name="books-l2-tbt", group="book", book=True),
        Channel(name="trades"),
        Channel(name="tickers"),
    ),
    captures=("okx/v5_tbt_*", "okx/v5_public_2*"),
    instrument_lists=("okx/v5_public_instruments",),
    documentation="2022-05",
    old_dialect="okx/v5_*_2022-*: books without numbers, whose checksums prove them",
    business=frozenset(),
)

VENUES: Final = (OKX, OKX_SWAP, OKX_FUTURES, OKX_OPTION, OKX_2022)
