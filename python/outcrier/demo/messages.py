"""What the feeding child tells the process with the screen: one JSON object a line on its stdout."""

from __future__ import annotations

from typing import Final

import msgspec

SIMULATION: Final = "simulation, not a market"
"""What the demo's first line and every screen say of the simulated venue."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The tag tells which."""


class Notice(_Message, frozen=True):
    """Something to tell once, such as why no exchange is heard."""

    text: str
    simulation: bool = False
    """What follows is none of a market."""


class Playing(_Message, frozen=True):
    """From now on frames come."""

    test: bool
    """From endpoints that are not the venue's own, such as stand-ins; every frame is flagged TEST."""
    sources: tuple[str, ...]
    """Names of the venues, or of the captures; instruments of a simulation."""


class Venue(msgspec.Struct, frozen=True):
    """One venue as its feeder sees it; counts are since the start."""

    name: str
    connected: int
    connections: int
    live: int
    books: int
    messages: int
    gaps: int
    faults: int
    reconnects: int
    error: str
    """Why it is not reached, or the last error; empty = none."""


class Venues(_Message, frozen=True):
    """Every venue, each second."""

    venues: tuple[Venue, ...]


class Failed(_Message, frozen=True):
    """The child ends with an error that a person can mend."""

    text: str
    exit_code: int


Message = Notice | Playing | Venues | Failed

ENCODER: Final = msgspec.json.Encoder()
DECODER: Final[msgspec.json.Decoder[Message]] = msgspec.json.Decoder(Message)
