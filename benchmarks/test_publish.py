"""Publishing batches of 64: what the publisher's process spends on a message of 386 bytes, beside ZeroMQ PUB.

Only the way out is measured: both send messages that are ready. Ours go through `outcrier_net::UdpPublisher`, the
publisher of the feeder. The kernel's work for every consumer on this host is done in the sender's call and counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

import pytest

from benchmarks.compare import zeromq
from benchmarks.frame import OURS, AtMost, Measure, Row
from benchmarks.sockets.group import Bench

COUNT = 51_200
BURST = 512
"""Messages sent at once: 8 batches, which fit the least receive buffer a kernel gives."""

_HOW = (
    "CPU of the publisher's process, user and system, all threads, in bursts of 512 ready messages of 386 B; consumers on"
    " another core. Ours: `UdpPublisher`, 64 frames to a segmented send. ZeroMQ: pyzmq, TCP, no high-water mark."
)
