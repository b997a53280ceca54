"""The orders of a book, level by level from the front of each queue: for `outcrier book --orders`."""

from __future__ import annotations

from typing import Any, Final

from rich.table import Table

from outcrier.order_views import OrdersView, QueuedOrder, QueueLevel, front
from outcrier.orders import Side

_TITLES: Final = {Side.BID: "bid", Side.ASK: "ask"}


def as_objects(view: OrdersView, depth: int) -> dict[str, list[dict[str, Any]]]:
    """Both sides as JSON: levels, best first, each with its orders from the front."""
    return {
        name: [
            {"price": level.price, "qty": level.qty, "orders": [each._asdict() for each in queue]}
            for level, queue in _levels(view, side, depth)
        ]
        for side, name in ((Side.BID, "bids"), (Side.ASK, "asks"))
    }


def as_lines(view: OrdersView, depth: int) -> list[str]:
    """Asks down to the best one, then bids: price, quantity, orders, and what these have, the front first."""
    lines = [f"     {'price':>14} {'qty':>16} {'orders':>6}  front first"]
    for side in (Side.ASK, Side.BID):
        rows = [
            f"{_TITLES[side]:>4} {level.price!s:>14} {level.qty!s:>16} {level.orders:>6}  {front(queue)}"
            for level, queue in _levels(view, side, depth)
        ]
        lines += reversed(rows) if side is Side.ASK else rows
    return lines


def as_table(view: OrdersView, depth: int, *, dim: bool) -> Table:
    """The same for a terminal."""
    table = Table(box=None, header_style="dim", style="dim" if dim else "")
    for name in ("", "price", "qty", "orders"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("front first", no_wrap=True, overflow="ellipsis")
    for side, style in ((Side.ASK, "red"), (Side.BID, "green")):
        rows = [
            (
                f"[{style}]{_TITLES[side]}[/]",
                f"[{style}]{level.price}[/]",
                str(level.qty),
                str(level.orders),
                front(queue),
            )
            for level, queue in _levels(view, side, depth)
        ]
        for row in reversed(rows) if side is Side.ASK else rows:
            table.add_row(*row)
    return table


def _levels(view: OrdersView, side: Side, depth: int) -> list[tuple[QueueLevel, list[QueuedOrder]]]:
    levels = view.top(depth)[0 if side is Side.BID else 1]
    return [(level, view.queued(side, at)) for at, level in enumerate(levels)]
