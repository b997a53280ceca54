"""Faults without sockets: when they are due, and what they make of the messages of several venues."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from made_venue import MadeVenue
from outcrier.capture.answering import Emission
from outcrier.capture.book import RecordedBook
from outcrier.capture.contents import instrument_lists, message_text, scan
from outcrier.capture.exchange import Exchange
from outcrier.capture.faults import (
    KINDS,
    MESSAGE_KINDS,
    Fault,
    FaultKind,
    Schedule,
    hurt,
    parse_fault,
    random_faults,
)
from outcrier.capture.format import read_capture
from outcrier.errors import ConfigurationError
from outcrier.venues import VENUES
from outcrier.venues.base import Printed, Venue
from outcrier.venues.exchange_side import StandInBook

CaptureFinder = Callable[[str], Path]

BYBIT = "bybit/v5_linear_2026-08-09"
BINANCE = "binance_usdm/usdm_btcusdt_2022-08-11"


def books(venue: Venue, path: Path) -> list[tuple[Emission, StandInBook]]:
    """The first changes of a book with the book after each, which is the same object all the time."""
    found = scan(venue, [path])
    exchange = Exchange(venue, [path], found, instrument_lists(venue, [path], found))
    seen = []
    for line in read_capture(path):
        emission = exchange.take(line)
        book = None if emission is None else exchange.book(emission.symbol or "")
        if emission is not None and emission.is_book and book is not None:
            seen.append((emission, book))
            if len(seen) == 20:
                break
    return seen


def numbers_of(message: Any) -> list[tuple[str, str]]:
    data = message["data"]
    return [(price, qty) for side in ("b", "a") for price, qty in data[side]]


@pytest.mark.parametrize("name", [BYBIT, BINANCE])
def test_level_faults_change_numbers_and_nothing_else(name: str, capture: CaptureFinder) -> None:
    venue = MadeVenue() if name == BYBIT else VENUES["binance_usdm"]
    emission, book = books(venue, capture(name))[-1]
    before = json.loads(emission.text)
    (altered,) = hurt(Fault(kind="alter"), emission.text, book) or [""]
    changed = json.loads(altered)
    pairs = list(zip(numbers_of(before), numbers_of(changed), strict=True))
    different = [(old, new) for old, new in pairs if old != new]
    assert len(different) == 1
    ((old_price, old_qty), (new_price, new_qty)) = different[0]
    assert old_price == new_price
    assert (old_qty[:-1], len(old_qty)) == (new_qty[:-1], len(new_qty))
    (crossed,) = hurt(Fault(kind="cross"), emission.text, book) or [""]
    bids = json.loads(crossed)["data"]["b"]
    best_ask = float(book.levels()[1][0][0])
    assert any(float(price) > best_ask for price, _ in bids)
    assert json.loads(crossed)["data"]["a"] == before["data"]["a"]
    (scaled,) = hurt(Fault(kind="unit"), emission.text, book) or [""]
    for (price, qty), (same, more) in zip(numbers_of(before), numbers_of(json.loads(scaled)), strict=True):
        assert price == same
        # A removed level is not in the book: it stays a removal.
        assert float(more) == pytest.approx(float(qty) * 1000)


def test_a_fault_that_finds_nothing_to_hurt_says_so(capture: CaptureFinder) -> None:
    _, book = books(MadeVenue(), capture(BYBIT))[0]
    for kind in ("alter", "cross", "unit"):
        assert hurt(Fault(kind=kind), '{"data":{}}', book) is None
        assert hurt(Fault(kind=kind), '{"data":{}}', None) is None
    assert hurt(Fault(kind="rename_field"), "{}", None) is None
    assert hurt(Fault(kind="rename_field", field="b"), '{"a":[],"b":1}', None) == ['{"a":[],"b_renamed":1}']
    assert hurt(Fault(kind="rename_field"), '{"c":1,"a":[]}', None) == ['{"c":1,"a_renamed":[]}']
    assert hurt(Fault(kind="drop"), "x", None) == []
    assert hurt(Fault(kind="duplicate"), "x", None) == ["x", "x"]
    assert hurt(Fault(kind="truncate"), "abcd", None) == ["ab"]


def test_a_number_inside_a_longer_one_is_not_taken_for_it() -> None:
    book = RecordedBook()
    event = {"type": "book", "snapshot": True, "ids": (None, None, None), "exchange_ts": None}
    levels = {"exps": (-1, 0), "bids": [(51, 2)], "asks": [(60, 1)]}
    book.apply(event | levels, "", Printed())
    text = '{"t":15.1,"u":5.12,"b":[["5.1","2.5"],["5.1","2"]]}'
    assert hurt(Fault(kind="alter"), text, book) == ['{"t":15.1,"u":5.12,"b":[["5.1","2.5"],["5.1","1"]]}']


def test_every_venues_books_can_be_hurt(data_dir: Path) -> None:
    """A level is found in the text of each venue's form, and only numbers are changed."""
    hurt_venues = []
    for venue in VENUES.values():
        if not hasattr(venue, "exchange"):
            continue
        folder = data_dir / "captures"
        paths = [path for pattern in venue.captures for path in sorted(folder.glob(f"{pattern}.jsonl.gz"))]
        for path in paths[:1]:
            found = scan(venue, [path])
            if not found.books:
                continue
            for emission, book in books(venue, path)[-1:]:
                for line in read_capture(path):
                    if message_text(line) == emission.text:
                        break
                else:
                    pytest.fail("not as recorded")
                texts = hurt(Fault(kind="alter"), emission.text, book)
                if texts is not None:
                    assert len(texts[0]) == len(emission.text)
                    differing = [a for a, b in zip(texts[0], emission.text, strict=True) if a != b]
                    assert len(differing) == 1
                    hurt_venues.append(venue.name)
    assert "binance_usdm" in hurt_venues


# When.


def test_a_fault_is_due_with_its_message_and_until_it_is_done() -> None:
    fault = Fault(kind="drop", at=2, count=2, streams="a*")
    schedule = Schedule([fault])
    schedule.start(0.0)
    assert schedule.on_message("ab", 1.0) == []
    assert schedule.on_message("b", 1.0) == [], "another stream does not count"
    assert schedule.on_message("ab", 1.0) == [fault]
    assert schedule.on_message("ab", 1.0) == [fault], "it could not be done: it stays"
    schedule.done(fault)
    assert schedule.on_message("ac", 1.0) == [fault], "twice"
    schedule.done(fault)
    assert schedule.on_message("ac", 1.0) == []


def test_seconds_count_from_the_first_subscription_and_from_an_injection() -> None:
    early, late = Fault(kind="drop", at_s=5.0), Fault(kind="duplicate", at_s=5.0)
    schedule = Schedule([early])
    schedule.start(100.0)
    schedule.start(200.0)
    assert schedule.on_message("x", 104.9) == []
    schedule.add(late, 104.0)
    assert schedule.on_message("x", 105.0) == [early]
    assert schedule.on_message("x", 109.0) == [early, late]


def test_requests_are_refused_so_often_or_so_long() -> None:
    some = Fault(kind="refuse_rest", streams="/depth*", count=2)
    schedule = Schedule([some])
    assert schedule.refusal("refuse_rest", "/list", 1.0) is None
    assert schedule.refusal("refuse_connects", "/depth?x", 1.0) is None
    assert [schedule.refusal("refuse_rest", "/depth?x", 1.0) for _ in range(3)] == [some, some, None]
    while_long = Fault(kind="refuse_connects", count=0, seconds=3.0)
    schedule = Schedule([while_long])
    assert [schedule.refusal("refuse_connects", "/", now) for now in (10.0, 12.9, 13.1, 13.2)] == [
        while_long,
        while_long,
        None,
        None,
    ]


def test_a_schedule_of_a_seed_is_always_the_same() -> None:
    kinds: tuple[FaultKind, ...] = ("drop", "close", "stall")
    first = random_faults(7, kinds, every_s=2.0, until_s=600.0)
    assert first == random_faults(7, kinds, every_s=2.0, until_s=600.0)
    assert first != random_faults(8, kinds, every_s=2.0, until_s=600.0)
    assert {fault.kind for fault in first} == set(kinds)
    times = [fault.at_s for fault in first]
    assert times == sorted(times)
    assert 200 < len(times) < 400
    assert times[-1] < 600.0


def test_a_fault_is_written_as_kind_and_keys() -> None:
    assert parse_fault("drop") == Fault(kind="drop")
    assert parse_fault("close:at=100,code=1001,one=true") == Fault(kind="close", at=100, code=1001, one=True)
    assert parse_fault("stall:at_s=1.5,seconds=2") == Fault(kind="stall", at_s=1.5, seconds=2.0)
    assert parse_fault("drop:streams=*@depth*") == Fault(kind="drop", streams="*@depth*")
    for text, words in (
        ("melt", "kinds are drop, duplicate"),
        ("drop:at", "'at' is no key=value"),
        ("drop:at=x", "at"),
        ("drop:when=1", "keys are at, at_s, streams"),
        ("drop:kind=close,kind=melt", "kind"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            parse_fault(text)
    assert set(MESSAGE_KINDS) < set(KINDS)
