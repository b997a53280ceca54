"""The peers: each does with a message set what its users do with it, and shows its books at the end.

Their packages are in requirements-bench.lock alone, so each module here is imported only where its case runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

from benchmarks.messages import Books, MessageSet


class Handler(Protocol):
    """A peer with its books as the snapshots have them."""

    def __init__(self, messages: MessageSet) -> None: ...

    def run(self) -> None:
        """Takes all messages: what is timed."""

    def books(self) -> Books:
        """Its books now."""


def handler(module: str) -> type[Handler]:
    """The class `Handler` of a module of this folder."""
    found: type[Handler] = import_module(f"benchmarks.compare.{module}").Handler
    return found
