"""`outcrier run`: the feeder."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import msgspec

from outcrier.cli.output import clean, config_option, log_to_stderr, read_config
from outcrier.feeder.service import serve


@click.command("run", short_help="Publish the venues of the configuration.")
@config_option
@click.option("--verbose", "-v", is_flag=True, help="Log every connection and subscription.")
@click.option(
    "--take-over",
    is_flag=True,
    help="Take the channels over from a publisher that is heard on them; without it that is an error.",
)
def command(config: Path | None, verbose: bool, take_over: bool) -> None:  # click calls by name
    """Publish the venues of the configuration until Ctrl-C or SIGTERM.

    A venue that cannot be reached is tried again for ever; nothing else is published in its place.
    LIMITED_MODE=true limits it to 10 instruments per venue, kind and quote.
    """
    log_to_stderr(logging.INFO if verbose else logging.WARNING, times=True)
    settings = read_config(config)
    if take_over:
        feeder = msgspec.structs.replace(settings.feeder, take_over=True)
        settings = msgspec.structs.replace(settings, feeder=feeder)
    for venue in serve(settings):
        test = " TEST" if venue.test else ""
        books = f"{venue.live} of {venue.books} books live, {venue.gaps:,} gaps, {venue.faults:,} faults"
        error = f"; last error: {clean(venue.last_error)}" if venue.last_error else ""
        click.echo(
            f"{venue.venue}{test}: {venue.messages:,} messages, {venue.bytes:,} bytes, {books},"
            f" {venue.reconnects:,} reconnects{error}"
        )
