//! A book cut into frames.

use super::instrument::Instrument;
use crate::event::{Level, Side};
use crate::wire::{self, checksum_kind, digest};

/// A book cut into BOOK_SNAPSHOT fragments.
pub(super) struct Fragments<'a> {
    root: wire::BookSnapshot,
    levels: &'a [Level],
    n_bids: usize,
    per_frame: usize,
}

impl<'a> Fragments<'a> {
    /// `is_signed`: the frames are to carry a MAC, beside which one level less fits.
    pub(super) fn new(
        instrument: &Instrument,
        levels: &'a [Level],
        last_channel_seq: u64,
        is_signed: bool,
    ) -> Self {
        let per_frame = wire::levels_per_frame(size_of::<wire::BookSnapshot>(), is_signed);
        let n_bids = instrument.book.len(Side::Bid);
        let root = wire::BookSnapshot {
            snapshot_id: instrument.instr_seq,
            frag_index: 0,
            frag_count: saturated(levels.len().div_ceil(per_frame).max(1)),
            last_channel_seq,
            book_checksum: digest::book_crc(&levels[..n_bids], &levels[n_bids..]),
            total_bids: saturated(n_bids),
            total_asks: saturated(levels.len() - n_bids),
            depth_limit: instrument.depth_limit,
            n_bids: 0,
            checksum_kind: checksum_kind::OURS_ALL,
            def_version: instrument.def.def_version,
        };
        Self { root, levels, n_bids, per_frame }
    }

    pub(super) fn count(&self) -> usize {
        usize::from(self.root.frag_count)
    }

    pub(super) fn get(&self, index: usize) -> (wire::BookSnapshot, &'a [Level]) {
        let start = index * self.per_frame;
        let end = (start + self.per_frame).min(self.levels.len());
        let root = wire::BookSnapshot {
            frag_index: saturated(index),
            n_bids: small(self.n_bids.clamp(start, end) - start),
            ..self.root
        };
        (root, &self.levels[start..end])
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
