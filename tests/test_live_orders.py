"""Orders that a feed infers while it runs: recordings of venues in, orders at a consumer out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feed_bench import Bench, lines
from naive import NaiveBook
from outcrier import _core
from outcrier.batch import Batch
from outcrier.capture.library import CaptureGroup, group_by_venue, sessions_of_all
from outcrier.capture.replay import open_replays
from outcrier.cli import book_orders
from outcrier.directory import Directory
from outcrier.followed import Followed
from outcrier.order_views import SHOWN, OrdersView
from outcrier.orders import INFERRED, ORDER, Ahead, Op, Side
from outcrier.prices import to_decimal
from outcrier.recorded import replay_batches
from outcrier.venues import VENUES
from outcrier.views import BookView

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
MESSAGES = 400
"""Of a session: each checks all its books, and the long ones say the same after that."""

NOW_NS = 1


class Heard:
    """A consumer of what a memory publisher sent."""

    def __init__(self) -> None:
        self.receiver = _core.Receiver(accept_replay=True)

    def hear(self, sent: list[tuple[int, bytes]]) -> None:
        for plane, frame in sent:
            self.receiver.datagram(plane, frame, 0, NOW_NS)
        self.receiver.take()

    def view(self, symbol: str) -> OrdersView:
        orders = self.receiver.orders(symbol)
        return OrdersView(orders, BookView(self.receiver, symbol, symbol, to_decimal), to_decimal)

    def check(self) -> int:
        """Holds the orders of every live book to its levels; how many there are."""
        count = 0
        for row in self.receiver.instruments():
            if row["state"] != "LIVE":
                continue
            key = row["venue"], row["instrument"]
            orders = self.receiver.orders(f"{row['symbol']}@{row['venue']}")
            for side, levels in zip(Side, self.receiver.book(*key), strict=True):
                assert np.array_equal(orders.levels(side)[:, :2], levels), (row["symbol"], side)
            count += len(orders)
        return count


@cache
def sessions(data_dir: Path) -> dict[str, list[CaptureGroup]]:
    """The recorded sessions of each venue."""
    by_venue: dict[str, list[CaptureGroup]] = {}
    for group in sessions_of_all(data_dir):
        by_venue.setdefault(group.venue, []).append(group)
    return by_venue


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_the_orders_of_a_level_are_its_quantity_after_every_message(venue: str, data_dir: Path) -> None:
    for group in sessions(data_dir).get(venue, ()):
        publisher, heard = _core.Publisher.memory(), Heard()
        replay, most = None, 0
        for replay, line in islice(open_replays(publisher, [group], infer_orders=True), MESSAGES):
            replay.take(line)
            heard.hear(publisher.take())
            most = max(most, heard.check())
        assert replay is not None
        late = joined_late(replay.feed, publisher, heard)
        for row in heard.receiver.instruments():
            if row["state"] == "LIVE":
                known, joined = (
                    each.receiver.orders(f"{row['symbol']}@{row['venue']}") for each in (heard, late)
                )
                assert np.array_equal(known.orders(), joined.orders()), row["symbol"]
        told, counters = heard.receiver.counters(), replay.feed.counters()
        assert (told["bad_order"], counters["inferred_refused"], counters["inferred_anew"]) == (0, 0, 0)
        assert counters["inferred_forgotten"] == 0
        assert most > 0 or not counters["book_events"]


def joined_late(feed: _core.Feed, publisher: _core.Publisher, heard: Heard) -> Heard:
    """A consumer that has what the snapshot plane says until it is whole."""
    late = Heard()
    while not all(late.receiver.whole_cycles().values()) or not late.receiver.whole_cycles():
        feed.tick()
        sent = publisher.take()
        for each in (heard, late):
            each.hear(sent)
    return late


def on_wire(path: Path) -> Iterator[tuple[Heard, dict[str, Any]]]:
    """Each frame that a recording makes, once a consumer has heard it."""
    publisher, heard = _core.Publisher.memory(), Heard()
    for replay, line in open_replays(publisher, group_by_venue([path]), infer_orders=True):
        replay.take(line)
        for plane, frame in publisher.take():
            heard.receiver.datagram(plane, frame, 0, NOW_NS)
            yield heard, _core.decode_frame(frame)


def test_a_side_has_as_many_levels_as_are_told_and_those_that_leave_come_back(capture: CaptureFinder) -> None:
    """Bybit deletes what leaves in the message that pushes it out; the older protocol is told 25 levels."""
    left: dict[tuple[int, int], int] = {}
    back: list[int] = []
    for heard, frame in on_wire(capture("bybit/v2_linear_2021-04-17")):
        if frame["msg"] == "BOOK_DELTA":
            book = heard.receiver.book(frame["venue"], frame["instrument"])
            assert [frame["root"]["depth_limit"], *map(len, book)] == [25] * 3
        for op in frame["records"] if frame["msg"] == "ORDER_OPS" else ():
            key, confidence = (frame["instrument"], op["order_id"]), op["op_flags"] >> 8
            if op["op"] == Op.DELETE and not confidence:
                left[key] = op["price"]
            elif op["op"] == Op.ADD and key in left:
                assert left.pop(key) == op["price"], "it is the same order"
                back.append(confidence)
    assert (len(back), len(left)) == (2_035, 826)
    assert sum(confidence > 200 for confidence in back) > 800


class Live:
    """The feed of one recording whose orders are inferred, and a consumer from its beginning."""

    def __init__(self, path: Path) -> None:
        self.bench = Bench("binance_usdm", infer_orders=True)
        self.heard = Heard()
        self.lines = lines(path)

    def play(self, count: int) -> None:
        for line in islice(self.lines, count):
            self.bench.take(line)
            self.heard.hear(self.bench.publisher.take())

    @property
    def view(self) -> OrdersView:
        return self.heard.view("BTCUSDT@2")


@pytest.fixture
def live(capture: CaptureFinder) -> Live:
    return Live(capture(USDM))


def test_a_book_begins_with_an_order_a_level_that_nobody_is_sure_of(live: Live) -> None:
    while not len(live.view):
        live.play(1)
    view, naive = live.view, live.bench.naive["BTCUSDT"]
    bids, asks = view.top(0)
    assert [[(level.price, level.qty) for level in side] for side in (bids, asks)] == list(naive.sides())
    assert {level.orders for level in bids + asks} == {1}
    first = view.queued(Side.BID)[0]
    assert (first.qty, first.inferred, first.confidence) == (bids[0].qty, True, 0.0)
    assert view.kind == f"{len(bids) + len(asks):,} orders, inferred"


def test_trades_take_from_the_front_and_growth_joins_the_back(live: Live) -> None:
    """Every change of orders of the recording, held to the rule that makes it by a plain reading."""
    live.play(60)
    queues: dict[tuple[int, int], list[list[int]]] = {}
    executed = joined = 0
    for order, (side, price) in _with_levels(live.view):
        queues.setdefault((side, price), []).append([int(order["order_id"]), int(order["qty"])])
    for line in islice(live.lines, 3_000):
        live.bench.take(line)
        for plane, frame in live.bench.publisher.take():
            live.heard.hear([(plane, frame)])
            decoded = _core.decode_frame(frame)
            for op in decoded["records"] if decoded["msg"] == "ORDER_OPS" else ():
                assert op["op_flags"] & INFERRED
                queue = queues.setdefault((op["side"], op["price"]), [])
                if op["op"] == 1:
                    joined += 1
                    queue.append([op["order_id"], op["qty"]])
                    continue
                place = next(at for at, order in enumerate(queue) if order[0] == op["order_id"])
                if op["op"] == 5:
                    executed += 1
                    assert place == 0, "what traded was the first"
                    queue[0][1] -= op["qty"]
                else:
                    assert op["op_flags"] >> 8, "no confidence at all: a level left those that are told"
                    queue[place][1] = op["qty"] if op["op"] == 2 else 0
                if queue[place][1] == 0:
                    del queue[place]
    kept = [(key, order) for key, queue in queues.items() for order in queue]
    mirrored = [(key, [int(o["order_id"]), int(o["qty"])]) for o, key in _with_levels(live.view)]
    assert sorted(kept) == sorted(mirrored)
    assert (executed > 100, joined > 2_000) == (True, True), (executed, joined)


def _with_levels(view: OrdersView) -> Iterator[tuple[np.void, tuple[int, int]]]:
    for side in Side:
        for price in view.levels(side)[:, 0].tolist():
            for order in view.queue(side, price):
                yield order, (int(side), price)


def test_late_joiners_have_the_same_orders(live: Live) -> None:
    live.play(2_000)
    late = joined_late(live.bench.feed, live.bench.publisher, live.heard)
    assert np.array_equal(late.view("BTCUSDT@2").orders(), live.view.orders())
    live.bench.take(next(live.lines))
    sent = live.bench.publisher.take()
    for each in (live.heard, late):
        each.hear(sent)
        assert each.check() > 2_000
    assert np.array_equal(late.view("BTCUSDT@2").orders(), live.view.orders())


def test_a_book_that_is_lost_takes_its_orders_with_it(live: Live) -> None:
    live.play(1_000)
    view = live.view
    price = int(view.levels(Side.BID, 1)[0, 0])
    with view.watch_back(Side.BID, price) as place:
        assert place.ahead == view.level(Side.BID, price) != Ahead(0, 0)
        live.bench.feed.disconnected([0], 1)
        live.heard.hear(live.bench.publisher.take())
        assert (live.view.state, place.ahead) == ("STALE", live.view.level(Side.BID, price)), "as it was"
        live.bench.feed.connected([0], 1)
        again = next(line for line in lines_with_book(live))
        live.bench.feed.on_snapshot(0, again.encode(), 1)
        live.heard.hear(live.bench.publisher.take())
        assert place.ahead is None, "nobody knows what stands before it now"


def lines_with_book(live: Live) -> Iterator[str]:
    """The next whole book that joins: the naive book as Binance's REST answer."""
    naive: NaiveBook = live.bench.naive["BTCUSDT"]
    bids, asks = ([[str(p), str(q)] for p, q in side] for side in naive.sides())
    yield f'{{"lastUpdateId":{naive.last},"bids":{bids},"asks":{asks}}}'.replace("'", '"')


def test_finer_exponents_keep_the_orders(live: Live) -> None:
    live.play(500)
    before = [(level.price, level.qty, level.orders) for side in live.view.top(0) for level in side]
    ids = live.view.orders()["order_id"].tolist()
    scale = live.view.scale
    assert scale is not None
    finer = {"price_exp": scale[0] - 1, "qty_exp": scale[1] - 2, "tick_size": 1, "lot_size": 1, "min_qty": 1}
    live.bench.feed.update_sizes(0, **finer, recv_ns=1)
    live.heard.hear(live.bench.publisher.take())
    assert live.view.scale == (scale[0] - 1, scale[1] - 2)
    assert [(level.price, level.qty, level.orders) for side in live.view.top(0) for level in side] == before
    assert live.view.orders()["order_id"].tolist() == ids
    live.play(500)
    assert live.heard.check() > 2_000


def test_recordings_give_batches_with_orders(capture: CaptureFinder) -> None:
    (path,) = group_by_venue([capture(USDM)])[0].paths
    batch = next(iter(replay_batches([path], types=["order"], infer_orders=True)))
    assert len(batch.orders) > 2_000
    assert len(batch.ops) > 1_000
    assert (batch.ops["op_flags"] & INFERRED).all()


def test_a_consumer_goes_on_at_finer_exponents_with_its_places(live: Live) -> None:
    """Its orders are those of the feeder, before and after."""
    receiver = live.heard.receiver
    directory = Directory(receiver.instruments, receiver.channels, to_decimal)
    follow, feed = Followed("BTCUSDT@binance_usdm"), live.bench.feed

    def play(count: int) -> None:
        for line in islice(live.lines, count):
            live.bench.take(line)
        for plane, frame in live.bench.publisher.take():
            receiver.datagram(plane, frame, 0, NOW_NS)
        follow.take(Batch(receiver.take(), directory))
        for side in Side:
            for price in live.view.levels(side)[:, 0].tolist():
                ours = follow.orders.queue(side, price)
                assert np.array_equal(ours, live.view.queue(side, price))

    play(500)
    scale = follow.scale
    assert scale is not None
    # The level of the most orders of those that the price does not reach here.
    rows = follow.orders.levels(Side.BID)[50:]
    price = int(rows[rows[:, 2].argmax(), 0])
    with follow.orders.watch_back(Side.BID, price) as place, live.view.watch_back(Side.BID, price) as theirs:
        play(300)
        assert place.ahead == theirs.ahead != Ahead(0, 0)
        before, likely = place.ahead, place.distribution
        assert before is not None
        finer = {
            "price_exp": scale[0] - 1,
            "qty_exp": scale[1] - 2,
            **dict.fromkeys(("tick_size", "lot_size", "min_qty"), 1),
        }
        feed.update_sizes(0, **finer, recv_ns=1)
        play(0)
        assert follow.scale == (scale[0] - 1, scale[1] - 2)
        assert place.ahead == Ahead(100 * before.qty, before.orders)
        assert [each.qty for each in place.distribution] == [100 * each.qty for each in likely]
        numbers = {int(order["order_id"]) for order in follow.orders.queue(Side.BID, 10 * price)}
        play(700)
        later = follow.orders.queue(Side.BID, 10 * price)
        assert place.ahead is not None
        assert place.ahead.qty == later["qty"][: place.ahead.orders].sum()
        assert set(later["order_id"][: place.ahead.orders].tolist()) <= numbers
    # After a loss they begin anew, at whatever exponents.
    first = int(follow.orders.queue(Side.BID, int(follow.orders.levels(Side.BID, 1)[0, 0]))["order_id"][0])
    feed.disconnected([0], 1)
    feed.connected([0], 1)
    feed.update_sizes(0, **(finer | {"qty_exp": scale[1] - 3}), recv_ns=1)
    feed.on_snapshot(0, next(lines_with_book(live)).encode(), 1)
    play(1)
    assert follow.scale == (scale[0] - 1, scale[1] - 3)
    best = follow.orders.queue(Side.BID, int(follow.orders.levels(Side.BID, 1)[0, 0]))
    assert int(best["order_id"][0]) > first


@pytest.mark.parametrize(
    "name", [USDM, "bybit/v5_linear_2026-08-09", "bybit/v2_linear_2021-04-17", "kraken/v1_book_2021-04-17"]
)
def test_a_consumer_infers_the_orders_that_the_feeder_publishes(name: str, capture: CaptureFinder) -> None:
    """From levels, trades and best prices of the wire alone: each order, number, quantity and confidence."""
    told, compared = _core.Receiver(accept_replay=True), 0
    follows: dict[str, Followed] = {}
    publisher = _core.Publisher.memory()
    lines = open_replays(publisher, group_by_venue([capture(name)]), infer_orders=True)
    directory = Directory(told.instruments, told.channels, to_decimal)
    for number, (replay, line) in enumerate(islice(lines, 4_000)):
        replay.take(line)
        for plane, frame in publisher.take():
            told.datagram(plane, frame, 0, NOW_NS)
        if number % 50:
            continue
        batch = Batch(told.take(), directory)
        for each in told.instruments():
            symbol = f"{each['symbol']}@{replay.venue.name}"
            follow = follows.setdefault(symbol, Followed(symbol))
            follow.take(batch)
            theirs = told.orders(f"{each['symbol']}@{each['venue']}")
            for side in Side:
                ours = follow.orders
                assert np.array_equal(ours.levels(side), theirs.levels(side)), symbol
                prices = theirs.levels(side)[:, 0].tolist()
                for price in {*prices[:5], *prices[-5:]}:
                    assert np.array_equal(ours.queue(side, price), theirs.queue(side, price).view(ORDER)), (
                        symbol
                    )
                    compared += 1
    assert compared > 500
    follow = next(iter(follows.values()))
    with follow.orders.watch_back(Side.BID, int(follow.orders.levels(Side.BID, 1)[0, 0])) as place:
        expected = follow.orders.level(Side.BID, int(follow.orders.levels(Side.BID, 1)[0, 0]))
        assert (place.ahead, place.expected, place.interval(0.8).low) == (
            expected,
            expected.qty,
            expected.qty,
        )


def test_orders_are_shown_from_the_front(live: Live) -> None:
    live.play(3_000)
    view = live.view
    shown = book_orders.as_lines(view, 2)
    assert [line.split()[0] for line in shown[1:]] == ["ask", "ask", "bid", "bid"]
    best, first = view.top(1)[0][0], view.queued(Side.BID)
    _, price, qty, orders, *queue = shown[3].split()
    assert (Decimal(price), Decimal(qty), int(orders)) == (best.price, best.qty, best.orders)
    expected = [f"{'' if order.confidence else '~'}{order.qty}" for order in first[:SHOWN]]
    assert (queue[:SHOWN], sum(order.qty for order in first)) == (expected, best.qty)
    objects = book_orders.as_objects(view, 1)
    assert [each["qty"] for each in objects["bids"][0]["orders"]] == [o.qty for o in view.queued(Side.BID)]
