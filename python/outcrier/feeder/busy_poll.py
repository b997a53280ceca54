"""An event loop that asks for work instead of sleeping until there is some."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class BusyPoll:
    """While entered, the running loop never sleeps: something is always ready to run, so that the selector is
    asked with a timeout of 0. Takes one core whole.
    """

    def __init__(self) -> None:
        self.turns = 0
        """Times that the loop came round."""
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.Handle | None = None

    def __enter__(self) -> Self:
        self._turn()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _turn(self) -> None:
        self.turns += 1
        self._handle = self._loop.call_soon(self._turn)
