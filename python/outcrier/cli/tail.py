"""`outcrier tail`: events as they come, a line each."""

from __future__ import annotations

import sys

import click

from outcrier.cli.output import describe, json_line, log_to_stderr, subscriber, until_stopped, wire_options
from outcrier.clock import mono_ns
from outcrier.config import Config
from outcrier.errors import NetworkError
from outcrier.layout import MESSAGE_TYPES
from outcrier.subscriber import Subscriber

SCRIPT_TIMEOUT_S = 30.0
"""--timeout of a run with --count or --json that names none: a script must not hang on a feed that is not
there.
"""


@click.command("tail", short_help="Print events as they come.")
@click.option(
    "--symbols", "-s", multiple=True, metavar="SYMBOL@VENUE", help="Only these; repeat it or use commas."
)
@click.option(
    "--types",
    "-t",
    multiple=True,
    metavar="TYPE",
    help=f"Only these: {', '.join(MESSAGE_TYPES)}. Changes of state and losses come always.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; prices are exact text.")
@click.option("--count", type=click.IntRange(min=1), help="End after this many events.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="S",
    help="End with code 4 after this long without an event; 0 = wait for ever.  "
    f"[default: {SCRIPT_TIMEOUT_S:g} with --count or --json, else 0]",
)
@wire_options
def command(  # noqa: PLR0917  # click calls by name
    symbols: tuple[str, ...],
    types: tuple[str, ...],
    as_json: bool,  # click calls by name
    count: int | None,
    timeout: float | None,
    wire: Config,
) -> None:
    """Print events as they come, a line each.

    The words REPLAY and TEST mark recorded data and data that does not come from the venue itself.
    """
    log_to_stderr()
    if timeout is None:
        timeout = SCRIPT_TIMEOUT_S if count or as_json else 0.0
    sub = subscriber(wire, symbols=listed(symbols), types=listed(types), timeout=timeout or None)
    start_ns = mono_ns()
    with sub:
        printed = _Printed()
        try:
            with until_stopped():
                _print_events(sub, printed, count=count, as_json=as_json)
        except NetworkError:
            if sub.counters()[
                "frames"
            ]:  # What was lost may be why; without a frame there is nothing to sum up.
                _tell_summary(sub, printed, start_ns)
            raise
        if count is None:
            _tell_summary(sub, printed, start_ns)


class _Printed:
    """How many events were printed, also when a signal ends it."""

    events = 0


def _print_events(sub: Subscriber, printed: _Printed, *, count: int | None, as_json: bool) -> None:
    form = json_line if as_json else describe
    for batch in sub.iter_batches():
        for event in batch:
            sys.stdout.write(form(event) + "\n")
            printed.events += 1
            if printed.events == count:
                sys.stdout.flush()
                return
        sys.stdout.flush()


def _tell_summary(sub: Subscriber, printed: _Printed, start_ns: int) -> None:
    seconds = (mono_ns() - start_ns) / 1e9
    click.echo(f"outcrier: {summary(sub, printed.events)} in {seconds:.1f} s", err=True)


def listed(given: tuple[str, ...]) -> list[str] | None:
    """Values of an option that may be repeated or hold several, separated by commas; None if not given."""
    values = [part.strip() for text in given for part in text.split(",") if part.strip()]
    return values or None


def summary(sub: Subscriber, events: int) -> str:
    """What was received, in a line: events, frames, and everything that went wrong."""
    counters = sub.counters()
    frames = f"{counters['frames']:,} frames, {counters['gaps']:,} gaps"
    # A drop is a buffer: one datagram, or a whole segmented send.
    lost = f"{counters['given_up']:,} frames lost, {counters['kernel_drops']:,} buffers dropped by the kernel"
    return f"{events:,} events, {frames}, {lost}"
