"""When the feeder says what on the text lines: once a second, and at once when a connection or a book is
lost or comes back, or something new goes wrong. Pure: counts and times in, datagrams out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outcrier.feeder.backoff import SECOND_NS
from outcrier.text_lines import ConnLine, DataLine, ErrorLine

EVERY_NS: Final = SECOND_NS
"""Each line is said this often."""

AT_ONCE_NS: Final = SECOND_NS // 10
"""What changes is said at once, but no line more often than this."""

Counts = tuple[int, int, int, int]
"""Received, published, rejected, source gaps."""

_TELLS_STALE: Final = ("book", "all")
"""Types whose lines carry the counts of stale instruments and reconnects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueCounts:
    """One venue at one moment; sums are since its session began."""

    exchange: str
    product: str
    kinds: Mapping[str, Counts]
    """By type, `all` among them; types of which nothing ever came need not be there."""
    stale: int
    """Books that are not live."""
    reconnects: int
    connected: int
    connections: int


@dataclass(frozen=True, slots=True)
class VenueTrouble:
    """What went wrong last with one venue; there may be no session of it yet."""

    exchange: str
    product: str
    at_ms: int
    """Milliseconds since the epoch."""
    text: str


class TextLines:
    """Remembers what was said when."""

    def __init__(self) -> None:
        self._troubles: dict[tuple[str, str], tuple[int, tuple[int, str]]] = {}
        self._data: dict[tuple[str, str, str], tuple[int, tuple[int, int]]] = {}
        """Time and (stale, connected) of each data line said last."""
        self._conn: dict[str, tuple[int, tuple[int, int]]] = {}

    def due(
        self,
        now_ns: int,
        wall_ms: int,
        venues: Sequence[VenueCounts],
        troubles: Iterable[VenueTrouble] = (),
    ) -> list[bytes]:
        """The datagrams to send now. `now_ns` is of the monotonic clock, `wall_ms` since the epoch."""
        return [
            *self._data_lines(now_ns, wall_ms, venues),
            *self._conn_lines(now_ns, venues),
            *self._error_lines(now_ns, troubles),
        ]

    def _error_lines(self, now_ns: int, troubles: Iterable[VenueTrouble]) -> Iterator[bytes]:
        for trouble in troubles:
            key, state = (trouble.exchange, trouble.product), (trouble.at_ms, trouble.text)
            if _is_due(self._troubles.get(key), now_ns, state, at_once=True):
                self._troubles[key] = (now_ns, state)
                yield ErrorLine(*key, *state).encode()

    def _data_lines(self, now_ns: int, wall_ms: int, venues: Iterable[VenueCounts]) -> Iterator[bytes]:
        for venue in venues:
            state = (venue.stale, venue.connected)
            for kind, counts in venue.kinds.items():
                key = (venue.exchange, venue.product, kind)
                tells_stale = kind in _TELLS_STALE
                if not _is_due(self._data.get(key), now_ns, state, at_once=tells_stale):
                    continue
                self._data[key] = (now_ns, state)
                more = (venue.stale, venue.reconnects) if tells_stale else ()
                yield DataLine(venue.exchange, venue.product, kind, (*counts, *more), wall_ms).encode()

    def _conn_lines(self, now_ns: int, venues: Iterable[VenueCounts]) -> Iterator[bytes]:
        """One line for each exchange, over all its products."""
        sums: dict[str, tuple[int, int]] = {}
        for venue in venues:
            connected, total = sums.get(venue.exchange, (0, 0))
            sums[venue.exchange] = (connected + venue.connected, total + venue.connections)
        for exchange, (connected, total) in sums.items():
            state = (connected, total)
            if _is_due(self._conn.get(exchange), now_ns, state, at_once=True):
                self._conn[exchange] = (now_ns, state)
                yield ConnLine(exchange, connected, total - connected).encode()


def _is_due(
    said: tuple[int, tuple[object, ...]] | None, now_ns: int, state: tuple[object, ...], *, at_once: bool
) -> bool:
    if said is None:
        return True
    at_ns, before = said
    wait_ns = AT_ONCE_NS if at_once and state != before else EVERY_NS
    return now_ns - at_ns >= wait_ns
