"""Colours and words of the screen. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from outcrier.monitor.report import UNVERIFIABLE, InstrumentReport, StreamReport
from outcrier.monitor.screen import words
from outcrier.monitor.table import Part

BAD: Final = "bold red"
WARN: Final = "bold yellow"
LOUD: Final = "bold black on yellow"
"""REPLAY and TEST: nobody shall take them for the market."""
GOOD: Final = "green"
DIM: Final = "dim"

_WORD_STYLES: Final = {"REPLAY": LOUD, "TEST": LOUD, "SILENT": BAD, "SPLIT": BAD, "ENDED": WARN}
_STATE_STYLES: Final = {"live": GOOD, "stale": BAD, "recovering": WARN, "LIVE": GOOD, "STALE": BAD}


def bad(count: int, style: str = BAD) -> Part:
    """A count that ought to be 0."""
    return f"{count:,}", style if count else ""


def state_part(state: str) -> Part:
    """A state in its colour."""
    return state, _STATE_STYLES.get(state, "")


def clock(ns: int) -> str:
    """UTC time of day in milliseconds."""
    if not ns:
        return "-"
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}.{rest // 1_000_000:03d}"


def word_part(stream: StreamReport) -> Part:
    """The words of a stream; the worst one gives the colour."""
    found = words(stream)
    if not found:
        return "live", GOOD
    return " ".join(found), _WORD_STYLES[found[-1]]


def proof_part(each: InstrumentReport) -> Part:
    """What proves its book; that nothing does is no detail."""
    known = {"sequence + checksum": "both", "": "-"}
    return known.get(each.book_proof, each.book_proof), WARN if each.book_proof == UNVERIFIABLE else ""
