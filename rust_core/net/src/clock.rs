//! The one Rust module that reads a clock.
//!
//! Received messages are stamped with monotonic time plus an offset. The offset follows the system's wall clock
//! by at most 500 ppm (wire format, "Numeric limits": clocks), so stamps of one session never step and never go
//! back, whatever somebody does to the wall clock; how far they are off is told by [`Clock::error_ns`].
//!
//! [`Slew`] is the arithmetic, with times as arguments; [`Clock`] adds the reads. Where the processor has a counter that the
//! system itself keeps time by, it goes on from a read of the system's clock for two milliseconds (`clock/ticks.rs`).

mod ticks;

use std::sync::atomic::{AtomicU64, Ordering};

use self::ticks::Ticks;

/// Largest rate at which the offset moves, in parts per million.
pub const SLEW_PPM_MAX: u64 = 500;

/// Monotonic nanoseconds in which the offset may move by one nanosecond.
const NS_PER_SLEWED_NS: u64 = 1_000_000 / SLEW_PPM_MAX;

/// How often the wall clock is looked at, in monotonic ns. A step is not urgent (following it takes 2,000 times
/// as long as it is large), so the message path pays one more clock read in 10 ms and not one per message.
const WALL_READ_INTERVAL_NS: u64 = 10_000_000;

/// A pair of reads further apart than this was interrupted and is read again. Two reads take about 50 ns.
const PAIR_SPREAD_NS_MAX: u64 = 2_000;

/// Attempts at an uninterrupted pair; after them the tightest of these is used.
const PAIR_READS_MAX: usize = 4;

/// `clock_err_ns` of a host that does not know how wrong its clock is.
pub const ERROR_UNKNOWN: u32 = u32::MAX;

/// Monotonic nanoseconds since an arbitrary start (`CLOCK_MONOTONIC`, the clock of Python's `time.monotonic_ns`).
#[must_use]
pub fn mono_ns() -> u64 {
    read::mono_ns()
}

/// UTC nanoseconds since the Unix epoch as the system has them now (`CLOCK_REALTIME`): may step.
#[must_use]
pub fn wall_ns() -> i64 {
    read::wall_ns()
}

/// Monotonic time to wall time, following a target by at most [`SLEW_PPM_MAX`]. Reads no clock.
#[derive(Clone, Copy, Debug)]
pub struct Slew {
    /// Wall minus monotonic time at `since_ns`.
    offset_ns: i64,
    /// Monotonic time at which `offset_ns` held.
    since_ns: u64,
    /// The offset that is approached.
    target_ns: i64,
}

impl Slew {
    /// Starts exact: `wall_ns` is the wall time at monotonic time `mono_ns`.
    #[must_use]
    pub fn new(mono_ns: u64, wall_ns: i64) -> Slew {
        let offset_ns = offset(mono_ns, wall_ns);
        Slew { offset_ns, since_ns: mono_ns, target_ns: offset_ns }
    }

    /// Takes note that the system's wall time at `mono_ns` is `wall_ns`. An older `mono_ns` than before is ignored.
    pub fn observe(&mut self, mono_ns: u64, wall_ns: i64) {
        if mono_ns < self.since_ns {
            return;
        }
        self.offset_ns = self.offset_at(mono_ns);
        self.since_ns = mono_ns;
        self.target_ns = offset(mono_ns, wall_ns);
    }

    /// Wall time in UTC ns at monotonic time `mono_ns`. Never less for a later `mono_ns`.
    #[must_use]
    pub fn wall_at(&self, mono_ns: u64) -> i64 {
        signed(mono_ns).saturating_add(self.offset_at(mono_ns))
    }

    /// How far `wall_at(mono_ns)` is from the wall time last observed, in ns.
    #[must_use]
    pub fn distance_ns(&self, mono_ns: u64) -> u64 {
        self.target_ns.abs_diff(self.offset_at(mono_ns))
    }

    fn offset_at(&self, mono_ns: u64) -> i64 {
        let budget = signed(mono_ns.saturating_sub(self.since_ns) / NS_PER_SLEWED_NS);
        let wanted = self.target_ns.saturating_sub(self.offset_ns);
        self.offset_ns + wanted.clamp(-budget, budget)
    }
}

/// Nanosecond counts stay below 2^63 for 292 years; beyond that the stamp saturates.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

fn offset(mono_ns: u64, wall_ns: i64) -> i64 {
    wall_ns.saturating_sub(signed(mono_ns))
}

/// One instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic ns, for durations and timers.
    pub mono_ns: u64,
    /// Slewed UTC ns, for `recv_ts`.
    pub wall_ns: i64,
}

/// The publisher's clock for one session.
#[derive(Debug)]
pub struct Clock {
    slew: Slew,
    wall_read_at_ns: u64,
    /// `None`: the processor has no counter to go by.
    ticks: Option<Ticks>,
    /// The last monotonic time that was given: what the system's clock says may be a little before it. Relaxed, because
    /// whoever asks holds the clock.
    last_ns: AtomicU64,
}

impl Clock {
    /// Starts at the system's wall time.
    #[must_use]
    pub fn new() -> Clock {
        let (mono_ns, wall_ns) = read_pair();
        let ticks = read::has_ticks().then(|| Ticks::new(read::ticks(), self::mono_ns()));
        Clock {
            slew: Slew::new(mono_ns, wall_ns),
            wall_read_at_ns: mono_ns,
            ticks,
            last_ns: AtomicU64::new(mono_ns),
        }
    }

    /// Reads both times. Costs one read of the counter or of the clock, and three more of the clock every 10 ms.
    pub fn now(&mut self) -> Now {
        let mono_ns = match &mut self.ticks {
            None => mono_ns(),
            Some(ticks) => {
                let before = read::ticks();
                ticks.mono_at(before).unwrap_or_else(|| {
                    let mono_ns = mono_ns();
                    ticks.observe(before, mono_ns, read::ticks());
                    mono_ns
                })
            }
        };
        let mono_ns = self.later(mono_ns);
        Now { mono_ns, wall_ns: self.wall_at(mono_ns) }
    }

    /// Monotonic time alone: that of the system to some microseconds, and later than any that was given.
    #[must_use]
    pub fn mono_ns(&self) -> u64 {
        let told = self.ticks.as_ref().and_then(|ticks| ticks.mono_at(read::ticks()));
        self.later(told.unwrap_or_else(mono_ns))
    }

    /// The monotonic time that was given last.
    #[must_use]
    pub fn last_ns(&self) -> u64 {
        self.last_ns.load(Ordering::Relaxed)
    }

    /// A heartbeat whose time is not later than that of the one before would be taken for its copy.
    fn later(&self, mono_ns: u64) -> u64 {
        let given_ns = mono_ns.max(self.last_ns().saturating_add(1));
        self.last_ns.store(given_ns, Ordering::Relaxed);
        given_ns
    }

    /// Slewed wall time at a monotonic time that was read just before.
    pub fn wall_at(&mut self, mono_ns: u64) -> i64 {
        if mono_ns.saturating_sub(self.wall_read_at_ns) >= WALL_READ_INTERVAL_NS {
            self.look_at_wall();
        }
        self.slew.wall_at(mono_ns)
    }

    /// Estimated error of this clock's wall time in ns ([`ERROR_UNKNOWN`] = the system does not know): the error
    /// the system estimates for its own clock plus what is still to be slewed. One system call.
    pub fn error_ns(&mut self) -> u32 {
        self.look_at_wall();
        total_error_ns(system_clock().error_ns(), self.slew.distance_ns(self.wall_read_at_ns))
    }

    fn look_at_wall(&mut self) {
        let (mono_ns, wall_ns) = read_pair();
        self.slew.observe(mono_ns, wall_ns);
        self.wall_read_at_ns = mono_ns;
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

/// Adds the two errors and keeps a known one below [`ERROR_UNKNOWN`].
fn total_error_ns(system_ns: Option<u64>, distance_ns: u64) -> u32 {
    match system_ns {
        None => ERROR_UNKNOWN,
        Some(ns) => u32::try_from(ns.saturating_add(distance_ns)).unwrap_or(u32::MAX).min(ERROR_UNKNOWN - 1),
    }
}

/// How the system keeps its wall clock, as adjtimex(2) tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemClock {
    /// A time daemon has set the clock and still does.
    pub synchronised: bool,
    /// The correction that the kernel is working off, in ns.
    pub offset_ns: i64,
    /// The error that the time daemon estimates, in µs; 0 where it states none.
    pub estimate_us: i64,
    /// Bound of the error, in µs, which the kernel lets grow by 500 ppm after each correction.
    pub maximum_us: i64,
}

impl SystemClock {
    /// The error of the wall clock in ns; `None` = the system does not know. A zero estimate means that the time
    /// daemon states none (systemd-timesyncd does that); then the bound is what is known. chrony and ntpd state an
    /// estimate.
    #[must_use]
    pub fn error_ns(&self) -> Option<u64> {
        if !self.synchronised {
            return None;
        }
        let microseconds = if self.estimate_us > 0 { self.estimate_us } else { self.maximum_us };
        u64::try_from(microseconds).ok()?.checked_mul(1_000)
    }
}

/// Asks the system how it keeps its wall clock. One system call.
#[must_use]
pub fn system_clock() -> SystemClock {
    read::system_clock()
}

/// Monotonic and wall time of one instant, to about a quarter of [`PAIR_SPREAD_NS_MAX`] unless interrupted each time.
fn read_pair() -> (u64, i64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..PAIR_READS_MAX {
        let before = mono_ns();
        let wall = wall_ns();
        let spread = mono_ns().saturating_sub(before);
        if spread < best.0 {
            best = (spread, before + spread / 2, wall);
        }
        if spread <= PAIR_SPREAD_NS_MAX {
            break;
        }
    }
    (best.1, best.2)
}

mod read {
    /// Fields are non-negative for both clocks used, and seconds in ns fit 63 bits until the year 2262.
    fn clock_ns(clock: libc::clockid_t) -> i64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid timespec that outlives the call; the kernel writes it and nothing else.
        let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
        assert_eq!(result, 0, "every system has this clock");
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    pub(super) fn mono_ns() -> u64 {
        clock_ns(libc::CLOCK_MONOTONIC).unsigned_abs()
    }

    /// Whether the kernel keeps its time by the counter: then it is the same on all processors, runs at one rate and may be
    /// read by a program, as clock_gettime itself does.
    pub(super) fn has_ticks() -> bool {
        const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        cfg!(target_arch = "x86_64")
            && std::fs::read_to_string(SOURCE).is_ok_and(|source| source.trim_end() == "tsc")
    }

    /// The counter; 0 where there is none.
    #[inline]
    pub(super) fn ticks() -> u64 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 processor has the instruction; it reads no memory.
        return unsafe { core::arch::x86_64::_rdtsc() };
        #[cfg(not(target_arch = "x86_64"))]
        return 0;
    }

    pub(super) fn wall_ns() -> i64 {
        clock_ns(libc::CLOCK_REALTIME)
    }

    pub(super) fn system_clock() -> super::SystemClock {
        // SAFETY: timex is plain integers, for which all zeros is a value.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: `modes` is 0, so the call only reads the kernel's state into `timex`, which outlives it.
        let state = unsafe { libc::adjtimex(&raw mut timex) };
        let unit_ns = if timex.status & libc::STA_NANO != 0 { 1 } else { 1_000 };
        super::SystemClock {
            synchronised: state >= 0 && state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0,
            offset_ns: timex.offset.saturating_mul(unit_ns),
            estimate_us: timex.esterror,
            maximum_us: timex.maxerror,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const HOUR: i64 = 3_600 * SECOND as i64;
    const WALL: i64 = 1_763_690_000 * SECOND as i64;
    const MONO: u64 = 77 * SECOND;

    #[test]
    fn starts_exact_and_runs_with_monotonic_time() {
        let slew = Slew::new(MONO, WALL);
        assert_eq!(slew.wall_at(MONO), WALL);
        assert_eq!(slew.wall_at(MONO + 123_456_789), WALL + 123_456_789);
        assert_eq!(slew.distance_ns(MONO + SECOND), 0);
    }

    /// Both clocks are looked at every 10 ms for a minute after the wall clock stepped by `step`.
    fn follow_step(step: i64) -> i64 {
        let mut slew = Slew::new(MONO, WALL);
        let mut last = slew.wall_at(MONO);
        for tick in 1..=6_000_u64 {
            let elapsed = tick * 10_000_000;
            let mono = MONO + elapsed;
            slew.observe(mono, WALL + elapsed as i64 + step);
            for ahead in [0, 1, 999, 2_000, 9_999_999] {
                let now = slew.wall_at(mono + ahead);
                assert!(now >= last, "went back from {last} to {now}");
                let ideal = WALL + (elapsed + ahead) as i64;
                let slewed_max = ((elapsed + ahead) / 2_000) as i64;
                assert!((now - ideal).abs() <= slewed_max, "moved {} ns in {elapsed} ns", now - ideal);
                last = now;
            }
        }
        slew.wall_at(MONO + 60 * SECOND) - (WALL + 60 * SECOND as i64)
    }

    #[test]
    fn an_hours_step_is_slewed_at_500_ppm_either_way() {
        // The first look is 10 ms in, so 59.99 s of the minute are slewed.
        assert_eq!(follow_step(HOUR), 59_990_000_000 / 2_000);
        assert_eq!(follow_step(-HOUR), -59_990_000_000 / 2_000);
    }

    #[test]
    fn a_small_step_is_reached_and_not_passed() {
        assert_eq!(follow_step(1_000_000), 1_000_000);
        assert_eq!(follow_step(-7), -7);
        let mut slew = Slew::new(MONO, WALL);
        slew.observe(MONO, WALL + 1_000);
        assert_eq!(slew.distance_ns(MONO), 1_000);
        assert_eq!(slew.wall_at(MONO + 1_999_999), WALL + 1_999_999 + 999);
        assert_eq!(slew.distance_ns(MONO + 1_999_999), 1);
        assert_eq!(slew.wall_at(MONO + 2_000_000), WALL + 2_000_000 + 1_000);
        assert_eq!(slew.wall_at(MONO + SECOND), WALL + SECOND as i64 + 1_000);
    }

    #[test]
    fn every_nanosecond_of_a_backward_slew_is_monotonic() {
        let mut slew = Slew::new(MONO, WALL);
        slew.observe(MONO, WALL - HOUR);
        let mut last = i64::MIN;
        for mono in MONO..MONO + 10_000 {
            let now = slew.wall_at(mono);
            assert!(now >= last, "went back at {mono}");
            last = now;
        }
    }

    #[test]
    fn an_observation_from_the_past_changes_nothing() {
        let mut slew = Slew::new(MONO, WALL);
        slew.observe(MONO - 1, WALL + HOUR);
        assert_eq!(slew.wall_at(MONO + SECOND), WALL + SECOND as i64);
    }

    #[test]
    fn extreme_times_saturate() {
        let mut slew = Slew::new(u64::MAX, i64::MIN);
        slew.observe(u64::MAX, i64::MAX);
        assert_eq!(slew.wall_at(u64::MAX), -1);
        let mut slew = Slew::new(0, i64::MAX);
        slew.observe(u64::MAX, i64::MIN);
        assert_eq!(slew.wall_at(u64::MAX), i64::MAX);
        assert_eq!(slew.distance_ns(u64::MAX), u64::MAX);
    }

    #[test]
    fn clock_moves_forward_beside_the_system_clock() {
        let mut clock = Clock::new();
        let first = clock.now();
        let system = wall_ns();
        let second = clock.now();
        assert!(second.mono_ns >= first.mono_ns && second.wall_ns >= first.wall_ns);
        assert!(system.abs_diff(first.wall_ns) < SECOND, "{system} against {first:?}");
        let later = clock.wall_at(first.mono_ns + 3 * SECOND);
        assert!(later.abs_diff(first.wall_ns + 3 * SECOND as i64) <= 3 * SECOND / 2_000);
    }

    /// Reads for 50 ms, longer than the counter goes on: each is between two of the system's clock, to some microseconds.
    #[test]
    fn the_clock_runs_with_the_systems() {
        const OFF_NS: u64 = 10_000;
        let mut clock = Clock::new();
        let (begun_ns, mut by_counter, mut last) = (mono_ns(), 0, clock.now());
        loop {
            let before_ns = mono_ns();
            let now = clock.now();
            let seal_ns = clock.mono_ns();
            let after_ns = mono_ns();
            assert!(now.mono_ns > last.mono_ns && now.wall_ns >= last.wall_ns && seal_ns > now.mono_ns);
            assert!(now.mono_ns + OFF_NS >= before_ns && seal_ns <= after_ns + OFF_NS, "{now:?} {seal_ns}");
            assert_eq!(clock.last_ns(), seal_ns);
            let is_ahead = clock.ticks.as_ref().is_some_and(|ticks| ticks.mono_at(read::ticks()).is_some());
            (by_counter, last) = (by_counter + u64::from(is_ahead), now);
            if after_ns - begun_ns > 50_000_000 {
                break;
            }
        }
        assert_eq!(by_counter > 0, read::has_ticks());
        // The system's clock may be a little behind what was told last; no clock of the system gets there.
        clock.last_ns.store(last.mono_ns + SECOND, Ordering::Relaxed);
        assert_eq!(
            [clock.mono_ns(), clock.mono_ns(), clock.now().mono_ns],
            [1, 2, 3].map(|n| last.mono_ns + SECOND + n)
        );
    }

    #[test]
    fn errors_add_up_and_unknown_stays_apart() {
        let error_ns = |synchronised, estimate_us, maximum_us| {
            SystemClock { synchronised, offset_ns: 7, estimate_us, maximum_us }.error_ns()
        };
        assert_eq!(error_ns(true, 12, 5_000), Some(12_000));
        assert_eq!(error_ns(true, 0, 5_000), Some(5_000_000));
        assert_eq!(error_ns(false, 12, 5_000), None);
        assert_eq!(error_ns(true, 0, -1), None);
        assert_eq!(error_ns(true, i64::MAX, 0), None);
        assert_eq!(total_error_ns(Some(12_000), 3), 12_003);
        assert_eq!(total_error_ns(Some(u64::MAX), 1), ERROR_UNKNOWN - 1);
        assert_eq!(total_error_ns(Some(u64::from(u32::MAX)), 0), ERROR_UNKNOWN - 1);
        assert_eq!(total_error_ns(None, 0), ERROR_UNKNOWN);
    }
}
