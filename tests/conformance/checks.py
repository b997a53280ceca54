"""What is looked at on the way through a recording, one class for each thing."""

from __future__ import annotations

from collections import Counter, deque
from decimal import Decimal
from typing import Any

from conformance.reference import NUMBERS, Means, Reference
from conformance.walk import BOOK_MESSAGES, Step, Walk
from plain_events import BUY, LIQUIDATION, Bbo, Book, Event, Trade

RESET = 32
LIVE = "LIVE"

Side = dict[Decimal, Decimal]
Touched = set[tuple[int, Decimal]]

WHOLE_EVERY = 250
"""Books between two comparisons of everything. Between them, what either side touched is compared, and the
number of levels: books that were equal stay so by that.
"""


class PlainBook:
    """A book of the plain decoder's events. One that comes by REST holds back what comes before it, and drops
    what it holds already.
    """

    def __init__(self, reference: Reference) -> None:
        self.sides: tuple[Side, Side] = ({}, {})
        self.depth = reference.depth
        self.by_rest = reference.rest is not None
        self.chained = Means.CHAIN in reference.means
        self.held: list[Book] | None = [] if self.by_rest else None
        self.is_whole = False
        self.last: int | None = None

    def take(self, event: Book) -> Touched:
        """Applies an event; what it touched. The whole book touches everything."""
        if event.snapshot:
            for side in self.sides:
                side.clear()
            self.is_whole = True
            self.last = event.last
            held, self.held = self.held or [], None
            touched = self._set(event)
            for each in held:
                touched |= self.take(each)
            return touched
        if self.held is not None:
            self.held.append(event)
            return set()
        if not self.is_whole or (self.by_rest and self._is_old(event)):
            return set()
        return self._set(event)

    def _is_old(self, event: Book) -> bool:
        """Spot: u <= lastUpdateId; futures: u < lastUpdateId."""
        assert self.last is not None
        assert event.last is not None
        return event.last < self.last + (not self.chained)

    def _set(self, event: Book) -> Touched:
        touched: Touched = set()
        self.last = event.last if event.last is not None else self.last
        for number, levels in enumerate((event.bids, event.asks)):
            side = self.sides[number]
            for price, qty in levels:
                side.pop(price, None)
                if qty:
                    side[price] = qty
                touched.add((number, price))
            if self.depth and len(side) > self.depth:
                for price in sorted(side, reverse=number == 0)[self.depth :]:
                    del side[price]
                    touched.add((number, price))
        return touched


class Books:
    """The book of the feed, that of a consumer who applies each record of the wire, and that of a receiver
    equal the plain one at every message, while the feed says that they are live; and live they are.
    """

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        reference = walk.recording.reference
        self.plain = {symbol: PlainBook(reference) for symbol in walk.found.with_book}
        self.wire: dict[str, tuple[Side, Side]] = {symbol: ({}, {}) for symbol in self.plain}
        self.was_live: dict[str, bool] = {}
        self.compared: Counter[str] = Counter()

    def take(self, step: Step) -> None:
        touched: dict[str, Touched] = {}
        for event in step.books:
            if event.symbol in self.plain:
                touched.setdefault(event.symbol, set()).update(self.plain[event.symbol].take(event))
        for frame in step.frames:
            if frame["msg"] in BOOK_MESSAGES:
                symbol = self.walk.by_id[frame["instrument"]]
                touched.setdefault(symbol, set()).update(self._apply(symbol, frame))
        for symbol, keys in touched.items():
            self._compare(symbol, keys)

    def _apply(self, symbol: str, frame: dict[str, Any]) -> Touched:
        sides, touched = self.wire[symbol], set[tuple[int, Decimal]]()
        if frame["flags"] & RESET:
            for number, side in enumerate(sides):
                touched |= {(number, price) for price in side}
                side.clear()
        for row_number, row in enumerate(frame["records"]):
            number = int(row_number >= frame["root"]["n_bids"])
            price = Decimal(row["price"]).scaleb(frame["price_exp"])
            sides[number].pop(price, None)
            if row["qty"]:
                sides[number][price] = Decimal(row["qty"]).scaleb(frame["qty_exp"])
            touched.add((number, price))
        return touched

    def _compare(self, symbol: str, touched: Touched) -> None:
        walk = self.walk
        live = walk.state(symbol) == LIVE
        is_first = live and not self.was_live.get(symbol, False)
        self.was_live[symbol] = live
        if not live:
            return
        plain, wire = self.plain[symbol].sides, self.wire[symbol]
        self.compared[symbol] += 1
        index = walk.indices[symbol]
        assert walk.receiver.state(walk.recording.venue.number, index + 1) == LIVE
        info = walk.receiver.book_info(walk.recording.venue.number, index + 1)
        assert info["hash"] == walk.feed.book_hash(index), symbol
        if is_first or self.compared[symbol] % WHOLE_EVERY == 0:
            assert plain == wire == walk.received_book(symbol), symbol
            return
        for number, price in touched:
            assert plain[number].get(price) == wire[number].get(price), (symbol, number, price)
        assert [*map(len, plain)] == [*map(len, wire)] == [info["bids"], info["asks"]], symbol

    def end(self) -> None:
        walk = self.walk
        counters = walk.feed.counters()
        assert counters["gaps"] == counters["went_stale"] == walk.recording.gaps
        for symbol, book in self.plain.items():
            if symbol in walk.found.beginless:
                assert walk.state(symbol) == "RECOVERING"
                continue
            if not walk.recording.gaps:
                assert walk.state(symbol) == LIVE, symbol
                assert book.sides == self.wire[symbol] == walk.received_book(symbol), symbol
            assert self.compared[symbol]


class Numbers:
    """Numbers go on as the manifest states, by the rule of the documentation."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.last: dict[str, int] = {}
        self.connection: int | None = None
        self.seen = self.holes = 0

    def take(self, step: Step) -> None:
        means, reference = self.walk.recording.reference.means, self.walk.recording.reference
        number = reference.connection_number(step.message)
        if number is not None and Means.CONNECTION in means:
            self.holes += self.connection is not None and number != self.connection + 1
            self.connection, self.seen = number, self.seen + 1
        if step.is_rest:
            return
        for event in step.books:
            if event.last is None:
                continue
            before = None if event.snapshot else self.last.get(event.symbol)
            self.last[event.symbol] = event.last
            self.seen += 1
            if before is not None:
                self.holes += not follows(means, before, event)

    def end(self) -> None:
        means = self.walk.recording.reference.means
        has_books = any(symbol in self.last for symbol in self.walk.found.with_book)
        assert bool(self.seen) == (bool(means & NUMBERS) and bool(self.walk.found.with_book)) or has_books
        assert self.holes == self.walk.recording.gaps


def follows(means: frozenset[Means], before: int, event: Book) -> bool:
    """Whether an event is the one after `before`."""
    assert event.last is not None
    if Means.RANGE in means:
        return (event.first or event.last) == before + 1
    if Means.CHAIN in means:
        return event.prev == before
    if Means.PLUS_ONE in means:
        return event.last == before + 1
    return event.last > before


class Checksums:
    """The feed compares every checksum that a message carries, and every one is that of our book."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.told = 0

    def take(self, step: Step) -> None:
        self.told += sum(bool(event.checksum) for event in step.books)

    def end(self) -> None:
        counters = self.walk.feed.counters()
        assert counters["checksum_mismatch"] == 0
        assert counters["checksums_verified"] == self.told
        if Means.CHECKSUM not in self.walk.recording.reference.means:
            assert self.told == 0


class Sides:
    """Trades at or beyond the best ask were bought, those at or below the best bid sold: by the best prices
    that were told `LAG_NS` before, of quotes, else of the book. Prices told just before a trade may be those
    that it left behind.
    """

    LAG_NS = 100_000_000
    AGE_NS = 2_000_000_000
    """Trades that are older when they come are history."""

    def __init__(self, walk: Walk, books: Books) -> None:
        self.walk = walk
        self.books = books
        self.quoted: set[str] = set()
        self.best: dict[str, deque[tuple[int, Decimal, Decimal]]] = {}
        self.agree = self.differ = 0

    def take(self, step: Step) -> None:
        now = step.line.time_ns or 0
        for event in step.events or ():
            if isinstance(event, Bbo):
                self.quoted.add(event.symbol)
                if event.bid is not None and event.ask is not None:
                    self._told(event.symbol, now, event.bid[0], event.ask[0])
            elif isinstance(event, Book) and event.symbol not in self.quoted:
                book = self.books.plain.get(event.symbol)
                if book is not None and book.is_whole and all(book.sides):
                    self._told(event.symbol, now, max(book.sides[0]), min(book.sides[1]))
            elif isinstance(event, Trade) and not event.flags and event.aggressor and now:
                self._trade(event, now)

    def _told(self, symbol: str, now: int, bid: Decimal, ask: Decimal) -> None:
        told = self.best.setdefault(symbol, deque())
        if bid < ask and (not told or told[-1][1:] != (bid, ask)):
            told.append((now, bid, ask))

    def _trade(self, trade: Trade, now: int) -> None:
        if trade.time is None or abs(now - trade.time) > self.AGE_NS:
            return
        told = self.best.get(trade.symbol, deque())
        while len(told) > 1 and told[1][0] <= now - self.LAG_NS:
            told.popleft()
        if not told or told[0][0] > now - self.LAG_NS:
            return
        _, bid, ask = told[0]
        bought = trade.price >= ask
        if bought or trade.price <= bid:
            right = bought == (trade.aggressor == BUY)
            self.agree += right
            self.differ += not right


class Times:
    """The exchange's times are not ahead of receipt, and go back only as far as its rule lets them."""

    AHEAD_NS = 2_000_000_000
    """The clock of one recorder was 1.3 s behind."""
    OLD_NS = 9_000_000_000
    """The core marks what is older than 10 s, by the offset of the first message."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.latest: dict[tuple[str, str], int] = {}
        self.back: Counter[str] = Counter()
        self.ahead_ns = 0
        self.history = 0
        """Trades and changes of books that were old when they came: what venues send first after a
        subscription, and what a recorder got late.
        """

    def take(self, step: Step) -> None:
        kinds: dict[tuple[str, str], int] = {}
        for event in step.events or ():
            if event.time is None or step.is_rest:
                continue
            if isinstance(event, Trade | Book) and (step.line.time_ns or 0) - event.time > self.OLD_NS:
                self.history += 1
            key = event.symbol, "liquidation" if is_liquidation(event) else type(event).__name__
            kinds[key] = max(kinds.get(key, 0), event.time)
        for key, time in kinds.items():
            before = self.latest.get(key, time)
            self.latest[key] = max(time, before)
            self.back[key[1]] = max(self.back[key[1]], before - time)
            if step.line.time_ns is not None:
                self.ahead_ns = max(self.ahead_ns, time - step.line.time_ns)

    def end(self) -> None:
        assert max(self.back.values(), default=0) <= self.walk.recording.reference.back_ns, self.back
        assert self.ahead_ns <= self.AHEAD_NS
        counters = self.walk.feed.counters()
        assert counters["exchange_time_back"] == 0
        assert counters["exchange_time_off"] <= self.history


def is_liquidation(event: Event) -> bool:
    return isinstance(event, Trade) and bool(event.flags & LIQUIDATION)
