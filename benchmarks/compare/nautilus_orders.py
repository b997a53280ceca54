"""nautilus_trader's order book by order (L3, pyo3): all deltas are made before, one call applies them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nautilus_trader.core import nautilus_pyo3 as nautilus

from outcrier.order_files import OrderFile
from outcrier.orders import Op, Side

Levels = list[tuple[int, int, int]]
"""Price, quantity and orders, best first, at the exponents of the file."""

_SIDES = {Side.BID: nautilus.OrderSide.BUY, Side.ASK: nautilus.OrderSide.SELL}


class OrderHandler:
    """The book of a file."""

    def __init__(self, file: OrderFile) -> None:
        self.name = nautilus.InstrumentId.from_str("BOOK.FILE")
        self.price_exp, self.qty_exp = file.price_exp, file.qty_exp
        self.book = nautilus.OrderBook(self.name, nautilus.BookType.L3_MBO)
        self.deltas = nautilus.OrderBookDeltas(self.name, list(self._made(file)))

    def run(self) -> None:
        """What is timed."""
        self.book.apply_deltas(self.deltas)

    def levels(self, side: Side, depth: int) -> Levels:
        """The best levels now."""
        found = self.book.bids(depth) if side is Side.BID else self.book.asks(depth)
        return [
            (
                round(level.price.as_decimal().scaleb(-self.price_exp)),
                sum(round(order.size.as_decimal().scaleb(-self.qty_exp)) for order in level.get_orders()),
                len(level.get_orders()),
            )
            for level in found
        ]

    def _made(self, file: OrderFile) -> Iterator[Any]:
        """Executions are what is left, for it knows no other."""
        left: dict[int, int] = {}
        add, update, delete = (
            nautilus.BookAction.ADD,
            nautilus.BookAction.UPDATE,
            nautilus.BookAction.DELETE,
        )
        for op, ts in zip(file.ops, file.ts.tolist(), strict=True):
            kind, number, qty = Op(int(op["op"])), int(op["order_id"]), int(op["qty"])
            if kind is Op.CLEAR:
                left.clear()
                yield nautilus.OrderBookDelta.clear(self.name, 0, ts, ts)
                continue
            if kind is Op.EXECUTE:
                qty = left[number] - qty
            action = add if kind is Op.ADD else update
            if kind is Op.DELETE or qty == 0:
                action = delete
                del left[number]
            else:
                left[number] = qty
            price = nautilus.Price.from_str(f"{self._decimal(int(op['price']), file.price_exp)}")
            size = nautilus.Quantity.from_str(f"{self._decimal(qty, file.qty_exp)}")
            order = nautilus.BookOrder(_SIDES[Side(int(op["side"]))], price, size, number)
            yield nautilus.OrderBookDelta(self.name, action, order, 0, 0, ts, ts)

    @staticmethod
    def _decimal(mantissa: int, exp: int) -> str:
        if exp == 0:
            return str(mantissa)
        digits = f"{mantissa:0{1 - exp}d}"
        return f"{digits[:exp]}.{digits[exp:]}"
