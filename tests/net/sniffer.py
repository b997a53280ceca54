"""Counts copies of each frame that is sent again, on the repair group or by unicast, as they leave a cable.

    python -m net.sniffer '{"device": "ca"}'

Says `listening`, and after a line on standard input `copies`: how many frames came how often.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
from collections import Counter
from typing import Any, Final

import msgspec

from net.publisher import say
from outcrier.config import load as read_config

_ETH_P_IP: Final = 0x0800
_IP: Final = struct.Struct("!BBHHHBBH4s4s")
_ETHERNET_BYTES, _UDP_BYTES, _UDP = 14, 8, 17
_HEADER: Final = struct.Struct("<BBBBHHBBQI")
_MAGIC: Final = 0xFB
_NUMBERED_MAX: Final = 0x3F
_RCVBUF_FORCE: Final = 33


class Options(msgspec.Struct, frozen=True):
    """What is asked of it."""

    device: str


def frame_of(packet: bytes) -> tuple[str, bytes] | None:
    """Destination and payload of a UDP packet."""
    if len(packet) < _ETHERNET_BYTES + _IP.size:
        return None
    first, *_, protocol, _, _, to = _IP.unpack_from(packet, _ETHERNET_BYTES)
    if protocol != _UDP:
        return None
    start = _ETHERNET_BYTES + (first & 0x0F) * 4 + _UDP_BYTES
    return socket.inet_ntoa(to), packet[start:]


def key_of(frame: bytes) -> tuple[int, int, int] | None:
    """Channel, session and number of a numbered frame."""
    if len(frame) < _HEADER.size:
        return None
    magic, _, kind, *_, channel, number, session = _HEADER.unpack_from(frame)
    return (channel, session, number) if magic == _MAGIC and kind <= _NUMBERED_MAX else None


def main() -> None:
    """Runs it."""
    options = msgspec.json.decode(sys.argv[1], type=Options)
    crypto = read_config(None).multicast.crypto
    wanted = {crypto.group_repair, crypto.interface}
    copies: Counter[Any] = Counter()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP)) as cable:
        cable.setsockopt(socket.SOL_SOCKET, _RCVBUF_FORCE, 64 << 20)
        cable.bind((options.device, _ETH_P_IP))
        say(listening=True)
        while True:
            ready, _, _ = select.select([cable, sys.stdin], [], [])
            if cable in ready:
                found = frame_of(cable.recv(65_536))
                if found is not None and found[0] in wanted and (key := key_of(found[1])):
                    copies[key] += 1
            elif sys.stdin in ready:
                break
    say(copies=dict(Counter(copies.values())), frames=len(copies))


if __name__ == "__main__":
    main()
