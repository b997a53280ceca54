"""The command line: what it prints, where, and with which exit code; verbs together as a person uses them."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import pytest

from outcrier.cli.book import heading
from outcrier.cli.main import VERBS, run
from outcrier.cli.output import clean, describe, utc, words
from outcrier.events import Bbo, BookDelta, BookSnapshot
from outcrier.subscriber import Subscriber
from outcrier.views import Level, State

CaptureFinder = Callable[[str], Path]
CAPTURE = "binance_usdm/usdm_btcusdt_2022-08-11"
SYMBOL = "BTC/USDT:PERP@binance_usdm"


@pytest.fixture
def environ(tmp_path: Path, free_port: int) -> dict[str, str]:
    """An environment of its own: state, port, and no configuration of the folder."""
    return {
        **os.environ,
        "OUTCRIER__FEEDER__STATE_DIR": str(tmp_path / "state"),
        "OUTCRIER__MULTICAST__CRYPTO__PORT": str(free_port),
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def outcrier(environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a verb; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "outcrier", *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ, cwd=tmp_path,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


Start = Callable[..., subprocess.Popen[str]]


@contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture(autouse=True)
def _own_surroundings(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], tmp_path: Path
) -> Iterator[None]:
    for name in ("OUTCRIER__FEEDER__STATE_DIR", "OUTCRIER__MULTICAST__CRYPTO__PORT"):
        monkeypatch.setenv(name, environ[name])
    with in_folder(tmp_path):
        yield


def test_help_names_every_verb_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in VERBS:
        assert f"\n  {verb} " in text
    for code in ("0 ", "1 ", "2 ", "3 ", "4 ", "130"):
        assert f"\n    {code}" in text
    shown = text[text.index("Commands:") : text.index("Exit codes:")]
    assert "..." not in shown  # no line of help is cut


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.split()[0] == "outcrier"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    assert f"Usage: outcrier {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["tail", "--types", "trades"], 2, "unknown type 'trades': types are book, trade"),
        (["tail", "--symbols", "BTC/USDT"], 2, "names no venue: write SYMBOL@venue"),
        (["tail", "-s", "BTC/USDT@binanse"], 2, "did you mean binance"),
        (["tail", "--interface", "10.9.9.9"], 4, "10.9.9.9"),
        (["tail", "--config", "missing.toml"], 2, "missing.toml: No such file"),
        (
            ["tail", "--count", "1", "--timeout", "0.3"],
            4,
            "no event within 0.3 s: nothing heard on group 239.",
        ),
        (
            ["book", "BTC/USDT@binance", "--timeout", "0.3"],
            4,
            "not live within 0.3 s: nothing heard on group",
        ),
        (["instruments", "--timeout", "0.3"], 4, "not complete within 0.3 s: nothing heard on group"),
        (["run", "--config", "missing.toml"], 2, "missing.toml: No such file"),
        (["replay", "missing.jsonl"], 3, "missing.jsonl: no such capture"),
        (["venue", "missing.jsonl", "--port", "0"], 3, "missing.jsonl: no such capture"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_a_code(
    arguments: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("outcrier: error: ")
    assert text in last


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["tail", "--group", "10.0.0.1"],
        ["replay", "x", "--speed", "0"],
        ["tail", "--port", "0"],
        ["book"],
    ],
)
def test_usage_errors_have_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Usage: outcrier" in capsys.readouterr().err


def test_a_damaged_capture_is_named_with_its_line(
    capture: CaptureFinder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = capture(CAPTURE).read_bytes()
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    assert run(["replay", str(cut), "--venue", "binance_usdm"]) == 3
    assert "cut.jsonl.gz:" in capsys.readouterr().err
    corrupt = tmp_path / "corrupt.jsonl.gz"
    with gzip.open(capture(CAPTURE), "rb") as source:
        first = source.readline()
    corrupt.write_bytes(gzip.compress(first + b'{"t": 1, "k": "recv", "u": null, "d": 5}\n'))
    assert run(["venue", str(corrupt), "--venue", "binance_usdm", "--port", "0"]) == 3
    assert "corrupt.jsonl.gz:2:" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [["replay"], ["venue", "--port", "0"]])
def test_an_empty_capture_and_a_mere_list_end_with_code_3(
    verb: list[str], data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.jsonl.gz"
    empty.write_bytes(b"")
    for path in (empty, data_dir / "captures" / "binance" / "spot_instruments.jsonl.gz"):
        assert run([*verb, str(path), "--venue", "binance"]) == 3
        error = capsys.readouterr().err
        assert path.name in error
        assert "no received message" in error


def test_a_port_in_use(capture: CaptureFinder, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["venue", str(capture(CAPTURE)), "--port", str(port)]) == 4
    assert f"port {port} on 127.0.0.1: in use" in capsys.readouterr().err


def test_text_from_outside_cannot_steer_a_terminal() -> None:
    assert clean("BTC\x1b[2J\nX\u202e") == "BTC?[2J?X?"
    assert words(("crossed", "replay", "test")) == "REPLAY TEST"
    assert utc(1_723_161_356_343_000_000) == "23:55:56.343000"


def test_a_time_that_is_not_known_is_a_dash() -> None:
    assert utc(0) == "-"
    event = Bbo(
        symbol="#1@binance_usdm", venue="binance_usdm", exchange_ts=0, recv_ts=0, state=State.UNKNOWN,
        bid=None, ask=None,
    )  # fmt: skip
    assert describe(event) == "- #1@binance_usdm UNKNOWN bbo bid - ask -"


def test_only_a_whole_book_has_a_best_level() -> None:
    levels = (Level(Decimal("61809.40"), Decimal(0)), Level(Decimal("61809.30"), Decimal(2)))
    common: dict[str, Any] = {
        "symbol": SYMBOL, "venue": "binance_usdm", "exchange_ts": 1, "recv_ts": 1, "state": State.LIVE,
        "bids": levels, "asks": (), "complete": True,
    }  # fmt: skip
    assert "book delta 2 bids changed 0 asks changed" in describe(BookDelta(**common))
    assert "best" not in describe(BookDelta(**common))
    assert "2 bids best 0 @ 61809.40 0 asks" in describe(BookSnapshot(**common, fragment=0, fragments=1))
    assert "best" not in describe(BookSnapshot(**common, fragment=1, fragments=2))


def test_the_heading_of_a_book_nobody_told_of_names_no_time_and_no_id(free_port: int) -> None:
    with Subscriber("crypto", symbols=[SYMBOL], interface="127.0.0.1", port=free_port) as sub:
        assert heading(sub.book(SYMBOL)) == f"{SYMBOL} UNKNOWN - 0 bids 0 asks"


@pytest.mark.parametrize("more", [[], ["--count", "100000000"]])
def test_tail_that_runs_out_of_events_sums_up(
    more: list[str], capture: CaptureFinder, outcrier: Start
) -> None:
    tail = outcrier("tail", "--json", "--timeout", "5", *more)
    player = replay(outcrier, capture(CAPTURE), "--speed", "max")
    output, errors = finish(tail, 4)
    finish(player)
    assert all(json.loads(text) for text in output.splitlines())
    summed, error = errors.splitlines()[-2:]
    assert f"{len(output.splitlines()):,} events, " in summed
    assert "frames lost" in summed
    assert error.startswith("outcrier: error: no event within 5 s")


def test_a_watched_book_shows_its_state_after_the_feed_dies(
    outcrier: Start, capture: CaptureFinder, environ: dict[str, str], tmp_path: Path
) -> None:
    """On a terminal of 80x24; nothing is written over the screen from beside it."""
    player = replay(outcrier, capture(CAPTURE), "--loop", "0")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    watcher = subprocess.Popen(
        [sys.executable, "-m", "outcrier", "book", SYMBOL, "--watch"],
        stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={key: value for key, value in environ.items() if key not in {"COLUMNS", "LINES"}}
        | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    try:
        assert any(" LIVE REPLAY " in " ".join(each) for each in screens(ours))
        player.kill()
        last = next(each for each in screens(ours) if any("nothing heard on group" in text for text in each))
        watcher.send_signal(signal.SIGINT)
        while read_some(ours):
            pass
        assert watcher.wait(timeout=20) == 0
        assert watcher.stderr is not None
        assert watcher.stderr.read() == ""
    finally:
        watcher.kill()
        watcher.communicate()
        os.close(ours)
    assert len(last) == 24
    assert all(len(text.rstrip()) <= 80 for text in last)
    assert last[0].rstrip() == SYMBOL
    assert last[1].startswith("STALE REPLAY ")
    assert " bids " in last[1]
    assert last[1].rstrip().endswith(" asks")


def read_some(terminal: int) -> str:
    try:
        return os.read(terminal, 65_536).decode(errors="replace")
    except OSError:  # the other end is closed
        return ""


def screens(terminal: int) -> Iterator[list[str]]:
    """Whole screens as lines without styles, as they are drawn; ends after 30 s."""
    text, end = "", time.monotonic() + 30
    while time.monotonic() < end and (more := read_some(terminal)):
        text += more
        *whole, text = text.split("\x1b[H")
        for each in whole:
            yield re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", each).splitlines()


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    output, errors = process.communicate(timeout=40)
    assert process.returncode == code, errors
    return output, errors


def replay(outcrier: Start, path: Path, *more: str) -> subprocess.Popen[str]:
    return outcrier("replay", path, "--json", *more)


def test_tail_book_and_instruments_of_a_replay(outcrier: Start, capture: CaptureFinder) -> None:
    player = replay(outcrier, capture(CAPTURE), "--loop", "0")
    events = [
        json.loads(text) for text in finish(outcrier("tail", "--json", "--count", "400"))[0].splitlines()
    ]
    assert len(events) == 400
    assert {"book_delta", "trade"} < {event["type"] for event in events}
    assert all(event["symbol"] == SYMBOL for event in events if event["instr_seq"])
    assert all("replay" in event["flags"] for event in events)
    trade = next(event for event in events if event["type"] == "trade")
    assert trade["price"].replace(".", "").isdigit()
    plain = finish(outcrier("tail", "--count", "50", "-t", "trade,bbo", "-s", SYMBOL))[0]
    assert len(plain.splitlines()) == 50
    assert all(text.isprintable() for text in plain.splitlines())
    assert all(" REPLAY " in text for text in plain.splitlines())
    book = json.loads(finish(outcrier("book", SYMBOL, "--json", "--depth", "3"))[0])
    assert (book["symbol"], book["state"], book["flags"][-1]) == (SYMBOL, "LIVE", "replay")
    assert [len(book["bids"]), len(book["asks"])] == [3, 3]
    shown = finish(outcrier("book", SYMBOL, "--depth", "2"))[0].splitlines()
    assert shown[0].startswith(f"{SYMBOL} LIVE REPLAY ")
    assert len(shown) == 4
    row = json.loads(finish(outcrier("instruments", "--json", "--match", "btc"))[0])
    assert (row["symbol"], row["venue"], row["kind"], row["tick"]) == (
        SYMBOL,
        "binance_usdm",
        "perpetual",
        "0.01",
    )
    table = finish(outcrier("instruments", "--venue", "binance_usdm"))[0].splitlines()
    assert table[1].split()[:3] == [SYMBOL, "BTCUSDT", "perpetual"]
    assert (table[0].split()[-1], table[1].split()[-1]) == ("book_proof", "sequence")
    assert (row["book_proof"], book["book_proof"]) == ("sequence", "sequence")
    assert len(finish(outcrier("instruments", "--venue", "binance"))[0].splitlines()) == 1
    error = finish(outcrier("book", "BTC/USDC:PERP@binance_usdm"), 2)[1]
    assert f"did you mean {SYMBOL}" in error
    player.send_signal(signal.SIGINT)
    ended = json.loads(finish(player)[0])  # --loop 0: the signal is the end that was asked for
    assert ended["complete"] is False


def test_a_watcher_from_the_start_ends_with_the_replayed_book(
    outcrier: Start, capture: CaptureFinder
) -> None:
    watcher = outcrier("book", SYMBOL, "--watch", "--json", "--depth", "1", "--timeout", "20")
    assert watcher.stdout is not None
    player = replay(outcrier, capture(CAPTURE), "--speed", "max")
    summary: dict[str, Any] = json.loads(finish(player)[0])
    watcher.send_signal(signal.SIGTERM)
    states = [json.loads(text) for text in finish(watcher)[0].splitlines()]
    (ended,) = summary["venues"][0]["books"]
    assert summary["complete"] is True
    assert ended["state"] == "LIVE"
    assert states[-1]["state"] == "STALE"  # The session has ended; the book is the last that was whole.
    assert int(states[-1]["hash"], 16) == ended["hash"]
    assert (states[-1]["bid_levels"], states[-1]["ask_levels"]) == (ended["bids"], ended["asks"])
    assert states[-1]["source_seq"] == ended["source_seq"]


def test_tail_ends_quietly_by_ctrl_c_and_with_its_pipe(outcrier: Start, capture: CaptureFinder) -> None:
    player = replay(outcrier, capture(CAPTURE), "--loop", "0")
    tail = outcrier("tail")
    assert tail.stdout is not None
    assert tail.stdout.readline()
    tail.send_signal(signal.SIGINT)
    _, errors = finish(tail)
    assert errors.startswith("outcrier: ")
    assert " events, " in errors
    assert "Traceback" not in errors
    piped = outcrier("tail", "--json")
    assert piped.stdout is not None
    piped.stdout.readline()
    piped.stdout.close()
    assert piped.wait(timeout=20) == 141
    assert piped.stderr is not None
    assert piped.stderr.read() == ""
    player.send_signal(signal.SIGTERM)
    finish(player)


def first_line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_venue_and_run_publish_test_frames(outcrier: Start, capture: CaptureFinder, tmp_path: Path) -> None:
    config = tmp_path / "venue.toml"
    venue = outcrier("venue", capture(CAPTURE), "--port", "0", "--config-out", config)
    assert first_line(venue.stdout).startswith("binance_usdm at ws://127.0.0.1:")
    feeder = outcrier("run", "--config", config)
    book = json.loads(finish(outcrier("book", SYMBOL, "--json", "--timeout", "20"))[0])
    assert (book["state"], book["flags"][-1]) == ("LIVE", "test")
    line = finish(outcrier("tail", "--count", "1", "-t", "trade,bbo"))[0]
    assert " TEST " in line
    feeder.send_signal(signal.SIGINT)
    output, _ = finish(feeder)
    assert output.startswith("binance_usdm TEST: ")
    assert "1 of 1 books live, 0 gaps, 0 faults" in output
    venue.send_signal(signal.SIGTERM)
    counters = json.loads(finish(venue)[0].splitlines()[-1])
    assert counters["connections"] >= 1
    assert counters["messages"] > 0


def test_ctrl_c_in_a_replay_with_an_end_has_its_own_code(outcrier: Start, capture: CaptureFinder) -> None:
    player = outcrier("replay", capture(CAPTURE), "--speed", "0.1")
    finish(outcrier("tail", "--count", "1"))
    player.send_signal(signal.SIGINT)
    output, _ = finish(player, 130)
    assert "ended early" in output.splitlines()[0]


def test_a_channel_is_not_disturbed_by_a_second_replay(outcrier: Start, capture: CaptureFinder) -> None:
    player = outcrier("replay", capture(CAPTURE), "--loop", "0")
    finish(outcrier("tail", "--count", "1"))
    _, errors = finish(outcrier("replay", capture(CAPTURE)), 4)
    assert "channel 2 on 239.192.90.1:" in errors
    assert len(errors.splitlines()) == 1
    player.send_signal(signal.SIGINT)
    finish(player)
