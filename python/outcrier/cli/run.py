"""`outcrier run`: the feeder."""

from __future__ import annotations

import logging
from pathlib import Path

import click
import msgspec

from outcrier.cli.output import clean, config_option, log_to_stderr, read_config
from outcrier.config import Config
from outcrier.errors import ConfigurationError
from outcrier.feeder.logs import Told, tell
from outcrier.feeder.operator_log import OperatorLog
from outcrier.feeder.service import serve
from outcrier.feeder.status import VenueStatus
from outcrier.venue_numbers import VENUE_NUMBERS

ALL = "all"


@click.command("run", short_help="Publish the venues of the configuration.")
@config_option
@click.option(
    "--venue",
    "names",
    multiple=True,
    type=click.Choice([*VENUE_NUMBERS, ALL]),
    metavar="VENUE",
    help="Publish only this venue of those that the configuration enables; may stand several times."
    "  [default: all]",
)
@click.option(
    "--verbose", "-v", is_flag=True, help="Log every connection and subscription; a file has them anyway."
)
@click.option(
    "--take-over",
    is_flag=True,
    help="Take the channels over from a publisher that is heard on them; without it that is an error.",
)
def command(config: Path | None, names: tuple[str, ...], verbose: bool, take_over: bool) -> None:
    """Publish the venues of the configuration until Ctrl-C or SIGTERM.

    A venue that cannot be reached is tried again for ever; nothing else is published in its place.
    LIMITED_MODE=true limits it to 10 instruments per venue, kind and quote. With feeder.operator_log
    what it has to tell goes to that file and nothing to the terminal. SIGHUP reads the configuration
    again; `outcrier ctl` adds and removes symbols and venues meanwhile.
    """

    def read() -> Config:
        settings = only(read_config(config), names)
        feeder = msgspec.structs.replace(settings.feeder, take_over=take_over or settings.feeder.take_over)
        return msgspec.structs.replace(settings, feeder=feeder)

    settings = read()
    if not settings.feeder.operator_log:
        log_to_stderr(logging.INFO if verbose else logging.WARNING, times=True)
        for venue in serve(settings, read_again=read):
            test = " TEST" if venue.test else ""
            click.echo(f"{venue.venue}{test}: {summary(venue)}")
        return
    with OperatorLog(settings.feeder) as log:
        for venue in serve(settings, log, read):
            told = Told("session over", summary(venue), venue.venue, _counts(venue))
            tell(logging.getLogger("outcrier.feeder"), logging.INFO, told)


def only(config: Config, names: tuple[str, ...]) -> Config:
    """`config` with these venues alone; none or `all` = every one that it enables. Raises ConfigurationError
    for one that it does not enable.
    """
    if not names or ALL in names:
        return config
    enabled = config.enabled_venues()
    for name in names:
        if name not in enabled:
            known = ", ".join(enabled) or "none"
            raise ConfigurationError(
                f"--venue {name}: venues.{name}.enabled is not true in the configuration; enabled are {known}"
            )
    venues = {
        name: msgspec.structs.replace(venue, enabled=name in names) for name, venue in config.venues.items()
    }
    return msgspec.structs.replace(config, venues=venues)


def summary(venue: VenueStatus) -> str:
    """What came of a venue, for people."""
    books = f"{venue.live} of {venue.books} books live, {venue.gaps:,} gaps, {venue.faults:,} faults"
    error = f"; last error: {clean(venue.last_error)}" if venue.last_error else ""
    return (
        f"{venue.messages:,} messages, {venue.bytes:,} bytes, {books}, {venue.reconnects:,} reconnects{error}"
    )


def _counts(venue: VenueStatus) -> dict[str, int]:
    """The same for programs."""
    names = ("messages", "bytes", "books", "live", "gaps", "faults", "reconnects")
    counts = {name: getattr(venue, name) for name in names}
    return {**counts, "unknown": sum(venue.unknown.values()), "drift": sum(venue.drift.values())}
