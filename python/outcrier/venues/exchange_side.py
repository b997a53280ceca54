"""The other end of a venue's protocol: what the exchange answers and pushes. Values and pure functions, as
the venue itself; a stand-in (`outcrier.capture.stand_in`) drives it with recorded messages.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

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
    last: str
    """That message as recorded: for what else it tells (a second number, a time of sending)."""
    whole: str
    """The last whole book as recorded, in the form that the recording has it (in the stream or REST)."""

    def levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """(bids, asks) as (price, quantity), best first."""


@dataclass(slots=True)
class Client:
    """What the exchange knows of one WebSocket connection."""

    target: str
    """Of its upgrade request: path and query."""
    streams: dict[str, None] = field(default_factory=dict)
    """Subscribed, in the order asked for."""
    again: list[str] = field(default_factory=list)
    """Streams held already that begin anew by the message answered last (Upbit: each request replaces the one
    before). New names in `streams` need not stand here. The stand-in empties it.
    """
    sent: int = 0
    """Messages sent to it, answers and heartbeats included: the next one's number from 0."""
    marks: dict[str, str] = field(default_factory=dict)
    """What else the venue remembers of it: forms of messages, intervals of heartbeats."""


Breach: TypeAlias = Literal["messages", "streams", "symbols", "chars"]
"""A limit of one connection: messages from the client, subscribed streams, their symbols, their
characters.
"""


class ExchangeSide(ABC):
    """One exchange's side. `books` are those that messages have built so far, by native symbol.

    Whatever it says (answers, greetings, whole books, heartbeats, recorded messages) goes through `stamped`
    last.
    """

    heartbeat_every_s: float = 0.0
    """0 = the exchange says nothing by itself."""
    first_subscription_s: float = 0.0
    """Who has subscribed nothing for this long after connecting is cut (Coinbase: 5); 0 = never."""
    messages_per_s: float = 0.0
    """Messages a second that it takes from a client; 0 = those of the venue's `Limits`, which may stay
    below.
    """
    binary: bool = False
    """Its messages are binary frames that hold the text (Upbit)."""
    restarts_books: bool = False
    """It may send a whole book in a stream at any time (Bybit: restart of its service): a recording may then
    begin anew without cutting its clients.
    """

    def accepts(self, target: str) -> bool:
        """Whether there is a WebSocket endpoint of this path and query."""
        del target
        return True

    def greeting(self, client: Client) -> list[str]:
        """Sent at once to who has connected. Streams that the URL names are put into `client.streams`."""
        del client
        return []

    @abstractmethod
    def on_text(self, client: Client, text: str) -> list[str]:
        """The answers to a message of the client, whose subscriptions change as it asks. Never raises."""

    def wants(self, client: Client, stream: str) -> bool:
        """Whether messages of `stream` are pushed to this client."""
        return stream in client.streams

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        """Sent, after the answers, when `stream` begins for a client: the whole book in the stream's own
        form, where the venue sends one. `book` is None for a stream that feeds none, and as long as none was
        recorded: the recorded one will follow.
        """
        del client, stream, book
        return []

    def state(self, stream: str, before: str | None, text: str) -> str | None:
        """What one who subscribes `stream` after its message `text` is sent first, where that is no book:
        tickers whose messages are changes (Bybit). `before` is the result for the message before. None =
        nothing.
        """
        del stream, before, text
        return None

    def state_stream(self, stream: str) -> str:
        """The stream whose `state` a message of `stream` changes: a match of Coinbase Exchange is one of all
        orders too.
        """
        return stream

    def begins(self, stream: str) -> bool:
        """Whether who subscribes a stream is sent its `state`; False where that is an answer of REST."""
        del stream
        return True

    def stamped(self, client: Client, text: str) -> str:
        """A message as this client gets it: venues that number all messages of a connection (`client.sent` is
        the number of this one), and forms that a client may choose. The default is the message as it is.
        """
        del client
        return text

    def heartbeat(self, client: Client) -> list[str]:
        """Said every `heartbeat_every_s` seconds to this client; empty for one that wants none."""
        del client
        return []

    def farewell(self, client: Client, now_ms: int) -> list[str]:
        """Said before the exchange ends a connection by its own plan; the default says nothing."""
        del client, now_ms
        return []

    def on_breach(self, client: Client, kind: Breach) -> list[str] | None:
        """The answers to a client that has gone beyond a limit; None = it is cut (close code 1008). The
        default cuts for messages and says nothing else: `on_text` refuses what the exchange refuses.
        """
        del client
        return None if kind == "messages" else []

    # REST.

    @abstractmethod
    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        """The answer to a GET; None where there is no such endpoint. `instruments` are the bodies of the
        instrument lists by the targets of `Venue.instruments_requests`, and by those that were recorded.
        """

    def state_of(self, target: str) -> str | None:
        """The stream whose `state` is the answer to a GET; None where no state is (Coinbase Exchange: all
        orders).
        """
        del target
        return None

    def weight(self, target: str) -> int:
        """What a request costs of `Limits.weight_per_minute`."""
        del target
        return 1

    def limited(self, retry_after_s: int) -> Answer:
        """The answer to a request beyond `Limits.weight_per_minute`; the header Retry-After is added."""
        del retry_after_s
        return Answer(429, '{"error":"Too many requests"}')

    # For long runs on more instruments than were recorded.

    def renamed(self, text: str, old: str, new: str) -> str:
        """A recorded message of the instrument `old` as one of `new` (native symbols), wherever the symbol
        stands as a word of its own: `"s":"BTCUSDT"`, `"topic":"orderbook.50.BTCUSDT"` (Bybit v5).
        """
        return re.sub(rf"(?<![\w/-]){re.escape(old)}(?![\w/-])", new, text)
