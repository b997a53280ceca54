"""OKX and Okcoin: recordings, samples, and what the exchange's fact sheet warns of."""

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
from outcrier.venues.base import (
    Ack,
    Error,
    Ignored,
    InstrumentStatus,
    Pong,
    Several,
    Shutdown,
    Unknown,
)
from outcrier.venues.exchange_side import Client
from outcrier.venues.okcoin import OKCOIN
from outcrier.venues.okx import (
    OKX,
    OKX_2022,
    OKX_FUTURES,
    OKX_OPTION,
    OKX_SWAP,
    SUBSCRIBE_BYTES_MAX,
)
from outcrier.venues.okx_exchange import checksum
from plain import okx as plain
from plain_events import Book, Plain, parse, received
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

TODAY: dict[Venue, Plain] = {
    OKX: plain.SPOT,
    OKX_SWAP: plain.CONTRACT,
    OKX_FUTURES: plain.CONTRACT,
    OKX_OPTION: plain.CONTRACT,
}
NATIVE: dict[Venue, str] = {
    OKX: "BTC-USDT",
    OKX_SWAP: "BTC-USDT-SWAP",
    OKX_FUTURES: "BTC-USD-241220",
    OKX_OPTION: "BTC-USD-241217-92000-C",
    OKX_2022: "BTC-USD-220527",
    OKCOIN: "BTC-USD",
}
RECORDED = [
    (OKX_2022, "okx/v5_public_2022-05-13", plain.IN_2022),
    (OKX_2022, "okx/v5_tbt_2022-02-27", plain.IN_2022),
    (OKCOIN, "okcoin/spot_2023-05-27", plain.OKCOIN),
]
COUNTS: list[dict[str, int]] = [
    {"messages": 272, "for_python": 18, "book": 188, "levels": 5423, "trade": 46, "bbo": 20, "ticker": 20},
    {"messages": 2509, "for_python": 60, "book": 2415, "levels": 10832, "trade": 17, "bbo": 17, "ticker": 17},
    {
        "messages": 70,
        "for_python": 40,
        "book": 6,
        "levels": 720,
        "trade": 4,
        "bbo": 8,
        "ticker": 8,
        "candle": 12,
    },
]
SESSIONS = [
    Session(name, venue.shapes_json, lambda decode=decode: decode, counts, listed_exps(venue))  # type: ignore[misc]
    for (venue, name, decode), counts in zip(RECORDED, COUNTS, strict=True)
]

each_session = pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.capture)
each_recorded = pytest.mark.parametrize(
    ("venue", "name", "decode"), RECORDED, ids=[each[1] for each in RECORDED]
)
each_venue = pytest.mark.parametrize("venue", NATIVE, ids=lambda venue: venue.name)
of_today = pytest.mark.parametrize("venue", TODAY, ids=lambda venue: venue.name)


@each_session
def test_instruments_that_nobody_asked_for_are_counted_unknown(session: Session, capture: Captures) -> None:
    check_unknown(session, capture)


@each_recorded
def test_a_feed_has_the_naive_books(venue: Venue, name: str, decode: Plain, capture: Captures) -> None:
    check_feed(venue, name, decode, capture)


@each_recorded
def test_the_exchange_makes_the_checksums_that_were_recorded(
    venue: Venue, name: str, decode: Plain, capture: Captures
) -> None:
    del venue
    books: dict[str, NaiveBook] = {}
    checked = 0
    for frame in received(capture(name)):
        message = parse(frame)
        for event, row in zip(decode(message) or (), message.get("data", ()), strict=False):
            if isinstance(event, Book):
                book = books.setdefault(event.symbol, NaiveBook())
                book.take(event)
                assert checksum(*book.levels()) == row["checksum"], (event.symbol, checked)
                checked += 1
    assert checked == {"okx/v5_public_2022-05-13": 188, "okx/v5_tbt_2022-02-27": 2415}.get(name, 6)


# Messages that the fact sheet quotes (docs-v5; recordings of tardis-node, test/mappers.test.ts), and the
# documentation's of 2026-06 for liquidation-orders, index-tickers.
QUOTED = [
    '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":123456,"seqId":123457}]}',
    '{"arg":{"channel":"candle1D","instId":"BTC-USDT"},"data":[["1597026383085","8533.02","8553.74","8527.17","8548.26","45247","529.5858061","5529.5858061","0"]]}',
    '{"arg":{"channel":"trades-all","instId":"BSV-USDT"},"data":[{"instId":"BSV-USDT","tradeId":"84834539","px":"42.52","sz":"3.75","side":"buy","ts":"1697760012017"}]}',
    '{"arg":{"channel":"books5","instId":"BTC-USDT"},"data":[{"asks":[["8476.98","415","0","13"]],"bids":[],"instId":"BTC-USDT","ts":"0","seqId":123456}]}',
]
QUOTED_CONTRACTS = [
    '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["38632.4","727","0","22"]],"bids":[["38632.3","990","0","22"]],"ts":"1651761120004"}]}',
    '{"arg":{"channel":"open-interest","instId":"WNCG-USDT-SWAP"},"data":[{"instId":"WNCG-USDT-SWAP","instType":"SWAP","oi":"644195","oiCcy":"644195","ts":"1640131258756"}]}',
    '{"arg":{"channel":"funding-rate","instId":"WNCG-USDT-SWAP"},"data":[{"fundingRate":"0.00048105","fundingTime":"1640131200000","instId":"WNCG-USDT-SWAP","instType":"SWAP","nextFundingRate":"0.00114"}]}',
    '{"arg":{"channel":"funding-rate","instId":"WNCG-USDT-SWAP"},"data":[{"fundingRate":"0.00048105","fundingTime":"1640131200000","instId":"WNCG-USDT-SWAP","instType":"SWAP","nextFundingRate":"","ts":"1640131259180"}]}',
    '{"arg":{"channel":"mark-price","instId":"WNCG-USDT-SWAP"},"data":[{"instId":"WNCG-USDT-SWAP","instType":"SWAP","markPx":"2.1729","ts":"1640131259180"}]}',
    '{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","idxPx":"0.1","high24h":"0.5","low24h":"0.1","open24h":"0.1","sodUtc0":"0.1","sodUtc8":"0.1","ts":"1597026383085"}]}',
    '{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":"0.007831","ccy":"","posSide":"short","side":"buy","sz":"13","ts":"1692266434010"}],"instFamily":"IOST-USDT","instId":"IOST-USDT-SWAP","instType":"SWAP","uly":"IOST-USDT"}]}',
    '{"arg":{"channel":"candle1m","instId":"BTC-USDT-SWAP"},"data":[["1747094040000","102806.1","102820.4","102806.1","102820.4","1040.37","10.4037","1069603.34883","1"]]}',
]


def test_messages_that_the_fact_sheet_quotes() -> None:
    compare(Reader(OKX.shapes_json), [text.encode() for text in QUOTED], plain.SPOT)
    compare(Reader(OKX_SWAP.shapes_json), [text.encode() for text in QUOTED_CONTRACTS], plain.CONTRACT)


# Instruments.


@pytest.mark.parametrize(
    ("venue", "expected"),
    [(OKX_2022, 513 + 166 + 104 + 346 + 350), (OKCOIN, None)],
    ids=["okx_2022", "okcoin"],
)
def test_names_of_the_whole_list_are_one_to_one(
    venue: Venue, expected: int | None, capture: Captures
) -> None:
    instruments, faults = venue.parse_instruments(*bodies(venue, capture))
    assert faults == []
    assert len(instruments) == (expected or len(json.loads(bodies(venue, capture)[0])["data"]))
    check_symbols(instruments)


@pytest.mark.parametrize(
    ("venue", "kind", "count"),
    [(OKX, "SPOT", 513), (OKX_SWAP, "SWAP", 166), (OKX_FUTURES, "FUTURES", 104), (OKX_OPTION, "OPTION", 696)],
    ids=["okx", "okx_swap", "okx_futures", "okx_option"],
)
def test_each_venue_takes_its_type_of_a_list_of_all(
    venue: Venue, kind: str, count: int, capture: Captures
) -> None:
    instruments, faults = venue.parse_instruments(*bodies(OKX_2022, capture))
    assert faults == []
    catalogue = check_symbols(instruments)
    contracts = [each for each in instruments if each.kind is not Kind.INDEX]
    assert len(contracts) == count
    assert {each.kind for each in contracts} == {plain_kind(kind)}
    indices = {each.native_symbol: each for each in instruments if each.kind is Kind.INDEX}
    if venue is OKX:
        assert indices == {}
        return
    assert set(indices) == {f"{each.base}-{each.quote}" for each in contracts}
    assert catalogue.find("BTC-USD:INDEX").native_symbol == "BTC-USD"


def plain_kind(inst_type: str) -> Kind:
    return {"SPOT": Kind.SPOT, "SWAP": Kind.PERPETUAL, "FUTURES": Kind.FUTURE, "OPTION": Kind.OPTION}[
        inst_type
    ]


def sampled(venue: Venue, data_dir: Path, name: str) -> Any:
    path = data_dir / "samples" / "okx" / f"http_get_instruments_{name}.json"
    instruments, faults = venue.parse_instruments(path.read_bytes())
    assert faults == []
    return check_symbols(instruments)


def test_quantities_have_a_unit_and_contracts_a_size(data_dir: Path) -> None:
    spot = sampled(OKX, data_dir, "spot").find("BTC/USD")
    assert (spot.qty_unit, spot.contract_size, spot.lot_size) == (QtyUnit.BASE, 1, Decimal("0.00000001"))
    swaps = sampled(OKX_SWAP, data_dir, "swap")
    linear, inverse = swaps.find("ETH/USDT:PERP"), swaps.find("BTC/USD:BTC:PERP")
    assert (linear.qty_unit, linear.contract_size, linear.lot_size) == (
        QtyUnit.CONTRACTS_OF_BASE,
        Decimal("0.1"),
        Decimal("0.01"),
    )
    assert (inverse.qty_unit, inverse.contract_size) == (QtyUnit.CONTRACTS_OF_QUOTE, 100)
    future = sampled(OKX_FUTURES, data_dir, "futures").find("BTC-USD-241220")
    assert (future.symbol, future.expiry_ts) == ("BTC/USD:BTC:20241220", 1_734_681_600_000_000_000)
    option = sampled(OKX_OPTION, data_dir, "option").find("BTC-USD-241217-92000-C")
    assert option.symbol == "BTC/USD:BTC:20241217-92000-C"
    assert (option.strike, option.option_type, option.contract_size) == (92_000, 1, Decimal("0.01"))
    assert option.qty_unit == QtyUnit.CONTRACTS_OF_BASE
    assert option.book_proof == 1


def test_contracts_and_coins_of_recorded_tickers_agree(capture: Captures) -> None:
    """vol24h counts contracts, volCcy24h coins: the size of a contract makes one of the other, on an inverse
    future at prices of the day.
    """
    instruments, _ = OKX_2022.parse_instruments(*bodies(OKX_2022, capture))
    by_native = {each.native_symbol: each for each in instruments}
    checked: set[int] = set()
    for frame in received(capture("okx/v5_public_2022-05-13")):
        message = parse(frame)
        if message["arg"]["channel"] != "tickers" or "data" not in message:
            continue
        (row,) = message["data"]
        instrument = by_native[row["instId"]]
        lots, coins = Decimal(row["vol24h"]), Decimal(row["volCcy24h"])
        low, high = Decimal(row["low24h"]), Decimal(row["high24h"])
        worth = lots * instrument.contract_size
        if instrument.qty_unit == QtyUnit.CONTRACTS_OF_QUOTE:
            assert worth / high <= coins <= worth / low, row
        else:
            assert instrument.qty_unit == QtyUnit.BASE
            assert worth * low <= coins <= worth * high, "on spot, volCcy24h is in the quote"
        checked.add(instrument.qty_unit)
    assert checked == {QtyUnit.BASE, QtyUnit.CONTRACTS_OF_QUOTE}


def test_an_entry_that_cannot_be_used_is_a_fault_and_the_others_stay() -> None:
    good = json.loads(OKX_SWAP.unlisted("BTC-USDT-SWAP", Decimal("0.1"), Decimal(1)))
    bad: list[Any] = [
        3,
        {"instType": "SWAP"},
        good | {"instId": "A-SWAP", "state": "what"},
        good | {"instId": "B-SWAP", "instType": "WHAT"},
        good | {"instId": "A/B-USDT-SWAP"},
        good | {"instId": "C-USDT-SWAP", "ctVal": "1", "ctValCcy": "XYZ"},
        good | {"instId": "D-USDT-SWAP", "tickSz": "0,1"},
        good | {"instId": "E-USDT-SWAP", "tickSz": "1e-20000000"},
        good,
    ]
    others = [good | {"instId": "BTC-USDT", "instType": "SPOT"}, good | {"instId": "X", "instType": "MARGIN"}]
    body = json.dumps({"code": "0", "data": [good, *bad, *others]})
    instruments, faults = OKX_SWAP.parse_instruments(body)
    assert [each.symbol for each in instruments] == ["BTC/USDT:PERP"]
    assert len(faults) == len(bad)
    instruments, faults = OKX_SWAP.parse_instruments('{"code":"50011","msg":"Too Many Requests","data":[]}')
    assert (instruments, [each.reason for each in faults]) == (
        [],
        ["instrument list: 50011: Too Many Requests"],
    )
    for expiry in ("99999999999999999999", "-1", "x", "9" * 400):
        entry = json.loads(OKX_FUTURES.unlisted("BTC-USD-241220", Decimal(1), Decimal(1))) | {
            "expTime": expiry
        }
        instruments, faults = OKX_FUTURES.parse_instruments(json.dumps({"data": [entry]}))
        assert [each.kind for each in instruments] == []
        assert len(faults) == 1


@each_venue
def test_an_instrument_known_only_by_name(venue: Venue) -> None:
    instrument = unlisted(venue, NATIVE[venue])
    check_symbols([instrument])
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.1"), Decimal("0.001"))
    assert instrument.status == Trading.OPEN


def test_options_are_asked_for_family_by_family() -> None:
    (first,) = OKX_OPTION.instruments_requests()
    assert first.target == "/api/v5/public/underlying?instType=OPTION"
    told = '{"code":"0","data":[["BTC-USD","ETH-USD"],["SOL-USD"]],"msg":""}'
    assert [each.target for each in OKX_OPTION.detail_requests(told)] == [
        f"/api/v5/public/instruments?instType=OPTION&instFamily={name}"
        for name in ("BTC-USD", "ETH-USD", "SOL-USD")
    ]
    assert OKX_OPTION.detail_requests("junk", '{"code":"0","data":[{"instId":"X"}]}') == ()
    assert OKX_SWAP.detail_requests(told) == ()
    assert OKX_OPTION.parse_instruments('{"code":"0","data":[["BTC-USD"]]}') == ([], [])
    for venue, kind in ((OKX, "SPOT"), (OKX_SWAP, "SWAP"), (OKX_FUTURES, "FUTURES")):
        assert [each.target for each in venue.instruments_requests()] == [
            f"/api/v5/public/instruments?instType={kind}"
        ]


# Streams, requests, the exchange's side.


@each_venue
def test_streams_requests_and_the_exchange_agree(venue: Venue) -> None:
    instrument = unlisted(venue, NATIVE[venue])
    check_streams(venue, instrument)
    streams = venue.streams(instrument, list(venue.channels), {})
    whole = [venue.whole_venue_stream(each) for each in venue.channels.values() if each.whole_venue]
    check_exchange(venue, [*streams, *whole])
    if venue in TODAY:
        assert whole[0] == f"instruments:{venue.instruments_requests()[0].query[0][1]}"


def test_an_index_has_its_own_stream_and_no_other() -> None:
    body = OKX_SWAP.with_entries(None, [OKX_SWAP.unlisted("BTC-USDT-SWAP", Decimal(1), Decimal(1))])
    entry = json.loads(body)["data"][0] | {"uly": "BTC-USDT"}
    instruments, faults = OKX_SWAP.parse_instruments(json.dumps({"data": [entry]}))
    assert faults == []
    swap, index = instruments
    assert (index.symbol, index.book_proof, index.base, index.quote) == ("BTC-USDT:INDEX", 0, "BTC", "USDT")
    channels = OKX_SWAP.default_channels
    assert OKX_SWAP.streams(index, channels, {}) == ["index-tickers:BTC-USDT"]
    assert OKX_SWAP.streams(swap, channels, {}) == [
        f"{name}:BTC-USDT-SWAP"
        for name in (
            *("books", "trades", "bbo-tbt", "tickers", "candle1m", "mark-price"),
            *("open-interest", "funding-rate"),
        )
    ]
    plans = plan_connections(OKX_SWAP, instruments, channels, {})
    assert [plan.url for plan in plans] == [
        "wss://ws.okx.com:8443/ws/v5/business",
        "wss://ws.okx.com:8443/ws/v5/public",
    ]
    assert plans[0].streams == ("candle1m:BTC-USDT-SWAP",)
    assert planned_books(OKX_SWAP, plans[1]) == [swap.native_symbol]
    assert {"instruments:SWAP", "liquidation-orders:SWAP"} < set(plans[1].streams)


@each_venue
def test_requests_stay_within_the_limits(venue: Venue) -> None:
    names = [f"A{number}-USDT" for number in range(2_000)]
    streams = [f"{channel}:{name}" for name in names for channel in ("books", "trades", "tickers")]
    requests = venue.subscribe(streams)
    assert max(len(request.text) for request in requests) <= SUBSCRIBE_BYTES_MAX
    asked = [
        f"{arg['channel']}:{arg['instId']}" for each in requests for arg in json.loads(each.text)["args"]
    ]
    assert asked == streams
    assert sum(request.acks for request in requests) == len(streams)
    assert [json.loads(request.text)["id"] for request in requests] == [
        str(number) for number in range(1, len(requests) + 1)
    ]
    assert venue.subscribe([]) == []
    assert venue.limits.messages == 480
    assert venue.limits.symbols_per_connection < 30


def test_fewer_than_30_books_share_a_connection(capture: Captures) -> None:
    instruments, _ = OKX.parse_instruments(*bodies(OKX_2022, capture))
    plans = plan_connections(OKX, instruments, OKX.default_channels, {})
    books = [native for plan in plans for native in planned_books(OKX, plan)]
    assert sorted(books) == sorted(each.native_symbol for each in instruments)
    assert max(len(planned_books(OKX, plan)) for plan in plans) < 30
    assert all(len(OKX.subscribe(plan.streams)) < 480 for plan in plans)


def test_a_candle_asked_for_on_the_wrong_endpoint_is_refused_by_name() -> None:
    client = Client("/ws/v5/public")
    (request,) = OKX.subscribe(["candle1m:BTC-USDT"], number=3)
    (answer,) = OKX.exchange.on_text(client, request.text)
    refused = OKX.control(answer)
    assert isinstance(refused, Error)
    assert (refused.code, refused.id, refused.stream) == ("60018", "3", "candle1m:BTC-USDT")
    assert client.streams == {}
    assert OKX.route("candle1m:BTC-USDT") == OKX.route("trades-all:BTC-USDT") == "/ws/v5/business"
    assert OKCOIN.route("candle1m:BTC-USD") == "/ws/v5/public", "in 2023 it was not moved yet"


# Control messages.


def test_control_messages() -> None:
    arg = {"channel": "books", "instId": "BTC-USDT"}
    assert OKX.control(json.dumps({"id": "1512", "event": "subscribe", "arg": arg})) == Ack("1512")
    assert OKX.control(json.dumps({"event": "unsubscribe", "arg": arg})) == Ack(None)
    refused = OKX.control('{"event":"error","code":"60012","msg":"Invalid request: x","connId":"a"}')
    assert refused == Error("60012", "Invalid request: x", None, None)
    notice = '{"event":"notice","code":"64008","msg":"The connection will soon be closed"}'
    assert OKX.control(notice) == Shutdown()
    (told,) = OKX.exchange.farewell(Client("/ws/v5/public"), 1)
    assert OKX.control(told) == Shutdown()
    assert OKX.control('{"event":"notice","code":"64009"}') == Ignored("notice 64009")
    assert OKX.control("pong") == OKX.control(b"pong") == Pong()
    assert OKX.control("PONG") == Unknown("not a JSON object")
    assert OKX.control('{"event":"x"}') == Unknown("x")
    assert OKX.control("{}") == Unknown("object")
    assert OKX.control(json.dumps({"arg": arg, "data": []})) == Unknown("books")
    assert OKX.keepalive.client_ping == "ping"
    assert OKX.exchange.on_text(Client("/ws/v5/public"), "ping") == ["pong"]


def test_the_instruments_channel_tells_the_status(data_dir: Path) -> None:
    text = (data_dir / "samples" / "okx" / "ws_instruments.json").read_text()
    assert OKX_SWAP.control(text) == Several((InstrumentStatus("BTC-USDT-SWAP", Trading.OPEN, "live"),))
    halted = text.replace('"live"', '"suspend"')
    assert OKX_SWAP.control(halted) == Several(
        (InstrumentStatus("BTC-USDT-SWAP", Trading.HALTED, "suspend"),)
    )
    unknown = OKX_SWAP.control(text.replace('"live"', '"new"'))
    assert unknown == Several((Unknown("instrument state 'new'"),))


def test_pong_is_no_json_and_no_fault() -> None:
    fed = Fed(OKX, {"BTC-USDT": (1, 3)})
    assert fed.feed.on_frame(1, b"pong", 1) & _core.FOR_PYTHON
    assert fed.feed.faults() == []
    for text in (b"pong!", b"", b"{pong", b"a" * 17):
        assert not fed.feed.on_frame(1, text, 1) & _core.FOR_PYTHON
    assert [fault[0] for fault in fed.feed.faults()] == ["malformed JSON"] * 4


# Sequences, as the fact sheet tells them.


def book(action: str, seq: int, prev: int, bids: list[list[str]], ts: str = "1597026383085") -> bytes:
    row = {"asks": [], "bids": bids, "ts": ts, "checksum": 0, "prevSeqId": prev, "seqId": seq}
    arg = {"channel": "books", "instId": "BTC-USDT"}
    return json.dumps({"arg": arg, "action": action, "data": [row]}).encode()


@pytest.fixture
def live() -> Fed:
    fed = Fed(OKX, {"BTC-USDT": (1, 3)})
    fed.feed.on_frame(1, book("snapshot", 10, -1, [["8476.9", "4", "0", "13"]]), 1)
    assert fed.feed.state(0) == "LIVE"
    return fed


def bids(fed: Fed) -> list[tuple[Decimal, Decimal]]:
    return fed.sides("BTC-USDT")[0]


def test_an_update_names_the_one_before(live: Fed) -> None:
    live.feed.on_frame(1, book("update", 15, 10, [["8476.8", "1", "0", "1"], ["8476.9", "0", "0", "0"]]), 1)
    assert bids(live) == [(Decimal("8476.8"), Decimal(1))]
    live.feed.on_frame(1, book("update", 17, 16, []), 1)
    assert live.feed.state(0) == "STALE"
    assert live.feed.counters()["gaps"] == 1
    live.feed.on_frame(1, book("snapshot", 20, -1, [["8476.7", "2", "0", "1"]]), 1)
    assert (live.feed.state(0), bids(live)) == ("LIVE", [(Decimal("8476.7"), Decimal(2))])


def test_keep_alive_and_reset_are_no_gaps(live: Fed) -> None:
    """Documentation: prevSeqId 15, seqId 3 is a legal reset after maintenance; `ts` may be "0"."""
    live.feed.on_frame(1, book("update", 15, 10, [["8476.8", "1", "0", "1"]]), 1)
    live.feed.on_frame(1, book("update", 15, 15, [], ts="0"), 1)
    live.feed.on_frame(1, book("update", 3, 15, [["8476.7", "1", "0", "1"]]), 1)
    live.feed.on_frame(1, book("update", 5, 3, [["8476.6", "1", "0", "1"]]), 1)
    assert (live.feed.state(0), live.feed.counters()["gaps"]) == ("LIVE", 0)
    assert [price for price, _ in bids(live)] == list(map(Decimal, ("8476.9", "8476.8", "8476.7", "8476.6")))


def test_a_checksum_is_compared_where_it_is_not_zero(live: Fed) -> None:
    """0 since 2026-06-23, and never a reason to subscribe anew."""
    update = book("update", 15, 10, [["8476.8", "1", "0", "1"]])
    live.feed.on_frame(1, update, 1)
    assert live.feed.state(0) == "LIVE"
    right = checksum([("8476.9", "4"), ("8476.8", "1"), ("8476.7", "2")], [])
    bids = [["8476.7", "2", "0", "1"]]
    live.feed.on_frame(
        1, book("update", 16, 15, bids).replace(b'"checksum": 0', b'"checksum": %d' % right), 1
    )
    assert live.feed.state(0) == "LIVE"
    live.feed.on_frame(1, book("update", 17, 16, []).replace(b'"checksum": 0', b'"checksum": 5'), 1)
    assert live.feed.state(0) == "STALE"


@of_today
def test_the_exchange_sends_the_book_it_has(venue: Venue) -> None:
    native = NATIVE[venue]
    naive = NaiveBook(123, 1_597_026_383_085_000_000)
    naive.bids = {Decimal(f"{price}.10"): Decimal("2.50") for price in range(10, 20)}
    naive.asks = {Decimal(f"{price}.10"): Decimal("3.0") for price in range(30, 33)}
    for channel, depth in (("books", 10), ("books5", 5)):
        fed = Fed(venue, {native: (1, 3)})
        stream = f"{channel}:{native}"
        (text,) = venue.exchange.on_subscribed(Client("/ws/v5/public"), stream, naive)
        assert venue.stream_of(text) == stream
        assert venue.exchange_time_ns(text) == naive.exchange_ns
        assert "2.50" in venue.printed(text).quantities
        assert not fed.feed.on_frame(1, text.encode(), 1) & _core.FOR_PYTHON
        best, others = naive.sorted()
        assert fed.sides(native) == (best[:depth], others[:depth])
        assert '"checksum"' not in text or json.loads(text)["data"][0]["checksum"] == 0
    assert venue.exchange.on_subscribed(Client("/ws/v5/public"), f"trades:{native}", None) == []
    fed = Fed(venue, {native: (1, 3)})
    (text,) = venue.exchange.on_subscribed(Client("/ws/v5/public"), f"books:{native}", naive)
    fed.feed.on_frame(1, text.encode(), 1)
    update = {"asks": [], "bids": [["19.10", "9"]], "ts": "1", "prevSeqId": 123, "seqId": 130}
    message = {"arg": {"channel": "books", "instId": native}, "action": "update", "data": [update]}
    fed.feed.on_frame(1, json.dumps(message).encode(), 1)
    assert fed.sides(native)[0][0] == (Decimal("19.10"), Decimal(9))


def test_the_exchange_answers_lists_as_recorded() -> None:
    target = "/api/v5/public/instruments?instType=SPOT"
    answer = OKX.exchange.rest(target, {target: '{"code":"0","data":[]}'}, {})
    assert answer is not None
    assert (answer.status, answer.body) == (200, '{"code":"0","data":[]}')
    refused = OKX.exchange.rest(target, {}, {})
    assert refused is not None
    assert json.loads(refused.body)["code"] == "51000"
    (first,) = OKX_OPTION.instruments_requests()
    family = "/api/v5/public/instruments?instType=OPTION&instFamily=BTC-USD"
    answer = OKX_OPTION.exchange.rest(first.target, {family: "{}"}, {})
    assert answer is not None
    assert [each.target for each in OKX_OPTION.detail_requests(answer.body)] == [family]


def test_an_old_dialect_is_marked_and_proved_by_checksum() -> None:
    for venue in (OKX_2022, OKCOIN):
        assert venue.old_dialect
        assert unlisted(venue, NATIVE[venue]).book_proof == 2
    assert [venue.old_dialect for venue in TODAY] == [""] * 4
