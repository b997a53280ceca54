"""A timer of the event loop at a time of the monotonic clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from outcrier.feeder.backoff import NEVER_NS, SECOND_NS


class LoopTimer:
    """Calls back once at the time set last; what the callback raises goes to `on_error`, not to the loop's
    log.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        callback: Callable[[], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self._callback = callback
        self._on_error = on_error
        self._handle: asyncio.TimerHandle | None = None
        self.at_ns = NEVER_NS
        """When it fires."""

    def at(self, at_ns: int, now_ns: int) -> None:
        """Sets the time; the former one is forgotten."""
        if at_ns == self.at_ns:
            return
        if self._handle is not None:
            self._handle.cancel()
        self.at_ns = at_ns
        self._handle = self._loop.call_later(max(0, at_ns - now_ns) / SECOND_NS, self._fire)

    def cancel(self) -> None:
        """Forgets the time."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self.at_ns = NEVER_NS

    def _fire(self) -> None:
        self._handle = None
        self.at_ns = NEVER_NS
        try:
            self._callback()
        except Exception as error:  # noqa: BLE001 - the loop would only log it
            self._on_error(error)
