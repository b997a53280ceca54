"""What no machine makes faster: memory of 1,000 books, sizes of the wheel and its environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.frame import OURS, Limit, Measure, Row
from benchmarks.frame.machine import ROOT

MEMORY = Row(
    "memory, 1,000 full-depth books",
    "MiB",
    (Limit(512),),
    "growth of the resident memory of a process whose feed takes 1,000 times the session USD-M 2024.",
)
WHEEL = Row("wheel", "MiB", (Limit(15),), "`make dist`")
ENVIRONMENT = Row(
    "environment on disk", "MiB", (Limit(120),), "`make dist`: the wheel and the locked requirements"
)

pytestmark = [pytest.mark.record_only, pytest.mark.once]


def test_memory(measure: Measure, data_dir: Path) -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "python"), str(ROOT / "tests")])
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory"],
        env=os.environ | {"PYTHONPATH": paths, "OUTCRIER_DATA": str(data_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(result.stdout)
    measure.value(MEMORY, OURS, told["mib"], levels_a_book=told["levels_a_book"])


def test_wheel_and_environment(measure: Measure) -> None:
    result = subprocess.run(["make", "dist"], cwd=ROOT, capture_output=True, text=True, check=True)
    sizes = dict(re.findall(r"^(wheel|environment): ([\d.]+) MB", result.stdout, re.MULTILINE))
    measure.value(WHEEL, OURS, float(sizes["wheel"]))
    measure.value(ENVIRONMENT, OURS, float(sizes["environment"]))
