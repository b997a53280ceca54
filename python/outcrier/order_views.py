"""The orders of an instrument as a subscriber has them at this moment: told by the venue, or inferred."""

from __future__ import annotations

from typing import Final, NamedTuple

from outcrier import _core
from outcrier.layout import ORDER_CONFIDENCE_MAX, ORDER_CONFIDENCE_SHIFT
from outcrier.orders import INFERRED, Numbered, Place, Side
from outcrier.prices import Convert, Number
from outcrier.views import BookView, State

SHOWN: Final = 12
"""Orders of a level that fit a line of a terminal."""

UNSURE: Final = "~"
"""Stands before an order that nobody is sure of: it stands for all that were there when the book began."""


class QueueLevel(NamedTuple):
    """One price level as its orders."""

    price: Number
    """Price in units of the quote currency."""
    qty: Number
    """Quantity at the price, in the instrument's unit (`Instrument.unit`)."""
    orders: int
    """Orders at the price."""


class QueuedOrder(NamedTuple):
    """One order in its queue."""

    order_id: int
    """The venue's number, or one of ours that nobody else uses where it is inferred."""
    qty: Number
    """What is left of it."""
    ts: int
    """When it took its place, ns since the epoch; 0 unknown."""
    inferred: bool
    """Nobody told of it; it stands for what must be there."""
    confidence: float
    """0 to 1. An inferred order of 0 stands for all that were at its price when the book began."""


def front(queue: list[QueuedOrder]) -> str:
    """The quantities of a queue from its front, as many as a line shows."""
    shown = " ".join(f"{'' if each.confidence else UNSURE}{each.qty}" for each in queue[:SHOWN])
    return shown + (f" … {len(queue) - SHOWN} more" if len(queue) > SHOWN else "")


class OrdersView(Numbered):
    """A window on the orders of one instrument in the core: each call reads them as they are then.

    Arrays and places have integer mantissas at `scale`; `top` and `queued` have prices and quantities. Empty
    while no orders are known: before they are heard, where the publisher does not tell of any, and while the
    book is not whole. Use it in the thread that reads the subscriber.
    """

    def __init__(self, orders: _core.MirroredOrders, book: BookView, convert: Convert) -> None:
        super().__init__(orders)
        self.symbol: Final = book.symbol
        self._mirrored = orders
        self._book = book
        self._convert = convert

    def __repr__(self) -> str:
        return f"<OrdersView {self.symbol} {self.state} {len(self)} orders>"

    @property
    def state(self) -> State:
        """State of the book; act on its orders only while it is LIVE."""
        return self._book.state

    @property
    def scale(self) -> tuple[int, int] | None:
        """Exponents of prices and quantities; None while no orders are known."""
        return self._mirrored.scale()

    @property
    def kind(self) -> str:
        """How many orders there are and who tells of them."""
        if self.scale is None:
            return "no orders: the publisher tells of none, or its book is not whole"
        queued = self.queued(Side.BID) or self.queued(Side.ASK)
        is_inferred = bool(queued) and queued[0].inferred
        return f"{len(self):,} orders, {'inferred' if is_inferred else 'told by the venue'}"

    def top(self, depth: int = 1) -> tuple[list[QueueLevel], list[QueueLevel]]:
        """(bids, asks), at most `depth` levels each, best first; 0 = all levels."""
        scale = self.scale
        if scale is None:
            return [], []
        bids, asks = (
            [
                QueueLevel(self._convert(price, scale[0]), self._convert(qty, scale[1]), orders)
                for price, qty, orders in self.levels(side, depth).tolist()
            ]
            for side in (Side.BID, Side.ASK)
        )
        return bids, asks

    def queued(self, side: Side, level: int = 0) -> list[QueuedOrder]:
        """The orders of the level so many behind the best one, front first."""
        scale, levels = self.scale, self.levels(side, level + 1)
        if scale is None or len(levels) <= level:
            return []
        return [
            QueuedOrder(
                order_id,
                self._convert(qty, scale[1]),
                ts,
                bool(flags & INFERRED),
                (flags >> ORDER_CONFIDENCE_SHIFT) / ORDER_CONFIDENCE_MAX,
            )
            for order_id, qty, ts, flags in self.queue(side, int(levels[level, 0]))[
                ["order_id", "qty", "order_ts", "order_flags"]
            ].tolist()
        ]

    def watch_back(self, side: Side, price: int) -> Place:
        """Watches the place at the back of a level (price mantissa), as of an order that joins now and stays.
        Its `ahead` is None from the moment at which the orders begin anew (after a loss, or a new whole book)
        or, where they are inferred, their level leaves those that the venue tells.

        Raises ValueError if too many places are watched, or no orders are known.
        """
        return super().watch_back(side, price)
