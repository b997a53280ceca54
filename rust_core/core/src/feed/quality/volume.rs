//! Whether a trade is far larger than the instrument's large trades.
//!
//! Sizes of trades have no scale of their own: within a minute of BTCUSDT they span six decades, and their tail falls as
//! size^-1.5 (Gabaix, Gopikrishnan, Plerou and Stanley, Nature 423, 2003). So a trade is measured by the largest hundredth
//! and not by the mean: fifty times that is passed by 3 in 100,000 trades of that tail. The hundredth is followed by steps,
//! as in Ma, Muthukrishnan and Sandler, "Frugal streaming for estimating quantiles" (2013), here of ratios.
//! A small trade printed a thousand times too large is within what the instrument trades, and no rule can see it.

/// How much larger than the large ones.
const SPIKE: f64 = 50.0;
/// A trade above the estimate raises it by a twentieth, …
const UP: f64 = 1.05;
/// … one below lowers it by a hundredth of that: the estimate stands where one of a hundred is above.
const DOWN: f64 = 1.0 - 0.05 / 99.0;
/// Trades before one is marked. The largest of them is the first estimate.
pub(super) const TRADES_MIN: u32 = 128;

/// The size that one of a hundred trades passes, in mantissas.
#[derive(Debug, Default)]
pub(super) struct Volumes {
    large: f64,
    seen: u32,
}

impl Volumes {
    /// Takes the quantity of a trade; `true`: it is a spike.
    #[inline]
    pub(super) fn see(&mut self, qty: f64) -> bool {
        if self.seen < TRADES_MIN {
            self.seen += 1;
            self.large = self.large.max(qty);
            return false;
        }
        let is_spike = qty > SPIKE * self.large;
        self.large *= if qty > self.large { UP } else { DOWN };
        is_spike
    }

    pub(super) fn rescale(&mut self, factor: f64) {
        self.large *= factor;
    }
}

#[cfg(test)]
mod tests {
    use super::{TRADES_MIN, Volumes};

    #[test]
    fn the_estimate_stands_where_one_of_a_hundred_is_above() {
        let mut volumes = Volumes::default();
        // 1 to 1,000, each once in a thousand, far apart.
        for number in 0..2_000_000_u64 {
            assert!(!volumes.see((number * 617 % 1_000 + 1) as f64));
        }
        assert!((970.0..1_030.0).contains(&volumes.large), "{}", volumes.large);
    }

    #[test]
    fn a_spike_is_marked_and_does_not_become_the_measure() {
        let mut volumes = Volumes::default();
        for number in 0..TRADES_MIN {
            assert!(!volumes.see(f64::from(number % 10 + 1)));
        }
        for _ in 0..10 {
            assert!(volumes.see(10_000.0));
            assert!(!volumes.see(100.0));
        }
    }
}
