"""A book as recorded messages have it so far, with prices and quantities as the exchange printed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from outcrier.venues.base import Printed

Levels: TypeAlias = list[tuple[str, str]]
"""Price and quantity of each."""

_Level: TypeAlias = tuple[Decimal, Decimal, tuple[str, str]]


class RecordedBook:
    """A `StandInBook`. `depth`: levels a side that the venue keeps, None = all."""

    def __init__(self, depth: int | None = None) -> None:
        self.last_id: int | None = None
        self.exchange_ns: int | None = None
        self.last = ""
        self.whole = ""
        self._depth = depth
        self._sides: tuple[dict[Decimal, tuple[str, str]], ...] = ({}, {})

    def apply(self, event: Mapping[str, Any], text: str, printed: Printed) -> None:
        """Takes a book event of the message `text`; sizes are absolute, 0 removes."""
        levels = _levels(event, printed)
        if event["snapshot"]:
            self._sides = ({}, {})
            self.whole = text
        for side, changes in zip(self._sides, levels, strict=True):
            for price, qty, words in changes:
                if qty:
                    side[price] = words
                else:
                    side.pop(price, None)
        self._cut()
        self.last_id = event["ids"][1] if event["ids"][1] is not None else self.last_id
        self.exchange_ns = event["exchange_ts"] if event["exchange_ts"] is not None else self.exchange_ns
        self.last = text

    def _cut(self) -> None:
        if self._depth is None:
            return
        for side, is_bids in zip(self._sides, (True, False), strict=True):
            for price in sorted(side, reverse=is_bids)[self._depth :]:
                del side[price]

    def levels(self) -> tuple[Levels, Levels]:
        """(bids, asks), best first."""
        bids, asks = self._sides
        return [bids[key] for key in sorted(bids, reverse=True)], [asks[key] for key in sorted(asks)]

    def copy(self) -> RecordedBook:
        """The same book, to go on from here."""
        other = RecordedBook(self._depth)
        other.last_id, other.exchange_ns = self.last_id, self.exchange_ns
        other.last, other.whole = self.last, self.whole
        other._sides = tuple(dict(side) for side in self._sides)
        return other


def _levels(event: Mapping[str, Any], printed: Printed) -> tuple[list[_Level], list[_Level]]:
    """Levels of both sides: numbers, and how they were printed: by the digits that the shape keeps, else by
    the message's text, else with all digits of the exponents.
    """
    exps = event["exps"]
    prices = _by_number(printed.prices)
    quantities = _by_number(printed.quantities)

    def side(levels: Sequence[tuple[int, int]], extras: Sequence[tuple[Any, ...]] | None) -> list[_Level]:
        found = []
        for place, (price, qty) in enumerate(levels):
            digits = (None, None) if not extras else extras[place][2:4]
            numbers = (Decimal(price).scaleb(exps[0]), Decimal(qty).scaleb(exps[1]))
            words = (_word(numbers[0], digits[0], prices), _word(numbers[1], digits[1], quantities))
            found.append((*numbers, words))
        return found

    return side(event["bids"], event.get("bid_extras")), side(event["asks"], event.get("ask_extras"))


def _word(number: Decimal, digits: int | None, printed: Mapping[Decimal, str]) -> str:
    if digits is not None:
        return f"{number:.{digits}f}"
    return printed.get(number) or f"{number:f}"


def _by_number(words: Sequence[str]) -> dict[Decimal, str]:
    """Printed numbers by what they are; the decoder has read them, so that junk stands elsewhere."""
    found: dict[Decimal, str] = {}
    for word in words:
        try:
            found[Decimal(word)] = word
        except ArithmeticError:
            continue
    return found
