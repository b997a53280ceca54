"""Criterion's benches of the core as cases: the built program is run for one bench, its estimate is read."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.frame.machine import ROOT

WARM_UP_S = 0.2
MEASURE_S = 0.5

BUILD = ["cargo", "bench", "--locked", "--quiet", "-p", "outcrier-core", "--bench", "core", "--no-run"]


@dataclass(frozen=True)
class Estimate:
    """What a bench said."""

    ns: float
    """Nanoseconds of one element of its throughput, of the fastest sample: as passes of other cases."""
    median_ns: float
    """The same, criterion's estimate of the median."""
    answer: str
    """CRC-32 or CRC32C in hexadecimal, as the bench says."""


@dataclass(frozen=True)
class Criterion:
    """The benches of rust_core/core/benches."""

    program: Path
    folder: Path
    """Where criterion keeps its results."""
    data_dir: Path

    @staticmethod
    def build(folder: Path, data_dir: Path) -> Criterion:
        """Builds them, or finds them built (`make bench` has done so before)."""
        result = subprocess.run(
            [*BUILD, "--message-format=json"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        built = (json.loads(line) for line in result.stdout.splitlines() if line.startswith("{"))
        programs = [each["executable"] for each in built if each.get("executable")]
        return Criterion(Path(programs[-1]), folder, data_dir)

    def run(self, bench: str) -> Estimate:
        """Runs one bench (`level_update/usdm_2024`)."""
        options = ["--warm-up-time", str(WARM_UP_S), "--measurement-time", str(MEASURE_S)]
        result = subprocess.run(
            [self.program, "--bench", "--noplot", *options, "--exact", bench],
            cwd=ROOT,
            env=os.environ | {"CRITERION_HOME": str(self.folder), "OUTCRIER_DATA": str(self.data_dir)},
            capture_output=True,
            text=True,
            check=True,
        )
        answer = re.search(rf"^answer {re.escape(bench)} ([0-9a-f]{{8}})$", result.stdout, re.MULTILINE)
        assert answer is not None, result.stdout
        told = self.folder / bench / "new"
        median = json.loads((told / "estimates.json").read_text())["median"]["point_estimate"]
        sample = json.loads((told / "sample.json").read_text())
        fastest = min(time / count for time, count in zip(sample["times"], sample["iters"], strict=True))
        elements = json.loads((told / "benchmark.json").read_text())["throughput"]["Elements"]
        return Estimate(fastest / elements, median / elements, answer[1])
