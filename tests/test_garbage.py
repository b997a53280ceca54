"""Garbage: 10,000 messages of all captures, each damaged once, by seed: nothing raises, all is counted.

Binance's go through a feed with a live book, other venues' through the declarations of their venue, else
through all that there are. A failure names venue, line and seed: `case_of` makes the same message again.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest

from outcrier import _core
from outcrier.capture.contents import catalogue, instrument_lists, scan
from outcrier.capture.exchange import Exchange
from outcrier.capture.format import CaptureLine, read_capture
from outcrier.capture.library import CaptureGroup
from outcrier.capture.venue_replay import VenueReplay, open_feed
from outcrier.venues import VENUES, bitfinex
from outcrier.venues.binance import Binance
from outcrier.venues.binance_exchange import BinanceExchange

CASES = 10_000
SEED = 20_261_121

LINES = 1_500
"""Lines of a capture that messages are chosen from: all kinds of messages are among them."""

MESSAGE_BYTES_MAX = 100_000
"""Longer messages (instrument lists, whole books) are damaged only where a capture has no shorter ones: a
hundred copies of 15 MB take longer than they teach."""

LONG_CASES = 2
"""Cases of a capture that has longer messages only."""

KEPT_BYTES = 4_096
"""A fault is kept with so much of its frame (docs/architecture.md)."""

DECLARATIONS = {
    "bitfinex": (bitfinex.SHAPES_JSON, bitfinex.UNTIMED_SHAPES_JSON),
}
"""Of venues without a connector, by the folder of the captures."""

ALL = [
    *itertools.chain.from_iterable(DECLARATIONS.values()),
    *(venue.shapes_json for venue in VENUES.values()),
]

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


DAMAGES: tuple[Damage, ...] = (changed, cut, doubled, swapped)


def case_of(seed: int, capture: str, line: int, number: int, data: bytes) -> tuple[str, bytes]:
    """(what was done, the damaged message) of case `number` of a capture."""
    rng = random.Random(f"{seed} {capture} {line} {number}")  # noqa: S311 - repeatable, no secret
    damage = DAMAGES[number % len(DAMAGES)]
    return damage.__name__, damage(rng, data)


@dataclass
class Outcomes:
    """What became of the cases."""

    harmless: int = 0
    live: int = 0
    """Cases that met a live book."""
    faults: list[tuple[str, str, bytes]] = field(default_factory=list)
    """(capture and line, reason, message) of each."""
    by_damage: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, where: str, damage: str, data: bytes, fault: str | None) -> None:
        """One case; `fault` is the reason, None = harmless."""
        if fault is None:
            self.harmless += 1
        else:
            self.faults.append((where, fault, data))
        self.by_damage[damage, "harmless" if fault is None else "fault"] += 1


@contextmanager
def named(where: str, number: int) -> Iterator[None]:
    """A failure, a panic of the core too, says which case it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"case {number} of {where}, seed {SEED}")
        raise


def chosen(lines: list[tuple[int, CaptureLine]], name: str, cases: int) -> list[tuple[int, CaptureLine]]:
    """The lines of `cases` cases, in order, some more than once; fewer where there are only long ones."""
    short = [each for each in lines if 0 < len(each[1].data) <= MESSAGE_BYTES_MAX]
    if not short:
        short = [min((each for each in lines if each[1].data), key=lambda each: len(each[1].data))]
        cases = min(cases, LONG_CASES)
    rng = random.Random(f"{SEED} {name}")  # noqa: S311
    return sorted(rng.choices(short, k=cases), key=lambda each: each[0])


def head(path: Path, folder: Path) -> Path:
    """The first `LINES` lines of a capture, as a capture of its own."""
    target = folder / path.parent.name / path.name.removesuffix(".gz")
    target.parent.mkdir(exist_ok=True)
    with gzip.open(path, "rt", encoding="utf-8") as source, target.open("w", encoding="utf-8") as out:
        out.writelines(itertools.islice(source, LINES))
    return target


class Books:
    """A feed whose books are made live again by the exchange's own, as soon as a case has hurt one."""

    def __init__(self, path: Path) -> None:
        venue = VENUES[path.parent.name]
        assert isinstance(venue.exchange, BinanceExchange)
        self.side = venue.exchange
        found = scan(venue, [path])
        listed = instrument_lists(venue, [path], found)
        instruments = [
            each
            for symbol in found.symbols
            if (each := catalogue(venue, listed).by_native(symbol)) is not None
        ]
        publisher = _core.Publisher.memory()
        self.feed = open_feed(publisher, venue, session=1, publisher_id=1, first_ns=found.first_ns)
        ids = {each.native_symbol: number for number, each in enumerate(instruments, start=1)}
        self.replay = VenueReplay(self.feed, venue, instruments, found, ids)
        self.exchange = Exchange(venue, [path], found, listed)
        self.indices = {each.native_symbol: index for index, each in enumerate(instruments)}
        self.publisher = publisher
        self.time_ns = found.first_ns or 1
        self.group = CaptureGroup(venue.name, (path,))

    def follow(self, line: CaptureLine) -> None:
        """The message as it was recorded."""
        self.time_ns = line.time_ns or self.time_ns
        self.exchange.take(line)
        self.replay.take(line)
        self.feed.notices()
        self.publisher.take()

    def revive(self) -> int:
        """Every book that has one is live and the exchange's; how many there are."""
        for symbol, index in self.indices.items():
            book = self.exchange.book(symbol)
            if book is None:
                continue
            if self.feed.state(index) != "LIVE" or self.feed.source_seq(index) != book.last_id:
                self.feed.disconnected([index], self.time_ns)
                answer = self.side.book_answer(symbol, book).encode()
                self.feed.on_snapshot(index, answer, self.time_ns)
                assert self.feed.state(index) == "LIVE", f"{symbol}: {self.feed.notices()}"
        self.feed.notices()
        return sum(self.feed.state(index) == "LIVE" for index in self.indices.values())

    def take(self, line: CaptureLine, data: bytes) -> str | None:
        """Takes a damaged message; the fault, if it is one."""
        before = self.feed.counters()["faults"]
        symbol = (
            self.exchange.venue.snapshot_symbol(line.url, line.text or "") if line.kind == "http" else None
        )
        index = self.indices.get(symbol or "")
        if index is None:
            bits = self.feed.on_frame(1, data, self.time_ns)
        else:
            bits = self.feed.on_snapshot(index, data, self.time_ns)
        if bits & _core.FOR_PYTHON:
            self.exchange.venue.control(data)
        found = [text for kind, _, _, _, text in self.feed.notices() if kind == "FAULT"]
        self.publisher.take()
        assert self.feed.counters()["faults"] - before == len(found) <= 1
        if not found:
            return None
        reason, _, _, kept = self.feed.faults()[-1]
        assert kept == data[:KEPT_BYTES], "the fault is kept with its frame"
        return reason


def run_feed(path: Path, name: str, cases: int, outcomes: Outcomes) -> int:
    """Cases of a Binance capture; how many there were."""
    lines = list(enumerate(read_capture(path), start=1))
    books = Books(path)
    picked = chosen([each for each in lines if each[1].kind != "send"], name, cases)
    waiting = list(reversed(picked))
    number = 0
    for at, line in lines:
        while waiting and waiting[-1][0] == at:
            waiting.pop()
            where = f"{name}:{at}"
            with named(where, number):
                outcomes.live += books.revive() > 0
                damage, data = case_of(SEED, name, at, number, line.data)
                outcomes.add(where, damage, data, books.take(line, data))
            number += 1
        books.follow(line)
    assert number == len(picked)
    return number


class Decoders:
    """Declarations with the instruments of a capture, learned from its own messages."""

    def __init__(self, declarations: list[str], lines: list[tuple[int, CaptureLine]]) -> None:
        self.decoders = [_core.Decoder(text) for text in declarations]
        self.handled = 0
        for _, line in lines:
            for decoder in self.decoders:
                self._bind(decoder, line)
                self.handled += self._learn(decoder, line.data)

    @staticmethod
    def _bind(decoder: _core.Decoder, line: CaptureLine) -> None:
        """Bitfinex names its channels by numbers of the connection."""
        if not line.data.startswith(b'{"event":"subscribed"'):
            return
        told = json.loads(line.data)
        if "chanId" in told:
            index = decoder.add(f"{told['symbol']} {told['chanId']}", 0, 0)
            decoder.bind(1, told["chanId"], index, told["channel"])

    @staticmethod
    def _learn(decoder: _core.Decoder, data: bytes) -> bool:
        for _ in range(64):
            outcome = decoder.decode(1, data)
            if outcome == _core.Decoder.UNKNOWN_INSTRUMENT:
                try:
                    decoder.add(decoder.reason, 0, 0)
                except ValueError:
                    return False
            elif outcome == _core.Decoder.NEEDS_FINER and decoder.finer is not None:
                decoder.set_scale(*decoder.finer)
            else:
                return outcome == _core.Decoder.HANDLED
        return False

    def take(self, data: bytes) -> str | None:
        """Decodes a damaged message by every declaration; the first fault, if there is one."""
        faults = []
        for decoder in self.decoders:
            outcome = decoder.decode(1, data)
            if outcome == _core.Decoder.FAULT:
                assert decoder.reason, "a fault says why"
                faults.append(decoder.reason)
            elif outcome == _core.Decoder.HANDLED:
                decoder.events()  # what it made of it can be read
        return faults[0] if faults else None


def feeds_live(path: Path) -> bool:
    """Whether a capture is one that `Books` keeps live books of."""
    return isinstance(VENUES.get(path.parent.name), Binance) and "_instruments" not in path.name


def declarations_of(path: Path, name: str) -> tuple[str, ...]:
    """The declarations that a capture was made for."""
    connected = [each.shapes_json for each in VENUES.values() if any(fnmatch(name, p) for p in each.captures)]
    return (*DECLARATIONS.get(path.parent.name, ()), *dict.fromkeys(connected))


def run_decoders(path: Path, name: str, cases: int, outcomes: Outcomes) -> tuple[int, int]:
    """Cases of a capture of another venue: how many, and how many undamaged messages its shapes took."""
    lines = [
        each
        for each in enumerate(itertools.islice(read_capture(path), LINES), start=1)
        if each[1].kind != "send"
    ]
    own = declarations_of(path, name)
    short = [each for each in lines if len(each[1].data) <= MESSAGE_BYTES_MAX]
    decoders = Decoders(list(own or ALL), short)
    picked = chosen(lines, name, cases)
    for number, (at, line) in enumerate(picked):
        where = f"{name}:{at}"
        with named(where, number):
            damage, data = case_of(SEED, name, at, number, line.data)
            outcomes.add(where, damage, data, decoders.take(data))
    return len(picked), decoders.handled if own else 0


@pytest.mark.timeout(240)
def test_every_damaged_message_is_a_counted_fault_or_harmless(data_dir: Path, tmp_path: Path) -> None:
    captures = sorted((data_dir / "captures").glob("*/*.jsonl.gz"))
    assert len({path.parent.name for path in captures}) == 29
    outcomes, handled, left = Outcomes(), Counter[str](), CASES
    # The shortest last: what captures with long messages only leave is done by those after them.
    captures.sort(key=lambda path: ("_instruments" not in path.name, feeds_live(path), path))
    for remaining, path in zip(range(len(captures), 0, -1), captures, strict=True):
        share = -(-left // remaining)
        name = f"{path.parent.name}/{path.name.removesuffix('.jsonl.gz')}"
        if feeds_live(path):
            left -= run_feed(head(path, tmp_path), name, share, outcomes)
        else:
            done, took = run_decoders(path, name, share, outcomes)
            left -= done
            handled[path.parent.name] += took
    assert left == 0
    assert outcomes.harmless + len(outcomes.faults) == CASES == outcomes.by_damage.total()
    assert all(reason for _, reason, _ in outcomes.faults)
    # The cases reached what they were to reach: decoders that read their venue, live books, both outcomes.
    connected = {pattern.partition("/")[0] for venue in VENUES.values() for pattern in venue.captures}
    of_binance = {name for name, venue in VENUES.items() if isinstance(venue, Binance)}
    wanted = connected | set(DECLARATIONS)
    assert {venue for venue, count in handled.items() if count} == wanted - of_binance
    assert outcomes.live > CASES // 10
    for damage in DAMAGES:
        assert outcomes.by_damage[damage.__name__, "fault"] > 1_000, outcomes.by_damage
        if damage is not cut:  # A message without its end is hardly ever one.
            assert outcomes.by_damage[damage.__name__, "harmless"] > 100, outcomes.by_damage


def test_a_case_is_made_again_by_its_seed() -> None:
    message = b'{"e":"trade","p":"24670.90"}'
    again = [case_of(7, "binance/spot", 3, number, message) for number in range(8)]
    assert again == [case_of(7, "binance/spot", 3, number, message) for number in range(8)]
    assert [name for name, _ in again[:4]] == ["changed", "cut", "doubled", "swapped"]
    for name, damaged in again:
        sizes = {"cut": range(len(message)), "doubled": range(len(message) + 1, 2 * len(message) + 1)}
        assert len(damaged) in sizes.get(name, [len(message)])
    assert case_of(8, "binance/spot", 3, 0, message) != again[0]
