"""From what came to the health of every venue. Sans-I/O: times and counts are arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Protocol

from outcrier.monitor.groups import SocketCounts, Window, group_reports
from outcrier.monitor.health import NOT_LIVE_SHOWN, HealthEvent, HealthReport, VenueHealth
from outcrier.monitor.health_channel import Channel
from outcrier.reception import Address
from outcrier.text_lines import ErrorLine, parse
from outcrier.venue_numbers import TABLE, VENUE_NUMBERS

EVENTS_KEPT: Final = 500
"""Events that are kept, of all venues together: an evening of a venue that comes and goes."""

_WINDOW_NS: Final = 1_000_000_000
"""Time that the rates of the sockets are of: text lines come once a second."""

_CYCLE_END: Final = 0x21

_NAMES: Final = {(entry.exchange, entry.product): name for name, entry in TABLE.items()}
"""Venue by the exchange and product of its text lines."""


class Counts(SocketCounts, Protocol):
    """What is needed of `_core.Monitor`."""

    def streams(self) -> list[dict[str, Any]]: ...
    def states(self) -> list[tuple[int, int, int, int, int]]: ...
    def not_live(self, channel: int, limit: int) -> list[dict[str, Any]]: ...
    def told_overrun(self) -> int: ...
    def take_told(self) -> list[dict[str, Any]]: ...
    def take_texts(self) -> list[tuple[int, str]]: ...


class HealthModel:
    """Remembers what was told."""

    def __init__(
        self, address: Address, rcvbuf_bytes: int, mono_ns: int, venues: Collection[str] = ()
    ) -> None:
        """`venues`: those to show, heard or not; empty = all that are heard."""
        self._address = address
        self._rcvbuf_bytes = rcvbuf_bytes
        self._venues = venues
        self._events: deque[HealthEvent] = deque(maxlen=EVENTS_KEPT)
        self._events_ever = 0
        self._channels: dict[int, Channel] = {}
        self._unheard: dict[str, Channel] = {name: self._unheard_channel(name) for name in venues}
        self._window = Window(mono_ns, _WINDOW_NS)

    def take(
        self, counts: Counts, *, mono_ns: int, wall_ns: int, listed: Sequence[int] | None = None
    ) -> HealthReport:
        """What is known now. `listed`: channels whose instruments are listed; None = all."""
        for told in counts.take_told():
            self._channel(told["channel"]).take(told)
        streams = sorted(counts.streams(), key=lambda stream: stream["channel"])
        cycles = {stream["channel"]: _cycles(stream) for stream in streams if stream["plane"]}
        streams = [stream for stream in streams if not stream["plane"]]
        for stream in streams:
            channel = self._channel(stream["channel"])
            channel.venue = stream["venue"] or channel.venue
            if channel.name in self._unheard and channel.name not in self._venues:
                channel.adopt(self._unheard.pop(channel.name))
        for at_ns, text in counts.take_texts():
            self._text(at_ns, text)
        states = counts.states()
        found = []
        for stream in streams:
            number = stream["channel"]
            rows = [row[2:] for row in states if row[0] == number]
            shown = listed is None or number in listed
            not_live = counts.not_live(number, NOT_LIVE_SHOWN) if shown else []
            channel = self._channels[number]
            found.append(channel.look(stream, rows, not_live, cycles.get(number, 0), wall_ns))
        heard = {venue.venue for venue in found}
        found += [channel.not_heard() for name, channel in self._unheard.items() if name not in heard]
        interval_s = self._window.begin(mono_ns)
        return HealthReport(
            wall_ns,
            self._address,
            self._rcvbuf_bytes,
            counts.truncated(),
            counts.told_overrun() + counts.texts()["overrun"],
            group_reports(counts, self._window.since, interval_s),
            tuple(sorted(filter(self._is_shown, found), key=lambda venue: (venue.venue, venue.channel))),
            tuple(self._events),
            self._events_ever,
        )

    def _is_shown(self, each: VenueHealth | HealthEvent) -> bool:
        return not self._venues or each.venue in self._venues

    def _keep(self, event: HealthEvent) -> None:
        if self._is_shown(event):
            self._events.append(event)
            self._events_ever += 1

    def _channel(self, number: int) -> Channel:
        found = self._channels.get(number)
        if found is None:
            found = self._channels[number] = Channel(number, self._keep, self._events)
        return found

    def _unheard_channel(self, name: str) -> Channel:
        channel = Channel(0, self._keep, self._events)
        channel.venue = VENUE_NUMBERS[name]
        return channel

    def _text(self, rx_ns: int, text: str) -> None:
        line = parse(f"{text}\n".encode())
        name = _NAMES.get((line.exchange, line.name)) if isinstance(line, ErrorLine) else None
        if name is None or not isinstance(line, ErrorLine):
            return
        # A clock that is ahead must not hide what comes later.
        at_ns = min(line.timestamp_ms * 1_000_000, rx_ns)
        channels = [each for each in self._channels.values() if each.name == name]
        if not channels:
            channels = [self._unheard.setdefault(name, self._unheard_channel(name))]
        for channel in channels:
            channel.take_error(at_ns, line.text)


def _cycles(stream: Mapping[str, Any]) -> int:
    """Snapshot cycles whose end was heard."""
    return sum(frames for number, _, frames, *_ in stream["types"] if number == _CYCLE_END)
