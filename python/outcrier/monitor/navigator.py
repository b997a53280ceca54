"""Where a person is on the screen, and what keys do. Pure: no terminal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Generic, TypeVar

import msgspec

from outcrier.monitor.table import Row, Table

FILTER_CHARS_MAX: Final = 32
"""Symbols are not longer."""

_PAGE_ROWS: Final = 10
"""What page up and down move by: less than the smallest screen shows, so that nothing is leapt over."""


Shown = TypeVar("Shown")
"""What a program shows: the counts of one look."""


class Place(msgspec.Struct):
    """One page of the stack."""

    page: str
    """A tab, or a page that a row opens."""
    channel: int | None = None
    name: str = ""
    """Venue or symbol."""
    cursor: int = 0
    filter: str = ""


class Navigator(ABC, Generic[Shown]):
    """The stack of pages, the filter and the cursor; a program says what its pages are."""

    def __init__(self, tabs: tuple[str, ...]) -> None:
        """`tabs`: from left to right; their keys are 1 to 9."""
        self.tabs = tabs
        self._stack = [Place(tabs[0])]
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

    @abstractmethod
    def page(self, shown: Shown) -> Table:
        """The page of `self.place`, whole."""

    @abstractmethod
    def opened(self, key: object) -> Place | None:
        """What Enter on a row of that key opens; None = nothing."""

    def table(self, shown: Shown) -> Table:
        """The page, filtered; remembers its rows for Enter."""
        place = self.place
        table = self.page(shown)
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
        elif character and character.isdecimal() and 0 < int(character) <= len(self.tabs):
            self._stack = [Place(self.tabs[int(character) - 1])]
        elif key in ("tab", "right", "shift+tab", "left"):
            step = 1 if key in ("tab", "right") else -1
            self._stack = [Place(self.tabs[(self.tabs.index(self.tab) + step) % len(self.tabs)])]
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
        opened = self.opened(self._rows[self.place.cursor].key) if self._rows else None
        if opened is not None:
            self._stack.append(opened)


def _holds(row: Row, text: str) -> bool:
    """Whether one of its cells holds `text`, in any case."""
    wanted = text.casefold()
    cells = (cell if isinstance(cell, str) else cell[0] for cell in row.cells)
    return not wanted or any(wanted in cell.casefold() for cell in cells)
