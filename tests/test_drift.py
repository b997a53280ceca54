"""Schema drift: recorded sessions hold nothing that the declarations do not know; a field that is renamed,
added or gone is counted by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core_events import Decoder, Reader
from feed_bench import Bench, Line, lines
from outcrier.shape_json import to_json
from outcrier.shapes import Envelope, TickerShape
from outcrier.venues import venue_by_name
from plain_events import parse, received
from test_venue_samples import FOLDERS, QUOTED, compare
from test_venue_shapes import SESSIONS, Session

CaptureFinder = Callable[[str], Path]

BINANCE = [
    "binance/spot_2021-10-12",
    "binance/spot_btcusdt_2024-08-08",
    "binance/spot_ethusdt_2024-08-08",
    "binance/spot_nexousdt_2024-07-23",
    "binance/spot_nexousdt_2024-07-24",
    "binance_coinm/coinm_2021-07-22",
    "binance_coinm/coinm_btcusd_perp_2024-08-08",
    "binance_tr/spot_2023-04-10",
    "binance_us/spot_2021-10-12",
    "binance_usdm/usdm_2021-07-22",
    "binance_usdm/usdm_btcusdt_2022-08-11",
    "binance_usdm/usdm_btcusdt_2024-08-08",
]
USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
SPOT = "binance/spot_btcusdt_2024-08-08"
AFTER, MESSAGES = 3_000, 6_000


@pytest.mark.parametrize("name", BINANCE)
def test_sessions_of_binance_hold_nothing_unknown(name: str, capture: CaptureFinder) -> None:
    bench = Bench(name.partition("/")[0])
    for line in lines(capture(name), most=40_000):
        bench.take(line, "BTCUSDT" if "usdm_btcusdt" in name else None)
    assert bench.feed.drift() == {}


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.capture)
def test_sessions_of_other_venues_hold_nothing_unknown(session: Session, capture: CaptureFinder) -> None:
    reader = Reader(session.shapes)
    handled = 0
    for frame in received(capture(session.capture)):
        outcome = reader.read(frame)
        while outcome == Decoder.UNKNOWN_INSTRUMENT and reader.decoder.reason not in reader.symbols:
            reader.add(reader.decoder.reason)
            outcome = reader.read(frame)
        if outcome == Decoder.NOT_MINE:
            message = parse(frame)
            if isinstance(message, dict) and "chanId" in message:
                if message["symbol"] not in reader.symbols:
                    reader.add(message["symbol"])
                reader.bind_all(message)
        handled += outcome == Decoder.HANDLED
    assert handled
    assert reader.decoder.drift() == {}


@pytest.mark.parametrize(("name", "quoted", "shapes", "decode"), QUOTED, ids=[each[0] for each in QUOTED])
def test_messages_that_the_fact_sheets_quote(
    name: str, quoted: list[str], shapes: str, decode: Callable[[], Any]
) -> None:
    reader = Reader(shapes)
    compare(reader, [text.encode() for text in quoted], decode())
    assert reader.decoder.drift() == {}, name


@pytest.mark.parametrize("venue", FOLDERS)
def test_the_samples_folder(venue: str, data_dir: Path) -> None:
    shapes, decode = FOLDERS[venue]
    reader = Reader(shapes)
    paths = sorted((data_dir / "samples" / venue).glob("ws_*.json"))
    compare(reader, [path.read_bytes() for path in paths], decode)
    assert reader.decoder.drift() == {}


def test_the_futures_samples_of_binance(data_dir: Path) -> None:
    reader = Reader(venue_by_name("binance_usdm").shapes_json)
    paths = sorted((data_dir / "samples" / "binance").glob("futures_market_data_json_*_stream*.json"))
    for path in paths:
        reader.add("BTCUSDT") if not reader.symbols else None
        assert reader.decoder.decode(1, path.read_bytes()) != Decoder.FAULT
    assert len(paths) == 9
    assert reader.decoder.drift() == {}


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


def remove_time(line: Line) -> bool:
    if is_kind(line, "@depth"):
        del line.message["data"]["T"]
    return is_kind(line, "@depth")


CHANGED: dict[str, tuple[Callable[[Line], bool], set[str], int]] = {
    "an optional field is renamed": (rename_aggressor, {"trade.maker", "trade.-m"}, 0),
    "a needed field is renamed": (rename_price, {"trade.price", "trade.-p"}, 1),
    "a field is added": (add_to_quotes, {"book_ticker.rpi"}, 0),
    "a field is added beside the payload": (add_beside_the_payload, {"book_ticker.seq"}, 0),
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
