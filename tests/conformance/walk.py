"""One way through a recording: each line through the plain decoder, and beside it through a whole feed to a
receiver. Checks look at every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from conformance.recordings import Recording
from core_events import Decoder, Reader
from outcrier import _core
from outcrier.capture.contents import instrument_lists, message_text, scan
from outcrier.capture.format import CaptureLine
from outcrier.capture.library import read_session
from outcrier.capture.venue_replay import VenueReplay, open_feed
from outcrier.instruments import Instrument, to_core_kwargs
from plain_events import LIQUIDATION, Book, Event, Level, Trade, hashed, parse
from venue_sessions import exponent

STEP_NS = 200_000
"""Between two frames at the receiver: shorter than it waits for those that are missing."""

PRINTED = 20_000
"""Events of a recording for which the venue's own reading of a message is compared."""

FINEST = Decimal("1e-8")

BOOK_MESSAGES = frozenset({"BOOK_SNAPSHOT", "BOOK_DELTA"})


@dataclass(frozen=True, slots=True)
class Step:
    """One message of the venue."""

    line: CaptureLine
    data: bytes
    message: Any
    events: list[Event] | None
    """What the plain decoder says; None = for Python."""
    is_rest: bool
    frames: list[dict[str, Any]]
    """What left the feed on the incremental plane."""

    @property
    def books(self) -> list[Book]:
        return [event for event in self.events or () if isinstance(event, Book)]


@dataclass
class Walk:
    """The feed and what it hears."""

    recording: Recording
    decode: Any = None
    now_ns: int = 1_000_000_000
    by_id: dict[int, str] = field(default_factory=dict)
    """Native symbols by wire id."""

    def __post_init__(self) -> None:
        recording = self.recording
        venue, paths = recording.venue, recording.paths
        self.found = scan(venue, paths)
        lists = instrument_lists(venue, paths, self.found)
        listed = {each.native_symbol: each for each in venue.parse_instruments(*lists.values())[0]}
        for name in recording.names:
            # As if the list, of another day, had them not.
            for symbol in recording.reference.resized.get(name, ()):
                entry = venue.unlisted(symbol, FINEST, FINEST)
                (listed[symbol],), _ = venue.parse_instruments(venue.with_entries(None, [entry]))
        self.instruments: list[Instrument] = [listed[symbol] for symbol in self.found.symbols]
        self.publisher = _core.Publisher.memory()
        self.feed = open_feed(self.publisher, venue, session=1, publisher_id=1, first_ns=self.found.first_ns)
        ids = {each.native_symbol: number for number, each in enumerate(self.instruments, start=1)}
        self.by_id = {number: native for native, number in ids.items()}
        self.replay = VenueReplay(self.feed, venue, self.instruments, self.found, ids)
        self.indices = {each.native_symbol: index for index, each in enumerate(self.instruments)}
        self.receiver = _core.Receiver(accept_replay=True)
        self.decode = recording.reference.plain()
        self.definitions = [frame for frame in self.carried() if frame["msg"] == "INSTRUMENT_DEF"]

    def carried(self) -> list[dict[str, Any]]:
        """Takes what has left to the receiver."""
        found: list[dict[str, Any]] = []
        for plane, frame in self.publisher.take():
            self.now_ns += STEP_NS
            self.receiver.datagram(plane, frame, 0, self.now_ns)
            self.receiver.timer(self.now_ns)
            if plane == 0:
                whole = _core.decode_frame(frame)
                found += whole.get("messages") or [whole]
        return found

    def steps(self) -> Iterator[Step]:
        venue, rest = self.recording.venue, self.recording.reference.rest
        for line in read_session(self.recording.paths):
            text = message_text(line)
            if text is None or line.kind == "send":
                continue
            is_rest = line.kind == "http"
            if is_rest and not venue.is_snapshot(line.url, text):
                continue
            message = parse(text) if text[:1] in "{[" else text
            events: list[Event] | None
            if is_rest:
                symbol = self.found.book_symbol(venue, line)
                assert rest is not None, "a book by REST that the reference does not know"
                assert symbol is not None
                events = [rest(message, symbol)]
            else:
                events = self.decode(message)
            self.replay.take(line)
            yield Step(line, line.data, message, events, is_rest, self.carried())

    def state(self, symbol: str) -> str:
        return self.feed.state(self.indices[symbol])

    def received_book(self, symbol: str) -> tuple[dict[Decimal, Decimal], ...]:
        """The book that the receiver has."""
        venue, number = self.recording.venue.number, self.indices[symbol] + 1
        info = self.receiver.book_info(venue, number)
        exps = info["price_exp"], info["qty_exp"]
        return tuple(
            {Decimal(int(price)).scaleb(exps[0]): Decimal(int(qty)).scaleb(exps[1]) for price, qty in side}
            for side in self.receiver.book(venue, number)
        )


def pairs_of(event: Book | Trade) -> list[Level]:
    return [*event.bids, *event.asks] if isinstance(event, Book) else [(event.price, event.qty)]


def is_forced(event: Book | Trade) -> bool:
    return isinstance(event, Trade) and bool(event.flags & LIQUIDATION)


class Contents:
    """The core reads of every message what the plain decoder says, and leaves to Python what that one leaves;
    `printed` and `stream_of` tell the same numbers and the same instrument.
    """

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.reader = Reader(walk.recording.venue.shapes_json)
        for each in walk.instruments:
            values = to_core_kwargs(each, 1)
            self.reader.add(each.native_symbol, (values["price_exp"], values["qty_exp"]))
        self.events = self.for_python = 0

    def take(self, step: Step) -> None:
        reader, data = self.reader, step.data
        if step.is_rest:
            (book,) = step.books
            index = reader.symbols.index(book.symbol)
            assert reader.read_rest(index, data) == Decoder.HANDLED, (data[:400], reader.decoder.reason)
            assert reader.events() == [book]
            return
        number = self.walk.recording.reference.connection_number(step.message)
        outcome = reader.read(data)
        assert reader.decoder.connection_seq == number
        if step.events is None:
            assert outcome == Decoder.NOT_MINE, data[:400]
            self.for_python += 1
            return
        wanted = [event for event in step.events if event.symbol in self.walk.indices]
        if wanted or not step.events:
            assert outcome == Decoder.HANDLED, (data[:400], reader.decoder.reason)
            assert reader.events() == hashed(wanted), data[:400]
        else:
            assert outcome == Decoder.UNKNOWN_INSTRUMENT
        self.events += len(wanted)
        if self.events < PRINTED:
            self._printed(step)

    def _printed(self, step: Step) -> None:
        """What the venue says without a decoder, of books and trades."""
        events = [
            each for each in step.events or () if isinstance(each, Book | Trade) and not is_forced(each)
        ]
        if not events:
            return
        venue, text = self.walk.recording.venue, step.data
        said, stream = venue.printed(text), venue.stream_of(text)
        assert stream is not None, text[:400]
        symbol, channel = venue.native_symbol_of(stream), venue.channel_of(stream)
        assert symbol in {event.symbol for event in events}
        levels = [pair for event in events for pair in pairs_of(event)]
        assert exponent(*map(Decimal, said.prices)) == exponent(*(price for price, _ in levels))
        assert exponent(*map(Decimal, said.quantities)) == exponent(*(qty for _, qty in levels))
        if channel is not None:  # A stream that was recorded may be one that is not subscribed here.
            assert venue.channels[channel[0]].book == isinstance(events[0], Book)

    def end(self) -> None:
        assert self.events, "nothing was read"
        counters = self.walk.feed.counters()
        assert counters["faults"] == 0, self.walk.feed.faults()[:3]
        assert counters["for_python"] == self.for_python
