"""What arrived since the last look, as NumPy structured arrays that share the core's memory, or as typed
events.

`events` has one row per frame, change of state or loss, in order. A row of a book, trade, ticker ... points
to its records: `start` and `count` in the array of its kind. Prices are integer mantissas: price = mantissa *
10**price_exp of the row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from outcrier import events as ev
from outcrier._core import STATES
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
    REASONS,
    STATUS,
    TICKER,
    TRADE,
    EventRow,
)
from outcrier.prices import NOT_GIVEN, Convert, Number
from outcrier.venue_numbers import venue_name
from outcrier.views import STATUSES, TRADING, Instrument, Level, State, instrument_of, named, symbol_of

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
_REPLAY, _TEST = 1 << 7, 1 << 8
_RATE_EXP: Final = -12
_CANDLE_CLOSED: Final = 1


_STATES: Final = tuple(map(State, STATES))


class Directory:
    """Names of instruments by their numbers on the wire, read again from the core when a definition came."""

    def __init__(
        self,
        fetch: Callable[[], list[dict[str, Any]]],
        channels: Callable[[], list[dict[str, Any]]],
        convert: Convert,
    ) -> None:
        """`fetch` and `channels` are those of the receiver: `instruments` and `channels`."""
        self._fetch = fetch
        self._channels = channels
        self._flags: dict[tuple[int, int], int] = {}
        self.convert = convert
        self._rows: dict[tuple[int, int], dict[str, Any]] = {}
        self._symbols: dict[tuple[int, int], str] = {}
        self._stale = True

    def changed(self) -> None:
        """Definitions came: what is known may be old."""
        self._stale = True

    def _refresh(self) -> None:
        self._rows = {(row["venue"], row["instrument"]): row for row in self._fetch()}
        self._symbols = {key: symbol_of(row) for key, row in self._rows.items()}
        self._stale = False

    def symbol(self, venue: int, instrument: int) -> str:
        """`SYMBOL@venue`; `#number@venue` while the definition is not known, empty for instrument 0."""
        key = (venue, instrument)
        symbol = self._symbols.get(key)
        if symbol is None and instrument and self._stale:
            self._refresh()
            symbol = self._symbols.get(key)
        if symbol is None:
            return f"#{instrument}@{venue_name(venue)}" if instrument else ""
        return symbol

    def flags(self, channel: int, session: int) -> int:
        """REPLAY and TEST of a session of a channel, for what has no frame that tells."""
        key = (channel, session)
        if key not in self._flags:
            self._flags = {
                (row["channel"], row["session"]): _REPLAY * row["replay"] | _TEST * row["test"]
                for row in self._channels()
            }
        return self._flags.get(key, 0)

    def instrument(self, venue: int, instrument: int) -> Instrument | None:
        """The latest definition."""
        if self._stale:
            self._refresh()
        row = self._rows.get((venue, instrument))
        return instrument_of(row, self.convert) if row else None


class Batch:
    """Structured arrays, all views on memory that the batch owns; iterate it for typed events.

    `for event in batch` costs about a microsecond an event; the arrays cost nothing.
    """

    def __init__(self, rows: dict[str, NDArray[np.uint8]], directory: Directory) -> None:
        self._directory = directory
        self.events: NDArray[np.void] = rows["events"].view(DTYPES["events"])
        """One row per frame, change of state or loss, in order: `EventRow`."""
        self.levels: NDArray[np.void] = rows["levels"].view(DTYPES["levels"])
        """Of books: price, qty; the first `n_bids` of an event are bids."""
        self.trades: NDArray[np.void] = rows["trades"].view(DTYPES["trades"])
        """Of trades and liquidations."""
        self.bbos: NDArray[np.void] = rows["bbos"].view(DTYPES["bbos"])
        self.tickers: NDArray[np.void] = rows["tickers"].view(DTYPES["tickers"])
        self.candles: NDArray[np.void] = rows["candles"].view(DTYPES["candles"])
        self.derivs: NDArray[np.void] = rows["derivs"].view(DTYPES["derivs"])
        self.defs: NDArray[np.void] = rows["defs"].view(DTYPES["defs"])
        self.statuses: NDArray[np.void] = rows["statuses"].view(DTYPES["statuses"])
        self.conns: NDArray[np.void] = rows["conns"].view(DTYPES["conns"])
        if len(self.defs):
            directory.changed()

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        filled = {name: len(getattr(self, name)) for name in DTYPES if len(getattr(self, name))}
        return f"<Batch {' '.join(f'{name}={n}' for name, n in filled.items())}>"

    def symbol_of(self, index: int) -> str:
        """`SYMBOL@venue` of event `index`; empty if it is not about one instrument."""
        row = self.events[index]
        return self._directory.symbol(int(row["venue"]), int(row["instrument"]))

    def levels_of(self, index: int) -> tuple[NDArray[np.void], NDArray[np.void]]:
        """(bids, asks) of event `index`, views on `levels`; empty if it is not about a book."""
        row = self.events[index]
        if row["kind"] not in (BOOK_DELTA, BOOK_SNAPSHOT):
            return self.levels[:0], self.levels[:0]
        start = int(row["start"])
        middle, end = start + int(row["n_bids"]), start + int(row["count"])
        return self.levels[start:middle], self.levels[middle:end]

    def trades_of(self, index: int) -> NDArray[np.void]:
        """Trades of event `index`, a view on `trades`; empty if it is neither trade nor liquidation."""
        row = self.events[index]
        if row["kind"] not in (TRADE, LIQUIDATION):
            return self.trades[:0]
        start = int(row["start"])
        return self.trades[start : start + int(row["count"])]

    def __iter__(self) -> Iterator[ev.Event]:
        for values in self.events.tolist():
            row = EventRow._make(values)
            make = _MAKERS.get(row.kind)
            if make is not None:
                yield from make(self, row, self._common(row))

    def _common(self, row: EventRow) -> dict[str, Any]:
        """The fields that every event has."""
        return {
            "symbol": self._directory.symbol(row.venue, row.instrument),
            "venue": venue_name(row.venue) if row.venue else "",
            "exchange_ts": row.exchange_ts,
            "recv_ts": row.recv_ts,
            "state": _STATES[row.state],
            "flags": ev.flag_names(
                row.flags if row.channel_seq else self._directory.flags(row.channel, row.session)
            ),
            "instr_seq": row.instr_seq,
            "source_seq": row.source_seq,
        }

    def _levels(self, row: EventRow) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        convert, price_exp, qty_exp = self._directory.convert, row.price_exp, row.qty_exp
        pairs = self.levels[row.start : row.start + row.records].tolist()
        levels = tuple(Level(convert(price, price_exp), convert(qty, qty_exp)) for price, qty in pairs)
        return levels[: row.n_bids], levels[row.n_bids :]

    def _number(self, mantissa: int, exp: int) -> Number | None:
        return None if mantissa == NOT_GIVEN else self._directory.convert(mantissa, exp)

    def _delta(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        bids, asks = self._levels(row)
        yield ev.BookDelta(**common, bids=bids, asks=asks, complete=not row.marks & MARK_MID_EVENT)

    def _snapshot(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        bids, asks = self._levels(row)
        yield ev.BookSnapshot(
            **common,
            bids=bids,
            asks=asks,
            fragment=row.frag_index,
            fragments=row.frag_count,
            complete=row.frag_index + 1 == row.frag_count,
        )

    def _trades(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        make = ev.Liquidation if row.kind == LIQUIDATION else ev.Trade
        convert = self._directory.convert
        records = self.trades[row.start : row.start + row.records].tolist()
        for price, qty, trade_id, trade_ts, aggressor, trade_flags, n_fills, _ in records:
            yield make(
                **common,
                price=convert(price, row.price_exp),
                qty=convert(qty, row.qty_exp),
                trade_id=trade_id,
                trade_ts=trade_ts,
                aggressor=named(_AGGRESSORS, aggressor),
                trade_flags=tuple(name for bit, name in _TRADE_FLAGS if trade_flags & bit),
                n_fills=n_fills,
            )

    def _bbo(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        bid_px, bid_qty, ask_px, ask_qty, _, _ = self.bbos[row.start].item()
        convert = self._directory.convert

        def level(price: int, qty: int) -> Level | None:
            return (
                None
                if price == NOT_GIVEN
                else Level(convert(price, row.price_exp), convert(qty, row.qty_exp))
            )

        yield ev.Bbo(**common, bid=level(bid_px, bid_qty), ask=level(ask_px, ask_qty))

    def _ticker(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        last, opened, high, low, volume, turnover, trade_count, window_ns = self.tickers[row.start].item()
        yield ev.Ticker(
            **common,
            last=self._number(last, row.price_exp),
            open=self._number(opened, row.price_exp),
            high=self._number(high, row.price_exp),
            low=self._number(low, row.price_exp),
            volume=_given(volume),
            turnover=_given(turnover),
            trade_count=trade_count,
            window_ns=window_ns,
        )

    def _candles(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        for record in self.candles[row.start : row.start + row.records].tolist():
            open_ts, interval_s, flags, opened, high, low, close, volume, turnover, trade_count = record
            yield ev.Candle(
                **common,
                open_ts=open_ts,
                interval_s=interval_s,
                closed=bool(flags & _CANDLE_CLOSED),
                open=self._number(opened, row.price_exp),
                high=self._number(high, row.price_exp),
                low=self._number(low, row.price_exp),
                close=self._number(close, row.price_exp),
                volume=_given(volume),
                turnover=_given(turnover),
                trade_count=trade_count,
            )

    def _deriv(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        present, interval_s, *prices, rate, next_rate, next_ts, interest, value = self.derivs[
            row.start
        ].item()
        mark, index, settle = (
            self._number(price, row.price_exp) if present & 2 << bit else None
            for bit, price in enumerate(prices)
        )
        yield ev.DerivState(
            **common,
            funding_interval_s=interval_s if present & 1 else None,
            mark=mark,
            index=index,
            settle=settle,
            funding_rate=self._number(rate, _RATE_EXP) if present & 1 << 4 else None,
            next_rate=self._number(next_rate, _RATE_EXP) if present & 1 << 5 else None,
            next_funding_ts=next_ts if present & 1 << 6 else None,
            open_interest=_given(interest) if present & 1 << 7 else None,
            oi_value=_given(value) if present & 1 << 8 else None,
        )

    def _status(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        scope, status, reason, conn_id, since_ts, expected, got, text, _ = self.statuses[row.start].item()
        yield ev.Status(
            **common,
            scope=named(_SCOPES, scope),
            status=named(STATUSES, status),
            reason=REASONS.get(reason, str(reason)),
            since_ts=since_ts,
            expected=expected,
            got=got,
            text=text.decode("utf-8", "replace"),
            conn_id=conn_id,
        )

    def _connection(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        connected, disconnected, _, reconnects, messages, n_bytes, conn_id, *rest = self.conns[
            row.start
        ].item()
        subscriptions, silence_ms, expected_ms = rest
        yield ev.Connection(
            **common,
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

    def _definition(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        yield ev.Definition(**common, instrument=self._directory.instrument(row.venue, row.instrument))

    def _state_change(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        reason = REASONS.get(row.reason, str(row.reason))
        yield ev.StateChange(**common, reason=reason, trading=named(TRADING, row.trading))

    def _lost(self, row: EventRow, common: dict[str, Any]) -> Iterator[ev.Event]:
        yield ev.Lost(**common, count=row.start, first=row.instr_seq)


def _given(value: float) -> float | None:
    return None if math.isnan(value) else value


_Maker = Callable[[Batch, EventRow, dict[str, Any]], Iterator[ev.Event]]

_MAKERS: Final[dict[int, _Maker]] = {
    BOOK_DELTA: Batch._delta,  # noqa: SLF001  # a part of Batch
    BOOK_SNAPSHOT: Batch._snapshot,  # noqa: SLF001
    TRADE: Batch._trades,  # noqa: SLF001
    LIQUIDATION: Batch._trades,  # noqa: SLF001
    BBO: Batch._bbo,  # noqa: SLF001
    TICKER: Batch._ticker,  # noqa: SLF001
    CANDLE: Batch._candles,  # noqa: SLF001
    DERIV: Batch._deriv,  # noqa: SLF001
    STATUS: Batch._status,  # noqa: SLF001
    CONN: Batch._connection,  # noqa: SLF001
    DEFINITION: Batch._definition,  # noqa: SLF001
    KIND_STATE: Batch._state_change,  # noqa: SLF001
    KIND_LOST: Batch._lost,  # noqa: SLF001
    KIND_ROWS_LOST: Batch._lost,  # noqa: SLF001
}
