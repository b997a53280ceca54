//! Where the state of instruments is cut to: the snapshot plane, or an image for one consumer.
//!
//! Both have the frames of the snapshot plane; only their numbers and their way out differ.

use zerocopy::{Immutable, IntoBytes};

use super::{About, Arrival, Channel, Host, elapsed, key};
use crate::wire::{self, CHANNEL_SNAPSHOT};

/// Takes frames of the snapshot plane, in order.
pub(crate) trait Cut {
    /// Number of the last frame of the incremental plane, which covers everything said so far.
    fn last_seq(&mut self) -> u64;
    /// Whether frames carry a MAC, beside which less fits.
    fn is_signed(&self) -> bool;
    /// One frame.
    fn frame<T, R>(&mut self, msg_type: u8, about: &About, root: &T, records: &[R])
    where
        T: IntoBytes + Immutable,
        R: IntoBytes + Immutable;
}

/// The snapshot plane of a channel.
pub(crate) struct PlaneFrames<'a> {
    pub(crate) channel: &'a mut Channel,
    pub(crate) host: &'a mut dyn Host,
    pub(crate) arrival: Arrival,
}

impl Cut for PlaneFrames<'_> {
    fn last_seq(&mut self) -> u64 {
        self.channel.last_seq(self.host)
    }

    fn is_signed(&self) -> bool {
        self.channel.is_signed()
    }

    fn frame<T, R>(&mut self, msg_type: u8, about: &About, root: &T, records: &[R])
    where
        T: IntoBytes + Immutable,
        R: IntoBytes + Immutable,
    {
        self.channel.snapshot(self.host, self.arrival, msg_type, about, root, records);
    }
}

/// Frames of an image, numbered from 1 in its connection; they leave by nobody's plane.
pub(crate) struct ImageFrames<'a> {
    pub(crate) channel: &'a mut Channel,
    pub(crate) host: &'a mut dyn Host,
    pub(crate) arrival: Arrival,
    /// Number of the next frame.
    pub(crate) next_seq: &'a mut u64,
    /// Takes every frame.
    pub(crate) out: &'a mut dyn FnMut(&[u8]),
}

impl Cut for ImageFrames<'_> {
    fn last_seq(&mut self) -> u64 {
        self.channel.last_seq(self.host)
    }

    fn is_signed(&self) -> bool {
        self.channel.is_signed()
    }

    fn frame<T, R>(&mut self, msg_type: u8, about: &About, root: &T, records: &[R])
    where
        T: IntoBytes + Immutable,
        R: IntoBytes + Immutable,
    {
        let channel = &mut *self.channel;
        let number = channel.info.channel | CHANNEL_SNAPSHOT;
        let header = channel.header(msg_type, number, *self.next_seq, about, self.arrival);
        let frame = channel.buf.build(&header, root, records);
        wire::seal(frame, elapsed(self.arrival, self.host.mono_ns()), key(&channel.info));
        (self.out)(channel.buf.frame());
        *self.next_seq += 1;
        channel.counters.image_frames += 1;
    }
}
