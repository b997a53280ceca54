"""The whole screen as lines of styled text. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from outcrier.monitor.follower import Followed
from outcrier.monitor.navigator import TABS, Navigator
from outcrier.monitor.report import Report
from outcrier.monitor.screen import rate
from outcrier.monitor.styles import BAD, DIM, LOUD, clock
from outcrier.monitor.table import Line, Part, Table, fitting, head_line, row_line, size, stretched

CURSOR: Final = "on #2c4a6e"
_BAR: Final = "on #1d2733"

HELP: Final = """\
udp_monitor counts what is on the wire. It keeps no books, sends nothing, and slows nobody down.

  1 ... 8, Tab, left, right    the pages
  up, down, PgUp, PgDn         move the cursor; Home, End; j, k
  Enter                        open: channel or venue > its instruments > one instrument
  Esc                          back; ends a filter
  /                            filter rows by a part of any column; Enter keeps it, Esc drops it
  ?                            this help
  q                            end

missing    numbers that no group brought: neither line A nor line B nor the repair group
A lost     numbers that line A alone did not bring; B lost the same of line B
repaired   numbers that were missing and came by the repair group
gaps       how often a higher number came before them; mostly the other line fills them
first      the line that has most numbers before the other, and how often
own drops  what the kernel dropped for this monitor alone: then its other counts say less
REPLAY     recorded data, TEST a test: never the market
SILENT     nothing for 350 ms: the publisher is dead; ENDED it said so; SPLIT there are two

An opened instrument is followed with its book, as any consumer does it, until it is left.
Rates are of the last second. Everything else is since the start of this monitor."""


class Painted(NamedTuple):
    """The screen, and where its rows are."""

    lines: list[Line]
    first_row_y: int
    """Line of the first row that is shown."""
    top: int
    """Number of that row."""
    rows: int
    """How many are shown."""


def paint(
    report: Report | None, at: Navigator, followed: Followed | None, width: int, height: int
) -> Painted:
    """`report` None: nothing was counted yet."""
    if report is None:
        return Painted([(("udp_monitor: listening ...".ljust(width)[:width], ""),)], 0, 0, 0)
    above = [_title(report, width), _tabs(at, width)]
    below = [_sums(report, width), _foot(at, width)]
    if at.help:
        body = [_cut(((text, ""),), width) for text in HELP.splitlines()]
        return Painted(_page(above, body, below, width, height), 0, 0, 0)
    table = at.table(report, followed)
    notes = [_cut(note, width) for note in table.notes]
    # At least three rows stay where the notes are longer than the screen.
    room = height - len(above) - len(below) - 1
    notes = notes[: max(room - 3, 0)]
    room = max(room - len(notes), 1)
    top = max(min(at.place.cursor - room // 2, len(table.rows) - room), 0)
    body = [*notes, *_rows(table, at, top, room, width)]
    first_row_y = len(above) + len(notes) + 1
    shown = max(min(room, len(table.rows) - top), 0)
    return Painted(_page(above, body, below, width, height), first_row_y, top, shown)


def _rows(table: Table, at: Navigator, top: int, room: int, width: int) -> list[Line]:
    columns = stretched(table.columns, width)
    shown = fitting(columns, width)
    lines = [head_line(columns, shown, width)]
    if not table.rows:
        return [*lines, _cut(((f" {table.empty}", DIM),), width)]
    for number, row in enumerate(table.rows[top : top + room], start=top):
        line = row_line(row, columns, shown, width)
        if number == at.place.cursor:
            line = tuple((text, _marked(style)) for text, style in line)
        lines.append(_cut(line, width))
    return lines


def _marked(style: str) -> str:
    """The cursor's background; what has one of its own keeps it."""
    return style if " on " in style else f"{style} {CURSOR}".strip()


def _title(report: Report, width: int) -> Line:
    at = report.address
    parts: list[Part] = [
        (" udp_monitor ", f"bold {_BAR}"),
        (f" {at.feed} port {at.port} on {at.interface} ", _BAR),
    ]
    parts += [
        (f"{group.group} ", f"green {_BAR}" if group.datagrams_per_s else f"dim {_BAR}")
        for group in report.groups
    ]
    for word, holds in (
        ("REPLAY", any(stream.replay for stream in report.channels)),
        ("TEST", any(stream.test for stream in report.channels)),
    ):
        if holds:
            parts += [(" ", _BAR), (f" {word} ", LOUD)]
    used = sum(len(text) for text, _ in parts)
    now = f"{clock(report.time_ns)} UTC "
    parts.append((now.rjust(max(width - used, 0)), _BAR))
    return _cut(tuple(parts), width)


def _tabs(at: Navigator, width: int) -> Line:
    """All tabs and the way down; where they do not fit, the way alone."""
    way = f" > {' > '.join(at.path[1:])}" if len(at.path) > 1 else ""
    parts: list[Part] = []
    for number, tab in enumerate(TABS, start=1):
        parts.append((f" {number} {tab} ", "bold reverse" if tab == at.tab else ""))
    parts.append((way, "bold"))
    if way and sum(len(text) for text, _ in parts) > width:
        parts = [(f" {TABS.index(at.tab) + 1} {at.tab} ", "bold reverse"), (way, "bold")]
    return _cut(tuple(parts), width)


def _sums(report: Report, width: int) -> Line:
    own = sum(group.kernel_drops for group in report.groups)
    refused = sum(sum(group.refused.values()) + group.wrong_plane for group in report.groups)
    missing = sum(stream.missing for stream in report.channels)
    # What is wrong stands first: a narrow screen cuts what is only volume.
    parts: list[Part] = []
    for name, count in (("missing", missing), ("own drops", own), ("refused", refused)):
        parts.append((f" {name} {count:,} ", f"{BAD if count else 'green'} {_BAR}"))
    for group in report.groups:
        volume = f" {size(group.bytes_per_s)}B/s" if group.group != "text" else ""
        parts.append((f" {group.group} {rate(group.datagrams_per_s)}/s{volume} ", _BAR))
    used = sum(len(text) for text, _ in parts)
    parts.append((" " * max(width - used, 0), _BAR))
    return _cut(tuple(parts), width)


def _foot(at: Navigator, width: int) -> Line:
    if at.typing:
        return _cut(((f"/{at.place.filter}", "bold"), ("_", "blink")), width)
    filtered = f"filter {at.place.filter!r}   " if at.place.filter else ""
    keys = "any key: back" if at.help else "/ filter   ? help   Enter open   Esc back   q quit"
    return _cut(((f" {filtered}", "bold yellow"), (keys, DIM)), width)


def _page(above: list[Line], body: list[Line], below: list[Line], width: int, height: int) -> list[Line]:
    room = max(height - len(above) - len(below), 0)
    blank: Line = ((" " * width, ""),)
    filled = [*body[:room], *[blank] * (room - len(body))]
    return [*above, *filled, *below][:height]


def _cut(line: Line, width: int) -> Line:
    """Exactly `width` characters."""
    parts: list[Part] = []
    left = width
    for text, style in line:
        parts.append((text[:left], style))
        left -= len(parts[-1][0])
    parts.append((" " * left, ""))
    return tuple(part for part in parts if part[0])
