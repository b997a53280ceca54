"""A feed of one venue in memory, and what it publishes: books, statuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from outcrier import _core
from outcrier.instruments import Instrument, to_core_kwargs
from outcrier.venues import Venue

CONNECTION = 1


class Followed:
    """Frames of one connection go in, one a millisecond; everything that leaves is kept."""

    def __init__(self, venue: Venue, *instruments: Instrument, has_book: bool = True) -> None:
        self.publisher = _core.Publisher.memory()
        self.feed = _core.Feed(
            self.publisher,
            venue=venue.number,
            channel=venue.number,
            session=1,
            publisher_id=1,
            shapes=venue.shapes_json,
            build="test",
            replay=True,
            start_ns=1,
        )
        self.natives = [each.native_symbol for each in instruments]
        for number, each in enumerate(instruments):
            self.feed.add_instrument(**to_core_kwargs(each, number + 1), has_book=has_book, recv_ns=1)
        self.now_ns = 1_000_000
        self.publisher.take()

    def connected(self) -> None:
        self.feed.connected(list(range(len(self.natives))), recv_ns=self.now_ns)
        self.publisher.take()

    def read(self, frame: bytes | str) -> int:
        """The bits that the core returns."""
        self.now_ns += 1_000_000
        data = frame.encode() if isinstance(frame, str) else frame
        return self.feed.on_frame(CONNECTION, data, self.now_ns)

    def messages(self, *kinds: str) -> list[dict[str, Any]]:
        """What has left since it was asked last, of these kinds."""
        found = [_core.decode_frame(frame) for _, frame in self.publisher.take()]
        return [message for message in found if not kinds or message["msg"] in kinds]

    def statuses(self) -> list[int]:
        """States of the instruments' STATUS messages."""
        return [message["root"]["state"] for message in self.messages("STATUS")]

    def books(self) -> dict[str, tuple[list[tuple[Decimal, Decimal]], ...]]:
        """Bids and asks of the books that are live, best first."""
        found = {}
        for index, native in enumerate(self.natives):
            if self.feed.state(index) == "LIVE":
                exps = self.feed.scale(index)
                found[native] = tuple(
                    [(Decimal(price).scaleb(exps[0]), Decimal(qty).scaleb(exps[1])) for price, qty in side]
                    for side in self.feed.book(index)
                )
        return found
