"""An exchange that pushes ready messages at a steady rate, a program: a library greets the client, then bytes
follow.

    PYTHONPATH=.:python:tests python -m benchmarks.load_exchange PORT RATE SECONDS

Plays COIN-M 2021 end to end (`sockets/tape.py`) to the first client that connects, from the line on its
standard input on, in slices of half a millisecond. Then writes the wall time of some messages, by symbol and
last id, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

from websockets.sync.server import ServerConnection, serve

from benchmarks.messages import FLOOR_SET, message_set
from benchmarks.sockets.tape import lap
from conftest import captures_folder
from outcrier.clock import wall_ns

SLICE_S: Final = 0.0005
SAMPLE: Final = 23
"""Every how manieth depth update is told."""


def framed(text: bytes) -> bytes:
    """An unmasked text frame (RFC 6455, 5.2)."""
    head = bytes([0x81, len(text)]) if len(text) < 126 else b"\x81\x7e" + len(text).to_bytes(2, "big")
    return head + text


def main(port: int, rate: float, seconds: float) -> None:
    messages = message_set(captures_folder(), FLOOR_SET)
    count = int(rate * seconds)
    frames: list[bytes] = []
    keys: list[tuple[str, int] | None] = []
    number = 0
    while len(frames) < count:
        for text in lap(messages, number):
            frames.append(framed(text))
            key = None
            if b'"depthUpdate"' in text[:80] and len(frames) % SAMPLE == 0:
                data = json.loads(text)["data"]
                key = data["s"], data["u"]
            keys.append(key)
        number += 1
    del frames[count:], keys[count:]
    sent: list[tuple[str, int, int]] = []
    stop: list[Any] = []

    def client(connection: ServerConnection) -> None:
        asked = json.loads(connection.recv())
        connection.send(json.dumps({"result": None, "id": asked["id"]}))
        print("subscribed", flush=True)
        sys.stdin.readline()
        at, start = 0, time.monotonic()
        while at < count:
            due = min(count, int((time.monotonic() - start) * rate) + 1)
            if due > at:
                now = wall_ns()
                connection.socket.sendall(b"".join(frames[at:due]))
                sent.extend((*key, now) for key in keys[at:due] if key is not None)
                at = due
            time.sleep(SLICE_S)
        took = time.monotonic() - start
        print(json.dumps({"count": count, "rate": count / took, "sent": sent}), flush=True)
        sys.stdin.readline()
        stop[0].shutdown()

    with serve(client, "127.0.0.1", port, compression=None) as server:
        stop.append(server)
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
