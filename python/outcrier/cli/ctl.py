"""`outcrier ctl`: symbols and venues of feeders that run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from outcrier.cli.output import clean, config_option, json_line, read_config
from outcrier.config import Config
from outcrier.errors import ConfigurationError
from outcrier.feeder.control import Reply, Request, ask, control_dir, sockets
from outcrier.symbols import split_venue
from outcrier.venue_numbers import VENUE_NUMBERS, venue_number

RUNTIME_DIR: Final = Path("/run/outcrier")
"""Below it the feeders of systemd have their sockets; looked at after the configured directory."""


@click.group("ctl", short_help="Add and remove symbols and venues of running feeders.")
def command() -> None:
    """Ask the feeders that run on this host, by their Unix sockets (feeder.control_dir, else /run/outcrier).

    What is changed here lasts until the feeder ends or reads its configuration again.
    """


@command.command("add")
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL@VENUE...")
@config_option
def add(symbols: tuple[str, ...], config: Path | None) -> None:
    """Publish further symbols, or all that a rule names, now and later: perpetual:USDT@binance_usdm,
    spot:*@okx, *@upbit. The others are not touched.
    """
    _change("add", symbols, config)


@command.command("remove")
@click.argument("symbols", nargs=-1, required=True, metavar="SYMBOL@VENUE...")
@config_option
def remove(symbols: tuple[str, ...], config: Path | None) -> None:
    """Publish these symbols no longer, or what a rule names; a rule in force is in force no longer."""
    _change("remove", symbols, config)


@command.command("start")
@click.argument("venue", type=click.Choice(list(VENUE_NUMBERS)), metavar="VENUE")
@config_option
def start(venue: str, config: Path | None) -> None:
    """Publish a further venue, as [venues.VENUE] of the feeder's configuration says."""
    running = list(feeders(read_config(config)))
    if len(running) > 1:
        names = ", ".join(sorted({each["venue"] for _, status in running for each in status}))
        raise ConfigurationError(f"several feeders run ({names}): start {venue} as a process of its own")
    _print(_asked(running[0][0], Request("start", venue)))


@command.command("stop")
@click.argument("venue", type=click.Choice(list(VENUE_NUMBERS)), metavar="VENUE")
@config_option
def stop(venue: str, config: Path | None) -> None:
    """End the session of a venue; the others go on."""
    _print(_asked(feeder_of(venue, read_config(config)), Request("stop", venue)))


@command.command("status")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a venue and line.")
@config_option
def status(as_json: bool, config: Path | None) -> None:
    """Print how each venue of each feeder is."""
    venues = [each for _, status in feeders(read_config(config)) for each in status]
    venues.sort(key=lambda venue: venue_number(venue["venue"]))
    if as_json:
        for venue in venues:
            click.echo(json_line(venue))
        return
    Console().print(_table(venues))


def _table(venues: Iterable[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("venue", "connections", "books live", "messages", "gaps", "faults", "reconnects"):
        table.add_column(name, justify="left" if name == "venue" else "right", no_wrap=name == "venue")
    table.add_column("last error", overflow="fold")
    for venue in venues:
        table.add_row(
            venue["venue"] + (" TEST" if venue["test"] else ""),
            f"{venue['subscribed']}/{venue['connections']}",
            f"{venue['live']}/{venue['books'] - venue['closed']}",
            *(f"{venue[name]:,}" for name in ("messages", "gaps", "faults", "reconnects")),
            clean(venue["last_error"]),
        )
    return table


def _change(do: Literal["add", "remove"], symbols: Iterable[str], config: Path | None) -> None:
    by_venue: dict[str, list[str]] = {}
    for text in symbols:
        symbol, venue = split_venue(text)
        if venue is None or not symbol:
            raise ConfigurationError(f"{text!r} names no venue: write SYMBOL@VENUE, such as BTC/USDT@binance")
        venue_number(venue)
        by_venue.setdefault(venue, []).append(symbol)
    for venue, named in by_venue.items():
        reply = _asked(feeder_of(venue, read_config(config)), Request(do, venue, tuple(named)))
        _print(reply)
        for symbol in reply.symbols:
            click.echo(f"  {symbol}@{venue}")


def _print(reply: Reply) -> None:
    click.echo(clean(reply.text))


def history(symbol: str, last: int, config: Config) -> tuple[tuple[int, int, str], ...]:
    """The last messages of SYMBOL@VENUE as the venue sent them: receive time in nanoseconds since the epoch,
    connection, text. Raises ConfigurationError.
    """
    name, venue = split_venue(symbol)
    if venue is None:
        raise ConfigurationError(f"{symbol!r} names no venue: write SYMBOL@VENUE, such as BTC/USDT@binance")
    venue_number(venue)
    return _asked(feeder_of(venue, config), Request("history", venue, (name,), last)).messages


def _asked(path: Path, request: Request) -> Reply:
    reply = ask(path, request)
    if not reply.ok:
        raise ConfigurationError(reply.text)
    return reply


def feeder_of(venue: str, config: Config) -> Path:
    """The socket of the feeder that publishes a venue. Raises ConfigurationError where none does."""
    for path, running in feeders(config):
        if any(each["venue"] == venue for each in running):
            return path
    raise ConfigurationError(f"no feeder that runs here publishes {venue}")


def feeders(config: Config) -> Iterable[tuple[Path, tuple[dict[str, Any], ...]]]:
    """Each feeder that answers, and the status of its venues. Raises ConfigurationError where none runs."""
    configured = control_dir(config.feeder, os.environ)
    # Each instance of the systemd unit has a directory of its own there.
    directories = dict.fromkeys((configured, *sorted(RUNTIME_DIR.glob("*/"))))
    found = [path for directory in directories for path in sockets(directory)]
    if not found:
        raise ConfigurationError(f"no feeder runs here: no socket in {configured} or {RUNTIME_DIR}/*")
    return [(path, _asked(path, Request("status")).venues) for path in found]
