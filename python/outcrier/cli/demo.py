"""`outcrier demo`: live books on a screen."""

from __future__ import annotations

import click

from outcrier.cli.output import is_terminal, log_to_stderr, wire_options
from outcrier.config import Config
from outcrier.demo.main import run


@click.command("demo", short_help="Show live books on a screen.")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), metavar="N", help="End after N seconds."
)
@wire_options
def command(seconds: float | None, wire: Config) -> None:
    """Show live books: exchange frames, decoded, over UDP multicast, to a subscriber, on one screen.

    The exchanges in limited mode; if none can be reached it says why and plays the captures found through
    OUTCRIER_DATA (default: ../shared/data) through local stand-ins, marked TEST. Without captures it plays
    the venue `sim`, and says in its first line and on every screen: simulation, not a market. Where stdout is
    no terminal it prints a line a second.
    """
    plain = not is_terminal()
    if plain:
        log_to_stderr()
    run(wire, seconds=seconds, plain=plain, echo=click.echo)
