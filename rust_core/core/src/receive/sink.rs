//! What a receiver tells: deliveries, changes of state, losses; in the order in which they are true.

use super::mirror::Mirror;
use super::state::Reported;
use crate::publish::Plane;
use crate::wire::Frame;

/// Takes what a [`super::Receiver`] finds out. Calls come in order: a loss before anything later of its instrument,
/// a change of state before the delivery that causes it (a snapshot's frames come before the change they cause).
pub trait Sink {
    /// One frame that is applied, in the order of its instrument. References die with the call.
    fn deliver(&mut self, delivered: &Delivered<'_>);
    /// The reported state of an instrument changed.
    fn state(&mut self, change: &StateChange);
    /// Events of an instrument will never come.
    fn lost(&mut self, lost: &Lost);
}

/// One frame about a wanted instrument, or about a channel, venue or connection.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    /// The frame, checked.
    pub frame: &'a Frame<'a>,
    /// Where it came from. Frames of the snapshot plane come as whole groups.
    pub plane: Plane,
    /// Kernel's stamp of its arrival, wall clock in nanoseconds; 0 unknown.
    pub rx_ts: i64,
    /// The instrument after the frame; `None` for frames that are not about an instrument.
    pub mirror: Option<&'a Mirror>,
    /// Reported state after the frame; LIVE where there is no instrument.
    pub state: Reported,
    /// Frames of the channel were given up and may have been this instrument's.
    pub unsure: bool,
    /// Did not come in order: it, or one before it, was missing; or it is a snapshot.
    pub recovered: bool,
    /// Nanoseconds that it was held or missing.
    pub delay_ns: u64,
}

/// A new reported state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateChange {
    /// Venue number.
    pub venue: u16,
    /// Instrument number within the venue.
    pub instrument: u32,
    /// Channel that carries it.
    pub channel: u8,
    /// Session of the channel.
    pub session: u32,
    /// Last number applied to the book; 0 none.
    pub instr_seq: u32,
    /// Last exchange number covered.
    pub source_seq: u64,
    /// Exchange time of the last event applied.
    pub exchange_ts: i64,
    /// Publisher's receive time of the last event applied.
    pub recv_ts: i64,
    /// Before.
    pub from: Reported,
    /// After.
    pub to: Reported,
    /// Why: a number of [`super::state::reason`] or STATUS.reason; 0 when it becomes LIVE.
    pub reason: u16,
    /// Trading status (STATUS.state); 0 unknown.
    pub trading: u8,
}

/// Events that a snapshot jumped over: the state is whole, they are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Venue number.
    pub venue: u16,
    /// Instrument number within the venue.
    pub instrument: u32,
    /// Channel that carries it.
    pub channel: u8,
    /// Session of the channel.
    pub session: u32,
    /// First instrument number that is lost.
    pub first: u32,
    /// How many, from `first` on.
    pub count: u64,
    /// Reported state when it was found.
    pub state: Reported,
}
