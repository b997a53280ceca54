"""What every declaration is held to on a recorded session: the core reads of each message what a plain
decoder says, and leaves to Python what that one leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from core_events import Decoder, Reader
from outcrier.instruments import to_core_kwargs
from outcrier.venues import Venue
from plain_events import LIQUIDATION, Bbo, Book, Event, Plain, Trade, hashed, lines, parse, received

Exps = dict[str, tuple[int, int]]
Captures = Callable[[str], Path]


def exponent(*printed: Decimal) -> int:
    """The coarsest exponent, at most 0, that holds all."""
    exponents = [number.normalize().as_tuple().exponent for number in printed]
    return min([0, *(each for each in exponents if isinstance(each, int))])


def listed_exps(venue: Venue) -> Callable[[Captures], Exps]:
    """Exponents of the definitions that the venue makes of its recorded instrument lists."""

    def read(capture: Captures) -> Exps:
        bodies = [body for name in venue.instrument_lists for body in lines(capture(name), "http")]
        instruments, _ = venue.parse_instruments(*dict.fromkeys(bodies))
        values = [to_core_kwargs(instrument, 1) for instrument in instruments]
        return {each["native_symbol"]: (each["price_exp"], each["qty_exp"]) for each in values}

    return read


@dataclass(frozen=True)
class Session:
    """A capture, the declarations for it, and what stands in it."""

    capture: str
    shapes: str
    plain: Callable[[], Plain]
    counts: dict[str, int]
    """Messages, those for Python, events by kind (trades one by one), and levels."""
    listed: Callable[[Captures], Exps] = lambda _capture: {}
    """Exponents by the instrument list; instruments that it does not name start at exponents 0."""
    sequence: Callable[[Any], int | None] = lambda _message: None
    """The number of a message on its connection."""


def printed(events: list[Event]) -> Iterator[tuple[str, list[Decimal], list[Decimal]]]:
    """Symbol, prices and quantities that an instrument's exponents must hold."""
    for event in events:
        match event:
            case Book():
                levels = [*event.bids, *event.asks]
                yield event.symbol, [price for price, _ in levels], [qty for _, qty in levels]
            case Trade() if not event.flags & LIQUIDATION:
                yield event.symbol, [event.price], [event.qty]
            case Bbo():
                sides = [side for side in (event.bid, event.ask) if side is not None]
                yield event.symbol, [side[0] for side in sides], [side[1] for side in sides]
            case _:
                pass


def wanted_of(session: Session, parsed: list[Any]) -> list[list[Event] | None]:
    """What the plain decoder says of each message."""
    decode = session.plain()
    return [None if (events := decode(message)) is None else hashed(events) for message in parsed]


def parse_all(frames: list[bytes]) -> list[Any]:
    """Messages; a text that is no JSON (a `pong`) as it is."""
    return [parse(frame) if frame[:1] in b"{[" else frame.decode() for frame in frames]


def check_contents(session: Session, capture: Captures) -> None:
    """Every message, every field."""
    frames = list(received(capture(session.capture)))
    parsed = parse_all(frames)
    wanted = wanted_of(session, parsed)
    exps = session.listed(capture)
    finest: dict[str, list[int]] = {}
    for symbol, prices, quantities in printed([event for events in wanted for event in events or ()]):
        mine = finest.setdefault(symbol, list(exps.get(symbol, (0, 0))))
        mine[:] = min(mine[0], exponent(*prices)), min(mine[1], exponent(*quantities))
    reader = Reader(session.shapes)
    for symbol in dict.fromkeys(event.symbol for events in wanted for event in events or ()):
        reader.add(symbol, exps.get(symbol, (0, 0)))
    counts: Counter[str] = Counter()
    sequence: list[int] = []
    for frame, message, want in zip(frames, parsed, wanted, strict=True):
        outcome = reader.read(frame)
        number = session.sequence(message)
        assert reader.decoder.connection_seq == number
        sequence += [] if number is None else [number]
        counts["messages"] += 1
        if want is None:
            assert outcome == Decoder.NOT_MINE, frame[:400]
            counts["for_python"] += 1
            reader.bind_all(message)
            continue
        assert outcome == Decoder.HANDLED, (frame[:400], reader.decoder.reason)
        assert reader.events() == want, frame[:400]
        for event in want:
            counts[type(event).__name__.lower()] += 1
            if isinstance(event, Book):
                counts["levels"] += len(event.bids) + len(event.asks)
    # The recording ends before its source does, but misses nothing.
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence))) if sequence else True
    assert {symbol: list(reader.decoder.scale(index)) for index, symbol in enumerate(reader.symbols)} == {
        symbol: finest.get(symbol, list(exps.get(symbol, (0, 0)))) for symbol in reader.symbols
    }
    assert counts == session.counts


def check_unknown(session: Session, capture: Captures) -> None:
    """Events of instruments that nobody asked for are left out, and nothing else."""
    frames = list(received(capture(session.capture)))
    parsed = parse_all(frames)
    wanted = wanted_of(session, parsed)
    symbols = list(dict.fromkeys(event.symbol for events in wanted for event in events or ()))
    reader = Reader(session.shapes)
    for symbol in symbols[::2] if len(symbols) > 1 else []:
        reader.add(symbol)
    for frame, message, want in zip(frames, parsed, wanted, strict=True):
        outcome = reader.read(frame)
        if want is None:
            assert outcome == Decoder.NOT_MINE
            reader.bind_all(message)
        elif kept := [event for event in want if event.symbol in reader.symbols]:
            assert outcome == Decoder.HANDLED
            assert reader.events() == kept
        elif want:
            assert outcome == Decoder.UNKNOWN_INSTRUMENT
            assert reader.events() == []


def compare(reader: Reader, frames: list[bytes], decode: Plain) -> int:
    """Reads single messages both ways; how many gave events."""
    handled = 0
    for frame in frames:
        message = parse(frame)
        want = decode(message)
        acknowledged = [message["symbol"]] if isinstance(message, dict) and "chanId" in message else []
        for symbol in [*acknowledged, *(event.symbol for event in want or ())]:
            if symbol not in reader.symbols:
                reader.add(symbol)
        outcome = reader.read(frame)
        if want is None:
            assert outcome == Decoder.NOT_MINE, frame
            reader.bind_all(message)
        else:
            assert outcome == Decoder.HANDLED, (frame, reader.decoder.reason)
            assert reader.events() == hashed(want)
            handled += 1
    return handled
