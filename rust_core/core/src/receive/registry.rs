//! Which instruments there are, and which of them are wanted.

use std::collections::HashMap;

use super::Wanted;
use super::id_map::IdMap;
use crate::publish::Plane;
use crate::wire::{InstrumentDef, digest, status, text_of};

/// Instruments of one channel. The largest venues list some 4,000; options 10,000.
pub const INSTRUMENTS_MAX: usize = 65_536;

/// Delisted instruments that are remembered, in case that they come back: more than an options venue lists in a week.
pub(super) const DELISTED_MAX: usize = 4_096;

/// The symbols that were asked for and what they turned out to be.
#[derive(Debug)]
pub(super) struct Wants {
    all: bool,
    /// Symbol and venue → heard.
    symbols: HashMap<(String, u16), bool>,
}

impl Wants {
    pub(super) fn new(wanted: Wanted) -> Self {
        match wanted {
            Wanted::All => Self { all: true, symbols: HashMap::new() },
            Wanted::Symbols(symbols) => {
                Self { all: false, symbols: symbols.into_iter().map(|symbol| (symbol, false)).collect() }
            }
        }
    }

    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    /// Whether a symbol of the venue was not heard yet.
    pub(super) fn is_open(&self, venue: u16) -> bool {
        self.symbols.iter().any(|((_, of), heard)| *of == venue && !heard)
    }

    /// Whether any symbol was not heard yet.
    pub(super) fn any_open(&self) -> bool {
        self.symbols.values().any(|heard| !heard)
    }

    fn decide(&mut self, venue: u16, symbol: &str) -> bool {
        if self.all {
            return true;
        }
        match self.symbols.get_mut(&(symbol.to_owned(), venue)) {
            Some(heard) => {
                *heard = true;
                true
            }
            None => false,
        }
    }
}

/// One definition, the latest heard on either plane.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) def: InstrumentDef,
    pub(super) wanted: bool,
    /// Heard in the current session.
    pub(super) fresh: bool,
    pub(super) delisted: bool,
    /// Cycle in which it was last heard, on either plane.
    heard_in: u64,
    /// Cycle in which its group was last heard on the snapshot plane.
    group_in: Option<u64>,
}

/// What an instrument is to this consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    Wanted,
    Unwanted,
    /// Its definition did not come yet, and it may be one of the symbols asked for.
    Undecided,
}

/// The definitions of one channel.
#[derive(Debug, Default)]
pub(super) struct Registry {
    known: IdMap<Known>,
    cycle: u64,
}

impl Registry {
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Known)> {
        self.known.iter()
    }

    pub(super) fn get(&self, instrument: u32) -> Option<&Known> {
        self.known.get(instrument)
    }

    pub(super) fn is_full(&self) -> bool {
        self.known.len() >= INSTRUMENTS_MAX
    }

    /// Takes a definition from either plane; an older version than the known one is left.
    pub(super) fn define(
        &mut self,
        venue: u16,
        instrument: u32,
        def: &InstrumentDef,
        plane: Plane,
        wants: &mut Wants,
    ) {
        let cycle = self.cycle;
        let group_in = (plane == Plane::Snapshot).then_some(cycle);
        let delisted = def.status == status::state::DELISTED;
        let has_room = !self.is_full();
        match self.known.get_mut(instrument) {
            Some(known) => {
                known.heard_in = cycle;
                known.group_in = group_in.or(known.group_in);
                if known.fresh && def.def_version < known.def.def_version {
                    return;
                }
                if known.def.symbol != def.symbol {
                    known.wanted = wants.decide(venue, text_of(&def.symbol));
                }
                (known.def, known.fresh, known.delisted) = (*def, true, delisted);
            }
            None if has_room => {
                let wanted = wants.decide(venue, text_of(&def.symbol));
                let known = Known { def: *def, wanted, fresh: true, delisted, heard_in: cycle, group_in };
                self.known.insert(instrument, known);
            }
            None => {}
        }
    }

    /// STATUS of scope 3.
    pub(super) fn set_state(&mut self, instrument: u32, state: u8) {
        if let Some(known) = self.known.get_mut(instrument) {
            // A definition's own DELISTED stays: a book state sent after it does not list the instrument again.
            known.delisted = state == status::state::DELISTED || known.def.status == status::state::DELISTED;
        }
    }

    pub(super) fn interest(&self, instrument: u32, venue: u16, wants: &Wants) -> Interest {
        if wants.is_all() {
            return Interest::Wanted;
        }
        match self.known.get(instrument) {
            Some(known) if known.wanted => Interest::Wanted,
            Some(_) => Interest::Unwanted,
            None if wants.is_open(venue) => Interest::Undecided,
            None => Interest::Unwanted,
        }
    }

    /// Whether the venue or the publisher let it go.
    pub(super) fn is_delisted(&self, instrument: u32) -> bool {
        self.known.get(instrument).is_some_and(|known| known.delisted)
    }

    /// Forgets the delisted ones if they are too many, and returns them.
    pub(super) fn forget_delisted(&mut self) -> Vec<u32> {
        let delisted =
            self.known.iter().filter(|(_, known)| known.delisted).map(|(instrument, _)| instrument);
        let gone: Vec<u32> = delisted.collect();
        if gone.len() <= DELISTED_MAX {
            return Vec::new();
        }
        for &instrument in &gone {
            self.known.remove(instrument);
        }
        gone
    }

    /// Whether the instrument takes part in the channel: defined in this session and not delisted, or not yet defined.
    pub(super) fn is_expected(&self, instrument: u32) -> bool {
        self.known.get(instrument).is_none_or(|known| !known.delisted)
    }

    /// A new session: definitions are only remembered.
    pub(super) fn start_session(&mut self) {
        self.known.for_each_mut(|_, known| {
            known.fresh = false;
            known.delisted = false;
            known.group_in = None;
        });
        self.cycle = 0;
    }

    /// A cycle ended. `contiguous` = none of its frames is missing. Gives whether that proves that we know every
    /// definition: by their digest, or because the whole cycle was heard and held as many groups as it says. `gone` gets
    /// those that are not there any more, whose end was not heard.
    pub(super) fn end_cycle(
        &mut self,
        n_instruments: u32,
        registry_crc: u32,
        contiguous: bool,
        gone: &mut Vec<u32>,
    ) -> bool {
        let ended = self.cycle;
        self.cycle += 1;
        if self.matches(n_instruments, registry_crc) {
            return true;
        }
        if !contiguous {
            return false;
        }
        // What a whole cycle does not hold, and line A did not define meanwhile, is gone.
        self.known.for_each_mut(|instrument, known| {
            if known.fresh && known.heard_in < ended && !known.delisted {
                known.delisted = true;
                gone.push(instrument);
            }
        });
        let groups = self.known.iter().filter(|(_, known)| known.group_in == Some(ended)).count();
        groups == n_instruments as usize || self.matches(n_instruments, registry_crc)
    }

    /// The digest covers what is not delisted; the count may cover all that a cycle sends.
    pub(super) fn matches(&self, n_instruments: u32, registry_crc: u32) -> bool {
        let fresh = || self.known.iter().filter(|(_, known)| known.fresh);
        let live = || fresh().filter(|(_, known)| !known.delisted);
        let count = n_instruments as usize;
        (live().count() == count || fresh().count() == count)
            && digest::registry_crc(live().map(|(instrument, known)| (instrument, known.def.def_version)))
                == registry_crc
    }

    /// All definitions of the session are known: remembered ones of an earlier session do not exist any more.
    pub(super) fn drop_remembered(&mut self) -> Vec<u32> {
        let mut gone = Vec::new();
        self.known.for_each_mut(|instrument, known| {
            if !known.fresh && !known.delisted {
                known.delisted = true;
                gone.push(instrument);
            }
        });
        gone
    }
}
