"""Kraken spot v1's book messages as declarations, a dialect for recordings: v1 still answers, but is frozen.

A frame is an array that ends with channel and pair. Asks and bids that change at once come as two objects of
one frame, the second of which has the checksum; a snapshot has none. Numbers are text, and pairs are written
with XBT.
"""

from __future__ import annotations

from typing import Final

from outcrier.shape_json import to_json
from outcrier.shapes import PRESENT, AnyShape, Checksum, NoSequence, Shape, payload

DEPTHS: Final = (10, 25, 100, 500, 1000)
"""Levels a side, which the channel is named after. Levels pushed out of it are not removed by a message."""


def _book(depth: int) -> tuple[Shape, Shape]:
    """Rows are [price, quantity, time], and "r" behind those of levels that come again from below the
    depth.
    """
    channel = f"book-{depth}"
    snapshot = Shape(
        name=f"book_{depth}_snapshot",
        when={-2: channel, (1, "as"): PRESENT},
        instrument=payload(-1),
        sequence=NoSequence(splice="in_stream"),
        bids=(1, "bs"),
        asks=(1, "as"),
        snapshot=True,
        depth=depth,
    )
    update = Shape(
        name=f"book_{depth}",
        when={-2: channel},
        instrument=payload(-1),
        sequence=NoSequence(splice="in_stream"),
        beside=(1, 2),
        bids="b",
        asks="a",
        depth=depth,
        checksum=Checksum("c", "kraken"),
    )
    return snapshot, update


SHAPES: Final[tuple[AnyShape, ...]] = tuple(shape for depth in DEPTHS for shape in _book(depth))
SHAPES_JSON: Final = to_json(SHAPES)
