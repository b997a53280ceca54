"""Gaps as data: what was missing, why and how it was made whole, from real frames lost on purpose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feed_bench import Bench, lines
from outcrier import ConfigurationError, Subscriber, _core
from outcrier.cli.gaps import describe_gap
from outcrier.gaps import CAUSES, REPAIRS, Gap, gap_of

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
STEP_NS = 100_000
A, SNAPSHOT, B = 0, 1, 2
SYMBOL_NUMBER = 1_000


class Ether:
    """Carries a capture's frames to one receiver; which copies arrive is the test's to say."""

    def __init__(self, path: Path, most: int = 400) -> None:
        self.bench = Bench("binance_usdm")
        self.receiver = _core.Receiver(accept_replay=True)
        self.now_ns = 1_000_000_000
        self.frames: list[bytes] = []
        for line in lines(path, most=most):
            self.bench.take(line)
            self.frames += [frame for plane, frame in self.bench.publisher.take() if plane == A]

    def hear(self, line: int, frame: bytes, *, step_ns: int = STEP_NS) -> None:
        self.now_ns += step_ns
        self.receiver.datagram(line, frame, self.now_ns + 7, self.now_ns)
        self.receiver.timer(self.now_ns)

    def cycle(self) -> None:
        """Snapshots arrive until the book is whole."""
        while self.receiver.state(2, SYMBOL_NUMBER) != "LIVE":
            self.bench.feed.tick()
            for plane, frame in self.bench.publisher.take():
                self.hear(plane, frame)

    def numbered(self) -> list[int]:
        """Indices of the frames that consume a number."""
        return [at for at, frame in enumerate(self.frames) if frame[2] not in {0x01, 0x03}]


def test_what_line_b_brings_in_time_is_a_gap_repaired_by_it(capture: CaptureFinder) -> None:
    ether = Ether(capture(USDM))
    lost = ether.numbered()[60]
    for at, frame in enumerate(ether.frames[: lost + 40]):
        if at != lost:
            ether.hear(A, frame)
        if at == lost + 1:
            ether.hear(B, ether.frames[lost])
    assert ether.receiver.state(2, SYMBOL_NUMBER) == "LIVE"
    [gap] = ether.receiver.gaps()
    number = int.from_bytes(ether.frames[lost][10:18], "little")
    assert gap["first"] == number
    assert (gap["count"], gap["cause"], gap["repair"]) == (1, "network", "other line")
    assert (gap["plane"], gap["channel"], gap["venue"], gap["instrument"]) == ("incremental", 2, 2, 0)
    assert gap["after_ns"] == STEP_NS
    shown_ns = (
        ether.now_ns - 39 * STEP_NS
    )  # one copy of line B and 38 frames came after the one that showed it
    assert gap["opened_ts"] == shown_ns + 7
    assert ether.receiver.gaps() == [], "told once"


def test_what_nobody_brings_is_open_until_a_snapshot_makes_it_whole(capture: CaptureFinder) -> None:
    ether = Ether(capture(USDM))
    lost = ether.numbered()[60]
    for at, frame in enumerate(ether.frames[: lost + 40]):
        if at not in {lost, lost + 1}:
            ether.hear(A, frame)
    assert ether.receiver.gaps() == []
    [still] = ether.receiver.open_gaps()
    assert (still["count"], still["repair"]) == (2, "open")
    assert ether.receiver.state(2, SYMBOL_NUMBER) in {"STALE", "UNSURE"}
    for frame in ether.frames[lost + 40 :]:
        ether.hear(A, frame)
    ether.cycle()
    [gap] = ether.receiver.gaps()
    assert (gap["first"], gap["count"], gap["repair"]) == (still["first"], 2, "snapshot")
    assert gap["after_ns"] > 0
    assert ether.receiver.open_gaps() == []


def test_a_hole_of_the_exchange_is_a_gap_of_its_instrument(capture: CaptureFinder) -> None:
    bench = Bench("binance_usdm")
    receiver = _core.Receiver(accept_replay=True)
    now_ns = 1_000_000_000
    dropped: list[Any] = []
    live = 0
    for line in lines(capture(USDM), most=400):
        if line.is_diff and bench.indices and bench.feed.state(0) == "LIVE":
            live += 1
            if live == 20:
                dropped.append(line.message)
                continue
        bench.take(line)
        for plane, frame in bench.publisher.take():
            now_ns += STEP_NS
            receiver.datagram(plane, frame, 0, now_ns)
        if dropped and live > 25:
            break
    data = dropped[0].get("data", dropped[0])
    [gap] = [*receiver.gaps(), *receiver.open_gaps()]
    assert (gap["cause"], gap["instrument"], gap["count"]) == ("exchange", SYMBOL_NUMBER, 0)
    assert gap["expected"] == data["pu"], "the link that the next diff should have had"
    assert gap["got"] > data["u"] - 1


def test_gaps_have_names_and_a_line_for_people() -> None:
    row = {
        "channel": 2, "venue": 2, "session": 7, "plane": "incremental", "first": 41, "count": 3,
        "instrument": 0, "opened_ts": 1_700_000_000_123_456_789, "cause": "network", "repair": "retransmit",
        "after_ns": 2_345_678, "expected": 0, "got": 0,
    }  # fmt: skip
    names: Callable[[int, int], str] = lambda venue, number: f"#{number}@{venue}" if number else ""  # noqa: E731
    gap = gap_of(row, names)
    assert gap == Gap(
        venue="binance_usdm", channel=2, session=7, plane="incremental", symbol="", first=41, count=3,
        expected=0, got=0, opened_ts=1_700_000_000_123_456_789, cause="network", repair="retransmit",
        after_ns=2_345_678,
    )  # fmt: skip
    assert describe_gap(gap) == (
        "22:13:20.123456 binance_usdm channel 2 incremental: 3 from 41 missing (network),"
        " repaired by retransmit after 2.346 ms"
    )
    exchange = gap_of(
        {**row, "count": 0, "instrument": 9, "cause": "exchange", "repair": "open", "expected": 5, "got": 8},
        names,
    )
    assert describe_gap(exchange) == (
        "22:13:20.123456 #9@2: 5 expected, 8 came (exchange), still open after 2.346 ms"
    )
    assert {gap.cause, exchange.cause} <= set(CAUSES)
    assert {gap.repair, exchange.repair} <= set(REPAIRS)


def test_keys_that_are_none_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("no key\n")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="line 1 is no key"):
        Subscriber(key_file=path)
    with pytest.raises(ConfigurationError, match="hex digits"):
        Subscriber(manifest_key="abc")
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"others can read or write it \(mode 0644\)"):
        Subscriber(key_file=path)
