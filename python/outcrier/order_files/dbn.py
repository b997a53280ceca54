"""Databento's market by order (MBO): DBN files, also compressed.

A file is "DBN", a version, the length of the metadata, the metadata, then records. An MBO record (`rtype`
0xA0) is 56 bytes; prices are 1e-9 of a unit. Source: databento.com/docs, "DBN encoding" and "MBO", read
2026-08; `databento/dbn`, rust/dbn/src/record.rs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from outcrier.errors import CaptureError, ConfigurationError
from outcrier.order_files.common import BUY, SELL, Known, OrderFile, Recorder
from outcrier.orders import Side

PRICE_EXP: Final = -9

_MBO: Final = 0xA0
_HEAD_BYTES: Final = 8
"""Before the metadata: "DBN", version, length."""
_VERSIONS: Final = (1, 2, 3)
_LAST: Final = 128
"""`flags`: the exchange's event is over."""
_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"
_READ_BYTES: Final = 1 << 20
"""Decompressed at a time, so that the limit holds before all is."""
_FILE_BYTES_MAX: Final = 4 << 30
"""Decompressed: a busy day of ES has 3 GB."""

_RECORD: Final = np.dtype(
    [
        ("length", "u1"),
        ("rtype", "u1"),
        ("publisher_id", "<u2"),
        ("instrument_id", "<u4"),
        ("ts_event", "<u8"),
        ("order_id", "<u8"),
        ("price", "<i8"),
        ("size", "<u4"),
        ("flags", "u1"),
        ("channel_id", "u1"),
        ("action", "S1"),
        ("side", "S1"),
        ("ts_recv", "<u8"),
        ("ts_in_delta", "<i4"),
        ("sequence", "<u4"),
    ]
)

_SIDES: Final = {b"B": Side.BID, b"A": Side.ASK}


def read_dbn(path: str | Path, instrument_id: int = 0, tick: int = 0) -> OrderFile:
    """The orders of one instrument; 0: the file has no other. `tick` as a mantissa of 1e-9, 0 = unknown.

    A fill (`F`) and the cancel or change that follows it become one execution. A fill of an order at another
    price than it rests at is that of an aggressor which is repriced: its change tells all. Times are
    `ts_event`; of the orders that the file begins with that is when they were listed.

    Raises CaptureError for a file that is no MBO file, damaged, or of several instruments; ConfigurationError
    where it is compressed and the package `zstandard` is missing.
    """
    path = Path(path)
    records = _records(path)
    if instrument_id:
        records = records[records["instrument_id"] == instrument_id]
    found = np.unique(records["instrument_id"])
    if len(found) != 1:
        raise CaptureError(f"{path}: instruments {found.tolist()[:10]}, one is to be chosen by instrument_id")
    recorder = _Mbo()
    columns = ("action", "side", "order_id", "price", "size", "flags", "ts_event")
    for row in zip(*(records[name].tolist() for name in columns), strict=True):
        recorder.take(row)
    return recorder.file(PRICE_EXP, 0, tick)


def _records(path: Path) -> NDArray[np.void]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror}") from error
    if data.startswith(_ZSTANDARD):
        data = _decompressed(path, data)
    if data[:3] != b"DBN" or len(data) < _HEAD_BYTES or data[3] not in _VERSIONS:
        raise CaptureError(f"{path}: no DBN file of version {', '.join(map(str, _VERSIONS))}")
    start = _HEAD_BYTES + int.from_bytes(data[4:_HEAD_BYTES], "little")
    if start > len(data) or (len(data) - start) % _RECORD.itemsize:
        raise CaptureError(f"{path}: cut off, or with records that are not MBO")
    records: NDArray[np.void] = np.frombuffer(data, _RECORD, offset=start)
    strange = np.flatnonzero((records["rtype"] != _MBO) | (records["length"] != _RECORD.itemsize // 4))
    if len(strange):
        raise CaptureError(f"{path}: record {strange[0]} is not MBO")
    return records


def _decompressed(path: Path, data: bytes) -> bytes:
    try:
        import zstandard  # noqa: PLC0415 - of the extra `files`
    except ImportError as error:
        raise ConfigurationError(
            f"{path} is compressed: `pip install outcrier[files]`, or decompress it with zstd -d"
        ) from error
    found = bytearray()
    frame = None
    try:
        for start in range(0, len(data), _READ_BYTES):
            rest = data[start : start + _READ_BYTES]
            while rest:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                found += frame.decompress(rest)
                rest = frame.unused_data
                frame = None if frame.eof else frame
            if len(found) > _FILE_BYTES_MAX:
                raise CaptureError(f"{path}: more than {_FILE_BYTES_MAX >> 30} GiB decompressed")
    except zstandard.ZstdError as error:
        raise CaptureError(f"{path}: {error}") from error
    if frame is not None:
        raise CaptureError(f"{path}: cut off")
    return bytes(found)


Row = tuple[bytes, bytes, int, int, int, int, int]
"""Action, side, order id, price, size, flags, time."""


class _Mbo(Recorder):
    """Takes records in their order."""

    def __init__(self) -> None:
        super().__init__()
        self._filled: dict[int, int] = {}
        """What was told of orders in this event and has not been taken off by a cancel or a change."""
        self._trade_id = 0

    def take(self, row: Row) -> None:
        """One record."""
        action, side, order_id, price, size, flags, ts = row
        match action:
            case b"A" if side in _SIDES:
                self.add(order_id, Known(_SIDES[side], price, size), ts)
            case b"C":
                rest = size - self._filled.pop(order_id, 0)
                if rest > 0:
                    self.reduce(order_id, rest, ts)
            case b"M" if side in _SIDES:
                self._modify(order_id, Known(_SIDES[side], price, size), ts)
            case b"T":
                self._trade_id += 1
                aggressor = {b"B": BUY, b"A": SELL}.get(side, 0)
                self.trade(price, size, self._trade_id, ts, aggressor)
            case b"F":
                self._fill(order_id, price, size, ts)
            case b"R":
                self.clear(ts)
            case _:
                self.faults["record not understood"] += 1
        if flags & _LAST:
            self._filled.clear()
            self.end(ts)

    def _fill(self, order_id: int, price: int, size: int, ts: int) -> None:
        """An iceberg can be filled with more than it shows."""
        known = self.orders.get(order_id)
        if known is not None and known.price == price:
            self._filled[order_id] = self._filled.get(order_id, 0) + size
            self.execute(order_id, min(size, known.qty), ts, self._trade_id)

    def _modify(self, order_id: int, new: Known, ts: int) -> None:
        self._filled.pop(order_id, None)
        known = self.orders.get(order_id)
        if known is None:
            # The next part of an iceberg, or an order of before the file.
            self.add(order_id, new, ts)
        elif known.price == new.price and new.qty <= known.qty:
            if new.qty < known.qty:
                self.resize(order_id, new.qty, ts)
        else:
            self.move(order_id, new.price, new.qty, ts)
