"""Tables as lines of styled text, of a given width. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Part = tuple[str, str]
"""Text and style, as rich names styles."""

Line = tuple[Part, ...]
"""Parts from left to right."""


class Column(NamedTuple):
    """One column."""

    title: str
    width: int
    right: bool = True
    rank: int = 0
    """The columns of the highest rank are left out first where the screen is too narrow."""
    fills: bool = False
    """Whether it takes what the other columns leave; `width` is the least it needs."""


class Row(NamedTuple):
    """One row, and what it opens."""

    cells: Sequence[str | Part]
    key: object = None
    style: str = ""


class Table(NamedTuple):
    """A page: notes above, then a table."""

    notes: Sequence[Line]
    columns: Sequence[Column]
    rows: Sequence[Row]
    empty: str
    """What is said where there is no row."""


def stretched(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns with the width that is theirs on this screen."""
    shown = fitting(columns, width)
    spare = width - sum(columns[index].width + 1 for index in shown) + 1
    return [
        column._replace(width=column.width + max(spare, 0)) if column.fills else column for column in columns
    ]


def fitting(columns: Sequence[Column], width: int) -> list[int]:
    """Indices of the columns that are shown: the last one of the highest rank goes until the others fit."""
    shown = list(range(len(columns)))
    while len(shown) > 1 and sum(columns[index].width + 1 for index in shown) - 1 > width:
        highest = max(columns[index].rank for index in shown)
        shown.remove(max(index for index in shown if columns[index].rank == highest))
    return shown


def head_line(columns: Sequence[Column], shown: Sequence[int], width: int) -> Line:
    """The titles."""
    titles = " ".join(_fit(columns[index].title, columns[index]) for index in shown)
    return ((titles[:width].ljust(width), "bold reverse dim"),)


def row_line(row: Row, columns: Sequence[Column], shown: Sequence[int], width: int) -> Line:
    """One row, as wide as the screen."""
    parts: list[Part] = []
    used = 0
    for index in shown:
        cell = row.cells[index]
        text, style = (cell, "") if isinstance(cell, str) else cell
        parts.append((_fit(text, columns[index]), style or row.style))
        parts.append((" ", row.style))
        used += columns[index].width + 1
    parts.append((" " * max(width - used, 0), row.style))
    return tuple(parts)


def _fit(text: str, column: Column) -> str:
    """Cut text ends with an ellipsis: a number that was cut must not be read as one."""
    if len(text) > column.width:
        text = text[: column.width - 1] + "…"
    return text.rjust(column.width) if column.right else text.ljust(column.width)


def size(n_bytes: float) -> str:
    """Bytes for a person: `950`, `12.3k`, `4.6M`."""
    for unit in ("", "k", "M", "G"):
        if n_bytes < 1_000 or unit == "G":
            break
        n_bytes /= 1_000
    return f"{n_bytes:.0f}{unit}" if not unit or n_bytes >= 100 else f"{n_bytes:.1f}{unit}"


def duration(ns: int | None) -> str:
    """`850 ns`, `12 us`, `3.4 ms`, `1.2 s`; `-` for None."""
    if ns is None:
        return "-"
    sign, value = "-" if ns < 0 else "", float(abs(ns))
    for unit in ("ns", "us", "ms", "s"):
        if value < 999.5 or unit == "s":
            break
        value /= 1_000
    return f"{sign}{value:.0f} {unit}" if value >= 9.95 or unit == "ns" else f"{sign}{value:.1f} {unit}"
