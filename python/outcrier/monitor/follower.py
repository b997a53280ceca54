"""One instrument followed with its book, as a consumer sees it: only while somebody looks at it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

import msgspec
import numpy as np

from outcrier._core import STATES, layouts
from outcrier.layout import REASONS, STATUS
from outcrier.order_views import OrdersView, front
from outcrier.orders import Side
from outcrier.prices import to_decimal
from outcrier.reception import make_receiver
from outcrier.views import BookView
from outcrier.wanted import core_symbol

DEPTH: Final = 10
"""Levels of each side that are shown."""

HISTORY: Final = 100
"""Changes of state that are kept."""

_POLLS_MAX: Final = 8
"""Reads of the sockets for one look, 4,096 datagrams each: three times what 100,000 frames/s bring in 100 ms.
"""

_SIZE, _FIELDS = layouts()["events"]
_EVENT: Final = np.dtype(
    {
        "names": [name for name, _, _ in _FIELDS],
        "formats": [form for _, form, _ in _FIELDS],
        "offsets": [offset for _, _, offset in _FIELDS],
        "itemsize": _SIZE,
    }
)


class Seen(msgspec.Struct, frozen=True):
    """A state, since when, and why."""

    at_ns: int
    """Receive stamp of the event that told, or the time of the look that showed it; ns since the epoch."""
    state: str
    reason: str


class QueueShown(msgspec.Struct, frozen=True):
    """A level as its orders."""

    side: str
    price: str
    qty: str
    orders: int
    front: str
    """Quantities of its orders, the front first."""


class Followed(msgspec.Struct, frozen=True):
    """What a consumer has of the instrument."""

    symbol: str
    state: str
    reason: str
    bids: tuple[tuple[str, str], ...]
    """(price, quantity), best first."""
    asks: tuple[tuple[str, str], ...]
    levels: tuple[int, int]
    """Levels of the whole sides."""
    instr_seq: int
    source_seq: int
    exchange_ts: int
    recv_ts: int
    history: tuple[Seen, ...]
    """The oldest first."""
    orders: str = ""
    """How many orders there are and who tells of them."""
    queues: tuple[QueueShown, ...] = ()
    """Levels as their orders, from the best one on, a side after the other."""


class Follower:
    """A Receiver for one symbol, which asks for what it lost as every consumer does."""

    def __init__(self, symbol: str, *, keys: str = "", manifest_key: str = "") -> None:
        """`symbol`: such as `BTC/USDT@binance`. Raises ConfigurationError for what is none."""
        self.symbol = symbol
        core = core_symbol(symbol)
        self.receiver = make_receiver(
            repair=True,
            symbols=[core],
            types=[STATUS],
            accept_replay=True,
            accept_test=True,
            keys=keys,
            manifest_key=manifest_key,
        )
        self._core = core
        view = BookView(self.receiver, symbol, core, to_decimal)
        self._orders = OrdersView(self.receiver.orders(core), view, to_decimal)
        self._history: deque[Seen] = deque(maxlen=HISTORY)

    def poll(self) -> None:
        """Reads what has arrived."""
        for _ in range(_POLLS_MAX):
            self.receiver.poll()

    def close(self) -> None:
        """Leaves the groups."""
        self.receiver.close()

    def look(self, wall_ns: int) -> Followed:
        """What there is now, which is `wall_ns`."""
        events = self.receiver.take()["events"].view(_EVENT).reshape(-1)
        for number, reason, at_ns in zip(
            events["state"].tolist(), events["reason"].tolist(), events["rx_ts"].tolist(), strict=True
        ):
            self._remember(STATES[number], _reason(reason), at_ns or wall_ns)
        found = self.receiver.find(self._core)
        if found is None:
            return Followed(self.symbol, "UNKNOWN", "no definition heard", (), (), (0, 0), 0, 0, 0, 0, ())
        info = self.receiver.book_info(*found)
        price_exp, qty_exp, bids, asks = self.receiver.top(*found, DEPTH)
        self._remember(info["state"], _reason(info["reason"]), wall_ns)
        return Followed(
            self.symbol,
            info["state"],
            _reason(info["reason"]),
            tuple((_text(price, price_exp), _text(qty, qty_exp)) for price, qty in bids),
            tuple((_text(price, price_exp), _text(qty, qty_exp)) for price, qty in asks),
            (info["bids"], info["asks"]),
            info["instr_seq"],
            info["source_seq"],
            info["exchange_ts"],
            info["recv_ts"],
            tuple(self._history),
            self._orders.kind,
            tuple(self._queues()),
        )

    def _queues(self) -> Iterator[QueueShown]:
        for side, levels in zip(Side, self._orders.top(DEPTH), strict=True):
            for at, level in enumerate(levels):
                shown = front(self._orders.queued(side, at))
                yield QueueShown(side.name.lower(), f"{level.price:f}", f"{level.qty:f}", level.orders, shown)

    def _remember(self, state: str, reason: str, at_ns: int) -> None:
        if not self._history or self._history[-1].state != state:
            self._history.append(Seen(at_ns, state, reason))


def _text(mantissa: int, exp: int) -> str:
    return f"{Decimal(mantissa).scaleb(exp):f}"


def _reason(number: int) -> str:
    return REASONS.get(number, str(number)) if number else ""
