"""What the feeder tells its operator: a line for a cause at most once a second, with its venue and cause as
fields of the record, for the terminal (text) and for the operator's log (JSON).

A storm at a venue must not become a storm on the disk.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from outcrier.feeder.backoff import SECOND_NS

CAUSES_MAX: Final = 256
"""Causes told apart; beyond, further ones share one: what a venue sends must not grow our memory."""

HELD_BACK: Final = "held_back"
"""Count of a line: how often its cause came since the line before and was not written."""

WAIT_MS: Final = "wait_ms"
"""Count of a line: milliseconds from its time until what failed is tried again."""


@dataclass(frozen=True, slots=True)
class Told:
    """The parts of a line, which `told_of` finds in its record."""

    cause: str
    message: str
    venue: str = ""
    """Empty = the process as a whole."""
    counts: Mapping[str, int] = field(default_factory=dict)
    symbol: str = ""
    """Instrument that the line is about; empty = not one alone."""


def tell(logger: logging.Logger, level: int, told: Told, error: Exception | None = None) -> None:
    """Logs a line with its parts, and the traceback of `error`; its text is
    `venue=VENUE CAUSE: MESSAGE (12 more in between)`.
    """
    venue = f"venue={told.venue} " if told.venue else ""
    held = told.counts.get(HELD_BACK, 0)
    more = f" ({held} more in between)" if held else ""
    extra = {"told": told}
    logger.log(level, "%s%s: %s%s", venue, told.cause, told.message, more, exc_info=error, extra=extra)


def told_of(record: logging.LogRecord) -> Told:
    """The parts of a line; one that another library logged has the library as cause."""
    told = getattr(record, "told", None)
    return told if isinstance(told, Told) else Told(record.name, record.getMessage())


class LimitedLog:
    """A logger that repeats a cause at most once a second and then says how often it came."""

    def __init__(self, logger: logging.Logger, venue: str = "") -> None:
        """`venue` is what every line is about; empty = the process as a whole."""
        self._logger = logger
        self._venue = venue
        self._causes: dict[str, tuple[int, int]] = {}

    def log(self, now_ns: int, level: int, cause: str, text: str) -> None:
        """Writes `cause: text` unless the cause was written within the last second."""
        key = cause if cause in self._causes or len(self._causes) < CAUSES_MAX else "other"
        last_ns, held = self._causes.get(key, (now_ns - SECOND_NS, 0))
        if now_ns - last_ns < SECOND_NS:
            self._causes[key] = (last_ns, held + 1)
            return
        self._causes[key] = (now_ns, 0)
        self._tell(level, cause, text, {HELD_BACK: held} if held else {})

    def always(self, level: int, cause: str, text: str) -> None:
        """Writes `cause: text`: for what cannot come often."""
        self._tell(level, cause, text, {})

    def wait(self, level: int, cause: str, text: str, wait_ns: int, symbol: str = "") -> None:
        """Writes `cause: text; next try in 1.2 s`, always, so that an outage is accounted for by every wait
        in it. Links and requests are bounded by the venue's limits, and a book in the stream that does not
        come is asked for ever more seldom.
        """
        counts = {WAIT_MS: -(-wait_ns // 1_000_000)}
        self._tell(level, cause, f"{text}; {next_try(wait_ns)}", counts, symbol)

    def _tell(self, level: int, cause: str, text: str, counts: Mapping[str, int], symbol: str = "") -> None:
        tell(self._logger, level, Told(cause, " ".join(text.split()), self._venue, counts, symbol))


def next_try(wait_ns: int) -> str:
    """A wait, for people."""
    return f"next try in {wait_ns / SECOND_NS:.1f} s"
