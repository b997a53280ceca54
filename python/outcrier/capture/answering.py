"""What a stand-in needs of an exchange, recorded or simulated. No socket, no clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

import msgspec

from outcrier.errors import ConfigurationError
from outcrier.venues import Venue
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook

_MINUTE_S: Final = 60.0

_NOT_FOUND: Final = Answer(404, '{"error":"Not Found"}')


class Emission(msgspec.Struct, frozen=True):
    """A message to push to those who subscribed its stream."""

    stream: str
    text: str
    symbol: str | None
    """Native symbol; None for a stream of the whole venue."""
    is_book: bool
    """Whether the stream feeds a book."""


def side_of(venue: Venue) -> ExchangeSide:
    """How the exchange answers. Raises ConfigurationError for a venue whose other end is not known."""
    side: ExchangeSide | None = getattr(venue, "exchange", None)
    if side is None:
        raise ConfigurationError(f"{venue.name} cannot be stood in for: its exchange's side is not known")
    return side


class Answering(ABC):
    """An exchange at a moment: instruments, books, what a stream begins with, REST answers."""

    junk = 0
    """Messages of a book that no book can take: not sent, as the exchange would not have."""

    def __init__(self, venue: Venue, lists: Mapping[str, str]) -> None:
        """`lists` are the bodies of the instrument list, by the target of the request."""
        self.venue = venue
        self.side = side_of(venue)
        self.instruments = dict(lists)
        """Bodies of the instrument list, by the target of the request."""
        self._states: dict[str, str | None] = {}
        """What its messages so far come to, by stream, where a client is told that at its beginning."""
        self._minute = 0
        self._weight = 0

    @abstractmethod
    def restart(self) -> None:
        """A playing begins."""

    @property
    @abstractmethod
    def books(self) -> Mapping[str, StandInBook]:
        """The books as they are now, by native symbol: those that REST tells, else those of streams."""

    def book(self, symbol: str) -> StandInBook | None:
        """The book of an instrument; None where none is known."""
        return self.books.get(symbol)

    @abstractmethod
    def begin(self, client: Client, stream: str) -> list[str]:
        """What a client is sent at the beginning of a stream, at the present state."""

    # REST.

    def rest(self, target: str, now_s: float) -> Answer:
        """Answers a GET; `now_s` counts the weight used in this minute."""
        stream = self.side.state_of(target)
        state = None if stream is None else self._states.get(stream)
        if state is not None:
            answer: Answer | None = Answer(200, state)
        else:
            answer = self.side.rest(target, self.instruments, self.books)
        if answer is None:
            return _NOT_FOUND
        return self._weighed(self.side.weight(target), now_s, answer)

    def _weighed(self, weight: int, now_s: float, answer: Answer) -> Answer:
        limits = self.venue.limits
        minute = int(now_s // _MINUTE_S)
        if minute != self._minute:
            self._minute, self._weight = minute, 0
        self._weight += weight
        headers = {limits.weight_header: str(self._weight)} if limits.weight_header else {}
        if self._weight > limits.weight_per_minute:
            seconds = int((minute + 1) * _MINUTE_S - now_s) + 1
            answer = self.side.limited(seconds)
            headers["Retry-After"] = str(seconds)
        return Answer(answer.status, answer.body, headers | answer.headers)
