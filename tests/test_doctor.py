"""`outcrier doctor`: what it finds on this machine, and on ones that are broken on purpose."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from outcrier import _core, doctor
from outcrier.cli.main import run
from outcrier.config import Config, MulticastSections
from outcrier.doctor import Finding, examine
from sockets import Child, Net, Witness, until

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"


@pytest.fixture
def net() -> Net:
    return Net.pick()


@pytest.fixture
def config(net: Net) -> Config:
    """Both families on addresses of the test."""
    sections = MulticastSections(crypto=net.multicast(), stock=Net.pick().multicast())
    return msgspec.structs.replace(Config(), multicast=sections)


def found(config: Config, error: str | None = None) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(config, error)}


def test_a_machine_that_is_well(config: Config) -> None:
    findings = found(config)
    expected = [
        *("python", "outcrier", "configuration", "kernel", "interface", "multicast A", "multicast snapshot"),
        *("port crypto", "port stock", "receive buffer", "UDP_SEGMENT", "UDP_GRO", "clock"),
    ]
    assert list(findings) == expected
    for check in ("python", "outcrier", "configuration", "interface", "multicast A", "port crypto"):
        assert findings[check].level == "ok", findings[check]
    assert _core.__version__ in findings["outcrier"].text
    assert "127.0.0.1" in findings["interface"].text
    assert config.multicast.crypto.group_a in findings["multicast A"].text
    assert config.multicast.crypto.group_snapshot in findings["multicast snapshot"].text
    assert "nobody publishes there" in findings["port crypto"].text
    assert all(finding.do for finding in findings.values() if finding.level != "ok")


def test_a_wrong_interface_names_those_there_are(config: Config) -> None:
    crypto = msgspec.structs.replace(config.multicast.crypto, interface="10.99.1.2")
    config = msgspec.structs.replace(config, multicast=MulticastSections(crypto=crypto))
    findings = found(config)
    assert findings["interface"].level == "fail"
    assert "10.99.1.2; there are " in findings["interface"].text
    assert "127.0.0.1" in findings["interface"].text
    assert "multicast A" not in findings


def test_a_port_held_by_another_program_is_a_fail(config: Config, net: Net) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("0.0.0.0", net.port))  # noqa: S104 - what another program does
        finding = found(config)["port crypto"]
    assert finding.level == "fail"
    assert str(net.port) in finding.text
    assert f"sport = :{net.port}" in finding.do


def test_a_feed_that_runs_is_shown(config: Config, net: Net, capture: CaptureFinder, tmp_path: Path) -> None:
    with Witness(net) as witness, Child(tmp_path, "replay", capture(USDM), "--loop", "0", *net.options()):
        until(lambda: len(witness.datagrams) > 20, "frames on the wire")
        findings: list[Finding] = []

        def is_heard() -> bool:
            findings[:] = doctor._port("crypto", config.multicast.crypto)
            return "published, session" in findings[0].text

        until(is_heard, "the channel heard")
    (finding,) = findings
    assert finding.level == "ok"
    assert "binance_usdm on channel 2 is published, session " in finding.text
    assert " REPLAY;" in finding.text


class _Deaf(socket.socket):
    """A socket to which nothing comes."""

    def recv(self, *_: Any) -> bytes:
        raise TimeoutError


def test_a_group_that_is_not_heard_is_a_fail(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", _Deaf)
    finding = found(config)["multicast A"]
    assert finding.level == "fail"
    assert "was not heard" in finding.text
    assert "nft" in finding.do


@pytest.mark.parametrize(
    ("rmem_max", "admin", "level", "text"),
    [
        (212_992, False, "warn", "bursts will be lost"),
        (8_388_608, False, "warn", "large bursts may be lost"),
        (16_777_216, False, "ok", "33,554,432 bytes in effect"),
        (212_992, True, "ok", "programs without it get 425,984"),
    ],
)
def test_the_receive_buffer(  # noqa: PLR0917
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rmem_max: int, admin: bool, level: str, text: str
) -> None:
    wanted = 16_777_216

    class Limited(socket.socket):
        """As the kernel does it (socket(7)): doubled, and without the privilege clamped."""

        size = 0

        def setsockopt(self, level: int, option: int, value: Any) -> None:  # type: ignore[override]
            assert (level, value) == (socket.SOL_SOCKET, wanted)
            if option != socket.SO_RCVBUF and not admin:
                raise PermissionError
            self.size = 2 * (value if admin else min(value, rmem_max))

        def getsockopt(self, *_: int) -> int:  # type: ignore[override]
            return self.size

    limit, status = tmp_path / "rmem_max", tmp_path / "status"
    limit.write_text(f"{rmem_max}\n")
    status.write_text(f"Name:\tx\nCapEff:\t{1 << 12 if admin else 0:016x}\n")
    monkeypatch.setattr(doctor, "_RMEM_MAX", limit)
    monkeypatch.setattr(doctor, "_STATUS", status)
    monkeypatch.setattr(socket, "socket", Limited)
    finding = doctor._buffer(wanted)
    assert (finding.level, text in finding.text) == (level, True), finding
    assert ("with CAP_NET_ADMIN" in finding.text) is admin
    assert bool(finding.do) is (rmem_max < wanted)
    assert finding.do in {"", f"sudo sysctl -w net.core.rmem_max={wanted}"}


def test_the_clock() -> None:
    well = {"synchronised": True, "offset_ns": 12_000, "error_ns": 300_000}
    finding = doctor._clock(well, ["chronyd"])
    assert finding.level == "ok"
    assert "error at most 0.300 ms, correction under way 0.012 ms; kept by chronyd" in finding.text
    finding = doctor._clock(well | {"error_ns": 1_500_000}, ["chronyd"])
    assert finding.level == "warn"
    assert "CLOCK_BAD" in finding.text
    finding = doctor._clock({"synchronised": False, "offset_ns": 0, "error_ns": None}, [])
    assert (finding.level, "no time daemon runs here" in finding.text) == ("warn", True)
    assert "chrony" in finding.do
    system = _core.system_clock()
    assert isinstance(system["synchronised"], bool)
    assert system["error_ns"] is None or system["synchronised"]


# The program.


@pytest.fixture
def _own_port(monkeypatch: pytest.MonkeyPatch, net: Net, tmp_path: Path) -> None:
    for name, value in net.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_own_port")
def test_the_program_prints_a_line_each_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok    python ")
    assert all(line.startswith(("ok ", "warn ", "                           do: ")) for line in lines)
    assert run(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert told["findings"][0]["check"] == "python"


@pytest.mark.usefixtures("_own_port")
def test_a_fail_is_an_exit_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[multicast.crypto]\nttl = 5\n")
    assert run(["doctor", "--config", "bad.toml", "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    wrong = next(finding for finding in told["findings"] if finding["level"] == "fail")
    assert wrong["check"] == "configuration"
    assert wrong["text"].startswith("bad.toml: multicast.crypto.ttl: 5 is not allowed")
    assert run(["doctor", "--interface", "10.99.1.2"]) == 4
    assert "fail  interface" in capsys.readouterr().out
