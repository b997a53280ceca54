//! One frame from bytes to events: walk, choose the shape, repeat over elements, hand each to its body.

use super::bodies::{self, Context};
use super::cursor::{Cursor, Kind, Value};
use super::drift::Drift;
use super::levels::{self, Columns, SideBuffers};
use super::plan::{BodyPlan, Field, InstrumentPlan, Plan, Record, ShapePlan};
use super::reader::{self, Reader};
use super::spec::Case;
use super::track::{Records, Tracks};
use super::trie::{Lists, Slot, Walk};
use super::{FRAME_BYTES_MAX, FaultKind, Outcome, Span};
use crate::event::{Decoded, Run};
use crate::instrument::{InstrumentTable, Scale};

/// Longest frame that is taken for a word in the place of JSON.
const WORD_BYTES_MAX: usize = 16;

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
    element: Vec<Value>,
    inner: Vec<Value>,
    sides: SideBuffers,
    columns: Columns,
    /// Of the stream; answers to requests are rare.
    tracks: Tracks,
    /// By number of the shape.
    records: Vec<Records>,
    drift: Drift,
}

impl Work {
    /// For shapes of these names.
    pub(super) fn of(shapes: Vec<Box<str>>) -> Work {
        Work {
            slots: Vec::new(),
            element: Vec::new(),
            inner: Vec::new(),
            sides: SideBuffers::default(),
            columns: Columns::default(),
            tracks: Tracks::of_frames(),
            records: shapes.iter().map(|_| Records::new()).collect(),
            drift: Drift::of(shapes),
        }
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
    NeedsFiner { instrument: u32, price_exp: i8, qty_exp: i8 },
    Fault(FaultKind),
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
    let stop = match run(plan, work, origin, frame, table, out) {
        Ok(()) => return Outcome::Handled,
        Err(stop) => stop,
    };
    let (connection_seq, unread_book) = (out.connection_seq, out.unread_book);
    out.clear();
    (out.connection_seq, out.unread_book) = (connection_seq, unread_book);
    match stop {
        Stop::NotMine => Outcome::NotMine,
        Stop::Unknown(text) => Outcome::UnknownInstrument { text },
        Stop::NeedsFiner { instrument, price_exp, qty_exp } => {
            Outcome::NeedsFiner { instrument, price_exp, qty_exp }
        }
        // Nothing of a book can be in it: venues answer text pings so (OKX, Bitget `pong`).
        Stop::Fault(FaultKind::Malformed) if is_word(frame) => Outcome::NotMine,
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
        return Err(FaultKind::TooLong.into());
    }
    let Work { slots, element, inner, sides, columns, tracks, records, drift } = work;
    slots.resize(plan.trie.slot_count(), Value::default());
    let mut eager = Eager::new(Choice::None, &[], origin, table, columns, out);
    let is_stream = matches!(origin, Origin::Connection(_));
    let tracked = if is_stream { tracks.follow(plan, frame, slots, &mut eager) } else { None };
    let (mut taken, known) = (eager.taken, eager.instrument);
    if tracked.is_none() {
        taken = walk(plan, slots, Eager::new(Choice::Among(plan), &[], origin, table, columns, out), frame)?;
    }
    let reader = Reader { frame, slots, element: &[], inner: &[] };
    if let Some(slot) = plan.connection_sequence {
        out.connection_seq = reader.id(Some(Field { record: Record::Frame, slot })).unwrap_or(None);
    }
    let shape = tracked.or_else(|| select(plan, &reader, origin, table)).ok_or(Stop::NotMine)?;
    out.shape = shape.number;
    if drift.is_due(shape.number, tracked.is_none()) {
        drift.look(shape.number, &shape.known, frame);
    }
    let taken = taken.for_shape(shape, out);
    let mut context = Context { shape, origin, table, out, sides, columns, records };
    match known.filter(|_| tracked.is_some()) {
        Some(instrument) => bodies::emit(&mut context, &reader, instrument, &taken)?,
        None => events(&mut context, &reader, &taken, element, inner)?,
    }
    for also in shape.also.iter().filter(|also| fits(also, &reader, origin, table)) {
        context.shape = also;
        events(&mut context, &reader, &Taken::default(), element, inner)?;
    }
    if is_stream && tracked.is_none() {
        tracks.learn(plan, frame, slots, shape);
    }
    Ok(())
}

/// Finds all values of a frame, key by key.
fn walk(plan: &Plan, slots: &mut [Value], eager: Eager<'_, '_>, frame: &[u8]) -> Result<Taken, Stop> {
    eager.out.levels.clear();
    eager.out.extras.clear();
    let mut cursor = Cursor::new(frame, 0);
    cursor.space();
    let mut walk = Walk { cursor, trie: &plan.trie, slots, lists: eager };
    walk.run()?;
    walk.cursor.space();
    if walk.cursor.at != frame.len() {
        return Err(FaultKind::Trailing.into());
    }
    Ok(walk.lists.taken)
}

/// The events that a shape makes of a frame.
fn events(
    context: &mut Context<'_>,
    reader: &Reader<'_>,
    taken: &Taken,
    element: &mut Vec<Value>,
    inner: &mut Vec<Value>,
) -> Result<(), Stop> {
    match context.shape.each {
        None => one_element(context, reader, taken),
        Some(slot) => elements(context, reader, reader.slots[usize::from(slot)], element, inner),
    }
}

/// The first shape whose conditions hold.
fn select<'a>(
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

fn elements(
    context: &mut Context<'_>,
    outer: &Reader<'_>,
    list: Value,
    element: &mut Vec<Value>,
    inner: &mut Vec<Value>,
) -> Result<(), Stop> {
    let shape = context.shape;
    let mut unknown = None;
    element.resize(shape.element.slot_count(), Value::default());
    let mut cursor = Cursor::new(outer.frame, list.start as usize);
    let mut more = cursor.open(b']')?;
    while more {
        let taken = one_record(context, outer.slots, &mut cursor, element)?;
        let reader = Reader { element, ..*outer };
        let result = match shape.inner_list {
            None => one_element(context, &reader, &taken),
            Some(slot) => inner_elements(context, &reader, element[usize::from(slot)], inner),
        };
        skip_unknown(result, &mut unknown)?;
        more = cursor.more(b']')?;
    }
    finish(context, unknown)
}

/// Finds the values of the element under the cursor.
fn one_record(
    context: &mut Context<'_>,
    outer: &[Value],
    cursor: &mut Cursor<'_>,
    element: &mut [Value],
) -> Result<Taken, FaultKind> {
    let shape = context.shape;
    let tracks = &mut context.records[usize::from(shape.number)].elements;
    if shape.inner_list.is_some() {
        return tracks.record(&shape.element, cursor, element).map(|()| Taken::default());
    }
    let (table, origin) = (context.table, context.origin);
    let eager = Eager::new(Choice::Fixed(shape), outer, origin, table, context.columns, context.out);
    tracks.record_with(&shape.element, cursor, element, eager).map(|eager| eager.taken)
}

fn inner_elements(
    context: &mut Context<'_>,
    outer: &Reader<'_>,
    list: Value,
    inner: &mut Vec<Value>,
) -> Result<(), Stop> {
    if !list.is_given() {
        return Err(FaultKind::MissingField.into());
    }
    let shape = context.shape;
    let mut unknown = None;
    inner.resize(shape.inner.slot_count(), Value::default());
    let mut cursor = Cursor::new(outer.frame, list.start as usize);
    let mut more = cursor.open(b']')?;
    while more {
        context.records[usize::from(shape.number)].inner.record(&shape.inner, &mut cursor, inner)?;
        let reader = Reader { inner, ..*outer };
        skip_unknown(one_element(context, &reader, &Taken::default()), &mut unknown)?;
        more = cursor.more(b']')?;
    }
    finish(context, unknown)
}

fn one_element(context: &mut Context<'_>, reader: &Reader<'_>, taken: &Taken) -> Result<(), Stop> {
    let instrument = instrument(context.shape, reader, context.origin, context.table)?;
    bodies::emit(context, reader, instrument, taken)
}

/// Elements of instruments that nobody asked for are left out: all-market streams carry thousands.
fn skip_unknown(result: Result<(), Stop>, unknown: &mut Option<Span>) -> Result<(), Stop> {
    match result {
        Err(Stop::Unknown(text)) => {
            unknown.get_or_insert(text);
            Ok(())
        }
        other => other,
    }
}

fn finish(context: &Context<'_>, unknown: Option<Span>) -> Result<(), Stop> {
    match unknown {
        Some(text) if context.out.events.is_empty() => Err(Stop::Unknown(text)),
        _ => Ok(()),
    }
}

/// Symbols up to this length are mapped to another case on the stack; venues print at most some 30 bytes.
const SYMBOL_BYTES_MAX: usize = 64;

fn instrument(
    shape: &ShapePlan,
    reader: &Reader<'_>,
    origin: Origin,
    table: &InstrumentTable,
) -> Result<u32, Stop> {
    let connection = match origin {
        Origin::Request(instrument) => return Ok(instrument),
        Origin::Connection(connection) => connection,
    };
    let field = shape.instrument.field().ok_or(FaultKind::MissingField)?;
    let value = reader.get(field);
    let found = match (&shape.instrument, value.kind) {
        (_, Kind::Absent | Kind::Null) => return Err(FaultKind::MissingField.into()),
        (_, Kind::True | Kind::False | Kind::Array | Kind::Object) => return Err(FaultKind::WrongType.into()),
        (InstrumentPlan::Bound { .. }, _) => {
            let number = reader::unsigned(reader.frame, value)?;
            number.and_then(|number| table.find_bound(connection, number)).map(|bound| bound.instrument)
        }
        (InstrumentPlan::Symbol { text, case }, _) => {
            reader.with_part(text, |symbol| find(table, symbol, *case)).flatten()
        }
        (InstrumentPlan::Known, _) => None,
    };
    found.ok_or(Stop::Unknown(Span { start: value.start, end: value.end }))
}

fn find(table: &InstrumentTable, symbol: &[u8], case: Case) -> Option<u32> {
    if case == Case::Keep {
        return table.find(symbol);
    }
    let mut buffer = [0; SYMBOL_BYTES_MAX];
    let mapped = buffer.get_mut(..symbol.len())?;
    mapped.copy_from_slice(symbol);
    if case == Case::Upper {
        mapped.make_ascii_uppercase();
    } else {
        mapped.make_ascii_lowercase();
    }
    table.find(mapped)
}

/// Which shape the lists of a walk may be read for.
enum Choice<'p> {
    /// The first one that fits what is known when the first list comes.
    Among(&'p Plan),
    Fixed(&'p ShapePlan),
    None,
}

/// Lists that were read during the walk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    shape: Option<u16>,
    lists: [Option<(Slot, Run)>; 2],
}

impl Taken {
    /// What was taken if it was for this shape; else nothing, and the levels are forgotten.
    fn for_shape(self, shape: &ShapePlan, out: &mut Decoded) -> Taken {
        if self.shape == Some(shape.number) {
            return self;
        }
        out.levels.clear();
        out.extras.clear();
        Taken::default()
    }

    pub(super) fn run(&self, slot: Slot) -> Option<Run> {
        self.lists.iter().flatten().find(|(other, _)| *other == slot).map(|(_, run)| *run)
    }
}

/// Reads lists of levels during the walk. What it cannot read is left to the way that finds out why.
pub(super) struct Eager<'p, 'a> {
    choice: Choice<'p>,
    /// Values of the frame while an element is walked.
    outer: &'a [Value],
    origin: Origin,
    table: &'a InstrumentTable,
    columns: &'a mut Columns,
    out: &'a mut Decoded,
    /// Levels, and their extras, that were there before.
    before: (usize, usize),
    chosen: Option<(&'p ShapePlan, &'a Scale)>,
    tried: bool,
    /// Whose lists they are, once a track has told the shape.
    instrument: Option<u32>,
    taken: Taken,
}

impl<'p, 'a> Eager<'p, 'a> {
    fn new(
        choice: Choice<'p>,
        outer: &'a [Value],
        origin: Origin,
        table: &'a InstrumentTable,
        columns: &'a mut Columns,
        out: &'a mut Decoded,
    ) -> Eager<'p, 'a> {
        let before = (out.levels.len(), out.extras.len());
        Eager {
            choice,
            outer,
            origin,
            table,
            columns,
            out,
            before,
            chosen: None,
            tried: false,
            instrument: None,
            taken: Taken::default(),
        }
    }

    /// The first shape whose conditions hold, of a frame whose values are all found.
    pub(super) fn select(&self, plan: &'p Plan, frame: &[u8], slots: &[Value]) -> Option<&'p ShapePlan> {
        select(plan, &Reader { frame, slots, element: &[], inner: &[] }, self.origin, self.table)
    }

    /// Lists from here on are of this shape.
    pub(super) fn choose_shape(&mut self, shape: &'p ShapePlan, frame: &[u8], slots: &[Value]) {
        if !self.tried {
            self.tried = true;
            let reader = Reader { frame, slots, element: &[], inner: &[] };
            self.instrument = instrument(shape, &reader, self.origin, self.table).ok();
            self.chosen = self.instrument.map(|instrument| (shape, self.table.scale(instrument)));
        }
    }

    fn choose(&self, frame: &[u8], slots: &[Value]) -> Option<(&'p ShapePlan, &'a Scale)> {
        let (shape, reader) = match self.choice {
            Choice::Among(plan) => {
                let reader = Reader { frame, slots, element: &[], inner: &[] };
                (select(plan, &reader, self.origin, self.table).filter(|shape| shape.each.is_none())?, reader)
            }
            Choice::Fixed(shape) => (shape, Reader { frame, slots: self.outer, element: slots, inner: &[] }),
            Choice::None => return None,
        };
        let instrument = instrument(shape, &reader, self.origin, self.table).ok()?;
        Some((shape, self.table.scale(instrument)))
    }
}

impl Lists for Eager<'_, '_> {
    fn list(&mut self, cursor: &mut Cursor<'_>, slot: Slot, slots: &[Value]) -> bool {
        if !self.tried {
            self.tried = true;
            self.chosen = self.choose(cursor.bytes, slots);
        }
        let Some((shape, scale)) = self.chosen else { return false };
        let BodyPlan::Book(book) = &shape.body else { return false };
        let record = if shape.each.is_none() { Record::Frame } else { Record::Element };
        let is_listed = book.lists.iter().any(|list| list.at == Field { record, slot });
        let Some(place) = self.taken.lists.iter_mut().find(|taken| taken.is_none()) else { return false };
        let Decoded { levels, extras, .. } = &mut *self.out;
        let start = levels.len();
        if !is_listed
            || !book.level.is_pair
            || !levels::pairs(cursor, (scale, book.keep_decimals), self.columns, levels, extras)
        {
            return false;
        }
        *place = Some((slot, bodies::run(start, self.out.levels.len())));
        self.taken.shape = Some(shape.number);
        true
    }

    fn begin_again(&mut self) {
        let (levels, extras) = self.before;
        self.out.levels.truncate(levels);
        self.out.extras.truncate(extras);
        (self.tried, self.chosen, self.taken) = (false, None, Taken::default());
    }
}
