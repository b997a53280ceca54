//! Best prices between two messages of levels.
//!
//! A venue that tells changes of levels ten times a second tells its best prices at once. The quantities that the best level had in between are
//! what came and went there: a level that grew by 3 and shrank by 3 since its last message has lost orders, and new ones are
//! behind those that stayed. What was seen waits for the message of levels that is not older, and goes before it; after the
//! message every level is what the message says.

use super::{Inference, bit_of};
use crate::event::Side;

/// Best prices that wait for their message of levels, both sides. The busiest second of the recordings has 784 of one instrument.
const GLIMPSES_MAX: usize = 1_024;

/// A quantity that the best level of a side had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glimpse {
    pub(super) level: (Side, i64),
    pub(super) qty: i64,
    pub(super) ts: i64,
}

impl Inference {
    /// The best level of a side at a time of the exchange; mantissas, nanoseconds. It may be told again and again.
    pub fn best(&mut self, level: (Side, i64), qty: i64, ts: i64) {
        if qty <= 0 {
            self.counters.refused += 1;
            return;
        }
        let last = &mut self.last_best[level.0.index()];
        if std::mem::replace(last, (level.1, qty)) == (level.1, qty) || ts <= self.told_ts {
            return;
        }
        if self.glimpses.len() == GLIMPSES_MAX {
            self.glimpses.pop_front();
            self.counters.forgotten += 1;
        }
        self.waited |= bit_of(level);
        self.glimpses.push_back(Glimpse { level, qty, ts });
    }

    /// What was seen of a level up to the time of its message.
    #[cold]
    pub(super) fn see_level(&mut self, level: (Side, i64), ts: i64) {
        let mut at = 0;
        while let Some(glimpse) = self.glimpses.get(at).copied() {
            if glimpse.level == level && glimpse.ts <= ts {
                self.glimpses.remove(at);
                self.settle(level, glimpse.qty, glimpse.ts, ts);
            } else {
                at += 1;
            }
        }
    }

    /// What was seen of levels that the message does not name: they are what they were.
    #[cold]
    pub(super) fn see_others(&mut self, ts: i64) {
        while let Some(level) = self.glimpses.front().filter(|first| first.ts <= ts).map(|first| first.level)
        {
            let (qty, _) = self.queues().level(level.0, level.1);
            if qty > 0 {
                self.see_level(level, ts);
                self.settle(level, qty, ts, ts);
            } else {
                // It came and went.
                self.glimpses.retain(|glimpse| glimpse.level != level || glimpse.ts > ts);
            }
        }
    }
}
