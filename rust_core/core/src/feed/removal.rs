//! Instruments that leave the wire while the session goes on, and come back: delistings, expiries, an operator's choice.
//!
//! The last frame of an instrument is STATUS(delisted, removed). Its numbers are kept, because consumers remember them: when
//! it comes back, `instr_seq` goes on and `def_version` is one higher. Its index rests, so that an answer which is still
//! under way for it cannot become the book of another.

use std::collections::VecDeque;

use super::instrument::{Instrument, Why};
use super::{BookState, Feed};
use crate::instrument::Scale;
use crate::publish::{Arrival, Host};
use crate::wire::status;

/// Indices that rest before the first of them is given to another instrument. What was asked for under an index comes
/// within seconds, and no venue lists so many instruments in that time.
pub const INDICES_RESTING: usize = 1_024;
/// Instruments that left and whose numbers are kept: as many as a receiver knows definitions, 12 bytes each.
pub const NUMBERS_KEPT: usize = 65_536;
/// Names of instruments that left by which their stray frames are known; those come within seconds.
const NAMES_KEPT: usize = 4_096;

/// Numbers of an instrument when it left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    id: u32,
    instr_seq: u32,
    def_version: u32,
}

/// What is remembered of instruments that left.
#[derive(Debug, Default)]
pub(super) struct Departed {
    /// By id.
    left: Vec<Left>,
    /// Highest id and numbers of those that are kept no more. Ids grow with the time of listing, so that what is forgotten
    /// first came first and returns last.
    forgotten: Left,
    resting: VecDeque<u32>,
    names: VecDeque<Box<[u8]>>,
}

impl Departed {
    /// The numbers from which an instrument goes on; zeros for one that was never here.
    fn numbers(&mut self, id: u32) -> Left {
        match self.left.binary_search_by_key(&id, |left| left.id) {
            Ok(at) => self.left.remove(at),
            // It may be one that was forgotten. Consumers that knew it see numbers missing, which a snapshot repairs; had it
            // begun at 1, they would take its frames for copies.
            Err(_) if id <= self.forgotten.id => self.forgotten,
            Err(_) => Left::default(),
        }
    }

    fn keep(&mut self, left: Left) {
        let at = self.left.partition_point(|other| other.id < left.id);
        self.left.insert(at, left);
        if self.left.len() > NUMBERS_KEPT {
            let first = self.left.remove(0);
            self.forgotten.id = self.forgotten.id.max(first.id);
            self.forgotten.instr_seq = self.forgotten.instr_seq.max(first.instr_seq);
            self.forgotten.def_version = self.forgotten.def_version.max(first.def_version);
        }
    }

    fn name(&mut self, name: Box<[u8]>) {
        if self.names.len() >= NAMES_KEPT {
            self.names.pop_front();
        }
        self.names.push_back(name);
    }

    /// Whether a frame's text names an instrument that left.
    pub(super) fn knows(&self, name: &[u8]) -> bool {
        self.names.iter().any(|known| **known == *name)
    }

    /// An index that has rested long enough.
    fn rested(&mut self) -> Option<u32> {
        if self.resting.len() > INDICES_RESTING { self.resting.pop_front() } else { None }
    }
}

impl Feed {
    /// Takes an instrument from the wire, others go on untouched: STATUS(delisted, removed) is its last frame. Nothing of it
    /// stays but its numbers, from which it goes on if it is added again. `false`: there is none with that index.
    pub fn remove_instrument(&mut self, index: u32, host: &mut dyn Host, arrival: Arrival) -> bool {
        let Some(instrument) = self.instruments.get_mut(index as usize).filter(|known| !known.is_vacant())
        else {
            return false;
        };
        if !self.channel.has_ended() {
            instrument.trading_status = status::state::DELISTED;
            let why = Why { reason: status::reason::REMOVED, ..Why::default() };
            instrument.tell_status(&mut self.channel, host, arrival, why);
        }
        let left = Left {
            id: instrument.id,
            instr_seq: instrument.instr_seq,
            def_version: instrument.def.def_version,
        };
        self.journal.counters.held_dropped += instrument.held.clear();
        self.journal.counters.overlap_dropped += instrument.forget_places();
        self.journal.counters.removed += 1;
        self.cycle.leave(index, instrument.sent_in_cycle);
        *instrument = Instrument::vacant();
        self.history.forget(index);
        self.departed.keep(left);
        for name in self.table.remove(index) {
            self.departed.name(name);
        }
        self.departed.resting.push_back(index);
        self.count_overlaps();
        true
    }

    /// Whether an index was given back and is not in use again.
    #[must_use]
    pub fn is_removed(&self, index: u32) -> bool {
        self.instruments.get(index as usize).is_some_and(Instrument::is_vacant)
    }

    /// Gives a book up on the owner's word: STATUS(stale) with his reason ([`status::reason`]), and the usual way back. `false`:
    /// it is not live, or there is none; nothing has changed.
    pub fn resync(&mut self, index: u32, reason: u16, host: &mut dyn Host, arrival: Arrival) -> bool {
        let has_book = |known: &&Instrument| known.has_book && known.state == BookState::Live;
        if self.instruments.get(index as usize).filter(has_book).is_none() || self.channel.has_ended() {
            return false;
        }
        self.journal.counters.resyncs += 1;
        self.go_stale(index, reason, 0, 0, host, arrival);
        self.ask_orders_again(index, host, arrival);
        true
    }

    /// Takes a new instrument into the table of the decoder, under an index that has rested or a new one, and gives it the
    /// numbers that it had when it left. `None`: its symbol is taken.
    pub(super) fn admit(&mut self, symbol: &[u8], instrument: &mut Instrument) -> Option<u32> {
        if self.table.find(symbol).is_some() {
            return None;
        }
        let scale = Scale { price_exp: instrument.def.price_exp, qty_exp: instrument.def.qty_exp };
        let index = match self.departed.rested() {
            Some(index) => {
                self.table.put(index, symbol, scale);
                self.cycle.enter(index, instrument);
                index
            }
            None => self.table.add(symbol, scale)?,
        };
        let left = self.departed.numbers(instrument.id);
        instrument.instr_seq = left.instr_seq;
        instrument.def.def_version = left.def_version + 1;
        self.departed.names.retain(|known| **known != *symbol);
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::{Departed, INDICES_RESTING, Left, NAMES_KEPT, NUMBERS_KEPT};

    fn left(id: u32) -> Left {
        Left { id, instr_seq: 10 * id, def_version: 1 + id % 3 }
    }

    #[test]
    fn an_instrument_goes_on_from_the_numbers_that_it_left_with() {
        let mut departed = Departed::default();
        for id in [7, 3, 9] {
            departed.keep(left(id));
        }
        assert_eq!(departed.numbers(7), left(7));
        assert_eq!(departed.numbers(7), Left::default(), "it is here again");
        assert_eq!(departed.numbers(4), Left::default(), "it was never here");
    }

    #[test]
    fn years_of_listings_stay_within_bounds_and_never_begin_at_one_twice() {
        let mut departed = Departed::default();
        let last = u32::try_from(NUMBERS_KEPT).unwrap() + 1_000;
        for id in 1..=last {
            departed.keep(left(id));
            departed.name(id.to_string().into_bytes().into());
            departed.resting.push_back(id);
            while departed.rested().is_some() {}
        }
        assert_eq!(
            (departed.left.len(), departed.names.len(), departed.resting.len()),
            (NUMBERS_KEPT, NAMES_KEPT, INDICES_RESTING)
        );
        assert_eq!(departed.numbers(1_001), left(1_001));
        assert!(departed.numbers(1_000).instr_seq >= left(1_000).instr_seq, "beyond what consumers heard");
        assert!(departed.numbers(5).def_version >= left(5).def_version);
        assert_eq!(departed.numbers(last + 1), Left::default(), "a new listing begins at 1");
        assert!(departed.knows(last.to_string().as_bytes()));
    }
}
