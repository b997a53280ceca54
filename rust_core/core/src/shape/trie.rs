//! The places that shapes look at, as one tree of keys and positions, and the walk that finds them in a frame.

use super::FaultKind;
use super::cursor::{Cursor, Kind, Value, specials};
use super::spec::Key;
use crate::decimal::word;

/// Places counted from the end of an array that a declaration may use; the walk remembers so many elements.
pub(super) const FROM_END_MAX: usize = 8;

/// Index of a value in the slots of a trie.
pub(super) type Slot = u16;

#[derive(Debug, Default)]
struct Node {
    /// Slots that this value fills.
    slots: Vec<Slot>,
    keys: Keys,
    /// Position and node, rising.
    items: Vec<(u32, u16)>,
    /// Position from the end (1 = last) and node.
    from_end: Vec<(u32, u16)>,
    /// One of the slots is a list of levels.
    is_list: bool,
}

impl Node {
    fn has_items(&self) -> bool {
        !(self.items.is_empty() && self.from_end.is_empty())
    }
}

/// A tree over the paths of some slots.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// Per slot: takes arrays only.
    arrays_only: Vec<bool>,
    /// Slots of what stands under keys that nobody knows, of which there may be many: the last one is found.
    others: Vec<Slot>,
}

impl Default for Trie {
    fn default() -> Trie {
        Trie { nodes: vec![Node::default()], arrays_only: Vec::new(), others: Vec::new() }
    }
}

impl Trie {
    pub(super) fn slot_count(&self) -> usize {
        self.arrays_only.len()
    }

    /// A new slot that values at any of the paths fill.
    pub(super) fn add_slot(&mut self, paths: &[Vec<Key>], arrays_only: bool, is_list: bool) -> Option<Slot> {
        let slot = Slot::try_from(self.arrays_only.len()).ok()?;
        self.arrays_only.push(arrays_only);
        for path in paths {
            let node = path.iter().try_fold(0, |node, key| self.child(node, key))?;
            self.nodes[usize::from(node)].slots.push(slot);
            self.nodes[usize::from(node)].is_list |= is_list;
        }
        Some(slot)
    }

    /// A new slot that arrays fill which stand in an object at one of the paths, under a key that leads nowhere else. The keys
    /// on the way to what is `known` do.
    pub(super) fn add_others(&mut self, objects: &[Vec<Key>], known: &[Vec<Key>]) -> Option<Slot> {
        let slot = self.add_slot(&[], true, false)?;
        self.others.push(slot);
        for object in objects {
            for path in known {
                if path.len() > object.len() && path.starts_with(object) {
                    path[..=object.len()].iter().try_fold(0, |node, key| self.child(node, key))?;
                }
            }
            let node = usize::from(object.iter().try_fold(0, |node, key| self.child(node, key))?);
            let other = match self.nodes[node].keys.other {
                Some(other) => other,
                None => {
                    let fresh = u16::try_from(self.nodes.len()).ok()?;
                    self.nodes.push(Node::default());
                    *self.nodes[node].keys.other.insert(fresh)
                }
            };
            self.nodes[usize::from(other)].slots.push(slot);
        }
        Some(slot)
    }

    fn child(&mut self, node: u16, key: &Key) -> Option<u16> {
        let fresh = u16::try_from(self.nodes.len()).ok()?;
        let parent = &mut self.nodes[usize::from(node)];
        let found = match key {
            Key::Name(name) => parent.keys.find_or_add(name.as_bytes(), fresh),
            Key::Index(at) => {
                let position = u32::try_from(at.unsigned_abs()).ok()?;
                let (list, limit) = if *at < 0 {
                    (&mut parent.from_end, FROM_END_MAX as u32)
                } else {
                    (&mut parent.items, u32::MAX)
                };
                if position > limit {
                    return None;
                }
                if let Some((_, node)) = list.iter().find(|(other, _)| *other == position) {
                    *node
                } else {
                    list.push((position, fresh));
                    list.sort_unstable();
                    fresh
                }
            }
        };
        if found == fresh {
            self.nodes.push(Node::default());
        }
        Some(found)
    }
}

/// What a walk does at a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Slots that the value fills, if they take its kind.
    pub(super) slots: &'a [Slot],
    /// Keys below it lead somewhere.
    pub(super) has_keys: bool,
    /// Positions below it lead somewhere.
    pub(super) has_items: bool,
    /// One of the slots is a list of levels.
    pub(super) is_list: bool,
}

impl Trie {
    pub(super) fn place(&self, node: u16) -> Place<'_> {
        let node = &self.nodes[usize::from(node)];
        let Node { slots, keys, is_list, .. } = node;
        Place { slots, has_keys: !keys.is_empty(), has_items: node.has_items(), is_list: *is_list }
    }

    pub(super) fn below(&self, node: u16, key: &[u8]) -> Option<u16> {
        self.nodes[usize::from(node)].keys.find_any(key)
    }

    /// Calls `take` with the slots that values inside of the one of a node fill.
    pub(super) fn inside(&self, node: u16, take: &mut impl FnMut(Slot)) {
        let Node { keys, items, from_end, .. } = &self.nodes[usize::from(node)];
        let named = keys.entries.iter().map(|entry| entry.node).chain(keys.other);
        for child in named.chain(items.iter().chain(from_end).map(|(_, node)| *node)) {
            self.nodes[usize::from(child)].slots.iter().copied().for_each(&mut *take);
            self.inside(child, take);
        }
    }

    /// Nodes of the element at `position` of `count`.
    pub(super) fn items(&self, node: u16, position: usize, count: usize) -> impl Iterator<Item = u16> {
        let Node { items, from_end, .. } = &self.nodes[usize::from(node)];
        let at = |list: &'_ [(u32, u16)], wanted: usize| {
            list.iter().find(|(other, _)| *other as usize == wanted).map(|(_, node)| *node)
        };
        [at(items, position), at(from_end, count - position)].into_iter().flatten()
    }

    pub(super) fn takes(&self, slot: Slot, kind: Kind) -> bool {
        kind == Kind::Array || !self.arrays_only[usize::from(slot)]
    }
}

/// Takes the lists of levels that the walk comes to, where it can.
pub(super) trait Lists {
    /// The cursor stands at the `[` of a list in `depth` containers. True: taken, the cursor stands after it. False: nothing happened.
    fn list(&mut self, cursor: &mut Cursor<'_>, slot: Slot, slots: &[Value], depth: u32) -> bool;

    /// Forgets what was taken: the record is walked from its beginning.
    fn begin_again(&mut self);
}

/// Takes no list.
pub(super) struct NoLists;

impl Lists for NoLists {
    fn list(&mut self, _: &mut Cursor<'_>, _: Slot, _: &[Value], _: u32) -> bool {
        false
    }

    fn begin_again(&mut self) {}
}

/// One walk over one value.
pub(super) struct Walk<'a, L> {
    pub(super) cursor: Cursor<'a>,
    pub(super) trie: &'a Trie,
    pub(super) slots: &'a mut [Value],
    pub(super) lists: L,
}

impl<L: Lists> Walk<'_, L> {
    /// Walks the value under the cursor from the root.
    pub(super) fn run(&mut self) -> Result<(), FaultKind> {
        self.slots.fill(Value::default());
        self.visit(0, 0)
    }

    fn visit(&mut self, node: u16, depth: u32) -> Result<(), FaultKind> {
        let trie = self.trie;
        let node = &trie.nodes[usize::from(node)];
        let start = self.cursor.at;
        let value = match self.cursor.peek()? {
            b'[' if node.is_list && !node.has_items() && self.take_list(node, depth) => {
                Value::new(Kind::Array, start, self.cursor.at)
            }
            b'{' if !node.keys.is_empty() => {
                self.object(node, depth)?;
                Value::new(Kind::Object, start, self.cursor.at)
            }
            b'[' if node.has_items() => {
                self.array(node, depth)?;
                Value::new(Kind::Array, start, self.cursor.at)
            }
            _ => self.cursor.value(depth)?,
        };
        for &slot in &node.slots {
            let index = usize::from(slot);
            if trie.arrays_only[index] && value.kind != Kind::Array {
                continue;
            }
            // The last of two equal keys is no better than the first: which one a venue means is unknown.
            if self.slots[index].kind != Kind::Absent && !trie.others.contains(&slot) {
                return Err(FaultKind::DuplicateKey);
            }
            self.slots[index] = value;
        }
        Ok(())
    }

    fn take_list(&mut self, node: &Node, depth: u32) -> bool {
        let Walk { cursor, slots, lists, .. } = self;
        node.slots.iter().any(|slot| lists.list(cursor, *slot, slots, depth))
    }

    fn object(&mut self, node: &Node, depth: u32) -> Result<(), FaultKind> {
        if self.cursor.is_too_deep(depth) {
            return Err(FaultKind::TooDeep);
        }
        if !self.cursor.open(b'}')? {
            return Ok(());
        }
        loop {
            let child = self.key(&node.keys)?;
            self.cursor.colon()?;
            match child {
                Some(child) => self.visit(child, depth + 1)?,
                None => {
                    self.cursor.value(depth + 1)?;
                }
            }
            if !self.cursor.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// The node of the key under the cursor.
    #[inline]
    fn key(&mut self, keys: &Keys) -> Result<Option<u16>, FaultKind> {
        let at = self.cursor.at;
        if self.cursor.bytes.get(at) == Some(&b'"')
            && let Some(chunk) = word(self.cursor.bytes, at + 1)
        {
            let special = specials(chunk);
            let count = special.trailing_zeros() / 8;
            let text = chunk & ((1_u64 << (8 * count % 64)) - 1);
            let is_plain = special != 0 && text & 0x8080_8080_8080_8080 == 0;
            let end = at + 1 + count as usize;
            if is_plain && self.cursor.bytes[end] == b'"' {
                self.cursor.at = end + 1;
                return Ok(keys.find_short(text, count as usize).or(keys.other));
            }
        }
        let key = self.cursor.string()?;
        Ok(key.with_text(self.cursor.bytes, |text| keys.find_any(text)))
    }

    fn array(&mut self, node: &Node, depth: u32) -> Result<(), FaultKind> {
        if self.cursor.is_too_deep(depth) {
            return Err(FaultKind::TooDeep);
        }
        let mut starts = [0_usize; FROM_END_MAX];
        let mut count = 0_usize;
        let mut items = node.items.iter().peekable();
        let mut more = self.cursor.open(b']')?;
        while more {
            starts[count % FROM_END_MAX] = self.cursor.at;
            match items.next_if(|(position, _)| *position as usize == count) {
                Some((_, child)) => self.visit(*child, depth + 1)?,
                None => {
                    self.cursor.value(depth + 1)?;
                }
            }
            count += 1;
            more = self.cursor.more(b']')?;
        }
        let end = self.cursor.at;
        for (position, child) in &node.from_end {
            if let Some(index) = count.checked_sub(*position as usize) {
                self.cursor.at = starts[index % FROM_END_MAX];
                self.visit(*child, depth + 1)?;
            }
        }
        self.cursor.at = end;
        Ok(())
    }
}

/// The keys of an object that lead somewhere.
#[derive(Debug, Default)]
struct Keys {
    entries: Vec<Entry>,
    /// Index of the first entry with a hash, plus one.
    buckets: Vec<u16>,
    /// Where all other keys lead.
    other: Option<u16>,
}

#[derive(Debug)]
struct Entry {
    /// The first 8 bytes, the first in the lowest bits, zeros after the end.
    word: u64,
    text: Box<[u8]>,
    node: u16,
    /// Index of the next entry with the same hash, plus one.
    next: u16,
}

impl Keys {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find_or_add(&mut self, text: &[u8], node: u16) -> u16 {
        if let Some(found) = self.find(text) {
            return found;
        }
        self.entries.push(Entry { word: first_word(text), text: text.into(), node, next: 0 });
        // A quarter full at most: chains are rare, and the table of the widest object fits two cache lines.
        let size = (self.entries.len() * 4).next_power_of_two();
        self.buckets = vec![0; size];
        for index in 0..self.entries.len() {
            let bucket = hash(self.entries[index].word, size);
            self.entries[index].next = self.buckets[bucket];
            // Nodes are numbered by u16, so entries are fewer.
            self.buckets[bucket] = index as u16 + 1;
        }
        node
    }

    #[inline]
    fn chain(&self, word: u64) -> impl Iterator<Item = &Entry> {
        let first = self.buckets.get(hash(word, self.buckets.len())).copied().unwrap_or(0);
        let entry = |next: u16| self.entries.get(usize::from(next).wrapping_sub(1));
        std::iter::successors(entry(first), move |found| entry(found.next))
            .filter(move |found| found.word == word)
    }

    /// A key of at most 7 bytes, as one word with zeros after the end.
    #[inline]
    fn find_short(&self, word: u64, length: usize) -> Option<u16> {
        self.chain(word).find(|entry| entry.text.len() == length).map(|entry| entry.node)
    }

    fn find_any(&self, text: &[u8]) -> Option<u16> {
        self.find(text).or(self.other)
    }

    fn find(&self, text: &[u8]) -> Option<u16> {
        self.chain(first_word(text)).find(|entry| *entry.text == *text).map(|entry| entry.node)
    }
}

fn first_word(text: &[u8]) -> u64 {
    text.iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Multiplicative hash into a power of two; the high bits of the product depend on all bytes.
#[inline]
fn hash(word: u64, size: usize) -> usize {
    let product = (word ^ word >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (product >> 32) as usize & size.wrapping_sub(1)
}
