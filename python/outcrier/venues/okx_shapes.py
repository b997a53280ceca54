"""OKX v5's hot messages as declarations, by kind of instrument.

Rules are those of the documentation as of 2026-06. What no shape takes is for Python: acknowledgements,
notices, the `instruments` channel, and the text `pong`.
"""

from __future__ import annotations

from typing import Final

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
    LiquidationShape,
    NoSequence,
    OneOf,
    Sequence_,
    Shape,
    SideWords,
    SnapshotId,
    Tests,
    TickerShape,
    TradeShape,
    element,
    payload,
)

_CHANNEL: Final = ("arg", "channel")
_INSTRUMENT: Final = payload("arg", "instId")
_TS: Final = ("ts", "ms")
_BUY_SELL: Final = SideWords(bid=("buy",), ask=("sell",))

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


def _books(channels: tuple[str, ...], sequence: Sequence_) -> Shape:
    """Rows are [price, size, "0", orders]. The checksum is 0, which means none, since 2026-06-23."""
    return Shape(
        name="books",
        when={_CHANNEL: OneOf(channels), "action": PRESENT},
        each="data",
        instrument=_INSTRUMENT,
        exchange_time=_TS,
        sequence=sequence,
        bids="bids",
        asks="asks",
        snapshot={payload("action"): "snapshot"},
        checksum=Checksum("checksum", "okx"),
        known=_ROW_REST,
    )


# prevSeqId is the seqId before; a snapshot has -1. An empty update with seqId == prevSeqId keeps alive, and
# one with seqId < prevSeqId restarts the numbers: both continue. `checksum` is 0 since 2026-06-23, which
# means none.
_BOOKS: Final = _books(("books",), Chain(last="seqId", prev="prevSeqId", splice="in_stream"))

# Until 2022 (Okcoin: 2023) without numbers; the checksum alone proves the book.
_BOOKS_2022: Final = _books(("books", "books-l2-tbt"), NoSequence(splice="in_stream"))

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
    depth=5,
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
    known=(*((side, ANY, 2) for side in ("bids", "asks")), "instId", "checksum", "prevSeqId"),
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
    aggressor=Aggressor("side", _BUY_SELL),
    n_fills="count",
    known=(_INSTRUMENT, "source"),
)


def _ticker(name: str, when: Tests, volume: str, turnover: str | None) -> TickerShape:
    best = ("bidPx", "bidSz", "askPx", "askSz")
    return TickerShape(
        name=name,
        when={_CHANNEL: "tickers", **when},
        each="data",
        instrument="instId",
        exchange_time=_TS,
        last="last",
        open="open24h",
        high="high24h",
        low="low24h",
        volume=volume,
        turnover=turnover,
        known=(_INSTRUMENT, "instType", "lastSz", "sodUtc0", "sodUtc8", "vol24h", "volCcy24h", *best),
    )


def _ticker_bbo(name: str, when: Tests) -> BboShape:
    """Best prices of a ticker: only where the dialect has no `bbo-tbt`, behind which they would lag."""
    return BboShape(
        name=name,
        also=True,
        when={_CHANNEL: "tickers", **when},
        each="data",
        instrument="instId",
        exchange_time=_TS,
        bid_price="bidPx",
        bid_qty="bidSz",
        ask_price="askPx",
        ask_qty="askSz",
    )


def _candles(volume: int) -> CandleShape:
    """[ts, open, high, low, close, vol, volCcy, volCcyQuote, confirm]: `vol` counts coins on spot and
    contracts elsewhere, where `volCcy` counts coins; the last is in the quote everywhere.
    """
    return CandleShape(
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
        volume=volume,
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

# fundingRate is paid at fundingTime, nextFundingRate after it; the latter may be empty.
_FUNDING_RATE: Final = DerivShape(
    name="funding_rate",
    when={_CHANNEL: "funding-rate"},
    each="data",
    instrument="instId",
    exchange_time=_TS,
    funding_rate="fundingRate",
    next_rate="nextFundingRate",
    next_funding=("fundingTime", "ms"),
    known=(
        *(_INSTRUMENT, "instType", "nextFundingTime", "prevFundingTime", "method", "formulaType"),
        *("minFundingRate", "maxFundingRate", "interestRate", "impactValue", "premium"),
        *("settState", "settFundingRate"),
    ),
)

# oi counts contracts, oiCcy coins.
_OPEN_INTEREST: Final = DerivShape(
    name="open_interest",
    when={_CHANNEL: "open-interest"},
    each="data",
    instrument="instId",
    exchange_time=_TS,
    open_interest="oi",
    known=(_INSTRUMENT, "instType", "oiCcy", "oiUsd"),
)

# instId names an index here, which is an instrument of its own beside the contracts on it.
_INDEX_TICKERS: Final = DerivShape(
    name="index_tickers",
    when={_CHANNEL: "index-tickers"},
    each="data",
    instrument="instId",
    exchange_time=_TS,
    index="idxPx",
    known=(_INSTRUMENT, "open24h", "high24h", "low24h", "sodUtc0", "sodUtc8"),
)

# side is the forced order's (posSide long: sell); bkPx the price of bankruptcy, sz in contracts.
_LIQUIDATIONS: Final = LiquidationShape(
    name="liquidation_orders",
    when={_CHANNEL: "liquidation-orders"},
    each="data",
    inner="details",
    instrument=element("instId"),
    price="bkPx",
    qty="sz",
    time=_TS,
    aggressor=Aggressor("side", _BUY_SELL),
    known=(
        *(payload("arg", key) for key in ("instType", "instFamily", "instId")),
        *(element(key) for key in ("instType", "instFamily", "uly")),
        *("posSide", "bkLoss", "ccy"),
    ),
)

# vol24h counts coins on spot and contracts elsewhere; volCcy24h is in the quote on spot and in coins
# elsewhere.
_SPOT_VOLUMES: Final = ("vol24h", "volCcy24h")
_CONTRACT_VOLUMES: Final = ("volCcy24h", None)

_COMMON: Final = (_BOOKS, _BOOKS5, _BBO_TBT, _TRADES)

SPOT_SHAPES: Final[tuple[AnyShape, ...]] = (*_COMMON, _ticker("ticker", {}, *_SPOT_VOLUMES), _candles(5))

CONTRACT_SHAPES: Final[tuple[AnyShape, ...]] = (
    *_COMMON,
    _ticker("ticker", {}, *_CONTRACT_VOLUMES),
    _candles(6),
    _MARK_PRICE,
    _FUNDING_RATE,
    _OPEN_INTEREST,
    _INDEX_TICKERS,
    _LIQUIDATIONS,
)

_IS_SPOT: Final[Tests] = {("data", 0, "instType"): OneOf(("SPOT", "MARGIN"))}
_IS_CONTRACT: Final[Tests] = {("data", 0, "instType"): OneOf(("SWAP", "FUTURES", "OPTION"))}

SHAPES_2022: Final[tuple[AnyShape, ...]] = (
    _BOOKS_2022,
    _TRADES,
    _ticker("ticker_spot", _IS_SPOT, *_SPOT_VOLUMES),
    _ticker_bbo("ticker_spot_bbo", _IS_SPOT),
    _ticker("ticker_contract", _IS_CONTRACT, *_CONTRACT_VOLUMES),
    _ticker_bbo("ticker_contract_bbo", _IS_CONTRACT),
)
"""All kinds of instruments on one connection."""

OKCOIN_SHAPES: Final[tuple[AnyShape, ...]] = (
    _BOOKS_2022,
    _TRADES,
    _ticker("ticker", {}, *_SPOT_VOLUMES),
    _ticker_bbo("ticker_bbo", {}),
    _candles(5),
)
