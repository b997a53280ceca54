"""Late joiners of 1,000 instruments, one after the other, until every book is LIVE and as the publisher's.

The programs are those of the tests with networks (`tests/net`), here over loopback: one recorded session,
given to every instrument as its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import IO, Any, Final

import msgspec
import pytest

from benchmarks.frame import OURS, Measure, Row
from benchmarks.frame.machine import ROOT
from benchmarks.messages import capture_path
from benchmarks.sockets.load import GROUP, INTERFACE, LINE_B_GROUP, REPAIR_GROUP, SNAPSHOT_GROUP, free_port

INSTRUMENTS: Final = 1_000
JOINS: Final = 10
RATE: Final = 5_000
"""Messages a second over all instruments, while consumers join."""
_SECONDS: Final = 120.0
"""Longer than all of them take; each instrument's part of the load lasts as long."""
_MESSAGES: Final = 600
_DEPTH: Final = 200
"""Levels of each side that the recorded book begins with: those of the snapshot plane's limit of a second."""

ROW: Final = Row(
    "late join, 1,000 instruments of 200 levels a side, slowest of 10",
    "ms",
    (),
    "from `Subscriber` opened until every book is LIVE, over loopback, 5,000 messages/s meanwhile; publisher"
    " and consumers in Python, anywhere on both cores. Every book is compared by hash where an event ended.",
)

WAYS: Final = {"TCP image": {}, "snapshot cycle": {"OUTCRIER__FEEDER__RETRANSMIT": "false"}}
"""Settings of the publisher: without a server there is no image."""

pytestmark = [pytest.mark.record_only, pytest.mark.once]


@pytest.fixture(scope="module")
def files(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The load, and what books are by their number."""
    from net.load import CAPTURE, read_loads, truth  # noqa: PLC0415 - of the tests

    folder = tmp_path_factory.mktemp("join")
    load, table = folder / "load.json", folder / "truth.json"
    read = read_loads(capture_path(data_dir, CAPTURE), _MESSAGES)[0]
    book = json.loads(read.book)
    for side in ("bids", "asks"):
        book[side] = book[side][:_DEPTH]
    read = msgspec.structs.replace(read, book=json.dumps(book).encode())
    load.write_bytes(msgspec.json.encode(read))
    table.write_bytes(msgspec.json.encode(truth(read)))
    return load, table


@contextmanager
def _program(module: str, settings: dict[str, str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    paths = os.pathsep.join([str(ROOT / "python"), str(ROOT / "tests")])
    process = subprocess.Popen(
        [sys.executable, "-m", module, json.dumps(options, default=str)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | settings | {"PYTHONPATH": paths},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _until(lines: IO[str] | None, key: str) -> list[dict[str, Any]]:
    """What a program says up to the line with this key, which is the last of them."""
    said: list[dict[str, Any]] = []
    assert lines is not None
    for line in lines:
        said.append(json.loads(line))
        if key in said[-1]:
            return said
    pytest.fail(f"the program ended before it said {key}: {said[-3:]}")


@pytest.mark.parametrize("on", list(WAYS))
def test_ours(measure: Measure, files: tuple[Path, Path], tmp_path: Path, on: str) -> None:
    load, table = files
    crypto = {
        "interface": INTERFACE,
        "group_a": GROUP,
        "group_b": LINE_B_GROUP,
        "group_snapshot": SNAPSHOT_GROUP,
        "group_repair": REPAIR_GROUP,
        "port": str(free_port()),
        "ttl": "0",
    }
    settings = {f"OUTCRIER__MULTICAST__CRYPTO__{key.upper()}": value for key, value in crypto.items()}
    feed = {"instruments": INSTRUMENTS, "rate": RATE, "seconds": _SECONDS}
    with _program(
        "net.publisher", settings | WAYS[on], loads=[load, load], state_dir=tmp_path, **feed
    ) as publisher:
        _until(publisher.stdout, "ready")
        assert publisher.stdin is not None
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
        with _program("net.joiner", settings, truths=[table, table], joins=JOINS, seed=7) as joiner:
            *joins, _ = _until(joiner.stdout, "over")
    assert len(joins) == JOINS
    for each in joins:
        assert each["books"] == each["live"] == INSTRUMENTS
        assert each["wrong"] == []
    assert sum(each["compared"] for each in joins) > JOINS * INSTRUMENTS // 2
    times = [each["joined"] for each in joins]
    measure.value(ROW, OURS, max(times), on=on, middle=round(median(times)), fastest=round(min(times)))
