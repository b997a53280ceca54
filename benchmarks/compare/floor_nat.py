"""The floor of the way from text to frame: the same work unchecked, for one exchange, called from Python.

Not a peer that anybody uses: what the machine can do.
"""

from __future__ import annotations

import json
import struct
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from benchmarks.messages import Books, MessageSet

DEPTH = 10
"""Levels a side in a frame of the floor."""
SYMBOL_OFFSET, COUNTS_OFFSET, LEVELS_OFFSET = 8, 60, 66


def load(path: Path) -> Any:
    """The extension module at `path`."""
    spec = spec_from_file_location("nat", path, loader=ExtensionFileLoader("nat", str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Floor:
    """The books of a message set in the floor's core."""

    def __init__(self, nat: Any, messages: MessageSet) -> None:
        answers = {symbol: json.loads(body) for symbol, body in messages.snapshots.items()}
        lines = [
            json.dumps({"s": symbol, "bids": each["bids"], "asks": each["asks"]})
            for symbol, each in answers.items()
        ]
        self.nat = nat
        self.messages = messages
        self.symbols = list(answers)
        self.core = nat.new("\n".join(lines).encode(), 0)

    def run(self) -> None:
        feed, core = self.nat.feed, self.core
        for message in self.messages.messages:
            feed(core, message)

    def told(self) -> Books:
        """The best levels that the last frame of each book tells; plays all messages once more."""
        books: Books = {}
        for message, decoded in zip(self.messages.messages, self.messages.decoded, strict=True):
            frame = self.nat.feed_bytes(self.core, message)
            if decoded["e"] != "depthUpdate":
                continue
            (symbol,) = struct.unpack_from("<I", frame, SYMBOL_OFFSET)
            bids, asks = struct.unpack_from("<BB", frame, COUNTS_OFFSET)
            levels = list(struct.iter_unpack("<qq", frame[LEVELS_OFFSET:]))
            assert len(levels) == bids + asks
            books[self.symbols[symbol]] = (
                [(level[0], level[1]) for level in levels[:bids]],
                [(level[0], level[1]) for level in levels[bids:]],
            )
        return books
