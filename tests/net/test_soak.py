"""Networks drawn by seed, one after the other: one in CI, as many as fit OUTCRIER_SOAK_S by
`make soaknet`.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest

from net.namespaces import RELAY_PORT
from net.record import record
from net.world import World, settle

INSTRUMENTS, RATE, SECONDS = 50, 5_000, 2.5
ROUND_S_MAX = 120
SOAK_S = float(os.environ.get("OUTCRIER_SOAK_S", "0"))
SEED = int(os.environ.get("OUTCRIER_SOAK_SEED", "7"))

SOMETIMES = (
    "gaps",
    "filled",
    "given_up",
    "duplicates",
    "late",
    "refused_crc",
    "snapshot_missing",
    "lost_events",
)
"""What a soak has to have seen: a run that never came there has proven nothing about it."""

SOMETIMES_AFTER = 20
"""Rounds after which all of it must have happened."""

pytestmark = pytest.mark.timeout(SOAK_S + 2 * ROUND_S_MAX)


def drawn(seed: int) -> list[str]:
    """Options of a bad network."""
    chance = random.Random(seed)  # noqa: S311  # weather, and the same again

    def share(*most: float) -> str:
        return f"{chance.choice([0.0, *most]) * chance.random():.4f}%"

    burst = chance.choice(["", "40/1000", "200/5000", "500/10000"])
    return [
        *("--loss", share(0.1, 1, 5, 20), "--duplicate", share(1, 10), "--reorder", share(1, 10)),
        *("--corrupt", share(0.1, 2), "--truncate", share(1), "--garbage", share(1, 20)),
        *("--reorder-by", chance.choice(["100us", "1ms", "20ms"])),
        *("--delay", chance.choice(["0ms", "1ms"]), "--jitter", chance.choice(["0ms", "500us", "5ms"])),
        *("--lines", chance.choice(["a", "a,b", "a,snapshot", "a,b,snapshot,repair,text"])),
        *(["--burst", burst] if burst else []),
    ]


def one_round(world: World, seed: int) -> Counter[str]:
    """The load through a drawn network, then the oracle. Gives the counters of the consumer."""
    options = drawn(seed)
    publisher = world.publisher(instruments=INSTRUMENTS, rate=RATE, seconds=SECONDS, state=f"state{seed}")
    consumer = world.consumer(port=RELAY_PORT)
    try:
        with (
            world.relay("--seed", str(seed), *options) as relay,
            world.running(publisher, [consumer]),
        ):
            publisher.tell("go")
            publisher.until("done")
            # The quiet of the oracle: the network is whole again.
            relay.kill()
            with world.relay():
                ((told,),) = settle(publisher, [consumer])
    except BaseException as error:
        error.add_note(f"OUTCRIER_SOAK_SEED={seed}: outcrier chaos --seed {seed} {' '.join(options)}")
        raise
    return Counter(told["counters"])


def test_drawn_networks(world: World) -> None:
    end = time.monotonic() + SOAK_S
    sums: Counter[str] = Counter()
    rounds = 0
    while not rounds or time.monotonic() < end:
        sums += one_round(world, SEED + rounds)
        rounds += 1
    assert sums["different_bytes"] == sums["second_publisher"] == 0
    if rounds >= SOMETIMES_AFTER:
        assert [name for name in SOMETIMES if not sums[name]] == []
    record("soak", rounds=rounds, first_seed=SEED, counters=dict(sums))
