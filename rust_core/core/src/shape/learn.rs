//! Cuts a frame that was walked into the pieces of a track.

use super::cursor::{Cursor, Kind, Value};
use super::plan::{BodyPlan, Condition, Field, InstrumentPlan, Plan, Record, ShapePlan, Test};
use super::reader::Reader;
use super::track::{Piece, STEPS_MAX, What, fills};
use super::trie::Slot;

/// Bytes between two values; names of keys are far shorter.
const BYTES_MAX: usize = 1_024;
/// Cuts a frame into pieces.
pub(super) struct Learner<'a> {
    plan: &'a Plan,
    shape: &'a ShapePlan,
    slots: &'a [Value],
    cursor: Cursor<'a>,
    /// Where the bytes before the next value begin.
    start: usize,
    pieces: &'a mut Vec<Piece>,
}

impl<'a> Learner<'a> {
    /// `slots` are what a walk found in the frame, which is of the shape.
    pub(super) fn new(
        plan: &'a Plan,
        shape: &'a ShapePlan,
        slots: &'a [Value],
        frame: &'a [u8],
        pieces: &'a mut Vec<Piece>,
    ) -> Learner<'a> {
        Learner { plan, shape, slots, cursor: Cursor::new(frame, 0), start: 0, pieces }
    }

    /// `None`: no track follows frames of this form.
    pub(super) fn frame(&mut self) -> Option<()> {
        self.cursor.space();
        self.value(Some(0), 0)?;
        let shape = self.plan.shapes.iter().position(|shape| shape.number == self.shape.number)?;
        let what = What::End { shape: shape as u16, is_sure: self.is_sure(shape) };
        self.piece(self.cursor.bytes.len(), what, Kind::Absent, None)
    }

    fn piece(&mut self, end: usize, what: What, kind: Kind, node: Option<u16>) -> Option<()> {
        if self.pieces.len() == STEPS_MAX || end - self.start > BYTES_MAX {
            return None;
        }
        self.pieces.push(Piece { start: self.start, end, what, kind, node });
        Some(())
    }

    fn value(&mut self, node: Option<u16>, depth: u32) -> Option<()> {
        let place = node.map(|node| self.plan.trie.place(node));
        let start = self.cursor.at;
        let opening = self.cursor.peek().ok()?;
        if let (b'{', Some(node), Some(place)) = (opening, node, place)
            && place.has_keys
        {
            let is_value = |slot: &Slot| self.plan.trie.takes(*slot, Kind::Object);
            return if place.slots.iter().any(is_value) { None } else { self.object(node, depth) };
        }
        if opening == b'[' && place.is_some_and(|place| place.has_items) {
            return None;
        }
        let value = self.cursor.value(depth).ok()?;
        let (start_of, end_of) = (value.start as usize, value.end as usize);
        let fixed = || place.is_some_and(|place| place.slots.iter().any(|slot| self.is_fixed(*slot)));
        let depth = depth as u16;
        let (end, what, next) = match value.kind {
            Kind::Text if fixed() => {
                (end_of, What::Fixed { length: u16::try_from(end_of - start_of).ok()? }, end_of)
            }
            Kind::Text if value.raw(self.cursor.bytes).is_ascii() => (start_of, What::Text, end_of),
            Kind::Number => (start, What::Number, end_of),
            Kind::True | Kind::False => (start, What::Truth, end_of),
            Kind::Array if place.is_some_and(|place| place.is_list) && self.knows_instrument() => {
                let shape = self.plan.shapes.iter().position(|shape| shape.number == self.shape.number)?;
                (start, What::List { shape: shape as u16, depth }, end_of)
            }
            kind => (start, What::Any { kind, depth }, self.cursor.at),
        };
        self.piece(end, what, value.kind, node)?;
        self.start = next;
        Some(())
    }

    fn object(&mut self, node: u16, depth: u32) -> Option<()> {
        let mut more = self.cursor.open(b'}').ok()?;
        while more {
            let key = self.cursor.string().ok()?;
            let below = key.with_text(self.cursor.bytes, |key| self.plan.trie.below(node, key));
            self.cursor.colon().ok()?;
            self.value(below, depth + 1)?;
            more = self.cursor.more(b'}').ok()?;
        }
        Some(())
    }

    /// Whether lists at this place can be read with the exponents of the instrument.
    fn knows_instrument(&self) -> bool {
        let Some(Field { record: Record::Frame, slot }) = self.shape.instrument.field() else { return false };
        let is_book = matches!(&self.shape.body, BodyPlan::Book(_)) && self.shape.each.is_none();
        is_book && self.pieces.iter().any(|piece| fills(self.plan, piece).any(|filled| filled == slot))
    }

    /// Whether the shape asks for this very text.
    fn is_fixed(&self, slot: Slot) -> bool {
        let at = Field { record: Record::Frame, slot };
        self.shape.when.iter().any(|condition| condition.at == at && matches!(condition.test, Test::OneOf(_)))
    }

    /// Whether the answer to a condition is the same in every frame of the track.
    fn is_constant(&self, condition: &Condition) -> bool {
        let value = self.slots.get(usize::from(condition.at.slot)).copied().unwrap_or_default();
        match (value.kind, &condition.test) {
            (Kind::Absent | Kind::Null, _) => true,
            (Kind::Text, _) if self.is_fixed(condition.at.slot) => true,
            (Kind::Text | Kind::Number | Kind::Object, Test::Kind(_)) => true,
            _ => false,
        }
    }

    /// Whether the frames of the track are of the shape, and of none before it.
    fn is_sure(&self, shape: usize) -> bool {
        let reader = Reader { frame: self.cursor.bytes, slots: self.slots, element: &[], inner: &[] };
        let is_excluded = |shape: &ShapePlan| {
            let never = |condition: &Condition| {
                self.is_constant(condition) && !reader.all_hold(std::slice::from_ref(condition))
            };
            let has_no_list =
                shape.each.is_some_and(|slot| self.slots[usize::from(slot)].kind == Kind::Absent);
            has_no_list || shape.when.iter().any(never)
        };
        let (before, shape) = (&self.plan.shapes[..shape], &self.plan.shapes[shape]);
        // What a number is bound to is no part of the frame.
        let is_bound = matches!(shape.instrument, InstrumentPlan::Bound { .. });
        before.iter().all(is_excluded)
            && !is_bound
            && shape.when.iter().all(|condition| self.is_constant(condition))
    }
}
