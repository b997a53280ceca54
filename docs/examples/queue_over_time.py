"""Prints the queue of the best bid over time, from a Databento MBO file.

    python docs/examples/queue_over_time.py ESH4_2023-12-25.mbo.dbn.zst --tick 250000000 --every 60

A line: time, price, quantity and orders of the level, then the quantities of its orders from the front.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import click

from outcrier.order_files import read_dbn
from outcrier.orders import OrderBook, Side

SECOND_NS = 1_000_000_000


@click.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tick", default=0, help="Least distance of prices, as a mantissa of 1e-9.")
@click.option("--every", default=60.0, show_default=True, help="Seconds between two lines.")
@click.option("--orders", default=12, show_default=True, help="Orders shown.")
def main(path: Path, tick: int, every: float, orders: int) -> None:
    """Prints the queue of the best bid of PATH over time."""
    file = read_dbn(path, tick=tick)
    book, next_ns = OrderBook(file.tick), 0
    for event in file.events():
        book.apply(event.ops, event.ts)
        best = book.best(Side.BID)
        if best is None or event.time < next_ns:
            continue
        next_ns = event.time + int(every * SECOND_NS)
        queue = book.queue(Side.BID, best.price)
        shown = " ".join(map(str, queue["qty"][:orders].tolist())) + (" …" if len(queue) > orders else "")
        price = Decimal(best.price).scaleb(file.price_exp)
        clock = f"{datetime.fromtimestamp(event.time / SECOND_NS, UTC):%H:%M:%S}"
        click.echo(f"{clock}  {price:,.2f}  {best.qty:>5} lots in {len(queue):>3} orders: {shown}")


if __name__ == "__main__":
    main()
