"""Which instruments a configuration means: symbols, rules, and the limited mode."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from outcrier.errors import ConfigurationError
from outcrier.instruments import Catalogue, Instrument, Trading
from outcrier.symbols import Kind

LIMITED_PER_CATEGORY: Final = 10
"""Instruments of one venue, kind and quote in LIMITED_MODE."""

FIRST_BASES: Final = ("BTC", "ETH")
"""What LIMITED_MODE takes first in a category. After these it keeps the order of the venue's own list."""

ALL: Final = "*"
"""The symbol that stands for all instruments that trade."""

_TRADING: Final = frozenset({Trading.OPEN, Trading.PRE_OPEN, Trading.AUCTION})
"""States in which "*" takes an instrument: the others have no book, some for years (Binance spot: BREAK)."""


RULE: Final = re.compile(r"(?P<kind>\*|[a-z]+):(?P<quote>\*|[^/:@|\s]+)")
"""A rule that names instruments by kind and quote: `perpetual:USDT`, `spot:*`, `*:USD`."""


def select(catalogue: Catalogue, symbols: Iterable[str], *, limited: bool) -> list[Instrument]:
    """The instruments that `symbols` name, each once, in the order of the symbols, then of the venue's list.

    With `limited` at most LIMITED_PER_CATEGORY of each kind and quote: the bases of FIRST_BASES, then the
    first of the order above. Symbols named one by one are taken whatever their status, "*" and rules take
    those that trade.
    """
    chosen: dict[str, Instrument] = {}
    for symbol in symbols:
        for instrument in matching(catalogue, symbol):
            chosen.setdefault(instrument.native_symbol, instrument)
    instruments = list(chosen.values())
    if not limited:
        return instruments
    instruments.sort(key=lambda instrument: _base_rank(instrument.base))
    counts: dict[str, int] = {}
    kept: list[Instrument] = []
    for instrument in instruments:
        count = counts.get(instrument.category, 0)
        if count < LIMITED_PER_CATEGORY:
            counts[instrument.category] = count + 1
            kept.append(instrument)
    return kept


def is_rule(symbol: str) -> bool:
    """Whether a configured symbol stands for whatever fits it: `*`, or a rule of kind and quote."""
    return symbol == ALL or RULE.fullmatch(symbol) is not None


def covers(rule: str, instrument: Instrument) -> bool:
    """Whether a rule names an instrument, whatever its status; a symbol covers nothing."""
    if rule == ALL:
        return True
    parts = RULE.fullmatch(rule)
    return (
        parts is not None
        and parts["kind"] in {ALL, instrument.kind.name.lower()}
        and parts["quote"] in {ALL, instrument.quote}
    )


def matching(catalogue: Catalogue, symbol: str) -> list[Instrument]:
    """The instruments that a symbol names, or those that trade of a rule. Raises ConfigurationError for what
    it cannot name.
    """
    if not is_rule(symbol):
        return [catalogue.find(symbol)]
    kinds = [ALL, *(kind.name.lower() for kind in Kind)]
    kind = symbol.partition(":")[0]
    if kind not in kinds:
        raise ConfigurationError(f"{symbol!r} is a rule of no kind: kinds are {', '.join(kinds)}")
    return [each for each in catalogue if each.status in _TRADING and covers(symbol, each)]


def _base_rank(base: str) -> int:
    return FIRST_BASES.index(base) if base in FIRST_BASES else len(FIRST_BASES)
