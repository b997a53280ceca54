"""One line per cause at most once a second: a storm at a venue must not become a storm on the disk."""

from __future__ import annotations

import logging
from typing import Final

from outcrier.feeder.backoff import SECOND_NS

CAUSES_MAX: Final = 256
"""Causes told apart; beyond, further ones share one: what a venue sends must not grow our memory."""


class LimitedLog:
    """A logger that repeats a cause at most once a second and then says how often it came."""

    def __init__(self, logger: logging.Logger, prefix: str) -> None:
        """`prefix` begins every line, such as `venue=binance`."""
        self._logger = logger
        self._prefix = prefix
        self._causes: dict[str, tuple[int, int]] = {}

    def log(self, now_ns: int, level: int, cause: str, text: str) -> None:
        """Writes `cause: text` unless the cause was written within the last second."""
        key = cause if cause in self._causes or len(self._causes) < CAUSES_MAX else "other"
        last_ns, held = self._causes.get(key, (now_ns - SECOND_NS, 0))
        if now_ns - last_ns < SECOND_NS:
            self._causes[key] = (last_ns, held + 1)
            return
        self._causes[key] = (now_ns, 0)
        more = f" ({held} more in between)" if held else ""
        self._logger.log(level, "%s %s: %s%s", self._prefix, cause, " ".join(text.split()), more)
