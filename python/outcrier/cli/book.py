"""`outcrier book`: the book of one instrument, once or as it moves."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from outcrier.cli import book_orders
from outcrier.cli.ctl import history as messages_of
from outcrier.cli.output import (
    clean,
    is_terminal,
    json_line,
    log_to_stderr,
    subscriber,
    until_stopped,
    utc,
    wire_options,
    words,
)
from outcrier.config import Config
from outcrier.events import flag_names
from outcrier.order_views import UNSURE, OrdersView
from outcrier.subscriber import Subscriber
from outcrier.views import BOOK_PROOFS, BookView, Level, State

LIVE_WITHIN_S = 10.0
"""How long `book` without --watch waits for a live book unless told: snapshots come every second."""

_REFRESH_S = 0.1
"""--watch shows at most ten states a second: more cannot be read."""


@click.command("book", short_help="Print the book of an instrument, or watch it.")
@click.argument("symbol", metavar="SYMBOL@VENUE")
@click.option("--watch", is_flag=True, help="Show it as it moves, until Ctrl-C.")
@click.option(
    "--depth", type=click.IntRange(min=0), default=10, show_default=True, help="Levels a side; 0 = all."
)
@click.option(
    "--orders",
    is_flag=True,
    help="Show the orders of each level, front first, where the publisher tells of any: those of the"
    f" venue, or inferred ones (infer_orders in the configuration). {UNSURE} marks what nobody"
    " is sure of.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="S",
    help="End with code 4 if the book is not LIVE within this time (with --watch: if nothing is heard for"
    f" it); 0 = wait for ever.  [default: {LIVE_WITHIN_S:g}, with --watch 0]",
)
@click.option(
    "--history",
    type=click.IntRange(min=1, max=10_000),
    metavar="N",
    help="Print instead the last N messages about it as the venue sent them, which the feeder on this host"
    " keeps (feeder.history_bytes_max).",
)
@wire_options
def command(  # noqa: PLR0917  # click calls by name
    symbol: str,
    watch: bool,  # click calls by name
    depth: int,
    orders: bool,
    as_json: bool,
    timeout: float | None,
    history: int | None,
    wire: Config,
) -> None:
    """Print the book of SYMBOL@VENUE, such as BTC/USDT:PERP@binance_usdm, when it is LIVE."""
    log_to_stderr()
    if history is not None:
        for at_ns, connection, message in messages_of(symbol, history, wire):
            row = {"t": at_ns, "conn": connection, "d": message}
            click.echo(json_line(row) if as_json else f"{utc(at_ns)} conn={connection} {clean(message)}")
        return
    if timeout is None:
        timeout = 0.0 if watch else LIVE_WITHIN_S
    unopened = subscriber(wire, symbols=[symbol], types=["book"], timeout=timeout or None)
    if watch and not as_json and is_terminal():
        asyncio.run(_watch_on_screen(unopened, symbol, depth, orders=orders))
        return
    with unopened as sub:
        view, queues = sub.book(symbol), sub.orders(symbol) if orders else None
        if watch:
            with until_stopped():
                _watch(sub, view, queues, depth, as_json=as_json)
        else:
            sub.wait_live(timeout or None)
            click.echo(json_line(as_object(view, depth, queues)) if as_json else as_text(view, depth, queues))


def _watch(sub: Subscriber, view: BookView, queues: OrdersView | None, depth: int, *, as_json: bool) -> None:
    for _ in sub.iter_batches():
        if as_json:
            click.echo(json_line(as_object(view, depth, queues)))
        else:
            click.echo(as_line(view) if queues is None else as_text(view, depth, queues))
        time.sleep(_REFRESH_S)


class _Note(logging.Handler):
    """Keeps the latest warning for the screen: on stderr it would scroll the state away."""

    _SILENCE = "nothing heard"

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = clean(record.getMessage())

    def heard(self) -> None:
        """Something arrived: silence is no news any more."""
        if self.text.startswith(self._SILENCE):
            self.text = ""


@contextmanager
def _noted() -> Iterator[_Note]:
    log = logging.getLogger("outcrier")
    note = _Note()
    before, log.propagate = log.propagate, False
    log.addHandler(note)
    try:
        yield note
    finally:
        log.removeHandler(note)
        log.propagate = before


async def _watch_on_screen(unopened: Subscriber, symbol: str, depth: int, *, orders: bool) -> None:
    """Draws on a timer, so that the state is seen also when nothing comes any more."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with unopened as sub:
        view, queues = sub.book(symbol), sub.orders(symbol) if orders else None
        with _noted() as note, Live(auto_refresh=False, screen=True) as live:
            reading = asyncio.create_task(_read(sub, note))
            stopped = asyncio.create_task(stop.wait())
            try:
                while not (reading.done() or stopped.done()):
                    height = live.console.height if queues is None else live.console.height // 2
                    levels = min(depth, height) if depth else height
                    live.update(as_table(view, levels, note.text, queues), refresh=True)
                    await asyncio.wait(
                        {reading, stopped}, timeout=_REFRESH_S, return_when=asyncio.FIRST_COMPLETED
                    )
            finally:
                stopped.cancel()
                reading.cancel()
                await asyncio.gather(reading, stopped, return_exceptions=True)
    if not reading.cancelled():
        reading.result()


async def _read(sub: Subscriber, note: _Note) -> None:
    async for _ in sub.batches():
        note.heard()


def as_object(view: BookView, depth: int, queues: OrdersView | None = None) -> dict[str, Any]:
    """A book as a JSON object; levels are [price, quantity], best first, or objects with their orders."""
    info = view.info()
    bids, asks = view.top(depth)
    sides = {"bids": bids, "asks": asks} if queues is None else book_orders.as_objects(queues, depth)
    return {
        "symbol": view.symbol,
        "state": view.state,
        "flags": flag_names(info.get("flags", 0)),
        "book_proof": view.book_proof,
        "exchange_ts": info.get("exchange_ts", 0),
        "recv_ts": info.get("recv_ts", 0),
        "instr_seq": info.get("instr_seq", 0),
        "source_seq": info.get("source_seq", 0),
        "hash": f"{view.hash:016x}",
        "bid_levels": info.get("bids", 0),
        "ask_levels": info.get("asks", 0),
        **sides,
    }


def heading(view: BookView) -> str:
    """Symbol, state, REPLAY or TEST, UNVERIFIABLE where nothing of the venue proves the book, time and number
    of the last change.
    """
    return f"{clean(view.symbol)} {_standing(view)} {_counts(view)}"


def _standing(view: BookView) -> str:
    parts = [view.state.value, words(flag_names(view.info().get("flags", 0)))]
    if view.book_proof == BOOK_PROOFS[0]:
        parts.append(BOOK_PROOFS[0])
    return " ".join(filter(None, parts))


def _counts(view: BookView) -> str:
    info = view.info()
    parts = [utc(info.get("exchange_ts", 0))]
    if info.get("source_seq", 0):
        parts.append(f"id {info['source_seq']}")
    parts.append(f"{info.get('bids', 0):,} bids {info.get('asks', 0):,} asks")
    return " ".join(parts)


def as_line(view: BookView) -> str:
    """The top of a book in a line."""
    bid, ask = view.best
    return f"{heading(view)}  {_level(bid)} / {_level(ask)}"


def _level(level: Level | None) -> str:
    return f"{level.qty} @ {level.price}" if level else "-"


def as_text(view: BookView, depth: int, queues: OrdersView | None = None) -> str:
    """A book as plain text: quantity and price of the bids, price and quantity of the asks; or its orders."""
    if queues is not None:
        lines = book_orders.as_lines(queues, depth)
        return "\n".join([heading(view), queues.kind, *lines])
    bids, asks = view.top(depth)
    rows = [f"{'bid qty':>16} {'bid':>14}   {'ask':<14} {'ask qty':<16}"]
    for index in range(max(len(bids), len(asks))):
        bid = f"{bids[index].qty!s:>16} {bids[index].price!s:>14}" if index < len(bids) else " " * 31
        ask = f"{asks[index].price!s:<14} {asks[index].qty!s:<16}" if index < len(asks) else ""
        rows.append(f"{bid}   {ask}".rstrip())
    return "\n".join([heading(view), *rows])


def as_table(view: BookView, depth: int, note: str = "", queues: OrdersView | None = None) -> Group:
    """A book for a terminal; `note` stands between its state and its levels. No line of the heading wraps."""
    live = view.state is State.LIVE
    standing = Text(f"{_standing(view)} {_counts(view)}", no_wrap=True, overflow="ellipsis")
    standing.stylize("bold" if live else "bold red", 0, len(_standing(view)))
    parts = [Text(clean(view.symbol), style="bold", no_wrap=True, overflow="ellipsis"), standing]
    if note:
        parts.append(Text(note, style="yellow"))
    if queues is None:
        return Group(*parts, _levels_table(view, depth, live=live))
    return Group(*parts, Text(queues.kind), book_orders.as_table(queues, depth, dim=not live))


def _levels_table(view: BookView, depth: int, *, live: bool) -> Table:
    bids, asks = view.top(depth)
    table = Table(box=None, header_style="dim", style="" if live else "dim")
    for name in ("bid qty", "bid"):
        style = "green" if name == "bid" else ""
        table.add_column(name, justify="right", style=style, min_width=14, overflow="fold")
    for name in ("ask", "ask qty"):
        table.add_column(name, style="red" if name == "ask" else "", min_width=14, overflow="fold")
    for index in range(max(len(bids), len(asks))):
        bid = (str(bids[index].qty), str(bids[index].price)) if index < len(bids) else ("", "")
        ask = (str(asks[index].price), str(asks[index].qty)) if index < len(asks) else ("", "")
        table.add_row(*bid, *ask)
    return table
