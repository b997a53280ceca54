"""Deribit's side of the protocol: for stand-ins.

A liberty: `raw` channels are granted without authentication, because recordings of 2021 are made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from outcrier.venues import frames
from outcrier.venues.base import BAD_JSON
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook

CHANNELS_MAX: Final = 500

_PATH: Final = "/ws/api/v2"
_INSTRUMENTS: Final = "/api/v2/public/get_instruments"

_BEATS: Final = "heartbeat"
"""Mark of a client that asked for heartbeats: their interval in seconds."""

# JSON-RPC 2.0, and Deribit's own.
_PARSE_ERROR: Final = (-32700, "Parse error")
_NOT_FOUND: Final = (-32601, "Method not found")
_INVALID_PARAMS: Final = (-32602, "Invalid params")

HEARTBEAT_MIN_S: Final = 10


class DeribitExchange(ExchangeSide):
    """Answers as Deribit does; an answer to a subscription lists what is granted."""

    heartbeat_every_s = float(HEARTBEAT_MIN_S)

    def __init__(self, channels: frozenset[str]) -> None:
        self._channels = channels

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path == _PATH

    def on_text(self, client: Client, text: str) -> list[str]:
        message = frames.record(text)
        if not message:
            return [_error(None, _PARSE_ERROR)]
        result = self._result(client, message)
        number = message.get("id")
        return [_error(number, result) if isinstance(result, tuple) else _result(number, result)]

    def _result(self, client: Client, message: dict[str, Any]) -> Any:
        """What a request results in; code and message where it is refused."""
        method, params = message.get("method"), message.get("params")
        if isinstance(method, str) and method in {"public/subscribe", "public/unsubscribe"}:
            asked = [frames.word(each) for each in frames.rows(frames.at(params, "channels"))]
            if not asked or len(asked) > CHANNELS_MAX:
                return _INVALID_PARAMS
            return self._granted(client, asked, begins=method == "public/subscribe")
        if method == "public/set_heartbeat":
            interval = frames.at(params, "interval")
            if not isinstance(interval, int) or interval < HEARTBEAT_MIN_S:
                return _INVALID_PARAMS
            client.marks[_BEATS] = str(interval)
            return "ok"
        return {"version": "1.2.26"} if method == "public/test" else _NOT_FOUND

    def _granted(self, client: Client, asked: list[str], *, begins: bool) -> list[str]:
        granted = [stream for stream in asked if self._is_known(stream)]
        for stream in granted:
            if begins:
                client.streams[stream] = None
            else:
                client.streams.pop(stream, None)
        return granted

    def _is_known(self, stream: str) -> bool:
        """`book.BTC-PERPETUAL.100ms`, `chart.trades.BTC-PERPETUAL.1`, `instrument.state.future.any`."""
        name, _, rest = stream.partition(".")
        family = stream.rpartition(".")[0]
        chart = stream.startswith("chart.trades.") and f"chart.trades.{stream.rpartition('.')[2]}"
        return (name in self._channels and bool(rest)) or family in self._channels or chart in self._channels

    def heartbeat(self, client: Client) -> list[str]:
        if _BEATS not in client.marks:
            return []
        return [_text(method="heartbeat", params={"type": "test_request"})]

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        name, _, rest = stream.partition(".")
        if book is None or name != "book":
            return []
        bids, asks = (
            [["new", msgspec.Raw(price.encode()), msgspec.Raw(qty.encode())] for price, qty in side]
            for side in book.levels()
        )
        data = {
            "type": "snapshot",
            "timestamp": (book.exchange_ns or 0) // 1_000_000,
            "instrument_name": rest.rpartition(".")[0],
            "change_id": book.last_id or 0,
            "bids": bids,
            "asks": asks,
        }
        return [_text(method="subscription", params={"channel": stream, "data": data})]

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        if urlsplit(target).path != _INSTRUMENTS:
            return None
        return Answer(200, instruments.get(target) or _result(None, _listed(target, instruments.values())))


def _listed(target: str, bodies: Iterable[str]) -> list[msgspec.Raw]:
    """The instruments of all recorded lists that are of the currency and the kind asked for."""
    query = dict(parse_qsl(urlsplit(target).query))
    wanted = {"kind": query.get("kind"), "base_currency": query.get("currency")}
    told = {key: value for key, value in wanted.items() if value not in {None, "any"}}
    found: dict[bytes, None] = {}
    for body in bodies:
        try:
            entries = frames.raw_entries(body, "result")
        except BAD_JSON:
            continue
        for entry in entries:
            listed = frames.record(entry)
            if all(listed.get(key) == value for key, value in told.items()):
                found.setdefault(entry)
    return list(map(msgspec.Raw, found))


def _result(number: Any, result: Any) -> str:
    return _text(**({} if number is None else {"id": number}), result=result, testnet=False)


def _error(number: Any, error: tuple[int, str]) -> str:
    code, message = error
    return _text(id=number, error={"code": code, "message": message})


def _text(**fields: Any) -> str:
    return msgspec.json.encode({"jsonrpc": "2.0"} | fields).decode()
