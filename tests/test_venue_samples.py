"""Declarations of venues without a connector on single messages: those of the samples folder, and those that
the exchange fact sheets quote. For checksums, what the core keeps of the text is enough.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import plain_venues as plain
from core_events import CONNECTION, Decoder, Reader
from outcrier.venues import bitfinex, kraken
from plain_events import Plain, hashed, parse, received

FOLDERS: dict[str, tuple[str, Plain]] = {
    "kraken": (kraken.SHAPES_JSON, plain.kraken),
}

# Messages that the fact sheets quote: recordings of the tardis-node project (test/mappers.test.ts), the
# venues' documentation, and for Coinbase Exchange a recording of 2026-08-25.
KRAKEN = [
    '{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.3947558}],"asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}',
    '{"channel":"trade","type":"update","data":[{"symbol":"ETH/USDT","side":"sell","price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}',
    '{"channel":"ticker","type":"update","data":[{"symbol":"ANETx/USD","bid":0,"bid_qty":0,"ask":0,"ask_qty":0,"timestamp":"1970-01-01T00:00:00.000000Z"}]}',
]
BITFINEX = [
    '{"event":"subscribed","channel":"book","chanId":6959,"symbol":"tETHUSD","prec":"P0","freq":"F0","len":"25","pair":"ETHUSD"}',
    '{"event":"subscribed","channel":"trades","chanId":89,"symbol":"tBTCUSD","pair":"BTCUSD"}',
    '{"event":"subscribed","channel":"ticker","chanId":147794,"symbol":"tBTCUSD","pair":"BTCUSD"}',
    "[6959,[[216,2,31.52],[218.75,1,-13.33333333],[218.76,1,-2]],10,1564617600541]",
    "[6959,[219.11,3,-18.10913638],45,1564617601214]",
    "[6959,[218.99,0,-1],61,1564617601769]",
    '[6959,"hb",3603,1569715249702]',
    '[89,"te",[382489563,1564617600709,0.00705845,10087.98969503],18,1564617600784]',
    '[89,"tu",[382489563,1564617600709,0.00705845,10087.98969503],19,1564617600834]',
    "[147794,[71741,0.26742262,71760,1.22665447,647,0.00909896,71754,900.8715945,73120,70434,null],1,1775779200144]",
]
DERIV_STATUS = [
    '{"event":"subscribed","channel":"status","chanId":1,"key":"deriv:tBTCF0:USTF0","symbol":"tBTCF0:USTF0"}',
    "[1,[1596124822000,null,0.896,0.771995,null,1396531.67460709,null,1596153600000,0.0001056,6,null,-0.01381344,null,null,0.7664,null,null,246502.09001551,null,null,null,null,0.3]]",
]

QUOTED: list[tuple[str, list[str], str, Callable[[], Plain]]] = [
    ("kraken", KRAKEN, kraken.SHAPES_JSON, lambda: plain.kraken),
    ("bitfinex", BITFINEX, bitfinex.SHAPES_JSON, lambda: plain.Bitfinex(timed=True)),
    ("bitfinex_status", DERIV_STATUS, bitfinex.SHAPES_JSON, plain.Bitfinex),
]


@pytest.mark.parametrize(("name", "quoted", "shapes", "decode"), QUOTED, ids=[each[0] for each in QUOTED])
def test_messages_that_the_fact_sheets_quote(
    name: str, quoted: list[str], shapes: str, decode: Callable[[], Plain]
) -> None:
    assert compare(Reader(shapes), [text.encode() for text in quoted], decode())


@pytest.mark.parametrize("venue", FOLDERS)
def test_the_samples_folder(venue: str, data_dir: Path) -> None:
    shapes, decode = FOLDERS[venue]
    paths = sorted((data_dir / "samples" / venue).glob("ws_*.json"))
    assert compare(Reader(shapes), [path.read_bytes() for path in paths], decode) >= 3


class TextBook:
    """A side by price: what the core says of a level, printed as the venue printed it."""

    def __init__(self) -> None:
        self.bids: dict[int, tuple[str, str]] = {}
        self.asks: dict[int, tuple[str, str]] = {}

    def apply(self, event: dict[str, Any], depth: int) -> None:
        if event["snapshot"]:
            self.bids, self.asks = {}, {}
        price_exp, qty_exp = event["exps"]
        for name, side in (("bid", self.bids), ("ask", self.asks)):
            for (price, qty), (_, _, *digits) in zip(event[f"{name}s"], event[f"{name}_extras"], strict=True):
                side.pop(price, None)
                if qty:
                    side[price] = text(price, price_exp, digits[0]), text(qty, qty_exp, digits[1])
        self.bids = dict(sorted(self.bids.items(), reverse=True)[:depth])
        self.asks = dict(sorted(self.asks.items())[:depth])


def text(mantissa: int, exp: int, digits: int) -> str:
    return f"{Decimal(mantissa).scaleb(exp):.{digits}f}"


def kraken_crc(book: TextBook) -> int:
    """CRC32 over price and quantity, without point and leading zeros, of ten asks and then ten bids."""
    levels = [*book.asks.values(), *book.bids.values()]
    digits = [number.replace(".", "").lstrip("0") for level in levels for number in level]
    return zlib.crc32("".join(digits).encode())


@pytest.mark.parametrize(
    ("name", "shapes", "rule", "checked"),
    [
        ("kraken/v2_book10_btcusd_2026-08-24", kraken.SHAPES_JSON, (kraken_crc, kraken.DEPTH), 4),
    ],
)
def test_the_text_that_checksums_need_is_kept(
    name: str,
    shapes: str,
    rule: tuple[Callable[[TextBook], int], int],
    checked: int,
    capture: Callable[[str], Path],
) -> None:
    crc, depth = rule
    reader = Reader(shapes)
    books: dict[int, TextBook] = {}
    checks = 0
    for frame in received(capture(name)):
        message = parse(frame)
        symbol = message.get("arg", {}).get("instId") or (message.get("data") or [{}])[0].get("symbol")
        if symbol is not None and symbol not in reader.symbols:
            reader.add(symbol)
        reader.read(frame)
        for event in reader.decoder.events():
            if event["type"] == "book":
                book = books.setdefault(event["instrument"], TextBook())
                book.apply(event, depth)
                assert crc(book) == event["checksum"], (symbol, checks)
                checks += 1
    assert checks == checked


def test_numbers_of_bitfinex_are_those_of_a_connection() -> None:
    reader = Reader(bitfinex.SHAPES_JSON)
    index = reader.add("tBTCUSD")
    reader.decoder.bind(CONNECTION + 1, 6959, index, "book")
    frame = b"[6959,[219.11,3,-18.1],45,1564617601214]"
    assert reader.read(frame) == Decoder.UNKNOWN_INSTRUMENT
    assert reader.decoder.reason == "6959"
    reader.decoder.bind(CONNECTION, 6959, index, "book")
    assert reader.read(frame) == Decoder.HANDLED
