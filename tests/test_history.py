"""The last messages of an instrument, as they came, within a number of bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from feed_bench import Bench, Line, lines
from outcrier import _core
from outcrier.venues import venue_by_name

CaptureFinder = Callable[[str], Path]

HEAD_BYTES = 24
COINM = "binance_coinm/coinm_2021-07-22"


def bench(history_bytes_max: int) -> Bench:
    made = Bench("binance_coinm")
    declared = venue_by_name("binance_coinm")
    made.feed = _core.Feed(
        made.publisher,
        venue=declared.number,
        channel=declared.number,
        session=90_000_002,
        publisher_id=77,
        shapes=declared.shapes_json,
        build="test",
        replay=True,
        start_ns=1,
        history_bytes_max=history_bytes_max,
    )
    return made


def kept(line: Line) -> tuple[int, int, bytes]:
    return line.t, 0 if line.kind == "http" else 1, line.text.encode()


@pytest.mark.parametrize("history_bytes_max", [1 << 30, 200_000, 20_000])
def test_it_holds_the_newest_messages_that_fit(history_bytes_max: int, capture: CaptureFinder) -> None:
    played = bench(history_bytes_max)
    all_lines = [line for line in lines(capture(COINM)) if line.kind in {"http", "recv"}]
    taken: list[Line] = []
    for line in all_lines:
        before = len(played.for_python)
        ignored = played.feed.counters()["snapshots_ignored"]
        played.take(line)
        is_taken = len(played.for_python) == before
        if is_taken and played.feed.counters()["snapshots_ignored"] == ignored:
            taken.append(line)
    room, fitting = history_bytes_max, 0
    # A message longer than all of it leaves the others where they are.
    short = [line for line in taken if len(line.text) + HEAD_BYTES <= history_bytes_max]
    for line in reversed(short):
        room -= len(line.text) + HEAD_BYTES
        if room < 0:
            break
        fitting += 1
    assert played.feed.counters()["history_dropped"] == len(taken) - fitting
    newest = short[len(short) - fitting :]
    assert len(played.indices) > 5
    for symbol, index in played.indices.items():
        wanted = [kept(line) for line in newest if (line.symbol or "") == symbol]
        assert played.feed.history(index) == wanted
        assert played.feed.history(index, 3) == wanted[-3:]
        assert played.feed.history(index, 0) == []


def test_a_message_that_cannot_be_read_is_among_them_and_nothing_is_kept_unasked() -> None:
    played = bench(10_000)
    played.add("AB")
    broken = b'{"data":{"e":"depthUpdate","s":"AB","U":1,"u":2,"pu":0,"T":1,"b":[["x","1"]],"a":[]}}'
    played.feed.on_frame(4, broken, 7)
    assert played.feed.counters()["faults"] == 1
    assert played.feed.history(0) == [(7, 4, broken)]
    unasked = Bench("binance_coinm")
    unasked.add("AB")
    unasked.feed.on_frame(4, broken, 7)
    assert unasked.feed.history(0) == []
    assert unasked.feed.counters()["history_dropped"] == 0


def test_an_instrument_that_left_has_no_history() -> None:
    played = bench(1 << 20)
    index = played.add("BTCUSD_PERP")
    text = b'{"e":"bookTicker","u":7,"s":"BTCUSD_PERP","b":"1","B":"2","a":"3","A":"4","T":5,"E":6}'
    played.feed.on_frame(1, text, 8)
    assert played.feed.history(index) == [(8, 1, text)]
    played.feed.remove_instrument(index)
    with pytest.raises(IndexError):
        played.feed.history(index)
