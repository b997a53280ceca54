//! The changes of a message's levels, all together.
//!
//! What becomes of a level (it begins, grows, shrinks, ends) has no pattern that a processor could learn. So first each level is found
//! and put to those of its kind, which takes no branch, and then each kind has a loop of its own. Levels that need more than that
//! (a trade or a best price waits for them) are taken one by one between the others.

use super::{Inference, bit_of, flags};
use crate::event::{Level, NOT_GIVEN, Side, order_op};
use crate::orders::places::Place;
use crate::orders::queues::Queues;
use crate::orders::rule::CERTAIN;

/// Levels that are taken together: with 64 a level costs 1 to 2 % less, with 16 5 % more, and each instrument keeps memory for so many
/// of each kind.
pub(super) const TOGETHER: usize = 32;

/// What was found of a level, and what it has now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) price: i64,
    pub(super) before: i64,
    pub(super) qty: i64,
    pub(super) place: Place,
    pub(super) side: Side,
}

/// Kinds of changes: see [`kind`].
mod kinds {
    pub(super) const BEGINS: usize = 0b001;
    pub(super) const GROWS: usize = 0b101;
    pub(super) const SHRINKS: usize = 0b110;
    pub(super) const ENDS: usize = 0b010;
    /// Kinds at most, those that change nothing too.
    pub(super) const ALL: usize = 8;
}

/// More, less, and whether there is something before and after.
#[inline(always)]
fn kind(before: i64, qty: i64) -> usize {
    usize::from(qty > before) | usize::from(qty < before) << 1 | usize::from(before.min(qty) != 0) << 2
}

/// Levels that were found and are to be changed, by kind, each in their order. No price comes twice.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    found: [[Found; TOGETHER]; kinds::ALL],
    counts: [usize; kinds::ALL],
}

impl Changes {
    pub(super) fn new() -> Self {
        let nothing = Found { price: 0, before: 0, qty: 0, place: Place::default(), side: Side::Bid };
        Self { found: [[nothing; TOGETHER]; kinds::ALL], counts: [0; kinds::ALL] }
    }

    /// Finds levels of a side, for which there is room. Whether they rise or fall, so that no price came twice, and none has
    /// less than nothing.
    #[inline(always)]
    fn find(&mut self, queues: &Queues, side: Side, levels: &[Level]) -> bool {
        let flip = flip(levels);
        let (mut last, mut is_in_order, mut any) = (i64::MIN, true, 0);
        let told = levels.iter().map(|level| (level.price, level.qty));
        queues.find_each(side, told, |(price, qty), place, before| {
            let now = price ^ flip;
            is_in_order &= last < now;
            last = now;
            any |= qty;
            let kind = kind(before, qty);
            let count = &mut self.counts[kind];
            self.found[kind][*count % TOGETHER] = Found { price, before, qty, place, side };
            *count += 1;
        });
        is_in_order && any >= 0
    }

    /// The first, second ... of a kind.
    #[inline(always)]
    fn nth(&self, kind: usize, at: usize) -> &Found {
        &self.found[kind][at % TOGETHER]
    }
}

/// What makes falling prices rise: their complements do.
#[inline]
fn flip(levels: &[Level]) -> i64 {
    let falls = levels.first().map(|level| level.price) > levels.last().map(|level| level.price);
    -i64::from(falls)
}

/// How many of the first levels rise, or fall.
fn in_order(levels: &[Level]) -> usize {
    let flip = flip(&levels[..levels.len().min(2)]);
    let rises = |pair: &[Level]| (pair[0].price ^ flip) < (pair[1].price ^ flip);
    levels.len().min(1 + levels.windows(2).take_while(|pair| rises(pair)).count())
}

impl Inference {
    /// The quantities of levels from now on; 0 = gone.
    pub fn levels(&mut self, mut bids: &[Level], mut asks: &[Level], ts: i64) {
        while !(bids.is_empty() && asks.is_empty()) {
            let (some_bids, some_asks);
            (some_bids, bids) = bids.split_at(bids.len().min(TOGETHER));
            (some_asks, asks) = asks.split_at(asks.len().min(TOGETHER - some_bids.len()));
            if self.waited == 0 && self.find(some_bids, some_asks) {
                self.change_found(ts);
            } else {
                self.each(some_bids, some_asks, ts, Self::is_plain, Self::level);
            }
        }
    }

    /// Nothing waits for a level.
    #[inline(always)]
    pub(super) fn is_plain(&self, level: (Side, i64), qty: i64) -> bool {
        qty >= 0 && self.waited & bit_of(level) == 0
    }

    /// Takes those plain levels together whose prices are in order, as otherwise one may come twice, and the others one by one as
    /// `other` does.
    #[inline]
    pub(super) fn each<'a>(
        &mut self,
        mut bids: &'a [Level],
        mut asks: &'a [Level],
        ts: i64,
        is_plain: impl Fn(&Self, (Side, i64), i64) -> bool,
        mut other: impl FnMut(&mut Self, (Side, i64), i64, i64),
    ) {
        while !(bids.is_empty() && asks.is_empty()) {
            let plain = |side, levels: &[Level], room: usize| {
                let levels = &levels[..levels.len().min(room)];
                let levels = &levels[..in_order(levels)];
                levels.iter().take_while(|level| is_plain(self, (side, level.price), level.qty)).count()
            };
            let n_bids = plain(Side::Bid, bids, TOGETHER);
            let n_asks = if n_bids == bids.len() { plain(Side::Ask, asks, TOGETHER - n_bids) } else { 0 };
            let (some_bids, some_asks);
            (some_bids, bids) = bids.split_at(n_bids);
            (some_asks, asks) = asks.split_at(n_asks);
            self.find(some_bids, some_asks);
            self.change_found(ts);
            let (side, rest) = if bids.is_empty() { (Side::Ask, &mut asks) } else { (Side::Bid, &mut bids) };
            if let Some((level, behind)) = rest.split_first()
                && !is_plain(self, (side, level.price), level.qty)
            {
                *rest = behind;
                other(self, (side, level.price), level.qty, ts);
            }
        }
    }

    /// Finds levels: [`Changes::find`].
    #[inline(always)]
    fn find(&mut self, bids: &[Level], asks: &[Level]) -> bool {
        let Self { queues, changes, .. } = self;
        queues.queues.make_room(TOGETHER);
        changes.counts = [0; kinds::ALL];
        changes.find(&queues.queues, Side::Bid, bids) & changes.find(&queues.queues, Side::Ask, asks)
    }

    /// Changes the levels that were found. Those that end come last: until then every level is where it was found.
    #[inline(always)]
    fn change_found(&mut self, ts: i64) {
        if self.queues.is_watched() {
            for kind in 0..kinds::ALL {
                for at in 0..self.changes.counts[kind] {
                    let Found { side, price, before, qty, .. } = *self.changes.nth(kind, at);
                    self.believe((side, price), before, qty, false, ts);
                }
            }
        }
        for at in 0..self.changes.counts[kinds::BEGINS] {
            self.begins(*self.changes.nth(kinds::BEGINS, at), ts);
        }
        for at in 0..self.changes.counts[kinds::GROWS] {
            self.grows(*self.changes.nth(kinds::GROWS, at), ts);
        }
        for at in 0..self.changes.counts[kinds::SHRINKS] {
            self.shrinks(*self.changes.nth(kinds::SHRINKS, at), ts);
        }
        for at in 0..self.changes.counts[kinds::ENDS] {
            self.ends(*self.changes.nth(kinds::ENDS, at));
        }
    }

    /// Changes one level that was found.
    #[inline]
    pub(super) fn change(&mut self, found: Found, ts: i64) {
        match kind(found.before, found.qty) {
            kinds::BEGINS => self.begins(found, ts),
            kinds::GROWS => self.grows(found, ts),
            kinds::SHRINKS => self.shrinks(found, ts),
            kinds::ENDS => self.ends(found),
            _ => {}
        }
    }

    #[inline(always)]
    fn begins(&mut self, found: Found, ts: i64) {
        let Found { side, price, qty, place, .. } = found;
        if self.queues().is_full() || price == NOT_GIVEN {
            self.refuse();
            return;
        }
        let confidence = self.confidence_at((side, price));
        let order = self.comes((side, price), qty, ts, confidence);
        self.queues.begin_queue(&order, place);
    }

    #[inline(always)]
    fn grows(&mut self, found: Found, ts: i64) {
        let Found { side, price, before, qty, place } = found;
        let Some(queue) = place.queue.filter(|_| !self.queues().is_full()) else {
            self.refuse();
            return;
        };
        let order = self.comes((side, price), qty - before, ts, CERTAIN);
        self.queues.join_queue(&order, queue);
    }

    #[inline(always)]
    fn shrinks(&mut self, found: Found, ts: i64) {
        let Found { side, price, before, qty, place } = found;
        if let Some(queue) = place.queue {
            self.note_shrunk((side, price), before - qty, ts);
            self.cancel(queue, before - qty, ts);
        }
    }

    /// The level is gone, and each of its orders for sure.
    #[inline(always)]
    fn ends(&mut self, found: Found) {
        let Self { queues, ops, .. } = self;
        queues.drain(found.place, |order| ops.push(order.op(order_op::DELETE, order.qty, 0, flags(CERTAIN))));
    }
}
