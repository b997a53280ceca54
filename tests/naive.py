"""A venue's books in forty plain lines: what every fast path is compared with.

Decodes with `json`, keeps prices as `decimal.Decimal` in dicts, follows Binance's two documented sequence
rules.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Levels = dict[Decimal, Decimal]


@dataclass
class NaiveBook:
    """One book; `chain` picks the rule of the futures (`pu`), else that of spot (`U`)."""

    chain: bool
    bids: Levels = field(default_factory=dict)
    asks: Levels = field(default_factory=dict)
    held: list[dict[str, Any]] | None = field(default_factory=list)
    last: int = 0
    spliced: bool = False
    gaps: int = 0

    def snapshot(self, body: str) -> None:
        message = json.loads(body)
        self.bids, self.asks = {}, {}
        self._set(message["bids"], message["asks"])
        self.last, held, self.held = message["lastUpdateId"], self.held or [], None
        for diff in held:
            self.diff(diff)

    def diff(self, message: dict[str, Any]) -> None:
        if self.held is not None:
            self.held.append(message)
        elif not self.spliced and message["u"] < self.last + (0 if self.chain else 1):
            pass
        else:
            if self.spliced:
                self.gaps += message["pu"] != self.last if self.chain else message["U"] > self.last + 1
            self._set(message["b"], message["a"])
            self.spliced, self.last = True, message["u"]

    def _set(self, bids: list[list[str]], asks: list[list[str]]) -> None:
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, qty in levels:
                side.pop(Decimal(price), None)
                if Decimal(qty):
                    side[Decimal(price)] = Decimal(qty)

    def sides(self) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        """(bids, asks), best first."""
        return sorted(self.bids.items(), reverse=True), sorted(self.asks.items())
