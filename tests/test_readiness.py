"""When the start of a feeder is over, and what systemd is told meanwhile: times and counts are given."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from outcrier.errors import ConfigurationError
from outcrier.feeder import watch as watch_module
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.notify import STATUS_BYTES_MAX, Notifier
from outcrier.feeder.readiness import STANDSTILL_NS, Readiness, Start
from outcrier.feeder.status import VenueStatus
from outcrier.feeder.transport import Reason, TransportError
from outcrier.feeder.watch import LOOK_NS, STATUS_NS, Watch

NONE = Start(venue="binance", listed=False)
LISTED = replace(NONE, listed=True, connections=2, books=3)
WHOLE = replace(LISTED, subscribed=2, been_live=3, cycles_begun=5, cycles=4)
STARTED = replace(WHOLE, cycles_begun=6, cycles=6)


def test_a_start_is_over_when_a_cycle_with_every_book_has_left() -> None:
    readiness = Readiness()
    steps = [
        (NONE, False),
        (LISTED, True),
        (replace(LISTED, subscribed=1, been_live=2, cycles_begun=3, cycles=3), True),
        (replace(LISTED, subscribed=2, been_live=2, cycles_begun=4, cycles=4), True),
        (WHOLE, True),
        # The cycle under way may have passed the last book before it was live.
        (replace(WHOLE, cycles=5), False),
        (replace(WHOLE, cycles_begun=6, cycles=5), False),
    ]
    for now_ns, (start, progress) in enumerate(steps):
        assert readiness.take(now_ns, [start]) == progress, start
        assert not readiness.is_over
    assert readiness.waiting() == ["binance"]
    assert not readiness.take(9, [STARTED])
    assert (readiness.is_over, readiness.waiting()) == (True, [])
    readiness.take(10, [NONE])
    assert readiness.is_over, "a later outage is no start"


def test_a_book_that_was_live_once_need_not_be_live_when_the_others_are() -> None:
    readiness = Readiness()
    readiness.take(0, [WHOLE])
    readiness.take(1, [replace(STARTED, subscribed=1)])
    assert readiness.is_over


@pytest.mark.parametrize("stuck", [NONE, LISTED, replace(WHOLE, been_live=2), replace(WHOLE, subscribed=1)])
def test_a_venue_that_stands_still_is_not_waited_for(stuck: Start) -> None:
    readiness = Readiness()
    other = replace(STARTED, venue="bybit")
    readiness.take(0, [stuck, replace(other, cycles=0, cycles_begun=0)])
    readiness.take(1, [stuck, other])
    readiness.take(STANDSTILL_NS - 1, [stuck, other])
    assert not readiness.is_over
    readiness.take(STANDSTILL_NS, [stuck, other])
    assert readiness.is_over
    assert readiness.waiting() == ["binance"]


def test_a_venue_that_makes_progress_is_waited_for_and_one_that_comes_and_goes_is_not() -> None:
    readiness = Readiness()
    many = replace(LISTED, books=1_000, subscribed=2)
    step_ns = STANDSTILL_NS - SECOND_NS
    for number in range(100):
        assert readiness.take(number * step_ns, [replace(many, been_live=number)])
    now_ns = 99 * step_ns
    for number in range(30):
        flapping = replace(many, been_live=98 + number % 2, subscribed=1 + number % 2)
        assert not readiness.is_over
        readiness.take(now_ns + number * SECOND_NS, [flapping])
    readiness.take(now_ns + STANDSTILL_NS, [replace(many, been_live=99)])
    assert readiness.is_over


def status(**changes: Any) -> VenueStatus:
    """Of a venue with everything live."""
    values: dict[str, Any] = {
        **dict.fromkeys(("instruments", "reconnects", "messages", "bytes", "gaps", "faults"), 0),
        "unknown": {},
        "drift": {},
        **dict.fromkeys(("refused", "asked_again", "silent", "take_overs", "take_overs_failed"), 0),
        "listed": True,
        "venue": "binance",
        "test": False,
        "last_error": "",
        "error": None,
        "books": 5,
        "live": 4,
        "stale": 1,
        "closed": 1,
        "snapshots_waiting": 0,
        "connections": 2,
        "connected": 2,
        "subscribed": 2,
    }
    return VenueStatus(**{**values, **changes})


REFUSED = TransportError("127.0.0.1:9", Reason.REFUSED)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"live": 5, "stale": 0, "closed": 0}, ""),
        ({"books": 0, "live": 0, "stale": 0, "closed": 0}, ""),
        ({"live": 3, "stale": 2}, "1 of 4 books not live"),
        ({"subscribed": 1}, "1 of 2 connections subscribed"),
        (
            {"subscribed": 0, "live": 0, "stale": 5, "error": REFUSED},
            "0 of 2 connections subscribed: 127.0.0.1:9: refused, 4 of 4 books not live",
        ),
        ({"connections": 0, "subscribed": 0, "listed": False}, "no instrument list yet"),
        (
            {"connections": 0, "listed": False, "error": REFUSED},
            "no instrument list yet: 127.0.0.1:9: refused",
        ),
        ({"connections": 0, "subscribed": 0}, "nothing of it is asked for"),
    ],
)
def test_why_a_venue_is_not_live(changes: dict[str, Any], why: str) -> None:
    venue = status(**changes)
    assert (venue.why_not, venue.is_live) == (why, not why)


class Service:
    """Stands for the feeder's service."""

    def __init__(self) -> None:
        self.starts_now = [NONE]
        self.ticks_now: dict[str, int] = {}
        self.status_now = [status()]
        self.reloads = 0

    def starts(self) -> list[Start]:
        return self.starts_now

    def ticks(self) -> dict[str, int]:
        return dict(self.ticks_now)

    def status(self) -> list[VenueStatus]:
        return self.status_now

    async def reload(self) -> None:
        self.reloads += 1


def reload(watch: Watch) -> None:
    """SIGHUP, and what comes of it."""

    async def run() -> None:
        watch.reload()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(run())


class Systemd:
    """The other end of the notify socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address)

    def told(self) -> list[str]:
        """Since the last call."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4_096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Systemd, dict[str, str]]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@outcrier-{os.getpid()}"
    other = Systemd(name.replace("@", "\0", 1))
    yield other, {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "8000000", "WATCHDOG_PID": str(os.getpid())}
    other.close()


def test_what_systemd_is_told(
    systemd: tuple[Systemd, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, environ = systemd
    service, notifier = Service(), Notifier(environ)
    watch = Watch(service, notifier)  # type: ignore[arg-type]
    watch._look(0)
    assert other.told() == ["STATUS=starting: 1/1 venues live, 4/4 books live", "WATCHDOG=1"]
    reload(watch)
    assert (service.reloads, other.told()) == (1, []), "READY would end the start"
    service.starts_now = [LISTED]
    watch._look(LOOK_NS)
    assert other.told() == ["EXTEND_TIMEOUT_USEC=40000000"]
    service.starts_now = [WHOLE]
    watch._look(2 * LOOK_NS)
    service.starts_now = [STARTED]
    watch._look(3 * LOOK_NS)
    assert other.told() == [
        "EXTEND_TIMEOUT_USEC=40000000",
        "STATUS=1/1 venues live, 4/4 books live",
        "READY=1",
    ]
    service.status_now = [status(), status(venue="okx", live=1, stale=4)]
    watch._look(4 * LOOK_NS)
    assert other.told() == [], "at most once a second"
    watch._look(4 * LOOK_NS + STATUS_NS)
    assert other.told() == ["STATUS=1/2 venues live, 5/8 books live; okx: 3 of 4 books not live"]
    monkeypatch.setattr("outcrier.feeder.notify.mono_ns", lambda: 123_456_789)
    reload(watch)
    assert other.told() == ["RELOADING=1\nMONOTONIC_USEC=123456", "READY=1"]
    notifier.close()
    notifier.stopping()
    assert (other.told(), notifier.dropped) == ([], 0)


def test_the_watchdog_is_fed_while_every_core_ticks(systemd: tuple[Systemd, dict[str, str]]) -> None:
    other, environ = systemd
    service = Service()
    watch = Watch(service, Notifier(environ))  # type: ignore[arg-type]

    def fed(now_s: float) -> bool:
        watch._look(int(now_s * SECOND_NS))
        return "WATCHDOG=1" in other.told()

    assert [fed(0), fed(1.9), fed(2), fed(2.1)] == [True, False, True, False], "no session yet; every 2 s"
    service.ticks_now = {"binance": 1, "okx": 1}
    assert fed(4)
    service.ticks_now = {"binance": 20, "okx": 2}
    assert fed(6)
    service.ticks_now = {"binance": 40, "okx": 2}
    assert not fed(8), "one that stands still is enough"
    service.ticks_now = {"binance": 60, "okx": 3}
    assert fed(10)
    watch.notifier.close()


def test_a_loop_that_is_blocked_does_not_feed_it(
    systemd: tuple[Systemd, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, environ = systemd
    now_ns = 0
    monkeypatch.setattr(watch_module, "mono_ns", lambda: now_ns)

    async def run() -> Watch:
        nonlocal now_ns
        watch, stop = Watch(Service(), Notifier(environ)), asyncio.Event()  # type: ignore[arg-type]
        looked, look = asyncio.Event(), watch._look

        def seen(at_ns: int) -> None:
            look(at_ns)
            looked.set()

        monkeypatch.setattr(watch, "_look", seen)
        task = asyncio.create_task(watch.run(stop))

        async def turn() -> list[str]:
            """The next look."""
            looked.clear()
            await looked.wait()
            return other.told()

        await turn()
        # Nobody else runs while a callback does: a minute passes.
        now_ns += 60 * SECOND_NS
        assert other.told() == []
        assert "WATCHDOG=1" in await turn(), "it goes on when the loop does"
        stop.set()
        await task
        assert other.told()[-1] == "STOPPING=1"
        watch.notifier.close()
        return watch

    watch = asyncio.run(run())
    assert watch.lag.max_ns >= 59 * SECOND_NS


def test_without_systemd_nothing_is_told(tmp_path: Path) -> None:
    notifier = Notifier({})
    notifier.ready()
    assert (notifier.dropped, notifier.watchdog_ns) == (0, 0)
    assert Notifier({"WATCHDOG_USEC": "3000000"}).watchdog_ns == 3 * SECOND_NS
    assert Notifier({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}).watchdog_ns == 0
    assert Notifier({"WATCHDOG_USEC": "soon"}).watchdog_ns == 0
    with pytest.raises(ConfigurationError, match="NOTIFY_SOCKET: 'vsock:2:1' is neither"):
        Notifier({"NOTIFY_SOCKET": "vsock:2:1"})
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    gone.ready()
    assert gone.dropped == 1
    gone.close()


def test_a_socket_that_nobody_reads_never_blocks(systemd: tuple[Systemd, dict[str, str]]) -> None:
    other, environ = systemd
    notifier = Notifier(environ)
    for _ in range(5_000):
        notifier.alive()
    assert notifier.dropped > 0
    other.told()
    notifier.status("two\nlines\tof é" * 1_000)
    (told,) = other.told()
    assert told.startswith("STATUS=two lines of étwo")
    assert len(told.encode()) <= STATUS_BYTES_MAX + len("STATUS=")
    notifier.close()
