//! Deliveries as flat arrays for NumPy, bounded.

use std::collections::VecDeque;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::instrument::shown_flags;
use super::rows::{
    EventRow, KIND_LOST, KIND_ROWS_LOST, KIND_STATE, MARK_MID_EVENT, MARK_RECOVERED, MARK_SNAPSHOT,
    MARK_UNSURE,
};
use super::sink::{Delivered, Lost, Sink, StateChange};
use super::state::Reported;
use crate::event::{Bbo, Candle, DerivState, Level, Ticker, Trade};
use crate::publish::Plane;
use crate::wire::{Conn, Frame, InstrumentDef, Message, Records, Status};

/// The collector keeps its rows in this many parts, so that losing the oldest loses an eighth at a time.
const PARTS: usize = 8;

/// Rows that one frame makes at most: its records and the event.
const FRAME_ROWS_MAX: usize = u8::MAX as usize + 1;

/// Rows collected: one [`EventRow`] per frame, change of state or loss, and the records they point to.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order.
    pub events: Vec<EventRow>,
    /// Of BOOK_DELTA and BOOK_SNAPSHOT, bids first.
    pub levels: Vec<Level>,
    /// Of TRADE and LIQUIDATION.
    pub trades: Vec<Trade>,
    /// Of BBO.
    pub bbos: Vec<Bbo>,
    /// Of TICKER_24H.
    pub tickers: Vec<Ticker>,
    /// Of CANDLE.
    pub candles: Vec<Candle>,
    /// Of DERIV_STATE.
    pub derivs: Vec<DerivState>,
    /// Of INSTRUMENT_DEF.
    pub defs: Vec<InstrumentDef>,
    /// Of STATUS.
    pub statuses: Vec<Status>,
    /// Of CONN.
    pub conns: Vec<Conn>,
}

impl Batch {
    /// Rows of all arrays together.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.events.len()
            + self.levels.len()
            + self.trades.len()
            + self.bbos.len()
            + self.tickers.len()
            + self.candles.len()
            + self.derivs.len()
            + self.defs.len()
            + self.statuses.len()
            + self.conns.len()
    }

    /// The bytes of every array, by name, in the order of [`super::rows::layouts`].
    #[must_use]
    pub fn arrays(&self) -> [(&'static str, &[u8]); 10] {
        [
            ("events", self.events.as_bytes()),
            ("levels", self.levels.as_bytes()),
            ("trades", self.trades.as_bytes()),
            ("bbos", self.bbos.as_bytes()),
            ("tickers", self.tickers.as_bytes()),
            ("candles", self.candles.as_bytes()),
            ("derivs", self.derivs.as_bytes()),
            ("defs", self.defs.as_bytes()),
            ("statuses", self.statuses.as_bytes()),
            ("conns", self.conns.as_bytes()),
        ]
    }

    /// Adds the records of a frame; gives the index of the first.
    fn take_frame(&mut self, frame: &Frame<'_>) -> (u32, Shape) {
        let mut shape = Shape::default();
        let start = match frame.message() {
            Message::BookDelta(root, records) => {
                (shape.n_bids, shape.checksum_kind) = (u16::from(root.n_bids), root.checksum_kind);
                append(&mut self.levels, records)
            }
            Message::BookSnapshot(root, records) => {
                (shape.n_bids, shape.checksum_kind) = (u16::from(root.n_bids), root.checksum_kind);
                (shape.frag_index, shape.frag_count) = (root.frag_index, root.frag_count);
                append(&mut self.levels, records)
            }
            Message::Trade(records) | Message::Liquidation(records) => append(&mut self.trades, records),
            Message::Candle(records) => append(&mut self.candles, records),
            Message::Bbo(root) => shape.one(&mut self.bbos, root),
            Message::Ticker(root) => shape.one(&mut self.tickers, root),
            Message::DerivState(root) => shape.one(&mut self.derivs, root),
            Message::InstrumentDef(root) => shape.one(&mut self.defs, root),
            Message::Conn(root) => shape.one(&mut self.conns, root),
            Message::Status(root) => {
                shape.scope = root.scope;
                shape.one(&mut self.statuses, root)
            }
            _ => 0,
        };
        (start, shape)
    }

    /// Puts a later batch behind this one.
    fn extend(&mut self, later: &Self) {
        for row in &later.events {
            let base = match row.kind {
                KIND_STATE | KIND_LOST | KIND_ROWS_LOST => 0,
                kind => self.len_of(kind),
            };
            self.events.push(EventRow { start: row.start + base, ..*row });
        }
        self.levels.extend_from_slice(&later.levels);
        self.trades.extend_from_slice(&later.trades);
        self.bbos.extend_from_slice(&later.bbos);
        self.tickers.extend_from_slice(&later.tickers);
        self.candles.extend_from_slice(&later.candles);
        self.derivs.extend_from_slice(&later.derivs);
        self.defs.extend_from_slice(&later.defs);
        self.statuses.extend_from_slice(&later.statuses);
        self.conns.extend_from_slice(&later.conns);
    }

    fn len_of(&self, kind: u8) -> u32 {
        use crate::wire::msg;
        let len = match kind {
            msg::BOOK_DELTA | msg::BOOK_SNAPSHOT => self.levels.len(),
            msg::TRADE | msg::LIQUIDATION => self.trades.len(),
            msg::BBO => self.bbos.len(),
            msg::TICKER_24H => self.tickers.len(),
            msg::CANDLE => self.candles.len(),
            msg::DERIV_STATE => self.derivs.len(),
            msg::INSTRUMENT_DEF => self.defs.len(),
            msg::STATUS => self.statuses.len(),
            msg::CONN => self.conns.len(),
            _ => 0,
        };
        index(len)
    }
}

/// What a row says of its records.
#[derive(Clone, Copy, Default)]
struct Shape {
    has_one: bool,
    n_bids: u16,
    frag_index: u16,
    frag_count: u16,
    checksum_kind: u8,
    scope: u8,
}

impl Shape {
    fn one<T>(&mut self, array: &mut Vec<T>, root: T) -> u32 {
        self.has_one = true;
        array.push(root);
        index(array.len() - 1)
    }
}

fn append<T>(array: &mut Vec<T>, records: Records<'_, T>) -> u32
where
    T: FromBytes + Immutable + zerocopy::KnownLayout,
{
    let start = index(array.len());
    array.extend(records);
    start
}

/// Arrays are bounded by `rows_max`, which fits.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

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
        self.rows = 0;
        let mut parts = std::mem::take(&mut self.parts).into_iter();
        let lost = std::mem::take(&mut self.lost_since_taken);
        let mut batch = if lost > 0 {
            let start = u32::try_from(lost).unwrap_or(u32::MAX);
            Batch {
                events: vec![EventRow { kind: KIND_ROWS_LOST, start, ..EventRow::default() }],
                ..Batch::default()
            }
        } else {
            parts.next().unwrap_or_default()
        };
        parts.for_each(|part| batch.extend(&part));
        batch
    }

    /// The part to write to, after making room for a frame's worth of rows.
    fn part(&mut self) -> &mut Batch {
        if self.parts.back().is_none_or(|part| part.rows() >= self.part_rows) {
            while self.rows + self.part_rows + FRAME_ROWS_MAX > self.rows_max {
                let Some(oldest) = self.parts.pop_front() else { break };
                self.rows -= oldest.rows();
                self.counts.rows_lost += oldest.rows() as u64;
                self.counts.events_lost += oldest.events.len() as u64;
                self.lost_since_taken += oldest.events.len() as u64;
            }
            self.parts.push_back(Batch::default());
        }
        let last = self.parts.len() - 1;
        &mut self.parts[last]
    }

    fn push(&mut self, row: EventRow) {
        self.part().events.push(row);
        self.rows += 1;
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
        let before = part.rows();
        let (start, shape) = part.take_frame(delivered.frame);
        part.events.push(EventRow {
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
            count: if shape.has_one { 1 } else { u16::from(header.count) },
            n_bids: shape.n_bids.min(u16::from(header.count)),
            reason: match (delivered.state, delivered.mirror) {
                (Reported::Live, _) | (_, None) => 0,
                (_, Some(mirror)) => mirror.reason,
            },
            marks: marks.iter().fold(0, |bits, &(is_set, mark)| if is_set { bits | mark } else { bits }),
            frag_index: shape.frag_index,
            frag_count: shape.frag_count,
            kind: header.msg_type,
            state: delivered.state as u8,
            trading: delivered.mirror.map_or(0, |mirror| mirror.trading),
            channel: header.channel_number(),
            price_exp: header.price_exp,
            qty_exp: header.qty_exp,
            checksum_kind: shape.checksum_kind,
            scope: shape.scope,
        });
        let added = part.rows() - before;
        self.rows += added;
    }

    fn state(&mut self, change: &StateChange) {
        self.push(EventRow {
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
        self.push(EventRow {
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
