"""What captures of a venue hold: streams, symbols, books, and the instrument lists that fit them.

What a recording lacks is said, never made up: an instrument that no list has is added with the digits that
were printed, a book without a recorded beginning stays without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import msgspec

from outcrier.capture.decoding import Shapes
from outcrier.capture.format import CaptureLine, read_capture
from outcrier.capture.library import list_of, read_session, sharing
from outcrier.errors import CaptureError
from outcrier.instruments import Catalogue, Instrument
from outcrier.shapes import Shape
from outcrier.venues import VENUES, Venue
from outcrier.venues.base import HttpRequest


class Scan(msgspec.Struct, frozen=True):
    """What a set of captures of one venue holds."""

    lines: int
    first_ns: int | None
    """Receive time of the first line that has one."""
    streams: dict[str, int]
    """Messages by name of stream, in the order of appearance."""
    symbols: tuple[str, ...]
    """Native symbols that a stream or a REST book is about, in the order of appearance."""
    rest_books: tuple[str, ...]
    """Native symbols with a recorded REST book."""
    stream_books: tuple[str, ...]
    """Native symbols with a whole book in a stream."""
    beginless: tuple[str, ...]
    """Native symbols with changes of a book and no whole one: their books can never be LIVE."""
    unlisted: tuple[str, ...]
    """Native symbols that the recorded instrument list lacks: added with the digits printed in the captures.
    """
    passed_over: dict[str, int]
    """Messages by native symbol of other products of the exchange."""
    only: tuple[str | None, ...]
    """For each file its native symbol if it is about a single one: that of REST books which name none."""

    @property
    def books(self) -> tuple[str, ...]:
        """Native symbols with a whole book."""
        return tuple(dict.fromkeys((*self.rest_books, *self.stream_books)))

    @property
    def with_book(self) -> frozenset[str]:
        """Native symbols with a book or changes of one."""
        return frozenset((*self.books, *self.beginless))

    def book_symbol(self, venue: Venue, line: CaptureLine) -> str | None:
        """Native symbol of a REST book: from its URL, its body, or its file's only instrument."""
        return venue.snapshot_symbol(line.url, message_text(line) or "") or self.only[line.source]

    def remarks(self) -> list[str]:
        """What the captures lack, in sentences; empty where nothing is lacking."""
        remarks = []
        if self.unlisted:
            remarks.append(
                f"not in the recorded instrument list, digits as printed: {', '.join(self.unlisted)}"
            )
        if self.beginless:
            remarks.append(f"{WITHOUT_BEGINNING}: {', '.join(self.beginless)}")
        if self.passed_over:
            count = sum(self.passed_over.values())
            remarks.append(f"{count:,} messages of other products passed over: {', '.join(self.passed_over)}")
        return remarks


WITHOUT_BEGINNING = "no whole book of it in the captures"
"""Why a book cannot be LIVE, however long its changes are followed."""


def message_text(line: CaptureLine) -> str | None:
    """The text of a message, of a binary frame that holds UTF-8 too; None for other bytes."""
    if line.text is not None or line.binary is None:
        return line.text
    try:
        return line.binary.decode()
    except UnicodeDecodeError:
        return None


def book_symbol_of(venue: Venue, stream: str) -> str | None:
    """Native symbol of a stream that feeds a book; None for any other."""
    named = venue.channel_of(stream)
    if named is None or not venue.channels[named[0]].book:
        return None
    return venue.native_symbol_of(stream)


class _Reader:
    """Counts what a pass over the lines finds."""

    def __init__(self, venue: Venue, files: int) -> None:
        self._venue = venue
        self.lines = self.received = 0
        self.first_ns: int | None = None
        self.streams: dict[str, int] = {}
        self.messages: dict[str, int] = {}
        """By native symbol, in the order of appearance."""
        self.in_file: list[dict[str, None]] = [{} for _ in range(files)]
        self.rest_books: dict[str, None] = {}
        self.unnamed: set[int] = set()
        """Files with a REST book that does not tell whose it is."""
        self.changed: dict[str, None] = {}
        self.begun: dict[str, None] = {}
        self._symbols: dict[str, str | None] = {}
        self._books: dict[str, str | None] = {}
        self._beginnings = _Beginnings(venue) if _has_stream_books(venue) else None

    def take(self, line: CaptureLine) -> None:
        self.lines += 1
        self.received += line.kind == "recv"
        self.first_ns = line.time_ns if self.first_ns is None else self.first_ns
        text = message_text(line)
        if text is None or line.kind == "send":
            return
        symbol = self._message(line, text) if line.kind == "recv" else self._answer(line, text)
        if symbol is not None:
            self.messages[symbol] = self.messages.get(symbol, 0) + 1
            self.in_file[line.source][symbol] = None

    def _message(self, line: CaptureLine, text: str) -> str | None:
        stream = self._venue.stream_of(text)
        if stream is None:
            return None
        if stream not in self.streams:
            self._symbols[stream] = self._venue.native_symbol_of(stream)
            self._books[stream] = book_symbol_of(self._venue, stream)
        self.streams[stream] = self.streams.get(stream, 0) + 1
        book = self._books[stream]
        if book is not None:
            self.changed[book] = None
            if (
                self._beginnings is not None
                and book not in self.begun
                and self._beginnings.is_one(line, book)
            ):
                self.begun[book] = None
        return self._symbols[stream]

    def _answer(self, line: CaptureLine, text: str) -> str | None:
        if not self._venue.is_snapshot(line.url, text):
            return None
        symbol = self._venue.snapshot_symbol(line.url, text)
        if symbol is None:
            self.unnamed.add(line.source)
        else:
            self.rest_books[symbol] = None
        return symbol

    def symbol_of(self, stream: str) -> str | None:
        """Native symbol of a stream that was met."""
        return self._symbols[stream]


def _has_stream_books(venue: Venue) -> bool:
    return any(
        isinstance(shape, Shape) and not shape.rest and shape.snapshot is not False for shape in venue.shapes
    )


class _Beginnings:
    """Finds messages that are a whole book, as the venue's shapes have it."""

    def __init__(self, venue: Venue) -> None:
        self._shapes = Shapes(venue)

    def is_one(self, line: CaptureLine, symbol: str) -> bool:
        """Whether a message is a whole book of `symbol`."""
        self._shapes.add(symbol)
        return any(event["snapshot"] for event in self._shapes.books(line.data, symbol) or ())


def scan(venue: Venue, paths: Sequence[Path], given: Path | None = None) -> Scan:
    """Reads captures once and says what they hold; `given` is an instrument list to use instead of the
    recorded one.

    Raises CaptureError for one that is damaged anywhere, if none of them holds a received message, and if all
    is about other products.
    """
    reader = _Reader(venue, len(paths))
    for line in read_session(paths):
        reader.take(line)
    if not reader.received:
        what = "no received message (no line with k=recv)" if reader.lines else "empty, no received message"
        raise CaptureError(f"{', '.join(map(str, paths))}: {what}")
    unlisted, foreign = _unlisted(venue, paths, reader.messages, given)
    symbols = tuple(symbol for symbol in reader.messages if symbol not in foreign)
    if foreign and not symbols:
        raise CaptureError(f"{', '.join(map(str, paths))}: nothing of {venue.name}")
    in_file = [[symbol for symbol in found if symbol not in foreign] for found in reader.in_file]
    only = tuple(found[0] if len(found) == 1 else None for found in in_file)
    rest_books = reader.rest_books | {
        symbol: None for source in sorted(reader.unnamed) if (symbol := only[source]) is not None
    }

    def own(found: Iterable[str]) -> tuple[str, ...]:
        return tuple(symbol for symbol in found if symbol not in foreign)

    whole = rest_books | reader.begun
    return Scan(
        lines=reader.lines,
        first_ns=reader.first_ns,
        streams={
            stream: count
            for stream, count in reader.streams.items()
            if reader.symbol_of(stream) not in foreign
        },
        symbols=symbols,
        rest_books=own(rest_books),
        stream_books=own(reader.begun),
        beginless=own(symbol for symbol in reader.changed if symbol not in whole),
        unlisted=unlisted,
        passed_over={symbol: reader.messages[symbol] for symbol in reader.messages if symbol in foreign},
        only=only,
    )


def _unlisted(
    venue: Venue, paths: Sequence[Path], symbols: Iterable[str], given: Path | None
) -> tuple[tuple[str, ...], frozenset[str]]:
    """Which of `symbols` the recorded list lacks, and which are of other products: listed by a venue that
    shares the captures, or such that this venue takes no entry for them.
    """
    lists = recorded_lists(venue, paths, given)
    listed = _natives(venue, lists)
    missing = [symbol for symbol in symbols if symbol not in listed]
    others = {name for path in paths for name in sharing(path)} - {venue.name}
    if not missing or not others:
        return tuple(missing), frozenset()
    elsewhere: set[str] = set()
    for name in others:
        elsewhere |= _natives(VENUES[name], recorded_lists(VENUES[name], paths))
    foreign = frozenset(symbol for symbol in missing if symbol in elsewhere or not _takes(venue, symbol))
    return tuple(symbol for symbol in missing if symbol not in foreign), foreign


def _natives(venue: Venue, lists: Mapping[str, str]) -> set[str]:
    instruments, _ = venue.parse_instruments(*lists.values()) if lists else ([], [])
    return {each.native_symbol for each in instruments}


def _takes(venue: Venue, symbol: str) -> bool:
    entry = venue.unlisted(symbol, Decimal(1), Decimal(1))
    instruments, _ = venue.parse_instruments(venue.with_entries(None, [entry]))
    return any(each.native_symbol == symbol for each in instruments)


# Instrument lists.


def instrument_lists(
    venue: Venue,
    paths: Sequence[Path],
    found: Scan,
    given: Path | None = None,
    copies: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, str]:
    """The venue's instrument list for captures as it would answer today: bodies by the request's target.

    From the file `given`, else from the recorded one; symbols that it lacks are added to the first with their
    native symbol as name and the digits printed in the captures as tick and step. `copies` are more names for
    a symbol (`outcrier.capture.exchange`), added with its sizes.

    Raises CaptureError for a file that is no such list.
    """
    lists = recorded_lists(venue, paths, given)
    instruments, faults = venue.parse_instruments(*lists.values()) if lists else ([], [])
    if faults and not instruments:
        path = given or list_of(venue, paths)
        raise CaptureError(f"{path}: no instrument list of {venue.name}: {faults[0].reason}")
    sizes = {each.native_symbol: (each.tick_size, each.lot_size) for each in instruments}
    missing = [symbol for symbol in found.symbols if symbol not in sizes]
    if missing:
        sizes |= _printed_steps(venue, paths, missing, found)
    names = [(symbol, symbol) for symbol in missing]
    names += [(copy, symbol) for symbol, more in (copies or {}).items() for copy in more]
    entries = [venue.unlisted(name, *sizes[symbol]) for name, symbol in names]
    first = next(iter(lists), venue.instruments_requests()[0].target)
    if entries or not lists:
        lists[first] = venue.with_entries(lists.get(first), entries)
    return lists


def recorded_lists(venue: Venue, paths: Sequence[Path], given: Path | None = None) -> dict[str, str]:
    """The recorded bodies by the targets of the venue's requests that they answer; by their own targets where
    they answer none of them (the venue asks in another way today). Empty where none was recorded.
    """
    path = given or list_of(venue, paths)
    if path is None:
        return {}
    requests = venue.instruments_requests()
    recorded = _bodies(path)
    lists: dict[str, str] = {}
    for request in requests:
        scored = [(_likeness(request, url), body) for url, body in recorded]
        best = max((score for score, _ in scored), default=-1)
        if best >= 0:
            lists[request.target] = [body for score, body in scored if score == best][-1]
    if lists:
        return lists
    return {_target(url) or requests[0].target: body for url, body in recorded}


def _bodies(path: Path) -> list[tuple[str | None, str]]:
    """URLs and bodies of a recorded instrument list: a capture of REST answers, or the answer itself."""
    if ".jsonl" not in path.suffixes:
        try:
            return [(None, path.read_text(encoding="utf-8"))]
        except (OSError, UnicodeDecodeError) as error:
            raise CaptureError(f"{path}: {error}") from error
    lines = [(line.url, line.text) for line in read_capture(path) if line.kind == "http"]
    bodies = [(url, text) for url, text in lines if text is not None]
    if not bodies:
        raise CaptureError(f"{path}: holds no REST answer")
    return bodies


def _likeness(request: HttpRequest, url: str | None) -> int:
    """How many values of the query a recorded answer has in common with a request; -1 = it answers another
    one. Keys that only one of them has do not count: recorders asked with other options.
    """
    if url is None:
        return -1
    parts = urlsplit(url)
    asked, recorded = dict(request.query), dict(parse_qsl(parts.query))
    if parts.path != request.path or any(asked[key] != recorded[key] for key in asked.keys() & recorded):
        return -1
    return len(set(asked.values()) & set(recorded.values()))


def _target(url: str | None) -> str:
    parts = urlsplit(url or "")
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def catalogue(venue: Venue, lists: Mapping[str, str]) -> Catalogue:
    """The instruments of lists, as a feeder would read them."""
    return Catalogue(venue.name, venue.parse_instruments(*lists.values())[0])


def instruments_of(
    venue: Venue, paths: Sequence[Path], found: Scan, given: Path | None = None
) -> list[Instrument]:
    """The instruments that captures are about."""
    listed = catalogue(venue, instrument_lists(venue, paths, found, given))
    instruments = [listed.by_native(symbol) for symbol in found.symbols]
    missing = [symbol for symbol, each in zip(found.symbols, instruments, strict=True) if each is None]
    if missing:
        raise CaptureError(f"{paths[0]}: the instrument list cannot be used for {', '.join(missing)}")
    return [instrument for instrument in instruments if instrument is not None]


def _printed_steps(
    venue: Venue, paths: Sequence[Path], symbols: Sequence[str], found: Scan
) -> dict[str, tuple[Decimal, Decimal]]:
    """The finest digits of prices and quantities that are printed for each symbol."""
    digits = dict.fromkeys(symbols, (0, 0))
    for line in read_session(paths):
        text = message_text(line)
        if text is None or line.kind == "send":
            continue
        if line.kind == "recv":
            symbol = venue.native_symbol_of(venue.stream_of(text) or "")
        else:
            symbol = found.book_symbol(venue, line)
        if symbol not in digits:
            continue
        numbers = venue.printed(text)
        price, quantity = digits[symbol]
        digits[symbol] = (
            max((price, *map(_decimals, numbers.prices))),
            max((quantity, *map(_decimals, numbers.quantities))),
        )
    return {symbol: (_step(price), _step(quantity)) for symbol, (price, quantity) in digits.items()}


def _decimals(number: str) -> int:
    """Digits after the point, without trailing zeros; 0 for what is no number."""
    whole, _, fraction = number.partition(".")
    if (whole + fraction).removeprefix("-").isdigit():
        return len(fraction.rstrip("0"))
    try:
        return max(0, -int(Decimal(number).normalize().as_tuple().exponent))
    except (InvalidOperation, ValueError):
        return 0


def _step(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)
