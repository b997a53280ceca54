"""Each fault put into the real messages of each venue: is it noticed, by what, and how soon? The table stands
in docs/venues.md; with OUTCRIER_WRITE_DOCS=1 it is written, else compared.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from conformance.recordings import REFERENCES
from conformance.reference import NUMBERS, Means
from conformance.silence import Noticed, half_open, stale
from conformance.test_recordings import shares
from conformance.trials import SHOWN_BY, Outcome, Runner, Trial, able, scripts, tried
from conftest import ROOT
from outcrier.capture.faults import MessageKind
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.connection import QUIET_FACTOR
from outcrier.venues import VENUES

PAGE = ROOT / "docs" / "venues.md"
WRITES = bool(os.environ.get("OUTCRIER_WRITE_DOCS"))

HEADINGS: dict[Trial, str] = {
    "drop": "message lost",
    "duplicate": "twice",
    "reorder": "order changed",
    "truncate": "truncated",
    "unit": "wrong unit",
    "cross": "crossed",
    "alter": "one level altered",
    "rename_field": "schema changed",
    "rename_side": "one side renamed",
}

WITHOUT_BOOKS = frozenset({"bithumb_legacy"})
"""No whole book was recorded: theirs are never live."""

ONE_NAME = frozenset({"coinbase_exchange", "kraken_futures"})
"""Rows that begin with the side, or messages of one level with its side."""

MUTE = frozenset({"silent", "beyond"})


@cache
def outcomes(name: str, kind: Trial) -> tuple[Outcome, ...]:
    return tuple(each for number in range(len(scripts(name))) for each in tried(name, number, kind))


def test_every_fault_of_messages_is_tried() -> None:
    assert set(SHOWN_BY) == set(HEADINGS) == {*get_args(MessageKind), "rename_side"}


@pytest.mark.parametrize("kind", SHOWN_BY)
@pytest.mark.parametrize("name", VENUES)
def test_no_fault_stays_silent_that_the_venue_gives_means_to_see(
    name: str, kind: Trial, data_dir: Path
) -> None:
    del data_dir
    means, shown_by = REFERENCES[name].means, SHOWN_BY[kind]
    found = outcomes(name, kind)
    if name not in WITHOUT_BOOKS and name != "okcoin":
        assert found, "nothing was tried"
    silent = [each for each in found if each.what == "silent"]
    if shown_by is None or means & shown_by:
        assert silent == []
    if Means.WHOLE in means:
        assert all(each.what != "silent" for each in found), "the next whole book mends it"
    if kind in {"duplicate", "truncate"}:
        assert all(each.after == 0 for each in found)
    if kind == "drop" and means & NUMBERS:
        assert {each.what for each in found} <= {"gap"}
        assert max((each.after for each in found), default=0) <= 1
    if kind == "duplicate" and means & NUMBERS:
        assert {each.what for each in found} <= {"gap", "repeat"}


@pytest.mark.parametrize("name", sorted(set(VENUES) - WITHOUT_BOOKS))
def test_a_side_under_another_name_ends_the_book_with_that_message(name: str, data_dir: Path) -> None:
    """Drift alone would leave the side standing in a book that looks live."""
    del data_dir
    found = outcomes(name, "rename_side")
    by_script = (able(name, number, "rename_side") for number in range(len(scripts(name))))
    names = {each for places in by_script for place in places for each in place.names}
    assert len(names) >= 1 + (name not in ONE_NAME)
    assert {(each.what, each.after) for each in found} == {("stale", 0)}


@pytest.mark.parametrize("name", sorted(set(VENUES) - WITHOUT_BOOKS))
def test_a_book_that_nothing_proves_ends_with_a_message_that_was_cut_short(name: str, data_dir: Path) -> None:
    """Others find out by the next message: by its number or checksum, or it is a whole book. So do books that
    still wait for a whole one, which stay so; of Okcoin nothing else was recorded.
    """
    del data_dir
    found = outcomes(name, "truncate")
    assert {each.after for each in found} == {0}
    words = {each.what for each in found}
    assert words <= {"stale", "fault"}
    assert ("fault" in words) == (bool(REFERENCES[name].means) and name != "okcoin")


@pytest.mark.parametrize("name", VENUES)
def test_the_wire_says_what_proves_a_book(name: str, data_dir: Path) -> None:
    """0 is UNVERIFIABLE: where a venue gives nothing."""
    del data_dir
    for script, exps in scripts(name):
        proofs = {frame["root"]["book_proof"] for frame in Runner(script, exps).definitions}
        assert proofs == {REFERENCES[name].proof}
    assert (REFERENCES[name].proof == 0) == (not REFERENCES[name].means - {Means.WHOLE})


@pytest.mark.parametrize("name", VENUES)
def test_a_half_open_connection_is_given_up(name: str, data_dir: Path) -> None:
    """Within twice the silence that is expected, whatever TCP says."""
    del data_dir
    noticed = half_open(name)
    assert noticed is not None
    assert noticed.after_ms <= 2_000 * VENUES[name].keepalive.expected_silence_s + 1_000


@pytest.mark.parametrize("name", VENUES)
def test_a_socket_without_messages_is_noticed(name: str, data_dir: Path) -> None:
    """By the rate that the stream has shown, or by the cadence that the venue promises."""
    del data_dir
    noticed = stale(name)
    if noticed is None:
        assert name in {"kraken", "okcoin"}, "recordings show no rate"
        return
    assert noticed.after_ms <= QUIET_FACTOR * 60 * SECOND_NS // 10**6


# The page.


def cell(name: str, kind: Trial) -> str:
    found = outcomes(name, kind)
    if not found:
        return "not recorded"
    after: dict[str, int] = {}
    for each in found:
        after[each.what] = max(after.get(each.what, 0), each.after)
    counts = Counter(each.what for each in found)
    parts = [said(name, what, after[what]) for what in counts]
    if len(parts) > 1:
        parts = [f"{part} ({count}/{len(found)})" for part, count in zip(parts, counts.values(), strict=True)]
    return "; ".join(parts)


def said(name: str, what: str, after: int) -> str:
    match what:
        case "same":
            return "harmless"
        case "whole":
            return f"next whole book, +{after}"
        case "beyond":
            return "beyond the checksum"
        case "silent":
            return "**not seen**" if REFERENCES[name].proof else "UNVERIFIABLE"
        case _:
            return f"{what} +{after}"


def silence(noticed: Noticed | None) -> str:
    return "no rate recorded" if noticed is None else f"{noticed.by}, {noticed.after_ms / 1_000:.1f} s"


def matrix() -> Iterator[str]:
    heads = [*HEADINGS.values(), "no message, pings answered", "half-open"]
    yield f"| venue | proof | {' | '.join(heads)} |"
    yield f"|---|---|{'---|' * len(heads)}"
    for name in (name for name, venue in VENUES.items() if not venue.simulation):
        proof = {0: "none", 1: "numbers", 2: "checksum", 3: "numbers, checksum"}[REFERENCES[name].proof]
        cells = [cell(name, kind) for kind in HEADINGS]
        cells += [silence(stale(name)), silence(half_open(name))]
        yield f"| {name} | {proof} | {' | '.join(cells)} |"
    yield ""
    yield "Recordings that stand for venues without one:"
    yield ""
    for name, reference in REFERENCES.items():
        if reference.borrowed is not None:
            yield f"- {name}: {reference.borrowed.why}."


def sides() -> Iterator[str]:
    yield "| venue | trades at the best prices | with the side that follows |"
    yield "|---|---|---|"
    for name, (count, right) in shares().items():
        yield f"| {name} | {count:,} | {right / count:.1%} |"


@pytest.mark.parametrize(("title", "rows"), [("detection", matrix), ("sides", sides)])
def test_the_page_has_what_was_found(title: str, rows: object, data_dir: Path) -> None:
    del data_dir
    assert callable(rows)
    start, end = f"<!-- {title}: written by the tests -->\n", f"<!-- end of {title} -->\n"
    text = PAGE.read_text()
    assert text.count(start) == text.count(end) == 1, f"{PAGE} needs the markers {start!r} and {end!r}"
    before, _, rest = text.partition(start)
    old, _, behind = rest.partition(end)
    table = "\n" + "\n".join(rows()) + "\n\n"
    if WRITES:
        PAGE.write_text(f"{before}{start}{table}{end}{behind}")
    else:
        assert old == table, "write it anew with OUTCRIER_WRITE_DOCS=1"
