"""The event loops of the feeder. They look up names in threads that the end does not wait for.

A resolver that does not answer keeps its caller for up to a minute, in system code that nothing can
interrupt, and both asyncio and uvloop wait for such threads of theirs when they are closed.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from outcrier.errors import ConfigurationError

if TYPE_CHECKING:
    Base = asyncio.BaseEventLoop
else:
    Base = object

Query = tuple[Any, Any, int, int, int, int]
"""Arguments of `socket.getaddrinfo`."""


class _Resolving(Base):
    """Puts its own `getaddrinfo` in place of a loop's. Who asks what is asked already waits for that answer,
    so there are never more threads than names.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._lookups: dict[Query, asyncio.Future[Any]] = {}

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - the name that asyncio gives it
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        """As `socket.getaddrinfo`, which it calls in a thread."""
        query = (host, port, family, type, proto, flags)
        answer = self._lookups.get(query)
        if answer is None:
            answer = self._lookups[query] = self.create_future()
            answer.add_done_callback(lambda done: self._looked_up(query, done))
            threading.Thread(target=self._look_up, args=(query, answer), name="resolver", daemon=True).start()
        return await asyncio.shield(answer)

    def _looked_up(self, query: Query, answer: asyncio.Future[Any]) -> None:
        del self._lookups[query]
        if not answer.cancelled():
            answer.exception()  # Whoever waited for it may have gone.

    def _look_up(self, query: Query, answer: asyncio.Future[Any]) -> None:
        """The thread."""
        tell: Callable[[Any], None]
        try:
            found: Any = socket.getaddrinfo(*query)
        except Exception as error:  # noqa: BLE001 - it is raised where it was asked
            found, tell = error, answer.set_exception
        else:
            tell = answer.set_result
        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            self.call_soon_threadsafe(_settle, answer, tell, found)


def _settle(answer: asyncio.Future[Any], tell: Callable[[Any], None], found: Any) -> None:
    if not answer.done():
        tell(found)


def _address_of(info: tuple[Any, ...]) -> tuple[str, int]:
    """Host and port of an answer of `getaddrinfo`."""
    host, port = info[4][:2]
    return host, port


class _Loop(_Resolving, asyncio.SelectorEventLoop):
    """asyncio's, which asks `getaddrinfo` for every name."""


def _uvloop() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's, whose `create_connection` looks up names by itself."""
    import uvloop  # noqa: PLC0415 - it is optional, and only wanted here

    class Loop(_Resolving, uvloop.Loop):  # type: ignore[misc] # the two say different things of one signature
        async def create_connection(
            self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
        ) -> Any:
            """Tries the addresses of `host` in their order."""
            if host is None:
                return await super().create_connection(protocol_factory, **options)
            infos = await self.getaddrinfo(
                host, port, family=options.pop("family", 0), type=socket.SOCK_STREAM
            )
            if options.get("ssl"):
                options.setdefault("server_hostname", host)
            last: OSError = OSError(f"no address of {host}")
            for info in infos:
                try:
                    return await super().create_connection(protocol_factory, *_address_of(info), **options)
                except OSError as error:
                    last = error
            raise last

    return Loop


def loop_factory(event_loop: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The factory for `asyncio.Runner` that `feeder.event_loop` asks for. Raises ConfigurationError: uvloop
    is missing.
    """
    if event_loop == "asyncio":
        return _Loop
    try:
        return _uvloop()
    except ImportError as error:
        if event_loop == "uvloop":
            raise ConfigurationError("feeder.event_loop: uvloop is not installed; use auto") from error
        return _Loop
