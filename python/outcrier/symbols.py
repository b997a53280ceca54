"""Canonical symbols: one text for one instrument, the same on every venue.

    BTC/USDT                  spot
    BTC/USDT:PERP             perpetual, settled in the quote
    BTC/USD:BTC:PERP          perpetual, settled in something else
    BTC/USD:BTC:20210924      future, by its day of expiry (UTC)
    BTC/USD:BTC:20260327-70000-C   option: expiry, strike, call or put
    SPX:INDEX                 index
    005930                    equity, or a pair whose parts the venue does not tell

`SYMBOL@venue` names one instrument of one venue. The wire carries the symbol without `@venue`, in 32 bytes.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

import msgspec

from outcrier.errors import ConfigurationError

SYMBOL_BYTES_MAX: Final = 32
"""Bytes of UTF-8 that INSTRUMENT_DEF.symbol holds (docs/wire-format.md)."""

ASSET_BYTES_MAX: Final = 16
"""Bytes of UTF-8 that INSTRUMENT_DEF.base, quote and settle hold."""

_ASSET: Final = re.compile(r"[^/:@|\s\x00-\x1f]+")
_DATED: Final = re.compile(r"(\d{8})(?:-([0-9]+(?:\.[0-9]+)?)-([CP]))?")


class Kind(IntEnum):
    """What an instrument is, in the numbers of INSTRUMENT_DEF.kind."""

    SPOT = 1
    PERPETUAL = 2
    FUTURE = 3
    OPTION = 4
    EQUITY = 5
    INDEX = 6


class Symbol(msgspec.Struct, frozen=True):
    """The parts of a canonical symbol; `str(symbol)` is its text."""

    kind: Kind
    base: str
    """Asset that is traded, or the whole name of an index or equity."""
    quote: str = ""
    """Asset that prices are in; empty for a name without parts."""
    settle: str = ""
    """Asset that profit is paid in; empty = the quote, or nothing to settle."""
    expiry: str = ""
    """Day of expiry as YYYYMMDD; empty for what does not expire."""
    strike: str = ""
    """Strike as decimal text without trailing zeros; empty unless an option."""
    option: str = ""
    """C, P or empty."""

    def __str__(self) -> str:
        if self.kind is Kind.INDEX:
            return f"{self.base}:INDEX"
        if not self.quote:
            return self.base
        text = f"{self.base}/{self.quote}"
        if self.kind is Kind.SPOT:
            return text
        if self.settle and self.settle != self.quote:
            text = f"{text}:{self.settle}"
        if self.kind is Kind.PERPETUAL:
            return f"{text}:PERP"
        if self.kind is Kind.OPTION:
            return f"{text}:{self.expiry}-{self.strike}-{self.option}"
        return f"{text}:{self.expiry}"


def parse_symbol(text: str) -> Symbol:
    """Parts of a canonical symbol (without `@venue`). Raises ConfigurationError that says what a symbol looks
    like.

    >>> parse_symbol("BTC/USD:BTC:20210924").settle
    'BTC'
    """
    head, *tail = text.split(":")
    symbol = _parse_name(head, tail) if "/" not in head else _parse_pair(head, tail)
    if symbol is None or str(symbol) != text or len(text.encode()) > SYMBOL_BYTES_MAX:
        raise ConfigurationError(
            f"{text!r} is no symbol: write BTC/USDT, BTC/USDT:PERP, BTC/USD:BTC:PERP, BTC/USD:BTC:20210924,"
            " BTC/USD:BTC:20260327-70000-C or NAME:INDEX"
        )
    return symbol


def _parse_name(name: str, tail: list[str]) -> Symbol | None:
    if not _ASSET.fullmatch(name) or tail not in ([], ["INDEX"]):
        return None
    return Symbol(kind=Kind.INDEX if tail else Kind.EQUITY, base=name)


def _parse_pair(head: str, tail: list[str]) -> Symbol | None:
    base, _, quote = head.partition("/")
    if not (_ASSET.fullmatch(base) and _ASSET.fullmatch(quote)) or len(tail) > 2:
        return None
    if not tail:
        return Symbol(kind=Kind.SPOT, base=base, quote=quote)
    settle = tail[0] if len(tail) == 2 else quote
    if not _ASSET.fullmatch(settle):
        return None
    if tail[-1] == "PERP":
        return Symbol(kind=Kind.PERPETUAL, base=base, quote=quote, settle=settle)
    dated = _DATED.fullmatch(tail[-1])
    if dated is None:
        return None
    expiry, strike, option = dated.groups(default="")
    kind = Kind.OPTION if option else Kind.FUTURE
    return Symbol(
        kind=kind, base=base, quote=quote, settle=settle, expiry=expiry, strike=strike, option=option
    )


def split_venue(text: str) -> tuple[str, str | None]:
    """`SYMBOL@venue` as (symbol, venue); venue is None where the text names none.

    >>> split_venue("BTC/USDT:PERP@binance_usdm")
    ('BTC/USDT:PERP', 'binance_usdm')
    """
    symbol, at, venue = text.rpartition("@")
    return (symbol, venue) if at else (text, None)


def is_asset(text: str) -> bool:
    """Whether `text` can stand in a symbol and on the wire as base, quote or settle asset."""
    return _ASSET.fullmatch(text) is not None and len(text.encode()) <= ASSET_BYTES_MAX
