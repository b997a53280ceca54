"""The whole screen as lines of styled text. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from outcrier.monitor.navigator import Navigator, Shown
from outcrier.monitor.styles import BAD, DIM, LOUD, clock
from outcrier.monitor.table import Line, Part, Table, fitting, head_line, row_line, stretched

CURSOR: Final = "on #2c4a6e"
BAR: Final = "on #1d2733"
"""Background of the first and the last but one line."""


class Painted(NamedTuple):
    """The screen, and where its rows are."""

    lines: list[Line]
    first_row_y: int
    """Line of the first row that is shown."""
    top: int
    """Number of that row."""
    rows: int
    """How many are shown."""


class Frame(NamedTuple):
    """What stands around the page."""

    title: Line
    sums: Line
    help: str
    """What `?` shows."""


def paint(shown: Shown, frame: Frame, at: Navigator[Shown], width: int, height: int) -> Painted:
    """The page where `at` is, framed."""
    above = [cut(frame.title, width), _tabs(at, width)]
    below = [cut(frame.sums, width), _foot(at, width)]
    if at.help:
        body = [cut(((text, ""),), width) for text in frame.help.splitlines()]
        return Painted(_page(above, body, below, width, height), 0, 0, 0)
    table = at.table(shown)
    notes = [cut(note, width) for note in table.notes]
    # At least three rows stay where the notes are longer than the screen.
    room = height - len(above) - len(below) - 1
    notes = notes[: max(room - 3, 0)]
    room = max(room - len(notes), 1)
    top = max(min(at.place.cursor - room // 2, len(table.rows) - room), 0)
    body = [*notes, *_rows(table, at, top, room, width)]
    first_row_y = len(above) + len(notes) + 1
    rows = max(min(room, len(table.rows) - top), 0)
    return Painted(_page(above, body, below, width, height), first_row_y, top, rows)


def listening(program: str, width: int) -> Painted:
    """Nothing was counted yet."""
    return Painted([cut(((f"{program}: listening ...", ""),), width)], 0, 0, 0)


def title(
    program: str, where: str, groups: dict[str, bool], words: list[str], *, time_ns: int, width: int
) -> Line:
    """The first line. `groups`: whether something comes by them; `words`: what nobody shall overlook."""
    parts: list[Part] = [(f" {program} ", f"bold {BAR}")]
    for word in words:
        parts += [(f" {word} ", LOUD), (" ", BAR)]
    parts.append((f" {where} ", BAR))
    parts += [(f"{group} ", f"green {BAR}" if heard else f"dim {BAR}") for group, heard in groups.items()]
    used = sum(len(text) for text, _ in parts)
    parts.append((f"{clock(time_ns)} UTC ".rjust(max(width - used, 0)), BAR))
    return tuple(parts)


def sums(wrong: dict[str, int], volume: list[str], width: int) -> Line:
    """The last line but one. What is wrong stands first: a narrow screen cuts what is only volume."""
    parts: list[Part] = [
        (f" {name} {count:,} ", f"{BAD if count else 'green'} {BAR}") for name, count in wrong.items()
    ]
    parts += [(f" {text} ", BAR) for text in volume]
    used = sum(len(text) for text, _ in parts)
    return (*parts, (" " * max(width - used, 0), BAR))


def _rows(table: Table, at: Navigator[Shown], top: int, room: int, width: int) -> list[Line]:
    columns = stretched(table.columns, width)
    shown = fitting(columns, width)
    lines = [head_line(columns, shown, width)]
    if not table.rows:
        return [*lines, cut(((f" {table.empty}", DIM),), width)]
    for number, row in enumerate(table.rows[top : top + room], start=top):
        line = row_line(row, columns, shown, width)
        if number == at.place.cursor:
            line = tuple((text, _marked(style)) for text, style in line)
        lines.append(cut(line, width))
    return lines


def _marked(style: str) -> str:
    """The cursor's background; what has one of its own keeps it."""
    return style if " on " in style else f"{style} {CURSOR}".strip()


def _tabs(at: Navigator[Shown], width: int) -> Line:
    """All tabs and the way down; where they do not fit, the way alone."""
    way = f" > {' > '.join(at.path[1:])}" if len(at.path) > 1 else ""
    parts: list[Part] = []
    for number, tab in enumerate(at.tabs, start=1):
        parts.append((f" {number} {tab} ", "bold reverse" if tab == at.tab else ""))
    parts.append((way, "bold"))
    if way and sum(len(text) for text, _ in parts) > width:
        parts = [(f" {at.tabs.index(at.tab) + 1} {at.tab} ", "bold reverse"), (way, "bold")]
    return cut(tuple(parts), width)


def _foot(at: Navigator[Shown], width: int) -> Line:
    if at.typing:
        return cut(((f"/{at.place.filter}", "bold"), ("_", "blink")), width)
    filtered = f"filter {at.place.filter!r}   " if at.place.filter else ""
    keys = "any key: back" if at.help else "/ filter   ? help   Enter open   Esc back   q quit"
    return cut(((f" {filtered}", "bold yellow"), (keys, DIM)), width)


def _page(above: list[Line], body: list[Line], below: list[Line], width: int, height: int) -> list[Line]:
    room = max(height - len(above) - len(below), 0)
    blank: Line = ((" " * width, ""),)
    filled = [*body[:room], *[blank] * (room - len(body))]
    return [*above, *filled, *below][:height]


def cut(line: Line, width: int) -> Line:
    """Exactly `width` characters."""
    parts: list[Part] = []
    left = width
    for text, style in line:
        parts.append((text[:left], style))
        left -= len(parts[-1][0])
    parts.append((" " * left, ""))
    return tuple(part for part in parts if part[0])
