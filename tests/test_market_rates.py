"""The table of the simulated market follows from the recording that it names."""

from __future__ import annotations

from pathlib import Path

from benchmarks.market_rates import RUST, SET, estimate, source

from outcrier.bench.sets import SETS


def test_the_rates_of_the_core_are_those_of_the_set(data_dir: Path) -> None:
    assert source(estimate(SETS[SET].read(data_dir / "l3"))) == RUST.read_text()
