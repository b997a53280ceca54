"""Declarations of venues without a connector on their recorded sessions: what the core reads of every
message, and what it leaves to Python, is what a plain decoder says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import plain_venues as plain
from core_events import Decoder, Reader
from outcrier.venues import bitfinex, bybit, okx
from plain_events import LIQUIDATION, Bbo, Book, Event, Plain, Trade, hashed, lines, parse, received

Exps = dict[str, tuple[int, int]]


def exponent(*printed: Decimal) -> int:
    """The coarsest exponent, at most 0, that holds all."""
    exponents = [number.normalize().as_tuple().exponent for number in printed]
    return min([0, *(each for each in exponents if isinstance(each, int))])


# Exponents by the instrument lists that were read before the sessions.


def bybit_exps(body: Any) -> Exps:
    found = {}
    for row in body["result"]["list"]:
        lot = row["lotSizeFilter"]
        step = lot.get("qtyStep") or lot["basePrecision"]
        found[row["symbol"]] = exponent(Decimal(row["priceFilter"]["tickSize"])), exponent(Decimal(step))
    return found


def bybit_v2_exps(body: Any) -> Exps:
    return {
        row["name"]: (
            exponent(Decimal(row["price_filter"]["tick_size"])),
            exponent(Decimal(row["lot_size_filter"]["qty_step"])),
        )
        for row in body["result"]
    }


def okx_exps(body: Any) -> Exps:
    return {
        row["instId"]: (exponent(Decimal(row["tickSz"])), exponent(Decimal(row["lotSz"])))
        for row in body["data"]
    }


@dataclass(frozen=True)
class Session:
    """A capture, the declarations for it, and what stands in it."""

    capture: str
    shapes: str
    plain: Callable[[], Plain]
    counts: dict[str, int]
    """Messages, those for Python, events by kind (trades one by one), and levels."""
    listed: tuple[str, Callable[[Any], Exps]] | None = None
    """The instrument list and its reader; instruments that it does not name start at exponents 0."""
    sequence: Callable[[Any], int | None] = lambda _message: None
    """The number of a message on its connection."""


def bitfinex_sequence(message: Any) -> int | None:
    return message[-1] if isinstance(message, list) else None


BYBIT_LIST = ("bybit/v5_2026-08-09_instruments", bybit_exps)
OKX_LIST = ("okx/v5_public_instruments", okx_exps)

SESSIONS = [
    Session(
        "bybit/v5_linear_2026-08-09",
        bybit.SHAPES_JSON,
        lambda: plain.bybit,
        {
            "messages": 1652,
            "for_python": 17,
            "book": 1019,
            "levels": 12060,
            "trade": 167,
            "ticker": 51,
            "candle": 51,
            "deriv": 103,
        },
        BYBIT_LIST,
    ),
    Session(
        "bybit/v5_spot_2026-08-09",
        bybit.SHAPES_JSON,
        lambda: plain.bybit,
        {
            "messages": 681,
            "for_python": 7,
            "book": 550,
            "levels": 3075,
            "trade": 20,
            "ticker": 81,
            "candle": 25,
        },
        BYBIT_LIST,
    ),
    Session(
        "bybit/v5_linear_l1_2025-06-13",
        bybit.SHAPES_JSON,
        lambda: plain.bybit,
        {"messages": 202, "for_python": 4, "book": 198, "levels": 396},
        BYBIT_LIST,
    ),
    Session(
        "bybit/v5_spot_l1_2025-06-13",
        bybit.SHAPES_JSON,
        lambda: plain.bybit,
        {"messages": 145, "for_python": 6, "book": 139, "levels": 278},
        BYBIT_LIST,
    ),
    Session(
        "bybit/v5_linear_orderbook1_btcusdt_2024-11-08",
        bybit.SHAPES_JSON,
        lambda: plain.bybit,
        {"messages": 2355, "for_python": 1, "book": 2354, "levels": 3044},
    ),
    Session(
        "bybit/v5_spot_orderbook50_btcusdt_2026-08-24",
        bybit.SHAPES_JSON,
        lambda: plain.bybit,
        {"messages": 10, "for_python": 1, "book": 9, "levels": 116},
    ),
    Session(
        "bybit/v2_linear_2021-04-17",
        bybit.V2_SHAPES_JSON,
        lambda: plain.bybit_v2,
        {"messages": 3342, "for_python": 16, "book": 3260, "levels": 20342, "trade": 101},
        ("bybit/v2_linear_instruments", bybit_v2_exps),
    ),
    Session(
        "okx/v5_public_2022-05-13",
        okx.SHAPES_JSON,
        lambda: plain.okx,
        {
            "messages": 272,
            "for_python": 18,
            "book": 188,
            "levels": 5423,
            "trade": 46,
            "bbo": 20,
            "ticker": 20,
        },
        OKX_LIST,
    ),
    Session(
        "okx/v5_public_2022-05-13",
        okx.SHAPES_2022_JSON,
        lambda: plain.okx_2022,
        {
            "messages": 272,
            "for_python": 18,
            "book": 188,
            "levels": 5423,
            "trade": 46,
            "bbo": 20,
            "ticker": 20,
        },
        OKX_LIST,
    ),
    Session(
        "okx/v5_tbt_2022-02-27",
        okx.SHAPES_2022_JSON,
        lambda: plain.okx_2022,
        {
            "messages": 2509,
            "for_python": 60,
            "book": 2415,
            "levels": 10832,
            "trade": 17,
            "bbo": 17,
            "ticker": 17,
        },
        OKX_LIST,
    ),
    Session(
        "okcoin/spot_2023-05-27",
        okx.SHAPES_2022_JSON,
        lambda: plain.okx_2022,
        {
            "messages": 70,
            "for_python": 40,
            "book": 6,
            "levels": 720,
            "trade": 4,
            "bbo": 8,
            "ticker": 8,
            "candle": 12,
        },
    ),
    Session(
        "bitfinex/v2_2021-04-17",
        bitfinex.UNTIMED_SHAPES_JSON,
        plain.Bitfinex,
        {"messages": 1160, "for_python": 65, "book": 1072, "levels": 2398, "trade": 210, "ticker": 16},
        None,
        bitfinex_sequence,
    ),
]

each_session = pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.capture)


def printed(events: list[Event]) -> Iterator[tuple[str, list[Decimal], list[Decimal]]]:
    """Symbol, prices and quantities that an instrument's exponents must hold."""
    for event in events:
        match event:
            case Book():
                levels = [*event.bids, *event.asks]
                yield event.symbol, [price for price, _ in levels], [qty for _, qty in levels]
            case Trade() if not event.flags & LIQUIDATION:
                yield event.symbol, [event.price], [event.qty]
            case Bbo():
                sides = [side for side in (event.bid, event.ask) if side is not None]
                yield event.symbol, [side[0] for side in sides], [side[1] for side in sides]
            case _:
                pass


@pytest.fixture
def listed(capture: Callable[[str], Path]) -> Callable[[Session], Exps]:
    def read(session: Session) -> Exps:
        if session.listed is None:
            return {}
        name, exps = session.listed
        found: Exps = {}
        for body in lines(capture(name), "http"):
            found |= exps(parse(body))
        return found

    return read


@each_session
def test_the_core_reads_what_a_plain_decoder_reads(
    session: Session, capture: Callable[[str], Path], listed: Callable[[Session], Exps]
) -> None:
    frames = list(received(capture(session.capture)))
    parsed = [parse(frame) for frame in frames]
    decode = session.plain()
    wanted = [None if (events := decode(message)) is None else hashed(events) for message in parsed]
    exps = listed(session)
    finest: dict[str, list[int]] = {}
    for symbol, prices, quantities in printed([event for events in wanted for event in events or ()]):
        mine = finest.setdefault(symbol, list(exps.get(symbol, (0, 0))))
        mine[:] = min(mine[0], exponent(*prices)), min(mine[1], exponent(*quantities))
    reader = Reader(session.shapes)
    for symbol in dict.fromkeys(event.symbol for events in wanted for event in events or ()):
        reader.add(symbol, exps.get(symbol, (0, 0)))
    counts: Counter[str] = Counter()
    sequence: list[int] = []
    for frame, message, want in zip(frames, parsed, wanted, strict=True):
        outcome = reader.read(frame)
        number = session.sequence(message)
        assert reader.decoder.connection_seq == number
        sequence += [] if number is None else [number]
        counts["messages"] += 1
        if want is None:
            assert outcome == Decoder.NOT_MINE, frame[:400]
            counts["for_python"] += 1
            reader.bind_all(message)
            continue
        assert outcome == Decoder.HANDLED, (frame[:400], reader.decoder.reason)
        assert reader.events() == want, frame[:400]
        for event in want:
            counts[type(event).__name__.lower()] += 1
            if isinstance(event, Book):
                counts["levels"] += len(event.bids) + len(event.asks)
    # The recording ends before its source does, but misses nothing.
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence))) if sequence else True
    assert {symbol: list(reader.decoder.scale(index)) for index, symbol in enumerate(reader.symbols)} == {
        symbol: finest.get(symbol, list(exps.get(symbol, (0, 0)))) for symbol in reader.symbols
    }
    assert counts == session.counts


@each_session
def test_instruments_that_nobody_asked_for_are_counted_unknown(
    session: Session, capture: Callable[[str], Path]
) -> None:
    frames = list(received(capture(session.capture)))
    parsed = [parse(frame) for frame in frames]
    decode = session.plain()
    wanted = [None if (events := decode(message)) is None else hashed(events) for message in parsed]
    symbols = list(dict.fromkeys(event.symbol for events in wanted for event in events or ()))
    reader = Reader(session.shapes)
    for symbol in symbols[::2] if len(symbols) > 1 else []:
        reader.add(symbol)
    for frame, message, want in zip(frames, parsed, wanted, strict=True):
        outcome = reader.read(frame)
        if want is None:
            assert outcome == Decoder.NOT_MINE
            reader.bind_all(message)
        elif kept := [event for event in want if event.symbol in reader.symbols]:
            assert outcome == Decoder.HANDLED
            assert reader.events() == kept
        elif want:
            assert outcome == Decoder.UNKNOWN_INSTRUMENT
            assert reader.events() == []
