"""1,000 full-depth books in one feed: what they take, told as JSON. A program that test_sizes.py runs.

Each book is that of the deepest message set: its whole REST book, then all its diffs, under a symbol of
its own.
"""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import msgspec

from benchmarks.messages import answer_of, message_set
from benchmarks.ours import CONNECTION, OurFeed, instruments, our_feed
from outcrier import _core
from outcrier.capture.library import data_folder
from outcrier.instruments import to_core_kwargs

BOOKS = 1_000
SET = "USD-M 2024"
SYMBOL = "BTCUSDT"
NAMED = b'"s":"BTCUSDT"'


def resident_bytes() -> int:
    """Memory of this process that is in use."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    folder = data_folder()
    assert folder is not None
    messages = message_set(folder, SET)
    (listed,) = instruments(folder, messages)
    snapshot = messages.snapshots[SYMBOL]
    diffs = [message for message in messages.messages if b"depthUpdate" in message]
    expected = messages.answer
    before = resident_bytes()
    ours = our_feed(messages, [], _core.Publisher.memory())
    feed = ours.feed
    for number in range(BOOKS):
        name = f"BTC{number:06}"
        instrument = msgspec.structs.replace(listed, native_symbol=name, symbol=f"B{number}/USDT")
        index = feed.add_instrument(**to_core_kwargs(instrument, number + 1))
        feed.on_snapshot(index, snapshot)
        new_name = NAMED.replace(SYMBOL.encode(), name.encode())
        for diff in diffs:
            feed.on_frame(CONNECTION, diff.replace(NAMED, new_name, 1))
        ours.publisher.take()
        feed.notices()
    used = resident_bytes() - before
    hashes = {feed.book_hash(index) for index in range(BOOKS)}
    last = OurFeed(feed, ours.publisher, {SYMBOL: BOOKS - 1})
    bids, asks = last.books()[SYMBOL]
    assert len(hashes) == 1
    assert answer_of(last.books()) == expected
    print(json.dumps({"mib": used / 2**20, "levels_a_book": len(bids) + len(asks)}))


if __name__ == "__main__":
    main()
