"""What Deribit's rare messages say: instrument lists, answers, heartbeats, and what a recording tells."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from outcrier.instruments import BOOK_PROOF_SEQUENCE, Instrument, QtyUnit, Trading
from outcrier.symbols import Kind, Symbol, is_asset
from outcrier.venues import frames
from outcrier.venues.base import (
    Ack,
    Control,
    Error,
    Ignored,
    InstrumentStatus,
    Pong,
    Printed,
    Reply,
    Unknown,
)
from outcrier.venues.frames import MESSAGE_MAX, NAME_MAX
from outcrier.venues.listed import MS, day_in, day_of, ms_of, number, plain

TEST_ID: Final = 0
"""`id` of our `public/test`, which is no subscription: those count from 1."""

TEST: Final = f'{{"jsonrpc":"2.0","id":{TEST_ID},"method":"public/test","params":{{}}}}'

STATUS: Final[Mapping[str, int]] = {
    "open": Trading.OPEN,
    "started": Trading.OPEN,
    "created": Trading.PRE_OPEN,
    "inactive": Trading.HALTED,
    "locked": Trading.HALTED,
    "halted": Trading.HALTED,
    "settlement": Trading.HALTED,
    "closed": Trading.CLOSED,
    "settled": Trading.CLOSED,
    "delivered": Trading.DELISTED,
    "deactivated": Trading.DELISTED,
    "terminated": Trading.DELISTED,
    "archivized": Trading.DELISTED,
}
"""Of lists, tickers and `instrument.state`, since the changes of 2026-01 and before."""

COMBOS: Final = frozenset({"future_combo", "option_combo"})

_KINDS: Final = {"future": Kind.FUTURE, "option": Kind.OPTION, "spot": Kind.SPOT}

_OPTION_TYPES: Final = {"call": "C", "put": "P", "C": "C", "P": "P"}

_EXPIRY_HOUR: Final = 8
"""Contracts expire at 08:00 UTC."""


class _Step(msgspec.Struct):
    tick_size: Decimal


class Listed(msgspec.Struct):
    """One entry of get_instruments, of any kind; lists of 2021 have fewer fields."""

    instrument_name: str
    kind: str
    base_currency: str = ""
    quote_currency: str = ""
    counter_currency: str = ""
    settlement_currency: str = ""
    instrument_type: str = ""
    future_type: str = ""
    settlement_period: str = ""
    option_type: str = ""
    state: str = ""
    is_active: bool = True
    expiration_timestamp: int = 0
    tick_size: Decimal = Decimal(0)
    tick_size_steps: list[_Step] = []
    contract_size: Decimal = Decimal(0)
    min_trade_amount: Decimal = Decimal(0)
    strike: Decimal | None = None

    @property
    def is_linear(self) -> bool:
        """Settled in the quote: the type says it, in old lists only the name (`XRP_USDC-PERPETUAL`)."""
        told = self.instrument_type or self.future_type
        return told == "linear" if told else "_" in self.instrument_name


_LISTED: Final = msgspec.json.Decoder(Listed)


def listed(entry: bytes) -> Listed:
    """One entry. Raises one of BAD_JSON."""
    return _LISTED.decode(entry)


def instrument(entry: Listed, venue: str) -> Instrument | None:
    """The instrument of an entry, None for a combo. Raises ValueError, with the reason, where it cannot be
    used.
    """
    if entry.kind in COMBOS:
        return None
    kind = _kind(entry)
    status = STATUS.get(entry.state) if entry.state else (Trading.OPEN if entry.is_active else Trading.HALTED)
    if status is None:
        raise ValueError(f"state {entry.state!r} is not known")
    base, quote, settle = _assets(entry, kind)
    if not all(map(is_asset, (base, quote, settle or quote))):
        raise ValueError(f"{entry.instrument_name!r} of {base!r}, {quote!r}, {settle!r} fits no symbol")
    expiry_ms = _expiry_ms(entry) if kind in {Kind.FUTURE, Kind.OPTION} else 0
    option, strike = _option(entry) if kind is Kind.OPTION else ("", Decimal(0))
    symbol = Symbol(
        kind=kind,
        base=base,
        quote=quote,
        settle=settle,
        expiry=day_of(expiry_ms) if expiry_ms else "",
        strike=plain(strike) if option else "",
        option=option,
    )
    # Amounts of inverse futures are US dollars, everything else is in coins: never in contracts.
    is_inverse = kind in {Kind.FUTURE, Kind.PERPETUAL} and not entry.is_linear
    return Instrument(
        venue=venue,
        native_symbol=entry.instrument_name,
        symbol=str(symbol),
        kind=kind,
        base=base,
        quote=quote,
        settle=settle,
        tick_size=min([entry.tick_size, *(step.tick_size for step in entry.tick_size_steps)]),
        lot_size=entry.min_trade_amount,
        min_qty=entry.min_trade_amount,
        qty_unit=QtyUnit.QUOTE if is_inverse else QtyUnit.BASE,
        book_proof=BOOK_PROOF_SEQUENCE,
        expiry_ts=expiry_ms * MS,
        strike=strike,
        option_type={"": 0, "C": 1, "P": 2}[option],
        status=status,
    )


def _kind(entry: Listed) -> Kind:
    kind = _KINDS.get(entry.kind)
    if kind is None:
        raise ValueError(f"kind {entry.kind!r} is not known")
    is_perpetual = entry.settlement_period == "perpetual" or entry.instrument_name.endswith("-PERPETUAL")
    return Kind.PERPETUAL if kind is Kind.FUTURE and is_perpetual else kind


def _assets(entry: Listed, kind: Kind) -> tuple[str, str, str]:
    """Base, quote, and what a contract is settled in. Inverse options are priced in the coin; the quote of
    their symbol is that of the strike.
    """
    pair, _, _ = entry.instrument_name.partition("-")
    named_base, _, named_quote = pair.partition("_")
    base = entry.base_currency or named_base
    if kind is Kind.SPOT:
        return base, entry.quote_currency or named_quote, ""
    quote = entry.counter_currency or named_quote or "USD"
    settle = entry.settlement_currency or (quote if entry.is_linear else base)
    return base, quote, settle


def _expiry_ms(entry: Listed) -> int:
    # The name says the day where the list does not tell the time: BTC-27DEC24.
    return entry.expiration_timestamp or ms_of(day_in(_part(entry, 1)), _EXPIRY_HOUR)


def _option(entry: Listed) -> tuple[str, Decimal]:
    """C or P, and the strike, in which names print a `d` for the point: XRP_USDC-30JUN23-0d625-C."""
    option = _OPTION_TYPES.get(entry.option_type or _part(entry, 3))
    if option is None:
        raise ValueError(f"option type {entry.option_type!r} is not known")
    return option, entry.strike if entry.strike is not None else number(_part(entry, 2).replace("d", "."))


def _part(entry: Listed, index: int) -> str:
    """A piece of `BTC-27DEC24-100000-C`; empty where it has none."""
    parts = entry.instrument_name.split("-")
    return parts[index] if index < len(parts) else ""


# Frames.


def control(text: bytes | str) -> Control:
    """What a frame says that no shape takes."""
    frame = frames.record(text)
    if not frame:
        return Unknown("not a JSON object")
    method, params = frame.get("method"), frame.get("params")
    if method == "heartbeat":
        asked = frames.at(params, "type") == "test_request"
        return Reply(TEST) if asked else Ignored("heartbeat")
    if method == "subscription":
        return _push(frames.word(frames.at(params, "channel")), frames.at(params, "data"))
    return _answer(frame) if "result" in frame or "error" in frame else Unknown(_name(method))


def _name(value: Any) -> str:
    return frames.word(value)[:NAME_MAX] or "object"


def _answer(frame: dict[str, Any]) -> Control:
    number_ = frame.get("id")
    number_ = number_ if isinstance(number_, int | str) else None
    error = frame.get("error")
    if error is not None:
        code = frames.at(error, "code")
        message = str(frames.at(error, "message"))[:MESSAGE_MAX]
        return Error(code if isinstance(code, int | str) else None, message, number_)
    if number_ == TEST_ID and isinstance(frames.at(frame, "result", "version"), str):
        return Pong()
    granted = frame.get("result")
    streams = tuple(filter(None, map(frames.word, granted))) if isinstance(granted, list) else None
    return Ack(number_, streams=streams)


def _push(channel: str, data: Any) -> Control:
    if not channel.startswith("instrument.state."):
        return Unknown(channel[:NAME_MAX] or "subscription")
    name, state = frames.word(frames.at(data, "instrument_name")), frames.word(frames.at(data, "state"))
    if not name or state not in STATUS:
        return Unknown(f"instrument state {state!r}"[:NAME_MAX])
    return InstrumentStatus(name, STATUS[state], state)


def stream_of(text: bytes | str) -> str | None:
    """Name of the stream of a frame that carries data."""
    return frames.word(frames.at(frames.record(text), "params", "channel")) or None


def printed(text: bytes | str) -> Printed:
    """Prices and quantities of books, trades and quotes, as printed."""
    params = frames.at(frames.record(text), "params")
    channel, data = frames.word(frames.at(params, "channel")), frames.at(params, "data")
    prices: list[Any] = []
    quantities: list[Any] = []
    match channel.partition(".")[0]:
        case "book":
            levels = [*frames.rows(frames.at(data, "bids")), *frames.rows(frames.at(data, "asks"))]
            prices = [frames.at(level, -2) for level in levels]
            quantities = [frames.at(level, -1) for level in levels]
        case "trades":
            prices = [frames.at(row, "price") for row in frames.rows(data)]
            quantities = [frames.at(row, "amount") for row in frames.rows(data)]
        case "quote":
            prices = [frames.at(data, f"best_{side}_price") for side in ("bid", "ask")]
            quantities = [frames.at(data, f"best_{side}_amount") for side in ("bid", "ask")]
    return Printed(tuple(frames.numbers(prices)), tuple(frames.numbers(quantities)))


def exchange_time_ns(text: bytes | str) -> int | None:
    """The exchange's own time in a frame: of the first trade, of a book."""
    data = frames.at(frames.record(text), "params", "data")
    first = frames.at(data, 0) if isinstance(data, list) else data
    return frames.time_ns(frames.at(first, "timestamp"), MS)
