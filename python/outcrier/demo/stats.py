"""Rates, latencies, last trades and activity from batches and counters. Sans-I/O: times are arguments; memory
is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outcrier.batch import Batch
from outcrier.layout import BOOK_DELTA, LIQUIDATION, TRADE
from outcrier.prices import Number, to_decimal

RESERVOIR: Final = 8192
"""Latest samples that a percentile is of: some seconds of a busy feed, so that p99 stands on 80 of them."""

SYMBOLS_MAX: Final = 4096
"""Instruments whose activity is followed; the rest is not shown."""

STAGES: Final = ("exchange to feeder", "in the feeder", "feeder to kernel", "kernel to Python")
"""The way of a frame, in the order of the screen."""

_NO_EXCHANGE_TIME: Final = 1 << 2
_SNAPSHOT_PLANE: Final = 1 << 2
_BACK_NS: Final = 1_000_000_000


class Reservoir:
    """The latest `RESERVOIR` samples."""

    def __init__(self, size: int = RESERVOIR) -> None:
        self._samples = np.zeros(size, np.int64)
        self._seen = 0

    def extend(self, values: NDArray[np.int64]) -> None:
        """Adds samples; the oldest make room."""
        values = values[-len(self._samples) :]
        start = self._seen % len(self._samples)
        head = min(len(values), len(self._samples) - start)
        self._samples[start : start + head] = values[:head]
        self._samples[: len(values) - head] = values[head:]
        self._seen += len(values)

    def percentiles(self) -> tuple[float, float] | None:
        """(p50, p99) of the samples; None without any."""
        filled = self._samples[: min(self._seen, len(self._samples))]
        if not len(filled):
            return None
        p50, p99 = np.percentile(filled, (50, 99))
        return float(p50), float(p99)


class LastTrade(NamedTuple):
    """The latest trade of an instrument."""

    price: Number
    qty: Number
    aggressor: int
    """0 unknown, 1 buy, 2 sell."""


class Rates(NamedTuple):
    """What arrived in the last second or so."""

    frames: float
    """Frames a second."""
    bytes: float
    """Bytes a second."""


class Stats:
    """Everything that the screen shows and that is not a book."""

    def __init__(self) -> None:
        self.stages = {name: Reservoir() for name in STAGES}
        self.last_trades: dict[str, LastTrade] = {}
        self.activity: dict[str, int] = {}
        """Frames by symbol since the start."""
        self._offsets: dict[int, tuple[int, int]] = {}
        self._counted = (0, 0)
        self._counted_ns: int | None = None

    def take(self, batch: Batch, wall_ns: int, *, test: bool) -> None:
        """Takes a batch that was handed to Python at `wall_ns`; `test`: exchange times are those of a
        recording.
        """
        events = batch.events
        live = events[(events["channel_seq"] > 0) & (events["marks"] & _SNAPSHOT_PLANE == 0)]
        if not len(live):
            return
        self._latencies(live, wall_ns, test=test)
        self._activity(batch, events)
        self._trades(batch, events)

    def _latencies(self, live: NDArray[np.void], wall_ns: int, *, test: bool) -> None:
        stages = self.stages
        timed = live[(live["flags"] & _NO_EXCHANGE_TIME == 0) & (live["instrument"] > 0)]
        for venue in np.unique(timed["venue"]).tolist():
            rows = timed[timed["venue"] == venue]
            stages["exchange to feeder"].extend(self._since_exchange(venue, rows, test=test))
        stages["in the feeder"].extend(live["proc_ns"].astype(np.int64))
        stamped = live[live["rx_ts"] > 0]
        # A clock that is slewed may make the shortest way look a little shorter than nothing.
        stages["feeder to kernel"].extend(np.maximum(stamped["rx_ts"] - stamped["send_ts"], 0))
        stages["kernel to Python"].extend(np.maximum(wall_ns - stamped["rx_ts"], 0))

    def _since_exchange(self, venue: int, rows: NDArray[np.void], *, test: bool) -> NDArray[np.int64]:
        ages = rows["recv_ts"] - rows["exchange_ts"]
        if not test:
            return ages  # type: ignore[no-any-return]
        # A recording has its own days: what counts is how much later than the quickest message the others
        # come. When it starts anew exchange time goes back, and there is another quickest.
        least, latest = self._offsets.get(venue, (int(ages[0]), int(rows["exchange_ts"][0])))
        if int(rows["exchange_ts"][0]) < latest - _BACK_NS:
            least = int(ages[0])
        least = min(least, int(ages.min()))
        self._offsets[venue] = least, int(rows["exchange_ts"].max())
        return ages - least  # type: ignore[no-any-return]

    def _activity(self, batch: Batch, events: NDArray[np.void]) -> None:
        chosen = np.flatnonzero(
            (events["kind"] >= BOOK_DELTA) & (events["instrument"] > 0) & (events["channel_seq"] > 0)
        )
        for index, count in _groups(events, chosen, last=False):
            symbol = batch.symbol_of(index)
            if symbol in self.activity or len(self.activity) < SYMBOLS_MAX:
                self.activity[symbol] = self.activity.get(symbol, 0) + count

    def _trades(self, batch: Batch, events: NDArray[np.void]) -> None:
        kinds = events["kind"]
        chosen = np.flatnonzero(((kinds == TRADE) | (kinds == LIQUIDATION)) & (events["count"] > 0))
        for index, _ in _groups(events, chosen, last=True):
            symbol = batch.symbol_of(index)
            if symbol in self.last_trades or len(self.last_trades) < SYMBOLS_MAX:
                row, record = events[index], batch.trades_of(index)[-1]
                self.last_trades[symbol] = LastTrade(
                    to_decimal(int(record["price"]), int(row["price_exp"])),
                    to_decimal(int(record["qty"]), int(row["qty_exp"])),
                    int(record["aggressor"]),
                )

    def rates(self, now_ns: int, counters: Mapping[str, int]) -> Rates:
        """Frames and bytes a second since the call before; zeros at the first."""
        counted = counters["datagrams"], counters["bytes"]
        before, before_ns = self._counted, self._counted_ns
        self._counted, self._counted_ns = counted, now_ns
        if before_ns is None or now_ns <= before_ns:
            return Rates(0.0, 0.0)
        seconds = (now_ns - before_ns) / 1e9
        return Rates((counted[0] - before[0]) / seconds, (counted[1] - before[1]) / seconds)

    def busiest(self, count: int) -> list[str]:
        """The `count` symbols with most frames, in the order of their venue and name, so that rows stay where
        they are.
        """
        chosen = sorted(self.activity, key=lambda symbol: (-self.activity[symbol], symbol))[:count]
        return sorted(chosen, key=lambda symbol: symbol.rpartition("@")[::-1])


def _groups(events: NDArray[np.void], chosen: NDArray[Any], *, last: bool) -> list[tuple[int, int]]:
    """(index of the first or last event, how many) of each instrument among the `chosen` events."""
    if last:
        chosen = chosen[::-1]
    keys = events["venue"][chosen].astype(np.int64) << 32 | events["instrument"][chosen].astype(np.int64)
    _, at, counts = np.unique(keys, return_index=True, return_counts=True)
    return list(zip(chosen[at].tolist(), counts.tolist(), strict=True))
