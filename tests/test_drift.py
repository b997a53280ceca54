"""Schema drift: recorded sessions hold nothing that the declarations do not know; a field that is renamed,
added or gone is counted by name.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from conftest import captures_folder
from core_events import Decoder, Reader
from feed_bench import Bench, Line, lines
from outcrier.shape_json import to_json
from outcrier.shapes import Envelope, TickerShape
from outcrier.venues import VENUES, Venue, bitfinex
from outcrier.venues.base import Several, Unknown
from plain_events import received

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
SPOT = "binance/spot_btcusdt_2024-08-08"
AFTER, MESSAGES = 3_000, 6_000
RECORDED_MAX = 40_000
"""Messages of a capture that are read: a file with more is as even as it is long."""


class Heard:
    """A venue's declaration at work on its messages; instruments are added as they appear."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.reader = Reader(venue.shapes_json)
        self.handled = 0
        self.unknown: Counter[str] = Counter()

    def take(self, message: bytes) -> None:
        outcome = self.reader.read(message)
        while outcome == Decoder.UNKNOWN_INSTRUMENT and self.add_from(message):
            outcome = self.reader.read(message)
        assert outcome in {Decoder.HANDLED, Decoder.NOT_MINE}, (self.reader.decoder.reason, message[:400])
        self.handled += outcome == Decoder.HANDLED
        if outcome == Decoder.NOT_MINE:
            control = self.venue.control(message)
            each = control.controls if isinstance(control, Several) else (control,)
            self.unknown.update(said.name for said in each if isinstance(said, Unknown))

    def add_from(self, message: bytes) -> bool:
        """Adds the instrument that the message is about; whether there was one to add."""
        stream = self.venue.stream_of(message)
        # What the core calls it is the whole text where the symbol is a piece of one.
        names = (stream and self.venue.native_symbol_of(stream), self.reader.decoder.reason)
        new = next((name for name in names if name and name not in self.reader.symbols), None)
        if new is not None:
            self.reader.add(new)
        return new is not None

    def check(self) -> None:
        """Everything was known."""
        assert self.reader.decoder.drift() == {}
        assert self.unknown == {}


def found(folder: Path, patterns: Iterable[str], ending: str) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(f"{pattern}{ending}"))


def recordings() -> list[Any]:
    """Every capture of every venue, by folder and name; its patterns where there is none, to be skipped."""
    folder = captures_folder() / "captures"
    names = {
        venue: [
            f"{path.parent.name}/{path.name.partition('.')[0]}"
            for path in found(folder, venue.captures, ".jsonl.gz")
        ]
        for venue in VENUES.values()
    }
    return [
        pytest.param(venue, name, id=f"{venue.name}-{name}")
        for venue, recorded in names.items()
        for name in recorded or venue.captures
    ]


@pytest.mark.parametrize(("venue", "name"), recordings())
def test_recorded_sessions_hold_nothing_unknown(venue: Venue, name: str, capture: CaptureFinder) -> None:
    heard = Heard(venue)
    for message in islice(received(capture(name)), RECORDED_MAX):
        heard.take(message)
    heard.check()
    assert heard.handled


def test_a_recorded_session_without_connector_holds_nothing_unknown(capture: CaptureFinder) -> None:
    reader = Reader(bitfinex.UNTIMED_SHAPES_JSON)
    handled = 0
    for frame in received(capture("bitfinex/v2_2021-04-17")):
        outcome = reader.read(frame)
        handled += outcome == Decoder.HANDLED
        if outcome == Decoder.NOT_MINE:
            message = json.loads(frame)
            if isinstance(message, dict) and "chanId" in message:
                if message["symbol"] not in reader.symbols:
                    reader.add(message["symbol"])
                reader.bind_all(message)
    assert handled > 1_000
    assert reader.decoder.drift() == {}


def samples() -> list[Any]:
    """Every channel with documented messages, "" for acknowledgements and the like."""
    return [
        pytest.param(venue, channel, id=f"{venue.name}-{channel}")
        for venue in VENUES.values()
        for channel in venue.samples
    ]


@pytest.mark.parametrize(("venue", "channel"), samples())
def test_documented_messages_hold_nothing_unknown(venue: Venue, channel: str, data_dir: Path) -> None:
    heard = Heard(venue)
    for pattern in venue.samples[channel]:
        paths = found(data_dir / "samples", [pattern], "")
        assert paths, pattern
        for path in paths:
            text = path.read_bytes()
            heard.take(gzip.decompress(text) if path.suffix == ".gz" else text)
    heard.check()
    assert channel in {*venue.channels, ""}
    assert bool(heard.handled) == (channel not in {"", "instruments", "instrument"})


def test_every_capture_of_a_connected_exchange_is_somebodys(data_dir: Path) -> None:
    """A recording beside those of a venue that no pattern names would be held to nothing."""
    folder = data_dir / "captures"
    claimed = {path for venue in VENUES.values() for path in found(folder, venue.captures, ".jsonl.gz")}
    beside = {path for each in claimed for path in each.parent.glob("*.jsonl.gz")}
    others = {path.name for path in beside - claimed if "instruments" not in path.name}
    # Trimmed by hand: its last messages do not follow each other.
    assert others <= {"ssc2ce_dump_2020-06.jsonl.gz"}


# Recorded frames of another schema.


def is_kind(line: Line, stream: str) -> bool:
    return line.kind == "recv" and stream in line.message["stream"]


def renamed(line: Line, old: str, new: str) -> None:
    data = line.message["data"]
    line.message["data"] = {new if key == old else key: value for key, value in data.items()}


def rename_aggressor(line: Line) -> bool:
    if is_kind(line, "@trade"):
        renamed(line, "m", "maker")
    return is_kind(line, "@trade")


def rename_price(line: Line) -> bool:
    if is_kind(line, "@trade"):
        renamed(line, "p", "price")
    return is_kind(line, "@trade")


def add_to_quotes(line: Line) -> bool:
    if is_kind(line, "@bookTicker"):
        line.message["data"]["rpi"] = {"b": "1", "a": [1, {"x": 2}]}
    return is_kind(line, "@bookTicker")


def add_beside_the_payload(line: Line) -> bool:
    if is_kind(line, "@bookTicker"):
        line.message["seq"] = 1
    return is_kind(line, "@bookTicker")


def add_to_levels(line: Line) -> bool:
    if is_kind(line, "@depth"):
        for side in "ba":
            line.message["data"][side] = [[*level, "3"] for level in line.message["data"][side]]
    return is_kind(line, "@depth")


def rename_side(line: Line) -> bool:
    if is_kind(line, "@depth"):
        renamed(line, "b", "bids")
    return is_kind(line, "@depth")


def remove_time(line: Line) -> bool:
    if is_kind(line, "@depth"):
        del line.message["data"]["T"]
    return is_kind(line, "@depth")


CHANGED: dict[str, tuple[Callable[[Line], bool], set[str], int]] = {
    "an optional field is renamed": (rename_aggressor, {"trade.maker", "trade.-m"}, 0),
    "a needed field is renamed": (rename_price, {"trade.price", "trade.-p"}, 1),
    "a field is added": (add_to_quotes, {"book_ticker.rpi"}, 0),
    "a field is added beside the payload": (add_beside_the_payload, {"book_ticker.seq"}, 0),
    "one side of the book is renamed": (rename_side, {"depth.bids", "depth.-b"}, 1),
    "levels are longer": (add_to_levels, {"depth.b.*.2", "depth.a.*.2"}, 0),
    "an optional field is gone": (remove_time, {"depth.-T"}, 0),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_changes_is_named(name: str, capture: CaptureFinder) -> None:
    change, names, is_fault = CHANGED[name]
    bench = Bench("binance_usdm")
    changed = 0
    # Rows of levels are within one form: seen in one of 1,024 books.
    messages = 25_000 if name == "levels are longer" else MESSAGES
    for number, line in enumerate(lines(capture(USDM), most=messages)):
        if number > AFTER and change(line):
            changed += 1
            bench.feed.on_frame(1, json.dumps(line.message, separators=(",", ":")).encode(), line.t)
            if name != "levels are longer":
                # A frame of another form is looked at at once.
                assert set(bench.feed.drift()) == names
            continue
        bench.take(line, "BTCUSDT")
        if changed == 0:
            assert bench.feed.drift() == {}
    assert changed > 100
    assert set(bench.feed.drift()) == names
    assert bench.feed.counters()["faults"] == is_fault * changed


def test_a_field_of_few_frames_is_named_at_once(capture: CaptureFinder) -> None:
    bench = Bench("binance")
    odd = 0
    for number, line in enumerate(lines(capture(SPOT), most=MESSAGES)):
        if is_kind(line, "@bookTicker") and number > AFTER and number % 500 == 0:
            odd += 1
            line.message["data"][f"odd{odd}"] = 1
            line.text = json.dumps(line.message, separators=(",", ":"))
        bench.take(line, "BTCUSDT")
    assert odd > 2
    assert bench.feed.drift() == {f"book_ticker.odd{number}": 1 for number in range(1, odd + 1)}


def names(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b'{"s":"AB","c":"1","%s%d":1}' % (b"x" * 200 if number == 0 else b"key", number)


def test_names_are_bounded() -> None:
    shape = TickerShape(name="ticker", instrument="s", last="c", known=(("t", "u"),))
    reader = Reader(to_json([shape], envelope=Envelope("data", optional=True)))
    reader.add("AB")
    for _ in range(100):
        assert reader.read(b'{"s":"AB","c":"1","t":{"u":{"anything":1}}}') == Decoder.HANDLED
    assert reader.decoder.drift() == {}
    # Each has a form of its own; what goes a track between them lets them be looked at.
    for frame in names(400):
        assert reader.read(b'{"s":"AB","c":"1","t":{"u":{"anything":1}}}') == Decoder.HANDLED
        assert reader.read(frame) == Decoder.HANDLED
    drift = reader.decoder.drift()
    assert len(drift) == 257
    assert drift["other"] > 100
    assert max(map(len, drift)) == 128
    assert drift["ticker.key7"] == 1
    assert reader.read(b'{"s":"AB","c":"1","t":{"v":1}}') == Decoder.HANDLED
