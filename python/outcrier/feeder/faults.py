"""Faulty messages kept for a person: a sample of them in a file that cannot grow without end."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from outcrier import _core

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Size at which the file begins anew: some hundred frames of the longest kind, thousands of the usual one."""


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the file."""

    t: int
    """Receive time, nanoseconds since the epoch."""
    conn: int
    """Number of the connection; 0 = a REST answer."""
    reason: str
    d: str | None = None
    """The message as received, cut to 4,096 bytes."""
    b: str | None = None
    """Instead of `d`, base64, where it is no UTF-8."""


class FaultFile:
    """JSON lines with faulty messages; begins anew when it is full."""

    def __init__(self, path: Path, bytes_max: int = FILE_BYTES_MAX) -> None:
        self.path = path
        self._bytes_max = bytes_max

    def write(self, faults: Iterable[tuple[str, int, int, bytes]]) -> None:
        """Appends what `_core.Feed.faults` gives. Raises OSError."""
        lines = b"".join(_line(*fault) for fault in faults)
        with self.path.open("ab") as file:
            if file.tell() + len(lines) > self._bytes_max:
                file.truncate(0)
            file.write(lines)


class FaultKeeper:
    """Writes what a feed holds of its faults, off the event loop."""

    def __init__(self, feed: _core.Feed, path: Path, told: Callable[[str], None]) -> None:
        """`told` gets the line about a file that cannot be written: no reason to stop a feed."""
        self._feed = feed
        self._file = FaultFile(path)
        self._told = told
        self._seen = 0
        self._writing: asyncio.Task[None] | None = None

    def sample(self) -> None:
        """Keeps what came since the last time, as far as the core still holds it. Call once a second."""
        total = self._feed.counters()["faults"]
        if total == self._seen or (self._writing is not None and not self._writing.done()):
            return
        held = self._feed.faults()
        fresh = held[max(0, len(held) - (total - self._seen)) :]
        self._seen = total
        self._writing = asyncio.create_task(self._write(fresh))

    async def _write(self, faults: list[tuple[str, int, int, bytes]]) -> None:
        try:
            await asyncio.to_thread(self._file.write, faults)
        except OSError as error:
            self._told(f"{self._file.path}: {error.strerror}")


def _line(reason: str, recv_ns: int, connection: int, frame: bytes) -> bytes:
    try:
        sample = Sample(recv_ns, connection, reason, d=frame.decode())
    except UnicodeDecodeError:
        sample = Sample(recv_ns, connection, reason, b=base64.b64encode(frame).decode())
    return msgspec.json.encode(sample) + b"\n"
