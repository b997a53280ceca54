"""msgspec into structs, `float` prices in sorted lists kept by bisect: a fast handler in Python today."""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from benchmarks.messages import Books, MessageSet, scaled_book


class Depth(msgspec.Struct, tag_field="e", tag="depthUpdate"):
    """A depth update."""

    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: int


class Trade(msgspec.Struct, tag_field="e", tag="trade"):
    """A trade."""

    s: str
    p: str
    q: str


class AggregateTrade(msgspec.Struct, tag_field="e", tag="aggTrade"):
    """Trades of one order at one price."""

    s: str
    p: str
    q: str


class Frame(msgspec.Struct):
    """A combined frame."""

    data: Depth | Trade | AggregateTrade


class Snapshot(msgspec.Struct):
    """A REST book."""

    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Book:
    """Both sides as sorted lists of prices and of quantities; bids by negated price, so that both rise."""

    __slots__ = ("ask_prices", "ask_sizes", "bid_prices", "bid_sizes")

    def __init__(self, snapshot: Snapshot) -> None:
        self.bid_prices: list[float] = []
        self.bid_sizes: list[float] = []
        self.ask_prices: list[float] = []
        self.ask_sizes: list[float] = []
        self.apply(snapshot.bids, snapshot.asks)

    def apply(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        prices, sizes = self.bid_prices, self.bid_sizes
        for price, size in bids:
            key, qty = -float(price), float(size)
            at = bisect_left(prices, key)
            if at < len(prices) and prices[at] == key:
                if qty:
                    sizes[at] = qty
                else:
                    del prices[at], sizes[at]
            elif qty:
                prices.insert(at, key)
                sizes.insert(at, qty)
        prices, sizes = self.ask_prices, self.ask_sizes
        for price, size in asks:
            key, qty = float(price), float(size)
            at = bisect_left(prices, key)
            if at < len(prices) and prices[at] == key:
                if qty:
                    sizes[at] = qty
                else:
                    del prices[at], sizes[at]
            elif qty:
                prices.insert(at, key)
                sizes.insert(at, qty)


class Handler:
    """The books of a message set."""

    def __init__(self, messages: MessageSet) -> None:
        decode = msgspec.json.Decoder(Snapshot).decode
        self.messages = messages.messages
        self.decode = msgspec.json.Decoder(Frame).decode
        self.by_symbol = {symbol: Book(decode(body)) for symbol, body in messages.snapshots.items()}

    def run(self) -> None:
        decode, books = self.decode, self.by_symbol
        for message in self.messages:
            data = decode(message).data
            if type(data) is Depth:
                books[data.s].apply(data.b, data.a)

    def books(self) -> Books:
        return {
            symbol: scaled_book(
                [(-price, size) for price, size in zip(book.bid_prices, book.bid_sizes, strict=True)],
                zip(book.ask_prices, book.ask_sizes, strict=True),
            )
            for symbol, book in self.by_symbol.items()
        }
