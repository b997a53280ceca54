"""Listening before the first frame: where another session lives nobody starts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outcrier import _core
from outcrier.capture.venue_replay import open_feed
from outcrier.config import Config, FeederConfig, MulticastConfig, MulticastSections, VenueConfig
from outcrier.errors import NetworkError, SupersededError
from outcrier.feeder.occupied import (
    COLD,
    FAIL_OVER,
    RESTART,
    Heard,
    Succession,
    check_superseded,
    hear,
    succeed,
)
from outcrier.feeder.service import FeederService, open_publisher
from outcrier.venues.binance import BINANCE
from sockets import Net, Witness, until


class Other:
    """Another publisher on channel 1 of `multicast`."""

    def __init__(self, multicast: MulticastConfig) -> None:
        publisher = _core.Publisher.udp(
            interface=multicast.interface,
            group=multicast.group_a,
            snapshot_group=multicast.group_snapshot,
            port=multicast.port,
            ttl=0,
        )
        self.feed = open_feed(publisher, BINANCE, session=77, publisher_id=1, first_ns=1)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """The feed moves to a thread and comes back after it; the two never use it at once."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(0.02):
                self.feed.tick()

        thread = threading.Thread(target=beat)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def multicast(free_port: int) -> MulticastConfig:
    return MulticastConfig(port=free_port)


def ear(multicast: MulticastConfig) -> _core.Publisher:
    """A publisher that has sent nothing yet."""
    return _core.Publisher.udp(
        interface=multicast.interface,
        group=multicast.group_a,
        snapshot_group=multicast.group_snapshot,
        port=multicast.port,
        ttl=0,
    )


def test_a_session_of_another_process_is_refused_until_it_ends(multicast: MulticastConfig) -> None:
    where = f"{multicast.group_a}:{multicast.port}"
    publisher = ear(multicast)
    other = Other(multicast)
    last_seq = other.feed.last_seq()
    with other.beating():
        with pytest.raises(NetworkError, match=rf"channel 1 on {where} .*session 77.* --take-over"):
            hear(publisher, {1: False, 2: False}, where=where, take_over=False)
        with pytest.raises(NetworkError, match="a replay or test never takes over"):
            hear(publisher, {1: True}, where=where, take_over=True)
        assert hear(publisher, {2: False}, where=where, take_over=False) == {}
        heard = hear(publisher, {1: False}, where=where, take_over=True)
        assert heard == {1: Heard(session=77, last_seq=last_seq, drill=True, ended=False)}
    assert hear(publisher, {1: False}, where=where, take_over=False) == {}, "it is dead"
    other.feed.close()
    with other.beating():
        heard = hear(publisher, {1: True}, where=where, take_over=False)
        assert heard == {1: Heard(session=77, last_seq=last_seq, drill=True, ended=True)}


def test_what_a_session_follows() -> None:
    def after(own: tuple[int, int], other: Heard | None = None) -> Succession:
        return succeed(other, last_session=own[0], last_seq=own[1])

    def heard(session: int, last_seq: int, *, drill: bool = False, ended: bool = False) -> Heard:
        return Heard(session=session, last_seq=last_seq, drill=drill, ended=ended)

    assert after((0, 0)) == Succession(COLD)
    assert after((50, 900)) == Succession(RESTART, 50, 900)
    assert after((50, 0), heard(50, 900, ended=True)) == Succession(RESTART, 50, 900, 50)
    # Taken over: how far the other one will have come when it hears us is not known.
    assert after((50, 900), heard(77, 12)) == Succession(FAIL_OVER, 77, 0, 77)
    assert after((0, 0), heard(77, 12, ended=True)) == Succession(FAIL_OVER, 77, 12, 77)
    # A replay is nobody's predecessor, an older zombie neither; our number is above theirs all the same.
    assert after((50, 900), heard(77, 12, drill=True)) == Succession(RESTART, 50, 900, 77)
    assert after((50, 900), heard(49, 12)) == Succession(RESTART, 50, 900, 49)


def test_a_live_feeder_listens_too(multicast: MulticastConfig, tmp_path: Path) -> None:
    """Not only replays and tests: two live publishers of one channel would mix their books."""
    config = Config(
        feeder=FeederConfig(state_dir=str(tmp_path)),
        multicast=MulticastSections(crypto=multicast),
        venues={"binance": VenueConfig(enabled=True)},
    )

    async def run() -> None:
        with pytest.raises(NetworkError, match=r"channel 1 .* is published by another process"):
            await FeederService(config).__aenter__()

    other = Other(multicast)
    with other.beating():
        asyncio.run(run())
        with pytest.raises(NetworkError, match=r"channel 1 .* is published by another process"):
            open_publisher(config, {1: False})
        open_publisher(config, {2: False})


def live_feed(publisher: _core.Publisher, session: int, publisher_id: int, after: Succession) -> _core.Feed:
    """A feed without REPLAY and TEST, as of a real exchange."""
    return _core.Feed(
        publisher,
        venue=1,
        channel=1,
        session=session,
        publisher_id=publisher_id,
        shapes=BINANCE.shapes_json,
        build="test",
        prev_session=after.prev_session,
        prev_last_seq=after.prev_last_seq,
        reason=after.reason,
    )


def test_the_one_taken_over_falls_silent_and_the_heir_names_it(multicast: MulticastConfig) -> None:
    first, second = ear(multicast), ear(multicast)
    old = live_feed(first, 77, 1, Succession(COLD))
    until(lambda: old.tick() > 0 and bool(second.listen([1], 10_000_000)), "the first publisher")
    heard = Heard(session=77, last_seq=1, drill=False, ended=False)
    after = succeed(heard, last_session=0, last_seq=0)
    with Witness(Net(multicast.group_a, multicast.group_snapshot, multicast.port)) as witness:
        heir = live_feed(second, after.above + 1, 2, after)
        until(lambda: old.tick() > 0 and bool(first.superseded()), "the first publisher hears it")
        ((channel, session, by, cause),) = first.superseded()
        assert (channel, session, by) == (1, 77, 78)
        assert "taken over" in cause
        with pytest.raises(SupersededError, match=r"channel 1: .*ours 77, heard 78"):
            check_superseded(first)
        silenced = first.counters()["silenced"]
        old.close()
        assert first.counters()["silenced"] == silenced + 1, "not even its end is sent"
        assert heir.tick() > 0
        assert second.superseded() == []
        check_superseded(second)
        heir.close()
        until(witness.ended, "the heir's end")
    starts = [frame for frame in witness.frames() if frame.msg == "SESSION_START"]
    assert [frame.header["session"] for frame in starts] == [78]
    assert (starts[0].root["prev_session"], starts[0].root["reason"]) == (77, FAIL_OVER)
    ends = {frame.header["session"] for frame in witness.frames() if frame.msg == "SESSION_END"}
    assert ends == {78}
