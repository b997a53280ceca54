"""Coinbase Exchange: its captures, and what its documentation says (each trap of it)."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from core_events import Decoder, Reader
from feed_checks import Followed
from outcrier.feeder.plan import spec_of
from outcrier.instruments import QtyUnit, Trading
from outcrier.venues.base import Ack, Error, Ignored, InstrumentStatus, Several, Unknown
from outcrier.venues.coinbase_exchange import COINBASE_EXCHANGE, PRODUCTS_AT_ONCE
from outcrier.venues.exchange_side import Client
from plain.coinbase import coinbase_exchange
from plain_events import Trade, lines, received
from planning import plan_connections, planned_books
from venue_checks import (
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

CAPTURE = "coinbase/exchange_2021-04-17"
DUMP = "coinbase/ssc2ce_dump_2020-06"

# A recording of 2026-08-25 (fact sheet), and tardis-node test/mappers.test.ts for the year 1.
MATCH = (
    '{"type":"match","trade_id":1081862675,"maker_order_id":"f07e510f-4edf-469d-b844-4f670f1e93f1",'
    '"taker_order_id":"e6f50944-3e2a-439e-ae49-308300ba8296","side":"sell","size":"0.00000001","price":"80691.53",'
    '"product_id":"BTC-USD","sequence":134905860111,"time":"2026-08-25T03:35:57.198335Z"}'
)
SNAPSHOT = (
    '{"type":"snapshot","product_id":"BTC-USD","asks":[["80691.53","0.20084671"]],'
    '"bids":[["80688.08","0.59153273"]]}'
)
QUOTED = [
    MATCH,
    (
        '{"type":"l2update","product_id":"BTC-USD","changes":[["buy","80688.08","0.59153273"],'
        '["sell","80745.16","0.20558981"]],"time":"2026-08-25T03:35:57.300000Z"}'
    ),
    SNAPSHOT,
    '{"type":"l2update","product_id":"BTC-USD","changes":[],"time":"0001-01-01T00:00:00.000000Z"}',
    (
        '{"type":"ticker","sequence":7,"product_id":"BTC-USD","price":"1.5","open_24h":"1","volume_24h":"2",'
        '"low_24h":"0.5","high_24h":"3","best_bid":"1.4","best_bid_size":"2.25","best_ask":"1.6",'
        '"best_ask_size":"1","side":"buy","time":"2026-08-25T03:35:57.198335Z","trade_id":1,"last_size":"1"}'
    ),
]


def test_messages_that_no_capture_has() -> None:
    counts = check_contents(COINBASE_EXCHANGE, [text.encode() for text in QUOTED], coinbase_exchange)
    assert counts == {"trade": 1, "orders": 1, "book": 3, "ticker": 1, "bbo": 1}


def read(text: str) -> list[Any]:
    reader = Reader(COINBASE_EXCHANGE.shapes_json)
    reader.add("BTC-USD")
    assert reader.read(text.encode()) == Decoder.HANDLED, reader.decoder.reason
    return reader.events()


def test_the_side_of_a_match_is_the_makers(capture: Callable[[str], Path]) -> None:
    """sell: the maker sold, somebody bought. A ticker of the same trade has the taker's side."""
    trade, execution = read(MATCH)
    assert (trade.aggressor, trade.id, trade.last) == (1, "1081862675", 134_905_860_111)
    assert [(row.verb, row.is_bid, row.trade_id) for row in execution.rows] == [
        ("execute", False, 1_081_862_675)
    ]
    messages = [json.loads(frame) for frame in received(capture(CAPTURE))]
    tickers = [message for message in messages if message["type"] == "ticker"]
    takers = {(ticker["product_id"], str(ticker["trade_id"])): ticker["side"] for ticker in tickers}
    trades = [
        event
        for message in messages
        for event in coinbase_exchange(message) or ()
        if isinstance(event, Trade) and (event.symbol, event.id) in takers
    ]
    assert len(trades) == 46
    for event in trades:
        assert event.aggressor == {"buy": 1, "sell": 2}[takers[event.symbol, event.id]]


def test_a_size_that_was_really_sent_and_is_no_number_is_a_fault() -> None:
    """tardis-node test/mappers.test.ts: a snapshot with the size `0.-10000`."""
    reader = Reader(COINBASE_EXCHANGE.shapes_json)
    reader.add("BTC-USD")
    assert reader.read(SNAPSHOT.replace("0.20084671", "0.-10000").encode()) == Decoder.FAULT
    assert reader.decoder.reason == "bad number"
    assert reader.events() == []


def test_both_zeros_remove() -> None:
    for zero in ("0", "0.00000000"):
        followed = Followed(COINBASE_EXCHANGE, *named(COINBASE_EXCHANGE, "BTC-USD"))
        followed.read(SNAPSHOT)
        followed.read(
            '{"type":"l2update","product_id":"BTC-USD","changes":[["buy","80688.08","'
            f'{zero}"]],"time":"2026-08-25T03:35:57.300000Z"}}'
        )
        assert followed.books() == {"BTC-USD": ([], [(Decimal("80691.53"), Decimal("0.20084671"))])}


def test_the_year_one_is_no_time() -> None:
    assert read(QUOTED[3])[0].time is None
    assert COINBASE_EXCHANGE.exchange_time_ns(QUOTED[3]) is None
    assert COINBASE_EXCHANGE.exchange_time_ns(MATCH) == 1_787_628_957_198_335_000


# Instruments.


def test_instruments(data_dir: Path) -> None:
    instruments = {each.native_symbol: each for each in listed(COINBASE_EXCHANGE, data_dir)}
    assert len(instruments) == 162
    skl = instruments["SKL-EUR"]
    assert (skl.symbol, skl.tick_size, skl.lot_size) == ("SKL/EUR", Decimal("0.0001"), Decimal("0.1"))
    assert (skl.min_qty, skl.qty_unit, skl.status) == (Decimal(5), QtyUnit.BASE, Trading.OPEN)
    assert {each.book_proof for each in instruments.values()} == {0}, "nothing proves a book here"
    (body,) = bodies_of(data_dir, *COINBASE_EXCHANGE.instrument_lists)
    assert COINBASE_EXCHANGE.parse_instruments(body)[1] == []


def test_an_entry_that_cannot_be_used_is_a_fault() -> None:
    good = json.loads(COINBASE_EXCHANGE.unlisted("A-B", Decimal("0.1"), Decimal("0.1")))
    bad = [3, good, good | {"status": "?"}, good | {"id": ""}, good | {"id": "C", "quote_currency": "A/B"}]
    halted = good | {"id": "H-B", "trading_disabled": True}
    instruments, faults = COINBASE_EXCHANGE.parse_instruments(json.dumps([good, *bad, halted]))
    assert [(each.native_symbol, each.status) for each in instruments] == [("A-B", 1), ("H-B", 4)]
    assert len(faults) == len(bad)


# Connections.


def test_all_channels_in_one_message_and_never_too_many_products(data_dir: Path) -> None:
    btc, eth = named(COINBASE_EXCHANGE, "BTC-USD", "ETH-USD")
    (request,) = COINBASE_EXCHANGE.subscribe(default_streams(COINBASE_EXCHANGE, [btc, eth]))
    assert json.loads(request.text) == {
        "type": "subscribe",
        "channels": [
            *(
                {"name": name, "product_ids": ["BTC-USD", "ETH-USD"]}
                for name in ("level2_batch", "matches", "ticker", "heartbeat")
            ),
            {"name": "status"},
        ],
    }
    instruments = listed(COINBASE_EXCHANGE, data_dir)
    requests = COINBASE_EXCHANGE.subscribe(default_streams(COINBASE_EXCHANGE, instruments))
    parts = [part for request in requests for part in json.loads(request.text)["channels"]]
    assert max(len(part.get("product_ids", [])) for part in parts) == PRODUCTS_AT_ONCE
    plans = plan_connections(COINBASE_EXCHANGE, instruments, COINBASE_EXCHANGE.default_channels, {})
    assert all(len(plan.instruments) <= 50 for plan in plans)
    fed = [plan for plan in plans if planned_books(COINBASE_EXCHANGE, plan)]
    cadences = {spec_of(plan, COINBASE_EXCHANGE).cadence_ns for plan in fed}
    assert cadences == {1_000_000_000}, "heartbeats promise a message"


def test_streams_and_requests(data_dir: Path) -> None:
    instruments = listed(COINBASE_EXCHANGE, data_dir)
    check_streams(COINBASE_EXCHANGE, instruments)
    check_requests(COINBASE_EXCHANGE, instruments)


def test_the_batched_book_is_acknowledged_by_another_name() -> None:
    client = Client("/")
    (request,) = COINBASE_EXCHANGE.subscribe(["level2_batch:BTC-USD"])
    (answer,) = COINBASE_EXCHANGE.exchange.on_text(client, request.text)
    channels = json.loads(answer)["channels"]
    assert channels == [{"name": "level2_50", "product_ids": ["BTC-USD"]}]
    assert COINBASE_EXCHANGE.control(answer) == Ack()


def test_what_needs_an_account_is_refused(capture: Callable[[str], Path]) -> None:
    """Recorders of 2021 asked for `level2` without one."""
    client = Client("/")
    asked = lines(capture(CAPTURE), "send")
    answers = [COINBASE_EXCHANGE.exchange.on_text(client, text.decode())[0] for text in asked]
    controls = [COINBASE_EXCHANGE.control(answer) for answer in answers]
    assert isinstance(controls[0], Error)
    assert "require authentication" in controls[0].message
    assert controls[1:] == [Ack(), Ack()]
    assert {stream.partition(":")[0] for stream in client.streams} == {"ticker", "matches"}


def test_a_late_subscriber_gets_the_book(capture: Callable[[str], Path]) -> None:
    for native, book in books_of(received(capture(CAPTURE)), coinbase_exchange).items():
        check_book_again(COINBASE_EXCHANGE, Client("/"), f"level2_batch:{native}", book, coinbase_exchange)


def test_control_messages() -> None:
    control = COINBASE_EXCHANGE.control
    assert control('{"type":"subscriptions","channels":[]}') == Ack()
    assert control('{"type":"heartbeat","sequence":1,"last_trade_id":2,"product_id":"A"}') == Ignored(
        "heartbeat"
    )
    assert control('{"type":"error","message":"Failed","reason":"why"}') == Error(None, "Failed: why")
    status = '{"type":"status","products":[{"id":"BTC-USD","status":"offline"}],"currencies":[{"id":"BTC"}]}'
    assert control(status) == Several((InstrumentStatus("BTC-USD", Trading.HALTED, "offline"),))
    assert COINBASE_EXCHANGE.stream_of(status) == "!status"
    assert control('{"type":"received"}') == Unknown("received")
    for text in ("x", '{"type":"hello"}', '{"type":"subscribe","channels":["quotes"]}'):
        (answer,) = COINBASE_EXCHANGE.exchange.on_text(Client("/"), text)
        assert isinstance(control(answer), Error)
