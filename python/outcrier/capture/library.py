"""Finding captures and what belongs to them: the folder, the manifest, the venue, the instrument list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from heapq import merge
from pathlib import Path
from typing import Final

import msgspec

from outcrier.capture.format import CaptureLine, read_capture
from outcrier.errors import CaptureError, ConfigurationError
from outcrier.venues import VENUES, Venue, venue_by_name
from outcrier.venues.exchange_side import ExchangeSide

ENVIRONMENT_KEY: Final = "OUTCRIER_DATA"
"""Names the folder that holds `captures/` and MANIFEST.json."""

_MANIFEST: Final = "MANIFEST.json"

DEMO_RATE_MIN: Final = 10.0
"""Messages a second below which a capture makes no moving picture."""

DEMO_SECONDS_MIN: Final = 10.0
"""Captures shorter than this start anew too often to watch."""

DEMO_CUT_SECONDS_MIN: Final = 60.0
"""The same where every start cuts the connections: books are stale for a moment."""

DEMO_VENUES_MAX: Final = 5
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
    """The venue that captures belong to: `named`, else the one whose patterns (`Venue.captures`) name them,
    else by the folder that the manifest or the path tells.

    Raises ConfigurationError if there is none or several (captures with several products of an exchange),
    with their names; CaptureError if a file is missing.
    """
    for path in paths:
        if not path.is_file():
            raise CaptureError(f"{path}: no such capture")
    if named is not None:
        return venue_by_name(named)
    found = [candidates(path) for path in paths]
    for path, names in zip(paths, found, strict=True):
        if not names:
            exchange = _exchange_and_name(path)[0]
            raise ConfigurationError(
                f"{path}: {exchange!r} is no venue that is played here ({', '.join(VENUES)});"
                " name one with --venue"
            )
    common = [name for name in found[0] if all(name in names for names in found)]
    if len(common) == 1:
        return VENUES[common[0]]
    if common:
        raise ConfigurationError(
            f"{paths[0]} belongs to several venues: {', '.join(common)}; name one with --venue"
        )
    several = sorted({name for names in found for name in names})
    raise ConfigurationError(f"captures of several venues: {', '.join(several)}; give those of one")


def candidates(path: Path) -> list[str]:
    """Names of the venues that a capture may belong to: those with a pattern for it, else the one that
    `outcrier record` has written it for (`coinbase/coinbase_conn1_..`), else all of its exchange.
    """
    exchange, name = _exchange_and_name(path)
    if found := sharing(path):
        return found
    if exchange in VENUES and name.startswith(f"{exchange}_"):
        return [exchange]
    return [
        venue.name
        for venue in VENUES.values()
        if venue.name == exchange or any(each.startswith(f"{exchange}/") for each in venue.captures)
    ]


def sharing(path: Path) -> list[str]:
    """Names of the venues with a pattern for a capture; several where it holds several products."""
    key = "/".join(_exchange_and_name(path))
    return [
        venue.name
        for venue in VENUES.values()
        if any(fnmatchcase(key, pattern) for pattern in venue.captures)
    ]


def group_by_venue(paths: Sequence[Path], named: str | None = None) -> list[CaptureGroup]:
    """The captures by venue, in the order given; those of one venue are one session."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(venue_of([path], named).name, []).append(path)
    return [CaptureGroup(venue, tuple(members)) for venue, members in groups.items()]


def _exchange_and_name(path: Path) -> tuple[str, str]:
    """Exchange and name of a capture, as patterns have them: `bybit`, `v5_spot_2026-08-09`."""
    listed = _manifest_entry(path)
    exchange = path.resolve().parent.name if listed is None else listed.exchange
    return exchange, path.name.partition(".jsonl")[0]


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


def list_of(venue: Venue, paths: Sequence[Path]) -> Path | None:
    """The recorded instrument list for captures: by the venue's patterns, else the newest that
    `outcrier record` has left beside them.
    """
    folder = paths[0].resolve().parent
    for pattern in venue.instrument_lists:
        found = sorted(folder.parent.glob(f"{pattern}.jsonl*"))
        if found:
            return found[-1]
    beside = sorted(folder.glob(f"{venue.name}_instruments*"))
    return beside[-1] if beside else None


def sessions_of_all(folder: Path) -> list[CaptureGroup]:
    """Of each venue that can be stood in for, the day of which most was recorded; in the order of VENUES."""
    entries = [
        entry
        for entry in _manifest(folder)
        if entry.path.startswith("captures/") and (folder / entry.path).is_file() and entry.messages
    ]
    groups: list[CaptureGroup] = []
    for name, venue in VENUES.items():
        if getattr(venue, "exchange", None) is None:
            continue
        days: dict[int, list[_Entry]] = {}
        for entry in entries:
            if name in sharing(folder / entry.path):
                days.setdefault(_day(entry), []).append(entry)
        if days:
            most = max(days.values(), key=lambda day: sum(entry.messages for entry in day))
            groups.append(CaptureGroup(name, tuple(folder / entry.path for entry in most)))
    return groups


def demo_groups(folder: Path) -> list[CaptureGroup]:
    """What the demo plays: of each venue the captures of its newest busy day, the busiest venues first.

    Captures with several products are left out: how busy each is nobody has written down. So are old dialects
    and venues that cannot be stood in for.
    """
    entries = [entry for entry in _manifest(folder) if _is_busy(entry, folder)]
    by_venue: dict[str, list[_Entry]] = {}
    for entry in entries:
        names = sharing(folder / entry.path)
        if len(names) == 1 and _can_be_watched(VENUES[names[0]], entry):
            by_venue.setdefault(names[0], []).append(entry)
    ranked: list[tuple[float, CaptureGroup]] = []
    for name, busy in by_venue.items():
        newest = max(map(_day, busy))
        chosen = [entry for entry in busy if _day(entry) == newest]
        group = CaptureGroup(name, tuple(folder / entry.path for entry in chosen))
        ranked.append((sum(map(_rate, chosen)), group))
    ranked.sort(key=lambda each: each[0], reverse=True)
    return [group for _, group in ranked[:DEMO_VENUES_MAX]]


def _is_busy(entry: _Entry, folder: Path) -> bool:
    return (
        entry.path.startswith("captures/")
        and (folder / entry.path).is_file()
        and _seconds(entry) > 0
        and _rate(entry) >= DEMO_RATE_MIN
    )


def _can_be_watched(venue: Venue, entry: _Entry) -> bool:
    side: ExchangeSide | None = getattr(venue, "exchange", None)
    if side is None or venue.old_dialect:
        return False
    return _seconds(entry) >= (DEMO_SECONDS_MIN if side.restarts_books else DEMO_CUT_SECONDS_MIN)


def _seconds(entry: _Entry) -> float:
    return ((entry.last_t or 0) - (entry.first_t or 0)) / _NS


def _rate(entry: _Entry) -> float:
    return entry.messages / _seconds(entry)


def _day(entry: _Entry) -> int:
    return (entry.first_t or 0) // (86_400 * _NS)
