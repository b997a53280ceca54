"""A recorded session on two links at once: drawn delays, deaths, and the plain truth beside it."""

from __future__ import annotations

import gzip
import json
import random
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from feed_bench import Bench
from outcrier import _core
from outcrier.venues import venue_by_name

OLD, NEW = 1, 2
LIVE = 1
MS = 1_000_000
VENUE = 2
FIRST_ID = 1_000

Rows = list[tuple[str, str]]


@dataclass(frozen=True)
class Update:
    """A book message in plain words."""

    symbol: str
    last: int
    whole: bool
    bids: Rows
    asks: Rows


class PlainBook:
    """Levels in decimals, and a sum over them that moves with each change."""

    def __init__(self) -> None:
        self.sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
        self.sum = 0

    def set(self, side: int, price: Decimal, qty: Decimal) -> None:
        levels = self.sides[side]
        before = levels.pop(price, None)
        if before is not None:
            self.sum ^= hash((side, price, before))
        if qty:
            levels[price] = qty
            self.sum ^= hash((side, price, qty))

    def cut(self, depth: int) -> None:
        """Keeps the best levels."""
        for side, levels in enumerate(self.sides):
            for price in sorted(levels, reverse=side == 0)[depth:]:
                self.set(side, price, Decimal(0))

    def clear(self) -> None:
        for levels in self.sides:
            levels.clear()
        self.sum = 0

    def take(self, update: Update) -> None:
        if update.whole:
            self.clear()
        for side, rows in enumerate((update.bids, update.asks)):
            for price, qty in rows:
                self.set(side, Decimal(price), Decimal(qty))

    def rows(self) -> tuple[Rows, Rows]:
        bids, asks = self.sides
        return (
            [(format(price, "f"), format(bids[price], "f")) for price in sorted(bids, reverse=True)],
            [(format(price, "f"), format(asks[price], "f")) for price in sorted(asks)],
        )


@dataclass
class Tape:
    """What a venue sends, and how a link that subscribes in between begins."""

    shapes: str
    messages: list[str]
    read: Callable[[str], list[Update]]
    whole: Callable[[str, int, PlainBook], str] | None
    """A message with the whole book, for venues that send one at a subscription."""
    rest: dict[str, str] = field(default_factory=dict)
    """REST bodies that join at the start, by symbol."""
    numbered: bool = True
    books: dict[str, PlainBook] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.updates = [self.read(text) for text in self.messages]
        named = [*self.rest, *(update.symbol for updates in self.updates for update in updates)]
        self.symbols = list(dict.fromkeys(named))
        self.truth: list[dict[str, tuple[int, int]]] = []
        """After each message: number and sum of each book."""
        self.valid: dict[str, dict[int, set[int]]] = {symbol: {} for symbol in self.symbols}
        """Sums that a book may have at a number."""
        books = {symbol: PlainBook() for symbol in self.symbols}
        now: dict[str, tuple[int, int]] = {}
        for symbol, body in self.rest.items():
            message = json.loads(body)
            at = message["lastUpdateId"]
            books[symbol].take(Update(symbol, at, whole=True, bids=message["bids"], asks=message["asks"]))
            self._note(now, symbol, at, books[symbol])
        for updates in self.updates:
            for update in updates:
                if update.whole or update.last > now.get(update.symbol, (0, 0))[0] or not self.rest:
                    books[update.symbol].take(update)
                    self._note(now, update.symbol, update.last, books[update.symbol])
            self.truth.append(dict(now))
        self.books = books

    def _note(self, now: dict[str, tuple[int, int]], symbol: str, last: int, book: PlainBook) -> None:
        now[symbol] = (last, book.sum)
        self.valid[symbol].setdefault(last, set()).add(book.sum)

    def first_messages(self, at: int) -> list[str]:
        """What a link that subscribes behind message `at` is sent first: whole books as of then."""
        if self.whole is None:
            return []
        books: dict[str, PlainBook] = {symbol: PlainBook() for symbol in self.symbols}
        last: dict[str, int] = {}
        for updates in self.updates[: at + 1]:
            for update in updates:
                books[update.symbol].take(update)
                last[update.symbol] = update.last
        return [self.whole(symbol, number, books[symbol]) for symbol, number in last.items()]


def received(path: Path, most: int | None = None) -> list[str]:
    """Texts that a recorded session received."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for number, line in enumerate(file) if most is None or number < most]
    data = (
        line["d"] if "d" in line else b64decode(line["b"]).decode() for line in lines if line["k"] == "recv"
    )
    return list(data)


def binance(name: str, path: Path, most: int) -> Tape:
    """Binance: REST book, then diffs, trades and best quotes."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for number, line in enumerate(file) if number < most]
    body = next(line["d"] for line in lines if line["k"] == "http" and "lastUpdateId" in line["d"])
    texts = [line["d"] for line in lines if line["k"] == "recv"]

    def read(text: str) -> list[Update]:
        data = json.loads(text).get("data", {})
        if data.get("e") != "depthUpdate":
            return []
        return [Update(data["s"], data["u"], whole=False, bids=data["b"], asks=data["a"])]

    symbol = next(update.symbol for text in texts for update in read(text))
    joins = json.loads(body)["lastUpdateId"]
    # From the diff that joins on: what is before it is in the snapshot.
    first = next(n for n, text in enumerate(texts) if read(text) and read(text)[0].last >= joins)
    return Tape(venue_by_name(name).shapes_json, texts[first:], read, None, rest={symbol: body})


def bybit_spot(path: Path, most: int, restart_at: int = 0) -> Tape:
    """Bybit v5; `restart_at`: behind so many books of a symbol the service restarts, with `u` from 1."""
    texts: list[str] = []
    seen: dict[str, int] = {}
    books: dict[str, PlainBook] = {}
    for text in received(path, most):
        message = json.loads(text)
        if not str(message.get("topic", "")).startswith(("orderbook.", "publicTrade")):
            continue
        if message["topic"].startswith("publicTrade"):
            texts.append(text)
            continue
        (update,) = _bybit_read(text)
        book = books.setdefault(update.symbol, PlainBook())
        book.take(update)
        seen[update.symbol] = seen.get(update.symbol, 0) + 1
        if restart_at and seen[update.symbol] > restart_at:
            number = seen[update.symbol] - restart_at
            if number == 1:
                texts.append(_bybit_whole(update.symbol, 1, book))
                continue
            message["data"]["u"] = number
        texts.append(json.dumps(message))
    return Tape(venue_by_name("bybit_linear").shapes_json, texts, _bybit_read, _bybit_whole)


def _bybit_read(text: str) -> list[Update]:
    message = json.loads(text)
    if not str(message.get("topic", "")).startswith("orderbook."):
        return []
    data, whole = message["data"], message["type"] == "snapshot"
    return [Update(data["s"], data["u"], whole=whole, bids=data["b"], asks=data["a"])]


def _bybit_whole(symbol: str, last: int, book: PlainBook) -> str:
    bids, asks = book.rows()
    data = {"s": symbol, "b": bids, "a": asks, "u": last, "seq": 1}
    message = {"topic": f"orderbook.200.{symbol}", "type": "snapshot", "ts": 1, "cts": 1, "data": data}
    return json.dumps(message)


def okx_numbered(path: Path, reset_at: int = 0) -> Tape:
    """OKX books of 2022, numbered as OKX numbers them since: `seqId` grows with holes, `prevSeqId` names the
    one before, a keep-alive repeats it; behind `reset_at` updates a maintenance sets it back."""
    texts: list[str] = []
    last: dict[str, int] = {}
    seen: dict[str, int] = {}
    for text in received(path):
        message = json.loads(text)
        action, symbol = message.get("action"), message.get("arg", {}).get("instId")
        if "data" not in message or (action is None and message["arg"]["channel"] != "trades"):
            continue
        if action is None:
            texts.append(text)
            continue
        seen[symbol] = seen.get(symbol, 0) + 1
        data = message["data"][0]
        data.pop("checksum", None)
        data["prevSeqId"] = -1 if action == "snapshot" else last[symbol]
        step = 1 + seen[symbol] % 3
        last[symbol] = 3 if seen[symbol] == reset_at else last.get(symbol, 1_000_000) + step
        data["seqId"] = last[symbol]
        texts.append(json.dumps(message))
        if seen[symbol] % 10 == 0:
            data.update(bids=[], asks=[], prevSeqId=last[symbol])
            texts.append(json.dumps(message))
    return Tape(venue_by_name("okx_swap").shapes_json, texts, _okx_read, _okx_whole)


def _okx_read(text: str) -> list[Update]:
    message = json.loads(text)
    if "action" not in message:
        return []
    data = message["data"][0]
    bids, asks = ([(row[0], row[1]) for row in data[side]] for side in ("bids", "asks"))
    whole = message["action"] == "snapshot"
    return [Update(message["arg"]["instId"], data["seqId"], whole=whole, bids=bids, asks=asks)]


def _okx_whole(symbol: str, last: int, book: PlainBook) -> str:
    bids, asks = ([[price, qty, "0", "1"] for price, qty in side] for side in book.rows())
    data = {"bids": bids, "asks": asks, "ts": "1", "prevSeqId": -1, "seqId": last}
    return json.dumps({"arg": {"channel": "books", "instId": symbol}, "action": "snapshot", "data": [data]})


def upbit_spot(path: Path) -> Tape:
    """Upbit: each message is a whole book without a number; here its place in the session is one."""
    texts = [text for text in received(path) if '"trade"' in text or '"orderbook"' in text]
    number = iter(range(1, len(texts) + 1))

    def read(text: str) -> list[Update]:
        message = json.loads(text, parse_float=Decimal, parse_int=Decimal)
        units = message.get("orderbook_units", message.get("obu"))
        last = next(number)
        if units is None:
            return []
        short = "obu" in message
        names = ("bp", "bs", "ap", "as") if short else ("bid_price", "bid_size", "ask_price", "ask_size")
        rows = [tuple(str(unit[name]) for name in names) for unit in units]
        return [
            Update(
                message.get("code", message.get("cd")),
                last,
                whole=True,
                bids=[(row[0], row[1]) for row in rows if Decimal(row[0])],
                asks=[(row[2], row[3]) for row in rows if Decimal(row[2])],
            )
        ]

    return Tape(venue_by_name("upbit").shapes_json, texts, read, None, numbered=False)


def coinbase_exchange(path: Path, most: int) -> Tape:
    """Coinbase Exchange: a whole book at the subscription, changes without number."""
    texts = received(path, most)

    number = 0

    def read(text: str) -> list[Update]:
        nonlocal number
        number += 1
        message = json.loads(text)
        match message.get("type"):
            case "snapshot":
                bids, asks = ([(price, qty) for price, qty in message[side]] for side in ("bids", "asks"))
                return [Update(message["product_id"], number, whole=True, bids=bids, asks=asks)]
            case "l2update":
                changes = message["changes"]
                bids = [(price, qty) for side, price, qty in changes if side == "buy"]
                asks = [(price, qty) for side, price, qty in changes if side == "sell"]
                return [Update(message["product_id"], number, whole=False, bids=bids, asks=asks)]
            case _:
                return []

    def whole(symbol: str, last: int, book: PlainBook) -> str:
        bids, asks = book.rows()
        return json.dumps({"type": "snapshot", "product_id": symbol, "bids": bids, "asks": asks})

    return Tape(venue_by_name("coinbase_exchange").shapes_json, texts, read, whole, numbered=False)


class Consumer:
    """Reads the wire: a receiver, and the books put together from deltas alone."""

    def __init__(self) -> None:
        self.receiver = _core.Receiver(accept_replay=True)
        self.symbols: dict[int, str] = {}
        """By number on the wire, which tells them."""
        self.books: dict[str, PlainBook] = defaultdict(PlainBook)
        self.seen: dict[str, list[tuple[int, int]]] = defaultdict(list)
        """Number and sum of the book after each event. A book that leaves once more because its exponents are
        finer now is none.
        """
        self._redefined: set[str] = set()
        self.states: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.trades: list[tuple[str, int, int]] = []
        self.resets = 0
        self.now_ns = 1_000_000_000

    def read(self, publisher: _core.Publisher) -> None:
        for plane, datagram in publisher.take():
            self.now_ns += MS // 5
            self.receiver.datagram(plane, datagram, 0, self.now_ns)
            self.receiver.timer(self.now_ns)
            if plane == 0:
                self.take(_core.decode_frame(datagram))

    def take(self, frame: dict[str, Any]) -> None:
        """A message of the wire."""
        if not frame["instrument"]:
            return
        if frame["msg"] == "INSTRUMENT_DEF":
            native: bytes = frame["root"]["native_symbol"]
            symbol = self.symbols[frame["instrument"]] = native.rstrip(b"\0").decode()
            if frame["root"]["def_version"] > 1:
                self._redefined.add(symbol)
        symbol = self.symbols[frame["instrument"]]
        match frame["msg"]:
            case "BOOK_DELTA" | "BOOK_SNAPSHOT":
                self._book(symbol, frame)
            case "STATUS":
                self.states[symbol].append((frame["root"]["state"], frame["root"]["reason"]))
            case "TRADE":
                for trade in frame["records"]:
                    self.trades.append((symbol, trade["trade_id"], trade["trade_ts"]))

    def not_live(self) -> dict[str, list[int]]:
        """States of instruments that were live and then not, at some time."""
        found = {}
        for symbol, states in self.states.items():
            numbers = [state for state, _ in states]
            if LIVE in numbers and set(numbers[numbers.index(LIVE) :]) != {LIVE}:
                found[symbol] = numbers
        return found

    def _book(self, symbol: str, frame: dict[str, Any]) -> None:
        book = self.books[symbol]
        if frame["flags"] & 32:
            book.clear()
            self.resets += 1
        for number, level in enumerate(frame["records"]):
            side = 0 if number < frame["root"]["n_bids"] else 1
            price = Decimal(level["price"]).scaleb(frame["price_exp"])
            book.set(side, price, Decimal(level["qty"]).scaleb(frame["qty_exp"]))
        if frame["flags"] & 1:
            now = frame["source_seq"], book.sum
            if symbol not in self._redefined or self.seen[symbol][-1:] != [now]:
                self.seen[symbol].append(now)
            self._redefined.discard(symbol)


class TwoLinks:
    """A feed that hears a tape on two connections, each late by delays of its own."""

    def __init__(self, tape: Tape, seed: int, *, lag_ms: tuple[int, int] = (0, 40)) -> None:
        self.tape = tape
        self.random = random.Random(seed)  # noqa: S311 - a repeatable schedule, no secret
        self.lag_ms = lag_ms
        self.publisher = _core.Publisher.memory()
        self.feed = _core.Feed(
            self.publisher,
            venue=VENUE,
            channel=VENUE,
            session=90_000_001,
            publisher_id=1,
            shapes=tape.shapes,
            build="test",
            replay=True,
            start_ns=1,
        )
        self.consumer = Consumer()
        for number, symbol in enumerate(tape.symbols):
            proven = {"book_proof": int(tape.numbered)}
            self.feed.add_instrument(**Bench.instrument(symbol, FIRST_ID + number, (8, 8)) | proven)
        self.all = list(range(len(tape.symbols)))
        for symbol, body in tape.rest.items():
            self.feed.on_snapshot(tape.symbols.index(symbol), body.encode(), 1)
        self.notices: list[tuple[str, int, int, int, str]] = []
        self.dead: set[int] = set()

    def deliveries(self, begin: int, end: int) -> Iterator[tuple[int, int, int, str]]:
        """(time in ms, link, message, text), where the new link subscribes behind message `begin` and the
        old one ends behind `end`. A message comes each ms."""
        events: list[tuple[int, int, int, str]] = []
        for link in (OLD, NEW):
            at = 0
            span = self.lag_ms[1] - self.lag_ms[0]
            calm = self.random.randrange(1, 12)
            if link == NEW:
                for text in self.tape.first_messages(begin):
                    at = max(at, begin + self.lag_ms[0] + self.random.randrange(span))
                    events.append((at, link, begin, text))
            for number, text in enumerate(self.tape.messages):
                if (link == OLD and number > end) or (link == NEW and number <= begin):
                    continue
                late = self.lag_ms[0] + (self.random.randrange(span) if number % calm == 0 else 0)
                at = max(at, number + late)
                events.append((at, link, number, text))
        return iter(sorted(events, key=lambda event: event[:2]))

    def take(self, at_ms: int, link: int, text: str) -> None:
        if link not in self.dead:
            self.feed.on_frame(link, text.encode(), (1_000 + at_ms) * MS)
        self.notice()

    def notice(self) -> None:
        self.notices.extend(self.feed.notices())
        self.consumer.read(self.publisher)

    def kill(self, link: int, at_ms: int) -> None:
        self.dead.add(link)
        self.feed.disconnected(self.all, (1_000 + at_ms) * MS, link)
        self.notice()

    def switched(self) -> set[int]:
        return {index for kind, index, *_ in self.notices if kind == "SWITCHED"}
