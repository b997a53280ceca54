"""The server of a stand-in: WebSocket and REST on one port, spoken as the exchange does. What is played on it
is a subclass's: captures (`outcrier.capture.stand_in`) or a simulation (`outcrier.capture.simulation`).

The venue's `exchange` (`outcrier.venues.exchange_side`) answers. All connections share one playing, so that
what belongs together stays together. It starts with the first subscription and goes on, heard or not, as an
exchange does. A stream that begins in the middle begins with the whole book of that moment, where the venue
sends one in the stream. Nobody connected for IDLE_S ends the playing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from outcrier.capture.answering import Answering, Emission
from outcrier.capture.connection import Connection, MessageLimits, stream_breaches
from outcrier.capture.faults import ABORT, MESSAGE_KINDS, Fault, Injection, Schedule, hurt
from outcrier.capture.requests import Counters, FaultLog, Requests
from outcrier.clock import wall_ns
from outcrier.config import Config, VenueConfig
from outcrier.errors import NetworkError
from outcrier.venues.exchange_side import Breach

_log = logging.getLogger("outcrier.capture")

IDLE_S: Final = 5.0
"""How long a playing goes on with nobody connected: longer than a reconnect, shorter than a person's
patience.
"""

SLICE_S: Final = 0.5
"""Longest single wait, so that an end is noticed within a second."""

MESSAGE_BYTES_MAX: Final = 65_536
"""Longest message taken from a client: OKX allows 64 KB of arguments."""

SILENCE_FACTOR: Final = 2.0
"""A client that owes signs of life is cut when it has missed this many."""

_CLOSE_GOING_AWAY: Final = 1001
_CLOSE_POLICY: Final = 1008


class StandInServer(ABC):
    """The server; use as an async context manager. `ws_url` and `rest_url` are the bases to configure."""

    exchange: Answering

    _begins_anew = False
    """The playing begins anew at its end."""

    def __init__(self, exchange: Answering, *, host: str, port: int, faults: Iterable[Fault]) -> None:
        """`port` 0 = any free one."""
        self.exchange = exchange
        self.venue, self._side = exchange.venue, exchange.side
        self.counters = Counters()
        self._log = FaultLog(self.counters)
        self._host, self._port = host, port
        self._schedule = Schedule(faults)
        self._held: dict[str, list[str]] = {}
        """Messages held back by streams, to be sent after the next one."""
        self._connections: dict[Connection, None] = {}
        """In the order of their opening."""
        self._subscribers: dict[str, list[Connection]] = {}
        """By stream, since a client's subscriptions changed last."""
        self._requests = Requests(exchange, self._schedule, self.counters, self._log)
        self._limits = MessageLimits(self.venue, self._side)
        """Of all clients together: they have one address."""
        self._server: Server | None = None
        self._playing: asyncio.Task[None] | None = None
        self._ends: set[asyncio.Task[None]] = set()
        """Of connections that were told of it."""

    @abstractmethod
    def venue_config(self) -> VenueConfig:
        """The feeder's configuration of this venue that fits: endpoints, symbols, channels, speed."""

    @abstractmethod
    async def _play(self) -> bool:
        """Plays to the end; False if nobody was there any more."""

    async def __aenter__(self) -> Self:
        keepalive = self.venue.keepalive
        try:
            self._server = await serve(
                self._serve_client,
                self._host,
                self._port,
                process_request=lambda _, request: self._requests.answer(request, len(self._connections)),
                ping_interval=keepalive.ping_every_s or None,
                ping_timeout=keepalive.pong_within_s or None,
                max_size=MESSAGE_BYTES_MAX,
                compression=None,
                close_timeout=SLICE_S,
                server_header=None,
            )
        except OSError as error:
            reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise NetworkError(f"port {self._port} on {self._host}: {reason}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks = [*self._ends, *([] if self._playing is None else [self._playing])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def injections(self) -> Sequence[Injection]:
        """Faults with their times, the latest ones."""
        return self._log.latest

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None:
            return self._port
        number: int = next(iter(self._server.sockets)).getsockname()[1]
        return number

    @property
    def ws_url(self) -> str:
        """Base of the WebSocket URLs."""
        return f"ws://{self._host}:{self.port}"

    @property
    def rest_url(self) -> str:
        """Base of the REST URLs."""
        return f"http://{self._host}:{self.port}"

    def inject(self, fault: Fault) -> None:
        """One more fault, from now on."""
        self._schedule.add(fault, asyncio.get_running_loop().time())

    def config(self) -> Config:
        """The whole configuration: this venue and no other."""
        return stand_in_config([self])

    # WebSocket.

    async def _serve_client(self, socket: ServerConnection) -> None:
        target = "" if socket.request is None else socket.request.path
        per_address = self.venue.limits.messages_per_address
        limits = self._limits if per_address else MessageLimits(self.venue, self._side)
        connection = Connection(socket, self._side, target, limits)
        self.counters.connections += 1
        self._connections[connection] = None
        if await self._is_spoilt(connection):
            self._forget(connection)
            return
        sender = asyncio.create_task(connection.send_all())
        beats = asyncio.create_task(self._heartbeats(connection))
        try:
            self._say(connection, *connection.begin())
            await self._read(connection)
        except ConnectionClosed:
            pass
        finally:
            self._forget(connection)
            sender.cancel()
            beats.cancel()
            await asyncio.gather(sender, beats, return_exceptions=True)

    async def _is_spoilt(self, connection: Connection) -> bool:
        """Whether a fault had the connection, which is over then."""
        target, now_s = connection.client.target, asyncio.get_running_loop().time()
        if (fault := self._requests.fault("close_connects", target, now_s)) is not None:
            await self._cut(connection, fault.code)
            return True
        if self._requests.fault("mute_connects", target, now_s) is None:
            return False
        with contextlib.suppress(ConnectionClosed):
            async for _ in connection.socket:
                pass
        return True

    async def _cut(self, connection: Connection, code: int) -> None:
        """Closes a connection, or cuts it without a word."""
        if code == ABORT:
            connection.abort()
        else:
            self._forget(connection)
            await connection.socket.close(code, "on purpose")

    async def _announced(self, connection: Connection, fault: Fault) -> None:
        """The end of a connection that was told of it."""
        await asyncio.sleep(fault.seconds)
        await self._cut(connection, fault.code)

    async def _read(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        keepalive, side = self.venue.keepalive, self._side
        silence_s = SILENCE_FACTOR * keepalive.client_ping_every_s if keepalive.client_ping else 0.0
        deadline_s = side.first_subscription_s
        while True:
            has_asked = bool(connection.client.streams or connection.client.marks)
            waiting = deadline_s if deadline_s and not has_asked else silence_s
            try:
                async with asyncio.timeout(waiting or None):
                    message = await connection.socket.recv()
            except TimeoutError:
                kind = "silence" if has_asked else "first_subscription"
                self.counters.breach(kind)
                await connection.socket.close(_CLOSE_POLICY, kind)
                return
            text = message if isinstance(message, str) else message.decode("utf-8", errors="replace")
            if not await self._kept(connection, connection.breaches(loop.time(), text)):
                return
            answers, begun = connection.ask(text)
            if not await self._kept(connection, stream_breaches(self.venue, connection.client)):
                return
            self._say(connection, answers, begun)

    async def _kept(self, connection: Connection, breaches: Iterable[Breach]) -> bool:
        """Whether the client stays: what it went beyond is counted and answered as the venue does."""
        for kind in breaches:
            self.counters.breach(kind)
            answers = self._side.on_breach(connection.client, kind)
            if answers is None:
                await connection.drained()
                await connection.socket.close(_CLOSE_POLICY, "Too many requests")
                return False
            for text in answers:
                connection.put(text)
        return True

    def _say(self, connection: Connection, answers: Iterable[str], begun: Iterable[str]) -> None:
        """Answers, then what begins, at the present state: nothing recorded may come between."""
        starts = connection.client.streams and (self._playing is None or self._playing.done())
        if starts:
            # Anew: not with the books that the recording ended with, whose numbers are ahead of it.
            self.exchange.restart()
        for text in answers:
            connection.put(text)
        for stream in begun:
            for text in self.exchange.begin(connection.client, stream):
                connection.put(text)
                self.counters.whole_books += 1
        self._subscribers.clear()
        if starts:
            self._schedule.start(asyncio.get_running_loop().time())
            self._playing = asyncio.create_task(self._guarded())

    async def _heartbeats(self, connection: Connection) -> None:
        every_s = self._side.heartbeat_every_s
        while every_s:
            await asyncio.sleep(every_s)
            if connection.silent_until_s < asyncio.get_running_loop().time():
                for text in self._side.heartbeat(connection.client):
                    connection.put(text)

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._subscribers.clear()

    # Playing.

    async def _guarded(self) -> None:
        """Plays; what goes wrong is said, and everybody is sent away rather than left in silence."""
        try:
            while await self._play() and self._begins_anew:
                self.counters.inject("loop")
        except Exception:  # noqa: BLE001 - nobody awaits the task
            self.counters.failed += 1
            _log.exception("venue=%s: the playing broke off", self.venue.name)
            await self._dismiss_all()

    async def _emit(self, emission: Emission) -> float:
        """Sends one message to those who want it. Returns the seconds that the playing was held up on
        purpose.
        """
        texts = [emission.text]
        late = self._held.pop(emission.stream, [])
        afterwards = []
        for fault in self._schedule.on_message(emission.stream, asyncio.get_running_loop().time()):
            if fault.kind not in MESSAGE_KINDS:
                afterwards.append(fault)
            elif (hurt_texts := self._hurt(fault, emission, texts)) is not None:
                texts = hurt_texts
                self._schedule.done(fault)
                self._log.note(fault, emission.stream)
        await self._push_all(emission, [*texts, *late])
        held_s = 0.0
        for fault in afterwards:
            self._schedule.done(fault)
            held_s += await self._break(fault)
        return held_s

    def _hurt(self, fault: Fault, emission: Emission, texts: list[str]) -> list[str] | None:
        """What is sent instead of `texts`; None where the fault finds nothing to hurt."""
        if fault.kind == "reorder":
            self._held[emission.stream] = texts
            return []
        book = self.exchange.book(emission.symbol or "") if emission.is_book else None
        changed: list[str] = []
        for text in texts:
            instead = hurt(fault, text, book)
            if instead is None:
                return None
            changed += instead
        return changed

    async def _push_all(self, emission: Emission, texts: Sequence[str]) -> None:
        """Sends messages to the subscribers of their stream."""
        await self._push(emission.stream, texts)

    def _listeners(self, stream: str) -> list[Connection]:
        found = self._subscribers.get(stream)
        if found is None:
            found = self._subscribers[stream] = [
                each for each in self._connections if self._side.wants(each.client, stream)
            ]
        return found

    async def _push(self, stream: str, texts: Sequence[str]) -> None:
        now_s = asyncio.get_running_loop().time()
        for connection in list(self._listeners(stream)) if texts else ():
            if connection.silent_until_s > now_s:
                continue
            if not await connection.room():
                self.counters.slow += 1
                self._forget(connection)
                connection.abort()
                continue
            for text in texts:
                connection.put(text)
                self.counters.messages += 1

    async def _break(self, fault: Fault) -> float:
        """What happens to sockets, or to all. Returns the seconds that the playing is held up."""
        if fault.kind == "stall":
            self._log.note(fault, f"{fault.seconds} s")
            await asyncio.sleep(fault.seconds)
            return fault.seconds
        loop = asyncio.get_running_loop()
        hit = list(self._connections)[: 1 if fault.one else None]
        self._log.note(fault, f"{len(hit)} connections")
        for connection in hit:
            if fault.kind == "close":
                await self._cut(connection, fault.code)
            elif fault.kind == "announce":
                for text in self._side.farewell(connection.client, wall_ns() // 1_000_000):
                    connection.put(text)
                self._ends.add(end := asyncio.create_task(self._announced(connection, fault)))
                end.add_done_callback(self._ends.discard)
            else:
                until_s = loop.time() + fault.seconds if fault.seconds else float("inf")
                connection.freeze(until_s, half_open=fault.kind == "half_open")
                if fault.seconds:
                    loop.call_later(fault.seconds, connection.thaw)
        return 0.0

    async def _dismiss_all(self) -> None:
        await asyncio.gather(*(self._dismiss(connection) for connection in list(self._connections)))

    async def _dismiss(self, connection: Connection) -> None:
        if not await connection.drained():
            self.counters.slow += 1
        self._forget(connection)
        await connection.socket.close(_CLOSE_GOING_AWAY, "end of the recording")


def stand_in_config(stand_ins: Sequence[StandInServer]) -> Config:
    """A feeder's configuration of the venues that `stand_ins` (entered) stand in for, and of no other."""
    config = Config()
    venues = {name: msgspec.structs.replace(venue, enabled=False) for name, venue in config.venues.items()}
    venues |= {stand_in.venue.name: stand_in.venue_config() for stand_in in stand_ins}
    return msgspec.structs.replace(config, venues=venues)
