//! Levels outside of the window, in order: chunks of sorted levels under a sorted list of the chunks.
//!
//! A map of nodes that come and go would take and give back memory with every other update. Here a chunk that runs empty
//! is kept for the next one that is needed, so that a book which does not grow takes no memory.

/// Levels of a chunk: 1 KiB. An insert moves half of them at most, and 10,000 levels make a list of 200 chunks.
const CHUNK_LEVELS: usize = 64;
/// A chunk with fewer levels joins its neighbour where both fill at most …
const FEW_LEVELS: usize = CHUNK_LEVELS / 4;
/// … so much of one, so that the next insert does not split it again.
const JOINED_LEVELS_MAX: usize = CHUNK_LEVELS * 3 / 4;
/// Chunks taken ahead at least, and the share of the present ones: see [`Far::reserve`].
const AHEAD_MIN: usize = 4;
const AHEAD_SHARE: usize = 4;
/// An empty chunk is given back where more than this share of the others are empty: levels that have gone to pages, or
/// for good.
const SPARE_SHARE_MAX: usize = 2;

#[derive(Clone, Debug)]
struct Chunk {
    len: usize,
    keys: [i64; CHUNK_LEVELS],
    quantities: [i64; CHUNK_LEVELS],
}

impl Chunk {
    const EMPTY: Self = Self { len: 0, keys: [0; CHUNK_LEVELS], quantities: [0; CHUNK_LEVELS] };

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

/// A chunk that has levels, and the first key of it.
#[derive(Clone, Debug)]
struct Entry {
    first: i64,
    chunk: Box<Chunk>,
}

/// An ordered map from key to quantity.
#[derive(Clone, Debug, Default)]
pub(super) struct Far {
    chunks: Vec<Entry>,
    /// Chunks without levels.
    #[allow(clippy::vec_box)] // They move between the lists.
    spare: Vec<Box<Chunk>>,
    len: usize,
    /// The smallest key; read with every best price, and the list is slow when cold.
    first: Option<i64>,
}

impl Far {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn first_key(&self) -> Option<i64> {
        self.first
    }

    /// The chunk that has the key or would have it.
    fn chunk_of(&self, key: i64) -> usize {
        self.chunks.partition_point(|entry| entry.first <= key).saturating_sub(1)
    }

    fn note_first(&mut self) {
        self.first = self.chunks.first().map(|entry| entry.first);
    }

    /// Sets the quantity of a key and returns the old one, 0 if there was none.
    pub(super) fn insert(&mut self, key: i64, qty: i64) -> i64 {
        let number = self.chunk_of(key);
        let Some(entry) = self.chunks.get_mut(number) else {
            self.begin(0, key, qty);
            return 0;
        };
        match entry.chunk.find(key) {
            Ok(at) => std::mem::replace(&mut entry.chunk.quantities[at], qty),
            Err(at) if entry.chunk.len < CHUNK_LEVELS => {
                entry.chunk.insert(at, key, qty);
                entry.first = entry.chunk.keys[0];
                self.len += 1;
                self.note_first();
                0
            }
            // Levels that come in order fill their chunks.
            Err(CHUNK_LEVELS) if number + 1 == self.chunks.len() => {
                self.begin(number + 1, key, qty);
                0
            }
            Err(_) => {
                let mut upper = self.empty();
                self.chunks[number].chunk.move_to(CHUNK_LEVELS / 2, &mut upper);
                self.chunks.insert(number + 1, Entry { first: upper.keys[0], chunk: upper });
                self.insert(key, qty)
            }
        }
    }

    fn empty(&mut self) -> Box<Chunk> {
        self.spare.pop().unwrap_or_else(|| Box::new(Chunk::EMPTY))
    }

    /// A new chunk of one level.
    fn begin(&mut self, number: usize, key: i64, qty: i64) {
        let mut chunk = self.empty();
        chunk.insert(0, key, qty);
        self.chunks.insert(number, Entry { first: key, chunk });
        self.len += 1;
        self.note_first();
    }

    /// Takes a key out and returns its quantity, 0 if there was none.
    pub(super) fn remove(&mut self, key: i64) -> i64 {
        let number = self.chunk_of(key);
        let Some(entry) = self.chunks.get_mut(number) else { return 0 };
        let Ok(at) = entry.chunk.find(key) else { return 0 };
        let qty = entry.chunk.remove(at);
        entry.first = entry.chunk.keys[0];
        self.len -= 1;
        if entry.chunk.len < FEW_LEVELS {
            self.join(number);
        }
        self.note_first();
        qty
    }

    /// Moves the levels of a chunk to a neighbour with room for them.
    fn join(&mut self, number: usize) {
        let len = |number: usize| self.chunks.get(number).map(|entry| entry.chunk.len);
        let fits = |other: Option<usize>| {
            other.zip(len(number)).is_some_and(|(other, own)| other + own <= JOINED_LEVELS_MAX)
        };
        let upper = if len(number) == Some(0) {
            number
        } else if fits(len(number + 1)) {
            number + 1
        } else if number > 0 && fits(len(number - 1)) {
            number
        } else {
            return;
        };
        let mut chunk = self.chunks.remove(upper).chunk;
        if chunk.len > 0 {
            chunk.move_to(0, &mut self.chunks[upper - 1].chunk);
        }
        if self.spare.len() < AHEAD_MIN + self.chunks.len() / SPARE_SHARE_MAX {
            self.spare.push(chunk);
        }
    }

    /// The smallest key that is not below `from`.
    pub(super) fn key_from(&self, from: i64) -> Option<i64> {
        let number = self.chunk_of(from);
        let chunk = &self.chunks.get(number)?.chunk;
        let at = chunk.find(from).unwrap_or_else(|at| at);
        if at < chunk.len { Some(chunk.keys[at]) } else { Some(self.chunks.get(number + 1)?.first) }
    }

    /// Forgets all levels and keeps the memory.
    pub(super) fn clear(&mut self) {
        for Entry { mut chunk, .. } in self.chunks.drain(..) {
            chunk.len = 0;
            self.spare.push(chunk);
        }
        self.len = 0;
        self.first = None;
    }

    /// Takes memory for a quarter more of chunks.
    pub(super) fn reserve(&mut self) {
        let ahead = AHEAD_MIN + self.chunks.len() / AHEAD_SHARE;
        while self.spare.len() < ahead {
            self.spare.push(Box::new(Chunk::EMPTY));
        }
        let all = self.chunks.len() + self.spare.len();
        self.chunks.reserve(all - self.chunks.len());
        self.spare.reserve(all - self.spare.len());
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let chunks = self.chunks.len() + self.spare.len();
        chunks * size_of::<Chunk>()
            + self.chunks.capacity() * size_of::<Entry>()
            + self.spare.capacity() * size_of::<Box<Chunk>>()
    }

    pub(super) fn iter(&self) -> Iter<'_> {
        Iter { chunks: &self.chunks, at: 0 }
    }
}

/// Keys and quantities in order.
#[derive(Clone, Debug)]
pub(super) struct Iter<'a> {
    chunks: &'a [Entry],
    at: usize,
}

impl Iter<'_> {
    pub(super) fn peek(&self) -> Option<(i64, i64)> {
        let chunk = &self.chunks.first()?.chunk;
        Some((chunk.keys[self.at], chunk.quantities[self.at]))
    }
}

impl Iterator for Iter<'_> {
    type Item = (i64, i64);

    fn next(&mut self) -> Option<(i64, i64)> {
        let level = self.peek()?;
        self.at += 1;
        if self.at == self.chunks[0].chunk.len {
            (self.chunks, self.at) = (&self.chunks[1..], 0);
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
                prop_assert_eq!(far.len(), map.len());
            }
            prop_assert_eq!(far.iter().collect::<Vec<_>>(), map.into_iter().collect::<Vec<_>>());
            let is_sound = |entry: &Entry| entry.chunk.len > 0 && entry.first == entry.chunk.keys[0];
            prop_assert!(far.chunks.iter().all(is_sound));
            prop_assert!(far.spare.iter().all(|chunk| chunk.len == 0));
        }
    }

    #[test]
    fn levels_in_order_fill_their_chunks_and_removed_ones_free_them() {
        let mut far = Far::default();
        for key in 0..1_000 {
            far.insert(key, 1);
        }
        assert_eq!(far.chunks.len(), 1_000_usize.div_ceil(CHUNK_LEVELS));
        for key in (0..1_000).filter(|key| key % 10 != 0) {
            far.remove(key);
        }
        assert!(far.chunks.len() <= 100_usize.div_ceil(FEW_LEVELS) + 1, "{} chunks", far.chunks.len());
        assert!((AHEAD_MIN..=AHEAD_MIN + 1_000 / CHUNK_LEVELS / 2).contains(&far.spare.len()));
    }
}
