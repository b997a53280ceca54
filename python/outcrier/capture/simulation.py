"""A stand-in that is no recording: the simulated market (`_core.Market`) behind the protocol of the venue
`sim`.

The market has a time of its own, which stands still while nobody listens, and waits where clients or the
machine are slower than its rate; messages carry the wall's. All else in them follows from the seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from outcrier._core import Market
from outcrier.capture.answering import Answering, Emission
from outcrier.capture.faults import Fault
from outcrier.capture.server import IDLE_S, SLICE_S, StandInServer
from outcrier.clock import wall_ns
from outcrier.config import VenueConfig
from outcrier.errors import ConfigurationError
from outcrier.venues import VENUES
from outcrier.venues.exchange_side import Client, StandInBook
from outcrier.venues.sim_exchange import (
    CHANNELS,
    INSTRUMENTS,
    Best,
    Head,
    SimBook,
    best,
    book_change,
    listing,
    orders_change,
    trades,
)

STEP_S: Final = 0.01
"""Between two looks at the market: an event is told 5 ms late in the mean, a quiet market costs nothing."""

BEHIND_S: Final = 1.0
"""The market waits when it is this far behind: a burst would be no market at that rate either."""

EVENTS_AT_ONCE: Final = 64
"""Events without a wait before other tasks get their turn."""

_NS: Final = 1_000_000_000

Event = tuple[
    int,
    int,
    int,
    list[tuple[int, int, int, int, int, int]],
    list[tuple[int, int, int, int]],
    list[tuple[int, int, int]],
]
"""Of `_core.Market.advance`."""


class SimulatedExchange(Answering):
    """The venue `sim` at the time that its market has reached."""

    def __init__(
        self, *, seed: int = 0, instruments: int = 1, rate: int = 0, clock: Callable[[], int] = wall_ns
    ) -> None:
        """`rate`: requests a second of each instrument, 0 = as of the recording that the market was made
        after (12). `clock` stamps the messages. Raises ConfigurationError for more than there may be.
        """
        try:
            self._market = Market(seed, instruments, rate)
        except (ValueError, OverflowError) as error:
            raise ConfigurationError(f"simulation: {error}") from None
        self.symbols = tuple(f"SIM{number}-USD" for number in range(1, instruments + 1))
        super().__init__(VENUES["sim"], {INSTRUMENTS: listing(self.symbols)})
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols)}
        self._clock = clock
        self.now_ns = 0
        """The market's time."""
        self._begin_ns = clock()
        """The wall's time at the market's beginning, had it never waited."""
        self._told: list[tuple[Best, Best]] = [self._market.best(each) for each in self._numbers.values()]
        """Best prices by instrument as they were told last."""
        self._books = _Books(self)

    def restart(self) -> None:
        """The market goes on where it was, at the time that it is now."""
        self._begin_ns = max(self._begin_ns, self._clock() - self.now_ns)

    def advance(self, until_ns: int) -> Event | None:
        """The next event up to a time of the market; None = it has reached that time."""
        events = self._market.advance(until_ns, 1)
        self.now_ns = events[0][2] if events else max(self.now_ns, until_ns)
        return events[0] if events else None

    def streams(self, event: Event) -> Iterator[tuple[str, str]]:
        """Channels that an event has a message on, and the streams of its instrument."""
        number, _, _, _, made, _ = event
        for channel in CHANNELS:
            if channel == "trades" and not made:
                continue
            if channel == "best":
                now = self._market.best(number)
                if self._told[number] == now:
                    continue
                self._told[number] = now
            yield channel, f"{channel}:{self.symbols[number]}"

    def emission(self, event: Event, channel: str, stream: str) -> Emission:
        """The message of an event on a channel."""
        number, seq, ts, ops, made, levels = event
        head = Head(self.symbols[number], seq, self._begin_ns + ts)
        match channel:
            case "book":
                text = book_change(head, levels)
            case "trades":
                text = trades(head, made)
            case "best":
                text = best(head, *self._market.best(number))
            case _:
                text = orders_change(head, ops)
        return Emission(stream, text, head.symbol, channel == "book")

    @property
    def books(self) -> Mapping[str, StandInBook]:
        return self._books

    def number_of(self, symbol: str) -> int | None:
        """Number of an instrument in the market."""
        return self._numbers.get(symbol)

    def head(self, number: int) -> Head:
        """What a message about the present state has."""
        return Head(self.symbols[number], self._market.seq(number), self._begin_ns + self.now_ns)

    def book_of(self, number: int) -> SimBook:
        """All orders of an instrument."""
        return SimBook(self.head(number), self._market.orders(number))

    def begin(self, client: Client, stream: str) -> list[str]:
        channel, _, symbol = stream.partition(":")
        number = self._numbers.get(symbol)
        if number is None:
            return []
        if channel == "best":
            return [best(self.head(number), *self._market.best(number))]
        return self.side.on_subscribed(client, stream, None if channel == "trades" else self.book_of(number))


class _Books(Mapping[str, StandInBook]):
    """Made when they are asked for."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self._exchange = exchange

    def __getitem__(self, symbol: str) -> StandInBook:
        number = self._exchange.number_of(symbol)
        if number is None:
            raise KeyError(symbol)
        return self._exchange.book_of(number)

    def __iter__(self) -> Iterator[str]:
        return iter(self._exchange.symbols)

    def __len__(self) -> int:
        return len(self._exchange.symbols)


class Simulation(StandInServer):
    """The server of a simulated market."""

    exchange: SimulatedExchange

    def __init__(
        self,
        exchange: SimulatedExchange,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: Iterable[Fault] = (),
    ) -> None:
        super().__init__(exchange, host=host, port=port, faults=faults)

    def venue_config(self) -> VenueConfig:
        """All instruments and channels."""
        return VenueConfig(
            enabled=True,
            ws_url=self.ws_url,
            rest_url=self.rest_url,
            symbols=self.exchange.symbols,
            channels=self.venue.default_channels,
        )

    async def _play(self) -> bool:
        """Lets the market go on until nobody is there any more."""
        loop = asyncio.get_running_loop()
        self.counters.playings += 1
        heard = loop.time()
        start = self._joined()
        while True:
            await asyncio.sleep(STEP_S)
            now = loop.time()
            heard = now if self._connections else heard
            if now - heard > IDLE_S:
                return False
            if now - start - self.exchange.now_ns / _NS > BEHIND_S:
                self.counters.late += 1
                start = self._joined()
            await self._advance(int((loop.time() - start) * _NS))

    def _joined(self) -> float:
        """The market's time and the wall's go on together from here. Gives the loop's time at its
        beginning.
        """
        self.exchange.restart()
        return asyncio.get_running_loop().time() - self.exchange.now_ns / _NS

    async def _advance(self, until_ns: int) -> None:
        """Tells what happens up to a time of the market, for SLICE_S at most."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SLICE_S
        told = 0
        # One event after the other: a snapshot for who comes between two of them is that of the first.
        while (event := self.exchange.advance(until_ns)) is not None:
            for channel, stream in self.exchange.streams(event):
                if self._listeners(stream):
                    await self._emit(self.exchange.emission(event, channel, stream))
            told += 1
            if told % EVENTS_AT_ONCE == 0:
                await asyncio.sleep(0)
                if loop.time() > end:
                    return
