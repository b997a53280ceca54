"""One book is lost, refused or silent: it alone is asked for again, on the open link, and the others do not
notice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from feeder_scene import STALE, STATUS, CaptureFinder, Wire, config_of, is_live, play, until
from outcrier.capture.faults import Fault
from outcrier.capture.library import list_of
from outcrier.capture.stand_in import StandIn
from outcrier.clock import mono_ns
from outcrier.feeder import stream_silence
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.service import FeederService
from outcrier.venues import VENUES
from outcrier.venues.exchange_side import Client
from test_feeder_changes import check_untouched, frames_of, ids_of

BYBIT = "bybit/v5_linear_2026-08-09"
FUTURES = "kraken_futures/v1_2021-07-22"
BOOK = "orderbook.*.BTCUSDT"
DISCONNECT = 3


def test_a_dropped_message_costs_one_subscription_of_one_book(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    venue, path = VENUES["bybit_linear"], capture(BYBIT)
    wire = Wire()

    async def run() -> None:
        faults = [Fault(kind="drop", at=60, streams=BOOK)]
        async with StandIn(venue, [path], instruments=list_of(venue, [path]), faults=faults) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                heard.clear()
                wire.hear()
                since = len(wire.frames)
                await until(lambda: service.status()[0].gaps == 1, "the gap is seen")
                await until(lambda: is_live(service), "live again", 3)
                status = service.status()[0]
                assert (status.asked_again, status.reconnects) == (1, 0)
                before = status.messages
                await until(lambda: service.status()[0].messages > before + 100, "it goes on")
                for native, number in ids_of(wire).items():
                    if native != "BTCUSDT":
                        check_untouched(frames_of(wire, number, since))

            heard = heard_by(stand_in)
            await play(config_of([stand_in], tmp_path), wire, scene)
            requests = [json.loads(text) for text in heard if "subscribe" in text]
            assert [each["op"] for each in requests] == ["unsubscribe", "subscribe"]
            (stream,) = requests[0]["args"]
            assert requests[1]["args"] == [stream]
            assert stream.startswith("orderbook.")
            assert stream.endswith(".BTCUSDT")

    runner.run(run())
    stale = [f for _, f in wire.frames if f["msg_type"] == STATUS and f["root"]["state"] == STALE]
    assert [(frame["root"]["scope"], frame["root"]["reason"]) for frame in stale] == [(3, 1)]


def test_books_that_are_lost_while_others_are_asked_for_go_together(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    """One after the other each would take as long as two messages may."""
    venue, path = VENUES["bybit_linear"], capture(BYBIT)

    async def run() -> None:
        async with StandIn(venue, [path], instruments=list_of(venue, [path])) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                session = service.venue("bybit_linear")._session
                assert session is not None
                books = sorted(session.roster.with_book)
                assert len(books) >= 3
                heard.clear()
                for index in books:
                    assert session.feed.resync(index, DISCONNECT)
                    session._take_notices()
                    session.books.due(mono_ns())
                assert service.status()[0].asked_again == 1
                assert session.books.scheduler.deadline_ns is None, "nothing is due before that is said"
                await until(lambda: is_live(service), "live again", 3)
                assert service.status()[0].asked_again == len(books)

            heard = heard_by(stand_in)
            await play(config_of([stand_in], tmp_path), Wire(), scene)
            requests = [json.loads(text) for text in heard if "subscribe" in text]
            assert [each["op"] for each in requests] == ["unsubscribe", "subscribe"] * 2
            first, rest = requests[1]["args"], requests[3]["args"]
            assert [requests[0]["args"], requests[2]["args"]] == [first, rest]
            assert len(first) == 1
            assert len({*first, *rest}) == len(stand_in.found.stream_books)
            assert stand_in.counters.breaches == {}

    runner.run(run())


def heard_by(stand_in: StandIn) -> list[str]:
    """What clients say to the stand-in, from now on."""
    heard: list[str] = []
    side = stand_in.exchange.side
    answer: Callable[[Client, str], list[str]] = type(side).on_text.__get__(side)

    def on_text(client: Client, text: str) -> list[str]:
        heard.append(text)
        return answer(client, text)

    side.__dict__["on_text"] = on_text
    return heard


@pytest.fixture(autouse=True)
def sides_as_they_were() -> Iterator[None]:
    yield
    for venue in VENUES.values():
        venue.exchange.__dict__.pop("on_text", None)


def test_a_refused_stream_is_counted_and_told_and_the_rest_works(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner
) -> None:
    venue, path = VENUES["kraken_futures"], capture(FUTURES)
    wire = Wire()

    async def run() -> None:
        async with StandIn(venue, [path], instruments=list_of(venue, [path])) as stand_in:
            side = stand_in.exchange.side
            answer = side.on_text
            refused = stand_in.found.symbols[0]

            def on_text(client: Client, text: str) -> list[str]:
                answers = answer(client, text)
                if '"book"' not in text:
                    return answers
                for stream in [each for each in client.streams if each.endswith(refused) and "book" in each]:
                    del client.streams[stream]
                return [
                    each.replace('"subscribed"', '"subscribed_failed"') if refused in each else each
                    for each in answers
                ]

            side.__dict__["on_text"] = on_text

            async def scene(service: FeederService) -> None:
                total = len(stand_in.found.symbols)
                await until(lambda: service.status()[0].live == total - 1, "all but one are live")
                status = service.status()[0]
                assert (status.refused, status.reconnects, status.subscribed) == (1, 0, 1)
                assert "subscribed_failed" in status.last_error
                assert refused in status.last_error

            await play(config_of([stand_in], tmp_path), wire, scene)

    runner.run(run())


def test_a_silent_stream_is_subscribed_anew_and_the_others_are_left_alone(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model with a short memory of a busy market: ten messages a second, silent for ten of them."""
    monkeypatch.setattr(stream_silence, "SILENCE_MIN_NS", SECOND_NS)
    monkeypatch.setattr(stream_silence, "MESSAGES_MIN", 20)
    monkeypatch.setattr(stream_silence, "GAPS_MAX", 15.0)
    venue, path = VENUES["bybit_linear"], capture(BYBIT)
    wire = Wire()

    async def run() -> None:
        faults = [Fault(kind="drop", at=60, count=40, streams=BOOK)]
        async with StandIn(venue, [path], instruments=list_of(venue, [path]), faults=faults) as stand_in:

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                wire.hear()
                since = len(wire.frames)
                await until(lambda: service.status()[0].silent > 0, "found")
                assert service.status()[0].reconnects == 0
                await until(lambda: stand_in.counters.injected.get("drop", 0) >= 40, "they come again")
                before = service.status()[0].messages
                await until(lambda: service.status()[0].messages > before + 100, "it goes on")
                await until(lambda: is_live(service), "all live", 12)
                for native, number in ids_of(wire).items():
                    if native in {"ETHUSDT", "SOLUSDT"}:
                        check_untouched(frames_of(wire, number, since))

            heard = heard_by(stand_in)
            await play(config_of([stand_in], tmp_path), wire, scene)
            named = {
                stream for text in heard if '"unsubscribe"' in text for stream in json.loads(text)["args"]
            }
            assert any(stream.endswith(".BTCUSDT") and stream.startswith("orderbook") for stream in named)
            assert not any(stream.startswith("orderbook") and "ETH" in stream for stream in named)

    runner.run(run())


def test_a_half_open_link_is_given_up_within_twice_the_silence_that_is_expected(
    capture: CaptureFinder, tmp_path: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue, path = VENUES["bybit_linear"], capture(BYBIT)
    brief = msgspec.structs.replace(venue.keepalive, expected_silence_s=1.0)
    monkeypatch.setattr(venue, "keepalive", brief)
    wire = Wire()

    async def run() -> None:
        faults = [Fault(kind="half_open", at_s=2.0, one=True)]
        async with StandIn(venue, [path], instruments=list_of(venue, [path]), faults=faults) as stand_in:

            async def scene(service: FeederService) -> None:
                loop = asyncio.get_running_loop()
                await until(lambda: is_live(service), "live")
                await until(lambda: stand_in.counters.injected.get("half_open") == 1, "half open")
                began = loop.time()
                await until(lambda: "silent for" in service.status()[0].last_error, "seen")
                assert loop.time() - began < 2.0 + 1.0, "one to ask, one to wait, and a busy machine"
                await until(lambda: is_live(service), "live again")
                assert service.status()[0].reconnects == 1

            await play(config_of([stand_in], tmp_path), wire, scene)

    runner.run(run())
