"""Bithumb's feed of 1.x (`pubwss`), spot: for the recording of 2021; it was still live in 2026-05.

Rules are those of the documentation as of 2026-10. Changes of books (`orderbookdepth`) have no numbers and
cannot be joined to any REST book: only `orderbooksnapshot`, a message with thirty levels a side about once
a second, makes a book whole, and each one replaces it. A recording without such messages has trades, and
books that never begin (RECOVERING). Nothing proves a book here (`book_proof` 0).

Symbols are BASE_QUOTE, the other way round than those of the socket of 2024. Times of trades are Korean
time as text without a zone. A trade has no id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from outcrier.instruments import Instrument
from outcrier.shapes import (
    Aggressor,
    AnyShape,
    NoSequence,
    Shape,
    SideWords,
    TickerShape,
    Time,
    TradeShape,
    book_proof,
    payload,
)
from outcrier.symbols import Kind, Symbol, is_asset
from outcrier.venues import frames
from outcrier.venues.base import (
    BAD_JSON,
    Ack,
    Channel,
    Control,
    Error,
    Fault,
    HttpRequest,
    Ignored,
    Keepalive,
    Limits,
    Printed,
    Request,
    Unknown,
    fault,
    read_instruments,
)
from outcrier.venues.codes import QUANTITY_STEP
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook
from outcrier.venues.named import NamedStreams, by_channel

DEPTH: Final = 30
"""Levels a side of a whole book."""

_KST_S: Final = 9 * 3600
"""Korean time is so far east of UTC, all year."""

_LIST: Final = ("content", "list")
_SENT: Final = Time(payload("content", "datetime"), "magnitude")
"""Microseconds as text."""

# Each entry names its symbol, so each is an event: nothing says that all of a message are of one.
_TICKER_KNOWN: Final = (
    *("date", "time", "buyVolume", "sellVolume", "prevClosePrice", "chgRate", "chgAmt", "volumePower"),
)


_DEPTH: Final = Shape(
    name="orderbookdepth",
    when={"type": "orderbookdepth"},
    each=_LIST,
    instrument="symbol",
    exchange_time=_SENT,
    sequence=NoSequence(splice="in_stream"),
    levels=(),
    one=True,
    level={"side": "orderType", "price": "price", "qty": "quantity"},
    side=SideWords(bid=("bid",), ask=("ask",)),
    known=("total",),
)

_SNAPSHOT: Final = Shape(
    name="orderbooksnapshot",
    when={"type": "orderbooksnapshot"},
    instrument=("content", "symbol"),
    exchange_time=_SENT,
    sequence=NoSequence(splice="in_stream"),
    bids=("content", "bids"),
    asks=("content", "asks"),
    snapshot=True,
)

# 1: somebody sold, 2: somebody bought; third parties have it the other way round.
_TRANSACTION: Final = TradeShape(
    name="transaction",
    when={"type": "transaction"},
    each=_LIST,
    instrument="symbol",
    price="contPrice",
    qty="contQty",
    time=Time("contDtm", "text", _KST_S),
    aggressor=Aggressor("buySellGb", SideWords(bid=("2",), ask=("1",))),
    known=("contAmt", "updn"),
)

# The window is told by tickType; date and time stand apart in two texts, so no time is given.
_TICKER: Final = TickerShape(
    name="ticker",
    when={"type": "ticker", ("content", "tickType"): "24H"},
    instrument=("content", "symbol"),
    last=("content", "closePrice"),
    open=("content", "openPrice"),
    high=("content", "highPrice"),
    low=("content", "lowPrice"),
    volume=("content", "volume"),
    turnover=("content", "value"),
    known=tuple(("content", key) for key in _TICKER_KNOWN),
)

_SHAPES: Final[tuple[AnyShape, ...]] = (_DEPTH, _TRANSACTION, _SNAPSHOT, _TICKER)

_DONE: Final = "0000"
"""`status` of what was granted."""

_QUOTES: Final = ("BTC", "KRW")


class BithumbLegacy(NamedStreams):
    """Streams are `transaction:BTC_KRW`."""

    name = "bithumb_legacy"
    ws_url = "wss://pubwss.bithumb.com"
    rest_url = "https://api.bithumb.com"
    ws_hosts = frozenset({"pubwss.bithumb.com"})
    rest_hosts = frozenset({"api.bithumb.com"})
    shapes = _SHAPES
    limits = Limits(
        messages_per_s=5.0,  # None is documented, nor any of connections.
        connects=10,
        connects_window_s=1.0,
        weight_per_minute=9000,
        weight_pool="bithumb",
    )
    keepalive = Keepalive(ping_every_s=0.0, pong_within_s=0.0, expected_silence_s=15.0, lifetime_s=0.0)
    channels: Mapping[str, Channel] = {
        channel.name: channel
        for channel in (
            Channel(name="orderbookdepth", book=True),
            Channel(name="orderbooksnapshot", book=True),
            Channel(name="transaction"),
            Channel(name="ticker"),
        )
    }
    default_channels = ("orderbookdepth", "orderbooksnapshot", "transaction", "ticker")
    captures = ("bithumb/spot_full_*",)
    instrument_lists = ("bithumb/spot_instruments",)
    documentation = "2026-10"
    old_dialect = "the recording of 2021-06-01 speaks it"

    def __init__(self) -> None:
        self.exchange = _Exchange(self)

    # Instruments: prices of all coins in one currency, which the answer does not name.

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        return tuple(HttpRequest(f"/public/ticker/ALL_{quote}") for quote in _QUOTES)

    def parse_instruments(self, *bodies: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        names: list[bytes] = []
        faults: list[Fault] = []
        for body in bodies:
            try:
                names += [name.encode() for name in _names(body)]
            except BAD_JSON as error:
                faults.append(fault(f"instrument list: {error}", body))
        instruments, unusable = read_instruments(names, self._instrument)
        return instruments, faults + unusable

    def _instrument(self, entry: bytes) -> Instrument:
        native = entry.decode()
        base, _, quote = native.partition("_")
        if not (is_asset(base) and is_asset(quote)):
            raise ValueError(f"{native!r} is no BASE_QUOTE")
        return Instrument(
            venue=self.name,
            native_symbol=native,
            symbol=str(Symbol(kind=Kind.SPOT, base=base, quote=quote)),
            kind=Kind.SPOT,
            base=base,
            quote=quote,
            settle="",
            lot_size=QUANTITY_STEP,
            book_proof=book_proof(self.shapes),
        )

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        del tick, step
        return msgspec.json.encode(native_symbol).decode()

    def with_entries(self, body: str | None, entries: Sequence[str]) -> str:
        """A coin is listed by its name in the answer; one more by the whole pair, whatever the currency."""
        document: dict[str, Any] = (
            {"status": _DONE, "data": {}} if body is None else msgspec.json.decode(body)
        )
        document["data"] |= {msgspec.json.decode(entry, type=str): {} for entry in entries}
        return msgspec.json.encode(document).decode()

    # Streams and connections.

    def route(self, stream: str) -> str:
        del stream
        return "/pub/ws"

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        """One type a message, which replaces the one of its type before (unconfirmed): it names all."""
        del number
        types = by_channel(streams)
        kept = {name: symbols for name, symbols in by_channel(held).items() if name in types}
        return [_request(name, [*kept.get(name, ()), *symbols]) for name, symbols in types.items()]

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        """There is no request for nothing: a type of which nothing is kept goes on to the end."""
        del number
        kept = by_channel(held)
        return [_request(name, kept[name]) for name in by_channel(streams) if name in kept]

    # Frames.

    def control(self, text: bytes | str) -> Control:
        message = frames.record(text)
        status, said = frames.word(message.get("status")), frames.word(message.get("resmsg"))
        if status == _DONE:
            return Ack() if "Filter" in said else Ignored("connected")
        if status:
            return Error(status[: frames.NAME_MAX], said[: frames.MESSAGE_MAX])
        name = frames.word(message.get("type"))
        return Unknown(name[: frames.NAME_MAX] or ("object" if message else "not a JSON object"))

    def stream_of(self, text: bytes | str) -> str | None:
        message = frames.record(text)
        content = message.get("content")
        symbol = frames.at(content, "symbol") or frames.at(content, "list", 0, "symbol")
        return self.stream_named(frames.word(message.get("type")), symbol)

    def printed(self, text: bytes | str) -> Printed:
        message = frames.record(text)
        content = message.get("content")
        rows, keys = frames.rows(frames.at(content, "list")), ("price", "quantity")
        match message.get("type"):
            case "orderbooksnapshot":
                sides = [frames.rows(frames.at(content, side)) for side in ("bids", "asks")]
                levels = [level for side in sides for level in side]
                columns = ([frames.at(level, column) for level in levels] for column in (0, 1))
                return Printed(*(tuple(frames.numbers(column)) for column in columns))
            case "transaction":
                keys = ("contPrice", "contQty")
            case "orderbookdepth":
                pass
            case _:
                return Printed()
        return Printed(*(tuple(frames.numbers(frames.at(row, key) for row in rows)) for key in keys))

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        content = frames.record(text).get("content")
        traded = frames.at(content, "list", 0, "contDtm")
        if traded is not None:
            return frames.date_ns(traded, _KST_S)
        return frames.time_ns(frames.at(content, "datetime"), 1000)


def _names(body: bytes | str) -> list[str]:
    """Native symbols of an answer. That in won has bitcoin, which has no price in itself. Raises one of
    BAD_JSON.
    """
    answer = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if bytes(answer.get("status", msgspec.Raw())) != b'"0000"':
        raise ValueError("status is not 0000")
    coins = msgspec.json.decode(answer.get("data", msgspec.Raw(b"{}")), type=dict[str, msgspec.Raw])
    quote = "KRW" if "BTC" in coins else "BTC"
    return [coin if "_" in coin else f"{coin}_{quote}" for coin in coins if coin != "date"]


def _request(name: str, symbols: Sequence[str]) -> Request:
    message: dict[str, Any] = {"type": name, "symbols": symbols}
    if name == "ticker":
        message["tickTypes"] = ["24H"]
    return Request(msgspec.json.encode(message).decode())


class _Exchange(ExchangeSide):
    restarts_books = True

    def __init__(self, venue: BithumbLegacy) -> None:
        self.venue = venue

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path == "/pub/ws"

    def greeting(self, client: Client) -> list[str]:
        del client
        return ['{"status":"0000","resmsg":"Connected Successfully"}']

    def on_text(self, client: Client, text: str) -> list[str]:
        request = frames.record(text)
        name = frames.word(request.get("type"))
        symbols = [frames.word(symbol) for symbol in frames.rows(request.get("symbols"))]
        if name not in self.venue.channels or not symbols or not all("_" in symbol for symbol in symbols):
            return ['{"status":"5100","resmsg":"Invalid Filter Syntax"}']
        asked = [f"{name}:{symbol}" for symbol in symbols]
        client.again += [stream for stream in asked if stream in client.streams]
        others = [stream for stream in client.streams if stream.partition(":")[0] != name]
        client.streams = dict.fromkeys([*others, *asked])
        return ['{"status":"0000","resmsg":"Filter Registered Successfully"}']

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        name, _, symbol = stream.partition(":")
        if book is None or name != "orderbooksnapshot":
            return []
        bids, asks = (levels[:DEPTH] for levels in book.levels())
        content = {
            "symbol": symbol,
            "datetime": str((book.exchange_ns or 0) // 1000),
            "asks": asks,
            "bids": bids,
        }
        return [msgspec.json.encode({"type": name, "content": content}).decode()]

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        path = urlsplit(target).path
        known = [request.target for request in self.venue.instruments_requests()]
        empty = self.venue.with_entries(None, [])
        return Answer(200, instruments.get(path, empty)) if path in known else None


BITHUMB_LEGACY: Final = BithumbLegacy()

VENUES: Final = (BITHUMB_LEGACY,)
