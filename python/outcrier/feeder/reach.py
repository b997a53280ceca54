"""Whether a venue is reached, and what went wrong last."""

from __future__ import annotations

import asyncio
import logging

from outcrier.clock import mono_ns, wall_ns
from outcrier.feeder.logs import LimitedLog, next_try
from outcrier.feeder.transport import TransportError


class Reach:
    """Kept over the life of a venue's feeder, logged as it changes."""

    def __init__(self, log: LimitedLog) -> None:
        self.tried = asyncio.Event()
        """Set by the first success or failure."""
        self.error: TransportError | None = None
        """Why the last try did not reach the venue; None = it did."""
        self.last_error = ""
        """The last trouble of any kind, one line; empty = none yet."""
        self.last_error_ms = 0
        """When that was, milliseconds since the epoch."""
        self._log = log

    def succeeded(self) -> None:
        """A connection carries all that it was asked for."""
        self.error = None
        self.tried.set()

    def failed(self, cause: str, error: TransportError, wait_ns: int) -> None:
        """A try did not reach the venue; the next is in `wait_ns`."""
        self.error = error
        self.tried.set()
        self.waits(cause, str(error), wait_ns)

    def waits(self, cause: str, text: str, wait_ns: int, symbol: str = "") -> None:
        """Some trouble, after which something is tried again in `wait_ns`."""
        self._keep(f"{cause} {text}; {next_try(wait_ns)}")
        self._log.wait(logging.WARNING, cause, text, wait_ns, symbol)

    def note(self, cause: str, text: str) -> None:
        """Some trouble."""
        self._keep(f"{cause} {text}")
        self._log.log(mono_ns(), logging.WARNING, cause, text)

    def _keep(self, error: str) -> None:
        self.last_error, self.last_error_ms = error, wall_ns() // 1_000_000
