"""What there is of each venue: recordings by `Venue.captures`, samples by the reference, and the manifest."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from conformance import simulated
from conformance.reference import Reference, references
from conftest import captures_folder
from outcrier.venues import VENUES, Venue

REFERENCES = references()

DATED = re.compile(r"(.*)_(\d{4}-\d{2}-\d{2})$")


@dataclass(frozen=True)
class Recording:
    """Files that make one session of a venue: one, or those of following days where the first alone has the
    beginning.
    """

    venue: Venue
    names: tuple[str, ...]
    """`bybit/v5_spot_2026-08-09`"""

    @property
    def reference(self) -> Reference:
        return REFERENCES[self.venue.name]

    @property
    def paths(self) -> list[Path]:
        return [path_of(name) for name in self.names]

    @property
    def gaps(self) -> int:
        """Holes in the numbers that the manifest states."""
        return sum(self.reference.gaps.get(name, 0) for name in self.names)

    def __str__(self) -> str:
        return f"{self.venue.name}-{'+'.join(name.split('/')[1] for name in self.names)}"


def path_of(name: str) -> Path:
    if name == simulated.NAME:
        return simulated.path()
    return captures_folder() / "captures" / f"{name}.jsonl.gz"


def names_of(venue: Venue) -> list[str]:
    """Recordings that the venue names; of a simulation what stands for them."""
    if venue.simulation:
        return [simulated.NAME]
    folder = captures_folder() / "captures"
    found = [path for pattern in venue.captures for path in folder.glob(f"{pattern}.jsonl.gz")]
    names = {f"{path.parent.name}/{path.name.removesuffix('.jsonl.gz')}" for path in found}
    return sorted(name for name in names if not name.endswith("_instruments"))


@cache
def recordings(name: str) -> tuple[Recording, ...]:
    """Those of the venue `name`."""
    venue = VENUES[name]
    groups: list[tuple[str, ...]] = []
    for each in names_of(venue):
        if groups and follows(groups[-1][-1], each):
            groups[-1] = (*groups[-1], each)
        else:
            groups.append((each,))
    return tuple(Recording(venue, names) for names in groups)


def follows(before: str, name: str) -> bool:
    """Whether a recording is of the day after another of the same kind."""
    one, other = DATED.match(before), DATED.match(name)
    if one is None or other is None or one[1] != other[1]:
        return False
    return date.fromisoformat(one[2]) + timedelta(days=1) == date.fromisoformat(other[2])


ALL = [recording for name in VENUES for recording in recordings(name)]


@cache
def manifest() -> dict[str, Any]:
    """Its entries by name of capture."""
    path = captures_folder() / "MANIFEST.json"
    entries = json.loads(path.read_text()) if path.is_file() else []
    return {
        each["path"].removeprefix("captures/").removesuffix(".jsonl.gz"): each
        for each in entries
        if each["path"].startswith("captures/")
    }


def samples_of(*patterns: str) -> list[Path]:
    """Samples by the patterns of a reference."""
    folder = captures_folder() / "samples"
    return sorted({path for pattern in patterns for path in folder.glob(pattern)})
