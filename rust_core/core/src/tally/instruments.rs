//! What was heard of each instrument: counts, its name, what the publisher says of its book, and changes of that.

use std::collections::{HashMap, VecDeque};

use crate::wire::{Frame, Header, InstrumentDef, Message, Status, flags, msg, status, text_of, zeroed};

/// Instruments that are counted; messages of others are counted together. More than three times what the largest
/// venue lists, and about 3 MB.
pub const INSTRUMENTS_MAX: usize = 16_384;
/// Changes of state that are kept, of all instruments together.
pub const CHANGES_KEPT: usize = 512;
/// Most instruments that one sample gives: more rows than any screen has.
pub const SAMPLE_MAX: usize = 1_000;

/// One instrument.
#[derive(Clone, Copy, Debug)]
pub struct Instrument {
    /// Channel that carried it last.
    pub channel: u8,
    /// Venue number.
    pub venue: u16,
    /// Number within the venue.
    pub instrument: u32,
    /// Messages, alone or in PACKs, of the incremental plane; copies by another line are not counted.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Of the messages, book updates.
    pub books: u64,
    /// Of the messages, those with trades.
    pub trades: u64,
    /// Of the messages, best bid and ask.
    pub bbos: u64,
    /// Of the messages, those with the flag SUSPECT.
    pub suspect: u64,
    /// Receive stamp of the last message, nanoseconds since the epoch; 0 before the first one.
    pub last_ns: i64,
    /// Number of the last message in its instrument.
    pub instr_seq: u32,
    /// STATUS.state that counts now; 0 = not heard.
    pub state: u8,
    /// STATUS.reason of that state.
    pub reason: u16,
    /// When the state began, nanoseconds since the epoch: as the publisher says, or the receive stamp of the definition
    /// that told; 0 = not heard.
    pub since_ns: i64,
    /// STATUS.expected of that state.
    pub expected: u64,
    /// STATUS.got of that state.
    pub got: u64,
    /// Session of the frame heard last.
    pub session: u32,
    /// Version of the definition heard last; 0 = none.
    pub def_version: u32,
    /// Its `book_proof`: bits of what proves a book whole; 0 = nothing does.
    pub book_proof: u8,
    symbol: [u8; 32],
    /// [`Self::messages`] when the sample before was taken.
    sampled: u64,
}

impl Instrument {
    fn new(venue: u16, instrument: u32) -> Self {
        Self {
            channel: 0,
            venue,
            instrument,
            messages: 0,
            bytes: 0,
            books: 0,
            trades: 0,
            bbos: 0,
            suspect: 0,
            last_ns: 0,
            instr_seq: 0,
            state: 0,
            reason: 0,
            since_ns: 0,
            expected: 0,
            got: 0,
            session: 0,
            def_version: 0,
            book_proof: 0,
            symbol: [0; 32],
            sampled: 0,
        }
    }

    /// Canonical symbol; empty before a definition was heard.
    #[must_use]
    pub fn symbol(&self) -> &str {
        text_of(&self.symbol)
    }

    /// Whether the publisher does not vouch for the book now: stale, recovering, or not told of.
    #[must_use]
    pub fn is_not_live(&self) -> bool {
        matches!(self.state, 0 | status::state::STALE | status::state::RECOVERING)
    }

    /// Whether the frame is from before the one heard last: it came late, or by the snapshot plane's own socket.
    fn is_past(&self, header: &Header) -> bool {
        let behind = self.instr_seq.wrapping_sub(header.instr_seq);
        header.session < self.session
            || header.session == self.session && behind != 0 && behind < u32::MAX / 2
    }

    /// Nothing of an older session holds in a newer one.
    fn follow_session(&mut self, session: u32) {
        if session > self.session {
            self.session = session;
            (self.instr_seq, self.state, self.reason, self.since_ns) = (0, 0, 0, 0);
        }
    }

    fn holds(&self, text: &str) -> bool {
        let (symbol, text) = (self.symbol().as_bytes(), text.as_bytes());
        text.is_empty() || symbol.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
    }
}

/// The publisher says another state of an instrument than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Receive stamp, nanoseconds since the epoch.
    pub at_ns: i64,
    /// Venue number.
    pub venue: u16,
    /// Number within the venue.
    pub instrument: u32,
    /// STATUS.state before; 0 = not heard before.
    pub before: u8,
    /// STATUS.state since.
    pub state: u8,
    /// STATUS.reason.
    pub reason: u16,
}

/// Every instrument heard, up to [`INSTRUMENTS_MAX`].
#[derive(Debug, Default)]
pub struct Instruments {
    index: HashMap<(u16, u32), usize>,
    all: Vec<Instrument>,
    changes: VecDeque<Change>,
    /// Messages of instruments beyond the limit.
    pub untracked: u64,
}

impl Instruments {
    /// Instruments that are counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none was heard.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The last [`CHANGES_KEPT`] changes of state, the oldest first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Instrument> {
        self.all.iter()
    }

    /// Those of a channel (`None` = all) whose symbol holds `text`, with the messages since the sample before, the
    /// busiest first, at most `limit` and [`SAMPLE_MAX`]. Every call begins the next sample.
    pub fn sample(&mut self, channel: Option<u8>, text: &str, limit: usize) -> Vec<(u64, Instrument)> {
        let mut found: Vec<_> = self
            .all
            .iter()
            .filter(|each| channel.is_none_or(|channel| each.channel == channel) && each.holds(text))
            .map(|each| (each.messages - each.sampled, *each))
            .collect();
        found.sort_unstable_by_key(|(since, each)| {
            (u64::MAX - since, u64::MAX - each.messages, each.venue, each.instrument)
        });
        found.truncate(limit.min(SAMPLE_MAX));
        for each in &mut self.all {
            each.sampled = each.messages;
        }
        found
    }

    /// Takes a frame of the incremental plane that is no copy, or the messages of a PACK.
    pub(super) fn take(&mut self, frame: &Frame<'_>, rx_ns: i64) {
        match frame.message() {
            Message::Pack(pack) => pack.for_each(|packed| self.take_one(&packed, rx_ns)),
            _ => self.take_one(frame, rx_ns),
        }
    }

    fn take_one(&mut self, frame: &Frame<'_>, rx_ns: i64) {
        let header = &frame.header;
        let Some(each) = self.entry(frame) else { return };
        let is_past = each.is_past(header);
        each.messages += 1;
        each.bytes += u64::from(header.payload_len);
        each.last_ns = rx_ns;
        each.suspect += u64::from(header.has(flags::SUSPECT));
        match header.msg_type {
            msg::BOOK_DELTA | msg::BOOK_SNAPSHOT => each.books += 1,
            msg::TRADE => each.trades += 1,
            msg::BBO => each.bbos += 1,
            _ => self.describe(frame, rx_ns),
        }
        if !is_past && let Some(each) = self.entry(frame) {
            each.instr_seq = header.instr_seq;
        }
    }

    /// Takes name and state from either plane. The planes have sockets of their own: what was cut before the newest
    /// message heard is past, and says nothing.
    pub(super) fn describe(&mut self, frame: &Frame<'_>, rx_ns: i64) {
        if self.entry(frame).is_none_or(|each| each.is_past(&frame.header)) {
            return;
        }
        match frame.message() {
            Message::InstrumentDef(def) => self.define(frame, &def, rx_ns),
            Message::Status(told) if told.scope == status::scope::INSTRUMENT => {
                self.change(frame, &told, rx_ns);
            }
            _ => {}
        }
    }

    fn define(&mut self, frame: &Frame<'_>, def: &InstrumentDef, rx_ns: i64) {
        let Some(each) = self.entry(frame) else { return };
        each.symbol = def.symbol;
        each.def_version = def.def_version;
        each.book_proof = def.book_proof;
        // A definition gives no reason: that of the state told before it holds.
        if each.state != def.status {
            let told = Status { state: def.status, since_ts: rx_ns, ..zeroed() };
            self.change(frame, &told, rx_ns);
        }
    }

    fn change(&mut self, frame: &Frame<'_>, told: &Status, rx_ns: i64) {
        let Some(each) = self.entry(frame) else { return };
        let Status { state, reason, since_ts, expected, got, .. } = *told;
        let before = std::mem::replace(&mut each.state, state);
        (each.reason, each.since_ns, each.expected, each.got) = (reason, since_ts, expected, got);
        if before == state {
            return;
        }
        let Instrument { venue, instrument, .. } = *each;
        if self.changes.len() == CHANGES_KEPT {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { at_ns: rx_ns, venue, instrument, before, state, reason });
    }

    /// The instrument of a message; `None` if it is about none, or one too many.
    fn entry(&mut self, frame: &Frame<'_>) -> Option<&mut Instrument> {
        let (venue, instrument) = (frame.header.venue, frame.header.instrument);
        if instrument == 0 {
            return None;
        }
        let next = self.all.len();
        let index = match self.index.get(&(venue, instrument)) {
            Some(&index) => index,
            None if next == INSTRUMENTS_MAX => {
                self.untracked += 1;
                return None;
            }
            None => {
                self.index.insert((venue, instrument), next);
                self.all.push(Instrument::new(venue, instrument));
                next
            }
        };
        let each = &mut self.all[index];
        each.channel = frame.header.channel_number();
        each.follow_session(frame.header.session);
        Some(each)
    }
}
