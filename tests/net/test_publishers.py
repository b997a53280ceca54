"""Rows 11 to 13 of docs/reliability.md: publishers that die, that are two, and clocks that step."""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from net.load import VENUE
from net.namespaces import RELAY_PORT
from net.processes import Program, until
from net.record import record
from net.world import World, all_live, settle
from outcrier.clock import SESSION_EPOCH_NS
from outcrier.feeder.state import VenueState

pytestmark = pytest.mark.timeout(180)

INSTRUMENTS, RATE = 20, 2_000
ANOTHER_PORT = 9_201
KILLS = 20
KILL_S_MAX = 0.3
"""A publisher lives so long after its books are there, at most."""

LATER = 1_000
"""Sessions between one publisher and its successor, less one: they have different books."""

STEP_S = 3_600
PROC_NS_MAX = 4_000_000_000
"""Just below where the field saturates: an hour would."""

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


def test_publishers_that_are_killed(world: World) -> None:
    chance = random.Random(7)  # noqa: S311  # when to kill, and the same again
    consumer = world.consumer()
    sessions, outages = [], []
    with ExitStack() as stack:
        stack.enter_context(consumer)
        consumer.until("ready")
        for _ in range(KILLS):
            publisher = world.publisher(instruments=INSTRUMENTS, rate=RATE, seconds=60.0)
            killed = time.monotonic()
            with publisher:
                sessions.append(publisher.until("ready")["session"])
                publisher.tell("go")
                time.sleep(chance.uniform(0, KILL_S_MAX))  # It dies anywhere.
                publisher.kill()
            outages.append(time.monotonic() - killed)
        publisher = stack.enter_context(world.publisher(instruments=INSTRUMENTS, rate=RATE, seconds=1.0))
        sessions.append(publisher.until("ready")["session"])
        publisher.tell("go")
        all_live(consumer)
        ((told,),) = settle(publisher, [consumer])
    assert sessions == sorted(set(sessions)), "strictly increasing"
    (channel,) = told["channels"]
    assert channel["session"] == sessions[-1]
    assert told["counters"]["sessions"] > KILLS // 2
    assert told["counters"]["second_publisher"] == 0
    record(
        "11: publisher killed", kills=KILLS, sessions=told["counters"]["sessions"], compared=told["compared"]
    )


def test_a_second_publisher_refuses_to_start(world: World) -> None:
    first = world.publisher(instruments=INSTRUMENTS, rate=RATE, seconds=1.0)
    consumer = world.consumer()
    with world.running(first, [consumer]):
        with world.publisher(instruments=1, rate=1, state="another") as second:
            refused = second.until("refused")["refused"]
            assert second.end() == 4
        first.tell("go")
        ((told,),) = settle(first, [consumer])
    assert "channel 2" in refused or "published" in refused
    assert "session" in refused
    assert told["counters"]["split_brain"] == told["counters"]["second_publisher"] == 0


def test_a_zombie_beside_its_successor(world: World) -> None:
    zombie = world.publisher(instruments=INSTRUMENTS, rate=RATE, seconds=60.0)
    consumer = world.consumer()
    with world.running(zombie, [consumer]):
        zombie.tell("go")
        old = zombie.until("ready")["session"]
        until(lambda: consumer.last("look") is not None, "a look")
        come_later(world, "another", old)
        zombie.signal(signal.SIGSTOP)
        with world.publisher(instruments=INSTRUMENTS, rate=RATE, seconds=3.0, state="another") as second:
            new = second.until("ready")["session"]
            all_live(consumer)
            second.tell("go")
            began = time.monotonic()
            zombie.signal(signal.SIGCONT)
            code = zombie.end()
            stopped_s = time.monotonic() - began
            ((told,),) = settle(second, [consumer])
    assert new > old
    assert code != 0, "it hears a higher session and gives way"
    (channel,) = told["channels"]
    assert channel["session"] == new
    record("12: zombie", stopped_s=round(stopped_s, 3), old_session=told["counters"]["old_session"])


def test_two_sessions_at_once(world: World) -> None:
    """The way to the first publisher breaks, a second one takes its place, and the first is heard again."""
    first = world.publisher(instruments=INSTRUMENTS, rate=RATE, seconds=60.0)
    second = world.publisher(
        instruments=INSTRUMENTS, rate=RATE, seconds=3.0, state="another", port=ANOTHER_PORT
    )
    consumer = world.consumer(port=RELAY_PORT)
    with world.relay() as way, world.relay(port=ANOTHER_PORT), world.running(first, [consumer]):
        first.tell("go")
        old = first.until("ready")["session"]
        come_later(world, "another", old)
        way.signal(signal.SIGSTOP)
        with second:
            new = second.until("ready")["session"]
            until(lambda: sessions_of(consumer) == [new], "the second publisher")
            all_live(consumer)
            way.signal(signal.SIGCONT)
            second.tell("go")
            second.until("done")
            assert first.running, "it cannot hear that it was replaced"
            way.kill()
            ((told,),) = settle(second, [consumer])
    counters = told["counters"]
    assert new > old
    assert counters["old_session"] > 100, "they came, and were refused"
    assert counters["sessions"] == 2
    assert counters["different_bytes"] == counters["second_publisher"] == 0
    record(
        "12: two sessions at once", old_session=counters["old_session"], split_brain=counters["split_brain"]
    )


def come_later(world: World, state: str, session: int) -> None:
    """The next session of `state` is higher than `session` by an odd number: it has the other books."""
    with VenueState(world.folder / state, "test", VENUE.name, VENUE.number) as kept:
        kept.next_session(SESSION_EPOCH_NS + (session + LATER) * 1_000_000_000)


def sessions_of(consumer: Program) -> list[int]:
    """What a consumer hears."""
    looks = consumer.last("look")
    return [] if looks is None else looks["look"][0]["sessions"]


@pytest.mark.parametrize("whose", ["publisher", "consumer"])
def test_a_clock_that_steps(world: World, tmp_path: Path, whose: str) -> None:
    if not FAKETIME:
        pytest.skip("libfaketime is missing: apt-get install faketime")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    faked = {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    environments = {whose: faked}
    publisher = world.publisher(
        instruments=INSTRUMENTS, rate=RATE, seconds=2.5, environment=environments.get("publisher")
    )
    consumer = world.consumer(environment=environments.get("consumer"))
    with world.running(publisher, [consumer]):
        publisher.tell("go")
        for steps in (STEP_S, -STEP_S):
            time.sleep(0.7)  # In the middle of the load.
            offset.write_text(f"{steps:+d}")
        ((told,),) = settle(publisher, [consumer])
    counters = told["counters"]
    assert counters["sessions"] == 1
    assert counters["silences"] == counters["split_brain"] == 0
    assert told["lost_events"] == 0
    assert told["backwards"] == 0, "no stamp of the publisher goes back"
    assert told["proc_ns_max"] < PROC_NS_MAX, "a duration is taken from the clock that does not step"
    record(f"13: clock of the {whose} steps", steps_s=[STEP_S, -2 * STEP_S], compared=told["compared"])
