"""The rates of the simulated market, estimated from the hour of ES.

    OUTCRIER_DATA=... python -m benchmarks.market_rates

Writes `rust_core/core/src/market/rates.rs`: rates, probabilities and means, nothing of the recording itself.
Distances are ticks from the best price of the other side. An order that is moved into the window counts as
one that arrives, one that is moved out as one that leaves. `docs/sim.md` tells what this leaves out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from outcrier.bench.found import SECOND_NS
from outcrier.bench.sets import SETS
from outcrier.capture.library import data_folder
from outcrier.order_files import OrderFile
from outcrier.order_files.common import BUY, OrderEvent
from outcrier.orders import LevelSum, Op, OrderBook, Resting, Side

SET: Final = "ES"
OPENING_NS: Final = SECOND_NS
"""The auction of the opening uncrosses the book in the first second: left out."""

WINDOW: Final = 40
"""Distances that are told one by one. A fifth of the orders are there, and 93 of 100 that arrive."""

PER_S: Final = 1_000_000_000
"""Rates are counts in so many seconds, so that the slowest are integers of several digits."""

PPM: Final = 1_000_000

SIZES: Final = (*range(1, 15), 16, 20, 30, 50, 100)
"""Largest quantity of each class; larger ones (0.3 %) count with the last."""

CLASSES: Final = 8
"""Of the quantity at the best price: 1, 2 to 3, 4 to 7, and so on; the last one has no end."""

NEAR: Final = 2
"""Orders up to so many ticks away have sizes of their own: those of who wants to trade."""

RUST: Final = Path(__file__).parents[1] / "rust_core" / "core" / "src" / "market" / "rates.rs"


@dataclass
class Counts:
    """What happened, and how long what was there. Pairs: where the spread is one tick, and where it is
    wider.
    """

    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    arrivals: tuple[Counter[int], Counter[int]] = field(default_factory=lambda: (Counter(), Counter()))
    leaves: Counter[int] = field(default_factory=Counter)
    reduces: Counter[int] = field(default_factory=Counter)
    moves: Counter[int] = field(default_factory=Counter)
    shifts: Counter[int] = field(default_factory=Counter)
    """By change of distance, -1 or 1."""
    jumps: Counter[int] = field(default_factory=Counter)
    """By distance, of moves by more than a tick."""
    takers: Counter[int] = field(default_factory=Counter)
    """Orders that trade, by the class of what stood at the best price of the other side."""
    offered_ns: Counter[int] = field(default_factory=Counter)
    """Nanoseconds of both sides together in which the best price was of a class."""
    emptied: int = 0
    """Of those, who took all that stood at the best price."""
    sweeps: int = 0
    """Of those in turn, who went on at the next price."""
    rests: int = 0
    """And who stayed in the book with what was left."""
    near_sizes: Counter[int] = field(default_factory=Counter)
    far_sizes: Counter[int] = field(default_factory=Counter)
    taker_sizes: Counter[int] = field(default_factory=Counter)
    standing: Counter[int] = field(default_factory=Counter)
    """Sum of the orders at a distance over all samples, of both sides."""
    standing_sizes: Counter[int] = field(default_factory=Counter)
    samples: int = 0


class Estimate:
    """Follows a recording of orders and counts."""

    def __init__(self, tick: int) -> None:
        self.counts = Counts()
        self._tick = tick
        self._book = OrderBook(tick)
        self._last: tuple[int, int, list[int]] | None = None
        """Since the event before: its time, whether the spread was wide, classes of the best prices."""

    def run(self, file: OrderFile, begins_ns: int) -> Counts:
        """Counts from a time on; what is before makes the book."""
        next_sample = begins_ns
        for event in file.events():
            if event.time >= begins_ns:
                while next_sample <= event.time:
                    self._sample(is_whole=(next_sample - begins_ns) % (60 * SECOND_NS) == 0)
                    next_sample += SECOND_NS
                self._event(event)
            self._book.apply(event.ops, event.ts)
        return self.counts

    def _distance(self, side: int, price: int) -> int:
        best = self._best
        return (best[Side.ASK] - price if side == Side.BID else price - best[Side.BID]) // self._tick

    @property
    def _best(self) -> dict[int, int]:
        found = {side: self._book.best(side) for side in Side}
        assert all(found.values()), "a side of the book is empty"
        return {side: level.price for side, level in found.items() if level}

    def _event(self, event: OrderEvent) -> None:
        best = {side: self._book.best(side) or _NO_LEVEL for side in Side}
        is_wide = best[Side.ASK].price - best[Side.BID].price > self._tick
        if self._last is not None:
            since, was_wide, classes = self._last
            self.counts.seconds[was_wide] += (event.time - since) / SECOND_NS
            for each in classes:
                self.counts.offered_ns[each] += event.time - since
        self._last = event.time, is_wide, [_class(level.qty) for level in best.values()]
        if len(event.trades):
            taken = best[Side.ASK if event.trades["aggressor"][0] == BUY else Side.BID]
            self._taker(event, taken)
        for op in event.ops:
            self._op(op, is_wide, is_taker=len(event.trades) > 0)

    def _taker(self, event: OrderEvent, taken: LevelSum) -> None:
        counts = self.counts
        traded = int(event.trades["qty"].sum())
        counts.takers[_class(taken.qty)] += 1
        counts.taker_sizes[traded] += 1
        if traded >= taken.qty:
            counts.emptied += 1
            counts.sweeps += len(set(event.trades["price"].tolist())) > 1
            counts.rests += bool((event.ops["op"] == Op.ADD).any())

    def _op(self, op: np.void, is_wide: int, *, is_taker: bool) -> None:
        counts = self.counts
        qty = int(op["qty"])
        if op["op"] == Op.ADD:
            if not is_taker:
                self._arrives(self._distance(op["side"], int(op["price"])), qty, is_wide)
            return
        old = self._book.get(int(op["order_id"]))
        if old is None:
            return  # Added by the same event.
        distance = self._distance(old.side, old.price)
        if op["op"] == Op.DELETE:
            counts.leaves[distance] += 1
        elif op["op"] == Op.MODIFY_KEEP:
            counts.reduces[distance] += 1
        elif op["op"] == Op.MODIFY_LOSE:
            self._moves(old, distance, op, is_wide)

    def _arrives(self, distance: int, qty: int, is_wide: int) -> None:
        self.counts.arrivals[is_wide][distance] += 1
        if 1 <= distance <= WINDOW:
            (self.counts.near_sizes if distance <= NEAR else self.counts.far_sizes)[qty] += 1

    def _moves(self, old: Resting, distance: int, op: np.void, is_wide: int) -> None:
        counts = self.counts
        to = self._distance(old.side, int(op["price"]))
        if not 1 <= distance <= WINDOW:
            self._arrives(to, int(op["qty"]), is_wide)
        elif not 1 <= to <= WINDOW:
            counts.leaves[distance] += 1
        else:
            counts.moves[distance] += 1
            if abs(to - distance) == 1:
                counts.shifts[to - distance] += 1
            else:
                counts.jumps[to] += 1

    def _sample(self, *, is_whole: bool) -> None:
        """The orders that stand now; their sizes once a minute."""
        counts = self.counts
        counts.samples += 1
        for side in Side:
            for price, _, orders in self._book.levels(side, 2 * WINDOW).tolist():
                distance = self._distance(side, price)
                counts.standing[distance] += orders
                if is_whole and distance <= WINDOW:
                    counts.standing_sizes.update(self._book.queue(side, price)["qty"].tolist())


_NO_LEVEL: Final = LevelSum(0, 0)


def _class(qty: int) -> int:
    return min(qty.bit_length(), CLASSES) - 1


def estimate(file: OrderFile) -> Counts:
    """The counts of the set."""
    return Estimate(file.tick).run(file, SETS[SET].begins_ns + OPENING_NS)


# The table.


def source(counts: Counts) -> str:
    """The table as Rust."""
    seconds = sum(counts.seconds)
    events = sum(sum(_window(each)) for each in counts.arrivals)
    events += sum(sum(_window(each)) for each in (counts.leaves, counts.moves, counts.reduces))
    events += counts.takers.total()
    moved = sum(counts.moves.values())
    # A distance stands on both sides, so a rate of one side is half of what was counted.
    arrivals = [
        [round(count * PER_S / (2 * span)) for count in _window(each)]
        for each, span in zip(counts.arrivals, counts.seconds, strict=True)
    ]
    taken = [
        round(counts.takers[each] * PER_S * SECOND_NS / counts.offered_ns[each]) for each in range(CLASSES)
    ]
    standing_s = seconds / counts.samples
    stood_s = [counts.standing[distance] * standing_s for distance in range(1, WINDOW + 1)]
    hazards = [
        [round(count * PER_S / span) for count, span in zip(_window(each), stood_s, strict=True)]
        for each in (counts.leaves, counts.moves, counts.reduces)
    ]
    opening = [round(1_000 * counts.standing[each] / (2 * counts.samples)) for each in range(1, WINDOW + 1)]
    parts = [
        _HEAD,
        _value("WINDOW", "usize", WINDOW, "Distances that are told one by one; distance 1 is the first."),
        _value("NEAR", "usize", NEAR, "Orders up to this distance have sizes of their own."),
        _value(
            "REQUESTS_PER_1000_S",
            "u64",
            round(1_000 * events / seconds),
            "Requests of the set, within the window.",
        ),
        _pair("ARRIVALS", arrivals, "Orders that arrive at a distance of one side."),
        _one(
            "TAKERS",
            f"[u64; {CLASSES}]",
            taken,
            "Orders of one side that trade, by the class of the best price.",
        ),
        _row("LEAVES", "u64", hazards[0], "Cancels of an order at a distance."),
        _row("MOVES", "u64", hazards[1], "Changes of the price of an order at a distance."),
        _row("REDUCES", "u64", hazards[2], "Changes to a smaller quantity of an order at a distance."),
        _value("NEARER_PPM", "u32", _ppm(counts.shifts[-1], moved), "Moves by one tick to the other side."),
        _value("FARTHER_PPM", "u32", _ppm(counts.shifts[1], moved), "Moves by one tick away from it."),
        _row(
            "JUMPS", "u64", _shares(_window(counts.jumps)), "Where all other moves go, in parts of a million."
        ),
        _value(
            "SWEEP_PPM",
            "u32",
            _ppm(counts.sweeps, counts.emptied),
            "Of those who empty the best price: they go on at the next one.",
        ),
        _value(
            "REST_PPM",
            "u32",
            _ppm(counts.rests, counts.emptied),
            "Of those who empty the best price: they stay with the rest.",
        ),
        _row("OPENING", "u64", opening, "Orders that stand at a distance, in thousandths."),
        _sizes("NEAR_SIZES", counts.near_sizes, "Quantities of orders that arrive near."),
        _sizes("FAR_SIZES", counts.far_sizes, "Quantities of orders that arrive farther away."),
        _sizes("TAKER_SIZES", counts.taker_sizes, "Quantities that are traded by one order."),
        _sizes("OPENING_SIZES", counts.standing_sizes, "Quantities of orders that stand."),
    ]
    return "\n".join(parts)


_HEAD: Final = f"""\
//! Rates of the order flow, estimated from one hour of CME ES by `benchmarks/market_rates.py`, which writes
//! this file.
//!
//! A rate is a count in {PER_S:,} seconds. Pairs: where the spread is one tick, and where it is wider.
//! Distances are ticks from the best price of the other side, classes of its quantity are powers of two.
//! Sizes are pairs of the largest quantity of a class and its share of a million.

#![cfg_attr(rustfmt, rustfmt::skip)]

/// Seconds that rates count in.
pub(super) const PER_S: u64 = {PER_S:_};
"""


def _window(counts: Mapping[int, int]) -> list[int]:
    return [counts.get(distance, 0) for distance in range(1, WINDOW + 1)]


def _ppm(part: int, whole: int) -> int:
    return round(PPM * part / whole)


def _constant(name: str, kind: str, value: str, about: str) -> str:
    return f"/// {about}\npub(super) const {name}: {kind} = {value};\n"


def _shares(counts: Sequence[int]) -> list[int]:
    return [_ppm(count, sum(counts)) for count in counts]


def _value(name: str, kind: str, value: int, about: str) -> str:
    return _constant(name, kind, f"{value:_}", about)


def _list(values: Sequence[int]) -> str:
    return f"[{', '.join(f'{value:_}' for value in values)}]"


def _one(name: str, kind: str, values: Sequence[int], about: str) -> str:
    return _constant(name, kind, _list(values), about)


def _row(name: str, kind: str, values: Sequence[int], about: str) -> str:
    return _one(name, f"[{kind}; WINDOW]", values, about)


def _pair(name: str, rows: Sequence[Sequence[int]], about: str) -> str:
    body = "".join(f"    {_list(row)},\n" for row in rows)
    return _constant(name, "[[u64; WINDOW]; 2]", f"[\n{body}]", about)


def _sizes(name: str, counts: Mapping[int, int], about: str) -> str:
    """Shares of the classes; what rounding leaves over goes to the first."""
    shares = [
        _ppm(
            sum(count for qty, count in counts.items() if above < qty and (qty <= most or most == SIZES[-1])),
            sum(counts.values()),
        )
        for above, most in pairwise((0, *SIZES))
    ]
    shares[0] += PPM - sum(shares)
    rows = ", ".join(f"({most}, {share:_})" for most, share in zip(SIZES, shares, strict=True))
    return _constant(name, f"[(u64, u32); {len(SIZES)}]", f"[{rows}]", about)


def main() -> None:
    """Reads the set and writes the table."""
    folder = data_folder()
    assert folder is not None, "OUTCRIER_DATA names no folder"
    RUST.write_text(source(estimate(SETS[SET].read(folder / "l3"))))


if __name__ == "__main__":
    main()
