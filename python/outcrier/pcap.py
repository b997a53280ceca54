"""Logs to captures that Wireshark reads (pcapng), and back.

A frame becomes a packet as it was on the wire: Ethernet, IPv4 and UDP headers with right checksums, the
stamp of the log in nanoseconds (`if_tsresol` 9). Holes are comments of the frame behind them, or of the last
frame. Only the blocks that are needed are written and read: section header, interface description,
enhanced packet (draft-ietf-opsawg-pcapng, sections 4.1 to 4.3). Both ways are streams: memory does
not grow with the file.
"""

from __future__ import annotations

import re
import struct
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import BinaryIO, Final

from outcrier import _core
from outcrier.errors import CaptureError

BLOCK_BYTES_MAX: Final = 16 * 1024 * 1024
"""No block that is read is longer: Wireshark's own limit."""
REMEMBERED: Final = 65_536
"""Frames whose copies (line B, frames sent again) are known in an import: as many as a receiver keeps."""

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER: Final = 0x1A2B3C4D
_CLASSIC: Final = {b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1"}
_OPT_END, _OPT_COMMENT, _OPT_USER_APPLICATION, _OPT_TSRESOL = 0, 1, 4, 9
_ETHERNET: Final = 1
_NANOSECONDS: Final = 9
_MICROSECONDS: Final = 6
"""`if_tsresol` of an interface that names none."""
_IPV4, _VLAN, _UDP = 0x0800, 0x8100, 17
_SYNC: Final = b"\xfb\x01"
_HEADER_BYTES: Final = 66
_UNNUMBERED: Final = (0x01, 0x03)
"""Of the types that a log takes: HEARTBEAT, SESSION_END."""
_SOURCE_MAC: Final = bytes.fromhex("020000000000")
_KEY: Final = struct.Struct("<B6xBQI40xI")
"""Of a frame its type, channel, number, session and CRC."""
_HOLE: Final = re.compile(
    r"outcrier hole (before|behind): channel (\d+) session (\d+) first (\d+) last (\d+) at (-?\d+)"
)


def _checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071): words summed in ones' complement are a number modulo 0xFFFF."""
    padded = data + b"\0" * (len(data) % 2)
    return 0xFFFF - (int.from_bytes(padded, "big") % 0xFFFF or 0xFFFF)


@dataclass(frozen=True)
class Addresses:
    """Where the frames of a capture went."""

    source: IPv4Address
    group: IPv4Address
    port: int
    ttl: int = 1

    def packet(self, payload: bytes, number: int) -> bytes:
        """`payload` as a packet; `number` is the IPv4 identification."""
        source, group = self.source.packed, self.group.packed
        udp_bytes = 8 + len(payload)
        udp = struct.pack("!4H", self.port, self.port, udp_bytes, 0)
        pseudo = source + group + struct.pack("!2H", _UDP, udp_bytes)
        udp = udp[:6] + struct.pack("!H", _checksum(pseudo + udp + payload) or 0xFFFF)
        # Version and header length, type of service, length, identification, don't fragment, TTL, protocol.
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + udp_bytes, number & 0xFFFF, 0x4000, self.ttl, _UDP, 0)
        ip += source + group
        ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
        multicast = b"\x01\x00\x5e" + bytes([group[1] & 0x7F]) + group[2:]
        return multicast + _SOURCE_MAC + struct.pack("!H", _IPV4) + ip + udp + payload


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


class PcapngWriter:
    """Writes one section with one Ethernet interface, little-endian."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        end = _option(_OPT_END, b"")
        made_by = _option(_OPT_USER_APPLICATION, b"outcrier") + end
        file.write(_block(_SECTION, struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + made_by))
        resolution = _option(_OPT_TSRESOL, bytes([_NANOSECONDS])) + end
        file.write(_block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, 0) + resolution))

    def packet(self, time_ns: int, data: bytes, comments: Sequence[str] = ()) -> None:
        """Adds a packet, UTC nanoseconds."""
        high, low = divmod(time_ns & 0xFFFF_FFFF_FFFF_FFFF, 1 << 32)
        body = struct.pack("<IIIII", 0, high, low, len(data), len(data)) + data + b"\0" * (-len(data) % 4)
        if comments:
            body += b"".join(_option(_OPT_COMMENT, text.encode()) for text in comments)
            body += _option(_OPT_END, b"")
        self._file.write(_block(_PACKET, body))


@dataclass(frozen=True)
class Packet:
    """One packet of a capture."""

    time_ns: int
    data: bytes
    comments: tuple[str, ...]
    link: int
    """Link type; 1 is Ethernet."""
    is_cut: bool
    """The capture has not all of it."""


def _units_per_second(resolution: int) -> int:
    base = 2 if resolution & 0x80 else 10
    return int(base ** (resolution & 0x7F))


class PcapngReader:
    """The packets of a pcapng file of either byte order. Raises CaptureError that names file and offset."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._order = "<"
        self._interfaces: list[tuple[int, int]] = []
        self._offset = 0

    def _wrong(self, why: str) -> CaptureError:
        return CaptureError(f"{self._name}: {why} at offset {self._offset}")

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise self._wrong("the file ends within a block")
        return data

    def __iter__(self) -> Iterator[Packet]:
        while head := self._file.read(8):
            if self._offset == 0 and head[:4] in _CLASSIC:
                raise CaptureError(
                    f"{self._name}: this is pcap, not pcapng: editcap -F pcapng {self._name} NEW.pcapng"
                )
            if len(head) < 8:
                raise self._wrong("the file ends within a block")
            body = self._body(head)
            (kind,) = struct.unpack_from(f"{self._order}I", head)
            try:
                if kind == _INTERFACE:
                    self._interface(body)
                elif kind == _PACKET:
                    yield self._packet(body)
            except (struct.error, IndexError):
                raise self._wrong("a block that is too short") from None
            self._offset += 12 + len(body)

    def _body(self, head: bytes) -> bytes:
        start = b""
        if head[:4] == struct.pack(">I", _SECTION):
            start = self._read(4)
            self._order = "<" if struct.unpack("<I", start)[0] == _BYTE_ORDER else ">"
            if struct.unpack(f"{self._order}I", start)[0] != _BYTE_ORDER:
                raise self._wrong("no pcapng byte order")
            self._interfaces.clear()
        elif self._offset == 0:
            raise self._wrong("no pcapng file")
        (length,) = struct.unpack_from(f"{self._order}I", head, 4)
        if length % 4 or not 12 + len(start) <= length <= BLOCK_BYTES_MAX:
            raise self._wrong(f"a block of {length} bytes")
        body = start + self._read(length - 12 - len(start))
        if struct.unpack(f"{self._order}I", self._read(4))[0] != length:
            raise self._wrong("a block whose lengths differ")
        return body

    def _options(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at + 4 <= len(data):
            code, length = struct.unpack_from(f"{self._order}HH", data, at)
            if code == _OPT_END:
                return
            yield code, data[at + 4 : at + 4 + length]
            at += 4 + length + -length % 4

    def _interface(self, body: bytes) -> None:
        (link,) = struct.unpack_from(f"{self._order}H", body)
        resolution = _MICROSECONDS
        for code, value in self._options(body[8:]):
            if code == _OPT_TSRESOL:
                resolution = value[0]
        self._interfaces.append((link, _units_per_second(resolution)))

    def _packet(self, body: bytes) -> Packet:
        number, high, low, captured, original = struct.unpack_from(f"{self._order}5I", body)
        link, per_second = self._interfaces[number]
        time_ns = (high << 32 | low) * 1_000_000_000 // per_second
        end = 20 + captured
        if end > len(body):
            raise self._wrong("a packet longer than its block")
        comments = tuple(
            value.decode(errors="replace")
            for code, value in self._options(body[end + -captured % 4 :])
            if code == _OPT_COMMENT
        )
        return Packet(time_ns, body[20:end], comments, link, captured < original)


def udp_payload(packet: bytes) -> bytes | None:
    """What an Ethernet packet carries by UDP over IPv4; None of any other, and of a fragment."""
    at = 12
    if packet[at : at + 2] == _VLAN.to_bytes(2, "big"):
        at += 4
    ip = packet[at + 2 :]
    if packet[at : at + 2] != _IPV4.to_bytes(2, "big") or len(ip) < 20 or ip[0] >> 4 != 4 or ip[9] != _UDP:
        return None
    fragment = int.from_bytes(ip[6:8], "big") & 0x3FFF
    udp = ip[(ip[0] & 15) * 4 :]
    length = int.from_bytes(udp[4:6], "big")
    if fragment or length < 8 or length > len(udp):
        return None
    return udp[8:length]


def _said(error: OSError) -> str:
    """One line that names the file: the core's errors do, the system's have it beside their text."""
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text


@dataclass
class Exported:
    """What an export wrote."""

    frames: int = 0
    holes: int = 0
    refused: list[tuple[Path, int]] = field(default_factory=list)
    """Damaged segments that were left out, and where the damage begins."""


def export(log: Path, out: Path, addresses: Addresses) -> Exported:
    """Writes a log as a capture. A file that exists is never written over.

    Raises CaptureError if the log cannot be read or the file not be written.
    """
    told = Exported()
    try:
        reader = _core.LogReader(log)
        with out.open("xb") as file:
            writer = PcapngWriter(file)
            last: tuple[int, bytes, list[str]] | None = None
            for _, _, _, wall_ns, frame in reader:
                comments = _comments(reader, "before", told)
                if last is not None:
                    writer.packet(*last)
                last = (wall_ns, addresses.packet(frame, told.frames), comments)
                told.frames += 1
            if last is not None:
                last[2].extend(_comments(reader, "behind", told))
                writer.packet(*last)
    except OSError as error:
        raise CaptureError(_said(error)) from error
    told.refused = reader.refused()
    return told


def _comments(reader: _core.LogReader, where: str, told: Exported) -> list[str]:
    holes = reader.take_holes()
    told.holes += len(holes)
    return [
        f"outcrier hole {where}: channel {channel} session {session} first {first} last {last} at {wall_ns}"
        for channel, session, first, last, wall_ns in holes
    ]


@dataclass
class Imported:
    """What an import took, and why it left out what it did."""

    frames: int = 0
    holes: int = 0
    copies: int = 0
    other: int = 0
    """Packets that carry no frame of ours."""
    refused: dict[str, int] = field(default_factory=dict)
    """Frames that a log does not take, by reason."""


class _Import:
    """Packets into a log: copies are left out, numbers that are missing become holes."""

    def __init__(self, writer: _core.LogWriter) -> None:
        self._writer = writer
        self._seen: OrderedDict[tuple[int, ...], None] = OrderedDict()
        self._next: dict[tuple[int, int], int] = {}
        self.told = Imported()

    def packet(self, packet: Packet) -> None:
        holes = [match for text in packet.comments if (match := _HOLE.fullmatch(text))]
        for match in holes:
            if match[1] == "before":
                self._hole(*map(int, match.groups()[1:]))
        payload = None if packet.is_cut or packet.link != _ETHERNET else udp_payload(packet.data)
        if payload is None or payload[:2] != _SYNC or len(payload) < _HEADER_BYTES:
            self.told.other += 1
        else:
            self._frame(packet.time_ns, payload)
        for match in holes:
            if match[1] == "behind":
                self._hole(*map(int, match.groups()[1:]))

    def _hole(self, channel: int, session: int, first: int, last: int, wall_ns: int) -> None:
        if channel > 127 or session >= 1 << 32 or not 0 < first <= last < 1 << 64 or abs(wall_ns) >= 1 << 63:
            return  # A comment that looks like one of ours.
        self._writer.hole(wall_ns, channel, session, first, last)
        self._next[channel, session] = last + 1
        self.told.holes += 1

    def _frame(self, time_ns: int, payload: bytes) -> None:
        key = _KEY.unpack_from(payload, 2)
        refusal = self._writer.refusal(payload)
        if refusal is not None:
            self.told.refused[refusal] = self.told.refused.get(refusal, 0) + 1
            return
        if key in self._seen:
            self.told.copies += 1
            return
        kind, channel, number, session, _ = key
        numbered = kind not in _UNNUMBERED
        expected = self._next.get((channel, session), number)
        if numbered and number > expected:
            self._hole(channel, session, expected, number - 1, time_ns)
        self._writer.frame(time_ns, payload)
        self.told.frames += 1
        if numbered:
            self._next[channel, session] = max(expected, number + 1)
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)


def import_(capture: Path, log: Path) -> Imported:
    """Writes the frames of a capture into a log, one that `export` wrote or one of a network interface.
    Packets that carry no frame are counted.

    Raises CaptureError if the capture cannot be read or the log not be written.
    """
    try:
        with capture.open("rb") as file:
            writer = _core.LogWriter(log)
            taking = _Import(writer)
            try:
                for packet in PcapngReader(file, str(capture)):
                    taking.packet(packet)
            finally:
                writer.close()
    except OSError as error:
        raise CaptureError(_said(error)) from error
    return taking.told
