//! Schema drift: what stands in a venue's frames and not in its declaration, and what stood there always and is gone.
//!
//! A frame that goes a track (`track`) has the keys of an earlier one outside of what is passed over as a whole, so that new
//! keys appear in frames that are walked. Those are looked at, with the first of each shape and a share of all: elements of
//! arrays may differ within one form. Looking walks the frame once more along all that the declaration knows, and changes
//! nothing of what is decoded.

use std::fmt::Write;

use super::FaultKind;
use super::cursor::{Cursor, DEPTH_MAX, Kind, Value};
use super::known::{ANY, Known, Node};

/// Frames of each shape that are looked at in any case …
const FIRST: u32 = 64;
/// … and then one of so many: a look at a frame with 100 levels takes ten times as long as reading it, so that this is a
/// hundredth.
const EVERY: u32 = 1_024;
/// Walked frames that are looked at in a row. Each that goes a track gives one back, so that a shape whose frames go none
/// costs no more than its share.
const WALKED_MAX: u32 = 64;
/// Elements of an array that are looked at: they are alike.
const ELEMENTS_MAX: usize = 16;
/// A place that was there in so many frames looked at, and in all of them, is there always: it is counted when it is not.
const ALWAYS: u32 = 32;
/// Names that are counted by themselves; the rest is [`OTHER`]. A venue that renames all fields of all shapes has as many.
pub const DRIFT_NAMES_MAX: usize = 256;
/// Bytes of a name.
pub const DRIFT_NAME_BYTES_MAX: usize = 128;
/// What is counted for names beyond [`DRIFT_NAMES_MAX`].
pub const OTHER: &str = "other";

/// What is remembered of a shape.
#[derive(Debug)]
struct State {
    name: Box<str>,
    frames: u32,
    walked: u32,
    /// By place that is read: looks that found it, as long as all did.
    found: Vec<Found>,
    /// Number of the look under way.
    look: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Found {
    looks: u32,
    /// It was missing before it was there always.
    is_rare: bool,
    /// Last look that found it, and last one that came to where it stands.
    seen: u32,
    due: u32,
}

/// What does not fit the declaration, by name.
#[derive(Debug, Default)]
pub(super) struct Drift {
    states: Vec<State>,
    names: Names,
    /// Name of the place that is looked at; its memory is used again.
    text: String,
}

/// Bounded counters by name.
#[derive(Debug, Default)]
struct Names {
    counted: Vec<(Box<str>, u64)>,
    other: u64,
}

impl Names {
    fn count(&mut self, name: &str) {
        let end = (0..=name.len().min(DRIFT_NAME_BYTES_MAX)).rev().find(|at| name.is_char_boundary(*at));
        let name = &name[..end.unwrap_or(0)];
        if let Some((_, count)) = self.counted.iter_mut().find(|(known, _)| **known == *name) {
            *count += 1;
        } else if self.counted.len() < DRIFT_NAMES_MAX {
            self.counted.push((name.into(), 1));
        } else {
            self.other += 1;
        }
    }
}

impl Drift {
    pub(super) fn of(shapes: Vec<Box<str>>) -> Drift {
        let state = |name| State { name, frames: 0, walked: 0, found: Vec::new(), look: 0 };
        let states = shapes.into_iter().map(state).collect();
        Drift { states, text: String::with_capacity(DRIFT_NAME_BYTES_MAX), ..Drift::default() }
    }

    /// Counts a frame of the shape; whether it is one to look at.
    #[inline]
    pub(super) fn is_due(&mut self, shape: u16, is_walked: bool) -> bool {
        let Some(state) = self.states.get_mut(usize::from(shape)) else { return false };
        state.frames = state.frames.wrapping_add(1);
        if !is_walked {
            state.walked = state.walked.saturating_sub(1);
            return state.frames % EVERY == 0 || state.frames < FIRST;
        }
        let is_allowed = state.walked < WALKED_MAX;
        state.walked += u32::from(is_allowed);
        is_allowed || state.frames % EVERY == 0
    }

    /// Looks at a frame of the shape, in which `slots` were found: where one ends is known. What is no JSON is left to those who
    /// decode it.
    #[cold]
    pub(super) fn look(&mut self, shape: u16, known: &Known, frame: &[u8], slots: &[Value]) {
        let Drift { states, names, text } = self;
        let Some(state) = states.get_mut(usize::from(shape)) else { return };
        state.found.resize(known.read.len(), Found::default());
        state.look = state.look.wrapping_add(1);
        text.clear();
        text.push_str(&state.name);
        let mut cursor = Cursor::new(frame, 0);
        cursor.space();
        let mut look = Look { cursor, slots, known, state, text, names };
        if look.value(Some(0), 0).is_ok() {
            look.absent();
        }
    }

    /// Names and how often each was found in the frames that were looked at.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, u64)> {
        let Names { counted, other } = &self.names;
        let counted = counted.iter().map(|(name, count)| (&**name, *count));
        counted.chain((*other > 0).then_some((OTHER, *other)))
    }
}

/// One look at one frame.
struct Look<'a> {
    cursor: Cursor<'a>,
    slots: &'a [Value],
    known: &'a Known,
    state: &'a mut State,
    text: &'a mut String,
    names: &'a mut Names,
}

impl<'a> Look<'a> {
    fn value(&mut self, node: Option<u16>, depth: u32) -> Result<(), FaultKind> {
        if depth >= DEPTH_MAX {
            return Err(FaultKind::TooDeep);
        }
        let node = node.map(|node| &self.known.nodes[usize::from(node)]);
        let open = node.filter(|node| !node.is_whole && !node.children.is_empty());
        match (self.cursor.peek()?, open) {
            (b'{', Some(node)) => self.object(node, depth),
            (b'[', Some(node)) => self.array(node, depth),
            _ => self.cursor.value(depth).map(|_| ()),
        }
    }

    fn object(&mut self, node: &'a Node, depth: u32) -> Result<(), FaultKind> {
        self.arrive(node);
        let mut more = self.cursor.open(b'}')?;
        while more {
            let key = self.cursor.string()?;
            let child = key.with_text(self.cursor.bytes, |text| node.named(text));
            self.cursor.colon()?;
            let length = self.text.len();
            self.step(child, |text, bytes| push_key(text, key, bytes));
            self.child(child, depth)?;
            self.text.truncate(length);
            more = self.cursor.more(b'}')?;
        }
        Ok(())
    }

    fn array(&mut self, node: &'a Node, depth: u32) -> Result<(), FaultKind> {
        let are_alike = node.named(ANY.as_bytes()).is_some();
        let end = self.end_of_array(self.cursor.at);
        let count = if node.counts_from_the_end() { Some(self.count_elements(depth)?) } else { None };
        let mut more = self.cursor.open(b']')?;
        if more {
            self.arrive(node);
        }
        let mut index = 0;
        while more {
            if index >= ELEMENTS_MAX && are_alike {
                if let Some(end) = end.or_else(|| self.cursor.other_text_rows()) {
                    self.cursor.at = end;
                    return Ok(());
                }
                self.cursor.value(depth + 1)?;
            } else {
                let child = node.element(index, count);
                let length = self.text.len();
                self.step(child, |text, _| {
                    if are_alike {
                        text.push('*');
                    } else {
                        let _ = write!(text, "{index}");
                    }
                });
                self.child(child, depth)?;
                self.text.truncate(length);
            }
            index += 1;
            more = self.cursor.more(b']')?;
        }
        Ok(())
    }

    fn count_elements(&self, depth: u32) -> Result<usize, FaultKind> {
        let mut cursor = self.cursor.clone();
        let mut count = 0;
        let mut more = cursor.open(b']')?;
        while more {
            self.pass(&mut cursor, depth + 1)?;
            count += 1;
            more = cursor.more(b']')?;
        }
        Ok(count)
    }

    /// Where the array ends that begins at a place, if it was found already.
    fn end_of_array(&self, at: usize) -> Option<usize> {
        let found = self.slots.iter().find(|slot| slot.kind == Kind::Array && slot.start as usize == at)?;
        Some(found.end as usize).filter(|end| *end > at)
    }

    /// Passes over a value; over arrays that were found, without reading them again.
    fn pass(&self, cursor: &mut Cursor<'_>, depth: u32) -> Result<(), FaultKind> {
        if depth >= DEPTH_MAX {
            return Err(FaultKind::TooDeep);
        }
        if let (b'[', Some(end)) = (cursor.peek()?, self.end_of_array(cursor.at)) {
            cursor.at = end;
            return Ok(());
        }
        if cursor.peek()? != b'{' {
            return cursor.value(depth).map(|_| ());
        }
        let mut more = cursor.open(b'}')?;
        while more {
            cursor.string()?;
            cursor.colon()?;
            self.pass(cursor, depth + 1)?;
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    fn step(&mut self, child: Option<u16>, push: impl FnOnce(&mut String, &[u8])) {
        let is_envelope = child.is_some_and(|child| self.known.nodes[usize::from(child)].is_envelope);
        if !is_envelope {
            self.text.push('.');
            push(self.text, self.cursor.bytes);
        }
    }

    fn child(&mut self, child: Option<u16>, depth: u32) -> Result<(), FaultKind> {
        let Some(child) = child else {
            self.names.count(self.text);
            return self.cursor.value(depth + 1).map(|_| ());
        };
        for place in &self.known.nodes[usize::from(child)].read {
            self.state.found[usize::from(*place)].seen = self.state.look;
        }
        self.value(Some(child), depth + 1)
    }

    /// The look has come to where these places stand.
    fn arrive(&mut self, node: &Node) {
        for place in &node.read_below {
            self.state.found[usize::from(*place)].due = self.state.look;
        }
    }

    /// Counts the places that were there always and are not now.
    fn absent(&mut self) {
        let shape = self.text.len();
        for (found, name) in self.state.found.iter_mut().zip(&self.known.read) {
            if found.due != self.state.look {
                continue;
            }
            if found.seen == self.state.look {
                found.looks = found.looks.saturating_add(1);
            } else if found.looks < ALWAYS {
                found.is_rare = true;
            } else if !found.is_rare {
                self.text.push_str(".-");
                self.text.push_str(name);
                self.names.count(self.text);
                self.text.truncate(shape);
            }
        }
    }
}

/// A key as a part of a name: what is not printable, or a text without end, has no place in one.
fn push_key(text: &mut String, key: Value, frame: &[u8]) {
    key.with_text(frame, |key| {
        let key = String::from_utf8_lossy(&key[..key.len().min(DRIFT_NAME_BYTES_MAX)]);
        text.extend(key.chars().map(|letter| if letter.is_control() { '?' } else { letter }));
    });
}
