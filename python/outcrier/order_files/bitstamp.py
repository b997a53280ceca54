"""Bitstamp's order channel as it was logged in 2015: a line is the time of receipt in ms, an event and its
JSON.

`order_created`, `order_changed` (amount: what is left), `order_deleted` (amount 0: filled, else cancelled),
`trade`, and `order_book`, the exchange's own 20 levels. `order_type` 0 buys, 1 sells. Prices have two
decimals, amounts eight; those of trades are printed as floating point numbers ("1.7885566900000001") and
rounded to eight. Trades name no orders, so an execution has no trade id. Source: README of the data set;
bitstamp.net/websocket (v1), read 2026-08.

A new order that trades stands in the book until its own change or deletion tells of it, so the book is
crossed meanwhile, for 0.6 s at most in the recording.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from outcrier.errors import CaptureError
from outcrier.order_files.common import Known, OrderFile, Recorder
from outcrier.orders import Side

PRICE_EXP: Final = -2
QTY_EXP: Final = -8
TICK: Final = 1

_MS: Final = 1_000_000
_SIDES: Final = {0: Side.BID, 1: Side.ASK}


class _Order(msgspec.Struct):
    id: int
    price: Decimal
    amount: Decimal
    order_type: int


class _Trade(msgspec.Struct):
    id: int
    price: Decimal
    amount: Decimal


def read_bitstamp(path: str | Path) -> OrderFile:
    """The orders of a log. Each line but `order_book` is an event, also one about an unknown order
    (`faults`).

    Raises CaptureError, with the line, for a file that is none.
    """
    path = Path(path)
    recorder = _Log()
    for number, (ms, event, text) in enumerate(_lines(path), 1):
        try:
            if event != "order_book":
                recorder.take(event, text, int(ms) * _MS)
        except (ValueError, KeyError, msgspec.MsgspecError) as error:
            raise CaptureError(f"{path}: line {number} ({event}): {error}") from error
    return recorder.file(PRICE_EXP, QTY_EXP, TICK)


def _lines(path: Path) -> Iterator[tuple[str, str, str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as raw, io.TextIOWrapper(raw, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                parts = line.split(maxsplit=2)
                if len(parts) != 3:
                    raise CaptureError(f"{path}: line {number} is not `milliseconds event JSON`")
                yield parts[0], parts[1], parts[2]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CaptureError(f"{path}: {error}") from error


def _mantissa(number: Decimal, exp: int) -> int:
    return round(number.scaleb(-exp))


class _Log(Recorder):
    """Takes lines in their order."""

    def take(self, event: str, text: str, ts: int) -> None:
        """One line."""
        if event == "trade":
            trade = msgspec.json.decode(text, type=_Trade)
            self.trade(_mantissa(trade.price, PRICE_EXP), _mantissa(trade.amount, QTY_EXP), trade.id, ts, 0)
        else:
            self._order(event, msgspec.json.decode(text, type=_Order), ts)
        self.end(ts)

    def _order(self, event: str, order: _Order, ts: int) -> None:
        price, amount = _mantissa(order.price, PRICE_EXP), _mantissa(order.amount, QTY_EXP)
        known = self.orders.get(order.id)
        if event == "order_created":
            self.add(order.id, Known(_SIDES[order.order_type], price, amount), ts)
        elif event not in {"order_changed", "order_deleted"}:
            raise ValueError("events are order_created, order_changed, order_deleted, trade and order_book")
        elif known is None:
            self.faults["order not known"] += 1
        elif amount == 0:
            self.execute(order.id, known.qty, ts)
        elif event == "order_deleted":
            self.delete(order.id, ts)
        elif price == known.price and amount < known.qty:
            self.execute(order.id, known.qty - amount, ts)
        else:
            self.move(order.id, price, amount, ts)
