"""ccxt pro's own message handlers of Binance: orjson, dicts, `float`, bisect lists."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import ccxt.pro
from ccxt.async_support.base.ws.client import Client

from benchmarks.messages import Books, MessageSet, scaled_book

KINDS = {
    "binance": ("binance", "wss://stream.binance.com/ws", "spot"),
    "binance_coinm": ("binancecoinm", "wss://dstream.binance.com/ws", "swap"),
    "binance_usdm": ("binanceusdm", "wss://fstream.binance.com/ws", "swap"),
}
"""Class, URL and kind of market of a venue."""

LOOP = asyncio.new_event_loop()
"""It asks for one; nothing here waits for anything."""


class Handler:
    """The books of a message set."""

    def __init__(self, messages: MessageSet) -> None:
        asyncio.set_event_loop(LOOP)  # A runner that ended before left none.
        name, url, market = KINDS[messages.venue]
        exchange: Any = getattr(ccxt.pro, name)({"asyncio_loop": LOOP})
        listed = [
            exchange.safe_market_structure(
                {"id": symbol, "symbol": symbol, "type": market, market: True, "contract": market == "swap"}
            )
            for symbol in messages.snapshots
        ]
        exchange.set_markets(listed)
        for symbol, body in messages.snapshots.items():
            answer = json.loads(body)
            book = exchange.order_book({}, None)
            book.reset(exchange.parse_order_book(answer, symbol))
            book["nonce"] = answer["lastUpdateId"]
            exchange.orderbooks[symbol] = book
        self.exchange = exchange
        self.client: Any = Client(url, exchange.handle_message, print, print, print)
        self.messages = [message.decode() for message in messages.messages]

    def run(self) -> None:
        handle = self.client.handle_text_or_binary_message
        for message in self.messages:
            handle(message)

    def books(self) -> Books:
        return {
            symbol: scaled_book(book["bids"], book["asks"])
            for symbol, book in self.exchange.orderbooks.items()
        }
