"""A feed and a receiver joined by hand: shared by the tests of batches and of the demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from feed_bench import Bench, lines
from outcrier import Batch, _core
from outcrier import events as ev
from outcrier.batch import Directory
from outcrier.prices import Convert, to_decimal

STEP_NS = 200_000
"""Time between two frames; the reorder window is 300 us."""


class Wire:
    """A feed and a receiver joined by hand."""

    def __init__(self, venue: str, convert: Convert = to_decimal, **options: Any) -> None:
        self.bench = Bench(venue)
        self.receiver = _core.Receiver(accept_replay=True, **options)
        self.directory = Directory(self.receiver.instruments, self.receiver.channels, convert)
        self.now_ns = 1_000_000_000

    def carry(self) -> None:
        for plane, frame in self.bench.publisher.take():
            self.now_ns += STEP_NS
            self.receiver.datagram(plane, frame, 7, self.now_ns)
        self.receiver.timer(self.now_ns)

    def batch(self) -> Batch:
        self.carry()
        return Batch(self.receiver.take(), self.directory)

    def send(self, message: dict[str, Any], recv_ns: int = 5) -> list[ev.Event]:
        """The typed events that one message of the venue becomes."""
        assert self.bench.feed.on_frame(1, json.dumps(message).encode(), recv_ns) == _core.HANDLED
        return list(self.batch())


def follow(wire: Wire, path: Path, most: int) -> list[Batch]:
    batches = []
    for line in lines(path, most=most):
        wire.bench.take(line)
        batches.append(wire.batch())
    return batches
