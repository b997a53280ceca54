"""Orders that a venue tells, from a local stand-in of the exchange to a consumer's book: Kraken's level3 and
Coinbase Exchange's full, by the messages that their documentation prints.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import re
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from conftest import ROOT
from feeder_scene import Wire, config_of, is_live, play, until
from outcrier.capture.faults import Fault
from outcrier.capture.format import encode_line
from outcrier.capture.record import Limits, record
from outcrier.capture.stand_in import StandIn
from outcrier.config import Config
from outcrier.feeder.service import FeederService
from outcrier.orders import ORDER_OP, Op, OrderBook, Side
from outcrier.venues import VENUES, kraken_level3
from test_feeder_resync import heard_by

DOCUMENTED = ROOT / "rust_core" / "core" / "tests" / "documented"
ORDER_OPS, ORDER_SNAPSHOT = 0x18, 0x19
STEP_NS = 60_000_000
SIGNS_WITH = base64.b64encode(b"what the account signs with").decode()

KRAKEN_BOOK = (
    '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[],"asks":[],"checksum":0}]}'
)
FILLED = "OTCFZG-YOE2Q-LQKNM3"
"""The first bid of the guide."""


def documented(name: str) -> Any:
    return json.loads((DOCUMENTED / name).read_text())


def captured(folder: Path, url: str, messages: Sequence[tuple[int, str]]) -> Path:
    """Messages, each so many steps after the start, as a recording."""
    path = folder / "documented.jsonl"
    path.write_bytes(
        b"".join(encode_line(1 + at * STEP_NS, "recv", url, text.encode()) for at, text in messages)
    )
    return path


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


# Kraken.


class Book:
    """The guide's orders as texts, which the test changes by hand."""

    def __init__(self) -> None:
        (data,) = documented("kraken_level3_guide.json")["data"]
        self.sides: dict[str, list[dict[str, str]]] = {side: data[side] for side in ("bids", "asks")}

    def find(self, order_id: str) -> dict[str, str]:
        return next(row for side in self.sides.values() for row in side if row["order_id"] == order_id)

    def checksum(self) -> int:
        rows = [*self.sides["asks"], *self.sides["bids"]]
        texts = [
            row[key].replace(".", "").lstrip("0") for row in rows for key in ("limit_price", "order_qty")
        ]
        return zlib.crc32("".join(texts).encode())

    def message(self, kind: str, checksum: int | None = None, **sides: list[dict[str, str]]) -> str:
        data: dict[str, Any] = {"symbol": "BTC/USD", "bids": [], "asks": [], **sides}
        data["checksum"] = self.checksum() if checksum is None else checksum
        text = json.dumps({"channel": "level3", "type": kind, "data": [data]})
        return re.sub(r'"(limit_price|order_qty)": "([0-9.]+)"', r'"\1":\2', text)

    def mantissas(self) -> list[tuple[int, int]]:
        rows = [*self.sides["bids"], *self.sides["asks"]]
        return [
            (int(Decimal(row["limit_price"]).scaleb(1)), int(Decimal(row["order_qty"]).scaleb(8)))
            for row in rows
        ]


def kraken_messages() -> tuple[list[tuple[int, str]], Book]:
    book = Book()
    messages = [
        (0, KRAKEN_BOOK),
        (1, book.message("snapshot", bids=book.sides["bids"], asks=book.sides["asks"])),
    ]
    filled = book.find(FILLED)
    filled["order_qty"] = "0.50000000"
    messages.append((2, book.message("update", bids=[{"event": "modify", **filled}])))
    added = {**filled, "order_id": "ONEW11-AAAAA-BBBBBB", "timestamp": "2024-01-08T12:26:50.000000000Z"}
    book.sides["bids"].insert(8, added)
    messages.append((3, book.message("update", bids=[{"event": "add", **added}])))
    # The exchange takes an order out, and its message has another checksum.
    gone = book.sides["asks"].pop(0)
    messages.append((4, book.message("update", checksum=1, asks=[{"event": "delete", **gone}])))
    gone = book.sides["asks"].pop(0)
    messages.append((25, book.message("update", asks=[{"event": "delete", **gone}])))
    messages += [(at, '{"channel":"heartbeat"}') for at in range(26, 120)]
    return messages, book


@asynccontextmanager
async def rest_of(stand_in: StandIn, *, is_right: bool = True) -> AsyncIterator[tuple[str, list[str]]]:
    """Kraken's REST: its lists, and tokens for who signs as the documentation says."""
    posted: list[str] = []

    def answer(method: str, target: str, headers: dict[str, str], body: str) -> str:
        if method == "GET":
            return stand_in.exchange.rest(target, 0.0).body
        posted.append(body)
        nonce = body.removeprefix("nonce=")
        digest = target.encode() + hashlib.sha256((nonce + body).encode()).digest()
        proof = hmac.new(base64.b64decode(SIGNS_WITH), digest, hashlib.sha512).digest()
        signed = (headers["api-key"], headers["api-sign"]) == ("TheKey", base64.b64encode(proof).decode())
        assert target == "/0/private/GetWebSocketsToken"
        assert signed
        if not is_right:
            return '{"error":["EAPI:Invalid key"]}'
        return json.dumps({"error": [], "result": {"token": f"TheToken{len(posted)}", "expires": 900}})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
        method, target, _ = lines[0].split(" ")
        text = answer(method, target, headers, body).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", posted


@pytest.fixture
def quick_level3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages of level3 leave at the rate of the others: a message a second is what tests/test_account.py
    holds the planner to.
    """
    monkeypatch.setattr(
        kraken_level3, "limits", lambda limits: msgspec.structs.replace(limits, messages_per_s=50.0)
    )


@pytest.mark.usefixtures("quick_level3")
def test_krakens_orders_reach_a_consumer_and_are_asked_for_again_where_they_are_wrong(
    tmp_path: Path, runner: asyncio.Runner, caplog: pytest.LogCaptureFixture
) -> None:
    messages, book = kraken_messages()
    wire = Wire()
    caplog.set_level("INFO")

    async def run() -> None:
        path = captured(tmp_path, "wss://ws.kraken.com/v2", messages)
        async with StandIn(VENUES["kraken"], [path]) as stand_in, rest_of(stand_in) as (rest_url, posted):
            said = heard_by(stand_in)

            async def scene(service: FeederService) -> None:
                session = None
                await until(lambda: is_live(service), "live")
                session = service.venue("kraken")._session
                assert session is not None
                await until(lambda: heard(wire).orders() == book.mantissas(), "the orders of the exchange")
                assert session.orders.live == {0}
                assert session.orders.asked_again == 1

            config = config_of([stand_in], tmp_path)
            config = with_account(config, "kraken", tmp_path, ("book", "level3"), rest_url=rest_url)
            await play(config, wire, scene)
            level3 = [json.loads(text) for text in said if "level3" in text]
            assert [each["method"] for each in level3] == ["subscribe", "unsubscribe", "subscribe"]
            assert {each["params"]["token"] for each in level3} == {"TheToken1"}
            assert not any("token" in text for text in said if "level3" not in text)
            assert len(posted) == 1

    runner.run(run())
    consumer = heard(wire)
    # All orders, then none of them, then those of the new subscription.
    assert consumer.wholes == [35, 0, 35]
    assert consumer.ops == [[Op.MODIFY_KEEP], [Op.ADD], [Op.DELETE]]
    told = caplog.text
    assert "orders: the checksum differs: 1 was sent" in told
    assert not any(secret in told for secret in ("TheToken", "TheKey", SIGNS_WITH))


@pytest.mark.usefixtures("quick_level3")
def test_an_account_that_is_refused_costs_the_orders_alone(
    tmp_path: Path, runner: asyncio.Runner, caplog: pytest.LogCaptureFixture
) -> None:
    messages, _ = kraken_messages()
    wire = Wire()
    caplog.set_level("INFO")

    async def run() -> None:
        path = captured(tmp_path, "wss://ws.kraken.com/v2", messages)
        async with (
            StandIn(VENUES["kraken"], [path]) as stand_in,
            rest_of(stand_in, is_right=False) as (rest_url, posted),
        ):

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                await until(
                    lambda: "EAPI:Invalid key" in service.status()[0].last_error, "the refusal is told"
                )
                assert service.status()[0].live == 1

            config = config_of([stand_in], tmp_path)
            config = with_account(config, "kraken", tmp_path, ("book", "level3"), rest_url=rest_url)
            await play(config, wire, scene)
            assert posted

    runner.run(run())
    assert heard(wire).wholes == []
    assert not any(secret in caplog.text for secret in ("TheKey", SIGNS_WITH))


def test_a_recording_of_a_connection_has_no_token(
    tmp_path: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`outcrier record` listens in above what signs."""
    monkeypatch.setattr(kraken_level3, "limits", lambda limits: limits)
    messages, _ = kraken_messages()

    async def run() -> list[Path]:
        path = captured(tmp_path, "wss://ws.kraken.com/v2", messages)
        async with StandIn(VENUES["kraken"], [path]) as stand_in, rest_of(stand_in) as (rest_url, _):
            config = config_of([stand_in], tmp_path)
            config = with_account(config, "kraken", tmp_path, ("book", "level3"), rest_url=rest_url)
            recorded = await record(config, tmp_path / "recorded", Limits(seconds=1.5), stop=asyncio.Event())
            return [Path(file.path) for file in recorded.files]

    text = "".join(gzip.decompress(path.read_bytes()).decode() for path in runner.run(run()))
    assert '"k":"send"' in text
    assert "level3" in text
    assert not any(secret in text for secret in ("TheToken", "TheKey", SIGNS_WITH))


# Coinbase Exchange.

LEVELS = (
    '{"type":"snapshot","product_id":"BTC-USD","asks":[["80691.53","0.20084671"]],'
    '"bids":[["80688.08","0.59153273"]]}'
)
BID, ASK, LATE = (f"{letter * 8}-77a8-460a-b958-66f114b0de9b" for letter in "abc")


def full(name: str, sequence: int, **changes: Any) -> str:
    message = documented("coinbase_full.json")[name]
    return json.dumps({**message, "product_id": "BTC-USD", "sequence": sequence, **changes})


def coinbase_messages() -> list[tuple[int, str]]:
    texts = [
        LEVELS,
        full("open", 101, order_id=BID, side="buy", price="200.1", remaining_size="2"),
        full("received", 102),
        full("open", 103, order_id=ASK, price="200.2", remaining_size="1.5"),
    ]
    late = [
        full("match", 104, maker_order_id=ASK, size="0.5", price="200.2", trade_id=7),
        full("open", 105, order_id=LATE, price="200.2", remaining_size="3"),
        full("change", 106, order_id=LATE, new_size="2.5", price="200.2"),
        full("match", 107, maker_order_id=ASK, size="1", price="200.2", trade_id=8),
        full("done", 108, order_id=ASK),
        full("done", 109, order_id=BID, side="buy"),
    ]
    beats = [
        json.dumps({"type": "heartbeat", "product_id": "BTC-USD", "sequence": 109, "last_trade_id": 8})
        for _ in range(90)
    ]
    return [*enumerate(texts), *enumerate(late, 20), *enumerate(beats, 30)]


@pytest.mark.parametrize("is_lost", [False, True])
def test_coinbases_orders_join_the_answer_of_rest_and_a_gap_asks_anew(
    tmp_path: Path, runner: asyncio.Runner, is_lost: bool
) -> None:
    wire = Wire()

    async def run() -> None:
        path = captured(tmp_path, "wss://ws-feed.exchange.coinbase.com", coinbase_messages())
        # The fourth of the stream that is no match: the order that stays.
        faults = [Fault(kind="drop", at=4, streams="full:*")] if is_lost else []
        async with StandIn(VENUES["coinbase_exchange"], [path], faults=faults) as stand_in:
            said = heard_by(stand_in)

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                await until(
                    lambda: heard(wire).orders() == [(20_020, 250_000_000)], "the orders are the exchange's"
                )
                assert service.status()[0].gaps == int(is_lost)

            config = config_of([stand_in], tmp_path)
            channels = ("level2_batch", "full", "heartbeat")
            config = with_account(config, "coinbase_exchange", tmp_path, channels, "ThePhrase")
            await play(config, wire, scene)
            (subscribed,) = [json.loads(text) for text in said if "full" in text]
            proof = hmac.new(
                base64.b64decode(SIGNS_WITH),
                f"{subscribed['timestamp']}GET/users/self/verify".encode(),
                hashlib.sha256,
            ).digest()
            assert subscribed["signature"] == base64.b64encode(proof).decode()
            assert (subscribed["key"], subscribed["passphrase"]) == ("TheKey", "ThePhrase")
            assert sum("signature" in text for text in said) == 1

    runner.run(run())
    consumer = heard(wire)
    if not is_lost:
        assert consumer.wholes == [2]
        assert consumer.ops == [
            [Op.EXECUTE],
            [Op.ADD],
            [Op.MODIFY_KEEP],
            [Op.EXECUTE],
            [Op.DELETE],
        ]
    else:
        assert consumer.wholes[:2] == [2, 0]
        assert consumer.wholes[-1] >= 1
    trades = [frame for frame in wire.incremental() if frame["msg"] == "TRADE"]
    assert [row["trade_id"] for frame in trades for row in frame["records"]] == [7, 8]
