"""From a real capture through the feed to the receiver, without sockets: equal, or marked, never
different."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from feed_bench import Bench, Line, lines
from outcrier import _core

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
STEP_NS = 200_000
"""Time between two frames; the reorder window is 300 us."""


class Link:
    """Carries frames from a feed to a receiver, loses some by seed, and remembers the truth at each
    number."""

    def __init__(self, bench: Bench, *, loss: float = 0.0, seed: int = 1) -> None:
        self.bench = bench
        self.loss = loss
        self.random = random.Random(seed)  # noqa: S311 - a repeatable schedule, no secret
        self.now_ns = 1_000_000_000
        self.truth: dict[tuple[int, int], int] = {}
        self.compared = 0
        self.seen: set[str] = set()

    def receiver(self) -> _core.Receiver:
        return _core.Receiver(accept_replay=True)

    def carry(self, *receivers: _core.Receiver) -> None:
        """Takes what the feed sent, notes the truth, delivers to all but the unlucky."""
        for index in self.bench.indices.values():
            if self.bench.feed.state(index) == "LIVE":
                self.truth[index, self.bench.feed.instr_seq(index)] = self.bench.feed.book_hash(index)
        for plane, frame in self.bench.publisher.take():
            self.now_ns += STEP_NS
            for receiver in receivers:
                if self.random.random() >= self.loss:
                    receiver.datagram(plane, frame, 0, self.now_ns)
                receiver.timer(self.now_ns)
        for receiver in receivers:
            self.check(receiver)

    def check(self, receiver: _core.Receiver) -> None:
        """A book that is reported LIVE equals the publisher's at the same number."""
        for index in self.bench.indices.values():
            instrument = 1_000 + index
            state = receiver.state(self.venue, instrument)
            self.seen.add(state)
            if state != "LIVE":
                continue
            info = receiver.book_info(self.venue, instrument)
            truth = self.truth.get((index, info["instr_seq"]))
            if truth is not None:
                assert info["hash"] == truth, f"instr_seq {info['instr_seq']}"
                self.compared += 1

    @property
    def venue(self) -> int:
        return 2 if self.bench.venue_name == "binance_usdm" else 3

    def cycle(self, receiver: _core.Receiver) -> None:
        """Ticks until a whole snapshot cycle went out."""
        while not all(receiver.whole_cycles().values()) or not receiver.whole_cycles():
            self.bench.feed.tick()
            self.carry(receiver)

    def decimals(
        self, receiver: _core.Receiver, instrument: int
    ) -> tuple[list[tuple[Decimal, Decimal]], ...]:
        info = receiver.book_info(self.venue, instrument)
        return tuple(
            [
                (Decimal(int(p)).scaleb(info["price_exp"]), Decimal(int(q)).scaleb(info["qty_exp"]))
                for p, q in side
            ]
            for side in receiver.book(self.venue, instrument)
        )


def test_a_consumer_from_the_start_ends_with_the_naive_book(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    link = Link(bench)
    receiver = link.receiver()
    for line in lines(capture(USDM)):
        bench.take(line)
        link.carry(receiver)
    assert receiver.state(2, 1_000) == "LIVE"
    assert link.decimals(receiver, 1_000) == bench.naive["BTCUSDT"].sides()
    counters = receiver.counters()
    assert counters["kernel_drops"] == 0
    assert all(channel["given_up"] == 0 and channel["chain_ok"] for channel in receiver.channels())
    assert link.compared > 200


def test_a_late_consumer_is_live_from_the_snapshot_plane_and_equal(capture: CaptureFinder) -> None:
    bench = Bench("binance_coinm")
    link = Link(bench)
    source = list(lines(capture("binance_coinm/coinm_2021-07-22")))
    for line in source[: len(source) // 2]:
        bench.take(line)
    bench.publisher.take()
    late = link.receiver()
    for line in source[len(source) // 2 :]:
        bench.take(line)
        bench.feed.tick()
        link.carry(late)
    link.cycle(late)
    for symbol, index in bench.indices.items():
        assert late.state(3, 1_000 + index) == "LIVE", symbol
        assert link.decimals(late, 1_000 + index) == bench.naive[symbol].sides()
    assert "UNKNOWN" in link.seen


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("loss", [0.002, 0.05])
def test_what_is_lost_is_marked_and_healed_by_the_snapshot_plane(
    loss: float, seed: int, capture: CaptureFinder
) -> None:
    bench = Bench("binance_coinm")
    link = Link(bench, loss=loss, seed=seed)
    receiver = link.receiver()
    for line in lines(capture("binance_coinm/coinm_2021-07-22"), most=2_500):
        bench.take(line)
        bench.feed.tick()
        link.carry(receiver)
    link.loss = 0.0
    for _ in range(200_000):
        bench.feed.tick()
        link.carry(receiver)
        states = {receiver.state(3, 1_000 + index) for index in bench.indices.values()}
        if states <= {"LIVE", "RECOVERING"}:
            break
    for symbol, index in bench.indices.items():
        if bench.feed.state(index) == "LIVE":
            assert receiver.state(3, 1_000 + index) == "LIVE", symbol
            assert link.decimals(receiver, 1_000 + index) == bench.naive[symbol].sides()
    assert link.compared > 0
    assert link.seen & {"UNSURE", "STALE"}
    assert sum(channel["given_up"] for channel in receiver.channels()) > 0


def test_batches_carry_what_the_exchange_printed(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    link = Link(bench)
    receiver = link.receiver()
    trades: list[Line] = []
    for line in lines(capture(USDM)):
        bench.take(line)
        if line.kind == "recv" and "@trade" in line.message["stream"]:
            trades.append(line)
    link.carry(receiver)
    rows = receiver.take()
    itemsize, fields = _core.layouts()["events"]
    dtype = np.dtype(
        {
            "names": [name for name, _, _ in fields],
            "formats": [form for _, form, _ in fields],
            "offsets": [offset for _, _, offset in fields],
            "itemsize": itemsize,
        }
    )
    events = rows["events"].view(dtype)
    size, trade_fields = _core.layouts()["trades"]
    assert size == 40
    table = rows["trades"].view(np.dtype([(name, form) for name, form, _ in trade_fields]))
    of_trades = events[events["kind"] == 0x12]
    assert len(of_trades) == len(trades) == len(table)
    for line, row in zip(trades, of_trades, strict=True):
        said = line.message["data"]
        trade = table[row["start"]]
        assert Decimal(int(trade["price"])).scaleb(int(row["price_exp"])) == Decimal(said["p"])
        assert Decimal(int(trade["qty"])).scaleb(int(row["qty_exp"])) == Decimal(said["q"])
        assert (trade["trade_id"], trade["trade_ts"]) == (said["t"], said["T"] * 1_000_000)
        assert trade["aggressor"] == (2 if said["m"] else 1)
        assert bool(trade["trade_flags"] & 64) == (said["X"] != "MARKET")
        assert (row["exchange_ts"], row["recv_ts"]) == (_time(said), line.t)


def _time(said: dict[str, int]) -> int:
    """The match, not the push: what the shape declares as the exchange time."""
    return said["T"] * 1_000_000


def test_replay_frames_are_dropped_and_counted_unless_asked_for(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    link = Link(bench)
    deaf = _core.Receiver()
    for line in lines(capture(USDM), most=50):
        bench.take(line)
    frames = bench.publisher.take()
    for plane, frame in frames:
        deaf.datagram(plane, frame, 0, link.now_ns)
    assert deaf.counters()["dropped_replay"] == len(frames)
    assert deaf.channels() == []


def test_a_consumer_of_one_symbol_mirrors_that_one_only(capture: CaptureFinder) -> None:
    bench = Bench("binance_coinm")
    link = Link(bench)
    picky = _core.Receiver(symbols=["BTCUSD_211231@3"], accept_replay=True)
    for line in lines(capture("binance_coinm/coinm_2021-07-22")):
        bench.take(line)
        link.carry(picky)
    wanted = [known["symbol"] for known in picky.instruments() if known["wanted"]]
    assert wanted == ["BTCUSD_211231"]
    assert picky.find("BTCUSD_211231@3") == (3, 1_000 + bench.indices["BTCUSD_211231"])
    assert picky.find("BTCUSD_211231@2") is None
    assert picky.state(3, 1_000 + bench.indices["BTCUSD_211231"]) == "LIVE"
    assert len(picky.instruments()) == len(bench.indices)
    others = [index for symbol, index in bench.indices.items() if symbol != "BTCUSD_211231"]
    assert all(picky.state(3, 1_000 + index) == "UNKNOWN" for index in others)
