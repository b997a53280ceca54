"""ZeroMQ by pyzmq: PUB and SUB over TCP on loopback, each in a process of its own, no limit on what waits.

    python -m benchmarks.compare.zeromq publish PORT FRAMES COUNT BURST EVERY_NS
    python -m benchmarks.compare.zeromq consume PORT COUNT

The publisher sends ready messages of equal length in bursts. Its CPU time is that of all threads, from the
first send until a line comes on its standard input, which says that every consumer has all: its I/O thread
works on behind the sends. A consumer unpacks a number and two levels of each message (what a consumer of book
tops needs); the first CHECKED of them are kept for a checksum, the others are timed.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from pathlib import Path

import zmq

TOP = struct.Struct("<10xQ72xqqqq")
"""A number at byte 10, (price, quantity) of two levels from byte 90 on."""

READY = b"ready"
"""Sent until every consumer is there; no message is so short."""

SILENCE_MS = 10_000
"""Without a message for this long there is none left: a busy machine starts sixteen processes in less."""
CHECKED = 10_000
"""Messages whose content is kept and checked; those behind them are timed."""

_MODULUS = (1 << 61) - 1


def read_messages(path: Path) -> list[bytes]:
    """The frames of a file of `benchmarks.sockets.load` behind its opening, padded to the longest."""
    data = path.read_bytes()
    (opening,) = struct.unpack_from("<I", data)
    at = 4
    frames = []
    while at < len(data):
        (length,) = struct.unpack_from("<H", data, at)
        frames.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    longest = max(map(len, frames[opening:]))
    return [frame.ljust(longest, b"\0") for frame in frames[opening:]]


def checksum(tops: Iterable[tuple[int, ...]]) -> int:
    """Depends on every number read, and on their order."""
    total = 0
    for top in tops:
        total = (total * 31 + hash(top)) % _MODULUS
    return total


def publish(port: str, path: str, count_text: str, burst_text: str, every_text: str) -> dict[str, float]:
    count, burst, every_ns = int(count_text), int(burst_text), int(every_text)
    messages = read_messages(Path(path))
    context = zmq.Context()
    socket = context.socket(zmq.PUB)
    socket.set(zmq.SNDHWM, 0)
    socket.bind(f"tcp://127.0.0.1:{port}")
    print("ready", flush=True)
    poller = zmq.Poller()
    poller.register(sys.stdin, zmq.POLLIN)
    while not poller.poll(20):
        socket.send(READY)
    sys.stdin.readline()
    send = socket.send
    following = cycle(messages)
    start_ns, start_cpu_ns = time.monotonic_ns(), time.process_time_ns()
    due_ns = start_ns
    for sent in range(0, count, burst):
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / 1e9)
        due_ns += every_ns
        for message in islice(following, min(burst, count - sent)):
            send(message)
    end_ns = time.monotonic_ns()
    sys.stdin.readline()
    cpu_ns = time.process_time_ns() - start_cpu_ns
    socket.close(linger=0)
    context.term()
    return {"sent": count, "cpu_ns": cpu_ns, "wall_ns": end_ns - start_ns, "end_ns": end_ns}


def consume(port: str, count_text: str) -> dict[str, float]:
    count = int(count_text)
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.set(zmq.RCVHWM, 0)
    socket.connect(f"tcp://127.0.0.1:{port}")
    socket.subscribe(b"")
    recv, unpack = socket.recv, TOP.unpack_from
    while recv() != READY:
        pass
    socket.set(zmq.RCVTIMEO, SILENCE_MS)
    print("live", flush=True)
    tops = []
    message = READY
    while message == READY:
        message = recv()
    tops.append(unpack(message))
    frames = 1
    start_ns = end_ns = 0
    try:
        while frames < min(CHECKED, count):
            tops.append(unpack(recv()))
            frames += 1
        start_ns, start_cpu_ns, start_thread_ns = _now()
        while frames < count:
            unpack(recv())
            frames += 1
    except zmq.Again:
        pass  # Silence: what is missing was lost.
    end_ns, end_cpu_ns, end_thread_ns = _now()
    timed = max(1, frames - len(tops))
    socket.close(linger=0)
    context.term()
    return {
        "frames": frames,
        "checksum": checksum(tops),
        "end_ns": end_ns,
        "wall_ns": (end_ns - start_ns) / timed,
        "cpu_ns": (end_cpu_ns - start_cpu_ns) / timed,
        "receiving_thread_cpu_ns": (end_thread_ns - start_thread_ns) / timed,
    }


def _now() -> tuple[int, int, int]:
    return time.monotonic_ns(), time.process_time_ns(), time.thread_time_ns()


def main(what: str, arguments: Sequence[str]) -> None:
    print(json.dumps(publish(*arguments) if what == "publish" else consume(*arguments)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
