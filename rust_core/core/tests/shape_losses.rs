//! Whose books miss something when a frame is dropped, on messages of the venue where it occurs.

mod shape_support;

use outcrier_core::event::Decoded;
use outcrier_core::instrument::{InstrumentTable, Scale};
use outcrier_core::shape::{Decoder, FaultKind, Outcome};
use shape_support::{decode, form, named, shapes};

/// A form is walked at first, then goes a track of its own; elements before the whole frame does.
const TIMES: usize = 8;

struct Fixture {
    decoder: Decoder,
    table: InstrumentTable,
    out: Decoded,
}

impl Fixture {
    fn new(decoder: Decoder, symbols: &[&str]) -> Fixture {
        let mut table = InstrumentTable::default();
        for symbol in symbols {
            table.add(symbol.as_bytes(), Scale { price_exp: -8, qty_exp: -8 }).unwrap();
        }
        Fixture { decoder, table, out: Decoded::default() }
    }

    fn outcome(&mut self, frame: &[u8]) -> Outcome {
        decode(&mut self.decoder, frame, &mut self.table, &mut self.out)
    }

    /// Reads a frame, of which nothing is lost.
    fn reads(&mut self, frame: &str, events: usize) {
        assert_eq!(self.outcome(frame.as_bytes()), Outcome::Handled, "{frame}");
        assert_eq!(self.out.events.len(), events, "{frame}");
        assert_eq!(self.lost(), (vec![], false), "{frame}");
    }

    /// Instruments whose books miss something, and whether there may be others.
    fn lost(&self) -> (Vec<u32>, bool) {
        let mut books = self.out.unread_books.clone();
        books.sort_unstable();
        (books, self.out.unread_unnamed)
    }

    fn loses(&mut self, frame: &[u8], kind: FaultKind, books: &[u32], unnamed: bool) {
        let text = String::from_utf8_lossy(&frame[..frame.len().min(1_000)]);
        assert_eq!(self.outcome(frame), Outcome::Fault(kind), "{text}");
        assert_eq!(self.lost(), (books.to_vec(), unnamed), "{text}");
        assert!(self.out.events.is_empty() && self.out.levels.is_empty(), "{text}");
    }
}

/// Bithumb sends changes of levels as a list; rows of the session of 2021-06-01, in one message.
#[test]
fn every_book_of_a_dropped_frame_is_named() {
    let rows =
        [("ETH_BTC", "0.07232376"), ("GOM2_KRW", "7.533"), ("BAL_BTC", "0.00071"), ("ETH_BTC", "0.07108345")];
    let row = |(symbol, price): (&str, &str)| {
        format!(
            r#"{{"symbol":"{symbol}","orderType":"bid","price":"{price}","quantity":"1.6088","total":"1"}}"#
        )
    };
    let frame = |rows: &[String]| {
        let rows = rows.join(",");
        format!(r#"{{"type":"orderbookdepth","content":{{"list":[{rows}],"datetime":"1622591012656250"}}}}"#)
    };
    let good = rows.map(row);
    for bad in 0..rows.len() {
        let mut it = Fixture::new(form("bithumb"), &["ETH_BTC", "GOM2_KRW", "RNT_KRW"]);
        let damaged = |from: &str, to: &str| {
            let mut rows = good.clone();
            assert!(rows[bad].contains(from));
            rows[bad] = rows[bad].replace(from, to);
            frame(&rows)
        };
        // Of ETH_BTC there is another row, and nobody asked for BAL_BTC.
        let others: &[u32] = if bad == 1 { &[0] } else { &[0, 1] };
        for _ in 0..TIMES {
            it.reads(&frame(&good), 3);
            for (from, to, kind) in [
                ("\"price\":\"", "\"price\":\"x", FaultKind::BadNumber),
                ("\"bid\"", "\"mid\"", FaultKind::UnknownSide),
                ("\"price\":", "\"prices\":", FaultKind::MissingField),
                ("{", "{\"price\":\"1\",", FaultKind::DuplicateKey),
            ] {
                let frame = damaged(from, to);
                match rows[bad].0 {
                    "BAL_BTC" => it.reads(&frame, 3),
                    _ => it.loses(frame.as_bytes(), kind, &[0, 1], false),
                }
            }
            it.loses(damaged("\"symbol\":", "\"name\":").as_bytes(), FaultKind::MissingField, others, true);
            it.loses(
                damaged("\"symbol\":", "\"symbol\":[],\"x\":").as_bytes(),
                FaultKind::WrongType,
                others,
                true,
            );
            it.loses(
                damaged("{", "{\"symbol\":\"ETH_BTC\",").as_bytes(),
                FaultKind::DuplicateKey,
                others,
                true,
            );
            // The time of all of them, which follows the list.
            let late = frame(&good).replace("1622591012656250", "soon");
            it.loses(late.as_bytes(), FaultKind::BadTime, &[0, 1], false);
        }
    }
}

/// OKX names the instrument beside the list: whatever an element is, it is of that one.
#[test]
fn an_element_that_cannot_be_found_is_of_the_instrument_of_the_frame() {
    let frame = r#"{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","0","0","12"]],"ts":"1597026383085","checksum":-855196043,"prevSeqId":123456,"seqId":123457}]}"#;
    let mut it = Fixture::new(named("venues.json", "okx_2022"), &["ETH-USDT", "BTC-USDT"]);
    for _ in 0..TIMES {
        it.reads(frame, 1);
        it.loses(
            frame.replace("\"asks\":", "\"ts\":\"1\",\"asks\":").as_bytes(),
            FaultKind::DuplicateKey,
            &[1],
            false,
        );
        it.loses(frame.replace("8476.98", "8476.x").as_bytes(), FaultKind::BadNumber, &[1], false);
        it.loses(frame.replace("\"BTC-USDT\"", "[]").as_bytes(), FaultKind::WrongType, &[], true);
    }
}

#[test]
fn a_frame_that_cannot_be_read_as_a_whole_names_nobody() {
    let frame = r#"{"channel":"book","type":"update","data":[{"symbol":"MATIC/USD","bids":[{"price":0.5657,"qty":1098.3947558}],"asks":[],"checksum":2114181697,"timestamp":"2023-10-06T17:35:55.440295Z"}]}"#;
    let mut it = Fixture::new(form("kraken_v2"), &["MATIC/USD"]);
    for _ in 0..TIMES {
        it.reads(frame, 1);
        for cut in [1, 20, frame.find("1098").unwrap(), frame.len() - 1] {
            it.loses(&frame.as_bytes()[..cut], FaultKind::Malformed, &[], true);
        }
        it.loses(format!("{frame}]").as_bytes(), FaultKind::Trailing, &[], true);
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        it.loses(frame.replace("[]", &deep).as_bytes(), FaultKind::TooDeep, &[], true);
        let twice = frame.replace("{\"channel\":\"book\",", "{\"channel\":\"book\",\"channel\":\"book\",");
        it.loses(twice.as_bytes(), FaultKind::DuplicateKey, &[], true);
        let mut wide = frame.as_bytes().to_vec();
        wide[4] = 0xff;
        it.loses(&wide, FaultKind::Utf8, &[], true);
        assert_eq!((it.outcome(b"pong"), it.lost()), (Outcome::NotMine, (vec![], false)));
    }
    it.loses(&vec![b' '; (16 << 20) + 1], FaultKind::TooLong, &[], true);
    it.reads(frame, 1);
}

/// Trades with what a book would be lost by.
#[test]
fn a_frame_that_is_known_to_be_no_book_loses_none() {
    let frame = r#"{"topic":"publicTrade.BTCUSDT","ts":1680652847526,"type":"snapshot","data":[{"i":"2290000000050703789","T":1680652847524,"p":"28165.38","v":"0.041732","S":"Sell","s":"BTCUSDT","BT":false}]}"#;
    let mut it = Fixture::new(form("bybit"), &["BTCUSDT"]);
    for _ in 0..TIMES {
        it.reads(frame, 1);
        it.loses(frame.replace("28165.38", "28165.x").as_bytes(), FaultKind::BadNumber, &[], false);
        it.loses(
            frame.replace("\"s\":\"BTCUSDT\"", "\"s\":null").as_bytes(),
            FaultKind::MissingField,
            &[],
            false,
        );
        it.loses(
            frame.replace("{\"i\"", "{\"p\":\"1\",\"i\"").as_bytes(),
            FaultKind::DuplicateKey,
            &[],
            false,
        );
    }
}

/// Binance names the instrument of a partial book in the stream's name, which a raw stream has not.
#[test]
fn a_book_without_an_instrument_may_be_anybodys() {
    let mut it = Fixture::new(form("binance_more"), &["BTCUSDT"]);
    let raw = r#"{"lastUpdateId":1027024,"bids":[["4.00","431.0"]],"asks":[]}"#;
    it.loses(raw.as_bytes(), FaultKind::MissingField, &[], true);
}

/// Two declarations of Bithumb's list, told by a word behind it: the first rows are read by the one that has no word, before
/// it is seen that the frame is of the other.
#[test]
fn nothing_stays_of_elements_that_were_of_another_shape() {
    let all: serde_json::Value = serde_json::from_str(&shapes("forms.json")).unwrap();
    let mut venue = all["bithumb"].clone();
    let book = venue["shapes"][0].clone();
    let mut plain = book.clone();
    plain["name"] = "plain".into();
    plain["when"][0]["test"] = serde_json::json!({"type": "kind", "kind": "absent"});
    plain["body"]["side"]["bid"] = serde_json::json!(["bid"]);
    venue["shapes"] = serde_json::json!([book, plain]);
    let mut it = Fixture::new(Decoder::compile(&venue.to_string()).unwrap(), &["ETH_BTC", "GOM2_KRW"]);
    let frame = |side: &str, word: &str| {
        let row = |symbol: &str, side: &str| {
            format!(
                r#"{{"symbol":"{symbol}","orderType":"{side}","price":"7.5","quantity":"1.6088","total":"1"}}"#
            )
        };
        let rows = [row("ETH_BTC", "bid"), row("GOM2_KRW", side)].join(",");
        format!(r#"{{"content":{{"list":[{rows}],"datetime":"1622591012656250"}}{word}}}"#)
    };
    for _ in 0..TIMES {
        it.reads(&frame("bid", ""), 2);
        it.loses(frame("buy", "").as_bytes(), FaultKind::UnknownSide, &[0, 1], false);
        it.reads(&frame("buy", r#","type":"orderbookdepth""#), 2);
    }
}
