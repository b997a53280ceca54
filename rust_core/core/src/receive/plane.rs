//! The snapshot plane of a channel: frames in any order in, complete groups and cycle ends out.

use std::collections::BTreeMap;

use super::instrument::Held;
use crate::wire::{CycleEnd, Message, flags};

/// Frames ahead of a missing one that are kept.
pub const SNAPSHOT_REORDER_MAX: usize = 256;
/// How long a missing number of the plane is waited for. A cycle comes again, so there is nothing to adapt.
pub const SNAPSHOT_WINDOW_NS: u64 = 2_000_000;
/// Frames of one group: over a million levels.
pub const GROUP_FRAMES_MAX: usize = 16_384;

/// What the plane makes of its frames.
#[derive(Debug)]
pub(super) enum Item {
    /// Every frame of an instrument from INSTRUMENT_DEF to EVENT_END.
    Group(Vec<Held>),
    /// A cycle ended; none of its frames is missing if `contiguous`.
    Cycle { root: CycleEnd, contiguous: bool },
}

/// What happened to the frames, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PlaneCounts {
    pub(super) duplicates: u64,
    pub(super) missing: u64,
    pub(super) incomplete: u64,
}

#[derive(Debug, Default)]
pub(super) struct SnapshotPlane {
    next: Option<u64>,
    /// First number since which none is missing.
    contiguous_from: u64,
    waiting: BTreeMap<u64, Held>,
    waiting_since_ns: u64,
    group: Vec<Held>,
    group_of: Option<(u32, u32)>,
    counts: PlaneCounts,
}

impl SnapshotPlane {
    /// Takes one frame and appends what became complete to `out`.
    pub(super) fn push(&mut self, held: Held, now_ns: u64, out: &mut Vec<Item>) {
        let seq = held.header.channel_seq;
        let next = *self.next.get_or_insert_with(|| {
            self.contiguous_from = seq;
            seq
        });
        if seq < next {
            self.counts.duplicates += 1;
            return;
        }
        if seq == next {
            self.accept(held, out);
        } else {
            if self.waiting.is_empty() {
                self.waiting_since_ns = now_ns;
            }
            if self.waiting.insert(seq, held).is_some() {
                self.counts.duplicates += 1;
            }
            if self.waiting.len() > SNAPSHOT_REORDER_MAX {
                self.skip();
            }
        }
        self.drain(now_ns, out);
    }

    /// Gives up numbers that are missing for too long.
    pub(super) fn timer(&mut self, now_ns: u64, out: &mut Vec<Item>) {
        if self.deadline_ns().is_some_and(|deadline| now_ns >= deadline) {
            self.skip();
            self.drain(now_ns, out);
        }
    }

    pub(super) fn deadline_ns(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then_some(self.waiting_since_ns.saturating_add(SNAPSHOT_WINDOW_NS))
    }

    /// Counts since the last call.
    pub(super) fn take_counts(&mut self) -> PlaneCounts {
        std::mem::take(&mut self.counts)
    }

    fn drain(&mut self, now_ns: u64, out: &mut Vec<Item>) {
        let before = self.next;
        while let Some(entry) = self.waiting.first_entry() {
            if Some(*entry.key()) != self.next {
                break;
            }
            let held = entry.remove();
            self.accept(held, out);
        }
        if self.next != before {
            self.waiting_since_ns = now_ns;
        }
    }

    /// Goes on with the first frame that waits.
    fn skip(&mut self) {
        let (Some(next), Some((&first, _))) = (self.next, self.waiting.first_key_value()) else { return };
        self.counts.missing += first - next;
        self.contiguous_from = first;
        self.next = Some(first);
        self.drop_group();
    }

    fn drop_group(&mut self) {
        if self.group_of.take().is_some() {
            self.counts.incomplete += 1;
        }
        self.group.clear();
    }

    fn accept(&mut self, held: Held, out: &mut Vec<Item>) {
        let header = held.header;
        self.next = Some(header.channel_seq.saturating_add(1));
        let about = (header.instrument, header.instr_seq);
        match held.frame().message() {
            Message::CycleEnd(root) => {
                self.drop_group();
                let contiguous = self.contiguous_from <= root.first_snap_seq;
                out.push(Item::Cycle { root, contiguous });
                return;
            }
            Message::InstrumentDef(_) => {
                self.drop_group();
                self.group_of = Some(about);
            }
            _ if self.group_of != Some(about) || self.group.len() >= GROUP_FRAMES_MAX => {
                self.drop_group();
                return;
            }
            _ => {}
        }
        self.group.push(held);
        if header.has(flags::EVENT_END) {
            self.group_of = None;
            out.push(Item::Group(std::mem::take(&mut self.group)));
        }
    }
}
