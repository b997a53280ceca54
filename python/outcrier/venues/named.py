"""Venues whose messages tell channel and instrument but name no stream: the name is made of both,
`level2:BTC-USD`, and of the channel alone for one of the whole venue, `!status`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from outcrier.instruments import Instrument
from outcrier.venues import frames
from outcrier.venues.base import BAD_JSON, Fault, Venue, fault, read_instruments


class NamedStreams(Venue):
    """What such venues have in common, and the reading of a list of instruments."""

    list_path: ClassVar[tuple[str, ...]] = ()
    """Where the array of entries stands in an answer; empty = the answer is the array."""

    @abstractmethod
    def _instrument(self, entry: bytes) -> Instrument | None:
        """The instrument of an entry; None for one of another product. Raises one of BAD_JSON, with the
        reason, for an entry that cannot be used.
        """

    def parse_instruments(self, *bodies: bytes | str) -> tuple[list[Instrument], list[Fault]]:
        entries: list[bytes] = []
        faults: list[Fault] = []
        for body in bodies:
            try:
                entries += frames.raw_entries(body, *self.list_path)
            except BAD_JSON as error:
                faults.append(fault(f"instrument list: {error}", body))
        instruments, unusable = read_instruments(entries, self._instrument)
        return instruments, faults + unusable

    def with_entries(self, body: str | None, entries: Sequence[str]) -> str:
        listed = [] if body is None else frames.raw_entries(body, *self.list_path)
        whole: Any = [msgspec.Raw(entry) for entry in (*listed, *(entry.encode() for entry in entries))]
        for key in reversed(self.list_path):
            whole = {key: whole}
        return msgspec.json.encode(whole).decode()

    def streams(
        self, instrument: Instrument, channels: Sequence[str], speeds: Mapping[str, str]
    ) -> list[str]:
        del speeds
        wanted = [name for name in channels if not self.channels[name].whole_venue]
        return [f"{name}:{instrument.native_symbol}" for name in wanted]

    def native_symbol_of(self, stream: str) -> str | None:
        named = self.channel_of(stream)
        return None if named is None or stream.startswith("!") else stream.partition(":")[2]

    def channel_of(self, stream: str) -> tuple[str, str] | None:
        name, _, symbol = stream.removeprefix("!").partition(":")
        channel = self.channels.get(name)
        if channel is None or channel.whole_venue is not stream.startswith("!"):
            return None
        return (name, "") if bool(symbol) is not channel.whole_venue else None

    def stream_named(self, name: str, symbol: object) -> str | None:
        """The stream of a message, where that is a channel and `symbol` a text that is not empty."""
        known = name in self.channels and isinstance(symbol, str) and symbol
        return f"{name}:{symbol}" if known else None


def by_channel(streams: Iterable[str]) -> dict[str, list[str]]:
    """Symbols by channel, in the order of the streams; none for a channel of the whole venue."""
    found: dict[str, list[str]] = {}
    for stream in streams:
        name, _, symbol = stream.removeprefix("!").partition(":")
        found.setdefault(name, []).extend([symbol] if symbol else [])
    return found
