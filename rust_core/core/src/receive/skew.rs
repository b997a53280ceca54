//! How long a missing number is waited for: adapted to how late reordered frames really come.

/// W before anything was observed.
pub const WINDOW_DEFAULT_NS: u64 = 300_000;
/// W is never shorter: the kernel alone delays two sockets by this much.
pub const WINDOW_MIN_NS: u64 = 50_000;
/// W is never longer: a book that may be wrong must not look LIVE for longer.
pub const WINDOW_MAX_NS: u64 = 2_000_000;
/// What comes later than this was not reordered but held up, and says nothing about W.
const SKEW_MAX_NS: u64 = 4 * WINDOW_MAX_NS;
const BUCKET_NS: u64 = 50_000;
const BUCKETS: usize = 41;
/// Below this many samples a 99.9th percentile is the maximum, and the default stays the least.
const SAMPLES_MIN: u64 = 1_000;
/// At this many samples all are halved: old weather is forgotten.
const SAMPLES_MAX: u64 = 16_384;

/// Histogram of the delays of reordered frames; its last bucket holds all above [`WINDOW_MAX_NS`].
#[derive(Clone, Debug)]
pub(super) struct Skew {
    buckets: [u64; BUCKETS],
    samples: u64,
    window_ns: u64,
}

impl Skew {
    pub(super) fn new() -> Self {
        Self { buckets: [0; BUCKETS], samples: 0, window_ns: WINDOW_DEFAULT_NS }
    }

    /// W in force.
    pub(super) fn window_ns(&self) -> u64 {
        self.window_ns
    }

    /// A missing number came this long after it was found missing.
    pub(super) fn observe(&mut self, delay_ns: u64) {
        if delay_ns > SKEW_MAX_NS {
            return;
        }
        let bucket = usize::try_from(delay_ns / BUCKET_NS).map_or(BUCKETS - 1, |at| at.min(BUCKETS - 1));
        self.buckets[bucket] += 1;
        self.samples += 1;
        if self.samples >= SAMPLES_MAX {
            self.buckets.iter_mut().for_each(|count| *count /= 2);
            self.samples = self.buckets.iter().sum();
        }
        let least = if self.samples < SAMPLES_MIN { WINDOW_DEFAULT_NS } else { WINDOW_MIN_NS };
        self.window_ns = self.percentile_999_ns().clamp(least, WINDOW_MAX_NS);
    }

    /// Upper end of the bucket in which the 99.9th percentile lies.
    fn percentile_999_ns(&self) -> u64 {
        let allowed_above = self.samples / 1_000;
        let mut above = 0;
        for at in (0..BUCKETS).rev() {
            above += self.buckets[at];
            if above > allowed_above {
                return (at as u64 + 1) * BUCKET_NS;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::{Skew, WINDOW_DEFAULT_NS, WINDOW_MAX_NS, WINDOW_MIN_NS};

    #[test]
    fn one_late_frame_widens_the_window_at_once() {
        let mut skew = Skew::new();
        assert_eq!(skew.window_ns(), WINDOW_DEFAULT_NS);
        skew.observe(10_000);
        assert_eq!(skew.window_ns(), WINDOW_DEFAULT_NS);
        skew.observe(720_000);
        assert_eq!(skew.window_ns(), 750_000);
        skew.observe(3_000_000);
        assert_eq!(skew.window_ns(), WINDOW_MAX_NS);
        skew.observe(50_000_000);
        assert_eq!(skew.samples, 3, "a frame held up for 50 ms is no reordering");
    }

    #[test]
    fn many_short_delays_narrow_it_to_the_least() {
        let mut skew = Skew::new();
        skew.observe(1_900_000);
        for _ in 0..40_000 {
            skew.observe(20_000);
        }
        assert_eq!(skew.window_ns(), WINDOW_MIN_NS);
    }
}
