//! How the numbers of a book's levels were printed, for checksums over the venue's text.

use super::best_levels::{BestLevel, BestLevels};
use super::{Book, Overflow};
use crate::event::{Level, Side};

/// Digits after the point as the venue printed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decimals {
    /// Of the price.
    pub price: u8,
    /// Of the quantity.
    pub qty: u8,
}

/// Set in the quantity that stands for [`Decimals`], so that those of whole numbers are a level too.
const IS_LEVEL: i64 = 1 << 16;

/// What stands for the decimals of a level.
fn mark(level: Level, decimals: Decimals) -> i64 {
    let mark = IS_LEVEL | i64::from(decimals.price) << 8 | i64::from(decimals.qty);
    if level.qty == 0 { 0 } else { mark }
}

/// The decimals of every level of a book, kept beside it: a book of its own with the same prices, so that both sides are in
/// the same order, updates need no memory either, and a feed that does not declare them pays nothing.
#[derive(Clone, Debug)]
pub struct Printed {
    marks: Book,
    bids: BestLevels,
    asks: BestLevels,
    /// The checksum that was last made over the best levels; a venue makes all of them alike.
    sum: i64,
}

impl Printed {
    /// Of an empty book; `tick` as for [`Book::new`].
    #[must_use]
    pub fn new(tick: i64) -> Self {
        let (bids, asks) = (BestLevels::new(Side::Bid), BestLevels::new(Side::Ask));
        Self { marks: Book::new(tick), bids, asks, sum: 0 }
    }

    /// Notes how a level was printed; one without quantity is forgotten.
    #[inline]
    pub fn set(&mut self, side: Side, level: Level, decimals: Decimals) {
        self.marks.set(side, level.price, mark(level, decimals));
        self.side(side).set(level, decimals);
    }

    /// Notes how a level of a whole book was printed, of which none is known yet. The best ones are looked at when they are
    /// asked for.
    #[inline]
    pub fn set_first(&mut self, side: Side, level: Level, decimals: Decimals) {
        self.marks.set(side, level.price, mark(level, decimals));
        self.side(side).forget();
    }

    /// Forgets a level.
    pub fn remove(&mut self, side: Side, price: i64) {
        self.set(side, Level { price, qty: 0 }, Decimals::default());
    }

    /// Whether no level is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Forgets all levels.
    pub fn clear(&mut self) {
        self.marks.clear();
        self.bids.clear();
        self.asks.clear();
    }

    fn side(&mut self, side: Side) -> &mut BestLevels {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }

    /// The checksum that was last made over the best `n` levels, if none of them has changed since.
    #[inline]
    pub(crate) fn sum(&self, n: usize) -> Option<i64> {
        (!self.bids.has_changed(n) && !self.asks.has_changed(n)).then_some(self.sum)
    }

    /// Keeps a checksum over the best levels as they are.
    pub(crate) fn keep_sum(&mut self, sum: i64) {
        self.bids.settle();
        self.asks.settle();
        self.sum = sum;
    }

    /// The best levels of both sides of `book`, the one that this stands beside, with their texts: bids and asks.
    pub(crate) fn best(&mut self, n: usize, book: &Book) -> (&mut [BestLevel], &mut [BestLevel]) {
        let marks = &self.marks;
        let decimals = |side| {
            marks.levels(side).map(|Level { qty: mark, .. }| {
                let [qty, price, ..] = mark.to_le_bytes();
                Decimals { price, qty }
            })
        };
        let bids = self.bids.best(n, book, decimals(Side::Bid));
        (bids, self.asks.best(n, book, decimals(Side::Ask)))
    }

    /// Prices or quantities became finer: as [`Book::rescale`] for prices. What was printed stays.
    pub fn rescale(&mut self, price_factor: i64) -> Result<(), Overflow> {
        self.bids.forget();
        self.asks.forget();
        self.marks.rescale(price_factor, 1)
    }

    /// As [`Book::set_tick`].
    pub fn set_tick(&mut self, tick: i64) {
        self.marks.set_tick(tick);
    }

    /// As [`Book::reserve`].
    pub fn reserve(&mut self) {
        self.marks.reserve();
        self.bids.reserve();
        self.asks.reserve();
    }
}
