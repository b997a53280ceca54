"""`udp_monitor`: what is on the wire, counted; a program of its own beside `outcrier`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.live import Live

from outcrier import __version__
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
from outcrier.clock import mono_ns
from outcrier.config import MulticastConfig
from outcrier.errors import NetworkError
from outcrier.monitor.report import Report, Wish
from outcrier.monitor.screen import lines, screen
from outcrier.monitor.source import Source, UdpListener
from outcrier.monitor.udp_screen import UdpScreen
from outcrier.reception import Address
from outcrier.silence import diagnose, small_buffer

_SLICE_NS: Final = 200_000_000
"""Longest time in the core, so that Ctrl-C is answered within it."""

_WINDOW_NS: Final = 1_000_000_000
"""Time that the rates of the screen are of, while it changes ten times a second."""

_WISH: Final = Wish(limit=20)
"""Instruments of a report that is no screen: the busiest."""


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
    help="Seconds that each report is about; the screen with pages has its own pace.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N reports.")
@click.option("--once", is_flag=True, help="End after one report, as --count 1.")
@click.option("--plain", is_flag=True, help="A table that stays in place instead of the screen with pages.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a report, on a line.")
def command(  # noqa: PLR0917  # click calls by name
    feed: str,
    config: Path | None,
    addresses: Addresses,
    interval: float,
    count: int | None,
    once: bool,  # click calls by name
    plain: bool,
    as_json: bool,
) -> None:
    """Show what is on the wire: channels, venues, instruments by rate, states, gaps and what filled them,
    drops, latencies from hop to hop, text lines.

    Listens to lines A and B, snapshot, repair and text group, takes REPLAY and TEST and shows these words.
    It keeps no books but that of the instrument looked at, and sends nothing. On a terminal it is a screen
    with pages (? is help), which needs the extra `monitor`; a table with --plain, --count or without the
    extra; plain lines elsewhere. With --count or --once it ends with code 4 if it heard no frame.
    """
    log_to_stderr()
    settings = with_multicast(read_config(config), feed, addresses)
    at: MulticastConfig = getattr(settings.multicast, feed)
    left = 1 if once else count
    run_screen = None if as_json or plain or left is not None or not is_terminal() else _screen()
    window_ns = 0 if run_screen is None else _WINDOW_NS
    source = Source(Address.of(feed, at), settings.subscriber, window_ns=window_ns)
    warning = small_buffer(source.rcvbuf_bytes, settings.subscriber.rcvbuf_bytes)
    if warning:
        click.echo(f"udp_monitor: {warning}", err=True)
    if run_screen is not None:
        run_screen(source)
        return
    report = _report_until(source, int(interval * 1e9), left, as_json=as_json)
    if left is not None and report is not None and not report.frames:
        counters = {"dropped_replay": 0, "dropped_test": 0, **source.monitor.line(0)}
        raise NetworkError(diagnose(at.interface, at.group_a, at.port, counters))


def _screen() -> Callable[[Source], None] | None:
    """The screen with pages; None where Textual is not installed."""
    if find_spec("textual") is None:
        return None
    from outcrier.monitor.app import run  # noqa: PLC0415  # an extra that need not be installed

    def shown(source: Source) -> None:
        face = UdpScreen()
        run(UdpListener(source, face.navigator), face)

    return shown


def _report_until(source: Source, interval_ns: int, left: int | None, *, as_json: bool) -> Report | None:
    """Reports until Ctrl-C, or `left` of them; the last one."""
    report = live = None
    forever = left is None
    with until_stopped(), ExitStack() as stack:
        if is_terminal() and not as_json:
            live = stack.enter_context(Live(console=Console(), auto_refresh=False, screen=forever))
        while left is None or left > 0:
            end_ns = mono_ns() + interval_ns
            while (left_ns := end_ns - mono_ns()) > 0:
                source.listen(min(left_ns, _SLICE_NS))
            report = source.take(_WISH)
            if live is not None:
                live.update(screen(report), refresh=True)
            else:
                sys.stdout.writelines(f"{text}\n" for text in _texts(report, as_json=as_json))
                sys.stdout.flush()
            left = None if left is None else left - 1
    if live is not None and forever and report is not None:
        # The table went with its screen; what it showed last stays.
        Console().print(screen(report))
    return report


def _texts(report: Report, *, as_json: bool) -> list[str]:
    if as_json:
        return [json_line(report)]
    return [f"{utc(report.time_ns)} {text}" for text in lines(report)]


def main() -> None:
    """The console script."""
    sys.exit(run_command(command, "udp_monitor"))
