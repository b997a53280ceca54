//! Durations in buckets that are never wider than an eighth of what they hold.

/// Buckets of each power of two.
const STEPS: u64 = 8;
const STEP_BITS: u32 = STEPS.ilog2();
/// Longer durations (2⁴⁰ ns are 18 minutes) are counted in the last bucket.
const OCTAVES: usize = 40;
const BUCKETS: usize = (OCTAVES - STEP_BITS as usize + 1) * STEPS as usize;

/// How often durations came, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Durations below zero: two clocks disagree by more than the time between them.
    pub negative: u64,
    counts: Box<[u64; BUCKETS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { negative: 0, counts: Box::new([0; BUCKETS]) }
    }
}

impl Histogram {
    /// Takes one duration.
    pub fn add(&mut self, ns: i64) {
        self.add_many(ns, 1);
    }

    /// Takes a duration that came so many times.
    pub fn add_many(&mut self, ns: i64, times: u64) {
        match u64::try_from(ns) {
            Ok(ns) => self.counts[bucket(ns)] += times,
            Err(_) => self.negative += times,
        }
    }

    /// Lower and upper bound (not included) in nanoseconds and count of each bucket that is not empty, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let counts = self.counts.iter().enumerate();
        counts.filter(|&(_, &count)| count > 0).map(|(index, &count)| (lower(index), lower(index + 1), count))
    }
}

/// Below [`STEPS`] a bucket is one nanosecond; above, the three bits below the highest one choose it.
fn bucket(ns: u64) -> usize {
    if ns < STEPS {
        return ns as usize;
    }
    let shift = ns.ilog2() - STEP_BITS;
    (((u64::from(shift) + 1) * STEPS + (ns >> shift) - STEPS) as usize).min(BUCKETS - 1)
}

fn lower(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    (STEPS + index % STEPS) << (index / STEPS - 1)
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, bucket, lower};

    #[test]
    fn every_bucket_begins_where_the_one_before_ends() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(lower(index)), index);
            assert_eq!(bucket(lower(index + 1) - 1), index);
        }
        assert_eq!(lower(BUCKETS), 1 << 40);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
