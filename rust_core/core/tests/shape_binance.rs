//! Every message of every Binance capture: the scanner against a plain decoder on `serde_json` values.

mod shape_support;

use std::collections::HashMap;

use outcrier_core::event::*;
use outcrier_core::instrument::{InstrumentTable, Scale};
use outcrier_core::sequence::{Rule, Splice};
use outcrier_core::shape::{Decoder, Outcome};
use serde_json::Value;
use shape_support::{Line, captures, decode, files, lines, naive, shapes};

const FOLDERS: [(&str, &str); 5] = [
    ("binance", "binance_spot.json"),
    ("binance_us", "binance_spot.json"),
    ("binance_tr", "binance_spot.json"),
    ("binance_usdm", "binance_usdm.json"),
    ("binance_coinm", "binance_coinm.json"),
];

/// An event in plain values.
#[derive(Debug, PartialEq)]
enum Plain {
    Book { snapshot: bool, bids: Vec<Level>, asks: Vec<Level> },
    Trade(Trade),
    Bbo(Bbo),
    Candle(Candle),
}

fn ms(value: &Value) -> i64 {
    value.as_i64().map_or(NOT_GIVEN, |ms| ms * 1_000_000)
}

struct Naive<'a> {
    scale: &'a Scale,
    coinm: bool,
}

impl Naive<'_> {
    fn price(&self, value: &Value) -> i64 {
        naive(value.as_str().unwrap(), i32::from(self.scale.price_exp)).unwrap()
    }

    fn qty(&self, value: &Value) -> i64 {
        naive(value.as_str().unwrap(), i32::from(self.scale.qty_exp)).unwrap()
    }

    fn levels(&self, list: &Value) -> Vec<Level> {
        let level = |row: &Value| Level { price: self.price(&row[0]), qty: self.qty(&row[1]) };
        list.as_array().unwrap().iter().map(level).collect()
    }

    fn trade(&self, data: &Value, id: &str) -> Plain {
        let (first, last) = (data["f"].as_u64(), data["l"].as_u64());
        let span = first.zip(last).map_or(0, |(first, last)| last - first);
        let off_book = data.get("X").is_some_and(|kind| kind != "MARKET");
        Plain::Trade(Trade {
            price: self.price(&data["p"]),
            qty: self.qty(&data["q"]),
            trade_id: data[id].as_u64().unwrap(),
            trade_ts: ms(&data["T"]),
            aggressor: if data["m"].as_bool().unwrap() { AGGRESSOR_SELL } else { AGGRESSOR_BUY },
            trade_flags: if off_book { TRADE_OFF_BOOK } else { 0 },
            n_fills: span as u16 + 1,
            id_span: span as u32,
        })
    }

    /// (exchange time, ids, event) of a payload.
    fn read(&self, data: &Value) -> (i64, Ids, Plain) {
        let number = |key: &str| data[key].as_u64();
        match data["e"].as_str() {
            Some("depthUpdate") => {
                let time = if data.get("T").is_some() { &data["T"] } else { &data["E"] };
                let ids = Ids { first: number("U"), last: number("u"), prev: number("pu") };
                let (bids, asks) = (self.levels(&data["b"]), self.levels(&data["a"]));
                (ms(time), ids, Plain::Book { snapshot: false, bids, asks })
            }
            Some("trade") => (ms(&data["T"]), Ids::default(), self.trade(data, "t")),
            Some("aggTrade") => (ms(&data["T"]), Ids::default(), self.trade(data, "a")),
            Some("kline") => (ms(&data["E"]), Ids::default(), self.candle(&data["k"])),
            None | Some("bookTicker") => {
                let ids = Ids { first: number("u"), last: number("u"), prev: None };
                let side = |price: &str, qty: &str| (self.price(&data[price]), self.qty(&data[qty]));
                let ((bid_px, bid_qty), (ask_px, ask_qty)) = (side("b", "B"), side("a", "A"));
                (
                    ms(&data["T"]),
                    ids,
                    Plain::Bbo(Bbo { bid_px, bid_qty, ask_px, ask_qty, bid_orders: 0, ask_orders: 0 }),
                )
            }
            other => panic!("no naive reading of {other:?}"),
        }
    }

    fn candle(&self, k: &Value) -> Plain {
        assert_eq!(k["i"], "1m", "the captures hold one-minute candles");
        let float = |key: &str| k[key].as_str().unwrap().parse::<f64>().unwrap();
        let (volume, turnover) = if self.coinm { (float("q"), f64::MAX) } else { (float("v"), float("q")) };
        Plain::Candle(Candle {
            open_ts: ms(&k["t"]),
            interval_s: 60,
            candle_flags: u32::from(k["x"].as_bool().unwrap()),
            open: self.price(&k["o"]),
            high: self.price(&k["h"]),
            low: self.price(&k["l"]),
            close: self.price(&k["c"]),
            volume,
            turnover,
            trade_count: k["n"].as_u64().unwrap(),
        })
    }
}

/// The only event of `out` in plain values; NaN, which equals nothing, becomes the largest float.
fn plain(out: &Decoded) -> (Event, Plain) {
    let [event] = out.events[..] else { panic!("{} events", out.events.len()) };
    let body = match event.body {
        Body::Book { snapshot, bids, asks, checksum: None } => {
            assert_eq!((bids.start, asks.start), (0, bids.len), "bids first, nothing between");
            assert_eq!(out.levels.len(), (bids.len + asks.len) as usize);
            Plain::Book { snapshot, bids: out.levels(bids).to_vec(), asks: out.levels(asks).to_vec() }
        }
        Body::Trades(run) => {
            let [trade] = *out.trades(run) else { panic!("one trade") };
            Plain::Trade(trade)
        }
        Body::Bbo(bbo) => Plain::Bbo(bbo),
        Body::Candle(mut candle) => {
            candle.turnover = if candle.turnover.is_nan() { f64::MAX } else { candle.turnover };
            Plain::Candle(candle)
        }
        other => panic!("{other:?}"),
    };
    (event, body)
}

struct Session {
    decoder: Decoder,
    table: InstrumentTable,
    out: Decoded,
    coinm: bool,
    seen: HashMap<&'static str, usize>,
}

impl Session {
    fn instrument(&mut self, symbol: &str) -> u32 {
        // Far too coarse on purpose: the messages themselves must refine it.
        let coarse = Scale { price_exp: 3, qty_exp: 2 };
        self.table.find(symbol.as_bytes()).or_else(|| self.table.add(symbol.as_bytes(), coarse)).unwrap()
    }

    fn frame(&mut self, line: &Line) {
        let value: Value = serde_json::from_slice(&line.message).unwrap();
        let data = if value.get("data").is_some() { &value["data"] } else { &value };
        let Some(symbol) = data["s"].as_str() else {
            let outcome = self.decoder.decode(7, &line.message, &self.table, &mut self.out);
            assert_eq!(outcome, Outcome::NotMine, "{value}");
            return;
        };
        let instrument = self.instrument(symbol);
        let outcome = decode(&mut self.decoder, &line.message, &mut self.table, &mut self.out);
        assert_eq!(outcome, Outcome::Handled, "{value}");
        let (event, body) = plain(&self.out);
        let scale = Scale { price_exp: event.price_exp, qty_exp: event.qty_exp };
        let ours = self.table.scale(instrument);
        if let Plain::Candle(_) = body {
            assert!(
                scale.price_exp <= ours.price_exp,
                "a candle may be finer than the instrument is by then"
            );
        } else {
            assert_eq!(&scale, ours);
        }
        let (exchange_ts, ids, expected) = Naive { scale: &scale, coinm: self.coinm }.read(data);
        assert_eq!(
            (event.instrument, event.exchange_ts, event.ids),
            (instrument, exchange_ts, ids),
            "{value}"
        );
        assert_eq!(body, expected, "{value}");
        let kind = match body {
            Plain::Book { .. } => "book",
            Plain::Trade(_) => "trade",
            Plain::Bbo(_) => "bbo",
            Plain::Candle(_) => "candle",
        };
        *self.seen.entry(kind).or_default() += 1;
    }

    fn snapshot(&mut self, line: &Line, symbol: &str) {
        let value: Value = serde_json::from_slice(&line.message).unwrap();
        let instrument = self.instrument(symbol);
        loop {
            match self.decoder.decode_snapshot(instrument, &line.message, &self.table, &mut self.out) {
                Outcome::NeedsFiner { instrument, price_exp, qty_exp } => {
                    self.table.set_scale(instrument, Scale { price_exp, qty_exp });
                }
                outcome => break assert_eq!(outcome, Outcome::Handled),
            }
        }
        let (event, body) = plain(&self.out);
        let naive = Naive { scale: self.table.scale(instrument), coinm: self.coinm };
        let (bids, asks) = (naive.levels(&value["bids"]), naive.levels(&value["asks"]));
        assert!(bids.len() + asks.len() > 20, "a whole book");
        assert_eq!(body, Plain::Book { snapshot: true, bids, asks });
        assert_eq!((event.ids.last, event.exchange_ts), (value["lastUpdateId"].as_u64(), ms(&value["T"])));
        *self.seen.entry("snapshot").or_default() += 1;
    }
}

fn symbol_of(line: &Line, file: &str) -> String {
    let of_url = line.url.split_once("symbol=").map(|(_, rest)| rest.split('&').next().unwrap().to_string());
    let of_file = || {
        let symbols = ["btcusdt", "ethusdt", "nexousdt", "btcusd_perp"];
        symbols.iter().rev().find(|symbol| file.contains(**symbol)).map(|symbol| symbol.to_uppercase())
    };
    of_url.or_else(of_file).unwrap()
}

fn replay(folder: &str, declaration: &str) {
    let Some(captures) = captures() else { return };
    let mut session = Session {
        decoder: Decoder::compile(&shapes(declaration)).unwrap(),
        table: InstrumentTable::default(),
        out: Decoded::default(),
        coinm: folder == "binance_coinm",
        seen: HashMap::new(),
    };
    for file in files(&captures.join(folder)) {
        let name = file.to_string_lossy().into_owned();
        if name.contains("instruments") {
            continue;
        }
        for line in lines(&file) {
            match line.kind.as_str() {
                "recv" => session.frame(&line),
                "http" if line.message.starts_with(b"{\"lastUpdateId\"") => {
                    let symbol = symbol_of(&line, &name);
                    session.snapshot(&line, &symbol);
                }
                _ => {}
            }
        }
    }
    for kind in ["book", "bbo", "snapshot"] {
        assert!(
            session.seen.get(kind).is_some_and(|count| *count > 0),
            "{folder}: no {kind}: {:?}",
            session.seen
        );
    }
}

#[test]
fn spot_messages_equal_the_plain_decoder() {
    replay(FOLDERS[0].0, FOLDERS[0].1);
}

#[test]
fn us_messages_equal_the_plain_decoder() {
    replay(FOLDERS[1].0, FOLDERS[1].1);
}

#[test]
fn tr_messages_equal_the_plain_decoder() {
    replay(FOLDERS[2].0, FOLDERS[2].1);
}

#[test]
fn usdm_messages_equal_the_plain_decoder() {
    replay(FOLDERS[3].0, FOLDERS[3].1);
}

#[test]
fn coinm_messages_equal_the_plain_decoder() {
    replay(FOLDERS[4].0, FOLDERS[4].1);
}

#[test]
fn rules_are_those_of_the_products() {
    let rule = |name: &str| Decoder::compile(&shapes(name)).unwrap().rule();
    assert_eq!(rule("binance_spot.json"), (Rule::Range, Splice::Range));
    assert_eq!(rule("binance_usdm.json"), (Rule::Chain, Splice::Chain));
    assert_eq!(rule("binance_coinm.json"), (Rule::Chain, Splice::Chain));
}

fn decoded(declaration: &str, symbol: &str, frame: &[u8]) -> Decoded {
    let mut decoder = Decoder::compile(&shapes(declaration)).unwrap();
    let mut table = InstrumentTable::default();
    table.add(symbol.as_bytes(), Scale { price_exp: -2, qty_exp: -3 }).unwrap();
    let mut out = Decoded::default();
    assert_eq!(decode(&mut decoder, frame, &mut table, &mut out), Outcome::Handled);
    out
}

fn sample(name: &str) -> Option<Vec<u8>> {
    let file = captures()?.parent()?.join("samples/binance").join(name);
    Some(std::fs::read(file).unwrap())
}

#[test]
fn ticker_sample() {
    let Some(frame) = sample("futures_market_data_json_ticker_stream.json") else { return };
    let out = decoded("binance_usdm.json", "BTCUSDT", &frame);
    let Body::Ticker(ticker) = out.events[0].body else { panic!() };
    assert_eq!(out.events[0].exchange_ts, 1_672_515_782_136_000_000);
    assert_eq!(out.events[0].price_exp, -2);
    let expected = Ticker {
        last_px: 1_658_460,
        open_px: 1_671_600,
        high_px: 1_676_489,
        low_px: 1_645_651,
        volume: 122_474.816,
        turnover: 2_036_102_085.697_464,
        trade_count: 142_853,
        window_ns: 86_400_000_000_000,
    };
    assert_eq!(ticker, expected);
}

#[test]
fn mark_price_sample() {
    let Some(frame) = sample("futures_market_data_json_mark_price_stream.json") else { return };
    let out = decoded("binance_usdm.json", "BTCUSDT", &frame);
    let Body::Deriv(state) = out.events[0].body else { panic!() };
    assert_eq!(out.events[0].price_exp, -8, "the index has 8 decimals, the instrument 2");
    assert_eq!((state.mark_px, state.index_px), (1_179_415_000_000, 1_178_462_659_091));
    assert_eq!(state.settle_px, 1_178_425_641_265);
    assert_eq!(state.funding_rate, 381_670_000);
    assert_eq!((state.next_rate, state.next_funding_ts), (NOT_GIVEN, 1_562_306_400_000_000_000));
    let bits = present::MARK_PX | present::INDEX_PX | present::SETTLE_PX;
    assert_eq!(state.present, bits | present::FUNDING_RATE | present::NEXT_FUNDING_TS);
}

#[test]
fn dated_future_has_no_funding() {
    // Made after the fact sheet: dated futures send r = "" and T = 0.
    for rate in ["", "0.00000000"] {
        let frame = format!(
            r#"{{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"1.5","i":"","P":"2","r":"{rate}","T":0}}"#
        );
        let out = decoded("binance_usdm.json", "BTCUSDT", frame.as_bytes());
        let Body::Deriv(state) = out.events[0].body else { panic!() };
        assert_eq!(state.present, present::MARK_PX | present::SETTLE_PX);
        assert_eq!((state.mark_px, state.settle_px, state.next_funding_ts), (150, 200, NOT_GIVEN));
    }
}

#[test]
fn forced_order_sample() {
    let Some(frame) = sample("futures_market_data_json_liquidation_stream.json") else { return };
    let out = decoded("binance_usdm.json", "BTCUSDT", &frame);
    let Body::Liquidations(run) = out.events[0].body else { panic!() };
    assert_eq!((out.events[0].price_exp, out.events[0].qty_exp), (-8, -3));
    let expected = Trade {
        price: 991_012_345_678,
        qty: 14,
        trade_id: 0,
        trade_ts: 1_568_014_460_893_000_000,
        aggressor: AGGRESSOR_SELL,
        trade_flags: TRADE_LIQUIDATION,
        n_fills: 1,
        id_span: 0,
    };
    assert_eq!(out.trades(run), [expected]);
}

#[test]
fn insurance_print_is_off_the_book() {
    // Capture of 2020, as printed in the fact sheet.
    let frame = br#"{"stream":"ethusdt@trade","data":{"e":"trade","E":1596034530241,"T":1596034530235,"s":"ETHUSDT","t":73701056,"p":"2366.55","q":"0.070","X":"INSURANCE_FUND","m":true}}"#;
    let out = decoded("binance_usdm.json", "ETHUSDT", frame);
    assert_eq!((out.trades[0].trade_flags, out.trades[0].aggressor), (TRADE_OFF_BOOK, AGGRESSOR_SELL));
}

#[test]
fn raw_payload_and_envelope_are_the_same() {
    let payload = r#"{"e":"depthUpdate","E":123456789,"T":123456788,"s":"BTCUSDT","ps":"BTCUSDT","st":1,"U":157,"u":160,"pu":149,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}"#;
    let raw = decoded("binance_usdm.json", "BTCUSDT", payload.as_bytes());
    let wrapped = format!(r#"{{"stream":"btcusdt@depth","data":{payload}}}"#);
    let combined = decoded("binance_usdm.json", "BTCUSDT", wrapped.as_bytes());
    assert_eq!(raw.events, combined.events);
    assert_eq!(raw.levels, [Level { price: 24, qty: 10_000 }, Level { price: 26, qty: 100_000 }]);
    assert_eq!(raw.levels, combined.levels);
    assert_eq!(raw.events[0].ids, Ids { first: Some(157), last: Some(160), prev: Some(149) });
}

#[test]
fn fresh_listing_has_no_snapshot_id() {
    let mut decoder = Decoder::compile(&shapes("binance_spot.json")).unwrap();
    let mut table = InstrumentTable::default();
    table.add(b"NEWUSDT", Scale { price_exp: -2, qty_exp: -3 }).unwrap();
    let mut out = Decoded::default();
    let body = br#"{"lastUpdateId":-1,"bids":[],"asks":[]}"#;
    assert_eq!(decoder.decode_snapshot(0, body, &table, &mut out), Outcome::Handled);
    assert_eq!(out.events[0].ids.last, None);
    let error = br#"{"code":-1121,"msg":"Invalid symbol."}"#;
    assert_eq!(decoder.decode_snapshot(0, error, &table, &mut out), Outcome::NotMine);
}
