//! The way that frames of one form go: what stands between the values is compared, only the values are read.
//!
//! Most frames of a venue differ from an earlier one in nothing but the values. So a frame that was walked is learned: the
//! bytes between its values become *steps*, each with the kind of the value after it and the slots that the value fills. A
//! later frame with the same bytes between values of the same kinds would be walked the same way, with the same keys in
//! the same containers and none of them twice, so it fills the same slots. Where a byte differs, or a value is of another
//! kind, the frame takes another track with the same beginning, or is walked.
//!
//! ```text
//! {"stream":" text    ","data":{"e":"trade   fixed    ","s":" text   ","t": number   ,"p":" text   "}} end
//!                     ","data":{"e":"depthUpdate   fixed    …
//! ```
//!
//! A text that the shape asks for (`"e"`) is compared with the bytes around it, so that the end of a track knows the shape.

use super::cursor::{Cursor, Kind, Value};
use super::learn::Learner;
use super::plan::{Plan, ShapePlan};
use super::scan::Eager;
use super::trie::{Lists, Slot};
use crate::decimal::{leading_digits, padded_word, word};

/// Steps of all tracks together: some 40 forms of 25 values. Venues send 5 to 15.
pub(super) const STEPS_MAX: usize = 1_024;
/// Words of the bytes between the values; most are shorter than one.
const WORDS_MAX: usize = 2 * STEPS_MAX;
/// Slots that are filled.
const FILLS_MAX: usize = 2 * STEPS_MAX;
/// One frame of so many that were walked is learned: forms that never come again cost little.
const LEARN_EVERY: u32 = 4;
/// So many walks after the room was used up, all is forgotten: the forms of the venue have changed.
const FORGET_AFTER: u32 = 100_000;

/// No step.
const NONE: u16 = u16::MAX;

/// Bytes, then a value.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Where the whole words of the bytes stand, and how many there are.
    first_word: u16,
    words: u16,
    /// The rest of the bytes, and which bits of it count.
    rest: u64,
    mask: u64,
    /// How many bytes there are.
    length: u16,
    what: What,
    first_fill: u16,
    fills: u16,
    /// The step after this one.
    next: u16,
    /// The step of another track with the same beginning.
    other: u16,
}

/// The value after the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// An ASCII text without escapes; the quotes are among the bytes.
    Text,
    /// A text of so many bytes, which are the last of the bytes.
    Fixed {
        length: u16,
    },
    Number,
    /// `true` or `false`.
    Truth,
    /// A list of levels of a shape, in so many containers.
    List {
        shape: u16,
        depth: u16,
    },
    /// Anything else of a kind.
    Any {
        kind: Kind,
        depth: u16,
    },
    /// The frame is over. `is_sure`: every frame of the track is of this shape; otherwise the conditions tell.
    End {
        shape: u16,
        is_sure: bool,
    },
}

/// All tracks of a plan, as a tree.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    steps: Vec<Step>,
    words: Vec<u64>,
    fills: Vec<Slot>,
    /// The frame that is being learned.
    pieces: Vec<Piece>,
    is_full: bool,
    /// Frames walked since one was learned.
    walked: u32,
}

/// What becomes a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// The bytes before the value.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) what: What,
    pub(super) kind: Kind,
    /// Node of the value in the trie.
    pub(super) node: Option<u16>,
}

impl Tracks {
    /// Fills the slots of a frame that goes a track, and gives its shape. Lists may have been taken even where it does not.
    #[inline]
    pub(super) fn follow<'p>(
        &self,
        plan: &'p Plan,
        frame: &[u8],
        slots: &mut [Value],
        lists: &mut Eager<'p, '_>,
    ) -> Option<&'p ShapePlan> {
        let mut index = if self.steps.is_empty() { NONE } else { 0 };
        slots.fill(Value::default());
        let mut cursor = Cursor::new(frame, 0);
        loop {
            let step = self.steps.get(usize::from(index))?;
            let start = cursor.at;
            let value = if self.has_bytes(step, frame, start) {
                cursor.at = start + usize::from(step.length);
                match step.what {
                    What::Text => text(&mut cursor),
                    What::Number => number(&mut cursor),
                    What::Fixed { length } => {
                        Some(Value::new(Kind::Text, cursor.at - usize::from(length), cursor.at))
                    }
                    What::List { shape, depth } => {
                        self.list(step, &plan.shapes[usize::from(shape)], depth, &mut cursor, slots, lists)
                    }
                    What::Truth => {
                        let value = cursor.value(0).ok();
                        value.filter(|value| matches!(value.kind, Kind::True | Kind::False))
                    }
                    What::Any { kind, depth } => {
                        cursor.value(u32::from(depth)).ok().filter(|value| value.kind == kind)
                    }
                    What::End { shape, is_sure } if cursor.at == frame.len() => {
                        let shape = &plan.shapes[usize::from(shape)];
                        let is_it = |found: &&ShapePlan| found.number == shape.number;
                        return if is_sure {
                            Some(shape)
                        } else {
                            lists.select(plan, frame, slots).filter(is_it)
                        };
                    }
                    What::End { .. } => None,
                }
            } else {
                None
            };
            if let Some(value) = value {
                for slot in self.fills_of(step) {
                    slots[usize::from(*slot)] = value;
                }
                index = step.next;
            } else {
                cursor.at = start;
                index = step.other;
            }
        }
    }

    fn list<'p>(
        &self,
        step: &Step,
        shape: &'p ShapePlan,
        depth: u16,
        cursor: &mut Cursor<'_>,
        slots: &[Value],
        lists: &mut Eager<'p, '_>,
    ) -> Option<Value> {
        let start = cursor.at;
        lists.choose_shape(shape, cursor.bytes, slots);
        let is_list = cursor.bytes.get(start) == Some(&b'[');
        if is_list && self.fills_of(step).iter().any(|slot| lists.list(cursor, *slot, slots)) {
            return Some(Value::new(Kind::Array, start, cursor.at));
        }
        cursor.value(u32::from(depth)).ok().filter(|value| value.kind == Kind::Array)
    }

    #[inline]
    fn fills_of(&self, step: &Step) -> &[Slot] {
        let start = usize::from(step.first_fill);
        &self.fills[start..start + usize::from(step.fills)]
    }

    #[inline]
    fn has_bytes(&self, step: &Step, frame: &[u8], at: usize) -> bool {
        let mut at = at;
        if step.words != 0 {
            let first = usize::from(step.first_word);
            for expected in &self.words[first..first + usize::from(step.words)] {
                if word(frame, at) != Some(*expected) {
                    return false;
                }
                at += 8;
            }
        }
        // No byte of a step is 0, so that the zeros after the frame differ from all.
        (padded_word(frame, at) ^ step.rest) & step.mask == 0
    }

    /// Learns one of some frames that were walked: `slots` are what was found, `shape` is what it is.
    #[cold]
    pub(super) fn learn(&mut self, plan: &Plan, frame: &[u8], slots: &[Value], shape: &ShapePlan) {
        self.walked += 1;
        let waits = if self.is_full { FORGET_AFTER } else { LEARN_EVERY };
        if self.walked < waits && !self.steps.is_empty() {
            return;
        }
        self.walked = 0;
        if self.is_full {
            self.forget_after(0, 0, 0);
            self.is_full = false;
        }
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.clear();
        // All memory is taken with the first frame.
        pieces.reserve_exact(STEPS_MAX);
        self.steps.reserve_exact(STEPS_MAX - self.steps.len());
        self.words.reserve_exact(WORDS_MAX - self.words.len());
        self.fills.reserve_exact(FILLS_MAX - self.fills.len());
        if Learner::new(plan, shape, slots, frame, &mut pieces).frame().is_some() {
            self.add(plan, frame, &pieces);
        }
        self.pieces = pieces;
    }

    fn forget_after(&mut self, steps: usize, words: usize, fills: usize) {
        self.steps.truncate(steps);
        self.words.truncate(words);
        self.fills.truncate(fills);
    }

    /// Follows the tracks as far as they go the same way, and makes a new one of the rest.
    fn add(&mut self, plan: &Plan, frame: &[u8], pieces: &[Piece]) {
        let mut known = 0;
        let mut before = None;
        let mut at = if self.steps.is_empty() { NONE } else { 0 };
        let mut beside = None;
        while at != NONE && known < pieces.len() {
            let index = usize::from(at);
            if self.is_same(plan, frame, &self.steps[index], &pieces[known]) {
                known += 1;
                (before, beside) = (Some(index), None);
                at = self.steps[index].next;
            } else {
                beside = Some(index);
                at = self.steps[index].other;
            }
        }
        let fresh = self.steps.len();
        let (words, fills) = (self.words.len(), self.fills.len());
        for piece in &pieces[known..] {
            if !self.append(plan, frame, piece) {
                self.forget_after(fresh, words, fills);
                self.is_full = true;
                return;
            }
        }
        if self.steps.len() == fresh {
            return; // All of it was known: a value was of a form that is not followed.
        }
        if let Some(last) = self.steps.last_mut() {
            last.next = NONE;
        }
        match (beside, before) {
            (Some(beside), _) => self.steps[beside].other = fresh as u16,
            (None, Some(before)) => self.steps[before].next = fresh as u16,
            (None, None) => {}
        }
    }

    fn is_same(&self, plan: &Plan, frame: &[u8], step: &Step, piece: &Piece) -> bool {
        usize::from(step.length) == piece.end - piece.start
            && step.what == piece.what
            && self.has_bytes(step, frame, piece.start)
            && self.fills_of(step).iter().copied().eq(fills(plan, piece))
    }

    /// A step of the piece, before the one that is appended next. False: there is no room.
    fn append(&mut self, plan: &Plan, frame: &[u8], piece: &Piece) -> bool {
        let bytes = &frame[piece.start..piece.end];
        let chunks = bytes.chunks_exact(8);
        let rest = chunks.remainder();
        let (first_word, first_fill) = (self.words.len(), self.fills.len());
        let fills = fills(plan, piece);
        if self.steps.len() + 1 > STEPS_MAX
            || first_word + chunks.len() > WORDS_MAX
            || first_fill + fills.clone().count() > FILLS_MAX
        {
            return false;
        }
        self.fills.extend(fills);
        self.words.extend(chunks.map(|chunk| padded_word(chunk, 0)));
        // The limits keep every count within 16 bits.
        self.steps.push(Step {
            first_word: first_word as u16,
            words: (self.words.len() - first_word) as u16,
            rest: padded_word(rest, 0),
            mask: (1 << (8 * rest.len())) - 1,
            length: bytes.len() as u16,
            what: piece.what,
            first_fill: first_fill as u16,
            fills: (self.fills.len() - first_fill) as u16,
            next: self.steps.len() as u16 + 1,
            other: NONE,
        });
        true
    }
}

pub(super) fn fills<'a>(plan: &'a Plan, piece: &Piece) -> impl Iterator<Item = Slot> + Clone + 'a {
    let kind = piece.kind;
    let slots = piece.node.map_or(&[][..], |node| plan.trie.place(node).slots);
    slots.iter().copied().filter(move |slot| plan.trie.takes(*slot, kind))
}

/// The text under the cursor, which stands after the quote; it stays before the other quote.
#[inline]
fn text(cursor: &mut Cursor<'_>) -> Option<Value> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let start = cursor.at;
    let mut at = start;
    loop {
        // The zeros after the frame are control characters.
        let chunk = padded_word(cursor.bytes, at);
        let backslash = chunk ^ (ONES * 0x5c);
        // What may end the run: all up to the quote (the space among them, which is rare), backslashes, all above ASCII.
        // The first one is exact.
        let below = chunk.wrapping_sub(ONES * 0x23) & !chunk;
        let other = (below | (backslash.wrapping_sub(ONES) & !backslash) | chunk) & (ONES * 0x80);
        if other == 0 {
            at += 8;
            continue;
        }
        let count = other.trailing_zeros() & !7;
        at += (count / 8) as usize;
        if (chunk >> count) as u8 == b'"' {
            cursor.at = at;
            return Some(Value::new(Kind::Text, start, at));
        }
        return text_rest(cursor);
    }
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
fn number(cursor: &mut Cursor<'_>) -> Option<Value> {
    let start = cursor.at;
    let mut at = start;
    let next = loop {
        let (values, count) = leading_digits(padded_word(cursor.bytes, at));
        at += count as usize;
        if count < 8 {
            break (values >> (8 * count)) as u8 ^ b'0';
        }
    };
    let has_zero = cursor.bytes.get(start) == Some(&b'0');
    if at == start || has_zero || matches!(next, b'.' | b'e' | b'E') {
        return cursor.number().ok();
    }
    cursor.at = at;
    Some(Value::new(Kind::Number, start, at))
}
