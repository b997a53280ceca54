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
from outcrier.errors import NetworkError
from outcrier.feeder.occupied import refuse_if_occupied
from outcrier.feeder.service import FeederService, open_publisher
from outcrier.venues.binance import BINANCE


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


def test_a_session_of_another_process_is_refused_until_it_ends(multicast: MulticastConfig) -> None:
    other = Other(multicast)
    with other.beating():
        with pytest.raises(
            NetworkError, match=rf"channel 1 on 239\.192\.90\.1:{multicast.port} .*session 77"
        ):
            refuse_if_occupied(multicast, [1, 2])
        refuse_if_occupied(multicast, [2])
    refuse_if_occupied(multicast, [1])
    other.feed.close()
    with other.beating():
        refuse_if_occupied(multicast, [1])


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
            open_publisher(config, [1])
        open_publisher(config, [2])
