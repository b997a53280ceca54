"""Instruments: what a venue says about what it trades, exact, and as the native core wants it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from outcrier.errors import ConfigurationError
from outcrier.symbols import Kind, split_venue

EXPONENT_MIN: Final = -18
"""Finest exponent taken from a venue: with 18 decimals an i64 mantissa still holds prices up to 9."""

MAGNITUDE_MAX: Final = 40
"""Powers of ten, up and down, in which a venue's numbers stand. An i64 mantissa reaches 10**18 either way;
what
is far outside is junk, and `1e-20000000` as a whole number would keep the process busy for half a minute.
"""

MANTISSA_MAX: Final = 2**63 - 1
"""Largest mantissa of the wire (i64); its negative less one means "not given" and is never used."""

TIME_NS_MAX: Final = 2**62
"""Latest time taken from a venue or a recording, nanoseconds since the epoch: 2116. The wire's i64 holds it
with
room for sums.
"""

NATIVE_BYTES_MAX: Final = 72
"""Bytes of UTF-8 that INSTRUMENT_DEF.native_symbol and native_more hold together."""

BOOK_PROOF_SEQUENCE: Final = 1
"""INSTRUMENT_DEF.book_proof: the venue numbers its updates."""

BOOK_PROOF_CHECKSUM: Final = 2
"""INSTRUMENT_DEF.book_proof: the venue sends checksums of its books."""


class Trading:
    """Trading status in the numbers of STATUS.state."""

    OPEN: Final = 1
    HALTED: Final = 4
    CLOSED: Final = 5
    PRE_OPEN: Final = 6
    AUCTION: Final = 7
    MAINTENANCE: Final = 8
    DELISTED: Final = 9


class QtyUnit:
    """What one unit of quantity is, in the numbers of INSTRUMENT_DEF.qty_unit."""

    BASE: Final = 1
    CONTRACTS_OF_BASE: Final = 2
    CONTRACTS_OF_QUOTE: Final = 3
    QUOTE: Final = 4


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument of one venue, as the venue describes it. Decimals are exact; 0 = none is named."""

    venue: str
    native_symbol: str
    """As the venue's frames spell it; the key of the decoder."""
    symbol: str
    """Canonical, without `@venue` (outcrier.symbols)."""
    kind: Kind
    base: str
    quote: str
    settle: str
    tick_size: Decimal = Decimal(0)
    """Step of prices; 0 = none named, the grid follows from the prices seen."""
    lot_size: Decimal = Decimal(0)
    """Step of quantities."""
    min_qty: Decimal = Decimal(0)
    contract_size: Decimal = Decimal(1)
    """What one contract is worth, in base or quote as `qty_unit` says; 1 where quantities are base units."""
    qty_unit: int = QtyUnit.BASE
    book_proof: int = 0
    """Bits of INSTRUMENT_DEF.book_proof, see `outcrier.shapes.book_proof`; 0 = the venue offers nothing
    to check a book with.
    """
    expiry_ts: int = 0
    """Nanoseconds since the epoch; 0 = does not expire."""
    strike: Decimal = Decimal(0)
    option_type: int = 0
    """0 none, 1 call, 2 put."""
    status: int = Trading.OPEN
    """One of `Trading`."""

    @property
    def full_symbol(self) -> str:
        """`SYMBOL@venue`."""
        return f"{self.symbol}@{self.venue}"

    @property
    def category(self) -> str:
        """Kind and quote, e.g. `spot:USDT`: what the limited mode counts ten of."""
        return f"{self.kind.name.lower()}:{self.quote}"


def decimal_exponent(*values: Decimal) -> int:
    """Coarsest exponent <= 0 at which every value is a whole number; trailing zeros do not count.

    Raises ValueError for junk: not finite, out of MAGNITUDE_MAX, more digits than a Decimal computes with
    (28).

    >>> decimal_exponent(Decimal("0.00010000"), Decimal("10"))
    -4
    """
    return min(0, *(int(_plain(value).as_tuple().exponent) for value in values))


def mantissa(value: Decimal, exponent: int) -> int:
    """`value` as a whole number of 10**exponent. Raises ValueError where it is none or does not fit the
    wire's i64.
    """
    value = _plain(value)
    numerator, denominator = value.as_integer_ratio()
    whole: int
    whole, rest = divmod(numerator * 10 ** max(0, -exponent), denominator * 10 ** max(0, exponent))
    if rest:
        raise ValueError(f"{value} has more digits than 1e{exponent}")
    if abs(whole) > MANTISSA_MAX:
        raise ValueError(f"{value} at 1e{exponent} does not fit 64 bits")
    return whole


def _plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros, small enough to compute with. Raises ValueError for junk."""
    if not value.is_finite():
        raise ValueError(f"{value} is no number")
    if not value:
        return Decimal(0)
    # Looked at before anything is computed: what that costs grows with the exponent that a venue prints, and
    # beyond a limit Decimal raises errors of its own.
    if not -MAGNITUDE_MAX <= value.adjusted() <= MAGNITUDE_MAX:
        raise ValueError(f"a number near 1e{value.adjusted()} is beyond 1e{MAGNITUDE_MAX} and no size")
    plain = value.normalize()
    if plain != value:
        raise ValueError(f"a number near {plain} has too many digits")
    return plain


def to_core_kwargs(instrument: Instrument, wire_id: int) -> dict[str, Any]:
    """Arguments of `outcrier._core.Feed.add_instrument` for `instrument` with the stable id `wire_id`.

    Exponents follow from the digits of tick and step (and of strike and least quantity, which must be whole
    at them too). Raises ValueError where a number does not fit the wire; `parse_instruments` of a venue has
    already refused those.
    """
    price_exp = _exponent(instrument.tick_size, instrument.strike)
    qty_exp = _exponent(instrument.lot_size, instrument.min_qty)
    contract_exp = _exponent(instrument.contract_size)
    if len(instrument.native_symbol.encode()) > NATIVE_BYTES_MAX:
        raise ValueError(f"{instrument.native_symbol!r} is longer than {NATIVE_BYTES_MAX} bytes")
    if not 0 <= instrument.expiry_ts <= TIME_NS_MAX:
        raise ValueError(f"expiry {instrument.expiry_ts} ns is no time from 1970 to 2116")
    return {
        "instrument": wire_id,
        "native_symbol": instrument.native_symbol,
        "symbol": instrument.symbol,
        "kind": int(instrument.kind),
        "price_exp": price_exp,
        "qty_exp": qty_exp,
        "tick_size": mantissa(instrument.tick_size, price_exp),
        "lot_size": mantissa(instrument.lot_size, qty_exp),
        "min_qty": mantissa(instrument.min_qty, qty_exp),
        "contract_size": mantissa(instrument.contract_size, contract_exp),
        "contract_exp": contract_exp,
        "qty_unit": instrument.qty_unit,
        "book_proof": instrument.book_proof,
        "base": instrument.base,
        "quote": instrument.quote,
        "settle": instrument.settle,
        "status": instrument.status,
        "expiry_ts": instrument.expiry_ts,
        "strike": mantissa(instrument.strike, price_exp),
        "option_type": instrument.option_type,
    }


def _exponent(*values: Decimal) -> int:
    exponent = decimal_exponent(*values)
    if exponent < EXPONENT_MIN:
        raise ValueError(f"1e{exponent} is finer than 1e{EXPONENT_MIN}")
    return exponent


class Catalogue:
    """The instruments of one venue by native and by canonical symbol; both maps are one to one."""

    def __init__(self, venue: str, instruments: Iterable[Instrument]) -> None:
        """Raises ValueError if two instruments share a name; `parse_instruments` of a venue lists and drops
        the second.
        """
        self.venue = venue
        self._by_native: dict[str, Instrument] = {}
        self._by_symbol: dict[str, Instrument] = {}
        for instrument in instruments:
            if instrument.native_symbol in self._by_native or instrument.symbol in self._by_symbol:
                raise ValueError(f"{instrument.native_symbol} ({instrument.symbol}) is listed twice")
            self._by_native[instrument.native_symbol] = instrument
            self._by_symbol[instrument.symbol] = instrument

    def __len__(self) -> int:
        return len(self._by_native)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_native.values())

    def by_native(self, native_symbol: str) -> Instrument | None:
        """The instrument that the venue calls so."""
        return self._by_native.get(native_symbol)

    def by_symbol(self, symbol: str) -> Instrument | None:
        """The instrument with that canonical symbol (without `@venue`)."""
        return self._by_symbol.get(symbol)

    def find(self, text: str) -> Instrument:
        """The instrument named by a person: `BTC/USDT`, `BTC/USDT@binance` or `BTCUSDT`, in any case.

        Raises ConfigurationError with the nearest names.
        """
        symbol, venue = split_venue(text.strip())
        if venue is not None and venue != self.venue:
            raise ConfigurationError(f"{text!r} is not of venue {self.venue}")
        found = (
            self._by_symbol.get(symbol)
            or self._by_native.get(symbol)
            or self._by_symbol.get(symbol.upper())
            or self._by_native.get(symbol.upper())
        )
        if found is None:
            near = get_close_matches(symbol.upper(), [*self._by_symbol, *self._by_native], n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ConfigurationError(
                f"unknown symbol {text!r} on {self.venue} ({len(self)} instruments){hint}"
            )
        return found
