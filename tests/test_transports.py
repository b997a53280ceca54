"""Both transports and the REST client against servers on 127.0.0.1: the same behaviour, the same words for a
failure.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import socket
import ssl
import types
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from outcrier.feeder import transport_picows, transport_websockets
from outcrier.feeder.http import HttpClient
from outcrier.feeder.transport import (
    MESSAGE_BYTES_MAX,
    Connector,
    Link,
    Reason,
    TransportError,
    classify,
    connector_for,
    parse_retry_after,
    proxy_for,
)
from workers import free_port

# Self-signed, for 127.0.0.1, valid until 2125: made for this test, trusted by nobody.
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUDbzv7vh7X2gj/fl5jZayOx0jb+EwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTA0MjMzOFoYDzIxMjYxMDI4
MDQyMzM4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAS3iGijQ/s6Yt3xIB4ELEd1ny2EEv6/hDzR/fyJfUDMkR4Iwy7CkYkU
8kF0Vt5P1e6bySENxbrno+JUhy1rF0i8o28wbTAdBgNVHQ4EFgQU0Z3PzFXTRMO5
69nVxmBwBQXFIIMwHwYDVR0jBBgwFoAU0Z3PzFXTRMO569nVxmBwBQXFIIMwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwCgYIKoZI
zj0EAwIDSAAwRQIgFk7W/rUv4tUtq+lP3663rNS/lxH3XEBYy96ofYmDn88CIQDw
0RMl3Zbm5yqj2m8KsJ6N37Esbg4aUITLP1n+7PplXw==
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg18YIxfcv64pCW3+o
fxUlin1hynYGQiaa/o6q4vZD9kKhRANCAAS3iGijQ/s6Yt3xIB4ELEd1ny2EEv6/
hDzR/fyJfUDMkR4Iwy7CkYkU8kF0Vt5P1e6bySENxbrno+JUhy1rF0i8
-----END PRIVATE KEY-----
"""

BOTH = pytest.mark.parametrize(
    "transport", [transport_picows, transport_websockets], ids=["picows", "websockets"]
)


class Listener:
    """Keeps what a link tells; `closed` is set by its end."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.frames: asyncio.Queue[bytes] = asyncio.Queue()
        self.order: list[str] = []
        self.reads: list[str] = []
        """Of each message whether more of its read follows, and the ends of reads that no message told."""
        self.pongs = asyncio.Event()
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    def on_open(self, link: Link) -> None:
        self.order.append("open")
        self.link = link

    def on_frame(self, data: bytes, more: bool) -> None:
        self.order.append("frame")
        self.frames.put_nowait(data)
        self.reads.append("more" if more else "last")

    def on_read_end(self) -> None:
        self.reads.append("end")

    def on_pong(self) -> None:
        self.pongs.set()

    def on_close(self, code: int, reason: str) -> None:
        self.order.append("close")
        self.closed.set_result((code, reason))

    async def frame(self) -> bytes:
        return await asyncio.wait_for(self.frames.get(), 5)

    async def close(self) -> tuple[int, str]:
        return await asyncio.wait_for(self.closed, 5)


Handler = Callable[[ServerConnection], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(handler: Handler, **options: object) -> AsyncIterator[str]:
    async def quiet(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await handler(connection)

    async with serve(quiet, "127.0.0.1", 0, close_timeout=1, **options) as running:  # type: ignore[arg-type]
        yield f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/stream"


@contextlib.asynccontextmanager
async def opened(transport: types.ModuleType, url: str) -> AsyncIterator[Listener]:
    listener = Listener()
    await transport.connect(url, listener, 5)
    for _ in range(100):
        if listener.link is not None:
            break
        await asyncio.sleep(0.01)
    assert listener.link is not None
    try:
        yield listener
    finally:
        listener.link.close(1000, "done")
        await asyncio.wait([listener.closed], timeout=5)


@BOTH
def test_messages_of_every_form_come_whole_and_in_order(transport: types.ModuleType) -> None:
    long = "x" * 5_079_379  # the recorded Coinbase book

    async def handler(connection: ServerConnection) -> None:
        await connection.send("greeting")
        await connection.send(b"\x00\x01binary")
        await connection.send(["frag", "men", "ted"])
        await connection.send(long)
        await connection.send("")
        async for message in connection:
            await connection.send(f"echo {message!s}")

    async def run() -> None:
        async with server(handler) as url, opened(transport, url) as listener:
            frames = [await listener.frame() for _ in range(5)]
            assert frames[:3] == [b"greeting", b"\x00\x01binary", b"fragmented"]
            assert frames[3] == long.encode()
            assert frames[4] == b""
            assert listener.link is not None
            for text in ("one", "zwei äöü", "three"):
                listener.link.send(text)
            assert [await listener.frame() for _ in range(3)] == [
                b"echo one",
                "echo zwei äöü".encode(),
                b"echo three",
            ]
            assert listener.order[0] == "open"

    asyncio.run(run())


@BOTH
@pytest.mark.parametrize(
    ("code", "reason"), [(1000, "bye"), (1001, ""), (1008, "policy"), (4001, "venue's own")]
)
def test_a_close_by_the_peer_is_told_once_with_its_code(
    transport: types.ModuleType, code: int, reason: str
) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.close(code, reason)

    async def run() -> None:
        async with server(handler) as url, opened(transport, url) as listener:
            assert await listener.close() == (code, reason)
            assert listener.order == ["open", "close"]
            assert listener.link is not None
            # What comes after the end is no error.
            listener.link.send("late")
            listener.link.ping()
            listener.link.close(1000, "late")
            listener.link.abort()

    asyncio.run(run())


@BOTH
def test_a_cut_without_close_frame_is_1006(transport: types.ModuleType) -> None:
    async def handler(connection: ServerConnection) -> None:
        connection.transport.abort()

    async def run() -> None:
        async with server(handler) as url, opened(transport, url) as listener:
            assert (await listener.close())[0] == 1006

    asyncio.run(run())


@BOTH
def test_our_close_reaches_the_peer_and_ends_though_it_is_not_answered(transport: types.ModuleType) -> None:
    seen: list[tuple[int | None, str | None]] = []

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        seen.append((connection.close_code, connection.close_reason))

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Upgrades by hand and never answers anything after."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(
            line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")
        )
        accept = base64.b64encode(
            hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()  # noqa: S324 - RFC 6455 section 1.3 names it
        )
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    async def run() -> None:
        async with server(handler) as url, opened(transport, url) as listener:
            assert listener.link is not None
            listener.link.close(1000, "stopped")
            assert await listener.close() == (1000, "stopped")
        assert seen == [(1000, "stopped")]
        raw = await asyncio.start_server(deaf, "127.0.0.1", 0)
        async with raw:
            url = f"ws://127.0.0.1:{raw.sockets[0].getsockname()[1]}/"
            async with opened(transport, url) as listener:
                assert listener.link is not None
                listener.link.close(1000, "stopped")
                async with asyncio.timeout(2):
                    await listener.close()

    asyncio.run(run())


@BOTH
def test_abort_ends_at_once(transport: types.ModuleType) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async def run() -> None:
        async with server(handler) as url, opened(transport, url) as listener:
            assert listener.link is not None
            listener.link.abort()
            assert (await listener.close())[0] == 1006

    asyncio.run(run())


@BOTH
def test_pings_go_both_ways(transport: types.ModuleType) -> None:
    answered = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        pong = await connection.ping(b"venue payload")
        async with asyncio.timeout(5):
            await pong
        answered.set()
        await connection.wait_closed()

    async def run() -> None:
        async with server(handler, ping_interval=None) as url, opened(transport, url) as listener:
            assert listener.link is not None
            listener.link.ping()
            async with asyncio.timeout(5):
                await listener.pongs.wait()
                await answered.wait()
        assert "frame" not in listener.order, "control frames are no messages"

    asyncio.run(run())


@BOTH
@pytest.mark.parametrize("fragments", [False, True])
def test_a_message_above_the_limit_closes_with_1009(transport: types.ModuleType, fragments: bool) -> None:
    # Fault 23.
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        piece = "x" * (MESSAGE_BYTES_MAX // 2 + 1)
        with contextlib.suppress(ConnectionClosed):
            await connection.send([piece, piece] if fragments else piece + piece)
            await connection.wait_closed()
        codes.put_nowait(connection.close_code)

    async def run() -> None:
        async with server(handler, compression=None) as url, opened(transport, url) as listener:
            async with asyncio.timeout(10):
                await listener.closed
                assert await codes.get() == 1009
            assert listener.frames.empty()

    asyncio.run(run())


def test_permessage_deflate_is_inflated_and_a_bomb_is_not() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send("depth " * 10_000)
        await connection.send("\0" * (MESSAGE_BYTES_MAX + 1))
        await connection.wait_closed()

    async def run() -> None:
        async with (
            server(handler, compression="deflate") as url,
            opened(transport_websockets, url) as listener,
        ):
            assert await listener.frame() == b"depth " * 10_000
            code, _ = await listener.close()
            assert code == 1009
            assert listener.frames.empty()

    asyncio.run(run())


async def failure(connect: Connector, url: str, deadline_s: float = 5) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await connect(url, Listener(), deadline_s)
    assert "\n" not in str(caught.value)
    return caught.value


@BOTH
def test_refused_and_unknown_names_say_so(transport: types.ModuleType) -> None:
    async def run() -> None:
        port = free_port(socket.SOCK_STREAM)
        error = await failure(transport.connect, f"ws://127.0.0.1:{port}/stream")
        assert (error.reason, str(error)) == (Reason.REFUSED, f"127.0.0.1:{port}: refused")
        error = await failure(transport.connect, "wss://no-such-venue.invalid/stream")
        assert error.reason is Reason.DNS

    asyncio.run(run())


@BOTH
@pytest.mark.parametrize(
    ("status", "retry_after", "reason"),
    [
        (429, "17", Reason.RATE_LIMITED),
        (418, None, Reason.RATE_LIMITED),
        (403, None, Reason.REGION),
        (451, None, Reason.REGION),
        (503, "5", Reason.HTTP_STATUS),
        (302, None, Reason.HTTP_STATUS),
    ],
)
def test_a_refused_upgrade_is_its_status(
    transport: types.ModuleType, status: int, retry_after: str | None, reason: Reason
) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        del request
        # `respond` knows no 418 with text of ours, nor Retry-After.
        response = connection.respond(HTTPStatus(status), "no\n")
        if retry_after is not None:
            response.headers["Retry-After"] = retry_after
        return response

    async def handler(connection: ServerConnection) -> None:
        raise AssertionError("never reached")

    async def run() -> None:
        async with server(handler, process_request=refuse) as url:
            error = await failure(transport.connect, url)
            assert (error.reason, error.status) == (reason, status)
            assert error.retry_after_s == float(retry_after or 0)
            assert f"HTTP {status}" in str(error)

    asyncio.run(run())


@BOTH
def test_a_certificate_nobody_vouches_for_is_refused(transport: types.ModuleType, tmp_path: Path) -> None:
    # Fault 24: never retried insecurely.
    pem = tmp_path / "server.pem"
    pem.write_text(CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def handler(connection: ServerConnection) -> None:
        raise AssertionError("never reached")

    async def run() -> None:
        async with server(handler, ssl=context) as url:
            error = await failure(transport.connect, url.replace("ws://", "wss://"))
            assert error.reason is Reason.TLS
            assert "self-signed" in str(error)

    asyncio.run(run())


@BOTH
def test_a_server_that_says_nothing_times_out(transport: types.ModuleType) -> None:
    async def run() -> None:
        left = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            left.set()

        raw = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with raw:
            error = await failure(
                transport.connect, f"ws://127.0.0.1:{raw.sockets[0].getsockname()[1]}/", 0.2
            )
            assert error.reason is Reason.TIMEOUT
            async with asyncio.timeout(5):
                await left.wait()

    asyncio.run(run())


@BOTH
def test_a_server_that_is_no_websocket_is_a_protocol_error(transport: types.ModuleType) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    async def run() -> None:
        raw = await asyncio.start_server(other, "127.0.0.1", 0)
        async with raw:
            error = await failure(transport.connect, f"ws://127.0.0.1:{raw.sockets[0].getsockname()[1]}/")
            assert error.reason is Reason.PROTOCOL

    asyncio.run(run())


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no", "ws", "wss", "socks"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme}_proxy".upper(), raising=False)


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_of_the_environment_is_used_and_changes_the_transport(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connects: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]
        connects.append(line)
        host, _, port = line.split()[1].decode().rpartition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

        async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pipe(reader, up_writer), pipe(up_reader, writer))

    async def handler(connection: ServerConnection) -> None:
        await connection.send("through the proxy")
        await connection.wait_closed()

    async def run() -> None:
        raw = await asyncio.start_server(proxy, "127.0.0.1", 0)
        async with raw, server(handler) as url:
            assert connector_for(url) is transport_picows.connect
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{raw.sockets[0].getsockname()[1]}")
            assert connector_for(url) is transport_websockets.connect
            async with opened(transport_websockets, url) as listener:
                assert await listener.frame() == b"through the proxy"
            assert connects[0].startswith(b"CONNECT 127.0.0.1:")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert proxy_for(url) is None
            monkeypatch.delenv("NO_PROXY")
            port = free_port(socket.SOCK_STREAM)
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
            error = await failure(transport_websockets.connect, url)
            assert error.reason is Reason.PROXY
            assert str(error).endswith(f": proxy failed (127.0.0.1:{port}: refused)")
            monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@:1")
            error = await failure(transport_websockets.connect, url)
            assert error.reason is Reason.PROXY
            assert "secret" not in str(error)

    asyncio.run(run())


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_tells_a_dead_proxy_from_a_dead_exchange(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        proxy, target = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
        url = f"{scheme}://127.0.0.1:{target}/x"
        for name, reason, text in (
            ("", Reason.PROXY, f"127.0.0.1:{target}: proxy failed (127.0.0.1:{proxy}: refused)"),
            ("127.0.0.1", Reason.REFUSED, f"127.0.0.1:{target}: refused"),
        ):
            monkeypatch.setenv(f"{scheme}_proxy".upper(), f"http://me:secret@127.0.0.1:{proxy}")
            monkeypatch.setenv("NO_PROXY", name)
            async with HttpClient() as client:
                with pytest.raises(TransportError) as caught:
                    await client.get(url)
            assert (caught.value.reason, str(caught.value)) == (reason, text)

    asyncio.run(run())


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (b"", Reason.PROXY, "RemoteProtocolError"),
        (b"HTTP/1.1 407 Who\r\n\r\n", Reason.PROXY, "407 Who"),
        # The tunnel stands: what fails in it is the exchange's.
        (b"HTTP/1.1 200 OK\r\n\r\n", Reason.TLS, "TLS failed"),
    ],
)
def test_a_proxy_that_gives_no_tunnel_is_named(
    answer: bytes, reason: Reason, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def run() -> None:
        raw = await asyncio.start_server(proxy, "127.0.0.1", 0)
        async with raw:
            port = raw.sockets[0].getsockname()[1]
            monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
            async with HttpClient() as client:
                with pytest.raises(TransportError) as caught:
                    await client.get("https://exchange.invalid/x")
            assert caught.value.reason is reason
            assert str(caught.value).startswith("exchange.invalid: ")
            assert (f"(127.0.0.1:{port}: " in str(caught.value)) == (reason is Reason.PROXY)
            assert text in str(caught.value)

    asyncio.run(run())


@contextlib.asynccontextmanager
async def web(answer: bytes) -> AsyncIterator[str]:
    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()
        writer.close()

    running = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with running:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/api/v3/depth?symbol=BTCUSDT"


def http_answer(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def test_an_answer_comes_whole_with_its_headers() -> None:
    async def run() -> None:
        body = gzip.compress(b'{"lastUpdateId":1}')
        answer = http_answer("200 OK", body, "Content-Encoding: gzip", "X-MBX-USED-WEIGHT-1M: 250")
        async with web(answer) as url, HttpClient() as client:
            got = await client.get(url)
            assert got.body == b'{"lastUpdateId":1}'
            assert got.headers["x-mbx-used-weight-1m"] == "250"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "reason", "text"),
    [
        (http_answer("429 Too Many", b"{}", "Retry-After: 30"), Reason.RATE_LIMITED, "HTTP 429: {}"),
        (http_answer("451 Legal", b"<html>x</html>"), Reason.REGION, "(HTTP 451)"),
        (
            http_answer("400 Bad", b'{"code":-1121,\n"msg":"Invalid symbol."}'),
            Reason.HTTP_STATUS,
            'HTTP 400: {"code":-1121, "msg":"Invalid symbol."}',
        ),
        (http_answer("301 Moved", b"", "Location: http://127.0.0.1:1/"), Reason.HTTP_STATUS, "HTTP 301"),
        (http_answer("200 OK", b"x" * 2001), Reason.TOO_BIG, "more than 2,000 bytes"),
        (
            http_answer("200 OK", gzip.compress(bytes(1_000_000)), "Content-Encoding: gzip"),
            Reason.TOO_BIG,
            "2,000",
        ),
        (http_answer("200 OK", b"no gzip", "Content-Encoding: gzip"), Reason.PROTOCOL, "DecodingError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", Reason.PROTOCOL, "RemoteProtocolError"),
        (b"nonsense\r\n\r\n", Reason.PROTOCOL, "RemoteProtocolError"),
    ],
)
def test_every_other_answer_is_one_line(answer: bytes, reason: Reason, text: str) -> None:
    async def run() -> None:
        async with web(answer) as url, HttpClient(body_bytes_max=2000) as client:
            with pytest.raises(TransportError) as caught:
                await client.get(url)
            assert caught.value.reason is reason
            assert text in str(caught.value)
            assert "\n" not in str(caught.value)
            assert str(caught.value).startswith("127.0.0.1:")
            if reason is Reason.RATE_LIMITED:
                assert caught.value.retry_after_s == 30

    asyncio.run(run())


@pytest.mark.usefixtures("no_proxy")
def test_an_answer_that_drips_is_given_up_as_a_whole() -> None:
    """Each byte comes well within the limit of silence."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def run() -> None:
        running = await asyncio.start_server(drip, "127.0.0.1", 0)
        async with running, HttpClient(total_s=0.3) as client, asyncio.timeout(5):
            with pytest.raises(TransportError) as caught:
                await client.get(f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/")
            assert caught.value.reason is Reason.TIMEOUT

    asyncio.run(run())


@pytest.mark.usefixtures("no_proxy")
def test_rest_failures_have_the_same_words() -> None:
    async def run() -> None:
        async with HttpClient() as client:
            for url, reason in (
                (f"http://127.0.0.1:{free_port(socket.SOCK_STREAM)}/", Reason.REFUSED),
                ("https://no-such-venue.invalid/", Reason.DNS),
            ):
                with pytest.raises(TransportError) as caught:
                    await client.get(url)
                assert caught.value.reason is reason

    asyncio.run(run())


def test_causes_are_found_under_what_libraries_wrap_them_in() -> None:
    url = "wss://venue.example/x"
    joined = OSError(
        "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111] Connect call failed"
    )
    assert classify(url, joined).reason is Reason.REFUSED
    assert classify(url, TimeoutError()).reason is Reason.TIMEOUT
    assert classify(url, ConnectionResetError(104, "reset")).reason is Reason.PROTOCOL
    outer = RuntimeError("wrapped")
    outer.__cause__ = socket.gaierror(-2, "Name or service not known")
    assert str(classify(url, outer)) == "venue.example: name not found (Name or service not known)"
    assert classify(url, ValueError("odd\nlines " + "x" * 500)).reason is Reason.PROTOCOL
    assert len(str(classify(url, ValueError("odd\nlines " + "x" * 500)))) < 220


def test_retry_after_takes_seconds_only() -> None:
    assert parse_retry_after("120") == 120
    for text in (None, "", "-1", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 30, "inf"):
        assert parse_retry_after(text) == 0
