"""Inferred orders of an instrument from the batches of a subscriber: a place in its queue with an interval.

    follow, place = Followed("BTC/USDT:PERP@binance_usdm"), None
    for batch in sub.iter_batches():
        follow.take(batch)
        if place is None and follow.scale is not None:
            place = follow.orders.watch_back(Side.BID, int(follow.orders.levels(Side.BID, 1)[0, 0]))
        if place is not None and place.ahead is not None:  # None: the orders began anew
            place.interval(0.8), place.fill_probability(10, follow.now)

It is the inference that a feeder runs, from what is on the wire anyway: no feeder has to publish orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from outcrier.batch import Batch
from outcrier.inference import WEIGHTS, Best, Inference, Print, Rule, Weights
from outcrier.layout import BBO, BOOK_DELTA, BOOK_SNAPSHOT, TRADE
from outcrier.orders import Side

_EVENT_END: Final = 1
_NO_EXCHANGE_TS: Final = 1 << 2
_SRC_GAP: Final = 1 << 4

_BUY: Final = 1
_SELL: Final = 2

_BESIDE_THE_BOOK: Final = 2 | 16 | 32 | 64
"""Trades that took nothing from the book: blocks, corrections, cancellations, those off the book."""

_NOT_GIVEN: Final = -(2**63)


class Followed:
    """The inferred orders of one instrument, as batches go on. They need the types book and trade; bbo makes
    them better where changes of levels come together.
    """

    def __init__(self, symbol: str, rule: Rule = Rule.LIKELIEST, weights: Weights = WEIGHTS) -> None:
        """`symbol`: such as `BTC/USDT@binance`."""
        self.symbol: Final = symbol
        self.orders: Final = Inference(rule, weights)
        """Empty before the first whole book; mantissas at `scale`."""
        self.scale: tuple[int, int] | None = None
        """Exponents of prices and quantities; None before the first whole book."""
        self.now = 0
        """Time of the last event, ns since the epoch: the exchange's, else when it came."""
        self._keys: dict[tuple[int, int], bool] = {}
        self._levels: list[tuple[Side, int, int]] = []
        """Of an event that is not over."""
        self._session = 0
        self._is_after_gap = False

    def take(self, batch: Batch) -> None:
        """Takes the rows about the instrument. A whole book begins the orders anew, as after a loss; where it
        is the one that is known at finer exponents they go on, as at the feeder, and so do watched places.
        """
        for at in self._rows(batch):
            row = batch.events[at]
            match int(row["kind"]):
                case kind if kind in {BOOK_DELTA, BOOK_SNAPSHOT}:
                    self._book(batch, at, row, is_whole=kind == BOOK_SNAPSHOT)
                case _ if self.scale is None:
                    continue
                case kind if kind == TRADE:
                    self._trades(batch.trades_of(at), row)
                case kind if kind == BBO:
                    self._best(batch.bbos[int(row["start"])], row)

    def _rows(self, batch: Batch) -> Iterator[int]:
        events = batch.events
        pairs = np.stack((events["venue"].astype(np.int64), events["instrument"].astype(np.int64)), axis=1)
        wanted = np.zeros(len(events), bool)
        for venue, instrument in np.unique(pairs, axis=0).tolist():
            mine = (pairs == (venue, instrument)).all(axis=1)
            if (venue, instrument) not in self._keys:
                symbol = batch.symbol_of(int(mine.argmax()))
                if not symbol:
                    continue
                self._keys[venue, instrument] = symbol == self.symbol
            if self._keys[venue, instrument]:
                wanted |= mine
        yield from np.flatnonzero(wanted).tolist()

    def _time(self, row: np.void) -> int:
        ts = row["recv_ts"] if int(row["flags"]) & _NO_EXCHANGE_TS else row["exchange_ts"]
        return int(ts)

    def _book(self, batch: Batch, at: int, row: np.void, *, is_whole: bool) -> None:
        if not is_whole and self.scale is None:
            return
        if is_whole and row["frag_index"] == 0:
            self._levels, self._is_after_gap = [], bool(int(row["flags"]) & _SRC_GAP)
        for side, records in zip(Side, batch.levels_of(at), strict=True):
            self._levels += [(side, price, qty) for price, qty in records.tolist()]
        ends = row["frag_index"] + 1 == row["frag_count"] if is_whole else int(row["flags"]) & _EVENT_END
        if not ends:
            return
        levels, self._levels = self._levels, []
        depth, self.now = int(row["depth_limit"]), self._time(row)
        if not is_whole:
            self.orders.event([], levels, self.now, depth=depth)
            return
        scale, session = (int(row["price_exp"]), int(row["qty_exp"])), int(row["session"])
        goes_on = session == self._session and not self._is_after_gap
        if not (goes_on and self._is_refined(levels, scale)):
            self.orders.begin(levels, self.now, depth)
        self.scale, self._session = scale, session

    def _is_refined(self, levels: list[tuple[Side, int, int]], scale: tuple[int, int]) -> bool:
        """Whether a whole book is the one that is known, at finer exponents, at which the orders are now."""
        if self.scale is None or scale == self.scale:
            return False
        digits = [was - now for was, now in zip(self.scale, scale, strict=True)]
        if min(digits) < 0:
            return False
        by_price, by_qty = (10**count for count in digits)
        known = [
            (side, price * by_price, qty * by_qty)
            for side in Side
            for price, qty, _ in self.orders.levels(side).tolist()
        ]
        return sorted(known) == sorted(levels) and self.orders.refine(by_price, by_qty)

    def _trades(self, trades: NDArray[np.void], row: np.void) -> None:
        told = self._time(row)
        prints = list(self._prints(trades, told))
        if prints:
            self.orders.event(prints, None, told)

    def _prints(self, trades: NDArray[np.void], told: int) -> Iterator[Print]:
        for price, qty, trade_id, ts, aggressor, flags, *_ in trades.tolist():
            side = {_BUY: Side.ASK, _SELL: Side.BID}.get(aggressor)
            if side is None:
                sides = (side for side in (Side.ASK, Side.BID) if self.orders.level(side, price).qty)
                side = next(sides, None)
            if side is not None and not flags & _BESIDE_THE_BOOK:
                yield Print(side, price, qty, trade_id, told if ts == _NOT_GIVEN else ts)

    def _best(self, best: Any, row: np.void) -> None:
        if int(row["flags"]) & _NO_EXCHANGE_TS:
            return
        ts = int(row["exchange_ts"])
        told = [
            Best(side, int(best[f"{name}_px"]), int(best[f"{name}_qty"]), ts)
            for side, name in ((Side.BID, "bid"), (Side.ASK, "ask"))
            if best[f"{name}_px"] != _NOT_GIVEN and best[f"{name}_qty"] > 0
        ]
        self.orders.event([], None, ts, told)
