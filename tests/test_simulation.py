"""The simulated venue: the same for a seed, and its messages, its engines and a consumer have one book."""

from __future__ import annotations

import asyncio
import copy
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from websockets.asyncio.client import connect

from feeder_scene import FLAG_TEST, config_of, until
from outcrier.capture.simulation import SimulatedExchange, Simulation
from outcrier.config import DEFAULT_VENUES, MulticastSections, VenueConfig
from outcrier.errors import ConfigurationError
from outcrier.feeder.plan import check_venue
from outcrier.feeder.service import FeederService
from outcrier.orders import ORDER_OP, TOLD, Op, OrderBook, Side
from outcrier.venue_numbers import VENUE_NUMBERS
from outcrier.venues import VENUES
from outcrier.venues.exchange_side import Client
from outcrier.venues.sim_exchange import PATH, STREAMS_MAX
from outcrier.views import State
from sockets import Child, Net, Witness
from sockets import until as wait

SIM = VENUES["sim"]
BEGIN_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


def exchange(seed: int = 1, instruments: int = 2) -> SimulatedExchange:
    return SimulatedExchange(seed=seed, instruments=instruments, clock=lambda: BEGIN_NS)


def begun(of: SimulatedExchange, stream: str) -> Any:
    (text,) = of.begin(Client(PATH), stream)
    return json.loads(text)


def texts(of: SimulatedExchange, seconds: int) -> Iterator[str]:
    while (event := of.advance(seconds * SECOND_NS)) is not None:
        for channel, stream in of.streams(event):
            yield of.emission(event, channel, stream).text


def test_the_same_seed_says_the_same() -> None:
    said = list(texts(exchange(), 20))
    assert len(said) > 500
    assert said == list(texts(exchange(), 20))
    assert said != list(texts(exchange(seed=2), 20))
    alone = [text for text in said if '"SIM1-USD"' in text]
    assert alone == list(texts(exchange(instruments=1), 20))


class Reader:
    """What a client makes of one instrument's messages, by the documentation alone."""

    def __init__(self) -> None:
        self.levels: dict[str, dict[Decimal, Decimal]] = {"bids": {}, "asks": {}}
        self.orders = OrderBook(25)
        self.seqs = {"book": -1, "orders": -1}
        self.best: dict[str, Any] = {}
        self.traded = self.executed = 0
        self.fills: list[tuple[str, int]] = []
        """Of trades: side of the order that stood, and number."""
        self.executions: list[tuple[str, int]] = []
        """The same of orders."""

    def take(self, message: Any) -> None:
        match message["channel"], message.get("type"):
            case channel, "snapshot" | "change" as kind:
                # "What is not above the number of the snapshot is in it already."
                if kind == "change":
                    assert message["prev"] == self.seqs[channel], message
                self.seqs[channel] = message["seq"]
                (self.book if channel == "book" else self.order)(message, kind)
            case "best", _:
                same = {key: value for key, value in message.items() if key not in {"seq", "time"}}
                assert same.items() - self.best.items(), "told where it changed"
                self.best = message
            case "trades", _:
                self.traded += sum(int(trade["qty"]) for trade in message["trades"])
                self.fills += [
                    ({"buy": "ask", "sell": "bid"}[t["taker"]], t["id"]) for t in message["trades"]
                ]

    def book(self, message: Any, kind: str) -> None:
        for side, levels in self.levels.items():
            if kind == "snapshot":
                levels.clear()
            for price, qty in message[side]:
                levels[Decimal(price)] = Decimal(qty)
                if qty == "0":
                    del levels[Decimal(price)]

    def order(self, message: Any, kind: str) -> None:
        names = {
            "add": Op.ADD,
            "reduce": Op.MODIFY_KEEP,
            "move": Op.MODIFY_LOSE,
            "delete": Op.DELETE,
            "execute": Op.EXECUTE,
        }
        if kind == "snapshot":
            self.orders.clear()
            rows = [
                row | {"op": "add", "side": side[:-1]} for side in ("bids", "asks") for row in message[side]
            ]
        else:
            rows = [row | {"side": side[:-1]} for side in ("bids", "asks") for row in message[side]]
        ops = [
            (
                *(row["id"], int(Decimal(row["price"]) * 100), int(row["qty"]), row.get("trade", 0), 0),
                *(names[row["op"]], {"bid": 1, "ask": 2}[row["side"]], TOLD, 0),
            )
            for row in rows
        ]
        self.executed += sum(op[2] for op in ops if op[5] == Op.EXECUTE)
        self.executions += [(row["side"], row["trade"]) for row in rows if row["op"] == "execute"]
        times = np.full(len(ops), message["time"], np.int64)
        assert self.orders.apply(np.array(ops, ORDER_OP), times) == []

    def sums(self) -> dict[str, dict[Decimal, Decimal]]:
        """The levels that the orders make."""
        return {
            f"{side.name.lower()}s": {
                Decimal(price).scaleb(-2): Decimal(qty) for price, qty, _ in self.orders.levels(side).tolist()
            }
            for side in Side
        }


def test_orders_levels_and_best_prices_are_those_of_the_engine_at_every_event() -> None:
    of = exchange()
    reader = Reader()
    for channel in ("book", "orders", "best"):
        reader.take(begun(of, f"{channel}:SIM2-USD"))
    kinds = set()
    events = 0
    while (event := of.advance(60 * SECOND_NS)) is not None:
        if of.symbols[event[0]] != "SIM2-USD":
            continue
        for channel, stream in of.streams(event):
            message = json.loads(of.emission(event, channel, stream).text)
            assert (message["seq"], message["time"]) == (event[1], BEGIN_NS + event[2])
            reader.take(message)
            if channel == "orders":
                kinds |= {row["op"] for side in ("bids", "asks") for row in message[side]}
        events += 1
        assert reader.sums() == reader.levels
        assert (reader.traded, reader.fills) == (reader.executed, reader.executions)
        bids, asks = reader.levels.values()
        assert (Decimal(reader.best["bid"]), Decimal(reader.best["ask"])) == (max(bids), min(asks))
        assert Decimal(reader.best["bid_qty"]) == bids[max(bids)]
        if events % 100 == 0:
            # From here on as who comes now.
            later = Reader()
            for channel in ("book", "orders"):
                later.take(begun(of, f"{channel}:SIM2-USD"))
            assert (later.levels, later.orders.checksum) == (reader.levels, reader.orders.checksum)
    assert events > 500
    assert kinds == {"add", "reduce", "move", "delete", "execute"}
    level = reader.orders.level(Side.BID, int(Decimal(reader.best["bid"]) * 100))
    assert level.orders == reader.best["bid_orders"]


def test_the_market_waits_and_goes_on_at_the_time_that_it_is() -> None:
    now = BEGIN_NS
    of = SimulatedExchange(seed=1, clock=lambda: now)
    first = [json.loads(text) for text in texts(of, 1)]
    now += 60 * SECOND_NS
    of.restart()
    second = [json.loads(text) for text in texts(of, 2)]
    assert first[-1]["time"] <= BEGIN_NS + SECOND_NS
    assert BEGIN_NS + 60 * SECOND_NS < second[0]["time"] <= BEGIN_NS + 61 * SECOND_NS
    assert second[0]["seq"] == first[-1]["seq"] + 1


def test_what_cannot_be_simulated_is_refused() -> None:
    cases: list[dict[str, Any]] = [
        {"instruments": 0},
        {"instruments": 1_001},
        {"rate": 100_001},
        {"seed": -1},
    ]
    for wrong in cases:
        with pytest.raises(ConfigurationError, match="simulation: "):
            SimulatedExchange(**wrong)


def test_requests_are_answered_as_documented() -> None:
    side = SIM.exchange
    client = Client(PATH)
    (request,) = SIM.subscribe(["book:SIM1-USD", "orders:SIM1-USD"], number=7)
    streams = ["book:SIM1-USD", "orders:SIM1-USD"]
    assert side.on_text(client, request.text) == [
        json.dumps({"type": "subscribed", "id": 7, "streams": streams}, separators=(",", ":"))
    ]
    assert list(client.streams) == streams
    (request,) = SIM.unsubscribe(["orders:SIM1-USD"])
    side.on_text(client, request.text)
    assert list(client.streams) == ["book:SIM1-USD"]
    (granted,) = side.on_text(
        client, '{"op":"subscribe","id":1,"streams":["book:SIM2-USD","depth:SIM1-USD"]}'
    )
    assert json.loads(granted)["streams"] == ["book:SIM2-USD"]
    for wrong in ("junk", '{"op":"buy"}', '{"op":"subscribe"}', '{"op":"subscribe","streams":{}}'):
        (refused,) = side.on_text(client, wrong)
        assert json.loads(refused)["type"] == "error"
    too_many = {"op": "subscribe", "streams": ["book:SIM1-USD"] * (STREAMS_MAX + 1)}
    assert "1 to 500" in side.on_text(client, json.dumps(too_many))[0]


def test_a_subscriber_has_the_book_of_the_engine_and_every_frame_is_a_test(tmp_path: Path) -> None:
    """End to end: server, WebSocket, feeder, UDP, subscriber; beside it a client that reads the orders."""
    of = SimulatedExchange(seed=3, instruments=2, rate=200)
    net = Net.pick()

    async def run() -> None:
        async with Simulation(of) as server, net.subscriber() as consumer:
            reader = Reader()

            async def read_orders() -> None:
                async with connect(server.ws_url + PATH, compression=None, max_size=None) as socket:
                    await socket.send('{"op":"subscribe","streams":["orders:SIM1-USD","book:SIM1-USD"]}')
                    async for text in socket:
                        message = json.loads(text)
                        if "channel" in message:
                            reader.take(message)

            async def consume() -> None:
                async for _ in consumer.batches():
                    pass

            config = config_of([server], tmp_path)
            channels = (*config.venues["sim"].channels, "orders")
            sim = msgspec.structs.replace(config.venues["sim"], channels=channels, infer_orders=True)
            config = msgspec.structs.replace(
                config, venues={"sim": sim}, multicast=MulticastSections(crypto=net.multicast())
            )
            stop = asyncio.Event()
            async with FeederService(config) as service:
                work = [asyncio.create_task(each) for each in (service.run(stop), read_orders(), consume())]
                await until(lambda: reader.seqs["orders"] > 200, "200 events are read")
                found, other = (consumer.book(f"SIM{number}/USD@sim") for number in (1, 2))
                await until(lambda: other.state is State.LIVE, "the other one is live")
                # The market stands still: what is on its way arrives.
                assert server._playing is not None
                server._playing.cancel()
                last, book = of.head(0).seq, of.book_of(0)
                wanted = [{Decimal(p): Decimal(q) for p, q in side} for side in book.levels()]
                await until(lambda: reader.seqs == {"book": last, "orders": last}, "all is read")
                assert list(reader.levels.values()) == wanted
                assert reader.sums() == reader.levels
                await until(lambda: found.info()["source_seq"] == last, "all is published")
                assert found.state is State.LIVE
                assert [{level.price: level.qty for level in side} for side in found.top(0)] == wanted
                # Orders that are told take the place of inferred ones.
                orders = consumer.orders("SIM1/USD@sim")
                # When those of the snapshot came is not told.
                names = ["order_id", "price", "qty", "order_flags"]
                expected = reader.orders.orders()[names]
                await until(lambda: np.array_equal(orders.orders()[names], expected), "the orders too")
                (status,) = service.status()
                assert (status.gaps, status.faults, status.unknown, status.drift) == (0, 0, {}, {})
                assert status.test
                stop.set()
                await work.pop(0)
                for each in work:
                    each.cancel()
                await asyncio.gather(*work, return_exceptions=True)

    with Witness(net) as witness:
        asyncio.run(run())
    frames = [*witness.frames(0), *witness.frames(1)]
    assert {frame.header["venue"] for frame in frames} == {VENUE_NUMBERS["sim"]}
    assert all(frame.header["flags"] & FLAG_TEST for frame in frames)


def test_a_venue_without_an_address_needs_one_in_the_configuration() -> None:
    ws: dict[str, Any] = {"ws_url": "ws://127.0.0.1:1"}
    rest: dict[str, Any] = {"rest_url": "http://127.0.0.1:1"}
    given: dict[str, Any]
    for given, missing in (({}, "ws_url"), (ws, "rest_url"), (rest, "ws_url")):
        with pytest.raises(ConfigurationError, match=rf"venues\.sim\.{missing}: sim has no address"):
            check_venue(SIM, VenueConfig(enabled=True, **given))
    check_venue(SIM, VenueConfig(**ws, **rest))
    # Whatever it is called, it is no exchange.
    named = copy.copy(SIM)
    named.ws_hosts = named.rest_hosts = frozenset({"sim.example"})
    assert not named.is_published(ws_url="wss://sim.example", rest_url="https://sim.example")
    assert not SIM.is_published()
    assert not SIM.is_published(ws_url="wss://stream.binance.com", rest_url="https://api.binance.com")


def test_run_falls_back_to_nothing(tmp_path: Path, data_dir: Path) -> None:
    """No exchange can be reached and captures are there: it tries again and again, and publishes nothing."""
    net = Net.pick()
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    environment = {**net.environment(), **nowhere, "OUTCRIER_DATA": str(data_dir)}
    with Witness(net) as witness, Child(tmp_path, "run", **environment) as feeder:
        wait(lambda: feeder.err.count("next try in") > len(DEFAULT_VENUES), "one venue was tried again")
        feeder.signal(signal.SIGTERM)
        assert feeder.end() == 0, feeder.err
    assert [frame.msg for plane in (0, 1) for frame in witness.frames(plane)] == []
    told = [text.partition(",")[0] for text in feeder.out.splitlines()]
    assert told == [f"{name}: 0 messages" for name in DEFAULT_VENUES]
    # What plays captures and simulations is not even loaded.
    loaded = "import sys, outcrier.cli.run; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    names = modules.stdout.split()
    assert "outcrier.feeder.service" in names
    assert not [name for name in names if name.startswith(("outcrier.capture", "outcrier.demo"))]
