"""What Bybit's rare messages say: instrument lists, answers, and what a recording tells."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from outcrier.instruments import BOOK_PROOF_SEQUENCE, Instrument, QtyUnit, Trading
from outcrier.symbols import Kind, Symbol, is_asset
from outcrier.venues.base import BAD_JSON, Ack, Control, Error, Pong, Printed, Several, Unknown
from outcrier.venues.frames import MESSAGE_MAX, NAME_MAX, time_ns
from outcrier.venues.listed import MS, day_of, number, plain, whole

PING: Final = '{"op":"ping"}'

STATUS: Final[Mapping[str, int]] = {
    "Trading": Trading.OPEN,
    "PreLaunch": Trading.PRE_OPEN,
    "Delivering": Trading.CLOSED,
    "Closed": Trading.DELISTED,
}

_KINDS: Final[Mapping[str, tuple[str, Kind]]] = {
    "LinearPerpetual": ("linear", Kind.PERPETUAL),
    "LinearFutures": ("linear", Kind.FUTURE),
    "InversePerpetual": ("inverse", Kind.PERPETUAL),
    "InverseFutures": ("inverse", Kind.FUTURE),
}
"""Category and kind by `contractType`."""

_OPTION_TYPES: Final = {"Call": "C", "Put": "P"}

_STRIKE_PART: Final = 2
"""BTC-30JUN25-100000-C, or ...-C-USDT."""


class _Price(msgspec.Struct, rename="camel"):
    tick_size: str = ""


class _Lot(msgspec.Struct, rename="camel"):
    qty_step: str = ""
    base_precision: str = ""
    min_order_qty: str = ""


class Listed(msgspec.Struct, rename="camel"):
    """One entry of instruments-info, of any category."""

    symbol: str
    status: str = ""
    contract_type: str = ""
    options_type: str = ""
    base_coin: str = ""
    quote_coin: str = ""
    settle_coin: str = ""
    delivery_time: str = ""
    price_filter: _Price = msgspec.field(default_factory=_Price)
    lot_size_filter: _Lot = msgspec.field(default_factory=_Lot)


class _Result(msgspec.Struct, rename={"rows": "list", "next_page_cursor": "nextPageCursor"}):
    rows: list[msgspec.Raw] = []
    next_page_cursor: str | None = None


class _List(msgspec.Struct, rename="camel"):
    result: _Result
    ret_code: int = 0
    ret_msg: str = ""


class _Topics(msgspec.Struct, rename="camel"):
    fail_topics: list[str] = []
    success_topics: list[str] = []


class _Answer(msgspec.Struct):
    """Every field may be of any type, so that only broken JSON fails."""

    success: Any = None
    ret_msg: Any = None
    req_id: Any = None
    op: Any = None
    type: Any = None
    topic: Any = None
    data: msgspec.Raw = msgspec.Raw()


class _Push(msgspec.Struct):
    topic: str
    data: msgspec.Raw
    ts: int = 0
    cts: int = 0


class _Numbers(msgspec.Struct, rename={"time": "T"}):
    """A book, a trade, a ticker of an option; names as in the messages."""

    b: list[list[str]] = []
    a: list[list[str]] = []
    p: str = ""
    v: str = ""
    time: int = 0
    bidPrice: str = ""  # noqa: N815
    bidSize: str = ""  # noqa: N815
    askPrice: str = ""  # noqa: N815
    askSize: str = ""  # noqa: N815


_LIST: Final = msgspec.json.Decoder(_List)
_LISTED: Final = msgspec.json.Decoder(Listed)
_ANSWER: Final = msgspec.json.Decoder(_Answer)
_TOPICS: Final = msgspec.json.Decoder(_Topics)
_PUSH: Final = msgspec.json.Decoder(_Push)
_NUMBERS: Final = msgspec.json.Decoder(_Numbers | list[_Numbers])


# Instrument lists.


def entries(body: bytes | str) -> list[bytes]:
    """The entries of an answer, each still text. Raises one of BAD_JSON, also where the venue refused."""
    answer = _LIST.decode(body)
    if answer.ret_code:
        raise ValueError(f"{answer.ret_code}: {answer.ret_msg}")
    return [bytes(entry) for entry in answer.result.rows]


def cursor(body: bytes | str) -> str:
    """What the next page is asked with, empty at the end; the venue prints it encoded for a URL."""
    try:
        return unquote(_LIST.decode(body).result.next_page_cursor or "")
    except BAD_JSON:
        return ""


def listed(entry: bytes) -> Listed:
    """One entry. Raises one of BAD_JSON."""
    return _LISTED.decode(entry)


def with_entries(body: str | None, more: list[msgspec.Raw], category: str) -> str:
    """The answer `body` (None: an empty one) with more entries."""
    empty = {"retCode": 0, "retMsg": "OK", "result": {"category": category, "list": []}}
    document: dict[str, Any] = empty if body is None else msgspec.json.decode(body)
    document["result"]["list"] += more
    return msgspec.json.encode(document).decode()


def instrument(entry: Listed, venue: str, category: str) -> Instrument | None:
    """The instrument of an entry, None for one of another category. Raises ValueError, with the reason, where
    it cannot be used.
    """
    own, kind = _kind(entry)
    if own != category:
        return None
    status = STATUS.get(entry.status)
    if status is None:
        raise ValueError(f"status {entry.status!r} is not known")
    # An entry of `unlisted` names no coins: the symbol stays the venue's own word.
    coins = (entry.base_coin, entry.quote_coin)
    assets = entry.symbol.split("-") if coins == ("", "") else [*coins, entry.settle_coin or entry.quote_coin]
    if not all(map(is_asset, assets)):
        raise ValueError(f"{entry.symbol!r} of {assets} fits no symbol")
    expiry_ms = whole(entry.delivery_time) if kind in {Kind.FUTURE, Kind.OPTION} else 0
    option = _option(entry) if kind is Kind.OPTION and entry.quote_coin else ("", Decimal(0))
    symbol = Symbol(
        kind=kind,
        base=entry.base_coin or entry.symbol,
        quote=entry.quote_coin,
        settle=entry.settle_coin,
        expiry=day_of(expiry_ms) if expiry_ms else "",
        strike=plain(option[1]) if option[0] else "",
        option=option[0],
    )
    lot = entry.lot_size_filter
    return Instrument(
        venue=venue,
        native_symbol=entry.symbol,
        symbol=str(symbol),
        kind=kind,
        base=entry.base_coin,
        quote=entry.quote_coin,
        settle=entry.settle_coin,
        tick_size=number(entry.price_filter.tick_size),
        lot_size=number(lot.qty_step or lot.base_precision),
        min_qty=number(lot.min_order_qty),
        # Inverse contracts are of one US dollar; everything else counts coins.
        qty_unit=QtyUnit.CONTRACTS_OF_QUOTE if category == "inverse" else QtyUnit.BASE,
        book_proof=BOOK_PROOF_SEQUENCE,
        expiry_ts=expiry_ms * MS,
        strike=option[1],
        option_type={"": 0, "C": 1, "P": 2}[option[0]],
        status=status,
    )


def _kind(entry: Listed) -> tuple[str, Kind]:
    """Category and kind; the list's own `category` is not in every answer."""
    if entry.contract_type:
        if entry.contract_type not in _KINDS:
            raise ValueError(f"contract type {entry.contract_type!r} is not known")
        return _KINDS[entry.contract_type]
    return ("option", Kind.OPTION) if entry.options_type else ("spot", Kind.SPOT)


def _option(entry: Listed) -> tuple[str, Decimal]:
    """C or P, and the strike, which only the name tells."""
    parts = entry.symbol.split("-")
    option = _OPTION_TYPES.get(entry.options_type)
    if option is None or len(parts) <= _STRIKE_PART:
        raise ValueError(f"option {entry.symbol!r} of type {entry.options_type!r} is not known")
    return option, number(parts[_STRIKE_PART])


# Frames.


def control(text: bytes | str) -> Control:
    """What a frame says that no shape takes."""
    try:
        frame = _ANSWER.decode(text)
    except BAD_JSON:
        return Unknown("not a JSON object")
    if frame.op == "pong" or frame.ret_msg == "pong":
        return Pong()
    number_ = frame.req_id if isinstance(frame.req_id, str) and frame.req_id else None
    if frame.success is False:
        # One bad topic refuses the whole request.
        return Error(None, str(frame.ret_msg)[:MESSAGE_MAX], number_)
    if frame.type == "COMMAND_RESP":
        return _topics(frame.data, number_)
    if frame.success is True:
        return Ack(number_)
    return Unknown(str(frame.topic or frame.op or "object")[:NAME_MAX])


def _topics(data: msgspec.Raw, number_: str | None) -> Control:
    """Options: success stays true, whatever failed."""
    try:
        topics = _TOPICS.decode(data)
    except BAD_JSON:
        return Unknown("COMMAND_RESP")
    failed = (Error(None, "topic failed", number_, topic[:MESSAGE_MAX]) for topic in topics.fail_topics)
    return Several((*failed, Ack(number_))) if topics.fail_topics else Ack(number_)


def stream_of(text: bytes | str) -> str | None:
    """Name of the stream of a frame that carries data."""
    push = _push(text)
    return None if push is None else push.topic


def printed(text: bytes | str) -> Printed:
    """Prices and quantities of books, trades, and of the best prices in an option's ticker, as printed."""
    push = _push(text)
    if push is None or push.topic.startswith(("kline.", "allLiquidation.")):
        return Printed()
    prices: list[str] = []
    quantities: list[str] = []
    for row in _rows(push):
        levels = [level for level in (*row.b, *row.a) if len(level) > 1]
        prices += [row.p, row.bidPrice, row.askPrice, *(level[0] for level in levels)]
        quantities += [row.v, row.bidSize, row.askSize, *(level[1] for level in levels)]
    return Printed(tuple(filter(None, prices)), tuple(filter(None, quantities)))


def exchange_time_ns(text: bytes | str) -> int | None:
    """Time of matching, else of sending; None for one beyond TIME_NS_MAX, which is junk."""
    push = _push(text)
    if push is None:
        return None
    return time_ns(push.cts or next((row.time for row in _rows(push)), 0) or push.ts, MS)


def _push(text: bytes | str) -> _Push | None:
    try:
        return _PUSH.decode(text)
    except BAD_JSON:
        return None


def _rows(push: _Push) -> list[_Numbers]:
    try:
        rows = _NUMBERS.decode(push.data)
    except BAD_JSON:
        return []
    return rows if isinstance(rows, list) else [rows]
