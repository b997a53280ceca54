"""Kraken Futures: its capture and samples, and what its documentation says (each trap of it)."""

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
from outcrier.venues.base import Ack, Error, Ignored, Several, Unknown
from outcrier.venues.exchange_side import Client
from outcrier.venues.kraken_futures import KRAKEN_FUTURES, PRODUCTS_AT_ONCE
from plain.kraken import kraken_futures
from plain_events import Bbo, Book, Deriv, Ticker, Trade, lines, parse, received
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
from venue_feeds import Fed, digits_seen

CAPTURE = "kraken_futures/v1_2021-07-22"

# tardis-node's recording of 2020-07, and JKorf/Kraken.Net's of 2026-07, fields of the sample for its dots.
LIQUIDATION = (
    '{"feed":"trade","product_id":"PI_XRPUSD","uid":"3ee209b8-bc9f-4ed5-965b-8c6208b26411","side":"sell",'
    '"type":"liquidation","seq":41799,"time":1593561965283,"qty":12000,"price":0.1736}'
)
LINEAR = (
    '{"time":1783587648112,"product_id":"PF_ETHUSD","funding_rate":0.032725177043125,'
    '"relative_funding_rate":0.0000186711875,"next_funding_rate_time":1783591200000,"feed":"ticker","bid":1751.6,'
    '"ask":1751.7,"bid_size":1.5,"ask_size":2,"volume":10.25,"volumeQuote":17954.5,"last":1751.6,'
    '"openInterest":24085.822,"markPrice":1751.97553924942,"suspended":false,"post_only":false}'
)


def sample(data_dir: Path, name: str) -> bytes:
    return (data_dir / "samples" / "kraken" / f"ws_futures_{name}.json").read_bytes()


def test_samples_and_quoted_messages(data_dir: Path) -> None:
    names = (
        "book_delta",
        "book_snapshot",
        "book_snapshot_with_zero_qty",
        "ticker",
        "trade",
        "trade_snapshot",
    )
    frames = [sample(data_dir, name) for name in names]
    counts = check_contents(KRAKEN_FUTURES, [*frames, LIQUIDATION.encode(), LINEAR.encode()], kraken_futures)
    assert counts == {"book": 3, "trade": 4, "ticker": 2, "bbo": 2, "deriv": 2, "trading": 2}


def read(text: str | bytes, symbol: str) -> list[Any]:
    reader = Reader(KRAKEN_FUTURES.shapes_json)
    reader.add(symbol)
    outcome = reader.read(text.encode() if isinstance(text, str) else text)
    assert outcome == Decoder.HANDLED, reader.decoder.reason
    return reader.events()


def test_numbers_of_a_product_follow_each_other_and_a_hole_ends_its_book_alone(
    capture: Callable[[str], Path], data_dir: Path
) -> None:
    frames = list(received(capture(CAPTURE)))
    books = books_of(frames, kraken_futures)
    instruments = [each for each in listed(KRAKEN_FUTURES, data_dir) if each.native_symbol in books]
    whole = Followed(KRAKEN_FUTURES, *instruments)
    for frame in frames:
        whole.read(frame)
    assert whole.books() == {native: book.plain() for native, book in books.items()}
    assert len(books) == 10
    assert whole.feed.counters()["gaps"] == 0
    lost = next(at for at, frame in enumerate(frames) if b'"feed":"book","product_id":"PI_ETHUSD"' in frame)
    holed = Followed(KRAKEN_FUTURES, *instruments)
    for frame in frames[:lost] + frames[lost + 1 :]:
        holed.read(frame)
    assert holed.feed.counters()["gaps"] == 1
    assert holed.books() == {native: book for native, book in whole.books().items() if native != "PI_ETHUSD"}


def test_a_whole_book_may_have_levels_of_nothing(data_dir: Path) -> None:
    followed = Followed(KRAKEN_FUTURES, *named(KRAKEN_FUTURES, "PI_XBTUSD"))
    followed.read(sample(data_dir, "book_snapshot_with_zero_qty"))
    assert followed.books() == {
        "PI_XBTUSD": (
            [(Decimal("34892.5"), Decimal(6385)), (Decimal("34891.5"), Decimal(100))],
            [(Decimal(34912), Decimal(2300))],
        )
    }


def test_the_rate_of_funding_is_the_relative_one(data_dir: Path) -> None:
    """`funding_rate` is absolute, in currency: 0.03 would be three per cent an hour."""
    _, _, state, _ = read(LINEAR, "PF_ETHUSD")
    assert isinstance(state, Deriv)
    assert state.fields["funding_rate"] == Decimal("0.000018671188"), "to the twelve decimals of the wire"
    assert state.fields["next_funding"] == 1_783_591_200_000_000_000
    assert state.fields["mark"] == Decimal("1751.97553924942")
    assert state.fields["open_interest"] == 24085.822
    _, _, state, _ = read(sample(data_dir, "ticker"), "PI_XBTUSD")
    assert (state.fields["funding_rate"], state.fields["next_rate"]) == (
        Decimal("-0.000001380385"),
        Decimal("-0.000008047629"),
    )
    assert state.fields["index"] == Decimal("21984.54")


def test_volumes_of_inverse_products_are_dollars_and_not_given_as_coins(data_dir: Path) -> None:
    inverse, bbo, *_ = read(sample(data_dir, "ticker"), "PI_XBTUSD")
    linear, *_ = read(LINEAR, "PF_ETHUSD")
    assert isinstance(inverse, Ticker)
    assert (inverse.volume, inverse.turnover) == (None, 31403908.0)
    assert (linear.volume, linear.turnover) == (10.25, 17954.5)
    assert inverse.prices == tuple(map(Decimal, ("21983.5", "21968.5", "22123.0", "21456.0")))
    assert isinstance(bbo, Bbo)
    assert bbo.bid == (Decimal("21978.5"), Decimal(2536), 0)
    dated, *_ = read(LINEAR.replace("PF_ETHUSD", "FF_ETHUSD_260925"), "FF_ETHUSD_260925")
    assert dated.volume == 10.25


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ('"suspended":false,"post_only":false', Trading.OPEN),
        ('"suspended":true,"post_only":false', Trading.HALTED),
        ('"suspended":false,"post_only":true', Trading.PRE_OPEN),
    ],
)
def test_a_ticker_tells_the_trading_status(said: str, state: int) -> None:
    text = LINEAR.replace('"suspended":false,"post_only":false', said)
    assert read(text, "PF_ETHUSD")[-1].state == state
    followed = Followed(KRAKEN_FUTURES, *named(KRAKEN_FUTURES, "PF_ETHUSD"), has_book=False)
    followed.connected()
    followed.read(text)
    assert followed.statuses() == ([] if state == Trading.OPEN else [state])


@pytest.mark.parametrize(
    ("kind", "flags"),
    [("fill", 0), ("liquidation", 4), ("block", 2), ("assignment", 64), ("termination", 64)],
)
def test_trades_say_what_kind_they_are(kind: str, flags: int) -> None:
    (trade,) = read(LIQUIDATION.replace("liquidation", kind), "PI_XRPUSD")
    assert isinstance(trade, Trade)
    assert (trade.flags, trade.aggressor, trade.last) == (flags, 2, 41799)


def test_the_first_trades_are_history_and_newest_first(capture: Callable[[str], Path]) -> None:
    frame = next(frame for frame in received(capture(CAPTURE)) if b'"trade_snapshot"' in frame)
    message = parse(frame)
    trades = read(frame, message["product_id"])
    assert [trade.time for trade in trades] == sorted((trade.time for trade in trades), reverse=True)
    assert len({trade.id for trade in trades}) == len(trades) == 100


# Instruments.


def test_instruments_of_2021(data_dir: Path) -> None:
    instruments = {each.native_symbol: each for each in listed(KRAKEN_FUTURES, data_dir)}
    (body,) = bodies_of(data_dir, *KRAKEN_FUTURES.instrument_lists)
    assert KRAKEN_FUTURES.parse_instruments(body)[1] == []
    assert len(instruments) == 17, "indices are no instruments"
    perpetual, dated = instruments["PI_XBTUSD"], instruments["FI_ETHUSD_211231"]
    assert (perpetual.symbol, dated.symbol) == ("BTC/USD:BTC:PERP", "ETH/USD:ETH:20211231")
    assert (perpetual.kind, dated.kind) == (Kind.PERPETUAL, Kind.FUTURE)
    assert (perpetual.expiry_ts, dated.expiry_ts) == (0, 1_640_966_400_000_000_000)
    assert (perpetual.tick_size, dated.tick_size, perpetual.lot_size) == (
        Decimal("0.5"),
        Decimal("0.05"),
        Decimal(1),
    )


def test_a_contract_of_bitcoin_is_a_dollar_and_ether_is_counted_in_ether(data_dir: Path) -> None:
    """The known pair: PI_XBTUSD in contracts of one dollar, PF_ETHUSD in ether."""
    (body,) = bodies_of(data_dir, "kraken/http_futures_instruments.json")
    instruments, faults = KRAKEN_FUTURES.parse_instruments(body)
    assert faults == []
    found = {each.native_symbol: each for each in instruments}
    inverse, linear = found["PI_XBTUSD"], found["PF_ETHUSD"]
    assert (inverse.qty_unit, inverse.contract_size) == (QtyUnit.CONTRACTS_OF_QUOTE, Decimal(1))
    assert (linear.qty_unit, linear.contract_size) == (QtyUnit.BASE, Decimal(1))
    assert (inverse.symbol, linear.symbol) == ("BTC/USD:BTC:PERP", "ETH/USD:PERP")
    assert (inverse.settle, linear.settle) == ("BTC", "USD")
    assert (inverse.lot_size, linear.lot_size) == (Decimal(1), Decimal("0.001"))
    # What no other venue has: lots of a thousand, ticks of ten decimals, names with a small letter.
    pepe, apple = found["PF_PEPEUSD"], found["PF_AAPLxUSD"]
    assert (pepe.lot_size, pepe.tick_size) == (Decimal(1000), Decimal("1e-10"))
    assert (apple.symbol, apple.base) == ("AAPLx/USD:PERP", "AAPLx")


def test_an_entry_that_cannot_be_used_is_a_fault() -> None:
    good = json.loads(KRAKEN_FUTURES.unlisted("PI_XBTUSD", Decimal("0.5"), Decimal(1)))
    names = ("XX_XBTUSD", "PI_XBTUSD_210924", "FI_XBTUSD", "PI_XBTUSD", "PF_A")
    good["type"] = "futures_inverse"
    bad: list[Any] = [3, *(good | {"symbol": name} for name in names)]
    bad.append(good | {"symbol": "FI_XBTUSD_210924", "lastTradingTime": "soon"})
    halted = good | {"symbol": "PI_ETHUSD", "tradeable": False}
    posting = good | {"symbol": "PI_LTCUSD", "postOnly": True}
    body = json.dumps({"instruments": [good, *bad, halted, posting]})
    instruments, faults = KRAKEN_FUTURES.parse_instruments(body)
    assert [(each.native_symbol, each.status) for each in instruments] == [
        ("PI_XBTUSD", Trading.OPEN),
        ("PI_ETHUSD", Trading.HALTED),
        ("PI_LTCUSD", Trading.PRE_OPEN),
    ]
    assert len(faults) == len(bad)


# Connections.


def test_requests_name_products_and_each_is_acknowledged(data_dir: Path) -> None:
    (request,) = KRAKEN_FUTURES.subscribe(["book:PI_XBTUSD", "book:PF_ETHUSD"])
    assert json.loads(request.text) == {
        "event": "subscribe",
        "feed": "book",
        "product_ids": ["PI_XBTUSD", "PF_ETHUSD"],
    }
    assert request.acks == 2
    many = named(KRAKEN_FUTURES, *(f"PF_A{number}USD" for number in range(250)))
    for request in KRAKEN_FUTURES.subscribe(default_streams(KRAKEN_FUTURES, many)):
        assert len(json.loads(request.text)["product_ids"]) <= PRODUCTS_AT_ONCE
    assert KRAKEN_FUTURES.keepalive.client_ping_every_s < 60


def test_streams_and_requests(data_dir: Path) -> None:
    instruments = listed(KRAKEN_FUTURES, data_dir)
    check_streams(KRAKEN_FUTURES, instruments)
    check_requests(KRAKEN_FUTURES, instruments)


def test_recorded_requests_are_understood_in_small_letters(capture: Callable[[str], Path]) -> None:
    client = Client("/ws/v1")
    sent = lines(capture(CAPTURE), "send")
    answers = [answer for text in sent for answer in KRAKEN_FUTURES.exchange.on_text(client, text.decode())]
    recorded = [frame.decode() for frame in received(capture(CAPTURE)) if b'"subscribed"' in frame]
    lite = [answer for answer in recorded if '"ticker_lite"' in answer]
    refused = [answer for answer in answers if "alert" in answer]
    assert sorted(answers) == sorted([*(each for each in recorded if each not in lite), *refused])
    assert (len(lite), len(refused), len(client.streams)) == (10, 1, 20), "ticker_lite is not offered here"


def test_a_late_subscriber_gets_the_book(capture: Callable[[str], Path]) -> None:
    for native, book in books_of(received(capture(CAPTURE)), kraken_futures).items():
        stream = f"book:{native}"
        (event,) = check_book_again(KRAKEN_FUTURES, Client("/ws/v1"), stream, book, kraken_futures)
        assert isinstance(event, Book)
        assert (event.last, event.time) == (book.last_id, book.exchange_ns)


def test_control_messages() -> None:
    control = KRAKEN_FUTURES.control
    assert control('{"event":"subscribed","feed":"book","product_ids":["A","B"]}') == Ack(None, 2)
    assert control('{"event":"info","version":1}') == Ignored("info")
    assert control('{"feed":"heartbeat","time":1}') == Ignored("heartbeat")
    assert control('{"feed":"ticker_lite","product_id":"PI_XBTUSD"}') == Ignored("ticker_lite")
    assert control('{"event":"alert","message":"Bad"}') == Error(None, "Bad")
    assert control('{"feed":"fills"}') == Unknown("fills")
    client = Client("/ws/v1")
    (request,) = KRAKEN_FUTURES.subscribe(["trade:NOPE"])
    (answer,) = KRAKEN_FUTURES.exchange.on_text(client, request.text)
    refused = Error(None, "subscribed_failed", None, "trade:NOPE")
    assert control(answer) == Several((refused,))
    assert client.streams == {}
    assert [control(text) for text in KRAKEN_FUTURES.exchange.greeting(client)] == [Ignored("info")]


def test_times(data_dir: Path) -> None:
    assert KRAKEN_FUTURES.exchange_time_ns(LIQUIDATION) == 1_593_561_965_283_000_000
    assert KRAKEN_FUTURES.exchange_time_ns(sample(data_dir, "book_delta")) == 1_612_269_953_629_000_000


def test_named_by_their_own_word_where_no_list_has_them() -> None:
    odd, perpetual = named(KRAKEN_FUTURES, "X1_XBTUSD", "PI_XBTUSD")
    assert (odd.symbol, odd.base, perpetual.symbol) == ("X1_XBTUSD", "", "BTC/USD:BTC:PERP")


def test_a_history_of_a_hundred_trades_is_one_message(
    capture: Callable[[str], Path],
) -> None:
    """Else every quiet product looks as if it had traded a hundred times a second, and then fallen silent."""
    frames = list(received(capture(CAPTURE)))
    fed = Fed(KRAKEN_FUTURES, digits_seen(KRAKEN_FUTURES, frames))
    histories = {}
    for frame in frames:
        fed.take(frame, kraken_futures, message := parse(frame))
        if message.get("feed") == "trade_snapshot":
            histories[message["product_id"]] = len(message["trades"])
            trades = fed.feed.activity()[0][fed.indices[message["product_id"]], 1]
            assert trades == 1
    assert set(histories.values()) == {100}
