"""Frames of a capture as a publisher logs them, and logs made of them."""

from __future__ import annotations

import struct
from pathlib import Path

from feed_bench import Bench, lines
from outcrier import _core

CAPTURE = "binance_coinm/coinm_2021-07-22"
SESSION = 90_000_001
CHANNEL = 3
WALL_NS = 1_700_000_000_123_456_789
_CHANNEL_SEQ = struct.Struct("<Q")


def number_of(frame: bytes) -> int:
    """`channel_seq`."""
    number: int = _CHANNEL_SEQ.unpack_from(frame, 10)[0]
    return number


def frames_of(path: Path, most: int = 400) -> list[bytes]:
    """The first numbered frames of the incremental plane that a feed makes of the COIN-M capture."""
    bench = Bench("binance_coinm")
    for line in lines(path, most=most):
        bench.take(line)
    made = []
    for plane, datagram in bench.publisher.take():
        length = 66 + int.from_bytes(datagram[6:8], "little")
        if plane == 0 and datagram[2] not in (0x01, 0x03):
            made.append(datagram[:length])
    assert [number_of(frame) for frame in made] == list(range(1, len(made) + 1))
    return made


def write_log(path: Path, frames: list[bytes], *, segment_bytes: int = 1 << 16) -> None:
    """A log of frames with stamps 1,001 ns apart; numbers that are missing are holes."""
    writer = _core.LogWriter(path, segment_bytes=segment_bytes)
    expected = 1
    for place, frame in enumerate(frames):
        stamp = WALL_NS + place * 1_001
        if number_of(frame) > expected:
            writer.hole(stamp, CHANNEL, SESSION, expected, number_of(frame) - 1)
        expected = number_of(frame) + 1
        writer.frame(stamp, frame)
    writer.close()


def read_log(path: Path) -> tuple[list[tuple[int, bytes]], list[tuple[int, int, int]]]:
    """Stamps and frames of a log, and its holes as (number of frames before, first, last)."""
    reader = _core.LogReader(path)
    frames: list[tuple[int, bytes]] = []
    holes = []
    for channel, session, number, stamp, frame in reader:
        assert (channel, session, number) == (CHANNEL, SESSION, number_of(frame))
        holes += [(len(frames), first, last) for _, _, first, last, _ in reader.take_holes()]
        frames.append((stamp, frame))
    holes += [(len(frames), first, last) for _, _, first, last, _ in reader.take_holes()]
    assert reader.refused() == []
    return frames, holes
