"""Upbit: its captures, and what its documentation says and no capture has (each trap of it)."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core_events import Decoder, Reader
from feed_checks import Followed
from outcrier.instruments import QtyUnit, Trading
from outcrier.shapes import Shape
from outcrier.venues.base import Error, Pong, Unknown
from outcrier.venues.exchange_side import Client
from outcrier.venues.upbit import DEPTH, UPBIT
from plain.upbit import upbit
from plain_events import Bbo, Book, Candle, Ticker, Trade, lines, received
from venue_checks import (
    answered,
    bodies_of,
    books_of,
    check_book_again,
    check_contents,
    check_requests,
    check_streams,
    default_streams,
    listed,
    named,
)

CAPTURE = "upbit/spot_2021-04-17"

# Documentation (2024-10-31), and recordings of the tardis-node project (test/mappers.test.ts): one of 2023-08
# with microseconds, one of 2021 with a side of fewer levels.
TRADE = (
    '{"type":"trade","code":"KRW-BTC","timestamp":1730336862082,"trade_date":"2024-10-31",'
    '"trade_time":"01:07:42","trade_timestamp":1730336862047,"trade_price":100473000.00000000,'
    '"trade_volume":0.00014208,"ask_bid":"BID","prev_closing_price":100571000.00000000,"change":"FALL",'
    '"change_price":98000.00000000,"sequential_id":17303368620470000,"best_ask_price":100473000,'
    '"best_ask_size":0.43139478,"best_bid_price":100465000,"best_bid_size":0.01990656,'
    '"stream_type":"SNAPSHOT"}'
)
MICROSECONDS = (
    '{"type":"orderbook","code":"USDT-ETC","timestamp":1691530805062000,"total_ask_size":426.46961964,'
    '"total_bid_size":923.86058218,"orderbook_units":[{"ask_price":18.14783928,"bid_price":17.56010719,'
    '"ask_size":8.3912024,"bid_size":10.76125737}],"stream_type":"REALTIME"}'
)
ONE_SIDED = (
    '{"type":"orderbook","code":"KRW-DOT","timestamp":1614729599677,"total_ask_size":1415.12521016,'
    '"total_bid_size":8058.44442437,"orderbook_units":[{"ask_price":41840.0,"bid_price":41730.0,'
    '"ask_size":103.6,"bid_size":47.62562404},{"ask_price":0,"bid_price":41720.0,"ask_size":102.9,'
    '"bid_size":250.0}],"stream_type":"REALTIME"}'
)
# By the field tables of websocket-ticker and websocket-candle, v1.6.4: no capture holds either.
TICKER = (
    '{"ty":"ticker","cd":"KRW-BTC","op":1.5,"hp":3,"lp":1,"tp":2.25,"pcp":1.5,"tv":0.1,"atv":9,"atv24h":10.5,'
    '"atp":18,"atp24h":21.5,"ms":"ACTIVE","its":false,"dd":null,"mw":"NONE","tms":1730336862260,"st":"REALTIME"}'
)
CANDLE = (
    '{"ty":"candle.1m","cd":"KRW-BTC","cdttmu":"2025-01-02T04:28:00","cdttmk":"2025-01-02T13:28:00",'
    '"op":142009000.00000000,"hp":142009000,"lp":142000000.5,"tp":142000001,"catv":0.16,"catp":22720018.2,'
    '"tms":1735792083000,"st":"SNAPSHOT"}'
)
QUOTED = [TRADE, MICROSECONDS, ONE_SIDED, TICKER, CANDLE]


def test_messages_that_no_capture_has() -> None:
    counts = check_contents(UPBIT, [text.encode() for text in QUOTED], upbit)
    assert counts == {"trade": 1, "bbo": 1, "book": 2, "ticker": 1, "trading": 1, "candle": 1}


def read(*texts: str, symbol: str = "KRW-BTC") -> list[Any]:
    reader = Reader(UPBIT.shapes_json)
    reader.add(symbol)
    found: list[Any] = []
    for text in texts:
        assert reader.read(text.encode()) == Decoder.HANDLED, reader.decoder.reason
        found += reader.events()
    return found


def test_bid_means_that_the_taker_bought() -> None:
    """Third parties invert it; the documentation's sample is a BID at the best ask."""
    trade, bbo = read(TRADE)
    assert isinstance(trade, Trade)
    assert isinstance(bbo, Bbo)
    assert bbo.ask is not None
    assert (trade.aggressor, trade.price) == (1, bbo.ask[0])
    assert trade.id == "17303368620470000", "above 2**53: no float was in between"
    assert trade.time == 1_730_336_862_047_000_000
    assert read(TRADE.replace('"BID"', '"ASK"'))[0].aggressor == 2


def test_times_are_told_by_their_magnitude() -> None:
    (book,) = read(MICROSECONDS, symbol="USDT-ETC")
    assert book.time == 1_691_530_805_062_000_000
    assert UPBIT.exchange_time_ns(MICROSECONDS) == book.time
    assert UPBIT.exchange_time_ns(TRADE) == 1_730_336_862_047_000_000, "of the match, not of the push"


def test_a_price_of_zero_is_no_level() -> None:
    (book,) = read(ONE_SIDED, symbol="KRW-DOT")
    assert isinstance(book, Book)
    assert book.snapshot
    assert [price for price, _ in book.bids] == [Decimal(41730), Decimal(41720)]
    assert book.asks == [(Decimal(41840), Decimal("103.6"))]


def test_a_code_may_carry_the_depth_that_was_asked_for() -> None:
    text = MICROSECONDS.replace('"USDT-ETC"', '"USDT-ETC.30"')
    assert read(text, symbol="USDT-ETC") == read(MICROSECONDS, symbol="USDT-ETC")
    assert UPBIT.stream_of(text) == UPBIT.stream_of(MICROSECONDS) == "orderbook:USDT-ETC"
    assert [shape.depth for shape in UPBIT.shapes if isinstance(shape, Shape)] == [DEPTH, DEPTH]


def test_the_window_of_a_ticker_is_a_day_for_volumes_alone() -> None:
    """Opening, high and low price are of the day that began at 0:00 UTC."""
    (ticker, status) = read(TICKER)
    assert isinstance(ticker, Ticker)
    assert ticker.prices == (Decimal("2.25"), None, None, None)
    assert (ticker.volume, ticker.turnover) == (10.5, 21.5)
    assert status.state == Trading.OPEN


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ('"ms":"ACTIVE","its":true', Trading.HALTED),
        ('"ms":"PREVIEW","its":false', Trading.PRE_OPEN),
        ('"ms":"DELISTED","its":false', Trading.DELISTED),
        ('"ms":"ACTIVE"', Trading.OPEN),  # `its` goes away (2025-10).
    ],
)
def test_a_ticker_tells_the_trading_status(said: str, state: int) -> None:
    text = TICKER.replace('"ms":"ACTIVE","its":false', said)
    assert read(text)[-1].state == state
    assert len(read(TICKER.replace('"ms":"ACTIVE","its":false', '"ms":"NEW"'))) == 1, "nothing is made up"


def test_a_trading_status_is_published_where_it_changes_and_back() -> None:
    followed = Followed(UPBIT, *named(UPBIT, "KRW-BTC"), has_book=False)
    followed.connected()
    followed.read(TICKER)
    assert followed.statuses() == []
    followed.read(TICKER.replace('"its":false', '"its":true'))
    followed.read(TICKER.replace('"its":false', '"its":true'))
    assert followed.statuses() == [Trading.HALTED]
    followed.read(TICKER)
    assert followed.statuses() == [Trading.OPEN]
    assert [kind for kind, *_ in followed.feed.notices()] == ["TRADING", "TRADING"]


def test_a_candle_opens_by_utc_and_never_says_that_it_is_over() -> None:
    (candle,) = read(CANDLE)
    assert isinstance(candle, Candle)
    assert (candle.open_time, candle.seconds, candle.closed) == (1_735_792_080_000_000_000, 60, False)
    assert read(CANDLE.replace("candle.1m", "candle.240m"))[0].seconds == 14_400


# Instruments.


def test_instruments_are_named_quote_first(data_dir: Path) -> None:
    instruments = {each.native_symbol: each for each in listed(UPBIT, data_dir)}
    assert len(instruments) == 294
    eth = instruments["BTC-ETH"]
    assert (eth.symbol, eth.base, eth.quote) == ("ETH/BTC", "ETH", "BTC")
    assert (eth.qty_unit, eth.contract_size, eth.book_proof) == (QtyUnit.BASE, Decimal(1), 0)
    assert (eth.tick_size, eth.lot_size) == (Decimal(0), Decimal("0.00000001"))


def test_ticks_are_asked_for_by_name_in_urls_of_bounded_length(data_dir: Path) -> None:
    (body,) = bodies_of(data_dir, *UPBIT.instrument_lists)
    requests = UPBIT.detail_requests(body)
    asked = [market for request in requests for market in request.query[0][1].split(",")]
    assert asked == [each.native_symbol for each in listed(UPBIT, data_dir)]
    assert max(len(request.target) for request in requests) < 2000
    policies = '[{"market":"KRW-BTC","quote_currency":"KRW","tick_size":"1000","supported_levels":["0"]}]'
    instruments, faults = UPBIT.parse_instruments(body, policies)
    ticks = {each.native_symbol: each.tick_size for each in instruments}
    assert (ticks["KRW-BTC"], ticks["KRW-ETH"]) == (Decimal(1000), Decimal(0))
    assert faults == []
    assert len(instruments) == 294


def test_an_entry_that_cannot_be_used_is_a_fault_and_the_others_stay() -> None:
    body = '[{"market":"KRW-BTC"},{"market":"KRWBTC"},{"market":"KRW-A/B"},3,{"market":"KRW-BTC"},{"name":1}]'
    instruments, faults = UPBIT.parse_instruments(body)
    assert [each.symbol for each in instruments] == ["BTC/KRW"]
    assert len(faults) == 5
    assert UPBIT.parse_instruments("{")[0] == []


# Connections.


def test_one_request_names_all_that_is_wanted() -> None:
    """A request replaces the one before, so whoever names only what is new loses the rest."""
    btc, eth = named(UPBIT, "KRW-BTC", "KRW-ETH")
    held = UPBIT.streams(btc, ["orderbook", "trade"], {})
    (request,) = UPBIT.subscribe(UPBIT.streams(eth, ["orderbook"], {}), held, number=7)
    assert json.loads(request.text) == [
        {"ticket": "outcrier-7"},
        {"type": "orderbook", "codes": [f"KRW-BTC.{DEPTH}", f"KRW-ETH.{DEPTH}"]},
        {"type": "trade", "codes": ["KRW-BTC"], "is_only_realtime": True},
        {"format": "SIMPLE"},
    ]
    assert request.acks == 0, "nothing is acknowledged"
    (request,) = UPBIT.unsubscribe(held[1:], held[:1])
    assert [part["type"] for part in json.loads(request.text) if "type" in part] == ["orderbook"]
    assert UPBIT.unsubscribe(held) == [], "there is no request for nothing"


def test_streams_and_requests(data_dir: Path) -> None:
    instruments = listed(UPBIT, data_dir)
    check_streams(UPBIT, instruments)
    check_requests(UPBIT, instruments)


def test_what_is_held_begins_anew_with_each_request() -> None:
    btc, eth = named(UPBIT, "KRW-BTC", "KRW-ETH")
    client = Client("/websocket/v1")
    held = default_streams(UPBIT, [btc])
    answered(UPBIT, client, UPBIT.subscribe(held))
    assert client.again == []
    answered(UPBIT, client, UPBIT.subscribe(default_streams(UPBIT, [eth]), held))
    assert client.again == held


def test_the_recorded_request_is_understood(capture: Callable[[str], Path]) -> None:
    (sent,) = lines(capture(CAPTURE), "send")
    client = Client("/websocket/v1")
    assert UPBIT.exchange.on_text(client, sent.decode()) == []
    assert len(client.streams) == 20
    assert {UPBIT.channel_of(stream) for stream in client.streams} == {("orderbook", ""), ("trade", "")}


def test_a_late_subscriber_gets_the_book(capture: Callable[[str], Path]) -> None:
    for native, book in books_of(received(capture(CAPTURE)), upbit).items():
        stream = f"orderbook:{native}"
        check_book_again(UPBIT, Client("/websocket/v1"), stream, book, upbit)


def test_control_messages() -> None:
    assert UPBIT.control('{"status":"UP"}') == Pong()
    assert UPBIT.control('{"error":{"name":"WRONG_FORMAT","message":"x"}}') == Error("WRONG_FORMAT", "x")
    assert UPBIT.control('{"type":"myOrder"}') == Unknown("myOrder")
    client = Client("/websocket/v1")
    assert [UPBIT.control(text) for text in UPBIT.exchange.on_text(client, "PING")] == [Pong()]
    for text, name in (
        ("x", "WRONG_FORMAT"),
        ('[{"type":"trade","codes":["KRW-BTC"]}]', "NO_TICKET"),
        ('[{"ticket":"a"}]', "NO_TYPE"),
        ('[{"ticket":"a"},{"type":"trade"}]', "NO_CODES"),
        ('[{"ticket":"a"},{"type":"level3","codes":["KRW-BTC"]}]', "INVALID_PARAM"),
    ):
        (answer,) = UPBIT.exchange.on_text(client, text)
        control = UPBIT.control(answer)
        assert isinstance(control, Error)
        assert control.code == name
