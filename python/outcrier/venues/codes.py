"""The protocol of Upbit, and of Bithumb's socket of 2024: a request is an array of types with codes, messages
come in one of two forms, SIMPLE with short names and DEFAULT with long ones. `outcrier.venues.upbit` has the
rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from outcrier.instruments import Instrument, Trading
from outcrier.shapes import (
    PRESENT,
    Aggressor,
    AnyShape,
    BboShape,
    NoSequence,
    Path,
    Shape,
    SideWords,
    Symbol,
    TickerShape,
    Time,
    TradeShape,
    TradingShape,
    book_proof,
)
from outcrier.symbols import Kind, is_asset
from outcrier.symbols import Symbol as CanonicalSymbol
from outcrier.venues import frames
from outcrier.venues.base import (
    Control,
    Error,
    HttpRequest,
    Pong,
    Printed,
    Request,
    Unknown,
)
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook
from outcrier.venues.named import NamedStreams, by_channel

QUANTITY_STEP: Final = Decimal("0.00000001")
"""No step is published; quantities are printed with up to eight decimals."""


LONG_NAMES: Final[Mapping[str, str]] = {
    "ty": "type",
    "cd": "code",
    "tms": "timestamp",
    "obu": "orderbook_units",
    "bp": "bid_price",
    "bs": "bid_size",
    "ap": "ask_price",
    "as": "ask_size",
    "tp": "trade_price",
    "tv": "trade_volume",
    "ttms": "trade_timestamp",
    "sid": "sequential_id",
    "ab": "ask_bid",
    "bbp": "best_bid_price",
    "bbs": "best_bid_size",
    "bap": "best_ask_price",
    "bas": "best_ask_size",
    "atv24h": "acc_trade_volume_24h",
    "atp24h": "acc_trade_price_24h",
    "ms": "market_state",
    "its": "is_trading_suspended",
    "cdttmu": "candle_date_time_utc",
    "op": "opening_price",
    "hp": "high_price",
    "lp": "low_price",
    "catv": "candle_acc_trade_volume",
    "catp": "candle_acc_trade_price",
    "st": "stream_type",
    "tas": "total_ask_size",
    "tbs": "total_bid_size",
    "lv": "level",
    "td": "trade_date",
    "tdt": "trade_date",
    "ttm": "trade_time",
    "pcp": "prev_closing_price",
    "c": "change",
    "cp": "change_price",
    "scp": "signed_change_price",
    "cr": "change_rate",
    "scr": "signed_change_rate",
    "atv": "acc_trade_volume",
    "atp": "acc_trade_price",
    "aav": "acc_ask_volume",
    "abv": "acc_bid_volume",
    "h52wp": "highest_52_week_price",
    "h52wdt": "highest_52_week_date",
    "l52wp": "lowest_52_week_price",
    "l52wdt": "lowest_52_week_date",
    "ts": "trade_status",
    "msfi": "market_state_for_ios",
    "dd": "delisting_date",
    "mw": "market_warning",
    "cdttmk": "candle_date_time_kst",
}
"""Fields of the form SIMPLE and what they are called in DEFAULT."""

_TICKER_UNUSED: Final = (
    *("op", "hp", "lp", "pcp", "c", "cp", "scp", "cr", "scr", "atv", "atp", "aav", "abv", "tv"),
    *("h52wp", "h52wdt", "l52wp", "l52wdt", "ab", "td", "tdt", "ttm", "ttms", "st"),
    *("ts", "msfi", "dd", "mw"),
)
"""Of the day and of the year, and the last trade."""


def shapes_of(form: str, names: Mapping[str, str], depth: int | None = None) -> tuple[AnyShape, ...]:
    """The messages in one form; `names` gives a field's name there, those it lacks stay as they are. `depth`:
    levels a side that are asked for.
    """

    def name(field: str) -> str:
        return names.get(field, field)

    def names_of(*fields: str) -> tuple[str, ...]:
        return tuple(map(name, fields))

    # A code may carry the depth that was asked for: KRW-BTC.30.
    code = Symbol(name("cd"), split=".")
    pushed = Time(name("tms"), "magnitude")
    # A unit pairs the i-th ask with the i-th bid; a side with fewer levels has price 0 there. Times were
    # microseconds in some books of 2023.
    level: dict[str, Path] = {
        "bid_price": name("bp"),
        "bid_qty": name("bs"),
        "ask_price": name("ap"),
        "ask_qty": name("as"),
    }
    book = Shape(
        name=f"orderbook_{form}",
        when={name("ty"): "orderbook"},
        instrument=code,
        exchange_time=pushed,
        sequence=NoSequence(splice="in_stream"),
        levels=name("obu"),
        level=level,
        snapshot=True,
        ignore_zero_price=True,
        depth=depth,
        known=names_of("tas", "tbs", "lv", "st"),
    )
    # BID: the taker bought. The id is unique in a market, grows and has holes.
    trade = TradeShape(
        name=f"trade_{form}",
        when={name("ty"): "trade"},
        instrument=code,
        price=name("tp"),
        qty=name("tv"),
        time=(name("ttms"), "magnitude"),
        id=name("sid"),
        aggressor=Aggressor(name("ab"), SideWords(bid=("BID",), ask=("ASK",))),
        known=names_of(*("tms", "td", "tdt", "ttm", "pcp", "c", "cp", "st"), *("bbp", "bbs", "bap", "bas")),
    )
    # Best prices after the trade, since 2024-10.
    best = BboShape(
        name=f"trade_bbo_{form}",
        also=True,
        when={name("ty"): "trade", name("bbp"): PRESENT, name("bap"): PRESENT},
        instrument=code,
        exchange_time=pushed,
        bid_price=name("bbp"),
        bid_qty=name("bbs"),
        ask_price=name("bap"),
        ask_qty=name("bas"),
    )
    # Opening, high and low price are those of the day that began at 0:00 (Upbit: UTC, Bithumb: KST), which is
    # another window than the 24 hours of the volume: they are not given.
    ticker = TickerShape(
        name=f"ticker_{form}",
        when={name("ty"): "ticker"},
        instrument=code,
        exchange_time=pushed,
        last=name("tp"),
        volume=name("atv24h"),
        turnover=name("atp24h"),
        known=names_of(*_TICKER_UNUSED),
    )
    # A suspension is said beside the state in a field that goes away (2025-10).
    status = TradingShape(
        name=f"ticker_status_{form}",
        also=True,
        when={name("ty"): "ticker"},
        instrument=code,
        states=(
            (Trading.HALTED, {name("its"): True}),
            (Trading.OPEN, {name("ms"): "ACTIVE"}),
            (Trading.PRE_OPEN, {name("ms"): "PREVIEW"}),
            (Trading.DELISTED, {name("ms"): "DELISTED"}),
        ),
    )
    return book, trade, best, ticker, status


class CodesVenue(NamedStreams):
    """A venue whose request is an array of types with codes, as Upbit and Bithumb have it."""

    only_realtime: ClassVar[str]
    """Key of a request's part that asks for no repetition of what was before."""
    list_request: ClassVar[HttpRequest]
    form: ClassVar[str] = "SIMPLE"
    """Of the messages asked for: SIMPLE has short names, half the bytes."""

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        return (self.list_request,)

    def _instrument(self, entry: bytes) -> Instrument:
        market = msgspec.json.decode(entry, type=_Market).market
        quote, dash, base = market.partition("-")
        if not (dash and is_asset(base) and is_asset(quote)):
            raise ValueError(f"{market!r} is no QUOTE-BASE")
        return Instrument(
            venue=self.name,
            native_symbol=market,
            symbol=str(CanonicalSymbol(kind=Kind.SPOT, base=base, quote=quote)),
            kind=Kind.SPOT,
            base=base,
            quote=quote,
            settle="",
            lot_size=QUANTITY_STEP,
            book_proof=book_proof(self.shapes),
        )

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        del tick, step
        return msgspec.json.encode({"market": native_symbol}).decode()

    # Streams: `orderbook:KRW-BTC`.

    def route(self, stream: str) -> str:
        del stream
        return "/websocket/v1"

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        return self._request((*held, *streams), number) if streams else []

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        """Asks for what is kept. There is no request for nothing: who keeps nothing closes the connection."""
        return self._request(held, number) if streams and held else []

    def _request(self, streams: Sequence[str], number: int) -> list[Request]:
        parts: list[dict[str, Any]] = [{"ticket": f"outcrier-{number}"}]
        for name, codes in by_channel(streams).items():
            part: dict[str, Any] = {"type": name, "codes": [self.code(name, code) for code in codes]}
            # The last trade would come again with each request.
            parts.append(part | {self.only_realtime: True} if name == "trade" else part)
        parts.append({"format": self.form})
        return [Request(msgspec.json.encode(parts).decode(), acks=0)]

    def code(self, name: str, code: str) -> str:
        """A market as a request of the type `name` names it."""
        del name
        return code

    # Frames.

    def control(self, text: bytes | str) -> Control:
        message = frames.record(text)
        if message.get("status") == "UP":
            return Pong()
        error = message.get("error")
        if isinstance(error, dict):
            said = frames.word(error.get("message"))[: frames.MESSAGE_MAX]
            return Error(frames.word(error.get("name"))[: frames.NAME_MAX] or None, said)
        name = frames.word(_field(message, "ty"))
        return Unknown(name[: frames.NAME_MAX] or ("object" if message else "not a JSON object"))

    def stream_of(self, text: bytes | str) -> str | None:
        message = frames.record(text)
        name, code = frames.word(_field(message, "ty")), frames.word(_field(message, "cd"))
        return self.stream_named(name, code.partition(".")[0])

    def printed(self, text: bytes | str) -> Printed:
        message = frames.record(text)
        units = [unit for unit in frames.rows(_field(message, "obu")) if isinstance(unit, dict)]
        prices: list[Any] = [_field(unit, key) for unit in units for key in ("bp", "ap")]
        quantities: list[Any] = [_field(unit, key) for unit in units for key in ("bs", "as")]
        if _field(message, "ty") == "trade":
            prices.append(_field(message, "tp"))
            quantities.append(_field(message, "tv"))
        return Printed(tuple(frames.numbers(prices)), tuple(frames.numbers(quantities)))

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        message = frames.record(text)
        traded = _field(message, "ttms") if _field(message, "ty") == "trade" else None
        return frames.magnitude_ns(traded or _field(message, "tms"))


class _Market(msgspec.Struct):
    market: str


def _field(message: Mapping[str, Any], name: str) -> Any:
    """A field in either form."""
    return message[name] if name in message else message.get(LONG_NAMES.get(name, name))


class CodesExchange(ExchangeSide):
    """The exchange's side of it. What was recorded in one form is pushed in that form, whichever is asked."""

    binary = True
    restarts_books = True

    def __init__(self, venue: CodesVenue) -> None:
        self.venue = venue

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path == self.venue.route("")

    def on_text(self, client: Client, text: str) -> list[str]:
        if text == self.venue.keepalive.client_ping:
            return ['{"status":"UP"}']
        parts = frames.parsed(text)
        wrong = self._wrong(parts)
        if wrong:
            return [_refusal(wrong)]
        asked: dict[str, None] = {}
        realtime: dict[str, str] = {}
        for part in parts:
            for code in frames.rows(part.get("codes")) if "type" in part else ():
                stream = f"{part['type']}:{frames.word(code).partition('.')[0]}"
                asked[stream] = None
                if part.get("is_only_realtime") is True or part.get("isOnlyRealtime") is True:
                    realtime[stream] = "realtime"
        client.again += [stream for stream in asked if stream in client.streams]
        client.streams, client.marks = asked, realtime
        return []

    def _wrong(self, parts: Any) -> str:
        """What is wrong with a request; empty for one that is right."""
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            return "WRONG_FORMAT"
        types = [part for part in parts if "type" in part]
        if not any(frames.word(part.get("ticket")) for part in parts):
            return "NO_TICKET"
        if not types:
            return "NO_TYPE"
        if not all(frames.word(part["type"]) in self.venue.channels for part in types):
            return "INVALID_PARAM"
        return "" if all(frames.rows(part.get("codes")) for part in types) else "NO_CODES"

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        """Each message is the whole book, so the last one is said again."""
        if book is None or not book.last or stream in client.marks:
            return []
        return [book.last.replace('"REALTIME"', '"SNAPSHOT"')]

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        parts = urlsplit(target)
        if parts.path == self.venue.list_request.path:
            return Answer(200, instruments.get(self.venue.list_request.target, "[]"))
        # No recording has ticks, so there is nothing true to say about any.
        return Answer(200, "[]") if parts.path == "/v1/orderbook/instruments" else None


def _refusal(name: str) -> str:
    return msgspec.json.encode({"error": {"name": name, "message": name.replace("_", " ").lower()}}).decode()
