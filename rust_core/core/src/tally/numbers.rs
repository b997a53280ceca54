//! Which numbers of one session came, by one line or by all together.

/// Numbers behind the highest one of which it is known whether they were seen; a later frame is only counted.
pub const NUMBERS_KEPT: u64 = 65_536;

const WORD_BITS: u64 = u64::BITS as u64;
const WORDS: usize = (NUMBERS_KEPT / WORD_BITS) as usize;

/// What a number was to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Higher than all before; the numbers that it left out, as first and count.
    Higher(Option<(u64, u64)>),
    /// It had been missing.
    Late,
    /// Lower than the first one heard, and new.
    Before,
    /// Seen before.
    Duplicate,
    /// Too far behind to know.
    TooOld,
}

/// Numbers heard. Sums go on over sessions.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// Times numbers were found missing.
    pub gaps: u64,
    /// Numbers that are missing: neither here nor come later.
    pub missing: u64,
    /// Numbers that came after a higher one.
    pub late: u64,
    /// Numbers seen before.
    pub duplicates: u64,
    /// Numbers too far behind to know whether they were seen, and 0, which is none.
    pub too_old: u64,
    /// First number heard in this session.
    first: u64,
    /// Highest number known to exist in this session.
    high: u64,
    /// One bit for each of the last [`NUMBERS_KEPT`] numbers.
    seen: Box<[u64; WORDS]>,
}

impl Numbers {
    pub(super) fn new(first: u64) -> Self {
        let mut numbers = Self {
            gaps: 0,
            missing: 0,
            late: 0,
            duplicates: 0,
            too_old: 0,
            first: 0,
            high: 0,
            seen: Box::new([0; WORDS]),
        };
        numbers.begin(first);
        numbers
    }

    /// A session begins, or is joined at this number.
    pub(super) fn begin(&mut self, first: u64) {
        self.first = first.max(1);
        self.high = self.first - 1;
        self.seen.fill(0);
    }

    /// Highest number known to exist.
    #[must_use]
    pub fn high(&self) -> u64 {
        self.high
    }

    pub(super) fn number(&mut self, number: u64) -> Arrival {
        if number > self.high {
            let gap = self.reach(number - 1);
            self.high = number;
            self.mark(number);
            Arrival::Higher(gap)
        } else if number == 0 || self.high - number >= NUMBERS_KEPT {
            self.too_old += 1;
            Arrival::TooOld
        } else if self.is_marked(number) {
            self.duplicates += 1;
            Arrival::Duplicate
        } else {
            self.mark(number);
            self.late += 1;
            // What was sent before the first number heard was not counted as missing.
            if number < self.first {
                return Arrival::Before;
            }
            self.missing -= 1;
            Arrival::Late
        }
    }

    /// Numbers up to `number` exist; those that were not known of, as first and count.
    pub(super) fn reach(&mut self, number: u64) -> Option<(u64, u64)> {
        if number <= self.high {
            return None;
        }
        let gap = (self.high + 1, number - self.high);
        self.gaps += 1;
        self.missing += gap.1;
        self.forget(gap.0, number);
        self.high = number;
        Some(gap)
    }

    fn forget(&mut self, from: u64, to: u64) {
        if to - from >= NUMBERS_KEPT {
            self.seen.fill(0);
            return;
        }
        for number in from..=to {
            self.seen[word(number)] &= !bit(number);
        }
    }

    /// Sets the bit, which may still be that of the number [`NUMBERS_KEPT`] before: it is the same one.
    fn mark(&mut self, number: u64) {
        self.seen[word(number)] |= bit(number);
    }

    fn is_marked(&self, number: u64) -> bool {
        self.seen[word(number)] & bit(number) != 0
    }
}

fn word(number: u64) -> usize {
    (number % NUMBERS_KEPT / WORD_BITS) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % WORD_BITS)
}
