"""What all files of orders become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outcrier.layout import DTYPES
from outcrier.orders import ORDER_OP, TOLD, Op, Side

BUY: Final = 1
SELL: Final = 2
"""`aggressor` of a trade, by its number on the wire."""

_OFF_BOOK_ID: Final = 1 << 63
"""Numbers from here on are ours: of orders that the file shows without a number."""


class OrderEvent(NamedTuple):
    """One event of the exchange. Between two of them the book is as the exchange had it."""

    time: int
    """ns since the epoch."""
    ops: NDArray[np.void]
    """`outcrier.orders.ORDER_OP`."""
    ts: NDArray[np.int64]
    """Time of each."""
    trades: NDArray[np.void]
    """price, qty, trade_id, trade_ts, aggressor (0 unknown, 1 buy, 2 sell), trade_flags, n_fills, id_span."""


@dataclass(frozen=True, eq=False)
class OrderFile:
    """A file as changes of orders and trades, in the order of the exchange."""

    price_exp: int
    """price = mantissa * 10**price_exp."""
    qty_exp: int
    tick: int
    """Least distance of prices, as a mantissa."""
    ops: NDArray[np.void]
    """`outcrier.orders.ORDER_OP`."""
    ts: NDArray[np.int64]
    """Time of each, ns since the epoch."""
    trades: NDArray[np.void]
    times: NDArray[np.int64]
    """Of each event."""
    op_ends: NDArray[np.int64]
    """Behind the last change of each event."""
    trade_ends: NDArray[np.int64]
    """Behind the last trade of each event."""
    faults: Mapping[str, int]
    """What the file said and no book takes, by reason; left out of `ops`."""

    def events(self) -> Iterator[OrderEvent]:
        """The events, as views on the arrays."""
        op, trade = 0, 0
        ends = zip(self.times.tolist(), self.op_ends.tolist(), self.trade_ends.tolist(), strict=True)
        for time, op_end, trade_end in ends:
            ops, ts = self.ops[op:op_end], self.ts[op:op_end]
            yield OrderEvent(time, ops, ts, self.trades[trade:trade_end])
            op, trade = op_end, trade_end


@dataclass(slots=True)
class Known:
    """An order that the file has told of, and what is left of it."""

    side: Side
    price: int
    qty: int


@dataclass
class Recorder:
    """Collects what a file says, and knows what is left of each order."""

    orders: dict[int, Known] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    ops: list[tuple[int, ...]] = field(default_factory=list)
    ts: list[int] = field(default_factory=list)
    trades: list[tuple[int, ...]] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    op_ends: list[int] = field(default_factory=list)
    trade_ends: list[int] = field(default_factory=list)
    own: int = _OFF_BOOK_ID

    def own_id(self) -> int:
        """A number for an order that has none in the file."""
        self.own += 1
        return self.own

    def add(self, order_id: int, known: Known, ts: int, *, flags: int = TOLD) -> None:
        """A new order."""
        if order_id in self.orders:
            self.faults["order known already"] += 1
        elif known.qty <= 0:
            self.faults["quantity not above 0"] += 1
        else:
            self.orders[order_id] = known
            self._op(Op.ADD, order_id, known, ts, flags=flags)

    def reduce(self, order_id: int, qty: int, ts: int) -> None:
        """So much less of an order, without a trade; it is gone with the rest."""
        known = self._known(order_id, qty)
        if known is not None and known.qty > qty:
            self.resize(order_id, known.qty - qty, ts)
        elif known is not None:
            self.delete(order_id, ts)

    def resize(self, order_id: int, left: int, ts: int) -> None:
        """What is left of an order, at its place."""
        known = self.orders[order_id]
        known.qty = left
        self._op(Op.MODIFY_KEEP, order_id, known, ts)

    def move(self, order_id: int, price: int, qty: int, ts: int) -> None:
        """Another price or quantity, at the back."""
        known = self.orders[order_id]
        known.price, known.qty = price, qty
        self._op(Op.MODIFY_LOSE, order_id, known, ts)

    def delete(self, order_id: int, ts: int) -> None:
        """An order is gone."""
        known = self.orders.pop(order_id, None)
        if known is None:
            self.faults["order not known"] += 1
            return
        self._op(Op.DELETE, order_id, known, ts)

    def execute(self, order_id: int, qty: int, ts: int, trade_id: int = 0) -> None:
        """An order traded."""
        known = self._known(order_id, qty)
        if known is None:
            return
        known.qty -= qty
        if known.qty == 0:
            del self.orders[order_id]
        self._op(Op.EXECUTE, order_id, Known(known.side, known.price, qty), ts, ref_id=trade_id)

    def clear(self, ts: int) -> None:
        """All orders are gone."""
        self.orders.clear()
        self.ops.append((0, 0, 0, 0, 0, Op.CLEAR, 0, TOLD, 0))
        self.ts.append(ts)

    def trade(self, price: int, qty: int, trade_id: int, ts: int, aggressor: int) -> None:
        """A trade as the exchange tells it."""
        self.trades.append((price, qty, trade_id, ts, aggressor, 0, 1, 0))

    def end(self, ts: int) -> None:
        """The event is over."""
        self.times.append(ts)
        self.op_ends.append(len(self.ops))
        self.trade_ends.append(len(self.trades))

    def file(self, price_exp: int, qty_exp: int, tick: int) -> OrderFile:
        """All of it as arrays."""
        return OrderFile(
            price_exp,
            qty_exp,
            tick,
            np.array(self.ops, ORDER_OP),
            np.array(self.ts, np.int64),
            np.array(self.trades, DTYPES["trades"]),
            np.array(self.times, np.int64),
            np.array(self.op_ends, np.int64),
            np.array(self.trade_ends, np.int64),
            dict(self.faults),
        )

    def _known(self, order_id: int, qty: int) -> Known | None:
        """The order, if so much can be taken from it."""
        known = self.orders.get(order_id)
        if known is None:
            self.faults["order not known"] += 1
        elif not 0 < qty <= known.qty:
            self.faults["more than is left"] += 1
            return None
        return known

    def _op(
        self, op: Op, order_id: int, order: Known, ts: int, *, ref_id: int = 0, flags: int = TOLD
    ) -> None:
        self.ops.append((order_id, order.price, order.qty, ref_id, 0, op, order.side, flags, 0))
        self.ts.append(ts)
