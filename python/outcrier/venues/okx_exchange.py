"""OKX's side of the protocol: for stand-ins."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from outcrier.venues import okx_messages as messages
from outcrier.venues.base import BAD_JSON
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook

CHECKSUM_LEVELS: Final = 25
"""Levels a side in a book's checksum."""

BOOKS5_LEVELS: Final = 5

_CONNECTION: Final = "a4d3ae55"
"""`connId` in answers: every connection has the same one."""


class _Message(msgspec.Struct):
    op: str
    args: list[messages.Arg]
    id: Any = None


_MESSAGE: Final = msgspec.json.Decoder(_Message)

Levels = list[tuple[str, str]]


class OkxExchange(ExchangeSide):
    """Answers as OKX does. A REST list is the recorded one."""

    def __init__(self, paths: Mapping[str, str], *, numbered: bool) -> None:
        """`paths`: endpoint of each channel; `numbered`: books have numbers, else a checksum."""
        self._paths = paths
        self._numbered = numbered

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path in self._paths.values()

    def on_text(self, client: Client, text: str) -> list[str]:
        if text == messages.PING:
            return [messages.PONG]
        try:
            message = _MESSAGE.decode(text)
        except BAD_JSON:
            message = None
        if message is None or message.op not in {"subscribe", "unsubscribe"} or not message.args:
            return [_error(None, "60012", f"Invalid request: {text}")]
        return [self._answer(client, message, arg) for arg in message.args]

    def _answer(self, client: Client, message: _Message, arg: messages.Arg) -> str:
        stream = arg.stream
        if self._paths.get(arg.channel) != urlsplit(client.target).path or stream.endswith(":"):
            named = ",".join(f"{key}:{value}" for key, value in messages.arg_of(stream).items())
            return _error(
                message.id,
                "60018",
                f"Wrong URL or {named} doesn't exist. Please use the correct URL, channel and parameters"
                " referring to API document.",
            )
        if message.op == "subscribe":
            client.streams[stream] = None
        else:
            client.streams.pop(stream, None)
        return _text(message.id, event=message.op, arg=messages.arg_of(stream), connId=_CONNECTION)

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        channel, _, _ = stream.partition(":")
        if book is None or not channel.startswith("books"):
            return []
        bids, asks = book.levels()
        row: dict[str, Any] = {"ts": str((book.exchange_ns or 0) // 1_000_000)}
        if channel == "books5":
            bids, asks = bids[:BOOKS5_LEVELS], asks[:BOOKS5_LEVELS]
        elif self._numbered:
            row |= {"checksum": 0, "prevSeqId": -1}
        else:
            row["checksum"] = checksum(bids, asks)
        if self._numbered:
            row["seqId"] = book.last_id or 0
        # The count of orders is unknown here, and the third column is always "0".
        row |= {
            "asks": [[*level, "0", "1"] for level in asks],
            "bids": [[*level, "0", "1"] for level in bids],
        }
        action = {} if channel == "books5" else {"action": "snapshot"}
        return [_text(None, arg=messages.arg_of(stream), **action, data=[row])]

    def farewell(self, client: Client, now_ms: int) -> list[str]:
        """About a minute before the connection is closed."""
        del client, now_ms
        told = "The connection will soon be closed for a service upgrade. Please reconnect."
        return [_text(None, event="notice", code=messages.UPGRADE, msg=told, connId=_CONNECTION)]

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        if not urlsplit(target).path.startswith("/api/v5/public/"):
            return None
        body = instruments.get(target)
        if body is None and urlsplit(target).path.endswith("/underlying"):
            names = {messages.query_of(each).get("instFamily") for each in instruments}
            body = msgspec.json.encode(
                {"code": "0", "msg": "", "data": [sorted(filter(None, names))]}
            ).decode()
        if body is None:
            return Answer(200, '{"code":"51000","msg":"Parameter instType error","data":[]}')
        return Answer(200, body)


def checksum(bids: Iterable[tuple[str, str]], asks: Iterable[tuple[str, str]]) -> int:
    """Signed CRC32 over price:size of the best 25 levels, bid and ask in turn, as printed; a side that runs
    out is passed over.
    """
    pairs = zip_longest(list(bids)[:CHECKSUM_LEVELS], list(asks)[:CHECKSUM_LEVELS])
    crc = zlib.crc32(":".join(":".join(level) for pair in pairs for level in pair if level).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc


def _error(number: Any, code: str, message: str) -> str:
    return _text(number, event="error", code=code, msg=message, connId=_CONNECTION)


def _text(number: Any, **fields: Any) -> str:
    """A message, with the number of the request where that has one."""
    return msgspec.json.encode(({} if number is None else {"id": number}) | fields).decode()
