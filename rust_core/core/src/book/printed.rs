//! How the numbers of a book's levels were printed, for checksums over the venue's text.

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

/// The decimals of every level of a book, kept beside it: a book of its own with the same prices, so that both sides are in
/// the same order, updates need no memory either, and a feed that does not declare them pays nothing.
#[derive(Clone, Debug)]
pub struct Printed(Book);

impl Printed {
    /// Of an empty book; `tick` as for [`Book::new`].
    #[must_use]
    pub fn new(tick: i64) -> Self {
        Self(Book::new(tick))
    }

    /// Notes how a level was printed; one without quantity is forgotten.
    #[inline]
    pub fn set(&mut self, side: Side, level: Level, decimals: Decimals) {
        let mark = IS_LEVEL | i64::from(decimals.price) << 8 | i64::from(decimals.qty);
        self.0.set(side, level.price, if level.qty == 0 { 0 } else { mark });
    }

    /// Forgets a level.
    pub fn remove(&mut self, side: Side, price: i64) {
        self.0.set(side, price, 0);
    }

    /// Forgets all levels.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Decimals of all levels of a side, best first: the order of [`Book::levels`].
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Decimals> + Clone + '_ {
        self.0.levels(side).map(|Level { qty: mark, .. }| {
            let [qty, price, ..] = mark.to_le_bytes();
            Decimals { price, qty }
        })
    }

    /// The prices became finer: as [`Book::rescale`]. What was printed stays.
    pub fn rescale(&mut self, price_factor: i64) -> Result<(), Overflow> {
        self.0.rescale(price_factor, 1)
    }

    /// As [`Book::set_tick`].
    pub fn set_tick(&mut self, tick: i64) {
        self.0.set_tick(tick);
    }

    /// As [`Book::reserve`].
    pub fn reserve(&mut self) {
        self.0.reserve();
    }
}
