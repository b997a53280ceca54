"""nautilus_trader's order book of its Rust core (pyo3), filled as its Binance adapter does.

msgspec into structs, a delta object a level, `apply_deltas` a message.
"""

from __future__ import annotations

from typing import Any

import msgspec
from nautilus_trader.core import nautilus_pyo3 as nautilus

from benchmarks.compare.msgspec_bisect import Depth, Frame, Snapshot
from benchmarks.messages import Books, MessageSet, scaled_book


class Handler:
    """The books of a message set."""

    def __init__(self, messages: MessageSet) -> None:
        self.messages = messages.messages
        self.decode = msgspec.json.Decoder(Frame).decode
        decode = msgspec.json.Decoder(Snapshot).decode
        self.by_symbol: dict[str, tuple[Any, Any]] = {}
        for symbol, body in messages.snapshots.items():
            name = nautilus.InstrumentId.from_str(f"{symbol}.BINANCE")
            book = nautilus.OrderBook(name, nautilus.BookType.L2_MBP)
            snapshot = decode(body)
            book.apply_deltas(deltas(name, snapshot.bids, snapshot.asks, 0))
            self.by_symbol[symbol] = (name, book)

    def run(self) -> None:
        decode, books = self.decode, self.by_symbol
        for message in self.messages:
            data = decode(message).data
            if type(data) is Depth:
                name, book = books[data.s]
                book.apply_deltas(deltas(name, data.b, data.a, data.u))

    def books(self) -> Books:
        return {
            symbol: scaled_book(book.bids_to_dict().items(), book.asks_to_dict().items())
            for symbol, (_, book) in self.by_symbol.items()
        }


def deltas(name: Any, bids: list[tuple[str, str]], asks: list[tuple[str, str]], sequence: int) -> Any:
    """The deltas of one message."""
    price_of, qty_of = nautilus.Price.from_str, nautilus.Quantity.from_str
    order, delta = nautilus.BookOrder, nautilus.OrderBookDelta
    update, delete = nautilus.BookAction.UPDATE, nautilus.BookAction.DELETE
    made = []
    for side, levels in ((nautilus.OrderSide.BUY, bids), (nautilus.OrderSide.SELL, asks)):
        for price, qty in levels:
            size = qty_of(qty)
            action = update if size.raw else delete
            made.append(delta(name, action, order(side, price_of(price), size, 0), 0, sequence, 0, 0))
    return nautilus.OrderBookDeltas(name, made)
