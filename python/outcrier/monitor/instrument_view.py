"""The page of one instrument: counters, top of its book and history of its states. Pure."""

from __future__ import annotations

from typing import Final

from outcrier.monitor.follower import Followed
from outcrier.monitor.report import Report
from outcrier.monitor.screen import age, rate
from outcrier.monitor.styles import clock, proof_part, state_part
from outcrier.monitor.table import Column, Line, Row, Table
from outcrier.order_views import UNSURE

_COLUMNS: Final = (
    Column("at (UTC)", 12, right=False),
    Column("who", 10, right=False),
    Column("state", 12, right=False),
    Column("reason", 12, right=False, fills=True),
)
_QUEUE_COLUMNS: Final = (
    Column("", 3, right=False),
    Column("price", 14),
    Column("quantity", 14),
    Column("orders", 6),
    Column(f"front first; {UNSURE} = nobody is sure", 24, right=False, fills=True),
)
_WIDTH: Final = 18
_BID_HEAD: Final = f"{'bid quantity':>{_WIDTH}} {'bid':>{_WIDTH}}"
_HEAD: Final = f"{_BID_HEAD} | {'ask':<{_WIDTH}} {'ask quantity':<{_WIDTH}}"


def instrument(report: Report, symbol: str, followed: Followed | None) -> Table:
    """`followed`: what a consumer has; None while it is being joined."""
    notes: list[Line] = [((symbol, "bold"),)]
    found = next((each for each in report.instruments if each.symbol == symbol), None)
    told: list[tuple[int, str, str, str]] = []
    if found is not None:
        notes[0] = (*notes[0], ("  publisher: ", ""), state_part(found.state), (f" {found.reason}", ""))
        if found.book_proof:
            notes[0] = (*notes[0], ("  proof: ", ""), (found.book_proof, proof_part(found)[1]))
        text = (
            f"channel {found.channel}, number {found.instrument}  {rate(found.messages_per_s)} messages/s"
            f"  {found.messages:,} messages: {found.books:,} books, {found.trades:,} trades,"
            f" {found.bbos:,} bbos, {found.suspect:,} suspect"
            f"  seq {found.instr_seq:,}  seen {age(found.age_s)}"
        )
        notes.append(((text, ""),))
        key = found.venue, found.instrument
        told = [
            (change.at_ns, "publisher", change.state, change.reason)
            for change in report.changes
            if (change.venue, change.instrument) == key
        ]
    if followed is None:
        notes.append((("joining the groups as a consumer ...", "dim"),))
    else:
        notes += _book(followed)
        told += [(seen.at_ns, "consumer", seen.state, seen.reason) for seen in followed.history]
    # The last one first, also of those told at once.
    told.reverse()
    told.sort(key=lambda each: each[0], reverse=True)
    opens = ("orders", symbol) if followed is not None and followed.queues else None
    rows = [Row((clock(at_ns), who, state_part(state), reason), opens) for at_ns, who, state, reason in told]
    return Table(notes, _COLUMNS, rows, "no state told yet")


def queues(symbol: str, followed: Followed | None) -> Table:
    """The levels of an instrument as their orders."""
    notes: list[Line] = [((symbol, "bold"),)]
    if followed is None:
        notes.append((("joining the groups as a consumer ...", "dim"),))
        return Table(notes, _QUEUE_COLUMNS, [], "")
    notes[0] = (*notes[0], ("  consumer: ", ""), state_part(followed.state), (f"  {followed.orders}", ""))
    styles = {"bid": "green", "ask": "red"}
    asks = [each for each in followed.queues if each.side == "ask"]
    bids = [each for each in followed.queues if each.side == "bid"]
    rows = [
        Row(((each.side, styles[each.side]), each.price, each.qty, f"{each.orders:,}", each.front))
        for each in (*reversed(asks), *bids)
    ]
    return Table(notes, _QUEUE_COLUMNS, rows, "no orders are known")


def _book(followed: Followed) -> list[Line]:
    lines: list[Line] = [
        (
            ("consumer: ", ""),
            state_part(followed.state),
            (f" {followed.reason}" if followed.state != "LIVE" else "", ""),
            (f"  {followed.levels[0]:,} bids, {followed.levels[1]:,} asks", ""),
            (f"  seq {followed.instr_seq:,}  exchange seq {followed.source_seq:,}", ""),
            (f"  exchange time {clock(followed.exchange_ts)}", ""),
        ),
        ((_HEAD, "dim"),),
    ]
    if followed.queues:
        lines.insert(1, ((f"{followed.orders}; Enter shows their queues", ""),))
    for index in range(max(len(followed.bids), len(followed.asks))):
        bid, bid_qty = followed.bids[index] if index < len(followed.bids) else ("", "")
        ask, ask_qty = followed.asks[index] if index < len(followed.asks) else ("", "")
        lines.append(
            (
                (f"{bid_qty:>{_WIDTH}} ", ""),
                (f"{bid:>{_WIDTH}}", "green"),
                (" | ", "dim"),
                (f"{ask:<{_WIDTH}}", "red"),
                (f" {ask_qty:<{_WIDTH}}", ""),
            )
        )
    return lines
