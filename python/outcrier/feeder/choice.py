"""What a venue is to publish, as configuration and operator say, followed through the lists to come. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from outcrier.errors import ConfigurationError
from outcrier.feeder.roster import ENDED
from outcrier.feeder.selection import LIMITED_PER_CATEGORY, covers, is_rule, matching, select
from outcrier.instruments import Catalogue, Instrument


@dataclass(frozen=True, slots=True)
class Step:
    """What to change."""

    added: tuple[Instrument, ...]
    removed: tuple[str, ...]
    """Native symbols."""


class Choice:
    """Symbols and rules in force, and instruments that the operator took out."""

    def __init__(self, symbols: Iterable[str], *, limited: bool) -> None:
        self.symbols = list(dict.fromkeys(symbols))
        """Symbols and rules, in the order given."""
        self._excluded: set[str] = set()
        self._limited = limited

    def add(self, catalogue: Catalogue, symbols: Iterable[str]) -> None:
        """Takes further symbols and rules. Raises ConfigurationError for one that names nothing, and changes
        nothing then.
        """
        symbols = list(symbols)
        named = [instrument for symbol in symbols for instrument in matching(catalogue, symbol)]
        self.symbols = list(dict.fromkeys([*self.symbols, *symbols]))
        self._excluded.difference_update(instrument.native_symbol for instrument in named)

    def remove(self, catalogue: Catalogue, symbols: Iterable[str]) -> None:
        """Takes symbols and rules out: a rule that is in force no longer is, an instrument stays out whatever
        rule names it. Raises ConfigurationError for one that names nothing, and changes nothing then.
        """
        symbols = list(symbols)
        named = [instrument for symbol in symbols for instrument in matching(catalogue, symbol)]
        natives = {instrument.native_symbol for instrument in named}
        kept = []
        for symbol in self.symbols:
            if symbol in symbols:
                continue
            if not is_rule(symbol) and _native(catalogue, symbol) in natives:
                continue
            kept.append(symbol)
        self.symbols = kept
        self._excluded |= natives

    def replace(self, symbols: Iterable[str]) -> None:
        """The configuration says something else now; what the operator took out is forgotten."""
        self.symbols = list(dict.fromkeys(symbols))
        self._excluded.clear()

    def step(self, catalogue: Catalogue, present: Mapping[str, Instrument]) -> Step:
        """From the instruments `present`, by native symbol, to those that are wanted now. A rule follows new
        listings and drops what has ended; a symbol named by itself stays until it is taken out.
        """
        removed = tuple(
            native for native, known in present.items() if not self._stays(known, catalogue.by_native(native))
        )
        # What left the list names nothing any more.
        known = [symbol for symbol in self.symbols if is_rule(symbol) or _native(catalogue, symbol)]
        fresh = [
            each
            for each in select(catalogue, known, limited=self._limited)
            if each.native_symbol not in present and each.native_symbol not in self._excluded
        ]
        if self._limited:
            kept = Counter(each.category for native, each in present.items() if native not in removed)
            fresh = [each for each in fresh if _takes_place(kept, each.category)]
        return Step(tuple(fresh), removed)

    def _stays(self, known: Instrument, now: Instrument | None) -> bool:
        """`known` as it was added, `now` as the list has it. A pause in trading ends nothing."""
        if known.native_symbol in self._excluded:
            return False
        names = {name.casefold() for name in (known.symbol, known.full_symbol, known.native_symbol)}
        if any(symbol.casefold() in names for symbol in self.symbols):
            return True
        return (
            now is not None
            and now.status not in ENDED
            and any(covers(symbol, now) for symbol in self.symbols)
        )


def _takes_place(counts: Counter[str], category: str) -> bool:
    counts[category] += 1
    return counts[category] <= LIMITED_PER_CATEGORY


def _native(catalogue: Catalogue, symbol: str) -> str | None:
    try:
        return catalogue.find(symbol).native_symbol
    except ConfigurationError:
        return None
