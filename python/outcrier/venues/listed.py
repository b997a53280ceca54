"""What entries of instrument lists print, as values: numbers, times, days. Each raises ValueError for what it
is not.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

MS: Final = 1_000_000
"""Nanoseconds of a millisecond."""

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

_DIGITS_MAX: Final = 20
"""Digits of a whole number that a venue prints: more than any time or id has."""


def number(text: str) -> Decimal:
    """A decimal number; 0 where the text is empty, which venues print for none."""
    try:
        return Decimal(text or 0)
    except ArithmeticError as error:
        raise ValueError(f"{text[:40]!r} is no number") from error


def whole(text: str) -> int:
    """A whole number; 0 where the text is empty."""
    if text and not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise ValueError(f"{text[:40]!r} is no whole number")
    return int(text or 0)


def plain(value: Decimal) -> str:
    """The shortest decimal text without exponent, as a strike stands in a symbol."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def day_of(expiry_ms: int) -> str:
    """The day (UTC) of a time in milliseconds, as YYYYMMDD."""
    try:
        return datetime.fromtimestamp(expiry_ms // 1000, UTC).strftime("%Y%m%d")
    except (OverflowError, OSError) as error:
        raise ValueError(f"expiry {expiry_ms} ms is no time") from error


def day_in(text: str) -> str:
    """The day that a name says as 7MAR25 or 27DEC24, as YYYYMMDD."""
    month = text[-5:-2]
    if month not in _MONTHS or not text[-2:].isdigit() or not 1 <= len(text) - 5 <= 2:
        raise ValueError(f"{text[:40]!r} is no day")
    if not text[:-5].isdigit():
        raise ValueError(f"{text[:40]!r} is no day")
    return f"20{text[-2:]}{_MONTHS.index(month) + 1:02}{int(text[:-5]):02}"


def ms_of(day: str, hour: int) -> int:
    """Milliseconds since the epoch of `hour` o'clock UTC on a day YYYYMMDD."""
    return int(datetime.strptime(f"{day}{hour:02}+0000", "%Y%m%d%H%z").timestamp()) * 1000
