"""Kraken spot v2.

Rules are those of the documentation as of 2026-08. Nothing is numbered but trades. A book is proven by its
checksum alone, a CRC32 over the text of the best ten levels a side, so levels keep their decimals as printed;
where it differs the book is subscribed anew.

Names: this protocol says BTC and DOGE; the list of pairs, v1 and the futures say XBT and XDG.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final, Literal

import msgspec

from outcrier.instruments import Instrument, Trading
from outcrier.shapes import (
    book_proof,
)
from outcrier.symbols import Kind, Symbol, is_asset
from outcrier.venues import frames
from outcrier.venues import kraken_level3 as level3
from outcrier.venues.base import (
    BAD_JSON,
    Ack,
    Channel,
    Control,
    Error,
    HttpRequest,
    Ignored,
    InstrumentStatus,
    Keepalive,
    Limits,
    Pong,
    Printed,
    Request,
    Several,
    Unknown,
)
from outcrier.venues.kraken_exchange import KrakenExchange
from outcrier.venues.kraken_shapes import DEPTH, LEVEL3_DEPTH, SHAPES
from outcrier.venues.named import NamedStreams, by_channel

SYMBOLS_AT_ONCE: Final = 100
"""Symbols that a message names: a kilobyte. Each is acknowledged by a message of its own."""

STATUS: Final[Mapping[str, int]] = {
    "online": Trading.OPEN,
    "limit_only": Trading.OPEN,
    "reduce_only": Trading.OPEN,  # Orders that are left are matched.
    "post_only": Trading.PRE_OPEN,
    "cancel_only": Trading.HALTED,
    "work_in_progress": Trading.HALTED,
    "maintenance": Trading.MAINTENANCE,
    "delisted": Trading.DELISTED,
}
"""`status` of a pair, in the list and in the channel `instrument`."""

_ASSETS: Final = {"XBT": "BTC", "XDG": "DOGE"}
"""Kraken's own names of assets, and everybody's."""


def asset(name: str) -> str:
    """An asset as everybody, and v2, calls it."""
    return _ASSETS.get(name, name)


_HEARTBEAT: Final = b'{"channel":"heartbeat"}'
"""What comes every second, always in these bytes, where nothing else does."""

_IS_HEARTBEAT: Final = Ignored("heartbeat")

_IS_ONLINE: Final = Ignored("system online")


class _System(msgspec.Struct, gc=False):
    """What a message of the channel `status` says of the venue."""

    system: str


class _Status(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """Such a message in the one form it has; an answer or an error has other fields."""

    channel: Literal["status"]
    data: tuple[_System]
    type: Literal["update"] = "update"


_STATUS_BEGINS: Final = b'{"channel":"status"'

_STATUS: Final = msgspec.json.Decoder(_Status)


class _Pair(msgspec.Struct):
    """An entry of AssetPairs; tick and status are told since 2022."""

    pair_decimals: int
    lot_decimals: int
    ordermin: Decimal = Decimal(0)
    altname: str = ""
    wsname: str = ""
    tick_size: Decimal | None = None
    status: str = "online"


class KrakenSpot(NamedStreams):
    """What both protocols of spot have in common: the list of pairs."""

    list_path: ClassVar[tuple[str, ...]] = ("result",)
    rest_url = "https://api.kraken.com"
    ws_hosts = frozenset({"ws.kraken.com"})
    rest_hosts = frozenset({"api.kraken.com"})
    limits = Limits(
        symbols_per_connection=200,  # Not the venue's for books of levels; it is for those of orders.
        messages_per_s=5.0,
        connects=150,
        connects_window_s=600.0,  # Then an address is shut out for ten minutes.
        weight_per_minute=60,
        weight_pool="kraken",
    )
    documentation = "2026-08"

    def native(self, base: str, quote: str) -> str:
        """A pair as this protocol's frames call it."""
        raise NotImplementedError

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        path = "/0/public/AssetPairs"
        return HttpRequest(path), HttpRequest(path, (("aclass_base", "tokenized_asset"),))

    def _instrument(self, entry: bytes) -> Instrument:
        pair = msgspec.json.decode(entry, type=_Pair)
        base, slash, quote = pair.wsname.partition("/")
        if not slash:
            raise ValueError(f"{pair.altname!r} has no name for WebSockets: a dark pool")
        if pair.status not in STATUS:
            raise ValueError(f"status {pair.status!r} of {pair.wsname!r} is not known")
        # An entry of `unlisted` has no quote: the symbol stays the venue's own word.
        assets = (asset(base), asset(quote)) if quote else ()
        if not all(map(is_asset, assets)):
            raise ValueError(f"{pair.wsname!r} fits no symbol")
        tick = frames.step_of(pair.pair_decimals) if pair.tick_size is None else pair.tick_size
        symbol = Symbol(kind=Kind.SPOT, base=assets[0], quote=assets[1]) if assets else base
        return Instrument(
            venue=self.name,
            native_symbol=self.native(base, quote) if assets else base,
            symbol=str(symbol),
            kind=Kind.SPOT,
            base=assets[0] if assets else "",
            quote=assets[1] if assets else "",
            settle="",
            tick_size=tick,
            lot_size=frames.step_of(pair.lot_decimals),
            min_qty=pair.ordermin,
            book_proof=book_proof(self.shapes),
            status=STATUS[pair.status],
        )

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        base, slash, quote = native_symbol.partition("/")
        own = {name: theirs for theirs, name in _ASSETS.items()}
        listed = f"{own.get(base, base)}/{own.get(quote, quote)}" if slash else f"{native_symbol}/"
        entry = {
            "altname": listed.replace("/", ""),
            "wsname": listed,
            "pair_decimals": frames.decimals_of(tick),
            "lot_decimals": frames.decimals_of(step),
            "tick_size": f"{tick:f}",
        }
        return msgspec.json.encode(entry).decode()

    def with_entries(self, body: str | None, entries: Sequence[str]) -> str:
        document: dict[str, Any] = {"error": [], "result": {}} if body is None else msgspec.json.decode(body)
        for entry in entries:
            document["result"][msgspec.json.decode(entry)["altname"]] = msgspec.Raw(entry.encode())
        return msgspec.json.encode(document).decode()


class Kraken(KrakenSpot):
    """Streams are `book:BTC/USD`; `!instrument` is one of all pairs."""

    name = "kraken"
    ws_url = "wss://ws.kraken.com"
    shapes = SHAPES
    keepalive = Keepalive(
        ping_every_s=0.0,
        pong_within_s=0.0,
        client_ping='{"method":"ping"}',
        expected_silence_s=5.0,  # Heartbeats come every second in which nothing else does.
        lifetime_s=0.0,
    )
    channels: Mapping[str, Channel] = {
        channel.name: channel
        for channel in (
            Channel(name="book", book=True),
            Channel(name="trade"),
            Channel(name="ticker"),
            Channel(name="ohlc"),
            Channel(name="instrument", whole_venue=True),
            Channel(name=level3.CHANNEL, orders=True, needs_account=True),
        )
    }
    default_channels = ("book", "trade", "ticker", "ohlc", "instrument")
    samples: Mapping[str, tuple[str, ...]] = {
        "book": ("kraken/ws_book_*.json",),
        "trade": ("kraken/ws_trade_update.json",),
        "ticker": ("kraken/ws_ticker_snapshot.json",),
        "ohlc": ("kraken/ws_ohlc_update.json",),
        "instrument": ("kraken/v2_instrument_snapshot.json.gz",),
        level3.CHANNEL: ("kraken/ws_l3_*.json",),
        "": ("kraken/ws_pong.json", "kraken/ws_subscribe_response.json"),
    }
    captures = ("kraken/v2_*",)
    instrument_lists = ("kraken/v1_a_instruments",)
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "book": {"depth": DEPTH, "snapshot": True},
        # The last trades and candles were published when they happened.
        "trade": {"snapshot": False},
        "ticker": {"event_trigger": "bbo", "snapshot": True},
        "ohlc": {"interval": 1, "snapshot": False},
        "instrument": {"snapshot": True, "include_tokenized_assets": True},
        level3.CHANNEL: {"depth": LEVEL3_DEPTH, "snapshot": True},
    }
    """What a subscription says beside channel and symbols."""

    account = level3.KrakenAccount()

    def __init__(self) -> None:
        self.exchange = KrakenExchange(self)

    def native(self, base: str, quote: str) -> str:
        return f"{asset(base)}/{asset(quote)}"

    def route(self, stream: str) -> str:
        return level3.ROUTE if stream.startswith(level3.CHANNEL) else "/v2"

    def limits_of(self, route: str) -> Limits:
        return level3.limits(self.limits) if route == level3.ROUTE else self.limits

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return list(self._requests("subscribe", streams, number))

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return list(self._requests("unsubscribe", streams, number))

    def _requests(self, method: str, streams: Sequence[str], number: int) -> Iterator[Request]:
        """The last digit of a request's number tells its channel: a refusal names the symbol alone."""
        order = list(self.channels)
        for channel, symbols in by_channel(streams).items():
            options = dict(self.options[channel]) if method == "subscribe" else {}
            at_once = SYMBOLS_AT_ONCE
            if channel in {"book", level3.CHANNEL}:
                options["depth"] = self.options[channel]["depth"]
            if channel == level3.CHANNEL:
                at_once = level3.SYMBOLS_AT_ONCE
            for batch in frames.batches(symbols, at_once) if symbols else ([],):
                params = {"channel": channel, **({"symbol": batch} if batch else {}), **options}
                message = {"method": method, "params": params, "req_id": 10 * number + order.index(channel)}
                yield Request(msgspec.json.encode(message).decode(), acks=len(batch) or 1)
                number += 1

    # Frames.

    def control(self, text: bytes | str) -> Control:
        if text == _HEARTBEAT:
            return _IS_HEARTBEAT
        if text[: len(_STATUS_BEGINS)] == _STATUS_BEGINS and (known := _status(text)):
            return known
        message = frames.record(text)
        if "method" not in message and "error" not in message:
            return _pushed(message)
        method = frames.word(message.get("method"))
        if method in {"subscribe", "unsubscribe"}:
            return self._answer(message)
        if method == "pong":
            return Pong()
        said = frames.word(message.get("error"))
        return Error(None, said[: frames.MESSAGE_MAX]) if said else _pushed(message)

    def _answer(self, message: Mapping[str, Any]) -> Control:
        number = message.get("req_id")
        number = number if isinstance(number, int) and not isinstance(number, bool) else None
        if message.get("success") is True:
            return Ack(number)
        order = list(self.channels)
        channel = order[number % 10] if number is not None and 0 <= number % 10 < len(order) else ""
        said = frames.word(message.get("error"))[: frames.MESSAGE_MAX]
        stream = self.stream_named(channel, message.get("symbol"))
        return Error(None, said, number, stream, is_over=said.startswith(level3.SESSION_OVER))

    def stream_of(self, text: bytes | str) -> str | None:
        message = frames.record(text)
        channel = frames.word(message.get("channel"))
        if channel == "instrument":
            return "!instrument"
        return self.stream_named(channel, frames.at(message, "data", 0, "symbol"))

    def printed(self, text: bytes | str) -> Printed:
        message = frames.record(text)
        rows = frames.rows(message.get("data"))
        channel = frames.word(message.get("channel"))
        keys = ("limit_price", "order_qty") if channel == level3.CHANNEL else ("price", "qty")
        if channel in {"book", level3.CHANNEL}:
            rows = [
                each
                for row in rows
                for side in ("bids", "asks")
                for each in frames.rows(frames.at(row, side))
            ]
        elif channel != "trade":
            return Printed()
        prices, quantities = ([frames.at(row, key) for row in rows] for key in keys)
        return Printed(tuple(frames.numbers(prices)), tuple(frames.numbers(quantities)))

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        return frames.date_ns(frames.at(frames.record(text), "data", 0, "timestamp"))


def _status(text: bytes | str) -> Control | None:
    """What the status of the venue means, read without a dictionary. None: the text has another form."""
    try:
        return system(_STATUS.decode(text).data[0].system)
    except BAD_JSON:
        return None


def _pushed(message: Mapping[str, Any]) -> Control:
    """A message that nobody asked for one by one."""
    match frames.word(message.get("channel")):
        case "heartbeat":
            return _IS_HEARTBEAT
        case "status":
            return system(frames.at(message, "data", 0, "system"))
        case "instrument":
            return _pair_statuses(frames.rows(frames.at(message, "data", "pairs")))
        case "":
            return Unknown("object" if message else "not a JSON object")
        case name:
            return Unknown(name[: frames.NAME_MAX])


def system(said: Any) -> Control:
    """The status of the whole venue: what it means for a pair, the pair's own status says."""
    return _IS_ONLINE if said == "online" else Unknown(f"system {said!r}"[: frames.NAME_MAX])


def _pair_statuses(pairs: Sequence[Any]) -> Control:
    controls: list[InstrumentStatus | Unknown] = []
    for pair in pairs:
        native, said = frames.word(frames.at(pair, "symbol")), frames.word(frames.at(pair, "status"))
        if native and said in STATUS:
            controls.append(InstrumentStatus(native, STATUS[said], said))
        else:
            controls.append(Unknown(f"status {said!r}"[: frames.NAME_MAX]))
    return Several(tuple(controls))


KRAKEN: Final = Kraken()

VENUES: Final = (KRAKEN,)
