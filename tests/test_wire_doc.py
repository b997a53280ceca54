"""docs/wire-format.md is held to the code: its tables against the reference decoder and the Rust core."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from test_wire_auth import KEY, WINDOW_SIGNATURE
from test_wire_reference import BBO_AUTH as AUTHENTIC
from wire_auth_reference import is_authentic, siphash_2_4
from wire_reference import (
    AUTH_BYTES,
    CAUSES,
    CRITICAL,
    FRAME_BYTES_MAX,
    HEADER,
    LAYOUTS,
    Part,
    book_checksum,
    chain64,
    crc32c,
    decode,
    is_numbered,
    registry_crc,
)

DOCUMENT = (Path(__file__).parents[1] / "docs" / "wire-format.md").read_text(encoding="utf-8")
DASH = "\N{EN DASH}"
SIZES = {"u8": 1, "i8": 1, "u16": 2, "u32": 4, "u64": 8, "i32": 4, "i64": 8, "f64": 8}

Rows = list[tuple[int, int, str, str]]


def section(title: str) -> str:
    """The text under the `##` heading that ends with `title`."""
    found = re.search(rf"^## \d+\. {re.escape(title)}$(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def tables(text: str) -> list[list[list[str]]]:
    """Every table as rows of cells, headings and rulers left out."""
    found = re.findall(r"^\|.*\|\n\|[-|]+\|\n((?:^\|.*\|\n?)+)", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.split("|")[1:-1]] for line in rows.splitlines()] for rows in found
    ]


def parts(text: str) -> dict[str, tuple[int, Rows]]:
    """Header, root and record tables: part to (bytes told, rows of offset, size, type, field)."""
    found: dict[str, tuple[int, Rows]] = {}
    for chunk in re.split(r"^(?=(?:Header|Root|Record `\w+`), )", text, flags=re.MULTILINE)[1:]:
        opening = re.match(r"(Header|Root|Record)(?: `\w+`)?, (\d+) bytes:\n", chunk)
        assert opening, chunk[:80]
        rows = [
            (int(offset), int(size), kind, name.strip("`"))
            for offset, size, kind, name, *_ in tables(chunk)[0]
        ]
        assert opening[1] not in found, "one table a part"
        found[opening[1]] = int(opening[2]), rows
    return found


def messages() -> dict[str, tuple[int, dict[str, tuple[int, Rows]]]]:
    """Every message of section 8: name to (type number, parts)."""
    chunks = re.split(r"^### (0x[0-9A-F]{2}) (\w+)$", section("The messages"), flags=re.MULTILINE)[1:]
    named = zip(chunks[0::3], chunks[1::3], chunks[2::3], strict=True)
    return {name: (int(number, 16), parts(text)) for number, name, text in named}


def told(found: dict[str, tuple[int, Rows]], part: str) -> Rows:
    """The rows of a part; none where the message has no such part."""
    return found[part][1] if part in found else []


def test_the_header_table_is_the_header_of_the_reference() -> None:
    assert parts(section("The header")) == {"Header": (66, HEADER.rows())}


def test_the_document_has_every_message_of_the_reference_and_no_other() -> None:
    assert {name: number for name, (number, _) in messages().items()} == {
        name: layout.number for name, layout in LAYOUTS.items()
    }


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_message_is_laid_out_as_in_the_reference(name: str) -> None:
    found = messages()[name][1]
    assert told(found, "Root") == LAYOUTS[name].root.rows()
    assert told(found, "Record") == LAYOUTS[name].record.rows()


def test_tables_are_whole_aligned_and_as_long_as_they_say() -> None:
    every = [("header", parts(section("The header")))]
    every += [(name, found) for name, (_, found) in messages().items()]
    for name, found in every:
        assert found, name
        for part, (size_told, rows) in found.items():
            end = 0
            for offset, size, kind, field in rows:
                width = int(kind[5:-1]) if kind.startswith("char[") else SIZES[kind]
                assert (offset, size) == (end, width), (name, part, field)
                if part != "Header" and kind in SIZES:
                    assert offset % size == 0, (name, part, field)
                end += size
            assert end == size_told, (name, part)


def test_the_table_of_messages_agrees_with_the_layouts() -> None:
    room = FRAME_BYTES_MAX - HEADER.size

    def most(name: str, payload: int) -> str:
        root, record = LAYOUTS[name].root.size, LAYOUTS[name].record.size
        if not record:
            return DASH
        # A heartbeat has one manifest at most, whatever would fit.
        return "1" if name == "HEARTBEAT" else str(min(255, (payload - root) // record))

    rows = tables(section("Messages"))[0]
    assert [row[1] for row in rows] == list(LAYOUTS)
    for number, name, numbered, root, record, plain, authentic in rows:
        layout = LAYOUTS[name]
        assert int(number, 16) == layout.number
        assert numbered.startswith("yes") is is_numbered(layout.number), name
        assert (int(root), record) == (layout.root.size, str(layout.record.size or DASH)), name
        assert (plain, authentic) == (most(name, room), most(name, room - AUTH_BYTES)), name


def test_flags_causes_and_limits_are_those_of_the_reference() -> None:
    flags = tables(section("Flags"))[0]
    bits = [row[0] for row in flags]
    assert bits == [*map(str, range(12)), f"12{DASH}13", f"14{DASH}15"]
    assert CRITICAL == 1 << 14 | 1 << 15
    assert [row[1] for row in flags[:2]] == ["EVENT_END", "AUTH"]
    causes = tables(section("Checking a datagram"))[0]
    assert [(int(order), cause.strip("`")) for order, cause, _ in causes] == list(enumerate(CAUSES, 1))
    limits = {row[0]: row[1] for row in tables(section("Frames and datagrams"))[0]}
    assert limits["longest frame, longest datagram"] == f"{FRAME_BYTES_MAX:,} bytes"
    assert limits["shortest frame"] == f"{HEADER.size} bytes"
    assert "".join(code for _, code in HEADER.fields) in section("The header")


def test_the_example_is_what_its_table_says() -> None:
    text = section("An example")
    block = re.search(r"```hex\n([0-9a-f\n]+)```", text)
    assert block
    raw = bytes.fromhex(block[1])
    frame = decode(raw)
    assert frame.raw == raw
    layout = LAYOUTS[frame.msg]

    def expected(prefix: str, part: Part, base: int, values: dict[str, Any]) -> list[list[str]]:
        return [
            [str(base + at), f"`{raw[base + at : base + at + size].hex()}`", prefix + name, str(values[name])]
            for at, size, _, name in part.rows()
        ]

    rows = expected("", HEADER, 0, frame.header)
    rows += expected("root.", layout.root, HEADER.size, frame.root)
    first = HEADER.size + layout.root.size
    for index, record in enumerate(frame.records):
        base = first + index * layout.record.size
        rows += expected(f"records[{index}].", layout.record, base, record)
    assert tables(text)[0] == rows
    assert len(rows) == 20 + 6 + 2 * 2


def test_the_digests_told_are_right() -> None:
    values = {row[0]: row[2] for row in tables(section("An example"))[1]}
    first = chain64(90_000_001, 1, 0x1111_1111)
    second = chain64(first, 2, 0x2222_2222)
    assert values == {
        "CRC-32C": f"0x{crc32c(b'123456789'):08x}",
        "chain": f"0x{first:016x}, then 0x{second:016x}",
        "registry": f"0x{registry_crc([(1001, 1), (1002, 3)]):08x}",
        "book": f"0x{book_checksum([(100, 5), (99, 7)], [(101, 3)]):08x}",
        "key": KEY.hex(),
        "MAC": f"0x{siphash_2_4(KEY, AUTHENTIC[:-AUTH_BYTES]):016x}",
        "manifest": WINDOW_SIGNATURE,
    }


def test_the_frame_with_a_mac_is_signed_with_the_key_told() -> None:
    blocks = re.findall(r"```hex\n([0-9a-f\n]+)```", section("An example"))
    assert [bytes.fromhex(block) for block in blocks][1:] == [AUTHENTIC]
    assert is_authentic(AUTHENTIC, KEY)


def test_limits_of_keys_and_manifests_are_those_of_the_rust_core() -> None:
    text = section("Authentication")
    core = Path(__file__).parents[1] / "rust_core" / "core" / "src" / "wire"
    rust = (core / "auth.rs").read_text() + (core / "manifest.rs").read_text()
    rust += (core / "manifest" / "verifier.rs").read_text()
    for told, constant in (
        ("outcrier-mac-1", 'PERSON: &[u8] = b"outcrier-mac-1"'),
        ("outcrier-manifest-1", 'CONTEXT: &[u8; 19] = b"outcrier-manifest-1"'),
        ("at most two", "MASTERS_MAX: usize = 2"),
        ("1.5 s or more", "LOST_NS: i64 = 1_500_000_000"),
        ("2^18 frames", "FRAMES_MAX: usize = 1 << 18"),
        ("32 MiB", "WINDOW_BYTES_MAX: usize = 32 << 20"),
    ):
        assert told in text
        assert constant in rust, constant


def test_every_counter_that_the_document_names_is_one_of_the_receiver() -> None:
    core = pytest.importorskip("outcrier._core", reason="the Rust core is not built")
    named = set(re.findall(r"`((?:mac|key|manifest)_[a-z]+)`", section("Authentication"))) - {"key_id"}
    assert named == {
        "mac_missing",
        "mac_wrong",
        "key_unknown",
        "manifest_ok",
        "manifest_bad",
        "manifest_unverifiable",
    }
    assert named <= core.Receiver().counters().keys()


def test_a_venue_number_is_given_once() -> None:
    rows = tables(section("Venues"))[0]
    numbers = [int(row[0]) for row in rows]
    assert len(set(numbers)) == len(numbers) == len({row[1] for row in rows})
    assert all(1 <= number <= 126 for number in numbers)


def test_the_rust_core_lays_messages_out_as_the_document_says() -> None:
    core = pytest.importorskip("outcrier._core", reason="the Rust core is not built")
    laid_out: dict[tuple[str, int, str], Rows] = {}
    for name, number, part, fields in core.wire_layouts():
        rows = [(at, SIZES.get(kind) or int(kind[5:-1]), kind, field) for field, kind, at in fields]
        laid_out[name, number, part] = rows
    documented = {("HEADER", 0, "header"): parts(section("The header"))["Header"][1]}
    for name, (number, found) in messages().items():
        for part, (_, rows) in found.items():
            documented[name, number, part.lower()] = rows
    assert laid_out == documented
