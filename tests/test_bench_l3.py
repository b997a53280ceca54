"""The score of inferred orders: its parts by hand, and the known baselines on real orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, pairwise, takewhile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from outcrier.bench.blocks import BLOCK_NS
from outcrier.bench.cancels import Cancels
from outcrier.bench.found import (
    AWAY,
    BEHIND,
    HORIZON_NS,
    MEDIAN,
    NEWEST,
    RULES,
    SECOND_NS,
    TRUTH,
    WITHIN,
    Parts,
    Scores,
)
from outcrier.bench.levels import Batch, Window, batches
from outcrier.bench.models import MODELS, moved
from outcrier.bench.places import Bench
from outcrier.bench.score import SetScore, score
from outcrier.bench.sets import SETS, order_set, starts
from outcrier.cli.main import cli
from outcrier.errors import ConfigurationError
from outcrier.inference import Inference, Rule
from outcrier.order_files import OrderFile
from outcrier.order_files.common import Known, Recorder
from outcrier.orders import ORDER_OP, Op, OrderBook, Side

Read = Callable[[str], OrderFile]


@pytest.fixture(scope="module")
def read(data_dir: Path) -> Read:
    """A recording by name; skips where it is missing."""
    folder = data_dir / "l3"
    if not folder.is_dir():
        pytest.skip(f"recordings are missing: {folder}")
    return lambda name: SETS[name].read(folder)


@pytest.fixture(scope="module")
def es(read: Read) -> OrderFile:
    return read("ES")


@pytest.fixture(scope="module")
def es_run(es: OrderFile) -> tuple[Scores, Cancels]:
    bench = Bench(es.tick, starts(SETS["ES"], es, BLOCK_NS))
    return bench.run(batches(es)), bench.cancels


@pytest.fixture(scope="module")
def es_scores(es_run: tuple[Scores, Cancels]) -> Scores:
    return es_run[0]


def until(time: int, file: OrderFile) -> Iterator[Batch]:
    """Its events up to then."""
    return takewhile(lambda batch: batch.time <= time, batches(file))


def test_the_baselines_on_es_are_the_known_ones(es_scores: Scores) -> None:
    """README of the L3 data, by another program: errors 2.62, 6.51, 6.26, 6.24, 10.38 lots, fill bias -1.5,
    +2.2, +1.0, +3.0, +8.1 points; the true place -0.2.
    """
    found = score("ES", "", 0, 1, scores=es_scores, cancels=Cancels())
    assert (found.orders, round(found.mean_queue, 1), round(found.filled, 3)) == (6960, 34.1, 0.664)
    figures = {
        each.rule: (round(each.error.value, 2), round(each.fill_bias.value, 1)) for each in found.rules
    }
    assert figures[TRUTH] == (0.0, -0.1)
    assert figures["always behind"] == (2.62, -1.5)
    assert figures["proportional"] == (6.5, 2.7)
    assert figures["power 3"] == (6.24, 1.3)
    assert figures["logarithmic"] == (6.22, 4.0)
    assert figures["always before"] == (10.35, 8.1)


def test_inferred_orders_and_formulas_agree_where_they_say_the_same(es_scores: Scores) -> None:
    """Two programs that share nothing: orders in queues, and one number a place."""
    for formula, inferred in (("always behind", Rule.NEWEST), ("always before", Rule.OLDEST)):
        one, other = RULES.index(formula), RULES.index(f"inferred, {inferred}")
        assert (es_scores.off[one] == es_scores.off[other]).all(), "at all levels"
        assert (es_scores.filled[one] == es_scores.filled[other]).all()
        assert (es_scores.filled_at[one] == es_scores.filled_at[other]).all()


def test_the_likeliest_order_is_nearer_to_the_truth_than_the_newest_on_es(es_scores: Scores) -> None:
    found = {each.rule: each for each in score("ES", "", 0, 1, scores=es_scores, cancels=Cancels()).rules}
    likeliest = found[f"inferred, {Rule.LIKELIEST}"]
    assert likeliest.error_of_newest.high <= 0.65
    assert likeliest.fill_bias_to_newest.high < 0
    assert abs(likeliest.fill_bias.value) < abs(found[NEWEST].fill_bias.value)


def test_best_prices_tell_of_orders_that_came_and_went_within_a_message(es: OrderFile) -> None:
    """A tenth of the test orders, levels every 100 ms. What the formulas are told stays the same."""
    when = list(starts(SETS["ES"], es, BLOCK_NS))[::10]
    errors = []
    for bests in (False, True):
        bench = Bench(es.tick, when, bests=bests, asks=False)
        scores = bench.run(batches(es, 100_000_000))
        found = score("ES", "", 100, 1, scores=scores, cancels=Cancels(), bests=bests)
        errors.append({each.rule: each.error.value for each in found.rules})
        newest = next(each for each in found.rules if each.rule == BEHIND)
        assert newest.error_of_newest.value == 1.0, "others are told as parts of it"
        for side in Side:
            expected = bench.book.levels(side)[:, :2].tolist()
            assert all(each.levels(side)[:, :2].tolist() == expected for each in bench.inferred)
    without, told = errors
    assert [told[name] for name in MODELS] == [without[name] for name in MODELS]
    likeliest = f"inferred, {Rule.LIKELIEST}"
    assert told[likeliest] < 0.8 * without[likeliest] < 0.8 * without[BEHIND]


def test_errors_by_age_and_place_are_parts_of_the_same_looks(es_scores: Scores) -> None:
    best = es_scores.away == 0
    for parts in (es_scores.by_age, es_scores.by_place):
        assert parts.looks.sum() == es_scores.looks[best].sum()
        assert parts.sums.sum(axis=0) == pytest.approx(es_scores.off[:, best].sum(axis=1))
    for parts in (es_scores.intervals.by_age, es_scores.intervals.by_place):
        assert parts.looks.sum() == es_scores.looks[best].sum()
    assert es_scores.intervals.by_away.looks.sum() == es_scores.looks.sum()
    found = {each.rule: each for each in score("ES", "", 0, 1, scores=es_scores, cancels=Cancels()).rules}
    newest, oldest = found[NEWEST], found[f"inferred, {Rule.OLDEST}"]
    assert newest.error_by_age == sorted(newest.error_by_age), "what is wrong stays wrong"
    assert newest.error_of_queue.value < oldest.error_of_queue.value < 1
    # Who believes that the oldest leave has nobody before an order that is far back.
    assert oldest.error_by_place[2] > 2 * oldest.error_by_place[0]


def test_the_place_of_a_cancelled_order_is_nearer_too(es_run: tuple[Scores, Cancels]) -> None:
    found = score("ES", "", 0, 1, scores=es_run[0], cancels=es_run[1])
    assert found.cancels == 13_402
    rules = {each.rule: each for each in found.cancel_rules}
    newest, likeliest = rules[Rule.NEWEST], rules[Rule.LIKELIEST]
    assert (round(newest.error, 2), round(newest.right, 2)) == (7.14, 0.33)
    assert likeliest.error < newest.error
    assert likeliest.right > newest.right
    assert likeliest.order_count_error < newest.order_count_error
    assert [each.confidence for each in newest.calibration] == [1.0]
    right = [each.right for each in likeliest.calibration]
    assert len(right) == 10
    assert right[0] < 0.2, "who is not sure is seldom right"
    assert right[-1] > 0.6


def test_cancels_are_looked_at_where_one_order_alone_is_gone() -> None:
    recorder = Recorder()
    for number, qty in enumerate((5, 3, 6), 1):
        recorder.add(number, Known(Side.BID, 100, qty), number)
        recorder.end(number)
    recorder.delete(2, 4)
    recorder.end(4)
    recorder.reduce(3, 1, 5)
    recorder.end(5)
    recorder.execute(1, 5, 6)
    recorder.end(6)
    recorder.delete(3, 7)
    recorder.add(4, Known(Side.BID, 100, 2), 7)
    recorder.end(7)
    file = recorder.file(0, 0, 1)
    bench = Bench(1, [3])
    bench.run(batches(file))
    found = bench.cancels
    assert (found.place, found.queue, found.orders) == ([5, 5], [14, 11], [3, 2])
    newest, oldest, _, _, exact, likeliest = range(6)
    assert [each[exact] for each in found.picked] == [5, 5]
    assert [each[newest] for each in found.picked] == [8, 8], "the last one has less since"
    assert [each[oldest] for each in found.picked] == [0, 0]
    assert found.picked[0][likeliest] == 5
    assert found.inferred[0] == (3,) * 6
    assert found.confidence[0][exact] == 1.0 > found.confidence[0][likeliest]


@pytest.mark.parametrize("name", ["AAPL-50", "Bitstamp"])
def test_it_is_so_on_recordings_that_its_weights_were_not_chosen_on(name: str, read: Read) -> None:
    file, chosen = read(name), SETS[name]
    when = starts(chosen, file, BLOCK_NS)[:1_000]
    bench = Bench(file.tick, when, asks=chosen.has_aggressors)
    scores = bench.run(until(when[-1] + HORIZON_NS, file))
    told = score(name, "", 0, chosen.lot, scores=scores, cancels=bench.cancels)
    found = {each.rule: each for each in told.rules}
    assert found[f"inferred, {Rule.LIKELIEST}"].error_of_newest.value <= 0.65
    assert found[MEDIAN].error_of_newest.value <= 0.75
    assert bool(told.fills) is chosen.has_aggressors


@pytest.mark.parametrize("every_ms", [0, 10, 100])
def test_inferred_levels_are_the_venues_after_every_message(every_ms: int, es: OrderFile) -> None:
    book = OrderBook(es.tick)
    rules = [(Inference(rule), OrderBook(es.tick)) for rule in Rule]
    for number, batch in enumerate(islice(batches(es, every_ms * 1_000_000), 4_000)):
        for event in batch.events:
            book.apply(event.ops, event.ts)
        levels = [(side, price, book.level(side, price).qty) for side, price in batch.touched]
        expected = {side: book.levels(side)[:, :2].tolist() for side in Side} if number % 50 == 0 else {}
        for inferred, mirror in rules:
            ops = inferred.event(batch.trades, levels, batch.time)
            assert mirror.apply(ops, np.full(len(ops), batch.time)) == []
            for side, rows in expected.items():
                assert inferred.levels(side)[:, :2].tolist() == rows
                assert mirror.levels(side).tolist() == inferred.levels(side).tolist()
    for inferred, _ in rules:
        assert inferred.counters["refused"] == inferred.counters["forgotten"] == 0


def test_what_is_gone_is_shared_by_the_formula() -> None:
    ahead = np.array([0.0, 10.0, 40.0])
    # 100, of which 5 trade: 10 of the 95 are gone without a trade.
    after = {name: moved(share, ahead, 5, 100, 85).round(3).tolist() for name, share in MODELS.items()}
    assert after["always behind"] == [0.0, 5.0, 35.0]
    assert after["always before"] == [0.0, 0.0, 25.0]
    assert after["proportional"] == [0.0, round(5 - 10 * 5 / 95, 3), round(35 - 10 * 35 / 95, 3)]
    assert after["power 2"][2] == round(35 - 10 * 35**2 / (35**2 + 60**2), 3)
    front, back = np.log1p(35), np.log1p(60)
    assert after["logarithmic"][2] == round(35 - 10 * front / (front + back), 3)
    assert moved(MODELS["always behind"], ahead, 0, 100, 20).tolist() == [0.0, 10.0, 20.0], (
        "no more than is there"
    )


def test_a_window_tells_what_comes_in_and_what_was_gone_outside() -> None:
    book, window = OrderBook(1), Window(2)
    recorder = Recorder()
    for number, price in enumerate((100, 99, 98, 97), 1):
        recorder.add(number, Known(Side.BID, price, number), number)
    recorder.add(9, Known(Side.ASK, 103, 5), 9)
    file = recorder.file(0, 0, 1)
    book.apply(file.ops, file.ts)
    everything = {(Side.BID, price) for price in (100, 99, 98, 97)} | {(Side.ASK, 103)}
    assert window.changes(book, everything) == [(Side.BID, 100, 1), (Side.BID, 99, 2), (Side.ASK, 103, 5)]
    assert window.changes(book, {(Side.BID, 97)}) == [], "it is not one of the best"

    def change(op: Op, number: int, price: int, qty: int) -> set[tuple[Side, int]]:
        ops = np.zeros(1, ORDER_OP)
        ops["op"], ops["order_id"], ops["side"], ops["price"], ops["qty"] = op, number, Side.BID, price, qty
        assert book.apply(ops, np.array([20])) == []
        return {(Side.BID, price)}

    def told(*words: int) -> tuple[list[tuple[Side, int, int]], dict[tuple[Side, int], int]]:
        changes = window.changes(book, change(Op(words[0]), *words[1:]))
        return changes, window.known(changes)

    gone, back = (Side.BID, 100), (Side.BID, 98)
    assert told(Op.DELETE, 1, 100, 1) == ([(*gone, 0), (*back, 3)], {gone: 0, back: 3})
    # 98 is pushed out: what stands there is not known any more.
    assert told(Op.ADD, 10, 101, 7) == ([(*back, 0), (Side.BID, 101, 7)], {(Side.BID, 101): 7})
    assert told(Op.DELETE, 3, 98, 3) == ([], {}), "nobody is told of it yet"
    changes, known = told(Op.DELETE, 2, 99, 2)
    assert changes == [(Side.BID, 99, 0), (Side.BID, 97, 4)]
    assert known == {(Side.BID, 99): 0, (Side.BID, 97): 4, back: 0}, "it was passed"
    whole = Window(0)
    assert whole.changes(book, {(Side.BID, 97)}) == [(Side.BID, 97, 4)]
    assert whole.known([(Side.BID, 97, 4)]) == {(Side.BID, 97): 4}


def test_the_best_levels_alone_give_the_same_at_the_best(es: OrderFile, es_scores: Scores) -> None:
    """Test orders join the best level, which hardly ever leaves the best twenty while they rest."""
    when = starts(SETS["ES"], es, BLOCK_NS)[:600]
    scores = Bench(es.tick, when, 20).run(until(when[-1] + HORIZON_NS, es))
    same = es_scores.select((es_scores.placed <= scores.placed[-1]) & (es_scores.away == 0))
    scores = scores.select(scores.away == 0)
    narrow, whole = (each.off.sum(axis=1) / each.looks.sum() for each in (scores, same))
    assert (scores.placed == same.placed).all()
    drawn = [f"inferred, {rule}" for rule in (Rule.PROPORTIONAL, Rule.LOGARITHMIC)]
    wanted = [name not in drawn for name in RULES]
    assert narrow[wanted] == pytest.approx(whole[wanted], rel=0.05)
    assert not (narrow[wanted] == whole[wanted]).all()


def test_batches_hold_all_events_of_their_time(es: OrderFile) -> None:
    whole = list(batches(es))
    assert len(whole) == len(es.times)
    assert all(len(batch.events) == 1 for batch in whole)
    recorder = Recorder()
    for number, time in enumerate((5, 5, 14, 15), 1):
        recorder.add(number, Known(Side.BID, 100, 1), time)
        recorder.end(time)
    file = recorder.file(0, 0, 1)
    assert [len(batch.events) for batch in batches(file)] == [1, 1, 1, 1], "those of one time too"
    assert [len(batch.events) for batch in batches(file, 10)] == [3, 1]
    together = list(batches(es, 100_000_000))
    assert sum(len(batch.events) for batch in together) == len(es.times)
    assert sum(len(batch.trades) for batch in together) == 2972, "one trade has no aggressor"
    for before, batch in pairwise(together):
        assert batch.events[0].time >= before.events[0].time + 100_000_000
        assert batch.time - batch.events[0].time < 100_000_000


def scores_of(offs: list[float], fills: list[float]) -> Scores:
    """Of test orders that join every minute; only newest-first is off, and it alone fills. One more joined
    another level.
    """
    n, newest = len(offs), RULES.index(NEWEST)
    scores = Scores.of(n + 1)
    scores.placed = np.arange(n + 1) * HORIZON_NS
    scores.away[n] = 3
    scores.qty[:] = 6
    scores.looks[:] = 2
    scores.off[newest] = [*offs, 5.0]
    scores.bias[:] = -scores.off
    scores.share[:] = scores.off / 10
    scores.filled[newest, :n] = fills
    scores.filled_at[newest] = scores.filled[newest] * (scores.placed + 3 * SECOND_NS)
    scores.was_filled[:2] = True
    scores.was_filled_at[:2] = scores.placed[:2] + SECOND_NS
    scores.by_age = Parts(np.array([1.0, 2.0, 0.0]), np.full((3, len(RULES)), 8.0))
    scores.by_place = Parts(np.array([4.0, 2.0, 1.0]), np.full((3, len(RULES)), 8.0))
    intervals = scores.intervals
    intervals.said[:], intervals.held[:], intervals.width[:] = 1.9, [[2.0, 1.0, 2.0, 1.0, 0.0]] * 3, 4.0
    intervals.by_away.add(np.array([3]), np.array([[0.5], [0.8], [0.95], [0], [1], [1], [2], [4], [6]]))
    asks = scores.asks
    asks.order, asks.time, asks.seconds = [0, 1, 2, 4], [0, 0, 0, 0], [1, 10, 1, 1]
    asks.probability = [0.75, 0.5, 0.25, 0.25]
    scores.counts.by_away.add(np.array([0, 1]), np.array([[4.0, 6.0]] + [[1.0, 2.0]] * len(Rule)))
    scores.counts.by_time.add(np.array([0, 9]), np.array([[4.0, 6.0]] + [[1.0, 3.0]] * len(Rule)))
    return scores


def test_figures_are_sums_over_test_orders() -> None:
    scores = scores_of([2.0, 4.0, 6.0, 8.0], [1.0, 1.0, 1.0, 0.0])
    found = score("x", "about", 10, 2, scores=scores, cancels=Cancels())
    assert (found.orders, found.mean_queue, found.filled, found.every_ms) == (4, 3.0, 0.5, 10)
    newest = next(each for each in found.rules if each.rule == NEWEST)
    assert newest.error.value == 20 / 2 / 8
    assert newest.bias == -20 / 2 / 8
    assert newest.error_of_queue.value == pytest.approx(2 / 8)
    assert newest.error_by_age == [4.0, 2.0, 8 / 2]
    assert newest.error_by_place == [1.0, 2.0, 4.0]
    assert newest.fill_bias.value == 25.0, "three of four, where two were"
    assert newest.fill_bias_beyond_truth.value == 75.0
    assert newest.fill_time_error_s == 2.0
    truth = found.rules[0]
    assert (truth.error.value, truth.fill_bias.value, truth.fill_time_error_s) == (0.0, -50.0, None)
    assert truth.fill_bias_to_newest.value == 25.0
    # Two blocks of two minutes: a draw has one of them twice, or both.
    assert (newest.error.low, newest.error.high) == (6 / 2 / 4, 14 / 2 / 4)
    assert (newest.error_of_newest.low, newest.error_of_newest.high) == (1.0, 1.0)
    assert newest.error_by_away == [20 / 2 / 8, 0.0, 0.0, 5 / 2 / 2, 0.0]


def test_intervals_fills_and_order_counts_are_told_by_their_parts() -> None:
    found = score("x", "", 0, 2, scores=scores_of([2, 4, 6, 8], [1, 1, 1, 0]), cancels=Cancels())
    assert [each.within for each in found.intervals] == list(WITHIN)
    of_80 = found.intervals[1]
    assert (of_80.said, of_80.held.value, of_80.width) == (4 * 1.9 / 8, 6 / 8, 4 * 4 / 8 / 2)
    assert (of_80.held.low, of_80.held.high) == (0.75, 0.75), "both blocks have the same"
    assert (of_80.by_away[3].said, of_80.by_away[3].held, of_80.by_away[3].width) == (0.8, 1.0, 2.0)
    assert of_80.by_away[0].held == 0.0
    one, best, ten, _ = found.fills
    assert (one.seconds, one.best, one.asks) == (1, False, 3)
    # The first was filled within its second; of the two others neither was.
    assert one.filled == pytest.approx(1 / 3)
    assert one.brier == pytest.approx((0.25**2 + 0.25**2 + 0.25**2) / 3)
    assert one.brier_of_base.value == pytest.approx(one.brier / (1 / 3 * 2 / 3))
    assert [(bin_.said, bin_.filled, bin_.asks) for bin_ in one.bins] == [(0.25, 0.0, 2), (0.75, 1.0, 1)]
    assert (best.best, best.asks) == (True, 2)
    assert (ten.seconds, ten.filled) == (10, 0.0), "its fill came a minute later than it asked"
    counts = found.count_rules[0]
    assert (counts.rule, counts.error) == (Rule.NEWEST, 3 / 10)
    assert counts.by_away[:2] == [1 / 4, 2 / 6]
    assert (counts.by_time[0], counts.by_time[9]) == (1 / 4, 3 / 6)


def test_intervals_hold_what_they_say_on_the_half_hour_that_they_were_not_fitted_on(
    es: OrderFile, es_scores: Scores
) -> None:
    late = es_scores.placed >= SETS["ES"].begins_ns + 1_800 * SECOND_NS
    found = score("ES", "", 0, 1, scores=es_scores.select(late), cancels=Cancels())
    rules = {each.rule: each for each in found.rules}
    assert rules[MEDIAN].error_of_newest.high <= 0.7
    held = [each.held.value for each in found.intervals]
    assert held[0] > 0.5
    assert held[1] == pytest.approx(0.8, abs=0.06)
    assert held[2] == pytest.approx(0.95, abs=0.09)
    assert all(each.said >= each.within for each in found.intervals)


def test_fills_come_about_as_often_as_they_are_said_to(es_scores: Scores) -> None:
    found = score("ES", "", 0, 1, scores=es_scores, cancels=Cancels())
    fills = {each.seconds: each for each in found.fills if not each.best}
    assert list(fills) == [1, 10, 60]
    for each in fills.values():
        assert each.brier_of_base.high < 1, "better than the base rate, which nobody knows beforehand"
        assert each.said == pytest.approx(each.filled, rel=0.15)
        for bin_ in each.bins:
            assert bin_.asks < 500 or bin_.filled == pytest.approx(bin_.said, abs=0.1)
    assert (es_scores.away == 0).sum() == 6_960
    assert len(set(es_scores.away.tolist())) == len(AWAY)


def test_the_command_tells_figures_as_json_and_as_a_table(read: Read, data_dir: Path) -> None:
    read("AAPL-50")
    environ = {"OUTCRIER_DATA": str(data_dir), "COLUMNS": "180"}
    words = ["bench", "l3", "AAPL-50", "--every-ms", "100", "--from-s", "3000"]
    told = CliRunner().invoke(cli, [*words, "--json"], env=environ, catch_exceptions=False)
    found = msgspec.json.decode(told.output, type=SetScore)
    assert (found.recording, found.every_ms, found.from_s, found.orders) == ("AAPL-50", 100, 3000, 958)
    assert [each.rule for each in found.rules] == list(RULES)
    shown = CliRunner().invoke(cli, words, env=environ, catch_exceptions=False).output
    assert "AAPL-50: NASDAQ, 50 levels, an hour of 2012-06-21; levels every 100 ms; 958 test orders" in shown
    likeliest = next(each for each in found.rules if each.rule == "inferred, likeliest")
    of_80 = found.intervals[1]
    assert f"{100 * of_80.held.value:.1f} [{100 * of_80.held.low:.1f}" in shown
    assert f"{found.fills[0].brier:.4f}" in shown
    assert f"{found.count_rules[0].error:.2f}" in shown
    assert f"{likeliest.error.value:,.2f} [{likeliest.error.low:,.2f}, {likeliest.error.high:,.2f}]" in shown


def test_recordings_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'MSFT' of orders: there are ES, GOOG, AAPL-50"):
        order_set("MSFT")
    told = CliRunner().invoke(cli, ["bench", "l3"], env={"OUTCRIER_DATA": str(tmp_path)})
    assert isinstance(told.exception, ConfigurationError)
    assert "no recordings of orders: OUTCRIER_DATA names the folder that has l3/" in str(told.exception)
