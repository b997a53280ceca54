"""The operator's way into a running feeder: a Unix socket that takes requests, one JSON object a line.

    {"do": "add", "venue": "binance", "symbols": ["BTC/USDT", "perpetual:USDT"]}
    {"ok": true, "text": "added BTC/USDT", ...}

The socket is the owner's alone (mode 0600), and root's. A process that was killed leaves its file behind; the
next one removes it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec

from outcrier.errors import ConfigurationError, OutcrierError
from outcrier.feeder.state import default_state_dir

if TYPE_CHECKING:
    from outcrier.config import FeederConfig
    from outcrier.feeder.service import FeederService

REQUEST_BYTES_MAX: Final = 64 * 1024
"""Longest line of a client: a thousand symbols."""

CLIENTS_MAX: Final = 8
"""Clients at a time; a further one is sent away."""

CLIENT_IDLE_S: Final = 10.0
"""A client that says nothing for so long is sent away."""

HISTORY_MAX: Final = 10_000
"""Messages of one answer: as many as are kept of an instrument."""

HISTORY_BYTES_MAX: Final = 4 << 20
"""Bytes of the messages of one answer, the newest: to write more would hold the feed up for longer than some
10 ms.
"""

_RUNTIME: Final = "RUNTIME_DIRECTORY"
"""Set by systemd: what it has made for the service in /run, several separated by colons."""


class Request(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What the operator wants."""

    do: Literal["add", "remove", "start", "stop", "status", "history"]
    venue: str = ""
    symbols: tuple[str, ...] = ()
    last: int = 100
    """Of `history`: so many messages, the newest ones."""


class Reply(msgspec.Struct, omit_defaults=True):
    """What came of it."""

    ok: bool
    text: str = ""
    """For a person."""
    symbols: tuple[str, ...] = ()
    """Of `add` and `remove`: canonical symbols that came or went."""
    venues: tuple[dict[str, Any], ...] = ()
    """Of `status`."""
    messages: tuple[tuple[int, int, str], ...] = ()
    """Of `history`: receive time in nanoseconds since the epoch, connection, message."""


def control_dir(feeder: FeederConfig, environ: Mapping[str, str]) -> Path:
    """Where the sockets of the feeders are: `feeder.control_dir`, else what systemd made, else beside the
    state.
    """
    if feeder.control_dir:
        return Path(feeder.control_dir)
    runtime = environ.get(_RUNTIME, "").split(":")[0]
    if runtime:
        return Path(runtime)
    return Path(feeder.state_dir or default_state_dir(environ)) / "control"


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """An address of the socket at `path` that the system takes: it allows 107 bytes (unix(7)), and a state
    directory may be deeper than that.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def sockets(directory: Path) -> list[Path]:
    """The sockets of feeders that live; those that dead ones have left are removed, as far as allowed."""
    alive: list[Path] = []
    for path in sorted(directory.glob("feed-*.sock")):
        if not _is_socket(path):
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            try:
                with _address(path) as address:
                    probe.connect(address)
            except ConnectionRefusedError:
                _remove(path)
            except FileNotFoundError:
                pass  # Its feeder has just ended.
            except OSError:
                alive.append(path)  # It is there: whoever asks is told why not.
            else:
                alive.append(path)
    return alive


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:  # Its feeder has just ended.
        return False


def _remove(path: Path) -> None:
    with suppress(OSError):  # Another user's: harmless.
        path.unlink(missing_ok=True)


class ControlServer:
    """Serves a running feeder; an async context manager."""

    def __init__(self, service: FeederService, directory: Path) -> None:
        self._service = service
        self._directory = directory
        self._server: asyncio.Server | None = None
        self._clients = 0
        self.requests = 0
        """Those answered."""
        self.refused = 0
        """Clients sent away: too many, too slow, or what they said was no request."""

    @property
    def path(self) -> Path:
        """The socket."""
        return self._directory / f"feed-{os.getpid()}.sock"

    async def __aenter__(self) -> Self:
        """Raises ConfigurationError where the socket cannot be made."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            await asyncio.to_thread(sockets, self._directory)
            self.path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                # Before it listens: nobody connects through a mode that was not ours.
                with _address(self.path) as address:
                    listener.bind(address)
                self.path.chmod(0o600)
                self._server = await asyncio.start_unix_server(
                    self._serve, sock=listener, limit=REQUEST_BYTES_MAX
                )
            except BaseException:
                listener.close()
                raise
        except OSError as error:
            raise ConfigurationError(f"feeder.control_dir: {self.path}: {error.strerror or error}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients > CLIENTS_MAX:
                self.refused += 1
                return
            # All of an answer is with the kernel before the next request is read.
            writer.transport.set_write_buffer_limits(high=0)
            while line := await asyncio.wait_for(reader.readline(), CLIENT_IDLE_S):
                writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                await asyncio.wait_for(writer.drain(), CLIENT_IDLE_S)
            writer.close()
        except (TimeoutError, ValueError, ConnectionError):
            self.refused += 1  # ValueError: a line without end.
        finally:
            self._clients -= 1
            if not writer.is_closing():
                writer.transport.abort()

    async def _answer(self, line: bytes) -> Reply:
        try:
            request = msgspec.json.decode(line, type=Request)
        except (msgspec.MsgspecError, ValueError) as error:
            self.refused += 1
            return Reply(ok=False, text=f"no request: {error}")
        self.requests += 1
        try:
            return await self._do(request)
        except OutcrierError as error:
            return Reply(ok=False, text=str(error))

    async def _do(self, request: Request) -> Reply:
        service = self._service
        match request.do:
            case "status":
                return Reply(ok=True, venues=tuple(map(_plain, service.status())))
            case "start":
                await service.start_venue(request.venue)
                return Reply(ok=True, text=f"{request.venue} starts")
            case "stop":
                await service.stop_venue(request.venue)
                return Reply(ok=True, text=f"{request.venue} has ended")
            case "history":
                last = min(max(request.last, 1), HISTORY_MAX)
                rows = service.venue(request.venue).history(" ".join(request.symbols), last)
                return Reply(ok=True, messages=_newest(rows))
            case "add":
                came = service.venue(request.venue).add(request.symbols)
                return Reply(ok=True, text=f"{len(came)} added", symbols=tuple(came))
            case "remove":
                went = service.venue(request.venue).remove(request.symbols)
                return Reply(ok=True, text=f"{len(went)} removed", symbols=tuple(went))


def _newest(rows: Sequence[tuple[int, int, bytes]]) -> tuple[tuple[int, int, str], ...]:
    """The newest messages that have room in an answer, oldest first."""
    left = HISTORY_BYTES_MAX
    taken: list[tuple[int, int, str]] = []
    for at_ns, conn_id, data in reversed(rows):
        left -= len(data)
        if left < 0:
            break
        taken.append((at_ns, conn_id, data.decode("utf-8", "replace")))
    return tuple(reversed(taken))


def _plain(status: Any) -> dict[str, Any]:
    """A venue's status as JSON has it."""
    error = status.error
    plain: dict[str, Any] = msgspec.to_builtins(status, enc_hook=str)
    return plain | {"error": None if error is None else str(error)}


def ask(path: Path, request: Request, timeout_s: float = 10.0) -> Reply:
    """Asks the feeder at a socket. Raises ConfigurationError where nobody answers or may be asked."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout_s)
            with _address(path) as address:
                link.connect(address)
            link.sendall(msgspec.json.encode(request) + b"\n")
            with link.makefile("rb") as answers:
                line = answers.readline()
        return msgspec.json.decode(line, type=Reply)
    except (OSError, msgspec.MsgspecError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "it hung up"
        raise ConfigurationError(f"{path}: {reason}") from error
