"""A feeder of one venue on a memory publisher, its connections in virtual time, and what hears it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from feed_bench import Bench, lines
from outcrier import _core
from outcrier.feeder.backoff import AttemptBudget
from outcrier.feeder.connection import Connection, ConnectionSpec, Effect, Lost
from outcrier.feeder.driver import ConnectionDriver
from outcrier.feeder.health import publish_connection, publish_connections
from outcrier.feeder.links import Sums
from outcrier.feeder.plan import Part, PlannedConnection
from outcrier.monitor.health import HealthReport, VenueHealth
from outcrier.monitor.health_model import HealthModel
from outcrier.reception import Address

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
MS = 1_000_000
SECOND = 1_000 * MS
START = 1_800_000_000 * SECOND
"""Of the virtual clock: later than what the feed stamps by the machine's."""
ADDRESS = Address("crypto", "lo", "239.1.1.1", "239.1.1.3", 9001, "lo", "239.1.1.2", "239.1.1.5", "239.1.1.4")
NUMBER = 2
"""Venue and channel of binance_usdm."""


def planned(number: int) -> PlannedConnection:
    """One that carries three streams."""
    connection = PlannedConnection(number, "wss://venue", "")
    connection.put("BTCUSDT", Part(None, ("btcusdt@depth", "btcusdt@trade", "btcusdt@bookTicker")))
    return connection


class Nobody:
    """The owner of connections of which nothing is to be done."""

    def take_rest(self, driver: ConnectionDriver, data: bytes, bits: int) -> None: ...
    def read_over(self) -> None: ...
    def connection_changed(self, driver: ConnectionDriver, what: object) -> None: ...
    def reschedule(self) -> None: ...
    def fail(self, error: Exception) -> None:
        raise error


class Scene:
    """A feeder of one venue on a memory publisher, its connections in virtual time, and the monitor."""

    def __init__(
        self, path: Path, connections: int = 2, *, most: int = 400, venues: Iterable[str] = ()
    ) -> None:
        self.bench = Bench("binance_usdm", replay=False)
        for line in lines(path, most=most):
            self.bench.take(line)
        budget = AttemptBudget(100, SECOND)
        spec = ConnectionSpec("wss://venue", (), 5.0, 10 * SECOND, 86_400 * SECOND)
        self.drivers = [
            ConnectionDriver(
                conn_id=number,
                machine=Connection(spec, budget, lambda: 0.5),
                planned=planned(number),
                owner=Nobody(),
                take=self.bench.feed.on_frame,
                connector_for=pytest.fail,
            )
            for number in range(1, connections + 1)
        ]
        self.monitor = _core.Monitor()
        self.model = HealthModel(ADDRESS, 1_000, 0, tuple(venues))
        self.now = 0
        for driver in self.drivers:
            driver.machine.start(self.now)
            driver.machine.opened(self.now)

    # The feeder.

    def lose(self, conn_id: int, code: int = 1006, reason: str = "") -> list[bytes]:
        """A connection is closed; the frames that say so, in order."""
        driver = self.drivers[conn_id - 1]
        lost = _lost(driver.machine.closed(self.now, code, reason))
        self.bench.feed.publish_status(scope=4, state=2, reason=3, conn_id=conn_id, text=lost[:16])
        publish_connection(self.bench.feed, driver, self.now)
        return self.frames()

    def regain(self, conn_id: int) -> None:
        """The connection is open and subscribed again."""
        driver = self.drivers[conn_id - 1]
        while driver.machine.deadline_ns is not None and driver.machine.state.value == "reconnecting":
            driver.machine.tick(driver.machine.deadline_ns)
        driver.machine.opened(self.now)
        self.bench.feed.publish_status(scope=4, state=1, reason=0, conn_id=conn_id)
        publish_connection(self.bench.feed, driver, self.now)

    def second(self, *conn_ids: int, messages: int = 0, heard: bool = True) -> None:
        """A second passes; these connections bring so many messages of 100 bytes, and CONN is told."""
        self.now += SECOND
        for conn_id in conn_ids:
            self.drivers[conn_id - 1].machine.received(self.now, messages, 100 * messages)
        sums = Sums()
        for driver in self.drivers:
            sums.add(driver.machine)
        publish_connections(self.bench.feed, self.drivers, sums, self.now)
        frames = self.frames()
        if heard:
            self.hear(frames)

    def frames(self) -> list[bytes]:
        """What was sent on the incremental plane."""
        taken = self.bench.publisher.take()
        return [data[: 66 + int.from_bytes(data[6:8], "little")] for plane, data in taken if plane == 0]

    # The monitor.

    def hear(self, frames: Iterable[bytes], late_ns: int = 0) -> None:
        for frame in frames:
            self.monitor.datagram(0, frame, START + self.now + late_ns)

    def report(self, after_ns: int = 0) -> HealthReport:
        return self.model.take(self.monitor, mono_ns=self.now + after_ns, wall_ns=START + self.now + after_ns)

    def look(self, after_ns: int = 0) -> VenueHealth:
        (venue,) = self.report(after_ns).venues
        return venue

    def events(self, after_ns: int = 0) -> list[tuple[str, bool]]:
        return [(event.text, event.is_bad) for event in self.report(after_ns).events]


def _lost(effects: list[Effect]) -> str:
    (lost,) = [effect for effect in effects if isinstance(effect, Lost)]
    return lost.reason
