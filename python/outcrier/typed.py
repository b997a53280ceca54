"""Rows of a batch as typed events.

What comes thousands of times a second, levels, trades and best quotes, is made here with as few steps as
Python allows: rows are unpacked by one compiled format, levels of a batch are one flat list, and numbers that
were printed before are looked up.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from outcrier import events as ev
from outcrier._core import STATES
from outcrier.directory import Directory
from outcrier.layout import (
    BBO,
    BOOK_DELTA,
    BOOK_SNAPSHOT,
    CANDLE,
    CONN,
    DEFINITION,
    DERIV,
    DTYPES,
    KIND_LOST,
    KIND_ROWS_LOST,
    KIND_STATE,
    LIQUIDATION,
    MARK_MID_EVENT,
    ORDER_CONFIDENCE_MAX,
    ORDER_CONFIDENCE_SHIFT,
    ORDER_INFERRED,
    ORDER_OPERATIONS,
    ORDER_OPS,
    ORDER_SNAPSHOT,
    REASONS,
    SIDES,
    STATUS,
    TICKER,
    TRADE,
)
from outcrier.prices import NOT_GIVEN, Number
from outcrier.views import STATUSES, TRADING, Level, State, named, new_level

_SCOPES: Final = ("", "channel", "venue", "instrument", "connection")
_AGGRESSORS: Final = ("unknown", "buy", "sell")
_TRADE_FLAGS: Final = (
    (1, "id_is_hash"),
    (2, "block"),
    (4, "liquidation"),
    (8, "auction"),
    (16, "correction"),
    (32, "cancel"),
    (64, "off_book"),
)
_RATE_EXP: Final = -12
_CANDLE_CLOSED: Final = 1
_STATES: Final = tuple(map(State, STATES))
_LETTERS: Final = {"u1": "B", "u2": "H", "u4": "I", "u8": "Q", "i1": "b", "i8": "q"}

# One entry a combination of bits; a byte has few.
_TRADE_FLAG_NAMES: Final = tuple(
    tuple(name for bit, name in _TRADE_FLAGS if bits & bit) for bits in range(256)
)


class _Row(NamedTuple):
    """What is read of a row of `events`; `records` is the column `count`."""

    channel_seq: int
    source_seq: int
    exchange_ts: int
    recv_ts: int
    instrument: int
    instr_seq: int
    start: int
    session: int
    venue: int
    flags: int
    records: int
    n_bids: int
    reason: int
    marks: int
    frag_index: int
    frag_count: int
    kind: int
    state: int
    trading: int
    channel: int
    price_exp: int
    qty_exp: int


def _format(array: str, columns: Iterable[str]) -> struct.Struct:
    """Reads these columns of an array, in the order in which they lie there, and skips the others."""
    dtype, read = DTYPES[array], set(columns)
    fields = [(name, dtype[name]) for name in dtype.names or ()]
    return struct.Struct(
        "<"
        + "".join(_LETTERS[kind.str[1:]] if name in read else f"{kind.itemsize}x" for name, kind in fields)
    )


_ROW_FORMAT: Final = _format("events", " ".join(_Row._fields).replace("records", "count").split())
_TRADE_FORMAT: Final = _format(
    "trades", ("price", "qty", "trade_id", "trade_ts", "aggressor", "trade_flags", "n_fills")
)
_BBO_FORMAT: Final = _format("bbos", ("bid_px", "bid_qty", "ask_px", "ask_qty"))

Arrays = Mapping[str, NDArray[np.uint8]]
"""The rows of a batch as bytes, by name."""


def typed_events(rows: Arrays, directory: Directory) -> Iterator[ev.Event]:
    """The events of a batch in order, each made when it is asked for."""
    maker = _Maker(rows, directory)
    known, numbers, flag_names = directory.known, directory.numbers, ev.flag_names
    trades, bbos = rows["trades"].data, rows["bbos"].data
    for row in _ROW_FORMAT.iter_unpack(rows["events"].data):
        # The columns of _Row.
        (
            _, source_seq, exchange_ts, recv_ts, instrument, instr_seq, start, _, venue, flags, records,
            n_bids, _, marks, _, _, kind, state, _, _, price_exp, qty_exp,
        ) = row  # fmt: skip
        make = _MAKERS.get(kind)
        if make is not None:
            yield from make(maker, _Row._make(row))
            continue
        symbol, venue_text = known.get((venue, instrument)) or directory.names(venue, instrument)
        if kind == BBO:
            bid_px, bid_qty, ask_px, ask_qty = _BBO_FORMAT.unpack_from(bbos, start * _BBO_FORMAT.size)
            bid_price, ask_price = numbers((bid_px, ask_px), price_exp)
            bid_size, ask_size = numbers((bid_qty, ask_qty), qty_exp)
            yield ev.Bbo(
                symbol=symbol,
                venue=venue_text,
                exchange_ts=exchange_ts,
                recv_ts=recv_ts,
                state=_STATES[state],
                flags=flag_names(flags),
                instr_seq=instr_seq,
                source_seq=source_seq,
                bid=None if bid_px == NOT_GIVEN else new_level((bid_price, bid_size)),
                ask=None if ask_px == NOT_GIVEN else new_level((ask_price, ask_size)),
            )
        elif kind == BOOK_DELTA:
            yield ev.BookDelta(
                symbol=symbol,
                venue=venue_text,
                exchange_ts=exchange_ts,
                recv_ts=recv_ts,
                state=_STATES[state],
                flags=flag_names(flags),
                instr_seq=instr_seq,
                source_seq=source_seq,
                bids=maker.side(start, n_bids, price_exp, qty_exp),
                asks=maker.side(start + n_bids, records - n_bids, price_exp, qty_exp),
                complete=not marks & MARK_MID_EVENT,
            )
        elif kind in _TRADES:
            for number in range(start, start + records):
                price, qty, trade_id, trade_ts, aggressor, trade_flags, n_fills = _TRADE_FORMAT.unpack_from(
                    trades, number * _TRADE_FORMAT.size
                )
                [price], [qty] = numbers((price,), price_exp), numbers((qty,), qty_exp)
                yield _TRADES[kind](
                    symbol=symbol,
                    venue=venue_text,
                    exchange_ts=exchange_ts,
                    recv_ts=recv_ts,
                    state=_STATES[state],
                    flags=flag_names(flags),
                    instr_seq=instr_seq,
                    source_seq=source_seq,
                    price=price,
                    qty=qty,
                    trade_id=trade_id,
                    trade_ts=trade_ts,
                    aggressor=named(_AGGRESSORS, aggressor),
                    trade_flags=_TRADE_FLAG_NAMES[trade_flags],
                    n_fills=n_fills,
                )


class _Maker:
    """Makes events of one batch: the levels of a book, and all that comes less often."""

    def __init__(self, rows: Arrays, directory: Directory) -> None:
        self._rows = rows
        self._directory = directory
        self._convert = directory.convert
        self._numbers = directory.numbers
        # Price, quantity, price, quantity ... of all levels.
        self._flat: list[int] = []
        if len(rows["levels"]):
            self._flat = rows["levels"].data.cast("q").tolist()

    def side(self, start: int, count: int, price_exp: int, qty_exp: int) -> tuple[Level, ...]:
        """`count` levels of the batch from `start` on."""
        if not count:
            return ()
        flat, start, end = self._flat, 2 * start, 2 * (start + count)
        prices = self._numbers(flat[start:end:2], price_exp)
        quantities = self._numbers(flat[start + 1 : end : 2], qty_exp)
        return tuple(map(new_level, zip(prices, quantities, strict=True)))

    def common(self, row: _Row) -> dict[str, Any]:
        """The fields that every event has."""
        symbol, venue = self._directory.names(row.venue, row.instrument)
        flags = row.flags if row.channel_seq else self._directory.flags(row.channel, row.session)
        return {
            "symbol": symbol,
            "venue": venue,
            "exchange_ts": row.exchange_ts,
            "recv_ts": row.recv_ts,
            "state": _STATES[row.state],
            "flags": ev.flag_names(flags),
            "instr_seq": row.instr_seq,
            "source_seq": row.source_seq,
        }

    def records(self, name: str, row: _Row) -> list[tuple[Any, ...]]:
        """The records of a row as tuples of all their fields."""
        table = self._rows[name].view(DTYPES[name])
        found: list[tuple[Any, ...]] = table[row.start : row.start + row.records].tolist()
        return found

    def number(self, mantissa: int, exp: int) -> Number | None:
        return None if mantissa == NOT_GIVEN else self._convert(mantissa, exp)

    def snapshot(self, row: _Row) -> ev.Event:
        return ev.BookSnapshot(
            **self.common(row),
            bids=self.side(row.start, row.n_bids, row.price_exp, row.qty_exp),
            asks=self.side(row.start + row.n_bids, row.records - row.n_bids, row.price_exp, row.qty_exp),
            fragment=row.frag_index,
            fragments=row.frag_count,
            complete=row.frag_index + 1 == row.frag_count,
        )

    def order_changes(self, row: _Row) -> Iterator[ev.Event]:
        common, mid_event = self.common(row), bool(row.marks & MARK_MID_EVENT)
        last = row.records - 1
        for at, (order_id, price, qty, ref_id, priority, op, side, flags, _) in enumerate(
            self.records("ops", row)
        ):
            yield ev.OrderChange(
                **common,
                op=named(ORDER_OPERATIONS, op),
                order_id=order_id,
                side=named(SIDES, side),
                price=self._convert(price, row.price_exp),
                qty=self._convert(qty, row.qty_exp),
                ref_id=ref_id,
                priority=priority,
                **_certainty(flags),
                complete=at == last and not mid_event,
            )

    def order_snapshot(self, row: _Row) -> ev.Event:
        orders = tuple(
            ev.Order(
                order_id=order_id,
                price=self._convert(price, row.price_exp),
                qty=self._convert(qty, row.qty_exp),
                priority=priority,
                order_ts=order_ts,
                **_certainty(flags),
            )
            for order_id, price, qty, priority, order_ts, flags, _ in self.records("orders", row)
        )
        return ev.OrderSnapshot(
            **self.common(row),
            bids=orders[: row.n_bids],
            asks=orders[row.n_bids :],
            fragment=row.frag_index,
            fragments=row.frag_count,
            complete=row.frag_index + 1 == row.frag_count,
        )

    def ticker(self, row: _Row) -> ev.Event:
        [(last, opened, high, low, volume, turnover, trade_count, window_ns)] = self.records("tickers", row)
        return ev.Ticker(
            **self.common(row),
            last=self.number(last, row.price_exp),
            open=self.number(opened, row.price_exp),
            high=self.number(high, row.price_exp),
            low=self.number(low, row.price_exp),
            volume=_given(volume),
            turnover=_given(turnover),
            trade_count=trade_count,
            window_ns=window_ns,
        )

    def candles(self, row: _Row) -> Iterator[ev.Event]:
        for record in self.records("candles", row):
            open_ts, interval_s, flags, opened, high, low, close, volume, turnover, trade_count = record
            yield ev.Candle(
                **self.common(row),
                open_ts=open_ts,
                interval_s=interval_s,
                closed=bool(flags & _CANDLE_CLOSED),
                open=self.number(opened, row.price_exp),
                high=self.number(high, row.price_exp),
                low=self.number(low, row.price_exp),
                close=self.number(close, row.price_exp),
                volume=_given(volume),
                turnover=_given(turnover),
                trade_count=trade_count,
            )

    def deriv(self, row: _Row) -> ev.Event:
        [(present, interval_s, *prices, rate, next_rate, next_ts, interest, value)] = self.records(
            "derivs", row
        )
        mark, index, settle = (
            self.number(price, row.price_exp) if present & 2 << bit else None
            for bit, price in enumerate(prices)
        )
        return ev.DerivState(
            **self.common(row),
            funding_interval_s=interval_s if present & 1 else None,
            mark=mark,
            index=index,
            settle=settle,
            funding_rate=self.number(rate, _RATE_EXP) if present & 1 << 4 else None,
            next_rate=self.number(next_rate, _RATE_EXP) if present & 1 << 5 else None,
            next_funding_ts=next_ts if present & 1 << 6 else None,
            open_interest=_given(interest) if present & 1 << 7 else None,
            oi_value=_given(value) if present & 1 << 8 else None,
        )

    def status(self, row: _Row) -> ev.Event:
        [(scope, status, reason, conn_id, since_ts, expected, got, text, _)] = self.records("statuses", row)
        return ev.Status(
            **self.common(row),
            scope=named(_SCOPES, scope),
            status=named(STATUSES, status),
            reason=REASONS.get(reason, str(reason)),
            since_ts=since_ts,
            expected=expected,
            got=got,
            text=text.decode("utf-8", "replace"),
            conn_id=conn_id,
        )

    def connection(self, row: _Row) -> ev.Event:
        [(connected, disconnected, _, reconnects, messages, n_bytes, conn_id, *rest)] = self.records(
            "conns", row
        )
        subscriptions, silence_ms, expected_ms = rest
        return ev.Connection(
            **self.common(row),
            conn_id=conn_id,
            connected=connected,
            disconnected=disconnected,
            reconnects=reconnects,
            messages=messages,
            bytes=n_bytes,
            subscriptions=subscriptions,
            silence_ms=silence_ms,
            expected_ms=expected_ms,
        )

    def definition(self, row: _Row) -> ev.Event:
        return ev.Definition(
            **self.common(row), instrument=self._directory.instrument(row.venue, row.instrument)
        )

    def state_change(self, row: _Row) -> ev.Event:
        reason = REASONS.get(row.reason, str(row.reason))
        return ev.StateChange(**self.common(row), reason=reason, trading=named(TRADING, row.trading))

    def lost(self, row: _Row) -> ev.Event:
        return ev.Lost(**self.common(row), count=row.start, first=row.instr_seq)


def _certainty(flags: int) -> dict[str, Any]:
    """What `op_flags` and `order_flags` say."""
    return {
        "inferred": bool(flags & ORDER_INFERRED),
        "confidence": (flags >> ORDER_CONFIDENCE_SHIFT) / ORDER_CONFIDENCE_MAX,
    }


def _given(value: float) -> float | None:
    return None if math.isnan(value) else value


_Make = Callable[[_Maker, _Row], Iterable[ev.Event]]


def _one(make: Callable[[_Maker, _Row], ev.Event]) -> _Make:
    return lambda maker, row: (make(maker, row),)


_TRADES: Final[dict[int, type[ev.Trade] | type[ev.Liquidation]]] = {
    TRADE: ev.Trade,
    LIQUIDATION: ev.Liquidation,
}

# Nobody asked for a row whose type stands in none of both.
_MAKERS: Final[dict[int, _Make]] = {
    CANDLE: _Maker.candles,
    BOOK_SNAPSHOT: _one(_Maker.snapshot),
    ORDER_OPS: _Maker.order_changes,
    ORDER_SNAPSHOT: _one(_Maker.order_snapshot),
    TICKER: _one(_Maker.ticker),
    DERIV: _one(_Maker.deriv),
    STATUS: _one(_Maker.status),
    CONN: _one(_Maker.connection),
    DEFINITION: _one(_Maker.definition),
    KIND_STATE: _one(_Maker.state_change),
    KIND_LOST: _one(_Maker.lost),
    KIND_ROWS_LOST: _one(_Maker.lost),
}
