"""What arrived since the last look, as NumPy structured arrays that took the core's memory over, or as typed
events.

`events` has one row per frame, change of state or loss, in order. A row of a book, trade, ticker ... points
to its records: `start` and `count` in the array of its kind. Prices are integer mantissas: price = mantissa *
10**price_exp of the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from outcrier import events as ev
from outcrier.directory import Directory
from outcrier.layout import (
    BOOK_DELTA,
    BOOK_SNAPSHOT,
    DTYPES,
    LIQUIDATION,
    ORDER_OPS,
    ORDER_SNAPSHOT,
    TRADE,
)
from outcrier.typed import typed_events

__all__ = ["Batch", "Directory"]


class Batch:
    """Structured arrays, all views on memory that the batch owns; iterate it for typed events.

    `for event in batch` costs microseconds an event, the arrays nothing.
    """

    def __init__(self, rows: dict[str, NDArray[np.uint8]], directory: Directory) -> None:
        """`rows` as `Receiver.take` gives them."""
        self._directory = directory
        self._rows = rows
        self.events: NDArray[np.void] = rows["events"].view(DTYPES["events"])
        """One row per frame, change of state or loss, in order: `EventRow`."""
        # Without definitions among the types nothing tells of one: a missing name is asked for once a batch.
        if len(rows["defs"]) or directory.missed:
            directory.changed()

    def _view(self, name: str) -> NDArray[np.void]:
        return self._rows[name].view(DTYPES[name])

    @cached_property
    def levels(self) -> NDArray[np.void]:
        """Of books: price, qty; the first `n_bids` of an event are bids."""
        return self._view("levels")

    @cached_property
    def trades(self) -> NDArray[np.void]:
        """Of trades and liquidations."""
        return self._view("trades")

    @cached_property
    def ops(self) -> NDArray[np.void]:
        """Changes of single orders."""
        return self._view("ops")

    @cached_property
    def orders(self) -> NDArray[np.void]:
        """Orders of whole books; the first `n_bids` of an event are bids."""
        return self._view("orders")

    @cached_property
    def bbos(self) -> NDArray[np.void]:
        """Best quotes of the venue."""
        return self._view("bbos")

    @cached_property
    def tickers(self) -> NDArray[np.void]:
        """The last 24 hours."""
        return self._view("tickers")

    @cached_property
    def candles(self) -> NDArray[np.void]:
        """Intervals."""
        return self._view("candles")

    @cached_property
    def derivs(self) -> NDArray[np.void]:
        """Mark price, funding, open interest."""
        return self._view("derivs")

    @cached_property
    def defs(self) -> NDArray[np.void]:
        """Definitions of instruments."""
        return self._view("defs")

    @cached_property
    def statuses(self) -> NDArray[np.void]:
        """The publisher's word on a channel, venue, instrument or connection."""
        return self._view("statuses")

    @cached_property
    def conns(self) -> NDArray[np.void]:
        """Connections of the feeder."""
        return self._view("conns")

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        filled = {name: len(getattr(self, name)) for name in DTYPES if len(getattr(self, name))}
        return f"<Batch {' '.join(f'{name}={n}' for name, n in filled.items())}>"

    def symbol_of(self, index: int) -> str:
        """`SYMBOL@venue` of event `index`; empty if it is not about one instrument."""
        row = self.events[index]
        return self._directory.symbol(int(row["venue"]), int(row["instrument"]))

    def levels_of(self, index: int) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """(bids, asks) of event `index`, views on `levels`; empty if it is not about a book."""
        return self._sides(index, (BOOK_DELTA, BOOK_SNAPSHOT), self.levels)

    def trades_of(self, index: int) -> NDArray[np.void]:
        """Trades of event `index`, a view on `trades`; empty if it is neither trade nor liquidation."""
        return self._records(index, (TRADE, LIQUIDATION), self.trades)

    def ops_of(self, index: int) -> NDArray[np.void]:
        """Changes of orders of event `index`, in order, a view on `ops`; empty if it has none."""
        return self._records(index, (ORDER_OPS,), self.ops)

    def orders_of(self, index: int) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """(bids, asks) of event `index`, views on `orders`, the front of each level first; empty if it is not
        about all orders of a book.
        """
        return self._sides(index, (ORDER_SNAPSHOT,), self.orders)

    def _records(self, index: int, kinds: tuple[int, ...], table: NDArray[np.void]) -> NDArray[np.void]:
        row = self.events[index]
        if row["kind"] not in kinds:
            return table[:0]
        start = int(row["start"])
        return table[start : start + int(row["count"])]

    def _sides(
        self, index: int, kinds: tuple[int, ...], table: NDArray[np.void]
    ) -> tuple[NDArray[np.void], NDArray[np.void]]:
        records = self._records(index, kinds, table)
        n_bids = int(self.events[index]["n_bids"])
        return records[:n_bids], records[n_bids:]

    def __iter__(self) -> Iterator[ev.Event]:
        return typed_events(self._rows, self._directory)
