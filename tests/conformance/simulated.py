"""Of the simulated venue nothing is recorded: its own server's messages, of a seed, stand for a recording."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from outcrier.capture.format import encode_line
from outcrier.capture.simulation import SimulatedExchange
from outcrier.venues.exchange_side import Client
from outcrier.venues.sim_exchange import INSTRUMENTS, PATH

NAME = "sim/simulated"
SECONDS = 60
BEGIN_NS = 1_700_000_000_000_000_000
DELAY_NS = 1_000_000
"""From the exchange's time of a message to its arrival."""


@cache
def path() -> Path:
    """The file, in a folder that goes away with this process; the list of instruments lies beside it."""
    folder = Path(tempfile.mkdtemp(prefix="outcrier-sim-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / f"{NAME}.jsonl"
    file.parent.mkdir()
    exchange = SimulatedExchange(seed=1, instruments=2, clock=lambda: BEGIN_NS)
    client = Client(PATH)
    with file.open("wb") as out:
        for symbol in exchange.symbols:
            for channel in exchange.venue.channels:
                for text in exchange.begin(client, f"{channel}:{symbol}"):
                    out.write(encode_line(BEGIN_NS + DELAY_NS, "recv", f"wss://sim{PATH}", text.encode()))
        while (event := exchange.advance(SECONDS * 1_000_000_000)) is not None:
            for channel, stream in exchange.streams(event):
                if channel in exchange.venue.channels:
                    text = exchange.emission(event, channel, stream).text
                    time_ns = BEGIN_NS + event[2] + DELAY_NS
                    out.write(encode_line(time_ns, "recv", f"wss://sim{PATH}", text.encode()))
    body = exchange.instruments[INSTRUMENTS].encode()
    listed = file.with_name("sim_instruments.jsonl")
    listed.write_bytes(encode_line(BEGIN_NS, "http", f"https://sim{INSTRUMENTS}", body))
    return file
