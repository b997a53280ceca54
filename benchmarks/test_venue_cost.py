"""Cost of a message of each venue, from its text to the frame, beside `json.loads` of the same text.

No venue here compresses its messages (Upbit sends UTF-8 in binary frames), so there is nothing to decompress.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.frame import OURS, AtMost, Measure, Row
from benchmarks.venue_sets import Handler, recorded_venues, venue_set

ROW = Row(
    "a venue's text → book → frame, from Python",
    "ns/message",
    (AtMost(0.5, "json.loads"),),
    "all captures of the venue, at most 5,000 messages of each, by a feed that knows their form"
    " (`benchmarks/venue_sets.py`). Ours: `Feed.on_frame`, notices taken, `Venue.control` for what no shape"
    " takes; books by REST and, where they are not numbered, answers to subscriptions are not in it. Every"
    " book equals that of the plain model. No venue compresses: gunzip 0.",
)

PEER = "json.loads"

pytestmark = pytest.mark.parametrize("on", recorded_venues())


def test_ours(measure: Measure, data_dir: Path, on: str) -> None:
    recorded = venue_set(data_dir, on)

    def run(handlers: list[Handler]) -> None:
        for handler in handlers:
            handler.run()

    def answer(handlers: list[Handler]) -> None:
        for handler, books in zip(handlers, recorded.books, strict=True):
            assert handler.feed.faults() == []
            assert handler.kinds <= {"LIVE", "REFINED", "TRADING"}
            assert handler.books() == [books] * len(handler.session.copies)

    measure.time(
        ROW,
        OURS,
        on=on,
        setup=lambda: [Handler(session) for session in recorded.sessions],
        run=run,
        answer=answer,
        expected=None,
        per=len(recorded.texts),
        about=recorded.about(),
    )


@pytest.mark.peer
def test_json_loads(measure: Measure, data_dir: Path, on: str) -> None:
    texts = [text for text in venue_set(data_dir, on).texts if text[:1] in "{["]

    def run(found: list[int]) -> None:
        loads = json.loads
        for text in texts:
            loads(text)
        found.append(len(texts))

    def answer(found: list[int]) -> int:
        return sum(found)

    measure.time(
        ROW,
        PEER,
        on=on,
        setup=list,
        run=run,
        answer=answer,
        expected=len(texts),
        per=len(texts),
    )
