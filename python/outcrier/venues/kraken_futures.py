"""Kraken Futures v1: perpetuals and dated futures, inverse (PI, FI) and linear (PF, FF).

Rules are those of the documentation as of 2026-08; the venue ends this protocol on 2027-03-01. A book is a
whole one and then single levels, numbered one by one for each product; it is subscribed anew after a hole.

Quantities of inverse products count contracts of one dollar, those of linear ones are base units.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from outcrier.instruments import Instrument, QtyUnit, Trading
from outcrier.shapes import (
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
    Keepalive,
    Limits,
    Printed,
    Request,
    Several,
    Unknown,
)
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook
from outcrier.venues.kraken import asset
from outcrier.venues.kraken_futures_shapes import SHAPES
from outcrier.venues.named import NamedStreams, by_channel

PRODUCTS_AT_ONCE: Final = 100
"""Products that a message names: two kilobytes."""

_NAME: Final = re.compile(r"(PI|FI|PF|FF)_(\w+?)(?:_(\d{6}))?", re.ASCII)
"""Kind, pair and day of expiry in the name of a product."""

_UNLISTED: Final = "unlisted"
"""`type` of an entry for an instrument known only from its frames: its name need not be one of these."""

_QUOTE_CHARS: Final = 3
"""Where an entry does not tell its pair (2021), the last three letters are the quote."""


class _Listed(msgspec.Struct, rename="camel"):
    """An entry of /instruments."""

    symbol: str
    type: str
    tradeable: bool = False
    post_only: bool = False
    tick_size: Decimal = Decimal(0)
    contract_size: Decimal = Decimal(1)
    contract_value_trade_precision: int = 0
    last_trading_time: str = ""
    pair: str = ""


class KrakenFutures(NamedStreams):
    """Streams are `book:PI_XBTUSD`."""

    name = "kraken_futures"
    ws_url = "wss://futures.kraken.com"
    rest_url = "https://futures.kraken.com"
    ws_hosts = rest_hosts = frozenset({"futures.kraken.com"})
    shapes = SHAPES
    limits = Limits(
        messages_per_s=5.0,  # None is documented.
        connects=10,
        connects_window_s=10.0,
        weight_per_minute=60,
        weight_pool="kraken_futures",
    )
    keepalive = Keepalive(
        ping_every_s=0.0,
        pong_within_s=0.0,
        client_ping_every_s=30.0,  # By protocol; at least once in sixty seconds.
        expected_silence_s=10.0,
        lifetime_s=0.0,
    )
    channels: Mapping[str, Channel] = {
        channel.name: channel
        for channel in (Channel(name="book", book=True), Channel(name="trade"), Channel(name="ticker"))
    }
    default_channels = ("book", "trade", "ticker")
    samples: Mapping[str, tuple[str, ...]] = {
        channel: (f"kraken/ws_futures_{channel}*.json",) for channel in ("book", "trade", "ticker")
    }
    captures = ("kraken_futures/v1_20??-??-??",)
    instrument_lists = ("kraken_futures/v1_instruments",)
    documentation = "2026-08"
    list_path: ClassVar[tuple[str, ...]] = ("instruments",)

    def __init__(self) -> None:
        self.exchange = _Exchange(self)

    # Instruments.

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        return (HttpRequest("/derivatives/api/v3/instruments"),)

    def _instrument(self, entry: bytes) -> Instrument | None:
        listed = msgspec.json.decode(entry, type=_Listed)
        if "index" in listed.type:
            return None
        # Lists of 2021 are in small letters, frames never were; names such as PF_AAPLxUSD have both.
        native = listed.symbol.upper() if listed.symbol.islower() else listed.symbol
        named = _NAME.fullmatch(native)
        if named is None and listed.type == _UNLISTED:
            return self._by_its_own_word(native, listed)
        if named is None:
            raise ValueError(f"{listed.symbol!r} is no PI_, FI_, PF_ or FF_ with a pair")
        prefix, pair, day = named.groups(default="")
        is_dated, is_inverse = prefix[0] == "F", prefix[1] == "I"
        if is_dated is not bool(day):
            raise ValueError(f"{listed.symbol!r}: a future has a day of expiry, a perpetual none")
        base, colon, quote = listed.pair.partition(":")
        if not colon:
            base, quote = pair[:-_QUOTE_CHARS], pair[-_QUOTE_CHARS:]
        base, quote = asset(base), asset(quote)
        if not (is_asset(base) and is_asset(quote)):
            raise ValueError(f"{listed.symbol!r} fits no symbol")
        expiry_ns = frames.date_ns(listed.last_trading_time) if is_dated else 0
        if expiry_ns is None:
            raise ValueError(f"expiry of {listed.symbol!r} is no time")
        symbol = Symbol(
            kind=Kind.FUTURE if is_dated else Kind.PERPETUAL,
            base=base,
            quote=quote,
            settle=base if is_inverse else quote,
            expiry=f"20{day}" if day else "",
        )
        step = frames.step_of(listed.contract_value_trade_precision)
        return Instrument(
            venue=self.name,
            native_symbol=native,
            symbol=str(symbol),
            kind=symbol.kind,
            base=base,
            quote=quote,
            settle=symbol.settle,
            tick_size=listed.tick_size,
            lot_size=step,
            min_qty=step,
            contract_size=listed.contract_size,
            qty_unit=QtyUnit.CONTRACTS_OF_QUOTE if is_inverse else QtyUnit.BASE,
            book_proof=book_proof(self.shapes),
            expiry_ts=expiry_ns,
            status=_status(listed),
        )

    def _by_its_own_word(self, native: str, listed: _Listed) -> Instrument:
        return Instrument(
            venue=self.name,
            native_symbol=native,
            symbol=native,
            kind=Kind.PERPETUAL,
            base="",
            quote="",
            settle="",
            tick_size=listed.tick_size,
            lot_size=frames.step_of(listed.contract_value_trade_precision),
            book_proof=book_proof(self.shapes),
        )

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        day = native_symbol.rpartition("_")[2]
        entry = {
            "symbol": native_symbol,
            "type": _UNLISTED,
            "tradeable": True,
            "tickSize": msgspec.Raw(f"{tick:f}".encode()),
            "contractValueTradePrecision": frames.decimals_of(step),
        }
        if day.isdecimal():
            entry["lastTradingTime"] = f"20{day[:2]}-{day[2:4]}-{day[4:]}T00:00:00.000Z"
        return msgspec.json.encode(entry).decode()

    # Streams and connections.

    def route(self, stream: str) -> str:
        del stream
        return "/ws/v1"

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held, number
        return list(_requests("subscribe", streams))

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held, number
        return list(_requests("unsubscribe", streams))

    # Frames.

    def control(self, text: bytes | str) -> Control:
        message = frames.record(text)
        products = frames.rows(message.get("product_ids"))
        match frames.word(message.get("event")) or frames.word(message.get("feed")):
            case "subscribed" | "unsubscribed":
                # One a product in 2021; all products of the request would do as well.
                return Ack(None, len(products) or 1)
            case "subscribed_failed" | "unsubscribed_failed" as said:
                feed = frames.word(message.get("feed"))
                return Several(
                    tuple(Error(None, said, None, self.stream_named(feed, each)) for each in products)
                )
            case "alert" | "error":
                return Error(None, frames.word(message.get("message"))[: frames.MESSAGE_MAX])
            case "info" | "heartbeat" | "ticker_lite" as name:
                return Ignored(name)
            case "":
                return Unknown("object" if message else "not a JSON object")
            case name:
                return Unknown(name[: frames.NAME_MAX])

    def stream_of(self, text: bytes | str) -> str | None:
        message = frames.record(text)
        if "event" in message:
            return None
        feed = frames.word(message.get("feed")).removesuffix("_snapshot")
        return self.stream_named(feed, message.get("product_id"))

    def printed(self, text: bytes | str) -> Printed:
        message = frames.record(text)
        rows: list[Any]
        match message.get("feed"):
            case "book" | "trade":
                rows = [message]
            case "book_snapshot":
                rows = [*frames.rows(message.get("bids")), *frames.rows(message.get("asks"))]
            case "trade_snapshot":
                rows = frames.rows(message.get("trades"))
            case _:
                return Printed()
        prices, quantities = ([frames.at(row, key) for row in rows] for key in ("price", "qty"))
        return Printed(tuple(frames.numbers(prices)), tuple(frames.numbers(quantities)))

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        message = frames.record(text)
        return frames.time_ns(message.get("time") or message.get("timestamp"), 1_000_000)


def _status(listed: _Listed) -> int:
    if not listed.tradeable:
        return Trading.HALTED
    return Trading.PRE_OPEN if listed.post_only else Trading.OPEN


def _requests(event: str, streams: Sequence[str]) -> Iterator[Request]:
    for feed, products in by_channel(streams).items():
        for batch in frames.batches(products, PRODUCTS_AT_ONCE):
            message = {"event": event, "feed": feed, "product_ids": batch}
            yield Request(msgspec.json.encode(message).decode(), acks=len(batch))


class _Exchange(ExchangeSide):
    def __init__(self, venue: KrakenFutures) -> None:
        self.venue = venue

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path == "/ws/v1"

    def greeting(self, client: Client) -> list[str]:
        del client
        return ['{"event":"info","version":1}']

    def on_text(self, client: Client, text: str) -> list[str]:
        request = frames.record(text)
        event, feed = frames.word(request.get("event")), frames.word(request.get("feed"))
        if event not in {"subscribe", "unsubscribe"} or feed not in self.venue.channels:
            return ['{"event":"alert","message":"Bad request"}']
        answers = []
        for product in map(frames.word, frames.rows(request.get("product_ids"))):
            # Small letters are taken, and answered in capitals.
            native = product.upper() if product.islower() else product
            done = f"{event}d" if "_" in native else f"{event}d_failed"
            if done == "subscribed":
                client.streams[f"{feed}:{native}"] = None
            elif done == "unsubscribed":
                client.streams.pop(f"{feed}:{native}", None)
            answers.append(_text({"event": done, "feed": feed, "product_ids": [native]}))
        return answers

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        feed, _, product = stream.partition(":")
        if book is None or feed != "book":
            return []
        bids, asks = (
            [
                {"price": msgspec.Raw(price.encode()), "qty": msgspec.Raw(qty.encode())}
                for price, qty in levels
            ]
            for levels in book.levels()
        )
        message = {
            "feed": "book_snapshot",
            "product_id": product,
            "timestamp": (book.exchange_ns or 0) // 1_000_000,
            "seq": book.last_id,
            "tickSize": None,
            "bids": bids,
            "asks": asks,
        }
        return [_text(message)]

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        (asked,) = self.venue.instruments_requests()
        if urlsplit(target).path != asked.path:
            return None
        return Answer(200, instruments.get(asked.target, self.venue.with_entries(None, [])))


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


KRAKEN_FUTURES: Final = KrakenFutures()

VENUES: Final = (KRAKEN_FUTURES,)
