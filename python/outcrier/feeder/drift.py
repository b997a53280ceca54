"""What a venue sends that its declaration does not know: counted by name, and each name told once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from outcrier import _core
from outcrier.feeder.logs import LimitedLog

UNKNOWN_NAMES_MAX: Final = 100
"""Kinds of unknown messages counted by name; further ones count as one."""

_OTHER: Final = "other"


class SchemaDrift:
    """Of one session. The core counts fields (`Feed.drift`), Python the messages that nobody takes."""

    def __init__(self, feed: _core.Feed, log: LimitedLog) -> None:
        self.fields: Mapping[str, int] = {}
        """As of the last look: `shape.key` is not declared, `shape.-key` was always there and is gone."""
        self.messages: Counter[str] = Counter()
        """Messages that neither a shape nor the venue knows, by the venue's name for them."""
        self._feed = feed
        self._log = log
        self._told_fields: set[str] = set()
        self._told_messages: set[str] = set()

    def message(self, name: str) -> None:
        """Counts an unknown message."""
        known = name in self.messages or len(self.messages) < UNKNOWN_NAMES_MAX
        self.messages[name if known else _OTHER] += 1

    def look(self) -> None:
        """Reads what the core has counted, and logs names that are new."""
        self.fields = self._feed.drift()
        self._tell("schema drift", self.fields, self._told_fields)
        self._tell("unknown messages", self.messages, self._told_messages)

    def _tell(self, cause: str, names: Iterable[str], told: set[str]) -> None:
        new = [name for name in names if name not in told]
        if new:
            told.update(new)
            self._log.always(logging.WARNING, cause, ", ".join(sorted(new)))
