"""Samples and instrument lists of every venue: what they say, and that names are one to one both ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance import simulated
from conformance.recordings import REFERENCES, samples_of
from conftest import captures_folder
from core_events import Decoder, Reader
from outcrier.capture.format import read_capture
from outcrier.venues import VENUES
from outcrier.venues.base import Unknown
from plain_events import hashed, parse
from venue_feeds import check_symbols

SAMPLED = [name for name in VENUES if name in REFERENCES and REFERENCES[name].samples]


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_say_what_the_plain_decoder_reads(name: str, data_dir: Path) -> None:
    del data_dir
    venue, decode = VENUES[name], REFERENCES[name].plain()
    reader = Reader(venue.shapes_json)
    paths = samples_of(*REFERENCES[name].samples)
    assert paths, f"{name}: nothing is there of {REFERENCES[name].samples}"
    events = 0
    for path in paths:
        data = path.read_bytes()
        message = parse(data)
        wanted = decode(message)
        for event in wanted or ():
            if event.symbol not in reader.symbols:
                reader.add(event.symbol)
        outcome = reader.read(data)
        if wanted is None:
            assert outcome == Decoder.NOT_MINE, path
            venue.control(data)
            continue
        assert outcome == Decoder.HANDLED, (path, reader.decoder.reason)
        assert reader.events() == hashed(wanted), path
        events += len(wanted)
    assert events
    assert reader.decoder.drift() == {}


def lists_of(name: str) -> list[list[bytes]]:
    """Bodies of each instrument list that there is: of the recordings, and each sample by itself."""
    captures = captures_folder() / "captures"
    found = []
    for pattern in VENUES[name].instrument_lists:
        for path in sorted(captures.glob(f"{pattern}.jsonl.gz")):
            bodies = [line.data for line in read_capture(path) if line.kind == "http"]
            found.append(list(dict.fromkeys(bodies)))
    if VENUES[name].simulation:
        found.append(
            [line.data for line in read_capture(simulated.path().with_name("sim_instruments.jsonl"))]
        )
    return found + [[path.read_bytes()] for path in samples_of(*REFERENCES[name].lists)]


@pytest.mark.parametrize("name", VENUES)
def test_names_of_whole_lists_are_one_to_one(name: str, data_dir: Path) -> None:
    """Every one of each list: native, canonical and back; none takes a name twice."""
    del data_dir
    lists = lists_of(name)
    if not lists:
        assert name == "bithumb", f"{name} has no instrument list, neither recorded nor as sample"
        return
    for bodies in lists:
        instruments, faults = VENUES[name].parse_instruments(*bodies)
        unnamed = REFERENCES[name].unnamed
        assert [fault for fault in faults if not unnamed or unnamed not in fault.reason] == []
        assert instruments
        check_symbols(instruments)
        assert {each.venue for each in instruments} == {name}
        assert {each.book_proof for each in instruments} <= {0, REFERENCES[name].proof}


def test_unknown_has_a_name() -> None:
    """What the samples leave to Python is counted by name: no venue answers without one."""
    for venue in VENUES.values():
        told = venue.control(b'{"nobody":"knows"}')
        assert not isinstance(told, Unknown) or told.name
