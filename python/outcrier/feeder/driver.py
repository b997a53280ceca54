"""Carries out the effects of one connection machine: opens links, sends, closes; tells it what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from outcrier.clock import mono_ns
from outcrier.feeder.connection import (
    Close,
    Connect,
    Connection,
    Drained,
    Effect,
    Extended,
    Failed,
    Held,
    Lost,
    Probe,
    Renew,
    Send,
    State,
    Subscribed,
)
from outcrier.feeder.plan import PlannedConnection
from outcrier.feeder.transport import CLOSE_NORMAL, Connector, Link, TransportError
from outcrier.venues.base import Request

Changed: TypeAlias = Subscribed | Extended | Drained | Lost | Failed | Held | Renew
"""What a connection tells of itself."""


class Owner(Protocol):
    """What a driver tells its venue."""

    def take_rest(self, driver: ConnectionDriver, data: bytes, bits: int) -> None:
        """What the core left to do of a message, by the bits it returned."""

    def read_over(self) -> None:
        """The messages of a socket read are with the core."""

    def connection_changed(self, driver: ConnectionDriver, what: Changed) -> None:
        """The connection carries everything asked for, or is gone, or did not come about, or has to wait, or
        will be cut.
        """

    def reschedule(self) -> None:
        """A deadline may have moved."""

    def fail(self, error: Exception) -> None:
        """A bug of ours in a callback, which the library that called back would swallow."""


class _Wire:
    """The listener of one attempt. What an abandoned attempt still tells is ignored."""

    __slots__ = ("_bytes", "_conn_id", "_driver", "_messages", "_take", "link")

    def __init__(self, driver: ConnectionDriver) -> None:
        self._driver = driver
        self._conn_id = driver.conn_id
        self._take = driver.take
        # Of the read under way.
        self._messages = 0
        self._bytes = 0
        self.link: Link | None = None

    def on_open(self, link: Link) -> None:
        self.link = link
        if self._driver.wire is self:
            self._driver.apply(self._driver.machine.opened(mono_ns()))
        else:
            link.close(CLOSE_NORMAL, "abandoned")

    def on_frame(self, data: bytes, more: bool) -> None:
        """The hot path: what can wait for the end of the read is not done for each message."""
        driver = self._driver
        if driver.wire is not self:
            return
        self._messages += 1
        self._bytes += len(data)
        try:
            bits = self._take(self._conn_id, data, 0, more)
            if bits:
                self._count()
                driver.owner.take_rest(driver, data, bits)
        except Exception as error:  # noqa: BLE001 - see Owner.fail
            driver.owner.fail(error)
        if not more:
            self.on_read_end()

    def on_read_end(self) -> None:
        if self._driver.wire is not self:
            return
        self._count()
        try:
            self._driver.owner.read_over()
        except Exception as error:  # noqa: BLE001 - see Owner.fail
            self._driver.owner.fail(error)

    def _count(self) -> None:
        self._driver.machine.received(mono_ns(), self._messages, self._bytes)
        self._messages = self._bytes = 0

    def on_pong(self) -> None:
        if self._driver.wire is self:
            self._driver.ponged(mono_ns())

    def on_close(self, code: int, reason: str) -> None:
        self.link = None
        if self._driver.wire is self:
            self._driver.wire = None
            self._driver.apply(self._driver.machine.closed(mono_ns(), code, reason))


class ConnectionDriver:
    """One connection of a venue: its machine, its link of the moment, the books it carries."""

    def __init__(
        self,
        *,
        conn_id: int,
        machine: Connection,
        planned: PlannedConnection,
        owner: Owner,
        take: Callable[[int, bytes, int, bool], int],
        connector_for: Callable[[str], Connector],
    ) -> None:
        self.conn_id = conn_id
        """Number on the wire, from 1."""
        self.machine = machine
        self.planned = planned
        self.books: tuple[int, ...] = ()
        """Indices of the books that are stale when the connection is lost."""
        self.bookless: tuple[int, ...] = ()
        """Indices of instruments without a book that have streams here: stale with it too."""
        self.orders: tuple[int, ...] = ()
        """Indices of the instruments whose orders it feeds."""
        self.owner = owner
        self.take = take
        """`_core.Feed.on_frame`."""
        self.granted: set[str] = set()
        """Streams that the venue's answers have named, where they name them."""
        self.missing: set[str] = set()
        """Streams that they have left out, as far as was told."""
        self.wire: _Wire | None = None
        self._connector_for = connector_for
        self._opening: asyncio.Task[None] | None = None
        self._numbered = 0

    def next_number(self) -> int:
        """A number for the next request that no request before it had on this link."""
        return max(self._numbered, len(self.machine.spec.subscribe)) + 1

    def request(self, now_ns: int, requests: Sequence[Request]) -> None:
        """Sends more requests on the open link."""
        self._numbered = self.next_number() - 1 + len(requests)
        self.apply(self.machine.ask(now_ns, requests))

    def acknowledged(self, now_ns: int, count: int = 1) -> None:
        """Takes answers of the venue, which may let the next message go."""
        self.apply(self.machine.acknowledged(now_ns, count))
        self.owner.reschedule()

    def ponged(self, now_ns: int) -> None:
        """Takes the answer to a ping."""
        self.apply(self.machine.pong(now_ns))

    def reply(self, now_ns: int, text: str) -> None:
        """Says what the venue wants to hear at once."""
        self.apply(self.machine.reply(now_ns, text))

    def tick(self, now_ns: int) -> None:
        """Does what is due."""
        self.apply(self.machine.tick(now_ns))

    def stop(self) -> None:
        """Closes for good."""
        self.apply(self.machine.stop(mono_ns()))

    def apply(self, effects: list[Effect]) -> None:
        """Carries out the effects in order."""
        try:
            self._apply(effects)
        except Exception as error:  # noqa: BLE001 - see Owner.fail
            self.owner.fail(error)

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Connect() if self.machine.state is not State.CONNECTING:
                    pass  # Stopped by what was told before.
                case Connect():
                    self.wire = _Wire(self)
                    self._opening = asyncio.create_task(self._open(effect, self.wire))
                case Send():
                    if self.wire is not None and self.wire.link is not None:
                        self.wire.link.send(effect.text)
                case Probe():
                    self._probe(effect.text)
                case Close():
                    self._close(effect)
                case Subscribed() | Extended() | Drained() | Lost() | Failed() | Held() | Renew():
                    self.owner.connection_changed(self, effect)
        if effects:
            self.owner.reschedule()

    def _probe(self, text: str) -> None:
        link = None if self.wire is None else self.wire.link
        if link is None:
            return
        if text:
            link.send(text)
        else:
            link.ping()

    def _close(self, effect: Close) -> None:
        wire, self.wire = self.wire, None
        if wire is not None and wire.link is not None:
            wire.link.close(effect.code, effect.reason)
        elif self._opening is not None:
            self._opening.cancel()

    async def _open(self, effect: Connect, wire: _Wire) -> None:
        try:
            await self._connector_for(effect.url)(effect.url, wire, effect.deadline_s)
        except TransportError as error:
            if self.wire is wire:
                self.wire = None
                self.apply(self.machine.failed(mono_ns(), error))

    @property
    def subscriptions(self) -> int:
        """Streams it carries."""
        return self.planned.n_streams

    @property
    def is_connected(self) -> bool:
        """Whether a link is open."""
        return self.machine.state is State.CONNECTED
