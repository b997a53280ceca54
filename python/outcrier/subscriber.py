"""Listens to a family of channels and hands out books, NumPy batches and typed events.

    async with Subscriber("crypto", symbols=["BTC/USDT:PERP@binance_usdm"]) as sub:
        async for batch in sub.batches():
            print(sub.book("BTC/USDT:PERP@binance_usdm").best, len(batch.trades))

The same without asyncio: `with Subscriber(...) as sub:` and `for event in sub:`. The core checks, repairs and
filters; Python sees what was asked for, once a batch. A subscriber belongs to one thread and, if opened by
`async with`, to one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import msgspec

from outcrier.batch import Batch, Directory
from outcrier.clock import mono_ns
from outcrier.config import MulticastConfig, MulticastSections, SubscriberConfig
from outcrier.errors import ConfigurationError, NetworkError
from outcrier.events import Event
from outcrier.gaps import Gap, gap_of
from outcrier.order_views import OrdersView
from outcrier.prices import PriceKind, converter
from outcrier.pump import Pump
from outcrier.reception import Address, join, make_receiver, read_keys
from outcrier.silence import Watch, accepted, diagnose, small_buffer
from outcrier.views import BookView, Instrument, State, instrument_of, symbol_of
from outcrier.wanted import core_symbol, type_numbers, unknown_symbol

Accept = Literal["replay", "test"]
"""Flags of frames that are dropped unless asked for: recorded data, and data that does not come from the
venue itself.
"""

FEEDS: Final[dict[str, MulticastConfig]] = msgspec.structs.asdict(MulticastSections())
"""Families of channels by name, with the addresses they have unless told otherwise."""

UNKNOWN_AFTER_NS: Final = 3_000_000_000
"""A symbol is unknown when every channel heard told all its instruments and this time went by without a new
one: processes that start together are heard within it."""

_CHECK_S: Final = 0.25
"""How often silence and unknown symbols are looked at."""

_LOOK_S: Final = 0.02
"""How often those who wait for a state look: a book becomes live within a snapshot cycle, some 50 times this.
"""

_LISTEN_NS: Final = 500_000_000
"""Least time to listen before the channels heard are taken for all there are: five heartbeats."""

_WAIT_SLICE_NS: Final = 200_000_000
"""Longest sleep of the plain iterators in the core, so that Ctrl-C is answered within it."""

_LOG: Final = logging.getLogger("outcrier.subscriber")


class Subscriber:
    """A consumer of one family of channels. Open it by `with` or `async with`; it can be opened once."""

    def __init__(
        self,
        feed: str = "crypto",
        *,
        symbols: Iterable[str] | None = None,
        types: Iterable[str] | None = None,
        accept: Collection[Accept] = (),
        prices: PriceKind = "decimal",
        repair: bool = True,
        interface: str | None = None,
        interface_b: str | None = None,
        group: str | None = None,
        group_b: str | None = None,
        snapshot_group: str | None = None,
        repair_group: str | None = None,
        port: int | None = None,
        rcvbuf_bytes: int | None = None,
        sources: Iterable[str] | None = None,
        reuse_port: bool | None = None,
        key_file: str | Path | None = None,
        manifest_key: str = "",
        timeout: float | None = None,
    ) -> None:
        """`symbols`: such as `BTC/USDT@binance`; None = all. `types`: names of
        `outcrier.layout.MESSAGE_TYPES`
        that batches and events hold; None = all; books are kept whatever is asked. `accept`: also frames
        flagged REPLAY or TEST, which are dropped otherwise. `prices`: how events and book views hand out
        prices and quantities. `repair`: ask the publisher for what was lost; without it only line B and the
        snapshot plane mend. `interface` to `rcvbuf_bytes` replace the family's defaults; a `group` other than
        the family's stands alone: no line B and no repair group unless they are given, too ("" = none).
        `sources`: addresses of the senders to hear; `reuse_port`: keep other users' processes off the port.
        `key_file`: only frames with a MAC of its keys are taken. `manifest_key`: the publisher's Ed25519 key
        as 64 hex digits, to check what it signs once a second.
        `timeout`: seconds without an event after which iterators raise NetworkError; None = wait for ever.

        Raises ConfigurationError for what cannot be: a family, venue, type or flag that does not exist.
        """
        if feed not in FEEDS:
            raise ConfigurationError(f"unknown family of channels {feed!r}: there is {', '.join(FEEDS)}")
        addresses = FEEDS[feed]
        alone = group is not None and group != addresses.group_a
        self._address = Address(
            feed,
            interface or addresses.interface,
            group or addresses.group_a,
            snapshot_group or addresses.group_snapshot,
            port or addresses.port,
            interface_b=_given(interface_b, addresses.interface_b),
            group_b=_given(group_b, "" if alone else addresses.group_b),
            repair_group=_given(repair_group, "" if alone else addresses.group_repair),
            sources=addresses.sources if sources is None else tuple(sources),
            reuse_port=addresses.reuse_port if reuse_port is None else reuse_port,
        )
        self._rcvbuf_bytes = rcvbuf_bytes or SubscriberConfig().rcvbuf_bytes
        self._timeout_ns = None if timeout is None else int(timeout * 1e9)
        self._symbols = None if symbols is None else {text: core_symbol(text) for text in symbols}
        unknown = sorted(set(accept) - {"replay", "test"})
        if unknown:
            raise ConfigurationError(f"accept: {unknown[0]!r} is no flag: there are replay and test")
        self._receiver = make_receiver(
            repair=repair,
            keys=read_keys(key_file),
            manifest_key=manifest_key,
            symbols=None if self._symbols is None else list(self._symbols.values()),
            types=type_numbers(types),
            accept_replay="replay" in accept,
            accept_test="test" in accept,
        )
        self._prices: PriceKind = prices
        self._convert = converter(prices)
        self._directory = Directory(self._receiver.instruments, self._receiver.channels, self._convert)
        # The rest of a batch. Taken from by next(): a broken-off iteration closes what it loops over.
        self._unread: Iterator[Event] = iter(())
        self._views: dict[str, BookView] = {}
        self._order_views: dict[str, OrdersView] = {}
        self._watch = Watch(0, None)
        self._missing = dict(self._symbols or {})
        self._known = 0
        self._known_ns = 0
        self._opened = self._closed = False
        self._pump: Pump | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._checker: asyncio.TimerHandle | None = None
        self._error: BaseException | None = None

    # Opening and closing

    def _open(self) -> None:
        if self._opened:
            raise RuntimeError("a Subscriber can be opened once")
        self._opened = True
        join(self._receiver, self._address, self._rcvbuf_bytes)
        now_ns = mono_ns()
        self._watch = Watch(now_ns, self._timeout_ns)
        self._known_ns = now_ns
        warning = small_buffer(self._receiver.effective_rcvbuf(), self._rcvbuf_bytes)
        if warning:
            _LOG.warning("%s", warning)

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        self._open()
        self._pump = Pump(self._receiver, self._wake, self._fail_socket)
        self._pump.drain()
        self._checker = asyncio.get_running_loop().call_later(_CHECK_S, self._check_later)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the groups; iterators end. Books keep their last content. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._pump is not None:
            self._pump.stop()
        if self._checker is not None:
            self._checker.cancel()
        self._wake()
        self._receiver.close()

    # Reading

    async def batches(self) -> AsyncIterator[Batch]:
        """What arrived, a batch at a time, as soon as there is something; ends when the subscriber is closed.

        A cancelled or abandoned iteration loses nothing: the next one goes on where it stopped. Rows that
        nobody takes are kept up to a million, then the oldest are dropped and counted. One iteration at a
        time. Raises ConfigurationError for a symbol that no channel knows, NetworkError after `timeout`.
        """
        while await self._pending():
            yield self._take()

    async def events(self) -> AsyncIterator[Event]:
        """As `batches`, but one typed event at a time (`outcrier.events`)."""
        while True:
            while (event := next(self._unread, None)) is not None:
                yield event
            if not await self._pending():
                return
            self._unread = iter(self._take())

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.events()

    def iter_batches(self) -> Iterator[Batch]:
        """`batches` without asyncio: sleeps in the core, without the GIL, until something arrives."""
        while self._wait_pending():
            yield self._take()

    def iter_events(self) -> Iterator[Event]:
        """`events` without asyncio."""
        while True:
            while (event := next(self._unread, None)) is not None:
                yield event
            if not self._wait_pending():
                return
            self._unread = iter(self._take())

    def __iter__(self) -> Iterator[Event]:
        return self.iter_events()

    def pump(self, seconds: float) -> None:
        """Takes what arrives within `seconds` into the books and drops the rows: for who looks at books,
        counters and gaps alone. Without asyncio. Raises ConfigurationError for a symbol that no channel
        knows.
        """
        self._check_readable(asynchronous=False)
        end_ns = mono_ns() + int(seconds * 1e9)
        while not self._closed and (left_ns := end_ns - mono_ns()) > 0:
            if self._receiver.wait(min(left_ns, _WAIT_SLICE_NS)):
                self._take()
            self._check(mono_ns(), waiting=False)

    def _check_readable(self, *, asynchronous: bool) -> None:
        if not self._opened:
            raise RuntimeError("open the Subscriber first: with Subscriber(...) as sub, or async with")
        if asynchronous != (self._pump is not None):
            raise RuntimeError("opened by `async with` it is read by `async for`, opened by `with` by `for`")
        if self._waiter is not None:
            raise RuntimeError("this Subscriber is already being read: two readers would each get a part")

    def _take(self) -> Batch:
        rows = self._receiver.take()
        self._watch.events(mono_ns())
        return Batch(rows, self._directory)

    async def _pending(self) -> bool:
        """Waits for rows; False once the subscriber is closed."""
        self._check_readable(asynchronous=True)
        # A consumer that always finds something would otherwise never let the loop run.
        await asyncio.sleep(0)
        self._check_readable(asynchronous=True)
        self._watch.events(mono_ns())
        while self._pump is not None and not self._closed:
            if self._error is not None:
                raise self._error
            if self._pump.drain():
                return True
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return False

    def _wait_pending(self) -> bool:
        self._check_readable(asynchronous=False)
        self._watch.events(mono_ns())
        while not self._closed:
            if self._receiver.wait(_WAIT_SLICE_NS):
                return True
            self._check(mono_ns(), waiting=True)
        return False

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: BaseException) -> None:
        """Iterators raise `error` as soon as they look."""
        self._error = error
        self._wake()

    def _fail_socket(self, error: OSError) -> None:
        self._fail(NetworkError(error.strerror or str(error)))

    def _check_later(self) -> None:
        try:
            self._check(mono_ns(), waiting=self._waiter is not None)
        except (ConfigurationError, NetworkError) as error:
            self._fail(error)
        self._checker = asyncio.get_running_loop().call_later(_CHECK_S, self._check_later)

    def _check(self, now_ns: int, *, waiting: bool) -> None:
        """Looks for silence and for symbols that nobody knows; `waiting`: an iterator waits for events."""
        counters = self._receiver.counters()
        if self._watch.silent(now_ns, accepted(counters)):
            _LOG.warning("%s", self.diagnosis())
        if self._missing:
            self._check_missing(now_ns)
        if not waiting:
            self._watch.events(now_ns)
        elif self._watch.expired(now_ns):
            if accepted(counters):
                raise NetworkError(f"no event within {self._seconds()}")
            raise NetworkError(f"no event within {self._seconds()}: {self.diagnosis()}")

    def _seconds(self) -> str:
        return f"{(self._timeout_ns or 0) / 1e9:g} s"

    def _check_missing(self, now_ns: int) -> None:
        known = self._receiver.instruments()
        if len(known) != self._known:
            self._known, self._known_ns = len(known), now_ns
        self._missing = {text: core for text, core in self._missing.items() if not self._receiver.find(core)}
        cycles = self._receiver.whole_cycles()
        whole = bool(cycles) and all(cycles.values())
        if not whole:
            self._known_ns = now_ns
        elif self._missing and now_ns - self._known_ns >= UNKNOWN_AFTER_NS:
            raise unknown_symbol(next(iter(self._missing)), [symbol_of(row) for row in known])

    def diagnosis(self) -> str:
        """One line: where this subscriber listens and why nothing is heard there, as far as the machine
        tells.
        """
        at = self._address
        return diagnose(at.interface, at.group, at.port, self._receiver.counters())

    # Looking

    async def live(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # the error names what is missing
        """Waits until every wanted book is LIVE. Events that arrive meanwhile are kept for the iterators.

        Raises NetworkError after `timeout` seconds, naming a symbol that is not LIVE and its state, and
        ConfigurationError for a symbol that no channel knows.
        """
        if self._pump is None:
            raise RuntimeError("live() is for a Subscriber opened by `async with`")
        end_ns = None if timeout is None else mono_ns() + int(timeout * 1e9)
        while True:
            if self._error is not None:
                raise self._error
            waiting_for = self._not_live()
            if waiting_for is None:
                return
            if end_ns is not None and mono_ns() >= end_ns:
                raise NetworkError(f"not live within {timeout:g} s: {waiting_for}")
            await asyncio.sleep(_LOOK_S)

    def wait_live(self, timeout: float | None = None) -> None:
        """`live` without asyncio."""
        self._wait_for(self._not_live, timeout, "not live")

    def wait_complete(self, timeout: float | None = None) -> None:
        """Waits until every channel has told all its instruments; without asyncio. Raises NetworkError as
        `live`.
        """
        if self._symbols is not None:
            raise RuntimeError(
                "this is for a Subscriber of all symbols: who has what it wants listens no longer"
            )
        end_ns = mono_ns() + _LISTEN_NS

        def missing() -> str | None:
            if not self._receiver.whole_cycles():
                return self.diagnosis()
            # Heartbeats come every 100 ms: by then every channel that is there was heard.
            return (
                None
                if self.complete() and mono_ns() >= end_ns
                else "a channel has not told all its instruments"
            )

        self._wait_for(missing, timeout, "not complete")

    def _wait_for(self, missing: Callable[[], str | None], timeout: float | None, what: str) -> None:
        if not self._opened or self._pump is not None:
            raise RuntimeError("this is for a Subscriber opened by `with`")
        end_ns = None if timeout is None else mono_ns() + int(timeout * 1e9)
        while True:
            self._receiver.poll()
            waiting_for = missing()
            if waiting_for is None:
                return
            now_ns = mono_ns()
            if end_ns is not None and now_ns >= end_ns:
                raise NetworkError(f"{what} within {timeout:g} s: {waiting_for}")
            self._check(now_ns, waiting=False)
            time.sleep(_LOOK_S)

    def _not_live(self) -> str | None:
        """What is still to come before every wanted book is LIVE; None if nothing is."""
        cycles = self._receiver.whole_cycles()
        if not cycles:
            return self.diagnosis()
        if self._symbols is not None:
            states = {text: self.state(text) for text in self._symbols}
        else:
            if not all(cycles.values()):
                return "the snapshot cycle of a channel is not whole yet"
            states = {symbol_of(row): State(row["state"]) for row in self._receiver.instruments()}
        return next((f"{text} is {state}" for text, state in states.items() if state is not State.LIVE), None)

    def book(self, symbol: str) -> BookView:
        """A live view of the book of `symbol`, empty until it is heard. Raises ConfigurationError if it was
        not subscribed to.
        """
        view = self._views.get(symbol)
        if view is None:
            if self._symbols is not None and symbol not in self._symbols:
                raise ConfigurationError(f"{symbol} is not among the symbols of this subscriber")
            view = BookView(self._receiver, symbol, core_symbol(symbol), self._convert)
            self._views[symbol] = view
        return view

    def orders(self, symbol: str) -> OrdersView:
        """A live view of the orders of `symbol`, where its publisher tells of any. Raises ConfigurationError
        if it was not subscribed to.
        """
        book = self.book(symbol)
        view = self._order_views.get(symbol)
        if view is None:
            view = OrdersView(self._receiver.orders(core_symbol(symbol)), book, self._convert)
            self._order_views[symbol] = view
        return view

    def state(self, symbol: str) -> State:
        """State of the book of `symbol`; act on it only while it is LIVE."""
        return self.book(symbol).state

    def instruments(self, match: str | None = None) -> list[Instrument]:
        """Every instrument heard so far whose symbol or native symbol contains `match` (case does not
        matter), by symbol.
        """
        found = [instrument_of(row, self._convert) for row in self._receiver.instruments()]
        if match is not None:
            text = match.casefold()
            found = [i for i in found if text in i.symbol.casefold() or text in i.native_symbol.casefold()]
        return sorted(found, key=lambda instrument: instrument.symbol)

    def instrument(self, symbol: str) -> Instrument:
        """Tick, lot, unit, contract size and status of `symbol`. Raises ConfigurationError if it was not
        heard (yet).
        """
        for row in self._receiver.instruments():
            if symbol_of(row) == symbol:
                return instrument_of(row, self._convert)
        raise unknown_symbol(symbol, [symbol_of(row) for row in self._receiver.instruments()])

    def complete(self) -> bool:
        """Whether every channel heard has told all its instruments, in a whole snapshot cycle each.

        Those with `symbols` may never know: they leave the snapshot plane once their books are LIVE.
        """
        cycles = self._receiver.whole_cycles()
        return bool(cycles) and all(cycles.values())

    def counters(self) -> dict[str, int]:
        """What was received, dropped, missed and repaired since the start (docs/consumer.md names the
        important ones).
        """
        return self._receiver.counters()

    def channels(self) -> list[dict[str, object]]:
        """Per channel heard: channel, venue (number), session, state, high, frames, bytes, gaps, given_up,
        duplicates, publisher_id, test, replay, chain_ok."""
        return self._receiver.channels()

    def gaps(self, *, still_open: bool = False) -> list[Gap]:
        """What was missing and is whole again since the last call, in the order in which it ended; with
        `still_open` those that are not whole yet follow. At most 4,096 wait to be asked for, then the oldest
        are dropped and counted (`gaps_unreported`).
        """
        rows = self._receiver.gaps()
        if still_open:
            rows += self._receiver.open_gaps()
        return [gap_of(row, self._directory.symbol) for row in rows]


def _given(text: str | None, otherwise: str) -> str:
    return otherwise if text is None else text
