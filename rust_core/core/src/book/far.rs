//! Levels outside of the window, in order: chunks of sorted levels under a sorted list of the chunks.
//!
//! A map of nodes that come and go would take and give back memory with every other update. Here a chunk that runs empty is
//! the next one that is used again, and the memory of many chunks is asked for at once and written chunk by chunk: a system
//! gives it then, so what is never used costs an address.

use crate::fetch::fetch;

/// Levels of a chunk: 1 KiB. An insert moves half of them at most, and 10,000 levels make a list of 200 chunks.
const CHUNK_LEVELS: usize = 64;
/// A chunk with fewer levels joins its neighbour where both fill at most …
const FEW_LEVELS: usize = CHUNK_LEVELS / 4;
/// … so much of one, so that the next insert does not split it again.
const JOINED_LEVELS_MAX: usize = CHUNK_LEVELS * 3 / 4;
/// Chunks that memory is asked for first, where nothing was reserved.
const CHUNKS_FIRST: usize = 4;
/// Chunks that memory is asked for ahead at most: 8,000 to 16,000 levels, more than the sides of most books have …
const CHUNKS_AHEAD: usize = 256;
/// … and at least, and for so many times the levels of a whole book: with eight times the sessions of 2024, which begin with a
/// thousand levels a side, allocate nothing later. More would only put the books of many instruments further apart, and a
/// processor knows the places of so many pages of the system only.
const CHUNKS_LEAST: usize = 16;
const TIMES_AHEAD: usize = 8;
/// Memory is given back where more chunks than these were used and three of four are free: the levels of a whole side were
/// here for a while, because the grid of its window changed. With all pages in use a book stays below 512 KB.
const CHUNKS_KEPT: usize = 96;

/// Levels whose memory is fetched before they come: of more the processor sees by itself where they go.
const FETCHED_LEVELS: usize = 16;
/// Keys, or quantities, in a line of the cache.
const LINE_LEVELS: usize = 8;

#[derive(Clone, Debug)]
struct Chunk {
    len: usize,
    keys: [i64; CHUNK_LEVELS],
    quantities: [i64; CHUNK_LEVELS],
}

impl Chunk {
    const EMPTY: Chunk = Chunk { len: 0, keys: [0; CHUNK_LEVELS], quantities: [0; CHUNK_LEVELS] };

    fn find(&self, key: i64) -> Result<usize, usize> {
        self.keys[..self.len].binary_search(&key)
    }

    fn insert(&mut self, at: usize, key: i64, qty: i64) {
        self.keys.copy_within(at..self.len, at + 1);
        self.quantities.copy_within(at..self.len, at + 1);
        (self.keys[at], self.quantities[at]) = (key, qty);
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> i64 {
        let qty = self.quantities[at];
        self.keys.copy_within(at + 1..self.len, at);
        self.quantities.copy_within(at + 1..self.len, at);
        self.len -= 1;
        qty
    }

    /// Moves the levels from `at` on behind those of `other`.
    fn move_to(&mut self, at: usize, other: &mut Self) {
        let end = other.len + self.len - at;
        other.keys[other.len..end].copy_from_slice(&self.keys[at..self.len]);
        other.quantities[other.len..end].copy_from_slice(&self.quantities[at..self.len]);
        (self.len, other.len) = (at, end);
    }
}

/// A chunk that has levels: its first key, and where it lies.
#[derive(Clone, Copy, Debug)]
struct Entry {
    first: i64,
    place: usize,
}

/// An ordered map from key to quantity.
#[derive(Clone, Debug, Default)]
pub(super) struct Far {
    /// Chunks with levels, in order.
    entries: Vec<Entry>,
    /// Chunks that were used ever, and places of those that are free.
    memory: Vec<Chunk>,
    free: Vec<usize>,
    len: usize,
    /// The smallest key; read with every best price, and the list is slow when cold.
    first: Option<i64>,
    /// The largest key: the levels of a whole book mostly come in order.
    last: Option<i64>,
}

impl Far {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn first_key(&self) -> Option<i64> {
        self.first
    }

    /// Number of the chunk that has the key or would have it.
    fn number_of(&self, key: i64) -> usize {
        self.entries.partition_point(|entry| entry.first <= key).saturating_sub(1)
    }

    fn note_ends(&mut self) {
        self.first = self.entries.first().map(|entry| entry.first);
        self.last = self.last().map(|(key, _)| key);
    }

    /// The quantity of a key, 0 if there is none.
    pub(super) fn get(&self, key: i64) -> i64 {
        let Some(entry) = self.entries.get(self.number_of(key)) else { return 0 };
        let chunk = &self.memory[entry.place];
        chunk.find(key).map_or(0, |at| chunk.quantities[at])
    }

    /// Sets the quantity of a key and returns the old one, 0 if there was none.
    #[inline]
    pub(super) fn insert(&mut self, key: i64, qty: i64) -> i64 {
        if self.last.is_some_and(|last| last < key) {
            self.append(key, qty);
            return 0;
        }
        self.insert_between(key, qty)
    }

    /// Sets the quantity of a key behind all others.
    fn append(&mut self, key: i64, qty: i64) {
        let Some(entry) = self.entries.last() else { return };
        let chunk = &mut self.memory[entry.place];
        if chunk.len == CHUNK_LEVELS {
            self.begin(self.entries.len(), key, qty);
            return;
        }
        (chunk.keys[chunk.len], chunk.quantities[chunk.len]) = (key, qty);
        chunk.len += 1;
        self.len += 1;
        self.last = Some(key);
    }

    fn insert_between(&mut self, key: i64, qty: i64) -> i64 {
        let number = self.number_of(key);
        let Some(entry) = self.entries.get_mut(number) else {
            self.begin(0, key, qty);
            return 0;
        };
        let chunk = &mut self.memory[entry.place];
        match chunk.find(key) {
            Ok(at) => std::mem::replace(&mut chunk.quantities[at], qty),
            Err(at) if chunk.len < CHUNK_LEVELS => {
                chunk.insert(at, key, qty);
                entry.first = chunk.keys[0];
                self.len += 1;
                self.note_ends();
                0
            }
            Err(_) => {
                self.split(number);
                self.insert_between(key, qty)
            }
        }
    }

    fn split(&mut self, number: usize) {
        let upper = self.place();
        let lower = self.entries[number].place;
        self.move_levels((lower, CHUNK_LEVELS / 2), upper);
        let entry = Entry { first: self.memory[upper].keys[0], place: upper };
        self.entries.insert(number + 1, entry);
    }

    /// Moves the levels of a chunk from a position on behind those of another one.
    fn move_levels(&mut self, (from, at): (usize, usize), to: usize) {
        if let Ok([from, to]) = self.memory.get_disjoint_mut([from, to]) {
            from.move_to(at, to);
        }
    }

    /// An empty chunk.
    fn place(&mut self) -> usize {
        if let Some(place) = self.free.pop() {
            return place;
        }
        let touched = self.memory.len();
        if touched == self.memory.capacity() {
            self.grow((touched * 2).clamp(CHUNKS_FIRST, touched + CHUNKS_AHEAD));
        }
        self.memory.push(Chunk::EMPTY);
        touched
    }

    /// Moves to memory for so many chunks.
    #[cold]
    fn grow(&mut self, chunks: usize) {
        self.memory.reserve_exact(chunks - self.memory.len());
        self.entries.reserve_exact(chunks - self.entries.len());
        self.free.reserve_exact(chunks - self.free.len());
    }

    /// Moves to memory of its own what is left of a side.
    pub(super) fn shrink(&mut self) {
        let touched = self.memory.len();
        if touched <= CHUNKS_KEPT || self.entries.len() * 4 > touched {
            return;
        }
        let chunks = CHUNKS_AHEAD.max(self.entries.len() * 2);
        let mut memory = Vec::with_capacity(chunks);
        for (place, entry) in self.entries.iter_mut().enumerate() {
            memory.push(self.memory[entry.place].clone());
            entry.place = place;
        }
        self.memory = memory;
        self.free.clear();
    }

    /// Asks for the memory that a side grows into, of which so many levels are there now, and for a quarter more than is used.
    pub(super) fn reserve(&mut self, levels: usize) {
        let touched = self.memory.len();
        let chunks = (levels * TIMES_AHEAD / CHUNK_LEVELS).clamp(CHUNKS_LEAST, CHUNKS_AHEAD);
        let chunks = chunks.max(touched + touched / 4);
        if self.memory.capacity() < chunks {
            self.grow(chunks);
        }
    }

    /// A new chunk of one level.
    fn begin(&mut self, number: usize, key: i64, qty: i64) {
        let place = self.place();
        self.memory[place].insert(0, key, qty);
        self.entries.insert(number, Entry { first: key, place });
        self.len += 1;
        self.note_ends();
    }

    /// Takes levels whose keys rise, and no quantity of which is 0, where it has none.
    #[inline]
    pub(super) fn fill(&mut self, levels: impl Iterator<Item = (i64, i64)>) {
        debug_assert!(self.len == 0);
        let (mut place, mut at) = (0, CHUNK_LEVELS);
        for (key, qty) in levels {
            if at == CHUNK_LEVELS {
                (place, at) = (self.place(), 0);
                self.entries.push(Entry { first: key, place });
            }
            let chunk = &mut self.memory[place];
            (chunk.keys[at], chunk.quantities[at]) = (key, qty);
            at += 1;
            chunk.len = at;
            self.len += 1;
        }
        self.note_ends();
    }

    /// Takes a key out and returns its quantity, 0 if there was none.
    pub(super) fn remove(&mut self, key: i64) -> i64 {
        let number = self.number_of(key);
        let Some(entry) = self.entries.get_mut(number) else { return 0 };
        let chunk = &mut self.memory[entry.place];
        let Ok(at) = chunk.find(key) else { return 0 };
        let qty = chunk.remove(at);
        entry.first = chunk.keys[0];
        self.len -= 1;
        if chunk.len < FEW_LEVELS {
            self.join(number);
        }
        self.note_ends();
        qty
    }

    /// Moves the levels of a chunk to a neighbour with room for them.
    fn join(&mut self, number: usize) {
        let len = |number: usize| self.entries.get(number).map(|entry| self.memory[entry.place].len);
        let fits = |other: Option<usize>| {
            other.zip(len(number)).is_some_and(|(other, own)| other + own <= JOINED_LEVELS_MAX)
        };
        let is_empty = len(number) == Some(0);
        let upper = if !is_empty && fits(len(number + 1)) {
            number + 1
        } else if is_empty || number > 0 && fits(len(number - 1)) {
            number
        } else {
            return;
        };
        let place = self.entries.remove(upper).place;
        if self.memory[place].len > 0 {
            self.move_levels((place, 0), self.entries[upper - 1].place);
        }
        self.free.push(place);
    }

    /// The largest key and its quantity.
    pub(super) fn last(&self) -> Option<(i64, i64)> {
        let chunk = &self.memory[self.entries.last()?.place];
        let at = chunk.len - 1;
        Some((chunk.keys[at], chunk.quantities[at]))
    }

    /// The smallest key that is not below `from`.
    pub(super) fn key_from(&self, from: i64) -> Option<i64> {
        let number = self.number_of(from);
        let chunk = &self.memory[self.entries.get(number)?.place];
        let at = chunk.find(from).unwrap_or_else(|at| at);
        if at < chunk.len { Some(chunk.keys[at]) } else { Some(self.entries.get(number + 1)?.first) }
    }

    /// Reads what the first levels of an empty side are put into.
    #[inline]
    pub(super) fn fetch(&self) {
        if let Some(chunk) = self.free.last().map(|&place| &self.memory[place]) {
            for at in (0..FETCHED_LEVELS).step_by(LINE_LEVELS) {
                fetch(chunk.keys[at]);
                fetch(chunk.quantities[at]);
            }
            fetch(chunk.len);
        }
    }

    /// Forgets all levels and keeps the memory.
    pub(super) fn clear(&mut self) {
        for Entry { place, .. } in self.entries.drain(..) {
            self.memory[place].len = 0;
            self.free.push(place);
        }
        self.len = 0;
        (self.first, self.last) = (None, None);
    }

    /// Bytes of what was used.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory.len() * (size_of::<Chunk>() + size_of::<Entry>() + size_of::<usize>())
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        Iter { memory: &self.memory, entries: &self.entries, at: 0 }
    }
}

/// Keys and quantities in order.
#[derive(Clone, Debug)]
pub(super) struct Iter<'a> {
    memory: &'a [Chunk],
    entries: &'a [Entry],
    at: usize,
}

impl Iter<'_> {
    pub(super) fn peek(&self) -> Option<(i64, i64)> {
        let chunk = &self.memory[self.entries.first()?.place];
        Some((chunk.keys[self.at], chunk.quantities[self.at]))
    }

    /// Gives all that is left.
    pub(super) fn each(mut self, mut take: impl FnMut(i64, i64)) {
        for entry in self.entries {
            let Chunk { len, keys, quantities } = &self.memory[entry.place];
            let from = std::mem::take(&mut self.at);
            keys[from..*len].iter().zip(&quantities[from..*len]).for_each(|(key, qty)| take(*key, *qty));
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = (i64, i64);

    fn next(&mut self) -> Option<(i64, i64)> {
        let level = self.peek()?;
        self.at += 1;
        if self.at == self.memory[self.entries[0].place].len {
            (self.entries, self.at) = (&self.entries[1..], 0);
        }
        Some(level)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn far_levels_are_those_of_a_map(
            steps in proptest::collection::vec((0_u8..8, 0_i64..400, 1_i64..9), 1..3_000),
            spread in prop_oneof![Just(1_i64), Just(i64::MAX / 500)],
        ) {
            let mut far = Far::default();
            let mut map = BTreeMap::new();
            for (what, key, qty) in steps {
                let key = (key - 200) * spread;
                match what {
                    0..=3 => prop_assert_eq!(far.insert(key, qty), map.insert(key, qty).unwrap_or(0)),
                    4..=6 => prop_assert_eq!(far.remove(key), map.remove(&key).unwrap_or(0)),
                    _ if qty == 1 && key > 100 => {
                        far.clear();
                        map.clear();
                    }
                    _ => prop_assert_eq!(far.key_from(key), map.range(key..).next().map(|(key, _)| *key)),
                }
                prop_assert_eq!(far.first_key(), map.keys().next().copied());
                prop_assert_eq!(far.last, map.keys().next_back().copied());
                prop_assert_eq!(far.last(), map.iter().next_back().map(|(key, qty)| (*key, *qty)));
                prop_assert_eq!(far.len(), map.len());
            }
            let all: Vec<_> = map.into_iter().collect();
            prop_assert_eq!(far.iter().collect::<Vec<_>>(), all.clone());
            let mut rest = far.iter();
            let first: Vec<_> = rest.by_ref().take(all.len() / 3).collect();
            let mut found = first;
            rest.each(|key, qty| found.push((key, qty)));
            prop_assert_eq!(&found, &all);
            let mut filled = far.clone();
            filled.clear();
            filled.fill(all.iter().copied());
            prop_assert_eq!(filled.iter().collect::<Vec<_>>(), all);
            prop_assert_eq!((filled.len(), filled.first_key(), filled.last), (far.len(), far.first_key(), far.last));
            prop_assert_eq!(filled.entries.len() + filled.free.len(), filled.memory.len());
            let len = |place: usize| far.memory[place].len;
            let is_sound = |entry: &Entry| len(entry.place) > 0 && entry.first == far.memory[entry.place].keys[0];
            prop_assert!(far.entries.iter().all(is_sound));
            prop_assert!(far.free.iter().all(|place| len(*place) == 0));
            prop_assert_eq!(far.entries.len() + far.free.len(), far.memory.len());
        }
    }

    #[test]
    fn levels_in_order_fill_their_chunks_and_removed_ones_free_them() {
        let mut far = Far::default();
        for key in 0..1_000 {
            far.insert(key, 1);
        }
        let chunks = 1_000_usize.div_ceil(CHUNK_LEVELS);
        assert_eq!((far.entries.len(), far.memory.len()), (chunks, chunks));
        for key in (0..1_000).filter(|key| key % 10 != 0) {
            far.remove(key);
        }
        assert!(far.entries.len() <= 100_usize.div_ceil(FEW_LEVELS) + 1, "{} chunks", far.entries.len());
        for key in 1_000..1_400 {
            far.insert(key, 1);
        }
        assert_eq!(far.memory.len(), chunks, "free chunks are used first");
        for key in 1_400..1_400 + 2 * (CHUNKS_KEPT * CHUNK_LEVELS) as i64 {
            far.insert(key, 1);
        }
        for key in 1_400..1_400 + 2 * (CHUNKS_KEPT * CHUNK_LEVELS) as i64 {
            far.remove(key);
        }
        let left: Vec<_> = far.iter().collect();
        far.shrink();
        assert!(far.memory.len() < chunks && far.free.is_empty());
        assert_eq!(far.iter().collect::<Vec<_>>(), left);
    }
}
