"""Test orders that join the best level, and what each rule believes stands before them, beside what does.

Every second one order a side joins the back of its best level and rests for a minute. It is as small as can
be and moves nobody. It has been filled when an order behind it was, or when there was a trade at a worse
price. A rule has as much of it filled as traded at its level beyond what the rule had before it, and all
after a trade at a worse price. The rules are compared at the end of every message that changes the level,
while the order is not filled. (As `mbo-queue` 0.7 does, with `truth_record_price`.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from outcrier.bench import cancels
from outcrier.bench.levels import Batch, Window
from outcrier.bench.models import MODELS, Floats, moved
from outcrier.inference import Inference, Rule
from outcrier.orders import Op, OrderBook, Place, Side

SECOND_NS: Final = 1_000_000_000
HORIZON_NS: Final = 60 * SECOND_NS
"""How long a test order rests."""

TRUTH: Final = "true place"
NEWEST: Final = f"inferred, {Rule.NEWEST}"
RULES: Final[tuple[str, ...]] = (TRUTH, *MODELS, *(f"inferred, {rule}" for rule in Rule))
"""Names of everything that is compared."""

_FORMULAS: Final = slice(1, 1 + len(MODELS))
_FIRST_INFERRED: Final = 1 + len(MODELS)

Level = tuple[Side, int]


@dataclass
class Order:
    """A test order."""

    number: int
    end: int
    truth: Place
    inferred: list[Place]


@dataclass
class Waiting:
    """The test orders at one level."""

    qty: float
    """Of the level."""
    orders: list[Order] = field(default_factory=list)
    ahead: Floats = field(default_factory=lambda: np.zeros((len(RULES), 0)))
    """What each rule has before each order."""

    def add(self, order: Order, qty: float) -> None:
        self.orders.append(order)
        self.qty = qty
        self.ahead = np.column_stack([self.ahead, np.full(len(RULES), qty)])

    def keep(self, wanted: NDArray[np.bool_]) -> None:
        self.orders = [order for order, keeps in zip(self.orders, wanted, strict=True) if keeps]
        self.ahead = self.ahead[:, wanted]


AGES_S: Final = (1, 10, HORIZON_NS // SECOND_NS)
"""Ends of the parts by the age of a test order, in seconds."""
THIRDS: Final = 3
"""Parts by its true place: as much of the level before it."""


@dataclass
class Parts:
    """Sums by a part that a look belongs to: looks, and absolute differences by rule."""

    looks: Floats
    off: Floats

    @classmethod
    def of(cls, count: int) -> Parts:
        """So many parts."""
        return cls(np.zeros(count), np.zeros((count, len(RULES))))

    def add(self, part: NDArray[np.int64], off: Floats) -> None:
        """Looks of test orders (columns of `off`), each of a part."""
        np.add.at(self.looks, part, 1)
        np.add.at(self.off, part, off.T)


@dataclass
class Scores:
    """What came out, by test order (columns) and rule (rows of `RULES`)."""

    placed: NDArray[np.int64]
    """When each joined, ns since the epoch."""
    qty: Floats
    """What stood before it then."""
    looks: Floats
    """How often it was compared."""
    off: Floats
    """Sum of the absolute differences to the true quantity before it."""
    bias: Floats
    """The same with their signs."""
    share: Floats
    """Sum of the absolute differences as parts of the level."""
    filled: Floats
    """Part of each that is filled by each rule; by the first, the true place under the same rule of fills."""
    filled_at: NDArray[np.int64]
    """When it was filled whole; 0: it was not."""
    was_filled: NDArray[np.bool_]
    """In truth."""
    was_filled_at: NDArray[np.int64]
    by_age: Parts
    by_place: Parts


class Bench:
    """Takes messages of levels, and keeps test orders in the true book and with every rule."""

    def __init__(self, tick: int, starts: Sequence[int], depth: int = 0) -> None:
        """`starts`: when test orders join, at the end of the first message then or later. `depth`: levels a
        side that the rules are told of; 0 = all.
        """
        self.book = OrderBook(tick)
        self.inferred = [Inference(tick, rule) for rule in Rule]
        self.cancels = cancels.Cancels()
        """From the first test order on."""
        self._window = Window(depth)
        self._starts = list(starts)
        self._next = 0
        self._levels: dict[Level, Waiting] = {}
        most = 2 * len(self._starts)
        self._scores = Scores(
            placed=np.zeros(most, np.int64),
            qty=np.zeros(most),
            looks=np.zeros(most),
            off=np.zeros((len(RULES), most)),
            bias=np.zeros((len(RULES), most)),
            share=np.zeros((len(RULES), most)),
            filled=np.zeros((len(RULES), most)),
            filled_at=np.zeros((len(RULES), most), np.int64),
            was_filled=np.zeros(most, bool),
            was_filled_at=np.zeros(most, np.int64),
            by_age=Parts.of(len(AGES_S)),
            by_place=Parts.of(THIRDS),
        )
        self._placed = 0

    def run(self, messages: Iterable[Batch]) -> Scores:
        """All messages, and the scores of the test orders that joined."""
        for batch in messages:
            self.take(batch)
        placed: dict[str, Any] = {
            name: values[..., : self._placed]
            for name, values in vars(self._scores).items()
            if not isinstance(values, Parts)
        }
        return replace(self._scores, **placed)

    def take(self, batch: Batch) -> None:
        """One message."""
        cancel = cancels.before(batch, self.book, self.inferred) if self._placed else None
        for event in batch.events:
            if self._levels and (event.ops["op"] == Op.EXECUTE).any():
                for at in range(len(event.ops)):
                    self._apply_one(event.ops[at : at + 1], event.ts[at : at + 1])
            elif len(event.ops):
                self.book.apply(event.ops, event.ts)
        levels = self._window.changes(self.book, batch.touched)
        told = [inferred.event(batch.trades, levels, batch.time) for inferred in self.inferred]
        if cancel is not None:
            cancels.note(cancel, told, self.cancels)
        self._compare(batch, {(side, price): qty for side, price, qty in levels})
        while self._next < len(self._starts) and self._starts[self._next] <= batch.time:
            self._join(batch.time)
            self._next += 1

    def _apply_one(self, op: NDArray[np.void], ts: NDArray[np.int64]) -> None:
        """Fills the test orders that an execution shows to be filled."""
        if op["op"][0] != Op.EXECUTE:
            self.book.apply(op, ts)
            return
        side, price = Side(int(op["side"][0])), int(op["price"][0])
        here = self._levels.get((side, price))
        before = [] if here is None else [order.truth.ahead for order in here.orders]
        self.book.apply(op, ts)
        if here is not None:
            for order, ahead in zip(here.orders, before, strict=True):
                if order.truth.ahead == ahead:
                    self._fill(order, int(ts[0]))
        for (of, at), waiting in self._levels.items():
            if of is side and (price < at if side is Side.BID else price > at):
                for order in waiting.orders:
                    self._fill(order, int(ts[0]))

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
            if here or through or level in told:
                after = told.get(level, waiting.qty)
                self._move(waiting, here, after, through=through, time=batch.time)
            if level in told:
                self._look(waiting, batch.time)
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
        for at, order in enumerate(waiting.orders):
            waiting.ahead[0, at] = _qty(order.truth)
            for rule, place in enumerate(order.inferred, _FIRST_INFERRED):
                waiting.ahead[rule, at] = _qty(place)
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
        scores.by_age.add(np.searchsorted(AGES_S[:-1], age_s, side="right"), np.abs(off))
        scores.by_place.add(np.minimum(THIRDS * ahead[0] // level, THIRDS - 1).astype(int), np.abs(off))

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
        for side in (Side.BID, Side.ASK):
            best = self.book.best(side)
            if best is None:
                continue
            level = (side, best.price)
            order = Order(
                self._placed,
                time + HORIZON_NS,
                self.book.watch_back(*level),
                [inferred.watch_back(*level) for inferred in self.inferred],
            )
            self._levels.setdefault(level, Waiting(best.qty)).add(order, float(best.qty))
            self._scores.placed[self._placed] = time
            self._scores.qty[self._placed] = best.qty
            self._placed += 1


def _qty(place: Place) -> int:
    """What stands before a place that no order has."""
    ahead = place.ahead
    return 0 if ahead is None else ahead.qty
