"""`websocket_monitor`: how feeders stand with their exchanges; a program of its own beside `udp_monitor`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click

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
from outcrier.monitor.health import HealthReport
from outcrier.monitor.health_lines import lines
from outcrier.monitor.health_screen import HealthScreen
from outcrier.monitor.health_source import HealthSource
from outcrier.reception import Address
from outcrier.silence import diagnose, small_buffer
from outcrier.venue_numbers import venue_number

_LOOK_NS: Final = 100_000_000
"""Between two looks, so that events have the right times and Ctrl-C is answered."""

_HEARD_NS: Final = 500_000_000
"""--once listens for so long at least: every feeder that lives is heard within 100 ms, and one that is dead
is known to be so.
"""


class _Venues(click.ParamType[str]):
    """The name of a venue."""

    name = "venue"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        venue_number(value)
        return value


@click.command(
    "websocket_monitor",
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, message="websocket_monitor %(version)s")
@feed_option
@config_option
@address_options
@click.option(
    "--venue", "venues", multiple=True, type=_Venues(), metavar="VENUE", help="Only this one; repeat it."
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds between two reports; the screen has its own pace.",
)
@click.option(
    "--once", is_flag=True, help="End after one report: when everything is known, or after --timeout."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=3600),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Longest time that --once waits.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document a report, on a line.")
def command(  # noqa: PLR0917  # click calls by name
    feed: str,
    config: Path | None,
    addresses: Addresses,
    venues: tuple[str, ...],
    interval: float,
    once: bool,  # click calls by name
    timeout: float,
    as_json: bool,
) -> None:
    """Show how feeders stand with their exchanges: connections, reconnects, rates, silence, books that are
    not live and why, last errors.

    Fed from the wire alone, on any host that hears it: takes REPLAY and TEST and shows these words, keeps
    no books, sends nothing. On a terminal it is a screen with pages (? is help), which needs the extra
    `monitor`; plain lines elsewhere. With --once it ends with code 4 if it heard no frame, or none of a
    --venue.
    """
    log_to_stderr()
    settings = with_multicast(read_config(config), feed, addresses)
    at: MulticastConfig = getattr(settings.multicast, feed)
    address, rcvbuf_bytes = Address.of(feed, at), settings.subscriber.rcvbuf_bytes
    with_screen = not (as_json or once) and is_terminal() and find_spec("textual") is not None
    face = HealthScreen() if with_screen else None
    source = HealthSource(address, rcvbuf_bytes, venues=venues, at=None if face is None else face.navigator)
    warning = small_buffer(source.rcvbuf_bytes, rcvbuf_bytes)
    if warning:
        click.echo(f"websocket_monitor: {warning}", err=True)
    if face is not None:
        from outcrier.monitor.app import run  # noqa: PLC0415  # an extra that need not be installed

        run(source, face)
    elif once:
        report = _listen(source, int(timeout * 1e9), until_complete=True)
        _write(report, as_json=as_json)
        if not source.monitor.streams():
            counters = {"dropped_replay": 0, "dropped_test": 0, **source.monitor.line(0)}
            raise NetworkError(diagnose(at.interface, at.group_a, at.port, counters))
        missing = [each.venue for each in report.venues if not each.channel and each.venue in venues]
        if missing:
            raise NetworkError(f"nothing heard of {', '.join(missing)} within {timeout:g} s")
    else:
        known = 0
        with until_stopped():
            while True:
                report = _listen(source, int(interval * 1e9), until_complete=False)
                _write(report, as_json=as_json, known=known)
                known = report.events_ever


def _listen(source: HealthSource, time_ns: int, *, until_complete: bool) -> HealthReport:
    """The report after so long, or once it is complete."""
    start_ns = mono_ns()
    while True:
        passed_ns = mono_ns() - start_ns
        source.listen(max(min(time_ns - passed_ns, _LOOK_NS), 0))
        report, passed_ns = source.look(), mono_ns() - start_ns
        if passed_ns >= time_ns or (until_complete and passed_ns >= _HEARD_NS and report.is_complete):
            return report


def _write(report: HealthReport, *, as_json: bool, known: int = 0) -> None:
    """Writes the report; lines tell those events that came after the first `known` ones."""
    if as_json:
        sys.stdout.write(f"{json_line(report)}\n")
    else:
        news = min(report.events_ever - known, len(report.events))
        events = report.events[len(report.events) - news :]
        sys.stdout.writelines(f"{utc(report.time_ns)} {text}\n" for text in lines(report, events))
    sys.stdout.flush()


def main() -> None:
    """The console script."""
    sys.exit(run_command(command, "websocket_monitor"))
