"""REST requests of the feeder: one request at a time in, a whole body or a one-line reason out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from outcrier.feeder.transport import Reason, TransportError, classify, host_of, status_error

# httpx tells every request at INFO: a line a second is no news.
logging.getLogger("httpx").setLevel(logging.WARNING)

BODY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Largest answer read. The instrument list of Binance spot, the largest known here, has some 15 MB."""

_CONNECT_S: Final = 10.0
"""A handshake that takes longer than this will not end; TCP's own limit is two minutes."""

_SILENCE_S: Final = 20.0
"""Longest silence inside an answer."""

_TOTAL_S: Final = 60.0
"""Longest request as a whole: an answer that drips a byte a second would hold its place for ever."""

_CONNECTIONS_MAX: Final = 8
"""Sockets of one client, which serves one venue: four snapshots, an instrument list and spare ones."""

_ERROR_BODY_BYTES: Final = 300
"""How much of an error's body is looked at for the message shown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer."""

    body: bytes
    headers: Mapping[str, str]
    """Names compare without case."""


class _Route:
    """Whom a request waits for, told by httpcore's trace: the proxy until its tunnel stands, then the host.

    The trace is what httpx did, whatever its reading of the environment.
    """

    def __init__(self, url: str) -> None:
        self._url = httpx.URL(url)
        self._host = self._url.raw_host.decode("ascii")
        self._port = self._url.port or (443 if self._url.scheme == "https" else 80)
        self.proxy = ""
        """`host:port` of the proxy that is waited for."""

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Takes one event: `connection.connect_tcp.started` and the like."""
        if event.endswith(".connect_tcp.started"):
            host, port = info["host"], info["port"]
            if (host, port) != (self._host, self._port):
                self.proxy = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        elif event.endswith(".connect_tcp.complete"):
            # Without TLS there is no tunnel: what the proxy says is what the host said.
            self.proxy = self.proxy if self._url.scheme == "https" else ""
        elif event.endswith(".start_tls.started") and info["server_hostname"] == self._host:
            self.proxy = ""

    def failed(self, url: str, error: TransportError) -> TransportError:
        """`error`, or that of the proxy if it was the one that failed."""
        if not self.proxy:
            return error
        return TransportError(
            url, Reason.PROXY, f"{self.proxy}: {str(error).removeprefix(f'{host_of(url)}: ')}"
        )


class HttpClient:
    """The requests to one venue: an httpx client that honours HTTPS_PROXY and always verifies TLS.

    Use as an async context manager. One for each venue, or a venue that answers slowly takes the sockets of
    the others.
    """

    def __init__(self, body_bytes_max: int = BODY_BYTES_MAX, total_s: float = _TOTAL_S) -> None:
        """`total_s` is how long a request may take, its waiting for a free socket included."""
        self._body_bytes_max = body_bytes_max
        self._total_s = total_s
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(_SILENCE_S, connect=_CONNECT_S),
            limits=httpx.Limits(max_connections=_CONNECTIONS_MAX),
            headers={"User-Agent": "outcrier"},
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def get(self, url: str) -> Answer:
        """The whole answer. Raises TransportError for everything that is not a 2xx answer of at most
        `body_bytes_max` bytes.
        """
        return await self._ask("GET", url, {}, None)

    async def post(self, url: str, headers: Mapping[str, str], body: str) -> Answer:
        """The same of a POST of a form. What is sent stands in no error."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._ask("POST", url, {**form, **headers}, body)

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: str | None) -> Answer:
        try:
            route = _Route(url)
        except httpx.InvalidURL as error:
            raise classify(url, error) from error
        extensions = {"trace": route.trace}
        request = self._client.stream(method, url, headers=headers, content=body, extensions=extensions)
        try:
            async with asyncio.timeout(self._total_s), request as response:
                if not response.is_success:
                    await self._raise_status(url, response)
                return Answer(await self._read(url, response), response.headers)
        except (httpx.TimeoutException, TimeoutError) as error:
            raise route.failed(url, TransportError(url, Reason.TIMEOUT)) from error
        except httpx.ProxyError as error:
            raise TransportError(url, Reason.PROXY, f"{route.proxy}: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise route.failed(url, classify(url, error)) from error

    async def _read(self, url: str, response: httpx.Response) -> bytes:
        # Content-Length may lie or be missing, and the limit is on what comes out of gzip.
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > self._body_bytes_max:
                raise TransportError(url, Reason.TOO_BIG, f"more than {self._body_bytes_max:,} bytes")
        return bytes(body)

    async def _raise_status(self, url: str, response: httpx.Response) -> None:
        start = b""
        async for piece in response.aiter_bytes():
            start += piece
            if len(start) >= _ERROR_BODY_BYTES:
                break
        text = start[:_ERROR_BODY_BYTES].decode("utf-8", errors="replace")
        # An HTML page of a firewall says nothing that fits one line.
        detail = "" if text.lstrip().startswith("<") else text
        raise status_error(url, response.status_code, response.headers.get("Retry-After"), detail)
