"""What a subscriber knows at this moment: instruments and books, read from the core when asked."""

from __future__ import annotations

import enum
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from outcrier._core import Receiver
from outcrier.prices import Convert, Number, half
from outcrier.venue_numbers import venue_name


class State(enum.StrEnum):
    """Whether a book can be trusted: the worse of what the publisher says and of what was received.

    Act on a book only while it is LIVE.
    """

    UNKNOWN = "UNKNOWN"
    """No definition was heard yet, or no whole book."""
    LIVE = "LIVE"
    """Every change of the exchange was applied."""
    UNSURE = "UNSURE"
    """Frames were lost on the way here; whether one of them concerned this instrument is not known yet."""
    RECOVERING = "RECOVERING"
    """The publisher is fetching the whole book."""
    STALE = "STALE"
    """Something is missing, at the publisher (disconnect, source gap) or here; the book is the last one that
    was whole.
    """
    CLOSED = "CLOSED"
    """Not trading: halted, closed, delisted."""


KINDS: Final = ("unknown", "spot", "perpetual", "future", "option", "equity", "index")
"""INSTRUMENT_DEF.kind by number."""

QTY_UNITS: Final = ("unknown", "base", "contracts of base", "contracts of quote", "quote")
"""INSTRUMENT_DEF.qty_unit by number: what a quantity of 1 is; contracts are of `contract_size`."""

STATUSES: Final = (
    "unknown",
    "live",
    "stale",
    "recovering",
    "halted",
    "closed",
    "pre-open",
    "auction",
    "maintenance",
    "delisted",
)
"""STATUS.state by number."""

TRADING: Final = ("unknown", "trading", *STATUSES[2:])
"""Trading status of an instrument by number: the same numbers, where 1 tells that it trades."""

BOOK_PROOFS: Final = ("UNVERIFIABLE", "sequence", "checksum", "sequence and checksum")
"""INSTRUMENT_DEF.book_proof by number: by what a hole in the book at the venue is noticed. UNVERIFIABLE: by
nothing, a book that lacks a change looks like any other.
"""

OPTION_TYPES: Final = ("", "call", "put")
"""INSTRUMENT_DEF.option_type by number."""


def named(names: tuple[str, ...], number: int) -> str:
    """Entry `number` of `names`; a number of a later wire version comes back as its decimal text."""
    return names[number] if 0 <= number < len(names) else str(number)


class Level(NamedTuple):
    """One price level of a book."""

    price: Number
    """Price in units of the quote currency."""
    qty: Number
    """Quantity at the price, in the instrument's unit (`Instrument.unit`)."""


new_level: Final[Callable[[tuple[Number, Number]], Level]] = partial(tuple.__new__, Level)
"""`Level._make` in half its time, for the thousands of levels that a batch may hold."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument as its INSTRUMENT_DEF on the wire tells."""

    symbol: str
    """Canonical symbol with venue, as `BTC/USDT:PERP@binance_usdm`."""
    native_symbol: str
    """The venue's own name."""
    venue: str
    channel: int
    """Wire channel that carries it."""
    instrument: int
    """Number on the wire, unique within the venue and stable for life."""
    kind: str
    """One of `KINDS`."""
    status: str
    """Trading status, one of `TRADING`."""
    state: State
    """State of the book at the time of asking."""
    tick: Number | None
    """Smallest price step; None where the venue names none."""
    lot: Number | None
    """Smallest quantity step; None where the venue names none."""
    min_qty: Number
    unit: str
    """What a quantity of 1 is, one of `QTY_UNITS`."""
    contract_size: Number
    """Size of one contract, in base or quote currency as `unit` tells; 1 for spot."""
    base: str
    quote: str
    settle: str
    price_exp: int
    """Prices in batches are mantissas * 10**price_exp."""
    qty_exp: int
    """Quantities in batches are mantissas * 10**qty_exp."""
    book_proof: str
    """How a hole in the book at the venue would be noticed, one of `BOOK_PROOFS`."""
    expiry_ts: int
    """Nanoseconds since the epoch; 0 none."""
    strike: Number | None
    option_type: str
    """`call`, `put` or empty."""
    def_version: int
    """Rises with every change of the definition."""


def instrument_of(row: dict[str, Any], convert: Convert) -> Instrument:
    """The `Instrument` of one entry of `Receiver.instruments()`."""
    price_exp, qty_exp = row["price_exp"], row["qty_exp"]
    return Instrument(
        symbol=symbol_of(row),
        native_symbol=row["native_symbol"],
        venue=venue_name(row["venue"]),
        channel=row["channel"],
        instrument=row["instrument"],
        kind=named(KINDS, row["kind"]),
        status=named(TRADING, row["status"]),
        state=State(row["state"]),
        tick=convert(row["tick_size"], price_exp) if row["tick_size"] else None,
        lot=convert(row["lot_size"], qty_exp) if row["lot_size"] else None,
        min_qty=convert(row["min_qty"], qty_exp),
        unit=named(QTY_UNITS, row["qty_unit"]),
        contract_size=convert(row["contract_size"], row["contract_exp"]),
        base=row["base"],
        quote=row["quote"],
        settle=row["settle"],
        price_exp=price_exp,
        qty_exp=qty_exp,
        book_proof=named(BOOK_PROOFS, row["book_proof"]),
        expiry_ts=row["expiry_ts"],
        strike=convert(row["strike"], price_exp) if row["option_type"] else None,
        option_type=named(OPTION_TYPES, row["option_type"]),
        def_version=row["def_version"],
    )


def symbol_of(row: dict[str, Any]) -> str:
    """Symbol with venue of one entry of `Receiver.instruments()`."""
    return f"{row['symbol']}@{venue_name(row['venue'])}"


class BookView:
    """A window on one book in the core: each call reads the book as it is then.

    Before the instrument's definition is heard the book is empty and its state UNKNOWN. Levels are best
    first. Use it in the thread that reads the subscriber. `best` and `top(1)` cost a microsecond or two,
    `info` and `hash` walk the whole book; nothing is copied until it is asked for.
    """

    def __init__(self, receiver: Receiver, symbol: str, core_symbol: str, convert: Convert) -> None:
        self.symbol: Final = symbol
        self._receiver = receiver
        self._core_symbol = core_symbol
        self._convert = convert
        self._key: tuple[int, int] | None = None

    def __repr__(self) -> str:
        bid, ask = self.best
        return f"<BookView {self.symbol} {self.state} {_show(bid)} / {_show(ask)}>"

    def _found(self) -> tuple[int, int] | None:
        if self._key is None:
            self._key = self._receiver.find(self._core_symbol)
        return self._key

    def info(self) -> dict[str, Any]:
        """Everything but the levels: state, reason, price_exp, qty_exp, instr_seq, source_seq, exchange_ts,
        recv_ts (ns), bids and asks (counts), crossed, hash, flags, book_proof (bits). Empty before the
        definition is heard."""
        key = self._found()
        return self._receiver.book_info(*key) if key else {}

    @property
    def state(self) -> State:
        """State of the book; act on it only while it is LIVE."""
        key = self._found()
        return State(self._receiver.state(*key)) if key else State.UNKNOWN

    def mantissas(self, depth: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(bids, asks) as int64 arrays of shape (levels, 2): price and quantity mantissas; depth 0 = all
        levels.
        """
        key = self._found()
        if key is None:
            return np.empty((0, 2), np.int64), np.empty((0, 2), np.int64)
        return self._receiver.book(*key, depth)

    def top(self, depth: int = 1) -> tuple[list[Level], list[Level]]:
        """(bids, asks), at most `depth` levels each, best first; 0 = all levels."""
        key = self._found()
        if key is None:
            return [], []
        price_exp, qty_exp, bids, asks = self._receiver.top(*key, depth)
        convert = self._convert
        return (
            [new_level((convert(price, price_exp), convert(qty, qty_exp))) for price, qty in bids],
            [new_level((convert(price, price_exp), convert(qty, qty_exp))) for price, qty in asks],
        )

    def bids(self, depth: int = 0) -> list[Level]:
        """Bids, highest price first; 0 = all."""
        return self.top(depth)[0]

    def asks(self, depth: int = 0) -> list[Level]:
        """Asks, lowest price first; 0 = all."""
        return self.top(depth)[1]

    @property
    def best(self) -> tuple[Level | None, Level | None]:
        """(best bid, best ask); None where a side is empty."""
        key = self._key or self._found()
        if key is None:
            return None, None
        price_exp, qty_exp, bid, ask = self._receiver.best(*key)
        convert = self._convert
        return (
            new_level((convert(bid[0], price_exp), convert(bid[1], qty_exp))) if bid else None,
            new_level((convert(ask[0], price_exp), convert(ask[1], qty_exp))) if ask else None,
        )

    @property
    def spread(self) -> Number | None:
        """Best ask less best bid; negative while crossed, None while a side is empty."""
        bid, ask = self.best
        if bid is None or ask is None:
            return None
        return ask.price - bid.price  # type: ignore[operator]  # both sides come from one conversion

    @property
    def mid(self) -> Number | None:
        """Half way between best bid and best ask; None while a side is empty."""
        bid, ask = self.best
        if bid is None or ask is None:
            return None
        return half(ask.price + bid.price)  # type: ignore[operator]  # both sides come from one conversion

    @property
    def book_proof(self) -> str:
        """How a hole in the book at the venue would be noticed, one of `BOOK_PROOFS`; empty before the
        definition is heard.
        """
        proof = self.info().get("book_proof")
        return "" if proof is None else named(BOOK_PROOFS, proof)

    @property
    def hash(self) -> int:
        """XXH3-64 over all levels: equal hashes, equal books. 0 before the definition is heard."""
        return int(self.info().get("hash", 0))

    def _last_event(self) -> tuple[int, int, int, int]:
        key = self._found()
        return self._receiver.last_event(*key) if key else (0, 0, 0, 0)

    @property
    def instr_seq(self) -> int:
        """Number of the last frame applied; changes whenever the book does."""
        return self._last_event()[0]

    @property
    def source_seq(self) -> int:
        """Last exchange id applied; 0 where the venue has none."""
        return self._last_event()[1]

    @property
    def exchange_ts(self) -> int:
        """Exchange time of the last change, ns since the epoch; 0 before the first."""
        return self._last_event()[2]

    @property
    def recv_ts(self) -> int:
        """When the publisher had the last change, ns since the epoch; 0 before the first."""
        return self._last_event()[3]


def _show(level: Level | None) -> str:
    return f"{level.qty} @ {level.price}" if level else "-"
