"""The demo's own process: starts the child that feeds, listens, and shows until it is told to end."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from rich.console import Console
from rich.live import Live

from outcrier.clock import mono_ns, wall_ns
from outcrier.config import Config
from outcrier.demo.messages import (
    DECODER,
    ENCODER,
    SIMULATION,
    Failed,
    Message,
    Notice,
    Playing,
    Venue,
    Venues,
)
from outcrier.demo.screen import Row, View, line, screen, summary
from outcrier.demo.stats import Stats
from outcrier.errors import CaptureError, ConfigurationError, NetworkError, OutcrierError
from outcrier.silence import SILENCE_NS
from outcrier.subscriber import Subscriber
from outcrier.views import State

SCREEN_S: Final = 0.25
"""How often the screen is drawn: each takes some 10 ms that the books wait for."""

LINE_S: Final = 1.0
"""How often a plain line is printed."""

CHILD_END_S: Final = 0.8
"""How long the child has to end its sessions; the whole demo ends within a second."""

EARLY_MAX: Final = 16
"""Plain lines that wait for the first word of the child; it comes within some seconds."""

ROWS: Final = 12
"""Instruments on the screen."""

LINE_ROWS: Final = 2
"""Instruments in a plain line."""

_LINE_BYTES_MAX: Final = 1024 * 1024
"""Longest line of the child: 128 venues with an error each are far less."""


class _ToScreen(logging.Handler):
    """Shows what the subscriber warns of where it is seen; stderr would tear the screen.

    That nothing is heard is no news while the feeder starts, so the demo looks for that itself.
    """

    def __init__(self, demo: Demo) -> None:
        super().__init__(logging.WARNING)
        self._demo = demo

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if not text.startswith("nothing heard"):
            self._demo.note(text)


class Demo:
    """One run of the demo."""

    def __init__(
        self, config: Config, *, seconds: float | None, plain: bool, echo: Callable[[str], None]
    ) -> None:
        """`plain`: lines instead of a screen; `echo` prints them."""
        self._config = config
        self._seconds = seconds
        self._plain = plain
        self._echo = echo
        self._stats = Stats()
        self._test = False
        self._simulation = False
        self._sources: tuple[str, ...] = ()
        self._notice = ""
        self._early: list[str] | None = []
        """Plain lines that wait for the child's first word, which says what is played; None = it came."""
        self._venues: tuple[Venue, ...] = ()
        self._failure: OutcrierError | None = None
        self._start_ns = mono_ns()
        self._stop = asyncio.Event()
        self._playing_ns: int | None = None

    async def run(self) -> None:
        """Until Ctrl-C, SIGTERM or the end of `seconds`. Raises what the child failed with."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        log = logging.getLogger("outcrier")
        log.addHandler(_ToScreen(self))
        log.propagate = False
        crypto = self._config.multicast.crypto
        subscriber = Subscriber(
            "crypto",
            accept={"replay", "test"},
            interface=crypto.interface,
            group=crypto.group_a,
            snapshot_group=crypto.group_snapshot,
            port=crypto.port,
            rcvbuf_bytes=self._config.subscriber.rcvbuf_bytes,
        )
        async with subscriber as sub:
            child = await self._start_child()
            works = (self._listen(child), self._read(sub), self._show(sub), self._wait_for_stop())
            tasks = [asyncio.create_task(work) for work in works]
            try:
                await asyncio.wait(tasks, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                last = self._view(sub, LINE_ROWS)
                await _end_child(child)
            for task in tasks:
                if not task.cancelled() and task.exception() is not None:
                    raise task.exception() or AssertionError
        self._begin()
        if self._failure is not None:
            raise self._failure
        self._echo(summary(last))

    async def _wait_for_stop(self) -> None:
        await self._stop.wait()

    def note(self, text: str) -> None:
        """Something to tell once."""
        self._notice = text
        self._say(text)

    def _say(self, text: str) -> None:
        """A plain line, where lines are printed."""
        if self._plain and self._early is None:
            self._echo(f"{SIMULATION}: {text}" if self._simulation else text)
        elif self._plain and self._early is not None and len(self._early) < EARLY_MAX:
            self._early.append(text)

    def _begin(self, first: str = "") -> None:
        """What is played is known: `first`, then the lines that waited."""
        early, self._early = self._early, None
        for text in [*([first] if first else []), *(early or ())]:
            self._say(text)

    # The child.

    async def _start_child(self) -> asyncio.subprocess.Process:
        # A session of its own: Ctrl-C in the terminal reaches this process alone, which then ends the child
        # in order.
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "outcrier.demo.feed",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_LINE_BYTES_MAX,
        )
        if child.stdin is not None:
            child.stdin.write(ENCODER.encode(self._config) + b"\n")
        return child

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        """Takes what the child tells; returns when it ends, which is the end of the demo."""
        while child.stdout is not None and (text := await child.stdout.readline()):
            self._take(DECODER.decode(text))
        if self._failure is None:
            raise RuntimeError(f"the feeding process ended by itself with code {await child.wait()}")

    def _take(self, message: Message) -> None:
        if isinstance(message, Notice):
            self._notice, self._simulation = message.text, message.simulation
            self._begin(message.text)
        elif isinstance(message, Playing):
            self._test, self._sources, self._playing_ns = message.test, message.sources, mono_ns()
            self._begin(f"{'TEST' if message.test else 'live'}: {', '.join(message.sources)}")
        elif isinstance(message, Venues):
            self._venues = message.venues
        else:
            self._failure = _error(message)

    # The wire.

    async def _read(self, sub: Subscriber) -> None:
        async for batch in sub.batches():
            self._stats.take(batch, wall_ns(), test=self._test)

    async def _show(self, sub: Subscriber) -> None:
        with ExitStack() as stack:
            live = None
            if not self._plain:
                live = stack.enter_context(Live(console=Console(), auto_refresh=False, screen=True))
            while True:
                await asyncio.sleep(LINE_S if live is None else SCREEN_S)
                if live is None and self._early is None:
                    self._echo(line(self._view(sub, LINE_ROWS)))
                elif live is not None:
                    live.update(screen(self._view(sub, ROWS)), refresh=True)

    def _view(self, sub: Subscriber, rows: int) -> View:
        counters = sub.counters()
        now_ns = mono_ns()
        if self._playing_ns and now_ns - self._playing_ns >= SILENCE_NS and not counters["frames"]:
            self._playing_ns = None
            self.note(sub.diagnosis())
        states = [instrument.state for instrument in sub.instruments()]
        crypto = self._config.multicast.crypto
        return View(
            seconds=(now_ns - self._start_ns) / 1e9,
            test=self._test,
            simulation=self._simulation,
            sources=self._sources,
            notice=self._notice,
            rates=self._stats.rates(now_ns, counters),
            frames=counters["frames"],
            gaps=counters["gaps"],
            lost=counters["given_up"],
            live=sum(state is State.LIVE for state in states),
            books=len(states),
            rows=self._rows(sub, rows),
            stages={name: reservoir.percentiles() for name, reservoir in self._stats.stages.items()},
            venues=self._venues,
            address=f"{crypto.group_a}:{crypto.port} at {crypto.interface}",
        )

    def _rows(self, sub: Subscriber, count: int) -> list[Row]:
        """The busiest instruments, live ones first where there is no room for all."""
        rows = [self._row(sub, symbol) for symbol in self._stats.busiest(ROWS)]
        return sorted(rows, key=lambda row: row.state is not State.LIVE)[:count] if count < ROWS else rows

    def _row(self, sub: Subscriber, symbol: str) -> Row:
        book = sub.book(symbol)
        bid, ask = book.best
        return Row(symbol, book.state, bid, ask, book.spread, self._stats.last_trades.get(symbol))


async def _end_child(child: asyncio.subprocess.Process) -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), CHILD_END_S)
    except TimeoutError:
        child.kill()
        await child.wait()


def _error(failed: Failed) -> OutcrierError:
    kinds = (ConfigurationError, CaptureError, NetworkError)
    return next((kind for kind in kinds if kind.exit_code == failed.exit_code), OutcrierError)(failed.text)


def run(config: Config, *, seconds: float | None, plain: bool, echo: Callable[[str], None]) -> None:
    """The whole demo."""
    asyncio.run(Demo(config, seconds=seconds, plain=plain, echo=echo).run())
