//! Numbers that are missing: since when, how often asked for, when something is to be done about them.

use std::collections::BTreeMap;

/// How often a number is asked for before it is given up.
pub const TRIES: u8 = 4;
/// The wait after the first request; it doubles with each. The answer of a machine nearby takes a tenth of it.
pub const RETRY_NS: u64 = 2_000_000;
/// A number that cannot be asked for, because of a budget or because the server said wait, is given up at this age:
/// as late as one that is asked for in vain (W and 30 ms × 1.25).
pub const MISSING_NS_MAX: u64 = 40_000_000;

/// One missing number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) since_ns: u64,
    /// When to look at it again; 0 = once the first wait is over, which may change meanwhile.
    pub(super) due_ns: u64,
    /// Requests made.
    pub(super) tries: u8,
}

/// What becomes of a number that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Wait,
    GiveUp,
}

/// Numbers given up at once: how many, the highest, and all of them as runs (first, count), ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) highest: u64,
    pub(super) count: u64,
    pub(super) runs: Vec<(u64, u64)>,
}

impl GivenUp {
    pub(super) fn push(&mut self, first: u64, count: u64) {
        self.count = self.count.saturating_add(count);
        self.highest = self.highest.max(first + (count - 1));
        match self.runs.last_mut() {
            Some((start, length)) if start.checked_add(*length) == Some(first) => *length += count,
            _ => self.runs.push((first, count)),
        }
    }

    /// `None` where nothing was given up.
    pub(super) fn any(self) -> Option<Self> {
        (self.count > 0).then_some(self)
    }
}

/// The missing numbers of one plane.
#[derive(Debug)]
pub(super) struct MissingSet {
    entries: BTreeMap<u64, Missing>,
    /// None is due before; too early where the first one came meanwhile.
    due_ns: u64,
}

impl Default for MissingSet {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), due_ns: u64::MAX }
    }
}

impl MissingSet {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        self.entries.contains_key(&seq)
    }

    /// Whether any number of `from..to` is missing.
    pub(super) fn any_in(&self, from: u64, to: u64) -> bool {
        from < to && self.entries.range(from..to).next().is_some()
    }

    /// Numbers are missing from now on, and waited for during `wait_ns`.
    pub(super) fn open(&mut self, first: u64, last: u64, now_ns: u64, wait_ns: u64) {
        if self.entries.is_empty() {
            self.due_ns = u64::MAX;
        }
        let missing = Missing { since_ns: now_ns, due_ns: 0, tries: 0 };
        self.entries.extend((first..=last).map(|seq| (seq, missing)));
        self.due_ns = self.due_ns.min(now_ns.saturating_add(wait_ns));
    }

    /// A number came.
    pub(super) fn fill(&mut self, seq: u64) -> Option<Missing> {
        self.entries.remove(&seq)
    }

    pub(super) fn clear(&mut self) -> GivenUp {
        let mut given = GivenUp::default();
        std::mem::take(&mut self.entries).into_keys().for_each(|seq| given.push(seq, 1));
        given
    }

    /// When [`MissingSet::visit`] has something to do.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        (!self.entries.is_empty()).then_some(self.due_ns)
    }

    /// Asks for each number that is due what becomes of it, in ascending order. A number that is to wait must be given
    /// a later `due_ns`. Gives those that are given up, with their times of opening.
    pub(super) fn visit(
        &mut self,
        now_ns: u64,
        wait_ns: u64,
        mut fate: impl FnMut(u64, &mut Missing) -> Fate,
    ) -> Vec<(u64, u64)> {
        let mut gone = Vec::new();
        if self.entries.is_empty() || now_ns < self.due_ns {
            return gone;
        }
        self.due_ns = u64::MAX;
        for (&seq, missing) in &mut self.entries {
            if due(missing, wait_ns) <= now_ns && fate(seq, missing) == Fate::GiveUp {
                gone.push((seq, missing.since_ns));
            } else {
                self.due_ns = self.due_ns.min(due(missing, wait_ns));
            }
        }
        for (seq, _) in &gone {
            self.entries.remove(seq);
        }
        gone
    }

    /// The last request for these numbers was not served: it does not count, and the next one comes at `at_ns`.
    pub(super) fn postpone(&mut self, first: u64, last: u64, at_ns: u64) {
        for (_, missing) in self.entries.range_mut(first..=last) {
            missing.tries = missing.tries.saturating_sub(1);
            missing.due_ns = at_ns.min(missing.since_ns.saturating_add(MISSING_NS_MAX)).max(1);
            self.due_ns = self.due_ns.min(missing.due_ns);
        }
    }

    /// Takes out what is missing of `first..=last`, with the times of opening.
    pub(super) fn take(&mut self, first: u64, last: u64) -> Vec<(u64, u64)> {
        if first > last {
            return Vec::new();
        }
        let gone: Vec<_> =
            self.entries.range(first..=last).map(|(&seq, missing)| (seq, missing.since_ns)).collect();
        for (seq, _) in &gone {
            self.entries.remove(seq);
        }
        gone
    }
}

fn due(missing: &Missing, wait_ns: u64) -> u64 {
    if missing.due_ns == 0 { missing.since_ns.saturating_add(wait_ns) } else { missing.due_ns }
}

/// The wait after request number `tries` (from 0): 2 ms × 2ⁿ ± 25 %, so that consumers do not ask all at once.
pub(super) fn retry_ns(tries: u8, draw: u64) -> u64 {
    let base = RETRY_NS << tries.min(TRIES);
    base * 3 / 4 + draw % (base / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::{Fate, GivenUp, MISSING_NS_MAX, MissingSet, RETRY_NS, TRIES, retry_ns};

    #[test]
    fn each_number_has_its_own_time() {
        let mut set = MissingSet::default();
        assert_eq!(set.deadline_ns(), None);
        set.open(5, 7, 100, 10);
        set.open(9, 9, 105, 10);
        assert_eq!(set.deadline_ns(), Some(110));
        let mut seen = Vec::new();
        let mut visit = |set: &mut MissingSet, now_ns| {
            seen.clear();
            let gone = set.visit(now_ns, 10, |seq, missing| {
                seen.push(seq);
                missing.due_ns = now_ns + 50;
                missing.tries += 1;
                if missing.tries > 1 { Fate::GiveUp } else { Fate::Wait }
            });
            (seen.clone(), gone)
        };
        assert_eq!(visit(&mut set, 109), (vec![], vec![]));
        assert_eq!(visit(&mut set, 110), (vec![5, 6, 7], vec![]));
        assert_eq!(set.deadline_ns(), Some(115));
        assert_eq!(set.fill(6).map(|missing| missing.tries), Some(1));
        assert_eq!(visit(&mut set, 160), (vec![5, 7, 9], vec![(5, 100), (7, 100)]));
        assert_eq!((set.len(), set.deadline_ns()), (1, Some(210)));
    }

    #[test]
    fn a_wider_first_wait_holds_for_what_is_missing_already() {
        let mut set = MissingSet::default();
        set.open(5, 5, 100, 10);
        assert_eq!(set.visit(110, 30, |_, _| Fate::GiveUp), []);
        assert_eq!(set.deadline_ns(), Some(130));
        assert_eq!(set.visit(130, 30, |_, _| Fate::GiveUp), [(5, 100)]);
    }

    #[test]
    fn what_was_not_served_is_asked_for_later_but_not_for_ever() {
        let mut set = MissingSet::default();
        set.open(5, 6, 100, 10);
        set.visit(110, 10, |_, missing| {
            (missing.tries, missing.due_ns) = (1, 1_000);
            Fate::Wait
        });
        set.postpone(5, 5, 700);
        assert_eq!(set.deadline_ns(), Some(700));
        set.postpone(5, 5, u64::MAX);
        let mut dues = Vec::new();
        set.visit(u64::MAX, 10, |_, missing| {
            dues.push((missing.due_ns, missing.tries));
            Fate::Wait
        });
        assert_eq!(dues, [(100 + MISSING_NS_MAX, 0), (1_000, 1)]);
    }

    #[test]
    fn retries_double_within_a_quarter() {
        for tries in 0..TRIES {
            let base = RETRY_NS << tries;
            assert_eq!(retry_ns(tries, 0), base * 3 / 4);
            assert_eq!(retry_ns(tries, base / 2), base * 5 / 4);
            assert_eq!(retry_ns(tries, base / 2 + 1), base * 3 / 4);
        }
        assert_eq!((0..TRIES).map(|tries| RETRY_NS << tries).sum::<u64>() * 5 / 4, 37_500_000);
    }

    #[test]
    fn given_up_numbers_are_told_as_runs() {
        let mut given = GivenUp::default();
        [4, 5, 6, 9].into_iter().for_each(|seq| given.push(seq, 1));
        given.push(10, 5);
        assert_eq!(given, GivenUp { highest: 14, count: 9, runs: vec![(4, 3), (9, 6)] });
        given.push(u64::MAX, 1);
        assert_eq!((given.highest, given.count), (u64::MAX, 10));
    }
}
