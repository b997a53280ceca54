"""Names of instruments by their numbers on the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from outcrier.prices import Convert, bulk
from outcrier.venue_numbers import venue_name
from outcrier.views import Instrument, instrument_of, symbol_of

_REPLAY: Final = 1 << 7
_TEST: Final = 1 << 8


class Directory:
    """Names of instruments by their numbers on the wire, read again from the core when a definition came."""

    def __init__(
        self,
        fetch: Callable[[], list[dict[str, Any]]],
        channels: Callable[[], list[dict[str, Any]]],
        convert: Convert,
    ) -> None:
        """`fetch` and `channels` are those of the receiver: `instruments` and `channels`."""
        self._fetch = fetch
        self._channels = channels
        self._flags: dict[tuple[int, int], int] = {}
        self.convert = convert
        self.numbers = bulk(convert)
        self._rows: dict[tuple[int, int], dict[str, Any]] = {}
        self._symbols: dict[tuple[int, int], str] = {}
        self.known: dict[tuple[int, int], tuple[str, str]] = {}
        """What `names` found so far."""
        self._stale = True
        self.missed = False
        """A name was asked for that nobody knew."""

    def changed(self) -> None:
        """Definitions came: what is known may be old."""
        self._stale = True

    def _refresh(self) -> None:
        self._rows = {(row["venue"], row["instrument"]): row for row in self._fetch()}
        self._symbols = {key: symbol_of(row) for key, row in self._rows.items()}
        self.known.clear()
        self._stale = self.missed = False

    def names(self, venue: int, instrument: int) -> tuple[str, str]:
        """Symbol as `symbol` gives it, and the venue's name, empty for venue 0."""
        key = (venue, instrument)
        names = self.known.get(key)
        if names is None:
            names = self.symbol(venue, instrument), venue_name(venue) if venue else ""
            if key in self._symbols or not instrument:
                self.known[key] = names
        return names

    def symbol(self, venue: int, instrument: int) -> str:
        """`SYMBOL@venue`; `#number@venue` while the definition is not known, empty for instrument 0."""
        key = (venue, instrument)
        symbol = self._symbols.get(key)
        if symbol is None and instrument and self._stale:
            self._refresh()
            symbol = self._symbols.get(key)
        if symbol is None and instrument:
            self.missed = True
            return f"#{instrument}@{venue_name(venue)}"
        return symbol or ""

    def flags(self, channel: int, session: int) -> int:
        """REPLAY and TEST of a session of a channel, for what has no frame that tells."""
        key = (channel, session)
        if key not in self._flags:
            self._flags = {
                (row["channel"], row["session"]): _REPLAY * row["replay"] | _TEST * row["test"]
                for row in self._channels()
            }
        return self._flags.get(key, 0)

    def instrument(self, venue: int, instrument: int) -> Instrument | None:
        """The latest definition."""
        if self._stale:
            self._refresh()
        row = self._rows.get((venue, instrument))
        return instrument_of(row, self.convert) if row else None
