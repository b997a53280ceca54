"""What a subscriber may ask for, in words of people, as the core wants it; and what to say when it is not
there.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from outcrier.errors import ConfigurationError
from outcrier.layout import MESSAGE_TYPES
from outcrier.symbols import split_venue
from outcrier.venue_numbers import venue_number


def core_symbol(text: str) -> str:
    """`BTC/USDT@binance` as the core spells it, `BTC/USDT@1`. Raises ConfigurationError."""
    symbol, venue = split_venue(text)
    if venue is None or not symbol:
        raise ConfigurationError(f"{text!r} names no venue: write SYMBOL@venue, such as BTC/USDT@binance")
    return f"{symbol}@{venue_number(venue)}"


def type_numbers(names: Iterable[str] | None) -> list[int] | None:
    """Message types of the names of `MESSAGE_TYPES`. Raises ConfigurationError for others."""
    if names is None:
        return None
    numbers: set[int] = set()
    for name in names:
        if name not in MESSAGE_TYPES:
            raise ConfigurationError(f"unknown type {name!r}: types are {', '.join(MESSAGE_TYPES)}")
        numbers.update(MESSAGE_TYPES[name])
    return sorted(numbers)


def unknown_symbol(symbol: str, known: list[str]) -> ConfigurationError:
    """The error for a symbol that is not among the `known`, with those that are near."""
    near = get_close_matches(symbol, known, n=3, cutoff=0.5)
    if near:
        return ConfigurationError(f"no channel has {symbol}; did you mean {' or '.join(near)}?")
    venue = split_venue(symbol)[1]
    if not any(split_venue(text)[1] == venue for text in known):
        heard = sorted({split_venue(text)[1] or "" for text in known})
        return ConfigurationError(
            f"no channel has {symbol}: of {venue} nothing is heard, only of {', '.join(heard)}"
        )
    return ConfigurationError(f"no channel has {symbol}; outcrier instruments lists what there is")
