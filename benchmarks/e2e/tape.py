"""The messages of the end-to-end rows: COIN-M 2021, book diffs that chain after their snapshot, and trades.

1,839 messages, 326 bytes and 7.6 level updates on average. A run needs more than the 30 s that were recorded, so the tape
is laid end to end: in every lap after the first the update ids of an instrument are shifted by what it advanced in a lap,
which keeps the chain (`pu` = `u` before) and, at these ids, the length of every message. Levels are absolute, so the floor
and the feed do the same work in every lap; the books that come out are those of the naive model on the same tape.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from outcrier.capture.format import read_capture

CAPTURE = "captures/binance_coinm/coinm_2021-07-22.jsonl.gz"
"""Below the folder of recorded messages."""

FLOOR_LINES_MAX = 20_000
"""The floor's driver keeps this many messages; with a higher count it begins anew."""

Side = dict[Decimal, Decimal]


@dataclass(frozen=True)
class _Diff:
    text: str
    symbol: str
    message: dict[str, Any]


class Tape:
    """The recorded messages and books; `lap` gives them with ids that continue the lap before."""

    def __init__(self, capture: Path) -> None:
        """Raises ValueError if the capture is not the one described above."""
        lines = list(read_capture(capture))
        self.snapshots: dict[str, dict[str, Any]] = {}
        for line in lines:
            if line.kind == "http":
                book = json.loads(line.text or "")
                self.snapshots.setdefault(book["symbol"], book)
        self._messages: list[str | _Diff] = []
        last: dict[str, int] = {}
        first: dict[str, int] = {}
        for line in lines:
            if line.kind != "recv" or line.text is None:
                continue
            envelope = json.loads(line.text)
            data = envelope["data"]
            if "@aggTrade" in envelope["stream"]:
                self._messages.append(line.text)
            elif "@depth" in envelope["stream"]:
                symbol = data["s"]
                if symbol in last:
                    if data["pu"] != last[symbol]:
                        raise ValueError(f"{capture}: {symbol} does not chain at {data['u']}")
                elif data["u"] < self.snapshots[symbol]["lastUpdateId"]:
                    continue
                first.setdefault(symbol, data["pu"])
                last[symbol] = data["u"]
                self._messages.append(_Diff(line.text, symbol, data))
        self._step = {symbol: last[symbol] - first[symbol] for symbol in last}

    def __len__(self) -> int:
        return len(self._messages)

    def lap(self, number: int) -> Iterator[str]:
        """The messages of a lap, from 0."""
        for each in self._messages:
            if isinstance(each, str) or number == 0:
                yield each if isinstance(each, str) else each.text
                continue
            shift = number * self._step[each.symbol]
            text = each.text
            for key in ("U", "u", "pu"):
                old = f'"{key}":{each.message[key]},'
                if text.count(old) != 1:
                    raise ValueError(f"{old} is not once in {text[:200]}")
                text = text.replace(old, f'"{key}":{each.message[key] + shift},')
            yield text

    def write(self, path: Path, count: int) -> None:
        """The first `count` messages, one a line."""
        with path.open("w", encoding="utf-8") as file:
            left = count
            for number in range(-(-count // len(self))):
                texts = [text for text, _ in zip(self.lap(number), range(left), strict=False)]
                file.writelines(f"{text}\n" for text in texts)
                left -= len(texts)

    def write_snapshots(self, path: Path) -> None:
        """The books before the first message, in the form that the floor reads."""
        books = [
            {"s": symbol, "bids": book["bids"], "asks": book["asks"]}
            for symbol, book in self.snapshots.items()
        ]
        path.write_text("".join(f"{json.dumps(book)}\n" for book in books), encoding="utf-8")

    def books(self, count: int) -> dict[str, tuple[Side, Side]]:
        """(bids, asks) of each native symbol after the first `count` messages, by dicts of decimals.

        Only the last whole lap and what follows it is applied beside the snapshot's levels that no lap touches: a lap
        sets the same levels to the same quantities as the lap before.
        """
        sides = {
            symbol: tuple(
                {Decimal(price): Decimal(qty) for price, qty in book[side]} for side in ("bids", "asks")
            )
            for symbol, book in self.snapshots.items()
        }
        laps, rest = divmod(count, len(self))
        for each in [*(self._messages if laps else []), *self._messages[:rest]]:
            if isinstance(each, str):
                continue
            for side, key in zip(sides[each.symbol], ("b", "a"), strict=True):
                for price, qty in each.message[key]:
                    side.pop(Decimal(price), None)
                    if Decimal(qty):
                        side[Decimal(price)] = Decimal(qty)
        return {symbol: (bids, asks) for symbol, (bids, asks) in sides.items()}
