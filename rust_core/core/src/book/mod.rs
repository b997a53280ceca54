//! L2 book of one instrument: every level of both sides, in integer mantissas.
//!
//! Each side keeps the busy ticks around its best price in arrays and the rest in an ordered map; see `ladder.rs`
//! for how the arrays follow the market. The tick only makes a book fast: prices off its grid,
//! negative prices and any other `i64` are kept as well.

mod best_levels;
mod far;
mod ladder;
mod printed;
mod window;

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

pub(crate) use self::best_levels::{BestLevels, LevelText, TEXT_ROOM};
use self::ladder::Ladder;
pub use self::printed::{Decimals, Printed};
use crate::event::{Level, Side};
use crate::wire::digest;

/// A mantissa would leave the range of `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mantissa of the book does not fit into 64 bits at the finer exponent")
    }
}

impl std::error::Error for Overflow {}

/// Both sides of a book at full depth.
///
/// An update costs 5 to 10 ns where the book is busy and 30 to 60 elsewhere. An empty book takes 1.5 KiB, one of 1,000 busy levels about 30 KiB,
/// and the pages of a book never take more than 262 KiB.
///
/// ```
/// use outcrier_core::book::Book;
/// use outcrier_core::event::{Level, Side};
///
/// let mut book = Book::new(1);
/// book.set(Side::Bid, 100, 5);
/// book.set(Side::Bid, 99, 7);
/// book.set(Side::Ask, 101, 3);
/// assert_eq!(book.best(Side::Bid), Some(Level { price: 100, qty: 5 }));
/// assert_eq!(book.set(Side::Bid, 100, 0), 5);
/// assert_eq!(book.best(Side::Bid), Some(Level { price: 99, qty: 7 }));
/// assert!(!book.is_crossed());
/// ```
#[derive(Clone, Debug)]
pub struct Book {
    bids: Ladder,
    asks: Ladder,
}

impl Book {
    /// An empty book. `tick` is the mantissa of the tick size at the price exponent; 0 = the venue names none,
    /// then the grid comes from the prices seen. A wrong tick costs speed only.
    #[must_use]
    pub fn new(tick: i64) -> Self {
        Self { bids: Ladder::new(-1, tick), asks: Ladder::new(0, tick) }
    }

    fn side(&self, side: Side) -> &Ladder {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    /// Sets the absolute quantity of a level, 0 deletes it; returns the old quantity, 0 if there was no level.
    ///
    /// Deleting a level that is not there is no error: venues do it. `qty` is never negative (the decoder
    /// refuses it). Inside the window it allocates nothing.
    #[inline]
    pub fn set(&mut self, side: Side, price: i64, qty: i64) -> i64 {
        debug_assert!(qty >= 0, "a negative quantity reached the book: {qty}");
        match side {
            Side::Bid => self.bids.set(price, qty),
            Side::Ask => self.asks.set(price, qty),
        }
    }

    /// Sets levels of a side one after the other.
    pub fn set_all(&mut self, side: Side, levels: &[Level]) {
        debug_assert!(levels.iter().all(|level| level.qty >= 0), "a negative quantity reached the book");
        match side {
            Side::Bid => self.bids.set_all(levels),
            Side::Ask => self.asks.set_all(levels),
        }
    }

    /// The quantity of a level, 0 if there is none.
    #[inline]
    #[must_use]
    pub fn get(&self, side: Side, price: i64) -> i64 {
        self.side(side).get(price)
    }

    /// Removes all levels and keeps the memory of the pages: a snapshot usually follows.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Reads what the first levels of an empty book are put into.
    #[inline]
    pub(crate) fn fetch(&self) {
        self.bids.fetch();
        self.asks.fetch();
    }

    /// Number of levels of a side.
    #[must_use]
    pub fn len(&self, side: Side) -> usize {
        self.side(side).len()
    }

    /// Whether neither side has a level.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bids.len() == 0 && self.asks.len() == 0
    }

    /// The best level of a side.
    #[inline]
    #[must_use]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.side(side).best()
    }

    /// The worst level of a side.
    #[must_use]
    pub fn worst(&self, side: Side) -> Option<Level> {
        self.side(side).worst()
    }

    /// The `n` best levels of a side, best first.
    pub fn top(&self, side: Side, n: usize) -> impl Iterator<Item = Level> + Clone + '_ {
        self.levels(side).take(n)
    }

    /// All levels of a side, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = Level> + Clone + '_ {
        self.side(side).levels()
    }

    /// The levels of both sides, bids first, each best first.
    #[must_use]
    pub fn all_levels(&self) -> Vec<Level> {
        let mut all = Vec::new();
        self.copy_to(&mut all);
        all
    }

    /// Puts them in place of what is in `all`.
    pub fn copy_to(&self, all: &mut Vec<Level>) {
        all.clear();
        all.reserve(self.len(Side::Bid) + self.len(Side::Ask));
        self.bids.copy_to(all);
        self.asks.copy_to(all);
    }

    /// Whether the best bid is above the best ask.
    #[must_use]
    pub fn is_crossed(&self) -> bool {
        self.touch().is_some_and(|(bid, ask)| bid > ask)
    }

    /// Whether the best bid equals the best ask.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.touch().is_some_and(|(bid, ask)| bid == ask)
    }

    /// Best bid and best ask, where there are both.
    pub(crate) fn touch(&self) -> Option<(i64, i64)> {
        Some((self.bids.best()?.price, self.asks.best()?.price))
    }

    /// CRC32C of the `depth` best levels of each side, or of all: "Checksum. Ours" of the wire format.
    ///
    /// The bytes: u16 bids counted, u16 asks counted (both saturate), then bids and then asks, best first, each
    /// i64 price and i64 quantity, little-endian.
    #[must_use]
    pub fn checksum(&self, depth: Option<usize>) -> u32 {
        let mut crc = 0;
        self.digest_bytes(depth.unwrap_or(usize::MAX), |bytes| {
            crc = crc32c::crc32c_append(crc, bytes);
        });
        crc
    }

    /// XXH3-64, seed 0, of the bytes of [`Book::checksum`] over all levels.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut hash = Xxh3::new();
        self.digest_bytes(usize::MAX, |bytes| hash.update(bytes));
        hash.digest()
    }

    fn digest_bytes(&self, depth: usize, take: impl FnMut(&[u8])) {
        let side = |side| (self.len(side).min(depth), self.top(side, depth));
        digest::book_bytes(side(Side::Bid), side(Side::Ask), take);
    }

    /// Multiplies every price, quantity and the tick: the instrument's exponents became finer.
    ///
    /// Factors are powers of ten of at least 1. If a product does not fit, or a factor is below 1, the book is
    /// unchanged. Costs time for all levels; exponents change a few times in an instrument's life.
    pub fn rescale(&mut self, price_factor: i64, qty_factor: i64) -> Result<(), Overflow> {
        if price_factor < 1 || qty_factor < 1 {
            return Err(Overflow);
        }
        let bids = self.bids.rescaled(price_factor, qty_factor)?;
        self.asks = self.asks.rescaled(price_factor, qty_factor)?;
        self.bids = bids;
        Ok(())
    }

    /// Names another tick, 0 = none; the windows follow at once where it serves.
    pub fn set_tick(&mut self, tick: i64) {
        self.bids.set_tick(tick);
        self.asks.set_tick(tick);
    }

    /// Takes memory ahead: from here on updates need none, unless the levels far from the touch grow by a quarter. Belongs to
    /// the moments in which a whole book arrives.
    pub fn reserve(&mut self) {
        self.bids.reserve();
        self.asks.reserve();
    }

    /// Bytes that the book holds, its own included; memory that was asked for and never used is not counted, as a system
    /// gives it when it is written first.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.bids.memory_bytes() + self.asks.memory_bytes()
    }
}
