"""A publisher, its consumers and the oracle of every row: no book is ever wrong, at the end all are equal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from net.namespaces import PORT, RELAY_PORT, Lab
from net.processes import PATIENCE_S, QUIET_S, Program, outcrier, python, until

INSTRUMENTS: Final = 200
RATE: Final = 20_000
"""Frames a second of the loss rows."""


@dataclass
class World:
    """What a row runs with."""

    lab: Lab
    loads: list[str]
    truths: list[str]
    folder: Path

    def publisher(
        self,
        *,
        instruments: int = INSTRUMENTS,
        rate: int = RATE,
        seconds: float = 4.0,
        state: str = "state",
        before: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        line_b: bool = True,
        port: int = PORT,
    ) -> Program:
        """A publisher that is not started yet; `before`: words in front of the program."""
        words = python(
            "net.publisher",
            loads=self.loads,
            state_dir=self.folder / state,
            instruments=instruments,
            rate=rate,
            seconds=seconds,
        )
        settings = {**self.lab.environment("publisher", port=port, line_b=line_b), **(environment or {})}
        return Program(self.lab.publisher, [*before, *words], settings)

    def consumer(
        self,
        *,
        subscribers: int = 1,
        pause_s: float = 0.0,
        port: int = PORT,
        line_b: bool = True,
        environment: dict[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> Program:
        """A consumer that is not started yet."""
        words = python("net.consumer", truths=self.truths, subscribers=subscribers, pause_s=pause_s)
        settings = {
            **self.lab.environment("consumer", port=port, line_b=line_b),
            **(environment or {}),
        }
        return Program(self.lab.consumer, [*before, *words], settings)

    def on_consumer(self, module: str, **options: Any) -> Program:
        """Another program of these tests on the consumer's host."""
        return Program(self.lab.consumer, python(module, **options), self.lab.environment("consumer"))

    @contextmanager
    def running(
        self, publisher: Program, consumers: Sequence[Program], *, live: bool = True
    ) -> Iterator[None]:
        """Publisher and consumers, until every book is LIVE; `live` False: until they listen."""
        with ExitStack() as stack:
            stack.enter_context(publisher)
            publisher.until("ready")
            for consumer in consumers:
                stack.enter_context(consumer)
                consumer.until("ready")
            if live:
                for consumer in consumers:
                    all_live(consumer)
            yield

    @contextmanager
    def relay(self, *options: str, port: int = PORT) -> Iterator[Program]:
        """`outcrier chaos` on the consumer's host, from `port` to RELAY_PORT."""
        words = outcrier("chaos", "--json", "--to-port", str(RELAY_PORT), *options)
        with Program(self.lab.consumer, words, self.lab.environment("consumer", port=port)) as relay:
            relay.until("lines")
            yield relay


def all_live(consumer: Program, seconds: float = PATIENCE_S) -> None:
    """Waits until every book of a consumer is LIVE."""
    after = len(consumer.said)

    def is_live() -> bool:
        assert consumer.running, consumer.errors
        look = next((each for each in reversed(consumer.said[after:]) if "look" in each), None)
        return look is not None and all(
            each["complete"] and set(each["states"]) == {"LIVE"} for each in look["look"]
        )

    until(is_live, f"all books live, last {consumer.last('look')}", seconds)


def settle(publisher: Program, consumers: Sequence[Program]) -> list[list[dict[str, Any]]]:
    """The oracle: the load is over, `QUIET_S` later every book is LIVE and equal, and none was ever wrong.

    Gives what each consumer told at its end, for each of its subscribers.
    """
    done = publisher.until("done")
    time.sleep(QUIET_S)  # The time is what the rule is about.
    told = []
    for consumer in consumers:
        for books in consumer.ask("books"):
            expected = {name: ["LIVE", *state] for name, state in done["books"].items()}
            different = {
                name: (books.get(name), state) for name, state in expected.items() if books.get(name) != state
            }
            assert not different, f"{len(different)} books differ, such as {next(iter(different.items()))}"
            assert set(books) == set(expected)
        told.append(never_wrong(consumer))
    return told


def never_wrong(consumer: Program) -> list[dict[str, Any]]:
    """Ends a consumer: every comparison was right, and there were enough of them."""
    last: list[dict[str, Any]] = consumer.ask("last")
    looks = consumer.last("look")
    assert looks is not None
    for look, end in zip(looks["look"], last, strict=True):
        assert not look["wrong"], look["wrong"]
        assert not end["holes"], end["holes"]
        assert look["compared"] > 10 * len(look["states"])
        assert look["compared"] > look["between"], "most looks find a book at the end of an event"
        end["compared"] = look["compared"]
    return last
