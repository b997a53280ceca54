//! Which messages of a channel share a PACK, and for how long they wait for each other: never beyond one read.

use zerocopy::{Immutable, IntoBytes};

use super::Arrival;
use crate::wire::{Header, PackBuf};

/// The PACK that is being filled.
#[derive(Debug)]
pub(super) struct Packer {
    buf: PackBuf,
    /// Of the first message in it.
    arrival: Arrival,
    /// Messages share PACKs in this session.
    always: bool,
    /// They do for the moment.
    together: bool,
}

/// A frame that is full, to be sealed and sent.
pub(super) struct Full<'a> {
    pub(super) frame: &'a mut [u8],
    pub(super) arrival: Arrival,
    pub(super) messages: u8,
}

impl Packer {
    pub(super) fn new(always: bool) -> Self {
        let arrival = Arrival { recv_ts: 0, mono_ns: 0 };
        Self { buf: PackBuf::default(), arrival, always, together: false }
    }

    pub(super) fn set_together(&mut self, together: bool) {
        self.together = together;
    }

    /// Whether a message is to share a PACK if it can.
    pub(super) fn is_on(&self) -> bool {
        self.always || self.together
    }

    /// Adds a message; `false`: it has to go into another frame.
    pub(super) fn push<Root, Record>(
        &mut self,
        header: &Header,
        arrival: Arrival,
        root: &Root,
        records: &[Record],
    ) -> bool
    where
        Root: IntoBytes + Immutable,
        Record: IntoBytes + Immutable,
    {
        if self.buf.count() == 0 {
            self.arrival = arrival;
        }
        self.buf.push(header, root, records).is_ok()
    }

    /// What there is, if anything; the next message begins anew.
    pub(super) fn close(&mut self) -> Option<Full<'_>> {
        let (arrival, messages) = (self.arrival, self.buf.count());
        self.buf.close().map(|frame| Full { frame, arrival, messages })
    }
}
