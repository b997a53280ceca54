"""Declarations: what the Rust tests compile is what Python writes, and a mistake is named."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from outcrier import _core
from outcrier.errors import ConfigurationError
from outcrier.shape_json import to_json
from outcrier.shapes import AnyShape, TradingShape, book_proof
from outcrier.venue_numbers import VENUE_NUMBERS
from outcrier.venues import VENUES, bitfinex, venue_by_name

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
    "bitfinex": (bitfinex.SHAPES_JSON, None),
    "bitfinex_untimed": (bitfinex.UNTIMED_SHAPES_JSON, None),
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


# Bits 1 the venue numbers its updates, 2 it sends checksums.
PROOFS: dict[str, tuple[tuple[AnyShape, ...], int]] = {
    **{name: (venue.shapes, 1) for name, venue in VENUES.items()},
    "bybit_v2": (VENUES["bybit_v2"].shapes, 0),
    **{name: (VENUES[name].shapes, 3) for name in ("okx", "okx_swap", "okx_futures", "okx_option")},
    **{name: (VENUES[name].shapes, 2) for name in ("okx_2022", "okcoin")},
    **{name: (VENUES[name].shapes, 2) for name in ("kraken", "kraken_v1")},
    **{
        name: (VENUES[name].shapes, 0) for name in ("coinbase_exchange", "upbit", "bithumb", "bithumb_legacy")
    },
    "bitfinex": (bitfinex.SHAPES, 1),
}


@pytest.mark.parametrize("name", PROOFS)
def test_what_proves_a_book_follows_from_its_declaration(name: str) -> None:
    shapes, bits = PROOFS[name]
    assert book_proof(shapes) == bits


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


def test_a_status_that_is_not_the_venues_to_say_is_refused() -> None:
    shape = TradingShape(name="status", instrument="s", states=((2, {"x": True}),))
    with pytest.raises(ValueError, match='shape "status": states: allowed is 1 open, 4 halted'):
        feed_of(to_json([shape]))
