"""Coinbase Advanced Trade: spot, and the futures of Coinbase Derivatives.

Rules are those of the documentation as of 2026-08 (AsyncAPI, and a live reading of 2026-08-27).

`sequence_num` runs over all messages of a connection from 0, answers and heartbeats included: it proves every
book of the connection at once, and one message lost makes all of them stale. There is no other way to a whole
book than to subscribe anew.

Names of products that are an alias (`BTC-USDC` of `BTC-USD`) give the data of the other one under that one's
name, so they are no instruments of their own and passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from outcrier.instruments import Instrument, QtyUnit, Trading
from outcrier.shapes import (
    Where,
    book_proof,
)
from outcrier.symbols import Kind, Symbol, is_asset
from outcrier.venues import frames
from outcrier.venues.base import (
    Ack,
    Channel,
    Control,
    Error,
    HttpRequest,
    Ignored,
    InstrumentStatus,
    Keepalive,
    Limits,
    Printed,
    Request,
    Several,
    Unknown,
)
from outcrier.venues.coinbase_shapes import SHAPES
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook
from outcrier.venues.named import NamedStreams, by_channel

PRODUCTS_AT_ONCE: Final = 100
"""Products that a message names: two kilobytes. The answer lists all that the connection has."""

STATUS: Final[Mapping[str, int]] = {
    "online": Trading.OPEN,
    "offline": Trading.HALTED,
    "internal": Trading.CLOSED,
    "delisted": Trading.DELISTED,
}
"""`status` of a product, on both feeds."""

_ROWS: Final = {"l2_data": "updates", "market_trades": "trades", "ticker": "tickers", "candles": "candles"}
"""Where the rows of a message stand, by its channel."""

_SEQUENCE: Final = re.compile(r'"sequence_num":\s*\d+')


class _Session(msgspec.Struct):
    is_session_open: bool = True


class _Future(msgspec.Struct):
    contract_expiry: str
    contract_size: Decimal
    contract_root_unit: str


class _Product(msgspec.Struct):
    product_id: str
    product_type: str
    price_increment: Decimal
    base_increment: Decimal
    base_min_size: Decimal
    quote_currency_id: str
    base_currency_id: str = ""
    status: str = ""
    alias: str = ""
    trading_disabled: bool = False
    is_disabled: bool = False
    cancel_only: bool = False
    post_only: bool = False
    auction_mode: bool = False
    fcm_trading_session_details: _Session | None = None
    future_product_details: _Future | None = None


class Coinbase(NamedStreams):
    """Streams are `level2:BTC-USD`: channel as it is subscribed, and product."""

    name = "coinbase"
    ws_url = "wss://advanced-trade-ws.coinbase.com"
    rest_url = "https://api.coinbase.com"
    ws_hosts = frozenset({"advanced-trade-ws.coinbase.com"})
    rest_hosts = frozenset({"api.coinbase.com"})
    shapes = SHAPES
    connection_sequence: ClassVar[Where | None] = "sequence_num"
    limits = Limits(
        # Not the venue's: a lost message makes all books of its connection stale, and whole books of several
        # MB come one after the other.
        symbols_per_connection=50,
        messages_per_s=6.0,  # Eight are allowed.
        messages_per_address=True,
        connects=8,
        connects_window_s=1.0,
        weight_per_minute=600,  # About ten a second (unconfirmed).
        weight_pool="coinbase",
    )
    keepalive = Keepalive(
        ping_every_s=0.0,
        pong_within_s=0.0,
        expected_silence_s=5.0,  # Heartbeats come every second.
        lifetime_s=0.0,
    )
    channels: Mapping[str, Channel] = {
        channel.name: channel
        for channel in (
            Channel(name="level2", book=True),
            Channel(name="market_trades"),
            Channel(name="ticker"),
            Channel(name="candles"),
            Channel(name="status"),
        )
    }
    default_channels = ("level2", "market_trades", "ticker", "candles", "status")
    samples: Mapping[str, tuple[str, ...]] = {
        "level2": ("coinbase/ws_l2_data_*.json",),
        "market_trades": ("coinbase/ws_market_trades.json",),
        "ticker": ("coinbase/ws_ticker.json",),
        "candles": ("coinbase/ws_candles.json",),
        "": ("coinbase/ws_heartbeats.json", "coinbase/ws_subscriptions.json"),
    }
    captures = ("coinbase/advanced_20??-??-??", "coinbase/advanced_level2_*")
    instrument_lists = ("coinbase/advanced_2026-08-09_instruments",)
    documentation = "2026-08"
    list_path: ClassVar[tuple[str, ...]] = ("products",)

    def __init__(self) -> None:
        self.exchange = _Exchange(self)

    # Instruments.

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        path = "/api/v3/brokerage/market/products"
        return tuple(HttpRequest(path, (("product_type", kind),)) for kind in ("SPOT", "FUTURE"))

    def next_page(self, request: HttpRequest, body: bytes | str) -> HttpRequest | None:
        page = frames.at(frames.record(body), "pagination")
        cursor = frames.word(frames.at(page, "next_cursor"))
        if frames.at(page, "has_next") is not True or not cursor:
            return None
        kept = tuple(each for each in request.query if each[0] != "cursor")
        return HttpRequest(request.path, (*kept, ("cursor", cursor)), request.weight)

    def _instrument(self, entry: bytes) -> Instrument | None:
        product = msgspec.json.decode(entry, type=_Product)
        if product.alias:
            return None
        future = product.future_product_details if product.product_type == "FUTURE" else None
        if future is None and product.product_type != "SPOT":
            raise ValueError(f"product type {product.product_type!r} is not known")
        base = product.base_currency_id if future is None else future.contract_root_unit
        # An entry of `unlisted` has no assets: the symbol stays the venue's own word.
        if base and not (is_asset(base) and is_asset(product.quote_currency_id)):
            raise ValueError(f"{product.product_id!r} of {base!r} fits no symbol")
        expiry_ns = 0 if future is None else frames.date_ns(future.contract_expiry)
        if expiry_ns is None:
            raise ValueError(f"expiry of {product.product_id!r} is no time")
        symbol = Symbol(
            kind=Kind.SPOT if future is None else Kind.FUTURE,
            base=base or product.product_id,
            quote=product.quote_currency_id if base else "",
            settle="" if future is None else product.quote_currency_id,
            expiry="" if future is None else future.contract_expiry[:10].replace("-", ""),
        )
        return Instrument(
            venue=self.name,
            native_symbol=product.product_id,
            symbol=str(symbol),
            kind=symbol.kind,
            base=base,
            quote=symbol.quote,
            settle=symbol.settle,
            tick_size=product.price_increment,
            lot_size=product.base_increment,
            min_qty=product.base_min_size,
            contract_size=Decimal(1) if future is None else future.contract_size,
            qty_unit=QtyUnit.BASE if future is None else QtyUnit.CONTRACTS_OF_BASE,
            book_proof=book_proof(self.shapes),
            expiry_ts=expiry_ns,
            status=_status(product),
        )

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        entry = {
            "product_id": native_symbol,
            "product_type": "SPOT",
            "price_increment": f"{tick:f}",
            "base_increment": f"{step:f}",
            "base_min_size": f"{step:f}",
            "quote_currency_id": "",
            "status": "online",
        }
        return msgspec.json.encode(entry).decode()

    # Streams and connections.

    def greeting(self) -> tuple[Request, ...]:
        """Without heartbeats, channels are closed that say nothing for 60 to 90 seconds. This is also the
        subscription that must come within five seconds.
        """
        return (Request(_message("subscribe", "heartbeats", [])),)

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held, number
        return list(_requests("subscribe", streams))

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held, number
        return list(_requests("unsubscribe", streams))

    # Frames.

    def control(self, text: bytes | str) -> Control:
        message = frames.record(text)
        if message.get("type") == "error":
            return Error(None, frames.word(message.get("message"))[: frames.MESSAGE_MAX])
        match message.get("channel"):
            case "subscriptions":
                return Ack()
            case "heartbeats":
                return Ignored("heartbeat")
            case "status":
                events = frames.rows(message.get("events"))
                products = [row for event in events for row in frames.rows(frames.at(event, "products"))]
                return statuses(products)
            case str(name):
                return Unknown(name[: frames.NAME_MAX])
        return Unknown("object" if message else "not a JSON object")

    def stream_of(self, text: bytes | str) -> str | None:
        channel, event = _first(text)
        rows = frames.rows(frames.at(event, _ROWS.get(channel, "products")))
        if channel == "l2_data":
            channel, product = "level2", frames.at(event, "product_id")
        else:
            product = frames.at(rows, 0, "id" if channel == "status" else "product_id")
        return self.stream_named(channel, product)

    def printed(self, text: bytes | str) -> Printed:
        message = frames.record(text)
        keys = {"l2_data": ("price_level", "new_quantity"), "market_trades": ("price", "size")}
        channel = frames.word(message.get("channel"))
        if channel not in keys:
            return Printed()
        price, qty = keys[channel]
        events = frames.rows(message.get("events"))
        rows = [row for event in events for row in frames.rows(frames.at(event, _ROWS[channel]))]
        prices, quantities = ([frames.at(row, key) for row in rows] for key in (price, qty))
        return Printed(tuple(frames.numbers(prices)), tuple(frames.numbers(quantities)))

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        message = frames.record(text)
        traded = frames.at(message, "events", 0, "trades", 0, "time")
        return frames.date_ns(traded if traded is not None else message.get("timestamp"))


def _status(product: _Product) -> int:
    """Raises ValueError for a status that is not known. Futures have a session instead of one."""
    session = product.fcm_trading_session_details
    if product.product_type == "FUTURE" and not product.status:
        status = Trading.CLOSED if session is not None and not session.is_session_open else Trading.OPEN
    elif product.status in STATUS:
        status = STATUS[product.status]
    else:
        raise ValueError(f"status {product.status!r} is not known")
    return restricted(status, product)


class Restrictions(msgspec.Struct):
    """What restricts trading beside the status, on both feeds."""

    trading_disabled: bool = False
    is_disabled: bool = False
    cancel_only: bool = False
    post_only: bool = False
    auction_mode: bool = False


def restricted(status: int, product: Restrictions | _Product) -> int:
    """The status of a product that may be restricted. Where orders are limited but matched it is open."""
    if status != Trading.OPEN:
        return status
    if product.trading_disabled or product.is_disabled or product.cancel_only:
        return Trading.HALTED
    if product.auction_mode:
        return Trading.AUCTION
    return Trading.PRE_OPEN if product.post_only else Trading.OPEN


def statuses(products: Sequence[Any]) -> Control:
    """What a message of the channel `status` says, on both feeds."""
    controls: list[InstrumentStatus | Unknown] = []
    for product in products:
        native, said = frames.word(frames.at(product, "id")), frames.word(frames.at(product, "status"))
        if native and said in STATUS:
            controls.append(InstrumentStatus(native, STATUS[said], said))
        else:
            controls.append(Unknown(f"status {said!r}"[: frames.NAME_MAX]))
    return Several(tuple(controls))


def _first(text: bytes | str) -> tuple[str, Any]:
    """Channel and first event of a message."""
    message = frames.record(text)
    return frames.word(message.get("channel")), frames.at(message, "events", 0)


def _requests(kind: str, streams: Sequence[str]) -> Iterator[Request]:
    """One channel a message."""
    for name, listed in by_channel(streams).items():
        for batch in frames.batches(listed, PRODUCTS_AT_ONCE):
            yield Request(_message(kind, name, batch))


def _message(kind: str, channel: str, products: Sequence[str]) -> str:
    message: dict[str, Any] = {"type": kind, "channel": channel}
    return msgspec.json.encode(message | {"product_ids": products} if products else message).decode()


class _Exchange(ExchangeSide):
    first_subscription_s = 5.0
    messages_per_s = 8.0
    heartbeat_every_s = 1.0

    def __init__(self, venue: Coinbase) -> None:
        self.venue = venue

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path in {"", "/"}

    def on_text(self, client: Client, text: str) -> list[str]:
        request = frames.record(text)
        kind, channel = frames.word(request.get("type")), frames.word(request.get("channel"))
        products = [frames.word(product) for product in frames.rows(request.get("product_ids"))]
        if kind not in {"subscribe", "unsubscribe"}:
            return ['{"type":"error","message":"type must be subscribe or unsubscribe"}']
        if channel != "heartbeats" and channel not in self.venue.channels:
            return ['{"type":"error","message":"channel field is not valid"}']
        if channel == "heartbeats":
            client.marks.pop(channel, None)
            client.marks |= {channel: "0"} if kind == "subscribe" else {}
        elif kind == "subscribe":
            client.streams.update(dict.fromkeys(f"{channel}:{product}" for product in products))
        else:
            gone = {f"{channel}:{product}" for product in products}
            for stream in [each for each in client.streams if each in gone]:
                del client.streams[stream]
        return [self._subscriptions(client)]

    def _subscriptions(self, client: Client) -> str:
        listed = {"heartbeats": ["heartbeats"]} if "heartbeats" in client.marks else {}
        return _pushed("subscriptions", [{"subscriptions": listed | by_channel(client.streams)}])

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        name, _, product = stream.partition(":")
        if book is None or name != "level2":
            return []
        # The time of a row is that of its level's last change, which nobody has recorded.
        rows = [
            {"side": side, "event_time": _NO_TIME, "price_level": price, "new_quantity": qty}
            for side, levels in zip(("bid", "offer"), book.levels(), strict=True)
            for price, qty in levels
        ]
        sent = frames.word(frames.record(book.last).get("timestamp")) or _NO_TIME
        return [_pushed("l2_data", [{"type": "snapshot", "product_id": product, "updates": rows}], sent)]

    def stamped(self, client: Client, text: str) -> str:
        return _SEQUENCE.sub(f'"sequence_num":{client.sent}', text, count=1)

    def heartbeat(self, client: Client) -> list[str]:
        if "heartbeats" not in client.marks:
            return []
        counter = int(client.marks["heartbeats"]) + 1
        client.marks["heartbeats"] = str(counter)
        return [_pushed("heartbeats", [{"current_time": _NO_TIME, "heartbeat_counter": counter}])]

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        parts = urlsplit(target)
        first, *others = (request.target for request in self.venue.instruments_requests())
        if parts.path != urlsplit(first).path:
            return None
        kind = parse_qs(parts.query).get("product_type", ["SPOT"])[-1]
        asked = next((each for each in others if each.endswith(f"={kind}")), first)
        return Answer(200, instruments.get(asked, self.venue.with_entries(None, [])))


_NO_TIME: Final = "0001-01-01T00:00:00Z"
"""What the venue's software prints where it has no time."""


def _pushed(channel: str, events: Sequence[Any], timestamp: str = _NO_TIME) -> str:
    message = {"channel": channel, "timestamp": timestamp, "sequence_num": 0, "events": events}
    return msgspec.json.encode(message).decode()


COINBASE: Final = Coinbase()

VENUES: Final = (COINBASE,)
