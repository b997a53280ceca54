"""The snapshot scheduler: order, weight budget, retries; time is an argument."""

from __future__ import annotations

import random

import pytest

from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.snapshots import (
    POOL_SHARE,
    RETRY_BASE_NS,
    RETRY_CAP_NS,
    TOO_OLD_WAIT_NS,
    WINDOW_NS,
    SnapshotScheduler,
    WeightPool,
)


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - a test repeats what it saw


def scheduler(limit: int = 100_000, weight: int = 50, seed: int = 0) -> SnapshotScheduler:
    return SnapshotScheduler(WeightPool(limit), 4, seeded(seed).random, weight=weight)


def test_at_most_four_are_under_way_first_come_first_served() -> None:
    queue = scheduler()
    for index in (7, 3, 9, 1, 5, 3):
        queue.want(0, index)
    assert queue.due(0) == [7, 3, 9, 1]
    assert queue.due(0) == []
    assert queue.deadline_ns is None
    queue.done(0, 3)
    assert queue.due(0) == [5]
    assert queue.backlog == 4


def test_a_reconnection_of_all_books_stays_within_the_weight_of_any_minute() -> None:
    limit = 6000
    queue = scheduler(limit)
    for index in range(400):
        queue.want(0, index)
    fetched: list[tuple[int, int]] = []
    now_ns = 0
    while queue.backlog:
        starting = queue.due(now_ns)
        fetched += [(now_ns, index) for index in starting]
        for index in starting:
            queue.done(now_ns, index)
        deadline_ns = queue.deadline_ns
        if not starting and deadline_ns is not None:
            assert deadline_ns > now_ns, "a deadline that gives nothing spins the loop"
            now_ns = deadline_ns
        assert now_ns < 3600 * SECOND_NS
    assert [index for _, index in fetched] == list(range(400))
    for position, (from_ns, _) in enumerate(fetched):
        in_minute = sum(1 for at_ns, _ in fetched[position:] if at_ns < from_ns + WINDOW_NS)
        assert in_minute * 50 <= limit * POOL_SHARE
    # 20,000 of weight at 4,800 a minute: the budget is used, not only kept.
    assert fetched[-1][0] <= 4 * WINDOW_NS


def test_two_products_share_one_pool() -> None:
    pool = WeightPool(1000)
    usdm, coinm = (SnapshotScheduler(pool, 4, seeded(s).random, weight=200) for s in range(2))
    for index in range(10):
        usdm.want(0, index)
        coinm.want(0, index)
    assert len(usdm.due(0)) + len(coinm.due(0)) == 4  # 800 of 1000


def test_what_others_on_the_address_spend_counts() -> None:
    pool = WeightPool(1000)
    assert pool.take(0, 100) == 0
    pool.observed(1, 750)  # 650 of them are not ours
    assert pool.take(2, 50) == 0
    assert pool.take(3, 50) == WINDOW_NS
    assert pool.take(WINDOW_NS + 1, 50) == 0


def test_a_refused_address_waits_as_long_as_told() -> None:
    pool = WeightPool(1000)
    pool.block(90 * SECOND_NS)
    assert pool.take(SECOND_NS, 1) == 90 * SECOND_NS
    assert pool.take(90 * SECOND_NS, 1) == 0


@pytest.mark.parametrize("seed", range(5))
def test_failures_back_off_with_jitter_and_cap(seed: int) -> None:
    queue = scheduler(seed=seed)
    queue.want(0, 1)
    now_ns = 0
    for attempt in range(12):
        assert queue.due(now_ns) == [1]
        wait_ns = queue.failed(now_ns, 1)
        assert 0 <= wait_ns < min(RETRY_CAP_NS, RETRY_BASE_NS * 2**attempt)
        if wait_ns:
            assert queue.due(now_ns + wait_ns - 1) == []
        now_ns += wait_ns
    assert queue.due(now_ns) == [1]
    assert queue.failed(now_ns, 1, 3600 * SECOND_NS) == 3600 * SECOND_NS


def test_a_snapshot_that_is_too_old_is_fetched_again_a_little_later() -> None:
    queue = scheduler()
    queue.want(0, 4)
    assert queue.due(0) == [4]
    queue.too_old(100, 4)
    assert queue.deadline_ns == 100 + TOO_OLD_WAIT_NS
    assert queue.due(100) == []
    assert queue.due(100 + TOO_OLD_WAIT_NS) == [4]


def test_a_lost_connection_takes_its_wishes_along() -> None:
    queue = scheduler()
    for index in range(6):
        queue.want(0, index)
    assert queue.due(0) == [0, 1, 2, 3]
    queue.forget([0, 1, 4])
    assert not queue.is_under_way(0)
    assert queue.is_under_way(2)
    assert queue.due(0) == [5]
    assert queue.failed(0, 0) == 0, "the answer of a forgotten fetch begins nothing"
    assert queue.backlog == 3
    queue.want(5, 0)
    assert queue.due(5) == [0]


def test_a_book_that_never_lasts_is_asked_for_ever_more_seldom() -> None:
    """A checksum that is always wrong: each whole book is lost as soon as it is there."""
    queue = scheduler()
    asked: list[int] = []
    now_ns = 0
    while now_ns < 600 * SECOND_NS:
        wait_ns = queue.want(now_ns, 1)
        assert queue.want(now_ns, 1) == 0, "it waits already"
        assert queue.deadline_ns == now_ns + wait_ns, "it says how long"
        now_ns += wait_ns
        assert queue.due(now_ns) == [1]
        asked.append(now_ns)
        queue.done(now_ns, 1)
    assert asked[:2] == [0, 0], "the first loss is mended at once"
    assert len(asked) < 40, "not in a loop: some thirty times in ten minutes"
    now_ns += 61 * SECOND_NS
    queue.want(now_ns, 1)
    assert queue.due(now_ns) == [1], "one that has lasted a minute is new"
    queue.done(now_ns, 1)
    for _ in range(5):
        queue.forgive([1])
        queue.want(now_ns, 1)
        assert queue.due(now_ns) == [1], "a lost connection is no fault of the book"
        queue.done(now_ns, 1)


def test_a_book_that_never_comes_is_not_hammered_for() -> None:
    """Bithumb's old feed: every subscription is waited for ten seconds in vain."""
    queue = scheduler()
    queue.want(0, 1)
    asked, now_ns = 0, 0
    while now_ns < 3600 * SECOND_NS:
        assert queue.due(now_ns) == [1]
        asked += 1
        now_ns += 10 * SECOND_NS
        queue.failed(now_ns, 1)
        now_ns = queue.deadline_ns or now_ns
    assert 60 < asked < 120, "about every forty seconds"
