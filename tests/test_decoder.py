"""`_core.Decoder`: what it says of a frame, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outcrier import _core
from outcrier.venues import VENUES, bitfinex
from outcrier.venues.bybit import BYBIT_LINEAR
from plain_events import received

Decoder = _core.Decoder

BOOK = (
    b'{"topic":"orderbook.50.BTCPERP","type":"delta","ts":1680673821651,"cts":1680673821650,'
    b'"data":{"s":"BTCPERP","b":[["28555.20","0.677"]],"a":[["28555.30","0"]],"u":20683569,"seq":9}}'
)
TRADE = (
    b'{"topic":"publicTrade.BTCPERP","type":"snapshot","ts":3,"data":[{"T":1680673823564,"s":"BTCPERP",'
    b'"S":"Buy","v":"5823","p":"28560.50","L":"PlusTick","i":"42","BT":true}]}'
)


def decoder(price_exp: int = -2, qty_exp: int = -3) -> Decoder:
    made = Decoder(BYBIT_LINEAR.shapes_json)
    assert made.add("BTCPERP", price_exp, qty_exp) == 0
    return made


def test_events_of_a_frame() -> None:
    made = decoder()
    assert made.decode(0, BOOK) == Decoder.HANDLED
    assert (made.shape, made.reason, made.finer, made.connection_seq) == ("orderbook_50", "", None, None)
    assert made.events() == [
        {
            "type": "book",
            "instrument": 0,
            "exchange_ts": 1_680_673_821_650_000_000,
            "ids": (20683569, 20683569, None),
            "exps": (-2, -3),
            "snapshot": False,
            "bids": [(2_855_520, 677)],
            "asks": [(2_855_530, 0)],
            "bid_extras": [],
            "ask_extras": [],
            "checksum": None,
        }
    ]
    assert made.decode(0, TRADE) == Decoder.HANDLED
    assert made.events() == [
        {
            "type": "trades",
            "instrument": 0,
            "exchange_ts": 1_680_673_823_564_000_000,
            "ids": (None, None, None),
            "exps": (-2, -3),
            "trades": [
                {
                    "price": 2_856_050,
                    "qty": 5_823_000,
                    "id": 42,
                    "ts": 1_680_673_823_564_000_000,
                    "aggressor": 1,
                    "flags": 2,
                    "n_fills": 1,
                    "id_span": 0,
                }
            ],
        }
    ]


@pytest.mark.parametrize(
    ("frame", "outcome", "reason"),
    [
        (b'{"success":true,"op":"subscribe"}', Decoder.NOT_MINE, "no shape takes it"),
        (BOOK.replace(b"BTCPERP", b"ETHPERP"), Decoder.UNKNOWN_INSTRUMENT, "ETHPERP"),
        (BOOK.replace(b"28555.20", b"28555.2x"), Decoder.FAULT, "bad number"),
        (BOOK[:-1], Decoder.FAULT, "malformed JSON"),
        (BOOK + b"}", Decoder.FAULT, "trailing bytes"),
        (BOOK.replace(b'"ts"', b'"type"'), Decoder.FAULT, "duplicate key"),
        (b"pong", Decoder.NOT_MINE, "no shape takes it"),
        (b"pong!", Decoder.FAULT, "malformed JSON"),
        (b"", Decoder.FAULT, "malformed JSON"),
        (b"\xff\x00", Decoder.FAULT, "malformed JSON"),
    ],
)
def test_a_frame_that_gives_nothing_says_why(frame: bytes, outcome: int, reason: str) -> None:
    made = decoder()
    assert made.decode(0, BOOK) == Decoder.HANDLED
    assert made.decode(0, frame) == outcome
    assert (made.reason, made.shape, made.finer, made.events()) == (reason, None, None, [])


def test_finer_exponents_are_asked_for_and_set() -> None:
    made = decoder(0, 0)
    assert made.decode(0, BOOK) == Decoder.NEEDS_FINER
    assert made.events() == []
    # 28555.20 has one digit that counts.
    assert made.finer == (0, -1, -3)
    assert made.reason == "needs price_exp -1 and qty_exp -3"
    made.set_scale(*made.finer)
    assert made.scale(0) == (-1, -3)
    assert made.decode(0, BOOK) == Decoder.HANDLED
    assert made.finer is None
    assert made.events()[0]["bids"] == [(285_552, 677)]


def test_answers_to_requests() -> None:
    made = Decoder(VENUES["binance"].shapes_json)
    index = made.add("BTCUSDT", -2, -5)
    body = b'{"lastUpdateId":1027024,"bids":[["4.00","431.5"]],"asks":[]}'
    assert made.decode_snapshot(index, body) == Decoder.HANDLED
    assert made.shape == "depth_snapshot"
    (event,) = made.events()
    assert (event["snapshot"], event["bids"], event["ids"][1]) == (True, [(400, 43_150_000)], 1_027_024)
    # The same text is no frame of a stream.
    assert made.decode(0, body) == Decoder.NOT_MINE
    assert made.decode_snapshot(index, b"<html>") == Decoder.FAULT


def test_a_whole_session_without_python_objects(capture: Callable[[str], Path]) -> None:
    frames = list(received(capture("bybit/v5_linear_2026-08-09")))
    made = Decoder(BYBIT_LINEAR.shapes_json)
    for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"):
        made.add(symbol, -8, -8)
    # 17 acknowledgements; levels and trades as the plain decoder counts them.
    assert made.decode_all(0, frames) == (len(frames) - 17, 12_060, 167)


def test_arguments_are_checked() -> None:
    made = decoder()
    with pytest.raises(ValueError, match='"BTCPERP" was added before'):
        made.add("BTCPERP", -2, -3)
    with pytest.raises(ValueError, match="price_exp -31 is not within -30 to 30"):
        made.add("ETHPERP", -31, 0)
    with pytest.raises(ValueError, match="qty_exp 31 is not within -30 to 30"):
        made.set_scale(0, 0, 31)
    nobody: list[Callable[[], Any]] = [
        lambda: made.scale(1),
        lambda: made.set_scale(1, 0, 0),
        lambda: made.bind(0, 7, 1),
        lambda: made.decode_snapshot(1, BOOK),
    ]
    for call in nobody:
        with pytest.raises(IndexError, match="no instrument was added with index 1"):
            call()
    with pytest.raises(TypeError):
        made.decode(0, "text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        made.decode_all(0, [BOOK, "text"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"shapes: JSON: .*line 1"):
        Decoder("{")


def test_a_binding_is_replaced() -> None:
    made = Decoder(bitfinex.SHAPES_JSON)
    for symbol in ("tBTCUSD", "tETHUSD"):
        made.add(symbol, -5, -8)
    frame = b"[7,[219.11,3,-18.1],45,1564617601214]"
    made.bind(0, 7, 0, "book")
    assert made.decode(0, frame) == Decoder.HANDLED
    assert made.events()[0]["instrument"] == 0
    made.bind(0, 7, 1, "book")
    assert made.decode(0, frame) == Decoder.HANDLED
    assert made.events()[0]["instrument"] == 1
    made.bind(0, 7, 1, "trades")
    assert made.decode(0, frame) == Decoder.FAULT
    assert made.reason == "missing field"
