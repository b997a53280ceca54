"""One thing that was looked at, and what mends it."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    level: Level
    text: str
    """What was found."""
    do: str = ""
    """What mends it: a command where there is one; empty where nothing is to be done."""
