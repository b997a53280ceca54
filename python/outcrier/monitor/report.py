"""From running counts to what happened in an interval. Sans-I/O: times and counts are arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from outcrier.venue_numbers import venue_name

PLANES: Final = ("incremental", "snapshot")
"""Names of the planes by number."""

_SECOND_NS: Final = 1_000_000_000
_REFUSED: Final = "refused_"


class Address(msgspec.Struct, frozen=True):
    """Where is listened."""

    feed: str
    interface: str
    group: str
    snapshot_group: str
    port: int


class TypeReport(msgspec.Struct, frozen=True):
    """Frames of one message type in one plane of a channel."""

    type: str
    """Name as docs/wire-format.md writes it; UNKNOWN for a type of a later version."""
    number: int
    packets_per_s: float
    bytes_per_s: float
    packed_per_s: float
    """Messages inside PACKs, whose packets and bytes are those of the type PACK."""
    packets: int
    """Since the monitor started, as `bytes` and `packed`."""
    bytes: int
    packed: int
    last_ns: int
    """Receive stamp of the last one, nanoseconds since the epoch."""
    age_s: float
    """Seconds since then."""


class StreamReport(msgspec.Struct, frozen=True):
    """One plane of one channel. Rates are of the interval, everything else since the monitor started."""

    channel: int
    plane: str
    venue: str
    session: int
    sessions: int
    replay: bool
    test: bool
    ended: bool
    """The session said its end."""
    packets_per_s: float
    bytes_per_s: float
    packets: int
    bytes: int
    last_ns: int
    age_s: float
    gaps: int
    """Times numbers were found missing."""
    missing: int
    """Frames missing: not here, and not come later."""
    missing_now: int
    """Of those, found in this interval; below 0 where late frames came."""
    late: int
    duplicates: int
    too_old: int
    old_session: int
    types: tuple[TypeReport, ...]


class PlaneReport(msgspec.Struct, frozen=True):
    """What the socket of a plane took, whatever it was."""

    plane: str
    datagrams: int
    datagrams_per_s: float
    bytes: int
    """With padding."""
    bytes_per_s: float
    padding_bytes: int
    kernel_drops: int
    """Datagrams that the kernel dropped for this monitor: it was too slow or its buffer too small."""
    kernel_drops_now: int
    wrong_plane: int
    unknown_type: int
    refused: dict[str, int]
    """Datagrams that are no frame of ours, by cause; only those that happened."""


class Report(msgspec.Struct, frozen=True):
    """One interval."""

    time_ns: int
    interval_s: float
    address: Address
    rcvbuf_bytes: int
    """Receive buffer in effect, as the kernel accounts it."""
    truncated: int
    planes: tuple[PlaneReport, ...]
    channels: tuple[StreamReport, ...]
    """By channel, the incremental plane first."""

    @property
    def frames(self) -> int:
        """Frames heard since the start."""
        return sum(stream.packets for stream in self.channels)


class Reporter:
    """Remembers the counts of the interval before."""

    def __init__(self, address: Address, rcvbuf_bytes: int, mono_ns: int) -> None:
        self._address = address
        self._rcvbuf_bytes = rcvbuf_bytes
        self._mono_ns = mono_ns
        self._before: dict[object, int] = {}

    def take(
        self,
        planes: Sequence[Mapping[str, int]],
        streams: Sequence[Mapping[str, Any]],
        truncated: int,
        *,
        mono_ns: int,
        wall_ns: int,
    ) -> Report:
        """`planes` and `streams` as `_core.Monitor` counts them, up to now."""
        interval_s = max(mono_ns - self._mono_ns, 1) / _SECOND_NS
        self._mono_ns = mono_ns
        ordered = sorted(streams, key=lambda stream: (stream["channel"], stream["plane"]))
        return Report(
            wall_ns,
            interval_s,
            self._address,
            self._rcvbuf_bytes,
            truncated,
            tuple(self._plane(number, sums, interval_s) for number, sums in enumerate(planes)),
            tuple(self._stream(stream, interval_s, wall_ns) for stream in ordered),
        )

    def _since(self, key: object, count: int) -> int:
        before = self._before.get(key, 0)
        self._before[key] = count
        return count - before

    def _plane(self, number: int, sums: Mapping[str, int], interval_s: float) -> PlaneReport:
        return PlaneReport(
            PLANES[number],
            sums["datagrams"],
            self._since((number, "datagrams"), sums["datagrams"]) / interval_s,
            sums["bytes"],
            self._since((number, "bytes"), sums["bytes"]) / interval_s,
            sums["padding_bytes"],
            sums["kernel_drops"],
            self._since((number, "drops"), sums["kernel_drops"]),
            sums["wrong_plane"],
            sums["unknown_type"],
            {key.removeprefix(_REFUSED): n for key, n in sums.items() if n and key.startswith(_REFUSED)},
        )

    def _stream(self, stream: Mapping[str, Any], interval_s: float, wall_ns: int) -> StreamReport:
        key = stream["channel"], stream["plane"]
        types = tuple(
            TypeReport(
                name,
                number,
                self._since((*key, number, "frames"), frames) / interval_s,
                self._since((*key, number, "bytes"), n_bytes) / interval_s,
                self._since((*key, number, "packed"), packed) / interval_s,
                frames,
                n_bytes,
                packed,
                last_ns,
                _age_s(last_ns, wall_ns),
            )
            for number, name, frames, packed, n_bytes, last_ns in stream["types"]
        )
        return StreamReport(
            channel=stream["channel"],
            plane=PLANES[stream["plane"]],
            venue=venue_name(stream["venue"]),
            session=stream["session"],
            sessions=stream["sessions"],
            replay=stream["replay"],
            test=stream["test"],
            ended=stream["ended"],
            packets_per_s=self._since((*key, "frames"), stream["frames"]) / interval_s,
            bytes_per_s=self._since((*key, "bytes"), stream["bytes"]) / interval_s,
            packets=stream["frames"],
            bytes=stream["bytes"],
            last_ns=stream["last_ns"],
            age_s=_age_s(stream["last_ns"], wall_ns),
            gaps=stream["gaps"],
            missing=stream["missing"],
            missing_now=self._since((*key, "missing"), stream["missing"]),
            late=stream["late"],
            duplicates=stream["duplicates"],
            too_old=stream["too_old"],
            old_session=stream["old_session"],
            types=types,
        )


def _age_s(last_ns: int, wall_ns: int) -> float:
    """Never negative: the wall clock may have been set back."""
    return max(wall_ns - last_ns, 0) / _SECOND_NS
