//! Cuts a frame or record that was walked into the pieces of a track.

use super::cursor::{Cursor, Kind, Value};
use super::plan::{BodyPlan, Condition, Field, InstrumentPlan, Plan, Record, ShapePlan, Test};
use super::reader::Reader;
use super::track::{Cut, Piece, What, fills};
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
    /// Slots that the track does not fill, because the shape does not read them.
    hidden: &'a mut Vec<Slot>,
}

impl<'a> Learner<'a> {
    /// `slots` are what a walk found in the frame, which is of the shape.
    pub(super) fn of_frame(
        plan: &'a Plan,
        shape: &'a ShapePlan,
        slots: &'a [Value],
        frame: &'a [u8],
        (cut, pieces_max): (&'a mut Cut, usize),
    ) -> Learner<'a> {
        let (trie, cursor) = (&plan.trie, Cursor::new(frame, 0));
        Learner {
            trie,
            frame: Some((plan, shape, slots)),
            cursor,
            start: 0,
            pieces: &mut cut.pieces,
            pieces_max,
            hidden: &mut cut.hidden,
        }
    }

    /// The cursor stands at the record, which a walk along `trie` has passed.
    pub(super) fn of_record(
        trie: &'a Trie,
        cursor: Cursor<'a>,
        (cut, pieces_max): (&'a mut Cut, usize),
    ) -> Learner<'a> {
        Learner {
            trie,
            frame: None,
            start: cursor.at,
            cursor,
            pieces: &mut cut.pieces,
            pieces_max,
            hidden: &mut cut.hidden,
        }
    }

    /// `None`: no track follows frames of this form.
    pub(super) fn frame(&mut self) -> Option<()> {
        self.cursor.space();
        self.value(Some(0), 0)?;
        let (plan, shape, slots) = self.frame?;
        let shape = plan.shapes.iter().position(|other| other.number == shape.number)?;
        if !self.is_told(plan, slots, shape) {
            return None;
        }
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
            return if place.slots.iter().any(is_value) {
                self.filled(Kind::Object, node, depth)
            } else {
                self.object(node, depth)
            };
        }
        let is_hidden = opening == b'['
            && place.is_some_and(|place| place.has_items)
            && node.is_some_and(|node| self.hides(node));
        if let (b'[', Some(node), Some(place)) = (opening, node, place)
            && place.has_items
            && !is_hidden
        {
            return if place.slots.is_empty() {
                self.array(node, depth)
            } else {
                self.filled(Kind::Array, node, depth)
            };
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
            Kind::Array if place.is_some_and(|place| self.is_each(place.slots)) => {
                let (plan, of, _) = self.frame?;
                let shape = plan.shapes.iter().position(|shape| shape.number == of.number)?;
                let is_late = self.is_late(of.time.as_ref().map(|time| time.at));
                (start, What::Each { shape: shape as u16, depth, is_late }, end_of)
            }
            Kind::Array if place.is_some_and(|place| place.is_list) && self.frame.is_none() => {
                (start, What::List { shape: 0, depth }, end_of)
            }
            Kind::Array if place.is_some_and(|place| place.is_list) && self.reads_lists() => {
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

    /// Whether nobody reads a value inside of this array: then it is passed over, and what others would read there is not
    /// filled.
    fn hides(&mut self, node: u16) -> bool {
        let Some((_, shape, _)) = self.frame else { return false };
        let mut is_read = false;
        self.trie.inside(node, &mut |slot| is_read |= shape.used.contains(&slot));
        if !is_read {
            self.trie.inside(node, &mut |slot| {
                if !self.hidden.contains(&slot) {
                    self.hidden.push(slot);
                }
            });
        }
        !is_read
    }

    /// A container that fills slots itself.
    fn filled(&mut self, kind: Kind, node: u16, depth: u32) -> Option<()> {
        self.piece(self.cursor.at, What::Open { kind }, kind, Some(node))?;
        self.start = self.cursor.at;
        if kind == Kind::Object { self.object(node, depth) } else { self.array(node, depth) }?;
        self.piece(self.cursor.at, What::Close, kind, Some(node))?;
        self.start = self.cursor.at;
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

    /// Whether these slots are filled by the array of the elements, and whatever else the shape reads of the frame has been
    /// found before it; the time of a book may follow.
    fn is_each(&self, filled: &[Slot]) -> bool {
        let Some((_, shape, _)) = self.frame else { return false };
        let Some(each) = shape.each.filter(|each| filled.contains(each)) else { return false };
        let time = shape.time.as_ref().filter(|_| matches!(shape.body, BodyPlan::Book(_)));
        let time = time.filter(|time| time.at.record == Record::Frame).map(|time| time.at.slot);
        let is_used = |at: Slot| shape.when.iter().any(|condition| condition.at.slot == at);
        let mut needed = shape.used.iter().filter(|slot| **slot != each);
        needed.all(|slot| self.is_found(*slot) || (Some(*slot) == time && !is_used(*slot)))
    }

    /// Whether the frame fills a slot before this place, or nowhere.
    fn is_found(&self, slot: Slot) -> bool {
        let is_absent = self.frame.is_some_and(|(_, _, slots)| slots[usize::from(slot)].kind == Kind::Absent);
        is_absent || self.pieces.iter().any(|piece| fills(self.trie, piece).any(|filled| filled == slot))
    }

    /// Whether a place of the frame comes later.
    fn is_late(&self, at: Option<Field>) -> bool {
        at.is_some_and(|at| at.record == Record::Frame && !self.is_found(at.slot))
    }

    /// Whether lists of the frame can be read on the way: with the exponents of the instrument if that is known by then, else,
    /// in the common form, as they are printed.
    fn reads_lists(&self) -> bool {
        let Some((_, shape, _)) = self.frame else { return false };
        let Some(Field { record: Record::Frame, slot }) = shape.instrument.field() else { return false };
        let BodyPlan::Book(book) = &shape.body else { return false };
        let is_known =
            || self.pieces.iter().any(|piece| fills(self.trie, piece).any(|filled| filled == slot));
        shape.each.is_none() && (book.level.is_pair || is_known())
    }

    /// Whether the shape asks for this very text.
    fn is_fixed(&self, slot: Slot) -> bool {
        let Some((_, shape, _)) = self.frame else { return false };
        let at = Field { record: Record::Frame, slot };
        shape.when.iter().any(|condition| condition.at == at && matches!(condition.test, Test::OneOf(_)))
    }

    /// Whether the answer to a condition is the same in every frame of the track.
    fn is_constant(&self, slots: &[Value], condition: &Condition) -> bool {
        if self.hidden.contains(&condition.at.slot) {
            return false;
        }
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
        let (before, shape) = (&plan.shapes[..shape], &plan.shapes[shape]);
        // What a number is bound to is no part of the frame.
        let is_bound = matches!(shape.instrument, InstrumentPlan::Bound { .. });
        before.iter().all(|shape| self.is_excluded(slots, shape))
            && !is_bound
            && shape.when.iter().all(|condition| self.is_constant(slots, condition))
    }

    /// Whether no frame of the track is of this shape.
    fn is_excluded(&self, slots: &[Value], shape: &ShapePlan) -> bool {
        let reader = Reader { frame: self.cursor.bytes, slots, element: &[], inner: &[] };
        let never = |condition: &Condition| {
            self.is_constant(slots, condition) && !reader.all_hold(std::slice::from_ref(condition))
        };
        let is_absent =
            |slot: Slot| !self.hidden.contains(&slot) && slots[usize::from(slot)].kind == Kind::Absent;
        shape.each.is_some_and(is_absent) || shape.when.iter().any(never)
    }

    /// Whether what the track fills is enough to tell the shape.
    fn is_told(&self, plan: &Plan, slots: &[Value], shape: usize) -> bool {
        let is_filled = |slot: Slot| !self.hidden.contains(&slot);
        let asks_only_filled = |shape: &ShapePlan| {
            let bound = match &shape.instrument {
                InstrumentPlan::Bound { at, .. } => Some(at.slot),
                InstrumentPlan::Symbol { .. } | InstrumentPlan::Known => None,
            };
            let asked = shape.when.iter().map(|condition| condition.at.slot);
            asked.chain(shape.each).chain(bound).all(is_filled)
        };
        plan.shapes[..=shape].iter().all(|shape| asks_only_filled(shape) || self.is_excluded(slots, shape))
    }
}
