"""Findings of `outcrier doctor` from what was seen, and what the kernel and chrony say in their own words."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from outcrier import _core
from outcrier.capture.library import group_by_venue
from outcrier.capture.replay import replay_into
from outcrier.config import MulticastConfig
from outcrier.doctor import Finding, look, machine, network, publishers
from outcrier.doctor.network import Multicast, Route, UdpSocket
from outcrier.doctor.publishers import Probe
from outcrier.monitor.report import Report
from outcrier.monitor.reporter import Reporter
from outcrier.reception import Address
from wire_reference import BY_NUMBER, decode, encode
from workers import free_port

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
AT = MulticastConfig()
SECOND = 1_000_000_000
DEFAULT = ".".join("0" * 4)
"""Destination of the default route."""


def kernel_hex(address: str) -> str:
    return f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}"


# Route, IGMP, sockets.

ROUTES = f"""\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t{kernel_hex(DEFAULT)}\t{kernel_hex("10.0.0.1")}\t0003\t0\t0\t100\t{kernel_hex(DEFAULT)}\t0\t0\t0
eth1\t{kernel_hex("239.0.0.0")}\t00000000\t0001\t0\t0\t20\t{kernel_hex("255.0.0.0")}\t0\t0\t0
eth2\t{kernel_hex("239.0.0.0")}\t00000000\t0001\t0\t0\t10\t{kernel_hex("255.0.0.0")}\t0\t0\t0
broken line
"""


def test_the_route_is_the_most_specific_one_of_the_least_metric() -> None:
    routes = network.routes(ROUTES)
    assert routes == [
        Route("eth0", DEFAULT, 0, 100),
        Route("eth1", "239.0.0.0", 8, 20),
        Route("eth2", "239.0.0.0", 8, 10),
    ]
    assert network.route_of("239.192.90.1", routes) == routes[2]
    assert network.route_of("224.1.1.1", routes) == routes[0]
    assert network.route_of("224.1.1.1", routes[1:]) is None


def test_a_route_by_another_interface_is_told_with_the_command() -> None:
    routes = network.routes(ROUTES)
    assert network.route_finding("239.192.90.1", "eth2", routes) == Finding(
        "route", "ok", "239.192.90.1 goes by eth2"
    )
    other = network.route_finding("239.192.90.1", "lo", routes)
    assert "a program that does not would use eth2" in other.text
    assert other.do.endswith("sudo ip route add 239.192.90.1/32 dev lo")
    assert "there is no route for others" in network.route_finding("239.192.90.1", "lo", []).text


IGMP = """\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
4\teth0      :     2      V2
\t\t\t\t010000E0     1 0:00000000\t\t0
"""


def test_igmp_and_what_stands_in_its_way() -> None:
    assert [network.igmp_version(IGMP, name) for name in ("lo", "eth0", "eth1")] == ["V3", "V2", ""]
    (loopback,) = network.multicast_findings(Multicast("lo", "V3", 1, ""), 0)
    assert (loopback.level, "no IGMP" in loopback.text) == ("ok", True)
    (well,) = network.multicast_findings(Multicast("eth0", "V3", 2, ""), 1)
    assert (well.level, well.text) == ("ok", "eth0 speaks IGMP V3")
    (stays,) = network.multicast_findings(Multicast("eth0", "V3", 0, ""), 0)
    assert "stays on this host" in stays.text
    none, strict, deaf = network.multicast_findings(Multicast("eth0", "", 1, "br0"), 1)
    assert (none.level, none.do) == ("fail", "sudo ip link set eth0 multicast on")
    assert (strict.level, strict.do) == ("warn", "sudo sysctl -w net.ipv4.conf.eth0.rp_filter=2")
    assert (deaf.level, deaf.do) == ("warn", "sudo ip link set br0 type bridge mcast_querier 1")


def test_sockets_of_others_are_told_by_what_they_are_bound_to() -> None:
    line = "  12: {}:2329 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 {} 2 0 {}"
    text = "\n".join(
        [
            "  sl  local_address ...",
            line.format(kernel_hex("239.192.90.1"), 77, 5),
            line.format("00000000", 78, 0),
            "cut",
        ]
    )
    bound, everything = network.udp_sockets(text)
    assert bound == UdpSocket("239.192.90.1", 9001, 5, 1000, 77)
    known = msgspec.structs.replace(everything, program="socat", pid=12)
    foreign, dropped, listens = network.socket_findings("sockets x", ("239.192.90.1",), 9001, [known, bound])
    assert (foreign.level, foreign.text.partition(" is bound")[0]) == ("warn", "socat (pid 12)")
    assert "ss -ulnp 'sport = :9001'" in foreign.do
    assert (dropped.level, dropped.text) == (
        "warn",
        "the kernel dropped 5 datagrams of a program of uid 1000 at 239.192.90.1:9001",
    )
    assert "rcvbuf_bytes" in dropped.do
    assert (listens.level, listens.text) == (
        "ok",
        "1 sockets bound to groups of port 9001, of a program of uid 1000",
    )
    (nobody,) = network.socket_findings("sockets x", ("239.192.90.1",), 9002, [known, bound])
    assert "nobody on this host listens" in nobody.text


def test_the_owner_of_a_socket_is_found() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.bind(("127.0.0.1", 0))
        (found,) = look.udp_sockets(mine.getsockname()[1])
    assert (found.address, found.program) != ("", "")
    assert found.pid == os.getpid()


# Publishers.


@pytest.fixture(scope="module")
def frames(capture: CaptureFinder) -> list[bytes]:
    """The first frames of a replay on the incremental plane, without padding."""
    publisher = _core.Publisher.memory()
    replay_into(publisher, group_by_venue([capture(USDM)])[0])
    return [
        data[: 66 + int.from_bytes(data[6:8], "little")] for plane, data in publisher.take() if plane == 0
    ][:100]


def beat(frames: list[bytes], **root: int) -> bytes:
    """A heartbeat of the session as it could come next."""
    header = {**decode(frames[-1]).header, "flags": 1 << 7, "instrument": 0, "instr_seq": 0}
    header["channel_seq"] += 1
    told = {
        "publisher_id": 7,
        "mono_ns": 1 << 62,
        "clock_err_ns": 300_000,
        "snapshot_cycle_ms": 1_000,
        **root,
    }
    return encode("HEARTBEAT", header, told)


def heard(*arrivals: tuple[int, bytes]) -> Report:
    """What a monitor reports of datagrams by the numbers of their lines."""
    monitor = _core.Monitor()
    for line, data in arrivals:
        monitor.datagram(line, data, SECOND)
    address = Address("crypto", "127.0.0.1", AT.group_a, AT.group_snapshot, AT.port)
    return Reporter(address, 0, 0).take(monitor, mono_ns=SECOND, wall_ns=SECOND)


def test_nobody_and_one_publisher() -> None:
    (nobody,) = publishers.port_findings("crypto", AT, heard())
    assert (nobody.level, nobody.text) == ("ok", "239.192.90.1:9001 can be shared; nobody publishes there")


def test_two_publishers_are_a_fail(frames: list[bytes]) -> None:
    one = heard(*((0, frame) for frame in frames), (0, beat(frames)))
    (finding,) = publishers.port_findings("crypto", AT, one)
    assert finding.level == "ok"
    assert finding.text == (
        "239.192.90.1:9001: binance_usdm on channel 2 is published, session 1 REPLAY by 0000000000000007;"
        " another publisher of it will refuse to start"
    )
    split = heard(*((0, frame) for frame in frames), (0, beat(frames)), (0, beat(frames, publisher_id=8)))
    (finding,) = publishers.port_findings("crypto", AT, split)
    assert (finding.level, "two processes in one session" in finding.text) == ("fail", True)
    assert "pgrep" in finding.do
    newer = encode("BBO", {**decode(frames[-1]).header, "session": 2}, {})
    old = heard((0, frames[0]), (0, newer), (0, frames[1]), (0, frames[2]))
    (finding,) = publishers.port_findings("crypto", AT, old)
    assert (finding.level, "2 frames of an older session" in finding.text) == ("fail", True)


def test_datagrams_of_another_program_are_told(frames: list[bytes]) -> None:
    report = heard((0, frames[0]), (0, b"hello" * 30), (0, b"short"), (1, frames[1]))
    findings = [each for each in publishers.port_findings("crypto", AT, report) if each.level == "warn"]
    assert [each.text for each in findings] == [
        "2 of 3 datagrams of group A are none of ours (1 too short, 1 sync)",
        "1 of 1 datagrams of group snapshot are none of ours (1 of the other plane)",
    ]
    assert all("tcpdump" in each.do for each in findings)


def test_both_lines_one_line_and_losses(frames: list[bytes]) -> None:
    both = heard(*((group, frame) for frame in frames for group in (0, 2)))
    (whole,) = publishers.line_findings("crypto", AT, both)
    assert (whole.level, whole.text) == ("ok", "channel 2 is whole on A and B")
    alone = heard(*((0, frame) for frame in frames))
    (single,) = publishers.line_findings("crypto", AT, alone)
    assert (single.level, "is not heard on line B" in single.text, AT.group_b in single.do) == (
        "warn",
        True,
        True,
    )
    (wanted,) = publishers.line_findings("crypto", msgspec.structs.replace(AT, group_b=""), alone)
    assert (wanted.level, wanted.text) == ("ok", "channel 2 is whole on A")
    lossy = heard(
        *((group, frame) for n, frame in enumerate(frames) for group in (0, 2) if (n, group) != (50, 2))
    )
    (lost,) = publishers.line_findings("crypto", AT, lossy)
    assert (lost.level, lost.text) == ("warn", "channel 2 lost 1 of 100 on B; 0 on all lines")


@pytest.mark.parametrize(
    ("error_ns", "level", "text"),
    [
        (300_000, "ok", "at most 0.300 ms"),
        (1_500_000, "warn", "up to 1.500 ms: above 1 ms, frames carry CLOCK_BAD"),
        (0xFFFF_FFFF, "warn", "does not know the error of its clock"),
    ],
)
def test_the_clock_of_a_publisher(frames: list[bytes], error_ns: int, level: str, text: str) -> None:
    report = heard(*((0, frame) for frame in frames), (0, beat(frames, clock_err_ns=error_ns)))
    (finding,) = publishers.clock_findings("crypto", report)
    assert (finding.level, text in finding.text, bool(finding.do)) == (level, True, level == "warn")
    assert "chrony" in finding.do or level == "ok"


# The retransmit server.


def test_what_a_server_answers_is_told(frames: list[bytes]) -> None:
    report = heard(*((0, frame) for frame in frames), (0, beat(frames)))
    (none,) = publishers.retransmit_findings("crypto", report, [])
    assert (none.level, "no retransmit server" in none.text) == ("ok", True)
    probe = Probe(2, "127.0.0.1", 9011, 250_000, 0, 5, 900)
    (well,) = publishers.retransmit_findings("crypto", report, [probe])
    assert (well.level, well.text) == (
        "ok",
        "channel 2: the server at 127.0.0.1:9011 answered 'ok' after 0.2 ms; it keeps 5 to 900",
    )
    (cookie,) = publishers.retransmit_findings("crypto", report, [msgspec.structs.replace(probe, code=6)])
    assert (cookie.level, "'need cookie'" in cookie.text) == ("ok", True)
    (limited,) = publishers.retransmit_findings("crypto", report, [msgspec.structs.replace(probe, code=3)])
    assert (limited.level, "'rate limited'" in limited.text) == ("warn", True)
    (silent,) = publishers.retransmit_findings(
        "crypto", report, [msgspec.structs.replace(probe, after_ns=None)]
    )
    assert (silent.level, "does not answer" in silent.text, "nft" in silent.do) == ("fail", True, True)


@contextmanager
def server(answer: Callable[[dict[str, Any]], bytes]) -> Iterator[int]:
    """A retransmit server of the independent codec, for one request; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(30)

        def serve() -> None:
            data, sender = listening.recvfrom(2_048)
            frame = decode(data)
            assert (BY_NUMBER[frame.header["msg_type"]], frame.header["count"]) == ("RETX_REQUEST", 0)
            assert frame.root["cookie"] == 0
            listening.sendto(answer(frame.header), sender)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_the_probe_asks_for_nothing_and_reads_the_reply(frames: list[bytes]) -> None:
    def reply(header: dict[str, Any]) -> bytes:
        assert (header["channel"], header["session"], header["venue"]) == (2, 1, 2)
        return encode("RETX_REPLY", header, {"oldest_seq": 3, "newest_seq": 99, "code": 6})

    with server(reply) as port:
        root = {"retx_ipv4": int.from_bytes(socket.inet_aton("127.0.0.1"), "big"), "retx_udp_port": port}
        report = heard(*((0, frame) for frame in frames), (0, beat(frames, **root)))
        (probe,) = look.probes(report)
    assert (probe.channel, probe.address, probe.port) == (2, "127.0.0.1", port)
    assert (probe.code, probe.oldest, probe.newest) == (6, 3, 99)
    assert probe.after_ns is not None


def test_a_server_that_is_not_there_is_told_so(frames: list[bytes]) -> None:
    port = free_port()
    root = {"retx_ipv4": struct.unpack(">I", socket.inet_aton("127.0.0.1"))[0], "retx_udp_port": port}
    report = heard(*((0, frame) for frame in frames), (0, beat(frames, **root)))
    assert look.probes(report) == [Probe(2, "127.0.0.1", port, None)]


# Buffer and clock.


@pytest.mark.parametrize(
    ("effective", "rmem_max", "is_forced", "level", "text"),
    [
        (425_984, 212_992, False, "warn", "bursts will be lost"),
        (16_777_216, 8_388_608, False, "warn", "large bursts may be lost"),
        (
            33_554_432,
            16_777_216,
            False,
            "ok",
            "33,554,432 bytes in effect of 33,554,432 wanted by SO_RCVBUF,",
        ),
        (33_554_432, 212_992, True, "ok", "programs without it get 425,984"),
        (33_554_432, None, True, "ok", "net.core.rmem_max cannot be read here"),
    ],
)
def test_the_receive_buffer(
    effective: int, rmem_max: int | None, is_forced: bool, level: str, text: str
) -> None:
    wanted = 16_777_216
    finding = machine.buffer_finding(machine.Buffer(wanted, effective, is_forced, rmem_max))
    assert (finding.level, text in finding.text) == (level, True), finding
    assert ("SO_RCVBUFFORCE" in finding.text) is is_forced
    assert bool(finding.do) is (rmem_max is not None and rmem_max < wanted)
    assert finding.do in {"", f"sudo sysctl -w net.core.rmem_max={wanted}"}


@pytest.mark.parametrize("admin", [False, True])
def test_the_buffer_is_asked_for_as_a_subscriber_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, admin: bool
) -> None:
    class Limited(socket.socket):
        """As the kernel does it (socket(7)): doubled, and without the privilege clamped."""

        size = 0

        def setsockopt(self, level: int, option: int, value: Any) -> None:  # type: ignore[override]
            assert (level, value) == (socket.SOL_SOCKET, 16_777_216)
            if option != socket.SO_RCVBUF and not admin:
                raise PermissionError
            self.size = 2 * (value if admin else min(value, 212_992))

        def getsockopt(self, *_: int) -> int:  # type: ignore[override]
            return self.size

    limit = tmp_path / "rmem_max"
    limit.write_text("212992\n")
    monkeypatch.setattr(machine, "_RMEM_MAX", limit)
    monkeypatch.setattr(socket, "socket", Limited)
    effective = 33_554_432 if admin else 425_984
    assert machine.look_at_buffer(16_777_216) == machine.Buffer(16_777_216, effective, admin, 212_992)


TRACKING = """\
Reference ID    : A9FEA97B (169.254.169.123)
Stratum         : 4
System time     : 0.000001520 seconds slow of NTP time
Root delay      : 0.000400000 seconds
Root dispersion : 0.000300000 seconds
Leap status     : Normal
"""


def test_the_clock() -> None:
    well = {"synchronised": True, "offset_ns": 12_000, "error_ns": 300_000}
    chrony = machine.chrony_of(TRACKING)
    assert chrony == machine.Chrony("Normal", "A9FEA97B (169.254.169.123)", 0.0005)
    assert machine.chrony_of("506 Cannot talk to daemon\n") is None
    finding = machine.clock_finding(well, ["chronyd"], chrony)
    assert finding.level == "ok"
    assert (
        "error at most 0.300 ms, correction under way 0.012 ms; kept by chronyd, which follows"
        in finding.text
    )
    assert "within 0.500 ms (Normal)" in finding.text
    finding = machine.clock_finding(well | {"error_ns": 1_500_000}, ["chronyd"], None)
    assert (finding.level, "CLOCK_BAD" in finding.text) == ("warn", True)
    adrift = {"synchronised": False, "offset_ns": 0, "error_ns": None}
    finding = machine.clock_finding(adrift, [], None)
    assert (finding.level, "no time daemon runs here" in finding.text) == ("warn", True)
    assert "apt-get install chrony" in finding.do
    assert machine.clock_finding(adrift, ["ntpd"], None).do == "sudo systemctl restart ntpd"
    assert machine.clock_finding(adrift, ["chronyd"], chrony).do.startswith("chronyc sources")
    system = _core.system_clock()
    assert isinstance(system["synchronised"], bool)
    assert system["error_ns"] is None or system["synchronised"]
