"""A consumer: compares its books with the truth all the time, and says how they are.

    python -m net.consumer '{"truths": [...], "subscribers": 1}'

Says on standard output, a JSON object a line: `ready` once it listens, and `look` every 100 ms: how many
books are known and LIVE, how many comparisons were made and which were wrong. Lines on standard input:
`books` says what every book is, `mark` the delays and times to heal since the last `mark`, `last` ends the
program after a line with the counters.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from net.load import variant
from outcrier import _core
from outcrier.cli.output import subscriber
from outcrier.clock import mono_ns, wall_ns
from outcrier.config import load as read_config
from outcrier.layout import BOOK_DELTA, KIND_LOST, KIND_STATE, TRADE
from outcrier.subscriber import Subscriber
from outcrier.views import symbol_of

LOOK_S = 0.1
WRONG_MAX = 20
"""Wrong books that are kept: one is too many."""
DELAYS_MAX = 200_000

_VOLUME = frozenset({"bytes", "datagrams", "heartbeats", "packs", "packed_messages"})
"""Counters of what came anyway."""

_LIVE = _core.STATES.index("LIVE")
_UNKNOWN = "UNKNOWN"
_MARK_SNAPSHOT = 1 << 2
"""`events.marks`: the row comes from a snapshot and stands for all numbers up to its own."""


Truths = list[dict[int, int]]
"""Hash of a book by number of its instrument, for each variant of the load."""


class Options(msgspec.Struct, frozen=True):
    """What is asked of it."""

    truths: list[str]
    """None = nothing is known of what books are."""
    subscribers: int = 1
    pause_s: float = 0.0
    """What the consumer does after each batch, in time."""


class Listener:
    """One subscriber and what it saw."""

    def __init__(self, sub: Subscriber, truths: Truths, pause_s: float) -> None:
        self.sub = sub
        self._truths = truths
        self._pause_s = pause_s
        self.compared = self.between = 0
        self.wrong: list[dict[str, Any]] = []
        self.events = self.lost_events = 0
        self.backwards = self.proc_ns_max = self._arrival = 0
        self._delays: list[np.ndarray[Any, Any]] = []
        self._kept = 0
        self._broken: dict[int, int] = {}
        self._heals_ns: list[int] = []
        self.holes: list[dict[str, int]] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._before: dict[str, int] = {}
        self._began_ns = mono_ns()
        self._live_ns = 0

    async def read(self) -> None:
        """Takes batches until it is cancelled."""
        async for batch in self.sub.batches():
            events = batch.events
            self.events += len(events)
            self._keep_times(events)
            self._account(events)
            for at in np.flatnonzero(events["kind"] == KIND_STATE):
                self._follow(int(events["instrument"][at]), int(events["state"][at]))
            self.lost_events += int(events["start"][events["kind"] == KIND_LOST].sum())
            if self._pause_s:
                time.sleep(self._pause_s)  # noqa: ASYNC251  # a consumer that is slow, and not one that waits

    def _keep_times(self, events: np.ndarray[Any, Any]) -> None:
        """Delays from the publisher's arrival to this line of Python; whether its clock ever went back."""
        kinds = events["kind"]
        taken = events[((kinds == BOOK_DELTA) | (kinds == TRADE)) & (events["state"] == _LIVE)]
        if not len(taken):
            return
        arrivals = np.concatenate([[self._arrival], taken["recv_ts"]])
        self.backwards += int((np.diff(arrivals) < 0).sum())
        self._arrival = int(arrivals[-1])
        self.proc_ns_max = max(self.proc_ns_max, int(taken["proc_ns"].max()))
        if self._kept < DELAYS_MAX:
            self._kept += len(taken)
            self._delays.append(wall_ns() - taken["recv_ts"])

    def _account(self, events: np.ndarray[Any, Any]) -> None:
        """No number of an instrument is passed over in silence: what did not come was told to be lost."""
        told = events[(events["instrument"] != 0) & (events["kind"] != KIND_STATE)]
        columns = ("session", "instrument", "kind", "instr_seq", "start", "marks")
        rows = zip(*(told[each].tolist() for each in columns), strict=True)
        for session, instrument, kind, first, count, marks in rows:
            key = session, instrument
            last = self._numbers.get(key)
            if kind == KIND_LOST:
                expected, now = last and last + 1, first + count - 1
            elif marks & _MARK_SNAPSHOT:
                expected, now = last, first
            else:
                expected, now = last and last + 1, first
            if last is not None and first != expected and len(self.holes) < WRONG_MAX:
                self.holes.append({"session": session, "instrument": instrument, "last": last, "next": first})
            self._numbers[key] = now

    def _follow(self, instrument: int, state: int) -> None:
        if state != _LIVE:
            self._broken.setdefault(instrument, mono_ns())
        elif instrument in self._broken:
            self._heals_ns.append(mono_ns() - self._broken.pop(instrument))

    def is_live(self) -> bool:
        """Whether every book of every channel is LIVE; the first time is kept."""
        if not self.sub.complete() or self.sub._not_live() is not None:
            return False
        self._live_ns = self._live_ns or mono_ns()
        return True

    def live_after_ms(self) -> float:
        """How long it took until every book was LIVE."""
        return (self._live_ns - self._began_ns) / 1e6

    def look(self) -> dict[str, Any]:
        """Compares every book that has one."""
        states: dict[str, int] = {}
        sessions = [int(str(channel["session"])) for channel in self.sub.channels()]
        truth = self._truths[variant(sessions[0])] if sessions and self._truths else {}
        for row in self.sub._receiver.instruments():
            name = symbol_of(row)
            info = self.sub.book(name).info()
            states[info["state"]] = states.get(info["state"], 0) + 1
            if info["state"] == _UNKNOWN or not info["hash"]:
                continue
            expected = truth.get(info["instr_seq"])
            if expected is None:
                self.between += 1
                continue
            self.compared += 1
            if expected != info["hash"] and len(self.wrong) < WRONG_MAX:
                self.wrong.append({"symbol": name, "expected": expected, **info})
        return {
            "states": states,
            "complete": self.sub.complete(),
            "compared": self.compared,
            "between": self.between,
            "wrong": self.wrong,
            "sessions": sessions,
        }

    def books(self) -> dict[str, tuple[str, int, int]]:
        """State, number and hash of each."""
        names = [symbol_of(row) for row in self.sub._receiver.instruments()]
        infos = {name: self.sub.book(name).info() for name in names}
        return {name: (info["state"], info["instr_seq"], info["hash"]) for name, info in infos.items()}

    def mark(self) -> dict[str, Any]:
        """Delays and times to heal, and those counters of recovery that moved, since the last mark."""
        delays = np.concatenate(self._delays) if self._delays else np.zeros(0)
        heals = np.array(self._heals_ns)
        self._delays, self._heals_ns, self._kept = [], [], 0
        now = self.sub.counters()
        moved = {name: count - self._before.get(name, 0) for name, count in now.items()}
        self._before = now
        return {
            "delay_ms": percentiles(delays / 1e6),
            "heal_ms": percentiles(heals / 1e6),
            "gaps": self._gaps(),
            "counters": {name: count for name, count in moved.items() if count and name not in _VOLUME},
        }

    def _gaps(self) -> dict[str, dict[str, float]]:
        """Holes that are over, by plane, cause and how they were made whole: how long that took, in ms."""
        after: dict[str, list[float]] = {}
        for gap in self.sub.gaps():
            after.setdefault(f"{gap.plane}, {gap.cause}: {gap.repair}", []).append(gap.after_ns / 1e6)
        return {how: percentiles(np.array(each)) for how, each in after.items()}

    def last(self) -> dict[str, Any]:
        """What is told at the end."""
        return {
            "counters": self.sub.counters(),
            "channels": self.sub.channels(),
            "events": self.events,
            "lost_events": self.lost_events,
            "holes": self.holes,
            "backwards": self.backwards,
            "proc_ns_max": self.proc_ns_max,
            **{name: value for name, value in self.mark().items() if name != "counters"},
        }


def percentiles(values: np.ndarray[Any, Any]) -> dict[str, float]:
    """Of a distribution; nothing of none."""
    if not len(values):
        return {"count": 0}
    p50, p99 = np.percentile(values, [50, 99])
    return {
        "count": len(values),
        "p50": round(float(p50), 3),
        "p99": round(float(p99), 3),
        "max": round(float(values.max()), 3),
    }


async def main(options: Options, truths: Truths) -> None:
    """Runs it."""
    config = read_config(None)
    listeners = []
    complaints: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("outcrier").addHandler(handler)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(options.subscribers):
            sub = await subscriber(config).__aenter__()
            listeners.append(Listener(sub, truths, options.pause_s))
        reading = [tasks.create_task(listener.read()) for listener in listeners]
        say(ready=True, rcvbuf=listeners[0].sub._receiver.effective_rcvbuf())
        told: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, lambda: told.put_nowait(sys.stdin.readline().strip() or "last"))
        while True:
            try:
                word = await asyncio.wait_for(told.get(), LOOK_S)
            except TimeoutError:
                word = "look"
            if word == "last":
                break
            if word == "books":
                say(books=[listener.books() for listener in listeners])
            elif word == "mark":
                say(mark=listeners[0].mark())
            else:
                say(look=[listener.look() for listener in listeners], at=mono_ns())
        loop.remove_reader(sys.stdin)
        for task in reading:
            task.cancel()
    say(last=[listener.last() for listener in listeners], complaints=complaints)
    for listener in listeners:
        listener.sub.close()


def say(**what: Any) -> None:
    """A line."""
    sys.stdout.write(json.dumps(what, default=str) + "\n")
    sys.stdout.flush()


def read_truths(paths: list[str]) -> Truths:
    """The tables that the tests made."""
    return [msgspec.json.decode(Path(path).read_bytes(), type=dict[int, int]) for path in paths]


if __name__ == "__main__":
    given = msgspec.json.decode(sys.argv[1], type=Options)
    asyncio.run(main(given, read_truths(given.truths)))
