"""Listening before the first frame: who else publishes a channel, whether we may start beside it, and what
our session then says of the one before.

    heard = hear(publisher, {1: False}, where="239.192.90.1:9001", take_over=False)
    succession = succeed(heard.get(1), last_session=state.last_session, last_seq=state.last_seq)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from outcrier import _core
from outcrier.errors import NetworkError, SupersededError

LISTEN_NS: Final = 350_000_000
"""A publisher is heard at least every 100 ms; after 350 ms of silence it is dead (docs/wire-format.md)."""

# SESSION_START.reason of docs/wire-format.md.
COLD: Final = 1
RESTART: Final = 2
FAIL_OVER: Final = 3
RECONFIGURATION: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A session of another publisher."""

    session: int
    last_seq: int
    """Number of its last frame heard; final if it has ended."""
    drill: bool
    """Its frames carry REPLAY or TEST."""
    ended: bool


@dataclass(frozen=True, slots=True)
class Succession:
    """What SESSION_START says of the session before."""

    reason: int
    prev_session: int = 0
    prev_last_seq: int = 0
    """0 = unknown."""
    above: int = 0
    """Our session number must be above this."""


def hear(
    publisher: _core.Publisher, channels: Mapping[int, bool], *, where: str, take_over: bool
) -> dict[int, Heard]:
    """Listens for `LISTEN_NS` and returns the session heard last on each of `channels`, if any. Blocks.

    `channels`: whether what will be published on a channel is a replay or test. Raises NetworkError for a
    session that lives, unless we are to take over; a replay or test never does.
    """
    found: dict[int, Heard] = {}
    for each in publisher.listen(list(channels), LISTEN_NS):
        channel, session = each["channel"], each["session"]
        heard = Heard(session=session, last_seq=each["last_seq"], drill=each["drill"], ended=each["ended"])
        if not heard.ended:
            text = (
                f"channel {channel} on {where} is published by another process (session {session}): stop it"
            )
            if channels[channel]:
                raise NetworkError(f"{text} or choose another port; a replay or test never takes over")
            if not take_over:
                raise NetworkError(f"{text}, choose another port, or take over with --take-over")
        found[channel] = heard
    return found


def succeed(heard: Heard | None, *, last_session: int, last_seq: int) -> Succession:
    """What follows from a session heard, and from the state of our own last session (0 = none)."""
    if heard is None or heard.drill or heard.session < last_session:
        # The lock of the state proves that the publisher of our last session is gone.
        above = 0 if heard is None else heard.session
        if not last_session:
            return Succession(COLD, above=above)
        return Succession(RESTART, last_session, last_seq, above)
    # One that lives goes on until it hears us: its last number is not known yet.
    reached = heard.last_seq if heard.ended else 0
    reason = RESTART if heard.session == last_session and heard.ended else FAIL_OVER
    return Succession(reason, heard.session, reached, heard.session)


def check_superseded(publisher: _core.Publisher) -> None:
    """Raises SupersededError if a channel of ours must not send any more; the core has stopped it already."""
    for channel, session, by, cause in publisher.superseded():
        raise SupersededError(
            f"channel {channel}: {cause} (ours {session}, heard {by}); nothing more is sent"
        )
