"""What the stand-in does for venues whose books come in the stream, and what it counts and breaks on the way:
a made venue that speaks as the recorded Bybit session did.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from made_venue import LIST, MadeVenue
from outcrier.capture import contents
from outcrier.capture.contents import instrument_lists, scan
from outcrier.capture.exchange import Exchange
from outcrier.capture.faults import Fault
from outcrier.capture.format import read_capture
from outcrier.capture.stand_in import StandIn
from outcrier.venues.exchange_side import Client

CaptureFinder = Callable[[str], Path]
Sides = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]

BYBIT = "bybit/v5_linear_2026-08-09"
BOOK = "orderbook.200.BTCUSDT"
TIME_LIMIT_S = 30.0


def bounded(work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine; a test that hangs fails."""

    async def limited() -> None:
        async with asyncio.timeout(TIME_LIMIT_S):
            await work

    asyncio.run(limited())


def cut(source: Path, folder: Path, first: int, most: int) -> Path:
    """Some lines of a capture as a capture of its own."""
    target = folder / "made" / "cut.jsonl"
    target.parent.mkdir(exist_ok=True)
    with gzip.open(source, "rt", encoding="utf-8") as file, target.open("w", encoding="utf-8") as out:
        out.writelines(itertools.islice(file, first, first + most))
    return target


def recorded(path: Path, stream: str) -> list[str]:
    venue = MadeVenue()
    return [
        line.text
        for line in read_capture(path)
        if line.kind == "recv" and line.text is not None and venue.stream_of(line.text) == stream
    ]


def naive_at(texts: list[str], last_id: int) -> Sides:
    """The book of the recorded messages up to the update `last_id`."""
    sides: Sides = ({}, {})
    for text in texts:
        message = json.loads(text)
        if message["data"]["u"] > last_id:
            break
        if message["type"] == "snapshot":
            sides = ({}, {})
        for side, levels in zip(sides, (message["data"]["b"], message["data"]["a"]), strict=True):
            for price, qty in levels:
                side.pop(Decimal(price), None)
                if Decimal(qty):
                    side[Decimal(price)] = Decimal(qty)
    return sides


def sides_of(message: Any) -> Sides:
    bids, asks = (
        {Decimal(price): Decimal(qty) for price, qty in message["data"][side]} for side in ("b", "a")
    )
    return bids, asks


def open_client(stand_in: StandIn) -> connect:
    """A client that goes on reading from the socket whatever the test takes, and pings by itself only."""
    return connect(f"{stand_in.ws_url}/made", max_queue=None, ping_interval=None)


async def say(client: ClientConnection, op: str, *streams: str) -> None:
    await client.send(json.dumps({"op": op, "args": streams}))


async def receive(client: ClientConnection) -> list[str]:
    """Everything until the server closes."""
    texts: list[str] = []
    try:
        while True:
            texts.append(str(await client.recv()))
    except ConnectionClosed:
        return texts


def exchange_of(path: Path, copies: dict[str, tuple[str, ...]] | None = None) -> Exchange:
    venue = MadeVenue()
    found = scan(venue, [path])
    return Exchange(venue, [path], found, instrument_lists(venue, [path], found, None, copies), copies)


def test_a_scan_tells_whole_books_in_the_stream_and_books_without_a_beginning(
    capture: CaptureFinder, tmp_path: Path
) -> None:
    path = capture(BYBIT)
    found = scan(MadeVenue(), [path])
    assert set(found.stream_books) == {"BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"}
    assert (found.rest_books, found.beginless) == ((), ())
    assert found.unlisted == found.symbols
    assert found.streams[BOOK] == 264
    late = scan(MadeVenue(), [cut(path, tmp_path, 400, 200)])
    assert late.stream_books == ()
    assert set(late.beginless) == {"BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"}
    assert any(each.startswith("no whole book of it in the captures: ") for each in late.remarks())


def test_who_subscribes_late_begins_with_the_whole_book_and_state_of_that_moment(
    capture: CaptureFinder,
) -> None:
    path = capture(BYBIT)
    exchange = exchange_of(path)
    texts = recorded(path, BOOK)
    tickers = [json.loads(text)["data"] for text in recorded(path, "tickers.BTCUSDT")]
    merged: dict[str, Any] = {}
    client = Client("/made")
    begun = 0
    for line in read_capture(path):
        emission = exchange.take(line)
        if emission is None or emission.stream not in {BOOK, "tickers.BTCUSDT"}:
            continue
        if not emission.is_book:
            merged |= tickers.pop(0)
            (first,) = exchange.begin(client, "tickers.BTCUSDT")
            assert json.loads(first)["data"] == merged
        elif json.loads(emission.text)["data"]["u"] % 20 == 0:
            (whole,) = exchange.begin(client, BOOK)
            message = json.loads(whole)
            assert sides_of(message) == naive_at(texts, message["data"]["u"])
            assert len(message["data"]["b"]) == len(sides_of(message)[0]), "each level once"
            begun += 1
    assert begun > 10
    exchange.restart()
    assert exchange.begin(client, BOOK) == [], "nothing was recorded yet"


def test_levels_are_printed_as_recorded(capture: CaptureFinder) -> None:
    path = capture(BYBIT)
    exchange = exchange_of(path)
    words: dict[Decimal, tuple[str, str]] = {}
    for line in read_capture(path):
        emission = exchange.take(line)
        if emission is not None and emission.stream == BOOK:
            data = json.loads(emission.text)["data"]
            words |= {Decimal(price): (price, qty) for price, qty in [*data["b"], *data["a"]]}
    book = exchange.book("BTCUSDT")
    assert book is not None
    bids, asks = book.levels()
    assert len(bids) > 100
    assert all(words[Decimal(level[0])] == level for level in [*bids, *asks])
    assert any(price.endswith("0") for price, _ in bids), "zeros that no number needs"


def test_all_bytes_are_pushed_and_a_new_subscription_begins_with_a_whole_book(capture: CaptureFinder) -> None:
    path = capture(BYBIT)
    texts = recorded(path, BOOK)

    async def run() -> None:
        async with (
            StandIn(MadeVenue(), [path], speed=20.0) as stand_in,
            connect(f"{stand_in.ws_url}/made?hello") as steady,
            open_client(stand_in) as client,
        ):
            await say(steady, "subscribe", BOOK)
            assert [await steady.recv() for _ in range(2)] == [
                '{"op":"hello"}',
                '{"success": true, "op": "subscribe"}',
            ]
            assert [str(await steady.recv()) for _ in range(100)] == texts[:100]
            await say(client, "subscribe", BOOK)
            await say(client, "unsubscribe", BOOK)
            await say(client, "subscribe", BOOK)
            got = await receive(client)
            acks = [place for place, text in enumerate(got) if "success" in text]
            assert len(acks) == 3
            for place in (acks[0], acks[2]):
                whole = json.loads(got[place + 1])
                assert whole["type"] == "snapshot"
                assert sides_of(whole) == naive_at(texts, whole["data"]["u"])
            rest = got[acks[2] + 2 :]
            assert rest == texts[len(texts) - len(rest) :], "then what was recorded, to the end"
            assert json.loads(rest[0])["data"]["u"] == whole["data"]["u"] + 1
            assert await receive(steady) == texts[100:]
            assert stand_in.counters.whole_books == 2
            assert stand_in.counters.breaches == {}

    bounded(run())


def test_everything_said_on_a_connection_is_numbered_where_the_venue_does_so(capture: CaptureFinder) -> None:
    path = capture(BYBIT)
    venue = MadeVenue()
    venue.side.numbered = True
    venue.side.heartbeat_every_s = 0.05

    async def run() -> None:
        async with (
            StandIn(venue, [path], speed=20.0) as stand_in,
            connect(f"{stand_in.ws_url}/made?hello") as client,
        ):
            await say(client, "subscribe", BOOK, "publicTrade.BTCUSDT")
            messages = [json.loads(text) for text in await receive(client)]
            assert [message["n"] for message in messages] == list(range(len(messages)))
            assert [message.get("op") for message in messages[:2]] == ["hello", "subscribe"]
            assert sum(message.get("op") == "beat" for message in messages) >= 3

    bounded(run())


def test_binary_frames_hold_the_recorded_text(capture: CaptureFinder) -> None:
    path = capture(BYBIT)
    venue = MadeVenue()
    venue.side.binary = True

    async def run() -> None:
        async with (
            StandIn(venue, [path], speed=None) as stand_in,
            open_client(stand_in) as client,
        ):
            await say(client, "subscribe", BOOK)
            assert isinstance(await client.recv(), bytes)
            assert await client.recv() == recorded(path, BOOK)[0].encode()

    bounded(run())


def test_a_loop_begins_anew_without_cutting_anybody(capture: CaptureFinder) -> None:
    path = capture(BYBIT)
    texts = recorded(path, BOOK)

    async def run() -> None:
        async with (
            StandIn(MadeVenue(), [path], speed=200.0, loop=True) as stand_in,
            open_client(stand_in) as client,
        ):
            await say(client, "subscribe", BOOK)
            got = [str(await client.recv()) for _ in range(1 + 2 * len(texts) + 5)]
            assert got[1:] == [*texts, *texts, *texts[:5]]
            assert stand_in.counters.injected == {"loop": 2}
            assert stand_in.counters.playings == 3

    bounded(run())


def test_a_recording_that_begins_anew_begins_without_the_book_that_it_ended_with(
    capture: CaptureFinder,
) -> None:
    """Its numbers are ahead: whoever misses the recorded whole book would take what follows for old."""
    path = capture(BYBIT)
    texts = recorded(path, BOOK)

    async def run() -> None:
        async with StandIn(MadeVenue(), [path], speed=None) as stand_in:
            for number in (1, 2):
                async with open_client(stand_in) as client:
                    await say(client, "subscribe", BOOK)
                    _, *got = await receive(client)
                    assert got == texts
                assert stand_in.counters.injected == {"end": number}
            assert stand_in.counters.whole_books == 0

    bounded(run())


def test_copies_are_instruments_of_their_own(capture: CaptureFinder) -> None:
    path = capture(BYBIT)
    texts = recorded(path, BOOK)

    async def run() -> None:
        async with (
            StandIn(MadeVenue(), [path], speed=50.0, copies=250) as stand_in,
            httpx.AsyncClient(base_url=stand_in.rest_url) as http,
            open_client(stand_in) as client,
            open_client(stand_in) as late,
        ):
            listed = (await http.get(LIST)).json()
            assert len(listed) == 4 * 251
            assert listed["X250BTCUSDT"] == listed["BTCUSDT"]
            names = [f"X{number}BTCUSDT" for number in (7, 250)]
            assert set(names) < set(stand_in.venue_config().symbols)
            await say(client, "subscribe", *(f"orderbook.200.{name}" for name in names))
            got = [await client.recv()]
            got += [str(await client.recv()) for _ in range(100)]
            await say(late, "subscribe", "orderbook.200.X7BTCUSDT")
            _, whole, following = [str(await late.recv()) for _ in range(3)]
            message = json.loads(whole)
            assert message["topic"] == "orderbook.200.X7BTCUSDT"
            assert message["data"]["s"] == "X7BTCUSDT"
            assert sides_of(message) == naive_at(texts, message["data"]["u"])
            assert json.loads(following)["data"]["u"] == message["data"]["u"] + 1
            got += await receive(client)
            for name in names:
                mine = [text for text in got if f'.{name}"' in text]
                assert mine == [text.replace("BTCUSDT", name) for text in texts]
            answer = (await http.get("/book/X7BTCUSDT")).json()
            assert answer == (await http.get("/book/BTCUSDT")).json()

    bounded(run())


# Limits.


def breaches_of(stand_in: StandIn) -> dict[str, int]:
    return stand_in.counters.breaches


def test_limits_that_a_client_goes_beyond_are_counted(capture: CaptureFinder) -> None:
    path = capture(BYBIT)
    limits = {"streams_per_connection": 3, "symbols_per_connection": 2, "chars_per_connection": 64}

    async def run() -> None:
        async with (
            StandIn(MadeVenue(limits=limits), [path]) as stand_in,
            open_client(stand_in) as client,
        ):
            for stream, expected in (
                (BOOK, {}),
                ("publicTrade.BTCUSDT", {}),
                ("tickers.ETHUSDT", {}),
                ("tickers.SOLUSDT", {"streams": 1, "symbols": 1, "chars": 1}),
            ):
                await say(client, "subscribe", stream)
                while "success" not in str(await client.recv()):
                    pass
                assert breaches_of(stand_in) == expected

    bounded(run())


def test_messages_beyond_a_rate_or_a_window_cut_the_client(capture: CaptureFinder) -> None:
    path = capture(BYBIT)

    async def run() -> None:
        for limits in ({"messages_per_s": 3.0}, {"messages": 3, "messages_window_s": 3600.0}):
            async with (
                StandIn(MadeVenue(limits=limits), [path]) as stand_in,
                open_client(stand_in) as client,
            ):
                for _ in range(4):
                    await say(client, "subscribe")
                assert len(await receive(client)) == 3
                assert client.close_code == 1008
                assert breaches_of(stand_in) == {"messages": 1}

    bounded(run())


def test_connections_beyond_the_limits_are_refused(capture: CaptureFinder) -> None:
    path = capture(BYBIT)

    async def run() -> None:
        async with (
            StandIn(MadeVenue(limits={"connections": 1}), [path]) as stand_in,
            connect(f"{stand_in.ws_url}/made"),
        ):
            with pytest.raises(InvalidStatus, match="429"):
                await connect(f"{stand_in.ws_url}/made")
            assert breaches_of(stand_in) == {"connections": 1}
        limits = {"connects": 2, "connects_window_s": 300.0}
        async with StandIn(MadeVenue(limits=limits), [path]) as stand_in:
            for _ in range(2):
                await (await connect(f"{stand_in.ws_url}/made")).close()
            with pytest.raises(InvalidStatus, match="429"):
                await connect(f"{stand_in.ws_url}/made")
            assert breaches_of(stand_in) == {"connects": 1}

    bounded(run())


def test_requests_beyond_the_weight_are_refused(capture: CaptureFinder) -> None:
    exchange_path = capture(BYBIT)
    venue = MadeVenue(limits={"weight_per_minute": 2})

    async def run() -> None:
        async with (
            StandIn(venue, [exchange_path]) as stand_in,
            httpx.AsyncClient(base_url=stand_in.rest_url) as http,
        ):
            answers = [await http.get(LIST) for _ in range(3)]
            assert [answer.status_code for answer in answers[:2]] == [200, 200]
            # A minute may end in between.
            if answers[2].status_code != 200:
                assert answers[2].status_code == 429
                assert 0 < int(answers[2].headers["Retry-After"]) <= 61
                assert breaches_of(stand_in) == {"weight": 1}

    bounded(run())


def test_who_subscribes_nothing_or_says_nothing_is_cut(capture: CaptureFinder) -> None:
    path = capture(BYBIT)
    venue = MadeVenue(keepalive={"client_ping": "ping", "client_ping_every_s": 0.1})
    venue.side.first_subscription_s = 0.05

    async def run() -> None:
        async with StandIn(venue, [path]) as stand_in:
            async with open_client(stand_in) as client:
                assert await receive(client) == []
                assert (client.close_code, client.close_reason) == (1008, "first_subscription")
            async with open_client(stand_in) as client:
                await say(client, "subscribe", BOOK)
                assert len(await receive(client)) >= 1
                assert (client.close_code, client.close_reason) == (1008, "silence")
            assert breaches_of(stand_in) == {"first_subscription": 1, "silence": 1}

    bounded(run())


# Faults over sockets; what they make of a message is tested without.


def test_message_faults_hurt_what_they_name_and_nothing_else(capture: CaptureFinder) -> None:
    path = capture(BYBIT)
    texts = recorded(path, BOOK)
    faults = [
        Fault(kind="drop", at=10, streams=BOOK),
        Fault(kind="duplicate", at=20, streams=BOOK),
        Fault(kind="reorder", at=30, streams=BOOK),
        Fault(kind="truncate", at=40, streams=BOOK, count=2),
        Fault(kind="alter", at=50, streams=BOOK),
    ]

    async def run() -> None:
        async with (
            StandIn(MadeVenue(), [path], speed=None, faults=faults) as stand_in,
            open_client(stand_in) as client,
        ):
            await say(client, "subscribe", BOOK)
            got = (await receive(client))[1:]
            expected = [*texts[:9], *texts[10:20], texts[19], *texts[20:29], texts[30], texts[29]]
            assert got[: len(expected)] == expected
            tail = got[len(expected) :]
            assert tail[:8] == texts[31:39]
            assert tail[8:10] == [text[: len(text) // 2] for text in texts[39:41]]
            altered = next(number for number, text in enumerate(tail[10:], start=41) if text != texts[number])
            assert altered >= 49
            assert tail[altered - 31 + 1 :] == texts[altered + 1 :]
            kinds = {"drop": 1, "duplicate": 1, "reorder": 1, "truncate": 2, "alter": 1}
            assert stand_in.counters.injected == kinds | {"end": 1}
            assert [each.kind for each in stand_in.injections] == [
                "drop",
                "duplicate",
                "reorder",
                "truncate",
                "truncate",
                "alter",
            ]
            assert all(each.what == BOOK for each in stand_in.injections)

    bounded(run())


async def quiet(client: ClientConnection) -> None:
    """What is under way comes, and then nothing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            while True:
                await client.recv()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.recv(), 0.3)


async def is_answered(client: ClientConnection) -> bool:
    waiter = await client.ping()
    try:
        await asyncio.wait_for(waiter, 0.3)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("kind", ["stale", "half_open"])
def test_a_socket_falls_silent_and_another_does_not(kind: Any, capture: CaptureFinder) -> None:
    path = capture(BYBIT)

    async def run() -> None:
        async with (
            StandIn(MadeVenue(), [path], speed=5.0) as stand_in,
            open_client(stand_in) as first,
            open_client(stand_in) as second,
        ):
            for client in (first, second):
                await say(client, "subscribe", BOOK)
                await client.recv()
                await client.recv()
            stand_in.inject(Fault(kind=kind, one=True))
            while kind not in stand_in.counters.injected:
                await second.recv()
            for _ in range(20):
                await second.recv()
            await quiet(first)
            assert await is_answered(first) is (kind == "stale")
            assert await is_answered(second)
            assert stand_in.counters.injected[kind] == 1

    bounded(run())


def test_a_close_has_its_code_and_connects_are_refused_for_a_while(capture: CaptureFinder) -> None:
    path = capture(BYBIT)
    faults = [
        Fault(kind="close", at=50, code=1001, one=True),
        Fault(kind="refuse_connects", count=2, status=429, retry_after_s=7),
    ]

    async def run() -> None:
        async with StandIn(MadeVenue(), [path], speed=50.0, faults=faults) as stand_in:
            for _ in range(2):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(f"{stand_in.ws_url}/made")
                assert refused.value.response.status_code == 429
                assert refused.value.response.headers["Retry-After"] == "7"
            async with open_client(stand_in) as first:
                await say(first, "subscribe", BOOK)
                async with open_client(stand_in) as second:
                    await say(second, "subscribe", BOOK)
                    await receive(first)
                    assert (first.close_code, first.close_reason) == (1001, "on purpose")
                    await receive(second)
                    assert second.close_reason == "end of the recording"
            assert stand_in.counters.injected == {"refuse_connects": 2, "close": 1, "end": 1}

    bounded(run())


def test_messages_of_other_products_in_one_recording_are_passed_over_and_counted(
    capture: CaptureFinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two venues share a recording; one lists BTCUSDT alone, the other has the rest in its own list."""
    path = capture(BYBIT)
    venue = MadeVenue()
    venue.name = "made"
    monkeypatch.setattr(contents, "sharing", lambda _: ["made", "bybit_linear"])
    mine = tmp_path / "list.json"
    mine.write_text('{"BTCUSDT": ["0.10", "0.001"]}')
    found = scan(venue, [path], mine)
    assert (found.symbols, found.unlisted, found.stream_books) == (("BTCUSDT",), (), ("BTCUSDT",))
    assert set(found.passed_over) == {"ETHUSDT", "SOLUSDT", "DOGEUSDT"}
    assert all(".BTCUSDT" in stream for stream in found.streams)
    count = sum(found.passed_over.values())
    assert found.remarks() == [
        f"{count:,} messages of other products passed over: {', '.join(found.passed_over)}"
    ]
    exchange = Exchange(venue, [path], found, instrument_lists(venue, [path], found, mine))
    streams = {emission.stream for line in read_capture(path) if (emission := exchange.take(line))}
    assert streams == set(found.streams)
    # What nobody lists is this venue's own, as long as it takes an entry for it.
    mine.write_text('{"ETHUSDT": ["0.01", "0.01"]}')
    monkeypatch.setattr(contents, "sharing", lambda _: ["made", "binance_coinm"])
    alone = scan(venue, [path], mine)
    assert set(alone.unlisted) == {"BTCUSDT", "SOLUSDT", "DOGEUSDT"}
    assert alone.passed_over == {}
