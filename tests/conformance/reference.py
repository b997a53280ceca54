"""What the documentation of a venue says of it, without a look at our declarations: the values that the suite
holds the venue to. They stand beside the plain decoder, in `REFERENCES` of a module of `tests/plain`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from plain_events import Book, Plain


class Means(Enum):
    """What a venue gives to see that a book is wrong."""

    RANGE = "ids of a book's updates without holes (first, last)"
    CHAIN = "each update names the id of the one before"
    PLUS_ONE = "a book's updates are numbered one by one"
    CONNECTION = "all messages of a connection are numbered one by one"
    CHECKSUM = "a checksum of the best levels"
    WHOLE = "every message is a whole book"


NUMBERS = frozenset({Means.RANGE, Means.CHAIN, Means.PLUS_ONE, Means.CONNECTION})
"""Means that show a missing message: bit 1 of INSTRUMENT_DEF.book_proof. A checksum is bit 2."""

Edit = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Borrowed:
    """Recordings of a venue of the same exchange stand for one that has none."""

    venue: str
    why: str
    edit: Callable[[], Edit] = lambda: lambda frame: frame
    """Makes of a recorded frame what this venue sends instead, by the documentation; keeps state."""


@dataclass(frozen=True)
class Reference:
    """One venue."""

    plain: Callable[[], Plain]
    """A decoder for one connection."""
    means: frozenset[Means]
    depth: int = 0
    """Levels a side that the venue keeps; 0 = all."""
    rest: Callable[[Any, str], Book] | None = None
    """The whole book of an answer, where it comes by REST."""
    connection_number: Callable[[Any], int | None] = lambda _message: None
    """Number of a message on its connection."""
    samples: tuple[str, ...] = ()
    """Patterns below `samples/` of messages, as they stand on the socket."""
    lists: tuple[str, ...] = ()
    """Patterns below `samples/` of instrument lists."""
    borrowed: Borrowed | None = None
    back_ns: int = 0
    """By how much times of one instrument and kind may step back, by the venue's own rule."""
    unnamed: str = ""
    """Words of the reason of an entry of a list that has no name on the socket; empty = all have one."""
    resized: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Symbols that were printed in finer digits in a capture than the list, of another day, has them."""
    gaps: Mapping[str, int] = field(default_factory=dict)
    """Holes that the manifest states, by capture."""

    @property
    def proof(self) -> int:
        """INSTRUMENT_DEF.book_proof as it should be."""
        return (1 if self.means & NUMBERS else 0) | (2 if Means.CHECKSUM in self.means else 0)


def references() -> dict[str, Reference]:
    """By the venue's name: every module of `tests/plain` is found, nothing lists it."""
    folder = Path(__file__).resolve().parent.parent / "plain"
    modules = [import_module(f"plain.{module.name}") for module in iter_modules([str(folder)])]
    return {name: each for module in modules for name, each in getattr(module, "REFERENCES", {}).items()}
