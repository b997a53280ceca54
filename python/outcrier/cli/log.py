"""`outcrier log`: what a log of published frames holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from outcrier import _core
from outcrier.cli.output import clean, json_line
from outcrier.errors import CaptureError

_HOLES_SHOWN = 20
"""Holes of a session that are shown as text; --json has up to 1,000."""


@click.command("log", short_help="Check a log of published frames, and list what it holds.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(directory: Path, as_json: bool) -> int:  # click calls by name
    """Check every record of the log in DIR and list its segments, channels, sessions, numbers and holes.

    It changes nothing and may run beside the publisher that writes the log. Ends with code 3 if a segment is
    damaged or numbers are missing without a hole that says so.
    """
    try:
        survey = _core.log_survey(directory)
    except OSError as error:
        raise CaptureError(error.strerror or str(error)) from error
    click.echo(json_line(_plain(survey)) if as_json else "\n".join(_lines(survey)))
    return 0 if survey["sound"] else CaptureError.exit_code


def _plain(value: Any) -> Any:
    """Paths as text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _time(wall_ns: int) -> str:
    seconds, nanos = divmod(wall_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos // 1_000_000:03d}Z"


def _lines(survey: dict[str, Any]) -> Iterator[str]:
    for segment in survey["segments"]:
        name = clean(segment["path"].name)
        if segment["state"] == "damaged":
            yield f"{name}: DAMAGED at offset {segment['damage_offset']:,}, nothing of it is used"
            continue
        span = f"{_time(segment['created_ns'])} to {_time(segment['last_ns'])}"
        torn = f", {segment['torn_bytes']:,} bytes of an unfinished write" if segment["torn_bytes"] else ""
        yield f"{name}: {segment['frames']:,} frames, {segment['bytes']:,} B, {span}{torn}"
    for path in survey["quarantined"]:
        yield f"{clean(path.name)}: in QUARANTINE, found damaged by a publisher"
    for session in survey["sessions"]:
        yield from _session(session)
    frames = sum(session["frames"] for session in survey["sessions"])
    verdict = "sound" if survey["sound"] else "NOT SOUND"
    yield f"{verdict}: {frames:,} numbered frames of {len(survey['sessions']):,} sessions"


def _session(session: dict[str, Any]) -> Iterator[str]:
    ended = "ended" if session["ended"] else "no end"
    missing = ""
    if session["hole_count"]:
        missing += f", {session['missing_marked']:,} missing in {session['hole_count']:,} holes"
    if session["missing_unmarked"]:
        missing += f", {session['missing_unmarked']:,} MISSING WITHOUT A MARK"
    yield (
        f"channel {session['channel']} session {session['session']}: {session['first']} to {session['last']},"
        f" {session['frames']:,} frames, {session['bytes']:,} B, {_time(session['first_ns'])} to"
        f" {_time(session['last_ns'])}, {ended}{missing}"
    )
    for first, last in session["holes"][:_HOLES_SHOWN]:
        yield f"  hole {first} to {last}"
    if session["hole_count"] > _HOLES_SHOWN:
        yield f"  and {session['hole_count'] - _HOLES_SHOWN:,} more"
