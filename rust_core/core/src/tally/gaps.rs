//! Holes in the numbers of all channels, and what filled them.

use std::collections::VecDeque;

use super::LINES;
use crate::receive::Line;

/// Gaps that are kept, of all channels together; their sums are kept by the streams.
pub const GAPS_KEPT: usize = 256;

/// Numbers that were missing when a higher one was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// As the header has it: bit 7 is the snapshot plane.
    pub channel: u8,
    /// Session.
    pub session: u32,
    /// First number.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// How many of them came, by line.
    pub filled: [u64; LINES],
    /// Receive stamp of the frame that showed it, nanoseconds since the epoch.
    pub opened_ns: i64,
    /// Receive stamp of the last one that came; 0 = none came.
    pub filled_ns: i64,
}

impl Gap {
    /// Numbers that are still missing.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.count - self.filled.iter().sum::<u64>()
    }
}

/// The last [`GAPS_KEPT`] gaps.
#[derive(Debug, Default)]
pub struct Gaps {
    kept: VecDeque<Gap>,
}

impl Gaps {
    /// The oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Gap> {
        self.kept.iter()
    }

    pub(super) fn open(&mut self, channel: u8, session: u32, first: u64, count: u64, opened_ns: i64) {
        if self.kept.len() == GAPS_KEPT {
            self.kept.pop_front();
        }
        let filled = [0; LINES];
        self.kept.push_back(Gap { channel, session, first, count, filled, opened_ns, filled_ns: 0 });
    }

    /// A number that had been missing came.
    pub(super) fn fill(&mut self, channel: u8, session: u32, number: u64, line: Line, rx_ns: i64) {
        let mut kept = self.kept.iter_mut().rev();
        let found = kept.find(|gap| {
            (gap.channel, gap.session) == (channel, session)
                && number.checked_sub(gap.first).is_some_and(|offset| offset < gap.count)
        });
        if let Some(gap) = found {
            gap.filled[line as usize] += 1;
            gap.filled_ns = rx_ns;
        }
    }
}
