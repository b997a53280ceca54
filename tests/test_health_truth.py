"""How soon `websocket_monitor` tells the truth: a real feeder and a stand-in exchange are recorded once, with
the time of each frame; what the monitor would have shown then is looked at in virtual time, every 100 ms.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from outcrier import _core
from outcrier.capture.server import stand_in_config
from outcrier.capture.stand_in import StandIn
from outcrier.config import Config, FeederConfig
from outcrier.feeder.loops import loop_factory
from outcrier.feeder.service import FeederService
from outcrier.monitor.health import VenueHealth
from outcrier.monitor.health_model import HealthModel
from outcrier.monitor.health_rules import SILENT_NS
from outcrier.reception import Address
from outcrier.venues import venue_by_name

CaptureFinder = Callable[[str], Path]

USDM = "binance_usdm/usdm_btcusdt_2024-08-08"
LIST = "binance_usdm/usdm_instruments"
MS = 1_000_000
SECOND = 1_000 * MS
LOOK_NS = 100 * MS
"""The screen looks so often (`outcrier.monitor.app.PERIOD_NS`)."""
ADDRESS = Address("crypto", "lo", "239.1.1.1", "239.1.1.3", 9001)
TEXT = -1
"""Plane of a text line in a recording."""


class Recording(NamedTuple):
    """What left the feeder, and when something was done to it."""

    sent: list[tuple[int, int, bytes]]
    """Wall clock in nanoseconds, plane, datagram."""
    killed_ns: int
    """The stand-in went away."""
    stopped_ns: int
    """The feeder was told to end."""

    def until(self, end_ns: int) -> Recording:
        """Nothing was sent from then on: the feeder was killed."""
        return self._replace(sent=[each for each in self.sent if each[0] < end_ns])

    def at(self, msg_type: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Times and fields of the messages of a type on the incremental plane."""
        for at_ns, plane, data in self.sent:
            if plane != 0:
                continue
            frame = _core.decode_frame(data)
            for message in (frame, *frame["messages"]):
                if message["msg_type"] == msg_type:
                    yield at_ns, message


class Shown(NamedTuple):
    """What the screen shows at one moment."""

    at_ns: int
    venue: VenueHealth
    events: list[str]


def shown(recording: Recording, seconds_more: float = 1.0) -> list[Shown]:
    """Every look at a recording, and for a while after it."""
    monitor = _core.Monitor()
    first_ns, last_ns = recording.sent[0][0], recording.sent[-1][0]
    model = HealthModel(ADDRESS, 1_000, 0)
    looks, rest = [], list(recording.sent)
    now_ns = first_ns
    while now_ns < last_ns + seconds_more * SECOND:
        now_ns += LOOK_NS
        while rest and rest[0][0] <= now_ns:
            at_ns, plane, data = rest.pop(0)
            if plane == TEXT:
                monitor.text(data, at_ns)
            else:
                monitor.datagram(plane, data, at_ns)
        report = model.take(monitor, mono_ns=now_ns - first_ns, wall_ns=now_ns)
        (venue,) = report.venues
        looks.append(Shown(now_ns, venue, [event.text for event in report.events]))
    return looks


async def record(config: Config, stand_in: StandIn) -> Recording:
    publisher = _core.Publisher.memory()
    sent: list[tuple[int, int, bytes]] = []

    async def listen() -> None:
        while True:
            at_ns = time.time_ns()
            sent.extend((at_ns, plane, data) for plane, data in publisher.take())
            sent.extend((at_ns, TEXT, data) for data in publisher.take_texts())
            await asyncio.sleep(0.001)

    stop = asyncio.Event()
    async with FeederService(config, publisher=publisher) as service:
        running, listening = asyncio.create_task(service.run(stop)), asyncio.create_task(listen())
        for _ in range(2_000):
            if all(venue.live == venue.books > 0 for venue in service.status()):
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(3.2)
        killed_ns = time.time_ns()
        await stand_in.__aexit__(None, None, None)
        await asyncio.sleep(2.2)
        stopped_ns = time.time_ns()
        stop.set()
        await running
        listening.cancel()
    return Recording(sent, killed_ns, stopped_ns)


@pytest.fixture(scope="module")
def recording(capture: CaptureFinder, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A feeder whose exchange goes away for good, and which is then ended."""
    state = tmp_path_factory.mktemp("health")
    venue, path, listed = venue_by_name("binance_usdm"), capture(USDM), capture(LIST)

    async def run() -> Recording:
        stand_in = StandIn(venue, [path], instruments=listed)
        await stand_in.__aenter__()
        feeder = FeederConfig(state_dir=str(state))
        return await record(msgspec.structs.replace(stand_in_config([stand_in]), feeder=feeder), stand_in)

    with asyncio.Runner(loop_factory=loop_factory("auto")) as runner:
        return runner.run(run())


def first(looks: list[Shown], holds: Callable[[Shown], bool]) -> Shown:
    return next(look for look in looks if holds(look))


def test_a_feeder_is_live_with_what_its_connection_brings(recording: Recording) -> None:
    looks = shown(recording.until(recording.killed_ns))
    look = [look for look in looks if look.at_ns < recording.killed_ns][-1]
    venue = look.venue
    assert (venue.venue, venue.state, venue.why, venue.test) == ("binance_usdm", "live", "", True)
    assert (venue.open, venue.planned, venue.live, venue.total) == (1, 1, 1, 1)
    (connection,) = venue.connections
    assert (connection.state, connection.last_status) == ("open", "subscribed")
    # The rate is that of the sums that CONN told over three seconds.
    sums = [(at, each["root"]) for at, each in recording.at(0x05) if each["root"]["conn_id"] == 1]
    sums = [(at, root) for at, root in sums if at <= look.at_ns]
    older = [number for number, (at, _) in enumerate(sums) if at <= sums[-1][0] - 3 * SECOND]
    sums = sums[max(older, default=0) :]
    span_s = (sums[-1][0] - sums[0][0]) / SECOND
    assert connection.messages_per_s == pytest.approx(
        (sums[-1][1]["messages"] - sums[0][1]["messages"]) / span_s
    )
    assert venue.messages == sums[-1][1]["messages"] > 100
    assert venue.session_s is not None
    assert 0 <= venue.session_s < 30
    assert look.events[:2] == [f"heard, session {venue.session}", "conn 1 subscribed"]


def test_a_lost_connection_is_on_the_screen_with_the_next_look(recording: Recording) -> None:
    """At most 100 ms after the feeder knows, which is at once where the peer closes."""
    looks = shown(recording)
    told_ns = next(
        at for at, each in recording.at(0x04) if each["root"]["scope"] == 4 and each["root"]["state"] == 2
    )
    before = [look for look in looks if look.at_ns < told_ns][-1]
    assert before.venue.state == "live"
    look = first(looks, lambda look: look.at_ns >= told_ns)
    assert look.at_ns - told_ns <= LOOK_NS
    assert (look.venue.state, look.venue.why) == ("down", "0 of 1 connections")
    assert [(each.state, each.reason) for each in look.venue.not_live] == [("stale", "disconnect")]
    (connection,) = look.venue.connections
    assert connection.state == "lost"
    assert any(text.startswith("conn 1 lost: closed 1001") for text in look.events), look.events
    # What comes by the text lines: the reason whole, then why it does not come back.
    last = [look for look in looks if look.at_ns < recording.stopped_ns][-1]
    assert "refused; next try in" in last.venue.last_error
    assert "127.0.0.1" in last.venue.last_error


def test_without_any_message_of_the_loss_the_next_second_tells_it(recording: Recording) -> None:
    """STATUS and CONN of the loss are lost on the way to this monitor; CONN comes again within a second."""
    lost = {at for at, each in recording.at(0x04) if each["root"]["state"] == 2}
    kept = [each for each in recording.sent if each[1] == TEXT or not (each[1] == 0 and each[0] in lost)]
    looks = shown(recording._replace(sent=kept))
    look = first(looks, lambda look: look.at_ns > recording.killed_ns and look.venue.state == "down")
    assert look.venue.why == "0 of 1 connections"
    again_ns = next(at for at, each in recording.at(0x05) if at > max(lost) and each["root"]["conn_id"] == 1)
    assert look.at_ns - again_ns <= LOOK_NS


def test_a_feeder_that_dies_is_down_within_450_ms(recording: Recording) -> None:
    """350 ms without a sign of life, and up to 100 ms until the next look; whatever the moment."""
    for number in range(10):
        end_ns = recording.killed_ns - SECOND + 37 * MS * number
        died = recording.until(end_ns)
        last_ns = max(at for at, plane, _ in died.sent if plane == 0)
        looks = shown(died)
        look = first(looks, lambda look: look.venue.why.startswith("feeder silent"))
        assert look.venue.state == "down"
        assert SILENT_NS <= look.at_ns - last_ns < SILENT_NS + LOOK_NS
        assert all(each.venue.state == "down" for each in looks if each.at_ns >= look.at_ns)


def test_a_feeder_that_is_ended_says_so(recording: Recording) -> None:
    looks = shown(recording)
    ended_ns = next(at for at, _ in recording.at(0x03))
    look = first(looks, lambda look: look.venue.why == "session ended")
    assert look.at_ns - ended_ns <= LOOK_NS
    assert look.venue.state == "down"
    assert looks[-1].venue.why == "session ended", "it ended and is not silent"
    assert looks[-1].events.count("down: session ended") == 1
