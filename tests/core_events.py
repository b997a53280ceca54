"""Events of `_core.Decoder` as the plain values that the plain decoders give."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from outcrier import _core
from plain_events import Bbo, Book, Candle, Deriv, Event, Order, Orders, Ticker, Trade, Trading

CONNECTION = 3
ID_IS_HASH = 1
RATE_EXP = -12
CANDLE_CLOSED = 1

Decoder = _core.Decoder


class Reader:
    """A decoder of one connection, whose exponents are refined as it asks for it."""

    def __init__(self, shapes: str) -> None:
        self.decoder = Decoder(shapes)
        self.symbols: list[str] = []

    def add(self, symbol: str, exps: tuple[int, int] = (0, 0)) -> int:
        index = self.decoder.add(symbol, *exps)
        assert index == len(self.symbols)
        self.symbols.append(symbol)
        return index

    def read(self, frame: bytes) -> int:
        return self._refined(lambda: self.decoder.decode(CONNECTION, frame))

    def read_rest(self, index: int, body: bytes) -> int:
        """The answer to a request about an instrument."""
        return self._refined(lambda: self.decoder.decode_snapshot(index, body))

    def _refined(self, decode: Callable[[], int]) -> int:
        outcome = decode()
        while outcome == Decoder.NEEDS_FINER:
            assert self.decoder.events() == []
            assert self.decoder.finer is not None
            index, price_exp, qty_exp = self.decoder.finer
            assert (price_exp, qty_exp) != self.decoder.scale(index)
            self.decoder.set_scale(index, price_exp, qty_exp)
            outcome = decode()
        return outcome

    def bind_all(self, message: Any) -> None:
        """What Python does with an acknowledgement of a venue that numbers its channels."""
        if isinstance(message, dict) and message.get("event") == "subscribed":
            symbol = message["symbol"]
            if symbol in self.symbols:
                index = self.symbols.index(symbol)
                self.decoder.bind(CONNECTION, message["chanId"], index, message["channel"])

    def events(self) -> list[Event]:
        """Events of the last frame, trades one by one."""
        return [found for event in self.decoder.events() for found in self._plain(event)]

    def _plain(self, event: dict[str, Any]) -> list[Event]:
        symbol, time = self.symbols[event["instrument"]], event["exchange_ts"]
        price_exp, qty_exp = event["exps"]
        first, last, prev = event["ids"]
        covers = None if first == last else first
        assert covers is None or event["type"] == "book"
        if event["type"] in {"book", "trades", "bbo", "orders"}:
            assert event["exps"] == self.decoder.scale(event["instrument"])

        def price(mantissa: int | None) -> Any:
            return None if mantissa is None else Decimal(mantissa).scaleb(price_exp)

        def qty(mantissa: int) -> Decimal:
            return Decimal(mantissa).scaleb(qty_exp)

        match event["type"]:
            case "book":
                bids, asks = (
                    [(price(row[0]), qty(row[1])) for row in event[side]] for side in ("bids", "asks")
                )
                extras = event["bid_extras"] + event["ask_extras"]
                marks = tuple((number, *digits) for number, _, *digits in extras)
                return [
                    Book(
                        *(symbol, time, event["snapshot"], bids, asks, last, prev, event["checksum"], marks),
                        covers,
                    )
                ]
            case "trades" | "liquidations":
                return [
                    Trade(
                        *(symbol, row["ts"], price(row["price"]), qty(row["qty"]), row["aggressor"]),
                        f"xxh3:{row['id']}" if row["flags"] & ID_IS_HASH else str(row["id"] or ""),
                        *(row["flags"] & ~ID_IS_HASH, row["n_fills"], last),
                    )
                    for row in event["trades"]
                ]
            case "bbo":
                bid, ask = (
                    None if side is None else (price(side[0]), qty(side[1]), side[2])
                    for side in (event["bid"], event["ask"])
                )
                return [Bbo(symbol, time, bid, ask, last)]
            case "ticker":
                prices = tuple(price(event[name]) for name in ("last", "open", "high", "low"))
                return [Ticker(symbol, time, prices, event["volume"], event["turnover"], last)]
            case "candle":
                return [
                    Candle(
                        *(
                            symbol,
                            time,
                            event["open_ts"],
                            event["interval_s"],
                            event["flags"] == CANDLE_CLOSED,
                        ),
                        tuple(price(mantissa) for mantissa in event["prices"]),
                        *(event["volume"], event["turnover"], event["trade_count"]),
                    )
                ]
            case kind:
                if kind == "trading":
                    other: Event = Trading(symbol, time, event["state"])
                elif kind == "orders":
                    rows = tuple(order_of(row, price, qty) for row in event["orders"])
                    other = Orders(symbol, time, event["snapshot"], rows, last, event["checksum"])
                else:
                    other = Deriv(symbol, time, deriv_fields(event, price))
                return [other]


def order_of(row: dict[str, Any], price: Any, qty: Any) -> Order:
    return Order(
        *(row["verb"], row["key"], row["side"] == 1, price(row["price"])),
        None if row["qty"] is None else qty(row["qty"]),
        *(row["ts"], row["trade_id"], row["decimals"]),
    )


def deriv_fields(event: dict[str, Any], price: Any) -> dict[str, Any]:
    fields = {name: price(event[name]) for name in ("mark", "index", "settle")}
    for name in ("funding_rate", "next_rate"):
        fields[name] = None if event[name] is None else Decimal(event[name]).scaleb(RATE_EXP)
    for name in ("next_funding", "funding_interval_s", "open_interest", "oi_value"):
        fields[name] = event[name]
    return {name: value for name, value in fields.items() if value is not None}
