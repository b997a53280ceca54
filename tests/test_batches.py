"""Frames of one socket read leave together, and never stay behind."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feed_bench import Bench, lines
from outcrier import _core
from outcrier.clock import mono_ns
from outcrier.feeder.backoff import SECOND_NS, AttemptBudget
from outcrier.feeder.connection import Connection, ConnectionSpec, Lost
from outcrier.feeder.driver import Changed, ConnectionDriver
from outcrier.feeder.plan import PlannedConnection
from outcrier.feeder.transport import Connector, LinkListener

CaptureFinder = Callable[[str], Path]

QUOTE = '{"stream":"ab@bookTicker","data":{"u":%d,"s":"AB","b":"1","B":"2","a":"2","A":"1"}}'
TRADE = '{"stream":"ab@trade","data":{"e":"trade","E":1,"s":"AB","t":%d,"p":"1","q":"2","T":1,"m":true}}'
HEADER_BYTES = 66


def length(datagram: bytes) -> int:
    """F: header and payload (docs/wire-format.md, "Length and padding")."""
    return HEADER_BYTES + int(struct.unpack_from("<H", datagram, 6)[0])


@pytest.fixture
def bench() -> Bench:
    """A feed with one instrument, AB, that has sent what it had to say of it."""
    bench = Bench("binance")
    bench.add("AB")
    bench.feed.connected([])
    bench.publisher.take()
    return bench


def sends(bench: Bench) -> int:
    return bench.publisher.counters()["sends"]


def quote(bench: Bench, number: int, *, more: bool = False, connection: int = 1) -> int:
    return bench.feed.on_frame(connection, (QUOTE % number).encode(), 0, more)


def test_messages_of_a_read_leave_with_its_last(bench: Bench) -> None:
    before = sends(bench)
    quote(bench, 1, more=True)
    bench.feed.on_frame(1, (TRADE % 7).encode(), 0, True)  # noqa: FBT003 - positional, as the driver calls it
    assert bench.publisher.take() == []
    quote(bench, 2)
    datagrams = [datagram for _, datagram in bench.publisher.take()]
    assert sends(bench) == before + 1
    frames = [_core.decode_frame(datagram) for datagram in datagrams]
    assert [(frame["msg"], frame["source_seq"]) for frame in frames] == [("BBO", 1), ("TRADE", 0), ("BBO", 2)]
    slot = max(map(length, datagrams))
    assert [len(datagram) for datagram in datagrams] == [slot, slot, length(datagrams[-1])]
    assert all(not any(datagram[length(datagram) :]) for datagram in datagrams)
    assert len({frame["recv_ts"] for frame in frames}) == 1, "a read arrives once"
    quote(bench, 3)
    assert len(bench.publisher.take()) == 1
    assert sends(bench) == before + 2


CALLS: dict[str, Callable[[Bench], object]] = {
    "add_instrument": lambda bench: bench.add("CD"),
    "set_trading_status": lambda bench: bench.feed.set_trading_status(0, 4),
    "update_sizes": lambda bench: bench.feed.update_sizes(
        0, price_exp=0, qty_exp=0, tick_size=2, lot_size=1, min_qty=1
    ),
    "on_snapshot": lambda bench: bench.feed.on_snapshot(0, b"{}"),
    "on_orders_snapshot": lambda bench: bench.feed.on_orders_snapshot(0, b"{}"),
    "want_orders": lambda bench: bench.feed.want_orders(0),
    "connected": lambda bench: bench.feed.connected([0]),
    "disconnected": lambda bench: bench.feed.disconnected([0]),
    "restart_connection": lambda bench: bench.feed.restart_connection(1),
    "overlap": lambda bench: bench.feed.overlap(1, 2, [0]),
    "end_overlap": lambda bench: bench.feed.end_overlap(1, 2),
    "remove_instrument": lambda bench: bench.feed.remove_instrument(0),
    "resync": lambda bench: bench.feed.resync(0, 7),
    "publish_connection": lambda bench: bench.feed.publish_connection(
        conn_id=1,
        connected=1,
        disconnected=0,
        reconnects=0,
        messages=0,
        bytes=0,
        subscriptions=1,
        silence_ms=0,
        expected_ms=1,
    ),
    "publish_status": lambda bench: bench.feed.publish_status(scope=4, state=1, reason=0),
    "tick": lambda bench: bench.feed.tick(),
    "deadline_ns": lambda bench: bench.feed.deadline_ns(),
    "close": lambda bench: bench.feed.close(),
    "notices": lambda bench: bench.feed.notices(),
    "faults": lambda bench: bench.feed.faults(),
    "counters": lambda bench: bench.feed.counters(),
    "quality": lambda bench: bench.feed.quality(0),
    "clock": lambda bench: bench.feed.clock(),
    "history": lambda bench: bench.feed.history(0),
    "latency": lambda bench: bench.feed.latency(),
    "drift": lambda bench: bench.feed.drift(),
    "state": lambda bench: bench.feed.state(0),
    "instr_seq": lambda bench: bench.feed.instr_seq(0),
    "source_seq": lambda bench: bench.feed.source_seq(0),
    "book": lambda bench: bench.feed.book(0),
    "book_hash": lambda bench: bench.feed.book_hash(0),
    "orders": lambda bench: bench.feed.orders(0),
    "scale": lambda bench: bench.feed.scale(0),
    "def_version": lambda bench: bench.feed.def_version(0),
    "last_seq": lambda bench: bench.feed.last_seq(),
    "kinds": lambda bench: bench.feed.kinds(),
    "activity": lambda bench: bench.feed.activity(),
    "books_not_live": lambda bench: bench.feed.books_not_live(),
    "change_key": lambda bench: bench.feed.change_key(),
}

REFUSED: dict[str, Callable[[Bench], object]] = {
    "add_instrument": lambda bench: bench.add("AB"),
    "add_instrument: long name": lambda bench: bench.add("CD", base="X" * 17),
    "set_trading_status": lambda bench: bench.feed.set_trading_status(9, 4),
    "update_sizes": lambda bench: bench.feed.update_sizes(
        0, price_exp=-18, qty_exp=0, tick_size=2**62, lot_size=1, min_qty=1
    ),
    "on_frame": lambda bench: bench.feed.on_frame(1, "text", 0, True),  # type: ignore[arg-type]  # noqa: FBT003
    "on_snapshot": lambda bench: bench.feed.on_snapshot(9, b"{}"),
    "on_orders_snapshot": lambda bench: bench.feed.on_orders_snapshot(9, b"{}"),
    "want_orders": lambda bench: bench.feed.want_orders(9),
    "orders": lambda bench: bench.feed.orders(9),
    "publish_status": lambda bench: bench.feed.publish_status(scope=3, state=1, reason=0),
    "overlap": lambda bench: bench.feed.overlap(1, 2, [9]),
    "overlap: one connection": lambda bench: bench.feed.overlap(1, 1, [0]),
    "remove_instrument": lambda bench: bench.feed.remove_instrument(9),
    "resync": lambda bench: bench.feed.resync(9, 7),
    "book": lambda bench: bench.feed.book(9),
    "state": lambda bench: bench.feed.state(9),
    "quality": lambda bench: bench.feed.quality(9),
    "history": lambda bench: bench.feed.history(9, 1),
    "scale": lambda bench: bench.feed.scale(9),
}


def test_every_method_is_tried() -> None:
    methods = {name for name in vars(_core.Feed) if not name.startswith("_")}
    assert methods == set(CALLS) | {"on_frame"}


@pytest.mark.parametrize("name", CALLS)
def test_any_other_call_lets_leave_what_is_kept(bench: Bench, name: str) -> None:
    quote(bench, 1, more=True)
    CALLS[name](bench)
    assert first_is_quote(bench, 1)


@pytest.mark.parametrize("name", REFUSED)
def test_a_call_that_is_refused_does_too(bench: Bench, name: str) -> None:
    quote(bench, 1, more=True)
    with pytest.raises((ValueError, IndexError, TypeError, BufferError)):
        REFUSED[name](bench)
    assert first_is_quote(bench, 1)


def test_a_feed_that_is_deleted_leaves_nothing_behind(bench: Bench) -> None:
    quote(bench, 1, more=True)
    del bench.feed
    assert first_is_quote(bench, 1)


def first_is_quote(bench: Bench, number: int) -> bool:
    taken = bench.publisher.take()
    if not taken:
        return False
    frame = _core.decode_frame(taken[0][1])
    return (frame["msg"], frame["source_seq"]) == ("BBO", number)


def test_reads_of_two_connections_have_stamps_of_their_own(bench: Bench) -> None:
    for number in (1, 2, 3):
        quote(bench, number, more=True)
    quote(bench, 4, more=True, connection=2)
    quote(bench, 5, connection=2)
    quote(bench, 6)
    frames = [_core.decode_frame(datagram) for _, datagram in bench.publisher.take()]
    stamps = [frame["recv_ts"] for frame in frames]
    assert len(set(stamps[:3])) == 1
    assert stamps[3] == stamps[4]
    assert len(set(stamps)) == 3
    assert stamps == sorted(stamps), "receive times do not go back"


def test_recorded_times_stay_those_of_the_messages(bench: Bench) -> None:
    bench.feed.on_frame(1, (QUOTE % 1).encode(), 1_000, more=True)
    bench.feed.on_frame(1, (QUOTE % 2).encode(), 2_000)
    frames = [_core.decode_frame(datagram) for _, datagram in bench.publisher.take()]
    assert [frame["recv_ts"] for frame in frames] == [1_000, 2_000]


def test_a_full_batch_leaves_in_the_middle_of_a_read(bench: Bench) -> None:
    for number in range(1, 66):
        quote(bench, number, more=True)
    assert len(bench.publisher.take()) == 64
    quote(bench, 66)
    assert len(bench.publisher.take()) == 2


def test_padding_may_be_anything_and_a_frame_may_not(capture: CaptureFinder) -> None:
    """Fault 5: every bit of a padded frame and of its padding, on its way to a receiver that holds a book."""
    bench = Bench("binance_usdm", (-2, -3))
    source = list(lines(capture("binance_usdm/usdm_btcusdt_2022-08-11"), most=400))
    for number, line in enumerate(source):
        bench.indices or bench.add("BTCUSDT")
        if line.kind == "http":
            bench.feed.on_snapshot(0, line.text.encode(), line.t)
        else:
            bench.feed.on_frame(1, line.text.encode(), line.t, number % 20 != 0)
    bench.feed.notices()
    datagrams = bench.publisher.take()
    at = max(
        (index for index, (_, datagram) in enumerate(datagrams) if len(datagram) > length(datagram)),
        key=lambda index: len(datagrams[index][1]) - length(datagrams[index][1]),
    )
    padded = datagrams[at][1]
    assert len(padded) - length(padded) > 30
    for bit in range(len(padded) * 8):
        flipped = bytearray(padded)
        flipped[bit // 8] ^= 1 << bit % 8
        if bit >= length(padded) * 8:
            assert _core.decode_frame(bytes(flipped)) == _core.decode_frame(padded)
        else:
            with pytest.raises(ValueError, match=r"."):
                _core.decode_frame(bytes(flipped))


# The driver: what a link tells, to the frames that leave.


class Owner:
    """A venue's session, as far as a driver sees it."""

    def __init__(self, feed: _core.Feed) -> None:
        self.feed = feed
        self.told: list[str] = []
        self.errors: list[Exception] = []

    def take_rest(self, driver: ConnectionDriver, data: bytes, bits: int) -> None:  # noqa: ARG002
        self.told.append(f"rest {bits} of {driver.machine.messages}")
        self.feed.notices()

    def read_over(self) -> None:
        self.told.append("over")
        self.feed.deadline_ns()

    def connection_changed(self, driver: ConnectionDriver, what: Changed) -> None:  # noqa: ARG002
        self.told.append(type(what).__name__)
        if isinstance(what, Lost):
            self.feed.disconnected([0])

    def reschedule(self) -> None:
        self.told.append("reschedule")

    def fail(self, error: Exception) -> None:
        self.errors.append(error)


class Link:
    """A link that does nothing."""

    def send(self, text: str) -> None: ...
    def ping(self) -> None: ...
    def close(self, code: int, reason: str) -> None: ...
    def abort(self) -> None: ...


@pytest.fixture
def opened(bench: Bench) -> Iterator[tuple[ConnectionDriver, LinkListener, Owner]]:
    """A connected driver, the listener of its link, its owner."""
    listeners: list[LinkListener] = []

    async def run() -> None:
        asked = asyncio.Event()

        async def connect(url: str, listener: LinkListener, deadline_s: float) -> None:
            listeners.append(listener)
            asked.set()

        connectors.append(connect)
        driver.apply(driver.machine.start(mono_ns()))
        await asked.wait()

    connectors: list[Connector] = []

    owner = Owner(bench.feed)
    driver = ConnectionDriver(
        conn_id=1,
        machine=Connection(
            ConnectionSpec("ws://x", (), 5.0, SECOND_NS, 3600 * SECOND_NS),
            AttemptBudget(10, SECOND_NS),
            lambda: 0.5,
        ),
        planned=PlannedConnection(1, "ws://x", ""),
        owner=owner,
        take=bench.feed.on_frame,
        connector_for=lambda _: connectors[0],
    )
    asyncio.run(run())
    listeners[0].on_open(Link())
    owner.told.clear()
    yield driver, listeners[0], owner
    assert owner.errors == []


Opened = tuple[ConnectionDriver, LinkListener, Owner]


def test_a_link_that_dies_in_the_middle_of_a_read_leaves_nothing_behind(bench: Bench, opened: Opened) -> None:
    driver, listener, owner = opened
    for number in (1, 2, 3):
        listener.on_frame((QUOTE % number).encode(), more=True)
    assert bench.publisher.take() == []
    listener.on_close(1006, "gone")
    frames = [_core.decode_frame(datagram) for _, datagram in bench.publisher.take()]
    assert [(frame["msg"], frame["source_seq"]) for frame in frames[:3]] == [
        ("BBO", 1),
        ("BBO", 2),
        ("BBO", 3),
    ]
    # What comes after the end is nobody's.
    listener.on_frame((QUOTE % 4).encode(), more=False)
    listener.on_read_end()
    assert bench.publisher.take() == []
    assert owner.told[:2] == ["Lost", "reschedule"]
    assert driver.wire is None


def test_the_end_of_a_read_lets_leave_what_is_kept_and_counts_it(bench: Bench, opened: Opened) -> None:
    driver, listener, owner = opened
    texts = [(QUOTE % number).encode() for number in (1, 2)]
    for text in texts:
        listener.on_frame(text, more=True)
    assert (driver.machine.messages, owner.told) == (0, [])
    listener.on_read_end()
    assert owner.told == ["over"]
    assert (driver.machine.messages, driver.machine.bytes) == (2, sum(map(len, texts)))
    assert driver.machine.last_received_ns > 0
    assert len(bench.publisher.take()) == 2
    listener.on_frame(texts[0], more=False)
    assert owner.told == ["over", "over"]
    assert driver.machine.messages == 3


def test_what_a_message_leaves_to_python_is_done_at_once(bench: Bench, opened: Opened) -> None:
    driver, listener, owner = opened
    listener.on_frame((QUOTE % 1).encode(), more=True)
    listener.on_frame(b'{"result":null,"id":1}', more=True)
    assert owner.told == ["rest 1 of 2"]
    listener.on_frame(b"{", more=False)
    assert owner.told == ["rest 1 of 2", "rest 2 of 3", "over"]
    assert driver.machine.messages == 3
    assert len(bench.publisher.take()) == 1


def test_a_bug_of_ours_is_told_and_the_read_goes_on(bench: Bench, opened: Opened) -> None:
    driver, listener, owner = opened
    listener.on_frame((QUOTE % 1).encode(), more=True)
    listener.on_frame("no bytes", more=True)  # type: ignore[arg-type]
    assert [type(error) for error in owner.errors] == [TypeError]
    owner.errors.clear()
    listener.on_frame((QUOTE % 2).encode(), more=False)
    assert [_core.decode_frame(datagram)["source_seq"] for _, datagram in bench.publisher.take()] == [1, 2]
    assert (driver.machine.messages, owner.told) == (3, ["over"])
