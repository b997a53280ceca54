"""One thing that happened, as an immutable struct: what `async for event in sub` gives.

    Event
    ├── BookDelta, BookSnapshot      levels that changed; a whole book (or a part of it)
    ├── Trade, Liquidation           one record each
    ├── OrderChange, OrderSnapshot   one change of an order; all orders of a book (or a part of them)
    ├── Bbo, Ticker, Candle, DerivState
    ├── Definition, Status, Connection
    └── StateChange, Lost            what the receiver itself found out

Prices and quantities are `Decimal` or `float` as the subscriber was told; times are nanoseconds since the
epoch, UTC; what the venue did not give is None. `msgspec.json.encode(event)` writes an event as JSON with its
kind under `type`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from outcrier.prices import Number
from outcrier.views import Instrument, Level, State

_FLAGS: Final = (
    (1 << 2, "no_exchange_ts"),
    (1 << 3, "no_source_seq"),
    (1 << 4, "source_gap"),
    (1 << 5, "reset"),
    (1 << 6, "conflated"),
    (1 << 7, "replay"),
    (1 << 8, "test"),
    (1 << 9, "clock_bad"),
    (1 << 10, "crossed"),
    (1 << 11, "suspect"),
)


class _FlagNames(dict[int, tuple[str, ...]]):
    # A feed has a handful of combinations; one tuple each.
    def __missing__(self, flags: int) -> tuple[str, ...]:
        names = self[flags] = tuple(name for bit, name in _FLAGS if flags & bit)
        return names


flag_names: Final[Callable[[int], tuple[str, ...]]] = _FlagNames().__getitem__
"""Names of the flags of a frame that tell a consumer something: replay, test, crossed, suspect ..."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", gc=False):
    """What every event tells."""

    symbol: str
    """`SYMBOL@venue`; empty where the event is not about one instrument."""
    venue: str
    exchange_ts: int
    """Exchange time; a copy of `recv_ts` where `flags` has no_exchange_ts."""
    recv_ts: int
    """When the exchange's bytes reached the publisher."""
    state: State
    """State of the instrument's book after the event; LIVE where there is no instrument."""
    flags: tuple[str, ...] = ()
    """Names of the flags of the frame, such as replay, test, crossed, suspect."""
    instr_seq: int = 0
    """Number of the frame within the instrument; 0 where there is none."""
    source_seq: int = 0
    """Last exchange id covered; 0 where the venue has none."""

    @property
    def replay(self) -> bool:
        """Recorded data: never trade on it."""
        return "replay" in self.flags

    @property
    def test(self) -> bool:
        """Data that does not come from the venue itself: never trade on it."""
        return "test" in self.flags


class BookDelta(Event, frozen=True, kw_only=True, tag="book_delta"):
    """Levels that changed; quantities are absolute, 0 removes the level."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    complete: bool
    """False while frames of the same exchange event are still to come: act on the book when it is True."""


class BookSnapshot(Event, frozen=True, kw_only=True, tag="book_snapshot"):
    """A whole book, or fragment `fragment` (from 0) of `fragments`; the first replaces what was known."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    fragment: int
    fragments: int
    complete: bool
    """True at the last fragment."""


class OrderChange(Event, frozen=True, kw_only=True, tag="order_change"):
    """One change of a single order."""

    op: str
    """One of `outcrier.layout.ORDER_OPERATIONS`; the number of one that this version does not know."""
    order_id: int
    """The publisher's own number where the venue's is a text."""
    side: str
    """`bid` or `ask`; empty where it is not told, as of all orders that are cleared."""
    price: Number
    """After an add, a modify or a replace the new one."""
    qty: Number
    """What is left after an add, a modify or a replace; what was executed by an execute."""
    ref_id: int
    """Of an execute the trade's id, of a replace the new order's; 0 none."""
    priority: int
    """The venue's key in the queue, lower is nearer to the front; 0 none."""
    inferred: bool
    """The venue does not tell of the order."""
    confidence: float
    """How sure that is: 1 for what the venue tells."""
    complete: bool
    """False while changes of the same exchange event are still to come: act on the orders when it is True."""


class Order(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One order of a book."""

    order_id: int
    price: Number
    qty: Number
    """What is left of it."""
    priority: int
    """As in `OrderChange`."""
    order_ts: int
    """When it took its place; 0 unknown."""
    inferred: bool
    confidence: float


class OrderSnapshot(Event, frozen=True, kw_only=True, tag="order_snapshot"):
    """All orders of a book, or fragment `fragment` (from 0) of `fragments`; the first replaces what was
    known. The best level of a side comes first, and within a level the order in front.
    """

    bids: tuple[Order, ...]
    asks: tuple[Order, ...]
    fragment: int
    fragments: int
    complete: bool
    """True at the last fragment."""


class Trade(Event, frozen=True, kw_only=True, tag="trade"):
    """One trade, or several fills that the venue reports as one."""

    price: Number
    qty: Number
    trade_id: int
    """Numeric id, or the XXH3-64 hash of the id text where `trade_flags` has id_is_hash."""
    trade_ts: int
    aggressor: str
    """Who took: `buy`, `sell` or `unknown`."""
    trade_flags: tuple[str, ...]
    """id_is_hash, block, liquidation, auction, correction, cancel, off_book."""
    n_fills: int
    """Fills folded into this record."""


class Liquidation(Event, frozen=True, kw_only=True, tag="liquidation"):
    """A forced order; fields as in `Trade`."""

    price: Number
    qty: Number
    trade_id: int
    trade_ts: int
    aggressor: str
    trade_flags: tuple[str, ...]
    n_fills: int


class Bbo(Event, frozen=True, kw_only=True, tag="bbo"):
    """Best bid and ask as the venue's own stream tells; None where a side is empty."""

    bid: Level | None
    ask: Level | None


class Ticker(Event, frozen=True, kw_only=True, tag="ticker"):
    """The last 24 hours."""

    last: Number | None
    open: Number | None
    high: Number | None
    low: Number | None
    volume: float | None
    """Base units."""
    turnover: float | None
    """Quote units."""
    trade_count: int
    """0 not given."""
    window_ns: int


class Candle(Event, frozen=True, kw_only=True, tag="candle"):
    """One interval; sent again while it grows."""

    open_ts: int
    interval_s: int
    closed: bool
    """The interval is over."""
    open: Number | None
    high: Number | None
    low: Number | None
    close: Number | None
    volume: float | None
    turnover: float | None
    trade_count: int


class DerivState(Event, frozen=True, kw_only=True, tag="deriv"):
    """Mark price, funding, open interest; None = not told by this message, so unchanged."""

    mark: Number | None
    index: Number | None
    settle: Number | None
    funding_rate: Number | None
    """Per funding interval, as a fraction: 0.0001 is 0.01 %."""
    next_rate: Number | None
    next_funding_ts: int | None
    funding_interval_s: int | None
    open_interest: float | None
    """Contracts."""
    oi_value: float | None
    """Quote units."""


class Status(Event, frozen=True, kw_only=True, tag="status"):
    """The publisher's word on a channel, venue, instrument or connection."""

    scope: str
    status: str
    """One of `outcrier.views.STATUSES`."""
    reason: str
    since_ts: int
    expected: int
    """Of a gap: the exchange id expected; 0 otherwise."""
    got: int
    text: str
    conn_id: int


class Connection(Event, frozen=True, kw_only=True, tag="connection"):
    """Connections of the feeder to the venue; sums since its start."""

    conn_id: int
    """0 = the whole venue."""
    connected: int
    disconnected: int
    reconnects: int
    messages: int
    bytes: int
    subscriptions: int
    silence_ms: int
    """Since the last message."""
    expected_ms: int
    """Longest silence expected."""


class Definition(Event, frozen=True, kw_only=True, tag="definition"):
    """An instrument was defined, or its definition changed."""

    instrument: Instrument | None
    """None if the definition was replaced before it was read."""


class StateChange(Event, frozen=True, kw_only=True, tag="state_change"):
    """The state of a book changed; `state` is the new one."""

    reason: str
    """Why it is not LIVE; `none` where it is."""
    trading: str
    """Trading status, one of `outcrier.views.TRADING`."""


class Lost(Event, frozen=True, kw_only=True, tag="lost"):
    """Events that will never come: those of one instrument were jumped over by a snapshot, which made its
    book whole; or, with an empty `symbol`, events of all instruments were dropped because nobody took them in
    time."""

    count: int
    """How many, at least."""
    first: int
    """Number of the first lost within the instrument."""
