"""MAC, key and manifest of the wire format a second time, written from docs/wire-format.md.

SipHash is written out; BLAKE2b is that of `hashlib`. Like `wire_reference` this must never import the core.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable

from wire_reference import AUTH, AUTH_BYTES, HEADER, MASK64, crc32c, decode

PERSON = b"outcrier-mac-1"
MANIFEST = b"outcrier-manifest-1"


def siphash_2_4(key: bytes, data: bytes) -> int:
    """SipHash-2-4 with a result of 64 bits (Aumasson and Bernstein, 2012)."""
    k0, k1 = (int.from_bytes(half, "little") for half in (key[:8], key[8:]))
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]
    whole = len(data) - len(data) % 8
    last = data[whole:] + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", data[:whole] + last):
        v[3] ^= word
        _rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xFF
    _rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _rounds(v: list[int], count: int) -> None:
    for _ in range(count):
        for a, b, rotated, swapped in (
            (0, 1, 13, True),
            (2, 3, 16, False),
            (0, 3, 21, False),
            (2, 1, 17, True),
        ):
            v[a] = (v[a] + v[b]) & MASK64
            v[b] = _left(v[b], rotated) ^ v[a]
            if swapped:
                v[a] = _left(v[a], 32)


def _left(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & MASK64


def derive(master: bytes, channel: int, session: int, key_id: int) -> bytes:
    """Key of a channel in a session, the same for both planes."""
    data = struct.pack("<BIB", channel & 0x7F, session, key_id)
    return hashlib.blake2b(data, digest_size=16, key=master, person=PERSON).digest()


def signed(frame: bytes, key: bytes) -> bytes:
    """A frame without AUTH, or one with AUTH and another trailer, as its sender would sign it."""
    end = HEADER.size + int.from_bytes(frame[6:8], "little")
    marked = bytearray(frame[:end])
    marked[4:6] = struct.pack("<H", int.from_bytes(frame[4:6], "little") | AUTH)
    marked[62:66] = struct.pack("<I", crc32c(bytes(marked[:62] + marked[66:])))
    return bytes(marked) + struct.pack("<Q", siphash_2_4(key, bytes(marked)))


def is_authentic(datagram: bytes, key: bytes) -> bool:
    """Whether the frame in a datagram carries the MAC of this key."""
    frame = decode(datagram)
    if not frame.header["flags"] & AUTH:
        return False
    trailer = int.from_bytes(frame.raw[-AUTH_BYTES:], "little")
    return siphash_2_4(key, frame.raw[:-AUTH_BYTES]) == trailer


def manifest(channel: int, session: int, first: int, frames: Iterable[bytes]) -> bytes:
    """What is signed for the frames from number `first` on."""
    digest = hashlib.blake2b(digest_size=32)
    next_seq = first
    for frame in frames:
        digest.update(frame)
        next_seq += 1
    return MANIFEST + struct.pack("<BIQQ", channel, session, first, next_seq) + digest.digest()
