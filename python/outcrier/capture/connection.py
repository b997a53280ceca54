"""One WebSocket of a stand-in: what is queued for it, what it may ask, and what is made wrong with it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Final

from websockets.asyncio.server import ServerConnection

from outcrier.venues import Venue
from outcrier.venues.exchange_side import Breach, Client, ExchangeSide

QUEUE_MAX: Final = 4096
"""Recorded messages waiting for one connection; then the playing waits for it. Answers come on top: clients
are limited in what they may ask.
"""

SLOW_S: Final = 10.0
"""A connection that takes nothing for this long is cut."""


class Connection:
    """A client and its outgoing queue."""

    def __init__(
        self, socket: ServerConnection, side: ExchangeSide, target: str, limits: MessageLimits
    ) -> None:
        """`limits` are those of the address where the venue counts so."""
        self.socket = socket
        self.client = Client(target)
        self.silent_until_s = 0.0
        """Nothing is pushed before this: a stale socket."""
        self._side = side
        self._queue: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self._limits = limits

    def begin(self) -> tuple[list[str], list[str]]:
        """The greeting, and the streams that the URL begins."""
        texts = self._side.greeting(self.client)
        return texts, list(self.client.streams)

    def ask(self, text: str) -> tuple[list[str], list[str]]:
        """The answers to a message, and the streams that begin with it."""
        before = set(self.client.streams)
        answers = self._side.on_text(self.client, text)
        again, self.client.again = self.client.again, []
        begun = [stream for stream in self.client.streams if stream not in before or stream in again]
        return answers, begun

    def breaches(self, now_s: float, text: str) -> list[Breach]:
        """Which limit of messages a message that came now goes beyond."""
        return ["messages"] if self._limits.is_beyond(now_s, text) else []

    def put(self, text: str) -> None:
        """Queues a message, in the form for this client."""
        stamped = self._side.stamped(self.client, text)
        self.client.sent += 1
        self._queue.put_nowait(stamped.encode() if self._side.binary else stamped)
        if self._queue.qsize() >= QUEUE_MAX:
            self._room.clear()

    async def room(self) -> bool:
        """Waits until there is room for a recorded message; False if there was none for SLOW_S."""
        if self._room.is_set():
            return True
        try:
            await asyncio.wait_for(self._room.wait(), SLOW_S)
        except TimeoutError:
            return False
        return True

    async def drained(self) -> bool:
        """Waits until everything is sent; False if that took longer than SLOW_S."""
        try:
            await asyncio.wait_for(self._queue.join(), SLOW_S)
        except TimeoutError:
            return False
        return True

    async def send_all(self) -> None:
        """Sends what is queued until the connection is gone."""
        while True:
            message = await self._queue.get()
            try:
                await self.socket.send(message)
            finally:
                self._queue.task_done()
                if self._queue.qsize() < QUEUE_MAX:
                    self._room.set()

    def freeze(self, until_s: float, *, half_open: bool) -> None:
        """Nothing is pushed any more; `half_open`: nothing is read either, so that no ping is answered."""
        self.silent_until_s = until_s
        if half_open:
            self.socket.transport.pause_reading()

    def thaw(self) -> None:
        """Reads again."""
        self.silent_until_s = 0.0
        self.socket.transport.resume_reading()

    def abort(self) -> None:
        """Cuts it without a word."""
        self.socket.transport.abort()


class MessageLimits:
    """Messages of one client, or of one address: so many a second, so many in the venue's window."""

    def __init__(self, venue: Venue, side: ExchangeSide) -> None:
        rate = side.messages_per_s or venue.limits.messages_per_s
        most = max(1, int(rate))
        self._recent: list[tuple[float, deque[float]]] = [(most / rate, deque(maxlen=most))]
        if venue.limits.messages:
            self._recent.append((venue.limits.messages_window_s, deque(maxlen=venue.limits.messages)))
        self._ping = venue.keepalive.client_ping

    def is_beyond(self, now_s: float, text: str) -> bool:
        """Whether a message that comes now is one too many; it counts, a ping only for the second."""
        beyond = False
        for window_s, times in self._recent[: 1 if text == self._ping else None]:
            beyond = beyond or (len(times) == times.maxlen and now_s - times[0] < window_s)
            times.append(now_s)
        return beyond


def stream_breaches(venue: Venue, client: Client) -> Iterator[Breach]:
    """Which limits of one connection the subscribed streams go beyond."""
    limits = venue.limits
    if 0 < limits.streams_per_connection < len(client.streams):
        yield "streams"
    if limits.symbols_per_connection:
        symbols = {venue.native_symbol_of(stream) for stream in client.streams} - {None}
        if limits.symbols_per_connection < len(symbols):
            yield "symbols"
    if 0 < limits.chars_per_connection < sum(map(len, client.streams)):
        yield "chars"
