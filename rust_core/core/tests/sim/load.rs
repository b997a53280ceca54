//! Real messages of an exchange, cut into sources: one recorded instrument each, with the REST answers that join them.
//!
//! A source can be played under any symbol, so that 10 recorded instruments feed a channel of 200 or 1,000.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::OnceLock;

use flate2::read::GzDecoder;
use outcrier_core::orders::OrderBook;
use serde_json::Value;

use crate::es_orders::{self, Event};

/// Ten instruments of one venue, all with books, quotes, trades and candles.
const CAPTURE: &str = "captures/binance_coinm/coinm_2021-07-22.jsonl.gz";
/// Declaration of that venue.
const SHAPES: &str = "tests/shapes/binance_coinm.json";
/// Levels a side of the REST answers, as `limit=50` would give them: a book costs a frame or two.
const DEPTH: usize = 50;
/// Depth messages between two REST answers.
const BODY_EVERY: usize = 12;
/// One order in so many of the recording is played, so that a book of them costs ten frames.
const ORDERS_ONE_IN: u64 = 32;
/// Events between two books of orders.
const ORDERS_EVERY: usize = 100;

/// One message of the exchange; the symbol stands between the parts.
#[derive(Debug)]
pub(crate) struct Message {
    parts: Vec<Box<[u8]>>,
    /// Changes the book.
    pub(crate) is_depth: bool,
}

impl Message {
    /// Writes the message as if it were about `symbol`.
    pub(crate) fn write(&self, symbol: &str, out: &mut Vec<u8>) {
        out.clear();
        for (at, part) in self.parts.iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(symbol.as_bytes());
            }
            out.extend_from_slice(part);
        }
    }
}

/// A REST answer.
#[derive(Debug)]
pub(crate) struct Body {
    /// It covers the messages before this one.
    pub(crate) after: usize,
    pub(crate) json: Vec<u8>,
}

/// What one recorded instrument said.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) messages: Vec<Message>,
    /// In order of `after`, the first one at 0.
    pub(crate) bodies: Vec<Body>,
}

impl Source {
    /// The latest REST answer for someone who heard the messages before `position`.
    pub(crate) fn body_at(&self, position: usize) -> &Body {
        let at = self.bodies.partition_point(|body| body.after <= position);
        &self.bodies[at - 1]
    }
}

/// Orders of another exchange, which gives each order: a sample of its orders, each told from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) events: Vec<Event>,
    /// All orders before an event, by its index; the first one at 0.
    books: Vec<(usize, OrderBook)>,
}

impl Orders {
    /// The latest book for someone who heard the events before `position`, and where it goes on.
    pub(crate) fn book_at(&self, position: usize) -> &(usize, OrderBook) {
        let at = self.books.partition_point(|(after, _)| *after <= position);
        &self.books[at - 1]
    }

    fn read() -> Option<Self> {
        let mut events = es_orders::events(|id| id.is_multiple_of(ORDERS_ONE_IN))?.into_iter();
        let mut book = OrderBook::new(1);
        let play = |book: &mut OrderBook, event: &Event| {
            for op in &event.ops {
                book.apply(op, event.ts).expect("a known recording");
            }
        };
        play(&mut book, &events.next().expect("an opening list"));
        let (events, mut books): (Vec<Event>, _) = (events.collect(), Vec::new());
        for (at, event) in events.iter().enumerate() {
            if at.is_multiple_of(ORDERS_EVERY) {
                books.push((at, book.clone()));
            }
            play(&mut book, event);
        }
        assert!(events.len() > 1_000 && books.iter().all(|(_, book)| book.queues().len() > 100));
        Some(Self { events, books })
    }
}

/// Everything that worlds play. Read once in a process.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) shapes: String,
    pub(crate) sources: Vec<Source>,
    pub(crate) orders: Orders,
}

/// The load, or `None` (with the reason on stderr) where the captures are missing.
pub(crate) fn load() -> Option<&'static Load> {
    static LOAD: OnceLock<Option<Load>> = OnceLock::new();
    LOAD.get_or_init(read).as_ref()
}

fn read() -> Option<Load> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let data = std::env::var_os("OUTCRIER_DATA").map_or(here.join("../../../shared/data"), PathBuf::from);
    let path = data.join(CAPTURE);
    let Ok(file) = std::fs::File::open(&path) else {
        crate::say(&format!("skipped: no {} (set OUTCRIER_DATA)", path.display()));
        return None;
    };
    let mut makers: BTreeMap<String, Maker> = BTreeMap::new();
    for line in BufReader::new(GzDecoder::new(file)).lines() {
        let line: Value = serde_json::from_str(&line.expect("a whole gzip file")).expect("a JSON line");
        let Some(text) = line["d"].as_str() else { continue };
        let body: Value = serde_json::from_str(text).expect("JSON of the exchange");
        if let Some(symbol) = body["symbol"].as_str() {
            makers.entry(symbol.to_owned()).or_insert_with(|| Maker::new(&body));
        } else if let Some(symbol) = symbol_of(&body)
            && let Some(maker) = makers.get_mut(symbol)
        {
            maker.take(symbol, text, &body["data"]);
        }
    }
    let sources: Vec<Source> = makers.into_values().map(|maker| maker.source).collect();
    assert!(
        sources.len() == 10 && sources.iter().all(|source| source.messages.len() > 100),
        "a known capture"
    );
    let shapes = std::fs::read_to_string(here.join(SHAPES)).expect("a file beside the tests");
    Some(Load { shapes, sources, orders: Orders::read()? })
}

fn symbol_of(message: &Value) -> Option<&str> {
    message["data"]["s"].as_str()
}

/// Price and quantity as the exchange writes them, by price.
type Side = BTreeMap<i64, (String, String)>;

/// A source in the making: its book follows the messages, so that REST answers can be cut anywhere.
struct Maker {
    source: Source,
    sides: [Side; 2],
    last_id: u64,
    depths: usize,
}

impl Maker {
    fn new(rest: &Value) -> Self {
        let sides = ["bids", "asks"].map(|key| {
            let rows = rest[key].as_array().expect("levels").iter().take(DEPTH);
            rows.map(|row| entry(row).expect("a level")).collect()
        });
        let last_id = rest["lastUpdateId"].as_u64().expect("an id");
        let source = Source { messages: Vec::new(), bodies: Vec::new() };
        let mut maker = Self { source, sides, last_id, depths: 0 };
        maker.body();
        maker
    }

    fn take(&mut self, symbol: &str, text: &str, data: &Value) {
        let is_depth = data["e"] == "depthUpdate";
        if is_depth && data["u"].as_u64() < Some(self.last_id) {
            return; // Before the REST answer.
        }
        let quoted = format!("\"{symbol}\"");
        let parts: Vec<&str> = text.split(&quoted).collect();
        let last = parts.len() - 1;
        let part = |(at, part): (usize, &&str)| {
            let (open, close) = (if at > 0 { "\"" } else { "" }, if at < last { "\"" } else { "" });
            format!("{open}{part}{close}").into_bytes().into_boxed_slice()
        };
        let parts = parts.iter().enumerate().map(part).collect();
        self.source.messages.push(Message { parts, is_depth });
        if !is_depth {
            return;
        }
        for (side, key) in self.sides.iter_mut().zip(["b", "a"]) {
            for row in data[key].as_array().expect("levels") {
                let (price, level) = entry(row).expect("a level");
                if level.1.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
                    side.remove(&price);
                } else {
                    side.insert(price, level);
                }
            }
        }
        self.last_id = data["u"].as_u64().expect("an id");
        self.depths += 1;
        if self.depths.is_multiple_of(BODY_EVERY) {
            self.body();
        }
    }

    fn body(&mut self) {
        let json = |level: &(String, String)| format!("[\"{}\",\"{}\"]", level.0, level.1);
        let bids: Vec<String> = self.sides[0].values().rev().take(DEPTH).map(json).collect();
        let asks: Vec<String> = self.sides[1].values().take(DEPTH).map(json).collect();
        let (id, bids, asks) = (self.last_id, bids.join(","), asks.join(","));
        let json = format!("{{\"lastUpdateId\":{id},\"bids\":[{bids}],\"asks\":[{asks}]}}").into_bytes();
        self.source.bodies.push(Body { after: self.source.messages.len(), json });
    }
}

/// A level by its price at eight places.
fn entry(row: &Value) -> Option<(i64, (String, String))> {
    let (price, qty) = (row[0].as_str()?, row[1].as_str()?);
    let (whole, fraction) = price.split_once('.').unwrap_or((price, ""));
    let key = format!("{whole}{fraction:0<8}").parse().ok()?;
    Some((key, (price.to_owned(), qty.to_owned())))
}
