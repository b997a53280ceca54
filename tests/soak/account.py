"""Which outages on the wire the injected faults explain, and the uptime outside them. Values only; seconds of
one wall clock.

An outage lasts until the stand-in answers again, plus the back-off drawn, plus one snapshot; the end of a
capture is a fault too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from outcrier.views import State

NOTICED_S: Final = 60.0
"""How long after a fault its outage may begin: a link that is half open is noticed by a ping that is not
answered, a message that is missing by the next one of its stream.
"""

EARLY_S: Final = 0.25
"""Clocks of two processes, and a look every 20 ms."""

BACKOFF_S: Final = 31.0
"""Longest wait before a link is tried again: 30 s, and the second that a 429 asks for."""

REST_BACKOFF_S: Final = 61.0
"""The same of a request for a book."""

SNAPSHOT_S: Final = 10.0
"""A book once a link is there: subscriptions, half a second until changes have come, request, answer."""


@dataclass(frozen=True)
class Injected:
    """A fault: from its injection until the stand-in answers again."""

    kind: str
    begin: float
    end: float

    @property
    def backoff_s(self) -> float:
        return REST_BACKOFF_S if "rest" in self.kind else BACKOFF_S


@dataclass(frozen=True)
class Outage:
    """An instrument was not live."""

    symbol: str
    begin: float
    end: float
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """Why an outage was, and how much of it that does not cover."""

    outage: Outage
    cause: str
    """Kind of the last fault before it; empty = none."""
    answers: float
    """When the stand-in answered again, at the latest."""
    backoff: float
    """From then to the last link that was opened before the outage ended; 0 = none was."""
    excess: float
    """Seconds beyond what the faults allow."""


def explain(outage: Outage, faults: Sequence[Injected], connects: Sequence[float]) -> Verdict:
    """`faults` and `connects` are those of the outage's venue."""
    met = [
        fault
        for fault in faults
        if fault.begin - EARLY_S <= outage.end and fault.end + NOTICED_S >= outage.begin
    ]
    begun = [fault for fault in met if fault.begin - EARLY_S <= outage.begin]
    if not begun:
        return Verdict(outage, "", outage.begin, 0.0, outage.end - outage.begin)
    answers = max(outage.begin, *(fault.end for fault in met))
    allowed = max(max(fault.end, outage.begin) + fault.backoff_s for fault in met) + SNAPSHOT_S
    opened = [time for time in connects if answers <= time <= outage.end]
    backoff = max(opened) - answers if opened else 0.0
    cause = max(begun, key=lambda fault: fault.begin).kind
    return Verdict(outage, cause, answers, backoff, max(0.0, outage.end - allowed))


@dataclass
class States:
    """The states of all instruments as a consumer has them. UNSURE is the consumer's own and says nothing of
    the feeder.
    """

    down_since: dict[str, tuple[float, str]] = field(default_factory=dict)
    live_since: dict[str, float] = field(default_factory=dict)
    """When each was live for the first time."""
    outages: list[Outage] = field(default_factory=list)

    def take(self, symbol: str, state: State, reason: str, time: float) -> None:
        if state is State.LIVE:
            self.live_since.setdefault(symbol, time)
            begin = self.down_since.pop(symbol, None)
            if begin is not None:
                self.outages.append(Outage(symbol, begin[0], time, begin[1]))
        elif state in {State.STALE, State.RECOVERING} and symbol in self.live_since:
            self.down_since.setdefault(symbol, (time, reason))

    def end(self, time: float) -> None:
        """Nothing comes any more: what is down stays so until now."""
        for symbol, (begin, reason) in self.down_since.items():
            self.outages.append(Outage(symbol, begin, time, reason))
        self.down_since.clear()


def uptime(symbol: str, verdicts: Iterable[Verdict], begin: float, end: float) -> float:
    """Part of the time outside injected outages in which an instrument was live."""
    excess = allowed = 0.0
    for verdict in verdicts:
        if verdict.outage.symbol == symbol:
            excess += verdict.excess
            allowed += verdict.outage.end - verdict.outage.begin - verdict.excess
    return 1 - excess / max(end - begin - allowed, 1e-9)
