"""What the socket of each group took, as numbers of an interval."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from outcrier.monitor.report import LINES, TEXT, GroupReport
from outcrier.reception import Address

_REFUSED: Final = "refused_"


class SocketCounts(Protocol):
    """What is needed of `_core.Monitor`."""

    def line(self, line: int) -> dict[str, int]: ...
    def texts(self) -> dict[str, int]: ...
    def truncated(self) -> int: ...


class Sockets(Protocol):
    """A report that says what its sockets took."""

    @property
    def address(self) -> Address: ...
    @property
    def rcvbuf_bytes(self) -> int: ...
    @property
    def truncated(self) -> int: ...
    @property
    def groups(self) -> tuple[GroupReport, ...]: ...


class Window:
    """What running counts have grown by since the look before, or within the last `window_ns`."""

    def __init__(self, mono_ns: int, window_ns: int) -> None:
        self._window_ns = window_ns
        self._history: deque[tuple[int, dict[object, int]]] = deque([(mono_ns, {})])

    def begin(self, mono_ns: int) -> float:
        """A look: the seconds that `since` is of."""
        while len(self._history) > 1 and self._history[1][0] <= mono_ns - self._window_ns:
            self._history.popleft()
        before_ns, _ = self._history[0]
        self._history.append((mono_ns, {}))
        return max(mono_ns - before_ns, 1) / 1_000_000_000

    def since(self, key: object, count: int) -> int:
        """How much the count of that key has grown by; a key is given once a look."""
        self._history[-1][1][key] = count
        return count - self._history[0][1].get(key, 0)


def group_reports(
    counts: SocketCounts, since: Callable[[object, int], int], interval_s: float
) -> tuple[GroupReport, ...]:
    """Those that are listened to. `since` tells what a count, by a key, has grown by in the interval."""
    reports = []
    named_sums = [(name, counts.line(number)) for number, name in enumerate(LINES)]
    for name, sums in [*named_sums, (TEXT, counts.texts())]:
        if not sums["is_open"] and not sums["datagrams"]:
            continue
        datagrams, n_bytes, drops = sums["datagrams"], sums.get("bytes", 0), sums["kernel_drops"]
        refused = {key.removeprefix(_REFUSED): n for key, n in sums.items() if n and key.startswith(_REFUSED)}
        reports.append(
            GroupReport(
                name,
                datagrams,
                since((name, "datagrams"), datagrams) / interval_s,
                n_bytes,
                since((name, "bytes"), n_bytes) / interval_s,
                sums.get("padding_bytes", 0),
                drops,
                since((name, "drops"), drops),
                sums.get("wrong_plane", 0),
                sums.get("unknown_type", 0),
                refused,
            )
        )
    return tuple(reports)
