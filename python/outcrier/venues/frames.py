"""Reading what a venue sends without trusting it: nothing here raises, whatever the text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import msgspec

from outcrier.instruments import MAGNITUDE_MAX, TIME_NS_MAX
from outcrier.venues.base import BAD_JSON

NAME_MAX: Final = 64
"""Characters of an unknown message's name that are kept: it keys a counter."""

MESSAGE_MAX: Final = 256
"""Characters of an error's message that are kept: one line of a log."""

_AS_PRINTED: Final = msgspec.json.Decoder(float_hook=str)


def parsed(text: bytes | str) -> Any:
    """The JSON value, numbers with a point or an exponent as the text that is printed; None for junk."""
    try:
        return _AS_PRINTED.decode(text)
    except BAD_JSON:
        return None


def record(text: bytes | str) -> dict[str, Any]:
    """The JSON object of a text, numbers as `parsed` gives them; empty for anything else."""
    value = parsed(text)
    return value if isinstance(value, dict) else {}


def at(value: Any, *path: str | int) -> Any:
    """What stands at a place in a parsed value; None where there is no such place."""
    for key in path:
        if isinstance(key, str):
            value = value.get(key) if isinstance(value, dict) else None
        else:
            value = value[key] if isinstance(value, list) and -len(value) <= key < len(value) else None
    return value


def word(value: Any) -> str:
    """A text of the venue, else empty."""
    return value if isinstance(value, str) else ""


def rows(value: Any) -> list[Any]:
    """An array of the venue, else empty."""
    return value if isinstance(value, list) else []


def numbers(values: Iterable[Any]) -> Iterator[str]:
    """Those of the values that print a number, as text."""
    for value in values:
        if isinstance(value, str):
            if value:
                yield value
        elif isinstance(value, int) and not isinstance(value, bool):
            yield str(value)


def raw_entries(body: bytes | str, *path: str) -> list[bytes]:
    """The entries of the array at `path` of an answer, or the values of an object, each still text. Raises
    one of BAD_JSON.
    """
    for key in path:
        inner = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).get(key)
        if inner is None:
            raise ValueError(f"has no {key!r}")
        body = bytes(inner)
    listed = msgspec.json.decode(body, type=list[msgspec.Raw] | dict[str, msgspec.Raw])
    return [bytes(entry) for entry in (listed.values() if isinstance(listed, dict) else listed)]


def step_of(decimals: int) -> Decimal:
    """The step of a number with so many decimals; below zero, of tens and hundreds. Raises ValueError for one
    of absurd size.
    """
    if not -MAGNITUDE_MAX <= decimals <= MAGNITUDE_MAX:
        raise ValueError(f"{decimals} decimals are no step")
    return Decimal(1).scaleb(-decimals)


def decimals_of(step: Decimal) -> int:
    """The decimals of a step; below zero for tens and hundreds."""
    exponent = step.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def time_ns(value: Any, unit_ns: int) -> int | None:
    """A whole number of a unit as nanoseconds; None for one that is none, or beyond TIME_NS_MAX."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value * unit_ns <= TIME_NS_MAX:
        return None
    return value * unit_ns


def magnitude_ns(value: Any) -> int | None:
    """A number whose size tells whether it is ms, us or ns, as nanoseconds."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return time_ns(value, 1_000_000 if value < 10**13 else 1_000 if value < 10**16 else 1)


def date_ns(value: Any, zone_s: int = 0) -> int | None:
    """A date as text as nanoseconds: with its own zone, else in the zone `zone_s` seconds east of UTC; None
    for junk, and for times before 1970, which venues send for none.
    """
    text = word(value)
    head, point, rest = text.partition(".")
    fraction = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        when = datetime.fromisoformat(head + rest[len(fraction) :] if point else text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone(timedelta(seconds=zone_s)))
        since = when - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    seconds = since.days * 86_400 + since.seconds
    ns = seconds * 1_000_000_000 + int((fraction[:9] if point else "").ljust(9, "0"))
    return ns if 0 < ns <= TIME_NS_MAX else None


def batches(
    names: Iterable[str], most: int = 0, *, size: Callable[[str], int] = len, size_max: int = 0
) -> Iterator[list[str]]:
    """The names in order, in lists of at most `most` whose sizes make at most `size_max`; 0 = no limit. A
    name beyond `size_max` has a list of its own.
    """
    batch: list[str] = []
    used = 0
    for name in names:
        more = size(name)
        if batch and (0 < most <= len(batch) or 0 < size_max < used + more):
            yield batch
            batch, used = [], 0
        batch.append(name)
        used += more
    if batch:
        yield batch
