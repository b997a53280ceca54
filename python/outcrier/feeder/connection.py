"""One connection of a venue as a state machine: times and events in, effects out. No socket, no clock, no
randomness of its own.

Disconnected ──start──▶ Connecting ──opened──▶ Connected ──lost──▶ Reconnecting ──back-off over──▶ Connecting
     ▲                       └──failed──▶ Reconnecting                                              │
     └────────────────────────────────────────── stop ─────────────────────────────────────────────┘

Every input returns the effects to carry out, in order; `deadline_ns` says when to call `tick` next. Times are
nanoseconds of the monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from outcrier.feeder.backoff import NEVER_NS, SECOND_NS, AttemptBudget, full_jitter_ns
from outcrier.feeder.fault_window import FaultWindow
from outcrier.feeder.transport import CLOSE_NORMAL, Reason, TransportError
from outcrier.venues.base import Request

BACKOFF_BASE_NS: Final = SECOND_NS // 2
"""Upper bound of the first wait: a single cut is mended at once, a hundred cut together spread over half a
second.
"""

BACKOFF_CAP_NS: Final = 30 * SECOND_NS
"""Upper bound of any wait: everything is back within 60 s after a venue heals (wait, connect, subscribe,
snapshot).
"""

REGION_WAIT_NS: Final = 600 * SECOND_NS
"""After 403 or 451: the venue does not serve this address, and asking faster does not change that."""

RATE_LIMITED_WAIT_NS: Final = 60 * SECOND_NS
"""After 429 or 418 without Retry-After: Binance counts per minute."""

STABLE_NS: Final = 60 * SECOND_NS
"""A connection that lived this long after its subscription forgets earlier failures."""

CONNECT_TIMEOUT_NS: Final = 10 * SECOND_NS
"""TCP, TLS and upgrade together."""

ACKNOWLEDGE_TIMEOUT_NS: Final = 10 * SECOND_NS
"""From the last subscribe message to its acknowledgement."""

QUIET_FACTOR: Final = 10
"""A link that answers pings but brings no message for this many times the expected silence has lost its
subscription, if one of its streams has a fixed cadence. Without one a quiet market looks the same.
"""

LIFETIME_SHARE_MIN: Final = 0.90
LIFETIME_SHARE_SPREAD: Final = 0.06
"""A planned reconnect falls at 90 to 96 % of the lifetime the venue grants, so that connections do not go
together.
"""


class State(Enum):
    """Where a connection is."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a link to `url`; tell `opened` or `failed`."""

    url: str
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text message."""

    text: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Send a protocol ping; tell `pong`."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the link; nothing more of it counts."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Everything asked for is acknowledged."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An open link is gone or given up: the books it carried are stale."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No link came about; `wait_ns` says when the next try may be (before the venue's own limits)."""

    error: TransportError
    wait_ns: int


Effect = Connect | Send | Probe | Close | Subscribed | Lost | Failed


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """What a connection is for and what its venue demands."""

    url: str
    subscribe: Sequence[Request]
    """Messages to send after opening; empty where the URL says it all."""
    messages_per_second: float
    """What we send at most, pings included; less than the venue takes, for the transport sends pongs by
    itself.
    """
    expected_silence_ns: int
    """Longest silence expected of these streams."""
    lifetime_ns: int
    """After this the venue cuts the connection."""
    cadence_ns: int = 0
    """The venue promises a message at least this often; 0 = it does not."""


class Connection:
    """The state machine of one connection."""

    def __init__(self, spec: ConnectionSpec, budget: AttemptBudget, random: Callable[[], float]) -> None:
        """`random` gives uniform numbers in [0, 1)."""
        self._spec = spec
        self._budget = budget
        self._random = random
        self.state = State.DISCONNECTED
        self.subscribed = False
        self.messages = 0
        self.bytes = 0
        self.reconnects = 0
        """Links opened after the first one."""
        self.last_received_ns = 0
        """Last message, or the opening before the first one."""
        self._failures = 0
        self._opens = 0
        self._next_ns: int | None = None
        """Connecting: the limit. Reconnecting: the next try."""
        self._unsent: deque[Request] = deque()
        self._awaited = 0
        """Acknowledgements of what was sent that have not come."""
        self._send_at_ns = 0
        self._acknowledge_by_ns: int | None = None
        self._probed_at_ns: int | None = None
        self._pong_ns = 0
        self._renew_at_ns: int | None = None
        self._subscribed_ns = 0
        self._faults = FaultWindow()

    @property
    def spec(self) -> ConnectionSpec:
        """What the connection is for."""
        return self._spec

    # Inputs.

    def start(self, now_ns: int) -> list[Effect]:
        """Begins to connect; nothing if it has begun."""
        if self.state is not State.DISCONNECTED:
            return []
        self.state = State.RECONNECTING
        self._next_ns = now_ns
        return self.tick(now_ns)

    def opened(self, now_ns: int) -> list[Effect]:
        """The link asked for by Connect is open."""
        if self.state is not State.CONNECTING:
            return []
        self.state = State.CONNECTED
        self.reconnects += self._opens > 0
        self._opens += 1
        self._next_ns = None
        self.last_received_ns = self._pong_ns = now_ns
        self._faults.restart(now_ns, self.messages)
        self._unsent = deque(self._spec.subscribe)
        self._awaited = 0
        self._send_at_ns = now_ns
        self._acknowledge_by_ns = self._probed_at_ns = None
        share = LIFETIME_SHARE_MIN + LIFETIME_SHARE_SPREAD * self._random()
        self._renew_at_ns = now_ns + int(self._spec.lifetime_ns * share)
        return self.tick(now_ns) if self._unsent else [*self._all_acknowledged(now_ns), *self.tick(now_ns)]

    def received(self, now_ns: int, messages: int, n_bytes: int) -> None:
        """So many messages came, with one read. Costs nothing: limits are looked at by `tick`."""
        self.last_received_ns = now_ns
        self.messages += messages
        self.bytes += n_bytes

    def faulty(self, now_ns: int) -> list[Effect]:
        """The message received last is not what the venue documents; too many of them end the link."""
        if self.state is not State.CONNECTED:
            return []
        many = self._faults.add(now_ns, self.messages)
        return [] if many is None else self._give_up(now_ns, f"{many[0]} of {many[1]} messages faulty")

    def pong(self, now_ns: int) -> None:
        """The peer answered a probe: the link lives, though it may be quiet."""
        self._pong_ns = now_ns
        self._probed_at_ns = None

    def acknowledged(self, now_ns: int, count: int = 1) -> list[Effect]:
        """The venue acknowledged so much of what it was asked; more than was asked is ignored."""
        if self.state is not State.CONNECTED or self.subscribed:
            return []
        self._awaited -= min(count, self._awaited)
        return self._all_acknowledged(now_ns)

    def rejected(self, now_ns: int, text: str) -> list[Effect]:
        """The venue refused a subscribe message: the connection is of no use as it is."""
        if self.state is not State.CONNECTED or self.subscribed:
            return []
        return self._give_up(now_ns, f"subscription refused: {text}")

    def closed(self, now_ns: int, code: int, reason: str) -> list[Effect]:
        """The link is gone, by the peer or the network."""
        if self.state is not State.CONNECTED:
            return []
        lost = Lost(f"closed {code}" + (f" {reason}" if reason else ""))
        self._back_off(now_ns)
        return [lost, *self.tick(now_ns)]

    def failed(self, now_ns: int, error: TransportError) -> list[Effect]:
        """The link asked for by Connect did not come about."""
        if self.state is not State.CONNECTING:
            return []
        wait_ns = self._back_off(now_ns, error)
        return [Failed(error, wait_ns)]

    def shutdown_announced(self, now_ns: int) -> list[Effect]:
        """The venue is about to cut the connection (Binance `serverShutdown`): a new one at once."""
        return self._renew(now_ns, "server shutdown announced")

    def stop(self) -> list[Effect]:
        """Ends the connection for good."""
        was, self.state = self.state, State.DISCONNECTED
        self.subscribed = False
        self._next_ns = None
        if was in {State.CONNECTED, State.CONNECTING}:
            return [Close(CLOSE_NORMAL, "stopped")]
        return []

    def tick(self, now_ns: int) -> list[Effect]:
        """Does what is due; early calls do nothing."""
        if self.state is State.RECONNECTING:
            return self._try(now_ns)
        if self.state is State.CONNECTING and self._next_ns is not None and now_ns >= self._next_ns:
            # The transport keeps the same limit; this holds if it does not.
            error = TransportError(self._spec.url, Reason.TIMEOUT)
            return [Close(CLOSE_NORMAL, "too slow"), *self.failed(now_ns, error)]
        if self.state is State.CONNECTED:
            return self._tick_connected(now_ns)
        return []

    @property
    def deadline_ns(self) -> int | None:
        """When `tick` is next needed; None = not before another input."""
        if self.state is not State.CONNECTED:
            return self._next_ns
        send_at_ns = self._send_at_ns if self._unsent else None
        times = (self._silence_deadline_ns(), send_at_ns, self._acknowledge_by_ns, self._renew_at_ns)
        return min(time_ns for time_ns in times if time_ns is not None)

    # What happens inside.

    def _try(self, now_ns: int) -> list[Effect]:
        if self._next_ns is None or now_ns < self._next_ns:
            return []
        again_ns = self._budget.take(now_ns)
        if again_ns:
            # Full jitter here too, or all that wait for the window go in the same instant.
            self._next_ns = again_ns + int(self._random() * SECOND_NS)
            return []
        self.state = State.CONNECTING
        self._next_ns = now_ns + CONNECT_TIMEOUT_NS
        return [Connect(self._spec.url, CONNECT_TIMEOUT_NS / SECOND_NS)]

    def _tick_connected(self, now_ns: int) -> list[Effect]:
        effects: list[Effect] = []
        while self._unsent and now_ns >= self._send_at_ns:
            request = self._unsent.popleft()
            self._awaited += request.acks
            effects.append(Send(request.text))
            self._count_sent(now_ns)
            if not self._unsent:
                self._acknowledge_by_ns = now_ns + ACKNOWLEDGE_TIMEOUT_NS
                effects += self._all_acknowledged(now_ns)
        if self._acknowledge_by_ns is not None and now_ns >= self._acknowledge_by_ns:
            return [*effects, *self._give_up(now_ns, "subscription not acknowledged")]
        if self._renew_at_ns is not None and now_ns >= self._renew_at_ns:
            return [*effects, *self._renew(now_ns, "planned reconnect")]
        silence_ns = now_ns - self.last_received_ns
        expected_ns = self._spec.expected_silence_ns
        if self._probed_at_ns is not None and now_ns >= self._probed_at_ns + expected_ns:
            if self.last_received_ns < self._probed_at_ns:
                return [*effects, *self._give_up(now_ns, f"silent for {silence_ns / SECOND_NS:.1f} s")]
            self._probed_at_ns = None
        if now_ns >= self._quiet_deadline_ns():
            return [*effects, *self._give_up(now_ns, f"no message for {silence_ns / SECOND_NS:.1f} s")]
        alive_ns = max(self.last_received_ns, self._pong_ns)
        if self._probed_at_ns is None and now_ns >= alive_ns + expected_ns:
            self._probed_at_ns = now_ns
            self._count_sent(now_ns)
            effects.append(Probe())
        return effects

    def _silence_deadline_ns(self) -> int:
        expected_ns = self._spec.expected_silence_ns
        quiet_ns = self._quiet_deadline_ns()
        if self._probed_at_ns is not None:
            return min(self._probed_at_ns + expected_ns, quiet_ns)
        return min(max(self.last_received_ns, self._pong_ns) + expected_ns, quiet_ns)

    def _quiet_deadline_ns(self) -> int:
        cadence_ns = self._spec.cadence_ns
        if not cadence_ns:
            return NEVER_NS
        return self.last_received_ns + QUIET_FACTOR * max(cadence_ns, self._spec.expected_silence_ns)

    def _count_sent(self, now_ns: int) -> None:
        self._send_at_ns = max(self._send_at_ns, now_ns) + int(SECOND_NS / self._spec.messages_per_second)

    def _all_acknowledged(self, now_ns: int) -> list[Effect]:
        if self.subscribed or self._awaited or self._unsent:
            return []
        self.subscribed = True
        self._subscribed_ns = now_ns
        self._acknowledge_by_ns = None
        return [Subscribed()]

    def _give_up(self, now_ns: int, reason: str) -> list[Effect]:
        self._back_off(now_ns)
        return [Lost(reason), Close(CLOSE_NORMAL, reason), *self.tick(now_ns)]

    def _renew(self, now_ns: int, reason: str) -> list[Effect]:
        if self.state is not State.CONNECTED:
            return []
        if not self._is_stable(now_ns):
            # A venue that announces its end to every new connection must not be asked in a loop.
            return self._give_up(now_ns, reason)
        self._failures = 0
        self._leave()
        self._next_ns = now_ns
        return [Lost(reason), Close(CLOSE_NORMAL, reason), *self.tick(now_ns)]

    def _is_stable(self, now_ns: int) -> bool:
        return self.subscribed and now_ns - self._subscribed_ns >= STABLE_NS

    def _leave(self) -> None:
        self.state = State.RECONNECTING
        self.subscribed = False
        self._renew_at_ns = None

    def _back_off(self, now_ns: int, error: TransportError | None = None) -> int:
        """Waits with full jitter, or as long as the venue asks; returns the wait."""
        if self._is_stable(now_ns):
            self._failures = 0
        self._leave()
        wait_ns = full_jitter_ns(self._failures, BACKOFF_BASE_NS, BACKOFF_CAP_NS, self._random)
        self._failures += 1
        if error is not None and error.reason is Reason.REGION:
            wait_ns += max(REGION_WAIT_NS, int(error.retry_after_s * SECOND_NS))
        elif error is not None and error.reason is Reason.RATE_LIMITED:
            refused_ns = int(error.retry_after_s * SECOND_NS) or RATE_LIMITED_WAIT_NS
            self._budget.block(now_ns + refused_ns)
            wait_ns += refused_ns
        elif error is not None:
            wait_ns = max(wait_ns, int(error.retry_after_s * SECOND_NS))
        self._next_ns = now_ns + wait_ns
        return wait_ns
