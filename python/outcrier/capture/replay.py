"""Captures through the real venue and core: published on the wire, flagged REPLAY, at the recorded pace or
faster.

`replay_into` drives a feed in the calling thread without sleeping: what a test needs. `Replay` adds pace, a
limit of frames, loops, heartbeats, several venues at once and the end of the session.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from outcrier import _core
from outcrier.capture.contents import Scan, instruments_of, scan
from outcrier.capture.format import CaptureLine, Pace
from outcrier.capture.library import CaptureGroup, read_session
from outcrier.capture.venue_replay import VenueReplay, VenueSummary, open_feed
from outcrier.clock import mono_ns, wall_ns
from outcrier.errors import ConfigurationError
from outcrier.feeder.ending import END_REPEATS_NS
from outcrier.feeder.occupied import check_superseded
from outcrier.feeder.state import VenueState
from outcrier.instruments import Instrument, Trading
from outcrier.venues import Venue, venue_by_name

RATE_DEFAULT: Final = 50_000
"""Frames a second on the wire: no loss was measured with a receive buffer of 8 MB."""

RATE_BURST_S: Final = 0.001
"""The limit holds over this time; shorter waits cost more than they spread."""

LINGER_S: Final = 5.0
"""SESSION_END is repeated for 5 s (docs/wire-format.md); after a stop for `END_REPEATS_NS`, as the feeder."""

SLICE_S: Final = 0.05
"""Longest single wait, so that a stop is noticed at once."""

LOOK_EVERY_NS: Final = 100_000_000
"""How often it is looked whether another publisher has taken over; the core stops sending by itself."""

SAME_SESSION_NS: Final = 3_600_000_000_000
"""Venues recorded within an hour of each other keep their distance in time; others start together."""

_NS: Final = 1_000_000_000


class ReplaySummary(msgspec.Struct, frozen=True):
    """What a replay did."""

    seconds: float
    loops: int
    """Started."""
    complete: bool
    """False if it was stopped before the end."""
    publisher: dict[str, int]
    """Frames, bytes and what could not be sent."""
    venues: tuple[VenueSummary, ...]


_Due = tuple[int, VenueReplay, CaptureLine]
"""When a line is due, in nanoseconds after the start, whose it is, and the line."""


def replay_into(
    publisher: _core.Publisher,
    group: CaptureGroup,
    *,
    session: int = 1,
    publisher_id: int = 1,
    wire_ids: Mapping[str, int] | None = None,
    instruments: Path | None = None,
    infer_orders: bool = False,
) -> VenueReplay:
    """Replays a group into a new feed, as fast as it goes, in this thread. The feed is left open.

    `wire_ids` by native symbol; None numbers the instruments from 1. `infer_orders`: orders of the books,
    too. Raises CaptureError and ConfigurationError.
    """
    prepared = _prepare(group, instruments)
    feed = _open(publisher, prepared, session, publisher_id, wire_ids, infer_orders=infer_orders)
    replay = _define(feed, prepared, wire_ids)
    for line in read_session(group.paths):
        replay.take(line)
    return replay


def open_replays(
    publisher: _core.Publisher,
    groups: Sequence[CaptureGroup],
    instruments: Path | None = None,
    *,
    infer_orders: bool = False,
) -> Iterator[tuple[VenueReplay, CaptureLine]]:
    """Each line of `groups`, by the time it is due, with the replay that is to take it. No sockets, no pace.

    Raises CaptureError and ConfigurationError.
    """
    prepared = [_prepare(group, instruments) for group in groups]
    replays = [_define(_open(publisher, each, infer_orders=infer_orders), each) for each in prepared]
    return ((replay, line) for _, replay, line in _schedule(prepared, replays))


def _open(
    publisher: _core.Publisher,
    prepared: _Prepared,
    session: int = 1,
    publisher_id: int = 1,
    wire_ids: Mapping[str, int] | None = None,
    *,
    infer_orders: bool = False,
) -> _core.Feed:
    """The feed of a replay; `wire_ids` None numbers the instruments from 1."""
    members = prepared.instruments
    ids = wire_ids or _numbered(members)
    return open_feed(
        publisher,
        prepared.venue,
        session=session,
        publisher_id=publisher_id,
        first_ns=prepared.found.first_ns,
        instruments=[ids[each.native_symbol] for each in members if each.status != Trading.DELISTED],
        infer_orders=infer_orders,
    )


def _numbered(instruments: Sequence[Instrument]) -> dict[str, int]:
    return {each.native_symbol: number for number, each in enumerate(instruments, start=1)}


def _define(feed: _core.Feed, prepared: _Prepared, wire_ids: Mapping[str, int] | None = None) -> VenueReplay:
    """The replay into `feed`; None numbers the instruments from 1."""
    members = prepared.instruments
    return VenueReplay(feed, prepared.venue, members, prepared.found, wire_ids or _numbered(members))


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to replay."""

    speed: float | None = 1.0
    """Factor of the recorded pace; None = as fast as `rate` allows."""
    rate: int = RATE_DEFAULT
    """Most frames a second on the wire."""
    loops: int = 1
    """How often; 0 = until stopped."""
    linger_s: float = LINGER_S
    """How long the end of the session is repeated."""
    instruments: Path | None = None
    """Instrument list to use instead of the one beside the captures."""
    infer_orders: bool = False
    """Orders of the books, too, inferred from levels and trades."""

    def check(self) -> None:
        """Raises ConfigurationError for a value that cannot be."""
        if self.speed is not None and not self.speed > 0:
            raise ConfigurationError(f"speed {self.speed} is not above 0: a factor such as 1 or 10, or max")
        if self.rate < 1:
            raise ConfigurationError(f"rate {self.rate} is not at least 1 frame a second")
        if self.loops < 0:
            raise ConfigurationError(f"loop {self.loops} is below 0: how often to replay, 0 = until stopped")


class _Prepared(msgspec.Struct, frozen=True):
    group: CaptureGroup
    venue: Venue
    found: Scan
    instruments: list[Instrument]


class Replay:
    """A replay on the wire. The feeds belong to the thread that calls `run`."""

    def __init__(self, groups: Sequence[CaptureGroup], options: Options) -> None:
        """Reads the captures once. Raises CaptureError and ConfigurationError before anything is sent."""
        options.check()
        if not groups:
            raise ConfigurationError("no capture to replay")
        self._options = options
        self._prepared = [_prepare(group, options.instruments) for group in groups]
        self._replays: list[VenueReplay] = []

    @property
    def channels(self) -> list[int]:
        """The channels it will publish on."""
        return [each.venue.number for each in self._prepared]

    def run(
        self, publisher: _core.Publisher, *, state_dir: Path, publisher_id: int, stop: threading.Event
    ) -> ReplaySummary:
        """Publishes until the captures are over or `stop` is set, then ends the sessions.

        Sessions and instrument ids come from `state_dir`. Raises ConfigurationError if another process
        replays there, SupersededError if another publisher is heard on a channel meanwhile.
        """
        conductor = _Conductor(publisher, self._options, stop)
        with ExitStack() as stack:
            states = [
                stack.enter_context(VenueState(state_dir, "replay", each.venue.name, each.venue.number))
                for each in self._prepared
            ]
            # Whatever happens: a session that began is ended, while its lock is held.
            stack.enter_context(conductor)
            for each, state in zip(self._prepared, states, strict=True):
                ids = state.ids(instrument.native_symbol for instrument in each.instruments)
                session, infer_orders = state.next_session(wall_ns()), self._options.infer_orders
                feed = _open(publisher, each, session, publisher_id, ids, infer_orders=infer_orders)
                conductor.feeds.append(feed)
                self._replays.append(_define(feed, each, ids))
            seconds, loops, complete = self._play(conductor)
            venues = tuple(replay.summary() for replay in self._replays)
        return ReplaySummary(seconds, loops, complete, publisher.counters(), venues)

    def _play(self, conductor: _Conductor) -> tuple[float, int, bool]:
        """Plays the loops; returns seconds, loops begun, and whether all came to their end."""
        started_ns = mono_ns()
        loops = 0
        complete = True
        while complete and (self._options.loops == 0 or loops < self._options.loops):
            if loops:
                for replay in self._replays:
                    replay.restart()
            loops += 1
            complete = conductor.play(_schedule(self._prepared, self._replays))
        return (mono_ns() - started_ns) / _NS, loops, complete


def _schedule(prepared: Sequence[_Prepared], replays: Sequence[VenueReplay]) -> Iterator[_Due]:
    """Lines of all venues by the time they are due, in nanoseconds after the start."""
    firsts = [each.found.first_ns or 0 for each in prepared]
    together = max(firsts) - min(firsts) < SAME_SESSION_NS
    timed = [
        _due(each.group.paths, replay, first - min(firsts) if together else 0)
        for each, replay, first in zip(prepared, replays, firsts, strict=True)
    ]
    return merge(*timed, key=lambda due: due[0])


def _prepare(group: CaptureGroup, instruments: Path | None) -> _Prepared:
    venue = venue_by_name(group.venue)
    found = scan(venue, group.paths, instruments)
    return _Prepared(group, venue, found, instruments_of(venue, group.paths, found, instruments))


def _due(paths: Sequence[Path], replay: VenueReplay, start_ns: int) -> Iterator[_Due]:
    pace = Pace()
    for line in read_session(paths):
        yield start_ns + pace.offset_ns(line), replay, line


def _with_next(schedule: Iterable[_Due]) -> Iterator[tuple[_Due, _Due | None]]:
    """Each item and the one behind it, None behind the last."""
    items = iter(schedule)
    item = next(items, None)
    while item is not None:
        following = next(items, None)
        yield item, following
        item = following


class _Conductor:
    """Waits for what is due, holds the rate, and keeps heartbeats and snapshots going meanwhile.

    As a context manager it ends the sessions of its `feeds`.
    """

    def __init__(
        self,
        publisher: _core.Publisher,
        options: Options,
        stop: threading.Event,
    ) -> None:
        self.feeds: list[_core.Feed] = []
        """Those whose sessions are open."""
        self._publisher = publisher
        self._linger_ns = int(options.linger_s * _NS)
        self._speed = options.speed
        self._rate = options.rate
        self._burst = max(1.0, options.rate * RATE_BURST_S)
        self._stop = stop
        self._credit = self._burst
        self._frames = 0
        self._filled_ns = self._looked_ns = mono_ns()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the sessions and repeats their end, a shorter while if a stop or a fault ended them."""
        if not self.feeds:
            return
        for feed in self.feeds:
            feed.close()
        now_ns = mono_ns()
        if kind is None:
            self._wait_until(now_ns + self._linger_ns)
        least_ns = now_ns + min(self._linger_ns, END_REPEATS_NS)
        while mono_ns() < least_ns:
            self._tick_feeds(mono_ns())
            time.sleep(max(0.0, self._pause_s(least_ns)))

    def play(self, schedule: Iterable[_Due]) -> bool:
        """Plays all lines; False if stopped before the last one."""
        start_ns = mono_ns()
        together = 0
        for (due_ns, replay, line), following in _with_next(schedule):
            if self._speed is not None:
                self._wait_until(start_ns + int(due_ns / self._speed))
            if together == 0:
                together = self._hold_rate()
            if self._stop.is_set():
                return False
            together -= 1
            # A message follows at once, in the same feed: the two may leave together.
            if (
                self._speed is None
                and together > 0
                and following is not None
                and following[1] is replay
                and following[2].kind == "recv"
            ):
                replay.take(line, more=True)
            else:
                replay.take(line)
                self._tick()
                together = 0
        return True

    def _wait_until(self, due_ns: int) -> None:
        """Waits, unless a stop comes."""
        while mono_ns() < due_ns and not self._stop.is_set():
            self._tick()
            pause_s = self._pause_s(due_ns)
            if pause_s > 0:
                self._stop.wait(pause_s)

    def _pause_s(self, due_ns: int) -> float:
        """Seconds to the next thing to do, at most those until `due_ns`."""
        next_ns = min(due_ns, *(feed.deadline_ns() for feed in self.feeds))
        return min((next_ns - mono_ns()) / _NS, SLICE_S)

    def _tick(self) -> None:
        now_ns = mono_ns()
        if now_ns - self._looked_ns >= LOOK_EVERY_NS:
            self._looked_ns = now_ns
            check_superseded(self._publisher)
        self._tick_feeds(now_ns)

    def _tick_feeds(self, now_ns: int) -> None:
        for feed in self.feeds:
            if now_ns >= feed.deadline_ns():
                feed.tick()

    def _hold_rate(self) -> int:
        """A token bucket over the publisher's own count of frames, so that heartbeats and snapshots are in
        it. Returns for how many messages it need not be asked again.

        Each counts as one frame until it has left: what messages of several frames make beyond that comes
        early, and is made up for by the next wait.
        """
        frames = self._publisher.counters()["frames"]
        now_ns = mono_ns()
        self._credit += (now_ns - self._filled_ns) / _NS * self._rate - (frames - self._frames)
        self._credit = min(self._credit, self._burst)
        self._frames, self._filled_ns = frames, now_ns
        if self._credit < -self._burst:
            self._wait_until(now_ns + int(-self._credit / self._rate * _NS))
            return max(1, int(self._burst))
        return max(1, int(self._credit + self._burst))
