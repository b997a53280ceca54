"""An exchange as its captures have it up to the line taken last: instruments, books, streams, REST answers.
No socket, no clock.

Books are built from the recorded messages by the venue's own shapes. Liberty: where books come by REST, the
recorded one is the answer before the stream reaches it. Its id is then ahead of the stream, which protocols
allow and recordings show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from outcrier.capture.answering import Answering, Emission
from outcrier.capture.book import RecordedBook
from outcrier.capture.contents import Scan, book_symbol_of, message_text
from outcrier.capture.decoding import Shapes
from outcrier.capture.format import CaptureLine
from outcrier.capture.library import read_session
from outcrier.instruments import to_core_kwargs
from outcrier.shapes import Shape
from outcrier.venues import Venue
from outcrier.venues.exchange_side import Client, StandInBook


def copy_names(symbols: Sequence[str], copies: int) -> dict[str, tuple[str, ...]]:
    """More names for each of `symbols`: BTCUSDT becomes X1BTCUSDT, X2BTCUSDT and so on, which keeps what a
    venue reads from the end of a symbol (`-SWAP`, an expiry).
    """
    return {symbol: tuple(f"X{number}{symbol}" for number in range(1, copies + 1)) for symbol in symbols}


class Exchange(Answering):
    """Use `take` for every line; the books, states and answers are then those of that moment."""

    def __init__(
        self,
        venue: Venue,
        paths: Sequence[Path],
        found: Scan,
        lists: Mapping[str, str],
        copies: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`lists` are the bodies of the instrument list (`outcrier.capture.contents.instrument_lists`).

        `copies`: more names for a recorded symbol. Each of its messages is pushed under those too, renamed by
        the exchange's side; a thousand instruments of one recording load a feeder as real ones do.
        """
        super().__init__(venue, lists)
        self._shapes = Shapes(venue)
        self._depths = {shape.name: shape.depth for shape in venue.shapes if isinstance(shape, Shape)}
        self._symbols = frozenset(found.symbols)
        self._known: dict[str, tuple[str | None, str | None]] = {}
        self._copies = {symbol: tuple(names) for symbol, names in (copies or {}).items()}
        self._names: dict[tuple[str, str], str] = {}
        listed = {each.native_symbol: each for each in venue.parse_instruments(*lists.values())[0]}
        self._listed = listed
        for symbol in found.symbols:
            sizes = to_core_kwargs(listed[symbol], 1) if symbol in listed else {}
            self._shapes.add(symbol, sizes.get("price_exp", 0), sizes.get("qty_exp", 0))
        self._seeds = self._recorded_books(paths, found)
        self._originals = {name: symbol for symbol, names in self._copies.items() for name in names}
        self._rest_books: dict[str, RecordedBook] = {}
        self._stream_books: dict[str, RecordedBook] = {}
        self._by_symbol: dict[str, StandInBook] = {}
        self.restart()

    def restart(self) -> None:
        """Back to the first line."""
        self._rest_books = {symbol: seed.copy() for symbol, seed in self._seeds.items()}
        self._stream_books = {}
        self._states = {}
        self._by_symbol = dict(self._rest_books)
        for name, symbol in self._originals.items():
            if symbol in self._by_symbol:
                self._by_symbol[name] = self._by_symbol[symbol]

    # Messages.

    def take(self, line: CaptureLine) -> Emission | None:
        """The message of a line; its book is kept up. None for lines that are no message of a stream, and for
        those about other products.
        """
        text = message_text(line)
        stream = None if line.kind != "recv" or text is None else self.venue.stream_of(text)
        if text is None or stream is None:
            return None
        symbol, book = self._of(stream)
        if symbol is not None and symbol not in self._symbols:
            return None
        if book is None:
            of = self.side.state_stream(stream)
            self._states[of] = self.side.state(of, self._states.get(of), text)
        elif not self._apply(stream, book, line.data, text):
            self.junk += 1
            return None
        return Emission(stream, text, symbol, book is not None)

    def copies(self, emission: Emission) -> Iterator[tuple[str, str]]:
        """Native symbol and stream of each copy of a message; `renamed` makes its text."""
        if self.venue.channel_of(emission.stream) is not None:
            for name in self._copies.get(emission.symbol or "", ()):
                yield name, self._stream_of(emission.stream, name)

    def renamed(self, emission: Emission, text: str, name: str) -> str:
        """The message `text` of an emission as one of the copy `name`."""
        return self.side.renamed(text, emission.symbol or "", name)

    def _stream_of(self, stream: str, symbol: str) -> str:
        """The same channel of another instrument; `stream` itself where that is not listed."""
        found = self._names.get((stream, symbol))
        if found is None:
            named, instrument = self.venue.channel_of(stream), self._listed.get(symbol)
            found = stream
            if named is not None and instrument is not None:
                channel, speed = named
                (found,) = self.venue.streams(instrument, (channel,), {channel: speed} if speed else {})
            self._names[stream, symbol] = found
        return found

    def _of(self, stream: str) -> tuple[str | None, str | None]:
        """Native symbol of a stream, and again if it feeds that one's book."""
        known = self._known.get(stream)
        if known is None:
            symbol = self.venue.native_symbol_of(stream)
            known = self._known[stream] = (symbol, book_symbol_of(self.venue, stream))
        return known

    def _apply(self, stream: str, symbol: str, data: bytes, text: str) -> bool:
        """Takes a message of a book; False for one with a junk number. The book is then as before."""
        events = self._shapes.books(data, symbol)
        if events is None:
            return False
        for event in events:
            book = self._rest_books.get(symbol) or self._stream_books.get(stream)
            if book is None:
                if not event["snapshot"]:
                    continue
                book = self._stream_books[stream] = RecordedBook(self._depths.get(self._shapes.shape or ""))
                for name in (symbol, *self._copies.get(symbol, ())):
                    self._by_symbol.setdefault(name, book)
            elif (
                symbol in self._rest_books
                and not event["snapshot"]
                and _is_old(event["ids"][1], book.last_id)
            ):
                continue
            book.apply(event, text, self.venue.printed(text))
        return True

    # Books.

    @property
    def books(self) -> Mapping[str, StandInBook]:
        return self._by_symbol

    def begin(self, client: Client, stream: str) -> list[str]:
        """What a client is sent at the beginning of a stream, at the present state."""
        symbol = self.venue.native_symbol_of(stream)
        original = self._originals.get(symbol or "", symbol)
        recorded = stream if original == symbol else self._stream_of(stream, original or "")
        book = None
        if book_symbol_of(self.venue, stream) is not None:
            book = self._stream_books.get(recorded)
        texts = self.side.on_subscribed(client, stream, book)
        state = self._states.get(recorded) if self.side.begins(stream) else None
        texts = [state] if state is not None and not texts else texts
        if symbol is None or original is None or original == symbol:
            return texts
        return [self.side.renamed(text, original, symbol) for text in texts]

    def _recorded_books(self, paths: Sequence[Path], found: Scan) -> dict[str, RecordedBook]:
        """The first recorded REST book of each symbol."""
        seeds: dict[str, RecordedBook] = {}
        for line in read_session(paths) if found.rest_books else ():
            if len(seeds) == len(found.rest_books):
                break
            text = message_text(line)
            if line.kind != "http" or text is None or not self.venue.is_snapshot(line.url, text):
                continue
            symbol = found.book_symbol(self.venue, line)
            if symbol is None or symbol in seeds or symbol not in self._symbols:
                continue
            for event in self._shapes.rest_book(text.encode(), symbol) or ():
                book = RecordedBook(self._depths.get(self._shapes.shape or ""))
                book.apply(event, text, self.venue.printed(text))
                seeds[symbol] = book
        return seeds


def _is_old(last: int | None, book: int | None) -> bool:
    """Whether a change is in the book already."""
    return last is not None and book is not None and last <= book
