"""JSON to fixed point, called from Python: the declared shapes of a venue beside orjson.

Ours ends with integers of known exponents in memory that is used again, without Python objects; orjson with
objects whose numbers are still texts.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from benchmarks.frame import OURS, AtLeast, Measure, Row
from benchmarks.messages import SETS, MessageSet, scaled
from outcrier import _core
from outcrier.venues import venue_by_name

ROW = Row(
    "JSON to fixed point, from Python",
    "ns/message",
    (AtLeast(4, "orjson"),),
    (
        "ours: `Decoder.decode` for each message; orjson: `orjson.loads` for each message, which leaves the "
        "numbers as texts."
    ),
)

pytestmark = pytest.mark.parametrize("on", list(SETS))

CONNECTION = 1

Numbers = list[tuple[int, int]]


def decoder(messages: MessageSet) -> _core.Decoder:
    """A decoder that knows the exponents of the whole set."""
    made = _core.Decoder(venue_by_name(messages.venue).shapes_json)
    for symbol in messages.snapshots:
        made.add(symbol, 0, 0)
    for message in messages.messages:
        if made.decode(CONNECTION, message) == made.NEEDS_FINER:
            finer = made.finer
            assert finer is not None
            made.set_scale(*finer)
    return made


def numbers_by_ours(made: _core.Decoder, messages: MessageSet) -> Numbers:
    """Price and quantity of every level and trade, in order, at the places of the answers."""
    found: Numbers = []
    for message in messages.messages:
        assert made.decode(CONNECTION, message) == made.HANDLED, made.reason
        for event in made.events():
            price_exp, qty_exp = event["exps"]
            if event["type"] == "book":
                pairs = [(level[0], level[1]) for level in (*event["bids"], *event["asks"])]
            else:
                pairs = [(trade["price"], trade["qty"]) for trade in event["trades"]]
            found.extend(
                (scaled(Decimal(price).scaleb(price_exp)), scaled(Decimal(qty).scaleb(qty_exp)))
                for price, qty in pairs
            )
    return found


def numbers_of(decoded: list[Any]) -> Numbers:
    """The same from decoded messages."""
    found: Numbers = []
    for data in decoded:
        levels = data["b"] + data["a"] if data["e"] == "depthUpdate" else [(data["p"], data["q"])]
        found.extend((scaled(Decimal(price)), scaled(Decimal(qty))) for price, qty in levels)
    return found


def test_ours(measure: Measure, messages: MessageSet, on: str) -> None:
    made = decoder(messages)

    def run(made: _core.Decoder) -> None:
        decode = made.decode
        for message in messages.messages:
            decode(CONNECTION, message)

    measure.time(
        ROW,
        OURS,
        on=on,
        setup=lambda: made,
        run=run,
        answer=lambda made: numbers_by_ours(made, messages),
        expected=numbers_of(messages.decoded),
        per=len(messages.messages),
    )


@pytest.mark.peer
def test_orjson(measure: Measure, messages: MessageSet, on: str) -> None:
    from orjson import loads  # noqa: PLC0415 - where the peers are

    def run(_: None) -> None:
        for message in messages.messages:
            loads(message)

    measure.time(
        ROW,
        "orjson",
        on=on,
        setup=lambda: None,
        run=run,
        answer=lambda _: numbers_of([loads(message)["data"] for message in messages.messages]),
        expected=numbers_of(messages.decoded),
        per=len(messages.messages),
    )
