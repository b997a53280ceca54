"""cryptofeed's own message handlers of Binance: yapic.json, Decimal, its C order book, a callback a message.

It subscribes aggregate trades; the single trades of the captures of 2024 it only looks at.
"""

from __future__ import annotations

import asyncio
import json
import logging
from decimal import Decimal
from typing import Any

from cryptofeed.defines import L2_BOOK, TRADES
from cryptofeed.exchanges import Binance, BinanceDelivery, BinanceFutures
from cryptofeed.symbols import Symbols
from cryptofeed.types import OrderBook

from benchmarks.messages import Books, MessageSet, scaled_book

FEEDS = {"binance": Binance, "binance_coinm": BinanceDelivery, "binance_usdm": BinanceFutures}

RUNNER = asyncio.Runner()
"""One loop for every pass: to make one is no part of a message."""


class Handler:
    """The books of a message set."""

    def __init__(self, messages: MessageSet) -> None:
        logging.getLogger("feedhandler").setLevel(logging.ERROR)
        kind = FEEDS[messages.venue]
        Symbols.set(kind.id, {symbol: symbol for symbol in messages.snapshots}, {})
        self.messages = [message.decode() for message in messages.messages]
        self.called = 0
        self.feed: Any = kind(callbacks={L2_BOOK: self.on_update, TRADES: self.on_update})
        for symbol, body in messages.snapshots.items():
            # As its `_snapshot` does with the answer.
            answer = json.loads(body)
            bids, asks = (
                {Decimal(price): Decimal(qty) for price, qty in answer[side]} for side in ("bids", "asks")
            )
            self.feed._l2_book[symbol] = OrderBook(self.feed.id, symbol, max_depth=0, bids=bids, asks=asks)
            self.feed.last_update_id[symbol] = answer["lastUpdateId"]

    async def on_update(self, _update: object, _receipt: float) -> None:
        """What a user's callback would be."""
        self.called += 1

    def run(self) -> None:
        RUNNER.run(self.all_messages())

    async def all_messages(self) -> None:
        handle = self.feed.message_handler
        for message in self.messages:
            await handle(message, None, 0.0)

    def books(self) -> Books:
        return {
            symbol: scaled_book(*(list(side.to_dict().items()) for side in (book.book.bids, book.book.asks)))
            for symbol, book in self.feed._l2_book.items()
        }
