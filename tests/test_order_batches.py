"""Batches and typed events say of orders what the wire says: recorded orders, by the independent encoder."""

from __future__ import annotations

import csv
import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from outcrier import Batch, State, _core
from outcrier import events as ev
from outcrier.directory import Directory
from outcrier.layout import ORDER_OPS, ORDER_SNAPSHOT
from outcrier.prices import to_decimal
from wire_reference import encode, encode_pack, encode_packed, order_checksum

RECORDING = "l3/cme/ESH4_2023-12-25.mbo.csv.gz"
TICK_1E9 = 250_000_000
EXCHANGE_TS = 1_703_541_600_000_000_000
ABOUT = {"channel": 2, "venue": 2, "session": 90_000_001, "instrument": 1_000, "price_exp": -2, "qty_exp": -1}
ABOUT |= {"exchange_ts": EXCHANGE_TS, "recv_ts": EXCHANGE_TS + 5, "source_seq": 77}
EVENT_END, RESET = 1, 1 << 5
TOLD, INFERRED = 0xFF00, 1 | 102 << 8


def resting(path: Path, bids: int, asks: int) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    """The first orders of each side in the recording's opening list, best first."""
    sides: dict[str, list[dict[str, int]]] = {"B": [], "A": []}
    with gzip.open(path, "rt", encoding="ascii") as file:
        for row in csv.DictReader(file):
            sides[row["side"]].append(
                {
                    "order_id": int(row["order_id"]),
                    "price": int(row["price_1e9"]) // TICK_1E9,
                    "qty": int(row["size"]),
                    "priority": 0,
                    "order_ts": int(row["ts_event_ns"]),
                    "order_flags": TOLD,
                }
            )
            if len(sides["B"]) >= bids and len(sides["A"]) >= asks:
                break
    best = sorted(sides["B"][:bids], key=lambda order: -order["price"])
    return best, sorted(sides["A"][:asks], key=lambda order: order["price"])


class Heard:
    """A receiver that hears a session of one instrument with these orders."""

    def __init__(self, data_dir: Path) -> None:
        path = data_dir / RECORDING
        if not path.is_file():
            pytest.skip(f"recording is missing: {path}")
        self.bids, self.asks = resting(path, 4, 3)
        self.receiver = _core.Receiver()
        self.directory = Directory(self.receiver.instruments, self.receiver.channels, to_decimal)
        self.seq = 0
        self.hear("SESSION_START", {**ABOUT, "instrument": 0, "price_exp": 0, "qty_exp": 0})
        definition = {"def_version": 1, "kind": 3, "status": 1, "price_exp": -2, "qty_exp": -1}
        self.hear("INSTRUMENT_DEF", {**ABOUT, "instr_seq": 1}, {**definition, "symbol": b"ES"})
        self.batch()

    def hear(self, msg: str, header: dict[str, int], root: Any = None, records: Any = ()) -> None:
        self.hear_frame(
            encode(msg, {"flags": EVENT_END, **header, "channel_seq": self.seq + 1}, root, records)
        )

    def hear_frame(self, frame: bytes) -> None:
        self.seq += 1
        self.receiver.datagram(0, frame, 7, 1_000_000_000 + self.seq)

    def hear_all(self) -> None:
        """The whole of the orders in two fragments."""
        every = [*self.bids, *self.asks]
        digested = (
            [(order["order_id"], order["price"], order["qty"]) for order in side]
            for side in (self.bids, self.asks)
        )
        checksum = order_checksum(*digested)
        root = {"snapshot_id": 9, "frag_count": 2, "book_checksum": checksum, "checksum_kind": 3}
        root |= {"total_bids": len(self.bids), "total_asks": len(self.asks)}
        first = {**root, "frag_index": 0, "n_bids": 3}
        self.hear("ORDER_SNAPSHOT", {**ABOUT, "instr_seq": 2, "flags": RESET}, first, every[:3])
        self.hear(
            "ORDER_SNAPSHOT", {**ABOUT, "instr_seq": 3}, {**root, "frag_index": 1, "n_bids": 1}, every[3:]
        )

    def batch(self) -> Batch:
        return Batch(self.receiver.take(), self.directory)


@pytest.fixture
def heard(data_dir: Path) -> Heard:
    return Heard(data_dir)


def changes(known: dict[str, int]) -> list[dict[str, int]]:
    """An order comes behind one that is known, is modified and traded; the known one is inferred to go."""
    new = {"order_id": 5, "price": known["price"], "qty": 7, "priority": 12, "op_flags": TOLD}
    return [
        {**new, "op": 1, "side": 1},
        {**new, "op": 2, "qty": 6},
        {**new, "op": 5, "qty": 2, "ref_id": 99},
        {"order_id": known["order_id"], "price": known["price"], "op": 4, "op_flags": INFERRED},
    ]


def expected(order: dict[str, int]) -> ev.Order:
    return ev.Order(
        order_id=order["order_id"],
        price=Decimal(order["price"]).scaleb(-2),
        qty=Decimal(order["qty"]).scaleb(-1),
        priority=0,
        order_ts=order["order_ts"],
        inferred=False,
        confidence=1.0,
    )


def test_all_orders_of_a_book_are_rows_and_events(heard: Heard) -> None:
    heard.hear_all()
    batch = heard.batch()
    assert batch.events["kind"].tolist() == [ORDER_SNAPSHOT] * 2
    assert [len(side) for index in (0, 1) for side in batch.orders_of(index)] == [3, 0, 1, 3]
    told = batch.orders[["order_id", "price", "qty", "order_ts", "order_flags"]].tolist()
    every = [*heard.bids, *heard.asks]
    assert told == [(o["order_id"], o["price"], o["qty"], o["order_ts"], TOLD) for o in every]
    assert np.shares_memory(batch.orders_of(1)[1], batch.orders)
    assert [len(side) for side in batch.levels_of(0)] == [0, 0]
    assert len(batch.ops_of(0)) == 0
    first, second = batch
    assert isinstance(first, ev.OrderSnapshot)
    assert isinstance(second, ev.OrderSnapshot)
    assert ("reset" in first.flags, first.fragment, first.fragments, first.complete) == (True, 0, 2, False)
    assert ("reset" in second.flags, second.fragment, second.complete) == (False, 1, True)
    assert first.bids + second.bids == tuple(map(expected, heard.bids))
    assert first.asks + second.asks == tuple(map(expected, heard.asks))
    assert (second.symbol, second.state, second.instr_seq) == ("ES@binance_usdm", State.LIVE, 3)


def test_changes_of_orders_are_rows_and_events(heard: Heard) -> None:
    heard.hear_all()
    heard.batch()
    ops = changes(heard.bids[0])
    heard.hear("ORDER_OPS", {**ABOUT, "instr_seq": 4, "flags": 0}, {}, ops[:2])
    heard.hear("ORDER_OPS", {**ABOUT, "instr_seq": 5}, {}, ops[2:])
    batch = heard.batch()
    assert batch.events["kind"].tolist() == [ORDER_OPS] * 2
    assert batch.ops["op"].tolist() == [1, 2, 5, 4]
    assert batch.ops_of(1)["ref_id"].tolist() == [99, 0]
    assert [len(side) for side in batch.orders_of(1)] == [0, 0]
    add, modify, execute, delete = batch
    for event in (add, modify, execute, delete):
        assert isinstance(event, ev.OrderChange)
        assert event.price == Decimal(heard.bids[0]["price"]).scaleb(-2)
        assert (event.exchange_ts, event.source_seq, event.state) == (EXCHANGE_TS, 77, State.LIVE)
    assert isinstance(add, ev.OrderChange)
    assert (add.op, add.side, add.order_id, add.qty, add.priority) == ("add", "bid", 5, Decimal("0.7"), 12)
    assert (add.inferred, add.confidence, add.complete) == (False, 1.0, False)
    assert isinstance(modify, ev.OrderChange)
    assert (modify.op, modify.side, modify.complete) == ("modify keep priority", "", False)
    assert isinstance(execute, ev.OrderChange)
    assert (execute.op, execute.qty, execute.ref_id) == ("execute", Decimal("0.2"), 99)
    assert execute.complete is False
    assert isinstance(delete, ev.OrderChange)
    assert (delete.op, delete.order_id) == ("delete", heard.bids[0]["order_id"])
    assert (delete.inferred, delete.confidence, delete.complete) == (True, 0.4, True)


def test_packed_changes_are_as_alone(heard: Heard) -> None:
    heard.hear_all()
    heard.batch()
    sub = {"instrument": 1_000, "price_exp": -2, "qty_exp": -1, "flags": EVENT_END}
    once = {name: ABOUT[name] for name in ("channel", "venue", "session", "exchange_ts", "recv_ts")}
    messages = [
        encode_packed("ORDER_OPS", {**sub, "instr_seq": 4 + at}, {}, [op])
        for at, op in enumerate(changes(heard.bids[0]))
    ]
    heard.hear_frame(encode_pack({**once, "channel_seq": heard.seq + 1}, messages))
    events = list(heard.batch())
    assert [event.op for event in events if isinstance(event, ev.OrderChange)] == [
        "add", "modify keep priority", "execute", "delete",
    ]  # fmt: skip
    assert all(isinstance(event, ev.OrderChange) and event.complete for event in events)


def test_a_change_that_does_not_fit_is_told_as_the_reason(heard: Heard) -> None:
    heard.hear_all()
    heard.batch()
    heard.hear("ORDER_OPS", {**ABOUT, "instr_seq": 4}, {}, [{"order_id": 3, "op": 4, "op_flags": TOLD}])
    told = [event for event in heard.batch() if isinstance(event, ev.StateChange)]
    assert [(event.state, event.reason) for event in told] == [(State.STALE, "bad order")]
    assert heard.receiver.counters()["bad_order"] == 1
