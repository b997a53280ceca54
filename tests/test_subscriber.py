"""A Subscriber on real multicast: async and plain, from the start, in the middle, and alone."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

import outcrier
from conftest import ROOT
from feed_bench import Bench, lines
from outcrier import ConfigurationError, NetworkError, State, Subscriber, _core, subscriber
from outcrier import events as ev
from outcrier.config import MulticastConfig, SubscriberConfig
from outcrier.silence import SILENCE_NS, Watch, accepted, diagnose, interface_name, small_buffer

CaptureFinder = Callable[[str], Path]
CAPTURE = "binance_usdm/usdm_btcusdt_2022-08-11"
SYMBOL = "BTCUSDT@binance_usdm"
GROUP, SNAPSHOTS = "239.192.90.1", "239.192.90.3"


@pytest.fixture
def port(free_port: int) -> int:
    """Groups are shared by all tests, ports are not."""
    return free_port


class Station:
    """A feed that replays a capture onto the wire from a thread, and ticks on until told to end."""

    def __init__(self, port: int, path: Path, *, pause_after: int = 10**9, burst: int = 20) -> None:
        """`burst` messages a millisecond: 20 are below what the kernel's usual buffer holds."""
        publisher = _core.Publisher.udp(
            interface="127.0.0.1", group=GROUP, snapshot_group=SNAPSHOTS, port=port, ttl=0
        )
        self.bench = Bench("binance_usdm", publisher=publisher)
        # A feed belongs to one thread at a time.
        self._lock = threading.Lock()
        self.played = threading.Event()
        self.go_on = threading.Event()
        self._end = threading.Event()
        self._paused = pause_after
        self._burst = burst
        self._path = path
        self._thread = threading.Thread(target=self._run, name="station")

    def __enter__(self) -> Station:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.go_on.set()
        self._thread.join()

    def _run(self) -> None:
        for number, line in enumerate(lines(self._path, most=3000)):
            with self._lock:
                self.bench.take(line)
            if number == self._paused:
                self.played.set()
                while not self.go_on.is_set():
                    self._tick()
            if number % self._burst == 0:
                with self._lock:
                    self.bench.feed.tick()
                self._end.wait(0.001)
        self.played.set()
        while not self._end.is_set():
            self._tick()

    def _tick(self) -> None:
        with self._lock:
            self.bench.feed.tick()
        self._end.wait(0.002)

    def sides(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        with self._lock:
            bids, asks = self.bench.feed.book(0)
        return bids, asks

    def last(self) -> int:
        with self._lock:
            return self.bench.feed.instr_seq(0)

    def hash(self) -> int:
        with self._lock:
            return self.bench.feed.book_hash(0)


def listen(port: int, **options: Any) -> Subscriber:
    return Subscriber("crypto", port=port, **{"accept": {"replay"}, "timeout": 20.0, **options})


def mantissas(sub: Subscriber) -> tuple[list[tuple[int, int]], ...]:
    return tuple([tuple(level) for level in side.tolist()] for side in sub.book(SYMBOL).mantissas())


async def until_equal(sub: Subscriber, station: Station) -> list[ev.Event]:
    """Reads until everything was played and the last number arrived; the events read."""
    events: list[ev.Event] = []

    async def read() -> None:
        async for batch in sub.batches():
            events.extend(batch)

    reading = asyncio.create_task(read())
    while not arrived(sub, station):
        await asyncio.wait({reading}, timeout=0.01)
        if reading.done():
            reading.result()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return events


def arrived(sub: Subscriber, station: Station) -> bool:
    """Whether everything was played and has arrived."""
    return station.played.is_set() and sub.book(SYMBOL).instr_seq == station.last()


def test_started_before_it_ends_with_the_publishers_book(port: int, capture: CaptureFinder) -> None:
    async def run() -> None:
        async with listen(port, symbols=[SYMBOL]) as sub:
            assert sub.state(SYMBOL) is State.UNKNOWN
            with Station(port, capture(CAPTURE)) as station:
                events = await until_equal(sub, station)
                assert mantissas(sub) == station.sides()
                assert sub.state(SYMBOL) is State.LIVE
                assert sub.book(SYMBOL).hash == station.hash()
            kinds = {type(event) for event in events}
            assert {ev.Definition, ev.BookDelta, ev.Trade, ev.StateChange} <= kinds
            counters = sub.counters()
            assert (counters["gaps"], counters["given_up"], counters["kernel_drops"]) == (0, 0, 0)
            assert sub.instrument(SYMBOL).native_symbol == "BTCUSDT"
            assert [i.symbol for i in sub.instruments(match="btc")] == [SYMBOL]
            assert sub.instruments(match="nothing") == []

    asyncio.run(run())


def test_started_in_the_middle_it_is_whole_from_the_snapshot_plane(port: int, capture: CaptureFinder) -> None:
    async def run() -> None:
        with Station(port, capture(CAPTURE), pause_after=1500) as station:
            assert await asyncio.to_thread(station.played.wait, 20)
            async with listen(port, symbols=[SYMBOL]) as sub:
                await sub.live(timeout=10)
                assert mantissas(sub) == station.sides()
                middle = sub.book(SYMBOL).instr_seq
                station.played.clear()
                station.go_on.set()
                await until_equal(sub, station)
                assert sub.book(SYMBOL).instr_seq > middle
                assert mantissas(sub) == station.sides()
                assert sub.counters()["groups_applied"] == 1

    asyncio.run(run())


def test_plain_iterators(port: int, capture: CaptureFinder) -> None:
    with listen(port, symbols=[SYMBOL], prices="float") as sub, Station(port, capture(CAPTURE)) as station:
        trades = 0
        for event in sub:
            trades += isinstance(event, ev.Trade) and isinstance(event.price, float)
            if trades == 20:
                break
        sub.wait_live(timeout=10)
        assert station.played.wait(20)
        for _ in sub.iter_batches():
            if arrived(sub, station):
                break
        assert mantissas(sub) == station.sides()
        with pytest.raises(RuntimeError, match="of all symbols"):
            sub.wait_complete(timeout=10)
        with listen(port) as everything:
            everything.wait_complete(timeout=10)
            assert everything.complete()
            assert [instrument.symbol for instrument in everything.instruments()] == [SYMBOL]


def test_a_cancelled_iteration_loses_nothing(port: int, capture: CaptureFinder) -> None:
    """A reader that is cancelled all the time and one that is left alone see the same events."""

    async def read(sub: Subscriber, seen: list[tuple[int, str]]) -> None:
        async for event in sub:
            if event.instr_seq:
                seen.append((event.instr_seq, type(event).__name__))  # noqa: PERF401  # cancelled in between

    async def run() -> None:
        calm: list[tuple[int, str]] = []
        hurried: list[tuple[int, str]] = []
        async with listen(port, symbols=[SYMBOL]) as left, listen(port, symbols=[SYMBOL]) as sub:
            with Station(port, capture(CAPTURE)) as station:
                undisturbed = asyncio.create_task(read(left, calm))
                cancelled = 0
                while not (arrived(sub, station) and arrived(left, station)):
                    task = asyncio.create_task(read(sub, hurried))
                    await asyncio.sleep(0.003)
                    cancelled += task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                task = asyncio.create_task(read(sub, hurried))
                before = 0
                while not before == len(calm) == len(hurried):  # nothing more comes to either
                    before = len(calm)
                    await asyncio.sleep(0.2)
                task.cancel()
                undisturbed.cancel()
                await asyncio.gather(task, undisturbed, return_exceptions=True)
        assert cancelled > 5
        assert len(calm) > 1500
        assert hurried == calm

    asyncio.run(run())


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_broken_off_and_begun_again_on_either_loop(
    port: int, capture: CaptureFinder, factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def run() -> tuple[list[int], list[int]]:
        seen: list[int] = []
        options: dict[str, Any] = {"symbols": [SYMBOL], "types": ["trade"]}
        async with listen(port, **options) as sub, listen(port, **options) as undisturbed:
            with Station(port, capture(CAPTURE)):
                while len(seen) < 300:
                    async for event in sub:
                        if isinstance(event, ev.Trade):
                            seen.append(event.instr_seq)
                            break
            calm: list[int] = []
            async for event in undisturbed:
                if isinstance(event, ev.Trade):
                    calm.append(event.instr_seq)
                    if len(calm) == 300:
                        break
        return seen, calm

    with asyncio.Runner(loop_factory=factory) as runner:
        seen, calm = runner.run(run())
    assert seen == calm


def test_a_broken_off_plain_iteration_goes_on_where_it_stopped(port: int, capture: CaptureFinder) -> None:
    seen: list[int] = []
    with listen(port, symbols=[SYMBOL], types=["trade"]) as sub, Station(port, capture(CAPTURE)):
        while len(seen) < 300:
            # Each time an iterator of its own, which is closed with events of its batch left.
            for event in sub.iter_events():
                if isinstance(event, ev.Trade):
                    seen.append(event.trade_id)
                    break
    # Binance numbers the trades of a symbol one by one.
    assert seen == list(range(seen[0], seen[0] + 300))


def test_one_reader_at_a_time_and_the_right_kind(port: int) -> None:
    async def run() -> None:
        async with listen(port) as sub:
            first = asyncio.ensure_future(anext(aiter(sub.batches())))
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="already being read"):
                await anext(aiter(sub.batches()))
            with pytest.raises(RuntimeError, match="async for"):
                next(iter(sub))
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        with pytest.raises(RuntimeError, match="opened once"):
            async with sub:
                pass

    asyncio.run(run())
    closed = listen(port)
    with pytest.raises(RuntimeError, match="open the Subscriber first"):
        next(iter(closed))


def test_closing_ends_the_iteration(port: int) -> None:
    async def run() -> list[Any]:
        async with listen(port) as sub:
            reading = asyncio.ensure_future(collect(sub))
            await asyncio.sleep(0.05)
            sub.close()
            return await asyncio.wait_for(reading, 5)

    async def collect(sub: Subscriber) -> list[Any]:
        return [batch async for batch in sub.batches()]

    assert asyncio.run(run()) == []


def test_unasked_replay_is_refused_and_the_line_says_how_to_ask(
    port: int, capture: CaptureFinder, caplog: pytest.LogCaptureFixture
) -> None:
    with Station(port, capture(CAPTURE)), listen(port, accept=(), timeout=4.0) as sub:
        with (
            caplog.at_level(logging.WARNING, "outcrier.subscriber"),
            pytest.raises(NetworkError, match=r"no event within 4 s: .*flagged REPLAY") as caught,
        ):
            next(iter(sub))
        assert 'accept={"replay"}' in str(caught.value)
        assert f"port {port}" in str(caught.value)
        said = [record.getMessage() for record in caplog.records if "nothing heard" in record.getMessage()]
        assert len(said) == 1
        assert sub.instruments() == []


def test_unknown_symbol_names_a_near_one(
    port: int, capture: CaptureFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "UNKNOWN_AFTER_NS", 300_000_000)

    async def run(symbol: str) -> None:
        async with listen(port, symbols=[symbol]) as sub:
            async for _ in sub:
                pass

    with Station(port, capture(CAPTURE)):
        with pytest.raises(ConfigurationError, match="did you mean BTCUSDT@binance_usdm"):
            asyncio.run(run("BTCUSDC@binance_usdm"))
        with pytest.raises(ConfigurationError, match="of binance nothing is heard, only of binance_usdm"):
            asyncio.run(run("ZZZ/YYY@binance"))
        with listen(port, symbols=["BTCUSDC@binance_usdm"]) as sub, pytest.raises(ConfigurationError):
            next(iter(sub))


def test_timeout_and_not_live_name_where_was_listened(port: int) -> None:
    async def run() -> None:
        async with listen(port, symbols=[SYMBOL], timeout=0.3) as sub:
            with pytest.raises(
                NetworkError, match=f"group {GROUP}, interface 127.0.0.1, port {port}: lo is up"
            ):
                await anext(aiter(sub))
        async with listen(port, symbols=[SYMBOL]) as sub:
            with pytest.raises(NetworkError, match=r"not live within 0.2 s: nothing heard on group"):
                await sub.live(timeout=0.2)

    asyncio.run(run())
    with listen(port) as sub, pytest.raises(NetworkError, match=r"not complete within 0.2 s: nothing heard"):
        sub.wait_complete(timeout=0.2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"symbols": ["BTC/USDT"]}, "names no venue"),
        ({"symbols": ["BTC/USDT@binanse"]}, "did you mean binance"),
        ({"types": ["trades"]}, "types are book, trade"),
        ({"accept": {"tests"}}, "there are replay and test"),
    ],
)
def test_what_cannot_be_is_refused_at_once(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Subscriber("crypto", **options)


def test_a_family_and_an_interface_that_are_not_there(port: int) -> None:
    with pytest.raises(ConfigurationError, match="there is crypto"):
        Subscriber("fish")
    with pytest.raises(NetworkError, match=r"10\.9\.9\.9"), listen(port, interface="10.9.9.9"):
        pass
    sub = listen(port, symbols=[SYMBOL])
    with pytest.raises(ConfigurationError, match="not among the symbols"):
        sub.book("ETHUSDT@binance_usdm")


def test_watch_says_silence_once_and_again_after_a_new_one() -> None:
    watch = Watch(0, timeout_ns=10)
    assert not watch.silent(SILENCE_NS - 1, 0)
    assert watch.silent(SILENCE_NS, 0)
    assert not watch.silent(2 * SILENCE_NS, 0)
    assert not watch.silent(2 * SILENCE_NS, 5)
    assert watch.silent(3 * SILENCE_NS, 5)
    assert not watch.expired(9)
    assert watch.expired(10)
    watch.events(10)
    assert not watch.expired(19)
    assert not Watch(0, None).expired(10**18)


@pytest.fixture
def counters() -> dict[str, int]:
    return _core.Receiver().counters()


def test_diagnosis(counters: dict[str, int]) -> None:
    assert accepted(counters) == 0
    assert "does a feed run" not in diagnose("127.0.0.1", "239.1.2.3", 9, counters)
    assert "does not list the group on lo" in diagnose("127.0.0.1", "239.1.2.3", 9, counters)
    assert "no interface has the address 10.9.9.9" in diagnose("10.9.9.9", "239.1.2.3", 9, counters)
    strange = {**counters, "datagrams": 7, "refused_sync": 7}
    assert accepted(strange) == 0
    assert "7 sync" in diagnose("127.0.0.1", "239.1.2.3", 9, strange)
    flagged = {**counters, "datagrams": 9, "dropped_test": 8}
    assert accepted(flagged) == 1
    assert '8 frames are flagged TEST; accept={"test"}' in diagnose("127.0.0.1", "239.1.2.3", 9, flagged)
    assert interface_name("127.0.0.1") == "lo"


def test_small_buffers_are_told_with_the_line_that_mends_them() -> None:
    asked = 16 * 1024 * 1024
    assert SubscriberConfig().rcvbuf_bytes == asked
    assert small_buffer(32 * 1024 * 1024, asked) is None
    warning = small_buffer(425_984, asked) or ""
    assert "425,984 bytes of 33,554,432 wanted" in warning
    assert "sysctl -w net.core.rmem_max=16777216, or run with CAP_NET_ADMIN" in warning
    assert small_buffer(8 * 1024 * 1024, asked), "enough for a small program, but less than was asked"
    assert small_buffer(8 * 1024 * 1024, 4 * 1024 * 1024) is None


def test_a_small_buffer_that_was_asked_for_is_not_blamed_on_the_kernel() -> None:
    warning = small_buffer(425_984, 212_992) or ""
    assert "sysctl" not in warning
    assert "rcvbuf_bytes is 212,992, set it to 4,194,304 or more" in warning


def test_public_names() -> None:
    for name in outcrier.__all__:
        assert getattr(outcrier, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        outcrier.nothing  # noqa: B018


class Enough(Exception):  # noqa: N818  # ends an example, is no error
    """An example has printed what it should."""


EXAMPLES = [
    code
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "consumer.md").read_text(), re.DOTALL)
    if "Subscriber(" in code
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_of_the_document_run(
    code: str, port: int, capture: CaptureFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As written, but for the recording: its symbol, and that REPLAY is accepted."""
    monkeypatch.setattr(subscriber, "FEEDS", {"crypto": MulticastConfig(port=port)})
    code = code.replace("BTC/USDT:PERP@binance_usdm", SYMBOL)
    code = code.replace('"crypto"', '"crypto", accept={"replay"}, timeout=20')
    printed: list[tuple[Any, ...]] = []

    def show(*values: Any) -> None:
        printed.append(values)
        if len(printed) == 5:
            raise Enough

    # Slow, because an example opens its subscriber when the station already plays.
    with Station(port, capture(CAPTURE), burst=1), pytest.raises(Enough):
        exec(code, {"print": show, "__name__": "example"})  # noqa: S102  # our own document
    assert all(value is not None for values in printed for value in values)
