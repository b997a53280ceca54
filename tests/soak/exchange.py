"""The exchanges of a soak, a program: stand-ins, and faults at random. It tells what it did, a JSON object a
line.

    python -m soak.exchange PLAN SEED EVERY_S FOLDER

PLAN: the JSON of `Played`s. Writes FOLDER/VENUE.toml, a configuration for each. Faults begin when a line
comes on the standard input and end with the next one.
"""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from outcrier.capture.faults import ABORT, Fault, FaultKind
from outcrier.capture.stand_in import StandIn
from outcrier.clock import wall_ns
from outcrier.config import render
from outcrier.venues import venue_by_name
from soak.plan import Played

KINDS: Final[tuple[FaultKind, ...]] = (
    "close",
    "stall",
    "stale",
    "half_open",
    "refuse_connects",
    "refuse_rest",
    "drop",
)
SECONDS: Final = (0.5, 5.0)
LOOK_S: Final = 0.02


def tell(**what: Any) -> None:
    sys.stdout.write(msgspec.json.encode({"t": wall_ns() / 1e9, **what}).decode() + "\n")
    sys.stdout.flush()


async def misbehave(stand_in: StandIn, dice: random.Random, every_s: float) -> None:
    """Faults at random moments, for ever."""
    while True:
        await asyncio.sleep(dice.expovariate(1 / every_s))
        kind = dice.choice(KINDS)
        seconds = dice.uniform(*SECONDS) if kind not in {"close", "drop"} else 0.0
        status = dice.choice((429, 503))
        is_refusal = kind in {"refuse_connects", "refuse_rest"}
        fault = Fault(
            kind=kind,
            seconds=seconds,
            one=dice.random() < 0.5,
            code=dice.choice((ABORT, 1001)),
            status=status,
            count=0 if is_refusal else 1,
        )
        tell(venue=stand_in.venue.name, kind=f"{kind} {status}" if is_refusal else kind, seconds=seconds)
        stand_in.inject(fault)
        if is_refusal:
            stand_in.inject(Fault(kind="close"))
        # A refusal that nobody met yet lasts from the first request on, so the next fault waits for its end.
        await asyncio.sleep(seconds)


async def watch(stand_in: StandIn) -> None:
    """Tells of connections, refusals, ends of captures and whatever limit was not kept."""
    before: dict[str, int] = {}
    while True:
        counters = stand_in.counters
        now = {"connect": counters.connections, "failed": counters.failed, "slow": counters.slow}
        now |= {
            kind: counters.injected.get(kind, 0) for kind in ("end", "loop", "stall", "stale", "half_open")
        }
        now |= {kind: counters.injected.get(kind, 0) for kind in ("close", "drop")}
        now |= {f"met {kind}": counters.injected.get(kind, 0) for kind in ("refuse_connects", "refuse_rest")}
        now |= {f"breach {kind}": count for kind, count in counters.breaches.items()}
        for kind, count in now.items():
            if count != before.get(kind, 0):
                tell(venue=stand_in.venue.name, happened=kind, count=count)
        before = now
        await asyncio.sleep(LOOK_S)


async def run(plan: list[Played], seed: int, every_s: float, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with AsyncExitStack() as stack:
        stand_ins = []
        for each in plan:
            stand_in = StandIn(
                venue_by_name(each.venue),
                list(map(Path, each.captures)),
                copies=each.copies,
                speed=each.speed,
                loop=True,
            )
            await stack.enter_async_context(stand_in)
            (folder / f"{each.venue}.toml").write_text(render(stand_in.config()), encoding="utf-8")
            tell(venue=each.venue, symbols=stand_in.venue_config().symbols, bookless=stand_in.found.beginless)
            stand_ins.append(stand_in)
        tell(ready=True)
        tasks = [asyncio.create_task(watch(stand_in)) for stand_in in stand_ins]
        await reader.readline()
        tasks += [
            asyncio.create_task(misbehave(stand_in, random.Random(f"{seed} {stand_in.venue.name}"), every_s))  # noqa: S311
            for stand_in in stand_ins
        ]
        await reader.readline()
        for task in tasks:
            task.cancel()
        for stand_in in stand_ins:
            tell(venue=stand_in.venue.name, counters=msgspec.to_builtins(stand_in.counters))


if __name__ == "__main__":
    asyncio.run(
        run(
            msgspec.json.decode(sys.argv[1], type=list[Played]),
            int(sys.argv[2]),
            float(sys.argv[3]),
            Path(sys.argv[4]),
        )
    )
