//! How much sizes tell, learned from the stream.

/// What was seen so many changes ago counts 1/e.
const REMEMBERED: f64 = 500.0;

/// Chance as which sizes count from the start until it is known better, and of how many changes.
const MISSED_AT_FIRST: (f64, f64) = (2.0, 20.0);

/// Part of chance at which sizes tell nothing, and how fast that comes.
const NETTED_FROM: f64 = 0.75;
const NETTED_POWER: i32 = 7;

/// What an order of another size weighs where sizes tell most.
pub(super) const OTHER_SIZE_LEAST: f64 = 0.003;

/// How much the size of what is gone tells of which order it was. Where each order is told of on its own, an order of just that size is
/// nearly always there; where changes are netted, about as often as by chance.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// How often no order was of just that size, and how often none was of the size of what was gone before, anywhere.
    missed: f64,
    missed_by_chance: f64,
    /// What was gone last.
    pub(super) last: i64,
    /// Mean of what was gone.
    pub(super) mean: f64,
}

impl Sizes {
    pub(super) fn new() -> Self {
        let (missed, missed_by_chance) = MISSED_AT_FIRST;
        Self { missed, missed_by_chance, last: 0, mean: 0.0 }
    }

    /// The same at a finer exponent; `None` if a quantity does not fit.
    pub(super) fn rescaled(&self, qty_factor: i64) -> Option<Self> {
        let last = self.last.checked_mul(qty_factor)?;
        Some(Self { last, mean: self.mean * qty_factor as f64, ..*self })
    }

    /// 0 = what is gone is always of the size of an order that is there, 1 = no more often than by chance.
    pub(super) fn missed_of_chance(&self) -> f64 {
        // Where all orders are alike nothing is ever missed, and both sums fade.
        self.missed / self.missed_by_chance.max(1.0)
    }

    /// 1 = a size tells nothing: all is netted.
    pub(super) fn netted(&self) -> f64 {
        (self.missed_of_chance() / NETTED_FROM).powi(NETTED_POWER).clamp(OTHER_SIZE_LEAST, 1.0)
    }

    pub(super) fn learn(&mut self, qty: i64, missed: bool, missed_by_chance: bool) {
        let kept = 1.0 - 1.0 / REMEMBERED;
        self.missed = self.missed * kept + f64::from(missed);
        self.missed_by_chance = self.missed_by_chance * kept + f64::from(missed_by_chance);
        self.last = qty;
    }
}

#[cfg(test)]
mod tests {
    use super::Sizes;

    #[test]
    fn sizes_that_are_all_alike_are_never_missed() {
        let mut sizes = Sizes::new();
        for _ in 0..500_000 {
            sizes.learn(1, false, false);
        }
        assert!(sizes.missed_of_chance() < 1e-9, "{}", sizes.missed_of_chance());
        assert!((sizes.netted() - 0.003).abs() < 1e-9);
    }

    #[test]
    fn sizes_tell_nothing_where_they_are_missed_as_often_as_by_chance() {
        let mut sizes = Sizes::new();
        for _ in 0..5_000 {
            sizes.learn(7, true, true);
        }
        assert!((sizes.missed_of_chance() - 1.0).abs() < 1e-3);
        assert_eq!((sizes.netted(), sizes.last), (1.0, 7));
    }
}
