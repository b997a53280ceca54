//! Deliveries as flat arrays for NumPy, bounded.

use std::collections::VecDeque;

use super::batch::Batch;
use super::instrument::shown_flags;
use super::rows::{
    EventRow, KIND_LOST, KIND_ROWS_LOST, KIND_STATE, MARK_MID_EVENT, MARK_RECOVERED, MARK_SNAPSHOT,
    MARK_UNSURE,
};
use super::sink::{Delivered, Lost, Sink, StateChange};
use super::state::Reported;
use crate::publish::Plane;

/// The collector keeps its rows in this many parts, so that losing the oldest loses an eighth at a time.
const PARTS: usize = 8;

/// Rows that one frame makes at most: its records and the event.
const FRAME_ROWS_MAX: usize = u8::MAX as usize + 1;

/// What a collector did not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectorCounts {
    /// Event rows lost because nobody took them in time.
    pub events_lost: u64,
    /// All rows lost with them.
    pub rows_lost: u64,
    /// Deliveries of types that were not asked for.
    pub filtered: u64,
}

/// A [`Sink`] that keeps rows until they are taken. The oldest are lost, and counted, beyond `rows_max`; the batch that
/// follows begins with a row of [`KIND_ROWS_LOST`].
#[derive(Debug)]
pub struct Collector {
    /// Bit per message type below 64.
    types: u64,
    part_rows: usize,
    rows_max: usize,
    parts: VecDeque<Batch>,
    rows: usize,
    /// Of those, rows of the last part.
    last_rows: usize,
    /// As large as the batch that was taken last: the memory went with it, and what follows is likely to need as much.
    spare: Batch,
    lost_since_taken: u64,
    counts: CollectorCounts,
}

impl Collector {
    /// `types`: message types to keep, `None` = all; changes of state and losses are always kept. `rows_max` counts
    /// the rows of all arrays together, and is at least one part of a frame's worth.
    #[must_use]
    pub fn new(types: Option<&[u8]>, rows_max: usize) -> Self {
        let rows_max = rows_max.clamp(PARTS * FRAME_ROWS_MAX, u32::MAX as usize);
        let bit = |msg_type: u8| if msg_type < 64 { 1 << msg_type } else { 0 };
        Self {
            types: types.map_or(u64::MAX, |types| types.iter().fold(0, |bits, &kind| bits | bit(kind))),
            part_rows: rows_max / PARTS,
            rows_max,
            parts: VecDeque::new(),
            rows: 0,
            last_rows: 0,
            spare: Batch::default(),
            lost_since_taken: 0,
            counts: CollectorCounts::default(),
        }
    }

    /// Rows of all arrays that wait.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What was not kept.
    #[must_use]
    pub fn counts(&self) -> CollectorCounts {
        self.counts
    }

    /// Everything collected since the last call.
    pub fn take(&mut self) -> Batch {
        (self.rows, self.last_rows) = (0, 0);
        let lost = std::mem::take(&mut self.lost_since_taken);
        let mut batch = if lost > 0 {
            let start = u32::try_from(lost).unwrap_or(u32::MAX);
            let mut batch = Batch::default();
            batch.events.push(&EventRow { kind: KIND_ROWS_LOST, start, ..EventRow::default() });
            batch
        } else {
            self.parts.pop_front().unwrap_or_default()
        };
        self.parts.drain(..).for_each(|part| batch.extend(&part));
        if !batch.events.is_empty() {
            self.spare = batch.room_for_another();
        }
        batch
    }

    /// The part to write to, after making room for a frame's worth of rows.
    fn part(&mut self) -> &mut Batch {
        if self.parts.is_empty() || self.last_rows >= self.part_rows {
            self.start_part();
        }
        let last = self.parts.len() - 1;
        &mut self.parts[last]
    }

    #[cold]
    fn start_part(&mut self) {
        while self.rows + self.part_rows + FRAME_ROWS_MAX > self.rows_max {
            let Some(oldest) = self.parts.pop_front() else { break };
            self.rows -= oldest.rows();
            self.counts.rows_lost += oldest.rows() as u64;
            self.counts.events_lost += oldest.events.len() as u64;
            self.lost_since_taken += oldest.events.len() as u64;
        }
        self.parts.push_back(std::mem::take(&mut self.spare));
        self.last_rows = 0;
    }

    fn count_rows(&mut self, added: usize) {
        self.rows += added;
        self.last_rows += added;
    }

    fn push(&mut self, row: &EventRow) {
        self.part().events.push(row);
        self.count_rows(1);
    }
}

impl Sink for Collector {
    fn deliver(&mut self, delivered: &Delivered<'_>) {
        let header = delivered.frame.header;
        if header.msg_type >= 64 || self.types >> header.msg_type & 1 == 0 {
            self.counts.filtered += 1;
            return;
        }
        let marks = [
            (delivered.unsure, MARK_UNSURE),
            (delivered.recovered, MARK_RECOVERED),
            (delivered.plane == Plane::Snapshot, MARK_SNAPSHOT),
            (delivered.mirror.is_some_and(super::Mirror::is_mid_event), MARK_MID_EVENT),
        ];
        let part = self.part();
        let (start, shape) = part.take_frame(delivered.frame);
        part.events.push(&EventRow {
            channel_seq: header.channel_seq,
            source_seq: header.source_seq,
            exchange_ts: header.exchange_ts,
            recv_ts: header.recv_ts,
            send_ts: header.send_ts(),
            rx_ts: delivered.rx_ts,
            instrument: header.instrument,
            instr_seq: header.instr_seq,
            start,
            proc_ns: header.proc_ns,
            session: header.session,
            delay_ns: u32::try_from(delivered.delay_ns).unwrap_or(u32::MAX),
            venue: header.venue,
            flags: shown_flags(delivered.frame, delivered.plane),
            count: shape.records,
            n_bids: shape.n_bids.min(shape.records),
            reason: match (delivered.state, delivered.mirror) {
                (Reported::Live, _) | (_, None) => 0,
                (_, Some(mirror)) => mirror.reason,
            },
            marks: marks.iter().fold(0, |bits, &(is_set, mark)| if is_set { bits | mark } else { bits }),
            frag_index: shape.frag_index,
            frag_count: shape.frag_count,
            depth_limit: shape.depth_limit,
            kind: header.msg_type,
            state: delivered.state as u8,
            trading: delivered.mirror.map_or(0, |mirror| mirror.trading),
            channel: header.channel_number(),
            price_exp: header.price_exp,
            qty_exp: header.qty_exp,
            checksum_kind: shape.checksum_kind,
            scope: shape.scope,
            reserved: [0; 6],
        });
        self.count_rows(1 + usize::from(shape.records));
    }

    fn state(&mut self, change: &StateChange) {
        self.push(&EventRow {
            kind: KIND_STATE,
            venue: change.venue,
            instrument: change.instrument,
            channel: change.channel,
            session: change.session,
            instr_seq: change.instr_seq,
            source_seq: change.source_seq,
            exchange_ts: change.exchange_ts,
            recv_ts: change.recv_ts,
            state: change.to as u8,
            reason: change.reason,
            trading: change.trading,
            ..EventRow::default()
        });
    }

    fn lost(&mut self, lost: &Lost) {
        let count = u32::try_from(lost.count).unwrap_or(u32::MAX);
        self.push(&EventRow {
            kind: KIND_LOST,
            venue: lost.venue,
            instrument: lost.instrument,
            channel: lost.channel,
            session: lost.session,
            instr_seq: lost.first,
            start: count,
            count: u16::try_from(count).unwrap_or(u16::MAX),
            state: lost.state as u8,
            ..EventRow::default()
        });
    }
}
