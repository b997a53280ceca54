//! Changes of a split event, which count together when its last frame is there.

use super::whole::Broken;
use crate::wire::flags;

/// Changes of split events that wait for their last frame, per channel: levels and orders.
pub const STAGED_MAX: usize = 1 << 20;

/// Changes for which an instrument keeps the memory: an event of 12 full frames, 24 KiB of levels.
const STAGED_KEPT: usize = 1_000;

/// Frames of a split event so far.
#[derive(Debug)]
pub(super) struct Staged<C> {
    changes: Vec<C>,
    reset: bool,
    open: bool,
}

impl<C> Default for Staged<C> {
    fn default() -> Self {
        Self { changes: Vec::new(), reset: false, open: false }
    }
}

impl<C> Staged<C> {
    /// Whether the last frame of an event is still to come.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Takes the changes of one frame with these flags, while `others` wait elsewhere in the channel. Whether its event is whole
    /// now.
    pub(super) fn push(
        &mut self,
        bits: u16,
        changes: impl Iterator<Item = C>,
        others: usize,
    ) -> Result<bool, Broken> {
        self.open = true;
        if bits & flags::RESET != 0 {
            self.changes.clear();
            self.reset = true;
        }
        self.changes.extend(changes);
        if self.changes.len() + others > STAGED_MAX {
            return Err(Broken::Limit);
        }
        Ok(bits & flags::EVENT_END != 0)
    }

    /// Ends the event: its changes, and whether they replace the book.
    pub(super) fn take(&mut self) -> (Vec<C>, bool) {
        let Self { changes, reset, .. } = std::mem::take(self);
        (changes, reset)
    }

    /// Keeps the memory of an event's changes. Split events come all the time, whole books do not.
    pub(super) fn keep(&mut self, mut changes: Vec<C>) {
        changes.clear();
        changes.shrink_to(STAGED_KEPT);
        self.changes = changes;
    }
}
