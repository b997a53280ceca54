"""CONN messages: the health of each connection and of the venue, for monitors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from outcrier import _core
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.driver import ConnectionDriver
from outcrier.feeder.links import Sums

CONN_EVERY_NS: Final = SECOND_NS
"""CONN messages tell the health of each connection once a second, and at once when it changes."""

NEVER_MS: Final = 2**32 - 1
"""Silence of a connection that never brought a message."""


def publish_connection(feed: _core.Feed, driver: ConnectionDriver, now_ns: int) -> None:
    """One connection."""
    machine = driver.machine
    feed.publish_connection(
        conn_id=driver.conn_id,
        connected=int(driver.is_connected),
        disconnected=int(not driver.is_connected),
        reconnects=machine.reconnects,
        messages=machine.messages,
        bytes=machine.bytes,
        subscriptions=driver.subscriptions,
        silence_ms=_silence_ms(now_ns, machine.last_received_ns),
        expected_ms=machine.spec.expected_silence_ns // 1_000_000,
    )


def publish_connections(
    feed: _core.Feed, drivers: Sequence[ConnectionDriver], sums: Sums, now_ns: int
) -> None:
    """The venue as a whole, with what connections did that are gone, then each connection."""
    machines = [driver.machine for driver in drivers]
    connected = sum(driver.is_connected for driver in drivers)
    feed.publish_connection(
        conn_id=0,
        connected=connected,
        disconnected=len(machines) - connected,
        reconnects=sums.reconnects,
        messages=sums.messages,
        bytes=sums.bytes,
        subscriptions=sum(driver.subscriptions for driver in drivers),
        silence_ms=_silence_ms(now_ns, max((machine.last_received_ns for machine in machines), default=0)),
        expected_ms=max((each.spec.expected_silence_ns for each in machines), default=0) // 1_000_000,
    )
    for driver in drivers:
        publish_connection(feed, driver, now_ns)


def _silence_ms(now_ns: int, last_ns: int) -> int:
    return min((now_ns - last_ns) // 1_000_000, NEVER_MS) if last_ns else NEVER_MS
