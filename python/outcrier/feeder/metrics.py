"""Families of metrics, and their text for Prometheus (text format 0.0.4). Pure.

    https://prometheus.io/docs/instrumenting/exposition_formats/ (2026-11-20)

Rule of names: `outcrier_`, what it is about, what is counted, the unit (`seconds`, `bytes`) if it has one,
and `_total` for sums that only grow. Counters of the core keep their name in that. What every program has is
called `process_...`, as all of Prometheus' own libraries do. The label `venue` is the venue's name; nothing
is labelled with a symbol, because thousands of them would cost the database more than the feed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, Literal

from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.metric_names import (
    FEED,
    LINE,
    LINES,
    LOG_COMMIT,
    PUBLISHER,
    PUBLISHER_GAUGES,
)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: list[tuple[str, Labels, str]] = field(default_factory=list)
    """Suffix of the name (histograms have some), labels, value."""

    def add(self, value: int | str, **labels: str) -> None:
        """A sample; text is a number already."""
        self.samples.append(("", tuple(labels.items()), str(value)))


def seconds(time_ns: int) -> str:
    """Nanoseconds as seconds, exactly."""
    whole, nanos = divmod(time_ns, SECOND_NS)
    return f"{whole}.{nanos:09d}"


def histogram(name: str, text: str, bounds_ns: Sequence[int], buckets: Sequence[int], sum_ns: int) -> Family:
    """A histogram of times; `buckets` are counts up to each bound but above the one before, the last without
    a bound.
    """
    family = Family(name, "histogram", text)
    cumulative = list(accumulate(buckets))
    _add_histogram(family, list(zip(bounds_ns, cumulative, strict=False)), cumulative[-1], sum_ns, ())
    return family


def _add_histogram(
    family: Family, cumulative: Sequence[tuple[int, int]], count: int, sum_ns: int, labels: Labels
) -> None:
    for bound_ns, below in cumulative:
        bound = seconds(bound_ns).rstrip("0").rstrip(".")
        family.samples.append(("_bucket", (*labels, ("le", bound)), str(below)))
    family.samples.append(("_bucket", (*labels, ("le", "+Inf")), str(count)))
    family.samples.append(("_sum", labels, seconds(sum_ns)))
    family.samples.append(("_count", labels, str(count)))


def latency_family(latencies: Mapping[str, Mapping[str, Any]]) -> Family:
    """Of `Feed.latency()` by venue."""
    text = "From the read of an exchange's socket until the frames it made had left, by message."
    family = Family("outcrier_feed_latency_seconds", "histogram", text)
    for venue, latency in latencies.items():
        labels = (("venue", venue),)
        _add_histogram(family, latency["cumulative"], latency["count"], latency["sum_ns"], labels)
    return family


def feed_families(feeds: Mapping[str, Mapping[str, int]]) -> Iterable[Family]:
    """Of `Feed.counters()` by venue."""
    for name, text in FEED.items():
        family = Family(f"outcrier_feed_{name}_total", "counter", text)
        for venue, counters in feeds.items():
            family.add(counters[name], venue=venue)
        yield family


EVENTS: Final = (
    ("received", "Events received from the exchange, by kind."),
    ("published", "Events published, by kind."),
    ("rejected", "Frames of the exchange refused, by kind."),
    ("gaps", "Gaps in the numbers of the exchange, by kind."),
)
"""The four counts of `Feed.kinds()`."""


def event_families(kinds: Mapping[str, Mapping[str, Sequence[int]]]) -> Iterable[Family]:
    """Of `Feed.kinds()` by venue."""
    for place, (name, text) in enumerate(EVENTS):
        family = Family(f"outcrier_events_{name}_total", "counter", text)
        for venue, counts in kinds.items():
            for kind in sorted(counts):
                family.add(counts[kind][place], venue=venue, kind=kind)
        yield family


def publisher_families(counters: Mapping[str, int]) -> Iterable[Family]:
    """Of `Publisher.counters()`; what it does not have (a log, line B) is left out."""
    for name, text in LINE.items():
        family = Family(f"outcrier_line_{name}_total", "counter", text)
        for line, prefix in LINES.items():
            if prefix + name in counters:
                family.add(counters[prefix + name], line=line)
        yield family
    for kind, ending, names in (("counter", "_total", PUBLISHER), ("gauge", "", PUBLISHER_GAUGES)):
        for name, text in names.items():
            if name in counters:
                family = Family(f"outcrier_{name}{ending}", "gauge" if kind == "gauge" else "counter", text)
                family.add(counters[name])
                yield family
    if LOG_COMMIT in counters:
        family = Family(
            "outcrier_log_commit_max_seconds", "gauge", "Longest write and sync of the log so far."
        )
        family.add(seconds(counters[LOG_COMMIT]))
        yield family


def render(families: Iterable[Family]) -> bytes:
    """The text; families without a sample are left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        lines.append(f"# HELP {family.name} {_escape(family.help)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        for suffix, labels, value in family.samples:
            inner = ",".join(f'{key}="{_quote(text)}"' for key, text in labels)
            lines.append(f"{family.name}{suffix}{'{' + inner + '}' if inner else ''} {value}")
    return ("\n".join(lines) + "\n").encode()


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quote(text: str) -> str:
    return _escape(text).replace('"', '\\"')
