"""The feeder beside stand-ins of all venues that misbehave: seconds in CI, half an hour by `make soak`."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from conftest import captures_folder
from soak.account import Injected, Wait
from soak.plan import plan
from soak.run import UPTIME_MIN, Soak, soak

SOAK_S: Final = float(os.environ.get("OUTCRIER_SOAK_S", "0"))
SEED: Final = int(os.environ.get("OUTCRIER_SOAK_SEED", "7"))
RECORD: Final = os.environ.get("OUTCRIER_SOAK_RECORD", "")
"""Folder for a record of the run; empty = none."""

REVISION: Final = subprocess.run(
    ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
).stdout.strip()
"""When the run began: others may commit meanwhile."""

SMOKE_S: Final = 8.0
SMOKE_VENUES: Final = frozenset({"binance_us", "bybit", "deribit", "upbit"})
EVERY_S: Final = 30.0
"""Between two faults of a venue, on average."""
SMOKE_EVERY_S: Final = 3.0

pytestmark = pytest.mark.timeout(SOAK_S + 300)


OUTAGE_COLUMNS: Final = (
    "symbol",
    "reason",
    "cause",
    "at_s",
    "lasted_s",
    "answers_at_s",
    "backoff_s",
    "excess_s",
    "waits",
)
"""`waits`: those that ran in it, by their place in the list of waits."""


def write_record(told: Soak, folder: Path) -> Path:
    """JSON of the run: machine, load, every venue; beside it, compressed, its timeline: every fault, every
    wait that ran in an outage, every outage.
    """
    commit = REVISION
    waits: dict[tuple[str, Wait], int] = {}
    rows = []
    for venue, verdicts in told.verdicts.items():
        for verdict in verdicts:
            drawn = [waits.setdefault((venue, wait), len(waits)) for wait in verdict.drawn]
            times = [verdict.outage.begin - told.begin, verdict.outage.seconds, verdict.answers - told.begin]
            times += [verdict.backoff, verdict.excess]
            outage = [verdict.outage.symbol, verdict.outage.reason, verdict.cause]
            rows.append([*outage, *(round(each, 3) for each in times), drawn])
    figures: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "revision": commit,
        "machine": f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        "load": os.getloadavg(),
        "seed": SEED,
        "seconds": round(told.end - told.begin, 1),
        "symbols": len(told.listed),
        "never_live": told.never_live,
        "uptime_outside_min": min(told.uptimes().values()),
        "unexplained": told.unexplained(),
        "feeder_cpu_s": round(told.feeder_cpu_s, 1),
        "feeder_resident_mib": [
            round(each / 2**20, 1) for each in told.resident[:: max(1, len(told.resident) // 60)]
        ],
        "consumer_unsure_symbol_s": told.unsure_s,
        "venues": told.table(),
    }
    timeline: dict[str, Any] = {
        "wait_columns": ["venue", "of", "at_s", "wait_s"],
        "waits": [
            [venue, wait.symbol or wait.cause, round(wait.begin - told.begin, 3), round(wait.seconds, 3)]
            for venue, wait in waits
        ],
        "fault_columns": ["venue", "kind", "at_s", "lasted_s", "symbol"],
        "faults": [
            [venue, fault.kind, round(fault.begin - told.begin, 3), lasted(fault), fault.symbol]
            for venue, faults in told.faults.items()
            for fault in faults
        ],
        "outage_columns": [*OUTAGE_COLUMNS],
        "outages": rows,
    }
    path = folder / f"{figures['date'][:10]}-{commit[:8]}-soak.json"
    path.write_text(laid_out(figures))
    path.with_suffix(".timeline.json.gz").write_bytes(gzip.compress(laid_out(timeline).encode(), mtime=0))
    return path


def lasted(fault: Injected) -> float | None:
    """Seconds of a fault; None: it was not over when the run was."""
    return round(fault.end - fault.begin, 3) if math.isfinite(fault.end) else None


def laid_out(figures: dict[str, Any]) -> str:
    """JSON with a line for each value, and for each row of a table."""
    lines = []
    for name, value in figures.items():
        text = json.dumps(value)
        if isinstance(value, list) and value and isinstance(value[0], list | dict):
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        lines.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def test_every_outage_is_an_injected_one(tmp_path: Path) -> None:
    chosen = plan(captures_folder())
    if not SOAK_S:
        chosen = [each for each in chosen if each.venue in SMOKE_VENUES]
    if not chosen:
        pytest.skip("no captures of the venues that are played")
    seconds, every_s = (SOAK_S, EVERY_S) if SOAK_S else (SMOKE_S, SMOKE_EVERY_S)
    told = asyncio.run(soak(chosen, tmp_path, seconds=seconds, seed=SEED, every_s=every_s))
    sys.stdout.write("".join(f"{row}\n" for row in told.table()))
    if RECORD:
        sys.stdout.write(f"record: {write_record(told, Path(RECORD))}\n")
    assert told.unexplained() == []
    assert all(part >= UPTIME_MIN for part in told.uptimes().values()), told.uptimes()
    assert sum(map(len, told.verdicts.values())) > 0, "no fault did anything"
    assert all(not row["breaches"] for row in told.table()), "limits of venues were not kept"
