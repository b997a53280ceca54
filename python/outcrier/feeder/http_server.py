"""A small HTTP/1.1 server for programs of this host that ask a feeder how it is (RFC 9112).

It answers GET and HEAD of a few fixed paths and nothing else: no bodies of requests, no connection that is
kept. Whatever a client does costs at most `CONNECTIONS_MAX` sockets of `HEAD_BYTES_MAX` bytes for
`REQUEST_S`.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from outcrier.clock import mono_ns
from outcrier.errors import NetworkError
from outcrier.feeder.logs import LimitedLog

HOST: Final = "127.0.0.1"
"""Nobody else is answered: what is told is for the operator, and there is no password."""

CONNECTIONS_MAX: Final = 16
"""At once. A scraper takes one for milliseconds."""

HEAD_BYTES_MAX: Final = 8_192
"""Request line and fields; scrapers send some 200 bytes."""

REQUEST_S: Final = 2.0
"""From the connection to the last byte of the request's head, however slowly it trickles."""

ANSWER_S: Final = 5.0
"""From there until the answer has been read."""

LINGER_BYTES_MAX: Final = 1 << 16
"""What a client goes on to send, such as the body of a POST, is read up to here, so that the reset of a
socket with unread bytes does not destroy the answer (RFC 9112, 9.6).
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """To one request."""

    status: HTTPStatus
    content_type: str
    body: bytes


Page = Callable[[], Answer]


class HttpServer:
    """Use as an async context manager: it listens while it is entered."""

    def __init__(self, port: int, pages: Mapping[str, Page]) -> None:
        """`port` 0 = any free one; `pages` by path. A page is called in the event loop and must be quick."""
        self._port = port
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = LimitedLog(logging.getLogger("outcrier.feeder.http_server"))
        self.requests = 0
        """Answered with a page."""
        self.refused = 0
        """Answered with an error, or not at all."""

    async def __aenter__(self) -> Self:
        """Raises NetworkError: the port is in use."""
        try:
            self._server = await asyncio.start_server(
                self._accept, HOST, self._port, limit=HEAD_BYTES_MAX, backlog=CONNECTIONS_MAX
            )
        except OSError as error:
            reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise NetworkError(f"feeder.health_port: port {self._port} on {HOST}: {reason}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None:
            return self._port
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CONNECTIONS_MAX:
            self.refused += 1
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer, with_body = await self._request(reader)
            async with asyncio.timeout(ANSWER_S):
                # All of it is with the kernel when `drain` returns.
                writer.transport.set_write_buffer_limits(high=0)
                writer.write(_encode(answer, with_body=with_body))
                await writer.drain()
                writer.write_eof()
                await _drop_rest(reader)
        except (OSError, EOFError, TimeoutError):
            pass  # The client went away, or does not read.
        finally:
            writer.transport.abort()

    async def _request(self, reader: asyncio.StreamReader) -> tuple[Answer, bool]:
        """The answer to the request that comes, and whether its body is wanted. Raises EOFError."""
        try:
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            self.refused += 1
            raise
        except asyncio.LimitOverrunError:
            answer, with_body = _error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), True
        except TimeoutError:
            answer, with_body = _error(HTTPStatus.REQUEST_TIMEOUT), True
        else:
            answer, with_body = self._answer(head)
        if answer.status in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}:
            self.requests += 1
        else:
            self.refused += 1
        return answer, with_body

    def _answer(self, head: bytes) -> tuple[Answer, bool]:
        line, *fields = head[:-4].split(b"\r\n")
        words = line.split(b" ")
        wrong = _wrong_with(words, fields)
        if wrong is not None:
            return _error(wrong), True
        method, target, _ = words
        with_body = method != b"HEAD"
        page = self._pages.get(target.partition(b"?")[0].decode("latin-1"))
        if page is None:
            return _error(HTTPStatus.NOT_FOUND), with_body
        if method not in {b"GET", b"HEAD"}:
            return _error(HTTPStatus.METHOD_NOT_ALLOWED), True
        try:
            return page(), with_body
        except Exception as error:  # noqa: BLE001 - nobody awaits the task
            self._log.log(mono_ns(), logging.ERROR, "page", f"{target!r}: {error!r}")
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR), with_body


def _wrong_with(words: list[bytes], fields: list[bytes]) -> HTTPStatus | None:
    """What is wrong with a request of this first line and these fields; None = nothing."""
    if len(words) != 3 or not all(words) or not words[2].startswith(b"HTTP/"):
        return HTTPStatus.BAD_REQUEST
    if words[2] not in {b"HTTP/1.0", b"HTTP/1.1"}:
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    hosts = sum(field.lower().startswith(b"host:") for field in fields)
    if (words[2] == b"HTTP/1.1" and hosts != 1) or not all(map(_is_field, fields)):
        return HTTPStatus.BAD_REQUEST
    return None


def _is_field(field: bytes) -> bool:
    """A name, without the space that some put before the colon to smuggle fields (RFC 9112, 5.1)."""
    name, colon, _ = field.partition(b":")
    return bool(colon) and bool(name) and not any(byte <= 32 or byte == 127 for byte in name)


def _error(status: HTTPStatus) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{status.value} {status.phrase}\n".encode())


def _encode(answer: Answer, *, with_body: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return head + answer.body if with_body else head


async def _drop_rest(reader: asyncio.StreamReader) -> None:
    """Reads until the client closes, or has sent more than anybody needs to."""
    left = LINGER_BYTES_MAX
    with suppress(ConnectionError):
        while left > 0 and (data := await reader.read(left)):
            left -= len(data)
