//! A table of fixed size that forgets what was used least recently.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher24;

/// Entries among which a key may lie. A search looks at all of them; with 8, a table a quarter full forgets next to nothing.
const WAYS: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    used: u64,
}

/// Values by key. All memory is taken at the start; a new key takes the place of the one in its set that was used least
/// recently. The hash is keyed, so that nobody outside can choose the set.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    entries: Vec<Option<Entry<K, V>>>,
    secret: [u8; 16],
    /// Counts uses.
    uses: u64,
    /// Entries that had to go while they were of use.
    evicted: u64,
}

impl<K: Copy + Eq + Hash, V: Copy> Table<K, V> {
    /// A table for `capacity` entries, rounded up.
    pub(super) fn new(capacity: usize, secret: [u8; 16]) -> Self {
        let entries = capacity.div_ceil(WAYS).max(1).next_power_of_two() * WAYS;
        Self { entries: vec![None; entries], secret, uses: 0, evicted: 0 }
    }

    /// The value of `key`, made by `fresh` where there is none; `is_old` says of which values nothing is lost.
    pub(super) fn entry(&mut self, key: K, fresh: impl FnOnce() -> V, is_old: impl Fn(&V) -> bool) -> &mut V {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        key.hash(&mut hasher);
        // The number of sets is a power of two; a table has far less than 2^32 of them.
        let set = hasher.finish() as usize & (self.entries.len() / WAYS - 1);
        self.uses += 1;
        let ways = &mut self.entries[set * WAYS..][..WAYS];
        let rank = |entry: &Option<Entry<K, V>>| match entry {
            Some(entry) if entry.key == key => (0, 0),
            None => (1, 0),
            Some(entry) => (2, entry.used),
        };
        let way = (0..WAYS).min_by_key(|&way| rank(&ways[way])).unwrap_or(0);
        let is_found = matches!(&ways[way], Some(entry) if entry.key == key);
        if !is_found {
            let lost = ways[way].as_ref().is_some_and(|entry| !is_old(&entry.value));
            self.evicted += u64::from(lost);
            ways[way] = None;
        }
        let entry = ways[way].get_or_insert_with(|| Entry { key, value: fresh(), used: 0 });
        entry.used = self.uses;
        &mut entry.value
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, WAYS};

    #[test]
    fn what_was_used_least_recently_is_forgotten() {
        let mut table = Table::new(1, [3; 16]);
        let keep = |table: &mut Table<u64, u64>, key| *table.entry(key, || key * 10, |_| false);
        for key in 0..WAYS as u64 {
            assert_eq!(keep(&mut table, key), key * 10);
        }
        *table.entry(0, || 0, |_| false) = 77;
        assert_eq!((keep(&mut table, 100), table.evicted()), (1_000, 1), "in the place of 1");
        assert_eq!((keep(&mut table, 0), table.evicted()), (77, 1));
        assert_eq!((keep(&mut table, 1), table.evicted()), (10, 2), "made anew");
        table.entry(200, || 0, |_| true);
        assert_eq!(table.evicted(), 2, "nothing was lost");
    }

    #[test]
    fn a_table_a_quarter_full_keeps_all() {
        let mut table = Table::new(4_096, [9; 16]);
        for key in 0..1_024_u64 {
            table.entry(key, || key, |_| false);
        }
        for key in 0..1_024_u64 {
            assert_eq!(*table.entry(key, || key, |_| false), key);
        }
        assert!(table.evicted() < 3, "{}", table.evicted());
    }
}
