"""Rows 1 and 2 of docs/reliability.md: frames are lost, alone and in runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from net.namespaces import GROUP_A, GROUP_B, RELAY_PORT
from net.processes import Program, outcrier
from net.record import record
from net.world import World, settle

pytestmark = pytest.mark.timeout(120)

_GROUPS = {"a": GROUP_A, "b": GROUP_B}

PHASE_S = 1.2
"""How long a network is as bad as that: 24,000 frames of 20,000 a second."""

CUT_S = 0.3
"""How long both cables are cut: 6,000 frames."""

REPLAYED = "binance_usdm/usdm_btcusdt_2022-08-11"

Phase = tuple[str, str]
"""What it is called, and which frames of each line are lost, in the words of nft; none where it is empty."""


def run(world: World, cables: str, phases: Sequence[Phase]) -> tuple[dict[str, Any], dict[str, int]]:
    """The load through networks of several kinds, then the oracle.

    Gives what the consumer told at the end, and how many frames were lost in each phase.
    """
    line_b = "b" in cables
    seconds = 2 * PHASE_S * len(phases)
    publisher, consumer = world.publisher(seconds=seconds, line_b=line_b), world.consumer(line_b=line_b)
    lost: dict[str, int] = {}
    with world.running(publisher, [consumer]):
        publisher.tell("go")
        for name, rule in phases:
            for cable in cables if rule else "":
                world.lab.harm(cable, [f"ip daddr {_GROUPS[cable]} {rule} counter drop"])
            time.sleep(PHASE_S)  # How long the fault lasts.
            lost[name] = sum(world.lab.hits().values()) if rule else 0
            record(name, lost=lost[name], **consumer.ask("mark"))
        world.lab.heal()
        publisher.tell("stop")
        ((told,),) = settle(publisher, [consumer])
    assert told["counters"]["gaps"] > 0
    return told, lost


def test_loss_on_one_line(world: World) -> None:
    shares = (1, 10, 50, 100)
    rules = [(f"1: {each / 10:g} % on one line", f"numgen random mod 1000 < {each}") for each in shares]
    _, lost = run(world, "a", [("1: no loss on one line", ""), *rules])
    counts = list(lost.values())[1:]
    assert counts[0] > 0
    assert counts == sorted(counts), "ten times, five times and twice as many"


def test_loss_on_both_lines(world: World) -> None:
    rules = [(f"1: {each / 10:g} % on both lines", f"numgen random mod 1000 < {each}") for each in (10, 50)]
    told, lost = run(world, "ab", [("1: no loss on both lines", ""), *rules])
    assert all(list(lost.values())[1:])
    assert told["counters"]["given_up"] == 0
    assert told["lost_events"] == 0


def test_bursts_on_one_line(world: World) -> None:
    rules = [
        ("2: bursts of 40", "numgen inc mod 1000 < 40"),
        ("2: bursts of 500", "numgen inc mod 10000 < 500"),
    ]
    _, lost = run(world, "a", rules)
    assert lost["2: bursts of 40"] >= 40
    assert lost["2: bursts of 500"] >= 500


def test_cut_cables(world: World) -> None:
    publisher, consumer = world.publisher(seconds=2.5), world.consumer()
    with world.running(publisher, [consumer]):
        publisher.tell("go")
        time.sleep(1.0)  # In the middle of the load.
        for cable in "ab":
            world.lab.unplug(cable)
        time.sleep(CUT_S)  # How long the fault lasts.
        for cable in "ab":
            world.lab.plug(cable)
        done = publisher.until("done")
        ((told,),) = settle(publisher, [consumer])
    assert told["counters"]["gaps"] > 0
    errors = done["publisher"]["errors"]
    record("2: both cables cut", cut_s=CUT_S, sent=done["sent"], errors=errors, heal_ms=told["heal_ms"])


def test_a_replayed_capture_through_a_bad_network(
    world: World, capture: Callable[[str], Path], tmp_path: Path
) -> None:
    """The programs that users run: replay, chaos, and a consumer that hears no other way."""
    words = outcrier("replay", str(capture(REPLAYED)), "--speed", "max", "--rate", "2000", "--json")
    state = {"XDG_STATE_HOME": str(tmp_path)}
    replay = Program(world.lab.publisher, words, {**world.lab.environment("publisher"), **state})
    consumer = replace(world, truths=[]).consumer(port=RELAY_PORT)
    with world.relay("--loss", "10%", "--burst", "20/500", "--seed", "7") as relay, consumer, replay:
        consumer.until("ready")
        summary = replay.until("venues")
        (books,) = consumer.ask("books")
        ((told),) = consumer.ask("last")
        lines = relay.said[-1]["lines"]
    expected = {book["symbol"]: book["hash"] for venue in summary["venues"] for book in venue["books"]}
    assert {name: book for name, (_, _, book) in books.items()} == expected
    assert lines["a"]["lost"] > 0
    assert lines["a"]["burst_lost"] > 0
    assert told["counters"]["gaps"] > 0
    assert not told["holes"]
