"""Events as plain values, and how to read numbers and times of messages without the core."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

Level = tuple[Decimal, Decimal]
BUY, SELL = 1, 2
BLOCK, LIQUIDATION = 2, 4


class Book(NamedTuple):
    symbol: str
    time: int | None
    snapshot: bool
    bids: list[Level]
    asks: list[Level]
    last: int | None = None
    prev: int | None = None
    checksum: int | None = None
    marks: Sequence[tuple[int, int, int]] = ()
    """Bids, then asks: id, decimals of price and of quantity as printed."""
    first: int | None = None
    """First id that it covers; None = `last` alone."""


class Trade(NamedTuple):
    """`id` as sent; of a text that is no number, its hash."""

    symbol: str
    time: int | None
    price: Decimal
    qty: Decimal
    aggressor: int
    id: str
    flags: int = 0
    fills: int = 1
    last: int | None = None


class Bbo(NamedTuple):
    symbol: str
    time: int | None
    bid: tuple[Decimal, Decimal, int] | None
    ask: tuple[Decimal, Decimal, int] | None
    last: int | None = None


class Ticker(NamedTuple):
    symbol: str
    time: int | None
    prices: tuple[Decimal | None, ...]
    """Last, open, high, low."""
    volume: float | None
    turnover: float | None
    last: int | None = None


class Candle(NamedTuple):
    symbol: str
    time: int | None
    open_time: int
    seconds: int
    closed: bool
    prices: tuple[Decimal, ...]
    """Open, high, low, close."""
    volume: float | None
    turnover: float | None = None
    trades: int = 0


class Deriv(NamedTuple):
    symbol: str
    time: int | None
    fields: dict[str, Decimal | float | int]


class Trading(NamedTuple):
    """Trading status, in the numbers of STATUS.state."""

    symbol: str
    time: int | None
    state: int


class Order(NamedTuple):
    """A row of an order message: `key` is the number of its id, a text of 6 bits a character."""

    verb: str
    key: int
    is_bid: bool
    price: Decimal | None
    qty: Decimal | None
    time: int | None = None
    trade_id: int = 0
    decimals: tuple[int, int] = (0, 0)
    """Of price and quantity as printed, where there is a checksum over them."""


class Orders(NamedTuple):
    symbol: str
    time: int | None
    snapshot: bool
    rows: tuple[Order, ...]
    last: int | None = None
    checksum: int | None = None


_ID_LETTERS = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def text_key(text: str) -> int:
    key = 0
    for letter in text:
        key = key * 64 + _ID_LETTERS.index(letter) + 1
    return key


def uuid_key(text: str) -> int:
    return int(text.replace("-", ""), 16)


Event = Book | Trade | Bbo | Ticker | Candle | Deriv | Trading | Orders
Plain = Callable[[Any], list[Event] | None]


def parse(text: bytes | str) -> Any:
    """Every number with a point or an exponent as it is printed."""
    return json.loads(text, parse_float=Decimal)


def ms(value: Any) -> int | None:
    number = Decimal(value or 0)
    return int(number * 1_000_000) or None


def rfc3339(text: str | None) -> int | None:
    if text is None:
        return None
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    whole = int(datetime.fromisoformat(seconds).replace(tzinfo=UTC).timestamp())
    time = whole * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)
    return time if time > 0 else None


def number(value: Any) -> Decimal | None:
    return None if value is None or value == "" else Decimal(value)


def real(value: Any) -> float | None:
    return None if value is None or value == "" else float(value)


def pairs(rows: Any) -> list[Level]:
    return [(Decimal(row[0]), Decimal(row[1])) for row in rows]


def decimals(value: Any) -> int:
    if value is None:
        return 0
    return len(str(value).partition(".")[2]) if isinstance(value, str) else -as_decimal(value)


def as_decimal(value: Any) -> int:
    exponent = Decimal(value).as_tuple().exponent
    assert isinstance(exponent, int)
    return min(exponent, 0)


def prices(row: Any, *names: Any) -> tuple[Decimal | None, ...]:
    return tuple(None if name is None else number(row.get(name)) for name in names)


def best(price: Any, qty: Any, orders: Any = 0) -> tuple[Decimal, Decimal, int] | None:
    at, size = number(price), number(qty) or Decimal(0)
    return None if at is None or at == size == 0 else (at, size, int(orders))


def given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def words(side: str, buy: str, sell: str) -> int:
    return {buy: BUY, sell: SELL}[side]


# The first 64 bytes of the default secret of XXH3 (xxhash specification 0.2.0).
XXH3_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
)
PRIME64_1 = 0x9E37_79B1_85EB_CA87
MASK64 = (1 << 64) - 1


def xxh3_64(text: str) -> int:
    """XXH3-64, seed 0, of 9 to 16 and of 33 to 64 bytes: the branches of the specification, as far as
    needed.
    """
    data = text.encode()
    end = len(data)
    assert 9 <= end <= 16 or 32 < end <= 64

    def word(source: bytes, at: int) -> int:
        return int.from_bytes(source[at : at + 8], "little")

    def mix(low: int, high: int) -> int:
        return (low * high & MASK64) ^ (low * high >> 64)

    def lane(at: int, secret_at: int) -> int:
        pair = ((at + step, secret_at + step) for step in (0, 8))
        return mix(*(word(data, one) ^ word(XXH3_SECRET, other) for one, other in pair))

    if end <= 16:
        low = word(data, 0) ^ word(XXH3_SECRET, 24) ^ word(XXH3_SECRET, 32)
        high = word(data, end - 8) ^ word(XXH3_SECRET, 40) ^ word(XXH3_SECRET, 48)
        total = end + int.from_bytes(low.to_bytes(8, "little"), "big") + high + mix(low, high)
    else:
        total = end * PRIME64_1 + lane(16, 32) + lane(end - 32, 48) + lane(0, 0) + lane(end - 16, 16)
    total &= MASK64
    total = (total ^ (total >> 37)) * 0x1656_6791_9E37_79F9 & MASK64
    return total ^ (total >> 32)


def hashed(events: list[Event]) -> list[Event]:
    """Ids that are no numbers as the core keeps them."""

    def one(event: Event) -> Event:
        if isinstance(event, Trade) and event.id and not event.id.isdigit():
            return event._replace(id=f"xxh3:{xxh3_64(event.id)}")
        return event

    return [one(event) for event in events]


def lines(path: Path, kind: str) -> Iterator[bytes]:
    """The messages of a kind in a capture, as they came."""
    with gzip.open(path, "rt", encoding="utf-8") as capture:
        for line in capture:
            record = json.loads(line)
            if record["k"] == kind:
                yield record["d"].encode() if "d" in record else base64.b64decode(record["b"])


def received(path: Path) -> Iterator[bytes]:
    """The messages that came over the connection."""
    return lines(path, "recv")
