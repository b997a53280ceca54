"""Real files of orders, replayed to the figures that the README of the L3 data has of them."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from conftest import ROOT
from outcrier.errors import CaptureError
from outcrier.order_files import OrderFile, read_bitstamp, read_dbn, read_lobster
from outcrier.orders import INFERRED, Op, OrderBook, Side

Find = Callable[[str], Path]

ES_TICK = 250_000_000
OPEN_NS = 1_703_545_200_000_000_000
ES = "cme/ESH4_2023-12-25.mbo.dbn.zst"
GOOG = "lobster/GOOG_2012-06-21_34200000_57600000"
AAPL = "lobster/AAPL_2012-06-21_34200000_57600000"
AAPL_50 = "lobster/AAPL_2012-06-21_34200000_37800000_message_50.csv.gz"
AAPL_FIRST = "lobster/AAPL_2012-06-21_first_998_rows_orderbook_10.csv.gz"
BITSTAMP = "bitstamp/btcusd_2015-05-01.log.gz"


@pytest.fixture(scope="module")
def find(data_dir: Path) -> Find:
    """The path of a file of the L3 data; skips where it is missing."""

    def path_of(name: str) -> Path:
        path = data_dir / "l3" / name
        if not path.is_file():
            pytest.skip(f"recording is missing: {path}")
        return path

    return path_of


@pytest.fixture(scope="module")
def es(find: Find) -> OrderFile:
    return read_dbn(find(ES), tick=ES_TICK)


def best(book: OrderBook) -> tuple[int, int, int, int] | None:
    """Ask and bid, each price and quantity, as a row of LOBSTER begins."""
    bid, ask = book.best(Side.BID), book.best(Side.ASK)
    return None if bid is None or ask is None else (*ask, *bid)


def is_crossed(book: OrderBook) -> bool:
    top = best(book)
    return top is not None and top[2] >= top[0]


def test_es_is_the_hour_that_its_readme_tells(es: OrderFile) -> None:
    assert es.faults == {}
    assert (es.price_exp, es.tick, len(es.trades)) == (-9, ES_TICK, 2973)
    book, crossed = OrderBook(es.tick), []
    for event in es.events():
        assert book.apply(event.ops, event.ts) == []
        crossed += [event.time] if is_crossed(book) else []
    assert len(crossed) == 891, "event ends in the pre-open"
    assert max(crossed) < OPEN_NS
    # 92.9 % in the README, which counts the fills of one event otherwise.
    executions, of_first = book.executions
    assert (executions, round(of_first / executions, 3)) == (6232, 0.915)


def test_the_levels_of_es_are_the_sums_of_the_same_rows_as_csv(es: OrderFile, find: Find) -> None:
    """Rows added up without an order book: what is left of each order at the end, by price."""
    left: dict[int, tuple[str, int, int]] = {}
    with gzip.open(find("cme/ESH4_2023-12-25.mbo.csv.gz"), "rt", encoding="ascii") as file:
        for row in csv.DictReader(file):
            number, price, size = (int(row[name]) for name in ("order_id", "price_1e9", "size"))
            match row["action"]:
                case "R":
                    left.clear()
                case "A" | "M":
                    left[number] = (row["side"], price, size)
                case "C":
                    of, at, before = left.pop(number)
                    if before > size:
                        left[number] = (of, at, before - size)
    book = OrderBook(es.tick)
    assert book.apply(es.ops, es.ts) == []
    for side, name in ((Side.BID, "B"), (Side.ASK, "A")):
        sums: dict[int, tuple[int, int]] = {}
        for of, price, size in left.values():
            qty, orders = sums.get(price, (0, 0))
            if of == name:
                sums[price] = (qty + size, orders + 1)
        assert {price: (qty, n) for price, qty, n in book.levels(side).tolist()} == sums


def test_a_whole_listing_begins_the_seconds_of_may(find: Find) -> None:
    file = read_dbn(find("cme/ESM4_2024-05-08_2s.mbo.dbn.zst"), tick=ES_TICK)
    event = next(file.events())
    assert (file.faults, event.ops["op"][0]) == ({}, Op.CLEAR)
    book = OrderBook(file.tick)
    assert book.apply(file.ops, file.ts) == []
    assert len(book) == 13_598
    assert not is_crossed(book)


def rows(path: Path) -> Iterator[tuple[int, int, int, int]]:
    """Best ask and bid of each row of a book file."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        for row in csv.reader(file):
            ask, ask_size, bid, bid_size = map(int, row[:4])
            yield ask, ask_size, bid, bid_size


@pytest.mark.parametrize(("name", "levels", "of_first"), [(GOOG, 10, 0.9993), (AAPL, 1, 0.998)])
def test_lobster_is_its_own_best_level_in_every_row(
    name: str, levels: int, of_first: float, find: Find
) -> None:
    path = find(f"{name}_orderbook_{levels}.csv.gz")
    file = read_lobster(find(f"{name}_message_{levels}.csv.gz"), path)
    assert file.faults == {}
    book = OrderBook(file.tick)
    for number, (event, expected) in enumerate(zip(file.events(), rows(path), strict=True)):
        assert book.apply(event.ops, event.ts) == []
        assert best(book) == expected, f"row {number}"
    executions, first = book.executions
    assert first / executions >= of_first


def test_lobster_of_fifty_levels_is_the_best_level_of_another_file_by_time(find: Find) -> None:
    file = read_lobster(find(AAPL_50), opening=find(AAPL_FIRST))
    assert file.faults == {"order not known": 53}, "84 in the README, which adds up no levels of the opening"
    # The other file has a row for each message about the best level, at the times of its own messages.
    other = read_lobster(find(f"{AAPL}_message_1.csv.gz"))
    expected = dict(
        zip(other.times.tolist(), rows(find(f"{AAPL}_orderbook_1.csv.gz")), strict=True)
    )  # of a time the last row
    book, found = OrderBook(file.tick), dict[int, tuple[int, int, int, int] | None]()
    for event in file.events():
        assert book.apply(event.ops, event.ts) == []
        assert not is_crossed(book)
        found[event.time] = best(book)
    both = expected.keys() & found.keys()
    same = [expected[time] == found[time] for time in both]
    assert len(both) == 23_303
    assert sum(same) == 23_285, "99.92 %"
    executions, first = book.executions
    assert round(first / executions, 3) == 0.994


def test_orders_that_nobody_named_are_flagged(find: Find) -> None:
    file = read_lobster(find(AAPL_50), opening=find(AAPL_FIRST))
    stand_in = (file.ops["op_flags"] & INFERRED) != 0
    assert stand_in.sum() == 19, "20 levels were there, and the first message made one of them"
    assert (file.ops["op"][stand_in] == Op.ADD).all()
    assert (file.ops["op_flags"][~stand_in] >> 8 == 255).all()


def test_bitstamp_is_the_exchanges_own_book_at_its_best(find: Find) -> None:
    path = find(BITSTAMP)
    file = read_bitstamp(path)
    assert file.faults == {"order not known": 213}
    assert (len(file.trades), file.trades[1]["qty"]) == (575, 178_855_669), "1.7885566900000001"
    book, events = OrderBook(file.tick), file.events()
    same = snapshots = 0
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            _, kind, text = line.split(maxsplit=2)
            if kind != "order_book":
                event = next(events)
                assert book.apply(event.ops, event.ts) == []
                continue
            told = msgspec.json.decode(text)
            bid, ask = (int(Decimal(told[side][0][0]) * 100) for side in ("bids", "asks"))
            top = best(book)
            snapshots += 1
            same += top is not None and (top[0], top[2]) == (ask, bid)
    assert next(events, None) is None
    assert (same, snapshots) == (4953, 5011), "98.8 %; 98.9 in the README"
    assert book.executions == (1118, 1118), "each was of the first of its queue"


def test_trades_have_their_aggressor(es: OrderFile, find: Find) -> None:
    kinds, counts = np.unique(es.trades["aggressor"], return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {0: 1, 1: 1542, 2: 1430}
    file = read_lobster(find(AAPL_50), opening=find(AAPL_FIRST))
    added = file.ops[file.ops["op"] == Op.ADD]
    side = dict(zip(added["order_id"].tolist(), added["side"].tolist(), strict=True))
    trades = {int(trade["trade_id"]): trade for trade in file.trades}
    executions = file.ops[file.ops["op"] == Op.EXECUTE]
    assert len(executions) == 4067
    for execution in executions:
        trade = trades[int(execution["ref_id"])]
        assert (trade["price"], trade["qty"]) == (execution["price"], execution["qty"])
        # Whoever bought met an ask.
        assert side[int(execution["order_id"])] == {1: Side.ASK, 2: Side.BID}[int(trade["aggressor"])]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.dbn", b"DBX\x01\x00\x00\x00\x00", "no DBN file of version 1, 2, 3"),
        ("a.dbn", b"DBN\x09\x00\x00\x00\x00", "no DBN file of version 1, 2, 3"),
        ("a.dbn", b"DBN\x01\x00\x00\x00\x00abc", "cut off"),
        ("a.dbn", b"DBN\x01\x00\x00\x00\x00" + bytes(56), "record 0 is not MBO"),
        ("a.dbn", b"DBN\x01\x00\x00\x00\x00", "one is to be chosen by instrument_id"),
        ("a.dbn.zst", b"\x28\xb5\x2f\xfdjunk", "a.dbn.zst"),
        ("a.dbn", None, "No such file"),
    ],
)
def test_what_is_no_dbn_file_is_named(name: str, content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CaptureError, match=reason):
        read_dbn(path)


def test_the_example_prints_the_queue_over_time(find: Find) -> None:
    example = ROOT / "docs" / "examples" / "queue_over_time.py"
    words = [str(find(ES)), "--tick", str(ES_TICK), "--every", "600", "--orders", "5"]
    done = subprocess.run([sys.executable, example, *words], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 11
    assert lines[7] == "23:24:14  4,808.75     76 lots in  27 orders: 1 1 3 1 1 …"


def test_a_cut_file_is_named(find: Find, tmp_path: Path) -> None:
    path = tmp_path / "cut.dbn.zst"
    whole = find(ES).read_bytes()
    for length in (100_000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CaptureError, match=r"cut\.dbn\.zst: cut off"):
            read_dbn(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("34200.004241176,1,16113575,18,5853300", "line 1 is no message"),
        ("34200.004241176,1,16113575,18,5853300,2", "line 1 is no message"),
        ("34200.x,1,16113575,18,5853300,1", "line 1 is no message"),
    ],
)
def test_what_is_no_lobster_file_is_named(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "AAPL_2012-06-21_message.csv"
    path.write_text(text)
    with pytest.raises(CaptureError, match=reason):
        read_lobster(path)
    path.rename(tmp_path / "AAPL.csv")
    with pytest.raises(CaptureError, match="no day in the name"):
        read_lobster(tmp_path / "AAPL.csv")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1430438404518 order_created", "line 1 is not"),
        ("x trade {}", r"line 1 \(trade\)"),
        ('1430438404518 order_moved {"id":1,"price":"1","amount":"1","order_type":0}', "events are"),
    ],
)
def test_what_is_no_bitstamp_log_is_named(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(text)
    with pytest.raises(CaptureError, match=reason):
        read_bitstamp(path)
