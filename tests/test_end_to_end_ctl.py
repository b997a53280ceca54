"""`outcrier ctl` and SIGHUP against a feeder that runs: symbols and venues come and go, and whatever is said
to the socket holds nobody up.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from outcrier.config import Config, VenueConfig, load, render
from outcrier.errors import ConfigurationError
from outcrier.feeder.control import (
    CLIENTS_MAX,
    HISTORY_BYTES_MAX,
    REQUEST_BYTES_MAX,
    Request,
    _address,
    _newest,
    ask,
    sockets,
)
from prometheus_text import parse
from sockets import Child, Net, Witness, stand_in, until
from test_end_to_end_service import ask as get
from workers import free_port

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
NAME = "binance_usdm"

pytestmark = pytest.mark.timeout(180)


class Feeder:
    """`outcrier run` against a stand-in, and its operator."""

    def __init__(self, folder: Path, net: Net, config: Path) -> None:
        self.folder = folder
        self.path = folder / "feeder.toml"
        self.base: Config = load(config, {})
        self.health_port = free_port(socket.SOCK_STREAM)
        self.write("BTCUSDT")
        self.environment = {
            **net.environment(),
            "OUTCRIER__FEEDER__CONTROL_DIR": str(folder / "control"),
            "OUTCRIER__FEEDER__HEALTH_PORT": str(self.health_port),
        }
        self.child = Child(folder, "run", "--config", self.path, **self.environment)

    def write(self, *symbols: str, **more: VenueConfig) -> None:
        """The configuration from now on."""
        mine = msgspec.structs.replace(self.base.venues[NAME], symbols=symbols)
        venues = {**self.base.venues, NAME: mine, **more}
        self.path.write_text(render(msgspec.structs.replace(self.base, venues=venues)))

    @property
    def socket(self) -> Path:
        (path,) = (self.folder / "control").glob("feed-*.sock")
        return path

    def ctl(self, *arguments: str, code: int = 0) -> str:
        """What `outcrier ctl` prints."""
        with Child(self.folder, *arguments, "--config", str(self.path), **self.environment) as child:
            assert child.end() == code, child.out + child.err
            return child.out + child.err

    def status(self) -> dict[str, dict[str, Any]]:
        return {each["venue"]: each for each in ask(self.socket, Request("status")).venues}

    def until_live(self, books: int) -> None:
        until(
            lambda: (
                self.child.running
                and (found := self.status().get(NAME)) is not None
                and found["books"] == found["live"] == books
            ),
            f"{books} live",
        )

    def metrics(self) -> Any:
        return parse(get(self.health_port, "/metrics")[1])


@pytest.fixture
def feeder(capture: CaptureFinder, tmp_path: Path) -> Iterator[Feeder]:
    exchange, config = stand_in(tmp_path, capture(USDM), "--copies", "3", "--loop")
    with exchange:
        feeder = Feeder(tmp_path, Net.pick(), config)
        with feeder.child:
            until(lambda: any((tmp_path / "control").glob("feed-*.sock")), "the socket is there")
            feeder.until_live(1)
            yield feeder


def test_the_operator_adds_removes_starts_stops_and_looks(feeder: Feeder) -> None:
    assert stat.S_IMODE(feeder.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(feeder.socket.parent.stat().st_mode) == 0o700
    out = feeder.ctl("ctl", "add", f"X1BTCUSDT@{NAME}", f"X2BTCUSDT@{NAME}")
    assert "2 added" in out
    assert "X1BTCUSDT@binance_usdm" in out
    feeder.until_live(3)
    assert "unknown symbol 'NOPE'" in feeder.ctl("ctl", "add", f"NOPE@{NAME}", code=2)
    assert "names no venue" in feeder.ctl("ctl", "add", "BTCUSDT", code=2)
    assert "no feeder that runs here publishes okx" in feeder.ctl("ctl", "add", "BTC-USDT@okx", code=2)
    assert "1 removed" in feeder.ctl("ctl", "remove", f"X1BTCUSDT@{NAME}")
    feeder.until_live(2)
    table = feeder.ctl("ctl", "status")
    assert f"{NAME} TEST" in table
    assert "2/2" in table
    (line,) = feeder.ctl("ctl", "status", "--json").splitlines()
    told = json.loads(line)
    assert (told["venue"], told["books"], told["live"], told["reconnects"]) == (NAME, 2, 2, 0)
    rows = [
        json.loads(row)
        for row in feeder.ctl("book", f"X2BTCUSDT@{NAME}", "--history", "5", "--json").splitlines()
    ]
    assert len(rows) == 5
    assert all("X2BTCUSDT" in row["d"] or "x2btcusdt" in row["d"] for row in rows)
    assert [row["t"] for row in rows] == sorted(row["t"] for row in rows)
    assert "is not published" in feeder.ctl("book", f"X1BTCUSDT@{NAME}", "--history", "5", code=2)
    assert "has ended" in feeder.ctl("ctl", "stop", NAME)
    assert feeder.status() == {}
    assert "no feeder that runs here publishes" in feeder.ctl("ctl", "stop", NAME, code=2)
    assert "starts" in feeder.ctl("ctl", "start", NAME)
    feeder.until_live(1)
    assert "runs already" in feeder.ctl("ctl", "start", NAME, code=2)


def test_what_dead_feeders_leave_is_removed_and_nobody_there_is_said(feeder: Feeder) -> None:
    left = feeder.socket.parent / "feed-999999.sock"
    with socket.socket(socket.AF_UNIX) as dead, _address(left) as address:
        dead.bind(address)
    assert left.exists()
    assert NAME in feeder.ctl("ctl", "status")
    assert not left.exists()
    feeder.child.signal(signal.SIGKILL)
    feeder.child.end()
    assert feeder.socket.exists(), "a killed one cannot clean"
    assert "no feeder runs here" in feeder.ctl("ctl", "status", code=2)
    assert list(feeder.folder.glob("control/*")) == []
    nobody = feeder.folder / "control" / "feed-1.sock"
    with pytest.raises(ConfigurationError, match=r"feed-1\.sock: No such file"):
        ask(nobody, Request("status"))
    nobody.write_text("no socket")
    assert sockets(nobody.parent) == []
    assert nobody.exists(), "what is no socket is not ours"


def open_client(path: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.settimeout(20)
    with _address(path) as address:
        link.connect(address)
    return link


def test_abuse_of_the_socket_is_bounded_and_counted(feeder: Feeder) -> None:
    path = feeder.socket

    def counted() -> tuple[int, int]:
        family = feeder.metrics()["outcrier_control_requests_total"]
        return int(family.value(outcome="answered")), int(family.value(outcome="refused"))

    answered, refused = counted()
    assert (answered > 0, refused) == (True, 0)
    with open_client(path) as link:
        link.sendall(b'{"do":"dance"}\n')
        assert b'"ok":false' in link.recv(4096)
    assert counted()[1] == 1
    with open_client(path) as link, suppress(ConnectionError):  # A line without end.
        link.sendall(b"x" * (3 * REQUEST_BYTES_MAX))
        assert link.recv(4096) == b""
    assert counted()[1] == 2
    idle = [open_client(path) for _ in range(CLIENTS_MAX)]
    time.sleep(0.2)
    with open_client(path) as link, suppress(ConnectionError):
        assert link.recv(4096) == b"", "one too many"
    for link in idle:
        link.close()
    until(lambda: counted()[1] >= 3, "counted")
    with open_client(path) as slow:  # Asks for much and reads nothing.
        slow.settimeout(0.5)
        request = msgspec.json.encode(Request("history", NAME, ("BTCUSDT",), 10_000)) + b"\n"
        with suppress(TimeoutError, ConnectionError):
            for _ in range(2_000):
                slow.sendall(request)
        before = feeder.status()[NAME]["messages"]
        until(lambda: feeder.status()[NAME]["messages"] > before + 100, "the feed goes on")
        lag = feeder.metrics()["outcrier_event_loop_lag_max_seconds"].value()
        assert lag < 2.0, "nobody is held up for long"
        until(lambda: counted()[1] >= 4, "who reads nothing is sent away", 30)
    assert feeder.status()[NAME]["live"] == 1


def test_an_answer_holds_the_newest_messages_that_have_room() -> None:
    rows = [(number, 1, bytes([number]) * (HISTORY_BYTES_MAX // 3)) for number in range(1, 6)]
    assert [row[0] for row in _newest(rows)] == [3, 4, 5]
    assert _newest([(1, 2, b"\xff")]) == ((1, 2, "\N{REPLACEMENT CHARACTER}"),)


def test_a_reload_means_what_the_file_says(feeder: Feeder) -> None:
    def reload_until(condition: Callable[[], bool], what: str) -> None:
        feeder.child.signal(signal.SIGHUP)
        until(condition, what)

    def log() -> str:
        return feeder.child.err

    feeder.write("BTCUSDT", "X1BTCUSDT")
    feeder.child.signal(signal.SIGHUP)
    feeder.until_live(2)
    feeder.ctl("ctl", "add", f"X3BTCUSDT@{NAME}")
    feeder.until_live(3)
    feeder.child.signal(signal.SIGHUP)  # The operator's word lasts until the file is read again.
    feeder.until_live(2)
    good = feeder.path.read_text()
    feeder.path.write_text("venues = 3\n")
    reload_until(lambda: "the configuration stays as it was" in log(), "a bad file is told")
    assert feeder.status()[NAME]["books"] == 2
    feeder.write("BTCUSDT", "NOPE")
    reload_until(lambda: "unknown symbol 'NOPE'" in log(), "a bad symbol is told")
    assert feeder.status()[NAME]["books"] == 2
    changed = msgspec.structs.replace(load(feeder.path, {}).feeder, limited_mode=True)
    feeder.path.write_text(good)
    text = render(msgspec.structs.replace(load(feeder.path, {}), feeder=changed))
    feeder.path.write_text(text)
    reload_until(lambda: "needs a restart: [feeder] has changed" in log(), "what needs a restart is named")
    feeder.path.write_text(good)
    feeder.child.signal(signal.SIGTERM)
    began = time.monotonic()
    assert feeder.child.end() == 0
    assert time.monotonic() - began < 3.0


def test_many_reloads_lose_no_frame(capture: CaptureFinder, tmp_path: Path) -> None:
    exchange, config = stand_in(tmp_path, capture(USDM), "--copies", "1", "--loop")
    net = Net.pick()
    reloads = int(os.environ.get("OUTCRIER_RELOADS", "100"))
    with exchange, Witness(net) as witness:
        feeder = Feeder(tmp_path, net, config)
        with feeder.child:
            until(lambda: any((tmp_path / "control").glob("feed-*.sock")), "the socket is there")
            feeder.until_live(1)
            for number in range(reloads):
                feeder.write("BTCUSDT", *(["X1BTCUSDT"] if number % 2 else []))
                feeder.child.signal(signal.SIGHUP)
                time.sleep(0.02)
            feeder.until_live(2)
            status = feeder.status()[NAME]
            assert (status["gaps"], status["faults"], status["reconnects"]) == (0, 0, 0)
            feeder.child.signal(signal.SIGTERM)
            assert feeder.child.end() == 0
            until(witness.ended, "the end is heard")
        numbers = [frame.header["channel_seq"] for frame in witness.frames() if frame.msg != "HEARTBEAT"]
        numbered = sorted(set(numbers) - {0})
        assert numbered == list(range(numbered[0], numbered[-1] + 1)), "no frame is missing"
        mine = [
            frame
            for frame in witness.frames()
            if frame.header["instrument"] == 1 and frame.msg in {"BOOK_DELTA", "STATUS"}
        ]
        assert {frame.root["state"] for frame in mine if frame.msg == "STATUS"} <= {1}
