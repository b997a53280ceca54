"""What every connected venue is held to, by its own captures: used by the tests of each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from core_events import Decoder, Reader
from outcrier.capture.format import read_capture
from outcrier.instruments import Catalogue, Instrument, decimal_exponent
from outcrier.venues import Venue
from outcrier.venues.base import Ack, Error, Request, Several
from outcrier.venues.exchange_side import Client
from plain_events import Bbo, Book, Event, Plain, Trade, hashed, parse


def bodies_of(data_dir: Path, *names: str) -> list[str]:
    """The answers in recorded lists, or in samples (`kraken/http_asset_pairs.json`)."""
    bodies: list[str] = []
    for name in names:
        path = data_dir / "captures" / f"{name}.jsonl.gz"
        if name.endswith(".json"):
            bodies.append((data_dir / "samples" / name).read_text())
        elif path.is_file():
            bodies += [line.text or "" for line in read_capture(path) if line.kind == "http"]
        else:
            pytest.skip(f"capture is missing: {path}")
    return bodies


def listed(venue: Venue, data_dir: Path) -> list[Instrument]:
    """Instruments of the venue's best recorded list; their names are one to one both ways."""
    instruments, _ = venue.parse_instruments(*bodies_of(data_dir, venue.instrument_lists[0]))
    catalogue = Catalogue(venue.name, instruments)
    for each in instruments:
        assert catalogue.by_native(each.native_symbol) is each
        assert catalogue.by_symbol(each.symbol) is each
        assert each.venue == venue.name
    return instruments


def named(venue: Venue, *natives: str) -> list[Instrument]:
    """Instruments that no list has, as a stand-in adds them."""
    entries = [venue.unlisted(native, Decimal("0.01"), Decimal("0.001")) for native in natives]
    instruments, faults = venue.parse_instruments(venue.with_entries(None, entries))
    assert faults == []
    assert [each.native_symbol for each in instruments] == list(natives)
    return instruments


# What the core reads, against a plain decoder.


def printed_by(events: Iterable[Event]) -> Iterable[tuple[str, list[Decimal], list[Decimal]]]:
    for event in events:
        match event:
            case Book():
                levels = [*event.bids, *event.asks]
                yield event.symbol, [price for price, _ in levels], [qty for _, qty in levels]
            case Trade():
                yield event.symbol, [event.price], [event.qty]
            case Bbo():
                sides = [side for side in (event.bid, event.ask) if side is not None]
                yield event.symbol, [side[0] for side in sides], [side[1] for side in sides]
            case _:
                pass


def check_contents(
    venue: Venue, frames: Sequence[bytes], decode: Plain, *, numbered: bool = False
) -> Counter[str]:
    """The core reads every frame as the plain decoder does and leaves to Python what that leaves; returns the
    kinds. `numbered`: each frame of the connection has the next number.
    """
    parsed = [parse(frame) for frame in frames]
    wanted = [None if (events := decode(message)) is None else hashed(events) for message in parsed]
    reader = Reader(venue.shapes_json)
    for symbol in dict.fromkeys(event.symbol for events in wanted for event in events or ()):
        reader.add(symbol)
    counts: Counter[str] = Counter()
    sequence: list[int | None] = []
    for frame, want in zip(frames, wanted, strict=True):
        outcome = reader.read(frame)
        sequence.append(reader.decoder.connection_seq)
        if want is None:
            assert outcome == Decoder.NOT_MINE, frame[:400]
            counts["for_python"] += 1
            continue
        assert outcome == Decoder.HANDLED, (frame[:400], reader.decoder.reason)
        assert reader.events() == want, frame[:400]
        counts.update(type(event).__name__.lower() for event in want)
    if numbered:
        assert sequence == list(range(len(frames)))
    check_printed(venue, frames, wanted)
    return counts


def check_printed(venue: Venue, frames: Sequence[bytes], wanted: Sequence[list[Event] | None]) -> None:
    """`Venue.printed` names the numbers that the exponents of books, trades and best prices must hold, and
    `stream_of` the instrument.
    """
    for frame, events in zip(frames, wanted, strict=True):
        books = [event for event in events or () if isinstance(event, Book | Trade)]
        if not books:
            continue
        said = venue.printed(frame)
        prices = [price for _, prices, _ in printed_by(books) for price in prices]
        quantities = [qty for _, _, quantities in printed_by(books) for qty in quantities]
        assert decimal_exponent(*map(Decimal, said.prices or ("0",))) == decimal_exponent(*prices, Decimal(0))
        assert decimal_exponent(*map(Decimal, said.quantities or ("0",))) == decimal_exponent(
            *quantities, Decimal(0)
        )
        assert {Decimal(price) for price in said.prices if Decimal(price)} == {*filter(None, prices)}
        stream = venue.stream_of(frame)
        assert stream is not None, frame[:400]
        assert venue.native_symbol_of(stream) == books[0].symbol
        named_channel = venue.channel_of(stream)
        assert named_channel is not None
        assert venue.channels[named_channel[0]].book == isinstance(books[0], Book)


# Streams and requests.


def check_streams(venue: Venue, instruments: Sequence[Instrument]) -> None:
    """A stream tells its channel and its symbol back, at every speed, and no two are alike."""
    seen: set[str] = set()
    for instrument in instruments:
        for name, channel in venue.channels.items():
            for speed in channel.speeds or ("",):
                if channel.whole_venue:
                    stream = venue.whole_venue_stream(channel)
                    assert venue.native_symbol_of(stream) is None
                else:
                    (stream,) = venue.streams(instrument, [name], {name: speed} if speed else {})
                    assert venue.native_symbol_of(stream) == instrument.native_symbol
                    assert stream not in seen
                    seen.add(stream)
                assert venue.channel_of(stream) == (name, speed)
    for junk in ("", ":", "nothing", "nothing:BTC-USD"):
        assert venue.channel_of(junk) is None
        assert venue.native_symbol_of(junk) is None


def default_streams(venue: Venue, instruments: Sequence[Instrument]) -> list[str]:
    own = [stream for each in instruments for stream in venue.streams(each, venue.default_channels, {})]
    whole = [venue.channels[name] for name in venue.default_channels if venue.channels[name].whole_venue]
    return own + [venue.whole_venue_stream(channel) for channel in whole]


def answered(venue: Venue, client: Client, requests: Iterable[Request]) -> list[str]:
    """What the exchange's side answers to requests; acknowledges as many as each promises, refuses none."""
    texts: list[str] = []
    for request in requests:
        answers = venue.exchange.on_text(client, request.text)
        acks = 0
        for answer in answers:
            stamped = venue.exchange.stamped(client, answer)
            client.sent += 1
            control = venue.control(stamped)
            each = control.controls if isinstance(control, Several) else (control,)
            assert not any(isinstance(one, Error) for one in each), (request.text[:300], stamped[:300])
            acks += sum(one.count for one in each if isinstance(one, Ack))
            texts.append(stamped)
        assert acks == request.acks, (request.text[:300], answers[:3])
    return texts


def check_requests(venue: Venue, instruments: Sequence[Instrument]) -> Client:
    """What is subscribed in parts and given up again is what the exchange's side has, at every step."""
    streams = default_streams(venue, instruments)
    half = len(streams) // 2
    client = Client(venue.route(streams[0]))
    assert venue.exchange.accepts(client.target)
    venue.exchange.greeting(client)
    answered(venue, client, venue.greeting())
    answered(venue, client, venue.subscribe(streams[:half]))
    assert set(client.streams) == set(streams[:half])
    answered(venue, client, venue.subscribe(streams[half:], streams[:half], number=500))
    assert set(client.streams) == set(streams)
    assert all(venue.exchange.wants(client, stream) for stream in streams)
    answered(venue, client, venue.unsubscribe(streams[:half], streams[half:], number=900))
    assert set(client.streams) == set(streams[half:])
    answered(venue, client, venue.subscribe(streams[:half], streams[half:], number=1000))
    assert set(client.streams) == set(streams)
    return client


# A book as a stand-in has it.


@dataclass
class TextBook:
    """`StandInBook` with numbers as printed, filled from the core's events."""

    last_id: int | None = None
    exchange_ns: int | None = None
    last: str = ""
    whole: str = ""
    bids: dict[Decimal, tuple[str, str]] = field(default_factory=dict)
    asks: dict[Decimal, tuple[str, str]] = field(default_factory=dict)

    def levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        return (
            [self.bids[price] for price in sorted(self.bids, reverse=True)],
            [self.asks[price] for price in sorted(self.asks)],
        )

    def plain(self) -> tuple[list[tuple[Decimal, Decimal]], ...]:
        return tuple([(Decimal(price), Decimal(qty)) for price, qty in side] for side in self.levels())

    def apply(self, event: Book, frame: bytes, depth: int | None = None) -> None:
        if event.snapshot:
            self.bids, self.asks = {}, {}
            self.whole = frame.decode()
        marks = iter(event.marks) if event.marks else None
        for side, levels in ((self.bids, event.bids), (self.asks, event.asks)):
            for price, qty in levels:
                digits = next(marks)[1:] if marks is not None else None
                side.pop(price, None)
                if qty:
                    texts = (f"{price:f}", f"{qty:f}")
                    if digits is not None:
                        texts = (f"{price:.{digits[0]}f}", f"{qty:.{digits[1]}f}")
                    side[price] = texts
        if depth is not None:
            self.bids = dict(sorted(self.bids.items(), reverse=True)[:depth])
            self.asks = dict(sorted(self.asks.items())[:depth])
        self.last, self.exchange_ns = frame.decode(), event.time
        self.last_id = event.last if event.last is not None else self.last_id


def books_of(frames: Iterable[bytes], decode: Plain, depth: int | None = None) -> dict[str, TextBook]:
    """The books after all frames, by native symbol, of the plain decoder: no core is in it."""
    books: dict[str, TextBook] = {}
    for frame in frames:
        for event in decode(parse(frame)) or ():
            if isinstance(event, Book):
                books.setdefault(event.symbol, TextBook()).apply(event, frame, depth)
    return books


def check_book_again(venue: Venue, client: Client, stream: str, book: TextBook, decode: Plain) -> list[Event]:
    """What a late subscriber of a book gets is read by the core as the very same book."""
    texts = [
        venue.exchange.stamped(client, text) for text in venue.exchange.on_subscribed(client, stream, book)
    ]
    assert texts, stream
    native = venue.native_symbol_of(stream)
    assert native is not None
    reader = Reader(venue.shapes_json)
    reader.add(native)
    found: list[Event] = []
    for text in texts:
        assert reader.read(text.encode()) == Decoder.HANDLED, (text[:300], reader.decoder.reason)
        assert reader.events() == hashed(decode(parse(text)) or [])
        assert venue.stream_of(text) == stream
        found += reader.events()
    again = [event for event in found if isinstance(event, Book)]
    assert again[0].snapshot
    made = TextBook()
    for event in again:
        made.apply(event, b"")
    assert made.plain() == book.plain()
    return found
