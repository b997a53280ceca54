"""Declarations as the JSON that the core compiles; `rust_core/core/src/shape/spec.rs` is its other side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from outcrier.shapes import (
    ANY,
    Aggressor,
    AggressorFlag,
    AnyShape,
    BaseShape,
    BboShape,
    Bound,
    CandleShape,
    Chain,
    Checksum,
    ConnectionPlusOne,
    DerivShape,
    Differs,
    Envelope,
    IntervalWords,
    Key,
    Kind,
    LiquidationShape,
    NoSequence,
    OneOf,
    OrdersShape,
    Path,
    Place,
    PlusOne,
    Prefix,
    Range,
    Sequence_,
    Shape,
    SideWords,
    SnapshotId,
    Suffix,
    Symbol,
    Test,
    Tests,
    TickerShape,
    Time,
    TimeAt,
    TradeShape,
    TradingShape,
    Where,
)


def to_json(
    shapes: Sequence[AnyShape], *, envelope: Envelope | None = None, connection_sequence: Where | None = None
) -> str:
    """The text that `_core.Feed` compiles. The core checks it and names shape and field of a mistake.

    `connection_sequence` is the place of a number that grows by one over all frames of a connection
    (Coinbase, Bitfinex).
    """
    spec = {
        "envelope": None
        if envelope is None
        else {
            "payload": _path(envelope.payload),
            "optional": envelope.optional,
            "known": [_path(path) for path in envelope.known],
        },
        "connection_sequence": None if connection_sequence is None else _frame_place(connection_sequence),
        "shapes": [_shape(shape) for shape in shapes],
    }
    return msgspec.json.encode(spec).decode()


_Json: TypeAlias = dict[str, Any]


def _path(path: Path) -> list[Key]:
    return list(path) if isinstance(path, tuple) else [path]


def _place(where: Where, scope: str = "here") -> _Json:
    if isinstance(where, Place):
        return {"scope": where.scope, "path": list(where.path)}
    return {"scope": scope, "path": _path(where)}


def _frame_place(where: Where) -> _Json:
    return _place(where, "frame")


def _maybe(where: Where | None) -> _Json | None:
    return None if where is None else _place(where)


def _test(test: Test) -> _Json:
    spec: _Json = {"type": "one_of", "values": test if isinstance(test, list) else [test]}
    match test:
        case Kind(kind):
            spec = {"type": "kind", "kind": kind}
        case Prefix(text):
            spec = {"type": "prefix", "text": text}
        case Suffix(text):
            spec = {"type": "suffix", "text": text}
        case Differs(values):
            spec = {"type": "differs", "values": list(values)}
        case OneOf(values):
            spec["values"] = list(values)
        case _:
            pass
    return spec


def _tests(tests: Tests, scope: str = "here") -> list[_Json]:
    return [{"at": _place(where, scope), "test": _test(test)} for where, test in tests.items()]


def _instrument(shape: BaseShape) -> _Json:
    match shape.instrument:
        case None:
            return {"type": "known"}
        case Bound(at, channel):
            return {"type": "bound", "at": _place(at), "channel": channel}
        case Symbol() as symbol:
            pass
        case where:
            symbol = Symbol(where)
    return {"type": "symbol", "text": _text(symbol), "case": symbol.case}


def _text(text: Symbol | IntervalWords) -> _Json:
    return {"at": _place(text.at), "split": text.split, "part": text.part}


def _time(time: TimeAt | None) -> _Json | None:
    if time is None:
        return None
    if isinstance(time, tuple):
        time = Time(*time)
    return {"at": _place(time.at), "unit": time.unit, "zone_s": time.zone_s}


def _sequence(sequence: Sequence_) -> _Json:
    rule, first, last, prev, splice = "none", None, None, None, "none"
    match sequence:
        case Range():
            rule, splice, first, last = "range", sequence.splice, sequence.first, sequence.last
        case Chain():
            rule, splice, last, prev = "chain", sequence.splice, sequence.last, sequence.prev
            first = sequence.first
        case PlusOne():
            rule, splice, last = "plus_one", sequence.splice, sequence.at
        case ConnectionPlusOne():
            rule, splice = "connection_plus_one", sequence.splice
        case NoSequence():
            last, splice = sequence.at, sequence.splice
        case SnapshotId(at):
            last = at
    return {
        "rule": rule,
        "splice": splice,
        "first": _maybe(first),
        "last": _maybe(last),
        "prev": _maybe(prev),
    }


def _level(shape: Shape) -> _Json:
    if isinstance(shape.level, tuple):
        fields: dict[str, Path] = {name: position for position, name in enumerate(shape.level) if name != "_"}
    else:
        fields = dict(shape.level)
    return {
        "fields": {name: _path(path) for name, path in fields.items()},
        "packed": shape.packed,
        "remove": list(shape.remove),
    }


def _skipped(shape: BaseShape) -> list[_Json]:
    """The positions of levels that are named "_"."""
    if not isinstance(shape, Shape) or not isinstance(shape.level, tuple) or shape.packed is not None:
        return []
    levels = shape.levels if isinstance(shape.levels, Mapping) else (shape.levels,)
    lists = [_place(at) for at in (shape.bids, shape.asks, *levels) if at is not None]
    row: list[Key] = [] if shape.one else [ANY]
    skipped = [position for position, name in enumerate(shape.level) if name == "_"]
    return [{**at, "path": [*at["path"], *row, position]} for at in lists for position in skipped]


def _book(shape: Shape) -> _Json:
    if isinstance(shape.levels, Mapping):
        lists = [{"at": _place(at), "remove": verb == "remove"} for at, verb in shape.levels.items()]
    elif shape.levels is not None:
        lists = [{"at": _place(shape.levels), "remove": False}]
    else:
        lists = []
    return {
        "type": "book",
        "bids": _maybe(shape.bids),
        "asks": _maybe(shape.asks),
        "lists": lists,
        "omits_empty": shape.omits_empty,
        "one": shape.one,
        "level": _level(shape),
        "side": _side(shape.side),
        "snapshot": _snapshot(shape.snapshot),
        "ignore_zero_price": shape.ignore_zero_price,
        "scaled": shape.scaled,
        "depth": shape.depth,
        "checksum": _checksum(shape.checksum),
    }


def _side(side: SideWords | str | None) -> _Json | None:
    if isinstance(side, SideWords):
        return {"type": "words", "bid": list(side.bid), "ask": list(side.ask)}
    return None if side is None else {"type": "sign"}


def _snapshot(snapshot: bool | str | Tests) -> _Json:
    match snapshot:
        case bool():
            return {"type": "always" if snapshot else "never"}
        case str():
            return {"type": "first_after_bind"}
        case tests:
            return {"type": "when", "tests": _tests(tests)}


def _checksum(checksum: Checksum | None) -> _Json | None:
    return None if checksum is None else {"at": _place(checksum.at), "algorithm": checksum.algorithm}


def _orders(shape: OrdersShape) -> _Json:
    verb: _Json
    if isinstance(shape.verb, str):
        verb = {"type": "always", "verb": shape.verb}
    else:
        verb = {"type": "words", "words": dict(shape.verb)}
    return {
        "type": "orders",
        "bids": _maybe(shape.bids),
        "asks": _maybe(shape.asks),
        "fields": {name: _place(where) for name, where in shape.order.items()},
        "id": shape.id,
        "time_unit": shape.time_unit,
        "side": _side(shape.side),
        "verb": verb,
        "snapshot": _snapshot(shape.snapshot),
        "by_time": shape.by_time,
        "absent": list(shape.absent),
        "depth": shape.depth,
        "checksum": _checksum(shape.checksum),
    }


def _aggressor(aggressor: Aggressor | AggressorFlag | str | None) -> _Json | None:
    match aggressor:
        case None:
            return None
        case Aggressor(at, words, maker):
            buy, sell = (words.ask, words.bid) if maker else (words.bid, words.ask)
            return {"type": "words", "at": _place(at), "buy": list(buy), "sell": list(sell)}
        case AggressorFlag(at, test, then):
            return {"type": "flag", "at": _place(at), "test": _test(test), "then": then}
        case _:
            return {"type": "sign"}


def _trade(shape: TradeShape) -> _Json:
    return {
        "type": "liquidations" if isinstance(shape, LiquidationShape) else "trades",
        "price": _place(shape.price),
        "qty": _place(shape.qty),
        "time": _time(shape.time),
        "id": _maybe(shape.id),
        "aggressor": _aggressor(shape.aggressor),
        "first_fill": None if shape.fills is None else _place(shape.fills[0]),
        "last_fill": None if shape.fills is None else _place(shape.fills[1]),
        "n_fills": _maybe(shape.n_fills),
        "flags": [{"bits": bits, "tests": _tests(tests)} for bits, tests in shape.flags],
        "scaled": shape.scaled,
    }


def _places(shape: BaseShape, names: tuple[str, ...]) -> _Json:
    return {name: _maybe(getattr(shape, name)) for name in names}


def _body(shape: BaseShape) -> _Json:
    names: tuple[str, ...]
    match shape:
        case Shape():
            return _book(shape)
        case TradeShape():
            return _trade(shape)
        case BboShape():
            names = ("bid_price", "bid_qty", "ask_price", "ask_qty", "bid_orders", "ask_orders")
            return {"type": "bbo", "scaled": shape.scaled, **_places(shape, names)}
        case TickerShape():
            names = ("last", "open", "high", "low", "volume", "turnover", "trade_count")
            return {"type": "ticker", "window_s": shape.window_s, **_places(shape, names)}
        case CandleShape():
            return _candle(shape)
        case _:
            return _state(shape)


def _candle(shape: CandleShape) -> _Json:
    interval: _Json
    if isinstance(shape.interval, int):
        interval = {"type": "fixed", "seconds": shape.interval}
    else:
        interval = {"type": "words", "text": _text(shape.interval), "seconds": dict(shape.interval.seconds)}
    names = ("open", "high", "low", "close", "volume", "turnover", "trade_count")
    return {
        "type": "candle",
        "open_time": _time(shape.open_time),
        "interval": interval,
        "closed": None if shape.closed is None else _tests(shape.closed),
        **_places(shape, names),
    }


def _state(shape: BaseShape) -> _Json:
    match shape:
        case DerivShape():
            return _deriv(shape)
        case OrdersShape():
            return _orders(shape)
        case TradingShape():
            states = [{"state": state, "tests": _tests(tests)} for state, tests in shape.states]
            return {"type": "trading", "states": states}
        case _:
            raise TypeError(f"{type(shape).__name__} is no shape")


def _deriv(shape: DerivShape) -> _Json:
    names = ("mark", "index", "settle", "funding_rate", "next_rate", "open_interest", "oi_value")
    interval = shape.funding_interval
    return {
        "type": "deriv",
        "next_funding": _time(shape.next_funding),
        "funding_interval": None if interval is None else {"at": _place(interval[0]), "unit_s": interval[1]},
        **_places(shape, names),
    }


def _shape(shape: BaseShape) -> _Json:
    return {
        "name": shape.name,
        "rest": shape.rest,
        "also": shape.also,
        "when": _tests(shape.when, "payload"),
        "each": None if shape.each is None else _place(shape.each, "payload"),
        "inner": None if shape.inner is None else _path(shape.inner),
        "beside": [_path(path) for path in shape.beside],
        "instrument": _instrument(shape),
        "exchange_time": _time(shape.exchange_time),
        "sequence": _sequence(shape.sequence),
        "known": [*map(_place, shape.known), *_skipped(shape)],
        "body": _body(shape),
    }
