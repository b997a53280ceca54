"""The order book for Python, beside a list a level."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from outcrier import _core
from outcrier.orders import ORDER, ORDER_OP, TOLD, Ahead, Fault, Op, OrderBook, Resting, Side


def ops(*rows: tuple[Any, ...]) -> NDArray[np.void]:
    """Changes as (op, order id, side, price, qty, ref id)."""
    found = np.zeros(len(rows), ORDER_OP)
    for row, values in zip(found, rows, strict=True):
        row["op"], row["order_id"], row["side"], row["price"], row["qty"], *ref = values
        row["ref_id"] = ref[0] if ref else 0
        row["op_flags"] = TOLD
    return found


def applied(*rows: tuple[Any, ...]) -> tuple[OrderBook, list[Fault]]:
    book = OrderBook()
    return book, book.apply(ops(*rows), np.arange(1, len(rows) + 1))


THREE = (
    (Op.ADD, 1, Side.BID, 100, 5),
    (Op.ADD, 2, Side.BID, 100, 7),
    (Op.ADD, 3, Side.BID, 99, 1),
    (Op.ADD, 4, Side.ASK, 101, 9),
)


def test_levels_queues_and_orders_are_as_they_were_told() -> None:
    book, faults = applied(*THREE)
    assert faults == []
    assert len(book) == 4
    assert book.best(Side.BID) == (100, 12)
    assert book.levels(Side.BID).tolist() == [[100, 12, 2], [99, 1, 1]]
    assert book.levels(Side.BID, 1).tolist() == [[100, 12, 2]]
    assert book.levels(Side.ASK).tolist() == [[101, 9, 1]]
    assert (book.level(Side.BID, 100), book.level(Side.ASK, 100)) == (Ahead(12, 2), Ahead(0, 0))
    queue = book.queue(Side.BID, 100)
    assert queue.dtype == ORDER
    assert queue[["order_id", "qty", "order_ts"]].tolist() == [(1, 5, 1), (2, 7, 2)]
    assert book.orders()["order_id"].tolist() == [1, 2, 3, 4]
    assert book.get(2) == Resting(Side.BID, 100, 7, 2)
    assert book.get(9) is None
    assert (book.ahead(2), book.ahead(9)) == (Ahead(5, 1), None)
    book.clear()
    assert (len(book), book.best(Side.BID), book.levels(Side.ASK).shape) == (0, None, (0, 3))


def test_each_operation_does_what_it_says() -> None:
    book, faults = applied(
        *THREE,
        (Op.MODIFY_KEEP, 1, Side.BID, 100, 4),
        (Op.MODIFY_LOSE, 1, Side.BID, 100, 6),
        (Op.EXECUTE, 2, Side.BID, 100, 3, 77),
        (Op.REPLACE, 3, Side.BID, 100, 2, 30),
        (Op.DELETE, 4, Side.ASK, 101, 9),
    )
    assert faults == []
    assert book.queue(Side.BID, 100)[["order_id", "qty"]].tolist() == [(2, 4), (1, 6), (30, 2)]
    assert (book.best(Side.ASK), book.executions) == (None, (1, 1))
    assert book.apply(ops((Op.EXECUTE, 30, Side.BID, 100, 2)), np.array([10])) == []
    assert (book.executions, len(book)) == ((2, 1), 2)
    assert book.apply(ops((Op.CLEAR, 0, 0, 0, 0)), np.array([11])) == []
    assert len(book) == 0


def test_what_does_not_fit_changes_nothing_and_is_named() -> None:
    book, _ = applied(*THREE)
    before = book.orders().tolist()
    faults = book.apply(
        ops(
            (Op.ADD, 1, Side.BID, 100, 1),
            (Op.DELETE, 9, Side.BID, 100, 1),
            (Op.ADD, 5, 3, 100, 1),
            (8, 1, Side.BID, 100, 1),
            (Op.EXECUTE, 1, Side.BID, 100, 6),
            (Op.ADD, 6, Side.BID, 100, 0),
            (Op.MODIFY_KEEP, 1, Side.BID, 101, 1),
            (Op.ADD, 7, Side.BID, 100, 2**63 - 1),
        ),
        np.arange(8),
    )
    assert faults == [
        Fault(0, "an order has this number already"),
        Fault(1, "no order has this number"),
        Fault(2, "no such side or operation"),
        Fault(3, "no such side or operation"),
        Fault(4, "more was executed than is left of the order"),
        Fault(5, "a quantity of zero or less"),
        Fault(6, "an order keeps its place at another price"),
        Fault(7, "the quantities of a level do not fit 64 bits"),
    ]
    assert book.orders().tolist() == before


def test_a_watched_place_is_that_of_its_order_or_of_one_that_was_never_sent() -> None:
    book, _ = applied(*THREE)
    with book.watch_back(Side.BID, 100) as back, book.watch_order(2) as second:
        assert (back.ahead, second.ahead) == (Ahead(12, 2), Ahead(5, 1))
        book.apply(ops((Op.ADD, 5, Side.BID, 100, 3), (Op.EXECUTE, 1, Side.BID, 100, 5)), np.array([5, 6]))
        assert (back.ahead, second.ahead) == (Ahead(7, 1), Ahead(0, 0)), "the fifth came behind"
        book.apply(ops((Op.DELETE, 2, Side.BID, 100, 7)), np.array([7]))
        assert (back.ahead, second.ahead) == (Ahead(0, 0), None)
    with pytest.raises(KeyError, match="the watch has ended"):
        _ = back.ahead
    back.close()
    with pytest.raises(ValueError, match="no order has this number"):
        book.watch_order(2)


def test_arguments_that_cannot_be_are_refused() -> None:
    book = OrderBook()
    with pytest.raises(ValueError, match="not of ORDER_OP"):
        book.apply(np.zeros(1, ORDER), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="48 bytes of changes are not 48 for each of 2 times"):
        book.apply(np.zeros(1, ORDER_OP), np.zeros(2, np.int64))
    with pytest.raises(ValueError, match=r"side 0 is neither 1 \(bid\) nor 2 \(ask\)"):
        _core.OrderBook().best(0)
    with pytest.raises(ValueError, match="tick -1 is below 0"):
        OrderBook(-1)


def test_changes_may_lie_anywhere_in_memory() -> None:
    changes = ops(*THREE)
    book = OrderBook()
    assert book.apply(changes[::2], np.arange(4)[::2]) == []
    assert book.orders()["order_id"].tolist() == [1, 3]
    shifted = np.zeros(changes.nbytes + 1, np.uint8)
    shifted[1:] = changes.view(np.uint8)
    book.clear()
    assert book.apply(shifted[1:].view(ORDER_OP), np.arange(4)) == []
    assert book.orders()["order_id"].tolist() == [1, 2, 3, 4]


def crc32c(data: bytes) -> int:
    """Bit by bit, by the polynomial of Castagnoli."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_checksum_is_that_of_the_wire_format() -> None:
    book, _ = applied(*THREE)
    assert crc32c(b"123456789") == 0xE3069283 != zlib.crc32(b"123456789")
    content = np.array([3, 1], "<u2").tobytes()
    for order in book.orders():
        content += np.array([order["order_id"]], "<u8").tobytes()
        content += np.array([order["price"], order["qty"]], "<i8").tobytes()
    assert book.checksum == crc32c(content)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Op.ADD, Op.ADD, Op.ADD, Op.MODIFY_KEEP, Op.MODIFY_LOSE, Op.DELETE, Op.EXECUTE]),
            st.integers(1, 20),
            st.sampled_from(list(Side)),
            st.integers(95, 99),
            st.integers(0, 9),
        ),
        max_size=80,
    )
)
def test_it_is_a_list_a_level(changes: list[tuple[Op, int, Side, int, int]]) -> None:
    book = OrderBook()
    levels: dict[tuple[Side, int], list[list[int]]] = {}
    for op, number, side, price, qty in changes:
        where = next((at for at, queue in levels.items() for order in queue if order[0] == number), None)
        order = None if where is None else next(each for each in levels[where] if each[0] == number)
        fits = {
            Op.ADD: order is None and qty > 0,
            Op.MODIFY_KEEP: order is not None and where is not None and where[1] == price and qty > 0,
            Op.MODIFY_LOSE: order is not None and qty > 0,
            Op.DELETE: order is not None,
            Op.EXECUTE: order is not None and 0 < qty <= order[1],
        }[op]
        faults = book.apply(ops((op, number, side, price, qty)), np.array([1]))
        assert bool(faults) != fits
        if fits and where is not None and order is not None:
            if op == Op.MODIFY_KEEP:
                order[1] = qty
            elif op == Op.EXECUTE and order[1] > qty:
                order[1] -= qty
            else:
                levels[where].remove(order)
                if op == Op.MODIFY_LOSE:
                    levels.setdefault((where[0], price), []).append([number, qty])
        elif fits:
            levels.setdefault((side, price), []).append([number, qty])
    for side in Side:
        expected = {price: queue for (of, price), queue in levels.items() if of == side and queue}
        sums = [[price, sum(qty for _, qty in queue), len(queue)] for price, queue in expected.items()]
        assert book.levels(side).tolist() == sorted(sums, reverse=side == Side.BID)
        for price, queue in expected.items():
            assert book.queue(side, price)[["order_id", "qty"]].tolist() == list(map(tuple, queue))
