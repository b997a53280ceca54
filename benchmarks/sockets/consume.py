"""A consumer in a process of its own: reads batches, looks at the top of the book, says what it took.

    python -m benchmarks.sockets.consume PORT SYMBOL COUNT PROGRESS OPTIONS

Prints `ready` once it listens and `live` once the book is LIVE; then a line of JSON when COUNT frames came,
the session ended or nothing came for SILENCE_S. PROGRESS is a file that is told how many frames were taken,
or empty. OPTIONS are more of `Subscriber` as JSON.
"""

from __future__ import annotations

import json
import logging
import mmap
import sys
import time
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.sockets.load import GROUP, INTERFACE, SNAPSHOT_GROUP
from outcrier import NetworkError, Subscriber
from outcrier.layout import BOOK_DELTA, TRADE

SILENCE_S = 10.0
"""Without an event for this long there is none left: a busy machine starts sixteen processes in less."""

COUNTERS: Final = ("missing", "filled", "given_up", "kernel_drops", "requests", "held_overflow", "heartbeats")
"""What a consumer says of its losses."""


def main(port: str, symbol: str, count_text: str, progress: str, options: str) -> None:
    count = int(count_text)
    taken = np.zeros(1, np.uint64)
    if progress:
        with Path(progress).open("r+b") as file:
            taken = np.frombuffer(mmap.mmap(file.fileno(), 8), np.uint64)
    # A buffer smaller than asked is said in a warning, which goes into the record.
    complaints: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("outcrier").addHandler(handler)
    sub = Subscriber(
        symbols=[symbol],
        accept={"test"},
        interface=INTERFACE,
        group=GROUP,
        snapshot_group=SNAPSHOT_GROUP,
        port=int(port),
        timeout=SILENCE_S,
        **json.loads(options),
    )
    with sub:
        print("ready", flush=True)
        sub.wait_live(timeout=60.0)
        print("live", flush=True)
        view = sub.book(symbol)
        frames = batches = 0
        top: object = None
        start_ns = start_cpu_ns = end_ns = end_cpu_ns = 0
        try:
            for batch in sub.iter_batches():
                kinds = batch.events["kind"]
                new = int(np.count_nonzero((kinds == BOOK_DELTA) | (kinds == TRADE)))
                if not new:
                    continue
                frames += new
                taken[0] = frames
                top = view.best
                batches += 1
                end_ns, end_cpu_ns = time.monotonic_ns(), time.process_time_ns()
                if not start_ns:
                    # What the first batch holds was taken before there was a clock.
                    start_ns, start_cpu_ns, first = end_ns, end_cpu_ns, new
                if frames >= count:
                    break
        except NetworkError:
            pass  # Silence: what is missing was lost.
        bids, asks = view.mantissas(0)
        timed = max(1, frames - first) if start_ns else 1
        counters = sub.counters()
        answer = {
            "frames": frames,
            "batches": batches,
            "state": sub.state(symbol),
            "top": str(top),
            "book": blake2b(bids.tobytes() + asks.tobytes(), digest_size=16).hexdigest(),
            "wall_ns": (end_ns - start_ns) / timed,
            "cpu_ns": (end_cpu_ns - start_cpu_ns) / timed,
            "end_ns": end_ns,
            **{name: counters[name] for name in COUNTERS},
            "complaints": complaints,
        }
    print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
