"""`outcrier dissector`: tshark reads every field of every message as the core's decoder does."""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from outcrier import _core
from outcrier.capture.library import group_by_venue
from outcrier.capture.replay import replay_into
from outcrier.cli.main import run
from outcrier.dissector import BITS, FLAGS, NAMES, dissector
from wire_reference import HEADER, LAYOUTS, Part, crc32c, encode, encode_pack, encode_packed

CaptureFinder = Callable[[str], Path]
Pairs = list[tuple[str, Any]]

CAPTURES = ("binance/spot_2021-10-12", "binance_usdm/usdm_btcusdt_2022-08-11")
TSHARK = shutil.which("tshark")
NEEDS_TSHARK = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed: apt-get install tshark")
PORT, RETX_PORT, TCP_PORT = 9001, 9011, 9021
BBO = bytes.fromhex(
    "fb0113000100280000012a00000000000000814a5d050700fef8e90300001100000015cd5b0700000000c0743defb5e27918"
    "609a63efb5e279183a070000c97a26efd95e63000000000080d1f00800000000da5e630000000000c0687804000000000300000002000000"
)
"""The vector of docs/wire-format.md."""


# Captures of packets, and what tshark makes of them.


def ip(protocol: int, payload: bytes) -> bytes:
    """An IPv4 packet from 127.0.0.1 to itself."""
    address = bytes([127, 0, 0, 1])
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 1, protocol, 0) + address * 2 + payload


def udp(payload: bytes, port: int = PORT) -> bytes:
    return ip(17, struct.pack(">HHHH", 40_000, port, 8 + len(payload), 0) + payload)


def tcp(payload: bytes, seq: int) -> bytes:
    return ip(6, struct.pack(">HHIIBBHHH", TCP_PORT, 40_000, seq, 1, 0x50, 0x18, 8_192, 0, 0) + payload)


def write_pcap(path: Path, packets: Iterable[bytes]) -> None:
    """A classic pcap of IP packets (LINKTYPE_RAW), nanosecond magic."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65_535, 101))
        for number, packet in enumerate(packets):
            file.write(struct.pack("<IIII", 1_700_000_000 + number, 0, len(packet), len(packet)) + packet)


def tshark(folder: Path, packets: Sequence[bytes]) -> list[Pairs]:
    """The `outcrier` tree of each packet that has one, in order, keys as often as they occur."""
    assert TSHARK is not None
    script, pcap = folder / "outcrier.lua", folder / "test.pcap"
    script.write_text(dissector(), encoding="utf-8")
    write_pcap(pcap, packets)
    result = subprocess.run(
        [TSHARK, "-X", f"lua_script:{script}", "-r", str(pcap), "-T", "json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={"HOME": str(folder), "TZ": "UTC", "PATH": "/usr/bin:/bin"},
    )
    wrong = [line for line in result.stderr.splitlines() if "root" not in line and line.strip()]
    assert not wrong, wrong
    documents = json.loads(result.stdout, object_pairs_hook=list)
    layers = [dict(dict(document)["_source"])["layers"] for document in documents]
    assert len(layers) == len(packets)
    return [[pair for pair in each if pair[0].startswith("outcrier")] for each in layers]


def leaves(tree: Any) -> Iterator[tuple[str, str]]:
    """Every field with its text, in order; a field with fields below comes before them."""
    for key, value in tree:
        if isinstance(value, list):
            if all(isinstance(each, tuple) for each in value):
                yield from leaves(value)
        else:
            yield key, value


def expected(frame: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values that the dissector must show of what the decoder gives."""
    header = [(f"outcrier.{name}", frame[name]) for name, _ in HEADER.fields]
    yield from header
    yield from parts(frame)


def parts(frame: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    prefix = f"outcrier.{frame['msg'].lower()}"
    if frame["msg"] == "PACK":
        for sub, message in zip(frame["records"], frame["messages"], strict=True):
            yield from ((f"{prefix}.record.{name}", value) for name, value in sub.items())
            yield "outcrier.pack.exchange_ts", message["exchange_ts"]
            yield "outcrier.pack.recv_ts", message["recv_ts"]
            yield from parts(message)
        return
    yield from ((f"{prefix}.{name}", value) for name, value in frame["root"].items())
    for record in frame["records"]:
        yield from ((f"{prefix}.record.{name}", value) for name, value in record.items())


def is_same(shown: str, value: Any) -> bool:
    """Whether tshark's text is the value."""
    if isinstance(value, bytes):
        text = value.split(b"\0")[0].decode("utf-8", "replace")
        return shown in (text, value.hex(":"))
    if isinstance(value, float):
        number = float(shown)
        return math.isclose(number, value, rel_tol=1e-12) or (math.isnan(number) and math.isnan(value))
    return bool(int(shown, 0) == value)


def assert_shown(tree: Pairs, datagram: bytes) -> None:
    """Every field of the decoder, in order and as often, with its value; flags by name."""
    frame = _core.decode_frame(datagram)
    shown = list(leaves(tree))
    wanted = list(expected(frame))
    names = {name for name, _ in wanted}
    found = [(key, text) for key, text in shown if key in names]
    assert [key for key, _ in found] == [name for name, _ in wanted]
    wrong = [
        (name, text, value)
        for (name, value), (_, text) in zip(wanted, found, strict=True)
        if not is_same(text, value)
    ]
    assert not wrong, wrong
    bits = {key.removeprefix("outcrier.flags."): text for key, text in shown if "flags." in key}
    if frame["msg"] != "PACK":
        held = {name.lower() for number, name in enumerate(FLAGS) if frame["flags"] >> number & 1}
        assert {name for name, text in bits.items() if text in ("1", "True")} == held
        assert bits.keys() == {name.lower() for name in FLAGS}
    by_name = dict(shown)
    assert by_name["outcrier.crc32c.ok"] in ("1", "True")
    assert int(by_name["outcrier.channel.number"], 0) == frame["channel"] & 0x7F
    assert (by_name["outcrier.channel.snapshot"] in ("1", "True")) == bool(frame["channel"] & 0x80)


# Frames.


@pytest.fixture(scope="module")
def recorded(capture: CaptureFinder) -> list[bytes]:
    """Of each type and plane the first three frames that replays send, alone and packed."""
    publisher = _core.Publisher.memory()
    feeds = [replay_into(publisher, group_by_venue([capture(name)])[0]) for name in CAPTURES]
    for each in feeds:
        # The snapshot plane begins, and the session ends.
        each.feed.tick()
        each.feed.close()
    chosen: dict[tuple[int, int], list[bytes]] = {}
    for plane, data in publisher.take():
        few = chosen.setdefault((plane, data[2]), [])
        if len(few) < 3:
            few.append(data)
    return [frame for few in chosen.values() for frame in few]


def value_of(name: str, code: str, index: int) -> Any:
    """A value that no other field has, within the type; texts are UTF-8."""
    if code.endswith("s"):
        size = int(code[:-1])
        if name in ("signature", "reserved"):
            return bytes((index + n) % 256 for n in range(size))
        return f"é{name}{index}".encode()[:size]
    if code == "d":
        return 1.5e15 / (index + 3)
    size = struct.calcsize(code)
    value = 0x1122_3344_5566_7788 + index if size == 8 else (0x11223344 + index) & ((1 << 8 * size) - 1)
    return value - (1 << 8 * size) // 3 if code in "biq" and size > 1 else value % 120 if size == 1 else value


def filled(part: Part, shift: int) -> dict[str, Any]:
    return {name: value_of(name, code, shift + index) for index, (name, code) in enumerate(part.fields)}


def made() -> list[bytes]:
    """One frame of every type by the independent codec, with values in every field; then packs of them."""
    header = {"channel": 5, "session": 90_000_001, "channel_seq": 2**63 + 5, "venue": 2, "price_exp": -2}
    header |= {"instrument": 7, "instr_seq": 9, "exchange_ts": 1_763_690_000_123_456_789, "flags": 0x0405}
    header |= {"recv_ts": 1_763_690_000_123_999_999, "qty_exp": -8, "source_seq": 2**64 - 1, "proc_ns": 1_850}
    frames = []
    for number, (name, layout) in enumerate(sorted(LAYOUTS.items())):
        if name == "PACK":
            continue
        records = [filled(layout.record, number + n) for n in range(2)] if layout.record.size else []
        frames.append(encode(name, header, filled(layout.root, number), records))
    sub = {"flags": 1, "instrument": 9, "instr_seq": 3, "exch_off_ns": -7, "recv_off_us": 2, "price_exp": -2}
    subs = []
    for name in ("BBO", "TRADE", "STATUS", "BOOK_DELTA", "ORDER_OPS"):
        layout = LAYOUTS[name]
        records = [filled(layout.record, 4)] if layout.record.size else []
        subs.append(encode_packed(name, sub, filled(layout.root, 3), records))
    once = dict.fromkeys(("instrument", "instr_seq", "source_seq", "price_exp", "qty_exp"), 0)
    frames.append(encode_pack({**header, **once, "flags": 0x100}, subs))
    return frames


# Tests.


@NEEDS_TSHARK
def test_every_field_of_recorded_frames_is_shown(recorded: list[bytes], tmp_path: Path) -> None:
    types = {_core.decode_frame(frame)["msg"] for frame in recorded}
    assert types >= {"SESSION_START", "SESSION_END", "HEARTBEAT", "STATUS", "BOOK_DELTA", "BOOK_SNAPSHOT"}
    assert types >= {"TRADE", "BBO", "INSTRUMENT_DEF"}
    for frame, tree in zip(recorded, tshark(tmp_path, [udp(data) for data in recorded]), strict=True):
        assert_shown(tree, frame)


@NEEDS_TSHARK
def test_every_field_of_every_type_is_shown(tmp_path: Path) -> None:
    frames = made()
    assert {frame[2] for frame in frames} == {number for _, number, _, _ in _core.wire_layouts() if number}
    # On the ports of the groups and, by their first bytes, on that of the retransmit server.
    for port in (PORT, RETX_PORT):
        for frame, tree in zip(frames, tshark(tmp_path, [udp(data, port) for data in frames]), strict=True):
            assert_shown(tree, frame)


@NEEDS_TSHARK
def test_mac_padding_and_what_later_versions_append_are_shown(tmp_path: Path) -> None:
    auth = bytearray(BBO + bytes(range(8)))
    auth[4] |= 2
    auth[62:66] = struct.pack("<I", int(crc32c(bytes(auth[:62] + auth[66:106]))))
    longer = encode("BBO", {"flags": 1}, {"bid_px": 5}, more_root=b"\x01\x02\x03")
    unknown = encode(0x3F, {"flags": 1}, more_root=b"\x07\x08")
    damaged = BBO[:70] + bytes([BBO[70] ^ 1]) + BBO[71:]
    packets = [udp(data) for data in (bytes(auth) + b"\0\0\0", longer, unknown, damaged, b"none of ours")]
    shown = [dict(leaves(tree)) for tree in tshark(tmp_path, packets)]
    assert int(shown[0]["outcrier.mac"], 0) == int.from_bytes(bytes(range(8)), "little")
    assert (shown[0]["outcrier.padding"], shown[0]["outcrier.flags.auth"]) == (
        "00:00:00",
        shown[0]["outcrier.crc32c.ok"],
    )
    assert (shown[1]["outcrier.later"], shown[1]["outcrier.bbo.bid_px"]) == ("01:02:03", "5")
    assert shown[2]["outcrier.payload"] == "07:08"
    assert shown[3]["outcrier.crc32c.ok"] in ("0", "False")
    assert shown[4] == {}


@NEEDS_TSHARK
def test_a_stream_is_cut_into_its_units(tmp_path: Path) -> None:
    frames = made()[:5]
    data = b"".join(struct.pack("<H", len(frame)) + frame for frame in frames) + bytes(2)
    cuts = [data[at : at + 100] for at in range(0, len(data), 100)]
    packets = [tcp(piece, 1 + 100 * number) for number, piece in enumerate(cuts)]
    shown = [pair for tree in tshark(tmp_path, packets) for pair in leaves(tree)]
    numbers = [int(text, 0) for key, text in shown if key == "outcrier.msg_type"]
    assert numbers == [frame[2] for frame in frames]
    lengths = [int(text) for key, text in shown if key == "outcrier.length"]
    assert lengths == [*map(len, frames), 0]


@NEEDS_TSHARK
def test_text_lines_are_shown_by_their_parts(tmp_path: Path) -> None:
    lines = (
        b"CONN|UPBIT|38|2|40\n",
        b"BINANCE|spot|trade|184467,184467,0,0|1763690000123\n",
        b"ERROR|BINANCE|spot|1763690000123|conn=2 lost: closed 1006\n",
    )
    conn, data, error = (dict(leaves(tree)) for tree in tshark(tmp_path, [udp(line) for line in lines]))
    assert conn == {
        "outcrier.text": "CONN|UPBIT|38|2|40",
        "outcrier.text.exchange": "UPBIT",
        "outcrier.text.connected": "38",
        "outcrier.text.disconnected": "2",
        "outcrier.text.total": "40",
    }
    assert (data["outcrier.text.exchange"], data["outcrier.text.counts"]) == ("BINANCE", "184467,184467,0,0")
    del error["outcrier.text"]
    assert error == {
        "outcrier.text.exchange": "BINANCE",
        "outcrier.text.name": "spot",
        "outcrier.text.timestamp": "1763690000123",
        "outcrier.text.error": "conn=2 lost: closed 1006",
    }


def test_names_are_of_fields_that_exist() -> None:
    fields = {(name, field[0]) for name, _, _, rows in _core.wire_layouts() for field in rows}
    assert NAMES.keys() | BITS.keys() <= fields


def test_the_verb_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dissector", "-o", str(tmp_path / "outcrier.lua")]) == 0
    assert run(["dissector"]) == 0
    assert (tmp_path / "outcrier.lua").read_text() == capsys.readouterr().out == dissector()
    assert run(["dissector", "-o", str(tmp_path / "no" / "outcrier.lua")]) == 2
    assert "No such file" in capsys.readouterr().err
