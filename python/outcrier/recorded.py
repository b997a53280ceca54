"""Captures as NumPy batches without sockets: the venue's decoder, the wire and the consumer in one process.

    for batch in replay_batches(["captures/binance_usdm/day.jsonl.gz"], types=["trade"]):
        print(batch.trades["price"])

It runs wherever the core builds: nothing is sent, nothing is waited for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from outcrier import _core
from outcrier.batch import Batch, Directory
from outcrier.capture.library import group_by_venue
from outcrier.capture.replay import open_replays
from outcrier.prices import PriceKind, converter
from outcrier.views import symbol_of
from outcrier.wanted import core_symbol, type_numbers, unknown_symbol

FRAMES_A_BATCH: Final = 4096
"""Frames after which a batch is handed out: some 100,000 rows at most, far below what the core keeps."""

_NOW_NS: Final = 1
"""Time stands still: nothing is lost or late in memory, and a consumer that takes its time is no silence."""


def replay_batches(
    captures: Iterable[str | Path],
    *,
    symbols: Sequence[str] | None = None,
    types: Sequence[str] | None = None,
    prices: PriceKind = "decimal",
    venue: str | None = None,
    instruments: str | Path | None = None,
    infer_orders: bool = False,
) -> Iterator[Batch]:
    """The batches that `Subscriber(accept={"replay"}).batches()` gives while `outcrier replay` plays them.

    `symbols`, `types` and `prices` as of `Subscriber`. Captures of one venue are one session; those of
    several venues are merged by their receive times. `venue` and `instruments` name what folder and list
    beside the captures do not tell. `infer_orders`: orders of the books, too (`batch.ops`, `batch.orders`),
    inferred from levels and trades. Rows carry the flag REPLAY and no receive stamp of a kernel (`rx_ts` 0).

    Raises ConfigurationError for what cannot be, and CaptureError, with file and line, for a capture that is
    missing or damaged; batches before that line have been handed out.
    """
    wanted = None if symbols is None else {symbol: core_symbol(symbol) for symbol in symbols}
    receiver = _core.Receiver(
        symbols=None if wanted is None else list(wanted.values()),
        types=type_numbers(types),
        accept_replay=True,
    )
    directory = Directory(receiver.instruments, receiver.channels, converter(prices))
    groups = group_by_venue([Path(capture) for capture in captures], venue)
    publisher = _core.Publisher.memory()
    listed = None if instruments is None else Path(instruments)
    lines = open_replays(publisher, groups, listed, infer_orders=infer_orders)
    frames = _carry(publisher, receiver)
    for symbol, core in (wanted or {}).items():
        if receiver.find(core) is None:
            raise unknown_symbol(symbol, [symbol_of(row) for row in receiver.instruments()])
    for replay, line in lines:
        replay.take(line)
        frames += _carry(publisher, receiver)
        if frames >= FRAMES_A_BATCH:
            frames = 0
            yield Batch(receiver.take(), directory)
    last = Batch(receiver.take(), directory)
    if len(last):
        yield last


def _carry(publisher: _core.Publisher, receiver: _core.Receiver) -> int:
    """From one to the other, as the wire would; how many."""
    sent = publisher.take()
    for plane, frame in sent:
        receiver.datagram(plane, frame, 0, _NOW_NS)
    return len(sent)
