"""Which streams are found silent: rates of a real session, and what happens when one of them stops."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
from numpy.typing import NDArray

from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.stream_silence import (
    GAPS_MAX,
    MESSAGES_MIN,
    SILENCE_MIN_NS,
    Silent,
    StreamSilence,
)

START_NS = 1_000 * SECOND_NS


class Streams:
    """Instruments with six kinds of streams, each with messages at even intervals."""

    def __init__(self, every_s: dict[tuple[int, int], float], rows: int = 3) -> None:
        self.model = StreamSilence()
        self.every_s = every_s
        self.counts: NDArray[np.uint64] = np.zeros((rows, 6), np.uint64)
        self.last_ns: NDArray[np.uint64] = np.zeros((rows, 6), np.uint64)
        self.due_s = dict.fromkeys(every_s, 0.0)
        self.now_s = 0

    def run(
        self, seconds: int, stopped: Set[tuple[int, int]] = frozenset(), cut_off: Sequence[int] = ()
    ) -> list[tuple[int, Silent]]:
        found: list[tuple[int, Silent]] = []
        for _ in range(seconds):
            self.now_s += 1
            for key, every_s in self.every_s.items():
                while self.due_s[key] <= self.now_s:
                    if key not in stopped:
                        self.counts[key] += 1
                        self.last_ns[key] = START_NS + int(self.due_s[key] * SECOND_NS)
                    self.due_s[key] += every_s
            now_ns = START_NS + self.now_s * SECOND_NS
            found += [
                (self.now_s, each) for each in self.model.look(now_ns, self.counts, self.last_ns, cut_off)
            ]
        return found


def test_a_process_that_was_stopped_finds_nobody_silent() -> None:
    streams = Streams({(0, 0): 0.1, (1, 0): 0.2, (2, 0): 0.1})
    streams.run(600)
    streams.now_s += 120
    streams.due_s = dict.fromkeys(streams.every_s, float(streams.now_s + 1))
    now_ns = START_NS + streams.now_s * SECOND_NS
    assert streams.model.look(now_ns, streams.counts, streams.last_ns) == [], "the sockets are read after it"
    assert streams.run(300) == []
    found = streams.run(60, stopped={(0, 0)})
    assert {each.index for _, each in found} == {0}, "and then as before"


def test_streams_that_go_on_are_never_silent() -> None:
    streams = Streams({(0, 0): 0.1, (0, 1): 3.0, (1, 0): 1.0, (2, 0): 20.0})
    assert streams.run(4_000) == []


def test_a_stream_that_stops_is_found_by_its_own_rate_and_again_when_it_lasts_twice_as_long() -> None:
    streams = Streams({(0, 0): 0.1, (1, 0): 2.0, (1, 1): 2.0, (2, 0): 0.1})
    streams.run(600)
    found = streams.run(300, stopped={(0, 0), (1, 0)})
    fast = [(at, each) for at, each in found if each.index == 0]
    slow = [(at, each) for at, each in found if each.index == 1]
    assert {(each.index, each.kind) for _, each in found} == {(0, 0), (1, 0)}, "the others go on"
    assert [each.again for _, each in fast] == [False, *[True] * (len(fast) - 1)]
    assert [at - 600 for at, _ in fast][:3] == [10, 20, 40], "ten seconds at least, then twice as long"
    assert all(each.is_book and each.expected_ns == SILENCE_MIN_NS for _, each in fast)
    assert abs(slow[0][1].expected_ns - GAPS_MAX * 2 * SECOND_NS) <= 0.05 * GAPS_MAX * 2 * SECOND_NS
    assert abs(slow[0][0] - 700) <= 5, "fifty of its intervals"
    assert str(slow[0][1]).startswith("for 1")


def test_what_is_cut_off_is_not_silent_and_its_silence_begins_when_it_is_back() -> None:
    streams = Streams({(0, 0): 0.1, (1, 0): 0.1})
    streams.run(600)
    found = streams.run(60, stopped={(0, 0), (1, 0)}, cut_off=[1])
    assert {each.index for _, each in found} == {0}
    found = [(at, each) for at, each in streams.run(30, stopped={(0, 0), (1, 0)}) if each.index == 1]
    assert [at for at, _ in found][:1] == [670], "ten seconds after it was back"


def test_a_stream_that_comes_back_begins_anew() -> None:
    streams = Streams({(0, 0): 0.1})
    streams.run(600)
    assert len(streams.run(45, stopped={(0, 0)})) == 3
    assert streams.run(300) == []
    (again,) = streams.run(12, stopped={(0, 0)})
    assert not again[1].again


def test_a_stream_that_has_shown_no_rate_is_never_silent() -> None:
    streams = Streams({(0, 0): 5.0})
    streams.run(5 * (MESSAGES_MIN - 2))
    assert streams.run(7_200, stopped={(0, 0)}) == []


def test_an_instrument_that_takes_a_slot_over_starts_without_a_past() -> None:
    streams = Streams({(0, 0): 0.1})
    streams.run(600)
    streams.counts[0, 0] = 1
    assert streams.run(100, stopped={(0, 0)}) == []


def test_instruments_that_come_later_are_learned_too() -> None:
    streams = Streams({(0, 0): 0.1})
    streams.run(300)
    for name in ("counts", "last_ns"):
        setattr(streams, name, np.vstack([getattr(streams, name), np.zeros((2, 6), np.uint64)]))
    streams.every_s[4, 0] = 0.1
    streams.due_s[4, 0] = float(streams.now_s)
    assert streams.run(300) == []
    found = streams.run(12, stopped={(4, 0)})
    assert [(each.index, each.kind) for _, each in found] == [(4, 0)]
