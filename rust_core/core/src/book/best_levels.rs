//! The best levels of a side with the text that a venue's checksum is over, so that a change of one level writes one text.

use super::Book;
use super::printed::Decimals;
use crate::event::{Level, LevelExtra, Side};
use crate::fetch::fetch;

/// Levels kept at hand: the 25 that a checksum takes at most, and some that come to the front when those go, so that
/// the book is rarely read for more.
const LEVELS_MAX: usize = 64;
/// Levels whose memory is fetched before they come: as many as the shortest checksum takes.
const FETCHED_LEVELS: usize = 10;
/// Longest text that is kept. A price and a quantity of most venues take less than 30; a longer one is written each time.
const TEXT_MAX: usize = TEXT_ROOM - 1;
/// Bytes of a text and, in the last one, of how many it has: that they are copied as a whole makes the copy two words of a
/// processor.
pub(crate) const TEXT_ROOM: usize = 32;

/// A text in its buffer of constant length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LevelText([u8; TEXT_ROOM]);

impl LevelText {
    const EMPTY: LevelText = LevelText([0; TEXT_ROOM]);

    /// The whole buffer, which the text begins, and how long the text is.
    #[inline]
    pub(crate) fn get(&self) -> (&[u8; TEXT_ROOM], usize) {
        (&self.0, usize::from(self.0[TEXT_MAX]))
    }
}

/// A level and how it was printed.
#[derive(Clone, Copy, Debug)]
struct Known {
    level: Level,
    decimals: Decimals,
}

impl Known {
    const EMPTY: Known = Known { level: Level { price: 0, qty: 0 }, decimals: Decimals { price: 0, qty: 0 } };
}

/// What a side has before its first level.
static NO_TEXTS: [LevelText; LEVELS_MAX] = [LevelText::EMPTY; LEVELS_MAX];

/// Each place by its number.
const IN_ORDER: [u8; LEVELS_MAX] = {
    let mut places = [0; LEVELS_MAX];
    let mut number = 0;
    while number < LEVELS_MAX {
        places[number] = number as u8;
        number += 1;
    }
    places
};

/// The best levels of one side, best first: a level that comes or goes moves keys and places, and no text.
#[derive(Clone, Debug)]
pub(crate) struct BestLevels {
    side: Side,
    /// Of the levels, rising from the best one on.
    keys: Vec<i64>,
    /// Where each of them is kept; behind those the places that are free.
    places: [u8; LEVELS_MAX],
    /// By place: the levels, and texts that were written ever.
    kept: Vec<Known>,
    texts: Vec<LevelText>,
    /// Bit by index: the level has no text of its own yet.
    unwritten: u64,
    /// The side has no other levels.
    is_all: bool,
    /// Index of the best one that changed since [`BestLevels::settle`].
    first_changed: usize,
}

impl BestLevels {
    pub(super) fn new(side: Side) -> Self {
        Self {
            side,
            keys: Vec::new(),
            places: IN_ORDER,
            kept: Vec::new(),
            texts: Vec::new(),
            unwritten: 0,
            is_all: true,
            first_changed: 0,
        }
    }

    #[inline]
    fn key(&self, price: i64) -> i64 {
        self.side.key(price)
    }

    /// Takes a change of a level. Gives the level that is not kept: this one, or the one that it pushed out.
    #[inline(always)]
    pub(super) fn set(&mut self, level: Level, decimals: Decimals) -> Option<(Level, Decimals)> {
        let key = self.key(level.price);
        // Most levels of a deep book are behind all of these, and those of a whole one come in order.
        let is_behind = self.keys.last().is_none_or(|worst| *worst < key);
        if !is_behind {
            let at = self.keys.partition_point(|known| *known < key);
            return self.set_at(at, key, level, decimals);
        }
        if self.keys.len() == LEVELS_MAX || !self.is_all {
            self.is_all &= level.qty == 0;
            return Some((level, decimals));
        }
        if level.qty != 0 {
            self.append(key, level, decimals);
        }
        None
    }

    /// The same of one that is not behind all that are kept: it belongs at `at`.
    fn set_at(&mut self, at: usize, key: i64, level: Level, decimals: Decimals) -> Option<(Level, Decimals)> {
        let mut pushed_out = None;
        if self.keys.get(at) == Some(&key) {
            if level.qty == 0 {
                self.remove(at);
            } else {
                let known = &mut self.kept[usize::from(self.places[at])];
                if known.level.qty == level.qty && known.decimals == decimals {
                    return None;
                }
                *known = Known { level, decimals };
                self.unwritten |= 1 << at;
            }
        } else {
            if level.qty == 0 {
                return None;
            }
            if self.keys.len() == LEVELS_MAX {
                self.is_all = false;
                pushed_out = Some(self.level(LEVELS_MAX - 1));
                self.keys.pop();
            }
            self.insert(at, key, level, decimals);
        }
        self.first_changed = self.first_changed.min(at);
        pushed_out
    }

    /// Takes the first levels of a whole book, as long as they come in order and there is room, of a side that has none; gives
    /// how many it took.
    pub(super) fn begin(&mut self, levels: &[Level], extras: &[LevelExtra]) -> usize {
        debug_assert!(self.keys.is_empty());
        self.is_all = true;
        self.reserve();
        self.places = IN_ORDER;
        let (mut count, mut before) = (0, None);
        for ((level, extra), kept) in levels.iter().zip(extras).zip(&mut self.kept) {
            let key = self.side.key(level.price);
            if level.qty == 0 || before.is_some_and(|before| before >= key) {
                break;
            }
            self.keys.push(key);
            *kept = Known { level: *level, decimals: Decimals::of(extra) };
            before = Some(key);
            count += 1;
        }
        self.unwritten = u64::MAX;
        self.first_changed = 0;
        count
    }

    /// A level behind all others, of which there are fewer than are kept.
    #[inline]
    fn append(&mut self, key: i64, level: Level, decimals: Decimals) {
        let at = self.keys.len();
        self.keys.push(key);
        if self.kept.is_empty() {
            self.reserve();
        }
        self.kept[usize::from(self.places[at])] = Known { level, decimals };
        self.unwritten |= 1 << at;
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
            self.reserve();
        }
        self.kept[usize::from(place)] = Known { level, decimals };
        let before = (1 << at) - 1;
        self.unwritten = self.unwritten & before | (self.unwritten & !before) << 1 | 1 << at;
    }

    #[inline]
    fn remove(&mut self, at: usize) {
        self.keys.remove(at);
        let place = self.places[at];
        let free = self.keys.len();
        self.places.copy_within(at + 1..=free, at);
        self.places[free] = place;
        let before = (1 << at) - 1;
        self.unwritten = self.unwritten & before | (self.unwritten >> 1) & !before;
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

    /// Reads what the first levels of an empty side are put into.
    #[inline]
    pub(super) fn fetch(&self) {
        // Two of either are a line of the cache.
        self.kept.iter().take(FETCHED_LEVELS).step_by(2).for_each(|known| fetch(known.level.price));
        self.texts.iter().take(FETCHED_LEVELS).step_by(2).for_each(|text| fetch(text.0[0]));
        fetch([self.places[0], self.places[LEVELS_MAX - 1]]);
        fetch(self.first_changed);
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.is_all = true;
        self.first_changed = 0;
    }

    /// Forgets what it has, because numbers or order changed: it has to be read anew. Gives the levels as they were.
    pub(super) fn forget(&mut self) -> Vec<(Level, Decimals)> {
        let known = (0..self.keys.len()).map(|index| self.level(index)).collect();
        self.keys.clear();
        self.is_all = false;
        self.first_changed = 0;
        known
    }

    pub(super) fn reserve(&mut self) {
        self.keys.reserve_exact(LEVELS_MAX - self.keys.len());
        self.kept.resize(LEVELS_MAX, Known::EMPTY);
        self.texts.resize(LEVELS_MAX, LevelText::EMPTY);
    }

    /// Whether some of the best `n` levels may have to be read from the book.
    #[inline]
    pub(super) fn lacks(&self, n: usize) -> bool {
        debug_assert!(n < LEVELS_MAX);
        self.keys.len() < n && !self.is_all
    }

    /// Reads the levels that it has room for from `book`; `decimals` gives those of a level, which are asked for in order.
    /// What is there stays, with its text.
    pub(super) fn read(&mut self, book: &Book, mut decimals: impl FnMut(Level) -> Decimals) {
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

    /// One of them, and how it was printed.
    #[inline]
    pub(crate) fn level(&self, index: usize) -> (Level, Decimals) {
        let Known { level, decimals } = self.kept[usize::from(self.places[index])];
        (level, decimals)
    }

    /// Bit by index: those of the best `n` levels, fewer than are kept, that have no text.
    #[inline]
    pub(crate) fn unwritten(&self, n: usize) -> u64 {
        self.unwritten & ((1 << self.count(n)) - 1)
    }

    /// Keeps the text of a level, which `write` puts into its place and gives the length of, because bytes that are copied
    /// right after they were written wait. `false`: it is too long.
    #[inline(always)]
    pub(crate) fn keep(
        &mut self,
        index: usize,
        write: impl FnOnce(&mut [u8; TEXT_ROOM]) -> Option<usize>,
    ) -> bool {
        let LevelText(room) = &mut self.texts[usize::from(self.places[index])];
        let Some(len) = write(room).filter(|len| *len <= TEXT_MAX) else { return false };
        room[TEXT_MAX] = len as u8;
        self.unwritten &= !(1 << index);
        true
    }

    /// The texts of some levels that have theirs, best first.
    #[inline]
    pub(crate) fn texts(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = &LevelText> {
        // A place is always below the constant length, which the compiler sees by this.
        let texts = self.texts.first_chunk::<LEVELS_MAX>().unwrap_or(&NO_TEXTS);
        self.places[range].iter().map(|place| &texts[usize::from(*place) % LEVELS_MAX])
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
                match best.set(Level { price, qty }, decimals) {
                    Some((level, decimals)) => {
                        prop_assert!(!best.keys.contains(&best.key(level.price)));
                        let is_this = level.price == price;
                        let as_it_is = if is_this { (price, qty, mark) } else { marks[&level.price] };
                        prop_assert_eq!((level.price, level.qty, decimals.qty), as_it_is);
                    }
                    None => prop_assert!(qty == 0 || best.keys.contains(&best.key(price))),
                }
                if qty == 0 { marks.remove(&price); } else { marks.insert(price, (price, qty, mark)); }
                if forgotten.contains(&step) {
                    let known = best.forget();
                    let is_known = |(level, decimals): &(Level, Decimals)| {
                        marks.get(&level.price) == Some(&(level.price, level.qty, decimals.qty))
                    };
                    prop_assert!(known.iter().all(is_known));
                }
                if !looks.contains(&step) && step + 1 < changes.len() { continue; }
                let wanted: Vec<Change> = if is_bid { marks.values().rev().copied().collect() }
                    else { marks.values().copied().collect() };
                if best.lacks(25) {
                    best.read(&book, |level| Decimals { price: 0, qty: marks[&level.price].2 });
                }
                prop_assert_eq!(best.count(25), wanted.len().min(25));
                let unwritten = best.unwritten(25);
                for (index, want) in wanted.iter().take(25).enumerate() {
                    let (level, decimals) = best.level(index);
                    prop_assert_eq!((level.price, level.qty, decimals.qty), *want);
                    let now = text(want);
                    if unwritten & 1 << index == 0 {
                        let (kept, len) = best.texts(index..index + 1).next().unwrap().get();
                        prop_assert_eq!(&kept[..len], now.as_bytes());
                    }
                    prop_assert!(!best.keep(index, |_| Some(TEXT_ROOM)), "no room for how long it is");
                    prop_assert_eq!(best.unwritten(25), unwritten >> index << index);
                    let write = |room: &mut [u8; TEXT_ROOM]| {
                        room[..now.len()].copy_from_slice(now.as_bytes());
                        Some(now.len())
                    };
                    prop_assert!(best.keep(index, write));
                }
                prop_assert_eq!(best.unwritten(25), 0);
            }
        }
    }
}
