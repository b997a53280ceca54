"""`outcrier bench`: how far from the truth what we infer is, on recordings that have it."""

from __future__ import annotations

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from outcrier.bench.levels import batches
from outcrier.bench.places import Bench
from outcrier.bench.score import BLOCK_NS, Figure, SetScore, score
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
@click.option("--json", "as_json", is_flag=True, help="One JSON object a recording, batching and line.")
def l3(recordings: tuple[str, ...], every_ms: tuple[float, ...], depth: int, as_json: bool) -> None:
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
            bench = Bench(file.tick, starts(chosen, file, BLOCK_NS), depth)
            scores = bench.run(batches(file, int(every * _MS)))
            found = score(
                name,
                chosen.about,
                every,
                chosen.lot,
                scores=scores,
                cancels=bench.cancels,
                depth=depth,
            )
            if as_json:
                click.echo(json_line(found))
            else:
                console = Console()
                console.print(_table(found, fills=chosen.has_aggressors))
                if found.cancels:
                    console.print(_cancels(found))


def _table(found: SetScore, *, fills: bool) -> Table:
    levels = f"the best {found.depth} levels" if found.depth else "levels"
    messages = f"{levels} every {found.every_ms:g} ms" if found.every_ms else f"{levels} with each event"
    table = Table(
        title=f"{found.recording}: {found.about}; {messages}; {found.orders:,} test orders,"
        f" {found.mean_queue:,.1f} lots before one, {100 * found.filled:.0f} % filled",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    for column in (
        "rule",
        "error, lots",
        "of the level",
        "of newest-first",
        "bias, lots",
        "fill bias, points",
        "beyond the truth's",
        "fill time, s",
    ):
        table.add_column(column, justify="left" if column == "rule" else "right")
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
    table = Table(
        title=f"{found.cancels:,} cancelled orders: the place of the one that a rule picks",
        box=SIMPLE_HEAD,
        title_justify="left",
    )
    for column in (
        "rule",
        "error, lots",
        "of the queue",
        "right",
        "number of orders, error",
        "right, by confidence",
    ):
        table.add_column(column, justify="left" if column == "rule" else "right")
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
