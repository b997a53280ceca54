"""Sockets that fall silent, in virtual time: through the connection's machine with the keepalive of the
venue, and through the model that learns the rate of each stream from the recorded rhythm.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from conformance.recordings import REFERENCES, recordings
from conformance.trials import scripts
from outcrier.capture.library import read_session
from outcrier.feeder.backoff import SECOND_NS, AttemptBudget
from outcrier.feeder.connection import Connection, ConnectionSpec, Effect, Lost, Probe, State
from outcrier.feeder.plan import spec_of
from outcrier.feeder.stream_silence import BOOK, MESSAGES_MIN, StreamSilence
from outcrier.venues import VENUES
from planning import plan_connections
from venue_feeds import unlisted

START_NS: Final = 1_000 * SECOND_NS
LEARNED_S: Final = 600
ACKS: Final = 1_000
"""More than are asked for: the rest does not count."""

LIMIT_S: Final = 3_600 * 2


@dataclass(frozen=True, slots=True)
class Noticed:
    """How a silence was noticed."""

    by: str
    after_ms: int


def spec(name: str) -> ConnectionSpec:
    """Of a connection with the default channels of one instrument of the recordings."""
    venue = VENUES[name]
    native, digits = next(iter(scripts(name)[0][1].items())) if scripts(name) else ("BTC-USD", (1, 3))
    if name == "bithumb_legacy":
        native, digits = "BTC_KRW", (0, 8)
    plans = plan_connections(venue, [unlisted(venue, native, *digits)], venue.default_channels, {})
    (plan,) = [each for each in plans if any(is_book(name, stream) for stream in each.streams)]
    return spec_of(plan, venue)


def is_book(name: str, stream: str) -> bool:
    venue = VENUES[name]
    channel = venue.channel_of(stream)
    return channel is not None and venue.channels[channel[0]].book


class Driven:
    """A connection that is subscribed, and messages of which stop."""

    def __init__(self, spec: ConnectionSpec, *, pongs: bool) -> None:
        self.pongs = pongs
        self.now_ns = START_NS
        self.connection = Connection(spec, AttemptBudget(100, SECOND_NS), lambda: 0.5)
        self.connection.start(START_NS)
        self.connection.opened(START_NS)
        self.connection.acknowledged(self.now_ns, ACKS)
        while not self.connection.subscribed:
            self.advance()
            self.connection.acknowledged(self.now_ns, ACKS)
            assert self.connection.state is State.CONNECTED
        self.connection.received(self.now_ns, 1, 100)
        self.silent_ns = self.now_ns

    def advance(self) -> list[Effect]:
        """To the next deadline."""
        deadline = self.connection.deadline_ns
        assert deadline is not None
        self.now_ns = max(self.now_ns, deadline)
        effects = self.connection.tick(self.now_ns)
        if self.pongs and any(isinstance(effect, Probe) for effect in effects):
            self.connection.pong(self.now_ns)
        return effects

    def lost(self) -> Noticed | None:
        """When the connection is given up; None within the limit."""
        while self.now_ns < self.silent_ns + LIMIT_S * SECOND_NS:
            for effect in self.advance():
                if isinstance(effect, Lost):
                    return Noticed(effect.reason.split(" for ")[0], (self.now_ns - self.silent_ns) // 10**6)
        return None


def half_open(name: str) -> Noticed | None:
    """Nothing comes any more, pongs neither."""
    return Driven(spec(name), pongs=False).lost()


def stale(name: str) -> Noticed | None:
    """Pings are answered, no message comes: what notices it first."""
    found = [Driven(spec(name), pongs=True).lost(), stream_silent(name)]
    return min((each for each in found if each is not None), key=lambda each: each.after_ms, default=None)


def rhythm(name: str) -> list[float]:
    """Seconds of the messages of the busiest book of a recording, from 0; empty where none was timed often
    enough.
    """
    venue, borrowed = VENUES[name], REFERENCES[name].borrowed
    source = VENUES[borrowed.venue] if borrowed is not None else venue
    best: list[float] = []
    for recording in recordings(source.name):
        times: dict[str, list[float]] = {}
        for line in read_session(recording.paths):
            if line.kind != "recv" or line.time_ns is None or len(best) > 5_000:
                continue
            stream = source.stream_of(line.data)
            if stream is not None and is_book(source.name, stream):
                times.setdefault(stream, []).append(line.time_ns / SECOND_NS)
        busiest = max(times.values(), key=len, default=[])
        best = max(best, busiest, key=len)
    return [each - best[0] for each in best]


def stream_silent(name: str) -> Noticed | None:
    """A book whose rhythm is repeated for ten minutes, and stops."""
    times = rhythm(name)
    if len(times) < 2:
        return None
    length = times[-1] + (times[-1] / (len(times) - 1))
    seconds = Counter[int]()
    last = 0.0
    for loop in range(int(LEARNED_S / length) + 1):
        for each in times:
            if (at := loop * length + each) < LEARNED_S:
                seconds[int(at)] += 1
                last = at
    if seconds.total() < MESSAGES_MIN:
        return None
    model = StreamSilence()
    counts, last_ns = np.zeros((1, 6), np.uint64), np.zeros((1, 6), np.uint64)
    seen = 0
    for second in range(LEARNED_S + LIMIT_S):
        seen += seconds[second]
        counts[0, BOOK] = seen
        if seconds[second]:
            last_ns[0, BOOK] = START_NS + int(min(last, second + 1) * SECOND_NS)
        silent = model.look(START_NS + (second + 1) * SECOND_NS, counts, last_ns)
        if second < int(last):
            assert not silent, "a recorded rhythm is no silence"
        elif silent:
            return Noticed("stream silent", int((second + 1 - last) * 1_000))
    return None
