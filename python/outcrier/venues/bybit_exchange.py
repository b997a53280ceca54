"""Bybit's side of the v5 protocol: for stand-ins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from outcrier.venues.base import BAD_JSON
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook

SPOT_ARGS_MAX: Final = 10
"""Topics of one request on spot."""

CHARS_MAX: Final = 21_000
"""Characters of all `args` on a connection."""

_CONNECTION: Final = "cejreaspqfm9se7usbrg-2xh"
"""`conn_id` in answers: every connection has the same one."""


class _Message(msgspec.Struct):
    op: str
    args: list[str] = []
    req_id: str = ""


_MESSAGE: Final = msgspec.json.Decoder(_Message)


class BybitExchange(ExchangeSide):
    """Answers as Bybit does. A REST list is the recorded one, and its pages end with it."""

    restarts_books: bool = True

    def __init__(self, category: str, channels: frozenset[str]) -> None:
        self._category = category
        self._channels = channels

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path == f"/v5/public/{self._category}"

    def on_text(self, client: Client, text: str) -> list[str]:
        try:
            message = _MESSAGE.decode(text)
        except BAD_JSON:
            return [_text(success=False, ret_msg="Invalid request", conn_id=_CONNECTION, req_id="", op="")]
        if message.op == "ping":
            return [self._pong(message)]
        refused = self._refused(client, message)
        if refused:
            return [self._answer(message, success=False, said=refused)]
        for topic in filter(self._is_known, message.args):
            if message.op == "subscribe":
                client.streams[topic] = None
            else:
                client.streams.pop(topic, None)
        return [self._answer(message, success=True, said=message.op if self._category == "spot" else "")]

    def _refused(self, client: Client, message: _Message) -> str:
        """Why a request is refused, whole; empty = it is not."""
        if message.op not in {"subscribe", "unsubscribe"} or not message.args:
            return f"error:request params,op:{message.op}"
        if self._category == "spot" and len(message.args) > SPOT_ARGS_MAX:
            return f"args size >{SPOT_ARGS_MAX}"
        unknown = [topic for topic in message.args if not self._is_known(topic)]
        if unknown and self._category != "option":
            return f"error:handler not found,topic:{unknown[0]}"
        held = client.streams if message.op == "subscribe" else {}
        if len(msgspec.json.encode([*held, *message.args])) > CHARS_MAX:
            return f"error:args of a connection are longer than {CHARS_MAX}"
        return ""

    def _is_known(self, topic: str) -> bool:
        return topic in self._channels or topic.rpartition(".")[0] in self._channels

    def _answer(self, message: _Message, *, success: bool, said: str) -> str:
        if self._category == "option" and success:
            good = [topic for topic in message.args if self._is_known(topic)]
            topics = {
                "failTopics": [topic for topic in message.args if topic not in good],
                "successTopics": good,
            }
            return _text(success=True, conn_id=_CONNECTION, data=topics, type="COMMAND_RESP")
        return _text(success=success, ret_msg=said, conn_id=_CONNECTION, req_id=message.req_id, op=message.op)

    def _pong(self, message: _Message) -> str:
        if self._category == "option":
            return _text(args=["1672916271846"], op="pong")
        return _text(success=True, ret_msg="pong", conn_id=_CONNECTION, req_id=message.req_id, op="ping")

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        channel, _, symbol = stream.rpartition(".")
        if book is None or not channel.startswith("orderbook."):
            return []
        depth = int(channel.rpartition(".")[2])
        bids, asks = book.levels()
        ms = (book.exchange_ns or 0) // 1_000_000
        number = book.last_id or 0
        data = {"s": symbol, "b": bids[:depth], "a": asks[:depth], "u": number, "seq": number}
        return [_text(topic=stream, type="snapshot", ts=ms, data=data, cts=ms)]

    def state(self, stream: str, before: str | None, text: str) -> str | None:
        """Tickers of derivatives are changes after a whole one."""
        if not stream.startswith("tickers."):
            return None
        message: dict[str, Any] = msgspec.json.decode(text)
        if message.get("type") != "delta":
            return text
        if before is None:
            return None
        whole: dict[str, Any] = msgspec.json.decode(before)
        whole["data"] |= message["data"]
        return msgspec.json.encode(message | {"type": "snapshot", "data": whole["data"]}).decode()

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        if urlsplit(target).path != "/v5/market/instruments-info":
            return None
        query = dict(parse_qsl(urlsplit(target).query))
        body = instruments.get(target)
        if body is None and query.get("category") == self._category:
            empty = {"category": self._category, "list": [], "nextPageCursor": ""}
            body = _text(retCode=0, retMsg="OK", result=empty)
        return Answer(200, body or _text(retCode=10001, retMsg="Illegal category", result={}))


def _text(**fields: Any) -> str:
    return msgspec.json.encode(fields).decode()
