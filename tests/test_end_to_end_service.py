"""`outcrier run` as a service manager sees it: told when it is ready, fed, asked, ended, killed."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outcrier.config import load, render
from prometheus_text import parse
from sockets import Child, Net, Witness, cut, stand_in, until
from workers import free_port

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
LIST = "binance_usdm/usdm_instruments"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def net() -> Net:
    return Net.pick()


class Manager:
    """Plays systemd's end of the notify socket."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(folder / "notify"))
        self.environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "1000000"}
        self.told: list[str] = []
        """Everything so far."""

    def listen(self) -> list[str]:
        """What came since the last call."""
        news = []
        while True:
            try:
                news.append(self._socket.recv(4_096).decode())
            except BlockingIOError:
                self.told += news
                return news

    def has(self, text: str) -> bool:
        self.listen()
        return text in self.told

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def ask(port: int, path: str) -> tuple[int, str]:
    """Status and body; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def is_live(port: int) -> bool:
    return ask(port, "/health")[0] == 200


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_service_manager_is_told_of_the_start_the_life_and_the_end(
    net: Net, capture: CaptureFinder, tmp_path: Path, manager: Manager
) -> None:
    path = cut(capture(USDM), tmp_path, 9_000)
    log, port = tmp_path / "feeder.log", free_port(socket.SOCK_STREAM)
    keys = tmp_path / "credentials" / "outcrier.keys"
    keys.parent.mkdir()
    keys.write_text("5a" * 32)
    keys.chmod(0o600)
    environment = {
        **net.environment(),
        **manager.environment,
        "CREDENTIALS_DIRECTORY": str(keys.parent),
        "OUTCRIER__FEEDER__KEY_FILE": "credential:outcrier.keys",
        "OUTCRIER__FEEDER__OPERATOR_LOG": str(log),
        "OUTCRIER__FEEDER__HEALTH_PORT": str(port),
    }
    exchange, config = stand_in(tmp_path, path, "--speed", "2", "--instruments", capture(LIST))
    options = ("run", "--config", config, "--venue", "binance_usdm")
    with exchange, Witness(net) as witness, Child(tmp_path, *options, **environment) as feeder:
        until(lambda: manager.has("READY=1"), "READY")
        cycles = [frame for frame in witness.frames(1) if frame.msg == "CYCLE_END"]
        assert cycles, "not before a whole snapshot cycle has left"
        first_seq = cycles[-1].root["first_snap_seq"]
        books = [frame.header["channel_seq"] for frame in witness.frames(1) if frame.msg == "BOOK_SNAPSHOT"]
        assert books, "with the book"
        assert max(books) >= first_seq
        assert "STATUS=1/1 venues live, 1/1 books live" in manager.told
        assert manager.told[0].startswith("EXTEND_TIMEOUT_USEC=")
        until(lambda: manager.listen().count("WATCHDOG=1") > 0, "it is fed")
        status, body = ask(port, "/health")
        assert (status, json.loads(body)["venues"]["binance_usdm"]["books_live"]) == (200, 1)
        metrics = parse(ask(port, "/metrics")[1])
        assert metrics["outcrier_ready"].value() == 1
        assert metrics["outcrier_venue_live"].value(venue="binance_usdm") == 1
        assert metrics["outcrier_venue_messages_total"].value(venue="binance_usdm") > 100
        assert metrics["outcrier_feed_went_live_total"].value(venue="binance_usdm") == 1
        assert metrics["outcrier_line_frames_total"].value(line="a") > 100
        assert metrics["outcrier_operator_log_lines_total"].value(outcome="written") >= 2
        assert metrics["outcrier_http_requests_total"].value(outcome="answered") >= 1
        assert metrics["process_resident_memory_bytes"].value() > 10_000_000
        assert 5 < metrics["process_open_fds"].value() < metrics["process_max_fds"].value()
        feeder.signal(signal.SIGHUP)
        until(
            lambda: any(line["cause"] == "keys changed" for line in lines_of(log)), "the keys are read again"
        )
        manager.listen()
        reloading = next(
            n for n, text in enumerate(manager.told) if text.startswith("RELOADING=1\nMONOTONIC_")
        )
        assert "READY=1" in manager.told[reloading:]
        exchange.signal(signal.SIGKILL)
        until(lambda: ask(port, "/health")[0] == 503, "the exchange is gone")
        gone = "STATUS=0/1 venues live, 0/1 books live; binance_usdm: 0 of 1 connections"
        until(lambda: any(text.startswith(gone) for text in manager.listen()), "and systemd is told")
        feeder.signal(signal.SIGTERM)
        assert feeder.end() == 0
        assert witness.ended()
    manager.listen()
    assert manager.told[-1] == "STOPPING=1"
    assert (feeder.out, feeder.err) == ("", ""), "nothing on the terminal"
    told = lines_of(log)
    over = told[-1]
    assert (over["venue"], over["cause"], over["counts"]["books"]) == ("binance_usdm", "session over", 1)
    assert {"session", "conn=1"} <= {line["cause"] for line in told if line.get("venue") == "binance_usdm"}


def test_a_kill_leaves_nothing_that_keeps_the_next_from_starting(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    path = cut(capture(USDM), tmp_path, 9_000)
    port, log = free_port(socket.SOCK_STREAM), tmp_path / "feeder.log"
    environment = {
        **net.environment(),
        "OUTCRIER__FEEDER__HEALTH_PORT": str(port),
        "OUTCRIER__FEEDER__OPERATOR_LOG": str(log),
        "OUTCRIER__FEEDER__LOG_DIR": str(tmp_path / "framelog"),
        "TMPDIR": str(tmp_path / "tmp"),
    }
    (tmp_path / "tmp").mkdir()
    exchange, config = stand_in(tmp_path, path, "--speed", "1", "--instruments", capture(LIST))
    sessions = []
    with exchange, Witness(net) as witness:
        for _ in range(3):
            before = len(witness.datagrams)
            with Child(tmp_path, "run", "--config", config, **environment) as feeder:
                until(lambda: is_live(port) or not feeder.running, "live")
                assert feeder.running, feeder.err + log.read_text()
                feeder.signal(signal.SIGKILL)
                assert feeder.end() == -signal.SIGKILL
            frames = [frame for frame in witness.frames(0) if frame.msg == "SESSION_START"]
            assert len(witness.datagrams) > before
            sessions.append((frames[-1].header["session"], frames[-1].root["prev_session"]))
        assert not witness.ended()
    assert [prev for _, prev in sessions] == [0, *(session for session, _ in sessions[:-1])]
    assert [session for session, _ in sessions] == sorted({session for session, _ in sessions})
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not [each for each in tmp_path.rglob("*") if each.suffix in {".new", ".tmp"}]
    left = [each.name for each in tmp_path.rglob("*.sock")]
    assert len(left) == 1, f"each feeder has removed the control socket of the one before: {left}"
    assert {line["cause"] for line in lines_of(log)} >= {"session", "conn=1"}


def test_venues_are_chosen_by_option(tmp_path: Path, net: Net) -> None:
    config = load(None, {})
    path = tmp_path / "outcrier.toml"
    path.write_text(render(config))
    with Child(tmp_path, "run", "--config", path, "--venue", "binance_tr", **net.environment()) as feeder:
        assert feeder.end() == 2
        assert feeder.err == (
            "outcrier: error: --venue binance_tr: venues.binance_tr.enabled is not true in the configuration;"
            " enabled are binance, binance_usdm, binance_coinm\n"
        )
    absent = tmp_path / "absent" / "feeder.log"
    with Child(
        tmp_path, "run", "--config", path, OUTCRIER__FEEDER__OPERATOR_LOG=str(absent), **net.environment()
    ) as feeder:
        assert feeder.end() == 2
        assert feeder.err.startswith(f"outcrier: error: feeder.operator_log: {absent}: there is no directory")
