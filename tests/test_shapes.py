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
from outcrier.shapes import AnyShape, Checksum, OrdersShape, Shape, SideWords, TradingShape, book_proof
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


SIDES: dict[str, Any] = {"name": "book", "instrument": "s", "bids": "b", "asks": "a"}


def test_all_lists_are_needed_unless_the_shape_says_that_empty_ones_are_left_out() -> None:
    one, both, other = (
        b'{"s":"AB","b":[["1","2"]]}',
        b'{"s":"AB","b":[["1","2"]],"a":[]}',
        b'{"s":"AB","b":[["1","2"]],"ask":[["3","4"]]}',
    )
    for shape, reasons in (
        (Shape(**SIDES), {one: "missing field a", both: "", other: "missing field a"}),
        (Shape(**SIDES, omits_empty=True), {one: "", both: "", other: "unknown list of levels"}),
    ):
        decoder = _core.Decoder(to_json([shape]))
        decoder.add("AB", 0, 0)
        for _ in range(8):
            for message, reason in reasons.items():
                assert decoder.decode(1, message) == (decoder.FAULT if reason else decoder.HANDLED)
                assert decoder.reason == reason


ORDERS: dict[str, Any] = {"name": "orders", "instrument": "s", "id": "text", "verb": "add"}
ONE: dict[str, Any] = {"id": "i", "price": "p", "qty": "q", "side": "d"}
WORDS = SideWords(("b",), ("a",))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"order": {"price": "p"}, "side": WORDS}, "order: allowed is a field id"),
        ({"order": {**ONE, "size": "q"}, "side": WORDS}, "order: allowed is id, price, .* instead of .*size"),
        ({"order": ONE}, "side: allowed is SideWords with a field side"),
        ({"order": {"id": 0}, "bids": "b"}, "bids: allowed is together with asks"),
        ({"order": {"id": 0, "side": 1}, "bids": "b", "asks": "a", "side": WORDS}, "side: allowed is"),
        ({"order": {**ONE, "verb": "e"}, "side": WORDS}, "verb: allowed is words together with a field verb"),
        ({"order": ONE, "side": WORDS, "verb": {"n": "add"}}, "verb: allowed is words together with"),
        ({"order": ONE, "side": WORDS, "by_time": True}, "by_time: allowed is only with a field time"),
        ({"order": ONE, "side": WORDS, "checksum": Checksum("c", "okx")}, 'checksum: allowed is "kraken"'),
        ({"order": ONE, "side": WORDS, "id": "hash"}, "unknown variant `hash`"),
    ],
)
def test_a_mistake_in_orders_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        feed_of(to_json([OrdersShape(**{**ORDERS, **fields})]))


def test_an_order_by_position_and_number() -> None:
    """No venue so far has orders in arrays that name their verb, or ids that are numbers."""
    shape = OrdersShape(
        name="orders",
        instrument="s",
        bids="b",
        asks="a",
        order={"verb": 0, "id": 1, "price": 4, "qty": 2, "time": 3},
        id="number",
        time_unit="ms",
        verb={"n": "add", "c": "modify", "x": "delete", "t": "execute", "k": "pass"},
    )
    decoder = _core.Decoder(to_json([shape]))
    decoder.add("AB", -1, 0)
    for _ in range(8):
        message = (
            b'{"s":"AB","b":[["n",18446744073709551615,"3",5,"1.5"],["k",1]],"a":[["x","7"],["t",8,"2"]]}'
        )
        assert decoder.decode(1, message) == decoder.HANDLED, decoder.reason
        (event,) = decoder.events()
        said = [
            (row["verb"], row["key"], row["side"], row["price"], row["qty"], row["ts"])
            for row in event["orders"]
        ]
        assert said == [
            ("add", 2**64 - 1, 1, 15, 3, 5_000_000),
            ("delete", 7, 2, None, None, None),
            ("execute", 8, 2, None, 2, None),
        ]
        for bad, reason in (
            (b"18446744073709551616", "bad order id"),
            (b"-1", "bad order id"),
            (b'"x"', "bad"),
        ):
            assert decoder.decode(1, message.replace(b"18446744073709551615", bad)) == decoder.FAULT
            assert decoder.reason.startswith(reason)
        assert decoder.decode(1, b'{"s":"AB","b":[["new",1]],"a":[]}') == decoder.FAULT
        assert decoder.reason == "unknown verb"


def test_which_venues_leave_out_empty_lists() -> None:
    """By their recordings and documentation; a venue that does so for good reason is added here by hand."""
    omitting = {
        (name, shape.name)
        for name, venue in VENUES.items()
        for shape in venue.shapes
        if isinstance(shape, Shape) and shape.omits_empty
    }
    assert omitting == {("kraken_v1", "book")}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"asks": None}, "levels: allowed is bids and asks, or else levels"),
        ({"omits_empty": True, "one": True}, "omits_empty: allowed is only with several lists of levels"),
        (
            {"omits_empty": True, "bids": None, "asks": None, "levels": "l", "side": "sign"},
            "omits_empty: allowed is only with several lists of levels",
        ),
    ],
)
def test_sides_that_make_no_sense_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f'shape "book": {said}'):
        feed_of(to_json([Shape(**{**SIDES, **fields})]))
