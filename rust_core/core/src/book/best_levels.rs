//! The best levels of a side with the text that a venue's checksum is over, so that a change of one level writes one text.

use super::Book;
use super::printed::Decimals;
use crate::event::{Level, Side};

/// Levels kept at hand: the 25 that a checksum takes at most, and some that come to the front when those go, so that
/// the book is rarely read for more.
const LEVELS_MAX: usize = 64;
/// Longest text that is kept. A price and a quantity of most venues take less than 30; a longer one is written each time.
pub(crate) const TEXT_MAX: usize = 40;

/// A level, how it was printed, and its text if it was written already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BestLevel {
    pub(crate) level: Level,
    pub(crate) decimals: Decimals,
    len: u8,
    text: [u8; TEXT_MAX],
}

impl BestLevel {
    const EMPTY: BestLevel = BestLevel {
        level: Level { price: 0, qty: 0 },
        decimals: Decimals { price: 0, qty: 0 },
        len: 0,
        text: [0; TEXT_MAX],
    };

    /// The text in its buffer of constant length, and how long it is; `None`: not written yet, or too long.
    #[inline]
    pub(crate) fn text(&self) -> Option<(&[u8; TEXT_MAX], usize)> {
        (self.len > 0).then_some((&self.text, usize::from(self.len)))
    }

    /// Keeps the text that was written.
    #[inline]
    pub(crate) fn keep(&mut self, text: &[u8]) {
        if let Some(room) = self.text.get_mut(..text.len()) {
            room.copy_from_slice(text);
            self.len = text.len() as u8;
        }
    }
}

/// The best levels of one side, best first: a level that comes or goes moves keys and places, and no text.
#[derive(Clone, Debug)]
pub(crate) struct BestLevels {
    side: Side,
    /// Of the levels, rising from the best one on.
    keys: Vec<i64>,
    /// Where each of them is kept; behind those the places that are free.
    places: [u8; LEVELS_MAX],
    kept: Vec<BestLevel>,
    /// The side has no other levels.
    is_all: bool,
    /// Index of the best one that changed since [`BestLevels::settle`].
    first_changed: usize,
}

impl BestLevels {
    pub(super) fn new(side: Side) -> Self {
        let mut places = [0; LEVELS_MAX];
        places.iter_mut().zip(0..).for_each(|(place, number)| *place = number);
        Self { side, keys: Vec::new(), places, kept: Vec::new(), is_all: true, first_changed: 0 }
    }

    #[inline]
    fn key(&self, price: i64) -> i64 {
        if self.side == Side::Bid { !price } else { price }
    }

    #[inline]
    pub(super) fn set(&mut self, level: Level, decimals: Decimals) {
        let key = self.key(level.price);
        // Most levels of a deep book are behind all of these, and those of a whole one come in order.
        let is_behind = self.keys.last().is_some_and(|worst| *worst < key);
        if is_behind {
            if self.keys.len() == LEVELS_MAX || !self.is_all {
                self.is_all &= level.qty == 0;
            } else if level.qty != 0 {
                self.append(key, level, decimals);
            }
            return;
        }
        let at = self.keys.partition_point(|known| *known < key);
        self.set_at(at, key, level, decimals);
    }

    fn set_at(&mut self, at: usize, key: i64, level: Level, decimals: Decimals) {
        if self.keys.get(at) == Some(&key) {
            if level.qty == 0 {
                self.remove(at);
            } else {
                let known = &mut self.kept[usize::from(self.places[at])];
                if known.level.qty == level.qty && known.decimals == decimals {
                    return;
                }
                (known.level, known.decimals, known.len) = (level, decimals, 0);
            }
        } else {
            if level.qty == 0 || (at == self.keys.len() && !self.is_all) {
                return;
            }
            if self.keys.len() == LEVELS_MAX {
                self.is_all = false;
                if at == LEVELS_MAX {
                    return;
                }
                self.keys.pop();
            }
            self.insert(at, key, level, decimals);
        }
        self.first_changed = self.first_changed.min(at);
    }

    /// A level behind all others, of which there are fewer than are kept.
    #[inline]
    fn append(&mut self, key: i64, level: Level, decimals: Decimals) {
        let at = self.keys.len();
        self.keys.push(key);
        let kept = &mut self.kept[usize::from(self.places[at])];
        (kept.level, kept.decimals, kept.len) = (level, decimals, 0);
        self.first_changed = self.first_changed.min(at);
    }

    #[inline]
    fn insert(&mut self, at: usize, key: i64, level: Level, decimals: Decimals) {
        let free = self.keys.len();
        self.keys.insert(at, key);
        let place = self.places[free];
        self.places.copy_within(at..free, at + 1);
        self.places[at] = place;
        if self.kept.is_empty() {
            self.kept.resize(LEVELS_MAX, BestLevel::EMPTY);
        }
        let kept = &mut self.kept[usize::from(place)];
        (kept.level, kept.decimals, kept.len) = (level, decimals, 0);
    }

    #[inline]
    fn remove(&mut self, at: usize) {
        self.keys.remove(at);
        let place = self.places[at];
        let free = self.keys.len();
        self.places.copy_within(at + 1..=free, at);
        self.places[free] = place;
    }

    /// Whether one of the best `n` levels changed since [`BestLevels::settle`].
    #[inline]
    pub(super) fn has_changed(&self, n: usize) -> bool {
        self.first_changed < n
    }

    /// What has changed so far is known.
    pub(super) fn settle(&mut self) {
        self.first_changed = usize::MAX;
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.is_all = true;
        self.first_changed = 0;
    }

    /// Forgets what it has, because numbers or order changed: the next `best` reads it anew.
    pub(super) fn forget(&mut self) {
        self.keys.clear();
        self.is_all = false;
        self.first_changed = 0;
    }

    pub(super) fn reserve(&mut self) {
        self.keys.reserve_exact(LEVELS_MAX - self.keys.len());
        self.kept.resize(LEVELS_MAX, BestLevel::EMPTY);
    }

    /// Makes sure of the best `n` levels, as far as the side has them in `book`; `decimals` gives those of a level, which are
    /// asked for in order.
    #[inline]
    pub(super) fn read(&mut self, n: usize, book: &Book, decimals: impl FnMut(Level) -> Decimals) {
        debug_assert!(n < LEVELS_MAX);
        if self.keys.len() < n && !self.is_all {
            self.read_rest(book, decimals);
        }
    }

    /// What is there stays, with its text.
    #[cold]
    fn read_rest(&mut self, book: &Book, mut decimals: impl FnMut(Level) -> Decimals) {
        let known = self.keys.len();
        for level in book.levels(self.side).take(LEVELS_MAX).skip(known) {
            self.insert(self.keys.len(), self.key(level.price), level, decimals(level));
        }
        self.is_all = book.len(self.side) <= LEVELS_MAX;
    }

    /// How many of the best `n` levels there are.
    #[inline]
    pub(crate) fn count(&self, n: usize) -> usize {
        self.keys.len().min(n)
    }

    /// One of them.
    #[inline]
    pub(crate) fn level(&mut self, index: usize) -> &mut BestLevel {
        &mut self.kept[usize::from(self.places[index])]
    }

    /// Some of them, best first.
    #[inline]
    pub(crate) fn best(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = &BestLevel> {
        self.places[range].iter().map(|place| &self.kept[usize::from(*place)])
    }

    /// Index of the best one that changed since [`BestLevels::settle`].
    #[inline]
    pub(crate) fn first_changed(&self) -> usize {
        self.first_changed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Change = (i64, i64, u8);

    proptest! {
        /// Against a map: whatever was set, removed and forgotten, the best levels are those of the book, and a text that
        /// is kept is that of the level as it is.
        #[test]
        fn they_are_those_of_the_book(
            is_bid: bool,
            changes in prop::collection::vec((0_i64..120, 0_i64..3, 0_u8..3), 1..600),
            forgotten in prop::collection::vec(0_usize..600, 0..3),
            looks in prop::collection::vec(0_usize..600, 0..40),
        ) {
            let side = if is_bid { Side::Bid } else { Side::Ask };
            let (mut book, mut best) = (Book::new(1), BestLevels::new(side));
            let mut marks = std::collections::BTreeMap::new();
            let text = |&(price, qty, decimals): &Change| format!("{price} {qty} {decimals}");
            for (step, &(price, qty, mark)) in changes.iter().enumerate() {
                let decimals = Decimals { price: 0, qty: mark };
                book.set(side, price, qty);
                best.set(Level { price, qty }, decimals);
                if qty == 0 { marks.remove(&price); } else { marks.insert(price, (price, qty, mark)); }
                if forgotten.contains(&step) { best.forget(); }
                if !looks.contains(&step) && step + 1 < changes.len() { continue; }
                let wanted: Vec<Change> = if is_bid { marks.values().rev().copied().collect() }
                    else { marks.values().copied().collect() };
                best.read(25, &book, |level| Decimals { price: 0, qty: marks[&level.price].2 });
                prop_assert_eq!(best.count(25), wanted.len().min(25));
                for (index, want) in wanted.iter().take(25).enumerate() {
                    let level = best.level(index);
                    prop_assert_eq!((level.level.price, level.level.qty, level.decimals.qty), *want);
                    if let Some((kept, len)) = level.text() {
                        let now = text(want);
                        prop_assert_eq!(&kept[..len], now.as_bytes());
                    }
                    level.keep(text(want).as_bytes());
                }
            }
        }
    }
}
