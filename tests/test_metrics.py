"""/metrics: the text by a strict reader, every counter of the core with its words, and the numbers."""

from __future__ import annotations

import inspect
import re
from decimal import Decimal
from pathlib import Path

import pytest

from conftest import ROOT
from feed_bench import Bench
from outcrier import _core
from outcrier.feeder import metrics, report
from outcrier.feeder.lag import BOUNDS_NS, WINDOW_NS, LoopLag
from outcrier.feeder.metric_names import FEED, LINE, LINES, LOG_COMMIT, PUBLISHER, PUBLISHER_GAUGES
from outcrier.feeder.metrics import (
    Family,
    event_families,
    feed_families,
    histogram,
    publisher_families,
    render,
    seconds,
)
from prometheus_text import parse
from sockets import INTERFACE, Net

MS = 1_000_000


@pytest.fixture
def publisher(tmp_path: Path) -> _core.Publisher:
    """With everything that counts."""
    net = Net.pick()
    return _core.Publisher.udp(
        interface=INTERFACE,
        group=net.group,
        interface_b="",
        group_b=Net.pick().group,
        snapshot_group=net.snapshot_group,
        text_group=Net.pick().group,
        repair_group=Net.pick().group,
        port=net.port,
        reuse_port=False,
        ttl=0,
        keys="5a" * 32,
        retransmit=True,
        retransmit_port=0,
        replay_port=0,
        line_bytes_per_s=10**8,
        log_dir=str(tmp_path / "log"),
        log_segment_bytes=16 << 20,
        log_retain_bytes=0,
        log_retain_age_s=0,
        log_sync_ms=50,
        manifest_key="",
    )


def test_every_counter_of_the_core_has_its_words(publisher: _core.Publisher) -> None:
    assert set(Bench("binance").feed.counters()) == set(FEED), "outcrier.feeder.metric_names.FEED"
    lines = {prefix + name for prefix in LINES.values() for name in LINE}
    named = lines | set(PUBLISHER) | set(PUBLISHER_GAUGES) | {LOG_COMMIT}
    assert set(publisher.counters()) == named, "outcrier.feeder.metric_names.PUBLISHER"


def test_counters_are_shown_under_their_names(publisher: _core.Publisher) -> None:
    bench = Bench("binance")
    bench.add("AB")
    bench.feed.connected([])
    quote = b'{"stream":"ab@bookTicker","data":{"u":1,"s":"AB","b":"1","B":"2","a":"2","A":"1"}}'
    bench.feed.on_frame(1, quote)
    bench.feed.on_frame(1, b"{")
    publisher.send_text(b"one\n")
    feeds = {"binance": bench.feed.counters(), "other": {**bench.feed.counters(), "faults": 7}}
    text = render(
        [
            *feed_families(feeds),
            *event_families({"binance": bench.feed.kinds()}),
            *publisher_families(publisher.counters()),
        ]
    ).decode()
    read = parse(text)
    assert read["outcrier_feed_frames_in_total"].value(venue="binance") == 2
    assert read["outcrier_feed_bytes_in_total"].value(venue="binance") == len(quote) + 1
    assert read["outcrier_feed_faults_total"].value(venue="binance") == 1
    assert read["outcrier_feed_faults_total"].value(venue="other") == 7
    assert read["outcrier_events_published_total"].value(venue="binance", kind="bbo") == 1
    assert read["outcrier_events_published_total"].value(venue="binance", kind="trade") == 0
    assert read["outcrier_line_frames_total"].value(line="text") == 1
    assert read["outcrier_line_bytes_total"].value(line="text") == 4
    assert read["outcrier_line_frames_total"].value(line="a") == 0
    assert read["outcrier_line_frames_total"].value(line="b") == 0
    assert read["outcrier_log_failing"].value() == 0
    assert read["outcrier_log_failing"].kind == "gauge"
    assert read["outcrier_log_commit_max_seconds"].kind == "gauge"
    assert read["outcrier_retransmit_requests_total"].value() == 0
    shown = {name for name in read if name.startswith("outcrier_feed_")}
    assert shown == {f"outcrier_feed_{name}_total" for name in FEED}
    assert not any(
        key == "symbol" for each in read.values() for _, labels in each.samples for key, _ in labels
    )


def test_what_a_publisher_does_not_have_is_left_out() -> None:
    read = parse(render(publisher_families(_core.Publisher.memory().counters())).decode())
    assert [labels for _, labels in read["outcrier_line_frames_total"].samples] == [{("line", "a")}]
    assert not any(name.startswith(("outcrier_log", "outcrier_retransmit")) for name in read)


def test_what_text_could_break_the_format_is_escaped() -> None:
    family = Family("a", "gauge", "back \\ slash\nline")
    family.add(1, venue='quote " back \\ line\n')
    text = render([family, Family("empty", "gauge", "left out")]).decode()
    assert text == (
        '# HELP a back \\\\ slash\\nline\n# TYPE a gauge\na{venue="quote \\" back \\\\ line\\n"} 1\n'
    )
    assert len(parse(text)["a"].samples) == 1


def test_times_are_exact_seconds() -> None:
    assert [seconds(ns) for ns in (0, 1, 1_500_000_000, 2**63)] == [
        "0.000000000",
        "0.000000001",
        "1.500000000",
        "9223372036.854775808",
    ]


def test_the_lag_of_the_loop_is_a_histogram() -> None:
    lag = LoopLag()
    for now_ms, late_ms in [(0, 0), (50, 1), (100, 1.5), (150, 30), (200, 7_000), (250, -1)]:
        lag.late(int(now_ms * MS), int(late_ms * MS))
    text = render([histogram("x_seconds", "Late.", BOUNDS_NS, lag.buckets, lag.sum_ns)]).decode()
    read = parse(text)["x_seconds"].samples
    below = {dict(labels).get("le", name): int(count) for (name, labels), count in read.items()}
    assert below["0.001"] == 3, "a bound belongs to its bucket; early is not late"
    assert (below["0.002"], below["0.02"], below["0.05"], below["5"], below["+Inf"]) == (4, 4, 5, 5, 6)
    assert read[("_sum", frozenset())] == Decimal("7.0325")
    assert lag.max_ns == 7_000 * MS


def test_the_largest_lag_is_forgotten_after_two_windows() -> None:
    lag = LoopLag()
    lag.late(1, 9 * MS)
    lag.late(WINDOW_NS, MS)
    assert lag.max_ns == 9 * MS
    lag.late(WINDOW_NS + 2, MS)
    assert lag.max_ns == 9 * MS, "at least one window"
    lag.late(2 * WINDOW_NS + 3, 2 * MS)
    assert lag.max_ns == 2 * MS


BAD_TEXTS = [
    "a 1\n",
    "# HELP a x\n# TYPE a gauge\na 1",
    "# HELP a x\n# TYPE a gauge\na 1\na 2\n",
    "# HELP a x\n# TYPE a gauge\nb 1\n",
    "# HELP a x\n# TYPE a counter\na 1\n",
    '# HELP a x\n# TYPE a gauge\na{b="1",} 1\n',
    '# HELP a x\n# TYPE a gauge\na{b="1"c="2"} 1\n',
    "# HELP a x\n# TYPE a gauge\na 1e\n",
    '# HELP a x\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
]


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_the_reader_is_strict(text: str) -> None:
    with pytest.raises((AssertionError, KeyError)):
        parse(text)


def test_the_rule_of_names_is_documented() -> None:
    told = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    named = re.findall(r"`(outcrier_[a-z_]+|process_[a-z_]+)[`{]", told)
    assert len(named) > 20
    assert sorted(set(named) - KNOWN) == []


KNOWN = {
    *re.findall(r'"((?:outcrier|process)_[a-z_]+)"', inspect.getsource(report) + inspect.getsource(metrics)),
    *(f"outcrier_venue_{name}" for name, *_ in report._VENUE),
    *(f"outcrier_events_{name}_total" for name, _ in metrics.EVENTS),
    *(f"outcrier_feed_{name}_total" for name in FEED),
    *(f"outcrier_line_{name}_total" for name in LINE),
    *(f"outcrier_{name}_total" for name in PUBLISHER),
    *(f"outcrier_{name}" for name in PUBLISHER_GAUGES),
}
