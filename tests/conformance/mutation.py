"""Real messages, damaged by seed. Every case is made again by its name: seed, source and number."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

SEED: Final = 20_261_130

Damage = Callable[[random.Random, bytes], bytes]


def changed(rng: random.Random, data: bytes) -> bytes:
    """Another byte in the place of one."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([(data[at] + rng.randrange(1, 256)) % 256]) + data[at + 1 :]


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: rng.randrange(len(data))]


def doubled(rng: random.Random, data: bytes) -> bytes:
    """A part comes twice."""
    start, end = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    return data[: end + 1] + data[start:]


def swapped(rng: random.Random, data: bytes) -> bytes:
    """Two bytes in each other's place."""
    one, other = rng.randrange(len(data)), rng.randrange(len(data))
    result = bytearray(data)
    result[one], result[other] = result[other], result[one]
    return bytes(result)


OTHERS: Final[tuple[Any, ...]] = (
    None,
    True,
    3,
    -(10**30),
    10**400,
    1e308,
    "x",
    "",
    "NaN",
    "1e99999",
    [],
    {},
    [[]],
)


def retyped(rng: random.Random, data: bytes) -> bytes:
    """One value of another type, or one key with another name."""
    try:
        whole = json.loads(data)
    except ValueError:
        return changed(rng, data)
    holder, keys = chosen(rng, whole)
    if not keys:
        return json.dumps(rng.choice(OTHERS)).encode()
    key = rng.choice(keys)
    if isinstance(holder, dict) and rng.random() < 0.25:
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder[key] = rng.choice(OTHERS)
    return json.dumps(whole, separators=(",", ":")).encode()


def chosen(rng: random.Random, value: Any) -> tuple[Any, list[Any]]:
    """A container somewhere below, and its keys; no keys where there is none."""
    if not isinstance(value, dict | list):
        return value, []
    while True:
        keys = (
            list(value)
            if isinstance(value, dict)
            else list(range(len(value)))
            if isinstance(value, list)
            else []
        )
        inner = [key for key in keys if isinstance(value[key], dict | list) and value[key]]
        if not inner or rng.random() < 0.3:
            return value, keys
        value = value[rng.choice(inner)]


DAMAGES: Final[tuple[Damage, ...]] = (changed, cut, doubled, swapped, retyped)


def case_of(source: str, number: int, data: bytes, seed: int = SEED) -> tuple[str, bytes]:
    """(what was done, the damaged message) of case `number` of a source."""
    rng = random.Random(f"{seed} {source} {number}")  # noqa: S311 - repeatable, no secret
    damage = DAMAGES[number % len(DAMAGES)]
    return damage.__name__, damage(rng, data)


def cases(source: str, messages: list[bytes], count: int) -> Iterator[tuple[int, str, bytes, bytes]]:
    """(number, damage, damaged, original), spread over the messages in their order."""
    for number in range(count):
        data = messages[number * len(messages) // count]
        damage, damaged = case_of(source, number, data)
        yield number, damage, damaged, data
