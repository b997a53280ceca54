"""Declarations of a venue's hot messages, which the native core executes without making Python objects.

A venue file lists shapes; `outcrier.shape_json.to_json` hands them to the core, which compiles them once into
a scanner. A shape says which frames it takes (`when`), about which instrument they are, and where time, ids,
levels or fields stand::

    DEPTH = Shape(
        name="depth",
        when={"e": "depthUpdate"},
        instrument="s",
        exchange_time=("T", "ms"),
        sequence=Chain(first="U", last="u", prev="pu"),
        bids="b",
        asks="a",
        level=("price", "qty"),
    )
    text = to_json([DEPTH], envelope=Envelope("data", optional=True))

Places. A key, an array position (negative: from the end) or a tuple of both is looked up in the innermost
repeated element of the shape, or in the payload where nothing repeats. `payload(...)`, `frame(...)` and
`element(...)` look elsewhere: in the payload, in the whole frame with its envelope, in the element of the
outer repeat. Conditions of `when` start at the payload.

The first shape whose conditions hold takes the frame. A frame that no shape takes goes to Python. Nothing
here touches a number: prices and quantities are read by the core, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from outcrier.instruments import BOOK_PROOF_CHECKSUM, BOOK_PROOF_SEQUENCE

Key: TypeAlias = str | int
Path: TypeAlias = Key | tuple[Key, ...]
Unit: TypeAlias = Literal["s", "ms", "us", "ns", "magnitude", "rfc3339", "text"]
Splice: TypeAlias = Literal["range", "chain", "in_stream", "none"]


# Places


@dataclass(frozen=True, slots=True)
class Place:
    """A path with the thing it starts from; made by `frame`, `payload` and `element`."""

    scope: Literal["frame", "payload", "element", "here"]
    path: tuple[Key, ...]


Where: TypeAlias = Path | Place

ANY: Final = "*"
"""In a path of `known`: every element of an array."""


def frame(*keys: Key) -> Place:
    """A place in the whole frame, envelope included: `frame("stream")`."""
    return Place("frame", keys)


def payload(*keys: Key) -> Place:
    """A place in the payload, for shapes whose bare paths start at a repeated element:
    `payload("action")`.
    """
    return Place("payload", keys)


def element(*keys: Key) -> Place:
    """A place in the element of `each`, for shapes that also have `inner`: `element("product_id")`."""
    return Place("element", keys)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Where the payload lies in a frame.

    `optional` takes frames without envelope too: Binance sends `{"stream": .., "data": {..}}` on combined
    streams and the bare payload on raw ones. Then a key of the payload must not also stand beside the payload
    (the core faults such a frame).
    """

    payload: Path
    optional: bool = False
    known: tuple[Path, ...] = ()
    """What stands beside the payload and is not used."""


# Conditions


@dataclass(frozen=True, slots=True)
class Prefix:
    """The value is text that begins so."""

    text: str


@dataclass(frozen=True, slots=True)
class Suffix:
    """The value is text that ends so."""

    text: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is one of these (text, int, bool or None); a list means the same."""

    values: tuple[str | int | bool | None, ...]


@dataclass(frozen=True, slots=True)
class Differs:
    """The value is there and is none of these; an absent one does not hold."""

    values: tuple[str | int | bool | None, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """The value is present, absent, or of a kind. Use the constants below."""

    kind: Literal["present", "absent", "text", "number", "array", "array_of_arrays", "object"]


PRESENT = Kind("present")
ABSENT = Kind("absent")
IS_TEXT = Kind("text")
IS_NUMBER = Kind("number")
IS_ARRAY = Kind("array")
"""An array whose first element is no array (an empty array too)."""
IS_ARRAY_OF_ARRAYS = Kind("array_of_arrays")
IS_OBJECT = Kind("object")

Test: TypeAlias = (
    str | int | bool | list[str | int | bool | None] | OneOf | Differs | Prefix | Suffix | Kind | None
)
Tests: TypeAlias = Mapping[Where, Test]
"""All must hold. A number is compared as it is printed, text as it reads after escapes."""


# Instrument and time


@dataclass(frozen=True, slots=True)
class Symbol:
    """The instrument's text as the venue's frames print it.

    `split` cuts the text and `part` (negative: from the end) takes one piece: `Symbol(frame("stream"),
    split="@", part=0, case="upper")` makes BTCUSDT of `btcusdt@depth20`. Case mapping is ASCII only.
    """

    at: Where
    split: str | None = None
    part: int = 0
    case: Literal["keep", "upper", "lower"] = "keep"


@dataclass(frozen=True, slots=True)
class Bound:
    """A number of this connection that Python bound to an instrument: Bitfinex `chanId`.

    With `channel`, the shape takes only numbers bound to that channel, where frames do not tell what they
    are: trades and books of Bitfinex are both arrays of numbers. A number that nobody bound is an unknown
    instrument.
    """

    at: Where
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Time:
    """A time of the exchange; the core makes nanoseconds since the epoch, UTC.

    `s`, `ms`, `us`, `ns`: a number, as JSON number or text, fractions allowed (cut below 1 ns). `magnitude`:
    a number whose size tells the unit (ms until 2286 below 10^13, then us, then ns). `rfc3339`:
    `2026-08-09T21:05:48.228568804Z` or with an offset. `text`: `2026-05-07 20:56:17.158984`, in the zone
    `zone_s` seconds east of UTC. 0, an empty text and times before 1970 mean that the venue gave none.
    """

    at: Where
    unit: Unit
    zone_s: int = 0


TimeAt: TypeAlias = Time | tuple[Where, Unit]


# Sequence: how an update follows another, and how a snapshot joins


@dataclass(frozen=True, slots=True)
class Range:
    """Each event covers ids `first`..`last`; the next one's `first` is at most `last` + 1 (Binance spot,
    KuCoin, Gate.io).

    `splice` "range": a REST snapshot with id L joins an event with first <= L + 1 <= last; earlier ones are
    dropped. "in_stream": the snapshot is a message of the stream and restarts the ids.
    """

    first: Where
    last: Where
    splice: Splice = "range"


@dataclass(frozen=True, slots=True)
class Chain:
    """Each event names the `last` of the one before in `prev` (Binance futures, OKX, Deribit, Bitget).

    `splice` "chain": a REST snapshot with id L joins an event with first <= L <= last, or one whose prev is
    L.
    """

    last: Where
    prev: Where
    first: Where | None = None
    splice: Splice = "chain"


@dataclass(frozen=True, slots=True)
class PlusOne:
    """Messages of an instrument are numbered one by one (Bybit `u`, Kraken futures `seq`)."""

    at: Where
    splice: Splice = "in_stream"


@dataclass(frozen=True, slots=True)
class ConnectionPlusOne:
    """One number runs over every frame of the connection, heartbeats too; the place is
    `to_json(connection_sequence=...)`.
    """

    splice: Splice = "in_stream"


@dataclass(frozen=True, slots=True)
class NoSequence:
    """The venue numbers nothing. `at` is an id to pass on, for instance of a whole book."""

    at: Where | None = None
    splice: Splice = "none"


@dataclass(frozen=True, slots=True)
class SnapshotId:
    """The update id of a REST snapshot, or of a message that is only compared with the book (bookTicker).
    Negative: none.
    """

    at: Where


Sequence_: TypeAlias = Range | Chain | PlusOne | ConnectionPlusOne | NoSequence | SnapshotId


# Fields


@dataclass(frozen=True, slots=True)
class SideWords:
    """Words that name the side of a level, or the aggressor of a trade (bid = bought, ask = sold)."""

    bid: tuple[str, ...]
    ask: tuple[str, ...]


BY_SIGN: Literal["sign"] = "sign"
"""The sign of the quantity tells the side: positive is bid, or bought."""


@dataclass(frozen=True, slots=True)
class Aggressor:
    """Who took, by word. `maker` says that the venue names the resting side (Coinbase): inverted. Another
    word: unknown.
    """

    at: Where
    words: SideWords
    maker: bool = False


@dataclass(frozen=True, slots=True)
class AggressorFlag:
    """Who took, by test: it holds = `then`, the place is there but it fails = the other (Binance `m`: true
    = sell).
    """

    at: Where
    test: Test
    then: Literal["buy", "sell"]


TRADE_BLOCK = 2
TRADE_LIQUIDATION = 4
TRADE_AUCTION = 8
TRADE_OFF_BOOK = 64


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum of the venue over its book after the message: where one is given and differs, the book is
    stale with that message. All are over the text as sent, so each level keeps its decimals.

    `algorithm`: how it is made, by the first venue that did; `rust_core/core/src/checksum.rs` has the rules.
    "okx" is signed and over 25 levels a side, its 0 means none; "kraken" is unsigned and over 10. A message
    without a value at `at` is not checked.
    """

    at: Where
    algorithm: Literal["okx", "kraken"]


@dataclass(frozen=True, slots=True)
class IntervalWords:
    """Length of a candle by word, in seconds: `IntervalWords(("k", "i"), {"1m": 60})`; `split` and `part`
    as in `Symbol`.
    """

    at: Where
    seconds: Mapping[str, int]
    split: str | None = None
    part: int = 0


# Shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseShape:
    """What all shapes have.

    `each` is an array of events and `inner` an array in each of them; `each=()` means the payload is the
    array. `beside` are places of several objects of the payload which are one event (Kraken v1 sends asks and
    bids as two objects). `rest` is the answer to a request about an instrument that the caller knows; it
    needs no `instrument`.

    `known` are places that the venue documents and nothing here uses, with all that is below them. Whatever
    else stands in a frame is counted as schema drift under `name.key` (`_core.Feed.drift`), and a place that
    is read and was always there under `name.-key` once it is gone.

    The first shape whose conditions hold takes a frame, and after it those that follow it with `also` and
    whose conditions hold: tickers often carry statistics, best prices and the state of a derivative at once,
    a match is a trade and the execution of an order. Neither may be a book.
    """

    name: str
    when: Tests = field(default_factory=dict)
    instrument: Where | Symbol | Bound | None = None
    exchange_time: TimeAt | None = None
    sequence: Sequence_ = NoSequence()
    each: Where | None = None
    inner: Path | None = None
    beside: tuple[Path, ...] = ()
    rest: bool = False
    also: bool = False
    known: tuple[Where, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape(BaseShape):
    """A message about the levels of a book. Quantities are absolute, 0 deletes.

    Sides: `bids` and `asks` are arrays; or `levels` is one array, or a mapping of arrays to "set" or "remove"
    (Bybit v2 `delete`, `update`, `insert`), whose rows tell the side: `side=SideWords(..)` with a field
    "side", `side=BY_SIGN`, or rows with both sides ("bid_price", "bid_qty", "ask_price", "ask_qty"). `one`:
    the place holds one level, no array of them.

    All declared lists must be in every message, those without levels as empty arrays: one that is absent or
    null is a fault, and the book is asked for anew. Otherwise a venue that renames one side would leave that
    side standing in a book that looks live. `omits_empty` is for venues that leave out lists without levels
    (Kraken v1, Gate.io, dYdX): one of several lists is enough then, and it is a fault if another is absent
    while an unknown key beside it holds rows like those of the lists.

    Level: names of the positions of an array ("_" skips one), or a mapping of names to places in an object:
    "price", "qty", "side", "count" (0 deletes), "verb" (one of `remove` deletes), "id" (a level without price
    is looked up by id), "sequence" (numbers single levels). More fields are skipped. `packed` is the
    separator of a level written as text.

    `snapshot`: True whole book always, False never, "first_after_bind", or tests; a whole book replaces ours.
    `scaled`: numbers are integers at the instrument's exponents. `depth`: levels a side that the venue keeps;
    further ones are cut after each message and published as deletions with it, and the inferred orders of
    a level that leaves are kept. `ignore_zero_price`: a level with price 0 is none, only its ids count.
    """

    bids: Where | None = None
    asks: Where | None = None
    levels: Where | Mapping[Where, Literal["set", "remove"]] | None = None
    omits_empty: bool = False
    level: tuple[str, ...] | Mapping[str, Path] = ("price", "qty")
    side: SideWords | Literal["sign"] | None = None
    one: bool = False
    packed: str | None = None
    remove: tuple[str, ...] = ()
    snapshot: bool | Literal["first_after_bind"] | Tests = False
    ignore_zero_price: bool = False
    scaled: bool = False
    depth: int | None = None
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeShape(BaseShape):
    """Trades; `qty` by sign with `aggressor=BY_SIGN`.

    `id` numeric or text (text becomes its XXH3-64 hash, flag 1). `fills` are places of the first and last
    fill id that an aggregated trade folds, `n_fills` the place of their count. `flags` gives trade flags to
    tests which must all hold.
    """

    price: Where
    qty: Where
    time: TimeAt | None = None
    id: Where | None = None
    aggressor: Aggressor | AggressorFlag | Literal["sign"] | None = None
    fills: tuple[Where, Where] | None = None
    n_fills: Where | None = None
    flags: tuple[tuple[int, Tests], ...] = ()
    scaled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidationShape(TradeShape):
    """Forced orders: fields as trades, `aggressor` is the side of the forced order (SELL: a long was
    closed).
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class BboShape(BaseShape):
    """Best bid and ask. A side that is absent, null, empty text, or 0 at price 0 has no order."""

    bid_price: Where
    bid_qty: Where
    ask_price: Where
    ask_qty: Where
    bid_orders: Where | None = None
    ask_orders: Where | None = None
    scaled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TickerShape(BaseShape):
    """Statistics of a window, 24 hours unless said. `volume` in base units, `turnover` in quote units. An
    absent, null or empty field is not given; where none is, there is no event.
    """

    last: Where | None = None
    open: Where | None = None
    high: Where | None = None
    low: Where | None = None
    volume: Where | None = None
    turnover: Where | None = None
    trade_count: Where | None = None
    window_s: int = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleShape(BaseShape):
    """One candle. `interval` is a number of seconds or words; `closed` are tests that hold when the
    interval is over.
    """

    open_time: TimeAt
    interval: int | IntervalWords
    open: Where
    high: Where
    low: Where
    close: Where
    volume: Where | None = None
    turnover: Where | None = None
    trade_count: Where | None = None
    closed: Tests | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivShape(BaseShape):
    """State of a derivative. An absent, null or empty field is not given: it stays what it was. Where
    none is, there is no event.

    Rates are fractions per funding interval, rounded to the 12 decimals of the wire. `funding_interval` is a
    place and the seconds of one of its units.
    """

    mark: Where | None = None
    index: Where | None = None
    settle: Where | None = None
    funding_rate: Where | None = None
    next_rate: Where | None = None
    next_funding: TimeAt | None = None
    funding_interval: tuple[Where, int] | None = None
    open_interest: Where | None = None
    oi_value: Where | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingShape(BaseShape):
    """Trading status, published where it changes. `states` gives a status (`outcrier.instruments.Trading`) to
    tests which must all hold: the first that do tell it, and where none do the message tells nothing.
    """

    states: tuple[tuple[int, Tests], ...]


OrderVerb: TypeAlias = Literal["add", "modify", "delete", "execute", "pass"]
"""What a row says of its order: it is new; so much is left of it, or it has another price; it is gone; so
much of it traded; nothing, but a number of the sequence is taken.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersShape(BaseShape):
    """A message about single orders (L3): all of them, or changes.

    `bids` and `asks` are arrays of orders, which must both be there; without them the message is about one
    order. `order` names the places of its fields, in the row or in the message: "id", "price", "qty", "side"
    (with `side`, where there are no lists), "verb" (with words in `verb`), "time" (of the place in the
    queue), "trade_id" (of an execution). Quantities are what is left, of an execution what traded; 0 left is
    the end of an order. A change without price leaves it.

    `id`: "number"; or "uuid" or "text" (letters, digits and hyphens, at most 21), which become numbers of the
    session. Any other id is a fault: two ids are never taken for one order.

    `by_time`: the orders of a level stand by their own times (Kraken). Otherwise a new order stands at the
    back, and a change keeps the place if it leaves price and side and no larger quantity.

    `absent`: verbs that mean nothing for orders which are not on the book (Coinbase tells the end of orders
    that never rested); otherwise such a change does not fit: all orders are forgotten and asked for.
    `snapshot`, `depth` and `checksum` ("kraken" only: over the orders of the best ten levels, each side in
    order of the queues) as in `Shape`, but not "first_after_bind"; `sequence` as there, of the order messages
    alone. All shapes about orders of a venue follow one rule.

    A message that is a trade too is a TradeShape, and an OrdersShape with `also` behind it.
    """

    bids: Where | None = None
    asks: Where | None = None
    order: Mapping[str, Where]
    id: Literal["number", "uuid", "text"] = "number"
    time_unit: Unit = "rfc3339"
    side: SideWords | None = None
    verb: OrderVerb | Mapping[str, OrderVerb]
    snapshot: bool | Tests = False
    by_time: bool = False
    absent: tuple[OrderVerb, ...] = ()
    depth: int | None = None
    checksum: Checksum | None = None


AnyShape: TypeAlias = (
    Shape
    | TradeShape
    | LiquidationShape
    | BboShape
    | TickerShape
    | CandleShape
    | DerivShape
    | TradingShape
    | OrdersShape
)


def book_proof(shapes: Iterable[AnyShape]) -> int:
    """What proves the books of streams declared so: bits of INSTRUMENT_DEF.book_proof, 0 = nothing does.

    Where a venue has several book channels, give the shapes of the one that the instrument is subscribed to.
    """
    bits = 0
    for shape in shapes:
        if isinstance(shape, Shape) and not shape.rest:
            if isinstance(shape.sequence, Range | Chain | PlusOne | ConnectionPlusOne):
                bits |= BOOK_PROOF_SEQUENCE
            if shape.checksum is not None:
                bits |= BOOK_PROOF_CHECKSUM
    return bits
