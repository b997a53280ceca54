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
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from outcrier.capture.answering import Emission
from outcrier.capture.connection import Connection
from outcrier.capture.faults import ABORT, Fault, FaultKind
from outcrier.capture.stand_in import StandIn
from outcrier.clock import wall_ns
from outcrier.config import render
from outcrier.feeder.backoff import ARRIVAL_FACTOR
from outcrier.feeder.plan import plan_venue, spec_of
from outcrier.instruments import Catalogue
from outcrier.venues import venue_by_name
from soak.account import LOSSES
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


class Watched(StandIn):
    """Tells when a loss can be noticed, when a recording is over that leaves a quiet market behind, and when
    it has no book yet to begin a stream with.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lasts_s: dict[str, float] = {}
        """How long the last fault of each kind does, of those that last."""
        self.unheard: set[str] = set()
        """Symbols whose book had no message since the last loss."""
        self.bookless: set[str] = set()
        """Symbols that somebody waits for the first whole book of."""

    def lose(self) -> None:
        """Messages are missing: the next one of each book is told."""
        self.unheard = set(self.found.symbols)

    async def _push_all(self, emission: Emission, texts: Sequence[str]) -> None:
        await super()._push_all(emission, texts)
        symbol = emission.symbol
        if not texts or not emission.is_book or symbol is None:
            return
        if symbol in self.unheard:
            self.unheard.discard(symbol)
            tell(venue=self.venue.name, heard=[symbol, *self._copies.get(symbol, ())])
        if symbol in self.bookless and self.exchange.book(symbol) is not None:
            self.bookless.discard(symbol)
            tell(venue=self.venue.name, whole=symbol)

    def _say(self, connection: Connection, answers: Iterable[str], begun: Iterable[str]) -> None:
        begun = list(begun)
        super()._say(connection, answers, begun)
        for stream in begun:
            channel = self.venue.channel_of(stream)
            symbol = self.venue.native_symbol_of(stream)
            is_book = channel is not None and self.venue.channels[channel[0]].book
            if is_book and symbol is not None and self.exchange.book(symbol) is None:
                self.bookless.add(symbol)
                tell(venue=self.venue.name, bookless_yet=symbol)

    async def _end(self) -> None:
        tell(venue=self.venue.name, over=True)
        await super()._end()


ANEW_MESSAGES: Final = 4
"""Books are given up and asked for anew by one message each; those lost meanwhile by two more."""


def subscribe_s(stand_in: StandIn) -> float:
    """How long the feeder's pace makes the longest subscription."""
    venue, bodies = stand_in.venue, stand_in.exchange.instruments.values()
    catalogue = Catalogue(venue.name, venue.parse_instruments(*bodies)[0])
    planned = plan_venue(venue, catalogue, stand_in.venue_config(), limited=False).connections
    counts = [len(spec_of(each, venue).subscribe) for each in planned]
    most = sum(counts) if venue.limits.messages_per_address else max(counts)
    return (max(most, ANEW_MESSAGES) - 1) * ARRIVAL_FACTOR / venue.limits.messages_per_s


async def misbehave(stand_in: Watched, dice: random.Random, every_s: float) -> None:
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
        stand_in.lasts_s[kind] = seconds
        tell(venue=stand_in.venue.name, kind=f"{kind} {status}" if is_refusal else kind, seconds=seconds)
        stand_in.inject(fault)
        if is_refusal:
            stand_in.inject(Fault(kind="close"))
        # A refusal that nobody met yet lasts from the first request on, so the next fault waits for its end.
        await asyncio.sleep(seconds)


async def watch(stand_in: Watched) -> None:
    """Tells of refusals, ends of captures and whatever limit was not kept."""
    loop = asyncio.get_running_loop()
    before: dict[str, int] = {}
    while True:
        counters = stand_in.counters
        now = {"failed": counters.failed, "slow": counters.slow}
        now |= {
            kind: counters.injected.get(kind, 0) for kind in ("end", "loop", "stall", "stale", "half_open")
        }
        now |= {kind: counters.injected.get(kind, 0) for kind in ("close", "drop")}
        now |= {f"met {kind}": counters.injected.get(kind, 0) for kind in ("refuse_connects", "refuse_rest")}
        now |= {f"breach {kind}": count for kind, count in counters.breaches.items()}
        for kind, count in now.items():
            if count != before.get(kind, 0):
                tell(venue=stand_in.venue.name, happened=kind, count=count)
                if kind in LOSSES:
                    loop.call_later(stand_in.lasts_s.get(kind, 0.0), stand_in.lose)
        before = now
        await asyncio.sleep(LOOK_S)


async def run(plan: list[Played], seed: int, every_s: float, folder: Path) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with AsyncExitStack() as stack:
        stand_ins = []
        for each in plan:
            stand_in = Watched(
                venue_by_name(each.venue),
                list(map(Path, each.captures)),
                copies=each.copies,
                speed=each.speed,
                loop=True,
            )
            await stack.enter_async_context(stand_in)
            (folder / f"{each.venue}.toml").write_text(render(stand_in.config()), encoding="utf-8")
            tell(
                venue=each.venue,
                symbols=stand_in.venue_config().symbols,
                bookless=stand_in.found.beginless,
                subscribe_s=subscribe_s(stand_in),
            )
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
