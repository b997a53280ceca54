"""Every venue that can be stood in for, from its own captures: all that was recorded is pushed, and who comes
late begins with the book of that moment.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import re
from collections.abc import Coroutine, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from conftest import captures_folder
from outcrier import _core
from outcrier.capture.contents import (
    WITHOUT_BEGINNING,
    Scan,
    book_symbol_of,
    instrument_lists,
    message_text,
    scan,
)
from outcrier.capture.exchange import Exchange
from outcrier.capture.format import CaptureLine, read_capture
from outcrier.capture.library import CaptureGroup, list_of
from outcrier.capture.replay import replay_into
from outcrier.capture.stand_in import StandIn
from outcrier.capture.venue_replay import open_feed
from outcrier.instruments import to_core_kwargs
from outcrier.shapes import Shape
from outcrier.venues import VENUES, Venue
from outcrier.venues.exchange_side import Client

LINES = 4_000
"""Of a capture: a book is whole and changed many times by then."""

TIME_LIMIT_S = 60.0


def cases() -> Iterator[Any]:
    """Venue and capture, for all that are there."""
    for venue in VENUES.values():
        if not hasattr(venue, "exchange"):
            continue
        names = sorted(
            path.relative_to(captures_folder() / "captures")
            for pattern in venue.captures
            for path in (captures_folder() / "captures").glob(f"{pattern}.jsonl.gz")
            if "_instruments" not in path.name
        )
        for name in names or [Path("missing")][: len(venue.captures)]:
            yield pytest.param(venue, name, id=f"{venue.name}-{name.name.partition('.')[0]}")


CASES = list(cases())


class Head:
    """The first lines of a capture, played without sockets."""

    def __init__(self, venue: Venue, data_dir: Path, name: Path, folder: Path) -> None:
        source = data_dir / "captures" / name
        if not source.is_file():
            pytest.skip(f"no capture of {venue.name}: {', '.join(venue.captures)}")
        self.venue = venue
        self.path = folder / name.parent / name.name.removesuffix(".gz")
        self.path.parent.mkdir()
        with gzip.open(source, "rt", encoding="utf-8") as file, self.path.open("w", encoding="utf-8") as out:
            out.writelines(itertools.islice(file, LINES))
        self.list = list_of(venue, [source])
        self.found: Scan = scan(venue, [self.path], self.list)
        self.lists = instrument_lists(venue, [self.path], self.found, self.list)
        self.exchange = Exchange(venue, [self.path], self.found, self.lists)
        self.side = self.exchange.side
        self.lines = list(read_capture(self.path))

    def client(self, streams: list[str], route: str) -> Client:
        client = Client(route)
        assert self.side.accepts(route)
        self.side.greeting(client)
        held: list[str] = []
        for request in self.venue.subscribe(streams):
            self.side.on_text(client, request.text)
        held += streams
        assert set(client.streams) >= set(held), "what was asked for is subscribed"
        return client

    def by_route(self) -> dict[str, list[str]]:
        routes: dict[str, list[str]] = {}
        for stream in self.found.streams:
            if self.venue.channel_of(stream) is not None:
                routes.setdefault(self.venue.route(stream), []).append(stream)
        return routes


@pytest.fixture
def head(venue: Venue, name: Path, data_dir: Path, tmp_path: Path) -> Head:
    return Head(venue, data_dir, name, tmp_path)


def unnumbered(venue: Venue, text: str) -> str:
    """Without the number that a venue gives to each message of a connection."""
    if venue.connection_sequence is None:
        return text
    return re.sub(rf'"{venue.connection_sequence}":\s*\d+', "", text)


@pytest.mark.parametrize(("venue", "name"), CASES)
def test_all_that_was_recorded_is_pushed_as_it_was(venue: Venue, head: Head) -> None:
    routes = head.by_route()
    clients = [(route, head.client(streams, route)) for route, streams in routes.items()]
    wanted: dict[str, list[str]] = {route: [] for route in routes}
    got: dict[str, list[str]] = {route: [] for route in routes}
    for line in head.lines:
        text = message_text(line)
        stream = None if line.kind != "recv" or text is None else venue.stream_of(text)
        if text is not None and stream in head.found.streams and venue.channel_of(stream) is not None:
            wanted[venue.route(stream)].append(unnumbered(venue, text))
        emission = head.exchange.take(line)
        for route, client in clients:
            if emission is not None and head.side.wants(client, emission.stream):
                got[route].append(unnumbered(venue, head.side.stamped(client, emission.text)))
                client.sent += 1
    assert got == wanted
    assert sum(map(len, got.values())) > 0
    assert head.exchange.junk == 0


class Follower:
    """A feed that hears a stream from some moment on, and gets the whole book as the venue gives it."""

    def __init__(self, head: Head, symbol: str, stream: str) -> None:
        self.head, self.stream = head, stream
        venue = head.venue
        instruments, _ = venue.parse_instruments(*dict.fromkeys(head.lists.values()))
        self.instrument = next(each for each in instruments if each.native_symbol == symbol)
        self.feed = open_feed(_core.Publisher.memory(), venue, session=1, publisher_id=1, first_ns=1)
        self.index = self.feed.add_instrument(**to_core_kwargs(self.instrument, 1), has_book=True, recv_ns=1)
        self.time_ns = 1
        self.client = head.client([stream], venue.route(stream))

    def take(self, text: str) -> None:
        """A message as this client gets it: some venues number those of a connection."""
        self.time_ns += 1
        stamped = self.head.side.stamped(self.client, text)
        self.client.sent += 1
        self.feed.on_frame(1, stamped.encode(), self.time_ns)

    def begin(self) -> bool:
        """Asks for the whole book; whether there was one."""
        venue, exchange = self.head.venue, self.head.exchange
        request = venue.snapshot_request(self.instrument)
        self.time_ns += 1
        if request is not None:
            # Each in a minute of its own: no weight is used up.
            answer = exchange.rest(request.target, self.time_ns * 60.0)
            if answer.status == 200:
                self.feed.on_snapshot(self.index, answer.body.encode(), self.time_ns)
            return answer.status == 200
        texts = exchange.begin(self.client, self.stream)
        for text in texts:
            self.take(text)
        return bool(texts)

    @property
    def is_live(self) -> bool:
        return self.feed.state(self.index) == "LIVE"

    def sides(self) -> tuple[dict[Decimal, Decimal], ...]:
        price_exp, qty_exp = self.feed.scale(self.index)
        bids, asks = self.feed.book(self.index)
        return tuple(
            {Decimal(price).scaleb(price_exp): Decimal(qty).scaleb(qty_exp) for price, qty in side}
            for side in (bids, asks)
        )


def numbers(levels: list[tuple[str, str]]) -> dict[Decimal, Decimal]:
    return {Decimal(price): Decimal(qty) for price, qty in levels}


@pytest.mark.parametrize(("venue", "name"), CASES)
def test_who_comes_late_begins_with_the_book_of_the_moment(venue: Venue, head: Head) -> None:
    """A core that hears a book from its beginning, and cores that come later, have the same book at the end;
    so has the stand-in.
    """
    books = {
        stream: symbol
        for stream in head.found.streams
        if (symbol := book_symbol_of(venue, stream)) in head.found.with_book and symbol is not None
    }
    whole = [stream for stream, symbol in books.items() if symbol in head.found.books]
    if not whole:
        assert set(head.found.beginless) == set(books.values())
        assert not any(head.exchange.book(symbol) for symbol in books.values()), "nothing is made up"
        return
    stream = max(whole, key=lambda each: head.found.streams[each])
    symbol = books[stream]
    messages = [number for number, line in enumerate(head.lines) if is_of(venue, line, stream)]
    moments = set(messages[1 :: max(1, len(messages) // 6)])
    first = Follower(head, symbol, stream)
    by_request = venue.snapshot_request(first.instrument) is not None
    if by_request:
        assert first.begin()
    followers = [first]
    for number, line in enumerate(head.lines):
        emission = head.exchange.take(line)
        if emission is not None and emission.stream == stream:
            for each in followers:
                each.take(emission.text)
        if number in moments:
            follower = Follower(head, symbol, stream)
            if follower.begin():
                assert follower.is_live, follower.feed.notices()
                if not by_request:
                    assert follower.sides() == first.sides(), number
            followers.append(follower)
    book = head.exchange.book(symbol)
    assert book is not None
    expected = tuple(map(numbers, book.levels()))
    assert all(expected)
    assert sum(each.is_live for each in followers) > 1
    for each in followers:
        if each.is_live:
            assert each.feed.counters()["gaps"] == 0
            assert each.sides() == expected


def is_of(venue: Venue, line: CaptureLine, stream: str) -> bool:
    text = message_text(line)
    return line.kind == "recv" and text is not None and venue.stream_of(text) == stream


def bounded(work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine; a test that hangs fails."""

    async def limited() -> None:
        async with asyncio.timeout(TIME_LIMIT_S):
            await work

    asyncio.run(limited())


@pytest.mark.parametrize(("venue", "name"), CASES)
def test_a_client_lists_subscribes_and_hears_the_recording(venue: Venue, head: Head) -> None:
    """Over sockets: the instrument list by the venue's own requests, then one request's streams to the
    end.
    """
    route, streams = next(iter(head.by_route().items()))
    while len(venue.subscribe(streams)) > 1:
        streams = streams[: len(streams) // 2]
    expected = [
        unnumbered(venue, text)
        for line in head.lines
        if line.kind == "recv"
        and (text := message_text(line)) is not None
        and venue.stream_of(text) in streams
    ]

    async def run() -> None:
        async with (
            StandIn(venue, [head.path], speed=None, instruments=head.list) as stand_in,
            httpx.AsyncClient(base_url=stand_in.rest_url) as http,
        ):
            bodies = [await http.get(request.target) for request in venue.instruments_requests()]
            assert {body.status_code for body in bodies} == {200}
            instruments, _ = venue.parse_instruments(*(body.text for body in bodies))
            assert {each.native_symbol for each in instruments} >= set(head.found.symbols)
            async with connect(f"{stand_in.ws_url}{route}", max_queue=None, max_size=None) as client:
                for request in (*venue.greeting(), *venue.subscribe(streams)):
                    await client.send(request.text)
                got = []
                try:
                    while True:
                        message = await client.recv()
                        assert isinstance(message, bytes) is stand_in.exchange.side.binary
                        got.append(message if isinstance(message, str) else message.decode())
                except ConnectionClosed:
                    pass
            heard = [unnumbered(venue, text) for text in got if venue.stream_of(text) in streams]
            assert heard == expected
            assert stand_in.counters.breaches == {}
            left_out = set(head.found.symbols) - set(stand_in.venue_config().symbols)
            by_rest = any(isinstance(shape, Shape) and shape.rest for shape in venue.shapes)
            assert left_out == (
                set(head.found.symbols) - set(head.found.books) if by_rest and head.found.books else set()
            ), "its book would be asked for in vain for ever"

    bounded(run())


@pytest.mark.parametrize(("venue", "name"), CASES)
def test_copies_speak_as_their_originals(venue: Venue, head: Head) -> None:
    """Names are changed and nothing else: a copy's messages decode to the same as the original's."""
    symbol = head.found.symbols[0]
    copies = {symbol: (f"X1{symbol}",)}
    lists = instrument_lists(venue, [head.path], head.found, head.list, copies)
    instruments, faults = venue.parse_instruments(*dict.fromkeys(lists.values()))
    assert f"X1{symbol}" in {each.native_symbol for each in instruments}, faults
    exchange = Exchange(venue, [head.path], head.found, lists, copies)
    seen = 0
    for line in head.lines:
        emission = exchange.take(line)
        if emission is None:
            continue
        for name, stream in exchange.copies(emission):
            text = exchange.renamed(emission, emission.text, name)
            assert venue.stream_of(text) == stream
            assert venue.native_symbol_of(stream) == name
            assert exchange.side.renamed(text, name, symbol) == emission.text
            json.loads(text)
            seen += 1
    assert seen > 0


@pytest.mark.parametrize(("venue", "name"), CASES)
def test_a_replay_ends_with_the_books_of_the_stand_in(venue: Venue, head: Head) -> None:
    """Two ways to a book: the core's, and the stand-in's plain dictionary."""
    group = CaptureGroup(venue.name, (head.path,))
    replay = replay_into(_core.Publisher.memory(), group, instruments=head.list)
    for line in head.lines:
        head.exchange.take(line)
    summary = replay.summary()
    assert tuple(head.found.remarks()) == summary.remarks
    live = 0
    for index, (instrument, end) in enumerate(zip(replay.instruments, summary.books, strict=True)):
        book = head.exchange.book(instrument.native_symbol)
        if end.state != "LIVE":
            continue
        if book is None:
            assert instrument.native_symbol not in head.found.with_book, "there is none"
            continue
        price_exp, qty_exp = replay.feed.scale(index)
        sides = tuple(
            {Decimal(price).scaleb(price_exp): Decimal(qty).scaleb(qty_exp) for price, qty in side}
            for side in replay.feed.book(index)
        )
        assert sides == tuple(map(numbers, book.levels())), instrument.native_symbol
        live += 1
    assert live > 0 or not head.found.books
    assert {end.why for end in summary.books if end.state != "LIVE"} <= {"", WITHOUT_BEGINNING}
