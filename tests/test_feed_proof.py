"""What venues give to prove a book, over every message that has it: checksums, and numbers of a connection.

The books of the feed, those of plain decoders and those of a consumer are compared after every message.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from feed_bench import Bench
from outcrier import _core
from outcrier.cli.book import as_object, heading
from outcrier.prices import converter
from outcrier.shape_json import to_json
from outcrier.shapes import Chain, Checksum, Shape, SnapshotId
from outcrier.venues import VENUES
from outcrier.venues.kraken_shapes import DEPTH
from outcrier.venues.kraken_v1 import KRAKEN_V1
from outcrier.views import BookView, instrument_of
from plain import coinbase, kraken, okx
from plain_events import Book, Plain, parse, received
from venue_bench import PlainBooks, VenueBench

CaptureFinder = Callable[[str], Path]

STALE, LIVE, RECOVERING = 2, 1, 3
REASON_GAP, REASON_CHECKSUM = 1, 2


@dataclass(frozen=True)
class Proven:
    """A capture whose book messages carry checksums."""

    capture: str
    shapes: str
    plain: Plain
    checksums: int
    books: int
    depth: int = 0
    """Levels a side that the session subscribed to, where the venue cuts."""

    def bench(self, capture: CaptureFinder) -> tuple[VenueBench, list[bytes]]:
        frames = list(received(capture(self.capture)))
        return VenueBench(self.shapes, self.plain, frames, self.depth), frames


# The manifest names the checksums of the whole recordings; these files end before.
PROVEN = [
    Proven("okx/v5_tbt_2022-02-27", VENUES["okx_2022"].shapes_json, okx.IN_2022, 2415, 10),
    Proven("okx/v5_public_2022-05-13", VENUES["okx_2022"].shapes_json, okx.IN_2022, 188, 3),
    Proven("okcoin/spot_2023-05-27", VENUES["okcoin"].shapes_json, okx.OKCOIN, 6, 4),
    Proven("kraken/v1_book_2021-04-17", VENUES["kraken_v1"].shapes_json, kraken.kraken_v1, 2244, 10, 1000),
    Proven("kraken/v2_book10_btcusd_2026-08-24", VENUES["kraken"].shapes_json, kraken.kraken, 4, 1, DEPTH),
]

each_proven = pytest.mark.parametrize("proven", PROVEN, ids=lambda proven: proven.capture)


@each_proven
def test_every_checksum_of_a_session_is_that_of_our_book(proven: Proven, capture: CaptureFinder) -> None:
    bench, frames = proven.bench(capture)
    books = 0
    for frame in frames:
        for symbol in bench.take(frame):
            books += 1
            assert bench.book(symbol) == bench.naive.books[symbol], frame[:200]
            assert bench.wire_book(symbol) == bench.naive.books[symbol], frame[:200]
            assert bench.state(symbol) == "LIVE"
    counters = bench.feed.counters()
    assert counters["checksums_verified"] == proven.checksums
    assert counters["checksum_mismatch"] == counters["went_stale"] == counters["faults"] == 0
    assert counters["went_live"] == proven.books
    assert books == proven.checksums + (proven.books if "v1" in proven.capture else 0)


def test_a_recorded_session_at_a_smaller_depth_gives_the_cut_books(capture: CaptureFinder) -> None:
    """No recorded book is as deep as its subscription: here its messages are taken for those of 60 levels."""
    depth = 60
    shapes = [replace(shape, depth=depth) for shape in KRAKEN_V1.shapes if isinstance(shape, Shape)]
    proven = replace(PROVEN[3], shapes=to_json(shapes), depth=depth)
    bench, frames = proven.bench(capture)
    cut = 0
    for frame in frames:
        for symbol in bench.take(frame):
            assert bench.book(symbol) == bench.wire_book(symbol) == bench.naive.books[symbol], frame[:200]
            assert max(map(len, bench.book(symbol))) <= depth
            cut += sum(len(side) == depth for side in bench.book(symbol))
    assert cut > 500, "sides that are full"
    assert bench.feed.counters()["checksums_verified"] > 2_000


def kraken_book(kind: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> bytes:
    """A message without a checksum, as the instrument's own numbers print."""

    def rows(levels: list[tuple[str, str]]) -> str:
        return ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in levels)

    text = f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"A/B","bids":[{rows(bids)}],'
    return f'{text}"asks":[{rows(asks)}]}}]}}'.encode()


def kraken_plain(message: Any) -> Any:
    for row in message["data"]:
        row.setdefault("checksum", None)
    return kraken.kraken(message)


def test_a_depth_is_kept_in_deltas_in_whole_books_and_on_the_wire() -> None:
    bids = [(f"{price}.0", "1.00") for price in range(100, 88, -1)]
    asks = [(f"{price}.0", "2.00") for price in range(101, 113)]
    frames = [
        kraken_book("snapshot", bids, asks),
        kraken_book("update", [("100.5", "3.00"), ("100.25", "3.00"), ("100.0", "0.00")], []),
        kraken_book("update", [("100.75", "1.00"), ("50.0", "1.00")], [("100.9", "1.00"), ("101.0", "5.00")]),
        # A whole book while it is live, longer than the depth.
        kraken_book("snapshot", [*bids[3:], ("60.0", "1.00"), ("59.0", "1.00")], asks[1:]),
        kraken_book("update", [("88.0", "4.00")], [("100.5", "4.125")]),
    ]
    bench = VenueBench(VENUES["kraken"].shapes_json, kraken_plain, frames, DEPTH)
    for frame in frames:
        (symbol,) = bench.take(frame)
        assert bench.book(symbol) == bench.wire_book(symbol) == bench.naive.books[symbol]
        assert all(len(side) == DEPTH for side in bench.book(symbol))
    assert bench.feed.counters()["checksums_verified"] == 0


def test_deletions_of_cut_levels_stand_behind_the_levels_of_their_side() -> None:
    bids = [(str(price), "1") for price in range(100, 90, -1)]
    asks = [(str(price), "2") for price in range(101, 111)]
    frames = [kraken_book("snapshot", bids, asks), kraken_book("update", [("100.5", "3")], [("100.9", "4")])]
    bench = VenueBench(VENUES["kraken"].shapes_json, kraken_plain, frames, DEPTH)
    bench.take(frames[0])
    bench.feed.on_frame(1, frames[1], 5)
    (*_, delta) = bench.wire.take(bench.publisher)
    assert (delta["msg"], delta["root"]["n_bids"], delta["root"]["depth_limit"]) == ("BOOK_DELTA", 2, 10)
    levels = [(row["price"], row["qty"]) for row in delta["records"]]
    assert levels == [(1005, 3), (910, 0), (1009, 4), (1100, 0)]


# One level altered.


def altered(frame: bytes, change: Callable[[Any], None]) -> bytes:
    message = json.loads(frame)
    change(message)
    return json.dumps(message).encode()


def quantity_near_the_touch(bench: VenueBench, proven: Proven, frame: bytes) -> str | None:
    """The text of a quantity that the message sets among the levels that its checksum is over."""
    (event,) = books_of(proven, frame) or (None,)
    if event is None or event.snapshot or event.symbol not in bench.naive.books:
        return None
    after = PlainBooks(proven.depth)
    after.books = copy.deepcopy({event.symbol: bench.naive.books[event.symbol]})
    after.take(event)
    bids, asks = after.books[event.symbol]
    best = [*sorted(bids, reverse=True)[:10], *sorted(asks)[:10]]
    near = [f"{qty:f}" for price, qty in [*event.bids, *event.asks] if qty and price in best]
    return near[0] if near else None


def books_of(proven: Proven, frame: bytes) -> list[Book]:
    return [event for event in proven.plain(parse(frame)) or () if isinstance(event, Book)]


@pytest.mark.parametrize("proven", [*PROVEN[:2], *PROVEN[3:]], ids=lambda proven: proven.capture)
def test_one_level_altered_is_seen_with_its_message(proven: Proven, capture: CaptureFinder) -> None:
    """In a session a quantity among the best is another: the same message ends the book's life."""
    bench, frames = proven.bench(capture)
    altered_at = None
    for number, frame in enumerate(frames):
        is_late = number > len(frames) / 2 or len(frames) < 100
        qty = quantity_near_the_touch(bench, proven, frame) if is_late else None
        if qty is None:
            bench.take(frame)
            continue
        wrong = frame.replace(qty.encode(), qty.translate(str.maketrans("123456789", "234567891")).encode())
        assert wrong != frame
        altered_at = number
        break
    assert altered_at is not None
    (event,) = books_of(proven, frame)
    symbol = event.symbol
    bench.kinds()
    before = bench.feed.counters()
    bench.feed_only(wrong)
    assert bench.state(symbol) == "STALE"
    assert bench.kinds() == ["STALE", "NEED_SNAPSHOT", "FAULT"]
    after = bench.feed.counters()
    assert after["checksum_mismatch"] == before["checksum_mismatch"] + 1 == 1
    assert after["checksums_verified"] == before["checksums_verified"]
    assert after["book_events"] == before["book_events"], "a wrong book was published"
    reason, _, connection, kept = bench.feed.faults()[-1]
    assert (reason, connection, kept) == ("the checksum differs", 1, wrong[:4096])
    state, why, expected, got = bench.wire_state(symbol)
    assert (state, why) == (STALE, REASON_CHECKSUM)
    assert event.checksum is not None
    assert expected == event.checksum % 2**32 != got
    assert bench.book(symbol) == ({}, {})
    # Others go on, and this one waits for a whole book.
    for frame in frames[altered_at + 1 :]:
        others = {symbol_ for symbol_ in bench.take(frame) if symbol_ != symbol}
        assert all(bench.state(other) == "LIVE" for other in others)
    assert bench.state(symbol) == "STALE"
    assert bench.feed.counters()["checksum_mismatch"] == 1


def test_one_level_altered_in_a_whole_book_keeps_it_from_going_live(capture: CaptureFinder) -> None:
    """Okcoin's changes are empty: here each snapshot has another best bid, and the empty change after it
    differs too.
    """
    bench, frames = PROVEN[2].bench(capture)

    def raise_best(message: Any) -> None:
        if message.get("action") == "snapshot":
            message["data"][0]["bids"][0][1] += "1"

    for frame in frames:
        bench.feed_only(altered(frame, raise_best))
    assert [bench.state(event.symbol) for frame in frames for event in books_of(PROVEN[2], frame)] == (
        ["RECOVERING"] * 6
    )
    counters = bench.feed.counters()
    assert (counters["checksums_verified"], counters["checksum_mismatch"]) == (0, 4)


def test_a_whole_book_brings_a_book_back_and_a_wrong_one_does_not(capture: CaptureFinder) -> None:
    bench, frames = PROVEN[0].bench(capture)
    snapshot = next(frame for frame in frames if b'"action":"snapshot"' in frame)
    message = json.loads(snapshot)
    symbol = message["arg"]["instId"]

    def off_by_one(message: Any) -> None:
        message["data"][0]["checksum"] += 1

    def not_given(message: Any) -> None:
        message["data"][0]["checksum"] = 0

    wrong = altered(snapshot, off_by_one)
    bench.feed_only(wrong)
    assert (bench.state(symbol), bench.kinds()) == ("RECOVERING", ["NEED_SNAPSHOT", "FAULT"])
    assert bench.wire_state(symbol)[:2] == (RECOVERING, REASON_CHECKSUM)
    bench.feed_only(snapshot)
    assert (bench.state(symbol), bench.kinds()) == ("LIVE", ["LIVE"])
    # While it is live, a whole book is compared too.
    bench.feed_only(wrong)
    assert (bench.state(symbol), bench.kinds()) == ("STALE", ["STALE", "NEED_SNAPSHOT", "FAULT"])
    bench.feed_only(wrong)
    assert (bench.state(symbol), bench.kinds()) == ("STALE", ["NEED_SNAPSHOT", "FAULT"])
    assert bench.wire_state(symbol)[:2] == (STALE, REASON_CHECKSUM)
    verified = bench.feed.counters()["checksums_verified"]
    bench.feed_only(altered(snapshot, not_given))
    assert (bench.state(symbol), bench.kinds()) == ("LIVE", ["LIVE"])
    assert bench.feed.counters()["checksums_verified"] == verified, "0 is no checksum"
    assert bench.feed.counters()["checksum_mismatch"] == 3


def test_a_level_printed_otherwise_in_a_whole_book_is_that_level(capture: CaptureFinder) -> None:
    """The same book, its quantities with a zero more: the text is another one, the levels are not."""
    bench, frames = PROVEN[-1].bench(capture)
    snapshot = next(frame for frame in frames if b'"snapshot","data"' in frame)
    bench.take(snapshot)
    row = json.loads(snapshot, parse_float=str)["data"][0]
    for side in ("bids", "asks"):
        for level in row[side]:
            level["qty"] += "0"
    text = "".join(
        each.replace(".", "").lstrip("0")
        for side in ("asks", "bids")
        for level in row[side][:10]
        for each in (level["price"], level["qty"])
    )
    row["checksum"] = plain_crc(text)
    message = json.dumps({"channel": "book", "type": "snapshot", "data": [row]})
    for level in (*row["bids"], *row["asks"]):
        for name in ("price", "qty"):
            message = message.replace(f'"{level[name]}"', level[name])
    bench.take(message.encode())
    assert bench.feed.counters()["checksums_verified"] == 2
    assert bench.feed.counters()["checksum_mismatch"] == 0


def plain_crc(text: str) -> int:
    """CRC32 (IEEE 802.3, reflected, polynomial 0xEDB88320), bit by bit."""
    crc = 0xFFFF_FFFF
    for byte in text.encode():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB8_8320 if crc & 1 else 0)
    return crc ^ 0xFFFF_FFFF


# Checksums and depth where a REST snapshot meets diffs that were held.

HELD = to_json(
    [
        Shape(
            name="diff",
            when={"e": "diff"},
            instrument="s",
            sequence=Chain(last="u", prev="pu"),
            bids="b",
            asks="a",
            depth=2,
            checksum=Checksum("c", "kraken"),
        ),
        Shape(
            name="rest",
            rest=True,
            sequence=SnapshotId("u"),
            bids="b",
            asks="a",
            snapshot=True,
            depth=2,
        ),
    ]
)


def held_diff(number: int, bids: list[tuple[str, str]], text: list[str]) -> bytes:
    """`text`: digits of the asks, then of the bids, which the checksum is over."""
    checksum = str(plain_crc("".join(text)))
    row = {"e": "diff", "s": "A", "u": number, "pu": number - 1, "b": bids, "a": [], "c": checksum}
    return json.dumps(row).encode()


def held_feed() -> VenueBench:
    bench = VenueBench(HELD, lambda _: None, [])
    bench.indices["A"] = bench.feed.add_instrument(**Bench.instrument("A", VenueBench.FIRST_ID))
    return bench


SNAPSHOT = json.dumps({"u": 10, "b": [["9.9", "1.0"], ["9.1", "2"]], "a": [["10.00", "3"]]}).encode()


def test_held_diffs_are_cut_and_compared_when_their_snapshot_comes() -> None:
    bench = held_feed()
    # 9.1 is pushed out, so that 9.50 is the only bid once 9.9 is gone.
    bench.feed_only(held_diff(11, [("9.50", "1.0")], ["10003", "9910", "95010"]))
    bench.feed_only(held_diff(12, [("9.9", "0")], ["10003", "95010"]))
    bench.feed.on_snapshot(0, SNAPSHOT, 5)
    bench.wire.take(bench.publisher)
    assert bench.state("A") == "LIVE"
    counters = bench.feed.counters()
    assert (counters["checksums_verified"], counters["checksum_mismatch"]) == (2, 0)
    bids = {Decimal("9.5"): Decimal(1)}
    assert bench.book("A") == bench.wire_book("A") == (bids, {Decimal(10): Decimal(3)})


def test_a_held_diff_that_is_wrong_asks_for_another_snapshot() -> None:
    bench = held_feed()
    bench.feed_only(held_diff(11, [("9.5", "1.0")], ["10003", "9910", "95010"]))
    bench.feed.on_snapshot(0, SNAPSHOT, 5)
    bench.wire.take(bench.publisher)
    assert (bench.state("A"), bench.book("A")) == ("RECOVERING", ({}, {}))
    assert [kind for kind, *_ in bench.feed.notices() if kind != "REFINED"] == ["NEED_SNAPSHOT", "FAULT"]
    assert bench.feed.faults()[-1][3] == SNAPSHOT
    assert bench.wire_state("A")[:2] == (RECOVERING, REASON_CHECKSUM)


def test_decimals_follow_finer_exponents() -> None:
    """A price with more digits makes the whole book finer; its text stays what it was."""
    bench = held_feed()
    bench.feed.on_snapshot(0, SNAPSHOT, 5)
    bench.feed_only(held_diff(11, [("9.9125", "1.000")], ["10003", "991251000", "9910"]))
    assert bench.feed.scale(0) == (-4, 0)
    bench.feed_only(held_diff(12, [("9.9125", "0.25")], ["10003", "9912525", "9910"]))
    assert bench.feed.scale(0) == (-4, -2)
    assert bench.feed.counters()["checksums_verified"] == 2
    bench.feed_only(held_diff(13, [("9.9", "1.00")], ["10003", "9912525", "9910"]))
    assert (bench.state("A"), bench.feed.counters()["checksum_mismatch"]) == ("STALE", 1), "printed otherwise"


def test_numbers_of_a_connection_prove_its_books(capture: CaptureFinder) -> None:
    frames = list(received(capture("coinbase/advanced_2026-08-09")))
    bench = VenueBench(VENUES["coinbase"].shapes_json, coinbase.coinbase, frames)
    books = 0
    for frame in frames:
        for symbol in bench.take(frame):
            books += 1
            assert bench.book(symbol) == bench.naive.books[symbol]
            assert bench.wire_book(symbol) == bench.naive.books[symbol]
    counters = bench.feed.counters()
    assert (counters["gaps"], counters["went_stale"], counters["faults"]) == (0, 0, 0)
    assert books == 485
    assert {bench.state(symbol) for symbol in bench.naive.books} == {"LIVE"}


def test_a_hole_in_the_numbers_of_a_connection_ends_all_its_books(capture: CaptureFinder) -> None:
    """One message for Python is lost: its number is missing all the same."""
    frames = list(received(capture("coinbase/advanced_2026-08-09")))
    bench = VenueBench(VENUES["coinbase"].shapes_json, coinbase.coinbase, frames)
    control = [number for number, frame in enumerate(frames) if bench.decode(parse(frame)) is None]
    lost = next(number for number in control if number > len(frames) / 2)
    for frame in frames[:lost]:
        bench.take(frame)
    live = {symbol for symbol in bench.naive.books if bench.state(symbol) == "LIVE"}
    assert len(live) == len(bench.naive.books) > 1
    bench.kinds()
    frame = frames[lost + 1]
    bench.feed_only(frame)
    number = json.loads(frame)["sequence_num"]
    gap, *rest = bench.notices
    assert gap == ("GAP", -1, number - 1, number, "connection 1")
    assert sorted(kind for kind, *_ in rest) == ["NEED_SNAPSHOT"] * len(live) + ["STALE"] * len(live)
    for symbol in live:
        assert bench.state(symbol) == "STALE"
        assert bench.wire_state(symbol) == (STALE, REASON_GAP, number - 1, number)
    assert bench.feed.counters()["gaps"] == 1
    bench.kinds()
    for frame in frames[lost + 2 :]:
        bench.feed_only(frame)
    assert not {"GAP", "LIVE", "STALE"} & set(bench.kinds()), "the numbers went on, and no whole book came"


def numbered(number: int, kind: str, symbol: str, price: str) -> bytes:
    row = {"side": "bid", "price_level": price, "new_quantity": "1"}
    event = {"type": kind, "product_id": symbol, "updates": [row]}
    return json.dumps({"channel": "l2_data", "sequence_num": number, "events": [event]}).encode()


def heartbeat(number: int) -> bytes:
    return json.dumps({"channel": "heartbeats", "sequence_num": number, "events": []}).encode()


def connections() -> VenueBench:
    """Books A and B on connection 1 and C on connection 2, live; of D nothing has come yet."""
    bench = VenueBench(VENUES["coinbase"].shapes_json, coinbase.coinbase, [])
    for number, symbol in enumerate("ABCD"):
        values = Bench.instrument(symbol, VenueBench.FIRST_ID + number)
        bench.indices[symbol] = bench.feed.add_instrument(**values)
    for number, symbol in enumerate("AB"):
        bench.feed_only(numbered(number, "snapshot", symbol, "5"))
    bench.feed_only(numbered(0, "snapshot", "C", "5"), connection=2)
    assert bench.kinds() == ["LIVE"] * 3
    return bench


def states(bench: VenueBench) -> list[str]:
    return [bench.state(symbol) for symbol in "ABCD"]


def test_a_hole_concerns_the_books_of_its_connection_alone() -> None:
    bench = connections()
    bench.feed_only(heartbeat(2))
    bench.feed_only(heartbeat(1), connection=2)
    assert bench.kinds() == []
    # The message after the hole is a whole book: it is live again at once.
    bench.feed_only(numbered(4, "snapshot", "B", "6"))
    assert states(bench) == ["STALE", "LIVE", "LIVE", "RECOVERING"]
    asked = [index for kind, index, *_ in bench.notices if kind == "NEED_SNAPSHOT"]
    assert asked == [0, 1, 3], "what D waits for may have been in the hole"
    assert bench.wire_book("B") == ({Decimal(6): Decimal(1)}, {})
    bench.feed_only(numbered(2, "update", "C", "7"), connection=2)
    assert states(bench)[2] == "LIVE"


def test_a_number_that_comes_again_is_a_hole_too() -> None:
    bench = connections()
    bench.feed_only(heartbeat(1))
    assert states(bench) == ["STALE", "STALE", "LIVE", "RECOVERING"]


def test_another_link_counts_anew() -> None:
    bench = connections()
    bench.feed.disconnected([0, 1])
    bench.feed.restart_connection(1)
    bench.kinds()
    bench.feed_only(heartbeat(0))
    bench.feed_only(numbered(1, "snapshot", "A", "5"))
    assert (bench.kinds()[-1], bench.feed.counters()["gaps"]) == ("LIVE", 0)
    bench.feed_only(heartbeat(3), connection=2)
    assert bench.feed.counters()["gaps"] == 1, "the other connection goes on where it was"
    assert states(bench) == ["LIVE", "STALE", "STALE", "RECOVERING"]


def test_a_message_that_cannot_be_read_has_no_number() -> None:
    """Whose it was is unknown: the next one shows that it is missing."""
    bench = connections()
    bench.feed_only(heartbeat(2)[:-5])
    assert bench.kinds() == ["FAULT"]
    bench.feed_only(heartbeat(3))
    assert states(bench) == ["STALE", "STALE", "LIVE", "RECOVERING"]


def test_a_consumer_is_told_what_proves_a_book_and_where_nothing_does() -> None:
    bench = VenueBench(HELD, lambda _: None, [])
    receiver = _core.Receiver(accept_replay=True)
    for bits, symbol in enumerate("ABCD"):
        values = {**Bench.instrument(symbol, VenueBench.FIRST_ID + bits), "book_proof": bits}
        bench.feed.add_instrument(**values)
    views = [BookView(receiver, f"{symbol}@x", f"{symbol}@7", converter("decimal")) for symbol in "ABCD"]
    assert [view.book_proof for view in views] == [""] * 4
    assert "UNVERIFIABLE" not in heading(views[0]), "nothing was heard yet"
    for _, frame in bench.publisher.take():
        receiver.datagram(0, frame, 1, 1)
    words = ["UNVERIFIABLE", "sequence", "checksum", "sequence and checksum"]
    listed = [instrument_of(row, converter("decimal")).book_proof for row in receiver.instruments()]
    assert sorted(listed) == sorted(words)
    assert [view.book_proof for view in views] == words
    assert [as_object(view, 1)["book_proof"] for view in views] == words
    assert heading(views[0]) == "A@x RECOVERING REPLAY UNVERIFIABLE - 0 bids 0 asks"
    assert heading(views[1]) == "B@x RECOVERING REPLAY - 0 bids 0 asks"
