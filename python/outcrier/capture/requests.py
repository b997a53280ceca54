"""What a stand-in counts, and how it answers requests: REST, and openings of WebSockets."""

from __future__ import annotations

import asyncio
from collections import deque
from http.client import responses
from typing import Final

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from outcrier.capture.answering import Answering
from outcrier.capture.faults import Fault, Injection, RequestKind, Schedule
from outcrier.clock import wall_ns
from outcrier.venues.exchange_side import Answer

INJECTIONS_MAX: Final = 10_000
"""Faults kept with their times: a day of one every ten seconds; older ones are only counted."""


class Counters(msgspec.Struct):
    """What happened so far."""

    connections: int = 0
    playings: int = 0
    messages: int = 0
    """Recorded ones sent to clients, answers not counted."""
    requests: int = 0
    junk: int = 0
    """Messages of books of the recording that were not sent: their numbers are none."""
    failed: int = 0
    """Playings that broke off: a capture that is damaged, or a fault of ours."""
    late: int = 0
    """Times that a simulated market waited, because it was too far behind its rate."""
    slow: int = 0
    """Connections cut because they took nothing."""
    whole_books: int = 0
    """Messages sent at the beginning of a stream: whole books and states, not as recorded."""
    injected: dict[str, int] = {}
    """By kind: end (of the captures) and loop, and faults."""
    breaches: dict[str, int] = {}
    """Limits of the venue that clients went beyond: messages, streams, symbols, chars, connects, connections,
    first_subscription, silence, weight.
    """

    def inject(self, name: str) -> None:
        """Counts one thing that the recording does not hold."""
        self.injected[name] = self.injected.get(name, 0) + 1

    def breach(self, name: str) -> None:
        """Counts one limit that was not kept."""
        self.breaches[name] = self.breaches.get(name, 0) + 1


class FaultLog:
    """Faults that happened."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.latest: deque[Injection] = deque(maxlen=INJECTIONS_MAX)

    def note(self, fault: Fault, what: str) -> None:
        """Counts a fault and keeps its time."""
        self._counters.inject(fault.kind)
        self.latest.append(Injection(wall_ns(), fault.kind, what))


class Requests:
    """Answers requests as the exchange does, or as a fault has it."""

    def __init__(self, exchange: Answering, schedule: Schedule, counters: Counters, log: FaultLog) -> None:
        self._exchange, self._side = exchange, exchange.side
        self._schedule = schedule
        self._counters = counters
        self._log = log
        self._limits = exchange.venue.limits
        self._connects: deque[float] = deque(maxlen=self._limits.connects)

    def answer(self, request: Request, connections: int) -> Response | None:
        """The answer to a request while so many connections are open; None for a WebSocket that is opened,
        and for a plain GET of one's path, which is told to upgrade.
        """
        target, now_s = request.path, asyncio.get_running_loop().time()
        if request.headers.get("Upgrade", "").lower() == "websocket":
            refused = self._refused_connect(target, now_s, connections)
            return None if refused is None else _response(refused)
        self._counters.requests += 1
        answer = self._refusal("refuse_rest", target, now_s)
        if answer is None:
            answer = self._exchange.rest(target, now_s)
            if answer.status == 429:
                self._counters.breach("weight")
        return None if answer.status == 404 and self._side.accepts(target) else _response(answer)

    def _refused_connect(self, target: str, now_s: float, connections: int) -> Answer | None:
        """Why a WebSocket is not opened; None where it is."""
        if not self._side.accepts(target):
            return Answer(404, '{"error":"Not Found"}')
        refused = self._refusal("refuse_connects", target, now_s)
        if refused is not None:
            return refused
        limits, attempts = self._limits, self._connects
        is_beyond = len(attempts) == attempts.maxlen and now_s - attempts[0] < limits.connects_window_s
        attempts.append(now_s)
        if is_beyond:
            self._counters.breach("connects")
            return self._side.limited(int(limits.connects_window_s) + 1)
        if 0 < limits.connections <= connections:
            self._counters.breach("connections")
            return self._side.limited(1)
        return None

    def _refusal(self, kind: RequestKind, target: str, now_s: float) -> Answer | None:
        fault = self.fault(kind, target, now_s)
        if fault is None:
            return None
        headers = {"Retry-After": str(fault.retry_after_s)} if fault.status in {418, 429} else {}
        return Answer(fault.status, '{"code":-1008,"msg":"Refused on purpose."}', headers)

    def fault(self, kind: RequestKind, target: str, now_s: float) -> Fault | None:
        """The fault that a request meets now; it is counted."""
        fault = self._schedule.refusal(kind, target, now_s)
        if fault is not None:
            self._log.note(fault, target)
        return fault


def _response(answer: Answer) -> Response:
    body = answer.body.encode()
    headers = Headers(
        {
            "Content-Type": "application/json;charset=UTF-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **answer.headers,
        }
    )
    return Response(answer.status, responses.get(answer.status, "Refused"), headers, body)
