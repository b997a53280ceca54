"""Recovery: what it costs where nothing is lost, and that a fast feed reaches several consumers whole.

The publisher keeps what it sent and serves it, heartbeats name the server, and consumers would ask it for
what they lost.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from benchmarks.frame import OURS, AtMost, Limit, Measure, Row
from benchmarks.messages import SETS, MessageSet, answer_of
from benchmarks.ours import CONNECTION, begun_feed, instruments
from benchmarks.sockets.consume import COUNTERS
from benchmarks.sockets.group import ANYWHERE, Flow, Outcome, Wire, window
from benchmarks.sockets.load import BATCH, Parts
from outcrier import _core
from outcrier.venues import venue_by_name

OFF: Final = "recovery off"
PEER: Final = "ZeroMQ SUB"
KEPT: Final = Parts(guard=True, kept=True)

CONSUMER = Row(
    "Python consumer, recovery on, CPU",
    "ns/message",
    (AtMost(1.10, OFF),),
    "as the row of the Python consumer, nothing is lost, line A only; on and off (`Subscriber(repair=False)`)"
    " beside the same publisher, which keeps every frame and names its server. Each is run three times a"
    " round, by turns, the fastest counts.",
)
TURNS: Final = 3
COUNT: Final = 204_800

RECEIVER = Row(
    "receiver, recovery on",
    "ns/frame",
    (AtMost(1.10, OFF),),
    "one call of `Receiver.datagram` from Python for each frame of the set, in order, without sockets.",
)
_BETWEEN_NS: Final = 4_000
"""250,000 frames/s."""
PASSES: Final = 9
"""Of each in a round, by turns; the fastest counts."""
_TICK_EVERY: Final = 100
"""Messages after which the feed looks whether a heartbeat is due."""

CONSUMERS: Final = 4
RATE: Final = Flow(count=1_000_000, burst=BATCH, every_ns=BATCH * 4_000)
_HOW_RATE: Final = (
    "1,000,000 messages of 386 B, 64 every 256 µs for 4 s: line A, guard, store and server. The publisher and"
    " 4 Python consumers with recovery, which look at the top of the book after each batch, share both cores."
    " ZeroMQ by pyzmq over TCP without a high-water mark: it loses nothing and may fall behind. Below 0 ms:"
    " the sender lost its core between its last send and the look at its clock."
)
LOSSY: Final = Parts(guard=True, kept=True, lose=400)
"""A batch of 64 in 400 is missing everywhere: 0.25 % of all, in holes of 64 numbers."""
LOST = Row("250,000 messages/s to 4 Python consumers, lost", "lost of 1 M", (Limit(0),), _HOW_RATE)
HEALED = Row(
    "250,000 messages/s to 4 Python consumers, 0.25 % lost on the way, lost after recovery",
    "lost of 1 M",
    (Limit(0),),
    "the same, but a segmented send in 400 does not leave: each consumer misses 64 messages ten times a"
    " second and asks the server. All are of one instrument, which waits with at most 4,096 messages, 16 ms.",
)
BEHIND = Row(
    "250,000 messages/s to 4 Python consumers, last message behind the last send", "ms", (), _HOW_RATE
)


@pytest.mark.record_only
def test_consumer(measure: Measure, wire: Wire) -> None:
    flow = Flow(count=COUNT, burst=BATCH, window=window())
    spent: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(TURNS):
        for repair in (True, False) if turn % 2 else (False, True):
            outcome = wire.ours(flow, parts=KEPT, repair=repair)
            (consumer,) = outcome.consumers
            assert (outcome.lost(), consumer["missing"], consumer["requests"]) == (0, 0, 0)
            assert consumer["heartbeats"] > 0, "the server was not named"
            spent[repair].append(float(consumer["cpu_ns"]))
    measure.value(CONSUMER, OURS, min(spent[True]))
    measure.value(CONSUMER, OFF, min(spent[False]))


@dataclass(frozen=True)
class Published:
    """What a feed made of a message set."""

    frames: list[bytes]
    """Of the incremental plane, heartbeats among them, which name a server."""
    books: dict[int, str]
    """By the instrument's number."""
    venue: int


@lru_cache
def _published(data_dir: Path, messages: MessageSet) -> Published:
    listed = instruments(data_dir, messages)
    publisher = _core.Publisher.memory(retransmit=True)
    ours = begun_feed(messages, listed, publisher)
    for number, message in enumerate(messages.messages):
        ours.feed.on_frame(CONNECTION, message)
        if number % _TICK_EVERY == 0:
            ours.feed.tick()
    assert answer_of(ours.books()) == messages.answer
    ids = {instrument.native_symbol: wire_id for wire_id, instrument in enumerate(listed, 1)}
    return Published(
        [frame for plane, frame in publisher.take() if plane == 0],
        {ids[symbol]: _digest(*ours.feed.book(index)) for symbol, index in ours.indices.items()},
        venue_by_name(messages.venue).number,
    )


def _digest(*sides: object) -> str:
    book = blake2b(digest_size=16)
    for side in sides:
        book.update(np.array(side, np.int64).tobytes())
    return book.hexdigest()


def _take(published: Published, *, recovery: bool) -> tuple[_core.Receiver, float]:
    """A receiver that took all frames, and how long one took it in nanoseconds."""
    receiver = _core.Receiver(retransmit=recovery, consumer_id=7, seed=7)
    take = receiver.datagram
    gc.collect()
    gc.disable()
    start_ns = time.perf_counter_ns()
    for number, frame in enumerate(published.frames, 1):
        now_ns = number * _BETWEEN_NS
        take(0, frame, now_ns, now_ns)
    spent_ns = time.perf_counter_ns() - start_ns
    gc.enable()
    return receiver, spent_ns / len(published.frames)


@pytest.mark.parametrize("on", list(SETS))
def test_receiver(measure: Measure, messages: MessageSet, data_dir: Path, on: str) -> None:
    published = _published(data_dir, messages)
    for recovery in (True, False):
        receiver, _ = _take(published, recovery=recovery)
        sums = receiver.counters()
        assert (sums["heartbeats"] > 0, sums["missing"], sums["requests"]) == (True, 0, 0)
        for number, book in published.books.items():
            assert _digest(*receiver.book(published.venue, number, 0)) == book
    if not measure.is_recording:
        return
    spent: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(PASSES):
        for recovery in (True, False) if turn % 2 else (False, True):
            spent[recovery].append(_take(published, recovery=recovery)[1])
    measure.value(RECEIVER, OURS, min(spent[True]), on=on)
    measure.value(RECEIVER, OFF, min(spent[False]), on=on)


@pytest.mark.record_only
def test_rate(measure: Measure, wire: Wire) -> None:
    outcome = wire.ours(RATE, CONSUMERS, parts=KEPT, cores=ANYWHERE)
    _record_rate(measure, OURS, outcome, **_losses(outcome))


@pytest.mark.record_only
def test_lossy_rate(measure: Measure, wire: Wire) -> None:
    outcome = wire.ours(RATE, CONSUMERS, parts=LOSSY, cores=ANYWHERE)
    told = _losses(outcome)
    assert told["missing"] > 0, "nothing was lost on the way"
    about = {"sent_per_s": outcome.sent_per_s(), "behind_ms": round(outcome.behind_ms(), 2), **told}
    measure.value(HEALED, OURS, float(outcome.lost()), **about)


def _losses(outcome: Outcome) -> dict[str, Any]:
    """What the consumers missed and got again, all together."""
    sums = {name: sum(int(each[name]) for each in outcome.consumers) for name in COUNTERS}
    return {"sent_again": outcome.sender["sent_again"], **sums}


@pytest.mark.peer
def test_rate_zeromq(measure: Measure, wire: Wire) -> None:
    _record_rate(measure, PEER, wire.zeromq(RATE, CONSUMERS, cores=ANYWHERE))


def _record_rate(measure: Measure, case: str, outcome: Outcome, **told: object) -> None:
    about: dict[str, Any] = {"sent_per_s": outcome.sent_per_s(), **told}
    measure.value(LOST, case, float(outcome.lost()), **about)
    measure.value(BEHIND, case, outcome.behind_ms(), **about)
