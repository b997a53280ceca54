"""The end of a session: SESSION_END, repeated for a while, whatever ended it."""

from __future__ import annotations

import asyncio
from typing import Final

from outcrier import _core
from outcrier.clock import mono_ns
from outcrier.feeder.backoff import SECOND_NS

END_REPEATS_NS: Final = 6 * SECOND_NS // 10
"""SESSION_END is repeated this long when somebody asked for the end, which shall come within a second; links
take less to close.
"""

TICK_NS_MIN: Final = SECOND_NS // 1000
"""The core is not asked more often than this."""


async def end_session(feed: _core.Feed, reason: int = 0, next_session: int = 0) -> None:
    """Ends the session of `feed` and repeats its end for `END_REPEATS_NS`."""
    feed.close(reason, next_session)
    now_ns = mono_ns()
    end_ns = now_ns + END_REPEATS_NS
    while now_ns < end_ns:
        next_ns = min(max(feed.tick(), now_ns + TICK_NS_MIN), end_ns)
        await asyncio.sleep((next_ns - now_ns) / SECOND_NS)
        now_ns = mono_ns()
