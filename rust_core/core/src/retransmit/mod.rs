//! Frames kept for those who lost some, and the rules by which they are sent again, sans-I/O.
//!
//! The send path fills the [`Store`]; [`Server`] answers requests that came by datagram, [`Streams`] those that came by a
//! stream. A frame is one immutable string of bytes: what is sent again is what was sent first, byte by byte
//! (`docs/wire-format.md`, "Retransmit server").

mod bucket;
mod cookie;
mod counters;
mod queue;
mod recent;
mod reply;
mod ring;
mod server;
mod store;
mod stream;
mod table;

pub use cookie::COOKIE_NS;
pub use counters::{ServerCounters, ServerRefusals, StreamCounters};
pub use recent::{AGAIN_NS, NUMBERS_MAX, TOGETHER_NS};
pub use server::{Answers, CONSUMERS_MAX, COOKIES_PER_S, Server, ServerConfig, SnapWanted, limits};
pub use store::{Kept, Limits, Store, StoreCounters};
pub use stream::{IMAGES_PER_S, Pull, Replay, Streams, Then};

/// Frames that can be had at once: the [`Store`], or one that other threads fill.
pub trait Frames {
    /// Session of the plane's newest frame; `channel` as in the header, with bit 7 for the snapshot plane.
    fn session(&self, channel: u8) -> Option<u32>;
    /// Lowest number kept of that session.
    fn oldest(&self, channel: u8) -> Option<u64>;
    /// Highest number that was kept of that session.
    fn newest(&self, channel: u8) -> Option<u64>;
    /// Appends the frame of that number to `out`, which keeps what it held, and says whether there is one.
    fn append(&self, channel: u8, session: u32, seq: u64, out: &mut Vec<u8>) -> bool;
}

impl Frames for Store {
    fn session(&self, channel: u8) -> Option<u32> {
        Store::session(self, channel)
    }

    fn oldest(&self, channel: u8) -> Option<u64> {
        Store::oldest(self, channel)
    }

    fn newest(&self, channel: u8) -> Option<u64> {
        Store::newest(self, channel)
    }

    fn append(&self, channel: u8, session: u32, seq: u64, out: &mut Vec<u8>) -> bool {
        let frame = self.get(channel, session, seq);
        out.extend_from_slice(frame.unwrap_or_default());
        frame.is_some()
    }
}

/// Frames that are older than those of [`Frames`]: the log.
pub trait Archive {
    /// Appends the frame of that number to `out`, which keeps what it held, and says whether there was one. `channel` is
    /// 1–127: the log holds the incremental plane.
    fn get(&mut self, channel: u8, session: u32, seq: u64, out: &mut Vec<u8>) -> bool;

    /// Lowest number of the session that can be had; `None` = nothing of it.
    fn oldest(&mut self, channel: u8, session: u32) -> Option<u64>;
}

/// What can be had of one plane in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    /// Lowest number; the one behind `newest` if nothing can be had.
    oldest: u64,
    /// Highest number; `None` for a session that is over, of which only the archive knows.
    newest: Option<u64>,
}

impl Bounds {
    /// `None` = this session of this channel is not to be had.
    fn of(
        channel: u8,
        session: u32,
        frames: &dyn Frames,
        archive: Option<&mut (dyn Archive + '_)>,
    ) -> Option<Self> {
        let number = channel & crate::wire::CHANNEL_NUMBER;
        let archived = match archive {
            Some(archive) if channel == number => archive.oldest(number, session),
            _ => None,
        };
        // Both planes of a channel are of one session, and the incremental one begins it.
        let published = frames.session(number).or_else(|| frames.session(channel));
        if published != Some(session) {
            let is_over = published.is_none_or(|published| session < published);
            return archived.filter(|_| is_over).map(|oldest| Self { oldest, newest: None });
        }
        let is_begun = frames.session(channel) == Some(session);
        let newest = frames.newest(channel).filter(|_| is_begun).unwrap_or(0);
        let kept = frames.oldest(channel).filter(|_| is_begun).unwrap_or(newest.saturating_add(1));
        Some(Self { oldest: kept.min(archived.unwrap_or(kept)), newest: Some(newest) })
    }

    fn is_too_old(&self, seq: u64) -> bool {
        seq < self.oldest
    }

    fn is_too_new(&self, seq: u64) -> bool {
        self.newest.is_some_and(|newest| seq > newest)
    }
}
