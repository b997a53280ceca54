"""What /health and /metrics say of a running service."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from outcrier import __version__
from outcrier.clock import mono_ns, wall_ns
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.http_server import Answer
from outcrier.feeder.lag import BOUNDS_NS
from outcrier.feeder.metrics import (
    CONTENT_TYPE,
    Family,
    event_families,
    feed_families,
    histogram,
    latency_family,
    publisher_families,
    render,
    seconds,
)
from outcrier.feeder.status import VenueStatus

if TYPE_CHECKING:
    from outcrier.feeder.control import ControlServer
    from outcrier.feeder.http_server import HttpServer
    from outcrier.feeder.operator_log import OperatorLog
    from outcrier.feeder.service import FeederService
    from outcrier.feeder.watch import Watch

_ENCODER: Final = msgspec.json.Encoder()

_VENUE: Final = (
    ("live", "gauge", "1 = every connection is subscribed and every book that trades is live."),
    ("test", "gauge", "1 = its endpoint is none of the venue's own: published as TEST."),
    ("books", "gauge", "Books of the venue."),
    ("books_live", "gauge", "Books that are live."),
    ("books_closed", "gauge", "Books that are not live because trading has ended."),
    ("connections", "gauge", "Connections planned."),
    ("connections_open", "gauge", "Connections that are open."),
    ("connections_subscribed", "gauge", "Connections that carry all that they were asked for."),
    ("snapshots_waiting", "gauge", "Books that wait for a snapshot."),
    ("reconnects_total", "counter", "Connections opened again."),
    ("messages_total", "counter", "Messages received."),
    ("received_bytes_total", "counter", "Bytes of the messages received."),
    ("unknown_messages_total", "counter", "Messages that neither a shape nor the venue knows."),
    ("drift_total", "counter", "Fields unknown or gone, in the messages that were looked at."),
    ("refused_streams_total", "counter", "Streams that the venue refused to subscribe."),
    ("books_asked_again_total", "counter", "Books subscribed anew on an open connection."),
    ("silent_streams_total", "counter", "Streams found silent beyond what their own rate explains."),
    ("take_overs_total", "counter", "Connections replaced by another one before the venue cut them."),
    ("take_overs_failed_total", "counter", "Tries to replace a connection that failed."),
)


def _venue_values(status: VenueStatus) -> tuple[int, ...]:
    """In the order of `_VENUE`."""
    return (
        int(status.is_live),
        int(status.test),
        status.books,
        status.live,
        status.closed,
        status.connections,
        status.connected,
        status.subscribed,
        status.snapshots_waiting,
        status.reconnects,
        status.messages,
        status.bytes,
        sum(status.unknown.values()),
        sum(status.drift.values()),
        status.refused,
        status.asked_again,
        status.silent,
        status.take_overs,
        status.take_overs_failed,
    )


class Report:
    """The two pages. They cost the event loop some hundred microseconds a venue."""

    def __init__(self, service: FeederService, watch: Watch, log: OperatorLog | None) -> None:
        self.server: HttpServer | None = None
        """That serves the pages, for its own counters."""
        self.control: ControlServer | None = None
        """That takes what the operator asks."""
        self._service = service
        self._watch = watch
        self._log = log
        self._began_ns = mono_ns()
        self._began_wall_ns = wall_ns()

    def health(self) -> Answer:
        """200 if every venue is live, otherwise 503 and why not."""
        venues = self._service.status()
        live = all(venue.is_live for venue in venues)
        body = {
            "live": live,
            "ready": self._watch.readiness.is_over,
            "uptime_s": (mono_ns() - self._began_ns) // SECOND_NS,
            "loop_lag_max_s": self._watch.lag.max_ns / SECOND_NS,
            "version": __version__,
            "venues": {venue.venue: _health_of(venue) for venue in venues},
        }
        status = HTTPStatus.OK if live else HTTPStatus.SERVICE_UNAVAILABLE
        return Answer(status, "application/json", _ENCODER.encode(body) + b"\n")

    def metrics(self) -> Answer:
        """Every counter there is."""
        return Answer(HTTPStatus.OK, CONTENT_TYPE, render(self._families()))

    def _families(self) -> Iterator[Family]:
        info = Family("outcrier_build_info", "gauge", "1, with the version as label.")
        info.add(1, version=__version__)
        yield info
        yield _one("outcrier_ready", "gauge", "1 = the start is over.", int(self._watch.readiness.is_over))
        yield from self._venues()
        feeds = self._service.feeds()
        yield from event_families({venue: feed.kinds() for venue, feed in feeds.items()})
        yield from feed_families({venue: feed.counters() for venue, feed in feeds.items()})
        yield latency_family({venue: feed.latency() for venue, feed in feeds.items()})
        publisher = self._service.publisher
        if publisher is not None:
            yield from publisher_families(publisher.counters())
        yield from self._own()
        yield from _process_families(self._began_wall_ns)

    def _venues(self) -> Iterator[Family]:
        venues = self._service.status()
        values = [(venue.venue, _venue_values(venue)) for venue in venues]
        for place, (name, kind, text) in enumerate(_VENUE):
            family = Family(f"outcrier_venue_{name}", "gauge" if kind == "gauge" else "counter", text)
            for venue, numbers in values:
                family.add(numbers[place], venue=venue)
            yield family

    def _own(self) -> Iterator[Family]:
        """What Python itself counts."""
        lag = self._watch.lag
        yield histogram(
            "outcrier_event_loop_lag_seconds",
            "How late the event loop came, 20 times a second.",
            BOUNDS_NS,
            lag.buckets,
            lag.sum_ns,
        )
        yield _one(
            "outcrier_event_loop_lag_max_seconds",
            "gauge",
            "The latest that the event loop came within the last one to two minutes.",
            seconds(lag.max_ns),
        )
        yield _one(
            "outcrier_notify_dropped_total",
            "counter",
            "Messages that systemd did not take.",
            self._watch.notifier.dropped,
        )
        if self.server is not None:
            requests = Family("outcrier_http_requests_total", "counter", "Requests to this port, by outcome.")
            requests.add(self.server.requests, outcome="answered")
            requests.add(self.server.refused, outcome="refused")
            yield requests
        if self.control is not None:
            asked = Family("outcrier_control_requests_total", "counter", "What came by the control socket.")
            asked.add(self.control.requests, outcome="answered")
            asked.add(self.control.refused, outcome="refused")
            yield asked
        if self._log is not None:
            lines = Family("outcrier_operator_log_lines_total", "counter", "Lines of the operator's log.")
            for outcome, count in self._log.counters().items():
                lines.add(count, outcome=outcome)
            yield lines


def _one(name: str, kind: str, text: str, value: int | str) -> Family:
    family = Family(name, "gauge" if kind == "gauge" else "counter", text)
    family.add(value)
    return family


def _health_of(venue: VenueStatus) -> dict[str, object]:
    return {
        "live": venue.is_live,
        "reason": venue.why_not,
        "test": venue.test,
        "connections": venue.connections,
        "subscribed": venue.subscribed,
        "books": venue.books,
        "books_live": venue.live,
        "books_closed": venue.closed,
        "reconnects": venue.reconnects,
        "last_error": venue.last_error,
    }


def _process_families(began_wall_ns: int) -> Iterator[Family]:
    """What every program has, under the names that Prometheus' own libraries give it."""
    times = os.times()
    yield _one(
        "process_cpu_seconds_total",
        "counter",
        "Processor time of the process.",
        f"{times.user + times.system:.2f}",
    )
    # Pages: size and resident (proc(5), statm).
    size, resident = map(int, Path("/proc/self/statm").read_text().split()[:2])
    page = resource.getpagesize()
    yield _one("process_resident_memory_bytes", "gauge", "Memory in use.", resident * page)
    yield _one("process_virtual_memory_bytes", "gauge", "Address space.", size * page)
    with os.scandir("/proc/self/fd") as entries:
        # The one that looks is not counted.
        yield _one("process_open_fds", "gauge", "Open descriptors.", sum(1 for _ in entries) - 1)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield _one("process_max_fds", "gauge", "Open descriptors allowed.", limit)
    yield _one(
        "process_start_time_seconds",
        "gauge",
        "Start of the service, seconds since 1970.",
        seconds(began_wall_ns),
    )
