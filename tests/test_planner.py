"""The planner while it runs, over drawn instruments and limits of every venue: what is wanted is planned
once, within the limits, and a change touches nobody else.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import captures_folder
from outcrier._core import Market
from outcrier.capture.connection import stream_breaches
from outcrier.capture.format import read_capture
from outcrier.capture.server import MESSAGE_BYTES_MAX
from outcrier.errors import ConfigurationError
from outcrier.feeder.plan import Change, Planner, spec_of
from outcrier.instruments import Instrument
from outcrier.venues import VENUES, Venue
from outcrier.venues.exchange_side import Client
from outcrier.venues.sim_exchange import listing

RELATIVES = {
    "bybit_inverse": "bybit_linear",
    "bybit_option": "bybit_linear",
    "okx": "okx_2022",
    "okx_swap": "okx_2022",
    "okx_futures": "okx_2022",
    "okx_option": "okx_2022",
    "bithumb": "upbit",
}
"""Venues of which no list was recorded, and those whose names are written alike."""

DRAWN = 40
"""Instruments of a venue that are drawn from."""


@cache
def instruments_of(name: str) -> tuple[Instrument, ...]:
    source = VENUES[RELATIVES.get(name, name)]
    if source.simulation:
        symbols = (f"SIM{number}-USD" for number in range(1, Market.INSTRUMENTS_MAX + 1))
        return tuple(source.parse_instruments(listing(symbols))[0])
    paths = [captures_folder() / "captures" / f"{each}.jsonl.gz" for each in source.instrument_lists]
    paths = [path for each in paths for path in each.parent.glob(each.name)] if paths else []
    if not paths:
        pytest.skip(f"no recorded instrument list of {source.name}")
    bodies = [line.data for path in paths for line in read_capture(path) if line.kind == "http"]
    found, _ = source.parse_instruments(*dict.fromkeys(bodies))
    return tuple(msgspec.structs.replace(each, venue=name) for each in found)


def limited(venue: Venue, **limits: int) -> Venue:
    """The venue with other limits."""
    other = copy.copy(venue)
    other.limits = msgspec.structs.replace(venue.limits, **limits)
    return other


LIMITS = st.fixed_dictionaries(
    {
        "streams_per_connection": st.sampled_from([0, 1, 7, 20, 200]),
        "symbols_per_connection": st.sampled_from([0, 1, 3, 5, 29]),
        "chars_per_connection": st.sampled_from([0, 60, 300, 17_200]),
        "connections": st.sampled_from([0, 1, 2, 6, 32]),
    }
)
STEPS = st.lists(
    st.tuples(st.booleans(), st.lists(st.integers(0, DRAWN - 1), min_size=1, max_size=15)), max_size=8
)


def wanted_streams(venue: Venue, channels: Sequence[str], instruments: Iterable[Instrument]) -> Counter[str]:
    listed = list(instruments)
    streams = Counter(stream for each in listed for stream in venue.streams(each, channels, {}))
    if listed:
        whole = [venue.channels[name] for name in channels if venue.channels[name].whole_venue]
        streams.update(map(venue.whole_venue_stream, whole))
    return streams


def carried(planner: Planner) -> dict[int, tuple[str, ...]]:
    return {each.number: each.streams for each in planner.connections}


def places(planner: Planner) -> dict[tuple[int, str], tuple[str, ...]]:
    return {
        (each.number, key): part.streams for each in planner.connections for key, part in each.parts.items()
    }


def check_limits(planner: Planner) -> None:
    limits = planner.venue.limits
    for each in planner.connections:
        assert each.n_streams == len(each.streams) == len(set(each.streams)) > 0
        assert each.chars == sum(map(len, each.streams))
        if len(each.parts) > 1:  # What belongs to one instrument stays together, whatever its size.
            assert each.n_streams <= (limits.streams_per_connection or each.n_streams)
            assert each.chars <= (limits.chars_per_connection or each.chars)
            assert len(each.parts) <= (limits.symbols_per_connection or len(each.parts))
        assert {planner.venue.route(stream) for stream in each.streams} == {each.route}
    assert len(planner.connections) <= (limits.connections or len(planner.connections))


def added(planner: Planner, instruments: Sequence[Instrument]) -> list[Change] | None:
    """None: refused."""
    try:
        return planner.add(instruments)
    except ConfigurationError:
        return None


def apply(model: dict[int, list[str]], changes: Iterable[Change]) -> None:
    """What the open connections carry after these changes."""
    for change in changes:
        number = change.connection.number
        assert change.is_new is (number not in model)
        mine = model.setdefault(number, [])
        for stream in change.removed:
            mine.remove(stream)
        mine += change.added
        if not mine:
            del model[number]


@pytest.mark.parametrize("name", VENUES)
@settings(max_examples=40)
@given(limits=LIMITS, steps=STEPS, data=st.data())
def test_any_order_of_changes_plans_what_is_wanted_and_touches_nobody_else(
    name: str, limits: dict[str, int], steps: list[tuple[bool, list[int]]], data: Any
) -> None:
    pool = instruments_of(name)[:DRAWN]
    venue = limited(VENUES[name], **limits)
    channels = data.draw(st.lists(st.sampled_from(venue.default_channels), min_size=1, unique=True))
    planner = Planner(venue, channels, {})
    wanted: dict[str, Instrument] = {}
    model: dict[int, list[str]] = {}
    for is_added, drawn in steps:
        chosen = [pool[number % len(pool)] for number in drawn]
        natives = {each.native_symbol for each in chosen}
        before, others = carried(planner), places(planner)
        last = max([0, *before])
        if is_added:
            changes = added(planner, chosen)
            if changes is None:
                assert venue.limits.connections > 0
                assert carried(planner) == before, "a refusal leaves everything as it was"
                assert places(planner) == others
                assert list(planner.instruments) == list(wanted)
                continue
            natives -= wanted.keys()
            wanted |= {each.native_symbol: each for each in chosen}
        else:
            changes = planner.remove(natives)
            for native in natives:
                wanted.pop(native, None)
        apply(model, changes)
        assert {number: sorted(streams) for number, streams in model.items()} == {
            number: sorted(streams) for number, streams in carried(planner).items()
        }
        assert planner.instruments == wanted
        streams = [stream for each in planner.connections for stream in each.streams]
        assert Counter(streams) == wanted_streams(venue, channels, wanted.values())
        check_limits(planner)
        whole = set() if wanted else {key for _, key in others}
        stay = {key: part for key, part in others.items() if key[1] not in natives | whole}
        assert stay.items() <= places(planner).items(), "nobody else moves"
        assert all(change.connection.number > last for change in changes if change.is_new), "no number twice"
    if wanted:
        anew = Planner(limited(venue, connections=0), channels, {})
        anew.add(wanted.values())
        assert Counter(s for each in anew.connections for s in each.streams) == Counter(
            s for each in planner.connections for s in each.streams
        )
        assert anew.with_book() == planner.with_book()


@pytest.mark.parametrize("name", VENUES)
def test_every_request_is_within_what_the_exchange_takes(name: str) -> None:
    """All instruments that were listed, as the exchange counts them."""
    venue = VENUES[name]
    planner = Planner(limited(venue, connections=0), venue.default_channels, {})
    planner.add(instruments_of(name))
    assert planner.connections
    for connection in planner.connections:
        client = Client(connection.route)
        for request in spec_of(connection, venue).subscribe:
            assert len(request.text.encode()) <= MESSAGE_BYTES_MAX
            venue.exchange.on_text(client, request.text)
            assert list(stream_breaches(venue, client)) == []
        assert set(client.streams) >= set(connection.streams)
        # And one instrument anew, as a lost book wants it.
        native = next(iter(connection.parts))
        again = connection.parts[native].streams
        held = [stream for stream in connection.streams if stream not in again]
        for request in (
            *venue.unsubscribe(again, held, 1_000),
            *venue.subscribe(again, held, 2_000),
        ):
            assert len(request.text.encode()) <= MESSAGE_BYTES_MAX
            venue.exchange.on_text(client, request.text)
        assert set(client.streams) >= set(connection.streams)
        assert list(stream_breaches(venue, client)) == []
