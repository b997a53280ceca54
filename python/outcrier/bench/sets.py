"""The recordings of orders by name: of the folder `l3` of the recorded data, whose README tells of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outcrier.bench.found import SECOND_NS
from outcrier.errors import ConfigurationError
from outcrier.order_files import OrderFile, read_bitstamp, read_dbn, read_lobster

_GOOG: Final = "lobster/GOOG_2012-06-21_34200000_57600000"
_AAPL: Final = "lobster/AAPL_2012-06-21_34200000_57600000"


@dataclass(frozen=True)
class OrderSet:
    """One recording."""

    read: Callable[[Path], OrderFile]
    about: str
    lot: int
    """Quantity that a figure in lots counts as one, as a mantissa."""
    starts_s: tuple[int, int]
    """Between test orders, and before the first one, in seconds."""
    begins_ns: int = 0
    """When its market opens; 0 = with its first event."""
    has_aggressors: bool = True
    """Its trades say who took: else no rule sees a trade, and nothing is filled by one."""


SETS: Final[Mapping[str, OrderSet]] = {
    "ES": OrderSet(
        lambda l3: read_dbn(l3 / "cme/ESH4_2023-12-25.mbo.dbn.zst", tick=250_000_000),
        "CME E-mini S&P 500, an hour of 2023-12-25",
        lot=1,
        starts_s=(1, 0),
        begins_ns=1_703_545_200 * SECOND_NS,
    ),
    "GOOG": OrderSet(
        lambda l3: read_lobster(l3 / f"{_GOOG}_message_10.csv.gz", l3 / f"{_GOOG}_orderbook_10.csv.gz"),
        "NASDAQ, 10 levels, the day of 2012-06-21",
        lot=1,
        starts_s=(5, 1),
    ),
    "AAPL-50": OrderSet(
        lambda l3: read_lobster(
            l3 / "lobster/AAPL_2012-06-21_34200000_37800000_message_50.csv.gz",
            opening=l3 / "lobster/AAPL_2012-06-21_first_998_rows_orderbook_10.csv.gz",
        ),
        "NASDAQ, 50 levels, an hour of 2012-06-21",
        lot=1,
        starts_s=(1, 1),
    ),
    "AAPL-1": OrderSet(
        lambda l3: read_lobster(l3 / f"{_AAPL}_message_1.csv.gz", l3 / f"{_AAPL}_orderbook_1.csv.gz"),
        "NASDAQ, best level, the day of 2012-06-21",
        lot=1,
        starts_s=(5, 1),
    ),
    "Bitstamp": OrderSet(
        lambda l3: read_bitstamp(l3 / "bitstamp/btcusd_2015-05-01.log.gz"),
        "BTC/USD, five hours of 2015-05-01",
        lot=100_000_000,
        starts_s=(5, 600),
        has_aggressors=False,
    ),
}


def order_set(name: str) -> OrderSet:
    """The recording of a name. Raises ConfigurationError, with the names that there are."""
    found = SETS.get(name)
    if found is None:
        raise ConfigurationError(f"recording {name!r} of orders: there are {', '.join(SETS)}")
    return found


def starts(chosen: OrderSet, file: OrderFile, before_ns: int, from_s: float = 0) -> range:
    """When test orders join: from so many seconds after the first possible time on, the last one `before_ns`
    before the file ends.
    """
    every, first = (seconds * SECOND_NS for seconds in chosen.starts_s)
    begin = (chosen.begins_ns or int(file.times[0])) + first + int(from_s * SECOND_NS)
    return range(begin, int(file.times[-1]) - before_ns, every)
