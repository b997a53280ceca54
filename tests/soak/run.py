"""One soak: exchanges, the feeder and a consumer, each a process; then the account."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

from outcrier import events as ev
from outcrier.config import Config, load, render
from outcrier.views import State
from soak.account import Injected, States, Verdict, explain, uptime
from soak.plan import Played
from sockets import Child, Net

PROCESSES: Final = 3
"""Processes of stand-ins: each has one of the three venues that are the base load."""

TESTS: Final = Path(__file__).resolve().parents[1]
START_S: Final = 120.0
UPTIME_MIN: Final = 0.9999
LOOK_S: Final = 0.5


@dataclass
class Exchanges:
    """The processes of the stand-ins and what they told."""

    told: list[dict[str, Any]] = field(default_factory=list)
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, plan: Sequence[Played], seed: int, every_s: float, folder: Path) -> None:
        for part in (plan[number::PROCESSES] for number in range(PROCESSES)):
            words = [msgspec.json.encode(part).decode(), str(seed), str(every_s), str(folder)]
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "soak.exchange", *words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=TESTS,
                env={**os.environ, "PYTHONPATH": str(TESTS)},
                limit=1 << 22,
            )
            self.processes.append(process)
            self.readers.append(asyncio.create_task(self._read(process)))
        end = time.monotonic() + START_S
        while sum("ready" in each for each in self.told) < len(self.processes):
            assert time.monotonic() < end, "the stand-ins do not begin"
            assert all(process.returncode is None for process in self.processes), "a stand-in ended"
            await asyncio.sleep(LOOK_S)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.told.append(json.loads(line))

    def say(self) -> None:
        """Begin; and the second time: end."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")

    async def end(self) -> None:
        self.say()
        await asyncio.gather(*self.readers)

    def kill(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def faults(self, venue: str) -> list[Injected]:
        """Those that happened; how long each lasts stands in the line of its injection."""
        seconds: dict[str, float] = {}
        found = []
        for each in self.told:
            if each.get("venue") != venue:
                continue
            if "kind" in each:
                seconds[each["kind"].split()[0]] = each["seconds"]
            elif (kind := each.get("happened", "connect")) != "connect":
                # A refusal is told with every request that meets it.
                lasts = 0.0 if kind.startswith("met ") else seconds.get(kind, 0.0)
                found.append(Injected(kind.removeprefix("met "), each["t"], each["t"] + lasts))
        return found

    def connects(self, venue: str) -> list[float]:
        return [
            each["t"]
            for each in self.told
            if each.get("venue") == venue and each.get("happened") == "connect"
        ]

    def counters(self) -> dict[str, Any]:
        return {each["venue"]: each["counters"] for each in self.told if "counters" in each}


def merged(plan: Sequence[Played], folder: Path, health_port: int) -> Config:
    """One configuration of all stand-ins."""
    found = {each.venue: load(folder / f"{each.venue}.toml", {}).venues[each.venue] for each in plan}
    off = {name: msgspec.structs.replace(venue, enabled=False) for name, venue in Config().venues.items()}
    base = Config()
    feeder = msgspec.structs.replace(base.feeder, health_port=health_port, state_dir=str(folder / "state"))
    return msgspec.structs.replace(base, feeder=feeder, venues=off | found)


@dataclass
class Soak:
    """What came out."""

    seconds: float
    begin: float
    end: float
    states: States
    verdicts: dict[str, list[Verdict]]
    """By venue."""
    never_live: list[str]
    exchanges: Exchanges
    listed: dict[str, str]
    """Venue by symbol."""
    unsure_s: float
    """Seconds of symbols in which the consumer, not the publisher, was unsure: looked at twice a second."""
    resident: list[int]
    """Bytes of the feeder, twice a second."""
    feeder_cpu_s: float
    said: str

    def uptimes(self) -> dict[str, float]:
        return {
            symbol: uptime(
                symbol, self.verdicts[venue], max(self.begin, self.states.live_since[symbol]), self.end
            )
            for symbol, venue in self.listed.items()
            if symbol in self.states.live_since
        }

    def unexplained(self) -> list[str]:
        return [
            f"{verdict.outage} cause={verdict.cause or 'none'} excess={verdict.excess:.3f} s"
            for verdicts in self.verdicts.values()
            for verdict in verdicts
            if verdict.excess > 0
        ]

    def table(self) -> list[dict[str, Any]]:
        """A row a venue."""
        rows = []
        uptimes = self.uptimes()
        for venue, verdicts in self.verdicts.items():
            own = [symbol for symbol, of in self.listed.items() if of == venue]
            mine = [uptimes[symbol] for symbol in own if symbol in uptimes]
            faults = Counter(fault.kind for fault in self.exchanges.faults(venue))
            lasted = [verdict.outage.end - verdict.outage.begin for verdict in verdicts]
            rows.append(
                {
                    "venue": venue,
                    "symbols": len(own),
                    "faults": dict(faults),
                    "outages": len(verdicts),
                    "causes": dict(Counter(verdict.cause for verdict in verdicts)),
                    "unexplained": sum(verdict.excess > 0 for verdict in verdicts),
                    "outage_s_median": round(median(lasted), 3) if lasted else 0.0,
                    "outage_s_max": round(max(lasted), 3) if lasted else 0.0,
                    "uptime_outside_min": min(mine, default=None),
                    "messages": self.exchanges.counters()[venue]["messages"],
                    "breaches": self.exchanges.counters()[venue]["breaches"],
                }
            )
        return rows


async def soak(plan: Sequence[Played], folder: Path, *, seconds: float, seed: int, every_s: float) -> Soak:
    """Runs for `seconds` after everything that can be live is live for the first time."""
    exchanges = Exchanges()
    try:
        await exchanges.start(plan, seed, every_s, folder)
        return await _soak(exchanges, plan, folder, seconds)
    finally:
        exchanges.kill()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _soak(exchanges: Exchanges, plan: Sequence[Played], folder: Path, seconds: float) -> Soak:
    net = Net.pick()
    config = folder / "soak.toml"
    config.write_text(render(merged(plan, folder, 0)), encoding="utf-8")
    counts = {each["venue"]: len(each["symbols"]) for each in exchanges.told if "symbols" in each}
    bookless = {f"{each['venue']}": each["bookless"] for each in exchanges.told if each.get("bookless")}
    states, resident = States(), []
    unsure = 0.0
    async with net.subscriber(types={"status"}, timeout=None) as sub:
        with Child(folder, "run", "--config", config, **net.environment()) as feeder:

            async def listen() -> None:
                async for event in sub.events():
                    # Before its definition an instrument has a number for a name.
                    if isinstance(event, ev.StateChange) and not event.symbol.startswith("#"):
                        states.take(event.symbol, event.state, event.reason, time.time())

            listening = asyncio.create_task(listen())

            def missing() -> list[str]:
                known = sub.instruments()
                for each in known:
                    if sub.state(each.symbol) == State.LIVE:
                        states.take(each.symbol, State.LIVE, "", time.time())
                return [
                    each.symbol
                    for each in known
                    if each.symbol not in states.live_since
                    and each.native_symbol not in bookless.get(each.venue, ())
                ] or ["definitions"] * (sum(counts.values()) - len(known))

            end = time.monotonic() + START_S
            while missing():
                assert feeder.running, feeder.err[-3000:]
                assert not listening.done(), listening.exception()
                assert time.monotonic() < end, f"not live: {missing()[:20]}\n{feeder.err[-3000:]}"
                await asyncio.sleep(LOOK_S)
            begin, cpu = time.time(), cpu_s(feeder.pid)
            states.outages.clear()  # the account begins here
            exchanges.say()
            while time.time() < begin + seconds:
                await asyncio.sleep(LOOK_S)
                assert feeder.running, feeder.err[-3000:]
                assert not listening.done(), listening.exception()
                resident.append(resident_bytes(feeder.pid))
                unsure += LOOK_S * sum(
                    sub.state(symbol) is State.UNSURE and symbol not in states.down_since
                    for symbol in states.live_since
                )
            stop = time.time()
            cpu = cpu_s(feeder.pid) - cpu
            states.end(stop)
            listed = {each.symbol: each.venue for each in sub.instruments()}
            listening.cancel()
            await exchanges.end()
            said = feeder.err
    verdicts = {
        each.venue: [
            explain(outage, exchanges.faults(each.venue), exchanges.connects(each.venue))
            for outage in states.outages
            if listed[outage.symbol] == each.venue
        ]
        for each in plan
    }
    never = sorted(symbol for symbol in listed if symbol not in states.live_since)
    return Soak(seconds, begin, stop, states, verdicts, never, exchanges, listed, unsure, resident, cpu, said)
