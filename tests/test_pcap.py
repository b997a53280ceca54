"""Logs to pcapng and back, and what Wireshark makes of it."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from log_frames import CAPTURE, CHANNEL, SESSION, frames_of, read_log, write_log
from outcrier.cli.main import run
from outcrier.errors import CaptureError
from outcrier.pcap import Addresses, PcapngReader, PcapngWriter, export, import_, udp_payload

CaptureFinder = Callable[[str], Path]
WIRE = Addresses(IPv4Address("127.0.0.1"), IPv4Address("239.192.90.1"), 9001)


@pytest.fixture(scope="module")
def frames(capture: CaptureFinder) -> list[bytes]:
    return frames_of(capture(CAPTURE))


def ones_complement_sum(data: bytes) -> int:
    """RFC 1071 word by word; 0xFFFF over data with a right checksum in it."""
    total = 0
    for (word,) in struct.iter_unpack("!H", data + b"\0" * (len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_a_log_comes_back_byte_for_byte_with_stamps_and_holes(frames: list[bytes], tmp_path: Path) -> None:
    write_log(tmp_path / "log", frames[:50] + frames[60:61] + frames[70:])
    told = export(tmp_path / "log", tmp_path / "out.pcapng", WIRE)
    assert (told.frames, told.holes, told.refused) == (len(frames) - 19, 2, [])
    taken = import_(tmp_path / "out.pcapng", tmp_path / "back")
    assert (taken.frames, taken.holes, taken.copies, taken.other) == (told.frames, 2, 0, 0)
    assert taken.refused == {}
    before, after = read_log(tmp_path / "log"), read_log(tmp_path / "back")
    assert before == after
    assert after[1] == [(50, 51, 60), (51, 62, 70)]


def test_the_command_line_does_both_ways(
    frames: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "log", frames[:20])
    arguments = ["pcap", "export", "log", "out.pcapng", "--group", "239.1.2.3", "--port", "4567"]
    assert run(arguments) == 0
    assert capsys.readouterr().out == "out.pcapng: 20 frames, 0 holes\n"
    with Path("out.pcapng").open("rb") as file:
        packet = next(iter(PcapngReader(file, "out.pcapng")))
    assert packet.data[30:34] == bytes([239, 1, 2, 3])
    assert packet.data[36:38] == struct.pack("!H", 4567)
    assert run(arguments) == 3, "never written over"
    assert "File exists" in capsys.readouterr().err
    assert run(["pcap", "import", "out.pcapng", "back", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "frames": 20, "holes": 0, "copies": 0, "other": 0, "refused": {},
    }  # fmt: skip
    assert read_log(tmp_path / "back") == read_log(tmp_path / "log")


def test_headers_have_right_lengths_addresses_and_checksums(frames: list[bytes]) -> None:
    for number, frame in enumerate([*frames[:200], b"", b"\x01", b"\xff" * 65]):
        packet = WIRE.packet(frame, number)
        assert packet[:14] == bytes.fromhex("01005e405a010200000000000800")
        ip, udp = packet[14:34], packet[34:]
        assert ones_complement_sum(ip) == 0xFFFF
        assert int.from_bytes(ip[2:4], "big") == len(packet) - 14
        assert ones_complement_sum(ip[12:20] + struct.pack("!2H", 17, len(udp)) + udp) == 0xFFFF
        assert udp[6:8] != b"\0\0", "0 would say that there is none"
        assert udp_payload(packet) == frame


def test_a_capture_of_the_wire_is_taken_without_padding_copies_and_strangers(
    frames: list[bytes], tmp_path: Path
) -> None:
    other_line = Addresses(WIRE.source, IPv4Address("239.192.90.2"), 9001)
    snapshot = bytearray(frames[3])
    snapshot[9] |= 0x80
    bent = frames[4][:-1] + bytes([frames[4][-1] ^ 1])
    with (tmp_path / "wire.pcapng").open("wb") as file:
        writer = PcapngWriter(file)
        for number, frame in enumerate(frames[:8]):
            if number == 5:
                continue
            writer.packet(number, WIRE.packet(frame + bytes(30), number))
            writer.packet(number + 100, other_line.packet(frame, number))
        writer.packet(1, WIRE.packet(b"EXCHANGE|spot", 1))
        writer.packet(1, b"\0" * 60)
        writer.packet(1, WIRE.packet(bytes(snapshot), 1))
        writer.packet(1, WIRE.packet(bent, 1))
    taken = import_(tmp_path / "wire.pcapng", tmp_path / "log")
    assert (taken.frames, taken.copies, taken.other, taken.holes) == (7, 7, 2, 1)
    assert taken.refused == {"crc": 2}, "a damaged copy is none"
    got, holes = read_log(tmp_path / "log")
    assert [frame for _, frame in got] == frames[:5] + frames[6:8]
    assert holes == [(5, 6, 6)], "what the capture lacks is marked"


def test_wireshark_reads_the_same_frames_stamps_and_comments(frames: list[bytes], tmp_path: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark, which reads the capture a second time, is not installed")
    kept = frames[:50] + frames[60:]
    write_log(tmp_path / "log", kept)
    export(tmp_path / "log", tmp_path / "out.pcapng", WIRE)
    fields = [
        "frame.time_epoch",
        "udp.payload",
        "ip.dst",
        "udp.dstport",
        "udp.checksum.status",
        "frame.comment",
    ]
    result = subprocess.run(
        [tshark, "-n", "-r", tmp_path / "out.pcapng", "-T", "fields", "-o", "udp.check_checksum:TRUE",
         "-o", "ip.check_checksum:TRUE", *(part for name in fields for part in ("-e", name))],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(rows) == len(kept)
    stamps = [stamp for stamp, _ in read_log(tmp_path / "log")[0]]
    assert [row[1] for row in rows] == [frame.hex() for frame in kept]
    assert [int(row[0].replace(".", "")) for row in rows] == stamps
    assert {tuple(row[2:5]) for row in rows} == {("239.192.90.1", "9001", "1")}
    comments = {number: row[5] for number, row in enumerate(rows) if row[5]}
    assert list(comments) == [50]
    said = f"outcrier hole before: channel {CHANNEL} session {SESSION} first 51 last 60 at "
    assert comments[50].startswith(said)


def test_captures_of_other_programs_are_read_whatever_their_byte_order_and_resolution() -> None:
    section = struct.pack(">IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    interface = struct.pack(">IIHHII", 1, 20, 1, 0, 65_535, 20)
    statistics = struct.pack(">IIIII", 5, 20, 0, 0, 20)
    packet = struct.pack(">IIIIIII4sI", 6, 36, 0, 1, 2, 3, 4, b"abc\0", 36)
    (read,) = PcapngReader(io.BytesIO(section + interface + statistics + packet), "it")
    assert (read.time_ns, read.data, read.comments, read.link) == (((1 << 32) + 2) * 1_000, b"abc", (), 1)
    assert read.is_cut


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bytes.fromhex("d4c3b2a1") + bytes(20), "it: this is pcap, not pcapng: editcap"),
        (b"GIF89a..", "it: no pcapng file at offset 0"),
        (struct.pack("<III", 0x0A0D0D0A, 28, 7), "it: no pcapng byte order at offset 0"),
        (struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 32), "lengths differ"),
        (struct.pack("<IIIHHq", 0x0A0D0D0A, 29, 0x1A2B3C4D, 1, 0, -1), "a block of 29 bytes"),
        (struct.pack("<IIIHHq", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1), "ends within a block"),
    ],
)
def test_what_is_no_capture_is_said_in_one_line(data: bytes, said: str) -> None:
    with pytest.raises(CaptureError) as raised:
        list(PcapngReader(io.BytesIO(data), "it"))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@hypothesis.settings(max_examples=200)
@hypothesis.given(
    changes=st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=12),
    cut=st.none() | st.integers(0, 2_000),
)
def test_no_bytes_make_the_reader_fail_otherwise(changes: list[tuple[int, int]], cut: int | None) -> None:
    file = io.BytesIO()
    writer = PcapngWriter(file)
    for number in range(8):
        writer.packet(number, WIRE.packet(bytes([0xFB, 1]) + bytes(98), number), ["a comment"] * (number % 3))
    data = bytearray(file.getvalue())
    for place, value in changes:
        data[place % len(data)] = value
    with suppress(CaptureError):
        for packet in PcapngReader(io.BytesIO(bytes(data[:cut])), "it"):
            udp_payload(packet.data)
