//! Auctions: one price for all that has collected.
//!
//! The price is the one at which most trades; of several, the one that leaves the least surplus; if all of those leave one on the same
//! side, the highest where buyers are left over and the lowest where sellers are; otherwise the one closest to the reference. These are
//! the steps of Xetra and LSE. Looked at is every price on the tick from the lowest to the highest among the limits and the reference.
//!
//! ```text
//! limits, ascending     p0        p1              p2
//! candidates            p0 (p0,p1) p1  (p1 .. p2)  p2      quantities change at limits only
//! ```

use std::cmp::Reverse;

use super::{Engine, Event, Fill, Liquidity, Output, Why, Working};
use crate::event::Side;
use crate::orders::Order;

/// What an auction would give now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Indicative {
    /// Price mantissa.
    pub price: i64,
    /// What trades.
    pub qty: i64,
    /// What is left over at that price or a better one: above zero of buyers, below of sellers.
    pub surplus: i64,
}

/// Quantities whose limit is one price.
#[derive(Clone, Copy, Debug)]
struct Point {
    price: i64,
    bids: i64,
    asks: i64,
}

/// Prices with the same outcome.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    low: i64,
    high: i64,
    qty: i64,
    surplus: i64,
}

impl Candidate {
    fn new(low: i64, high: i64, buys: i64, sells: i64) -> Self {
        Self { low, high, qty: buys.min(sells), surplus: buys - sells }
    }

    /// The higher, the more it is wanted.
    fn merit(&self) -> (i64, Reverse<u64>) {
        (self.qty, Reverse(self.surplus.unsigned_abs()))
    }
}

/// The order of a side that an auction fills next.
#[derive(Clone, Copy)]
enum Next {
    Unpriced(Working),
    Shown(Order),
}

impl Next {
    fn qty(&self) -> i64 {
        match self {
            Next::Unpriced(working) => working.leaves(),
            Next::Shown(order) => order.qty,
        }
    }
}

impl Engine {
    /// What an auction would give now; `None` = nothing would trade. Looks at every order that is shown.
    #[must_use]
    pub fn indicative(&self) -> Option<Indicative> {
        let candidates = self.candidates();
        let most = candidates.iter().map(Candidate::merit).max().filter(|(qty, _)| *qty > 0)?;
        let best = || candidates.iter().filter(|candidate| candidate.merit() == most);
        let (low, high) = (best().next()?.low, best().next_back()?.high);
        let target = if best().all(|candidate| candidate.surplus > 0) {
            high
        } else if best().all(|candidate| candidate.surplus < 0) {
            low
        } else {
            self.reference_price().unwrap_or_else(|| self.middle(low, high))
        };
        // Of two that are as close, the higher one.
        let closest = |candidate: &Candidate| {
            let price = target.clamp(candidate.low, candidate.high);
            (Reverse(price.abs_diff(target)), price, candidate.qty, candidate.surplus)
        };
        best().map(closest).max().map(|(_, price, qty, surplus)| Indicative { price, qty, surplus })
    }

    /// Trades all that an auction trades, market orders first, and cancels market orders that are left. There is no self-trade
    /// prevention here: nobody came.
    pub(super) fn uncross(&mut self, out: &mut Output) {
        if let Some(auction) = self.indicative() {
            let mut left = auction.qty;
            while left > 0
                && let (Some(buy), Some(sell)) = (self.next(Side::Bid), self.next(Side::Ask))
            {
                let qty = left.min(buy.qty()).min(sell.qty());
                let fill = self.print(auction.price, qty, Liquidity::Auction, Side::Bid, out);
                self.fill_next(Side::Bid, &buy, fill, out);
                self.fill_next(Side::Ask, &sell, fill, out);
                left -= qty;
            }
            debug_assert_eq!(left, 0, "the quantity of an auction is there");
        }
        for side in [Side::Bid, Side::Ask] {
            while let Some((_, &id)) = self.unpriced[side.index()].first_key_value() {
                let working = self.take_out(id, out);
                self.end(&working, Event::Cancelled(Why::Unfilled), out);
            }
        }
    }

    fn next(&self, side: Side) -> Option<Next> {
        match self.unpriced[side.index()].first_key_value() {
            Some((_, id)) => Some(Next::Unpriced(self.working[id])),
            None => self.front(side).map(Next::Shown),
        }
    }

    fn fill_next(&mut self, side: Side, next: &Next, fill: Fill, out: &mut Output) {
        match next {
            Next::Shown(order) => self.fill_shown(order, fill, out),
            Next::Unpriced(working) => {
                if self.fill(working.order.id, side, fill, out).leaves() == 0 {
                    self.unpriced[side.index()].remove(&working.seq);
                }
            }
        }
    }

    /// All prices there are to choose from, ascending.
    fn candidates(&self) -> Vec<Candidate> {
        let points = self.points();
        let mut candidates = Vec::with_capacity(2 * points.len());
        let mut buys = self.unpriced_qty(Side::Bid) + points.iter().map(|point| point.bids).sum::<i64>();
        let mut sells = self.unpriced_qty(Side::Ask);
        for (at, point) in points.iter().enumerate() {
            sells += point.asks;
            candidates.push(Candidate::new(point.price, point.price, buys, sells));
            buys -= point.bids;
            if let Some(next) = points.get(at + 1) {
                let (low, high) = (point.price + self.rules.tick, next.price - self.rules.tick);
                if low <= high {
                    candidates.push(Candidate::new(low, high, buys, sells));
                }
            }
        }
        candidates
    }

    /// The limits with what stands there, hidden quantity included, and the reference; ascending.
    fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::new();
        for side in [Side::Bid, Side::Ask] {
            for order in self.book.queues().orders(side) {
                let qty = order.qty + self.working[&order.id].hidden;
                let (bids, asks) = if side == Side::Bid { (qty, 0) } else { (0, qty) };
                points.push(Point { price: order.price, bids, asks });
            }
        }
        points.extend(self.reference_price().map(|price| Point { price, bids: 0, asks: 0 }));
        points.sort_unstable_by_key(|point| point.price);
        points.dedup_by(|later, kept| {
            let is_same = later.price == kept.price;
            if is_same {
                kept.bids += later.bids;
                kept.asks += later.asks;
            }
            is_same
        });
        points
    }

    fn unpriced_qty(&self, side: Side) -> i64 {
        self.unpriced[side.index()].values().map(|id| self.working[id].leaves()).sum()
    }

    fn reference_price(&self) -> Option<i64> {
        self.reference.or(self.last).filter(|price| !self.is_outside(*price))
    }

    /// The middle of two prices on the tick, rounded down to it.
    fn middle(&self, low: i64, high: i64) -> i64 {
        let half = high.abs_diff(low) / 2;
        low.saturating_add_unsigned(half - half % self.rules.tick.unsigned_abs())
    }
}
