"""Inferred orders, case by case."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from outcrier.inference import Best, Inference, Interval, Likely, Print, Rule
from outcrier.orders import INFERRED, TOLD, Ahead, Op, Side

S = 1_000_000_000
BID = (Side.BID, 100)


def of(rule: Rule, *quantities: int) -> Inference:
    """A bid of orders that came one by one, a second apart."""
    inferred, level = Inference(rule), 0
    for number, qty in enumerate(quantities):
        level += qty
        inferred.event([], [(*BID, level)], number * S)
    return inferred


def queue(inferred: Inference) -> list[int]:
    found: list[int] = inferred.queue(*BID)["qty"].tolist()
    return found


def sold(qty: int, ts: int, number: int = 7) -> Print:
    return Print(*BID, qty, number, ts)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (Rule.NEWEST, [5, 3, 2]),
        (Rule.OLDEST, [1, 3, 6]),
        (Rule.EXACT, [5, 3, 2]),
        (Rule.LIKELIEST, [5, 3, 2]),
    ],
)
def test_a_quantity_that_is_gone_is_an_order_by_the_rule(rule: Rule, left: list[int]) -> None:
    inferred = of(rule, 5, 3, 6)
    inferred.event([], [(*BID, 10)], 3 * S)
    assert queue(inferred) == left


@pytest.mark.parametrize("rule", [Rule.EXACT, Rule.LIKELIEST])
def test_an_order_of_just_that_quantity_was_cancelled(rule: Rule) -> None:
    inferred = of(rule, 5, 3, 6)
    ops = inferred.event([], [(*BID, 11)], 3 * S)
    assert queue(inferred) == [5, 6]
    assert ops[["op", "order_id", "qty"]].tolist() == [(Op.DELETE, 2, 3)]
    confidence = int(ops["op_flags"][0]) >> 8
    assert ops["op_flags"][0] & INFERRED
    # By quantity and age at 3 s, weighed by powers of two of the age: the other two were larger.
    assert (confidence == 255) == (rule is Rule.EXACT)
    assert rule is Rule.EXACT or 220 < confidence < 250


def test_the_younger_of_two_alike_is_likelier() -> None:
    inferred = of(Rule.LIKELIEST, 3, 5, 3)
    assert inferred.event([], [(*BID, 8)], 100 * S)["order_id"].tolist() == [3]


def test_drawn_rules_take_from_before_a_place_as_often_as_their_formulas_share() -> None:
    """Of a level of 40 orders of 1, 30 before a place: by docs of hftbacktest 2.4, "Queue Models"."""
    for rule, share in (
        (Rule.PROPORTIONAL, 30 / 40),
        (Rule.LOGARITHMIC, math.log1p(30) / (math.log1p(30) + math.log1p(10))),
    ):
        inferred = of(rule, *[1] * 40)
        before = 0
        for draw in range(1_000):
            numbers = inferred.queue(*BID)["order_id"][:30]
            ops = inferred.event([], [(*BID, 39)], 50 * S)
            before += int(ops["order_id"][0] in numbers)
            confidence = int(ops["op_flags"][0]) >> 8
            assert confidence == int(255 / 40) or rule is Rule.LOGARITHMIC
            inferred.event([], [(*BID, 40)], 50 * S + draw)
        assert before / 1_000 == pytest.approx(share, abs=0.03)
        again = of(rule, *[1] * 40)
        same = [again.event([], [(*BID, 39 - at)], 50 * S)["order_id"][0] for at in range(20)]
        other = of(rule, *[1] * 40)
        assert same == [other.event([], [(*BID, 39 - at)], 50 * S)["order_id"][0] for at in range(20)]


def test_a_place_has_a_distribution_beside_the_one_guess() -> None:
    inferred = of(Rule.LIKELIEST, 5, 3)
    with inferred.watch_back(*BID) as place:
        assert place.distribution == [Likely(8, 1.0)]
        assert place.interval(0.5) == Interval(8, 8, 1.0)
        inferred.event([], [(*BID, 11)], 2 * S)
        inferred.event([], [(*BID, 8)], 4 * S)
        assert place.ahead == Ahead(8, 2), "the newest of just that quantity is behind"
        (less, at_least), (more, at_most) = place.distribution
        assert (less, more) == (5, 8)
        assert at_least + at_most == pytest.approx(1)
        assert 0.3 < at_least < 0.5
        assert place.expected == pytest.approx(5 * at_least + 8 * at_most)
        assert (place.quantile(0.1), place.quantile(0.5)) == (5, 8)
        assert place.interval() == Interval(5, 8, 1.0)
        assert place.fill_probability(1, 4 * S) is None
        for wrong in (-0.1, 1.1):
            with pytest.raises(ValueError, match=rf"probability {wrong} is not within 0 to 1"):
                place.interval(wrong)
        for seconds in (0, 257):
            with pytest.raises(ValueError, match=r"ns are not within 1 ns to 256 s"):
                place.fill_probability(seconds, 4 * S)
    with pytest.raises(KeyError, match="the watch has ended"):
        _ = place.expected


def test_the_probability_of_a_fill_is_how_often_places_like_it_were_reached() -> None:
    inferred = of(Rule.LIKELIEST, 5, 3)
    with inferred.watch_back(*BID) as place:
        for second in range(2, 82):
            # Each fourth second trades one more than is before the place, and is refilled at once.
            trades = [] if second % 4 else [sold(9, second * S)]
            inferred.event(trades, [(*BID, 8)], second * S)
        ahead = inferred.watch_back(*BID)
        assert ahead.fill_probability(0.5, 81 * S) == 0
        assert ahead.fill_probability(1, 81 * S) == pytest.approx(20 / 79)
        assert ahead.fill_probability(4, 81 * S) == 1
        assert place.ahead == Ahead(0, 0)


def test_a_trade_takes_from_the_front() -> None:
    inferred = of(Rule.LIKELIEST, 5, 3, 6)
    ops = inferred.event([sold(6, 3 * S)], [(*BID, 8)], 3 * S)
    assert ops[["op", "order_id", "qty", "ref_id"]].tolist() == [(Op.EXECUTE, 1, 5, 7), (Op.EXECUTE, 2, 1, 7)]
    assert queue(inferred) == [2, 6]


def test_a_trade_may_come_before_the_change_of_its_level() -> None:
    inferred = of(Rule.LIKELIEST, 5, 3, 6)
    assert len(inferred.event([sold(5, 3 * S)], [], 3 * S)) == 0
    assert queue(inferred) == [5, 3, 6], "its level says so still"
    inferred.event([], [(*BID, 9)], 3 * S + 50_000_000)
    assert queue(inferred) == [3, 6]


def test_a_trade_that_comes_after_the_change_of_its_level_gives_back_what_seemed_cancelled() -> None:
    inferred = of(Rule.LIKELIEST, 5, 3, 6)
    inferred.event([], [(*BID, 8)], 3 * S)
    assert queue(inferred) == [5, 3], "the last one seemed cancelled"
    inferred.event([sold(6, 3 * S - 1)], [], 3 * S + 1)
    assert queue(inferred) == [2, 6], "it was not: six traded at the front"
    assert inferred.level(*BID) == Ahead(8, 2)
    assert inferred.counters["late"] == 1


def test_a_trade_that_no_level_shows_was_refilled() -> None:
    """An iceberg's next part, or a hidden order."""
    inferred = of(Rule.LIKELIEST, 5, 3, 6)
    inferred.event([sold(5, 3 * S)], [], 3 * S)
    ops = inferred.event([], [], 4 * S)
    assert ops[["op", "qty"]].tolist() == [(Op.EXECUTE, 5), (Op.ADD, 5)]
    assert (queue(inferred), inferred.counters["unshown"]) == ([3, 6, 5], 1)


def test_a_level_that_grows_while_it_trades_has_a_new_order() -> None:
    inferred = of(Rule.LIKELIEST, 5, 3)
    inferred.event([sold(5, 2 * S)], [(*BID, 10)], 2 * S)
    assert queue(inferred) == [3, 7]


def test_a_book_that_begins_anew_says_so() -> None:
    inferred = of(Rule.LIKELIEST, 5, 3)
    ops = inferred.begin([(*BID, 9)], 2 * S)
    assert ops[["op", "order_id", "qty"]].tolist() == [(Op.CLEAR, 0, 0), (Op.ADD, 3, 9)], "numbers go on"
    assert ops["op_flags"].tolist() == [TOLD | INFERRED, INFERRED], "of the level only the sum is known"
    assert queue(inferred) == [9]
    place = inferred.watch_back(*BID)
    assert (place.ahead, place.expected) == (Ahead(9, 1), 9.0)
    inferred.begin([(*BID, 4)], 3 * S)
    assert place.ahead is None, "nobody knows what stands before it now"
    with pytest.raises(KeyError, match="the orders began anew"):
        place.expected  # noqa: B018  # it is the access that raises


def test_a_place_that_was_never_an_order_moves_up() -> None:
    inferred = of(Rule.LIKELIEST, 5, 3)
    with inferred.watch_back(*BID) as place:
        inferred.event([], [(*BID, 12)], 2 * S)
        assert place.ahead == Ahead(8, 2), "the new one is behind"
        inferred.event([sold(6, 3 * S)], [(*BID, 6)], 3 * S)
        assert place.ahead == Ahead(2, 1)


def test_what_cannot_be_is_refused_and_counted() -> None:
    inferred = of(Rule.LIKELIEST, 5)
    inferred.event([sold(0, S), sold(-1, S)], [(*BID, -1), (*BID, 5)], S)
    assert (queue(inferred), inferred.counters["refused"]) == ([5], 3)
    with pytest.raises(ValueError, match=r"side 0 is neither 1 \(bid\) nor 2 \(ask\)"):
        inferred.event([sold(1, S)], [(0, 100, 7)], S)  # type: ignore[list-item]
    assert queue(inferred) == [5]
    with pytest.raises(
        ValueError, match='rule "best" is none of newest, oldest, proportional, logarithmic, exact, lik'
    ):
        Inference("best")  # type: ignore[arg-type]


def test_trades_that_wait_are_bounded() -> None:
    inferred = of(Rule.LIKELIEST, 5)
    inferred.event([sold(1, S, number) for number in range(1_030)], [], S)
    assert inferred.counters["forgotten"] == 6


def test_best_prices_tell_what_came_and_went_between_two_messages() -> None:
    """Of 5 and 3, the 5 left and others came: told by levels alone, nothing happened."""
    told = {}
    for bests in ([], [Best(*BID, 3, 2 * S), Best(*BID, 8, 2 * S + 1)]):
        inferred = of(Rule.EXACT, 5, 3)
        inferred.event([], [(*BID, 8)], 3 * S, bests)
        told[len(bests)] = [(int(order["order_id"]), int(order["qty"])) for order in inferred.queue(*BID)]
    assert told == {0: [(1, 5), (2, 3)], 2: [(2, 3), (3, 5)]}


def told(ops: NDArray[np.void]) -> list[tuple[int, int, int, int]]:
    """Operation, number, quantity and confidence."""
    rows = ops[["op", "order_id", "qty", "op_flags"]].tolist()
    return [(op, number, qty, flags >> 8) for op, number, qty, flags in rows]


def test_a_level_that_is_pushed_out_of_those_that_are_told_has_its_orders_when_it_is_back() -> None:
    inferred = Inference(Rule.EXACT)
    inferred.begin([(*BID, 5)], 0, depth=2)
    joined = inferred.event([], [(Side.BID, 99, 3)], S, depth=2)
    assert told(joined) == [(Op.ADD, 2, 3, 255)], "a side of one level of two was told whole"
    inferred.event([], [(Side.BID, 99, 7)], 2 * S, depth=2)
    left = inferred.event([], [(Side.BID, 101, 1), (Side.BID, 99, 0)], 3 * S, depth=2)
    assert told(left) == [(Op.ADD, 4, 1, 255), (Op.DELETE, 2, 3, 0), (Op.DELETE, 3, 4, 0)]
    assert inferred.outside == (1, 2)
    back = inferred.event([], [(Side.BID, 101, 0), (Side.BID, 99, 4)], 4 * S, depth=2)
    assert told(back) == [
        (Op.DELETE, 4, 1, 255),
        *[(Op.ADD, 2, 3, 204), (Op.ADD, 3, 4, 204)],
        (Op.DELETE, 2, 3, 255),
    ]
    behind = inferred.event([], [(*BID, 0), (Side.BID, 98, 6)], 5 * S, depth=2)
    assert told(behind)[0] == (Op.ADD, 5, 6, 0), "it may have stood there for long"


def test_orders_and_places_go_on_at_finer_exponents() -> None:
    inferred = of(Rule.LIKELIEST, 5, 3)
    with inferred.watch_back(*BID) as place:
        inferred.event([], [(*BID, 9)], 2 * S)
        inferred.event([], [(*BID, 7)], 4 * S)
        before = place.distribution
        assert inferred.refine(10, 100)
        assert [each._replace(qty=each.qty // 100) for each in place.distribution] == before
        fine = (Side.BID, 1_000)
        assert inferred.queue(*fine)["qty"].sum() == 700
        assert place.ahead == Ahead(600, 2)
        inferred.event([Print(*fine, 300, 9, 5 * S)], [(*fine, 400)], 5 * S)
        assert place.ahead == Ahead(300, 2)
        assert not inferred.refine(10**18, 1), "it does not fit"
        assert inferred.level(*fine).qty == 400
    with pytest.raises(ValueError, match="factors 0 and 1 are not both at least 1"):
        inferred.refine(0, 1)
