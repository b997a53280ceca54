"""Rows 8 to 10 of docs/reliability.md: consumers that are slow, many, or late."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

from net.consumer import percentiles
from net.record import record
from net.world import INSTRUMENTS, RATE, World, settle

pytestmark = pytest.mark.timeout(120)

STOPPED_S = 1.5
"""How long the slow consumer does nothing."""

SMALL_BUFFER = {"OUTCRIER__SUBSCRIBER__RCVBUF_BYTES": "212992"}
"""The kernel's usual buffer: 170 frames, a hundredth of what comes while it does nothing."""

SUBSCRIBERS = 20
COPIES_MAX = 4
JOINS = 10


def test_a_slow_consumer_hurts_itself_alone(world: World) -> None:
    publisher = world.publisher(seconds=3.0)
    slow, neighbour = world.consumer(environment=SMALL_BUFFER), world.consumer()
    with world.running(publisher, [slow, neighbour]):
        publisher.tell("go")
        slow.signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)  # How long the fault lasts.
        slow.signal(signal.SIGCONT)
        done = publisher.until("done")
        (slow_told,), (told,) = settle(publisher, [slow, neighbour])
    counters = slow_told["counters"]
    assert counters["kernel_drops"] > 0
    assert slow_told["lost_events"] > 0, "it is told what it lost"
    assert counters["missing"] > 1_000
    assert told["counters"]["kernel_drops"] == 0
    assert told["lost_events"] == 0, "its neighbour lost nothing"
    record(
        "8: slow consumer",
        stopped_s=STOPPED_S,
        rate=round(done["sent"] / done["seconds"]),
        asked=RATE,
        slow={"lost_events": slow_told["lost_events"], "counters": slow_told["counters"]},
        neighbour={"delay_ms": told["delay_ms"], "missing": told["counters"]["missing"]},
    )


def test_many_consumers_lose_the_same_frames(world: World) -> None:
    # Twenty times that is what their one process has to do, with time left on a machine that is busy.
    publisher = world.publisher(instruments=20, rate=400, seconds=5.0, line_b=False)
    crowd = world.consumer(subscribers=SUBSCRIBERS, line_b=False)
    sniffer = world.on_consumer("net.sniffer", device="ca")
    with sniffer, world.running(publisher, [crowd]):
        sniffer.until("listening")
        # What is lost is lost before the way parts to the sockets: all of them miss it.
        world.lab.harm("a", ["ip daddr 239.192.90.1 numgen random mod 1000 < 50 counter drop"])
        publisher.tell("go")
        done = publisher.until("done")
        lost = sum(world.lab.hits().values())
        world.lab.heal()
        (told,) = settle(publisher, [crowd])
        sniffer.tell("copies")
        answers = sniffer.until("copies")
        copies = {int(number): count for number, count in answers["copies"].items()}
    assert len(told) == SUBSCRIBERS
    assert all(each["counters"]["gaps"] > 0 for each in told)
    assert answers["frames"] > lost / 4, "the others were heartbeats"
    assert answers["together"] <= COPIES_MAX
    # Twenty consumers in one busy process: a few ask later than those whose answer they could have had.
    assert sum(count for number, count in copies.items() if number > COPIES_MAX) <= answers["frames"] / 20
    record("9: many slow consumers", sent=done["sent"], lost=lost, consumers=SUBSCRIBERS, copies=copies)


def test_late_joiners(world: World) -> None:
    publisher = world.publisher(seconds=60.0, rate=RATE // 4)
    joiner = world.on_consumer("net.joiner", truths=world.truths, joins=JOINS, seed=7)
    with world.running(publisher, []):
        publisher.tell("go")
        with joiner:
            joiner.until("over")
            joins = [each for each in joiner.said if "joined" in each]
    assert len(joins) == JOINS
    for each in joins:
        assert each["books"] == each["live"] == INSTRUMENTS
        assert not each["wrong"]
    assert sum(each["compared"] for each in joins) > JOINS * INSTRUMENTS // 2
    after_ms = percentiles(np.array([each["joined"] for each in joins]))
    record("10: late joiners", joins=JOINS, instruments=INSTRUMENTS, live_after_ms=after_ms)
