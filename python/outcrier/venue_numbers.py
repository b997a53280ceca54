"""The venues by name and by the number they carry on the wire.

Feeders write the number into every frame and consumers read it back; neither imports the other, so the table
lives here. A number is for life: it is never given to another venue.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final, NamedTuple

from outcrier.errors import ConfigurationError


class Entry(NamedTuple):
    """A venue's line of the table."""

    number: int
    exchange: str
    """As the text lines name it."""
    product: str
    """The same."""


TABLE: Final[dict[str, Entry]] = {
    "binance": Entry(1, "BINANCE", "spot"),
    "binance_usdm": Entry(2, "BINANCE", "usdm"),
    "binance_coinm": Entry(3, "BINANCE", "coinm"),
    "binance_us": Entry(4, "BINANCE_US", "spot"),
    "binance_tr": Entry(5, "BINANCE_TR", "spot"),
    "bybit": Entry(6, "BYBIT", "spot"),
    "bybit_linear": Entry(7, "BYBIT", "linear"),
    "bybit_inverse": Entry(8, "BYBIT", "inverse"),
    "bybit_option": Entry(9, "BYBIT", "option"),
    "bybit_v2": Entry(10, "BYBIT", "linear_v2"),
    "okx": Entry(11, "OKX", "spot"),
    "okx_swap": Entry(12, "OKX", "swap"),
    "okx_futures": Entry(13, "OKX", "futures"),
    "okx_option": Entry(14, "OKX", "option"),
    "okcoin": Entry(15, "OKCOIN", "spot"),
    "coinbase": Entry(16, "COINBASE", "advanced"),
    "coinbase_exchange": Entry(17, "COINBASE", "exchange"),
    "deribit": Entry(18, "DERIBIT", "all"),
    "upbit": Entry(19, "UPBIT", "spot"),
    "bithumb": Entry(20, "BITHUMB", "spot"),
    "bithumb_legacy": Entry(21, "BITHUMB", "spot_legacy"),
    "kraken": Entry(22, "KRAKEN", "spot"),
    "kraken_v1": Entry(23, "KRAKEN", "spot_v1"),
    "kraken_futures": Entry(24, "KRAKEN", "futures"),
    # Numbers of venues to come: their files then need no line here.
    "bitfinex": Entry(25, "BITFINEX", "spot"),
    "bitget": Entry(26, "BITGET", "spot"),
    "bitget_mix": Entry(27, "BITGET", "mix"),
    "gateio": Entry(28, "GATEIO", "spot"),
    "gateio_futures": Entry(29, "GATEIO", "futures"),
    "htx": Entry(30, "HTX", "spot"),
    "htx_swap": Entry(31, "HTX", "swap"),
    "hyperliquid": Entry(32, "HYPERLIQUID", "all"),
    "kucoin": Entry(33, "KUCOIN", "spot"),
    "kucoin_futures": Entry(34, "KUCOIN", "futures"),
    "mexc": Entry(35, "MEXC", "spot"),
    "mexc_futures": Entry(36, "MEXC", "futures"),
    "dydx": Entry(37, "DYDX", "perpetual"),
    "evm_dex": Entry(38, "EVM", "pools"),
    "gemini": Entry(39, "GEMINI", "spot"),
    "bitmex": Entry(40, "BITMEX", "all"),
    "bitstamp": Entry(41, "BITSTAMP", "spot"),
    "phemex": Entry(42, "PHEMEX", "all"),
    "ls": Entry(43, "LS", "stocks"),
    "zerodha": Entry(44, "ZERODHA", "stocks"),
    "okx_2022": Entry(45, "OKX", "all_2022"),
    "sim": Entry(126, "SIM", "simulation"),
}
"""Venues by name; a number that is given may still wait for its connector (`outcrier venues`)."""

VENUE_NUMBERS: Final[dict[str, int]] = {name: entry.number for name, entry in TABLE.items()}
"""Wire `venue` by venue name; also the default channel of a venue published by its own process."""

VENUE_NAMES: Final[dict[int, str]] = {number: name for name, number in VENUE_NUMBERS.items()}
"""Venue name by wire `venue`."""


def venue_number(name: str) -> int:
    """Wire number of the venue `name`. Raises ConfigurationError, with the names there are, for others."""
    number = VENUE_NUMBERS.get(name)
    if number is None:
        near = get_close_matches(name, VENUE_NUMBERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(f"unknown venue {name!r}: venues are {', '.join(VENUE_NUMBERS)}{hint}")
    return number


def venue_name(number: int) -> str:
    """Name of the venue with wire number `number`; a number this build does not know comes back as its
    decimal text.
    """
    return VENUE_NAMES.get(number, str(number))
