"""Captures as batches without sockets: the rows that a subscriber hears while the same are replayed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import ROOT
from outcrier import Batch, replay_batches
from outcrier.capture.format import read_capture
from outcrier.errors import CaptureError, ConfigurationError
from outcrier.layout import BBO, BOOK_DELTA, BOOK_SNAPSHOT, DEFINITION, STATUS, TRADE
from sockets import Child, Net, cut

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2022-08-11"
SPOT = "binance/spot_btcusdt_2024-08-08"
SNAPSHOT_PLANE = 1 << 2

MEASURED = {"rx_ts", "send_ts", "proc_ns", "delay_ns", "session", "instrument", "start", "checksum_kind"}
"""What is of the run, not of the data: a checksum is sent every 100 ms of the clock."""

ARRAYS = {BOOK_DELTA: "levels", BOOK_SNAPSHOT: "levels", TRADE: "trades", BBO: "bbos", STATUS: "statuses"}


def told(batches: Iterable[Batch]) -> list[tuple[Any, ...]]:
    """Every frame of the incremental plane: its row, its symbol and its records, as they are."""
    frames = []
    for batch in batches:
        names = [name for name in batch.events.dtype.names or () if name not in MEASURED]
        for index in np.flatnonzero(batch.events["channel_seq"]):
            row = batch.events[index]
            if row["marks"] & SNAPSHOT_PLANE or row["kind"] == DEFINITION:
                continue
            start, count = int(row["start"]), int(row["count"]) or 1
            array = ARRAYS.get(int(row["kind"]))
            records = getattr(batch, array)[start : start + count].tolist() if array else None
            if row["kind"] == STATUS:
                records = [record[:4] for record in records or []]  # since when is the time of the run
            symbol = batch.symbol_of(int(index))
            frames.append((symbol, *(row[name].item() for name in names), records))
    return frames


def test_batches_are_those_of_the_socket_path(capture: CaptureFinder, tmp_path: Path) -> None:
    source = cut(capture(USDM), tmp_path, 1_200)
    net = Net.pick()
    heard: list[Batch] = []
    with (
        net.subscriber() as sub,
        Child(tmp_path, "replay", source, "--speed", "max", *net.options()) as child,
    ):
        for batch in sub.iter_batches():
            heard.append(batch)
            if any(channel["ended"] for channel in sub.channels()):
                break
        assert child.end() == 0, child.err
        assert sub.counters()["gaps"] == 0
    made = told(replay_batches([source]))
    assert made == told(heard)
    assert len(made) > 1_000
    symbols = {frame[0] for frame in made}
    assert symbols == {"", "BTCUSDT@binance_usdm"}, "beside the cut capture lies no instrument list"


def test_rows_are_those_asked_for_of_every_venue_in_time(capture: CaptureFinder, tmp_path: Path) -> None:
    sources = [cut(capture(name), tmp_path, 800) for name in (USDM, SPOT)]
    batches = list(replay_batches(sources, types=["trade"]))
    events = np.concatenate([batch.events for batch in batches])
    trades = events[events["kind"] == TRADE]
    assert set(trades["venue"]) == {1, 2}
    assert not set(events["kind"]) & {BOOK_DELTA, BOOK_SNAPSHOT, BBO}
    only = list(replay_batches(sources, symbols=["BTCUSDT@binance"], types=["trade"]))
    of_spot = np.concatenate([batch.events for batch in only])
    assert set(of_spot[of_spot["instrument"] > 0]["venue"]) == {1}
    assert sum(len(batch.trades) for batch in only) == int((trades[trades["venue"] == 1])["count"].sum())


def test_a_batch_is_bounded_and_shows_events(capture: CaptureFinder) -> None:
    batches = list(replay_batches([capture(USDM)], prices="float"))
    assert len(batches) == 1
    event = next(event for event in batches[0] if event.symbol)
    assert event.flags == ("event_end", "replay") or "replay" in event.flags
    spot = list(replay_batches([capture(SPOT)]))
    assert len(spot) > 3
    assert max(map(len, spot)) < 10_000


def test_the_example_of_the_document_runs(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "consumer.md").read_text()
    (code,) = [
        each for each in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "replay_batches(" in each
    ]
    printed: list[tuple[Any, ...]] = []
    monkeypatch.chdir(data_dir)
    exec(code, {"print": lambda *values: printed.append(values)})  # noqa: S102  # our own document
    lines = read_capture(data_dir / "captures" / f"{USDM}.jsonl.gz")
    messages = [json.loads(line.data) for line in lines if line.kind == "recv"]
    prices = [
        round(float(message["data"]["p"]) * 100) for message in messages if message["data"]["e"] == "trade"
    ]
    assert sum(count for count, _, _ in printed) == len(prices)
    assert (min(low for _, low, _ in printed), max(high for *_, high in printed)) == (
        min(prices),
        max(prices),
    )


def test_what_cannot_be_is_named(capture: CaptureFinder, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"none.jsonl.gz: no such capture"):
        next(replay_batches([tmp_path / "none.jsonl.gz"]))
    with pytest.raises(ConfigurationError, match="unknown type 'trades'"):
        next(replay_batches([capture(USDM)], types=["trades"]))
    with pytest.raises(ConfigurationError, match=r"no channel has .*did you mean BTC/USDT:PERP@bin"):
        next(replay_batches([capture(USDM)], symbols=["BTC/USDTX:PERP@binance_usdm"]))
    damaged = cut(capture(USDM), tmp_path, 50)
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.raises(CaptureError, match=r"cut.jsonl:50: "):
        next(replay_batches([damaged]))
