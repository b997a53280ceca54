"""Our side of the rows: a feed as the feeder makes it, without the sockets of an exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from benchmarks.messages import SETS, Books, MessageSet, capture_path, scaled_book
from outcrier import _core
from outcrier.capture.contents import instruments_of, scan
from outcrier.instruments import Instrument, to_core_kwargs
from outcrier.venues import venue_by_name

CONNECTION = 1


@lru_cache
def instruments(data_dir: Path, messages: MessageSet) -> Sequence[Instrument]:
    """The instruments of a message set, from the venue's own list."""
    _, capture, _ = SETS[messages.name]
    symbols = tuple(messages.snapshots)
    venue, paths = venue_by_name(messages.venue), [capture_path(data_dir, capture)]
    listed = instruments_of(venue, paths, scan(venue, paths))
    by_native = {each.native_symbol: each for each in listed}
    return [by_native[symbol] for symbol in symbols]


@dataclass(frozen=True)
class OurFeed:
    """A feed whose books are live."""

    feed: _core.Feed
    publisher: _core.Publisher
    indices: dict[str, int]

    def books(self) -> Books:
        """Its books in the numbers of the answers."""
        books = {}
        for symbol, index in self.indices.items():
            assert self.feed.state(index) == "LIVE", symbol
            price_exp, qty_exp = self.feed.scale(index)
            bids, asks = self.feed.book(index)
            books[symbol] = scaled_book(
                [(Decimal(price).scaleb(price_exp), Decimal(qty).scaleb(qty_exp)) for price, qty in bids],
                [(Decimal(price).scaleb(price_exp), Decimal(qty).scaleb(qty_exp)) for price, qty in asks],
            )
        return books


def our_feed(
    messages: MessageSet,
    listed: Sequence[Instrument],
    publisher: _core.Publisher,
    *,
    infer_orders: bool = False,
) -> OurFeed:
    """A feed with the books of the set's snapshots, which have already left."""
    ours = begun_feed(messages, listed, publisher, infer_orders=infer_orders)
    publisher.take()
    return ours


def begun_feed(
    messages: MessageSet,
    listed: Sequence[Instrument],
    publisher: _core.Publisher,
    *,
    infer_orders: bool = False,
) -> OurFeed:
    """The same, its first frames still at hand."""
    venue = venue_by_name(messages.venue)
    feed = _core.Feed(
        publisher,
        venue=venue.number,
        channel=venue.number,
        session=1,
        publisher_id=1,
        shapes=venue.shapes_json,
        build="benchmark",
        infer_orders=infer_orders,
    )
    indices = {}
    for wire_id, instrument in enumerate(listed, 1):
        symbol = instrument.native_symbol
        if symbol in messages.snapshots:
            indices[symbol] = feed.add_instrument(**to_core_kwargs(instrument, wire_id))
            feed.on_snapshot(indices[symbol], messages.snapshots[symbol])
    feed.notices()
    return OurFeed(feed, publisher, indices)
