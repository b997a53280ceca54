"""`outcrier record`: what the venues send, into captures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from outcrier.capture.record import Limits, RecordSummary, record
from outcrier.cli.output import clean, config_option, is_terminal, json_line, log_to_stderr, read_config, utc
from outcrier.config import Config
from outcrier.feeder.loops import loop_factory
from outcrier.feeder.service import stop_on_signals


@click.command("record", short_help="Record what the venues send.")
@config_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="recordings",
    show_default=True,
    metavar="DIR",
    help="Folder of the captures; each venue has one of its name in it.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N messages.")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), metavar="S", help="End after S seconds."
)
@click.option(
    "--max-bytes",
    type=click.IntRange(min=1),
    metavar="N",
    help="End before the files together have more than N bytes.",
)
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object.")
def command(  # noqa: PLR0917  # click calls by name
    config: Path | None,
    out: Path,
    count: int | None,
    seconds: float | None,
    max_bytes: int | None,
    as_json: bool,  # click calls by name
) -> None:
    """Record the venues of the configuration, until a limit, Ctrl-C or SIGTERM.

    The connections are those of `outcrier run`; nothing is published, so both may run side by side. A file is
    one connection, byte for byte, with its subscriptions and REST books; the instrument list lies beside it.
    A full disk ends the recording with code 3; what was written is whole. `outcrier replay` plays it.
    """
    log_to_stderr()
    limits = Limits(count=count, seconds=seconds, bytes=max_bytes)
    settings = read_config(config)
    is_shown = is_terminal() and not as_json
    with asyncio.Runner(loop_factory=loop_factory(settings.feeder.event_loop)) as runner:
        summary = runner.run(_record(settings, out, limits, is_shown=is_shown))
    click.echo(json_line(summary) if as_json else as_text(summary))


async def _record(config: Config, out: Path, limits: Limits, *, is_shown: bool) -> RecordSummary:
    stop = asyncio.Event()
    stop_on_signals(stop)
    try:
        return await record(config, out, limits, stop, progress=_show if is_shown else None)
    finally:
        if is_shown:
            click.echo("\r\x1b[K", nl=False)


def _show(messages: int, n_bytes: int) -> None:
    click.echo(f"\r\x1b[K{messages:,} messages, {n_bytes:,} bytes on disk", nl=False)


def as_text(summary: RecordSummary) -> str:
    """What was written."""
    ends = {"stopped": "stopped", "count": "--count", "seconds": "--seconds", "bytes": "--max-bytes"}
    lines = [f"{summary.messages:,} messages, {summary.bytes:,} bytes, ended by {ends[summary.why]}"]
    if summary.unwritten:
        lines[0] += f", {summary.unwritten:,} lines not written"
    for file in summary.files:
        span = f"{utc(file.first_ns)} to {utc(file.last_ns)}"
        lines.append(
            f"{file.path}: {file.messages:,} messages, {file.lines:,} lines, {file.bytes:,} B, {span}"
        )
    for venue in summary.venues:
        test = " TEST" if venue.test else ""
        error = f"; last error: {clean(venue.last_error)}" if venue.last_error else ""
        lines.append(
            f"{venue.venue}{test}: {venue.live} of {venue.books} books were live, {venue.gaps:,} gaps,"
            f" {venue.faults:,} faults, {venue.reconnects:,} reconnects{error}"
        )
    return "\n".join(lines)
