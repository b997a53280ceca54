//! A budget that fills with time.

/// One token in the unit of the level: rates of any size then fill without rounding.
const TOKEN: u64 = 1_000_000_000;

/// Tokens a second up to a burst. Taking may leave a debt, which time pays first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    per_s: u64,
    full: i64,
    level: i64,
    at_ns: u64,
}

impl Bucket {
    /// A full bucket. Both numbers are at least 1.
    pub(super) fn new(per_s: u64, burst: u64, now_ns: u64) -> Self {
        let full = i64::try_from(burst.max(1).saturating_mul(TOKEN)).unwrap_or(i64::MAX);
        Self { per_s: per_s.max(1), full, level: full, at_ns: now_ns }
    }

    fn fill(&mut self, now_ns: u64) {
        let gained = now_ns.saturating_sub(self.at_ns).saturating_mul(self.per_s);
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(gained).min(self.full);
        self.at_ns = self.at_ns.max(now_ns);
    }

    /// Nanoseconds until `tokens` are there, 0 = now. More than the burst are there as soon as the bucket is full.
    pub(super) fn wait_ns(&mut self, tokens: u64, now_ns: u64) -> u64 {
        self.fill(now_ns);
        let wanted = i64::try_from(tokens.saturating_mul(TOKEN)).unwrap_or(i64::MAX).min(self.full);
        u64::try_from(wanted.saturating_sub(self.level)).unwrap_or(0).div_ceil(self.per_s)
    }

    /// Takes tokens, be they there or not.
    pub(super) fn take(&mut self, tokens: u64) {
        let tokens = i64::try_from(tokens.saturating_mul(TOKEN)).unwrap_or(i64::MAX);
        self.level = self.level.saturating_sub(tokens);
    }

    /// Takes tokens if they are there; otherwise says how many nanoseconds to wait.
    pub(super) fn try_take(&mut self, tokens: u64, now_ns: u64) -> Result<(), u64> {
        match self.wait_ns(tokens, now_ns) {
            0 => {
                self.take(tokens);
                Ok(())
            }
            wait_ns => Err(wait_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(8_000, 4_096, 5);
        assert_eq!(bucket.try_take(4_096, 5), Ok(()));
        assert_eq!(bucket.try_take(1, 5), Err(125_000));
        assert_eq!(bucket.try_take(256, 5), Err(32_000_000));
        assert_eq!(bucket.try_take(256, 5 + 31_999_999), Err(1));
        assert_eq!(bucket.try_take(256, 5 + 32_000_000), Ok(()));
        assert_eq!(bucket.try_take(4_096, 10 * SECOND), Ok(()), "full again");
        assert_eq!(bucket.try_take(1, 10 * SECOND), Err(125_000), "and not more than full");
    }

    #[test]
    fn over_a_second_exactly_the_rate_is_taken() {
        for per_s in [3, 2_000, 1_000_003] {
            let mut bucket = Bucket::new(per_s, 1, 0);
            bucket.take(1);
            let mut taken = 0;
            for now_ns in (0..=10 * SECOND).step_by(997) {
                while bucket.try_take(1, now_ns).is_ok() {
                    taken += 1;
                }
            }
            // A bucket of one loses what comes while it is full: at most the rest of one look at the clock a token.
            let most = 10 * per_s;
            assert!(taken <= most && taken + 1 >= most - most * per_s * 997 / SECOND, "{taken} of {most}");
        }
    }

    #[test]
    fn a_debt_is_paid_first_and_no_number_is_too_large() {
        let mut bucket = Bucket::new(1_000, 10, 0);
        bucket.take(30);
        assert_eq!(bucket.wait_ns(1, 0), 21_000_000);
        assert_eq!(bucket.wait_ns(u64::MAX, 0), 30_000_000, "until it is full");
        bucket.take(u64::MAX);
        assert!(bucket.wait_ns(1, SECOND) > SECOND);
        let mut bucket = Bucket::new(u64::MAX, u64::MAX, u64::MAX);
        assert_eq!(bucket.try_take(u64::MAX, u64::MAX), Ok(()));
        assert_eq!(bucket.try_take(1, 0), Err(1), "time does not go back");
        assert_eq!(Bucket::new(0, 0, 0).try_take(1, 0), Ok(()));
    }
}
