"""The orders of one instrument: an L3 book in price-time priority, and the changes that make it.

    from outcrier.orders import OrderBook, Side

    book = OrderBook(tick=1)
    faults = book.apply(ops, times)        # arrays of ORDER_OP and int64
    book.levels(Side.BID, 5)               # price, quantity, orders
    book.queue(Side.BID, book.best(Side.BID).price)["qty"]
    with book.watch_back(Side.BID, 4799) as place:
        place.ahead                        # what an order that joined now has before it

Prices and quantities are integer mantissas; whoever gives the changes knows the exponents.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from outcrier import _core
from outcrier.layout import DTYPES, ORDER_CONFIDENCE_MAX, ORDER_CONFIDENCE_SHIFT, ORDER_INFERRED

ORDER_OP: Final = DTYPES["ops"]
"""A change of an order, as ORDER_OPS carries it: order_id, price, qty (add, modify: what is left; execute:
what was executed), ref_id (execute: trade id; replace: number of the new order), priority (queue key of the
venue, 0 = none), op (`Op`), side (`Side`), op_flags (bit 0: inferred; bits 8 to 15: confidence x 255),
reserved.
"""

ORDER: Final = DTYPES["orders"]
"""A resting order, as ORDER_SNAPSHOT carries it: order_id, price, qty, priority, order_ts (when it took its
place, ns since the epoch), order_flags (as op_flags), reserved.
"""

TOLD: Final = ORDER_CONFIDENCE_MAX << ORDER_CONFIDENCE_SHIFT
"""`op_flags` of what a venue tells: not inferred, full confidence."""

INFERRED: Final = ORDER_INFERRED
"""Bit of `op_flags`: nobody told of this order, it stands for what must be there."""


class Side(enum.IntEnum):
    """Side of a book, by its number on the wire."""

    BID = 1
    ASK = 2


class Op(enum.IntEnum):
    """What a change does, by its number on the wire."""

    ADD = 1
    """At the back of its level, or where its priority puts it."""
    MODIFY_KEEP = 2
    """Another quantity at the same place."""
    MODIFY_LOSE = 3
    """Another price or quantity, at the back."""
    DELETE = 4
    EXECUTE = 5
    """It traded; what is left keeps its place."""
    REPLACE = 6
    """Gone, and another one stands at the back, under the number `ref_id`."""
    CLEAR = 7
    """All orders are gone."""


class LevelSum(NamedTuple):
    """A level as the sum of its orders."""

    price: int
    qty: int


class Ahead(NamedTuple):
    """What stands before a place in its queue."""

    qty: int
    orders: int


class Resting(NamedTuple):
    """An order of the book."""

    side: Side
    price: int
    qty: int
    ts: int
    """When it took its place, ns since the epoch."""


class Fault(NamedTuple):
    """A change that did not fit the book, which it left as it was."""

    at: int
    """Index of the change, among those applied together."""
    reason: str


class Place:
    """A watched place of a queue, as context manager or until `close`. The book keeps account of what stands
    before it with every change, so looking costs nothing.
    """

    def __init__(self, book: _core.OrderBook | _core.MirroredOrders | _core.Inference, watch: int) -> None:
        self._book = book
        self.watch: Final = watch
        """Its number in the book."""

    @property
    def ahead(self) -> Ahead | None:
        """What stands before it; None: the order whose place it was is gone, or all orders began anew. Raises
        KeyError once closed.
        """
        found = self._book.watched(self.watch)
        return None if found is None else Ahead(*found)

    def close(self) -> None:
        """Ends the watch."""
        self._book.unwatch(self.watch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Queues:
    """The orders of one instrument in their queues; a level is the sum of its orders at any moment."""

    def __init__(self, queues: _core.OrderBook | _core.MirroredOrders | _core.Inference) -> None:
        self._queues = queues

    def __len__(self) -> int:
        """Orders of the book."""
        return len(self._queues)

    def level(self, side: Side, price: int) -> Ahead:
        """Quantity and orders of a level, zeros for none: what an order that joins it has before it."""
        return Ahead(*self._queues.level(side, price))

    def levels(self, side: Side, depth: int = 0) -> NDArray[np.int64]:
        """Shape (levels, 3): price, quantity and orders of the best `depth` levels, best first; 0 = all."""
        return self._queues.levels(side, depth)

    def queue(self, side: Side, price: int) -> NDArray[np.void]:
        """The orders (`ORDER`) of a level, front first."""
        return self._queues.queue(side, price).view(ORDER)

    def ahead_of(self, places: Sequence[Place]) -> NDArray[np.int64]:
        """Shape (places, 2): quantity and orders before each of this book's places, -1 where the order is
        gone. In one call, for who watches many. Raises KeyError if one is closed.
        """
        return self._queues.ahead_of([place.watch for place in places])

    def watch_back(self, side: Side, price: int) -> Place:
        """Watches the place at the back of a level, as of an order that joins now and stays. Raises
        ValueError if too many places are watched.
        """
        return Place(self._queues, self._queues.watch_back(side, price))


class Numbered(Queues):
    """Orders that are found by their number."""

    def __init__(self, orders: _core.OrderBook | _core.MirroredOrders) -> None:
        super().__init__(orders)
        self._orders = orders

    def get(self, order_id: int) -> Resting | None:
        """The order of a number."""
        found = self._orders.get(order_id)
        return None if found is None else Resting(Side(found[0]), *found[1:])

    def best(self, side: Side) -> LevelSum | None:
        """The best level of a side."""
        found = self._orders.best(side)
        return None if found is None else LevelSum(*found)

    def orders(self) -> NDArray[np.void]:
        """All orders (`ORDER`): bids, then asks, best level first, each level from its front."""
        return self._orders.orders().view(ORDER)

    def ahead(self, order_id: int) -> Ahead | None:
        """What stands before an order, by a walk along its queue. Who asks often watches the place."""
        found = self._orders.ahead(order_id)
        return None if found is None else Ahead(*found)

    def watch_order(self, order_id: int) -> Place:
        """Watches the place of an order, wherever it goes. Raises ValueError if there is no such order, or if
        too many places are watched.
        """
        return Place(self._orders, self._orders.watch_order(order_id))


class OrderBook(Numbered):
    """Every order of one instrument; a level is the sum of its orders at any moment.

    Priority is by arrival at a level; of venues that name a queue key (`priority`), by that. Changes cost
    constant time. Holds 1,048,576 orders and 65,536 watched places at most. Not thread-safe.
    """

    def __init__(self, tick: int = 1) -> None:
        """`tick`: least distance of prices, 0 = unknown. Raises ValueError below 0."""
        self._book = _core.OrderBook(tick)
        super().__init__(self._book)

    def apply(self, ops: NDArray[np.void], ts: NDArray[np.int64]) -> list[Fault]:
        """Makes changes (`ORDER_OP`) in their order, each at its time (ns since the epoch). Those that do not
        fit change nothing and are given back. Raises ValueError for other lengths or types.
        """
        if ops.dtype != ORDER_OP:
            raise ValueError(f"changes are of {ops.dtype}, not of ORDER_OP")
        raw = np.ascontiguousarray(ops).view(np.uint8)
        return [Fault(*fault) for fault in self._book.apply(raw, np.ascontiguousarray(ts, dtype=np.int64))]

    def clear(self) -> None:
        """Removes all orders."""
        self._book.clear()

    @property
    def executions(self) -> tuple[int, int]:
        """Executions so far, and how many of them were of the first order of its queue."""
        return self._book.executions()

    @property
    def checksum(self) -> int:
        """CRC32C over all orders, as ORDER_SNAPSHOT carries it."""
        return self._book.checksum()

    @property
    def memory_bytes(self) -> int:
        """Bytes that the book holds."""
        return self._book.memory_bytes()
