"""The exchange's side of Binance's protocol, played from captures. No socket, no clock.

Liberties: a REST book holds all levels known whatever `limit` asks, because a book cut at 1,000 levels would
differ for good from the one the capture builds; and before the stream reaches the recorded REST book, that
book is the answer. Its `lastUpdateId` is then ahead of the stream, which the protocol allows and recordings
show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from outcrier.capture.format import CaptureLine
from outcrier.capture.library import Scan, read_session
from outcrier.venues import binance_messages as messages
from outcrier.venues.base import BAD_JSON
from outcrier.venues.binance import Binance, BinanceFutures

STREAMS_MAX: Final = 1024
"""Streams of one connection, as the exchange allows."""

_ID_CHARS_MAX: Final = 36
"""Longest request id that is text."""

_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")

_MINUTE_S: Final = 60.0

# Weight of /depth by its limit: spot 2023-08, futures 2026-07.
_SPOT_WEIGHTS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_FUTURES_WEIGHTS: Final = ((50, 2), (100, 5), (500, 10), (1000, 20))
_SPOT_LIMIT_DEFAULT: Final = 100
_FUTURES_LIMIT_DEFAULT: Final = 500


class Answer(msgspec.Struct, frozen=True):
    """A REST answer."""

    status: int
    body: str
    headers: dict[str, str] = {}


class Emission(msgspec.Struct, frozen=True):
    """A recorded message to push to those who subscribed its stream."""

    stream: str
    text: str
    """In the combined form, as recorded."""
    data: str
    """The inner message, byte for byte: the raw form."""
    symbol: str | None
    """Set on a depth diff: whose."""


class TextBook:
    """One book with prices and quantities as the exchange printed them."""

    def __init__(self, seed: messages.Book) -> None:
        self._sides: tuple[dict[Decimal, tuple[str, str]], ...] = ({}, {})
        self.last_id = seed.last_update_id
        self._sent, self._at, self._pair = seed.sent, seed.at, seed.pair
        self._set(seed.bids, seed.asks)

    def apply(self, diff: messages.Diff) -> None:
        """Takes a depth update that is not yet in the book; sizes are absolute, 0 removes.

        Raises ValueError for one with a junk number; the book is then as before.
        """
        if diff.last <= self.last_id:
            return
        self._set(diff.b, diff.a)
        self.last_id, self._sent, self._at = diff.last, diff.sent, diff.at

    def _set(self, bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> None:
        parsed = [
            [(_number(price), _number(qty), (price, qty)) for price, qty in each] for each in (bids, asks)
        ]
        for side, levels in zip(self._sides, parsed, strict=True):
            for price, qty, printed in levels:
                if qty:
                    side[price] = printed
                else:
                    side.pop(price, None)

    def levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """(bids, asks), best first."""
        bids, asks = self._sides
        return [bids[key] for key in sorted(bids, reverse=True)], [asks[key] for key in sorted(asks)]

    def answer(self, symbol: str, venue: Binance) -> str:
        """The REST answer: futures tell times, COIN-M its symbol and pair too."""
        document: dict[str, Any] = {"lastUpdateId": self.last_id}
        if isinstance(venue, BinanceFutures):
            document |= {"E": self._sent, "T": self._at}
            if venue.inverse:
                document |= {"symbol": symbol, "pair": self._pair or symbol.partition("_")[0]}
        bids, asks = self.levels()
        return msgspec.json.encode(document | {"bids": bids, "asks": asks}).decode()


class Exchange:
    """Instruments, books and REST answers of a venue as its captures have them up to the line taken last."""

    def __init__(self, venue: Binance, paths: Sequence[Path], found: Scan, instruments: str) -> None:
        """`instruments` is the body of the instrument list (outcrier.capture.library.instrument_list)."""
        self.venue = venue
        self._instruments = instruments
        self._listed = {each.native_symbol for each in venue.parse_instruments(instruments)[0]}
        self._seeds = _recorded_books(venue, paths, found)
        self._books: dict[str, TextBook] = {}
        self.junk = 0
        """Recorded depth updates that no book can take: not sent, as the exchange would not have."""
        self._minute = 0
        self._weight = 0
        self.restart()

    def restart(self) -> None:
        """Back to the first line."""
        self._books = {symbol: TextBook(seed) for symbol, seed in self._seeds.items()}

    def take(self, line: CaptureLine) -> Emission | None:
        """The message of a line; its book is kept up. None for lines that are no message of a stream."""
        if line.kind != "recv" or line.text is None:
            return None
        frame = messages.combined(line.text)
        if frame is None or frame.stream is None:
            return None
        data = bytes(frame.data)
        symbol = None
        if "@depth" in frame.stream:
            diff = messages.diff(data)
            if diff is not None:
                symbol = diff.s
                try:
                    if symbol in self._books:
                        self._books[symbol].apply(diff)
                except ValueError:
                    self.junk += 1
                    return None
        return Emission(frame.stream, line.text, data.decode(), symbol)

    def book(self, symbol: str) -> TextBook | None:
        """The book so far."""
        return self._books.get(symbol)

    def rest(self, target: str, now_s: float) -> Answer:
        """Answers a GET; `now_s` counts the weight used in this minute."""
        parts = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        prefix = self.venue.rest_prefix
        if parts.path == f"{prefix}/exchangeInfo":
            return self._weighed(self.venue.instruments_weight, now_s, self._instruments)
        if parts.path == f"{prefix}/depth":
            return self._depth(query, now_s)
        return Answer(404, '{"code":-1,"msg":"Not Found"}')

    def _depth(self, query: Mapping[str, str], now_s: float) -> Answer:
        futures = isinstance(self.venue, BinanceFutures)
        weights = _FUTURES_WEIGHTS if futures else _SPOT_WEIGHTS
        default = _FUTURES_LIMIT_DEFAULT if futures else _SPOT_LIMIT_DEFAULT
        limit = query.get("limit", str(default))
        weight = next((cost for most, cost in weights if limit.isdecimal() and 0 < int(limit) <= most), None)
        if weight is None:
            return _refused(-1130, "Data sent for parameter 'limit' is not valid.")
        symbol = query.get("symbol", "")
        if not symbol:
            return _refused(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if symbol not in self._listed:
            return _refused(-1121, "Invalid symbol.")
        book = self._books.get(symbol)
        if book is None:
            # The capture holds no book of it, so there is nothing true to say.
            return Answer(503, '{"code":-1008,"msg":"No book of this symbol was recorded."}')
        return self._weighed(weight, now_s, book.answer(symbol, self.venue))

    def _weighed(self, weight: int, now_s: float, body: str) -> Answer:
        limits = self.venue.limits
        minute = int(now_s // _MINUTE_S)
        if minute != self._minute:
            self._minute, self._weight = minute, 0
        self._weight += weight
        headers = {limits.weight_header: str(self._weight)}
        if self._weight > limits.weight_per_minute:
            headers["Retry-After"] = str(int((minute + 1) * _MINUTE_S - now_s) + 1)
            return Answer(429, '{"code":-1003,"msg":"Too much request weight used."}', headers)
        return Answer(200, body, headers)


def _refused(code: int, message: str) -> Answer:
    return Answer(400, msgspec.json.encode({"code": code, "msg": message}).decode())


def _recorded_books(venue: Binance, paths: Sequence[Path], found: Scan) -> dict[str, messages.Book]:
    """The first recorded REST book of each symbol."""
    seeds: dict[str, messages.Book] = {}
    for line in read_session(paths):
        if len(seeds) == len(found.books):
            break
        if line.kind != "http" or line.text is None or not venue.is_snapshot(line.url, line.text):
            continue
        book = messages.book(line.text)
        symbol = found.book_symbol(venue, line)
        if book is not None and symbol is not None and symbol not in seeds and _is_sound(book):
            seeds[symbol] = book
    return seeds


def _is_sound(book: messages.Book) -> bool:
    """Whether a recorded book holds numbers only."""
    try:
        TextBook(book)
    except ValueError:
        return False
    return True


def _number(text: str) -> Decimal:
    """Raises ValueError for what is no number."""
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no number") from error
    if not number.is_finite():
        raise ValueError(f"{text!r} is no number")
    return number


class Client:
    """What the exchange knows of one WebSocket connection."""

    def __init__(self, venue: Binance, route: str, streams: Sequence[str], *, is_combined: bool) -> None:
        self._venue = venue
        self._route = route
        self._streams = dict.fromkeys(streams)
        self.is_combined = is_combined

    @staticmethod
    def connect(venue: Binance, target: str) -> Client | None:
        """A client by the target of its upgrade request; None where there is no such endpoint.

        `/ws`, `/ws/<stream>/..` push the raw form, `/stream`, `/stream?streams=<stream>/..` the combined one.
        With the 2026 URL split they stand below `/public` and `/market`; without either the old path behaves
        as `/public`.
        """
        parts = urlsplit(target)
        path, route = parts.path, ""
        if isinstance(venue, BinanceFutures) and venue.split:
            route = "/market" if path.startswith("/market/") else "/public"
            path = path.removeprefix(route) if path.startswith(f"{route}/") else path
        if path == "/stream":
            named = parse_qs(parts.query).get("streams", [""])[0]
            return Client(venue, route, named.split("/") if named else [], is_combined=True)
        if path == "/ws" or path.startswith("/ws/"):
            named = path.removeprefix("/ws").strip("/")
            return Client(venue, route, named.split("/") if named else [], is_combined=False)
        return None

    @property
    def subscribed(self) -> bool:
        """Whether it asked for anything yet."""
        return bool(self._streams)

    def wants(self, stream: str) -> bool:
        """Whether the exchange pushes `stream` here: subscribed, and on the path that carries it."""
        return stream in self._streams and self._venue.route(stream) == f"{self._route}/stream"

    def on_text(self, text: str) -> str:
        """The answer to a message of the client. A stream that does not exist is acknowledged and stays
        silent.
        """
        try:
            request = msgspec.json.decode(text)
        except BAD_JSON:
            return _error(3, "Invalid JSON: expected value at line 1 column 1")
        if not isinstance(request, dict):
            return _error(2, "Invalid request: expected an object")
        number = request.get("id")
        if not _is_id(number):
            return _error(2, "Invalid request: request ID must be an integer, a short text or null")
        method = request.get("method")
        if method not in _METHODS:
            return _error(
                2, f"Invalid request: unknown variant, expected one of {', '.join(_METHODS)}", number
            )
        return self._run(method, request.get("params", []), number)

    def _run(self, method: str, params: Any, number: Any) -> str:
        if not isinstance(params, list):
            return _error(2, "Invalid request: params must be an array", number)
        if method == "LIST_SUBSCRIPTIONS":
            return _result(list(self._streams), number)
        if method in {"SET_PROPERTY", "GET_PROPERTY"}:
            return self._property(method, params, number)
        if not all(isinstance(stream, str) for stream in params):
            return _error(2, "Invalid request: invalid stream", number)
        if method == "UNSUBSCRIBE":
            for stream in params:
                self._streams.pop(stream, None)
        elif len(self._streams.keys() | set(params)) > STREAMS_MAX:
            return _error(2, "Invalid request: too many streams", number)
        else:
            self._streams.update(dict.fromkeys(params))
        return _result(None, number)

    def _property(self, method: str, params: list[Any], number: Any) -> str:
        if not params or params[0] != "combined":
            return _error(0, "Unknown property", number)
        if method == "GET_PROPERTY":
            return _result(self.is_combined, number)
        if len(params) != 2 or not isinstance(params[1], bool):
            return _error(1, "Invalid value type: expected Boolean", number)
        self.is_combined = params[1]
        return _result(None, number)


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return value.isalnum() and len(value) <= _ID_CHARS_MAX
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63)


def _result(result: Any, number: Any) -> str:
    return msgspec.json.encode({"result": result, "id": number}).decode()


def _error(code: int, message: str, number: Any = None) -> str:
    document = {"code": code, "msg": message}
    return msgspec.json.encode(document if number is None else document | {"id": number}).decode()
