"""The rows of a batch: what the core lays out, under names. Held to the core once, at import."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from outcrier._core import layouts

STATUS, CONN = 0x04, 0x05
BOOK_DELTA, BOOK_SNAPSHOT, TRADE, BBO, TICKER = 0x10, 0x11, 0x12, 0x13, 0x14
ORDER_OPS, ORDER_SNAPSHOT = 0x18, 0x19
DEFINITION = 0x20
CANDLE, DERIV, LIQUIDATION = 0x28, 0x29, 0x2A

KIND_STATE: Final = 0x00
"""`events.kind`: the state of an instrument changed."""
KIND_ROWS_LOST: Final = 0xFE
"""`events.kind`: rows were dropped because nobody took them; `start` says how many events, at least."""
KIND_LOST: Final = 0xFF
"""`events.kind`: events of an instrument will never come: `start` of them, from `instr_seq` on."""

MARK_MID_EVENT: Final = 1 << 3
"""`events.marks`: frames of the same exchange event are still to come."""

MESSAGE_TYPES: Final[dict[str, tuple[int, ...]]] = {
    "book": (BOOK_DELTA, BOOK_SNAPSHOT),
    "trade": (TRADE,),
    "bbo": (BBO,),
    "ticker": (TICKER,),
    "order": (ORDER_OPS, ORDER_SNAPSHOT),
    "candle": (CANDLE,),
    "deriv": (DERIV,),
    "liquidation": (LIQUIDATION,),
    "definition": (DEFINITION,),
    "status": (STATUS,),
    "connection": (CONN,),
}
"""What `types=` of a subscriber may name, and the message types of the wire. Changes of state and losses come
always.
"""

RETX_CODES: Final = (
    "ok",
    "too old",
    "too new",
    "rate limited",
    "bad session",
    "bad MAC",
    "need cookie",
    "malformed",
)
"""RETX_REPLY.code by number."""

ORDER_OPERATIONS: Final = (
    "",
    "add",
    "modify keep priority",
    "modify lose priority",
    "delete",
    "execute",
    "replace",
    "clear book",
)
"""ORDER_OPS.op by number."""

SIDES: Final = ("", "bid", "ask")
"""ORDER_OPS.side by number."""

ORDER_FLAGS: Final = ("inferred",)
"""Bits of ORDER_OPS.op_flags and ORDER_SNAPSHOT.order_flags; the confidence * 255 is their high byte."""
ORDER_INFERRED: Final = 1
"""The first of them: the venue does not tell of the order."""
ORDER_CONFIDENCE_SHIFT: Final = 8
ORDER_CONFIDENCE_MAX: Final = 255
"""Where the confidence begins in them, and what is full."""

REASONS: Final = {
    0: "none",
    1: "source gap",
    2: "checksum mismatch",
    3: "disconnect",
    4: "parse error",
    5: "rate limit",
    6: "clock",
    7: "overload",
    8: "removed",
    256: "joining",
    257: "frame missing",
    258: "frames given up",
    259: "book checksum",
    260: "exponents differ",
    261: "bad level",
    262: "book limit",
    263: "too many frames held",
    264: "channel silent",
    265: "session ended",
    266: "two publishers",
    267: "new session",
    268: "not defined",
    269: "bad order",
}
"""Why a book is not LIVE: below 256 the publisher's reasons, from 256 on the receiver's."""


class EventRow(NamedTuple):
    """A row of `Batch.events` as Python values, told in docs/consumer.md; `records` is the column `count`."""

    channel_seq: int
    source_seq: int
    exchange_ts: int
    recv_ts: int
    send_ts: int
    rx_ts: int
    instrument: int
    instr_seq: int
    start: int
    proc_ns: int
    session: int
    delay_ns: int
    venue: int
    flags: int
    records: int
    n_bids: int
    reason: int
    marks: int
    frag_index: int
    frag_count: int
    depth_limit: int
    kind: int
    state: int
    trading: int
    channel: int
    price_exp: int
    qty_exp: int
    checksum_kind: int
    scope: int
    reserved: bytes


# Names and types that the code below relies on. The core lists what it makes; a difference means that parts
# of two versions are installed together, and reading on would give wrong prices.
_EXPECTED: Final = {
    "events": " ".join(EventRow._fields).replace("records", "count"),
    "levels": "price qty",
    "trades": "price qty trade_id trade_ts aggressor trade_flags n_fills id_span",
    "ops": "order_id price qty ref_id priority op side op_flags reserved",
    "orders": "order_id price qty priority order_ts order_flags reserved",
    "bbos": "bid_px bid_qty ask_px ask_qty bid_orders ask_orders",
    "tickers": "last_px open_px high_px low_px volume turnover trade_count window_ns",
    "candles": "open_ts interval_s candle_flags open high low close volume turnover trade_count",
    "derivs": "present funding_interval_s mark_px index_px settle_px funding_rate next_rate next_funding_ts"
    " open_interest oi_value",
    "defs": "def_version kind status price_exp qty_exp tick_size lot_size min_qty contract_size contract_exp"
    " option_type venue_type underlying expiry_ts strike native_symbol symbol base quote settle native_more"
    " qty_unit book_proof reserved",
    "statuses": "scope state reason conn_id since_ts expected got text last_channel_seq",
    "conns": "connected disconnected total reconnects messages bytes conn_id subscriptions silence_ms"
    " expected_ms",
}


def _dtypes() -> dict[str, np.dtype[np.void]]:
    found = layouts()
    dtypes = {}
    for array, expected in _EXPECTED.items():
        itemsize, fields = found.get(array, (0, []))
        names = [name for name, _, _ in fields]
        if names != expected.split():
            raise ImportError(f"outcrier._core lays out {array} as {names}, this version expects {expected}")
        formats = [format_ for _, format_, _ in fields]
        offsets = [offset for _, _, offset in fields]
        dtypes[array] = np.dtype(
            {"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize}
        )
    return dtypes


DTYPES: Final = _dtypes()
"""Type of the rows of each array of a `Batch`, as the core lays them out; an order book has `ops` and
`orders`.
"""
