"""`websocket_monitor` as a program: a feeder, its exchange, and what is told when either goes away."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outcrier.cli.main import run_command
from outcrier.cli.websocket_monitor import command
from sockets import PATIENCE_S, Child, Net, stand_in, until

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
LIST = "binance_usdm/usdm_instruments"
PROGRAM = (
    *(sys.executable, "-W", "error", "-c"),
    "from outcrier.cli.websocket_monitor import main; main()",
)

pytestmark = pytest.mark.timeout(100)


@pytest.fixture
def net() -> Net:
    return Net.pick()


def monitored(net: Net, *options: str, code: int = 0) -> tuple[str, str]:
    """What it prints until it ends."""
    done = subprocess.run(
        [*PROGRAM, *net.options(), *options], capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done.stdout.decode(), done.stderr.decode()


def once(net: Net, *options: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(monitored(net, "--once", "--json", *options)[0])
    return document


def test_a_feeder_its_exchange_killed_and_the_feeder_killed(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    exchange, config = stand_in(tmp_path, capture(USDM), "--instruments", capture(LIST))
    with exchange, Child(tmp_path, "run", "--config", config, **net.environment()) as feeder:

        def venue(*options: str) -> dict[str, Any]:
            (found,) = once(net, *options)["venues"]
            assert isinstance(found, dict)
            return found

        until(lambda: feeder.running and venue("--timeout", "30")["state"] == "live", "a live venue")
        live = venue("--venue", "binance_usdm")
        assert (live["venue"], live["channel"], live["why"], live["test"]) == ("binance_usdm", 2, "", True)
        assert (live["open"], live["planned"], live["live"], live["total"]) == (1, 1, 1, 1)
        assert live["messages_per_s"] > 0
        assert [each["state"] for each in live["connections"]] == ["open"]
        watched = [*PROGRAM, *net.options(), "--interval", "0.2"]
        with subprocess.Popen(watched, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watcher:
            assert watcher.stdout is not None
            assert watcher.stdout.readline()
            exchange.signal(signal.SIGKILL)
            until(lambda: venue()["state"] == "down", "the loss")
            down = venue()
            assert (down["why"], down["open"], down["live"]) == ("0 of 1 connections", 0, 0)
            (book,) = down["not_live"]
            assert (book["symbol"], book["state"], book["reason"]) == (
                *("BTC/USDT:PERP@binance_usdm", "stale", "disconnect"),
            )
            # Joined after it happened, and known all the same: it is said again every second.
            assert down["connections"][0]["state"] == "lost"
            feeder.signal(signal.SIGKILL)
            feeder.end()
            watcher.send_signal(signal.SIGINT)
            out, error = watcher.communicate(timeout=PATIENCE_S)
        assert watcher.returncode == 0, error
        lines = [line.split(" ", 1)[1] for line in out.decode().splitlines()]
        (lost,) = [line for line in lines if "conn 1 lost: " in line]
        assert lost.startswith("event: ")
        assert " closed 1006" in lost
        assert any(line.startswith("binance_usdm ch=2 state=down TEST connections=0/1 ") for line in lines)
        _, complaint = monitored(net, "--once", "--timeout", "1", code=4)
        assert f"websocket_monitor: error: nothing heard on group {net.group}" in complaint


def test_a_replay_has_no_connections_and_its_words_are_shown(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    options = ["--loop", "0", *net.options()]
    with Child(tmp_path, "replay", capture(USDM), *options) as replay:
        document: dict[str, Any] = {}

        def is_heard() -> bool:
            assert replay.running, replay.err
            out = subprocess.run(
                [*PROGRAM, *net.options(), "--once", "--json", "--timeout", "1"],
                capture_output=True,
                timeout=PATIENCE_S,
                check=False,
            ).stdout
            document.update(json.loads(out))
            return any(venue["channel"] for venue in document["venues"])

        until(is_heard, "the replay")
        (venue,) = document["venues"]
        assert (venue["replay"], venue["planned"], venue["connections"]) == (True, None, [])
        assert "connections" not in venue["why"]
        out, _ = monitored(net, "--once")
        assert " REPLAY connections=0/- " in out
        _, error = monitored(net, "--once", "--timeout", "1", "--venue", "kraken", code=4)
        assert "nothing heard of kraken within 1 s" in error
    assert error.count("\n") == 1 + error.count("receive buffer is")


def test_who_hears_nothing_is_told_why(net: Net) -> None:
    document, error = monitored(net, "--once", "--json", "--timeout", "0.3", code=4)
    assert json.loads(document)["venues"] == []
    assert f"nothing heard on group {net.group}, interface 127.0.0.1, port {net.port}: " in error


def test_foreign_datagrams_on_the_address_are_named(net: Net) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        subprocess.Popen(
            [*PROGRAM, *net.options(), "--once", "--timeout", "2"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        while process.poll() is None:
            sender.sendto(b"stray", (net.group, net.port))
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        _, error = process.communicate()
    assert process.returncode == 4
    assert "every datagram was refused (" in error.decode()
    assert "too short); another program may use this address" in error.decode()


def test_an_unknown_venue_is_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command, "websocket_monitor", ["--once", "--venue", "binanse"]) == 2
    assert "unknown venue 'binanse'" in capsys.readouterr().err
