"""Publishing in batches: what the publisher's process spends on a message of 386 bytes, beside ZeroMQ PUB.

Only the way out is measured: both send messages that are ready. Ours go through `outcrier_net::UdpPublisher`,
the feeder's own way out. What the kernel does for every consumer on this host it does in the sender's call:
counted.
"""

from __future__ import annotations

import pytest

from benchmarks.frame import OURS, AtMost, Measure, Row
from benchmarks.sockets.group import Flow, Outcome, Wire

PEER = "ZeroMQ PUB"
BURST = 512
"""Messages sent at once: 8 segmented sends, which fit the least receive buffer that a kernel gives."""

_HOW = (
    "CPU of the publisher's process per message, user and system, all threads, while it sends bursts of 512"
    " ready messages of 386 B on a core of its own. Ours: `UdpPublisher`, 64 frames a segmented send. ZeroMQ:"
    " pyzmq, TCP, no high-water mark, its I/O thread included. Every consumer's messages are checked."
)

ROWS = {
    1: Row("publish, batched, publisher CPU, 1 consumer", "ns/message", (AtMost(0.35, PEER),), _HOW),
    16: Row("publish, batched, publisher CPU, 16 consumers", "ns/message", (AtMost(0.11, PEER),), _HOW),
}

FLOWS = {
    1: Flow(count=102_400, burst=BURST, every_ns=2_500_000),
    16: Flow(count=51_200, burst=BURST, every_ns=12_800_000),
}
"""Paced so that consumers keep up: one that lags fills its buffer, and what is dropped there costs the
publisher less."""

pytestmark = [
    pytest.mark.record_only,
    pytest.mark.parametrize("consumers", [1, 16]),
]


def _record(measure: Measure, case: str, outcome: Outcome, consumers: int) -> None:
    measure.value(ROWS[consumers], case, outcome.sender_cpu_ns, lost=outcome.lost())


def test_ours(measure: Measure, wire: Wire, consumers: int) -> None:
    _record(measure, OURS, wire.ours(FLOWS[consumers], consumers), consumers)


@pytest.mark.peer
def test_zeromq(measure: Measure, wire: Wire, consumers: int) -> None:
    _record(measure, PEER, wire.zeromq(FLOWS[consumers], consumers), consumers)
