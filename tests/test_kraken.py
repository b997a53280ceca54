"""Kraken spot v2: its capture and samples, and what its documentation says (each trap of it)."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from core_events import Decoder, Reader
from feed_checks import Followed
from outcrier.instruments import QtyUnit, Trading
from outcrier.venues.base import Ack, Error, Ignored, InstrumentStatus, Pong, Several, Unknown
from outcrier.venues.exchange_side import Client
from outcrier.venues.kraken import KRAKEN, SYMBOLS_AT_ONCE, asset
from outcrier.venues.kraken_exchange import checksum
from outcrier.venues.kraken_shapes import DEPTH
from plain.kraken import kraken
from plain_events import Book, parse, received
from planning import plan_connections
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

CAPTURE = "kraken/v2_book10_btcusd_2026-08-24"

# Documentation, and for the halted pair tardis-node test/mappers.test.ts of 2026-07.
HALTED = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"ANETx/USD","bid":0,"bid_qty":0,"ask":0,"ask_qty":0,'
    '"timestamp":"1970-01-01T00:00:00.000000Z"}]}'
)
QUOTED = [
    (
        '{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5657,'
        '"qty":1098.3947558}],"asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}'
    ),
    (
        '{"channel":"trade","type":"update","data":[{"symbol":"ETH/USDT","side":"sell","price":0.5117,"qty":40.0,'
        '"ord_type":"market","trade_id":4665906,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
    ),
    HALTED,
]

# The test vector of the official guide to book checksums.
VECTOR_ASKS = (
    "45285.2/0.00100000 45286.4/1.54571953 45286.6/1.54571109 45289.6/1.54560911 45290.2/0.15890660 "
    "45291.8/1.54553491 45294.7/0.04454749 45296.1/0.35380000 45297.5/0.09945542 45299.5/0.18772827"
)
VECTOR_BIDS = (
    "45283.5/0.10000000 45283.4/1.54582015 45282.1/0.10000000 45281.0/0.10000000 45280.3/1.54592586 "
    "45279.0/0.07990000 45277.6/0.03310103 45277.5/0.30000000 45277.3/1.54602737 45276.6/0.15445238"
)
VECTOR_CRC = 3_310_070_434


def levels(text: str) -> list[tuple[str, str]]:
    return [(price, qty) for price, _, qty in (level.partition("/") for level in text.split())]


def objects(text: str) -> str:
    return ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in levels(text))


def book(kind: str, bids: str, asks: str, crc: int) -> str:
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USD","bids":[{objects(bids)}],'
        f'"asks":[{objects(asks)}],"checksum":{crc},"timestamp":"2023-10-06T17:35:55.440295Z"}}]}}'
    )


def test_samples_and_quoted_messages(data_dir: Path) -> None:
    folder = data_dir / "samples" / "kraken"
    names = ("book_snapshot", "book_update", "ohlc_update", "ticker_snapshot", "trade_update", "pong")
    frames = [(folder / f"ws_{name}.json").read_bytes() for name in (*names, "subscribe_response")]
    counts = check_contents(KRAKEN, [*frames, *(text.encode() for text in QUOTED)], kraken)
    assert counts == {"for_python": 2, "book": 3, "trade": 3, "ticker": 1, "bbo": 2, "candle": 1}


def read(text: str, symbol: str = "BTC/USD") -> list[Any]:
    reader = Reader(KRAKEN.shapes_json)
    reader.add(symbol)
    assert reader.read(text.encode()) == Decoder.HANDLED, reader.decoder.reason
    return reader.events()


def test_the_checksum_is_that_of_the_guide() -> None:
    assert checksum(levels(VECTOR_BIDS), levels(VECTOR_ASKS)) == VECTOR_CRC


def test_every_checksum_of_the_capture_holds(capture: Callable[[str], Path]) -> None:
    frames = list(received(capture(CAPTURE)))
    followed = Followed(KRAKEN, *named(KRAKEN, "BTC/USD"))
    checked = 0
    for at, frame in enumerate(frames, start=1):
        followed.read(frame)
        for event in kraken(parse(frame)) or ():
            assert isinstance(event, Book)
            ours = books_of(frames[:at], kraken, DEPTH)["BTC/USD"]
            assert checksum(*ours.levels()) == event.checksum
            assert followed.books() == {"BTC/USD": ours.plain()}
            checked += 1
    assert checked == 4


def test_one_digit_altered_ends_the_book() -> None:
    """45285.20 is another text than 45285.2: zeros count, as does every digit."""
    for wrong in (
        VECTOR_ASKS.replace("45285.2/", "45285.20/"),
        VECTOR_ASKS.replace("0.18772827", "0.18772828"),
    ):
        followed = Followed(KRAKEN, *named(KRAKEN, "BTC/USD"))
        followed.read(book("snapshot", VECTOR_BIDS, VECTOR_ASKS, VECTOR_CRC))
        assert len(followed.books()) == 1
        followed.read(book("update", "", wrong, VECTOR_CRC))
        assert followed.books() == {}


def test_levels_pushed_out_of_the_depth_are_gone() -> None:
    followed = Followed(KRAKEN, *named(KRAKEN, "BTC/USD"))
    followed.read(book("snapshot", VECTOR_BIDS, VECTOR_ASKS, VECTOR_CRC))
    better = [("45285.1", "1.00000000"), *levels(VECTOR_ASKS)[:9]]
    crc = checksum(levels(VECTOR_BIDS), better)
    followed.read(book("update", "", "45285.1/1.00000000", crc))
    (bids, asks) = followed.books()["BTC/USD"]
    assert (len(bids), len(asks)) == (DEPTH, DEPTH)
    assert [price for price, _ in asks] == [Decimal(price) for price, _ in better]
    # The level behind comes back by a message of its own; a deletion of one that nobody knows is harmless.
    again = [*better[1:], levels(VECTOR_ASKS)[9]]
    crc = checksum(levels(VECTOR_BIDS), again)
    followed.read(book("update", "1.0/0.00000000", "45285.1/0.00000000 45299.5/0.18772827", crc))
    assert followed.books()["BTC/USD"][1][-1] == (Decimal("45299.5"), Decimal("0.18772827"))


def test_a_price_may_come_twice_in_a_message_and_the_last_one_holds() -> None:
    followed = Followed(KRAKEN, *named(KRAKEN, "BTC/USD"))
    followed.read(book("snapshot", VECTOR_BIDS, VECTOR_ASKS, VECTOR_CRC))
    followed.read(book("update", "", "45285.2/0.00000000 45285.2/0.00100000", VECTOR_CRC))
    assert followed.books()["BTC/USD"][1][0] == (Decimal("45285.2"), Decimal("0.001"))


def test_a_halted_pair_has_neither_prices_nor_a_time() -> None:
    (bbo,) = read(HALTED, "ANETx/USD")
    assert (bbo.bid, bbo.ask, bbo.time) == (None, None, None)


def test_the_side_is_the_takers() -> None:
    (trade,) = read(QUOTED[1], "ETH/USDT")
    assert (trade.aggressor, trade.id, trade.qty) == (2, "4665906", Decimal(40))


# Instruments.


def test_instruments_by_the_names_of_this_protocol(data_dir: Path) -> None:
    instruments = {each.native_symbol: each for each in listed(KRAKEN, data_dir)}
    assert len(instruments) == 293
    btc = instruments["BTC/USD"]
    assert (btc.symbol, btc.base, btc.tick_size) == ("BTC/USD", "BTC", Decimal("0.1"))
    assert (btc.lot_size, btc.qty_unit, btc.book_proof) == (Decimal("0.00000001"), QtyUnit.BASE, 2)
    assert {"DOGE/USD", "ETH/BTC"} <= instruments.keys()
    assert not any(part in {"XBT", "XDG"} for native in instruments for part in native.split("/"))


def test_today_and_tokenized_assets(data_dir: Path) -> None:
    names = ("kraken/http_asset_pairs.json", "kraken/http_asset_pairs_tokenized.json")
    instruments, faults = KRAKEN.parse_instruments(*bodies_of(data_dir, *names))
    assert faults == []
    assert [(each.symbol, each.tick_size, each.min_qty) for each in instruments] == [
        ("BTC/USDT", Decimal("0.1"), Decimal("0.00005")),
        ("AAPLx/USD", Decimal("0.01"), Decimal("0.00000001")),
    ]
    assert [request.target for request in KRAKEN.instruments_requests()] == [
        "/0/public/AssetPairs",
        "/0/public/AssetPairs?aclass_base=tokenized_asset",
    ]


def test_dark_pools_are_left_out_and_listed(data_dir: Path) -> None:
    (body,) = bodies_of(data_dir, *KRAKEN.instrument_lists)
    instruments, faults = KRAKEN.parse_instruments(body)
    assert len(faults) == 11
    assert all("a dark pool" in each.reason and '.d"' in each.text for each in faults)
    assert len(instruments) + len(faults) == len(json.loads(body)["result"])


def test_the_names_are_those_of_the_recorded_instrument_channel(data_dir: Path) -> None:
    """Every pair that both lists have is called in one as in the other."""
    path = data_dir / "samples" / "kraken" / "v2_instrument_snapshot.json.gz"
    pairs = json.loads(gzip.decompress(path.read_bytes()))["data"]["pairs"]
    theirs = {pair["symbol"]: pair for pair in pairs}
    both = [each for each in listed(KRAKEN, data_dir) if each.native_symbol in theirs]
    assert len(theirs) == len(pairs) == 683
    assert len(both) > 200
    for each in both:
        assert asset(theirs[each.native_symbol]["base"]) == each.base
        assert theirs[each.native_symbol]["quote"] == each.quote


def test_the_channel_of_pairs_tells_their_status(data_dir: Path) -> None:
    path = data_dir / "samples" / "kraken" / "v2_instrument_snapshot.json.gz"
    text = gzip.decompress(path.read_bytes())
    control = KRAKEN.control(text)
    assert isinstance(control, Several)
    said = [each for each in control.controls if isinstance(each, InstrumentStatus)]
    assert len(said) == len(control.controls) == 683
    words = {each.text: each.status for each in said}
    assert words == {
        "online": Trading.OPEN,
        "reduce_only": Trading.OPEN,
        "cancel_only": Trading.HALTED,
    }
    assert KRAKEN.stream_of(text) == "!instrument"
    update = '{"channel":"instrument","type":"update","data":{"pairs":[{"symbol":"A/B","status":"?"}]}}'
    assert KRAKEN.control(update) == Several((Unknown("status '?'"),))


def test_an_entry_that_cannot_be_used_is_a_fault() -> None:
    good = json.loads(KRAKEN.unlisted("BTC/USD", Decimal("0.1"), Decimal("0.001")))
    assert good["wsname"] == "XBT/USD"
    bad: list[Any] = [3, good | {"status": "?"}, good | {"wsname": "A:B/C"}, good | {"tick_size": "x"}, good]
    body = json.dumps({"error": [], "result": {str(at): each for at, each in enumerate([good, *bad])}})
    instruments, faults = KRAKEN.parse_instruments(body)
    assert [each.native_symbol for each in instruments] == ["BTC/USD"]
    assert len(faults) == len(bad)
    for junk in ('{"error":["EGeneral:Internal error"]}', "[]", "{"):
        instruments, faults = KRAKEN.parse_instruments(junk)
        assert (instruments, len(faults)) == ([], 1)


# Connections.


def test_a_request_names_symbols_and_each_is_acknowledged(data_dir: Path) -> None:
    streams = default_streams(KRAKEN, named(KRAKEN, "BTC/USD", "ETH/USD"))
    requests = KRAKEN.subscribe(streams, number=3)
    messages = [json.loads(request.text) for request in requests]
    assert [message["params"] for message in messages] == [
        {"channel": "book", "symbol": ["BTC/USD", "ETH/USD"], "depth": 10, "snapshot": True},
        {"channel": "trade", "symbol": ["BTC/USD", "ETH/USD"], "snapshot": False},
        {"channel": "ticker", "symbol": ["BTC/USD", "ETH/USD"], "event_trigger": "bbo", "snapshot": True},
        {"channel": "ohlc", "symbol": ["BTC/USD", "ETH/USD"], "interval": 1, "snapshot": False},
        {"channel": "instrument", "snapshot": True, "include_tokenized_assets": True},
    ]
    assert [request.acks for request in requests] == [2, 2, 2, 2, 1]
    assert [message["req_id"] for message in messages] == [30, 41, 52, 63, 74]
    instruments = listed(KRAKEN, data_dir)
    for request in KRAKEN.subscribe(default_streams(KRAKEN, instruments)):
        assert len(json.loads(request.text)["params"].get("symbol", [])) <= SYMBOLS_AT_ONCE
    plans = plan_connections(KRAKEN, instruments, KRAKEN.default_channels, {})
    assert [len(plan.instruments) for plan in plans] == [200, 93]
    assert {plan.url for plan in plans} == {"wss://ws.kraken.com/v2"}


def test_streams_and_requests(data_dir: Path) -> None:
    instruments = listed(KRAKEN, data_dir)
    check_streams(KRAKEN, instruments)
    check_requests(KRAKEN, instruments)


def test_a_refusal_concerns_one_stream() -> None:
    """It names the symbol; the channel is in the number of the request."""
    client = Client("/v2")
    (request,) = KRAKEN.subscribe(["ticker:BTC/USD", "ticker:NOPE"], number=8)
    controls = [KRAKEN.control(text) for text in KRAKEN.exchange.on_text(client, request.text)]
    assert controls == [Ack(82), Error(None, "Currency pair not supported NOPE", 82, "ticker:NOPE")]
    assert list(client.streams) == ["ticker:BTC/USD"]
    said = '{"error":"Currency pair not supported A/B","method":"subscribe","success":false,"symbol":"A/B"}'
    assert KRAKEN.control(said) == Error(None, "Currency pair not supported A/B", None, None)


def test_a_late_subscriber_gets_the_book_with_its_decimals(capture: Callable[[str], Path]) -> None:
    ours = books_of(received(capture(CAPTURE)), kraken, DEPTH)["BTC/USD"]
    (event,) = check_book_again(KRAKEN, Client("/v2"), "book:BTC/USD", ours, kraken)
    assert isinstance(event, Book)
    assert event.checksum == checksum(*ours.levels())
    assert event.time == ours.exchange_ns
    (text,) = KRAKEN.exchange.on_subscribed(Client("/v2"), "book:BTC/USD", ours)
    followed = Followed(KRAKEN, *named(KRAKEN, "BTC/USD"))
    followed.read(text)
    assert followed.books() == {"BTC/USD": ours.plain()}


def test_control_messages(capture: Callable[[str], Path], data_dir: Path) -> None:
    pong = (data_dir / "samples" / "kraken" / "ws_pong.json").read_text()
    assert KRAKEN.control(pong) == Pong()
    said = [KRAKEN.control(frame) for frame in received(capture(CAPTURE)) if kraken(parse(frame)) is None]
    assert said == [Ignored("system online"), Ack(None), Ignored("heartbeat"), Ignored("heartbeat")]
    status = '{"channel":"status","type":"update","data":[{"system":"maintenance"}]}'
    assert KRAKEN.control(status) == Unknown("system 'maintenance'")
    said_of = {
        status.replace("maintenance", "online").encode(): Ignored("system online"),
        status.encode(): Unknown("system 'maintenance'"),
        status.replace('"maintenance"', "5").encode(): Unknown("system 5"),
        status.replace("[{", "[],[{").replace("}]}", "}]}}")[:-1].encode(): Unknown("not a JSON object"),
        status.replace('"type"', '"method":"pong","type"').encode(): Pong(),
        status.replace('"type"', '"error":"no","type"').encode(): Error(None, "no"),
        status.replace('"type"', '"channel":"level3","type"').encode(): Unknown("level3"),
        b'{"channel":"status","data":[]}': Unknown("system None"),
    }
    assert {text: KRAKEN.control(text) for text in said_of} == said_of
    assert KRAKEN.control('{"channel":"level3"}') == Unknown("level3")
    client = Client("/v2")
    (answer,) = KRAKEN.exchange.on_text(client, KRAKEN.keepalive.client_ping)
    assert KRAKEN.control(answer) == Pong()
    assert KRAKEN.exchange.heartbeat(client) == []
    client.streams["book:BTC/USD"] = None
    assert [KRAKEN.control(text) for text in KRAKEN.exchange.heartbeat(client)] == [Ignored("heartbeat")]
    assert [KRAKEN.control(text) for text in KRAKEN.exchange.greeting(client)] == [Ignored("system online")]


def test_times() -> None:
    assert KRAKEN.exchange_time_ns(QUOTED[0]) == 1_696_613_755_440_295_000
    assert KRAKEN.exchange_time_ns(HALTED) is None
