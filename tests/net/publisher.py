"""A publisher: the load at a pace, over UDP as configured by the environment.

    python -m net.publisher '{"loads": [...], "state_dir": ..., "instruments": 200, "rate": 20000, ...}'

Says on standard output, a JSON object a line: `ready` with the session once every book was published, `done`
when the load is over, with what its books are. Then it keeps the session alive. Lines on standard input:
`go` begins the load, `stop` ends it early, `end` ends the session and the program.
"""

from __future__ import annotations

import json
import secrets
import select
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from net.load import VENUE, Books, Load, symbol, variant
from outcrier.clock import mono_ns, wall_ns
from outcrier.config import load as read_config
from outcrier.errors import OutcrierError
from outcrier.feeder.occupied import check_superseded
from outcrier.feeder.service import open_publisher
from outcrier.feeder.state import VenueState

READ_MESSAGES_MAX = 16
"""Messages of one socket read: they leave together."""

_SLICE_S = 0.001
_END_NS = 500_000_000


class Options(msgspec.Struct, frozen=True):
    """What is asked of it."""

    loads: list[str]
    state_dir: str
    instruments: int
    rate: int
    """Messages a second, over all instruments."""
    seconds: float


class Program:
    """The feed and what it is told to do."""

    def __init__(self, options: Options, state: VenueState) -> None:
        self._options = options
        config = read_config(None)
        # True: what it sends is a drill, flagged TEST.
        self._publisher = open_publisher(config, {VENUE.number: True})
        self.session = state.next_session(wall_ns())
        path = Path(options.loads[variant(self.session)])
        load = msgspec.json.decode(path.read_bytes(), type=Load)
        natives = [load.instrument(number).native_symbol for number in range(options.instruments)]
        ids = state.ids(natives)
        self._books = Books(
            self._publisher,
            load,
            [ids[native] for native in natives],
            session=self.session,
            publisher_id=secrets.randbits(63) + 1,
        )
        for number in range(options.instruments):
            self._books.open(number)
            # Books of a thousand levels a side: a pause after each, as REST answers come.
            self._idle(_SLICE_S)
        self._told: set[str] = set()

    def listen(self) -> None:
        """Takes what is said on standard input; its end is `end`."""
        for line in sys.stdin:
            self._told.add(line.strip())
        self._told.add("end")

    def run(self) -> None:
        """Waits, publishes the load, waits, ends."""
        say(ready=True, session=self.session, at=mono_ns())
        while not self._told & {"go", "end"}:
            self._idle(_SLICE_S)
        start_ns = mono_ns()
        sent = self._play(start_ns)
        ends = {symbol(number): self._books.state(number) for number in range(self._options.instruments)}
        say(
            done=True,
            session=self.session,
            seconds=(mono_ns() - start_ns) / 1e9,
            sent=sent,
            books=ends,
            counters=self._books.feed.counters(),
            publisher=self._publisher.counters(),
        )
        while "end" not in self._told:
            self._idle(_SLICE_S)
        self._books.feed.close()
        end_ns = mono_ns() + _END_NS
        while mono_ns() < end_ns:
            self._idle(_SLICE_S)

    def _play(self, start_ns: int) -> int:
        """Hands out the messages, one to an instrument in turn, at the pace asked for."""
        options = self._options
        end_ns = start_ns + int(options.seconds * 1e9)
        sent = 0
        while (now_ns := mono_ns()) < end_ns and not self._told & {"stop", "end"}:
            due = (now_ns - start_ns) * options.rate // 1_000_000_000
            while sent < due:
                number = sent % options.instruments
                together = (sent + 1) % READ_MESSAGES_MAX != 0 and sent + 1 < due
                if not self._books.take(number, more=together):
                    return sent
                sent += 1
            self._idle(_SLICE_S / 2)
        return sent

    def _idle(self, seconds: float) -> None:
        """Waits so long, or until something is due or a consumer asks."""
        feed, bell = self._books.feed, self._publisher.wakeup_fileno()
        wait_s = min(seconds, max(0.0, (feed.deadline_ns() - mono_ns()) / 1e9))
        # Not by time.sleep: libfaketime, which lets clocks step, does not know how Python sleeps.
        asked, _, _ = select.select([bell] if bell >= 0 else [], [], [], wait_s)
        if asked or mono_ns() >= feed.deadline_ns():
            feed.tick()
            check_superseded(self._publisher)


def say(**what: Any) -> None:
    """A line."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Runs it; a refusal is said as `refused`."""
    options = msgspec.json.decode(sys.argv[1], type=Options)
    try:
        with VenueState(Path(options.state_dir), "test", VENUE.name, VENUE.number) as state:
            program = Program(options, state)
            threading.Thread(target=program.listen, daemon=True).start()
            program.run()
    except OutcrierError as error:
        say(refused=str(error))
        sys.exit(4)


if __name__ == "__main__":
    main()
