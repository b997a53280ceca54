"""SIM: no exchange, but matching engines whose orders are drawn; `outcrier.capture.simulation` is its server.

Its protocol is ours: docs/sim.md. Every message of an instrument has the number of the event that it tells
of. The channel `orders`, of the orders themselves, is the truth that inferred ones can be held to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from outcrier.instruments import Instrument, Trading
from outcrier.shapes import (
    Aggressor,
    AnyShape,
    BboShape,
    Chain,
    OrdersShape,
    Shape,
    SideWords,
    TradeShape,
    book_proof,
    payload,
)
from outcrier.symbols import Kind, is_asset
from outcrier.symbols import Symbol as CanonicalSymbol
from outcrier.venues import frames
from outcrier.venues.base import (
    Ack,
    Channel,
    Control,
    Error,
    HttpRequest,
    Keepalive,
    Limits,
    Printed,
    Request,
    Unknown,
)
from outcrier.venues.named import NamedStreams
from outcrier.venues.sim_exchange import INSTRUMENTS, PATH, STREAMS_MAX, SimExchange, entry

_TIME: Final = ("time", "ns")

BOOK: Final = Shape(
    name="book",
    when={"channel": "book"},
    instrument="symbol",
    exchange_time=_TIME,
    sequence=Chain(last="seq", prev="prev", splice="in_stream"),
    bids="bids",
    asks="asks",
    snapshot={"type": "snapshot"},
)

TRADES: Final = TradeShape(
    name="trades",
    when={"channel": "trades"},
    each="trades",
    instrument=payload("symbol"),
    price="price",
    qty="qty",
    time=(payload("time"), "ns"),
    id="id",
    aggressor=Aggressor("taker", SideWords(bid=("buy",), ask=("sell",))),
    known=(payload("seq"),),
)

BEST: Final = BboShape(
    name="best",
    when={"channel": "best"},
    instrument="symbol",
    exchange_time=_TIME,
    bid_price="bid",
    bid_qty="bid_qty",
    ask_price="ask",
    ask_qty="ask_qty",
    bid_orders="bid_orders",
    ask_orders="ask_orders",
    known=("seq",),
)

_ORDER: Final = {"id": "id", "price": "price", "qty": "qty"}

ORDERS_SNAPSHOT: Final = OrdersShape(
    name="orders_snapshot",
    when={"channel": "orders", "type": "snapshot"},
    instrument="symbol",
    exchange_time=_TIME,
    sequence=Chain(last="seq", prev="prev", splice="in_stream"),
    bids="bids",
    asks="asks",
    order=_ORDER,
    verb="add",
    snapshot=True,
)

ORDERS: Final = OrdersShape(
    name="orders",
    when={"channel": "orders", "type": "change"},
    instrument="symbol",
    exchange_time=_TIME,
    sequence=Chain(last="seq", prev="prev", splice="in_stream"),
    bids="bids",
    asks="asks",
    order={**_ORDER, "verb": "op", "trade_id": "trade"},
    verb={"add": "add", "reduce": "modify", "move": "modify", "delete": "delete", "execute": "execute"},
)

_SHAPES: Final[tuple[AnyShape, ...]] = (BOOK, TRADES, BEST, ORDERS_SNAPSHOT, ORDERS)


class _Entry(msgspec.Struct):
    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal


class Sim(NamedStreams):
    """The simulated venue."""

    name = "sim"
    ws_url = rest_url = ""
    ws_hosts = rest_hosts = frozenset[str]()
    simulation = True
    shapes = _SHAPES
    limits = Limits(
        symbols_per_connection=100,  # A thousand instruments then spread over ten sockets.
        messages_per_s=100.0,
        connects=100,
        connects_window_s=1.0,
        weight_per_minute=6_000,
        weight_pool="sim",
    )
    keepalive = Keepalive(
        ping_every_s=20.0,
        pong_within_s=20.0,
        expected_silence_s=10.0,  # An instrument says something 12 times a second.
        lifetime_s=0.0,
    )
    channels: Mapping[str, Channel] = {
        channel.name: channel
        for channel in (
            Channel(name="book", book=True),
            Channel(name="trades"),
            Channel(name="best"),
            Channel(name="orders", orders=True),
        )
    }
    default_channels = ("book", "trades", "best")
    captures = ()
    instrument_lists = ()
    documentation = "2026-11"
    list_path = ("instruments",)

    def __init__(self) -> None:
        self.exchange = SimExchange()

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        return (HttpRequest(INSTRUMENTS),)

    def _instrument(self, entry: bytes) -> Instrument:
        listed = msgspec.json.decode(entry, type=_Entry)
        if not (is_asset(listed.base) and is_asset(listed.quote)):
            raise ValueError(f"{listed.base!r} and {listed.quote!r} are no pair")
        return Instrument(
            venue=self.name,
            native_symbol=listed.symbol,
            symbol=str(CanonicalSymbol(kind=Kind.SPOT, base=listed.base, quote=listed.quote)),
            kind=Kind.SPOT,
            base=listed.base,
            quote=listed.quote,
            settle="",
            tick_size=listed.tick,
            lot_size=listed.lot,
            status=Trading.OPEN,
            book_proof=book_proof(self.shapes),
        )

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        return entry(native_symbol, tick, step)

    # Streams: `book:SIM1-USD`.

    def route(self, stream: str) -> str:
        del stream
        return PATH

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return self._requests("subscribe", streams, number)

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return self._requests("unsubscribe", streams, number)

    def _requests(self, op: str, streams: Sequence[str], number: int) -> list[Request]:
        return [
            Request(msgspec.json.encode({"op": op, "id": each, "streams": batch}).decode())
            for each, batch in enumerate(frames.batches(streams, STREAMS_MAX), start=number)
        ]

    # Frames.

    def control(self, text: bytes | str) -> Control:
        message = frames.record(text)
        number = message.get("id")
        number = number if isinstance(number, int) else None
        match message.get("type"):
            case "subscribed" | "unsubscribed":
                streams = (frames.word(each) for each in frames.rows(message.get("streams")))
                return Ack(number, streams=tuple(streams))
            case "error":
                return Error(None, frames.word(message.get("message"))[: frames.MESSAGE_MAX], number)
        name = frames.word(message.get("channel")) or frames.word(message.get("type"))
        return Unknown(name[: frames.NAME_MAX] or ("object" if message else "not a JSON object"))

    def stream_of(self, text: bytes | str) -> str | None:
        message = frames.record(text)
        return self.stream_named(frames.word(message.get("channel")), message.get("symbol"))

    def printed(self, text: bytes | str) -> Printed:
        message = frames.record(text)
        levels = [row for side in ("bids", "asks") for row in frames.rows(message.get(side))]
        traded = frames.rows(message.get("trades"))
        prices: list[Any] = [frames.at(row, 0) for row in levels] + [
            frames.at(row, "price") for row in traded
        ]
        quantities: list[Any] = [frames.at(row, 1) for row in levels] + [
            frames.at(row, "qty") for row in traded
        ]
        prices += [message.get("bid"), message.get("ask")]
        quantities += [message.get("bid_qty"), message.get("ask_qty")]
        return Printed(tuple(frames.numbers(prices)), tuple(frames.numbers(quantities)))

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        return frames.time_ns(frames.record(text).get("time"), 1)


SIM: Final = Sim()

VENUES: Final = (SIM,)
