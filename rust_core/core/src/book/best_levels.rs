//! The best levels of a side with the text that a venue's checksum is over, so that a change of one level writes one text.

use super::Book;
use super::printed::Decimals;
use crate::event::{Level, Side};

/// Levels kept at hand: the 25 that a checksum takes at most, and some that come to the front when those go.
const LEVELS_MAX: usize = 40;
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
    fn new(level: Level, decimals: Decimals) -> Self {
        Self { level, decimals, len: 0, text: [0; TEXT_MAX] }
    }

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

/// The best levels of one side, best first.
#[derive(Clone, Debug)]
pub(super) struct BestLevels {
    side: Side,
    levels: Vec<BestLevel>,
    /// The side has no other levels.
    is_all: bool,
    /// Index of the best one that changed since [`BestLevels::settle`].
    first_changed: usize,
}

impl BestLevels {
    pub(super) fn new(side: Side) -> Self {
        Self { side, levels: Vec::new(), is_all: true, first_changed: 0 }
    }

    pub(super) fn set(&mut self, level: Level, decimals: Decimals) {
        let order = |price: i64| if self.side == Side::Bid { !price } else { price };
        // Most levels of a whole book are behind all of these.
        if let [.., worst] = &self.levels[..]
            && order(worst.level.price) < order(level.price)
            && (self.levels.len() == LEVELS_MAX || !self.is_all)
        {
            self.is_all &= level.qty == 0;
            return;
        }
        let at = self.levels.partition_point(|known| order(known.level.price) < order(level.price));
        let is_last = at == self.levels.len();
        match self.levels.get_mut(at).filter(|known| known.level.price == level.price) {
            Some(_) if level.qty == 0 => drop(self.levels.remove(at)),
            Some(known) if known.level.qty == level.qty && known.decimals == decimals => return,
            Some(known) => *known = BestLevel { level, decimals, len: 0, ..*known },
            None if level.qty == 0 || (is_last && !self.is_all) => return,
            None => {
                if self.levels.len() == LEVELS_MAX {
                    self.is_all = false;
                    if at == LEVELS_MAX {
                        return;
                    }
                    self.levels.pop();
                }
                self.levels.insert(at, BestLevel::new(level, decimals));
            }
        }
        self.first_changed = self.first_changed.min(at);
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
        self.levels.clear();
        self.is_all = true;
        self.first_changed = 0;
    }

    /// Forgets what it has, because numbers or order changed: the next `best` reads it anew.
    pub(super) fn forget(&mut self) {
        self.levels.clear();
        self.is_all = false;
        self.first_changed = 0;
    }

    pub(super) fn reserve(&mut self) {
        self.levels.reserve_exact(LEVELS_MAX - self.levels.len());
    }

    /// The best `n` levels; `decimals` are those of all levels of the side in `book`.
    #[inline]
    pub(super) fn best(
        &mut self,
        n: usize,
        book: &Book,
        decimals: impl Iterator<Item = Decimals>,
    ) -> &mut [BestLevel] {
        debug_assert!(n < LEVELS_MAX);
        if self.levels.len() < n && !self.is_all {
            let all =
                book.levels(self.side).zip(decimals).map(|(level, printed)| BestLevel::new(level, printed));
            self.levels.clear();
            self.levels.extend(all.take(LEVELS_MAX));
            self.is_all = book.len(self.side) <= LEVELS_MAX;
        }
        let n = n.min(self.levels.len());
        &mut self.levels[..n]
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
                let decimals = wanted.iter().map(|level| Decimals { price: 0, qty: level.2 });
                let found = best.best(25, &book, decimals);
                prop_assert_eq!(found.len(), wanted.len().min(25));
                for (level, want) in found.iter_mut().zip(&wanted) {
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
