"""The verbs as programs: what they say and return when something is wrong, and how they end."""

from __future__ import annotations

import gzip
import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrier.config import load, render
from sockets import Child, Net, Witness, cut, stand_in, until

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
LIST = "binance_usdm/usdm_instruments"
SYMBOL = "BTC/USDT:PERP@binance_usdm"
SPOT = "binance_us/spot_2021-10-12"

USAGE, DATA, NETWORK, SUPERSEDED = 2, 3, 4, 5
"""Exit codes, as `outcrier --help` tells them."""

ENDS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)

pytestmark = pytest.mark.timeout(100)


@pytest.fixture
def net() -> Net:
    return Net.pick()


def refused(child: Child, code: int, *words: str) -> None:
    """The child ended with `code` and one clear line on stderr."""
    with child:
        assert child.end() == code, child.out + child.err
        said = child.err.splitlines()
        assert child.out == ""
    assert "Traceback" not in child.err
    # Click puts how the verb is used above what was wrong with it.
    clear = [line for line in said if not line.startswith(("Usage:", "Try ")) and line]
    assert len(clear) == 1, child.err
    assert clear[0].startswith(("outcrier: error: ", "Error: "))
    for word in words:
        assert word in clear[0], clear[0]


def test_the_help_tells_the_exit_codes(tmp_path: Path) -> None:
    with Child(tmp_path, "--help") as child:
        assert child.end() == 0
    told = child.out.partition("Exit codes:")[2].split("\n")
    codes: dict[int, str] = {}
    for words in (line.split() for line in told if line.strip()):
        if words[0].isdigit():
            codes[int(words[0])] = " ".join(words[1:])
        else:
            codes[max(codes)] += " " + " ".join(words)
    for code, word in [(0, "asked"), (1, "unexpected"), (USAGE, "configuration"), (DATA, "capture")]:
        assert word in codes[code]
    assert "port in use" in codes[NETWORK]
    assert "taken over" in codes[SUPERSEDED]
    assert "Ctrl-C" in codes[130]
    for verb in ("demo", "run", "venue", "tail", "book --watch", "replay --loop 0"):
        assert verb in codes[0], "ended by a signal as asked"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[feeder]\nstate_dirs = "x"',
            ["feeder.state_dirs", "unknown key; did you mean feeder.state_dir?"],
        ),
        ('[multicast.crypto]\nport = "many"', ["multicast.crypto.port", "'many'", "1 to 65535"]),
        ('[multicast.crypto]\ngroup_a = "10.0.0.1"', ["multicast.crypto.group_a", "'10.0.0.1'"]),
        ("[venues.binanse]\nenabled = true", ["venues.binanse", "did you mean venues.binance?"]),
        ("[feeder", ["not TOML"]),
    ],
)
def test_a_bad_configuration(text: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    refused(Child(tmp_path, "run", "--config", path), USAGE, str(path), *words)


def test_bad_variables_and_a_missing_file(tmp_path: Path) -> None:
    refused(Child(tmp_path, "tail", OUTCRIER__MULTICAST__CRYPTO__TTL="7"), USAGE, "TTL", "0 or 1")
    refused(Child(tmp_path, "run", LIMITED_MODE="perhaps"), USAGE, "LIMITED_MODE", "'perhaps'")
    refused(Child(tmp_path, "run", "--config", "none.toml"), USAGE, "none.toml", "No such file")


@pytest.mark.parametrize("speed", ["0", "-1", "fast", "nan", "inf"])
@pytest.mark.parametrize("verb", ["replay", "venue"])
def test_a_bad_speed(verb: str, speed: str, tmp_path: Path) -> None:
    port = ["--port", "0"] if verb == "venue" else []
    child = Child(tmp_path, verb, "x.jsonl", f"--speed={speed}", *port)
    refused(child, USAGE, "--speed", repr(speed), "neither a factor above 0 nor max")


def test_unknown_venues(net: Net, capture: CaptureFinder, tmp_path: Path) -> None:
    refused(
        Child(tmp_path, "replay", capture(USDM), "--venue", "nyse"),
        USAGE,
        "--venue",
        "'nyse'",
        "binance_usdm",
    )
    nowhere = tmp_path / "nyse" / "x.jsonl"
    nowhere.parent.mkdir()
    nowhere.write_text("")
    refused(Child(tmp_path, "replay", nowhere), USAGE, str(nowhere), "'nyse' is no venue", "--venue")
    child = Child(tmp_path, "tail", "-s", "BTC/USDT@binanse", *net.options())
    refused(child, USAGE, "binanse", "did you mean binance?")


def test_unknown_symbols(net: Net, capture: CaptureFinder, tmp_path: Path) -> None:
    options = ["--loop", "0", *net.options()]
    with Child(tmp_path, "replay", capture(USDM), *options), Witness(net) as witness:
        until(lambda: bool(witness.datagrams), "the replay")
        child = Child(tmp_path, "book", "BTC/USDC:PERP@binance_usdm", *net.options())
        refused(child, USAGE, "BTC/USDC:PERP@binance_usdm", f"did you mean {SYMBOL}?")
    exchange, config = stand_in(tmp_path, capture(USDM), "--instruments", capture(LIST))
    with exchange:
        fitting = render(load(config, {}))
        wrong = tmp_path / "wrong.toml"
        wrong.write_text(fitting.replace('symbols = ["BTCUSDT"]', 'symbols = ["BTC/USDQ"]'))
        assert wrong.read_text() != fitting
        child = Child(tmp_path, "run", "--config", wrong, **net.environment())
        refused(child, USAGE, "BTC/USDQ", "binance_usdm")


def test_a_port_in_use_and_an_interface_that_is_not_there(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        child = Child(tmp_path, "venue", capture(SPOT), "--port", str(port))
        refused(child, NETWORK, f"port {port}", "in use")
    absent = [*net.options(), "--interface", "192.0.2.1"]
    told = [net.group, "192.0.2.1", str(net.port)]
    refused(Child(tmp_path, "replay", capture(SPOT), *absent), NETWORK, *told)
    refused(Child(tmp_path, "tail", *absent), NETWORK, *told)
    environment = net.environment() | {"OUTCRIER__MULTICAST__CRYPTO__INTERFACE": "192.0.2.1"}
    refused(Child(tmp_path, "run", **environment), NETWORK, *told)


def test_nothing_heard_before_the_timeout(net: Net, tmp_path: Path) -> None:
    told = [net.group, "127.0.0.1", str(net.port), "nothing heard"]
    refused(Child(tmp_path, "tail", "--count", "1", "--timeout", "0.5", *net.options()), NETWORK, *told)
    refused(Child(tmp_path, "book", SYMBOL, "--timeout", "0.5", *net.options()), NETWORK, *told)
    refused(Child(tmp_path, "instruments", "--timeout", "0.5", *net.options()), NETWORK, *told)


def test_damaged_captures(net: Net, capture: CaptureFinder, tmp_path: Path) -> None:
    whole = capture(USDM).read_bytes()
    folder = tmp_path / "binance_usdm"
    folder.mkdir()
    contents = {
        "truncated.jsonl.gz": (whole[: len(whole) // 2], "truncated"),
        "flipped.jsonl.gz": (whole[:40_000] + bytes(64) + whole[40_064:], "damaged"),
        "line.jsonl": (gzip.decompress(whole)[:100_000], "cut off"),
        "words.jsonl": (b"no capture\n", "words.jsonl:1: "),
    }
    for name, (data, word) in contents.items():
        (folder / name).write_bytes(data)
        refused(Child(tmp_path, "replay", folder / name, *net.options()), DATA, str(folder / name), word)
        refused(Child(tmp_path, "venue", folder / name, "--port", "0"), DATA, str(folder / name), word)
    missing = folder / "missing.jsonl.gz"
    refused(Child(tmp_path, "replay", missing, *net.options()), DATA, str(missing), "no such capture")
    refused(Child(tmp_path, "venue", missing, "--port", "0"), DATA, str(missing), "no such capture")


# Two publishers.


def test_a_channel_with_another_session_is_left_alone(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    """Who replays or tests refuses to start where it hears any other session, replayed or of a venue."""
    other, third = tmp_path / "other", tmp_path / "third"
    other.mkdir()
    third.mkdir()
    exchange, config = stand_in(tmp_path, capture(USDM), "--instruments", capture(LIST))
    told = [f"channel 2 on {net.group}:{net.port}", "is published by another process (session "]
    with exchange, Witness(net) as witness:
        with Child(tmp_path, "replay", capture(USDM), "--loop", "0", *net.options()) as first:
            until(lambda: bool(witness.datagrams), "the replay")
            refused(Child(other, "replay", capture(USDM), *net.options()), NETWORK, *told)
            refused(Child(third, "run", "--config", config, **net.environment()), NETWORK, *told)
            first.signal(signal.SIGTERM)
            assert first.end() == 0, first.err
        sessions = {frame.header["session"] for frame in witness.frames()}
        assert len(sessions) == 1, "the refused ones sent nothing"
        with Child(third, "run", "--config", config, **net.environment()) as feeder:
            until(lambda: len({frame.header["session"] for frame in witness.frames()}) == 2, "the feeder")
            refused(Child(other, "replay", capture(USDM), *net.options()), NETWORK, *told)
            feeder.signal(signal.SIGTERM)
            assert feeder.end() == 0, feeder.err


BATCH_FRAMES_MAX = 64
"""What one system call of a publisher may still send after it was woken (rust_core/net/src/guard.rs)."""


def with_session(folder: Path, session: int) -> Path:
    """A folder whose state says that channel 2 had this session in tests."""
    state = folder / "state" / "outcrier" / "test"
    state.mkdir(parents=True)
    (state / "channel_2.json").write_text(json.dumps({"session": session}))
    return folder


def test_a_publisher_that_slept_falls_silent_before_it_sends(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    """SIGSTOP, another one starts, SIGCONT: not one book is mixed, and the sleeper ends with an error."""
    exchange, config = stand_in(tmp_path, capture(USDM), "--instruments", capture(LIST))
    with exchange, Witness(net) as witness:

        def sessions() -> list[int]:
            return sorted({frame.header["session"] for frame in witness.frames()})

        with Child(tmp_path, "run", "--config", config, **net.environment()) as sleeper:
            until(lambda: len(witness.datagrams) > 100, "the first feeder")
            (old,) = sessions()
            sleeper.signal(signal.SIGSTOP)
            other = with_session(tmp_path / "other", old + 1_000)
            with Child(other, "run", "--config", config, **net.environment()) as heir:
                until(lambda: len(sessions()) == 2, "the second feeder")
                assert sessions()[1] > old + 1_000
                sleeper.signal(signal.SIGCONT)
                assert sleeper.end() == SUPERSEDED, sleeper.err
                assert "another publisher has taken over with a higher session" in sleeper.err
                assert heir.running, heir.err
                heir.signal(signal.SIGTERM)
                assert heir.end() == 0, heir.err
        until(witness.ended, "the end of the second feeder")
        numbers = [frame.header["session"] for frame in witness.frames()]
        late = numbers[numbers.index(max(numbers)) :].count(old)
        assert late <= BATCH_FRAMES_MAX, "the sleeper sent on"


def test_a_test_takes_nothing_over_whatever_it_is_told(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    exchange, config = stand_in(tmp_path, capture(USDM), "--instruments", capture(LIST))
    with (
        exchange,
        Witness(net) as witness,
        Child(tmp_path, "run", "--config", config, **net.environment()) as first,
    ):
        until(lambda: bool(witness.datagrams), "the first feeder")
        old = witness.frames()[0].header["session"]
        other = with_session(tmp_path / "other", 1)
        refused(
            Child(other, "run", "--take-over", "--config", config, **net.environment()),
            NETWORK,
            f"session {old}",
            "never takes over",
        )
        assert first.running, first.err


# How programs end.


@ENDS
def test_signals_end_every_verb_with_its_summary(
    number: signal.Signals, net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    path = cut(capture(USDM), tmp_path, 1_500)
    played = Net.pick()
    listed: list[str | Path] = ["--instruments", capture(LIST)]
    exchange, config = stand_in(tmp_path, path, *listed)
    with (
        exchange,
        Witness(net) as fed,
        Witness(played) as replayed,
        Child(tmp_path, "run", "--config", config, **net.environment()) as feeder,
        Child(tmp_path, "tail", *net.options()) as tail,
        Child(tmp_path, "replay", path, "--speed", "0.5", *listed, *played.options()) as replay,
        Child(tmp_path, "tail", "--json", "--symbols", SYMBOL, *played.options()) as tail_json,
    ):
        tail.until_printed(f"{SYMBOL} LIVE TEST book delta")
        tail_json.until_printed('"book_delta"')
        until(lambda: len(replayed.datagrams) > 100, "the replay")
        for child in (tail, tail_json):
            child.signal(number)
            assert child.end() == 0, child.err
        feeder.signal(number)
        replay.signal(number)
        assert feeder.end() == 0, feeder.err
        assert replay.end() == 130, replay.err
        exchange.signal(number)
        assert exchange.end() == 0, exchange.err
        until(lambda: fed.ended() and replayed.ended(), "SESSION_END")
    for child in (feeder, replay, exchange):
        assert child.err == ""
    assert "events, " in tail.err.splitlines()[-1]
    assert "frames, 0 gaps" in tail.err.splitlines()[-1]
    for line in tail_json.out.splitlines():
        assert "replay" in json.loads(line)["flags"]
    assert feeder.out.startswith("binance_usdm TEST: ")
    assert "1 of 1 books live, 0 gaps, 0 faults" in feeder.out
    assert "frames in" in replay.out
    assert "ended early" in replay.out
    assert f"{SYMBOL} LIVE" in replay.out
    assert json.loads(exchange.out.splitlines()[-1])["connections"] >= 1
    for witness in (fed, replayed):
        frames = witness.frames()
        ends = [frame for frame in frames if frame.msg == "SESSION_END"]
        numbered = [f.header["channel_seq"] for f in frames if f.msg not in {"HEARTBEAT", "SESSION_END"}]
        last = max(numbered)
        assert {end.root["last_seq"] for end in ends} == {last}, "the end says how far the session went"
        assert frames[-1].msg == "SESSION_END"


@ENDS
def test_a_replay_without_end_was_ended_as_asked(
    number: signal.Signals, net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    options = ["--loop", "0", "--json", *net.options()]
    with Witness(net) as witness, Child(tmp_path, "replay", capture(SPOT), *options) as child:
        until(lambda: len(witness.datagrams) > 50, "the replay")
        child.signal(number)
        assert child.end() == 0, child.err
        until(witness.ended, "SESSION_END")
    summary = json.loads(child.out)
    assert (summary["complete"], summary["loops"], child.err) == (False, 1, "")
