"""All recorded sessions of a venue as a running feeder gets them, and the books of a plain model after them.

The sessions are short, and a feed learns: of the form of messages it knows more after an hour than after
fifty messages, it looks for unknown fields in the first ones of each kind (and in one of a thousand later),
and a book takes memory only once. So each session is there under other names first (as a stand-in renames its
copies), which the feed takes before the clock starts, its beginning `LOOKS` times over; and then as often as
makes `MESSAGES_MIN`, each time with instruments of its own. Those have had their books, and lost them with
the connection: what is timed is a session of a feeder that runs. Nothing comes twice that a handler could
drop, as it may with trades. A feeder sends its frames and has their memory again: here none is kept either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, lru_cache
from itertools import islice, repeat
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.messages import capture_path, is_chain
from naive import NaiveBook
from outcrier import _core
from outcrier.capture.contents import Scan, book_symbol_of, instruments_of, message_text, scan
from outcrier.capture.exchange import copy_names
from outcrier.capture.library import read_session
from outcrier.instruments import Instrument, to_core_kwargs
from outcrier.shapes import ConnectionPlusOne, Shape
from outcrier.venues import VENUES, Venue
from outcrier.venues.base import Ack
from plain import bithumb, bybit, coinbase, deribit, kraken, okx, upbit
from plain_events import Book, Plain, parse
from venue_bench import PlainBooks, Sides

MESSAGES_MAX: Final = 5_000
"""Messages of a session that are taken: the long ones say the same after that."""

MESSAGES_MIN: Final = 2_000
"""Messages of a venue that are timed at least."""

LOOKS: Final = 64
"""Messages of each kind that a feed looks at in any case (`FIRST` in `drift.rs`): it has that behind it."""

BEGINNING: Final = 500
"""Messages of a session that are taken as often: each kind is among them, and the whole books."""

FRAMES_BYTES: Final = 65_536
"""Bytes of frames after which their memory is used again: some that a socket's buffer has."""

CONNECTION: Final = 1

PLAIN: Final[Mapping[str, Callable[[], Plain]]] = {
    "bybit": lambda: bybit.Bybit("spot"),
    "bybit_linear": lambda: bybit.Bybit("linear"),
    "bybit_v2": lambda: bybit.bybit_v2,
    "okcoin": lambda: okx.OKCOIN,
    "okx_2022": lambda: okx.IN_2022,
    "coinbase": lambda: coinbase.coinbase,
    "coinbase_exchange": lambda: coinbase.coinbase_exchange,
    "deribit": lambda: deribit.deribit,
    "upbit": lambda: upbit.upbit,
    "bithumb_legacy": lambda: bithumb.bithumb_legacy,
    "kraken": lambda: kraken.kraken,
    "kraken_v1": lambda: kraken.kraken_v1,
    "kraken_futures": lambda: kraken.kraken_futures,
}
"""Decoders of the tests, by `json` and `Decimal` alone; venues with books by REST have the naive model."""

FOLLOWED: Final = {"binance/spot_nexousdt_2024-07-24": "binance/spot_nexousdt_2024-07-23"}
"""Captures without a beginning, and the one of the day before that has it."""

RESIZED: Final = frozenset({"PROPS-ETH"})
"""Symbols that the recorded list, of another day, has without the eight decimals that were printed."""


@dataclass(frozen=True, eq=False)
class Session:
    """One recorded session."""

    venue: Venue
    name: str
    found: Scan
    copies: Sequence[Mapping[str, Instrument]]
    """By the recorded name: the instruments of each copy; the last are those of the recording."""
    snapshots: Mapping[str, bytes]
    """The REST book of each instrument that has one."""
    messages: Sequence[tuple[str | None, str]]
    """Native symbol and text; those that the REST books cover are left out."""

    @cached_property
    def frames(self) -> list[list[bytes]]:
        """The messages of each copy."""
        renamed = self.venue.exchange.renamed
        return [
            [
                (text if symbol is None else renamed(text, symbol, names[symbol].native_symbol)).encode()
                for symbol, text in self.messages
            ]
            for names in self.copies[:-1]
        ] + [[text.encode() for _, text in self.messages]]

    def books(self) -> dict[str, Sides]:
        """Bids and asks by native symbol, of the books that have a beginning in the session."""
        if self.snapshots:
            return self._naive_books()
        depths = {shape.depth for shape in self.venue.shapes if isinstance(shape, Shape) and shape.depth}
        books, decode = PlainBooks(max(depths, default=0)), PLAIN[self.venue.name]()
        for _, text in self.messages:
            for event in decode(parse(text) if text[:1] in "{[" else text) or ():
                if isinstance(event, Book) and (event.snapshot or event.symbol in books.books):
                    books.take(event)
        return books.books

    @cached_property
    def is_of_book(self) -> list[bool]:
        """Whether a message is of a stream that feeds a book."""
        streams = [self.venue.stream_of(text) for _, text in self.messages]
        return [stream is not None and book_symbol_of(self.venue, stream) is not None for stream in streams]

    def _naive_books(self) -> dict[str, Sides]:
        naive = {symbol: NaiveBook(is_chain(self.venue.name)) for symbol in self.snapshots}
        for symbol, body in self.snapshots.items():
            naive[symbol].snapshot(body.decode())
        for about, text in self.messages:
            message = parse(text)
            message = message.get("data", message)
            if message.get("e") == "depthUpdate":
                naive[about or ""].diff(message)
        assert not any(book.gaps for book in naive.values())
        return {symbol: (book.bids, book.asks) for symbol, book in naive.items()}


def read_lines(
    venue: Venue, paths: Sequence[Path], found: Scan
) -> tuple[dict[str, bytes], list[tuple[str | None, str]]]:
    """The first REST book of each instrument, and the messages that follow: with the symbol each is about."""
    snapshots: dict[str, bytes] = {}
    messages: list[tuple[str | None, str]] = []
    for line in islice(read_session(paths), MESSAGES_MAX):
        text = message_text(line)
        if text is None:
            continue
        if line.kind == "http" and venue.is_snapshot(line.url, text):
            snapshots.setdefault(found.book_symbol(venue, line) or "", text.encode())
        elif line.kind == "recv":
            symbol = venue.native_symbol_of(venue.stream_of(text) or "")
            if symbol not in found.passed_over and not _is_answer(venue, text):
                messages.append((symbol, text))
    covered = {symbol: parse(body)["lastUpdateId"] for symbol, body in snapshots.items()}
    return snapshots, [
        (symbol, text) for symbol, text in messages if not _is_covered(venue, covered.get(symbol or ""), text)
    ]


def _is_answer(venue: Venue, text: str) -> bool:
    """Whether a message answers a subscription, which comes once; where such are numbered they stay."""
    numbered = any(
        isinstance(shape.sequence, ConnectionPlusOne) for shape in venue.shapes if isinstance(shape, Shape)
    )
    return not numbered and venue.stream_of(text) is None and isinstance(venue.control(text.encode()), Ack)


def _is_covered(venue: Venue, last: int | None, text: str) -> bool:
    if last is None:
        return False
    message = parse(text)
    message = message.get("data", message)
    is_diff: bool = message.get("e") == "depthUpdate"
    return is_diff and message["u"] < last + (0 if is_chain(venue.name) else 1)


def read_one(venue: Venue, paths: Sequence[Path], copies: int) -> Session:
    """The session of some files; `copies` beside the recorded names."""
    found = scan(venue, paths)
    names = copy_names(found.symbols, copies)
    listed = {each.native_symbol: each for each in instruments_of(venue, paths, found)}

    def instrument(native: str, recorded: str) -> Instrument:
        sizes = {"lot_size": Decimal("1E-8")} if recorded in RESIZED else {}
        symbol = listed[recorded].symbol if native == recorded else native
        return msgspec.structs.replace(listed[recorded], native_symbol=native, symbol=symbol, **sizes)

    each = [{symbol: instrument(names[symbol][n], symbol) for symbol in found.symbols} for n in range(copies)]
    each.append({symbol: instrument(symbol, symbol) for symbol in found.symbols})
    snapshots, messages = read_lines(venue, paths, found)
    name = paths[-1].name.removesuffix(".jsonl.gz")
    return Session(venue, name, found, each, snapshots, messages)


@dataclass(eq=False)
class VenueSet:
    """All sessions of a venue."""

    venue: Venue
    sessions: Sequence[Session]
    texts: list[str] = field(default_factory=list)
    """What is timed, as texts: what `json.loads` takes without looking for an encoding."""

    def __post_init__(self) -> None:
        for session in self.sessions:
            self.texts += [data.decode() for frames in session.frames[1:] for data in frames]

    @cached_property
    def books(self) -> list[dict[str, Sides]]:
        return [session.books() for session in self.sessions]

    def about(self) -> str:
        size = sum(map(len, self.texts)) / len(self.texts)
        recorded = sum(len(session.messages) for session in self.sessions)
        sessions = f"{len(self.sessions)} sessions of {recorded:,} messages"
        return f"{len(self.texts):,} messages of {size:,.0f} bytes, from {sessions}"


def captures_of(data_dir: Path, venue: Venue) -> list[str]:
    """Names of the captures that sessions begin with: `binance/spot_2021-10-12`."""
    found = {
        f"{path.parent.name}/{path.name.removesuffix('.jsonl.gz')}"
        for pattern in venue.captures
        for path in (data_dir / "captures").glob(f"{pattern}.jsonl.gz")
    }
    return sorted(name for name in found - set(FOLLOWED.values()) if not name.endswith("_instruments"))


def recorded_venues() -> list[str]:
    """The venues that name captures."""
    return [venue.name for venue in VENUES.values() if venue.captures]


@lru_cache(maxsize=1)
def venue_set(data_dir: Path, name: str) -> VenueSet:
    """All sessions of the venue `name`."""
    venue = VENUES[name]
    captures = [
        [capture_path(data_dir, each) for each in (FOLLOWED.get(capture), capture) if each is not None]
        for capture in captures_of(data_dir, venue)
    ]
    total = sum(len(read_lines(venue, paths, scan(venue, paths))[1]) for paths in captures)
    copies = -(-MESSAGES_MIN // total)
    return VenueSet(venue, [read_one(venue, paths, copies) for paths in captures])


class Handler:
    """What a feeder does with each message of a session, without its sockets."""

    def __init__(self, session: Session) -> None:
        venue, with_book = session.venue, session.found.with_book
        self.session = session
        self.publisher = _core.Publisher.memory(bytes_max=FRAMES_BYTES)
        self.feed = _core.Feed(
            self.publisher,
            venue=venue.number,
            channel=venue.number,
            session=1,
            publisher_id=1,
            shapes=venue.shapes_json,
            build="benchmark",
            test=True,
        )
        self.indices: dict[str, int] = {}
        self.told: list[Any] = []
        self.noticed: list[tuple[str, Any, Any, Any, Any]] = []
        for copy in session.copies:
            for recorded, each in copy.items():
                index = self.feed.add_instrument(
                    **to_core_kwargs(each, len(self.indices) + 1), has_book=recorded in with_book
                )
                self.indices[each.native_symbol] = index
        for _ in range(LOOKS):
            self._have_books(0, session.frames[0][:BEGINNING])
        for number, frames in enumerate(session.frames):
            of_book = [
                data for data, is_of_book in zip(frames, session.is_of_book, strict=True) if is_of_book
            ]
            self._have_books(number, of_book)
        self.feed.notices()
        for copy in session.copies:
            for recorded, each in copy.items():
                index = self.indices[each.native_symbol]
                if recorded not in with_book:
                    self.feed.connected([index])
                elif recorded in session.snapshots:
                    self.feed.on_snapshot(index, session.snapshots[recorded])
        # Each copy comes by a connection of its own, as the numbers of Coinbase need it.
        self._connections = [
            CONNECTION + number for number, frames in enumerate(session.frames[1:], 1) for _ in frames
        ]
        self._timed = [data for frames in session.frames[1:] for data in frames]
        self._take(repeat(CONNECTION), session.frames[0])
        self.publisher.take()

    def _have_books(self, number: int, frames: Iterable[bytes]) -> None:
        """The instruments of a copy have books, and lose them with the connection."""
        copy = self.session.copies[number]
        for recorded, body in self.session.snapshots.items():
            self.feed.on_snapshot(self.indices[copy[recorded].native_symbol], body)
        for data in frames:
            self.feed.on_frame(CONNECTION + number, data)
        self.feed.restart_connection(CONNECTION + number)
        self.feed.disconnected([self.indices[each.native_symbol] for each in copy.values()])
        self.publisher.take()

    def _take(self, connections: Iterable[int], messages: Iterable[bytes]) -> None:
        feed, on_frame, control = self.feed, self.feed.on_frame, self.session.venue.control
        # A list of pairs would be memory that only the measurement touches.
        for connection, data in zip(connections, messages, strict=False):
            bits = on_frame(connection, data)
            if bits:
                if bits & _core.FOR_PYTHON:
                    self.told.append(control(data))
                if bits & _core.NOTICES:
                    self.noticed += feed.notices()

    @property
    def kinds(self) -> set[str]:
        """Kinds of the notices since the books were there first."""
        return {kind for kind, *_ in self.noticed}

    def run(self) -> None:
        """The messages that are timed."""
        self._take(self._connections, self._timed)

    def books(self) -> list[dict[str, Sides]]:
        """By the recorded name, for each copy: the books that are live; prices and quantities as Decimals."""
        return [
            {
                recorded: self._book(self.indices[each.native_symbol])
                for recorded, each in copy.items()
                if self.feed.state(self.indices[each.native_symbol]) == "LIVE"
                and recorded in self.session.found.with_book
            }
            for copy in self.session.copies
        ]

    def _book(self, index: int) -> Sides:
        price_exp, qty_exp = self.feed.scale(index)
        bids, asks = (
            {Decimal(price).scaleb(price_exp): Decimal(qty).scaleb(qty_exp) for price, qty in side}
            for side in self.feed.book(index)
        )
        return bids, asks
