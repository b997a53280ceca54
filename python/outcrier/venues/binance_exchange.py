"""The exchange's side of Binance's protocol: spot, its regional sites, and both kinds of futures.

Liberty: a REST book holds all levels known whatever `limit` asks, because a book cut at 1,000 levels would
differ for good from the one the recorded changes build.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from outcrier.venues import binance_messages as messages
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook

if TYPE_CHECKING:
    from outcrier.venues.binance import Binance

STREAMS_MAX: Final = 1024
"""Streams of one connection, as the exchange allows."""

_ID_CHARS_MAX: Final = 36
"""Longest request id that is text."""

_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")

# Weight of /depth by its limit: spot 2023-08, futures 2026-07.
_SPOT_WEIGHTS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_FUTURES_WEIGHTS: Final = ((50, 2), (100, 5), (500, 10), (1000, 20))
_SPOT_LIMIT_DEFAULT: Final = 100
_FUTURES_LIMIT_DEFAULT: Final = 500

_SPOT_MESSAGES_PER_S: Final = 5.0
_FUTURES_MESSAGES_PER_S: Final = 10.0

_NOT_FOUND: Final = Answer(404, '{"code":-1,"msg":"Not Found"}')

# What a client is remembered by.
_ROUTE: Final = "route"
_RAW: Final = "raw"


class BinanceExchange(ExchangeSide):
    """One product. `split`: market streams have connections of their own; `inverse`: COIN-M."""

    def __init__(self, venue: Binance, *, futures: bool, split: bool = False, inverse: bool = False) -> None:
        self._venue = venue
        self._futures = futures
        self._split = split
        self._inverse = inverse
        self._weights = _FUTURES_WEIGHTS if futures else _SPOT_WEIGHTS
        self._limit_default = _FUTURES_LIMIT_DEFAULT if futures else _SPOT_LIMIT_DEFAULT
        self.messages_per_s = _FUTURES_MESSAGES_PER_S if futures else _SPOT_MESSAGES_PER_S

    # WebSocket.

    def accepts(self, target: str) -> bool:
        return self._endpoint(target) is not None

    def greeting(self, client: Client) -> list[str]:
        """Nothing is said; the URL tells the form and may name streams.

        `/ws`, `/ws/<stream>/..` push the raw form, `/stream`, `/stream?streams=<stream>/..` the combined one.
        With the 2026 URL split they stand below `/public` and `/market`; without either the old path behaves
        as `/public`.
        """
        endpoint = self._endpoint(client.target)
        if endpoint is None:
            return []
        route, raw, named = endpoint
        client.marks[_ROUTE] = route
        _set_raw(client, raw=raw)
        client.streams.update(dict.fromkeys(named))
        return []

    def _endpoint(self, target: str) -> tuple[str, bool, list[str]] | None:
        """Route, whether the form is raw, and streams of a target; None where there is no such endpoint."""
        parts = urlsplit(target)
        path, route = parts.path, ""
        if self._split:
            route = "/market" if path.startswith("/market/") else "/public"
            path = path.removeprefix(route) if path.startswith(f"{route}/") else path
        if path == "/stream":
            named = parse_qs(parts.query).get("streams", [""])[0]
            return route, False, named.split("/") if named else []
        if path == "/ws" or path.startswith("/ws/"):
            named = path.removeprefix("/ws").strip("/")
            return route, True, named.split("/") if named else []
        return None

    def wants(self, client: Client, stream: str) -> bool:
        """Subscribed, and on the path that carries it."""
        return stream in client.streams and self._venue.route(stream) == f"{client.marks[_ROUTE]}/stream"

    def stamped(self, client: Client, text: str) -> str:
        """The raw form is the inner message, byte for byte."""
        if _RAW not in client.marks:
            return text
        frame = messages.combined(text)
        return text if frame is None else bytes(frame.data).decode()

    def on_text(self, client: Client, text: str) -> list[str]:
        """A stream that does not exist is acknowledged and stays silent."""
        return [_answer(client, text)]

    def farewell(self, client: Client, now_ms: int) -> list[str]:
        """Of spot alone it is documented (2026-05-08), without a lead time."""
        del client
        told = f'{{"stream":"!serverShutdown","data":{{"e":"serverShutdown","E":{now_ms}}}}}'
        return [] if self._futures else [told]

    def renamed(self, text: str, old: str, new: str) -> str:
        """Streams are named in lower case: `btcusdt@depth`."""
        return super().renamed(text, old, new).replace(f'"{old.lower()}@', f'"{new.lower()}@')

    # REST.

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        parts = urlsplit(target)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        listed = next(iter(instruments.values()))
        if parts.path == f"{self._venue.rest_prefix}/exchangeInfo":
            return Answer(200, listed)
        if parts.path == f"{self._venue.rest_prefix}/depth":
            return self._depth(query, listed, books)
        return _NOT_FOUND

    def weight(self, target: str) -> int:
        parts = urlsplit(target)
        if parts.path.endswith("/exchangeInfo"):
            return self._venue.instruments_weight
        return self._depth_weight(parse_qs(parts.query).get("limit", [""])[-1]) or 1

    def limited(self, retry_after_s: int) -> Answer:
        del retry_after_s
        return Answer(429, '{"code":-1003,"msg":"Too much request weight used."}')

    def _depth_weight(self, limit: str) -> int | None:
        """The weight of a book; None for a limit that is not offered."""
        limit = limit or str(self._limit_default)
        return next(
            (cost for most, cost in self._weights if limit.isdecimal() and 0 < int(limit) <= most), None
        )

    def _depth(self, query: Mapping[str, str], listed: str, books: Mapping[str, StandInBook]) -> Answer:
        if self._depth_weight(query.get("limit", "")) is None:
            return _refused(-1130, "Data sent for parameter 'limit' is not valid.")
        symbol = query.get("symbol", "")
        if not symbol:
            return _refused(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if symbol not in _natives(listed):
            return _refused(-1121, "Invalid symbol.")
        book = books.get(symbol)
        if book is None:
            # The capture holds no book of it, so there is nothing true to say.
            return Answer(503, '{"code":-1008,"msg":"No book of this symbol was recorded."}')
        return Answer(200, self.book_answer(symbol, book))

    def book_answer(self, symbol: str, book: StandInBook) -> str:
        """The REST book: futures tell times, COIN-M its symbol and pair too."""
        document: dict[str, Any] = {"lastUpdateId": book.last_id}
        if self._futures:
            sent, at = _times(book.last)
            document |= {"E": sent, "T": at}
        if self._inverse:
            whole = messages.book(book.whole)
            pair = None if whole is None else whole.pair
            document |= {"symbol": symbol, "pair": pair or symbol.partition("_")[0]}
        bids, asks = book.levels()
        return msgspec.json.encode(document | {"bids": bids, "asks": asks}).decode()


@lru_cache(maxsize=8)
def _natives(listed: str) -> frozenset[str]:
    """Native symbols of an instrument list; a big one is not read anew for each request."""
    return frozenset(messages.native_symbols(listed))


def _times(text: str) -> tuple[int | None, int | None]:
    """`E` and `T` of a REST book or a change of one."""
    frame = messages.combined(text)
    message = messages.book(text) if frame is None else messages.diff(frame.data)
    return (None, None) if message is None else (message.sent, message.at)


def _refused(code: int, message: str) -> Answer:
    return Answer(400, msgspec.json.encode({"code": code, "msg": message}).decode())


def _set_raw(client: Client, *, raw: bool) -> None:
    if raw:
        client.marks[_RAW] = "1"
    else:
        client.marks.pop(_RAW, None)


def _answer(client: Client, text: str) -> str:
    try:
        request = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _error(3, "Invalid JSON: expected value at line 1 column 1")
    if not isinstance(request, dict):
        return _error(2, "Invalid request: expected an object")
    number = request.get("id")
    if not _is_id(number):
        return _error(2, "Invalid request: request ID must be an integer, a short text or null")
    method = request.get("method")
    if method not in _METHODS:
        return _error(2, f"Invalid request: unknown variant, expected one of {', '.join(_METHODS)}", number)
    return _run(client, method, request.get("params", []), number)


def _run(client: Client, method: str, params: Any, number: Any) -> str:
    if not isinstance(params, list):
        return _error(2, "Invalid request: params must be an array", number)
    if method == "LIST_SUBSCRIPTIONS":
        return _result(list(client.streams), number)
    if method in {"SET_PROPERTY", "GET_PROPERTY"}:
        return _property(client, method, params, number)
    if not all(isinstance(stream, str) for stream in params):
        return _error(2, "Invalid request: invalid stream", number)
    if method == "UNSUBSCRIBE":
        for stream in params:
            client.streams.pop(stream, None)
    elif len(client.streams.keys() | set(params)) > STREAMS_MAX:
        return _error(2, "Invalid request: too many streams", number)
    else:
        client.streams.update(dict.fromkeys(params))
    return _result(None, number)


def _property(client: Client, method: str, params: list[Any], number: Any) -> str:
    if not params or params[0] != "combined":
        return _error(0, "Unknown property", number)
    if method == "GET_PROPERTY":
        return _result(_RAW not in client.marks, number)
    if len(params) != 2 or not isinstance(params[1], bool):
        return _error(1, "Invalid value type: expected Boolean", number)
    _set_raw(client, raw=not params[1])
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
