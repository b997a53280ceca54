"""From running counts to what happened in an interval. Sans-I/O: times and counts are arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Protocol

from outcrier.layout import REASONS
from outcrier.monitor.groups import SocketCounts, Window, group_reports
from outcrier.monitor.hops import Hops
from outcrier.monitor.report import (
    LINES,
    PLANES,
    UNVERIFIABLE,
    Change,
    GapReport,
    InstrumentReport,
    LineReport,
    Report,
    StreamReport,
    TypeReport,
    Wish,
)
from outcrier.reception import Address
from outcrier.venue_numbers import venue_name
from outcrier.views import STATUSES, named

TEXTS_SHOWN: Final = 200
"""Text lines that are kept to be shown."""

_SLOW_NS: Final = 1_000_000_000
"""How often instruments, latencies and gaps are sampled: rates of a shorter time jump too much to be read."""

_PROOFS: Final = {1: "sequence", 2: "checksum"}
"""Bits of INSTRUMENT_DEF.book_proof."""

_SECOND_NS: Final = 1_000_000_000


class Counts(SocketCounts, Protocol):
    """What is needed of `_core.Monitor`."""

    def streams(self) -> list[dict[str, Any]]: ...
    def instruments(
        self, *, channel: int | None = None, text: str = "", limit: int = 100
    ) -> list[dict[str, Any]]: ...
    def instrument_counts(self) -> tuple[int, int]: ...
    def changes(self) -> list[tuple[int, int, int, int, int, int]]: ...
    def gaps(self) -> list[dict[str, Any]]: ...
    def hops(self, channel: int) -> list[tuple[str, int, list[tuple[int, int, int]]]]: ...
    def take_texts(self) -> list[tuple[int, str]]: ...


class Reporter:
    """Remembers the counts of the intervals before."""

    def __init__(self, address: Address, rcvbuf_bytes: int, mono_ns: int, *, window_ns: int = 0) -> None:
        """Rates are of the time since the report before, or since the oldest within `window_ns`."""
        self._address = address
        self._rcvbuf_bytes = rcvbuf_bytes
        self._window_ns = window_ns
        self._window = Window(mono_ns, window_ns)
        self._texts: deque[tuple[int, str]] = deque(maxlen=TEXTS_SHOWN)
        self._hops = Hops(mono_ns)
        self._slow_ns = mono_ns
        self._wish: Wish | None = None
        self._instruments: tuple[InstrumentReport, ...] = ()
        self._gaps: tuple[GapReport, ...] = ()

    def take(self, counts: Counts, *, mono_ns: int, wall_ns: int, wish: Wish | None = None) -> Report:
        """What `counts` holds up to now."""
        wish = wish or Wish()
        interval_s = self._window.begin(mono_ns)
        streams = sorted(counts.streams(), key=lambda stream: (stream["channel"], stream["plane"]))
        self._texts.extend(counts.take_texts())
        if self._wish != wish or mono_ns - self._slow_ns >= _SLOW_NS or not self._window_ns:
            self._take_slowly(counts, streams, wish, mono_ns, wall_ns)
        known, untracked = counts.instrument_counts()
        return Report(
            wall_ns,
            interval_s,
            self._address,
            self._rcvbuf_bytes,
            counts.truncated(),
            group_reports(counts, self._window.since, interval_s),
            tuple(self._stream(stream, interval_s, wall_ns) for stream in streams),
            self._instruments,
            known,
            untracked,
            tuple(map(_change, counts.changes())),
            self._gaps,
            self._hops.reports,
            tuple(self._texts),
        )

    def _take_slowly(
        self, counts: Counts, streams: list[dict[str, Any]], wish: Wish, mono_ns: int, wall_ns: int
    ) -> None:
        elapsed_s = max(mono_ns - self._slow_ns, 1) / _SECOND_NS
        self._wish, self._slow_ns = wish, mono_ns
        sampled = counts.instruments(channel=wish.channel, text=wish.text, limit=wish.limit)
        self._instruments = tuple(_instrument(row, elapsed_s, wall_ns) for row in sampled)
        self._gaps = tuple(map(_gap, counts.gaps()))
        channels = [(each["channel"], venue_name(each["venue"])) for each in streams if not each["plane"]]
        self._hops.take({key: counts.hops(key[0]) for key in channels}, mono_ns)

    def _stream(self, stream: Mapping[str, Any], interval_s: float, wall_ns: int) -> StreamReport:
        key = stream["channel"], stream["plane"]
        types = tuple(
            TypeReport(
                name,
                number,
                self._window.since((*key, number, "frames"), frames) / interval_s,
                self._window.since((*key, number, "bytes"), n_bytes) / interval_s,
                self._window.since((*key, number, "packed"), packed) / interval_s,
                frames,
                n_bytes,
                packed,
                last_ns,
                _age_s(last_ns, wall_ns),
            )
            for number, name, frames, packed, n_bytes, last_ns in stream["types"]
        )
        lines = tuple(self._line(key, line, interval_s, wall_ns) for line in stream["lines"])
        return StreamReport(
            channel=stream["channel"],
            plane=PLANES[stream["plane"]],
            venue=venue_name(stream["venue"]),
            venue_number=stream["venue"],
            session=stream["session"],
            sessions=stream["sessions"],
            replay=stream["replay"],
            test=stream["test"],
            ended=stream["ended"],
            split=stream["split"],
            differing=stream["differing"],
            packets_per_s=self._window.since((*key, "frames"), stream["frames"]) / interval_s,
            bytes_per_s=self._window.since((*key, "bytes"), stream["bytes"]) / interval_s,
            packets=stream["frames"],
            bytes=stream["bytes"],
            last_ns=stream["last_ns"],
            age_s=_age_s(stream["last_ns"], wall_ns),
            seq=stream["high"],
            gaps=stream["gaps"],
            missing=stream["missing"],
            missing_now=self._window.since((*key, "missing"), stream["missing"]),
            late=stream["late"],
            duplicates=sum(line.duplicates for line in lines),
            too_old=stream["too_old"],
            old_session=stream["old_session"],
            lines=lines,
            heartbeat=stream["heartbeat"],
            types=types,
        )

    def _line(
        self, key: tuple[int, int], line: Mapping[str, int], interval_s: float, wall_ns: int
    ) -> LineReport:
        return LineReport(
            LINES[line["line"]],
            self._window.since((*key, "line", line["line"]), line["frames"]) / interval_s,
            line["frames"],
            line["bytes"],
            line["gaps"],
            line["missing"],
            line["duplicates"],
            line["filled"],
            line["earlier"],
            _age_s(line["last_ns"], wall_ns),
        )


def _instrument(row: Mapping[str, Any], elapsed_s: float, wall_ns: int) -> InstrumentReport:
    venue = venue_name(row["venue"])
    return InstrumentReport(
        row["channel"],
        venue,
        row["instrument"],
        f"{row['symbol'] or row['instrument']}@{venue}",
        named(STATUSES, row["state"]),
        _reason(row["reason"]),
        row["since"] / elapsed_s,
        row["messages"],
        row["bytes"],
        row["books"],
        row["trades"],
        row["bbos"],
        row["suspect"],
        _proof(row),
        row["last_ns"],
        _age_s(row["last_ns"], wall_ns),
        row["instr_seq"],
    )


def _proof(row: Mapping[str, Any]) -> str:
    if not row["def_version"] or not row["books"]:
        return ""
    bits = row["book_proof"]
    found = [name for bit, name in _PROOFS.items() if bits & bit]
    return " + ".join(found) or UNVERIFIABLE


def _change(row: tuple[int, int, int, int, int, int]) -> Change:
    at_ns, venue, instrument, before, state, reason = row
    states = named(STATUSES, before), named(STATUSES, state)
    return Change(at_ns, venue_name(venue), instrument, *states, _reason(reason))


def _gap(row: Mapping[str, Any]) -> GapReport:
    filled = {name: count for name, count in zip(LINES, row["filled"], strict=True) if count}
    after_ns = row["filled_ns"] - row["opened_ns"] if row["filled_ns"] else None
    return GapReport(
        row["channel"],
        PLANES[row["plane"]],
        row["session"],
        row["first"],
        row["count"],
        row["left"],
        filled,
        row["opened_ns"],
        after_ns,
    )


def _reason(number: int) -> str:
    return REASONS.get(number, str(number)) if number else ""


def _age_s(last_ns: int, wall_ns: int) -> float:
    """Never negative: the wall clock may have been set back."""
    return max(wall_ns - last_ns, 0) / _SECOND_NS
