"""The orders of a session (L3): they are asked for as its books are, by requests and streams of their own."""

from __future__ import annotations

from collections.abc import Iterable, Set

from outcrier.feeder.books import Books
from outcrier.feeder.driver import ConnectionDriver
from outcrier.feeder.links import Which
from outcrier.instruments import Instrument
from outcrier.venues.base import HttpRequest

PREFIX = "ORDERS_"
"""Of the kinds of notices about them; behind it stands what those about books are called."""


class OrderBooks(Books):
    """Asks for all orders of instruments; `noticed` takes the kinds without `PREFIX`."""

    what = "order book"

    @property
    def members(self) -> Set[int]:
        """The instruments that tell of orders."""
        return self._roster.with_orders

    @staticmethod
    def _carried_by(driver: ConnectionDriver) -> tuple[int, ...]:
        return driver.orders

    def _carrier(self, index: int) -> ConnectionDriver | None:
        return self._links.orders_carrier(index)

    def _resubscribe(self, indices: Iterable[int]) -> set[int]:
        return self._links.resubscribe(dict.fromkeys(indices, Which.ORDERS))

    def _request(self, instrument: Instrument) -> HttpRequest | None:
        return self._venue.orders_request(instrument)

    def _take(self, index: int, body: bytes) -> None:
        self._feed.on_orders_snapshot(index, body)
