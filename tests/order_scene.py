"""What the tests of orders from a stand-in to a consumer share."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from conftest import ROOT
from feeder_scene import Wire
from outcrier.capture.answering import Emission
from outcrier.capture.format import encode_line
from outcrier.capture.stand_in import StandIn
from outcrier.config import Config
from outcrier.orders import ORDER_OP, Op, OrderBook, Side
from outcrier.venues.base import Venue
from outcrier.venues.exchange_side import Client

DOCUMENTED = ROOT / "rust_core" / "core" / "tests" / "documented"
SIGNS_WITH = base64.b64encode(b"what the account signs with").decode()

ORDER_OPS, ORDER_SNAPSHOT = 0x18, 0x19
_STEP_NS = 1_000_000


def documented(name: str) -> Any:
    return json.loads((DOCUMENTED / name).read_text())


def heard_by(
    venue: Venue, monkeypatch: pytest.MonkeyPatch, *, tokens_end: bool = False
) -> list[dict[str, Any]]:
    """What clients say to the exchange; where `tokens_end` it takes one subscription with each token."""
    said: list[dict[str, Any]] = []
    answer = venue.exchange.on_text

    def on_text(client: Client, text: str) -> list[str]:
        token = json.loads(text).get("params", {}).get("token")
        is_known = any(token and token == each["params"].get("token") for each in said if "params" in each)
        said.append(json.loads(text))
        if tokens_end and is_known and said[-1]["method"] == "subscribe":
            return ['{"method":"subscribe","success":false,"error":"ESession:Invalid session"}']
        return answer(client, text)

    monkeypatch.setitem(vars(venue.exchange), "on_text", on_text)
    return said


def captured(folder: Path, url: str, messages: Sequence[str]) -> Path:
    """Messages as a recording."""
    path = folder / "documented.jsonl"
    lines = [encode_line(1 + at * _STEP_NS, "recv", url, text.encode()) for at, text in enumerate(messages)]
    path.write_bytes(b"".join(lines))
    return path


def hold(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, count: int, wire: Wire, holds: Mapping[int, int]
) -> None:
    """After so many messages nothing more is played until consumers have had so many whole books of orders;
    after the last one, nothing at all.
    """
    emit = stand_in._emit
    played = 0

    async def held(emission: Emission) -> float:
        nonlocal played
        seconds = await emit(emission)
        began = asyncio.get_running_loop().time()
        played += 1
        while played == count or len(heard(wire).wholes) < holds.get(played, 0):  # noqa: ASYNC110 - frames tell nobody
            await asyncio.sleep(0.01)
        return seconds + asyncio.get_running_loop().time() - began

    monkeypatch.setattr(stand_in, "_emit", held)


def with_account(
    config: Config, venue: str, folder: Path, channels: tuple[str, ...], phrase: str = "", **more: Any
) -> Config:
    key = folder / "account.key"
    key.write_text(f"key = TheKey\nsecret = {SIGNS_WITH}\n" + (f"passphrase = {phrase}\n" if phrase else ""))
    key.chmod(0o600)
    known = config.venues[venue]
    changed = msgspec.structs.replace(known, channels=channels, key_file=str(key), **more)
    return msgspec.structs.replace(config, venues={venue: changed})


class Consumer:
    """What a consumer makes of the frames: its orders after each event, by `outcrier.orders`."""

    def __init__(self) -> None:
        self.book = OrderBook()
        self.ops: list[list[Op]] = []
        self.wholes: list[int] = []
        self._whole: list[tuple[Any, ...]] = []

    def hear(self, frames: Sequence[dict[str, Any]]) -> None:
        for frame in frames:
            if frame["msg_type"] == ORDER_OPS:
                rows = [tuple(row[name] for name in ORDER_OP.names or ()) for row in frame["records"]]
                assert self._apply(rows, frame["exchange_ts"]) == []
                self.ops.append([Op(row["op"]) for row in frame["records"]])
            elif frame["msg_type"] == ORDER_SNAPSHOT:
                root = frame["root"]
                for at, row in enumerate(frame["records"]):
                    side = Side.BID if at < root["n_bids"] else Side.ASK
                    known = (row["order_id"], row["price"], row["qty"], 0, row["priority"])
                    self._whole.append((*known, Op.ADD, side, row["order_flags"], 0))
                if root["frag_index"] + 1 == root["frag_count"]:
                    self.book.clear()
                    assert self._apply(self._whole, frame["exchange_ts"]) == []
                    assert self.book.checksum == root["book_checksum"]
                    self.wholes.append(len(self._whole))
                    self._whole = []

    def _apply(self, rows: list[tuple[Any, ...]], ts: int) -> list[Any]:
        return self.book.apply(np.array(rows, ORDER_OP), np.full(len(rows), ts, np.int64))

    def orders(self) -> list[tuple[int, int]]:
        """(price, quantity), bids then asks, each from the front of its queue."""
        return [(int(row["price"]), int(row["qty"])) for row in self.book.orders()]


def heard(wire: Wire) -> Consumer:
    wire.hear()
    consumer = Consumer()
    consumer.hear(wire.incremental())
    return consumer
