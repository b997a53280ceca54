"""Kraken spot v1, on its recordings of 2021."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from core_events import Decoder, Reader
from outcrier.venues.base import Ack, Error, Ignored, Pong, Unknown
from outcrier.venues.exchange_side import Client
from outcrier.venues.kraken import KRAKEN
from outcrier.venues.kraken_v1 import DEPTH, KRAKEN_V1
from plain.kraken import kraken_v1
from plain_events import Book, Trade, lines, parse, received
from venue_checks import (
    books_of,
    check_book_again,
    check_requests,
    check_streams,
    listed,
)

TRADES, TICKERS, BOOKS = (f"kraken/v1_{name}_2021-04-17" for name in ("a", "b", "book"))


def test_asks_and_bids_that_change_at_once_are_one_event(capture: Callable[[str], Path]) -> None:
    (frame,) = [each for each in received(capture(BOOKS)) if b'},{"b"' in each]
    reader = Reader(KRAKEN_V1.shapes_json)
    reader.add("SC/EUR")
    assert reader.read(frame) == Decoder.HANDLED
    (event,) = reader.events()
    assert isinstance(event, Book)
    assert (len(event.bids), len(event.asks), event.checksum) == (1, 1, 4_105_471_083)


def test_the_side_is_the_takers_and_times_are_seconds_as_text(capture: Callable[[str], Path]) -> None:
    frame = next(each for each in received(capture(TRADES)) if kraken_v1(parse(each)))
    reader = Reader(KRAKEN_V1.shapes_json)
    reader.add("XMR/USD")
    reader.read(frame)
    (trade,) = reader.events()
    assert isinstance(trade, Trade)
    assert (trade.aggressor, trade.qty) == (2, Decimal("0.89594024"))
    assert trade.time == KRAKEN_V1.exchange_time_ns(frame) == 1_618_678_142_557_535_000


def test_pairs_keep_the_old_names_and_instruments_the_common_ones(data_dir: Path) -> None:
    old = {each.native_symbol: each for each in listed(KRAKEN_V1, data_dir)}
    new = {each.symbol: each for each in listed(KRAKEN, data_dir)}
    assert (old["XBT/USD"].symbol, old["XDG/XBT"].symbol) == ("BTC/USD", "DOGE/BTC")
    assert {each.symbol for each in old.values()} == new.keys()
    assert KRAKEN_V1.old_dialect
    assert not KRAKEN.old_dialect


def test_streams_and_requests(data_dir: Path) -> None:
    instruments = listed(KRAKEN_V1, data_dir)
    check_streams(KRAKEN_V1, instruments)
    check_requests(KRAKEN_V1, instruments)
    (request,) = KRAKEN_V1.subscribe(["book:XBT/USD"], number=4)
    assert json.loads(request.text) == {
        "event": "subscribe",
        "pair": ["XBT/USD"],
        "subscription": {"name": "book", "depth": 1000},
        "reqid": 4,
    }


def test_recorded_requests_are_understood(capture: Callable[[str], Path]) -> None:
    client = Client("/")
    for name in (TRADES, TICKERS, BOOKS):
        (sent,) = lines(capture(name), "send")
        answers = KRAKEN_V1.exchange.on_text(client, sent.decode())
        assert [KRAKEN_V1.control(answer) for answer in answers] == [Ack(None)] * 10
        recorded = {
            frozenset(message.items())
            for message in map(parse, received(capture(name)))
            if isinstance(message, dict)
            and message["event"] == "subscriptionStatus"
            and (message.pop("channelID"), message.pop("subscription"))
        }
        ours = set()
        for answer in answers:
            message = json.loads(answer)
            del message["channelID"], message["subscription"]
            ours.add(frozenset(message.items()))
        assert ours == recorded
    assert len(client.streams) == 30


def test_a_late_subscriber_gets_the_book(capture: Callable[[str], Path]) -> None:
    for native, book in books_of(received(capture(BOOKS)), kraken_v1, DEPTH).items():
        check_book_again(KRAKEN_V1, Client("/"), f"book:{native}", book, kraken_v1)


def test_control_messages(capture: Callable[[str], Path]) -> None:
    control = KRAKEN_V1.control
    said = [control(frame) for frame in received(capture(TRADES)) if kraken_v1(parse(frame)) is None]
    assert said.count(Ack(None)) == 10
    assert {str(each) for each in said} == {
        str(each) for each in (Ack(None), Ignored("heartbeat"), Ignored("system online"))
    }
    refused = (
        '{"errorMessage":"Currency pair not supported","event":"subscriptionStatus","pair":"A/B",'
        '"status":"error","subscription":{"name":"ticker"},"reqid":3}'
    )
    assert control(refused) == Error(None, "Currency pair not supported", 3, "ticker:A/B")
    assert control('[1,["1","2","3","4","5"],"spread","XBT/USD"]') == Unknown("spread")
    assert control('{"event":"systemStatus","status":"maintenance"}') == Unknown("system 'maintenance'")
    client = Client("/")
    (answer,) = KRAKEN_V1.exchange.on_text(client, KRAKEN_V1.keepalive.client_ping)
    assert control(answer) == Pong()
    for text in ('{"event":"what"}', "x"):
        (answer,) = KRAKEN_V1.exchange.on_text(client, text)
        assert isinstance(control(answer), Error)
