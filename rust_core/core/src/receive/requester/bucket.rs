//! A budget that fills up again with time.

const NS_PER_S: u64 = 1_000_000_000;

/// Tokens in billionths, so that nothing is rounded.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    billionths: u64,
    per_s: u64,
    burst: u64,
    at_ns: u64,
}

impl Bucket {
    /// Full; `per_s` and `burst` tokens, both at least 1.
    pub(super) fn new(per_s: u64, burst: u64, now_ns: u64) -> Self {
        Self { billionths: burst * NS_PER_S, per_s, burst, at_ns: now_ns }
    }

    /// When a token can be taken: now, or at the time given.
    pub(super) fn ready(&mut self, now_ns: u64) -> Result<(), u64> {
        let added = now_ns.saturating_sub(self.at_ns).saturating_mul(self.per_s);
        self.billionths = self.billionths.saturating_add(added).min(self.burst * NS_PER_S);
        self.at_ns = self.at_ns.max(now_ns);
        match NS_PER_S.saturating_sub(self.billionths) {
            0 => Ok(()),
            lacking => Err(now_ns.saturating_add(lacking.div_ceil(self.per_s))),
        }
    }

    /// Takes a token that is there.
    pub(super) fn take(&mut self) {
        self.billionths = self.billionths.saturating_sub(NS_PER_S);
    }
}

#[cfg(test)]
mod tests {
    use super::Bucket;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(2_000, 3, 50);
        for _ in 0..3 {
            assert_eq!(bucket.ready(50), Ok(()));
            bucket.take();
        }
        assert_eq!(bucket.ready(50), Err(500_050));
        assert_eq!(bucket.ready(500_049), Err(500_050));
        assert_eq!(bucket.ready(500_050), Ok(()));
        bucket.take();
        assert_eq!(bucket.ready(500_050), Err(1_000_050));
        assert_eq!(bucket.ready(u64::MAX), Ok(()));
    }
}
