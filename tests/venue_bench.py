"""A feed of any declared venue beside plain books, driven by the messages of a capture."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from feed_bench import Bench
from outcrier import _core
from plain_events import Book, Plain, parse

Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]
RESET = 32


class PlainBooks:
    """Books of decoded events, cut to the depth that the venue keeps (0 = all)."""

    def __init__(self, depth: int = 0) -> None:
        self.depth = depth
        self.books: dict[str, Sides] = {}

    def take(self, event: Book) -> None:
        sides = self.books.setdefault(event.symbol, ({}, {}))
        for number, (side, levels) in enumerate(zip(sides, (event.bids, event.asks), strict=True)):
            if event.snapshot:
                side.clear()
            for price, qty in levels:
                side.pop(price, None)
                if qty:
                    side[price] = qty
            if self.depth:
                for price in sorted(side, reverse=number == 0)[self.depth :]:
                    del side[price]


class WireBooks:
    """What a consumer has that applies every record of the incremental plane and checks nothing."""

    def __init__(self) -> None:
        self.books: dict[int, Sides] = {}
        self.states: dict[int, tuple[int, int, int, int]] = {}
        """State, reason, expected, got of the last STATUS."""

    def take(self, publisher: _core.Publisher) -> list[dict[str, Any]]:
        """Applies the messages sent since the last call and returns them."""
        sent = [_core.decode_frame(frame) for plane, frame in publisher.take() if plane == 0]
        frames = [message for frame in sent for message in frame.get("messages") or [frame]]
        for frame in frames:
            sides = self.books.setdefault(frame["instrument"], ({}, {}))
            match frame["msg"]:
                case "BOOK_SNAPSHOT" | "BOOK_DELTA":
                    if frame["flags"] & RESET:
                        for side in sides:
                            side.clear()
                    for number, row in enumerate(frame["records"]):
                        side = sides[number >= frame["root"]["n_bids"]]
                        price = Decimal(row["price"]).scaleb(frame["price_exp"])
                        side.pop(price, None)
                        if row["qty"]:
                            side[price] = Decimal(row["qty"]).scaleb(frame["qty_exp"])
                case "STATUS":
                    root = frame["root"]
                    names = ("state", "reason", "expected", "got")
                    self.states[frame["instrument"]] = tuple(root[name] for name in names)
        return frames


class VenueBench:
    """`take` gives a message to the feed, and its events to the plain books."""

    FIRST_ID = 1_000

    def __init__(self, shapes: str, plain: Plain, frames: Sequence[bytes], depth: int = 0) -> None:
        self.publisher = _core.Publisher.memory()
        self.feed = _core.Feed(
            self.publisher,
            venue=7,
            channel=7,
            session=1,
            publisher_id=1,
            shapes=shapes,
            build="test",
            start_ns=1,
            replay=True,
        )
        self.decode = plain
        self.naive = PlainBooks(depth)
        self.wire = WireBooks()
        self.notices: list[tuple[str, int, int, int, str]] = []
        self.indices: dict[str, int] = {}
        for frame in frames:
            for event in plain(parse(frame)) or ():
                if event.symbol not in self.indices:
                    values = Bench.instrument(event.symbol, self.FIRST_ID + len(self.indices))
                    self.indices[event.symbol] = self.feed.add_instrument(**values)
        self.recv_ns = 1

    def take(self, frame: bytes, connection: int = 1) -> list[str]:
        """Symbols of the books that the message is about."""
        events = [event for event in self.decode(parse(frame)) or () if isinstance(event, Book)]
        for event in events:
            self.naive.take(event)
        self.feed_only(frame, connection)
        return [event.symbol for event in events]

    def feed_only(self, frame: bytes, connection: int = 1) -> int:
        self.recv_ns += 1_000_000
        bits = self.feed.on_frame(connection, frame, self.recv_ns)
        self.wire.take(self.publisher)
        self.notices += self.feed.notices()
        return bits

    def kinds(self) -> list[str]:
        """Kinds of the notices since the last call, but for finer exponents."""
        kinds = [kind for kind, *_ in self.notices if kind != "REFINED"]
        self.notices.clear()
        return kinds

    def wire_book(self, symbol: str) -> Sides:
        """What a consumer has."""
        return self.wire.books[self.FIRST_ID + self.indices[symbol]]

    def wire_state(self, symbol: str) -> tuple[int, int, int, int]:
        """State, reason, expected, got as a consumer was told."""
        return self.wire.states[self.FIRST_ID + self.indices[symbol]]

    def book(self, symbol: str) -> Sides:
        """What the feed has."""
        index = self.indices[symbol]
        price_exp, qty_exp = self.feed.scale(index)
        bids, asks = (
            {Decimal(price).scaleb(price_exp): Decimal(qty).scaleb(qty_exp) for price, qty in side}
            for side in self.feed.book(index)
        )
        return bids, asks

    def state(self, symbol: str) -> str:
        return self.feed.state(self.indices[symbol])
