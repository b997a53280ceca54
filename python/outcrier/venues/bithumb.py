"""Bithumb (Korea), spot, by its socket of 2024, whose protocol is Upbit's with differences.

Rules are those of the documentation as of 2026-10. There is no recording of it: what is declared here is
held to the documentation alone. Public data are v1; a public v2 does not exist.

Unlike Upbit: flags are in camel case, codes carry no depth, books are grouped by 1 where nothing is asked
(Upbit: by 0), dates and times as text are Korean (not read here: each message has milliseconds too), ids of
trades are unique and in no order, there are no candles, and ticks follow the price by a table that no
request answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from outcrier.shapes import AnyShape
from outcrier.venues.base import Channel, HttpRequest, Keepalive, Limits
from outcrier.venues.codes import LONG_NAMES, CodesExchange, CodesVenue, shapes_of

_SHAPES: Final[tuple[AnyShape, ...]] = shapes_of("default", LONG_NAMES)


class Bithumb(CodesVenue):
    """Asked for in the form DEFAULT, whose names alone are documented for books."""

    name = "bithumb"
    ws_url = "wss://ws-api.bithumb.com"
    rest_url = "https://api.bithumb.com"
    ws_hosts = frozenset({"ws-api.bithumb.com"})
    rest_hosts = frozenset({"api.bithumb.com"})
    shapes = _SHAPES
    form = "DEFAULT"
    limits = Limits(
        messages_per_s=5.0,  # None is documented.
        connects=10,
        connects_window_s=1.0,  # Who goes on is shut out for ten minutes.
        weight_per_minute=9000,
        weight_pool="bithumb",
    )
    keepalive = Keepalive(
        ping_every_s=0.0,
        pong_within_s=0.0,
        client_ping="PING",
        client_ping_every_s=60.0,  # Cut after about 120 s without traffic.
        expected_silence_s=15.0,
        lifetime_s=0.0,
    )
    channels: Mapping[str, Channel] = {
        channel.name: channel
        for channel in (Channel(name="orderbook", book=True), Channel(name="trade"), Channel(name="ticker"))
    }
    default_channels = ("orderbook", "trade", "ticker")
    captures = ()
    instrument_lists = ()
    documentation = "2026-10"
    only_realtime = "isOnlyRealtime"
    list_request = HttpRequest("/v1/market/all", (("isDetails", "true"),))

    def __init__(self) -> None:
        self.exchange = CodesExchange(self)


BITHUMB: Final = Bithumb()

VENUES: Final = (BITHUMB,)
