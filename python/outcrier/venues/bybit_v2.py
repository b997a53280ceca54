"""Bybit's v2 protocol of linear perpetuals, switched off in 2023: for the recording of 2021.

Books are 25 levels a side without a sequence: `cross_seq` grows and has holes. Rows name their level by id;
each has its price too, so that the id is not needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from outcrier.instruments import Instrument
from outcrier.shapes import (
    ANY,
    Aggressor,
    AnyShape,
    NoSequence,
    Prefix,
    Shape,
    SideWords,
    Symbol,
    Time,
    TradeShape,
)
from outcrier.symbols import Kind, is_asset
from outcrier.symbols import Symbol as CanonicalSymbol
from outcrier.venues import bybit_messages as messages
from outcrier.venues.base import (
    BAD_JSON,
    Ack,
    Channel,
    Control,
    Error,
    Fault,
    HttpRequest,
    Limits,
    Pong,
    Printed,
    Request,
    Unknown,
    Venue,
    fault,
    read_instruments,
)
from outcrier.venues.bybit import KEEPALIVE
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook
from outcrier.venues.frames import MESSAGE_MAX, NAME_MAX, batches, time_ns

ARGS_MAX: Final = 10
"""Topics of one request."""

DEPTH: Final = 25
"""Levels a side. One that is pushed out is deleted by the message that does it."""

_PATH: Final = "/realtime_public"
_SYMBOLS: Final = "/v2/public/symbols"

_BUY_SELL: Final = SideWords(bid=("Buy",), ask=("Sell",))
_LEVEL: Final = {"price": "price", "qty": "size", "side": "side"}
_ROW_UNUSED: Final = ("id", "symbol")
_INSTRUMENT: Final = Symbol("topic", split=".", part=1)

_SNAPSHOT: Final = Shape(
    name="book_snapshot",
    when={"topic": Prefix("orderBookL2_25."), "type": "snapshot"},
    instrument=_INSTRUMENT,
    exchange_time=("timestamp_e6", "us"),
    sequence=NoSequence("cross_seq", splice="in_stream"),
    levels=("data", "order_book"),
    level=_LEVEL,
    side=_BUY_SELL,
    snapshot=True,
    depth=DEPTH,
    known=tuple(("data", "order_book", ANY, key) for key in _ROW_UNUSED),
)

# Rows to delete have no size.
_DELTA: Final = Shape(
    name="book_delta",
    when={"topic": Prefix("orderBookL2_25."), "type": "delta"},
    instrument=_INSTRUMENT,
    exchange_time=("timestamp_e6", "us"),
    sequence=NoSequence("cross_seq", splice="in_stream"),
    levels={("data", "delete"): "remove", ("data", "update"): "set", ("data", "insert"): "set"},
    level=_LEVEL,
    side=_BUY_SELL,
    depth=DEPTH,
    known=tuple(("data", verb, ANY, key) for verb in ("delete", "update", "insert") for key in _ROW_UNUSED),
)

_TRADES: Final = TradeShape(
    name="trades",
    when={"topic": Prefix("trade.")},
    each="data",
    instrument="symbol",
    price="price",
    qty="size",
    time=Time("trade_time_ms", "ms"),
    id="trade_id",
    aggressor=Aggressor("side", _BUY_SELL),
    known=("timestamp", "tick_direction"),
)


class _Price(msgspec.Struct):
    tick_size: Decimal = Decimal(0)


class _Lot(msgspec.Struct):
    qty_step: Decimal = Decimal(0)
    min_trading_qty: Decimal = Decimal(0)


class _Listed(msgspec.Struct):
    name: str
    status: str
    base_currency: str = ""
    quote_currency: str = ""
    price_filter: _Price = msgspec.field(default_factory=_Price)
    lot_size_filter: _Lot = msgspec.field(default_factory=_Lot)


class _List(msgspec.Struct):
    result: list[msgspec.Raw]


class _Row(msgspec.Struct):
    price: str = ""
    size: msgspec.Raw = msgspec.Raw()
    trade_time_ms: str = ""


class _Push(msgspec.Struct):
    topic: str
    data: list[_Row] | dict[str, msgspec.Raw]
    timestamp_e6: str = ""


class _Answer(msgspec.Struct):
    success: bool
    ret_msg: str = ""


class _Request(msgspec.Struct):
    op: str
    args: list[str] | None = None


_LIST: Final = msgspec.json.Decoder(_List)
_LISTED: Final = msgspec.json.Decoder(_Listed)
_PUSH: Final = msgspec.json.Decoder(_Push)
_ROWS: Final = msgspec.json.Decoder(list[_Row])
_ANSWER: Final = msgspec.json.Decoder(_Answer)
_REQUEST: Final = msgspec.json.Decoder(_Request)


class BybitV2Exchange(ExchangeSide):
    """Answers as Bybit did: the request comes back in each."""

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path == _PATH

    def on_text(self, client: Client, text: str) -> list[str]:
        try:
            request = _REQUEST.decode(text)
        except BAD_JSON:
            return [_answer({}, success=False, said="Invalid request")]
        topics = request.args or []
        told = {"op": request.op, "args": request.args}
        if request.op == "ping":
            return [_answer(told, success=True, said="pong")]
        unknown = [topic for topic in topics if topic.partition(".")[0] not in BYBIT_V2.channels]
        if request.op not in {"subscribe", "unsubscribe"} or unknown or len(topics) > ARGS_MAX:
            return [_answer(told, success=False, said=f"error:invalid request,{unknown or request.op}")]
        for topic in topics:
            if request.op == "subscribe":
                client.streams[topic] = None
            else:
                client.streams.pop(topic, None)
        return [_answer(told, success=True, said="")]

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        channel, _, symbol = stream.partition(".")
        if book is None or channel != "orderBookL2_25":
            return []
        rows = [
            {
                "price": price,
                "symbol": symbol,
                # As recorded: the price in ten-thousandths.
                "id": str(int(Decimal(price) * 10_000)),
                "side": word,
                "size": msgspec.Raw(qty.encode()),
            }
            for word, side in zip(("Buy", "Sell"), book.levels(), strict=True)
            for price, qty in side[:DEPTH]
        ]
        message = {
            "topic": stream,
            "type": "snapshot",
            "data": {"order_book": rows},
            "cross_seq": str(book.last_id or 0),
            "timestamp_e6": str((book.exchange_ns or 0) // 1000),
        }
        return [msgspec.json.encode(message).decode()]

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        if urlsplit(target).path != _SYMBOLS:
            return None
        return Answer(200, instruments.get(target, '{"ret_code":0,"ret_msg":"OK","result":[]}'))


def _answer(request: dict[str, Any], *, success: bool, said: str) -> str:
    fields = {"success": success, "ret_msg": said, "conn_id": "38cf0ac3-af67-483c-9bbc-b57d45910ecb"}
    return msgspec.json.encode(fields | {"request": request}).decode()


class BybitV2(Venue):
    """Perpetuals in USDT; the list's inverse ones had another endpoint."""

    name = "bybit_v2"
    ws_url = "wss://stream.bybit.com"
    rest_url = "https://api.bybit.com"
    ws_hosts = frozenset({"stream.bybit.com"})
    rest_hosts = frozenset({"api.bybit.com"})
    shapes: tuple[AnyShape, ...] = (_SNAPSHOT, _DELTA, _TRADES)
    limits = Limits(
        messages_per_s=10.0,
        connects=500,
        connects_window_s=300.0,
        weight_per_minute=600,
        weight_pool="bybit_v2",
    )
    keepalive = KEEPALIVE
    channels: Mapping[str, Channel] = {
        "orderBookL2_25": Channel(name="orderBookL2_25", book=True),
        "trade": Channel(name="trade"),
    }
    default_channels = ("orderBookL2_25", "trade")
    captures = ("bybit/v2_linear_2*",)
    instrument_lists = ("bybit/v2_linear_instruments",)
    documentation = "2021-04"
    old_dialect = "bybit/v2_linear_2021-04-17: the v2 protocol, switched off in 2023"
    exchange = BybitV2Exchange()

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        return (HttpRequest(_SYMBOLS),)

    def parse_instruments(self, *bodies: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        entries: list[bytes] = []
        faults: list[Fault] = []
        for body in bodies:
            try:
                entries += map(bytes, _LIST.decode(body).result)
            except BAD_JSON as error:
                faults.append(fault(f"instrument list: {error}", body))
        instruments, more = read_instruments(entries, self._instrument)
        return instruments, faults + more

    def _instrument(self, entry: bytes) -> Instrument | None:
        listed = _LISTED.decode(entry)
        if listed.quote_currency == "USD":
            return None
        status = messages.STATUS.get(listed.status)
        assets = list(filter(None, (listed.base_currency, listed.quote_currency)))
        if status is None or not listed.base_currency or not all(map(is_asset, assets)):
            raise ValueError(f"{listed.name!r} of {assets} in status {listed.status!r} is not known")
        symbol = CanonicalSymbol(kind=Kind.PERPETUAL, base=listed.base_currency, quote=listed.quote_currency)
        return Instrument(
            venue=self.name,
            native_symbol=listed.name,
            symbol=str(symbol),
            kind=Kind.PERPETUAL,
            base=listed.base_currency if listed.quote_currency else "",
            quote=listed.quote_currency,
            settle=listed.quote_currency,
            tick_size=listed.price_filter.tick_size,
            lot_size=listed.lot_size_filter.qty_step,
            min_qty=listed.lot_size_filter.min_trading_qty,
            status=status,
        )

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        entry = {
            "name": native_symbol,
            "status": "Trading",
            "base_currency": native_symbol[:16],
            "price_filter": {"tick_size": f"{tick:f}"},
            "lot_size_filter": {"qty_step": f"{step:f}", "min_trading_qty": f"{step:f}"},
        }
        return msgspec.json.encode(entry).decode()

    def with_entries(self, body: str | None, entries: Sequence[str]) -> str:
        empty = {"ret_code": 0, "ret_msg": "OK", "result": []}
        document: dict[str, Any] = empty if body is None else msgspec.json.decode(body)
        document["result"] += [msgspec.Raw(entry.encode()) for entry in entries]
        return msgspec.json.encode(document).decode()

    def streams(
        self, instrument: Instrument, channels: Sequence[str], speeds: Mapping[str, str]
    ) -> list[str]:
        del speeds
        return [f"{name}.{instrument.native_symbol}" for name in channels]

    def route(self, stream: str) -> str:
        del stream
        return _PATH

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held, number
        return list(_requests("subscribe", streams))

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held, number
        return list(_requests("unsubscribe", streams))

    def control(self, text: bytes | str) -> Control:
        try:
            answer = _ANSWER.decode(text)
        except BAD_JSON:
            push = _push(text)
            return Unknown("not an answer" if push is None else push.topic[:NAME_MAX])
        if not answer.success:
            return Error(None, answer.ret_msg[:MESSAGE_MAX])
        return Pong() if answer.ret_msg == "pong" else Ack()

    def stream_of(self, text: bytes | str) -> str | None:
        push = _push(text)
        return None if push is None else push.topic

    def native_symbol_of(self, stream: str) -> str | None:
        return stream.partition(".")[2] or None

    def channel_of(self, stream: str) -> tuple[str, str] | None:
        channel, _, symbol = stream.partition(".")
        return (channel, "") if symbol and channel in self.channels else None

    def printed(self, text: bytes | str) -> Printed:
        rows = list(_rows(_push(text)))
        sizes = tuple(bytes(row.size).decode() for row in rows if bytes(row.size))
        return Printed(tuple(row.price for row in rows if row.price), sizes)

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        push = _push(text)
        if push is None:
            return None
        traded = next((row.trade_time_ms for row in _rows(push)), "")
        return time_ns(push.timestamp_e6, 1_000) or time_ns(traded, 1_000_000)


def _requests(op: str, streams: Sequence[str]) -> Iterator[Request]:
    for batch in batches(streams, ARGS_MAX):
        yield Request(msgspec.json.encode({"op": op, "args": batch}).decode())


def _push(text: bytes | str) -> _Push | None:
    try:
        return _PUSH.decode(text)
    except BAD_JSON:
        return None


def _rows(push: _Push | None) -> Iterator[_Row]:
    """Rows of a book or of trades."""
    if push is None:
        return
    if isinstance(push.data, list):
        yield from push.data
        return
    for rows in push.data.values():
        try:
            yield from _ROWS.decode(rows)
        except BAD_JSON:
            continue


BYBIT_V2: Final = BybitV2()

VENUES: Final = (BYBIT_V2,)
