"""What a soak plays: every venue with captures, the busy ones of 2024 and NEXO under many names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from outcrier.capture.library import sharing
from outcrier.venues import VENUES


class Played(msgspec.Struct, frozen=True):
    """One venue's stand-in."""

    venue: str
    captures: tuple[str, ...]
    """Paths; those of one venue are one session."""
    copies: int = 0
    speed: float = 1.0


BASE: Final = {
    "binance": (("spot_nexousdt_2024-07-23", "spot_nexousdt_2024-07-24"), 40, 10.0),
    "binance_usdm": (("usdm_btcusdt_2024-08-08",), 2, 1.0),
    "binance_coinm": (("coinm_btcusd_perp_2024-08-08",), 2, 1.0),
}
"""The base load: captures, copies and speed. NEXO is played at ten times its pace, 40 more times: some 500
messages a second; the two futures make 800 and 400.
"""

FIRST: Final = {"bybit": "v5_spot_2026-08-09", "bybit_linear": "v5_linear_2026-08-09"}
"""Of venues with captures of several days the one that is played; else the longest file is."""


def plan(data_dir: Path) -> list[Played]:
    """The stand-ins of all venues that have a capture."""
    folder = data_dir / "captures"
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*/*.jsonl.gz")):
        for name in sharing(path):
            found.setdefault(name, []).append(path)
    played = []
    for name in VENUES:
        if name in BASE:
            captures, copies, speed = BASE[name]
            paths = [path for path in found.get(name, ()) if path.name.removesuffix(".jsonl.gz") in captures]
            if paths:
                played.append(Played(name, tuple(map(str, paths)), copies, speed))
        elif name in found:
            wanted = FIRST.get(name, "")
            path = max(
                found[name], key=lambda each: (each.name.startswith(wanted + "."), each.stat().st_size)
            )
            played.append(Played(name, (str(path),)))
    return played
