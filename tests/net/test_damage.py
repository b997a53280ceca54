"""Rows 3 to 7 of docs/reliability.md: frames come in another order, twice, damaged, or are none."""

from __future__ import annotations

from typing import Any

import pytest

from net.namespaces import RELAY_PORT
from net.processes import Program, python
from net.record import record
from net.world import World, settle

pytestmark = pytest.mark.timeout(120)

INSTRUMENTS, RATE, SECONDS = 50, 5_000, 2.5
SEED = "7"
REFUSED = "refused_"


def refused(counters: dict[str, int]) -> int:
    """Datagrams that were taken for no frame."""
    return sum(count for name, count in counters.items() if name.startswith(REFUSED))


def through_relay(world: World, *options: str) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    """The load through `outcrier chaos`, then the oracle.

    Gives what the consumer told, and the relay's counts by line.
    """
    publisher = world.publisher(instruments=INSTRUMENTS, rate=RATE, seconds=SECONDS)
    consumer = world.consumer(port=RELAY_PORT)
    with (
        world.relay("--seed", SEED, *options) as relay,
        world.running(publisher, [consumer]),
    ):
        publisher.tell("go")
        ((told,),) = settle(publisher, [consumer])
        lines = relay.said[-1]["lines"]
    return told, lines


def test_reordered_frames(world: World) -> None:
    told, lines = through_relay(world, "--reorder", "2%", "--reorder-by", "200us", "--lines", "a,b")
    reordered = sum(line["reordered"] for line in lines.values())
    assert reordered > 100
    assert told["counters"]["given_up"] == 0
    assert told["lost_events"] == 0
    counters = {name: told["counters"][name] for name in ("gaps", "filled", "requests", "late")}
    record("3: reordered", reordered=reordered, counters=counters)


def test_duplicated_frames(world: World) -> None:
    publisher, consumer = (
        world.publisher(instruments=INSTRUMENTS, rate=RATE, seconds=SECONDS),
        world.consumer(),
    )
    with world.running(publisher, [consumer]):
        world.lab.double("a", 100)
        publisher.tell("go")
        done = publisher.until("done")
        # A batch of frames counts as one here: what leaves as one is doubled as one.
        doubled = sum(world.lab.hits(world.lab.publisher).values())
        world.lab.heal()
        ((told,),) = settle(publisher, [consumer])
    counters = told["counters"]
    assert doubled > 0
    # Copies are what line B brings of line A anyway.
    twice = counters["duplicates"] - counters["copies"]
    assert twice > done["sent"] // 30
    assert counters["different_bytes"] == counters["second_publisher"] == 0
    assert told["lost_events"] == 0
    record("4: duplicated", sent=done["sent"], batches_doubled=doubled, duplicates=twice)


def test_corrupted_and_cut_frames(world: World) -> None:
    told, lines = through_relay(world, "--corrupt", "1%", "--truncate", "1%")
    counters = told["counters"]
    damaged = sum(line["corrupted"] + line["truncated"] for line in lines.values())
    assert lines["a"]["corrupted"] > 100
    assert 0 < refused(counters) <= damaged
    assert counters["refused_crc"] > 0
    assert counters["different_bytes"] == 0
    record("5: corrupted", damaged=damaged, refused=refused(counters), accepted=0)


def test_garbage_beside_the_feed(world: World) -> None:
    publisher, consumer = (
        world.publisher(instruments=INSTRUMENTS, rate=RATE, seconds=SECONDS),
        world.consumer(),
    )
    flood = Program(
        world.lab.publisher, python("net.flood", seconds=2.0, seed=7), world.lab.environment("publisher")
    )
    with world.running(publisher, [consumer]):
        publisher.tell("go")
        with flood:
            sent = flood.until("flooded")
        ((told,),) = settle(publisher, [consumer])
        complaints = consumer.until("last")["complaints"]
    counters = told["counters"]
    causes = {name for name, count in counters.items() if name.startswith(REFUSED) and count}
    assert refused(counters) > sent["datagrams"] // 10
    assert {"refused_too_short", "refused_sync", "refused_length", "refused_crc"} <= causes
    assert len(complaints) <= len(causes) * 10, "at most a line a second and cause"
    assert counters["different_bytes"] == counters["second_publisher"] == counters["split_brain"] == 0
    record(
        "6: garbage",
        garbage=sent["datagrams"],
        garbage_per_s=round(sent["datagrams"] / sent["seconds"]),
        refused=refused(counters),
        kernel_drops=counters["kernel_drops"],
        delay_ms=told["delay_ms"],
    )
