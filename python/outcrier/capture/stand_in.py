"""A stand-in of an exchange that is played from captures.

It goes on at the recorded pace (or faster). At the end of the captures every connection is closed, and the
next subscription starts them anew; with `loop` they begin anew without that, where the exchange may send a
whole book in a stream at any time. What did not happen in the recording is counted as injected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from outcrier.capture.answering import Emission, side_of
from outcrier.capture.contents import instrument_lists, scan
from outcrier.capture.exchange import Exchange, copy_names
from outcrier.capture.faults import Fault
from outcrier.capture.format import Pace
from outcrier.capture.library import read_session
from outcrier.capture.server import IDLE_S, SLICE_S, StandInServer
from outcrier.config import VenueConfig
from outcrier.errors import ConfigurationError
from outcrier.shapes import Shape
from outcrier.venues.base import Venue

LOOP_S: Final = 60.0
"""Where clients must be cut before the captures begin anew, a quiet market follows a recording that is
shorter than this: a recording of some messages would else be a venue that is cut all the time.
"""

YIELD_EVERY: Final = 64
"""Messages without a wait before other tasks get their turn."""

COPIES_MAX: Final = 9_999
"""Names have four digits at most."""


class StandIn(StandInServer):
    """The server of captures of one venue."""

    exchange: Exchange

    def __init__(
        self,
        venue: Venue,
        paths: Sequence[Path],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float | None = 1.0,
        faults: Iterable[Fault] = (),
        instruments: Path | None = None,
        loop: bool = False,
        copies: int = 0,
    ) -> None:
        """Reads the captures once. `port` 0 = any free one; `speed` is a factor, None = as fast as clients
        take it. `loop`: the captures begin anew at their end, without cutting clients where the exchange
        could, else after LOOP_S at least. `copies`: under how many more names each instrument is played
        (`outcrier.capture.exchange`).

        Raises CaptureError for a damaged capture, ConfigurationError for a venue or speed that cannot be
        played.
        """
        side = side_of(venue)
        if speed is not None and not speed > 0:
            raise ConfigurationError(f"speed {speed} is not above 0")
        self._paths = tuple(paths)
        self._speed = speed
        self._repeats = loop
        self._begins_anew = loop and side.restarts_books
        self._quiet_until_s = 0.0
        self.found = scan(venue, self._paths, instruments)
        self._copies = copy_names(self.found.symbols, copies)
        lists = instrument_lists(venue, self._paths, self.found, instruments, self._copies)
        exchange = Exchange(venue, self._paths, self.found, lists, self._copies)
        super().__init__(exchange, host=host, port=port, faults=faults)

    def venue_config(self) -> VenueConfig:
        """What fits the captures. Of channels that carry the same, the one met first."""
        channels: dict[str, str] = {}
        groups: dict[str, str] = {}
        for stream in self.found.streams:
            name, speed = self.venue.channel_of(stream) or ("", "")
            channel = self.venue.channels.get(name)
            if channel is None or (channel.group and groups.setdefault(channel.group, name) != name):
                continue
            if channel.book and channels.get(name, speed) != speed:
                raise ConfigurationError(
                    f"{self._paths[0]}: {name} at several speeds: {channels[name]}, {speed}"
                )
            channels.setdefault(name, speed)
        speeds = [speed for name, speed in channels.items() if self.venue.channels[name].book and speed]
        copies = [name for names in self._copies.values() for name in names]
        return VenueConfig(
            enabled=True,
            ws_url=self.ws_url,
            rest_url=self.rest_url,
            symbols=(*self._symbols(), *copies),
            channels=tuple(channels),
            depth_speed=speeds[0] if speeds else "",
        )

    def _symbols(self) -> list[str]:
        """Those that the captures are about. Where books come by REST, one of which none was recorded is left
        out: it would be asked for in vain for ever.
        """
        by_rest = any(isinstance(shape, Shape) and shape.rest for shape in self.venue.shapes)
        lacking = set(self.found.symbols) - set(self.found.books) if by_rest and self.found.books else set()
        return [symbol for symbol in self.found.symbols if symbol not in lacking]

    # Playing.

    async def _play(self) -> bool:
        """Plays the captures once; False if nobody was there any more."""
        loop = asyncio.get_running_loop()
        self.counters.playings += 1
        self.exchange.restart()
        pace = Pace()
        start = heard = loop.time()
        self._quiet_until_s = start + LOOP_S if self._repeats else start
        for number, line in enumerate(read_session(self._paths)):
            due = start + pace.offset_ns(line) / 1e9 / self._speed if self._speed else 0.0
            is_turn = number % YIELD_EVERY == 0
            while is_turn or due > loop.time():
                is_turn = False
                await asyncio.sleep(max(0.0, min(due - loop.time(), SLICE_S)))
                heard = loop.time() if self._connections else heard
                if loop.time() - heard > IDLE_S:
                    return False
            emission = self.exchange.take(line)
            self.counters.junk = self.exchange.junk
            if emission is not None:
                start += await self._emit(emission)
        await self._end()
        return True

    async def _push_all(self, emission: Emission, texts: Sequence[str]) -> None:
        """Sends messages to the subscribers of their stream, and of its copies."""
        await self._push(emission.stream, texts)
        for name, stream in self.exchange.copies(emission):
            if self._listeners(stream):
                await self._push(stream, [self.exchange.renamed(emission, text, name) for text in texts])

    async def _end(self) -> None:
        """The captures are over: everybody gets what is queued and is sent away, unless they begin anew."""
        if self._begins_anew:
            return
        left_s = self._quiet_until_s - asyncio.get_running_loop().time()
        while left_s > 0 and self._connections:
            await asyncio.sleep(min(left_s, SLICE_S))
            left_s -= SLICE_S
        self.counters.inject("end")
        await self._dismiss_all()
