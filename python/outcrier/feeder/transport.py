"""What every WebSocket transport gives, and the words for why a peer could not be reached.

The two adapters (`transport_picows`, `transport_websockets`) are the only modules that know a WebSocket
library; everything else sees `Link` and `LinkListener`. TLS certificates are always verified.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, Protocol

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest message accepted, after inflation. A recorded Coinbase book has 5,079,379 bytes; beyond three times
that it is an attack.
"""

CLOSE_NORMAL: Final = 1000
CLOSE_ABNORMAL: Final = 1006
"""The connection ended without a close frame (RFC 6455 section 7.4.1)."""

CLOSE_REASON_BYTES_MAX: Final = 123
"""A control frame holds 125 bytes, two of them the code (RFC 6455 section 5.5)."""

CLOSE_GRACE_S: Final = 0.5
"""How long a peer has to answer our close frame: a stop must end within a second."""

_DETAIL_CHARS_MAX: Final = 160
"""A reason stays one line on a screen."""


class Reason(StrEnum):
    """Why a peer could not be reached, in the word shown to a person."""

    DNS = "name not found"
    TLS = "TLS failed"
    REFUSED = "refused"
    TIMEOUT = "timed out"
    UNREACHABLE = "unreachable"
    REGION = "refused for this region"
    RATE_LIMITED = "rate limited"
    HTTP_STATUS = "HTTP error"
    TOO_BIG = "answer too big"
    PROXY = "proxy failed"
    PROTOCOL = "protocol error"


class TransportError(Exception):
    """A connection or request that failed; `str(error)` is one line that names the host and the reason."""

    def __init__(
        self,
        url: str,
        reason: Reason,
        detail: str = "",
        *,
        status: int = 0,
        retry_after_s: float = 0.0,
    ) -> None:
        self.reason = reason
        self.status = status
        """HTTP status, 0 where there was none."""
        self.retry_after_s = retry_after_s
        """What the peer asked us to wait, 0 where it did not."""
        detail = " ".join(detail.split())[:_DETAIL_CHARS_MAX]
        super().__init__(f"{host_of(url)}: {reason}" + (f" ({detail})" if detail else ""))


class Link(Protocol):
    """An open WebSocket. Calls never block and never raise: what cannot be sent is told by `on_close`."""

    def send(self, text: str) -> None:
        """Sends one text message."""

    def ping(self) -> None:
        """Sends a protocol ping; `on_pong` tells the answer."""

    def close(self, code: int, reason: str) -> None:
        """Sends a close frame (code 1000 or 1001) and drops the socket `CLOSE_GRACE_S` later if the peer does
        not answer.
        """

    def abort(self) -> None:
        """Drops the socket at once."""


class LinkListener(Protocol):
    """Callbacks of a link, from the event loop. `on_open` is the first, `on_close` the last, each once."""

    def on_open(self, link: Link) -> None:
        """The handshake is done."""

    def on_frame(self, data: bytes, more: bool) -> None:
        """One whole message. `more`: it is not the last thing of its socket read; `on_frame` without `more`
        or `on_read_end` follows before the link gives control back to the event loop.
        """

    def on_read_end(self) -> None:
        """The read is over, and it was not a message that came last."""

    def on_pong(self) -> None:
        """The peer answered a ping."""

    def on_close(self, code: int, reason: str) -> None:
        """The link is gone (code as in RFC 6455, 1006 where the peer sent none)."""


class Connector(Protocol):
    """Opens links with one library."""

    async def __call__(self, url: str, listener: LinkListener, deadline_s: float) -> None:
        """Opens `url` within `deadline_s` seconds. Raises TransportError; after `on_open` problems go to
        `on_close`.
        """


def host_of(url: str) -> str:
    """Host and port as written in the URL, for messages."""
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2] or url


def proxy_for(url: str) -> str | None:
    """The proxy that the environment (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY) sets for a WebSocket URL,
    if any.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.hostname is None or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = urllib.request.getproxies()
    # The order of the `websockets` library, which makes the connection when there is a proxy.
    schemes = ("wss", "socks", "https") if parts.scheme == "wss" else ("ws", "socks", "https", "http")
    return next((proxies[scheme] for scheme in schemes if scheme in proxies), None)


def status_error(url: str, status: int, retry_after: str | None, detail: str = "") -> TransportError:
    """The error for an HTTP status other than the one wanted.

    429 and 418 are Binance's rate limit and ban, with Retry-After in seconds (spot REST docs "IP Limits",
    2026-07); 451 is RFC 7725 and what Binance answers in the countries it does not serve, 403 what its
    firewall answers.
    """
    text = f"HTTP {status}" + (f": {detail}" if detail else "")
    if status in {418, 429}:
        return TransportError(
            url, Reason.RATE_LIMITED, text, status=status, retry_after_s=parse_retry_after(retry_after)
        )
    reason = Reason.REGION if status in {403, 451} else Reason.HTTP_STATUS
    return TransportError(url, reason, text, status=status, retry_after_s=parse_retry_after(retry_after))


def parse_retry_after(text: str | None) -> float:
    """Seconds of a Retry-After header; 0 where it is missing or not a number of seconds (dates are not used
    by venues).
    """
    if text is None or not re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return 0.0
    return float(text)


_ERRNO_REASONS: Final = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ENETUNREACH: Reason.UNREACHABLE,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.ENETDOWN: Reason.UNREACHABLE,
    errno.ETIMEDOUT: Reason.TIMEOUT,
    errno.ECONNRESET: Reason.PROTOCOL,
}


def classify(url: str, error: BaseException) -> TransportError:
    """The TransportError for an exception of a library, found by walking its causes to the first one that
    says why.
    """
    for cause in _causes(error):
        if isinstance(cause, TransportError):
            return cause
        if isinstance(cause, socket.gaierror):
            return TransportError(url, Reason.DNS, cause.strerror or str(cause))
        if isinstance(cause, ssl.SSLError):
            verify = getattr(cause, "verify_message", "")
            return TransportError(url, Reason.TLS, verify or cause.reason or str(cause))
        if isinstance(cause, OSError):
            # asyncio joins the failures of several addresses into one OSError without errno: "[Errno 111]
            # ...".
            found = re.search(r"\[Errno (\d+)\]", str(cause))
            number = cause.errno or (int(found.group(1)) if found else 0)
            if number in _ERRNO_REASONS:
                return TransportError(url, _ERRNO_REASONS[number])
            if isinstance(cause, TimeoutError):
                return TransportError(url, Reason.TIMEOUT)
    return TransportError(url, Reason.PROTOCOL, f"{type(error).__name__}: {error}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def close_reason(text: str) -> str:
    """`text` cut to what a close frame holds, at a whole character."""
    return text.encode()[:CLOSE_REASON_BYTES_MAX].decode(errors="ignore")


def connector_for(url: str) -> Connector:
    """`picows` (0.25 µs a frame) unless a proxy applies, which `websockets` handles."""
    # Imported here so that a process without a proxy never loads the second library.
    if proxy_for(url) is None:
        from outcrier.feeder import transport_picows  # noqa: PLC0415

        return transport_picows.connect
    from outcrier.feeder import transport_websockets  # noqa: PLC0415

    return transport_websockets.connect
