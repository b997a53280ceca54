//! Monotonic time between two reads of the system's clock, by the processor's time stamp counter. Reads nothing.
//!
//! A read of the system's clock takes about 22 ns, one of the counter 10. The system's clock stays the one that is told: the
//! counter only goes on from it, for [`FOLLOWED_NS`], at the rate that both had between the last two reads of the clock.
//! So a clock that a time daemon slews is followed (500 ppm are 1 µs), and a counter that jumps, stands still or runs
//! otherwise is wrong for so long at most.

/// How long the counter goes on from a read of the clock.
pub(super) const FOLLOWED_NS: u64 = 2_000_000;

/// The rate is followed if it is the same as before to one part of so many, twice what a time daemon slews; and a read of
/// the clock tells it if it took no longer than one part of so many of the time since the one before.
const PARTS: u64 = 1_000;

/// Bits of the fraction of a rate: exact to a nanosecond in seconds, and the product of [`FOLLOWED_NS`] fits 64 bits.
const FRACTION_BITS: u32 = 32;

/// A counter beside a clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticks {
    /// The counter when the clock was read last, and what it said.
    ticks: u64,
    mono_ns: u64,
    /// Nanoseconds a tick, times 2^[`FRACTION_BITS`]; 0 = not known yet.
    rate: u64,
    /// Ticks for which the counter goes on; 0 = the clock is to be read.
    followed: u64,
}

impl Ticks {
    /// Begins at a read of the clock. Two more are needed for a rate that holds.
    pub(super) fn new(ticks: u64, mono_ns: u64) -> Ticks {
        Ticks { ticks, mono_ns, rate: 0, followed: 0 }
    }

    /// The time when the counter says `ticks`; `None`: the clock is to be read.
    #[inline]
    pub(super) fn mono_at(&self, ticks: u64) -> Option<u64> {
        let since = ticks.wrapping_sub(self.ticks);
        (since < self.followed).then(|| self.mono_ns + (since.wrapping_mul(self.rate) >> FRACTION_BITS))
    }

    /// Takes a read of the clock, before and behind which the counter was read.
    pub(super) fn observe(&mut self, before: u64, mono_ns: u64, behind: u64) {
        let took = behind.wrapping_sub(before);
        let ticks = before.wrapping_add(took / 2);
        let (since, since_ns) = (ticks.wrapping_sub(self.ticks), mono_ns.saturating_sub(self.mono_ns));
        if since_ns < FOLLOWED_NS || took > since / PARTS {
            self.followed = 0;
            return;
        }
        let rate = (u128::from(since_ns) << FRACTION_BITS) / u128::from(since.max(1));
        let rate = u64::try_from(rate).unwrap_or(u64::MAX);
        let is_steady = rate.abs_diff(self.rate) <= self.rate / PARTS;
        let followed = (u128::from(FOLLOWED_NS) << FRACTION_BITS) / u128::from(rate.max(1));
        let followed = if is_steady { u64::try_from(followed).unwrap_or(u64::MAX) } else { 0 };
        *self = Ticks { ticks, mono_ns, rate, followed };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A counter of so many ticks in 10 µs beside a clock that began at 77 s, and how it is read.
    struct Machine {
        per_10_us: u64,
        counter: u64,
        mono_ns: u64,
    }

    impl Machine {
        fn new(per_10_us: u64) -> (Machine, Ticks) {
            let machine = Machine { per_10_us, counter: u64::MAX - 1_000_000, mono_ns: 77 * SECOND };
            let ticks = Ticks::new(machine.counter, machine.mono_ns);
            (machine, ticks)
        }

        fn pass(&mut self, ns: u64) {
            self.mono_ns += ns;
            let ticks = u128::from(ns) * u128::from(self.per_10_us) / 10_000;
            self.counter = self.counter.wrapping_add(ticks as u64);
        }

        /// Reads the clock as [`super::super::Clock`] does, in `took` ns; what it takes for the time.
        fn read(&mut self, ticks: &mut Ticks, took: u64) -> u64 {
            if let Some(mono_ns) = ticks.mono_at(self.counter) {
                return mono_ns;
            }
            let before = self.counter;
            self.pass(took / 2);
            let mono_ns = self.mono_ns;
            self.pass(took / 2);
            ticks.observe(before, mono_ns, self.counter);
            mono_ns
        }

        fn is_followed(&self, ticks: &Ticks) -> bool {
            ticks.mono_at(self.counter).is_some()
        }
    }

    #[test]
    fn the_counter_goes_on_from_the_clock_for_two_milliseconds() {
        let (mut machine, mut ticks) = Machine::new(26_000);
        for _ in 0..2 {
            assert!(!machine.is_followed(&ticks), "one interval tells no rate that holds");
            machine.pass(3_000_000);
            machine.read(&mut ticks, 0);
        }
        assert_eq!(ticks.mono_at(machine.counter), Some(machine.mono_ns));
        for ns in [1_234_560, FOLLOWED_NS - 1_234_560 - 10] {
            machine.pass(ns);
            let told = ticks.mono_at(machine.counter).unwrap();
            assert!(told.abs_diff(machine.mono_ns) <= 1, "{told} at {}", machine.mono_ns);
        }
        machine.pass(20);
        assert!(!machine.is_followed(&ticks));
        // A second of silence and an hour of it are intervals like others.
        for silence in [SECOND, 3_600 * SECOND] {
            machine.pass(silence);
            machine.read(&mut ticks, 40);
            machine.pass(1_999_000);
            let told = ticks.mono_at(machine.counter).unwrap();
            assert!(told.abs_diff(machine.mono_ns) <= 1, "{told} at {}", machine.mono_ns);
        }
    }

    #[test]
    fn a_counter_that_jumps_or_stands_still_is_not_gone_by() {
        for jump in [u64::MAX / 2, 0_u64.wrapping_sub(5_000_000_000), 10_000_000] {
            let (mut machine, mut ticks) = Machine::new(26_000);
            for _ in 0..3 {
                machine.pass(3_000_000);
                machine.read(&mut ticks, 0);
            }
            machine.counter = machine.counter.wrapping_add(jump);
            assert!(!machine.is_followed(&ticks), "{jump}");
            machine.pass(1_000);
            machine.read(&mut ticks, 0);
            assert!(!machine.is_followed(&ticks), "{jump}: so short an interval tells nothing");
            machine.pass(3_000_000);
            machine.read(&mut ticks, 0);
            assert!(!machine.is_followed(&ticks), "{jump}: no rate is as it was");
        }
        let (mut machine, mut ticks) = Machine::new(0);
        for _ in 0..5 {
            machine.pass(3_000_000);
            machine.read(&mut ticks, 0);
            machine.pass(1);
            assert!(ticks.mono_at(machine.counter).is_none_or(|told| told == machine.mono_ns - 1));
        }
    }

    #[test]
    fn a_read_that_was_interrupted_tells_nothing() {
        let (mut machine, mut ticks) = Machine::new(26_000);
        for _ in 0..3 {
            machine.pass(3_000_000);
            machine.read(&mut ticks, 40);
        }
        machine.pass(3_000_000);
        machine.read(&mut ticks, 10_000);
        assert!(!machine.is_followed(&ticks));
        machine.read(&mut ticks, 40);
        machine.pass(1_500_000);
        let told = ticks.mono_at(machine.counter).unwrap();
        assert!(told.abs_diff(machine.mono_ns) <= 20, "{told} at {}", machine.mono_ns);
    }

    proptest! {
        /// Whatever the counter's rate, however the clock is slewed and when it is asked: what is told is within 3 µs.
        #[test]
        fn a_slewed_clock_is_followed(
            per_10_us in prop_oneof![Just(250_u64), Just(10_000), Just(26_000), Just(60_000)],
            steps in prop::collection::vec((1_u64..1_500_000, 0_u64..200), 1..400),
            slews in prop::collection::vec(-500_i64..=500, 8),
        ) {
            let (mut machine, mut ticks) = Machine::new(per_10_us);
            for (index, (ns, took)) in steps.into_iter().enumerate() {
                let before = machine.mono_ns;
                machine.pass(ns);
                // A time daemon changes the rate now and then; the counter runs as ever.
                let slewed = ns as i64 * slews[index / 50] / 1_000_000;
                machine.mono_ns = before + ns.checked_add_signed(slewed).unwrap();
                let told = machine.read(&mut ticks, took);
                prop_assert!(told.abs_diff(machine.mono_ns) <= 3_000, "{} at {}", told, machine.mono_ns);
            }
        }
    }
}
