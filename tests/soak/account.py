"""Which outages on the wire the injected faults explain, second by second, and the uptime outside them.
Values only; seconds of one wall clock.

An outage lasts until the stand-in answers again, plus the back-off drawn, plus one snapshot; the end of a
capture is a fault too. So every second of it has to lie in a fault, in a wait that the feeder drew (its log
tells each), or in the time that one snapshot takes after either; whatever does not is excess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from outcrier.views import State

AT_ONCE_S: Final = 1.0
"""What is there to be noticed is on the wire within this: a socket that was closed, a message that does not
follow the one before. Eight processes share two cores, so it is a thousand times what the feeder needs.
"""

EARLY_S: Final = 0.25
"""Clocks of several processes, and a look at the stand-in's counters every 20 ms."""

SNAPSHOT_S: Final = 2.0
"""A book once nothing is in its way: handshake, subscription, acknowledgement, half a second until changes
have come (`books.SETTLE_NS`), request, answer, on a machine as AT_ONCE_S has it. What the venue's limits make
of the subscription comes on top (`Pacing`).
"""

OLD_S: Final = 5.0
"""Numbers that went back are told from repeats after this (`OLD_FOR_NS` of the core's feed)."""

LOOP: Final = "loop"
"""The recording begins anew, and with it the numbers of its books."""

LOSSES: Final = frozenset({"stale", "half_open", "drop", LOOP})
"""Faults after which messages are missing, which the next one of a book tells, however late it is."""


NO_BOOK: Final = "no book yet"
"""A stream was subscribed before the recording has a whole book to begin it with, until there is one."""


@dataclass(frozen=True)
class Injected:
    """A fault: from its injection until the stand-in answers again."""

    kind: str
    begin: float
    end: float
    heard: Mapping[str, float] = field(default_factory=dict)
    """Of a loss: when the next message of a book was pushed, by symbol; without one, none was by now."""
    symbol: str = ""
    """The only one that it hurts; empty = all of the venue."""
    until: float = 0.0
    """Of a market that is quiet because the recording is over: when that ends. A stream that is silent beyond
    its rate is asked for anew meanwhile, and its book no longer believed.
    """

    def noticed_by(self, symbol: str, unanswered_s: float) -> float:
        """When an outage of `symbol` because of it has begun at the latest. `unanswered_s`: how long a link
        that answers nothing is kept.
        """
        times = [self.end, self.until]
        if self.kind == "half_open":
            times.append(self.begin + unanswered_s)
        if self.kind in LOSSES:
            times.append(self.heard.get(symbol, float("inf")))
        return max(times) + AT_ONCE_S


@dataclass(frozen=True)
class Wait:
    """A wait that the feeder drew, as its log tells it."""

    cause: str
    symbol: str
    """Empty = whatever waits for this connection, or for the venue's weight."""
    begin: float
    seconds: float

    @property
    def end(self) -> float:
        return self.begin + self.seconds

    @property
    def is_of_connection(self) -> bool:
        return self.cause.startswith("conn=")


@dataclass(frozen=True)
class Pacing:
    """What a venue's declarations make of an outage."""

    subscribe_s: float = 0.0
    """From the first message of a connection's subscription to the last; or of two subscriptions of lost
    books anew, the one under way and the one that takes all others.
    """
    unanswered_s: float = 0.0
    """A link that answers nothing is given up after this: the silence expected, and as long for the ping."""
    book_wait_s: float = 0.0
    """A stream's first whole book that was lost on its way is asked for again after this."""


@dataclass(frozen=True)
class Outage:
    """An instrument was not live."""

    symbol: str
    begin: float
    end: float
    reason: str = ""

    @property
    def seconds(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True)
class Verdict:
    """Why an outage was, and how much of it that does not cover."""

    outage: Outage
    cause: str
    """Kind of the last fault that explains its beginning; empty = none."""
    answers: float
    """When the stand-in answered again, at the latest."""
    drawn: tuple[Wait, ...]
    """The waits that ran in it."""
    excess: float
    """Seconds that neither faults nor waits nor a snapshot after them cover."""

    @property
    def backoff(self) -> float:
        """Seconds of the outage in which a wait ran."""
        return covered(self.outage, [(wait.begin, wait.end) for wait in self.drawn])


def covered(outage: Outage, spans: Iterable[tuple[float, float]]) -> float:
    """Seconds of the outage that lie in at least one span."""
    total, at = 0.0, outage.begin
    for span in sorted(spans):
        begin, end = max(span[0], at), min(span[1], outage.end)
        if end > begin:
            total += end - begin
            at = end
    return total


def explain(
    outage: Outage, faults: Sequence[Injected], waits: Sequence[Wait], pacing: Pacing = Pacing()
) -> Verdict:
    """`faults` and `waits` are those of the outage's venue."""
    faults = [fault for fault in faults if fault.symbol in {"", outage.symbol}]
    begun = [
        fault
        for fault in faults
        if fault.begin - EARLY_S
        <= outage.begin
        <= fault.noticed_by(outage.symbol, pacing.unanswered_s)
        + (OLD_S if hides_beginning(fault, outage.symbol, faults) else 0.0)
        + EARLY_S
    ]
    if not begun:
        return Verdict(outage, "", outage.begin, (), outage.seconds)
    met = begun + [fault for fault in faults if outage.begin < fault.begin <= outage.end]
    drawn = tuple(wait for wait in waits_of(outage, waits) if overlaps(outage, wait))
    snapshot_s = SNAPSHOT_S + pacing.subscribe_s
    spans = [(outage.begin, outage.begin + snapshot_s)]
    for fault in met:
        wait_s = pacing.book_wait_s if takes_first_book(fault, faults) else 0.0
        spans.append((fault.begin, fault.end + wait_s + snapshot_s))
    spans += [(wait.begin, wait.end + snapshot_s) for wait in drawn]
    return Verdict(
        outage,
        cause=max(begun, key=lambda fault: fault.begin).kind,
        answers=min(outage.end, max(outage.begin, *(fault.end for fault in met))),
        drawn=drawn,
        excess=round(max(0.0, outage.seconds - covered(outage, spans)), 6),
    )


def takes_first_book(loss: Injected, faults: Iterable[Injected]) -> bool:
    """Whether the first whole book, which a subscriber waits for, can be among what was lost."""
    return loss.kind in LOSSES and any(
        fault.kind == NO_BOOK and fault.begin <= loss.end + EARLY_S and fault.end >= loss.begin - EARLY_S
        for fault in faults
    )


def hides_beginning(loss: Injected, symbol: str, faults: Iterable[Injected]) -> bool:
    """Whether the recording began anew and the whole book that tells so is among what was lost: the next
    changes of the book then have numbers that it has passed.
    """
    return loss.kind in LOSSES - {LOOP} and any(
        fault.kind == LOOP
        and fault.begin <= loss.end + EARLY_S
        and fault.heard.get(symbol, float("inf")) >= loss.begin - EARLY_S
        for fault in faults
    )


def overlaps(outage: Outage, wait: Wait) -> bool:
    return wait.begin <= outage.end and wait.end >= outage.begin


def waits_of(outage: Outage, waits: Sequence[Wait]) -> list[Wait]:
    """The waits of the outage's instrument and of its connection: the one that was lost as the outage began;
    without such a one, of any. Symbols of waits are without a venue.
    """
    symbol, _, _ = outage.symbol.rpartition("@")
    lost = {
        wait.cause for wait in waits if wait.is_of_connection and abs(wait.begin - outage.begin) <= EARLY_S
    }
    return [
        wait
        for wait in waits
        if wait.symbol in {"", symbol} and not (wait.is_of_connection and lost and wait.cause not in lost)
    ]


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
            allowed += verdict.outage.seconds - verdict.excess
    return 1 - excess / max(end - begin - allowed, 1e-9)
