"""Declarations: what the Rust tests compile is what Python writes, and a mistake is named."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from outcrier import _core
from outcrier.errors import ConfigurationError
from outcrier.venue_numbers import VENUE_NUMBERS
from outcrier.venues import VENUES, bitfinex, bybit, coinbase, kraken, okx, upbit, venue_by_name

FIXTURES = Path(__file__).parent.parent / "rust_core" / "core" / "tests" / "shapes"


def test_the_declarations_of_the_rust_tests_are_those_of_python() -> None:
    written: dict[str, str] = runpy.run_path(str(FIXTURES / "write.py"))["files"]()
    assert {path.name for path in FIXTURES.glob("*.json")} == set(written)
    for name, text in written.items():
        assert (FIXTURES / name).read_text() == text, f"run {FIXTURES / 'write.py'}"


def feed_of(shapes: str) -> _core.Feed:
    return _core.Feed(
        _core.Publisher.memory(), venue=2, channel=2, session=1, publisher_id=1, shapes=shapes, build="test"
    )


@pytest.mark.parametrize("name", VENUES)
def test_every_venue_compiles(name: str) -> None:
    feed_of(VENUES[name].shapes_json)


# Of venues without a connector, and what keeps a feed from publishing their books.
DECLARED = {
    "bybit": (bybit.SHAPES_JSON, None),
    "bybit_v2": (bybit.V2_SHAPES_JSON, "level: id"),
    "okx": (okx.SHAPES_JSON, None),
    "okx_2022": (okx.SHAPES_2022_JSON, "checksum"),
    "coinbase": (coinbase.SHAPES_JSON, "sequence: connection_plus_one"),
    "coinbase_exchange": (coinbase.EXCHANGE_SHAPES_JSON, None),
    "kraken": (kraken.SHAPES_JSON, "depth"),
    "upbit": (upbit.SHAPES_JSON, None),
    "bitfinex": (bitfinex.SHAPES_JSON, "sequence: connection_plus_one"),
    "bitfinex_untimed": (bitfinex.UNTIMED_SHAPES_JSON, "sequence: connection_plus_one"),
}


@pytest.mark.parametrize("name", DECLARED)
def test_declarations_without_a_connector_compile_and_a_feed_refuses_what_it_cannot_publish(
    name: str,
) -> None:
    shapes, refused = DECLARED[name]
    _core.Decoder(shapes)
    if refused is None:
        feed_of(shapes)
    else:
        with pytest.raises(ValueError, match=f"{refused} can be decoded, but not yet published"):
            feed_of(shapes)


def test_a_venue_without_a_connector_cannot_be_chosen() -> None:
    assert set(VENUES) <= set(VENUE_NUMBERS)
    assert not {name.partition("_")[0] for name in DECLARED} & set(VENUES)
    with pytest.raises(ConfigurationError, match="bitfinex has a number but no connector yet: venues are"):
        venue_by_name("bitfinex")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("each", {"scope": "nowhere", "path": []}, "nowhere"),
        ("unheard_of", 1, "unheard_of"),
        ("instrument", {"type": "symbol"}, "instrument|text"),
    ],
)
def test_a_mistake_in_a_declaration_is_named(key: str, value: Any, said: str) -> None:
    spec = json.loads(VENUES["binance"].shapes_json)
    spec["shapes"][0][key] = value
    with pytest.raises(ValueError, match=said):
        feed_of(json.dumps(spec))
