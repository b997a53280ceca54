"""The exchange's side of Kraken spot v2."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from outcrier.venues import frames
from outcrier.venues import kraken_level3 as level3
from outcrier.venues.base import Channel, Venue
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook
from outcrier.venues.kraken_shapes import DEPTH

CHECKSUM_LEVELS: Final = 10

_LEVEL3_PATH: Final = level3.ROUTE[1:]
"""Where a stand-in has the other host of the venue: below its own."""


def checksum(bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> int:
    """Of a book as printed, best first: asks, then bids, without points and leading zeros."""
    levels = [*asks[:CHECKSUM_LEVELS], *bids[:CHECKSUM_LEVELS]]
    digits = [number.replace(".", "").lstrip("0") for level in levels for number in level]
    return zlib.crc32("".join(digits).encode())


_NO_TIME: Final = "1970-01-01T00:00:00.000000Z"
"""What the venue prints where it has no time."""


class KrakenExchange(ExchangeSide):
    """Spot v2."""

    heartbeat_every_s = 1.0

    def __init__(self, venue: Venue) -> None:
        self.venue = venue

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path in {"/v2", _LEVEL3_PATH}

    def greeting(self, client: Client) -> list[str]:
        del client
        status = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": 1}
        return [msgspec.json.encode({"channel": "status", "type": "update", "data": [status]}).decode()]

    def on_text(self, client: Client, text: str) -> list[str]:
        request = frames.record(text)
        method, number = frames.word(request.get("method")), request.get("req_id")
        answer: dict[str, Any] = {"method": method, "time_in": _NO_TIME, "time_out": _NO_TIME}
        if isinstance(number, int):
            answer["req_id"] = number
        if method == "ping":
            return [_text(answer | {"method": "pong"})]
        channel = self.venue.channels.get(frames.word(frames.at(request, "params", "channel")))
        if method not in {"subscribe", "unsubscribe"} or channel is None:
            return [_text(answer | {"success": False, "error": "Unsupported event or channel"})]
        is_level3 = channel.name == level3.CHANNEL
        if is_level3 is not (urlsplit(client.target).path == _LEVEL3_PATH):
            return [_text(answer | {"success": False, "error": "Unsupported channel on this endpoint"})]
        if is_level3 and not frames.word(frames.at(request, "params", "token")):
            return [_text(answer | {"success": False, "error": "ESession:Invalid session"})]
        named = frames.rows(frames.at(request, "params", "symbol"))
        symbols = [""] if channel.whole_venue else [frames.word(symbol) for symbol in named]
        return [self._one(client, answer, channel, symbol) for symbol in symbols]

    @staticmethod
    def _one(client: Client, answer: Mapping[str, Any], channel: Channel, symbol: str) -> str:
        stream = f"{channel.name}:{symbol}" if symbol else f"!{channel.name}"
        if "/" not in symbol and not channel.whole_venue:
            error = {"success": False, "error": f"Currency pair not supported {symbol}", "symbol": symbol}
            return _text({**answer, **error})
        if answer["method"] == "subscribe":
            client.streams[stream] = None
        else:
            client.streams.pop(stream, None)
        result = {"channel": channel.name, **({"symbol": symbol} if symbol else {})}
        return _text({**answer, "result": result, "success": True})

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        channel, _, symbol = stream.partition(":")
        if book is None or channel != "book":
            return []
        sides = [levels[:DEPTH] for levels in book.levels()]
        # Numbers as they were printed: their zeros count in the checksum.
        bids, asks = (
            ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in levels) for levels in sides
        )
        time = frames.word(frames.at(frames.record(book.last), "data", 0, "timestamp")) or _NO_TIME
        data = (
            f'{{"symbol":{_text(symbol)},"bids":[{bids}],"asks":[{asks}],"checksum":{checksum(*sides)},'
            f'"timestamp":"{time}"}}'
        )
        return [f'{{"channel":"book","type":"snapshot","data":[{data}]}}']

    def state(self, stream: str, before: str | None, text: str) -> str | None:
        return level3.book_after(before, text) if stream.startswith(level3.CHANNEL) else None

    def heartbeat(self, client: Client) -> list[str]:
        return ['{"channel":"heartbeat"}'] if client.streams else []

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        return pairs_answer(self.venue, target, instruments)


def pairs_answer(venue: Venue, target: str, instruments: Mapping[str, str]) -> Answer | None:
    """The list of pairs, of one class of assets."""
    currencies, tokens = (request.target for request in venue.instruments_requests())
    if urlsplit(target).path != urlsplit(currencies).path:
        return None
    asked = tokens if target == tokens else currencies
    return Answer(200, instruments.get(asked, venue.with_entries(None, [])))


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
