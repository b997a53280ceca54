"""Replays over real multicast on 127.0.0.1: captures in at one end, equal books out at the other."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import wire_reference as wire
from feed_bench import lines
from naive import NaiveBook
from outcrier import State, Subscriber, _core, subscriber
from outcrier.batch import Batch
from outcrier.capture.contents import instruments_of, scan
from outcrier.capture.library import read_session
from outcrier.capture.venue_replay import VenueReplay, open_feed
from outcrier.layout import BBO, BOOK_DELTA, BOOK_SNAPSHOT, KIND_LOST, EventRow
from outcrier.orders import Side
from outcrier.silence import RCVBUF_BYTES_MIN
from outcrier.venues import VENUES
from sockets import Child, Net, Witness, levels, until

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
LIST = "binance_usdm/usdm_instruments"
SYMBOL = "BTC/USDT:PERP@binance_usdm"
EVENT_END, RESET = 1, 1 << 5
MARK_SNAPSHOT = 1 << 2

pytestmark = pytest.mark.timeout(100)


@pytest.fixture
def net() -> Net:
    return Net.pick()


def naive_of(path: Path) -> NaiveBook:
    """The book at the end of the capture, by the plainest reading."""
    book = NaiveBook(chain=True)
    for line in lines(path):
        if line.kind == "http":
            book.snapshot(line.text)
        elif line.is_diff:
            book.diff(line.message["data"])
    return book


class Reader:
    """Reads a subscriber to the end of the session and keeps what came."""

    def __init__(self, sub: Subscriber) -> None:
        self.sub = sub
        self.batches: list[Batch] = []
        self.rcvbuf = sub._receiver.effective_rcvbuf()

    async def read(self) -> None:
        async for batch in self.sub.batches():
            self.batches.append(batch)
            if self.sub.channels() and self.sub.channels()[0]["ended"]:
                return

    @property
    def channel(self) -> dict[str, Any]:
        """What is known of the only channel."""
        (channel,) = self.sub.channels()
        return channel

    def rows(self) -> Iterable[tuple[Batch, EventRow]]:
        for batch in self.batches:
            for values in batch.events.tolist():
                yield batch, EventRow._make(values)

    def changes(self) -> list[tuple[str, int]]:
        """Changes of state: the new state and the number of the instrument at which it came."""
        return [(_core.STATES[row.state], row.instr_seq) for _, row in self.rows() if row.kind == 0]


async def read_replay(net: Net, child: Callable[[], Child], late_after: int) -> tuple[Reader, Reader, Child]:
    """Starts `child` under the ears of one consumer, and a second consumer after `late_after` frames."""
    async with net.subscriber(symbols=[SYMBOL]) as early_sub:
        early = Reader(early_sub)
        reading = asyncio.create_task(early.read())
        await asyncio.sleep(0)
        started = child()
        while not early_sub.channels() or early.channel["high"] < late_after:
            assert started.running, started.err
            await asyncio.wait({reading}, timeout=0.01)
        async with net.subscriber(symbols=[SYMBOL]) as late_sub:
            late = Reader(late_sub)
            await asyncio.gather(reading, late.read())
            return early, late, started


def test_a_replay_reaches_early_and_late_consumers_whole(
    net: Net, capture: CaptureFinder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = capture(USDM)
    children: list[Child] = []

    def start() -> Child:
        options = ["--speed", "max", "--rate", "25000", "--orders", "--json"]
        children.append(Child(tmp_path, "replay", path, *options, *net.options()))
        return children[0]

    try:
        early, late, child = asyncio.run(read_replay(net, start, 15_000))
        child.signal(signal.SIGTERM)  # Everything was said; the end need not be repeated for 5 s.
        assert child.end() == 0, child.err
    finally:
        for each in children:
            each.__exit__()
    expected = naive_of(path)
    (summary,) = json.loads(child.out)["venues"]
    (end,) = summary["books"]
    assert (end["state"], end["source_seq"], summary["counters"]["gaps"]) == ("LIVE", expected.last, 0)
    frames = summary["counters"]["frames"]
    assert frames > 110_000
    for reader in (early, late):
        assert levels(reader.sub, SYMBOL) == expected.sides(), "level for level"
        assert reader.sub.book(SYMBOL).hash == end["hash"]
        assert reader.sub.book(SYMBOL).source_seq == expected.last
        orders = reader.sub.orders(SYMBOL)
        sums = [orders.levels(side)[:, :2].tolist() for side in Side]
        assert sums == [side.tolist() for side in reader.sub.book(SYMBOL).mantissas()]
        # Live once and for good, until the session ended.
        assert [state for state, _ in reader.changes()][-2:] == ["LIVE", "STALE"]
        flags = reader.channel["replay"], reader.channel["test"]
        assert (reader.channel["high"], *flags) == (
            frames,
            True,
            False,
        )
        if reader.rcvbuf < RCVBUF_BYTES_MIN:
            with capsys.disabled():
                sys.stdout.write(
                    f"\nonly {reader.rcvbuf:,} bytes of receive buffer here: loss is not excluded\n"
                )
            continue
        assert (reader.channel["gaps"], reader.channel["given_up"]) == (0, 0)
        assert reader.sub.counters()["kernel_drops"] == 0
        assert [state for state, _ in reader.changes()].count("LIVE") == 1
    assert early.sub.orders(SYMBOL).orders().tolist() == late.sub.orders(SYMBOL).orders().tolist()
    assert early.channel["frames"] == frames
    assert early.channel["chain_ok"]
    assert late.channel["frames"] < frames - 15_000, "it was not there before"
    live_from = next(number for state, number in late.changes() if state == "LIVE")
    assert 15_000 < live_from < frames
    assert late.sub.counters()["groups_applied"] == 1, "whole from the snapshot plane"
    assert quotes_agree(early) > 500


def quotes_agree(reader: Reader) -> int:
    """Holds each bookTicker to the book rebuilt from the levels received, where both are at one update id."""
    quotes = {
        row.source_seq: (row.price_exp, row.qty_exp, *batch.bbos[row.start].item()[:4])
        for batch, row in reader.rows()
        if row.kind == BBO
    }
    book: tuple[dict[int, int], dict[int, int]] = ({}, {})
    compared = 0
    for batch, row in reader.rows():
        if row.kind not in {BOOK_DELTA, BOOK_SNAPSHOT} or row.marks & MARK_SNAPSHOT:
            continue
        if row.flags & RESET:
            book = ({}, {})
        pairs = batch.levels[row.start : row.start + row.records].tolist()
        for number, (price, qty) in enumerate(pairs):
            side = book[number >= row.n_bids]
            side.pop(price, None)
            if qty:
                side[price] = qty
        if row.flags & EVENT_END and row.source_seq in quotes:
            bid, ask = max(book[0]), min(book[1])
            top = (row.price_exp, row.qty_exp, bid, book[0][bid], ask, book[1][ask])
            assert top == quotes[row.source_seq], row.source_seq
            compared += 1
    return compared


def truth_up_to(path: Path, instruments: Path, most: int, loops: int) -> dict[int, int]:
    """Hash of the publisher's book by number of the instrument, from the same captures without a network."""
    venue = VENUES["binance_usdm"]
    found = scan(venue, [path])
    publisher = _core.Publisher.memory()
    feed = open_feed(publisher, venue, session=1, publisher_id=1, first_ns=found.first_ns)
    members = instruments_of(venue, [path], found, instruments)
    replay = VenueReplay(feed, venue, members, found, {members[0].native_symbol: 1})
    truth: dict[int, int] = {}
    for _ in range(loops):
        for line in read_session([path]):
            replay.take(line)
            if line.kind == "http" or "@depth" in (line.text or "")[:60]:
                publisher.take()
                book_hash = feed.book_hash(0)
            truth[feed.instr_seq(0)] = book_hash
            if feed.instr_seq(0) >= most:
                return truth
        replay.restart()
    return truth


def test_what_a_small_buffer_loses_is_counted_and_never_shown(
    net: Net, capture: CaptureFinder, tmp_path: Path
) -> None:
    path = capture(USDM)
    options = ["--speed", "max", "--rate", "15000", "--loop", "3", "--json"]
    shown: list[tuple[int, int]] = []
    with Witness(net) as witness, net.subscriber(rcvbuf_bytes=212_992) as sub:
        reader, view = Reader(sub), sub.book(SYMBOL)
        with Child(tmp_path, "replay", path, *options, *net.options()) as child:
            rounds = live = 0
            for batch in sub.iter_batches():
                reader.batches.append(batch)
                info = view.info()
                if info and info["state"] == "LIVE":
                    shown.append((info["instr_seq"], info["hash"]))
                    live += 1
                    if live == 40 and rounds < 3:
                        time.sleep(0.5)  # 7,500 frames: far more than the buffer holds
                        rounds, live = rounds + 1, 0
                    elif live == 40:
                        child.signal(signal.SIGTERM)
                if sub.channels() and reader.channel["ended"]:
                    break
            assert child.end() == 130, child.err
        until(witness.ended, "SESSION_END")
    assert rounds == 3
    numbered = [f.header for f in witness.frames() if wire.is_numbered(f.header["msg_type"])]
    sent = [header["channel_seq"] for header in numbered]
    counted = json.loads(child.out)["venues"][0]["counters"]["frames"]
    assert sent == list(range(1, counted + 1)), "the witness lost nothing"
    channel = reader.channel
    assert channel["high"] == counted
    assert channel["given_up"] == counted - channel["frames"] > 3_000
    assert channel["gaps"] >= 3
    assert sub.counters()["kernel_drops"] > 0, "the sign; how many frames went with them the numbers say"
    every_event_came_or_was_announced(reader)
    states = [state for state, _ in reader.changes()]
    assert states.count("LIVE") >= 4, "live from the start, and healed after each loss"
    assert {"UNSURE", "STALE"} & set(states[:-1])
    truth = truth_up_to(path, capture(LIST), shown[-1][0], 3)
    compared = [(number, book_hash) for number, book_hash in shown if number in truth]
    assert len(compared) > 100
    assert all(truth[number] == book_hash for number, book_hash in compared), "live and different"


def every_event_came_or_was_announced(reader: Reader) -> None:
    """Each number of the instrument was delivered on line A, or named as lost; none both."""
    came: list[int] = []
    lost: list[int] = []
    for _, row in reader.rows():
        if row.kind == KIND_LOST:
            lost.extend(range(row.instr_seq, row.instr_seq + row.start))
        elif row.kind and row.instrument and row.channel_seq and not row.marks & MARK_SNAPSHOT:
            came.append(row.instr_seq)
    assert len(lost) > 3_000
    assert sorted(came + lost) == list(range(1, max(came) + 1))


# README.


class EnoughError(Exception):
    """The README's loop goes on for ever."""


def test_the_five_lines_of_the_readme(
    net: Net, capture: CaptureFinder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (block,) = [block for block in blocks if "Subscriber(" in block]
    printed: list[tuple[Any, ...]] = []

    def show(*values: Any) -> None:
        printed.append(values)
        if len(printed) >= 3 and State.LIVE in values:
            raise EnoughError

    # Its addresses are the default ones; a test keeps away from those.
    monkeypatch.setattr(subscriber, "FEEDS", {"crypto": net.multicast()})
    replayed = capture("binance_usdm/usdm_btcusdt_2022-08-11")
    listed: list[str | Path] = ["--instruments", capture(LIST), "--loop", "0"]
    with Child(tmp_path, "replay", replayed, *listed, *net.options()), pytest.raises(EnoughError):
        exec(block, {"print": show})  # noqa: S102 - our own lines
    state, (bids, asks) = printed[-1]
    assert state is State.LIVE
    assert len(bids) == len(asks) == 5
    assert bids[0].price < asks[0].price
    assert isinstance(bids[0].price, Decimal)
