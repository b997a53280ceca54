"""The counts behind the screen: sockets, and the instrument that is looked at."""

from __future__ import annotations

from outcrier import _core
from outcrier.clock import mono_ns, wall_ns
from outcrier.config import SubscriberConfig
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.monitor.follower import Followed, Follower
from outcrier.monitor.report import Report, Wish
from outcrier.monitor.reporter import Reporter
from outcrier.monitor.udp_navigator import Look, UdpNavigator
from outcrier.reception import Address, join, make_receiver, read_keys


class Source:
    """Belongs to one thread."""

    def __init__(self, address: Address, consumer: SubscriberConfig, *, window_ns: int = 0) -> None:
        """Joins the groups. `consumer`: receive buffer and keys; counting needs no keys, following does.
        Raises NetworkError, and ConfigurationError for keys that are none.
        """
        self._address = address
        self._consumer = consumer
        self._keys = read_keys(consumer.key_file)
        make_receiver(repair=False, keys=self._keys, manifest_key=consumer.manifest_key)
        self._follower: Follower | None = None
        self.monitor = _core.Monitor()
        join(self.monitor, address, consumer.rcvbuf_bytes)
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
                follower = Follower(symbol, keys=self._keys, manifest_key=self._consumer.manifest_key)
            except ConfigurationError:
                # Of a venue that this version does not know.
                return None
            join(follower.receiver, self._address, self._consumer.rcvbuf_bytes)
            self._follower = follower
        self._follower.poll()
        return self._follower.look(wall_ns())

    def close(self) -> None:
        """Leaves the groups."""
        self.follow(None)
        self.monitor.close()


class UdpListener:
    """What the screen of `udp_monitor` looks at; belongs to one thread."""

    def __init__(self, source: Source, at: UdpNavigator) -> None:
        """`at` is written by the screen's thread: whole values, and an old one does no harm."""
        self._source = source
        self._at = at
        self.listen = source.listen
        self.close = source.close

    def look(self) -> Look:
        """The counts, and the instrument that a person looks at."""
        followed = self._source.follow(self._at.symbol)
        return Look(self._source.take(self._at.wish), followed)
