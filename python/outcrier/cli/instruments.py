"""`outcrier instruments`: what is on the wire, or with --rest what the venue lists."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from outcrier.cli.output import clean, json_line, log_to_stderr, subscriber, wire_options
from outcrier.config import Config, VenueConfig
from outcrier.errors import NetworkError
from outcrier.feeder.http import HttpClient
from outcrier.feeder.plan import check_venue
from outcrier.feeder.rest import VenueRest
from outcrier.feeder.snapshots import WeightPool
from outcrier.feeder.transport import TransportError
from outcrier.venue_numbers import VENUE_NUMBERS, venue_number
from outcrier.venues import VENUES
from outcrier.views import BOOK_PROOFS, KINDS, QTY_UNITS, TRADING, named

COLUMNS = (
    *("symbol", "native_symbol", "kind", "status", "tick", "lot", "unit", "contract_size"),
    "book_proof",
)
"""Fields of the table; --json has them all."""


@click.command("instruments", short_help="List what is on the wire, or what a venue offers.")
@click.option("--venue", type=click.Choice(list(VENUE_NUMBERS)), metavar="VENUE", help="Only this venue.")
@click.option("--match", metavar="TEXT", help="Only symbols (ours or the venue's) that contain TEXT.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--rest", is_flag=True, help="Ask the venue, not the wire; without --venue every enabled one.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    metavar="S",
    help="End with code 4 if the wire has not told all its instruments within this time.",
)
@wire_options
def command(  # noqa: PLR0917  # click calls by name
    venue: str | None,
    match: str | None,
    as_json: bool,  # click calls by name
    rest: bool,
    timeout: float,
    wire: Config,
) -> None:
    """List instruments: what is published now, or with --rest what a venue offers."""
    log_to_stderr()
    if rest:
        rows = asyncio.run(_from_venues(wire, venue))
    else:
        rows = _from_wire(wire, timeout)
        if venue is not None:
            rows = [row for row in rows if row["venue"] == venue]
    if match is not None:
        text = match.casefold()
        rows = [
            row for row in rows if text in row["symbol"].casefold() or text in row["native_symbol"].casefold()
        ]
    if as_json:
        for row in rows:
            click.echo(json_line(row))
    else:
        click.echo(table(rows))


def _from_wire(wire: Config, timeout: float) -> list[dict[str, Any]]:
    with subscriber(wire, types=["definition"]) as sub:
        sub.wait_complete(timeout)
        return [msgspec.structs.asdict(instrument) for instrument in sub.instruments()]


async def _from_venues(config: Config, only: str | None) -> list[dict[str, Any]]:
    names = [only] if only is not None else list(config.enabled_venues())
    rows: list[dict[str, Any]] = []
    async with HttpClient() as http:
        for name in names:
            venue = VENUES[name]
            settings = config.venues.get(name, VenueConfig())
            check_venue(venue, settings)
            pool = WeightPool(venue.limits.weight_per_minute)
            try:
                listed = await VenueRest(venue, settings.rest_url, http, pool).instruments()
            except TransportError as error:
                raise NetworkError(str(error)) from error
            rows += [_listed_row(instrument) for instrument in listed.catalogue]
    return sorted(rows, key=lambda row: (venue_number(row["venue"]), row["symbol"]))


def _listed_row(instrument: Any) -> dict[str, Any]:
    row = msgspec.structs.asdict(instrument)
    row["symbol"] = instrument.full_symbol
    row["kind"] = named(KINDS, int(instrument.kind))
    row["status"] = named(TRADING, instrument.status)
    row["unit"] = named(QTY_UNITS, row.pop("qty_unit"))
    row["book_proof"] = named(BOOK_PROOFS, instrument.book_proof)
    row["tick"], row["lot"] = row.pop("tick_size") or None, row.pop("lot_size") or None
    return row


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as aligned text with a heading."""
    cells = [
        COLUMNS,
        *([clean("-" if row[name] is None else str(row[name])) for name in COLUMNS] for row in rows),
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join(lines)
