"""A planned change of socket: two links carry one recorded session, and the wire tells everything once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from overlaps import (
    FIRST_ID,
    MS,
    NEW,
    OLD,
    VENUE,
    Tape,
    TwoLinks,
    binance,
    bybit_spot,
    coinbase_exchange,
    okx_numbered,
    upbit_spot,
)

CaptureFinder = Callable[[str], Path]
LIVE, STALE = (1, 0), 2

NUMBERED: dict[str, Callable[[CaptureFinder], Tape]] = {
    "range": lambda capture: binance("binance", capture("binance/spot_btcusdt_2024-08-08"), 500),
    "chain": lambda capture: binance("binance_usdm", capture("binance_usdm/usdm_btcusdt_2022-08-11"), 500),
    "chain in stream": lambda capture: okx_numbered(capture("okx/v5_public_2022-05-13")),
    "chain with a reset": lambda capture: okx_numbered(capture("okx/v5_public_2022-05-13"), reset_at=30),
    "plus one": lambda capture: bybit_spot(capture("bybit/v5_spot_2026-08-09"), 400),
    "plus one with a restart": lambda capture: bybit_spot(capture("bybit/v5_spot_2026-08-09"), 400, 60),
}
OTHERS: dict[str, Callable[[CaptureFinder], Tape]] = {
    "whole books": lambda capture: upbit_spot(capture("upbit/spot_2021-04-17")),
    "changes": lambda capture: coinbase_exchange(capture("coinbase/exchange_2021-04-17"), 300),
}

_tapes: dict[str, Tape] = {}


def tape_of(name: str, capture: CaptureFinder) -> Tape:
    if name not in _tapes:
        _tapes[name] = (NUMBERED | OTHERS)[name](capture)
    return _tapes[name]


def run(
    tape: Tape,
    seed: int,
    *,
    begin: int,
    end: int,
    killed: tuple[int, int] | None = None,
    lag_ms: tuple[int, int] = (0, 40),
) -> TwoLinks:
    """The whole session; the overlap begins with message `begin` and ends 100 ms behind `end`, or one link
    is `killed` at a time."""
    two = TwoLinks(tape, seed, lag_ms=lag_ms)
    began = ended = False
    for at_ms, link, _, text in two.deliveries(begin, end):
        if at_ms >= begin and not began:
            two.feed.overlap(OLD, NEW, two.all)
            two.feed.connected(two.all, (1_000 + at_ms) * MS, NEW)
            began = True
        if killed is not None and at_ms >= killed[1] and not two.dead:
            two.kill(killed[0], at_ms)
        if killed is None and at_ms > end + 100 and not ended:
            two.feed.end_overlap(OLD, NEW, (1_000 + at_ms) * MS)
            ended = True
        two.take(at_ms, link, text)
    if killed is None:
        two.feed.disconnected(two.all, (2_000 + at_ms) * MS, OLD)
        two.notice()
    return two


def check_numbered(two: TwoLinks) -> None:
    """Each event of the venue once and in order, the book right after each, live from the first to the last
    frame."""
    tape, consumer = two.tape, two.consumer
    assert consumer.receiver.counters()["checksum_mismatch"] == 0
    for number, symbol in enumerate(tape.symbols):
        seen = consumer.seen[symbol]
        wrong = [(last, total) for last, total in seen if total not in tape.valid[symbol].get(last, ())]
        assert wrong == [], symbol
        order = list(tape.valid[symbol])
        places = [order.index(last) for last, _ in seen]
        assert all(
            after > before or comes_again(tape, symbol, order[after]) for before, after in pairwise(places)
        ), (symbol, places)
        assert consumer.states[symbol] == [LIVE]
        assert consumer.receiver.state(VENUE, FIRST_ID + number) == "LIVE"
        assert two.feed.state(number) == "LIVE"
        assert seen[-1][0] == tape.truth[-1][symbol][0]
        assert consumer.receiver.book_info(VENUE, FIRST_ID + number)["hash"] == two.feed.book_hash(number)
    assert consumer.resets == len(tape.symbols)
    counters = two.feed.counters()
    assert (counters["gaps"], counters["faults"], counters["went_stale"]) == (0, 0, 0), two.feed.faults()


def comes_again(tape: Tape, symbol: str, last: int) -> bool:
    """A keep-alive repeats a number, which is told once more where one link alone is heard."""
    return (
        sum(update.last == last for updates in tape.updates for update in updates if update.symbol == symbol)
        > 1
    )


def check_trades(two: TwoLinks) -> None:
    once = TwoLinks(two.tape, 1)
    for number, text in enumerate(two.tape.messages):
        once.take(number, OLD, text)
    told = Counter(two.consumer.trades)
    assert max(told.values(), default=1) == 1
    assert told == Counter(once.consumer.trades)


@pytest.mark.parametrize("seed", range(1, 7))
@pytest.mark.parametrize("name", NUMBERED)
def test_a_numbered_book_goes_over_without_gap_or_repeat(
    name: str, seed: int, capture: CaptureFinder
) -> None:
    tape = tape_of(name, capture)
    whole = len(tape.messages)
    two = run(tape, seed, begin=whole * seed // 16, end=whole * (seed + 6) // 16)
    check_numbered(two)
    check_trades(two)
    assert two.switched() == set(two.all)
    counters = two.feed.counters()
    assert counters["overlap_repeats"] > 0
    assert counters["old_events"] == 0
    assert counters["trade_repeats"] > 0


@pytest.mark.parametrize("lost", [OLD, NEW])
@pytest.mark.parametrize("name", NUMBERED)
def test_either_link_may_die_at_any_moment(name: str, lost: int, capture: CaptureFinder) -> None:
    tape = tape_of(name, capture)
    whole = len(tape.messages)
    begin = whole // 3
    for seed, at_ms in enumerate(range(begin + 60, whole, max(whole // 12, 1))):
        two = run(tape, seed, begin=begin, end=whole, killed=(lost, at_ms))
        check_numbered(two)
        check_trades(two)


@pytest.mark.parametrize("name", ["range", "chain"])
def test_what_only_the_lost_link_could_bring_is_a_gap(name: str, capture: CaptureFinder) -> None:
    """The old link lags by 200 ms and dies before it has brought what was sent before the subscription."""
    tape = tape_of(name, capture)
    begin = len(tape.messages) // 2
    two = TwoLinks(tape, 1)
    for number in range(begin - 60):
        two.take(number, OLD, tape.messages[number])
    two.feed.overlap(OLD, NEW, two.all)
    for number in range(begin, begin + 60):
        two.take(number, NEW, tape.messages[number])
    assert two.feed.state(0) == "LIVE"
    assert two.feed.counters()["overlap_waited"] > 0
    two.kill(OLD, begin + 100)
    assert two.feed.state(0) == "STALE"
    assert two.consumer.states[tape.symbols[0]] == [LIVE, (STALE, 3)]
    assert [kind for kind, *_ in two.notices][-2:] == ["STALE", "NEED_SNAPSHOT"]


@pytest.mark.parametrize("ticks", [False, True])
def test_what_is_ahead_waits_five_seconds_and_not_for_ever(ticks: bool, capture: CaptureFinder) -> None:
    tape = tape_of("range", capture)
    two = TwoLinks(tape, 1)
    all_books = [n for n, updates in enumerate(tape.updates) if updates]
    for number in all_books[:6]:
        two.take(number, OLD, tape.messages[number])
    two.feed.overlap(OLD, NEW, two.all)
    books = all_books[8:]
    two.take(200, NEW, tape.messages[books[0]])
    two.take(5_199, NEW, tape.messages[books[1]])
    assert (two.feed.state(0), two.feed.counters()["overlap_waited"]) == ("LIVE", 2)
    if ticks:
        # Time goes on with what else is heard.
        trade = next(text for text, updates in zip(tape.messages, tape.updates, strict=True) if not updates)
        two.take(5_200, OLD, trade)
        two.feed.tick()
        two.notice()
    else:
        two.take(5_200, NEW, tape.messages[books[2]])
    assert two.feed.state(0) == "STALE"
    assert two.consumer.states["BTCUSDT"] == [LIVE, (STALE, 1)]
    # What waited joins the next book: nothing was thrown away.
    last = tape.updates[books[0]][0].last - 1
    body = json.loads(tape.rest["BTCUSDT"])
    two.feed.on_snapshot(0, json.dumps({**body, "lastUpdateId": last}).encode(), 9_000 * MS)
    assert two.feed.state(0) == "LIVE"
    assert two.feed.source_seq(0) == tape.updates[books[1 if ticks else 2]][0].last


def test_links_that_cut_the_changes_differently_continue_each_other(capture: CaptureFinder) -> None:
    """The second link sums up two of the venue's events in one, as another server may do."""
    tape = tape_of("chain", capture)
    two = TwoLinks(tape, 1)
    begin = 60
    summed: list[tuple[int, str]] = []
    pending: tuple[int, dict[str, object]] | None = None
    for number, text in enumerate(tape.messages[begin:], begin):
        if not tape.updates[number]:
            continue
        message = json.loads(text)
        if pending is None:
            pending = (number, message)
            continue
        first = pending[1]["data"]
        assert isinstance(first, dict)
        message["data"].update(pu=first["pu"], U=first["U"])
        for side in ("b", "a"):
            levels = dict(first[side])
            levels.update(message["data"][side])
            message["data"][side] = list(levels.items())
        summed.append((number, json.dumps(message)))
        pending = None
    by_number = dict(summed)
    for number, text in enumerate(tape.messages):
        if number == begin:
            two.feed.overlap(OLD, NEW, two.all)
        if number < 300 and tape.updates[number]:
            two.take(number, OLD, text)
        if number == 300:
            two.feed.end_overlap(OLD, NEW, 1_300 * MS)
        # The new link is three events behind.
        if number - 3 in by_number:
            two.take(number, NEW, by_number[number - 3])
    assert two.feed.counters()["gaps"] == 0
    assert two.feed.state(0) == "LIVE"
    symbol = tape.symbols[0]
    assert two.feed.source_seq(0) >= tape.truth[-10][symbol][0]
    assert all(total in tape.valid[symbol][last] for last, total in two.consumer.seen[symbol])
    numbers = [last for last, _ in two.consumer.seen[symbol]]
    assert all(after > before for before, after in pairwise(numbers))


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("name", OTHERS)
def test_a_book_without_numbers_goes_over_with_the_first_whole_book(
    name: str, seed: int, capture: CaptureFinder
) -> None:
    tape = tape_of(name, capture)
    whole = len(tape.messages)
    two = run(tape, seed, begin=whole * (seed + 4) // 16, end=whole * (seed + 10) // 16)
    assert two.switched() != set()
    counters = two.feed.counters()
    assert (counters["gaps"], counters["faults"]) == (0, 0)
    assert counters["overlap_dropped"] > 0
    for index in two.switched():
        symbol = tape.symbols[index]
        sums = {total for totals in tape.valid[symbol].values() for total in totals}
        assert [total for _, total in two.consumer.seen[symbol] if total not in sums] == []
        assert two.consumer.states[symbol] == [LIVE]
        assert two.consumer.receiver.state(VENUE, FIRST_ID + index) == "LIVE"
        assert two.consumer.seen[symbol][-1][1] == tape.truth[-1][symbol][1]
    check_trades(two)
    # A book that the new link never brought whole does not live by it.
    for index in set(two.all) - two.switched():
        assert two.feed.state(index) != "LIVE"


def test_a_dead_new_link_leaves_whole_books_to_the_old_one_and_ends_books_of_changes(
    capture: CaptureFinder,
) -> None:
    for name, state in (("whole books", "LIVE"), ("changes", "STALE")):
        tape = tape_of(name, capture)
        whole = len(tape.messages)
        two = run(tape, 1, begin=whole // 3, end=whole, killed=(NEW, whole * 2 // 3))
        assert two.switched() != set()
        assert {two.feed.state(index) for index in two.switched()} == {state}, name
        if state == "LIVE":
            for index in two.switched():
                symbol = tape.symbols[index]
                assert two.consumer.seen[symbol][-1][1] == tape.truth[-1][symbol][1]


def test_changes_of_the_new_link_wait_for_its_whole_book(capture: CaptureFinder) -> None:
    tape = tape_of("changes", capture)
    two = TwoLinks(tape, 1)
    updates = [n for n, found in enumerate(tape.updates) if found and not found[0].whole]
    begin = updates[20]
    for number in range(begin):
        two.take(number, OLD, tape.messages[number])
    index = tape.symbols.index(tape.updates[begin][0].symbol)
    before = two.feed.book_hash(index)
    two.feed.overlap(OLD, NEW, two.all)
    two.take(begin, NEW, tape.messages[begin])
    assert two.feed.book_hash(index) == before
    assert (two.feed.counters()["overlap_dropped"], two.switched()) == (1, set())
    for text in tape.first_messages(begin - 1):
        two.take(begin, NEW, text)
    assert index in two.switched()
    assert two.feed.book_hash(index) == before, "the same book: nothing to tell"
    two.take(begin, NEW, tape.messages[begin])
    two.take(begin, OLD, tape.messages[begin])
    symbol = tape.symbols[index]
    assert two.consumer.seen[symbol][-1][1] == tape.truth[begin][symbol][1]
    assert two.feed.counters()["overlap_dropped"] == 2


def test_other_kinds_come_from_one_link_at_a_time(capture: CaptureFinder) -> None:
    tape = tape_of("range", capture)
    two = TwoLinks(tape, 1)
    for number in range(50):
        two.take(number, OLD, tape.messages[number])
    quotes = [n for n, text in enumerate(tape.messages) if "@bookTicker" in text and n > 50]
    book = next(n for n, updates in enumerate(tape.updates) if updates and n >= 50)
    two.feed.overlap(OLD, NEW, two.all)
    two.publisher.take()

    def told(link: int, at: int) -> bool:
        before = two.feed.kinds()["bbo"][1]
        two.take(at, link, tape.messages[at])
        return two.feed.kinds()["bbo"][1] > before

    assert (told(NEW, quotes[0]), told(OLD, quotes[0])) == (False, True)
    two.take(book, NEW, tape.messages[book])
    assert two.switched() == {0}
    assert told(OLD, quotes[1]), "until the new link has sent the kind"
    assert told(NEW, quotes[2])
    assert not told(OLD, quotes[3])
    two.kill(NEW, quotes[3])
    assert told(OLD, quotes[4])


def test_an_instrument_may_change_one_of_its_two_sockets(capture: CaptureFinder) -> None:
    """USD-M: depth on one connection, marks on another. The pair of the marks says nothing of the book."""
    tape = tape_of("chain", capture)
    two = TwoLinks(tape, 1)
    book, marks, marks_new = 7, 8, 9
    mark = {
        "e": "markPriceUpdate",
        "E": 1,
        "s": tape.symbols[0],
        "p": "1",
        "i": "1",
        "P": "1",
        "r": "0",
        "T": 1,
    }
    text = json.dumps({"stream": f"{tape.symbols[0].lower()}@markPrice@1s", "data": mark})
    for number in range(100):
        two.take(number, book, tape.messages[number])
    two.take(100, marks, text)
    two.feed.overlap(marks, marks_new, [0])
    two.take(101, marks_new, text)
    assert two.switched() == {0}
    before = two.feed.kinds()["deriv"][1]
    two.take(102, marks, text)
    assert two.feed.kinds()["deriv"][1] == before
    two.feed.end_overlap(marks, marks_new)
    two.feed.disconnected([0], 0, marks)
    assert two.feed.state(0) == "LIVE"
    two.feed.overlap(book, 10, [0])
    two.feed.overlap(marks_new, 11, [0])
    for number in range(100, 150):
        two.take(number, 10, tape.messages[number])
        two.take(number, book, tape.messages[number])
    two.kill(book, 200)
    two.kill(marks_new, 200)
    assert two.feed.state(0) == "LIVE"
    assert two.consumer.states[tape.symbols[0]] == [LIVE]


def test_a_retired_link_is_dropped_and_its_number_can_be_used_again(capture: CaptureFinder) -> None:
    tape = tape_of("range", capture)
    two = TwoLinks(tape, 1)
    for number in range(100):
        two.take(number, OLD, tape.messages[number])
    two.feed.overlap(OLD, NEW, two.all)
    with pytest.raises(ValueError, match="connections 1 and 2 overlap already"):
        two.feed.overlap(NEW, 3, two.all)
    two.feed.end_overlap(OLD, NEW)
    two.notice()
    assert two.switched() == {0}, "quiet on the new link, and carried by it"
    two.take(100, OLD, tape.messages[100])
    assert two.feed.counters()["after_overlap"] == 1
    two.take(100, NEW, tape.messages[100])
    two.feed.overlap(NEW, OLD, two.all)
    for number in range(101, 200):
        two.take(number, OLD, tape.messages[number])
    two.kill(NEW, 300)
    assert two.feed.state(0) == "LIVE"
    assert two.feed.counters()["after_overlap"] == 1
    assert two.feed.counters()["went_stale"] == 0


def test_a_message_that_one_link_garbles_is_brought_by_the_other(capture: CaptureFinder) -> None:
    tape = tape_of("range", capture)
    two = TwoLinks(tape, 1)
    for number in range(100):
        two.take(number, OLD, tape.messages[number])
    two.feed.overlap(OLD, NEW, two.all)
    books = [n for n, updates in enumerate(tape.updates) if updates and n >= 100]
    garbled = tape.messages[books[1]].replace('"b":[', '"b":[["x","1"],', 1)
    for text in (tape.messages[books[0]], garbled, tape.messages[books[2]]):
        two.take(100, OLD, text)
    assert two.feed.state(0) == "STALE", "the new link is not heard yet: nobody brings it"
    two = TwoLinks(tape, 1)
    for number in range(100):
        two.take(number, OLD, tape.messages[number])
    two.feed.overlap(OLD, NEW, two.all)
    two.take(100, NEW, tape.messages[books[0]])
    for text in (tape.messages[books[0]], garbled, tape.messages[books[2]]):
        two.take(100, OLD, text)
    assert two.feed.state(0) == "LIVE"
    for number in books[1:4]:
        two.take(101, NEW, tape.messages[number])
    symbol = tape.symbols[0]
    assert [last for last, _ in two.consumer.seen[symbol]][-4:] == [
        tape.updates[number][0].last for number in books[:4]
    ]
    two.take(102, NEW, garbled)
    assert two.feed.state(0) == "STALE", "neither link brought it"


def test_a_message_that_one_link_cuts_short_ends_the_books_which_that_link_carries(
    capture: CaptureFinder,
) -> None:
    """Of changes without numbers: nothing tells which book it was of, nor would that book ever show it."""
    tape = tape_of("changes", capture)
    updates = [n for n, found in enumerate(tape.updates) if found and not found[0].whole]
    begin = updates[20]
    for switched in (False, True):
        for link in (OLD, NEW):
            two = TwoLinks(tape, 1)
            for number in range(begin):
                two.take(number, OLD, tape.messages[number])
            live = [index for index in two.all if two.feed.state(index) == "LIVE"]
            assert live
            two.feed.overlap(OLD, NEW, two.all)
            for text in tape.first_messages(begin - 1) if switched else []:
                two.take(begin, NEW, text)
            assert two.switched() == set(live if switched else [])
            two.take(begin, link, tape.messages[begin][:-9])
            is_carrier = (link == NEW) == switched
            state = "STALE" if is_carrier else "LIVE"
            assert {two.feed.state(index) for index in live} == {state}, (switched, link)
