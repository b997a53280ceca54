//! Which order a quantity was that is gone from a level without a trade.

use std::cmp::Ordering;

use super::queues::{Handle, QueueAt, Queues};
use crate::draw::Draw;

/// Orders of a level that [`Rule::ExactSize`] and [`Rule::Likeliest`] look at, the newest ones: an older one is hardly ever it.
const SCAN_MAX: usize = 64;

/// What the drawing rules begin with: the same messages always give the same orders.
const SEED: u64 = 2026;

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
    draw: Draw,
}

impl Picker {
    pub(super) fn new(rule: Rule, weights: Weights) -> Self {
        Self { rule, weights, draw: Draw(SEED) }
    }

    /// The order that a quantity was taken from, and how sure that is.
    pub(super) fn pick(&mut self, queues: &Queues, queue: QueueAt, qty: i64, ts: i64) -> (Handle, f32) {
        let newest = queues.last_at(queue);
        if newest == queues.first_at(queue) {
            return (newest, 1.0);
        }
        let from_newest =
            || std::iter::successors(Some(newest), |handle| queues.previous(*handle)).take(SCAN_MAX);
        match self.rule {
            Rule::NewestFirst => (newest, 1.0),
            Rule::OldestFirst => (queues.first_at(queue), 1.0),
            Rule::Proportional | Rule::Logarithmic => self.drawn(queues, queue),
            Rule::ExactSize => {
                (from_newest().find(|handle| queues.qty_and_ts(*handle).0 == qty).unwrap_or(newest), 1.0)
            }
            Rule::Likeliest => {
                let (mut best, mut highest, mut sum) = (newest, 0.0, 0.0);
                for handle in from_newest() {
                    let (its_qty, since) = queues.qty_and_ts(handle);
                    let age = u64::try_from(ts - since).unwrap_or(0);
                    let of_qty = match its_qty.cmp(&qty) {
                        Ordering::Equal => 1.0,
                        Ordering::Greater => self.weights.larger,
                        Ordering::Less => self.weights.smaller,
                    };
                    let weight = self.weights.age[age.checked_ilog2().unwrap_or(0) as usize] * of_qty;
                    sum += weight;
                    if weight > highest {
                        (best, highest) = (handle, weight);
                    }
                }
                (best, highest / sum)
            }
        }
    }

    /// The order at which the share of what is gone that is before its end reaches a drawn number, and its own share.
    fn drawn(&mut self, queues: &Queues, queue: QueueAt) -> (Handle, f32) {
        let share = match self.rule {
            Rule::Proportional => |front: f64, back: f64| front / (front + back),
            _ => |front: f64, back: f64| front.ln_1p() / (front.ln_1p() + back.ln_1p()),
        };
        let all = queues.qty_at(queue) as f64;
        let drawn = self.draw.unit();
        let (mut front, mut before) = (0.0, 0.0);
        let mut found = (queues.first_at(queue), 1.0);
        for handle in std::iter::successors(Some(found.0), |handle| queues.next(*handle)) {
            front += queues.qty_and_ts(handle).0 as f64;
            let until = share(front, (all - front).max(0.0));
            found = (handle, (until - before) as f32);
            if until > drawn {
                break;
            }
            before = until;
        }
        found
    }
}
