"""`outcrier gaps`: what was missing on the way here, why, and how it was made whole."""

from __future__ import annotations

import sys

import click

from outcrier.cli.output import clean, json_line, log_to_stderr, subscriber, until_stopped, utc, wire_options
from outcrier.cli.tail import listed
from outcrier.clock import mono_ns
from outcrier.config import Config
from outcrier.errors import NetworkError
from outcrier.gaps import Gap
from outcrier.silence import accepted
from outcrier.subscriber import Subscriber

_LOOK_NS = 200_000_000
"""Gaps are printed at most this late."""


@click.command("gaps", short_help="Print what was missing, why, and how it was repaired.")
@click.option(
    "--symbols", "-s", multiple=True, metavar="SYMBOL@VENUE", help="Only these; repeat it or use commas."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Listen for so long.  [default: until Ctrl-C]",
)
@wire_options
def command(symbols: tuple[str, ...], as_json: bool, seconds: float | None, wire: Config) -> None:
    """Listen, and print every gap once it is over: which numbers, why, how repaired and after how long.

    Gaps that are still open at the end come last. Code 4 if nothing was heard.
    """
    log_to_stderr()
    end_ns = None if seconds is None else mono_ns() + int(seconds * 1e9)
    printed = _Printed()
    with subscriber(wire, symbols=listed(symbols), types=()) as sub:
        with until_stopped():
            while end_ns is None or mono_ns() < end_ns:
                left_ns = _LOOK_NS if end_ns is None else min(_LOOK_NS, end_ns - mono_ns())
                sub.pump(max(left_ns, 1) / 1e9)
                _print(sub.gaps(), printed, as_json=as_json)
        _print(sub.gaps(still_open=True), printed, as_json=as_json)
        if not as_json:
            click.echo(f"outcrier: {_summary(sub, printed.gaps)}", err=True)
        if not accepted(sub.counters()):
            raise NetworkError(sub.diagnosis())


class _Printed:
    gaps = 0


def _print(gaps: list[Gap], printed: _Printed, *, as_json: bool) -> None:
    for gap in gaps:
        sys.stdout.write((json_line(gap) if as_json else describe_gap(gap)) + "\n")
    printed.gaps += len(gaps)
    sys.stdout.flush()


def describe_gap(gap: Gap) -> str:
    """A line for people."""
    if gap.count:
        what = f"{gap.count:,} from {gap.first} missing"
    else:
        what = f"{gap.expected} expected, {gap.got} came" if gap.expected else "not whole"
    where = gap.symbol or f"{gap.venue or '-'} channel {gap.channel} {gap.plane}"
    how = "still open" if gap.repair == "open" else f"repaired by {gap.repair}"
    text = f"{utc(gap.opened_ts)} {where}: {what} ({gap.cause}), {how} after {gap.after_ns / 1e6:.3f} ms"
    return clean(text)


def _summary(sub: Subscriber, gaps: int) -> str:
    counters = sub.counters()
    return (
        f"{gaps:,} gaps, {counters['missing']:,} numbers missing, {counters['given_up']:,} given up,"
        f" {counters['frames']:,} frames"
    )
