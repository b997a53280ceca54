"""The frame of the benchmarks: rows and bars, measuring, floors, the machine, the record."""

from benchmarks.frame.measure import Measure, Results
from benchmarks.frame.rows import OURS, AtLeast, AtMost, Limit, Row

__all__ = ["OURS", "AtLeast", "AtMost", "Limit", "Measure", "Results", "Row"]
