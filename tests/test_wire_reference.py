"""The reference decoder against the published vectors, and the core against the reference decoder."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire_reference import (
    AUTH,
    CAUSES,
    HEADER,
    LAYOUTS,
    OWN_FLAGS,
    SHARED_FLAGS,
    SUB_HEADER,
    Frame,
    Part,
    RefusedError,
    assert_same,
    book_checksum,
    chain64,
    crc32c,
    decode,
    encode,
    encode_pack,
    encode_packed,
    is_numbered,
    order_checksum,
    registry_crc,
)

BBO = bytes.fromhex(
    "fb0113000100280000012a00000000000000814a5d050700fef8e90300001100000015cd5b0700000000c0743defb5e27918"
    "609a63efb5e279183a070000c97a26efd95e63000000000080d1f00800000000da5e630000000000c0687804000000000300000002000000"
)
HEARTBEAT = bytes.fromhex(
    "fb0101000000380000012b00000000000000814a5d050000000000000000000000000000000000000000607b59f5b5e27918"
    "607b59f5b5e27918840300002fc4e9f58877665544332211010000000000000033221100ddccbbaa00f2052a01000000a0860100"
    "e80300000100007f33233d23ffffffff01000000"
)
BBO_AUTH = bytes.fromhex(
    "fb0113000300280000012a00000000000000814a5d050700fef8e90300001100000015cd5b0700000000c0743defb5e27918"
    "609a63efb5e279183a070000b01ef821d95e63000000000080d1f00800000000da5e630000000000c0687804000000000300000002000000"
    "6df328fcf0095b3f"
)
ORDERS_DIGESTED = (
    "02000100"
    "070000000000000064000000000000000500000000000000"
    "090000000000000063000000000000000700000000000000"
    "080000000000000065000000000000000300000000000000"
)
"""Two bids and an ask as the digest of orders takes them: counts, then id, price and quantity of each."""
TOP = {
    "bid_px": 6_512_345, "bid_qty": 150_000_000, "ask_px": 6_512_346, "ask_qty": 75_000_000,
    "bid_orders": 3, "ask_orders": 2,
}  # fmt: skip


def cause_of(datagram: bytes) -> str | None:
    """Why the reference refuses a datagram; None if it accepts it."""
    try:
        decode(datagram)
    except RefusedError as refused:
        return refused.cause
    return None


def test_the_bbo_vector_is_read_and_written() -> None:
    frame = decode(BBO)
    assert (frame.msg, frame.root, frame.records, frame.raw) == ("BBO", TOP, [], BBO)
    header = frame.header
    assert (header["channel"], header["session"], header["channel_seq"]) == (1, 90_000_001, 42)
    assert (header["instrument"], header["instr_seq"], header["venue"]) == (1001, 17, 7)
    assert (header["price_exp"], header["qty_exp"], header["flags"]) == (-2, -8, 1)
    assert (header["recv_ts"] - header["exchange_ts"], header["proc_ns"]) == (2_500_000, 1850)
    assert encode("BBO", header, TOP) == BBO


def test_the_heartbeat_vector_is_read_and_written() -> None:
    frame = decode(HEARTBEAT)
    assert frame.root["publisher_id"] == 0x1122_3344_5566_7788
    assert frame.root["chain64"] == 0xAABB_CCDD_0011_2233
    assert (frame.root["retx_ipv4"], frame.root["retx_udp_port"]) == (0x7F00_0001, 9011)
    assert (frame.root["clock_err_ns"], frame.root["state"]) == (0xFFFF_FFFF, 1)
    assert encode("HEARTBEAT", frame.header, frame.root) == HEARTBEAT


def test_a_mac_trailer_is_counted() -> None:
    frame = decode(BBO_AUTH)
    assert (frame.raw, frame.root, frame.header["crc32c"]) == (BBO_AUTH, TOP, 0x21F8_1EB0)
    assert frame.header["flags"] & AUTH
    assert cause_of(BBO_AUTH[:-1]) == "length"


def test_digests_equal_their_vectors() -> None:
    assert crc32c(b"123456789") == 0xE306_9283
    first = chain64(90_000_001, 1, 0x1111_1111)
    assert first == 0xEF17_A13B_38B4_11E7
    assert chain64(first, 2, 0x2222_2222) == 0x87D6_51B1_AEBF_63A3
    assert registry_crc([(1002, 3), (1001, 1)]) == 0x4CFB_E740
    assert book_checksum([(100, 5), (99, 7)], [(101, 3)]) == 0x8D8B_99D4
    orders = order_checksum([(7, 100, 5), (9, 99, 7)], [(8, 101, 3)])
    assert orders == crc32c(bytes.fromhex(ORDERS_DIGESTED))


def test_only_the_types_of_the_rule_consume_numbers() -> None:
    assert [n for n in range(256) if is_numbered(n)] == [0, 2, *range(4, 64)]


def test_causes_are_looked_for_in_order() -> None:
    def broken(bytes_long: int, **fields: int) -> bytes:
        header = {"magic": 0xFB, "version": 1, "msg_type": 0x13, "payload_len": 40, "channel": 1, **fields}
        return HEADER.write(header).ljust(1500, b"\0")[:bytes_long]

    wrong: dict[str, int] = {}
    told = [cause_of(broken(106, **wrong))]
    wrong["channel"] = 0x80
    told.append(cause_of(broken(106, **wrong)))
    wrong["flags"] = 1 << 15
    told.append(cause_of(broken(106, **wrong)))
    wrong |= {"count": 1, "rec_len": 1}
    told.append(cause_of(broken(106, **wrong)))
    wrong["payload_len"] = 41
    told.append(cause_of(broken(106, **wrong)))
    wrong["version"] = 2
    told += [cause_of(broken(bytes_long, **wrong)) for bytes_long in (106, 1401, 65)]
    assert told == [cause for cause in reversed(CAUSES) if cause != "pack"]
    # The checks of a PACK stand where those of root and records stand.
    pack = {"msg_type": 0x30, "channel": 0x80, "flags": 1 << 15}
    assert cause_of(broken(106, **pack)) == "pack"
    assert cause_of(broken(106, **pack, payload_len=41)) == "length"
    sub = SUB_HEADER.write({"len": 40, "msg_type": 0x3F, "flags": 1 << 15})
    header = HEADER.write({"magic": 0xFB, "version": 1, "msg_type": 0x30, "payload_len": 40, "count": 1})
    assert cause_of(header + sub + bytes(8)) == "critical_flags"


def test_every_cut_and_every_flipped_bit_is_refused_and_padding_is_harmless() -> None:
    for cut in range(len(BBO)):
        assert cause_of(BBO[:cut]) == ("too_short" if cut < 66 else "length")
    padded = BBO + bytes(20)
    for bit in range(len(padded) * 8):
        damaged = bytearray(padded)
        damaged[bit // 8] ^= 1 << (bit % 8)
        if bit // 8 < len(BBO):
            assert cause_of(bytes(damaged)) is not None, bit
        else:
            assert decode(bytes(damaged)).raw == BBO


def numbers(code: str) -> st.SearchStrategy[Any]:
    """Any value that a field may hold, NaN and padding included."""
    if code.endswith("s"):
        size = int(code[:-1])
        return st.binary(min_size=size, max_size=size)
    if code == "d":
        return st.floats()
    size = struct.calcsize("<" + code)
    low, high = (
        (-(1 << (8 * size - 1)), (1 << (8 * size - 1)) - 1) if code in "biq" else (0, (1 << 8 * size) - 1)
    )
    return st.one_of(st.sampled_from([low, high, 0]), st.integers(low, high))


def values(part: Part) -> st.SearchStrategy[dict[str, Any]]:
    """Any root or record."""
    return st.fixed_dictionaries({name: numbers(code) for name, code in part.fields})


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A right frame of any type, of a later version too, with padding."""
    header = draw(values(HEADER))
    header |= {"magic": 0xFB, "version": 1, "flags": header["flags"] & 0x3FFF & ~AUTH}
    header["channel"] = draw(st.integers(1, 127)) | draw(st.sampled_from([0, 0x80]))
    padding = bytes(draw(st.integers(0, 40)))
    more_root, more_record = draw(st.binary(max_size=24)), draw(st.binary(max_size=8))
    if draw(st.integers(0, 9)) == 0:
        later = draw(st.integers(0, 255).filter(lambda n: all(n != each.number for each in LAYOUTS.values())))
        return encode(later, header, more_root=more_root) + padding
    name = draw(st.sampled_from(sorted(LAYOUTS.keys() - {"PACK"})))
    layout = LAYOUTS[name]
    records = draw(st.lists(values(layout.record), max_size=8)) if layout.record.size else []
    root = draw(values(layout.root))
    return encode(name, header, root, records, more_root=more_root, more_record=more_record) + padding


PACKED = [
    "STATUS",
    "CONN",
    "BOOK_DELTA",
    "TRADE",
    "BBO",
    "TICKER_24H",
    "ORDER_OPS",
    "CANDLE",
    "DERIV_STATE",
    "LIQUIDATION",
]
LATER = [0x15, 0x00, 0x06, 0x3F, 0x43, 0x80, 0xFF]


@st.composite
def packed(draw: st.DrawFn) -> bytes:
    """A right message of a PACK, of a later version too."""
    sub = draw(values(SUB_HEADER))
    sub["flags"] &= 0x3FFF & ~SHARED_FLAGS
    more_root, more_record = draw(st.binary(max_size=9)), draw(st.binary(max_size=3))
    if draw(st.integers(0, 6)) == 0:
        return encode_packed(draw(st.sampled_from(LATER)), sub, more_root=more_root)
    name = draw(st.sampled_from(PACKED))
    layout = LAYOUTS[name]
    records = draw(st.lists(values(layout.record), max_size=2)) if layout.record.size else []
    root = draw(values(layout.root))
    return encode_packed(name, sub, root, records, more_root=more_root, more_record=more_record)


@st.composite
def packs(draw: st.DrawFn) -> bytes:
    """A right PACK, with padding."""
    header = draw(values(HEADER))
    once = ("price_exp", "qty_exp", "instrument", "instr_seq", "source_seq")
    header |= {"magic": 0xFB, "version": 1, "channel": draw(st.integers(1, 127)), **dict.fromkeys(once, 0)}
    header["flags"] &= 0x3FFF & ~AUTH & ~OWN_FLAGS
    return encode_pack(header, draw(st.lists(packed(), max_size=5))) + bytes(draw(st.integers(0, 40)))


def judged(core: Any, datagram: bytes) -> None:
    """Asserts that core and reference accept with the same content or refuse for the same cause."""
    try:
        frame: Frame | None = decode(datagram)
        cause = ""
    except RefusedError as refused:
        frame, cause = None, refused.cause
    if frame is None:
        with pytest.raises(ValueError, match=rf"\b{cause}\b"):
            core.decode_frame(datagram)
    else:
        assert_same(core.decode_frame(datagram), frame)


@pytest.fixture(scope="module")
def core() -> Any:
    """The binding; without it only the reference itself is tested."""
    return pytest.importorskip("outcrier._core", reason="the Rust core is not built")


@pytest.mark.parametrize("datagram", [BBO, HEARTBEAT, BBO_AUTH])
def test_the_core_reads_the_vectors_as_the_reference_does(core: Any, datagram: bytes) -> None:
    judged(core, datagram)


@settings(max_examples=400, deadline=None)
@given(datagram=frames())
def test_the_core_reads_what_the_reference_writes(core: Any, datagram: bytes) -> None:
    judged(core, datagram)


@settings(max_examples=200, deadline=None)
@given(datagram=packs())
def test_the_core_reads_the_packs_that_the_reference_writes(core: Any, datagram: bytes) -> None:
    assert cause_of(datagram) is None
    judged(core, datagram)


@settings(max_examples=300, deadline=None)
@given(datagram=packs(), data=st.data())
def test_the_core_refuses_a_damaged_pack_for_the_same_cause(
    core: Any, datagram: bytes, data: st.DataObject
) -> None:
    damaged = bytearray(datagram)
    # The sub-headers most of all, and the CRC right again: nothing but the checks of a PACK can refuse it.
    for at in data.draw(st.lists(st.integers(2, min(len(damaged), 66 + 40) - 1), max_size=3)):
        damaged[at] = data.draw(
            st.one_of(st.sampled_from([0, 1, 7, 8, 32, 40, 0x11, 0x18, 0x30]), st.integers(0, 255))
        )
    end = 66 + int.from_bytes(damaged[6:8], "little")
    damaged[62:66] = struct.pack("<I", crc32c(bytes(damaged[:62] + damaged[66:end])))
    judged(core, bytes(damaged))


def test_a_pack_is_read_and_written() -> None:
    """Two messages by hand: a best quote, and 3 bytes of a later version with 5 bytes of padding."""
    bbo = encode_packed(
        "BBO",
        {"flags": 1, "instrument": 9, "instr_seq": 3, "exch_off_ns": -7, "recv_off_us": 2, "price_exp": -2},
        TOP,
    )
    later = encode_packed(0x3F, {"instrument": 9, "instr_seq": 4}, more_root=b"abc")
    assert (len(bbo), len(later), later[31], later[-8:]) == (72, 40, 5, b"abc" + bytes(5))
    header = {
        "session": 5,
        "channel_seq": 8,
        "venue": 2,
        "recv_ts": 1_000,
        "exchange_ts": 900,
        "flags": 1 << 8,
    }
    frame = decode(encode_pack({**header, "proc_ns": 5_000}, [bbo, later]))
    assert (frame.msg, frame.header["payload_len"], len(frame.records)) == ("PACK", 112, 2)
    first, second = frame.messages
    assert (first.msg, first.root) == ("BBO", TOP)
    told = ("msg_type", "flags", "payload_len", "count", "channel_seq", "session", "venue", "price_exp")
    assert [first.header[name] for name in told] == [0x13, 1 << 8 | 1, 40, 0, 8, 5, 2, -2]
    counted = ("instrument", "instr_seq", "exchange_ts", "recv_ts", "proc_ns")
    assert [first.header[name] for name in counted] == [9, 3, 893, 3_000, 3_000]
    assert (second.msg, second.header["payload_len"], second.header["instr_seq"]) == ("UNKNOWN", 3, 4)
    assert cause_of(encode_pack({**header, "instrument": 9}, [bbo])) == "pack"
    assert cause_of(encode_pack({**header, "channel": 0x81}, [bbo])) == "pack"
    assert cause_of(encode_pack(header, [bbo[:-8]])) == "pack"


def laid_out(size: int, *fields: tuple[int, str, int]) -> bytes:
    """Bytes with numbers (offset, `struct` code, value) where the tables of docs/wire-format.md have them."""
    data = bytearray(size)
    for at, code, value in fields:
        struct.pack_into("<" + code, data, at, value)
    return bytes(data)


ADD = {
    "order_id": 2**64 - 2, "price": -5, "qty": 2**40, "ref_id": 0, "priority": 2**63 + 1,
    "op": 1, "side": 2, "op_flags": 0xFF00, "reserved": 0,
}  # fmt: skip
EXECUTE = {**ADD, "qty": 3, "ref_id": 77, "priority": 0, "op": 5, "side": 0, "op_flags": 0x9901}
RESTING = {
    "order_id": 11, "price": 100, "qty": 5, "priority": 12, "order_ts": -13, "order_flags": 0x9901,
    "reserved": bytes(6),
}  # fmt: skip


def op_bytes(op: dict[str, int]) -> bytes:
    return laid_out(
        48,
        (0, "Q", op["order_id"]), (8, "q", op["price"]), (16, "q", op["qty"]), (24, "Q", op["ref_id"]),
        (32, "Q", op["priority"]), (40, "B", op["op"]), (41, "B", op["side"]), (42, "H", op["op_flags"]),
        (44, "I", op["reserved"]),
    )  # fmt: skip


OPS_ROOT = {"first_source_seq": 2**64 - 9, "prev_source_seq": 41}
OPS_PAYLOAD = laid_out(16, (0, "Q", 2**64 - 9), (8, "Q", 41)) + op_bytes(ADD) + op_bytes(EXECUTE)


def test_changes_of_orders_lie_where_the_document_has_them(core: Any) -> None:
    raw = encode("ORDER_OPS", {"instrument": 7, "flags": 1}, OPS_ROOT, [ADD, EXECUTE])
    assert (raw[2], raw[3], raw[8]) == (0x18, 48, 2)
    assert raw[66:] == OPS_PAYLOAD
    for told in (decode(raw).as_dict(), core.decode_frame(raw)):
        assert (told["msg"], told["root"], told["records"]) == ("ORDER_OPS", OPS_ROOT, [ADD, EXECUTE])
    judged(core, raw)


def test_changes_of_orders_lie_in_a_pack_as_they_would_alone(core: Any) -> None:
    sub = {"flags": 1, "instrument": 7, "instr_seq": 3, "price_exp": -2, "qty_exp": -8}
    first, second = encode_packed("BBO", sub, TOP), encode_packed("ORDER_OPS", sub, OPS_ROOT, [ADD, EXECUTE])
    assert (second[:4], second[6], second[31]) == (struct.pack("<HBB", 32 + 112, 0x18, 48), 2, 0)
    assert second[32:] == OPS_PAYLOAD
    raw = encode_pack({"session": 5}, [first, second])
    judged(core, raw)
    for told in (decode(raw).as_dict(), core.decode_frame(raw)):
        message = told["messages"][1]
        assert (message["msg"], message["root"], message["records"]) == (
            "ORDER_OPS",
            OPS_ROOT,
            [ADD, EXECUTE],
        )
        assert (message["instr_seq"], message["price_exp"], message["qty_exp"]) == (3, -2, -8)
    snapshot = encode_packed("ORDER_SNAPSHOT", sub, {}, [RESTING])
    assert cause_of(encode_pack({"session": 5}, [first, snapshot])) == "pack"
    judged(core, encode_pack({"session": 5}, [first, snapshot]))


def test_a_fragment_of_orders_lies_where_the_document_has_it(core: Any) -> None:
    root = {
        "snapshot_id": 1, "frag_index": 2, "frag_count": 3, "last_channel_seq": 2**64 - 4,
        "book_checksum": 0x8D8B_99D4, "total_bids": 5, "total_asks": 0xFFFF, "depth_limit": 6, "n_bids": 1,
        "checksum_kind": 3, "def_version": 7,
    }  # fmt: skip
    ask = {**RESTING, "order_id": 2**64 - 1, "price": -(2**63), "order_flags": 0xFF00}
    raw = encode("ORDER_SNAPSHOT", {"instrument": 7, "flags": 1 | 1 << 5}, root, [RESTING, ask])
    assert (raw[2], raw[3], raw[8]) == (0x19, 48, 2)
    assert raw[66:] == b"".join(
        (
            laid_out(
                32,
                (0, "I", 1), (4, "H", 2), (6, "H", 3), (8, "Q", 2**64 - 4), (16, "I", 0x8D8B_99D4),
                (20, "H", 5), (22, "H", 0xFFFF), (24, "H", 6), (26, "B", 1), (27, "B", 3), (28, "I", 7),
            ),
            laid_out(
                48,
                (0, "Q", 11), (8, "q", 100), (16, "q", 5), (24, "Q", 12), (32, "q", -13), (40, "H", 0x9901),
            ),
            laid_out(
                48,
                (0, "Q", 2**64 - 1), (8, "q", -(2**63)), (16, "q", 5), (24, "Q", 12), (32, "q", -13),
                (40, "H", 0xFF00),
            ),
        )
    )  # fmt: skip
    for told in (decode(raw).as_dict(), core.decode_frame(raw)):
        assert (told["msg"], told["root"], told["records"]) == ("ORDER_SNAPSHOT", root, [RESTING, ask])
    judged(core, raw)


def test_orders_are_refused_by_their_sizes_alone(core: Any) -> None:
    """As with every type: a number that no list has, and a reserved field, are left to whoever reads them."""
    odd = {**ADD, "op": 200, "side": 9, "op_flags": 0x00FF, "reserved": 0xFFFF_FFFF}
    raw = encode("ORDER_OPS", {}, {}, [odd])
    assert core.decode_frame(raw)["records"] == [odd]
    judged(core, raw)
    for name, root, record in (("ORDER_OPS", 16, 48), ("ORDER_SNAPSHOT", 32, 48)):
        number = LAYOUTS[name].number
        for size, count, rec_len, is_right in (
            (root, 0, 0, True),
            (root - 1, 0, 0, False),
            (root + record, 1, record, True),
            (root + record - 1, 1, record - 1, False),
            (root + record - 1, 1, record, False),
        ):
            header = {
                "magic": 0xFB, "version": 1, "msg_type": number, "channel": 1, "payload_len": size,
                "count": count, "rec_len": rec_len,
            }  # fmt: skip
            frame = bytearray(HEADER.write(header) + bytes(size))
            frame[62:66] = struct.pack("<I", crc32c(bytes(frame[:62] + frame[66:])))
            assert (cause_of(bytes(frame)) is None) == is_right, (name, size, count, rec_len)
            judged(core, bytes(frame))


@settings(max_examples=400, deadline=None)
@given(datagram=frames(), data=st.data())
def test_the_core_refuses_damage_for_the_same_cause(core: Any, datagram: bytes, data: st.DataObject) -> None:
    damaged = bytearray(datagram[: data.draw(st.integers(0, len(datagram)))])
    for at in data.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=3)) if damaged else []:
        damaged[at] = data.draw(st.integers(0, 255))
    judged(core, bytes(damaged))
