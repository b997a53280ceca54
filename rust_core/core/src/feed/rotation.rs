//! A planned change of socket: which connections take part, and what becomes of an instrument when one of them is gone.

use super::overlap::{Link, Overlap, is_numbered};
use super::repeats::RecentTrades;
use super::{BookState, Feed, Notice, NoticeKind};
use crate::publish::{Arrival, Host};
use crate::wire::status;

/// Connections that were retired and of which nobody said yet that they are closed. A venue has a few hundred sockets, and
/// a socket closes within seconds.
const RETIRED_MAX: usize = 1_024;

/// Which connections take part in a change of socket.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Overlaps of all instruments.
    overlaps: usize,
    retired: Vec<u32>,
}

impl Links {
    /// Whether no change of socket is under way: what every event asks.
    pub(super) fn are_idle(&self) -> bool {
        self.overlaps == 0
    }

    pub(super) fn is_retired(&self, connection: u32) -> bool {
        self.retired.contains(&connection)
    }

    fn retire(&mut self, connection: u32) {
        if self.retired.len() >= RETIRED_MAX {
            self.retired.remove(0);
        }
        self.retired.push(connection);
    }

    /// Whether the connection was retired; it is not any more.
    fn unretire(&mut self, connection: u32) -> bool {
        let before = self.retired.len();
        self.retired.retain(|&retired| retired != connection);
        self.retired.len() < before
    }
}

/// A connection takes part in an overlap already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlapping {
    /// Its old connection.
    pub old: u32,
    /// Its new connection.
    pub new: u32,
}

impl std::fmt::Display for Overlapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connections {} and {} overlap already: end that first", self.old, self.new)
    }
}

impl std::error::Error for Overlapping {}

impl Feed {
    /// Begins a planned change of socket: from now on both connections carry the same streams of these instruments. What is
    /// under way between the same two goes on.
    ///
    /// # Errors
    /// One of them takes part in another overlap of one of the instruments; nothing has changed.
    pub fn overlap(&mut self, old: u32, new: u32, indices: &[u32]) -> Result<(), Overlapping> {
        let known = |index: &u32| self.instruments.get(*index as usize);
        for overlap in indices.iter().filter_map(known).flat_map(|known| &known.overlaps) {
            let is_under_way = overlap.left.is_none() && !overlap.is_pair(old, new);
            if is_under_way && (overlap.link(old).is_some() || overlap.link(new).is_some()) {
                let (old, new) = overlap.pair();
                return Err(Overlapping { old, new });
            }
        }
        self.links.unretire(old);
        self.links.unretire(new);
        for &index in indices {
            let Some(instrument) = self.instruments.get_mut(index as usize) else { continue };
            let is_whole = instrument.state == BookState::Live;
            let place = instrument.joining.or(instrument.continuity.local()).filter(|_| is_whole);
            let carries_book = instrument.has_book && [0, old].contains(&instrument.book_connection);
            let mut begun = Overlap::new(old, new, carries_book, place);
            instrument.overlaps.retain(|other| {
                let is_ending =
                    other.left.is_some() && (other.link(old).is_some() || other.link(new).is_some());
                if is_ending {
                    begun.succeed(other);
                }
                !is_ending
            });
            if !instrument.overlaps.iter().any(|other| other.left.is_none() && other.is_pair(old, new)) {
                instrument.overlaps.push(begun);
            }
        }
        self.count_overlaps();
        Ok(())
    }

    /// The new connection has taken over; what still comes on the old one is dropped, until it is used again or
    /// [`Feed::disconnected`] says that it is closed. A book that does not live by the new one is stale.
    pub fn end_overlap(&mut self, old: u32, new: u32, host: &mut dyn Host, arrival: Arrival) {
        self.channel.begin_together();
        for index in 0..u32::try_from(self.instruments.len()).unwrap_or(u32::MAX) {
            let overlaps = &self.instruments[index as usize].overlaps;
            let is_meant = |overlap: &Overlap| overlap.left.is_none() && overlap.is_pair(old, new);
            if let Some(at) = overlaps.iter().position(is_meant)
                && !self.lives_without(index, at, Link::Old, true)
            {
                self.lose_connection(index, host, arrival);
            }
        }
        self.channel.end_together(host);
        self.links.unretire(old);
        self.links.retire(old);
        self.count_overlaps();
    }

    /// The connection that carried these books is gone; 0 = whichever it was. Instruments that live by its partner in an
    /// overlap stay as they are, and all do if it was retired. One STATUS each for the others, 15 a frame.
    pub fn disconnected(&mut self, indices: &[u32], connection: u32, host: &mut dyn Host, arrival: Arrival) {
        if self.links.unretire(connection) {
            return;
        }
        self.channel.begin_together();
        let begins_anew = self.channel.info().replay && arrival.recv_ts < self.last_recv_ts;
        for &index in indices {
            let Some(instrument) = self.instruments.get_mut(index as usize) else { continue };
            if begins_anew {
                // The recording is played once more, with the same trades.
                instrument.recent = RecentTrades::new();
            }
            if connection == 0 {
                instrument.overlaps.clear();
            } else if let Some(at) = instrument.overlaps.iter().position(|overlap| overlap.has(connection)) {
                let overlap = &instrument.overlaps[at];
                // One that is gone already is told of twice.
                if overlap.link(connection).is_none_or(|link| self.lives_without(index, at, link, false)) {
                    continue;
                }
            }
            self.lose_connection(index, host, arrival);
        }
        self.lose_orders_of(indices, connection, host, arrival);
        self.channel.end_together(host);
        self.count_overlaps();
    }

    fn lose_connection(&mut self, index: u32, host: &mut dyn Host, arrival: Arrival) {
        self.go_stale(index, status::reason::DISCONNECT, 0, 0, host, arrival);
        let instrument = &mut self.instruments[index as usize];
        instrument.book_connection = 0;
        self.journal.counters.held_dropped += instrument.held.clear();
    }

    pub(super) fn count_overlaps(&mut self) {
        self.links.overlaps = self.instruments.iter().map(|known| known.overlaps.len()).sum();
    }

    /// Takes note that a link is gone, and tells whether the instrument lives by the other one.
    fn lives_without(&mut self, index: u32, at: usize, lost: Link, is_retired: bool) -> bool {
        let always_whole = self.always_whole;
        let instrument = &mut self.instruments[index as usize];
        let overlap = &mut instrument.overlaps[at];
        let left = lost.other();
        let is_whole = instrument.state == BookState::Live;
        let numbered = is_numbered(instrument.continuity.rule());
        let may_follow = left == Link::Old || overlap.switched || overlap.subscribed || is_retired;
        let lives = if overlap.left.is_some() {
            false
        } else if !overlap.carries_book {
            may_follow || instrument.has_book
        } else if !is_whole {
            true
        } else if numbered {
            (may_follow || overlap.heard) && overlap.ahead != Some(left)
        } else if left == Link::Old {
            !overlap.switched || always_whole
        } else {
            overlap.switched
        };
        if overlap.carries_book && lives {
            instrument.book_connection = overlap.connection(left);
        }
        if overlap.carries_book && !is_whole && overlap.heard == (lost == Link::New) {
            // What is held is of the link that is gone: the book begins anew with the other.
            self.journal.counters.held_dropped += instrument.held.clear();
        }
        if overlap.ahead == Some(lost) {
            overlap.ahead = None;
            self.journal.counters.overlap_dropped += overlap.waiting.clear();
        }
        let wants_book = instrument.has_book && overlap.carries_book && !is_whole;
        if lives {
            self.switch(index, at, left);
        }
        let instrument = &mut self.instruments[index as usize];
        let overlap = &mut instrument.overlaps[at];
        if lives && is_whole && overlap.carries_book && numbered {
            overlap.left = Some(left);
        } else {
            self.journal.counters.overlap_dropped += overlap.waiting.clear();
            instrument.overlaps.remove(at);
        }
        if wants_book && lives {
            self.journal.notice(Notice::about(NoticeKind::NeedSnapshot, index));
        }
        lives
    }

    /// Tells the owner once that the new link carries an instrument.
    pub(super) fn switch(&mut self, index: u32, at: usize, link: Link) {
        let overlap = &mut self.instruments[index as usize].overlaps[at];
        if link == Link::New && !std::mem::replace(&mut overlap.switched, true) {
            let (old, new) = overlap.pair();
            self.journal.notice(Notice {
                expected: u64::from(old),
                got: u64::from(new),
                ..Notice::about(NoticeKind::Switched, index)
            });
        }
    }

    /// The streams of an instrument are subscribed on a connection.
    pub(super) fn subscribed(&mut self, index: u32, connection: u32) {
        let Some(instrument) = self.instruments.get_mut(index as usize) else { return };
        let is_new = |overlap: &Overlap| overlap.link(connection) == Some(Link::New);
        if let Some(at) = instrument.overlaps.iter().position(is_new) {
            instrument.overlaps[at].subscribed = true;
            if !instrument.overlaps[at].carries_book {
                self.switch(index, at, Link::New);
            }
        }
    }

    /// Whether what goes wrong on a connection with a book's message concerns the book: not if the other link of an overlap
    /// brings it, or carries the book.
    pub(super) fn concerns(&mut self, index: u32, connection: u32) -> bool {
        if self.links.is_retired(connection) {
            return false;
        }
        let Some(instrument) = self.instruments.get_mut(index as usize) else { return false };
        let numbered = is_numbered(instrument.continuity.rule());
        let of_pair = |overlap: &Overlap| overlap.carries_book && overlap.left.is_none();
        let mut overlaps = instrument.overlaps.iter_mut().filter(|overlap| of_pair(overlap));
        let Some((overlap, link)) =
            overlaps.find_map(|known| known.link(connection).map(|link| (known, link)))
        else {
            return true;
        };
        if numbered {
            overlap.failed(link) || link == Link::Old && !overlap.heard
        } else {
            overlap.switched == (link == Link::New)
        }
    }
}
