"""Rows 1 and 2 of docs/reliability.md: frames are lost, alone and in runs."""

from __future__ import annotations

import pytest

from net.namespaces import GROUP_A, GROUP_B
from net.record import record
from net.world import World, settle

pytestmark = pytest.mark.timeout(120)

_GROUPS = {"a": GROUP_A, "b": GROUP_B}


def of_line(cable: str, rule: str) -> str:
    """A rule for the incremental line of a cable."""
    return f"ip daddr {_GROUPS[cable]} {rule}"


@pytest.mark.parametrize("per_mille", [1, 50, 100])
def test_loss_on_one_line(world: World, per_mille: int) -> None:
    publisher, consumer = world.publisher(line_b=False), world.consumer(line_b=False)
    with world.running(publisher, [consumer]):
        world.lab.harm("a", [of_line("a", f"numgen random mod 1000 < {per_mille} counter drop")])
        publisher.tell("go")
        done = publisher.until("done")
        lost = world.lab.hits()["in_a"]
        world.lab.heal()
        ((told,),) = settle(publisher, [consumer])
    assert lost > done["sent"] * per_mille // 2_000
    assert told["counters"]["gaps"] > 0
    record(
        f"1 loss {per_mille / 10:g} % on one line",
        sent=done["sent"],
        lost=lost,
        given_up=told["counters"]["given_up"],
        delay_ms=told["delay_ms"],
        heal_ms=told["heal_ms"],
    )
