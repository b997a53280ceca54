"""A strict reader of the text format of Prometheus 0.0.4, written from its page alone
(https://prometheus.io/docs/instrumenting/exposition_formats/) and stricter than it: what is only advised
there is demanded here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
VALUE = re.compile(r"-?\d+(?:\.\d+)?|[+-]Inf|NaN")
Labels = frozenset[tuple[str, str]]


@dataclass
class Metric:
    """A family as it was read."""

    kind: str
    help: str
    samples: dict[tuple[str, Labels], Decimal] = field(default_factory=dict)

    def value(self, **labels: str) -> Decimal:
        """Of the sample with exactly these labels, where the name has no suffix."""
        return self.samples[("", frozenset(labels.items()))]


def parse(text: str) -> dict[str, Metric]:
    """Families by name. Raises AssertionError that names the line."""
    assert text.endswith("\n"), "the last line must end with a line feed"
    families: dict[str, Metric] = {}
    name, helped = "", ""
    for line in text[:-1].split("\n"):
        assert line, "no empty lines"
        if line.startswith("# HELP "):
            helped, _, words = line[7:].partition(" ")
            assert NAME.fullmatch(helped), line
            assert words.strip(), line
            assert helped not in families, f"twice: {line}"
            assert re.fullmatch(r"(?:[^\\]|\\[\\n])*", words), f"bad escape: {line}"
            families[helped] = Metric("", words)
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            assert name == helped, f"HELP comes right before TYPE: {line}"
            assert kind in {"counter", "gauge", "histogram"}, line
            families[name].kind = kind
        else:
            assert not line.startswith("#"), line
            _sample(line, name, families[name])
    for name, family in families.items():
        _check(name, family)
    return families


def _sample(line: str, name: str, family: Metric) -> None:
    found = NAME.match(line)
    assert found is not None, line
    rest = line[found.end() :]
    labels: list[tuple[str, str]] = []
    if rest.startswith("{"):
        inner, _, rest = rest[1:].rpartition("}")
        at = 0
        while at < len(inner):
            label = LABEL.match(inner, at)
            assert label is not None, line
            labels.append((label[1], label[2]))
            at = label.end()
            if at < len(inner):
                assert inner[at] == ",", line
                at += 1
                assert at < len(inner), line
    assert rest[:1] == " ", line
    assert VALUE.fullmatch(rest[1:]), line
    assert len(dict(labels)) == len(labels), f"a label twice: {line}"
    assert not any(key.startswith("__") for key, _ in labels), line
    suffix = found[0].removeprefix(name)
    assert found[0].startswith(name), f"under another family: {line}"
    assert suffix in ({"_bucket", "_sum", "_count"} if family.kind == "histogram" else {""}), line
    key = (suffix, frozenset(labels))
    assert key not in family.samples, f"twice: {line}"
    family.samples[key] = Decimal(rest[1:])


def _check(name: str, family: Metric) -> None:
    assert family.kind, f"no TYPE: {name}"
    assert family.samples, f"no sample: {name}"
    assert (family.kind == "counter") == name.endswith("_total"), name
    assert all(value >= 0 for value in family.samples.values()), name
    for unit, word in (("seconds", r"_(ns|us|ms)_|_(ns|us|ms)$"), ("bytes", r"_[kmgKMG]i?b_|_(kb|mb|gb)$")):
        assert not re.search(word, name), f"{name}: the unit is {unit}"
    if family.kind == "histogram":
        histograms: dict[frozenset[tuple[str, str]], list[tuple[Decimal, Decimal]]] = {}
        for (suffix, labels), count in family.samples.items():
            if suffix == "_bucket":
                bound = dict(labels)["le"]
                of = histograms.setdefault(labels - {("le", bound)}, [])
                of.append((Decimal("Infinity") if bound == "+Inf" else Decimal(bound), count))
        for labels, buckets in histograms.items():
            assert [bound for bound, _ in buckets] == sorted({bound for bound, _ in buckets}), name
            assert [count for _, count in buckets] == sorted(count for _, count in buckets), (
                f"no sums: {name}"
            )
            assert buckets[-1] == (Decimal("Infinity"), family.samples["_count", labels]), name
            assert ("_sum", labels) in family.samples, name
