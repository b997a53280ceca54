//! Declared messages: a venue's frame is scanned once into [`Decoded`] events.
//!
//! A venue declares its hot messages in Python (`python/outcrier/shapes.py`, which tells what each field means) and
//! hands them over as JSON. [`Decoder::compile`] checks them and merges the places that all shapes look at into one
//! tree (`trie`). A frame is walked once along that tree; what no shape looks at is passed over, but checked. A frame that
//! differs from an earlier one in nothing but its values is not even walked: it goes the same way (`track`), and so do elements
//! of arrays and rows of levels. Lists of levels are read where the walk comes to them if shape and instrument are known by
//! then (`eager`), as they are with every venue that prints the symbol first; otherwise from their place afterwards. The
//! events of an array are made where a track comes to it, if all else that they need of the frame stands before it.
//!
//! * Keys come in any order; white space and escapes are read wherever JSON allows them.
//! * A key that a shape looks at and that comes twice in an object is a fault: which one is meant is unknown.
//! * `null` means absent.
//! * Nothing a venue sends panics or allocates (after warm-up; texts with escapes above 128 bytes do). `tests/allocations.rs`
//!   holds that over whole sessions, to the sealed frame.

mod alike;
mod alike_rows;
mod bodies;
mod compile;
mod compile_rows;
mod cursor;
mod drift;
mod eager;
mod elements;
mod known;
mod learn;
mod levels;
mod orders;
mod pairs;
mod plan;
mod reader;
mod scan;
mod spec;
mod time;
mod track;
mod trie;
mod way;

use std::fmt;

pub use orders::OrdersInfo;

pub use drift::{DRIFT_NAME_BYTES_MAX, DRIFT_NAMES_MAX, OTHER as DRIFT_OTHER};

use crate::checksum::Algorithm;
use crate::event::Decoded;
use crate::instrument::InstrumentTable;
use crate::sequence::{Rule, Splice};

/// Longest frame that is read. The longest one in the captures, a Coinbase snapshot, has 5,079,379 bytes.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// A part of the frame, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes of the span; empty where the frame is shorter.
    #[must_use]
    pub fn of(self, frame: &[u8]) -> &[u8] {
        frame.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its events are in the output; there may be none (an empty array of trades).
    Handled,
    /// No shape takes it: a control message, or one for Python.
    NotMine,
    /// A shape takes it, but none of its instruments is known.
    UnknownInstrument {
        /// The symbol, or the bound number, as the frame prints it.
        text: Span,
    },
    /// A price or quantity has more digits than the exponents hold. The exponents are fine enough for the whole event.
    NeedsFiner {
        /// Index of the instrument.
        instrument: u32,
        /// New price exponent, at most the present one.
        price_exp: i8,
        /// New quantity exponent, at most the present one.
        qty_exp: i8,
    },
    /// A shape takes it, or it is no JSON, and it cannot be read.
    Fault(FaultKind),
}

/// Why a frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// Not JSON, or cut short.
    Malformed,
    /// Bytes after the JSON value.
    Trailing,
    /// A string is not UTF-8.
    Utf8,
    /// More than 64 arrays and objects in one another.
    TooDeep,
    /// Longer than [`FRAME_BYTES_MAX`].
    TooLong,
    /// A key that a shape looks at stands twice in an object, or in envelope and payload.
    DuplicateKey,
    /// A field that the shape needs is absent or null.
    MissingField,
    /// A list of levels is absent, which the shape allows, and beside its place stands one that nobody knows.
    UnknownList,
    /// A value of another type than the shape says.
    WrongType,
    /// Text that is no number.
    BadNumber,
    /// A number that fits no 64-bit mantissa.
    Overflow,
    /// A number with more digits than its field can hold, where no exponent can be refined.
    TooPrecise,
    /// No time of the declared form, or after the year 2262.
    BadTime,
    /// A quantity below zero where the sign means nothing.
    NegativeQuantity,
    /// A level whose side is none of the declared words, or has no sign.
    UnknownSide,
    /// A candle interval that is none of the declared words.
    UnknownInterval,
    /// A row of an order message whose verb is none of the declared words.
    UnknownVerb,
    /// An order id that is not of the declared form.
    BadOrderId,
}

impl FaultKind {
    /// A short name for counters and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::Malformed => "malformed JSON",
            FaultKind::Trailing => "trailing bytes",
            FaultKind::Utf8 => "bad UTF-8",
            FaultKind::TooDeep => "nested too deep",
            FaultKind::TooLong => "frame too long",
            FaultKind::DuplicateKey => "duplicate key",
            FaultKind::MissingField => "missing field",
            FaultKind::UnknownList => "unknown list of levels",
            FaultKind::WrongType => "wrong type",
            FaultKind::BadNumber => "bad number",
            FaultKind::Overflow => "number overflow",
            FaultKind::TooPrecise => "number too precise",
            FaultKind::BadTime => "bad time",
            FaultKind::NegativeQuantity => "negative quantity",
            FaultKind::UnknownSide => "unknown side",
            FaultKind::UnknownInterval => "unknown interval",
            FaultKind::UnknownVerb => "unknown verb",
            FaultKind::BadOrderId => "bad order id",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A declaration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError {
    /// Name of the shape; empty where the text as a whole is wrong.
    pub shape: String,
    /// The field.
    pub field: String,
    /// What is allowed there.
    pub allowed: String,
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shape.is_empty() {
            return write!(f, "shapes: {}: {}", self.field, self.allowed);
        }
        write!(f, "shape {:?}: {}: allowed is {}", self.shape, self.field, self.allowed)
    }
}

impl std::error::Error for ShapeError {}

/// Whether `Body::Book::snapshot` says it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotMode {
    /// It does.
    Told,
    /// It does, and is always true: nothing of the shape continues a book.
    Always,
    /// It is false; the first message of an instrument after it was bound or subscribed is the whole book.
    FirstAfterBind,
}

/// What the engine must know of a shape beyond one frame; `Decoded::shape` is its index in [`Decoder::shapes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeInfo {
    /// As declared.
    pub name: String,
    /// The answer to a request, read by [`Decoder::decode_snapshot`].
    pub rest: bool,
    /// It is about levels.
    pub is_book: bool,
    /// Continuity of its events.
    pub rule: Rule,
    /// How a snapshot joins; [`Splice::None`] for shapes that are no book.
    pub splice: Splice,
    /// Levels a side that the venue keeps: cut further ones after each message.
    pub depth: Option<u32>,
    /// Who tells whether a message is a whole book.
    pub snapshot: SnapshotMode,
    /// Levels have ids (`LevelExtra::id`); one without price is looked up by id.
    pub level_ids: bool,
    /// Levels are numbered one by one (`LevelExtra::sequence`).
    pub level_sequence: bool,
    /// How the venue makes the checksum that its messages may carry.
    pub checksum: Option<Algorithm>,
    /// Levels have their decimals (`LevelExtra`), because some shape of the venue has a checksum over text.
    pub keep_decimals: bool,
    /// Its trades are put together from several fills, whose ids are no ids of theirs.
    pub folds: bool,
    /// It is about orders.
    pub orders: Option<OrdersInfo>,
}

/// The compiled shapes of a venue, and the buffers to scan with. One per thread.
#[derive(Debug)]
pub struct Decoder {
    stream: plan::Plan,
    rest: plan::Plan,
    infos: Vec<ShapeInfo>,
    work: scan::Work,
}

impl Decoder {
    /// Compiles the JSON of `outcrier.shape_json.to_json`.
    ///
    /// # Errors
    /// The first mistake, with the names of shape and field and what is allowed.
    pub fn compile(json: &str) -> Result<Decoder, ShapeError> {
        let compile::Compiled { stream, rest, infos } = compile::compile(json)?;
        let work = scan::Work::of(infos.iter().map(|info| info.name.as_str().into()).collect());
        Ok(Decoder { stream, rest, infos, work })
    }

    /// All shapes in the order of their declaration.
    #[must_use]
    pub fn shapes(&self) -> &[ShapeInfo] {
        &self.infos
    }

    /// What stands in frames that shapes take and in no declaration (`shape.field`), and what was there always and is gone
    /// (`shape.-field`), each with how often it was seen in the frames that were looked at: the first of a shape, those of a
    /// new form, and a share of all. At most [`DRIFT_NAMES_MAX`] names; the rest is [`DRIFT_OTHER`].
    pub fn drift(&self) -> impl Iterator<Item = (&str, u64)> {
        self.work.drift()
    }

    /// Why the last frame or answer was refused, in words: the kind, and the place where a list of levels is missing
    /// (`missing field data.b`).
    #[must_use]
    pub fn reason(&self, kind: FaultKind) -> String {
        match self.work.missing([&self.stream, &self.rest]) {
            Some(place) if kind == FaultKind::MissingField => format!("{kind} {place}"),
            _ => kind.to_string(),
        }
    }

    /// Rule and splice of the book: those of the first streamed book shape that has a rule.
    #[must_use]
    pub fn rule(&self) -> (Rule, Splice) {
        let mut books = self.infos.iter().filter(|info| info.is_book && !info.rest);
        let numbered = books.clone().find(|info| info.rule != Rule::None);
        numbered.or_else(|| books.next()).map_or((Rule::None, Splice::None), |info| (info.rule, info.splice))
    }

    /// Rule and splice of the orders, as [`Decoder::rule`]; `None` if no shape is about orders.
    #[must_use]
    pub fn orders_rule(&self) -> Option<(Rule, Splice)> {
        let mut shapes = self.infos.iter().filter(|info| info.orders.is_some() && !info.rest);
        let numbered = shapes.clone().find(|info| info.rule != Rule::None);
        numbered.or_else(|| shapes.next()).map(|info| (info.rule, info.splice))
    }

    /// Whether every message about a book in the stream is a whole one.
    #[must_use]
    pub fn has_whole_books(&self) -> bool {
        let mut books = self.infos.iter().filter(|info| info.is_book && !info.rest);
        books.all(|info| info.snapshot == SnapshotMode::Always)
    }

    /// Scans a frame of a connection. `out` is cleared first and gets events only with [`Outcome::Handled`];
    /// `out.connection_seq` is set for every frame that is JSON, if the venue declares it.
    pub fn decode(
        &mut self,
        connection: u32,
        frame: &[u8],
        table: &InstrumentTable,
        out: &mut Decoded,
    ) -> Outcome {
        scan::scan(&self.stream, &mut self.work, scan::Origin::Connection(connection), frame, table, out)
    }

    /// Scans the answer to a request about an instrument, by the shapes declared with `rest`.
    ///
    /// # Panics
    /// If `instrument` is no index of `table`.
    pub fn decode_snapshot(
        &mut self,
        instrument: u32,
        body: &[u8],
        table: &InstrumentTable,
        out: &mut Decoded,
    ) -> Outcome {
        assert!((instrument as usize) < table.len(), "instrument {instrument} of {}", table.len());
        scan::scan(&self.rest, &mut self.work, scan::Origin::Request(instrument), body, table, out)
    }
}
