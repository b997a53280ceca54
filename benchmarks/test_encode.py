"""Making a frame of 386 bytes with its CRC32C: a BOOK_SNAPSHOT of 18 levels, built and sealed."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from benchmarks.frame import OURS, AtLeast, Measure, Row
from benchmarks.frame.criterion import Criterion
from benchmarks.frame.floors import FloorFigures
from outcrier import _core
from wire_reference import crc32c as reference_crc32c

ROW = Row(
    "encode 386 B with CRC32C",
    "ns/frame",
    (AtLeast(8, "struct.pack"),),
    (
        "ours: criterion, `FrameBuf::build` and `seal` of a BOOK_SNAPSHOT of 18 levels; struct.pack: the "
        "same bytes by a compiled `struct.Struct` into a buffer, and the C package crc32c."
    ),
)

FRAME = struct.Struct("<BBBBHHBBQIHbbIIQqqII" + "IHHQIHHHBBI" + "36q")
"""Header, root and levels."""
CRC = struct.Struct("<I")
CRC_OFFSET = 62
FRAMES = 2_000
"""Frames of a pass: one is too short to time."""

# Of the header what stands before and after the numbers and times of the frame; the CRC is 0 at first.
START = (0xFB, 1, 0x11, 16, 0, 320, 18, 3)
SESSION = (1, 0, 0, 0, 7)
ROOT = (0, 0, 1, 0, 0, 0, 0, 0, 9, 0, 0)
LEVELS = tuple(value for place in range(18) for value in (123_456_789_012 + place, 5))
REST = (1, 0, *ROOT, *LEVELS)


class Packer:
    """Makes the frame of rust_core/core/benches, the fastest way that was found: one call, views kept."""

    def __init__(self, crc32c: Callable[[memoryview, int], int]) -> None:
        self.frame = bytearray(FRAME.size)
        self.before = memoryview(self.frame)[:CRC_OFFSET]
        self.behind = memoryview(self.frame)[CRC_OFFSET + CRC.size :]
        self.crc32c = crc32c

    def pack(self, number: int) -> None:
        frame, crc32c = self.frame, self.crc32c
        FRAME.pack_into(frame, 0, *START, number, *SESSION, number, 0, number, number, *REST)
        CRC.pack_into(frame, CRC_OFFSET, crc32c(self.behind, crc32c(self.before, 0)))


def expected() -> bytes:
    """The first frame, its CRC by the independent decoder of the tests."""
    packer = Packer(lambda _data, _before: 0)
    packer.pack(1)
    frame = packer.frame
    CRC.pack_into(frame, CRC_OFFSET, reference_crc32c(bytes(packer.before) + bytes(packer.behind)))
    return bytes(frame)


def test_frame_is_what_it_should_be() -> None:
    decoded = _core.decode_frame(expected())
    assert FRAME.size == 386
    assert (decoded["channel_seq"], decoded["count"]) == (1, 18)


@pytest.mark.record_only
def test_ours(measure: Measure, criterion: Criterion) -> None:
    estimate = criterion.run("encode/386")
    assert estimate.answer == expected()[62:66][::-1].hex()
    measure.value(ROW, OURS, estimate.ns, criterion_median=round(estimate.median_ns, 2))


@pytest.mark.peer
def test_struct_pack(measure: Measure) -> None:
    from crc32c import crc32c  # noqa: PLC0415 - where the peers are

    def run(packer: Packer) -> None:
        for number in range(FRAMES, 0, -1):
            packer.pack(number)

    measure.time(
        ROW,
        "struct.pack",
        setup=lambda: Packer(crc32c),
        run=run,
        answer=lambda packer: bytes(packer.frame),
        expected=expected(),
        per=FRAMES,
    )


@pytest.mark.peer
def test_floor(measure: Measure, floor_figures: FloorFigures) -> None:
    measure.value(ROW, "floor", floor_figures.figure("encode_only_crc_386B_ns"))
