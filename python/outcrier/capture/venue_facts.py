"""What a venue is, for people: all follows from its declaration and from the captures that there are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from outcrier.capture.contents import scan
from outcrier.shapes import (
    Aggressor,
    AggressorFlag,
    Chain,
    ConnectionPlusOne,
    LiquidationShape,
    NoSequence,
    Place,
    PlusOne,
    Range,
    Shape,
    TradeShape,
    Where,
    book_proof,
)
from outcrier.venue_numbers import TABLE
from outcrier.venues.base import Keepalive, Limits, Venue

WHOLE: Final = "each book is whole"
NO_RULE: Final = "none"

_CHECKSUMS: Final = {"okx": "CRC32 of 25 levels where it is not 0", "kraken": "CRC32 of 10 levels"}
"""By `Checksum.algorithm`."""

_DATE: Final = re.compile(r"\d{4}-\d{2}(-\d{2})?")


class ChannelFacts(msgspec.Struct, frozen=True):
    """A channel that may be subscribed, and on what it was tried."""

    name: str
    is_default: bool
    recorded: int
    """Messages in the captures."""
    samples: int
    """Messages of the documentation."""
    needs_account: bool
    """It is offered only with an account's key (`key_file`)."""


class VenueFacts(msgspec.Struct, frozen=True):
    """One venue."""

    venue: str
    exchange: str
    product: str
    simulation: bool
    """It is no exchange: its orders are drawn."""
    old_dialect: str
    """Why an old protocol is kept; empty = the protocol of today."""
    documentation: str
    """Edition that the declaration follows."""
    rule: str
    """How an update of a book follows another: continuity by number."""
    checksum: str
    """Empty = the venue sends none."""
    book_proof: int
    """Bits as of INSTRUMENT_DEF; 0 = nothing proves its books."""
    book_from: str
    """Where a whole book comes from: `REST` or `stream`."""
    aggressor: str
    """What its trades name."""
    limits: Limits
    keepalive: Keepalive
    captures: tuple[str, ...]
    """Those found, by folder and name."""
    captured: tuple[str, ...]
    """Their dates."""
    channels: tuple[ChannelFacts, ...]

    def recorded(self) -> list[str]:
        """Channels that occur in the captures."""
        return [each.name for each in self.channels if each.recorded]

    def sampled(self) -> list[str]:
        """Channels of which there is a documented message and no recorded one."""
        return [each.name for each in self.channels if each.samples and not each.recorded]

    def closed(self) -> list[str]:
        """Channels that need an account."""
        return [each.name for each in self.channels if each.needs_account]

    def documented(self) -> list[str]:
        """Channels declared after the documentation's text, and tried on nothing else."""
        return [each.name for each in self.channels if not each.samples and not each.recorded]


def facts_of(venue: Venue, folder: Path | None) -> VenueFacts:
    """`folder` holds `captures/` and `samples/`; None = there is none. Raises CaptureError for a damaged
    capture.
    """
    _, exchange, product = TABLE[venue.name]
    paths = [] if folder is None else _found(folder / "captures", venue.captures, ".jsonl.gz")
    recorded = _channels(venue, scan(venue, paths).streams if paths else {})
    dates = (_DATE.search(path.name) for path in paths)
    return VenueFacts(
        venue=venue.name,
        exchange=exchange,
        product=product,
        simulation=venue.simulation,
        old_dialect=venue.old_dialect,
        documentation=venue.documentation,
        rule=_rule(venue),
        checksum=", ".join(
            sorted({_CHECKSUMS[each.checksum.algorithm] for each in _books(venue) if each.checksum})
        ),
        book_proof=book_proof(venue.shapes),
        book_from="REST" if any(isinstance(each, Shape) and each.rest for each in venue.shapes) else "stream",
        aggressor=_aggressor(venue),
        limits=venue.limits,
        keepalive=venue.keepalive,
        captures=tuple(f"{path.parent.name}/{path.name.partition('.')[0]}" for path in paths),
        captured=tuple(sorted({date[0] for date in dates if date})),
        channels=tuple(
            ChannelFacts(
                name,
                name in venue.default_channels,
                recorded[name],
                _samples(venue, name, folder),
                channel.needs_account,
            )
            for name, channel in venue.channels.items()
        ),
    )


def _found(folder: Path, patterns: Iterable[str], ending: str) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(f"{pattern}{ending}")})


def _samples(venue: Venue, channel: str, folder: Path | None) -> int:
    return 0 if folder is None else len(_found(folder / "samples", venue.samples.get(channel, ()), ""))


def _channels(venue: Venue, streams: dict[str, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for stream, count in streams.items():
        channel = venue.channel_of(stream)
        if channel is not None:
            found[channel[0]] += count
    return found


# Books.


def _books(venue: Venue) -> list[Shape]:
    return [each for each in venue.shapes if isinstance(each, Shape) and not each.rest]


def _rule(venue: Venue) -> str:
    """The rules of its books; where they differ, each with the names of the messages."""
    rules: dict[str, list[str]] = {}
    books = _books(venue)
    whole = all(each.snapshot is True for each in books if isinstance(each.sequence, NoSequence))
    for book in books:
        rules.setdefault(_rule_of(venue, book, WHOLE if whole else NO_RULE), []).append(book.name)
    if len(rules) == 1:
        return next(iter(rules))
    return "; ".join(f"{', '.join(names)}: {rule}" for rule, names in rules.items())


def _rule_of(venue: Venue, book: Shape, unnumbered: str) -> str:
    match book.sequence:
        case Range(first=first, last=last):
            return f"{_key(first)} = {_key(last)} before + 1"
        case Chain(last=last, prev=prev):
            return f"{_key(prev)} = {_key(last)} before"
        case PlusOne(at=at):
            return f"{_key(at)} = {_key(at)} before + 1"
        case ConnectionPlusOne():
            at = "" if venue.connection_sequence is None else _key(venue.connection_sequence)
            return f"{at} of every message = the one before + 1"
        case _:
            return unnumbered


def _key(where: Where) -> str:
    path = where.path if isinstance(where, Place) else where
    return str(path[-1] if isinstance(path, tuple) else path)


# Trades.


def _aggressor(venue: Venue) -> str:
    told: dict[str, dict[str, None]] = {}
    for shape in venue.shapes:
        if isinstance(shape, TradeShape) and not isinstance(shape, LiquidationShape):
            kind, key = _aggressor_of(shape)
            told.setdefault(kind, {})[key] = None
    return ", ".join(f"{kind} ({' or '.join(keys)})" for kind, keys in told.items())


def _aggressor_of(shape: TradeShape) -> tuple[str, str]:
    match shape.aggressor:
        case Aggressor(at=at, maker=maker):
            return ("side of the maker, turned round" if maker else "side of the taker"), _key(at)
        case AggressorFlag(at=at, test=test, then=then):
            return f"the taker {'sold' if then == 'sell' else 'bought'} where {str(test).lower()}", _key(at)
        case "sign":
            return "sign", "quantity"
        case _:
            return "not told", "-"
