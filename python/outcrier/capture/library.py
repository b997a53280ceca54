"""Finding captures and what belongs to them: the folder, the manifest, the venue, the instruments, the
streams.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from heapq import merge
from pathlib import Path
from typing import Final

import msgspec

from outcrier.capture.format import CaptureLine, read_capture
from outcrier.errors import CaptureError, ConfigurationError
from outcrier.instruments import Catalogue, Instrument
from outcrier.venues import VENUES, Venue, venue_by_name

ENVIRONMENT_KEY: Final = "OUTCRIER_DATA"
"""Names the folder that holds `captures/` and MANIFEST.json."""

_MANIFEST: Final = "MANIFEST.json"
_INSTRUMENTS: Final = "*_instruments*"

DEMO_RATE_MIN: Final = 10.0
"""Messages a second below which a capture makes no moving picture."""

DEMO_SECONDS_MIN: Final = 10.0
"""Captures shorter than this start anew too often to watch."""

DEMO_VENUES_MAX: Final = 3
"""Venues that the demo plays at once: one screen."""

_NS: Final = 1_000_000_000


class _Entry(msgspec.Struct):
    """One line of the manifest; the rest of it is for people."""

    path: str
    exchange: str
    messages: int = 0
    first_t: int | None = None
    last_t: int | None = None


class CaptureGroup(msgspec.Struct, frozen=True):
    """Captures of one venue that make one session."""

    venue: str
    paths: tuple[Path, ...]


class Scan(msgspec.Struct, frozen=True):
    """What a set of captures of one venue holds."""

    lines: int
    first_ns: int | None
    """Receive time of the first line that has one."""
    streams: dict[str, int]
    """Messages by name of stream, in the order of appearance."""
    symbols: tuple[str, ...]
    """Native symbols that a stream or a REST book is about, in the order of appearance."""
    books: tuple[str, ...]
    """Native symbols with a recorded REST book."""
    only: tuple[str | None, ...]
    """For each file its native symbol if it is about a single one: that of REST books which name none."""

    def book_symbol(self, venue: Venue, line: CaptureLine) -> str | None:
        """Native symbol of a REST book: from its URL, its body, or its file's only instrument."""
        return venue.snapshot_symbol(line.url, line.text or "") or self.only[line.source]


def data_folder(environ: Mapping[str, str] | None = None) -> Path | None:
    """The folder of recorded messages: $OUTCRIER_DATA, else `shared/data` beside the repository or the
    working folder.

    None where there is none. Raises ConfigurationError if the variable names something that is no folder.
    """
    named = (os.environ if environ is None else environ).get(ENVIRONMENT_KEY, "")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            raise ConfigurationError(
                f"{ENVIRONMENT_KEY}={named} is not a folder; name one that holds captures/VENUE/*.jsonl.gz"
                f" and their {_MANIFEST}"
            )
        return folder
    repository = Path(__file__).resolve().parents[3]
    for base in (repository, Path.cwd()):
        folder = base.parent / "shared" / "data"
        if folder.is_dir():
            return folder
    return None


def venue_of(paths: Sequence[Path], named: str | None = None) -> Venue:
    """The venue that captures belong to: `named`, else by the manifest, else by the name of their folder.

    Raises ConfigurationError if that is no venue or not the same for all, CaptureError if a file is missing.
    """
    for path in paths:
        if not path.is_file():
            raise CaptureError(f"{path}: no such capture")
    if named is not None:
        return venue_by_name(named)
    found = {_venue_name(path) for path in paths}
    if len(found) != 1:
        raise ConfigurationError(f"captures of several venues: {', '.join(sorted(found))}; give those of one")
    return VENUES[found.pop()]


def group_by_venue(paths: Sequence[Path], named: str | None = None) -> list[CaptureGroup]:
    """The captures by venue, in the order given; those of one venue are one session."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(venue_of([path], named).name, []).append(path)
    return [CaptureGroup(venue, tuple(members)) for venue, members in groups.items()]


def _venue_name(path: Path) -> str:
    listed = _manifest_entry(path)
    name = path.resolve().parent.name if listed is None else listed.exchange
    if name not in VENUES:
        raise ConfigurationError(
            f"{path}: {name!r} is no venue that is played here ({', '.join(VENUES)}); name one with --venue"
        )
    return name


def _manifest_entry(path: Path) -> _Entry | None:
    # captures/<venue>/<file>: the manifest lies beside `captures`.
    path = path.resolve()
    if len(path.parents) < 3:
        return None
    folder = path.parents[2]
    wanted = str(path.relative_to(folder))
    return next((entry for entry in _manifest(folder) if entry.path == wanted), None)


def _manifest(folder: Path) -> list[_Entry]:
    """The entries of a folder's manifest; none where there is no manifest."""
    path = folder / _MANIFEST
    if not path.is_file():
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[_Entry])
    except (OSError, msgspec.MsgspecError) as error:
        raise CaptureError(f"{path}: {error}") from error


def read_session(paths: Sequence[Path]) -> Iterator[CaptureLine]:
    """The lines of several captures of one session, in the order of their receive times.

    A line without a time keeps its place in its file.
    """
    files = [_timed(path, source) for source, path in enumerate(paths)]
    return (line for _, line in merge(*files, key=lambda timed: timed[0]))


def _timed(path: Path, source: int) -> Iterator[tuple[int, CaptureLine]]:
    latest = 0
    for line in read_capture(path, source):
        latest = max(latest, line.time_ns or 0)
        yield latest, line


def scan(venue: Venue, paths: Sequence[Path]) -> Scan:
    """Reads captures once and says what they hold.

    Raises CaptureError for one that is damaged anywhere, and if none of them holds a received message.
    """
    lines = received = 0
    first_ns: int | None = None
    streams: dict[str, int] = {}
    symbols: dict[str, None] = {}
    in_file: list[dict[str, None]] = [{} for _ in paths]
    books: dict[str, None] = {}
    unnamed: set[int] = set()
    for line in read_session(paths):
        lines += 1
        received += line.kind == "recv"
        first_ns = line.time_ns if first_ns is None else first_ns
        if line.text is None:
            continue
        symbol = None
        if line.kind == "recv":
            stream = venue.stream_of(line.text)
            if stream is not None:
                streams[stream] = streams.get(stream, 0) + 1
                symbol = venue.native_symbol_of(stream)
        elif line.kind == "http" and venue.is_snapshot(line.url, line.text):
            symbol = venue.snapshot_symbol(line.url, line.text)
            if symbol is None:
                unnamed.add(line.source)
            else:
                books[symbol] = None
        if symbol is not None:
            symbols[symbol] = in_file[line.source][symbol] = None
    if not received:
        what = "no received message (no line with k=recv)" if lines else "empty, no received message"
        raise CaptureError(f"{', '.join(map(str, paths))}: {what}")
    only = tuple(next(iter(found)) if len(found) == 1 else None for found in in_file)
    books |= {symbol: None for source in sorted(unnamed) if (symbol := only[source]) is not None}
    return Scan(lines, first_ns, streams, tuple(symbols), tuple(books), only)


def instrument_list(venue: Venue, paths: Sequence[Path], found: Scan, given: Path | None = None) -> str:
    """The venue's instrument list for captures, as the venue would answer today.

    From the file `given`, else from `*_instruments*` beside the captures; symbols that it lacks are added
    with their native symbol as name and the digits printed in the captures as tick and step.

    Raises CaptureError for a file that is no such list.
    """
    path = given or _list_beside(paths)
    body = _recorded_list(path)
    instruments, faults = ([], []) if body is None else venue.parse_instruments(body)
    if faults and not instruments:
        raise CaptureError(f"{path}: no instrument list of {venue.name}: {faults[0].reason}")
    listed = {each.native_symbol for each in instruments}
    missing = [symbol for symbol in found.symbols if symbol not in listed]
    if not missing:
        return body if body is not None else venue.with_entries(None, [])
    steps = _printed_steps(venue, paths, missing, found)
    return venue.with_entries(body, [venue.unlisted(symbol, *steps[symbol]) for symbol in missing])


def catalogue(venue: Venue, body: str) -> Catalogue:
    """The instruments of a list, as a feeder would read them."""
    return Catalogue(venue.name, venue.parse_instruments(body)[0])


def instruments_of(
    venue: Venue, paths: Sequence[Path], found: Scan, given: Path | None = None
) -> list[Instrument]:
    """The instruments that captures are about."""
    listed = catalogue(venue, instrument_list(venue, paths, found, given))
    instruments = [listed.by_native(symbol) for symbol in found.symbols]
    missing = [symbol for symbol, each in zip(found.symbols, instruments, strict=True) if each is None]
    if missing:
        raise CaptureError(f"{paths[0]}: the instrument list cannot be used for {', '.join(missing)}")
    return [instrument for instrument in instruments if instrument is not None]


def _list_beside(paths: Sequence[Path]) -> Path | None:
    lists = sorted(paths[0].resolve().parent.glob(_INSTRUMENTS))
    return lists[-1] if lists else None


def _recorded_list(path: Path | None) -> str | None:
    """The body of an instrument list: a capture of one REST answer, or the answer itself."""
    if path is None:
        return None
    if ".jsonl" not in path.suffixes:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CaptureError(f"{path}: {error}") from error
    line = next((line for line in read_capture(path) if line.kind == "http"), None)
    if line is None or line.text is None:
        raise CaptureError(f"{path}: holds no REST answer")
    return line.text


def _printed_steps(
    venue: Venue, paths: Sequence[Path], symbols: Sequence[str], found: Scan
) -> dict[str, tuple[Decimal, Decimal]]:
    """The finest digits of prices and quantities that are printed for each symbol."""
    digits = dict.fromkeys(symbols, (0, 0))
    for line in read_session(paths):
        if line.text is None or line.kind == "send":
            continue
        if line.kind == "recv":
            symbol = venue.native_symbol_of(venue.stream_of(line.text) or "")
        else:
            symbol = found.book_symbol(venue, line)
        if symbol not in digits:
            continue
        numbers = venue.printed(line.text)
        price, quantity = digits[symbol]
        digits[symbol] = (
            max((price, *map(_decimals, numbers.prices))),
            max((quantity, *map(_decimals, numbers.quantities))),
        )
    return {symbol: (_step(price), _step(quantity)) for symbol, (price, quantity) in digits.items()}


def _decimals(number: str) -> int:
    """Digits after the point, without trailing zeros; 0 for what is no number."""
    whole, _, fraction = number.partition(".")
    if (whole + fraction).removeprefix("-").isdigit():
        return len(fraction.rstrip("0"))
    try:
        return max(0, -int(Decimal(number).normalize().as_tuple().exponent))
    except (InvalidOperation, ValueError):
        return 0


def _step(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)


def demo_groups(folder: Path) -> list[CaptureGroup]:
    """What the demo plays: of each venue the captures of its newest busy day, the busiest venues first."""
    ranked: list[tuple[int, float, CaptureGroup]] = []
    for name in VENUES:
        busy = [entry for entry in _manifest(folder) if entry.exchange == name and _is_busy(entry, folder)]
        if not busy:
            continue
        newest = max(_day(entry) for entry in busy)
        chosen = [entry for entry in busy if _day(entry) == newest]
        group = CaptureGroup(name, tuple(folder / entry.path for entry in chosen))
        ranked.append((newest, sum(map(_rate, chosen)), group))
    ranked.sort(key=lambda each: each[:2], reverse=True)
    return [group for _, _, group in ranked[:DEMO_VENUES_MAX]]


def _is_busy(entry: _Entry, folder: Path) -> bool:
    return (
        entry.path.startswith("captures/")
        and (folder / entry.path).is_file()
        and _seconds(entry) >= DEMO_SECONDS_MIN
        and _rate(entry) >= DEMO_RATE_MIN
    )


def _seconds(entry: _Entry) -> float:
    return ((entry.last_t or 0) - (entry.first_t or 0)) / _NS


def _rate(entry: _Entry) -> float:
    return entry.messages / _seconds(entry)


def _day(entry: _Entry) -> int:
    return (entry.first_t or 0) // (86_400 * _NS)
