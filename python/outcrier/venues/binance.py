"""Binance spot, USD-M, COIN-M, Binance US and Binance TR: two protocols, five values.

Rules are those of the API documentation as of 2026-07 (spot) and, for futures, of the USD-M URL split
(2026-04-23) and the CM/UM integration (2026-06-30).

Trades are subscribed raw (`@trade`), on futures too where the documented stream is `@aggTrade`: raw trades
come at once instead of folded over 100 ms, one a fill, and say what was printed off the book (`X` other than
MARKET: trade flag 64). On futures `@trade` is undocumented; if it goes, `channels = [.., "aggTrade"]` is one
word away.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from outcrier.instruments import Instrument, QtyUnit
from outcrier.shapes import AnyShape, Envelope, book_proof
from outcrier.symbols import Kind, Symbol, is_asset
from outcrier.venues import binance_messages as messages
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
from outcrier.venues.binance_exchange import BinanceExchange
from outcrier.venues.binance_messages import COINM_SHAPES, SPOT_SHAPES, USDM_SHAPES

SUBSCRIBE_BYTES_MAX: Final = 4000
"""A SUBSCRIBE above 4,088 bytes is swallowed without an answer (binance-connector-rust, issue 27 of 2024-12).
"""

SNAPSHOT_DEPTH: Final = 1000
"""Levels a side of a REST book. Spot offers 5,000 at five times the weight: 200 books would cost 50,000 of
6,000 a minute.
"""

_DATED: Final = re.compile(r"_(\d{6})$")
"""A dated future's native symbol ends in its day of expiry: BTCUSD_260327."""

_TICKER_S: Final = 1.0
"""`@ticker` comes every second. Books, trades and candles come when something happens: silence is no
fault."""

_SPOT_CHANNELS: Final = (
    Channel(name="depth", book=True, speeds=("100ms", "1000ms"), bare_speed="1000ms"),
    Channel(name="trade", group="trades"),
    Channel(name="aggTrade", group="trades"),
    Channel(name="bookTicker"),
    Channel(name="ticker", cadence_s=_TICKER_S),
    Channel(name="kline_1m"),
)

# "@depth@0ms" (real time) is undocumented and what recorders of full books use.
_FUTURES_CHANNELS: Final = (
    Channel(name="depth", book=True, speeds=("100ms", "0ms", "250ms", "500ms"), bare_speed="250ms"),
    Channel(name="trade", group="trades"),
    Channel(name="aggTrade", group="trades"),
    Channel(name="bookTicker"),
    Channel(name="ticker", cadence_s=_TICKER_S),
    Channel(name="kline_1m"),
    Channel(name="markPrice", speeds=("1s", "3s"), bare_speed="3s", cadence_s=3.0),
    Channel(name="forceOrder"),
    Channel(name="contractInfo", whole_venue=True),
)

_SPOT_LIMITS: Final = Limits(
    streams_per_connection=1024,
    messages_per_s=4.0,  # Five are allowed and our answers to server pings count.
    connects=300,
    connects_window_s=300.0,
    weight_per_minute=6000,
    weight_header="X-MBX-USED-WEIGHT-1M",
    weight_pool="binance",
)

_FUTURES_LIMITS: Final = Limits(
    # The documentation says 1,024; it said 200 before, and other clients stay there.
    streams_per_connection=200,
    messages_per_s=8.0,  # Ten are allowed.
    connects=300,  # Undocumented for futures; that of spot.
    connects_window_s=300.0,
    weight_per_minute=2400,
    weight_header="X-MBX-USED-WEIGHT-1M",
    weight_pool="binance_futures",  # 2026-06-30: fapi and dapi share one pool.
)

_DAY_S: Final = 86_400.0

_SPOT_KEEPALIVE: Final = Keepalive(
    ping_every_s=20.0, pong_within_s=60.0, expected_silence_s=10.0, lifetime_s=_DAY_S
)

_FUTURES_KEEPALIVE: Final = Keepalive(
    ping_every_s=180.0, pong_within_s=600.0, expected_silence_s=10.0, lifetime_s=_DAY_S
)


class Binance(Venue):
    """What spot and futures have in common. Streams are combined (`/stream`), so that each frame names its
    stream.
    """

    envelope: ClassVar[Envelope | None] = Envelope("data", optional=True, known=("stream",))
    statuses: ClassVar[Mapping[str, int]]
    documentation = "2026-07"
    product: int | None = None
    """`st` of our messages in streams of all markets; None on spot, which has no such streams."""
    rest_prefix: str
    instruments_weight: int
    snapshot_weight: int

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        return (HttpRequest(f"{self.rest_prefix}/exchangeInfo", weight=self.instruments_weight),)

    def snapshot_request(self, instrument: Instrument) -> HttpRequest:
        query = (("symbol", instrument.native_symbol), ("limit", str(SNAPSHOT_DEPTH)))
        return HttpRequest(f"{self.rest_prefix}/depth", query, self.snapshot_weight)

    # Instruments.

    def parse_instruments(self, *bodies: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        entries: list[bytes] = []
        for body in bodies:
            try:
                entries += map(bytes, messages.listed_entries(body))
            except BAD_JSON as error:
                return [], [fault(f"instrument list: {error}", body)]
        return read_instruments(entries, lambda entry: self._instrument(messages.listed(msgspec.Raw(entry))))

    @abstractmethod
    def _symbol(self, entry: messages.Listed) -> Symbol:
        """The canonical symbol of an entry whose assets are known and fit."""

    def _instrument(self, entry: messages.Listed) -> Instrument:
        """Raises ValueError, with the reason, for an entry that cannot be used."""
        word = entry.status or entry.contract_status
        if word not in self.statuses:
            raise ValueError(f"status {word!r} is not known")
        # An entry of `unlisted` has no quote: the symbol stays the venue's own word.
        assets = [entry.base_asset, entry.quote_asset] if entry.quote_asset else []
        if entry.margin_asset:
            assets.append(entry.margin_asset)
        if not entry.symbol or not all(map(is_asset, assets)):
            raise ValueError(f"{entry.symbol!r} of {assets} fits no symbol")
        symbol = self._symbol(entry)
        price, lot = entry.filter("PRICE_FILTER"), entry.filter("LOT_SIZE")
        unit, contract_size = self._quantity(entry)
        return Instrument(
            venue=self.name,
            native_symbol=entry.symbol,
            symbol=str(symbol),
            kind=symbol.kind,
            base=symbol.base if entry.quote_asset else "",
            quote=symbol.quote,
            settle=symbol.settle,
            tick_size=price.tick_size,
            lot_size=lot.step_size,
            min_qty=lot.min_qty,
            contract_size=contract_size,
            qty_unit=unit,
            book_proof=book_proof(self.shapes),
            expiry_ts=entry.delivery_date * 1_000_000 if symbol.expiry else 0,
            status=self.statuses[word],
        )

    def _quantity(self, entry: messages.Listed) -> tuple[int, Decimal]:
        """What quantities count, and the size of one contract."""
        del entry
        return QtyUnit.BASE, Decimal(1)

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        entry = {
            "symbol": native_symbol,
            "status": "TRADING",
            "baseAsset": native_symbol,
            "quoteAsset": "",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": f"{tick:f}"},
                {"filterType": "LOT_SIZE", "stepSize": f"{step:f}", "minQty": f"{step:f}"},
            ],
        }
        return msgspec.json.encode(entry).decode()

    def with_entries(self, body: str | None, entries: Sequence[str]) -> str:
        document: dict[str, Any] = (
            {"timezone": "UTC", "symbols": []} if body is None else msgspec.json.decode(body)
        )
        document["symbols"] += [msgspec.Raw(entry.encode()) for entry in entries]
        return msgspec.json.encode(document).decode()

    # Streams and connections.

    def streams(
        self, instrument: Instrument, channels: Sequence[str], speeds: Mapping[str, str]
    ) -> list[str]:
        symbol = instrument.native_symbol.lower()
        wanted = [self.channels[name] for name in channels]
        return [f"{symbol}@{_suffix(channel, speeds)}" for channel in wanted if not channel.whole_venue]

    def route(self, stream: str) -> str:
        del stream
        return "/stream"

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return list(_requests("SUBSCRIBE", streams, number))

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return list(_requests("UNSUBSCRIBE", streams, number))

    # Frames that no shape takes, and what a recording tells.

    def control(self, text: bytes | str) -> Control:
        return messages.control(text, self.statuses, self.product)

    def stream_of(self, text: bytes | str) -> str | None:
        frame = messages.combined(text)
        return None if frame is None else frame.stream

    def native_symbol_of(self, stream: str) -> str | None:
        symbol, at, _ = stream.partition("@")
        return symbol.upper() if at and symbol and not symbol.startswith("!") else None

    def channel_of(self, stream: str) -> tuple[str, str] | None:
        suffix = stream.removeprefix("!") if stream.startswith("!") else stream.partition("@")[2]
        name, _, speed = suffix.partition("@")
        channel = self.channels.get(name)
        if channel is None or channel.whole_venue is not stream.startswith("!"):
            return None
        speed = speed or channel.bare_speed
        return (name, speed) if speed in channel.speeds or not channel.speeds else None

    def snapshot_symbol(self, url: str | None, body: bytes | str) -> str | None:
        return messages.snapshot_symbol(url, body)

    def is_snapshot(self, url: str | None, body: bytes | str) -> bool:
        return messages.is_snapshot(url, body)

    def printed(self, text: bytes | str) -> Printed:
        return messages.printed(text)

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        return messages.exchange_time_ns(text)


class BinanceSpot(Binance):
    """Spot, of Binance and of the exchanges that run its software."""

    statuses: ClassVar[Mapping[str, int]] = messages.SPOT_STATUS
    rest_prefix = "/api/v3"
    instruments_weight = 20
    snapshot_weight = 50
    shapes = SPOT_SHAPES
    keepalive = _SPOT_KEEPALIVE
    channels: Mapping[str, Channel] = {channel.name: channel for channel in _SPOT_CHANNELS}
    default_channels = ("depth", "trade", "bookTicker", "ticker", "kline_1m")

    def __init__(self, name: str, ws_url: str, rest_url: str, hosts: tuple[str, ...], limits: Limits) -> None:
        """`hosts`: every published host name, of WebSocket and REST."""
        self.name = name
        self.ws_url = ws_url
        self.rest_url = rest_url
        self.ws_hosts = self.rest_hosts = frozenset(hosts)
        self.limits = limits
        self.captures = (f"{name}/spot_2*", f"{name}/spot_*usdt_*")
        self.instrument_lists = (f"{name}/spot_instruments",)
        self.exchange = BinanceExchange(self, futures=False)

    def _symbol(self, entry: messages.Listed) -> Symbol:
        return Symbol(kind=Kind.SPOT, base=entry.base_asset, quote=entry.quote_asset)


_USDM_SAMPLES: Final = {
    channel: (f"binance/futures_market_data_json_{name}_stream*.json",)
    for channel, name in {
        "depth": "depth_update",
        "trade": "trade",
        "aggTrade": "agg_trade",
        "bookTicker": "book_ticker",
        "ticker": "ticker",
        "kline_1m": "kline",
        "markPrice": "mark_price",
        "forceOrder": "liquidation",
    }.items()
}


class BinanceFutures(Binance):
    """USD-M (linear) and COIN-M (inverse) futures."""

    statuses: ClassVar[Mapping[str, int]] = messages.FUTURES_STATUS
    instruments_weight = 1
    snapshot_weight = 20
    limits = _FUTURES_LIMITS
    keepalive = _FUTURES_KEEPALIVE
    channels: Mapping[str, Channel] = {channel.name: channel for channel in _FUTURES_CHANNELS}
    default_channels = (
        "depth",
        "trade",
        "bookTicker",
        "ticker",
        "kline_1m",
        "markPrice",
        "forceOrder",
        "contractInfo",
    )

    def __init__(
        self,
        name: str,
        *,
        ws_url: str,
        rest_url: str,
        rest_prefix: str,
        shapes: tuple[AnyShape, ...],
        product: int,
        inverse: bool,
        split: bool,
    ) -> None:
        """`inverse`: quantities are contracts of quote currency. `split`: market streams have connections of
        their own.
        """
        self.name = name
        self.ws_url = ws_url
        self.rest_url = rest_url
        self.ws_hosts = frozenset({ws_url.removeprefix("wss://")})
        self.rest_hosts = frozenset({rest_url.removeprefix("https://")})
        self.rest_prefix = rest_prefix
        self.shapes = shapes
        self.product = product
        self.inverse = inverse
        self.split = split
        kind = name.removeprefix("binance_")
        self.captures = (f"{name}/{kind}_2*", f"{name}/{kind}_btcusd*")
        self.samples = _USDM_SAMPLES if kind == "usdm" else {}
        self.instrument_lists = (f"{name}/{kind}_instruments",)
        self.exchange = BinanceExchange(self, futures=True, split=split, inverse=inverse)

    def _symbol(self, entry: messages.Listed) -> Symbol:
        # The contract type is empty before trading begins (BTCSTUSDT, 2021), so the native symbol decides.
        dated = _DATED.search(entry.symbol)
        return Symbol(
            kind=Kind.FUTURE if dated else Kind.PERPETUAL,
            base=entry.base_asset,
            quote=entry.quote_asset,
            settle=entry.margin_asset or entry.quote_asset,
            expiry=f"20{dated[1]}" if dated else "",
        )

    def _quantity(self, entry: messages.Listed) -> tuple[int, Decimal]:
        if not self.inverse:
            return QtyUnit.BASE, Decimal(1)
        # Always read, never assumed: 100 USD for BTC, 10 for most others; 0 = not told.
        return QtyUnit.CONTRACTS_OF_QUOTE, entry.contract_size

    def route(self, stream: str) -> str:
        """The 2026 URL split: `/public` pushes books, best prices and raw trades, `/market` everything else.

        A stream asked for on the wrong path (or a market stream on the old one) is acknowledged and never
        pushed.
        """
        if not self.split:
            return "/stream"
        suffix = stream.partition("@")[2]
        public = suffix.startswith(("depth", "rpiDepth", "bookTicker")) or suffix == "trade"
        return "/public/stream" if public or stream == "!bookTicker" else "/market/stream"


def _suffix(channel: Channel, speeds: Mapping[str, str]) -> str:
    """What follows the symbol in the stream's name; the speed that the venue gives anyway is not named."""
    if not channel.speeds:
        return channel.name
    speed = speeds.get(channel.name, channel.speeds[0])
    return channel.name if speed == channel.bare_speed else f"{channel.name}@{speed}"


def _requests(method: str, streams: Sequence[str], number: int) -> Iterator[Request]:
    """Messages of at most SUBSCRIBE_BYTES_MAX bytes."""
    room = SUBSCRIBE_BYTES_MAX - len(f'{{"method":"{method}","params":[],"id":1000000}}')
    batch: list[str] = []
    used = 0
    for stream in streams:
        size = len(msgspec.json.encode(stream)) + 1
        if batch and used + size > room:
            yield _request(method, batch, number)
            batch, number, used = [], number + 1, 0
        batch.append(stream)
        used += size
    if batch:
        yield _request(method, batch, number)


def _request(method: str, streams: Sequence[str], number: int) -> Request:
    return Request(msgspec.json.encode({"method": method, "params": streams, "id": number}).decode())


def _regional(name: str, ws_url: str, rest_url: str) -> BinanceSpot:
    """An exchange of its own that runs the software of spot; US (exchangeInfo of 2021-10) and TR (2023-04)
    grant 1,200 of weight.
    """
    hosts = tuple(urlsplit(url).hostname or "" for url in (ws_url, rest_url))
    limits = msgspec.structs.replace(_SPOT_LIMITS, weight_per_minute=1200, weight_pool=name)
    return BinanceSpot(name, ws_url, rest_url, hosts, limits)


BINANCE: Final = BinanceSpot(
    "binance",
    "wss://stream.binance.com:9443",
    "https://api.binance.com",
    (
        "stream.binance.com",
        "data-stream.binance.vision",
        "data-api.binance.vision",
        "api.binance.com",
        "api-gcp.binance.com",
        "api1.binance.com",
        "api2.binance.com",
        "api3.binance.com",
        "api4.binance.com",
    ),
    _SPOT_LIMITS,
)

BINANCE_US: Final = _regional("binance_us", "wss://stream.binance.us:9443", "https://api.binance.us")

BINANCE_TR: Final = _regional("binance_tr", "wss://stream-cloud.trbinance.com", "https://api.binance.me")

BINANCE_USDM: Final = BinanceFutures(
    "binance_usdm",
    ws_url="wss://fstream.binance.com",
    rest_url="https://fapi.binance.com",
    rest_prefix="/fapi/v1",
    shapes=USDM_SHAPES,
    product=1,
    inverse=False,
    split=True,
)

BINANCE_COINM: Final = BinanceFutures(
    "binance_coinm",
    ws_url="wss://dstream.binance.com",
    rest_url="https://dapi.binance.com",
    rest_prefix="/dapi/v1",
    shapes=COINM_SHAPES,
    product=2,
    inverse=True,
    split=False,
)

VENUES: Final = (BINANCE, BINANCE_USDM, BINANCE_COINM, BINANCE_US, BINANCE_TR)
