"""The Binance venues: instruments, plans, control messages, and their shapes on samples that no capture
holds.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from outcrier import _core
from outcrier.capture.format import read_capture
from outcrier.errors import ConfigurationError
from outcrier.feeder.plan import PlannedConnection, spec_of
from outcrier.instruments import (
    Catalogue,
    Instrument,
    QtyUnit,
    Trading,
    decimal_exponent,
    mantissa,
    to_core_kwargs,
)
from outcrier.symbols import Kind
from outcrier.venues import VENUES, Venue, venue_by_name
from outcrier.venues.base import Ack, Error, Ignored, InstrumentStatus, Shutdown, Unknown
from outcrier.venues.binance import (
    BINANCE,
    BINANCE_COINM,
    BINANCE_USDM,
    SUBSCRIBE_BYTES_MAX,
    Binance,
)
from outcrier.venues.exchange_side import Client
from planning import plan_connections, planned_books

SPOT, USDM, COINM = BINANCE, BINANCE_USDM, BINANCE_COINM


def cadence_s(venue: Venue, connection: PlannedConnection) -> float:
    return spec_of(connection, venue).cadence_ns / 1e9


def catalogue(venue: Venue, data_dir: Path) -> Catalogue:
    (path,) = (data_dir / "captures" / venue.name).glob("*_instruments*")
    return Catalogue(venue.name, venue.parse_instruments(next(read_capture(path)).data)[0])


def listed(venue: Venue, *natives: str) -> list[Instrument]:
    entries = [venue.unlisted(native, Decimal("0.1"), Decimal("0.001")) for native in natives]
    return venue.parse_instruments(venue.with_entries(None, entries))[0]


# Instruments.


def test_each_product_describes_its_instruments(data_dir: Path) -> None:
    spot = catalogue(SPOT, data_dir).find("BTC/USDT")
    assert (spot.kind, spot.settle, spot.qty_unit, spot.category) == (
        Kind.SPOT,
        "",
        QtyUnit.BASE,
        "spot:USDT",
    )
    assert (spot.tick_size, spot.lot_size) == (Decimal("0.01"), Decimal("0.00001"))
    assert spot.book_proof == 1
    usdm = catalogue(USDM, data_dir)
    future = usdm.find("BTCUSDT_210924")
    assert (future.symbol, future.kind) == ("BTC/USDT:20210924", Kind.FUTURE)
    assert future.expiry_ts == 1_632_470_400_000_000_000
    perpetual = usdm.find("BTCUSDT")
    assert (perpetual.expiry_ts, perpetual.qty_unit, perpetual.contract_size) == (0, QtyUnit.BASE, Decimal(1))
    # Listed, not yet trading: the venue names no contract type.
    assert (usdm.find("BTCSTUSDT").kind, usdm.find("BTCSTUSDT").status) == (Kind.PERPETUAL, Trading.PRE_OPEN)
    coinm = catalogue(COINM, data_dir)
    assert coinm.find("BTCUSD_PERP").symbol == "BTC/USD:BTC:PERP"
    sizes = {coinm.find(name).contract_size for name in ("BTCUSD_PERP", "BTCUSD_211231")}
    assert sizes == {Decimal(100)}
    assert coinm.find("ETHUSD_PERP").contract_size == 10
    assert coinm.find("ETHUSD_PERP").qty_unit == QtyUnit.CONTRACTS_OF_QUOTE
    assert coinm.find("BTCUSD_210924").symbol == "BTC/USD:BTC:20210924"


def test_statuses_become_those_of_the_wire(data_dir: Path) -> None:
    states = {each.status for each in catalogue(SPOT, data_dir)}
    assert states == {Trading.OPEN, Trading.HALTED}
    entry = json.loads(SPOT.unlisted("AB", Decimal(1), Decimal(1)))
    for word, status in (("CANCEL_ONLY", 4), ("END_OF_DAY", 5), ("TRADING", 1)):
        body = json.dumps({"symbols": [entry | {"status": word}]})
        assert SPOT.parse_instruments(body)[0][0].status == status
    delivered = entry | {"status": "", "contractStatus": "DELIVERED"}
    assert COINM.parse_instruments(json.dumps({"symbols": [delivered]}))[0][0].status == Trading.DELISTED


def test_an_entry_that_cannot_be_used_is_a_fault_and_the_others_stay() -> None:
    good = json.loads(SPOT.unlisted("GOOD", Decimal("0.1"), Decimal("0.1")))
    named = good | {"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT"}
    bad: list[Any] = [
        3,
        {"symbol": "X"},
        named | {"symbol": "A", "status": "WHAT"},
        named | {"symbol": "B", "baseAsset": "A/B"},
        named | {"symbol": "C", "baseAsset": "A" * 17},
        named | {"symbol": "", "baseAsset": "D"},
        named | {"symbol": "BTC-USDT"},
        good,
        named
        | {"symbol": "E", "baseAsset": "E", "filters": [{"filterType": "LOT_SIZE", "stepSize": "1e-30"}]},
        named | {"symbol": "F", "baseAsset": "F", "filters": [{"filterType": "LOT_SIZE", "stepSize": "NaN"}]},
        named | {"symbol": "G", "baseAsset": "G", "filters": [{"filterType": "LOT_SIZE", "minQty": "1e30"}]},
        named | {"symbol": "H", "baseAsset": "H", "filters": [{"filterType": "LOT_SIZE", "minQty": "-1"}]},
    ]
    instruments, faults = SPOT.parse_instruments(json.dumps({"symbols": [good, named, *bad]}))
    assert [each.symbol for each in instruments] == ["GOOD", "BTC/USDT"]
    assert len(faults) == len(bad)
    assert "listed twice" in faults[6].reason
    assert faults[2].text.startswith('{"symbol":"A"') or '"symbol": "A"' in faults[2].text
    for junk in (b"", b"{", b"[]", b"\xff", b'{"symbols":3}', b"[" * 100_000):
        instruments, faults = SPOT.parse_instruments(junk)
        assert (instruments, len(faults)) == ([], 1)


@pytest.mark.parametrize(
    "filters",
    [
        [{"filterType": "PRICE_FILTER", "tickSize": "1e-20000000"}],
        [{"filterType": "PRICE_FILTER", "tickSize": "1e20000000"}],
        [{"filterType": "PRICE_FILTER", "tickSize": "1e9999999"}],
        [{"filterType": "LOT_SIZE", "stepSize": "1e-9999999", "minQty": "1e9999999"}],
        [{"filterType": "LOT_SIZE", "stepSize": "1", "minQty": "1." + "1" * 100_000}],
    ],
    ids=["small", "large", "over", "both", "long"],
)
@pytest.mark.timeout(10)
def test_a_size_of_absurd_magnitude_is_refused_before_it_is_computed(filters: list[dict[str, str]]) -> None:
    """As whole numbers these have millions of digits: 22 s were seen for one tick."""
    entry = json.loads(SPOT.unlisted("GOOD", Decimal("0.1"), Decimal("0.1"))) | {"filters": filters}
    instruments, faults = SPOT.parse_instruments(json.dumps({"symbols": [entry]}))
    assert (instruments, len(faults)) == ([], 1)
    assert len(faults[0].reason) <= 256


@pytest.mark.parametrize("value", ["1e41", "1e-41", "NaN", "Infinity", "1." + "1" * 40])
def test_numbers_that_are_no_sizes_are_refused(value: str) -> None:
    for compute in (decimal_exponent, lambda number: mantissa(number, -8)):
        with pytest.raises(ValueError, match=r"no size|no number|too many digits"):
            compute(Decimal(value))
    assert decimal_exponent(Decimal("0E-20000000"), Decimal("0.10")) == -1
    assert mantissa(Decimal("0E-20000000"), -8) == 0


@pytest.mark.parametrize("delivery", [99_999_999_999_999, -1, 2**63, 2**62 // 1_000_000 + 1])
def test_an_expiry_beyond_the_wire_is_a_fault_of_that_instrument(delivery: int) -> None:
    entries = [
        json.loads(USDM.unlisted(name, Decimal("0.1"), Decimal("0.1")))
        for name in ("ABUSDT", "ABUSDT_260327")
    ]
    for entry in entries:
        entry |= {"baseAsset": "AB", "quoteAsset": "USDT", "marginAsset": "USDT", "deliveryDate": delivery}
    instruments, faults = USDM.parse_instruments(json.dumps({"symbols": entries}))
    assert [each.native_symbol for each in instruments] == ["ABUSDT"], "a perpetual has no expiry"
    assert len(faults) == 1
    assert "expiry" in faults[0].reason or "integer" in faults[0].reason.lower()


def test_a_time_beyond_the_wire_is_no_time() -> None:
    for ms in (2**62 // 1_000_000 + 1, 10**14, 10**30, -1):
        assert SPOT.exchange_time_ns(json.dumps({"e": "trade", "T": ms, "p": "1"})) is None
    assert SPOT.exchange_time_ns('{"e":"trade","T":1700000000123,"p":"1"}') == 1_700_000_000_123_000_000


# Connections.


def test_only_streams_of_fixed_cadence_promise_a_message() -> None:
    btc = listed(SPOT, "BTCUSDT")
    (spot,) = plan_connections(SPOT, btc, ["depth", "trade", "ticker"], {})
    (quiet,) = plan_connections(SPOT, btc, ["depth", "trade", "bookTicker", "kline_1m"], {})
    assert (cadence_s(SPOT, spot), cadence_s(SPOT, quiet)) == (1.0, 0.0)
    market, public = plan_connections(USDM, listed(USDM, "BTCUSDT"), ["depth", "trade", "markPrice"], {})
    assert (market.url.rpartition("/")[0].rpartition("/")[2], cadence_s(USDM, market)) == ("market", 3.0)
    assert cadence_s(USDM, public) == 0.0


def test_usdm_opens_public_and_market_connections() -> None:
    (btc,) = listed(USDM, "BTCUSDT")
    plans = {plan.url: plan for plan in plan_connections(USDM, [btc], USDM.default_channels, {})}
    public = plans["wss://fstream.binance.com/public/stream"]
    market = plans["wss://fstream.binance.com/market/stream"]
    assert len(plans) == 2
    assert public.streams == ("btcusdt@depth@100ms", "btcusdt@trade", "btcusdt@bookTicker")
    assert market.streams == (
        "btcusdt@ticker",
        "btcusdt@kline_1m",
        "btcusdt@markPrice@1s",
        "btcusdt@forceOrder",
        "!contractInfo",
    )
    assert (planned_books(USDM, public), planned_books(USDM, market)) == (["BTCUSDT"], [])
    assert market.instruments == (btc,)
    assert json.loads(USDM.subscribe(public.streams)[0].text) == {
        "method": "SUBSCRIBE",
        "params": list(public.streams),
        "id": 1,
    }


def test_spot_and_coinm_need_one_connection_and_take_another_base() -> None:
    (btc,) = listed(SPOT, "BTCUSDT")
    (plan,) = plan_connections(SPOT, [btc], SPOT.default_channels, {}, "ws://127.0.0.1:9/")
    assert plan.url == "ws://127.0.0.1:9/stream"
    assert plan.streams == (
        "btcusdt@depth@100ms",
        "btcusdt@trade",
        "btcusdt@bookTicker",
        "btcusdt@ticker",
        "btcusdt@kline_1m",
    )
    (coin,) = listed(COINM, "BTCUSD_PERP")
    (plan,) = plan_connections(COINM, [coin], ("depth", "aggTrade"), {"depth": "0ms"})
    assert plan.url == "wss://dstream.binance.com/stream"
    assert plan.streams == ("btcusd_perp@depth@0ms", "btcusd_perp@aggTrade")
    assert plan_connections(SPOT, [], SPOT.default_channels, {}) == []
    assert plan_connections(USDM, [], USDM.default_channels, {}) == []


@pytest.mark.parametrize("venue", [SPOT, USDM, COINM], ids=lambda venue: venue.name)
def test_connections_and_messages_stay_within_the_limits(venue: Binance, data_dir: Path) -> None:
    instruments = list(catalogue(venue, data_dir))
    plans = plan_connections(venue, instruments, venue.default_channels, {})
    streams = [stream for plan in plans for stream in plan.streams]
    assert len(streams) == len(set(streams))
    wanted = {stream for each in instruments for stream in venue.streams(each, venue.default_channels, {})}
    assert set(streams) - {"!contractInfo"} == wanted
    books = [native for plan in plans for native in planned_books(venue, plan)]
    assert sorted(books) == sorted(each.native_symbol for each in instruments)
    for plan in plans:
        assert len(plan.streams) <= venue.limits.streams_per_connection
        requests = [request.text for request in venue.subscribe(plan.streams)]
        assert max(map(len, requests)) <= SUBSCRIBE_BYTES_MAX
        asked = [stream for text in requests for stream in json.loads(text)["params"]]
        assert tuple(asked) == plan.streams
        assert [json.loads(text)["id"] for text in requests] == [*range(1, len(requests) + 1)]
        # All streams of an instrument on this route are together: it is lost with one connection.
        for instrument in plan.instruments:
            own = {stream for stream in wanted if venue.native_symbol_of(stream) == instrument.native_symbol}
            assert own & set(plan.streams) == {
                stream for stream in own if venue is not USDM or plan.url.endswith(venue.route(stream))
            }


def test_a_stream_tells_its_channel_and_symbol_back() -> None:
    for venue in (SPOT, USDM, COINM):
        (instrument,) = listed(venue, "BTCUSD_PERP")
        for name, channel in venue.channels.items():
            for speed in channel.speeds or ("",):
                if channel.whole_venue:
                    assert venue.channel_of(f"!{name}") == (name, "")
                    assert venue.native_symbol_of(f"!{name}") is None
                    continue
                (stream,) = venue.streams(instrument, [name], {name: speed})
                assert venue.channel_of(stream) == (name, speed)
                assert venue.native_symbol_of(stream) == "BTCUSD_PERP"
    assert SPOT.channel_of("btcusdt@depth20") is None
    assert SPOT.channel_of("btcusdt@depth@0ms") is None
    assert SPOT.channel_of("depth") is None
    assert USDM.channel_of("btcusdt@contractInfo") is None


def test_channels_and_speeds_that_are_not_offered_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="has no channel 'trades': depth, trade"):
        SPOT.check_channels(["trades"])
    with pytest.raises(ConfigurationError, match="trade and aggTrade of binance carry the same"):
        SPOT.check_channels(["trade", "aggTrade"])
    with pytest.raises(
        ConfigurationError, match="'0ms' of channel depth of binance is not offered: 100ms, 1000ms"
    ):
        SPOT.check_channels(["depth"], {"depth": "0ms"})
    with pytest.raises(ConfigurationError, match="not offered: none"):
        SPOT.check_channels(["trade"], {"trade": "1s"})
    USDM.check_channels(["depth"], {"depth": "0ms"})


def test_requests_name_path_and_weight() -> None:
    (btc,) = listed(SPOT, "BTCUSDT")
    request = SPOT.snapshot_request(btc)
    assert (request.target, request.weight) == ("/api/v3/depth?symbol=BTCUSDT&limit=1000", 50)
    assert SPOT.instruments_requests()[0].target == "/api/v3/exchangeInfo"
    (coin,) = listed(COINM, "BTCUSD_PERP")
    request = COINM.snapshot_request(coin)
    assert (request.target, request.weight) == ("/dapi/v1/depth?symbol=BTCUSD_PERP&limit=1000", 20)
    assert USDM.limits.weight_pool == COINM.limits.weight_pool != SPOT.limits.weight_pool
    (odd,) = listed(SPOT, "币安人生USDT")
    assert SPOT.snapshot_request(odd).target.isascii()


def test_only_published_hosts_over_tls_are_the_venue_itself() -> None:
    assert SPOT.is_published()
    assert SPOT.is_published(ws_url="wss://data-stream.binance.vision", rest_url="https://api1.binance.com")
    assert SPOT.is_published(ws_url="wss://stream.binance.com:443")
    for url in (
        "ws://stream.binance.com",
        "wss://stream.testnet.binance.vision",
        "wss://stream.binance.com.evil.org",
        "ws://127.0.0.1:8000",
    ):
        assert not SPOT.is_published(ws_url=url)
    assert not SPOT.is_published(rest_url="http://127.0.0.1:8000")
    assert not USDM.is_published(ws_url="wss://fstream.binancefuture.com")
    for venue in VENUES.values():
        if venue.simulation:
            assert not venue.is_published()
            continue
        assert venue.is_published(ws_url=venue.ws_url, rest_url=venue.rest_url)


def test_an_unknown_venue_names_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"binance_usdm.*did you mean binance_usdm"):
        venue_by_name("binance_usd")


# Control messages.


def test_control_messages() -> None:
    assert SPOT.control('{"result":null,"id":1}') == Ack(1)
    assert SPOT.control(b'{"result":["btcusdt@trade"],"id":"a"}') == Ack("a")
    assert SPOT.control('{"code":2,"msg":"Invalid request: x","id":7}') == Error(2, "Invalid request: x", 7)
    assert SPOT.control('{"error":{"code":3,"msg":"Invalid JSON"}}') == Error(3, "Invalid JSON", None)
    assert SPOT.control('{"e":"serverShutdown","E":1}') == Shutdown()
    combined = '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}'
    assert SPOT.control(combined) == Shutdown()
    client = Client("/ws")
    assert SPOT.exchange.greeting(client) == []
    (told,) = SPOT.exchange.farewell(client, 1)
    assert (told, SPOT.exchange.stamped(client, told)) == (combined, '{"e":"serverShutdown","E":1}')
    assert VENUES["binance_usdm"].exchange.farewell(client, 1) == [], "of futures none is documented"
    info = {"e": "contractInfo", "E": 1, "s": "BTCUSDT", "ps": "BTCUSDT", "ct": "PERPETUAL", "cs": "SETTLING"}
    frame = json.dumps({"stream": "!contractInfo", "data": info})
    assert USDM.control(frame) == InstrumentStatus("BTCUSDT", Trading.HALTED, "SETTLING")
    assert USDM.control(json.dumps(info | {"st": 1})) == InstrumentStatus(
        "BTCUSDT", Trading.HALTED, "SETTLING"
    )
    assert isinstance(USDM.control(json.dumps(info | {"st": 2})), Ignored)
    assert isinstance(COINM.control(json.dumps(info | {"st": 1})), Ignored)
    assert USDM.control(json.dumps(info | {"cs": "NEW"})) == Unknown("contractInfo 'NEW'")
    assert SPOT.control('{"e":"outboundAccountPosition"}') == Unknown("outboundAccountPosition")
    assert SPOT.control('{"stream":"x@y","data":{}}') == Unknown("x@y")
    assert SPOT.control("{}") == Unknown("object")
    for junk in (b"", b"x", b"[]", b"3", b"\xff\xfe", b"[" * 200_000, b'{"data":{"e":' + b"[" * 9_000):
        assert SPOT.control(junk) == Unknown("not a JSON object")
    assert len(str(SPOT.control(json.dumps({"e": "x" * 10_000})))) < 200


# Shapes, on messages that no capture holds.


def decoded(venue: Venue, native: str, *frames: bytes | str) -> list[dict[str, Any]]:
    """What the core publishes of frames about one instrument."""
    publisher = _core.Publisher.memory()
    feed = _core.Feed(
        publisher,
        venue=venue.number,
        channel=venue.number,
        session=1,
        publisher_id=1,
        shapes=venue.shapes_json,
        build="test",
        replay=True,
        start_ns=1,
    )
    (instrument,) = listed(venue, native)
    feed.add_instrument(**to_core_kwargs(instrument, 7), has_book=False, recv_ns=1)
    publisher.take()
    for frame in frames:
        data = frame.encode() if isinstance(frame, str) else frame
        assert feed.on_frame(1, data, 5) & _core.FOR_PYTHON == 0, (frame, feed.faults())
    assert feed.faults() == []
    messages = [_core.decode_frame(frame) for _, frame in publisher.take()]
    return [each for each in messages if each["msg"] not in {"HEARTBEAT", "INSTRUMENT_DEF"}]


def sample(data_dir: Path, name: str) -> bytes:
    path = data_dir / "samples" / "binance" / f"futures_market_data_json_{name}_stream.json"
    if not path.is_file():
        pytest.skip(f"sample is missing: {path}")
    return path.read_bytes()


def scaled(message: dict[str, Any], value: int) -> Decimal:
    return Decimal(value).scaleb(message["price_exp"])


def test_the_ticker_of_a_day(data_dir: Path) -> None:
    text = sample(data_dir, "ticker")
    (message,) = decoded(USDM, "BTCUSDT", text)
    root = message["root"]
    assert message["msg"] == "TICKER_24H"
    assert [scaled(message, root[f"{name}_px"]) for name in ("last", "open", "high", "low")] == [
        Decimal("16584.6"),
        Decimal(16716),
        Decimal("16764.89"),
        Decimal("16456.51"),
    ]
    assert (root["volume"], root["turnover"], root["trade_count"]) == (122474.816, 2036102085.697464, 142853)
    assert message["exchange_ts"] == 1_672_515_782_136_000_000
    # COIN-M counts contracts in "v" and base units in "q".
    (message,) = decoded(COINM, "BTCUSDT", text)
    assert message["root"]["volume"] == 2036102085.697464
    assert message["root"]["turnover"] != message["root"]["turnover"]
    (message,) = decoded(SPOT, "BTCUSDT", text)
    assert message["root"]["turnover"] == 2036102085.697464


def test_mark_price_and_funding(data_dir: Path) -> None:
    text = sample(data_dir, "mark_price")
    combined = b'{"stream":"btcusdt@markPrice@1s","data":' + text + b"}"
    for frame in (text, combined):
        (message,) = decoded(USDM, "BTCUSDT", frame)
        root = message["root"]
        assert message["msg"] == "DERIV_STATE"
        assert root["present"] == 0b1011110
        assert [scaled(message, root[f"{name}_px"]) for name in ("mark", "index", "settle")] == [
            Decimal("11794.15"),
            Decimal("11784.62659091"),
            Decimal("11784.25641265"),
        ]
        assert root["funding_rate"] == 381_670_000  # 0.00038167 at 1e-12
        assert root["next_funding_ts"] == 1_562_306_400_000_000_000
    dated = json.loads(text) | {"r": "0.00000000", "T": 0}
    (message,) = decoded(USDM, "BTCUSDT", json.dumps(dated))
    assert message["root"]["present"] == 0b1110, "a dated future has no funding"
    (message,) = decoded(USDM, "BTCUSDT", json.dumps(dated | {"r": ""}))
    assert message["root"]["present"] == 0b1110


def test_a_forced_order_tells_what_was_filled(data_dir: Path) -> None:
    (message,) = decoded(USDM, "BTCUSDT", sample(data_dir, "liquidation"))
    assert message["msg"] == "LIQUIDATION"
    (record,) = message["records"]
    assert scaled(message, record["price"]) == Decimal("9910.12345678")
    assert Decimal(record["qty"]).scaleb(message["qty_exp"]) == Decimal("0.014")
    assert (record["aggressor"], record["trade_flags"]) == (2, 4)
    assert record["trade_ts"] == 1_568_014_460_893_000_000


def test_what_was_printed_off_the_book_is_flagged() -> None:
    text = (
        '{"e":"trade","E":1596034530241,"T":1596034530235,"s":"ETHUSDT","t":73701056,'
        '"p":"2366.55","q":"0.070","X":"INSURANCE_FUND","m":true}'
    )
    frames = [
        text,
        text.replace("INSURANCE_FUND", "MARKET").replace("true", "false").replace("73701056", "73701057"),
        text.replace(',"X":"INSURANCE_FUND"', "").replace("73701056", "73701058"),
    ]
    messages = decoded(USDM, "ETHUSDT", *frames)
    records = [record for message in messages for record in message["records"]]
    assert [record["trade_flags"] for record in records] == [64, 0, 0]
    assert [record["aggressor"] for record in records] == [2, 1, 2], (
        "m = the buyer is the maker, a seller took"
    )
    assert messages[0]["exchange_ts"] == 1_596_034_530_235_000_000


def test_an_aggregated_trade_counts_its_fills(data_dir: Path) -> None:
    (message,) = decoded(USDM, "BTCUSDT", sample(data_dir, "agg_trade"))
    (record,) = message["records"]
    assert (record["trade_id"], record["n_fills"], record["id_span"]) == (5_933_014, 6, 5)


def test_a_candle_is_closed_when_the_venue_says_so(data_dir: Path) -> None:
    for name, flags in (("kline_stream_open", 0), ("kline_stream_closed", 1)):
        path = data_dir / "samples" / "binance" / f"futures_market_data_json_{name}.json"
        (message,) = decoded(USDM, "BTCUSDT", path.read_bytes())
        (record,) = message["records"]
        assert (record["candle_flags"], record["interval_s"]) == (flags, 60)
        assert record["open_ts"] == 1_638_747_660_000_000_000


def test_what_no_shape_takes_comes_to_python() -> None:
    publisher = _core.Publisher.memory()
    for venue in VENUES.values():
        feed = _core.Feed(
            publisher,
            venue=venue.number,
            channel=venue.number,
            session=1,
            publisher_id=1,
            shapes=venue.shapes_json,
            build="test",
            replay=True,
            start_ns=1,
        )
        for frame in (
            b'{"result":null,"id":1}',
            b'{"code":2,"msg":"x"}',
            b'{"stream":"!contractInfo","data":{"e":"contractInfo","s":"BTCUSDT","cs":"TRADING"}}',
            b'{"e":"serverShutdown","E":1}',
        ):
            assert feed.on_frame(1, frame, 5) & _core.FOR_PYTHON


def test_printed_numbers_are_those_that_the_exponents_must_hold() -> None:
    numbers = SPOT.printed(
        '{"stream":"a@depth","data":{"e":"depthUpdate","b":[["1.20","3"]],"a":[["1.3","0.50"]]}}'
    )
    assert (numbers.prices, numbers.quantities) == (("1.20", "1.3"), ("3", "0.50"))
    numbers = SPOT.printed('{"u":1,"s":"A","b":"1.1","B":"2","a":"1.2","A":"3"}')
    assert (set(numbers.prices), set(numbers.quantities)) == ({"1.1", "1.2"}, {"2", "3"})
    numbers = SPOT.printed('{"lastUpdateId":1,"bids":[["5","6"]],"asks":[]}')
    assert (numbers.prices, numbers.quantities) == (("5",), ("6",))
    numbers = SPOT.printed('{"e":"aggTrade","a":77,"p":"5.5","q":"6"}')
    assert (numbers.prices, numbers.quantities) == (("5.5",), ("6",))
    assert SPOT.printed('{"e":"kline","k":{}}') == SPOT.printed("junk")


def test_values_are_immutable() -> None:
    with pytest.raises(AttributeError):
        listed(SPOT, "BTCUSDT")[0].symbol = "x"  # type: ignore[misc]
    assert msgspec.structs.asdict(SPOT.limits)["connects"] == 300
