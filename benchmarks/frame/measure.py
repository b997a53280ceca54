"""Measuring: the answer first, then the time; every value goes to the results of the session."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.frame.rows import Row

State = TypeVar("State")

PASSES = 5
"""Passes of a timed case in each round; the fastest of them, which was disturbed least, is the value of the
round.
"""


@dataclass
class Results:
    """What a session measured: values by row, message set and case, one a round."""

    rows: dict[str, Row] = field(default_factory=dict)
    values: dict[tuple[str, str], dict[str, list[float]]] = field(default_factory=dict)
    extras: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    def add(self, row: Row, on: str, case: str, value: float, extra: dict[str, Any]) -> None:
        known = self.rows.setdefault(row.name, row)
        assert known == row, f"two rows are called {row.name!r}"
        self.values.setdefault((row.name, on), {}).setdefault(case, []).append(value)
        if extra:
            self.extras[row.name, on, case] = extra


@dataclass
class Measure:
    """The fixture `measure`: one case of one round.

    Without `--record` it checks the answer and measures nothing.
    """

    results: Results
    benchmark: Callable[[], BenchmarkFixture]
    """Asked for by a case that is timed; pytest-benchmark complains of one that does not use it."""
    is_recording: bool

    def time(
        self,
        row: Row,
        case: str,
        *,
        setup: Callable[[], State],
        run: Callable[[State], object],
        answer: Callable[[State], object],
        expected: object,
        per: int,
        on: str = "",
        passes: int = PASSES,
        **extra: Any,
    ) -> None:
        """Times `run` on a fresh state in nanoseconds a piece of `per`, after `answer` was found as expected.

        `extra` goes into the record as it is.
        """
        state = setup()
        run(state)
        assert answer(state) == expected
        del state
        if not self.is_recording:
            return

        def prepare() -> tuple[tuple[State], dict[str, Any]]:
            fresh = setup()
            gc.collect()
            return (fresh,), {}

        gc.disable()  # For all cases: a collection is the noise of whoever happens to be measured.
        try:
            benchmark: Any = self.benchmark()
            benchmark.pedantic(run, setup=prepare, rounds=passes)
        finally:
            gc.enable()
        fastest = float(benchmark.stats.stats.min)
        self.results.add(row, on, case, fastest * 1e9 / per, extra)

    def value(self, row: Row, case: str, value: float, *, on: str = "", **extra: Any) -> None:
        """Records what another program measured in this round, in the unit of the row.

        The caller has checked the answer. `extra` goes into the record as it is.
        """
        if self.is_recording:
            self.results.add(row, on, case, value, extra)
