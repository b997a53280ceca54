//! Orders that the venue does not tell of, inferred from its levels and trades.
//!
//! A level that grows has a new order at its back. A trade takes from the front. A level that shrinks for another reason has lost
//! orders, and which ones is a guess: [`Rule`]. The sum of a level's inferred orders is the venue's quantity after every change.
//!
//! Trades and changes of levels come in messages of their own. A trade that comes first waits until its level changes; one that is no later than a
//! change that shrank its level gives back what was taken for cancelled, at the back, and takes from the front.

mod change;
mod edge;
mod glimpse;
mod outside;
mod whole;

use std::collections::VecDeque;
use std::hint::select_unpredictable;

use self::change::{Changes, Found};
use self::glimpse::Glimpse;
use self::outside::Outside;
pub use self::outside::{Edges, as_told};
use super::Fault;
use super::belief::{Belief, Beliefs, Gone};
use super::places::{Place, QueueAt};
use super::queues::{Handle, Order, Queues};
use super::rule::{CERTAIN, Picker, Rule, Weights};
use super::tape::{self, Tape};
use super::watch::{Ahead, WatchId, WatchedQueues};
use crate::event::{ORDER_CONFIDENCE_SHIFT, ORDER_INFERRED, OrderOp, Side, order_op};

/// Trades that wait for the change of their level. A sweep of a thousand levels in one message waits whole.
const PRINTS_MAX: usize = 1_024;

/// Levels that shrank and may be told of a trade yet.
const SHRUNK_MAX: usize = 1_024;

/// A trade and the change of its level are at most so far apart: venues that send both batch the changes by 100 ms, or 250.
const APART_NS: i64 = 500_000_000;

/// Times of a venue are whole multiples of one of these.
const UNITS_NS: [i64; 3] = [1_000_000, 1_000, 1];

/// What was seen, in counts of changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InferenceCounters {
    /// Trades that no change of a level showed: hidden, or of an iceberg that came back at once.
    pub unshown: u64,
    /// Trades that came after the change of their level.
    pub late: u64,
    /// Trades and best prices that were forgotten because too many waited, and levels outside of the window because there were too
    /// many, or for too long.
    pub forgotten: u64,
    /// Changes that did not fit: quantities below zero, levels beyond 64 bits.
    pub refused: u64,
}

/// A trade that no change of its level has shown.
#[derive(Clone, Copy, Debug)]
struct Print {
    level: (Side, i64),
    qty: i64,
    trade_id: u64,
    ts: i64,
    /// Time of the event that told of it.
    told_ts: i64,
}

/// What of a level was taken for cancelled.
#[derive(Clone, Copy, Debug)]
struct Shrunk {
    level: (Side, i64),
    qty: i64,
    ts: i64,
}

/// The inferred orders of one instrument.
#[derive(Clone, Debug)]
pub struct Inference {
    queues: WatchedQueues,
    picker: Picker,
    beliefs: Beliefs,
    /// From the first watched place on.
    tape: Option<Box<Tape>>,
    next_id: u64,
    prints: VecDeque<Print>,
    shrunk: VecDeque<Shrunk>,
    /// Best prices that wait for their message of levels.
    glimpses: VecDeque<Glimpse>,
    /// At least [`bit_of`] of the levels of prints and glimpses: most levels have none, and many may wait.
    waited: u64,
    /// The last best price and quantity of bids and asks.
    last_best: [(i64, i64); 2],
    /// Prices of bids and asks behind which no level was ever told; `None` = all were.
    edges: [Option<i64>; 2],
    /// Levels that left the window, where the venue has one.
    outside: Outside,
    /// Time of the last message of levels.
    told_ts: i64,
    ops: Vec<OrderOp>,
    /// What all times of levels so far are multiples of.
    unit_ns: i64,
    /// The orders of a level are not its quantity.
    is_off: bool,
    counters: InferenceCounters,
    changes: Box<Changes>,
}

impl Inference {
    /// No orders. `weights` are [`Rule::Likeliest`]'s.
    #[must_use]
    pub fn new(rule: Rule, weights: Weights) -> Self {
        Self {
            queues: WatchedQueues::unordered(),
            picker: Picker::new(rule, weights),
            beliefs: Beliefs::new(),
            tape: None,
            next_id: 1,
            prints: VecDeque::new(),
            shrunk: VecDeque::new(),
            glimpses: VecDeque::new(),
            waited: 0,
            last_best: [(0, 0); 2],
            edges: [None; 2],
            outside: Outside::default(),
            told_ts: i64::MIN,
            ops: Vec::new(),
            unit_ns: UNITS_NS[0],
            is_off: false,
            counters: InferenceCounters::default(),
            changes: Box::new(Changes::new()),
        }
    }

    /// The orders.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        &self.queues.queues
    }

    /// What was seen so far.
    #[must_use]
    pub fn counters(&self) -> InferenceCounters {
        self.counters
    }

    /// What was seen since the last time.
    pub fn take_counters(&mut self) -> InferenceCounters {
        std::mem::take(&mut self.counters)
    }

    /// Whether a change did not fit, so that the orders of a level are not its quantity; [`Inference::begin`] mends that.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.is_off
    }

    /// The changes of orders since the last time, in their order.
    pub fn take_ops<T>(&mut self, take: impl FnOnce(&[OrderOp]) -> T) -> T {
        let taken = take(&self.ops);
        self.ops.clear();
        taken
    }

    /// A trade against resting orders of a side, at a time of its own and of the event that tells of it; mantissas, nanoseconds.
    pub fn trade(&mut self, level: (Side, i64), qty: i64, trade_id: u64, ts: i64, told_ts: i64) {
        if qty <= 0 {
            self.counters.refused += 1;
            return;
        }
        if let Some(tape) = &mut self.tape {
            tape.trade(level, qty, ts);
        }
        // Levels with times in milliseconds may show a trade that has microseconds beyond theirs.
        let ts = ts - ts.rem_euclid(self.unit_ns);
        let mut print = Print { level, qty, trade_id, ts, told_ts };
        self.forget_shrunk(ts);
        while print.qty > 0
            && let Some(at) = self.shrunk.iter().position(|shrunk| shrunk.level == level && shrunk.ts >= ts)
        {
            let qty = print.qty.min(self.shrunk[at].qty);
            self.shrunk[at].qty -= qty;
            if self.shrunk[at].qty == 0 {
                self.shrunk.remove(at);
            }
            self.came_late(&Print { qty, ..print });
            print.qty -= qty;
        }
        if print.qty == 0 {
            return;
        }
        if self.prints.len() == PRINTS_MAX {
            self.prints.pop_front();
            self.counters.forgotten += 1;
        }
        self.waited |= bit_of(level);
        self.prints.push_back(print);
    }

    /// The quantity of a level from now on; 0 = it is gone.
    #[inline]
    pub fn level(&mut self, level: (Side, i64), qty: i64, ts: i64) {
        if qty < 0 {
            self.counters.refused += 1;
            return;
        }
        if !self.glimpses.is_empty() {
            self.see_level(level, ts);
        }
        self.settle(level, qty, ts, ts);
    }

    /// Orders come or go until the level has a quantity that was seen at `seen_ts` and is told in an event of `ts`.
    #[inline]
    fn settle(&mut self, level: (Side, i64), qty: i64, seen_ts: i64, ts: i64) {
        let (side, price) = level;
        let mut place = self.queues().at(side, price);
        let mut left = self.queues().qty_at(place);
        let before = left;
        if self.waited & bit_of(level) != 0 {
            left = self.take_prints(level, left, seen_ts);
            place = self.queues().at(side, price);
        }
        self.believe(level, left, qty, left < before, ts);
        self.change(Found { price, before: left, qty, place, side }, ts);
    }

    /// The changes of an event are over. Trades of before it whose level did not change were refilled at once, where there is a level.
    pub fn end_event(&mut self, ts: i64) {
        if !self.glimpses.is_empty() {
            self.see_others(ts);
        }
        self.told_ts = ts;
        self.forget_shrunk(ts);
        if ts % self.unit_ns != 0 {
            self.unit_ns = UNITS_NS.into_iter().find(|unit| ts % unit == 0).unwrap_or(1);
        }
        while let Some(print) = self.prints.front().filter(|print| print.ts < ts - APART_NS).copied() {
            self.prints.pop_front();
            self.counters.unshown += 1;
            let (qty, _) = self.queues().level(print.level.0, print.level.1);
            let taken = qty.min(print.qty);
            if taken > 0 {
                self.execute(print.level, taken, print.trade_id);
                self.join(print.level, taken, ts);
            }
        }
        if self.waited != 0 {
            self.note_waited();
        }
        if let Some(tape) = &mut self.tape
            && tape.is_due(ts)
        {
            let best = |side| self.queues.queues.best(side).map(|level| level.price);
            tape.start(ts, best(Side::Bid), best(Side::Ask));
        }
    }

    /// Notes which levels are waited for now.
    fn note_waited(&mut self) {
        let prints = self.prints.iter().map(|print| print.level);
        let glimpses = self.glimpses.iter().map(|glimpse| glimpse.level);
        self.waited = prints.chain(glimpses).fold(0, |bits, level| bits | bit_of(level));
    }

    /// Watches the place at the back of a level: [`super::OrderBook::watch_back`].
    ///
    /// # Errors
    /// [`Fault::Full`].
    pub fn watch_back(&mut self, side: Side, price: i64) -> Result<WatchId, Fault> {
        let id = self.queues.watch_back(side, price)?;
        self.beliefs.begin(id.0, self.queues().level(side, price).0);
        self.stand_outside(id, (side, price));
        self.tape.get_or_insert_default();
        Ok(id)
    }

    /// What stands before a watched place.
    #[must_use]
    pub fn watched(&self, id: WatchId) -> Option<Ahead> {
        self.queues.watched(id)
    }

    /// What may stand before a watched place, each quantity with its probability; [`Inference::watched`] is the rule's one guess.
    #[must_use]
    pub fn believed(&self, id: WatchId) -> Option<&Belief> {
        self.queues.level_of(id).and_then(|_| self.beliefs.get(id.0))
    }

    /// How probable it is that a watched place is reached within a time of at most [`super::FILL_HORIZON_MAX_NS`]: that what may
    /// stand before it trades, and one lot more, or anything at a worse price. By how places like it fared in the
    /// last minutes; `None` until 16 such times are over since the first place was watched, and while its side is empty.
    #[must_use]
    pub fn fill_probability(&self, id: WatchId, now: i64, within_ns: i64) -> Option<f64> {
        let (side, price) = self.queues.level_of(id)?;
        let best = self.queues().best(side)?.price;
        let ahead = self.beliefs.get(id.0)?;
        self.tape.as_ref()?.reached(tape::distance(side, best, price), ahead, now, within_ns)
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, id: WatchId) {
        self.queues.unwatch(id);
    }

    /// Takes from the front what trades of the level have taken, of `left`; gives what is left.
    fn take_prints(&mut self, level: (Side, i64), mut left: i64, ts: i64) -> i64 {
        let mut at = 0;
        while at < self.prints.len() {
            let print = self.prints[at];
            if print.level != level || print.ts > ts {
                at += 1;
                continue;
            }
            self.prints.remove(at);
            let taken = print.qty.min(left);
            if taken > 0 {
                self.execute(level, taken, print.trade_id);
                left -= taken;
            }
        }
        left
    }

    /// What may stand before the places of a level that had so much left after its trades, and has so much now.
    #[inline]
    fn believe(&mut self, level: (Side, i64), left: i64, now: i64, traded: bool, ts: i64) {
        let places = self.queues.watches_at(level);
        if places.is_empty() {
            return;
        }
        if left > now {
            let gone = Gone { qty: left - now, of: left, traded, ts };
            self.beliefs.cancel(places, &self.queues.queues, level, &gone);
        } else {
            self.beliefs.hide(places, left);
        }
    }

    /// A trade tells that what seemed cancelled was executed.
    fn came_late(&mut self, print: &Print) {
        self.counters.late += 1;
        self.beliefs.restore(self.queues.watches_at(print.level), print.qty);
        let (qty, _) = self.queues().level(print.level.0, print.level.1);
        let taken = qty.min(print.qty);
        if taken > 0 {
            self.execute(print.level, taken, print.trade_id);
            self.join(print.level, taken, print.told_ts);
        }
    }

    #[inline(always)]
    fn note_shrunk(&mut self, level: (Side, i64), qty: i64, ts: i64) {
        if self.shrunk.len() == SHRUNK_MAX {
            self.shrunk.pop_front();
        }
        self.shrunk.push_back(Shrunk { level, qty, ts });
    }

    fn forget_shrunk(&mut self, ts: i64) {
        while self.shrunk.front().is_some_and(|shrunk| shrunk.ts < ts - APART_NS) {
            self.shrunk.pop_front();
        }
    }

    fn join(&mut self, level: (Side, i64), qty: i64, ts: i64) {
        let place = self.queues().at(level.0, level.1);
        self.join_as(level, place, qty, ts, CERTAIN);
    }

    fn join_as(&mut self, level: (Side, i64), place: Place, qty: i64, ts: i64, confidence: u8) {
        if self.queues().check(level.1, qty, place).is_err() {
            self.refuse();
            return;
        }
        let order = self.comes(level, qty, ts, confidence);
        self.queues.join_back(&order, place);
    }

    /// A new order, which fits.
    #[inline(always)]
    fn comes(&mut self, (side, price): (Side, i64), qty: i64, ts: i64, confidence: u8) -> Order {
        let order = Order { id: self.next_id, price, qty, priority: 0, ts, side, flags: flags(confidence) };
        self.next_id += 1;
        self.tell(order_op::ADD, &order, qty, 0, confidence);
        order
    }

    fn execute(&mut self, (side, price): (Side, i64), mut qty: i64, trade_id: u64) {
        self.beliefs.execute(self.queues.watches_at((side, price)), qty);
        while qty > 0
            && let Some(first) = self.queues().first(side, price)
        {
            let order = self.queues().order(first);
            let taken = qty.min(order.qty);
            self.take(first, &order, taken);
            self.tell(order_op::EXECUTE, &order, taken, trade_id, CERTAIN);
            qty -= taken;
        }
    }

    /// Takes a quantity from orders by the rule; some is left.
    #[inline(always)]
    fn cancel(&mut self, queue: QueueAt, mut qty: i64, ts: i64) {
        while qty > 0 {
            let (handle, confidence) = self.picker.pick(&self.queues.queues, queue, qty, ts);
            let order = self.queues.take_some(queue, handle, qty);
            let taken = qty.min(order.qty);
            let is_gone = taken == order.qty;
            let op = select_unpredictable(is_gone, order_op::DELETE, order_op::MODIFY_KEEP);
            let told = select_unpredictable(is_gone, taken, order.qty - taken);
            self.tell(op, &order, told, 0, confidence);
            qty -= taken;
        }
    }

    fn take(&mut self, handle: Handle, order: &Order, qty: i64) {
        if qty == order.qty {
            self.queues.remove(handle);
        } else if self.queues.resize(handle, order.qty - qty).is_err() {
            self.refuse();
        }
    }

    fn refuse(&mut self) {
        self.counters.refused += 1;
        self.is_off = true;
    }

    #[inline(always)]
    fn tell(&mut self, op: u8, order: &Order, qty: i64, ref_id: u64, confidence: u8) {
        self.ops.push(order.op(op, qty, ref_id, flags(confidence)));
    }
}

/// One of 64 bits of a level.
#[inline]
fn bit_of((_, price): (Side, i64)) -> u64 {
    1 << ((price as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58)
}

/// Inferred, and how surely.
fn flags(confidence: u8) -> u16 {
    ORDER_INFERRED | u16::from(confidence) << ORDER_CONFIDENCE_SHIFT
}
