"""WebSocket links by `websockets`: for connections through a proxy and with permessage-deflate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidProxy,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)

from outcrier.feeder.transport import (
    CLOSE_ABNORMAL,
    CLOSE_GRACE_S,
    MESSAGE_BYTES_MAX,
    LinkListener,
    Reason,
    TransportError,
    classify,
    close_reason,
    host_of,
    proxy_for,
    status_error,
)

# Connections are told by the connection machine, in our words.
_log = logging.getLogger("outcrier.feeder.websockets")
_log.setLevel(logging.WARNING)

_OUTGOING_MAX: Final = 1024
"""Messages that wait for the socket. A venue allows 10 a second; more waiting means that the socket does not
drain.
"""


class _Ping:
    """Stands for a protocol ping among the outgoing messages."""


class _Link:
    """One connection with a reading and a sending task; both end when the socket does."""

    def __init__(self, connection: ClientConnection, listener: LinkListener) -> None:
        self._connection = connection
        self._listener = listener
        self._outgoing: asyncio.Queue[str | _Ping] = asyncio.Queue(_OUTGOING_MAX)
        self._closing: asyncio.Task[None] | None = None
        self._our_close: tuple[int, str] | None = None
        self._sender = asyncio.create_task(self._send_all())
        self._reader = asyncio.create_task(self._read_all())

    async def _read_all(self) -> None:
        self._listener.on_open(self)
        try:
            while True:
                # The library does not tell how many messages it has read: each counts as a read of its own.
                self._listener.on_frame(await self._connection.recv(decode=False), more=False)
        except ConnectionClosed as closed:
            code, reason = CLOSE_ABNORMAL, "connection lost"
            if closed.rcvd is not None:
                code, reason = closed.rcvd.code, closed.rcvd.reason
            elif self._our_close is not None:
                code, reason = self._our_close
            elif closed.sent is not None:
                code, reason = closed.sent.code, closed.sent.reason
            self._listener.on_close(code, reason)
        finally:
            self._sender.cancel()

    async def _send_all(self) -> None:
        # The reader tells the close; what can no longer be sent is lost with the socket.
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = await self._outgoing.get()
                if isinstance(message, _Ping):
                    asyncio.ensure_future(await self._connection.ping()).add_done_callback(self._pong)
                else:
                    await self._connection.send(message)

    def _pong(self, answered: asyncio.Future[float]) -> None:
        if not answered.cancelled() and answered.exception() is None:
            self._listener.on_pong()

    def _put(self, message: str | _Ping) -> None:
        try:
            self._outgoing.put_nowait(message)
        except asyncio.QueueFull:
            self.abort()

    def send(self, text: str) -> None:
        self._put(text)

    def ping(self) -> None:
        self._put(_Ping())

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            cut = close_reason(reason)
            self._our_close = (code, cut)
            self._closing = asyncio.create_task(self._connection.close(code, cut))

    def abort(self) -> None:
        self._connection.transport.abort()


async def connect(url: str, listener: LinkListener, deadline_s: float) -> None:
    """Opens `url`, by the proxy of the environment if there is one; see `transport.Connector`."""
    try:
        async with asyncio.timeout(deadline_s):
            connection = await ws_connect(
                url,
                logger=_log,
                max_size=MESSAGE_BYTES_MAX,
                open_timeout=deadline_s,
                # The connection machine watches silence and pings; two watchers would fight.
                ping_interval=None,
                close_timeout=CLOSE_GRACE_S,
                # The feed handles a message in microseconds; what waits here would only be late.
                max_queue=1024,
            )
    except InvalidStatus as error:
        headers = error.response.headers
        raise status_error(url, error.response.status_code, headers.get("Retry-After")) from error
    except InvalidProxy as error:
        # Its text holds the proxy's URL, credentials included.
        raise TransportError(url, Reason.PROXY, f"{_proxy_name(url)}: {error.msg}") from error
    except ProxyError as error:
        raise TransportError(url, Reason.PROXY, f"{_proxy_name(url)}: {error}") from error
    except (OSError, WebSocketException, ValueError, EOFError) as error:
        raise _by_proxy(url, classify(url, error)) from error
    # The tasks belong to the link, the link to whoever `on_open` gave it to.
    _Link(connection, listener)


def _proxy_name(url: str) -> str:
    """`host:port` of the proxy that applies to `url`, without credentials; empty where there is none."""
    proxy = proxy_for(url) or ""
    return host_of(proxy if "://" in proxy else f"//{proxy}") if proxy else ""


def _by_proxy(url: str, error: TransportError) -> TransportError:
    """`error`, told of the proxy where one applies: with a proxy nothing else is looked up or dialled here.

    Who let the time pass is not known, so a timeout only names the proxy.
    """
    proxy = _proxy_name(url)
    if proxy and error.reason in {Reason.DNS, Reason.REFUSED, Reason.UNREACHABLE}:
        return TransportError(url, Reason.PROXY, f"{proxy}: {str(error).removeprefix(f'{host_of(url)}: ')}")
    if proxy and error.reason is Reason.TIMEOUT:
        return TransportError(url, Reason.TIMEOUT, f"by the proxy {proxy}")
    return error
