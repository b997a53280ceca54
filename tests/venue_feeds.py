"""What every connected venue is held to beside its messages: names, streams, requests, the exchange's side,
and books through a whole feed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from outcrier import _core
from outcrier.instruments import Catalogue, Instrument, to_core_kwargs
from outcrier.symbols import Symbol, parse_symbol
from outcrier.venues import Venue
from outcrier.venues.base import Ack, Control, Several
from outcrier.venues.exchange_side import Client
from plain_events import Book, Level, Plain, lines, received
from venue_sessions import exponent, parse_all

Captures = Callable[[str], Path]
Digits = tuple[int, int]

FINER_THAN_LIST_MAX = 8
"""Digits by which the core lets exponents grow beyond those of a list."""


def bodies(venue: Venue, capture: Captures) -> list[bytes]:
    """The recorded answers with the instruments of a venue, each once."""
    found = [body for name in venue.instrument_lists for body in lines(capture(name), "http")]
    return list(dict.fromkeys(found))


def check_symbols(instruments: Sequence[Instrument]) -> Catalogue:
    """Names are one to one both ways and say what the definition says."""
    catalogue = Catalogue(instruments[0].venue, instruments)
    for instrument in instruments:
        assert catalogue.by_native(instrument.native_symbol) is instrument
        assert catalogue.by_symbol(instrument.symbol) is instrument
        symbol = parse_symbol(instrument.symbol)
        assert symbol.kind is instrument.kind
        if isinstance(symbol, Symbol) and symbol.quote:
            assert (symbol.base, symbol.quote) == (instrument.base, instrument.quote)
        assert symbol.settle in {instrument.settle, ""}
        assert bool(symbol.expiry) is bool(instrument.expiry_ts)
        assert Decimal(symbol.strike or 0) == instrument.strike
        to_core_kwargs(instrument, 1)
    return catalogue


def check_streams(venue: Venue, instrument: Instrument) -> None:
    """Every stream tells its channel and instrument back, at every speed."""
    for name, channel in venue.channels.items():
        if channel.whole_venue:
            stream = venue.whole_venue_stream(channel)
            assert venue.channel_of(stream) == (name, "")
            assert venue.native_symbol_of(stream) is None
            continue
        for speed in channel.speeds or ("",):
            for stream in venue.streams(instrument, [name], {name: speed}):
                assert venue.channel_of(stream) == (name, speed)
                assert venue.native_symbol_of(stream) == instrument.native_symbol
    for other in ("", "nothing", "nothing:X", "nothing.X"):
        assert venue.channel_of(other) is None


def acknowledgements(controls: Iterable[Control]) -> int:
    """How many of the acknowledgements that were waited for these are."""
    count = 0
    for control in controls:
        if isinstance(control, Several):
            count += acknowledgements(control.controls)
        else:
            assert isinstance(control, Ack), control
            count += control.count
    return count


def check_exchange(venue: Venue, streams: Sequence[str]) -> None:
    """What the venue asks the exchange understands, and acknowledges as often as the request says."""
    routes: dict[str, list[str]] = {}
    for stream in streams:
        routes.setdefault(venue.route(stream), []).append(stream)
    for route, own in routes.items():
        assert venue.exchange.accepts(route)
        client = Client(route)
        for request in venue.greeting():
            assert (
                acknowledgements(map(venue.control, venue.exchange.on_text(client, request.text)))
                == request.acks
            )
        for request in venue.subscribe(own, number=7):
            answers = venue.exchange.on_text(client, request.text)
            assert acknowledgements(map(venue.control, answers)) == request.acks
        assert list(client.streams) == own
        for request in venue.unsubscribe(own[:1], own[1:], number=70):
            answers = venue.exchange.on_text(client, request.text)
            assert acknowledgements(map(venue.control, answers)) == request.acks
        assert list(client.streams) == own[1:]
        assert all(venue.exchange.wants(client, stream) for stream in own[1:])
    assert not venue.exchange.accepts("/nowhere")
    assert venue.exchange.rest("/nowhere", {}, {}) is None


@dataclass
class NaiveBook:
    """A book as its exchange has it."""

    last_id: int | None = None
    exchange_ns: int | None = None
    last: str = ""
    whole: str = ""
    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)

    def take(self, event: Book) -> None:
        if event.snapshot:
            self.bids, self.asks = {}, {}
        for side, levels in ((self.bids, event.bids), (self.asks, event.asks)):
            for price, qty in levels:
                side.pop(price, None)
                if qty:
                    side[price] = qty
        self.last_id, self.exchange_ns = event.last, event.time

    def sorted(self) -> tuple[list[Level], list[Level]]:
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())

    def levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """As the exchange printed them."""
        bids, asks = ([(f"{price:f}", f"{qty:f}") for price, qty in side] for side in self.sorted())
        return bids, asks


class Fed:
    """A whole feed of one venue, driven by a recording, with the naive books beside it."""

    def __init__(
        self, venue: Venue, symbols: Mapping[str, Digits], listed: Mapping[str, Instrument] | None = None
    ) -> None:
        """`symbols`: those that appear, with the digits after the point of their prices and quantities."""
        listed = listed or {}
        self.venue = venue
        self.publisher = _core.Publisher.memory()
        self.feed = _core.Feed(
            self.publisher,
            venue=venue.number,
            channel=venue.number,
            session=1,
            publisher_id=1,
            shapes=venue.shapes_json,
            build="test",
            replay=True,
            start_ns=1,
        )
        self.indices: dict[str, int] = {}
        for number, (symbol, digits) in enumerate(symbols.items(), 1):
            instrument = listed.get(symbol)
            if instrument is None or not is_near(instrument, digits):
                instrument = unlisted(venue, symbol, *digits)
            values = to_core_kwargs(instrument, number)
            self.indices[symbol] = self.feed.add_instrument(**values, has_book=True, recv_ns=1)
        self.books: dict[str, NaiveBook] = {}

    def take(self, frame: bytes, decode: Plain, message: Any) -> bool:
        """One message; whether it was left to Python."""
        for event in decode(message) or ():
            if isinstance(event, Book):
                self.books.setdefault(event.symbol, NaiveBook()).take(event)
        return bool(self.feed.on_frame(1, frame, 1) & _core.FOR_PYTHON)

    def check(self) -> None:
        """Books are live and the naive ones, and nothing was found wrong."""
        counters = self.feed.counters()
        assert (counters["gaps"], counters["faults"], counters["went_stale"]) == (0, 0, 0)
        assert self.feed.faults() == []
        for symbol, book in self.books.items():
            index = self.indices[symbol]
            assert self.feed.state(index) == "LIVE"
            assert self.sides(symbol) == book.sorted()

    def sides(self, symbol: str) -> tuple[list[Level], list[Level]]:
        index = self.indices[symbol]
        price_exp, qty_exp = self.feed.scale(index)
        bids, asks = (
            [(Decimal(price).scaleb(price_exp), Decimal(qty).scaleb(qty_exp)) for price, qty in side]
            for side in self.feed.book(index)
        )
        return bids, asks


def is_near(instrument: Instrument, digits: Digits) -> bool:
    """Whether a list of another day describes what was printed, as far as the core lets exponents move."""
    values = to_core_kwargs(instrument, 1)
    return all(
        printed + values[name] <= FINER_THAN_LIST_MAX
        for name, printed in zip(("price_exp", "qty_exp"), digits, strict=True)
    )


def unlisted(venue: Venue, native: str, price_digits: int = 1, qty_digits: int = 3) -> Instrument:
    """An instrument known only from its frames."""
    sizes = Decimal(1).scaleb(-price_digits), Decimal(1).scaleb(-qty_digits)
    instruments, faults = venue.parse_instruments(venue.with_entries(None, [venue.unlisted(native, *sizes)]))
    assert faults == []
    return next(each for each in instruments if each.native_symbol == native)


def digits_seen(venue: Venue, frames: Iterable[bytes]) -> dict[str, Digits]:
    """Digits after the point of what is printed of each symbol, in the order of appearance."""
    found: dict[str, Digits] = {}
    for frame in frames:
        stream = venue.stream_of(frame)
        symbol = None if stream is None else venue.native_symbol_of(stream)
        if symbol is not None:
            numbers = venue.printed(frame)
            sides = (numbers.prices, numbers.quantities)
            new = [max([0, *(-exponent(Decimal(each)) for each in side)]) for side in sides]
            old = found.get(symbol, (0, 0))
            found[symbol] = max(old[0], new[0]), max(old[1], new[1])
    return found


def check_feed(venue: Venue, name: str, decode: Plain, capture: Captures) -> Fed:
    """A recorded session through a whole feed: every book live and equal to the naive one, before and after
    the exchange's side has sent it anew.
    """
    frames = list(received(capture(name)))
    parsed = parse_all(frames)
    symbols = digits_seen(venue, frames)
    assert list(symbols) == list(dict.fromkeys(e.symbol for message in parsed for e in decode(message) or ()))
    instruments, _ = venue.parse_instruments(*bodies(venue, capture))
    fed = Fed(venue, symbols, {each.native_symbol: each for each in instruments})
    streams: dict[str, str] = {}
    for frame, message in zip(frames, parsed, strict=True):
        fed.take(frame, decode, message)
        stream = venue.stream_of(frame)
        if stream is not None and (channel := venue.channel_of(stream)) and venue.channels[channel[0]].book:
            streams[stream] = venue.native_symbol_of(stream) or ""
    fed.check()
    assert set(streams.values()) == set(fed.books)
    fed.feed.disconnected(list(fed.indices.values()), 2)
    client = Client(venue.route(next(iter(streams))))
    for stream, symbol in streams.items():
        assert fed.feed.state(fed.indices[symbol]) == "STALE"
        for text in venue.exchange.on_subscribed(client, stream, fed.books[symbol]):
            assert not fed.take(text.encode(), decode, json.loads(text, parse_float=Decimal))
            assert venue.stream_of(text) == stream
        assert fed.feed.state(fed.indices[symbol]) == "LIVE"
        assert fed.sides(symbol) == fed.books[symbol].sorted()
    return fed
