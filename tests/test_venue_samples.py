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
from outcrier.venues import bitfinex, bybit, okx
from outcrier.venues.kraken import DEPTH, KRAKEN
from plain_events import Plain, hashed, parse, received

FOLDERS: dict[str, tuple[str, Plain]] = {
    "bybit": (bybit.SHAPES_JSON, plain.bybit),
    "okx": (okx.SHAPES_JSON, plain.okx),
}

# Messages that the fact sheets quote: recordings of the tardis-node project (test/mappers.test.ts), the
# venues' documentation, and for Coinbase Exchange a recording of 2026-08-25.
BYBIT = [
    '{"topic":"publicTrade.BTCUSD","type":"snapshot","ts":1680673823566,"data":[{"T":1680673823564,"s":"BTCUSD","S":"Buy","v":"5823","p":"28560.50","L":"PlusTick","i":"0cbf2330-952d-5d03-a462-4bf826c867af","BT":false}]}',
    '{"topic":"publicTrade.BTCUSDT","ts":1680652847526,"type":"snapshot","data":[{"i":"2290000000050703789","T":1680652847524,"p":"28165.38","v":"0.041732","S":"Sell","s":"BTCUSDT","BT":false}]}',
    '{"topic":"orderbook.50.BTCPERP","type":"snapshot","ts":1680673821591,"data":{"s":"BTCPERP","b":[["28555.20","0.597"]],"a":[["28555.30","0.225"]],"u":20683568,"seq":10916156551}}',
    '{"topic":"orderbook.50.BTCPERP","type":"delta","ts":1680673821651,"data":{"s":"BTCPERP","b":[["28555.20","0.677"]],"a":[["28555.30","0.029"]],"u":20683569,"seq":10916156553}}',
    '{"topic":"allLiquidation.PIPPINUSDT","type":"snapshot","ts":1740480207578,"data":[{"T":1740480207110,"s":"PIPPINUSDT","S":"Sell","v":"2846","p":"0.02456"}]}',
    '{"topic":"kline.5.BTCUSDT","data":[{"start":1672324800000,"end":1672325099999,"interval":"5","open":"16649.5","close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005","confirm":false,"timestamp":1672324988882}],"ts":1672324988882,"type":"snapshot"}',
]
OKX = [
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":123456,"seqId":123457}]}',
    '{"arg":{"channel":"candle1D","instId":"BTC-USDT"},"data":[["1597026383085","8533.02","8553.74","8527.17","8548.26","45247","529.5858061","5529.5858061","0"]]}',
    '{"arg":{"channel":"trades-all","instId":"BSV-USDT"},"data":[{"instId":"BSV-USDT","tradeId":"84834539","px":"42.52","sz":"3.75","side":"buy","ts":"1697760012017"}]}',
    '{"arg":{"channel":"open-interest","instId":"WNCG-USDT-SWAP"},"data":[{"instId":"WNCG-USDT-SWAP","instType":"SWAP","oi":"644195","oiCcy":"644195","ts":"1640131258756"}]}',
    '{"arg":{"channel":"funding-rate","instId":"WNCG-USDT-SWAP"},"data":[{"fundingRate":"0.00048105","fundingTime":"1640131200000","instId":"WNCG-USDT-SWAP","instType":"SWAP","nextFundingRate":"0.00114"}]}',
    '{"arg":{"channel":"mark-price","instId":"WNCG-USDT-SWAP"},"data":[{"instId":"WNCG-USDT-SWAP","instType":"SWAP","markPx":"2.1729","ts":"1640131259180"}]}',
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
    ("bybit", BYBIT, bybit.SHAPES_JSON, lambda: plain.bybit),
    ("okx", OKX, okx.SHAPES_JSON, lambda: plain.okx),
    ("bitfinex", BITFINEX, bitfinex.SHAPES_JSON, lambda: plain.Bitfinex(timed=True)),
    ("bitfinex_status", DERIV_STATUS, bitfinex.SHAPES_JSON, plain.Bitfinex),
]


def compare(reader: Reader, frames: list[bytes], decode: Plain) -> int:
    """Reads every frame both ways; how many gave events."""
    handled = 0
    for frame in frames:
        message = parse(frame)
        want = decode(message)
        acknowledged = [message["symbol"]] if isinstance(message, dict) and "chanId" in message else []
        for symbol in [*acknowledged, *(event.symbol for event in want or ())]:
            if symbol not in reader.symbols:
                reader.add(symbol)
        outcome = reader.read(frame)
        if want is None:
            assert outcome == Decoder.NOT_MINE, frame
            reader.bind_all(message)
        else:
            assert outcome == Decoder.HANDLED, (frame, reader.decoder.reason)
            assert reader.events() == hashed(want)
            handled += 1
    return handled


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


def okx_crc(book: TextBook) -> int:
    """Signed CRC32 over price:size of the best 25 levels, bid and ask in turn."""
    bids, asks = list(book.bids.values())[:25], list(book.asks.values())[:25]
    pairs = [side[at] for at in range(25) for side in (bids, asks) if at < len(side)]
    crc = zlib.crc32(":".join(":".join(pair) for pair in pairs).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc


def kraken_crc(book: TextBook) -> int:
    """CRC32 over price and quantity, without point and leading zeros, of ten asks and then ten bids."""
    levels = [*book.asks.values(), *book.bids.values()]
    digits = [number.replace(".", "").lstrip("0") for level in levels for number in level]
    return zlib.crc32("".join(digits).encode())


@pytest.mark.parametrize(
    ("name", "shapes", "rule", "checked"),
    [
        ("okx/v5_public_2022-05-13", okx.SHAPES_2022_JSON, (okx_crc, 400), 188),
        ("okx/v5_tbt_2022-02-27", okx.SHAPES_2022_JSON, (okx_crc, 400), 2415),
        ("kraken/v2_book10_btcusd_2026-08-24", KRAKEN.shapes_json, (kraken_crc, DEPTH), 4),
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
