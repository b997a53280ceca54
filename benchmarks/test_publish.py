"""Publishing in batches: what the publisher's process spends on a message of 386 bytes, beside ZeroMQ PUB.

Only the way out is measured: both send messages that are ready. Ours go through `outcrier_net::UdpPublisher`,
the feeder's own; our other cases add, one after the other, what a publisher has there, so that each has its
price. What the kernel does for every consumer on this host it does in the sender's call: counted.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from benchmarks.frame import OURS, AtMost, Measure, Row
from benchmarks.sockets.group import LINE_A, Flow, Outcome, Wire
from benchmarks.sockets.load import Parts

PEER = "ZeroMQ PUB"
BURST = 512
"""Messages sent at once: 8 segmented sends, which fit the least receive buffer that a kernel gives."""

_HOW = (
    "CPU of the publisher's process per message, user and system, all threads, while it sends bursts of 512"
    " ready messages of 386 B on a core of its own. Ours: `UdpPublisher`, 64 frames a segmented send, line A."
    " Our other cases add, one after the other: the ear for other publishers; the store of the retransmit"
    " server, which grows meanwhile, and that server; line B, which the consumers join, too; the log with its"
    " thread. ZeroMQ: pyzmq, TCP, no high-water mark, its I/O thread included. Every consumer's messages are"
    " checked."
)

ROWS = {
    1: Row("publish, batched, publisher CPU, 1 consumer", "ns/message", (AtMost(0.35, PEER),), _HOW),
    4: Row("publish, batched, publisher CPU, 4 consumers", "ns/message", (), _HOW),
    16: Row("publish, batched, publisher CPU, 16 consumers", "ns/message", (AtMost(0.11, PEER),), _HOW),
}

FLOWS = {
    1: Flow(count=102_400, burst=BURST, every_ns=2_500_000),
    4: Flow(count=102_400, burst=BURST, every_ns=6_400_000),
    16: Flow(count=51_200, burst=BURST, every_ns=25_600_000),
}
"""Paced so that consumers of two lines keep up: one that lags fills its buffer, and what is dropped there
costs the publisher less."""

PARTS: Final = {
    OURS: LINE_A,
    "ours, guard": Parts(guard=True),
    "ours, guard, store": Parts(guard=True, kept=True),
    "ours, guard, store, line B": Parts(guard=True, kept=True, line_b=True),
}
LOGGED: Final = "ours, guard, store, line B, log"

_FEW: Final = (1, 4)
"""Consumers of the cases between line A alone and all parts; with sixteen all of them would take minutes."""

pytestmark = pytest.mark.record_only


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the log is; removed at once, since rounds would fill the disk."""
    path = tmp_path_factory.mktemp("published")
    yield path
    shutil.rmtree(path)


def _record(measure: Measure, case: str, outcome: Outcome, consumers: int) -> None:
    measure.value(ROWS[consumers], case, outcome.sender_cpu_ns, lost=outcome.lost())


@pytest.mark.parametrize(
    ("consumers", "case"),
    [(consumers, case) for consumers in ROWS for case in PARTS if case == OURS or consumers in _FEW],
)
def test_ours(measure: Measure, wire: Wire, consumers: int, case: str) -> None:
    _record(measure, case, wire.ours(FLOWS[consumers], consumers, parts=PARTS[case]), consumers)


@pytest.mark.parametrize("consumers", list(ROWS))
def test_ours_logged(measure: Measure, wire: Wire, consumers: int, folder: Path) -> None:
    parts = Parts(guard=True, kept=True, line_b=True, log=folder)
    _record(measure, LOGGED, wire.ours(FLOWS[consumers], consumers, parts=parts), consumers)


@pytest.mark.peer
@pytest.mark.parametrize("consumers", list(ROWS))
def test_zeromq(measure: Measure, wire: Wire, consumers: int) -> None:
    _record(measure, PEER, wire.zeromq(FLOWS[consumers], consumers), consumers)
