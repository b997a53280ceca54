"""Raw text to book to frame, called from Python: our feed beside what a handler in Python would do.

Ours checks, follows the sequence, keeps the book and seals a frame for each message; the peers end with the
book, `json.loads` with objects.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import compare
from benchmarks.compare import floor_nat
from benchmarks.frame import OURS, AtLeast, AtMost, Measure, Row
from benchmarks.frame.floors import Floors
from benchmarks.messages import FLOOR_SET, SETS, MessageSet, answer_of
from benchmarks.ours import CONNECTION, OurFeed, instruments, our_feed
from outcrier import _core

ROW = Row(
    "raw text → book → frame, from Python",
    "ns/message",
    (AtMost(0.30, "json.loads"), AtLeast(5, "msgspec + bisect")),
    "ours: `Feed.on_frame` for each message, live clock, frames copied to the memory publisher.",
)

WITH_ORDERS = Row(
    "raw text → book and orders → frames, from Python",
    "ns/message",
    (AtMost(0.30, "json.loads"),),
    "ours: the same feed with `infer_orders`: a frame more for each message that changes orders.",
)

PEERS = {
    "ccxt pro": "ccxt_pro",
    "cryptofeed": "cryptofeed",
    "msgspec + bisect": "msgspec_bisect",
    "nautilus pyo3 book": "nautilus",
}
"""Name in the record: module of `compare`."""

pytestmark = pytest.mark.parametrize("on", list(SETS))


@pytest.mark.parametrize("row", [ROW, WITH_ORDERS], ids=["levels", "orders"])
def test_ours(measure: Measure, messages: MessageSet, data_dir: Path, on: str, row: Row) -> None:
    listed, has_orders = instruments(data_dir, messages), row is WITH_ORDERS

    def run(ours: OurFeed) -> None:
        on_frame = ours.feed.on_frame
        for message in messages.messages:
            on_frame(CONNECTION, message)

    def answer(ours: OurFeed) -> tuple[str, set[str]]:
        # The venue's list is older than the capture, so an exponent may be refined once.
        kinds = {kind for kind, *_ in ours.feed.notices()} - {"REFINED"}
        assert len(ours.publisher.take()) >= len(messages.messages)
        assert (ours.feed.counters()["order_ops"] > messages.levels / 2) == has_orders
        return answer_of(ours.books()), kinds

    measure.time(
        row,
        OURS,
        on=on,
        setup=lambda: our_feed(messages, listed, _core.Publisher.memory(), infer_orders=has_orders),
        run=run,
        answer=answer,
        expected=(messages.answer, set()),
        per=len(messages.messages),
        about=messages.about(),
    )


@pytest.mark.peer
@pytest.mark.parametrize("row", [ROW, WITH_ORDERS], ids=["levels", "orders"])
def test_json_loads(measure: Measure, messages: MessageSet, on: str, row: Row) -> None:
    def run(found: list[int]) -> None:
        loads = json.loads
        for message in messages.messages:
            loads(message)
        found.append(len(messages.messages))

    def answer(_: list[int]) -> int:
        decoded = [json.loads(message)["data"] for message in messages.messages]
        return sum(len(each["b"]) + len(each["a"]) for each in decoded if each["e"] == "depthUpdate")

    measure.time(
        row,
        "json.loads",
        on=on,
        setup=list,
        run=run,
        answer=answer,
        expected=messages.levels,
        per=len(messages.messages),
    )


@pytest.mark.peer
@pytest.mark.parametrize("peer", list(PEERS))
def test_peer(measure: Measure, messages: MessageSet, on: str, peer: str) -> None:
    handler = compare.handler(PEERS[peer])
    measure.time(
        ROW,
        peer,
        on=on,
        setup=lambda: handler(messages),
        run=lambda state: state.run(),
        answer=lambda state: answer_of(state.books()),
        expected=messages.answer,
        per=len(messages.messages),
    )


@pytest.mark.peer
def test_floor(measure: Measure, messages: MessageSet, floors: Floors, on: str) -> None:
    if on != FLOOR_SET:
        return
    nat = floor_nat.load(floors.program("nat.so"))
    depth = floor_nat.DEPTH
    measure.time(
        ROW,
        "floor",
        on=on,
        setup=lambda: floor_nat.Floor(nat, messages),
        run=floor_nat.Floor.run,
        # Sizes in a diff are absolute, so the books are the same after the second time through.
        answer=floor_nat.Floor.told,
        expected={symbol: (bids[:depth], asks[:depth]) for symbol, (bids, asks) in messages.books.items()},
        per=len(messages.messages),
    )
