"""Okcoin: OKX's software as it stood in 2023, which is when it was recorded; the exchange has since moved to
OKX's own.
"""

from __future__ import annotations

from typing import Final

import msgspec

from outcrier.venues.base import Channel
from outcrier.venues.okx import LIMITS, Okx
from outcrier.venues.okx_shapes import OKCOIN_SHAPES

OKCOIN: Final = Okx(
    "okcoin",
    ("SPOT",),
    OKCOIN_SHAPES,
    (
        Channel(name="books", group="book", book=True),
        Channel(name="trades"),
        Channel(name="tickers"),
        Channel(name="candle1m"),
    ),
    hosts=("real.okcoin.com", "www.okcoin.com"),
    limits=msgspec.structs.replace(LIMITS, weight_pool="okcoin"),
    captures=("okcoin/spot_2*",),
    instrument_lists=("okcoin/spot_instruments",),
    documentation="2023-05",
    old_dialect="okcoin/spot_2023-05-27: books without numbers, whose checksums prove them",
    business=frozenset(),
)

VENUES: Final = (OKCOIN,)
