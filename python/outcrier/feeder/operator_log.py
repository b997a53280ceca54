"""The operator's log: what the feeder has to tell, as JSON lines in a file that rotates, and nothing on the
terminal.

    {"time":"2026-11-29T21:46:55.334467123Z","time_ns":1796075215334467123,"level":"warning",
     "logger":"outcrier.feeder","venue":"binance","cause":"gap","message":"...","counts":{"held_back":3}}

A thread writes it; whoever logs only queues. What does not fit into the queue, or what the disk refuses, is
counted, and the next line that is written says how many are missing.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from outcrier.clock import wall_ns
from outcrier.config import FeederConfig
from outcrier.errors import ConfigurationError, OutcrierError
from outcrier.feeder.logs import Told, tell, told_of
from outcrier.feeder.rotated_file import RotatedFile

QUEUED_LINES_MAX: Final = 4_096
"""Lines that wait for the disk: causes are limited to one a second each, so this is a disk that hangs for
many seconds.
"""

TEXT_CHARS_MAX: Final = 4_096
"""Characters of a message, and as many of a traceback: with six bytes for each, which is the longest way of
JSON to say one, a line is shorter than `rotated_file.TAIL_BYTES`.
"""

CAUSE_CHARS_MAX: Final = 256
"""Characters of a cause."""

CLOSE_S: Final = 0.3
"""The end waits so long for the disk: a feeder that is told to leave does so within a second."""

_NAME: Final = "outcrier.feeder.operator_log"


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the file. Fields that are empty are left out."""

    time: str
    """UTC, ISO 8601 with nanoseconds."""
    time_ns: int
    """The same as nanoseconds since 1970."""
    level: str
    """`info`, `warning`, `error` or `critical`."""
    logger: str
    venue: str = ""
    cause: str
    """What the rate limit counts by; few different ones."""
    message: str
    symbol: str = ""
    """The instrument that the line is about, where it is one alone."""
    counts: Mapping[str, int] = {}
    """`held_back`: lines of the cause that were not written since the one before. `wait_ms`: until what
    failed is tried again, from the line's time. Others as the cause has them.
    """
    traceback: str = ""


_ENCODER: Final = msgspec.json.Encoder()


class OperatorLog(logging.Handler):
    """A handler for the root logger. Use as a context manager; while it is entered it is the only one."""

    def __init__(self, config: FeederConfig) -> None:
        """Opens `feeder.operator_log`. Raises ConfigurationError that names it and its directory."""
        super().__init__(logging.INFO)
        self.queued_out = 0
        """Lines that did not fit into the queue."""
        self.refused = 0
        """Lines that the disk did not take."""
        self.written = 0
        """Lines in the file."""
        self._file = RotatedFile(
            Path(config.operator_log), config.operator_log_mb << 20, config.operator_log_files
        )
        try:
            self._file.open()
        except ConfigurationError as error:
            raise ConfigurationError(f"feeder.operator_log: {error}") from error
        self._told_missing = 0
        self._queue: queue.Queue[Line | None] = queue.Queue(QUEUED_LINES_MAX)
        # A daemon: a disk that hangs must not keep the process from its end.
        self._thread = threading.Thread(target=self._write_all, name="operator-log", daemon=True)
        self._before: tuple[list[logging.Handler], int] = ([], logging.NOTSET)

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._before = (root.handlers[:], root.level)
        root.handlers[:] = [self]
        root.setLevel(logging.INFO)
        logging.captureWarnings(capture=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            # What a person can mend, the text says whole.
            shown = None if isinstance(error, OutcrierError) else error
            tell(logging.getLogger(_NAME), logging.ERROR, Told("the feeder ends", str(error)), shown)
        logging.captureWarnings(capture=False)
        root = logging.getLogger()
        root.handlers[:], level = self._before
        root.setLevel(level)
        try:
            self._queue.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def emit(self, record: logging.LogRecord) -> None:
        """Queues the line; never waits and never raises."""
        try:
            self._queue.put_nowait(_line_of(record, wall_ns()))
        except queue.Full:
            self.queued_out += 1
        except Exception:  # noqa: BLE001 - a line that cannot be made must not end the feed
            self.refused += 1

    def counters(self) -> dict[str, int]:
        """Sums since the start."""
        return {"written": self.written, "queued_out": self.queued_out, "refused": self.refused}

    def _write_all(self) -> None:
        """The thread: until the queue says that it is the end."""
        while (line := self._queue.get()) is not None:
            self._write(line)
            self._queue.task_done()
        self._file.close()

    def _write(self, line: Line) -> None:
        missing = self.queued_out + self.refused - self._told_missing
        lines = [_missing(line, missing), line] if missing else [line]
        try:
            # Together, so that a disk that is nearly full is not filled with complaints of that.
            self._file.write(b"".join(map(_encode, lines)))
        except OSError:
            self.refused += 1
        else:
            self.written += len(lines)
            self._told_missing += missing


def _encode(line: Line) -> bytes:
    return _ENCODER.encode(line) + b"\n"


def _missing(before: Line, missing: int) -> Line:
    """Says that lines before this one are missing."""
    return Line(
        time=before.time,
        time_ns=before.time_ns,
        level="error",
        logger=_NAME,
        cause="lines missing",
        message="the disk was full, refused them or was too slow",
        counts={"missing": missing},
    )


def _line_of(record: logging.LogRecord, now_ns: int) -> Line:
    told = told_of(record)
    traceback = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return Line(
        time=iso(now_ns),
        time_ns=now_ns,
        level=record.levelname.lower(),
        logger=record.name,
        venue=told.venue,
        cause=_text(told.cause[:CAUSE_CHARS_MAX]),
        message=_text(told.message[:TEXT_CHARS_MAX]),
        symbol=told.symbol,
        counts=told.counts,
        # The end of it says what went wrong.
        traceback=_text(traceback[-TEXT_CHARS_MAX:]),
    )


def _text(text: str) -> str:
    """`text` as UTF-8 can say it: names of the file system may hold what is no character."""
    return text.encode(errors="replace").decode()


def iso(time_ns: int) -> str:
    """UTC as `2026-11-29T21:46:55.334467123Z`."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"
