"""From the exchange's socket to a consumer's: the feeder as it is, beside the floor program.

The driver (`sockets/driver.c`) is exchange and consumer in one process on one core; on the other core runs
the handler: `outcrier run` with its own configuration, or the floor. Ours connects, subscribes, fetches the
books and is live before the first message; the driver answers the WebSocket, `outcrier venue`'s server the
REST requests. Nothing of the feeder is replaced. The floor scans, keeps a book and a synthetic L3 and sends,
for this one shape, without a check.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.frame import OURS, AtMost, Measure, Row
from benchmarks.frame.floors import Floors
from benchmarks.messages import MessageSet, write_floor_input
from benchmarks.sockets.end_to_end import Run, build_driver, floor_run, our_run
from benchmarks.sockets.tape import FLOOR_MESSAGES_MAX, write_tape

ON = "COIN-M 2021"

SATURATED = Row(
    "end to end, saturated, one core",
    "µs/message",
    (AtMost(2.4, "e2e_floor gso"),),
    "the driver pushes as fast as the socket takes it, its consumer reads with UDP_GRO; from the first"
    " message sent to the last frame read.",
)
_P50 = "a message every 200 µs; from the first byte handed to TCP to the frame read by a spinning consumer."
POLLING = Row("end to end, p50, polling", "µs", (AtMost(1.3, "e2e_floor spin"),), f"feeder.busy_poll; {_P50}")
SLEEPING = Row("end to end, p50, sleeping", "µs", (AtMost(1.1, "e2e_floor block"),), _P50)

LAPS = 55
"""Of 1,839 messages: a tenth of a second at a million a second."""
PACED_LAPS = 3
PACE_NS = 200_000

MODES = {
    "saturated": (SATURATED, "gso", Run(laps=LAPS, pace_ns=0, gro=True, busy_poll=False)),
    "polling": (POLLING, "spin", Run(laps=PACED_LAPS, pace_ns=PACE_NS, gro=False, busy_poll=True)),
    "sleeping": (SLEEPING, "block", Run(laps=PACED_LAPS, pace_ns=PACE_NS, gro=False, busy_poll=False)),
}

pytestmark = [
    pytest.mark.record_only,
    pytest.mark.parametrize("mode", list(MODES)),
    pytest.mark.parametrize("on", [ON]),
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tapes, configuration and state of the feeder lie."""
    return tmp_path_factory.mktemp("end_to_end")


def _tape(folder: Path, messages: MessageSet, laps: int) -> Path:
    path = folder / f"{laps}.tape"
    if not path.exists():
        write_tape(path, messages, laps)
    return path


def test_ours(
    measure: Measure, messages: MessageSet, *, data_dir: Path, folder: Path, mode: str, on: str
) -> None:
    row, _, run = MODES[mode]
    result = our_run(
        driver=build_driver(folder),
        messages=messages,
        data_dir=data_dir,
        tape=_tape(folder, messages, run.laps),
        folder=folder,
        run=run,
    )
    measure.value(row, OURS, result.value(run), on=on, p99_us=result.p99, messages=result.count)


@pytest.mark.peer
def test_floor(
    measure: Measure, messages: MessageSet, *, floors: Floors, folder: Path, mode: str, on: str
) -> None:
    row, floor_mode, run = MODES[mode]
    stem = folder / "floor"
    write_floor_input(messages, stem)
    # Beyond what it can keep the floor's driver begins anew.
    tape = _tape(folder, messages, min(run.laps, FLOOR_MESSAGES_MAX // len(messages.messages)))
    result = floor_run(
        driver=floors.program("e2e_driver"),
        floor=floors.program("e2e_floor"),
        mode=floor_mode,
        tape=tape,
        books=stem.with_suffix(".snap"),
        count=run.laps * len(messages.messages),
        run=run,
    )
    measure.value(
        row, f"e2e_floor {floor_mode}", result.value(run), on=on, p99_us=result.p99, messages=result.count
    )
