"""Text lines for monitors: one ASCII line per datagram, written by feeders and read by whoever watches.

    EXCHANGE|name|type|counts|timestamp     BINANCE|spot|trade|184467,184467,0,0|1763690000123
    CONN|exchange|connected|disconnected|total  CONN|UPBIT|38|2|40
    ERROR|exchange|name|timestamp|text      ERROR|BINANCE|spot|1763690000123|conn=2 lost: closed 1006

The grammar is that of docs/wire-format.md, "Text lines". Nobody signs these lines: nothing may trade or
switch state on them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

LINE_BYTES_MAX: Final = 512
"""A line with its end; longer ones are no lines."""

KINDS: Final = ("trade", "book", "bbo", "ticker", "order", "candle", "deriv", "status", "all")
"""Types of a data line."""

COUNT_NAMES: Final = ("received", "published", "rejected", "gaps", "stale", "reconnects")
"""Counts of a data line in their order; the first is always there, readers ignore what comes behind."""

EXCHANGE_CHARACTERS_MAX: Final = 16
NAME_CHARACTERS_MAX: Final = 40
COUNTS_MAX: Final = 8

ERROR_CHARACTERS_MAX: Final = 200
"""Longest text of an error line."""

CONN: Final = "CONN"
"""Begins connection lines; no exchange may be called so."""

ERROR: Final = "ERROR"
"""Begins error lines; no exchange may be called so."""

DATA_LINE: Final = re.compile(
    r"([A-Z0-9_]{1,16})\|([A-Za-z0-9_.:/-]{1,40})\|(" + "|".join(KINDS) + r")"
    r"\|([0-9]{1,20}(?:,[0-9]{1,20}){0,7})\|([0-9]{13})",
    re.ASCII,
)
CONN_LINE: Final = re.compile(r"CONN\|([A-Z0-9_]{1,16})\|([0-9]+)\|([0-9]+)\|([0-9]+)", re.ASCII)
ERROR_LINE: Final = re.compile(
    r"ERROR\|([A-Z0-9_]{1,16})\|([A-Za-z0-9_.:/-]{1,40})\|([0-9]{13})\|([ -{}~]{1,200})", re.ASCII
)

_NOT_IN_EXCHANGE: Final = re.compile(r"[^A-Z0-9_]", re.ASCII)
_NOT_IN_NAME: Final = re.compile(r"[^A-Za-z0-9_.:/-]", re.ASCII)
_NOT_IN_TEXT: Final = re.compile(r"[^ -{}~]", re.ASCII)

_COUNT_MAX: Final = 10**20 - 1
_TIMESTAMP_MAX_MS: Final = 10**13 - 1
_TIMESTAMP_MIN_MS: Final = 10**12
"""13 digits: from September 2001 to November 2286."""


@dataclass(frozen=True, slots=True)
class DataLine:
    """What was counted of one kind of message of one product."""

    exchange: str
    name: str
    """The product; never a symbol."""
    kind: str
    """One of `KINDS`."""
    counts: tuple[int, ...]
    """Sums since the session's start, in the order of `COUNT_NAMES`."""
    timestamp_ms: int
    """Milliseconds since the epoch, UTC."""

    def encode(self) -> bytes:
        """The datagram. Names are cleaned, numbers cut to the digits that the grammar has."""
        counts = self.counts[:COUNTS_MAX] or (0,)
        return _line(
            clean_exchange(self.exchange),
            clean_name(self.name),
            self.kind if self.kind in KINDS else "all",
            ",".join(str(min(max(count, 0), _COUNT_MAX)) for count in counts),
            _timestamp(self.timestamp_ms),
        )


@dataclass(frozen=True, slots=True)
class ConnLine:
    """How many connections to an exchange stand."""

    exchange: str
    connected: int
    disconnected: int

    @property
    def total(self) -> int:
        """All that there should be."""
        return self.connected + self.disconnected

    def encode(self) -> bytes:
        """The datagram."""
        counts = (self.connected, self.disconnected, self.total)
        return _line(CONN, clean_exchange(self.exchange), *map(str, counts))


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """What went wrong last with one product of an exchange, and when."""

    exchange: str
    name: str
    """The product."""
    timestamp_ms: int
    """Milliseconds since the epoch, UTC."""
    text: str

    def encode(self) -> bytes:
        """The datagram. Names and text are cleaned and cut."""
        text = _NOT_IN_TEXT.sub("_", self.text)[:ERROR_CHARACTERS_MAX] or "_"
        exchange, name = clean_exchange(self.exchange), clean_name(self.name)
        return _line(ERROR, exchange, name, _timestamp(self.timestamp_ms), text)


def parse(datagram: bytes) -> DataLine | ConnLine | ErrorLine | None:
    """The line in a datagram; None for whatever is none, a frame of the wire too."""
    if not datagram.endswith(b"\n") or len(datagram) > LINE_BYTES_MAX:
        return None
    try:
        text = datagram[:-1].decode("ascii")
    except UnicodeDecodeError:
        return None
    if text.startswith(f"{CONN}|"):
        return _conn_line(text)
    if text.startswith(f"{ERROR}|"):
        found = ERROR_LINE.fullmatch(text)
        return ErrorLine(found[1], found[2], int(found[3]), found[4]) if found is not None else None
    found = DATA_LINE.fullmatch(text)
    if found is None:
        return None
    exchange, name, kind, counts, timestamp = found.groups()
    return DataLine(exchange, name, kind, tuple(map(int, counts.split(","))), int(timestamp))


def _conn_line(text: str) -> ConnLine | None:
    found = CONN_LINE.fullmatch(text)
    if found is None:
        return None
    connected, disconnected, total = (int(number) for number in found.groups()[1:])
    return ConnLine(found[1], connected, disconnected) if connected + disconnected == total else None


def clean_exchange(text: str) -> str:
    """An exchange's name as the lines may carry it: whatever could end a field or a line becomes `_`."""
    cleaned = _NOT_IN_EXCHANGE.sub("_", text.upper())[:EXCHANGE_CHARACTERS_MAX] or "_"
    return f"{cleaned}_" if cleaned in {CONN, ERROR} else cleaned


def clean_name(text: str) -> str:
    """A product's name as the lines may carry it."""
    return _NOT_IN_NAME.sub("_", text)[:NAME_CHARACTERS_MAX] or "_"


def _timestamp(milliseconds: int) -> str:
    return str(min(max(milliseconds, _TIMESTAMP_MIN_MS), _TIMESTAMP_MAX_MS))


def _line(*fields: str) -> bytes:
    return ("|".join(fields) + "\n").encode("ascii")
