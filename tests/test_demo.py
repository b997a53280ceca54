"""The demo: its statistics on a capture, its screen as text, and the whole of it without a network."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from feed_bench import lines
from outcrier.demo.feed import reasons
from outcrier.demo.messages import DECODER, ENCODER, SIMULATION, Failed, Notice, Playing, Venue, Venues
from outcrier.demo.screen import Row, View, duration, line, screen, size, summary
from outcrier.demo.stats import STAGES, LastTrade, Rates, Reservoir, Stats
from outcrier.feeder.transport import Reason, TransportError
from outcrier.views import Level, State
from wire_bench import Wire, follow

CaptureFinder = Callable[[str], Path]
CAPTURE = "binance_usdm/usdm_btcusdt_2022-08-11"


def test_reservoir_keeps_the_latest() -> None:
    reservoir = Reservoir(4)
    assert reservoir.percentiles() is None
    reservoir.extend(np.array([1, 2, 3], np.int64))
    assert percentiles(reservoir) == pytest.approx([2.0, 2.98])
    reservoir.extend(np.array([10, 20, 30], np.int64))  # 3, 10, 20, 30 are left
    assert percentiles(reservoir) == pytest.approx([15.0, 29.7])
    reservoir.extend(np.arange(100, dtype=np.int64))
    assert percentiles(reservoir) == pytest.approx([97.5, 98.97])


def percentiles(reservoir: Reservoir) -> list[float]:
    found = reservoir.percentiles()
    assert found is not None
    return list(found)


def test_stats_of_a_capture(capture: CaptureFinder) -> None:
    wire = Wire("binance_usdm")
    stats = Stats()
    path = capture(CAPTURE)
    for batch in follow(wire, path, 2000):
        stats.take(batch, 1_000_000, test=False)
    raw = [each.message["data"] for each in lines(path, most=2000) if each.kind == "recv"]
    last = [message for message in raw if message["e"] in ("trade", "aggTrade")][-1]
    trade = stats.last_trades["BTCUSDT@binance_usdm"]
    assert (trade.price, trade.qty) == (Decimal(last["p"]), Decimal(last["q"]))
    assert trade.aggressor == (2 if last["m"] else 1)
    assert stats.busiest(5) == ["BTCUSDT@binance_usdm"]
    assert stats.activity["BTCUSDT@binance_usdm"] >= len(raw)
    stages = {name: reservoir.percentiles() for name, reservoir in stats.stages.items()}
    assert tuple(stages) == STAGES
    ages = [
        each.t - each.message["data"]["T"] * 1_000_000
        for each in lines(path, most=2000)
        if each.kind == "recv"
    ]
    expected = np.percentile(ages, 50)
    shown = stages["exchange to feeder"]
    assert shown is not None
    assert shown[0] == pytest.approx(expected, abs=5e6)  # one message may be several frames
    kernel = stages["kernel to Python"]
    assert kernel == (999_993.0, 999_993.0)  # stamped 7 ns by the bench


def test_times_of_a_recording_count_from_the_quickest_message(capture: CaptureFinder) -> None:
    """A capture of another year shows milliseconds, also when it starts anew."""
    wire = Wire("binance_usdm")
    stats = Stats()
    batches = follow(wire, capture(CAPTURE), 1000)
    for batch in batches:
        batch.events["recv_ts"] += 10**17
        stats.take(batch, 0, test=True)
    once = stats.stages["exchange to feeder"].percentiles()
    assert once is not None
    assert 0 <= once[0] < 1e9
    for batch in batches:
        batch.events["recv_ts"] += 10**15
        stats.take(batch, 0, test=True)
    again = stats.stages["exchange to feeder"].percentiles()
    assert again is not None
    assert again[1] < 2e9


def test_rates_are_per_second_since_the_call_before() -> None:
    stats = Stats()
    assert stats.rates(0, {"datagrams": 10, "bytes": 100}) == Rates(0.0, 0.0)
    assert stats.rates(500_000_000, {"datagrams": 30, "bytes": 200}) == Rates(40.0, 200.0)
    assert stats.rates(500_000_000, {"datagrams": 30, "bytes": 200}) == Rates(0.0, 0.0)


def test_the_busiest_stay_in_their_rows() -> None:
    stats = Stats()
    stats.activity = {"B@y": 5, "A@y": 9, "C@x": 7, "D@x": 1}
    assert stats.busiest(3) == ["C@x", "A@y", "B@y"]


def view(*, test: bool, simulation: bool = False) -> View:
    rows = [
        Row(
            "BTC/USDT@binance",
            State.LIVE,
            Level(Decimal("61829.76"), Decimal("3.4")),
            Level(Decimal("61829.77"), Decimal("0.5")),
            Decimal("0.01"),
            LastTrade(Decimal("61829.77"), Decimal("0.02"), 1),
        ),
        Row("ETH/USDT@binance", State.STALE, None, None, None, None),
    ]
    venues = [Venue("binance", 1, 2, 1, 2, 1234, 3, 0, 0, "refused")]
    stages = dict.fromkeys(STAGES)
    return View(
        12.0, test, simulation, ("binance/x.jsonl.gz",), "no exchange", Rates(1234.5, 2_000_000), 5000, 1, 2,
        1, 2, rows,
        {**stages, "in the feeder": (831.0, 443_000.0)}, venues, "239.192.90.1:9001 at 127.0.0.1",
    )  # fmt: skip


def shown(of: View) -> str:
    console = Console(file=io.StringIO(), width=160, force_terminal=False)
    console.print(screen(of))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_screen_shows_books_latencies_and_venues() -> None:
    text = shown(view(test=True))
    rows = {words[0]: words for words in (each.split() for each in text.splitlines()) if words}
    assert rows["BTC/USDT@binance"] == [
        "BTC/USDT@binance",
        "LIVE",
        "TEST",
        "3.4",
        "61,829.76",
        "61,829.77",
        "0.5",
        "0.01",
        "0.02",
        "@",
        "61,829.77",
    ]
    assert rows["ETH/USDT@binance"][1:3] == ["STALE", "TEST"]
    assert rows["OUTCRIER"][1] == "TEST"
    assert "831 ns" in text
    assert "443 µs" in text
    assert "1/2" in text
    assert "refused" in text
    assert "1,234 frames/s" in text
    assert "TEST" not in shown(view(test=False))


def full_view() -> View:
    """More than fits on a small terminal: twelve rows, four venues, a long notice and long errors."""
    names = [
        ("BTC/USDT@binance", State.LIVE),
        ("ETH/USDT@binance", State.UNSURE),
        ("BTC/USD:BTC:PERP@binance_coinm", State.RECOVERING),
        ("BTC/USDT:PERP@binance_usdm", State.LIVE),
        ("ETH/USDT:PERP@binance_usdm", State.STALE),
    ]
    names += [(f"X{number}/USDT:PERP@binance_usdm", State.LIVE) for number in range(7)]
    rows = [
        Row(
            name,
            state,
            Level(Decimal("61829.76"), Decimal("12345.678")),
            Level(Decimal("61829.77"), Decimal(1234567)),
            Decimal("0.01"),
            LastTrade(Decimal("61829.78"), Decimal("0.02"), 1),
        )
        for name, state in names
    ]
    venues = [
        Venue(name, 1, 2, 1, 2, 1_234_567, 3, 0, 0, "127.0.0.1:46587: proxy failed (127.0.0.1:9: refused)")
        for name in ("binance", "binance_us", "binance_usdm", "binance_coinm")
    ]
    stages = dict.fromkeys(STAGES, (831.0, 443_000.0))
    return view(test=True)._replace(
        rows=rows,
        venues=venues,
        stages=stages,
        sources=tuple(f"binance_usdm/usdm_btcusdt_2024-08-0{day}.jsonl.gz" for day in range(1, 5)),
        notice="no exchange can be reached: api.binance.com, fapi.binance.com, dapi.binance.com: proxy"
        " failed (127.0.0.1:9: refused)",
    )


@pytest.mark.parametrize(
    ("width", "height", "least"), [(80, 16, 4), (80, 24, 7), (120, 30, 12), (180, 50, 12)]
)
def test_the_screen_fits_the_terminal_and_cuts_no_value(width: int, height: int, least: int) -> None:
    of = full_view()
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    console.print(screen(of))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    shown_lines = text.splitlines()
    assert len(shown_lines) <= height
    assert shown_lines[-1].strip() == "Ctrl-C ends"
    assert " TEST " in shown_lines[0]
    found = [each.split() for each in shown_lines if "@binance" in each]
    assert len(found) >= least
    for row, words in zip(of.rows, found, strict=False):
        assert words[:2] == [row.symbol, row.state.value]
        assert "61,829.76" in words
        assert "61,829.77" in words
        assert ("61,829.78" in words) is (width >= 120)
    for venue in of.venues:
        line_of = next(each for each in shown_lines if f" {venue.name} " in f" {each} ")
        assert "1/2" in line_of
        assert "1,234,567" in line_of
    assert text.count("443 µs") == (len(STAGES) if height >= 24 else 0)
    if len(found) < len(of.rows):
        assert f"({len(found)} of {len(of.rows)})" in text


def test_quantities_are_shown_whole_at_80_columns_where_they_fit() -> None:
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=False)
    console.print(screen(view(test=True)))
    assert isinstance(console.file, io.StringIO)
    rows = {words[0]: words for words in map(str.split, console.file.getvalue().splitlines()) if words}
    assert rows["BTC/USDT@binance"][1:] == ["LIVE", "TEST", "3.4", "61,829.76", "61,829.77", "0.5"]


@pytest.mark.parametrize(("width", "height"), [(160, 40), (80, 24), (40, 8), (28, 6)])
def test_every_screen_of_a_simulation_says_so(width: int, height: int) -> None:
    of = view(test=True, simulation=True)
    for each in (of, of._replace(rows=(), sources=("SIM1-USD",) * 20, notice="x" * 500)):
        console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
        console.print(screen(each))
        assert isinstance(console.file, io.StringIO)
        assert SIMULATION in console.file.getvalue().splitlines()[0]
    assert SIMULATION not in shown(view(test=True))


def test_every_line_of_a_simulation_says_so() -> None:
    of = view(test=True, simulation=True)
    assert line(of).startswith("  12s simulation, not a market, TEST 1,234 frames/s")
    assert summary(of).startswith("simulation, not a market: 12.0 s, 1,234 messages from 1 venues")
    assert SIMULATION not in line(view(test=True)) + summary(view(test=True))


def test_the_plain_line_and_the_summary() -> None:
    text = line(view(test=True))
    assert text.startswith(
        "  12s TEST 1,234 frames/s 2.0 MB/s 1 gaps 2 lost 1/2 live | BTC/USDT@binance LIVE 3.4 @ 61829.76 /"
    )
    assert "p50/p99 in the feeder 831 ns/443 µs" in text
    assert text.isprintable()
    assert "TEST" not in line(view(test=False))
    assert summary(view(test=True)).startswith(
        "TEST, not the exchanges themselves: 12.0 s, 1,234 messages from 1 venues"
    )


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (12_340, "12.3 µs"),
        (3_456_000, "3.46 ms"),
        (-2e9, "-2.00 s"),
    ],
)
def test_durations(nanoseconds: float, text: str) -> None:
    assert duration(nanoseconds) == text


def test_sizes() -> None:
    assert [size(count) for count in (0, 999, 1_500, 2_000_000, 3e9)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "2.0 MB",
        "3.0 GB",
    ]


def test_messages_of_the_child_come_back_equal() -> None:
    messages = [
        Notice(text="x"),
        Playing(test=True, sources=("a", "b")),
        Notice(text="x", simulation=True),
        Venues(venues=(Venue("binance", 1, 1, 2, 2, 3, 0, 0, 0, ""),)),
        Failed(text="y", exit_code=4),
    ]
    assert [DECODER.decode(ENCODER.encode(message)) for message in messages] == messages
    with pytest.raises(msgspec.ValidationError):
        DECODER.decode(b'{"type":"Other"}')


def test_hosts_with_the_same_reason_stand_together() -> None:
    errors = [
        TransportError("https://a.example/x", Reason.DNS),
        TransportError("https://b.example/x", Reason.REGION, "HTTP 451"),
        TransportError("https://c.example/x", Reason.DNS),
    ]
    assert (
        reasons(errors)
        == "a.example, c.example: name not found; b.example: refused for this region (HTTP 451)"
    )


@pytest.fixture
def demo(tmp_path: Path, free_port: int) -> Callable[..., subprocess.Popen[str]]:
    """Starts the demo where no exchange is: the only proxy refuses, so that no test asks the world."""

    def start(*arguments: str, **more: str) -> subprocess.Popen[str]:
        environ = {
            **os.environ,
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            "OUTCRIER__FEEDER__STATE_DIR": str(tmp_path),
            "OUTCRIER__MULTICAST__CRYPTO__PORT": str(free_port),
            "PYTHONUNBUFFERED": "1",
            **more,
        }
        command = [sys.executable, "-m", "outcrier", "demo", *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, cwd=tmp_path
        )

    return start


def test_books_move_and_ctrl_c_ends_with_a_summary(
    demo: Callable[..., subprocess.Popen[str]], data_dir: Path
) -> None:
    with demo(OUTCRIER_DATA=str(data_dir)) as process:
        assert process.stdout is not None
        output: list[str] = []
        tops: set[str] = set()
        for text in process.stdout:
            output.append(text)
            tops.update(part for part in text.split(" | ") if " LIVE " in part)
            if len(tops) > 3:
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert len(tops) > 3, output
    assert output[0].startswith("no exchange can be reached: ")
    assert not any(SIMULATION in text for text in [*output, rest])
    assert any(text.startswith("TEST: ") for text in output)
    assert rest.splitlines()[-1].startswith("TEST, not the exchanges themselves: ")
    assert "0 gaps and 0 frames lost" in rest.splitlines()[-1]
    assert errors == ""


def test_what_is_reached_is_shown_and_captures_are_left_alone(
    demo: Callable[..., subprocess.Popen[str]], tmp_path: Path, capture: CaptureFinder
) -> None:
    """One endpoint answers, the other two venues do not."""
    config = tmp_path / "venue.toml"
    command = ["venue", str(capture(CAPTURE)), "--port", "0", "--config-out", str(config)]
    with subprocess.Popen(
        [sys.executable, "-m", "outcrier", *command], stdout=subprocess.PIPE, text=True
    ) as venue:
        assert venue.stdout is not None
        assert venue.stdout.readline().startswith("binance_usdm at ws://")
        with demo("--seconds", "5", "--config", str(config), OUTCRIER_DATA=str(tmp_path)) as process:
            output, errors = process.communicate(timeout=30)
        venue.terminate()
    assert process.returncode == 0, errors
    assert "TEST: binance, binance_usdm, binance_coinm\n" in output
    assert "no exchange" not in output
    assert "BTC/USDT:PERP@binance_usdm LIVE" in output
    assert "messages from 3 venues" in output.splitlines()[-1]


def test_without_captures_it_is_a_simulation_and_every_line_says_so(
    demo: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with demo(OUTCRIER_DATA=str(empty)) as process:
        assert process.stdout is not None
        output: list[str] = []
        tops: set[str] = set()
        for text in process.stdout:
            output.append(text)
            tops.update(part for part in text.split(" | ") if "@sim LIVE " in part)
            if len(tops) > 3:
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert output[0].startswith("simulation, not a market: no exchange can be reached: ")
    assert "OUTCRIER_DATA" in output[0]
    # Behind what the subscriber may have to say of its buffer.
    assert any(text.startswith("simulation, not a market: TEST: SIM1-USD, ") for text in output)
    assert all("simulation, not a market" in text for text in [*output, *rest.splitlines()])
    last = rest.splitlines()[-1]
    assert last.startswith("simulation, not a market: ")
    assert "0 gaps and 0 frames lost" in last
    assert errors == ""


def test_a_folder_that_is_none_is_said_and_not_played_around(
    demo: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    with demo(OUTCRIER_DATA=str(tmp_path / "missing")) as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "is not a folder" in errors
    assert SIMULATION not in output
