"""Where a person is on the screen, and what keys do. Pure: no terminal."""

from __future__ import annotations

from typing import Final

import msgspec

from outcrier.monitor.follower import Followed
from outcrier.monitor.instrument_view import instrument
from outcrier.monitor.report import Report, Wish
from outcrier.monitor.table import Row, Table
from outcrier.monitor.views import PAGES, channel, channels

TABS: Final = tuple(PAGES)
"""Tabs from left to right; their keys are 1 to 8."""

FILTER_CHARS_MAX: Final = 32
"""Symbols are not longer."""

_PAGE_ROWS: Final = 10
"""What page up and down move by: less than the smallest screen shows, so that nothing is leapt over."""


class Place(msgspec.Struct):
    """One page of the stack."""

    page: str
    """A tab, `channel`, `venue` or `instrument`."""
    channel: int | None = None
    name: str = ""
    """Venue or symbol."""
    cursor: int = 0
    filter: str = ""


class Navigator:
    """The stack of pages, the filter and the cursor."""

    def __init__(self) -> None:
        self._stack = [Place(TABS[0])]
        self._rows: list[Row] = []
        self.typing = False
        """Whether keys go into the filter."""
        self.help = False

    @property
    def place(self) -> Place:
        """The page that is shown."""
        return self._stack[-1]

    @property
    def path(self) -> list[str]:
        """Names of the pages that lead here."""
        return [
            place.name or (f"ch {place.channel}" if place.channel else place.page) for place in self._stack
        ]

    @property
    def tab(self) -> str:
        """The tab where it began."""
        return self._stack[0].page

    @property
    def symbol(self) -> str | None:
        """The instrument to be followed."""
        return self.place.name if self.place.page == "instrument" else None

    @property
    def wish(self) -> Wish:
        """The instruments to be sampled."""
        place = self.place
        if place.page == "instrument":
            return Wish(text=place.name.rpartition("@")[0])
        if place.page == "channel":
            return Wish(place.channel, place.filter.partition("@")[0])
        return Wish(text=place.filter.partition("@")[0] if place.page == "instruments" else "")

    def table(self, report: Report, followed: Followed | None) -> Table:
        """The page, filtered; remembers its rows for Enter."""
        place = self.place
        if place.page == "instrument":
            shown = followed if followed is not None and followed.symbol == place.name else None
            table = instrument(report, place.name, shown)
        elif place.page == "channel":
            table = channel(report, place.channel or 0)
        elif place.page == "venue":
            table = channels(report, place.name)
        else:
            table = PAGES[place.page](report)
        self._rows = [row for row in table.rows if _holds(row, place.filter)]
        place.cursor = max(min(place.cursor, len(self._rows) - 1), 0)
        empty = f"no row holds {place.filter!r}" if table.rows else table.empty
        return table._replace(rows=self._rows, empty=empty)

    def press(self, key: str, character: str | None) -> bool:
        """Takes a key as Textual names them; True: end."""
        if self.typing:
            self._type(key, character)
            return False
        if key in ("ctrl+c", "ctrl+q") or (key == "q" and not self.help):
            return True
        if self.help:
            self.help = False
        elif key == "question_mark" or character == "?":
            self.help = True
        elif key == "slash" or character == "/":
            self.typing = True
        elif key == "escape":
            self._back()
        elif key == "enter":
            self._open()
        elif character and character.isdecimal() and 0 < int(character) <= len(TABS):
            self._stack = [Place(TABS[int(character) - 1])]
        elif key in ("tab", "right", "shift+tab", "left"):
            step = 1 if key in ("tab", "right") else -1
            self._stack = [Place(TABS[(TABS.index(self.tab) + step) % len(TABS)])]
        else:
            self._move(key)
        return False

    def click(self, row: int) -> None:
        """A row was clicked: the first click puts the cursor there, a click on the cursor opens."""
        if row == self.place.cursor:
            self._open()
        elif row < len(self._rows):
            self.place.cursor = row

    def scroll(self, rows: int) -> None:
        """Moves the cursor."""
        self.place.cursor = max(min(self.place.cursor + rows, len(self._rows) - 1), 0)

    def _move(self, key: str) -> None:
        steps = {"down": 1, "j": 1, "up": -1, "k": -1, "pagedown": _PAGE_ROWS, "pageup": -_PAGE_ROWS}
        if key in ("home", "end"):
            self.scroll(-len(self._rows) if key == "home" else len(self._rows))
        elif key in steps:
            self.scroll(steps[key])

    def _type(self, key: str, character: str | None) -> None:
        place = self.place
        if key == "enter":
            self.typing = False
        elif key == "escape":
            self.typing, place.filter = False, ""
        elif key == "backspace":
            place.filter = place.filter[:-1]
        elif character and character.isprintable() and len(place.filter) < FILTER_CHARS_MAX:
            place.filter += character

    def _back(self) -> None:
        if self.place.filter:
            self.place.filter = ""
        elif len(self._stack) > 1:
            self._stack.pop()

    def _open(self) -> None:
        if not self._rows:
            return
        match self._rows[self.place.cursor].key:
            case ("channel", int(number)) if self.place.page != "channel":
                self._stack.append(Place("channel", number))
            case ("venue", str(name)):
                self._stack.append(Place("venue", name=name))
            case ("instrument", str(name)):
                self._stack.append(Place("instrument", name=name))


def _holds(row: Row, text: str) -> bool:
    """Whether one of its cells holds `text`, in any case."""
    wanted = text.casefold()
    cells = (cell if isinstance(cell, str) else cell[0] for cell in row.cells)
    return not wanted or any(wanted in cell.casefold() for cell in cells)
