"""The server of /health and /metrics against clients of every kind, over real sockets on 127.0.0.1."""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

import pytest

from outcrier.errors import NetworkError
from outcrier.feeder import http_server
from outcrier.feeder.http_server import CONNECTIONS_MAX, HEAD_BYTES_MAX, HOST, Answer, HttpServer
from outcrier.feeder.loops import loop_factory

BODY = b"x" * 8_000_000
"""More than the kernel takes at once."""


def broken() -> Answer:
    raise RuntimeError("a bug")


PAGES: dict[str, Callable[[], Answer]] = {
    "/health": lambda: Answer(HTTPStatus.SERVICE_UNAVAILABLE, "application/json", b"{}\n"),
    "/metrics": lambda: Answer(HTTPStatus.OK, "text/plain", BODY),
    "/broken": broken,
}


def run(scene: Callable[[HttpServer], Coroutine[Any, Any, None]], loop: str = "asyncio") -> None:
    async def main() -> None:
        async with HttpServer(0, PAGES) as server:
            await scene(server)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


async def ask(server: HttpServer, request: bytes, *, half_close: bool = False) -> bytes:
    """Everything that the server sends until it closes."""
    reader, writer = await asyncio.open_connection(HOST, server.port, limit=1 << 20)
    try:
        writer.write(request)
        await writer.drain()
        if half_close:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


GET = b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("half_close", [False, True])
def test_an_answer_comes_whole(loop: str, half_close: bool) -> None:
    async def scene(server: HttpServer) -> None:
        answer = await ask(server, GET % b"/metrics?debug=1", half_close=half_close)
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *fields = head.split(b"\r\n")
        assert first == b"HTTP/1.1 200 OK"
        assert b"Content-Length: 8000000" in fields
        assert b"Connection: close" in fields
        assert body == BODY
        assert (server.requests, server.refused) == (1, 0)

    run(scene, loop)


def test_a_client_that_reads_slowly_and_has_said_all_gets_all() -> None:
    async def scene(server: HttpServer) -> None:
        def read() -> int:
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                client.connect((HOST, server.port))
                client.sendall(GET % b"/metrics")
                client.shutdown(socket.SHUT_WR)
                return sum(iter(lambda: len(client.recv(4_096)), 0))

        assert await asyncio.to_thread(read) > len(BODY)

    run(scene)


def test_a_body_that_comes_after_its_answer_is_no_broken_connection() -> None:
    async def scene(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n")
        assert (await reader.read()).endswith(b"405 Method Not Allowed\n"), "and the server has said all"
        for _ in range(3):
            writer.write(b"x" * 1_000)
            await writer.drain()
            await asyncio.sleep(0)
        assert len(server._tasks) == 1, "it still listens"
        writer.close()
        await writer.wait_closed()

    run(scene)


def test_a_client_library_understands_it() -> None:
    async def scene(server: HttpServer) -> None:
        def talk(method: str, path: str) -> tuple[int, str | None, bytes]:
            connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
            connection.request(method, path)
            response = connection.getresponse()
            answer = response.status, response.getheader("Content-Type"), response.read()
            connection.close()
            return answer

        assert await asyncio.to_thread(talk, "GET", "/metrics") == (200, "text/plain", BODY)
        assert await asyncio.to_thread(talk, "HEAD", "/metrics") == (200, "text/plain", b"")
        assert await asyncio.to_thread(talk, "GET", "/health") == (503, "application/json", b"{}\n")

    run(scene)


LONG = b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 3 * HEAD_BYTES_MAX + b"\r\n\r\n"

REQUESTS = {
    GET % b"/": 404,
    GET % b"/health/": 404,
    GET % b"//health": 404,
    GET % b"/metrics/../health": 404,
    b"HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n": 404,
    b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc": 405,
    b"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000: 405,
    b"DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n": 405,
    b"get /health HTTP/1.1\r\nHost: a\r\n\r\n": 405,
    b"GET /health HTTP/1.0\r\n\r\n": 503,
    b"GET /health HTTP/1.1\r\n\r\n": 400,
    b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n": 400,
    b"GET /health HTTP/1.1\r\nHost : a\r\n\r\n": 400,
    b"GET /health HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n": 400,
    b"GET /health\r\n\r\n": 400,
    b"GET  /health HTTP/1.1\r\nHost: a\r\n\r\n": 400,
    b"\x16\x03\x01\x02\x00 \x00 \x01\r\n\r\n": 400,
    b"\r\n\r\n\r\n": 400,
    b"GET /health HTTP/2.0\r\nHost: a\r\n\r\n": 505,
    b"GET /health FTP/1.1\r\nHost: a\r\n\r\n": 400,
    LONG: 431,
    b"x" * 10 * HEAD_BYTES_MAX: 431,
    GET % b"/broken": 500,
}


@pytest.mark.parametrize("request_bytes", REQUESTS, ids=lambda request: repr(request[:40]))
def test_everything_else_gets_its_error(request_bytes: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(server: HttpServer) -> None:
        answer = await ask(server, request_bytes)
        status = REQUESTS[request_bytes]
        assert answer.startswith(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode())
        assert (b"\r\nAllow: GET, HEAD\r\n" in answer) == (status == 405)
        assert answer.endswith(b"\r\n\r\n") == request_bytes.startswith(b"HEAD")
        assert server.requests + server.refused == 1
        assert (await ask(server, GET % b"/health")).startswith(b"HTTP/1.1 503"), "it goes on"

    with caplog.at_level(logging.ERROR):
        run(scene)
    bug = request_bytes == GET % b"/broken"
    assert caplog.messages == (["page: b'/broken': RuntimeError('a bug')"] if bug else [])


def test_a_body_of_ten_megabytes_is_not_read_but_answered() -> None:
    async def scene(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
        assert (await reader.readline()) == b"HTTP/1.1 405 Method Not Allowed\r\n"

        async def send_for_ever() -> None:
            while True:
                writer.write(b"x" * 100_000)
                await writer.drain()

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(send_for_ever(), 30)
        writer.close()

    run(scene)


def test_trickling_clients_hold_nobody_up_and_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "REQUEST_S", 0.5)

    async def scene(server: HttpServer) -> None:
        slow = [await asyncio.open_connection(HOST, server.port) for _ in range(CONNECTIONS_MAX - 1)]
        for _, writer in slow:
            writer.write(b"GET /health HT")
        assert (await ask(server, GET % b"/health")).startswith(b"HTTP/1.1 503"), "one place is left"
        answers = await asyncio.gather(*(reader.read() for reader, _ in slow))
        assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 408 Request Timeout"}
        for _, writer in slow:
            writer.close()

    run(scene)


def test_no_more_connections_than_allowed() -> None:
    async def scene(server: HttpServer) -> None:
        idle = [await asyncio.open_connection(HOST, server.port) for _ in range(CONNECTIONS_MAX)]
        try:
            answer = await ask(server, GET % b"/health")
        except ConnectionError:
            answer = b""
        assert (answer, server.refused) == (b"", 1)
        for _, writer in idle:
            writer.close()
        for _ in range(3_000):
            if not server._tasks:
                break
            await asyncio.sleep(0.01)
        assert (await ask(server, GET % b"/health")).startswith(b"HTTP/1.1 503"), "their places are free"

    run(scene)


def test_a_client_that_does_not_read_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "ANSWER_S", 0.2)
    monkeypatch.setitem(PAGES, "/metrics", lambda: Answer(HTTPStatus.OK, "text/plain", b"x" * 50_000_000))

    async def scene(server: HttpServer) -> None:
        with socket.create_connection((HOST, server.port)) as client:
            client.sendall(GET % b"/metrics")
            for _ in range(3_000):
                if server.requests and not server._tasks:
                    break
                await asyncio.sleep(0.01)
            assert not server._tasks

    run(scene)


def test_the_end_does_not_wait_for_clients() -> None:
    async def scene(server: HttpServer) -> None:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        await server.__aexit__(None, None, None)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()

    run(scene)


def test_a_port_in_use_is_named() -> None:
    async def scene(server: HttpServer) -> None:
        with pytest.raises(NetworkError, match=rf"feeder\.health_port: port {server.port} .*: in use"):
            await HttpServer(server.port, PAGES).__aenter__()

    run(scene)


def test_nobody_else_than_this_host_is_answered() -> None:
    async def scene(server: HttpServer) -> None:
        assert server._server is not None
        assert {each.getsockname()[0] for each in server._server.sockets} == {"127.0.0.1"}

    run(scene)
