//! What a channel tells of itself.

use super::{Channel, Phase};
use crate::receive::numbers::Numbers;
use crate::receive::state::ChannelState;
use crate::wire::flags;

/// Sums and facts of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Channel number, 1–127.
    pub channel: u8,
    /// Venue number; 0 until a frame said it.
    pub venue: u16,
    /// Current session.
    pub session: u32,
    /// Where the state machine stands.
    pub state: ChannelState,
    /// Highest number known to exist.
    pub high: u64,
    /// Numbered frames taken.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Numbers found missing.
    pub gaps: u64,
    /// Numbers given up.
    pub given_up: u64,
    /// Numbers that came again.
    pub duplicates: u64,
    /// Publisher of the session; `None` until it said so.
    pub publisher_id: Option<u64>,
    /// Frames carry TEST.
    pub test: bool,
    /// Frames carry REPLAY.
    pub replay: bool,
    /// No claim of chain64 differed in this session.
    pub chain_ok: bool,
    /// How long a missing number is waited for, in nanoseconds.
    pub window_ns: u64,
    /// SESSION_END was heard.
    pub ended: bool,
    /// Two publishers speak in the session.
    pub split: bool,
    /// CYCLE_END proved in this session that all definitions are known.
    pub whole_cycle: bool,
}

impl Channel {
    pub(in crate::receive) fn state(&self) -> ChannelState {
        let session = &self.session;
        let Some(numbers) = &session.numbers else { return ChannelState::Init };
        match session.phase {
            _ if self.overlay.is_some() => ChannelState::Dead,
            Phase::Live if numbers.missing() > 0 => ChannelState::Gap,
            Phase::Live => ChannelState::Live,
            Phase::Sync => ChannelState::Sync,
            Phase::Repair => ChannelState::Repair,
        }
    }

    pub(in crate::receive) fn info(&self) -> ChannelInfo {
        ChannelInfo {
            channel: self.number,
            venue: self.venue,
            session: self.session.number,
            state: self.state(),
            high: self.session.numbers.as_ref().map_or(0, Numbers::high),
            frames: self.sums.frames,
            bytes: self.sums.bytes,
            gaps: self.sums.gaps,
            given_up: self.sums.given_up,
            duplicates: self.sums.duplicates,
            publisher_id: self.session.publisher_id,
            test: self.flags & flags::TEST != 0,
            replay: self.flags & flags::REPLAY != 0,
            chain_ok: self.session.chain.is_ok(),
            window_ns: self.skew.window_ns(),
            ended: self.session.ended,
            split: self.session.split,
            whole_cycle: self.session.whole,
        }
    }
}
