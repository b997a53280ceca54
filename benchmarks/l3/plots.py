"""The plots of docs/l3.md, of what `outcrier bench l3 --json` told.

PYTHONPATH=python .venv-bench/bin/python -m benchmarks.l3.plots benchmarks/record/DATE-l3.jsonl docs/img
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import msgspec
from PIL import Image

from outcrier.bench.found import AWAY, EXPECTED, MEDIAN, NEWEST
from outcrier.bench.score import SetScore
from outcrier.inference import Rule

mpl.use("Agg")
from matplotlib import pyplot as plt

RECORDINGS = ("ES", "GOOG", "AAPL-50", "AAPL-1", "Bitstamp")
BATCHINGS_MS = (0.0, 10.0, 100.0)
COLORS = ("#1b6ca8", "#d1495b", "#3a7d44", "#edae49", "#6b4e9b", "#555555")
DPI = 90

LEAST_ASKS = 50
"""A point of fewer would say little."""

Found = dict[tuple[str, float], SetScore]


def read(record: Path) -> Found:
    """The whole recordings with all levels, by name and batching in ms."""
    rows = [msgspec.json.decode(line, type=SetScore) for line in record.read_bytes().splitlines()]
    return {(row.recording, row.every_ms): row for row in rows if not row.depth and not row.from_s}


def batching(every_ms: float) -> str:
    return f"{every_ms:g} ms" if every_ms else "each event"


def errors(found: Found) -> Any:
    """Error of the place in parts of newest-first's, by recording and batching."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True)
    shown = {f"inferred, {Rule.EXACT}": "exact", f"inferred, {Rule.LIKELIEST}": "likeliest"}
    shown |= {EXPECTED: "mean of the distribution", MEDIAN: "median of the distribution"}
    for axis, every_ms in zip(axes, BATCHINGS_MS, strict=True):
        for number, (rule, name) in enumerate(shown.items()):
            for at, recording in enumerate(RECORDINGS):
                row = next(each for each in found[recording, every_ms].rules if each.rule == rule)
                ratio = row.error_of_newest
                ends = [[ratio.value - ratio.low], [ratio.high - ratio.value]]
                axis.errorbar(
                    at + (number - 1.5) / 6,
                    ratio.value,
                    yerr=ends,
                    fmt="o",
                    ms=4,
                    lw=1.2,
                    color=COLORS[number],
                    label=None if at else name,
                )
        axis.axhline(1, color="#999999", lw=0.8)
        axis.set_xticks(range(len(RECORDINGS)), RECORDINGS, fontsize=8)
        axis.set_title(f"levels: {batching(every_ms)}", fontsize=10)
        axis.set_ylim(0, 1.4)
    axes[0].set_ylabel("error / newest-first's")
    axes[0].legend(fontsize=7, loc="upper right")
    return figure


def intervals(found: Found) -> Any:
    """How often the truth was within an interval, beside what was asked for and what was said."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True)
    for axis, every_ms in zip(axes, BATCHINGS_MS, strict=True):
        axis.plot([0.45, 1], [0.45, 1], color="#999999", lw=0.8)
        for number, recording in enumerate(RECORDINGS):
            rows = found[recording, every_ms].intervals
            asked, held, said = zip(
                *((each.within, each.held.value, each.said) for each in rows), strict=True
            )
            axis.plot(asked, held, "o-", ms=4, color=COLORS[number], label=f"{recording}: held")
            axis.plot(
                asked, said, ":", lw=1, color=COLORS[number], label="dotted: said" if not number else None
            )
        axis.set_title(f"levels: {batching(every_ms)}", fontsize=10)
        axis.set_xlabel("asked for")
        axis.set_ylim(0.45, 1.02)
    axes[0].set_ylabel("part of the looks")
    axes[0].legend(fontsize=7, loc="lower right")
    return figure


def fills(found: Found) -> Any:
    """How often an order was filled in time, by how probable that was said to be."""
    wanted = ("ES", "GOOG", "AAPL-50")
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True)
    for axis, recording in zip(axes, wanted, strict=True):
        axis.plot([0, 1], [0, 1], color="#999999", lw=0.8)
        rows = [each for each in found[recording, 0.0].fills if not each.best]
        for number, row in enumerate(rows):
            bins = [each for each in row.bins if each.asks >= LEAST_ASKS]
            said, filled = ([getattr(each, name) for each in bins] for name in ("said", "filled"))
            ratio = f"Brier {row.brier:.3f}, {row.brier_of_base.value:.2f} of the base rate's"
            axis.plot(said, filled, "o-", ms=4, color=COLORS[number], label=f"{row.seconds} s: {ratio}")
        axis.set_title(f"{recording}, all levels", fontsize=10)
        axis.set_xlabel("probability said")
        axis.legend(fontsize=7, loc="upper left")
    axes[0].set_ylabel("part that was filled")
    return figure


def levels(found: Found) -> Any:
    """Error in lots, coverage and the number of orders by the level that was joined, and over time; ES."""
    row = found["ES", 0.0]
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6))
    shown = {NEWEST: "newest", f"inferred, {Rule.EXACT}": "exact"}
    shown |= {f"inferred, {Rule.LIKELIEST}": "likeliest", MEDIAN: "median"}
    names = list(AWAY)
    for number, (rule, name) in enumerate(shown.items()):
        errors_of = next(each for each in row.rules if each.rule == rule).error_by_away
        axes[0].plot(names, errors_of, "o-", ms=4, color=COLORS[number], label=name)
    axes[0].set_ylabel("error, lots")
    for number, each in enumerate(row.intervals):
        held = [part.held for part in each.by_away]
        axes[1].plot(names, held, "o-", ms=4, color=COLORS[number], label=f"{100 * each.within:g} %")
        axes[1].axhline(each.within, color=COLORS[number], lw=0.8, ls=":")
    axes[1].set_ylabel("held")
    for number, counts in enumerate(row.count_rules):
        tenths = range(1, 1 + len(counts.by_time))
        axes[2].plot(tenths, counts.by_time, "o-", ms=3, color=COLORS[number], label=counts.rule)
    axes[2].set_ylabel("number of orders, error as a part")
    axes[2].set_xlabel("tenth of the hour")
    for axis, title in zip(
        axes, ("error by level", "intervals by level", "orders a level, by time"), strict=True
    ):
        axis.set_title(f"ES, each event: {title}", fontsize=10)
        axis.tick_params(axis="x", labelsize=8)
        axis.legend(fontsize=7)
        axis.set_ylim(bottom=0)
    return figure


PLOTS: dict[str, Callable[[Found], Any]] = {
    "l3-errors": errors,
    "l3-intervals": intervals,
    "l3-fills": fills,
    "l3-levels": levels,
}


def main() -> None:
    """Writes all of them."""
    record, folder = map(Path, sys.argv[1:])
    found = read(record)
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in PLOTS.items():
        figure = plot(found)
        figure.tight_layout()
        drawn = BytesIO()
        figure.savefig(drawn, dpi=DPI)
        few = Image.open(drawn).convert("RGB").quantize(64)  # A third of the bytes.
        few.save(folder / f"{name}.png", optimize=True)
        plt.close(figure)


if __name__ == "__main__":
    main()
