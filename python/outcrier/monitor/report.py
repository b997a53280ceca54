"""What `udp_monitor` shows of one interval, as data: the document of `--json`."""

from __future__ import annotations

from typing import Final

import msgspec

from outcrier.monitor.hops import HopReport
from outcrier.reception import Address

LINES: Final = ("A", "snapshot", "B", "repair", "retransmit", "image")
"""Names of the lines by the number that the core gives them; a monitor asks for nothing and hears four."""

TEXT: Final = "text"
"""Name of the group of the text lines."""

PLANES: Final = ("incremental", "snapshot")
"""Names of the planes by number."""

UNVERIFIABLE: Final = "UNVERIFIABLE"
"""Nothing that the exchange sends proves such a book whole."""

INSTRUMENTS_SHOWN: Final = 500
"""Instruments of one sample, the busiest first: more than anybody scrolls through; a filter finds others."""


class Wish(msgspec.Struct, frozen=True):
    """Which instruments are sampled."""

    channel: int | None = None
    text: str = ""
    """Part of the symbol, in any case."""
    limit: int = INSTRUMENTS_SHOWN


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


class LineReport(msgspec.Struct, frozen=True):
    """What one group brought of one plane of a channel."""

    group: str
    packets_per_s: float
    packets: int
    """Copies too."""
    bytes: int
    gaps: int
    """Times numbers were missing on this line alone. On the repair group that says nothing."""
    missing: int
    """Numbers that this line alone did not bring."""
    duplicates: int
    """Numbers that this line brought twice."""
    filled: int
    """Numbers that were missing and came by this group."""
    earlier: int
    """Numbers that came by this group before another one, by the kernel's stamps."""
    age_s: float


class StreamReport(msgspec.Struct, frozen=True):
    """One plane of one channel. Rates are of the interval, everything else since the monitor started.

    Copies by another line count once, as for a receiver.
    """

    channel: int
    plane: str
    venue: str
    venue_number: int
    session: int
    sessions: int
    replay: bool
    test: bool
    ended: bool
    """The session said its end."""
    split: bool
    """Two publishers speak in one session."""
    differing: int
    """Second copies whose bytes are not those of the first."""
    packets_per_s: float
    bytes_per_s: float
    packets: int
    bytes: int
    last_ns: int
    age_s: float
    seq: int
    """Highest number known to exist."""
    gaps: int
    """Times numbers were missing when a higher one was heard."""
    missing: int
    """Frames that no group brought, late or not."""
    missing_now: int
    """Of those, found in this interval; below 0 where late frames came."""
    late: int
    """Frames that came after a higher one, by whatever group."""
    duplicates: int
    too_old: int
    old_session: int
    lines: tuple[LineReport, ...]
    heartbeat: dict[str, int] | None
    """The newest one of this session."""
    types: tuple[TypeReport, ...]


class GroupReport(msgspec.Struct, frozen=True):
    """What the socket of a group took, whatever it was."""

    group: str
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
    """Datagrams that are no frame of ours, or no text line, by cause; only those that happened."""


class InstrumentReport(msgspec.Struct, frozen=True):
    """One instrument: messages of the incremental plane, alone or in PACKs."""

    channel: int
    venue: str
    instrument: int
    symbol: str
    """Canonical, with venue; the number where no definition was heard yet."""
    state: str
    """What the publisher says of it (`outcrier.views.STATUSES`)."""
    reason: str
    messages_per_s: float
    messages: int
    bytes: int
    books: int
    trades: int
    bbos: int
    suspect: int
    """Of the messages, those that the publisher finds unlikely (flag SUSPECT)."""
    book_proof: str
    """What proves its book whole: sequence, checksum, both, or UNVERIFIABLE: nothing does. Empty without a
    definition, or a book.
    """
    last_ns: int
    age_s: float
    instr_seq: int


class Change(msgspec.Struct, frozen=True):
    """The publisher said another state of an instrument."""

    at_ns: int
    venue: str
    instrument: int
    before: str
    state: str
    reason: str


class GapReport(msgspec.Struct, frozen=True):
    """Numbers that were missing when a higher one was heard."""

    channel: int
    plane: str
    session: int
    first: int
    count: int
    left: int
    """Those that no group brought."""
    filled: dict[str, int]
    """Those that came, by group."""
    opened_ns: int
    after_ns: int | None
    """When the last of those came, after the gap was seen; below 0 where another socket had it earlier."""


class Report(msgspec.Struct, frozen=True):
    """One interval."""

    time_ns: int
    interval_s: float
    address: Address
    rcvbuf_bytes: int
    """Receive buffer in effect, as the kernel accounts it."""
    truncated: int
    groups: tuple[GroupReport, ...]
    """Those that are listened to."""
    channels: tuple[StreamReport, ...]
    """By channel, the incremental plane first."""
    instruments: tuple[InstrumentReport, ...]
    """The busiest first."""
    instruments_known: int
    untracked: int
    """Messages of instruments beyond the limit of those that are counted one by one."""
    changes: tuple[Change, ...]
    """The last ones, the oldest first."""
    gaps: tuple[GapReport, ...]
    """The last ones, the oldest first."""
    hops: tuple[HopReport, ...]
    texts: tuple[tuple[int, str], ...]
    """Receive stamp and text of the last lines, the oldest first."""

    @property
    def frames(self) -> int:
        """Frames heard since the start."""
        return sum(stream.packets for stream in self.channels)
