//! Random numbers of a seed: whoever needs some draws them here.

/// Probabilities are integers in parts per million: 10,000 = 1 %.
pub const PPM: u32 = 1_000_000;

/// Numbers that depend on a seed and nothing else: `SplitMix64` (Steele, Lea, Flood, 2014).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// 0 to `end` - 1; the remainder's bias is below 2^-30 for any `end` used here.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn index(&mut self, end: usize) -> usize {
        // Below `end`, which is a usize.
        self.below(end as u64) as usize
    }

    /// From 0 to below 1, in steps of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(PPM.into()) < u64::from(ppm)
    }
}

/// Bits behind the point of [`Draw::exponential`].
pub(crate) const EXPONENTIAL_BITS: u32 = 32;

/// ln 2 with as many bits.
const LN_2: u128 = 2_977_044_472;

impl Draw {
    /// A time of mean 1 between events that come by chance, in 2^-32: -ln of a number between 0 and 1, by integers alone, so that
    /// every machine draws the same.
    pub(crate) fn exponential(&mut self) -> u64 {
        let drawn = self.next() | 1;
        let zeros = drawn.leading_zeros();
        // The number is m / 2^(zeros + 1), m from 1 to 2. Each square of m tells one bit of its logarithm to base 2.
        let mut m = drawn << zeros >> 32;
        let mut log = 0_u64;
        for _ in 0..EXPONENTIAL_BITS {
            m = (m * m) >> 31;
            log <<= 1;
            if m >> 32 != 0 {
                m >>= 1;
                log |= 1;
            }
        }
        let halvings = (u64::from(zeros + 1) << EXPONENTIAL_BITS) - log;
        // At most 64 × ln 2, far below 2^64.
        ((u128::from(halvings) * LN_2) >> EXPONENTIAL_BITS) as u64
    }

    /// Index of a weight, each as likely as its part of all; 0 if all are 0.
    pub(crate) fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (at, weight) in weights.iter().enumerate() {
            if left < *weight {
                return at;
            }
            left -= weight;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of many draws: mean 1, and the shares above 1, 2 and 5 are those of the exponential distribution.
    #[test]
    fn times_between_events_are_exponential() {
        const DRAWS: u64 = 400_000;
        let mut draw = Draw(7);
        let times: Vec<u64> = (0..DRAWS).map(|_| draw.exponential()).collect();
        let sum: u128 = times.iter().map(|time| u128::from(*time)).sum();
        let mean_ppm = (sum * 1_000_000 / u128::from(DRAWS)) >> EXPONENTIAL_BITS;
        assert!(mean_ppm.abs_diff(1_000_000) < 5_000, "{mean_ppm}");
        for (above, share_ppm) in [(1_u64, 367_879_u64), (2, 135_335), (5, 6_738)] {
            let count = times.iter().filter(|time| **time > above << EXPONENTIAL_BITS).count() as u64;
            assert!((count * 1_000_000 / DRAWS).abs_diff(share_ppm) < 3_000, "above {above}: {count}");
        }
    }

    #[test]
    fn weights_are_shares() {
        let mut draw = Draw(3);
        let mut counts = [0_u32; 4];
        for _ in 0..100_000 {
            counts[draw.weighted(&[0, 10, 0, 30])] += 1;
        }
        assert_eq!((counts[0], counts[2]), (0, 0));
        assert!(counts[1].abs_diff(25_000) < 700, "{counts:?}");
        assert_eq!(draw.weighted(&[0, 0]), 0);
    }
}
