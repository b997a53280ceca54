"""What OKX's rare messages say: instrument lists, answers, notices, and what a recording tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from outcrier.instruments import Instrument, QtyUnit, Trading
from outcrier.symbols import Kind, Symbol, is_asset
from outcrier.venues.base import (
    BAD_JSON,
    Ack,
    Control,
    Error,
    Ignored,
    InstrumentStatus,
    Pong,
    Printed,
    Several,
    Shutdown,
    Unknown,
)
from outcrier.venues.frames import MESSAGE_MAX, NAME_MAX, time_ns
from outcrier.venues.listed import MS, day_of, ms_of, number, plain, whole

PING: Final = "ping"
PONG: Final = "pong"
"""Texts, not JSON."""

STATUS: Final[Mapping[str, int]] = {
    "live": Trading.OPEN,
    "post_only": Trading.OPEN,
    "suspend": Trading.HALTED,
    "rebase": Trading.HALTED,
    "preopen": Trading.PRE_OPEN,
    "test": Trading.PRE_OPEN,
    "settling": Trading.CLOSED,
    "expired": Trading.DELISTED,
}

KINDS: Final[Mapping[str, Kind]] = {
    "SPOT": Kind.SPOT,
    "SWAP": Kind.PERPETUAL,
    "FUTURES": Kind.FUTURE,
    "OPTION": Kind.OPTION,
    "INDEX": Kind.INDEX,
}
"""`instType`; INDEX is no type of OKX's lists, but what an index that contracts name becomes here."""

BY_TYPE: Final = frozenset({"instruments", "liquidation-orders"})
"""Channels of all instruments of a type."""

UPGRADE: Final = "64008"
"""Notice, about a minute ahead: the connection will be closed for an upgrade of the service."""

_EXPIRY_HOUR: Final = 8
"""Contracts expire at 08:00 UTC."""

_REFUSED: Final = re.compile(r"channel:([\w-]+),inst(?:Id|Type):([\w-]+)")
"""Error 60018 names the one stream: "Wrong URL or channel:books,instId:X doesn't exist."."""

_EMPTY_LIST: Final = '{"code":"0","msg":"","data":[]}'


class Listed(msgspec.Struct, rename="camel"):
    """One entry of public/instruments, of any type; empty = it has none."""

    inst_id: str
    inst_type: str = ""
    base_ccy: str = ""
    quote_ccy: str = ""
    settle_ccy: str = ""
    uly: str = ""
    tick_sz: str = ""
    lot_sz: str = ""
    min_sz: str = ""
    ct_val: str = ""
    ct_mult: str = ""
    ct_val_ccy: str = ""
    exp_time: str = ""
    stk: str = ""
    opt_type: str = ""
    state: str = ""


class _List(msgspec.Struct):
    data: list[msgspec.Raw]
    code: str = "0"
    msg: str = ""


class _Underlying(msgspec.Struct):
    data: list[list[str]]


class Arg(msgspec.Struct, rename="camel"):
    """What a stream is called in messages."""

    channel: str = ""
    inst_id: str = ""
    inst_type: str = ""

    @property
    def stream(self) -> str:
        """Name of the stream: `books:BTC-USDT`, `instruments:SWAP`."""
        return f"{self.channel}:{self.inst_type if self.channel in BY_TYPE else self.inst_id}"


class _Frame(msgspec.Struct, rename="camel"):
    """Every field but `arg` may be of any type, so that only broken JSON fails."""

    arg: Arg | None = None
    data: msgspec.Raw = msgspec.Raw()
    event: Any = None
    code: Any = None
    msg: Any = None
    id: Any = None


class _State(msgspec.Struct, rename="camel"):
    inst_id: str
    inst_type: str = ""
    state: str = ""


class _Numbers(msgspec.Struct, rename="camel"):
    """A book, best prices, a trade, a ticker or a forced order."""

    ts: str = ""
    bids: list[list[str]] = []
    asks: list[list[str]] = []
    px: str = ""
    sz: str = ""
    bid_px: str = ""
    bid_sz: str = ""
    ask_px: str = ""
    ask_sz: str = ""


_LIST: Final = msgspec.json.Decoder(_List)
_LISTED: Final = msgspec.json.Decoder(Listed)
_FRAME: Final = msgspec.json.Decoder(_Frame)
_STATES: Final = msgspec.json.Decoder(list[_State])
_NUMBERS: Final = msgspec.json.Decoder(list[_Numbers])
_UNDERLYING: Final = msgspec.json.Decoder(_Underlying)


def arg_of(stream: str) -> dict[str, str]:
    """What a stream is called in messages."""
    channel, _, name = stream.partition(":")
    return {"channel": channel, "instType" if channel in BY_TYPE else "instId": name}


# Instrument lists.


def entries(body: bytes | str) -> list[bytes]:
    """The entries of an answer, each still text. Raises one of BAD_JSON, also where the venue refused."""
    answer = _LIST.decode(body)
    if answer.code != "0":
        raise ValueError(f"{answer.code}: {answer.msg}")
    return [bytes(entry) for entry in answer.data if not bytes(entry).startswith(b"[")]


def families(body: bytes | str) -> list[str]:
    """Names in an answer of public/underlying; none where it is something else."""
    try:
        return [name for names in _UNDERLYING.decode(body).data for name in names]
    except BAD_JSON:
        return []


def listed(entry: bytes) -> Listed:
    """One entry. Raises one of BAD_JSON."""
    return _LISTED.decode(entry)


def with_entries(body: str | None, more: list[msgspec.Raw]) -> str:
    """The answer `body` (None: an empty one) with more entries."""
    document: dict[str, Any] = msgspec.json.decode(body or _EMPTY_LIST)
    document["data"] += more
    return msgspec.json.encode(document).decode()


def indices(listed_entries: list[bytes]) -> list[bytes]:
    """Entries for the indices that contracts name, in the order of their first contract: `index-tickers` is
    about them. OKX lists them nowhere.
    """
    names: dict[str, None] = {}
    for entry in listed_entries:
        try:
            name = listed(entry).uly
        except BAD_JSON:
            continue
        if name:
            names.setdefault(name)
    return [
        msgspec.json.encode({"instId": name, "instType": "INDEX", "uly": name, "state": "live"})
        for name in names
    ]


def instrument(entry: Listed, venue: str, proof: int) -> Instrument:
    """The instrument of an entry. Raises ValueError, with the reason, where it cannot be used."""
    kind = KINDS.get(entry.inst_type)
    status = STATUS.get(entry.state)
    if kind is None or status is None:
        raise ValueError(f"type {entry.inst_type!r} in state {entry.state!r} is not known")
    base, quote, settle = _assets(entry, kind)
    if not all(map(is_asset, filter(None, (base, quote, settle)))) or not base or not quote:
        raise ValueError(f"{entry.inst_id!r} of {base!r}, {quote!r}, {settle!r} fits no symbol")
    expiry_ms = _expiry_ms(entry, kind)
    strike = number(entry.stk or _part(entry, 3)) if kind is Kind.OPTION else number("")
    option = (entry.opt_type or _part(entry, 4)) if kind is Kind.OPTION else ""
    if kind is Kind.OPTION and option not in {"C", "P"}:
        raise ValueError(f"option type {option!r} is not known")
    symbol = Symbol(
        kind=kind,
        base=f"{base}-{quote}" if kind is Kind.INDEX else base,
        quote=quote,
        settle=settle,
        expiry=day_of(expiry_ms) if expiry_ms else "",
        strike=plain(strike) if option else "",
        option=option,
    )
    unit, contract_size = _quantity(entry, kind, base, quote)
    return Instrument(
        venue=venue,
        native_symbol=entry.inst_id,
        symbol=str(symbol),
        kind=kind,
        base=base,
        quote=quote,
        settle=settle,
        tick_size=number(entry.tick_sz),
        lot_size=number(entry.lot_sz),
        min_qty=number(entry.min_sz),
        contract_size=contract_size,
        qty_unit=unit,
        book_proof=0 if kind is Kind.INDEX else proof,
        expiry_ts=expiry_ms * MS,
        strike=strike,
        option_type={"": 0, "C": 1, "P": 2}[option],
        status=status,
    )


def _part(entry: Listed, index: int) -> str:
    """A piece of `BTC-USD-241217-92000-C`; empty where it has none."""
    parts = entry.inst_id.split("-")
    return parts[index] if index < len(parts) else ""


def _assets(entry: Listed, kind: Kind) -> tuple[str, str, str]:
    """Base, quote, and what a contract is settled in."""
    if kind is Kind.SPOT:
        return entry.base_ccy or _part(entry, 0), entry.quote_ccy or _part(entry, 1), ""
    base, _, quote = (entry.uly or f"{_part(entry, 0)}-{_part(entry, 1)}").partition("-")
    if kind is Kind.INDEX:
        return base, quote, ""
    return base, quote, entry.settle_ccy or (base if quote == "USD" else quote)


def _expiry_ms(entry: Listed, kind: Kind) -> int:
    if kind not in {Kind.FUTURE, Kind.OPTION}:
        return 0
    # The name says the day where the list does not tell the time: 241217.
    return whole(entry.exp_time) or ms_of(f"20{_part(entry, 2)}", _EXPIRY_HOUR)


def _quantity(entry: Listed, kind: Kind, base: str, quote: str) -> tuple[int, Any]:
    """What quantities count: coins on spot, contracts elsewhere; and the size of one (ctVal x ctMult)."""
    if kind in {Kind.SPOT, Kind.INDEX}:
        return QtyUnit.BASE, number("1")
    size = number(entry.ct_val) * number(entry.ct_mult or "1")
    if entry.ct_val_ccy == quote:
        return QtyUnit.CONTRACTS_OF_QUOTE, size
    if entry.ct_val_ccy in {base, ""}:
        return QtyUnit.CONTRACTS_OF_BASE, size
    raise ValueError(f"a contract of {entry.ct_val_ccy} on {base}-{quote} is not known")


# Frames.


def control(text: bytes | str) -> Control:
    """What a frame says that no shape takes."""
    if text in (PONG, PONG.encode()):
        return Pong()
    try:
        frame = _FRAME.decode(text)
    except BAD_JSON:
        return Unknown("not a JSON object")
    return _push(frame) if frame.event is None else _answer(frame)


def _answer(frame: _Frame) -> Control:
    """What the venue says of what it was asked, and of itself."""
    number_ = frame.id if isinstance(frame.id, int | str) else None
    code, message = frame.code, str(frame.msg)[:MESSAGE_MAX]
    if isinstance(frame.event, str) and frame.event in {"subscribe", "unsubscribe"}:
        return Ack(number_)
    if frame.event == "error":
        refused = _REFUSED.search(message)
        stream = f"{refused[1]}:{refused[2]}" if refused else None
        return Error(code if isinstance(code, int | str) else None, message, number_, stream)
    if frame.event == "notice":
        return Shutdown() if code == UPGRADE else Ignored(f"notice {code}"[:NAME_MAX])
    if frame.event == "channel-conn-count":
        return Ignored("connections on a channel")
    return Unknown(str(frame.event)[:NAME_MAX])


def _push(frame: _Frame) -> Control:
    channel = frame.arg.channel if frame.arg is not None else ""
    if channel != "instruments":
        return Unknown(channel[:NAME_MAX] or "object")
    try:
        states = _STATES.decode(frame.data)
    except BAD_JSON:
        return Unknown("instruments")
    return Several(
        tuple(
            InstrumentStatus(each.inst_id, STATUS[each.state], each.state)
            if each.state in STATUS
            else Unknown(f"instrument state {each.state!r}"[:NAME_MAX])
            for each in states
        )
    )


def stream_of(text: bytes | str) -> str | None:
    """Name of the stream of a frame that carries data."""
    frame = _frame(text)
    return None if frame is None or frame.arg is None else frame.arg.stream


def printed(text: bytes | str) -> Printed:
    """Prices and quantities of books, best prices, trades, and of tickers, as printed."""
    prices: list[str] = []
    quantities: list[str] = []
    for row in _rows(text):
        levels = [level for level in (*row.bids, *row.asks) if len(level) > 1]
        prices += [row.px, row.bid_px, row.ask_px, *(level[0] for level in levels)]
        quantities += [row.sz, row.bid_sz, row.ask_sz, *(level[1] for level in levels)]
    return Printed(tuple(filter(None, prices)), tuple(filter(None, quantities)))


def exchange_time_ns(text: bytes | str) -> int | None:
    """The `ts` of the first row; None where it has none."""
    return next((time_ns(row.ts, MS) for row in _rows(text)), None)


def _frame(text: bytes | str) -> _Frame | None:
    try:
        frame = _FRAME.decode(text)
    except BAD_JSON:
        return None
    return frame if frame.arg is not None and bytes(frame.data) and frame.event is None else None


def _rows(text: bytes | str) -> list[_Numbers]:
    frame = _frame(text)
    try:
        return [] if frame is None else _NUMBERS.decode(frame.data)
    except BAD_JSON:
        return []


def query_of(target: str) -> dict[str, str]:
    """The query of a REST target."""
    return dict(parse_qsl(urlsplit(target).query))
