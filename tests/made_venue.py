"""A small venue with books in the stream, to try what drives venues apart from any of them: the messages of
Bybit v5 as they were recorded, the few answers that a client needs.
"""

# ruff: noqa: ARG002 - the interface passes more than this venue needs

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from outcrier.instruments import BOOK_PROOF_SEQUENCE, Instrument
from outcrier.symbols import Kind
from outcrier.venues import VENUES
from outcrier.venues.base import (
    BAD_JSON,
    Ack,
    Channel,
    Control,
    Fault,
    HttpRequest,
    Keepalive,
    Limits,
    Printed,
    Request,
    Unknown,
    Venue,
)
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook

LIST = "/list"


class MadeSide(ExchangeSide):
    """Says what Bybit says, and numbers everything on request of a test."""

    restarts_books = True
    numbered = False

    def accepts(self, target: str) -> bool:
        return target.startswith("/made")

    def greeting(self, client: Client) -> list[str]:
        return ['{"op":"hello"}'] if "hello" in client.target else []

    def on_text(self, client: Client, text: str) -> list[str]:
        request = json.loads(text)
        for stream in request["args"]:
            if request["op"] == "subscribe":
                client.streams[stream] = None
            else:
                client.streams.pop(stream, None)
        return [json.dumps({"success": True, "op": request["op"]})]

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        if book is None:
            return []
        message = json.loads(book.last)
        bids, asks = book.levels()
        message["type"] = "snapshot"
        message["data"] |= {"b": bids, "a": asks, "u": book.last_id}
        return [json.dumps(message)]

    def state(self, stream: str, before: str | None, text: str) -> str | None:
        message = json.loads(text)
        if not stream.startswith("tickers."):
            return None
        merged = (json.loads(before)["data"] if before else {}) | message["data"]
        return json.dumps(message | {"type": "snapshot", "data": merged})

    def stamped(self, client: Client, text: str) -> str:
        return f'{text[:-1]},"n":{client.sent}}}' if self.numbered else text

    def heartbeat(self, client: Client) -> list[str]:
        return ['{"op":"beat"}']

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        if target == LIST:
            return Answer(200, instruments[LIST])
        book = books.get(target.removeprefix("/book/"))
        return None if book is None else Answer(200, json.dumps(book.levels()))


class MadeVenue(Venue):
    """`orderbook`, `publicTrade` and `tickers`; the list is `{symbol: [tick, step]}`."""

    name = "bybit_linear"
    ws_url = "wss://made.example/made"
    rest_url = "https://made.example"
    ws_hosts = rest_hosts = frozenset({"made.example"})
    shapes = VENUES["bybit_linear"].shapes
    channels: Mapping[str, Channel] = {
        each.name: each
        for each in (
            Channel(name="orderbook", book=True, speeds=("200",)),
            Channel(name="publicTrade"),
            Channel(name="tickers"),
        )
    }
    default_channels = ("orderbook",)
    captures = ("made/*",)
    instrument_lists = ()
    documentation = "2026-07"

    def __init__(
        self, *, limits: Mapping[str, Any] | None = None, keepalive: Mapping[str, Any] | None = None
    ):
        least: dict[str, Any] = {
            "messages_per_s": 100.0,
            "connects": 100,
            "connects_window_s": 1.0,
            "weight_per_minute": 100,
            "weight_pool": "made",
        }
        kept: dict[str, Any] = {
            "ping_every_s": 0.0,
            "pong_within_s": 0.0,
            "expected_silence_s": 10.0,
            "lifetime_s": 0.0,
        }
        self.limits = Limits(**least | dict(limits or {}))
        self.keepalive = Keepalive(**kept | dict(keepalive or {}))
        self.exchange = self.side = MadeSide()

    def instruments_requests(self) -> tuple[HttpRequest, ...]:
        return (HttpRequest(LIST),)

    def parse_instruments(self, *bodies: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        listed = {symbol: sizes for body in bodies for symbol, sizes in json.loads(body).items()}
        return [
            Instrument(
                venue=self.name,
                native_symbol=symbol,
                symbol=symbol,
                kind=Kind.PERPETUAL,
                base="",
                quote="",
                settle="",
                tick_size=Decimal(tick),
                lot_size=Decimal(step),
                min_qty=Decimal(step),
                book_proof=BOOK_PROOF_SEQUENCE,
            )
            for symbol, (tick, step) in listed.items()
        ], []

    def streams(
        self, instrument: Instrument, channels: Sequence[str], speeds: Mapping[str, str]
    ) -> list[str]:
        middle = {"orderbook": ".200"}
        return [f"{name}{middle.get(name, '')}.{instrument.native_symbol}" for name in channels]

    def route(self, stream: str) -> str:
        return "/made"

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        return [Request(json.dumps({"op": "subscribe", "args": list(streams)}))]

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        return [Request(json.dumps({"op": "unsubscribe", "args": list(streams)}))]

    def control(self, text: bytes | str) -> Control:
        return (
            Ack() if b"success" in (text if isinstance(text, bytes) else text.encode()) else Unknown("made")
        )

    def stream_of(self, text: bytes | str) -> str | None:
        try:
            topic = msgspec.json.decode(text).get("topic")
        except BAD_JSON:
            return None
        return topic if isinstance(topic, str) else None

    def native_symbol_of(self, stream: str) -> str | None:
        return stream.rpartition(".")[2]

    def channel_of(self, stream: str) -> tuple[str, str] | None:
        name, *middle, _ = stream.split(".")
        return (name, middle[0] if middle else "") if name in self.channels else None

    def printed(self, text: bytes | str) -> Printed:
        data = json.loads(text).get("data", {})
        levels = (
            [level for side in "ba" for level in data[side]] if isinstance(data, dict) and "b" in data else []
        )
        return Printed(tuple(level[0] for level in levels), tuple(level[1] for level in levels))

    def unlisted(self, native_symbol: str, tick: Decimal, step: Decimal) -> str:
        return json.dumps({native_symbol: [f"{tick:f}", f"{step:f}"]})

    def with_entries(self, body: str | None, entries: Sequence[str]) -> str:
        listed = json.loads(body or "{}")
        for entry in entries:
            listed |= json.loads(entry)
        return json.dumps(listed)

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        return None
