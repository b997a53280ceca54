"""The files of orders that the order book is measured with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import pytest

from outcrier.order_files import OrderFile, read_bitstamp, read_dbn, read_lobster

_GOOG: Final = "lobster/GOOG_2012-06-21_34200000_57600000"
_AAPL: Final = "lobster/AAPL_2012-06-21_34200000_57600000"

SETS: Final[Mapping[str, Callable[[Path], OrderFile]]] = {
    "ES 2023": lambda l3: read_dbn(l3 / "cme/ESH4_2023-12-25.mbo.dbn.zst", tick=250_000_000),
    "GOOG 2012": lambda l3: read_lobster(
        l3 / f"{_GOOG}_message_10.csv.gz", l3 / f"{_GOOG}_orderbook_10.csv.gz"
    ),
    "AAPL 2012, 50 levels": lambda l3: read_lobster(
        l3 / "lobster/AAPL_2012-06-21_34200000_37800000_message_50.csv.gz",
        opening=l3 / "lobster/AAPL_2012-06-21_first_998_rows_orderbook_10.csv.gz",
    ),
    "AAPL 2012, best level": lambda l3: read_lobster(
        l3 / f"{_AAPL}_message_1.csv.gz", l3 / f"{_AAPL}_orderbook_1.csv.gz"
    ),
    "Bitstamp 2015": lambda l3: read_bitstamp(l3 / "bitstamp/btcusd_2015-05-01.log.gz"),
}


@lru_cache(maxsize=1)
def order_set(data_dir: Path, name: str) -> OrderFile:
    """One of `SETS`; skips where the recordings are missing."""
    folder = data_dir / "l3"
    if not folder.is_dir():
        pytest.skip(f"recordings are missing: {folder}")
    return SETS[name](folder)
