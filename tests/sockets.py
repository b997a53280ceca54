"""What end-to-end tests share: addresses of their own, `outcrier` as a child process, and a witness on the
wire.

Everything stays on 127.0.0.1 with TTL 0. No two tests, and no two runs of them, share a group and port.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import wire_reference as wire
from outcrier import Subscriber
from outcrier.config import MulticastConfig
from workers import free_port

Sides = tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]
"""(bids, asks) of a book, best first."""

INTERFACE = "127.0.0.1"
PROGRAM = (sys.executable, "-W", "error", "-c", "from outcrier.cli import main; main()")

PATIENCE_S = 40.0
"""A busy machine is no failure; a child that says nothing for this long is."""

_SO_RCVBUFFORCE = 33
_IP_MULTICAST_ALL = 49


@dataclass(frozen=True)
class Net:
    """Groups and port of one test."""

    group: str
    snapshot_group: str
    port: int

    @classmethod
    def pick(cls) -> Net:
        """Groups out of 239.192.200.0 to 239.192.255.255, by chance: runs side by side do not meet."""
        chance = random.SystemRandom()
        base, last = f"239.192.{chance.randint(200, 255)}", chance.randint(1, 126) * 2
        return cls(f"{base}.{last}", f"{base}.{last + 1}", free_port())

    def multicast(self) -> MulticastConfig:
        """As a configuration."""
        return MulticastConfig(
            interface=INTERFACE, group_a=self.group, group_snapshot=self.snapshot_group, port=self.port
        )

    def options(self) -> list[str]:
        """As options of a verb."""
        return [
            *("--interface", INTERFACE, "--group", self.group),
            *("--snapshot-group", self.snapshot_group, "--port", str(self.port)),
        ]

    def environment(self) -> dict[str, str]:
        """As variables, for verbs that have no such options."""
        return {
            "OUTCRIER__MULTICAST__CRYPTO__INTERFACE": INTERFACE,
            "OUTCRIER__MULTICAST__CRYPTO__GROUP_A": self.group,
            "OUTCRIER__MULTICAST__CRYPTO__GROUP_SNAPSHOT": self.snapshot_group,
            "OUTCRIER__MULTICAST__CRYPTO__PORT": str(self.port),
        }

    def subscriber(self, **options: Any) -> Subscriber:
        """A consumer here that takes REPLAY and TEST."""
        given: dict[str, Any] = {"accept": {"replay", "test"}, "timeout": PATIENCE_S, **options}
        return Subscriber(
            "crypto",
            interface=INTERFACE,
            group=self.group,
            snapshot_group=self.snapshot_group,
            port=self.port,
            **given,
        )


class Child:
    """`outcrier VERB ...` as a child process, its output in files; killed when the block ends."""

    def __init__(self, folder: Path, *arguments: str | Path, **environment: str) -> None:
        """Runs below `folder`, which also holds its state; no configuration lies there."""
        self._number = len(list(folder.glob("*.out")))
        self._out, self._err = (folder / f"{self._number}-{arguments[0]}.{end}" for end in ("out", "err"))
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("OUTCRIER__", "LIMITED"))
        }
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [*PROGRAM, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**kept, "XDG_STATE_HOME": str(folder / "state"), "PYTHONUNBUFFERED": "1", **environment},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def out(self) -> str:
        """What it printed so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it complained about so far."""
        return self._err.read_text()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def end(self, seconds: float = PATIENCE_S) -> int:
        """Waits for the end; the exit code."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running:\n{self.out}{self.err}") from None

    def until_printed(self, text: str) -> None:
        """Waits until `text` was printed."""
        until(lambda: text in self.out or not self.running, f"{text!r} printed")
        assert text in self.out, f"ended with {self._process.returncode}:\n{self.out}{self.err}"


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
    """Waits for `condition`; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


def levels(sub: Subscriber, symbol: str) -> Sides:
    """A consumer's whole book, in decimals."""
    bids, asks = (
        [(Decimal(level.price), Decimal(level.qty)) for level in side] for side in sub.book(symbol).top(0)
    )
    return bids, asks


def stand_in(folder: Path, capture: Path, *options: str | Path) -> tuple[Child, Path]:
    """`outcrier venue`, ready to be connected to, and the configuration that it wrote."""
    config = folder / "stand_in.toml"
    child = Child(folder, "venue", capture, "--port", "0", "--config-out", config, *options)
    try:
        child.until_printed(" and http://")
    except BaseException:
        child.__exit__()
        raise
    return child, config


def cut(source: Path, folder: Path, most: int) -> Path:
    """The first lines of a capture as a capture of its own, of the same venue."""
    target = folder / source.parent.name / "cut.jsonl"
    target.parent.mkdir()
    with gzip.open(source, "rt", encoding="utf-8") as file, target.open("w", encoding="utf-8") as out:
        out.writelines(itertools.islice(file, most))
    return target


def diffs(path: Path) -> Iterator[Mapping[str, Any]]:
    """The depth updates of an unpacked capture, in order."""
    for line in path.read_text(encoding="utf-8").splitlines():
        message = json.loads(json.loads(line)["d"])
        if "@depth" in message.get("stream", ""):
            yield message["data"]


@dataclass
class Witness:
    """Plain sockets that keep every datagram of both planes in the order of arrival, read by a thread.

    Nothing of Outcrier is used, also not to decode: what it saw was on the wire.
    """

    net: Net
    datagrams: list[tuple[int, bytes]] = field(default_factory=list)
    """(plane: 0 incremental, 1 snapshot, bytes)."""

    def __post_init__(self) -> None:
        self._sockets = [joined(group, self.net.port) for group in (self.net.group, self.net.snapshot_group)]
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=each, name=f"witness-{each[0]}")
            for each in enumerate(self._sockets)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def _read(self, plane: int, source: socket.socket) -> None:
        while not self._end.is_set():
            try:
                self.datagrams.append((plane, source.recv(2_048)))
            except TimeoutError:
                continue

    def frames(self, plane: int = 0) -> list[wire.Frame]:
        """What came on a plane, decoded; a datagram that is no frame raises."""
        return [wire.decode(data) for data in self.of_plane(plane)]

    def of_plane(self, plane: int) -> list[bytes]:
        """What came on a plane, as it came."""
        return [data for number, data in list(self.datagrams) if number == plane]

    def ended(self) -> bool:
        """Whether a SESSION_END came."""
        number = wire.LAYOUTS["SESSION_END"].number
        return any(data[2] == number for plane, data in list(self.datagrams) if plane == 0)


def joined(group: str, port: int) -> socket.socket:
    """A plain socket that hears one group."""
    joined = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        joined.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
    except PermissionError:
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    joined.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
    joined.bind((group, port))
    member = struct.pack("4s4s", socket.inet_aton(group), socket.inet_aton(INTERFACE))
    joined.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    joined.settimeout(0.1)
    return joined
