"""Bybit v5 and v2: recordings, samples, and what the exchange's fact sheet warns of."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from core_events import Reader
from outcrier import _core
from outcrier.instruments import QtyUnit, Trading
from outcrier.symbols import Kind
from outcrier.venues import Venue
from outcrier.venues.base import Ack, Error, Pong, Several, Unknown
from outcrier.venues.bybit import BYBIT, BYBIT_INVERSE, BYBIT_LINEAR, BYBIT_OPTION, Bybit
from outcrier.venues.bybit_exchange import CHARS_MAX
from outcrier.venues.bybit_v2 import BYBIT_V2
from outcrier.venues.exchange_side import Client
from plain import bybit as plain
from plain_events import BLOCK, BUY, Deriv, Plain, Trade, parse, received
from planning import plan_connections, planned_books
from venue_feeds import (
    Captures,
    Fed,
    NaiveBook,
    bodies,
    check_exchange,
    check_feed,
    check_streams,
    check_symbols,
    unlisted,
)
from venue_sessions import Session, check_unknown, compare, listed_exps

TODAY: tuple[Bybit, ...] = (BYBIT, BYBIT_LINEAR, BYBIT_INVERSE, BYBIT_OPTION)
NATIVE: dict[Venue, str] = {
    BYBIT: "BTCUSDT",
    BYBIT_LINEAR: "BTCUSDT",
    BYBIT_INVERSE: "BTCUSD",
    BYBIT_OPTION: "BTC-30JUN25-100000-C",
    BYBIT_V2: "BTCUSDT",
}
SPOT, LINEAR, INVERSE, OPTION = (plain.Bybit(venue.category) for venue in TODAY)
RECORDED: list[tuple[Venue, str, Plain, dict[str, int]]] = [
    (
        *(BYBIT_LINEAR, "bybit/v5_linear_2026-08-09", LINEAR),
        {
            "messages": 1652,
            "for_python": 17,
            "book": 1019,
            "levels": 12060,
            "trade": 167,
            "ticker": 51,
            "candle": 51,
            "deriv": 103,
        },
    ),
    (
        *(BYBIT, "bybit/v5_spot_2026-08-09", SPOT),
        {
            "messages": 681,
            "for_python": 7,
            "book": 550,
            "levels": 3075,
            "trade": 20,
            "ticker": 81,
            "candle": 25,
        },
    ),
    (
        *(BYBIT_LINEAR, "bybit/v5_linear_l1_2025-06-13", LINEAR),
        {"messages": 202, "for_python": 4, "book": 198, "levels": 396},
    ),
    (
        *(BYBIT, "bybit/v5_spot_l1_2025-06-13", SPOT),
        {"messages": 145, "for_python": 6, "book": 139, "levels": 278},
    ),
    (
        *(BYBIT_LINEAR, "bybit/v5_linear_orderbook1_btcusdt_2024-11-08", LINEAR),
        {"messages": 2355, "for_python": 1, "book": 2354, "levels": 3044},
    ),
    (
        *(BYBIT, "bybit/v5_spot_orderbook50_btcusdt_2026-08-24", SPOT),
        {"messages": 10, "for_python": 1, "book": 9, "levels": 116},
    ),
    (
        *(BYBIT_V2, "bybit/v2_linear_2021-04-17", plain.bybit_v2),
        {"messages": 3342, "for_python": 16, "book": 3260, "levels": 20342, "trade": 101},
    ),
]
SESSIONS = [
    Session(name, venue.shapes_json, lambda decode=decode: decode, counts, listed_exps(venue))  # type: ignore[misc]
    for venue, name, decode, counts in RECORDED
]

each_session = pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.capture)
each_recorded = pytest.mark.parametrize(
    ("venue", "name", "decode"), [each[:3] for each in RECORDED], ids=[each[1] for each in RECORDED]
)
each_venue = pytest.mark.parametrize("venue", NATIVE, ids=lambda venue: venue.name)
of_today = pytest.mark.parametrize("venue", TODAY, ids=lambda venue: venue.name)


@each_session
def test_instruments_that_nobody_asked_for_are_counted_unknown(session: Session, capture: Captures) -> None:
    check_unknown(session, capture)


@each_recorded
def test_a_feed_has_the_naive_books(venue: Venue, name: str, decode: Plain, capture: Captures) -> None:
    fed = check_feed(venue, name, decode, capture)
    for native in fed.books:
        bids, asks = fed.sides(native)
        depth = {"200": 200, "1_": 1, "50": 50}.get(name.partition("orderbook")[2][:2])
        if "2026-08-09" in name:
            depth = 200
        assert depth is None or len(bids) <= depth >= len(asks)


# Messages that the fact sheet quotes: recordings of tardis-node (test/mappers.test.ts) and documentation.
QUOTED = [
    '{"topic":"publicTrade.BTCUSDT","ts":1680652847526,"type":"snapshot","data":[{"i":"2290000000050703789","T":1680652847524,"p":"28165.38","v":"0.041732","S":"Sell","s":"BTCUSDT","BT":false}]}',
    '{"topic":"orderbook.50.BTCPERP","type":"snapshot","ts":1680673821591,"data":{"s":"BTCPERP","b":[["28555.20","0.597"]],"a":[["28555.30","0.225"]],"u":20683568,"seq":10916156551}}',
    '{"topic":"orderbook.50.BTCPERP","type":"delta","ts":1680673821651,"data":{"s":"BTCPERP","b":[["28555.20","0.677"]],"a":[["28555.30","0.029"]],"u":20683569,"seq":10916156553}}',
    '{"topic":"allLiquidation.PIPPINUSDT","type":"snapshot","ts":1740480207578,"data":[{"T":1740480207110,"s":"PIPPINUSDT","S":"Sell","v":"2846","p":"0.02456"}]}',
    '{"topic":"kline.5.BTCUSDT","data":[{"start":1672324800000,"end":1672325099999,"interval":"5","open":"16649.5","close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005","confirm":false,"timestamp":1672324988882}],"ts":1672324988882,"type":"snapshot"}',
]
QUOTED_INVERSE = [
    '{"topic":"publicTrade.BTCUSD","type":"snapshot","ts":1680673823566,"data":[{"T":1680673823564,"s":"BTCUSD","S":"Buy","v":"5823","p":"28560.50","L":"PlusTick","i":"0cbf2330-952d-5d03-a462-4bf826c867af","BT":false}]}',
    '{"topic":"publicTrade.BTCUSD","type":"snapshot","ts":1680673823566,"data":[{"T":1680673823564,"s":"BTCUSD","S":"Buy","v":"5823","p":"28560.50","L":"PlusTick","i":"0cbf2330-952d-5d03-a462-4bf826c867af","BT":true}]}',
    # The documentation's ticker of a dated contract (2025-10), of which the fields at issue.
    '{"topic":"tickers.BTCUSDU26","type":"snapshot","data":{"symbol":"BTCUSDU26","lastPrice":"65114.30","prevPrice24h":"65008.70","openInterest":"59891","openInterestValue":"0.91","turnover24h":"17.5739","volume24h":"1142118","nextFundingTime":"0","fundingRate":"","markPrice":"65117.44","indexPrice":"65137.76"},"cs":753843907770,"ts":1786310817883}',
]


CHANGE, BOOK = [
    '{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"65117.43"},"cs":1,"ts":2}',
    '{"topic":"orderbook.200.BTCUSDT","ts":1786310816618,"type":"snapshot","data":{"s":"BTCUSDT","b":[["1","2"]],"a":[],"u":5,"seq":1},"cts":1786310816585}',
]


def test_messages_that_the_fact_sheet_quotes() -> None:
    handled = compare(Reader(BYBIT_LINEAR.shapes_json), [text.encode() for text in QUOTED], LINEAR)
    assert handled == len(QUOTED)
    reader = Reader(BYBIT_INVERSE.shapes_json)
    assert compare(reader, [text.encode() for text in QUOTED_INVERSE], INVERSE) == len(QUOTED_INVERSE)
    block, liquidation = [
        event
        for decode, text in ((INVERSE, QUOTED_INVERSE[1]), (LINEAR, QUOTED[3]))
        for event in decode(parse(text)) or ()
    ]
    assert isinstance(block, Trade)
    assert block.flags == BLOCK
    assert isinstance(liquidation, Trade)
    assert liquidation.aggressor == BUY, "Sell: a short position was liquidated, which bought"


# Instruments.


@pytest.mark.parametrize(
    ("venue", "count"), [(BYBIT, 557), (BYBIT_LINEAR, 800), (BYBIT_V2, 9)], ids=["spot", "linear", "v2"]
)
def test_names_of_the_whole_list_are_one_to_one(venue: Venue, count: int, capture: Captures) -> None:
    instruments, faults = venue.parse_instruments(*bodies(venue, capture))
    assert faults == []
    assert len(instruments) == count
    check_symbols(instruments)
    assert {each.qty_unit for each in instruments} == {QtyUnit.BASE}


def test_linear_contracts_by_name(capture: Captures) -> None:
    catalogue = check_symbols(BYBIT_LINEAR.parse_instruments(*bodies(BYBIT_LINEAR, capture))[0])
    assert catalogue.find("BTCUSDT").symbol == "BTC/USDT:PERP"
    assert catalogue.find("BTCPERP").symbol == "BTC/USDC:PERP"
    future = catalogue.find("BTCUSDT-14AUG26")
    assert (future.symbol, future.kind, future.expiry_ts) == (
        *("BTC/USDT:20260814", Kind.FUTURE),
        1_786_694_400_000_000_000,
    )
    assert future.book_proof == 1


def sampled(venue: Venue, data_dir: Path, name: str) -> Any:
    path = data_dir / "samples" / "bybit" / f"http_get_instruments_{name}.json"
    if not path.is_file():
        pytest.skip(f"sample is missing: {path}")
    instruments, faults = venue.parse_instruments(path.read_bytes())
    assert faults == []
    for other in TODAY:
        assert other is venue or other.parse_instruments(path.read_bytes()) == ([], [])
    return check_symbols(instruments)


def test_each_category_describes_its_instruments(data_dir: Path) -> None:
    inverse = sampled(BYBIT_INVERSE, data_dir, "inverse").find("BTCUSD")
    assert inverse.symbol == "BTC/USD:BTC:PERP"
    assert (inverse.qty_unit, inverse.contract_size) == (QtyUnit.CONTRACTS_OF_QUOTE, 1)
    option = sampled(BYBIT_OPTION, data_dir, "option_symbol_id").find("BTC-30JUN25-100000-C")
    assert option.symbol == "BTC/USD:USDC:20250615-100000-C", "the sample's expiry is made up"
    assert (option.strike, option.option_type, option.lot_size) == (100_000, 1, Decimal("0.01"))
    assert sampled(BYBIT_OPTION, data_dir, "option").find("ETH-26JUN26-16000-P").option_type == 2
    spot = sampled(BYBIT, data_dir, "spot").find("BTC/USDT")
    assert (spot.tick_size, spot.lot_size, spot.min_qty) == (
        Decimal("0.1"),
        Decimal("0.0001"),
        Decimal("0.001"),
    )
    assert len(sampled(BYBIT_LINEAR, data_dir, "linear_symbol_type")) == 1


def test_coins_of_recorded_tickers_agree_with_their_turnover(capture: Captures) -> None:
    """Linear and spot count coins: turnover over volume is a price of the day."""
    for venue, name in ((BYBIT_LINEAR, "bybit/v5_linear_2026-08-09"), (BYBIT, "bybit/v5_spot_2026-08-09")):
        checked = 0
        for frame in received(capture(name)):
            message = parse(frame)
            data = message.get("data")
            if (
                message.get("topic", "").startswith("tickers.")
                and "highPrice24h" in data
                and "volume24h" in data
            ):
                average = Decimal(data["turnover24h"]) / Decimal(data["volume24h"])
                assert Decimal(data["lowPrice24h"]) <= average <= Decimal(data["highPrice24h"]), venue.name
                checked += 1
        assert checked > 3


def test_an_entry_that_cannot_be_used_is_a_fault_and_the_others_stay() -> None:
    good = json.loads(BYBIT_LINEAR.unlisted("BTCUSDT", Decimal("0.1"), Decimal("0.001")))
    good |= {"baseCoin": "BTC", "quoteCoin": "USDT", "settleCoin": "USDT"}
    bad: list[Any] = [
        3,
        {"status": "Trading"},
        good | {"symbol": "A", "status": "What"},
        good | {"symbol": "B", "contractType": "What"},
        good | {"symbol": "C", "baseCoin": "A/B"},
        good | {"symbol": "D", "baseCoin": ""},
        good | {"symbol": "E", "contractType": "LinearFutures", "deliveryTime": "1e30"},
        good | {"symbol": "F", "priceFilter": {"tickSize": "NaN"}},
        good,
    ]
    body = json.dumps({"retCode": 0, "result": {"list": [good, *bad]}})
    instruments, faults = BYBIT_LINEAR.parse_instruments(body)
    assert [each.symbol for each in instruments] == ["BTC/USDT:PERP"]
    assert len(faults) == len(bad)
    refused = '{"retCode":10006,"retMsg":"Too many visits!","result":{}}'
    instruments, faults = BYBIT_LINEAR.parse_instruments(refused, body)
    assert len(instruments) == 1
    assert faults[0].reason == "instrument list: 10006: Too many visits!"
    strange = good | {"symbol": "BTC-X", "contractType": "", "optionsType": "Call"}
    assert len(BYBIT_OPTION.parse_instruments(json.dumps({"result": {"list": [strange]}}))[1]) == 1


@each_venue
def test_an_instrument_known_only_by_name(venue: Venue) -> None:
    instrument = unlisted(venue, NATIVE[venue])
    assert (instrument.symbol, instrument.status) == (NATIVE[venue], Trading.OPEN)
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.1"), Decimal("0.001"))


def test_lists_are_asked_for_page_by_page() -> None:
    targets = {venue.category: [each.target for each in venue.instruments_requests()] for venue in TODAY}
    path = "/v5/market/instruments-info?category="
    assert targets["spot"] == [f"{path}spot"]
    assert targets["linear"] == [
        f"{path}linear&limit=1000",
        f"{path}linear&limit=1000&status=PreLaunch",
    ]
    assert targets["option"][:2] == [
        f"{path}option&limit=1000&baseCoin=BTC",
        f"{path}option&limit=1000&baseCoin=ETH",
    ]
    first = BYBIT_LINEAR.instruments_requests()[0]
    # The cursor comes encoded for a URL, and is not encoded twice.
    following = BYBIT_LINEAR.next_page(
        first, '{"result":{"list":[],"nextPageCursor":"first%3D0G%26last%3DX"}}'
    )
    assert following is not None
    assert following.target == f"{path}linear&limit=1000&cursor=first%3D0G%26last%3DX"
    third = BYBIT_LINEAR.next_page(following, '{"result":{"list":[],"nextPageCursor":"b"}}')
    assert third is not None
    assert third.target == f"{path}linear&limit=1000&cursor=b"
    for end in ('{"result":{"list":[],"nextPageCursor":""}}', '{"result":{"list":[]}}', "{"):
        assert BYBIT_LINEAR.next_page(third, end) is None


# Streams, requests, the exchange's side.


@each_venue
def test_streams_requests_and_the_exchange_agree(venue: Venue) -> None:
    instrument = unlisted(venue, NATIVE[venue])
    check_streams(venue, instrument)
    streams = venue.streams(instrument, list(venue.channels), {})
    whole = [venue.whole_venue_stream(each) for each in venue.channels.values() if each.whole_venue]
    check_exchange(venue, [*streams, *whole])


def test_trades_of_options_come_by_coin() -> None:
    instrument = unlisted(BYBIT_OPTION, "ETH-26JUN26-16000-P")
    channels = BYBIT_OPTION.default_channels
    (plan,) = plan_connections(BYBIT_OPTION, [instrument], channels, {})
    assert plan.url == "wss://stream.bybit.com/v5/public/option"
    assert plan.streams[:2] == ("orderbook.100.ETH-26JUN26-16000-P", "tickers.ETH-26JUN26-16000-P")
    assert plan.streams[2:4] == ("publicTrade.BTC", "publicTrade.ETH")
    assert BYBIT_OPTION.native_symbol_of("publicTrade.ETH") is None


def test_the_default_depth_is_200() -> None:
    for venue in (BYBIT, BYBIT_LINEAR, BYBIT_INVERSE):
        books = [name for name in venue.default_channels if venue.channels[name].book]
        assert books == ["orderbook.200"]
    assert BYBIT.default_channels == ("orderbook.200", "publicTrade", "tickers", "kline.1")
    assert "allLiquidation" in BYBIT_LINEAR.default_channels


@pytest.mark.parametrize("venue", [BYBIT, BYBIT_LINEAR], ids=lambda venue: venue.name)
def test_connections_and_requests_stay_within_the_limits(venue: Bybit, capture: Captures) -> None:
    instruments, _ = venue.parse_instruments(*bodies(venue, capture))
    plans = plan_connections(venue, instruments, venue.default_channels, {})
    assert sorted(native for plan in plans for native in planned_books(venue, plan)) == sorted(
        each.native_symbol for each in instruments
    )
    for plan in plans:
        requests = [json.loads(request.text) for request in venue.subscribe(plan.streams)]
        assert [arg for each in requests for arg in each["args"]] == list(plan.streams)
        assert len(json.dumps(plan.streams, separators=(",", ":"))) <= CHARS_MAX
        assert max(len(each["args"]) for each in requests) <= (10 if venue is BYBIT else 200)
        assert [each["req_id"] for each in requests] == [str(n) for n in range(1, len(requests) + 1)]
    assert len(plans) > 1


def test_the_exchange_refuses_what_is_beyond_its_limits() -> None:
    client = Client("/v5/public/spot")
    eleven = json.dumps({"op": "subscribe", "args": [f"tickers.A{number}" for number in range(11)]})
    (answer,) = BYBIT.exchange.on_text(client, eleven)
    assert BYBIT.control(answer) == Error(None, "args size >10", None)
    client = Client("/v5/public/linear")
    many = json.dumps({"op": "subscribe", "args": [f"orderbook.200.A{number}USDT" for number in range(900)]})
    assert isinstance(BYBIT_LINEAR.control(BYBIT_LINEAR.exchange.on_text(client, many)[0]), Error)
    (answer,) = BYBIT_LINEAR.exchange.on_text(client, '{"op":"subscribe","args":["nothing.X"],"req_id":"4"}')
    assert BYBIT_LINEAR.control(answer) == Error(None, "error:handler not found,topic:nothing.X", "4")
    assert client.streams == {}


def test_options_say_which_topics_failed_though_success_is_true() -> None:
    client = Client("/v5/public/option")
    text = json.dumps(
        {"op": "subscribe", "args": ["tickers.BTC-30JUN25-100000-C", "nothing.X"], "req_id": "1"}
    )
    (answer,) = BYBIT_OPTION.exchange.on_text(client, text)
    assert json.loads(answer)["success"] is True
    assert BYBIT_OPTION.control(answer) == Several(
        (Error(None, "topic failed", None, "nothing.X"), Ack(None))
    )
    assert list(client.streams) == ["tickers.BTC-30JUN25-100000-C"]


# Control messages.


def test_control_messages(data_dir: Path) -> None:
    folder = data_dir / "samples" / "bybit"
    assert BYBIT_LINEAR.control((folder / "ws_subscription_ack.json").read_bytes()) == Ack("sub-orderbook-1")
    refused = BYBIT_LINEAR.control((folder / "ws_subscription_failure.json").read_bytes())
    assert refused == Error(None, "Invalid topic: invalid.topic.BTCUSDT", None)
    pong = '{"success":true,"ret_msg":"pong","conn_id":"0970e817","req_id":"","op":"ping"}'
    assert BYBIT.control(pong) == BYBIT_OPTION.control('{"args":["1672916271846"],"op":"pong"}') == Pong()
    assert BYBIT.control('{"topic":"x","data":{}}') == Unknown("x")
    assert BYBIT.control("{}") == Unknown("object")
    for venue in NATIVE:
        client = Client(venue.route(""))
        (answer,) = venue.exchange.on_text(client, venue.keepalive.client_ping)
        assert venue.control(answer) == Pong()
        assert venue.keepalive.client_ping_every_s == 20


# Sequences.


def book(kind: str, number: int, bids: list[list[str]]) -> bytes:
    data = {"s": "BTCUSDT", "b": bids, "a": [], "u": number, "seq": number}
    return json.dumps({"topic": "orderbook.200.BTCUSDT", "type": kind, "ts": 1, "data": data}).encode()


def test_a_restart_of_the_service_is_a_whole_book_and_no_gap() -> None:
    fed = Fed(BYBIT_LINEAR, {"BTCUSDT": (2, 3)})
    fed.feed.on_frame(1, book("snapshot", 900, [["65114.20", "6.054"]]), 1)
    fed.feed.on_frame(1, book("delta", 901, [["65114.10", "1"]]), 1)
    fed.feed.on_frame(1, book("snapshot", 1, [["65000.10", "2"]]), 1)
    fed.feed.on_frame(1, book("delta", 2, [["65000.00", "3"]]), 1)
    assert (fed.feed.state(0), fed.feed.counters()["gaps"]) == ("LIVE", 0)
    assert fed.sides("BTCUSDT")[0] == [
        (Decimal("65000.10"), Decimal(2)),
        (Decimal("65000.00"), Decimal(3)),
    ]
    fed.feed.on_frame(1, book("delta", 4, []), 1)
    assert (fed.feed.state(0), fed.feed.counters()["gaps"]) == ("STALE", 1)
    assert BYBIT_LINEAR.snapshot_request(unlisted(BYBIT_LINEAR, "BTCUSDT")) is None


def test_an_option_without_orders_has_an_empty_book() -> None:
    native = NATIVE[BYBIT_OPTION]
    fed = Fed(BYBIT_OPTION, {native: (1, 2)})
    data = {"s": native, "b": [], "a": [], "u": 0, "seq": 0}
    text = json.dumps({"topic": f"orderbook.100.{native}", "type": "snapshot", "ts": 1, "data": data})
    fed.feed.on_frame(1, text.encode(), 1)
    assert (fed.feed.state(0), fed.sides(native)) == ("LIVE", ([], []))


def test_a_ticker_of_changes_leaves_the_rest_as_it_was() -> None:
    reader = Reader(BYBIT_LINEAR.shapes_json)
    reader.add("BTCUSDT")
    reader.read(CHANGE.encode())
    (event,) = reader.events()
    assert event == Deriv("BTCUSDT", 2_000_000, {"mark": Decimal("65117.43")})


def test_the_order_of_keys_does_not_matter() -> None:
    """Spot sends `ts` before `type`, futures after it."""
    message = json.loads(BOOK)
    turned = json.dumps(dict(reversed(message.items())))
    for frame in (BOOK, turned):
        reader = Reader(BYBIT.shapes_json)
        assert compare(reader, [frame.encode()], SPOT) == 1
        assert BYBIT.exchange_time_ns(frame) == 1_786_310_816_585_000_000


def test_the_exchange_sends_the_book_it_has_cut_to_the_depth_asked_for() -> None:
    naive = NaiveBook(123, 1_597_026_383_085_000_000)
    naive.bids = {Decimal(f"{price}.10"): Decimal("2.50") for price in range(10, 300)}
    naive.asks = {Decimal(f"{price}.10"): Decimal("3.0") for price in range(400, 403)}
    for depth in (200, 50, 1000, 1):
        fed = Fed(BYBIT_LINEAR, {"BTCUSDT": (2, 3)})
        stream = f"orderbook.{depth}.BTCUSDT"
        (text,) = BYBIT_LINEAR.exchange.on_subscribed(Client("/v5/public/linear"), stream, naive)
        assert not fed.feed.on_frame(1, text.encode(), 1) & _core.FOR_PYTHON
        bids, asks = naive.sorted()
        assert fed.sides("BTCUSDT") == (bids[:depth], asks[:depth])
        following = json.loads(text) | {"type": "delta"}
        following["data"] |= {"u": 124, "b": [["9.10", "1"]], "a": []}
        fed.feed.on_frame(1, json.dumps(following).encode(), 1)
        assert fed.feed.state(0) == "LIVE"


def test_who_subscribes_a_ticker_late_gets_a_whole_one(capture: Captures) -> None:
    exchange = BYBIT_LINEAR.exchange
    before: str | None = None
    wanted: dict[str, Any] = {}
    for frame in received(capture("bybit/v5_linear_2026-08-09")):
        message = json.loads(frame)
        if message.get("topic") == "tickers.BTCUSDT":
            wanted |= message["data"]
            before = exchange.state("tickers.BTCUSDT", before, frame.decode())
    assert before is not None
    assert json.loads(before)["type"] == "snapshot"
    assert json.loads(before)["data"] == wanted
    assert exchange.state("kline.1.BTCUSDT", None, "{}") is None


def test_the_exchange_answers_lists_as_recorded() -> None:
    target = BYBIT.instruments_requests()[0].target
    answer = BYBIT.exchange.rest(target, {target: '{"x":1}'}, {})
    assert answer is not None
    assert answer.body == '{"x":1}'
    page = BYBIT_LINEAR.exchange.rest("/v5/market/instruments-info?category=linear&cursor=x", {}, {})
    assert page is not None
    assert BYBIT_LINEAR.parse_instruments(page.body) == ([], [])
    other = BYBIT.exchange.rest("/v5/market/instruments-info?category=what", {}, {})
    assert other is not None
    assert json.loads(other.body)["retCode"] == 10001


def test_the_old_dialect_is_marked() -> None:
    assert BYBIT_V2.old_dialect
    assert [venue.old_dialect for venue in TODAY] == [""] * 4
    assert unlisted(BYBIT_V2, "BTCUSDT").book_proof == 0, "cross_seq has holes: nothing proves a book"
