"""The other end of a venue's protocol: what the exchange answers and pushes. Values and pure functions, as
the venue itself; a stand-in (`outcrier.capture.stand_in`) drives it with recorded messages.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """A REST answer."""

    status: int
    body: str
    headers: dict[str, str] = {}


class StandInBook(Protocol):
    """The book of an instrument as the recorded messages have it so far, numbers as the exchange printed
    them.
    """

    last_id: int | None
    """Id of the last message in it; None where the venue numbers nothing."""
    exchange_ns: int | None
    """The exchange's time of that message."""

    def levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """(bids, asks) as (price, quantity), best first."""


@dataclass(slots=True)
class Client:
    """What the exchange knows of one WebSocket connection."""

    target: str
    """Of its upgrade request: path and query."""
    streams: dict[str, None] = field(default_factory=dict)
    """Subscribed, in the order asked for."""
    sent: int = 0
    """Messages sent to it, answers included."""
    marks: dict[str, str] = field(default_factory=dict)
    """What else the venue remembers of it: forms of messages, intervals of heartbeats."""


class ExchangeSide(ABC):
    """One exchange's side. `books` are those that messages have built so far, by native symbol."""

    def accepts(self, target: str) -> bool:
        """Whether there is a WebSocket endpoint of this path and query."""
        del target
        return True

    def greeting(self, client: Client) -> list[str]:
        """Sent at once to who has connected."""
        del client
        return []

    @abstractmethod
    def on_text(self, client: Client, text: str) -> list[str]:
        """The answers to a message of the client, whose subscriptions change as it asks. Never raises."""

    def wants(self, client: Client, stream: str) -> bool:
        """Whether messages of `stream` are pushed to this client."""
        return stream in client.streams

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        """Sent when `stream` begins for a client: the whole book in the stream's own form, where the venue
        sends one. `book` is None for a stream that feeds none, and where none was recorded.
        """
        del client, stream, book
        return []

    def stamped(self, client: Client, text: str) -> str:
        """A message as this client gets it: venues that number all messages of a connection (`client.sent`),
        and forms that a client may choose. The default is the message as recorded.
        """
        del client
        return text

    def heartbeat(self, client: Client) -> list[str]:
        """Said every `heartbeat_every_s` seconds to this client."""
        del client
        return []

    heartbeat_every_s: float = 0.0
    """0 = the exchange says nothing by itself."""

    @abstractmethod
    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        """The answer to a GET; None where there is no such endpoint. `instruments` are the recorded bodies of
        instrument lists by the target that asks for them.
        """
