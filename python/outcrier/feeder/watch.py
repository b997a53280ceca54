"""Watches over the running service: tells systemd how the start goes, that the feed lives, and what is live;
measures how late the event loop comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from outcrier.clock import mono_ns
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.lag import LoopLag
from outcrier.feeder.readiness import STANDSTILL_NS, Readiness

if TYPE_CHECKING:
    from outcrier.feeder.notify import Notifier
    from outcrier.feeder.service import FeederService

LOOK_NS: Final = SECOND_NS // 20
"""Between two looks: the delay of each is a sample of how late the loop comes."""

STATUS_NS: Final = SECOND_NS
"""The status line is told again at most this often, and only if it has changed."""

BEATS: Final = 4
"""In the time of the watchdog; sd_watchdog_enabled(3) advises at least two."""

MARGIN_NS: Final = 10 * SECOND_NS
"""Beyond the longest standstill: systemd must not end a start that is about to be over."""


class Watch:
    """One task: `run`."""

    def __init__(self, service: FeederService, notifier: Notifier) -> None:
        self.lag = LoopLag()
        self.readiness = Readiness()
        self.notifier = notifier
        self._service = service
        self._status = ""
        self._status_at_ns = 0
        self._beat_at_ns = 0
        self._ticks: Mapping[str, int] = {}
        self._reloading: asyncio.Future[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Looks again and again until `stop` is set, and tells that it is."""
        now_ns = mono_ns()
        self.notifier.extend(STANDSTILL_NS + MARGIN_NS)
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stopping.done():
                self._look(now_ns)
                due_ns = mono_ns() + LOOK_NS
                await asyncio.wait({stopping}, timeout=LOOK_NS / SECOND_NS)
                now_ns = mono_ns()
                if not stopping.done():
                    self.lag.late(now_ns, now_ns - due_ns)
        finally:
            stopping.cancel()
            self.notifier.stopping()

    def reload(self) -> None:
        """Has the service read again what may change, and tells systemd that it does; not during the start,
        which systemd would take for over.
        """
        if self.readiness.is_over:
            self.notifier.reloading()
        self._reloading = asyncio.ensure_future(self._reload(self._reloading))

    async def _reload(self, before: asyncio.Future[None] | None) -> None:
        """One after the other, or two would start a venue twice."""
        if before is not None and not before.done():
            await asyncio.wait({before})
        await self._service.reload()
        if self.readiness.is_over:
            self.notifier.ready()

    def _look(self, now_ns: int) -> None:
        if not self.readiness.is_over:
            moved = self.readiness.take(now_ns, self._service.starts())
            if self.readiness.is_over:
                self._tell_status(now_ns)
                self.notifier.ready()
            elif moved:
                self.notifier.extend(STANDSTILL_NS + MARGIN_NS)
        if now_ns >= self._status_at_ns:
            self._tell_status(now_ns)
        if self.notifier.watchdog_ns and now_ns >= self._beat_at_ns:
            self._beat(now_ns)

    def _beat(self, now_ns: int) -> None:
        """Tells the watchdog that the feed lives: the loop turns, or we were not here, and since the last
        beat the core of every session has done what was due, which it has at least every 100 ms.
        """
        ticks = self._service.ticks()
        stuck = [venue for venue, count in ticks.items() if self._ticks.get(venue) == count]
        self._beat_at_ns = now_ns + self.notifier.watchdog_ns // BEATS
        self._ticks = ticks
        if not stuck:
            self.notifier.alive()

    def _tell_status(self, now_ns: int) -> None:
        text = self.summary()
        if text != self._status:
            self._status, self._status_at_ns = text, now_ns + STATUS_NS
            self.notifier.status(text)

    def summary(self) -> str:
        """`2/3 venues live, 118/120 books live`, and why not all of them, and whom the start waits for."""
        venues = self._service.status()
        live = sum(venue.is_live for venue in venues)
        books = sum(venue.books - venue.closed for venue in venues)
        text = f"{live}/{len(venues)} venues live, {sum(venue.live for venue in venues)}/{books} books live"
        if not self.readiness.is_over:
            text = f"starting: {text}"
        troubles = [f"{venue.venue}: {venue.why_not}" for venue in venues if not venue.is_live]
        return "; ".join([text, *troubles])
