"""Recorded sessions for changes of socket: as stand-ins play them, and the plain truth of them."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from conformance.reference import Reference, references
from feeder_scene import CONN, STATUS, CaptureFinder, Wire
from outcrier.capture.library import list_of
from outcrier.capture.stand_in import StandIn
from outcrier.venue_numbers import VENUE_NUMBERS
from outcrier.venues import VENUES, Venue
from overlaps import Consumer, PlainBook
from plain_events import Book, Trade, hashed, parse

SECOND_NS = 1_000_000_000
QUIET_NS = 86_400 * SECOND_NS
"""After the last message comes a quiet market: where a recording ends, a stand-in closes."""

Edit = Callable[[str], Iterator[str]]
"""What a venue would send instead of a recorded message."""


class OkxToday:
    """Messages of 2022 as swaps have them today: their books are numbered. Checksums are as recorded."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def __call__(self, text: str) -> Iterator[str]:
        message = json.loads(text)
        arg = message.get("arg", {})
        if "data" not in message or arg["channel"] not in {"books", "trades"}:
            return
        native = arg["instId"] = "-".join([*arg["instId"].split("-")[:2], "SWAP"])
        for row in message["data"]:
            if arg["channel"] == "trades":
                row["instId"] = native
                continue
            before = self._last.get(native, 1_000)
            row["prevSeqId"] = -1 if message["action"] == "snapshot" else before
            row["seqId"] = self._last[native] = before + 1 + before % 3
        yield json.dumps(message, separators=(",", ":"))


class KrakenV2:
    """Books of Kraken v1 as v2 sends them: the best ten levels, and of changes what concerns those. The one
    recording of v2 has four messages of a book. The checksum is the same in both, of the same ten levels.
    """

    DEPTH = 10

    def __init__(self) -> None:
        self._books: dict[str, tuple[dict[str, str], dict[str, str]]] = defaultdict(lambda: ({}, {}))

    def __call__(self, text: str) -> Iterator[str]:
        message = json.loads(text)
        if not isinstance(message, list):
            return
        _, *parts, _, pair = message
        rows = {name: value for part in parts for name, value in part.items()}
        snapshot, sides = "as" in rows, self._books[pair]
        before = ({}, {}) if snapshot else self._best(sides)
        times = []
        for side, name in zip(sides, ("bs", "as") if snapshot else ("b", "a"), strict=True):
            for price, qty, time, *_ in rows.get(name, ()):
                times.append(Decimal(time))
                side.pop(price, None)
                if Decimal(qty):
                    side[price] = qty
        best = self._best(sides)
        crc = self._checksum(best)
        assert snapshot or crc == int(rows["c"]), text
        changed = [
            [level for level in after.items() if level[1] != old.get(level[0])]
            + [(price, "0.00000000") for price in old if price not in side]
            for side, after, old in zip(sides, best, before, strict=True)
        ]
        if any(changed):
            bids, asks = (
                ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in levels) for levels in changed
            )
            kind = "snapshot" if snapshot else "update"
            at = datetime.fromtimestamp(int(max(times)), UTC).strftime("%Y-%m-%dT%H:%M:%S")
            symbol = pair.replace("XBT", "BTC")
            yield (
                f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{bids}],'
                f'"asks":[{asks}],"checksum":{crc},"timestamp":"{at}.{max(times) % 1 * 10**6:06.0f}Z"}}]}}'
            )

    def _best(self, sides: tuple[dict[str, str], dict[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
        bids, asks = (
            dict(sorted(side.items(), key=lambda level: Decimal(level[0]), reverse=is_bid)[: self.DEPTH])
            for side, is_bid in zip(sides, (True, False), strict=True)
        )
        return bids, asks

    @staticmethod
    def _checksum(best: tuple[dict[str, str], dict[str, str]]) -> int:
        words = (word for side in reversed(best) for level in side.items() for word in level)
        return zlib.crc32("".join(word.replace(".", "").lstrip("0") for word in words).encode())


@dataclass(frozen=True)
class Played:
    """A recording, or its beginning, as a stand-in plays it for so many seconds."""

    path: Path
    speed: float

    @classmethod
    def of(cls, source: Path, folder: Path, seconds: float, edit: Edit | None) -> Played:
        with gzip.open(source, "rt", encoding="utf-8") as file:
            lines = [json.loads(text) for text in file]
        begin = next(line["t"] for line in lines)
        lines = [line for line in lines if line["t"] - begin <= seconds * SECOND_NS]
        span_s = (lines[-1]["t"] - begin) / SECOND_NS
        if edit is not None:
            lines = [
                {**line, "u": None, "d": text}
                for line in lines
                if line["k"] == "recv"
                for text in edit(line["d"])
            ]
        lines.append({"t": lines[-1]["t"] + QUIET_NS, "k": "send", "u": None, "d": ""})
        path = folder / source.parent.name / f"{source.name.removesuffix('.gz')}"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
        return cls(path, span_s / seconds)


@dataclass
class Truth:
    """What a session says, by `json` and `Decimal` alone."""

    states: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """Number and sum of each book after each of its messages; without numbers 0."""
    trades: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Ids."""

    @classmethod
    def of(cls, venue: Venue, reference: Reference, path: Path) -> Truth:
        truth, decode = cls(), reference.plain()
        books: dict[str, PlainBook] = {}
        lines: list[dict[str, Any]] = [json.loads(text) for text in path.read_text("utf-8").splitlines()]
        for line in lines:  # A whole book by REST is where changes begin.
            if line["k"] == "http" and reference.rest and venue.is_snapshot(line["u"], line["d"]):
                symbol = venue.snapshot_symbol(line["u"], line["d"]) or next(
                    event.symbol
                    for each in lines
                    for event in events_of(decode, each)
                    if isinstance(event, Book)
                )
                if symbol not in books:
                    truth._take(books, reference.rest(parse(line["d"]), symbol), reference.depth)
        for line in lines:
            for event in events_of(decode, line):
                if isinstance(event, Trade) and event.id:
                    truth.trades[event.symbol].append(int(event.id.removeprefix("xxh3:")))
                elif isinstance(event, Book):
                    before = truth.states[event.symbol]
                    is_old = reference.rest and before and (event.last or 0) <= before[-1][0]
                    if not is_old and (event.snapshot or event.symbol in books):
                        truth._take(books, event, reference.depth)
        return truth

    def _take(self, books: dict[str, PlainBook], event: Book, depth: int) -> None:
        book = books.setdefault(event.symbol, PlainBook())
        if event.snapshot:
            book.clear()
        for side, levels in enumerate((event.bids, event.asks)):
            for price, qty in levels:
                book.set(side, price, qty)
        if depth:
            book.cut(depth)
        self.states[event.symbol].append((event.last or 0, book.sum))

    def is_heard(self, consumer: Consumer) -> bool:
        """Whether every book on the wire is the last one, and every last trade came of those whose trades
        came at all: some have none but the history that was sent before a slow machine had subscribed.
        """
        if not all(consumer.seen[symbol][-1:] == states[-1:] for symbol, states in self.states.items()):
            return False
        heard = {number for _, number, _ in consumer.trades}
        return all(ids[-1] in heard for ids in self.trades.values() if not heard.isdisjoint(ids))

    def check_numbered(self, consumer: Consumer, new_links: int) -> None:
        """From the first book on the wire every update once, in order, each with the book right after it. A
        new link begins with a whole book: where that is ahead of the old link it brings several in one.
        """
        for symbol, states in self.states.items():
            seen = consumer.seen[symbol]
            numbers = [number for number, _ in states]
            begin = numbers.index(seen[0][0])
            at, ahead = begin, 0
            for each in seen:
                found = numbers.index(each[0], at)
                assert each == states[found], f"{symbol}: {each} {states[found]}"
                ahead += found > at
                at = found + 1
            assert at == len(states), f"{symbol}: ends with {seen[-1]}"
            assert ahead <= new_links, f"{symbol}: {ahead} jumps, {new_links} new links"

    def check_books(self, consumer: Consumer) -> None:
        """Every book on the wire was one of the exchange's, and the last is the last."""
        for symbol, states in self.states.items():
            known, seen = {total for _, total in states}, [total for _, total in consumer.seen[symbol]]
            assert [at for at, total in enumerate(seen) if total not in known] == [], symbol
            assert seen[-1] == states[-1][1], symbol

    def check_trades(self, consumer: Consumer) -> int:
        """From the first trade on the wire each once; how many."""
        total = 0
        for symbol, ids in self.trades.items():
            heard = [number for name, number, _ in consumer.trades if name == symbol]
            known = list(dict.fromkeys(ids))
            if heard:
                first = min(map(known.index, heard))
                assert sorted(heard) == sorted(known[first:]), symbol
            total += len(heard)
        return total


def events_of(decode: Callable[[Any], Any], line: dict[str, Any]) -> list[Any]:
    """Of a message that came over the connection."""
    if line["k"] != "recv":
        return []
    text = line["d"] if "d" in line else base64.b64decode(line["b"]).decode()
    return hashed(list(decode(parse(text)) or ()))


@dataclass(frozen=True)
class Case:
    """A recording, and what its venue would send instead today."""

    capture: str
    numbered: bool
    edit: Callable[[], Edit] | None = None


CASES: Final = {
    "binance_usdm": Case("binance_usdm/usdm_btcusdt_2024-08-08", numbered=True),
    "binance": Case("binance/spot_btcusdt_2024-08-08", numbered=True),
    "okx_swap": Case("okx/v5_public_2022-05-13", numbered=True, edit=OkxToday),
    "bybit_linear": Case("bybit/v5_linear_2026-08-09", numbered=True),
    "kraken_futures": Case("kraken_futures/v1_2021-07-22", numbered=True),
    "deribit": Case("deribit/v2_2021-07-22", numbered=True),
    "kraken": Case("kraken/v1_book_2021-04-17", numbered=False, edit=KrakenV2),
    "okx_2022": Case("okx/v5_tbt_2022-02-27", numbered=False),
    "upbit": Case("upbit/spot_2021-04-17", numbered=False),
    "coinbase_exchange": Case("coinbase/exchange_2021-04-17", numbered=False),
}


def brief(monkeypatch: pytest.MonkeyPatch, name: str, seconds: float) -> None:
    """Links of this venue live for seconds."""
    venue = VENUES[name]
    keepalive = msgspec.structs.replace(venue.keepalive, lifetime_s=seconds)
    monkeypatch.setattr(venue, "keepalive", keepalive)


@dataclass
class Heard:
    """What left the feeder, taken as it comes: minutes of it do not stay."""

    wire: Wire = field(default_factory=Wire)
    consumers: dict[int, Consumer] = field(default_factory=dict)
    """By number of the venue."""
    connections: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """What is told of connections."""
    lag_s: float = 0.0
    """How long the process stood still at most."""

    def hear(self) -> None:
        for plane, frame in self.wire.hear():
            if plane:
                continue
            self.consumers.setdefault(frame["venue"], Consumer()).take(frame)
            if frame["msg_type"] == CONN or (frame["msg_type"] == STATUS and frame["root"]["scope"] == 4):
                self.connections.setdefault(frame["venue"], []).append(frame)
        self.wire.frames.clear()

    def of(self, name: str) -> Consumer:
        return self.consumers.setdefault(VENUE_NUMBERS[name], Consumer())

    def hear_all(self, truths: Mapping[str, Truth]) -> bool:
        """Takes what has left; whether every book is the last one."""
        self.hear()
        return all(truth.is_heard(self.of(name)) for name, truth in truths.items())


def staged(
    names: Iterable[str], capture: CaptureFinder, folder: Path, seconds: float
) -> tuple[list[StandIn], dict[str, Truth]]:
    """Stand-ins that play for so long, and what they will have said."""
    stand_ins, truths = [], {}
    for name in names:
        case, venue = CASES[name], VENUES[name]
        source, own = capture(case.capture), folder / name
        own.mkdir()
        played = Played.of(source, own, seconds, case.edit and case.edit())
        truths[name] = Truth.of(venue, references()[name], played.path)
        listed = list_of(venue, [source])
        stand_ins.append(StandIn(venue, [played.path], instruments=listed, speed=played.speed))
    return stand_ins, truths
