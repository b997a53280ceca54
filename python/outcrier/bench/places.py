"""Test orders that join a level, and what each rule believes stands before them, beside what does.

Every second one order a side joins the back of its best level, and one each of four levels further away
(`found.AWAY`), and rests for a minute. It is as small as can be and moves nobody. It has been filled when an
order behind it was, or when there was a trade at a worse price. A rule has as much of it filled as traded at
its level beyond what the rule had before it, and all after a trade at a worse price. The rules are compared
at the end of every message that changes the level, while the order is not filled. (As `mbo-queue` 0.7 does,
with `truth_record_price`, at the best level.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outcrier.bench import cancels
from outcrier.bench.found import (
    AGES_S,
    AWAY,
    EXPECTED,
    HORIZON_NS,
    MEDIAN,
    RULES,
    SECOND_NS,
    TENTHS,
    THIRDS,
    WITHIN,
    Scores,
)
from outcrier.bench.levels import Batch, Window
from outcrier.bench.models import MODELS, Floats, moved
from outcrier.inference import WEIGHTS, Best, Inference, InferredPlace, Rule, Weights
from outcrier.orders import LevelSum, Op, OrderBook, Place, Side

_FORMULAS: Final = slice(1, 1 + len(MODELS))
_FIRST_INFERRED: Final = 1 + len(MODELS)
_EXPECTED: Final = RULES.index(EXPECTED)
_MEDIAN: Final = RULES.index(MEDIAN)
_LIKELIEST: Final = list(Rule).index(Rule.LIKELIEST)

ASKED_AT_S: Final = (0, 30)
"""Ages at which a test order asks how probable its fill is."""
ASKED_S: Final = (1, 10, 60)
"""Within so many seconds, those in which it rests."""

Level = tuple[Side, int]


@dataclass
class Order:
    """A test order."""

    number: int
    end: int
    truth: Place
    inferred: list[InferredPlace]

    @property
    def likely(self) -> InferredPlace:
        """The place that has a distribution."""
        return self.inferred[_LIKELIEST]


@dataclass
class Waiting:
    """The test orders at one level."""

    qty: float
    """Of the level."""
    orders: list[Order] = field(default_factory=list)
    ahead: Floats = field(default_factory=lambda: np.zeros((len(RULES), 0)))
    """What each rule has before each order."""
    outlook: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """What the distributions say, by order; as of the last message."""

    def add(self, order: Order, qty: float) -> None:
        self.orders.append(order)
        self.qty = qty
        self.ahead = np.column_stack([self.ahead, np.full(len(RULES), qty)])

    def keep(self, wanted: NDArray[np.bool_]) -> None:
        self.orders = [order for order, keeps in zip(self.orders, wanted, strict=True) if keeps]
        self.ahead = self.ahead[:, wanted]


class Bench:
    """Takes messages of levels, and keeps test orders in the true book and with every rule."""

    def __init__(
        self,
        tick: int,
        starts: Sequence[int],
        depth: int = 0,
        *,
        bests: bool = False,
        asks: bool = True,
        weights: Weights = WEIGHTS,
    ) -> None:
        """`starts`: when test orders join, at the end of the first message then or later. `depth`: levels a
        side that the rules are told of; 0 = all. `bests`: rules of inferred orders are told of every change
        of the best prices, too. `asks`: test orders ask how probable their fill is.
        `weights`: of the likeliest order.
        """
        self.book = OrderBook(tick)
        self.inferred = [Inference(rule, weights) for rule in Rule]
        self._likeliest = self.inferred[_LIKELIEST]
        self.cancels = cancels.Cancels()
        """From the first test order on."""
        self._window = Window(depth)
        self._bests = bests
        self._best: dict[Side, LevelSum] = {}
        self._starts = list(starts)
        self._next = 0
        self._levels: dict[Level, Waiting] = {}
        self._scores = Scores.of(len(Side) * len(AWAY) * len(self._starts))
        self._placed = 0
        self._asks = asks
        self._to_ask: deque[tuple[int, Order]] = deque()

    def run(self, messages: Iterable[Batch]) -> Scores:
        """All messages, and the scores of the test orders that joined."""
        for batch in messages:
            self.take(batch)
        return self._scores.select(np.arange(len(self._scores.placed)) < self._placed)

    def take(self, batch: Batch) -> None:
        """One message."""
        cancel = cancels.before(batch, self.book, self.inferred) if self._placed else None
        bests: list[Best] = []
        for event in batch.events:
            if self._levels and (event.ops["op"] == Op.EXECUTE).any():
                for at in range(len(event.ops)):
                    self._apply_one(event.ops[at : at + 1], event.ts[at : at + 1])
            elif len(event.ops):
                self.book.apply(event.ops, event.ts)
            if self._bests and len(event.ops):
                bests += self._changed_bests(event.time)
        levels = self._window.changes(self.book, batch.touched)
        told = [
            inferred.event(batch.trades, levels, batch.time, bests, self._window.depth)
            for inferred in self.inferred
        ]
        if cancel is not None:
            cancels.note(cancel, told, self.cancels)
        self._compare(batch, self._window.known(levels))
        while self._to_ask and self._to_ask[0][0] <= batch.time:
            self._ask(self._to_ask.popleft()[1], batch.time)
        while self._next < len(self._starts) and self._starts[self._next] <= batch.time:
            self._join(batch.time)
            self._count()
            self._next += 1

    def _changed_bests(self, time: int) -> Iterator[Best]:
        for side in Side:
            best = self.book.best(side)
            if best is not None and self._best.get(side) != best:
                self._best[side] = best
                yield Best(side, best.price, best.qty, time)

    def _apply_one(self, op: NDArray[np.void], ts: NDArray[np.int64]) -> None:
        """Fills the test orders that an execution shows to be filled."""
        if op["op"][0] != Op.EXECUTE:
            self.book.apply(op, ts)
            return
        side, price = Side(int(op["side"][0])), int(op["price"][0])
        here = self._levels.get((side, price))
        before = [] if here is None else self._before(here)
        self.book.apply(op, ts)
        if here is not None:
            for order, ahead, now in zip(here.orders, before, self._before(here), strict=True):
                if now == ahead:
                    self._fill(order, int(ts[0]))
        for (of, at), waiting in self._levels.items():
            if of is side and (price < at if side is Side.BID else price > at):
                for order in waiting.orders:
                    self._fill(order, int(ts[0]))

    def _before(self, waiting: Waiting) -> list[int]:
        """What truly stands before the test orders of a level."""
        found: list[int] = self.book.ahead_of([order.truth for order in waiting.orders])[:, 0].tolist()
        return found

    def _fill(self, order: Order, ts: int) -> None:
        if not self._scores.was_filled[order.number]:
            self._scores.was_filled[order.number] = True
            self._scores.was_filled_at[order.number] = ts

    def _compare(self, batch: Batch, told: Mapping[Level, int]) -> None:
        traded: dict[Level, int] = {}
        for trade in batch.trades:
            level = (trade.side, trade.price)
            traded[level] = traded.get(level, 0) + trade.qty
        worst = {
            side: (min if side is Side.BID else max)(price for of, price in traded if of is side)
            for side in {of for of, _ in traded}
        }
        for level, waiting in list(self._levels.items()):
            side, price = level
            here = traded.get(level, 0)
            far = worst.get(side)
            through = far is not None and (far < price if side is Side.BID else far > price)
            moves = here or through or level in told
            if moves:
                after = told.get(level, waiting.qty)
                self._move(waiting, here, after, through=through, time=batch.time)
            if level in told:
                self._look(waiting, batch.time)
            if moves or waiting.orders[0].end <= batch.time:
                self._retire(level, waiting, batch.time)

    def _move(self, waiting: Waiting, traded: int, after: float, *, through: bool, time: int) -> None:
        scores = self._scores
        numbers = np.array([order.number for order in waiting.orders])
        before = scores.filled[:, numbers]
        now = np.minimum(before + np.maximum(traded - waiting.ahead, 0.0), 1.0)
        if through:
            now[:] = 1.0
        scores.filled[:, numbers] = now
        for rule, at in np.argwhere((before < 1.0) & (now >= 1.0)):
            scores.filled_at[rule, numbers[at]] = time
        for rule, share in enumerate(MODELS.values(), _FORMULAS.start):
            waiting.ahead[rule] = moved(share, waiting.ahead[rule], traded, waiting.qty, after)
        waiting.ahead[0] = self.book.ahead_of([order.truth for order in waiting.orders])[:, 0]
        for rule, inferred in enumerate(self.inferred):
            places = [order.inferred[rule] for order in waiting.orders]
            waiting.ahead[_FIRST_INFERRED + rule] = inferred.ahead_of(places)[:, 0]
        waiting.outlook = self._likeliest.outlook([order.likely for order in waiting.orders], WITHIN)
        waiting.ahead[[_EXPECTED, _MEDIAN]] = waiting.outlook[:, :2].T
        waiting.qty = after

    def _look(self, waiting: Waiting, time: int) -> None:
        """Compares what each rule has before the orders of a level that are not filled."""
        scores = self._scores
        numbers = np.array([order.number for order in waiting.orders])
        is_open = ~scores.was_filled[numbers]
        numbers, ahead = numbers[is_open], waiting.ahead[:, is_open]
        off = ahead - ahead[0]
        level = max(waiting.qty, 1.0)
        scores.looks[numbers] += 1
        scores.off[:, numbers] += np.abs(off)
        scores.bias[:, numbers] += off
        scores.share[:, numbers] += np.abs(off) / level
        age_s = (time - scores.placed[numbers]) // SECOND_NS
        of_age = np.searchsorted(AGES_S[:-1], age_s, side="right")
        of_place = np.minimum(THIRDS * ahead[0] // level, THIRDS - 1).astype(int)
        is_best = scores.away[numbers] == 0
        scores.by_age.add(of_age[is_best], np.abs(off[:, is_best]))
        scores.by_place.add(of_place[is_best], np.abs(off[:, is_best]))

        found = waiting.outlook[is_open, 2:].reshape(-1, len(WITHIN), 3)
        low, high, said = found.transpose(2, 1, 0)
        held = (low <= ahead[0]) & (ahead[0] <= high)
        intervals = scores.intervals
        intervals.said[:, numbers] += said
        intervals.held[:, numbers] += held
        intervals.width[:, numbers] += high - low
        every = np.vstack([said, held, high - low])
        intervals.by_age.add(of_age[is_best], every[:, is_best])
        intervals.by_place.add(of_place[is_best], every[:, is_best])
        intervals.by_away.add(scores.away[numbers], every)

    def _retire(self, level: Level, waiting: Waiting, time: int) -> None:
        scores = self._scores
        wanted = np.array(
            [
                time < order.end
                and not (scores.was_filled[order.number] and (scores.filled[:, order.number] >= 1.0).all())
                for order in waiting.orders
            ]
        )
        if wanted.all():
            return
        for order, keeps in zip(waiting.orders, wanted, strict=True):
            if not keeps:
                order.truth.close()
                for place in order.inferred:
                    place.close()
        waiting.keep(wanted)
        if not waiting.orders:
            del self._levels[level]

    def _join(self, time: int) -> None:
        for side in Side:
            for part, levels in enumerate(AWAY.values()):
                away = levels[self._next % len(levels)]
                rows = self.book.levels(side, away + 1)
                if len(rows) == away + 1:
                    price, qty, _ = rows[away].tolist()
                    self._join_level((side, price), qty, part, time)

    def _join_level(self, level: Level, qty: int, part: int, time: int) -> None:
        order = Order(
            self._placed,
            time + HORIZON_NS,
            self.book.watch_back(*level),
            [inferred.watch_back(*level) for inferred in self.inferred],
        )
        self._levels.setdefault(level, Waiting(qty)).add(order, float(qty))
        self._scores.placed[self._placed] = time
        self._scores.away[self._placed] = part
        self._scores.qty[self._placed] = qty
        self._placed += 1
        if self._asks:
            self._ask(order, time)
            self._to_ask.append((time + ASKED_AT_S[1] * SECOND_NS, order))

    def _ask(self, order: Order, time: int) -> None:
        """How probable a test order's fill is, if it still rests."""
        scores, asks = self._scores, self._scores.asks
        if scores.was_filled[order.number] or time >= order.end:
            return
        for seconds in ASKED_S:
            if time + seconds * SECOND_NS <= order.end:
                said = order.likely.fill_probability(seconds, time)
                if said is None:
                    asks.unknown += 1
                    continue
                asks.order.append(order.number)
                asks.time.append(time)
                asks.seconds.append(seconds)
                asks.probability.append(said)

    def _count(self) -> None:
        """The number of orders of the best levels."""
        most = max(max(levels) for levels in AWAY.values()) + 1
        parts = np.repeat(np.arange(len(AWAY)), [len(levels) for levels in AWAY.values()])
        tenth = TENTHS * self._next // len(self._starts)
        for side in Side:
            rows = self.book.levels(side, most)
            true = rows[:, 2].astype(float)
            values = np.zeros((1 + len(Rule), len(true)))
            values[0] = true
            for rule, inferred in enumerate(self.inferred, 1):
                counts = [inferred.level(side, price).orders for price in rows[:, 0].tolist()]
                values[rule] = np.abs(np.array(counts, float) - true)
            self._scores.counts.by_away.add(parts[: len(true)], values)
            self._scores.counts.by_time.add(np.full(len(true), tenth), values)
