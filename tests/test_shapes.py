"""Declarations: what the Rust tests compile is what Python writes, and a mistake is named."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from outcrier import _core
from outcrier.venues import VENUES

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
