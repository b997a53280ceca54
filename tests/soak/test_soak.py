"""The feeder beside stand-ins of all venues that misbehave: seconds in CI, half an hour by `make soak`."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from conftest import captures_folder
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


def write_record(told: Soak, folder: Path) -> Path:
    """JSON of the run: machine, load, every venue, every outage."""
    commit = REVISION
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
        "outages": [
            {
                "symbol": verdict.outage.symbol,
                "at_s": round(verdict.outage.begin - told.begin, 3),
                "lasted_s": round(verdict.outage.seconds, 3),
                "reason": verdict.outage.reason,
                "cause": verdict.cause,
                "answers_at_s": round(verdict.answers - told.begin, 3),
                "backoff_s": round(verdict.backoff, 3),
                "drawn": [
                    {
                        "of": wait.symbol or wait.cause,
                        "at_s": round(wait.begin - told.begin, 3),
                        "wait_s": round(wait.seconds, 3),
                    }
                    for wait in verdict.drawn
                ],
                "excess_s": round(verdict.excess, 3),
            }
            for verdicts in told.verdicts.values()
            for verdict in verdicts
        ],
    }
    path = folder / f"{figures['date'][:10]}-{commit[:8]}-soak.json"
    text = json.dumps(figures, indent=1)
    path.write_text(text + "\n")
    return path


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
