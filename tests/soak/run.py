"""One soak: exchanges, the feeder and a consumer, each a process; then the account."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

from outcrier import events as ev
from outcrier.config import Config, load, render
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.books import BOOK_WAIT_NS
from outcrier.feeder.logs import WAIT_MS
from outcrier.venues import venue_by_name
from outcrier.venues.base import Venue
from outcrier.views import State
from soak.account import LOSSES, NO_BOOK, Injected, Pacing, States, Verdict, Wait, explain, uptime
from soak.plan import Played
from sockets import Child, Net

PROCESSES: Final = 3
"""Processes of stand-ins: each has one of the three venues that are the base load."""

TESTS: Final = Path(__file__).resolve().parents[1]
START_S: Final = 120.0
UPTIME_MIN: Final = 0.9999
LOOK_S: Final = 0.5
LOG_MB: Final = 1024
"""The feeder's log is read whole in the end: it must not begin a new file."""
LOG_SHOWN: Final = 3000
"""Characters of it in a failure."""


@dataclass
class Exchanges:
    """The processes of the stand-ins and what they told."""

    told: list[dict[str, Any]] = field(default_factory=list)
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)
    readers: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, plan: Sequence[Played], seed: int, every_s: float, folder: Path) -> None:
        path = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        for part in (plan[number::PROCESSES] for number in range(PROCESSES)):
            words = [msgspec.json.encode(part).decode(), str(seed), str(every_s), str(folder)]
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "soak.exchange", *words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=TESTS,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
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

    def faults(self, venue: str, names: Mapping[str, str]) -> list[Injected]:
        """Those that happened; how long each lasts stands in the line of its injection. `names`: symbols by
        native symbol.
        """
        seconds: dict[str, float] = {}
        found: list[Injected] = []
        over = 0.0
        for each in self.told:
            if each.get("venue") != venue:
                continue
            now = each["t"]
            if "kind" in each:
                seconds[each["kind"].split()[0]] = each["seconds"]
            elif "over" in each:
                over = now
            elif "bookless_yet" in each:
                symbol = names.get(each["bookless_yet"], "")
                found.append(Injected(NO_BOOK, now, float("inf"), symbol=symbol))
            elif "whole" in each:
                symbol = names.get(each["whole"], "")
                found = [
                    dataclasses.replace(fault, end=now)
                    if (fault.kind, fault.symbol, fault.end) == (NO_BOOK, symbol, float("inf"))
                    else fault
                    for fault in found
                ]
            elif "heard" in each:
                heard = {names[native]: now for native in each["heard"] if native in names}
                for number, fault in enumerate(found):
                    if fault.kind in LOSSES and fault.end <= now:
                        found[number] = dataclasses.replace(fault, heard=heard | dict(fault.heard))
            elif (kind := each.get("happened")) is not None:
                # A refusal is told with every request that meets it.
                lasts = 0.0 if kind.startswith("met ") else seconds.get(kind, 0.0)
                found.append(Injected(kind.removeprefix("met "), now, now + lasts))
                if kind == "end":
                    found.append(Injected("quiet", over, over, until=now))
        return sorted(found, key=lambda fault: fault.begin)

    def pacing(self, venue: str) -> Pacing:
        told = next(each for each in self.told if each.get("venue") == venue and "subscribe_s" in each)
        played = venue_by_name(venue)
        in_stream = type(played).snapshot_request is Venue.snapshot_request
        return Pacing(
            subscribe_s=told["subscribe_s"],
            unanswered_s=2 * played.keepalive.expected_silence_s,
            book_wait_s=BOOK_WAIT_NS / SECOND_NS if in_stream else 0.0,
        )

    def counters(self) -> dict[str, Any]:
        return {each["venue"]: each["counters"] for each in self.told if "counters" in each}


def waits(log: Path) -> dict[str, list[Wait]]:
    """What the feeder's log tells of waits, by venue."""
    found: dict[str, list[Wait]] = {}
    for text in log.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        wait_ms = line.get("counts", {}).get(WAIT_MS)
        if wait_ms is not None:
            wait = Wait(line["cause"], line.get("symbol", ""), line["time_ns"] / 1e9, wait_ms / 1e3)
            found.setdefault(line["venue"], []).append(wait)
    return found


def merged(plan: Sequence[Played], folder: Path, health_port: int, log: str = "") -> Config:
    """One configuration of all stand-ins; `log`: the feeder's, empty = it tells the terminal."""
    found = {each.venue: load(folder / f"{each.venue}.toml", {}).venues[each.venue] for each in plan}
    off = {name: msgspec.structs.replace(venue, enabled=False) for name, venue in Config().venues.items()}
    base = Config()
    feeder = msgspec.structs.replace(
        base.feeder,
        health_port=health_port,
        state_dir=str(folder / "state"),
        operator_log=log,
        operator_log_mb=LOG_MB,
    )
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
    faults: dict[str, list[Injected]]
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
            faults = Counter(fault.kind for fault in self.faults[venue])
            lasted = [verdict.outage.seconds for verdict in verdicts]
            beyond = [verdict.outage.seconds - verdict.backoff for verdict in verdicts]
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
                    "outage_s_max_without_waits": round(max(beyond), 3) if beyond else 0.0,
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
    log = folder / "feeder.jsonl"
    config.write_text(render(merged(plan, folder, 0, str(log))), encoding="utf-8")
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

            def said() -> str:
                return feeder.err[-LOG_SHOWN:] + log.read_text(encoding="utf-8")[-LOG_SHOWN:]

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
                assert feeder.running, said()
                assert not listening.done(), listening.exception()
                assert time.monotonic() < end, f"not live: {missing()[:20]}\n{said()}"
                await asyncio.sleep(LOOK_S)
            begin, cpu = time.time(), cpu_s(feeder.pid)
            states.outages.clear()  # the account begins here
            exchanges.say()
            while time.time() < begin + seconds:
                await asyncio.sleep(LOOK_S)
                assert feeder.running, said()
                assert not listening.done(), listening.exception()
                resident.append(resident_bytes(feeder.pid))
                unsure += LOOK_S * sum(
                    sub.state(symbol) is State.UNSURE and symbol not in states.down_since
                    for symbol in states.live_since
                )
            stop = time.time()
            cpu = cpu_s(feeder.pid) - cpu
            states.end(stop)
            known = sub.instruments()
            listed = {each.symbol: each.venue for each in known}
            listening.cancel()
            await exchanges.end()
            await asyncio.sleep(LOOK_S)  # The log is written by a thread.
    drawn = waits(log)
    faults = {
        venue: exchanges.faults(
            venue, {each.native_symbol: each.symbol for each in known if each.venue == venue}
        )
        for venue in counts
    }
    verdicts = {
        venue: [
            explain(outage, faults[venue], drawn.get(venue, ()), exchanges.pacing(venue))
            for outage in states.outages
            if listed[outage.symbol] == venue
        ]
        for venue in counts
    }
    never = sorted(symbol for symbol in listed if symbol not in states.live_since)
    return Soak(
        seconds, begin, stop, states, verdicts, faults, never, exchanges, listed, unsure, resident, cpu
    )
