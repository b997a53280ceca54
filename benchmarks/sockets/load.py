"""Frames of 386 bytes from a capture, and the program that sends them (`rust_core/net/examples/load`).

The level updates of the USD-M session of 2024 stand in the order in which they came, 18 to a BOOK_DELTA (378
bytes); each batch of 64 begins with a TRADE of eight trades (386 bytes), to whose length a segmented send
pads the others: every datagram has 386 bytes. What the consumers' books must be at the end follows from the
updates by dicts.
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.messages import MessageSet
from benchmarks.ours import CONNECTION
from outcrier import _core
from outcrier.instruments import Instrument, to_core_kwargs
from outcrier.layout import BOOK_DELTA, TRADE
from outcrier.venues import venue_by_name

MESSAGE_BYTES: Final = 386
BATCH: Final = 64
"""Frames of one segmented send."""

GROUP: Final = "239.77.77.77"
LINE_B_GROUP: Final = "239.77.77.78"
SNAPSHOT_GROUP: Final = "239.77.77.79"
REPAIR_GROUP: Final = "239.77.77.80"
INTERFACE: Final = "127.0.0.1"

_LEVELS: Final = 18
_TRADES: Final = 8
_HEADER: Final = struct.Struct("<BBBBHHBBQIHbbIIQqqII")
_TYPE, _REC_LEN, _FLAGS, _PAYLOAD_LEN, _COUNT = 2, 3, 4, 5, 6
_ROOT: Final = struct.Struct("<QQIBBH")
_N_BIDS: Final = 3
_LEVEL: Final = struct.Struct("<qq")
_TRADE_BYTES: Final = 40
_EVENT_END, _TEST = 1 << 0, 1 << 8

_ROOT_DIR: Final = Path(__file__).resolve().parent.parent.parent
_BUILD_SECONDS_MAX: Final = 900
_END_SECONDS_MAX: Final = 10

Side = dict[int, int]


@dataclass(frozen=True, eq=False)
class Frames:
    """An opening that makes one instrument live, and frames of MESSAGE_BYTES to send again and again."""

    opening: Sequence[bytes]
    cycle: Sequence[bytes]
    """Not sealed: the load program gives them numbers and checksums."""
    symbol: str
    """As consumers ask for it."""
    before: tuple[Side, Side]
    """(bids, asks) after the opening, mantissas."""

    def write(self, path: Path) -> None:
        """In the form of the load program."""
        with path.open("wb") as file:
            file.write(struct.pack("<I", len(self.opening)))
            for frame in (*self.opening, *self.cycle):
                file.write(struct.pack("<H", len(frame)) + frame)

    def book(self, count: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(bids, asks), best first, after `count` frames of the cycle."""
        laps, rest = divmod(count, len(self.cycle))
        bids, asks = dict(self.before[0]), dict(self.before[1])
        # Quantities are absolute: whatever a lap touches is after the next lap what it was after the last.
        for frame in (*(self.cycle if laps else ()), *self.cycle[:rest]):
            if frame[_TYPE] != BOOK_DELTA:
                continue
            n_bids = _ROOT.unpack_from(frame, _HEADER.size)[_N_BIDS]
            levels = _LEVEL.iter_unpack(frame[_HEADER.size + _ROOT.size :])
            for number, (price, qty) in enumerate(levels):
                side = bids if number < n_bids else asks
                side.pop(price, None)
                if qty:
                    side[price] = qty
        return sorted(bids.items(), reverse=True), sorted(asks.items())

    def messages(self) -> list[bytes]:
        """The cycle for a publisher that knows no frames: messages of MESSAGE_BYTES."""
        return [frame.ljust(MESSAGE_BYTES, b"\0") for frame in self.cycle]


def make_frames(messages: MessageSet, listed: Instrument) -> Frames:
    """The frames of a set with one book, which `listed` describes."""
    venue = venue_by_name(messages.venue)
    publisher = _core.Publisher.memory()
    feed = _core.Feed(
        publisher,
        venue=venue.number,
        channel=venue.number,
        session=1,
        publisher_id=1,
        shapes=venue.shapes_json,
        build="benchmark",
        test=True,
    )
    index = feed.add_instrument(**to_core_kwargs(listed, 1))
    feed.on_snapshot(index, messages.snapshots[listed.native_symbol])
    assert feed.state(index) == "LIVE"
    opening = _incremental(publisher)
    bids, asks = feed.book(index)
    for message in messages.messages:
        feed.on_frame(CONNECTION, message)
    frames = _incremental(publisher)
    assert not [kind for kind, *_ in feed.notices() if kind not in {"LIVE", "NEED_SNAPSHOT"}]
    deltas = [frame for frame in frames if frame[_TYPE] == BOOK_DELTA]
    trades = b"".join(frame[_HEADER.size :] for frame in frames if frame[_TYPE] == TRADE)
    return Frames(
        opening,
        _batches(_book_frames(deltas), _trade_frames(frames, trades)),
        listed.full_symbol,
        (dict(bids), dict(asks)),
    )


def _incremental(publisher: _core.Publisher) -> list[bytes]:
    """The frames of the incremental plane, without padding."""
    return [
        datagram[: _HEADER.size + _HEADER.unpack_from(datagram)[_PAYLOAD_LEN]]
        for plane, datagram in publisher.take()
        if plane == 0
    ]


def _book_frames(deltas: Sequence[bytes]) -> list[bytes]:
    """All level updates, `_LEVELS` to a frame; what is left over is left out."""
    updates: list[tuple[bool, bytes]] = []
    for frame in deltas:
        n_bids = _ROOT.unpack_from(frame, _HEADER.size)[_N_BIDS]
        levels = frame[_HEADER.size + _ROOT.size :]
        updates.extend(
            (number < n_bids, levels[number * _LEVEL.size :][: _LEVEL.size])
            for number in range(len(levels) // _LEVEL.size)
        )
    made = []
    for start in range(0, len(updates) - _LEVELS + 1, _LEVELS):
        part = updates[start : start + _LEVELS]
        bids = [level for is_bid, level in part if is_bid]
        asks = [level for is_bid, level in part if not is_bid]
        root = _ROOT.pack(0, 0, 0, len(bids), 0, 0)
        made.append(_like(deltas[0], root + b"".join(bids + asks), _LEVELS))
    return made


def _trade_frames(frames: Sequence[bytes], trades: bytes) -> list[bytes]:
    """The trades, `_TRADES` to a frame."""
    template = next(frame for frame in frames if frame[_TYPE] == TRADE)
    length = _TRADES * _TRADE_BYTES
    return [
        _like(template, trades[start : start + length], _TRADES)
        for start in range(0, len(trades) - length + 1, length)
    ]


def _like(template: bytes, payload: bytes, count: int) -> bytes:
    """A frame with the header of another, up to its numbers and its checksum."""
    fields = list(_HEADER.unpack_from(template))
    fields[_FLAGS] = _EVENT_END | _TEST
    fields[_PAYLOAD_LEN], fields[_COUNT] = len(payload), count
    return _HEADER.pack(*fields) + payload


def _batches(books: Sequence[bytes], trades: Sequence[bytes]) -> list[bytes]:
    """Batches of one TRADE and BATCH - 1 BOOK_DELTA; the trades begin anew where there are too few."""
    made: list[bytes] = []
    for number in range(len(books) // (BATCH - 1)):
        made.append(trades[number % len(trades)])
        made.extend(books[number * (BATCH - 1) :][: BATCH - 1])
    assert max(map(len, made)) == len(trades[0]) == MESSAGE_BYTES
    return made


def build_load() -> Path:
    """The load program; skips where there is no Rust."""
    return build_example("load")


def build_example(name: str) -> Path:
    """A program of rust_core/net/examples, built as the product is; skips where there is no Rust."""
    if shutil.which("cargo") is None:
        pytest.skip(f"no program {name}: cargo, which builds it, is missing")
    command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "outcrier-net", "--example", name]
    subprocess.run(command, cwd=_ROOT_DIR, check=True, timeout=_BUILD_SECONDS_MAX)
    return _ROOT_DIR / "target" / "release" / "examples" / name


def free_port() -> int:
    """A UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((INTERFACE, 0))
        number: int = probe.getsockname()[1]
        return number


@dataclass(frozen=True)
class Parts:
    """What the publisher has on its way out beside line A."""

    guard: bool = False
    """The ear for other publishers."""
    kept: bool = False
    """The store of the retransmit server, and that server."""
    line_b: bool = False
    log: Path | None = None
    """The folder of the log."""
    lose: int = 0
    """One batch in so many is kept and not sent; 0 = none."""

    def options(self) -> list[str]:
        """In the form of the load program."""
        return [
            *(["guard=yes"] if self.guard else []),
            *([f"repair={REPAIR_GROUP}"] if self.kept else []),
            *([f"line_b={LINE_B_GROUP}"] if self.line_b else []),
            *([f"log={self.log}"] if self.log is not None else []),
            *([f"lose={self.lose}"] if self.lose else []),
        ]


class Load:
    """The load program, its opening sent. Use as a context manager, then `run`."""

    def __init__(
        self,
        program: Path,
        frames: Path,
        *,
        port: int,
        count: int,
        burst: int,
        every_ns: int,
        parts: Parts,
        progress: tuple[Path, int] | None = None,
        core: int | None = None,
    ) -> None:
        flow = [] if progress is None else [f"progress={progress[0]}", f"window={progress[1]}"]
        wanted = [INTERFACE, GROUP, SNAPSHOT_GROUP, port, frames, count, burst, every_ns]
        arguments = [*wanted, *flow, *parts.options()]
        self._process = subprocess.Popen(
            [*pinned(core), str(program), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self) -> dict[str, Any]:
        """Sends all; what it says of it."""
        self._tell()
        return self._answer()

    def end(self) -> dict[str, Any]:
        """Ends the session; what it says of those who lost something."""
        self._tell()
        answer = self._answer()
        assert self._process.wait(_END_SECONDS_MAX) == 0
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def _tell(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


def pinned(core: int | None) -> list[str]:
    """Words before a command that keep it on one core; None = where the system wants it."""
    return [] if core is None else ["taskset", "--cpu-list", str(core)]
