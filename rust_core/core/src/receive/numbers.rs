//! Which numbers of a channel were seen, which are missing and since when.

use std::collections::BTreeMap;

use super::line::Line;

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

/// Numbers given up at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) highest: u64,
    pub(super) count: u64,
}

#[derive(Debug)]
pub(super) struct Numbers {
    high: u64,
    crcs: Vec<u32>,
    /// By which line a number came first, [`UNSEEN`] if it did not.
    lines: Vec<u8>,
    missing: BTreeMap<u64, u64>,
    given_up: BTreeMap<u64, u64>,
}

impl Numbers {
    /// Nothing seen; `next` is the first number expected.
    pub(super) fn starting_at(next: u64) -> Self {
        Self {
            high: next.saturating_sub(1),
            crcs: vec![0; KEPT],
            lines: vec![UNSEEN; KEPT],
            missing: BTreeMap::new(),
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
        if seq.saturating_add(NUMBERS_KEPT) <= self.high || seq == 0 {
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
        match self.missing.remove(&seq) {
            Some(since_ns) => Heard::Filled(now_ns.saturating_sub(since_ns)),
            None => Heard::Late(self.given_up.remove(&seq).map(|since_ns| now_ns.saturating_sub(since_ns))),
        }
    }

    /// Numbers up to `up_to` exist: those above the highest so far are missing from now on. Gives how many that are,
    /// and what had to be given up because too many are missing.
    pub(super) fn reveal(&mut self, up_to: u64, now_ns: u64) -> (u64, Option<GivenUp>) {
        let fresh = up_to.saturating_sub(self.high);
        if fresh == 0 {
            return (0, None);
        }
        let first = self.high + 1;
        self.high = up_to;
        if fresh >= NUMBERS_KEPT {
            self.lines.fill(UNSEEN);
        } else {
            (first..=up_to).for_each(|seq| self.forget(seq));
        }
        let open = self.missing.len() as u64 + fresh;
        if open > MISSING_MAX as u64 {
            self.missing.clear();
            return (fresh, Some(GivenUp { highest: up_to, count: open }));
        }
        self.missing.extend((first..=up_to).map(|seq| (seq, now_ns)));
        (fresh, None)
    }

    /// Gives up what is missing for `window_ns` or longer.
    pub(super) fn expire(&mut self, now_ns: u64, window_ns: u64) -> Option<GivenUp> {
        let mut given = None;
        while let Some((&seq, &since_ns)) = self.missing.first_key_value() {
            // Numbers are opened in ascending order, so the first one is the oldest.
            if now_ns < since_ns.saturating_add(window_ns) {
                break;
            }
            self.missing.pop_first();
            self.given_up.insert(seq, since_ns);
            let count = given.map_or(0, |before: GivenUp| before.count) + 1;
            given = Some(GivenUp { highest: seq, count });
        }
        while self.given_up.len() > GIVEN_UP_KEPT {
            self.given_up.pop_first();
        }
        given
    }

    /// When [`Numbers::expire`] has something to do.
    pub(super) fn deadline_ns(&self, window_ns: u64) -> Option<u64> {
        self.missing.first_key_value().map(|(_, &since_ns)| since_ns.saturating_add(window_ns))
    }

    /// CRC of a number that was seen and is still kept.
    pub(super) fn crc_of(&self, seq: u64) -> Option<u32> {
        if seq > self.high || seq.saturating_add(NUMBERS_KEPT) <= self.high {
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
    use super::{GivenUp, Heard, MISSING_MAX, NUMBERS_KEPT, Numbers};

    #[test]
    fn order_holes_duplicates_and_other_bytes() {
        let mut numbers = Numbers::starting_at(1);
        assert_eq!(numbers.hear(1, 11, Line::A, 0), Heard::New);
        assert_eq!(numbers.reveal(3, 5), (2, None));
        assert_eq!(numbers.reveal(3, 6), (0, None));
        assert_eq!(numbers.hear(4, 44, Line::A, 6), Heard::New);
        assert_eq!(numbers.hear(3, 33, Line::A, 9), Heard::Filled(4));
        assert_eq!(numbers.hear(3, 33, Line::A, 9), Heard::Duplicate { copy: false });
        assert_eq!(numbers.hear(3, 34, Line::A, 9), Heard::Different);
        assert_eq!(numbers.deadline_ns(10), Some(15));
        assert_eq!(numbers.expire(14, 10), None);
        assert_eq!(numbers.expire(15, 10), Some(GivenUp { highest: 2, count: 1 }));
        assert_eq!(numbers.hear(2, 22, Line::A, 25), Heard::Late(Some(20)));
        assert_eq!(numbers.hear(2, 22, Line::A, 25), Heard::Duplicate { copy: false });
        assert_eq!(numbers.hear(0, 0, Line::A, 0), Heard::TooOld);
    }

    #[test]
    fn numbers_before_the_first_one_are_late_and_old_ones_are_refused() {
        let mut numbers = Numbers::starting_at(100_000);
        assert_eq!(numbers.hear(100_000, 1, Line::A, 0), Heard::New);
        assert_eq!(numbers.hear(99_999, 1, Line::A, 0), Heard::Late(None));
        assert_eq!(numbers.hear(100_000 - NUMBERS_KEPT, 1, Line::A, 0), Heard::TooOld);
        assert_eq!(numbers.hear(100_001 - NUMBERS_KEPT, 1, Line::A, 0), Heard::Late(None));
    }

    #[test]
    fn too_many_missing_are_given_up_at_once_and_the_ring_is_clean_after() {
        let mut numbers = Numbers::starting_at(1);
        for seq in 1..=10 {
            numbers.hear(seq, 7, Line::A, 0);
        }
        let most = MISSING_MAX as u64;
        assert_eq!(numbers.reveal(10 + most, 0), (most, None));
        let one_more = Some(GivenUp { highest: 11 + most, count: most + 1 });
        assert_eq!(numbers.reveal(11 + most, 0), (1, one_more));
        assert_eq!(numbers.missing(), 0);
        let far = 10 + NUMBERS_KEPT + most;
        assert_eq!(numbers.reveal(far - 1, 0).1.map(|given| given.highest), Some(far - 1));
        assert_eq!(numbers.hear(far, 8, Line::A, 0), Heard::New);
        assert_eq!(numbers.crc_of(far - NUMBERS_KEPT + 5), None, "a slot used before is not taken for seen");
    }
}
