//! The snapshot plane of a channel: frames in any order in, complete groups and cycle ends out.

use std::collections::BTreeMap;

use super::instrument::Held;
use super::missing::{Fate, GivenUp, Missing, MissingSet};
use crate::wire::{CycleEnd, Message, flags};

/// Frames ahead of a missing one that are kept: those of a plane at 20 % of a gigabit line while a number is asked for.
pub const SNAPSHOT_REORDER_MAX: usize = 1_024;
/// How long a missing number of the plane is waited for before it is asked for, or given up where nobody can be asked. A
/// cycle comes again, so there is nothing to adapt.
pub const SNAPSHOT_WINDOW_NS: u64 = 2_000_000;
/// A longer run of missing numbers is no loss but time in which the plane was not heard: it is passed over.
pub const SNAPSHOT_HOLE_MAX: u64 = 512;
/// Frames of one group: a million levels are 13,108, a million orders 40,330.
pub const GROUP_FRAMES_MAX: usize = 65_536;

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
    /// Highest number heard.
    top: u64,
    /// First number since which none is missing.
    contiguous_from: u64,
    waiting: BTreeMap<u64, Held>,
    missing: MissingSet,
    /// The plane was not heard meanwhile: what it said then is no loss.
    rejoined: bool,
    group: Vec<Held>,
    group_of: Option<(u32, u32)>,
    counts: PlaneCounts,
}

/// What a frame of the plane turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Taken; what is missing before it from now on: first number and how many, 0 if none.
    Taken { first: u64, count: u64 },
    /// Taken; it was missing.
    Filled,
    /// Came before, or too late.
    Duplicate,
}

impl SnapshotPlane {
    /// The plane of an image: its first number is 1.
    pub(super) fn of_image() -> Self {
        Self { next: Some(1), contiguous_from: 1, ..Self::default() }
    }

    /// The number expected if nothing is missing.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Whether a number is missing and may still come.
    pub(super) fn is_missing(&self, seq: u64) -> bool {
        self.missing.contains(seq)
    }

    /// The plane is heard from now on, and was not before.
    pub(super) fn rejoin(&mut self) {
        self.rejoined = true;
    }

    /// Takes one frame and appends what became complete to `out`.
    pub(super) fn push(&mut self, held: Held, now_ns: u64, out: &mut Vec<Item>) -> Pushed {
        let seq = held.header.channel_seq;
        let next = *self.next.get_or_insert_with(|| {
            self.contiguous_from = seq;
            self.top = seq.saturating_sub(1);
            seq
        });
        let was_missing = self.missing.fill(seq).is_some();
        if seq < next || seq <= self.top && !was_missing {
            self.counts.duplicates += 1;
            return Pushed::Duplicate;
        }
        let mut pushed = if was_missing { Pushed::Filled } else { Pushed::Taken { first: seq, count: 0 } };
        let rejoined = std::mem::take(&mut self.rejoined);
        if seq > self.top {
            let (first, count) = (self.top + 1, seq - self.top - 1);
            self.top = seq;
            if !rejoined && (1..=SNAPSHOT_HOLE_MAX).contains(&count) {
                self.missing.open(first, seq - 1, now_ns, SNAPSHOT_WINDOW_NS);
                pushed = Pushed::Taken { first, count };
            }
        }
        if seq == next {
            self.accept(held, out);
        } else {
            self.waiting.insert(seq, held);
            if self.waiting.len() > SNAPSHOT_REORDER_MAX
                && let Some((&first, _)) = self.waiting.first_key_value()
            {
                self.missing.take(next, first);
            }
        }
        self.drain(out);
        pushed
    }

    /// Decides about every number that is due; see [`MissingSet::visit`].
    pub(super) fn visit(
        &mut self,
        now_ns: u64,
        out: &mut Vec<Item>,
        fate: impl FnMut(u64, &mut Missing) -> Fate,
    ) -> Option<GivenUp> {
        let gone = self.missing.visit(now_ns, SNAPSHOT_WINDOW_NS, fate);
        self.give_up(gone, out)
    }

    /// Gives up what is missing of `first..=last`.
    pub(super) fn give_up_range(&mut self, first: u64, last: u64, out: &mut Vec<Item>) -> Option<GivenUp> {
        let gone = self.missing.take(first, last);
        self.give_up(gone, out)
    }

    fn give_up(&mut self, gone: Vec<(u64, u64)>, out: &mut Vec<Item>) -> Option<GivenUp> {
        let mut given = GivenUp::default();
        gone.into_iter().for_each(|(seq, _)| given.push(seq, 1));
        self.drain(out);
        given.any()
    }

    /// See [`MissingSet::postpone`].
    pub(super) fn postpone(&mut self, first: u64, last: u64, at_ns: u64) {
        self.missing.postpone(first, last, at_ns);
    }

    /// When [`SnapshotPlane::visit`] has something to do.
    pub(super) fn deadline_ns(&self) -> Option<u64> {
        self.missing.deadline_ns()
    }

    /// Counts since the last call.
    pub(super) fn take_counts(&mut self) -> PlaneCounts {
        std::mem::take(&mut self.counts)
    }

    /// Goes on as far as nothing is missing that may still come.
    fn drain(&mut self, out: &mut Vec<Item>) {
        while let (Some(next), Some(entry)) = (self.next, self.waiting.first_entry()) {
            let seq = *entry.key();
            if self.missing.any_in(next, seq) {
                break;
            }
            let held = entry.remove();
            if seq > next {
                self.counts.missing = self.counts.missing.saturating_add(seq - next);
                self.contiguous_from = seq;
                self.drop_group();
            }
            self.accept(held, out);
        }
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
