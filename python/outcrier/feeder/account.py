"""The links of a venue with an account: a token is fetched before one is opened, and what is sent is signed.

It stands between the connections and the sockets, so that nothing above (logs, recordings, states) ever holds
what proves the account.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.parse import urlsplit

from outcrier.clock import wall_ns
from outcrier.config import VenueConfig
from outcrier.errors import ConfigurationError
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.http import HttpClient
from outcrier.feeder.transport import Connector, Link, LinkListener, Reason, TransportError
from outcrier.key_file import key_path, read_named_values
from outcrier.venues.account import Account, ApiKey, SignedRequest, api_key
from outcrier.venues.base import Venue

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


def account_of(venue: Venue, config: VenueConfig, http: HttpClient) -> AccountLinks | None:
    """The account that a venue is configured with; None = none. Raises ConfigurationError for a key file that
    cannot be used, and one that would be told to a host without TLS.
    """
    if not config.key_file:
        return None
    if venue.account is None:
        raise ConfigurationError(f"venues.{venue.name}.key_file: no channel of {venue.name} needs an account")
    for name, url in (("ws_url", config.ws_url), ("rest_url", config.rest_url)):
        parts = urlsplit(url)
        if parts.scheme in {"ws", "http"} and parts.hostname not in _LOCAL:
            raise ConfigurationError(
                f"venues.{venue.name}.{name}: {parts.scheme}:// tells the account of key_file to everybody on"
                f" the way: wss:// and https:// are allowed, or this host"
            )
    path = key_path(config.key_file, os.environ)
    values = read_named_values(path, venue.account.fields)
    try:
        key = api_key(values)
    except ValueError as error:
        raise ConfigurationError(f"key file {path}: {error}") from None
    return AccountLinks(venue.account, key, http, config.rest_url or venue.rest_url)


class AccountLinks:
    """Opens links that sign what they send."""

    def __init__(self, account: Account, key: ApiKey, http: HttpClient, rest_url: str) -> None:
        self.account = account
        self.key = key
        self._http = http
        self._rest_url = rest_url.rstrip("/")
        self._nonce = 0

    def connectors(self, connector_for: Callable[[str], Connector]) -> Callable[[str], Connector]:
        """`connector_for`, with the account."""

        def signing_for(url: str) -> Connector:
            connect = connector_for(url)

            async def signing(url: str, listener: LinkListener, deadline_s: float) -> None:
                token = await self._token(url)
                await connect(url, _SigningListener(self, token, listener), deadline_s)

            return signing

        return signing_for

    async def _token(self, url: str) -> str:
        """What a connection of this URL needs; "" where it needs nothing. Raises TransportError."""
        # A nonce of microseconds goes on where a clock was set back.
        self._nonce = max(self._nonce + 1, wall_ns() // 1_000)
        request = self.account.token_request(url, self.key, self._nonce)
        if request is None:
            return ""
        body = await self._post(request)
        try:
            return self.account.token(body)
        except ValueError as error:
            raise TransportError(self._rest_url, Reason.PROTOCOL, f"no token: {error}") from None

    async def _post(self, request: SignedRequest) -> bytes:
        answer = await self._http.post(self._rest_url + request.path, request.headers, request.body)
        return answer.body

    def signed(self, text: str, token: str) -> str:
        """A message with what proves the account, where it needs that."""
        return self.account.signed(text, self.key, wall_ns() // SECOND_NS, token)


class _SigningListener:
    """Gives its listener a link that signs, and all else as it comes."""

    def __init__(self, links: AccountLinks, token: str, listener: LinkListener) -> None:
        self._links = links
        self._token = token
        self._listener = listener
        self.on_frame = listener.on_frame
        self.on_read_end = listener.on_read_end
        self.on_pong = listener.on_pong
        self.on_close = listener.on_close

    def on_open(self, link: Link) -> None:
        self._listener.on_open(_SigningLink(self._links, self._token, link))


class _SigningLink:
    """A link that signs what it sends."""

    def __init__(self, links: AccountLinks, token: str, link: Link) -> None:
        self._links = links
        self._token = token
        self._link = link
        self.ping = link.ping
        self.close = link.close
        self.abort = link.abort

    def send(self, text: str) -> None:
        self._link.send(self._links.signed(text, self._token))
