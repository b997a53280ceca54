"""Keeps a receiver's sockets drained and its timers run by an asyncio loop, whatever the consumer is doing
meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from outcrier._core import Receiver
from outcrier.clock import mono_ns


class Pump:
    """One receiver on the loop that runs when it is made, until `stop`."""

    def __init__(
        self, receiver: Receiver, on_rows: Callable[[], None], on_error: Callable[[OSError], None]
    ) -> None:
        """`on_rows` is called when there are rows to take, `on_error` when a socket fails."""
        self._receiver = receiver
        self._on_rows = on_rows
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._filenos: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0

    def stop(self) -> None:
        """Nothing is called any more. Before the sockets are closed."""
        for fileno in self._filenos:
            self._loop.remove_reader(fileno)
        self._filenos = set()
        if self._timer is not None:
            self._timer.cancel()

    def drain(self) -> bool:
        """Empties the sockets into the core; True if there are rows to take. The loop calls it too."""
        try:
            pending = self._receiver.poll() > 0
        except OSError as error:
            self._on_error(error)
            return False
        self._follow_sockets()
        self._follow_deadline()
        if pending:
            self._on_rows()
        return pending

    def _follow_sockets(self) -> None:
        # The core joins and leaves the snapshot plane as it needs it.
        filenos = set(self._receiver.filenos())
        if filenos == self._filenos:
            return
        for fileno in self._filenos - filenos:
            self._loop.remove_reader(fileno)
        for fileno in filenos - self._filenos:
            self._loop.add_reader(fileno, self.drain)
        self._filenos = filenos

    def _follow_deadline(self) -> None:
        # A deadline that moved away is noticed when the timer fires; one that moved nearer must be followed
        # now.
        deadline_ns = self._receiver.deadline_ns()
        if not deadline_ns or (self._timer is not None and self._timer_ns <= deadline_ns):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = deadline_ns
        self._timer = self._loop.call_later(max(0, deadline_ns - mono_ns()) / 1e9, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.drain()
