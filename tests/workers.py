"""Tests in several processes, the workers of `pytest -n 2`: which of them stay together, which begin, and
which ports are whose.

A file, or a folder of TOGETHER, is run by one worker, test after test: what its tests share is built once, a
table that all of them fill is in one process, and a machine has one test network at a time.
"""

from __future__ import annotations

import os
import random
import socket
from typing import Final

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

TOGETHER: Final = ("tests/conformance/", "tests/net/")

FIRST: Final = (
    "tests/net/",
    "tests/conformance/",
    "tests/test_feeder_limits.py",
    "tests/test_bench_l3.py",
    "tests/test_end_to_end_programs.py",
    "tests/test_feeder_second_link.py",
    "tests/test_feed_proof.py",
    "tests/test_service.py",
    "tests/test_end_to_end_ctl.py",
    "tests/test_cli.py",
    "tests/test_feeder_rotation.py",
    "tests/test_feeder_resync.py",
    "tests/test_websocket_monitor.py",
    "tests/soak/test_soak.py",
)
"""What takes longest begins, so that no worker is left alone with it at the end. Those that compute and those
that wait take turns.
"""

PORTS: Final = range(10_000, 32_768)
"""Below those that Linux gives to whoever asks for any: nobody gets one by chance before it is used."""

_WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS: Final = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def unit_of(nodeid: str) -> str:
    """The file of a test, or the folder of TOGETHER that it lies in."""
    path = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if path.startswith(folder)), path)


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """A worker that is about to run out gets the next file: those of FIRST, then the ones of most tests."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if first := next((unit for unit in FIRST if unit in self.workqueue), None):
            self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)


def ports_of(worker: int, workers: int) -> range:
    """Those that one worker chooses from, and no other of the same run."""
    return PORTS[worker % workers :: workers]


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port of 127.0.0.1 that nobody uses now, out of those of this worker. By chance: other runs on this
    machine choose too.
    """
    chance, mine = random.SystemRandom(), ports_of(_WORKER, _WORKERS)
    while True:
        number = chance.choice(mine)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                continue
            return number
