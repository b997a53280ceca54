//! What becomes of books when a frame of a stream cannot be read: they may miss what it said.

use super::{BookState, Feed};
use crate::event::Decoded;
use crate::publish::{Arrival, Host};
use crate::wire::status;

impl Feed {
    /// Gives up the books that miss something by a frame, and asks for them anew. A frame that names nobody may have been about
    /// any book of its connection.
    pub(super) fn lose_unread(
        &mut self,
        decoded: &Decoded,
        connection: u32,
        host: &mut dyn Host,
        arrival: Arrival,
    ) {
        if decoded.unread_books.is_empty() && !decoded.unread_unnamed {
            return;
        }
        self.kinds.book.rejected += u64::from(!decoded.unread_books.is_empty());
        self.channel.begin_together();
        for &index in &decoded.unread_books {
            self.lose_book(index, connection, host, arrival);
        }
        if decoded.unread_unnamed {
            for index in 0..u32::try_from(self.instruments.len()).unwrap_or(u32::MAX) {
                if self.misses_silently(index, connection) {
                    self.lose_book(index, connection, host, arrival);
                }
            }
        }
        self.channel.end_together(host);
    }

    fn lose_book(&mut self, index: u32, connection: u32, host: &mut dyn Host, arrival: Arrival) {
        if self.concerns(index, connection) {
            self.go_stale(index, status::reason::PARSE, 0, 0, host, arrival);
        }
    }

    /// Whether a live book that the connection carries would never show that it lacks a message: the venue gives nothing that
    /// proves it, and the next message is no whole book.
    fn misses_silently(&self, index: u32, connection: u32) -> bool {
        let instrument = &self.instruments[index as usize];
        instrument.state == BookState::Live
            && instrument.has_book
            && instrument.def.book_proof == 0
            && !self.always_whole
            && [0, connection].contains(&instrument.book_connection)
    }
}
