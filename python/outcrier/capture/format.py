"""The line format of captures: one JSON object a line, gzip or plain, read as a stream.

t   receive time in nanoseconds since the epoch, or null where the recorder noted none
k   recv (message received), send (message sent by the client) or http (REST answer)
u   URL of the connection or request, or null
d   the message, original text        b   instead of d: a binary message, base64
h   headers of a REST answer as JSON text, on some http lines
"""

from __future__ import annotations

import base64
import binascii
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal, cast

import msgspec

from outcrier.errors import CaptureError
from outcrier.instruments import TIME_NS_MAX

LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Longest line read: a message of 16 MiB, the most a venue may send, with every character escaped."""

UNTIMED_STEP_NS: Final = 10_000_000
"""Between two lines without a receive time: 10 ms, a hundred messages a second."""

_GZIP_MAGIC: Final = b"\x1f\x8b"

Kind = Literal["recv", "send", "http"]


class CaptureLine(msgspec.Struct, frozen=True):
    """One line of a capture."""

    time_ns: int | None
    kind: Kind
    url: str | None
    text: str | None
    """The message; None for a binary one."""
    binary: bytes | None = None
    source: int = 0
    """Which file of a session the line is from."""

    @property
    def data(self) -> bytes:
        """The message's bytes as received."""
        return self.text.encode() if self.text is not None else self.binary or b""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """The keys as written; an unknown one is a mistake of the recorder, not something to skip."""

    k: Kind
    t: int | None = None
    u: str | None = None
    d: str | None = None
    b: str | None = None
    h: str | None = None


_DECODER: Final = msgspec.json.Decoder(_Line)
_ENCODER: Final = msgspec.json.Encoder()


def encode_line(time_ns: int, kind: Kind, url: str, data: bytes) -> bytes:
    """One line of a capture, from which `read_capture` gives `data` back byte for byte: text where the bytes
    are UTF-8, base64 where they are not.
    """
    line: dict[str, int | str] = {"t": time_ns, "k": kind, "u": url}
    try:
        line["d"] = data.decode()
    except UnicodeDecodeError:
        line["b"] = base64.b64encode(data).decode()
    return _ENCODER.encode(line) + b"\n"


def read_capture(path: Path, source: int = 0) -> Iterator[CaptureLine]:
    """The lines of a capture, one at a time, each marked with `source`.

    Raises CaptureError with file and line: missing, truncated or damaged gzip, not JSON, a wrong key or
    value.
    """
    number = 0
    try:
        with _open(path) as file:
            while line := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                if len(line) > LINE_BYTES_MAX:
                    raise CaptureError(f"{path}:{number}: line is longer than {LINE_BYTES_MAX:,} bytes")
                yield _parse(line, path, number, source)
    except EOFError as error:
        raise CaptureError(f"{path}:{number + 1}: the gzip file is truncated") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise CaptureError(f"{path}:{number + 1}: the gzip file is damaged: {error}") from error
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror or error}") from error


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        magic = file.read(len(_GZIP_MAGIC))
    return cast("BinaryIO", gzip.open(path, "rb")) if magic == _GZIP_MAGIC else path.open("rb")


def _parse(line: bytes, path: Path, number: int, source: int) -> CaptureLine:
    if not line.endswith(b"\n") and not line.rstrip().endswith(b"}"):
        raise CaptureError(f"{path}:{number}: the last line is cut off")
    try:
        raw = _DECODER.decode(line)
        binary = None if raw.b is None else base64.b64decode(raw.b, validate=True)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CaptureError(f"{path}:{number}: {error}") from error
    except binascii.Error as error:
        raise CaptureError(f"{path}:{number}: key b: {error}") from error
    if raw.t is not None and not 0 <= raw.t <= TIME_NS_MAX:
        raise CaptureError(f"{path}:{number}: t {raw.t} is no time in nanoseconds since the epoch")
    if (raw.d is None) == (raw.b is None):
        raise CaptureError(f"{path}:{number}: a line holds either d or b")
    return CaptureLine(raw.t, raw.k, raw.u, raw.d, binary, source)


class Pace:
    """When lines are due, as nanoseconds after the first one. Lines without a time follow 10 ms after the one
    before.
    """

    def __init__(self) -> None:
        self._first_ns: int | None = None
        self._offset_ns = 0
        self._started = False

    def offset_ns(self, line: CaptureLine) -> int:
        """Never smaller than for the line before, whatever the recorder's clock did."""
        if line.time_ns is None:
            self._offset_ns += UNTIMED_STEP_NS if self._started else 0
        elif self._first_ns is None:
            # The lines before had no time: this one follows them.
            self._first_ns = line.time_ns - self._offset_ns
        else:
            self._offset_ns = max(self._offset_ns, line.time_ns - self._first_ns)
        self._started = True
        return self._offset_ns
