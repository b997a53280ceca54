"""Reading captures: every kind of line, every kind of damage, and what is found beside a capture."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from outcrier.capture.contents import instrument_lists, instruments_of, scan
from outcrier.capture.format import CaptureLine, Pace, read_capture
from outcrier.capture.library import (
    CaptureGroup,
    data_folder,
    demo_groups,
    group_by_venue,
    read_session,
    venue_of,
)
from outcrier.errors import CaptureError, ConfigurationError
from outcrier.instruments import Instrument
from outcrier.venues import VENUES

CaptureFinder = Callable[[str], Path]


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    """A capture of our own making, plain text."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def test_every_kind_of_line(tmp_path: Path) -> None:
    path = write(
        tmp_path / "made.jsonl",
        {"t": 5, "k": "recv", "u": "wss://x", "d": 'a"ü'},
        {"t": None, "k": "send", "u": None, "d": "b"},
        {"t": 7, "k": "http", "u": "https://x/depth", "d": "c", "h": "{}"},
        {"t": 8, "k": "recv", "u": None, "b": "AP8="},
    )
    lines = list(read_capture(path))
    assert lines == [
        CaptureLine(5, "recv", "wss://x", 'a"ü'),
        CaptureLine(None, "send", None, "b"),
        CaptureLine(7, "http", "https://x/depth", "c"),
        CaptureLine(8, "recv", None, None, b"\x00\xff"),
    ]
    assert [line.data for line in lines] == ['a"ü'.encode(), b"b", b"c", b"\x00\xff"]
    packed = tmp_path / "made.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert list(read_capture(packed)) == lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "truncated|unexpected|cut off|Input data"),
        ('{"k":"recv","d":"x"', "cut off|truncated"),
        ("[]", "Expected `object`"),
        ('{"k":"recv","d":"x","z":1}', "unknown field `z`"),
        ('{"t":1,"d":"x"}', "missing required field `k`"),
        ('{"t":1,"k":"push","d":"x"}', "'push'"),
        ('{"t":"1","k":"recv","d":"x"}', "Expected `int | null`"),
        ('{"t":1,"k":"recv"}', "either d or b"),
        ('{"t":1,"k":"recv","d":"x","b":"AA=="}', "either d or b"),
        ('{"t":1,"k":"recv","b":"@"}', "key b"),
        ('{"t":-1,"k":"recv","d":"x"}', "t -1 is no time"),
        ('{"t":9223372036854775807,"k":"recv","d":"x"}', "is no time"),
        ('{"t":99999999999999999999,"k":"recv","d":"x"}', "is no time"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(text: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path / "made.jsonl", {"t": 1, "k": "recv", "d": "x"}, text)
    lines = read_capture(path)
    assert next(lines).text == "x"
    with pytest.raises(CaptureError, match=rf"made\.jsonl:2: .*({words})"):
        next(lines)


def test_bytes_that_are_no_text_are_named_too(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    path.write_bytes(b'{"t":1,"k":"recv","d":"\xff"}\n')
    with pytest.raises(CaptureError, match=r"made\.jsonl:1: "):
        list(read_capture(path))


def test_damaged_gzip_is_told_from_damaged_lines(capture: CaptureFinder, tmp_path: Path) -> None:
    whole = capture("binance/spot_2021-10-12").read_bytes()
    cut = tmp_path / "cut.jsonl.gz"
    for size in (len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:size])
        with pytest.raises(CaptureError, match=r"cut\.jsonl\.gz:\d+: the gzip file is truncated"):
            list(read_capture(cut))
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 0x55
    cut.write_bytes(broken)
    with pytest.raises(CaptureError, match=r"cut\.jsonl\.gz:\d+: "):
        list(read_capture(cut))
    with pytest.raises(CaptureError, match="No such file"):
        list(read_capture(tmp_path / "none.jsonl"))
    with pytest.raises(CaptureError, match="directory"):
        list(read_capture(tmp_path))


def test_lines_without_a_time_are_ten_milliseconds_apart() -> None:
    times: list[int | None] = [None, None, 1_000, 5_000_000, None, 4_000, 40_000_000]
    pace = Pace()
    offsets = [pace.offset_ns(CaptureLine(time, "recv", None, "")) for time in times]
    assert offsets == [0, 10_000_000, 10_000_000, 14_999_000, 24_999_000, 24_999_000, 49_999_000]


# What belongs to a capture.


def test_the_venue_comes_from_the_flag_the_manifest_or_the_folder(
    capture: CaptureFinder, tmp_path: Path
) -> None:
    path = capture("binance_usdm/usdm_btcusdt_2022-08-11")
    assert venue_of([path]) is VENUES["binance_usdm"]
    assert venue_of([path], "binance_coinm") is VENUES["binance_coinm"]
    folder = tmp_path / "captures" / "binance_us"
    folder.mkdir(parents=True)
    made = write(folder / "x.jsonl")
    assert venue_of([made]) is VENUES["binance_us"]
    entry = {"path": "captures/binance_us/x.jsonl", "exchange": "binance_tr"}
    (tmp_path / "MANIFEST.json").write_text(json.dumps([entry]))
    assert venue_of([made]) is VENUES["binance_tr"]
    (tmp_path / "MANIFEST.json").write_text("{")
    with pytest.raises(CaptureError, match=r"MANIFEST\.json"):
        venue_of([made])
    stray = write(tmp_path / "stray.jsonl")
    with pytest.raises(ConfigurationError, match=r"is no venue that is played here.*--venue"):
        venue_of([stray])
    with pytest.raises(CaptureError, match="no such capture"):
        venue_of([tmp_path / "none"])
    with pytest.raises(ConfigurationError, match="unknown venue 'binanse'"):
        venue_of([path], "binanse")
    # Of an exchange with two protocols, in a file that no pattern takes: only a recording tells which.
    folder = tmp_path / "captures" / "coinbase"
    folder.mkdir()
    (tmp_path / "MANIFEST.json").unlink()
    with pytest.raises(ConfigurationError, match=r"several venues: coinbase, coinbase_exchange; .*--venue"):
        venue_of([write(folder / "cut.jsonl")])
    assert venue_of([write(folder / "coinbase_conn1_20261121T154637Z.jsonl")]) is VENUES["coinbase"]
    spot = capture("binance/spot_2021-10-12")
    with pytest.raises(ConfigurationError, match="captures of several venues: binance, binance_usdm"):
        venue_of([path, spot])
    assert group_by_venue([path, spot, path]) == [
        CaptureGroup("binance_usdm", (path, path)),
        CaptureGroup("binance", (spot,)),
    ]


def test_the_data_folder_is_named_or_beside_the_repository(data_dir: Path, tmp_path: Path) -> None:
    assert data_folder({"OUTCRIER_DATA": str(data_dir)}) == data_dir
    with pytest.raises(
        ConfigurationError,
        match=r"OUTCRIER_DATA=.*is not a folder; name one that holds captures/VENUE/\*\.jsonl\.gz",
    ):
        data_folder({"OUTCRIER_DATA": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "empty, no received message"),
        ([{"t": 1, "k": "send", "d": "{}"}], "no received message"),
        ([{"t": 1, "k": "http", "u": "https://x/api/v3/exchangeInfo", "d": "{}"}], "no received message"),
    ],
)
def test_a_capture_without_a_received_message_is_refused(
    lines: list[dict[str, Any]], words: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "made.jsonl", *lines)
    with pytest.raises(CaptureError, match=rf"made\.jsonl: .*{words}"):
        scan(VENUES["binance"], [path])
    full = write(tmp_path / "full.jsonl", {"t": 1, "k": "recv", "d": "{}"})
    assert scan(VENUES["binance"], [path, full]).lines == len(lines) + 1


def test_a_scan_tells_streams_symbols_and_books(capture: CaptureFinder) -> None:
    venue = VENUES["binance_tr"]
    found = scan(venue, [capture("binance_tr/spot_2023-04-10")])
    assert found.lines == 142
    assert found.first_ns == 1_681_154_040_043_006_400
    assert set(found.symbols) == {"XEMUSDT", "LTCBRL", "BELBTC", "ELFBUSD"}
    assert found.books == ("XEMUSDT", "LTCBRL", "BELBTC"), "the fourth has neither book nor change"
    assert sum(found.streams.values()) == 139
    assert {stream.partition("@")[2] for stream in found.streams} == {"depth@100ms", "bookTicker", "kline_1m"}
    # 2024: the REST book has no URL and names no symbol, so it is that of the only one.
    single = scan(VENUES["binance"], [capture("binance/spot_btcusdt_2024-08-08")])
    assert (single.symbols, single.books, single.only) == (("BTCUSDT",), ("BTCUSDT",), ("BTCUSDT",))


ALL = {
    "binance": ("spot_2021-10-12", "spot_btcusdt_2024-08-08", "spot_ethusdt_2024-08-08"),
    "binance_us": ("spot_2021-10-12",),
    "binance_tr": ("spot_2023-04-10",),
    "binance_usdm": ("usdm_2021-07-22", "usdm_btcusdt_2022-08-11"),
    "binance_coinm": ("coinm_2021-07-22", "coinm_btcusd_perp_2024-08-08"),
}


def instruments_beside(venue: str, *paths: Path, given: Path | None = None) -> dict[str, Instrument]:
    found = scan(VENUES[venue], paths)
    instruments = instruments_of(VENUES[venue], paths, found, given)
    assert tuple(each.native_symbol for each in instruments) == found.symbols
    return {each.native_symbol: each for each in instruments}


@pytest.mark.parametrize(("venue", "name"), [(venue, name) for venue, names in ALL.items() for name in names])
def test_instruments_are_those_of_the_list_beside_the_capture(
    venue: str, name: str, capture: CaptureFinder
) -> None:
    for instrument in instruments_beside(venue, capture(f"{venue}/{name}")).values():
        assert "/" in instrument.symbol, "listed, so its parts are known"
        assert instrument.tick_size > 0


def test_what_no_list_holds_comes_from_what_is_printed(capture: CaptureFinder, tmp_path: Path) -> None:
    path = capture("binance/spot_nexousdt_2024-07-23")
    nexo = instruments_beside("binance", path)["NEXOUSDT"]
    assert nexo.symbol == nexo.native_symbol == "NEXOUSDT"
    prices: set[Decimal] = set()
    for line in read_capture(path):
        data = json.loads(line.text or "")
        data = data.get("data", data)
        for side in (data.get("bids", []), data.get("asks", [])):
            prices.update(Decimal(price) for price, _ in side)
    finest = min(int(price.normalize().as_tuple().exponent) for price in prices)
    assert nexo.tick_size == Decimal(1).scaleb(finest) == Decimal("0.001")
    # Alone in a folder, without any list.
    alone = tmp_path / path.name
    alone.write_bytes(path.read_bytes())
    assert instruments_beside("binance", alone)["NEXOUSDT"] == nexo
    # The list as the exchange would answer has the listed ones and this one.
    venue = VENUES["binance"]
    found = scan(venue, [path])
    instruments, faults = venue.parse_instruments(*instrument_lists(venue, [path], found).values())
    assert (len(instruments), faults) == (1696, [])


def test_a_given_list_wins_and_may_be_the_answer_itself(capture: CaptureFinder, tmp_path: Path) -> None:
    path = capture("binance_usdm/usdm_btcusdt_2022-08-11")
    venue = VENUES["binance_usdm"]
    body = venue.with_entries(None, [venue.unlisted("BTCUSDT", Decimal("0.5"), Decimal("0.25"))])
    given = tmp_path / "list.json"
    given.write_text(body)
    assert instruments_beside("binance_usdm", path, given=given)["BTCUSDT"].tick_size == Decimal("0.5")
    recorded = write(tmp_path / "list.jsonl", {"t": 1, "k": "http", "u": None, "d": body})
    assert instruments_beside("binance_usdm", path, given=recorded)["BTCUSDT"].lot_size == Decimal("0.25")
    empty = write(tmp_path / "empty.jsonl")
    with pytest.raises(CaptureError, match="holds no REST answer"):
        instruments_beside("binance_usdm", path, given=empty)
    with pytest.raises(CaptureError, match="none"):
        instruments_beside("binance_usdm", path, given=tmp_path / "none.json")


@pytest.mark.parametrize("text", ["{}", "nope", "[1]", '{"symbols":3}', '{"symbols":[{}]}', ""])
def test_a_list_that_is_none_is_named(text: str, capture: CaptureFinder, tmp_path: Path) -> None:
    given = tmp_path / "list.json"
    given.write_text(text)
    with pytest.raises(CaptureError, match=rf"{given}: no instrument list of binance_usdm: ") as caught:
        instruments_beside("binance_usdm", capture("binance_usdm/usdm_btcusdt_2022-08-11"), given=given)
    assert caught.value.exit_code == 3


def test_captures_of_one_session_are_read_in_the_order_of_time(capture: CaptureFinder) -> None:
    paths = [capture(f"binance/spot_{coin}usdt_2024-08-08") for coin in ("btc", "eth")]
    times = [line.time_ns or 0 for line in read_session(paths)]
    assert times == sorted(times)
    assert len(times) == 41_249 + 33_618
    # Neither file's REST book names a symbol: each is about its own file's only one.
    found = scan(VENUES["binance"], paths)
    assert found.only == ("BTCUSDT", "ETHUSDT")
    assert set(found.books) == {"BTCUSDT", "ETHUSDT"}


def test_the_demo_plays_the_busiest_of_the_newest_day(data_dir: Path) -> None:
    groups = demo_groups(data_dir)
    assert [group.venue for group in groups][:3] == ["binance_usdm", "binance", "binance_coinm"]
    assert len(groups) <= 5
    for group in groups:
        venue = VENUES[group.venue]
        assert not venue.old_dialect
        # Each start cuts the connections of the others: they are long.
        assert venue.exchange.restarts_books or venue.name.startswith("binance")
    assert [path.name for path in groups[1].paths] == [
        "spot_btcusdt_2024-08-08.jsonl.gz",
        "spot_ethusdt_2024-08-08.jsonl.gz",
    ]
    assert demo_groups(data_dir / "captures") == []
