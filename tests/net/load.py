"""The load: messages of a recorded session, handed to many instruments that each take them as theirs.

Every instrument gets the same messages in the same order, so what its book is follows from its number alone:
one table, made by a feed of its own, is the truth for all of them. Sessions of an odd number get the changes
of the book without the trades, so that the same number means another book there, and whoever mixed two
sessions would be seen.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from outcrier import _core
from outcrier.capture.contents import catalogue, instrument_lists, scan
from outcrier.capture.format import read_capture
from outcrier.instruments import Instrument, to_core_kwargs
from outcrier.venues import venue_by_name

CAPTURE: Final = "binance_usdm/usdm_btcusdt_2024-08-08"
VENUE: Final = venue_by_name("binance_usdm")
CONNECTION: Final = 1

_NATIVE: Final = "BTCUSDT"
_TAKEN: Final = (b'"e":"depthUpdate"', b'"e":"trade"')
"""Kinds of messages that are used: a quarter changes books, the rest are trades."""


class Load(msgspec.Struct, frozen=True):
    """A REST book and the messages behind it; as JSON it is what the programs are handed."""

    listed: Instrument
    book: bytes
    messages: list[bytes]

    def instrument(self, number: int) -> Instrument:
        """The instrument of that number, from 0."""
        return msgspec.structs.replace(
            self.listed,
            native_symbol=_native(number),
            symbol=f"{_base(number)}/USDT:PERP",
            base=_base(number),
        )

    def message(self, at: int, number: int) -> bytes:
        """A message as if it were about the instrument of that number."""
        native = _native(number)
        message = self.messages[at].replace(_NATIVE.encode(), native.encode())
        return message.replace(_NATIVE.lower().encode(), native.lower().encode())


def symbol(number: int) -> str:
    """What a consumer asks for."""
    return f"{_base(number)}/USDT:PERP@{VENUE.name}"


def _base(number: int) -> str:
    return f"N{number:03d}"


def _native(number: int) -> str:
    return f"{_base(number)}USDT"


VARIANTS: Final = 2


def variant(session: int) -> int:
    """Which of the loads a session gets."""
    return session % VARIANTS


def read_loads(capture: Path, most: int) -> list[Load]:
    """The first messages of the capture that stand behind its book, for each variant."""
    listed = catalogue(VENUE, instrument_lists(VENUE, [capture], scan(VENUE, [capture]))).by_native(_NATIVE)
    assert listed is not None
    lines = read_capture(capture)
    early: list[bytes] = []
    for line in lines:
        if line.kind == "http" and line.text is not None:
            book = line.text.encode()
            break
        early.append(line.data)
    covered = json.loads(book)["lastUpdateId"]
    behind = itertools.chain(early, (line.data for line in lines if line.kind == "recv"))
    messages = list(_useful(behind, covered))
    changes = [message for message in messages if _TAKEN[0] in message]
    return [Load(listed, book, messages[:most]), Load(listed, book, changes[:most])]


def _useful(messages: Iterator[bytes], covered: int) -> Iterator[bytes]:
    for message in messages:
        if _TAKEN[0] in message:
            if json.loads(message)["data"]["u"] >= covered:
                yield message
        elif _TAKEN[1] in message:
            yield message


class Books:
    """A feed with its instruments, each with its first book."""

    def __init__(
        self, publisher: _core.Publisher, load: Load, ids: Sequence[int], *, session: int, publisher_id: int
    ) -> None:
        """`ids`: the number on the wire of each instrument."""
        self.feed = _core.Feed(
            publisher,
            venue=VENUE.number,
            channel=VENUE.number,
            session=session,
            publisher_id=publisher_id,
            shapes=VENUE.shapes_json,
            build="test",
            test=True,
        )
        self._load = load
        self._taken = [0] * len(ids)
        self.indices = [
            self.feed.add_instrument(**to_core_kwargs(load.instrument(number), wire_id))
            for number, wire_id in enumerate(ids)
        ]

    def open(self, number: int) -> None:
        """The first book of an instrument."""
        self.feed.on_snapshot(self.indices[number], self._load.book)
        assert self.feed.state(self.indices[number]) == "LIVE"

    def take(self, number: int, *, more: bool = False) -> bool:
        """The next message of an instrument; False if there is none left."""
        at = self._taken[number]
        if at == len(self._load.messages):
            return False
        self._taken[number] += 1
        self.feed.on_frame(CONNECTION, self._load.message(at, number), 0, more)
        return True

    def state(self, number: int) -> tuple[int, int]:
        """Number and hash of the book of an instrument."""
        index = self.indices[number]
        return self.feed.instr_seq(index), self.feed.book_hash(index)


def truth(load: Load) -> dict[int, int]:
    """Hash of the book by number of the instrument, wherever an event ends."""
    books = Books(_core.Publisher.memory(), load, [1], session=1, publisher_id=1)
    books.open(0)
    known = dict([books.state(0)])
    while books.take(0):
        known.update([books.state(0)])
    assert not books.feed.faults()
    kinds = {kind for kind, *_ in books.feed.notices()}
    assert kinds <= {"LIVE", "NEED_SNAPSHOT"}, kinds
    return known
