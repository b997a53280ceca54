"""The state directory: what must outlive a process. Session numbers, and instrument ids that are stable for
life.

    STATE/<purpose>/channel_<number>.json     {"session": 55000000, "last_seq": 4711}
    STATE/<purpose>/registry_<venue>.json     {"venue": "binance", "next_id": 3, "ids": {"BTCUSDT": 1, ...}}
    STATE/<purpose>/<venue>.lock              flock of the process that publishes the venue; holds its pid
    STATE/<purpose>/faults_<venue>.jsonl      samples of faulty messages, for a person

The purposes are `live`, `test` (a venue whose endpoint is not one of its own hosts) and `replay`. Each has
its own registry: what a stand-in venue or a capture calls an instrument must never take or disturb an id of
the live venue. They persist like the live one, because a temporary directory could give two replays of the
same second one session number.

A file that does not say what it must is an error and is left as it is: ids given anew would let a consumer
mix two books.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from outcrier.clock import SESSION_EPOCH_NS
from outcrier.errors import ConfigurationError

Purpose = Literal["live", "test", "replay"]

U32_MAX: Final = 2**32 - 1


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """$XDG_STATE_HOME/outcrier, else ~/.local/state/outcrier (XDG Base Directory Specification 0.8)."""
    home = environ.get("XDG_STATE_HOME", "")
    # The specification: a relative path is invalid and to be ignored.
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "state"
    return base / "outcrier"


class VenueState:
    """The state of one venue and channel, locked for this process. Use as a context manager."""

    def __init__(self, state_dir: Path, purpose: Purpose, venue: str, channel: int) -> None:
        """Takes the lock. Raises ConfigurationError: held by another process, unusable directory, corrupt
        registry.
        """
        self._directory = state_dir / purpose
        self._venue = venue
        self._channel_path = self._directory / f"channel_{channel}.json"
        self._registry_path = self._directory / f"registry_{venue}.json"
        self._lock = _take_lock(self._directory, f"{venue}.lock")
        try:
            self._ids, self._next_id = _read_registry(self._registry_path, venue)
            self._last_session, self._last_seq = _read_session(self._channel_path)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the lock back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def faults_path(self) -> Path:
        """Where faulty messages of the venue are kept (outcrier.feeder.faults)."""
        return self._directory / f"faults_{self._venue}.jsonl"

    @property
    def last_session(self) -> int:
        """The session before the next one; 0 = none."""
        return self._last_session

    @property
    def last_seq(self) -> int:
        """Number of the last frame of `last_session`, if it was ended; 0 = unknown."""
        return self._last_seq

    def next_session(self, wall_ns: int, above: int = 0) -> int:
        """A number above every earlier one of this channel and above `above`: max(persisted + 1, seconds
        since 2024). On disk when this returns.
        """
        seconds = max(0, wall_ns - SESSION_EPOCH_NS) // 1_000_000_000
        session = max(self._last_session + 1, above + 1, seconds)
        if session > U32_MAX:
            raise ConfigurationError(
                f"{self._channel_path}: no session number is left above {max(self._last_session, above)}"
            )
        _write(self._channel_path, {"session": session})
        self._last_session, self._last_seq = session, 0
        return session

    def ended(self, last_seq: int) -> None:
        """The session of the last number given has ended with the frame `last_seq`, which the next one tells.
        On disk when this returns.
        """
        _write(self._channel_path, {"session": self._last_session, "last_seq": last_seq})
        self._last_seq = last_seq

    def ids(self, native_symbols: Iterable[str]) -> dict[str, int]:
        """The id of each symbol; new ones get the next free numbers, on disk when this returns. Ids are never
        given twice.
        """
        wanted = list(native_symbols)
        ids, next_id = dict(self._ids), self._next_id
        for symbol in wanted:
            if symbol not in ids:
                ids[symbol], next_id = next_id, next_id + 1
        if next_id - 1 > U32_MAX:
            raise ConfigurationError(f"{self._registry_path}: no instrument id is left")
        if next_id != self._next_id:
            _write(self._registry_path, {"venue": self._venue, "next_id": next_id, "ids": ids})
            self._ids, self._next_id = ids, next_id
        return {symbol: ids[symbol] for symbol in wanted}


def _take_lock(directory: Path, name: str) -> int:
    path = directory / name
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: {error.strerror}; choose another directory with feeder.state_dir"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
            raise ConfigurationError(f"{path}: {error.strerror}") from error
        raise ConfigurationError(
            f"{path}: another feeder (pid {holder}) publishes this venue; stop it or set feeder.state_dir"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _read_json(path: Path) -> Any:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise _corrupt(path, str(error)) from error


def _read_registry(path: Path, venue: str) -> tuple[dict[str, int], int]:
    data = _read_json(path)
    if data is None:
        return {}, 1
    if not isinstance(data, dict) or set(data) != {"venue", "next_id", "ids"}:
        raise _corrupt(path, 'it must hold "venue", "next_id" and "ids"')
    ids, next_id = data["ids"], data["next_id"]
    if data["venue"] != venue:
        raise _corrupt(path, f"it belongs to venue {data['venue']!r}, not {venue!r}")
    if not _is_u32(next_id) or not isinstance(ids, dict) or not all(_is_u32(i) for i in ids.values()):
        raise _corrupt(path, "ids must be whole numbers from 1")
    if len(set(ids.values())) != len(ids) or max(ids.values(), default=0) >= next_id:
        raise _corrupt(path, "an id stands twice or is not below next_id")
    return ids, next_id


def _read_session(path: Path) -> tuple[int, int]:
    """Session and its last number; 0 = none, and not known."""
    data = _read_json(path)
    if data is None:
        return 0, 0
    if not isinstance(data, dict) or not {"session"} <= set(data) <= {"session", "last_seq"}:
        raise _corrupt(path, 'it must hold "session" and at most "last_seq" beside it')
    if not _is_u32(data["session"]):
        raise _corrupt(path, '"session" must be a whole number from 1')
    last_seq = data.get("last_seq", 0)
    if not isinstance(last_seq, int) or isinstance(last_seq, bool) or not 0 <= last_seq < 2**64:
        raise _corrupt(path, '"last_seq" must be a whole number below 2**64')
    return data["session"], last_seq


def _is_u32(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= U32_MAX


def _corrupt(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path}: corrupt ({why}); restore it from a backup, or move it away to give new ids"
    )


def _write(path: Path, data: dict[str, Any]) -> None:
    """Replaces the file so that a crash leaves the old or the new one whole, and only returns when it is on
    disk.
    """
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(data, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
