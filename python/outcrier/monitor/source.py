"""The counts behind the screen: sockets, and the instrument that is looked at."""

from __future__ import annotations

from outcrier import _core
from outcrier.clock import mono_ns, wall_ns
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.monitor.follower import Followed, Follower
from outcrier.monitor.report import Address, Report, Wish
from outcrier.monitor.reporter import Reporter


class Source:
    """Belongs to one thread."""

    def __init__(self, address: Address, rcvbuf_bytes: int, *, window_ns: int = 0) -> None:
        """Joins the groups. Raises NetworkError."""
        self._address = address
        self._rcvbuf_bytes = rcvbuf_bytes
        self._follower: Follower | None = None
        self.monitor = _core.Monitor()
        try:
            self.monitor.open(
                interface=address.interface,
                group=address.group,
                snapshot_group=address.snapshot_group,
                port=address.port,
                rcvbuf_bytes=rcvbuf_bytes,
                interface_b=address.interface_b,
                group_b=address.group_b,
                repair_group=address.repair_group,
                text_group=address.text_group,
            )
        except OSError as error:
            raise NetworkError(error.strerror or str(error)) from error
        self.rcvbuf_bytes = self.monitor.effective_rcvbuf()
        self._reporter = Reporter(address, self.rcvbuf_bytes, mono_ns(), window_ns=window_ns)

    def listen(self, timeout_ns: int) -> None:
        """Counts for so long, or until a signal comes. Raises NetworkError."""
        try:
            self.monitor.listen(timeout_ns)
        except OSError as error:
            raise NetworkError(error.strerror or str(error)) from error

    def take(self, wish: Wish | None = None) -> Report:
        """What was counted up to now."""
        return self._reporter.take(self.monitor, mono_ns=mono_ns(), wall_ns=wall_ns(), wish=wish)

    def follow(self, symbol: str | None) -> Followed | None:
        """What a consumer has of `symbol`; the first call joins as one, None leaves."""
        if self._follower is not None and self._follower.symbol != symbol:
            self._follower.close()
            self._follower = None
        if symbol is None:
            return None
        if self._follower is None:
            try:
                follower = Follower(symbol)
            except ConfigurationError:
                # Of a venue that this version does not know.
                return None
            follower.open(self._address, self._rcvbuf_bytes)
            self._follower = follower
        self._follower.poll()
        return self._follower.look(wall_ns())

    def close(self) -> None:
        """Leaves the groups."""
        self.follow(None)
        self.monitor.close()
