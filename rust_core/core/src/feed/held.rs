//! Book events that wait for the snapshot they join, bounded by count, size and time.

use std::collections::VecDeque;

use super::proof::{Change, Told};
use crate::event::{Ids, Level, LevelExtra};
use crate::publish::Arrival;

/// Diffs held for one instrument while its snapshot is under way: two minutes of the fastest measured stream
/// (80 a second) or 16 minutes of a 100 ms one.
pub const HELD_DIFFS_MAX: usize = 10_000;
/// Levels held with them: 16 MiB.
pub const HELD_LEVELS_MAX: usize = 1 << 20;
/// A diff is held this long; a snapshot that comes later is fetched again.
pub const HELD_FOR_NS: u64 = 60_000_000_000;

/// A book event that waits for its snapshot.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) ids: Ids,
    pub(crate) exchange_ts: i64,
    pub(crate) arrival: Arrival,
    bids: usize,
    levels: Vec<Level>,
    extras: Vec<LevelExtra>,
    depth: Option<u32>,
    checksum: Option<Told>,
}

impl Held {
    pub(super) fn new(ids: Ids, exchange_ts: i64, arrival: Arrival, change: &Change<'_>) -> Self {
        Self {
            ids,
            exchange_ts,
            arrival,
            bids: change.bids.len(),
            levels: [change.bids, change.asks].concat(),
            extras: change.extras.to_vec(),
            depth: change.depth,
            checksum: change.checksum,
        }
    }

    /// Bids first.
    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }

    pub(super) fn change(&self) -> Change<'_> {
        let (bids, asks) = self.levels.split_at(self.bids);
        Change { bids, asks, extras: &self.extras, depth: self.depth, checksum: self.checksum }
    }
}

/// Held book events, bounded by count, size and time.
#[derive(Debug, Default)]
pub(crate) struct HeldDiffs {
    diffs: VecDeque<Held>,
    levels: usize,
    has_overflowed: bool,
}

/// What the bounds pushed out.
pub(crate) struct Pushed {
    /// How many diffs.
    pub(crate) dropped: u64,
    /// None was since the last [`HeldDiffs::clear`].
    pub(crate) is_first: bool,
}

impl HeldDiffs {
    /// Adds a diff and returns what the bounds pushed out.
    pub(crate) fn push(&mut self, diff: Held) -> Pushed {
        self.levels += diff.levels.len();
        let newest_ns = diff.arrival.mono_ns;
        self.diffs.push_back(diff);
        let mut dropped = 0;
        while self.diffs.len() > HELD_DIFFS_MAX
            || self.levels > HELD_LEVELS_MAX
            || self.oldest_expired(newest_ns)
        {
            self.pop();
            dropped += 1;
        }
        let is_first = dropped > 0 && !self.has_overflowed;
        self.has_overflowed |= dropped > 0;
        Pushed { dropped, is_first }
    }

    fn oldest_expired(&self, now_ns: u64) -> bool {
        self.diffs.front().is_some_and(|diff| now_ns.saturating_sub(diff.arrival.mono_ns) > HELD_FOR_NS)
    }

    pub(crate) fn front(&self) -> Option<&Held> {
        self.diffs.front()
    }

    pub(crate) fn pop(&mut self) -> Option<Held> {
        let diff = self.diffs.pop_front()?;
        self.levels -= diff.levels.len();
        Some(diff)
    }

    /// Forgets all and returns how many there were.
    pub(crate) fn clear(&mut self) -> u64 {
        let forgotten = self.diffs.len() as u64;
        self.diffs.clear();
        self.levels = 0;
        self.has_overflowed = false;
        forgotten
    }

    /// Multiplies the mantissas; `false` if one would not fit, then nothing may be used any more.
    pub(super) fn rescale(&mut self, price_factor: i64, qty_factor: i64) -> bool {
        self.diffs.iter_mut().flat_map(|diff| diff.levels.iter_mut()).all(|level| {
            match (level.price.checked_mul(price_factor), level.qty.checked_mul(qty_factor)) {
                (Some(price), Some(qty)) => {
                    *level = Level { price, qty };
                    true
                }
                _ => false,
            }
        })
    }
}
