"""The instruments of a session: what is defined on the feed, and under which index."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from outcrier import _core
from outcrier.clock import mono_ns
from outcrier.feeder.logs import LimitedLog
from outcrier.feeder.rest import InstrumentList
from outcrier.instruments import Instrument, Trading, to_core_kwargs

ENDED: Final = frozenset({Trading.CLOSED, Trading.DELISTED})
"""States in which a venue answers no request for a book: asked again and again it would ban the address."""

_SIZES: Final = ("price_exp", "qty_exp", "tick_size", "lot_size", "min_qty")
"""Arguments of `_core.Feed.update_sizes`."""


class Roster:
    """Defines instruments on a feed and keeps what is known of them."""

    def __init__(self, feed: _core.Feed, log: LimitedLog) -> None:
        self._feed = feed
        self._log = log
        self._indices: dict[str, int] = {}
        self._listed: dict[int, Instrument] = {}
        self._statuses: dict[int, int] = {}
        self.with_book: set[int] = set()
        self.with_orders: set[int] = set()
        self.refused_sizes = 0
        """Sizes of later lists that the wire cannot hold."""

    def add(self, instrument: Instrument, wire_id: int, *, has_book: bool, has_orders: bool = False) -> int:
        """Defines an instrument on the wire under its stable id; its index."""
        index = self._feed.add_instrument(**to_core_kwargs(instrument, wire_id), has_book=has_book)
        self._indices[instrument.native_symbol] = index
        self._listed[index] = instrument
        self._statuses[index] = instrument.status
        if has_book:
            self.with_book.add(index)
        if has_orders and self._feed.want_orders(index):
            self.with_orders.add(index)
        return index

    def remove(self, native: str) -> int | None:
        """Takes an instrument off the wire; the index it had, None if it was not here."""
        index = self._indices.pop(native, None)
        if index is not None:
            del self._listed[index], self._statuses[index]
            self.with_book.discard(index)
            self.with_orders.discard(index)
            self._feed.remove_instrument(index)
        return index

    def __len__(self) -> int:
        return len(self._listed)

    def __iter__(self) -> Iterator[tuple[int, Instrument]]:
        """(index, instrument), in the order added."""
        return iter(list(self._listed.items()))

    def __getitem__(self, index: int) -> Instrument:
        return self._listed[index]

    def index(self, native: str) -> int | None:
        """Index of a native symbol."""
        return self._indices.get(native)

    def symbol(self, index: int) -> str:
        """Canonical symbol, for logs; `-` for what is no instrument here."""
        instrument = self._listed.get(index)
        return "-" if instrument is None else instrument.symbol

    def has_ended(self, index: int) -> bool:
        """Whether its trading has ended, as far as the venue told."""
        return self._statuses.get(index, Trading.DELISTED) in ENDED

    def is_trading(self, index: int) -> bool:
        """Whether it trades now."""
        return self._statuses.get(index) == Trading.OPEN

    def set_status(self, native: str, status: int) -> int | None:
        """Publishes the trading status of an instrument if it is ours and changed; its index then."""
        index = self._indices.get(native)
        if index is None or self._statuses[index] == status:
            return None
        self._statuses[index] = status
        self._feed.set_trading_status(index, status)
        self._log.log(mono_ns(), logging.INFO, f"trading status {status}", native)
        return index

    def told_status(self, index: int, status: int) -> None:
        """A message of the venue told the status, and the core has published it."""
        if index in self._statuses:
            self._statuses[index] = status

    def take_list(self, listed: InstrumentList) -> list[int]:
        """Publishes what a later instrument list changes: trading status, tick, lot, least quantity. Indices
        whose status changed.
        """
        changed: list[int | None] = []
        for index, known in self:
            native = known.native_symbol
            now = listed.catalogue.by_native(native)
            if now is None:
                if listed.is_gone(native):
                    changed.append(self.set_status(native, Trading.DELISTED))
                continue
            changed.append(self.set_status(native, now.status))
            if _sizes(now) == _sizes(known) or self._update_sizes(index, now):
                self._listed[index] = now
        return [index for index in changed if index is not None]

    def _update_sizes(self, index: int, now: Instrument) -> bool:
        """Publishes new sizes. Those that the wire cannot hold at the exponents in force are a fault: the old
        ones stay.
        """
        sizes = to_core_kwargs(now, 0)
        text = f"{now.native_symbol} tick {now.tick_size} lot {now.lot_size} least {now.min_qty}"
        try:
            self._feed.update_sizes(index, **{key: sizes[key] for key in _SIZES})
        except ValueError as error:
            self.refused_sizes += 1
            self._log.log(mono_ns(), logging.WARNING, "new sizes refused", f"{text}: {error}")
            return False
        self._log.log(mono_ns(), logging.INFO, "new sizes", text)
        return True


def _sizes(instrument: Instrument) -> tuple[Decimal, Decimal, Decimal]:
    return instrument.tick_size, instrument.lot_size, instrument.min_qty
