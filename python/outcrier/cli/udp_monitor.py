"""`udp_monitor`: what is on the wire, counted; a program of its own beside `outcrier`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from outcrier import __version__, _core
from outcrier.cli.main import EXIT_CODES, run_command
from outcrier.cli.output import (
    Addresses,
    address_options,
    config_option,
    feed_option,
    is_terminal,
    json_line,
    log_to_stderr,
    read_config,
    until_stopped,
    utc,
    with_multicast,
)
from outcrier.clock import mono_ns, wall_ns
from outcrier.config import MulticastConfig
from outcrier.errors import NetworkError
from outcrier.monitor.report import Address, Report, Reporter
from outcrier.monitor.screen import lines, screen
from outcrier.silence import diagnose, small_buffer

_SLICE_NS = 200_000_000
"""Longest time in the core, so that Ctrl-C is answered within it."""


@click.command(
    "udp_monitor",
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, message="udp_monitor %(version)s")
@feed_option
@config_option
@address_options
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds that each report is about.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N reports.")
@click.option("--once", is_flag=True, help="End after one report, as --count 1.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a report, on a line.")
def command(  # noqa: PLR0917  # click calls by name
    feed: str,
    config: Path | None,
    addresses: Addresses,
    interval: float,
    count: int | None,
    once: bool,  # click calls by name
    as_json: bool,
) -> None:
    """Count what is on the wire: packets and bytes a second by channel, venue and message type, missing
    frames, kernel drops, refused datagrams, last seen.

    Listens to both planes, takes REPLAY and TEST and shows these words. It keeps no books and sends nothing.
    A table on a terminal, plain lines elsewhere. With --count or --once it ends with code 4 if it heard no
    frame.
    """
    log_to_stderr()
    settings = with_multicast(read_config(config), feed, addresses)
    at: MulticastConfig = getattr(settings.multicast, feed)
    address = Address(feed, at.interface, at.group_a, at.group_snapshot, at.port)
    monitor = _core.Monitor()
    _open(monitor, address, settings.subscriber.rcvbuf_bytes)
    left = 1 if once else count
    report = live = None
    with until_stopped(), ExitStack() as stack:
        if is_terminal() and not as_json:
            live = stack.enter_context(Live(console=Console(), auto_refresh=False, screen=left is None))
        reporter = Reporter(address, monitor.effective_rcvbuf(), mono_ns())
        while left is None or left > 0:
            report = _next(monitor, reporter, int(interval * 1e9))
            if live is not None:
                live.update(screen(report), refresh=True)
            else:
                sys.stdout.writelines(f"{text}\n" for text in _texts(report, as_json=as_json))
                sys.stdout.flush()
            left = None if left is None else left - 1
    if live is not None and left is None and report is not None:
        # The table went with its screen; what it showed last stays.
        Console().print(screen(report))
    if (count or once) and report is not None and not report.frames:
        plane = monitor.plane(0)
        counters = {"dropped_replay": 0, "dropped_test": 0, **plane}
        raise NetworkError(diagnose(at.interface, at.group_a, at.port, counters))


def _open(monitor: _core.Monitor, address: Address, rcvbuf_bytes: int) -> None:
    try:
        monitor.open(
            interface=address.interface,
            group=address.group,
            snapshot_group=address.snapshot_group,
            port=address.port,
            rcvbuf_bytes=rcvbuf_bytes,
        )
    except OSError as error:
        raise NetworkError(error.strerror or str(error)) from error
    warning = small_buffer(monitor.effective_rcvbuf(), rcvbuf_bytes)
    if warning:
        click.echo(f"udp_monitor: {warning}", err=True)


def _next(monitor: _core.Monitor, reporter: Reporter, interval_ns: int) -> Report:
    end_ns = mono_ns() + interval_ns
    while (left_ns := end_ns - mono_ns()) > 0:
        try:
            monitor.listen(min(left_ns, _SLICE_NS))
        except OSError as error:
            raise NetworkError(error.strerror or str(error)) from error
    planes = [monitor.plane(0), monitor.plane(1)]
    return reporter.take(planes, monitor.streams(), monitor.truncated(), mono_ns=mono_ns(), wall_ns=wall_ns())


def _texts(report: Report, *, as_json: bool) -> list[str]:
    if as_json:
        return [json_line(report)]
    return [f"{utc(report.time_ns)} {text}" for text in lines(report)]


def main() -> None:
    """The console script."""
    sys.exit(run_command(command, "udp_monitor"))
