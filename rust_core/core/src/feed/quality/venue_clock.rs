//! The venue's clock beside ours, estimated from the traffic.
//!
//! A message that says when it was made arrives later by the way it took, and by what the two clocks differ. The way has a
//! least length, which the quickest message of a while comes near: so the least difference of each ten seconds is kept, and
//! nothing else. The least of all bounds the offset; their slope is the drift, by Theil and Sen's median of all slopes, which
//! a quarter of bad minima (a busy network, a step of a clock) does not move.

use std::cmp::Ordering;

/// Length of a window of which the least difference is kept.
pub const WINDOW_NS: i64 = 10_000_000_000;
/// Windows kept: eleven minutes. A venue that prints whole milliseconds is known to 1.5 ppm over them.
pub const WINDOWS: usize = 64;
/// Windows before there is a slope.
const SLOPE_WINDOWS_MIN: usize = 4;
/// Messages whose quickest one sets the difference where the clocks are not comparable: a session may begin with tickers and
/// books that are as old as their last change.
const SETTLING: u32 = 64;

/// Least difference between the receive time and the exchange's, in one window.
#[derive(Clone, Copy, Debug, Default)]
struct Least {
    late_ns: i64,
    /// Receive time of that message.
    at_ns: i64,
}

/// The venue's clock beside ours.
#[derive(Debug)]
pub struct VenueClock {
    /// Where the clocks are not comparable (replay, stand-in venue): the least of the first messages.
    base_ns: Option<i64>,
    /// Messages that may still lower it.
    unsettled: u32,
    is_comparable: bool,
    ring: [Least; WINDOWS],
    /// Windows begun; the last one is under way.
    begun: usize,
    window_ns: i64,
}

impl VenueClock {
    pub(crate) fn new(is_comparable: bool) -> Self {
        Self {
            base_ns: is_comparable.then_some(0),
            unsettled: if is_comparable { 0 } else { SETTLING },
            is_comparable,
            ring: [Least::default(); WINDOWS],
            begun: 0,
            window_ns: 0,
        }
    }

    /// How much later than its exchange time a message came. Where the clocks are not comparable the quickest of the first
    /// messages sets the difference.
    #[inline]
    pub(super) fn late_ns(&mut self, exchange_ts: i64, recv_ts: i64) -> i64 {
        let late_ns = recv_ts.saturating_sub(exchange_ts);
        let base_ns = *self.base_ns.get_or_insert(late_ns);
        if self.unsettled == 0 {
            return late_ns.saturating_sub(base_ns);
        }
        self.unsettled -= 1;
        if late_ns < base_ns {
            self.base_ns = Some(late_ns);
            for least in &mut self.ring {
                least.late_ns = least.late_ns.saturating_add(base_ns.saturating_sub(late_ns));
            }
        }
        late_ns.saturating_sub(base_ns.min(late_ns))
    }

    #[inline]
    pub(super) fn see(&mut self, late_ns: i64, recv_ts: i64) {
        let is_inside = (0..WINDOW_NS).contains(&recv_ts.wrapping_sub(self.window_ns));
        if self.begun == 0 || !is_inside {
            self.window_ns = recv_ts;
            self.begun += 1;
            self.ring[(self.begun - 1) % WINDOWS] = Least { late_ns, at_ns: recv_ts };
            return;
        }
        let least = &mut self.ring[(self.begun - 1) % WINDOWS];
        if late_ns < least.late_ns {
            *least = Least { late_ns, at_ns: recv_ts };
        }
    }

    fn kept(&self) -> &[Least] {
        &self.ring[..self.begun.min(WINDOWS)]
    }

    /// Whether offsets are those of the clocks; else they count from the quickest of the first messages.
    #[must_use]
    pub fn is_comparable(&self) -> bool {
        self.is_comparable
    }

    /// Windows that the estimates stand on.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.kept().len()
    }

    /// The least that a message came after its exchange time, in nanoseconds: our clock is at most so much before the
    /// venue's, and less by the quickest way. Below zero the venue's clock is surely before ours. `None`: no times yet.
    #[must_use]
    pub fn offset_ns(&self) -> Option<i64> {
        self.kept().iter().map(|least| least.late_ns).min()
    }

    /// How fast our clock gains on the venue's, in parts per million. `None`: too few windows.
    #[must_use]
    pub fn drift_ppm(&self) -> Option<f64> {
        let kept = self.kept();
        if kept.len() < SLOPE_WINDOWS_MIN {
            return None;
        }
        let mut slopes = Vec::with_capacity(kept.len() * (kept.len() - 1) / 2);
        for (index, one) in kept.iter().enumerate() {
            for other in &kept[index + 1..] {
                let time = other.at_ns.wrapping_sub(one.at_ns);
                if time != 0 {
                    slopes.push(other.late_ns.wrapping_sub(one.late_ns) as f64 / time as f64);
                }
            }
        }
        let middle = slopes.len() / 2;
        let by_size = |one: &f64, other: &f64| one.partial_cmp(other).unwrap_or(Ordering::Equal);
        (!slopes.is_empty()).then(|| *slopes.select_nth_unstable_by(middle, by_size).1 * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::{SETTLING, VenueClock, WINDOW_NS, WINDOWS};

    /// Messages every 50 ms, their ways at least 3 ms and often far longer; the venue prints milliseconds, begins 20 ms
    /// before us and loses `ppm`.
    fn told(clock: &mut VenueClock, seconds: i64, ppm: f64) {
        let mut noise = 1_u64;
        for number in 0..seconds * 20 {
            let sent_ns = 1_700_000_000_000_000_000 + number * 50_000_000;
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let way_ns = 3_000_000 + (noise >> 40) as i64 % 40_000_000;
            let lost_ns = (number * 50_000_000) as f64 * ppm / 1e6;
            let exchange_ts = (sent_ns + 20_000_000 - lost_ns as i64) / 1_000_000 * 1_000_000;
            let late_ns = clock.late_ns(exchange_ts, sent_ns + way_ns);
            clock.see(late_ns, sent_ns + way_ns);
        }
    }

    #[test]
    fn offset_and_drift_are_found_through_noise() {
        let mut clock = VenueClock::new(true);
        told(&mut clock, 600, 50.0);
        let drift = clock.drift_ppm().unwrap();
        assert!((48.0..52.0).contains(&drift), "{drift}");
        let offset = clock.offset_ns().unwrap();
        assert!((-17_000_000..-15_500_000).contains(&offset), "{offset}");
        let mut still = VenueClock::new(true);
        told(&mut still, 600, 0.0);
        assert!(still.drift_ppm().unwrap().abs() < 2.0);
    }

    #[test]
    fn a_fifth_of_bad_windows_moves_nothing_and_old_ones_leave() {
        let mut clock = VenueClock::new(true);
        for window in 0..WINDOWS as i64 {
            let late_ns = if window % 5 == 0 { 900_000_000 } else { 1_000_000 + window * 100_000 };
            clock.see(late_ns, window * WINDOW_NS);
        }
        assert!((clock.drift_ppm().unwrap() - 10.0).abs() < 0.5, "{:?}", clock.drift_ppm());
        assert_eq!((clock.offset_ns(), clock.windows()), (Some(1_100_000), WINDOWS));
        for window in 0..WINDOWS as i64 {
            clock.see(7_000_000, (1_000 + window) * WINDOW_NS);
        }
        assert_eq!((clock.offset_ns(), clock.drift_ppm()), (Some(7_000_000), Some(0.0)));
    }

    #[test]
    fn a_recording_counts_from_the_quickest_of_its_first_messages() {
        let mut clock = VenueClock::new(false);
        assert_eq!((clock.offset_ns(), clock.drift_ppm()), (None, None));
        assert_eq!(clock.late_ns(5, 1_000_000), 0);
        clock.see(0, 1_000_000);
        assert_eq!(clock.late_ns(105, 1_000_030), 0);
        assert_eq!(clock.offset_ns(), Some(70), "the first one was that much slower");
        for _ in 2..SETTLING {
            assert_eq!(clock.late_ns(5, 1_000_000), 70);
        }
        assert_eq!(clock.late_ns(905, 1_000_000), -830, "later ones are measured by that");
        assert_eq!(clock.late_ns(5, 1_000_000), 70);
    }
}
