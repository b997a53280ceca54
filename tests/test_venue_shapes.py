"""Declarations of venues without a connector on their recorded sessions: what the core reads of every
message, and what it leaves to Python, is what a plain decoder says.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import plain_venues as plain
from outcrier.venues import bitfinex, coinbase, kraken, kraken_v1
from plain_events import lines, parse
from venue_sessions import Captures, Exps, Session, check_contents, check_unknown, exponent

# Exponents by the instrument lists that were read before the sessions.


def coinbase_exps(body: Any) -> Exps:
    rows = body["products"] if isinstance(body, dict) else body
    return {
        row.get("product_id") or row["id"]: (
            exponent(Decimal(row["quote_increment"])),
            exponent(Decimal(row["base_increment"])),
        )
        for row in rows
    }


def listed(name: str, exps: Callable[[Any], Exps]) -> Callable[[Captures], Exps]:
    """Exponents by the list of that name."""

    def read(capture: Captures) -> Exps:
        found: Exps = {}
        for body in lines(capture(name), "http"):
            found |= exps(parse(body))
        return found

    return read


def bitfinex_sequence(message: Any) -> int | None:
    return message[-1] if isinstance(message, list) else None


SESSIONS = [
    Session(
        "coinbase/advanced_2026-08-09",
        coinbase.SHAPES_JSON,
        lambda: plain.coinbase,
        {
            "messages": 658,
            "for_python": 21,
            "book": 485,
            "levels": 72172,
            "trade": 258,
            "bbo": 105,
            "ticker": 105,
            "candle": 202,
        },
        listed("coinbase/advanced_2026-08-09_instruments", coinbase_exps),
        lambda message: message["sequence_num"],
    ),
    Session(
        "coinbase/advanced_level2_btcusd_2026-08-24",
        coinbase.SHAPES_JSON,
        lambda: plain.coinbase,
        {"messages": 12, "for_python": 1, "book": 11, "levels": 43},
        sequence=lambda message: message["sequence_num"],
    ),
    Session(
        "coinbase/exchange_2021-04-17",
        coinbase.EXCHANGE_SHAPES_JSON,
        lambda: plain.coinbase_exchange,
        {"messages": 6265, "for_python": 3, "book": 6170, "levels": 14522, "trade": 46, "ticker": 46},
        listed("coinbase/exchange_instruments", coinbase_exps),
    ),
    Session(
        "coinbase/ssc2ce_dump_2020-06",
        coinbase.EXCHANGE_SHAPES_JSON,
        lambda: plain.coinbase_exchange,
        {"messages": 19, "for_python": 2, "book": 17, "levels": 24},
    ),
    Session(
        "kraken/v2_book10_btcusd_2026-08-24",
        kraken.SHAPES_JSON,
        lambda: plain.kraken,
        {"messages": 8, "for_python": 4, "book": 4, "levels": 25},
    ),
    Session(
        "kraken/v1_book_2021-04-17",
        kraken_v1.SHAPES_JSON,
        lambda: plain.kraken_v1,
        {"messages": 2285, "for_python": 31, "book": 2254, "levels": 9719},
    ),
    Session(
        "bitfinex/v2_2021-04-17",
        bitfinex.UNTIMED_SHAPES_JSON,
        plain.Bitfinex,
        {"messages": 1160, "for_python": 65, "book": 1072, "levels": 2398, "trade": 210, "ticker": 16},
        sequence=bitfinex_sequence,
    ),
]

each_session = pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.capture)


@each_session
def test_the_core_reads_what_a_plain_decoder_reads(session: Session, capture: Captures) -> None:
    check_contents(session, capture)


@each_session
def test_instruments_that_nobody_asked_for_are_counted_unknown(session: Session, capture: Captures) -> None:
    check_unknown(session, capture)
