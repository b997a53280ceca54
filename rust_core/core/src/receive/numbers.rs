//! Which numbers of a channel were seen, which are missing and since when.

use std::collections::BTreeMap;

use super::line::Line;
use super::missing::{Fate, GivenUp, Missing, MissingSet};

/// CRCs and the fact of having been seen are kept for this many numbers.
pub const NUMBERS_KEPT: u64 = 65_536;
/// With more numbers missing than this all are given up: waiting would not end.
pub const MISSING_MAX: usize = 4_096;
/// Given-up numbers whose time of opening is remembered, to learn by how much W was too short.
const GIVEN_UP_KEPT: usize = 1_024;
const KEPT: usize = NUMBERS_KEPT as usize;
/// No line has that number.
const UNSEEN: u8 = u8::MAX;

/// What a number turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Not seen before, and the next one or further ahead.
    New,
    /// Was missing for so many nanoseconds.
    Filled(u64),
    /// Comes after it was given up, or from before the first one heard.
    Late(Option<u64>),
    /// Seen with the same bytes; whether first on another line.
    Duplicate { copy: bool },
    /// Seen with other bytes.
    Different,
    /// Too far behind to know.
    TooOld,
}

/// Numbers found missing at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Revealed {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) given: Option<GivenUp>,
}

#[derive(Debug)]
pub(super) struct Numbers {
    high: u64,
    crcs: Vec<u32>,
    /// By which line a number came first, [`UNSEEN`] if it did not.
    lines: Vec<u8>,
    missing: MissingSet,
    given_up: BTreeMap<u64, u64>,
}

impl Numbers {
    /// Nothing seen; `next` is the first number expected.
    pub(super) fn starting_at(next: u64) -> Self {
        Self {
            high: next.saturating_sub(1),
            crcs: vec![0; KEPT],
            lines: vec![UNSEEN; KEPT],
            missing: MissingSet::default(),
            given_up: BTreeMap::new(),
        }
    }

    /// Highest number known to exist.
    pub(super) fn high(&self) -> u64 {
        self.high
    }

    pub(super) fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Takes a number. Numbers between it and the highest so far must have been opened by [`Numbers::reveal`].
    pub(super) fn hear(&mut self, seq: u64, crc: u32, line: Line, now_ns: u64) -> Heard {
        if seq < self.high.saturating_sub(NUMBERS_KEPT - 1) || seq == 0 {
            return Heard::TooOld;
        }
        if seq > self.high {
            debug_assert_eq!(seq, self.high + 1, "reveal() comes first");
            self.high = seq;
            self.mark(seq, crc, line);
            return Heard::New;
        }
        if let Some(known) = self.crc_of(seq) {
            let copy = self.lines[slot(seq)] != line as u8;
            return if known == crc { Heard::Duplicate { copy } } else { Heard::Different };
        }
        self.mark(seq, crc, line);
        match self.missing.fill(seq) {
            Some(missing) => Heard::Filled(now_ns.saturating_sub(missing.since_ns)),
            None => Heard::Late(self.given_up.remove(&seq).map(|since_ns| now_ns.saturating_sub(since_ns))),
        }
    }

    /// Numbers up to `up_to` exist: those above the highest so far are missing from now on. Gives the first of them, how
    /// many they are, and what had to be given up because too many are missing.
    #[inline]
    pub(super) fn reveal(&mut self, up_to: u64, now_ns: u64, window_ns: u64) -> Option<Revealed> {
        if up_to <= self.high { None } else { Some(self.reveal_new(up_to, now_ns, window_ns)) }
    }

    #[cold]
    fn reveal_new(&mut self, up_to: u64, now_ns: u64, window_ns: u64) -> Revealed {
        let count = up_to - self.high;
        let first = self.high + 1;
        self.high = up_to;
        if count >= NUMBERS_KEPT {
            self.lines.fill(UNSEEN);
        } else {
            (first..=up_to).for_each(|seq| self.forget(seq));
        }
        if (self.missing.len() as u64).saturating_add(count) > MISSING_MAX as u64 {
            let mut given = self.missing.clear();
            given.push(first, count);
            return Revealed { first, count, given: Some(given) };
        }
        self.missing.open(first, up_to, now_ns, window_ns);
        Revealed { first, count, given: None }
    }

    /// Decides about every number that is due; see [`MissingSet::visit`].
    pub(super) fn visit(
        &mut self,
        now_ns: u64,
        window_ns: u64,
        fate: impl FnMut(u64, &mut Missing) -> Fate,
    ) -> Option<GivenUp> {
        let gone = self.missing.visit(now_ns, window_ns, fate);
        self.give_up(gone)
    }

    /// When [`Numbers::visit`] has something to do.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        self.missing.deadline_ns()
    }

    /// Gives up what is missing of `first..=last`.
    pub(super) fn give_up_range(&mut self, first: u64, last: u64) -> Option<GivenUp> {
        let gone = self.missing.take(first, last);
        self.give_up(gone)
    }

    /// See [`MissingSet::postpone`].
    pub(super) fn postpone(&mut self, first: u64, last: u64, at_ns: u64) {
        self.missing.postpone(first, last, at_ns);
    }

    fn give_up(&mut self, gone: Vec<(u64, u64)>) -> Option<GivenUp> {
        let mut given = GivenUp::default();
        for (seq, since_ns) in gone {
            given.push(seq, 1);
            self.given_up.insert(seq, since_ns);
        }
        while self.given_up.len() > GIVEN_UP_KEPT {
            self.given_up.pop_first();
        }
        given.any()
    }

    /// CRC of a number that was seen and is still kept.
    pub(super) fn crc_of(&self, seq: u64) -> Option<u32> {
        if seq > self.high || seq < self.high.saturating_sub(NUMBERS_KEPT - 1) {
            return None;
        }
        let at = slot(seq);
        (self.lines[at] != UNSEEN).then(|| self.crcs[at])
    }

    fn mark(&mut self, seq: u64, crc: u32, line: Line) {
        let at = slot(seq);
        self.lines[at] = line as u8;
        self.crcs[at] = crc;
    }

    fn forget(&mut self, seq: u64) {
        self.lines[slot(seq)] = UNSEEN;
    }
}

/// Place of a number in the ring.
#[allow(clippy::cast_possible_truncation)]
fn slot(seq: u64) -> usize {
    (seq % NUMBERS_KEPT) as usize
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::super::missing::{Fate, GivenUp};
    use super::{Heard, MISSING_MAX, NUMBERS_KEPT, Numbers};

    const W: u64 = 10;

    fn hear(numbers: &mut Numbers, seq: u64, crc: u32, now_ns: u64) -> Heard {
        numbers.hear(seq, crc, Line::A, now_ns)
    }

    fn reveal(numbers: &mut Numbers, up_to: u64, now_ns: u64) -> Option<(u64, u64)> {
        numbers.reveal(up_to, now_ns, W).map(|revealed| (revealed.first, revealed.count))
    }

    #[test]
    fn order_holes_duplicates_and_other_bytes() {
        let mut numbers = Numbers::starting_at(1);
        assert_eq!(hear(&mut numbers, 1, 11, 0), Heard::New);
        assert_eq!(reveal(&mut numbers, 3, 5), Some((2, 2)));
        assert_eq!(reveal(&mut numbers, 3, 6), None);
        assert_eq!(hear(&mut numbers, 4, 44, 6), Heard::New);
        assert_eq!(hear(&mut numbers, 3, 33, 9), Heard::Filled(4));
        assert_eq!(hear(&mut numbers, 3, 33, 9), Heard::Duplicate { copy: false });
        assert_eq!(numbers.hear(3, 33, Line::B, 9), Heard::Duplicate { copy: true });
        assert_eq!(hear(&mut numbers, 3, 34, 9), Heard::Different);
        assert_eq!(numbers.deadline_ns(), Some(15));
        assert_eq!(numbers.visit(14, W, |_, _| Fate::GiveUp), None);
        let given = GivenUp { highest: 2, count: 1, runs: vec![(2, 1)] };
        assert_eq!(numbers.visit(15, W, |_, _| Fate::GiveUp), Some(given));
        assert_eq!(hear(&mut numbers, 2, 22, 25), Heard::Late(Some(20)));
        assert_eq!(hear(&mut numbers, 2, 22, 25), Heard::Duplicate { copy: false });
        assert_eq!(hear(&mut numbers, 0, 0, 0), Heard::TooOld);
    }

    #[test]
    fn numbers_before_the_first_one_are_late_and_old_ones_are_refused() {
        let mut numbers = Numbers::starting_at(100_000);
        assert_eq!(hear(&mut numbers, 100_000, 1, 0), Heard::New);
        assert_eq!(hear(&mut numbers, 99_999, 1, 0), Heard::Late(None));
        assert_eq!(hear(&mut numbers, 100_000 - NUMBERS_KEPT, 1, 0), Heard::TooOld);
        assert_eq!(hear(&mut numbers, 100_001 - NUMBERS_KEPT, 1, 0), Heard::Late(None));
    }

    #[test]
    fn too_many_missing_are_given_up_at_once_and_the_ring_is_clean_after() {
        let mut numbers = Numbers::starting_at(1);
        for seq in 1..=10 {
            hear(&mut numbers, seq, 7, 0);
        }
        let most = MISSING_MAX as u64;
        let revealed = numbers.reveal(10 + most, 0, W).unwrap();
        assert_eq!((revealed.first, revealed.count, revealed.given), (11, most, None));
        let given = numbers.reveal(11 + most, 0, W).unwrap().given.unwrap();
        assert_eq!(given, GivenUp { highest: 11 + most, count: most + 1, runs: vec![(11, most + 1)] });
        assert_eq!(numbers.missing(), 0);
        let far = 10 + NUMBERS_KEPT + most;
        assert_eq!(numbers.reveal(far - 1, 0, W).unwrap().given.unwrap().highest, far - 1);
        assert_eq!(hear(&mut numbers, far, 8, 0), Heard::New);
        assert_eq!(numbers.crc_of(far - NUMBERS_KEPT + 5), None, "a slot used before is not taken for seen");
    }

    #[test]
    fn the_last_numbers_there_are_do_not_overflow() {
        let mut numbers = Numbers::starting_at(u64::MAX - 3);
        assert_eq!(hear(&mut numbers, u64::MAX - 3, 1, 0), Heard::New);
        assert_eq!(reveal(&mut numbers, u64::MAX - 1, 0), Some((u64::MAX - 2, 2)));
        assert_eq!(hear(&mut numbers, u64::MAX - 2, 3, 5), Heard::Filled(5));
        assert_eq!(hear(&mut numbers, u64::MAX, 9, 5), Heard::New);
        assert_eq!(hear(&mut numbers, u64::MAX, 9, 5), Heard::Duplicate { copy: false });
        assert_eq!(numbers.crc_of(u64::MAX), Some(9));
    }
}
