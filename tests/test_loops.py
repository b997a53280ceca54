"""The event loops: names are looked up without keeping anybody from the end."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import httpx
import pytest
import uvloop

from outcrier.feeder.loops import loop_factory
from outcrier.feeder.transport import LinkListener, TransportError, connector_for

LOOPS = ("asyncio", "uvloop")


def test_the_loop_is_the_one_asked_for() -> None:
    for name, kind in (
        ("asyncio", asyncio.SelectorEventLoop),
        ("uvloop", uvloop.Loop),
        ("auto", uvloop.Loop),
    ):
        loop = loop_factory(name)()
        assert isinstance(loop, kind)
        loop.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names asked of a resolver that does not answer before the test is over."""
    over, names, really = threading.Event(), [], socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if not name.endswith(".test"):
            return really(host, *arguments, **options)
        names.append(name)
        over.wait(200)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield names
    over.set()


def nobody() -> LinkListener:
    """Hears nothing."""
    return mock.create_autospec(LinkListener, instance=True)  # type: ignore[no-any-return]


async def by_stream() -> None:
    await asyncio.open_connection("stream.test", 443, ssl=True)


async def by_rest() -> None:
    async with httpx.AsyncClient() as client:
        await client.get("https://rest.test/")


async def by_websocket() -> None:
    url = "wss://socket.test/ws"
    await connector_for(url)(url, nobody(), 100.0)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("way", [by_stream, by_rest, by_websocket])
def test_a_resolver_that_does_not_answer_keeps_nobody(
    loop: str, way: Callable[[], Any], asked: list[str]
) -> None:
    async def run() -> None:
        tries = [asyncio.ensure_future(way()) for _ in range(5)]
        while not asked:  # noqa: ASYNC110 - a thread tells
            await asyncio.sleep(0.001)
        for each in tries:
            each.cancel()
        await asyncio.gather(*tries, return_exceptions=True)

    before = threading.enumerate()  # Threads of other tests may not have ended yet.
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(run())
    assert len(asked) == 1, "who asks the same waits for the same answer"
    waiting = [(each.name, each.daemon) for each in threading.enumerate() if each not in before]
    assert waiting == [("resolver", True)], "nor does the end of the process wait"


@pytest.mark.parametrize("loop", LOOPS)
def test_names_are_found_and_their_addresses_tried_in_order(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        answers = {
            "two.test": [(*stream, ("127.0.0.2", port)), (*stream, ("127.0.0.1", port))],
            "none.test": [],
        }

        def find(host: str, *_: Any) -> Any:
            if host not in answers:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return answers[host]

        monkeypatch.setattr("outcrier.feeder.loops.socket.getaddrinfo", find)

        async def run() -> None:
            _, writer = await asyncio.open_connection("two.test", port)
            assert writer.get_extra_info("peername")[0] == "127.0.0.1"
            writer.close()
            with pytest.raises(OSError, match=r"none\.test|empty list"):
                await asyncio.open_connection("none.test", port)
            with pytest.raises(socket.gaierror, match="not known"):
                await asyncio.open_connection("absent.test", port)
            with pytest.raises(TransportError, match="absent"):
                await connector_for("ws://absent.test")("ws://absent.test", nobody(), 10.0)

        with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
            runner.run(run())
