"""Writes the declarations that the Rust tests compile.

`PYTHONPATH=python python rust_core/core/tests/shapes/write.py`. `binance_*.json` are the shapes of the venue
module itself, `venues.json` maps names to those of other venues. `forms.json` maps names to
declarations made for the tests, one for each form of a declaration.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from outcrier import shapes as s
from outcrier.shape_json import to_json
from outcrier.venues import bitfinex, bybit, bybit_v2, okx
from outcrier.venues.binance_messages import COINM_SHAPES, SPOT_SHAPES, USDM_SHAPES
from outcrier.venues.coinbase import COINBASE
from outcrier.venues.coinbase_exchange import COINBASE_EXCHANGE
from outcrier.venues.kraken import KRAKEN
from outcrier.venues.kraken_v1 import KRAKEN_V1
from outcrier.venues.upbit import UPBIT

BUY_SELL = s.SideWords(bid=("buy", "Buy", "bid"), ask=("sell", "Sell", "offer", "ask"))


def venue(*shapes: s.AnyShape, **more: Any) -> dict[str, Any]:
    """The declaration as a value, to lie beside others in one file."""
    spec: dict[str, Any] = json.loads(to_json(shapes, **more))
    return spec


BINANCE = s.Envelope("data", optional=True, known=("stream",))
FORMS = {
    # Several shapes of one frame kind; symbol in the stream's name, split and upper-cased; whole book always.
    "binance_more": venue(
        s.Shape(
            name="partial_depth",
            when={"lastUpdateId": s.PRESENT},
            instrument=s.Symbol(s.frame("stream"), split="@", part=0, case="upper"),
            sequence=s.SnapshotId("lastUpdateId"),
            bids="bids",
            asks="asks",
            snapshot=True,
        ),
        s.TradeShape(
            name="block_trade",
            when={"e": "blockTrade"},
            instrument="s",
            exchange_time=("E", "ms"),
            price="p",
            qty="q",
            time=("T", "ms"),
            id="t",
            aggressor=s.AggressorFlag("m", test=True, then="sell"),
            flags=((s.TRADE_BLOCK, {"e": s.PRESENT}),),
        ),
        s.TickerShape(
            name="all_tickers", each=(), instrument="s", exchange_time=("E", "ms"), last="c", volume="v"
        ),
        envelope=BINANCE,
    ),
    # Text prefix, snapshot by value, plus one.
    "bybit": venue(
        s.Shape(
            name="book",
            when={"topic": s.Prefix("orderbook.")},
            instrument=("data", "s"),
            exchange_time=("ts", "ms"),
            sequence=s.PlusOne(("data", "u")),
            bids=("data", "b"),
            asks=("data", "a"),
            snapshot={"type": "snapshot"},
        ),
        s.TradeShape(
            name="trades",
            when={"topic": s.Prefix("publicTrade.")},
            each="data",
            instrument="s",
            exchange_time=s.Time(s.payload("ts"), "ms"),
            price="p",
            qty="v",
            time=("T", "ms"),
            id="i",
            aggressor=s.Aggressor("S", BUY_SELL),
            flags=((s.TRADE_BLOCK, {"BT": True}),),
        ),
        s.CandleShape(
            name="kline",
            when={"topic": s.Prefix("kline.")},
            each="data",
            instrument=s.Symbol(s.payload("topic"), split=".", part=-1),
            open_time=("start", "ms"),
            interval=s.IntervalWords(s.payload("topic"), {"5": 300}, split=".", part=1),
            open="open",
            high="high",
            low="low",
            close="close",
            volume="volume",
            turnover="turnover",
            closed={"confirm": True},
        ),
        s.DerivShape(
            name="tickers",
            when={"topic": s.Prefix("tickers.")},
            instrument=("data", "symbol"),
            exchange_time=("ts", "ms"),
            mark=("data", "markPrice"),
            index=("data", "indexPrice"),
            funding_rate=("data", "fundingRate"),
            next_funding=(("data", "nextFundingTime"), "ms"),
            funding_interval=(("data", "fundingIntervalHour"), 3600),
            open_interest=("data", "openInterest"),
            oi_value=("data", "openInterestValue"),
        ),
    ),
    # Lists by verb, side in the row, level ids, removal without quantity.
    "bybit_v2": venue(
        s.Shape(
            name="snapshot",
            when={"topic": s.Prefix("orderBookL2_25."), "type": "snapshot"},
            instrument=s.Symbol("topic", split=".", part=1),
            exchange_time=("timestamp_e6", "us"),
            levels=("data", "order_book"),
            level={"price": "price", "qty": "size", "side": "side", "id": "id"},
            side=BUY_SELL,
            snapshot=True,
        ),
        s.Shape(
            name="delta",
            when={"topic": s.Prefix("orderBookL2_25."), "type": "delta"},
            instrument=s.Symbol("topic", split=".", part=1),
            exchange_time=("timestamp_e6", "us"),
            levels={("data", "delete"): "remove", ("data", "update"): "set", ("data", "insert"): "set"},
            level={"price": "price", "qty": "size", "side": "side", "id": "id"},
            side=BUY_SELL,
        ),
    ),
    # Price looked up by level id; instrument in the row; one level per element.
    "bitmex": venue(
        s.Shape(
            name="set",
            when={"table": "orderBookL2", "action": s.OneOf(("partial", "insert", "update"))},
            each="data",
            instrument="symbol",
            levels=(),
            one=True,
            level={"price": "price", "qty": "size", "side": "side", "id": "id"},
            side=BUY_SELL,
        ),
        s.Shape(
            name="delete",
            when={"table": "orderBookL2", "action": "delete"},
            each="data",
            instrument="symbol",
            levels={(): "remove"},
            one=True,
            level={"price": "price", "qty": "size", "side": "side", "id": "id"},
            side=BUY_SELL,
        ),
        s.TradeShape(
            name="trades",
            when={"table": "trade"},
            each="data",
            instrument="symbol",
            price="price",
            qty="size",
            time=("timestamp", "rfc3339"),
            id="trdMatchID",
            aggressor=s.Aggressor("side", BUY_SELL),
        ),
    ),
    # Events in an array, extra fields in levels, chain, checksum over the text as sent.
    "okx": venue(
        s.Shape(
            name="books",
            when={("arg", "channel"): "books", "action": s.PRESENT},
            each="data",
            instrument=s.payload("arg", "instId"),
            exchange_time=("ts", "ms"),
            sequence=s.Chain(last="seqId", prev="prevSeqId", splice="in_stream"),
            bids="bids",
            asks="asks",
            level=("price", "qty", "_", "_"),
            snapshot={s.payload("action"): "snapshot"},
            checksum=s.Checksum("checksum", "okx"),
        ),
        s.TradeShape(
            name="trades",
            when={("arg", "channel"): s.Prefix("trades")},
            each="data",
            instrument="instId",
            price="px",
            qty="sz",
            time=("ts", "ms"),
            id="tradeId",
            aggressor=s.Aggressor("side", BUY_SELL),
            n_fills="count",
        ),
        s.CandleShape(
            name="candles",
            when={("arg", "channel"): s.Suffix("1D")},
            each="data",
            instrument=s.payload("arg", "instId"),
            open_time=(0, "ms"),
            interval=86_400,
            open=1,
            high=2,
            low=3,
            close=4,
            volume=6,
            turnover=7,
            closed={8: "1"},
        ),
    ),
    # Objects with JSON numbers as levels, depth, RFC 3339.
    "kraken_v2": venue(
        s.Shape(
            name="book",
            when={"channel": "book"},
            each="data",
            instrument="symbol",
            exchange_time=("timestamp", "rfc3339"),
            bids="bids",
            asks="asks",
            level={"price": "price", "qty": "qty"},
            snapshot={s.payload("type"): "snapshot"},
            depth=10,
            checksum=s.Checksum("checksum", "kraken"),
        ),
        s.BboShape(
            name="ticker",
            when={"channel": "ticker"},
            each="data",
            instrument="symbol",
            exchange_time=("timestamp", "rfc3339"),
            bid_price="bid",
            bid_qty="bid_qty",
            ask_price="ask",
            ask_qty="ask_qty",
        ),
    ),
    # Positions from the end, two objects side by side, snapshot by presence, fractional text time.
    "kraken_v1": venue(
        s.Shape(
            name="snapshot",
            when={-2: s.Prefix("book"), (1, "as"): s.PRESENT},
            instrument=s.payload(-1),
            beside=(1, 2),
            bids="bs",
            asks="as",
            snapshot={"as": s.PRESENT},
            depth=1000,
        ),
        s.Shape(
            name="update",
            when={-2: s.Prefix("book")},
            instrument=s.payload(-1),
            beside=(1, 2),
            bids="b",
            asks="a",
            omits_empty=True,
            checksum=s.Checksum("c", "kraken"),
            depth=1000,
        ),
        s.TradeShape(
            name="trades",
            when={-2: "trade"},
            each=1,
            instrument=s.payload(-1),
            price=0,
            qty=1,
            time=(2, "s"),
            aggressor=s.Aggressor(3, s.SideWords(bid=("b",), ask=("s",))),
        ),
    ),
    # One level per frame; opaque trade ids; liquidation by flag.
    "kraken_futures": venue(
        s.Shape(
            name="snapshot",
            when={"feed": "book_snapshot"},
            instrument="product_id",
            exchange_time=("timestamp", "ms"),
            sequence=s.PlusOne("seq"),
            bids="bids",
            asks="asks",
            level={"price": "price", "qty": "qty"},
            snapshot=True,
        ),
        s.Shape(
            name="book",
            when={"feed": "book"},
            instrument="product_id",
            exchange_time=("timestamp", "ms"),
            sequence=s.PlusOne("seq"),
            levels=(),
            one=True,
            level={"price": "price", "qty": "qty", "side": "side"},
            side=BUY_SELL,
        ),
        s.TradeShape(
            name="trade",
            when={"feed": "trade"},
            instrument="product_id",
            price="price",
            qty="qty",
            time=("time", "ms"),
            id="uid",
            aggressor=s.Aggressor("side", BUY_SELL),
            flags=((s.TRADE_LIQUIDATION, {"type": "liquidation"}),),
        ),
    ),
    # Bound numbers, sign, count, element kinds, a sequence of the connection at the end of every frame.
    "bitfinex": venue(
        s.Shape(
            name="snapshot",
            when={1: s.IS_ARRAY_OF_ARRAYS, 3: s.IS_NUMBER},
            instrument=s.Bound(0),
            exchange_time=(3, "ms"),
            sequence=s.ConnectionPlusOne(),
            levels=1,
            level=("price", "count", "qty"),
            side=s.BY_SIGN,
            snapshot=True,
        ),
        s.Shape(
            name="update",
            when={1: s.IS_ARRAY, 3: s.IS_NUMBER},
            instrument=s.Bound(0),
            exchange_time=(3, "ms"),
            sequence=s.ConnectionPlusOne(),
            levels=1,
            one=True,
            level=("price", "count", "qty"),
            side=s.BY_SIGN,
        ),
        s.TradeShape(
            name="te",
            when={1: "te"},
            instrument=s.Bound(0),
            price=(2, 3),
            qty=(2, 2),
            time=((2, 1), "ms"),
            id=(2, 0),
            aggressor=s.BY_SIGN,
        ),
        connection_sequence=-2,
    ),
    # Elements with rows in them, instrument in event or row, maker's side inverted.
    "coinbase": venue(
        s.Shape(
            name="l2",
            when={"channel": "l2_data"},
            each="events",
            instrument="product_id",
            exchange_time=s.Time(s.payload("timestamp"), "rfc3339"),
            sequence=s.ConnectionPlusOne(),
            levels="updates",
            level={"side": "side", "price": "price_level", "qty": "new_quantity"},
            side=BUY_SELL,
            snapshot={"type": "snapshot"},
        ),
        s.TradeShape(
            name="trades",
            when={"channel": "market_trades"},
            each="events",
            inner="trades",
            instrument="product_id",
            price="price",
            qty="size",
            time=("time", "rfc3339"),
            id="trade_id",
            aggressor=s.Aggressor("side", s.SideWords(bid=("BUY",), ask=("SELL",)), maker=True),
            flags=((s.TRADE_AUCTION, {s.element("type"): "snapshot"}),),
        ),
        connection_sequence="sequence_num",
    ),
    # Rows as arrays that begin with the side.
    "coinbase_exchange": venue(
        s.Shape(
            name="l2update",
            when={"type": "l2update"},
            instrument="product_id",
            exchange_time=("time", "rfc3339"),
            levels="changes",
            level=("side", "price", "qty"),
            side=BUY_SELL,
            snapshot="first_after_bind",
        ),
    ),
    # Both sides in one row, price 0 is no level, time by magnitude.
    "upbit": venue(
        s.Shape(
            name="orderbook",
            when={"type": "orderbook"},
            instrument="code",
            exchange_time=("timestamp", "magnitude"),
            levels="orderbook_units",
            level={
                "bid_price": "bid_price",
                "bid_qty": "bid_size",
                "ask_price": "ask_price",
                "ask_qty": "ask_size",
            },
            snapshot=True,
            ignore_zero_price=True,
        ),
        s.TradeShape(
            name="trade",
            when={"type": "trade"},
            instrument="code",
            price="trade_price",
            qty="trade_volume",
            time=("trade_timestamp", "magnitude"),
            id="sequential_id",
            aggressor=s.Aggressor("ask_bid", s.SideWords(bid=("BID",), ask=("ASK",))),
        ),
    ),
    # Time as text in a fixed zone, rows of several instruments.
    "bithumb": venue(
        s.Shape(
            name="depth",
            when={"type": "orderbookdepth"},
            each=("content", "list"),
            instrument="symbol",
            exchange_time=s.Time(s.payload("content", "datetime"), "us"),
            levels=(),
            one=True,
            level={"price": "price", "qty": "quantity", "side": "orderType", "count": "total"},
            side=BUY_SELL,
        ),
        s.TradeShape(
            name="transaction",
            when={"type": "transaction"},
            each=("content", "list"),
            instrument="symbol",
            price="contPrice",
            qty="contQty",
            time=s.Time("contDtm", "text", zone_s=9 * 3600),
            aggressor=s.Aggressor("buySellGb", s.SideWords(bid=("2",), ask=("1",))),
        ),
    ),
    # A verb in each level.
    "deribit": venue(
        s.Shape(
            name="book",
            when={("params", "channel"): s.Prefix("book.")},
            instrument=s.Symbol(("params", "channel"), split=".", part=1),
            exchange_time=(("params", "data", "timestamp"), "ms"),
            sequence=s.Chain(
                last=("params", "data", "change_id"),
                prev=("params", "data", "prev_change_id"),
                splice="in_stream",
            ),
            bids=("params", "data", "bids"),
            asks=("params", "data", "asks"),
            level=("verb", "price", "qty"),
            remove=("delete",),
            snapshot={("params", "data", "prev_change_id"): s.ABSENT},
        ),
    ),
    # Price 0 only advances the ids, levels numbered one by one, time in ns as text.
    "kucoin": venue(
        s.Shape(
            name="level2",
            when={"topic": s.Prefix("/market/level2:")},
            instrument=s.Symbol("topic", split=":", part=1),
            exchange_time=(("data", "time"), "ms"),
            sequence=s.Range(first=("data", "sequenceStart"), last=("data", "sequenceEnd")),
            bids=("data", "changes", "bids"),
            asks=("data", "changes", "asks"),
            level=("price", "qty", "sequence"),
            ignore_zero_price=True,
        ),
        s.TradeShape(
            name="match",
            when={"topic": s.Prefix("/market/match:")},
            instrument=("data", "symbol"),
            price=("data", "price"),
            qty=("data", "size"),
            time=(("data", "time"), "ns"),
            id=("data", "tradeId"),
            aggressor=s.Aggressor(("data", "side"), BUY_SELL),
        ),
        # One level per message, as packed text.
        s.Shape(
            name="futures_level2",
            when={"topic": s.Prefix("/contractMarket/level2:")},
            instrument=s.Symbol("topic", split=":", part=-1),
            exchange_time=(("data", "timestamp"), "ms"),
            sequence=s.PlusOne(("data", "sequence"), splice="range"),
            levels=("data", "change"),
            one=True,
            packed=",",
            level=("price", "side", "qty"),
            side=BUY_SELL,
        ),
    ),
    # Integers at the instrument's scale.
    "phemex": venue(
        s.Shape(
            name="book",
            when={"book": s.PRESENT},
            instrument="symbol",
            exchange_time=("timestamp", "ns"),
            bids=("book", "bids"),
            asks=("book", "asks"),
            snapshot={"type": "snapshot"},
            scaled=True,
        ),
        s.TradeShape(
            name="trades",
            each="trades",
            instrument=s.payload("symbol"),
            price=2,
            qty=3,
            time=(0, "ns"),
            aggressor=s.Aggressor(1, BUY_SELL),
            scaled=True,
        ),
    ),
    # Exponent form, numbers beyond 64 bits in fields nobody reads, an empty aggressor.
    "htx": venue(
        s.Shape(
            name="depth",
            when={"ch": s.Suffix(".depth.step0")},
            instrument=s.Symbol("ch", split=".", part=1, case="lower"),
            exchange_time=("ts", "ms"),
            sequence=s.NoSequence(("tick", "version")),
            bids=("tick", "bids"),
            asks=("tick", "asks"),
            snapshot=True,
        ),
        s.TradeShape(
            name="trades",
            when={"ch": s.Suffix(".trade.detail")},
            each=("tick", "data"),
            instrument=s.Symbol(s.payload("ch"), split=".", part=1, case="lower"),
            price="price",
            qty="amount",
            time=("ts", "ms"),
            id="id",
            aggressor=s.Aggressor("direction", BUY_SELL),
        ),
    ),
    # Sides by position; null for a side.
    "hyperliquid": venue(
        s.Shape(
            name="l2Book",
            when={"channel": "l2Book"},
            instrument=("data", "coin"),
            exchange_time=(("data", "time"), "ms"),
            bids=("data", "levels", 0),
            asks=("data", "levels", 1),
            level={"price": "px", "qty": "sz"},
            snapshot=True,
        ),
        s.BboShape(
            name="bbo",
            when={"channel": "bbo"},
            instrument=("data", "coin"),
            exchange_time=(("data", "time"), "ms"),
            bid_price=("data", "bbo", 0, "px"),
            bid_qty=("data", "bbo", 0, "sz"),
            bid_orders=("data", "bbo", 0, "n"),
            ask_price=("data", "bbo", 1, "px"),
            ask_qty=("data", "bbo", 1, "sz"),
            ask_orders=("data", "bbo", 1, "n"),
        ),
    ),
    # A side that did not change is absent, in one object or in the elements of a batch.
    "dydx": venue(
        s.Shape(
            name="update",
            when={"channel": "v4_orderbook", "type": "channel_data"},
            instrument="id",
            bids=("contents", "bids"),
            asks=("contents", "asks"),
            omits_empty=True,
            known=(("contents", "flags"),),
        ),
        s.Shape(
            name="batch",
            when={"channel": "v4_orderbook", "type": "channel_batch_data"},
            each="contents",
            instrument=s.payload("id"),
            bids="bids",
            asks="asks",
            omits_empty=True,
            known=("flags",),
        ),
    ),
    # Snapshot by flag, one list may be absent; an envelope that is always there; ms with a fraction.
    "gateio": venue(
        s.Shape(
            name="obu",
            when={s.frame("channel"): "spot.obu"},
            instrument=s.Symbol("s", split=".", part=1),
            exchange_time=("t", "magnitude"),
            sequence=s.Range(first="U", last="u", splice="in_stream"),
            bids="b",
            asks="a",
            omits_empty=True,
            snapshot={"full": True},
        ),
        s.TradeShape(
            name="spot_trade",
            when={s.frame("channel"): "spot.trades"},
            instrument="currency_pair",
            price="price",
            qty="amount",
            time=("create_time_ms", "ms"),
            id="id",
            aggressor=s.Aggressor("side", BUY_SELL),
        ),
        s.TradeShape(
            name="futures_trades",
            when={s.frame("channel"): "futures.trades"},
            each=(),
            instrument="contract",
            price="price",
            qty="size",
            time=("create_time_ms", "ms"),
            id="id",
            aggressor=s.BY_SIGN,
            flags=((s.TRADE_LIQUIDATION, {"is_internal": True}),),
        ),
        envelope=s.Envelope("result"),
    ),
    # A key found twice: the form is Binance's, the mistake is made up.
    "plain": venue(
        s.TradeShape(
            name="trade", instrument="s", price="p", qty="q", id="i", time=("t", "s"), when={"p": s.PRESENT}
        ),
    ),
}

VENUES = {
    "bybit": bybit.BYBIT_LINEAR.shapes_json,
    "bybit_v2": bybit_v2.BYBIT_V2.shapes_json,
    "okx": okx.OKX_SWAP.shapes_json,
    "okx_2022": okx.OKX_2022.shapes_json,
    "coinbase": COINBASE.shapes_json,
    "coinbase_exchange": COINBASE_EXCHANGE.shapes_json,
    "kraken": KRAKEN.shapes_json,
    "kraken_v1": KRAKEN_V1.shapes_json,
    "upbit": UPBIT.shapes_json,
    "bitfinex": bitfinex.SHAPES_JSON,
    "bitfinex_untimed": bitfinex.UNTIMED_SHAPES_JSON,
}


def files() -> dict[str, str]:
    """Name and text of every file."""
    venues = {"spot": SPOT_SHAPES, "usdm": USDM_SHAPES, "coinm": COINM_SHAPES}
    declared = {name: json.loads(text) for name, text in VENUES.items()}
    all_files = {
        "forms.json": json.dumps(FORMS, indent=1) + "\n",
        "venues.json": json.dumps(declared, indent=1) + "\n",
    }
    for name, shapes in venues.items():
        text = json.dumps(json.loads(to_json(shapes, envelope=BINANCE)), indent=1)
        all_files[f"binance_{name}.json"] = text + "\n"
    return all_files


if __name__ == "__main__":
    for file_name, content in files().items():
        (Path(__file__).parent / file_name).write_text(content)
