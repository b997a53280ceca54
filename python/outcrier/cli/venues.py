"""`outcrier venues`: what each venue is and what of it was tried on real data; what feeders meet that no
declaration knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from outcrier.capture.library import ENVIRONMENT_KEY, data_folder
from outcrier.capture.venue_facts import VenueFacts, facts_of
from outcrier.cli.ctl import feeders
from outcrier.cli.output import clean, config_option, json_line, read_config
from outcrier.config import Config
from outcrier.errors import ConfigurationError
from outcrier.venue_numbers import venue_number
from outcrier.venues import VENUES, venue_by_name
from outcrier.venues.base import Keepalive, Limits
from outcrier.views import BOOK_PROOFS, named

_UNITS: Final = ((3_600, "h"), (60, "min"))


@click.command("venues", short_help="What is connected, its limits, and what was tried on real data.")
@click.argument("venues", nargs=-1, metavar="[VENUE]...")
@click.option("--drift", is_flag=True, help="What running feeders were sent that no declaration knows.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a venue and line.")
@config_option
def command(venues: tuple[str, ...], drift: bool, as_json: bool, config: Path | None) -> None:
    """List the venues: what follows from their declarations and from the captures that OUTCRIER_DATA names.

    With --drift the feeders that run on this host are asked instead: fields and messages that the venue's
    declaration does not know, and fields that were always there and are gone (-NAME).
    """
    chosen = [venue_by_name(name) for name in dict.fromkeys(venues)] or list(VENUES.values())
    names = [venue.name for venue in chosen]
    if drift:
        _print_drift(read_config(config), names if venues else None, as_json=as_json)
        return
    folder = data_folder()
    if folder is None:
        where = (
            f"no captures here ({ENVIRONMENT_KEY} names no folder): what was tried on real data is not told"
        )
        click.echo(where, err=True)
    facts = [facts_of(venue, folder) for venue in chosen]
    if as_json:
        for each in facts:
            click.echo(json_line(each))
        return
    Console().print(_table(facts, are_captures=folder is not None))


# The table.


def _table(facts: Iterable[VenueFacts], *, are_captures: bool) -> Table:
    """Four columns of several lines each: readable on 80 columns, and shorter on more."""
    table = Table(box=SIMPLE_HEAD, show_lines=False, padding=(0, 1, 1, 0), collapse_padding=False)
    for name, ratio in (("venue", 4), ("book", 5), ("limits, keepalive", 6), ("channels", 7)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for each in facts:
        table.add_row(
            _lines(_identity(each), bold_first=True),
            _lines(_book(each)),
            _lines([*limits(each.limits), *keepalive(each.keepalive)]),
            _lines(_channels(each, are_captures=are_captures)),
        )
    return table


def _lines(lines: Iterable[str], *, bold_first: bool = False) -> Text:
    text = Text("\n".join(lines))
    if bold_first:
        text.stylize("bold", 0, text.plain.find("\n"))
    return text


def _identity(each: VenueFacts) -> Iterator[str]:
    yield each.venue
    yield f"{each.exchange} {each.product}"
    yield f"docs {each.documentation}"
    if each.simulation:
        yield "SIMULATION, not a market"
    if each.old_dialect:
        yield f"OLD DIALECT: {each.old_dialect}"


def _book(each: VenueFacts) -> Iterator[str]:
    yield f"proof: {named(BOOK_PROOFS, each.book_proof)}"
    yield f"rule: {each.rule}"
    if each.checksum:
        yield f"checksum: {each.checksum}"
    yield f"whole book: {each.book_from}"


def _channels(each: VenueFacts, *, are_captures: bool) -> Iterator[str]:
    if closed := each.closed():
        yield f"with an account (key_file): {', '.join(closed)}"
    if not are_captures:
        yield ", ".join(channel.name for channel in each.channels)
        return
    if each.captured:
        yield f"recorded {', '.join(each.captured)}: {', '.join(each.recorded())}"
    if sampled := each.sampled():
        yield f"samples of the documentation: {', '.join(sampled)}"
    if documented := each.documented():
        yield f"documentation alone: {', '.join(documented)}"


def limits(each: Limits) -> list[str]:
    """What is documented, in words."""
    connection = {
        "streams": each.streams_per_connection,
        "symbols": each.symbols_per_connection,
        "chars": each.chars_per_connection,
    }
    told = [f"{count:,} {name} a connection" for name, count in connection.items() if count]
    told += [f"{each.messages_per_s:g} messages/s"]
    told += [f"{each.messages:,} messages/{_per(each.messages_window_s)}"] if each.messages else []
    told += [f"{each.connects:,} connects/{_per(each.connects_window_s)}"]
    told += [f"{each.connections:,} connections"] if each.connections else []
    return told


def keepalive(each: Keepalive) -> list[str]:
    """Who pings, how often, and how long a connection lives, in words."""
    told = []
    if each.ping_every_s:
        told.append(f"venue pings every {duration(each.ping_every_s)}")
    if each.client_ping_every_s:
        told.append(f"client pings every {duration(each.client_ping_every_s)}")
    if not told:
        told.append(f"client pings after {duration(each.expected_silence_s)} of silence")
    told.append(f"lifetime {duration(each.lifetime_s)}" if each.lifetime_s else "no lifetime told")
    return told


def _per(seconds: float) -> str:
    return duration(seconds).removeprefix("1 ")


def duration(seconds: float) -> str:
    """In the largest unit that it is whole in: `5 min`."""
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


# Drift.


def _print_drift(config: Config, names: list[str] | None, *, as_json: bool) -> None:
    found = [status for _, running in feeders(config) for status in running]
    found.sort(key=lambda status: venue_number(status["venue"]))
    running = [status["venue"] for status in found]
    if missing := [name for name in names or () if name not in running]:
        raise ConfigurationError(f"no feeder that runs here publishes {', '.join(missing)}")
    for status in found:
        if names is not None and status["venue"] not in names:
            continue
        if as_json:
            click.echo(json_line({name: status[name] for name in ("venue", "drift", "unknown")}))
            continue
        lines = [*_named(status["drift"], "field"), *_named(status["unknown"], "message")]
        click.echo(f"{status['venue']}: {f'{len(lines)} unknown' if lines else 'nothing unknown'}")
        for line in lines:
            click.echo(line)


def _named(counts: Mapping[str, int], what: str) -> list[str]:
    """The most frequent first."""
    ranked: list[tuple[str, Any]] = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return [f"  {what:<8}{count:>12,}  {clean(name)}" for name, count in ranked]
