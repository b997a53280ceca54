"""What `udp_monitor` counts and shows: reports of intervals, sans-I/O, and the program on real sockets."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from outcrier import _core
from outcrier.capture.library import group_by_venue
from outcrier.capture.replay import replay_into
from outcrier.cli.main import run_command
from outcrier.cli.udp_monitor import command
from outcrier.monitor.hops import Quantiles, bars, quantiles
from outcrier.monitor.report import Report, Wish
from outcrier.monitor.reporter import Reporter
from outcrier.monitor.screen import lines, screen
from outcrier.reception import Address
from sockets import Child, Net, Witness, until
from wire_reference import crc32c

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
SECOND = 1_000_000_000
ADDRESS = Address("crypto", "127.0.0.1", "239.192.90.1", "239.192.90.3", 9001)


@pytest.fixture
def net() -> Net:
    return Net.pick()


@pytest.fixture(scope="module")
def frames(capture: CaptureFinder) -> list[bytes]:
    """What a replay of a capture sends on the incremental plane, without padding."""
    publisher = _core.Publisher.memory()
    replay_into(publisher, group_by_venue([capture(USDM)])[0])
    return [data[: frame_bytes(data)] for plane, data in publisher.take() if plane == 0]


def frame_bytes(datagram: bytes) -> int:
    """Header and payload (docs/wire-format.md, header)."""
    return 66 + int.from_bytes(datagram[6:8], "little")


def report(monitor: _core.Monitor, reporter: Reporter, mono_ns: int, wall_ns: int) -> Report:
    return reporter.take(monitor, mono_ns=mono_ns, wall_ns=wall_ns)


def test_a_report_says_what_came_in_its_interval(frames: list[bytes]) -> None:
    monitor, reporter = _core.Monitor(), Reporter(ADDRESS, 0, mono_ns=0)
    half = len(frames) // 2
    reports = []
    for turn, part in enumerate((frames[:half], frames[half:]), start=1):
        for frame in part:
            monitor.datagram(0, frame, turn * SECOND)
        reports.append(report(monitor, reporter, 2 * turn * SECOND, turn * SECOND + SECOND // 4))
    for part, each in zip((frames[:half], frames[half:]), reports, strict=True):
        (stream,) = each.channels
        assert (stream.channel, stream.plane, stream.venue) == (2, "incremental", "binance_usdm")
        assert (stream.replay, stream.test, stream.ended) == (True, False, False)
        assert each.interval_s == 2.0
        assert stream.packets_per_s == len(part) / 2
        assert stream.bytes_per_s == sum(map(len, part)) / 2
        assert stream.age_s == 0.25
        expected = Counter(_core.decode_frame(frame)["msg"] for frame in part)
        shown = {kind.type: kind.packets_per_s * 2 for kind in stream.types if kind.packets_per_s}
        assert shown == expected
        assert (stream.gaps, stream.missing, stream.missing_now) == (0, 0, 0)
    whole = reports[1].channels[0]
    assert (whole.packets, whole.bytes) == (len(frames), sum(map(len, frames)))
    assert sum(kind.packets for kind in whole.types) == len(frames)
    assert reports[1].groups[0].datagrams == len(frames)


def test_losses_and_refused_datagrams_are_shown(frames: list[bytes]) -> None:
    monitor, reporter = _core.Monitor(), Reporter(ADDRESS, 0, mono_ns=0)
    for number, frame in enumerate(frames[:50]):
        if number not in {10, 11, 30}:
            monitor.datagram(0, frame + bytes(4), SECOND)
    monitor.datagram(0, frames[5], SECOND)
    monitor.datagram(0, b"stray", SECOND)
    monitor.datagram(1, frames[0], SECOND)
    first = report(monitor, reporter, SECOND, SECOND)
    (stream,) = first.channels
    assert (stream.gaps, stream.missing, stream.missing_now, stream.duplicates) == (2, 3, 3, 1)
    assert first.groups[0].refused == {"too_short": 1}
    assert first.groups[0].padding_bytes == 4 * 47
    assert first.groups[1].wrong_plane == 1
    monitor.datagram(0, frames[10], 2 * SECOND)
    second = report(monitor, reporter, 2 * SECOND, 2 * SECOND)
    (stream,) = second.channels
    assert (stream.missing, stream.missing_now, stream.late) == (2, -1, 1)
    assert second.groups[0].refused == {"too_short": 1}
    plain = list(lines(first))
    assert plain[0].startswith("binance_usdm ch=2 incremental REPLAY packets/s=47 ")
    assert " missing=3 gaps=2 duplicates=1 late=0 " in plain[0]
    assert "1 refused: too short" in plain[1]
    assert "1 refused: wrong plane" in plain[2]
    console = Console(width=140, file=io.StringIO())
    with console.capture() as printed:
        console.print(screen(first))
    text = printed.get()
    for part in ("2 binance_usdm incremental REPLAY", "BOOK_SNAPSHOT", "TRADE", "1 refused: wrong plane"):
        assert part in text, text


def test_a_channel_that_fell_silent_or_ended_says_so(frames: list[bytes]) -> None:
    monitor, reporter = _core.Monitor(), Reporter(ADDRESS, 0, mono_ns=0)
    monitor.datagram(0, frames[0], SECOND)
    assert "SILENT" not in next(lines(report(monitor, reporter, SECOND, SECOND + SECOND // 10)))
    assert " REPLAY SILENT " in next(lines(report(monitor, reporter, SECOND, 2 * SECOND)))


def test_a_type_of_a_later_version_is_shown_by_its_number() -> None:
    # The BBO of docs/wire-format.md as type 0x3e: its CRC is that of the changed bytes.
    frame = bytearray.fromhex(
        "fb0113000100280000012a00000000000000814a5d050700fef8e90300001100000015cd5b0700000000c0743defb5e27918"
        "609a63efb5e279183a070000c97a26efd95e63000000000080d1f00800000000da5e630000000000c0687804000000000300"
        "000002000000"
    )
    frame[2] = 0x3E
    frame[62:66] = crc32c(bytes(frame[:62] + frame[66:])).to_bytes(4, "little")
    monitor, reporter = _core.Monitor(), Reporter(ADDRESS, 0, mono_ns=0)
    monitor.datagram(0, bytes(frame), SECOND)
    shown = report(monitor, reporter, SECOND, SECOND)
    assert shown.groups[0].unknown_type == 1
    assert next(lines(shown)).endswith(" 0x3e=1")


def test_what_one_line_loses_the_other_brings_and_the_document_says_so(frames: list[bytes]) -> None:
    monitor, reporter = _core.Monitor(), Reporter(ADDRESS, 0, mono_ns=0)
    part = frames[:60]
    for number, frame in enumerate(part):
        if number not in {20, 21, 40}:
            monitor.datagram(0, frame, SECOND + 1_000 * number)
        if number not in {30, 40}:
            monitor.datagram(2, frame, SECOND + 1_000 * number - 200)
    monitor.datagram(3, frames[40], SECOND + 50_000)
    told = report(monitor, reporter, SECOND, 2 * SECOND)
    (stream,) = told.channels
    lines = {line.group: (line.packets, line.missing, line.gaps, line.filled) for line in stream.lines}
    assert lines == {"A": (57, 3, 2, 0), "B": (58, 2, 2, 0), "repair": (1, 0, 0, 1)}
    # Line B has every number of both before A, except those before it was first heard.
    assert [line.earlier for line in stream.lines if line.group in "AB"] == [0, 55]
    assert (stream.packets, stream.missing, stream.gaps) == (60, 0, 1)
    (gap,) = told.gaps
    assert (gap.channel, gap.plane, gap.first, gap.count, gap.left) == (2, "incremental", 41, 1, 0)
    assert (gap.filled, gap.after_ns) == ({"repair": 1}, 9_000)
    assert [group.group for group in told.groups] == ["A", "B", "repair"]


def test_instruments_states_and_texts_are_in_the_document(frames: list[bytes]) -> None:
    monitor, reporter = _core.Monitor(), Reporter(ADDRESS, 0, mono_ns=0)
    for frame in frames:
        monitor.datagram(0, frame, SECOND)
    for line in (b"CONN|BINANCE|2|0|2\n", b"\x1b[2J\n"):
        monitor.text(line, SECOND)
    told = report(monitor, reporter, 2 * SECOND, 2 * SECOND)
    (one,) = told.instruments
    kinds = Counter(
        message["msg"] for frame in frames for message in [_core.decode_frame(frame)] if message["instrument"]
    )
    assert (one.symbol, one.channel, one.venue) == ("BTC/USDT:PERP@binance_usdm", 2, "binance_usdm")
    assert (one.messages, one.messages_per_s) == (kinds.total(), kinds.total() / 2)
    books = kinds["BOOK_DELTA"] + kinds["BOOK_SNAPSHOT"]
    assert (one.books, one.trades, one.bbos) == (books, kinds["TRADE"], kinds["BBO"])
    assert (one.state, [change.state for change in told.changes]) == ("live", ["recovering", "live"])
    assert told.texts == ((SECOND, "CONN|BINANCE|2|0|2"),)
    text = told.groups[-1]
    assert (text.group, text.datagrams, text.refused) == ("text", 2, {"text": 1})
    assert told.hops[1].hop == "recv_to_send"
    assert told.hops[1].total.count == kinds.total()
    assert told.hops[2].total == Quantiles(0, None, None, None, None, None), "times of a REPLAY are long past"
    missed = reporter.take(monitor, mono_ns=3 * SECOND, wall_ns=3 * SECOND, wish=Wish(text="ETH"))
    assert (missed.instruments, missed.instruments_known) == ((), 1)


def test_rates_within_a_window_are_of_the_window(frames: list[bytes]) -> None:
    monitor, reporter = _core.Monitor(), Reporter(ADDRESS, 0, mono_ns=0, window_ns=SECOND)
    rates = []
    for tenth in range(1, 31):
        for frame in frames[10 * tenth : 10 * tenth + 10]:
            monitor.datagram(0, frame, tenth * SECOND // 10)
        told = report(monitor, reporter, tenth * SECOND // 10, 0)
        rates.append((round(told.interval_s, 6), round(told.channels[0].packets_per_s, 6)))
    assert rates[0] == (0.1, 100)
    assert set(rates[9:]) == {(1.0, 100.0)}


def test_quantiles_are_those_of_the_sorted_durations() -> None:
    assert quantiles([(0, 1, 0), (8, 9, 1), (16, 18, 98), (1024, 1152, 1)]) == Quantiles(
        100, 18, 18, 18, 1152, 1152
    )
    assert quantiles([]) == Quantiles(0, None, None, None, None, None)
    assert bars([(0, 1, 2), (1024, 1152, 3), (4**17, 4**17 + 1, 4)]) == (2, 3, *[0] * 11, 4)


# The program.

PROGRAM = (sys.executable, "-W", "error", "-c", "from outcrier.cli.udp_monitor import main; main()")


def monitored(net: Net, *options: str, code: int = 0) -> str:
    """What the program prints."""
    result = subprocess.run(
        [*PROGRAM, *net.options(), *options], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == code, result.stderr
    return result.stdout if code == 0 else result.stderr


def test_the_program_counts_what_is_on_the_wire(net: Net, capture: CaptureFinder, tmp_path: Path) -> None:
    with (
        Witness(net) as witness,
        Child(tmp_path, "replay", capture(USDM), "--loop", "0", *net.options()) as replay,
    ):
        until(lambda: len(witness.datagrams) > 100, "frames on the wire")
        document = json.loads(monitored(net, "--json", "--once", "--interval", "3"))
        text = monitored(net, "--count", "2", "--interval", "0.2")
        assert replay.running
    assert document["address"] == {
        "feed": "crypto",
        "interface": "127.0.0.1",
        "group": net.group,
        "snapshot_group": net.snapshot_group,
        "port": net.port,
        "interface_b": "127.0.0.1",
        # A group of line A that is given alone stands alone.
        "group_b": "",
        "repair_group": "",
        "text_group": net.multicast().group_text,
        "sources": [],
        "reuse_port": False,
    }
    channels: dict[str, Any] = {each["plane"]: each for each in document["channels"]}
    assert channels.keys() == {"incremental", "snapshot"}
    for each in channels.values():
        assert (each["channel"], each["venue"], each["replay"], each["missing"]) == (
            2,
            "binance_usdm",
            True,
            0,
        )
        assert each["packets_per_s"] > 0
        assert each["packets"] == sum(kind["packets"] for kind in each["types"])
    seen = {kind["type"] for each in channels.values() for kind in each["types"]}
    assert seen <= {_core.decode_frame(data)["msg"] for _, data in witness.datagrams} | {"SESSION_END"}
    assert "HEARTBEAT" in seen
    assert all(each["kernel_drops"] == 0 and each["refused"] == {} for each in document["groups"])
    assert "\x1b" not in text
    assert text.count("binance_usdm ch=2 incremental REPLAY ") == 2


def test_silence_is_an_error_for_a_script_and_says_where_was_listened(net: Net) -> None:
    error = monitored(net, "--once", "--json", "--interval", "0.1", code=4)
    assert f"udp_monitor: error: nothing heard on group {net.group}, interface 127.0.0.1" in error


def test_ctrl_c_ends_it_quietly(net: Net) -> None:
    with subprocess.Popen(
        [*PROGRAM, *net.options(), "--interval", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=40)
    assert process.returncode == 0
    assert b"Traceback" not in error  # where the kernel limits the buffer, a line about that is all


def test_the_stock_family_has_its_own_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command, "udp_monitor", ["--feed", "stock", "--interface", "10.9.9.9"]) == 4
    assert "239.192.90.11" in capsys.readouterr().err
