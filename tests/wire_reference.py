"""The wire format a second time: an independent decoder, written from docs/wire-format.md.

Nothing but `struct` is used. It is slow and plain on purpose. Tests hold the core to it, so it must never
import the core.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any

MAGIC = 0xFB
VERSION = 1
FRAME_BYTES_MAX = 1_400
AUTH = 1 << 1
AUTH_BYTES = 8
CRITICAL = 0b11 << 14
MASK64 = 0xFFFF_FFFF_FFFF_FFFF

# Causes of refusal in the order in which they are looked for.
CAUSES = ("too_short", "too_long", "sync", "length", "records", "pack", "critical_flags", "channel", "crc")

# PACK: flags that stand in the header for all messages, and those that stand nowhere but in a sub-header.
SHARED_FLAGS = 1 << 1 | 1 << 7 | 1 << 8 | 1 << 9
OWN_FLAGS = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10 | 1 << 11
# Types of section 6 that no PACK carries; of the others, those that are not known here are skipped.
NEVER_PACKED = {0x01, 0x02, 0x03, 0x11, 0x19, 0x21, 0x30, 0x40, 0x41, 0x42}


class RefusedError(Exception):
    """The datagram is not a frame; `cause` is one of `CAUSES`."""

    def __init__(self, cause: str) -> None:
        """Keeps the cause."""
        assert cause in CAUSES
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True)
class Part:
    """Header, root or record: fields as (name, `struct` code) without gaps between them."""

    fields: tuple[tuple[str, str], ...] = ()

    @property
    def packed(self) -> struct.Struct:
        """The whole part, little-endian and without alignment of its own."""
        return struct.Struct("<" + "".join(code for _, code in self.fields))

    @property
    def size(self) -> int:
        """Bytes."""
        return self.packed.size

    def names(self) -> set[str]:
        """The names of the fields."""
        return {name for name, _ in self.fields}

    def rows(self) -> list[tuple[int, int, str, str]]:
        """(offset, size, type as the document writes it, name) of every field."""
        rows = []
        offset = 0
        for name, code in self.fields:
            size = struct.calcsize("<" + code)
            rows.append((offset, size, TYPE_NAMES.get(code, f"char[{size}]"), name))
            offset += size
        return rows

    def read(self, data: bytes) -> dict[str, Any]:
        """The fields by name, from the known prefix of `data`."""
        values = self.packed.unpack(data[: self.size])
        return {name: value for (name, _), value in zip(self.fields, values, strict=True)}

    def write(self, values: Mapping[str, Any]) -> bytes:
        """The part with these values; what is not named is 0."""
        unknown = values.keys() - self.names()
        assert not unknown, unknown
        return self.packed.pack(
            *(values.get(name, b"" if code.endswith("s") else 0) for name, code in self.fields)
        )


TYPE_NAMES = {
    "B": "u8", "H": "u16", "I": "u32", "Q": "u64", "b": "i8", "i": "i32", "q": "i64", "d": "f64",
}  # fmt: skip


def part(text: str) -> Part:
    """A part from `name:code name:code ...`."""
    pairs = (word.split(":") for word in text.split())
    return Part(tuple((name, code) for name, code in pairs))


@dataclass(frozen=True)
class Layout:
    """Number and parts of one message."""

    number: int
    root: Part = field(default_factory=Part)
    record: Part = field(default_factory=Part)


HEADER = part("""
    magic:B version:B msg_type:B rec_len:B flags:H payload_len:H count:B channel:B channel_seq:Q session:I
    venue:H price_exp:b qty_exp:b instrument:I instr_seq:I source_seq:Q exchange_ts:q recv_ts:q proc_ns:I
    crc32c:I
""")
LEVEL = part("price:q qty:q")
FRAGMENT = part("""
    snapshot_id:I frag_index:H frag_count:H last_channel_seq:Q book_checksum:I total_bids:H total_asks:H
    depth_limit:H n_bids:B checksum_kind:B def_version:I
""")
TRADE = part("price:q qty:q trade_id:Q trade_ts:q aggressor:B trade_flags:B n_fills:H id_span:I")

LAYOUTS = {
    "HEARTBEAT": Layout(
        0x01,
        part("""
            publisher_id:Q oldest_retx_seq:Q chain64:Q mono_ns:q max_silence_us:I snapshot_cycle_ms:I
            retx_ipv4:I retx_udp_port:H replay_tcp_port:H clock_err_ns:I state:B key_id:B reserved:H
        """),
        part("signature:64s"),
    ),
    "SESSION_START": Layout(
        0x02,
        part("""
            publisher_id:Q prev_last_seq:Q start_ts:q prev_session:I reason:I n_instruments:I
            registry_crc:I build:24s
        """),
    ),
    "SESSION_END": Layout(0x03, part("publisher_id:Q last_seq:Q chain64:Q reason:I next_session:I")),
    "STATUS": Layout(
        0x04,
        part("""
            scope:B state:B reason:H conn_id:I since_ts:q expected:Q got:Q text:16s last_channel_seq:Q
        """),
    ),
    "CONN": Layout(
        0x05,
        part("""
            connected:I disconnected:I total:I reconnects:I messages:Q bytes:Q conn_id:I subscriptions:I
            silence_ms:I expected_ms:I
        """),
    ),
    "BOOK_DELTA": Layout(
        0x10,
        part("""
            first_source_seq:Q prev_source_seq:Q book_checksum:I n_bids:B checksum_kind:B depth_limit:H
        """),
        LEVEL,
    ),
    "BOOK_SNAPSHOT": Layout(
        0x11,
        FRAGMENT,
        LEVEL,
    ),
    "TRADE": Layout(0x12, record=TRADE),
    "BBO": Layout(0x13, part("bid_px:q bid_qty:q ask_px:q ask_qty:q bid_orders:I ask_orders:I")),
    "TICKER_24H": Layout(
        0x14,
        part("""
            last_px:q open_px:q high_px:q low_px:q volume:d turnover:d trade_count:Q window_ns:q
        """),
    ),
    "ORDER_OPS": Layout(
        0x18,
        part("first_source_seq:Q prev_source_seq:Q"),
        part("order_id:Q price:q qty:q ref_id:Q priority:Q op:B side:B op_flags:H reserved:I"),
    ),
    "ORDER_SNAPSHOT": Layout(
        0x19,
        FRAGMENT,
        part("order_id:Q price:q qty:q priority:Q order_ts:q order_flags:H reserved:6s"),
    ),
    "INSTRUMENT_DEF": Layout(
        0x20,
        part("""
            def_version:I kind:B status:B price_exp:b qty_exp:b tick_size:q lot_size:q min_qty:q
            contract_size:q contract_exp:b option_type:B venue_type:H underlying:I expiry_ts:q strike:q
            native_symbol:32s symbol:32s base:16s quote:16s settle:16s native_more:40s qty_unit:B
            book_proof:B reserved:6s
        """),
    ),
    "CYCLE_END": Layout(
        0x21,
        part("cycle_id:I n_instruments:I first_snap_seq:Q registry_crc:I cycle_us:I"),
    ),
    "CANDLE": Layout(
        0x28,
        record=part("""
            open_ts:q interval_s:I candle_flags:I open:q high:q low:q close:q volume:d turnover:d
            trade_count:Q
        """),
    ),
    "DERIV_STATE": Layout(
        0x29,
        part("""
            present:I funding_interval_s:I mark_px:q index_px:q settle_px:q funding_rate:q next_rate:q
            next_funding_ts:q open_interest:d oi_value:d
        """),
    ),
    "LIQUIDATION": Layout(0x2A, record=TRADE),
    "PACK": Layout(
        0x30,
        record=part("""
            len:H msg_type:B rec_len:B flags:H count:B price_exp:b instrument:I instr_seq:I source_seq:Q
            exch_off_ns:i recv_off_us:H qty_exp:b pad:B
        """),
    ),
    "RETX_REQUEST": Layout(0x40, part("consumer_id:Q cookie:Q"), part("begin_seq:Q n_frames:I reserved:I")),
    "RETX_REPLY": Layout(0x41, part("oldest_seq:Q newest_seq:Q cookie:Q retry_after_us:I code:H n_served:H")),
    "SNAP_REQUEST": Layout(0x42, part("consumer_id:Q cookie:Q"), part("instrument:I kinds:I")),
}
SUB_HEADER = LAYOUTS["PACK"].record

BY_NUMBER = {layout.number: name for name, layout in LAYOUTS.items()}


@dataclass(frozen=True)
class Frame:
    """A frame that was accepted."""

    raw: bytes
    header: dict[str, int]
    msg: str
    root: dict[str, Any]
    records: list[dict[str, Any]]
    messages: list[Frame] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The shape of `outcrier._core.decode_frame`: header fields by name, `msg`, `root`, `records`,
        `messages`.
        """
        messages = [message.as_dict() for message in self.messages]
        parts = {"msg": self.msg, "root": self.root, "records": self.records, "messages": messages}
        return {**self.header, **parts}


def decode(datagram: bytes) -> Frame:
    """The frame in a datagram, padding ignored.

    Raises `RefusedError` with the first cause that holds. A MAC trailer is counted and not verified.
    """
    if len(datagram) < HEADER.size:
        raise RefusedError("too_short")
    if len(datagram) > FRAME_BYTES_MAX:
        raise RefusedError("too_long")
    header: dict[str, int] = HEADER.read(datagram)
    if (header["magic"], header["version"]) != (MAGIC, VERSION):
        raise RefusedError("sync")
    payload_end = HEADER.size + header["payload_len"]
    frame_end = payload_end + (AUTH_BYTES if header["flags"] & AUTH else 0)
    if frame_end > len(datagram):
        raise RefusedError("length")
    payload = datagram[HEADER.size : payload_end]
    critical = header["flags"]
    subs: list[tuple[dict[str, int], bytes]] = []
    if header["msg_type"] == LAYOUTS["PACK"].number:
        subs = split_pack(header, payload)
        for sub, _ in subs:
            critical |= sub["flags"]
    elif not parts_fit(header["msg_type"], len(payload), header["count"], header["rec_len"]):
        raise RefusedError("records")
    if critical & CRITICAL:
        raise RefusedError("critical_flags")
    if header["channel"] & 0x7F == 0:
        raise RefusedError("channel")
    if crc32c(datagram[: HEADER.size - 4] + payload) != header["crc32c"]:
        raise RefusedError("crc")
    raw = bytes(datagram[:frame_end])
    if header["msg_type"] == LAYOUTS["PACK"].number:
        messages = [read_parts(b"", alone(header, sub, body), body) for sub, body in subs]
        return Frame(raw, header, "PACK", {}, [sub for sub, _ in subs], messages)
    return read_parts(raw, header, payload)


def parts_fit(msg_type: int, payload_len: int, count: int, rec_len: int) -> bool:
    """Whether root and records are at least as long as the type has them."""
    layout = LAYOUTS.get(BY_NUMBER.get(msg_type, ""), Layout(-1))
    return payload_len - count * rec_len >= layout.root.size and (count == 0 or rec_len >= layout.record.size)


def read_parts(raw: bytes, header: dict[str, int], payload: bytes) -> Frame:
    """Root and records of one message."""
    count, rec_len = header["count"], header["rec_len"]
    root_end = len(payload) - count * rec_len
    msg = BY_NUMBER.get(header["msg_type"], "UNKNOWN")
    layout = LAYOUTS.get(msg, Layout(-1))
    root = layout.root.read(payload[:root_end])
    starts = range(root_end, len(payload), rec_len) if count and layout.record.size else ()
    records = [layout.record.read(payload[start : start + rec_len]) for start in starts]
    return Frame(raw, header, msg, root, records)


def split_pack(header: Mapping[str, int], payload: bytes) -> list[tuple[dict[str, int], bytes]]:
    """Sub-header and payload of every message of a PACK."""
    once = ("instrument", "instr_seq", "source_seq", "price_exp", "qty_exp", "rec_len")
    if any(header[name] for name in once) or header["flags"] & OWN_FLAGS or header["channel"] & 0x80:
        raise RefusedError("pack")
    subs = []
    at = 0
    while at < len(payload):
        if len(payload) - at < SUB_HEADER.size:
            raise RefusedError("pack")
        sub = SUB_HEADER.read(payload[at:])
        size = sub["len"] - SUB_HEADER.size - sub["pad"]
        if sub["len"] % 8 or sub["pad"] > 7 or size < 0 or at + sub["len"] > len(payload):
            raise RefusedError("pack")
        if sub["flags"] & SHARED_FLAGS or sub["msg_type"] in NEVER_PACKED:
            raise RefusedError("pack")
        if not parts_fit(sub["msg_type"], size, sub["count"], sub["rec_len"]):
            raise RefusedError("pack")
        subs.append((sub, payload[at + SUB_HEADER.size :][:size]))
        at += sub["len"]
    if len(subs) != header["count"]:
        raise RefusedError("pack")
    return subs


def alone(header: Mapping[str, int], sub: Mapping[str, int], payload: bytes) -> dict[str, int]:
    """The header that a message of a PACK would have had alone."""
    late_ns = sub["recv_off_us"] * 1_000
    saturated = header["proc_ns"] == 0xFFFF_FFFF
    own = {name: sub[name] for name in HEADER.names() & SUB_HEADER.names()}
    return {
        **header,
        **own,
        "flags": sub["flags"] | header["flags"] & ~AUTH,
        "payload_len": len(payload),
        "exchange_ts": within_i64(header["exchange_ts"] + sub["exch_off_ns"]),
        "recv_ts": within_i64(header["recv_ts"] + late_ns),
        "proc_ns": header["proc_ns"] if saturated else max(header["proc_ns"] - late_ns, 0),
    }


def within_i64(value: int) -> int:
    """The nearest value that an i64 holds."""
    return max(-(1 << 63), min(value, (1 << 63) - 1))


def encode(
    msg: str | int,
    header: Mapping[str, int],
    root: Mapping[str, Any] | None = None,
    records: Iterable[Mapping[str, Any]] = (),
    *,
    more_root: bytes = b"",
    more_record: bytes = b"",
) -> bytes:
    """A frame with the right lengths and CRC.

    `more_root` and `more_record` are what a later version may append; a number as `msg` has only those parts.
    """
    layout, payload, shape = _payload(msg, root, records, more_root, more_record)
    return _sealed({"channel": 1, **header, **shape, "msg_type": layout.number}, payload)


def encode_packed(
    msg: str | int,
    sub: Mapping[str, int],
    root: Mapping[str, Any] | None = None,
    records: Iterable[Mapping[str, Any]] = (),
    *,
    more_root: bytes = b"",
    more_record: bytes = b"",
) -> bytes:
    """One message of a PACK: sub-header, payload and padding."""
    layout, payload, shape = _payload(msg, root, records, more_root, more_record)
    pad = -len(payload) % 8
    size = {"len": SUB_HEADER.size + len(payload) + pad, "pad": pad}
    return SUB_HEADER.write({**sub, **shape, **size, "msg_type": layout.number}) + payload + bytes(pad)


def encode_pack(header: Mapping[str, int], messages: Iterable[bytes]) -> bytes:
    """A PACK of messages made by `encode_packed`, with the right lengths and CRC."""
    packed = list(messages)
    shape = {"count": len(packed), "rec_len": 0, "msg_type": LAYOUTS["PACK"].number}
    return _sealed({"channel": 1, **header, **shape}, b"".join(packed))


def _payload(
    msg: str | int,
    root: Mapping[str, Any] | None,
    records: Iterable[Mapping[str, Any]],
    more_root: bytes,
    more_record: bytes,
) -> tuple[Layout, bytes, dict[str, int]]:
    layout = LAYOUTS[msg] if isinstance(msg, str) else Layout(msg)
    record_bytes = [layout.record.write(record) + more_record for record in records]
    payload = layout.root.write(root or {}) + more_root + b"".join(record_bytes)
    rec_len = len(record_bytes[0]) if record_bytes else 0
    return layout, payload, {"count": len(record_bytes), "rec_len": rec_len}


def _sealed(header: Mapping[str, int], payload: bytes) -> bytes:
    full = {"magic": MAGIC, "version": VERSION, **header, "payload_len": len(payload), "crc32c": 0}
    unsealed = HEADER.write(full)[:-4]
    return unsealed + struct.pack("<I", crc32c(unsealed + payload)) + payload


def assert_same(core: Mapping[str, Any], frame: Frame) -> None:
    """Holds what the core decoded to what the reference did; floats are compared as bytes, for NaN."""
    mine = frame.as_dict()
    assert core.keys() == mine.keys(), core.keys() ^ mine.keys()
    for key, value in mine.items():
        assert _comparable(core[key]) == _comparable(value), key


def _comparable(value: Any) -> Any:
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, Mapping):
        return {key: _comparable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_comparable(inner) for inner in value]
    return value


def is_numbered(msg_type: int) -> bool:
    """Whether frames of a type consume numbers."""
    return msg_type < 0x40 and msg_type not in {0x01, 0x03}


def _crc32c_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F6_3B78 if crc & 1 else 0)  # Castagnoli, bits reversed
        table.append(crc)
    return table


CRC32C_TABLE = _crc32c_table()


def crc32c(data: bytes) -> int:
    """CRC-32C as of RFC 3720, B.4."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc = CRC32C_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFF_FFFF


# Bytes 24-55 of the default secret of XXH3 (xxhash specification 0.2.0, "XXH3 algorithm for small inputs").
XXH3_SECRET_24 = struct.unpack(
    "<4Q", bytes.fromhex("7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e")
)


def xxh3_64_12_bytes(data: bytes, seed: int) -> int:
    """XXH3-64 of exactly 12 bytes: the branch of the specification for 9 to 16."""
    assert len(data) == 12
    low = int.from_bytes(data[:8], "little") ^ ((XXH3_SECRET_24[0] ^ XXH3_SECRET_24[1]) + seed) & MASK64
    high = int.from_bytes(data[-8:], "little") ^ ((XXH3_SECRET_24[2] ^ XXH3_SECRET_24[3]) - seed) & MASK64
    product = low * high
    swapped = int.from_bytes(low.to_bytes(8, "little"), "big")
    mixed = (len(data) + swapped + high + ((product & MASK64) ^ (product >> 64))) & MASK64
    mixed = (mixed ^ (mixed >> 37)) * 0x1656_6791_9E37_79F9 & MASK64
    digest: int = mixed ^ (mixed >> 32)
    return digest


def chain64(previous: int, channel_seq: int, crc: int) -> int:
    """chain(n) from chain(n - 1); chain(0) is the session."""
    return xxh3_64_12_bytes(struct.pack("<QI", channel_seq, crc), previous)


def registry_crc(instruments: Iterable[tuple[int, int]]) -> int:
    """CRC over (instrument, def_version) of the live instruments, in any order given."""
    return crc32c(b"".join(struct.pack("<II", *pair) for pair in sorted(instruments)))


def book_checksum(bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> int:
    """CRC of a book of (price, qty), best first on each side."""
    sides = [list(bids), list(asks)]
    return crc32c(_counts(sides) + b"".join(struct.pack("<qq", *level) for side in sides for level in side))


def order_checksum(bids: Iterable[tuple[int, int, int]], asks: Iterable[tuple[int, int, int]]) -> int:
    """CRC of a book of orders (order_id, price, qty), best level first on each side and its front first."""
    sides = [list(bids), list(asks)]
    return crc32c(_counts(sides) + b"".join(struct.pack("<Qqq", *order) for side in sides for order in side))


def _counts(sides: Iterable[Sized]) -> bytes:
    return struct.pack("<HH", *(min(len(side), 0xFFFF) for side in sides))
