"""Counts copies of each frame that is sent again, on the repair group or by unicast, as they leave a cable.

    python -m net.sniffer '{"device": "ca"}'

Says `listening`, and after a line on standard input `copies` (how many frames came how often) and `together`
(the most copies of one frame within `TOGETHER_NS`).
"""

from __future__ import annotations

import select
import socket
import struct
import sys
from collections import Counter, defaultdict
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
_TIMESTAMPNS: Final = 35
_STAMP: Final = struct.Struct("@qq")

TOGETHER_NS: Final = 2_000_000
"""Requests within this time share an answer (docs/wire-format.md, "Retransmit server"). Whoever asks later,
because a busy machine kept it from its sockets, asks anew and is answered anew.
"""


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


def most_together(times_ns: list[int]) -> int:
    """The most of ascending `times_ns` that lie within `TOGETHER_NS`."""
    most = first = 0
    for last, time_ns in enumerate(times_ns):
        while time_ns - times_ns[first] > TOGETHER_NS:
            first += 1
        most = max(most, last - first + 1)
    return most


def heard(cable: socket.socket) -> tuple[int, bytes]:
    """The kernel's stamp of a packet, and the packet."""
    packet, ancillary, *_ = cable.recvmsg(65_536, 128)
    for _, kind, data in ancillary:
        if kind == _TIMESTAMPNS:
            seconds, nanos = _STAMP.unpack(data)
            return seconds * 1_000_000_000 + nanos, packet
    raise OSError("the kernel gave no stamp")


def main() -> None:
    """Runs it."""
    options = msgspec.json.decode(sys.argv[1], type=Options)
    crypto = read_config(None).multicast.crypto
    wanted = {crypto.group_repair, crypto.interface}
    copies: defaultdict[Any, list[int]] = defaultdict(list)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP)) as cable:
        cable.setsockopt(socket.SOL_SOCKET, _RCVBUF_FORCE, 64 << 20)
        cable.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        cable.bind((options.device, _ETH_P_IP))
        say(listening=True)
        while True:
            ready, _, _ = select.select([cable, sys.stdin], [], [])
            if cable in ready:
                time_ns, packet = heard(cable)
                found = frame_of(packet)
                if found is not None and found[0] in wanted and (key := key_of(found[1])):
                    copies[key].append(time_ns)
            elif sys.stdin in ready:
                break
    together = max(map(most_together, copies.values()), default=0)
    say(copies=dict(Counter(map(len, copies.values()))), together=together, frames=len(copies))


if __name__ == "__main__":
    main()
