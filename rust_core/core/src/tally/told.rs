//! What publishers say of themselves: messages about connections, venues and sessions, in the order in which they came.

use std::collections::VecDeque;

use crate::wire::{Conn, Frame, Message, SessionStart, Status, status};

/// Messages that wait to be taken; the oldest give way. Twenty venues of 100 connections tell 2,020 of them a second.
pub const TOLD_KEPT: usize = 16_384;

/// What was said.
#[derive(Clone, Copy, Debug)]
pub enum Saying {
    /// Health of a connection or of all connections of the venue.
    Conn(Conn),
    /// State of a connection, venue or channel; those of instruments are counted by
    /// [`Instruments`](super::Instruments).
    Status(Status),
    /// A session began.
    Start(SessionStart),
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Receive stamp, nanoseconds since the epoch.
    pub rx_ns: i64,
    /// 1–127.
    pub channel: u8,
    /// Venue number.
    pub venue: u16,
    /// Session.
    pub session: u32,
    /// Number of its frame: late ones have a lower one.
    pub seq: u64,
    /// What it says.
    pub saying: Saying,
}

/// Messages as they come, copies by another line left out.
#[derive(Debug, Default)]
pub struct Tellings {
    kept: VecDeque<Told>,
    /// Messages that gave way before they were taken.
    pub overrun: u64,
}

impl Tellings {
    /// Takes a frame of the incremental plane that is no copy, or the messages of a PACK.
    pub(super) fn take_frame(&mut self, frame: &Frame<'_>, rx_ns: i64) {
        match frame.message() {
            Message::Pack(pack) => pack.for_each(|packed| self.take_one(&packed, rx_ns)),
            _ => self.take_one(frame, rx_ns),
        }
    }

    fn take_one(&mut self, frame: &Frame<'_>, rx_ns: i64) {
        let saying = match frame.message() {
            Message::Conn(conn) => Saying::Conn(conn),
            Message::Status(told) if told.scope != status::scope::INSTRUMENT => Saying::Status(told),
            Message::SessionStart(start) => Saying::Start(start),
            _ => return,
        };
        if self.kept.len() == TOLD_KEPT {
            self.kept.pop_front();
            self.overrun += 1;
        }
        let header = &frame.header;
        self.kept.push_back(Told {
            rx_ns,
            channel: header.channel_number(),
            venue: header.venue,
            session: header.session,
            seq: header.channel_seq,
            saying,
        });
    }

    /// The messages since the last call, the oldest first.
    pub fn take(&mut self) -> impl Iterator<Item = Told> + '_ {
        self.kept.drain(..)
    }
}
