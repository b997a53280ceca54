"""A file of lines that never grows beyond its limits: `NAME`, and what was before it as `NAME.1`, `NAME.2`
and so on, the highest number the oldest. One process writes it, and nobody else need rotate it.

A crash at any moment leaves whole lines under valid names: the next `open` cuts off a line without an end and
goes on.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final

from outcrier.errors import ConfigurationError

MODE: Final = 0o600
"""Messages of venues may name accounts and addresses: they are the operator's."""

TAIL_BYTES: Final = 1 << 16
"""A line without an end is looked for in so much of the end of a file; none is written that is longer."""

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class RotatedFile:
    """Not thread-safe: one thread writes."""

    def __init__(self, path: Path, bytes_max: int, files_max: int) -> None:
        """At most `files_max` files of at most `bytes_max` bytes each."""
        self._path = path
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._file = -1
        self._bytes = 0

    def open(self) -> None:
        """Makes the file or goes on with it. Raises ConfigurationError that names file and directory."""
        try:
            self._open()
        except OSError as error:
            raise ConfigurationError(f"{self._path}: {self._why(error)}") from error

    def _why(self, error: OSError) -> str:
        folder = self._path.parent
        match error.errno:
            case errno.ENOENT | errno.ENOTDIR:
                return f"there is no directory {folder}; make it, writable by the user of the feeder"
            case errno.EACCES | errno.EPERM | errno.EROFS:
                return f"{error.strerror}: the user of the feeder must be able to write in {folder}"
            case errno.EWOULDBLOCK:
                return "another process writes it; give each feeder a file of its own"
        return f"{error.strerror}, in directory {folder}"

    def _open(self) -> None:
        file = os.open(self._path, _FLAGS | os.O_CREAT, MODE)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(file, MODE)
            self._bytes = _cut_open_line(file)
            self._remove_surplus()
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def _remove_surplus(self) -> None:
        """Files of a time at which more of them were allowed."""
        for path in self._path.parent.glob(f"{self._path.name}.*"):
            number = path.name[len(self._path.name) + 1 :]
            if number.isdecimal() and int(number) >= self._files_max:
                path.unlink(missing_ok=True)

    def write(self, line: bytes) -> None:
        """Appends a line whole or not at all. Raises OSError: the disk is full or broken, or the file cannot
        be rotated; the next call tries again.
        """
        if self._file < 0 or self._was_moved():
            self.close()
            self._open()
        if self._bytes and self._bytes + len(line) > self._bytes_max:
            self._rotate()
        written = 0
        try:
            while written < len(line):
                # What a full disk still takes of a line is told by a short write, not by an error.
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, self._bytes)
            raise
        self._bytes += len(line)

    def _was_moved(self) -> bool:
        """Somebody took the file away, as logrotate does: what is written to it would not be found."""
        ours = os.fstat(self._file)
        try:
            there = os.lstat(self._path)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _rotate(self) -> None:
        """Moves every file one on; the last one goes. A crash between two moves leaves a number free."""
        self._numbered(self._files_max - 1).unlink(missing_ok=True)
        for number in range(self._files_max - 2, -1, -1):
            if number == 0 or self._numbered(number).exists():
                self._numbered(number).replace(self._numbered(number + 1))
        self.close()
        self._open()

    def close(self) -> None:
        """Closes the file and lets others write it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _cut_open_line(file: int) -> int:
    """Cuts off what follows the last line end; returns the length that is left."""
    length = os.fstat(file).st_size
    first = max(0, length - TAIL_BYTES)
    tail = os.pread(file, TAIL_BYTES, first)
    end = tail.rfind(b"\n")
    if tail and not tail.endswith(b"\n") and (end >= 0 or first == 0):
        length = first + end + 1
        os.ftruncate(file, length)
    return length
