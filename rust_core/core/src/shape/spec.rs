//! The declarations as `python/outcrier/shapes.py` writes them; that module tells what each field means.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::checksum::Algorithm;
use crate::sequence::{Rule, Splice};

/// A step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(untagged)]
pub(super) enum Key {
    /// Position in an array; negative from the end.
    Index(i64),
    /// Key of an object.
    Name(String),
}

pub(super) type Path = Vec<Key>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scope {
    Frame,
    Payload,
    Element,
    Here,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    pub(super) scope: Scope,
    pub(super) path: Path,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Venue {
    pub(super) envelope: Option<Envelope>,
    pub(super) connection_sequence: Option<Place>,
    pub(super) shapes: Vec<Shape>,
}

impl Venue {
    /// Whether books need the decimals of their levels: a checksum is over all of a book, whichever message a level came by.
    pub(super) fn keeps_decimals(&self) -> bool {
        self.shapes.iter().any(|shape| matches!(&shape.body, Body::Book(book) if book.checksum.is_some()))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope {
    pub(super) payload: Path,
    pub(super) optional: bool,
    pub(super) known: Vec<Path>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) rest: bool,
    pub(super) also: bool,
    pub(super) when: Vec<Condition>,
    pub(super) each: Option<Place>,
    pub(super) inner: Option<Path>,
    pub(super) beside: Vec<Path>,
    pub(super) instrument: Instrument,
    pub(super) exchange_time: Option<Time>,
    pub(super) sequence: Sequence,
    pub(super) known: Vec<Place>,
    pub(super) body: Body,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Condition {
    pub(super) at: Place,
    pub(super) test: Test,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Test {
    OneOf { values: Vec<Scalar> },
    Differs { values: Vec<Scalar> },
    Prefix { text: String },
    Suffix { text: String },
    Kind { kind: KindTest },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Scalar {
    Bool(bool),
    Number(i64),
    Text(String),
    Null(()),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KindTest {
    Present,
    Absent,
    Text,
    Number,
    Array,
    ArrayOfArrays,
    Object,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) at: Place,
    pub(super) split: Option<String>,
    pub(super) part: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Case {
    Keep,
    Upper,
    Lower,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Instrument {
    Symbol { text: Text, case: Case },
    Bound { at: Place, channel: Option<String> },
    Known {},
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    S,
    Ms,
    Us,
    Ns,
    Magnitude,
    Rfc3339,
    Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Time {
    pub(super) at: Place,
    pub(super) unit: Unit,
    pub(super) zone_s: i32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sequence {
    pub(super) rule: Rule,
    pub(super) splice: Splice,
    pub(super) first: Option<Place>,
    pub(super) last: Option<Place>,
    pub(super) prev: Option<Place>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Body {
    Book(Box<Book>),
    Trades(Box<Trades>),
    Liquidations(Box<Trades>),
    Bbo(Box<Bbo>),
    Ticker(Box<Ticker>),
    Candle(Box<Candle>),
    Deriv(Box<Deriv>),
    Trading(Box<Trading>),
    Orders(Box<Orders>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Orders {
    pub(super) bids: Option<Place>,
    pub(super) asks: Option<Place>,
    /// Places in the row, or, of a message about one order, in the frame.
    pub(super) fields: BTreeMap<String, Place>,
    pub(super) id: OrderId,
    pub(super) time_unit: Unit,
    pub(super) side: Option<Side>,
    pub(super) verb: Verbs,
    pub(super) snapshot: Snapshot,
    pub(super) by_time: bool,
    pub(super) absent: Vec<Verb>,
    pub(super) depth: Option<u32>,
    pub(super) checksum: Option<Checksum>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OrderId {
    Number,
    Uuid,
    Text,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verb {
    Add,
    Modify,
    Delete,
    Execute,
    /// Takes a number of the sequence and says nothing of an order.
    Pass,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Verbs {
    Always { verb: Verb },
    Words { words: BTreeMap<String, Verb> },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Book {
    pub(super) bids: Option<Place>,
    pub(super) asks: Option<Place>,
    pub(super) lists: Vec<List>,
    pub(super) omits_empty: bool,
    pub(super) one: bool,
    pub(super) level: Level,
    pub(super) side: Option<Side>,
    pub(super) snapshot: Snapshot,
    pub(super) ignore_zero_price: bool,
    pub(super) scaled: bool,
    pub(super) depth: Option<u32>,
    pub(super) checksum: Option<Checksum>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pub(super) at: Place,
    pub(super) remove: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Level {
    pub(super) fields: BTreeMap<String, Path>,
    pub(super) packed: Option<String>,
    pub(super) remove: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Side {
    Words { bid: Vec<String>, ask: Vec<String> },
    Sign {},
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Snapshot {
    Always {},
    Never {},
    FirstAfterBind {},
    When { tests: Vec<Condition> },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checksum {
    pub(super) at: Place,
    pub(super) algorithm: Algorithm,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trades {
    pub(super) price: Place,
    pub(super) qty: Place,
    pub(super) time: Option<Time>,
    pub(super) id: Option<Place>,
    pub(super) aggressor: Option<Aggressor>,
    pub(super) first_fill: Option<Place>,
    pub(super) last_fill: Option<Place>,
    pub(super) n_fills: Option<Place>,
    pub(super) flags: Vec<Flag>,
    pub(super) scaled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Aggressor {
    Words { at: Place, buy: Vec<String>, sell: Vec<String> },
    Flag { at: Place, test: Test, then: Taker },
    Sign {},
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Taker {
    Buy,
    Sell,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Flag {
    pub(super) bits: u8,
    pub(super) tests: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bbo {
    pub(super) scaled: bool,
    pub(super) bid_price: Option<Place>,
    pub(super) bid_qty: Option<Place>,
    pub(super) ask_price: Option<Place>,
    pub(super) ask_qty: Option<Place>,
    pub(super) bid_orders: Option<Place>,
    pub(super) ask_orders: Option<Place>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ticker {
    pub(super) window_s: u32,
    pub(super) last: Option<Place>,
    pub(super) open: Option<Place>,
    pub(super) high: Option<Place>,
    pub(super) low: Option<Place>,
    pub(super) volume: Option<Place>,
    pub(super) turnover: Option<Place>,
    pub(super) trade_count: Option<Place>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Candle {
    pub(super) open_time: Time,
    pub(super) interval: Interval,
    pub(super) closed: Option<Vec<Condition>>,
    pub(super) open: Option<Place>,
    pub(super) high: Option<Place>,
    pub(super) low: Option<Place>,
    pub(super) close: Option<Place>,
    pub(super) volume: Option<Place>,
    pub(super) turnover: Option<Place>,
    pub(super) trade_count: Option<Place>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Interval {
    Fixed { seconds: u32 },
    Words { text: Text, seconds: BTreeMap<String, u32> },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deriv {
    pub(super) next_funding: Option<Time>,
    pub(super) funding_interval: Option<FundingInterval>,
    pub(super) mark: Option<Place>,
    pub(super) index: Option<Place>,
    pub(super) settle: Option<Place>,
    pub(super) funding_rate: Option<Place>,
    pub(super) next_rate: Option<Place>,
    pub(super) open_interest: Option<Place>,
    pub(super) oi_value: Option<Place>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Trading {
    pub(super) states: Vec<TradingState>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TradingState {
    pub(super) state: u8,
    pub(super) tests: Vec<Condition>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FundingInterval {
    pub(super) at: Place,
    pub(super) unit_s: u32,
}
