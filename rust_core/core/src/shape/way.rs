//! What following a track is for: a frame that tells its shape, or a record; and the values under the cursor.

use super::cursor::{Cursor, Kind, Value, plain_text};
use super::eager::Eager;
use super::elements::Elements;
use super::plan::{Plan, ShapePlan};
use super::reader::Reader;
use super::scan::Stop;
use super::track::What;
use super::trie::{Lists, Slot};
use crate::decimal::{leading_digits, padded_word};

/// What a track that is followed does with lists of levels, and what it says at its end.
pub(super) trait Way {
    type End;

    /// The list under the cursor.
    fn list(
        &mut self,
        list: (u16, u16),
        fills: &[Slot],
        cursor: &mut Cursor<'_>,
        slots: &[Value],
    ) -> Option<Value>;

    /// The array of elements under the cursor.
    fn each(&mut self, each: (u16, u16, bool), cursor: &mut Cursor<'_>, slots: &[Value]) -> Option<Value>;

    fn end(&mut self, what: What, cursor: &Cursor<'_>, slots: &[Value]) -> Option<Self::End>;
}

/// Takes a list, or passes over it.
fn list_value<L: Lists>(
    lists: &mut L,
    depth: u16,
    fills: &[Slot],
    cursor: &mut Cursor<'_>,
    slots: &[Value],
) -> Option<Value> {
    let start = cursor.at;
    let is_list = cursor.bytes.get(start) == Some(&b'[');
    if is_list && fills.iter().any(|slot| lists.list(cursor, *slot, slots, u32::from(depth))) {
        return Some(Value::new(Kind::Array, start, cursor.at));
    }
    cursor.value(u32::from(depth)).ok().filter(|value| value.kind == Kind::Array)
}

pub(super) struct FrameWay<'p, 'w, 'a> {
    pub(super) plan: &'p Plan,
    pub(super) lists: Eager<'p, 'w, 'a>,
    pub(super) elements: &'w mut Elements,
    pub(super) events: Option<Result<(), Stop>>,
    /// Their time comes after them.
    pub(super) is_late: bool,
}

impl<'p> Way for FrameWay<'p, '_, '_> {
    type End = &'p ShapePlan;

    fn list(
        &mut self,
        (shape, depth): (u16, u16),
        fills: &[Slot],
        cursor: &mut Cursor<'_>,
        slots: &[Value],
    ) -> Option<Value> {
        self.lists.choose_shape(&self.plan.shapes[usize::from(shape)], cursor, slots);
        list_value(&mut self.lists, depth, fills, cursor, slots)
    }

    fn each(
        &mut self,
        (shape, depth, is_late): (u16, u16, bool),
        cursor: &mut Cursor<'_>,
        slots: &[Value],
    ) -> Option<Value> {
        let start = cursor.at;
        if cursor.bytes.get(start) != Some(&b'[') || self.events.is_some() {
            return None;
        }
        let reader = Reader { frame: cursor.bytes, slots, element: &[], inner: &[] };
        let mut inside = cursor.inside(u32::from(depth));
        let shape = &self.plan.shapes[usize::from(shape)];
        let result = self.elements.each(self.lists.context, shape, &reader, &mut inside);
        // Anything else is found again by the walk, which is sure of the shape: what is lost too.
        if !matches!(result, Ok(()) | Err(Stop::Unknown(_))) {
            let out = &mut *self.lists.context.out;
            out.events.clear();
            out.forget_losses();
            return None;
        }
        self.events = Some(result);
        self.is_late = is_late;
        cursor.at = inside.at;
        Some(Value::new(Kind::Array, start, cursor.at))
    }

    #[inline]
    fn end(&mut self, what: What, cursor: &Cursor<'_>, slots: &[Value]) -> Option<&'p ShapePlan> {
        let What::End { shape, is_sure } = what else { return None };
        if cursor.at != cursor.bytes.len() {
            return None;
        }
        let shape = &self.plan.shapes[usize::from(shape)];
        if self.is_late {
            let reader = Reader { frame: cursor.bytes, slots, element: &[], inner: &[] };
            let time = reader.time(shape.time.as_ref()).ok()?;
            self.lists.context.out.events.iter_mut().for_each(|event| event.exchange_ts = time);
        }
        if !is_sure {
            let found = self.lists.select(self.plan, cursor.bytes, slots);
            found.filter(|found| found.number == shape.number)?;
        }
        self.lists.settle(cursor.bytes, slots);
        Some(shape)
    }
}

pub(super) struct RecordWay<'w, L> {
    pub(super) lists: &'w mut L,
}

impl<L: Lists> Way for RecordWay<'_, L> {
    type End = ();

    fn list(
        &mut self,
        (_, depth): (u16, u16),
        fills: &[Slot],
        cursor: &mut Cursor<'_>,
        slots: &[Value],
    ) -> Option<Value> {
        list_value(self.lists, depth, fills, cursor, slots)
    }

    fn each(&mut self, _: (u16, u16, bool), _: &mut Cursor<'_>, _: &[Value]) -> Option<Value> {
        None
    }

    #[inline]
    fn end(&mut self, what: What, _: &Cursor<'_>, _: &[Value]) -> Option<()> {
        (what == What::Over).then_some(())
    }
}

/// The text under the cursor, which stands after the quote; it stays before the other quote.
#[inline]
pub(super) fn text(cursor: &mut Cursor<'_>) -> Option<Value> {
    let start = cursor.at;
    let Some(end) = plain_text(cursor.bytes, start) else { return text_rest(cursor) };
    cursor.at = end;
    Some(Value::new(Kind::Text, start, end))
}

/// The text under the cursor that has other letters; only ASCII without escapes is taken.
#[cold]
fn text_rest(cursor: &mut Cursor<'_>) -> Option<Value> {
    let start = cursor.at;
    cursor.at -= 1;
    let value = cursor.string().ok()?;
    cursor.at -= 1;
    (value.kind == Kind::Text && cursor.bytes[start..cursor.at].is_ascii()).then_some(value)
}

/// The number under the cursor.
#[inline]
pub(super) fn number(cursor: &mut Cursor<'_>) -> Option<Value> {
    let start = cursor.at;
    let (mut end, mut next) = digits(cursor.bytes, start);
    let is_whole = end > start && (end == start + 1 || cursor.bytes[start] != b'0');
    if is_whole && next == b'.' {
        let point = end;
        (end, next) = digits(cursor.bytes, point + 1);
        if end == point + 1 {
            return None;
        }
    }
    if !is_whole || matches!(next, b'e' | b'E') {
        return cursor.number().ok();
    }
    cursor.at = end;
    Some(Value::new(Kind::Number, start, end))
}

/// Where the digits from a place on end, and the byte there.
#[inline]
fn digits(bytes: &[u8], start: usize) -> (usize, u8) {
    let mut at = start;
    loop {
        let word = padded_word(bytes, at);
        let count = leading_digits(word);
        at += count as usize;
        if count < 8 {
            return (at, (word >> (8 * count)) as u8);
        }
    }
}
