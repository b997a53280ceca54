"""`outcrier replay`: captures onto the wire, flagged REPLAY."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from pathlib import Path

import click

from outcrier.capture.library import group_by_venue
from outcrier.capture.replay import RATE_DEFAULT, Options, Replay, ReplaySummary
from outcrier.cli.output import capture_options, json_line, log_to_stderr, wire_options
from outcrier.config import Config
from outcrier.feeder.service import open_publisher
from outcrier.feeder.state import default_state_dir

_EXIT_ABORTED = 130


@click.command("replay", short_help="Publish captures, flagged REPLAY.")
@capture_options
@click.option(
    "--rate",
    type=click.IntRange(min=1),
    default=RATE_DEFAULT,
    show_default=True,
    help="Most frames a second.",
)
@click.option(
    "--loop",
    "loops",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="How often; 0 = until Ctrl-C.",
)
@click.option(
    "--orders", "infer_orders", is_flag=True, help="Infer the orders of each book and publish them, too."
)
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON object.")
@wire_options
def command(  # noqa: PLR0917  # click calls by name
    captures: tuple[Path, ...],
    speed: float | None,
    rate: int,
    loops: int,
    venue: str | None,
    instruments: Path | None,
    infer_orders: bool,  # click calls by name
    as_json: bool,  # click calls by name
    wire: Config,
) -> int:
    """Publish captures through the real decoder; every frame is flagged REPLAY.

    Captures of one venue are one session. Several venues are played together, each on its own channel.
    """
    log_to_stderr()
    options = Options(speed=speed, rate=rate, loops=loops, instruments=instruments, infer_orders=infer_orders)
    replay = Replay(group_by_venue(captures, venue), options)
    state_dir = Path(wire.feeder.state_dir or default_state_dir(os.environ))
    stop = threading.Event()
    before = [
        (number, signal.signal(number, lambda *_: stop.set())) for number in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        publisher = open_publisher(wire, dict.fromkeys(replay.channels, True), logged=False)
        summary = replay.run(publisher, state_dir=state_dir, publisher_id=secrets.randbits(63) + 1, stop=stop)
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    click.echo(json_line(summary) if as_json else as_text(summary))
    return 0 if summary.complete or loops == 0 else _EXIT_ABORTED


def as_text(summary: ReplaySummary) -> str:
    """What was replayed, and how the books ended."""
    frames = summary.publisher["frames"]
    lines = [f"{frames:,} frames in {summary.seconds:.1f} s" + ("" if summary.complete else ", ended early")]
    for venue in summary.venues:
        tally = venue.tally
        notices = "".join(f", {count:,} {kind}" for kind, count in sorted(tally.notices.items()))
        read = f"{tally.messages:,} messages, {tally.snapshots:,} REST books, {tally.skipped:,} other lines"
        read += f", {tally.passed_over:,} of other products" if tally.passed_over else ""
        lines.append(f"{venue.venue}: {read}{notices}")
        lines += [f"  {remark}" for remark in venue.remarks]
        for book in venue.books:
            size = f"{book.bids:,} bids {book.asks:,} asks"
            state = f"{book.state}: {book.why}," if book.why else book.state
            lines.append(f"  {book.symbol} {state} {size} id {book.source_seq} hash {book.hash:016x}")
    return "\n".join(lines)
