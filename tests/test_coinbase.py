"""Coinbase Advanced Trade: its captures and samples, and what its documentation says (each trap of it)."""

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
from outcrier.symbols import Kind
from outcrier.venues.base import Ack, Error, HttpRequest, Ignored, InstrumentStatus, Several, Unknown
from outcrier.venues.coinbase import COINBASE, PRODUCTS_AT_ONCE
from outcrier.venues.exchange_side import Client
from plain.coinbase import coinbase
from plain_events import Book, Candle, Ticker, Trade, lines, parse, received
from planning import plan_connections
from venue_checks import (
    TextBook,
    answered,
    bodies_of,
    books_of,
    check_book_again,
    check_requests,
    check_streams,
    default_streams,
    listed,
    named,
)

ADVANCED = "coinbase/advanced_2026-08-09"
LEVEL2 = "coinbase/advanced_level2_btcusd_2026-08-24"

HEARTBEAT = (
    '{"channel":"heartbeats","client_id":"","timestamp":"2026-04-07T14:30:10.000000Z","sequence_num":0,"events"'
    ':[{"current_time":"2026-04-07 14:30:10.000000000+00:00","heartbeat_counter":42}]}'
)
# Documentation, product-status: no capture holds one.
STATUS = (
    '{"channel":"status","client_id":"","timestamp":"2023-02-09T20:29:49.753424311Z","sequence_num":0,"events":[{"type":'
    '"snapshot","products":[{"product_type":"SPOT","id":"BTC-USD","base_currency":"BTC","quote_currency":"USD",'
    '"base_increment":"0.00000001","quote_increment":"0.01","display_name":"BTC/USD","status":"online",'
    '"status_message":"","min_market_funds":"1"},{"id":"DAI-USD","status":"delisted"},{"id":"A-USD","status":"?"}]}]}'
)


def read(text: str, symbol: str) -> list[Any]:
    reader = Reader(COINBASE.shapes_json)
    reader.add(symbol)
    assert reader.read(text.encode()) == Decoder.HANDLED, reader.decoder.reason
    return reader.events()


def test_the_side_of_a_trade_is_the_makers(capture: Callable[[str], Path]) -> None:
    """Public code takes it for the aggressor's. Most trades of the capture are at the best price of the side
    that is taken.
    """
    bests: dict[str, tuple[Decimal, Decimal]] = {}
    agreed = against = 0
    for frame in received(capture(ADVANCED)):
        message = parse(frame)
        for event in coinbase(message) or ():
            if type(event).__name__ == "Bbo" and event.bid and event.ask:  # type: ignore[union-attr]
                bests[event.symbol] = event.bid[0], event.ask[0]  # type: ignore[union-attr]
            elif isinstance(event, Trade) and message["events"][0]["type"] == "update":
                (mine,) = [each for each in read(frame.decode(), event.symbol) if each.id == event.id]
                bid, ask = bests[event.symbol]
                if event.price in {bid, ask} and bid != ask:
                    agreed += mine.aggressor == (1 if event.price == ask else 2)
                    against += mine.aggressor == (2 if event.price == ask else 1)
    assert agreed + against > 10
    assert agreed > 3 * against


def test_asks_are_called_offers_and_levels_that_were_never_sent_may_go(
    capture: Callable[[str], Path],
) -> None:
    unknown = 0
    books: dict[str, TextBook] = {}
    for frame in received(capture(ADVANCED)):
        for event in coinbase(parse(frame)) or ():
            if isinstance(event, Book):
                book = books.setdefault(event.symbol, TextBook())
                for side, levels in ((book.bids, event.bids), (book.asks, event.asks)):
                    unknown += sum(not qty and price not in side for price, qty in levels)
                book.apply(event, frame)
                assert max(book.bids) < min(book.asks)
    assert unknown > 0


def test_an_update_may_be_empty() -> None:
    text = (
        '{"channel":"l2_data","timestamp":"2026-08-24T22:34:13.813164957Z","sequence_num":1,'
        '"events":[{"type":"update","product_id":"BTC-USD","updates":[]}]}'
    )
    (book,) = read(text, "BTC-USD")
    assert (book.snapshot, book.bids, book.asks) == (False, [], [])


def test_volumes_of_futures_count_contracts_and_are_not_given_as_base_units(data_dir: Path) -> None:
    for name, part in (("ticker", "tickers"), ("candles", "candles")):
        text = (data_dir / "samples" / "coinbase" / f"ws_{name}.json").read_text()
        (spot, *_) = read(text, "BTC-USD")
        (future, *_) = read(text.replace("BTC-USD", "BIP-20DEC30-CDE"), "BIP-20DEC30-CDE")
        assert isinstance(spot, Ticker | Candle)
        assert spot.volume is not None, part
        assert (type(future), future.volume) == (type(spot), None)
        assert future.prices == spot.prices


def test_books_are_live_until_a_number_of_the_connection_is_missing(
    capture: Callable[[str], Path], data_dir: Path
) -> None:
    frames = list(received(capture(ADVANCED)))
    books = books_of(frames, coinbase)
    instruments = [each for each in listed(COINBASE, data_dir) if each.native_symbol in books]
    whole = Followed(COINBASE, *instruments)
    for frame in frames:
        whole.read(frame)
    assert whole.books() == {native: book.plain() for native, book in books.items()}
    # A heartbeat lost is a hole all the same: what else was lost with it nobody knows.
    lost = next(at for at, frame in enumerate(frames) if at > 300 and b'"heartbeats"' in frame)
    holed = Followed(COINBASE, *instruments)
    for frame in frames[:lost]:
        holed.read(frame)
    assert len(holed.books()) == 2
    holed.read(frames[lost + 1])
    assert holed.books() == {}


# Instruments.


def test_instruments(data_dir: Path) -> None:
    instruments = {each.native_symbol: each for each in listed(COINBASE, data_dir)}
    btc = instruments["BTC-USD"]
    assert (btc.symbol, btc.tick_size, btc.lot_size) == ("BTC/USD", Decimal("0.01"), Decimal("0.00000001"))
    assert (btc.qty_unit, btc.book_proof, btc.min_qty) == (QtyUnit.BASE, 1, Decimal("0.00000001"))
    assert instruments["DAI-USD"].status == Trading.DELISTED
    assert {each.status for each in instruments.values()} == {Trading.OPEN, Trading.DELISTED}


def test_an_alias_is_no_instrument_of_its_own(data_dir: Path) -> None:
    (body,) = bodies_of(data_dir, *COINBASE.instrument_lists)
    products = json.loads(body)["products"]
    aliases = {each["product_id"] for each in products if each["alias"]}
    natives = {each.native_symbol for each in listed(COINBASE, data_dir)}
    assert "BTC-USDC" in aliases
    assert natives == {each["product_id"] for each in products} - aliases
    assert {"USDT-USDC", "EURC-USDC"} <= natives
    assert COINBASE.parse_instruments(body)[1] == []


def test_a_contract_is_a_hundredth_of_a_coin_and_the_coin_is_one(data_dir: Path) -> None:
    """The known pair: BTC-USD in coins, BIP in contracts of 0.01 BTC; volume x size x price is what the venue
    gives as volume in dollars.
    """
    body = (data_dir / "samples" / "coinbase" / "http_products_future.json").read_text()
    instruments, faults = COINBASE.parse_instruments(body)
    assert faults == []
    perpetual, dated = instruments
    assert (perpetual.symbol, dated.symbol) == ("BTC/USD:20301220", "BTC/USD:20260424")
    assert (perpetual.kind, perpetual.base, perpetual.settle) == (Kind.FUTURE, "BTC", "USD")
    assert (perpetual.qty_unit, perpetual.contract_size) == (QtyUnit.CONTRACTS_OF_BASE, Decimal("0.01"))
    assert (perpetual.tick_size, perpetual.lot_size) == (Decimal(5), Decimal(1)), "not quote_increment"
    assert dated.expiry_ts == 1_777_042_800_000_000_000
    product = json.loads(body)["products"][0]
    in_dollars = Decimal(product["volume_24h"]) * perpetual.contract_size * Decimal(product["price"])
    assert in_dollars == Decimal(product["approximate_quote_24h_volume"])
    (spot,) = (each for each in listed(COINBASE, data_dir) if each.native_symbol == "BTC-USD")
    assert (spot.qty_unit, spot.contract_size) == (QtyUnit.BASE, Decimal(1))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"trading_disabled": True}, Trading.HALTED),
        ({"cancel_only": True}, Trading.HALTED),
        ({"is_disabled": True}, Trading.HALTED),
        ({"auction_mode": True}, Trading.AUCTION),
        ({"post_only": True}, Trading.PRE_OPEN),
        ({"limit_only": True}, Trading.OPEN),
        ({"status": "delisted", "trading_disabled": True}, Trading.DELISTED),
        ({"status": "offline"}, Trading.HALTED),
    ],
)
def test_statuses_and_what_restricts_trading(change: dict[str, Any], status: int) -> None:
    entry = json.loads(COINBASE.unlisted("BTC-USD", Decimal("0.01"), Decimal("0.001"))) | change
    (instrument,) = COINBASE.parse_instruments(json.dumps({"products": [entry]}))[0]
    assert instrument.status == status


def test_a_future_is_closed_outside_its_session(data_dir: Path) -> None:
    document = json.loads((data_dir / "samples" / "coinbase" / "http_products_future.json").read_text())
    document["products"][0]["fcm_trading_session_details"]["is_session_open"] = False
    closed, opened = COINBASE.parse_instruments(json.dumps(document))[0]
    assert (closed.status, opened.status) == (Trading.CLOSED, Trading.OPEN)


def test_an_entry_that_cannot_be_used_is_a_fault() -> None:
    good = json.loads(COINBASE.unlisted("A-B", Decimal("0.1"), Decimal("0.1")))
    bad = [3, good, good | {"status": "?"}, good | {"product_type": "SWAP"}, good | {"base_increment": "x"}]
    future = good | {"product_id": "F", "product_type": "FUTURE"}
    details = {"contract_expiry": "soon", "contract_size": "1", "contract_root_unit": "BTC"}
    bad.append(future | {"quote_currency_id": "USD", "future_product_details": details})
    instruments, faults = COINBASE.parse_instruments(json.dumps({"products": [good, *bad]}))
    assert (len(instruments), len(faults)) == (1, len(bad))
    assert COINBASE.parse_instruments("{}")[0] == []


def test_lists_have_pages(data_dir: Path) -> None:
    spot, future = COINBASE.instruments_requests()
    assert spot.target == "/api/v3/brokerage/market/products?product_type=SPOT"
    more = '{"products":[],"pagination":{"next_cursor":"a=b","has_next":true}}'
    page = COINBASE.next_page(future, more)
    assert page == HttpRequest(future.path, (("product_type", "FUTURE"), ("cursor", "a=b")))
    again = COINBASE.next_page(page, more.replace("a=b", "c"))
    assert again is not None
    assert again.query == (("product_type", "FUTURE"), ("cursor", "c"))
    (body,) = bodies_of(data_dir, *COINBASE.instrument_lists)
    assert COINBASE.next_page(spot, body) is None


# Connections.


def test_one_channel_a_message_and_never_too_many_products(data_dir: Path) -> None:
    instruments = listed(COINBASE, data_dir)
    plans = plan_connections(COINBASE, instruments, COINBASE.default_channels, {})
    assert all(len(plan.instruments) <= COINBASE.limits.symbols_per_connection for plan in plans)
    for requests in [COINBASE.subscribe(plan.streams) for plan in plans] + [
        COINBASE.subscribe(default_streams(COINBASE, instruments))
    ]:
        for request in requests:
            message = json.loads(request.text)
            assert message["channel"] in COINBASE.channels
            assert 0 < len(message["product_ids"]) <= PRODUCTS_AT_ONCE
            assert (message["type"], request.acks) == ("subscribe", 1)


def test_heartbeats_are_asked_for_first() -> None:
    (request,) = COINBASE.greeting()
    assert json.loads(request.text) == {"type": "subscribe", "channel": "heartbeats"}
    client = Client("/")
    exchange = COINBASE.exchange
    assert exchange.heartbeat(client) == []
    answered(COINBASE, client, [request])
    texts = exchange.heartbeat(client) + exchange.heartbeat(client)
    assert [json.loads(text)["events"][0]["heartbeat_counter"] for text in texts] == [1, 2]
    assert [COINBASE.control(text) for text in texts] == [Ignored("heartbeat")] * 2


def test_streams_and_requests(data_dir: Path) -> None:
    instruments = listed(COINBASE, data_dir)
    check_streams(COINBASE, instruments)
    client = check_requests(COINBASE, instruments)
    assert client.sent > 20


def test_every_message_to_a_client_has_the_next_number(capture: Callable[[str], Path]) -> None:
    client = Client("/")
    texts = answered(COINBASE, client, COINBASE.greeting())
    for frame in list(received(capture(ADVANCED)))[100:110]:
        texts.append(COINBASE.exchange.stamped(client, frame.decode()))
        client.sent += 1
    assert [json.loads(text)["sequence_num"] for text in texts] == list(range(11))
    assert (
        texts[5].split(',"events"')[1:]
        == list(received(capture(ADVANCED)))[104].decode().split(',"events"')[1:]
    )


def test_recorded_requests_are_understood(capture: Callable[[str], Path]) -> None:
    client = Client("/")
    sent = list(lines(capture(ADVANCED), "send"))
    assert len(sent) == 5
    for text in sent:
        (answer,) = COINBASE.exchange.on_text(client, text.decode())
        assert COINBASE.control(answer) == Ack()
    recorded = [parse(frame) for frame in received(capture(ADVANCED)) if b'"subscriptions"' in frame][-1]
    ours = json.loads(answer)["events"][0]["subscriptions"]
    theirs = recorded["events"][0]["subscriptions"]
    assert {name: set(each) for name, each in ours.items()} == {
        name: set(each) for name, each in theirs.items()
    }


def test_a_late_subscriber_gets_the_book(capture: Callable[[str], Path]) -> None:
    books = books_of(received(capture(ADVANCED)), coinbase)
    assert set(books) == {"BTC-USD", "ETH-USD"}
    for native, book in books.items():
        client = Client("/", sent=7)
        (event,) = check_book_again(COINBASE, client, f"level2:{native}", book, coinbase)
        assert event.time == book.exchange_ns
    assert COINBASE.exchange.on_subscribed(Client("/"), "market_trades:BTC-USD", None) == []


def test_control_messages(data_dir: Path) -> None:
    subscriptions = (data_dir / "samples" / "coinbase" / "ws_subscriptions.json").read_text()
    assert COINBASE.control(subscriptions) == Ack()
    assert COINBASE.control(HEARTBEAT) == Ignored("heartbeat")
    assert COINBASE.control('{"type":"error","message":"no"}') == Error(None, "no")
    assert COINBASE.control('{"channel":"user"}') == Unknown("user")
    assert COINBASE.control(STATUS) == Several(
        (
            InstrumentStatus("BTC-USD", Trading.OPEN, "online"),
            InstrumentStatus("DAI-USD", Trading.DELISTED, "delisted"),
            Unknown("status '?'"),
        )
    )
    assert COINBASE.stream_of(STATUS) == "status:BTC-USD"
    assert COINBASE.stream_of(HEARTBEAT) is None
    for text in ("x", '{"type":"hello"}', '{"type":"subscribe","channel":"full"}'):
        (answer,) = COINBASE.exchange.on_text(Client("/"), text)
        assert isinstance(COINBASE.control(answer), Error)


def test_times(capture: Callable[[str], Path]) -> None:
    frame = next(received(capture(LEVEL2)))
    assert COINBASE.exchange_time_ns(frame) == 1_787_610_853_793_075_885
    first = next(received(capture(ADVANCED)))
    assert COINBASE.exchange_time_ns(first) == 1_786_309_542_514_318_000, "of the trade"


def test_named_by_their_own_word_where_no_list_has_them() -> None:
    (odd,) = named(COINBASE, "NEW-USD")
    assert (odd.symbol, odd.base, odd.tick_size) == ("NEW-USD", "", Decimal("0.01"))
