"""Where a recorder listens in on the connector: what is received, sent and answered, as it is.

The feeder knows no recorder. It asks a `Tap` for a connector of each connection and tells it each REST
answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from outcrier.feeder.transport import Connector
from outcrier.venues.base import Venue


class Tap(Protocol):
    """What a recorder of connections is told."""

    def connectors(
        self, venue: Venue, conn_id: int, books: Collection[str], connector_for: Callable[[str], Connector]
    ) -> Callable[[str], Connector]:
        """`connector_for` of one connection, or one that listens in. `books`: native symbols it carries."""

    def answered(self, venue: Venue, url: str, body: bytes) -> None:
        """The venue's answer to a GET of `url`, as it came."""
