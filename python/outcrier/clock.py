"""The one Python module that reads a clock.

Everything else takes times as arguments (`asyncio` code may ask its loop for the time). The same clocks as
`outcrier._core.mono_ns` and `wall_ns`, for code that runs without the core.
"""

from __future__ import annotations

import time
from typing import Final

SESSION_EPOCH_NS: Final = 1_704_067_200_000_000_000
"""2024-01-01T00:00:00Z; session numbers count seconds from here (docs/wire-format.md, header)."""


def mono_ns() -> int:
    """Monotonic nanoseconds since an arbitrary start (`CLOCK_MONOTONIC`): for durations and timers."""
    return time.monotonic_ns()


def wall_ns() -> int:
    """UTC nanoseconds since the Unix epoch as the system has them now: may step, so never for durations."""
    return time.time_ns()
