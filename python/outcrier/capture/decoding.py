"""Recorded messages through the venue's declared shapes, as events."""

from __future__ import annotations

from typing import Any, Final

from outcrier import _core
from outcrier.venues import Venue

CONNECTION: Final = 1
"""All captures of a venue are one connection: two files of one session follow each other without a gap."""


class Shapes:
    """A decoder of a venue that takes the digits it meets."""

    def __init__(self, venue: Venue) -> None:
        self._decoder = _core.Decoder(venue.shapes_json)
        self._symbols: list[str] = []

    def add(self, symbol: str, price_exp: int = 0, qty_exp: int = 0) -> None:
        """An instrument, by its native symbol. Exponents that are too coarse become finer by themselves."""
        if symbol not in self._symbols:
            self._decoder.add(symbol, price_exp, qty_exp)
            self._symbols.append(symbol)

    def scale(self, symbol: str) -> tuple[int, int]:
        """Exponents of price and quantity now."""
        return self._decoder.scale(self._symbols.index(symbol))

    def books(self, data: bytes, symbol: str) -> list[dict[str, Any]] | None:
        """Changes and whole books of `symbol` in a frame; None for one that cannot be read."""
        return self._books(self._finest(lambda: self._decoder.decode(CONNECTION, data)), symbol)

    def rest_book(self, body: bytes, symbol: str) -> list[dict[str, Any]] | None:
        """The same for the answer to a request for its book."""
        index = self._symbols.index(symbol)
        return self._books(self._finest(lambda: self._decoder.decode_snapshot(index, body)), symbol)

    @property
    def shape(self) -> str | None:
        """Name of the shape that took the last frame."""
        return self._decoder.shape

    def _finest(self, decode: Any) -> int:
        outcome: int = decode()
        while outcome == _core.Decoder.NEEDS_FINER and (finer := self._decoder.finer) is not None:
            self._decoder.set_scale(*finer)
            outcome = decode()
        return outcome

    def _books(self, outcome: int, symbol: str) -> list[dict[str, Any]] | None:
        if outcome == _core.Decoder.FAULT:
            return None
        if outcome != _core.Decoder.HANDLED:
            return []
        index = self._symbols.index(symbol)
        return [
            event
            for event in self._decoder.events()
            if event["type"] == "book" and event["instrument"] == index
        ]
