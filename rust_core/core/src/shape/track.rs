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
//!
//! Elements of arrays and rows of levels go tracks of their own, from the first byte of the record to its last.

use super::FaultKind;
use super::bodies::Context;
use super::cursor::{Cursor, Kind, Value};
use super::eager::{Choice, Eager};
use super::elements::Elements;
use super::learn::Learner;
use super::plan::{Plan, ShapePlan};
use super::scan::Followed;
use super::trie::{Lists, NoLists, Slot, Trie, Walk};
use super::way::{FrameWay, RecordWay, Way, number, text};
use crate::decimal::{padded_word, word};

/// Steps of all tracks together: some 40 forms of 25 values. Venues send 5 to 15.
const FRAME_STEPS_MAX: usize = 1_024;
/// Steps of the tracks of one kind of record: venues send one to four forms of at most 30 values.
const RECORD_STEPS_MAX: usize = 128;
/// Words of the bytes between the values, for each step; most are shorter than one.
const WORDS_PER_STEP: usize = 2;
/// Slots that are filled, for each step.
const FILLS_PER_STEP: usize = 2;
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
    /// A container with values inside, which begins; the bracket is among the bytes after it.
    Open {
        kind: Kind,
    },
    /// It ends: the bracket is the last of the bytes.
    Close,
    /// A list of levels of a shape, in so many containers.
    List {
        shape: u16,
        depth: u16,
    },
    /// The array of the elements of a shape, in so many containers: whatever else of the frame they need stands before it, but
    /// for their time where that is late.
    Each {
        shape: u16,
        depth: u16,
        is_late: bool,
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
    /// The record is over.
    Over,
}

/// Tracks of one kind, as a tree.
#[derive(Debug)]
pub(super) struct Tracks {
    steps_max: usize,
    steps: Vec<Step>,
    words: Vec<u64>,
    fills: Vec<Slot>,
    /// The frame that is being learned.
    cut: Cut,
    is_full: bool,
    /// Frames walked since one was learned; the first one is.
    walked: u32,
}

/// A frame or record cut into pieces.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub(super) pieces: Vec<Piece>,
    /// Slots that its track does not fill, because the shape does not read them.
    pub(super) hidden: Vec<Slot>,
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
    fn new(steps_max: usize) -> Tracks {
        Tracks {
            steps_max,
            steps: Vec::new(),
            words: Vec::new(),
            fills: Vec::new(),
            cut: Cut::default(),
            is_full: false,
            walked: LEARN_EVERY,
        }
    }

    /// Tracks of whole frames.
    pub(super) fn of_frames() -> Tracks {
        Tracks::new(FRAME_STEPS_MAX)
    }

    /// Tracks of elements or rows.
    pub(super) fn of_records() -> Tracks {
        Tracks::new(RECORD_STEPS_MAX)
    }

    /// Fills the slots of a frame that goes a track, and gives its shape. Lists may have been taken and events made even where
    /// it does not.
    #[inline]
    pub(super) fn follow<'p>(
        &self,
        plan: &'p Plan,
        frame: &[u8],
        slots: &mut [Value],
        elements: &mut Elements,
        context: &mut Context<'_>,
    ) -> Option<Followed<'p>> {
        let lists = Eager::new(Choice::None, &[], context);
        let mut way = FrameWay { plan, lists, elements, events: None, is_late: false };
        let shape = self.go(&mut Cursor::new(frame, 0), slots, &mut way)?;
        let FrameWay { lists, events, .. } = way;
        Some(Followed { shape: Some(shape), instrument: lists.instrument(), taken: lists.taken(), events })
    }

    /// Fills the slots of the record under the cursor if it goes a track; the cursor stands after it then, and else where it
    /// stood. Lists may have been taken even where it does not.
    #[inline]
    fn follow_record<L: Lists>(&self, cursor: &mut Cursor<'_>, slots: &mut [Value], lists: &mut L) -> bool {
        let start = cursor.at;
        let is_followed = self.go(cursor, slots, &mut RecordWay { lists }).is_some();
        if !is_followed {
            cursor.at = start;
        }
        is_followed
    }

    /// Finds the values of the record under the cursor, which has no lists that are taken, and moves the cursor behind it.
    #[inline]
    pub(super) fn record(
        &mut self,
        trie: &Trie,
        cursor: &mut Cursor<'_>,
        slots: &mut [Value],
    ) -> Result<(), FaultKind> {
        if self.follow_record(cursor, slots, &mut NoLists) {
            return Ok(());
        }
        self.walk_record(trie, cursor, slots, NoLists).map(drop)
    }

    /// The same of a record that may have some.
    pub(super) fn record_with<L: Lists>(
        &mut self,
        trie: &Trie,
        cursor: &mut Cursor<'_>,
        slots: &mut [Value],
        mut lists: L,
    ) -> Result<L, FaultKind> {
        if self.follow_record(cursor, slots, &mut lists) {
            return Ok(lists);
        }
        lists.begin_again();
        self.walk_record(trie, cursor, slots, lists)
    }

    fn walk_record<L: Lists>(
        &mut self,
        trie: &Trie,
        cursor: &mut Cursor<'_>,
        slots: &mut [Value],
        lists: L,
    ) -> Result<L, FaultKind> {
        let mut walk = Walk { cursor: cursor.clone(), trie, slots, lists };
        walk.run()?;
        let (end, lists) = (walk.cursor.at, walk.lists);
        if self.learns() {
            let record = Cursor::new(cursor.bytes, cursor.at);
            self.learn_from(trie, cursor.bytes, |cut, most| {
                Learner::of_record(trie, record, (cut, most)).record()
            });
        }
        cursor.at = end;
        Ok(lists)
    }

    /// Follows the track that begins under the cursor.
    #[inline(always)]
    fn go<W: Way>(&self, cursor: &mut Cursor<'_>, slots: &mut [Value], way: &mut W) -> Option<W::End> {
        let mut index = if self.steps.is_empty() { NONE } else { 0 };
        slots.fill(Value::default());
        loop {
            let step = self.steps.get(usize::from(index))?;
            let start = cursor.at;
            let value = if self.has_bytes(step, cursor.bytes, start) {
                cursor.at = start + usize::from(step.length);
                match step.what {
                    What::Text => parts(text(cursor)),
                    What::Number => parts(number(cursor)),
                    What::Fixed { length } => {
                        let start = cursor.at - usize::from(length);
                        parts(Some(Value::new(Kind::Text, start, cursor.at)))
                    }
                    What::List { shape, depth } => {
                        parts(way.list((shape, depth), self.fills_of(step), cursor, slots))
                    }
                    What::Truth => {
                        let value = cursor.value(0).ok();
                        parts(value.filter(|value| matches!(value.kind, Kind::True | Kind::False)))
                    }
                    What::Each { shape, depth, is_late } => {
                        parts(way.each((shape, depth, is_late), cursor, slots))
                    }
                    What::Open { kind } => parts(Some(Value::new(kind, cursor.at, cursor.at))),
                    What::Close => {
                        for slot in self.fills_of(step) {
                            slots[usize::from(*slot)].end = cursor.at as u32; // Frames are at most 16 MiB long.
                        }
                        index = step.next;
                        continue;
                    }
                    What::Any { kind, depth } => {
                        parts(cursor.value(u32::from(depth)).ok().filter(|value| value.kind == kind))
                    }
                    What::End { .. } | What::Over => {
                        if let Some(end) = way.end(step.what, cursor, slots) {
                            return Some(end);
                        }
                        None
                    }
                }
            } else {
                None
            };
            if let Some((value_start, value_end, kind)) = value {
                for slot in self.fills_of(step) {
                    slots[usize::from(*slot)] = Value { start: value_start, end: value_end, kind };
                }
                index = step.next;
            } else {
                cursor.at = start;
                index = step.other;
            }
        }
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
    pub(super) fn learn(&mut self, plan: &Plan, frame: &[u8], slots: &[Value], shape: &ShapePlan) {
        if self.learns() {
            self.learn_from(&plan.trie, frame, |cut, most| {
                Learner::of_frame(plan, shape, slots, frame, (cut, most)).frame()
            });
        }
    }

    /// Counts what was walked; whether it is to be learned.
    fn learns(&mut self) -> bool {
        self.walked += 1;
        self.walked > if self.is_full { FORGET_AFTER } else { LEARN_EVERY }
    }

    #[cold]
    fn learn_from(&mut self, trie: &Trie, bytes: &[u8], learn: impl FnOnce(&mut Cut, usize) -> Option<()>) {
        self.walked = 0;
        if self.is_full {
            self.forget_after(0, 0, 0);
            self.is_full = false;
        }
        let mut cut = std::mem::take(&mut self.cut);
        cut.pieces.clear();
        cut.hidden.clear();
        // All memory is taken with the first.
        let most = self.steps_max;
        cut.pieces.reserve_exact(most);
        cut.hidden.reserve_exact(trie.slot_count());
        self.steps.reserve_exact(most - self.steps.len());
        self.words.reserve_exact(WORDS_PER_STEP * most - self.words.len());
        self.fills.reserve_exact(FILLS_PER_STEP * most - self.fills.len());
        if learn(&mut cut, most).is_some() {
            self.add(trie, bytes, &cut.pieces);
        }
        self.cut = cut;
    }

    fn forget_after(&mut self, steps: usize, words: usize, fills: usize) {
        self.steps.truncate(steps);
        self.words.truncate(words);
        self.fills.truncate(fills);
    }

    /// Follows the tracks as far as they go the same way, and makes a new one of the rest.
    fn add(&mut self, trie: &Trie, frame: &[u8], pieces: &[Piece]) {
        let mut known = 0;
        let mut before = None;
        let mut at = if self.steps.is_empty() { NONE } else { 0 };
        let mut beside = None;
        while at != NONE && known < pieces.len() {
            let index = usize::from(at);
            if self.is_same(trie, frame, &self.steps[index], &pieces[known]) {
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
            if !self.append(trie, frame, piece) {
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

    fn is_same(&self, trie: &Trie, frame: &[u8], step: &Step, piece: &Piece) -> bool {
        usize::from(step.length) == piece.end - piece.start
            && step.what == piece.what
            && self.has_bytes(step, frame, piece.start)
            && self.fills_of(step).iter().copied().eq(fills(trie, piece))
    }

    /// A step of the piece, before the one that is appended next. False: there is no room.
    fn append(&mut self, trie: &Trie, frame: &[u8], piece: &Piece) -> bool {
        let bytes = &frame[piece.start..piece.end];
        let chunks = bytes.chunks_exact(8);
        let rest = chunks.remainder();
        let (first_word, first_fill) = (self.words.len(), self.fills.len());
        let fills = fills(trie, piece);
        if self.steps.len() + 1 > self.steps_max
            || first_word + chunks.len() > WORDS_PER_STEP * self.steps_max
            || first_fill + fills.clone().count() > FILLS_PER_STEP * self.steps_max
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

/// A value in its parts, which stay in registers where a value as a whole would be written and read again, and wait for that.
#[inline(always)]
fn parts(value: Option<Value>) -> Option<(u32, u32, Kind)> {
    value.map(|value| (value.start, value.end, value.kind))
}

pub(super) fn fills<'a>(trie: &'a Trie, piece: &Piece) -> impl Iterator<Item = Slot> + Clone + 'a {
    let kind = piece.kind;
    let slots = piece.node.map_or(&[][..], |node| trie.place(node).slots);
    slots.iter().copied().filter(move |slot| trie.takes(*slot, kind))
}
