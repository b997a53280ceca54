//! Every form of a declaration on a message of the venue where it occurs: cut from a capture or printed in the fact sheets.

mod shape_support;

use outcrier_core::event::*;
use outcrier_core::instrument::{InstrumentTable, Scale};
use outcrier_core::sequence::{Rule, Splice};
use outcrier_core::shape::{Decoder, FaultKind, Outcome, SnapshotMode};
use shape_support::{decode, form, named, shapes};

struct Fixture {
    decoder: Decoder,
    table: InstrumentTable,
    out: Decoded,
}

/// A decoder of a form with instruments at exponents -2 and -4, which messages refine.
fn fixture(name: &str, symbols: &[&str]) -> Fixture {
    let mut table = InstrumentTable::default();
    for symbol in symbols {
        table.add(symbol.as_bytes(), Scale { price_exp: -2, qty_exp: -4 }).unwrap();
    }
    Fixture { decoder: form(name), table, out: Decoded::default() }
}

/// A declaration of `forms.json`.
fn forms_of(name: &str) -> serde_json::Value {
    let all: serde_json::Value = serde_json::from_str(&shapes("forms.json")).unwrap();
    all[name].clone()
}

/// The same of a venue without a connector.
fn venue(name: &str, symbols: &[&str]) -> Fixture {
    Fixture { decoder: named("venues.json", name), ..fixture("plain", symbols) }
}

impl Fixture {
    fn outcome(&mut self, frame: &str) -> Outcome {
        decode(&mut self.decoder, frame.as_bytes(), &mut self.table, &mut self.out)
    }

    fn read(&mut self, frame: &str) -> &Decoded {
        assert_eq!(self.outcome(frame), Outcome::Handled, "{frame}");
        &self.out
    }

    /// Snapshot flag, bids, asks of the only event.
    fn book(&mut self, frame: &str) -> (bool, Vec<Level>, Vec<Level>) {
        let out = self.read(frame);
        assert_eq!(out.events.len(), 1);
        sides(out, 0)
    }

    fn trades(&mut self, frame: &str) -> Vec<Trade> {
        self.read(frame).trades.clone()
    }
}

fn sides(out: &Decoded, event: usize) -> (bool, Vec<Level>, Vec<Level>) {
    let Body::Book { snapshot, bids, asks, .. } = out.events[event].body else { panic!("no book") };
    (snapshot, out.levels(bids).to_vec(), out.levels(asks).to_vec())
}

fn level(price: i64, qty: i64) -> Level {
    Level { price, qty }
}

const MS: i64 = 1_000_000;

#[test]
fn symbol_in_the_stream_name() {
    let mut it = fixture("binance_more", &["BTCUSDT"]);
    let frame = r#"{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":1027024,"bids":[["4.00","431.0"]],"asks":[["4.2","12"]]}}"#;
    assert_eq!(it.book(frame), (true, vec![level(400, 4_310_000)], vec![level(420, 120_000)]));
    assert_eq!(it.out.events[0].ids.last, Some(1_027_024));
    let unknown = frame.replace("btcusdt", "ethusdt");
    let Outcome::UnknownInstrument { text } = it.outcome(&unknown) else { panic!() };
    assert_eq!(text.of(unknown.as_bytes()), b"ethusdt@depth20@100ms");
    // On a raw stream there is no name: the instrument is missing, not another one.
    let raw = r#"{"lastUpdateId":1027024,"bids":[["4.00","431.0"]],"asks":[]}"#;
    assert_eq!(it.outcome(raw), Outcome::Fault(FaultKind::MissingField));
}

#[test]
fn block_trade_and_array_payload() {
    let mut it = fixture("binance_more", &["BNBBTC", "BTCUSDT"]);
    let block = r#"{"e":"blockTrade","E":1672515782137,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true}"#;
    let trade = it.trades(block)[0];
    assert_eq!((trade.price, trade.trade_flags, trade.aggressor), (1, TRADE_BLOCK, AGGRESSOR_SELL));
    assert_eq!(trade.trade_ts, 1_672_515_782_136 * MS);
    assert_eq!(it.out.events[0].exchange_ts, 1_672_515_782_137 * MS);
    let array = r#"[{"s":"XXX","E":1,"c":"9"},{"s":"BTCUSDT","E":1672515782136,"c":"16584.60","v":"1e3"},{"s":"YYY","E":1,"c":"9"}]"#;
    for frame in [array.to_string(), format!(r#"{{"stream":"!ticker@arr","data":{array}}}"#)] {
        let out = it.read(&frame);
        assert_eq!(out.events.len(), 1, "instruments that nobody asked for are left out");
        let Body::Ticker(ticker) = out.events[0].body else { panic!() };
        assert_eq!((out.events[0].instrument, ticker.last_px, ticker.volume), (1, 1_658_460, 1000.0));
        assert_eq!((ticker.high_px, ticker.trade_count), (NOT_GIVEN, 0));
        assert!(ticker.turnover.is_nan());
    }
    assert!(matches!(it.outcome(r#"[{"s":"XXX","E":1,"c":"9"}]"#), Outcome::UnknownInstrument { .. }));
}

#[test]
fn bybit_book_trades_candle_and_partial_state() {
    let mut it = fixture("bybit", &["BTCPERP", "BTCUSDT", "PIPPINUSDT"]);
    let frame = r#"{"topic":"orderbook.50.BTCPERP","type":"snapshot","ts":1680673821591,"data":{"s":"BTCPERP","b":[["28555.20","0.597"]],"a":[["28555.30","0.225"]],"u":20683568,"seq":10916156551}}"#;
    assert_eq!(it.book(frame), (true, vec![level(2_855_520, 5970)], vec![level(2_855_530, 2250)]));
    assert_eq!((it.out.events[0].ids.first, it.out.events[0].ids.last), (Some(20_683_568), Some(20_683_568)));
    assert!(!it.book(&frame.replace("snapshot", "delta")).0);
    assert_eq!(it.decoder.rule(), (Rule::PlusOne, Splice::InStream));

    let trades = r#"{"topic":"publicTrade.BTCUSDT","ts":1680652847526,"type":"snapshot","data":[{"i":"2290000000050703789","T":1680652847524,"p":"28165.38","v":"0.041732","S":"Sell","s":"BTCUSDT","BT":false},{"i":"0cbf2330-952d-5d03-a462-4bf826c867af","T":1680652847525,"p":"28165.38","v":"1","S":"Buy","s":"BTCUSDT","BT":true}]}"#;
    let [first, second] = it.trades(trades)[..] else { panic!() };
    assert_eq!((first.trade_id, first.trade_flags, first.qty), (2_290_000_000_050_703_789, 0, 41_732));
    assert_eq!(first.aggressor, AGGRESSOR_SELL);
    assert_eq!(second.trade_id, xxhash_rust::xxh3::xxh3_64(b"0cbf2330-952d-5d03-a462-4bf826c867af"));
    assert_eq!(second.trade_flags, TRADE_ID_IS_HASH | TRADE_BLOCK);
    assert_eq!(it.out.events.len(), 1, "one instrument, one time of sending");
    assert_eq!(it.out.events[0].exchange_ts, 1_680_652_847_526 * MS);

    let kline = r#"{"topic":"kline.5.BTCUSDT","data":[{"start":1672324800000,"end":1672325099999,"interval":"5","open":"16649.5","close":"16677","high":"16677","low":"16608","volume":"2.081","turnover":"34666.4005","confirm":false,"timestamp":1672324988882}],"ts":1672324988882,"type":"snapshot"}"#;
    let Body::Candle(candle) = it.read(kline).events[0].body else { panic!() };
    assert_eq!(
        (candle.interval_s, candle.candle_flags, candle.open, candle.low),
        (300, 0, 1_664_950, 1_660_800)
    );
    assert_eq!(candle.open_ts, 1_672_324_800_000 * MS);
    let closed = kline.replace("false", "true");
    let Body::Candle(candle) = it.read(&closed).events[0].body else { panic!() };
    assert_eq!(candle.candle_flags, CANDLE_CLOSED);
    assert_eq!(
        it.outcome(&kline.replace("kline.5.", "kline.7.")),
        Outcome::Fault(FaultKind::UnknownInterval)
    );

    let state = r#"{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","openInterest":"59891.732","fundingRate":"-0.00005","fundingIntervalHour":"8"},"cs":753843907770,"ts":1786310817883}"#;
    let Body::Deriv(state) = it.read(state).events[0].body else { panic!() };
    assert_eq!(state.present, present::OPEN_INTEREST | present::FUNDING_RATE | present::FUNDING_INTERVAL);
    assert_eq!(
        (state.funding_rate, state.funding_interval_s, state.mark_px),
        (-50_000_000, 28_800, NOT_GIVEN)
    );
    assert!((state.open_interest - 59_891.732).abs() < 1e-9);
}

#[test]
fn lists_by_verb() {
    let mut it = fixture("bybit_v2", &["BCHUSDT"]);
    let frame = r#"{"topic":"orderBookL2_25.BCHUSDT","type":"delta","data":{"delete":[{"price":"1054.30","symbol":"BCHUSDT","id":"10543000","side":"Buy"}],"update":[],"insert":[{"price":"1054.70","symbol":"BCHUSDT","id":"10547000","side":"Sell","size":2.5}]},"cross_seq":"1970978234","timestamp_e6":"1618677786264147"}"#;
    assert_eq!(it.book(frame), (false, vec![level(105_430, 0)], vec![level(105_470, 25_000)]));
    assert_eq!(it.out.extras.iter().map(|extra| extra.id).collect::<Vec<_>>(), [10_543_000, 10_547_000]);
    assert_eq!(it.out.events[0].exchange_ts, 1_618_677_786_264_147_000);
    assert!(it.decoder.shapes()[1].level_ids);
}

#[test]
fn price_by_level_id() {
    let mut it = fixture("bitmex", &["XBTUSD"]);
    let set = r#"{"table":"orderBookL2","action":"partial","data":[{"symbol":"XBTUSD","id":8796772350,"side":"Sell","size":100,"price":32276.5}]}"#;
    assert_eq!(it.book(set), (false, vec![], vec![level(3_227_650, 1_000_000)]));
    let update = r#"{"table":"orderBookL2","action":"update","data":[{"symbol":"XBTUSD","id":8796772350,"side":"Sell","size":7}]}"#;
    assert_eq!(it.book(update), (false, vec![], vec![level(NOT_GIVEN, 70_000)]));
    assert_eq!(it.out.extras[0].id, 8_796_772_350);
    let delete = r#"{"table":"orderBookL2","action":"delete","data":[{"symbol":"XBTUSD","id":8796772350,"side":"Sell"}]}"#;
    assert_eq!(it.book(delete), (false, vec![], vec![level(NOT_GIVEN, 0)]));
    let trade = r#"{"table":"trade","action":"insert","data":[{"timestamp":"2021-07-22T22:36:08.500Z","symbol":"XBTUSD","side":"Buy","size":100,"price":32276.5,"tickDirection":"PlusTick","trdMatchID":"7c5fcbd6-ccb9-9bd7-f1c2-b2d8ab9ae0c3","grossValue":309825,"homeNotional":0.00309825,"foreignNotional":100}]}"#;
    let trade = it.trades(trade)[0];
    assert_eq!(trade.trade_ts, 1_626_993_368_500 * MS);
    assert_eq!((trade.aggressor, trade.trade_flags), (AGGRESSOR_BUY, TRADE_ID_IS_HASH));
}

#[test]
fn events_in_an_array_with_checksum_over_text() {
    let mut it = fixture("okx", &["BTC-USDT", "BSV-USDT"]);
    let frame = r#"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],"bids":[["8476.970","0","0","12"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":123456,"seqId":123457}]}"#;
    assert_eq!(it.book(frame), (false, vec![level(847_697, 0)], vec![level(847_698, 4_150_000)]));
    let event = it.out.events[0];
    assert_eq!((event.ids.prev, event.ids.last), (Some(123_456), Some(123_457)));
    assert_eq!(event.exchange_ts, 1_597_026_383_085 * MS);
    assert!(matches!(event.body, Body::Book { checksum: Some(VenueChecksum(-855_196_043)), .. }));
    let decimals: Vec<_> =
        it.out.extras.iter().map(|extra| (extra.price_decimals, extra.qty_decimals)).collect();
    assert_eq!(decimals, [(3, 0), (2, 0)]);
    assert!(it.book(&frame.replace("update", "snapshot").replace("123456", "-1")).0);
    assert_eq!(it.out.events[0].ids.prev, None, "-1 is none");
    assert_eq!(
        it.outcome(r#"{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}}"#),
        Outcome::NotMine
    );

    let trade = r#"{"arg":{"channel":"trades","instId":"BSV-USDT"},"data":[{"instId":"BSV-USDT","tradeId":"84834539","px":"42.52","sz":"3.75","side":"buy","ts":"1697760012017","count":"3"}]}"#;
    assert_eq!((it.trades(trade)[0].trade_id, it.out.trades[0].n_fills), (84_834_539, 3));
    let candle = r#"{"arg":{"channel":"candle1D","instId":"BTC-USDT"},"data":[["1597026383085","8533.02","8553.74","8527.17","8548.26","45247","529.5858061","5529.5858061","0"]]}"#;
    let Body::Candle(candle) = it.read(candle).events[0].body else { panic!() };
    assert_eq!((candle.open, candle.high, candle.low, candle.close), (853_302, 855_374, 852_717, 854_826));
    assert_eq!((candle.interval_s, candle.candle_flags), (86_400, 0));
}

#[test]
fn levels_as_objects_with_numbers() {
    let mut it = fixture("kraken_v2", &["MATIC/USD", "ANETx/USD"]);
    let frame = r#"{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.3947558}],"asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}"#;
    assert_eq!(it.book(frame), (false, vec![level(5657, 10_983_947_558)], vec![]));
    assert_eq!(it.table.scale(0), &Scale { price_exp: -4, qty_exp: -7 });
    assert_eq!(it.out.events[0].exchange_ts, 1_696_613_755_440_295_000);
    assert_eq!(it.decoder.shapes()[0].depth, Some(10));
    assert!(it.decoder.shapes()[0].keep_decimals);
    assert_eq!((it.out.extras[0].price_decimals, it.out.extras[0].qty_decimals), (4, 7));
    // Solidus escaped, as some encoders do.
    assert_eq!(it.book(&frame.replace("MATIC/USD", "MATIC\\/USD")).1.len(), 1);
    let halted = r#"{"channel":"ticker","type":"update","data":[{"symbol":"ANETx/USD","bid":0,"bid_qty":0,"ask":0,"ask_qty":0,"timestamp":"1970-01-01T00:00:00.000000Z"}]}"#;
    let event = it.read(halted).events[0];
    let Body::Bbo(bbo) = event.body else { panic!() };
    assert_eq!((bbo.bid_px, bbo.ask_px, event.exchange_ts), (NOT_GIVEN, NOT_GIVEN, NOT_GIVEN));
}

#[test]
fn positions_from_the_end_and_objects_side_by_side() {
    let mut it = fixture("kraken_v1", &["XMR/USD", "SC/EUR"]);
    let one = r#"[992,{"b":[["354.15000000","5.00000000","1618678133.365913"]],"c":"2583817756"},"book-10","XMR/USD"]"#;
    assert_eq!(it.book(one), (false, vec![level(35_415, 50_000)], vec![]));
    assert!(matches!(it.out.events[0].body, Body::Book { checksum: Some(VenueChecksum(2_583_817_756)), .. }));
    let two = r#"[992,{"a":[["355.1","1.0","1618678133.36"]]},{"b":[["354.1","2.0","1618678133.36","r"]],"c":"974947235"},"book-10","XMR/USD"]"#;
    assert_eq!(it.book(two), (false, vec![level(35_410, 20_000)], vec![level(35_510, 10_000)]));
    let whole = r#"[992,{"as":[["355.1","1.0","1618678133.36"]],"bs":[["354.1","2.0","1618678133.36"]]},"book-10","XMR/USD"]"#;
    assert!(it.book(whole).0);
    let trades = r#"[993,[["354.04000000","0.28245396","1618678150.826417","s","m",""],["353.81000000","1.71754604","1618678150.827816","b","m",""]],"trade","XMR/USD"]"#;
    let trades = it.trades(trades);
    assert_eq!(trades[0].trade_ts, 1_618_678_150_826_417_000);
    assert_eq!((trades[1].qty, trades[1].aggressor), (171_754_604, AGGRESSOR_BUY));
    assert_eq!(it.out.events.len(), 2, "two times, two events");
    assert_eq!(it.outcome(r#"{"event":"heartbeat"}"#), Outcome::NotMine);
}

#[test]
fn one_level_per_frame() {
    let mut it = fixture("kraken_futures", &["PI_XBTUSD", "PI_XRPUSD"]);
    let frame = r#"{"feed":"book","product_id":"PI_XBTUSD","side":"sell","seq":326094134,"price":34981,"qty":0,"timestamp":1612269953629}"#;
    assert_eq!(it.book(frame), (false, vec![], vec![level(3_498_100, 0)]));
    assert_eq!(it.out.events[0].ids.last, Some(326_094_134));
    let trade = r#"{"feed":"trade","product_id":"PI_XRPUSD","uid":"3ee209b8-bc9f-4ed5-965b-8c6208b26411","side":"sell","type":"liquidation","seq":41799,"time":1593561965283,"qty":12000,"price":0.1736}"#;
    let trade = it.trades(trade)[0];
    assert_eq!(trade.trade_flags, TRADE_ID_IS_HASH | TRADE_LIQUIDATION);
    assert_eq!(
        it.out.events[0].exchange_ts,
        1_593_561_965_283 * MS,
        "a trade without event time has its own"
    );
    assert_eq!(it.outcome(&frame.replace("sell", "none")), Outcome::Fault(FaultKind::UnknownSide));
}

#[test]
fn bound_number_sign_and_count() {
    let mut it = fixture("bitfinex", &["tBTCUSD"]);
    it.table.bind(7, 6959, 0, "");
    let whole = "[6959,[[216,2,31.52],[218.75,1,-13.33333333],[218.76,1,-2]],10,1564617600541]";
    let asks = vec![level(21_875, 1_333_333_333), level(21_876, 200_000_000)];
    assert_eq!(it.book(whole), (true, vec![level(21_600, 3_152_000_000)], asks));
    assert_eq!(it.out.connection_seq, Some(10));
    let delete = "[6959,[218.99,0,-1],61,1564617601769]";
    assert_eq!(it.book(delete), (false, vec![], vec![level(21_899, 0)]));
    assert_eq!(it.outcome(r#"[6959,"hb",3603,1569715249702]"#), Outcome::NotMine);
    assert_eq!(it.out.connection_seq, Some(3603), "heartbeats are numbered too");
    let Outcome::UnknownInstrument { text } = it.outcome("[1,[218.99,0,-1],61,1564617601769]") else {
        panic!()
    };
    assert_eq!((text.start, text.end), (1, 2));
    let trade = r#"[6959,"te",[382489563,1564617600709,-0.00705845,1e-2],18,1564617600784]"#;
    let trade = it.trades(trade)[0];
    assert_eq!((trade.price, trade.qty, trade.aggressor), (1, 705_845, AGGRESSOR_SELL));
    assert_eq!(it.outcome("[6959,[218.99,1,0],61,1564617601769]"), Outcome::Fault(FaultKind::UnknownSide));
}

#[test]
fn a_bound_number_tells_the_channel() {
    let mut it = venue("bitfinex", &["tBTCUSD"]);
    for (number, channel) in [(1, "book"), (2, "trades"), (3, "ticker"), (4, "status")] {
        it.table.bind(7, number, 0, channel);
    }
    let kind = |it: &mut Fixture, frame: &str| {
        assert_eq!(it.outcome(frame), Outcome::Handled, "{frame}");
        it.decoder.shapes()[usize::from(it.out.shape)].name.clone()
    };
    // The same bytes are two things.
    for _ in 0..9 {
        assert_eq!(kind(&mut it, "[1,[[10,1564617600709,0.5,9.5]],5,1564617600784]"), "book_snapshot");
        assert_eq!(kind(&mut it, "[2,[[10,1564617600709,0.5,9.5]],6,1564617600784]"), "trades_snapshot");
    }
    assert_eq!((it.out.trades[0].price, it.out.trades[0].trade_id), (950, 10));
    assert_eq!(kind(&mut it, "[1,[],7,1564617600784]"), "book_snapshot_empty");
    let Body::Book { snapshot: true, bids: Run { len: 0, .. }, asks: Run { len: 0, .. }, .. } =
        it.out.events[0].body
    else {
        panic!("{:?}", it.out.events)
    };
    assert_eq!(kind(&mut it, "[2,[],8,1564617600784]"), "trades_snapshot");
    assert!(it.out.events.is_empty());
    assert_eq!(kind(&mut it, "[1,[219.11,3,-18.1],45,1564617601214]"), "book");
    // Not in the book: a number that stands for another channel, or for nothing.
    let ticker =
        "[3,[71741,0.26742262,71760,1.22665447,647,0.00909896,71754,900.8715945,73120,70434,null],1,2]";
    assert_eq!(kind(&mut it, ticker), "ticker");
    let unbound = "[9,[219.11,3,-18.1],46,1564617601214]";
    assert!(matches!(it.outcome(unbound), Outcome::UnknownInstrument { .. }));
    assert_eq!(it.out.connection_seq, Some(46));
    it.table.bind(7, 9, 0, "candles");
    assert_eq!(it.outcome(unbound), Outcome::NotMine);
    it.table.bind(7, 9, 0, "book");
    assert_eq!(kind(&mut it, unbound), "book");
}

/// A heartbeat is known again by its bytes: nothing else may be, nor what more than its bytes makes one.
#[test]
fn the_same_heartbeat_again_is_one_and_nothing_else_is() {
    let mut it = fixture("kraken_v2", &["BTC/USD"]);
    assert_eq!(it.outcome(""), Outcome::Fault(FaultKind::Malformed));
    for _ in 0..3 {
        assert_eq!(it.outcome(r#"{"channel":"heartbeat"}"#), Outcome::NotMine);
        assert_eq!(it.outcome(""), Outcome::Fault(FaultKind::Malformed));
        assert_eq!(it.outcome(r#"{"channel":"heartbeat"]"#), Outcome::Fault(FaultKind::Malformed));
        assert_eq!(it.outcome(r#"{"channel":"heartbea"}"#), Outcome::NotMine);
    }

    let mut it = fixture("bitfinex", &["tBTCUSD"]);
    it.table.bind(7, 6959, 0, "");
    for _ in 0..3 {
        assert_eq!(it.outcome(r#"[6959,"hb",3603,1]"#), Outcome::NotMine);
        assert_eq!(it.out.connection_seq, Some(3603), "its number is told each time");
    }

    let all: serde_json::Value = serde_json::from_str(&shapes("venues.json")).unwrap();
    let mut unnumbered = all["bitfinex"].clone();
    unnumbered["connection_sequence"] = serde_json::Value::Null;
    for shape in unnumbered["shapes"].as_array_mut().unwrap() {
        shape["sequence"]["rule"] = "none".into();
    }
    let mut it = fixture("plain", &["tBTCUSD"]);
    it.decoder = Decoder::compile(&unnumbered.to_string()).unwrap();
    let short = "[9,[219.11,3,-18.1],46]";
    it.table.bind(7, 9, 0, "candles");
    assert_eq!(it.outcome(short), Outcome::NotMine);
    it.table.bind(7, 9, 0, "book");
    assert_eq!(it.outcome(short), Outcome::Handled, "the number stands for another channel now");
}

#[test]
fn one_frame_for_several_shapes() {
    let mut it = venue("kraken", &["ANETx/USD", "BTC/USD"]);
    let halted = r#"{"channel":"ticker","type":"update","data":[{"symbol":"ANETx/USD","bid":0,"bid_qty":0,"ask":0,"ask_qty":0,"timestamp":"1970-01-01T00:00:00.000000Z"},{"symbol":"BTC/USD","bid":2,"bid_qty":1,"ask":3,"ask_qty":1,"last":2.5,"timestamp":"2023-10-06T17:35:55.440295Z"}]}"#;
    let out = it.read(halted);
    // Of the first instrument no statistics are given: that is no event.
    let [ticker, halted_bbo, bbo] = &out.events[..] else { panic!("{:?}", out.events) };
    assert!(matches!(ticker.body, Body::Ticker(Ticker { last_px: 250, high_px: NOT_GIVEN, .. })));
    assert!(matches!(halted_bbo.body, Body::Bbo(Bbo { bid_px: NOT_GIVEN, ask_px: NOT_GIVEN, .. })));
    assert!(matches!(bbo.body, Body::Bbo(Bbo { bid_px: 200, ask_px: 300, .. })));
    assert_eq!((ticker.instrument, halted_bbo.instrument, bbo.instrument), (1, 0, 1));
    assert_eq!(it.decoder.shapes()[usize::from(it.out.shape)].name, "ticker");

    let mut it = venue("bybit", &["BTCUSDT"]);
    let frame = r#"{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"17217.33","bid1Price":"17215.50","bid1Size":"84.489"},"cs":24987956059,"ts":1673272861686}"#;
    assert!(matches!(it.read(frame).events[..], [Event { body: Body::Deriv(_), .. }]));
    let frame = frame.replace(r#""markPrice":"17217.33","#, "");
    assert!(it.read(&frame).events.is_empty());
    // A mistake in what only the second shape reads is one of the frame.
    let frame = frame.replace("bid1Price", "indexPrice").replace("17215.50", "-");
    assert_eq!(it.outcome(&frame), Outcome::Fault(FaultKind::BadNumber));
    assert!(it.out.events.is_empty());
}

#[test]
fn rows_in_events_and_makers_side() {
    let mut it = fixture("coinbase", &["BTC-USD"]);
    let frame = r#"{"channel":"l2_data","client_id":"","timestamp":"2026-04-07T14:30:01.456789Z","sequence_num":1,"events":[{"type":"update","product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-04-07T14:30:01.456789Z","price_level":"68900.00","new_quantity":"2.00000000"},{"side":"offer","event_time":"2026-04-07T14:30:01.456789Z","price_level":"68901.00","new_quantity":"0.00000000"}]}]}"#;
    assert_eq!(it.book(frame), (false, vec![level(6_890_000, 20_000)], vec![level(6_890_100, 0)]));
    assert_eq!(it.out.events[0].exchange_ts, 1_775_572_201_456_789_000);
    assert_eq!(it.out.connection_seq, Some(1));
    assert!(it.book(&frame.replace("update\"", "snapshot\"")).0);
    assert_eq!(it.decoder.rule().0, Rule::ConnectionPlusOne);
    let trades = r#"{"channel":"market_trades","client_id":"","timestamp":"2026-04-07T14:30:02.789012Z","sequence_num":5,"events":[{"type":"update","trades":[{"trade_id":"995098700","product_id":"BTC-USD","price":"68900.50","size":"0.00150000","side":"BUY","time":"2026-04-07T14:30:02.789012Z"}]}]}"#;
    let trade = it.trades(trades)[0];
    assert_eq!((trade.aggressor, trade.trade_id), (AGGRESSOR_SELL, 995_098_700));
    assert_eq!(it.trades(&trades.replace("update", "snapshot"))[0].trade_flags, TRADE_AUCTION);
    let heartbeat = r#"{"channel":"heartbeats","client_id":"","timestamp":"2026-04-07T14:30:10.000000Z","sequence_num":9,"events":[{"current_time":"2026-04-07 14:30:10.000000000+00:00","heartbeat_counter":42}]}"#;
    assert_eq!((it.outcome(heartbeat), it.out.connection_seq), (Outcome::NotMine, Some(9)));

    let mut it = fixture("coinbase_exchange", &["BTC-USD"]);
    let frame = r#"{"type":"l2update","product_id":"BTC-USD","changes":[["buy","80688.08","0.5915"],["sell","80745.16","0.2055"]],"time":"0001-01-01T00:00:00.000000Z"}"#;
    assert_eq!(it.book(frame), (false, vec![level(8_068_808, 5915)], vec![level(8_074_516, 2055)]));
    assert_eq!(it.out.events[0].exchange_ts, NOT_GIVEN, "the year 1 was really sent");
    assert_eq!(it.decoder.shapes()[0].snapshot, SnapshotMode::FirstAfterBind);
    // "snapshot sizes like `0.-10000` were really sent"
    assert_eq!(it.outcome(&frame.replace("0.5915", "0.-10000")), Outcome::Fault(FaultKind::BadNumber));
    assert_eq!(it.outcome(&frame.replace("0.5915", "-1")), Outcome::Fault(FaultKind::NegativeQuantity));
}

#[test]
fn both_sides_in_one_row() {
    let mut it = fixture("upbit", &["KRW-DOT", "USDT-ETC", "KRW-BTC"]);
    let frame = r#"{"type":"orderbook","code":"KRW-DOT","timestamp":1614729599677,"total_ask_size":1415.12521016,"total_bid_size":8058.44442437,"orderbook_units":[{"ask_price":41840.0,"bid_price":41730.0,"ask_size":103.6,"bid_size":47.6256},{"ask_price":0,"bid_price":41720.0,"ask_size":102.9,"bid_size":250.0}],"stream_type":"REALTIME"}"#;
    let bids = vec![level(4_173_000, 476_256), level(4_172_000, 2_500_000)];
    assert_eq!(it.book(frame), (true, bids, vec![level(4_184_000, 1_036_000)]), "price 0 is no level");
    assert_eq!(it.out.events[0].exchange_ts, 1_614_729_599_677 * MS);
    it.read(&frame.replace("1614729599677", "1691530805062000"));
    assert_eq!(it.out.events[0].exchange_ts, 1_691_530_805_062 * MS, "microseconds by their size");
    let trade = r#"{"type":"trade","code":"KRW-BTC","trade_timestamp":1730336862047,"trade_price":100473000.00000000,"trade_volume":0.00014208,"ask_bid":"BID","sequential_id":17303368620470000}"#;
    let trade = it.trades(trade)[0];
    assert_eq!((trade.price, trade.qty, trade.aggressor), (10_047_300_000, 14_208, AGGRESSOR_BUY));
}

#[test]
fn rows_of_several_instruments_and_time_in_a_zone() {
    let mut it = fixture("bithumb", &["BTC_KRW", "ETH_KRW", "CON_KRW"]);
    let frame = r#"{"type":"orderbookdepth","content":{"list":[{"total":"2","orderType":"ask","quantity":"0.0063","price":"118955000","symbol":"BTC_KRW"},{"total":"0","orderType":"bid","quantity":"1","price":"112971000","symbol":"ETH_KRW"}],"datetime":"1778154976506519"}}"#;
    let out = it.read(frame);
    assert_eq!(out.events.iter().map(|event| event.instrument).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(sides(out, 0), (false, vec![], vec![level(11_895_500_000, 63)]));
    assert_eq!(sides(out, 1), (false, vec![level(11_297_100_000, 0)], vec![]), "count 0 deletes");
    assert_eq!(out.events[0].exchange_ts, 1_778_154_976_506_519_000);
    let trade = r#"{"type":"transaction","content":{"list":[{"buySellGb":"2","contPrice":"3.908","contQty":"12365.191","contAmt":"48323.166","contDtm":"2021-06-02 08:43:34.555058","updn":"dn","symbol":"CON_KRW"}]}}"#;
    let trade = it.trades(trade)[0];
    assert_eq!(trade.trade_ts, 1_622_591_014_555_058_000, "23:43:34 UTC the day before");
    assert_eq!(trade.aggressor, AGGRESSOR_BUY);
}

#[test]
fn verb_in_the_level() {
    let mut it = fixture("deribit", &["BTC-PERPETUAL"]);
    let whole = r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.raw","data":{"timestamp":1592820067334,"instrument_name":"BTC-PERPETUAL","change_id":4095205325,"bids":[["new",9415.5,72300.0]],"asks":[]}}}"#;
    assert_eq!(it.book(whole), (true, vec![level(941_550, 723_000_000)], vec![]));
    let change = r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.raw","data":{"timestamp":1592820077252,"prev_change_id":4095205460,"instrument_name":"BTC-PERPETUAL","change_id":4095205461,"bids":[["delete",9415.5,3.0]],"asks":[["new",9414.5,970.0]]}}}"#;
    assert_eq!(it.book(change), (false, vec![level(941_550, 0)], vec![level(941_450, 9_700_000)]));
    assert_eq!(it.out.events[0].ids.prev, Some(4_095_205_460));
}

#[test]
fn price_zero_numbered_levels_and_packed_text() {
    let mut it = fixture("kucoin", &["BTC-USDT", "MYROUSDTM"]);
    let zero = r#"{"type":"message","topic":"/market/level2:BTC-USDT","subject":"trade.l2update","data":{"sequenceStart":1636276321876,"symbol":"BTC-USDT","changes":{"asks":[["0","0","1636276321876"],["24093.9","1","1636276321877"]],"bids":[]},"sequenceEnd":1636276321877}}"#;
    assert_eq!(it.book(zero), (false, vec![], vec![level(2_409_390, 10_000)]));
    assert_eq!(it.out.extras[0].sequence, 1_636_276_321_877);
    assert_eq!(it.out.events[0].ids.first, Some(1_636_276_321_876));
    let trade = r#"{"type":"message","topic":"/market/match:BTC-USDT","subject":"trade.l3match","data":{"symbol":"BTC-USDT","side":"sell","type":"match","sequence":"1636276321894","size":"0.00001255","price":"24093.9","time":"1660608000026914990","tradeId":"62fade002e113d292303a18b"}}"#;
    assert_eq!(it.trades(trade)[0].trade_ts, 1_660_608_000_026_914_990);
    let packed = r#"{"topic":"/contractMarket/level2:MYROUSDTM","type":"message","subject":"level2","sn":1705411242393,"data":{"sequence":1705411242393,"change":"0.20645,buy,1","timestamp":1705708800010}}"#;
    assert_eq!(it.book(packed), (false, vec![level(20_645, 10_000)], vec![]));
    assert_eq!(it.outcome(&packed.replace(",1\"", "\"")), Outcome::Fault(FaultKind::MissingField));
}

#[test]
fn integers_at_the_instruments_scale() {
    let mut it = fixture("phemex", &["YFIUSD"]);
    let frame = r#"{"book":{"asks":[[329915000,1559]],"bids":[[329365000,6]]},"depth":30,"sequence":17650892000,"symbol":"YFIUSD","timestamp":1625342250000000000,"type":"snapshot"}"#;
    assert_eq!(it.book(frame), (true, vec![level(329_365_000, 6)], vec![level(329_915_000, 1559)]));
    let trades = r#"{"sequence":17650891983,"symbol":"YFIUSD","trades":[[1625342240710279103,"Buy",329915000,40],[1625342211830397864,"Sell",329365000,6]]}"#;
    let trades = it.trades(trades);
    assert_eq!((trades[0].price, trades[0].qty, trades[1].aggressor), (329_915_000, 40, AGGRESSOR_SELL));
    assert_eq!(trades[0].trade_ts, 1_625_342_240_710_279_103);
    assert_eq!(it.outcome(&frame.replace("1559", "15.59")), Outcome::Fault(FaultKind::TooPrecise));
}

#[test]
fn exponents_and_numbers_beyond_64_bits() {
    let mut it = fixture("htx", &["trioeth", "atom-usd"]);
    let frame = r#"{"ch":"market.trioeth.depth.step0","ts":1618678069870,"tick":{"bids":[[9.121E-7,92730.24],[9.12E-7,66053.68]],"asks":[[1.0E-6,7]]}}"#;
    assert_eq!(it.book(frame).1, [level(9121, 927_302_400), level(9120, 660_536_800)]);
    assert_eq!(it.table.scale(0).price_exp, -10);
    assert_eq!(it.out.levels[2], level(10_000, 70_000));
    let trade = r#"{"ch":"market.ATOM-USD.trade.detail","ts":1645289382234,"tick":{"id":74377471712,"ts":1645289382216,"data":[{"amount":6,"quantity":2.2569881997133624986364029626731769,"ts":1645289382216,"id":1.3700544510935929e+26,"price":26.5841,"direction":""}]}}"#;
    let trade = it.trades(trade)[0];
    assert_eq!((trade.price, trade.qty, trade.aggressor), (265_841, 60_000, AGGRESSOR_UNKNOWN));
    assert_eq!(trade.trade_id, xxhash_rust::xxh3::xxh3_64(b"1.3700544510935929e+26"));
}

#[test]
fn sides_by_position_and_missing_side() {
    let mut it = fixture("hyperliquid", &["HYPE"]);
    let frame = r#"{"channel":"l2Book","data":{"coin":"HYPE","time":1764842873555,"levels":[[{"px":"34.967","sz":"2.85","n":1}],[{"px":"34.969","sz":"1473.06","n":2},{"px":"34.97","sz":"1544.51","n":4}]]}}"#;
    let asks = vec![level(34_969, 14_730_600), level(34_970, 15_445_100)];
    assert_eq!(it.book(frame), (true, vec![level(34_967, 28_500)], asks));
    let bbo = r#"{"channel":"bbo","data":{"coin":"HYPE","time":1766566375292,"bbo":[{"px":"23.757","sz":"42.09","n":3},null]}}"#;
    let Body::Bbo(bbo) = it.read(bbo).events[0].body else { panic!() };
    assert_eq!((bbo.bid_px, bbo.bid_qty, bbo.bid_orders), (23_757, 420_900, 3));
    assert_eq!((bbo.ask_px, bbo.ask_qty, bbo.ask_orders), (NOT_GIVEN, 0, 0));
}

#[test]
fn snapshot_by_flag_one_list_and_fractional_time() {
    let mut it = fixture("gateio", &["BTC_USDT", "TLOS_BTC", "ETH_USDT"]);
    let whole = r#"{"channel":"spot.obu","result":{"t":1754006400261,"full":true,"s":"ob.BTC_USDT.400","u":25847113075,"b":[["115765.1","0.3378"]],"a":[["115765.2","0.6311"]]},"time_ms":1754006400264,"event":"update"}"#;
    assert!(it.book(whole).0);
    let change = r#"{"channel":"spot.obu","result":{"t":1754006460600,"s":"ob.BTC_USDT.400","u":25847129996,"U":25847129970,"b":[["115576.7","0.0507"],["115717.7","0"]]},"time_ms":1754006400264,"event":"update"}"#;
    assert_eq!(it.book(change), (false, vec![level(11_557_670, 507), level(11_571_770, 0)], vec![]));
    let none = change.replace("\"b\":[[\"115576.7\",\"0.0507\"],[\"115717.7\",\"0\"]]", "\"n\":1");
    assert_eq!(it.outcome(&none), Outcome::Fault(FaultKind::MissingField), "no list at all");
    let trade = r#"{"time":1682689046,"channel":"spot.trades","event":"update","result":{"id":5541729598,"create_time":1682689046,"create_time_ms":"1606292218213.4578","side":"buy","currency_pair":"TLOS_BTC","amount":"89.238","price":"0.00000644"}}"#;
    assert_eq!(it.trades(trade)[0].trade_ts, 1_606_292_218_213_457_800);
    let futures = r#"{"channel":"futures.trades","event":"update","time":1541503698,"result":[{"size":"-108.5","id":27753479,"create_time":1545136464,"create_time_ms":1545136464123,"price":"96.4","contract":"ETH_USDT","is_internal":true}]}"#;
    let trade = it.trades(futures)[0];
    assert_eq!(
        (trade.qty, trade.aggressor, trade.trade_flags),
        (1_085_000, AGGRESSOR_SELL, TRADE_LIQUIDATION)
    );
}

/// Times that a frame comes in a row: it is learned, and so are its elements and rows.
const REPEATS: usize = 8;

/// A form, an instrument and a message of it, and its lists: the key of each and the name that a fault has for its place.
type Lists = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

/// The forms with several lists.
const SIDES: [Lists; 9] = [
    (
        "binance_more",
        "BTCUSDT",
        r#"{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":1027024,"bids":[["4.00","431.0"]],"asks":[["4.2","12"]]}}"#,
        &[("bids", "bids"), ("asks", "asks")],
    ),
    (
        "bybit",
        "BTCPERP",
        r#"{"topic":"orderbook.50.BTCPERP","type":"delta","ts":1680673821651,"data":{"s":"BTCPERP","b":[["28555.20","0.677"]],"a":[],"u":20683569,"seq":10916156553}}"#,
        &[("b", "data.b"), ("a", "data.a")],
    ),
    (
        "bybit_v2",
        "BCHUSDT",
        r#"{"topic":"orderBookL2_25.BCHUSDT","type":"delta","data":{"delete":[{"price":"1054.30","symbol":"BCHUSDT","id":"10543000","side":"Buy"}],"update":[],"insert":[{"price":"1054.70","symbol":"BCHUSDT","id":"10547000","side":"Sell","size":2.5}]},"cross_seq":"1970978234","timestamp_e6":"1618677786264147"}"#,
        &[("delete", "data.delete"), ("update", "data.update"), ("insert", "data.insert")],
    ),
    (
        "okx",
        "BTC-USDT",
        r#"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","0","0","12"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":123456,"seqId":123457}]}"#,
        &[("bids", "data.*.bids"), ("asks", "data.*.asks")],
    ),
    (
        "kraken_v2",
        "MATIC/USD",
        r#"{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.3947558}],"asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}"#,
        &[("bids", "data.*.bids"), ("asks", "data.*.asks")],
    ),
    (
        "kraken_futures",
        "PI_XBTUSD",
        r#"{"feed":"book_snapshot","product_id":"PI_XBTUSD","timestamp":1612269825817,"seq":326072249,"tickSize":null,"bids":[{"price":34892.5,"qty":6385}],"asks":[{"price":34911.5,"qty":20598}]}"#,
        &[("bids", "bids"), ("asks", "asks")],
    ),
    (
        "deribit",
        "BTC-PERPETUAL",
        r#"{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.BTC-PERPETUAL.raw","data":{"timestamp":1554373911330,"prev_change_id":297217,"instrument_name":"BTC-PERPETUAL","change_id":297218,"bids":[["delete",5041.94,0.0],["delete",5042.34,0.0]],"asks":[]}}}"#,
        &[("bids", "params.data.bids"), ("asks", "params.data.asks")],
    ),
    (
        "kucoin",
        "BTC-USDT",
        r#"{"type":"message","topic":"/market/level2:BTC-USDT","subject":"trade.l2update","data":{"changes":{"asks":[["18906","0.00331","14103845"]],"bids":[["18891.9","0.15688","14103847"]]},"sequenceEnd":14103847,"sequenceStart":14103845,"symbol":"BTC-USDT","time":1663747970273}}"#,
        &[("bids", "data.changes.bids"), ("asks", "data.changes.asks")],
    ),
    (
        "htx",
        "trioeth",
        r#"{"ch":"market.trioeth.depth.step0","ts":1618678069870,"tick":{"bids":[[9.121E-7,92730.24],[9.12E-7,66053.68]],"asks":[[1.0E-6,7]]}}"#,
        &[("bids", "tick.bids"), ("asks", "tick.asks")],
    ),
];

impl Fixture {
    /// A fault with this reason, about the book of the first instrument, of which nothing is left.
    fn refuses(&mut self, frame: &str, kind: FaultKind, reason: &str) {
        assert_eq!(self.outcome(frame), Outcome::Fault(kind), "{frame}");
        assert_eq!(self.decoder.reason(kind), reason, "{frame}");
        assert_eq!(self.out.unread_books, [0], "{frame}");
        assert!(self.out.events.is_empty() && self.out.levels.is_empty() && self.out.extras.is_empty());
    }
}

/// By walk and by track, and when the changed frame itself comes again and again.
#[test]
fn a_book_without_one_of_its_lists_is_a_fault_that_names_it() {
    for (name, symbol, frame, lists) in SIDES {
        for (key, place) in lists {
            let key = format!("\"{key}\":");
            assert_eq!(frame.matches(&key).count(), 1, "{name} {key}");
            let (before, rest) = frame.split_once(&key).unwrap();
            let changed = [
                format!("{before}\"renamed\":{rest}"),
                format!("{before}{key}null,\"was\":{rest}"),
                // As long as the key: only its letters differ.
                frame.replace(&key, &key.to_uppercase()),
            ];
            let mut it = fixture(name, &[symbol]);
            let expected = it.book(frame);
            let reason = format!("missing field {place}");
            for _ in 0..REPEATS {
                for changed in &changed {
                    it.refuses(changed, FaultKind::MissingField, &reason);
                    assert_eq!(it.book(frame), expected);
                }
            }
            for changed in &changed {
                for _ in 0..REPEATS {
                    it.refuses(changed, FaultKind::MissingField, &reason);
                }
            }
            assert_eq!(it.book(frame), expected);
        }
    }
}

#[test]
fn a_book_without_a_list_in_one_of_its_elements_or_positions_is_a_fault() {
    let mut okx = venue("okx_2022", &["BTC-USDT"]);
    let element = r#"{"asks":[["1.25","2","0","1"]],"bids":[],"ts":"1646003686550","checksum":-855196043}"#;
    let frame = |second: &str| {
        format!(
            r#"{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"update","data":[{element},{second}]}}"#
        )
    };
    let mut hyperliquid = fixture("hyperliquid", &["HYPE"]);
    let levels = |levels: &str| {
        format!(r#"{{"channel":"l2Book","data":{{"coin":"HYPE","time":1764842873555,"levels":[{levels}]}}}}"#)
    };
    for _ in 0..REPEATS {
        assert_eq!(okx.read(&frame(element)).events.len(), 2);
        let renamed = frame(&element.replace("bids", "bid"));
        okx.refuses(&renamed, FaultKind::MissingField, "missing field data.*.bids");
        let bids = r#"[{"px":"34.967","sz":"2.85","n":1}]"#;
        assert!(hyperliquid.book(&levels(&format!("{bids},[]"))).0);
        let (kind, reason) = (FaultKind::MissingField, "missing field data.levels.1");
        hyperliquid.refuses(&levels(bids), kind, reason);
        hyperliquid.refuses(&levels(&format!("{bids},null")), kind, reason);
        // Another reason names no list.
        assert_eq!(okx.outcome("{"), Outcome::Fault(FaultKind::Malformed));
        assert_eq!(okx.decoder.reason(FaultKind::MissingField), "missing field");
    }
}

#[test]
fn an_answer_without_one_of_its_lists_is_a_fault() {
    let mut it = fixture("plain", &["BTCUSDT"]);
    it.decoder = Decoder::compile(&shapes("binance_spot.json")).unwrap();
    let body = r#"{"lastUpdateId":1027024,"bids":[["4.00","431.0"]],"asks":[["4.2","12"]]}"#;
    for side in ["bids", "asks"] {
        let renamed = body.replace(side, "renamed");
        let mut outcome = |body: &str| it.decoder.decode_snapshot(0, body.as_bytes(), &it.table, &mut it.out);
        assert_eq!(outcome(body), Outcome::Handled);
        assert_eq!(outcome(&renamed), Outcome::Fault(FaultKind::MissingField));
        assert_eq!(it.decoder.reason(FaultKind::MissingField), format!("missing field {side}"));
    }
}

/// A message with these lists.
type Framed<'a> = &'a dyn Fn(&str) -> String;

/// Kraken v1, Gate.io and dYdX leave out a side without levels.
#[test]
fn a_venue_may_leave_out_empty_lists_and_not_rename_one() {
    let gateio = |lists: &str| {
        format!(
            r#"{{"channel":"spot.obu","result":{{"t":1754006460600,"s":"ob.BTC_USDT.400","u":25847129996,"U":25847129970,{lists}}},"time_ms":1754006400264,"event":"update"}}"#
        )
    };
    let kraken = |lists: &str| format!(r#"[992,{{{lists},"c":"2583817756"}},"book-10","BTC_USDT"]"#);
    let kraken_two = |lists: &str| match lists.split_once("]],") {
        Some((one, other)) => format!(r#"[992,{{{one}]]}},{{{other},"c":"9"}},"book-10","BTC_USDT"]"#),
        None => kraken(lists),
    };
    let dydx = |lists: &str| {
        let lists = lists.replace("\"a\"", "\"asks\"").replace("\"b\"", "\"bids\"");
        format!(
            r#"{{"type":"channel_data","connection_id":"c","message_id":2,"id":"BTC_USDT","channel":"v4_orderbook","version":"1.0.0","contents":{{{lists}}}}}"#
        )
    };
    let batch = |lists: &str| {
        let one = dydx(lists).replace("channel_data", "channel_batch_data");
        let one = one.replace("\"contents\":{", "\"contents\":[{");
        format!("{}]}}", one.strip_suffix('}').unwrap())
    };
    let forms: [(&str, Framed<'_>, &str); 5] = [
        ("gateio", &gateio, "b"),
        ("kraken_v1", &kraken, "2.b"),
        ("kraken_v1", &kraken_two, "2.b"),
        ("dydx", &dydx, "contents.bids"),
        ("dydx", &batch, "contents.*.bids"),
    ];
    let (bids, asks) = (r#""b":[["115576.7","0.0507"]]"#, r#""a":[["115765.2","0"]]"#);
    let (bid, ask) = (level(11_557_670, 507), level(11_576_520, 0));
    for (name, frame, place) in forms {
        let mut it = fixture(name, &["BTC_USDT"]);
        let missing = format!("missing field {place}");
        let unknown = "unknown list of levels";
        for _ in 0..REPEATS {
            assert_eq!(it.book(&frame(bids)), (false, vec![bid], vec![]));
            assert_eq!(it.book(&frame(asks)), (false, vec![], vec![ask]));
            assert_eq!(it.book(&frame(&format!("{bids},{asks}"))), (false, vec![bid], vec![ask]));
            let renamed = [bids.replace("\"b\"", "\"bid\""), asks.replace("\"a\"", "\"ask\"")];
            // The side that changed alone, then beside the other one, before and after it.
            it.refuses(&frame(&renamed[0]), FaultKind::MissingField, &missing);
            it.refuses(&frame(&renamed[1]), FaultKind::MissingField, &missing);
            it.refuses(&frame(&format!("{},{asks}", renamed[0])), FaultKind::UnknownList, unknown);
            it.refuses(&frame(&format!("{bids},{}", renamed[1])), FaultKind::UnknownList, unknown);
            it.refuses(&frame(&format!("{asks},{}", renamed[0])), FaultKind::UnknownList, unknown);
            // What is no list of levels, or is documented, or stands beside both sides, is drift at most.
            for other in [r#""x":[]"#, r#""x":[1,2],"y":[3]"#, r#""x":{"p":[["1","2"]]}"#] {
                assert_eq!(it.book(&frame(&format!("{bids},{other}"))), (false, vec![bid], vec![]));
            }
            if name == "dydx" {
                let known = format!(r#"{bids},"flags":[["1","2"]]"#);
                assert_eq!(it.book(&frame(&known)), (false, vec![bid], vec![]));
            }
        }
        let mut it = fixture(name, &["BTC_USDT"]);
        let both = [bids, asks, r#""x":[["1","2"]]"#, r#""y":[["1","2"]]"#];
        for _ in 0..REPEATS {
            assert_eq!(it.book(&frame(&both.join(","))), (false, vec![bid], vec![ask]));
        }
    }
}

#[test]
fn lists_that_may_be_left_out_are_several() {
    let gateio = forms_of("gateio");
    let error = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut spec = gateio.clone();
        change(&mut spec["shapes"][0]["body"]);
        Decoder::compile(&spec.to_string()).unwrap_err().to_string()
    };
    let several = "shape \"obu\": omits_empty: allowed is only with several lists of levels";
    assert_eq!(error(&|book| book["one"] = true.into()), several);
    let both = "shape \"obu\": levels: allowed is bids and asks, or else levels";
    assert_eq!(error(&|book| book["asks"] = serde_json::Value::Null), both);
    let mut row = forms_of("coinbase_exchange");
    row["shapes"][0]["body"]["omits_empty"] = true.into();
    let message = Decoder::compile(&row.to_string()).unwrap_err().to_string();
    assert_eq!(message, several.replace("obu", "l2update"));
    let mut apart = forms_of("dydx");
    apart["shapes"][1]["body"]["asks"]["scope"] = "payload".into();
    let message = Decoder::compile(&apart.to_string()).unwrap_err().to_string();
    assert_eq!(message, "shape \"batch\": omits_empty: allowed is only with lists that stand in one record");
}

#[test]
fn faults_name_what_is_wrong() {
    let mut it = fixture("plain", &["X"]);
    let good = r#"{"s":"X","p":"1.5","q":"2","i":"7","t":1.25,"other":[{"a":[]}]}"#;
    assert_eq!(it.trades(good)[0].trade_ts, 1_250_000_000);
    let mut fault = |from: &str, to: &str| {
        let frame = good.replace(from, to);
        assert_ne!(frame, good);
        match it.outcome(&frame) {
            Outcome::Fault(kind) => kind,
            other => panic!("{frame}: {other:?}"),
        }
    };
    assert_eq!(fault("\"q\":\"2\",", ""), FaultKind::MissingField);
    assert_eq!(fault("\"2\"", "null"), FaultKind::MissingField);
    assert_eq!(fault("\"2\"", "true"), FaultKind::WrongType);
    assert_eq!(fault("\"2\"", "\"2x\""), FaultKind::BadNumber);
    assert_eq!(fault("\"2\"", "\"9223372036854775807\""), FaultKind::Overflow);
    assert_eq!(fault("\"2\"", "\"1e-200\""), FaultKind::Overflow);
    assert_eq!(fault("\"2\"", "02"), FaultKind::Malformed);
    assert_eq!(fault("\"2\"", "2,\"q\":\"3\""), FaultKind::DuplicateKey);
    assert_eq!(fault("1.25", "\"soon\""), FaultKind::BadTime);
    assert_eq!(fault("1.25", "99999999999"), FaultKind::BadTime);
    assert_eq!(fault("[{\"a\":[]}]", "[{\"a\":[,]}]"), FaultKind::Malformed);
    assert_eq!(fault("[{\"a\":[]}]", "[{\"a\":[}]]"), FaultKind::Malformed);
    assert_eq!(fault("[]}]}", "[]}]}x"), FaultKind::Trailing);
    assert_eq!(fault("[]", &format!("{}{}", "[".repeat(65), "]".repeat(65))), FaultKind::TooDeep);
    assert_eq!(fault("\"X\"", "\"X\u{1}\""), FaultKind::Malformed);
    assert_eq!(fault("\"X\"", "\"X\\x\""), FaultKind::Malformed);
    assert_eq!(fault("\"X\"", "17.5e"), FaultKind::Malformed);
    // 64 levels deep is allowed: three are open around the innermost one here.
    let deep = good.replace("[]", &format!("{}{}", "[".repeat(61), "]".repeat(61)));
    assert_eq!(it.outcome(&deep), Outcome::Handled);
    assert_eq!(
        it.outcome(&deep.replace("[[", "[[[").replace("]]", "]]]")),
        Outcome::Fault(FaultKind::TooDeep)
    );
    let mut bad = good.as_bytes().to_vec();
    bad[6] = 0xff;
    assert_eq!(it.decoder.decode(7, &bad, &it.table, &mut it.out), Outcome::Fault(FaultKind::Utf8));
    let long = vec![b' '; (16 << 20) + 1];
    assert_eq!(it.decoder.decode(7, &long, &it.table, &mut it.out), Outcome::Fault(FaultKind::TooLong));
    assert_eq!(it.decoder.decode(7, b"", &it.table, &mut it.out), Outcome::Fault(FaultKind::Malformed));
}

/// A frame whose elements are read on the way, before and after its form is known, and as often as it is learned.
#[test]
fn frames_that_leave_their_track_are_what_they_were() {
    let mut okx = venue("okx_2022", &["BTC-USDT"]);
    let frame = |value: &str, tail: &str| {
        format!(
            r#"{{"arg":{{"channel":"books","instId":"BTC-USDT"}},"action":"update","data":[{{"asks":[["1.25","2","0","1"]],"bids":[],"x":{value},"ts":"1646003686550","checksum":-855196043}}]{tail}}}"#
        )
    };
    // In the frame, the array and the element; an array of its own is the fourth.
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deepest = 64 - 3;
    for _ in 0..8 {
        let expected = (false, vec![], vec![level(125, 20_000)]);
        assert_eq!(okx.book(&frame("1", "")), expected);
        assert_eq!(okx.book(&frame(&nested(deepest), "")), expected);
        assert_eq!(okx.outcome(&frame(&nested(deepest + 1), "")), Outcome::Fault(FaultKind::TooDeep));
        assert_eq!(okx.outcome(&frame("1", "x")), Outcome::Fault(FaultKind::Malformed));
        assert!(okx.out.events.is_empty() && okx.out.levels.is_empty() && okx.out.extras.is_empty());
        assert_eq!(okx.book(&frame("1", r#","more":1"#)), expected);
        let broken = frame("1", "").replace("\"2\"", "\"2x\"");
        assert_eq!(okx.outcome(&broken), Outcome::Fault(FaultKind::BadNumber));
        assert_eq!(okx.out.unread_books, [0]);
        let other = frame("1", "").replace("BTC-USDT", "ETH-USDT");
        assert!(matches!(okx.outcome(&other), Outcome::UnknownInstrument { .. }));
    }
}

/// The time of Bithumb's books follows the array of their levels.
#[test]
fn a_time_behind_the_elements_is_theirs() {
    let mut bithumb = fixture("bithumb", &["ETH_BTC"]);
    let frame = |time: &str| {
        let row = r#"{"symbol":"ETH_BTC","orderType":"ask","price":"0.25","quantity":"1.5","total":"1"}"#;
        format!(r#"{{"type":"orderbookdepth","content":{{"list":[{row},{row}],"datetime":"{time}"}}}}"#)
    };
    for _ in 0..8 {
        let out = bithumb.read(&frame("1622590414569478"));
        assert_eq!(out.events.len(), 2);
        assert!(out.events.iter().all(|event| event.exchange_ts == 1_622_590_414_569_478_000));
        assert_eq!(sides(out, 1), (false, vec![], vec![level(25, 15_000)]));
        assert_eq!(bithumb.outcome(&frame("soon")), Outcome::Fault(FaultKind::BadTime));
        assert_eq!(bithumb.out.unread_books, [0]);
    }
}

#[test]
fn rates_are_the_nearest_that_the_wire_holds() {
    let mut it = fixture("bybit", &["BTCUSDT"]);
    let mut rate = |rate: &str| {
        let frame = format!(
            r#"{{"topic":"tickers.BTCUSDT","data":{{"symbol":"BTCUSDT","fundingRate":"{rate}"}},"ts":1}}"#
        );
        let Body::Deriv(state) = it.read(&frame).events[0].body else { panic!() };
        state.funding_rate
    };
    assert_eq!(rate("0.000100000000000000"), 100_000_000);
    // Kraken Futures prints more digits than any other venue.
    assert_eq!(rate("0.0000186711875"), 18_671_188);
    assert_eq!(rate("-1.380384722222e-6"), -1_380_385);
    assert_eq!(rate("-8.047629166667e-6"), -8_047_629);
    assert_eq!((rate("4e-13"), rate("5e-13"), rate("-5e-13"), rate("1e-40")), (0, 1, -1, 0));
    assert_eq!(rate("9.9999999999995"), 10_000_000_000_000);
    let overflow =
        r#"{"topic":"tickers.BTCUSDT","data":{"symbol":"BTCUSDT","fundingRate":"10000000"},"ts":1}"#;
    assert_eq!(it.outcome(overflow), Outcome::Fault(FaultKind::Overflow));
}

#[test]
fn a_mistake_in_a_declaration_names_shape_and_field() {
    let spot = shapes("binance_spot.json");
    let error = |from: &str, to: &str| {
        let changed = spot.replacen(from, to, 1);
        assert_ne!(changed, spot, "{from}");
        Decoder::compile(&changed).unwrap_err().to_string()
    };
    assert!(error("\"price\":", "\"prize\":").starts_with("shape \"depth\": level: allowed is price, qty"));
    assert!(error("\"one\":", "\"two\":").contains("two"));
    assert!(
        error("\"name\": \"trade\"", "\"name\": \"depth\"").contains("name: allowed is a name of its own")
    );
    let lone = error("\"also\": false", "\"also\": true");
    assert!(lone.contains("also: allowed is only after another shape, and neither a book"), "{lone}");
    let known = r#"{"envelope":null,"connection_sequence":null,"shapes":[{"name":"t","rest":false,"also":false,"when":[],"each":null,"inner":null,"beside":[],"instrument":{"type":"known"},"exchange_time":null,"sequence":{"rule":"none","splice":"none","first":null,"last":null,"prev":null},"known":[],"body":{"type":"ticker","window_s":1,"last":null,"open":null,"high":null,"low":null,"volume":null,"turnover":null,"trade_count":null}}]}"#;
    let message = Decoder::compile(known).unwrap_err().to_string();
    assert!(message.starts_with("shape \"t\": instrument: allowed is a place, unless"), "{message}");
    assert!(Decoder::compile("{").unwrap_err().to_string().starts_with("shapes: JSON:"));
}
