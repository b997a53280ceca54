"""One run of one sender and some consumers, each a process, ours or ZeroMQ's; the answers of all of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from benchmarks.sockets.load import (
    BATCH,
    LINE_B_GROUP,
    REPAIR_GROUP,
    Frames,
    Load,
    Parts,
    free_port,
    pinned,
)
from outcrier.config import SubscriberConfig

SENDER_CORE, CONSUMER_CORE = 0, 1
APART: Final = (SENDER_CORE, CONSUMER_CORE)
"""What the sender does and what consumers do show apart."""
ANYWHERE: Final = (None, None)
"""Where the system wants them: one core would be too few for the consumers."""
Cores = tuple[int | None, int | None]
"""Of the sender and of the consumers."""
PROGRESS_BYTES: Final = 8
BATCH_CHARGE_BYTES: Final = 64 * 1024
"""More than the kernel charges a receive buffer for a batch of 24,704 bytes."""
WINDOW_MAX: Final = 64 * BATCH
"""More would not make the batches that Python takes cheaper."""
_SO_RCVBUFFORCE: Final = 33


LINE_A: Final = Parts()
"""A publisher of ready messages and nothing else."""


@dataclass(frozen=True)
class Flow:
    """What is sent and how."""

    count: int
    burst: int
    """Messages sent at once."""
    every_ns: int = 0
    """Between the beginnings of two bursts; 0 = one after the other."""
    window: int = 0
    """The sender waits while a consumer is this many messages behind; 0 = it never waits."""


@dataclass(frozen=True)
class Outcome:
    """What the sender and the consumers said."""

    sender: dict[str, Any]
    consumers: Sequence[dict[str, Any]]

    @property
    def sender_cpu_ns(self) -> float:
        """Of a message."""
        return float(self.sender["cpu_ns"]) / int(self.sender["sent"])

    def lost(self) -> int:
        """Messages missing at the consumer that lost most."""
        return max(int(self.sender["sent"]) - int(each["frames"]) for each in self.consumers)

    def behind_ms(self) -> float:
        """From the end of the last send until the slowest consumer had its last message."""
        last_ns = max(int(each["end_ns"]) for each in self.consumers)
        return (last_ns - int(self.sender["end_ns"])) / 1e6

    def sent_per_s(self) -> int:
        """What the sender made of the pace."""
        return round(1e9 * int(self.sender["sent"]) / int(self.sender["wall_ns"]))


@dataclass(frozen=True)
class Wire:
    """Frames from a capture, in memory and in the file that the programs read."""

    frames: Frames
    path: Path
    program: Path

    def ours(
        self,
        flow: Flow,
        consumers: int = 1,
        *,
        parts: Parts = LINE_A,
        repair: bool = True,
        cores: Cores = APART,
    ) -> Outcome:
        """Our publisher and consumers. Those that lost nothing have the right book: that is checked.

        With `repair` consumers ask for what they lost, where the publisher has a server.
        """
        port = free_port()
        with ExitStack() as stack:
            progress = self.path.with_suffix(".progress") if flow.window else None
            if progress is not None:
                progress.write_bytes(bytes(PROGRESS_BYTES))
            options = {
                "repair": repair,
                "group_b": LINE_B_GROUP if parts.line_b else "",
                "repair_group": REPAIR_GROUP if parts.kept else "",
            }
            words = [str(port), self.frames.symbol, str(flow.count), str(progress or ""), json.dumps(options)]
            listening = [
                stack.enter_context(Program("benchmarks.sockets.consume", words, cores[1]))
                for _ in range(consumers)
            ]
            expect(listening, "ready")
            load = stack.enter_context(
                Load(
                    self.program,
                    self.path,
                    port=port,
                    count=flow.count,
                    burst=flow.burst,
                    every_ns=flow.every_ns,
                    parts=parts,
                    progress=(progress, flow.window) if progress else None,
                    core=cores[0],
                )
            )
            expect(listening, "live")
            sent = load.run()
            answers = [each.answer() for each in listening]
            outcome = Outcome(sent | load.end(), answers)
        book = blake2b(digest_size=16)
        for side in self.frames.book(flow.count):
            book.update(np.array(side, np.int64).tobytes())
        assert outcome.sender["refused"] == 0
        for consumer in outcome.consumers:
            if consumer["frames"] == flow.count:
                assert (consumer["book"], consumer["state"]) == (book.hexdigest(), "LIVE")
            else:
                assert consumer["state"] != "LIVE", "frames are missing and nobody says so"
        return outcome

    def zeromq(self, flow: Flow, consumers: int = 1, *, cores: Cores = APART) -> Outcome:
        """ZeroMQ's. What the consumers took is checked."""
        pytest.importorskip("zmq", reason="pyzmq is not installed")
        from benchmarks.compare import zeromq  # noqa: PLC0415 - an extra

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        module = "benchmarks.compare.zeromq"
        with ExitStack() as stack:
            words = ["publish", port, str(self.path), *map(str, (flow.count, flow.burst, flow.every_ns))]
            sender = stack.enter_context(Program(module, words, cores[0]))
            expect([sender], "ready")
            taking = [
                stack.enter_context(Program(module, ["consume", port, str(flow.count)], cores[1]))
                for _ in range(consumers)
            ]
            expect(taking, "live")
            sender.tell()
            answers = [each.answer() for each in taking]
            sender.tell()
            outcome = Outcome(sender.answer(), answers)
        kept = islice(cycle(self.frames.messages()), min(flow.count, zeromq.CHECKED))
        right = zeromq.checksum(zeromq.TOP.unpack_from(message) for message in kept)
        assert all(each["checksum"] == right for each in answers)
        return outcome


def window() -> int:
    """How many messages a consumer's receive buffer holds for certain, at most WINDOW_MAX."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, SubscriberConfig().rcvbuf_bytes)
        except PermissionError:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SubscriberConfig().rcvbuf_bytes)
        effective = probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return max(BATCH, min(WINDOW_MAX, effective // BATCH_CHARGE_BYTES * BATCH))


class Program:
    """A module of the benchmarks that runs as a process, on one core if told. Use as a context manager."""

    def __init__(self, module: str, arguments: Sequence[str], core: int | None) -> None:
        root = Path(__file__).resolve().parent.parent.parent
        paths = [str(root / "python"), str(root / "tests")]
        self._process = subprocess.Popen(
            [*pinned(core), sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """The next line that it prints; empty if it ended."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def tell(self) -> None:
        """Sends an empty line."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Its last word."""
        answer: dict[str, Any] = json.loads(self.line())
        return answer


def expect(programs: Sequence[Program], word: str) -> None:
    """Waits until each of them has said `word`."""
    for program in programs:
        assert program.line() == word
