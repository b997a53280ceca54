//! Levels outside of the window of a venue that tells the best so many of a side.
//!
//! A level that better ones push out of the window is not gone: nobody is told of it any more. Its orders leave the book, which has
//! the venue's levels, and are kept aside. When the level is told again they are back with their numbers, times and places, and
//! what its quantity has lost or gained meanwhile is cancelled or joins as ever. A level that is passed and not told was cancelled outside.

use std::collections::{BTreeMap, HashMap};

use super::{Inference, flags};
use crate::event::{Level, ORDER_CONFIDENCE_SHIFT, RestingOrder, Side, order_op};
use crate::orders::queues::Order;
use crate::orders::watch::{Ahead, WatchId};

/// Levels of a side that are kept; of more the farthest are forgotten. The recordings have 170 at most, both sides.
const LEVELS_MAX: usize = 256;

/// Orders of both sides that are kept: 0.2 MB. The recordings have 679 at most.
const ORDERS_MAX: usize = 4_096;

/// What left so long ago is forgotten: nobody measured what is left of it then.
const OLD_NS: i64 = 3_600_000_000_000;

/// Outside for so long an order has half of its confidence, where its level has the quantity that it had. 0.999 of that was of the same
/// orders until 10 s, 0.96 to 1 until a minute, 0.91 to 0.99 until five, 0.80 to 0.99 until half an hour (docs/l3.md).
const HALF_NS: f64 = 3_600e9;

/// The same where the quantity is another one, and its part at once: 0.6 to 1 until 10 s, 0.4 to 1 until a minute, 0.2 to 1 until five.
const HALF_OF_OTHER_NS: f64 = 600e9;
const OTHER: f64 = 0.8;

/// The price of the last level of a side that has as many as the venue tells, bids and asks; `None` = it has fewer, and all is told.
pub type Edges = [Option<i64>; 2];

/// The orders of a level when it left.
#[derive(Clone, Debug)]
struct Aside {
    /// Front first.
    orders: Vec<Order>,
    qty: i64,
    since: i64,
}

/// Levels that left the window.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    /// By [`key`].
    sides: [BTreeMap<i64, Aside>; 2],
    /// The first key of each side: a level within, as most are, is not looked up.
    nearest: [i64; 2],
    /// Of all levels of a side.
    orders: [usize; 2],
}

impl Default for Outside {
    fn default() -> Self {
        Self { sides: Default::default(), nearest: [NONE; 2], orders: [0; 2] }
    }
}

/// The key of no level.
const NONE: i64 = i64::MAX;

/// Smaller is nearer to the best level.
fn key((side, price): (Side, i64)) -> i64 {
    side.key(price)
}

fn price_of(side: Side, key: i64) -> i64 {
    side.key(key)
}

impl Outside {
    fn get(&self, level: (Side, i64)) -> Option<&Aside> {
        self.sides[level.0.index()].get(&key(level))
    }

    fn put(&mut self, level: (Side, i64), aside: Aside) {
        let (side, key) = (level.0.index(), key(level));
        self.orders[side] += aside.orders.len();
        self.nearest[side] = self.nearest[side].min(key);
        self.sides[side].insert(key, aside);
    }

    /// Whether a level is better than all that are kept.
    #[inline]
    fn is_within(&self, level: (Side, i64)) -> bool {
        key(level) < self.nearest[level.0.index()]
    }

    #[inline]
    fn take(&mut self, level: (Side, i64)) -> Option<Aside> {
        if self.is_within(level) { None } else { self.take_known(level) }
    }

    fn take_known(&mut self, level: (Side, i64)) -> Option<Aside> {
        let side = level.0.index();
        let aside = self.sides[side].remove(&key(level))?;
        self.orders[side] -= aside.orders.len();
        self.nearest[side] = self.sides[side].first_key_value().map_or(NONE, |(key, _)| *key);
        Some(aside)
    }

    /// The farthest level of the side that has too many, levels or orders.
    fn excess(&self) -> Option<(Side, i64)> {
        let [bids, asks] = self.orders;
        let most = if bids > asks { Side::Bid } else { Side::Ask };
        let too_many = |side: &Side| self.sides[side.index()].len() > LEVELS_MAX;
        let side = [Side::Bid, Side::Ask].into_iter().find(too_many);
        let side = side.or_else(|| (bids + asks > ORDERS_MAX).then_some(most))?;
        self.sides[side.index()].last_key_value().map(|(key, _)| (side, price_of(side, *key)))
    }

    /// The nearest level of a side, if it would be told now.
    #[inline]
    fn passed(&self, side: Side, edge: Option<i64>) -> Option<(Side, i64)> {
        let nearest = self.nearest[side.index()];
        let is_passed = nearest != NONE && edge.is_none_or(|edge| nearest < key((side, edge)));
        is_passed.then(|| (side, price_of(side, nearest)))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The same at finer exponents; `None` if a number does not fit.
    pub(super) fn rescaled(&self, price_factor: i64, qty_factor: i64) -> Option<Self> {
        let mut finer = Self::default();
        for side in [Side::Bid, Side::Ask] {
            for (key, aside) in &self.sides[side.index()] {
                let price = price_of(side, *key).checked_mul(price_factor)?;
                let order =
                    |order: &Order| Some(Order { price, qty: order.qty.checked_mul(qty_factor)?, ..*order });
                let orders = aside.orders.iter().map(order).collect::<Option<_>>()?;
                let qty = aside.qty.checked_mul(qty_factor)?;
                finer.put((side, price), Aside { orders, qty, since: aside.since });
            }
        }
        Some(finer)
    }
}

/// An order as consumers know it. One that came back is told of as new, so its time is that of coming back; what it takes its age from, which the
/// rule weighs, is when it first came. Where the two differ `priority`, which inferred orders have none of, keeps what was told.
pub fn as_told(order: Order) -> Order {
    let ts = if order.priority == 0 { order.ts } else { order.priority as i64 };
    Order { ts, priority: 0, ..order }
}

impl Inference {
    /// The changes of levels of an event, whose end comes next, of a venue that tells the best so many of a side; `edges` as the event leaves them.
    /// What the event takes out behind them was pushed out, by whatever came before or after it in the event.
    pub fn levels_within(&mut self, edges: Edges, bids: &[Level], asks: &[Level], ts: i64) {
        let leaves = |level: (Side, i64), qty| {
            qty == 0 && edges[level.0.index()].is_some_and(|edge| key((level.0, edge)) < key(level))
        };
        let is_plain = |inference: &Self, level: (Side, i64), qty| {
            inference.is_plain(level, qty) && !leaves(level, qty) && inference.outside.is_within(level)
        };
        self.each(bids, asks, ts, is_plain, |inference, level, qty, ts| {
            if leaves(level, qty) {
                inference.leave(level, ts);
            } else {
                inference.come_back(level, qty, ts);
                inference.level(level, qty, ts);
            }
        });
        self.edges = edges;
        for side in [Side::Bid, Side::Ask] {
            while let Some(level) = self.outside.passed(side, edges[side.index()]) {
                self.outside.take(level);
                self.is_gone(level);
            }
        }
    }

    /// The edges that an event will leave, where `depth` levels a side are told, for who has no book of its own.
    #[must_use]
    pub fn edges_after(&self, depth: usize, levels: impl Iterator<Item = (Side, Level)>) -> Edges {
        // Of a price that comes twice the last one counts.
        let changed: HashMap<(Side, i64), i64> =
            levels.map(|(side, level)| ((side, level.price), level.qty)).collect();
        [Side::Bid, Side::Ask].map(|side| {
            let stays = self.queues().prices(side);
            let stays = stays.filter(|price| changed.get(&(side, *price)).is_none_or(|qty| *qty > 0));
            let comes = changed.iter().filter(|(level, qty)| level.0 == side && **qty > 0);
            let comes = comes.map(|((_, price), _)| *price);
            let comes = comes.filter(|price| self.queues().level(side, *price).0 == 0);
            let (mut count, mut worst) = (0, None);
            for price in stays.chain(comes) {
                count += 1;
                worst = worst.max(Some(key((side, price))));
            }
            worst.filter(|_| count >= depth).map(|key| price_of(side, key))
        })
    }

    /// A level was pushed out: its orders are gone for consumers, and nobody knows what becomes of them.
    fn leave(&mut self, level: (Side, i64), ts: i64) {
        let before = self.queues().level(level.0, level.1).0;
        if before == 0 {
            return;
        }
        let qty = self.take_prints(level, before, ts);
        if qty == 0 {
            return;
        }
        let orders = self.queues.take_out(level);
        for order in &orders {
            self.tell(order_op::DELETE, order, order.qty, 0, 0);
        }
        self.outside.put(level, Aside { orders, qty, since: ts });
        while let Some(farthest) = self.outside.excess() {
            self.outside.take(farthest);
            self.forget_outside(farthest);
        }
    }

    /// A level that left is told again: its orders are back, before anything that its new quantity says of them.
    fn come_back(&mut self, level: (Side, i64), qty: i64, ts: i64) {
        if qty < 0 {
            return;
        }
        let Some(aside) = self.outside.take(level) else { return };
        if qty == 0 {
            self.is_gone(level);
            return;
        }
        if ts - aside.since > OLD_NS {
            self.forget_outside(level);
            return;
        }
        let (at_once, half_ns) = if qty == aside.qty { (1.0, HALF_NS) } else { (OTHER, HALF_OF_OTHER_NS) };
        let kept = at_once / (1.0 + (ts - aside.since).max(0) as f64 / half_ns);
        let orders: Vec<_> = aside.orders.into_iter().map(|order| returned(order, kept, ts)).collect();
        if self.queues.put_back(&orders).is_err() {
            self.refuse();
            return;
        }
        for order in &orders {
            self.ops.push(order.op(order_op::ADD, order.qty, 0, order.flags));
        }
        // What it has more joined at a time that nobody saw. A best price of before the message may have seen it already.
        let mut glimpses = self.glimpses.iter().filter(|seen| seen.ts <= ts);
        let seen = glimpses.find(|seen| seen.level == level).map_or(qty, |seen| seen.qty);
        let prints = self.prints.iter().filter(|print| print.level == level && print.ts <= ts);
        let traded = prints.fold(0_i64, |sum, print| sum.saturating_add(print.qty));
        if aside.qty - traded.min(aside.qty) < seen {
            let left = self.take_prints(level, aside.qty, ts);
            let place = self.queues().at(level.0, level.1);
            self.join_as(level, place, seen - left, ts, 0);
        }
    }

    /// Nobody knows any more what is at a level outside.
    fn forget_outside(&mut self, level: (Side, i64)) {
        self.queues.lose(level);
        self.counters.forgotten += 1;
    }

    /// A level was cancelled while it was outside: nothing stands before a place there.
    fn is_gone(&mut self, level: (Side, i64)) {
        self.beliefs.execute(self.queues.watches_at(level), i64::MAX);
        self.queues.go_first(level);
    }

    /// A place that is watched from now on at a level outside: what is known of it stands before it.
    pub(super) fn stand_outside(&mut self, id: WatchId, level: (Side, i64)) {
        if let Some(aside) = self.outside.get(level) {
            self.queues.stand(id, Ahead { qty: aside.qty, orders: aside.orders.len() as u32 });
            self.beliefs.begin(id.0, aside.qty);
        }
    }

    /// Levels outside whose orders are known, of both sides, and all of those orders.
    #[must_use]
    pub fn outside(&self) -> (usize, usize) {
        (self.outside.sides.iter().map(BTreeMap::len).sum(), self.outside.orders.iter().sum())
    }

    /// All orders as consumers know them, in the order of a snapshot.
    pub fn snapshot(&self) -> impl Iterator<Item = RestingOrder> + '_ {
        let of = |side| self.queues().orders(side).map(|order| as_told(order).into());
        of(Side::Bid).chain(of(Side::Ask))
    }
}

/// An order that is told of again, as surely as it is still there.
fn returned(order: Order, kept: f64, ts: i64) -> Order {
    let confidence = (f64::from(order.flags >> ORDER_CONFIDENCE_SHIFT) * kept).round() as u8;
    Order { priority: ts as u64, flags: flags(confidence), ..order }
}
