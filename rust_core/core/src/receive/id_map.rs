//! A map by instrument number: found at once, listed in ascending order.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// Values by instrument number. Every frame looks one up, which costs the same however many there are; walking in
/// order is for what happens rarely.
#[derive(Debug)]
pub(super) struct IdMap<T> {
    slots: Vec<(u32, T)>,
    found: HashMap<u32, u32, BuildHasherDefault<IdHasher>>,
    /// The same as `found`, in order.
    ordered: BTreeMap<u32, u32>,
}

impl<T> Default for IdMap<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), found: HashMap::default(), ordered: BTreeMap::new() }
    }
}

impl<T> IdMap<T> {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.found.contains_key(&id)
    }

    #[inline]
    pub(super) fn get(&self, id: u32) -> Option<&T> {
        self.found.get(&id).map(|&slot| &self.slots[slot as usize].1)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.found.get(&id).map(|&slot| &mut self.slots[slot as usize].1)
    }

    /// Adds a value; one that was there under the same number is replaced.
    pub(super) fn insert(&mut self, id: u32, value: T) {
        if let Some(old) = self.get_mut(id) {
            *old = value;
            return;
        }
        // Channels hold at most 65,536 instruments.
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push((id, value));
        self.found.insert(id, slot);
        self.ordered.insert(id, slot);
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<T> {
        let slot = self.found.remove(&id)?;
        self.ordered.remove(&id);
        let (_, value) = self.slots.swap_remove(slot as usize);
        if let Some(&(moved, _)) = self.slots.get(slot as usize) {
            self.found.insert(moved, slot);
            self.ordered.insert(moved, slot);
        }
        Some(value)
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.found.clear();
        self.ordered.clear();
    }

    /// By ascending number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.ordered.iter().map(|(&id, &slot)| (id, &self.slots[slot as usize].1))
    }

    /// Calls `visit` by ascending number.
    pub(super) fn for_each_mut(&mut self, mut visit: impl FnMut(u32, &mut T)) {
        for (&id, &slot) in &self.ordered {
            visit(id, &mut self.slots[slot as usize].1);
        }
    }
}

/// Instrument numbers are few and come with a checked frame: spreading their bits is enough.
#[derive(Clone, Copy, Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        // Fibonacci hashing; the table takes its slot from the low bits, to which the best ones are turned.
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::IdMap;

    proptest! {
        #[test]
        fn is_an_ordered_map(steps in prop::collection::vec((0_u32..40, any::<bool>(), any::<u8>()), 0..200)) {
            let (mut map, mut model) = (IdMap::default(), BTreeMap::new());
            for (small, is_removed, value) in steps {
                // Far apart and alike in their low bits, as numbers of venues may be.
                let id = small.wrapping_mul(0x0100_0000) ^ small;
                if is_removed {
                    prop_assert_eq!(map.remove(id), model.remove(&id));
                } else {
                    map.insert(id, value);
                    model.insert(id, value);
                }
                prop_assert_eq!(map.get(id), model.get(&id));
                prop_assert_eq!(map.contains(id), model.contains_key(&id));
                prop_assert_eq!(map.len(), model.len());
            }
            prop_assert!(map.iter().eq(model.iter().map(|(&id, value)| (id, value))));
            map.for_each_mut(|_, value| *value = value.wrapping_add(1));
            model.values_mut().for_each(|value| *value = value.wrapping_add(1));
            let listed: Vec<_> = map.iter().collect();
            prop_assert_eq!(&listed, &model.iter().map(|(&id, value)| (id, value)).collect::<Vec<_>>());
            for (&id, value) in &model {
                prop_assert_eq!(map.get(id), Some(value));
            }
            map.clear();
            prop_assert_eq!((map.len(), map.iter().count()), (0, 0));
        }
    }
}
