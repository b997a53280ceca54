//! How long it takes from a read of an exchange's socket until what it made has left.

use super::Feed;
use crate::publish::{Arrival, Host};
use crate::tally::Histogram;

/// Least and greatest bound of [`Latency::cumulative`], as powers of two: 1 µs and 1.07 s.
const BOUNDS: std::ops::RangeInclusive<u32> = 10..=30;

/// Messages of the exchange that made frames, by the time from their read until the frames had left. The clock is read once
/// for all that leave together.
#[derive(Debug, Default)]
pub struct Latency {
    histogram: Histogram,
    count: u64,
    sum_ns: u64,
    /// Monotonic time of the first read that waits, and the messages that do.
    since_ns: u64,
    waiting: u64,
}

impl Latency {
    /// Messages counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Sum of their times.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// Lower and upper bound (not included) in nanoseconds and count of each fine bucket that is not empty.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        self.histogram.buckets()
    }

    /// Bounds that never change, powers of two from 1,024 ns to 2^30 ns, and how many messages took less.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        BOUNDS.map(|power| {
            let bound = 1 << power;
            let below = self.histogram.buckets().take_while(|(_, upper, _)| *upper <= bound);
            (bound, below.map(|(_, _, count)| count).sum())
        })
    }
}

impl Feed {
    /// A message made frames, which wait. Those of a later read that leave with those of an earlier one count from it.
    #[inline]
    pub(super) fn waits(&mut self, arrival: Arrival) {
        if self.latency.waiting == 0 {
            self.latency.since_ns = arrival.mono_ns;
        }
        self.latency.waiting += 1;
    }

    /// All that waited has left.
    #[inline]
    pub(super) fn has_left(&mut self, host: &dyn Host) {
        let latency = &mut self.latency;
        if latency.waiting == 0 {
            return;
        }
        let count = std::mem::take(&mut latency.waiting);
        let took_ns = host.mono_ns().saturating_sub(latency.since_ns);
        latency.histogram.add_many(i64::try_from(took_ns).unwrap_or(i64::MAX), count);
        latency.count += count;
        latency.sum_ns = latency.sum_ns.saturating_add(took_ns.saturating_mul(count));
    }

    /// From the read of an exchange's socket until its frames had left.
    #[must_use]
    pub fn latency(&self) -> &Latency {
        &self.latency
    }
}
