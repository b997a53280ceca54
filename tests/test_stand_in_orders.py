"""The orders that a stand-in has for who comes late: what the documented messages of level3, full leave."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from conftest import ROOT
from outcrier.venues import VENUES, coinbase_orders, kraken_level3

DOCUMENTED = ROOT / "rust_core" / "core" / "tests" / "documented"
FULL: dict[str, Any] = json.loads((DOCUMENTED / "coinbase_full.json").read_text())
LEVEL3 = [(DOCUMENTED / f"kraken_level3_{name}.json").read_text() for name in ("guide", "update")]
MESSAGES = [json.dumps(message) for message in FULL.values() if isinstance(message, dict)]
FIRST, SECOND = (f"{letter * 8}-77a8-460a-b958-66f114b0de9b" for letter in "ab")
BITS = (
    "[1]",
    "{}",
    "null",
    "-1",
    "1e999",
    "9" * 23,
    "true",
    '"x"',
    '""',
    '"NaN"',
    '"Infinity"',
    '"1E9999999"',
)


def after(state: str | None, name: str, sequence: int, **changes: Any) -> str | None:
    return coinbase_orders.book_after(state, json.dumps({**FULL[name], "sequence": sequence, **changes}))


def test_coinbases_answer_of_rest_has_what_the_messages_leave() -> None:
    state = after(None, "open", 1, order_id=FIRST, side="sell", price="200.2", remaining_size="2")
    state = after(state, "open", 2, order_id=SECOND, side="sell", price="200.2", remaining_size="3")
    state = after(state, "received", 3)
    state = after(state, "match", 4, maker_order_id=FIRST, side="sell", size="0.5")
    assert json.loads(state or "") == {
        "sequence": 4,
        "bids": [],
        "asks": [["200.2", "1.5", FIRST], ["200.2", "3", SECOND]],
    }
    larger = after(state, "change", 5, order_id=FIRST, side="sell", new_size="4")
    assert [row[2] for row in json.loads(larger or "")["asks"]] == [SECOND, FIRST], "behind the others"
    state = after(state, "match", 5, maker_order_id=FIRST, side="sell", size="1.5")
    state = after(state, "done", 6, order_id=FIRST, side="sell")
    state = after(state, "done", 7, order_id=SECOND, side="sell")
    assert json.loads(state or "") == {"sequence": 7, "bids": [], "asks": []}


def test_krakens_snapshot_of_late_has_the_checksum_of_its_orders() -> None:
    state = kraken_level3.book_after(None, LEVEL3[0])
    assert json.loads(state or "")["data"][0]["checksum"] == 1_063_832_831, "that of the guide"
    assert kraken_level3.book_after(None, LEVEL3[1]) is None, "no whole book was before it"


@pytest.mark.parametrize(
    ("book_after", "texts", "runs"),
    [(coinbase_orders.book_after, MESSAGES, 400), (kraken_level3.book_after, LEVEL3, 60)],
)
def test_damaged_messages_raise_nothing(
    book_after: Callable[[str | None, str], str | None], texts: list[str], runs: int
) -> None:
    rng = random.Random(6)  # noqa: S311 - a test

    def damaged(text: str) -> str:
        found = rng.choice(list(re.finditer(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*', text)))
        return text[: found.start()] + rng.choice(BITS) + text[found.end() :]

    for _ in range(runs):
        state = book_after(None, rng.choice(texts))
        state = book_after(state, damaged(rng.choice(texts)))
        state = book_after(state, rng.choice(texts))
        assert state is None or json.loads(state)


def test_the_stand_in_takes_the_path_of_the_other_host_below_its_own() -> None:
    side = VENUES["kraken"].exchange
    assert side.accepts(f"/{kraken_level3.HOST}/v2")
    assert side.accepts("/v2")
    assert not side.accepts("/other.example/v2")
