"""What Binance's messages look like (API documentation as of 2026-07; each form is in a capture or a sample).

First the hot ones as declarations, which the core executes. `exchange_time` is the time of matching (`T`)
where a message has one, else the time of sending (`E`). Then the rare ones, which Python reads: instrument
lists, answers to subscriptions, control events, and what a recording tells. Those take the venue's text and
give values; only the two readers of instrument lists raise, and say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from outcrier.instruments import TIME_NS_MAX, Trading
from outcrier.shapes import (
    ABSENT,
    PRESENT,
    TRADE_OFF_BOOK,
    Aggressor,
    AggressorFlag,
    AnyShape,
    BboShape,
    CandleShape,
    Chain,
    DerivShape,
    Differs,
    IntervalWords,
    LiquidationShape,
    Range,
    Shape,
    SideWords,
    SnapshotId,
    TickerShape,
    TradeShape,
)
from outcrier.venues.base import (
    BAD_JSON,
    Ack,
    Control,
    Error,
    Ignored,
    InstrumentStatus,
    Printed,
    Shutdown,
    Unknown,
)

# The hot messages, as declarations.

# "m": the buyer is the maker, so true means that a seller took.
_AGGRESSOR: Final = AggressorFlag("m", test=True, then="sell")

_INTERVALS: Final = IntervalWords(
    ("k", "i"),
    {
        "1s": 1,
        "1m": 60,
        "3m": 180,
        "5m": 300,
        "15m": 900,
        "30m": 1_800,
        "1h": 3_600,
        "2h": 7_200,
        "4h": 14_400,
        "6h": 21_600,
        "8h": 28_800,
        "12h": 43_200,
        "1d": 86_400,
        "3d": 259_200,
        "1w": 604_800,
    },
)
"""Without the month "1M", which has no length in seconds."""

# Spot, "How to manage a local order book correctly" (2025-11-12): drop events with u <= lastUpdateId, the
# first one kept has U <= lastUpdateId + 1 <= u; then u < local id is old and U > local id + 1 a gap.
_SPOT_DEPTH: Final = Shape(
    name="depth",
    when={"e": "depthUpdate"},
    instrument="s",
    exchange_time=("E", "ms"),
    sequence=Range(first="U", last="u"),
    bids="b",
    asks="a",
)

_SPOT_SNAPSHOT: Final = Shape(
    name="depth_snapshot",
    rest=True,
    when={"lastUpdateId": PRESENT},
    sequence=SnapshotId("lastUpdateId"),
    bids="bids",
    asks="asks",
    snapshot=True,
)

# Futures: drop u < lastUpdateId, the first one has U <= lastUpdateId <= u (or pu == lastUpdateId, seen live);
# then pu is the u of the event before.
_FUTURES_DEPTH: Final = Shape(
    name="depth",
    when={"e": "depthUpdate"},
    instrument="s",
    exchange_time=("T", "ms"),
    sequence=Chain(first="U", last="u", prev="pu"),
    bids="b",
    asks="a",
)

_FUTURES_SNAPSHOT: Final = Shape(
    name="depth_snapshot",
    rest=True,
    when={"lastUpdateId": PRESENT},
    exchange_time=("T", "ms"),
    sequence=SnapshotId("lastUpdateId"),
    bids="bids",
    asks="asks",
    snapshot=True,
)

_TRADE: Final = TradeShape(
    name="trade",
    when={"e": "trade"},
    instrument="s",
    exchange_time=("T", "ms"),
    price="p",
    qty="q",
    time=("T", "ms"),
    id="t",
    aggressor=_AGGRESSOR,
    # Futures: X is MARKET, INSURANCE_FUND, ADL or NA; all but MARKET print up to 10 % off the book. Spot has
    # no X.
    flags=((TRADE_OFF_BOOK, {"X": Differs(("MARKET",))}),),
)

_AGG_TRADE: Final = TradeShape(
    name="agg_trade",
    when={"e": "aggTrade"},
    instrument="s",
    exchange_time=("T", "ms"),
    price="p",
    qty="q",
    time=("T", "ms"),
    id="a",
    aggressor=_AGGRESSOR,
    fills=("f", "l"),
)

# Spot sends neither "e" nor a time.
_SPOT_BOOK_TICKER: Final = BboShape(
    name="book_ticker",
    when={"e": ABSENT, "u": PRESENT, "B": PRESENT, "A": PRESENT},
    instrument="s",
    sequence=SnapshotId("u"),
    bid_price="b",
    bid_qty="B",
    ask_price="a",
    ask_qty="A",
)

_FUTURES_BOOK_TICKER: Final = BboShape(
    name="book_ticker",
    when={"e": "bookTicker"},
    instrument="s",
    exchange_time=("T", "ms"),
    sequence=SnapshotId("u"),
    bid_price="b",
    bid_qty="B",
    ask_price="a",
    ask_qty="A",
)


def _ticker(volume: str, turnover: str | None) -> TickerShape:
    return TickerShape(
        name="ticker",
        when={"e": "24hrTicker"},
        instrument="s",
        exchange_time=("E", "ms"),
        last="c",
        open="o",
        high="h",
        low="l",
        volume=volume,
        turnover=turnover,
        trade_count="n",
    )


def _candle(volume: str, turnover: str | None) -> CandleShape:
    return CandleShape(
        name="kline",
        when={"e": "kline", ("k", "i"): Differs(("1M",))},
        instrument="s",
        exchange_time=("E", "ms"),
        open_time=(("k", "t"), "ms"),
        interval=_INTERVALS,
        open=("k", "o"),
        high=("k", "h"),
        low=("k", "l"),
        close=("k", "c"),
        volume=("k", volume),
        turnover=None if turnover is None else ("k", turnover),
        trade_count=("k", "n"),
        closed={("k", "x"): True},
    )


# "Dated futures: r is empty or 0.00000000 and T is 0": no funding, so neither is given.
_MARK_PRICE_DATED: Final = DerivShape(
    name="mark_price_dated",
    when={"e": "markPriceUpdate", "T": 0},
    instrument="s",
    exchange_time=("E", "ms"),
    mark="p",
    index="i",
    settle="P",
)

_MARK_PRICE: Final = DerivShape(
    name="mark_price",
    when={"e": "markPriceUpdate"},
    instrument="s",
    exchange_time=("E", "ms"),
    mark="p",
    index="i",
    settle="P",
    funding_rate="r",
    next_funding=("T", "ms"),
)

# Average price and filled quantity: what was forced, not what was asked. Only the last order of a second is
# sent.
_FORCE_ORDER: Final = LiquidationShape(
    name="force_order",
    when={"e": "forceOrder"},
    instrument=("o", "s"),
    exchange_time=("E", "ms"),
    price=("o", "ap"),
    qty=("o", "z"),
    time=(("o", "T"), "ms"),
    aggressor=Aggressor(("o", "S"), SideWords(bid=("BUY",), ask=("SELL",))),
)

_DERIVATIVES: Final = (_MARK_PRICE_DATED, _MARK_PRICE, _FORCE_ORDER)
_FUTURES_HOT: Final = (_FUTURES_DEPTH, _FUTURES_BOOK_TICKER, _TRADE, _AGG_TRADE)

SPOT_SHAPES: Final[tuple[AnyShape, ...]] = (
    _SPOT_DEPTH,
    _SPOT_BOOK_TICKER,
    _TRADE,
    _AGG_TRADE,
    _ticker("v", "q"),
    _candle("v", "q"),
    _SPOT_SNAPSHOT,
)

USDM_SHAPES: Final[tuple[AnyShape, ...]] = (
    *_FUTURES_HOT,
    _ticker("v", "q"),
    _candle("v", "q"),
    *_DERIVATIVES,
    _FUTURES_SNAPSHOT,
)

# COIN-M: "v" counts contracts and "q" is the volume in the base asset; nothing is told in the quote.
COINM_SHAPES: Final[tuple[AnyShape, ...]] = (
    *_FUTURES_HOT,
    _ticker("q", None),
    _candle("q", None),
    *_DERIVATIVES,
    _FUTURES_SNAPSHOT,
)

# The rare messages.

NAME_MAX: Final = 64
"""Characters of an unknown message's name that are kept: it keys a counter."""

MESSAGE_MAX: Final = 256
"""Characters of an error's message that are kept: one line of a log."""

# Spot: "status" of exchangeInfo. BREAK is a pause that trading may come back from, however long.
SPOT_STATUS: Final[Mapping[str, int]] = {
    "TRADING": Trading.OPEN,
    "PRE_TRADING": Trading.PRE_OPEN,
    "AUCTION_MATCH": Trading.AUCTION,
    "HALT": Trading.HALTED,
    "BREAK": Trading.HALTED,
    "CANCEL_ONLY": Trading.HALTED,
    "POST_TRADING": Trading.CLOSED,
    "END_OF_DAY": Trading.CLOSED,
}

# Futures: "status", COIN-M "contractStatus", `cs` of contractInfo.
FUTURES_STATUS: Final[Mapping[str, int]] = {
    "TRADING": Trading.OPEN,
    "PENDING_TRADING": Trading.PRE_OPEN,
    "TRADING_HALT": Trading.HALTED,
    "PRE_DELIVERING": Trading.HALTED,
    "PRE_SETTLE": Trading.HALTED,
    "SETTLING": Trading.HALTED,
    "DELIVERING": Trading.CLOSED,
    "DELIVERED": Trading.DELISTED,
    "CLOSE": Trading.DELISTED,
}


class Filter(msgspec.Struct, rename="camel"):
    """One entry of `filters`; PRICE_FILTER and LOT_SIZE matter."""

    filter_type: str
    tick_size: Decimal = Decimal(0)
    step_size: Decimal = Decimal(0)
    min_qty: Decimal = Decimal(0)


class Listed(msgspec.Struct, rename="camel"):
    """One entry of `symbols` of exchangeInfo, of any product."""

    symbol: str
    base_asset: str
    quote_asset: str
    status: str = ""
    contract_status: str = ""
    margin_asset: str = ""
    contract_size: Decimal = Decimal(0)
    delivery_date: int = 0
    filters: list[Filter] = []

    def filter(self, kind: str) -> Filter:
        """The filter of that type; one that names nothing where it is missing."""
        return next((each for each in self.filters if each.filter_type == kind), Filter(kind))


class _ExchangeInfo(msgspec.Struct):
    symbols: list[msgspec.Raw]


class _Frame(msgspec.Struct):
    """Every field is optional and of any type, so that only broken JSON fails."""

    stream: Any = None
    data: msgspec.Raw = msgspec.Raw()
    result: Any = msgspec.UNSET
    id: Any = None
    code: Any = None
    msg: Any = None
    error: Any = None
    e: Any = None
    s: Any = None
    cs: Any = None
    st: Any = None


class Combined(msgspec.Struct):
    """A frame of a combined stream; `data` is the inner message byte for byte, empty where there is none."""

    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw()


class Diff(msgspec.Struct, rename={"first": "U", "last": "u", "prev": "pu", "sent": "E", "at": "T"}):
    """A depth update; levels are price and quantity as printed."""

    s: str
    first: int
    last: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    prev: int | None = None
    sent: int | None = None
    at: int | None = None


class Book(msgspec.Struct, rename={"last_update_id": "lastUpdateId", "sent": "E", "at": "T"}):
    """A REST book."""

    last_update_id: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    symbol: str | None = None
    pair: str | None = None
    sent: int | None = None
    at: int | None = None


class _Numbers(msgspec.Struct, rename={"bid_qty": "B", "ask_qty": "A", "event": "e", "sent": "E", "at": "T"}):
    """A book, trade or best bid and ask, of a stream or of REST."""

    event: str | None = None
    sent: int | None = None
    at: int | None = None
    b: str | list[list[str]] | int = ""
    a: str | list[list[str]] | int = ""
    bid_qty: str | None = None
    ask_qty: str | None = None
    p: str | None = None
    q: str | None = None
    bids: list[list[str]] = []
    asks: list[list[str]] = []


_FRAME: Final = msgspec.json.Decoder(_Frame)
_COMBINED: Final = msgspec.json.Decoder(Combined)
_DIFF: Final = msgspec.json.Decoder(Diff)
_BOOK: Final = msgspec.json.Decoder(Book)
_NUMBERS: Final = msgspec.json.Decoder(_Numbers)
_EXCHANGE_INFO: Final = msgspec.json.Decoder(_ExchangeInfo)
_LISTED: Final = msgspec.json.Decoder(Listed)

_EXPONENT_EVENTS: Final = frozenset({None, "depthUpdate", "trade", "aggTrade", "bookTicker"})
"""Events whose numbers are carried at the instrument's own exponents."""


def listed_entries(body: bytes | str) -> list[msgspec.Raw]:
    """The entries of an exchangeInfo answer, each still text. Raises one of BAD_JSON."""
    return _EXCHANGE_INFO.decode(body).symbols


def listed(entry: msgspec.Raw) -> Listed:
    """One entry. Raises one of BAD_JSON."""
    return _LISTED.decode(entry)


def combined(text: bytes | str) -> Combined | None:
    """Stream and inner message; None where the frame is not of a combined stream."""
    try:
        frame = _COMBINED.decode(text)
    except BAD_JSON:
        return None
    return frame if frame.stream is not None and bytes(frame.data) else None


def diff(data: bytes | str | msgspec.Raw) -> Diff | None:
    """The inner message of a depth stream; None where it is none."""
    try:
        return _DIFF.decode(data)
    except BAD_JSON:
        return None


def book(body: bytes | str) -> Book | None:
    """A REST book; None where the text is none."""
    try:
        return _BOOK.decode(body)
    except BAD_JSON:
        return None


def control(text: bytes | str, statuses: Mapping[str, int], product: int | None) -> Control:
    """What a frame says that no shape takes. `product` is our `st` on futures: 1 USD-M, 2 COIN-M."""
    try:
        frame = _FRAME.decode(text)
        inner = _FRAME.decode(frame.data) if bytes(frame.data) else frame
    except BAD_JSON:
        return Unknown("not a JSON object")
    # Spot, 2026-05-08: raw {"e":"serverShutdown","E":..}, combined {"stream":"!serverShutdown","data":{...}}.
    if inner.e == "serverShutdown" or frame.stream == "!serverShutdown":
        return Shutdown()
    if inner.e == "contractInfo":
        return _contract_info(inner, statuses, product)
    if inner.e is not None or frame.stream is not None:
        return Unknown(str(inner.e or frame.stream)[:NAME_MAX])
    return _answer(frame)


def _contract_info(frame: _Frame, statuses: Mapping[str, int], product: int | None) -> Control:
    # CM/UM integration, 2026-06-30: streams of all markets push both products on both hosts.
    if frame.st is not None and frame.st != product:
        return Ignored("contractInfo of the other product")
    status = statuses.get(frame.cs) if isinstance(frame.cs, str) else None
    if not isinstance(frame.s, str) or status is None:
        return Unknown(f"contractInfo {frame.cs!r}"[:NAME_MAX])
    return InstrumentStatus(frame.s, status, frame.cs)


def _answer(frame: _Frame) -> Control:
    """An acknowledgement `{"result":null,"id":1}` or an error, `{"code":..,"msg":..}` or the same under
    "error".
    """
    number = frame.id if isinstance(frame.id, int | str) else None
    code, message = frame.code, frame.msg
    if isinstance(frame.error, dict):
        code, message = frame.error.get("code"), frame.error.get("msg")
    if code is not None or message is not None:
        return Error(code if isinstance(code, int) else None, str(message)[:MESSAGE_MAX], number)
    return Unknown("object") if frame.result is msgspec.UNSET else Ack(number)


def snapshot_symbol(url: str | None, body: bytes | str) -> str | None:
    """Native symbol of a recorded book answer: from the URL, else from the body (COIN-M names it)."""
    named = parse_qs(urlsplit(url or "").query).get("symbol")
    if named:
        return named[0].upper()
    answer = book(body)
    return None if answer is None else answer.symbol


def is_snapshot(url: str | None, body: bytes | str) -> bool:
    """Whether a recorded REST answer is a book."""
    return urlsplit(url).path.endswith("/depth") if url is not None else book(body) is not None


def printed(text: bytes | str) -> Printed:
    """Prices and quantities as printed."""
    numbers = _numbers(text)
    if numbers is None or numbers.event not in _EXPONENT_EVENTS:
        return Printed()
    prices = [numbers.p]
    quantities = [numbers.q, numbers.bid_qty, numbers.ask_qty]
    for side in (numbers.b, numbers.a, numbers.bids, numbers.asks):
        if isinstance(side, str):
            prices.append(side)
        elif isinstance(side, list):
            prices += [level[0] for level in side if level]
            quantities += [level[1] for level in side if len(level) > 1]
    return Printed(tuple(filter(None, prices)), tuple(filter(None, quantities)))


def exchange_time_ns(text: bytes | str) -> int | None:
    """Time of matching, else of sending; None for one beyond TIME_NS_MAX, which is junk."""
    numbers = _numbers(text)
    ms = None if numbers is None else (numbers.at or numbers.sent)
    return None if ms is None or not 0 <= ms * 1_000_000 <= TIME_NS_MAX else ms * 1_000_000


def _numbers(text: bytes | str) -> _Numbers | None:
    frame = combined(text)
    try:
        return _NUMBERS.decode(text if frame is None else frame.data)
    except BAD_JSON:
        return None
