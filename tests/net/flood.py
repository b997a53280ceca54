"""Garbage on the groups of a feed, as fast as it goes.

    python -m net.flood '{"seconds": 3, "seed": 7}'

Random bytes of every length, half of them beginning as frames do, and frames of the codec with one bit wrong.
"""

from __future__ import annotations

import random
import socket
import sys
import time
from typing import Final

import msgspec

from net.publisher import say
from outcrier.config import load as read_config

KINDS: Final = 2_000
"""Different datagrams, sent again and again."""

_SYNC: Final = bytes([0xFB, 0x01])
_BBO: Final = bytes.fromhex(
    "fb0113000100280000012a00000000000000814a5d050700fef8e90300001100000015cd5b0700000000c0743defb5e27918609a63"
    "efb5e279183a070000c97a26efd95e63000000000080d1f00800000000da5e630000000000c0687804000000000300000002000000"
)
"""The BBO of docs/wire-format.md, "Test vectors"."""


class Options(msgspec.Struct, frozen=True):
    """What is asked of it."""

    seconds: float
    seed: int


def datagram(chance: random.Random) -> bytes:
    """One piece of garbage."""
    kind = chance.randrange(4)
    if kind == 0:
        frame = bytearray(_BBO)
        bit = chance.randrange(len(frame) * 8)
        frame[bit // 8] ^= 1 << bit % 8
        return bytes(frame)
    body = chance.randbytes(chance.randint(1, 1_400))
    return _SYNC + body[2:] if kind == 1 else body


def main() -> None:
    """Runs it."""
    options = msgspec.json.decode(sys.argv[1], type=Options)
    crypto = read_config(None).multicast.crypto
    chance = random.Random(options.seed)  # noqa: S311  # garbage, and the same again
    garbage = [datagram(chance) for _ in range(KINDS)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, crypto.ttl)
        out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(crypto.interface))
        targets = [(group, crypto.port) for group in (crypto.group_a, crypto.group_snapshot)]
        start = time.monotonic()
        sent = 0
        while (seconds := time.monotonic() - start) < options.seconds:
            for each in garbage:
                out.sendto(each, targets[sent % 2])
                sent += 1
    say(flooded=True, datagrams=sent, seconds=seconds)


if __name__ == "__main__":
    main()
