"""The floor programs that lie beside the captures: what the machine can do when nothing but the work is done.

They are built for the machine and the session that measures, by their own build script.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

import pytest

BUILD_SECONDS_MAX = 180
RUN_SECONDS_MAX = 60


@dataclass(frozen=True)
class Floors:
    """Where the floor programs are; `why_not` says why there are none."""

    folder: Path
    why_not: str | None = None

    def program(self, name: str) -> Path:
        """The path of a program (`floor`, `e2e_floor`) or library (`nat.so`); skips the case without it."""
        path = self.folder / name
        if self.why_not is not None or not path.is_file():
            pytest.skip(f"no floor program {name}: {self.why_not or 'the build script made none'}")
        return path


@dataclass
class FloorFigures:
    """What the program `floor` says of a message set, once a round."""

    floors: Floors
    stem: Path
    """Of the files that it reads."""
    on: str
    """Name of the message set."""
    told: dict[str, float] = field(default_factory=dict)

    def measure(self) -> None:
        """Runs it: a few seconds."""
        result = subprocess.run(
            [self.floors.program("floor"), self.stem],
            capture_output=True,
            text=True,
            check=True,
            timeout=RUN_SECONDS_MAX,
        )
        assert re.search(r"^books_equal true true$", result.stdout, re.MULTILINE), result.stdout
        # NAME MEDIAN min LEAST max MOST n COUNT: its passes are many and short, so the least is as ours.
        found = re.findall(r"^(\S+) [\d.]+ min ([\d.]+) ", result.stdout, re.MULTILINE)
        self.told = {name: float(least) for name, least in found}

    def figure(self, name: str) -> float:
        """A figure of this round in nanoseconds."""
        return self.told[name]


def build_floors(source: Path, out: Path) -> Floors:
    """Builds the programs of `source` into `out`, where their compilers are."""
    script = source / "build.sh"
    if not script.is_file():
        return Floors(out, f"{script} is not there")
    missing = [tool for tool in ("gcc", "rustc") if shutil.which(tool) is None]
    if missing:
        return Floors(out, f"{' and '.join(missing)} to build it with missing")
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").is_file():
        return Floors(out, f"{include} holds no Python.h")
    command = ["sh", str(script), str(out), include]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS_MAX)
    if result.returncode != 0:
        return Floors(out, f"{script} failed: {result.stderr.strip()[-200:]}")
    return Floors(out)
