"""Bithumb: its legacy feed on the recording of 2021, the socket of 2024 on what its documentation says."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from core_events import Decoder, Reader
from feed_checks import Followed
from outcrier.instruments import QtyUnit, Trading
from outcrier.venues.base import Ack, Error, Ignored, Pong, Unknown
from outcrier.venues.bithumb import BITHUMB
from outcrier.venues.bithumb_legacy import BITHUMB_LEGACY
from outcrier.venues.exchange_side import Client
from outcrier.venues.upbit import UPBIT
from plain.bithumb import bithumb_legacy
from plain.upbit import upbit
from plain_events import Book, Trade, lines, parse, received
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

CAPTURE = "bithumb/spot_full_2021-06-01"

# By the field tables of the documentation (2026-10): no recording of this socket is known.
TRADE = (
    '{"type":"trade","code":"KRW-BTC","trade_price":489700,"trade_volume":0.00222,"ask_bid":"ASK",'
    '"prev_closing_price":484500,"change":"RISE","change_price":5200,"trade_date":"2026-05-07",'
    '"trade_time":"20:56:17","trade_timestamp":1778154977158,"sequential_id":17781549771580000,'
    '"timestamp":1778154977193,"stream_type":"REALTIME"}'
)
BOOK = (
    '{"type":"orderbook","code":"KRW-BTC","total_ask_size":450.3,"total_bid_size":63.4,"orderbook_units":['
    '{"ask_price":478800,"bid_price":478300,"ask_size":4.3478,"bid_size":5.6370},'
    '{"ask_price":478900,"bid_price":0,"ask_size":1,"bid_size":0}],"level":1,"timestamp":1778154977193,'
    '"stream_type":"REALTIME"}'
)
TICKER = (
    '{"type":"ticker","code":"KRW-BTC","opening_price":484500,"high_price":493100,"low_price":472500,'
    '"trade_price":493100,"acc_trade_volume_24h":10.5,"acc_trade_price_24h":5100000.5,"trade_date":"20260507",'
    '"trade_time":"205617","trade_timestamp":1778154977158,"market_state":"ACTIVE","is_trading_suspended":false,'
    '"delisting_date":null,"market_warning":"NONE","timestamp":1778154977193,"stream_type":"SNAPSHOT"}'
)

# A recording of 2026-05 (mclayer/mctrader-market-bithumb tests/fixtures), and the documentation.
LEGACY_DEPTH = (
    '{"type":"orderbookdepth","content":{"list":[{"total":"2","orderType":"ask","quantity":"0.0063",'
    '"price":"118955000","symbol":"BTC_KRW"},{"total":"0","orderType":"bid","quantity":"0","price":"112971000",'
    '"symbol":"BTC_KRW"}],"datetime":"1778154976506519"}}'
)
LEGACY_TRADE = (
    '{"type":"transaction","content":{"list":[{"updn":"up","contDtm":"2026-05-07 20:56:17.158984",'
    '"contAmt":"1000337","contQty":"0.00841192","contPrice":"118919000","buySellGb":"2","symbol":"BTC_KRW"}]}}'
)
LEGACY_BOOK = (
    '{"type":"orderbooksnapshot","content":{"symbol":"BTC_KRW","datetime":"1778154976000000",'
    '"asks":[["118955000","0.5"],["118960000","1"]],"bids":[["118919000","0.25"],["112971000","2"]]}}'
)
LEGACY_TICKER = (
    '{"type":"ticker","content":{"symbol":"BTC_KRW","tickType":"24H","date":"20200129","time":"121844",'
    '"openPrice":"2302","closePrice":"2317","lowPrice":"2272","highPrice":"2344","value":"2831915078.07065789",'
    '"volume":"1222314.51355788","sellVolume":"760129.34079004","buyVolume":"462185.17276784"}}'
)
LEGACY = [LEGACY_DEPTH, LEGACY_TRADE, LEGACY_BOOK, LEGACY_TICKER]


# The legacy feed.


def test_messages_that_the_capture_lacks() -> None:
    counts = check_contents(BITHUMB_LEGACY, [text.encode() for text in LEGACY], bithumb_legacy)
    assert counts == {"book": 3, "trade": 1, "ticker": 1}


def test_all_transactions_of_a_message_and_in_korean_time(capture: Callable[[str], Path]) -> None:
    """Public code reads the first one alone, or nine hours late; the recorder had it half a second after."""
    (frame,) = [each for each in received(capture(CAPTURE)) if each.count(b"contPrice") > 1]
    reader = Reader(BITHUMB_LEGACY.shapes_json)
    reader.add("GOM2_KRW")
    assert reader.read(frame) == Decoder.HANDLED
    trades = [event for event in reader.events() if isinstance(event, Trade)]
    assert [trade.aggressor for trade in trades] == [1, 1, 1, 2], "1 sold, 2 bought"
    assert trades[0].time == BITHUMB_LEGACY.exchange_time_ns(frame) == 1_622_591_022_240_601_000
    assert 0 < 1_622_591_024_414_725_000 - trades[0].time < 5_000_000_000
    assert {trade.id for trade in trades} == {""}


def test_entries_of_one_message_may_be_of_several_markets() -> None:
    """No recorded message is; nothing says that none will be."""
    mixed = [
        text.replace('"symbol":"BTC_KRW"}', '"symbol":"ETH_KRW"}', 1) if text is LEGACY_DEPTH else text
        for text in (LEGACY_DEPTH, LEGACY_TRADE)
    ]
    entry = LEGACY_TRADE[LEGACY_TRADE.index("{", 40) : LEGACY_TRADE.index("]")]
    mixed[1] = LEGACY_TRADE.replace(entry, f"{entry},{entry.replace('BTC_KRW', 'ETH_KRW')}")
    frames = [text.encode() for text in mixed]
    assert check_contents(BITHUMB_LEGACY, frames[1:], bithumb_legacy) == {"trade": 2}
    for event, symbol in zip(bithumb_legacy(parse(frames[0])) or (), ("ETH_KRW", "BTC_KRW"), strict=True):
        reader = Reader(BITHUMB_LEGACY.shapes_json)
        reader.add(symbol)
        assert reader.read(frames[0]) == Decoder.HANDLED
        assert reader.events() == [event]


def test_changes_alone_never_make_a_book_and_a_whole_one_does(
    capture: Callable[[str], Path], data_dir: Path
) -> None:
    frames = list(received(capture(CAPTURE)))
    symbols = {event.symbol for frame in frames for event in bithumb_legacy(parse(frame)) or ()}
    instruments = [each for each in listed(BITHUMB_LEGACY, data_dir) if each.native_symbol in symbols]
    followed = Followed(BITHUMB_LEGACY, *instruments)
    for frame in frames:
        followed.read(frame)
    assert followed.books() == {}
    states = {followed.feed.state(index) for index in range(len(followed.natives))}
    assert states == {"RECOVERING"}
    trades = [record for each in followed.messages("TRADE") for record in each["records"]]
    assert len(trades) == 7
    one = Followed(BITHUMB_LEGACY, *named(BITHUMB_LEGACY, "BTC_KRW"))
    one.read(LEGACY_DEPTH)
    assert one.books() == {}
    one.read(LEGACY_BOOK)
    one.read(LEGACY_DEPTH)
    bids, asks = one.books()["BTC_KRW"]
    assert bids == [(Decimal(118919000), Decimal("0.25"))], "quantity 0 removes"
    assert asks == [(Decimal(118955000), Decimal("0.0063")), (Decimal(118960000), Decimal(1))]


def test_instruments_of_both_currencies(data_dir: Path) -> None:
    instruments = {each.native_symbol: each for each in listed(BITHUMB_LEGACY, data_dir)}
    bodies = bodies_of(data_dir, *BITHUMB_LEGACY.instrument_lists)
    assert BITHUMB_LEGACY.parse_instruments(*bodies)[1] == []
    assert len(instruments) == 61 + 167
    for parts in (bodies, bodies[::-1]):
        assert len(BITHUMB_LEGACY.parse_instruments(*parts)[0]) == 228, (
            "the order of the answers is no matter"
        )
    btc, eth = instruments["BTC_KRW"], instruments["ETH_BTC"]
    assert (btc.symbol, eth.symbol, eth.quote) == ("BTC/KRW", "ETH/BTC", "BTC")
    assert (btc.qty_unit, btc.book_proof, btc.tick_size) == (QtyUnit.BASE, 0, Decimal(0))
    for junk in ('{"status":"5500"}', "[]", "{", '{"status":"0000","data":3}'):
        found, faults = BITHUMB_LEGACY.parse_instruments(junk)
        assert (found, len(faults)) == ([], 1)


def test_one_type_a_message_which_names_all_of_it(data_dir: Path) -> None:
    btc, eth = named(BITHUMB_LEGACY, "BTC_KRW", "ETH_BTC")
    held = default_streams(BITHUMB_LEGACY, [btc])
    requests = BITHUMB_LEGACY.subscribe(["ticker:ETH_BTC"], held)
    assert [json.loads(request.text) for request in requests] == [
        {"type": "ticker", "symbols": ["BTC_KRW", "ETH_BTC"], "tickTypes": ["24H"]}
    ]
    assert BITHUMB_LEGACY.unsubscribe(held) == [], "there is no request for nothing"
    instruments = listed(BITHUMB_LEGACY, data_dir)
    check_streams(BITHUMB_LEGACY, instruments)
    check_requests(BITHUMB_LEGACY, [eth, *instruments[:20]][1:])


def test_recorded_requests_are_understood(capture: Callable[[str], Path]) -> None:
    client = Client("/pub/ws")
    recorded = [frame for frame in received(capture(CAPTURE)) if b'"status"' in frame]
    answers = BITHUMB_LEGACY.exchange.greeting(client)
    for text in lines(capture(CAPTURE), "send"):
        answers += BITHUMB_LEGACY.exchange.on_text(client, text.decode())
    assert answers == [frame.decode() for frame in recorded]
    assert [BITHUMB_LEGACY.control(text) for text in answers] == [Ignored("connected"), Ack(), Ack()]
    assert len(client.streams) == 20


def test_a_late_subscriber_gets_the_whole_book() -> None:
    (book,) = books_of([LEGACY_BOOK.encode(), LEGACY_DEPTH.encode()], bithumb_legacy).values()
    stream = "orderbooksnapshot:BTC_KRW"
    (event,) = check_book_again(BITHUMB_LEGACY, Client("/pub/ws"), stream, book, bithumb_legacy)
    assert event.time == book.exchange_ns
    assert BITHUMB_LEGACY.exchange.on_subscribed(Client("/pub/ws"), "orderbookdepth:BTC_KRW", book) == []


def test_control_messages_of_the_legacy_feed() -> None:
    refused = '{"status":"5100","resmsg":"Invalid Filter Syntax"}'
    assert BITHUMB_LEGACY.control(refused) == Error("5100", "Invalid Filter Syntax")
    middle = LEGACY_TICKER.replace("24H", "MID")
    assert BITHUMB_LEGACY.control(middle) == Unknown("ticker")
    for text in ("x", '{"type":"trade"}', '{"type":"ticker","symbols":["KRW-BTC"]}'):
        assert BITHUMB_LEGACY.exchange.on_text(Client("/pub/ws"), text) == [refused]


# The socket of 2024.


def test_documented_messages_say_what_a_plain_decoder_reads() -> None:
    counts = check_contents(BITHUMB, [text.encode() for text in (TRADE, BOOK, TICKER)], upbit)
    assert counts == {"trade": 1, "book": 1, "ticker": 1, "trading": 1}


def test_books_are_whole_and_times_those_of_the_epoch() -> None:
    """Dates and times as text are Korean: 20:56:17 there is 11:56:17 UTC."""
    followed = Followed(BITHUMB, *named(BITHUMB, "KRW-BTC"))
    followed.read(BOOK)
    bids, asks = followed.books()["KRW-BTC"]
    assert bids == [(Decimal(478300), Decimal("5.637"))], "a price of 0 is no level"
    assert asks == [(Decimal(478800), Decimal("4.3478")), (Decimal(478900), Decimal(1))]
    assert BITHUMB.exchange_time_ns(TRADE) == 1_778_154_977_158_000_000
    reader = Reader(BITHUMB.shapes_json)
    reader.add("KRW-BTC")
    reader.read(TRADE.encode())
    (trade,) = reader.events()
    assert isinstance(trade, Trade)
    assert (trade.aggressor, trade.id) == (2, "17781549771580000")


def test_the_request_is_not_quite_that_of_upbit() -> None:
    (btc,) = named(BITHUMB, "KRW-BTC")
    (request,) = BITHUMB.subscribe(default_streams(BITHUMB, [btc]), number=5)
    assert json.loads(request.text) == [
        {"ticket": "outcrier-5"},
        {"type": "orderbook", "codes": ["KRW-BTC"]},
        {"type": "trade", "codes": ["KRW-BTC"], "isOnlyRealtime": True},
        {"type": "ticker", "codes": ["KRW-BTC"]},
        {"format": "DEFAULT"},
    ]
    assert "candle.1m" not in BITHUMB.channels
    assert BITHUMB.instruments_requests()[0].target == "/v1/market/all?isDetails=true"
    assert BITHUMB.route("") == UPBIT.route("") == "/websocket/v1", "there is no public v2"
    assert BITHUMB.detail_requests('[{"market":"KRW-BTC"}]') == (), "no request answers ticks"


def test_both_feeds_know_the_same_market_by_other_names(data_dir: Path) -> None:
    legacy = listed(BITHUMB_LEGACY, data_dir)
    instruments = named(BITHUMB, *(f"{each.quote}-{each.base}" for each in legacy))
    assert [each.symbol for each in instruments] == [each.symbol for each in legacy]
    assert instruments[0].native_symbol.startswith("BTC-")
    check_streams(BITHUMB, instruments)
    client = check_requests(BITHUMB, instruments)
    assert {BITHUMB.native_symbol_of(stream) for stream in client.streams} == {
        each.native_symbol for each in instruments
    }


def test_control_messages_and_a_trading_status() -> None:
    client = Client("/websocket/v1")
    assert [BITHUMB.control(text) for text in BITHUMB.exchange.on_text(client, "PING")] == [Pong()]
    assert isinstance(BITHUMB.control('{"error":{"name":"WRONG_FORMAT","message":"x"}}'), Error)
    answered(BITHUMB, client, BITHUMB.subscribe(["ticker:KRW-BTC"]))
    followed = Followed(BITHUMB, *named(BITHUMB, "KRW-BTC"), has_book=False)
    followed.connected()
    followed.read(TICKER.replace('"is_trading_suspended":false', '"is_trading_suspended":true'))
    assert followed.statuses() == [Trading.HALTED]


def test_a_late_subscriber_of_the_socket_gets_the_book() -> None:
    (book,) = books_of([BOOK.encode()], upbit).values()
    (event,) = check_book_again(BITHUMB, Client("/websocket/v1"), "orderbook:KRW-BTC", book, upbit)
    assert isinstance(event, Book)
