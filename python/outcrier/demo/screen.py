"""What the demo shows: a screen on a terminal, a plain line a second elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rich.console import Console, ConsoleOptions, Group, JustifyMethod, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from outcrier.demo.messages import SIMULATION, Venue
from outcrier.demo.stats import LastTrade, Rates
from outcrier.prices import Number
from outcrier.views import Level, State

_STATE_STYLES: Final = {State.LIVE: "bold green", State.UNSURE: "yellow", State.RECOVERING: "yellow"}
_OTHER_STATE: Final = "bold red"


class Row(NamedTuple):
    """One instrument."""

    symbol: str
    state: State
    bid: Level | None
    ask: Level | None
    spread: Number | None
    trade: LastTrade | None


class View(NamedTuple):
    """Everything shown at one moment."""

    seconds: float
    """Since the start."""
    test: bool
    simulation: bool
    """No market; said on every screen and line."""
    sources: tuple[str, ...]
    notice: str
    """What the feeder had to say last; empty = nothing."""
    rates: Rates
    frames: int
    gaps: int
    """Times numbers were missing on the wire."""
    lost: int
    """Frames that did not come."""
    live: int
    """Books that are LIVE here."""
    books: int
    rows: Sequence[Row]
    stages: Mapping[str, tuple[float, float] | None]
    """(p50, p99) in nanoseconds by stage."""
    venues: Sequence[Venue]
    address: str
    """Where is listened."""


def screen(view: View) -> RenderableType:
    """The screen, fitted to the terminal that it is drawn on."""
    return Padding(_Screen(view), (0, 1))


class _Columns(NamedTuple):
    """What a row of the table of books tells."""

    test_word: bool = True
    """TEST in each row; the heading has it always."""
    spread: bool = True
    """Spread and last trade."""
    quantities: bool = True
    padding: int = 2


_WIDE: Final = 118
"""Columns inside the margins from which on there is room for everything."""

_ROWS_MIN: Final = 3
"""Books that matter more than the latencies where the terminal is low."""

_NARROWER: Final = (
    _Columns(spread=False),
    _Columns(spread=False, padding=1),
    _Columns(spread=False, padding=1, test_word=False),
    _Columns(spread=False, padding=1, quantities=False),
    _Columns(spread=False, padding=1, quantities=False, test_word=False),
)
"""What is left out, step by step, before a price, a state or a name would be cut."""


class _Screen:
    """Leaves out columns, rows and empty lines where there is no room for them; cuts no value."""

    def __init__(self, view: View) -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view, width = self._view, options.max_width
        height = options.height or console.height
        wide = width >= _WIDE
        head: list[RenderableType] = [_heading(view, wide=wide)]
        if view.notice:
            head.append(Text(view.notice, style="yellow"))
        lower = _lower(view, console, width)
        end = Text("Ctrl-C ends", style="dim")
        fixed = options.update(width=width, height=None)

        def room_beside(lower: list[RenderableType]) -> int:
            parts = (*head, *lower, end)
            taken = sum(len(console.render_lines(part, fixed, pad=False)) for part in parts)
            return height - taken - 1  # the names of the columns

        room = room_beside(lower)
        if room < min(_ROWS_MIN, len(view.rows)):
            lower = [_venues(view)]
            room = room_beside(lower)
        rows = max(1, min(len(view.rows), room))
        spare = max(0, room - rows)
        books: RenderableType = Text("waiting for books ...", style="dim")
        if view.rows:
            books = _books(view, rows, console, width)
        parts: list[RenderableType] = [*head]
        for part in (books, *lower, end):
            if spare:
                parts.append(Text())
                spare -= 1
            parts.append(part)
        yield from parts


def _lower(view: View, console: Console, width: int) -> list[RenderableType]:
    """Latencies and venues, next to each other where both have room."""
    latencies, venues = _latencies(view), _venues(view)
    if _width(latencies, console) + 4 + _width(_venues(view, errors=False), console) > width:
        return [latencies, venues]
    grid = Table.grid(padding=(0, 4))
    grid.add_column(no_wrap=True, min_width=_width(latencies, console))
    grid.add_column()
    grid.add_row(latencies, venues)
    return [grid]


def _width(table: Table, console: Console) -> int:
    """Columns that `table` takes if nothing is cut."""
    return table.__rich_measure__(console, console.options.update(width=10_000)).maximum


def _heading(view: View, *, wide: bool) -> RenderableType:
    text = Text(no_wrap=not wide, overflow="ellipsis" if not wide else None)
    if view.simulation:  # First, so that no terminal is too narrow for it.
        text.append(f" {SIMULATION} ", style="bold black on yellow").append(" ")
    text.append("OUTCRIER ", style="bold")
    if view.test:
        text.append(" TEST ", style="bold white on red")
        text.append(f"  {', '.join(view.sources)}")
    elif view.sources:
        text.append(f" live: {', '.join(view.sources)}", style="green")
    else:
        text.append(" starting ...", style="dim")
    rates = f"{view.rates.frames:>9,.0f} frames/s  {size(view.rates.bytes):>9}/s"
    counts = f"{view.frames:,} frames  {view.gaps:,} gaps  {view.lost:,} lost"
    rest = f"{view.live}/{view.books} books live  {view.seconds:.0f} s  {view.address}"
    if wide:
        return Group(text, Text(f"{rates}  {counts}  {rest}"))
    return Group(text, Text(f"{rates.strip()}  {counts}"), Text(rest))


def _books(view: View, rows: int, console: Console, width: int) -> Table:
    """The first `rows` books with all the columns that there is room for."""
    for columns in (_Columns(), *_NARROWER) if width >= _WIDE else _NARROWER:
        table = _books_of(view, rows, columns)
        if _width(table, console) <= width:
            break
    return table


def _books_of(view: View, rows: int, columns: _Columns) -> Table:
    table = Table(
        box=None,
        header_style="dim",
        padding=(0, columns.padding, 0, 0),
        pad_edge=False,
        collapse_padding=True,
    )
    cut = f" ({rows} of {len(view.rows)})" if rows < len(view.rows) else ""
    names = ["bid qty", "bid", "ask", "ask qty"] if columns.quantities else ["bid", "ask"]
    table.add_column(f"instrument{cut}", no_wrap=True, overflow="fold")
    table.add_column("state", no_wrap=True, overflow="fold")
    for name in [*names, *(["spread", "last trade"] if columns.spread else [])]:
        justify: JustifyMethod = "left" if name in ("ask", "ask qty") else "right"
        table.add_column(name, justify=justify, no_wrap=True, overflow="fold")
    for row in view.rows[:rows]:
        state = row.state.value + (" TEST" if view.test and columns.test_word else "")
        cells: list[RenderableType] = [
            Text(_number(row.bid and row.bid.price), style="green"),
            Text(_number(row.ask and row.ask.price), style="red"),
        ]
        if columns.quantities:
            cells = [_number(row.bid and row.bid.qty), *cells, _number(row.ask and row.ask.qty)]
        if columns.spread:
            cells += [_number(row.spread), _trade(row.trade)]
        table.add_row(row.symbol, Text(state, style=_STATE_STYLES.get(row.state, _OTHER_STATE)), *cells)
    return table


def _latencies(view: View) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("latency", no_wrap=True)
    table.add_column("p50", justify="right", min_width=8, no_wrap=True)
    table.add_column("p99", justify="right", min_width=8, no_wrap=True)
    for name, percentiles in view.stages.items():
        shown = ("-", "-") if percentiles is None else (duration(percentiles[0]), duration(percentiles[1]))
        table.add_row(_stage(name, test=view.test), *shown)
    return table


def _stage(name: str, *, test: bool) -> str:
    return f"{name} (after the quickest)" if test and name.startswith("exchange") else name


def _venues(view: View, *, errors: bool = True) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("venue", no_wrap=True)
    for name in ("connections", "books", "messages", "gaps", "faults"):
        table.add_column(name, justify="right", no_wrap=True)
    # The only column that may be cut: Rich narrows those that may wrap first.
    table.add_column("")
    for venue in view.venues:
        up = venue.connections > 0 and venue.connected == venue.connections
        table.add_row(
            venue.name,
            Text(f"{venue.connected}/{venue.connections}", style="green" if up else "bold red"),
            f"{venue.live}/{venue.books}",
            f"{venue.messages:,}",
            f"{venue.gaps:,}",
            f"{venue.faults:,}",
            Text(venue.error if errors else "", style="yellow", no_wrap=True, overflow="ellipsis"),
        )
    return table


def line(view: View) -> str:
    """The same in a line, for a log or a pipe."""
    word = f"{SIMULATION}, TEST " if view.simulation else "TEST " if view.test else ""
    rates = f"{view.rates.frames:,.0f} frames/s {size(view.rates.bytes)}/s"
    books = f"{view.live}/{view.books} live"
    parts = [f"{view.seconds:4.0f}s {word}{rates} {view.gaps:,} gaps {view.lost:,} lost {books}"]
    parts += [f"{row.symbol} {row.state} {level(row.bid)} / {level(row.ask)}" for row in view.rows]
    stages = [f"{name} {duration(p[0])}/{duration(p[1])}" for name, p in view.stages.items() if p is not None]
    if stages:
        parts.append("p50/p99 " + ", ".join(stages))
    return " | ".join(parts)


def summary(view: View) -> str:
    """What there was, at the end."""
    word = "TEST, not the exchanges themselves: " if view.test else ""
    word = f"{SIMULATION}: " if view.simulation else word
    messages = sum(venue.messages for venue in view.venues)
    source_gaps = sum(venue.gaps for venue in view.venues)
    books = f"{view.live}/{view.books} books live"
    wire = f"{view.gaps:,} gaps and {view.lost:,} frames lost on the wire"
    return (
        f"{word}{view.seconds:.1f} s, {messages:,} messages from {len(view.venues)} venues,"
        f" {view.frames:,} frames, {books}, {wire}, {source_gaps:,} gaps of the exchanges"
    )


def _number(value: Number | None) -> str:
    return "-" if value is None else f"{value:,}"


def level(value: Level | None) -> str:
    """Quantity and price."""
    return "-" if value is None else f"{value.qty} @ {value.price}"


def _trade(trade: LastTrade | None) -> Text:
    if trade is None:
        return Text("-")
    return Text(f"{trade.qty} @ {trade.price:,}", style=("", "green", "red")[trade.aggressor % 3])


def duration(nanoseconds: float) -> str:
    """In the unit that leaves at most three digits before the point."""
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        amount = nanoseconds / factor
        if abs(amount) >= 1:
            return f"{amount:.{2 if abs(amount) < 10 else 1 if abs(amount) < 100 else 0}f} {unit}"
    return f"{nanoseconds:.0f} ns"


def size(count: float) -> str:
    """Bytes in the unit that leaves at most three digits before the point."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"
