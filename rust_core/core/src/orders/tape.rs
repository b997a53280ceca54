//! What traded lately and where the best prices were: how likely a place is to be reached, as past places were.
//!
//! Each second's best prices are looked back to: an order that had stood as far from the best price as the place does, with as much
//! before it, is reached within so many seconds, or it is not, by the trades that followed. The part that was reached is the
//! probability (historical simulation: the empirical distribution of the last [`STARTS_MAX`] windows of that length, of
//! both sides). Nothing is fitted. Orders that leave before the place are not counted on, nor what makes this moment unlike others.

use std::collections::VecDeque;

use super::belief::Belief;
use crate::event::Side;

/// Trades of a side within so long are one, of the worst price among them: the end of a window is as sharp.
const SLOT_NS: i64 = 100_000_000;

/// Slots that are kept: those of both sides in twice the longest window. A market with more trades has no more slots.
const SLOTS_MAX: usize = 2 * 2 * STARTS_MAX * (EVERY_NS / SLOT_NS) as usize;

/// Windows that are looked back to.
const STARTS_MAX: usize = 256;

/// Without so many, over at least the time that is asked for, there is no probability.
const STARTS_MIN: usize = 16;

/// Between two starts.
const EVERY_NS: i64 = 1_000_000_000;

/// The longest window.
pub const FILL_HORIZON_MAX_NS: i64 = STARTS_MAX as i64 * EVERY_NS;

/// Trades of a side within a short time.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Of the first of them.
    ts: i64,
    /// Of the resting orders.
    side: Side,
    /// The worst price.
    price: i64,
    /// What traded at it. What traded at a better price is of no interest: a place there was passed.
    qty: i64,
}

/// The best prices at a time.
#[derive(Clone, Copy, Debug)]
struct Start {
    ts: i64,
    best: [(Side, Option<i64>); 2],
}

/// Trades and best prices of one instrument.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape {
    slots: VecDeque<Slot>,
    starts: VecDeque<Start>,
    next_start: i64,
}

impl Tape {
    pub(super) fn trade(&mut self, (side, price): (Side, i64), qty: i64, ts: i64) {
        // A slot does not reach beyond a start: what came before it is not of its window.
        let since = self.starts.back().map_or(i64::MIN, |start| start.ts);
        let open = self.slots.iter_mut().rev().take(2).find(|slot| slot.side == side);
        if let Some(slot) = open.filter(|slot| slot.ts > since && (slot.ts..slot.ts + SLOT_NS).contains(&ts))
        {
            if slot.price == price {
                slot.qty = slot.qty.saturating_add(qty);
            } else if is_worse(side, price, slot.price) {
                (slot.price, slot.qty) = (price, qty);
            }
            return;
        }
        if self.slots.len() == SLOTS_MAX
            && let Some(gone) = self.slots.pop_front()
        {
            // A window that began before it is not whole any more.
            while self.starts.front().is_some_and(|start| start.ts <= gone.ts) {
                self.starts.pop_front();
            }
        }
        self.slots.push_back(Slot { ts, side, price, qty });
    }

    /// The same at finer exponents; `None` if a number does not fit.
    pub(super) fn rescaled(&self, price_factor: i64, qty_factor: i64) -> Option<Self> {
        let mut finer = self.clone();
        for slot in &mut finer.slots {
            slot.price = slot.price.checked_mul(price_factor)?;
            slot.qty = slot.qty.checked_mul(qty_factor)?;
        }
        for (_, best) in finer.starts.iter_mut().flat_map(|start| &mut start.best) {
            if let Some(price) = best {
                *price = price.checked_mul(price_factor)?;
            }
        }
        Some(finer)
    }

    /// Whether it is time for [`Tape::start`]: also when the clock of the events went back by more than a second.
    #[inline]
    pub(super) fn is_due(&self, ts: i64) -> bool {
        ts >= self.next_start || ts < self.next_start - 2 * EVERY_NS
    }

    /// The best prices, at the end of an event.
    pub(super) fn start(&mut self, ts: i64, bid: Option<i64>, ask: Option<i64>) {
        if self.starts.back().is_some_and(|start| start.ts > ts) {
            *self = Self::default();
        }
        // As many as began within the longest window, and as many before it.
        if self.starts.len() == 2 * STARTS_MAX {
            self.starts.pop_front();
        }
        self.starts.push_back(Start { ts, best: [(Side::Bid, bid), (Side::Ask, ask)] });
        self.next_start = ts + EVERY_NS;
        let first = self.starts[0].ts;
        while self.slots.front().is_some_and(|slot| slot.ts <= first) {
            self.slots.pop_front();
        }
    }

    /// Part of the past windows of a length in which a place so much worse than the best price was reached; `None` as long as too few
    /// are over.
    pub(super) fn reached(&self, worse: i64, ahead: &Belief, now: i64, within_ns: i64) -> Option<f64> {
        let over = self.starts.partition_point(|start| start.ts <= now - within_ns);
        let from = over.saturating_sub(STARTS_MAX);
        // As long as the windows hardly differ, they are one.
        if over - from < STARTS_MIN || self.starts[over - 1].ts - self.starts[from].ts < within_ns {
            return None;
        }
        let (mut first, mut places, mut sum) = (0, 0_u32, 0.0);
        for start in self.starts.range(from..over) {
            // Trades come in the order of their times, give or take a message.
            while self.slots.get(first).is_some_and(|slot| slot.ts <= start.ts) {
                first += 1;
            }
            for (side, best) in start.best {
                let Some(best) = best else { continue };
                places += 1;
                sum += match self.traded_at(first, start.ts + within_ns, side, worse_by(side, best, worse)) {
                    None => 1.0,
                    Some(0) => 0.0,
                    Some(qty) => ahead
                        .quantities()
                        .iter()
                        .filter(|each| each.qty < qty)
                        .map(|each| f64::from(each.probability))
                        .sum(),
                };
            }
        }
        (places > 0).then(|| (sum / f64::from(places)).min(1.0))
    }

    /// What traded of a level from a slot on until a time; `None` = something traded at a worse price.
    fn traded_at(&self, first: usize, until: i64, side: Side, price: i64) -> Option<i64> {
        let mut qty = 0_i64;
        for slot in self.slots.range(first..).take_while(|slot| slot.ts <= until) {
            if slot.side != side {
                continue;
            }
            if is_worse(side, slot.price, price) {
                return None;
            }
            if slot.price == price {
                qty = qty.saturating_add(slot.qty);
            }
        }
        Some(qty)
    }
}

/// A price that is worse than another by so much; by less than 0, better.
fn worse_by(side: Side, price: i64, by: i64) -> i64 {
    match side {
        Side::Bid => price.saturating_sub(by),
        Side::Ask => price.saturating_add(by),
    }
}

/// How much worse a price is than the best one.
pub(super) fn distance(side: Side, best: i64, price: i64) -> i64 {
    match side {
        Side::Bid => best.saturating_sub(price),
        Side::Ask => price.saturating_sub(best),
    }
}

fn is_worse(side: Side, price: i64, than: i64) -> bool {
    match side {
        Side::Bid => price < than,
        Side::Ask => price > than,
    }
}
