"""The consumer in Python: what reading a message and looking at the top of the book costs, and what is lost.

A message of ZeroMQ is a book top that the publisher made: the consumer receives and unpacks it. Ours is an
update of 18 levels of a whole book: the receiver checks it, follows its numbers and mirrors the book; Python
takes batches and asks for the best bid and ask after each.
"""

from __future__ import annotations

import pytest

from benchmarks.frame import OURS, AtMost, Limit, Measure, Row
from benchmarks.sockets.group import Flow, Outcome, Wire, window
from benchmarks.sockets.load import BATCH

PEER = "ZeroMQ SUB"
COUNT = 307_200

_HOW = (
    "consumer saturated, on a core of its own; messages of 386 B, ours 64 to a segmented send, as far ahead"
    " as the receive buffer holds for certain, at most 4,096; ZeroMQ by pyzmq over TCP, all threads of the"
    " consumer's process."
)
WALL = Row("Python consumer, read and top of book, wall", "ns/message", (AtMost(0.6, PEER),), _HOW)
CPU = Row("Python consumer, read and top of book, CPU", "ns/message", (AtMost(0.6, PEER),), _HOW)

LOSS = Row(
    "Python consumer, loss at 1 M packets/s",
    "lost of 2 M",
    (Limit(0),),
    "386 B, segmented, GRO: a batch of 64 every 64 µs for 2 s; receive buffer of 16 MiB asked with"
    " SO_RCVBUFFORCE (32 MiB effective), which needs CAP_NET_ADMIN: without it the kernel gives less and the"
    " number says what that cost.",
)

pytestmark = pytest.mark.record_only


def _record(measure: Measure, case: str, outcome: Outcome) -> None:
    (consumer,) = outcome.consumers
    assert outcome.lost() == 0
    about = {key: consumer[key] for key in ("batches", "receiving_thread_cpu_ns") if key in consumer}
    measure.value(WALL, case, consumer["wall_ns"], **about)
    measure.value(CPU, case, consumer["cpu_ns"], **about)


def test_ours(measure: Measure, wire: Wire) -> None:
    _record(measure, OURS, wire.ours(Flow(count=COUNT, burst=BATCH, window=window())))


@pytest.mark.peer
def test_zeromq(measure: Measure, wire: Wire) -> None:
    _record(measure, PEER, wire.zeromq(Flow(count=COUNT, burst=BATCH)))


def test_loss(measure: Measure, wire: Wire) -> None:
    outcome = wire.ours(Flow(count=2_000_000, burst=BATCH, every_ns=BATCH * 1_000))
    (consumer,) = outcome.consumers
    sent_per_s = round(1e9 * outcome.sender["sent"] / outcome.sender["wall_ns"])
    measure.value(
        LOSS,
        OURS,
        float(outcome.lost()),
        sent_per_s=sent_per_s,
        complaints=consumer["complaints"],
        cpu_ns=consumer["cpu_ns"],
    )
