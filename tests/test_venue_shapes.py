"""Declarations of venues without a connector on their recorded sessions: what the core reads of every
message, and what it leaves to Python, is what a plain decoder says.
"""

from __future__ import annotations

from typing import Any

import pytest

import plain_venues as plain
from outcrier.venues import bitfinex
from venue_sessions import Captures, Session, check_contents, check_unknown


def bitfinex_sequence(message: Any) -> int | None:
    return message[-1] if isinstance(message, list) else None


SESSIONS = [
    Session(
        "bitfinex/v2_2021-04-17",
        bitfinex.UNTIMED_SHAPES_JSON,
        plain.Bitfinex,
        {"messages": 1160, "for_python": 65, "book": 1072, "levels": 2398, "trade": 210, "ticker": 16},
        sequence=bitfinex_sequence,
    ),
]

each_session = pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.capture)


@each_session
def test_the_core_reads_what_a_plain_decoder_reads(session: Session, capture: Captures) -> None:
    check_contents(session, capture)


@each_session
def test_instruments_that_nobody_asked_for_are_counted_unknown(session: Session, capture: Captures) -> None:
    check_unknown(session, capture)
