//! What does not fit one frame, cut into several: whole books, and the records of one event.

use std::ops::Range;

use super::instrument::Instrument;
use crate::event::{Level, RestingOrder, Side};
use crate::orders::Queues;
use crate::publish::{Arrival, Channel, Host};
use crate::wire::{self, checksum_kind, digest, flags};
use zerocopy::{Immutable, IntoBytes};

/// Cuts so many records into frames, one at least: the records of each, and whether it is the last.
pub(super) fn parts(len: usize, per_frame: usize) -> impl Iterator<Item = (Range<usize>, bool)> {
    let frames = len.div_ceil(per_frame).max(1);
    (0..frames).map(move |part| {
        let start = part * per_frame;
        (start..(start + per_frame).min(len), part + 1 == frames)
    })
}

/// A book cut into fragments: BOOK_SNAPSHOT of levels, ORDER_SNAPSHOT of orders.
pub(super) struct Fragments<'a, R> {
    root: wire::BookSnapshot,
    records: &'a [R],
    n_bids: usize,
    per_frame: usize,
}

impl<'a> Fragments<'a, Level> {
    /// `levels`: all of the book, bids first.
    pub(super) fn of_levels(
        instrument: &Instrument,
        levels: &'a [Level],
        last_channel_seq: u64,
        is_signed: bool,
    ) -> Self {
        let n_bids = instrument.book.len(Side::Bid);
        let checksum = digest::book_crc(&levels[..n_bids], &levels[n_bids..]);
        Self::new(instrument, levels, (n_bids, checksum), last_channel_seq, is_signed)
    }
}

impl<'a> Fragments<'a, RestingOrder> {
    /// `orders`: all of the book, as [`Queues::snapshot`] gives them.
    pub(super) fn of_orders(
        instrument: &Instrument,
        queues: &Queues,
        orders: &'a [RestingOrder],
        last_channel_seq: u64,
        is_signed: bool,
    ) -> Self {
        let n_bids = queues.len_of(Side::Bid);
        Self::new(instrument, orders, (n_bids, queues.checksum()), last_channel_seq, is_signed)
    }
}

impl<'a, R: IntoBytes + Immutable> Fragments<'a, R> {
    /// `is_signed`: the frames are to carry a MAC, beside which one record less fits.
    fn new(
        instrument: &Instrument,
        records: &'a [R],
        (n_bids, book_checksum): (usize, u32),
        last_channel_seq: u64,
        is_signed: bool,
    ) -> Self {
        let per_frame = wire::records_per_frame(size_of::<wire::BookSnapshot>(), size_of::<R>(), is_signed);
        let root = wire::BookSnapshot {
            snapshot_id: instrument.instr_seq,
            frag_index: 0,
            frag_count: saturated(parts(records.len(), per_frame).count()),
            last_channel_seq,
            book_checksum,
            total_bids: saturated(n_bids),
            total_asks: saturated(records.len() - n_bids),
            depth_limit: instrument.depth_limit,
            n_bids: 0,
            checksum_kind: checksum_kind::OURS_ALL,
            def_version: instrument.def.def_version,
        };
        Self { root, records, n_bids, per_frame }
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.root.frag_count)
    }

    /// Every fragment in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (wire::BookSnapshot, &'a [R])> {
        let (root, n_bids, records) = (self.root, self.n_bids, self.records);
        parts(records.len(), self.per_frame).enumerate().map(move |(index, (part, _))| {
            let n_bids = small(n_bids.clamp(part.start, part.end) - part.start);
            (wire::BookSnapshot { frag_index: saturated(index), n_bids, ..root }, &records[part])
        })
    }

    /// All of them in-band: RESET and `first` on the first, EVENT_END and `last` on the last.
    pub(super) fn tell(
        &self,
        instrument: &mut Instrument,
        (msg_type, exchange_ts): (u8, i64),
        (first, last): (u16, u16),
        channel: &mut Channel,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        for (root, records) in self.iter() {
            let mut bits = if root.frag_index == 0 { flags::RESET | first } else { 0 };
            if root.frag_index + 1 == self.root.frag_count {
                bits |= flags::EVENT_END | last;
            }
            let about = instrument.about(exchange_ts, bits);
            channel.numbered(host, arrival, msg_type, &about, &root, records);
        }
    }
}

/// A count that the frame size bounds below 256.
pub(super) fn small(count: usize) -> u8 {
    u8::try_from(count).unwrap_or(u8::MAX)
}

/// Totals saturate on the wire.
fn saturated(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
