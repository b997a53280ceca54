"""Capture files that stay readable, whatever ends them.

Lines are compressed in blocks, each a gzip member of its own (RFC 1952, 2.2: a file is a row of members), by
one thread, so that the event loop never waits for the disk and stamps stay true. A block that does not fit
the disk is cut off again: the file ends with the last whole line before it.
"""

from __future__ import annotations

import gzip
import os
import queue
import threading
from pathlib import Path
from typing import Final

import msgspec

from outcrier.errors import CaptureError

BLOCK_BYTES: Final = 256 * 1024
"""Text compressed at once: gzip gains nothing by more, and this is what a power cut may take."""

BACKLOG_BYTES_MAX: Final = 256 * 1024 * 1024
"""Text that may wait for the disk: half a minute of the busiest venue. A disk that stays slower ends the
recording, or memory would."""

PART_BYTES_MAX: Final = 1 << 30
"""A file that grew to this is followed by another part: what is damaged or copied is never more."""

_LEVEL: Final = 6


class FileSummary(msgspec.Struct, frozen=True):
    """One file of a recording."""

    path: str
    messages: int
    """Lines with a received message."""
    lines: int
    bytes: int
    """On disk."""
    first_ns: int
    last_ns: int


class CaptureFile:
    """Lines of one connection. `write` belongs to the loop's thread, the rest to the writer's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending = bytearray()
        self.pending_lines = 0
        self.pending_messages = 0
        self.pending_first_ns = 0
        self.pending_last_ns = 0
        # From here on the writer's thread: what is on disk.
        self.lines = 0
        self.messages = 0
        self.size = 0
        self.first_ns = 0
        self.last_ns = 0
        self.descriptor = -1
        self.part = 1

    def summary(self) -> FileSummary:
        """What is on disk."""
        return FileSummary(str(self.path), self.messages, self.lines, self.size, self.first_ns, self.last_ns)


class _Block(msgspec.Struct, frozen=True):
    file: CaptureFile
    text: bytes
    lines: int
    messages: int
    first_ns: int
    last_ns: int


class CaptureWriter:
    """Writes the files of one recording in a thread of its own until `finish`."""

    def __init__(self, bytes_max: int | None = None, part_bytes_max: int = PART_BYTES_MAX) -> None:
        """`bytes_max`: most bytes on disk, of all files together; None = as the disk has room."""
        self._bytes_max = bytes_max
        self._part_bytes_max = part_bytes_max
        self._files: list[CaptureFile] = []
        self._done: list[FileSummary] = []
        self._queue: queue.SimpleQueue[_Block | CaptureFile | None] = queue.SimpleQueue()
        self._backlog = 0
        self._lock = threading.Lock()
        self.error: CaptureError | None = None
        """Why nothing more is written: the disk."""
        self.full = False
        """Nothing more is written: `bytes_max` is reached."""
        self.unwritten = 0
        """Lines that were taken and are not on disk."""
        self.bytes = 0
        """On disk."""
        self._thread = threading.Thread(target=self._run, name="capture-writer")
        self._thread.start()

    @property
    def stopped(self) -> bool:
        """Whether nothing more is written."""
        return self.full or self.error is not None

    def open(self, path: Path) -> CaptureFile:
        """A file that is made with its first line. Raises CaptureError if its folder cannot be made."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CaptureError(f"{path.parent}: {error.strerror}") from error
        file = CaptureFile(path)
        self._files.append(file)
        return file

    def write(self, file: CaptureFile, line: bytes, time_ns: int, *, is_message: bool) -> None:
        """Takes a line; it is on disk after `flush` at the latest."""
        if not file.pending:
            file.pending_first_ns = time_ns
        file.pending += line
        file.pending_lines += 1
        file.pending_messages += is_message
        file.pending_last_ns = time_ns
        if len(file.pending) >= BLOCK_BYTES:
            self._hand_over(file)

    def close(self, file: CaptureFile) -> None:
        """No more lines of this file."""
        self._hand_over(file)
        self._queue.put(file)

    def flush(self) -> None:
        """Hands everything pending to the thread."""
        for file in self._files:
            self._hand_over(file)

    def finish(self) -> list[FileSummary]:
        """Writes what is pending, ends the thread; the files written, in the order of their first lines."""
        self.flush()
        self._queue.put(None)
        self._thread.join()
        return sorted(self._done, key=lambda file: (file.first_ns, file.path))

    def _hand_over(self, file: CaptureFile) -> None:
        if not file.pending:
            return
        text, lines, messages = bytes(file.pending), file.pending_lines, file.pending_messages
        file.pending.clear()
        file.pending_lines = file.pending_messages = 0
        with self._lock:
            self._backlog += len(text)
            slow = self._backlog > BACKLOG_BYTES_MAX
        if slow and self.error is None:
            self.error = CaptureError(
                f"{file.path.parent}: the disk is too slow, {BACKLOG_BYTES_MAX:,} bytes wait for it"
            )
        self._queue.put(_Block(file, text, lines, messages, file.pending_first_ns, file.pending_last_ns))

    # In the thread.

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            if isinstance(work, CaptureFile):
                self._end(work)
                continue
            if self.stopped or not self._put(work):
                self.unwritten += work.lines
            with self._lock:
                self._backlog -= len(work.text)
        for file in self._files:
            self._end(file)

    def _put(self, block: _Block) -> bool:
        """Writes a block as one member; False if it is not on disk."""
        member = gzip.compress(block.text, _LEVEL, mtime=0)
        if self._bytes_max is not None and self.bytes + len(member) > self._bytes_max:
            self.full = True
            return False
        file = block.file
        try:
            self._make_ready(file)
            _append(file.descriptor, member, file.size)
        except OSError as error:
            self.error = CaptureError(f"{file.path}: cannot be written: {error.strerror or error}")
            return False
        file.size += len(member)
        file.lines += block.lines
        file.messages += block.messages
        file.first_ns = file.first_ns or block.first_ns
        file.last_ns = block.last_ns
        self.bytes += len(member)
        return True

    def _make_ready(self, file: CaptureFile) -> None:
        if file.descriptor >= 0 and file.size >= self._part_bytes_max:
            self._end(file)
            file.part += 1
            stem = file.path.name.removesuffix(".jsonl.gz").removesuffix(f"_part{file.part - 1}")
            file.path = file.path.with_name(f"{stem}_part{file.part}.jsonl.gz")
            file.size = file.lines = file.messages = file.first_ns = 0
        if file.descriptor < 0:
            # Never over a file that is there: a recording cannot be made again.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            file.descriptor = os.open(file.path, flags, 0o644)

    def _end(self, file: CaptureFile) -> None:
        if file.descriptor < 0:
            return
        os.close(file.descriptor)
        file.descriptor = -1
        if file.size:
            self._done.append(file.summary())
        else:
            file.path.unlink(missing_ok=True)


def _append(descriptor: int, data: bytes, size: int) -> None:
    """Appends all of `data` to a file of `size` bytes, or nothing: what a full disk took is cut off again."""
    written = 0
    try:
        while written < len(data):
            written += os.write(descriptor, data[written:])
    except OSError:
        os.ftruncate(descriptor, size)
        os.lseek(descriptor, size, os.SEEK_SET)
        raise
