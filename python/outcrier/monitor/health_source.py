"""The sockets behind `websocket_monitor`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from outcrier import _core
from outcrier.clock import mono_ns, wall_ns
from outcrier.errors import NetworkError
from outcrier.monitor.health import HealthReport
from outcrier.monitor.health_model import HealthModel
from outcrier.monitor.health_screen import HealthNavigator
from outcrier.reception import Address, join


class HealthSource:
    """Belongs to one thread."""

    def __init__(
        self,
        address: Address,
        rcvbuf_bytes: int,
        *,
        venues: Collection[str] = (),
        at: HealthNavigator | None = None,
    ) -> None:
        """Joins the groups. `venues`: those to show, empty = all; `at`: where a person is, written by the
        screen's thread: whole values, and an old one does no harm; None: everything is listed. Raises
        NetworkError.
        """
        self.monitor = _core.Monitor()
        join(self.monitor, address, rcvbuf_bytes)
        self.rcvbuf_bytes = self.monitor.effective_rcvbuf()
        self._at = at
        self._model = HealthModel(address, self.rcvbuf_bytes, mono_ns(), venues)

    def listen(self, timeout_ns: int) -> None:
        """Counts for so long, or until a signal comes. Raises NetworkError."""
        try:
            self.monitor.listen(timeout_ns)
        except OSError as error:
            raise NetworkError(error.strerror or str(error)) from error

    def look(self) -> HealthReport:
        """What is known now."""
        listed: Sequence[int] | None = None if self._at is None else self._at.listed
        return self._model.take(self.monitor, mono_ns=mono_ns(), wall_ns=wall_ns(), listed=listed)

    def close(self) -> None:
        """Leaves the groups."""
        self.monitor.close()
