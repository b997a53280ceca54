//! How the numbers of a book's levels were printed, for checksums over the venue's text.

use super::best_levels::BestLevels;
use super::{Book, Overflow};
use crate::decimal::has_zeros;
use crate::event::{Level, LevelExtra, Side};
use crate::fetch::fetch;
use crate::instrument::Scale;

/// Digits after the point as the venue printed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decimals {
    /// Of the price.
    pub price: u8,
    /// Of the quantity.
    pub qty: u8,
}

impl Decimals {
    pub(crate) fn of(extra: &LevelExtra) -> Self {
        Self { price: extra.price_decimals, qty: extra.qty_decimals }
    }
}

/// How a venue prints most numbers of a column: all with as many digits after the point, or none with a zero at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usual {
    Fixed(u8),
    Shortest,
}

impl Usual {
    /// The one that more of the numbers follow.
    fn of(numbers: &(impl ExactSizeIterator<Item = (i64, u8)> + Clone), exp: i8) -> Self {
        let Some((_, first)) = numbers.clone().next() else { return Self::Shortest };
        let fixed = Self::Fixed(first);
        let (mut as_fixed, mut as_shortest) = (0, 0);
        for (mantissa, decimals) in numbers.clone() {
            as_fixed += usize::from(fixed.is_followed(mantissa, exp, decimals));
            as_shortest += usize::from(Self::Shortest.is_followed(mantissa, exp, decimals));
        }
        if as_fixed >= as_shortest { fixed } else { Self::Shortest }
    }

    /// Whether a number that was printed with so many digits was printed so.
    #[inline]
    fn is_followed(self, mantissa: i64, exp: i8, decimals: u8) -> bool {
        match self {
            Self::Fixed(usual) => usual == decimals,
            Self::Shortest => {
                // What the exponent has beyond the text are zeros; the last digit of the text stands before them.
                let beyond = -i32::from(exp) - i32::from(decimals);
                let last = u32::try_from(beyond + 1).ok();
                decimals == 0
                    || last.is_some_and(|zeros| has_zeros(mantissa.unsigned_abs(), zeros) == Some(false))
            }
        }
    }

    /// The digits after the point of a number that was printed so.
    fn decimals(self, mantissa: i64, exp: i8) -> u8 {
        match self {
            Self::Fixed(usual) => usual,
            Self::Shortest => {
                let (mut rest, mut decimals) = (mantissa.unsigned_abs(), exp.min(0).unsigned_abs());
                while decimals > 0 && rest.is_multiple_of(10) {
                    rest /= 10;
                    decimals -= 1;
                }
                decimals
            }
        }
    }
}

/// Levels of a whole book by which it is told how most are printed: a wrong answer only makes the book of odd ones longer.
const USUAL_OF: usize = 32;

/// Set in the quantity that stands for [`Decimals`], so that those of whole numbers are a level too.
const IS_LEVEL: i64 = 1 << 16;

fn mark(decimals: Decimals) -> i64 {
    IS_LEVEL | i64::from(decimals.price) << 8 | i64::from(decimals.qty)
}

fn of_mark(mark: i64) -> Decimals {
    let [qty, price, ..] = mark.to_le_bytes();
    Decimals { price, qty }
}

/// The decimals of every level of a book, kept beside it. Those of the best levels stand with them. Of all behind: which way
/// most are printed, and a book of those that are not. It has their prices, so that both are in the same order. A feed
/// that does not declare them pays nothing.
#[derive(Clone, Debug)]
pub struct Printed {
    scale: Scale,
    price: Usual,
    qty: Usual,
    /// Those of levels that are among the best now may be of before.
    odd: Book,
    has_odd: bool,
    /// No level was told yet.
    is_new: bool,
    bids: BestLevels,
    asks: BestLevels,
    /// The checksum that was last made over the best levels; a venue makes all of them alike.
    sum: i64,
}

impl Printed {
    /// Of an empty book; `tick` as for [`Book::new`], `scale` is that of its numbers.
    #[must_use]
    pub fn new(tick: i64, scale: Scale) -> Self {
        Self {
            scale,
            price: Usual::Shortest,
            qty: Usual::Shortest,
            odd: Book::new(tick),
            has_odd: false,
            is_new: true,
            bids: BestLevels::new(Side::Bid),
            asks: BestLevels::new(Side::Ask),
            sum: 0,
        }
    }

    /// Notes how a level was printed; one without quantity is forgotten.
    #[inline(always)]
    pub fn set(&mut self, side: Side, level: Level, decimals: Decimals) {
        self.is_new = false;
        match self.side(side).set(level, decimals) {
            Some((level, decimals)) => self.note(side, level, decimals),
            // One that is no more may have been noted when it was behind.
            None if self.has_odd && level.qty == 0 => drop(self.odd.set(side, level.price, 0)),
            None => {}
        }
    }

    /// Notes how the levels of a whole book were printed, of which none is known yet; `extras` are of the bids, then
    /// of the asks.
    pub fn set_first(&mut self, bids: &[Level], asks: &[Level], extras: &[LevelExtra]) {
        debug_assert!(self.is_new);
        let sides = extras.split_at(bids.len());
        // The side with more levels tells more, and of it those that a venue names last: most are far from the best.
        let (levels, of) = if bids.len() > asks.len() { (bids, sides.0) } else { (asks, sides.1) };
        let numbers = levels.iter().zip(of).skip(levels.len().saturating_sub(USUAL_OF));
        self.price = Usual::of(
            &numbers.clone().map(|(level, of)| (level.price, of.price_decimals)),
            self.scale.price_exp,
        );
        self.qty = Usual::of(&numbers.map(|(level, of)| (level.qty, of.qty_decimals)), self.scale.qty_exp);
        for (side, levels, of) in [(Side::Bid, bids, sides.0), (Side::Ask, asks, sides.1)] {
            let known = self.side(side).begin(levels, of);
            self.is_new &= known == 0;
            for (level, extra) in levels.iter().zip(of).skip(known) {
                self.set(side, *level, Decimals::of(extra));
            }
        }
    }

    #[inline]
    fn note(&mut self, side: Side, level: Level, decimals: Decimals) {
        let is_usual = level.qty == 0
            || (self.price.is_followed(level.price, self.scale.price_exp, decimals.price)
                && self.qty.is_followed(level.qty, self.scale.qty_exp, decimals.qty));
        if !is_usual {
            self.odd.set(side, level.price, mark(decimals));
            self.has_odd = true;
        } else if self.has_odd {
            self.odd.set(side, level.price, 0);
        }
    }

    /// Forgets a level.
    pub fn remove(&mut self, side: Side, price: i64) {
        self.set(side, Level { price, qty: 0 }, Decimals::default());
    }

    /// Whether no level was told since the book was empty.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Reads what the best levels of an empty book are put into.
    #[inline]
    pub(crate) fn fetch(&self) {
        fetch(self.sum);
        self.bids.fetch();
        self.asks.fetch();
    }

    /// Forgets all levels.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.has_odd) {
            self.odd.clear();
        }
        self.is_new = true;
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

    /// The levels of both sides, of which the best `n` of `book`, the one that this stands beside, are there: bids and asks.
    #[inline]
    pub(crate) fn best(&mut self, n: usize, book: &Book) -> (&mut BestLevels, &mut BestLevels) {
        for side in [Side::Bid, Side::Ask] {
            if self.side(side).lacks(n) {
                self.read(side, book);
            }
        }
        (&mut self.bids, &mut self.asks)
    }

    /// Reads the best levels of a side that are not at hand.
    #[cold]
    fn read(&mut self, side: Side, book: &Book) {
        let Self { scale, price, qty, odd, bids, asks, .. } = self;
        let best = if side == Side::Bid { bids } else { asks };
        let mut odd = odd.levels(side).peekable();
        let is_better = |one: i64, other: i64| if side == Side::Bid { one > other } else { one < other };
        best.read(book, |level| {
            while odd.next_if(|odd| is_better(odd.price, level.price)).is_some() {}
            match odd.next_if(|odd| odd.price == level.price) {
                Some(odd) => of_mark(odd.qty),
                None => Decimals {
                    price: price.decimals(level.price, scale.price_exp),
                    qty: qty.decimals(level.qty, scale.qty_exp),
                },
            }
        });
    }

    /// Prices and quantities became finer: as [`Book::rescale`]. What was printed stays.
    pub fn rescale(&mut self, price_factor: i64, scale: &Scale) -> Result<(), Overflow> {
        for side in [Side::Bid, Side::Ask] {
            for (level, decimals) in self.side(side).forget() {
                self.note(side, level, decimals);
            }
        }
        self.odd.rescale(price_factor, 1)?;
        self.scale = *scale;
        Ok(())
    }

    /// As [`Book::set_tick`].
    pub fn set_tick(&mut self, tick: i64) {
        self.odd.set_tick(tick);
    }

    /// As [`Book::reserve`].
    pub fn reserve(&mut self) {
        self.odd.reserve();
        self.bids.reserve();
        self.asks.reserve();
    }
}
