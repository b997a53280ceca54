"""Nothing that a venue sends, however damaged, raises or panics: 20,000 damaged real messages of each venue
through the decoder, the feed, the venue and its exchange's side. What becomes of each is one of what is
documented, and a fault is counted and kept.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from conformance.mutation import DAMAGES, case_of, cases
from conformance.recordings import REFERENCES, recordings, samples_of
from conftest import captures_folder
from core_events import Decoder
from outcrier import _core
from outcrier.capture.format import read_capture
from outcrier.capture.library import read_session
from outcrier.capture.venue_replay import open_feed
from outcrier.instruments import to_core_kwargs
from outcrier.venues import VENUES, Venue, bitfinex
from outcrier.venues.base import Control
from outcrier.venues.exchange_side import Client
from venue_feeds import digits_seen

CASES = 20_000
"""Of each venue."""

LINES = 2_000
"""Of a recording: all kinds of its messages are among them."""

BYTES_MAX = 20_000
"""Longer messages are left out: 20,000 copies of a book of 1 MB take longer than they teach."""

OTHER_CASES = 200
"""Of each recording of an exchange without a connector."""

LISTS_CASES = 400
"""Of them by instrument lists and REST answers, cut to some entries."""

KEPT_BYTES = 4_096
"""A fault is kept with so much of its frame (docs/architecture.md)."""

OUTCOMES = {
    Decoder.HANDLED,
    Decoder.NOT_MINE,
    Decoder.UNKNOWN_INSTRUMENT,
    Decoder.NEEDS_FINER,
    Decoder.FAULT,
}


def messages_of(name: str) -> dict[str, list[bytes]]:
    """Messages of a venue, by recording; samples are one source more."""
    venue, borrowed = VENUES[name], REFERENCES[name].borrowed
    found: dict[str, list[bytes]] = {}
    for recording in recordings(name if borrowed is None else borrowed.venue):
        edit = borrowed.edit() if borrowed is not None else bytes
        lines = itertools.islice(read_session(recording.paths), LINES)
        kept = [edit(line.data) for line in lines if 0 < len(line.data) <= BYTES_MAX and line.kind == "recv"]
        found[str(recording)] = kept
    samples = [path.read_bytes() for path in samples_of(*REFERENCES[name].samples)]
    if samples:
        found["samples"] = [each for each in samples if len(each) <= BYTES_MAX] or samples[:1]
    assert venue.name == name
    return {source: messages for source, messages in found.items() if messages}


def answers_of(name: str) -> list[bytes]:
    """REST answers of a venue: instrument lists of some entries, books."""
    venue, reference = VENUES[name], REFERENCES[name]
    bodies = [path.read_bytes() for path in samples_of(*reference.lists)]
    for pattern in venue.instrument_lists:
        for path in sorted((captures_folder() / "captures").glob(f"{pattern}.jsonl.gz"))[:1]:
            bodies += [line.data for line in read_capture(path) if line.kind == "http"]
    natives = list(dict.fromkeys(natives_of(name)))[:3]
    entries = [entry_of(venue, native) for native in natives]
    bodies += [venue.with_entries(None, entries).encode()]
    return [body for body in bodies if len(body) <= BYTES_MAX]


def natives_of(name: str) -> Iterator[str]:
    venue = VENUES[name]
    for messages in messages_of(name).values():
        for data in messages:
            stream = venue.stream_of(data)
            native = None if stream is None else venue.native_symbol_of(stream)
            if native is not None:
                yield native


def entry_of(venue: Venue, native: str) -> str:
    return venue.unlisted(native, Decimal("0.01"), Decimal("0.001"))


class Subject:
    """One venue with everything that reads its messages."""

    def __init__(self, name: str, messages: list[bytes]) -> None:
        self.venue = VENUES[name]
        self.decoder = _core.Decoder(self.venue.shapes_json)
        self.publisher = _core.Publisher.memory()
        self.feed = open_feed(self.publisher, self.venue, session=1, publisher_id=1, first_ns=1)
        self.client = Client(self.venue.route(""))
        self.now_ns = 1
        self.indices: list[int] = []
        self.outcomes: Counter[tuple[str, str]] = Counter()
        digits = digits_seen(self.venue, messages)
        for number, (symbol, (price, qty)) in enumerate(digits.items(), start=1):
            entry = self.venue.unlisted(symbol, Decimal(1).scaleb(-price), Decimal(1).scaleb(-qty))
            listed, _ = self.venue.parse_instruments(self.venue.with_entries(None, [entry]))
            instrument = next((each for each in listed if each.native_symbol == symbol), None)
            if instrument is None:
                continue  # A sample of another product, or of a channel that is not about an instrument.
            self.decoder.add(symbol, -price, -qty)
            values = to_core_kwargs(instrument, number)
            self.indices.append(self.feed.add_instrument(**values, has_book=True, recv_ns=1))

    def follow(self, data: bytes) -> None:
        """The message as it was recorded: books are live when the next case comes."""
        self.now_ns += 1_000_000
        self.feed.on_frame(1, data, self.now_ns)
        self.feed.notices()
        self.publisher.take()

    def take(self, damage: str, data: bytes) -> None:
        outcome = self.decoder.decode(1, data)
        assert outcome in OUTCOMES
        if outcome == Decoder.FAULT:
            assert self.decoder.reason
        elif outcome == Decoder.HANDLED:
            self.decoder.events()
        before = self.feed.counters()
        bits = self.feed.on_frame(1, data, self.now_ns)
        after = self.feed.counters()
        faults = [text for kind, _, _, _, text in self.feed.notices() if kind == "FAULT"]
        self.publisher.take()
        assert after["faults"] - before["faults"] == len(faults)
        assert after["frames_in"] - before["frames_in"] == 1
        if faults:
            *_, (reason, _, _, kept) = self.feed.faults()
            assert reason
            assert kept == data[:KEPT_BYTES]
            self.outcomes[damage, "fault"] += 1
        elif bits & _core.FOR_PYTHON:
            assert after["for_python"] - before["for_python"] == 1
            assert isinstance(self.venue.control(data), Control)
            self.outcomes[damage, "for_python"] += 1
        elif after["unknown_instrument"] > before["unknown_instrument"]:
            self.outcomes[damage, "unknown_instrument"] += 1
        else:
            self.outcomes[damage, "handled"] += 1
        self.venue.control(data)
        self.read_by_python(data)

    def read_by_python(self, data: bytes) -> None:
        venue = self.venue
        stream = venue.stream_of(data)
        if stream is not None:
            venue.native_symbol_of(stream)
            venue.channel_of(stream)
        venue.printed(data)
        venue.exchange_time_ns(data)
        venue.is_snapshot(None, data)
        venue.snapshot_symbol(None, data)
        for answer in venue.exchange.on_text(self.client, data.decode(errors="replace")):
            venue.exchange.stamped(self.client, answer)
        if len(self.client.streams) > 100:
            self.client = Client(venue.route(""))

    def answer(self, data: bytes) -> None:
        """A damaged REST answer."""
        venue = self.venue
        instruments, faults = venue.parse_instruments(data)
        assert all(fault.reason for fault in faults)
        assert len({each.native_symbol for each in instruments}) == len(instruments)
        venue.detail_requests(data)
        for request in venue.instruments_requests():
            venue.next_page(request, data)
        if self.indices:
            self.feed.on_snapshot(self.indices[0], data, self.now_ns)
            self.feed.notices()
            self.publisher.take()
        self.read_by_python(data)


@contextmanager
def named(source: str, number: int) -> Iterator[None]:
    """A failure, a panic of the core too, says which case it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"case {number} of {source}")
        raise


@pytest.mark.parametrize("name", VENUES)
def test_no_damaged_message_raises_and_each_is_one_of_what_is_documented(name: str, data_dir: Path) -> None:
    del data_dir
    sources = messages_of(name)
    assert sources, f"{name} has neither recordings nor samples"
    subject = Subject(name, [data for messages in sources.values() for data in messages])
    done = 0
    for left, (source, messages) in zip(range(len(sources), 0, -1), sources.items(), strict=True):
        count = (CASES - LISTS_CASES - done) // left
        before = b""
        for number, damage, data, original in cases(source, messages, count):
            with named(source, number):
                if original is not before:
                    subject.follow(original)
                    before = original
                subject.take(damage, data)
        done += count
    for number, _, data, _ in cases(f"{name} REST", answers_of(name), LISTS_CASES):
        with named(f"{name} REST", number):
            subject.answer(data)
    assert subject.outcomes.total() == done == CASES - LISTS_CASES
    for each in DAMAGES:
        kinds = {kind for what, kind in subject.outcomes if what == each.__name__}
        assert "fault" in kinds, subject.outcomes
    assert len({kind for _, kind in subject.outcomes}) >= 3, subject.outcomes


def test_messages_of_every_other_exchange_harm_no_decoder(data_dir: Path) -> None:
    """Damaged and not: what is recorded of exchanges without a connector, through the declarations of all."""
    names = {
        each for venue in VENUES.values() for pattern in venue.captures for each in [pattern.split("/")[0]]
    }
    texts = [bitfinex.SHAPES_JSON, bitfinex.UNTIMED_SHAPES_JSON, *(v.shapes_json for v in VENUES.values())]
    decoders = [_core.Decoder(text) for text in texts]
    outcomes: Counter[int] = Counter()
    folders = [each for each in sorted((data_dir / "captures").iterdir()) if each.name not in names]
    assert folders
    for folder in folders:
        for path in sorted(folder.glob("*.jsonl.gz")):
            lines = itertools.islice(read_capture(path), LINES)
            messages = [line.data for line in lines if 0 < len(line.data) <= BYTES_MAX]
            source = f"{folder.name}/{path.name}"
            for number, _, damaged, original in cases(source, messages, OTHER_CASES if messages else 0):
                with named(source, number):
                    outcomes.update(
                        decoder.decode(1, data) for decoder in decoders for data in (damaged, original)
                    )
    assert set(outcomes) <= OUTCOMES
    assert outcomes[Decoder.FAULT]


def test_a_case_is_made_again_by_its_name() -> None:
    message = b'{"e":"trade","p":"24670.90"}'
    again = [case_of("binance/spot", number, message) for number in range(10)]
    assert again == [case_of("binance/spot", number, message) for number in range(10)]
    assert [name for name, _ in again[:5]] == [damage.__name__ for damage in DAMAGES]
    for name, damaged in again:
        sizes = {"cut": range(len(message)), "doubled": range(len(message) + 1, 2 * len(message) + 1)}
        assert name == "retyped" or len(damaged) in sizes.get(name, [len(message)])
    assert case_of("binance/other", 0, message) != again[0]
