"""OKX v5's hot messages as declarations.

Rules are those of the documentation as of 2026-06. There is no connector yet: this module declares, and the
decoder reads. What no shape takes is for Python: acknowledgements, notices (64008: reconnect), and the text
`pong`, which is no JSON and must not reach the decoder.

Not declared: `index-tickers`, whose instId is an index that may be named like an instrument, and
`liquidation-orders`.
"""

from __future__ import annotations

from typing import Final

from outcrier.shape_json import to_json
from outcrier.shapes import (
    ANY,
    PRESENT,
    Aggressor,
    AnyShape,
    BboShape,
    CandleShape,
    Chain,
    Checksum,
    DerivShape,
    IntervalWords,
    NoSequence,
    OneOf,
    Sequence_,
    Shape,
    SideWords,
    SnapshotId,
    Tests,
    TickerShape,
    TradeShape,
    payload,
)

_CHANNEL: Final = ("arg", "channel")
_INSTRUMENT: Final = payload("arg", "instId")
_TS: Final = ("ts", "ms")

BOOK_CHANNELS: Final = ("books", "books-l2-tbt", "books50-l2-tbt", "books-rpi")
"""The same message at different depths and speeds. Rows begin with price and size; the rest differs."""

_ROW_REST: Final = tuple((side, ANY, at) for side in ("bids", "asks") for at in (2, 3))
"""A zero and the number of orders."""

_SECONDS: Final = {"s": 1, "m": 60, "H": 3_600, "D": 86_400, "W": 604_800}

_BARS: Final = (
    *("1s", "1m", "3m", "5m", "15m", "30m"),
    *("1H", "2H", "4H", "6H", "12H", "1D", "2D", "3D", "5D", "1W"),
)

_INTERVALS: Final = {f"candle{text}": int(text[:-1]) * _SECONDS[text[-1]] for text in _BARS}
_UTC_INTERVALS: Final = {f"{word}utc": seconds for word, seconds in _INTERVALS.items() if seconds >= 21_600}
"""Bars of six hours and more open at UTC+8 unless named so. Months have no length in seconds."""


def _books(sequence: Sequence_, checksum: Checksum | None) -> Shape:
    return Shape(
        name="books",
        when={_CHANNEL: OneOf(BOOK_CHANNELS), "action": PRESENT},
        each="data",
        instrument=_INSTRUMENT,
        exchange_time=_TS,
        sequence=sequence,
        bids="bids",
        asks="asks",
        snapshot={payload("action"): "snapshot"},
        checksum=checksum,
        known=(*_ROW_REST, "checksum"),
    )


# prevSeqId is the seqId before; a snapshot has -1. An empty update with seqId == prevSeqId keeps alive, and
# one with seqId < prevSeqId restarts the numbers: both continue. `checksum` is 0 since 2026-06-23 and not
# read.
_BOOKS: Final = _books(Chain(last="seqId", prev="prevSeqId", splice="in_stream"), None)

# Recordings of 2022 have no numbers. The checksum is a signed CRC32 over the best 25 levels a side as
# printed.
_BOOKS_2022: Final = _books(NoSequence(splice="in_stream"), Checksum("checksum"))

_BOOKS5: Final = Shape(
    name="books5",
    when={_CHANNEL: "books5"},
    each="data",
    instrument=_INSTRUMENT,
    exchange_time=_TS,
    sequence=NoSequence("seqId", splice="in_stream"),
    bids="bids",
    asks="asks",
    snapshot=True,
    known=(*_ROW_REST, "instId", "checksum", "prevSeqId"),
)

_BBO_TBT: Final = BboShape(
    name="bbo_tbt",
    when={_CHANNEL: "bbo-tbt"},
    each="data",
    instrument=_INSTRUMENT,
    exchange_time=_TS,
    sequence=SnapshotId("seqId"),
    bid_price=("bids", 0, 0),
    bid_qty=("bids", 0, 1),
    bid_orders=("bids", 0, 3),
    ask_price=("asks", 0, 0),
    ask_qty=("asks", 0, 1),
    ask_orders=("asks", 0, 3),
    known=tuple((side, ANY, 2) for side in ("bids", "asks")),
)

# `trades` folds the fills of one order at one price into `count`; `trades-all` has each, without a count.
_TRADES: Final = TradeShape(
    name="trades",
    when={_CHANNEL: OneOf(("trades", "trades-all"))},
    each="data",
    instrument="instId",
    sequence=SnapshotId("seqId"),
    price="px",
    qty="sz",
    time=_TS,
    id="tradeId",
    aggressor=Aggressor("side", SideWords(bid=("buy",), ask=("sell",))),
    n_fills="count",
    known=(_INSTRUMENT,),
)


def _tickers(name: str, kinds: tuple[str, ...], volume: str, turnover: str | None) -> tuple[AnyShape, ...]:
    when: Tests = {_CHANNEL: "tickers", ("data", 0, "instType"): OneOf(kinds)}
    statistics = TickerShape(
        name=name,
        when=when,
        each="data",
        instrument="instId",
        exchange_time=_TS,
        last="last",
        open="open24h",
        high="high24h",
        low="low24h",
        volume=volume,
        turnover=turnover,
        known=(_INSTRUMENT, "lastSz", "sodUtc0", "sodUtc8", "vol24h", "volCcy24h"),
    )
    best = BboShape(
        name=f"{name}_bbo",
        also=True,
        when=when,
        each="data",
        instrument="instId",
        exchange_time=_TS,
        bid_price="bidPx",
        bid_qty="bidSz",
        ask_price="askPx",
        ask_qty="askSz",
    )
    return statistics, best


# vol24h counts coins on spot and contracts elsewhere; volCcy24h is in the quote on spot and in coins
# elsewhere.
_TICKERS: Final = (
    *_tickers("ticker_spot", ("SPOT", "MARGIN"), "vol24h", "volCcy24h"),
    *_tickers("ticker_deriv", ("SWAP", "FUTURES", "OPTION"), "volCcy24h", None),
)

# [ts, open, high, low, close, vol, volCcy, volCcyQuote, confirm]. Which volume is in coins depends on the
# kind of instrument, which the frame does not tell; the last is in the quote everywhere.
_CANDLES: Final = CandleShape(
    name="candles",
    when={_CHANNEL: OneOf((*_INTERVALS, *_UTC_INTERVALS))},
    each="data",
    instrument=_INSTRUMENT,
    open_time=(0, "ms"),
    interval=IntervalWords(payload(*_CHANNEL), {**_INTERVALS, **_UTC_INTERVALS}),
    open=1,
    high=2,
    low=3,
    close=4,
    turnover=7,
    closed={8: "1"},
    known=(5, 6),
)

_MARK_PRICE: Final = DerivShape(
    name="mark_price",
    when={_CHANNEL: "mark-price"},
    each="data",
    instrument="instId",
    exchange_time=_TS,
    mark="markPx",
    known=(_INSTRUMENT, "instType"),
)

# fundingRate is paid at fundingTime, nextFundingRate after it.
_FUNDING_RATE: Final = DerivShape(
    name="funding_rate",
    when={_CHANNEL: "funding-rate"},
    each="data",
    instrument="instId",
    exchange_time=_TS,
    funding_rate="fundingRate",
    next_rate="nextFundingRate",
    next_funding=("fundingTime", "ms"),
    known=(_INSTRUMENT, "instType", "nextFundingTime"),
)

_OPEN_INTEREST: Final = DerivShape(
    name="open_interest",
    when={_CHANNEL: "open-interest"},
    each="data",
    instrument="instId",
    exchange_time=_TS,
    open_interest="oi",
    known=(_INSTRUMENT, "instType", "oiCcy"),
)

_OTHERS: Final = (
    _BOOKS5,
    _BBO_TBT,
    _TRADES,
    *_TICKERS,
    _CANDLES,
    _MARK_PRICE,
    _FUNDING_RATE,
    _OPEN_INTEREST,
)

SHAPES: Final[tuple[AnyShape, ...]] = (_BOOKS, *_OTHERS)
SHAPES_JSON: Final = to_json(SHAPES)

SHAPES_2022: Final[tuple[AnyShape, ...]] = (_BOOKS_2022, *_OTHERS)
SHAPES_2022_JSON: Final = to_json(SHAPES_2022)
