"""A local server that stands in for an exchange: WebSocket and REST on one port, played from captures.

All connections share one playing, so that the two connections of the USD-M split stay together. It starts
with the first subscription and goes on at the recorded pace (or faster), heard or not, as an exchange does.
At the end of the captures every connection is closed, because Binance sends no new book in the stream, and
the next subscription starts them anew. Nobody connected for IDLE_S ends it too. What did not happen in the
recording is counted as injected.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import deque
from collections.abc import Sequence
from http.client import responses
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from outcrier.capture.exchange import Answer, Client, Emission, Exchange
from outcrier.capture.format import Pace
from outcrier.capture.library import instrument_list, read_session, scan
from outcrier.config import Config, VenueConfig
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.venues.base import Venue
from outcrier.venues.binance import Binance, BinanceFutures

_log = logging.getLogger("outcrier.capture")

IDLE_S: Final = 5.0
"""How long the captures go on with nobody connected: longer than a reconnect, shorter than a person's
patience.
"""

QUEUE_MAX: Final = 4096
"""Messages waiting for one connection; then the playing waits for it."""

SLOW_S: Final = 10.0
"""A connection that takes nothing for this long is cut."""

SLICE_S: Final = 0.5
"""Longest single wait, so that an end is noticed within a second."""

YIELD_EVERY: Final = 64
"""Messages without a wait before other tasks get their turn."""

MESSAGE_BYTES_MAX: Final = 4096
"""Longest message taken from a client; the exchange swallows longer ones."""

SPOT_MESSAGES_PER_S: Final = 5
FUTURES_MESSAGES_PER_S: Final = 10

_CLOSE_GOING_AWAY: Final = 1001
_CLOSE_POLICY: Final = 1008
_WEBSOCKET_PATHS: Final = ("/ws", "/stream", "/public/", "/market/")


class Faults(msgspec.Struct, frozen=True):
    """What the stand-in does wrong on purpose; each once, counted over its whole life. 0 = never."""

    drop_diff: int = 0
    """The N-th depth diff of the first symbol is not sent; the REST book has it."""
    close_after: int = 0
    """After N messages every connection is cut."""
    stall_after: int = 0
    """After N messages nothing is sent for `stall_s` seconds."""
    stall_s: float = 0.0
    refuse_depth: int = 0
    """The first N requests for a book are refused with `refuse_status`."""
    refuse_status: int = 503


class Counters(msgspec.Struct):
    """What happened so far."""

    connections: int = 0
    playings: int = 0
    messages: int = 0
    """Sent to clients, answers not counted."""
    requests: int = 0
    junk: int = 0
    """Depth updates of the recording that were not sent: their numbers are none."""
    failed: int = 0
    """Playings that broke off: a capture that is damaged, or a fault of ours."""
    slow: int = 0
    """Connections cut because they took nothing."""
    injected: dict[str, int] = {}
    """By name: end (of the captures), drop_diff, close, stall, refuse_depth."""

    def inject(self, name: str) -> None:
        """Counts one thing that the recording does not hold."""
        self.injected[name] = self.injected.get(name, 0) + 1


class _Connection:
    """One WebSocket with its outgoing queue."""

    def __init__(self, socket: ServerConnection, client: Client) -> None:
        self.socket = socket
        self.client = client
        self.queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_MAX)

    async def send_all(self) -> None:
        """Sends what is queued until the connection is gone."""
        while True:
            text = await self.queue.get()
            try:
                await self.socket.send(text)
            finally:
                self.queue.task_done()


class StandIn:
    """The server; use as an async context manager. `ws_url` and `rest_url` are the bases to configure."""

    def __init__(
        self,
        venue: Venue,
        paths: Sequence[Path],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float | None = 1.0,
        faults: Faults | None = None,
        instruments: Path | None = None,
    ) -> None:
        """Reads the captures once. `port` 0 = any free one; `speed` is a factor, None = as fast as clients
        take it.

        Raises CaptureError for a damaged capture, ConfigurationError for a venue or speed that cannot be
        played.
        """
        if not isinstance(venue, Binance):
            raise ConfigurationError(f"{venue.name} cannot be stood in for: only the Binance venues can")
        if speed is not None and not speed > 0:
            raise ConfigurationError(f"speed {speed} is not above 0")
        self.venue: Binance = venue
        self.counters = Counters()
        self._paths = tuple(paths)
        self._host, self._port = host, port
        self._speed = speed
        self._faults = faults or Faults()
        self.found = scan(venue, self._paths)
        body = instrument_list(venue, self._paths, self.found, instruments)
        self.exchange = Exchange(venue, self._paths, self.found, body)
        self._connections: set[_Connection] = set()
        self._server: Server | None = None
        self._playing: asyncio.Task[None] | None = None
        self._diffs = 0
        self._sent = 0
        self._refused = 0
        self._messages_per_s = (
            FUTURES_MESSAGES_PER_S if isinstance(venue, BinanceFutures) else SPOT_MESSAGES_PER_S
        )

    async def __aenter__(self) -> Self:
        keepalive = self.venue.keepalive
        try:
            self._server = await serve(
                self._serve_client,
                self._host,
                self._port,
                process_request=self._on_request,
                ping_interval=keepalive.ping_every_s,
                ping_timeout=keepalive.pong_within_s,
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
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.gather(self._playing, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

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

    def venue_config(self) -> VenueConfig:
        """The feeder's configuration of this venue that fits the captures: endpoints, symbols, channels,
        speed.
        """
        named = [self.venue.channel_of(stream) for stream in self.found.streams]
        channels = dict.fromkeys(each[0] for each in named if each is not None)
        speeds = {each[1] for each in named if each is not None and each[0] == "depth"}
        if len(speeds) > 1:
            raise ConfigurationError(
                f"{self._paths[0]}: depth at several speeds: {', '.join(sorted(speeds))}"
            )
        return VenueConfig(
            enabled=True,
            ws_url=self.ws_url,
            rest_url=self.rest_url,
            symbols=self.found.symbols,
            channels=tuple(channels),
            depth_speed="".join(speeds),
        )

    def config(self) -> Config:
        """The whole configuration: this venue and no other."""
        return stand_in_config([self])

    # REST.

    def _on_request(self, connection: ServerConnection, request: Request) -> Response | None:
        del connection
        if request.path.startswith(_WEBSOCKET_PATHS):
            if Client.connect(self.venue, request.path) is not None:
                return None
            return _response(Answer(404, '{"code":-1,"msg":"Not Found"}'))
        self.counters.requests += 1
        return _response(self._answer(request.path))

    def _answer(self, target: str) -> Answer:
        is_depth = target.startswith(f"{self.venue.rest_prefix}/depth")
        if is_depth and self._refused < self._faults.refuse_depth:
            self._refused += 1
            self.counters.inject("refuse_depth")
            status = self._faults.refuse_status
            headers = {"Retry-After": "1"} if status in {418, 429} else {}
            return Answer(status, '{"code":-1008,"msg":"Refused on purpose."}', headers)
        return self.exchange.rest(target, asyncio.get_running_loop().time())

    # WebSocket.

    async def _serve_client(self, socket: ServerConnection) -> None:
        client = None if socket.request is None else Client.connect(self.venue, socket.request.path)
        if client is None:
            return  # Cannot be: `_on_request` has answered such a request.
        connection = _Connection(socket, client)
        self.counters.connections += 1
        self._connections.add(connection)
        sender = asyncio.create_task(connection.send_all())
        try:
            self._start_if_subscribed(connection)
            await self._read(connection)
        except ConnectionClosed:
            pass
        finally:
            self._connections.discard(connection)
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _read(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        recent: deque[float] = deque(maxlen=self._messages_per_s)
        async for message in connection.socket:
            now = loop.time()
            if len(recent) == recent.maxlen and now - recent[0] < 1.0:
                await connection.socket.close(_CLOSE_POLICY, "Too many requests")
                return
            recent.append(now)
            text = message if isinstance(message, str) else message.decode("utf-8", errors="replace")
            await connection.queue.put(connection.client.on_text(text))
            self._start_if_subscribed(connection)

    def _start_if_subscribed(self, connection: _Connection) -> None:
        if connection.client.subscribed and (self._playing is None or self._playing.done()):
            self._playing = asyncio.create_task(self._guarded())

    # Playing.

    async def _guarded(self) -> None:
        """Plays; what goes wrong is said, and everybody is sent away rather than left in silence."""
        try:
            await self._play()
        except Exception:  # noqa: BLE001 - nobody awaits the task
            self.counters.failed += 1
            _log.exception("venue=%s: the playing broke off", self.venue.name)
            await self._dismiss_all()

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        self.counters.playings += 1
        self.exchange.restart()
        pace = Pace()
        start = heard = loop.time()
        for number, line in enumerate(read_session(self._paths)):
            due = start + pace.offset_ns(line) / 1e9 / self._speed if self._speed else 0.0
            while (left := due - loop.time()) > 0:
                await asyncio.sleep(min(left, SLICE_S))
                heard = loop.time() if self._connections else heard
                if loop.time() - heard > IDLE_S:
                    return
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
                heard = loop.time() if self._connections else heard
                if loop.time() - heard > IDLE_S:
                    return
            emission = self.exchange.take(line)
            self.counters.junk = self.exchange.junk
            if emission is not None:
                start += await self._emit(emission)
        await self._end()

    async def _emit(self, emission: Emission) -> float:
        """Sends one message to those who want it. Returns the seconds that the playing was held up on
        purpose.
        """
        if emission.symbol is not None and emission.symbol == self.found.symbols[0]:
            self._diffs += 1
            if self._diffs == self._faults.drop_diff:
                self.counters.inject("drop_diff")
                return 0.0
        for connection in list(self._connections):
            if connection.client.wants(emission.stream):
                await self._push(
                    connection, emission.text if connection.client.is_combined else emission.data
                )
        self._sent += 1
        if self._sent == self._faults.close_after:
            self.counters.inject("close")
            for connection in list(self._connections):
                connection.socket.transport.abort()
        if self._sent == self._faults.stall_after:
            self.counters.inject("stall")
            await asyncio.sleep(self._faults.stall_s)
            return self._faults.stall_s
        return 0.0

    async def _push(self, connection: _Connection, text: str) -> None:
        self.counters.messages += 1
        if not connection.queue.full():
            connection.queue.put_nowait(text)
            return
        try:
            await asyncio.wait_for(connection.queue.put(text), SLOW_S)
        except TimeoutError:
            self.counters.slow += 1
            self._connections.discard(connection)
            connection.socket.transport.abort()

    async def _end(self) -> None:
        """The captures are over: everybody gets what is queued and is sent away."""
        self.counters.inject("end")
        await self._dismiss_all()

    async def _dismiss_all(self) -> None:
        await asyncio.gather(*(self._dismiss(connection) for connection in list(self._connections)))

    async def _dismiss(self, connection: _Connection) -> None:
        try:
            await asyncio.wait_for(connection.queue.join(), SLOW_S)
        except TimeoutError:
            self.counters.slow += 1
        self._connections.discard(connection)
        await connection.socket.close(_CLOSE_GOING_AWAY, "end of the recording")


def stand_in_config(stand_ins: Sequence[StandIn]) -> Config:
    """A feeder's configuration of the venues that `stand_ins` (entered) stand in for, and of no other."""
    config = Config()
    venues = {name: msgspec.structs.replace(venue, enabled=False) for name, venue in config.venues.items()}
    venues |= {stand_in.venue.name: stand_in.venue_config() for stand_in in stand_ins}
    return msgspec.structs.replace(config, venues=venues)


def _response(answer: Answer) -> Response:
    body = answer.body.encode()
    headers = Headers(
        {
            "Content-Type": "application/json;charset=UTF-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **answer.headers,
        }
    )
    return Response(answer.status, responses.get(answer.status, "Refused"), headers, body)
