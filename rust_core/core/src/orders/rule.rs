//! Which order a quantity was that is gone from a level without a trade.

use std::hint::select_unpredictable;

use super::places::QueueAt;
use super::queues::{Handle, Queues};
use crate::draw::Draw;

/// Orders of a level that [`Rule::ExactSize`] and [`Rule::Likeliest`] look at, the newest ones: an older one is hardly ever it.
const SCAN_MAX: usize = 64;

/// What the drawing rules begin with: the same messages always give the same orders.
const SEED: u64 = 2026;

/// The confidence of what is sure: on the wire it has a byte.
pub(super) const CERTAIN: u8 = u8::MAX;

fn confidence(probability: f32) -> u8 {
    (probability * f32::from(CERTAIN)) as u8
}

/// Which order a quantity that is gone without a trade was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The newest.
    NewestFirst,
    /// The oldest.
    OldestFirst,
    /// One that is drawn: each lot of the level is as likely to be gone. Walks the level.
    Proportional,
    /// One that is drawn, so that what is gone stood before the first `f` of a level of `t` with probability
    /// `ln(1 + f) / (ln(1 + f) + ln(1 + t - f))`. Walks the level.
    Logarithmic,
    /// The newest of just that quantity, otherwise the newest.
    ExactSize,
    /// The likeliest by quantity and age: see [`Weights`].
    Likeliest,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NewestFirst,
        Self::OldestFirst,
        Self::Proportional,
        Self::Logarithmic,
        Self::ExactSize,
        Self::Likeliest,
    ];

    /// The rule in a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NewestFirst => "newest",
            Self::OldestFirst => "oldest",
            Self::Proportional => "proportional",
            Self::Logarithmic => "logarithmic",
            Self::ExactSize => "exact",
            Self::Likeliest => "likeliest",
        }
    }
}

/// What [`Rule::Likeliest`] weighs by. An order's weight is that of its age times that of how its quantity compares.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// By the binary logarithm of the age in nanoseconds.
    pub age: [f32; 64],
    /// It was more than what is gone: it was reduced.
    pub larger: f32,
    /// It was less: others are gone with it.
    pub smaller: f32,
}

impl Weights {
    /// `(age + 1 s)^-exponent`, and what an order of more or less than what is gone weighs.
    #[must_use]
    pub fn new(exponent: f32, larger: f32, smaller: f32) -> Self {
        let age = std::array::from_fn(|bits| ((1_u64 << bits) as f32 / 1e9 + 1.0).powf(-exponent));
        Self { age, larger, smaller }
    }
}

impl Default for Weights {
    /// docs/l3.md says how little other ones change.
    fn default() -> Self {
        Self::new(0.5, 0.05, 0.001)
    }
}

/// A rule with all that it needs.
#[derive(Clone, Debug)]
pub(super) struct Picker {
    rule: Rule,
    weights: Weights,
    /// Of an order of less, as much and more than what is gone.
    by_qty: [f32; 3],
    draw: Draw,
}

impl Picker {
    pub(super) fn new(rule: Rule, weights: Weights) -> Self {
        let by_qty = [weights.smaller, 1.0, weights.larger];
        Self { rule, weights, by_qty, draw: Draw(SEED) }
    }

    /// The order that a quantity was taken from, and how sure that is.
    #[inline]
    pub(super) fn pick(&mut self, queues: &Queues, queue: QueueAt, qty: i64, ts: i64) -> (Handle, u8) {
        let newest = queues.last_at(queue);
        if newest == queues.first_at(queue) {
            return (newest, CERTAIN);
        }
        let from_newest =
            || std::iter::successors(Some(newest), |handle| queues.previous(*handle)).take(SCAN_MAX);
        match self.rule {
            Rule::NewestFirst => (newest, CERTAIN),
            Rule::OldestFirst => (queues.first_at(queue), CERTAIN),
            Rule::Proportional | Rule::Logarithmic => self.drawn(queues, queue),
            Rule::ExactSize => {
                (from_newest().find(|handle| queues.qty_and_ts(*handle).0 == qty).unwrap_or(newest), CERTAIN)
            }
            Rule::Likeliest => {
                // How quantities compare has no pattern that a processor could learn, so nothing branches on it.
                let (mut best, mut highest, mut sum) = (newest, 0.0, 0.0);
                let mut next = newest;
                for _ in 0..queues.count_at(queue).min(SCAN_MAX) {
                    let handle = next;
                    let (its_qty, since, before) = queues.qty_ts_and_previous(handle);
                    next = before;
                    let age = (ts - since).max(1).ilog2();
                    let compared = usize::from(its_qty >= qty) + usize::from(its_qty > qty);
                    let weight = self.weights.age[age as usize] * self.by_qty[compared];
                    sum += weight;
                    best = select_unpredictable(weight > highest, handle, best);
                    highest = if weight > highest { weight } else { highest };
                }
                (best, confidence(highest / sum))
            }
        }
    }

    /// The order at which the share of what is gone that is before its end reaches a drawn number, and its own share.
    fn drawn(&mut self, queues: &Queues, queue: QueueAt) -> (Handle, u8) {
        let share = match self.rule {
            Rule::Proportional => |front: f64, back: f64| front / (front + back),
            _ => |front: f64, back: f64| front.ln_1p() / (front.ln_1p() + back.ln_1p()),
        };
        let all = queues.qty_of(queue) as f64;
        let drawn = self.draw.unit();
        let (mut front, mut before) = (0.0, 0.0);
        let mut found = (queues.first_at(queue), CERTAIN);
        for handle in std::iter::successors(Some(found.0), |handle| queues.next(*handle)) {
            front += queues.qty_and_ts(handle).0 as f64;
            let until = share(front, (all - front).max(0.0));
            found = (handle, confidence((until - before) as f32));
            if until > drawn {
                break;
            }
            before = until;
        }
        found
    }
}
