"""Recording: the feeder's own connections with a tap, their messages into capture files, byte for byte.

Plan, connection machine, transports, snapshots and the core are those of the feeder; what the core publishes
is thrown away. One file is one connection: messages received and sent, and the REST books of what it carries,
in the order in which they came. The instrument list lies beside them, where `outcrier replay` looks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from outcrier import _core
from outcrier.capture.format import Kind, encode_line
from outcrier.capture.writer import CaptureFile, CaptureWriter, FileSummary
from outcrier.clock import wall_ns
from outcrier.config import Config
from outcrier.errors import CaptureError, NetworkError
from outcrier.feeder.service import FeederService
from outcrier.feeder.status import VenueStatus
from outcrier.feeder.transport import Connector, Link, LinkListener, connector_for
from outcrier.venues.base import Venue

FLUSH_S: Final = 2.0
"""How often what is pending goes to disk: what a kill may take."""

DRAIN_S: Final = 0.05
"""How often what the core publishes is thrown away: at 100,000 frames a second that is 2 MB."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When a recording ends by itself; None = not by that."""

    count: int | None = None
    """Messages received, of all connections together."""
    seconds: float | None = None
    bytes: int | None = None
    """On disk, of all files together."""


class RecordSummary(msgspec.Struct, frozen=True):
    """What was recorded."""

    files: tuple[FileSummary, ...]
    messages: int
    bytes: int
    unwritten: int
    """Lines taken that the limit of bytes or the disk kept out; they are the last ones."""
    why: str
    """What ended it: stopped, count, seconds or bytes."""
    venues: tuple[VenueStatus, ...]


class Recorder:
    """A `feeder.tap.Tap` that writes captures below `folder`, one folder a venue."""

    def __init__(self, folder: Path, writer: CaptureWriter, count: int | None = None) -> None:
        """`count`: messages received after which nothing more is taken and `done` is set."""
        self.done = asyncio.Event()
        self.messages = 0
        self._folder = folder
        self._writer = writer
        self._count = count
        self._stamp = f"{datetime.fromtimestamp(wall_ns() / 1e9, UTC):%Y%m%dT%H%M%SZ}"
        self._last_ns = 0
        self._carriers: dict[tuple[str, str], _Carrier] = {}
        self._lists: dict[str, tuple[CaptureFile, bytes]] = {}

    def connectors(
        self, venue: Venue, conn_id: int, books: Collection[str], connector_for: Callable[[str], Connector]
    ) -> Callable[[str], Connector]:
        """See `feeder.tap.Tap`."""
        carrier = _Carrier(self, venue, conn_id)
        for native in books:
            self._carriers[venue.name, native] = carrier

        def tapped_for(url: str) -> Connector:
            connect = connector_for(url)

            async def tapped(url: str, listener: LinkListener, deadline_s: float) -> None:
                await connect(url, _TappedListener(carrier, url, listener), deadline_s)

            return tapped

        return tapped_for

    def answered(self, venue: Venue, url: str, body: bytes) -> None:
        """See `feeder.tap.Tap`. A book goes to the file of the connection that carries it, anything else to
        that of the instrument lists; a list like the one before is not written again.
        """
        text = body.decode("utf-8", errors="replace")
        symbol = venue.snapshot_symbol(url, text) if venue.is_snapshot(url, text) else None
        carrier = None if symbol is None else self._carriers.get((venue.name, symbol))
        if carrier is not None and carrier.file is not None:
            self.take(carrier.file, "http", url, body)
            return
        file, last = self._lists.get(venue.name) or (self._open(venue, "instruments"), b"")
        self._lists[venue.name] = file, body
        if body != last:
            self.take(file, "http", url, body)

    def begin(self, venue: Venue, conn_id: int, link: int) -> CaptureFile:
        """The file of a link: a connection of the plan has one after the other."""
        return self._open(venue, f"conn{conn_id}" + (f"_link{link}" if link > 1 else ""))

    def take(self, file: CaptureFile, kind: Kind, url: str, data: bytes) -> None:
        """One line."""
        if self.done.is_set():
            return
        # The wall clock may be set back; lines are in the order of their times.
        time_ns = self._last_ns = max(wall_ns(), self._last_ns)
        is_message = kind == "recv"
        self._writer.write(file, encode_line(time_ns, kind, url, data), time_ns, is_message=is_message)
        self.messages += is_message
        if self.messages == self._count:
            self.done.set()

    def end(self, file: CaptureFile) -> None:
        """The link of the file is gone."""
        self._writer.close(file)

    def _open(self, venue: Venue, what: str) -> CaptureFile:
        return self._writer.open(self._folder / venue.name / f"{venue.name}_{what}_{self._stamp}.jsonl.gz")


class _Carrier:
    """One connection of the plan and the file of its latest link."""

    def __init__(self, recorder: Recorder, venue: Venue, conn_id: int) -> None:
        self.recorder = recorder
        self.file: CaptureFile | None = None
        self._venue = venue
        self._conn_id = conn_id
        self._links = 0

    def begin(self) -> CaptureFile:
        self._links += 1
        self.file = self.recorder.begin(self._venue, self._conn_id, self._links)
        return self.file

    def end(self, file: CaptureFile) -> None:
        if self.file is file:
            self.file = None
        self.recorder.end(file)


class _TappedListener:
    """Between a link and the connection machine: records, then hands on."""

    def __init__(self, carrier: _Carrier, url: str, listener: LinkListener) -> None:
        self._carrier = carrier
        self._url = url
        self._listener = listener
        self._file: CaptureFile | None = None

    def on_open(self, link: Link) -> None:
        self._file = self._carrier.begin()
        self._listener.on_open(_TappedLink(self._carrier.recorder, self._file, self._url, link))

    def on_frame(self, data: bytes, more: bool) -> None:
        if self._file is not None:
            self._carrier.recorder.take(self._file, "recv", self._url, data)
        self._listener.on_frame(data, more)

    def on_read_end(self) -> None:
        self._listener.on_read_end()

    def on_pong(self) -> None:
        self._listener.on_pong()

    def on_close(self, code: int, reason: str) -> None:
        if self._file is not None:
            self._carrier.end(self._file)
            self._file = None
        self._listener.on_close(code, reason)


class _TappedLink:
    """A link that records what is sent."""

    def __init__(self, recorder: Recorder, file: CaptureFile, url: str, link: Link) -> None:
        self._recorder = recorder
        self._file = file
        self._url = url
        self._link = link

    def send(self, text: str) -> None:
        self._recorder.take(self._file, "send", self._url, text.encode())
        self._link.send(text)

    def ping(self) -> None:
        self._link.ping()

    def close(self, code: int, reason: str) -> None:
        self._link.close(code, reason)

    def abort(self) -> None:
        self._link.abort()


async def record(
    config: Config,
    folder: Path,
    limits: Limits,
    stop: asyncio.Event,
    *,
    connectors: Callable[[str], Connector] = connector_for,
    progress: Callable[[int, int], None] | None = None,
) -> RecordSummary:
    """Records the enabled venues of `config` until a limit or `stop`; `progress` is told messages and bytes.

    Raises ConfigurationError, NetworkError where no message came at all, and CaptureError where the disk is
    full or too slow: then what was written is whole.
    """
    writer = CaptureWriter(limits.bytes)
    recorder = Recorder(folder, writer, limits.count)
    try:
        # Sessions and instrument ids of frames that nobody gets need not outlive them.
        with TemporaryDirectory(prefix="outcrier-record-") as state_dir:
            config = msgspec.structs.replace(
                config, feeder=msgspec.structs.replace(config.feeder, state_dir=state_dir)
            )
            publisher = _core.Publisher.memory()
            async with FeederService(
                config, publisher=publisher, connectors=connectors, tap=recorder
            ) as service:
                why = await _run(
                    service,
                    publisher,
                    recorder,
                    writer,
                    seconds=limits.seconds,
                    stop=stop,
                    progress=progress,
                )
                venues = tuple(service.status())
    finally:
        files = tuple(await asyncio.to_thread(writer.finish))
    messages = sum(file.messages for file in files)
    if writer.error is not None:
        kept = f"{messages:,} messages are kept, {writer.unwritten:,} lines are not"
        raise CaptureError(f"{writer.error}; {kept}")
    if not recorder.messages:
        errors = [f"{venue.venue}: {venue.last_error}" for venue in venues if venue.last_error]
        raise NetworkError("; ".join(["no message came", *errors]))
    if writer.full:
        why = "bytes"
    return RecordSummary(files, messages, writer.bytes, writer.unwritten, why, venues)


async def _run(
    service: FeederService,
    publisher: _core.Publisher,
    recorder: Recorder,
    writer: CaptureWriter,
    *,
    seconds: float | None,
    stop: asyncio.Event,
    progress: Callable[[int, int], None] | None,
) -> str:
    """Until something ends it; says what."""
    ending = asyncio.Event()
    running = asyncio.create_task(service.run(ending))
    loop = asyncio.get_running_loop()
    end = None if seconds is None else loop.time() + seconds
    flush_at = loop.time() + FLUSH_S
    try:
        while True:
            publisher.take()
            now = loop.time()
            if now >= flush_at:
                flush_at = now + FLUSH_S
                writer.flush()
                if progress is not None:
                    progress(recorder.messages, writer.bytes)
            if stop.is_set():
                return "stopped"
            if recorder.done.is_set():
                return "count"
            if writer.stopped or running.done():
                return "bytes"
            if end is not None and now >= end:
                return "seconds"
            await asyncio.wait({running}, timeout=DRAIN_S)
    finally:
        ending.set()
        await running
