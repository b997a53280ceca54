"""Faults put into recorded messages, and what the feed makes of them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal, TypeAlias, get_args

from conformance.recordings import REFERENCES, Recording, recordings
from conformance.reference import Means
from outcrier import _core
from outcrier.capture.book import RecordedBook
from outcrier.capture.contents import book_symbol_of, message_text
from outcrier.capture.decoding import Shapes
from outcrier.capture.faults import Fault, MessageKind, hurt
from outcrier.capture.library import read_session
from outcrier.capture.venue_replay import open_feed
from outcrier.instruments import to_core_kwargs
from outcrier.shapes import Place as ShapePlace
from outcrier.shapes import Shape
from outcrier.venues import VENUES, Venue
from outcrier.venues.base import Unknown
from venue_feeds import digits_seen, unlisted

Trial: TypeAlias = MessageKind | Literal["rename_side"]
"""`rename_side`: one name that tells a side has another, each of them by itself."""

LINES: Final = 1_500
"""Of a recording; all faults are tried in them, several times."""

TRIALS: Final = 5
"""Places in a recording where each fault is tried."""

CANDIDATES: Final = 12
"""Messages that are looked at for a place: not every one has a bid that can be crossed."""

SETTLED: Final = (0, 3)
"""Changes of a book before the first place, in a stream and by REST: there the first diff may repeat what the
answer has.
"""

IN_ORDER: Final[tuple[MessageKind, ...]] = ("duplicate", "drop", "reorder")
"""Each needs one message more of the book behind it."""

BYTES_MAX: Final = 60_000
"""Longer messages are whole books of many levels: what is altered in them is searched for level by level."""

TAIL: Final = 300
"""Messages after a fault in which something may be noticed."""

SIGNALS: Final = {
    "checksum_mismatch": "checksum",
    "faults": "fault",
    "gaps": "gap",
    "crossed": "crossed",
    "old_events": "repeat",
    "price_outliers": "outlier",
    "exchange_time_back": "time",
}
"""Counters of the feed that tell of a fault, the surest first, and what they are called in the table."""

REACH: Final = {"okx_2022": 25, "okcoin": 25, "kraken": 10, "kraken_v1": 10}
"""Levels a side that a checksum covers."""

SHOWN_BY: Final[dict[Trial, frozenset[Means] | None]] = {
    "drop": frozenset(Means) - {Means.WHOLE},
    "duplicate": frozenset(),
    "reorder": frozenset(Means) - {Means.WHOLE},
    "truncate": None,
    "unit": frozenset({Means.CHECKSUM}),
    "cross": None,
    "alter": frozenset({Means.CHECKSUM}),
    "rename_field": None,
    "rename_side": None,
}
"""What a venue must give so that a fault can be noticed; None = nothing, the message or the book shows it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a recording; `symbol` where it is of a book."""

    data: bytes
    recv_ns: int
    symbol: str | None
    rest: str | None = None
    """Symbol of a REST book."""


@dataclass
class Script:
    """The messages of one recording as a venue sends them, and the feed without faults."""

    venue: Venue
    name: str
    messages: list[Message]
    instruments: dict[str, int]
    clean: list[tuple[dict[str, int], int, int]] = field(default_factory=list)
    """After each message: counters, the hash of the book that it is of, messages unknown to Python."""
    live: list[bool] = field(default_factory=list)
    """Whether that book is live."""
    by_rest: frozenset[str] = frozenset()
    """Symbols whose book comes by REST."""
    drift: frozenset[str] = frozenset()
    """Names that are counted without faults."""


def feed_of(script: Script, exps: dict[str, tuple[int, int]]) -> tuple[_core.Feed, _core.Publisher]:
    publisher = _core.Publisher.memory()
    first_ns = script.messages[0].recv_ns
    feed = open_feed(publisher, script.venue, session=1, publisher_id=1, first_ns=first_ns)
    for number, symbol in enumerate(script.instruments, start=1):
        instrument = unlisted(script.venue, symbol, *exps[symbol])
        feed.add_instrument(**to_core_kwargs(instrument, number), has_book=True, recv_ns=first_ns)
    return feed, publisher


class Runner:
    """A feed that takes messages of a script."""

    def __init__(self, script: Script, exps: dict[str, tuple[int, int]]) -> None:
        self.script = script
        self.feed, self.publisher = feed_of(script, exps)
        self.definitions = [
            frame
            for _, data in self.publisher.take()
            for whole in [_core.decode_frame(data)]
            for frame in whole.get("messages") or [whole]
            if frame["msg"] == "INSTRUMENT_DEF"
        ]
        self.unknown = 0

    def take(self, message: Message, data: bytes | None = None) -> None:
        data = message.data if data is None else data
        if message.rest is not None:
            self.feed.on_snapshot(self.script.instruments[message.rest], data, message.recv_ns)
        else:
            bits = self.feed.on_frame(1, data, message.recv_ns)
            if bits & _core.FOR_PYTHON:
                self.unknown += isinstance(self.script.venue.control(data), Unknown)
        self.publisher.take()
        self.feed.notices()

    def hash(self, symbol: str) -> int:
        return self.feed.book_hash(self.script.instruments[symbol])


def messages_of(recording: Recording, venue: Venue) -> Iterator[Message]:
    """The recording as `venue` sends it."""
    borrowed = REFERENCES[venue.name].borrowed
    edit = borrowed.edit() if borrowed is not None else lambda data: data
    time_ns = 0
    for line in itertools.islice(read_session(recording.paths), LINES):
        text = message_text(line)
        time_ns = line.time_ns or time_ns + 10_000_000
        if text is None or line.kind == "send":
            continue
        if line.kind == "http":
            symbol = venue.snapshot_symbol(line.url, text) if venue.is_snapshot(line.url, text) else None
            if symbol is not None:
                yield Message(line.data, time_ns, None, symbol)
            continue
        data = edit(line.data)
        stream = venue.stream_of(data)
        symbol = None if stream is None else book_symbol_of(venue, stream)
        if symbol is not None or borrowed is None:
            yield Message(data, time_ns, symbol)


@cache
def scripts(name: str) -> tuple[tuple[Script, dict[str, tuple[int, int]]], ...]:
    """Of a venue: its recordings, else those that stand for them; without such that hold no book."""
    venue, borrowed = VENUES[name], REFERENCES[name].borrowed
    found = []
    for recording in recordings(borrowed.venue if borrowed is not None else name):
        messages = list(messages_of(recording, venue))
        symbols = {each.symbol for each in messages} - {None}
        if not symbols:
            continue
        seen = digits_seen(venue, [each.data for each in messages if each.rest is None])
        exps = {symbol: digits for symbol, digits in seen.items() if symbol in symbols}
        indices = {symbol: index for index, symbol in enumerate(exps)}
        messages = [each for each in messages if each.rest is None or each.rest in indices]
        script = Script(venue, str(recording), messages, indices)
        run_clean(script, exps)
        found.append((script, exps))
    return tuple(found)


def run_clean(script: Script, exps: dict[str, tuple[int, int]]) -> None:
    runner = Runner(script, exps)
    for message in script.messages:
        runner.take(message)
        symbol = message.symbol
        book = runner.hash(symbol) if symbol else 0
        script.clean.append((runner.feed.counters(), book, runner.unknown))
        script.live.append(symbol is not None and runner.feed.state(script.instruments[symbol]) == "LIVE")
    script.by_rest = frozenset(each.rest for each in script.messages if each.rest)
    script.drift = frozenset(runner.feed.drift())
    assert not runner.feed.counters()["went_stale"], script.name


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one trial."""

    what: str
    """A value of SIGNALS, `stale` (a fault after which the book is not live), `drift`, `unknown` (a message
    that Python counts by name), `same` (the book is what it was to be), `whole` (the next whole book mends
    it), `beyond` (of the levels of the checksum) or `silent`.
    """
    after: int
    """Messages of the book after the fault; 0 = with the message itself."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where faults can be tried, and what is sent instead by each."""

    at: int
    instead: dict[Trial, list[list[bytes]]]
    """Of `rename_side` one for each of `names`."""
    names: tuple[str, ...]
    """Those that tell a side in the message."""
    rank: int
    """Levels that are better than the best one of the message."""


def candidates(script: Script) -> list[int]:
    """Messages that change a live book, spread over the recording."""
    found: list[int] = []
    changes: dict[str, int] = {}
    hashes: dict[str, int] = {}
    for at, message in enumerate(script.messages):
        symbol, after = message.symbol, script.clean[at][1]
        if symbol is None or not script.live[at] or hashes.get(symbol) == after:
            continue
        hashes[symbol] = after
        changes[symbol] = changes.get(symbol, 0) + 1
        if changes[symbol] > SETTLED[symbol in script.by_rest] and len(message.data) <= BYTES_MAX:
            found.append(at)
    step = max(1, len(found) // CANDIDATES)
    return found[step // 2 :: step][:CANDIDATES]


@cache
def places(name: str, number: int) -> tuple[Place, ...]:
    """Of script `number` of a venue."""
    script, exps = scripts(name)[number]
    shapes = Shapes(script.venue)
    declared = {shape.name: shape for shape in script.venue.shapes if isinstance(shape, Shape)}
    for native, digits in exps.items():
        shapes.add(native, -digits[0], -digits[1])
    books: dict[str, RecordedBook] = {}
    chosen, found = set(candidates(script)), []
    left = Counter(message.symbol for message in script.messages if message.symbol)
    by_whole = Means.WHOLE in REFERENCES[name].means
    for at, message in enumerate(script.messages):
        symbol = message.symbol or message.rest
        if symbol is None:
            continue
        left[symbol] -= message.rest is None
        text, whole, rank = message.data.decode(), False, 0
        read = shapes.rest_book if message.rest else shapes.books
        for event in read(message.data, symbol) or ():
            shape = declared.get(shapes.shape or "")
            book = books.setdefault(symbol, RecordedBook(None if shape is None else shape.depth))
            book.apply(event, text, script.venue.printed(text))
            whole = whole or event["snapshot"]
            if at in chosen:
                rank = rank_of(books[symbol], event, shapes.scale(symbol)[0])
        if at not in chosen:
            continue
        instead: dict[Trial, list[list[bytes]]] = {"reorder": [[]]}
        for kind in get_args(MessageKind):
            texts = None if kind == "reorder" else hurt(Fault(kind=kind), text, books[symbol])
            if kind == "rename_field" and texts is None:
                price = re.escape(script.venue.printed(text).prices[0])
                key = re.search(rf'"(\w+)"\s*:\s*"?{price}', text)
                texts = None if key is None else hurt(Fault(kind=kind, field=key[1]), text, None)
            if texts is not None and texts != [text]:
                instead[kind] = [[each.encode() for each in texts]]
        names = () if (taker := declared.get(shapes.shape or "")) is None else side_names(taker)
        renamed = {name: hurt(Fault(kind="rename_field", field=name), text, None) for name in names}
        names = tuple(name for name, texts in renamed.items() if texts)
        if names:
            instead["rename_side"] = [
                [each.encode() for each in texts] for texts in renamed.values() if texts
            ]
        for needed, order in enumerate(IN_ORDER):
            if left[symbol] < needed or (whole and not by_whole):
                instead.pop(order, None)
        found.append(Place(at, instead, names, rank))
    return tuple(found)


def side_names(shape: Shape) -> tuple[str, ...]:
    """Keys without which a side cannot be read: of lists of levels, and of what tells the side in a row."""
    levels = shape.levels.keys() if isinstance(shape.levels, Mapping) else (shape.levels,)
    paths = [at.path if isinstance(at, ShapePlace) else at for at in (shape.bids, shape.asks, *levels)]
    if isinstance(shape.level, Mapping):
        told = ("side", "bid_", "ask_")
        paths += [path for name, path in shape.level.items() if name.startswith(told)]
    last = [path[-1] if isinstance(path, tuple) and path else path for path in paths]
    return tuple(key for key in last if isinstance(key, str))


def rank_of(book: RecordedBook, event: dict[str, Any], exp: int) -> int:
    """How many levels are better than the best one that a message changes."""
    ranks = []
    for number, (side, levels) in enumerate(zip(("bids", "asks"), book.levels(), strict=True)):
        changed = [Decimal(price).scaleb(exp) for price, _ in event[side]]
        if changed:
            best = min(changed) if number else max(changed)
            prices = [Decimal(price) for price, _ in levels]
            ranks.append(sum((price < best) if number else (price > best) for price in prices))
    return min(ranks, default=0)


def able(name: str, number: int, kind: Trial) -> list[Place]:
    """Places of script `number` of a venue where a fault is tried; other names of sides are other places."""
    found, counts = [], Counter[tuple[str, ...]]()
    for place in places(name, number):
        names = place.names if kind == "rename_side" else ()
        if kind in place.instead and counts[names] < TRIALS:
            counts[names] += 1
            found.append(place)
    return found


def tried(name: str, number: int, kind: Trial) -> list[Outcome]:
    """Outcomes of a fault in script `number` of a venue."""
    script, exps = scripts(name)[number]
    reach = REACH if Means.CHECKSUM in REFERENCES[name].means else {}
    found = []
    for place, instead in [(one, texts) for one in able(name, number, kind) for texts in one.instead[kind]]:
        outcome = trial(script, exps, kind, place.at, instead)
        is_beyond = outcome.what == "silent" and place.rank >= reach.get(name, 1_000_000)
        found.append(Outcome("beyond", outcome.after) if is_beyond else outcome)
    return found


def trial(
    script: Script, exps: dict[str, tuple[int, int]], kind: Trial, at: int, instead: Sequence[bytes]
) -> Outcome:
    runner = Runner(script, exps)
    for message in script.messages[:at]:
        runner.take(message)
    original = script.messages[at]
    symbol = original.symbol
    assert symbol is not None
    after, waits = 0, kind == "reorder"
    for data in instead:
        runner.take(original, data)
    if not waits and (what := noticed(runner, script, at, symbol)):
        return Outcome(what, 0)
    if not waits and kind != "drop" and runner.hash(symbol) == script.clean[at][1]:
        return Outcome("same", 0)
    for number, message in enumerate(script.messages[at + 1 : at + 1 + TAIL], start=at + 1):
        runner.take(message)
        if message.symbol == symbol:
            after += 1
            if waits:
                runner.take(original)
        if what := noticed(runner, script, number, symbol):
            return Outcome(what, after)
        if message.symbol == symbol and runner.hash(symbol) == script.clean[number][1]:
            if Means.WHOLE in REFERENCES[script.venue.name].means:
                return Outcome("whole", after)
            # Who drops what the next message says again, or changes places with it, leaves no trace.
            is_same = (kind, after) in {("drop", 1), ("reorder", 1), ("reorder", 2)}
            return Outcome("same" if is_same else "silent", after)
        waits = waits and message.symbol != symbol
    return Outcome("silent", after)


def noticed(runner: Runner, script: Script, number: int, symbol: str) -> str | None:
    """The surest signal that the run without fault has not at this message; `symbol` of the faulty one."""
    counters, clean = runner.feed.counters(), script.clean[number][0]
    for name, what in SIGNALS.items():
        if counters[name] > clean[name]:
            is_live = runner.feed.state(script.instruments[symbol]) == "LIVE"
            return what if what != "fault" or is_live else "stale"
    if runner.unknown > script.clean[number][2]:
        return "unknown"
    return "drift" if set(runner.feed.drift()) - script.drift else None
