"""What the weights of the likeliest order are worth: fitted on the first half hour of ES, tried on the
second.

    OUTCRIER_DATA=... python -m benchmarks.l3.weights

Prints the error of each combination in parts of that of newest-first, by half, best on the first half first.
Takes six minutes.
"""

from __future__ import annotations

from itertools import product

from outcrier.bench.found import NEWEST, RULES, SECOND_NS
from outcrier.bench.levels import batches
from outcrier.bench.places import Bench
from outcrier.bench.sets import SETS
from outcrier.capture.library import data_folder
from outcrier.inference import Rule, Weights

HALF_NS = 1_800 * SECOND_NS
ORDERS = range(3_480)
"""Seconds from the open at which test orders join, as `outcrier bench l3` has them."""

EXPONENTS = (0.0, 0.5, 1.0, 1.5)
LARGER = (0.02, 0.05, 0.2)
SMALLER = (0.001, 0.02)

LIKELIEST = f"inferred, {Rule.LIKELIEST}"


def main() -> None:
    """Tries all combinations."""
    folder = data_folder()
    assert folder is not None, "OUTCRIER_DATA names no folder"
    chosen = SETS["ES"]
    file = chosen.read(folder / "l3")
    messages = list(batches(file))
    rows = []
    for values in product(EXPONENTS, LARGER, SMALLER):
        when = [chosen.begins_ns + second * SECOND_NS for second in ORDERS]
        scores = Bench(file.tick, when, asks=False, weights=Weights(*values)).run(messages)
        scores = scores.select(scores.away == 0)
        is_first = scores.placed < chosen.begins_ns + HALF_NS
        halves = [
            float(
                scores.off[RULES.index(LIKELIEST), half].sum() / scores.off[RULES.index(NEWEST), half].sum()
            )
            for half in (is_first, ~is_first)
        ]
        rows.append((*halves, Weights(*values)))
    print("first half  second half")
    for first, second, weights in sorted(rows):
        print(f"{first:10.3f}  {second:11.3f}  {weights}{' (the default)' if weights == Weights() else ''}")


if __name__ == "__main__":
    main()
