"""One end-to-end run: the driver, a handler on the other core and, for ours, whatever the feeder asks for."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from benchmarks.messages import Books, MessageSet, capture_path, scaled_book
from benchmarks.sockets.load import GROUP, INTERFACE, SNAPSHOT_GROUP, free_port, pinned
from outcrier import Subscriber
from outcrier.capture.stand_in import StandIn
from outcrier.config import Config, MulticastConfig, MulticastSections, render
from outcrier.venues import venue_by_name

DRIVER_CORE, HANDLER_CORE = 0, 1
SEQ_OFFSET: Final = 10
"""Where a frame has its number; the floor's packets have it at 12."""

READY_SECONDS_MAX: Final = 30.0
RUN_SECONDS_MAX: Final = 120.0
LOOK_S: Final = 0.02

_SOURCE: Final = Path(__file__).with_name("driver.c")
_CHANNELS: Final = ("depth", "aggTrade")
"""What the messages are of; the capture's other streams are left out, as the floor has no code for them."""


@dataclass(frozen=True)
class Run:
    """What is driven, and how."""

    laps: int
    pace_ns: int
    """Between two messages; 0 = as fast as the socket takes them."""
    gro: bool
    busy_poll: bool

    def environment(self) -> dict[str, str]:
        """The driver's: GRO set or not set."""
        return {key: value for key, value in os.environ.items() if key != "GRO"} | (
            {"GRO": "1"} if self.gro else {}
        )


@dataclass(frozen=True)
class Result:
    """What the driver saw; times in µs."""

    count: int
    got: int
    us_per_msg: float
    p50: float
    p99: float

    def value(self, run: Run) -> float:
        """What the row of this run is about."""
        return self.p50 if run.pace_ns else self.us_per_msg


def build_driver(folder: Path) -> Path:
    """Our copy of the floor's driver; skips where there is no C compiler."""
    if shutil.which("cc") is None:
        pytest.skip("no driver: cc, which builds it, is missing")
    program = folder / "driver"
    subprocess.run(["cc", "-O2", "-o", str(program), str(_SOURCE)], check=True, timeout=60)
    return program


def floor_run(
    *, driver: Path, floor: Path, mode: str, tape: Path, books: Path, count: int, run: Run
) -> Result:
    """The floor with the floor's own driver; `tape` holds at most `FLOOR_MESSAGES_MAX` lines."""
    port, udp_port = str(free_port()), str(free_port())
    with subprocess.Popen(
        [*pinned(DRIVER_CORE), str(driver), port, str(tape), str(count), str(run.pace_ns), udp_port],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=run.environment(),
    ) as driving:
        assert driving.stderr is not None
        assert driving.stderr.readline() == "ready\n"
        # The last words but one: with its synthetic L3, as in the floor column of the design.
        handler = [*pinned(HANDLER_CORE), str(floor), port, udp_port, str(books), "1", mode]
        subprocess.run(handler, check=True, stdout=subprocess.DEVNULL, timeout=RUN_SECONDS_MAX)
        out, _ = driving.communicate(timeout=RUN_SECONDS_MAX)
    return _result(out, count)


def our_run(
    *, driver: Path, messages: MessageSet, data_dir: Path, tape: Path, folder: Path, run: Run
) -> Result:
    """The feeder with our copy of the driver: every message one event on the wire, every book right at the
    end."""
    capture = capture_path(data_dir, "binance_coinm/coinm_2021-07-22")
    return asyncio.run(_our_run(driver, messages, capture, _Files(tape, folder), run))


@dataclass(frozen=True)
class _Files:
    tape: Path
    folder: Path
    """Of configuration and state."""


async def _our_run(driver: Path, messages: MessageSet, capture: Path, files: _Files, run: Run) -> Result:
    port, udp_port = free_port(), free_port()
    count = run.laps * len(messages.messages)
    driving_words = [driver, port, files.tape, count, run.pace_ns, GROUP, udp_port, SEQ_OFFSET]
    async with (
        _process([*pinned(DRIVER_CORE), *map(str, driving_words)], run.environment()) as driving,
        StandIn(venue_by_name(messages.venue), [capture]) as exchange,
    ):
        await _line(driving.stderr, "ready")
        config = _config(exchange, port, udp_port, files.folder, busy_poll=run.busy_poll)
        path = files.folder / "outcrier.toml"
        path.write_text(render(config), encoding="utf-8")
        words = [*pinned(HANDLER_CORE), sys.executable, "-m", "outcrier", "run", "--config", str(path)]
        async with _process(words, dict(os.environ)) as handler:
            # Listening ends before the driver begins: a second consumer would cost the handler's sends.
            await _live_books(udp_port, len(messages.snapshots))
            result = _result(await _ask(driving), count)
            assert await _live_books(udp_port, len(messages.snapshots)) == messages.books
            await _ask(driving)
            handler.terminate()
            await handler.wait()
    return result


def _config(exchange: StandIn, port: int, udp_port: int, folder: Path, *, busy_poll: bool) -> Config:
    """One venue: REST at the stand-in, WebSocket at the driver."""
    replace = msgspec.structs.replace
    default = Config()
    venue = replace(exchange.venue_config(), ws_url=f"ws://{INTERFACE}:{port}", channels=_CHANNELS)
    wire = MulticastConfig(
        interface=INTERFACE, group_a=GROUP, group_snapshot=SNAPSHOT_GROUP, port=udp_port, ttl=0
    )
    venues = {name: replace(each, enabled=False) for name, each in default.venues.items()}
    return replace(
        default,
        feeder=replace(default.feeder, state_dir=str(folder / "state"), busy_poll=busy_poll),
        multicast=MulticastSections(crypto=wire),
        venues=venues | {exchange.venue.name: venue},
    )


async def _live_books(udp_port: int, count: int) -> Books:
    """Every book as a consumer has it that begins to listen now, once all are LIVE."""
    loop = asyncio.get_running_loop()
    end = loop.time() + READY_SECONDS_MAX
    async with Subscriber(
        accept={"test"},
        interface=INTERFACE,
        group=GROUP,
        snapshot_group=SNAPSHOT_GROUP,
        port=udp_port,
        timeout=READY_SECONDS_MAX,
    ) as sub:
        while True:
            listed = sub.instruments()
            states = {each.symbol: sub.state(each.symbol) for each in listed}
            if len(listed) == count and set(states.values()) == {"LIVE"}:
                break
            assert loop.time() < end, f"not live: {states}"
            await asyncio.sleep(LOOK_S)
        books: Books = {}
        for each in listed:
            bids, asks = sub.book(each.symbol).top(0)
            books[each.native_symbol] = scaled_book(
                [(Decimal(level.price), Decimal(level.qty)) for level in bids],
                [(Decimal(level.price), Decimal(level.qty)) for level in asks],
            )
        return books


@asynccontextmanager
async def _process(
    words: list[str], environment: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _line(stream: asyncio.StreamReader | None, word: str = "") -> str:
    assert stream is not None
    line = (await asyncio.wait_for(stream.readline(), RUN_SECONDS_MAX)).decode().rstrip("\n")
    assert not word or line == word
    return line


async def _ask(process: asyncio.subprocess.Process) -> str:
    """Sends an empty line; the next line that comes back, empty if it ended."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    await process.stdin.drain()
    return await _line(process.stdout)


def _result(line: str, count: int) -> Result:
    """Raises AssertionError if a message did not come out."""
    told: dict[str, Any] = json.loads(line)
    assert (told["count"], told["got"]) == (count, count)
    return Result(count, told["got"], told["us_per_msg"], told["p50"], told["p99"])
