//! The elements of a frame: one event, or one for each element of an array.

use super::bodies::{self, Context};
use super::cursor::{Cursor, Kind, Value};
use super::eager::{Choice, Eager, Taken};
use super::plan::{InstrumentPlan, ShapePlan};
use super::reader::{self, Reader};
use super::scan::{Origin, Stop};
use super::spec::Case;
use super::track::Tracks;
use super::trie::Trie;
use super::{FaultKind, Span};
use crate::instrument::InstrumentTable;

/// Values and tracks of elements and of what is inside of them; the tracks by number of the shape.
#[derive(Debug, Default)]
pub(super) struct Elements {
    element: Vec<Value>,
    inner: Vec<Value>,
    element_tracks: Vec<Tracks>,
    inner_tracks: Vec<Tracks>,
}

impl Elements {
    /// For so many shapes.
    pub(super) fn of(shapes: usize) -> Elements {
        let tracks = || (0..shapes).map(|_| Tracks::of_records()).collect();
        Elements { element_tracks: tracks(), inner_tracks: tracks(), ..Elements::default() }
    }

    /// The events that a shape makes of a frame.
    pub(super) fn events(
        &mut self,
        context: &mut Context<'_>,
        shape: &ShapePlan,
        reader: &Reader<'_>,
        taken: &Taken,
    ) -> Result<(), Stop> {
        let Some(slot) = shape.each else { return one_element(context, shape, reader, taken) };
        let list = reader.slots[usize::from(slot)];
        self.each(context, shape, reader, &mut Cursor::new(reader.frame, list.start as usize))
    }

    /// The events of the array under the cursor. Where the instruments of all elements are unknown the cursor is moved
    /// behind it as well.
    pub(super) fn each(
        &mut self,
        context: &mut Context<'_>,
        shape: &ShapePlan,
        outer: &Reader<'_>,
        cursor: &mut Cursor<'_>,
    ) -> Result<(), Stop> {
        let mut unknown = None;
        let list = cursor.clone();
        let mut element = std::mem::take(&mut self.element);
        element.resize(shape.element.slot_count(), Value::default());
        let result = self.each_of(context, shape, outer, cursor, &mut element, &mut unknown);
        if result.is_err() && shape.has_state() {
            self.lose(context, shape, outer, list, &mut element);
        }
        self.element = element;
        result.and_then(|()| finish(context, unknown))
    }

    fn each_of(
        &mut self,
        context: &mut Context<'_>,
        shape: &ShapePlan,
        outer: &Reader<'_>,
        cursor: &mut Cursor<'_>,
        element: &mut [Value],
        unknown: &mut Option<Span>,
    ) -> Result<(), Stop> {
        let mut more = cursor.open(b']')?;
        while more {
            let taken = self.one_record(context, shape, outer.slots, cursor, element)?;
            let reader = Reader { element, ..*outer };
            let result = match shape.inner_list {
                None => one_element(context, shape, &reader, &taken),
                Some(slot) => self.inside(context, shape, &reader, reader.element[usize::from(slot)]),
            };
            skip_unknown(result, unknown)?;
            more = cursor.more(b']')?;
        }
        Ok(())
    }

    /// Finds the values of the element under the cursor.
    fn one_record(
        &mut self,
        context: &mut Context<'_>,
        shape: &ShapePlan,
        outer: &[Value],
        cursor: &mut Cursor<'_>,
        element: &mut [Value],
    ) -> Result<Taken, FaultKind> {
        let tracks = &mut self.element_tracks[usize::from(shape.number)];
        if shape.inner_list.is_some() {
            return tracks.record(&shape.element, cursor, element).map(|()| Taken::default());
        }
        let eager = Eager::new(Choice::Fixed(shape), outer, context);
        tracks.record_with(&shape.element, cursor, element, eager).map(|eager| eager.taken())
    }

    fn inside(
        &mut self,
        context: &mut Context<'_>,
        shape: &ShapePlan,
        outer: &Reader<'_>,
        list: Value,
    ) -> Result<(), Stop> {
        if !list.is_given() {
            return Err(FaultKind::MissingField.into());
        }
        let mut unknown = None;
        let Self { inner, inner_tracks, .. } = self;
        inner.resize(shape.inner.slot_count(), Value::default());
        let mut cursor = Cursor::new(outer.frame, list.start as usize);
        let mut more = cursor.open(b']')?;
        while more {
            inner_tracks[usize::from(shape.number)].record(&shape.inner, &mut cursor, inner)?;
            let reader = Reader { inner, ..*outer };
            skip_unknown(one_element(context, shape, &reader, &Taken::default()), &mut unknown)?;
            more = cursor.more(b']')?;
        }
        finish(context, unknown)
    }

    /// Notes whose books lose an event with the array under the cursor, because one element of it cannot be read: those of the
    /// elements before and after it too.
    #[cold]
    fn lose(
        &mut self,
        context: &mut Context<'_>,
        shape: &ShapePlan,
        outer: &Reader<'_>,
        mut list: Cursor<'_>,
        element: &mut [Value],
    ) {
        let number = usize::from(shape.number);
        let Self { inner, element_tracks, inner_tracks, .. } = self;
        let out = &mut *context.out;
        let mut lose = |reader: &Reader<'_>| match instrument(shape, reader, context.origin, context.table) {
            Ok(instrument) => out.lose(instrument, shape.is_book()),
            Err(Stop::Unknown(_)) => {} // Nobody asked for it.
            Err(_) => out.unread_unnamed = true,
        };
        inner.resize(shape.inner.slot_count(), Value::default());
        let found = again(&mut element_tracks[number], &shape.element, &mut list, element, |element| {
            let reader = Reader { element, ..*outer };
            let rows = shape.inner_list.map(|slot| element[usize::from(slot)]).filter(|rows| rows.is_given());
            let Some(rows) = rows else {
                lose(&reader);
                return Ok(());
            };
            let mut rows = Cursor::new(outer.frame, rows.start as usize);
            again(&mut inner_tracks[number], &shape.inner, &mut rows, inner, |inner| {
                lose(&Reader { element, inner, ..*outer });
                Ok(())
            })
        });
        if found.is_err() {
            context.out.unread_unnamed = true; // Nobody knows what comes behind.
        }
    }
}

/// Finds the records of the array under the cursor once more; of one that cannot be read no values.
fn again(
    tracks: &mut Tracks,
    trie: &Trie,
    cursor: &mut Cursor<'_>,
    slots: &mut [Value],
    mut take: impl FnMut(&[Value]) -> Result<(), FaultKind>,
) -> Result<(), FaultKind> {
    let mut more = cursor.open(b']')?;
    while more {
        if tracks.record(trie, cursor, slots).is_err() {
            slots.fill(Value::default());
            cursor.value(0)?;
        }
        take(slots)?;
        more = cursor.more(b']')?;
    }
    Ok(())
}

fn one_element(
    context: &mut Context<'_>,
    shape: &ShapePlan,
    reader: &Reader<'_>,
    taken: &Taken,
) -> Result<(), Stop> {
    let found = instrument(shape, reader, context.origin, context.table);
    if shape.has_state() && matches!(found, Err(Stop::Fault(_))) {
        context.out.unread_unnamed = true;
    }
    let instrument = found?;
    bodies::emit(context, shape, reader, instrument, taken)
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

pub(super) fn instrument(
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
