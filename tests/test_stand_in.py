"""The stand-in exchange: its protocol without a socket, then over real sockets on 127.0.0.1, then with the
feeder.
"""

from __future__ import annotations

import asyncio
import json
import socket
import tomllib
from collections.abc import Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from naive import NaiveBook
from outcrier import _core
from outcrier.capture.book import RecordedBook
from outcrier.capture.contents import instrument_lists, scan
from outcrier.capture.exchange import Exchange
from outcrier.capture.faults import Fault
from outcrier.capture.format import read_capture
from outcrier.capture.server import stand_in_config
from outcrier.capture.stand_in import StandIn
from outcrier.config import load, render
from outcrier.errors import CaptureError, ConfigurationError, NetworkError
from outcrier.feeder.plan import Planner
from outcrier.feeder.service import FeederService
from outcrier.venues import venue_by_name
from outcrier.venues.base import Printed
from outcrier.venues.binance import BINANCE, BINANCE_COINM, BINANCE_USDM, Binance
from outcrier.venues.binance_exchange import BinanceExchange
from outcrier.venues.exchange_side import Client

CaptureFinder = Callable[[str], Path]

TIME_LIMIT_S = 20.0


def bounded(work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine; a test that hangs fails."""

    async def limited() -> None:
        async with asyncio.timeout(TIME_LIMIT_S):
            await work

    asyncio.run(limited())


def exchange_of(venue: Binance, *paths: Path) -> Exchange:
    found = scan(venue, paths)
    return Exchange(venue, paths, found, instrument_lists(venue, paths, found))


# The protocol, without a socket.


class Asker:
    """A client of an exchange's side."""

    def __init__(self, venue: Binance, target: str) -> None:
        self.side = venue.exchange
        self.client = Client(target)
        assert self.side.accepts(target)
        assert self.side.greeting(self.client) == []

    def ask(self, **request: Any) -> Any:
        return json.loads(self.say(json.dumps(request)))

    def say(self, text: str) -> str:
        (answer,) = self.side.on_text(self.client, text)
        return answer

    def wants(self, stream: str) -> bool:
        return self.side.wants(self.client, stream)

    def form(self, stream: str) -> str:
        return self.side.stamped(self.client, f'{{"stream":"{stream}","data":{{"x":1}}}}')


def test_streams_are_chosen_by_url_in_the_raw_or_the_combined_form() -> None:
    raw = Asker(BINANCE, "/ws/btcusdt@trade/btcusdt@depth@100ms")
    assert raw.form("btcusdt@trade") == '{"x":1}'
    assert raw.wants("btcusdt@depth@100ms")
    assert raw.wants("btcusdt@trade")
    assert not raw.wants("btcusdt@depth"), "another speed is another stream"
    combined = Asker(BINANCE, "/stream?streams=btcusdt@trade/ethusdt@trade")
    assert combined.form("ethusdt@trade") == '{"stream":"ethusdt@trade","data":{"x":1}}'
    assert combined.wants("ethusdt@trade")
    for target in ("/ws", "/ws/", "/stream", "/stream?streams="):
        assert not Asker(BINANCE, target).client.streams
    for target in ("/", "/api/v3/depth", "/streams", "/public/ws", "/wsx"):
        assert not BINANCE.exchange.accepts(target)


def test_usdm_pushes_market_streams_on_market_only() -> None:
    streams = {
        "btcusdt@depth@0ms",
        "btcusdt@bookTicker",
        "btcusdt@trade",
        "btcusdt@aggTrade",
        "btcusdt@markPrice",
    }
    public = {"btcusdt@depth@0ms", "btcusdt@bookTicker", "btcusdt@trade"}
    for path, pushed in (("/public", public), ("", public), ("/market", streams - public)):
        for form in ("ws", "stream"):
            client = Asker(BINANCE_USDM, f"{path}/{form}")
            assert client.ask(method="SUBSCRIBE", params=sorted(streams), id=1) == {"result": None, "id": 1}
            assert {stream for stream in streams if client.wants(stream)} == pushed, path
    coin = Asker(BINANCE_COINM, "/stream?streams=btcusd_perp@aggTrade/btcusd_perp@depth")
    assert coin.wants("btcusd_perp@aggTrade")
    assert coin.wants("btcusd_perp@depth")
    assert not BINANCE_COINM.exchange.accepts("/public/stream")


def test_requests_are_answered_as_the_exchange_does() -> None:
    client = Asker(BINANCE, "/stream")
    ask = client.ask
    assert ask(method="SUBSCRIBE", params=["btcusdt@trade", "no@such"], id=1) == {"result": None, "id": 1}
    assert ask(method="LIST_SUBSCRIPTIONS", id="x1") == {"result": ["btcusdt@trade", "no@such"], "id": "x1"}
    assert ask(method="UNSUBSCRIBE", params=["no@such", "never@asked"], id=None) == {
        "result": None,
        "id": None,
    }
    assert ask(method="LIST_SUBSCRIPTIONS", id=3)["result"] == ["btcusdt@trade"]
    assert ask(method="GET_PROPERTY", params=["combined"], id=4) == {"result": True, "id": 4}
    assert ask(method="SET_PROPERTY", params=["combined", False], id=5) == {"result": None, "id": 5}
    assert ask(method="GET_PROPERTY", params=["combined"], id=4) == {"result": False, "id": 4}
    assert client.form("btcusdt@trade") == '{"x":1}'
    assert ask(method="SET_PROPERTY", params=["combined", "no"], id=6)["code"] == 1
    assert ask(method="GET_PROPERTY", params=["colour"], id=7)["code"] == 0
    assert ask(method="SHOUT", id=8)["code"] == 2
    assert ask(method="SUBSCRIBE", params="btcusdt@trade", id=9)["code"] == 2
    assert ask(method="SUBSCRIBE", params=[1], id=9)["code"] == 2
    assert ask(method="SUBSCRIBE", params=[], id=1.5)["code"] == 2
    assert ask(method="SUBSCRIBE", params=[], id="a" * 37)["code"] == 2
    many = [f"s{number}@trade" for number in range(1024)]
    assert ask(method="SUBSCRIBE", params=many, id=10)["code"] == 2, "with the one there already 1,025"
    for text in ("", "{", "\ud800"):
        assert json.loads(client.say(text))["code"] == 3
    assert json.loads(client.say("[1]"))["code"] == 2


def book_event(kind: str, last: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> Any:
    return {
        "type": "book",
        "snapshot": kind == "whole",
        "ids": (last, last, None),
        "exchange_ts": last,
        "exps": (-2, -3),
        "bids": bids,
        "asks": asks,
        "bid_extras": [],
        "ask_extras": [],
    }


def test_a_book_keeps_what_was_printed() -> None:
    book = RecordedBook()
    seed = book_event("whole", 5, [(150, 2000), (140, 1000)], [(200, 3000)])
    book.apply(seed, "whole", Printed(("1.50", "1.40", "2.0"), ("2.0", "1", "3")))
    assert book.levels() == ([("1.50", "2.0"), ("1.40", "1")], [("2.0", "3")])
    change = book_event("change", 6, [(150, 7000), (140, 0), (90, 1000)], [(200, 0)])
    book.apply(change, "change", Printed(("1.5", "1.400", "0.9", "2.0"), ("7.00", "0.000", "1", "0")))
    assert (book.last_id, book.last, book.whole) == (6, "change", "whole")
    assert book.levels() == ([("1.5", "7.00"), ("0.9", "1")], [])
    # Without the text: all digits of the exponents; with digits from the shape: exactly those.
    book.apply(book_event("whole", 7, [(150, 7000)], []), "x", Printed())
    assert book.levels() == ([("1.50", "7.000")], [])
    told = book_event("whole", 8, [(150, 7000)], []) | {"bid_extras": [(0, 0, 5, 1)]}
    book.apply(told, "y", Printed())
    assert book.levels() == ([("1.50000", "7.0")], [])


def test_a_book_of_fixed_depth_loses_what_falls_out_of_it() -> None:
    book = RecordedBook(depth=2)
    book.apply(book_event("whole", 1, [(3, 1), (2, 1)], [(4, 1), (5, 1)]), "", Printed())
    book.apply(book_event("change", 2, [(1, 1)], [(3, 1)]), "", Printed())
    assert book.levels() == ([("0.03", "0.001"), ("0.02", "0.001")], [("0.03", "0.001"), ("0.04", "0.001")])
    book.apply(book_event("change", 3, [(3, 0)], []), "", Printed())
    assert book.levels()[0] == [("0.02", "0.001")], "the third was forgotten when it fell out"


def junk_capture(path: Path) -> Path:
    """A book, three diffs of which the second has a junk price, and a book of junk before all."""

    def diff(first: int, price: str) -> str:
        data = {
            "e": "depthUpdate",
            "E": 1,
            "s": "ABUSDT",
            "U": first,
            "u": first,
            "b": [[price, "1"]],
            "a": [],
        }
        return json.dumps({"stream": "abusdt@depth@100ms", "data": data})

    books = ['{"lastUpdateId":1,"bids":[["x","1"]],"asks":[]}', '{"lastUpdateId":1,"bids":[],"asks":[]}']
    lines = [
        ("http", f"https://api.binance.com/api/v3/depth?symbol=ABUSDT&n={n}", d) for n, d in enumerate(books)
    ]
    lines += [
        ("recv", "wss://stream.binance.com/stream", diff(n, p)) for n, p in ((2, "1"), (3, "junk"), (4, "2"))
    ]
    path.parent.mkdir()
    path.write_text("".join(json.dumps({"t": None, "k": k, "u": u, "d": d}) + "\n" for k, u, d in lines))
    return path


def test_a_junk_price_in_a_recording_is_skipped_and_counted(tmp_path: Path) -> None:
    path = junk_capture(tmp_path / "binance" / "made.jsonl")
    exchange = exchange_of(BINANCE, path)
    sent = [emission for line in read_capture(path) if (emission := exchange.take(line)) is not None]
    assert [json.loads(emission.text)["data"]["u"] for emission in sent] == [2, 4]
    assert exchange.junk == 1
    book = exchange.book("ABUSDT")
    assert book is not None
    assert (book.last_id, book.levels()) == (4, ([("2", "1"), ("1", "1")], []))


def test_a_playing_that_breaks_off_is_told_and_sends_everybody_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = junk_capture(tmp_path / "binance" / "made.jsonl")

    async def run() -> None:
        async with StandIn(BINANCE, [path], speed=None) as stand_in:

            def broken(line: object) -> None:
                raise RuntimeError("a fault of ours")

            monkeypatch.setattr(stand_in.exchange, "take", broken)
            async with connect(f"{stand_in.ws_url}/stream?streams=abusdt@depth@100ms") as client:
                with pytest.raises(ConnectionClosed):
                    await client.recv()
            assert stand_in.counters.failed == 1

    bounded(run())
    assert "the playing broke off" in caplog.text
    assert "a fault of ours" in caplog.text


def side_of(venue: Binance) -> BinanceExchange:
    assert isinstance(venue.exchange, BinanceExchange)
    return venue.exchange


def naive_levels(levels: list[tuple[str, str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(qty)) for price, qty in levels]


@pytest.mark.parametrize(
    ("venue", "name"),
    [
        (BINANCE, "binance/spot_2021-10-12"),
        (BINANCE_USDM, "binance_usdm/usdm_btcusdt_2022-08-11"),
        (BINANCE_COINM, "binance_coinm/coinm_2021-07-22"),
    ],
    ids=["spot", "usdm", "coinm"],
)
def test_a_rest_book_is_right_at_every_moment(venue: Binance, name: str, capture: CaptureFinder) -> None:
    """Whenever a client asks, the answer and the diffs pushed after it make the book of the capture."""
    path = capture(name)
    exchange = exchange_of(venue, path)
    lines = list(read_capture(path))
    diffs: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(lines):
        message = json.loads(line.text or "")
        if "@depth" in message.get("stream", ""):
            diffs.append((number, message["data"]))
    final: dict[str, NaiveBook] = {}
    final_ids: dict[str, int | None] = {}
    moments = range(0, len(lines), max(1, len(lines) // 15))
    started: dict[tuple[int, str], NaiveBook] = {}
    symbols = sorted({diff["s"] for _, diff in diffs})
    for number, line in enumerate(lines):
        if number in moments:
            for symbol in symbols:
                answer = exchange.rest(f"{venue.rest_prefix}/depth?symbol={symbol}&limit=1000", 1.0)
                assert answer.status in (200, 429)
                book = exchange.book(symbol)
                assert book is not None
                naive = NaiveBook(chain=venue is not BINANCE)
                naive.snapshot(side_of(venue).book_answer(symbol, book))
                for _, diff in (each for each in diffs if each[0] >= number and each[1]["s"] == symbol):
                    first = not naive.spliced and diff["u"] > naive.last
                    if first and venue is BINANCE:
                        assert diff["U"] <= naive.last + 1, "the first diff joins"
                    elif first:
                        assert diff["U"] <= naive.last or diff["pu"] == naive.last, "the first diff joins"
                    naive.diff(diff)
                assert naive.gaps == 0
                started[number, symbol] = naive
        exchange.take(line)
    for symbol in symbols:
        book = exchange.book(symbol)
        assert book is not None
        final_ids[symbol] = book.last_id
        bids, asks = book.levels()
        naive = final[symbol] = NaiveBook(chain=True)
        naive.snapshot(json.dumps({"lastUpdateId": 0, "bids": bids, "asks": asks}))
    for (number, symbol), naive in started.items():
        assert naive.sides() == final[symbol].sides(), (number, symbol)
    exchange.restart()
    again = exchange.book(symbols[0])
    assert again is not None
    assert (again.last_id or 0) < (final_ids[symbols[0]] or 0)


def test_rest_answers_have_the_fields_headers_and_errors_of_the_exchange(capture: CaptureFinder) -> None:
    exchange = exchange_of(BINANCE_COINM, capture("binance_coinm/coinm_2021-07-22"))
    answer = exchange.rest("/dapi/v1/depth?symbol=BCHUSD_PERP&limit=1000", 0.0)
    body = json.loads(answer.body)
    assert list(body) == ["lastUpdateId", "E", "T", "symbol", "pair", "bids", "asks"]
    assert (body["lastUpdateId"], body["pair"]) == (167_006_089_178, "BCHUSD"), (
        "ahead of the stream: as recorded"
    )
    assert body["bids"][0] == ["427.90", "169"]
    assert (answer.status, answer.headers) == (200, {"X-MBX-USED-WEIGHT-1M": "20"})
    assert (
        exchange.rest("/dapi/v1/depth?symbol=BCHUSD_PERP&limit=5", 1.0).headers["X-MBX-USED-WEIGHT-1M"]
        == "22"
    )
    for target, status, code in (
        ("/dapi/v1/depth?limit=5", 400, -1102),
        ("/dapi/v1/depth?symbol=NOPE&limit=5", 400, -1121),
        ("/dapi/v1/depth?symbol=BCHUSD_PERP&limit=0", 400, -1130),
        ("/dapi/v1/depth?symbol=BCHUSD_PERP&limit=5000", 400, -1130),
        ("/dapi/v1/depth?symbol=BCHUSD_PERP&limit=x", 400, -1130),
        ("/api/v3/depth?symbol=BCHUSD_PERP", 404, -1),
        # Listed, but nothing of it was recorded.
        ("/dapi/v1/depth?symbol=BTCUSD_PERP", 503, -1008),
    ):
        answer = exchange.rest(target, 2.0)
        assert (answer.status, json.loads(answer.body)["code"]) == (status, code), target
    instruments, faults = BINANCE_COINM.parse_instruments(exchange.rest("/dapi/v1/exchangeInfo", 3.0).body)
    assert (len(instruments), faults) == (36, [])
    for _ in range(200):
        answer = exchange.rest("/dapi/v1/depth?symbol=BCHUSD_PERP&limit=1000", 10.0)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "51")
    assert exchange.rest("/dapi/v1/depth?symbol=BCHUSD_PERP", 60.0).status == 200, "a new minute"


# Over sockets.


async def receive(client: ClientConnection) -> list[str]:
    """Everything until the server closes."""
    texts: list[str] = []
    try:
        while True:
            texts.append(str(await client.recv()))
    except ConnectionClosed:
        return texts


async def subscribe(client: ClientConnection, *streams: str) -> None:
    await client.send(json.dumps({"method": "SUBSCRIBE", "params": streams, "id": 1}))


def test_a_playing_sends_the_recorded_bytes_and_closes_at_the_end(capture: CaptureFinder) -> None:
    path = capture("binance_us/spot_2021-10-12")
    recorded = [line.text or "" for line in read_capture(path) if line.kind == "recv"]
    stream = "crvusdt@depth@100ms"
    mine = [text for text in recorded if f'"{stream}"' in text]
    assert len(mine) > 10

    async def run() -> None:
        async with StandIn(venue_by_name("binance_us"), [path], speed=None) as stand_in:
            async with connect(f"{stand_in.ws_url}/stream") as client:
                await subscribe(client, stream, "wrong@name")
                ack, *texts = await receive(client)
                assert json.loads(ack) == {"result": None, "id": 1}
                assert texts == mine
                assert client.close_code == 1001
            assert stand_in.counters.injected == {"end": 1}
            # The next connection gets everything anew, here in the raw form and by URL.
            async with connect(f"{stand_in.ws_url}/ws/{stream}") as client:
                texts = await receive(client)
            assert texts == [text.removeprefix(f'{{"stream":"{stream}","data":')[:-1] for text in mine]
            assert stand_in.counters.playings == 2
            assert stand_in.counters.messages == 2 * len(mine)

    bounded(run())


def test_the_two_connections_of_usdm_share_one_playing(capture: CaptureFinder) -> None:
    path = capture("binance_usdm/usdm_2021-07-22")
    recorded = [json.loads(line.text or "") for line in read_capture(path) if line.kind == "recv"]
    streams = sorted({message["stream"] for message in recorded})
    public = [stream for stream in streams if BINANCE_USDM.route(stream) == "/public/stream"]
    market = [stream for stream in streams if BINANCE_USDM.route(stream) == "/market/stream"]
    assert public
    assert market

    async def run() -> None:
        # Slow enough that both are there before the second message.
        async with (
            StandIn(BINANCE_USDM, [path], speed=10.0) as stand_in,
            connect(f"{stand_in.ws_url}/public/stream") as first,
            connect(f"{stand_in.ws_url}/market/stream") as second,
        ):
            await subscribe(second, *streams)
            await subscribe(first, *streams)
            got = await asyncio.gather(receive(first), receive(second))
            for texts, own in zip(got, (public, market), strict=True):
                seen = [json.loads(text) for text in texts[1:]]
                assert {message["stream"] for message in seen} == set(own)
                expected = [message for message in recorded if message["stream"] in own]
                assert seen == expected[len(expected) - len(seen) :], "in order, to the end"
                assert len(seen) >= len(expected) - 5
            assert stand_in.counters.playings == 1

    bounded(run())


def test_the_recorded_pace_is_kept(capture: CaptureFinder) -> None:
    path = capture("binance_usdm/usdm_btcusdt_2022-08-11")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with StandIn(BINANCE_USDM, [path], speed=7.0) as stand_in:
            begin = loop.time()
            async with connect(f"{stand_in.ws_url}/public/stream?streams=btcusdt@depth@0ms") as client:
                texts = await receive(client)
            assert len(texts) == 206
            assert 1.0 <= loop.time() - begin < 7.0, "7.17 s recorded, played at 7 times the speed"

    bounded(run())


def test_rest_and_websocket_share_the_port(capture: CaptureFinder) -> None:
    path = capture("binance/spot_2021-10-12")

    async def run() -> None:
        async with (
            StandIn(BINANCE, [path]) as stand_in,
            httpx.AsyncClient(base_url=stand_in.rest_url) as http,
        ):
            listed = await http.get("/api/v3/exchangeInfo")
            assert listed.headers["X-MBX-USED-WEIGHT-1M"] == "20"
            assert len(BINANCE.parse_instruments(listed.content)[0]) == 1695
            book = await http.get("/api/v3/depth", params={"symbol": "NKNUSDT", "limit": 1000})
            assert book.json()["lastUpdateId"] == 499_869_752
            assert (await http.get("/nothing")).status_code == 404
            assert (await http.get("/stream?streams=x")).status_code == 426, "an upgrade is required"
            with pytest.raises(InvalidStatus, match="404"):
                await connect(f"{stand_in.ws_url}/public/stream")
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                port = taken.getsockname()[1]
                with pytest.raises(NetworkError, match=f"port {port} on 127.0.0.1: in use"):
                    await StandIn(BINANCE, [path], port=port).__aenter__()

    bounded(run())


def test_a_client_that_sends_too_much_is_sent_away(capture: CaptureFinder) -> None:
    path = capture("binance/spot_2021-10-12")

    async def run() -> None:
        async with StandIn(BINANCE, [path]) as stand_in, connect(f"{stand_in.ws_url}/ws") as client:
            for number in range(6):
                await client.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
            answers = await receive(client)
            assert len(answers) <= 5
            assert (client.close_code, client.close_reason) == (1008, "Too many requests")

    bounded(run())


def test_one_diff_is_dropped_and_the_rest_book_has_it(capture: CaptureFinder) -> None:
    path = capture("binance_usdm/usdm_btcusdt_2022-08-11")

    async def run() -> None:
        async with StandIn(
            BINANCE_USDM, [path], speed=None, faults=[Fault(kind="drop", at=50, streams="*@depth*")]
        ) as stand_in:
            stream = "btcusdt@depth@0ms"
            async with connect(f"{stand_in.ws_url}/public/stream?streams={stream}") as client:
                diffs = [json.loads(text)["data"] for text in await receive(client)]
            assert len(diffs) == 205
            breaks = [number for number in range(1, 205) if diffs[number]["pu"] != diffs[number - 1]["u"]]
            assert breaks == [49]
            book = stand_in.exchange.book("BTCUSDT")
            assert book is not None
            assert book.last_id == diffs[-1]["u"]
            whole = exchange_of(BINANCE_USDM, path)
            for line in read_capture(path):
                whole.take(line)
            expected = whole.book("BTCUSDT")
            assert expected is not None
            assert book.levels() == expected.levels()
            assert stand_in.counters.injected == {"drop": 1, "end": 1}

    bounded(run())


def test_cuts_stalls_and_refusals_happen_once(capture: CaptureFinder) -> None:
    path = capture("binance_usdm/usdm_btcusdt_2022-08-11")
    faults = [
        Fault(kind="close", at=100),
        Fault(kind="stall", at=200, seconds=0.5),
        Fault(kind="refuse_rest", streams="*/depth*", count=2, status=429),
    ]

    async def run() -> None:
        loop = asyncio.get_running_loop()
        target = "/public/stream?streams=btcusdt@depth@0ms/btcusdt@trade"
        async with (
            StandIn(BINANCE_USDM, [path], speed=20.0, faults=faults) as stand_in,
            httpx.AsyncClient(base_url=stand_in.rest_url) as http,
        ):
            query = {"symbol": "BTCUSDT", "limit": "1000"}
            answers = [await http.get("/fapi/v1/depth", params=query) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [429, 429, 200]
            assert answers[0].reason_phrase == "Too Many Requests"
            assert answers[0].headers["Retry-After"] == "1"
            async with connect(stand_in.ws_url + target) as client:
                first = await receive(client)
                assert client.close_code == 1006
            assert 0 < len(first) <= 100
            async with connect(stand_in.ws_url + target) as client:
                pauses: list[float] = []
                last = loop.time()
                try:
                    while True:
                        await client.recv()
                        pauses.append(loop.time() - last)
                        last = loop.time()
                except ConnectionClosed:
                    pass
            assert max(pauses) >= 0.5
            assert stand_in.counters.playings == 1, "a cut connection comes back to the same playing"
            assert stand_in.counters.injected == {"refuse_rest": 2, "close": 1, "stall": 1, "end": 1}

    bounded(run())


def test_what_cannot_be_played_is_refused(capture: CaptureFinder, tmp_path: Path) -> None:
    path = capture("binance/spot_2021-10-12")
    with pytest.raises(ConfigurationError, match="speed 0"):
        StandIn(BINANCE, [path], speed=0.0)
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(path.read_bytes()[:9_000])
    with pytest.raises(CaptureError, match="truncated"):
        StandIn(BINANCE, [cut])


# With the feeder.


@pytest.mark.parametrize(
    ("name", "channels", "speed"),
    [
        ("binance_usdm/usdm_btcusdt_2022-08-11", {"trade", "depth"}, "0ms"),
        ("binance_usdm/usdm_2021-07-22", {"bookTicker", "depth", "kline_1m", "aggTrade"}, "100ms"),
        ("binance/spot_2021-10-12", {"depth", "bookTicker", "aggTrade", "kline_1m"}, "100ms"),
    ],
)
def test_the_configuration_fits_the_capture(
    name: str, channels: set[str], speed: str, capture: CaptureFinder, tmp_path: Path
) -> None:
    venue = name.partition("/")[0]

    async def run() -> None:
        async with StandIn(venue_by_name(venue), [capture(name)]) as stand_in:
            path = tmp_path / "outcrier.toml"
            path.write_text(render(stand_in.config()))
            config = load(path, {})
            assert tomllib.loads(path.read_text())["venues"][venue]["enabled"] is True
            assert list(config.enabled_venues()) == [venue]
            section = config.venues[venue]
            assert (set(section.channels), section.depth_speed) == (channels, speed)
            assert section.symbols == stand_in.found.symbols
            protocol = stand_in.venue
            instruments, _ = protocol.parse_instruments(
                stand_in.exchange.rest(protocol.instruments_requests()[0].target, 0.0).body
            )
            mine = [each for each in instruments if each.native_symbol in section.symbols]
            planner = Planner(protocol, section.channels, {"depth": speed}, section.ws_url)
            planner.add(mine)
            plans = planner.connections
            asked = {stream for plan in plans for stream in plan.streams}
            assert asked >= set(stand_in.found.streams), "every recorded stream is subscribed"
            assert all(plan.url.startswith(stand_in.ws_url) for plan in plans)

    bounded(run())


def test_the_feeder_recovers_a_dropped_diff_and_ends_with_the_book_of_the_capture(
    capture: CaptureFinder, tmp_path: Path
) -> None:
    """Capture, stand-in, real sockets, feeder, core: what follows the drop comes from a new book."""
    path = capture("binance_usdm/usdm_btcusdt_2022-08-11")
    whole = exchange_of(BINANCE_USDM, path)
    for line in read_capture(path):
        whole.take(line)
    expected = whole.book("BTCUSDT")
    assert expected is not None
    publisher = _core.Publisher.memory()

    async def run() -> None:
        async with StandIn(
            BINANCE_USDM, [path], speed=4.0, faults=[Fault(kind="drop", at=120, streams="*@depth*")]
        ) as stand_in:
            config = stand_in_config([stand_in])
            feeder = msgspec.structs.replace(config.feeder, state_dir=str(tmp_path))
            config = msgspec.structs.replace(config, feeder=feeder)
            async with FeederService(config, publisher=publisher) as service:
                stop = asyncio.Event()
                running = asyncio.create_task(service.run(stop))
                while not stand_in.counters.injected.get("end"):  # noqa: ASYNC110 - only tests wait for it
                    await asyncio.sleep(0.05)
                stop.set()
                await running
            assert stand_in.counters.injected["drop"] == 1

    bounded(run())
    frames = [_core.decode_frame(frame) for plane, frame in publisher.take() if plane == 0]
    assert frames[0]["msg"] == "SESSION_START"
    assert all(frame["flags"] & 256 for frame in frames), "not the exchange's own host: TEST on every frame"
    story = [
        (frame["msg"], frame["root"].get("state"), bool(frame["flags"] & 32))
        for frame in frames
        if frame["msg"] in {"BOOK_DELTA", "BOOK_SNAPSHOT", "STATUS"} and frame["instrument"]
    ]
    stale = story.index(("STATUS", 2, False))
    (reason,) = {
        frame["root"]["reason"] for frame in frames if frame["msg"] == "STATUS" and frame["root"]["expected"]
    }
    assert reason == 1, "a source gap, with the id that was expected"
    after = story[stale + 1 :]
    assert after[0] == ("BOOK_SNAPSHOT", None, True), "no delta between stale and the new book"
    assert after[after.index(("STATUS", 1, False)) - 1][0] in {"BOOK_SNAPSHOT", "BOOK_DELTA"}
    # The consumer's book: in-band books and deltas alone.
    bids: dict[Decimal, Decimal] = {}
    asks: dict[Decimal, Decimal] = {}
    last = 0
    for frame in frames:
        if last == expected.last_id:
            break  # The captures are over. The feeder may have begun with them anew.
        if frame["msg"] not in {"BOOK_DELTA", "BOOK_SNAPSHOT"} or not frame["instrument"]:
            continue
        if frame["flags"] & 32:
            bids.clear()
            asks.clear()
        for number, level in enumerate(frame["records"]):
            side = bids if number < frame["root"]["n_bids"] else asks
            price = Decimal(level["price"]).scaleb(frame["price_exp"])
            qty = Decimal(level["qty"]).scaleb(frame["qty_exp"])
            if qty:
                side[price] = qty
            else:
                side.pop(price, None)
        last = frame["source_seq"] if frame["flags"] & 1 else last
    assert last == expected.last_id
    wanted = tuple(naive_levels(side) for side in expected.levels())
    assert (sorted(bids.items(), reverse=True), sorted(asks.items())) == wanted
