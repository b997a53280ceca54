"""LOBSTER: NASDAQ's orders inside a window of the best levels, as CSV.

A message file has time (seconds after midnight in New York), type, order id, size, price (USD x 10,000) and
side (1 buy, -1 sell) of the resting order; row k of the book file is the book after message k: price and size
of ask and bid, level by level. Source: lobsterdata.com, "Output structure"; read_me of its sample files.

Orders that stood before the first message, or came back into the window, have no number in the messages until
something happens to them. What the book file has beyond the orders told of a level is one order more, with a
number of ours and the flag INFERRED; where the level came back with another size, so are all its orders, for
which of them are left nobody tells.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from outcrier.errors import CaptureError
from outcrier.order_files.common import BUY, SELL, Known, OrderFile, Recorder
from outcrier.orders import INFERRED, Side

PRICE_EXP: Final = -4
TICK: Final = 100
"""A cent."""

NEW_YORK: Final = ZoneInfo("America/New_York")

_ADD, _REDUCE, _DELETE, _EXECUTE, _EXECUTE_HIDDEN, _CROSS, _HALT = range(1, 8)
_SIDES: Final = {1: Side.BID, -1: Side.ASK}
_AGGRESSORS: Final = {Side.BID: SELL, Side.ASK: BUY}
_NO_LEVEL: Final = 9_999_999_999
"""Price of a level that is not there, of asks; of bids the same below zero."""

Rows = Iterator[Sequence[str]]
Window = dict[int, int]
"""Sizes by price of the levels that the book file shows of a side."""


def read_lobster(
    messages: str | Path,
    book: str | Path | None = None,
    *,
    opening: str | Path | None = None,
    day: date | None = None,
) -> OrderFile:
    """The orders of a message file. `book`: its book file. `opening`: instead, a book file of fewer levels or
    rows, whose first row says what stood before the first message. Without either those orders stay unknown;
    what happens to unknown orders is counted in `faults`. `day`: of the file; None: the one in its name
    (AAPL_2012-06-21_...).

    Each message is an event. Executions of hidden orders are trades and no change. Raises CaptureError for
    files that cannot be read as such, with the line.
    """
    messages = Path(messages)
    midnight = datetime.combine(day or _day_of(messages), datetime.min.time(), NEW_YORK)
    start_ns = int(midnight.timestamp()) * 1_000_000_000
    recorder = _Window(is_whole=book is not None)
    windows = iter(()) if book is None else _windows(Path(book))
    first = next(windows, None) if opening is None else next(_windows(Path(opening)), None)
    for number, row in enumerate(_rows(messages), 1):
        try:
            seconds, kind, order_id, size, price, sign = row
            ts = start_ns + int(Decimal(seconds).scaleb(9))
            message = (int(kind), int(order_id), int(size), int(price), _SIDES[int(sign)])
        except (ValueError, KeyError, ArithmeticError) as error:
            raise CaptureError(f"{messages}: line {number} is no message: {','.join(row)[:100]}") from error
        if number == 1 and first is not None:
            recorder.begin(first, message, ts)
        recorder.take(message, ts)
        if book is not None:
            shown = first if number == 1 else next(windows, None)
            if shown is None:
                raise CaptureError(f"{book}: fewer rows than {messages}")
            recorder.compare(shown, ts)
        recorder.end(ts)
    return recorder.file(PRICE_EXP, 0, TICK)


def _day_of(path: Path) -> date:
    parts = path.name.split("_")
    try:
        return date.fromisoformat(parts[1])
    except (IndexError, ValueError) as error:
        raise CaptureError(f"{path}: no day in the name, as in AAPL_2012-06-21_...; `day` says it") from error


def _rows(path: Path) -> Rows:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as raw, io.TextIOWrapper(raw, encoding="ascii", newline="") as text:
            yield from csv.reader(text)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise CaptureError(f"{path}: {error}") from error


def _windows(path: Path) -> Iterator[dict[Side, Window]]:
    for number, row in enumerate(_rows(path), 1):
        try:
            values = [int(cell) for cell in row]
            asks, bids = (dict(zip(values[at::4], values[at + 1 :: 4], strict=True)) for at in (0, 2))
        except ValueError as error:
            raise CaptureError(f"{path}: line {number} is no book: {','.join(row)[:100]}") from error
        asks.pop(_NO_LEVEL, None)
        bids.pop(-_NO_LEVEL, None)
        yield {Side.ASK: asks, Side.BID: bids}


Message = tuple[int, int, int, int, Side]
"""Type, order id, size, price, side."""


class _Window(Recorder):
    """Orders by level, beside what the book file shows."""

    def __init__(self, *, is_whole: bool) -> None:
        """`is_whole`: all orders of the levels that are shown are known, or stood in for."""
        super().__init__()
        self._is_whole = is_whole
        self._levels: dict[tuple[Side, int], dict[int, None]] = {}
        """Order numbers by level, in the order in which they came."""
        self._unnamed: dict[tuple[Side, int], int] = {}
        """The order that stands for those without a number."""
        self._shown: dict[Side, Window] = {Side.BID: {}, Side.ASK: {}}
        self._beyond: dict[Side, set[int]] = {Side.BID: set(), Side.ASK: set()}
        """Prices of levels that have left the window with orders."""
        self._trade_id = 0

    def begin(self, shown: dict[Side, Window], first: Message, ts: int) -> None:
        """What stood before the first message, from the book after it."""
        kind, _, size, price, side = first
        before = {of: dict(levels) for of, levels in shown.items()}
        if kind == _ADD:
            before[side][price] = before[side].get(price, 0) - size
        elif kind in {_REDUCE, _DELETE, _EXECUTE}:
            before[side][price] = before[side].get(price, 0) + size
        for of, levels in before.items():
            for at, qty in levels.items():
                if qty > 0:
                    self._stand_in((of, at), qty, ts)
        self._shown = before

    def take(self, message: Message, ts: int) -> None:
        """One message."""
        kind, order_id, size, price, side = message
        level = (side, price)
        known = self.orders.get(order_id)
        if known is None and kind in {_REDUCE, _DELETE, _EXECUTE}:
            order_id = self._nameless(level, size, ts)
        if kind in {_EXECUTE, _EXECUTE_HIDDEN}:
            self._trade_id += 1
            self.trade(price, size, self._trade_id, ts, _AGGRESSORS[side])
        if kind == _ADD:
            self.add(order_id, Known(side, price, size), ts)
            self._levels.setdefault(level, {})[order_id] = None
        elif order_id and kind == _EXECUTE:
            self.execute(order_id, size, ts, self._trade_id)
        elif order_id and kind in {_REDUCE, _DELETE}:
            self.reduce(order_id, size, ts)
        elif kind not in {_REDUCE, _DELETE, _EXECUTE, _EXECUTE_HIDDEN, _CROSS, _HALT}:
            self.faults["message not understood"] += 1
        if order_id not in self.orders:
            self._forget(level, order_id)

    def _nameless(self, level: tuple[Side, int], size: int, ts: int) -> int:
        """The order that a message about an unknown one is about; 0 = there is none with so much."""
        order_id = self._unnamed.get(level, 0)
        rest = self.orders.get(order_id)
        if rest is not None and rest.qty >= size:
            return order_id
        told = self._told(level) if self._is_whole else 0
        if told < size:
            self.faults["order not known"] += 1
            return 0
        # The level is as large as ours and of other orders.
        self._empty(level, ts)
        self._stand_in(level, told, ts)
        return self._unnamed[level]

    def compare(self, shown: dict[Side, Window], ts: int) -> None:
        """Levels that came into the window, or did not come back, are as the book file has them."""
        for side, levels in shown.items():
            before = self._shown[side]
            if levels.keys() != before.keys():
                for price in levels.keys() - before.keys():
                    self._enter((side, price), levels[price], ts)
                beyond = self._beyond[side]
                left = before.keys() - levels.keys()
                beyond.update(price for price in left if (side, price) in self._levels)
                beyond.difference_update(levels)
                worst = max(levels, default=0) if side is Side.ASK else min(levels, default=0)
                for price in [p for p in beyond if (p < worst if side is Side.ASK else p > worst)]:
                    self._empty((side, price), ts)
                    beyond.discard(price)
            self._shown[side] = levels

    def _enter(self, level: tuple[Side, int], qty: int, ts: int) -> None:
        told = self._told(level)
        if told == qty:
            return
        if told:
            self._empty(level, ts)
        self._stand_in(level, qty, ts)

    def _told(self, level: tuple[Side, int]) -> int:
        return sum(self.orders[order_id].qty for order_id in self._levels.get(level, ()))

    def _stand_in(self, level: tuple[Side, int], qty: int, ts: int) -> None:
        order_id = self.own_id()
        self.add(order_id, Known(*level, qty), ts, flags=INFERRED)
        self._levels.setdefault(level, {})[order_id] = None
        self._unnamed[level] = order_id

    def _empty(self, level: tuple[Side, int], ts: int) -> None:
        for order_id in self._levels.pop(level, {}):
            self.delete(order_id, ts)
        self._unnamed.pop(level, None)

    def _forget(self, level: tuple[Side, int], order_id: int) -> None:
        """An order is gone from its level."""
        here = self._levels.get(level)
        if here is not None:
            here.pop(order_id, None)
            if not here:
                del self._levels[level]
        if self._unnamed.get(level) == order_id:
            del self._unnamed[level]
