"""Late joiners: one consumer after the other that opens in the middle of a feed and leaves when all is LIVE.

    python -m net.joiner '{"truths": [...], "joins": 10, "seed": 7}'

Says `joined` for each, with how long it took and whether its books were right when they were LIVE.
"""

from __future__ import annotations

import asyncio
import random
import sys

import msgspec

from net.consumer import Listener, Truths, read_truths
from net.publisher import say
from outcrier.cli.output import subscriber
from outcrier.config import load as read_config

PAUSE_S = 0.15
"""Longest time between one that left and the next: they come at any point of a snapshot cycle."""

_LOOK_S = 0.005


class Options(msgspec.Struct, frozen=True):
    """What is asked of it."""

    truths: list[str]
    joins: int
    seed: int


async def join(truths: Truths) -> None:
    """One consumer, until every book is LIVE."""
    async with subscriber(read_config(None)) as sub:
        listener = Listener(sub, truths, 0.0)
        reading = asyncio.create_task(listener.read())
        while not listener.is_live():  # noqa: ASYNC110  # how the product itself waits
            await asyncio.sleep(_LOOK_S)
        look = listener.look()
        reading.cancel()
        books = sum(look["states"].values())
        say(
            joined=listener.live_after_ms(),
            books=books,
            live=look["states"].get("LIVE", 0),
            compared=listener.compared,
            between=listener.between,
            wrong=listener.wrong,
        )


async def main(options: Options, truths: Truths) -> None:
    """Runs it."""
    chance = random.Random(options.seed)  # noqa: S311  # pauses, and the same again
    for _ in range(options.joins):
        await asyncio.sleep(chance.uniform(0, PAUSE_S))
        await join(truths)
    say(over=True)


if __name__ == "__main__":
    given = msgspec.json.decode(sys.argv[1], type=Options)
    asyncio.run(main(given, read_truths(given.truths)))
