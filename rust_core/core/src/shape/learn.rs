//! Cuts a frame or record that was walked into the pieces of a track.

use super::cursor::{Cursor, Kind, Value};
use super::plan::{BodyPlan, Condition, Field, InstrumentPlan, Plan, Record, ShapePlan, Test};
use super::reader::Reader;
use super::track::{Piece, What, fills};
use super::trie::{Slot, Trie};

/// Bytes between two values; names of keys are far shorter.
const BYTES_MAX: usize = 1_024;
/// Cuts a frame, or a record, into pieces.
pub(super) struct Learner<'a> {
    trie: &'a Trie,
    /// Of a frame: the plan, the shape that it is of, and what a walk found in it.
    frame: Option<(&'a Plan, &'a ShapePlan, &'a [Value])>,
    cursor: Cursor<'a>,
    /// Where the bytes before the next value begin.
    start: usize,
    pieces: &'a mut Vec<Piece>,
    pieces_max: usize,
}

impl<'a> Learner<'a> {
    /// `slots` are what a walk found in the frame, which is of the shape.
    pub(super) fn of_frame(
        plan: &'a Plan,
        shape: &'a ShapePlan,
        slots: &'a [Value],
        frame: &'a [u8],
        (pieces, pieces_max): (&'a mut Vec<Piece>, usize),
    ) -> Learner<'a> {
        let (trie, cursor) = (&plan.trie, Cursor::new(frame, 0));
        Learner { trie, frame: Some((plan, shape, slots)), cursor, start: 0, pieces, pieces_max }
    }

    /// The cursor stands at the record, which a walk along `trie` has passed.
    pub(super) fn of_record(
        trie: &'a Trie,
        cursor: Cursor<'a>,
        (pieces, pieces_max): (&'a mut Vec<Piece>, usize),
    ) -> Learner<'a> {
        Learner { trie, frame: None, start: cursor.at, cursor, pieces, pieces_max }
    }

    /// `None`: no track follows frames of this form.
    pub(super) fn frame(&mut self) -> Option<()> {
        self.cursor.space();
        self.value(Some(0), 0)?;
        let (plan, shape, slots) = self.frame?;
        let shape = plan.shapes.iter().position(|other| other.number == shape.number)?;
        let what = What::End { shape: shape as u16, is_sure: self.is_sure(plan, slots, shape) };
        self.piece(self.cursor.bytes.len(), what, Kind::Absent, None)
    }

    /// `None`: no track follows records of this form.
    pub(super) fn record(&mut self) -> Option<()> {
        self.value(Some(0), 0)?;
        self.piece(self.cursor.at, What::Over, Kind::Absent, None)
    }

    fn piece(&mut self, end: usize, what: What, kind: Kind, node: Option<u16>) -> Option<()> {
        if self.pieces.len() == self.pieces_max || end - self.start > BYTES_MAX {
            return None;
        }
        self.pieces.push(Piece { start: self.start, end, what, kind, node });
        Some(())
    }

    fn value(&mut self, node: Option<u16>, depth: u32) -> Option<()> {
        let place = node.map(|node| self.trie.place(node));
        let start = self.cursor.at;
        let opening = self.cursor.peek().ok()?;
        if let (b'{', Some(node), Some(place)) = (opening, node, place)
            && place.has_keys
        {
            let is_value = |slot: &Slot| self.trie.takes(*slot, Kind::Object);
            return if place.slots.iter().any(is_value) { None } else { self.object(node, depth) };
        }
        if let (b'[', Some(node), Some(place)) = (opening, node, place)
            && place.has_items
        {
            return if place.slots.is_empty() { self.array(node, depth) } else { None };
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
            Kind::Array if place.is_some_and(|place| place.is_list) && self.frame.is_none() => {
                (start, What::List { shape: 0, depth }, end_of)
            }
            Kind::Array if place.is_some_and(|place| place.is_list) && self.knows_instrument() => {
                let (plan, of, _) = self.frame?;
                let shape = plan.shapes.iter().position(|shape| shape.number == of.number)?;
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
            let below = key.with_text(self.cursor.bytes, |key| self.trie.below(node, key));
            self.cursor.colon().ok()?;
            self.value(below, depth + 1)?;
            more = self.cursor.more(b'}').ok()?;
        }
        Some(())
    }

    fn array(&mut self, node: u16, depth: u32) -> Option<()> {
        let mut count = 0;
        let mut ahead = self.cursor.clone();
        let mut more = ahead.open(b']').ok()?;
        while more {
            ahead.value(depth + 1).ok()?;
            count += 1;
            more = ahead.more(b']').ok()?;
        }
        self.cursor.open(b']').ok()?;
        for position in 0..count {
            // A place told from either end: only the nodes that look at what stands here matter.
            let opening = self.cursor.peek().ok()?;
            let matters = |node: &u16| {
                let place = self.trie.place(*node);
                !place.slots.is_empty()
                    || (opening == b'{' && place.has_keys)
                    || (opening == b'[' && place.has_items)
            };
            let mut below = self.trie.items(node, position, count).filter(matters);
            let (child, other) = (below.next(), below.next());
            if other.is_some() {
                return None;
            }
            self.value(child, depth + 1)?;
            self.cursor.more(b']').ok()?;
        }
        Some(())
    }

    /// Whether lists at this place can be read with the exponents of the instrument.
    fn knows_instrument(&self) -> bool {
        let Some((_, shape, _)) = self.frame else { return false };
        let Some(Field { record: Record::Frame, slot }) = shape.instrument.field() else { return false };
        let is_book = matches!(&shape.body, BodyPlan::Book(_)) && shape.each.is_none();
        is_book && self.pieces.iter().any(|piece| fills(self.trie, piece).any(|filled| filled == slot))
    }

    /// Whether the shape asks for this very text.
    fn is_fixed(&self, slot: Slot) -> bool {
        let Some((_, shape, _)) = self.frame else { return false };
        let at = Field { record: Record::Frame, slot };
        shape.when.iter().any(|condition| condition.at == at && matches!(condition.test, Test::OneOf(_)))
    }

    /// Whether the answer to a condition is the same in every frame of the track.
    fn is_constant(&self, slots: &[Value], condition: &Condition) -> bool {
        let value = slots.get(usize::from(condition.at.slot)).copied().unwrap_or_default();
        match (value.kind, &condition.test) {
            (Kind::Absent | Kind::Null, _) => true,
            (Kind::Text, _) if self.is_fixed(condition.at.slot) => true,
            (Kind::Text | Kind::Number | Kind::Object, Test::Kind(_)) => true,
            _ => false,
        }
    }

    /// Whether the frames of the track are of the shape, and of none before it.
    fn is_sure(&self, plan: &Plan, slots: &[Value], shape: usize) -> bool {
        let reader = Reader { frame: self.cursor.bytes, slots, element: &[], inner: &[] };
        let is_excluded = |shape: &ShapePlan| {
            let never = |condition: &Condition| {
                self.is_constant(slots, condition) && !reader.all_hold(std::slice::from_ref(condition))
            };
            let has_no_list = shape.each.is_some_and(|slot| slots[usize::from(slot)].kind == Kind::Absent);
            has_no_list || shape.when.iter().any(never)
        };
        let (before, shape) = (&plan.shapes[..shape], &plan.shapes[shape]);
        // What a number is bound to is no part of the frame.
        let is_bound = matches!(shape.instrument, InstrumentPlan::Bound { .. });
        before.iter().all(is_excluded)
            && !is_bound
            && shape.when.iter().all(|condition| self.is_constant(slots, condition))
    }
}
