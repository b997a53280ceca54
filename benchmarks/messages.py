"""Message sets from the captures: snapshots, then the diffs that chain after them, and the trades."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

from naive import NaiveBook
from outcrier.capture.format import read_capture
from outcrier.venues import Venue, venue_by_name

MESSAGES_MAX: Final = 5_000
"""Messages of a set: the sessions of 2024 are longer, and the slowest peer takes 0.1 ms a message."""

SETS: Final = {
    "COIN-M 2021": ("binance_coinm", "binance_coinm/coinm_2021-07-22", ""),
    "USD-M 2024": ("binance_usdm", "binance_usdm/usdm_btcusdt_2024-08-08", "BTCUSDT"),
    "spot BTC 2024": ("binance", "binance/spot_btcusdt_2024-08-08", "BTCUSDT"),
}
"""Name of a set: venue, capture, and whose its books are where they do not tell.

COIN-M 2021 is that of the floor programs, ten quiet books; the others are the busiest book of their venue.
"""

FLOOR_SET: Final = "COIN-M 2021"
"""The set that the floor programs understand."""

PLACES: Final = 8
"""Decimal places of the integers that answers are compared in: every number of these sets fits."""

Side = list[tuple[int, int]]
Books = dict[str, tuple[Side, Side]]
"""Bids and asks of each native symbol, best first, price and quantity at `PLACES`."""


@dataclass(frozen=True, eq=False)
class MessageSet:
    """A capture as every case takes it: one snapshot a symbol, then the messages in their order."""

    name: str
    venue: str
    snapshots: Mapping[str, bytes]
    messages: Sequence[bytes]
    """Frames as the venue sent them (combined streams)."""

    @cached_property
    def decoded(self) -> list[Any]:
        return [json.loads(message)["data"] for message in self.messages]

    @cached_property
    def diffs(self) -> list[Any]:
        """The depth updates, decoded."""
        return [message for message in self.decoded if message["e"] == "depthUpdate"]

    @cached_property
    def levels(self) -> int:
        """Level updates of all messages."""
        return sum(len(diff["b"]) + len(diff["a"]) for diff in self.diffs)

    @cached_property
    def books(self) -> Books:
        """The books at the end, by the naive model of the tests."""
        naive = {symbol: NaiveBook(is_chain(self.venue)) for symbol in self.snapshots}
        for symbol, body in self.snapshots.items():
            naive[symbol].snapshot(body.decode())
        for diff in self.diffs:
            naive[diff["s"]].diff(diff)
        assert not any(book.gaps for book in naive.values())
        return {symbol: scaled_book(*book.sides()) for symbol, book in naive.items()}

    @cached_property
    def answer(self) -> str:
        """What every case has to find at the end."""
        return answer_of(self.books)

    def about(self) -> str:
        size = sum(map(len, self.messages)) / len(self.messages)
        return (
            f"{len(self.messages):,} messages of {size:.0f} bytes and {self.levels / len(self.messages):.1f}"
            f" level updates on average, {len(self.snapshots)} books"
        )


def is_chain(venue: str) -> bool:
    """Whether a diff names the one before (`pu`), as Binance's futures do."""
    return venue in {"binance_usdm", "binance_coinm"}


def scaled(text: Any) -> int:
    """A decimal number (Decimal, or the float of a peer that has nothing else) as an integer at PLACES."""
    return int((text * 10**PLACES).__round__())


def scaled_book(bids: Iterable[Sequence[Any]], asks: Iterable[Sequence[Any]]) -> tuple[Side, Side]:
    return [(scaled(level[0]), scaled(level[1])) for level in bids], [
        (scaled(level[0]), scaled(level[1])) for level in asks
    ]


def book_bytes(books: Books) -> bytes:
    """Every level of every book: symbols in order, number of levels of each side, i64 price and quantity."""
    parts = []
    for _, (bids, asks) in sorted(books.items()):
        parts.append(struct.pack("<II", len(bids), len(asks)))
        parts.extend(struct.pack("<qq", *level) for level in (*bids, *asks))
    return b"".join(parts)


def answer_of(books: Books) -> str:
    """The hash that all cases of a set have to agree on."""
    return hashlib.blake2b(book_bytes(books), digest_size=16).hexdigest()


def _useful(venue: Venue, path: Path) -> Iterator[tuple[str, str | None, Any, bytes]]:
    """Books, depth updates and trades: kind, symbol, decoded, text."""
    for line in read_capture(path):
        text = line.text or ""
        if line.kind == "http":
            yield "book", venue.snapshot_symbol(line.url, text), json.loads(text), text.encode()
        elif line.kind == "recv":
            data = json.loads(text)["data"]
            if data.get("e") in {"depthUpdate", "aggTrade", "trade"}:
                yield data["e"], data["s"], data, text.encode()


@lru_cache
def message_set(data_dir: Path, name: str) -> MessageSet:
    """The set of that name."""
    venue_name, capture, only = SETS[name]
    snapshots: dict[str, bytes] = {}
    first: dict[str, int] = {}
    # Diffs that stand before their snapshot may be newer than it.
    lines = list(
        islice(_useful(venue_by_name(venue_name), capture_path(data_dir, capture)), 2 * MESSAGES_MAX)
    )
    for kind, named, data, text in lines:
        symbol = named or only
        if kind == "book" and symbol not in snapshots:
            snapshots[symbol] = text
            first[symbol] = data["lastUpdateId"] + (0 if is_chain(venue_name) else 1)
    # Those that the snapshot covers are left out: each peer would do it in its own way.
    messages = [
        text
        for kind, symbol, data, text in lines
        if symbol in snapshots and kind != "book" and (kind != "depthUpdate" or data["u"] >= first[symbol])
    ]
    return MessageSet(name, venue_name, snapshots, messages[:MESSAGES_MAX])


def write_floor_input(messages: MessageSet, stem: Path) -> None:
    """STEM.msgs and STEM.snap, which the floor programs read."""
    stem.with_suffix(".msgs").write_bytes(b"\n".join(messages.messages) + b"\n")
    books = [(symbol, json.loads(body)) for symbol, body in messages.snapshots.items()]
    lines = [json.dumps({"s": symbol, "bids": book["bids"], "asks": book["asks"]}) for symbol, book in books]
    stem.with_suffix(".snap").write_text("\n".join(lines) + "\n")


def capture_path(data_dir: Path, capture: str) -> Path:
    """The file of a capture."""
    return data_dir / "captures" / f"{capture}.jsonl.gz"
