"""Every recording of every venue: contents, books, numbers, checksums, times, sides of trades."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import pytest

from conformance.checks import Books, Checksums, Numbers, Sides, Times
from conformance.recordings import ALL, REFERENCES, Recording, manifest, names_of, recordings
from conformance.reference import Means
from conformance.walk import Contents, Walk
from conftest import captures_folder
from outcrier.venues import VENUES

CHECKSUMS = {"okx_2022": 2_603, "okcoin": 6, "kraken": 4, "kraken_v1": 2_244}
"""Messages with a checksum in the files that are here."""

OF_NO_VENUE = {"deribit/ssc2ce_dump_2020-06": "trimmed by its source, of a test network: see test_deribit"}
"""Recordings in the folder of a connected exchange that no venue names."""

SHARE_MIN = 0.9
TRADES_MIN = 30
"""Sides are judged from so many trades on."""

SLOW_QUOTES = frozenset({"okx_2022"})
"""Best prices come with tickers alone, a tenth of a second old or more."""


@dataclass(frozen=True)
class Told:
    """What came of a recording."""

    drift: dict[str, int]
    checksums: int
    agree: int
    differ: int
    events: int


@cache
def told_by(recording: Recording) -> Told:
    """Everything is compared; what is left are figures."""
    walk = Walk(recording)
    books = Books(walk)
    contents, checksums, sides = Contents(walk), Checksums(walk), Sides(walk, books)
    checks = (contents, books, Numbers(walk), checksums, Times(walk))
    for step in walk.steps():
        for check in checks:
            check.take(step)
        sides.take(step)
    for check in checks:
        check.end()
    proofs = {frame["root"]["book_proof"] for frame in walk.definitions}
    assert proofs == {recording.reference.proof}, "what proves a book, on the wire"
    return Told(walk.feed.drift(), checksums.told, sides.agree, sides.differ, contents.events)


def needs(recording: Recording) -> None:
    for path in recording.paths:
        if not path.is_file():
            pytest.skip(f"capture is missing: {path}")


@pytest.mark.parametrize("recording", ALL, ids=str)
def test_everything_in_a_recording_is_what_the_plain_decoder_says(recording: Recording) -> None:
    needs(recording)
    assert told_by(recording).events


@pytest.mark.parametrize("recording", ALL, ids=str)
def test_nothing_in_a_recording_is_unknown(recording: Recording) -> None:
    needs(recording)
    assert told_by(recording).drift == {}


@pytest.mark.parametrize("name", VENUES)
def test_no_venue_is_without_reference_and_recording(name: str, data_dir: object) -> None:
    """What is not recorded is said: by the recording that stands for it, by an exchange of its own."""
    del data_dir
    reference = REFERENCES.get(name)
    assert reference is not None, f"{name} has no plain decoder: add it to REFERENCES in tests/plain"
    borrowed = reference.borrowed
    if borrowed is None:
        assert recordings(name), f"{name} has no recording: name one in Venue.captures, or what stands for it"
    else:
        assert not recordings(name), f"{name} has recordings of its own"
        assert recordings(borrowed.venue)


def test_references_are_of_venues() -> None:
    assert set(REFERENCES) == set(VENUES)


def test_every_recording_of_a_connected_exchange_belongs_to_a_venue(data_dir: object) -> None:
    del data_dir
    folders = {name.partition("/")[0] for venue in VENUES.values() for name in venue.captures}
    files = [path for folder in folders for path in (captures_folder() / "captures" / folder).iterdir()]
    names = {f"{path.parent.name}/{path.name.removesuffix('.jsonl.gz')}" for path in files}
    named = {name for venue in VENUES.values() for name in names_of(venue)}
    lists = {name for name in names if "_instruments" in name}
    assert names - named - lists == set(OF_NO_VENUE)


def test_the_manifest_states_no_hole_in_what_is_recorded(data_dir: object) -> None:
    """`Numbers` asserts of each file what is stated here of all: holes only where the manifest says so."""
    del data_dir
    for recording in ALL:
        if recording.venue.simulation or not recording.reference.means - {Means.WHOLE, Means.CHECKSUM}:
            continue
        for name in recording.names:
            verified = manifest()[name]["verified"] or ""
            assert "breaks" not in verified or recording.reference.gaps.get(name), (name, verified)


@pytest.mark.parametrize("name", CHECKSUMS)
def test_every_checksum_of_a_venue_is_compared(name: str) -> None:
    for recording in recordings(name):
        needs(recording)
    assert sum(told_by(recording).checksums for recording in recordings(name)) == CHECKSUMS[name]


def shares() -> dict[str, tuple[int, int]]:
    """Trades at the best prices or beyond, and those with the side that follows, by venue."""
    found: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for recording in ALL:
        if recording.venue.simulation:
            continue  # Its sides are right by its making.
        told = told_by(recording)
        found[recording.venue.name] += told.agree + told.differ
        right[recording.venue.name] += told.agree
    return {name: (found[name], right[name]) for name in VENUES if found[name]}


def test_sides_of_trades_are_those_of_the_best_prices(data_dir: object) -> None:
    del data_dir
    told = shares()
    many = {name: right / all_ for name, (all_, right) in told.items() if all_ >= TRADES_MIN}
    assert len(many) >= 8
    assert {name: share for name, share in many.items() if share < SHARE_MIN} == {
        name: share for name, share in many.items() if name in SLOW_QUOTES
    }
    assert all(many.get(name, 1.0) > 0.5 for name in SLOW_QUOTES)
