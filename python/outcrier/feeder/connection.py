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

from outcrier.feeder.backoff import NEVER_NS, SECOND_NS, AttemptBudget, Pace, full_jitter_ns
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


# Why the venue will cut a link.
LIFETIME: Final = "lifetime"
ANNOUNCED: Final = "server shutdown announced"


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
    """Send a protocol ping, or `text` where the venue has a ping of its own; tell `pong`."""

    text: str = ""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the link; nothing more of it counts."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Everything asked for is acknowledged."""


@dataclass(frozen=True, slots=True)
class Extended:
    """What was asked for on the open link in addition is answered, as far as the venue answers."""


@dataclass(frozen=True, slots=True)
class Lost:
    """An open link is gone or given up: the books it carried are stale. `wait_ns` says when the next try may
    be (before the venue's own limits).
    """

    reason: str
    wait_ns: int


@dataclass(frozen=True, slots=True)
class Drained:
    """All that the venue had sent when `drain` was asked for has been read."""


@dataclass(frozen=True, slots=True)
class Held:
    """The next try has to wait so long: the venue's limits allow none before."""

    wait_ns: int


@dataclass(frozen=True, slots=True)
class Failed:
    """No link came about; `wait_ns` says when the next try may be (before the venue's own limits)."""

    error: TransportError
    wait_ns: int


@dataclass(frozen=True, slots=True)
class Renew:
    """The venue will cut the link: another one should take over. Told once; the link goes on."""

    reason: str


Effect = Connect | Send | Probe | Close | Subscribed | Extended | Drained | Lost | Failed | Held | Renew


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """What a connection is for and what its venue demands."""

    url: str
    subscribe: Sequence[Request]
    """Messages to send after opening; empty where the URL says it all."""
    messages_per_second: float
    """What the venue takes in any second, pings included. We send less (`Pace`), for the transport sends
    pongs by itself.
    """
    expected_silence_ns: int
    """Longest silence expected of these streams."""
    lifetime_ns: int
    """After this the venue cuts the connection; 0 = it does not."""
    cadence_ns: int = 0
    """The venue promises a message at least this often; 0 = it does not."""
    messages_max: int = 0
    """Messages of ours, pings not counted, in any `messages_window_ns` of a link; 0 = no such limit."""
    messages_window_ns: int = SECOND_NS
    client_ping: str = ""
    """The venue's own ping; empty = that of the protocol."""
    client_ping_every_ns: int = 0
    """The venue wants to be pinged this often; 0 = it does not."""


class Connection:
    """The state machine of one connection."""

    def __init__(
        self,
        spec: ConnectionSpec,
        budget: AttemptBudget,
        random: Callable[[], float],
        pace: Pace | None = None,
    ) -> None:
        """`random` gives uniform numbers in [0, 1); `pace` is that of the address, where the venue counts
        messages so; None = each link has its own.
        """
        self._spec = spec
        self._budget = budget
        self._random = random
        self._address_pace = pace
        self._pace = pace or Pace(spec.messages_per_second)
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
        self._is_mute = False
        self._is_extending = False
        """More was asked for than the link began with."""
        self.unanswered = 0
        """Acknowledgements that never came for what was asked for in addition."""
        self._window_at_ns = 0
        """Before this the venue's window of messages is full."""
        self._acknowledge_by_ns: int | None = None
        self._probed_at_ns: int | None = None
        self._pong_ns = 0
        self._pings = 0
        """Sent on the open link and not answered."""
        self._is_draining = False
        """`drain` was asked for and no ping has left since."""
        self._drain_pongs = 0
        """So many more until all is read that was sent before `drain`."""
        self._renew_at_ns: int | None = None
        self._renew_reason = LIFETIME
        self._ping_at_ns: int | None = None
        self._sends: AttemptBudget | None = None
        self.subscribed_ns = 0
        """When everything asked for at the beginning was acknowledged last."""
        self._faults = FaultWindow()

    @property
    def spec(self) -> ConnectionSpec:
        """What the connection is for."""
        return self._spec

    # Inputs.

    def start(self, now_ns: int, wait_ns: int = 0) -> list[Effect]:
        """Begins to connect, `wait_ns` from now; nothing if it has begun."""
        if self.state is not State.DISCONNECTED:
            return []
        self.state = State.RECONNECTING
        self._next_ns = now_ns + wait_ns
        return self.tick(now_ns)

    def respec(self, spec: ConnectionSpec) -> None:
        """What the connection is for has changed: the next link asks for it. The open one is told by
        `ask`.
        """
        self._spec = spec

    def ask(self, now_ns: int, requests: Sequence[Request]) -> list[Effect]:
        """Sends more requests on the open link, paced; nothing on another: the next one asks by itself."""
        if self.state is not State.CONNECTED:
            return []
        self._unsent.extend(requests)
        self._is_extending = self._is_extending or bool(requests)
        return self.tick(now_ns)

    def reply(self, now_ns: int, text: str) -> list[Effect]:
        """Says what the venue wants to hear at once; it counts as any other message."""
        if self.state is not State.CONNECTED:
            return []
        self._pace.sent(now_ns, self)
        return [Send(text)]

    def renew_later(self, now_ns: int, wait_ns: int) -> None:
        """Nothing could take over: `Renew` is told once more, `wait_ns` from now."""
        if self.state is State.CONNECTED:
            self._renew_at_ns = now_ns + wait_ns

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
        self._is_extending = False
        self._window_at_ns = 0
        self._pace = self._address_pace or Pace(self._spec.messages_per_second)
        self._mute(is_mute=bool(self._unsent))
        self._acknowledge_by_ns = self._probed_at_ns = None
        self._pings = self._drain_pongs = 0
        self._is_draining = False
        share = LIFETIME_SHARE_MIN + LIFETIME_SHARE_SPREAD * self._random()
        spec = self._spec
        self._renew_at_ns = now_ns + int(spec.lifetime_ns * share) if spec.lifetime_ns else None
        self._renew_reason = LIFETIME
        self._ping_at_ns = now_ns + spec.client_ping_every_ns if spec.client_ping_every_ns else None
        self._sends = AttemptBudget(spec.messages_max, spec.messages_window_ns) if spec.messages_max else None
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

    def drain(self, now_ns: int) -> list[Effect]:
        """Asks for a pong, which comes behind all that the venue has sent before: `Drained` tells it."""
        if self.state is not State.CONNECTED:
            return []
        self._is_draining = True
        return self.tick(now_ns)

    def pong(self, now_ns: int) -> list[Effect]:
        """The peer answered a probe: the link lives, though it may be quiet."""
        self._pace.ponged(now_ns, self)
        self._pong_ns = now_ns
        self._probed_at_ns = None
        self._pings = max(0, self._pings - 1)
        if not self._drain_pongs:
            return []
        self._drain_pongs -= 1
        return [] if self._drain_pongs else [Drained()]

    def acknowledged(self, now_ns: int, count: int = 1) -> list[Effect]:
        """The venue acknowledged so much of what it was asked; more than was asked is ignored."""
        if self.state is not State.CONNECTED:
            return []
        self._awaited -= min(count, self._awaited)
        self._pace.answered(now_ns, self, count)
        if not self._awaited:
            self._acknowledge_by_ns = None
        return [*self._all_acknowledged(now_ns), *self.tick(now_ns)]

    def rejected(self, now_ns: int, text: str, *, is_over: bool = False) -> list[Effect]:
        """The venue refused a message of ours. Before everything is subscribed the connection is of no use as
        it is, nor is one whose account `is_over`; else only what was asked for in addition is refused.
        """
        if self.state is not State.CONNECTED:
            return []
        if self.subscribed and not is_over:
            return self.acknowledged(now_ns)
        return self._give_up(now_ns, f"subscription refused: {text}")

    def closed(self, now_ns: int, code: int, reason: str) -> list[Effect]:
        """The link is gone, by the peer or the network."""
        if self.state is not State.CONNECTED:
            return []
        lost = Lost(f"closed {code}" + (f" {reason}" if reason else ""), self._back_off(now_ns))
        return [lost, *self.tick(now_ns)]

    def failed(self, now_ns: int, error: TransportError) -> list[Effect]:
        """The link asked for by Connect did not come about."""
        if self.state is not State.CONNECTING:
            return []
        wait_ns = self._back_off(now_ns, error)
        return [Failed(error, wait_ns)]

    def shutdown_announced(self, now_ns: int) -> list[Effect]:
        """The venue is about to cut the connection (Binance `serverShutdown`): a new one at once. Who takes
        the place of it keeps a venue that says so to every new connection from being asked in a loop.
        """
        if self.state is not State.CONNECTED:
            return []
        if not self.subscribed:
            return self._give_up(now_ns, ANNOUNCED)
        self._renew_at_ns, self._renew_reason = None, ANNOUNCED
        return [Renew(ANNOUNCED)]

    def useless(self, now_ns: int, reason: str) -> list[Effect]:
        """The owner has found out that the open link does not bring what it should."""
        return self._give_up(now_ns, reason) if self.state is State.CONNECTED else []

    def stop(self, now_ns: int) -> list[Effect]:
        """Ends the connection for good."""
        was, self.state = self.state, State.DISCONNECTED
        self._mute(is_mute=False)
        self._pace.forget(now_ns, self)
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
    def is_asking(self) -> bool:
        """Whether something is left to be sent: what is to be asked for in addition can go with it."""
        return bool(self._unsent)

    @property
    def is_settled(self) -> bool:
        """Whether everything that it was asked to carry by now is subscribed."""
        return self.subscribed and not self._awaited and not self._unsent

    @property
    def deadline_ns(self) -> int | None:
        """When `tick` is next needed; None = not before another input."""
        if self.state is not State.CONNECTED:
            return self._next_ns
        send_at_ns = self._send_at_ns if self._unsent else None
        times = (
            self._silence_deadline_ns(),
            send_at_ns,
            self._acknowledge_by_ns,
            self._renew_at_ns,
            self._probe_at_ns(),
        )
        return min(time_ns for time_ns in times if time_ns is not None)

    # What happens inside.

    def _try(self, now_ns: int) -> list[Effect]:
        if self._next_ns is None or now_ns < self._next_ns:
            return []
        again_ns = self._budget.take(now_ns)
        if again_ns:
            # Full jitter here too, or all that wait for the window go in the same instant.
            self._next_ns = again_ns + int(self._random() * SECOND_NS)
            return [Held(self._next_ns - now_ns)]
        self.state = State.CONNECTING
        self._next_ns = now_ns + CONNECT_TIMEOUT_NS
        return [Connect(self._spec.url, CONNECT_TIMEOUT_NS / SECOND_NS)]

    def _tick_connected(self, now_ns: int) -> list[Effect]:
        effects: list[Effect] = []
        while self._unsent and now_ns >= self._send_at_ns and (self._is_mute or not self._pace.mute):
            again_ns = 0 if self._sends is None else self._sends.take(now_ns)
            if again_ns:
                self._window_at_ns = again_ns
                break
            request = self._unsent.popleft()
            self._awaited += request.acks
            effects.append(Send(request.text))
            self._pace.sent(now_ns, self, request.acks)
            self._mute(is_mute=False)
            self._acknowledge_by_ns = now_ns + ACKNOWLEDGE_TIMEOUT_NS if self._awaited else None
            if not self._unsent:
                effects += self._all_acknowledged(now_ns)
        if self._acknowledge_by_ns is not None and now_ns >= self._acknowledge_by_ns:
            if not self.subscribed:
                return [*effects, *self._give_up(now_ns, "subscription not acknowledged")]
            # The others on this link are served: who waits for what was asked for will ask again.
            self.unanswered += self._awaited
            self._awaited, self._acknowledge_by_ns = 0, None
            self._pace.forget(now_ns, self)
            effects += self._all_acknowledged(now_ns)
        if self._renew_at_ns is not None and now_ns >= self._renew_at_ns:
            self._renew_at_ns = None
            effects.append(Renew(self._renew_reason))
        silence_ns = now_ns - self.last_received_ns
        expected_ns = self._spec.expected_silence_ns
        if self._probed_at_ns is not None and now_ns >= self._probed_at_ns + expected_ns:
            if self.last_received_ns < self._probed_at_ns:
                return [*effects, *self._give_up(now_ns, f"silent for {silence_ns / SECOND_NS:.1f} s")]
            self._probed_at_ns = None
        if now_ns >= self._quiet_deadline_ns():
            return [*effects, *self._give_up(now_ns, f"no message for {silence_ns / SECOND_NS:.1f} s")]
        if now_ns >= self._probe_at_ns():
            effects.append(self._probe(now_ns))
        return effects

    def _probe(self, now_ns: int) -> Probe:
        self._pings += 1
        if self._is_draining:
            self._is_draining, self._drain_pongs = False, self._pings
        if now_ns >= self._silent_ns():
            self._probed_at_ns = now_ns
        self._pace.sent(now_ns, self, is_ping=True)
        if self._ping_at_ns is not None:
            self._ping_at_ns = now_ns + self._spec.client_ping_every_ns
        return Probe(self._spec.client_ping)

    def _silent_ns(self) -> int:
        """A link that is silent until then is asked whether it lives, if it is not asked already."""
        if self._probed_at_ns is not None:
            return NEVER_NS
        return max(self.last_received_ns, self._pong_ns) + self._spec.expected_silence_ns

    def _probe_at_ns(self) -> int:
        """When the next ping leaves: it is due, and one more than were sent is what the venue takes."""
        due_ns = 0 if self._is_draining else min(self._silent_ns(), self._ping_at_ns or NEVER_NS)
        return max(due_ns, self._pace.ping_at_ns)

    def _silence_deadline_ns(self) -> int:
        if self._probed_at_ns is None:
            return self._quiet_deadline_ns()
        return min(self._probed_at_ns + self._spec.expected_silence_ns, self._quiet_deadline_ns())

    def _quiet_deadline_ns(self) -> int:
        cadence_ns = self._spec.cadence_ns
        if not cadence_ns:
            return NEVER_NS
        return self.last_received_ns + QUIET_FACTOR * max(cadence_ns, self._spec.expected_silence_ns)

    def _mute(self, *, is_mute: bool) -> None:
        """Whether the link has something to say and has said nothing yet."""
        self._pace.mute += is_mute - self._is_mute
        self._is_mute = is_mute

    @property
    def _send_at_ns(self) -> int:
        return max(self._pace.at_ns, self._window_at_ns)

    def _all_acknowledged(self, now_ns: int) -> list[Effect]:
        if self._awaited or self._unsent:
            return []
        was_extending, self._is_extending = self._is_extending, False
        if self.subscribed:
            return [Extended()] if was_extending else []
        self.subscribed = True
        self.subscribed_ns = now_ns
        self._acknowledge_by_ns = None
        return [Subscribed()]

    def _give_up(self, now_ns: int, reason: str) -> list[Effect]:
        wait_ns = self._back_off(now_ns)
        return [Lost(reason, wait_ns), Close(CLOSE_NORMAL, reason), *self.tick(now_ns)]

    def _is_stable(self, now_ns: int) -> bool:
        return self.subscribed and now_ns - self.subscribed_ns >= STABLE_NS

    def _leave(self, now_ns: int) -> None:
        self.state = State.RECONNECTING
        self._mute(is_mute=False)
        self._pace.forget(now_ns, self)
        self.subscribed = False
        self._renew_at_ns = self._ping_at_ns = None

    def _back_off(self, now_ns: int, error: TransportError | None = None) -> int:
        """Waits with full jitter, or as long as the venue asks; returns the wait."""
        if self._is_stable(now_ns):
            self._failures = 0
        self._leave(now_ns)
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
