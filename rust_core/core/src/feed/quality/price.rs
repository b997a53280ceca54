//! Whether a price is far from where the instrument was.
//!
//! The rule is that of Barndorff-Nielsen, Hansen, Lunde and Shephard, "Realized kernels in practice: trades and quotes"
//! (Econometrics Journal 12, 2009, Q4): a price is an outlier if it is more than ten mean absolute deviations from the
//! middle of its neighbours. They have 50 neighbours on both sides; here only those before are known, so that exponential
//! weights stand for them. The part of the bound that is there even where nothing moved is the granularity of Brownlees and
//! Gallo, "Financial econometric analysis at ultra-high frequency" (Computational Statistics & Data Analysis 51, 2006). After
//! a silence the bound is wider by the root of the seconds, as prices move.

/// Deviations that a price may be off.
const DEVIATIONS: f64 = 10.0;
/// And this part of the price: ten times what the quietest capture moves between two messages. The largest step of all
/// captures, 1.3 % on NEXOUSDT, came after a silence.
const FLOOR: f64 = 0.01;
/// Weight of a price in the mean: one in sixteen follows a trend and not a single price.
const MEAN_WEIGHT: f64 = 1.0 / 16.0;
/// Weight of a deviation: the half-life is 44 prices.
const DEVIATION_WEIGHT: f64 = 1.0 / 64.0;
/// Prices before one is marked.
pub(super) const PRICES_MIN: u32 = 32;
/// Outliers that agree with each other are no outliers: the market has moved.
const AGREEING: u32 = 8;

/// Where the instrument is and how much it moves, in mantissas.
#[derive(Debug, Default)]
pub(super) struct Reference {
    mean: f64,
    deviation: f64,
    seen: u32,
    /// Outliers in a row that agree with each other, and the last of them.
    agreeing: u32,
    outlier: f64,
    /// Receive time of the last price that was none.
    last_ns: i64,
}

impl Reference {
    /// Takes a price; `true`: it is an outlier.
    #[inline]
    pub(super) fn see(&mut self, price: f64, now_ns: i64) -> bool {
        if self.seen == 0 {
            self.mean = price;
        }
        self.seen = self.seen.saturating_add(1);
        let step = price - self.mean;
        let bound = FLOOR * self.mean.abs() + DEVIATIONS * self.deviation;
        if step.abs() > bound && self.is_outlier(price, bound, now_ns) {
            return self.seen > PRICES_MIN;
        }
        self.mean += step * MEAN_WEIGHT;
        self.deviation += (step.abs() - self.deviation) * DEVIATION_WEIGHT;
        self.agreeing = 0;
        self.last_ns = now_ns;
        false
    }

    #[cold]
    fn is_outlier(&mut self, price: f64, bound: f64, now_ns: i64) -> bool {
        let silence_s = now_ns.saturating_sub(self.last_ns) as f64 / 1e9;
        if (price - self.mean).abs() <= bound * silence_s.max(1.0).sqrt() {
            self.jump_to(price);
            return false;
        }
        let agrees = self.agreeing > 0 && (price - self.outlier).abs() <= bound;
        self.agreeing = if agrees { self.agreeing + 1 } else { 1 };
        self.outlier = price;
        if self.agreeing == AGREEING {
            self.jump_to(price);
            return false;
        }
        // An outlier counts as a moderate deviation, so that an instrument whose prices swing is learned in time
        // and a few bad prices change little.
        let moderate = FLOOR / 4.0 * self.mean.abs() + 2.0 * self.deviation;
        self.deviation += (moderate - self.deviation) * DEVIATION_WEIGHT;
        true
    }

    /// The level is another one now; how much the instrument moves on it is known.
    fn jump_to(&mut self, price: f64) {
        self.mean = price;
    }

    pub(super) fn rescale(&mut self, factor: f64) {
        self.mean *= factor;
        self.deviation *= factor;
        self.outlier *= factor;
    }
}

#[cfg(test)]
mod tests {
    use super::{AGREEING, PRICES_MIN, Reference};

    const SECOND_NS: i64 = 1_000_000_000;

    /// A reference that has seen prices swing by 0.01 % around 10,000, ten a second; and the time.
    fn settled() -> (Reference, i64) {
        let mut reference = Reference::default();
        let mut now_ns = SECOND_NS;
        for number in 0..200 {
            now_ns += SECOND_NS / 10;
            assert!(!reference.see(10_000.0 + f64::from(number % 2), now_ns));
        }
        (reference, now_ns)
    }

    #[test]
    fn a_price_ten_times_too_high_or_low_is_marked_and_changes_little() {
        let (mut reference, now_ns) = settled();
        for _ in 0..20 {
            assert!(reference.see(100_000.0, now_ns));
            assert!(reference.see(1_000.0, now_ns));
            assert!(!reference.see(10_000.0, now_ns));
        }
        assert!(reference.see(10_500.0, now_ns), "five per cent in no time");
    }

    #[test]
    fn a_market_that_moves_is_followed() {
        let (mut reference, now_ns) = settled();
        let marked: Vec<bool> = (0..AGREEING + 4).map(|_| reference.see(9_000.0, now_ns)).collect();
        assert_eq!(marked.iter().filter(|marked| **marked).count() as u32, AGREEING - 1);
        assert!(marked[AGREEING as usize - 1..].iter().all(|marked| !marked));
        assert!(reference.see(10_000.0, now_ns), "the level is the new one");
    }

    #[test]
    fn a_silence_widens_the_bound_by_its_root() {
        let (mut reference, now_ns) = settled();
        assert!(reference.see(10_400.0, now_ns + SECOND_NS));
        assert!(!reference.see(10_400.0, now_ns + 30 * SECOND_NS));
        assert!(reference.see(104_000.0, now_ns + 3_600 * SECOND_NS), "no hour makes ten times");
    }

    #[test]
    fn nothing_is_marked_before_enough_is_known_and_a_bad_first_price_is_forgotten() {
        let mut reference = Reference::default();
        assert!(!reference.see(1.0, 1));
        for _ in 1..PRICES_MIN {
            assert!(!reference.see(10_000.0, 1));
        }
        assert!(!reference.see(10_000.0, 1));
        assert!(reference.see(1.0, 1));
    }

    #[test]
    fn an_instrument_that_swings_is_learned() {
        let mut reference = Reference::default();
        let mut marked = 0;
        for number in 0..2_000 {
            marked += u32::from(reference.see(if number % 2 == 0 { 100.0 } else { 103.0 }, 1));
        }
        assert!(marked < 100, "{marked}");
        assert!(!reference.see(103.0, 1) && !reference.see(100.0, 1));
        assert!(reference.see(1_000.0, 1));
    }
}
