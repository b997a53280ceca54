"""One venue's captures through the real venue and core into a feed whose frames are flagged REPLAY: line by
line, without socket and pace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from outcrier import _core
from outcrier.capture.contents import WITHOUT_BEGINNING, Scan, message_text
from outcrier.capture.decoding import CONNECTION
from outcrier.capture.format import UNTIMED_STEP_NS, CaptureLine
from outcrier.instruments import Instrument, to_core_kwargs
from outcrier.venues import Venue
from outcrier.venues.base import Control, InstrumentStatus, Several


class Tally(msgspec.Struct):
    """What a replay of one venue did with its lines."""

    messages: int = 0
    """WebSocket messages handed to the core."""
    snapshots: int = 0
    """REST books handed to the core."""
    skipped: int = 0
    """Lines that are neither: sent messages, other REST answers, books of symbols that are not replayed."""
    passed_over: int = 0
    """WebSocket messages about other products of the exchange."""
    notices: dict[str, int] = {}
    """Notices of the core, by kind."""
    control: dict[str, int] = {}
    """Messages that no shape takes, by what they are."""


class BookEnd(msgspec.Struct, frozen=True):
    """A book at the end of a replay."""

    symbol: str
    """`SYMBOL@venue`."""
    state: str
    bids: int
    asks: int
    source_seq: int
    """The exchange's last update id."""
    hash: int
    why: str = ""
    """Why it is not LIVE, where the captures tell."""


class VenueSummary(msgspec.Struct, frozen=True):
    """What was replayed of one venue."""

    venue: str
    tally: Tally
    counters: dict[str, int]
    """The feed's own: frames, gaps, faults and so on."""
    books: tuple[BookEnd, ...]
    remarks: tuple[str, ...] = ()
    """What the captures lack, in sentences."""


class VenueReplay:
    """One venue's captures and the feed they go into. No socket, no sleep."""

    def __init__(
        self,
        feed: _core.Feed,
        venue: Venue,
        instruments: Sequence[Instrument],
        found: Scan,
        wire_ids: Mapping[str, int],
    ) -> None:
        """Defines `instruments` on the feed under their `wire_ids`, by native symbol."""
        self.feed = feed
        self.venue = venue
        self.tally = Tally()
        self.instruments = tuple(instruments)
        self._found = found
        self._first_ns = self._recv_ns = found.first_ns or UNTIMED_STEP_NS
        with_book = found.with_book
        self._indices = {
            each.native_symbol: feed.add_instrument(
                **to_core_kwargs(each, wire_ids[each.native_symbol]),
                has_book=each.native_symbol in with_book,
                recv_ns=self._first_ns,
            )
            for each in instruments
        }
        self._bookless = [index for native, index in self._indices.items() if native not in with_book]
        self.feed.connected(self._bookless, self._first_ns)

    def take(self, line: CaptureLine, *, more: bool = False) -> None:
        """Hands one line to the core. `more`: a message follows that may leave with it, as if one
        socket read had brought both.
        """
        text = message_text(line)
        if line.kind == "recv":
            if self._found.passed_over and text is not None and self._is_foreign(text):
                self.tally.passed_over += 1
                return
            data = line.data
            self._recv_ns = self._time_of(line, data)
            bits = self.feed.on_frame(CONNECTION, data, self._recv_ns, more)
            self.tally.messages += 1
            if bits & _core.FOR_PYTHON:
                self._control(data)
        elif line.kind == "http" and text is not None and self.venue.is_snapshot(line.url, text):
            symbol = self._found.book_symbol(self.venue, line)
            index = None if symbol is None else self._indices.get(symbol)
            if index is None:
                self.tally.skipped += 1
                return
            data = text.encode()
            self._recv_ns = self._time_of(line, data)
            bits = self.feed.on_snapshot(index, data, self._recv_ns)
            self.tally.snapshots += 1
        else:
            self.tally.skipped += 1
            return
        if bits & _core.NOTICES:
            self.note()

    def note(self) -> None:
        """Counts the core's notices. A replay cannot fetch a book: the next one of the capture must do."""
        for kind, *_ in self.feed.notices():
            self.tally.notices[kind] = self.tally.notices.get(kind, 0) + 1

    def restart(self) -> None:
        """Before the captures start again: books are stale until their REST books come again."""
        self._recv_ns = self._first_ns
        self.feed.disconnected(list(self._indices.values()), self._recv_ns)
        self.feed.restart_connection(CONNECTION)
        self.feed.connected(self._bookless, self._recv_ns)
        self.note()

    def summary(self) -> VenueSummary:
        """What happened so far."""
        self.note()
        return VenueSummary(
            self.venue.name,
            self.tally,
            self.feed.counters(),
            tuple(map(self._book_end, self.instruments)),
            tuple(self._found.remarks()),
        )

    def _book_end(self, instrument: Instrument) -> BookEnd:
        feed, index = self.feed, self._indices[instrument.native_symbol]
        bids, asks = feed.book(index)
        state = feed.state(index)
        bookless = state != "LIVE" and instrument.native_symbol not in self._found.books
        return BookEnd(
            instrument.full_symbol,
            state,
            len(bids),
            len(asks),
            feed.source_seq(index),
            feed.book_hash(index),
            WITHOUT_BEGINNING if bookless else "",
        )

    def _time_of(self, line: CaptureLine, data: bytes) -> int:
        """Receive time as recorded, else the exchange's own (docs/wire-format.md, flag REPLAY), else 10 ms
        later.
        """
        if line.time_ns is not None:
            return line.time_ns
        return self.venue.exchange_time_ns(data) or self._recv_ns + UNTIMED_STEP_NS

    def _is_foreign(self, text: str) -> bool:
        stream = self.venue.stream_of(text)
        return stream is not None and self.venue.native_symbol_of(stream) in self._found.passed_over

    def _control(self, data: bytes) -> None:
        message = self.venue.control(data)
        for each in message.controls if isinstance(message, Several) else (message,):
            self._one_control(each)

    def _one_control(self, message: Control) -> None:
        name = type(message).__name__
        self.tally.control[name] = self.tally.control.get(name, 0) + 1
        if isinstance(message, InstrumentStatus):
            index = self._indices.get(message.native_symbol)
            if index is not None:
                self.feed.set_trading_status(index, message.status, self._recv_ns)


def open_feed(
    publisher: _core.Publisher,
    venue: Venue,
    *,
    session: int,
    publisher_id: int,
    first_ns: int | None,
    instruments: Sequence[int] = (),
    infer_orders: bool = False,
) -> _core.Feed:
    """A feed whose frames are flagged REPLAY, on the venue's own channel. `instruments` are the wire ids that
    will be added at once; `infer_orders`: orders of the books, too.
    """
    return _core.Feed(
        publisher,
        venue=venue.number,
        channel=venue.number,
        session=session,
        publisher_id=publisher_id,
        shapes=venue.shapes_json,
        build=f"outcrier {_core.__version__}",
        instruments=instruments,
        replay=True,
        start_ns=first_ns or UNTIMED_STEP_NS,
        infer_orders=infer_orders,
    )
