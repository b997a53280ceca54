//! One frame from bytes to events: walk, choose the shape, repeat over elements, hand each to its body.

use super::alike_rows::Rows;
use super::bodies::{self, Context};
use super::cursor::{Cursor, Value};
use super::drift::Drift;
use super::eager::{Choice, Eager, Taken};
use super::elements::Elements;
use super::levels::SideBuffers;
use super::pairs::Columns;
use super::plan::{Field, InstrumentPlan, Plan, Record, ShapePlan};
use super::reader::Reader;
use super::track::Tracks;
use super::trie::Walk;
use super::{FRAME_BYTES_MAX, FaultKind, Outcome, Span};
use crate::event::Decoded;
use crate::instrument::InstrumentTable;

/// Longest frame that is taken for a word in the place of JSON.
const WORD_BYTES_MAX: usize = 16;

/// Longest frame that is known again as one that no shape takes: heartbeats have some 20 bytes, and those with numbers or
/// times in them never come again.
const FOREIGN_BYTES_MAX: usize = 32;

/// The last short frame of the stream that no shape takes.
#[derive(Debug, Default)]
struct Foreign {
    bytes: [u8; FOREIGN_BYTES_MAX],
    len: usize,
}

impl Foreign {
    fn is(&self, frame: &[u8]) -> bool {
        // Nothing is no frame: before the first one is kept, none is known.
        !frame.is_empty() && self.len == frame.len() && self.bytes[..self.len] == *frame
    }

    /// Keeps a frame, if nothing but its bytes made it one that no shape takes.
    fn keep(&mut self, plan: &Plan, frame: &[u8]) {
        let asks_table =
            |shape: &ShapePlan| matches!(shape.instrument, InstrumentPlan::Bound { channel: Some(_), .. });
        if let Some(bytes) = self.bytes.get_mut(..frame.len())
            && plan.connection_sequence.is_none()
            && !plan.shapes.iter().any(asks_table)
        {
            bytes.copy_from_slice(frame);
            self.len = frame.len();
        }
    }
}

/// Where the bytes come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    Connection(u32),
    /// The answer to a request about this instrument.
    Request(u32),
}

/// Buffers that keep their memory from frame to frame.
#[derive(Debug)]
pub(super) struct Work {
    slots: Vec<Value>,
    elements: Elements,
    sides: SideBuffers,
    columns: Columns,
    /// Of the stream; answers to requests are rare.
    tracks: Tracks,
    /// Of rows of levels, by number of the shape.
    rows: Vec<Rows>,
    drift: Drift,
    foreign: Foreign,
    /// Shape and name of the list that the last frame without events did not have.
    missing: Option<(u16, u16)>,
}

impl Work {
    /// For shapes of these names.
    pub(super) fn of(shapes: Vec<Box<str>>) -> Work {
        Work {
            slots: Vec::new(),
            elements: Elements::of(shapes.len()),
            sides: SideBuffers::default(),
            columns: Columns::default(),
            tracks: Tracks::of_frames(),
            rows: shapes.iter().map(|_| Rows::new()).collect(),
            drift: Drift::of(shapes),
            foreign: Foreign::default(),
            missing: None,
        }
    }

    /// The name of the list of levels that the last frame without events did not have.
    pub(super) fn missing<'p>(&self, plans: [&'p Plan; 2]) -> Option<&'p str> {
        let (shape, name) = self.missing?;
        plans.into_iter().find_map(|plan| plan.name_of(shape, name))
    }

    pub(super) fn drift(&self) -> impl Iterator<Item = (&str, u64)> {
        self.drift.all()
    }
}

/// Why a frame gives no events.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    NotMine,
    Unknown(Span),
    NeedsFiner {
        instrument: u32,
        price_exp: i8,
        qty_exp: i8,
    },
    /// A list of levels is not there; its name is one of those that the shape reads.
    MissingList {
        shape: u16,
        name: u16,
    },
    /// In a frame of a known shape.
    Fault(FaultKind),
    /// The frame as a whole: nobody knows what it is.
    Unreadable(FaultKind),
}

impl From<FaultKind> for Stop {
    fn from(kind: FaultKind) -> Stop {
        Stop::Fault(kind)
    }
}

pub(super) fn scan(
    plan: &Plan,
    work: &mut Work,
    origin: Origin,
    frame: &[u8],
    table: &InstrumentTable,
    out: &mut Decoded,
) -> Outcome {
    out.clear();
    let is_stream = matches!(origin, Origin::Connection(_));
    if is_stream && work.foreign.is(frame) {
        return Outcome::NotMine;
    }
    let stop = match run(plan, work, origin, frame, table, out) {
        Ok(()) => return Outcome::Handled,
        Err(stop) => stop,
    };
    out.clear_events();
    work.missing = None;
    match stop {
        Stop::MissingList { shape, name } => {
            work.missing = Some((shape, name));
            Outcome::Fault(FaultKind::MissingField)
        }
        Stop::NotMine => {
            if is_stream {
                work.foreign.keep(plan, frame);
            }
            Outcome::NotMine
        }
        Stop::Unknown(text) => Outcome::UnknownInstrument { text },
        Stop::NeedsFiner { instrument, price_exp, qty_exp } => {
            Outcome::NeedsFiner { instrument, price_exp, qty_exp }
        }
        // Nothing of a book can be in it: venues answer text pings so (OKX, Bitget `pong`).
        Stop::Unreadable(FaultKind::Malformed) if is_word(frame) => Outcome::NotMine,
        Stop::Unreadable(kind) => {
            out.unread_unnamed = true;
            Outcome::Fault(kind)
        }
        Stop::Fault(kind) => Outcome::Fault(kind),
    }
}

/// Whether the frame is one short word, which is no JSON.
fn is_word(frame: &[u8]) -> bool {
    (1..=WORD_BYTES_MAX).contains(&frame.len()) && frame.iter().all(u8::is_ascii_alphabetic)
}

fn run(
    plan: &Plan,
    work: &mut Work,
    origin: Origin,
    frame: &[u8],
    table: &InstrumentTable,
    out: &mut Decoded,
) -> Result<(), Stop> {
    if frame.len() > FRAME_BYTES_MAX {
        return Err(Stop::Unreadable(FaultKind::TooLong));
    }
    let Work { slots, elements, sides, columns, tracks, rows, drift, .. } = work;
    slots.resize(plan.trie.slot_count(), Value::default());
    let mut context = Context { origin, table, out, sides, columns, rows };
    let is_stream = matches!(origin, Origin::Connection(_));
    let mut tracked = None;
    if is_stream {
        tracked = tracks.follow(plan, frame, slots, elements, &mut context);
    }
    let Followed { shape: known, instrument, taken, events } = match tracked {
        Some(followed) => followed,
        None => Followed::of(walk(plan, slots, &mut context, frame)?),
    };
    let reader = Reader { frame, slots, element: &[], inner: &[] };
    if let Some(slot) = plan.connection_sequence {
        context.out.connection_seq = reader.id(Some(Field { record: Record::Frame, slot })).unwrap_or(None);
    }
    let shape = known.or_else(|| select(plan, &reader, origin, table)).ok_or(Stop::NotMine)?;
    context.out.shape = shape.number;
    if drift.is_due(shape.number, known.is_none()) {
        drift.look(shape.number, &shape.known, frame, reader.slots);
    }
    match events {
        Some(result) => result?,
        None => {
            let taken = taken.for_shape(shape, context.out);
            match instrument {
                Some(instrument) => bodies::emit(&mut context, shape, &reader, instrument, &taken)?,
                None => elements.events(&mut context, shape, &reader, &taken)?,
            }
        }
    }
    for also in shape.also.iter().filter(|also| fits(also, &reader, origin, table)) {
        elements.events(&mut context, also, &reader, &Taken::default())?;
    }
    if is_stream && known.is_none() {
        tracks.learn(plan, frame, slots, shape);
    }
    Ok(())
}

/// What was found of a frame before its events are made.
pub(super) struct Followed<'p> {
    /// The shape, where a track told it.
    pub(super) shape: Option<&'p ShapePlan>,
    pub(super) instrument: Option<u32>,
    pub(super) taken: Taken,
    /// What came of the events of its elements, where they were made on the way.
    pub(super) events: Option<Result<(), Stop>>,
}

impl Followed<'_> {
    fn of(taken: Taken) -> Self {
        Followed { shape: None, instrument: None, taken, events: None }
    }
}

/// Finds all values of a frame, key by key.
fn walk(plan: &Plan, slots: &mut [Value], context: &mut Context<'_>, frame: &[u8]) -> Result<Taken, Stop> {
    context.out.clear();
    let mut cursor = Cursor::new(frame, 0);
    cursor.space();
    let lists = Eager::new(Choice::Among(plan), &[], context);
    let mut walk = Walk { cursor, trie: &plan.trie, slots, lists };
    walk.run().map_err(Stop::Unreadable)?;
    walk.cursor.space();
    if walk.cursor.at != frame.len() {
        return Err(Stop::Unreadable(FaultKind::Trailing));
    }
    Ok(walk.lists.taken())
}

/// The first shape whose conditions hold.
pub(super) fn select<'a>(
    plan: &'a Plan,
    reader: &Reader<'_>,
    origin: Origin,
    table: &InstrumentTable,
) -> Option<&'a ShapePlan> {
    plan.shapes.iter().find(|shape| fits(shape, reader, origin, table))
}

fn fits(shape: &ShapePlan, reader: &Reader<'_>, origin: Origin, table: &InstrumentTable) -> bool {
    reader.all_hold(&shape.when)
        && shape.each.is_none_or(|slot| reader.slots[usize::from(slot)].is_given())
        && is_of_channel(&shape.instrument, reader, origin, table)
}

/// Whether the number is bound to the channel that the shape names. One that nobody bound is of any: then the
/// instrument is unknown.
fn is_of_channel(
    plan: &InstrumentPlan,
    reader: &Reader<'_>,
    origin: Origin,
    table: &InstrumentTable,
) -> bool {
    let InstrumentPlan::Bound { at, channel: Some(channel) } = plan else { return true };
    let Origin::Connection(connection) = origin else { return true };
    let Ok(Some(number)) = reader.id(Some(*at)) else { return true };
    table.find_bound(connection, number).is_none_or(|bound| bound.channel == *channel)
}
