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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feeder_scene import Wire, config_of, is_live, play, until
from order_scene import SIGNS_WITH, captured, documented, heard, heard_by, hold, with_account
from outcrier.capture.faults import Fault
from outcrier.capture.record import Limits, record
from outcrier.capture.stand_in import StandIn
from outcrier.feeder.service import FeederService
from outcrier.orders import Op
from outcrier.venues import VENUES, kraken_level3
from outcrier.venues.kraken import KRAKEN

KRAKEN_BOOK = (
    '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[],"asks":[],"checksum":0}]}'
)
FILLED = "OTCFZG-YOE2Q-LQKNM3"
"""The first bid of the guide."""


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


def kraken_messages() -> tuple[list[str], Book]:
    book = Book()
    messages = [KRAKEN_BOOK, book.message("snapshot", bids=book.sides["bids"], asks=book.sides["asks"])]
    filled = book.find(FILLED)
    filled["order_qty"] = "0.50000000"
    messages.append(book.message("update", bids=[{"event": "modify", **filled}]))
    added = {**filled, "order_id": "ONEW11-AAAAA-BBBBBB", "timestamp": "2024-01-08T12:26:50.000000000Z"}
    book.sides["bids"].insert(8, added)
    messages.append(book.message("update", bids=[{"event": "add", **added}]))
    # The exchange takes an order out, and its message has another checksum.
    gone = book.sides["asks"].pop(0)
    messages.append(book.message("update", checksum=1, asks=[{"event": "delete", **gone}]))
    gone = book.sides["asks"].pop(0)
    messages.append(book.message("update", asks=[{"event": "delete", **gone}]))
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
@pytest.mark.parametrize("is_over", [False, True])
def test_krakens_orders_reach_a_consumer_and_are_asked_for_again_where_they_are_wrong(
    tmp_path: Path,
    runner: asyncio.Runner,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    is_over: bool,
) -> None:
    """Also where the token is refused to a later subscription: a new connection has a new one."""
    said = heard_by(KRAKEN, monkeypatch, tokens_end=is_over)
    messages, book = kraken_messages()
    wire = Wire()
    caplog.set_level("INFO")

    async def run() -> None:
        path = captured(tmp_path, "wss://ws.kraken.com/v2", messages)
        async with StandIn(KRAKEN, [path]) as stand_in, rest_of(stand_in) as (rest_url, posted):
            hold(stand_in, monkeypatch, len(messages), wire, {2: 1, 5: 3})

            async def scene(service: FeederService) -> None:
                await until(lambda: is_live(service), "live")
                session = service.venue("kraken")._session
                assert session is not None
                await until(lambda: heard(wire).orders() == book.mantissas(), "the orders of the exchange")
                assert session.orders.live == {0}
                assert session.orders.asked_again == 1
                level3 = [each for each in said if each.get("params", {}).get("channel") == "level3"]
                methods = [each["method"] for each in level3]
                tokens = [each["params"]["token"] for each in level3]
                assert methods == ["subscribe", "unsubscribe", "subscribe", *["subscribe"] * is_over]
                assert tokens == ["TheToken1"] * 3 + ["TheToken2"] * is_over
                assert not any("token" in str(each) for each in said if each not in level3)
                assert len(posted) == 1 + is_over
                # It goes, and comes again.
                feeder = service.venue("kraken")
                feeder.remove(["BTC/USD"])
                assert (len(session.orders), session.orders.live) == (0, set())
                feeder.add(["BTC/USD"])
                await until(lambda: len(heard(wire).wholes) == 4, "all orders again")
                assert heard(wire).orders() == book.mantissas()

            config = config_of([stand_in], tmp_path)
            config = with_account(config, "kraken", tmp_path, ("book", "level3"), rest_url=rest_url)
            await play(config, wire, scene)

    runner.run(run())
    consumer = heard(wire)
    # All orders, then none of them, those of the new subscription, and after the last change those of the
    # new instrument.
    assert consumer.wholes == [35, 0, 35, 34]
    assert consumer.ops == [[Op.MODIFY_KEEP], [Op.ADD], [Op.DELETE]]
    told = caplog.text
    assert "orders: the checksum differs: 1 was sent" in told
    assert not any(secret in told for secret in ("TheToken", "TheKey", SIGNS_WITH))


@pytest.mark.usefixtures("quick_level3")
def test_an_account_that_is_refused_costs_the_orders_alone(
    tmp_path: Path,
    runner: asyncio.Runner,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    messages, _ = kraken_messages()
    wire = Wire()
    caplog.set_level("INFO")

    async def run() -> None:
        path = captured(tmp_path, "wss://ws.kraken.com/v2", messages)
        async with (
            StandIn(KRAKEN, [path]) as stand_in,
            rest_of(stand_in, is_right=False) as (rest_url, posted),
        ):
            hold(stand_in, monkeypatch, len(messages), wire, {})

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
    said = heard_by(KRAKEN, monkeypatch)
    monkeypatch.setattr(kraken_level3, "limits", lambda limits: limits)
    messages, _ = kraken_messages()

    async def run() -> list[Path]:
        path = captured(tmp_path, "wss://ws.kraken.com/v2", messages)
        async with StandIn(KRAKEN, [path]) as stand_in, rest_of(stand_in) as (rest_url, _):
            hold(stand_in, monkeypatch, len(messages), Wire(), {})
            config = config_of([stand_in], tmp_path)
            config = with_account(config, "kraken", tmp_path, ("book", "level3"), rest_url=rest_url)
            stop = asyncio.Event()
            recording = asyncio.ensure_future(
                record(config, tmp_path / "recorded", Limits(seconds=20.0), stop=stop)
            )
            await until(lambda: "level3" in str(said), "the subscription of orders")
            stop.set()
            return [Path(file.path) for file in (await recording).files]

    text = "".join(gzip.decompress(path.read_bytes()).decode() for path in runner.run(run()))
    assert "TheToken1" in str(said)
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


def coinbase_messages() -> list[str]:
    return [
        LEVELS,
        full("open", 101, order_id=BID, side="buy", price="200.1", remaining_size="2"),
        full("received", 102),
        full("open", 103, order_id=ASK, price="200.2", remaining_size="1.5"),
        full("match", 104, maker_order_id=ASK, size="0.5", price="200.2", trade_id=7),
        full("open", 105, order_id=LATE, price="200.2", remaining_size="3"),
        full("change", 106, order_id=LATE, new_size="2.5", price="200.2"),
        full("match", 107, maker_order_id=ASK, size="1", price="200.2", trade_id=8),
        full("done", 108, order_id=ASK),
        full("done", 109, order_id=BID, side="buy"),
    ]


@pytest.mark.parametrize("is_lost", [False, True])
def test_coinbases_orders_join_the_answer_of_rest_and_a_gap_asks_anew(
    tmp_path: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    said = heard_by(VENUES["coinbase_exchange"], monkeypatch)
    wire = Wire()

    async def run() -> None:
        messages = coinbase_messages()
        path = captured(tmp_path, "wss://ws-feed.exchange.coinbase.com", messages)
        # The fourth of the stream that is no match: the order that stays.
        faults = [Fault(kind="drop", at=4, streams="full:*")] if is_lost else []
        async with StandIn(VENUES["coinbase_exchange"], [path], faults=faults) as stand_in:
            hold(stand_in, monkeypatch, len(messages), wire, {4: 1})

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
            (subscribed,) = [each for each in said if "full" in str(each)]
            proof = hmac.new(
                base64.b64decode(SIGNS_WITH),
                f"{subscribed['timestamp']}GET/users/self/verify".encode(),
                hashlib.sha256,
            ).digest()
            assert subscribed["signature"] == base64.b64encode(proof).decode()
            assert (subscribed["key"], subscribed["passphrase"]) == ("TheKey", "ThePhrase")
            assert sum("signature" in each for each in said) == 1

    runner.run(run())
    consumer = heard(wire)
    if is_lost:
        assert consumer.wholes[:2] == [2, 0]
        assert len(consumer.wholes) == 3
        assert consumer.ops[0] == [Op.EXECUTE]
    else:
        assert consumer.wholes == [2]
        assert consumer.ops == [[Op.EXECUTE], [Op.ADD], [Op.MODIFY_KEEP], [Op.EXECUTE], [Op.DELETE]]
    trades = [frame for frame in wire.incremental() if frame["msg"] == "TRADE"]
    assert [row["trade_id"] for frame in trades for row in frame["records"]] == [7, 8]
