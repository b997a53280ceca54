"""A message set laid end to end, for runs longer than what was recorded.

In every lap after the first the update ids of an instrument are shifted by what it advanced in a lap: that
keeps the chain (`pu` = `u` of the diff before) and, at the ids of the captures, the length of every message.
Levels are absolute, so the books at the end of any lap are those at the end of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.messages import MessageSet

FLOOR_MESSAGES_MAX = 20_000
"""The floor's driver keeps this many; for a higher count it begins anew, and its core checks no ids."""

_IDS = ("U", "u", "pu")


def lap(messages: MessageSet, number: int) -> Iterator[bytes]:
    """The messages of a lap, from 0. Only for futures, whose diffs name the one before."""
    steps = _steps(messages)
    for text, message in zip(messages.messages, messages.decoded, strict=True):
        if number == 0 or message["e"] != "depthUpdate":
            yield text
            continue
        shifted = text
        for key in _IDS:
            old = f'"{key}":{message[key]},'.encode()
            assert shifted.count(old) == 1, f"{old!r} is not once in {text[:200]!r}"
            shifted = shifted.replace(old, f'"{key}":{message[key] + number * steps[message["s"]]},'.encode())
        yield shifted


def _steps(messages: MessageSet) -> dict[str, int]:
    """How far the ids of each symbol go in a lap."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for diff in messages.diffs:
        first.setdefault(diff["s"], diff["pu"])
        last[diff["s"]] = diff["u"]
    return {symbol: last[symbol] - first[symbol] for symbol in last}


def write_tape(path: Path, messages: MessageSet, laps: int) -> None:
    """The messages of some laps, one a line."""
    with path.open("wb") as file:
        for number in range(laps):
            file.writelines(text + b"\n" for text in lap(messages, number))
