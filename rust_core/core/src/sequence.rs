//! Continuity rules: which events of a venue may be applied to a book, and how a snapshot joins the diffs.
//!
//! A venue picks a [`Rule`] and a [`Splice`] as values of its declaration; nothing here knows a venue. One
//! [`Continuity`] follows one numbered sequence: an instrument's book, or a connection
//! ([`Rule::ConnectionPlusOne`]). It holds no events: the caller buffers diffs while a snapshot is under way
//! and gives each to [`Continuity::splice`] until that answers [`SpliceVerdict::Apply`], then all later ones to
//! [`Continuity::check`]. Buffered diffs that are all older than the snapshot answer `Old`; the caller then goes
//! on with `splice` for the diffs that arrive.
//!
//! **An id that the rule needs and the event lacks is a gap** with `got` 0: continuity cannot be shown, and a
//! gap leads to a new snapshot, where a fault would leave a book live that may have missed a change.

use serde::Deserialize;

use crate::event::Ids;

/// How one event follows the one before it. In JSON: `"range"`, `"chain"`, `"plus_one"` …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The event covers the ids `first..=last`, which overlap or continue what is applied.
    ///
    /// Binance spot, "How to manage a local order book correctly" (web-socket-streams.md, read 2026-07-21):
    /// "If the event `u` (last update ID) is < the update ID of your local order book: ignore the event. If
    /// the event `U` (first update ID) is > your local order book's update ID + 1, you have missed some
    /// events." KuCoin (`sequenceStart <= end + 1`) and Gate follow the same rule. An event that ends exactly at our
    /// place is ignored too: it says what is applied, and two links that carry one stream would publish it twice.
    Range,
    /// The event names its predecessor: `prev` equals the `last` of the event before.
    ///
    /// Binance futures, "How To Manage A Local Order Book Correctly" (both products, read 2026-08-21):
    /// "While listening to the stream, each new event's `pu` should be equal to the previous event's `u`,
    /// otherwise initialize the process". An event whose `prev` fits is applied even if its `last` is lower:
    /// OKX books, "prevSeqId == last and seqId < prevSeqId" is a legal reset after maintenance.
    Chain,
    /// Each event's `last` is one more than that of the instrument's event before.
    PlusOne,
    /// Each message's `last` is one more than that of the connection's message before, control messages and
    /// heartbeats included. Nothing is ever `Old`: a connection does not repeat itself.
    ConnectionPlusOne,
    /// The venue numbers nothing: every event is applied and nothing is proven.
    None,
}

/// How a snapshot joins the diffs. In JSON: `"range"`, `"chain"`, `"in_stream"`, `"none"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Splice {
    /// REST snapshot with id `L`: drop `last <= L`; the first kept event needs `first <= L + 1 <= last`.
    ///
    /// Binance spot, same page, as corrected 2025-11-12: "If the `lastUpdateId` from the snapshot is strictly
    /// less than the `U` from step 2, go back to step 3", "discard any event where `u` is <= `lastUpdateId`",
    /// "the first buffered event should now have `lastUpdateId` within its `[U;u]` range". The first sentence
    /// would refetch at `U == L + 1`, which continues the snapshot without a hole and does occur (NEXOUSDT
    /// 2024-07-23: snapshot 134180599, first diff 134180600), so only `L + 1 < U` is too old here.
    Range,
    /// REST snapshot with id `L`: drop `last < L`; the first kept event needs `prev <= L <= last`.
    ///
    /// Binance futures, same pages: "Drop any event where `u` is < `lastUpdateId` in the snapshot. The first
    /// processed event should have `U` <= `lastUpdateId` AND `u` >= `lastUpdateId`". Live streams also start
    /// with `pu == lastUpdateId` (tardis-node 2f13277, 2026-08). Both are cases of `prev <= L <= last`: the
    /// event holds every change after `prev`, so nothing lies between it and the snapshot. `first` stands in
    /// where an event has no `prev`.
    Chain,
    /// The stream itself sends the snapshot: see [`Continuity::restart_at`].
    InStream,
    /// There is no snapshot, or nothing that ties it to the diffs.
    None,
}

/// What to do with an event of a running sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It continues the sequence and is now counted as applied.
    Apply,
    /// What it says is already applied: ignore it.
    Old,
    /// Events are missing, or their absence cannot be shown. Nothing changes here: the caller resets.
    Gap {
        /// The id that would have continued the sequence (for [`Rule::Chain`] the value of `prev`).
        expected: u64,
        /// The id that came; 0 if the event has none.
        got: u64,
    },
}

/// What to do with an event while a REST snapshot waits for the first that joins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpliceVerdict {
    /// The snapshot holds it already: drop it and go on.
    Old,
    /// It joins the snapshot and is now counted as applied; the next one goes to [`Continuity::check`].
    Apply,
    /// Changes between snapshot and event are missing: fetch the snapshot again, keep the event.
    SnapshotTooOld {
        /// The id that would have joined.
        expected: u64,
        /// The id that came; 0 if the event has none.
        got: u64,
    },
}

/// The place reached in one sequence. Costs 40 bytes and a few compares per event.
#[derive(Clone, Debug)]
pub struct Continuity {
    rule: Rule,
    splice: Splice,
    local: Option<u64>,
}

impl Continuity {
    /// A sequence of which nothing was seen.
    #[must_use]
    pub fn new(rule: Rule, splice: Splice) -> Self {
        Self { rule, splice, local: None }
    }

    /// Forgets the place; the next event is adopted as the first. The rules stay.
    pub fn reset(&mut self) {
        self.local = None;
    }

    /// How one event follows the one before it.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// How a snapshot joins.
    #[must_use]
    pub fn splices(&self) -> Splice {
        self.splice
    }

    /// The id applied last; `None` before the first.
    #[must_use]
    pub fn local(&self) -> Option<u64> {
        self.local
    }

    /// Says that a snapshot in the stream, with this `last` id, replaced the book.
    pub fn restart_at(&mut self, last: Option<u64>) {
        self.local = last;
    }

    /// Judges the next event. The first one after `new` or `reset` is adopted: there is nothing to compare with.
    pub fn check(&mut self, ids: &Ids) -> Verdict {
        let verdict = match self.rule {
            Rule::None => Verdict::Apply,
            Rule::Range => self.check_range(ids),
            Rule::Chain => self.check_chain(ids),
            Rule::PlusOne | Rule::ConnectionPlusOne => self.check_plus_one(ids),
        };
        if verdict == Verdict::Apply {
            self.local = ids.last.or(self.local);
        }
        verdict
    }

    fn check_range(&self, ids: &Ids) -> Verdict {
        let (Some(first), Some(last)) = (ids.first, ids.last) else {
            return self.gap_after(0);
        };
        match self.local {
            Some(local) if last <= local => Verdict::Old,
            Some(local) if is_beyond_next(first, local) => self.gap_after(first),
            _ => Verdict::Apply,
        }
    }

    fn check_chain(&self, ids: &Ids) -> Verdict {
        let Some(last) = ids.last else {
            return Verdict::Gap { expected: self.local.unwrap_or(0), got: 0 };
        };
        match (self.local, ids.prev) {
            (None, _) => Verdict::Apply,
            (Some(local), Some(prev)) if prev == local => Verdict::Apply,
            (Some(local), Some(_)) if last <= local => Verdict::Old,
            (Some(local), prev) => Verdict::Gap { expected: local, got: prev.unwrap_or(0) },
        }
    }

    fn check_plus_one(&self, ids: &Ids) -> Verdict {
        let Some(last) = ids.last else {
            return self.gap_after(0);
        };
        match self.local {
            None => Verdict::Apply,
            Some(local) if last == local.wrapping_add(1) => Verdict::Apply,
            Some(local) if last <= local && self.rule == Rule::PlusOne => Verdict::Old,
            Some(_) => self.gap_after(last),
        }
    }

    fn gap_after(&self, got: u64) -> Verdict {
        Verdict::Gap { expected: self.local.map_or(0, |local| local.wrapping_add(1)), got }
    }

    /// Judges an event against a REST snapshot that is current up to `snapshot_id`.
    ///
    /// With [`Splice::InStream`] and [`Splice::None`] there is no rule by which to refuse: the event is applied.
    pub fn splice(&mut self, snapshot_id: u64, ids: &Ids) -> SpliceVerdict {
        let verdict = match self.splice {
            Splice::Range => splice_range(snapshot_id, ids),
            Splice::Chain => splice_chain(snapshot_id, ids),
            Splice::InStream | Splice::None => SpliceVerdict::Apply,
        };
        if verdict == SpliceVerdict::Apply {
            self.restart_at(ids.last);
        }
        verdict
    }
}

/// `first > local + 1` without the overflow at the largest id.
fn is_beyond_next(first: u64, local: u64) -> bool {
    first > local && first - local > 1
}

fn splice_range(snapshot_id: u64, ids: &Ids) -> SpliceVerdict {
    let expected = snapshot_id.wrapping_add(1);
    match (ids.first, ids.last) {
        (_, Some(last)) if last <= snapshot_id => SpliceVerdict::Old,
        (Some(first), Some(_)) if !is_beyond_next(first, snapshot_id) => SpliceVerdict::Apply,
        (first, _) => SpliceVerdict::SnapshotTooOld { expected, got: first.unwrap_or(0) },
    }
}

fn splice_chain(snapshot_id: u64, ids: &Ids) -> SpliceVerdict {
    match (ids.prev.or(ids.first), ids.last) {
        (_, Some(last)) if last < snapshot_id => SpliceVerdict::Old,
        (Some(from), Some(_)) if from <= snapshot_id => SpliceVerdict::Apply,
        (from, _) => SpliceVerdict::SnapshotTooOld { expected: snapshot_id, got: from.unwrap_or(0) },
    }
}
