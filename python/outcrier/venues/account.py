"""How an account of a venue proves itself. Values and pure functions, as the venue: no clock, no socket."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final

import msgspec

SIGNS: Final = "secret"
"""The line of a key file that signs, base64 as the venues give it."""


class ApiKey(msgspec.Struct, frozen=True):
    """What an account signs with. It shows itself to nobody: not in a log, not in a traceback."""

    key: str
    secret: bytes
    passphrase: str = ""

    def __repr__(self) -> str:
        return "ApiKey(...)"

    __str__ = __repr__

    def sha256(self, message: str) -> str:
        """HMAC-SHA256 of a message, base64."""
        return base64.b64encode(hmac.digest(self.secret, message.encode(), hashlib.sha256)).decode()

    def sha512(self, message: bytes) -> str:
        """HMAC-SHA512 of a message, base64."""
        return base64.b64encode(hmac.digest(self.secret, message, hashlib.sha512)).decode()


class SignedRequest(msgspec.Struct, frozen=True):
    """A POST of an account to the REST base of the venue. What it holds is not to be shown either."""

    path: str
    headers: Mapping[str, str]
    body: str

    def __repr__(self) -> str:
        return f"SignedRequest({self.path!r}, ...)"

    __str__ = __repr__


class Account(ABC):
    """What a venue wants of who subscribes channels with `Channel.needs_account`."""

    fields: ClassVar[tuple[str, ...]] = ("key", SIGNS)
    """Names of the lines of a key file."""

    def token_request(self, url: str, key: ApiKey, nonce: int) -> SignedRequest | None:
        """Asks for a token, which a new connection of this URL needs before it is opened; None = it needs
        none. `nonce` is larger than that of any request before.
        """
        del url, key, nonce
        return None

    def token(self, body: bytes) -> str:
        """The token of an answer. Raises ValueError with what the venue says instead."""
        raise NotImplementedError

    @abstractmethod
    def signed(self, text: str, key: ApiKey, now_s: int, token: str) -> str:
        """A message to the venue with what proves the account, if it is one that needs it; else as it is.
        `now_s` is the time in seconds since the epoch.
        """


def api_key(values: Mapping[str, str]) -> ApiKey:
    """The key of the lines of a file. Raises ValueError, which does not tell what stands there."""
    try:
        secret = base64.b64decode(values[SIGNS], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{SIGNS} is no base64, which the venue gives it in") from None
    return ApiKey(values["key"], secret, values.get("passphrase", ""))
