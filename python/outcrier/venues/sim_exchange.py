"""What SIM says: its messages, and the answers to a client. docs/sim.md is the protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from outcrier import _core
from outcrier.venues import frames
from outcrier.venues.exchange_side import Answer, Client, ExchangeSide, StandInBook

PATH: Final = "/v1/stream"
INSTRUMENTS: Final = "/v1/instruments"

STREAMS_MAX: Final = 500
"""Streams of one request: 10 KB."""

CHANNELS: Final = ("book", "trades", "best", "orders")
"""In the order in which an event is told."""

TAKERS: Final = {1: "buy", 2: "sell"}
OPERATIONS: Final = {1: "add", 2: "reduce", 3: "move", 4: "delete", 5: "execute"}
"""By their numbers in the core; the engine replaces and clears nothing."""

_DECIMALS: Final = -_core.Market.PRICE_EXP
_UNIT: Final = 10**_DECIMALS

Resting = tuple[int, int, int]
"""Number, price and quantity of an order."""

Best = tuple[int, int, int] | None
"""Price, quantity and orders."""


def price_text(mantissa: int) -> str:
    """A price as it is printed."""
    whole, part = divmod(mantissa, _UNIT)
    return f"{whole}.{part:0{_DECIMALS}d}"


def entry(symbol: str, tick: Decimal, lot: Decimal) -> str:
    """An entry of the list of instruments."""
    base, _, quote = symbol.partition("-")
    return _json({"symbol": symbol, "base": base, "quote": quote, "tick": f"{tick:f}", "lot": f"{lot:f}"})


def listing(symbols: Iterable[str]) -> str:
    """The list of instruments, which are all alike."""
    market = _core.Market
    tick = Decimal(market.TICK).scaleb(market.PRICE_EXP)
    lot = Decimal(market.LOT).scaleb(market.QTY_EXP)
    return f'{{"instruments":[{",".join(entry(symbol, tick, lot) for symbol in symbols)}]}}'


@dataclass(frozen=True)
class Head:
    """What the messages about an event have in common."""

    symbol: str
    seq: int
    """Number of the event."""
    time: int
    """ns since the epoch."""

    def fields(self, channel: str, **more: Any) -> dict[str, Any]:
        return {"channel": channel, "symbol": self.symbol, **more, "seq": self.seq, "time": self.time}


def book_change(head: Head, levels: Iterable[tuple[int, int, int]]) -> str:
    """Levels (side, price, quantity) that an event has touched; quantity 0 = gone."""
    sides: dict[int, list[tuple[str, str]]] = {1: [], 2: []}
    for side, price, qty in levels:
        sides[side].append((price_text(price), str(qty)))
    return _json(head.fields("book", type="change", prev=head.seq - 1) | {"bids": sides[1], "asks": sides[2]})


def trades(head: Head, made: Iterable[tuple[int, int, int, int]]) -> str:
    """Trades (price, quantity, number, taker) of an event."""
    rows = [
        {"id": number, "price": price_text(price), "qty": str(qty), "taker": TAKERS[taker]}
        for price, qty, number, taker in made
    ]
    return _json(head.fields("trades") | {"trades": rows})


def best(head: Head, bid: Best, ask: Best) -> str:
    """The best prices after an event; null where a side is empty."""
    fields = head.fields("best")
    for name, level in (("bid", bid), ("ask", ask)):
        price, qty, orders = (None, None, None) if level is None else level
        fields |= {
            name: None if price is None else price_text(price),
            f"{name}_qty": None if qty is None else str(qty),
            f"{name}_orders": orders,
        }
    return _json(fields)


def orders_change(head: Head, ops: Iterable[tuple[int, int, int, int, int, int]]) -> str:
    """Changes (operation, order, side, price, quantity, trade) of the orders that an event has made."""
    sides: dict[int, list[dict[str, Any]]] = {1: [], 2: []}
    for op, order, side, price, qty, trade in ops:
        row = {"op": OPERATIONS[op], "id": order, "price": price_text(price), "qty": str(qty)}
        sides[side].append(row | ({"trade": trade} if trade else {}))
    fields = head.fields("orders", type="change", prev=head.seq - 1)
    return _json(fields | {"bids": sides[1], "asks": sides[2]})


class SimBook:
    """A `StandInBook` of the simulated market, with its orders."""

    last = whole = ""

    def __init__(self, head: Head, orders: tuple[Sequence[Resting], Sequence[Resting]]) -> None:
        """`orders`: bids and asks, best level first, each from the front of its queue."""
        self.head = head
        self.last_id: int | None = head.seq
        self.exchange_ns: int | None = head.time
        self._orders = orders

    def levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """(bids, asks), best first."""
        bids, asks = (
            [
                (price_text(price), str(sum(qty for _, _, qty in queue)))
                for price, queue in groupby(side, key=lambda order: order[1])
            ]
            for side in self._orders
        )
        return bids, asks

    def snapshot(self) -> str:
        """The message with all orders."""
        bids, asks = (
            [{"id": number, "price": price_text(price), "qty": str(qty)} for number, price, qty in side]
            for side in self._orders
        )
        return _json(self.head.fields("orders", type="snapshot") | {"bids": bids, "asks": asks})


class SimExchange(ExchangeSide):
    """The server's side: grants streams of known channels, begins books and orders with a snapshot."""

    restarts_books = True

    def accepts(self, target: str) -> bool:
        return urlsplit(target).path == PATH

    def on_text(self, client: Client, text: str) -> list[str]:
        message = frames.record(text)
        number = message.get("id")
        number = number if isinstance(number, int) else None
        op, asked = message.get("op"), [frames.word(each) for each in frames.rows(message.get("streams"))]
        if op not in {"subscribe", "unsubscribe"}:
            return [_refusal(number, "op is subscribe or unsubscribe")]
        if not asked or len(asked) > STREAMS_MAX:
            return [_refusal(number, f"streams are 1 to {STREAMS_MAX} names such as book:SIM1-USD")]
        granted = [stream for stream in asked if _is_known(stream)]
        for stream in granted:
            if op == "subscribe":
                client.streams[stream] = None
            else:
                client.streams.pop(stream, None)
        return [_json({"type": f"{op}d", "id": number, "streams": granted})]

    def on_subscribed(self, client: Client, stream: str, book: StandInBook | None) -> list[str]:
        del client
        channel, _, symbol = stream.partition(":")
        if channel == "orders":
            return [book.snapshot()] if isinstance(book, SimBook) else []
        if channel != "book" or book is None or book.last_id is None:
            return []
        bids, asks = book.levels()
        head = Head(symbol, book.last_id, book.exchange_ns or 0)
        return [_json(head.fields("book", type="snapshot") | {"bids": bids, "asks": asks})]

    def state(self, stream: str, before: str | None, text: str) -> str | None:
        """Best prices are told whole."""
        del before
        return text if stream.startswith("best:") else None

    def rest(
        self, target: str, instruments: Mapping[str, str], books: Mapping[str, StandInBook]
    ) -> Answer | None:
        del books
        if urlsplit(target).path != INSTRUMENTS:
            return None
        return Answer(200, instruments.get(INSTRUMENTS, '{"instruments":[]}'))


def _is_known(stream: str) -> bool:
    channel, _, symbol = stream.partition(":")
    return channel in CHANNELS and bool(symbol)


def _refusal(number: int | None, message: str) -> str:
    return _json({"type": "error", "id": number, "message": message})


def _json(fields: Mapping[str, Any]) -> str:
    return msgspec.json.encode(fields).decode()
