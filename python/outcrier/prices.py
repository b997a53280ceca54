"""Mantissa and exponent of the wire as numbers a person can use: exact `Decimal`, or the nearest `float`.

The core works in integers; this is the only place where a price leaves them, and only because the caller
asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Context, Decimal
from typing import Final, Literal

Number = Decimal | float
"""A price or a quantity, as `Decimal` or `float` according to `prices=` of the subscriber."""

PriceKind = Literal["decimal", "float"]
"""How prices and quantities are handed out."""

Convert = Callable[[int, int], Number]
"""(mantissa, exponent) to a number."""

Bulk = Callable[[Iterable[int], int], Iterable[Number]]
"""(mantissas, exponent) to as many numbers."""

NOT_GIVEN: Final = -(2**63)
"""Mantissa or time that the venue did not give (INT64_MIN on the wire)."""

# An i64 has 19 digits; the caller's own decimal context may be set to fewer and must not round a price.
_EXACT: Final = Context(prec=40)

# Exponents are i8 on the wire. A power of ten up to 10**22 is exact in a double, so one division is correctly
# rounded.
_POWERS: Final = tuple(float(10**power) for power in range(129))


_KEPT: Final = 8_192
"""Decimals kept per exponent, some 2 MiB: the prices around the touch of a few hundred books, and the usual
quantities."""


class _Decimals(dict[int, Decimal]):
    """Decimals of one exponent by mantissa. Numbers of a market come again and again: to look one up costs a
    fifth of making it.
    """

    def __init__(self, exp: int) -> None:
        super().__init__()
        self._exp = exp

    def __missing__(self, mantissa: int) -> Decimal:
        if len(self) >= _KEPT:
            self.clear()
        value = self[mantissa] = Decimal(mantissa).scaleb(self._exp, _EXACT)
        return value


_DECIMALS: Final = {exp: _Decimals(exp) for exp in range(-128, 128)}
"""By exponent, an i8 on the wire."""


def to_decimal(mantissa: int, exp: int) -> Decimal:
    """`mantissa` * 10**`exp`, exactly; keeps the trailing zeros of the instrument's exponent.

    >>> to_decimal(6183760, -2)
    Decimal('61837.60')
    """
    return _DECIMALS[exp][mantissa]


def to_float(mantissa: int, exp: int) -> float:
    """`mantissa` * 10**`exp` as a double; correctly rounded while the mantissa has at most 53 bits.

    >>> to_float(6183760, -2)
    61837.6
    """
    return mantissa / _POWERS[-exp] if exp < 0 else mantissa * _POWERS[exp]


def _decimals(mantissas: Iterable[int], exp: int) -> Iterable[Number]:
    return map(_DECIMALS[exp].__getitem__, mantissas)


def _floats(mantissas: Iterable[int], exp: int) -> Iterable[Number]:
    power = _POWERS[abs(exp)]
    return [m / power for m in mantissas] if exp < 0 else [m * power for m in mantissas]


def bulk(convert: Convert) -> Bulk:
    """`convert` for many mantissas of one exponent."""
    return _floats if convert is to_float else _decimals


def converter(kind: PriceKind) -> Convert:
    """The conversion that `prices=` names."""
    return to_float if kind == "float" else to_decimal


def half(total: Number) -> Number:
    """Half of `total`, exact for `Decimal` (one digit more)."""
    return _EXACT.multiply(total, Decimal("0.5")) if isinstance(total, Decimal) else total / 2
