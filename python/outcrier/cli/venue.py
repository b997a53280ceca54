"""`outcrier venue`: a local server that stands in for an exchange, played from captures."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path

import click

from outcrier.capture.faults import KINDS, parse_fault
from outcrier.capture.library import venue_of
from outcrier.capture.server import StandInServer
from outcrier.capture.stand_in import COPIES_MAX, StandIn
from outcrier.cli.all_venues import serve_all
from outcrier.cli.output import capture_options, json_line, log_to_stderr
from outcrier.config import render
from outcrier.errors import ConfigurationError
from outcrier.feeder.service import stop_on_signals


@click.command("venue", short_help="Stand in for an exchange, played from captures.")
@functools.partial(capture_options, required=False)
@click.option(
    "--all",
    "all_venues",
    is_flag=True,
    help="Instead of CAPTURE: all venues with captures (OUTCRIER_DATA), each as a process and on a port of"
    " its own; needs --config-out.",
)
@click.option("--port", type=click.IntRange(0, 65_535), required=True, help="TCP port; 0 = any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--config-out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the feeder's configuration that fits: endpoints, symbols, channels, stream speed.",
)
@click.option(
    "--loop", is_flag=True, help="Begin anew at the end without cutting clients, where the exchange could."
)
@click.option(
    "--copies",
    type=click.IntRange(0, COPIES_MAX),
    default=0,
    show_default=True,
    metavar="N",
    help="Play each instrument under N more names too.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND[:KEY=VALUE,...]",
    help=f"Do something wrong on purpose, such as drop:at=50,streams=*@depth*. Kinds: {', '.join(KINDS)}.",
)
def command(  # noqa: PLR0917  # click calls by name
    captures: tuple[Path, ...],
    port: int,
    host: str,
    config_out: Path | None,
    speed: float | None,
    venue: str | None,
    instruments: Path | None,
    all_venues: bool,
    loop: bool,
    copies: int,
    faults: tuple[str, ...],
) -> None:
    """Speak an exchange's own WebSocket and REST protocol from captures of one venue, until Ctrl-C.

    `outcrier run --config FILE`, with the FILE of --config-out, publishes it; every frame is then flagged
    TEST. What did not happen in the recording (the end of a capture, the faults asked for) is counted as
    injected.
    """
    log_to_stderr()
    if all_venues:
        if captures or venue or instruments or config_out is None:
            raise ConfigurationError(
                "--all takes --config-out FILE, and neither CAPTURE, --venue nor --instruments"
            )
        options = ["--speed", "max" if speed is None else f"{speed:g}", "--copies", str(copies)]
        options += ["--loop"] * loop + [part for fault in faults for part in ("--fault", fault)]
        asyncio.run(serve_all(config_out, host, port, options))
        return
    if not captures:
        raise ConfigurationError("name captures, or give --all")
    stand_in = StandIn(
        venue_of(captures, venue),
        captures,
        host=host,
        port=port,
        speed=speed,
        faults=[parse_fault(fault) for fault in faults],
        instruments=instruments,
        loop=loop,
        copies=copies,
    )
    asyncio.run(serve(stand_in, stand_in.found.symbols, stand_in.found.remarks(), config_out))
    click.echo(json_line(stand_in.counters))


async def serve(
    server: StandInServer, symbols: Sequence[str], remarks: Sequence[str], config_out: Path | None
) -> None:
    """Runs a stand-in until SIGINT or SIGTERM and says where it is. Raises ConfigurationError where the
    configuration cannot be written, NetworkError for a port in use.
    """
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with server:
        if config_out is not None:
            try:
                config_out.write_text(render(server.config()), encoding="utf-8")  # noqa: ASYNC240  # once, at the start
            except OSError as error:
                raise ConfigurationError(f"{config_out}: {error.strerror}") from error
        click.echo(f"{server.venue.name} at {server.ws_url} and {server.rest_url}: {', '.join(symbols)}")
        for remark in remarks:
            click.echo(remark, err=True)
        await stop.wait()
