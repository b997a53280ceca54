//! Shapes as the decoder executes them: places are slots, texts are bytes, everything checked.

use std::collections::BTreeMap;

use super::known::{Declared, Known};
use super::orders::OrdersPlan;
use super::reader::Reader;
use super::spec::{Case, KindTest, Taker, Unit};
use super::trie::{Slot, Trie};

/// The record that a place is looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Frame,
    Element,
    Inner,
}

/// A place: a slot of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) record: Record,
    pub(super) slot: Slot,
}

/// All shapes that one kind of input may have.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) trie: Trie,
    pub(super) shapes: Vec<ShapePlan>,
    pub(super) connection_sequence: Option<Slot>,
}

#[derive(Debug)]
pub(super) struct ShapePlan {
    /// Index in `Decoder::shapes`.
    pub(super) number: u16,
    pub(super) when: Vec<Condition>,
    /// The array of elements in the frame.
    pub(super) each: Option<Slot>,
    pub(super) element: Trie,
    /// The array of inner elements in an element.
    pub(super) inner_list: Option<Slot>,
    pub(super) inner: Trie,
    pub(super) instrument: InstrumentPlan,
    pub(super) time: Option<TimePlan>,
    pub(super) first: Option<Field>,
    pub(super) last: Option<Field>,
    pub(super) prev: Option<Field>,
    pub(super) body: BodyPlan,
    /// Shapes that read the same frame after this one.
    pub(super) also: Vec<ShapePlan>,
    /// Every place that it reads or knows, and those of `also`.
    pub(super) declared: Vec<Declared>,
    /// The tree of these.
    pub(super) known: Known,
    /// Slots of the frame that it reads, and those of `also`.
    pub(super) used: Vec<Slot>,
}

#[derive(Debug)]
pub(super) struct Condition {
    pub(super) at: Field,
    pub(super) test: Test,
}

#[derive(Debug)]
pub(super) enum Test {
    OneOf(Vec<Scalar>),
    Differs(Vec<Scalar>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Kind(KindTest),
}

#[derive(Debug)]
pub(super) enum Scalar {
    Text(Box<[u8]>),
    /// As printed.
    Number(Box<[u8]>),
    True,
    False,
    Null,
}

#[derive(Debug)]
pub(super) struct TextPlan {
    pub(super) at: Field,
    pub(super) split: Option<u8>,
    pub(super) part: i32,
}

#[derive(Debug)]
pub(super) enum InstrumentPlan {
    Symbol {
        text: TextPlan,
        case: Case,
    },
    /// A number that was bound, to this channel where one is named.
    Bound {
        at: Field,
        channel: Option<Box<str>>,
    },
    /// The caller of a request knows it.
    Known,
}

impl Plan {
    /// The name of a place that a shape reads.
    pub(super) fn name_of(&self, shape: u16, name: u16) -> Option<&str> {
        let shape = self.shapes.iter().find(|other| other.number == shape)?;
        shape.known.read.get(usize::from(name)).map(|name| &**name)
    }
}

impl ShapePlan {
    pub(super) fn is_book(&self) -> bool {
        matches!(self.body, BodyPlan::Book(_))
    }

    /// Whether what it says continues what was said before: a message that is lost is missed.
    pub(super) fn has_state(&self) -> bool {
        matches!(self.body, BodyPlan::Book(_) | BodyPlan::Orders(_))
    }
}

impl InstrumentPlan {
    pub(super) fn field(&self) -> Option<Field> {
        match self {
            InstrumentPlan::Symbol { text, .. } => Some(text.at),
            InstrumentPlan::Bound { at, .. } => Some(*at),
            InstrumentPlan::Known => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct TimePlan {
    pub(super) at: Field,
    pub(super) unit: Unit,
    pub(super) zone_s: i32,
}

#[derive(Debug)]
pub(super) enum BodyPlan {
    Book(BookPlan),
    Trades(TradePlan),
    Bbo(BboPlan),
    Ticker(TickerPlan),
    Candle(CandlePlan),
    Deriv(DerivPlan),
    /// States with the tests that tell them; the first that hold.
    Trading(Vec<(u8, Vec<Condition>)>),
    Orders(OrdersPlan),
}

#[derive(Debug)]
pub(super) struct BookPlan {
    pub(super) lists: Vec<ListPlan>,
    /// A message may leave lists out, but not all.
    pub(super) omits_empty: bool,
    /// Of such a shape: arrays that stand beside them under keys that nobody knows.
    pub(super) others: Option<Field>,
    pub(super) one: bool,
    pub(super) level: LevelPlan,
    pub(super) snapshot: SnapshotPlan,
    pub(super) ignore_zero_price: bool,
    pub(super) scaled: bool,
    pub(super) keep_decimals: bool,
    pub(super) checksum: Option<Field>,
}

#[derive(Debug)]
pub(super) enum SnapshotPlan {
    Always,
    Never,
    When(Vec<Condition>),
}

impl SnapshotPlan {
    /// Whether the values in `reader` are a whole book.
    pub(super) fn holds(&self, reader: &Reader<'_>) -> bool {
        match self {
            SnapshotPlan::Always => true,
            SnapshotPlan::Never => false,
            SnapshotPlan::When(tests) => reader.all_hold(tests),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ListPlan {
    pub(super) at: Field,
    /// Index of its name in `Known::read`.
    pub(super) name: u16,
    pub(super) side: ListSide,
    /// Every level of this list is deleted.
    pub(super) remove: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListSide {
    Bid,
    Ask,
    /// The row tells.
    InRow,
}

/// Where a level's fields are among the values of its row.
#[derive(Debug)]
pub(super) struct LevelPlan {
    pub(super) trie: Trie,
    /// Position 0 is the price and 1 the quantity, nothing else is read: the common form has a scanner of its own.
    pub(super) is_pair: bool,
    pub(super) packed: Option<PackedPlan>,
    pub(super) form: LevelForm,
    pub(super) side: RowSide,
    pub(super) count: Option<Slot>,
    pub(super) verb: Option<Slot>,
    pub(super) remove: Vec<Box<[u8]>>,
    pub(super) id: Option<Slot>,
    pub(super) sequence: Option<Slot>,
}

/// A level written as one text.
#[derive(Debug)]
pub(super) struct PackedPlan {
    pub(super) separator: u8,
    /// Position in the text per slot of the row.
    pub(super) positions: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum LevelForm {
    One {
        price: Option<Slot>,
        qty: Slot,
    },
    /// A bid and an ask in one row.
    Both {
        bid_price: Slot,
        bid_qty: Slot,
        ask_price: Slot,
        ask_qty: Slot,
    },
}

#[derive(Debug)]
pub(super) enum RowSide {
    /// The list tells.
    OfList,
    Sign,
    Words {
        at: Slot,
        bid: Vec<Box<[u8]>>,
        ask: Vec<Box<[u8]>>,
    },
}

#[derive(Debug)]
pub(super) struct TradePlan {
    pub(super) liquidation: bool,
    pub(super) price: Field,
    pub(super) qty: Field,
    pub(super) time: Option<TimePlan>,
    pub(super) id: Option<Field>,
    pub(super) aggressor: AggressorPlan,
    pub(super) fills: Option<(Field, Field)>,
    pub(super) n_fills: Option<Field>,
    pub(super) flags: Vec<(u8, Vec<Condition>)>,
    pub(super) scaled: bool,
}

#[derive(Debug)]
pub(super) enum AggressorPlan {
    Unknown,
    Sign,
    Words { at: Field, buy: Vec<Box<[u8]>>, sell: Vec<Box<[u8]>> },
    Flag { at: Field, test: Test, then: Taker },
}

#[derive(Debug)]
pub(super) struct BboPlan {
    pub(super) scaled: bool,
    pub(super) bid: [Option<Field>; 3],
    pub(super) ask: [Option<Field>; 3],
}

#[derive(Debug)]
pub(super) struct TickerPlan {
    pub(super) window_ns: i64,
    /// Last, open, high, low.
    pub(super) prices: [Option<Field>; 4],
    pub(super) volume: Option<Field>,
    pub(super) turnover: Option<Field>,
    pub(super) trade_count: Option<Field>,
}

#[derive(Debug)]
pub(super) struct CandlePlan {
    pub(super) open_time: TimePlan,
    pub(super) interval: IntervalPlan,
    pub(super) closed: Option<Vec<Condition>>,
    /// Open, high, low, close.
    pub(super) prices: [Option<Field>; 4],
    pub(super) volume: Option<Field>,
    pub(super) turnover: Option<Field>,
    pub(super) trade_count: Option<Field>,
}

#[derive(Debug)]
pub(super) enum IntervalPlan {
    Fixed(u32),
    Words(TextPlan, BTreeMap<Box<[u8]>, u32>),
}

#[derive(Debug)]
pub(super) struct DerivPlan {
    /// Mark, index, settlement.
    pub(super) prices: [Option<Field>; 3],
    /// Current and next rate.
    pub(super) rates: [Option<Field>; 2],
    pub(super) next_funding: Option<TimePlan>,
    pub(super) funding_interval: Option<(Field, u32)>,
    pub(super) open_interest: Option<Field>,
    pub(super) oi_value: Option<Field>,
}
