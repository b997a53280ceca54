"""Which order was cancelled, as each rule has it, beside the one that was.

Looked at is every event in which one order of a level was cancelled or reduced, and nothing else happened
there. The order's place is the quantity that stood before it. A rule is right if the order that it picks
first begins at the same place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outcrier.bench.levels import Batch
from outcrier.inference import Inference
from outcrier.layout import ORDER_CONFIDENCE_MAX, ORDER_CONFIDENCE_SHIFT
from outcrier.orders import Op, OrderBook, Side

_GONE: Final = (Op.DELETE, Op.MODIFY_KEEP)


@dataclass
class Cancels:
    """What was looked at, a row an event."""

    place: list[int] = field(default_factory=list)
    """Of the order that was cancelled."""
    queue: list[int] = field(default_factory=list)
    """Quantity of its level before."""
    picked: list[tuple[int, ...]] = field(default_factory=list)
    """Place of the order that each rule picked."""
    confidence: list[tuple[float, ...]] = field(default_factory=list)
    """That the rule has in it."""
    orders: list[int] = field(default_factory=list)
    """Of the level before."""
    inferred: list[tuple[int, ...]] = field(default_factory=list)
    """Orders of the level before, as each rule has them."""


@dataclass(frozen=True)
class Cancel:
    """One order that was cancelled, and what stood at its level before."""

    side: Side
    price: int
    place: int
    queue: int
    orders: int
    believed: list[NDArray[np.void]]
    """The queue as each rule had it."""


def before(batch: Batch, book: OrderBook, inferred: list[Inference]) -> Cancel | None:
    """The cancelled order of a message that is about to be taken; None: it is not about one alone."""
    if len(batch.events) != 1 or batch.trades or len(batch.touched) != 1:
        return None
    ops = batch.events[0].ops
    if len(ops) != 1 or ops["op"][0] not in _GONE:
        return None
    order = book.get(int(ops["order_id"][0]))
    ahead = book.ahead(int(ops["order_id"][0]))
    if order is None or ahead is None or (ops["op"][0] == Op.MODIFY_KEEP and ops["qty"][0] >= order.qty):
        return None
    qty, orders = book.level(order.side, order.price)
    believed = [each.queue(order.side, order.price) for each in inferred]
    return Cancel(order.side, order.price, ahead.qty, qty, orders, believed)


def note(cancel: Cancel, told: list[NDArray[np.void]], found: Cancels) -> None:
    """Adds an event; `told`: the changes that each rule made of it."""
    picked, confidence = [], []
    for queue, every in zip(cancel.believed, told, strict=True):
        ops = every[(every["side"] == cancel.side) & (every["price"] == cancel.price)]
        if not len(ops) or ops["op"][0] not in _GONE:
            return  # The level was not told.
        at = int(np.flatnonzero(queue["order_id"] == ops["order_id"][0])[0])
        picked.append(int(queue["qty"][:at].sum()))
        confidence.append(int(ops["op_flags"][0] >> ORDER_CONFIDENCE_SHIFT) / ORDER_CONFIDENCE_MAX)
    found.place.append(cancel.place)
    found.queue.append(cancel.queue)
    found.orders.append(cancel.orders)
    found.inferred.append(tuple(map(len, cancel.believed)))
    found.picked.append(tuple(picked))
    found.confidence.append(tuple(confidence))
