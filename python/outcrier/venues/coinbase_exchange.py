"""Coinbase Exchange, the feed of the former Pro: spot.

Rules are those of the documentation as of 2026-08. Of its books only `level2_batch` (every 50 ms) is public;
the others (`level2`, `level3`, `full`) need an account. It has neither numbers nor a checksum: a lost message
of a book cannot be noticed, which the definition says (`book_proof` 0). Trades have ids without holes.

`full` tells of every order, numbered one by one for each product, and of the trades as `matches` does: one
of the two is subscribed. It has connections of its own, so that an account that is refused costs no book.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from outcrier.instruments import Instrument
from outcrier.shapes import (
    PRESENT,
    Aggressor,
    AnyShape,
    BboShape,
    NoSequence,
    OneOf,
    Shape,
    SideWords,
    SnapshotId,
    TickerShape,
    TradeShape,
    book_proof,
)
from outcrier.symbols import Kind, Symbol, is_asset
from outcrier.venues import coinbase_orders as orders
from outcrier.venues import frames
from outcrier.venues.base import (
    Ack,
    Channel,
    Control,
    Error,
    HttpRequest,
    Ignored,
    Keepalive,
    Limits,
    Printed,
    Request,
    Unknown,
)
from outcrier.venues.coinbase import STATUS, Restrictions, restricted, statuses
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook
from outcrier.venues.named import NamedStreams, by_channel

PRODUCTS_AT_ONCE: Final = 100
"""Products that a message names in each channel: two kilobytes a channel."""

_BUY_SELL: Final = SideWords(bid=("buy",), ask=("sell",))
_TIME: Final = ("time", "rfc3339")
"""`l2update` has sent the year 1 for none. Whole books have a time in newer recordings only."""

# `sequence` of matches and tickers is that of the product's channel `full`: it grows and has holes.

_SNAPSHOT: Final = Shape(
    name="snapshot",
    when={"type": "snapshot"},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=NoSequence(splice="in_stream"),
    bids="bids",
    asks="asks",
    snapshot=True,
)

_UPDATE: Final = Shape(
    name="l2update",
    when={"type": "l2update"},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=NoSequence(splice="in_stream"),
    levels="changes",
    level=("side", "price", "qty"),
    side=_BUY_SELL,
)

# `side` is the maker's: sell means that somebody bought. last_match is the trade before the subscription.
_MATCH: Final = TradeShape(
    name="match",
    when={"type": OneOf(("match", "last_match"))},
    instrument="product_id",
    sequence=SnapshotId("sequence"),
    price="price",
    qty="size",
    time=_TIME,
    id="trade_id",
    aggressor=Aggressor("side", _BUY_SELL, maker=True),
    known=("maker_order_id", "taker_order_id"),
)

_TICKER: Final = TickerShape(
    name="ticker",
    when={"type": "ticker"},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=SnapshotId("sequence"),
    last="price",
    open="open_24h",
    high="high_24h",
    low="low_24h",
    volume="volume_24h",
    known=("volume_30d", "side", "last_size", "trade_id", "best_bid", "best_ask"),
)

# Sizes are sent since 2022.
_BBO: Final = BboShape(
    name="ticker_bbo",
    also=True,
    when={"type": "ticker", "best_bid_size": PRESENT, "best_ask_size": PRESENT},
    instrument="product_id",
    exchange_time=_TIME,
    sequence=SnapshotId("sequence"),
    bid_price="best_bid",
    bid_qty="best_bid_size",
    ask_price="best_ask",
    ask_qty="best_ask_size",
)

_SHAPES: Final[tuple[AnyShape, ...]] = (
    _UPDATE,
    _MATCH,
    orders.MATCH,
    _TICKER,
    _BBO,
    _SNAPSHOT,
    orders.RECEIVED,
    orders.OPEN,
    orders.DONE,
    orders.CHANGE_PRICE,
    orders.CHANGE_SIZE,
    orders.CHANGE_FUNDS,
    orders.BOOK,
)

_CHANNEL_OF_TYPE: Final = {
    "snapshot": "level2_batch",
    "l2update": "level2_batch",
    "match": "matches",
    "last_match": "matches",
    "ticker": "ticker",
    "heartbeat": "heartbeat",
    **dict.fromkeys(("received", "open", "done", "change"), orders.CHANNEL),
}
_ACKNOWLEDGED_AS: Final = {"level2_batch": "level2_50"}


class _Product(Restrictions):
    """An entry of /products. The least size is left out since 2022-06, where only funds are limited."""

    id: str = ""
    base_currency: str = ""
    quote_currency: str = ""
    quote_increment: Decimal = Decimal(0)
    base_increment: Decimal = Decimal(0)
    base_min_size: Decimal = Decimal(0)
    status: str = ""


class CoinbaseExchange(NamedStreams):
    """Streams are `level2_batch:BTC-USD`; `status` is one of all products."""

    name = "coinbase_exchange"
    ws_url = "wss://ws-feed.exchange.coinbase.com"
    rest_url = "https://api.exchange.coinbase.com"
    ws_hosts = frozenset({"ws-feed.exchange.coinbase.com"})
    rest_hosts = frozenset({"api.exchange.coinbase.com"})
    shapes = _SHAPES
    limits = Limits(
        symbols_per_connection=50,  # Not the venue's: slow consumers are cut, and lose these books at once.
        messages_per_s=10.0,  # A hundred were allowed once; since 2024 ten and bursts.
        connects=8,
        connects_window_s=1.0,
        weight_per_minute=600,
        weight_pool="coinbase_exchange",
    )
    keepalive = Keepalive(
        ping_every_s=0.0,  # It pings at times that are not documented.
        pong_within_s=0.0,
        expected_silence_s=5.0,
        lifetime_s=0.0,
    )
    channels: Mapping[str, Channel] = {
        channel.name: channel
        for channel in (
            Channel(name="level2_batch", book=True),
            Channel(name="matches", group="trades"),
            Channel(name="ticker"),
            Channel(name="heartbeat", cadence_s=1.0),
            Channel(name="status", whole_venue=True),
            Channel(name=orders.CHANNEL, group="trades", orders=True, needs_account=True),
        )
    }
    default_channels = ("level2_batch", "matches", "ticker", "heartbeat", "status")
    captures = ("coinbase/exchange_20??-??-??", "coinbase/ssc2ce_*")
    instrument_lists = ("coinbase/exchange_instruments",)
    documentation = "2026-08"

    account = orders.CoinbaseAccount()

    def __init__(self) -> None:
        self.exchange = _Exchange(self)

    # Instruments.

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        return (HttpRequest("/products"),)

    def _instrument(self, entry: bytes) -> Instrument:
        product = msgspec.json.decode(entry, type=_Product)
        if product.status not in STATUS:
            raise ValueError(f"status {product.status!r} is not known")
        assets = (product.base_currency, product.quote_currency) if product.quote_currency else ()
        if not product.id or not all(map(is_asset, assets)):
            raise ValueError(f"{product.id!r} of {assets} fits no symbol")
        base = product.base_currency if assets else product.id
        symbol = Symbol(kind=Kind.SPOT, base=base, quote=product.quote_currency)
        return Instrument(
            venue=self.name,
            native_symbol=product.id,
            symbol=str(symbol),
            kind=Kind.SPOT,
            base=product.base_currency,
            quote=product.quote_currency,
            settle="",
            tick_size=product.quote_increment,
            lot_size=product.base_increment,
            min_qty=product.base_min_size,
            book_proof=book_proof(self.shapes),
            status=restricted(STATUS[product.status], product),
        )

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        entry = {
            "id": native_symbol,
            "quote_increment": f"{tick:f}",
            "base_increment": f"{step:f}",
            "status": "online",
        }
        return msgspec.json.encode(entry).decode()

    # Streams and connections.

    def route(self, stream: str) -> str:
        return "/" if stream.startswith(f"{orders.CHANNEL}:") else ""

    def orders_request(self, instrument: Instrument) -> HttpRequest | None:
        return HttpRequest(f"/products/{instrument.native_symbol}/book", (("level", "3"),))

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held, number
        return list(_requests("subscribe", streams))

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held, number
        return list(_requests("unsubscribe", streams))

    # Frames.

    def control(self, text: bytes | str) -> Control:
        message = frames.record(text)
        match message.get("type"):
            case "subscriptions":
                return Ack()
            case "heartbeat":
                return Ignored("heartbeat")
            case "status":
                return statuses(frames.rows(message.get("products")))
            case "error":
                said = [frames.word(message.get(key)) for key in ("message", "reason")]
                return Error(None, ": ".join(filter(None, said))[: frames.MESSAGE_MAX])
            case str(name):
                return Unknown(name[: frames.NAME_MAX])
        return Unknown("object" if message else "not a JSON object")

    def stream_of(self, text: bytes | str) -> str | None:
        message = frames.record(text)
        kind, product = frames.word(message.get("type")), frames.word(message.get("product_id"))
        if kind == "status":
            return "!status"
        return self.stream_named(_CHANNEL_OF_TYPE.get(kind, ""), product)

    def printed(self, text: bytes | str) -> Printed:
        message = frames.record(text)
        match message.get("type"):
            case "snapshot":
                rows = [*frames.rows(message.get("bids")), *frames.rows(message.get("asks"))]
                columns = (0, 1)
            case "l2update":
                rows, columns = frames.rows(message.get("changes")), (1, 2)
            case "match" | "last_match":
                rows, columns = [[message.get("price"), message.get("size")]], (0, 1)
            case "open":
                rows, columns = [[message.get("price"), message.get("remaining_size")]], (0, 1)
            case _:
                return Printed()
        prices, quantities = ([frames.at(row, column) for row in rows] for column in columns)
        return Printed(tuple(frames.numbers(prices)), tuple(frames.numbers(quantities)))

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        return frames.date_ns(frames.record(text).get("time"))


def _requests(kind: str, streams: Sequence[str]) -> Iterator[Request]:
    """All channels in one message, as long as none has more products than it may."""
    products = by_channel(streams)
    batches = {name: list(frames.batches(each, PRODUCTS_AT_ONCE)) or [[]] for name, each in products.items()}
    for number in range(max(map(len, batches.values()), default=0)):
        channels = [
            {"name": name, "product_ids": parts[number]} if parts[number] else {"name": name}
            for name, parts in batches.items()
            if number < len(parts)
        ]
        yield Request(msgspec.json.encode({"type": kind, "channels": channels}).decode())


class _Exchange(ExchangeSide):
    first_subscription_s = 5.0

    def __init__(self, venue: CoinbaseExchange) -> None:
        self.venue = venue

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path in {"", "/"}

    def on_text(self, client: Client, text: str) -> list[str]:
        request = frames.record(text)
        kind = frames.word(request.get("type"))
        if kind not in {"subscribe", "unsubscribe"}:
            return ['{"type":"error","message":"Malformed JSON","reason":"unknown type"}']
        asked: list[str] = []
        for part in frames.rows(request.get("channels")):
            # A channel by its name alone is about the products of the request.
            name = frames.word(part) or frames.word(frames.at(part, "name"))
            products = frames.rows(frames.at(part, "product_ids")) or frames.rows(request.get("product_ids"))
            if name in {"level2", "level3"} or (name == orders.CHANNEL and not _is_signed(request)):
                return [_NEEDS_ACCOUNT]
            channel = self.venue.channels.get(name)
            if channel is None:
                return ['{"type":"error","message":"Failed to subscribe","reason":"not a valid channel"}']
            asked += [f"!{name}"] if channel.whole_venue else [f"{name}:{frames.word(p)}" for p in products]
        if kind == "subscribe":
            client.streams.update(dict.fromkeys(asked))
        else:
            for stream in asked:
                client.streams.pop(stream, None)
        return [self._subscriptions(client)]

    @staticmethod
    def _subscriptions(client: Client) -> str:
        channels = [
            {"name": _ACKNOWLEDGED_AS.get(name, name), "product_ids": products}
            for name, products in by_channel(client.streams).items()
        ]
        return msgspec.json.encode({"type": "subscriptions", "channels": channels}).decode()

    def begins(self, stream: str) -> bool:
        """Whether who subscribes a stream is sent its state: all orders are an answer of REST."""
        return not stream.startswith(f"{orders.CHANNEL}:")

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        name, _, product = stream.partition(":")
        if book is None or name != "level2_batch":
            return []
        bids, asks = book.levels()
        message = {"type": "snapshot", "product_id": product, "asks": asks, "bids": bids}
        return [msgspec.json.encode(message).decode()]

    def wants(self, client: Client, stream: str) -> bool:
        name, _, product = stream.partition(":")
        is_match = name == "matches" and f"{orders.CHANNEL}:{product}" in client.streams
        return is_match or stream in client.streams

    def state_stream(self, stream: str) -> str:
        name, _, product = stream.partition(":")
        return f"{orders.CHANNEL}:{product}" if name == "matches" else stream

    def state(self, stream: str, before: str | None, text: str) -> str | None:
        return orders.book_after(before, text) if stream.startswith(f"{orders.CHANNEL}:") else None

    def state_of(self, target: str) -> str | None:
        parts = urlsplit(target)
        found = re.fullmatch(r"/products/([^/]+)/book", parts.path)
        is_whole = found is not None and parse_qs(parts.query).get("level") == ["3"]
        return f"{orders.CHANNEL}:{found[1]}" if found is not None and is_whole else None

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        return (
            Answer(200, instruments.get("/products", "[]")) if urlsplit(target).path == "/products" else None
        )


def _is_signed(request: Mapping[str, object]) -> bool:
    return all(frames.word(request.get(name)) for name in ("signature", "key", "passphrase", "timestamp"))


_NEEDS_ACCOUNT: Final = (
    '{"type":"error","message":"Failed to subscribe","reason":"level2, level3, and full channels now require'
    ' authentication. https://docs.cloud.coinbase.com/exchange/docs/websocket-channels"}'
)

COINBASE_EXCHANGE: Final = CoinbaseExchange()

VENUES: Final = (COINBASE_EXCHANGE,)
