"""`outcrier sim`: a local server of the simulated market."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from outcrier._core import Market
from outcrier.capture.simulation import SimulatedExchange, Simulation
from outcrier.cli.output import json_line, log_to_stderr
from outcrier.cli.venue import serve


@click.command("sim", short_help="Serve a simulated market: load with a known truth.")
@click.option("--port", type=click.IntRange(0, 65_535), required=True, help="TCP port; 0 = any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--instruments",
    type=click.IntRange(1, Market.INSTRUMENTS_MAX),
    default=1,
    show_default=True,
    metavar="N",
    help=f"Instruments, SIM1-USD and so on; at most {Market.INSTRUMENTS_MAX:,}.",
)
@click.option(
    "--rate",
    type=click.IntRange(0, Market.RATE_MAX),
    default=0,
    metavar="R",
    help=f"Requests a second of each instrument in the mean; at most {Market.RATE_MAX:,}."
    "  [default: 12, as of the recording that it was made after]",
)
@click.option(
    "--seed",
    type=click.IntRange(0, (1 << 64) - 1),
    default=0,
    show_default=True,
    metavar="S",
    help="What all orders follow from.",
)
@click.option(
    "--config-out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the feeder's configuration that fits: endpoints, symbols, channels.",
)
def command(  # noqa: PLR0917  # click calls by name
    port: int, host: str, instruments: int, rate: int, seed: int, config_out: Path | None
) -> None:
    """Serve the venue `sim` until Ctrl-C: a simulation, not a market.

    Matching engines whose orders are drawn by the seed, with the protocol of docs/sim.md: levels, trades,
    best prices and the orders themselves. `outcrier run --config FILE`, with the FILE of --config-out,
    publishes it; every frame is then flagged TEST. A market that clients or the machine cannot follow waits,
    which is counted as late.
    """
    log_to_stderr()
    exchange = SimulatedExchange(seed=seed, instruments=instruments, rate=rate)
    server = Simulation(exchange, host=host, port=port)
    asyncio.run(serve(server, exchange.symbols, ["simulation, not a market"], config_out))
    click.echo(json_line(server.counters))
