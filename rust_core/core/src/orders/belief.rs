//! What probably stands before a watched place of an inferred queue: several quantities, each with a probability.
//!
//! When a place is watched all of its level stands before it. From then on trades take from the front, new orders join behind, and a
//! quantity that is gone without a trade stood before the place or behind it: each quantity that was possible becomes two, as
//! probable as the orders before and behind it weigh. Equal ones are one again; beyond [`QUANTITIES_MAX`] the two nearest and least
//! probable neighbours become the more probable one. Nothing is drawn.
//!
//! An order weighs `1 / (age + 2 s)^2 + 1 / 2,000`, times 1 if it is of just the quantity that is gone, else what [`Sizes`] says.
//! All numbers here were fitted on the first half hour of the ES recording, at batchings of 0 to 100 ms; `docs/l3.md` has what they give
//! elsewhere. The levels of one message may hide orders that came and went within it: then sizes tell little, which `Sizes`
//! learns from the stream, and a level that did not shrink may have lost orders too ([`HIDDEN`]).

use std::cmp::Ordering;

use super::queues::Queues;
use super::sizes::{OTHER_SIZE_LEAST, Sizes};
use crate::event::Side;

/// Quantities of a place. With 4 the distribution is 3 % further from the truth, with 8 as near, with 64 no nearer.
const QUANTITIES_MAX: usize = 16;

/// Orders of a level that are weighed, the newest ones. The rest weighs nothing; full levels of ES have 90.
const WALK_MAX: usize = 256;

/// An order without an age weighs as one that is so old.
const YOUNG_S: f64 = 2.0;

/// What an order weighs at any age; the youngest weighs 1/4 more.
const ANY_AGE: f64 = 0.000_5;

/// The same beside a trade, when `1 / (age + 2 s)^0.5` counts: what is gone then is older.
const ANY_AGE_TRADED: f64 = 0.001_4;

/// Part of the probability that goes by quantity alone, whatever the orders weigh: they are inferred, so they may be others, the more so
/// the less sizes tell. This times [`Sizes::missed_of_chance`], and the most it is.
const BY_QTY: f64 = 0.2;
const BY_QTY_MAX: f64 = 0.05;

/// Probability that a level that did not shrink lost an order all the same, where all of a level's changes are netted.
const HIDDEN: f64 = 0.03;

/// What is less probable is forgotten.
const LEAST: f32 = 1e-6;

/// A quantity and its probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Likely {
    /// Quantity before the place.
    pub qty: i64,
    /// Its probability.
    pub probability: f32,
}

/// What a distribution says is within an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// The least quantity in it.
    pub low: i64,
    /// The largest one.
    pub high: i64,
    /// That it is within, at least what was asked for: quantities are whole.
    pub probability: f32,
}

/// What may stand before one place, the least quantity first.
#[derive(Clone, Copy, Debug)]
pub struct Belief {
    all: [Likely; QUANTITIES_MAX],
    len: usize,
}

impl Belief {
    /// Just this quantity.
    #[must_use]
    pub fn sure(qty: i64) -> Self {
        let mut all = [Likely::default(); QUANTITIES_MAX];
        all[0] = Likely { qty, probability: 1.0 };
        Self { all, len: 1 }
    }

    /// The quantities, the least first; their probabilities sum to 1.
    #[must_use]
    pub fn quantities(&self) -> &[Likely] {
        &self.all[..self.len]
    }

    /// The mean.
    #[must_use]
    pub fn expected(&self) -> f64 {
        self.quantities().iter().map(|each| each.qty as f64 * f64::from(each.probability)).sum()
    }

    /// The least quantity that is not exceeded with this probability; the median with 0.5.
    #[must_use]
    pub fn quantile(&self, probability: f64) -> i64 {
        let mut sum = 0.0;
        let reached = self.quantities().iter().find(|each| {
            sum += f64::from(each.probability);
            sum >= probability
        });
        reached.or(self.quantities().last()).map_or(0, |each| each.qty)
    }

    /// From the least quantity to the largest one that leave no more than half of the rest outside on each side.
    #[must_use]
    pub fn interval(&self, probability: f64) -> Interval {
        let tail = (1.0 - probability) / 2.0;
        let (mut first, mut below) = (0, 0.0);
        while first + 1 < self.len && below + f64::from(self.all[first].probability) <= tail {
            below += f64::from(self.all[first].probability);
            first += 1;
        }
        let (mut last, mut above) = (self.len - 1, 0.0);
        while last > first && above + f64::from(self.all[last].probability) <= tail {
            above += f64::from(self.all[last].probability);
            last -= 1;
        }
        let within = (1.0 - below - above).clamp(0.0, 1.0) as f32;
        Interval { low: self.all[first].qty, high: self.all[last].qty, probability: within }
    }

    /// Takes from the front.
    pub(super) fn execute(&mut self, qty: i64) {
        self.map(|each| (each.qty - qty).max(0));
    }

    /// A quantity is gone from the level, `share` of it before the place if so much of the level is behind it.
    fn cancel(&mut self, gone: &Gone, share: impl Fn(i64) -> f64) {
        let mut split = Split::default();
        for each in self.quantities() {
            let qty = each.qty.min(gone.of);
            let behind = gone.of - qty;
            // No more than there is on either side.
            let (most, least) = (gone.qty.min(qty), (gone.qty - behind).max(0));
            let before = if most == least { 1.0 } else { share(behind) as f32 };
            split.push(qty - most, each.probability * before);
            split.push(qty - least, each.probability * (1.0 - before));
        }
        *self = split.merged();
    }

    /// The same at a finer exponent; `None` if a quantity does not fit.
    fn rescaled(&self, qty_factor: i64) -> Option<Self> {
        let mut finer = *self;
        for each in &mut finer.all[..self.len] {
            each.qty = each.qty.checked_mul(qty_factor)?;
        }
        Some(finer)
    }

    fn map(&mut self, change: impl Fn(&Likely) -> i64) {
        let mut split = Split::default();
        for each in self.quantities() {
            split.push(change(each), each.probability);
        }
        *self = split.merged();
    }
}

/// What is gone without a trade from a level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub(super) qty: i64,
    /// Of the level before.
    pub(super) of: i64,
    /// Something traded at the level too.
    pub(super) traded: bool,
    pub(super) ts: i64,
}

/// Twice as many quantities, in any order.
struct Split {
    all: [Likely; 2 * QUANTITIES_MAX],
    len: usize,
}

impl Default for Split {
    fn default() -> Self {
        Self { all: [Likely::default(); 2 * QUANTITIES_MAX], len: 0 }
    }
}

impl Split {
    fn push(&mut self, qty: i64, probability: f32) {
        if probability > LEAST {
            self.all[self.len] = Likely { qty, probability };
            self.len += 1;
        }
    }

    /// In order, each once, and no more than a belief has.
    fn merged(mut self) -> Belief {
        self.all[..self.len].sort_unstable_by_key(|each| each.qty);
        let mut kept = 0;
        for at in 1..self.len {
            if self.all[at].qty == self.all[kept].qty {
                self.all[kept].probability += self.all[at].probability;
            } else {
                kept += 1;
                self.all[kept] = self.all[at];
            }
        }
        self.len = kept + 1;
        while self.len > QUANTITIES_MAX {
            self.merge_nearest();
        }
        let mut belief = Belief { all: [Likely::default(); QUANTITIES_MAX], len: self.len };
        belief.all[..self.len].copy_from_slice(&self.all[..self.len]);
        let sum: f32 = belief.quantities().iter().map(|each| each.probability).sum();
        for each in &mut belief.all[..self.len] {
            each.probability /= sum;
        }
        belief
    }

    /// Makes one of the two neighbours whose difference matters least.
    fn merge_nearest(&mut self) {
        let cost = |at: usize| {
            let (one, other) = (self.all[at], self.all[at + 1]);
            let both = one.probability + other.probability;
            one.probability * other.probability / both * (other.qty - one.qty) as f32
        };
        let at = (0..self.len - 1).min_by(|one, other| cost(*one).total_cmp(&cost(*other))).unwrap_or(0);
        let (one, other) = (self.all[at], self.all[at + 1]);
        let qty = if one.probability < other.probability { other.qty } else { one.qty };
        self.all[at] = Likely { qty, probability: one.probability + other.probability };
        self.all.copy_within(at + 2..self.len, at + 1);
        self.len -= 1;
    }
}

/// An order of a level, the newest first: what there is behind its front, and what that weighs.
#[derive(Clone, Copy, Debug)]
struct Behind {
    qty: i64,
    weight: f64,
}

/// What may stand before each watched place, by the number of its watch.
#[derive(Clone, Debug)]
pub(super) struct Beliefs {
    all: Vec<Kept>,
    sizes: Sizes,
    behind: Vec<Behind>,
}

#[derive(Clone, Debug)]
struct Kept {
    now: Belief,
    /// Before what was last taken for cancelled, and what that was: a trade may come yet and say otherwise.
    before: Belief,
    cancelled: i64,
}

impl Beliefs {
    pub(super) fn new() -> Self {
        Self { all: Vec::new(), sizes: Sizes::new(), behind: Vec::new() }
    }

    /// The same at a finer exponent; `None` if a quantity does not fit.
    pub(super) fn rescaled(&self, qty_factor: i64) -> Option<Self> {
        let kept = |kept: &Kept| {
            Some(Kept {
                now: kept.now.rescaled(qty_factor)?,
                before: kept.before.rescaled(qty_factor)?,
                cancelled: kept.cancelled.checked_mul(qty_factor)?,
            })
        };
        let all = self.all.iter().map(kept).collect::<Option<_>>()?;
        Some(Self { all, sizes: self.sizes.rescaled(qty_factor)?, behind: Vec::new() })
    }

    /// A place that all of its level stands before.
    pub(super) fn begin(&mut self, at: u32, qty: i64) {
        let kept = Kept { now: Belief::sure(qty), before: Belief::sure(qty), cancelled: 0 };
        let at = at as usize;
        if at < self.all.len() {
            self.all[at] = kept;
        } else {
            // Numbers of watches are given one after the other.
            self.all.resize(at + 1, kept);
        }
    }

    pub(super) fn get(&self, at: u32) -> Option<&Belief> {
        self.all.get(at as usize).map(|kept| &kept.now)
    }

    pub(super) fn execute(&mut self, places: &[u32], qty: i64) {
        for at in places {
            let kept = &mut self.all[*at as usize];
            kept.now.execute(qty);
            kept.cancelled = 0;
        }
    }

    /// What was last taken for cancelled had traded: as if it had not been.
    pub(super) fn restore(&mut self, places: &[u32], qty: i64) {
        for at in places {
            let kept = &mut self.all[*at as usize];
            if kept.cancelled == qty {
                kept.now = kept.before;
            }
            kept.cancelled = 0;
        }
    }

    /// A quantity is gone without a trade from a level of these orders.
    pub(super) fn cancel(&mut self, places: &[u32], queues: &Queues, level: (Side, i64), gone: &Gone) {
        self.sizes.mean += (gone.qty as f64 - self.sizes.mean) / 50.0;
        let mut netted = self.sizes.netted();
        if gone.qty < gone.of && queues.level(level.0, level.1).1 > 1 {
            self.learn(queues, level, gone);
            netted = self.sizes.netted();
        }
        self.weigh(queues, level, gone, netted);
        let behind = &self.behind;
        let by_qty = (BY_QTY * self.sizes.missed_of_chance()).min(BY_QTY_MAX);
        for at in places {
            let kept = &mut self.all[*at as usize];
            (kept.before, kept.cancelled) = (kept.now, gone.qty);
            kept.now.cancel(gone, |qty| share_before(behind, qty, gone.of, by_qty));
        }
    }

    /// A level was told of and did not shrink but by trades.
    pub(super) fn hide(&mut self, places: &[u32], of: i64) {
        let hidden = HIDDEN * self.sizes.netted();
        let qty = self.sizes.mean.round() as i64;
        if qty == 0 || of == 0 || hidden <= HIDDEN * OTHER_SIZE_LEAST {
            return;
        }
        for at in places {
            let belief = &mut self.all[*at as usize].now;
            let mut split = Split::default();
            for each in belief.quantities() {
                let before = (hidden * each.qty as f64 / of as f64).min(1.0) as f32;
                split.push((each.qty - qty).max(0), each.probability * before);
                split.push(each.qty, each.probability * (1.0 - before));
            }
            *belief = split.merged();
        }
    }

    fn learn(&mut self, queues: &Queues, (side, price): (Side, i64), gone: &Gone) {
        let last = self.sizes.last;
        let (mut found, mut by_chance) = (false, false);
        let newest = queues.last(side, price);
        for handle in std::iter::successors(newest, |handle| queues.previous(*handle)).take(WALK_MAX) {
            let qty = queues.order(handle).qty;
            found |= qty == gone.qty;
            by_chance |= qty == last;
        }
        self.sizes.learn(gone.qty, !found, !by_chance);
    }

    fn weigh(&mut self, queues: &Queues, (side, price): (Side, i64), gone: &Gone, netted: f64) {
        self.behind.clear();
        let (mut qty, mut weight) = (0, 0.0);
        let newest = queues.last(side, price);
        for handle in std::iter::successors(newest, |handle| queues.previous(*handle)).take(WALK_MAX) {
            let order = queues.order(handle);
            let age = (gone.ts - order.ts).max(0) as f64 / 1e9 + YOUNG_S;
            let by_age =
                if gone.traded { age.sqrt().recip() + ANY_AGE_TRADED } else { (age * age).recip() + ANY_AGE };
            let by_size = match order.qty.cmp(&gone.qty) {
                Ordering::Equal => 1.0,
                Ordering::Greater => netted,
                Ordering::Less => netted / 10.0,
            };
            qty += order.qty;
            weight += by_age * by_size;
            self.behind.push(Behind { qty, weight });
        }
    }
}

/// Probability that what is gone of a level was before a place with so much behind it: by weight, and in part by quantity.
fn share_before(all: &[Behind], behind: i64, of: i64, by_qty: f64) -> f64 {
    let Some(last) = all.last() else { return 1.0 };
    let at = all.partition_point(|each| each.qty <= behind);
    let (from, to) = (at.checked_sub(1).map(|before| all[before]), all.get(at));
    let weight = match (from, to) {
        (from, Some(to)) => {
            // The place is within this order, which is inferred: so much of it is behind.
            let from = from.unwrap_or(Behind { qty: 0, weight: 0.0 });
            let part = (behind - from.qty) as f64 / (to.qty - from.qty) as f64;
            from.weight + part * (to.weight - from.weight)
        }
        (_, None) => last.weight,
    };
    let of_qty = (of - behind) as f64 / of as f64;
    let of_weight = if last.weight > 0.0 { 1.0 - weight / last.weight } else { of_qty };
    (1.0 - by_qty) * of_weight + by_qty * of_qty
}
