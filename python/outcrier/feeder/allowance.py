"""What the venues of a process may do at one address of an exchange: connects, and messages where it counts
them over all connections. Times are nanoseconds of the monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from outcrier.feeder.backoff import SECOND_NS, AttemptBudget, Pace
from outcrier.venues.base import Limits

ARRIVAL_NS: Final = SECOND_NS // 4
"""Windows are so much longer than documented: the venue counts when an attempt or a message arrives."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is allowed to one address; it outlives sessions and connections."""

    connects: AttemptBudget
    messages: Pace | None
    """None = each connection has its own."""


class Allowances:
    """By host and port: products of one exchange often share an endpoint, and are counted together."""

    def __init__(self) -> None:
        self._known: dict[str, Allowance] = {}

    def of(self, ws_url: str, limits: Limits) -> Allowance:
        """That of an endpoint; the limits of whoever comes first hold."""
        host = urlsplit(ws_url).netloc
        known = self._known.get(host)
        if known is None:
            window_ns = int(limits.connects_window_s * SECOND_NS) + ARRIVAL_NS
            pace = Pace(limits.messages_per_s) if limits.messages_per_address else None
            known = self._known[host] = Allowance(AttemptBudget(limits.connects, window_ns), pace)
        return known
