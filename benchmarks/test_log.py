"""The log of published frames: group commit beside plain write and fdatasync, and what an append costs.

Both write to the same disk in the same round: the floor program `wal` in mode group1024 (1,024 records with
their CRC to a write and fdatasync, in one thread), ours through `outcrier_net::log::Log`, whose thread writes
and waits while the next group is appended.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.frame import OURS, AtMost, Limit, Measure, Row
from benchmarks.frame.floors import Floors
from benchmarks.sockets.group import Wire
from benchmarks.sockets.load import build_example

FLOOR: Final = "write + fdatasync"
GROUP: Final = 1_024
FRAMES: Final = 200 * GROUP
"""About 77 MB: two segments, 200 waits for the disk."""
_SECONDS_MAX: Final = 240

COMMIT = Row(
    "log, group commit",
    "ns/frame",
    (AtMost(1.25, FLOOR),),
    (
        "frames of 386 B on the disk, in groups of 1,024. Ours: `Log::append`, marks and rotation included,"
        " read back and compared. Floor: `wal` in mode group1024 with records of their mean length."
    ),
)
APPEND = Row(
    "log, append, p99",
    "ns",
    (Limit(150),),
    "one call of `Log::append` with one frame, clock included, while the log thread writes the group before.",
)

pytestmark = [pytest.mark.record_only]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where both write; removed at once, since rounds would fill the disk."""
    path = tmp_path_factory.mktemp("log")
    yield path
    shutil.rmtree(path)


def _answer(command: list[str]) -> dict[str, Any]:
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS_MAX)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_ours(measure: Measure, wire: Wire, folder: Path) -> None:
    program = build_example("log")
    told = _answer([str(program), str(folder / "log"), str(wire.path), str(FRAMES), str(GROUP)])
    assert told["frames"] == FRAMES
    measure.value(COMMIT, OURS, told["ns_frame"], syncs=told["syncs"], commit_ns_max=told["commit_ns_max"])
    measure.value(APPEND, OURS, told["append_p99"], p50=told["append_p50"], p999=told["append_p999"])


@pytest.mark.peer
def test_floor(measure: Measure, floors: Floors, wire: Wire, folder: Path) -> None:
    frames = wire.frames.cycle
    record = round(sum(map(len, frames)) / len(frames))
    megabytes = (FRAMES * (record + 8) >> 20) + 1
    command = [str(floors.program("wal")), str(folder / "wal"), str(record), f"group{GROUP}", str(megabytes)]
    told = _answer([*command, str(_SECONDS_MAX)])
    assert told["n"] >= FRAMES
    measure.value(COMMIT, FLOOR, told["ns_mean"], syncs=told["syncs"])
    measure.value(APPEND, FLOOR, told["ns_p99"], p50=told["ns_p50"], p999=told["ns_p999"])
