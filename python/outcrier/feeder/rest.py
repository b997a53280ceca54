"""The REST side of one venue: requests under its weight budget, the instrument list."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from outcrier.clock import mono_ns
from outcrier.feeder.backoff import SECOND_NS
from outcrier.feeder.connection import RATE_LIMITED_WAIT_NS
from outcrier.feeder.http import HttpClient
from outcrier.feeder.snapshots import WeightPool
from outcrier.feeder.tap import Tap
from outcrier.feeder.transport import Reason, TransportError
from outcrier.instruments import Catalogue
from outcrier.venues.base import Fault, HttpRequest, Venue

LIST_ANSWERS_MAX: Final = 200
"""Answers of one instrument list; the longest known (Bybit options, 500 an answer) has some ten."""


@dataclass(frozen=True, slots=True)
class InstrumentList:
    """The venue's list as read, and the entries that cannot be used."""

    catalogue: Catalogue
    faults: tuple[Fault, ...]

    def is_gone(self, native_symbol: str) -> bool:
        """Whether the list no longer names the instrument, not even in an entry that cannot be used."""
        return self.catalogue.by_native(native_symbol) is None and not any(
            f'"{native_symbol}"' in fault.text for fault in self.faults
        )


class VenueRest:
    """Runs a venue's requests. Its errors are TransportError."""

    def __init__(
        self, venue: Venue, base_url: str, http: HttpClient, pool: WeightPool, tap: Tap | None = None
    ) -> None:
        """`base_url` replaces the venue's own unless it is empty; `tap` is told every answer."""
        self._venue = venue
        self._base_url = (base_url or venue.rest_url).rstrip("/")
        self._http = http
        self._pool = pool
        self._tap = tap

    async def get(self, request: HttpRequest) -> bytes:
        """The body of an answer. The caller took the request's weight; what the venue counts is noted."""
        url = self._base_url + request.target
        try:
            answer = await self._http.get(url)
        except TransportError as error:
            if error.reason is Reason.RATE_LIMITED:
                wait_ns = int(error.retry_after_s * SECOND_NS) or RATE_LIMITED_WAIT_NS
                self._pool.block(mono_ns() + wait_ns)
            raise
        if self._tap is not None:
            self._tap.answered(self._venue, url, answer.body)
        used = answer.headers.get(self._venue.limits.weight_header, "")
        if used.isdecimal() and used.isascii():
            self._pool.observed(mono_ns(), int(used[:9]))
        return answer.body

    async def instruments(self) -> InstrumentList:
        """The instrument list, page by page, as the weight budget allows it."""
        bodies: list[bytes] = []
        for first in self._venue.instruments_requests():
            request: HttpRequest | None = first
            while request is not None:
                if len(bodies) >= LIST_ANSWERS_MAX:
                    raise self._unusable(f"it has over {LIST_ANSWERS_MAX} answers")
                await self._afford(request.weight)
                bodies.append(await self.get(request))
                request = self._venue.next_page(request, bodies[-1])
        instruments, faults = self._venue.parse_instruments(*bodies)
        if not instruments:
            why = faults[0].reason if faults else "it is empty"
            raise self._unusable(why)
        return InstrumentList(Catalogue(self._venue.name, instruments), tuple(faults))

    def _unusable(self, why: str) -> TransportError:
        return TransportError(self._base_url, Reason.PROTOCOL, f"no usable instrument list: {why}")

    async def _afford(self, weight: int) -> None:
        while again_ns := self._pool.take(mono_ns(), weight):  # noqa: ASYNC110 - it is a time
            await asyncio.sleep(max(0, again_ns - mono_ns()) / SECOND_NS)
