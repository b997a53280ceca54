//! Frames kept for those who lost some, sans-I/O: the [`Store`] that the send path fills.
//!
//! A frame is one immutable string of bytes; what is sent again is what was sent first, byte by byte
//! (`docs/wire-format.md`, "Retransmit server").

mod queue;
mod ring;
mod store;

pub use store::{Kept, Limits, Store, StoreCounters};

/// Frames that are older than the [`Store`]: the log.
pub trait Archive {
    /// Appends the frame of that number to `out`, which keeps what it held, and says whether there was one. `channel` is
    /// 1–127: the log holds the incremental plane.
    fn get(&mut self, channel: u8, session: u32, seq: u64, out: &mut Vec<u8>) -> bool;

    /// Lowest number of the session that can be had without a hole up to the newest.
    fn oldest(&mut self, channel: u8, session: u32) -> Option<u64>;
}
