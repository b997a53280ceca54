"""Replays: through the real venue and core, in memory; time only where pace is what is tested."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from naive import NaiveBook
from outcrier import _core
from outcrier.capture.format import read_capture
from outcrier.capture.library import CaptureGroup, read_session
from outcrier.capture.replay import Options, Replay, ReplaySummary, replay_into
from outcrier.cli.replay import as_text
from outcrier.clock import mono_ns
from outcrier.errors import ConfigurationError
from outcrier.feeder.state import VenueState

CaptureFinder = Callable[[str], Path]

REPLAY_FLAG = 1 << 7

# Captures, venue, diffs, books that end live: each replays without a gap (the manifest's `verified`).
SESSIONS: list[tuple[tuple[str, ...], str, int]] = [
    (("binance/spot_2021-10-12",), "binance", 4),
    (("binance/spot_btcusdt_2024-08-08", "binance/spot_ethusdt_2024-08-08"), "binance", 2),
    (("binance/spot_nexousdt_2024-07-23", "binance/spot_nexousdt_2024-07-24"), "binance", 1),
    (("binance_us/spot_2021-10-12",), "binance_us", 4),
    (("binance_tr/spot_2023-04-10",), "binance_tr", 3),
    (("binance_usdm/usdm_2021-07-22",), "binance_usdm", 4),
    (("binance_usdm/usdm_btcusdt_2022-08-11",), "binance_usdm", 1),
    (("binance_usdm/usdm_btcusdt_2024-08-08",), "binance_usdm", 1),
    (("binance_coinm/coinm_2021-07-22",), "binance_coinm", 10),
    (("binance_coinm/coinm_btcusd_perp_2024-08-08",), "binance_coinm", 1),
]


def naive_books(paths: tuple[Path, ...], *, chain: bool) -> dict[str, NaiveBook]:
    """The books of captures by the plainest reading; a REST book without a symbol is that of the only one."""
    books: dict[str, NaiveBook] = {}
    for line in read_session(paths):
        text = line.text or ""
        message = json.loads(text)
        if line.kind == "http":
            named = (line.url or "").partition("symbol=")[2].partition("&")[0] or message.get("symbol")
            # The 2022 and 2024 files are named after their one instrument: usdm_btcusdt_2024-08-08.
            named = named or paths[line.source].name.split("_", 1)[1].rsplit("_", 1)[0].upper()
            books.setdefault(named, NaiveBook(chain)).snapshot(text)
        elif "@depth" in message["stream"]:
            data = message["data"]
            book = books.setdefault(data["s"], NaiveBook(chain))
            book.diff(data)
    return books


@pytest.mark.parametrize(("names", "venue", "live"), SESSIONS, ids=lambda value: str(value)[:48])
def test_every_session_replays_to_the_naive_books(
    names: tuple[str, ...], venue: str, live: int, capture: CaptureFinder
) -> None:
    paths = tuple(map(capture, names))
    replay = replay_into(_core.Publisher.memory(), CaptureGroup(venue, paths))
    summary = replay.summary()
    expected = naive_books(paths, chain=venue in {"binance_usdm", "binance_coinm"})
    kinds = Counter(line.kind for path in paths for line in read_capture(path))
    tally = summary.tally
    assert (tally.messages, tally.snapshots, tally.skipped) == (kinds["recv"], kinds["http"], 0)
    assert tally.control == {}
    assert set(tally.notices) <= {"LIVE", "REFINED"}, "no gap, no fault, nothing stale"
    assert tally.notices["LIVE"] == live == len(expected)
    assert summary.counters["gaps"] == summary.counters["faults"] == 0
    by_native = {each.native_symbol: index for index, each in enumerate(replay.instruments)}
    for symbol, book in expected.items():
        index = by_native[symbol]
        price_exp, qty_exp = replay.feed.scale(index)
        sides = tuple(
            [(Decimal(price).scaleb(price_exp), Decimal(qty).scaleb(qty_exp)) for price, qty in side]
            for side in replay.feed.book(index)
        )
        assert sides == book.sides(), symbol
        end = summary.books[index]
        assert end.state == "LIVE"
        assert (end.bids, end.asks, end.source_seq) == (len(book.bids), len(book.asks), book.last)
        assert end.symbol == f"{replay.instruments[index].symbol}@{venue}"


def test_definitions_say_what_the_list_says(capture: CaptureFinder) -> None:
    publisher = _core.Publisher.memory()
    ids = {
        f"{base}USD_PERP": number
        for number, base in enumerate(["BCH", "LINK", "ETC", "XRP", "TRX", "EOS"], 40)
    }
    ids |= {"BCHUSD_210924": 50, "ETHUSD_210924": 51, "BTCUSD_211231": 52, "LINKUSD_211231": 53}
    path = capture("binance_coinm/coinm_2021-07-22")
    replay_into(publisher, CaptureGroup("binance_coinm", (path,)), session=9, publisher_id=5, wire_ids=ids)
    frames = [_core.decode_frame(frame) for _, frame in publisher.take()]
    assert {frame["session"] for frame in frames} == {9}
    assert all(frame["flags"] & REPLAY_FLAG for frame in frames)
    definitions = {
        frame["root"]["native_symbol"].rstrip(b"\0").decode(): frame
        for frame in frames
        if frame["msg"] == "INSTRUMENT_DEF"
    }
    assert {native: frame["instrument"] for native, frame in definitions.items()} == ids
    root = definitions["BTCUSD_211231"]["root"]
    assert root["symbol"].rstrip(b"\0") == b"BTC/USD:BTC:20211231"
    assert (root["kind"], root["qty_unit"], root["contract_size"], root["book_proof"]) == (3, 3, 100, 1)
    assert root["expiry_ts"] == 1_640_937_600_000_000_000
    assert (root["tick_size"], root["price_exp"]) == (1, -1)
    recorded = {line.time_ns for line in read_capture(path)}
    data = [frame for frame in frames if frame["msg"] in {"BOOK_DELTA", "TRADE", "BBO", "CANDLE"}]
    assert {frame["recv_ts"] for frame in data} <= recorded, "the recorded time goes out"


def made(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_a_line_without_a_time_takes_the_exchanges_own(tmp_path: Path) -> None:
    diff = {"e": "depthUpdate", "E": 1_700_000_000_123, "s": "AB", "U": 2, "u": 2, "b": [["1", "2"]], "a": []}
    book = {"lastUpdateId": 1, "bids": [["1", "1"]], "asks": [["2", "1"]]}
    quote = {"u": 2, "s": "AB", "b": "1", "B": "2", "a": "2", "A": "1"}
    path = made(
        tmp_path / "made.jsonl",
        {"t": None, "k": "http", "u": None, "d": json.dumps(book)},
        {"t": None, "k": "recv", "u": None, "d": json.dumps({"stream": "ab@depth", "data": diff})},
        {"t": None, "k": "recv", "u": None, "d": json.dumps({"stream": "ab@bookTicker", "data": quote})},
        {"t": None, "k": "recv", "u": None, "d": '{"result":null,"id":1}'},
        {"t": None, "k": "send", "u": None, "d": "{}"},
    )
    publisher = _core.Publisher.memory()
    replay = replay_into(publisher, CaptureGroup("binance", (path,)))
    frames = [_core.decode_frame(frame) for _, frame in publisher.take()]
    times = {frame["msg"]: frame["recv_ts"] for frame in frames if frame["msg"] in {"BOOK_DELTA", "BBO"}}
    assert times == {"BOOK_DELTA": 1_700_000_000_123_000_000, "BBO": 1_700_000_000_133_000_000}
    assert replay.tally.control == {"Ack": 1}
    assert (replay.tally.messages, replay.tally.snapshots, replay.tally.skipped) == (3, 1, 1)


# Pace, rate, loops, the end.


def run(
    tmp_path: Path,
    groups: list[CaptureGroup],
    publisher: _core.Publisher,
    stop: threading.Event | None = None,
    **options: Any,
) -> ReplaySummary:
    replay = Replay(groups, Options(**{"speed": None, "linger_s": 0.0, **options}))
    return replay.run(publisher, state_dir=tmp_path, publisher_id=3, stop=stop or threading.Event())


def test_two_venues_at_once_have_a_channel_and_session_each(capture: CaptureFinder, tmp_path: Path) -> None:
    groups = [
        CaptureGroup("binance_us", (capture("binance_us/spot_2021-10-12"),)),
        CaptureGroup("binance_tr", (capture("binance_tr/spot_2023-04-10"),)),
    ]
    publisher = _core.Publisher.memory()
    summary = run(tmp_path, groups, publisher)
    assert summary.complete
    assert [venue.venue for venue in summary.venues] == ["binance_us", "binance_tr"]
    assert [venue.tally.messages for venue in summary.venues] == [480, 139]
    frames = [_core.decode_frame(frame) for _, frame in publisher.take()]
    assert {frame["channel"] & 0x7F for frame in frames} == {4, 5}
    for channel in (4, 5):
        own = [frame for frame in frames if frame["channel"] == channel]
        assert own[0]["msg"] == "SESSION_START"
        assert own[-1]["msg"] == "SESSION_END"
        assert all(frame["flags"] & REPLAY_FLAG for frame in own)


def test_sessions_grow_and_ids_stay(capture: CaptureFinder, tmp_path: Path) -> None:
    group = CaptureGroup("binance_us", (capture("binance_us/spot_2021-10-12"),))
    seen = []
    for _ in range(2):
        publisher = _core.Publisher.memory()
        run(tmp_path, [group], publisher)
        frames = [_core.decode_frame(frame) for _, frame in publisher.take()]
        ids = {frame["instrument"] for frame in frames if frame["msg"] == "INSTRUMENT_DEF"}
        seen.append((frames[0]["session"], ids))
    assert seen[1][0] > seen[0][0]
    assert seen[1][1] == seen[0][1] == {1, 2, 3, 4}


def test_a_loop_starts_with_stale_books_that_come_back(capture: CaptureFinder, tmp_path: Path) -> None:
    group = CaptureGroup("binance_usdm", (capture("binance_usdm/usdm_btcusdt_2022-08-11"),))
    publisher = _core.Publisher.memory()
    summary = run(tmp_path, [group], publisher, loops=3)
    (venue,) = summary.venues
    assert (summary.loops, summary.complete) == (3, True)
    assert venue.tally.messages == 3 * 1532
    assert venue.tally.notices["LIVE"] == 3
    assert venue.counters["gaps"] == 0
    statuses = [
        frame["root"]["state"]
        for frame in (_core.decode_frame(frame) for plane, frame in publisher.take() if plane == 0)
        if frame["msg"] == "STATUS" and frame["root"]["scope"] == 3
    ]
    assert statuses == [1, 2, 1, 2, 1], "live, then stale and live again for each further loop"


def test_the_rate_is_held(capture: CaptureFinder, tmp_path: Path) -> None:
    group = CaptureGroup("binance_us", (capture("binance_us/spot_2021-10-12"),))
    publisher = _core.Publisher.memory()
    summary = run(tmp_path, [group], publisher, rate=1_000)
    frames = summary.publisher["frames"]
    assert frames > 500
    # The burst at the start and the last message's own frames are all that may come early.
    assert (frames - 60) / 1_000 <= summary.seconds < 5


def test_at_full_speed_messages_leave_together_and_are_the_same(
    capture: CaptureFinder, tmp_path: Path
) -> None:
    groups = [
        CaptureGroup("binance_us", (capture("binance_us/spot_2021-10-12"),)),
        CaptureGroup("binance_tr", (capture("binance_tr/spot_2023-04-10"),)),
    ]
    heard: list[list[dict[str, Any]]] = []
    sends: list[float] = []
    for options in ({"speed": None, "rate": 100_000}, {"speed": 1e9, "rate": 100_000}):
        publisher = _core.Publisher.memory()
        summary = run(tmp_path, groups, publisher, **options)
        assert summary.complete
        sends.append(summary.publisher["sends"] / summary.publisher["frames"])
        frames = [_core.decode_frame(datagram) for plane, datagram in publisher.take() if plane == 0]
        numbered = [frame for frame in frames if frame["msg"] not in {"HEARTBEAT", "SESSION_END"}]
        for frame in numbered:
            # They tell the session and its clock.
            for name in ("session", "proc_ns", "crc32c"):
                frame.pop(name)
        heard.append([frame for frame in numbered if frame["msg"] != "SESSION_START"])
    assert heard[0] == heard[1]
    assert sends[0] < 0.3, "full speed"
    assert sends[1] > 0.7, "at a pace, however fast, a message is sent when it is due"


def test_the_recorded_pace_is_kept_and_multiplied(capture: CaptureFinder, tmp_path: Path) -> None:
    group = CaptureGroup("binance_usdm", (capture("binance_usdm/usdm_btcusdt_2022-08-11"),))
    times = [line.time_ns or 0 for line in read_capture(group.paths[0])]
    recorded_s = (times[-1] - times[0]) / 1e9
    summary = run(tmp_path, [group], _core.Publisher.memory(), speed=10.0)
    assert recorded_s / 10 <= summary.seconds < recorded_s / 10 + 1


def test_heartbeats_go_on_between_messages(tmp_path: Path) -> None:
    quote = '{"stream":"ab@bookTicker","data":{"u":%d,"s":"AB","b":"1","B":"2","a":"2","A":"1"}}'
    path = made(
        tmp_path / "made.jsonl",
        {"t": 1_000_000_000, "k": "recv", "u": None, "d": quote % 1},
        {"t": 1_500_000_000, "k": "recv", "u": None, "d": quote % 2},
    )
    publisher = _core.Publisher.memory()
    run(tmp_path, [CaptureGroup("binance", (path,))], publisher, speed=1.0, linger_s=0.3)
    kinds = [_core.decode_frame(frame)["msg"] for plane, frame in publisher.take() if plane == 0]
    between = kinds[kinds.index("BBO") + 1 : len(kinds) - kinds[::-1].index("BBO") - 1]
    assert between.count("HEARTBEAT") >= 5, "1, 4, 16, 64 ms after a frame, and every 100 ms"
    assert kinds.count("SESSION_END") >= 3, "the end is repeated every 100 ms"
    assert kinds[-1] == "SESSION_END"


def test_a_stop_ends_within_a_second(capture: CaptureFinder, tmp_path: Path) -> None:
    group = CaptureGroup("binance_usdm", (capture("binance_usdm/usdm_btcusdt_2022-08-11"),))
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    started_ns = mono_ns()
    publisher = _core.Publisher.memory()
    summary = run(tmp_path, [group], publisher, stop, speed=0.1, loops=0, linger_s=5.0)
    timer.join()
    assert (mono_ns() - started_ns) / 1e9 < 2
    assert not summary.complete
    kinds = [_core.decode_frame(frame)["msg"] for plane, frame in publisher.take() if plane == 0]
    assert kinds.count("SESSION_END") >= 5, "repeated for 0.6 s, as by a feeder"
    assert kinds[-1] == "SESSION_END"


def starts_and_ends(publisher: _core.Publisher) -> tuple[int, int]:
    kinds = Counter(_core.decode_frame(frame)["msg"] for plane, frame in publisher.take() if plane == 0)
    return kinds["SESSION_START"], kinds["SESSION_END"]


def test_what_breaks_off_in_the_middle_ends_its_sessions_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = '{"stream":"ab@bookTicker","data":{"u":1,"s":"AB","b":"1","B":"2","a":"2","A":"1"}}'
    line = {"t": None, "k": "recv", "u": None, "d": quote}
    groups = [
        CaptureGroup(venue, (made(tmp_path / f"{venue}.jsonl", line),)) for venue in ("binance", "binance_us")
    ]

    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    publisher = _core.Publisher.memory()
    with monkeypatch.context() as patch:
        patch.setattr("outcrier.capture.replay.VenueReplay.take", broken)
        with pytest.raises(RuntimeError, match="broken"):
            run(tmp_path, groups, publisher, linger_s=5.0)
    starts, ends = starts_and_ends(publisher)
    assert starts == 2
    assert ends >= 2 * 5
    # The second session cannot begin: the first one has not begun either, or is ended.
    with (
        VenueState(tmp_path, "replay", "binance_us", 4),
        pytest.raises(ConfigurationError, match="binance_us"),
    ):
        run(tmp_path, groups, publisher)
    starts, ends = starts_and_ends(publisher)
    assert ends >= starts
    with monkeypatch.context() as patch:
        patch.setattr("outcrier.capture.venue_replay.to_core_kwargs", broken)
        with pytest.raises(RuntimeError, match="broken"):
            run(tmp_path, groups, publisher)
    assert starts_and_ends(publisher) == (1, 1)


def test_a_time_beyond_the_wire_is_not_taken_from_the_exchange(tmp_path: Path) -> None:
    """Without a receive time the exchange's is taken, unless it is junk."""
    text = '{"stream":"ab@depth","data":{"e":"depthUpdate","E":%d,"s":"AB","U":%d,"u":%d,"b":[],"a":[]}}'
    times = (10**13 + 1, 10**14, 2**62 // 10**6, 2**63 - 1, -5)
    path = made(
        tmp_path / "made.jsonl",
        *({"t": None, "k": "recv", "u": None, "d": text % (ms, n, n)} for n, ms in enumerate(times, 1)),
    )
    publisher = _core.Publisher.memory()
    summary = run(tmp_path, [CaptureGroup("binance", (path,))], publisher)
    assert summary.complete
    assert summary.venues[0].tally.messages == len(times)
    assert starts_and_ends(publisher) == (1, 1)


def test_a_book_that_the_captures_cannot_start_says_so(tmp_path: Path) -> None:
    diff = (
        '{"stream":"ab@depth","data":{"e":"depthUpdate","E":1,"s":"AB","U":1,"u":2,"b":[["1","2"]],"a":[]}}'
    )
    path = made(tmp_path / "made.jsonl", {"t": 1_000_000_000, "k": "recv", "u": None, "d": diff})
    summary = run(tmp_path, [CaptureGroup("binance", (path,))], _core.Publisher.memory())
    (book,) = summary.venues[0].books
    assert (book.state, book.why) == ("RECOVERING", "no whole book of it in the captures")
    assert "@binance RECOVERING: no whole book of it in the captures, 0 bids" in as_text(summary)


def test_instruments_without_a_book_are_live_from_the_start_and_after_each_loop(tmp_path: Path) -> None:
    quote = '{"stream":"ab@bookTicker","data":{"u":1,"s":"AB","b":"1","B":"2","a":"2","A":"1"}}'
    path = made(tmp_path / "made.jsonl", {"t": 1_000_000_000, "k": "recv", "u": None, "d": quote})
    publisher = _core.Publisher.memory()
    summary = run(tmp_path, [CaptureGroup("binance", (path,))], publisher, loops=2)
    assert summary.venues[0].books[0].state == "LIVE"
    statuses = [
        frame["root"]["state"]
        for frame in (_core.decode_frame(frame) for plane, frame in publisher.take() if plane == 0)
        if frame["msg"] == "STATUS" and frame["root"]["scope"] == 3
    ]
    assert statuses == [1, 2, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"speed": 0.0}, "speed 0.0"),
        ({"speed": float("nan")}, "speed nan"),
        ({"rate": 0}, "rate 0"),
        ({"loops": -1}, "loop -1"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Replay([], Options(**options))


def test_nothing_to_replay_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no capture"):
        Replay([], Options())
