"""Kraken spot v1, a dialect for recordings: it still answers, but is frozen.

Rules are those of the documentation as of 2026-08. A frame is an array that ends with channel and pair. Asks
and bids that change at once come as two objects of one frame, the second of which has the checksum; a whole
book has none. Numbers are text, and pairs are written with XBT.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from outcrier.shapes import (
    ANY,
    PRESENT,
    Aggressor,
    AnyShape,
    BboShape,
    Checksum,
    NoSequence,
    Shape,
    SideWords,
    TickerShape,
    TradeShape,
    payload,
)
from outcrier.venues import frames
from outcrier.venues.base import (
    Ack,
    Channel,
    Control,
    Error,
    Ignored,
    Keepalive,
    Pong,
    Printed,
    Request,
    Unknown,
)
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook
from outcrier.venues.kraken import SYMBOLS_AT_ONCE, KrakenSpot, system
from outcrier.venues.kraken_exchange import pairs_answer
from outcrier.venues.named import by_channel

DEPTH: Final = 1000
"""Levels a side, of 10, 25, 100, 500, 1,000; the channel is named after it. Levels pushed out of it are not
removed by a message.
"""

_HEARTBEAT: Final = b'{"event":"heartbeat"}'
"""What comes every second, always in these bytes, where nothing else does."""

_IS_HEARTBEAT: Final = Ignored("heartbeat")

_BOOK_CHANNEL: Final = f"book-{DEPTH}"
_PAIR: Final = payload(-1)

_SNAPSHOT: Final = Shape(
    name="book_snapshot",
    when={-2: _BOOK_CHANNEL, (1, "as"): PRESENT},
    instrument=_PAIR,
    sequence=NoSequence(splice="in_stream"),
    bids=(1, "bs"),
    asks=(1, "as"),
    snapshot=True,
    depth=DEPTH,
    known=(0, *((1, side, ANY, 2) for side in ("as", "bs"))),
)

# Rows are [price, quantity, time], and "r" behind those of levels that come again from below the depth.
_UPDATE: Final = Shape(
    name="book",
    when={-2: _BOOK_CHANNEL},
    instrument=_PAIR,
    sequence=NoSequence(splice="in_stream"),
    beside=(1, 2),
    bids="b",
    asks="a",
    omits_empty=True,
    depth=DEPTH,
    checksum=Checksum("c", "kraken"),
    known=(payload(0), *((side, ANY, at) for side in "ab" for at in (2, 3))),
)

# [price, volume, time, side of the taker, order type, misc]; there are no ids.
_TRADE: Final = TradeShape(
    name="trade",
    when={-2: "trade"},
    each=1,
    instrument=_PAIR,
    price=0,
    qty=1,
    time=(2, "s"),
    aggressor=Aggressor(3, SideWords(bid=("b",), ask=("s",))),
    known=(payload(0), 4, 5),
)

# Pairs of numbers are of today and of 24 hours; those of best prices are whole lots and lots.
_TICKER: Final = TickerShape(
    name="ticker",
    when={-2: "ticker"},
    instrument=_PAIR,
    last=(1, "c", 0),
    open=(1, "o", 1),
    high=(1, "h", 1),
    low=(1, "l", 1),
    volume=(1, "v", 1),
    trade_count=(1, "t", 1),
    known=(
        *(0, (1, "p"), (1, "c", 1), (1, "a", 1), (1, "b", 1)),
        *((1, key, 0) for key in "vtlho"),
    ),
)

_TICKER_BBO: Final = BboShape(
    name="ticker_bbo",
    also=True,
    when={-2: "ticker"},
    instrument=_PAIR,
    bid_price=(1, "b", 0),
    bid_qty=(1, "b", 2),
    ask_price=(1, "a", 0),
    ask_qty=(1, "a", 2),
)

_SHAPES: Final[tuple[AnyShape, ...]] = (_SNAPSHOT, _UPDATE, _TRADE, _TICKER, _TICKER_BBO)


class KrakenV1(KrakenSpot):
    """Streams are `book:XBT/USD`."""

    name = "kraken_v1"
    ws_url = "wss://ws.kraken.com"
    shapes = _SHAPES
    keepalive = Keepalive(
        ping_every_s=0.0,
        pong_within_s=0.0,
        client_ping='{"event":"ping"}',
        expected_silence_s=5.0,  # Heartbeats come every second in which nothing else does.
        lifetime_s=0.0,
    )
    channels: Mapping[str, Channel] = {
        channel.name: channel
        for channel in (Channel(name="book", book=True), Channel(name="trade"), Channel(name="ticker"))
    }
    default_channels = ("book", "trade", "ticker")
    captures = ("kraken/v1_a_20??-??-??", "kraken/v1_b_20??-??-??", "kraken/v1_book_*")
    instrument_lists = ("kraken/v1_a_instruments",)
    old_dialect = "the recordings of 2021-04-17 speak it"
    options: ClassVar[Mapping[str, Mapping[str, Any]]] = {"book": {"depth": DEPTH}}

    def __init__(self) -> None:
        self.exchange = _Exchange(self)

    def native(self, base: str, quote: str) -> str:
        return f"{base}/{quote}"

    def subscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return list(self._requests("subscribe", streams, number))

    def unsubscribe(self, streams: Sequence[str], held: Sequence[str] = (), number: int = 1) -> list[Request]:
        del held
        return list(self._requests("unsubscribe", streams, number))

    def _requests(self, event: str, streams: Sequence[str], number: int) -> Iterator[Request]:
        for channel, pairs in by_channel(streams).items():
            subscription = {"name": channel, **self.options.get(channel, {})}
            for batch in frames.batches(pairs, SYMBOLS_AT_ONCE):
                message = {"event": event, "pair": batch, "subscription": subscription, "reqid": number}
                yield Request(msgspec.json.encode(message).decode(), acks=len(batch))
                number += 1

    # Frames.

    def control(self, text: bytes | str) -> Control:
        if text == _HEARTBEAT:
            return _IS_HEARTBEAT
        message = frames.record(text)
        event = frames.word(message.get("event"))
        match event:
            case "subscriptionStatus":
                return self._answer(message)
            case "pong":
                return Pong()
            case "heartbeat" | "systemStatus":
                return _IS_HEARTBEAT if event == "heartbeat" else system(message.get("status"))
            case "error":
                return Error(None, frames.word(message.get("errorMessage"))[: frames.MESSAGE_MAX])
        junk = "object" if message else "not a JSON object"
        return Unknown(event[: frames.NAME_MAX] or _channel(text) or junk)

    def _answer(self, message: Mapping[str, Any]) -> Control:
        number = message.get("reqid")
        number = number if isinstance(number, int) and not isinstance(number, bool) else None
        if message.get("status") in ("subscribed", "unsubscribed"):
            return Ack(number)
        channel = frames.word(frames.at(message, "subscription", "name"))
        said = frames.word(message.get("errorMessage"))[: frames.MESSAGE_MAX]
        return Error(None, said, number, self.stream_named(channel, message.get("pair")))

    def stream_of(self, text: bytes | str) -> str | None:
        return self.stream_named(_channel(text), frames.at(frames.parsed(text), -1))

    def printed(self, text: bytes | str) -> Printed:
        message, channel = frames.rows(frames.parsed(text)), _channel(text)
        if channel == "book":
            sides = [side for part in message[1:-2] if isinstance(part, dict) for side in part.values()]
            levels = [level for side in sides for level in frames.rows(side)]
        elif channel == "trade":
            levels = frames.rows(frames.at(message, 1))
        else:
            return Printed()
        prices, quantities = ([frames.at(level, column) for level in levels] for column in (0, 1))
        return Printed(tuple(frames.numbers(prices)), tuple(frames.numbers(quantities)))

    def exchange_time_ns(self, text: bytes | str) -> int | None:
        """Of the first row: seconds and microseconds as text."""
        message, channel = frames.rows(frames.parsed(text)), _channel(text)
        sides: list[Any] = [message[1]] if channel == "trade" else []
        if channel == "book":
            sides = [side for part in message[1:-2] if isinstance(part, dict) for side in part.values()]
        seconds, _, micros = frames.word(next((frames.at(side, 0, 2) for side in sides), None)).partition(".")
        return frames.time_ns(seconds + micros.ljust(6, "0")[:6], 1000) if seconds else None


def _channel(text: bytes | str) -> str:
    """Channel of a frame that is an array, without the depth; empty for anything else."""
    message = frames.parsed(text)
    named = frames.word(frames.at(message, -2)) if isinstance(message, list) and len(message) > 3 else ""
    return named.partition("-")[0][: frames.NAME_MAX]


class _Exchange(ExchangeSide):
    heartbeat_every_s = 1.0

    def __init__(self, venue: KrakenV1) -> None:
        self.venue = venue

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path in {"", "/"}

    def greeting(self, client: Client) -> list[str]:
        del client
        return ['{"connectionID":1,"event":"systemStatus","status":"online","version":"1.8.3"}']

    def on_text(self, client: Client, text: str) -> list[str]:
        request = frames.record(text)
        event, number = frames.word(request.get("event")), request.get("reqid")
        numbered = {"reqid": number} if isinstance(number, int) else {}
        if event == "ping":
            return [_text({"event": "pong", **numbered})]
        channel = frames.word(frames.at(request, "subscription", "name"))
        if event not in {"subscribe", "unsubscribe"} or channel not in self.venue.channels:
            return [_text({"errorMessage": "Unsupported event", "event": "error", **numbered})]
        pairs = [frames.word(pair) for pair in frames.rows(request.get("pair"))]
        return [self._one(client, event, channel, pair, numbered) for pair in pairs]

    def _one(self, client: Client, event: str, channel: str, pair: str, numbered: Mapping[str, Any]) -> str:
        subscription = {**self.venue.options.get(channel, {}), "name": channel}
        answer = {"event": "subscriptionStatus", "pair": pair, "subscription": subscription, **numbered}
        if "/" not in pair:
            said = f"Currency pair not in ISO 4217-A3 format {pair}"
            return _text({"errorMessage": said, "status": "error", **answer})
        if event == "subscribe":
            client.streams[f"{channel}:{pair}"] = None
        else:
            client.streams.pop(f"{channel}:{pair}", None)
        named = _BOOK_CHANNEL if channel == "book" else channel
        return _text({"channelID": 0, "channelName": named, "status": f"{event}d", **answer})

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        channel, _, pair = stream.partition(":")
        if book is None or channel != "book":
            return []
        # The time of a row is that of its level's last change, which nobody has recorded.
        bids, asks = ([[*level, "0.000000"] for level in levels[:DEPTH]] for levels in book.levels())
        return [_text([0, {"as": asks, "bs": bids}, _BOOK_CHANNEL, pair])]

    def heartbeat(self, client: Client) -> list[str]:
        return ['{"event":"heartbeat"}'] if client.streams else []

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        return pairs_answer(self.venue, target, instruments)


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


KRAKEN_V1: Final = KrakenV1()

VENUES: Final = (KRAKEN_V1,)
