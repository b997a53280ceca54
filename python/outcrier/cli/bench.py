"""`outcrier bench`: how far from the truth what we infer is, on recordings that have it."""

from __future__ import annotations

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from outcrier.bench.blocks import BLOCK_NS, Figure
from outcrier.bench.found import AWAY
from outcrier.bench.levels import batches
from outcrier.bench.places import Bench
from outcrier.bench.score import SetScore, score
from outcrier.bench.sets import SETS, order_set, starts
from outcrier.capture.library import ENVIRONMENT_KEY, data_folder
from outcrier.cli.output import json_line
from outcrier.errors import ConfigurationError

_MS = 1_000_000


@click.group("bench", short_help="Score what is inferred against recorded truth.")
def command() -> None:
    """Score what Outcrier infers against recordings that have the truth."""


@command.command("l3", short_help="Inferred orders against real ones.")
@click.argument("recordings", nargs=-1, metavar="[RECORDING]...")
@click.option(
    "--every-ms",
    multiple=True,
    type=click.FloatRange(min=0),
    default=(0.0,),
    show_default=True,
    help="Levels come in messages of so long together; 0 = with each event. May be given several times.",
)
@click.option(
    "--depth",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Only so many of the best levels a side are told; 0 = all.",
)
@click.option(
    "--bests",
    is_flag=True,
    help="Every change of the best prices is told, too, as venues do between two messages of levels.",
)
@click.option(
    "--from-s",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Test orders join from so many seconds after the first ones would on.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a recording, batching and line.")
def l3(  # noqa: PLR0917  # click calls by name
    recordings: tuple[str, ...],
    every_ms: tuple[float, ...],
    depth: int,
    bests: bool,
    from_s: float,
    as_json: bool,  # click calls by name
) -> None:
    """Derive levels and trades from recorded orders, infer the orders from those alone, and say how far each
    rule is from the true place of test orders.

    RECORDING: ES, GOOG, AAPL-50, AAPL-1, Bitstamp; all without one.
    """
    folder = data_folder()
    if folder is None or not (folder / "l3").is_dir():
        raise ConfigurationError(f"no recordings of orders: {ENVIRONMENT_KEY} names the folder that has l3/")
    for name in dict.fromkeys(recordings) or SETS:
        chosen = order_set(name)
        file = chosen.read(folder / "l3")
        for every in every_ms:
            when = starts(chosen, file, BLOCK_NS, from_s)
            if not when:
                raise ConfigurationError(f"--from-s {from_s:g}: {name} has no test orders so late")
            bench = Bench(file.tick, when, depth, bests=bests, asks=chosen.has_aggressors)
            scores = bench.run(batches(file, int(every * _MS)))
            found = score(
                name,
                chosen.about,
                every,
                chosen.lot,
                scores=scores,
                cancels=bench.cancels,
                depth=depth,
                bests=bests,
                from_s=from_s,
            )
            if as_json:
                click.echo(json_line(found))
            else:
                console = Console()
                tables = [_table(found, fills=chosen.has_aggressors), _away(found), _intervals(found)]
                if found.fills:
                    tables.append(_fills(found))
                if found.cancels:
                    tables.append(_cancels(found))
                tables.append(_counts(found))
                for table in tables:
                    console.print(table)


def _of(title: str, *columns: str) -> Table:
    """An empty table whose first column is words, the others figures."""
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    for at, column in enumerate(columns):
        table.add_column(column, justify="right" if at else "left")
    return table


def _table(found: SetScore, *, fills: bool) -> Table:
    levels = f"the best {found.depth} levels" if found.depth else "levels"
    messages = f"{levels} every {found.every_ms:g} ms" if found.every_ms else f"{levels} with each event"
    messages += ", best prices at once" if found.bests else ""
    table = _of(
        f"{found.recording}: {found.about}; {messages}; {found.orders:,} test orders,"
        f" {found.mean_queue:,.1f} lots before one, {100 * found.filled:.0f} % filled",
        "rule",
        "error, lots",
        "of the level",
        "of newest-first",
        "bias, lots",
        "fill bias, points",
        "beyond the truth's",
        "fill time, s",
    )
    for each in found.rules:
        time = "" if each.fill_time_error_s is None else f"{each.fill_time_error_s:.2f}"
        of_fills = [_text(each.fill_bias, "+.2f"), _text(each.fill_bias_beyond_truth, "+.2f"), time]
        table.add_row(
            each.rule,
            _text(each.error, ",.2f"),
            _text(each.error_of_queue, ".2f"),
            _text(each.error_of_newest, ".2f"),
            f"{each.bias:+,.2f}",
            *(of_fills if fills else ["no aggressors", "", ""]),
        )
    return table


def _text(figure: Figure, form: str) -> str:
    return f"{figure.value:{form}} [{figure.low:{form}}, {figure.high:{form}}]"


def _cancels(found: SetScore) -> Table:
    table = _of(
        f"{found.cancels:,} cancelled orders: the place of the one that a rule picks",
        "rule",
        "error, lots",
        "of the queue",
        "right",
        "number of orders, error",
        "right, by confidence",
    )
    for each in found.cancel_rules:
        bins = " ".join(f"{bin_.confidence:.2f}:{bin_.right:.2f}" for bin_ in each.calibration)
        table.add_row(
            each.rule,
            f"{each.error:,.2f}",
            f"{each.error_of_queue:.2f}",
            f"{each.right:.2f}",
            f"{each.order_count_error:.2f}",
            bins,
        )
    return table


def _away(found: SetScore) -> Table:
    table = _of("Error in lots by the level that test orders joined", "rule", *AWAY)
    for each in found.rules:
        table.add_row(each.rule, *(f"{error:,.2f}" for error in each.error_by_away))
    return table


def _intervals(found: SetScore) -> Table:
    table = _of(
        "Intervals of what is before a test order, in %",
        "asked for",
        "said",
        "held",
        "width, lots",
        "held below 1 s",
        "10 s",
        "60 s",
        *AWAY,
    )
    for each in found.intervals:
        held = [f"{100 * part.held:.1f}" for part in (*each.by_age, *each.by_away)]
        width = f"{each.width:,.2f}"
        of_held = (each.held.value, each.held.low, each.held.high)
        value, low, high = (f"{100 * part:.1f}" for part in of_held)
        table.add_row(
            f"{100 * each.within:g}", f"{100 * each.said:.1f}", f"{value} [{low}, {high}]", width, *held
        )
    return table


def _fills(found: SetScore) -> Table:
    table = _of(
        "Probability of a fill within so many seconds",
        "seconds",
        "levels",
        "asked",
        "said",
        "filled",
        "Brier score",
        "of the base rate's",
        "filled, by probability",
    )
    for each in found.fills:
        bins = " ".join(f"{bin_.said:.2f}:{bin_.filled:.2f}" for bin_ in each.bins)
        table.add_row(
            str(each.seconds),
            "the best" if each.best else "all",
            f"{each.asks:,}",
            f"{each.said:.3f}",
            f"{each.filled:.3f}",
            f"{each.brier:.4f}",
            _text(each.brier_of_base, ".2f"),
            bins,
        )
    return table


def _counts(found: SetScore) -> Table:
    table = _of(
        "Number of orders of a level: error as a part of it", "rule", "all", *AWAY, "by tenths of the time"
    )
    for each in found.count_rules:
        parts = [f"{error:.2f}" for error in (each.error, *each.by_away)]
        table.add_row(each.rule, *parts, " ".join(f"{error:.2f}" for error in each.by_time))
    return table
