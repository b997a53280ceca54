"""`outcrier doctor`: what it finds on this machine, and on ones that are broken on purpose."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from outcrier import _core
from outcrier.capture.library import group_by_venue
from outcrier.capture.replay import replay_into
from outcrier.cli.main import run
from outcrier.config import Config, MulticastSections, SubscriberConfig
from outcrier.doctor import Finding, examine, look, network, publishers
from outcrier.monitor.source import Source
from outcrier.reception import Address
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
        *("python", "outcrier", "configuration", "kernel", "interface", "route", "igmp"),
        *("multicast A", "multicast B", "multicast snapshot", "sockets crypto", "port crypto"),
        *("sockets stock", "port stock", "receive buffer", "UDP_SEGMENT", "UDP_GRO", "clock"),
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
            report = look.listen("crypto", config.multicast.crypto)
            findings[:] = publishers.port_findings("crypto", config.multicast.crypto, report)
            return "published, session" in findings[0].text

        until(is_heard, "the channel heard")
        # Its ear has discarded our frames by its filter; that is no want of buffer.
        sockets = look.udp_sockets(net.port)
        assert any(each.publishes and each.drops for each in sockets)
        told = network.socket_findings("sockets crypto", (net.group,), net.port, sockets)
        assert all("dropped" not in each.text for each in told)
    (finding,) = findings
    assert finding.level == "ok"
    assert "binance_usdm on channel 2 is published, session " in finding.text
    assert " REPLAY by " in finding.text


@pytest.mark.parametrize("keys", ["", "3: " + "6b" * 32 + "\n"])
def test_the_retransmit_server_of_a_publisher_answers(net: Net, capture: CaptureFinder, keys: str) -> None:
    at = net.multicast()
    publisher = _core.Publisher.udp(
        interface=at.interface,
        group=at.group_a,
        snapshot_group=at.group_snapshot,
        port=at.port,
        ttl=0,
        retransmit=True,
        keys=keys,
    )
    replay = replay_into(publisher, group_by_venue([capture(USDM)])[0])
    with closing(Source(Address.of("crypto", at), SubscriberConfig())) as source:

        def is_told() -> bool:
            replay.feed.tick()
            source.listen(10_000_000)
            return any(stream.heartbeat for stream in source.take().channels)

        until(is_told, "a heartbeat")
        report = source.take()
    (probe,) = look.probes(report, keys)
    assert (probe.channel, probe.port) == (2, publisher.retransmit_ports()[0])
    assert (probe.code, probe.oldest, probe.newest) == (0, 1, replay.feed.last_seq())
    (finding,) = publishers.retransmit_findings("crypto", report, [probe])
    assert (finding.level, " answered 'ok' after " in finding.text) == ("ok", True)
    if keys:
        # Who has no key is told, and not left without an answer.
        (unsigned,) = publishers.retransmit_findings("crypto", report, look.probes(report))
        assert (unsigned.level, " answered 'bad MAC' after " in unsigned.text) == ("warn", True)
        assert "subscriber.key_file" in unsigned.do


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
