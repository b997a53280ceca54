"""Deribit v2: recordings, samples, and what the exchange's fact sheet warns of."""

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
from outcrier.venues.base import Ack, Error, Ignored, InstrumentStatus, Pong, Reply, Unknown, refused
from outcrier.venues.deribit import CHANNELS_MAX, DERIBIT, HEARTBEAT_S
from outcrier.venues.exchange_side import Client
from plain.deribit import OFF_BOOK, deribit
from plain_events import BLOCK, LIQUIDATION, Trade, lines, parse, received
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

SESSIONS = [
    Session(
        "deribit/v2_2021-07-22",
        DERIBIT.shapes_json,
        lambda: deribit,
        {"messages": 99, "for_python": 1, "book": 36, "levels": 139, "ticker": 62, "deriv": 62},
        listed_exps(DERIBIT),
    ),
    Session(
        "deribit/ssc2ce_dump_2020-06",
        DERIBIT.shapes_json,
        lambda: deribit,
        {"messages": 6, "for_python": 1, "book": 5, "levels": 686},
    ),
]

each_session = pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.capture)


@each_session
def test_instruments_that_nobody_asked_for_are_counted_unknown(session: Session, capture: Captures) -> None:
    check_unknown(session, capture)


def test_a_feed_has_the_naive_books(capture: Captures) -> None:
    fed = check_feed(DERIBIT, "deribit/v2_2021-07-22", deribit, capture)
    assert len(fed.books) == 10


def test_a_recording_that_was_trimmed_has_the_gap_where_it_was(capture: Captures) -> None:
    """The last updates of the dump do not follow each other."""
    frames = list(received(capture("deribit/ssc2ce_dump_2020-06")))
    fed = Fed(DERIBIT, {"BTC-PERPETUAL": (1, 1)})
    ids: list[tuple[int | None, int]] = []
    for frame in frames[1:]:
        data = json.loads(frame)["params"]["data"]
        if ids and data["prev_change_id"] != ids[-1][1]:
            break
        assert not fed.take(frame, deribit, parse(frame))
        ids.append((data.get("prev_change_id"), data["change_id"]))
    fed.check()
    assert len(ids) < len(frames) - 1
    fed.feed.on_frame(1, frames[len(ids) + 1], 1)
    assert (fed.feed.state(0), fed.feed.counters()["gaps"]) == ("STALE", 1)


# Messages that the fact sheet quotes: recordings of tardis-node and nautilus_trader.
QUOTED = [
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.ETH-PERPETUAL.raw","data":{"timestamp":1564617654272,"prev_change_id":1776294621,"instrument_name":"ETH-PERPETUAL","change_id":1776294623,"bids":[["delete",217.8,0.0]],"asks":[["change",219.2,64903.0],["change",219.1,19343.0]]}}}',
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.BTC-PERPETUAL.100ms","data":[{"timestamp":1765531356452,"price":92288.5,"amount":750.0,"direction":"sell","index_price":92276.75,"instrument_name":"BTC-PERPETUAL","trade_seq":271252855,"mark_price":92287.11,"tick_direction":2,"contracts":75.0,"trade_id":"403691825"}]}}',
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.BTC-PERPETUAL","data":{"timestamp":1765541767174,"instrument_name":"BTC-PERPETUAL","best_ask_price":92288.5,"best_bid_price":92288.0,"best_ask_amount":99470.0,"best_bid_amount":133440.0}}}',
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"quote.BTC-27DEC24-100000-C","data":{"timestamp":1765541767174,"instrument_name":"BTC-27DEC24-100000-C","best_ask_price":0.0005,"best_bid_price":0.0,"best_ask_amount":1.5,"best_bid_amount":0.0}}}',
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"chart.trades.BTC-PERPETUAL.1","data":{"tick":1767200040000,"open":87490.0,"high":87500.0,"low":87465.0,"close":87474.0,"volume":0.95978896,"cost":83970.0}}}',
    '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"chart.trades.BTC-PERPETUAL.1","data":{"tick":1767200040000,"open":87490.0,"high":87490.0,"low":87490.0,"close":87490.0,"volume":1.1403e-4,"cost":10.0}}}',
    '{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}',
]


def test_messages_that_the_fact_sheet_quotes() -> None:
    assert (
        compare(Reader(DERIBIT.shapes_json), [text.encode() for text in QUOTED], deribit) == len(QUOTED) - 1
    )


def test_without_a_quote_there_is_no_best_price() -> None:
    reader = Reader(DERIBIT.shapes_json)
    reader.add("BTC-27DEC24-100000-C")
    reader.read(QUOTED[3].encode())
    (event,) = reader.events()
    assert event[2:4] == (None, (Decimal("0.0005"), Decimal("1.5"), 0))


@pytest.mark.parametrize("prev", ["null", "0", None])
def test_a_whole_book_has_no_previous_id_whatever_it_prints(prev: str | None, data_dir: Path) -> None:
    """The first change after it must not be dropped for that."""
    folder = data_dir / "samples" / "deribit"
    whole = (folder / "ws_book_snapshot.json").read_text()
    previous = "" if prev is None else f'"prev_change_id": {prev},'
    assert '"prev_change_id": null,' in whole
    whole = whole.replace('"prev_change_id": null,', previous)
    for text in (whole, whole.replace('"type": "snapshot",', "")):
        fed = Fed(DERIBIT, {"BTC-PERPETUAL": (1, 1)})
        assert not fed.take(text.encode(), deribit, parse(text))
        change = (folder / "ws_book_delta.json").read_text()
        assert not fed.take(change.encode(), deribit, parse(change))
        fed.check()


# Trades.


def trades_of(data_dir: Path, name: str) -> list[Any]:
    path = data_dir / "samples" / "deribit" / f"http_get_last_trades{name}.json"
    if not path.is_file():
        pytest.skip(f"sample is missing: {path}")
    rows: list[Any] = parse(path.read_bytes())["result"]["trades"]
    return rows


def pushed(rows: list[Any]) -> bytes:
    """Trades as a channel brings them."""
    text = json.dumps(rows, default=str)
    params = f'{{"channel":"trades.{rows[0]["instrument_name"]}.100ms","data":{text}}}'
    return f'{{"jsonrpc":"2.0","method":"subscription","params":{params}}}'.encode()


def test_legs_of_a_combo_are_counted_once_and_marked(data_dir: Path) -> None:
    """The combo itself is no instrument here; its trades are those of its legs, off their books."""
    combos = trades_of(data_dir, "_future_combo")
    legs = [leg for combo in combos for leg in combo["legs"]]
    assert {combo["instrument_name"] for combo in combos}.isdisjoint(leg["instrument_name"] for leg in legs)
    reader = Reader(DERIBIT.shapes_json)
    for name in dict.fromkeys(leg["instrument_name"] for leg in legs):
        reader.add(name)
    assert reader.read(pushed(combos)) == _core.Decoder.UNKNOWN_INSTRUMENT
    for leg in legs:
        assert reader.read(pushed([leg])) == _core.Decoder.HANDLED
        (event,) = reader.events()
        assert isinstance(event, Trade)
        assert (event.id, event.flags) == (leg["trade_id"], OFF_BOOK)
    names = [combo["instrument_name"] for combo in combos]
    combo_lists = sorted((data_dir / "samples" / "deribit").glob("http_get_instruments_*_combo.json"))
    assert DERIBIT.parse_instruments(*(path.read_bytes() for path in combo_lists)) == ([], [])
    assert names


def test_flags_of_liquidations_and_blocks(data_dir: Path) -> None:
    row = trades_of(data_dir, "")[0]
    for more, flags in (
        ({}, 0),
        ({"liquidation": "T"}, LIQUIDATION),
        ({"liquidation": "MT", "block_trade_id": "BLOCK-1"}, LIQUIDATION | BLOCK),
    ):
        reader = Reader(DERIBIT.shapes_json)
        reader.add(row["instrument_name"])
        assert compare(reader, [pushed([row | more])], deribit) == 1
        (event,) = reader.events()
        assert isinstance(event, Trade)
        assert event.flags == flags


def test_trades_are_numbered_one_by_one(data_dir: Path) -> None:
    rows = trades_of(data_dir, "")
    reader = Reader(DERIBIT.shapes_json)
    reader.add(rows[0]["instrument_name"])
    assert compare(reader, [pushed(rows)], deribit) == 1
    numbers = [event.last for event in reader.events() if isinstance(event, Trade)]
    assert numbers == [row["trade_seq"] for row in rows]
    assert numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + len(rows)))


# Instruments.


def test_names_of_the_whole_list_are_one_to_one(capture: Captures) -> None:
    instruments, faults = DERIBIT.parse_instruments(*bodies(DERIBIT, capture))
    assert faults == []
    assert len(instruments) == 398 + 426 + 177 + 16
    catalogue = check_symbols(instruments)
    assert catalogue.find("BTC-PERPETUAL").symbol == "BTC/USD:BTC:PERP"
    assert catalogue.find("UNI_USDC-PERPETUAL").symbol == "UNI/USDC:PERP"
    assert catalogue.find("BTC-24SEP21-40000-P").symbol == "BTC/USD:BTC:20210924-40000-P"
    assert catalogue.find("SOL-24JUN22").symbol == "SOL/USD:SOL:20220624"
    assert {each.book_proof for each in instruments} == {1}


def test_amounts_have_a_unit(data_dir: Path, capture: Captures) -> None:
    """Inverse futures and perpetuals count dollars, everything else coins."""
    instruments, _ = DERIBIT.parse_instruments(*bodies(DERIBIT, capture))
    by_native = {each.native_symbol: each for each in instruments}
    inverse, linear = by_native["SOL-24JUN22"], by_native["SOL_USDC-PERPETUAL"]
    assert (inverse.qty_unit, inverse.lot_size, inverse.contract_size) == (
        QtyUnit.QUOTE,
        Decimal(10),
        Decimal(1),
    )
    assert (linear.qty_unit, linear.lot_size, linear.contract_size) == (
        QtyUnit.BASE,
        Decimal("0.1"),
        Decimal(1),
    )
    option = by_native["BTC-24SEP21-40000-P"]
    assert (option.qty_unit, option.lot_size, option.tick_size) == (
        *(QtyUnit.BASE, Decimal("0.1")),
        Decimal("0.0005"),
    )
    # One ticker says both: its volume in coins and in dollars is a price of the day.
    message = parse((data_dir / "samples" / "deribit" / "ws_ticker.json").read_bytes())
    stats = message["params"]["data"]["stats"]
    assert stats["low"] <= stats["volume_usd"] / stats["volume"] <= stats["high"]
    row = trades_of(data_dir, "_perpetual_with_combo_tags")[0]
    assert row["amount"] == row["contracts"] * 10, "dollars, of which a contract has ten"


def test_instruments_of_today(data_dir: Path) -> None:
    body = (data_dir / "samples" / "deribit" / "http_get_instruments.json").read_bytes()
    instruments, faults = DERIBIT.parse_instruments(body)
    assert faults == []
    catalogue = check_symbols(instruments)
    assert "BTC-COMBO-1" not in {each.native_symbol for each in instruments}
    option = catalogue.find("BTC-27DEC24-100000-C")
    assert option.symbol == "BTC/USD:BTC:20241227-100000-C"
    assert (option.strike, option.option_type, option.kind) == (Decimal(100_000), 1, Kind.OPTION)
    assert option.expiry_ts == 1_735_300_800_000_000_000


def entry(**fields: Any) -> dict[str, Any]:
    base = {
        "kind": "option",
        "instrument_name": "XRP_USDC-30JUN23-0d625-C",
        "option_type": "call",
        "base_currency": "XRP",
        "quote_currency": "USDC",
        "counter_currency": "USDC",
        "settlement_currency": "USDC",
        "instrument_type": "linear",
        "is_active": True,
        "strike": 0.625,
        "expiration_timestamp": 1_688_112_000_000,
        "tick_size": 0.0005,
        "min_trade_amount": 1000,
    }
    return base | fields


def test_a_d_is_the_point_of_a_strike() -> None:
    steps = [{"above_price": 0.01, "tick_size": 0.0001}]
    for more in ({"tick_size_steps": steps}, {"strike": None}):
        listed = {key: value for key, value in entry(**more).items() if value is not None}
        instruments, faults = DERIBIT.parse_instruments(json.dumps({"result": [listed]}))
        assert faults == []
        (option,) = instruments
        assert (option.symbol, option.strike) == ("XRP/USDC:20230630-0.625-C", Decimal("0.625"))
        assert option.native_symbol == "XRP_USDC-30JUN23-0d625-C", "never in capitals"
        assert option.tick_size == Decimal("0.0001" if "tick_size_steps" in more else "0.0005")


def test_states_and_faults() -> None:
    for state, status in (
        ("open", Trading.OPEN),
        ("locked", Trading.HALTED),
        ("terminated", Trading.DELISTED),
    ):
        (found,) = DERIBIT.parse_instruments(json.dumps({"result": [entry(state=state)]}))[0]
        assert found.status == status
    (found,) = DERIBIT.parse_instruments(json.dumps({"result": [entry(is_active=False)]}))[0]
    assert found.status == Trading.HALTED
    bad: list[Any] = [
        3,
        {"kind": "option"},
        entry(instrument_name="A", kind="what"),
        entry(instrument_name="B", state="what"),
        entry(instrument_name="C-1JAN26-1-X", option_type=""),
        entry(instrument_name="D", base_currency="A/B"),
        entry(instrument_name="E", expiration_timestamp=10**18),
        entry(instrument_name="F", tick_size=-1),
        entry(instrument_name="G", min_trade_amount=1e40),
        entry(),
    ]
    instruments, faults = DERIBIT.parse_instruments(json.dumps({"result": [entry(), *bad]}))
    assert [each.symbol for each in instruments] == ["XRP/USDC:20230630-0.625-C"]
    assert len(faults) == len(bad)
    error = '{"jsonrpc":"2.0","error":{"code":10028,"message":"too_many_requests"}}'
    assert len(DERIBIT.parse_instruments(error)[1]) == 1


@pytest.mark.parametrize(
    ("native", "symbol"),
    [
        ("BTC-PERPETUAL", "BTC/USD:BTC:PERP"),
        ("SOL_USDC-PERPETUAL", "SOL/USDC:PERP"),
        ("BTC-7MAR25", "BTC/USD:BTC:20250307"),
        ("BTC-27DEC24-100000-C", "BTC/USD:BTC:20241227-100000-C"),
        ("XRP_USDC-30JUN23-0d625-P", "XRP/USDC:20230630-0.625-P"),
        ("BTC_USDC", "BTC/USDC"),
    ],
)
def test_an_instrument_known_only_by_name(native: str, symbol: str) -> None:
    instrument = unlisted(DERIBIT, native)
    assert instrument.symbol == symbol
    check_symbols([instrument])
    check_streams(DERIBIT, instrument)


# Streams, requests, the exchange's side.


def test_lists_are_asked_for_by_kind_and_few() -> None:
    assert [each.target for each in DERIBIT.instruments_requests()] == [
        f"/api/v2/public/get_instruments?currency=any&kind={kind}&expired=false"
        for kind in ("future", "option", "spot")
    ]
    assert DERIBIT.limits.weight_per_minute == 60


def test_streams_requests_and_the_exchange_agree() -> None:
    instrument = unlisted(DERIBIT, "BTC-PERPETUAL")
    (plan,) = plan_connections(DERIBIT, [instrument], DERIBIT.default_channels, {})
    assert plan.url == "wss://www.deribit.com/ws/api/v2"
    assert plan.streams == (
        *("book.BTC-PERPETUAL.100ms", "trades.BTC-PERPETUAL.100ms", "quote.BTC-PERPETUAL"),
        *("ticker.BTC-PERPETUAL.100ms", "chart.trades.BTC-PERPETUAL.1", "instrument.state.future.any"),
        *("instrument.state.option.any", "instrument.state.spot.any"),
    )
    assert planned_books(DERIBIT, plan) == [instrument.native_symbol]
    check_exchange(DERIBIT, plan.streams)
    for other in ("book.BTC-PERPETUAL", "book.BTC-PERPETUAL.none.10.100ms", "book.BTC-PERPETUAL.1s"):
        assert DERIBIT.channel_of(other) is None
    assert DERIBIT.channel_of("book.BTC-PERPETUAL.raw") == ("book", "raw")


def test_requests_stay_within_the_limits(capture: Captures) -> None:
    instruments, _ = DERIBIT.parse_instruments(*bodies(DERIBIT, capture))
    plans = plan_connections(DERIBIT, instruments, DERIBIT.default_channels, {})
    assert len(plans) <= DERIBIT.limits.connections
    for plan in plans:
        requests = [json.loads(request.text) for request in DERIBIT.subscribe(plan.streams, number=5)]
        assert [name for each in requests for name in each["params"]["channels"]] == list(plan.streams)
        assert max(len(each["params"]["channels"]) for each in requests) <= CHANNELS_MAX
        assert [each["id"] for each in requests] == list(range(5, 5 + len(requests)))
    many = DERIBIT.subscribe([f"quote.A{number}" for number in range(1201)])
    assert [len(json.loads(each.text)["params"]["channels"]) for each in many] == [500, 500, 201]


def test_an_answer_lists_only_what_was_granted(data_dir: Path) -> None:
    asked = ["book.BTC-PERPETUAL.100ms", "nothing.BTC-PERPETUAL", "quote.BTC-PERPETUAL"]
    client = Client("/ws/api/v2")
    (request,) = DERIBIT.subscribe(asked, number=9)
    (answer,) = DERIBIT.exchange.on_text(client, request.text)
    granted = DERIBIT.control(answer)
    assert granted == Ack(9, streams=(asked[0], asked[2]))
    assert isinstance(granted, Ack)
    assert refused(asked, granted) == (Error(None, "not granted", 9, "nothing.BTC-PERPETUAL"),)
    assert refused(asked, Ack(9)) == (), "most venues list nothing"
    recorded = DERIBIT.control((data_dir / "samples" / "deribit" / "ws_subscribe_response.json").read_bytes())
    assert recorded == Ack(1, streams=("trades.BTC-PERPETUAL.100ms", "book.BTC-PERPETUAL.100ms"))


def test_the_recorded_answer_grants_what_was_asked(capture: Captures) -> None:
    path = capture("deribit/v2_2021-07-22")
    (asked,) = (json.loads(text)["params"]["channels"] for text in lines(path, "send"))
    granted = DERIBIT.control(next(iter(received(path))))
    assert isinstance(granted, Ack)
    assert refused(asked, granted) == ()


# Control messages.


def test_a_test_request_is_answered_and_that_answer_is_a_pong(data_dir: Path) -> None:
    text = (data_dir / "samples" / "deribit" / "ws_test_request.json").read_bytes()
    reply = DERIBIT.control(text)
    assert isinstance(reply, Reply)
    assert json.loads(reply.text)["method"] == "public/test"
    assert reply.text == DERIBIT.keepalive.client_ping
    (answer,) = DERIBIT.exchange.on_text(Client("/ws/api/v2"), reply.text)
    assert DERIBIT.control(answer) == Pong(), "and no acknowledgement of a subscription"
    assert DERIBIT.control('{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}') == Ignored(
        "heartbeat"
    )


def test_heartbeats_come_to_those_who_asked_for_them() -> None:
    client = Client("/ws/api/v2")
    assert DERIBIT.exchange.heartbeat(client) == []
    (greeting,) = DERIBIT.greeting()
    assert json.loads(greeting.text)["params"] == {"interval": HEARTBEAT_S}
    (answer,) = DERIBIT.exchange.on_text(client, greeting.text)
    assert DERIBIT.control(answer) == Ack(-1)
    (beat,) = DERIBIT.exchange.heartbeat(client)
    assert isinstance(DERIBIT.control(beat), Reply)
    (too_often,) = DERIBIT.exchange.on_text(client, greeting.text.replace("30", "5"))
    assert isinstance(DERIBIT.control(too_often), Error)


def test_control_messages(data_dir: Path) -> None:
    folder = data_dir / "samples" / "deribit"
    assert DERIBIT.control((folder / "ws_error.json").read_bytes()) == Error(10028, "too_many_requests", 1)
    assert DERIBIT.control((folder / "ws_volatility_index.json").read_bytes()) == Unknown(
        "deribit_volatility_index.btc_usd"
    )
    data = {"instrument_name": "BTC-27DEC24", "state": "settled", "timestamp": 1}
    params = {"channel": "instrument.state.future.any", "data": data}
    push = json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": params})
    assert DERIBIT.control(push) == InstrumentStatus("BTC-27DEC24", Trading.CLOSED, "settled")
    assert DERIBIT.control(push.replace("settled", "new")) == Unknown("instrument state 'new'")
    assert DERIBIT.stream_of(push) == "instrument.state.future.any"
    assert DERIBIT.control('{"jsonrpc":"2.0","method":"x"}') == Unknown("x")


def test_the_exchange_sends_the_book_it_has() -> None:
    naive = NaiveBook(123, 1_597_026_383_085_000_000)
    naive.bids = {Decimal(f"{price}.5"): Decimal("250.0") for price in range(10, 20)}
    naive.asks = {Decimal(f"{price}.5"): Decimal("30.0") for price in range(30, 33)}
    fed = Fed(DERIBIT, {"BTC-PERPETUAL": (1, 1)})
    stream = "book.BTC-PERPETUAL.100ms"
    (text,) = DERIBIT.exchange.on_subscribed(Client("/ws/api/v2"), stream, naive)
    assert (DERIBIT.stream_of(text), DERIBIT.exchange_time_ns(text)) == (stream, naive.exchange_ns)
    assert DERIBIT.printed(text).quantities[0] == "250.0", "as printed"
    assert not fed.take(text.encode(), deribit, parse(text))
    assert fed.sides("BTC-PERPETUAL") == naive.sorted()
    change = {"timestamp": 1, "instrument_name": "BTC-PERPETUAL", "type": "change", "change_id": 130}
    change |= {"prev_change_id": 123, "bids": [["delete", 19.5, 0.0]], "asks": []}
    message = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": stream, "data": change}}
    fed.feed.on_frame(1, json.dumps(message).encode(), 1)
    assert fed.sides("BTC-PERPETUAL")[0] == naive.sorted()[0][1:]
    assert DERIBIT.exchange.on_subscribed(Client("/ws/api/v2"), "quote.BTC-PERPETUAL", None) == []


def test_the_exchange_answers_lists_as_recorded() -> None:
    target = DERIBIT.instruments_requests()[0].target
    answer = DERIBIT.exchange.rest(target, {target: "{}"}, {})
    assert answer is not None
    assert answer.body == "{}"
    lists = {"/recorded?currency=BTC": json.dumps({"result": [entry(), entry(kind="future")]}), "/junk": "x"}
    both = [DERIBIT.exchange.rest(each.target, lists, {}) for each in DERIBIT.instruments_requests()]
    kinds = [[row["kind"] for row in json.loads(each.body)["result"]] for each in both if each is not None]
    assert kinds == [["future"], ["option"], []], "recorded by currency, asked for by kind"
    empty = DERIBIT.exchange.rest(target, {}, {})
    assert empty is not None
    assert DERIBIT.parse_instruments(empty.body) == ([], [])
