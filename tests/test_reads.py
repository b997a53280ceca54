"""What picows tells of a socket read: which message is its last, whatever else comes with it.

A read is handed to the parser as a whole, as the event loop does after the socket has been read.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from outcrier.feeder import transport_picows
from outcrier.feeder.transport import MESSAGE_BYTES_MAX, Link

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
SHORT = b'{"e":"trade"}'
LONG = b'{"e":"depthUpdate","b":[' + b'["1","2"],' * 200 + b"]}"
"""Longer than a control frame may be, and than 16 bits of length say in the second byte."""


def frame(payload: bytes, kind: int = TEXT, *, fin: bool = True) -> bytes:
    """A frame as a server sends it (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes([size])
    elif size < 65_536:
        head = b"\x7e" + size.to_bytes(2, "big")
    else:
        head = b"\x7f" + size.to_bytes(8, "big")
    return bytes([(fin << 7) | kind]) + head + payload


class Heard:
    """What a link tells, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.link: Link | None = None
        self.during: Callable[[], None] | None = None
        """Called once, with the next message."""

    def on_open(self, link: Link) -> None:
        self.link = link

    def on_frame(self, data: bytes, more: bool) -> None:
        self.told.append((data, more))
        if self.during is not None:
            during, self.during = self.during, None
            during()

    def on_read_end(self) -> None:
        self.told.append("end")

    def on_pong(self) -> None:
        self.told.append("pong")

    def on_close(self, code: int, reason: str) -> None:  # noqa: ARG002
        self.told.append(("close", code))

    def read(self, data: bytes) -> list[Any]:
        """One socket read; returns what was told of it."""
        assert isinstance(self.link, transport_picows._Link)
        transport = self.link._transport
        assert transport is not None
        protocol: Any = transport.underlying_transport.get_protocol()
        self.told.clear()
        while len(buffer := protocol.get_buffer(-1)) < len(data):
            buffer[:] = data[: len(buffer)]
            data = data[len(buffer) :]
            protocol.buffer_updated(len(buffer))
        buffer[: len(data)] = data
        protocol.buffer_updated(len(data))
        return list(self.told)


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[Heard, asyncio.StreamReader]]:
    """A link to a server that upgrades by hand and says nothing; with what the server hears."""
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(
            line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")
        )
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()  # noqa: S324 - RFC 6455
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )
        accepted.put_nowait((reader, writer))

    async with await asyncio.start_server(upgrade, "127.0.0.1", 0) as server:
        heard = Heard()
        await transport_picows.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", heard, 5)
        reader, writer = await accepted.get()
        try:
            yield heard, reader
        finally:
            assert heard.link is not None
            heard.link.abort()
            writer.close()


def reads(*given: bytes) -> list[list[Any]]:
    """What is told of each of these reads."""

    async def run() -> list[list[Any]]:
        async with connected() as (heard, _):
            return [heard.read(data) for data in given]

    return asyncio.run(run())


@pytest.mark.parametrize("message", [SHORT, LONG], ids=["short", "long"])
def test_the_last_message_of_a_read_says_so(message: bytes) -> None:
    one = frame(message)
    binary = frame(message, BINARY)
    assert reads(one, one * 3, binary + one, one) == [
        [(message, False)],
        [(message, True), (message, True), (message, False)],
        [(message, True), (message, False)],
        [(message, False)],
    ]


@pytest.mark.parametrize("message", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("cut", [1, 2, 3, 9])
def test_a_message_that_is_not_whole_is_of_the_next_read(message: bytes, cut: int) -> None:
    one = frame(message)
    assert reads(one * 2 + one[:cut], one[cut:-1], one[-1:] + one) == [
        [(message, True), (message, False)],
        [],
        [(message, True), (message, False)],
    ]


@pytest.mark.parametrize("message", [SHORT, LONG], ids=["short", "long"])
def test_what_is_no_message_ends_a_read_too(message: bytes) -> None:
    one, ping, pong = frame(message), frame(b"1700000000000", PING), frame(b"", PONG)
    first, last = frame(message, fin=False), frame(message, CONTINUATION)
    assert reads(
        one * 2 + ping,
        ping + one,
        ping,
        one + pong,
        pong + pong + one * 2,
        one + first,
        last + one,
        one + first + ping + last,
        one + first + last + ping,
    ) == [
        [(message, True), (message, True), "end"],
        [(message, False)],
        ["end"],
        [(message, True), "pong", "end"],
        ["pong", "pong", (message, True), (message, False)],
        [(message, True), "end"],
        [(message * 2, True), (message, False)],
        [(message, True), (message * 2, False)],
        [(message, True), (message * 2, True), "end"],
    ]


def test_pings_are_answered_with_their_payload() -> None:
    async def run() -> None:
        async with connected() as (heard, server):
            heard.read(frame(LONG) + frame(b"1700000000000", PING) + frame(LONG))
            async with asyncio.timeout(5):
                head = await server.readexactly(2)
                assert head == bytes([0x80 | PONG, 0x80 | 13])
                mask = await server.readexactly(4)
                payload = await server.readexactly(13)
            assert bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) == b"1700000000000"

    asyncio.run(run())


@pytest.mark.parametrize("message", [SHORT, LONG], ids=["short", "long"])
def test_nothing_counts_behind_a_close_and_the_read_ends(message: bytes) -> None:
    one, close = frame(message), frame((1001).to_bytes(2, "big"), CLOSE)
    assert reads(one + close + one * 2)[0] == [(message, True), "end"]
    assert reads(one + close)[0] == [(message, True), "end"]
    assert reads(close)[0] == ["end"]
    # The continuation of nothing, a frame that is too long, an operation that is not one (RFC 6455).
    assert reads(one + frame(SHORT, CONTINUATION) + one)[0] == [(message, True), "end"]
    too_big = b"\x81\x7f" + (MESSAGE_BYTES_MAX + 1).to_bytes(8, "big")
    for wrong in (too_big, frame(message, 0x3)):
        # picows looks one frame ahead: whether the message before still counts is its own affair.
        told, later = reads(one * 2 + wrong + one, one * 2)
        assert told in ([(message, True), "end"], [(message, True), (message, False)])
        assert set(later) <= {"end"}, "what may be payload of the wrong frame is not read"


@pytest.mark.parametrize("message", [SHORT, LONG], ids=["short", "long"])
def test_our_own_close_in_the_middle_of_a_read_ends_it(message: bytes) -> None:
    async def run() -> None:
        async with connected() as (heard, _):
            assert heard.link is not None
            link = heard.link
            heard.during = lambda: link.close(1000, "enough")
            assert heard.read(frame(message) * 4) == [(message, True), "end"]

    asyncio.run(run())


def test_a_read_may_have_thousands_of_messages() -> None:
    told = [each for read in reads(frame(LONG) * 3_000 + frame(SHORT) * 3_000) for each in read]
    assert [data for data, _ in told] == [LONG] * 3_000 + [SHORT] * 3_000
    assert told[-1] == (SHORT, False)
