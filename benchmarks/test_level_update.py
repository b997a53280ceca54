"""An update of one level of a book, without any text around it.

The core by criterion, hftbacktest by its feed loop, and the floor program.
"""

from __future__ import annotations

import zlib

import pytest

from benchmarks import compare
from benchmarks.frame import OURS, AtLeast, Measure, Row
from benchmarks.frame.criterion import Criterion
from benchmarks.frame.floors import FloorFigures
from benchmarks.messages import SETS, MessageSet, answer_of, book_bytes

ROW = Row(
    "L2 level update",
    "ns/level",
    (AtLeast(4, "hftbacktest"),),
    (
        "ours: criterion, `Book::set` for each level and both best prices after each message; hftbacktest: "
        "HashMap depth, its own feed loop, local events only; floor: array with a bitset."
    ),
)

ORDERS = Row(
    "L2 level update with its orders",
    "ns/level",
    (),
    (
        "ours: criterion, the same with `Inference::levels` and `end_event` for each message: less the row"
        " above it is what orders cost on top; the bar is 20 ns. Floor: array with a bitset, and what its"
        " program takes for lists of quantities, hashed by price, that begin empty and tell of no change."
    ),
)

pytestmark = pytest.mark.parametrize("on", list(SETS))


@pytest.mark.record_only
def test_ours(measure: Measure, messages: MessageSet, criterion: Criterion, on: str) -> None:
    estimate = criterion.run("level_update/" + on.lower().replace("-", "").replace(" ", "_"))
    assert estimate.answer == f"{zlib.crc32(book_bytes(messages.books)):08x}"
    measure.value(ROW, OURS, estimate.ns, on=on, criterion_median=round(estimate.median_ns, 2))


@pytest.mark.record_only
def test_orders(measure: Measure, messages: MessageSet, criterion: Criterion, on: str) -> None:
    estimate = criterion.run("order_inference/" + on.lower().replace("-", "").replace(" ", "_"))
    assert estimate.answer == f"{zlib.crc32(book_bytes(messages.books)):08x}", "the sums are the books"
    measure.value(ORDERS, OURS, estimate.ns, on=on, criterion_median=round(estimate.median_ns, 2))


@pytest.mark.peer
def test_hftbacktest(measure: Measure, messages: MessageSet, on: str) -> None:
    handler = compare.handler("hftbacktest")
    measure.time(
        ROW,
        "hftbacktest",
        on=on,
        setup=lambda: handler(messages),
        run=lambda state: state.run(),
        answer=lambda state: answer_of(state.books()),
        expected=messages.answer,
        per=messages.levels,
    )


@pytest.mark.peer
def test_floor(measure: Measure, floor_figures: FloorFigures, on: str) -> None:
    if on == floor_figures.on:
        book = floor_figures.figure("book_bitset_array_ns_per_level")
        measure.value(ROW, "floor", book, on=on)
        on_top = "book_vec_plus_l3_ns_per_level", "book_sorted_vec_ns_per_level"
        with_orders, without = (floor_figures.figure(name) for name in on_top)
        measure.value(ORDERS, "floor", book + with_orders - without, on=on)
