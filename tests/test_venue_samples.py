"""Declarations of venues without a connector on single messages that the exchange fact sheets quote."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import plain_venues as plain
from core_events import CONNECTION, Decoder, Reader
from outcrier.venues import bitfinex
from plain_events import Plain
from venue_sessions import compare

# Messages that the fact sheets quote: recordings of the tardis-node project (test/mappers.test.ts), the
# venues' documentation, and for Coinbase Exchange a recording of 2026-08-25.
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
    ("bitfinex", BITFINEX, bitfinex.SHAPES_JSON, lambda: plain.Bitfinex(timed=True)),
    ("bitfinex_status", DERIV_STATUS, bitfinex.SHAPES_JSON, plain.Bitfinex),
]


@pytest.mark.parametrize(("name", "quoted", "shapes", "decode"), QUOTED, ids=[each[0] for each in QUOTED])
def test_messages_that_the_fact_sheets_quote(
    name: str, quoted: list[str], shapes: str, decode: Callable[[], Plain]
) -> None:
    assert compare(Reader(shapes), [text.encode() for text in quoted], decode())


def test_numbers_of_bitfinex_are_those_of_a_connection() -> None:
    reader = Reader(bitfinex.SHAPES_JSON)
    index = reader.add("tBTCUSD")
    reader.decoder.bind(CONNECTION + 1, 6959, index, "book")
    frame = b"[6959,[219.11,3,-18.1],45,1564617601214]"
    assert reader.read(frame) == Decoder.UNKNOWN_INSTRUMENT
    assert reader.decoder.reason == "6959"
    reader.decoder.bind(CONNECTION, 6959, index, "book")
    assert reader.read(frame) == Decoder.HANDLED
