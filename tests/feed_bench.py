"""A feed with a memory publisher, driven from a capture: shared by the tests of feed, wire and receiver."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from naive import NaiveBook
from outcrier import _core
from outcrier.venues import venue_by_name


@dataclass
class Line:
    """One line of a capture."""

    t: int
    kind: str
    url: str | None
    text: str
    message: Any

    @property
    def symbol(self) -> str | None:
        """Native symbol the line is about, where it says so."""
        if self.kind == "http":
            asked = parse_qs(urlsplit(self.url or "").query).get("symbol")
            return asked[0] if asked else self.message.get("symbol")
        payload = self.message.get("data", self.message)
        named: str | None = payload.get("s")
        return named

    @property
    def is_diff(self) -> bool:
        return self.kind == "recv" and "@depth" in self.message.get("stream", "")


def lines(*paths: Path, most: int | None = None) -> Iterator[Line]:
    """Lines of captures, one file after the other."""
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, text in enumerate(file):
                if most is not None and number >= most:
                    break
                raw = json.loads(text)
                yield Line(raw["t"] or 0, raw["k"], raw["u"], raw["d"], json.loads(raw["d"]))


@dataclass
class Bench:
    """A `_core.Feed` of one venue and the naive books beside it."""

    venue_name: str
    digits: tuple[int, int] = (0, 0)
    replay: bool = True
    pack: bool = False
    infer_orders: bool = False
    publisher: _core.Publisher = field(default_factory=_core.Publisher.memory)
    indices: dict[str, int] = field(default_factory=dict)
    naive: dict[str, NaiveBook] = field(default_factory=dict)
    notices: list[tuple[str, int, int, int, str]] = field(default_factory=list)
    for_python: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        declared = venue_by_name(self.venue_name)
        self.chain = self.venue_name in {"binance_usdm", "binance_coinm"}
        self.feed = _core.Feed(
            self.publisher,
            venue=declared.number,
            channel=declared.number,
            session=90_000_001,
            publisher_id=77,
            shapes=declared.shapes_json,
            build="test",
            replay=self.replay,
            pack=self.pack,
            start_ns=1,
            infer_orders=self.infer_orders,
        )

    @staticmethod
    def instrument(symbol: str, wire_id: int, digits: tuple[int, int] = (0, 0)) -> dict[str, Any]:
        """Arguments of `add_instrument` with coarse exponents, which the capture refines."""
        return {
            "instrument": wire_id,
            "native_symbol": symbol,
            "symbol": symbol,
            "kind": 2,
            "price_exp": -digits[0],
            "qty_exp": -digits[1],
            "tick_size": 0,
            "lot_size": 0,
            "min_qty": 0,
            "contract_size": 1,
            "contract_exp": 0,
            "qty_unit": 1,
            "book_proof": 1,
            "base": "",
            "quote": "",
            "settle": "",
            "status": 1,
            "recv_ns": 1,
        }

    def add(self, symbol: str, **changes: Any) -> int:
        """Adds an instrument."""
        values = self.instrument(symbol, 1_000 + len(self.indices), self.digits)
        index = self.feed.add_instrument(**{**values, **changes})
        self.indices[symbol] = index
        self.naive[symbol] = NaiveBook(self.chain)
        return index

    def take(self, line: Line, only: str | None = None) -> None:
        """Feeds one line to the feed and to the naive book; instruments are added as they appear."""
        symbol = line.symbol or only or next(iter(self.indices), None)
        if line.kind == "http":
            assert symbol is not None
            if symbol not in self.indices:
                self.add(symbol)
            self.naive[symbol].snapshot(line.text)
            bits = self.feed.on_snapshot(self.indices[symbol], line.text.encode(), line.t)
        else:
            if symbol is not None and symbol not in self.indices:
                self.add(symbol)
            if line.is_diff and symbol is not None:
                self.naive[symbol].diff(line.message["data"])
            bits = self.feed.on_frame(1, line.text.encode(), line.t)
            if bits & _core.FOR_PYTHON:
                self.for_python.append(line.text)
        if bits & _core.NOTICES:
            self.notices.extend(self.feed.notices())

    def kinds(self) -> list[str]:
        """Kinds of the notices so far."""
        return [kind for kind, *_ in self.notices]

    def sides(self, symbol: str) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """The feed's book in decimals."""
        index = self.indices[symbol]
        price_exp, qty_exp = self.feed.scale(index)
        bids, asks = self.feed.book(index)
        return (
            [(Decimal(price).scaleb(price_exp), Decimal(qty).scaleb(qty_exp)) for price, qty in bids],
            [(Decimal(price).scaleb(price_exp), Decimal(qty).scaleb(qty_exp)) for price, qty in asks],
        )


def decoded(publisher: _core.Publisher) -> list[dict[str, Any]]:
    """Frames sent on the incremental plane since the last call."""
    return [_core.decode_frame(frame) for plane, frame in publisher.take() if plane == 0]
