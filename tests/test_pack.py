"""PACK through the binding: the same books and rows as without it, and where it is always sent."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import numpy.typing as npt
import pytest

from feed_bench import Bench, lines
from outcrier import _core
from outcrier.venues import venue_by_name
from wire_reference import SHARED_FLAGS, assert_same, decode

CaptureFinder = Callable[[str], Path]
Read = list[tuple[str, str, bytes, int]]

BINANCE = [
    ("binance", ["binance/spot_2021-10-12"]),
    ("binance", ["binance/spot_btcusdt_2024-08-08"]),
    ("binance", ["binance/spot_ethusdt_2024-08-08"]),
    ("binance", ["binance/spot_nexousdt_2024-07-23", "binance/spot_nexousdt_2024-07-24"]),
    ("binance_usdm", ["binance_usdm/usdm_2021-07-22"]),
    ("binance_usdm", ["binance_usdm/usdm_btcusdt_2022-08-11"]),
    ("binance_usdm", ["binance_usdm/usdm_btcusdt_2024-08-08"]),
    ("binance_coinm", ["binance_coinm/coinm_2021-07-22"]),
    ("binance_coinm", ["binance_coinm/coinm_btcusd_perp_2024-08-08"]),
    ("binance_us", ["binance_us/spot_2021-10-12"]),
    ("binance_tr", ["binance_tr/spot_2023-04-10"]),
]
READ_MESSAGES_MAX = 24
"""Messages of one socket read in the busiest moments."""
FORMS = ("single", "segmented", "packed")
OWN_COLUMNS = ("channel_seq", "send_ts", "proc_ns", "checksum_kind")
"""What tells frames apart and not their content: numbers of the channel, how long the publisher took, and
whether its clock said that a checksum is due."""
NO_EXCH_TS = 1 << 2


def reads(paths: list[Path], seed: int) -> Iterator[Read]:
    """(kind, symbol or "", text, time) of the messages of each socket read. The captures do not say what a
    read was, so its length is drawn; a REST answer stands alone."""
    schedule = random.Random(seed)  # noqa: S311 - a repeatable schedule, no secret
    read: Read = []
    length = 1
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for text in file:
                line = json.loads(text)
                if line["k"] == "send":
                    continue
                alone = line["k"] == "http"
                if read and (alone or len(read) >= length):
                    yield read
                    read = []
                    length = schedule.randint(1, READ_MESSAGES_MAX)
                read.append((line["k"], symbol_of(line), line["d"].encode(), line["t"] or 0))
                if alone:
                    yield read
                    read = []
    if read:
        yield read


def symbol_of(line: dict[str, Any]) -> str:
    """Native symbol that a line names; "" where it names none."""
    if line["k"] == "http":
        asked = parse_qs(urlsplit(line["u"] or "").query).get("symbol")
        return asked[0] if asked else json.loads(line["d"]).get("symbol") or ""
    named = re.search(r'"s":"([^"]+)"', line["d"])
    return named[1] if named else ""


class Form:
    """A feed whose frames leave in one form, and the receiver that hears them."""

    def __init__(self, name: str, venue: str) -> None:
        self.name = name
        self.bench = Bench(venue, pack=name == "packed")
        self.venue = venue_by_name(venue).number
        self.receiver = _core.Receiver(accept_replay=True)
        self.datagrams = self.padded = 0

    def take(self, read: Read) -> None:
        """One socket read from the feed to the receiver."""
        feed, indices = self.bench.feed, self.bench.indices
        for at, (kind, symbol, text, time_ns) in enumerate(read):
            if symbol and symbol not in indices:
                self.bench.add(symbol)
            if kind == "http":
                feed.on_snapshot(indices[symbol or next(iter(indices))], text, time_ns)
            else:
                more = self.name != "single" and at + 1 < len(read)
                feed.on_frame(1, text, time_ns, more=more)
        for plane, datagram in self.bench.publisher.take():
            self.datagrams += 1
            self.padded += len(datagram) > 66 + int.from_bytes(datagram[6:8], "little")
            self.receiver.datagram(plane, datagram, 0, 1)

    def books(self) -> list[tuple[str, int, int]]:
        """State, number and hash of every book of the receiver."""
        found = []
        for index in self.bench.indices.values():
            info = self.receiver.book_info(self.venue, 1_000 + index)
            found.append((info["state"], info["instr_seq"], info["hash"]))
        return found

    def truth(self) -> list[int]:
        """Hash of every book of the feed."""
        return [self.bench.feed.book_hash(index) for index in self.bench.indices.values()]

    def rows(self) -> tuple[npt.NDArray[np.void], dict[str, bytes]]:
        """Events without what tells frames apart, and the bytes of every record array since the last call."""
        taken = self.receiver.take()
        itemsize, fields = _core.layouts()["events"]
        names, formats, offsets = (list(column) for column in zip(*fields, strict=True))
        dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})
        events = np.array(taken.pop("events").view(dtype))
        for column in OWN_COLUMNS:
            events[column] = 0
        return events, {name: array.tobytes() for name, array in taken.items()}


def assert_same_rows(alone: Form, others: list[Form]) -> tuple[int, int]:
    """Holds the rows since the last call to each other; gives how many events and trades there were.

    A PACK rounds receive times down to the microsecond, and exchange times that repeat them.
    """
    events, records = alone.rows()
    for form in others:
        theirs, their_records = form.rows()
        assert records == their_records, form.name
        copied = events["flags"] & NO_EXCH_TS != 0
        for column, where in (("recv_ts", np.ones_like(copied)), ("exchange_ts", copied)):
            late = events[column][where] - theirs[column][where]
            assert ((late >= 0) & (late < 1_000)).all(), (form.name, column)
            if form.name == "segmented":
                assert not late.any()
            theirs[column][where] = events[column][where]
        assert np.array_equal(events, theirs), form.name
    return len(events), len(records["trades"]) // 40


@pytest.mark.parametrize(("venue", "names"), BINANCE, ids=[names[0] for _, names in BINANCE])
def test_books_and_rows_are_the_same_single_segmented_or_packed(
    venue: str, names: list[str], capture: CaptureFinder
) -> None:
    forms = [Form(name, venue) for name in FORMS]
    single, *others = forms
    seen = np.zeros(2, dtype=int)
    for at, read in enumerate(reads([capture(name) for name in names], seed=1)):
        for form in forms:
            form.take(read)
        if at % 10 == 0:
            books = single.books()
            assert [book for _, _, book in books] == single.truth(), f"read {at}"
            assert all(form.books() == books for form in others), f"read {at}"
        if at % 200 == 0:
            seen += np.array(assert_same_rows(single, others))
    seen += np.array(assert_same_rows(single, others))
    books = single.books()
    assert [book for _, _, book in books] == single.truth()
    assert all(form.books() == books for form in others)
    assert seen[0] > 100
    assert seen[1] == single.bench.feed.counters()["trades"]
    heard = {form.name: form.receiver.counters() for form in forms}
    assert heard["single"]["packs"] == heard["segmented"]["packs"] == 0
    assert heard["packed"]["packs"] > 0
    assert forms[1].padded > single.padded
    assert forms[2].datagrams < single.datagrams == forms[1].datagrams
    for counters in heard.values():
        assert counters["missing"] == counters["chain_mismatch"] == counters["checksum_mismatch"] == 0
        assert sum(count for name, count in counters.items() if name.startswith("refused")) == 0


def test_a_packed_session_is_read_by_the_reference_as_by_the_core(capture: CaptureFinder) -> None:
    form = Form("packed", "binance_usdm")
    seen = 0
    for read in reads([capture("binance_usdm/usdm_btcusdt_2022-08-11")], seed=2):
        for at, (kind, symbol, text, time_ns) in enumerate(read):
            if symbol and symbol not in form.bench.indices:
                form.bench.add(symbol)
            if kind == "http":
                form.bench.feed.on_snapshot(0, text, time_ns)
            else:
                form.bench.feed.on_frame(1, text, time_ns, more=at + 1 < len(read))
    for _, datagram in form.bench.publisher.take():
        frame = decode(datagram)
        assert_same(_core.decode_frame(datagram), frame)
        if frame.msg == "PACK":
            seen += 1
            assert len(frame.messages) == frame.header["count"] > 1
            assert frame.header["flags"] & ~SHARED_FLAGS == 0
            assert not any(sub["flags"] & SHARED_FLAGS for sub in frame.records)
    assert seen > 20


def test_receive_times_survive_a_pack_to_the_microsecond(capture: CaptureFinder) -> None:
    path = capture("binance_usdm/usdm_btcusdt_2022-08-11")
    bench = Bench("binance_usdm", pack=True)
    source = [line for line in lines(path) if line.kind == "recv" and "@trade" in line.message["stream"]]
    bench.add("BTCUSDT", price_exp=-2, qty_exp=-3)
    bench.publisher.take()
    told = []
    for start in range(0, 600, 6):
        for at, line in enumerate(source[start : start + 6]):
            bench.feed.on_frame(1, line.text.encode(), line.t, more=at < 5)
        for _, datagram in bench.publisher.take():
            frame = decode(datagram)
            messages = frame.messages or [frame]
            first = messages[0].header["recv_ts"]
            for message in messages:
                header = message.header
                told.append((header["exchange_ts"], first, header["recv_ts"]))
    sent = [(line.message["data"]["T"] * 1_000_000, line.t) for line in source[:600]]
    assert [exchange for exchange, _, _ in told] == [exchange for exchange, _ in sent]
    for (_, first, recv), (_, time_ns) in zip(told, sent, strict=True):
        assert recv == first + (time_ns - first) // 1_000 * 1_000
    assert sum(first != recv for _, first, recv in told) > 100


def traders(count: int, *, pack: bool = False) -> Bench:
    """Instruments without a book: live once subscribed."""
    bench = Bench("binance_usdm", pack=pack)
    for number in range(count):
        bench.add(f"S{number}", has_book=False)
    bench.publisher.take()
    return bench


def test_the_statuses_of_a_lost_connection_share_packs_whatever_pack_says() -> None:
    for pack in (False, True):
        bench = traders(100, pack=pack)
        indices = list(bench.indices.values())
        for tell, state in ((bench.feed.connected, 1), (bench.feed.disconnected, 2)):
            tell(indices)
            frames = [decode(datagram) for plane, datagram in bench.publisher.take() if plane == 0]
            assert [frame.header["count"] for frame in frames] == [15] * 6 + [10]
            assert all(len(frame.raw) <= 1_400 for frame in frames)
            statuses = [message for frame in frames for message in frame.messages]
            assert [message.header["instrument"] for message in statuses] == [1_000 + at for at in indices]
            assert {(message.msg, message.root["state"]) for message in statuses} == {("STATUS", state)}
        counters = bench.feed.counters()
        assert (counters["packs"], counters["packed_messages"]) == (14, 200)
        bench.feed.connected(indices[:1])
        ((_, alone),) = bench.publisher.take()
        assert decode(alone).msg == "STATUS"


def test_a_snapshot_group_claims_no_number_that_has_not_left() -> None:
    bench = traders(20, pack=True)
    bench.feed.connected(list(bench.indices.values()))
    trade = {"e": "trade", "E": 5, "T": 5, "s": "S0", "t": 1, "p": "1", "q": "2", "X": "MARKET", "m": True}
    said = {"stream": "s0@trade", "data": trade}
    for more in (True, True):
        bench.feed.on_frame(1, json.dumps(said).encode(), 1, more=more)
    bench.feed.tick()
    highest = 0
    groups = 0
    for plane, datagram in bench.publisher.take():
        frame = decode(datagram)
        if plane == 0:
            highest = max(highest, frame.header["channel_seq"] - (frame.msg == "HEARTBEAT"))
        elif frame.msg == "STATUS":
            groups += 1
            assert frame.root["last_channel_seq"] == highest
    assert groups > 0
    assert highest > 20
